"""The TextMate grammar, by which VS Code and many others colour."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from circuitdsl.highlight.vocabulary import Vocabulary, any_of

SCOPE = "source.circ"


def textmate(words: Vocabulary) -> dict[str, Any]:
    """The grammar as the object that its JSON file holds. Earlier patterns win where two match at one place."""
    name = words.patterns["NAME"]
    opening, closing = words.patterns["DOCSTRING"].split(r"[\s\S]*?")
    return {
        "name": "circ",
        "scopeName": SCOPE,
        "fileTypes": ["circ"],
        "patterns": [
            _match("comment.line.number-sign", words.patterns["COMMENT"]),
            {"name": "string.quoted.docstring.circ", "begin": opening, "end": closing},
            _match("string.quoted.double", words.patterns["STRING"]),
            _match("constant.numeric", words.patterns["NUMBER"]),
            {
                "match": rf"\b({any_of(words.declaring)})\s+({name})",
                "captures": {
                    "1": {"name": "storage.type.circ"},
                    "2": {"name": "entity.name.type.circ"},
                },
            },
            _words("storage.type", words.items),
            _words("keyword.other.member", words.members),
            _words("keyword.other", words.others),
            _match("support.function", rf"\b({any_of(words.functions)})(?=\s*\()"),
            _words("variable.language", words.builtins),
            _match("entity.name.function", rf"\b{name}(?=\s*\()"),
            _match("variable.other", rf"\b{name}"),
            _match("keyword.operator", any_of(words.operators, escaped=True)),
            _match("punctuation", any_of(words.brackets, escaped=True)),
        ],
    }


def _match(scope: str, pattern: str) -> dict[str, str]:
    return {"name": f"{scope}.circ", "match": pattern}


def _words(scope: str, words: Iterable[str]) -> dict[str, str]:
    return _match(scope, rf"\b({any_of(words)})\b")
