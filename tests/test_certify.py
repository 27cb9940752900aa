"""The certificate: its arithmetic against the reference and against brute force, over training and as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from certified import (
    ALIGNMENT,
    CIRCUITS,
    CLAMPED,
    CLASSES,
    DATA,
    HEBB,
    INPUTS,
    KOLEN_POLLACK,
    NOISY,
    TIED,
    Array,
    Bench,
    certified,
    circuit,
    layers,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import circuitdsl.certify.checks as checks
import circuitdsl.certify.pairing as pairing
import circuitdsl.certify.plan as planning
from circuitdsl.certify.certify import certify, measure
from circuitdsl.certify.checkpoint import Sample
from circuitdsl.certify.passes import find_errors, in_float64
from circuitdsl.certify.statistics import interval, response
from circuitdsl.certify.trajectory import Course, checkpoints
from circuitdsl.cli.main import run as command
from circuitdsl.derive.prove.findings import with_measured
from circuitdsl.derive.tell.derivation import derive
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.reference import Reference
from circuitdsl.runtime.data import load_data
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.statistics import student
from circuitdsl.twin.gradient import adjoints, learning_synapses

# ---------------------------------------------------------------- drive and descent


@pytest.mark.parametrize("name", ["alignment", "masked", "hebb", "traces", "noisy", "direct"])
def test_the_drive_is_what_the_reference_adds(name: str) -> None:
    """Without decay, the mean drive is the increment of one batch."""
    bench = Bench(CIRCUITS[name])
    steps = Reference(bench.circuit, (), "float64").increments(
        bench.state, bench.data.arrays, bench.sample, bench.numbers, seed=1, epoch=0
    )
    for synapse in learning_synapses(bench.circuit):
        np.testing.assert_allclose(bench.pair(synapse).drive, steps[synapse], rtol=1e-12, atol=1e-15)


def test_the_drive_leaves_decay_out() -> None:
    bench = Bench(CLAMPED)
    steps = Reference(CLAMPED, (), "float64").increments(
        bench.state, bench.data.arrays, bench.sample, bench.numbers, seed=1, epoch=0
    )
    drive = steps["W"] + 0.01 * bench.state.weights["W"]
    np.testing.assert_allclose(bench.pair("W").drive, drive, rtol=1e-12)


@pytest.mark.parametrize("name", CIRCUITS)
def test_the_descent_is_minus_the_gradient(name: str) -> None:
    bench = Bench(CIRCUITS[name])
    gradient = Reference(adjoints(bench.circuit), (), "float64").gradient(
        bench.state, bench.data.arrays, bench.sample, bench.numbers, seed=1, epoch=0
    )
    for synapse in learning_synapses(bench.circuit):
        np.testing.assert_allclose(bench.pair(synapse).descent, -gradient[synapse], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["alignment", "masked", "clamped", "noisy", "filtered"])
def test_factors_and_whole_arrays_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(CIRCUITS[name])
    for synapse in learning_synapses(bench.circuit):
        by_factors = bench.pair(synapse)
        with monkeypatch.context() as patch:
            patch.setattr(pairing, "factors", lambda *_: None)
            patch.setattr(pairing, "PORTION", 200)  # a few examples at a time
            written = bench.pair(synapse)
        fields = ("drive", "descent", "control", "turned")
        for field in fields if bench.state.mask(synapse) is not None else (*fields, "agreement", "power"):
            np.testing.assert_allclose(getattr(written, field), getattr(by_factors, field), rtol=1e-9, atol=1e-14)
        if bench.state.mask(synapse) is None:
            np.testing.assert_allclose(written.credit, by_factors.credit, rtol=1e-9, atol=1e-14)


def test_credit_and_score_of_a_known_circuit() -> None:
    """phi = E[s . delta] / E|delta|^2 with s = V err behind the gate, in units of eta."""
    bench = Bench(ALIGNMENT)
    now = bench.passes().evaluation[-1].now
    gate = (now["h.basal"] > 0).astype(float)
    s = gate * (now["err"] @ bench.state.weights["V"].T)
    delta = gate * (now["err"] @ bench.state.weights["U"])
    phi = (s * delta).sum() / (delta**2).sum()
    found = bench.look()
    assert found["W"].phi == pytest.approx(phi, rel=1e-12)
    assert found["U"].phi == pytest.approx(1.0, rel=1e-12)
    assert found["U"].ratio == pytest.approx(1.0, rel=1e-12)
    mean = (s.T @ now["x"]) / len(s)
    wanted = (delta.T @ now["x"]) / len(s)
    assert found["W"].cos == pytest.approx((mean * wanted).sum() / np.linalg.norm(mean) / np.linalg.norm(wanted))


# ---------------------------------------------------------------- permuted errors


def test_where_errors_enter() -> None:
    assert find_errors(ALIGNMENT).entries == {"err", "loss"}
    assert {"err", "h.apical"} <= find_errors(ALIGNMENT).downstream
    assert not {"h", "out", "h.basal"} & find_errors(ALIGNMENT).downstream
    assert find_errors(CLAMPED).clamped == {"out"}
    assert "loss" in find_errors(NOISY).entries
    assert find_errors(NOISY).clamped == frozenset()


def test_errors_of_an_autoencoder() -> None:
    """Without a target the error is where the answer meets what the loss compares it with."""
    auto = circuit("""
    circuit c {
      input x: 8
      neuron h: 3 { dendrite basal   rate = basal }
      neuron out: 8 { dendrite basal   rate = basal }
      neuron err: 8 { rate = x - out }
      synapse W: x -> h.basal { dw = 0.1 * post * pre }
      synapse U: h -> out.basal { dw = 0.1 * err * pre }
      loss = mse(out, x)
    }
    """)
    assert find_errors(auto).entries == {"err"}
    found = Bench(auto).look()
    assert found["W"].blind
    assert found["W"].cos == found["W"].control
    assert found["U"].cos == pytest.approx(1.0)
    assert found["U"].control < 0.5
    assert not found["U"].blind


def test_permuted_errors_keep_rates_and_move_errors() -> None:
    passes = Bench(ALIGNMENT).passes()
    real, permuted = passes.training[0].now, passes.permuted[0].now
    np.testing.assert_array_equal(permuted["err"], np.roll(real["err"], 1, axis=0))
    for kept in ("x", "h", "h.basal", "out"):
        np.testing.assert_array_equal(permuted[kept], real[kept])
    np.testing.assert_allclose(permuted["h.apical"], np.roll(real["h.apical"], 1, axis=0), rtol=1e-12)


def test_a_clamped_output_moves_by_what_the_target_adds() -> None:
    passes = Bench(CLAMPED).passes()
    free, clamped = passes.evaluation[-1].now["out"], passes.training[0].now["out"]
    wanted = free + np.roll(clamped - free, 1, axis=0)
    np.testing.assert_allclose(passes.permuted[0].now["out"], wanted, rtol=1e-12)


def test_the_second_control_turns_every_other_error_round() -> None:
    """Permuting alone changes nothing for a bias: the mean error stays."""
    bench = Bench(ALIGNMENT)
    reading, passes = bench.look()["b"], bench.passes()
    turned, permuted = passes.turned[0].now["err"], passes.permuted[0].now["err"]
    np.testing.assert_array_equal(turned[1::2], permuted[1::2])
    np.testing.assert_array_equal(turned[::2], -permuted[::2])
    assert reading.cos == pytest.approx(1.0)
    assert reading.control == pytest.approx(1.0)
    assert abs(reading.turned) < 0.9
    assert not reading.blind


def test_scalar_errors_are_only_permuted() -> None:
    passes = Bench(NOISY).passes()
    for frames in (passes.permuted, passes.turned):
        np.testing.assert_array_equal(frames[0].now["m"], np.roll(passes.training[0].now["m"], 1, axis=0))
    assert (passes.turned[0].now["err"] != passes.permuted[0].now["err"]).any()


def test_where_nothing_can_be_measured_nothing_is_contradicted() -> None:
    """An input that never varies is left at 0, and so are the gradient and the rule."""
    silent = (np.ones((12, INPUTS)), np.arange(12) % CLASSES)
    text = """circuit c { input x: 8 target y: 4 neuron out: 4 { dendrite d rate = softmax(d) }
      neuron err: 4 { rate = y - out } synapse W: x -> out { dw = 0.1 * err * pre } loss = cross_entropy(out, y) }"""
    found = certify(circuit(text), data=silent, seeds=1, epochs=1, engine="reference")
    assert found.derivation["W"].verdict == "exact"
    assert np.isnan(found.synapses["W"].cos)
    assert found["W"].status == "untested"
    assert found.agrees_with_derive is None


def test_a_rule_that_cannot_see_the_error_differs_by_exactly_nothing() -> None:
    reading = Bench(HEBB).look()["W"]
    assert reading.cos == reading.control == reading.turned
    assert reading.blind
    assert reading.cos != 0


# ---------------------------------------------------------------- statistics


@given(st.integers(2, 6), st.integers(0, 99))
def test_the_interval_is_that_of_student(seeds: int, seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal(seeds)
    found = interval(values)
    wanted = stats.t.interval(0.95, seeds - 1, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(wanted)
    assert found.mean == pytest.approx(values.mean())
    assert interval(np.full(seeds, 2.0)) == pytest.approx((2.0, 2.0, 2.0))


@pytest.mark.parametrize("count", [*range(2, 30), 100])
def test_half_widths_are_those_of_student(count: int) -> None:
    assert student(count) == pytest.approx(stats.t.ppf(0.975, count - 1), rel=1e-10)


def test_one_seed_has_no_interval() -> None:
    found = interval(np.array([0.5]))
    assert (found.mean, found.sign) == (0.5, 0)
    assert np.isnan([found.low, found.high]).all()
    assert interval(np.array([0.5, float("nan")])).sign == 0


def test_response_finds_the_matrix() -> None:
    rng = np.random.default_rng(1)
    root = rng.standard_normal((6, 6))
    delta = rng.standard_normal((400, 6))
    found = response(delta @ (root.T @ root).T, delta)
    values = np.linalg.eigvalsh(root.T @ root)
    assert (found.low, found.high) == pytest.approx((values[0], values[-1]), rel=0.05, abs=0.01)
    assert found.r2 == pytest.approx(1.0, abs=1e-3)


def test_response_is_judged_where_there_are_gradients() -> None:
    """A positive matrix stays positive when the gradients lie in a plane."""
    rng = np.random.default_rng(2)
    root, plane = rng.standard_normal((6, 6)), rng.standard_normal((2, 6))
    delta = rng.standard_normal((300, 2)) @ plane
    found = response(delta @ root.T @ root, delta)
    assert found.low > 0


def test_response_to_noise_explains_nothing() -> None:
    rng = np.random.default_rng(3)
    found = response(rng.standard_normal((300, 20)), rng.standard_normal((300, 20)))
    assert abs(found.r2) < 0.1


# ---------------------------------------------------------------- over training


@given(st.integers(0, 10**6), st.integers(2, 14))
def test_checkpoints(updates: int, count: int) -> None:
    at = checkpoints(updates, count)
    assert at[0] == 0
    assert at[-1] == updates
    assert list(at) == sorted(set(at))
    assert len(at) <= count + 1


def test_looking_does_not_change_the_run() -> None:
    """The states on the way are those of a run of that seed, wherever it is interrupted."""
    data = load_data(DATA, (), ALIGNMENT, dtype="float64")
    numbers = numbers_of(ALIGNMENT, {})
    engine = Reference(ALIGNMENT, (), "float64")
    course = Course(dataset=data, numbers=numbers, epochs=3, batch=7, dtype="float64", folder=None)
    once = {u: s.copy() for u, s in course.states(engine, 2, (course.updates,))}
    often = {u: s.copy() for u, s in course.states(engine, 2, (0, 1, 5, 20, 33, course.updates))}
    for name, weights in once[course.updates].weights.items():
        np.testing.assert_array_equal(weights, often[course.updates].weights[name])
    assert list(often) == [0, 1, 5, 20, 33, course.updates]


def test_it_is_the_run_that_run_makes() -> None:
    from circuitdsl.api import loads

    text = KOLEN_POLLACK.text
    made = loads(text)
    result = made.run(target="reference", data=DATA, epochs=2, batch=8, seed=4)
    course = Course(
        dataset=load_data(DATA, (), made.ir), numbers=numbers_of(made.ir, {}), epochs=2, batch=8, dtype="float32",
        folder=None,
    )  # fmt: skip
    ((_, state),) = course.states(Reference(made.ir), 4, (course.updates,))
    np.testing.assert_array_equal(state.weights["W"], result["W.final"].values)


# ---------------------------------------------------------------- checks of the measurement


def test_taylor_notices_a_wrong_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(TIED)
    sample = Sample(data=bench.data.arrays, examples=bench.sample, numbers=bench.numbers)
    right = checks.taylor_slope(bench.still, bench.state, sample, seed=1, epoch=0)
    real: Callable[..., Array] = checks.mean_descent
    monkeypatch.setattr(checks, "mean_descent", lambda *args: 1.01 * real(*args))
    wrong = checks.taylor_slope(bench.still, bench.state, sample, seed=1, epoch=0)
    assert right == pytest.approx(2.0, abs=0.02)
    assert wrong == pytest.approx(1.0, abs=0.2)


def test_relaxation_of_several_ticks() -> None:
    text = """
    circuit c {
      input x: 8   target y: 4
      neuron h: 6 { dendrite basal   state v = 0   rate = v   dv = 0.5 * (basal - v) }
      neuron out: 4 { dendrite basal   rate = softmax(basal) }
      synapse W: x -> h.basal { dw = 0.1 * post * pre }
      synapse U: h -> out.basal
      schedule { phase settle: 8 }
      loss = cross_entropy(out, y)
    }
    """
    bench = Bench(circuit(text))
    sample = Sample(data=bench.data.arrays, examples=bench.sample, numbers=bench.numbers)
    found = checks.relaxation(bench.still, bench.state, sample, seed=1, epoch=0)
    assert found is not None
    assert 0 < found < 0.02
    single = Bench(TIED)
    assert checks.relaxation(single.still, in_float64(single.state), sample, seed=1, epoch=0) is None


# ---------------------------------------------------------------- the whole


def test_divergence_of_a_seed_is_told() -> None:
    wild = layers(u="dw = 50 * err * pre + w", v="dw = eta * post * pre")
    found = certified(wild, epochs=60, dtype="float32")
    assert found.diverged
    assert all(s.verdict is None for s in found.synapses.values())
    assert found.as_json()["diverged"] is True
    assert "diverged" in found.table()


def test_the_object_of_json() -> None:
    found = certified(KOLEN_POLLACK, epochs=5).as_json()
    assert list(found) == [
        "circuit", "seeds", "dc", "dc_evidence", "synapses", "agrees_with_derive", "taylor_slope", "relaxation",
        "diverged",
    ]  # fmt: skip
    assert set(found["synapses"]["W"]) == {
        "cos", "phi", "phi_positive", "derived", "status", "because", "assumes", "balance", "r2", "h_min", "h_max",
        "norm_ratio", "descent", "control", "verdict", "phases",
    }  # fmt: skip
    attracted, one_hot = found["synapses"]["W"]["assumes"]
    assert one_hot == {"name": "one_hot(y)", "text": "the targets y are one-hot", "residual": 0.0, "met": True}
    assert (attracted["name"], attracted["met"]) == ("attracted(V, U)", False)
    assert 0.05 < attracted["residual"] < 2
    low, mean, high = found["synapses"]["W"]["phi"]
    assert low <= mean <= high


def test_the_same_seeds_give_the_same_certificate() -> None:
    first, second = certified(ALIGNMENT, epochs=3), certified(ALIGNMENT, epochs=3)
    assert json.dumps(first.as_json()) == json.dumps(second.as_json())


def test_params_set_from_outside_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a negative rate the output ascends, in the derivation too."""
    text = KOLEN_POLLACK.text.replace("dw = eta * err * pre - eta * gamma * w", "dw = up * err * pre - eta * gamma * w")
    made = circuit(text.replace("param eta = 0.1", "param eta = 0.1   param up = 0.1"))
    numbers = numbers_of(made, {"up": -0.1})
    found = certified(made, numbers=numbers, epochs=3, seeds=5)
    assert found["U"].phi.mean == pytest.approx(-1.0)
    assert found["U"].derived in ("ascent", "inconsistent")
    assert found["U"].status == "confirmed"


