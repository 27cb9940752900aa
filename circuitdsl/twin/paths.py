"""The evaluation pass, and who reaches the loss through it.

Roles of synapses (theory.md, section 2): a plastic synapse on which the loss depends is `learning`, one on which it
does not is `auxiliary`, one without `dw` is `fixed`. Of the learning ones those are **graded** that have a
differentiable path to the loss; the others reach it through steps only (spikes, gates, comparisons), and their gradient
is 0 almost everywhere. The path is that of evaluation: `train` and the flags of training phases are 0 there, and `keep`
states do not move.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, assert_never

from circuitdsl.diagnostics import Span
from circuitdsl.frozen import frozen
from circuitdsl.graph.folding import apply, div, mul, num, rebuild, total
from circuitdsl.graph.functions import FUNCTIONS
from circuitdsl.graph.ir import (
    Apply,
    Circuit,
    Coef,
    DriveRead,
    Expr,
    Fan,
    Flag,
    Kind,
    Lifetime,
    Loss,
    Num,
    Over,
    ParamRef,
    Phase,
    Random,
    Read,
    Reduce,
    SynapseState,
    Tick,
    Weight,
    When,
    reads,
)
from circuitdsl.graph.populations import REDUCTIONS


def learning_synapses(circuit: Circuit) -> tuple[str, ...]:
    """The plastic synapses on which the loss depends, differentiably or through steps, in the order of the text.

    None, if the circuit declares no loss."""
    if circuit.loss is None:
        return ()
    settled = settle(circuit)
    return _leading_to(settled, dependents(settled))


def graded_synapses(circuit: Circuit) -> tuple[str, ...]:
    """The learning synapses with a differentiable path to the loss: those that a gradient can teach."""
    if circuit.loss is None:
        return ()
    settled = settle(circuit)
    return _leading_to(settled, alive_values(settled).now)


def _leading_to(settled: Settled, values: frozenset[str]) -> tuple[str, ...]:
    plastic = (s for s in settled.circuit.synapses.values() if s.dw is not None)
    return tuple(s.name for s in plastic if s.dendrite in values and not settled.silent(s.source))


def role(circuit: Circuit, synapse: str) -> Literal["learning", "auxiliary", "fixed"]:
    """What a synapse is to the loss (theory.md, section 2). Without a loss no synapse is `learning`."""
    if circuit.synapses[synapse].dw is None:
        return "fixed"
    return "learning" if synapse in learning_synapses(circuit) else "auxiliary"


# ---------------------------------------------------------------- the evaluation pass


@frozen
class Settled:
    """The circuit as it is evaluated: no training flags, and no `prev` where there is only one tick."""

    circuit: Circuit
    loss: Loss
    exprs: dict[str, Expr]  # value -> its equation
    updates: dict[str, Expr]  # state -> its increment, where it moves during an example
    one_tick: bool

    def silent(self, source: Read) -> bool:
        """Whether a synapse that reads this is silent in evaluation: `prev` in the only tick."""
        return self.one_tick and source.when is When.PREV

    def movable(self, name: str) -> bool:
        """Whether a value can change with the weights during an example."""
        if name == "loss":
            return True
        value = self.circuit.values[name]
        if value.kind is Kind.STATE:
            return name in self.updates
        return value.kind not in (Kind.INPUT, Kind.TARGET, Kind.BIAS)


def settle(circuit: Circuit) -> Settled:
    assert circuit.loss is not None
    phases = [p for p in circuit.schedule.phases if not p.train]
    ticks = [p.ticks for p in phases]
    one_tick = not phases or (
        all(isinstance(t, Num) for t in ticks) and sum(t.value for t in ticks if isinstance(t, Num)) <= 1
    )
    training = {p.name for p in circuit.schedule.phases if p.train}

    def constant(expr: Expr) -> Expr | None:
        match expr:
            case Flag(which="train"):
                return num(0, expr.span)
            case Flag(phase=phase) if phase in training:
                return num(0, expr.span)
            case Read(when=When.PREV) if one_tick:
                return num(0, expr.span)
            case _:
                return None

    exprs = {v.name: rebuild(v.expr, constant) for v in circuit.values.values() if v.expr is not None}
    exprs["loss"] = rebuild(circuit.loss.expr, constant)
    updates = {
        v.name: rebuild(v.update, constant)
        for v in circuit.values.values()
        if v.update is not None and v.lifetime is Lifetime.EXAMPLE and not one_tick
    }
    return Settled(circuit, circuit.loss, exprs, updates, one_tick)


def loss_weight(settled: Settled) -> Expr:
    """How much the loss of a tick counts: 1 at the one tick at which it is read, or 1/n over n ticks."""
    loss, span = settled.loss, settled.loss.span
    phases = [p for p in settled.circuit.schedule.phases if not p.train]
    match loss.when:
        case "last":
            return _last_tick(phases, span) if phases else num(1, span)
        case "at":
            return Flag(span=span, which="last", phase=loss.phase)
        case "over":
            phase = next(p for p in phases if p.name == loss.phase)
            return div(Flag(span=span, which="phase", phase=loss.phase), phase.ticks, span=span)
        case _:
            assert_never(loss.when)


def _last_tick(phases: list[Phase], span: Span) -> Expr:
    """1 at the last tick of the last of these phases that has any tick."""
    terms = []
    empty_after: Expr = num(1, span)
    for phase in reversed(phases):
        terms.append(mul(Flag(span=span, which="last", phase=phase.name), empty_after, span=span))
        empty_after = mul(empty_after, apply("eq", phase.ticks, num(0, span), span=span), span=span)
    return total(terms, span=span)


# ---------------------------------------------------------------- who reaches the loss


@frozen
class Alive:
    """Values with a differentiable path to the loss, and those of them that are read as `prev`."""

    now: frozenset[str]
    prev: frozenset[str]


def differentiable_reads(expr: Expr) -> Iterator[Read]:
    """The reads on which the expression depends with a derivative that is not 0 everywhere."""
    match expr:
        case Read():
            yield expr
        case Apply():
            for argument, slope in zip(expr.arguments, FUNCTIONS[expr.function].slopes, strict=True):
                if slope != "0":
                    yield from differentiable_reads(argument)
        case Over():
            if expr.function != "onehot_max":
                yield from differentiable_reads(expr.argument)
        case Reduce():
            if not REDUCTIONS[expr.function].flat:
                for argument in expr.arguments:
                    yield from differentiable_reads(argument)
        case (
            Num() | ParamRef() | Coef() | Weight() | SynapseState() | DriveRead() | Fan() | Flag() | Tick()
            | Random()
        ):  # fmt: skip
            return
        case _:
            assert_never(expr)


def alive_values(settled: Settled) -> Alive:
    prev: set[str] = set()

    def reached(read: Read) -> None:
        if read.when is When.PREV:
            prev.add(read.value)

    return Alive(_behind_loss(settled, differentiable_reads, reached), frozenset(prev))


def dependents(settled: Settled) -> frozenset[str]:
    """The values on which the loss depends at all, differentiably or through steps."""
    return _behind_loss(settled, reads, lambda _: None)


def steps_to_loss(settled: Settled, dendrite: str) -> tuple[str, ...]:
    """The values whose steps stand between a dendrite and the loss: each reads what depends on the dendrite through a
    step, and leads on to the loss differentiably."""
    alive = alive_values(settled).now
    below = _ahead_of(settled, dendrite)
    found = []
    for name in (*settled.circuit.values, "loss"):
        if name in alive:
            flat = {r.value for r in _value_reads(settled, name, reads)} & below
            if flat - {r.value for r in _value_reads(settled, name, differentiable_reads)}:
                found.append(name)
    return tuple(dict.fromkeys(found))


def _ahead_of(settled: Settled, value: str) -> set[str]:
    """The value, and all that depends on it."""
    readers: dict[str, list[str]] = {}
    for name in (*settled.circuit.values, "loss"):
        for read in _value_reads(settled, name, reads):
            readers.setdefault(read.value, []).append(name)
    found: set[str] = set()
    waiting = [value]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += readers.get(name, [])
    return found


def _value_reads(settled: Settled, name: str, of: Callable[[Expr], Iterator[Read]]) -> Iterator[Read]:
    """Everything that a value depends on in the sense of `of`, at this tick or, for a state, the one before."""
    for expr in (settled.exprs.get(name), settled.updates.get(name)):
        if expr is not None:
            yield from of(expr)
    value = settled.circuit.values.get(name)
    for current in value.currents if value is not None else ():
        if not settled.silent(current.source):
            yield current.source


def _behind_loss(
    settled: Settled, of: Callable[[Expr], Iterator[Read]], reached: Callable[[Read], None]
) -> frozenset[str]:
    """The values from which reads, in the sense of `of`, lead to the loss; `reached` hears of each."""
    found: set[str] = set()
    waiting = ["loss"]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for read in _value_reads(settled, name, of):
            if settled.movable(read.value):
                waiting.append(read.value)
                reached(read)
    return frozenset(found)
