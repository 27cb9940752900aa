"""The gradient twin: the same circuit, learning by the true gradient (language.md, "The gradient twin").

Its forward part, masks, signs and bounds are those of the circuit. In each learning synapse, whatever tells
the rule how to change is replaced by delta = -d loss / d current of the synapse's dendrite; presynaptic
factors, numbers (without their sign), decay and states stay. In detail, where language.md is silent:

- A rule is taken as a sum of terms (graph/plasticity.py). Terms without presynaptic factor and without signal
  (decay, constants, states) stay as they are. Terms with equal presynaptic factors are one drive: `post * pre -
  theta * pre` is `(post - theta) * pre`, and becomes `delta * pre`, with what their coefficients have in common.
- A term with a signal but no presynaptic factor stays only in a synapse from `bias` (whose rate is 1).
- A function of the weight beside a presynaptic factor and a signal is replaced with the signal.
- Not separable, and therefore `eta * delta * pre`: factors that mix pre with signals; signal times weight without
  pre (Oja's normalisation); a rule in which there is nothing to replace.
- A `fresh` state (an eligibility trace) stands for the factors that drive it: delta knows the time already.
- Drives and persistent states stay, with their sources replaced, so that Adam stays Adam. Where such a rule reads
  signals outside a drive, they are gathered in one, so that everything else happens once per update.
- The sign of a number in front of a drive or state is kept and delta is signed to match, as the rule `dw = -eta * m`
  of `dm = grad - m` asks for; params there are taken without their sign.
- Auxiliary synapses, and those that reach the loss through steps only, do not learn: the loss is differentiable in
  nothing that reads them. `keep` states stay at their initial values, as the twin only ever runs the evaluation pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import field, replace

from circuitdsl.diagnostics import Span
from circuitdsl.frozen import mutable
from circuitdsl.graph.folding import apply, mul, neg, num, product, rebuild, total
from circuitdsl.graph.ir import (
    Axis,
    Circuit,
    DriveRead,
    Expr,
    Kind,
    Lifetime,
    ParamRef,
    Read,
    Synapse,
    SynapseDrive,
    SynapseState,
    Value,
    reads,
    walk,
)
from circuitdsl.graph.plasticity import Term, polarity, split
from circuitdsl.twin.adjoints import adjoint_name, adjoints
from circuitdsl.twin.paths import graded_synapses, learning_synapses, role

__all__ = ["adjoint_name", "adjoints", "delta", "graded_synapses", "learning_synapses", "role", "twin"]

#: The learning rate where a rule gives none and the circuit has no param `eta`.
DEFAULT_ETA = 0.1


def twin(circuit: Circuit) -> Circuit:
    """The circuit that learns by the gradient of its loss; see the module's text.

    `reverse` holds the adjoints that its rules need, and no others. Raises CircuitError (C051) if the circuit
    declares no loss.
    """
    differentiated = adjoints(circuit)
    learning = frozenset(graded_synapses(circuit))
    synapses = {
        name: _taught(circuit, synapse) if name in learning else replace(synapse, dw=None, states=(), drives=())
        for name, synapse in circuit.synapses.items()
    }
    needed = _needed(differentiated, (synapses[name] for name in learning))
    values = {
        name: replace(value, update=None) if value.lifetime is Lifetime.KEEP else value
        for name, value in differentiated.values.items()
        if value.kind is not Kind.ADJOINT or name in needed
    }
    reverse = tuple(name for name in differentiated.reverse if name in needed)
    return replace(circuit, values=values, synapses=synapses, reverse=reverse)


def delta(synapse: Synapse, span: Span) -> Expr:
    """-d loss / d current of the synapse's dendrite, as its rule reads it."""
    return neg(Read(span=span, value=adjoint_name(synapse.dendrite), axis=Axis.POST), span=span)


def _needed(circuit: Circuit, synapses: Iterable[Synapse]) -> set[str]:
    """The adjoints that rules read, and those that these read, at whatever tick."""
    waiting = [r.value for s in synapses for e in _equations(s) for r in reads(e)]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        value = circuit.values[name]
        if name in found or value.kind is not Kind.ADJOINT:
            continue
        found.add(name)
        waiting += _reads(value)
    return found


def _reads(value: Value) -> list[str]:
    return [r.value for r in (reads(value.expr) if value.expr else ())] + [c.source.value for c in value.currents]


def _equations(synapse: Synapse) -> Iterator[Expr]:
    if synapse.dw is not None:
        yield synapse.dw
    yield from (d.expr for d in synapse.drives)
    yield from (s.update for s in synapse.states if s.update is not None)


