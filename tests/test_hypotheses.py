"""Hypotheses as numbers: of each kind a state that meets it and one that does not, against plain NumPy.

Gates and whole trainings are in test_hypotheses_trained.py.
"""

from __future__ import annotations

import inspect
import re
import typing
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from assumed import DELTA, EXAMPLES, Bench, met, readout, relative, ridge
from derivation_texts import LINEAR, kp, sal

from circuitdsl.certify.checkpoint import Since
from circuitdsl.certify.hypotheses import THRESHOLD, residual
from circuitdsl.derive.algebra.letters import Made, named
from circuitdsl.derive.algebra.words import Coefficient, diagonal
from circuitdsl.derive.prove.hypotheses import (
    AtRest,
    Attracted,
    GentleDecay,
    Homogeneous,
    Hypothesis,
    Lagging,
    Live,
    ManyDraws,
    Nonempty,
    Nontrivial,
    OffKink,
    OneHot,
    Open,
    Slow,
    SmallSteps,
    Spectral,
    Unbound,
    Within,
)  # fmt: skip
from circuitdsl.derive.read.drives import Drive
from circuitdsl.graph.projections import Dense


def test_every_kind_has_a_threshold() -> None:
    kinds = typing.get_args(Hypothesis)
    assert set(THRESHOLD) == set(kinds)
    tests = Path(__file__).parent.glob("test_hypotheses*.py")
    for text in (Path(inspect.getfile(residual)).read_text(), "".join(path.read_text() for path in tests)):
        assert [k for k in kinds if not re.search(rf"\b{k.__name__}\(", text)] == []  # a residual each, and a test


# ---------------------------------------------------------------- at rest


@pytest.mark.parametrize("rule", [
    DELTA,
    "dw = eta * err * pre - eta * gamma * w",
    "drive g = err * pre - gamma * w   dw = eta * g",
    "dw = k * eta * err * pre - k * eta * gamma * w",
])  # fmt: skip
def test_at_rest(rule: str) -> None:
    bench = readout(rule)
    x, y = bench.data["x"], bench.data["y"]
    rest = ridge(bench)
    bench.w["W"][...] = rest
    assert bench.residual(AtRest("W")) < 1e-9
    assert bench.met(AtRest("W"))
    bench.w["W"][...] = w = 1.2 * rest
    k = bench.state.coefficients["k"] if "k *" in rule else np.ones((3, 5))
    drive = (y - x @ w.T).T @ x / len(x)
    assert bench.residual(AtRest("W")) == pytest.approx(relative(k * (drive - 0.05 * w), k * 0.05 * w))
    assert bench.met(AtRest("W")) is False


def test_at_rest_behind_a_trace() -> None:
    """What counts is what the weight gets: here the trace, not the drive."""
    bench = readout("state m = 0   dm = 0.1 * (err * pre - m)   dw = eta * m - eta * gamma * w")
    w = bench.w["W"]
    bench.state.synapse_states["W", "m"][...] = 0.05 * w
    assert bench.residual(AtRest("W")) < 1e-9
    bench.state.synapse_states["W", "m"][...] = 0.08 * w
    assert bench.residual(AtRest("W")) == pytest.approx(0.6)


def test_rest_of_weights_that_learn_in_batches() -> None:
    """They stray about their rest: seen at any moment they move, over many updates they do not."""
    bench = readout(batch=4)
    rng, x, y, w = np.random.default_rng(0), bench.data["x"], bench.data["y"], bench.w["W"]
    w[...] = ridge(bench)
    before = w.copy()
    for _ in range(4000):
        rows = rng.integers(0, EXAMPLES, 4)
        w += 0.1 * ((y[rows] - x[rows] @ w.T).T @ x[rows] / 4 - 0.05 * w)
    assert bench.met(AtRest("W")) is False
    at = bench.at(Since(4000, {"W": before}))
    assert residual(AtRest("W"), at) == pytest.approx(relative((w - before) / 4000, 0.1 * 0.05 * w))
    assert met(AtRest("W"), at)
    assert met(AtRest("W"), bench.at(Since(20, {"W": 0.5 * before}))) is False


def test_weights_that_are_gone_are_at_rest() -> None:
    bench = readout("dw = 0 * err * pre - eta * gamma * w")
    for part, wanted in ((1.0, 1.0), (0.1, 0.5), (1e-2, 0.05), (1e-4, 5e-4), (0.0, 0.0)):
        bench.w["W"][...] = part * bench.start["W"]
        assert bench.residual(AtRest("W")) == pytest.approx(wanted, rel=1e-6)


