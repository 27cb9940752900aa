"""Verdicts by measurement: of known circuits, and of readings made up, and when they contradict what is derived."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from certified import ALIGNMENT, FEEDBACK, HEBB, KOLEN_POLLACK, TIED, Bench, certified, layers

from circuitdsl.certify.certificate import Certificate
from circuitdsl.certify.judge import Record, certify_synapse, together
from circuitdsl.certify.measure import Reading
from circuitdsl.certify.statistics import Response
from circuitdsl.derive.prove.findings import Finding


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
