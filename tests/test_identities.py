"""Every identity that a derivation prints, with numbers in place of letters, for every circuit of the library.

Credits and gradients against the values of the reference interpreter; relations between weights by two of its updates.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from circuitdsl.derive.algebra.letters import Delta
from circuitdsl.derive.algebra.words import Sum, expect, outer
from circuitdsl.derive.prove.relations import Relation
from circuitdsl.derive.read.constraints import is_free
from circuitdsl.derive.read.drives import Drive
from circuitdsl.derive.read.environment import Environment
from circuitdsl.derive.read.numeric import instantiate
from circuitdsl.derive.read.ticks import one_tick
from circuitdsl.derive.tell.derivation import Derivation, derive
from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.ir import Circuit, Kind
from circuitdsl.graph.machine import State
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.resolve import load_file
from circuitdsl.reference import Reference
from circuitdsl.twin.gradient import adjoint_name, adjoints

LIBRARY = Path(__file__).parents[1] / "circuits"
EXAMPLES = 7
ORDER = np.arange(EXAMPLES)


def circuits() -> list[str]:
    """Every shipped circuit of one tick, by its path in the library."""
    found = []
    for path in sorted(LIBRARY.rglob("*.circ")):
        circuit = load_file(path).circuit
        if circuit is not None and circuit.loss is not None and one_tick(circuit):
            found.append(path.relative_to(LIBRARY).as_posix())
    return found


def library(path: str) -> Circuit:
    circuit = load_file(LIBRARY / path).circuit
    assert circuit is not None
    return circuit


@dataclass
class Bench:
    """A circuit at one state, with data, its derivation, and all its values for every example."""

    circuit: Circuit
    derivation: Derivation
    numbers: dict[str, float]
    state: State
    data: dict[str, Any]

    @classmethod
    def of(cls, circuit: Circuit, seed: int = 3) -> Bench:
        numbers = numbers_of(circuit, {})
        state = initial_state(circuit, numbers, seed, dtype="float64")
        rng = np.random.default_rng(seed)
        data: dict[str, Any] = {}
        for population in circuit.populations.values():
            if population.kind is Kind.INPUT:
                data[population.name] = rng.standard_normal((EXAMPLES, population.size))
            elif population.kind is Kind.TARGET:
                data[population.name] = np.eye(population.size)[rng.integers(0, population.size, EXAMPLES)]
        return cls(circuit, derive(circuit), numbers, state, data)

    def values(self, state: State, *, learning: bool) -> dict[str, Any]:
        """Adjoints and the forward values of evaluation, or of learning, [examples, size]."""
        where = (state, self.data, ORDER, self.numbers)
        found = Reference(adjoints(self.circuit), [], "float64").trace(*where, seed=3, epoch=0, training=True)
        if learning:
            found |= Reference(self.circuit, [], "float64").trace(*where, seed=3, epoch=0, training=True)
        return {name: array[0] for name, array in found.items()}

    def environment(self, state: State | None = None, *, learning: bool = True) -> Environment:
        state = state or self.state
        values = self.values(state, learning=learning)
        dendrites = (n for n, v in self.circuit.values.items() if v.kind is Kind.DENDRITE and adjoint_name(n) in values)
        deltas = {Delta(name, name): -values[adjoint_name(name)] for name in dendrites}
        arrays = {**state.weights, **state.coefficients, **deltas, "train": float(learning)}
        return Environment(self.derivation.symbols, values, arrays)

    def trained(self, updates: int) -> State:
        state = self.state.copy()
        engine = Reference(self.circuit, [], "float64")
        for _ in range(updates):
            engine.train(state, self.data, ORDER, self.numbers, seed=3, epoch=0, batch=EXAMPLES)
        return state


def close(found: Any, wanted: Any, tolerance: float = 1e-9) -> None:
    scale = np.abs(wanted).max(initial=0) + 1e-30
    np.testing.assert_allclose(found / scale, np.broadcast_to(wanted, np.shape(found)) / scale, rtol=0, atol=tolerance)


def side(bench: Bench, a: Sum, state: State) -> Any:
    return instantiate(a, Environment(bench.derivation.symbols, {}, {**state.weights, **state.coefficients}))


@pytest.mark.parametrize("path", circuits())
def test_drives_are_the_updates(path: str) -> None:
    """rate * credit ⊗ pre - decay * w, in both writings, is what a rule without states adds to its weight."""
    bench = Bench.of(library(path))
    env = bench.environment()
    steps = Reference(bench.circuit, [], "float64").increments(
        bench.state, bench.data, ORDER, bench.numbers, seed=3, epoch=0
    )
    constants = bench.derivation.symbols.constants
    for name, finding in bench.derivation.findings.items():
        drive = finding.drive
        if not isinstance(drive, Drive) or not drive.passage.is_open or drive.uneven is not None:
            continue
        for credit, pre in ((drive.credit, drive.pre), drive.shown):
            s, r = (np.broadcast_to(instantiate(a, env), (EXAMPLES, a.rows)) for a in (credit, pre))
            moved = constants.value(drive.rate) * s.T @ r / EXAMPLES
            if drive.decay is not None:
                moved = moved - constants.value(drive.decay) * bench.state.weights[name]
            mask = bench.state.mask(name)
            close(moved if mask is None else np.where(mask, moved, 0), steps[name])


@pytest.mark.parametrize("path", circuits())
def test_gradients_are_the_adjoints(path: str) -> None:
    bench = Bench.of(library(path))
    env = bench.environment(learning=False)
    for name, finding in bench.derivation.findings.items():
        if finding.delta is not None:
            adjoint = env.signals[adjoint_name(bench.circuit.synapses[name].dendrite)]
            close(np.broadcast_to(instantiate(finding.delta, env), adjoint.shape), -adjoint)


@pytest.mark.parametrize("path", circuits())
def test_relations_shrink_as_they_say(path: str) -> None:
    """`left - factor right` after two updates: 0 if tied, (1 - rate)^2 of itself if exact; where steps are small, the
    same up to their square."""
    bench = Bench.of(library(path))
    constants = bench.derivation.symbols.constants
    after = bench.trained(2)
    for relation in bench.derivation.relations:
        before, later = (difference(bench, relation, state) for state in (bench.state, after))
        match relation.holds:
            case "tied":
                assert np.abs(before).max() == 0
                assert np.abs(later).max() < 1e-12
            case "exact":
                assert relation.rate is not None
                left = (1 - constants.value(relation.rate)) ** 2 * before
                if all(is_free(bench.circuit.synapses[name]) for name in relation.synapses):
                    close(later, left)
                else:  # what is clipped alike comes together faster
                    assert (np.abs(later) <= np.abs(left) + 1e-12).all()
            case "slow" | "rest":
                pass  # tested in test_derivation_four_synapses.py, by their order in the step and at rest


def difference(bench: Bench, relation: Relation, state: State) -> Any:
    factor = bench.derivation.symbols.constants.value(relation.factor)
    found = side(bench, relation.left, state) - factor * side(bench, relation.right, state)
    return np.diag(found) if relation.diagonal else found


@pytest.mark.parametrize("path", circuits())
def test_credits_are_what_is_proved(path: str) -> None:
    """Where a verdict rests on tied or exact relations only, the credit on the attractor is H δ, for each example."""
    bench = Bench.of(library(path))
    state = on_the_attractor(bench)
    env = bench.environment(state)
    constants = bench.derivation.symbols.constants
    for finding in bench.derivation.findings.values():
        if finding.form is None or finding.grounds is None or finding.grounds.is_mean_field():
            continue
        if any(r.holds not in ("tied", "exact") for r in finding.grounds.all_relations()):
            continue
        assert isinstance(finding.drive, Drive)
        assert finding.delta_signal is not None
        credit = np.broadcast_to(instantiate(finding.drive.credit, env), (EXAMPLES, finding.drive.credit.rows))
        delta = env[finding.delta_signal.of]
        h, over = (
            np.broadcast_to(instantiate(a, env), (EXAMPLES, a.rows, a.rows))
            for a in (finding.form.h, finding.form.over)
        )
        left = np.einsum("eij,ej->ei", over, credit)
        close(left, constants.value(finding.form.factor) * np.einsum("eij,ej->ei", h, delta))


def on_the_attractor(bench: Bench) -> State:
    """The state with every exact relation made to hold: the left weight set to what it goes to."""
    state = bench.state.copy()
    for relation in bench.derivation.relations:
        if relation.holds == "exact" and relation.kind != "quadratic" and len(relation.word) == 1:
            factor = bench.derivation.symbols.constants.value(relation.factor)
            (letter,) = relation.word
            right = factor * side(bench, relation.right, state)
            state.weights[letter.name] = right.T if letter.transposed else right  # type: ignore[union-attr]
    return state


@pytest.mark.parametrize("path", circuits())
def test_what_both_sides_of_a_relation_come_to(path: str) -> None:
    """Of a pair the drive of its left weight; of an intertwiner, gates not dropped, both sides with each weight put at
    rest: E[drive] / decay."""
    bench = Bench.of(library(path))
    env = bench.environment()
    for relation in bench.derivation.relations:
        if relation.common is None or relation.mean_field:
            continue
        both = [at_rest(bench, name, env) for name in relation.synapses]
        if relation.kind == "intertwiner":
            factor = bench.derivation.symbols.constants.value(relation.factor)
            here = {**bench.state.weights, **dict(zip(relation.synapses, both, strict=True))}
            resting = Environment(bench.derivation.symbols, {}, {**here, **bench.state.coefficients})
            common = instantiate(relation.common, env)
            close(instantiate(relation.left, resting), common)
            close(factor * instantiate(relation.right, resting), common)
        else:
            drive = bench.derivation[relation.synapses[0]].drive
            assert isinstance(drive, Drive)
            close(instantiate(relation.common, env), instantiate(outer(drive.credit, drive.pre), env))


def at_rest(bench: Bench, name: str, env: Environment) -> Any:
    drive, constants = bench.derivation[name].drive, bench.derivation.symbols.constants
    assert isinstance(drive, Drive)
    decay = 1.0 if drive.decay is None else constants.value(drive.decay)
    return constants.value(drive.rate) / decay * instantiate(expect(outer(drive.credit, drive.pre)), env)