def test_what_does_not_decay_has_no_measure_of_rest() -> None:
    bench = readout("dw = eta * err * pre")
    assert np.isnan(bench.residual(AtRest("W")))
    assert bench.met(AtRest("W")) is None
    bench.w["W"][...] = 0
    assert bench.residual(AtRest("W")) == np.inf


# ---------------------------------------------------------------- weights and masks


def test_unbound() -> None:
    bench = readout("bounds = [-0.5, 0.1]   connect = sparse(0.5)   " + DELTA)
    mask = bench.state.mask("W")
    assert mask is not None
    bench.w["W"][...] = np.where(mask, 0.05, 0.0)
    assert bench.met(Unbound("W"))  # absent weights do not count
    first, second = np.argwhere(mask)[:2]
    bench.w["W"][tuple(first)] = np.float32(0.1)  # a bound as a run in float32 has it
    bench.w["W"][tuple(second)] = -0.5
    assert bench.residual(Unbound("W")) == pytest.approx(2 / mask.sum())
    assert bench.met(Unbound("W")) is False


def test_the_zero_of_a_sign_is_a_bound() -> None:
    bench = readout("sign = excitatory   " + DELTA)
    bench.w["W"][...] = 0.3
    assert bench.met(Unbound("W"))
    bench.w["W"][0, 0] = 0
    assert bench.residual(Unbound("W")) == pytest.approx(1 / 15)
    free = readout()
    free.w["W"][...] = 0
    assert free.met(Unbound("W"))


def test_nontrivial_and_nonempty() -> None:
    bench = readout("connect = sparse(0.5)   " + DELTA)
    assert bench.met(Nontrivial("W"))
    assert bench.met(Nonempty("W"))
    bench.w["W"][...] *= 1e-7
    assert bench.residual(Nontrivial("W")) == 1
    assert bench.met(Nontrivial("W")) is False
    bench.state.projections["W"] = Dense(np.zeros((3, 5), np.bool_))
    assert bench.met(Nonempty("W")) is False
    assert readout().met(Nonempty("W"))


def test_open() -> None:
    """The factor of the rule is 0 where all weights are negative, and with it all that drives them."""
    bench = readout("dw = 0.1 * relu(w) * err * pre - 0.01 * w")
    drive = bench.at().derivation.findings["W"].drive
    assert isinstance(drive, Drive)
    assert drive.passage.scale is not None
    factor = Open("W", drive.passage.scale)
    assert bench.met(factor)
    bench.w["W"][...] = -0.3
    assert bench.met(factor) is False


def test_live() -> None:
    """Without an error nothing drives the readout."""
    bench = readout()
    assert bench.met(Live("W"))
    bench.w["W"][...] = 0
    bench.data["y"] = np.zeros_like(bench.data["y"])
    assert bench.met(Live("W")) is False


KINK = """
circuit c {
  input x: 3   target y: 3
  neuron out: 3 { dendrite g, basal   rate = basal * step(g) }
  neuron err: 3 { rate = y - out }
  synapse I: x -> out.g { connect = one_to_one   init = constant(1) }
  synapse W: x -> out.basal { dw = 0.1 * err * (post.g >= 0) * pre }
  loss = mse(out, y)
}
"""


OF_G = Made("", diagonal(named("out.g", 3)))


def test_off_kink() -> None:
    """Gates of either side count as the same; where a pixel is exactly 0 they are not."""
    bench = Bench(KINK)
    assert bench.met(OffKink(OF_G))
    bench.data["x"][:4, 1] = 0
    assert bench.residual(OffKink(OF_G)) == pytest.approx(4 / bench.data["x"].size)
    assert bench.met(OffKink(OF_G)) is False


def test_within() -> None:
    bench = readout()
    bench.w["W"][...] = 0.2
    bench.w["W"][1, 2] = -1.5
    assert bench.residual(Within("W", 2.0)) == 0.75
    assert bench.met(Within("W", 2.0))
    assert bench.residual(Within("W", 1.0)) == 1.5
    assert bench.met(Within("W", 1.0)) is False


def test_one_hot() -> None:
    bench = readout()
    assert bench.residual(OneHot("y")) == 0
    assert bench.met(OneHot("y"))
    for y, wanted in (([0.0, 1.0, 1.0], 1.0), ([0.0, 0.6, 0.4], 0.4), ([0.0, 0.0, 0.0], 1.0), ([-1.0, 1.0, 1.0], 1.0)):
        bench.data["y"] = bench.data["y"].copy()
        bench.data["y"][7] = y
        assert bench.residual(OneHot("y")) == pytest.approx(wanted)
        assert bench.met(OneHot("y")) is False


