"""What a synapse that holds only the weights that are there costs, beside hand-written CSR and beside a whole matrix.

    python benchmarks/sparse.py [--units 4096] [--density 0.05]
    python benchmarks/sparse.py --crossover
    python benchmarks/sparse.py --transposed

The first says how long a step of online learning takes in generated and in hand-written code, in rounds that take
turns, once both are seen to give the same weights; the goal is 1.15. The second measures the same circuit held either
way, for several sizes and densities, and joining partners only: where the quotient falls below 1 stand `PLACES`,
`DENSITY` and `PARTNERS` of circuitdsl/graph/projections.py. The third holds the two ways of a transposed current
against each other, by hand: what each row gives is scattered, as generated code does, or each unit gathers along
columns, for which the places of its weights are kept as well.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numba import njit

from circuitdsl.graph import projections
from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.machine import State
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.projections import Sparse, dense
from circuitdsl.graph.resolve import load_text
from circuitdsl.runtime.engine import Compiled

GOAL = 1.15
ROUNDS, ETA, GAMMA = 5, 0.001, 0.01
CIRCUIT = """circuit few {{
  param eta = {eta}   param gamma = {gamma}
  input x: {units}   target y: {units}
  neuron out: {units} {{ dendrite basal   rate = tanh(basal) }}
  neuron err: {units} {{ rate = y - out }}
  synapse W: x -> out.basal {{ connect = {connect}   dw = eta * err * pre - eta * gamma * w }}
  loss = mse(out, y)
}}"""


@njit(error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})
def by_hand(starts: Any, columns: Any, weights: Any, xs: Any, ys: Any, eta: Any, gamma: Any) -> None:
    keep = np.float32(1) - eta * gamma
    for t in range(len(xs)):
        x, y = xs[t], ys[t]
        for j in range(len(starts) - 1):
            total = np.float32(0)
            for k in range(starts[j], starts[j + 1]):
                total += weights[k] * x[columns[k]]
            step = eta * (y[j] - np.tanh(total))
            for k in range(starts[j], starts[j + 1]):
                weights[k] = keep * weights[k] + step * x[columns[k]]


@njit(error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})
def scattered(starts: Any, columns: Any, weights: Any, source: Any, out: Any) -> None:
    out[:] = 0
    for j in range(len(starts) - 1):
        for k in range(starts[j], starts[j + 1]):
            out[columns[k]] += weights[k] * source[j]


@njit(error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})
def gathered(starts: Any, rows: Any, places: Any, weights: Any, source: Any, out: Any) -> None:
    for i in range(len(starts) - 1):
        total = np.float32(0)
        for k in range(starts[i], starts[i + 1]):
            total += weights[places[k]] * source[rows[k]]
        out[i] = total


@contextmanager
def held(*, few: bool) -> Iterator[None]:
    """Synapses are sparse, whatever their size, or none is."""
    before = projections.PLACES, projections.DENSITY, projections.PARTNERS
    projections.PLACES, projections.DENSITY, projections.PARTNERS = (0, 1.0, 0) if few else (1 << 62, 0.0, 1 << 62)
    yield
    projections.PLACES, projections.DENSITY, projections.PARTNERS = before


class Case:
    """The circuit of one size and way of connecting, its data, and what trains it."""

    def __init__(self, units: int, connect: str):
        found = load_text(CIRCUIT.format(units=units, connect=connect, eta=ETA, gamma=GAMMA)).circuit
        assert found is not None
        self.circuit: Circuit = found
        rng, examples = np.random.default_rng(0), max(16, (1 << 15) // units)
        self.data = {name: rng.standard_normal((examples, units)).astype(np.float32) for name in "xy"}
        self.numbers, self.order = numbers_of(found, {}), np.arange(examples)

    def state(self, *, few: bool) -> State:
        with held(few=few):
            return initial_state(self.circuit, self.numbers, 0, dtype="float32")

    def compiled(self, *, few: bool) -> Callable[[State], None]:
        engine = Compiled(self.circuit)

        def train(state: State) -> None:
            with held(few=few):
                engine.train(state, self.data, self.order, self.numbers, seed=0, epoch=0, batch=1)

        return train

    def hand(self, state: State) -> None:
        projection = state.projections["W"]
        assert isinstance(projection, Sparse)
        eta, gamma = np.float32(ETA), np.float32(GAMMA)
        by_hand(projection.starts, projection.columns, state.weights["W"], self.data["x"], self.data["y"], eta, gamma)


def in_turns(*ways: Callable[[], None]) -> list[float]:
    """Milliseconds of processor time of a round, the median of those that take turns; the first is not counted."""
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(ROUNDS + 1):
        for each, way in zip(times, ways, strict=True):
            start = time.process_time()
            way()
            each.append((time.process_time() - start) * 1e3)
    return [statistics.median(each[1:]) for each in times]


def beside_hand(units: int, density: float) -> None:
    case = Case(units, f"sparse({density})")
    ours, theirs = case.state(few=True), case.state(few=True)
    found, hand = in_turns(partial(case.compiled(few=True), ours), partial(case.hand, theirs))
    off = np.linalg.norm(ours.weights["W"] - theirs.weights["W"]) / np.linalg.norm(theirs.weights["W"])
    assert off < 1e-5, off
    print(f"{units} x {units}, {density:g} of it: {len(ours.weights['W']):,} weights, differ by {off:.0e}")
    each = 1 / len(case.order)
    print(f"  generated {found * each:.3f} ms a step, by hand {hand * each:.3f}: {found / hand:.2f} (goal {GOAL})")


def crossover() -> None:
    densities = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
    print("time held sparse / held whole")
    print("units " + "".join(f"{d:8g}" for d in densities) + "  one_to_one")
    for units in (8, 16, 32, 64, 128, 256, 512, 1024, 2048):
        line = [f"{_quotient(units, f'sparse({density})'):8.2f}" for density in densities]
        print(f"{units:5} " + "".join(line) + f"{_quotient(units, 'one_to_one'):12.2f}", flush=True)


def _quotient(units: int, connect: str) -> float:
    case = Case(units, connect)
    few, whole = case.state(few=True), case.state(few=False)
    a, b = in_turns(partial(case.compiled(few=True), few), partial(case.compiled(few=False), whole))
    assert np.allclose(dense(case.circuit, few).weights["W"], whole.weights["W"], rtol=1e-3, atol=1e-5)
    return a / b


def transposed() -> None:
    print("transposed current: time scattered / gathered along columns")
    for units, density in ((512, 0.05), (512, 0.2), (4096, 0.01), (4096, 0.05), (4096, 0.2)):
        case = Case(units, f"sparse({density})")
        state, rng = case.state(few=True), np.random.default_rng(1)
        projection, weights = state.projections["W"], state.weights["W"]
        assert isinstance(projection, Sparse)
        columns, places = projection.transposed(np.arange(len(weights), dtype=np.int32))
        source, turns = rng.standard_normal(units).astype(np.float32), max(1, (1 << 24) // len(weights))
        ours, theirs = np.empty(units, np.float32), np.empty(units, np.float32)

        def rows(w: Any = weights, of: Sparse = projection, x: Any = source, to: Any = ours, n: int = turns) -> None:
            for _ in range(n):
                scattered(of.starts, of.columns, w, x, to)

        def along(
            w: Any = weights, of: Sparse = columns, at: Any = places, x: Any = source, to: Any = theirs, n: int = turns
        ) -> None:
            for _ in range(n):
                gathered(of.starts, of.columns, at, w, x, to)

        scatter, gather = in_turns(rows, along)
        assert np.allclose(ours, theirs, rtol=1e-3, atol=1e-5)
        print(f"{units:5} units, {density:4g} of it: {scatter / gather:.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=4096)
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("--crossover", action="store_true")
    parser.add_argument("--transposed", action="store_true")
    options = parser.parse_args()
    if options.crossover:
        crossover()
    elif options.transposed:
        transposed()
    else:
        beside_hand(options.units, options.density)


if __name__ == "__main__":
    main()
