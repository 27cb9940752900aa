"""The verdict on every learning synapse: what its own plasticity amounts to, and whether that is a gradient.

theory.md, sections 3 and 4. Symbols only: no data is seen here. Where no relation decides, the verdict is None and
`because` says which step failed and what is missing; a certificate may then measure it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from circuitdsl.derive.drives import Drive, Filter, Unread, read_rule
from circuitdsl.derive.gradient import adjoint_name, adjoints, learning_synapses, role
from circuitdsl.derive.relations import Relation, find_relations
from circuitdsl.derive.rewriting import Match, Step, compare, rewrite, steps_of
from circuitdsl.derive.symbols import NotLinear, Symbols
from circuitdsl.derive.wording import (
    matrix_word,
    missing_transport,
    relation_text,
    scalar_text,
    show,
)
from circuitdsl.derive.words import Letter, LetterKind, Signal
from circuitdsl.graph import ir
from circuitdsl.graph.flow import all_sources, path, reached_from

Verdict = Literal["exact", "gradient", "descent", "ascent", "inconsistent", "none"]
Evidence = Literal["proved", "derived", "measured"]
RuleKind = Literal["heterosynaptic", "homosynaptic", "partner", "three-factor", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was derived about one synapse; see language.md, "Command line", `derive`."""

    synapse: str
    role: Literal["learning", "auxiliary", "fixed"]
    rule: RuleKind
    credit: str | None = None
    gradient: str | None = None
    implied: str | None = None
    phi_sign: int | None = None
    H: str | None = None
    verdict: Verdict | None = None
    evidence: Evidence | None = None
    because: tuple[str, ...] = ()
    drive: Drive | Unread | None = field(default=None, repr=False)
    match: Match | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """Everything derived about a circuit. `dc`: all phi have one sign (None: not known)."""

    circuit: ir.Circuit = field(repr=False)
    findings: dict[str, Finding]
    relations: tuple[Relation, ...]
    meta_objective: str | None
    dc: bool | None

    def __getitem__(self, synapse: str) -> Finding:
        return self.findings[synapse]


def derive(circuit: ir.Circuit) -> Derivation:
    """What the circuit's plasticity amounts to, symbolically. A circuit without a loss gets no verdicts."""
    differentiated = adjoints(circuit) if circuit.loss is not None else circuit
    symbols = Symbols(differentiated)
    learning = frozenset(learning_synapses(circuit)) if circuit.loss is not None else frozenset()
    rules = {s.name: read_rule(symbols, s) for s in circuit.synapses.values() if s.dw is not None}
    drives = [d for d in rules.values() if isinstance(d, Drive)]
    relations = find_relations(symbols, drives, learning) if is_single_tick(circuit) else []
    steps = steps_of(relations, readouts(drives, learning))
    findings: dict[str, Finding] = {}
    for synapse in circuit.synapses.values():
        base = Finding(
            synapse=synapse.name,
            role=role(circuit, synapse.name) if circuit.loss is not None else without_loss(synapse),
            rule=rule_kind(circuit, synapse),
            drive=rules.get(synapse.name),
        )
        findings[synapse.name] = judged(base, symbols, circuit, steps, relations)
    findings, dc = consistent(findings)
    return Derivation(
        circuit=circuit, findings=findings, relations=tuple(relations),
        meta_objective=meta_objective(symbols, drives), dc=dc,
    )  # fmt: skip


def without_loss(synapse: ir.Synapse) -> Literal["auxiliary", "fixed"]:
    return "fixed" if synapse.dw is None else "auxiliary"


def is_single_tick(circuit: ir.Circuit) -> bool:
    """Relations are claimed only where an example is one tick: states are then constants of the example."""
    return not circuit.schedule.phases


def readouts(drives: Sequence[Drive], learning: frozenset[str]) -> frozenset[str]:
    """The auxiliaries that stand first in the credit of a learning weight."""
    found: set[str] = set()
    for drive in drives:
        if drive.synapse in learning:
            for term in drive.credit.terms:
                first = next((x for x in term.word if x.kind is LetterKind.MATRIX), None)
                if first is not None:
                    found.add(first.name)
    return frozenset(found)


# ---------------------------------------------------------------- kinds of rules


def rule_kind(circuit: ir.Circuit, synapse: ir.Synapse) -> RuleKind:
    """By what the rule reads: modulators, another dendrite of its neuron, a partner, its own dendrite."""
    expressions = [e for e in (synapse.dw, *(d.expr for d in synapse.drives), *(s.update for s in synapse.states)) if e]
    found = [r for e in expressions for r in ir.reads(e) if r.axis is not ir.Axis.PRE]
    if not found:
        return "other"
    if any(r.axis is ir.Axis.SCALAR for r in found):
        return "three-factor"
    sources = all_sources(circuit)
    own = [r.value for r in found if circuit.values[r.value].population == synapse.post]
    others = {d for d in circuit.populations[synapse.post].dendrites if d != synapse.dendrite}
    if any(others & ({v} | direct_sources(sources, circuit, v)) for v in own):
        return "heterosynaptic"
    if any(circuit.values[r.value].population != synapse.post for r in found):
        return "partner"
    return "homosynaptic"