def test_spectral() -> None:
    bench = readout()
    rng = np.random.default_rng(2)
    left, right = np.linalg.qr(rng.standard_normal((3, 3)))[0], np.linalg.qr(rng.standard_normal((5, 5)))[0][:3]
    for values, wanted in (((2, 2, 0), 0.0), ((2.1, 2, 0.05), 0.05), ((3, 2, 0), 0.5), ((2, 1, 0), 0.5)):
        bench.w["W"][...] = left @ np.diag(values) @ right
        spectral = Spectral("W", Coefficient(Fraction(4)))
        assert bench.residual(spectral) == pytest.approx(wanted, abs=1e-12)
        assert bench.met(spectral) is (wanted <= 0.1)
    assert np.isnan(bench.residual(Spectral("W", Coefficient(Fraction(-4)))))


def test_attracted() -> None:
    bench = Bench(kp())
    v, wo = bench.w["V"], bench.w["Wo"]
    assert bench.residual(Attracted("V", "Wo")) == pytest.approx(relative(v - wo.T, v))
    assert bench.met(Attracted("V", "Wo")) is False
    v[...] = 1.02 * wo.T
    assert bench.residual(Attracted("V", "Wo")) == pytest.approx(0.02 / 1.02)
    assert bench.met(Attracted("V", "Wo"))
    v[...] = 0
    assert bench.residual(Attracted("V", "Wo")) == np.inf
    assert bench.met(Attracted("W", "Wo")) is None  # there is no relation


# ---------------------------------------------------------------- single updates


def test_the_size_of_a_step() -> None:
    """In batches of 20 the sample has three updates to try."""
    bench = readout("dw = eta * err * pre", batch=20)
    x, y, w = bench.data["x"], bench.data["y"], bench.w["W"]
    steps = [0.1 * (y[r] - x[r] @ w.T).T @ x[r] / 20 for r in (slice(0, 20), slice(20, 40), slice(40, 60))]
    size = np.sqrt(np.mean([np.sum(step**2) for step in steps])) / np.linalg.norm(w)
    assert bench.residual(SmallSteps("W")) == pytest.approx(size)
    assert bench.met(SmallSteps("W")) is False
    assert bench.residual(ManyDraws("out")) == pytest.approx(size / 20)
    w[...] *= 100 / np.linalg.norm(w)
    bench.numbers = {**bench.numbers, "eta": 1e-3}
    assert bench.met(SmallSteps("W"))
    assert bench.met(ManyDraws("out"))
    w[...] = 0
    assert bench.met(SmallSteps("W")) is False
    assert bench.residual(ManyDraws("out")) == 1 / 20  # no more than the batch is sure
    assert bench.met(ManyDraws("x")) is None  # nothing there learns


def test_what_second_order_keeps_apart() -> None:
    """V1 B2^T - F1 W2^T shrinks by 2 eta gamma per update, but for dV1 dB2^T - dF1 dW2^T."""
    bench = Bench(sal(2, **LINEAR))
    w, x, y = bench.w, bench.data["x"], bench.data["y"]
    a1 = x @ w["W1"].T
    a2 = a1 @ w["W2"].T
    out = np.exp(a2 @ w["Wo"].T)
    err = y - out / out.sum(axis=1, keepdims=True)
    d2 = err @ w["V2"].T
    d1 = d2 @ w["V1"].T
    sums = {"F1": d1.T @ a1, "W2": (d2 @ w["B2"].T).T @ a1, "V1": (a1 @ w["F1"].T).T @ d2, "B2": a2.T @ d2}
    steps = {name: 0.05 * (sums[name] / EXAMPLES - 0.01 * w[name]) for name in sums}
    second = steps["V1"] @ steps["B2"].T - steps["F1"] @ steps["W2"].T
    (relation,) = [r for r in bench.at().derivation.relations if r.holds == "slow" and r.kind == "intertwiner"]
    assert relation.synapses == ("V1", "W2")
    kept = relative(second, w["V1"] @ w["B2"].T) / (2 * 0.05 * 0.01)
    assert bench.residual(SmallSteps("V1")) == pytest.approx(kept)
    assert bench.met(SmallSteps("V1")) is False
    for array in w.values():
        array *= 1e-2  # then nothing drives much
    assert bench.met(SmallSteps("V1"))


# ---------------------------------------------------------------- states of synapses


