"""Slopes of rates and gates of rules, however they are written."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from derivation_texts import GRADIENT, OPEN, derived, kp, verdicts

#: Rates and slopes whose equality takes a theorem about exp, sigmoid or gates.
WRITTEN_OUT = [
    ("1 / (1 + exp(-basal))", ["post * (1 - post)", "sigmoid(post.basal) * (1 - post)",
                               "exp(-post.basal) * square(post)", "post / (1 + exp(post.basal))"]),
    ("exp(basal) / (exp(basal) + 1)", ["post * (1 - post)", "post / (exp(post.basal) + 1)"]),
    ("1 / (2 + 2 * exp(0.5 - 3 * basal))", ["post * (1 - 2 * post)"]),
    ("sigmoid(basal)", ["exp(-post.basal) / square(1 + exp(-post.basal))", "exp(-post.basal) * post * post"]),
    ("log(1 + exp(basal))", ["sigmoid(post.basal)", "exp(post.basal) / (1 + exp(post.basal))"]),
    ("basal * sigmoid(basal)", ["(sigmoid(post.basal) + post * (1 - sigmoid(post.basal)))",
                                "(sigmoid(post.basal) + post.basal * sigmoid(post.basal) * sigmoid(-post.basal))",
                                "(post + sigmoid(post.basal) - post * sigmoid(post.basal))",
                                "sigmoid(post.basal) * (1 + post.basal - post)"]),
    ("basal / (1 + exp(-basal))", ["(sigmoid(post.basal) + post * (1 - sigmoid(post.basal)))"]),
    ("basal * sigmoid(1.7 * basal)", ["(sigmoid(1.7 * post.basal) + 1.7 * post * (1 - sigmoid(1.7 * post.basal)))"]),
    ("basal * tanh(basal)", ["(tanh(post.basal) + post.basal - post * tanh(post.basal))"]),
    ("max(basal, 0) + exp(min(basal, 0)) - 1", ["exp(min(post.basal, 0))", "where(post.basal > 0, 1, exp(post.basal))",
                                                "(step(post.basal) + (1 - step(post.basal)) * exp(post.basal))"]),
    ("where(basal > 0, basal, exp(basal) - 1)", ["exp(min(post.basal, 0))",
                                                 "where(post.basal > 0, 1, exp(post.basal))"]),
    ("where(basal > 0, basal, tanh(basal))", ["(1 - tanh(min(post.basal, 0))^2)"]),
    ("max(basal, 0.5) + exp(min(basal, 0.5) - 0.5)",
     ["exp(min(post.basal - 0.5, 0))", "exp(min(post.basal, 0.5) - 0.5)"]),
    ("2 * tanh(clip(basal, -1, 1))", ["(1 - tanh(post.basal)^2) * (abs(post.basal) < 1)"]),
]  # fmt: skip
#: The same, but for a small change that makes the slope another function.
NEARLY = [
    ("1 / (2 + exp(-basal))", "post * (1 - post)"),
    ("1 / (1 + exp(-basal))", "post * (1 + post)"),
    ("1 / (1 + exp(-2 * basal))", "sigmoid(post.basal) * (1 - post)"),
    ("1 / (1 + exp(-basal))", "exp(post.basal) * post * post"),
    ("basal * sigmoid(basal)", "(sigmoid(post.basal) + post * sigmoid(post.basal))"),
    ("basal * sigmoid(basal)", "(sigmoid(post.basal) + post.basal * (1 - sigmoid(post.basal)))"),
    ("basal * sigmoid(2 * basal)", "(sigmoid(2 * post.basal) + post * (1 - sigmoid(2 * post.basal)))"),
    ("basal * tanh(basal)", "(tanh(post.basal) + post * (1 - tanh(post.basal)))"),
    ("max(basal, 0) + exp(min(basal, 0)) - 1", "exp(post.basal)"),
    ("max(basal, 0) + exp(min(basal, 0)) - 1", "exp(min(post.basal, 0.5))"),
    ("max(basal, 0) + exp(min(basal, 0.5)) - 1", "exp(min(post.basal, 0))"),
    ("max(basal, 0) + exp(min(basal, 0)) - 1", "exp(max(post.basal, 0))"),
    ("where(basal > 0, basal, 0.5 * (exp(basal) - 1))", "where(post.basal > 0, 1, post + 1)"),
    ("where(basal > -1, basal, exp(basal) - 1)", "exp(min(post.basal, 0))"),
]


class _Namespace:
    """`post` of a rule: its rate, and its basal dendrite."""

    def __init__(self, rate: str, z: np.ndarray) -> None:
        self.basal, self.rate = z, _value(rate, basal=z)


FUNCTIONS: dict[str, Any] = {
    "exp": np.exp, "log": np.log, "tanh": np.tanh, "abs": np.abs, "square": np.square, "sign": np.sign,
    "max": np.maximum, "min": np.minimum, "where": np.where, "clip": np.clip, "relu": lambda z: np.maximum(z, 0),
    "step": lambda z: (z > 0) * 1.0, "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "softplus": lambda z: np.logaddexp(0, z),
}  # fmt: skip


def _value(expression: str, **names: Any) -> np.ndarray:
    return np.asarray(eval(expression.replace("^", "**"), {"__builtins__": {}}, {**FUNCTIONS, **names}), dtype=float)


def _is_slope(rate: str, slope: str) -> bool:
    """Whether a slope is a positive multiple of the rate's derivative, by differences."""
    z = np.concatenate([np.linspace(-2.03, -0.17, 40), np.linspace(0.13, 2.11, 40)])
    post = _Namespace(rate, z)
    found = _value(re.sub(r"post(?!\.)", "post.rate", slope), post=post) * np.ones_like(z)
    wanted = (_value(rate, basal=z + 1e-6) - _value(rate, basal=z - 1e-6)) / 2e-6
    scale = (found @ wanted) / (wanted @ wanted)
    return bool(scale > 0 and np.allclose(found, scale * wanted, atol=1e-6))


