"""Small circuits at states made by hand, to evaluate hypotheses at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from circuitdsl.certify.checkpoint import Checkpoint, Sample, Since, checkpoint
from circuitdsl.certify.hypotheses import is_met, residual
from circuitdsl.certify.passes import Still
from circuitdsl.derive.prove.hypotheses import Hypothesis
from circuitdsl.derive.tell.derivation import derive
from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.machine import State
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.resolve import load_text
from circuitdsl.reference import Reference

Array = Any

EXAMPLES = 60


def met(hypothesis: Hypothesis, at: Checkpoint) -> bool | None:
    """Whether a state meets a hypothesis; None if it cannot tell."""
    return is_met(hypothesis, residual(hypothesis, at))


class Bench:
    """A circuit with data, and its state as a checkpoint."""

    def __init__(self, text: str, data: Mapping[str, Array] | None = None, *, batch: int = EXAMPLES):
        circuit = load_text(text).circuit
        assert circuit is not None
        self.circuit, self.numbers, self.batch = circuit, numbers_of(circuit, {}), batch
        self.state: State = initial_state(circuit, self.numbers, 1, dtype="float64")
        self.start = {name: w.copy() for name, w in self.state.weights.items()}
        rng = np.random.default_rng(5)
        size = {p.name: p.size for p in circuit.populations.values()}
        self.data = {"x": rng.standard_normal((EXAMPLES, size["x"])), **(data or {})}
        if "y" in size and "y" not in self.data:
            self.data["y"] = np.eye(size["y"])[rng.integers(0, size["y"], EXAMPLES)]
        self.order = np.arange(len(self.data["x"]))

    @property
    def w(self) -> dict[str, Array]:
        return self.state.weights

    def at(self, since: Since | None = None) -> Checkpoint:
        sample = Sample(data=self.data, examples=self.order, numbers=self.numbers)
        where = (Still(self.circuit), derive(self.circuit), sample, self.state)
        return checkpoint(*where, start=self.start, batch=self.batch, seed=1, epoch=0, since=since)

    def residual(self, hypothesis: Hypothesis) -> float:
        return residual(hypothesis, self.at())

    def met(self, hypothesis: Hypothesis) -> bool | None:
        return met(hypothesis, self.at())

    def train(self, updates: int) -> None:
        engine = Reference(self.circuit, (), "float64")
        for _ in range(updates):
            engine.train(self.state, self.data, self.order, self.numbers, seed=1, epoch=0, batch=self.batch)


READOUT = """
circuit c {{
  param eta = 0.1   param gamma = 0.05   param k per W = uniform(0.5, 2)
  input x: 5   target y: 3
  neuron out: 3 {{ dendrite basal   rate = basal }}
  neuron err: 3 {{ rate = y - out }}
  synapse W: x -> out.basal {{ {rule} }}
  loss = mse(out, y)
}}
"""
DELTA = "dw = eta * (err * pre - gamma * w)"


def readout(rule: str = DELTA, **settings: Any) -> Bench:
    return Bench(READOUT.format(rule=rule), **settings)


def ridge(bench: Bench) -> Array:
    """Where E[(y - W x) x^T] = gamma W."""
    x, y = bench.data["x"], bench.data["y"]
    return np.linalg.solve(x.T @ x / len(x) + 0.05 * np.eye(5), x.T @ y / len(x)).T


def relative(a: Array, b: Array) -> float:
    return float(np.linalg.norm(a) / np.linalg.norm(b))
