"""Circuits that were judged wrongly once (tests/misjudged): what is right of each, and under which hypotheses."""

from __future__ import annotations

from pathlib import Path

import pytest

import circuitdsl as cd
from circuitdsl.derive.tell.expects import judge
from circuitdsl.derive.tell.hypotheses import name_of

HERE = Path(__file__).parent / "misjudged"

VERDICTS = [
    ("a02_gain_by_example", "W2", 'aligned', 'proved', ""),
    ("a03_sum_y", "W2", 'exact', 'proved', "one_hot(y)"),
    ("asc_tanh", "W", None, None, ""),
    ("b04_zero_init", "W", 'none', 'proved', ""),
    ("b04_zero_init", "Wo", 'exact', 'proved', ""),
    ("b06_gate_never_lin", "W", 'none', 'derived', "at_rest(V)"),
    ("b06_gate_never_lin", "Wo", 'exact', 'proved', ""),
    ("b11_negV", "W", 'none', 'derived', "at_rest(F) at_rest(V)"),
    ("b11_negV", "Wo", 'exact', 'proved', ""),
    ("b12_zero_V_lr", "W", 'gradient', 'derived', "at_rest(V) at_rest(Wo) attracted(B, F) nontrivial(F) spectral(Wo)"),
    ("b12_zero_V_lr", "Wo", 'exact', 'proved', ""),
    ("blind_via_weights", "W", None, None, ""),
    ("byex_err", "W", None, None, ""),
    ("c02_autoencoder", "W", None, None, ""),
    ("c02_autoencoder", "D", 'exact', 'proved', ""),
    ("c04_cubicdecay", "W1", 'gradient', 'derived', "attracted(V2, W2) one_hot(y) within(V2) within(W2)"),
    ("c04_cubicdecay", "W2", 'exact', 'proved', "one_hot(y)"),
    ("c10_infomax", "W", None, None, ""),
    ("c10_infomax", "L", None, None, ""),
    ("c10_infomax", "R", 'exact', 'proved', "one_hot(y)"),
    ("c18_softmax_mse", "W1", None, None, ""),
    ("c18_softmax_mse", "W2", 'aligned', 'proved', "live(W2)"),
    ("c20_huber", "W1", 'gradient', 'proved',
     "attracted(V2, W2) off_kink(1 + (y − out.basal) "
     "− 2·relu((y − out.basal))) off_kink((y − out.basal))"),
    ("c20_huber", "W2", 'exact', 'proved',
     "off_kink(1 + (y − out.basal) − "
     "2·relu((y − out.basal))) off_kink((y − out.basal))"),
    ("d10_tanh_noderiv", "W1", None, None, ""),
    ("d10_tanh_noderiv", "W2", 'aligned', 'proved', "attracted(V2, W3) one_hot(y)"),
    ("d10_tanh_noderiv", "W3", 'exact', 'proved', "one_hot(y)"),
    ("d22_bias_in_apical", "W1", 'descent', 'derived',
     "at_rest(W1) at_rest(W3) homogeneous(h1) "
     "homogeneous(h2) nontrivial(W3) one_hot(y)"),
    ("d22_bias_in_apical", "W2", 'gradient', 'proved', "attracted(V2, W3) one_hot(y)"),
    ("d22_bias_in_apical", "W3", 'exact', 'proved', "one_hot(y)"),
    ("elu_rule", "W1", 'exact', 'proved', "off_kink(h.basal) one_hot(y)"),
    ("elu_rule", "W2", 'exact', 'proved', "off_kink(h.basal) one_hot(y)"),
    ("f16_broadcast_err", "W1", 'descent', 'proved', "nontrivial(W2)"),
    ("f16_broadcast_err", "W2", 'exact', 'proved', ""),
    ("f24_swish", "W1", 'gradient', 'proved', "attracted(V2, W2) one_hot(y)"),
    ("f24_swish", "W2", 'exact', 'proved', "one_hot(y)"),
    ("gate1", "W", 'aligned', 'proved', "one_hot(y)"),
    ("h03_k_everywhere", "W1", 'gradient', 'derived', "at_rest(V2) at_rest(W2) one_hot(y)"),
    ("h03_k_everywhere", "W2", 'gradient', 'proved', "one_hot(y)"),
    ("h17_sparse_pen", "W1", None, None, ""),
    ("h17_sparse_pen", "W2", 'exact', 'proved', "one_hot(y)"),
    ("i01_coin", "W1", None, None, ""),
    ("kink_one", "W", 'exact', 'proved', "off_kink(out.g)"),
    ("kink_zero_relu", "W", 'exact', 'proved', "off_kink(out.basal)"),
    ("multi_tick_tie", "W1", None, None, ""),
    ("multi_tick_tie", "W2", None, None, ""),
    ("neg_A", "W1", 'none', 'derived', "at_rest(B1) at_rest(W1) unbound(B1) unbound(W1)"),
    ("neg_A", "W2", 'none', 'derived', "at_rest(B2) at_rest(W2) unbound(B2) unbound(W2)"),
    ("neg_A", "Wo", 'exact', 'proved', "one_hot(y)"),
    ("neg_B", "W1", 'none', 'derived', "at_rest(B1) at_rest(W1) unbound(B1) unbound(W1)"),
    ("neg_B", "W2", 'none', 'derived', "at_rest(B2) at_rest(W2) unbound(B2) unbound(W2)"),
    ("neg_B", "Wo", 'exact', 'proved', "one_hot(y)"),
    ("order_f_before_b", "W", 'gradient', 'derived',
     "at_rest(V) at_rest(Wo) attracted(B, "
     "F) nontrivial(F) spectral(Wo)"),
    ("order_f_before_b", "Wo", 'exact', 'proved', ""),
    ("pos_exp", "W", 'gradient', 'derived', "lagging(W) one_hot(y)"),
    ("pos_sigmoid", "W", 'gradient', 'derived', "lagging(W) one_hot(y)"),
    ("pos_softplus", "W", 'gradient', 'derived', "lagging(W) one_hot(y)"),
    ("pos_square", "W", 'gradient', 'derived', "lagging(W) one_hot(y)"),
    ("pow_exp", "W", 'aligned', 'proved', ""),
    ("pow_exp2", "W", None, None, ""),
    ("quad_bounds", "A", 'gradient', 'derived', "at_rest(B) at_rest(O)"),
    ("quad_bounds", "O", 'exact', 'proved', ""),
    ("reward_seen_but_none", "W", None, None, ""),
    ("two_targets", "W", None, None, ""),
    ("weight_mirror_attractor", "W1", 'gradient', 'derived',
     "at_rest(B2) at_rest(B3) "
     "many_draws(h1) many_draws(h2) one_hot(y)"),
    ("weight_mirror_attractor", "W2", 'gradient', 'derived', "at_rest(B3) many_draws(h2) one_hot(y)"),
    ("weight_mirror_attractor", "W3", 'exact', 'proved', "one_hot(y)"),
    ("zero_const", "W", 'aligned', 'proved', "live(W) off_kink(out.basal)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "synapse", "verdict", "evidence", "assumes"), VERDICTS)
def test_verdicts(name: str, synapse: str, verdict: str | None, evidence: str | None, assumes: str) -> None:
    found = cd.load(HERE / f"{name}.circ").derive(measure=False)[synapse]
    assert (found.verdict, found.evidence) == (verdict, evidence)
    assert " ".join(map(name_of, found.assumes)) == assumes


def test_every_circuit_is_judged() -> None:
    assert {name for name, *_ in VERDICTS} == {path.stem for path in HERE.glob("*.circ")}


def test_attractors() -> None:
    for name in ("multi_tick_tie", "weight_mirror_attractor"):
        judged = judge(cd.load(HERE / f"{name}.circ").derive(measure=False))
        assert all(j.ok for j in judged if "attractor" in j.text)


def test_a_penalty_is_named() -> None:
    found = cd.load(HERE / "h17_sparse_pen.circ").derive(measure=False)["W1"]
    assert "`sum(h)`" in found.because[0]


def test_the_missing_factor_is_named() -> None:
    found = cd.load(HERE / "d10_tanh_noderiv.circ").derive(measure=False)["W1"]
    assert "h1′" in found.because[0]


def test_a_gain_that_every_neuron_hears() -> None:
    page = str(cd.load(HERE / "gate1.circ").derive(measure=False))
    assert "the gradient of the loss weighted by surprise" in page


def test_the_spectral_condition_has_its_number() -> None:
    """theory.md: sigma* = sqrt(gamma_V gamma_F) / gamma_Wo, which is 1 with equal decays and 10 with V's 100 times."""
    for name, number in (("order_f_before_b", "1"), ("b12_zero_V_lr", "10")):
        page = str(cd.load(HERE / f"{name}.circ").derive(measure=False))
        assert f"singular values of Wo 0 or {number}" in page