@pytest.mark.parametrize(("rate", "slopes"), WRITTEN_OUT)
def test_slopes_by_differences(rate: str, slopes: list[str]) -> None:
    """What is called a slope is one, without the derivation."""
    assert all(_is_slope(rate, slope) for slope in slopes)


@pytest.mark.parametrize(("rate", "slope"), NEARLY)
def test_what_is_nearly_the_slope(rate: str, slope: str) -> None:
    assert not _is_slope(rate, slope)
    assert derived(kp(rate=rate, slope=f" * {slope}"))["W"].verdict not in ("exact", "gradient")


@pytest.mark.parametrize(
    ("rate", "slopes"),
    [
        ("relu(basal)", ["step(post.basal)", "(post.basal > 0)", "step(post)", "(0 < post)", "where(post > 0, 1, 0)",
                         "sign(post)", "min(1, step(post.basal))"]),
        ("max(basal, 0)", ["step(post.basal)", "step(post)"]),
        ("basal * step(basal)", ["step(post.basal)", "step(post)"]),
        ("tanh(basal)", ["(1 - post^2)", "(1 - post) * (1 + post)", "(1 - post * post)", "(1 - square(post))",
                         "(1 - tanh(post.basal)^2)"]),
        ("tanh(2 * basal)", ["(1 - post^2)", "(2 - 2 * post^2)"]),
        ("sigmoid(basal)", ["post * (1 - post)", "(post - post^2)", "(1 - post) * post",
                            "sigmoid(post.basal) * (1 - sigmoid(post.basal))", "post * sigmoid(-post.basal)"]),
        ("softplus(basal)", ["sigmoid(post.basal)"]),
        ("exp(basal)", ["post", "exp(post.basal)"]),
        ("basal", ["1", "2"]),
        ("max(basal, 0.1 * basal)", ["where(post.basal > 0, 1, 0.1)", "(0.1 + 0.9 * step(post.basal))",
                                     "(step(post.basal) + 0.1 * (1 - step(post.basal)))",
                                     "(step(post.basal) + 0.1 * step(-post.basal))"]),
        ("where(basal > 0, basal, 0.1 * basal)", ["where(post.basal > 0, 1, 0.1)", "max(0.1, step(post.basal))"]),
        ("relu(basal) - 0.1 * relu(-basal)", ["where(post.basal > 0, 1, 0.1)", "where(post.basal < 0, 0.1, 1)"]),
        ("clip(basal, 0, 1)", ["(post.basal > 0) * (post.basal < 1)", "step(post.basal) * step(1 - post.basal)"]),
        ("abs(basal)", ["sign(post.basal)", "where(post.basal > 0, 1, -1)"]),
        ("basal^2", ["post.basal", "2 * post.basal"]),
        *WRITTEN_OUT,
    ],
)  # fmt: skip
def test_slopes(rate: str, slopes: list[str]) -> None:
    for slope in slopes:
        assert verdicts(derived(kp(rate=rate, slope=f" * {slope}")))["W"] == GRADIENT, slope


def test_the_gate_of_several_dendrites() -> None:
    """relu(q) > 0 is q > 0, however many dendrites q reads."""
    rule = "eta * post.apical * step({0}) * pre - eta * gamma * w"

    def two(rate: str, gate: str) -> set[tuple[str | None, str | None]]:
        more = f"synapse U: x -> h.oblique {{ dw = {rule.format(gate)} }}   synapse R: prev(h) -> h.oblique {{ }}"
        text = kp(rate=rate, hidden=rule.format(gate), extra=more)
        found = verdicts(derived(text.replace("dendrite basal, apical", "dendrite basal, oblique, apical")))
        return {found["W"], found["U"]}

    assert two("relu(basal + 0.5 * oblique)", "post") == {GRADIENT}
    assert two("relu(basal + oblique - 0.1)", "post") == {GRADIENT}
    assert two("relu(basal + oblique - 0.1)", "post.basal + post.oblique - 0.1") == {GRADIENT}
    assert two("relu(basal + oblique - 0.1)", "post - 0.1") == {OPEN}
    assert two("relu(0.1 - basal - oblique)", "post") == {("inconsistent", "proved")}
    assert two("relu(0.1 - basal - oblique)", "0.1 - post.basal - post.oblique") == {("inconsistent", "proved")}
    assert two("relu(basal + oblique)", "post.basal - post.oblique") == {OPEN}


