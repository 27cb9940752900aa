"""Positive feedback between plastic weights: who is in it, and how fast it grows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from derivation_texts import kp, sal

import circuitdsl as cd
from circuitdsl.api import Request
from circuitdsl.derive.prove.stability import Growth, clamped, errors, growth, positive_loops
from circuitdsl.derive.tell.stability import told
from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.ir import Circuit, Kind
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.resolve import load_file, load_text
from circuitdsl.reference import Reference
from circuitdsl.shipped import find_circuit

EXAMPLES = 48
ORDER = np.arange(EXAMPLES)


def load(text: str) -> Circuit:
    circuit = load_text(text).circuit
    assert circuit is not None
    return circuit


def shipped(name: str) -> Circuit:
    circuit = load_file(find_circuit(name)).circuit
    assert circuit is not None
    return circuit


def measured(circuit: Circuit) -> tuple[list[Growth], dict[str, Any]]:
    """The growth of every loop at the start, and the values of all examples."""
    numbers = numbers_of(circuit, {})
    state = initial_state(circuit, numbers, 1, dtype="float64")
    rng = np.random.default_rng(0)
    data: dict[str, Any] = {}
    for population in circuit.populations.values():
        if population.kind is Kind.INPUT:
            data[population.name] = rng.standard_normal((EXAMPLES, population.size))
        elif population.kind is Kind.TARGET:
            data[population.name] = np.eye(population.size)[rng.integers(0, population.size, EXAMPLES)]
    values = Reference(circuit, [], "float64").trace(state, data, ORDER, numbers, seed=1, epoch=0, training=True)
    fixed = data | {name: values[name][-1] for name in errors(circuit)}
    engine = Reference(clamped(circuit), [], "float64")

    def increments(weights: Any) -> Any:
        other = state.copy()
        other.weights = {**state.weights, **weights}
        return engine.increments(other, fixed, ORDER, numbers, seed=1, epoch=0)

    found = [growth(loop, state.weights, increments) for loop in positive_loops(circuit)]
    return found, {name: array[0] for name, array in values.items()}


def test_who_drives_whom() -> None:
    (loop,) = positive_loops(load(kp()))
    assert loop.synapses == ("W", "V")  # Wo learns from the error alone
    assert loop.unchecked == ()
    (pair,) = positive_loops(load(sal(1)))
    assert pair.synapses == ("W1", "B1", "V1", "F1")
    assert set(pair.unchecked) == {"V1", "F1"}  # for one error, W1 and B1 apart
    assert pair.free == pair.synapses
    (held,) = positive_loops(load(sal(1, settings="bounds = [-1, 1]")))
    assert held.free == ()
    assert positive_loops(shipped("classic/delta_rule.circ")) == []
    (hebb,) = positive_loops(shipped("classic/hebb.circ"))
    assert hebb.synapses == hebb.unchecked == ("W",)


def test_a_linear_pair_grows_at_its_largest_singular_value() -> None:
    """dA = eta B E[b a^T] and back: the largest singular value of E[b a^T], times eta, less the decay."""
    circuit = load(kp(rate="basal", slope=""))
    (found,), values = measured(circuit)
    correlation = values["err"].T @ values["x"] / EXAMPLES
    expected = 0.1 * np.linalg.svd(correlation, compute_uv=False)[0] - 0.1 * 0.02
    assert found.now == pytest.approx(expected, rel=1e-3)
    assert found.later == pytest.approx(expected, rel=1e-3)
    assert not found.runs_away  # the error checks it


def test_a_hebbian_weight_grows_at_its_largest_eigenvalue() -> None:
    text = (
        "circuit c { input x: 5   neuron h: 4 { dendrite b   rate = b } synapse W: x -> h { dw = 0.1 * post * pre } }"
    )
    (found,), values = measured(load(text))
    covariance = values["x"].T @ values["x"] / EXAMPLES
    assert found.now == pytest.approx(0.1 * np.linalg.eigvalsh(covariance)[-1], rel=1e-2)
    assert found.runs_away
    assert "nothing bounds W" in told(found)


def test_what_stops_it() -> None:
    (oja,), _ = measured(shipped("classic/oja.circ"))
    assert oja.now > 0 > oja.later
    assert not oja.runs_away
    assert "their own rules stop it" in told(oja)
    (free,), _ = measured(load(sal(1)))
    assert free.later > 2 * free.now > 0  # through several plastic matrices: faster than exponential
    assert free.runs_away
    assert "the faster the larger" in told(free)
    (held,), _ = measured(load(sal(1, settings="bounds = [-1, 1]")))
    assert held.now > 0
    assert not held.runs_away
    assert "bounds hold them" in told(held)


def run(text: str, epochs: int) -> list[str]:
    """What a run of a circuit on random data warns of."""
    rng = np.random.default_rng(0)
    data = rng.standard_normal((64, 5)), rng.integers(0, 3, 64)
    simulation = cd.loads(text).compile(target="reference")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        simulation.run(data=data, epochs=epochs, batch=8, seed=0, params={"eta": 0.5, "gamma": 0.02})
    return [str(w.message) for w in found if issubclass(w.category, RuntimeWarning)]


def test_a_run_is_warned_of_before_it_and_told_of_after() -> None:
    (warned, diverged) = run(sal(1), 30)
    assert "C073" in warned
    assert "bound them" in warned
    assert "C070" in diverged
    assert "W1, B1, V1, F1 drive each other" in " ".join(diverged.replace("=", "").split())
    assert run(sal(1, settings="bounds = [-0.5, 0.5]"), 30) == []
    assert run(kp(), 2) == []


@pytest.mark.parametrize("rate", ["exp(b)", "exp(exp(b))", "log(b)", "sqrt(b)", "0 * b", "step(b)"])
def test_rates_without_end_and_without_growth(rate: str) -> None:
    """Where weights a thousand times as large give no finite number, or nothing at all, the question has an answer."""
    text = f"circuit c {{ input x: 9   neuron h: 6 {{ dendrite b   rate = {rate} }} synapse W: x -> h {{ RULE }} }}"
    with np.errstate(all="ignore"):
        (found,), _ = measured(load(text.replace("RULE", "dw = 0.1 * post * pre")))
    assert not np.isnan(found.now)
    assert not np.isnan(found.later)


@pytest.mark.parametrize("path", ["metalearning/local_rule.circ", "classic/bcm.circ", "classic/hebb.circ"])
def test_nothing_in_the_library_runs_away(path: str) -> None:
    simulation = cd.load(path).compile(target="reference")
    assert simulation.prepare(Request()).foreseen() == []
