"""The derivation in a Jupyter notebook: as HTML, with formulas as MathML, which an exported page shows without a
script, and as Markdown, with formulas for MathJax."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from circuitdsl.derive.algebra.notation import Notation
from circuitdsl.derive.read.drives import Drive
from circuitdsl.derive.tell.brief import brief
from circuitdsl.derive.tell.derivation import Derivation, Told
from circuitdsl.derive.tell.expects import Judgement, judge
from circuitdsl.derive.tell.layers import layers
from circuitdsl.derive.tell.outline import Block, Row, blocks, headline, together
from circuitdsl.derive.tell.wording import Wording
from circuitdsl.markup.html import AT_LEFT, Html, joined, tag
from circuitdsl.markup.mathml import available, with_formulas

MARKS = {True: "✓", False: "✗", None: "·"}


def html(derivation: Derivation) -> str:
    """The whole derivation. Without latex2mathml formulas are Unicode."""
    name, about = headline(derivation.circuit)
    parts = [tag("p", tag("b", name), f"\u2003{about}")]
    parts += map(_block, blocks(derivation, latex=available()))
    parts.append(_table(list(together(derivation, latex=available()))))
    parts += [tag("p", _judgement(j)) for j in judge(derivation)]
    return str(joined(parts))


def finding_html(found: Told) -> str:
    """What is derived of one synapse."""
    words = Wording(found.words.constants, Notation(latex=True)) if available() else found.words
    drive = found.drive if isinstance(found.drive, Drive) else None
    rows = [Row("update", words.update(drive))] if drive is not None else []
    if drive is not None and found.delta is not None:
        rows.append(Row("credit", words.math(words.sum(drive.shown[0]))))
        rows.append(Row("gradient", words.math(words.sum(found.delta))))
    rows += [Row("H", found.H)] if found.H is not None else []
    rows += [Row("because" if n == 0 else "", reason) for n, reason in enumerate(found.because)]
    answer = brief(found) or found.role
    return str(joined([tag("p", tag("b", found.synapse), f"\u2003{found.rule} · {answer}"), _table(rows)]))


def _block(block: Block) -> Html:
    rows = _rows(block)
    head = tag("p", tag("b", block.name), f"\u2003{_about(block)}")
    return joined([head, _table(rows)]) if rows else head


def _table(rows: Sequence[Row]) -> Html:
    shown = (
        tag("tr", *(tag("td", cell, style=AT_LEFT) for cell in (r.label, with_formulas(r.text), tag("i", r.place))))
        for r in rows
    )
    return tag("table", *shown)


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
