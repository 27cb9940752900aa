"""Verdicts by measurement: of known circuits, and of readings made up; what of a derivation they confirm, contradict
and leave untested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from certified import ALIGNMENT, FEEDBACK, HEBB, KOLEN_POLLACK, TIED, TIED_FEEDBACK, Bench, certified, layers

from circuitdsl.api import load
from circuitdsl.certify.assumptions import Assumption, Stand
from circuitdsl.certify.certificate import Certificate
from circuitdsl.certify.judge import Course, Record, certify_synapse, together
from circuitdsl.certify.measure import Reading
from circuitdsl.certify.statistics import Response
from circuitdsl.derive.prove.assumptions import Assumed
from circuitdsl.derive.prove.findings import Finding, Verdict
from circuitdsl.derive.prove.hypotheses import AtRest
from circuitdsl.derive.tell.derivation import Derivation, derive
from circuitdsl.graph.ir import Circuit


def verdicts(found: Certificate) -> dict[str, str | None]:
    return {name: s.verdict for name, s in found.synapses.items()}


def test_tied_feedback_is_exact() -> None:
    found = certified(TIED, seeds=5)
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
    found = certified(KOLEN_POLLACK, seeds=5)
    assert found["W"].verdict == "descent"
    assert found["W"].derived == "gradient"
    assert found["W"].status == "confirmed"
    assert found.agrees_with_derive is True
    assert found.decay == pytest.approx(0.05)
    assert found.long == 160
    assert [m.met for m in found["W"].course][:2] == [0, 0]
    assert found["W"].course[-1].met == 5
    (reached,) = [a for a in found["W"].assumes if a.name == "attracted(V, U)"]
    assert reached.residual < 0.01
    assert reached.met is True
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
    assert found["W"].outcome is not None
    assert (found["W"].status, found["W"].outcome.seeds) == ("confirmed", 2), found["W"].outcome.why
    assert found["W"].aligned > 0.95


def test_what_is_not_reached_is_no_contradiction() -> None:
    short = certified(KOLEN_POLLACK, epochs=1)
    assert short["W"].status == "untested"
    assert short["W"].outcome is not None
    assert "|V − Uᵀ|/|V| is" in short["W"].outcome.why
    assert "stopped before 5/(ηγ) = 100 updates, after 12" in short["W"].outcome.why
    assert short["W"].verdict is None  # two seeds decide nothing
    assert "`--long` (`long=True` in Python) trains for 160 updates" in " ".join(short.table().split())
    alone = replace(short, synapses={"W": short["W"]})
    assert alone.agrees_with_derive is None


def test_long_enough() -> None:
    """`long` adds the epochs that it takes, and takes none away."""
    longer = certified(KOLEN_POLLACK, epochs=1, long=True)
    assert longer.updates == 168  # 14 epochs of 12 updates
    assert longer["W"].status == "confirmed"
    assert certified(KOLEN_POLLACK, epochs=16, long=True).updates == 192


def test_feedback_alignment_descends() -> None:
    found = certified(ALIGNMENT, seeds=5)
    assert found["W"].verdict == "descent"
    assert found["W"].derived is None
    assert found["W"].status is None
    assert found["W"].assumes == ()
    assert 0.1 < found["W"].descent.mean < 0.999


def test_hebb_is_none() -> None:
    found = certified(HEBB)
    assert found["W"].verdict == "none"
    assert found["W"].descent.mean == found["W"].control
    assert found["W"].status == "confirmed"
    assert found.dc is None


def test_a_flipped_output_ascends() -> None:
    up = "bounds = [-1, 1]   dw = -eta * {0} * pre"
    found = certified(layers(u=up.format("err"), v="init = transpose(U) " + up.format("post")), seeds=5)
    assert found["U"].verdict == "inconsistent"  # the bias still descends
    assert found["U"].phi.mean == pytest.approx(-1.0)
    assert found.dc is False


def test_one_flipped_feedback_is_inconsistent() -> None:
    flipped = FEEDBACK.replace("eta * post.apical", "-eta * post.apical")
    minus = layers(w=flipped, v="init = transpose(U)   dw = eta * post * pre")
    found = certified(minus, epochs=5, seeds=5)
    assert found["W"].verdict == "inconsistent"
    assert found["U"].verdict == "exact"
    assert found.dc is False
    assert found["W"].status == "confirmed"
    assert found.dc_evidence == "measured, in 5 of 5 seeds"


def test_momentum_is_judged_by_its_drive() -> None:
    momentum = "drive g = {g} * pre   state m = 0   dm = g - 0.1 * m   dw = -(-(eta * m))"
    found = certified(
        layers(
            w=momentum.format(g="post.apical * step(post.basal)"), u=momentum.format(g="err"),
            v="init = transpose(U) " + momentum.format(g="post"),
        ),
        epochs=10,
        seeds=5,
    )  # fmt: skip
    assert found["W"].verdict == "descent"  # not exact: the update is not the drive
    assert found["W"].cos > 0.9999
    assert found["W"].whole is not None
    assert found["W"].whole > 0
    assert found["U"].whole is not None


def test_drives_keep_the_sign_with_which_the_weight_follows() -> None:
    """`dw = -eta * m` of `dm = grad - m` descends."""
    down = layers(u="drive g = -err * pre   state m = 0   dm = g - 0.5 * m   dw = -eta * m")
    assert Bench(down).look()["U"].cos == pytest.approx(1.0)
    up = layers(u="drive g = err * pre   state m = 0   dm = g - 0.5 * m   dw = -eta * m")
    assert Bench(up).look()["U"].cos == pytest.approx(-1.0)


def test_an_average_of_squares_is_no_drive() -> None:
    adam = layers(u="drive g = err * pre   state v = 0   dv = 0.1 * (g^2 - v)   dw = eta * g / (sqrt(v) + 0.01)")
    assert Bench(adam).look()["U"].cos == pytest.approx(1.0)


# ---------------------------------------------------------------- planted falsehoods


def planted(of: Circuit, claims: dict[str, Verdict], monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Certificate:
    """The certificate of a circuit whose derivation says something else."""

    def lying(circuit: Circuit) -> Derivation:
        told = derive(circuit)
        found = {n: replace(f, verdict=claims.get(n, f.verdict), evidence="proved") for n, f in told.findings.items()}
        return replace(told, findings=found)

    monkeypatch.setattr("circuitdsl.certify.plan.derive", lying)
    return certified(of, **settings)


FLIPPED = layers(
    w=FEEDBACK.replace("eta * post.apical", "-eta * post.apical"), v="init = transpose(U)   dw = eta * post * pre"
)
AT_ATTRACTOR = layers(v="init = transpose(U)   dw = eta * post * pre - eta * gamma * w", gamma=0.5)
GAINED = layers(w="dw = eta * exp(post.apical) * post.apical * step(post.basal) * pre", v=TIED_FEEDBACK)
PER_NEURON = layers(
    w="dw = eta * exp(post.k) * post.apical * step(post.basal) * pre", v=TIED_FEEDBACK, more="let k = c",
    rest="param c per h = normal(0, 1)",
)  # fmt: skip


@pytest.mark.parametrize(
    ("of", "synapse", "claim"),
    [
        (TIED, "W", "none"),
        (TIED, "U", "ascent"),
        (ALIGNMENT, "W", "gradient"),
        (ALIGNMENT, "W", "exact"),
        (HEBB, "W", "gradient"),
        (HEBB, "W", "descent"),
        (FLIPPED, "W", "gradient"),
        (AT_ATTRACTOR, "W", "ascent"),
        (GAINED, "W", "none"),
        (PER_NEURON, "W", "exact"),
    ],
)
def test_planted_falsehoods_are_contradicted(
    of: Circuit, synapse: str, claim: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is assumed is met by construction, and the verdict is another one."""
    found = planted(of, {synapse: claim}, monkeypatch, epochs=5, seeds=5)
    assert found[synapse].status == "contradicted"
    assert found.agrees_with_derive is False
    assert len(found.contradictions) == 1
    assert "✗ contradicted" in found.table()