def direct_sources(sources: object, circuit: ir.Circuit, value: str) -> set[str]:
    """What a value of a neuron is made of within the neuron."""
    population = circuit.values[value].population
    seen: set[str] = set()
    waiting = [value]
    while waiting:
        name = waiting.pop()
        made = circuit.values[name]
        for expr in (made.expr, made.update):
            for read in ir.reads(expr) if expr is not None else ():
                if circuit.values[read.value].population == population and read.value not in seen:
                    seen.add(read.value)
                    waiting.append(read.value)
    return seen


# ---------------------------------------------------------------- one synapse


def judged(
    base: Finding, symbols: Symbols, circuit: ir.Circuit, steps: Sequence[Step], relations: Sequence[Relation]
) -> Finding:
    synapse = circuit.synapses[base.synapse]
    drive = base.drive
    credit = show(drive.credit) if isinstance(drive, Drive) else None
    found = replace(base, credit=credit, implied=implied(symbols, synapse, drive))
    if base.role != "learning":
        return replace(found, because=about_auxiliary(base, relations, symbols))
    blind = cannot_see_error(circuit, synapse)
    if blind is not None:
        return replace(found, gradient=gradient_text(symbols, synapse), phi_sign=0, verdict="none",
                       evidence="proved", because=(blind,))  # fmt: skip
    if isinstance(drive, Unread):
        why = f"not shown: {drive.why}"
        return replace(found, gradient=gradient_text(symbols, synapse), because=(why,))
    assert drive is not None
    return compared(found, symbols, circuit, synapse, drive, steps)


def delta_of(symbols: Symbols, synapse: ir.Synapse) -> Signal:
    """-d loss / d current of the synapse's dendrite. Raises NotLinear."""
    name = adjoint_name(synapse.dendrite)
    if name not in symbols.circuit.values:
        raise NotLinear("the loss reaches this dendrite through several ticks only")
    return -symbols.value(name)


def gradient_text(symbols: Symbols, synapse: ir.Synapse) -> str | None:
    try:
        return show(delta_of(symbols, synapse))
    except NotLinear:
        return None


def compared(
    found: Finding, symbols: Symbols, circuit: ir.Circuit, synapse: ir.Synapse, drive: Drive, steps: Sequence[Step]
) -> Finding:
    try:
        delta = delta_of(symbols, synapse)
    except NotLinear as reason:
        return replace(found, because=(f"not shown: the gradient is no sum of words: {reason}",))
    found = replace(found, gradient=show(delta))
    if not is_single_tick(circuit):
        why = "not shown: with several ticks relations hold at best tick by tick; the gradient runs through all"
        return replace(found, because=(why,))
    source = symbols.value(synapse.source.value)
    ratio = drive.pre.ratio(source)
    if ratio is None:
        return replace(found, because=(f"not shown: the rule takes {show(drive.pre)} for its presynaptic rate",))
    credit = drive.credit.times(ratio)
    match = compare(credit, delta, steps)
    if match is None:
        return replace(found, because=(missing_transport(symbols, circuit, credit, delta, steps),))
    return with_match(found, symbols, drive, match)


def with_match(found: Finding, symbols: Symbols, drive: Drive, match: Match) -> Finding:
    sign = match.factor.sign * drive.rate.sign
    used = list(match.relations)
    loose = [r for r in used if not r.tied]
    at_rest = [r for r in loose if not r.exact]
    because = [relation_text(symbols, r) for r in used]
    approximate = match.mean_field or bool(at_rest) or drive.filter in (Filter.TRACE, Filter.BOTH)
    approximate = approximate or drive.filter is Filter.DIAGONAL
    evidence: Evidence = "derived" if approximate else "proved"
    if match.mean_field:
        because.append("gates dropped on both sides, which begin with the same one: mean-field")
    if drive.filter is not Filter.NONE:
        because.append(f"between drive and weight stands a {drive.filter.value}: gradients slow against it")
    h = h_text(match, drive)
    verdict: Verdict
    if not match.constant:
        verdict = "descent" if sign > 0 else "ascent"
        evidence = "derived"
        because.append(f"credit = {h} δ with a factor that changes from example to example")
    elif not loose and not match.h and not match.mean_field and drive.filter is Filter.NONE:
        verdict = "exact" if sign > 0 else "ascent"
        because.append(f"credit = {scalar_text(match.factor)}δ in every state")
    else:
        verdict = "gradient" if sign > 0 else "ascent"
        because.append(f"then credit = {scalar_text(match.factor)}{'' if h == 'I' else h + ' '}δ")
    return replace(found, phi_sign=sign, H=h, verdict=verdict, evidence=evidence, because=tuple(because), match=match)


