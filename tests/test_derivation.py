"""What the derivation claims, circuit by circuit: theory.md, sections 3 and 4, line by line."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from circuitdsl.derive.as_json import as_json
from circuitdsl.derive.expects import judge
from circuitdsl.derive.findings import Derivation, Measured, with_measured
from circuitdsl.derive.numeric import instantiate
from circuitdsl.derive.page import page
from circuitdsl.derive.verdict import derive
from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.resolve import load_file, load_text
from circuitdsl.reference import Reference
from circuitdsl.shipped import find_circuit


def derived(text: str, **params: float) -> Derivation:
    circuit = load_text(text, overrides=params or None).circuit
    assert circuit is not None
    return derive(circuit)


def shipped(name: str, **params: float) -> Derivation:
    circuit = load_file(find_circuit(name), overrides=params or None).circuit
    assert circuit is not None
    return derive(circuit)


def verdicts(found: Derivation) -> dict[str, tuple[str | None, str | None]]:
    return {f.synapse: (f.verdict, f.evidence) for f in found.findings.values() if f.role == "learning"}


def kp(
    *, rate: str = "relu(basal)", slope: str = " * step(post.basal)", w: str = "", v: str = "", wo: str = "",
    feedback: str = "eta * post * pre - eta * gamma * w", output: str = "eta * err * pre - eta * gamma * w",
    hidden: str = "", extra: str = "", out: str = "softmax(basal)", loss: str = "cross_entropy(out, y)",
    err: str = "y - out",
) -> str:  # fmt: skip
    """A Kolen-Pollack circuit with one hidden layer, and what is to be different in it."""
    hidden = hidden or f"eta * post.apical{slope} * pre - eta * gamma * w"
    return f"""
