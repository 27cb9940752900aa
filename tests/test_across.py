"""Short rows side by side: which matrices are turned, which may not be, and what the program is then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from agreement import small
from bench import Bench

from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.resolve import load_text
from circuitdsl.lower import across
from circuitdsl.lower.aims import sizes_of
from circuitdsl.lower.loop_ir import Aim, Program, Role, phases
from circuitdsl.lower.pipeline import stages
from circuitdsl.lower.schedule import lower_training
from circuitdsl.lower.show import show
from circuitdsl.runtime.engine import Compiled
from circuitdsl.twin.gradient import twin

HERE = Path(__file__).resolve().parent
#: Feedback with a state and a coefficient of each weight; what is marked changes.
TEXT = """circuit c {
  param eta = 0.1
  input x: 40   target y: 4
  neuron h: 20 { dendrite basal, apical   rate = tanh(basal) }
  neuron out: 4 { dendrite basal   rate = softmax(basal) }
  neuron err: 4 { rate = y - out }
  param c per V = normal(1, 0.1)
  synapse W: x -> h.basal { dw = eta * post.apical * pre }
  synapse U: h -> out.basal { dw = eta * err * pre }
  synapse V: err -> h.apical { state m = 0   dm = post * pre - 0.1 * m   dw = eta * c * m - 0.01 * w }
  loss = cross_entropy(out, y)
}"""


def circuit(text: str = TEXT) -> Circuit:
    found = load_text(text, "c").circuit
    assert found is not None
    return found


def online(graph: Circuit, aim: Aim | None = None) -> Program:
    made_for = Aim(vectors=True, sizes=sizes_of(graph)) if aim is None else aim
    return dict(stages(lower_training(graph, online=True), made_for))["across"]


def turned(program: Program) -> set[str]:
    """The matrices that stand the other way round."""
    return {b.name.removesuffix("_across") for b in program.buffers if b.role is Role.WORK and len(b.shape) == 2}


# ---------------------------------------------------------------- which


@pytest.mark.parametrize(
    ("post", "pre", "short"),
    [(16, 2, True), (15, 2, False), (32, 31, True), (40, 32, False), (20, 30, False), (20, 1, False)],
)
def test_short_rows(post: int, pre: int, short: bool) -> None:
    graph = circuit(TEXT.replace("h: 20", f"h: {post}").replace("y: 4", f"y: {pre}").replace(": 4 {", f": {pre} {{"))
    assert ("V" in turned(online(graph))) == short


def test_a_matrix_is_turned_with_all_that_its_weights_have() -> None:
    program = online(circuit())
    assert turned(program) == {"V", "V_m", "c"}
    titles = [phase.title for phase in phases(program.body)]
    assert {t for t in titles if "turned back" in t} == {"V: turned back", "V.m: turned back"}  # nothing changes c
    text = show(program)
    assert "V_across[i, j]" in text
    assert "V[i, j]" not in text
    assert "V_across[(i + 1), j]" in text  # two presynaptic units together


def test_what_is_read_in_another_way_stays() -> None:
    masked = TEXT.replace("V: err -> h.apical {", "V: err -> h.apical { connect = sparse(0.5)")
    assert turned(online(circuit(masked))) == set()
    narrow = """circuit c {
      input x: 40   target y: 3
      neuron g: 4 { dendrite d   rate = tanh(d) }
      neuron h: 20 { dendrite d, apical   rate = tanh(d) }
      neuron out: 3 { dendrite d   rate = softmax(d) }
      neuron err: 3 { rate = y - out }
      synapse A: x -> g.d { dw = 0 * w }
      synapse B: g -> h.d { dw = 0.1 * post.apical * pre }
      synapse C: h -> out.d { dw = 0.1 * err * pre }
      synapse F: err -> h.apical { init = normal(0, 1) }
      loss = cross_entropy(out, y)
    }"""
    assert turned(online(circuit(narrow))) == {"B", "F"}
    assert "B" not in turned(online(twin(circuit(narrow))))  # the gradient goes back through it


def test_only_one_example_on_a_processor_with_vectors() -> None:
    graph = circuit()
    sizes = sizes_of(graph)
    for aim in (
        Aim(sizes=sizes),
        Aim(teams=True, sizes=sizes),
        Aim(copies=4, vectors=True, sizes=sizes),
        Aim(vectors=True),
    ):
        assert turned(online(graph, aim)) == set()
    batches = stages(lower_training(graph, online=False), Aim(vectors=True, sizes=sizes))
    assert turned(dict(batches)["across"]) == set()


def test_the_text_is_the_same_in_every_process() -> None:
    """Of a circuit with two such matrices; what is kept on disk goes by it."""
    command = [sys.executable, "-m", "circuitdsl", "emit", "heterosynaptic/direct_feedback_alignment.circ"]
    texts = {
        subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONHASHSEED": seed}).stdout
        for seed in "1234"
    }
    assert len(texts) == 1
    assert "V2_across" in texts.pop()


# ---------------------------------------------------------------- numbers


def main() -> None:
    """As plain Python: what differs from the reference, or between calls that are cut differently."""
    from test_online import differing

    across.UNITS = 1
    graphs = [circuit(), small("heterosynaptic/kolen_pollack.circ"), small("models/eprop.circ")]
    assert all(turned(online(graph)) for graph in graphs)
    print(json.dumps([found for graph in graphs for found in differing(graph)]))


def test_they_compute_what_the_reference_does_however_calls_are_cut() -> None:
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == []


def test_compiled() -> None:
    bench = Bench(circuit(), examples=20, dtype="float32")
    start, engine = bench.state.copy(), Compiled(bench.circuit)
    assert turned(engine.population.code.kernel("train_online").program) == {"V", "V_m", "c"}
    engine.train(start, bench.data, bench.order, bench.numbers, seed=0, epoch=0, batch=1)
    bench.train(seed=0, epoch=0)
    for name, weights in bench.state.weights.items():
        assert start.weights[name] == pytest.approx(weights, rel=1e-4, abs=1e-5), name


if __name__ == "__main__":
    main()