def test_nothing_is_asked_where_something_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A false verdict on an attractor that was not reached is not contradicted, and not confirmed."""
    found = planted(KOLEN_POLLACK, {"W": "ascent"}, monkeypatch, epochs=1)
    assert found["W"].status == "untested"


MISJUDGED = Path(__file__).parent / "misjudged"


@pytest.mark.parametrize(
    ("name", "synapse", "claim", "status"),
    [
        ("h17_sparse_pen", "W1", "none", "contradicted"),  # it is the gradient of a penalty
        ("b04_zero_init", "W", "gradient", "contradicted"),  # it is always 0
        ("b06_gate_never_lin", "W", "gradient", "contradicted"),  # what brings the credit dies away
        ("b11_negV", "W", "gradient", "contradicted"),
        ("neg_A", "W1", "gradient", "contradicted"),
        ("b12_zero_V_lr", "W", "gradient", "untested"),
    ],
)
def test_false_claims_of_a_first_prover(
    name: str, synapse: str, claim: Verdict, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each was derived once, and is wrong: at the states that meet what is assumed the measurement says so."""
    made = load(MISJUDGED / f"{name}.circ")
    findings = made.derive(measure=False).findings
    lying = replace(findings[synapse], verdict=claim, evidence="derived")
    monkeypatch.setattr(
        "circuitdsl.certify.plan.derive", lambda of: replace(derive(of), findings={**findings, synapse: lying})
    )
    found = made.certify(long=True)[synapse]
    assert found.status == status, found.outcome


