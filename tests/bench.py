"""A circuit on the bench: random data, its initial state, and the oracle to run it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.ir import Circuit, Kind
from circuitdsl.graph.machine import State
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.resolve import load_file, load_text
from circuitdsl.reference import Reference

LIBRARY = Path(__file__).resolve().parents[1] / "circuits"


class Bench:
    """A circuit with random data, its initial state and its oracle."""

    def __init__(self, circuit: Circuit | str, examples: int = 6, dtype="float64", seed: int = 0):
        if isinstance(circuit, str):
            loaded = load_text(circuit).circuit
            assert loaded is not None
            circuit = loaded
        self.circuit = circuit
        self.numbers = numbers_of(circuit, {})
        self.state = initial_state(circuit, self.numbers, seed, dtype=dtype, folder=None)
        self.engine = Reference(circuit, [t.metric for t in circuit.tasks.values() if t.metric], dtype)
        self.data = {p.name: self.draw(p, examples) for p in circuit.populations.values()}
        self.examples = examples

    def draw(self, population, examples: int) -> np.ndarray:
        rng = np.random.default_rng(len(population.name))
        if population.kind is Kind.TARGET:
            classes = rng.integers(0, max(2, population.size), examples)
            return np.eye(max(2, population.size))[classes, : population.size]
        return rng.normal(size=(examples, population.size))

    @property
    def order(self) -> np.ndarray:
        return np.arange(self.examples)

    def train(self, order=None, *, batch: int = 1, epoch: int = 0, seed: int = 0) -> State:
        order = self.order if order is None else np.asarray(order)
        self.engine.train(self.state, self.data, order, self.numbers, seed=seed, epoch=epoch, batch=batch)
        return self.state

    def evaluate(self, order=None, watch=(), seed: int = 0, epoch: int = 0):
        order = self.order if order is None else np.asarray(order)
        return self.engine.evaluate(self.state, self.data, order, self.numbers, seed=seed, epoch=epoch, watch=watch)

    def trace(self, order=None, *, training: bool = True, seed: int = 0, epoch: int = 0):
        order = self.order if order is None else np.asarray(order)
        return self.engine.trace(self.state, self.data, order, self.numbers, seed=seed, epoch=epoch, training=training)

    def increments(self, order=None):
        order = self.order if order is None else np.asarray(order)
        return self.engine.increments(self.state, self.data, order, self.numbers, seed=0, epoch=0)


def library(name: str, **overrides) -> Circuit:
    circuit = load_file(LIBRARY / name, overrides=overrides).circuit
    assert circuit is not None
    return circuit