def test_it_needs_a_loss_and_something_that_learns() -> None:
    text = ALIGNMENT.text.replace("loss = cross_entropy(out, y)", "")
    with pytest.raises(UsageError, match="no loss"):
        certified(circuit(text))
    still = circuit("""
    circuit c {
      input x: 8  target y: 4
      neuron out: 4 { dendrite d  rate = d }
      synapse W: x -> out
      loss = mse(out, y)
    }
    """)
    with pytest.raises(UsageError, match="no plastic weight"):
        certified(still)


def test_short_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "_engine", lambda target, of, dtype: Reference(of, (), dtype))
    monkeypatch.setattr(planning, "SHORT_WORK", 300_000)
    derivation = derive(ALIGNMENT)
    found = measure(derivation, ["W"], data=DATA)
    assert set(found) == {"W"}
    assert found["W"].verdict == "descent"
    assert found["W"].because.startswith("descent, cos 0.")
    assert found["W"].phi_sign == 1
    assert found["W"].phi_signs == (1, 1, 1, 1, 1)
    assert found == measure(derivation, ["W"], data=DATA)
    assert measure(derivation, ["W"]) == {}  # no task


def test_what_was_not_met_is_not_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a verdict on an attractor the short certificate says whether it was reached."""
    monkeypatch.setattr(planning, "_engine", lambda target, of, dtype: Reference(of, (), dtype))
    derivation = derive(KOLEN_POLLACK)
    reached = with_measured(derivation, measure(derivation, ["W", "U"], data=DATA))
    assert (reached["W"].verdict, reached["W"].evidence) == ("gradient", "proved")
    monkeypatch.setattr(planning, "SHORT_WORK", 30_000)
    short = with_measured(derivation, measure(derivation, ["W", "U"], data=DATA))
    assert (short["W"].verdict, short["W"].evidence) == (None, None)
    assert short["W"].because[0].startswith("untested: |V − Uᵀ|/|V| is ")
    assert "where it is met, gradient (proved)" in short["W"].because[0]
    assert (short["U"].verdict, short["U"].evidence) == ("exact", "proved")


def test_what_is_about_data_takes_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "_engine", lambda target, of, dtype: Reference(of, (), dtype))
    monkeypatch.setattr(Course, "_train", None)
    derivation = derive(KOLEN_POLLACK)
    assert measure(derivation, ["U"], data=DATA)["U"].untested is None
    real = (DATA[0], np.random.default_rng(0).random((len(DATA[0]), CLASSES)))
    assert measure(derivation, ["U"], data=real)["U"].untested == "the targets y are not one-hot"


def test_on_compiled_code() -> None:
    found = certified(KOLEN_POLLACK, engine="cpu", epochs=60)
    assert found["W"].status == "confirmed"


# ---------------------------------------------------------------- the command


@pytest.fixture
def file(tmp_path: Path) -> Path:
    x, y = DATA
    np.savez(tmp_path / "data.npz", x=x, y=y)
    text = KOLEN_POLLACK.text.rstrip().rstrip("}") + '  task t { data = "data.npz"   epochs = 30   batch = 8 }\n}\n'
    path = tmp_path / "c.circ"
    path.write_text(text)
    return path


def test_the_command(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["certify", str(file), "--target", "reference", "--seeds", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["agrees_with_derive"] is True
    assert found["seeds"] == 2
    assert command(["certify", str(file), "--target", "reference", "--seeds", "1"]) == 0
    shown = capsys.readouterr().out
    assert "is confirmed" in shown
    assert max(map(len, shown.splitlines())) <= 120


def test_the_command_fails_where_it_contradicts(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(of: Circuit) -> Any:
        found = derive(of)
        findings = {n: replace(f, verdict="none") if n == "U" else f for n, f in found.findings.items()}
        return replace(found, findings=findings)

    monkeypatch.setattr(planning, "derive", wrong)
    assert command(["certify", str(file), "--target", "reference", "--seeds", "2"]) == 1
    assert "contradicts" in capsys.readouterr().out


def test_the_command_tells_divergence(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = command(["certify", str(file), "--target", "reference", "--seeds", "1", "--set", "eta=60", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert code == 3
    assert found["diverged"] is True
    assert found["synapses"]["W"]["verdict"] is None


def test_the_command_without_a_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.circ"
    path.write_text(ALIGNMENT.text)
    assert command(["certify", str(path)]) == 2
    assert "no task" in capsys.readouterr().err
