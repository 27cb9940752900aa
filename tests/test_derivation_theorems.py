"""Theorems about rules (theory.md, "How to derive it"): what is claimed of each, and of what is nearly the same."""

from __future__ import annotations

import pytest
from derivation_texts import EXACT, GRADIENT, OPEN, derived, kp, verdicts

from circuitdsl.derive.prove.hypotheses import GentleDecay, Within

# ---------------------------------------------------------------- clipped errors


def huber(at: str, slope: str = "") -> str:
    error = "abs(y - out)"
    return f"mean(where({error} < {at}, 0.5 * square(y - out), {slope or at} * {error} - 0.5 * {at} * {at}))"


@pytest.mark.parametrize(
    ("err", "loss", "wanted"),
    [
        ("clip(y - out, -1, 1)", huber("1"), EXACT),
        ("clip(y - out, -2, 2)", huber("2"), EXACT),
        ("max(min(y - out, 1), -1)", huber("1"), EXACT),
        ("where(abs(y - out) < 1, y - out, sign(y - out))", huber("1"), EXACT),
        ("-clip(out - y, -1, 1)", huber("1"), EXACT),
        ("y - out", huber("1"), None),  # unclipped
        ("clip(y - out, -2, 2)", huber("1"), None),
        ("clip(y - out, -1, 2)", huber("1"), None),
        ("clip(y - out, -1, 1)", huber("1", "2"), None),
        ("clip(y - 2 * out, -1, 1)", huber("1"), None),
        ("sign(y - out)", "mean(abs(y - out))", EXACT),
        ("sign(y - 2 * out)", "mean(abs(y - out))", None),
    ],
)
def test_clipped_errors(err: str, loss: str, wanted: tuple[str | None, str | None] | None) -> None:
    """The clipped error is the gradient of the Huber loss, in every state; with another corner it is not."""
    found = verdicts(derived(kp(out="basal", err=err, loss=loss)))
    if wanted is None:
        assert "exact" not in {v for v, _ in found.values()}
        assert "gradient" not in {v for v, _ in found.values()}
    else:
        assert found["Wo"] == wanted
        assert found["W"] == (GRADIENT if wanted == EXACT else wanted)


# ---------------------------------------------------------------- pulls


def pulled(output: str, feedback: str | None = None, *, gain: str = "1", **changes: str) -> dict[str, str]:
    """Both rules of a Kolen-Pollack pair with another pull than the linear decay."""
    other = output if feedback is None else feedback
    return {"output": f"eta * err * pre - {output}", "feedback": f"{gain} * eta * post * pre - {other}", **changes}