circuit c {{
  param eta = 0.1   param gamma = 0.02
  input x: 5   target y: 3
  neuron h: 6 {{ dendrite basal, apical   rate = {rate} }}
  neuron out: 3 {{ dendrite basal   rate = {out} }}
  neuron err: 3 {{ rate = {err} }}
  synapse W: x -> h.basal {{ {w}   dw = {hidden} }}
  synapse Wo: h -> out.basal {{ {wo}   dw = {output} }}
  synapse V: err -> h.apical {{ {v}   dw = {feedback} }}
  {extra}
  loss = {loss}
}}"""


GRADIENT, EXACT, OPEN = ("gradient", "proved"), ("exact", "proved"), (None, None)

# ---------------------------------------------------------------- Kolen-Pollack pairs


def test_kolen_pollack() -> None:
    found = derived(kp())
    assert verdicts(found) == {"W": GRADIENT, "Wo": EXACT}
    assert found["W"].H == "I"
    assert found["W"].phi_sign == 1
    assert found.dc is True
    (relation,) = [r for r in found.relations if r.kind == "pair"]
    assert relation.holds == "exact"
    assert relation.rate is not None
    assert found.symbols.constants.value(relation.rate) == pytest.approx(0.002)
    assert found.meta_objective == "J = E[h · h.apical] − ½γ(|W|² + |V|²)"


@pytest.mark.parametrize("depth", [1, 2, 5, 20])
def test_kolen_pollack_at_every_depth(depth: int) -> None:
    found = shipped("heterosynaptic/kolen_pollack_deep.circ", depth=depth)
    assert {v for n, v in verdicts(found).items() if n != "Wo"} == {GRADIENT}
    assert {found[f"L[{layer}].W"].H for layer in range(1, depth + 1)} == {"I"}
    assert all(j.ok for j in judge(found))
    rates = [found.symbols.constants.value(r.rate) for r in found.relations if r.kind == "pair" and r.rate is not None]
    assert rates == pytest.approx([0.0005] * depth)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"feedback": "-(eta * post * pre) - eta * gamma * w"}, ("inconsistent", "proved")),
        ({"output": "-(eta * err * pre) - eta * gamma * w"}, ("ascent", "proved")),
        ({"output": "eta * err * pre", "feedback": "eta * post * pre"}, OPEN),  # nothing decays
        ({"output": "eta * err * pre"}, OPEN),  # only one decays
        ({"output": "eta * err * pre - eta * 0.04 * w"}, ("gradient", "derived")),  # unequal decay: at rest
        ({"feedback": "0 * eta * post * pre - eta * gamma * w"}, OPEN),  # it only decays
        ({"feedback": "eta * post * pre - 25 * eta * gamma * w * w * w"}, OPEN),
        ({"feedback": "eta * post * pre + eta * gamma * w"}, OPEN),  # it grows
        ({"v": "connect = sparse(0.5)", "wo": "connect = sparse(0.5)"}, OPEN),
        ({"v": "connect = sparse(0.5)"}, OPEN),
        ({"v": "bounds = [-1, 1]"}, OPEN),
        ({"v": "bounds = [-1, 1]", "wo": "bounds = [-2, 2]"}, OPEN),
        ({"v": "bounds = [-1, 1]", "wo": "bounds = [-1, 1]"}, GRADIENT),
        ({"v": "bounds = [-1, 2]", "wo": "bounds = [-1, 2]"}, GRADIENT),
        ({"v": "sign = excitatory"}, OPEN),
        ({"v": "sign = excitatory", "wo": "sign = inhibitory"}, OPEN),
        ({"v": "init = transpose(Wo)"}, EXACT),
        ({"v": "init = transpose(Wo)", "output": "eta * err * pre", "feedback": "eta * post * pre"}, EXACT),
        ({"v": "init = 2 * transpose(Wo)", "output": "eta * err * pre", "feedback": "eta * post * pre"}, OPEN),
        ({"v": "init = 2 * transpose(Wo)", "output": "eta * err * pre", "feedback": "2 * eta * post * pre"}, EXACT),
        ({"v": "init = zeros", "wo": "init = zeros"}, EXACT),
        ({"v": "init = transpose(Wo)   bounds = [-1, 1]"}, OPEN),
        ({"v": "init = transpose(Wo)", "wo": "sign = excitatory"}, OPEN),
        ({"slope": ""}, OPEN),  # ungated ReLU
        ({"slope": " * step(post.apical)"}, OPEN),
        ({"hidden": "-(eta * post.apical * step(post.basal) * pre) - eta * gamma * w"}, ("inconsistent", "proved")),
        ({"hidden": "eta * post.apical * step(post.basal) * pre^2 - eta * gamma * w"}, OPEN),
        ({"hidden": "eta * (post.apical + 0.1) * step(post.basal) * pre - eta * gamma * w"}, OPEN),
        ({"hidden": "eta * post.apical * step(post.basal) * pre + 0.001"}, OPEN),
        ({"extra": "synapse X: x -> h.apical { }"}, OPEN),
        ({"extra": "synapse X: err -> h.apical { }"}, OPEN),
    ],
)  # fmt: skip
def test_what_changes_the_verdict(changes: dict[str, str], wanted: tuple[str | None, str | None]) -> None:
    assert verdicts(derived(kp(**changes)))["W"] == wanted


def test_a_factor_of_the_feedback() -> None:
    """V goes to 3 transpose(Wo): the credit is three times the gradient."""
    found = derived(kp(feedback="3 * eta * post * pre - eta * gamma * w"))
    assert verdicts(found)["W"] == GRADIENT
    assert found["W"].because[-1] == "credit = 3 δ_h"
    assert found.symbols.constants.value(found.relations[0].factor) == 3


def test_clipped_multiples() -> None:
    """V -> 2 transpose(Wo) survives bounds that are twice as wide, and no others."""
    twice = "2 * eta * post * pre - eta * gamma * w"
    wide = derived(kp(feedback=twice, v="bounds = [-2, 2]", wo="bounds = [-1, 1]"))
    same = derived(kp(feedback=twice, v="bounds = [-1, 1]", wo="bounds = [-1, 1]"))
    signs = derived(kp(feedback=twice, v="sign = excitatory", wo="sign = excitatory", err="relu(y - out)"))
    assert verdicts(wide)["W"] == GRADIENT
    assert verdicts(same)["W"] == OPEN
    assert [r.holds for r in signs.relations if r.kind == "pair"] == ["exact"]


def test_unequal_decay() -> None:
    found = derived(kp(output="eta * err * pre - eta * 0.04 * w"))
    (relation,) = [r for r in found.relations if r.kind == "pair"]
    assert (relation.holds, relation.rate) == ("rest", None)
    assert found.symbols.constants.value(relation.factor) == pytest.approx(2)  # c gamma_Wo / gamma_V
    assert found["W"].phi_sign == 1


def test_signs_follow_the_params() -> None:
    assert verdicts(derived(kp(), eta=-0.1)) == {"W": OPEN, "Wo": ("ascent", "proved")}  # decay becomes growth
    flipped = kp(feedback="k * post * pre - eta * gamma * w", extra="param k = 0.1")
    assert verdicts(derived(flipped))["W"] == GRADIENT
    assert verdicts(derived(flipped, k=-0.1))["W"] == ("inconsistent", "proved")
    assert "|k|" in str(derived(flipped, k=-0.1))
    assert verdicts(derived(flipped, k=0))["W"] == OPEN
    assert verdicts(derived(kp(), gamma=0))["W"] == OPEN
    assert verdicts(derived(kp(), eta=0))["Wo"] == ("none", "proved")


def test_consistency() -> None:
    """One flipped feedback gain: the signs multiply along the path, and what is exact stays exact."""
    found = shipped("counterexamples/flipped_feedback.circ")
    assert found.dc is False
    assert verdicts(found) == {"W1": ("inconsistent", "proved"), "W2": ("descent", "derived"), "W3": EXACT}
    ascending = shipped("counterexamples/flipped_output.circ")
    assert {v for v, _ in verdicts(ascending).values()} == {"ascent"}
    assert ascending.dc is True
    fallen = derived(kp(feedback="-(eta * post * pre) - eta * gamma * w", extra="expect W: gradient"))
    assert [j.ok for j in judge(fallen)] == [False]


def test_fixed_weights_made_from_each_other() -> None:
    """Equal from the start and for ever, as the init says; of two drawn apart nothing is known."""

    def fixed(init: str) -> Derivation:
        text = kp(v="HERE", wo="HERE").replace("HERE   dw = eta * err * pre - eta * gamma * w", "")
        return derived(text.replace("HERE   dw = eta * post * pre - eta * gamma * w", init))

    assert verdicts(fixed("init = transpose(Wo)")) == {"W": EXACT}
    assert verdicts(fixed("init = 2 * 0.25 * transpose(Wo)")) == {"W": EXACT}
    assert verdicts(fixed("init = transpose(Wo) / 2")) == {"W": EXACT}
    assert verdicts(fixed("init = -0.5 * transpose(Wo)")) == {"W": ("ascent", "proved")}
    for more in (" + normal(0, 0.1)", "   bounds = [-1, 1]", "   connect = sparse(0.5)", " * normal(0, 1)"):
        assert verdicts(fixed(f"init = transpose(Wo){more}")) == {"W": OPEN}
    for init in ("", "init = zeros", "init = 0 * transpose(Wo)"):
        assert verdicts(fixed(init)) == {"W": OPEN}
    gain = kp(
        rate="basal", slope="", hidden="eta * post.tuft * pre - eta * gamma * w",
        extra="neuron k: 4 { dendrite d   rate = d }   synapse K: h.apical -> k { }"
        "   synapse T: k -> h.tuft { init = transpose(K) }",
    ).replace("dendrite basal, apical", "dendrite basal, apical, tuft")  # fmt: skip
    found = derived(gain)
    assert (verdicts(found)["W"], found["W"].H) == (GRADIENT, "Kᵀ K")
    assert verdicts(derived(gain.replace("init = transpose(K)", "")))["W"] == OPEN


# ---------------------------------------------------------------- slopes, however they are written


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
        ("relu(basal)", " * (1 - step(post.basal))", None),  # where it does not fire
        ("relu(basal)", " * post", "descent"),  # more where it fires more
        ("relu(basal)", " * (post.basal >= 0)", "gradient"),  # but for the kink
        ("relu(basal)", " * (post >= 0)", None),  # always true
    ],
)
def test_other_slopes(rate: str, slope: str, wanted: str | None) -> None:
    assert derived(kp(rate=rate, slope=slope))["W"].verdict == wanted


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


# ---------------------------------------------------------------- outputs, losses, gains


@pytest.mark.parametrize(
    ("out", "loss", "err", "wanted"),
    [
        ("basal", "mse(out, y)", "y - out", "exact"),
        ("basal", "mse(out, y)", "out - y", "ascent"),
        ("basal", "mse(out, y)", "0.3 * (y - out)", "exact"),
        ("sigmoid(basal)", "mse(out, y)", "y - out", "descent"),
        ("sigmoid(basal)", "mse(out, y)", "(y - out) * out * (1 - out)", "exact"),
        ("tanh(basal)", "mse(out, y)", "(1 - out^2) * (y - out)", "exact"),
        ("softmax(basal)", "mse(out, y)", "y - out", None),
        ("softmax(basal)", "cross_entropy(out, y)", "y - out", "exact"),
        ("softmax(2 * basal)", "cross_entropy(out, y)", "y - out", "exact"),
        ("sigmoid(basal)", "cross_entropy(out, y)", "y - out", None),  # of one class only
        ("softmax(basal)", "cross_entropy(out, y) + 0.1 * sum(square(h))", "y - out", "exact"),
    ],
)
def test_outputs(out: str, loss: str, err: str, wanted: str | None) -> None:
    found = derived(kp(out=out, loss=loss, err=err))
    assert found["Wo"].verdict == wanted
    if wanted == "exact":
        assert found["W"].verdict == (None if "square" in loss else "gradient")


def test_cross_entropy_of_one_unit() -> None:
    """Both classes of a sigmoid unit: its slope cancels, and the error is y - out."""
    both = kp(out="sigmoid(basal)", loss="cross_entropy(out, y) + cross_entropy(1 - out, 1 - y)")
    found = derived(both)
    assert verdicts(found) == {"W": GRADIENT, "Wo": EXACT}
    assert found["Wo"].gradient == "err"
    assert verdicts(derived(both.replace("cross_entropy(1 - out", "2 * cross_entropy(1 - out")))["Wo"] == OPEN


def test_the_error_by_its_parts() -> None:
    """Without an error population in the rule the error is y - out all the same."""
    inline = kp(output="eta * (y - post) * pre - eta * gamma * w", extra="pair out ~ y")
    assert verdicts(derived(inline)) == {"W": GRADIENT, "Wo": EXACT}


def test_bias_and_two_heads() -> None:
    text = """
