"""What a page says, before it is HTML or LaTeX: sections of paragraphs, formulas, tables and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from circuitdsl.frozen import frozen


@frozen
class Math:
    """A formula of LaTeX's math mode (amsmath, amssymb)."""

    latex: str


@frozen
class Code:
    """A name or text of the circuit, in letters of one width."""

    text: str


Piece = str | Math | Code
#: A line: words, names and formulas one after the other.
Line = Sequence[Piece] | Piece


def pieces(line: Line) -> Sequence[Piece]:
    return (line,) if isinstance(line, str | Math | Code) else line


def with_formulas(text: str) -> tuple[Piece, ...]:
    """The line of words with formulas between dollar signs, as derivations are told."""
    return tuple(Math(part) if i % 2 else part for i, part in enumerate(text.split("$")) if part)


Mark = Literal["yes", "no", "open"]
MARKS: Mapping[bool | None, Mark] = {True: "yes", False: "no", None: "open"}
SIGNS: Mapping[Mark, str] = {"yes": "✓", "no": "✗", "open": "·"}


@frozen(kw_only=True)
class Paragraph:
    """`mark`: what it says holds, does not, or is open; `kind` "answer": what a section comes to."""

    line: Line
    mark: Mark | None = None
    kind: Literal["plain", "faint", "answer", "head"] = "plain"


@frozen(kw_only=True)
class Table:
    """`labels`: the first column says what the row is. Cells are lines."""

    rows: Sequence[Sequence[Line]]
    head: Sequence[str] = ()
    caption: str | None = None
    labels: bool = True


@frozen(kw_only=True)
class Equations:
    """Formulas below one another, each with what is said of it at its right."""

    rows: Sequence[tuple[Math, str]]


@frozen(kw_only=True)
class Picture:
    """`svg` for a page, `pdf` for paper, each drawn when it is asked for; `name` is that of its file. A `small` one may
    stand beside others."""

    name: str
    caption: str
    svg: Callable[[], str]
    pdf: Callable[[], bytes]
    small: bool = False


@frozen(kw_only=True)
class Listing:
    """A text as it is written: in full, or as the lines that differ from another one (`sides`: what they were called,
    and the lines of a unified comparison)."""

    text: str
    title: str
    compared: bool = False


@frozen(kw_only=True)
class Beside:
    """Parts side by side, one column each."""

    columns: Sequence[Sequence[Part]]


Part = Paragraph | Table | Equations | Picture | Listing | Beside


@frozen(kw_only=True)
class Section:
    title: str
    parts: Sequence[Part]


@frozen(kw_only=True)
class Document:
    """`about`: what stands below the title; `origin`: how it was made, in small letters at the end."""

    title: str
    about: Sequence[Paragraph]
    sections: Sequence[Section]
    origin: str