@pytest.mark.parametrize(
    ("rate", "slope", "wanted"),
    [
        ("tanh(basal)", "", "aligned"),
        ("sigmoid(basal)", "", "aligned"),
        ("softplus(basal)", "", "aligned"),
        ("max(basal, 0.1 * basal)", "", "aligned"),
        ("max(basal, 0.1 * basal)", " * step(post.basal)", "aligned"),  # a part of the units only
        ("tanh(basal)", " * (1 - post)", "aligned"),  # positive, as the slope is
        ("tanh(basal)", " * (1 + post.basal)", None),
        ("tanh(basal)", " * post", None),
        ("abs(basal)", "", None),
        ("clip(basal, 0, 1)", "", None),
        ("clip(basal, 0, 1)", " * step(post)", None),
        ("clip(basal, 0, 1)", " * step(post) * step(1 - post)", "gradient"),
        ("clip(basal, -1, 1)", " * (abs(post.basal) < 1)", "gradient"),
        ("clip(basal, -1, 1)", " * (abs(post.basal) < 2)", None),
        ("clip(0.2 * basal + 0.5, 0, 1)", " * (post > 0) * (post < 1)", "gradient"),
        ("min(relu(basal), 6)", " * (post.basal > 0) * (post.basal < 6)", "gradient"),
        ("max(0, 1 - abs(basal))", " * where(post > 0, -sign(post.basal), 0)", "gradient"),
        ("max(basal, 0.1 * basal)", " * where(post > 0, 1, 0.1)", "gradient"),
        ("max(basal, 0.1 * basal)", " * where(post > 0, 0.1, 1)", "aligned"),
        ("relu(basal)", " * (1 - step(post.basal))", None),  # where it does not fire
        ("relu(basal)", " * post", "aligned"),  # more where it fires more
        ("relu(basal)", " * (post.basal >= 0)", "gradient"),  # but for the kink
        ("relu(basal)", " * (post >= 0)", "aligned"),  # always true
    ],
)
def test_other_slopes(rate: str, slope: str, wanted: str | None) -> None:
    assert verdicts(derived(kp(rate=rate, slope=slope)))["W"][0] == wanted


def test_gates_of_a_neuron_that_all_read() -> None:
    """The rate of a single neuron is a part of the function that reads it: relu(g z) opens where g z > 0, not z."""
    more = "neuron g: 1 { dendrite d   rate = tanh(d) }   synapse G: x -> g { }   pair h ~ g"

    def one(rate: str, slope: str) -> tuple[str | None, str | None]:
        return verdicts(derived(kp(rate=rate, slope=f" * {slope}", extra=more)))["W"]

    assert one("relu(g * basal)", "g * step(g * post.basal)") == GRADIENT
    assert one("relu(g * basal)", "g * step(post)") == GRADIENT
    assert one("relu(g * basal)", "g * step(post.basal)") == OPEN
    assert one("relu(g + basal)", "step(post.basal + g)") == GRADIENT
    assert one("relu(g + basal)", "step(post.basal + 1)") == OPEN
    assert one("tanh(g * basal)", "g * (1 - tanh(post.basal)^2)")[0] != "gradient"


def test_a_whole_drive_behind_a_gate() -> None:
    """`where` gates the product of both factors as it gates the credit alone."""
    drive = "where(post.basal > 0, post.apical * pre, 0)"
    assert verdicts(derived(kp(hidden=f"eta * {drive} - eta * gamma * w")))["W"] == GRADIENT
    other = drive.replace("> 0", "> 0.1")
    assert verdicts(derived(kp(hidden=f"eta * {other} - eta * gamma * w")))["W"] == OPEN


def test_a_credit_that_keeps_its_sign() -> None:
    """A credit that is squashed is the gradient times a positive number, another one for each example."""
    for squashed in ("tanh(post.apical)", "clip(post.apical, -1, 1)"):
        found = derived(kp(hidden=f"eta * {squashed} * step(post.basal) * pre - eta * gamma * w"))
        assert verdicts(found)["W"] == ("aligned", "proved")
    for bent in ("relu(post.apical)", "clip(post.apical, 0, 1)", "post.apical^2", "exp(post.apical)"):
        found = derived(kp(hidden=f"eta * {bent} * step(post.basal) * pre - eta * gamma * w"))
        assert verdicts(found)["W"] == OPEN
        assert "lacks" not in found["W"].because[0]  # it has the gate of the gradient