def test_exact_for_classes_is_not_claimed_of_real_targets() -> None:
    made = load(MISJUDGED / "a03_sum_y.circ")
    rng = np.random.default_rng(0)
    found = made.certify(data=(rng.standard_normal((80, 64)), rng.standard_normal((80, 10))), epochs=2)
    assert found["W2"].derived == "exact"
    assert found["W2"].status == "untested"
    assert found["W2"].outcome is not None
    assert found["W2"].outcome.why == "the targets y are not one-hot"


# ---------------------------------------------------------------- readings made up


def reading(cos: float, control: float = 0.0, phi: float | None = None, ratio: float = 1.0) -> Reading:
    return Reading(
        cos=cos, control=control, turned=control, blind=cos == control, rate=1.0, drive=1.0, ratio=ratio,
        agreement=np.full(50, cos if phi is None else phi), power=np.ones(50), follows=float("nan"), aligned=cos,
        response=Response(1.0, 0.5, 1.0),
    )  # fmt: skip


def stand(missed: float | None) -> Stand:
    """All is met, or one relation is so far from it."""
    if missed is None:
        return Stand(True, ())
    one = Assumption(
        name="attracted(V, U)", text="", residual=missed, met=missed <= 0.05, excess=missed / 0.05,
        missed=f"|V - U| is {missed:.2g}", pace=None,
    )  # fmt: skip
    return Stand(missed <= 0.05, (one,))


def record(
    *seeds: Sequence[Reading], verdict: Verdict | None = None, missed: Sequence[float | None] = (), diverged: int = 0,
    proved: bool = True,
) -> Record:  # fmt: skip
    """Readings of some seeds, all at the same checkpoints."""
    assumed = Assumed() if proved else Assumed((AtRest("V"),))
    finding = Finding(
        synapse="W", role="learning", rule="other", verdict=verdict, evidence="proved" if proved else "derived",
        assumed=assumed,
    )  # fmt: skip
    moments = len(seeds[0])
    stands = [stand(m) for m in (missed or [None] * moments)]
    return Record(
        finding=finding,
        at=tuple(range(1, moments + 1)),
        seeds=[*(Course(s, stands) for s in seeds), *[Course([], [])] * diverged],
    )


def alike(*readings: Reading, seeds: int = 5, **settings: Any) -> Record:
    return record(*[readings] * seeds, **settings)


def of_seeds(means: Sequence[float], control: float = 0.0, **settings: Any) -> Record:
    return record(*([reading(x, control)] * 3 for x in means), **settings)


@pytest.mark.parametrize(
    ("cos", "control", "wanted"),
    [(0.5, 0.0, "descent"), (-0.5, 0.0, "ascent"), (0.5, 0.5, "none"), (0.5, 0.7, None), (-0.5, -0.7, None)],
)
def test_verdict_of_a_measurement(cos: float, control: float, wanted: str | None) -> None:
    assert certify_synapse(of_seeds([cos - 0.01, cos, cos, cos, cos + 0.01], control)).verdict in (wanted, None)
    assert certify_synapse(of_seeds([cos] * 5, control)).verdict == wanted


def test_one_control_is_enough() -> None:
    """Where the mean error is all there is, permuting changes nothing, but turning round does."""
    mean_only = replace(reading(0.9, 0.9), turned=0.0, blind=False)
    assert certify_synapse(alike(mean_only)).verdict == "descent"