circuit c {
  input x: 5   target y: 3   target z: 4
  neuron h: 6 { dendrite basal, apical   rate = tanh(basal) }
  neuron a: 3 { dendrite basal   rate = softmax(basal) }
  neuron b: 4 { dendrite basal   rate = basal }
  neuron ea: 3 { rate = y - a }
  neuron eb: 4 { rate = z - b }
  rule kp(signal) = 0.1 * signal * pre - 0.01 * w
  synapse W: x -> h.basal { dw = kp(post.apical * (1 - post^2)) }
  synapse bh: bias -> h.basal { dw = kp(post.apical * (1 - post^2)) }
  synapse Wa: h -> a { dw = kp(ea) }
  synapse Wb: h -> b { dw = kp(eb) }
  synapse bb: bias -> b { dw = 0.1 * eb }
  synapse Va: ea -> h.apical { dw = kp(post) }
  synapse Vb: eb -> h.apical { dw = kp(post) }
  loss = cross_entropy(a, y) + mse(b, z)
}"""
    found = verdicts(derived(text))
    assert found["Wa"] == found["Wb"] == found["bb"] == EXACT
    assert found["W"] == found["bh"] == OPEN  # the two errors are in different units of their gradients
    same = verdicts(derived(text.replace("+ mse(b, z)", "+ 0.5 * sum(square(z - b))")))
    assert same["W"] == same["bh"] == GRADIENT


SKIP = """
circuit c {
  input x: 5   target y: 3
  neuron h: 6 { dendrite basal, apical   rate = relu(basal) }
  neuron g: 4 { dendrite basal, apical   rate = relu(basal) }
  neuron d: 4 { rate = g.apical * step(g.basal) }
  neuron out: 3 { dendrite basal   rate = softmax(basal) }
  neuron err: 3 { rate = y - out }
  rule kp(signal) = 0.1 * signal * pre - 0.01 * w
  synapse W: x -> h.basal { dw = kp(post.apical * step(post.basal)) }
  synapse U: h -> g.basal { dw = kp(d) }
  synapse Wo: g -> out { dw = kp(err) }
  synapse S: h -> out { dw = kp(err) }
  synapse Vg: err -> g.apical { dw = kp(post) }
  synapse Vh: d -> h.apical { dw = kp(post) }
  synapse T: err -> h.apical { dw = kp(post) }
  loss = cross_entropy(out, y)
}"""


def test_skip_connections() -> None:
    assert verdicts(derived(SKIP)) == {"W": GRADIENT, "U": GRADIENT, "Wo": EXACT, "S": EXACT}
    without = derived("\n".join(line for line in SKIP.splitlines() if "synapse T" not in line))
    assert verdicts(without)["W"] == OPEN
    assert "nothing brings" in without["W"].because[0]


def test_many_skips() -> None:
    """Twelve layers, each with a skip over the next: hundreds of ways down, and one proof."""
    depth = 12
    lines = []
    for i in range(1, depth + 1):
        below, above = ("x" if i == 1 else f"h{i - 1}"), ("err" if i == depth else f"d{i + 1}")
        lines += [
            f"neuron h{i}: 5 {{ dendrite basal, apical   rate = relu(basal) }}",
            f"neuron d{i}: 5 {{ rate = h{i}.apical * step(h{i}.basal) }}",
            f"synapse W{i}: {below} -> h{i}.basal {{ dw = kp(d{i}) }}",
            f"synapse V{i}: {above} -> h{i}.apical {{ dw = kp(post) }}",
        ]
        if i < depth - 1:
            lines.append(f"synapse S{i}: h{i} -> h{i + 2}.basal {{ dw = kp(d{i + 2}) }}")
            lines.append(f"synapse T{i}: d{i + 2} -> h{i}.apical {{ dw = kp(post) }}")
    body = "\n".join(lines)
    found = derived(f"""
