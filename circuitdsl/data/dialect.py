"""How a table of text is written: what stands between columns, what before a decimal, which lines are none of it.

Told from a sample of its lines: the separator is the one by which most lines have equally many cells and most cells are
numbers.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from circuitdsl.data.columns import MISSING
from circuitdsl.data.raw import SourceError
from circuitdsl.frozen import frozen

#: Lines that are looked at to find out.
SAMPLE = 200
#: What stands between columns, the likeliest first: among equals it is chosen. The last stands for any blanks.
SEPARATORS = (",", ";", "\t", "|", " ")
SHOWN = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}
COMMENTS = ("#", "%")
#: A number with a decimal comma.
COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?|[+-]?\d+,([eE][+-]?\d+)?")
#: A number whose thousands are set apart.
THOUSANDS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+,\d+|[+-]?\d{1,3}(,\d{3})+\.\d+|[+-]?\d{1,3}([.,]\d{3}){2,}")
#: A line of a sparse table (LIBSVM), and the head of one of Weka's (ARFF), which are not read.
SPARSE = re.compile(r"\S+(\s+\d+:\S+)+\s*")

#: A line with its number, from 1.
Line = tuple[int, str]
#: A row of cells with the number of its first line.
Row = tuple[int, list[str]]


@frozen(kw_only=True)
class Dialect:
    """`separator` is one of SEPARATORS; `comma`: whether a decimal is set off by a comma; `width`: how many columns
    most rows have."""

    separator: str
    comma: bool
    width: int

    @property
    def shown(self) -> str:
        return f"{SHOWN[self.separator]} between columns" + (", decimal commas" if self.comma else "")


def lines_of(text: str) -> Iterator[Line]:
    """The lines that are not empty and no comment."""
    import io

    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        bare = line.strip()
        if bare and not bare.startswith(COMMENTS) and not (number == 1 and bare.lower().startswith("sep=")):
            yield number, line


def dialect_of(text: str, what: str) -> Dialect:
    """Raises SourceError for a text without lines, and for formats that are no tables."""
    sample = list(islice(lines_of(text), SAMPLE))
    if not sample:
        raise SourceError(f"{what} holds no lines with values")
    _refuse_others(sample, what)
    scored = [(_score(sample, separator), -place) for place, separator in enumerate(SEPARATORS)]
    separator = SEPARATORS[-max(scored)[1]]
    try:
        rows = [cells for _, cells in _cells(sample, separator)]
    except csv.Error as problem:
        raise SourceError(f"{what} is no table: {problem}") from None
    width = _width(rows)
    return Dialect(separator=separator, width=width, comma=_has_commas(rows, what))


def _refuse_others(sample: Sequence[Line], what: str) -> None:
    first = sample[0][1].strip()
    if first.lower().startswith("@relation"):
        raise SourceError(f"{what} is of Weka's format, ARFF, which is not read", hint="keep the lines below @data")
    if all(SPARSE.fullmatch(line.strip()) for _, line in sample):
        raise SourceError(
            f"{what} is a sparse table (LIBSVM), which is not read",
            hint="sklearn.datasets.load_svmlight_file reads it: save `X.toarray()` and `y` by numpy.savez",
        )
    if first.startswith(("{", "[{", "<")):
        raise SourceError(f"{what} is no table: it starts with `{first[:20]}`", hint="save it as .csv or .npz")


def _cells(lines: Iterable[Line], separator: str, *, strict: bool = False) -> Iterator[Row]:
    """The cells of each row; a row may go on over several lines within quotes. Raises csv.Error, if strict also where
    quotes are not closed, as those may be at the end of a sample."""
    numbers: list[int] = []

    def texts() -> Iterator[str]:
        for number, line in lines:
            numbers.append(number)
            yield " ".join(line.split()) + "\n" if separator == " " else line

    for row in csv.reader(texts(), delimiter=separator, skipinitialspace=True, strict=strict):
        yield numbers[0], [cell.strip() for cell in row]
        numbers.clear()


def rows_of(text: str, dialect: Dialect) -> Iterator[Row]:
    """All rows. Raises csv.Error."""
    return _cells(lines_of(text), dialect.separator, strict=True)


def _score(sample: Sequence[Line], separator: str) -> float:
    """The share of lines with the usual number of cells, times the share of cells that are numbers, and a little for
    cells that are anything; 0 for one column."""
    try:
        rows = [cells for _, cells in _cells(sample, separator)]
    except csv.Error:
        return 0.0
    width = _width(rows)
    if width < 2:
        return 0.0
    alike = sum(len(cells) == width for cells in rows) / len(rows)
    cells = [cell for row in rows for cell in row]
    return alike * (sum(map(_is_number, cells)) / len(cells) + 0.01)


def _width(rows: Sequence[list[str]]) -> int:
    """How many cells most rows have; of equals what comes first."""
    return Counter(map(len, rows)).most_common(1)[0][0]


def _is_number(cell: str) -> bool:
    return is_plain(cell) or COMMA.fullmatch(cell) is not None


def is_plain(cell: str) -> bool:
    """Whether a cell is a number with a decimal point, or none."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def number_of(cell: str, *, comma: bool) -> float | None:
    """The number that a cell is, where `comma` says how decimals are set off; None for anything else."""
    plain = cell.replace(",", ".") if comma and COMMA.fullmatch(cell) else cell
    return float(plain) if is_plain(plain) else None


def is_missing(cell: str) -> bool:
    return cell.lower() in MISSING


def _has_commas(rows: Sequence[list[str]], what: str) -> bool:
    """Whether the decimals of the sample are set off by commas. Raises SourceError if that cannot be told."""
    cells = [cell for row in rows for cell in row]
    grouped = next((c for c in cells if THOUSANDS.fullmatch(c) and not is_plain(c)), None)
    if grouped is not None:
        raise SourceError(
            f"{what} has the number `{grouped}`: thousands that are set apart are not read", hint="write 1234.5"
        )
    with_comma = next((c for c in cells if COMMA.fullmatch(c)), None)
    with_point = next((c for c in cells if "." in c and is_plain(c)), None)
    if with_comma is not None and with_point is not None:
        raise SourceError(f"{what} has decimal commas and points, `{with_comma}` and `{with_point}`: write one of them")
    return with_comma is not None
