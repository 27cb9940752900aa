"""Copies side by side as lanes of one program: each computes what it computes alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from agreement import generated, parts
from bench import Bench

from circuitdsl.emit.cpu import print_program
from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.machine import State
from circuitdsl.graph.resolve import load_text
from circuitdsl.lower.copies import LANES as EXTENT
from circuitdsl.lower.loop_ir import Aim, Program, Role
from circuitdsl.lower.pipeline import passed
from circuitdsl.lower.schedule import lower_evaluation, lower_training
from circuitdsl.runtime import lanes
from circuitdsl.runtime.engine import Compiled
from circuitdsl.runtime.lanes import aim_of_copies, groups_of
from circuitdsl.runtime.population import Copies, Population, stack

HERE = Path(__file__).resolve().parent
COPIES = 5

SMALL = """circuit small {
  param eta = 0.1
  input x: 5   target y: 3
  neuron h: 4 { dendrite basal   state v = 0 keep   dv = 0.1 * (basal - v)   rate = tanh(basal + v) }
  neuron out: 3 { dendrite basal   rate = softmax(basal) }
  neuron err: 3 { rate = y - out }
  param c per W2 = normal(1, 0.1)
  synapse W1: x -> h { connect = sparse(0.6) }
  synapse W2: h -> out { state m = 0   dm = 0.5 * (err * pre - m)   dw = eta * c * m }
  loss = cross_entropy(out, y)
}"""


def circuit(text: str = SMALL) -> Circuit:
    found = load_text(text, "small").circuit
    assert found is not None
    return found


def laned(program: Program, count: int) -> Program:
    return passed(program, Aim(copies=count))


def programs(graph: Circuit) -> list[Program]:
    return [*(lower_training(graph, online=online) for online in (True, False)), lower_evaluation(graph)]


def side_by_side_and_alone(graph: Circuit, *, batch: int, dtype: str) -> list[str]:
    """What differs between copies in one group (other weights, other numbers, the same examples) and the same alone."""
    bench = Bench(graph, examples=9, dtype=dtype)
    single, many = Compiled(graph, (), dtype), Population(graph, (), dtype, threads=2)
    numbers = [
        {
            name: value * (1 + 0.01 * copy) if name in ("eta", "gamma") else value
            for name, value in bench.numbers.items()
        }
        for copy in range(COPIES)
    ]
    states = [initial_state(graph, numbers[copy], copy, dtype=dtype) for copy in range(COPIES)]
    order, seed = np.random.default_rng(0).permutation(9), 3
    stacked = stack(states)
    copies = Copies(data=[bench.data] * COPIES, orders=[order] * COPIES, numbers=numbers, seeds=[seed] * COPIES)
    many.train(stacked, copies, epoch=1, batch=batch)
    found = many.evaluate(stacked, copies, epoch=1)
    wrong = []
    tolerance = {"rtol": 1e-9, "atol": 1e-12} if dtype == "float64" else {"rtol": 1e-4, "atol": 1e-6}
    for copy, state in enumerate(states):
        single.train(state, bench.data, order, numbers[copy], seed=seed, epoch=1, batch=batch)
        alone = single.evaluate(state, bench.data, order, numbers[copy], seed=seed, epoch=1)
        for (name, a), (_, b) in zip(parts(state), parts(stacked), strict=True):
            if not np.allclose(a, b[copy], **tolerance, equal_nan=True):
                wrong.append(f"{name} of copy {copy}")
        if alone.loss is not None and not np.allclose(alone.loss, found.loss[copy], rtol=1e-4, equal_nan=True):
            wrong.append(f"loss of copy {copy}: {alone.loss} {found.loss[copy]}")
    return wrong


# ---------------------------------------------------------------- side by side and alone


def main(first: int, last: int) -> None:
    """Generated circuits as plain Python, two lanes at a time so that one is left over: what differs."""
    lanes.LANES = 2
    wrong, wide = [], 0
    for seed in range(first, last):
        graph = generated(seed)
        wide += sum(bool(laned(p, 2).constants) for p in programs(graph))
        for batch in (1, 4):
            try:
                wrong += [f"generated {seed}: {w}" for w in side_by_side_and_alone(graph, batch=batch, dtype="float64")]
            except Exception as problem:
                wrong.append(f"generated {seed}: {problem!r}")
    print(json.dumps({"wrong": wrong, "wide": wide}))


def test_generated_circuits_as_plain_python() -> None:
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}
    command = [sys.executable, str(HERE / "test_lanes.py"), "0", "5"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert found["wide"] > 10  # most of the 15 programs can be made wide, or this would show nothing


@pytest.mark.parametrize("batch", [1, 4])
def test_compiled(batch: int) -> None:
    assert side_by_side_and_alone(circuit(), batch=batch, dtype="float32") == []


def trained(copies: range, threads: int = 1) -> State:
    """Some copies of many with the same examples, trained."""
    graph = circuit()
    bench = Bench(graph, examples=16, dtype="float32")
    states = stack([initial_state(graph, bench.numbers, copy, dtype="float32") for copy in copies])
    n, order = len(copies), np.arange(16)
    every = Copies(data=[bench.data] * n, orders=[order] * n, numbers=[bench.numbers] * n, seeds=[0] * n)
    Population(graph, (), "float32", threads=threads).train(states, every, epoch=0, batch=1)
    return states


def test_neither_the_group_nor_the_lane_changes_a_bit() -> None:
    whole = trained(range(lanes.LANES + 7))
    for name, array in whole.weights.items():
        np.testing.assert_array_equal(array, trained(range(lanes.LANES + 7), threads=3).weights[name])
        np.testing.assert_array_equal(array[5:20], trained(range(5, 20)).weights[name])
        np.testing.assert_array_equal(array[-1:], trained(range(lanes.LANES + 6, lanes.LANES + 7)).weights[name])
    assert not np.array_equal(whole.weights["W2"][0], whole.weights["W2"][1])


def test_a_lane_that_diverges_leaves_its_neighbours_alone() -> None:
    graph = circuit()
    bench = Bench(graph, examples=16, dtype="float32")

    def trained_from(second: float) -> State:
        states = stack([initial_state(graph, bench.numbers, 0, dtype="float32")] * 3)
        states.weights["W2"][1] *= second
        order = np.arange(16)
        every = Copies(data=[bench.data] * 3, orders=[order] * 3, numbers=[bench.numbers] * 3, seeds=[0] * 3)
        Population(graph, (), "float32", threads=1).train(states, every, epoch=0, batch=1)
        return states

    mixed, calm = trained_from(np.nan), trained_from(1.0)
    assert np.isnan(mixed.weights["W2"][1]).all()
    np.testing.assert_array_equal(mixed.weights["W2"][[0, 2]], calm.weights["W2"][[0, 2]])


# ---------------------------------------------------------------- which programs, which groups


def test_what_lanes_have_in_common_has_no_axis_of_lanes() -> None:
    program = laned(lower_evaluation(circuit()), 8)
    wide = {b.name for b in program.buffers if b.shape[-1:] == (EXTENT,)}
    common = {b.name for b in program.buffers} - wide
    assert {"data_x", "data_y", "order", "x", "y"} <= common
    assert {"W1", "W2", "h", "out", "result_loss"} <= wide
    training = laned(lower_training(circuit(), online=True), 8)
    assert [b.key for b in training.buffers if b.role is Role.NUMBER] == ["eta"]
    assert "for _lane in range(_lanes):" in print_program(training, "float32")


def test_index_that_differs_between_lanes() -> None:
    """The k winners are other neurons in every lane."""
    text = SMALL.replace("rate = softmax(basal)", "rate = kwta(basal, 2)")
    graph = circuit(text)
    made = [laned(p, 4) for p in programs(graph)]
    for program, wide in zip(programs(graph), made, strict=True):
        assert wide.constants in ((), ((EXTENT, 4),)), program.title
    assert side_by_side_and_alone(graph, batch=1, dtype="float32") == []


def test_large_circuits_run_one_by_one() -> None:
    wide = circuit(SMALL.replace("neuron h: 4", "neuron h: 4000"))
    for graph, copies in ((circuit(), lanes.LANES), (wide, 1)):
        assert aim_of_copies(graph, "float32").copies == copies


def test_groups() -> None:
    common = np.array([[1, 0], [2, 0], [1, 0], [1, 1]])
    groups = groups_of(common)
    found = {tuple(row[real].tolist()) for row, real in zip(groups.members, groups.real, strict=True)}
    assert found == {(0, 2), (1,), (3,)}
    assert groups.members.shape == (3, lanes.LANES)
    many = groups_of(np.zeros((lanes.LANES + 1, 2), dtype=np.int64))
    assert many.real.sum(axis=1).tolist() == [lanes.LANES, 1]
    array = np.arange(4 * 6.0).reshape(4, 2, 3)
    back = np.zeros_like(array)
    groups.narrow(groups.wide(array, 4), back)
    np.testing.assert_array_equal(array, back)
    few = groups.wide(array[:2], 4)  # each row serves two copies that stand together
    np.testing.assert_array_equal(few[:, :, :, 0], array[groups.first // 2])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
