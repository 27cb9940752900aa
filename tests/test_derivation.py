"""What the derivation claims of Kolen-Pollack circuits, line by line: pairs, slopes, outputs, losses, gains."""

from __future__ import annotations

import pytest
from derivation_texts import EXACT, GRADIENT, OPEN, derived, kp, shipped, verdicts

from circuitdsl.derive.tell.derivation import Derivation
from circuitdsl.derive.tell.expects import judge

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


CUBE = "eta * gamma * w^3"
#: The feedback weights decay to 0, and with them what the rule is told.
FADED = ("none", "derived")


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"feedback": "-(eta * post * pre) - eta * gamma * w"}, ("inconsistent", "proved")),
        ({"output": "-(eta * err * pre) - eta * gamma * w"}, ("ascent", "proved")),
        ({"output": "eta * err * pre", "feedback": "eta * post * pre"}, OPEN),  # nothing decays
        ({"output": "eta * err * pre"}, OPEN),  # only one decays
        ({"output": "eta * err * pre - eta * 0.04 * w"}, ("gradient", "derived")),  # unequal decay: at rest
        ({"feedback": "0 * eta * post * pre - eta * gamma * w"}, FADED),  # it only decays
        ({"feedback": "eta * post * pre - 25 * eta * gamma * w * w * w"}, OPEN),
        ({"feedback": "eta * post * pre + eta * gamma * w"}, OPEN),  # it grows
        ({"hidden": "eta * post.apical * step(post.basal) * pre - eta * gamma * sign(w)"}, GRADIENT),
        ({"hidden": "eta * post.apical * step(post.basal) * pre - eta * gamma * w * abs(w)"}, GRADIENT),
        ({"hidden": "eta * post.apical * step(post.basal) * pre - eta * gamma * w^2"}, OPEN),
        ({"hidden": "eta * post.apical * step(post.basal) * pre + eta * gamma * sign(w)"}, OPEN),
        ({"output": f"eta * err * pre - {CUBE}", "feedback": f"eta * post * pre - {CUBE}"}, ("gradient", "derived")),
        ({"v": "init = transpose(Wo)", "output": f"eta * err * pre - {CUBE}", "feedback": f"eta * post * pre - {CUBE}"},
         EXACT),
        ({"v": "init = 2 * transpose(Wo)", "output": f"eta * err * pre - {CUBE}",
          "feedback": f"2 * eta * post * pre - {CUBE}"}, OPEN),
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
        ({"slope": ""}, ("aligned", "proved")),  # ungated ReLU
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
    assert verdicts(derived(flipped, k=0))["W"] == FADED
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
    assert verdicts(fixed("")) == {"W": OPEN}
    for init in ("init = zeros", "init = 0 * transpose(Wo)"):  # nothing ever drives W
        assert verdicts(fixed(init)) == {"W": ("none", "proved")}
    gain = kp(
        rate="basal", slope="", hidden="eta * post.tuft * pre - eta * gamma * w",
        extra="neuron k: 4 { dendrite d   rate = d }   synapse K: h.apical -> k { }"
        "   synapse T: k -> h.tuft { init = transpose(K) }",
    ).replace("dendrite basal, apical", "dendrite basal, apical, tuft")  # fmt: skip
    found = derived(gain)
    assert (verdicts(found)["W"], found["W"].H) == (GRADIENT, "Kᵀ K")
    assert verdicts(derived(gain.replace("init = transpose(K)", "")))["W"] == OPEN


# ---------------------------------------------------------------- outputs, losses, gains


@pytest.mark.parametrize(
    ("out", "loss", "err", "wanted"),
    [
        ("basal", "mse(out, y)", "y - out", "exact"),
        ("basal", "mse(out, y)", "out - y", "ascent"),
        ("basal", "mse(out, y)", "0.3 * (y - out)", "exact"),
        ("sigmoid(basal)", "mse(out, y)", "y - out", "aligned"),
        ("sigmoid(basal)", "mse(out, y)", "(y - out) * out * (1 - out)", "exact"),
        ("tanh(basal)", "mse(out, y)", "(1 - out^2) * (y - out)", "exact"),
        ("softmax(basal)", "mse(out, y)", "y - out", "aligned"),
        ("softmax(basal)", "cross_entropy(out, y)", "y - out", "exact"),
        ("softmax(2 * basal)", "cross_entropy(out, y)", "y - out", "exact"),
        ("sigmoid(basal)", "cross_entropy(out, y)", "y - out", None),  # of one class only
        ("softmax(basal)", "-sum(y * log(out))", "y - out", "exact"),
        ("softmax(basal)", "-sum((1 - y) * log(out))", "y - out", None),
        ("sigmoid(basal)", "-sum(y * log(out) + (1 - y) * log(1 - out))", "y - out", "exact"),
        ("softmax(basal)", "cross_entropy(out, y) + 0.1 * sum(square(h))", "y - out", "exact"),
    ],
)
def test_outputs(out: str, loss: str, err: str, wanted: str | None) -> None:
    found = derived(kp(out=out, loss=loss, err=err))
    assert found["Wo"].verdict == wanted
    if wanted == "exact":
        assert found["W"].verdict == (None if "square" in loss else "gradient")