def test_few_seeds_decide_nothing() -> None:
    assert certify_synapse(of_seeds([0.5] * 5)).verdict == "descent"
    assert certify_synapse(of_seeds([0.5] * 4)).verdict is None
    assert certify_synapse(of_seeds([0.5] * 4, control=0.5)).verdict == "none"  # it is so of every example


def test_what_is_no_number_is_no_verdict() -> None:
    found = certify_synapse(of_seeds([0.5, 0.5, 0.5, 0.5, float("nan")]))
    assert found.verdict is None
    silent = replace(reading(0.0), cos=float("nan"), ratio=float("nan"), drive=0.0)
    assert certify_synapse(alike(silent)).verdict is None


def test_diverged_seeds_count_against() -> None:
    assert certify_synapse(of_seeds([0.9] * 5)).verdict == "descent"
    found = certify_synapse(of_seeds([0.9] * 4, diverged=1))
    assert found.verdict is None
    assert found.descent.mean == pytest.approx(0.9)
    assert found.phi_signs == (1, 1, 1, 1, 0)
    assert certify_synapse(of_seeds([0.9] * 30, diverged=1)).verdict == "descent"


def test_nulls_are_undecided() -> None:
    """Seed means of a normal distribution about 0: at most 7 of 100 are taken for something (95 % intervals)."""
    rng = np.random.default_rng(7)
    found = [certify_synapse(of_seeds(0.1 * rng.standard_normal(5))).verdict for _ in range(2000)]
    assert sum(v is None for v in found) >= 0.93 * len(found)


def test_effects_are_found() -> None:
    """A mean of two standard deviations of the seeds is found in four of five cases."""
    rng = np.random.default_rng(8)
    found = [certify_synapse(of_seeds(0.2 + 0.1 * rng.standard_normal(5))).verdict for _ in range(500)]
    assert sum(v == "descent" for v in found) >= 0.8 * len(found)
    assert "ascent" not in found


def test_seeds_that_go_opposite_ways() -> None:
    """A fixed random scalar feedback: each seed is a pure descent or ascent."""
    found = certify_synapse(of_seeds([0.98, -0.99, 0.97, 0.99, -0.96]))
    assert found.verdict is None
    assert found.phases == "bimodal: 3 of 5 seeds descend, 2 ascend"
    assert certify_synapse(of_seeds([0.9, -0.1, 0.8, 0.9, -0.2])).phases is None


def test_early_and_late_are_told_apart() -> None:
    turning = alike(*[reading(-0.5)] * 3, *[reading(0.5)] * 3)
    assert certify_synapse(turning).phases == "ascends until 3, descends after"
    fading = alike(*[reading(0.5)] * 3, *[reading(0.0, 0.1)] * 3)
    assert certify_synapse(fading).phases == "descends until 3, undecided after"
    assert certify_synapse(alike(*[reading(0.0, 0.1)] * 3, *[reading(0.5)] * 3)).phases is None


def test_exact_needs_one_ratio() -> None:
    same, other = alike(reading(1.0), reading(1.0)), alike(reading(1.0), reading(1.0, ratio=1.1))
    assert certify_synapse(same).verdict == "exact"
    assert certify_synapse(other).verdict == "descent"
    assert certify_synapse(replace(same, filtered=True)).verdict is None  # what it comes to was not looked at
    along = alike(replace(reading(1.0), whole=0.9), replace(reading(1.0), whole=0.8))
    assert certify_synapse(replace(along, filtered=True)).verdict == "descent"
    against = alike(replace(reading(1.0), whole=-0.9), replace(reading(1.0), whole=-0.8))
    assert certify_synapse(replace(against, filtered=True)).verdict is None
    assert status(replace(alike(reading(1.0), verdict="exact"), filtered=True)) == "untested"


def test_signs_that_differ_are_inconsistent() -> None:
    up, down = certify_synapse(alike(reading(0.5))), certify_synapse(alike(reading(-0.5)))
    found, dc, evidence = together({"a": replace(up, name="a"), "b": replace(down, name="b")})
    assert (dc, evidence) == (False, "measured, in 5 of 5 seeds")
    assert (found["a"].verdict, found["b"].verdict) == ("descent", "inconsistent")
    assert together({"a": replace(up, name="a")})[1:] == (True, "measured, in 5 of 5 seeds")
    mostly = certify_synapse(of_seeds([0.5, 0.5, 0.5, 0.5, 0.6, 0.4, -0.1]))
    assert together({"a": mostly})[1:] == (True, "measured, in 6 of 7 seeds")
    assert together({"a": certify_synapse(of_seeds([0.5, -0.5, 0.1, 0.2, -0.3]))})[1:] == (None, None)


