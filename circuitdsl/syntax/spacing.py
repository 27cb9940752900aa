"""The space between two words on one line."""

from __future__ import annotations

from collections.abc import Sequence

from circuitdsl.syntax.words import Word

_OPERAND_ENDS = frozenset("NAME NUMBER STRING RPAR RSQB LOSS RATE TRAIN".split())
_NEVER_BEFORE = frozenset("COMMA RPAR RSQB COLON DOT".split())
_NEVER_AFTER = frozenset("LPAR LSQB DOT".split())
_ARITHMETIC = frozenset("SUM STAR SLASH".split())


def gaps(words: Sequence[Word]) -> list[str]:
    """What stands before each word if it does not begin a line: nothing or one space."""
    found: list[str] = []
    brackets: list[str] = []
    in_use = False
    previous: Word | None = None
    unary = False
    for at, word in enumerate(words):
        if word.kind == "COMMENT":
            found.append("  ")
            continue
        tight = previous is None or _tight(words, at, previous, brackets, unary)
        found.append("" if tight else " ")
        unary = word.kind == "SUM" and (previous is None or previous.kind not in _OPERAND_ENDS)
        in_use = word.kind == "USE" or (in_use and word.kind != "LPAR")
        if word.kind in ("LPAR", "LSQB"):
            brackets.append(_bracket(word, previous, used=found_use(words, at)))
        elif word.kind in ("RPAR", "RSQB"):
            brackets.pop()
        previous = word
    return found
