"""Weights that are 0 in every state reached from the start, and rules that nothing ever drives; each with the reason.

A plastic weight that starts at 0 stays 0 while its increment is 0 wherever the weights that may have become other than
0 lead: the ranges of graph/ranges.py grow from the start, so the zeros that they keep are the complement of the least
fixed point of "may become non-zero" (a set of synapses that drive only each other is a siphon).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.graph.plasticity import Term, split
from circuitdsl.graph.quantities import Weights, drive_of
from circuitdsl.graph.ranges import Ranges


@frozen
class EmptyMask:
    """No connection is ever there."""


@frozen
class HeldAtZero:
    """They start at 0, and there is no rule, or `sign` and `bounds` keep what it adds from them."""


@frozen
class ZeroStart:
    """These synapses, itself among them, start at 0 and drive only each other."""

    together: tuple[str, ...]


@frozen
class NeverOpen:
    """A factor of the rule that is 0 in every state; `synapses` stay 0 and make it so, if any do."""

    factor: ir.Expr
    synapses: tuple[str, ...] = ()


@frozen
class OnlyDecays:
    """The rule is a function of the weight alone."""


@frozen
class FadesWith:
    """At rest nothing drives it, because these synapses have decayed to 0."""

    synapses: tuple[str, ...]


Why = EmptyMask | HeldAtZero | ZeroStart | NeverOpen | OnlyDecays | FadesWith


def dead_synapses(ranges: Ranges) -> dict[str, Why]:
    """The synapses whose weights are 0 in every state reached from the start."""
    return {s.name: _why_dead(ranges, s) for s in ranges.circuit.synapses.values() if ranges.weights(s.name).is_zero}


def never_driven(ranges: Ranges) -> dict[str, Why]:
    """The plastic synapses of which no state reached from the start has a drive: what the rule adds is 0, or a
    function of the weight alone."""
    found = ((s.name, why_idle(ranges, s)) for s in ranges.circuit.synapses.values() if s.dw is not None)
    return {name: why for name, why in found if why is not None}


def fading(ranges: Ranges, idle: Container[str] | None = None) -> dict[str, Why]:
    """The plastic synapses that decay to 0 though they do not start there, while all signals stay bounded: nothing
    drives them, or nothing does once others have decayed. `idle`: those that nothing drives from the start and, it may
    be, others; all, if that is not known."""
    found: dict[str, Why] = {}
    at_rest = ranges
    while True:
        new = {
            s.name: why
            for s in ranges.circuit.synapses.values()
            if s.name not in found and (found or idle is None or s.name in idle)
            and _decays(at_rest, s) and (why := why_idle(at_rest, s)) is not None
        }  # fmt: skip
        if not new:
            return found
        gone = tuple(found)
        for name, why in new.items():
            found[name] = FadesWith(_blamed(at_rest, ranges.circuit.synapses[name], gone) or gone) if gone else why
        at_rest = Ranges(ranges.circuit, ranges.given, ranges.params, frozenset(found), ranges)


def why_idle(ranges: Ranges, synapse: ir.Synapse, split_up: Iterable[Term] | None = None) -> Why | None:
    """Why nothing ever drives a plastic synapse; None if something may. `split_up`: the terms of its rule, if they are
    known."""
    if synapse.dw is None:
        return None
    if ranges.mask(synapse).is_empty:
        return EmptyMask()
    if ranges.weights(synapse.name).is_zero:
        return _why_dead(ranges, synapse)
    terms = _moving(split(synapse.dw) if split_up is None else split_up)
    if not all(_is_zero(ranges, term, synapse) for term in terms):
        return None
    if not terms:
        return OnlyDecays()
    factor = _zero_part(ranges, terms[0].expr(), synapse)
    return NeverOpen(factor, tuple(sorted(_blame(ranges, [factor], synapse))))


def _is_zero(ranges: Ranges, term: Term, synapse: ir.Synapse) -> bool:
    """Whether a term is 0: one of its factors has to be."""
    some = any(ranges.of(factor, synapse).is_zero for factor in (*term.factors(), *term.numeric))
    return some and ranges.of(term.expr(), synapse).is_zero


def _moving(terms: Iterable[Term]) -> list[Term]:
    """Those terms of a rule that are no function of the weight alone."""
    return [t for t in terms if not (t.weights and not (t.pre or t.signals or t.states or t.mixed))]


def _decays(ranges: Ranges, synapse: ir.Synapse) -> bool:
    """Whether, undriven, the weights come to 0 by their own linear decay, and are not there yet."""
    if synapse.dw is None or ranges.weights(synapse.name).is_zero:
        return False
    found, limits = ranges.increment(synapse.dw, Weights(synapse.name)), ranges.limits(synapse)
    leak = found.slope.is_point and -2 < found.slope.low < 0
    return leak and found.rest.is_zero and not found.pulls and limits.low <= 0 <= limits.high


# ---------------------------------------------------------------- reasons


def _why_dead(ranges: Ranges, synapse: ir.Synapse) -> Why:
    if ranges.mask(synapse).is_empty:
        return EmptyMask()
    if synapse.dw is None or not ranges.of(synapse.dw, synapse).is_zero:
        return HeldAtZero()
    together = {synapse.name}
    waiting = [synapse]
    while waiting:
        owner = waiting.pop()
        if owner.dw is not None:
            new = _blame(ranges, [t.expr() for t in _moving(split(owner.dw))], owner) - together
            together |= new
            waiting += [ranges.circuit.synapses[name] for name in new]
    plastic = {name for name in together if ranges.circuit.synapses[name].dw is not None}
    return ZeroStart(tuple(name for name in ranges.circuit.synapses if name in plastic))


def _blamed(ranges: Ranges, synapse: ir.Synapse, among: Iterable[str]) -> tuple[str, ...]:
    """The synapses among those given that keep a rule from being driven; none, if it is not a 0 that they leave but
    another number, which a rule compares."""
    assert synapse.dw is not None
    found = _blame(ranges, [t.expr() for t in _moving(split(synapse.dw))], synapse)
    return tuple(name for name in among if name in found)


def _zero_part(ranges: Ranges, expr: ir.Expr, synapse: ir.Synapse) -> ir.Expr:
    """The smallest part of an expression that makes it 0."""
    while True:
        zeros = [c for c in ir.children(expr) if ranges.of(c, synapse).is_zero]
        if not zeros or (isinstance(expr, ir.Apply) and expr.function in ("lt", "le", "gt", "ge", "eq", "ne")):
            return expr
        expr = zeros[0]


def _blame(ranges: Ranges, exprs: Iterable[ir.Expr], synapse: ir.Synapse) -> set[str]:
    """The synapses whose weights of 0 leave these expressions of a synapse 0."""
    found: set[str] = set()
    seen: set[str] = set()
    waiting: list[str] = []
    for expr in exprs:
        for part in _zeros(ranges, expr, synapse):
            match part:
                case ir.Read(value=name):
                    waiting.append(name)
                case ir.Weight():
                    found.add(synapse.name)
                case _:
                    pass
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        value = ranges.circuit.values[name]
        for made in (value.expr, value.update):
            zeros = () if made is None else _zeros(ranges, made, None)
            waiting += [part.value for part in zeros if isinstance(part, ir.Read)]
        for current in value.currents:
            if ranges.weights(current.synapse).is_zero:
                found.add(current.synapse)
            elif ranges.of(current.source).is_zero:
                waiting.append(current.source.value)
    return found


def _zeros(ranges: Ranges, expr: ir.Expr, synapse: ir.Synapse | None) -> Iterator[ir.Expr]:
    """The parts of an expression that are 0 and read something."""
    for part in ir.walk(expr):
        match part:
            case ir.Read() | ir.Weight() if ranges.of(part, synapse).is_zero:
                yield part
            case ir.DriveRead(name=name) if synapse is not None and ranges.of(part, synapse).is_zero:
                yield from _zeros(ranges, drive_of(synapse, name), synapse)
            case ir.SynapseState(name=name) if synapse is not None and ranges.of(part, synapse).is_zero:
                update = synapse.state(name).update
                within = () if update is None else ir.walk(update)
                yield from (e for e in within if isinstance(e, ir.Read) and ranges.of(e, synapse).is_zero)
            case _:
                pass
