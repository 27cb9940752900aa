"""The passes: each does something, none changes what is computed, and a wrong one is found where it is wrong. As a
program:

    NUMBA_DISABLE_JIT=1 python tests/test_pipeline.py

runs circuits as plain Python with each pass left out, and prints a JSON list of what differs from the reference.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from agreement import CIRCUITS, difference, generated, parts
from bench import Bench, library

from circuitdsl.api import Emission, UsageError, load
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.resolve import load_text
from circuitdsl.lower import pipeline
from circuitdsl.lower.loop_ir import Aim, Program
from circuitdsl.lower.pipeline import LOWERED, PASSES, Pass, fired, passed, stages
from circuitdsl.lower.schedule import lower_all
from circuitdsl.lower.show import show
from circuitdsl.lower.verify import LoopError
from circuitdsl.runtime import lanes
from circuitdsl.runtime.engine import Compiled
from circuitdsl.runtime.population import Copies, Population, stack

HERE = Path(__file__).resolve().parent
NAMES = [p.name for p in PASSES]

#: Every pass fires in it.
ALL = """circuit all {
  param eta = 0.1
  input x: 4   target y: 3
  neuron h: 4 { dendrite basal   state v = 0.1   dv = 0.1 * (basal - v)   rate = tanh(basal + v) }
  neuron out: 3 { dendrite basal   rate = softmax(basal) }
  neuron err: 3 { rate = y - out }
  synapse W1: x -> h { dw = eta * post * pre }
  synapse W2: h -> out { dw = eta * (err * pre - 0.1 * w * pre ^ 2) }
  schedule { phase settle: 2   phase learn: 1   update = example }
  loss = cross_entropy(out, y)
}"""


def circuit(text: str = ALL) -> Circuit:
    found = load_text(text, "all").circuit
    assert found is not None
    return found


# ---------------------------------------------------------------- what they do


def test_each_pass_fires_in_the_library() -> None:
    """In a circuit or its gradient twin, which reads fewer weights than the circuit has."""
    missing = set(NAMES)
    for name in CIRCUITS:
        found = load(name)
        for learn in ("circuit", "backprop") if found.ir.loss is not None else ("circuit",):
            missing -= {one.name for one in Emission(circuit=found, learn=learn).passes() if one.times}
        for_teams = [list(stages(p)) for p in lower_all(found.ir, aim=Aim(teams=True))]
        missing -= {one.name for one in fired(for_teams) if one.times}
        if not missing:
            return
    assert not missing


def test_passes_have_names_of_their_own_and_a_line_each() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert LOWERED not in NAMES
    assert all(p.doc and "\n" not in p.doc for p in PASSES)


def test_the_aim_is_all_that_two_programs_of_one_circuit_differ_in() -> None:
    program = lower_all(circuit())[0]
    single, many = passed(program), passed(program, Aim(copies=4))
    assert not single.constants
    assert [*dict(many.constants).values()] == [4]
    assert not many.stand_ins
    assert dict(passed(program, Aim(vectors=True)).stand_ins) == {"swift_exp": "exp", "swift_tanh": "tanh"}


def test_a_stage_is_shown() -> None:
    program = lower_all(library("heterosynaptic/kolen_pollack.circ"))[0]
    for name, stage in stages(program):
        text = show(stage)
        assert text.startswith("program train_online: "), name
        assert "\n    phase " in text
    emission = Emission(circuit=load("heterosynaptic/kolen_pollack.circ"))
    assert emission.after("lower") != emission.after("fuse")
    small = Emission(circuit=load("classic/delta_rule.circ"))
    assert "program train_online_lanes" in small.after("copies")
    assert "program train_online_lanes" not in emission.after("fuse")


# ---------------------------------------------------------------- each left out


def differing(graph: Circuit, without: list[str]) -> Iterator[str]:
    """What differs from the reference after five examples in batches of two: the engine, and three copies."""
    bench = Bench(graph, examples=5, dtype="float64")
    start = bench.state.copy()
    named = {"seed": 3, "epoch": 1, "batch": 2}
    bench.engine.train(bench.state, bench.data, bench.order, bench.numbers, **named)
    expected = dict(parts(bench.state))
    alone = start.copy()
    engine = Compiled(graph, (), "float64", without=without)
    engine.train(alone, bench.data, bench.order, bench.numbers, **named)
    states = stack([start.copy() for _ in range(3)])
    copies = Copies(
        data=[bench.data] * 3, orders=[bench.order] * 3, numbers=[bench.numbers] * 3, seeds=[named["seed"]] * 3
    )
    population = Population(graph, (), "float64", threads=1, without=without)
    population.train(states, copies, epoch=1, batch=2)
    single, together = dict(parts(alone)), dict(parts(states))
    for name, array in expected.items():
        if not difference(single[name], array) < 1e-9:
            yield f"{graph.name} without {without}: {name}"
        if not max(difference(copy, array) for copy in together[name]) < 1e-9:
            yield f"{graph.name} without {without}: {name} of a copy"


def main() -> None:
    lanes.LANES = 2
    graphs = [circuit(), *(generated(seed) for seed in range(2))]
    left_out = [[], *([name] for name in NAMES), NAMES]
    wrong = []
    for graph in graphs:
        for without in left_out:
            try:
                wrong += differing(graph, without)
            except Exception as problem:
                wrong.append(f"{graph.name} without {without}: {problem!r}")
    print(json.dumps(wrong))


def test_with_each_left_out_it_computes_the_same() -> None:
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}
    done = subprocess.run(
        [sys.executable, str(HERE / "test_pipeline.py")], capture_output=True, text=True, env=environment, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == []


def test_what_is_left_out_is_not_done() -> None:
    program = lower_all(circuit())[0]
    for name in NAMES:
        found = dict(stages(program, Aim(copies=4), without=[name]))
        before = [LOWERED, *NAMES][NAMES.index(name)]
        assert found[name] == found[before]


# ---------------------------------------------------------------- a wrong one


def broken(program: Program) -> Program:
    """Reads a buffer that is not there any more."""
    return replace(program, buffers=program.buffers[1:])


@pytest.mark.parametrize("place", range(len(PASSES) + 1))
def test_a_wrong_pass_is_found_after_it(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "PASSES", (*PASSES[:place], Pass("broken", "", broken), *PASSES[place:]))
    program, reached = lower_all(circuit())[0], list[str]()
    with pytest.raises(LoopError, match="no buffer"):
        reached.extend(name for name, _ in stages(program, Aim(copies=4)))
    assert reached == [LOWERED, *NAMES[:place]]
    assert passed(program, without=["broken"])


def test_an_unknown_name_is_told() -> None:
    emission = Emission(circuit=load("heterosynaptic/kolen_pollack.circ"), without=["fusion"])
    with pytest.raises(UsageError, match="fuse"):
        emission.source()
    with pytest.raises(UsageError, match="lower"):
        replace(emission, without=()).after("nothing")
    with pytest.raises(UsageError, match="unknown pass `unfuse`"):
        load("heterosynaptic/kolen_pollack.circ").compile(without=["unfuse"])


def test_programs_without_a_pass_are_other_code() -> None:
    """The code on disk is found by its text, so that a pass that is left out needs no key of its own."""
    emission = Emission(circuit=load("heterosynaptic/kolen_pollack.circ"))
    assert emission.source() != replace(emission, without=["fuse"]).source()


if __name__ == "__main__":
    main()
