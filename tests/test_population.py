"""Many copies at once give what each gives alone, however many threads share the work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agreement import generated, parts
from bench import Bench

from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.machine import State
from circuitdsl.graph.resolve import load_text
from circuitdsl.runtime.engine import Compiled
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.population import Copies, Population, finite, stack

HERE = Path(__file__).resolve().parent
COPIES = 5

SMALL = """circuit small {
  param eta = 0.1   param s = 1
  input x: 5   target y: 3
  neuron h: 4 { dendrite basal   state v = 0 keep   dv = 0.1 * (basal - v)   rate = tanh(basal + v) + 0.1 * randn() }
  neuron out: 3 { dendrite basal   rate = softmax(basal) }
  neuron err: 3 { rate = y - out }
  param c per W2 = normal(1, 0.1)
  synapse W1: x -> h { connect = sparse(0.6)   init = normal(0, s / sqrt(fan_in)) }
  synapse W2: h -> out { state m = 0   dm = 0.5 * (err * pre - m)   dw = eta * c * m }
  loss = cross_entropy(out, y)
}"""


def circuit(text: str = SMALL) -> Circuit:
    found = load_text(text, "small").circuit
    assert found is not None
    return found


def alone_and_together(graph: Circuit, *, batch: int, dtype: Any = "float64", threads: int = 2) -> list[str]:
    """What differs between copies that run alone and the same in a population: other numbers, seeds, orders of other
    lengths, two data sets."""
    benches = [Bench(graph, examples=n, dtype=dtype) for n in (12, 16)]
    probes = benches[0].engine.probes
    single = Compiled(graph, probes, dtype)
    many = Population(graph, probes, dtype, threads=threads)
    numbers = [
        {
            name: value * (1 + 0.01 * copy) if name in ("eta", "gamma") else value
            for name, value in benches[0].numbers.items()
        }
        for copy in range(COPIES)
    ]
    data = [benches[copy % 2].data for copy in range(COPIES)]
    orders = [np.random.default_rng(copy).integers(0, 12, 6 + copy % 3) for copy in range(COPIES)]
    states = [initial_state(graph, numbers[copy], copy, dtype=dtype) for copy in range(COPIES)]
    stacked = stack(states)
    copies = Copies(data=data, orders=orders, numbers=numbers, seeds=range(COPIES))
    many.train(stacked, copies, epoch=2, batch=batch)
    found = many.evaluate(stacked, copies, epoch=2)
    wrong = []
    for copy, state in enumerate(states):
        single.train(state, data[copy], orders[copy], numbers[copy], seed=copy, epoch=2, batch=batch)
        alone = single.evaluate(state, data[copy], orders[copy], numbers[copy], seed=copy, epoch=2)
        for (name, a), (_, b) in zip(parts(state), parts(stacked), strict=True):
            if not np.allclose(a, b[copy], rtol=1e-9 if dtype == "float64" else 1e-4, atol=1e-12, equal_nan=True):
                wrong.append(f"{name} of copy {copy}")
        if alone.loss is not None and not np.allclose(alone.loss, found.loss[copy], rtol=1e-4, equal_nan=True):
            wrong.append(f"loss of copy {copy}: {alone.loss} {found.loss[copy]}")
        if not np.allclose(alone.probes, found.probes[copy], rtol=1e-4, equal_nan=True):
            wrong.append(f"probes of copy {copy}")
    return wrong


# ---------------------------------------------------------------- alone and together


def main(first: int, last: int) -> None:
    """Generated circuits as plain Python: what differs. `python tests/test_population.py 0 12` takes more of them."""
    wrong = []
    for seed in range(first, last):
        graph = generated(seed)
        for batch in (1, 3):
            try:
                wrong += [f"generated {seed}: {w}" for w in alone_and_together(graph, batch=batch)]
            except Exception as problem:
                wrong.append(f"generated {seed}: {problem!r}")
    print(json.dumps(wrong))


def test_generated_circuits_as_plain_python() -> None:
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}
    command = [sys.executable, str(HERE / "test_population.py"), "0", "1"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("batch", [1, 4])
def test_compiled(batch: int) -> None:
    assert alone_and_together(circuit(), batch=batch, dtype="float32") == []


# ---------------------------------------------------------------- bits


def trained(threads: int, copies: range, *, rows: int | None = None) -> State:
    """Some of twelve copies, trained on one data set."""
    graph = circuit()
    bench = Bench(graph, examples=16, dtype="float32")
    states = stack([initial_state(graph, bench.numbers, seed, dtype="float32") for seed in copies])
    if rows is not None:
        states.coefficients = {k: v[:: len(copies) // rows].copy() for k, v in states.coefficients.items()}
    order = np.arange(16)
    population = Population(graph, bench.engine.probes, "float32", threads=threads)
    n = len(copies)
    every = Copies(data=[bench.data] * n, orders=[order] * n, numbers=[bench.numbers] * n, seeds=copies)
    population.train(states, every, epoch=0, batch=1)
    return states


def test_neither_threads_nor_the_other_copies_change_a_bit() -> None:
    whole = trained(1, range(12))
    for name, array in whole.weights.items():
        np.testing.assert_array_equal(array, trained(3, range(12)).weights[name])
        np.testing.assert_array_equal(array[4:9], trained(2, range(4, 9)).weights[name])
    assert not np.array_equal(whole.weights["W2"][0], whole.weights["W2"][1])


def test_one_row_serves_consecutive_copies() -> None:
    whole, few = trained(2, range(4)), trained(2, range(4), rows=2)
    np.testing.assert_array_equal(whole.weights["W2"][0], few.weights["W2"][0])
    np.testing.assert_array_equal(whole.weights["W2"][2], few.weights["W2"][2])
    assert not np.array_equal(whole.weights["W2"][1], few.weights["W2"][1])


def test_what_is_no_longer_finite() -> None:
    states = trained(1, range(3))
    states.synapse_states["W2", "m"][1, 0, 0] = np.inf
    assert finite(states).tolist() == [True, False, True]


# ---------------------------------------------------------------- misuse


def test_states_that_do_not_fit() -> None:
    graph = circuit()
    bench = Bench(graph, examples=8, dtype="float32")
    population = Population(graph, (), "float32")
    three = Copies(data=[bench.data] * 3, orders=[np.arange(8)] * 3, numbers=[bench.numbers] * 3, seeds=range(3))
    states = stack([initial_state(graph, bench.numbers, seed, dtype="float32") for seed in range(2)])
    with pytest.raises(ValueError, match="of 3 copies"):
        population.train(states, three, epoch=0, batch=1)
    wide = stack([initial_state(graph, bench.numbers, seed, dtype="float64") for seed in range(3)])
    with pytest.raises(ValueError, match="float64"):
        population.train(wide, three, epoch=0, batch=1)


def test_nothing_to_do() -> None:
    graph = circuit()
    bench = Bench(graph, examples=8, dtype="float32")
    states = stack([initial_state(graph, bench.numbers, seed, dtype="float32") for seed in range(2)])
    before = states.copy()
    none = Copies(data=[bench.data] * 2, orders=[np.arange(0)] * 2, numbers=[bench.numbers] * 2, seeds=range(2))
    population = Population(graph, (), "float32")
    population.train(states, none, epoch=0, batch=1)
    np.testing.assert_array_equal(before.weights["W2"], states.weights["W2"])
    loss = population.evaluate(states, none, epoch=0).loss
    assert loss is not None
    assert np.isnan(loss).all()


def test_a_target_without_it() -> None:
    with pytest.raises(UsageError, match="use `cpu`"):
        Population(circuit(), target="ptx")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
