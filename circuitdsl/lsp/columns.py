"""Places as editors count them: lines from 0, and columns in UTF-16, where some characters count two.

A client may ask for columns in UTF-8 or UTF-32 instead. Lines end as the protocol has it, also with a carriage return
alone; the language itself knows no other line end than a line feed.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import lru_cache
from typing import Literal, assert_never

from circuitdsl.diagnostics import Source
from circuitdsl.frozen import frozen

Encoding = Literal["utf-16", "utf-8", "utf-32"]


@frozen(order=True)
class Position:
    """A line and a column, both from 0."""

    line: int
    column: int


@lru_cache(maxsize=64)
def _starts(source: Source) -> list[int]:
    return [0, *(found.end() for found in re.finditer(r"\r\n|\n|\r", source.text))]


def position_of(source: Source, offset: int, encoding: Encoding = "utf-16") -> Position:
    """The position of a character offset of a text."""
    starts = _starts(source)
    line = bisect_right(starts, offset) - 1
    return Position(line, units(source.text[starts[line] : offset], encoding))


def offset_of(source: Source, position: Position, encoding: Encoding = "utf-16") -> int:
    """The character offset of a position: at most the end of its line; of one past the last line the end of the text.
    A column within a character stands for its beginning."""
    starts = _starts(source)
    if position.line >= len(starts):
        return len(source.text)
    line = max(position.line, 0)
    end = starts[line + 1] if line + 1 < len(starts) else len(source.text)
    text = source.text[starts[line] : end].rstrip("\r\n")
    left = position.column
    for count, character in enumerate(text):
        left -= units(character, encoding)
        if left < 0:
            return starts[line] + count
    return starts[line] + len(text)


def units(text: str, encoding: Encoding) -> int:
    """How many units an encoding has for a text."""
    match encoding:
        case "utf-16":
            return len(text) + sum(ord(c) > 0xFFFF for c in text)
        case "utf-8":
            return len(text.encode("utf-8", "surrogatepass"))
        case "utf-32":
            return len(text)
        case _:
            assert_never(encoding)
