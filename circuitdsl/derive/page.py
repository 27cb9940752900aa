"""The derivation as a page that reads from top to bottom: the answer first, then why, each line checkable by hand."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from circuitdsl.derive.drives import Drive
from circuitdsl.derive.expects import Judgement
from circuitdsl.derive.relations import Relation
from circuitdsl.derive.symbols import Symbols
from circuitdsl.derive.verdict import Derivation, Finding
from circuitdsl.derive.wording import matrix_word, relation_text
from circuitdsl.graph import ir

INDENT = "     "
LABEL = 10


def page(derivation: Derivation, judgements: Sequence[Judgement], *, width: int = 100) -> str:
    """The whole derivation as text. Synapses that were made alike by a motif stand one after another."""
    lines = [headline(derivation.circuit), ""]
    for finding in ordered(derivation):
        lines += [*block(derivation, finding, width), ""]
    lines += list(together(derivation, width))
    lines += list(expectations(judgements))
    return "\n".join(lines)


def headline(circuit: ir.Circuit) -> str:
    neurons = len(circuit.of_kind(ir.Kind.RATE))
    plastic = sum(s.dw is not None for s in circuit.synapses.values())
    loss = f"loss {flat(circuit.loss.expr.span.text)}" if circuit.loss else "no loss"
    ticks = f"{len(circuit.schedule.phases)} phases" if circuit.schedule.phases else "one tick"
    return f"{circuit.name}      {neurons} populations · {plastic} plastic synapses · {loss} · {ticks}"


def flat(text: str) -> str:
    return " ".join(text.split())


def ordered(derivation: Derivation) -> list[Finding]:
    """Learning weights from the output down, then what carries their credit, then the fixed ones."""
    rank = {"learning": 0, "auxiliary": 1, "fixed": 2}
    found = list(derivation.findings.values())[::-1]
    return sorted(found, key=lambda f: rank[f.role])


def block(derivation: Derivation, finding: Finding, width: int) -> Iterator[str]:
    synapse = derivation.circuit.synapses[finding.synapse]
    dendrites = derivation.circuit.populations[synapse.post].dendrites
    target = synapse.post if len(dendrites) == 1 else synapse.dendrite
    yield f"{synapse.name}   {synapse.source.value} → {target}      {kind_text(finding)}"
    if finding.role == "fixed":
        return
    line = (synapse.dw_span or synapse.span).line
    if finding.implied is not None:
        yield from labelled("update", f"{finding.implied}   (line {line})", width)
    elif synapse.dw_span is not None:
        yield from labelled("update", f"{flat(synapse.dw_span.text)}   (line {line})", width)
    if finding.gradient is not None:
        yield from labelled("gradient", f"δ = {finding.gradient}", width)
    if finding.role == "learning":
        for reason in finding.because:
            yield from labelled("because" if not reason.startswith("not shown") else "", reason, width)
        yield f"{INDENT}⇒ {verdict_text(finding)}"
    else:
        for reason in finding.because:
            yield from labelled("relation", reason, width)


def kind_text(finding: Finding) -> str:
    if finding.role == "fixed":
        return "fixed"
    return f"{finding.role} · {finding.rule}"


def labelled(label: str, text: str, width: int) -> Iterator[str]:
    first = f"{INDENT}{label.ljust(LABEL)}"
    yield from textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=" " * len(first), break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def verdict_text(finding: Finding) -> str:
    if finding.verdict is None:
        return "no verdict: nothing was shown, and nothing measured"
    extra = ""
    if finding.verdict == "exact":
        extra = ": update = learning rate · (−∂loss/∂W), in every state"
    elif finding.verdict == "gradient":
        extra = f": on the attractor the update follows −∂loss/∂W, H = {finding.H}"
    drive = finding.drive
    decay = " (its decay is the gradient of ½γ|W|²)" if isinstance(drive, Drive) and drive.decay is not None else ""
    return f"{finding.verdict}, {finding.evidence}{extra}{decay}"


def together(derivation: Derivation, width: int) -> Iterator[str]:
    learning = [f for f in derivation.findings.values() if f.role == "learning"]
    if learning:
        yield from labelled_wide("together", consistency(derivation, learning), width)
    if derivation.meta_objective is not None:
        note = f"{derivation.meta_objective}   (the plastic dendrites climb it; external signals held fixed)"
        yield from labelled_wide("", note, width)
    used = {r for f in learning if f.match is not None for r in f.match.relations}
    symbols = Symbols(derivation.circuit)
    for relation in derivation.relations:
        if relation not in used and relation.kind != "quadratic":
            yield from labelled_wide("also", relation_text(symbols, relation), width)
    wires: dict[str, list[str]] = {}
    for wire in derivation.circuit.wires:
        wires.setdefault(wire.population, []).append(wire.value)
    if wires:
        shown = "; ".join(f"{p} ← {', '.join(dict.fromkeys(v))}" for p, v in wires.items())
        yield from labelled_wide("wires", f"{shown} (one-to-one)", width)


def labelled_wide(label: str, text: str, width: int) -> Iterator[str]:
    yield from textwrap.wrap(
        text, width, initial_indent=label.ljust(11), subsequent_indent=" " * 11, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def consistency(derivation: Derivation, learning: Sequence[Finding]) -> str:
    posts = ", ".join(dict.fromkeys(derivation.circuit.synapses[f.synapse].post for f in learning))
    match derivation.dc:
        case True:
            sign = "φ > 0" if all(f.phi_sign == 1 for f in learning) else "φ < 0"
            return f"patches {posts}: {sign} in all: dynamically consistent"
        case False:
            wrong = ", ".join(f.synapse for f in learning if f.phi_sign == -1)
            return f"φ < 0 at {wrong}, φ > 0 elsewhere: not dynamically consistent"
        case None:
            return f"patches {posts}: not all signs of φ are known by algebra"


def expectations(judgements: Sequence[Judgement]) -> Iterator[str]:
    if not judgements:
        return
    marks = {True: "✓", False: "✗", None: "?"}
    for j in judgements:
        if j.ok is not True:
            yield f"{marks[j.ok]} {j.text}   (line {j.line}): {j.value or 'not shown'}"
    held = sum(j.ok is True for j in judgements)
    yield f"{held} of {len(judgements)} expectations hold."


def as_json(derivation: Derivation, judgements: Sequence[Judgement]) -> dict[str, object]:
    """The object of `derive --json` (language.md)."""
    symbols = Symbols(derivation.circuit)
    return {
        "circuit": derivation.circuit.name,
        "synapses": {
            f.synapse: {
                "role": f.role, "rule": f.rule, "credit": f.credit, "gradient": f.gradient, "implied": f.implied,
                "phi_sign": f.phi_sign, "H": f.H, "verdict": f.verdict, "evidence": f.evidence,
                "because": list(f.because),
            }
            for f in derivation.findings.values()
        },
        "attractors": [
            {
                "left": matrix_word(r.left), "right": matrix_word(r.right), "factor": r.factor.value(symbols.numbers),
                "rate": None if r.rate is None else r.rate.value(symbols.numbers), "kind": kind_of(r),
            }
            for r in derivation.relations
        ],
        "wires": [{"population": w.population, "from": w.value, "line": w.span.line} for w in derivation.circuit.wires],
        "meta_objective": derivation.meta_objective,
        "dc": derivation.dc,
        "expects": [{"text": j.text, "ok": j.ok, "value": j.value, "line": j.line} for j in judgements],
    }  # fmt: skip


def kind_of(relation: Relation) -> str:
    if relation.tied:
        return "tied"
    return relation.kind if relation.exact else f"{relation.kind} at rest"
