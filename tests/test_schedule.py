"""What happens when, in loop programs: what a mutant (mutants.py) takes away is seen against the reference."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from agreement import TOLERANCE, difference, parts
from bench import Bench
from device import Device

from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.resolve import load_text
from circuitdsl.lower.loop_ir import phases
from circuitdsl.lower.schedule import lower_training
from circuitdsl.twin.gradient import twin

#: `quiet` has no tick, unless its param says so; its last tick would be the one before it.
EMPTY_PHASE = """circuit empty {
  param n = 0
  input x: 3   target y: 2
  neuron out: 2 { dendrite d   rate = tanh(d) }
  synapse W: x -> out.d { dw = 0.1 * (last(settle) - last(quiet)) * post * pre + last(learn) * first(learn) * pre }
  schedule { phase settle: 2   phase quiet: n   phase learn: 1 }
  loss = mse(out, y)
}"""

#: A state moves by a rate of the tick before, and the gradient reads both as they were.
REMEMBERED = """circuit remembered {
  input x: 3   target y: 3
  neuron h: 3 { dendrite d   state v = 0.5   dv = 0.3 * (d - v) + 0.2 * prev(h)   rate = tanh(v) + 0.1 * v ^ 2 }
  synapse W: x -> h.d { dw = 0.1 * post * pre - 0.01 * post.v * pre }
  schedule { phase settle: 4 }
  loss = mse(h, y)
}"""


def circuit(text: str) -> Circuit:
    found = load_text(text, "text").circuit
    assert found is not None
    return found


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("text", [EMPTY_PHASE, REMEMBERED], ids=["empty phase", "remembered"])
@pytest.mark.parametrize("made", [circuit, lambda text: twin(circuit(text))], ids=["circuit", "twin"])
def test_ticks_are_those_of_the_reference(made: Callable[[str], Circuit], text: str, batch: int) -> None:
    bench = Bench(made(text))
    named = {"data": bench.data, "order": bench.order, "numbers": bench.numbers, "seed": 0, "epoch": 0}
    engine = Device().engine(bench, "train_online" if batch == 1 else "train", "evaluate")
    state = bench.state.copy()
    engine.train(state, batch=batch, **named)
    bench.train(batch=batch)
    found = dict(parts(state))
    assert found
    for name, expected in parts(bench.state):
        assert difference(found[name], expected) < TOLERANCE["float64"], name
    assert engine.evaluate(state, **named).loss == pytest.approx(bench.evaluate().loss, rel=1e-9)


def test_a_tick_ends_in_its_order() -> None:
    """All increments, then what `prev` remembers, then the states."""
    names = [p.name for p in phases(lower_training(circuit(REMEMBERED), online=True).body)]
    assert names.index("increment_d_h_v") < names.index("remember_prev_h") < names.index("advance_h_v")
