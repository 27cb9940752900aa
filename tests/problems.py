"""A circuit with weights and data, for the tests of gradients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.ir import Circuit, Kind
from circuitdsl.graph.machine import State
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.resolve import load_text
from circuitdsl.reference import Reference
from circuitdsl.twin.gradient import learning_synapses, twin

Array = NDArray[np.float64]
EXAMPLES = 6
ORDER = np.arange(EXAMPLES)

KOLEN_POLLACK = """
circuit kolen_pollack {
  input x: 64   target y: 10
  neuron h: 48 { dendrite basal, apical   rate = relu(basal) }
  neuron out: 10 { dendrite basal   rate = softmax(basal) }
  neuron err: 10 { rate = y - out }
  synapse W1: x -> h.basal { dw = post.apical * step(post.basal) * pre }
  synapse W2: h -> out.basal { dw = err * pre }
  synapse V2: err -> h.apical { dw = post * pre }
  loss = cross_entropy(out, y)
}
"""


@dataclass
class Problem:
    """A circuit in which every rule is `dw = post * pre`, so that its twin moves by minus the gradient."""

    circuit: Circuit
    numbers: dict[str, float]
    state: State
    data: dict[str, Array]

    def loss(self, weights: dict[str, Array]) -> float:
        state = self.state.copy()
        state.weights.update(weights)
        engine = Reference(self.circuit, [], "float64")
        loss = engine.evaluate(state, self.data, ORDER, self.numbers, seed=3, epoch=2).loss
        assert loss is not None
        return loss

    def gradient(self) -> dict[str, Array]:
        engine = Reference(twin(self.circuit), [], "float64")
        step = engine.increments(self.state, self.data, ORDER, self.numbers, seed=3, epoch=2)
        return {name: -step[name] for name in learning_synapses(self.circuit)}


def load(text: str) -> Circuit:
    circuit = load_text(text).circuit
    assert circuit is not None
    return circuit


def problem(text: str, seed: int = 0, scale: float = 1.0) -> Problem:
    circuit = load(text)
    numbers = numbers_of(circuit, {})
    state = initial_state(circuit, numbers, seed, dtype="float64")
    rng = np.random.default_rng(seed)
    data: dict[str, Array] = {}
    for population in circuit.populations.values():
        if population.kind is Kind.INPUT:
            data[population.name] = rng.standard_normal((EXAMPLES, population.size))
        elif population.kind is Kind.TARGET and population.size > 1:
            data[population.name] = np.eye(population.size)[rng.integers(0, population.size, EXAMPLES)]
        elif population.kind is Kind.TARGET:
            data[population.name] = rng.integers(0, 2, (EXAMPLES, 1)).astype(np.float64)
    for array in state.weights.values():
        array *= scale
    return Problem(circuit, numbers, state, data)
