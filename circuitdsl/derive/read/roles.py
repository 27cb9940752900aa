"""What kind of rule a synapse has, by what it reads, and whether the error can reach it at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from circuitdsl.derive.algebra.obstacles import Blind, Noisy, RuleDraws, UnlikeEvaluation
from circuitdsl.derive.read.symbols import compared_data, unlike_training
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.graph.flow import all_sources, reached_from
from circuitdsl.twin.paths import learning_synapses

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


@frozen
class Roles:
    """What is the same for all rules of a circuit: what the loss compares with, what that reaches, what depends on
    noise, what the loss reads that training changes, and its parts that compare with no data."""

    circuit: ir.Circuit
    compared: frozenset[str]
    reached: frozenset[str]
    noisy: frozenset[str]
    unlike: tuple[str, ...]
    penalties: tuple[tuple[ir.Expr, frozenset[str]], ...]

    def penalties_of(self, synapse: str) -> tuple[ir.Expr, ...]:
        """The parts of the loss that compare with no data and that a synapse reaches: a rule may be the
        gradient of such a part without any error."""
        return tuple(part for part, reaching in self.penalties if synapse in reaching)


def roles_of(circuit: ir.Circuit) -> Roles:
    sources = all_sources(circuit)
    compared = frozenset(compared_data(circuit))
    taught = {name: set(read) for name, read in sources.items()}  # what plastic weights have learnt from, too
    for synapse in circuit.synapses.values():
        if synapse.dw is not None:
            taught[synapse.dendrite] |= {r.value for e in equations(synapse) for r in ir.reads(e)}
    targets = {p.name for p in circuit.of_kind(ir.Kind.TARGET)}
    noisy = {v.name for v in circuit.values.values() if _is_noisy(v)}
    seeing = frozenset(reached_from(taught, compared | targets))
    shaken = frozenset(reached_from(sources, noisy))
    return Roles(circuit, compared, seeing, shaken, tuple(unlike_training(circuit)), tuple(_penalties(circuit)))


def cannot_see_error(roles: Roles, synapse: ir.Synapse) -> Blind | None:
    """Why nothing that the rule reads depends on what the loss compares with; None if something does."""
    compared, reached = roles.compared, roles.reached
    if not compared:
        return None
    read = {r.value for e in equations(synapse) for r in ir.reads(e)}
    if read & reached:
        return None
    return Blind(tuple(sorted(read)), tuple(sorted(compared)))


def unsettled(roles: Roles, synapse: ir.Synapse) -> Noisy | RuleDraws | UnlikeEvaluation | None:
    """Why the gradient of evaluation says little about this rule: noise, or a forward pass that is another one in
    training. None where training and evaluation agree."""
    loss = roles.circuit.loss
    assert loss is not None
    read = {r.value for e in equations(synapse) for r in ir.reads(e)}
    judged = {r.value for r in ir.reads(loss.expr)}
    for name in sorted((read | judged) & roles.noisy):
        return Noisy(name)
    if any(isinstance(part, ir.Random) for e in equations(synapse) for part in ir.walk(e)):
        return RuleDraws()
    for name in roles.unlike:
        return UnlikeEvaluation(name)
    return None


def _is_noisy(value: ir.Value) -> bool:
    return any(isinstance(part, ir.Random) for e in (value.expr, value.update) if e is not None for part in ir.walk(e))


def _penalties(circuit: ir.Circuit) -> Iterator[tuple[ir.Expr, frozenset[str]]]:
    """The additive parts of the loss that compare with no data, each with the synapses that reach it."""
    parts = list(_parts(circuit, circuit.loss.expr)) if circuit.loss is not None else []
    for part in parts if len(parts) > 1 else ():
        assert circuit.loss is not None
        alone = replace(circuit, loss=replace(circuit.loss, expr=part))
        if not compared_data(alone):
            yield part, frozenset(learning_synapses(alone))


def _parts(circuit: ir.Circuit, expr: ir.Expr) -> Iterator[ir.Expr]:
    """The terms of a sum, also where it stands in a modulator."""
    waiting = [expr]
    while waiting:
        match waiting.pop():
            case ir.Apply(function="add" | "sub", arguments=arguments):
                waiting += reversed(arguments)
            case ir.Apply(function="neg", arguments=(inner,)):
                waiting.append(inner)
            case ir.Read(value=name) if _is_plain_sum(circuit.values[name]):
                inner_expr = circuit.values[name].expr
                assert inner_expr is not None
                waiting.append(inner_expr)
            case part:
                yield part


def _is_plain_sum(value: ir.Value) -> bool:
    """Whether a value is a number of this tick, made of others by adding."""
    adds = isinstance(value.expr, ir.Apply) and value.expr.function in ("add", "sub", "neg")
    return adds and value.population is None and value.kind is ir.Kind.MODULATOR
