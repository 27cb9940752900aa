"""Passes for one example at a time: learning moves to where weights are read, or into the next step. As a program:

    NUMBA_DISABLE_JIT=1 python tests/test_online.py

runs circuits as plain Python, their examples in one call and in several, and prints a JSON list of what differs from
the reference.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from agreement import difference, parts
from bench import Bench, library

from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.machine import State
from circuitdsl.graph.resolve import load_text
from circuitdsl.lower.aims import sizes_of
from circuitdsl.lower.defer import NEAR
from circuitdsl.lower.loop_ir import Aim, Phase, Program, Repeat
from circuitdsl.lower.pipeline import stages
from circuitdsl.lower.schedule import lower_training
from circuitdsl.lower.show import show
from circuitdsl.runtime.engine import Compiled

HERE = Path(__file__).resolve().parent
CUTS: tuple[tuple[int, ...], ...] = ((), (1,), (2, 3, 7))
EXAMPLES = 8

#: Feedback that learns where it is read, or a step later as its rule knows the current; weights that learn a step later
#: with bounds, a sign, few connections, a momentum, an average that is kept, noise.
CHAIN = """circuit chain {
  param eta = 0.1
  input x: 5   target y: 3
  neuron h: 4 { dendrite basal, apical   rate = relu(basal) }
  neuron k: 4 {
    dendrite basal, apical
    state mean = 0.1 keep   dmean = 0.5 * (k - mean)
    rate = tanh(basal)
  }
  neuron out: 3 { dendrite basal   rate = softmax(basal) }
  neuron err: 3 { rate = y - out }
  neuron back: 4 { rate = k.apical * (1 - square(k)) }
  synapse W1: x -> h.basal {
    bounds = [-0.3, 0.3]   connect = sparse(0.7)
    dw = eta * post.apical * step(post.basal) * (pre + 0.1 * randn()) - 0.01 * w
  }
  synapse W2: h -> k.basal {
    sign = excitatory   state m = 0   dm = post.apical * pre - 0.3 * m
    dw = eta * m - 0.1 * post.mean * w
  }
  synapse W3: k -> out.basal { dw = eta * err * pre }
  synapse V2: err -> k.apical { dw = eta * post * pre - 0.01 * w }
  synapse V1: back -> h.apical { dw = eta * post.apical * pre }
  loss = cross_entropy(out, y)
}"""


def circuit(text: str = CHAIN) -> Circuit:
    found = load_text(text, "chain").circuit
    assert found is not None
    return found


def online(graph: Circuit, aim: Aim | None = None) -> dict[str, Program]:
    """The program of training after each pass."""
    return dict(stages(lower_training(graph, online=True), aim))


# ---------------------------------------------------------------- numbers


def trained(engine: Compiled, bench: Bench, start: State, cuts: Sequence[int]) -> State:
    state = start.copy()
    for first, last in zip((0, *cuts), (*cuts, EXAMPLES), strict=True):
        engine.train(state, bench.data, bench.order[first:last], bench.numbers, seed=3, epoch=1, batch=1)
    return state


def differing(graph: Circuit) -> Iterator[str]:
    """What differs from the reference, or from one call to several; from weights beyond their bounds as well."""
    for far in (1.0, 3.0):
        bench = Bench(graph, examples=EXAMPLES, dtype="float64")
        for weights in bench.state.weights.values():
            weights *= far
        start, engine = bench.state.copy(), Compiled(graph, (), "float64")
        broken = start.copy()
        for weights in broken.weights.values():
            weights[...] = np.inf
        trained(engine, bench, broken, ())  # leaves what is not finite in work space
        bench.train(seed=3, epoch=1)
        expected, whole = dict(parts(bench.state)), dict(parts(trained(engine, bench, start, ())))
        for name, array in expected.items():
            if not difference(whole[name], array) < 1e-9:
                yield f"{graph.name}, times {far}: {name}"
        for cuts in CUTS:
            if not same(whole, trained(engine, bench, start, cuts)):
                yield f"{graph.name}, times {far}: in calls cut at {cuts}"


def same(whole: dict[str, np.ndarray], state: State) -> bool:
    return all(array.tobytes() == whole[name].tobytes() for name, array in parts(state))


def main() -> None:
    circuits = [circuit(), library("classic/bcm.circ"), *map(quotient, QUOTIENTS)]
    print(json.dumps([wrong for each in circuits for wrong in differing(each)]))


def test_they_compute_what_the_reference_does_however_calls_are_cut() -> None:
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}
    done = subprocess.run(
        [sys.executable, str(HERE / "test_online.py")], capture_output=True, text=True, env=environment, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == []


def test_no_bit_of_compiled_code_depends_on_how_calls_are_cut() -> None:
    graph = library("heterosynaptic/kolen_pollack.circ")
    bench, engine = Bench(graph, examples=EXAMPLES, dtype="float32"), Compiled(graph)
    whole = dict(parts(trained(engine, bench, bench.state, ())))
    for cuts in CUTS[1:]:
        assert same(whole, trained(engine, bench, bench.state, cuts)), cuts


# ---------------------------------------------------------------- where they fire


def test_each_weight_is_read_and_written_once() -> None:
    text = show(online(circuit())["rows"])
    for name in ("W1", "W2", "W3", "V2", "V1"):
        (loop,) = (part for part in text.split("for i to ") if f"{name}[j, i] = " in part)
        assert f"total + ({name}[j, i] * " in loop
    assert "before_h" in text
    assert "before_x" not in text  # data stand where they are


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("loss", "schedule { phase settle: 2 }   loss"),  # examples of several ticks
        ("dw = eta * err * pre }", "dw = eta * err / pre }"),  # what may be infinite
    ],
)
def test_what_has_to_stay(old: str, new: str) -> None:
    before, after = (online(circuit(CHAIN.replace(old, text)))["rows"] for text in (old, new))
    assert moved(before) == {"W1", "W2", "W3", "V1"}  # V2 learns where it is read, in one loop
    assert moved(after) < moved(before)


@pytest.mark.parametrize(("inputs", "deferred"), [(NEAR // 4 - 1, True), (NEAR // 4, False)])
def test_long_rows_are_gone_through_twice(inputs: int, deferred: bool) -> None:
    graph = circuit(f"""circuit hebb {{
      input x: {inputs}
      neuron h: 3 {{ dendrite basal   rate = tanh(basal) }}
      synapse W: x -> h.basal {{ dw = 0.1 * post * pre - 0.1 * square(post) * w }}
    }}""")
    stage = online(graph, Aim(vectors=True, sizes=sizes_of(graph)))
    assert (stage["defer"] != stage["reorder"]) == deferred


#: Rules that divide by what is never 0, but where nothing was computed yet; and one that divides by a parameter.
QUOTIENTS = {
    "eta * pre / post": False,
    "eta * post * pre / post.mean": False,
    "eta * pre / post.q": False,
    "eta * (pre / rw) * post": False,
    "eta * post * pre / tau": True,
}


def quotient(rule: str) -> Circuit:
    return circuit(f"""circuit quotient {{
      param eta = 0.1   param tau = 2
      input x: 5   target y: 3
      neuron h: 3 {{
        dendrite a
        state mean = 1.5 keep   dmean = 0.1 * (h - mean)
        let q = 2 + tanh(a)
        rate = 1.5 + tanh(a)
      }}
      modulator rw = 2 + tanh(mean(y - h))
      synapse W: x -> h.a {{ dw = {rule} - 0.1 * w }}
      loss = mse(h, y)
    }}""")


@pytest.mark.parametrize(("rule", "deferred"), QUOTIENTS.items())
def test_quotients_are_finite_before_the_first_example(rule: str, deferred: bool) -> None:
    stage = online(quotient(rule))
    assert (stage["defer"] != stage["reorder"]) == deferred


def test_teams_have_their_own_passes() -> None:
    stage = online(circuit(), Aim(teams=True))
    assert stage["reorder"] == stage["defer"] == stage["lower"]
    assert stage["rows"] == stage["fuse"]


def moved(program: Program) -> set[str]:
    """The synapses that learn in the next step: in the last round too."""
    (repeat,) = (part for part in program.body if isinstance(part, Repeat))
    titles = [title for part in repeat.body if isinstance(part, Phase) for title in part.title.split("; ")]
    return {title.partition(":")[0] for title in titles if title.endswith("learning")}


if __name__ == "__main__":
    main()
