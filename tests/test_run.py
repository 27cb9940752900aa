"""The training loop: bits, records, divergence, interruption, files."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import circuitdsl.runtime.simulate as simulation_module
from circuitdsl.api import Circuit, Outcome, Request, Simulation, UsageError, loads
from circuitdsl.diagnostics import CircuitError, render
from circuitdsl.graph.draws import Matrix
from circuitdsl.graph.projections import Dense
from circuitdsl.runtime.divergence import decay_of
from circuitdsl.runtime.expects import judge
from circuitdsl.runtime.health import at_bounds, silent, warnings_of
from circuitdsl.runtime.records import cosine
from circuitdsl.runtime.results import joined, read, split, write
from circuitdsl.runtime.state import circuit_hash, load_weights, save_weights, state_arrays

TEXT = """circuit small {
  param eta = 0.1   param gamma = 0.01   param n = 6
  input x: 4   target y: 3
  neuron h: n { dendrite basal, apical   state v = 0 keep   dv = 0.01 * (rate - v)   rate = relu(basal) }
  neuron out: 3 { dendrite basal   rate = softmax(basal) }
  neuron err: 3 { rate = y - out }
  synapse W1: x -> h.basal { state m = 0   dm = 0.1 * (post.apical * pre - m)   dw = eta * m - eta * gamma * w }
  synapse W2: h -> out { bounds = [-0.5, 0.5]   dw = eta * err * pre - eta * gamma * w }
  synapse V: err -> h.apical { connect = sparse(0.5) }
  loss = cross_entropy(out, y)
  record norm(W1)
  record W2, h every 7
  record cos(V, transpose(W2)), mean(h) every 5
  expect metric >= 0.5
  task flowers { data = iris   epochs = 3   batch = 8   seed = 4   metric = accuracy(out, y) }
}"""


def simulation(text: str = TEXT, *, dtype: Any = "float64") -> Simulation:
    return Simulation(loads(text), target="reference", dtype=dtype)


def state_of(outcome: Outcome) -> dict[str, np.ndarray[Any, Any]]:
    return {name: array.copy() for name, array in state_arrays(outcome.run.state).items()}


def assert_same_bits(a: Outcome, b: Outcome) -> None:
    for name, array in state_of(a).items():
        np.testing.assert_array_equal(array, state_of(b)[name], err_msg=name)
    np.testing.assert_array_equal(a.run.metric, b.run.metric)
    np.testing.assert_array_equal(a.run.loss, b.run.loss)
    for one, other in zip(a.run.series, b.run.series, strict=True):
        assert one.at == other.at
        np.testing.assert_array_equal(one.values, other.values)


# ---------------------------------------------------------------- bits


def test_it_learns_and_the_same_seed_gives_the_same_bits() -> None:
    first, second = simulation().execute(Request()), simulation().execute(Request())
    assert_same_bits(first, second)
    assert len(first.run.metric) == 4
    assert first.metric > first.run.metric[0]
    assert first.loss < first.run.loss[0]
    other = simulation().execute(Request(seed=5))
    assert not np.array_equal(state_of(first)["W1"], state_of(other)["W1"])


def test_where_an_epoch_is_cut_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = simulation().execute(Request())
    monkeypatch.setattr(simulation_module, "STRETCH", 1)
    assert_same_bits(whole, simulation().execute(Request()))


def test_each_epoch_has_its_own_order() -> None:
    loop = simulation().prepare(Request()).loop
    orders = [loop.order(epoch).tolist() for epoch in range(3)]
    assert sorted(orders[0]) == sorted(orders[1]) == loop.dataset.train.tolist()
    assert orders[0] != orders[1] != orders[2]


# ---------------------------------------------------------------- records


def test_records_are_read_when_they_are_due() -> None:
    outcome = simulation().execute(Request())
    series = {s.name: s for s in outcome.run.series}
    assert outcome.run.updates_done == 3 * 15  # 120 training examples in batches of 8
    assert series["norm(W1)"].at == [0, 1, 2, 3]
    assert series["W2"].at == list(range(0, 46, 7))
    assert series["mean(h)"].at == list(range(0, 46, 5))
    assert series["h"].values[0].shape == (16, 6)
    np.testing.assert_allclose(series["norm(W1)"].values[-1], np.linalg.norm(state_of(outcome)["W1"]))


def test_the_dataset_is_labelled() -> None:
    sim = simulation()
    data = sim.dataset_of(sim.execute(Request()))
    assert data["norm(W1)"].dims == ("epoch",)
    assert data["W2"].dims == ("update_7", "post_out", "pre_h")
    assert data["h"].dims == ("update_7", "example", "unit_h")
    assert data["mean(h)"].dims == ("update_5",)
    assert data["W1.m.final"].dims == ("post_h", "pre_x")
    assert data["h.v.final"].dims == ("unit_h",)
    assert data["metric"].sizes["epoch"] == 4
    attributes = data.attrs
    assert attributes["source"] == TEXT
    assert (attributes["seed"], attributes["batch"], attributes["data"]) == (4, 8, "iris")
    assert '"eta": 0.1' in attributes["params"]
    assert '"numpy"' in attributes["versions"]


def test_cosine() -> None:
    one, three, none = (Matrix(Dense(None), weights) for weights in (np.eye(2), 3 * np.eye(2), np.zeros((2, 2))))
    assert cosine(one, three) == pytest.approx(1)
    assert math.isnan(cosine(one, none))


# ---------------------------------------------------------------- divergence

UNSTABLE = """circuit unstable {
  param eta = 300
  input x: 4   target y: 3
  neuron h: 5 { dendrite basal   rate = relu(basal) }
  neuron out: 3 { dendrite basal   rate = basal }
  neuron err: 3 { rate = y - out }
  synapse W1: x -> h
  synapse W2: h -> out { dw = eta * err * pre - 0.01 * w }
  loss = mse(out, y)
  task t { data = iris   epochs = 5   batch = 4   metric = accuracy(out, y) }
}"""


def first_bad_update(sim: Simulation, outcome: Outcome) -> int:
    """One update at a time from the start."""
    fresh = sim.prepare(Request())
    loop, order = fresh.loop, fresh.loop.order(0)
    for update in range(1, 1000):
        some = order[(update - 1) * 4 : update * 4]
        arrays = loop.dataset.arrays
        loop.engine.train(fresh.run.state, arrays, some, loop.numbers, seed=loop.seed, epoch=0, batch=4)
        if not all(np.isfinite(w).all() for w in fresh.run.state.weights.values()):
            return update
    raise AssertionError("it did not diverge")


def test_divergence_is_placed_exactly() -> None:
    sim = simulation(UNSTABLE, dtype="float32")
    outcome = sim.execute(Request())
    found = outcome.run.diverged
    assert found is not None
    assert found.code == "C070"
    expected = first_bad_update(sim, outcome)
    example = sim.prepare(Request()).loop.order(0)[4 * (expected - 1)]
    assert found.title == (f"`W2` diverged at update {expected} (epoch 1, the batch of example {example} of the data)")
    text = render(found, width=200)
    assert "dw = eta * err * pre" in text
    assert "^^^^" in text
    assert "times per update over the last" in text
    assert "takes back 0.01 of each weight per update" in text
    assert "--set eta=30" in text
    assert outcome.run.epochs_done == 0
    assert math.isnan(outcome.metric)


def test_what_was_done_before_divergence_is_kept() -> None:
    text = UNSTABLE.replace("eta = 300", "eta = 0.01").replace(
        "dw = eta * err * pre", "state k = 0   dk = 1   dw = eta * err * pre + exp(k - 120)"
    )
    sim = simulation(text, dtype="float32")
    outcome = sim.execute(Request(epochs=20))
    assert outcome.run.diverged is not None
    assert outcome.run.epochs_done > 2
    data = sim.dataset_of(outcome)
    assert np.isfinite(data["metric"].values[:-1]).all()
    assert np.isnan(data["metric"].values[-1])
    assert int(data["diverged"]) == 1


def test_weights_too_large_for_the_loss_are_blamed() -> None:
    found = simulation(UNSTABLE.replace("eta = 300", "eta = 3"), dtype="float32").execute(Request()).run.diverged
    assert found is not None
    assert found.title.startswith("`W2` diverged in epoch 2: its norm is")
    assert "times per update in that epoch of 30 updates" in render(found)


def test_a_loss_that_is_not_finite_names_the_population() -> None:
    text = UNSTABLE.replace("eta = 300", "eta = 0.01").replace("rate = relu(basal)", "rate = log(0 * basal)")
    outcome = simulation(text).execute(Request())
    found = outcome.run.diverged
    assert found is not None
    assert found.title.startswith("`h` is not finite in the evaluation before training")


def test_decay_is_found_in_a_rule() -> None:
    circuit = loads(TEXT).ir
    numbers = {"eta": 0.5, "gamma": 0.1, "n": 6.0}
    dw = circuit.synapses["W2"].dw
    assert dw is not None
    assert decay_of(dw, numbers) == pytest.approx(0.05)


# ---------------------------------------------------------------- interruption and resuming


def test_an_interrupted_run_goes_on_with_the_same_bits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(simulation_module, "STRETCH", 1000)
    whole = simulation().execute(Request())
    sim = simulation()
    calls = 0
    train = simulation_module._train

    def press_a_key(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 20:
            raise KeyboardInterrupt
        train(*arguments)

    monkeypatch.setattr(simulation_module, "_train", press_a_key)
    stopped = sim.execute(Request())
    assert stopped.run.interrupted
    assert 0 < stopped.run.epochs_done < 3
    assert len(stopped.run.metric) == stopped.run.epochs_done + 1
    write(tmp_path / "run.nc", sim.dataset_of(stopped))
    resumed = simulation().execute(Request(), saved=read(tmp_path / "run.nc"))
    assert not resumed.run.interrupted
    assert_same_bits(whole, resumed)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_finished_run_can_be_made_longer(tmp_path: Path, dtype: str) -> None:
    sim = simulation(dtype=dtype)
    short = sim.execute(Request(epochs=1))
    write(tmp_path / "run.nc", sim.dataset_of(short))
    assert_same_bits(sim.execute(Request()), sim.execute(Request(), saved=read(tmp_path / "run.nc")))


def test_another_run_is_not_gone_on_with() -> None:
    sim = simulation()
    saved = sim.dataset_of(sim.execute(Request(epochs=1)))
    for request in (Request(batch=4), Request(seed=1), Request(params={"eta": 0.2}), Request(data="wine")):
        with pytest.raises((UsageError, CircuitError)):
            sim.execute(request, saved=saved)
    other = simulation(TEXT.replace("relu(basal)", "tanh(basal)"))
    with pytest.raises(UsageError, match="its hash differs"):
        other.execute(Request(), saved=saved)


# ---------------------------------------------------------------- files


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    sim = simulation()
    path = tmp_path / "run.nc"
    good = sim.dataset_of(sim.execute(Request(epochs=0)))
    write(path, good)
    before = path.read_bytes()
    with pytest.raises((TypeError, ValueError)):
        write(path, good.assign_attrs(bad=object()))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run.nc"]


def test_a_long_source_fits(tmp_path: Path) -> None:
    sim = simulation(TEXT + "\n# " + "x" * 100_000)
    write(tmp_path / "run.nc", sim.dataset_of(sim.execute(Request(epochs=0))))
    assert len(str(read(tmp_path / "run.nc")["attribute_source"].values)) > 100_000


def test_seeds_are_joined(tmp_path: Path) -> None:
    sim = simulation()
    runs = [sim.execute(Request(seed=s, epochs=e)) for s, e in ((0, 2), (1, 1))]
    both = joined({o.settings.seed: sim.dataset_of(o) for o in runs})
    write(tmp_path / "run.nc", both)
    again = read(tmp_path / "run.nc")
    assert again["metric"].dims == ("seed", "epoch")
    assert np.isnan(again["metric"].values).tolist() == [[False] * 3, [False, False, True]]
    for seed, part in split(again).items():
        assert_same_bits(sim.execute(Request(seed=seed)), sim.execute(Request(seed=seed), saved=part))


def test_weights_go_out_and_in(tmp_path: Path) -> None:
    sim = simulation()
    trained = sim.execute(Request())
    path = tmp_path / "w.safetensors"
    save_weights(path, trained.run.circuit, trained.run.state)
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        assert file.metadata()["hash"] == circuit_hash(trained.run.circuit)
    started = sim.execute(Request(weights=path, epochs=0))
    for name, array in state_of(trained).items():
        np.testing.assert_array_equal(state_of(started)[name], array)
    assert started.metric == trained.metric
    assert started.warnings == ()
    assert not Request(weights=path).own_settings


def test_weights_of_another_circuit(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    trained = simulation().prepare(Request())
    save_weights(path, trained.run.circuit, trained.run.state)
    fits = simulation(TEXT.replace("relu(basal)", "tanh(basal)")).prepare(Request(weights=path))
    assert [w.code for w in fits.warnings] == ["C072"]
    with pytest.raises(CircuitError, match="shape 6 x 4, the circuit has 7 x 4"):
        simulation().prepare(Request(weights=path, params={"n": 7}))
    path.write_bytes(b"nonsense")
    state = trained.run.state
    with pytest.raises(CircuitError, match="is no safetensors file"):
        load_weights(path, trained.run.circuit, state)


def test_the_hash_knows_what_matters() -> None:
    def hash_of(text: str) -> str:
        return circuit_hash(loads(text).ir)

    assert hash_of(TEXT) == hash_of(TEXT.replace("epochs = 3", "epochs = 4") + "# a remark")
    assert hash_of(TEXT) != hash_of(TEXT.replace("relu(basal)", "tanh(basal)"))
    assert hash_of(TEXT) != hash_of(TEXT.replace("param n = 6", "param n = 5"))


# ---------------------------------------------------------------- judgement and health


def test_expectations() -> None:
    def of(metric: float, twin: float | None, own: bool = True) -> list[tuple[bool | None, float | None]]:
        found = judge(circuit, metric, twin, {}, own_settings=own)
        return [(j.ok, None if j.value is None else round(j.value, 6)) for j in found]

    circuit = loads(
        TEXT.replace(
            "expect metric >= 0.5",
            "expect metric >= 0.5   expect metric <= 0.9   expect metric >= 0.9 * backprop",
        )
    ).ir
    assert of(0.8, 0.85) == [(True, 0.8), (True, 0.8), (True, 0.941176)]
    assert of(0.95, None) == [(True, 0.95), (False, 0.95), (None, None)]
    assert of(0.4, 0.8, own=False) == [(None, 0.4), (None, 0.4), (None, 0.5)]
    assert [ok for ok, _ in of(math.nan, math.nan)] == [False, False, False]


def test_silent_units_and_weights_at_their_bounds_are_told() -> None:
    sim = simulation()
    outcome = sim.prepare(Request())
    run = outcome.run
    run.state.weights["W1"][:3] = 0
    run.state.weights["W2"][...] = 0.5
    assert silent(outcome.loop, run)["h"] == 0.5
    said = warnings_of(outcome.loop, run)
    assert "50 % of `h` silent on 30 test examples" in said
    assert "100 % of the weights of `W2` at their bounds" in said


def test_weights_that_are_not_there_are_not_at_a_bound() -> None:
    """A mask leaves 0 where no weight is, and 0 is a bound here."""
    more = "synapse S: x -> g { connect = fan_in(1)   bounds = [0, 1]   init = constant(0.5) }"
    text = TEXT.replace("circuit small {", "circuit small { neuron g: 4 { dendrite d   rate = d } " + more)
    outcome = simulation(text).prepare(Request())
    synapse = outcome.run.circuit.synapses["S"]
    assert at_bounds(synapse, outcome.run.state, outcome.loop.numbers) == 0
    outcome.run.state.weights["S"][outcome.run.state.mask("S")] = 1
    assert at_bounds(synapse, outcome.run.state, outcome.loop.numbers) == 1


def test_who_fires_at_some_tick_is_not_silent() -> None:
    """A spike is over at the last tick."""
    spiking = """circuit spiking {
      input x: 4   target y: 3
      neuron s: 6 {
        dendrite d
        state v = 0   dv = where(prev(s) > 0, -v, 0.4)
        rate = step(v - 1)
      }
      neuron out: 3 { dendrite d   rate = softmax(d) }
      neuron err: 3 { rate = y - out }
      synapse S: x -> s
      synapse W: s -> out { dw = 0.1 * err * pre }
      loss = cross_entropy(out, y)
      schedule { phase a: 6   update = example }
      task t { data = iris   epochs = 1   metric = accuracy(out, y) }
    }"""
    outcome = simulation(spiking).prepare(Request())
    run, loop = outcome.run, outcome.loop
    last = loop.engine.evaluate(
        run.state, loop.dataset.arrays, loop.dataset.test, loop.numbers, seed=0, epoch=0, watch=("s",)
    )
    assert not last.watched["s"].any()  # or this would show nothing
    assert silent(loop, run)["s"] == 0


def test_a_request_changes_settings() -> None:
    assert Request(seed=3, task="flowers").own_settings
    for changed in ({"epochs": 3}, {"batch": 8}, {"data": "iris"}, {"learn": "circuit"}, {"params": {"eta": 1}}):
        assert not replace(Request(), **changed).own_settings  # type: ignore[arg-type]


def test_a_circuit_without_a_task_takes_data_and_defaults() -> None:
    text = TEXT[: TEXT.index("  task flowers")].replace("expect metric >= 0.5", "") + "}"
    sim = simulation(text)
    with pytest.raises(UsageError, match="has no task"):
        sim.prepare(Request())
    outcome = sim.execute(Request(data="iris", epochs=1))
    assert outcome.settings.batch == 1
    assert math.isnan(outcome.metric)
    assert not math.isnan(outcome.loss)


def test_repr_is_short() -> None:
    assert repr(Circuit(lambda _: loads_loaded(), None)) == (
        "<circuit small: 3 neuron populations, 2 plastic of 3 synapses>"
    )


def loads_loaded() -> Any:
    from circuitdsl.graph.resolve import load_text

    return load_text(TEXT)
