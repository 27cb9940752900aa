"""Slopes of rates and gates of rules, however they are written."""

from __future__ import annotations

import pytest
from derivation_texts import GRADIENT, OPEN, derived, kp, verdicts


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
        ("tanh(basal)", "", "descent"),
        ("sigmoid(basal)", "", "descent"),
        ("softplus(basal)", "", "descent"),
        ("max(basal, 0.1 * basal)", "", "descent"),
        ("max(basal, 0.1 * basal)", " * step(post.basal)", "descent"),  # a part of the units only
        ("tanh(basal)", " * (1 - post)", "descent"),  # positive, as the slope is
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
        ("max(basal, 0.1 * basal)", " * where(post > 0, 0.1, 1)", "descent"),
        ("relu(basal)", " * (1 - step(post.basal))", None),  # where it does not fire
        ("relu(basal)", " * post", "descent"),  # more where it fires more
        ("relu(basal)", " * (post.basal >= 0)", "gradient"),  # but for the kink
        ("relu(basal)", " * (post >= 0)", None),  # always true
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
        assert verdicts(found)["W"] == ("descent", "derived")
    for bent in ("relu(post.apical)", "clip(post.apical, 0, 1)", "post.apical^2", "exp(post.apical)"):
        found = derived(kp(hidden=f"eta * {bent} * step(post.basal) * pre - eta * gamma * w"))
        assert verdicts(found)["W"] == OPEN
        assert "lacks" not in found["W"].because[0]  # it has the gate of the gradient