SLOWLY = ("gradient", "derived")
HELD = {"v": "bounds = [-3, 3]", "wo": "bounds = [-3, 3]"}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        (pulled("0.002 * w^3"), SLOWLY),
        (pulled("0.002 * w - 0.002 * w^3"), SLOWLY),
        (pulled("0.002 * w * abs(w)"), SLOWLY),
        (pulled("0.002 * sign(w) * w^2"), SLOWLY),
        (pulled("0.002 * w^3 - 0.001 * w^5"), SLOWLY),
        (pulled("0.002 * w^3", **HELD), GRADIENT),  # within the bounds it is gentle
        (pulled("0.002 * w - 0.5 * tanh(w)"), GRADIENT),  # nowhere steeper than 0.5
        (pulled("0.002 * w - 0.5 * tanh(2 * w)"), GRADIENT),
        (pulled("0.002 * w - 2 * tanh(w)"), OPEN),  # too steep at 0
        (pulled("0.5 * tanh(w)"), OPEN),  # alone it lets go far out
        (pulled("0.5 * tanh(w)", **HELD), GRADIENT),
        (pulled("0.2 * w^3", **HELD), SLOWLY),  # within the bounds it can be too steep
        (pulled("0.002 * w^3", "0.004 * w^3"), OPEN),  # different pulls
        (pulled("0.002 * w^3", "0.002 * w^5"), OPEN),
        (pulled("0.002 * w^3", "0.002 * w"), OPEN),
        (pulled("0.002 * w^3", gain="2"), OPEN),  # p(2 w) is not 2 p(w)
        (pulled("0.008 * w^3", "0.002 * w^3", gain="2"), SLOWLY),
        (pulled("0.004 * w * abs(w)", "0.002 * w * abs(w)", gain="2"), SLOWLY),
        (pulled("0.008 * w^3", "0.002 * w^3", gain="-2"), ("inconsistent", "derived")),
        (pulled("0.002 * w + 0.001 * w^3"), OPEN),  # it pushes
        (pulled("0.002 * w - 0.001 * w^2"), OPEN),  # on one side it pushes
        (pulled("0.002 * w - 0.001 * sign(w)"), OPEN),  # it jumps: a floor is left
        (pulled("0.002 * w - 0.001 * sqrt(abs(w)) * sign(w)"), OPEN),
        (pulled("0.002 * w^3", wo="connect = sparse(0.5)"), OPEN),
        (pulled("0.002 * w^3", wo="bounds = [-1, 1]"), OPEN),
        # Decay by example
        (pulled("0.02 * square(pre) * w", "0.02 * square(post) * w"), SLOWLY),
        (pulled("0.02 * abs(err) * w", "0.02 * abs(pre) * w"), SLOWLY),
        (pulled("0.02 * m * w", extra="modulator m = mean(square(x))"), SLOWLY),
        (pulled("0.001 * w - 0.02 * m * w", extra="modulator m = mean(square(x))"), SLOWLY),
        (pulled("0.02 * m * w", gain="3", extra="modulator m = mean(square(x))"), SLOWLY),
        (pulled("0.02 * m * w", gain="-3", extra="modulator m = mean(square(x))"), ("inconsistent", "derived")),
        (pulled("0.02 * m * w", extra="modulator m = mean(x)"), OPEN),  # of any sign
        (pulled("0.02 * m * w", "0.03 * m * w", extra="modulator m = mean(square(x))"), OPEN),
        (pulled("0.02 * m * w", "0.02 * w", extra="modulator m = mean(square(x))"), OPEN),
        (pulled("0.02 * square(pre) * w"), OPEN),  # the one by h, the other by err
        (pulled("0.02 * square(pre) * w", "0.02 * post * w"), OPEN),
    ],
)  # fmt: skip
def test_pulls(changes: dict[str, str], wanted: tuple[str | None, str | None]) -> None:
    assert verdicts(derived(kp(**changes)))["W"] == wanted


def test_what_a_pull_assumes() -> None:
    """2 gamma + kappa(R) = 2 at the limit R, per update; where V = 2 W^T, W has half the room."""
    (found,) = [r for r in derived(kp(**pulled("0.01 * w - 0.02 * w^3"))).relations if r.kind == "pair"]
    assert found.holds == "attracted"
    limits = {h.synapse: h.limit for h in found.assumes if isinstance(h, Within)}
    assert limits["V"] == limits["Wo"] == pytest.approx((1.98 / 0.06) ** 0.5, rel=2e-3)
    (twice,) = [r for r in derived(kp(**pulled("0.08 * w^3", "0.02 * w^3", gain="2"))).relations if r.kind == "pair"]
    limits = {h.synapse: h.limit for h in twice.assumes if isinstance(h, Within)}
    assert limits["V"] == 2 * limits["Wo"]
    (gentle,) = [r for r in derived(kp(**pulled("0.02 * abs(err) * w", "0.02 * abs(pre) * w"))).relations
                 if r.kind == "pair"]  # fmt: skip
    assert gentle.assumes == (GentleDecay("V"),)


# ---------------------------------------------------------------- positive factors on a whole rule


def factors(output: str, feedback: str, more: str = "", **changes: str) -> str:
    inits = "param k per V = uniform(0.5, 2)   param q per Wo = uniform(0.5, 2)"
    return kp(output=output, feedback=feedback, extra=f"{inits}   {more}", **changes)


