"""HTML and MathML: how what is told becomes marks on a page."""