# ---------------------------------------------------------------- what became of a verdict


def status(of: Record) -> str | None:
    return certify_synapse(of).status


def why(of: Record) -> str:
    outcome = certify_synapse(of).outcome
    assert outcome is not None
    return outcome.why


def test_only_states_that_meet_everything_count() -> None:
    good, bad = reading(0.5), reading(-0.5)
    assert status(alike(good, verdict="gradient")) == "confirmed"
    assert status(alike(bad, verdict="gradient")) == "contradicted"
    assert status(alike(bad, good, verdict="gradient", missed=(0.5, 0.02))) == "confirmed"
    assert status(alike(good, bad, verdict="gradient", missed=(0.5, 0.02))) == "contradicted"
    assert status(alike(good, bad, verdict="gradient", missed=(0.5, 0.2))) == "untested"
    assert why(alike(good, bad, verdict="gradient", missed=(0.5, 0.2))) == "|V - U| is 0.2"
    assert status(alike(bad, verdict="inconsistent")) == "confirmed"
    assert status(alike(good, verdict="ascent")) == "contradicted"


def test_seeds_that_diverge_confirm_nothing() -> None:
    blown = Course([reading(0.5)], [stand(None)])
    found = alike(reading(0.5), reading(0.5), verdict="gradient")
    assert status(found) == "confirmed"
    assert status(replace(found, seeds=[blown] * 5)) == "untested"
    assert why(replace(found, seeds=[blown] * 5)) == "every seed diverged"
    assert status(record([reading(0.5)], verdict=None)) is None


def test_exact_is_to_the_letter() -> None:
    assert "falls to 0.500000" in why(alike(reading(0.5), verdict="exact"))
    assert "times the gradient" in why(alike(reading(1.0), reading(1.0, ratio=1.1), verdict="exact"))
    silent = replace(reading(1.0), cos=float("nan"), ratio=float("nan"), drive=0.0)
    assert status(alike(silent, verdict="exact")) == "untested"
    alone = replace(silent, ratio=float("inf"), drive=1.0)
    assert "no gradient" in why(alike(alone, verdict="exact"))


def test_none_moves_nothing() -> None:
    assert status(alike(reading(0.5), verdict="none")) == "contradicted"
    assert status(alike(reading(0.5, 0.5), verdict="none")) == "confirmed"
    gone = alike(reading(0.5), replace(reading(0.5), drive=0.01), verdict="none", missed=(0.5, 0.01), proved=False)
    assert status(gone) == "confirmed"
    assert "is 0.01 of what it was" in why(gone)


def test_a_gradient_has_every_example_on_its_side() -> None:
    one_against = replace(reading(0.9), agreement=np.append(np.ones(49), -0.1))
    assert "an example has the agreement -0.1" in why(alike(one_against, verdict="gradient"))
    assert "an example" in why(alike(one_against, verdict="aligned"))
    about = alike(one_against, verdict="aligned", proved=False)  # something is neglected: on the whole it is so
    assert status(about) == "confirmed"
    blind = reading(0.5, 0.5)
    assert "does not see" in why(alike(blind, verdict="gradient"))
    assert "does not see" in why(alike(blind, verdict="descent"))


def test_a_gradient_has_the_h_that_was_derived() -> None:
    elsewhere = replace(reading(0.5), follows=0.4)
    assert "the cosine of its credit with Hδ is 0.4" in why(alike(elsewhere, verdict="gradient", proved=False))
    negative = replace(reading(0.5), response=Response(1.0, -0.5, 1.0))
    assert "sym(H) has eigenvalues from -0.5" in why(alike(negative, verdict="gradient", proved=False))


def test_what_holds_on_average_takes_seeds() -> None:
    mixed = of_seeds([0.5, -0.1, 0.3, -0.2, 0.4], verdict="descent", proved=False)
    assert status(mixed) == "untested"
    assert "undecided" in why(mixed)
    assert status(of_seeds([-0.5, -0.4, -0.6, -0.5, -0.5], verdict="descent", proved=False)) == "contradicted"
    assert status(of_seeds([0.5, 0.4, 0.6, 0.5, -0.01], verdict="descent", proved=False)) == "confirmed"
