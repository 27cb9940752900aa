"""What kind of rule a synapse has, by what it reads, and whether the error can reach it at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from circuitdsl.derive.read.symbols import compared_data, unlike_training
from circuitdsl.graph import ir
from circuitdsl.graph.flow import all_sources, reached_from

RuleKind = Literal["heterosynaptic", "homosynaptic", "partner", "three-factor", "other"]


def equations(synapse: ir.Synapse) -> Iterator[ir.Expr]:
    """Everything that a rule is made of: its drives, its states' increments, and `dw`."""
    for expr in (synapse.dw, *(d.expr for d in synapse.drives), *(s.update for s in synapse.states)):
        if expr is not None:
            yield expr


def rule_kind(circuit: ir.Circuit, synapse: ir.Synapse) -> RuleKind:
    """By what the rule reads: modulators, another dendrite of its neuron, a partner, or its own dendrite."""
    found = [r for e in equations(synapse) for r in ir.reads(e) if r.axis is not ir.Axis.PRE]
    if not found:
        return "other"
    if any(r.axis is ir.Axis.SCALAR for r in found):
        return "three-factor"
    own = [r.value for r in found if circuit.values[r.value].population == synapse.post]
    others = {d for d in circuit.populations[synapse.post].dendrites if d != synapse.dendrite}
    if any(others & within_neuron(circuit, value) for value in own):
        return "heterosynaptic"
    if any(circuit.values[r.value].population != synapse.post for r in found):
        return "partner"
    return "homosynaptic"


def within_neuron(circuit: ir.Circuit, value: str) -> set[str]:
    """A value of a neuron and what it is made of within the neuron."""
    population = circuit.values[value].population
    seen: set[str] = set()
    waiting = [value]
    while waiting:
        name = waiting.pop()
        if name in seen or circuit.values[name].population != population:
            continue
        seen.add(name)
        for expr in (circuit.values[name].expr, circuit.values[name].update):
            waiting += [r.value for r in ir.reads(expr)] if expr is not None else []
    return seen


@dataclass(frozen=True, slots=True)
class Roles:
    """What is the same for all rules of a circuit: what the loss compares with, what that reaches, what depends on
    noise, and what the loss reads that training changes."""

    circuit: ir.Circuit
    compared: frozenset[str]
    reached: frozenset[str]
    noisy: frozenset[str]
    unlike: tuple[str, ...]


def roles_of(circuit: ir.Circuit) -> Roles:
    sources = all_sources(circuit)
    compared = frozenset(compared_data(circuit))
    noisy = {v.name for v in circuit.values.values() if _is_noisy(v)}
    reached, unsure = (frozenset(reached_from(sources, starts)) for starts in (compared, noisy))
    return Roles(circuit, compared, reached, unsure, tuple(unlike_training(circuit)))


def cannot_see_error(roles: Roles, synapse: ir.Synapse) -> str | None:
    """Why nothing that the rule reads depends on what the loss compares with; None if something does."""
    compared, reached = roles.compared, roles.reached
    if not compared:
        return None
    read = {r.value for e in equations(synapse) for r in ir.reads(e)}
    if read & reached:
        return None
    listed = ", ".join(sorted(read)) or "nothing"
    origin = ", ".join(sorted(compared))
    return f"the rule reads {listed}: no path leads there from {origin}, so it cannot see the error"


def unsettled(roles: Roles, synapse: ir.Synapse) -> str | None:
    """Why the gradient of evaluation says little about this rule: noise, or a forward pass that is another one in
    training. None where training and evaluation agree."""
    loss = roles.circuit.loss
    assert loss is not None
    read = {r.value for e in equations(synapse) for r in ir.reads(e)}
    judged = {r.value for r in ir.reads(loss.expr)}
    for name in sorted((read | judged) & roles.noisy):
        return f"`{name}` depends on noise"
    if any(isinstance(part, ir.Random) for e in equations(synapse) for part in ir.walk(e)):
        return "the rule draws noise"
    for name in roles.unlike:
        return f"`{name}` is not the same in training and in evaluation"
    return None


def _is_noisy(value: ir.Value) -> bool:
    return any(isinstance(part, ir.Random) for e in (value.expr, value.update) if e is not None for part in ir.walk(e))