# ---------------------------------------------------------------- one synapse


class _NotSeparable(Exception):
    """The rule has no factors that delta could take the place of."""


@mutable
class _Rule:
    """The rule of one learning synapse while it is rewritten."""

    circuit: Circuit
    synapse: Synapse
    delta: Expr
    told: frozenset[str] = frozenset()  # drives and states that carry delta
    replaced: bool = False  # whether delta has entered anywhere
    gathered: list[SynapseDrive] = field(default_factory=list)


def _taught(circuit: Circuit, synapse: Synapse) -> Synapse:
    """A learning synapse with delta in its rule."""
    assert synapse.dw is not None
    rule = _Rule(circuit, synapse, delta(synapse, synapse.dw.span))
    try:
        return _rewritten(rule, _without_fresh(synapse))
    except _NotSeparable:
        return replace(synapse, dw=_plain(rule), states=(), drives=())


def _plain(rule: _Rule) -> Expr:
    """eta * delta * pre."""
    span, source = rule.delta.span, rule.synapse.source
    param = rule.circuit.params.get("eta")
    named = param is not None and not isinstance(param.value, tuple)
    eta = apply("abs", ParamRef(span=span, name="eta"), span=span) if named else num(DEFAULT_ETA, span)
    pre = Read(span=span, value=source.value, axis=Axis.PRE, when=source.when)
    return product([eta, rule.delta, pre], span=span)


def _without_fresh(synapse: Synapse) -> Synapse:
    """The synapse with each `fresh` state replaced by the factors of what drives it."""
    fresh = {s.name: s for s in synapse.states if s.fresh}

    def source(name: str, within: frozenset[str]) -> Expr:
        update = fresh[name].update
        terms = split(update) if update is not None and name not in within else ()
        for term in terms:
            own = any(isinstance(p, SynapseState) and p.name == name for f in term.states for p in walk(f))
            if not own and term.factors():
                factors = product(term.factors(), span=term.span)
                return rebuild(factors, lambda e: standing(e, within | {name}))
        return num(1, synapse.span)

    def standing(expr: Expr, within: frozenset[str] = frozenset()) -> Expr | None:
        match expr:
            case SynapseState(name=name) if name in fresh:
                return source(name, within)
            case _:
                return None

    if not fresh:
        return synapse
    return replace(
        synapse,
        dw=None if synapse.dw is None else rebuild(synapse.dw, standing),
        drives=tuple(replace(d, expr=rebuild(d.expr, standing)) for d in synapse.drives),
        states=tuple(
            replace(s, update=None if s.update is None else rebuild(s.update, standing))
            for s in synapse.states
            if not s.fresh
        ),
    )


def _rewritten(rule: _Rule, synapse: Synapse) -> Synapse:
    """The synapse with delta in every equation that leads to its weight. Raises _NotSeparable."""
    assert synapse.dw is not None
    signs = _polarities(synapse)
    rule.told = _told(synapse)
    drives = []
    for drive in synapse.drives:
        if drive.name in signs:
            parts = _replaced(rule, drive.expr, signs[drive.name], drive.name)
            drives.append(replace(drive, expr=total(parts, span=drive.expr.span)))
    states = [s for s in synapse.states if s.name in signs]
    once = bool(drives or states)
    dw = _gathered(rule, synapse.dw, 1, None, once)
    advanced = tuple(
        replace(s, update=_gathered(rule, s.update, signs[s.name], s.name, once)) if s.update is not None else s
        for s in states
    )
    if not rule.replaced:
        raise _NotSeparable
    return replace(synapse, dw=dw, drives=(*drives, *rule.gathered), states=advanced)


def _told(synapse: Synapse) -> frozenset[str]:
    """The drives and states that signals reach, directly or through each other: delta reaches them too."""
    equations = {d.name: d.expr for d in synapse.drives}
    equations |= {s.name: s.update for s in synapse.states if s.update is not None}
    told = {name for name, expr in equations.items() if any(t.signals for t in split(expr))}
    while True:
        more = {n for n, e in equations.items() if n not in told and _states_in(e) & told}
        if not more:
            return frozenset(told)
        told |= more


def _states_in(expr: Expr) -> set[str]:
    return {p.name for p in walk(expr) if isinstance(p, SynapseState | DriveRead)}


