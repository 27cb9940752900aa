"""Tables of text: .csv, .tsv, .txt and their kin, in the dialect that they are found to be written in."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.data.columns import LABEL_NAMES, Columns
from circuitdsl.data.content import content_of
from circuitdsl.data.dialect import COMMENTS, Dialect, dialect_of, is_missing, is_plain, number_of, rows_of
from circuitdsl.data.raw import SourceError
from circuitdsl.frozen import mutable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = NDArray[Any]

#: How many bytes of memory a byte of a text comes to: itself, as text, and in the numbers, each with its line.
TIMES = 6
#: Byte order marks of texts that are not UTF-8.
MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def read_text(path: Path) -> Columns:
    """The columns of a table. Raises SourceError."""
    what = f"`{path}`"
    text, note = _decoded(content_of(path, TIMES), what)
    dialect = dialect_of(text, what)
    notes: tuple[str, ...] = () if note is None else (note,)
    if dialect.separator not in ",\t" or dialect.comma:
        notes += (f"{what} was read with {dialect.shown}",)
    try:
        return _columns(text, dialect, what, notes)
    except csv.Error as problem:
        raise SourceError(f"{what} is damaged: {problem}", hint="look for a quote that is not closed") from None


def _decoded(content: bytes, what: str) -> tuple[str, str | None]:
    """The text, and what is to be told of how it was decoded."""
    encoding = MARKS.get(content[:2])
    if encoding is None and b"\0" in content:
        raise SourceError(f"{what} is no text", hint="save arrays by numpy.savez, as .npz")
    try:
        return content.decode(encoding or "utf-8-sig"), None
    except UnicodeDecodeError:
        if encoding is not None:
            raise SourceError(f"{what} is damaged: it is no UTF-16, as its start says") from None
        return content.decode("latin-1"), f"{what} is not UTF-8: it was read as Latin-1"


# ---------------------------------------------------------------- rows


@mutable
class _Rows:
    """Rows as they come: `values` one after the other, NaN where a text stands, which is kept by column and row."""

    what: str
    width: int
    comma: bool
    careful: bool
    values: array[float] = field(default_factory=lambda: array("d"))
    texts: dict[int, dict[int, str]] = field(default_factory=dict)
    lines: array[int] = field(default_factory=lambda: array("q"))

    def add(self, line: int, cells: list[str]) -> None:
        while len(cells) > self.width and not cells[-1]:
            cells.pop()
        if len(cells) != self.width:
            raise SourceError(
                f"{self.what}, line {line}: it has {len(cells)} columns, where most have {self.width}",
                hint="a value is missing there, or one too many, or a text with separators needs quotes",
            )
        row = len(self.lines)
        self.lines.append(line)
        try:
            if self.careful:
                raise ValueError
            self.values.extend(array("d", map(float, cells)))
        except ValueError:
            self.values.extend(array("d", [self._value(row, i, cell) for i, cell in enumerate(cells)]))

    def _value(self, row: int, column: int, cell: str) -> float:
        if not is_missing(cell):
            number = number_of(cell, comma=self.comma)
            if number is not None:
                return number
            self.texts.setdefault(column, {})[row] = cell
        return float("nan")

    def is_empty(self, column: int) -> bool:
        """Whether nothing stands in a column."""
        return column not in self.texts and all(value != value for value in self.values[column :: self.width])

    def columns(self, names: tuple[str, ...] | None, notes: tuple[str, ...]) -> Columns:
        import numpy as np

        numbers = np.frombuffer(self.values, dtype=np.float64).reshape(-1, self.width)
        texts = {i: self._texts(numbers[:, i].tolist(), rows) for i, rows in self.texts.items()}
        return Columns(
            what=self.what,
            numbers=numbers,
            texts=texts,
            names=names,
            place=lambda row: f"line {self.lines[row]}",
            notes=notes,
        )

    def _texts(self, numbers: Sequence[float], rows: dict[int, str]) -> Table:
        """A column with texts, its numbers as they are written."""
        import numpy as np

        return np.array([rows.get(row, "" if n != n else f"{n:.15g}") for row, n in enumerate(numbers)])


def _columns(text: str, dialect: Dialect, what: str, notes: tuple[str, ...]) -> Columns:
    rows = rows_of(text, dialect)
    line, first = next(rows)
    careful = dialect.comma or "_" in text
    found = _Rows(what, dialect.width, dialect.comma, careful)
    below = _Rows(what, dialect.width, dialect.comma, careful)
    for number, cells in rows:
        below.add(number, cells)
    if _is_head(first, below, dialect):
        if not below.lines:
            raise SourceError(f"{what} has a head and no rows below it")
        if _numbers_columns(first):
            notes += (f"line {line} of {what} numbers the columns, and is taken for their names",)
        return below.columns(_names(first, below), notes)
    found.add(line, first)
    found.values.extend(below.values)
    found.lines.extend(below.lines)
    for column, texts in below.texts.items():
        found.texts.setdefault(column, {}).update({row + 1: cell for row, cell in texts.items()})
    return found.columns(_commented_names(text, dialect), notes)


# ---------------------------------------------------------------- the head


def _is_head(first: Sequence[str], below: _Rows, dialect: Dialect) -> bool:
    """Whether the first row names the columns: most of it are texts, some over numbers, or it has what a class is
    called, or it numbers the columns. A text over texts alone is the class of an example, one among numbers a slip."""
    named = [i for i, cell in enumerate(first) if not is_missing(cell) and number_of(cell, comma=dialect.comma) is None]
    most = 2 * len(named) >= sum(not is_missing(cell) for cell in first) and bool(named)
    if len(first) != dialect.width:
        return most
    if not below.lines:
        return len(named) == sum(not is_missing(cell) for cell in first)
    over = any(i not in below.texts for i in named)
    return (most and over) or any(first[i].lower() in LABEL_NAMES for i in named) or _numbers_columns(first)


def _numbers_columns(first: Sequence[str]) -> bool:
    """Whether a row is 0, 1, 2, ..., as pandas heads columns without names, also after an empty cell over the rows'
    numbers."""
    indexed = bool(first) and not first[0]
    cells = first[1:] if indexed else first
    return len(cells) > (1 if indexed else 3) and list(cells) == [str(i) for i in range(len(cells))]


def _names(head: Sequence[str], below: _Rows) -> tuple[str, ...] | None:
    """The names of a head, if they are as many as the columns, or one less: then the first column numbers the rows (R),
    or the last is what a separator at the end of every row makes."""
    names = list(head)
    while len(names) > below.width and not names[-1]:
        names.pop()
    if len(names) == below.width - 1:
        names.insert(len(names) if below.is_empty(below.width - 1) else 0, "")
    return tuple(names) if len(names) == below.width else None


def _commented_names(text: str, dialect: Dialect) -> tuple[str, ...] | None:
    """The names in the last comment above the rows, as numpy.savetxt writes them."""
    above = None
    for line in text.splitlines():
        bare = line.strip()
        if bare and not bare.startswith(COMMENTS):
            break
        above = bare or above
    if above is None:
        return None
    blank = dialect.separator == " "
    cells = above.lstrip("".join(COMMENTS)).split(None if blank else dialect.separator)
    names = tuple(cell.strip() for cell in cells)
    return names if len(names) == dialect.width and not any(map(is_plain, names)) else None