def test_the_inverse_of_several_factors() -> None:
    """What H is divided by stands in brackets, if it is more than one letter."""
    soft = derived(kp(rate="log(2 + exp(basal))", slope=""))
    assert soft["W"].H == "(diag(1/(2 + exp(h.basal))) diag(exp(h.basal)))⁻¹"
    whole = derived(kp(out="basal", loss="exp(mse(out, y))"))
    assert whole["Wo"].H == "(d(mse in loss) · I)⁻¹"
    assert derived(kp(rate="tanh(basal)", slope=""))["W"].H == "diag(h′)⁻¹"


def test_cross_entropy_of_one_unit() -> None:
    """Both classes of a sigmoid unit: its slope cancels, and the error is y - out."""
    both = kp(out="sigmoid(basal)", loss="cross_entropy(out, y) + cross_entropy(1 - out, 1 - y)")
    found = derived(both)
    assert verdicts(found) == {"W": GRADIENT, "Wo": EXACT}
    assert found["Wo"].gradient == "err"
    assert verdicts(derived(both.replace("cross_entropy(1 - out", "2 * cross_entropy(1 - out")))["Wo"] == OPEN
    for loss, wanted in (
        ("cross_entropy(out, y) + cross_entropy(1 - out, 1 - y)", EXACT),
        ("-y * log(out) - (1 - y) * log(1 - out)", EXACT),
        ("-y * log(out) - 2 * (1 - y) * log(1 - out)", OPEN),
    ):
        one = kp(out="sigmoid(basal)", loss=loss).replace(": 3", ": 1")
        assert verdicts(derived(one))["Wo"] == wanted


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
    shaped = readout.replace("exp(normal(0, 0.5))", "normal(0, 0.5)").replace("= k * apical", "= exp(k) * apical")
    assert derived(shaped)["W"].H == "diag(exp(k))"
    path = shipped("counterexamples/descending_gain.circ")
    assert verdicts(path) == {"W1": OPEN, "W2": GRADIENT, "W3": EXACT}
    assert "within the path" in path["W1"].because[0]


def test_gains_that_move() -> None:
    """V follows a gain that is kept from example to example: only where that is at rest V is at transpose(Wo) times it.
    A gate of that kind is the same for all examples, and is not dropped."""

    def kept(gain: str, state: str) -> Derivation:
        text = kp(feedback="eta * post.sent * pre - eta * gamma * w")
        gained = f"rate = relu(basal)   state k = {state}   let sent = {gain} * relu(basal) }}"
        return derived(text.replace("rate = relu(basal) }", gained))

    moving = "1 keep   dk = 0.1 * (0.5 - rate)"
    for gain, h in (("exp(k)", "diag(exp(h.k))"), ("step(k)", "diag(1[h.k > 0])")):
        found = kept(gain, moving)
        assert verdicts(found)["W"] == ("gradient", "derived")
        assert h == found["W"].H
        assert [r.holds for r in found.relations if r.kind == "intertwiner"] == ["rest"]
    named = kept("q", f"{moving}   let q = exp(k)")
    assert verdicts(named)["W"] == ("gradient", "derived")
    assert verdicts(kept("step(k)", "1 keep"))["W"] == GRADIENT  # nothing moves it
    assert verdicts(kept("step(k)", "-1 keep"))["W"] == FADED


@pytest.mark.parametrize(
    ("hidden", "extra", "wanted", "h"),
    [
        ("c * eta * post.apical * step(post.basal) * pre", "param c per W = exp(normal(0, 0.5))", GRADIENT, "diag(c)"),
        ("c * eta * post.apical * step(post.basal) * pre", "param c per W = normal(0, 0.5)", OPEN, None),
        ("c * eta * post.apical * step(post.basal) * pre", "param c per W = uniform(0.1, 1)", GRADIENT, "diag(c)"),
        ("c * eta * post.apical * step(post.basal) * pre", "param c per W = uniform(0.1, -1)", OPEN, None),
        ("m * eta * post.apical * step(post.basal) * pre", "modulator m = exp(mean(x))",
         ("aligned", "proved"), "m · I"),
        ("m * eta * post.apical * step(post.basal) * pre", "modulator m = mean(x)", OPEN, None),
        ("eta / fan_in * post.apical * step(post.basal) * pre", "", GRADIENT, "I"),
        ("eta * post.apical * step(post.basal) * pre^3", "", ("aligned", "proved"), None),
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
    assert one("(1 - w^2)", "bounds = [-1, 1]") == GRADIENT
    assert one("(1 - w^2)", "bounds = [-1, 2]") == OPEN
    assert one("w", "bounds = [0, 1]   init = uniform(0, 1)") == GRADIENT
    assert one("w", "sign = excitatory   init = zeros") == ("none", "proved")
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


@pytest.mark.parametrize(
    "gain", ["clip(m, 0, 1)", "relu(relu(m) - 0.5)", "step(relu(m) - 0.3)", "min(max(tick, 0), 0.5)"]
)
def test_a_gain_of_a_modulator_at_synapses_of_different_sizes(gain: str) -> None:
    found = derived(f"""circuit c {{
      input x: 4   target y: 2
      neuron h: 3 {{ dendrite basal, apical   rate = relu(basal) }}
      neuron out: 2 {{ dendrite basal   rate = basal }}
      neuron err: 2 {{ rate = y - out }}
      modulator m = mean(x)
      synapse W: x -> h.basal {{ dw = 0.1 * {gain} * post.apical * step(post.basal) * pre }}
      synapse V: err -> h.apical
      synapse Wo: h -> out {{ dw = 0.1 * {gain} * err * pre }}
      loss = mse(out, y)
    }}""")
    assert found["Wo"].role == "learning"
