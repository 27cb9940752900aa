"""How `.circ` texts are coloured, made from the grammar: a Pygments lexer, and files for editors.

`python -m circuitdsl.highlight` writes those files again.
"""