PLAIN_W, PLAIN_V = "eta * err * pre - eta * gamma * w", "eta * post * pre - eta * gamma * w"


@pytest.mark.parametrize(
    ("w", "v", "wanted"),
    [
        (f"q * ({PLAIN_W})", f"k * ({PLAIN_V})", SLOWLY),
        (PLAIN_W, f"k * ({PLAIN_V})", SLOWLY),
        (f"q * ({PLAIN_W})", PLAIN_V, SLOWLY),
        (PLAIN_W, "k * (3 * eta * post * pre - 0.5 * eta * gamma * w)", SLOWLY),
        (PLAIN_W, "k * eta * post * pre - k * eta * gamma * w", SLOWLY),
        (PLAIN_W, "k * eta * post * pre - eta * gamma * w", OPEN),  # on the drive only
        (PLAIN_W, "eta * post * pre - k * eta * gamma * w", OPEN),  # on the decay only
        (PLAIN_W, "k * (eta * post * pre)", OPEN),  # no decay, no rest
        (PLAIN_W, f"(k - 1) * ({PLAIN_V})", OPEN),  # of either sign
        (PLAIN_W, f"1000 * k * ({PLAIN_V})", OPEN),  # it overshoots
        (PLAIN_W, f"m * ({PLAIN_V})", OPEN),  # a function of the data moves the rest
        (f"m * ({PLAIN_W})", f"m * ({PLAIN_V})", SLOWLY),  # but shared it is a decay by example
    ],
)
def test_factors_on_a_whole_rule(w: str, v: str, wanted: tuple[str | None, str | None]) -> None:
    assert verdicts(derived(factors(w, v, "modulator m = mean(square(x))")))["W"] == wanted


def test_a_factor_leaves_the_rest_only() -> None:
    """The pair is at rest, with the factor of the decays; what the weights start with does not tie them."""
    found = derived(factors(PLAIN_W, "k * (eta * post * pre - 2 * eta * gamma * w)", v="init = transpose(Wo)"))
    (pair,) = [r for r in found.relations if r.kind == "pair"]
    assert (pair.holds, found.symbols.constants.value(pair.factor)) == ("rest", 0.5)
    assert found["V"].implied == "Δw = k ∘ (η · h ⊗ err − 2ηγ w)"


# ---------------------------------------------------------------- score functions


def drawn(
    *, credit: str = "r * (post.draw - post)", reward: str = "sum(out.draw * y) - 0.5", loss: str = "-sum(out * y)",
    draw: str = "onehot_max(d - log(-log(rand() + 0.000001)))", rate: str = "softmax(d)", extra: str = "",
) -> str:  # fmt: skip
    return f"""
circuit c {{
  input x: 5   target y: 3
  neuron out: 3 {{ dendrite d   let draw = {draw}   rate = {rate} }}
  modulator r = {reward}
  synapse W: x -> out.d {{ dw = 0.1 * pre * {credit} - 0.001 * w }}
  {extra}
  loss = {loss}
}}"""


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, SLOWLY),
        ({"reward": "sum(out.draw * y)", "loss": "1 - 0.5 * sum(y * out)"}, SLOWLY),
        ({"reward": "mean(y * out.draw) - base.b",
          "extra": "modulator base = sum(y) { state b = 0 keep   db = 0.1 * (base - b) }"}, SLOWLY),  # a baseline
        ({"draw": "onehot_max(-log(-log(rand())) + d)"}, SLOWLY),
        ({"credit": "r * (post - post.draw)"}, ("ascent", "derived")),
        ({"reward": "0.5 - sum(out.draw * y)"}, ("ascent", "derived")),
        ({"credit": "r * post.draw"}, OPEN),
        ({"credit": "r * (post.draw - 0.5 * post)"}, OPEN),
        ({"credit": "r * post.draw * (1 - post)"}, OPEN),
        ({"credit": "r * (post.draw - post) * step(post.d)"}, OPEN),
        ({"loss": "cross_entropy(out, y)"}, OPEN),
        ({"loss": "mse(out, y)"}, OPEN),
        ({"loss": "-sum(square(out) * y)"}, OPEN),
        ({"reward": "sum(out.draw * out.draw * y)"}, OPEN),
        ({"reward": "sum(out.draw * y) - sum(out * y)"}, OPEN),  # it depends on d by itself
        ({"draw": "onehot_max(d - log(-log(randn() + 0.000001)))"}, OPEN),  # other noise
        ({"draw": "onehot_max(d - log(rand() + 0.000001))"}, OPEN),
        ({"draw": "onehot_max(2 * d - log(-log(rand())))"}, OPEN),  # a draw of softmax(2 d)
        ({"draw": "onehot_max(d - log(-log(rand() + 0.1)))"}, OPEN),
        ({"rate": "softmax(2 * d)"}, OPEN),
    ],
)  # fmt: skip
def test_score_functions(changes: dict[str, str], wanted: tuple[str | None, str | None]) -> None:
    assert verdicts(derived(drawn(**changes)))["W"] == wanted


