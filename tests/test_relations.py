"""Near misses of relations between weights: what keeps each from holding, taken away by a mutant (mutants.py)."""

from __future__ import annotations

from typing import Any

import pytest
from derivation_texts import LINEAR, OPEN, derived, kp, sal, verdicts

from circuitdsl.derive.tell.as_json import as_json
from circuitdsl.derive.tell.expects import judge

PULL, TWICE = " - eta * gamma * w", " - 2 * eta * gamma * w"


def kinds(text: str, **params: float) -> dict[tuple[str, str], str]:
    """The kind of each relation, by its two sides."""
    found = derived(text, **params)
    shown: list[dict[str, Any]] = as_json(found, judge(found))["attractors"]
    return {(a["left"], a["right"]): a["kind"] for a in shown if a["kind"] != "quadratic"}


PAIR = ("V", "transpose(Wo)")


@pytest.mark.parametrize(("gamma", "kind"), [(19, "pair"), (21, None), (1e6, None)])
def test_a_decay_that_overshoots_brings_nothing_together(gamma: float, kind: str | None) -> None:
    """1 - eta gamma is -0.9, then -1.1: the difference swings ever wider."""
    assert kinds(kp(), gamma=gamma).get(PAIR) == kind


@pytest.mark.parametrize("rule", ["feedback", "output"])
@pytest.mark.parametrize("start", ["init = transpose(Wo)", ""])
def test_a_pull_on_one_of_two_weights_keeps_them_apart(rule: str, start: str) -> None:
    drive = {"feedback": "eta * post * pre", "output": "eta * err * pre"}[rule]
    text = kp(**{rule: f"{drive}{PULL} - eta * gamma * w^3"}, v=start)  # type: ignore[arg-type]
    assert PAIR not in kinds(text)
    assert verdicts(derived(text))["W"] == OPEN


@pytest.mark.parametrize("gain", ["(1 + w^2)", "abs(w)", "exp(-abs(w))"])
def test_gains_of_the_weight_keep_a_difference_that_is_there(gain: str) -> None:
    """Both are driven by what they are: equal weights stay equal, others are not drawn together."""
    rules = {"feedback": f"eta * {gain} * post * pre{PULL}", "output": f"eta * {gain} * err * pre{PULL}"}
    assert PAIR not in kinds(kp(**rules))
    assert kinds(kp(**rules, v="init = transpose(Wo)"))[PAIR] == "tied"


def test_nothing_is_rewritten_by_itself() -> None:
    """V follows V G h beside err: at rest V = c V G transpose(Wo), which says nothing of what V is."""
    text = """
circuit c {
  param eta = 0.1   param gamma = 0.02
  input x: 5   target y: 3
  neuron h: 6 { dendrite basal, apical   rate = basal }
  neuron k: 3 { dendrite p   let q = err   rate = p }
  neuron d: 6 { dendrite basal   rate = basal }
  neuron out: 3 { dendrite basal   rate = basal }
  neuron err: 3 { rate = y - out }
  synapse W: x -> h.basal { dw = eta * post.apical * pre - eta * gamma * w }
  synapse Wo: h -> out.basal { dw = eta * err * pre - eta * gamma * w }
  synapse G: h -> k.p
  synapse V: k -> d.basal { dw = eta * post * pre.q - eta * gamma * w }
  synapse B: d -> h.apical
  loss = mse(out, y)
}"""
    assert [sides for sides in kinds(text) if "V" in sides[0].split() and "V" in sides[1].split()] == []


UP = ("V1 transpose(B2)", "F1 transpose(W2)")


def test_four_synapses_come_together_while_they_learn() -> None:
    assert kinds(sal(2, **LINEAR))[UP] == "intertwiner"


@pytest.mark.parametrize(
    "change",
    [
        {"V": f"eta * post.lateral * pre{TWICE}"},  # V and W
        {"F": f"eta * post * pre{TWICE}"},  # F and B
        {"V": f"eta * post.lateral * pre{TWICE}", "F": f"2 * eta * post * pre{PULL}"},  # V and W, pushes that cancel
        {"F": f"1.05 * eta * post * pre{PULL}"},  # pushes that do not
        {"settings": "bounds = [-0.5, 0.5]"},
        {"settings": "sign = excitatory"},
    ],
)
def test_what_keeps_four_synapses_from_it_but_at_rest(change: dict[str, str]) -> None:
    """Unequal decays, pushes that differ by a twentieth, bounds: while they learn nothing is claimed."""
    sides = [s for s, kind in kinds(sal(2, **{**LINEAR, **change})).items() if kind == "intertwiner"]
    assert UP not in sides
    assert not any("W2" in right for _, right in sides)


@pytest.mark.parametrize(("eta_f", "cancels"), [(0.05, True), (0.0525, False), (0.05005, False)])
def test_pushes_cancel_in_numbers_or_not_at_all(eta_f: float, cancels: bool) -> None:
    """Rates that are params of their own: whether F keeps up with B is a matter of their values."""
    text = sal(2, **{**LINEAR, "F": f"eta_f * post * pre{PULL}"})
    found = kinds(text.replace("param eta = 0.05", "param eta = 0.05   param eta_f = 0.05"), eta_f=eta_f)
    assert (found[UP] == "intertwiner") == cancels


GATES = """
circuit c {{
  param eta = 0.05   param gamma = 0.01
  input x: 5   target y: 3
  neuron a: 6 {{ dendrite basal, apical   rate = {rate} }}
  neuron b: 6 {{ dendrite basal   rate = basal }}
  neuron d: 6 {{ dendrite basal, lateral   rate = basal{sent}   let other = b.basal }}
  neuron out: 3 {{ dendrite basal   rate = basal }}
  neuron err: 3 {{ rate = y - out }}
  synapse N: x -> b.basal
  synapse W: x -> a.basal {{ dw = eta * post.apical{own} * pre - eta * gamma * w }}
  synapse B: d -> a.apical {{ dw = eta * post * pre - eta * gamma * w }}
  synapse V: err -> d.basal {{ dw = eta * post.lateral{taught} * pre - eta * gamma * w }}
  synapse F: a -> d.lateral {{ dw = eta * post * pre - eta * gamma * w }}
  synapse Wo: a -> out.basal {{ dw = eta * err * pre - eta * gamma * w }}
  loss = mse(out, y)
}}"""


OTHER = " * step(b.basal)"


def gates(*, rate: str = "basal", own: str = "", sent: str = "", taught: str = "") -> str:
    return GATES.format(rate=rate, own=own, sent=sent, taught=taught)


def test_a_gate_of_another_neuron_stays() -> None:
    """Own gates may be dropped as a mean-field statement: they open with what they gate. Others may not."""
    rest = ("V", "F transpose(Wo)")
    assert rest in kinds(gates())
    assert rest not in kinds(gates(taught=OTHER))
    assert verdicts(derived(gates(taught=OTHER)))["W"] == OPEN


@pytest.mark.parametrize("sent", ["", OTHER])
def test_a_gate_within_h_is_dropped_only_if_both_sides_begin_with_it(sent: str) -> None:
    """credit = g F^T h F delta: g is the neuron's own, as in the gradient; another's h makes an H for each example."""
    found = derived(gates(rate="relu(basal)", own=" * step(post.basal)", sent=sent))["W"]
    assert (found.verdict == "gradient") == (not sent)