def _polarities(synapse: Synapse) -> dict[str, int]:
    """The states and drives that the weight depends on, each with the sign with which it drives it."""
    assert synapse.dw is not None
    equations = {d.name: d.expr for d in synapse.drives}
    equations |= {s.name: s.update for s in synapse.states if s.update is not None}
    signs: dict[str, int] = {}
    waiting: list[tuple[Expr, int]] = [(synapse.dw, 1)]
    while waiting:
        expr, sign = waiting.pop(0)
        parts = [p for p in walk(expr) if isinstance(p, SynapseState | DriveRead)]
        for part in sorted(parts, key=lambda p: polarity(expr, p) == 0):
            if part.name not in signs:
                signs[part.name] = sign * (polarity(expr, part) or 1)
                if part.name in equations:
                    waiting.append((equations[part.name], signs[part.name]))
    return signs


def _gathered(rule: _Rule, expr: Expr, sign: int, state: str | None, once: bool) -> Expr:
    """An increment with delta in it; if it is to happen `once` per update, what differs between examples
    becomes a drive."""
    driven, kept = _replaced(rule, expr, sign, state)
    if once and driven != num(0, expr.span):
        taken = {d.name for d in (*rule.synapse.drives, *rule.gathered)} | {s.name for s in rule.synapse.states}
        name = "gradient" if state is None else f"gradient_{state}"
        while name in taken:
            name += "_"
        rule.gathered.append(SynapseDrive(name=name, expr=driven, span=expr.span))
        driven = DriveRead(span=expr.span, name=name)
    return total([driven, kept], span=expr.span)


def _replaced(rule: _Rule, expr: Expr, sign: int, owner: str | None) -> tuple[Expr, Expr]:
    """An equation with delta in it: what differs between examples, and what does not.

    `sign`: how the weight follows what the equation is for; `owner`: its state or drive, None for `dw`."""
    sources: list[Term] = []
    kept: list[Term] = []
    for term in split(expr):
        if term.mixed:
            raise _NotSeparable
        if any(_states_in(factor) & rule.told for factor in term.states):
            term = replace(term, signals=())
        (sources if term.pre or term.signals else kept).append(term)
    driven = total(_drives(rule, sources, sign, squares=owner is not None), span=expr.span)
    return driven, total((_carried(t, owner) for t in kept), span=expr.span)


def _carried(term: Term, owner: str | None) -> Expr:
    """Decay and constants as they are; in front of other states and drives params lose their sign."""
    if not set().union(*map(_states_in, term.states)) - {owner}:
        return term.expr()
    sign = num(-1 if term.number < 0 else 1, term.span)
    return product([sign, term.magnitude(), *term.factors()], span=term.span)


# ---------------------------------------------------------------- where delta goes


def _drives(rule: _Rule, sources: list[Term], sign: int, *, squares: bool) -> Iterator[Expr]:
    """The terms that differ between examples, those of equal presynaptic factors as one."""
    if any(t.signals and t.weights and not t.pre for t in sources):
        raise _NotSeparable
    groups: dict[frozenset[tuple[Expr, int]], list[Term]] = {}
    for term in sources:
        groups.setdefault(frozenset(Counter(term.pre + term.states).items()), []).append(term)
    for group in groups.values():
        yield _drive(rule, group, sign, squares=squares)


def _drive(rule: _Rule, group: list[Term], sign: int, *, squares: bool) -> Expr:
    first, span = group[0], group[0].span
    told = [t for t in group if t.signals]
    if not told:
        return total((t.expr() for t in group), span=span)
    constant = rule.circuit.values[rule.synapse.source.value].kind is Kind.BIAS
    if not first.pre and not first.states and not constant:
        return num(0, span)
    rule.replaced = True
    signal = rule.delta if sign > 0 else neg(rule.delta, span=span)
    if squares and all(_is_square(t) for t in told):
        signal = mul(rule.delta, rule.delta, span=span)
    return product([_common(told), signal, *first.pre, *first.states], span=span)


def _common(terms: list[Term]) -> Expr:
    """The coefficient of several terms that become one: what theirs have in common, without sign."""
    span = terms[0].span
    shared = Counter(terms[0].numeric)
    for term in terms[1:]:
        shared &= Counter(term.numeric)
    if not shared and any(t.numeric for t in terms):
        return total((t.magnitude() for t in terms), span=span)
    number = max(abs(t.number) for t in terms)
    return Term(span=span, number=number, numeric=tuple(shared.elements())).magnitude()


def _is_square(term: Term) -> bool:
    """Whether a source is the square of one (of the gradient, for RMSprop)."""
    return all(count % 2 == 0 for count in Counter((*term.signals, *term.pre)).values())