def test_what_a_score_function_lacks() -> None:
    """Against another loss, or without the probability subtracted, there is no verdict, and it is not `none`."""
    (plain,) = derived(drawn(credit="r * post.draw"))["W"].because
    assert "it lacks the score function, r · (out.draw − out)" in plain
    (other,) = derived(drawn(loss="cross_entropy(out, y)"))["W"].because
    assert other.endswith(
        "is the gradient of E[r] (a score function), and the loss is not seen to be the negative of E[r]"
    )


# ---------------------------------------------------------------- fixed currents


def test_a_fixed_current_of_zeros_changes_nothing() -> None:
    """`init = zeros` without a rule: the credit is what it is without that synapse. Any other fixed current is a part
    of the credit that the gradient has not."""
    plain = kp()
    for zeros in ("init = zeros", "init = 0", "init = constant(0)"):
        assert verdicts(derived(kp(extra=f"synapse X: bias -> h.apical {{ {zeros} }}"))) == verdicts(derived(plain))
    for other in ("", "init = 0.1", "init = zeros   bounds = [0.1, 1]"):
        found = derived(kp(extra=f"synapse X: bias -> h.apical {{ {other} }}"))["W"]
        assert found.form is None  # balance at rest aside
        assert "(X 1) ∘ 1[h.basal > 0], a fixed current, that the gradient has not" in found.because[0]
    blind = kp(v="init = zeros", feedback="0 * eta * post * pre")  # a rule that is always 0 is no fixed synapse's
    assert verdicts(derived(blind))["W"][0] not in ("exact", "gradient")


def test_factors_that_are_lost_on_the_way_down() -> None:
    """Where the weights are right, the reason names the factor, not the weights."""
    two = """
circuit c {
  param eta = 0.1   param gamma = 0.02
  input x: 5   target y: 3
  neuron h1: 6 { dendrite basal, apical   rate = tanh(basal) }
  neuron h2: 4 { dendrite basal, apical   rate = tanh(basal) }
  neuron d2: 4 { rate = h2.apical }
  neuron out: 3 { dendrite basal   rate = softmax(basal) }
  neuron err: 3 { rate = y - out }
  synapse W1: x -> h1.basal { dw = eta * (post.apical * (1 - post^2) * pre - gamma * w) }
  synapse W2: h1 -> h2.basal { dw = eta * (d2 * pre - gamma * w) }
  synapse W3: h2 -> out.basal { dw = eta * (err * pre - gamma * w) }
  synapse V2: err -> h2.apical { dw = eta * (post * pre - gamma * w) }
  synapse V1: d2 -> h1.apical { dw = eta * (post * pre - gamma * w) }
  loss = cross_entropy(out, y)
}"""
    assert derived(two)["W1"].because == ("not shown: the credit lacks the factor h2′ of the gradient",)
    both = derived(two.replace(" * (1 - post^2)", ""))
    assert both["W1"].because == ("not shown: the credit lacks the factors h1′ and h2′ of the gradient",)
