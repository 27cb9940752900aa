"""What was derived and measured of a circuit, as sections of a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from circuitdsl.derive.tell.derivation import Derivation
from circuitdsl.derive.tell.expects import Judgement
from circuitdsl.derive.tell.layers import layers
from circuitdsl.derive.tell.outline import Block, Row, blocks, headline, together
from circuitdsl.report.document import MARKS, Line, Paragraph, Part, Section, Table, with_formulas

if TYPE_CHECKING:
    from circuitdsl.certify.certificate import Certificate


def derivation(found: Derivation, judgements: Sequence[Judgement]) -> Section:
    """The whole derivation, in the order in which it is told."""
    parts: list[Part] = [Paragraph(line=headline(found.circuit)[1], kind="faint")]
    for block in blocks(found, latex=True):
        parts += _block(block)
    rows = [_row(row) for row in together(found, latex=True)]
    parts += [Paragraph(line="Together", kind="head"), Table(rows=rows)] if rows else []
    parts += [Paragraph(line=_judged(j), mark=MARKS[j.ok]) for j in judgements]
    return Section(title="Derivation", parts=parts)


def _block(block: Block) -> Iterator[Part]:
    where = f" for {layers(block.indices)}" if block.indices else ""
    yield Paragraph(line=f"{block.name}: {block.route} · {block.kind}{where}", kind="head")
    if block.rows:
        yield Table(rows=[_row(row) for row in block.rows])
    if block.verdict is not None:
        yield Paragraph(line=("⇒ ", *with_formulas(block.verdict)), kind="answer")


def _row(row: Row) -> Sequence[Line]:
    return [row.label, with_formulas(row.text), row.place]


def _judged(judgement: Judgement) -> str:
    found = "" if judgement.ok is True or judgement.value is None else f" (found: {judgement.value})"
    return f"{judgement.text}{found}"


def certificate(found: Certificate) -> Section:
    """What was measured, in short and over training."""
    from circuitdsl.certify.summary import COURSE, SUMMARY, about, conclusion, course_of, summary_of

    parts: list[Part] = [
        Paragraph(line=about(found), kind="faint"),
        Paragraph(line=conclusion(found), kind="answer"),
        Table(head=SUMMARY, rows=[summary_of(s) for s in found.synapses.values()]),
    ]
    for synapse in found.synapses.values():
        if synapse.course:
            caption = f"{synapse.name} over training"
            parts.append(Table(head=COURSE, rows=course_of(found, synapse), caption=caption))
    return Section(title="Certificate", parts=parts)
