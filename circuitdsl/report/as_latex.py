"""A document as LaTeX, which pdflatex sets with what every installation has: amsmath, amssymb, graphicx, longtable.

Its pictures are PDF files beside it; where one is missing the document does without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from circuitdsl.derive.algebra.notation import escaped
from circuitdsl.report.document import (
    SIGNS,
    Beside,
    Code,
    Document,
    Equations,
    Line,
    Listing,
    Math,
    Paragraph,
    Part,
    Picture,
    Piece,
    Section,
    Table,
    pieces,
)

PREAMBLE = r"""\documentclass[a4paper,10pt]{article}
\usepackage[utf8]{inputenc}
\usepackage[margin=22mm]{geometry}
\usepackage{amsmath,amssymb,graphicx,longtable}
\setlength{\parindent}{0pt}
\setlength{\parskip}{3pt}
\setlength{\emergencystretch}{3em}
\setlength{\tabcolsep}{4pt}
\raggedbottom
\begin{document}
"""
#: Letters and signs beyond these are no part of LaTeX's fonts.
KNOWN = 0x17F
OTHERS = {"–": "--", "—": "---", "“": "``", "”": "''", "’": "'", "‘": "`", "±": r"$\pm$", "×": r"$\times$"}


def page(document: Document, stem: str) -> str:
    """The document; its pictures are called STEM-NAME.pdf."""
    lines = [PREAMBLE + rf"\section*{{{words(document.title)}}}"]
    for paragraph in document.about:
        lines += _part(paragraph, stem)
    for section in document.sections:
        lines += _section(section, stem)
    lines += [r"\bigskip", rf"{{\footnotesize {words(document.origin)}\par}}", r"\end{document}"]
    return "\n".join([*lines, ""])


def pictures(document: Document) -> Iterator[Picture]:
    """All pictures of a document."""
    waiting = [part for section in document.sections for part in section.parts]
    while waiting:
        part = waiting.pop(0)
        if isinstance(part, Picture):
            yield part
        if isinstance(part, Beside):
            waiting = [p for column in part.columns for p in column] + waiting


def words(text: str) -> str:
    """Words for LaTeX's text mode; what its fonts do not have is told by its number."""
    return "".join(OTHERS.get(c) or _set(c) for c in text)


def _set(character: str) -> str:
    shown = escaped(character)
    if shown != character or ord(character) <= KNOWN:
        return shown if character.isprintable() or character == "\n" else " "
    return rf"[U+{ord(character):04X}]"


def _section(section: Section, stem: str) -> Iterator[str]:
    yield rf"\subsection*{{{words(section.title)}}}"
    for part in section.parts:
        yield from _part(part, stem)


def _part(part: Part, stem: str) -> Iterator[str]:
    match part:
        case Paragraph():
            yield _paragraph(part)
        case Table():
            yield from _table(part)
        case Equations():
            for math, said in part.rows:
                yield rf"\noindent\hspace*{{1em}}{_formula(math)}\hfill{{\footnotesize {words(said)}}}\par"
        case Picture():
            file = f"{stem}-{part.name}.pdf"
            width = "0.49" if part.small else "0.9"
            size = rf"width={width}\linewidth,height=0.45\textheight,keepaspectratio"
            yield rf"\IfFileExists{{{file}}}{{\includegraphics[{size}]{{{file}}}}}{{}}" + ("%" if part.small else "")
            if not part.small:
                yield rf"\par{{\footnotesize {words(part.caption)}\par}}" if part.caption else r"\par"
        case Listing():
            yield rf"\paragraph{{{words(part.title)}}}\par"
            yield from (rf"{{\footnotesize\ttfamily {_written(text)}\par}}" for text in part.text.splitlines())
        case Beside():
            for column in part.columns:
                for each in column:
                    yield from _part(each, stem)
        case _:
            assert_never(part)


def _paragraph(made: Paragraph) -> str:
    sign = f"{words(SIGNS[made.mark])} " if made.mark else ""
    text = sign + line(made.line)
    match made.kind:
        case "plain":
            return rf"{text}\par"
        case "faint":
            return rf"{{\small {text}\par}}"
        case "answer":
            return rf"\textbf{{{sign}}}{text}\par"
        case "head":
            return rf"\medskip\textbf{{{text}}}\par"
        case _:
            assert_never(made.kind)


def _table(made: Table) -> Iterator[str]:
    """Columns share the width by what stands in them; a long cell breaks, a long table goes on."""
    columns = max((len(row) for row in made.rows), default=len(made.head))
    if not columns:
        return
    spec = "".join(rf"p{{{share:.3f}\linewidth}}" for share in _shares(made, columns))
    if made.caption:
        yield rf"{{\small {words(made.caption)}\par}}"
    yield r"{\small"
    yield rf"\begin{{longtable}}{{@{{}}{spec}@{{}}}}"
    if made.head:
        yield (
            " & ".join(_ragged(rf"\textbf{{{words(cell)}}}") for cell in made.head)
            + r" \tabularnewline \hline \endhead"
        )
    for row in made.rows:
        cells = [*map(line, row), *[""] * (columns - len(row))]
        yield " & ".join(map(_ragged, cells)) + r" \tabularnewline"
    yield r"\end{longtable}}"


def _ragged(cell: str) -> str:
    return rf"\raggedright {cell}" if cell else ""


def _shares(made: Table, columns: int) -> list[float]:
    """What part of the width each column gets: the more, the longer its cells, within reason."""
    rows = [made.head, *made.rows] if made.head else list(made.rows)
    longest = [max((min(46, _length(row[i])) for row in rows if i < len(row)), default=1) for i in range(columns)]
    room = 0.97 - 0.014 * columns
    whole = sum(max(5, n) for n in longest)
    return [room * max(5, n) / whole for n in longest]


def _length(cell: Line) -> int:
    return sum(
        len(p.latex) // 2 if isinstance(p, Math) else len(p.text if isinstance(p, Code) else p) for p in pieces(cell)
    )


def line(made: Line) -> str:
    return "".join(map(_piece, pieces(made)))


def _piece(piece: Piece) -> str:
    match piece:
        case str():
            return words(piece)
        case Math():
            return _formula(piece)
        case Code(text):
            return rf"\texttt{{{_written(text)}}}"
        case _:
            assert_never(piece)


def _formula(math: Math) -> str:
    return f"$\\displaystyle {math.latex.replace('−', '-')}$"


def _written(text: str) -> str:
    """Text as it is written, its blanks kept."""
    shown = words(text).replace("--", "-{}-")
    blanks = len(shown) - len(shown.lstrip(" "))
    return r"\ " * blanks + shown.lstrip(" ")


def files(document: Document, stem: str) -> Sequence[tuple[str, bytes]]:
    """The pictures as files: name and content."""
    return [(f"{stem}-{p.name}.pdf", p.pdf()) for p in pictures(document)]
