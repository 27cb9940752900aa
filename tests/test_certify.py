"""The certificate: its arithmetic against the reference and against brute force, and what it says of known circuits."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import circuitdsl.certify.certify as driver
import circuitdsl.certify.checks as checks
import circuitdsl.certify.pairing as pairing
from circuitdsl.certify.certificate import Certificate
from circuitdsl.certify.certify import certify, measure
from circuitdsl.certify.drive import rule_of
from circuitdsl.certify.judge import Record, certify_synapse, together
from circuitdsl.certify.measure import Reading, Sample, look
from circuitdsl.certify.pairing import Pair, pair
from circuitdsl.certify.passes import Still, find_errors, in_float64
from circuitdsl.certify.statistics import Response, interval, response
from circuitdsl.certify.trajectory import Course, checkpoints
from circuitdsl.cli.main import run as command
from circuitdsl.derive.findings import Finding
from circuitdsl.derive.gradient import adjoints, learning_synapses
from circuitdsl.derive.verdict import derive
from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.machine import State
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.resolve import load_text
from circuitdsl.reference import Reference
from circuitdsl.runtime.data import load_data
from circuitdsl.runtime.errors import UsageError

Array = NDArray[np.floating[Any]]

EXAMPLES, INPUTS, CLASSES = 120, 8, 4


def clusters() -> tuple[Array, Array]:
    """Four noisy clusters in eight dimensions."""
    rng = np.random.default_rng(3)
    labels = np.arange(EXAMPLES) % CLASSES
    centres = rng.standard_normal((CLASSES, INPUTS))
    return centres[labels] + 0.8 * rng.standard_normal((EXAMPLES, INPUTS)), labels


DATA = clusters()

LAYERS = """
circuit c {{
  param eta = 0.1   param gamma = {gamma}
  input x: 8   target y: 4
  neuron h: 12 {{ dendrite basal, apical   {more} rate = {rate} }}
  neuron out: 4 {{ dendrite basal   rate = softmax(basal) }}
  neuron err: 4 {{ rate = y - out }}
  synapse W: x -> h.basal {{ {w} }}
  synapse U: h -> out.basal {{ {u} }}
  synapse b: bias -> out.basal {{ init = zeros   dw = eta * err * pre }}
  synapse V: err -> h.apical {{ {v} }}
  loss = cross_entropy(out, y)
  {rest}
}}
"""

FEEDBACK = "dw = eta * post.apical * step(post.basal) * pre - eta * gamma * w"


def layers(
    w: str = FEEDBACK, u: str = "dw = eta * err * pre - eta * gamma * w", v: str = "", *, rate: str = "relu(basal)",
    gamma: float = 0.0, more: str = "", rest: str = "",
) -> Circuit:  # fmt: skip
    return circuit(LAYERS.format(w=w, u=u, v=v, rate=rate, gamma=gamma, more=more, rest=rest))


def circuit(text: str) -> Circuit:
    found = load_text(text).circuit
    assert found is not None
    return found


ALIGNMENT = layers()
TIED = layers(v="init = transpose(U)   dw = eta * post * pre")
KOLEN_POLLACK = layers(v="dw = eta * post * pre - eta * gamma * w", gamma=0.5)
HEBB = layers(w="dw = 0.01 * post * pre", v="")
MASKED = layers(w=f"connect = fan_in(3)   {FEEDBACK}")
TRACES = layers(
    w="state e = 0 fresh   de = post.basal * pre - 0.5 * e   dw = m * e",
    u="drive g = err * pre   dw = eta * g",
    rest="modulator m = loss   schedule { phase a: 3   update = example }",
)
NOISY = layers(
    w="dw = train * m * post.xi * pre",
    more="let xi = train * 0.1 * randn()",
    rate="relu(basal + xi)",
    rest="modulator m = loss",
)
CLAMPED = circuit("""
circuit c {
  input x: 8   target y: 4
  neuron out: 4 { dendrite basal   rate = where(train, y, tanh(basal)) }
  synapse W: x -> out.basal { dw = 0.01 * post * pre - 0.01 * w }
  loss = mse(out, y)
}
""")
DIRECT = circuit("""
circuit c {
  input x: 8   target y: 4
  neuron out: 4 { dendrite basal   let off = y - tanh(basal)   rate = tanh(basal) }
  synapse W: x -> out.basal { dw = 0.1 * (post.off + y) * pre }
  loss = mse(out, y)
}
""")
FILTERED = layers(
    w="state e = 0 fresh   de = pre - 0.5 * e   dw = post.apical * (1 - post^2) * e * w",
    more="state v = 0   dv = 0.3 * (basal - v)",
    rate="tanh(v)",
    rest="schedule { phase early: 4   phase later: 3 }",
)
CIRCUITS = {
    "filtered": FILTERED,
    "alignment": ALIGNMENT, "tied": TIED, "hebb": HEBB, "masked": MASKED, "traces": TRACES, "noisy": NOISY,
    "clamped": CLAMPED, "direct": DIRECT,
}  # fmt: skip


class Bench:
    """A circuit in its initial state, with its sample."""

    def __init__(self, of: Circuit):
        self.circuit = of
        self.numbers = numbers_of(of, {})
        self.data = load_data(DATA, (), of, dtype="float64")
        self.state: State = initial_state(of, self.numbers, 1, dtype="float64")
        self.sample = self.data.train[:40]
        self.still = Still(of)

    def passes(self) -> Any:
        return self.still.look(self.state, self.data.arrays, self.sample, self.numbers, seed=1, epoch=0)

    def pair(self, synapse: str) -> Pair:
        return pair(rule_of(self.circuit.synapses[synapse]), self.passes(), self.still, self.state)

    def look(self) -> dict[str, Reading]:
        rules = [rule_of(self.circuit.synapses[name]) for name in learning_synapses(self.circuit)]
        sample = Sample(data=self.data.arrays, examples=self.sample, numbers=self.numbers)
        return look(self.still, rules, sample, derive(self.circuit), self.state, seed=1, epoch=0)


def certified(of: Circuit, **settings: Any) -> Certificate:
    given: dict[str, Any] = {"seeds": 2, "epochs": 30, "batch": 8, "engine": "reference", "examples": 64, "moments": 6}
    return certify(of, data=DATA, **{**given, **settings})


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
        fields = ("drive", "descent", "drive_descent", "drive_drive", "descent_drive", "control_descent")
        for field in fields if bench.state.masks[synapse] is not None else (*fields, "agreement", "power"):
            np.testing.assert_allclose(getattr(written, field), getattr(by_factors, field), rtol=1e-9, atol=1e-14)
        if bench.state.masks[synapse] is None:
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


def test_influence_is_the_derivative_of_the_cosine() -> None:
    """Moving the weight of one example moves the cosine as its influence says."""
    bench = Bench(ALIGNMENT)
    reading = bench.look()["W"]
    assert reading.descent.mean() == pytest.approx(reading.cos, rel=1e-12)
    n = len(bench.sample)
    now = bench.passes().evaluation[-1].now
    gate = (now["h.basal"] > 0).astype(float)
    s, delta = gate * (now["err"] @ bench.state.weights["V"].T), gate * (now["err"] @ bench.state.weights["U"])

    def cosine(weights: Array) -> float:
        a, b = (s * weights[:, None]).T @ now["x"], (delta * weights[:, None]).T @ now["x"]
        return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))

    for example in (0, 7, 23):
        up, down = np.ones(n), np.ones(n)
        up[example] += 1e-5
        down[example] -= 1e-5
        slope = (cosine(up) - cosine(down)) / 2e-5 * n
        assert reading.descent[example] - reading.cos == pytest.approx(slope, rel=1e-4, abs=1e-8)


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
    np.testing.assert_array_equal(found["W"].descent, found["W"].control)
    assert found["U"].cos == pytest.approx(1.0)
    assert found["U"].control.mean() < 0.5


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
    assert reading.control.mean() == pytest.approx(1.0)
    assert abs(reading.turned.mean()) < 0.9


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
    assert found.agrees_with_derive


def test_a_rule_that_cannot_see_the_error_differs_by_exactly_nothing() -> None:
    reading = Bench(HEBB).look()["W"]
    np.testing.assert_array_equal(reading.descent, reading.control)
    np.testing.assert_array_equal(reading.descent, reading.turned)
    assert reading.cos != 0


# ---------------------------------------------------------------- statistics


@given(st.integers(1, 5), st.integers(2, 40), st.integers(0, 99))
def test_the_interval_holds_the_mean(seeds: int, examples: int, seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal((seeds, examples))
    found = interval(values)
    assert found.low <= found.high
    assert found.mean == pytest.approx(values.mean())
    assert interval(np.full((seeds, examples), 2.0)) == pytest.approx((2.0, 2.0, 2.0))
    assert interval(3 * values, values).mean == pytest.approx(3.0)


def test_the_interval_is_as_wide_as_it_should_be() -> None:
    """95 % intervals of the mean of 200 numbers hold the true mean about 95 times in 100."""
    rng = np.random.default_rng(0)
    found = [interval(rng.standard_normal((1, 200))) for _ in range(200)]
    assert 0.88 < np.mean([f.low < 0 < f.high for f in found]) <= 0.99


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


# ---------------------------------------------------------------- verdicts


def verdicts(found: Certificate) -> dict[str, str | None]:
    return {name: s.verdict for name, s in found.synapses.items()}


def test_tied_feedback_is_exact() -> None:
    found = certified(TIED)
    assert verdicts(found) == {"W": "exact", "U": "exact", "b": "exact"}
    assert found.dc is True
    assert found.agrees_with_derive
    assert found["W"].cos > 0.999999
    assert found.taylor_slope == pytest.approx(2.0, abs=0.05)
    assert found.relaxation is None


def test_rules_that_hold_in_training_only() -> None:
    """`train` in a rule alone: the rule is measured as it learns."""
    only = layers(u="dw = train * (eta * err * pre - eta * gamma * w)", gamma=0.5)
    whole, plain = Bench(only).look(), Bench(layers(gamma=0.5)).look()
    assert whole["U"].cos == pytest.approx(1.0)
    assert whole["W"].cos == pytest.approx(plain["W"].cos)


def test_kolen_pollack_reaches_its_attractor() -> None:
    found = certified(KOLEN_POLLACK)
    assert found["W"].verdict == "descent"
    assert found["W"].derived == "gradient"
    assert found["W"].reached is True
    assert found["W"].agrees is True
    assert found.decay == pytest.approx(0.05)
    residuals = [m.residual for m in found["W"].course]
    assert residuals[0] is not None
    assert residuals[-1] is not None
    assert residuals[-1] < 0.01 < 0.5 < residuals[0]
    assert found["W"].phi.mean == pytest.approx(1.0, abs=0.3)
    assert found["W"].aligned > 0.99


@pytest.mark.parametrize(
    "gain", ["exp(k)", "exp(g)", "(1 - tanh(k)^2)", "(0.2 + g^2)", "1 / (1 + g^2)", "(0.5 + step(g))", "sigmoid(k)"]
)
def test_h_of_gains(gain: str) -> None:
    """H is made of coefficients and kept states too, and so are the two sides of a relation."""
    gains = f"state g = 1 keep   dg = 0.1 * (0.2 - rate)   let c = {gain} * apical * step(basal)"
    credit, feedback = "dw = eta * post.c * pre - eta * gamma * w", "dw = eta * post.s * pre - eta * gamma * w"
    found = certified(
        layers(
            w=credit, v=feedback, gamma=0.5, more=f"{gains}   let s = exp(k) * relu(basal)",
            rest="param k per h = normal(0, 0.3)",
        )
    )  # fmt: skip
    assert found["W"].derived == "gradient"
    assert found["W"].reached
    assert found["W"].aligned > 0.97


def test_what_is_not_reached_is_no_contradiction() -> None:
    short = certified(KOLEN_POLLACK, epochs=1)
    assert short["W"].reached is False
    assert short.agrees_with_derive
    assert "Not reached" in short.table()


def test_feedback_alignment_descends() -> None:
    found = certified(ALIGNMENT)
    assert found["W"].verdict == "descent"
    assert found["W"].derived is None
    assert found["W"].agrees is None
    assert found["W"].reached is None
    assert 0.1 < found["W"].descent.mean < 0.999


def test_hebb_is_none() -> None:
    found = certified(HEBB)
    assert found["W"].verdict == "none"
    assert found["W"].differences == ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    assert found["W"].agrees is True
    assert found.dc is None


def test_a_flipped_output_ascends() -> None:
    up = "bounds = [-1, 1]   dw = -eta * {0} * pre"
    found = certified(layers(u=up.format("err"), v="init = transpose(U) " + up.format("post")))
    assert found["U"].verdict == "inconsistent"  # the bias still descends
    assert found["U"].phi.mean == pytest.approx(-1.0)
    assert found.dc is False


def test_one_flipped_feedback_is_inconsistent() -> None:
    flipped = FEEDBACK.replace("eta * post.apical", "-eta * post.apical")
    minus = layers(w=flipped, v="init = transpose(U)   dw = eta * post * pre")
    found = certified(minus, epochs=5)
    assert found["W"].verdict == "inconsistent"
    assert found["U"].verdict == "exact"
    assert found.dc is False
    assert found.agrees_with_derive


def test_momentum_is_judged_by_its_drive() -> None:
    momentum = "drive g = {g} * pre   state m = 0   dm = g - 0.1 * m   dw = -(-(eta * m))"
    found = certified(
        layers(
            w=momentum.format(g="post.apical * step(post.basal)"), u=momentum.format(g="err"),
            v="init = transpose(U) " + momentum.format(g="post"),
        ),
        epochs=10,
    )  # fmt: skip
    assert found["W"].verdict == "descent"  # not exact: the update is not the drive
    assert found["W"].cos > 0.9999
    assert found["W"].realised is not None
    assert found["U"].realised is not None


def test_drives_keep_the_sign_with_which_the_weight_follows() -> None:
    """`dw = -eta * m` of `dm = grad - m` descends."""
    down = layers(u="drive g = -err * pre   state m = 0   dm = g - 0.5 * m   dw = -eta * m")
    assert Bench(down).look()["U"].cos == pytest.approx(1.0)
    up = layers(u="drive g = err * pre   state m = 0   dm = g - 0.5 * m   dw = -eta * m")
    assert Bench(up).look()["U"].cos == pytest.approx(-1.0)


def test_an_average_of_squares_is_no_drive() -> None:
    adam = layers(u="drive g = err * pre   state v = 0   dv = 0.1 * (g^2 - v)   dw = eta * g / (sqrt(v) + 0.01)")
    assert Bench(adam).look()["U"].cos == pytest.approx(1.0)


def reading(cos: float, control: float, phi: float, spread: float = 0.1, ratio: float = 1.0) -> Reading:
    wave, same = spread * np.sin(np.arange(50)), np.full(50, control)
    return Reading(
        cos=cos, ratio=ratio, descent=cos + wave, control=same, turned=same, agreement=np.full(50, phi),
        power=np.ones(50), aligned=cos, response=Response(1.0, 0.5, 1.0),
    )  # fmt: skip


def record(*readings: Reading, verdict: Any = None, residuals: tuple[float, ...] | None = None) -> Record:
    finding = Finding(synapse="W", role="learning", rule="other", verdict=verdict, evidence="proved")
    found = list(residuals) if residuals is not None else [None] * len(readings)
    return Record(
        finding=finding, at=tuple(range(1, len(readings) + 1)), readings=[list(readings)] * 3, residuals=[found] * 3
    )


@pytest.mark.parametrize(
    ("cos", "control", "wanted"),
    [(0.5, 0.0, "descent"), (-0.5, 0.0, "ascent"), (0.5, 0.5, "none"), (0.5, 0.7, "none"), (-0.5, -0.7, "none"),
     (0.01, 0.0, "none")],
)  # fmt: skip
def test_verdict_of_a_measurement(cos: float, control: float, wanted: str) -> None:
    assert certify_synapse(record(*[reading(cos, control, cos, spread=0.4)] * 3)).verdict == wanted


def test_one_control_is_enough() -> None:
    """Where the mean error is all there is, permuting changes nothing, but turning round does."""
    mean_only = replace(reading(0.9, 0.9, 0.9), turned=np.zeros(50))
    assert certify_synapse(record(*[mean_only] * 3)).verdict == "descent"
    assert objection(record(mean_only, verdict="gradient")) is None


def test_controls_too_wide_for_differences() -> None:
    """Late in learning a few large errors carry the controls: the rate itself still tells, where phi is as sure."""
    wide = 60 * np.sin(7.0 * np.arange(50))
    sure = replace(reading(0.9, 0.0, 0.9), control=wide - wide.mean() - 1, turned=wide - wide.mean() + 0.1)
    assert certify_synapse(record(*[sure] * 3)).verdict == "descent"
    unsure = replace(sure, agreement=0.1 + 2 * np.sin(np.arange(50)))
    assert certify_synapse(record(*[unsure] * 3)).verdict == "none"
    beaten = replace(sure, turned=sure.turned + 0.9)
    assert certify_synapse(record(*[beaten] * 3)).verdict == "none"


def test_exact_needs_one_ratio() -> None:
    same = record(reading(1.0, 0.0, 1.0, spread=0), reading(1.0, 0.0, 1.0, spread=0))
    other = record(reading(1.0, 0.0, 1.0, spread=0), reading(1.0, 0.0, 1.0, spread=0, ratio=1.1))
    assert certify_synapse(same).verdict == "exact"
    assert certify_synapse(other).verdict == "descent"
    assert certify_synapse(replace(same, filtered=True)).verdict == "descent"


def test_signs_that_differ_are_inconsistent() -> None:
    up, down = certify_synapse(record(reading(0.5, 0, 0.5))), certify_synapse(record(reading(-0.5, 0, -0.5)))
    found, dc = together({"a": replace(up, name="a"), "b": replace(down, name="b")})
    assert dc is False
    assert (found["a"].verdict, found["b"].verdict) == ("descent", "inconsistent")
    assert together({"a": replace(up, name="a")})[1] is True


def objection(of: Record) -> str | None:
    from circuitdsl.certify.judge import agreed

    return agreed(certify_synapse(of), of).objection


def test_an_approximation_that_does_not_hold_is_no_contradiction() -> None:
    """Gates were dropped: where the credit is not H delta, the verdict says nothing."""
    bad = replace(reading(-0.5, 0.0, -0.5), aligned=0.1)
    found = record(bad, bad, verdict="gradient", residuals=(0.5, 0.05))
    assert objection(found) is not None
    approximate = replace(found, approximate=True)
    assert objection(approximate) is None
    assert certify_synapse(found).reached is True
    assert certify_synapse(approximate).reached is False
    aligned = replace(reading(-0.5, 0.0, -0.5), aligned=0.9)
    assert objection(replace(record(aligned, verdict="gradient"), approximate=True)) is not None


def test_contradictions_are_found() -> None:
    good, bad = reading(0.5, 0.0, 0.5), reading(-0.5, 0.0, -0.5)
    assert objection(record(good, verdict="gradient")) is None
    assert "phi" in (objection(record(bad, verdict="gradient")) or "")
    assert objection(record(bad, good, verdict="gradient", residuals=(0.5, 0.05))) is None
    assert objection(record(good, bad, verdict="gradient", residuals=(0.5, 0.05))) is not None
    assert objection(record(bad, bad, verdict="gradient", residuals=(0.5, 0.2))) is None  # not reached
    assert "control" in (objection(record(good, verdict="none")) or "")
    assert objection(record(good, verdict="ascent")) is not None
    assert objection(record(bad, verdict="inconsistent")) is None
    assert "cosine" in (objection(record(good, verdict="exact")) or "")
    assert "descent rate" in (objection(record(reading(0.5, 0.6, 0.5), verdict="descent")) or "")
    silent = replace(good, cos=float("nan"), ratio=float("nan"))
    assert objection(record(silent, verdict="exact")) is None  # neither drive nor gradient
    assert objection(record(replace(silent, ratio=float("inf")), verdict="exact")) is not None  # a drive alone
    blind = reading(0.5, 0.5, 0.5, spread=0)
    assert "does not see" in (objection(record(blind, verdict="gradient")) or "")


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
        "circuit", "seeds", "dc", "synapses", "agrees_with_derive", "taylor_slope", "relaxation", "diverged",
    ]  # fmt: skip
    assert set(found["synapses"]["W"]) == {
        "cos", "phi", "phi_positive", "reached", "r2", "h_min", "h_max", "norm_ratio", "descent", "control", "verdict",
    }  # fmt: skip
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
    found = certified(made, numbers=numbers, epochs=3)
    assert found["U"].phi.mean == pytest.approx(-1.0)
    assert found["U"].agrees is not False


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
    monkeypatch.setattr(driver, "_engine", lambda target, of, dtype: Reference(of, (), dtype))
    monkeypatch.setattr(driver, "SHORT_WORK", 300_000)
    found = measure(ALIGNMENT, ["W"], data=DATA)
    assert set(found) == {"W"}
    assert found["W"].verdict == "descent"
    assert found["W"].because.startswith("descent, cos 0.")
    assert found["W"].phi_sign == 1
    assert found == measure(ALIGNMENT, ["W"], data=DATA)
    assert measure(ALIGNMENT, ["W"]) == {}  # no task


def test_on_compiled_code() -> None:
    found = certified(KOLEN_POLLACK, engine="cpu", epochs=60)
    assert found["W"].agrees is True
    assert found["W"].reached is True


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
    assert "agrees" in shown
    assert max(map(len, shown.splitlines())) <= 120


def test_the_command_fails_where_it_contradicts(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(of: Circuit) -> Any:
        found = derive(of)
        findings = {n: replace(f, verdict="none") if n == "U" else f for n, f in found.findings.items()}
        return replace(found, findings=findings)

    monkeypatch.setattr(driver, "derive", wrong)
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
