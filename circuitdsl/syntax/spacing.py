"""The space between two words on one line."""

from __future__ import annotations

from collections.abc import Sequence

from circuitdsl.syntax.words import Word

_OPERAND_ENDS = frozenset("NAME NUMBER STRING RPAR RSQB LOSS RATE TRAIN".split())
_NEVER_BEFORE = frozenset("COMMA RPAR RSQB COLON DOT POWER".split())
_NEVER_AFTER = frozenset("LPAR LSQB DOT POWER".split())
_TIGHT_IN_INDEX = frozenset("SUM STAR SLASH".split())


def gaps(words: Sequence[Word]) -> list[str]:
    """What stands before each word if it does not begin a line: nothing or one space (two before a comment)."""
    spacer = _Spacer([w for w in words if w.kind != "COMMENT"])
    return ["  " if word.kind == "COMMENT" else spacer.next() for word in words]


class _Spacer:
    """Walks over the words and knows which bracket it is in."""

    def __init__(self, words: Sequence[Word]):
        self.words = words
        self.at = 0
        self.brackets: list[str] = []
        self.in_use = False
        self.after_sign = False

    def next(self) -> str:
        """The gap before the next word."""
        word = self.words[self.at]
        previous = self.words[self.at - 1] if self.at else None
        gap = "" if previous is None or self._tight(previous, word) else " "
        sign = word.kind == "SUM" and (previous is None or previous.kind not in _OPERAND_ENDS)
        self._enter(previous, word)
        self.after_sign = sign
        self.at += 1
        return gap

    def _enter(self, previous: Word | None, word: Word) -> None:
        match word.kind:
            case "USE":
                self.in_use = True
            case "LPAR" if self.in_use and not self.brackets:
                self.brackets.append("use")
                self.in_use = False
            case "LPAR":
                self.brackets.append("call")
            case "LSQB":
                index = previous is not None and previous.kind in _OPERAND_ENDS
                self.brackets.append("index" if index else "list")
            case "RPAR" | "RSQB":
                self.brackets.pop()
            case _:
                pass

    def _tight(self, previous: Word, word: Word) -> bool:
        inside = self.brackets[-1] if self.brackets else ""
        kinds = {previous.kind, word.kind}
        if word.kind == "RANGE":
            return not previous.text.endswith(".")  # `1. ..` without its space would be read otherwise
        if previous.kind == "RANGE":
            return not word.text.startswith(".")
        if word.kind in _NEVER_BEFORE or previous.kind in _NEVER_AFTER or self.after_sign:
            return True
        if inside == "index" and kinds & _TIGHT_IN_INDEX:
            return True
        if previous.kind == "SLASH":
            return self._tight_slash(previous, word)
        if word.kind == "LPAR":
            return previous.kind in ("NAME", "RSQB", "SPIKE")
        if word.kind == "LSQB":
            return previous.kind in _OPERAND_ENDS
        if "EQUAL" in kinds and inside == "call":
            return True
        return self._tight_slash(previous, word)

    def _tight_slash(self, previous: Word, word: Word) -> bool:
        """`dw/dt`, and a division written without spaces, stay as they are."""
        if word.kind == "SLASH":
            return previous.end == word.start == self.words[self.at + 1].start - 1
        if previous.kind == "SLASH":
            return self.words[self.at - 2].end == previous.start == word.start - 1
        return False
