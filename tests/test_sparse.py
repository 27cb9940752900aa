"""A synapse that holds only the weights that are there gives the numbers of the same one as a whole matrix."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from circuitdsl.graph import ir, projections
from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.machine import State
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.projections import Sparse, dense
from circuitdsl.graph.resolve import load_text
from circuitdsl.lower.schedule import lower_all
from circuitdsl.lower.verify import verify
from circuitdsl.reference import Reference
from circuitdsl.runtime.engine import Compiled
from circuitdsl.runtime.state import state_arrays
from circuitdsl.twin.gradient import twin

RULES = {
    "tick": """circuit tick {
      param eta = 0.05   param gamma = 0.01
      input x: 9   target y: 6
      neuron h: 7 { dendrite d   dendrite apical   rate = tanh(d) }
      neuron out: 6 { dendrite d   dendrite side  rate = tanh(d + 0.1 * side) }
      neuron err: 6 { rate = y - out }
      synapse W: x -> h.d { connect = sparse(0.4)  sign = excitatory
        init = normal(0, 1) + identity   dw = eta * post.apical * pre - eta * gamma * w / fan_in }
      synapse O: h -> out.d { connect = fan_in(3)   init = copy(V)   bounds = [-0.8, 0.8]
        state m = 0.1 * uniform(0, 1)   dm = 0.2 * (err * pre - m)   dw = eta * m }
      synapse V: h -> out.d { connect = sparse(0.5)  dw = eta * err * pre  init = uniform(-1, 1) }
      synapse B: err -> h.apical { connect = sparse(0.5)   init = transpose(V) }
      synapse S: x -> out.side { connect = fan_in(2)  init = identity  dw = 0.01 * err * pre }
      loss = mse(out, y)
    }""",
}


def circuit_of(text: str) -> ir.Circuit:
    found = load_text(text)
    assert found.circuit is not None, found.diagnostics
    return found.circuit


@contextmanager
def forced(places: int, part: float) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projections, "PLACES", places)
        patch.setattr(projections, "DENSITY", part)
        yield


def trained(circuit: ir.Circuit, engine_of: type, *, sparse: bool, batch: int) -> tuple[State, list[float]]:
    """What a few examples leave, held whole, and the loss."""
    numbers = numbers_of(circuit, {})
    rng = np.random.default_rng(5)
    given = [p for p in circuit.populations.values() if p.kind in (ir.Kind.INPUT, ir.Kind.TARGET)]
    data = {p.name: rng.standard_normal((6, p.size)) for p in given}
    order = np.arange(6)
    with forced(0, 1.0) if sparse else forced(1 << 40, 0.0):
        state = initial_state(circuit, numbers, 3, dtype="float64")
        assert any(isinstance(p, Sparse) for p in state.projections.values()) is sparse
        engine = engine_of(circuit, (), "float64")
        for epoch in range(2):
            engine.train(state, data, order, numbers, seed=1, epoch=epoch, batch=batch)
        found = engine.evaluate(state, data, order, numbers, seed=1, epoch=2)
        return dense(circuit, state), [found.loss if found.loss is not None else 0.0]


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("batch", [1, 4])
def test_sparse_and_whole_give_the_same_numbers(name: str, batch: int) -> None:
    for circuit in (circuit_of(RULES[name]), twin(circuit_of(RULES[name]))):
        whole, loss = trained(circuit, Reference, sparse=False, batch=batch)
        for engine in (Reference, Compiled):
            few, other = trained(circuit, engine, sparse=True, batch=batch)
            assert other == pytest.approx(loss, rel=1e-9)
            for key, array in state_arrays(whole).items():
                assert np.allclose(array, state_arrays(few)[key], rtol=1e-9, atol=1e-12), (key, engine)


def test_programs_of_sparse_synapses_are_well_formed() -> None:
    with forced(0, 1.0):
        for circuit in (circuit_of(RULES["tick"]), twin(circuit_of(RULES["tick"]))):
            for program in lower_all(circuit):
                verify(program)
