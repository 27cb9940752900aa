"""A lexer for Pygments, which docs, notebooks and `rich` colour by: `pygmentize -l circ FILE`.

The entry point of the package registers it. It needs the library `pygments` (extra `editor`), which this module
alone imports.
"""

from __future__ import annotations

from typing import ClassVar

from pygments.lexer import RegexLexer, bygroups
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Whitespace

from circuitdsl.highlight.vocabulary import any_of, vocabulary

_WORDS = vocabulary()
_NAME = _WORDS.patterns["NAME"]


class CircLexer(RegexLexer):  # type: ignore[misc]
    """`.circ`, the language of neural circuits of circuitdsl."""

    name = "circuitdsl"
    aliases: ClassVar[list[str]] = ["circ", "circuitdsl"]
    filenames: ClassVar[list[str]] = ["*.circ"]
    mimetypes: ClassVar[list[str]] = ["text/x-circ"]
    tokens: ClassVar = {
        "root": [
            (_WORDS.patterns["SPACE"], Whitespace),
            (_WORDS.patterns["COMMENT"], Comment.Single),
            (_WORDS.patterns["DOCSTRING"], String.Doc),
            (_WORDS.patterns["STRING"], String.Double),
            (_WORDS.patterns["NUMBER"], Number),
            (
                rf"({any_of(_WORDS.declaring)})(\s+)({_NAME})",
                bygroups(Keyword.Declaration, Whitespace, Name.Variable),
            ),
            (rf"(?:{any_of(_WORDS.keywords)})\b", Keyword),
            (rf"(?:{any_of(_WORDS.functions)})(?=\s*\()", Name.Builtin),
            (rf"(?:{any_of(_WORDS.builtins)})\b", Name.Builtin.Pseudo),
            (rf"{_NAME}(?=\s*\()", Name.Function),
            (_NAME, Name),
            (any_of(_WORDS.operators, escaped=True), Operator),
            (any_of(_WORDS.brackets, escaped=True), Punctuation),
        ]
    }