circuit c {{
  input x: 4   target y: 3
  rule kp(signal) = 0.1 * signal * pre - 0.01 * w
  {body}
  neuron out: 3 {{ dendrite basal   rate = softmax(basal) }}
  neuron err: 3 {{ rate = y - out }}
  synapse Wo: h{depth} -> out {{ dw = kp(err) }}
  loss = cross_entropy(out, y)
}}""")
    assert {v for n, v in verdicts(found).items() if n != "Wo"} == {GRADIENT}


def test_gains_in_the_readout_and_in_the_path() -> None:
    """Positive gains of single neurons before the readout are H; within the path they are not."""
    readout = kp(
        hidden="eta * post.credit * pre - eta * gamma * w", extra="param k per h = exp(normal(0, 0.5))"
    ).replace("rate = relu(basal) }", "rate = relu(basal)   let credit = k * apical * step(basal) }")
    found = derived(readout)
    assert verdicts(found)["W"] == GRADIENT
    assert found["W"].H == "diag(k)"
    assert verdicts(derived(readout.replace("exp(normal(0, 0.5))", "normal(0, 0.5)")))["W"] == OPEN
    path = shipped("counterexamples/descending_gain.circ")
    assert verdicts(path) == {"W1": OPEN, "W2": GRADIENT, "W3": EXACT}
    assert "within the path" in path["W1"].because[0]


@pytest.mark.parametrize(
    ("hidden", "extra", "wanted", "h"),
    [
        ("c * eta * post.apical * step(post.basal) * pre", "param c per W = exp(normal(0, 0.5))", GRADIENT, "diag(c)"),
        ("c * eta * post.apical * step(post.basal) * pre", "param c per W = normal(0, 0.5)", OPEN, None),
        ("m * eta * post.apical * step(post.basal) * pre", "modulator m = exp(mean(x))",
         ("descent", "derived"), "m · I"),
        ("m * eta * post.apical * step(post.basal) * pre", "modulator m = mean(x)", OPEN, None),
        ("eta / fan_in * post.apical * step(post.basal) * pre", "", GRADIENT, "I"),
        ("eta * post.apical * step(post.basal) * pre^3", "", ("descent", "derived"), None),
        ("eta * post.apical * step(post.basal) * abs(pre)", "", OPEN, None),
    ],
)  # fmt: skip
def test_factors_of_the_rule(hidden: str, extra: str, wanted: tuple[str | None, str | None], h: str | None) -> None:
    found = derived(kp(hidden=hidden, extra=extra))
    assert verdicts(found)["W"] == wanted
    if h is not None:
        assert h == found["W"].H


def test_factors_of_the_weight() -> None:
    """`1 - w` is positive below 1, `w` above 0: a positive diagonal on vec W, unless it starts at 0."""

    def one(rule: str, settings: str) -> tuple[str | None, str | None]:
        return verdicts(derived(kp(hidden=f"eta * post.apical * step(post.basal) * pre * {rule}", w=settings)))["W"]

    assert one("(1 - w)", "bounds = [-1, 1]") == GRADIENT
    assert one("(1 - w)", "") == OPEN
    assert one("w", "bounds = [0, 1]   init = uniform(0, 1)") == GRADIENT
    assert one("w", "sign = excitatory   init = zeros") == OPEN
    assert one("w^2", "") == GRADIENT


def test_a_modulated_pair() -> None:
    """A broadcast signal of any sign in both rules of a pair does not disturb it; in the learning rule it does."""
    found = derived(kp(
        output="m * eta * err * pre - eta * gamma * w", feedback="m * eta * post * pre - eta * gamma * w",
        extra="modulator m = mean(x)",
    ))  # fmt: skip
    assert [r.holds for r in found.relations if r.kind == "pair"] == ["exact"]
    assert verdicts(found) == {"W": GRADIENT, "Wo": OPEN}
    assert found["Wo"].rule == "three-factor"


# ---------------------------------------------------------------- the four-synapse circuit


def sal(
    depth: int, *, rate: str = "relu(basal)", gate: str = " * step({a}.basal)", settings: str = "", **rules: str
) -> str:
    """The four-synapse circuit; `rules`: what the drives of W, B, V, F are to be instead, or whole rules."""
    pull = " - eta * gamma * w"
    lines = []
    for i in range(1, depth + 1):
        below, above = ("x" if i == 1 else f"a{i - 1}"), ("err" if i == depth else f"d{i + 1}")
        at, own = gate.format(a=f"a{i}"), gate.format(a="post")
        rule = {
            "W": f"eta * post.apical{own} * pre{pull}", "B": f"eta * post * pre{pull}",
            "V": f"eta * post.lateral{at} * pre{pull}", "F": f"eta * post * pre{pull}", **rules,
        }  # fmt: skip
        lines += [
            f"neuron a{i}: 6 {{ dendrite basal, apical   rate = {rate} }}",
            f"neuron d{i}: {6 if at else 5} {{ dendrite basal, lateral   rate = basal{at} }}",
            f"synapse W{i}: {below} -> a{i}.basal {{ {settings}   dw = {rule['W']} }}",
            f"synapse B{i}: d{i} -> a{i}.apical {{ {settings}   dw = {rule['B']} }}",
            f"synapse V{i}: {above} -> d{i}.basal {{ {settings}   dw = {rule['V']} }}",
            f"synapse F{i}: a{i} -> d{i}.lateral {{ {settings}   dw = {rule['F']} }}",
        ]
    body = "\n  ".join(lines)
    return f"""
