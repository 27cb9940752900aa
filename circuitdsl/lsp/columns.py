"""Places as editors count them: lines from 0, and columns in UTF-16, where some characters count two."""

from __future__ import annotations

from dataclasses import dataclass

from circuitdsl.diagnostics import Source, Span


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A line and a column, both from 0; columns are units of UTF-16."""

    line: int
    column: int


def position_of(source: Source, offset: int) -> Position:
    """The position of a character offset of a text."""
    line, column = source.position(offset)
    start = source.line_starts[line - 1]
    return Position(line - 1, units(source.text[start : start + column - 1]))


def offset_of(source: Source, position: Position) -> int:
    """The character offset of a position: at most the end of its line, of one past the last the end of the text."""
    if position.line >= len(source.line_starts):
        return len(source.text)
    start = source.line_starts[max(position.line, 0)]
    line = source.line_text(max(position.line, 0) + 1)
    left = position.column
    for count, character in enumerate(line):
        if left <= 0:
            return start + count
        left -= units(character)
    return start + len(line)


def range_of(span: Span) -> tuple[Position, Position]:
    return position_of(span.source, span.start), position_of(span.source, span.end)


def units(text: str) -> int:
    """How many units of UTF-16 a text has."""
    return len(text) + sum(ord(c) > 0xFFFF for c in text)
