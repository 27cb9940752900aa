"""The derivation at the place where a synapse is written: its verdict in a line, and why."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from circuitdsl.derive.tell.brief import in_short
from circuitdsl.derive.tell.derivation import Derivation, Told
from circuitdsl.derive.tell.hypotheses import name_of, text_of
from circuitdsl.derive.tell.layers import absolute
from circuitdsl.derive.tell.page import block_lines
from circuitdsl.diagnostics import Span
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.lsp.analysis import Analysis

#: No line of a derivation is longer where an editor shows it.
WIDTH = 88


@frozen(kw_only=True)
class Inlay:
    """Words behind the line of a text: `offset` is the end of the line. They are about `synapses`, by their elaborated
    names, or about expectations, `expected`, with what was found."""

    offset: int
    label: str
    synapses: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()


def inlays(analysis: Analysis) -> list[Inlay]:
    """The verdict at each learning synapse of the text, at the `use` of a motif for those of another file, and what has
    become of each expectation of a verdict or an attractor."""
    return sorted([*_of_synapses(analysis), *_of_expectations(analysis)], key=lambda inlay: inlay.offset)


def _of_synapses(analysis: Analysis) -> Iterator[Inlay]:
    derivation = analysis.derivation
    if derivation is None:
        return
    lines: dict[int, list[Told]] = {}
    for told in derivation.findings.values():
        if told.role == "learning":
            place = _shown_at(analysis, derivation.circuit.synapses[told.synapse])
            if place is not None:
                lines.setdefault(_end_of_line(place), []).append(told)
    for offset, findings in lines.items():
        own = any(_declared_before(analysis, derivation, offset, told) for told in findings)
        names = tuple(told.synapse for told in findings)
        yield Inlay(offset=offset, label=f"⇒ {_together(findings, own=own)}", synapses=names)


def _shown_at(analysis: Analysis, synapse: ir.Synapse) -> Span | None:
    """Where in this text a synapse is shown: where it is written, or the innermost `use` that brings it in."""
    places = [synapse.span, *synapse.via[::-1]]
    return next((place for place in places if place.source is analysis.source), None)


def _end_of_line(place: Span) -> int:
    source = place.source
    start = source.line_starts[place.line - 1]
    return start + len(source.line_text(place.line).rstrip())


def _declared_before(analysis: Analysis, derivation: Derivation, offset: int, told: Told) -> bool:
    """Whether the synapse itself is written on the line that ends there."""
    span = derivation.circuit.synapses[told.synapse].span
    return span.source is analysis.source and _end_of_line(span) == offset


def _together(findings: list[Told], *, own: bool) -> str:
    """The verdicts of one line, those that are alike once; without names where the line declares one synapse."""
    alike: dict[str, list[str]] = {}
    for told in findings:
        alike.setdefault(in_short(told), []).append(told.synapse)
    if own and len(alike) == 1:
        return next(iter(alike))
    if not own:
        alike = {verdict: [name.rpartition(".")[2] for name in names] for verdict, names in alike.items()}
    return " · ".join(f"{', '.join(dict.fromkeys(names))}: {verdict}" for verdict, names in alike.items())


def _of_expectations(analysis: Analysis) -> Iterator[Inlay]:
    if analysis.circuit is None:
        return
    judged = [e for e in analysis.circuit.expects if not isinstance(e, ir.ExpectMetric)]
    lines: dict[int, list[bool | None]] = {}
    told: dict[int, list[str]] = {}
    for expect, judgement in zip(judged, analysis.judgements, strict=True):
        if expect.span.source is analysis.source:
            offset = _end_of_line(expect.span)
            lines.setdefault(offset, []).append(judgement.ok)
            told.setdefault(offset, []).append(f"{judgement.text}: {judgement.value or 'not known'}")
    for offset, oks in lines.items():
        sign = "✗" if False in oks else "·" if None in oks else "✓"
        yield Inlay(offset=offset, label=sign, expected=tuple(told[offset]))


# ---------------------------------------------------------------- why


def tooltip(analysis: Analysis, inlay: Inlay) -> str:
    """What the words of an inlay rest on, as Markdown."""
    derivation = analysis.derivation
    assert derivation is not None
    derived = page(analysis, [derivation.findings[name] for name in inlay.synapses])
    return "\n\n".join([*([derived] if derived else []), *inlay.expected])


def page(analysis: Analysis, findings: Iterable[Told]) -> str:
    """Update, gradient, verdict and hypotheses of synapses, as Markdown; those that are alike are told once."""
    derivation = analysis.derivation
    assert derivation is not None
    wanted = {told.synapse: told for told in findings}
    parts: list[str] = []
    for block in analysis.blocks:
        names = [absolute(block.name, i) for i in block.indices] or [block.name]
        here = [wanted[name] for name in names if name in wanted]
        if here:
            parts.append("\n".join(["```text", *block_lines(block, WIDTH), "```"]))
            parts += _assumed(derivation, here[0])
    return "\n\n".join(parts)


def _assumed(derivation: Derivation, told: Told) -> Iterator[str]:
    """The hypotheses of a verdict, each with its sentence."""
    if told.role != "learning" or told.verdict is None:
        return
    if not told.assumes:
        yield "Assumes nothing."
        return
    constants = derivation.symbols.constants
    sentences = (f"- `{name_of(h)}`: {text_of(h, constants)}" for h in told.assumes)
    yield "Assumes:\n" + "\n".join(textwrap.shorten(sentence, 400) for sentence in sentences)