circuit c {{
  param eta = 0.05   param gamma = 0.01
  input x: 5   target y: 3
  {body}
  neuron out: 3 {{ dendrite basal   rate = softmax(basal) }}
  neuron err: 3 {{ rate = y - out }}
  synapse Wo: a{depth} -> out.basal {{ {settings}   dw = eta * err * pre{pull} }}
  loss = cross_entropy(out, y)
}}"""


LINEAR: dict[str, str] = {"rate": "basal", "gate": ""}


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("settings", ["", "bounds = [-0.5, 0.5]"])
def test_four_synapses_at_every_depth(depth: int, settings: str) -> None:
    found = derived(sal(depth, settings=settings))
    assert {v for n, v in verdicts(found).items() if n != "Wo"} == {("gradient", "derived")}
    assert [found[f"W{i}"].H for i in range(1, depth + 1)] == [f"F{i}ᵀ F{i}" for i in range(1, depth + 1)]
    assert found.dc is True
    assert {r.holds for r in found.relations if r.kind == "pair"} == {"exact"}


def test_linear_four_synapses() -> None:
    """With equal rates and no bounds the intertwiner moves along with what it is made of, at the sum of the decays."""
    found = derived(sal(3, **LINEAR))
    assert {v for n, v in verdicts(found).items() if n != "Wo"} == {("gradient", "derived")}
    kinds = {r.synapses: r.holds for r in found.relations if r.kind == "intertwiner"}
    assert kinds == {("V1", "W2"): "slow", ("V2", "W3"): "slow", ("V3", "Wo"): "rest"}
    value = found.symbols.constants.value
    rates = [value(r.rate) for r in found.relations if r.kind == "intertwiner" and r.rate is not None]
    assert rates == pytest.approx([2 * 0.05 * 0.01] * 2)
    other = derived(sal(3, **LINEAR, V="0.5 * eta * post.lateral * pre - eta * gamma * w"))
    assert {r.holds for r in other.relations if r.kind == "intertwiner"} == {"rest"}
    assert {v for n, v in verdicts(other).items() if n != "Wo"} == {("gradient", "derived")}


def test_two_motifs_that_share_a_neuron() -> None:
    """Quadratic relations: whole for linear neurons, the diagonal behind a shared gate."""
    linear, gated = derived(sal(1, **LINEAR)), derived(sal(1))
    assert {(r.synapses, r.diagonal) for r in linear.relations if r.kind == "quadratic"} == {
        (("W1", "B1"), False), (("V1", "F1"), False),
    }  # fmt: skip
    assert {(r.synapses, r.diagonal) for r in gated.relations if r.kind == "quadratic"} == {
        (("W1", "B1"), True), (("V1", "F1"), True),
    }  # fmt: skip
    rates = {gated.symbols.constants.value(r.rate) for r in gated.relations if r.kind == "quadratic" and r.rate}
    assert list(rates) == pytest.approx([2 * 0.05 * 0.01])


def test_an_ungated_rule_behind_a_gated_path() -> None:
    """Gates are dropped only where credit and gradient begin with the same one: H = FᵀF is not shown without it."""
    for depth in (1, 2):
        found = derived(sal(depth, W="eta * post.apical * pre - eta * gamma * w"))
        assert {v for n, v in verdicts(found).items() if n != "Wo"} == {OPEN}
        assert "lacks the factor 1[a1.basal > 0]" in found["W1"].because[0]
    linear = {**LINEAR, "W": "eta * post.apical * pre - eta * gamma * w"}
    assert verdicts(derived(sal(2, **linear)))["W1"] == ("gradient", "derived")


def test_lateral_weights_that_vanish() -> None:
    """F follows V and V follows F, one of them turned round: both decay to 0, and H with them."""
    turned = "-(eta * post * pre) - eta * gamma * w"
    found = derived(sal(1, B=turned, F=turned))
    assert verdicts(found)["W1"] == OPEN
    assert "both go to 0, and with them H = F1ᵀ F1" in found["W1"].because[0]
    both = derived(sal(1, V="-(eta * post.lateral * step(a1.basal) * pre) - eta * gamma * w", F=turned))
    assert verdicts(both)["W1"] == ("gradient", "derived")


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ({"B": "-(eta * post * pre) - eta * gamma * w"}, "inconsistent"),
        ({"B": "eta * post * pre"}, None),
        ({"B": "eta * post * pre - 2 * eta * gamma * w"}, "gradient"),  # at rest
        ({"V": "eta * pre * post.basal - eta * gamma * w"}, None),
        ({"V": "-(eta * post.lateral * pre) - eta * gamma * w"}, "inconsistent"),
        ({"F": "eta * post.lateral * pre - eta * gamma * w"}, None),
    ],
)
def test_four_synapses_with_another_rule(rule: dict[str, str], wanted: str | None) -> None:
    assert derived(sal(1, **rule))["W1"].verdict == wanted


def test_relations_in_small_steps() -> None:
    """What is said to hold to first order in the step misses by its square: by a quarter for half of it."""
    for text in (sal(2, **LINEAR), sal(2), kp(rate="basal", slope=""), kp()):
        misses = []
        for eta in (0.02, 0.01):
            found = derived(text, eta=eta)
            slow = [r for r in found.relations if r.holds == "slow"]
            assert slow
            misses.append([miss(found, r) for r in slow])
        for coarse, fine in zip(*misses, strict=True):
            assert fine < 0.3 * coarse


def miss(found: Derivation, relation: Any) -> float:
    """How far `left - factor right` is from shrinking by its rate in one update."""
    circuit, constants = found.circuit, found.symbols.constants
    numbers = numbers_of(circuit, {})
    state = initial_state(circuit, numbers, 1, dtype="float64")
    rng = np.random.default_rng(0)
    data = {"x": rng.standard_normal((9, 5)), "y": np.eye(3)[rng.integers(0, 3, 9)]}
    after = state.copy()
    Reference(circuit, [], "float64").train(after, data, np.arange(9), numbers, seed=0, epoch=0, batch=9)

    def difference(weights: dict[str, Any]) -> Any:
        left, right = instantiate(relation.left, weights), instantiate(relation.right, weights)
        whole = left - constants.value(relation.factor) * right
        return np.diag(whole) if relation.diagonal else whole

    start, end = difference(state.weights), difference(after.weights)
    return float(np.abs(end - (1 - constants.value(relation.rate)) * start).max())


# ---------------------------------------------------------------- what cannot be shown, and what sees no error


@pytest.mark.parametrize("name", ["feedback_alignment", "direct_feedback_alignment"])
def test_fixed_feedback_is_not_proved(name: str) -> None:
    found = shipped(f"heterosynaptic/{name}.circ")
    assert verdicts(found) == {"W1": OPEN, "W2": OPEN, "W3": EXACT}
    assert "nothing pulls" in found["W2"].because[0]
    assert "which is fixed" in found["W2"].because[0]
    assert found.dc is None


@pytest.mark.parametrize(
    ("name", "synapses"),
    [("hebb", ["W"]), ("oja", ["W"]), ("bcm", ["W"]), ("anti_hebb", ["W", "L"])],
)
def test_what_the_error_does_not_reach(name: str, synapses: list[str]) -> None:
    found = shipped(f"classic/{name}.circ")
    for synapse in synapses:
        assert verdicts(found)[synapse] == ("none", "proved")
        assert "cannot see the error" in found[synapse].because[0]
        assert found[synapse].phi_sign == 0


def test_reconstruction() -> None:
    """Where the loss compares with the input, what reads the input may see the error."""
    text = """
