"""Rows of data that are asked for before their turn: which, where, and that nothing comes of it but time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bench import Bench, library

from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.resolve import load_text
from circuitdsl.lower.early import STEPS
from circuitdsl.lower.loop_ir import Aim, Const, Dtype, Fetch, Load, Program, Repeat, Var
from circuitdsl.lower.pipeline import stages
from circuitdsl.lower.schedule import lower_evaluation, lower_training
from circuitdsl.lower.show import show
from circuitdsl.lower.verify import LoopError, verify
from circuitdsl.runtime.engine import Compiled

VECTORS = Aim(vectors=True)
TEXT = """circuit c {
  input x: 5   input seen: 2   target y: 1
  neuron h: 4 { dendrite d   rate = tanh(d) }
  neuron out: 1 { dendrite d   rate = d }
  neuron err: 1 { rate = y - out }
  synapse A: x -> h.d { dw = 0.1 * post * pre }
  synapse B: h -> out.d { dw = 0.1 * err * pre }
  loss = mse(out, y)
}"""


def circuit(text: str = TEXT) -> Circuit:
    found = load_text(text, "c").circuit
    assert found is not None
    return found


def online(graph: Circuit, aim: Aim = VECTORS, **without: object) -> Program:
    return dict(stages(lower_training(graph, online=True), aim, **without))["early"]  # type: ignore[arg-type]


def asked_for(program: Program) -> dict[str, str]:
    """What is asked for, and how it is shown."""
    lines = [line.strip() for line in show(program).split("\n") if line.strip().startswith("fetch ")]
    return {line.split()[1].partition("[")[0]: line for line in lines}


@pytest.mark.parametrize("without", [(), ("defer",)])
def test_what_an_example_has_is_asked_for(without: tuple[str, ...]) -> None:
    found = asked_for(online(circuit(), without=without))
    assert set(found) == {"data_x", "data_y"}  # nothing reads `seen`
    assert found["data_x"] == f"fetch data_x[order[min((step + {STEPS}), (steps - 1))], 0] and on, n_x of them"
    assert found["data_y"].endswith("and on, 1 of them")


def test_only_one_example_at_a_time_on_a_processor() -> None:
    graph = circuit()
    for aim in (Aim(), Aim(teams=True), Aim(teams=True, vectors=True)):
        assert not asked_for(online(graph, aim))
    batches = dict(stages(lower_training(graph, online=False), VECTORS))["early"]
    assert not asked_for(batches)
    assert not asked_for(dict(stages(lower_evaluation(graph, ()), VECTORS))["early"])


def test_the_verifier_looks_at_it() -> None:
    program = online(circuit())
    (steps,) = (part for part in program.body if isinstance(part, Repeat))
    fetch = next(part for part in steps.body if isinstance(part, Fetch))
    zero = Const(0, Dtype.INT)
    for wrong, why in (
        (Fetch(buffer="A", index=(zero, zero), count=zero), "which threads write"),
        (Fetch(buffer="data_x", index=(zero,), count=zero), "data_x"),
        (Fetch(buffer="data_x", index=fetch.index, count=Var("nobody", Dtype.INT)), "nobody"),
        (Fetch(buffer="data_x", index=fetch.index, count=Load("data_x", (zero, zero))), "asked for"),
    ):
        changed = replace(steps, body=tuple(wrong if part is fetch else part for part in steps.body))
        broken = replace(program, body=tuple(changed if part is steps else part for part in program.body))
        with pytest.raises(LoopError, match=why):
            verify(broken)


def test_bits_are_the_same_without() -> None:
    """Few examples too: none is asked for beyond the last."""
    graph = library("heterosynaptic/kolen_pollack.circ")
    for examples in (1, 3, 9):
        bench = Bench(graph, examples=examples, dtype="float32")
        states = [bench.state.copy(), bench.state.copy()]
        for state, without in zip(states, ((), ("early",)), strict=True):
            engine = Compiled(graph, without=without)
            engine.train(state, bench.data, bench.order[::-1].copy(), bench.numbers, seed=0, epoch=0, batch=1)
        assert all(a.tobytes() == states[1].weights[n].tobytes() for n, a in states[0].weights.items())
