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


def cannot_see_error(circuit: ir.Circuit, synapse: ir.Synapse) -> str | None:
    """Why nothing that the rule reads depends on what the loss compares with; None if something does."""
    compared = compared_data(circuit)
    if not compared:
        return None
    reached = reached_from(all_sources(circuit), compared)
    read = {r.value for e in equations(synapse) for r in ir.reads(e)}
    if read & reached:
        return None
    listed = ", ".join(sorted(read)) or "nothing"
    origin = ", ".join(sorted(compared))
    return f"the rule reads {listed}: no path leads there from {origin}, so it cannot see the error"


@dataclass(frozen=True, slots=True)
class Agreement:
    """What keeps training and evaluation of a circuit from agreeing: values that depend on noise, and those that the
    loss reads and that are not the same in training."""

    noisy: frozenset[str]
    judged: frozenset[str]
    unlike: tuple[str, ...]

    def broken_by(self, synapse: ir.Synapse) -> str | None:
        """Why the gradient of evaluation says little about this rule; None where training and evaluation agree."""
        read = {r.value for e in equations(synapse) for r in ir.reads(e)}
        for name in sorted((read | self.judged) & self.noisy):
            return f"`{name}` depends on noise"
        if any(isinstance(part, ir.Random) for e in equations(synapse) for part in ir.walk(e)):
            return "the rule draws noise"
        for name in self.unlike:
            return f"`{name}` is not the same in training and in evaluation"
        return None


def agreement(circuit: ir.Circuit) -> Agreement:
    """Whether training and evaluation of a circuit with a loss agree."""
    assert circuit.loss is not None
    noisy = reached_from(all_sources(circuit), {v.name for v in circuit.values.values() if _is_noisy(v)})
    judged = {r.value for r in ir.reads(circuit.loss.expr)}
    return Agreement(frozenset(noisy), frozenset(judged), tuple(unlike_training(circuit)))


def unsettled(circuit: ir.Circuit, synapse: ir.Synapse) -> str | None:
    """Why the gradient of evaluation says little about this rule: noise, or a forward pass that is another one in
    training. None where training and evaluation agree."""
    return agreement(circuit).broken_by(synapse)


def _is_noisy(value: ir.Value) -> bool:
    return any(isinstance(part, ir.Random) for e in (value.expr, value.update) if e is not None for part in ir.walk(e))
