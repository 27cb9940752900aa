"""The derivation in a Jupyter notebook, as HTML and as Markdown, with formulas for MathJax."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape

from circuitdsl.derive.tell.derivation import Derivation
from circuitdsl.derive.tell.expects import Judgement, judge
from circuitdsl.derive.tell.layers import layers
from circuitdsl.derive.tell.outline import Block, Row, blocks, headline, together

MARKS = {True: "✓", False: "✗", None: "·"}


def html(derivation: Derivation) -> str:
    name, about = headline(derivation.circuit)
    parts = [f"<p><b>{escape(name)}</b>&emsp;{escape(about)}</p>"]
    for block in blocks(derivation, latex=True):
        parts.append(f"<p><b>{escape(block.name)}</b>&emsp;{escape(_about(block))}</p>")
        rows = _rows(block)
        parts += [f"<table>{''.join(_html_row(r) for r in rows)}</table>"] if rows else []
    parts.append(f"<table>{''.join(_html_row(r) for r in together(derivation, latex=True))}</table>")
    parts += [f"<p>{escape(_judgement(j))}</p>" for j in judge(derivation)]
    return "\n".join(parts)


def _html_row(row: Row) -> str:
    style = "text-align: left; vertical-align: top"
    cells = (escape(row.label), _apart(row.text, escape), f"<i>{escape(row.place)}</i>")
    row_of_cells = "".join(f"<td style='{style}'>{cell}</td>" for cell in cells)
    return f"<tr>{row_of_cells}</tr>"


def markdown(derivation: Derivation) -> str:
    name, about = headline(derivation.circuit)
    parts = [f"**{name}** {about}"]
    for block in blocks(derivation, latex=True):
        parts.append(f"**`{block.name}`** {_about(block)}")
        parts.append("\n".join(map(_markdown_row, _rows(block))))
    parts.append("\n".join(map(_markdown_row, together(derivation, latex=True))))
    parts.append("\n".join(f"- {_judgement(j)}" for j in judge(derivation)))
    return "\n\n".join(part for part in parts if part)


def _markdown_row(row: Row) -> str:
    label = f"*{row.label}* " if row.label else ""
    place = f" — *{row.place}*" if row.place else ""
    return f"- {label}{_apart(row.text, _plain)}{place}"


def _plain(text: str) -> str:
    """Words in which Markdown shall see nothing."""
    return "".join("\\" + c if c in "\\`*_{}[]<>#|" else c for c in text)


def _apart(text: str, change: Callable[[str], str]) -> str:
    """Words with formulas between dollar signs: the words changed, the formulas kept."""
    return "$".join(part if i % 2 else change(part) for i, part in enumerate(text.split("$")))


def _about(block: Block) -> str:
    where = f" for {layers(block.indices)}" if block.indices else ""
    return f"{block.route} · {block.kind}{where}"


def _rows(block: Block) -> list[Row]:
    def found() -> Iterator[Row]:
        yield from block.rows
        if block.verdict is not None:
            yield Row("⇒", block.verdict)

    return list(found())


def _judgement(j: Judgement) -> str:
    return f"{MARKS[j.ok]} {j.text}"
