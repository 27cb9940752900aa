"""Everything of a circuit that has a range: its values, and the weights, states and drives that a tick reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from circuitdsl.frozen import frozen
from circuitdsl.graph import ir


@frozen
class Weights:
    """The weights of a synapse, where there is a connection."""

    synapse: str


@frozen
class State:
    """A state of a synapse."""

    synapse: str
    name: str


@frozen
class Drive:
    """A drive of a synapse, as its equations read it."""

    synapse: str
    name: str


@frozen
class Before:
    """A value at the tick before."""

    value: str


#: What has a range: a value by its name, and what else a tick reads.
Quantity = str | Weights | State | Drive | Before


def quantities(circuit: ir.Circuit) -> Iterator[Quantity]:
    """Everything that has a range, what is read before its readers as far as it is of this tick."""
    synapses = circuit.synapses.values()
    yield from (v.name for v in circuit.values.values() if v.kind in GIVEN)
    yield from (Weights(s.name) for s in synapses)
    yield from (State(s.name, v.name) for s in synapses for v in s.states)
    yield from (Before(name) for name in sorted(_remembered(circuit)))
    ordered = dict.fromkeys(circuit.order)
    yield from ordered
    yield from (v.name for v in circuit.values.values() if v.kind not in GIVEN and v.name not in ordered)
    yield from (Drive(s.name, d.name) for s in synapses for d in s.drives)


def _remembered(circuit: ir.Circuit) -> set[str]:
    """The values that something reads at the tick before."""
    found = {c.source for v in circuit.values.values() for c in v.currents}
    found |= {s.source for s in circuit.synapses.values()}
    for expr in _equations(circuit):
        found |= set(ir.reads(expr))
    return {read.value for read in found if read.when is ir.When.PREV}


def read_by(circuit: ir.Circuit, quantity: Quantity) -> Iterator[Quantity]:
    """What the next range of a quantity is made of: what adds up, of itself as well."""
    if update_of(circuit, quantity) is not None:
        yield quantity
    match quantity:
        case str():
            value = circuit.values[quantity]
            if value.kind is ir.Kind.ADJOINT:
                return
            for expr in (value.expr, value.update):
                yield from _in(expr, None)
            for current in value.currents:
                yield Weights(current.synapse)
                yield quantity_of(current.source)
        case Weights(name):
            synapse = circuit.synapses[name]
            yield from _in(synapse.dw, synapse)
        case State(name, state):
            synapse = circuit.synapses[name]
            yield from _in(synapse.state(state).update, synapse)
        case Drive(name, drive):
            synapse = circuit.synapses[name]
            yield from _in(drive_of(synapse, drive), synapse)
        case Before(name):
            yield name
        case _:
            assert_never(quantity)


def _in(expr: ir.Expr | None, synapse: ir.Synapse | None) -> Iterator[Quantity]:
    """What an equation reads, of a synapse if one is given."""
    for part in ir.walk(expr) if expr is not None else ():
        match part:
            case ir.Read():
                yield quantity_of(part)
            case ir.Weight() if synapse is not None:
                yield Weights(synapse.name)
            case ir.SynapseState(name=name) if synapse is not None:
                yield State(synapse.name, name)
            case ir.DriveRead(name=name) if synapse is not None:
                yield Drive(synapse.name, name)
            case _:
                pass


def update_of(circuit: ir.Circuit, quantity: Quantity) -> ir.Expr | None:
    """The increment of what adds up; None of what is computed anew, or never changes."""
    match quantity:
        case str():
            return circuit.values[quantity].update
        case Weights(name):
            return circuit.synapses[name].dw
        case State(name, state):
            return circuit.synapses[name].state(state).update
        case Drive() | Before():
            return None
        case _:
            assert_never(quantity)


#: Values that are there before a tick is evaluated, and that no tick changes.
GIVEN = (ir.Kind.INPUT, ir.Kind.TARGET, ir.Kind.BIAS)


def quantity_of(read: ir.Read) -> Quantity:
    return Before(read.value) if read.when is ir.When.PREV else read.value


def drive_of(synapse: ir.Synapse, name: str) -> ir.Expr:
    return next(d.expr for d in synapse.drives if d.name == name)


def _equations(circuit: ir.Circuit) -> Iterator[ir.Expr]:
    """All equations of neurons and synapses."""
    for value in circuit.values.values():
        yield from (e for e in (value.expr, value.update) if e is not None)
    for synapse in circuit.synapses.values():
        yield from (d.expr for d in synapse.drives)
        yield from (e for e in (synapse.dw, *(s.update for s in synapse.states)) if e is not None)


def is_quantity(expr: ir.Expr, quantity: Quantity) -> bool:
    """Whether an expression in the increment of a weight or a state reads that itself."""
    match quantity:
        case str():
            return isinstance(expr, ir.Read) and expr.value == quantity and expr.when is ir.When.NOW
        case Weights():
            return isinstance(expr, ir.Weight)
        case State(name=name):
            return isinstance(expr, ir.SynapseState) and expr.name == name
        case Drive() | Before():
            return False
        case _:
            assert_never(quantity)