circuit c {
  param eta = 0.1
  input x: 5   target y: 3
  neuron h: 6 { dendrite basal, apical   rate = tanh(basal) }
  neuron again: 5 { dendrite basal   rate = basal }
  neuron err: 5 { rate = x - again }
  synapse W: x -> h.basal { dw = eta * HIDDEN * pre - 0.01 * w }
  synapse U: h -> again.basal { dw = eta * err * pre - 0.01 * w }
  synapse V: err -> h.apical { dw = eta * post * pre - 0.01 * w }
  neuron out: 3 { dendrite basal   rate = softmax(basal) }
  neuron miss: 3 { rate = y - out }
  synapse Wo: h -> out { dw = eta * miss * pre }
  loss = mse(again, x)
}"""
    found = derived(text.replace("HIDDEN", "post.apical * (1 - post^2)"))
    assert {verdicts(found)[n] for n in ("W", "U")} == {("gradient", "proved"), EXACT}
    assert found["Wo"].role == "auxiliary"
    hebb = derived(text.replace("HIDDEN", "post"))
    assert verdicts(hebb)["W"] == OPEN


def test_noise_and_ticks_are_measured() -> None:
    noisy = derived(kp(err="y - out + 0.1 * randn()"))
    assert verdicts(noisy) == {"W": OPEN, "Wo": OPEN}
    assert "noise" in noisy["W"].because[0]
    assert [r.holds for r in noisy.relations if r.kind == "pair"] == ["exact"]
    for name in ("contrastive_hebbian", "node_perturbation"):
        found = shipped(f"classic/{name}.circ")
        assert {v for v, _ in verdicts(found).values()} == {None}
        assert found.relations == ()
    dropped = derived(kp(rate="where(train, tanh(basal), relu(basal))"))
    assert verdicts(dropped)["W"] == OPEN
    assert "training" in dropped["W"].because[0]
    assert verdicts(derived(kp(err="train * (y - out)"))) == {"W": GRADIENT, "Wo": EXACT}


@pytest.mark.parametrize("schedule", ["phase see: 1", "dt = 0.1   phase see: 1", "phase see: n   update = example"])
def test_a_phase_of_one_tick_decides_nothing(schedule: str) -> None:
    text = kp(
        hidden="see * eta * (post.apical * step(post.basal) * pre - gamma * w)", rate="relu(see * basal)",
        feedback="first(see) * eta * post * pre - eta * gamma * (1 + tick) * w", extra=f"schedule {{ {schedule} }}",
    )  # fmt: skip
    for loss in ("cross_entropy(out, y)", "cross_entropy(out, y) at see", "cross_entropy(out, y) over see"):
        found = derived(text.replace("cross_entropy(out, y)", loss).replace("param eta", "param n = 1   param eta"))
        assert verdicts(found) == {"W": GRADIENT, "Wo": EXACT}
        assert [r.holds for r in found.relations if r.kind == "pair"] == ["exact"]
    assert "read" not in (found["Wo"].gradient or "")
    several = derived(text.replace("see: 1", "see: 2").replace("see: n", "see: 2"))
    assert set(verdicts(several).values()) == {OPEN}


# ---------------------------------------------------------------- states between drive and weight


@pytest.mark.parametrize(
    ("name", "h"),
    [("momentum", "low-pass"), ("rmsprop", "diag(vec W)"), ("adam", "diag(vec W) · low-pass"),
     ("weight_decay", "diag(vec W) · low-pass")],
)  # fmt: skip
def test_optimizers(name: str, h: str) -> None:
    found = shipped(f"optimizers/{name}.circ")
    assert set(verdicts(found).values()) == {("gradient", "derived")}
    assert {found["W1"].H, found["W2"].H} == {h}
    assert all(j.ok for j in judge(found))


def test_states() -> None:
    """A trace of signals that the rule keeps itself; one that only grows, starts elsewhere, or is reset."""

    def one(body: str) -> tuple[str | None, str | None]:
        text = kp().replace("{    dw = eta * post.apical * step(post.basal) * pre - eta * gamma * w }", f"{{ {body} }}")
        assert body in text
        return verdicts(derived(text))["W"]

    credit = "post.apical * step(post.basal) * pre"
    assert one(f"state m = 0   dm = {credit} - 0.1 * m   dw = eta * m") == ("gradient", "derived")
    assert one(f"state m = 0   dm = {credit} - 0.1 * m   dw = -eta * m") == ("inconsistent", "derived")
    assert one(f"state m = 0   dm = -{credit} - 0.1 * m   dw = -eta * m") == ("gradient", "derived")
    assert one(f"state m = 0   dm = {credit}   dw = eta * m") == OPEN
    assert one(f"state m = 0   dm = {credit} - 3 * m   dw = eta * m") == OPEN
    assert one(f"state m = 0 fresh   dm = {credit} - 0.1 * m   dw = eta * m") == OPEN
    assert one(f"drive g = {credit}   dw = eta * g") == GRADIENT
    assert one(f"drive g = {credit}   dw = -(eta * g)") == ("inconsistent", "proved")
    assert one(f"drive g = {credit}   state v = 0   dv = g^2 - 0.1 * v   dw = eta * g / (sqrt(v) + 0.1)") == (
        "gradient", "derived",
    )  # fmt: skip
    assert one(f"drive g = {credit}   state v = 0   dv = g^2 - 0.1 * v   dw = -eta * g / (sqrt(v) + 0.1)") == (
        "inconsistent", "derived",
    )  # fmt: skip
    assert one(f"drive g = {credit}   state v = 0   dv = g - 0.1 * v   dw = eta * g / (v + 0.1)") == OPEN


def test_lockstep() -> None:
    """States move alike only if they start and are driven alike; a factor survives linear ones only."""

    def adam(extra: str = "", init: str = "0", factor: str = "1") -> Derivation:
        rule = "dv = g^2 - 0.1 * v   dw = eta * g / (sqrt(v) + 0.1) - eta * gamma * w"
        wo = f"drive g = err * pre   state v = {init}   {rule}"
        v = f"drive g = {factor} * post * pre   state v = {init}   {rule}{extra}"
        text = kp()
        text = text.replace("{    dw = eta * err * pre - eta * gamma * w }", f"{{ {wo} }}")
        return derived(text.replace("{    dw = eta * post * pre - eta * gamma * w }", f"{{ {v} }}"))

    assert verdicts(adam())["W"] == GRADIENT
    assert verdicts(adam(extra=" - 0.001 * w"))["W"] == OPEN
    assert verdicts(adam(init="normal(1, 0.1)"))["W"] == OPEN
    assert verdicts(adam(factor="2"))["W"] == OPEN


# ---------------------------------------------------------------- the two-signal motif


def test_meta_objective() -> None:
    assert derived(kp(slope="")).meta_objective is None  # ungated: its mixed derivatives differ
    assert "1 − 1[h.basal > 0] (the curl" in str(derived(kp(slope="")))
    opposite = derived(kp(feedback="-(eta * post * pre) - eta * gamma * w"))
    assert opposite.meta_objective is None
    assert "the curl" in str(opposite)
    tanh = derived(kp(rate="tanh(basal)", slope=" * (1 - post^2)"))
    assert tanh.meta_objective == "J = E[h · h.apical] − ½γ(|W|² + |V|²)"
    other = derived(kp(feedback="2 * eta * post * pre - eta * gamma * w"))
    assert other.meta_objective == "J = E[h · h.apical] − ½γ|W|² − 0.25γ|V|²"


# ---------------------------------------------------------------- measured verdicts, expectations


def test_measured_verdicts_fill_what_is_open() -> None:
    found = shipped("heterosynaptic/feedback_alignment.circ")
    one = Measured(verdict="descent", phi_sign=1, because="descent, cos 0.83 [0.80, 0.85], control 0.00")
    filled = with_measured(found, {"W1": one, "W2": one, "W3": one})
    assert verdicts(filled) == {"W1": ("descent", "measured"), "W2": ("descent", "measured"), "W3": EXACT}
    assert filled.dc is True
    assert "control 0.00" in filled["W1"].because[-1]
    assert all(j.ok for j in judge(filled))
    up = Measured(verdict="ascent", phi_sign=-1, because="ascent")
    mixed = with_measured(found, {"W1": one, "W2": up})
    assert verdicts(mixed)["W2"] == ("inconsistent", "measured")
    assert mixed.dc is False


def test_expectations() -> None:
    text = kp(extra="""expect W: gradient   expect W: descent   expect W: exact   expect Wo: gradient
  expect attractor V ~ transpose(Wo)   expect attractor Wo ~ transpose(V)   expect attractor V ~ 2 * transpose(Wo)
  expect attractor V ~ transpose(W2)""", hidden="eta * post.apical * step(post.basal) * pre").replace(
        "synapse Wo", "synapse W2: x -> out.basal { }   synapse Wo"
    ).replace("expect attractor V ~ transpose(W2)", "")  # fmt: skip
    assert [j.ok for j in judge(derived(text))] == [True, True, False, True, True, True, False]
    open_ = derived(kp(slope="", extra="expect W: descent"))
    assert [(j.ok, j.value) for j in judge(open_)] == [(None, "W: open")]
    unrelated = derived(kp(v="connect = sparse(0.5)", extra="expect attractor V ~ transpose(Wo)"))
    assert [j.ok for j in judge(unrelated)] == [False]


# ---------------------------------------------------------------- how it is told


def test_json() -> None:
    found = shipped("heterosynaptic/kolen_pollack.circ")
    shown = json.loads(json.dumps(as_json(found, judge(found))))
    assert list(shown) == ["circuit", "synapses", "attractors", "wires", "meta_objective", "dc", "expects"]
    assert set(shown["synapses"]["W1"]) == {
        "role", "rule", "credit", "gradient", "implied", "phi_sign", "H", "verdict", "evidence", "because",
    }  # fmt: skip
    assert shown["synapses"]["V2"]["role"] == "auxiliary"
    assert shown["synapses"]["V2"]["verdict"] is None
    assert shown["synapses"]["W1"]["rule"] == "heterosynaptic"
    assert shown["synapses"]["W2"]["rule"] == "partner"
    assert shown["attractors"][0] == {
        "left": "V2", "right": "transpose(W2)", "factor": 1.0, "rate": pytest.approx(0.0002), "kind": "pair",
    }  # fmt: skip
    assert shown["expects"][0] == {"text": "expect W1: gradient", "ok": True, "value": "W1: gradient", "line": 47}


@pytest.mark.parametrize("width", [60, 80, 100])
def test_pages_keep_their_width(width: int) -> None:
    for name in ("heterosynaptic/self_assembly.circ", "counterexamples/descending_gain.circ", "optimizers/adam.circ"):
        found = shipped(name)
        shown = page(found, judge(found), width=width)
        assert max(map(len, shown.splitlines())) <= width
        assert "− −" not in shown
        assert "\x1b" not in shown
    assert "\x1b[32m" in page(found, judge(found), color=True)


def test_a_small_page_is_one_screen() -> None:
    found = shipped("heterosynaptic/kolen_pollack.circ")
    assert len(str(found).splitlines()) <= 30
    deep = shipped("heterosynaptic/self_assembly.circ", depth=20)
    assert len(str(deep).splitlines()) < 80
    assert "for l = 2..19" in str(deep)


def test_a_circuit_without_loss() -> None:
    text = kp().replace("loss = cross_entropy(out, y)", "")
    found = derived(text)
    assert {f.role for f in found.findings.values()} == {"auxiliary"}
    assert {f.verdict for f in found.findings.values()} == {None}
    assert found.dc is None
    assert [r.holds for r in found.relations if r.kind == "pair"] == ["exact"]


def test_notebooks() -> None:
    found = shipped("heterosynaptic/self_assembly.circ")
    for shown in (found._repr_html_(), found._repr_markdown_()):
        assert shown.count("$") % 2 == 0
        assert r"F^{\top}" in shown
        assert "gradient, derived" in shown
    assert "<table>" in found._repr_html_()
    assert "&gt;" in found._repr_html_()


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    from circuitdsl.cli.main import run

    name = "heterosynaptic/kolen_pollack.circ"
    assert run(["derive", name, "--no-measure"]) == 0
    assert "gradient, proved" in capsys.readouterr().out
    assert run(["derive", name, "--no-measure", "--set", "eta=-0.1"]) == 1  # an expected verdict fails
    assert "✗ expect W2: exact" in capsys.readouterr().out
    assert run(["derive", name, "--no-measure", "--format", "latex"]) == 0
    assert capsys.readouterr().out.startswith(r"\documentclass")
    assert run(["derive", "heterosynaptic/feedback_alignment.circ", "--no-measure", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["synapses"]["W1"]["verdict"] is None
    assert [e["ok"] for e in shown["expects"]] == [None, True]
    assert run(["derive", name, "--set", "nothing=1"]) == 2
    assert run(["derive", "no_such.circ"]) == 2


def test_the_api() -> None:
    import circuitdsl as cd

    circuit = cd.load("heterosynaptic/kolen_pollack_deep.circ")
    assert circuit.derive(measure=False)["L[5].W"].verdict == "gradient"
    deeper = circuit.derive(params={"depth": 7, "eta": 0.01}, measure=False)
    assert deeper["L[7].W"].verdict == "gradient"
    (rate, *_) = [r.rate for r in deeper.relations if r.kind == "pair"]
    assert rate is not None
    assert deeper.symbols.constants.value(rate) == pytest.approx(0.01 * 0.01)