def h_text(match: Match, drive: Drive) -> str:
    inner = matrix_word(match.h)
    shown = "I" if not match.h else f"({inner})⁻¹" if match.inverse else inner
    match drive.filter:
        case Filter.NONE:
            return shown
        case Filter.TRACE:
            return f"low-pass · {shown}"
        case Filter.DIAGONAL:
            return f"diag(vec W) · {shown}"
        case Filter.BOTH:
            return f"diag(vec W) · low-pass · {shown}"


def implied(symbols: Symbols, synapse: ir.Synapse, drive: Drive | Unread | None) -> str | None:
    """The update as a formula."""
    if not isinstance(drive, Drive):
        return None
    decay = "" if drive.decay is None else f" − {scalar_text(drive.decay)}w"
    inner = f"({show(drive.credit)}) ⊗ {show(drive.pre)}" if len(drive.credit.terms) > 1 else (
        f"{show(drive.credit)} ⊗ {show(drive.pre)}"
    )  # fmt: skip
    through = "" if drive.filter is Filter.NONE else f" through a {drive.filter.value}"
    return f"Δw = {scalar_text(drive.rate)}{inner}{through}{decay}"


def about_auxiliary(base: Finding, relations: Sequence[Relation], symbols: Symbols) -> tuple[str, ...]:
    if base.role == "fixed":
        return ("it has no rule",)
    own = [r for r in relations if base.synapse in r.synapses]
    return tuple(relation_text(symbols, r) for r in own)


def cannot_see_error(circuit: ir.Circuit, synapse: ir.Synapse) -> str | None:
    """Why no target reaches anything that the rule reads, or None if one does."""
    targets = [p.name for p in circuit.of_kind(ir.Kind.TARGET)]
    if not targets:
        return None
    expressions = [e for e in (synapse.dw, *(d.expr for d in synapse.drives), *(s.update for s in synapse.states)) if e]
    reached = reached_from(all_sources(circuit), targets)
    read = {r.value for e in expressions for r in ir.reads(e)}
    if read & reached:
        return None
    listed = ", ".join(sorted(read))
    return f"the rule reads {listed}: no path leads there from {', '.join(targets)}, so it cannot see the error"


# ---------------------------------------------------------------- together


def consistent(findings: dict[str, Finding]) -> tuple[dict[str, Finding], bool | None]:
    """Dynamical consistency: the phi of all patches have one sign."""
    learning = [f for f in findings.values() if f.role == "learning"]
    signs = [f.phi_sign for f in learning]
    positive, negative = any(s == 1 for s in signs), any(s == -1 for s in signs)
    if positive and negative:
        return {name: _inconsistent(f) for name, f in findings.items()}, False
    known = bool(signs) and all(s is not None and s != 0 for s in signs)
    return findings, True if known else None


def _inconsistent(found: Finding) -> Finding:
    note = "not dynamically consistent: other patches have the opposite sign"
    if found.phi_sign == -1:
        return replace(found, verdict="inconsistent", because=(*found.because, note))
    if found.phi_sign == 1 and found.verdict == "gradient":
        return replace(found, verdict="descent", because=(*found.because, note))
    return found


def meta_objective(symbols: Symbols, drives: Sequence[Drive]) -> str | None:
    """J = E[p . q] - ..., which the two-signal motifs climb with the external signals held fixed."""
    parts: list[str] = []
    for x in drives:
        one = symbols.circuit.synapses[x.synapse]
        for y in drives:
            two = symbols.circuit.synapses[y.synapse]
            if x.synapse >= y.synapse or one.post != two.post or one.dendrite == two.dendrite:
                continue
            if x.rate.sign < 0 or y.rate.sign < 0:
                continue
            if _reads_dendrite(one, two.dendrite, symbols) and _reads_dendrite(two, one.dendrite, symbols):
                p, q = sorted((one.dendrite, two.dendrite))
                parts.append(f"E[{p} · {q}] − ½ ({_decays(x)} + {_decays(y)})")
    return "J = " + " + ".join(parts) if parts else None


def _decays(drive: Drive) -> str:
    if drive.decay is None:
        return f"0|{drive.synapse}|²"
    return f"{scalar_text(drive.decay * drive.rate.inverse())}|{drive.synapse}|²"


def _reads_dendrite(synapse: ir.Synapse, dendrite: str, symbols: Symbols) -> bool:
    assert synapse.dw is not None
    for read in ir.reads(synapse.dw):
        if read.axis is ir.Axis.POST:
            made = {read.value} | direct_sources(None, symbols.circuit, read.value)
            if dendrite in made:
                return True
    return False


__all__ = ["Derivation", "Finding", "Letter", "derive", "path", "rewrite"]
