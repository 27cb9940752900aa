"""A synapse that holds only the weights that are there gives the numbers of the same one as a whole matrix."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agreement import difference, generated, parts
from bench import Bench
from device import Device, Order

from circuitdsl.api import Outcome, Request, Simulation, loads
from circuitdsl.graph import connections, ir, projections
from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.machine import State
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.projections import Sparse, dense, sparse_synapses
from circuitdsl.graph.resolve import load_text
from circuitdsl.lower.copies import laned
from circuitdsl.lower.loop_ir import Aim, Const, Dtype, Loop, Program, Role, Row, Statement
from circuitdsl.lower.pipeline import passed
from circuitdsl.lower.rewrite import with_phases
from circuitdsl.lower.schedule import lower_all, lower_training
from circuitdsl.lower.show import show
from circuitdsl.lower.verify import LoopError, verify
from circuitdsl.reference import Reference
from circuitdsl.runtime import results
from circuitdsl.runtime.engine import Compiled
from circuitdsl.runtime.health import warnings_of
from circuitdsl.runtime.population import Copies, Population, stack
from circuitdsl.runtime.state import load_weights, save_weights, state_arrays
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
    "partners": """circuit partners {
      param eta = 0.05   param gain per F = uniform(0.5, 1)
      input x: 7   target y: 7
      neuron h: 7 { dendrite d   dendrite apical   rate = tanh(d) }
      neuron out: 7 { dendrite d   rate = tanh(d + 0.1 * randn()) }
      neuron err: 7 { rate = y - out }
      synapse W: x -> h.d { connect = one_to_one   sign = excitatory   init = normal(0, 1)
        dw = eta * post.apical * pre * (1 + 0.1 * rand()) - 0.01 * w / fan_in }
      synapse O: h -> out.d { connect = one_to_one   state m = 0.1 * uniform(0, 1)   dm = 0.2 * (err * pre - m)
        state z = 0 fresh   dz = pre * post - z   dw = eta * m + 0.01 * z }
      synapse D: x -> out.d { connect = one_to_one & sparse(0.6)   dw = eta * err * pre }
      synapse F: err -> h.apical { connect = one_to_one   init = transpose(O)   dw = eta * gain * pre * post }
      loss = mse(out, y) + 0.1 * mean(square(h))
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
        patch.setattr(projections, "PARTNERS", places)
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


# ---------------------------------------------------------------- what a run is told, and leaves

LIFE = """circuit life {
  input x: 9   target y: 5
  neuron out: 5 { dendrite d   rate = tanh(d) }
  neuron err: 5 { rate = y - out }
  synapse W: x -> out { connect = sparse(0.4)   bounds = [-0.5, 0.5]   state m = 0   dm = 0.1 * (pre - m)
    dw = 0.1 * err * m }
  synapse V: x -> out { connect = fan_in(2)   dw = 0.01 * err * pre }
  loss = mse(out, y)   record norm(W), mean(W), max(W), sum(V), cos(W, V), W
}"""


def lived(seeds: tuple[int, ...], **settings: Any) -> tuple[Simulation, dict[int, Outcome]]:
    rng = np.random.default_rng(0)
    data = rng.standard_normal((8, 9)).astype("f4"), rng.standard_normal((8, 5)).astype("f4")
    simulation = Simulation(loads(LIFE), target="reference")
    request = Request(data=data, epochs=2, batch=2, scale="none")
    return simulation, {s: simulation.execute(replace(request, seed=s, **settings)) for s in seeds}


def test_records_and_warnings_are_those_of_whole_matrices() -> None:
    with forced(1 << 40, 0.0):
        _, whole = lived((1,))
    with forced(0, 1.0):
        _, few = lived((1,))
    for a, b in zip(whole[1].run.series, few[1].run.series, strict=True):
        assert np.allclose(a.values, b.values, equal_nan=True), a.name
    assert warnings_of(whole[1].loop, whole[1].run) == warnings_of(few[1].loop, few[1].run)
    assert few[1].run.state.weights["W"].ndim == 1


def test_results_of_seeds_go_together_and_a_run_goes_on(tmp_path: Path) -> None:
    with forced(0, 1.0):
        simulation, runs = lived((1, 2))
        _, halves = lived((1, 2), epochs=1)
        together = results.joined({seed: simulation.dataset_of(o) for seed, o in halves.items()})
        results.write(tmp_path / "run.nc", together)
        saved = results.split(results.opened(tmp_path / "run.nc"))
        for seed, whole in runs.items():
            assert len(saved[seed]["W.final"]) == saved[seed]["W.connect.starts"].values[-1]
            _, again = lived((seed,), epochs=0)
            results.continue_from(again[seed].run, saved[seed], whole.loop.updates_per_epoch)
            half = halves[seed].run.state
            for name, array in state_arrays(again[seed].run.state).items():
                assert np.array_equal(array, state_arrays(half)[name]), (seed, name)
            assert whole.run.epochs_done == 2
        with pytest.raises(ValueError, match="other connections"):
            results.continue_from(again[2].run, saved[1], runs[1].loop.updates_per_epoch)


def test_weights_go_from_any_way_of_holding_them_to_any_other(tmp_path: Path) -> None:
    ways = {True: (0, 1.0), False: (1 << 40, 0.0)}
    for before in ways:
        with forced(*ways[before]):
            _, runs = lived((1, 2))
        wanted = {seed: dense(o.run.circuit, o.run.state) for seed, o in runs.items()}
        save_weights(tmp_path / "w.safetensors", runs[1].run.circuit, runs[1].run.state)
        for after in ways:
            with forced(*ways[after]):
                _, others = lived((1, 2), epochs=0)
                for seed, other in others.items():
                    state = other.run.state
                    load_weights(tmp_path / "w.safetensors", other.run.circuit, state)
                    found, mask = dense(other.run.circuit, state).weights["W"], other.run.state.mask("W")
                    assert mask is not None
                    assert np.array_equal(found, np.where(mask, wanted[1].weights["W"], 0)), (before, after, seed)


# ---------------------------------------------------------------- circuits without any plan


@pytest.mark.parametrize("order", ["forward", "backward"])
def test_generated_circuits_held_either_way(order: Order) -> None:
    found = 0
    for seed in range(60):
        circuit = generated(seed)
        with forced(0, 1.0):
            if not sparse_synapses(circuit) or found >= 8:
                continue
            found += 1
            graph = twin(circuit) if found % 3 == 0 else circuit
            few = Bench(graph, examples=3, dtype="float64")
            engine = Device(order).engine(few, "train", "evaluate")
            order_of = np.arange(3)
            engine.train(few.state, few.data, order_of, few.numbers, seed=1, epoch=1, batch=2)
            loss = engine.evaluate(few.state, few.data, order_of, few.numbers, seed=1, epoch=2).loss
        with forced(1 << 40, 0.0):
            whole = Bench(graph, examples=3, dtype="float64")
            whole.engine.train(whole.state, whole.data, order_of, whole.numbers, seed=1, epoch=1, batch=2)
            wanted = whole.engine.evaluate(whole.state, whole.data, order_of, whole.numbers, seed=1, epoch=2).loss
        for (name, a), (_, b) in zip(parts(dense(graph, few.state)), parts(whole.state), strict=True):
            assert difference(a, b) < 1e-9, (seed, name)
        assert (loss is None) == (wanted is None)
        assert loss is None or loss == pytest.approx(wanted, rel=1e-9, nan_ok=True)
    assert found >= 6


# ---------------------------------------------------------------- matrices too large to be gone through

LARGE = """circuit large {
  input x: 60   target y: 40
  neuron h: 60 { dendrite d   rate = d }
  neuron out: 40 { dendrite d   rate = d }
  synapse A: x -> h.d { connect = fan_in(4) & no_self   init = normal(1, 0.1) }
  synapse B: h -> out.d { connect = sparse(0.3)   init = uniform(2, 3) }
  synapse C: x -> out.d { connect = sparse(0.5) & fan_in(3)   init = copy(B) + 10 * identity }
  synapse D: x -> h.d { connect = one_to_one   init = 0.5 }
  loss = mse(out, y)
}"""


def test_only_the_weights_that_are_there_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LARGEST", 0)
    circuit = circuit_of(LARGE)
    with forced(0, 1.0):
        state, again, other = (initial_state(circuit, {}, seed, dtype="float64") for seed in (1, 1, 2))
    assert all(np.array_equal(state.weights[name], again.weights[name]) for name in state.weights)
    assert not np.array_equal(state.mask("A"), other.mask("A"))
    a, b, c = (state.mask(name) for name in "ABC")
    assert (a.sum(axis=1) == 4).all()
    assert not a.diagonal().any()
    assert 0.2 < b.mean() < 0.4
    assert (c.sum(axis=1) <= 3).all()
    assert c.sum() > 100
    whole = dense(circuit, state).weights
    assert 0.9 < whole["A"][a].mean() < 1.1
    assert ((whole["B"][b] >= 2) & (whole["B"][b] <= 3)).all()
    assert np.array_equal(whole["C"], np.where(c, whole["B"] + 10 * np.eye(40, 60), 0))
    assert np.array_equal(whole["D"], 0.5 * np.eye(60))


def test_a_matrix_of_1e10_places_takes_what_its_weights_take() -> None:
    circuit = circuit_of("""circuit c { input x: 100000   neuron h: 100000 { dendrite d  rate = d }
      synapse W: x -> h.d { connect = one_to_one  init = normal(0, 1)  state m = 0  dm = pre  dw = m } }""")
    tracemalloc.start()
    try:
        state = initial_state(circuit, {}, 0, dtype="float32")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert state.weights["W"].shape == (100_000,)
    assert peak < 50e6


# ---------------------------------------------------------------- rows in the loop program


def changed(program: Program, change: Callable[[Loop], Loop]) -> Program:
    def one(s: Statement) -> Statement:
        if isinstance(s, Loop):
            s = replace(s, body=tuple(map(one, s.body)))
            return change(s) if isinstance(s.extent, Row) else s
        return s

    return with_phases(program, lambda body: tuple(map(one, body)))


def test_the_verifier_knows_whose_the_places_of_a_row_are() -> None:
    with forced(0, 1.0):
        program = passed(lower_training(circuit_of(LIFE), online=True))
    w = next(b for b in program.buffers if b.role is Role.STARTS and b.key == "W")

    def of_another_unit(loop: Loop) -> Loop:
        assert isinstance(loop.extent, Row)
        return replace(loop, extent=replace(loop.extent, at=Const(0, Dtype.INT)))

    def of_another_matrix(loop: Loop) -> Loop:
        assert isinstance(loop.extent, Row)
        return replace(loop, extent=replace(loop.extent, starts=w.name))

    def by_teams(loop: Loop) -> Loop:
        return replace(loop, over="threads")

    for change, said in ((of_another_unit, "thread writes"), (of_another_matrix, "not its places"),
                         (by_teams, "no rounds of teams")):  # fmt: skip
        with pytest.raises(LoopError, match=said):
            verify(changed(program, change))
    assert "in row j of" in show(program)


def test_partners_need_no_row_and_may_be_lanes() -> None:
    """Weight j is of unit j, in every copy."""
    circuit = circuit_of(RULES["partners"].replace(" & sparse(0.6)", ""))
    with forced(0, 1.0):
        for program in lower_all(circuit):
            weights = [b for b in program.buffers if b.role is Role.WEIGHT]
            assert weights
            assert {len(b.shape) for b in weights} == {1}
            assert not any(b.role in (Role.COLUMNS, Role.STARTS, Role.MASK) for b in program.buffers)
            assert laned(replace(program, aim=Aim(copies=4))) != replace(program, aim=Aim(copies=4))
        numbers, rng, order = numbers_of(circuit, {}), np.random.default_rng(5), np.arange(6)
        data = {name: rng.standard_normal((6, 7)) for name in "xy"}
        states = [initial_state(circuit, numbers, seed, dtype="float64") for seed in (1, 2)]
        many = stack(states)
        copies = Copies(data=[data] * 2, orders=[order] * 2, numbers=[numbers] * 2, seeds=[1] * 2)
        Population(circuit, (), "float64", threads=1).train(many, copies, epoch=0, batch=2)
        for copy, state in enumerate(states):
            Compiled(circuit, (), "float64").train(state, data, order, numbers, seed=1, epoch=0, batch=2)
            for name, weights in state.weights.items():
                assert many.weights[name][copy] == pytest.approx(weights, rel=1e-12), (copy, name)


def test_copies_of_unequal_connections_run_together() -> None:
    """Each gives the bits that it gives alone."""
    circuit = circuit_of(RULES["tick"])
    numbers, rng, order = numbers_of(circuit, {}), np.random.default_rng(5), np.arange(6)
    data = {name: rng.standard_normal((6, size)) for name, size in (("x", 9), ("y", 6))}
    with forced(0, 1.0):
        states = [initial_state(circuit, numbers, seed, dtype="float64") for seed in (1, 2, 3)]
        assert len({state.weights["W"].shape for state in states}) > 1
        many = stack(states)
        copies = Copies(data=[data] * 3, orders=[order] * 3, numbers=[numbers] * 3, seeds=[1] * 3)
        Population(circuit, (), "float64", threads=1).train(many, copies, epoch=0, batch=1)
        for copy, state in enumerate(states):
            Compiled(circuit, (), "float64").train(state, data, order, numbers, seed=1, epoch=0, batch=1)
            for name, weights in state.weights.items():
                assert np.array_equal(many.weights[name][copy, : len(weights)], weights), (copy, name)