MOMENTUM = "drive g = err * pre   state m = 0   dm = 0.1 * g - 0.1 * m   dw = eta * m"
RMSPROP = "drive g = err * pre   state v = 0   dv = 0.01 * (g^2 - v)   dw = eta * g / (sqrt(v) + 0.01)"


def test_slow() -> None:
    bench = readout(MOMENTUM)
    x, y, w = bench.data["x"], bench.data["y"], bench.w["W"]
    gradient, m = (y - x @ w.T).T @ x / EXAMPLES, bench.state.synapse_states["W", "m"]
    for part, wanted in ((1.0, 0.0), (0.7, 0.3), (0.0, 1.0), (-1.0, 2.0)):
        m[...] = part * gradient
        assert bench.residual(Slow("W")) == pytest.approx(wanted, abs=1e-9)
        assert bench.met(Slow("W")) is (wanted <= 0.5)
    assert bench.met(Lagging("W")) is None  # it is no factor
    assert readout().met(Slow("W")) is None


def test_the_noise_of_batches_is_not_taken_for_lag() -> None:
    """A trace of the drives of single batches, at weights that stand still, strays from the mean drive: as it must."""
    bench = readout(MOMENTUM, batch=4)
    x, y, w = bench.data["x"], bench.data["y"], bench.w["W"]
    each = (y - x @ w.T)[:, :, None] * x[:, None, :]
    rng, m, raw = np.random.default_rng(0), bench.state.synapse_states["W", "m"], []
    for _ in range(60):
        m += 0.1 * (each[rng.integers(0, EXAMPLES, 4)].mean(axis=0) - m)
    found = []
    for _ in range(20):
        for _ in range(20):
            m += 0.1 * (each[rng.integers(0, EXAMPLES, 4)].mean(axis=0) - m)
        raw.append(relative(m - each.mean(axis=0), each.mean(axis=0)))
        found.append(bench.residual(Slow("W")))
    assert np.mean(found) < 0.6 * np.mean(raw)
    m[...] = -each.mean(axis=0)
    assert bench.met(Slow("W")) is False


def test_lagging() -> None:
    bench = readout(RMSPROP)
    x, y, w = bench.data["x"], bench.data["y"], bench.w["W"]
    square, v = ((y - x @ w.T).T @ x / EXAMPLES) ** 2, bench.state.synapse_states["W", "v"]
    v[...] = square
    assert bench.residual(Lagging("W")) == pytest.approx(0, abs=1e-9)
    v[...] = 3 * square
    assert bench.residual(Lagging("W")) == pytest.approx(0.01 * 2 / 3)
    assert bench.met(Lagging("W"))
    v[...] = 0.01 * square
    assert bench.residual(Lagging("W")) == pytest.approx(0.99)
    assert bench.met(Lagging("W")) is False
    v[...] = 0
    assert bench.residual(Lagging("W")) == np.inf
    assert bench.met(Slow("W")) is None  # it is no trace


# ---------------------------------------------------------------- equations


def test_homogeneous() -> None:
    for rate, meets in (("relu(basal)", True), ("tanh(basal)", False), ("relu(basal + 1)", False)):
        bench = Bench(kp(rate=rate, slope=""))
        z = bench.data["x"] @ bench.w["W"].T
        value = {"relu(basal)": np.maximum(z, 0), "tanh(basal)": np.tanh(z)}.get(rate, np.maximum(z + 1, 0))
        slope = {"relu(basal)": z > 0, "tanh(basal)": 1 - np.tanh(z) ** 2}.get(rate, z + 1 > 0)
        assert bench.residual(Homogeneous("h")) == pytest.approx(relative(z * slope - value, value), abs=1e-6)
        assert bench.met(Homogeneous("h")) is meets


def test_gentle_decay() -> None:
    bench = readout("dw = eta * err * pre - eta * abs(err) * w", batch=20)
    x, y, w = bench.data["x"], bench.data["y"], bench.w["W"]
    lost = 0.1 * abs(y - x @ w.T)
    assert bench.residual(GentleDecay("W")) == pytest.approx(max(lost[i : i + 20].mean(0).max() for i in (0, 20, 40)))
    assert bench.met(GentleDecay("W"))
    w[...] *= 100
    assert bench.met(GentleDecay("W")) is False
    w[...] = 0
    bench.data["y"] = bench.data["y"] * [1, 1, 0]  # no error at the last neuron
    assert bench.residual(GentleDecay("W")) == np.inf
    assert readout().met(GentleDecay("W")) is None
