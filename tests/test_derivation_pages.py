"""What cannot be shown, states between drive and weight, the meta-objective, and how all of it is told."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from derivation_texts import EXACT, GRADIENT, OPEN, derived, kp, shipped, verdicts

from circuitdsl.derive.prove.findings import Measured, with_measured
from circuitdsl.derive.tell.as_json import as_json
from circuitdsl.derive.tell.derivation import Derivation
from circuitdsl.derive.tell.expects import judge
from circuitdsl.derive.tell.page import page

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
        assert [r.holds for r in found.relations] == (["tied"] if name == "contrastive_hebbian" else [])
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
    for moved in ("g - 0.1 * v", "1.5 * (g^2 - v)", "g^2 - v * v"):
        assert one(f"drive g = {credit}   state v = 0   dv = {moved}   dw = eta * g / (v + 0.1)") == OPEN
    both = f"drive g = {credit}   state u = 0   du = 0.1 * (v - u)   state v = 0   dv = 0.1 * (g^2 + u - v)"
    assert one(f"{both}   dw = eta * g / (v + 0.1)") == ("gradient", "derived")
    assert one(f"{both} - g   dw = eta * g / (v + 0.1)") == OPEN
    for power, wanted in (("t + 1", ("gradient", "derived")), ("-t - 1", OPEN), ("t - 5", OPEN)):
        trace = f"drive g = {credit}   state m = 0   dm = g - 0.1 * m   state t = 0   dt = 1"
        assert one(f"{trace}   dw = eta * m / (1 - 0.9^({power}))") == wanted


def test_decay_within_a_drive() -> None:
    """Decay may stand in the drive: of a plain rule it is decay, behind states the weight is pulled all the same."""

    def rules(body: str, v: str = "") -> Derivation:
        text = kp(v=v)
        for drive in ("post.apical * step(post.basal) * pre", "err * pre", "post * pre"):
            old = f"dw = eta * {drive} - eta * gamma * w"
            assert old in text
            text = text.replace(old, body.replace("DRIVE", drive), 1)
        return derived(text)

    plain = rules("drive g = DRIVE - gamma * w   dw = eta * g")
    assert verdicts(plain) == {"W": GRADIENT, "Wo": EXACT}
    assert plain["W"].implied == derived(kp())["W"].implied
    assert verdicts(rules("drive g = gamma * w - DRIVE   dw = -(eta * g)")) == {"W": GRADIENT, "Wo": EXACT}
    momentum = "state m = 0   dm = DRIVE - gamma * w - 0.1 * m   dw = eta * m"
    assert verdicts(rules(momentum)) == {"W": OPEN, "Wo": ("gradient", "derived")}
    assert verdicts(rules(momentum, v="init = transpose(Wo)"))["W"] == ("gradient", "derived")
    adam = "drive g = DRIVE - gamma * w   state v = 0   dv = g^2 - 0.1 * v   dw = eta * g / (sqrt(v) + 0.1)"
    assert verdicts(rules(adam))["Wo"] == ("gradient", "derived")
    assert verdicts(rules(adam.replace("- gamma * w", "+ gamma * w")))["Wo"] == OPEN
    assert verdicts(rules("drive g = -(gamma * w)   dw = eta * g"))["Wo"] == ("none", "proved")


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

    def momentum(factor: str = "1", leak: str = "0.1", init: str = "0") -> tuple[str | None, str | None]:
        def rule(drive: str, leak: str, init: str) -> str:
            return f"{{ state m = {init}   dm = 0.1 * {drive} - {leak} * m   dw = eta * m - eta * gamma * w }}"

        text = kp().replace("{    dw = eta * err * pre - eta * gamma * w }", rule("err * pre", "0.1", "0"))
        other = rule(f"{factor} * post * pre", leak, init)
        return verdicts(derived(text.replace("{    dw = eta * post * pre - eta * gamma * w }", other)))["W"]

    assert momentum() == momentum(factor="3") == GRADIENT
    assert momentum(factor="(-1)") == ("inconsistent", "proved")
    assert momentum(leak="0.2") == OPEN
    assert momentum(init="0.1") == OPEN


# ---------------------------------------------------------------- the two-signal motif


def test_other_pulls_are_shown() -> None:
    found = derived(kp(hidden="eta * post.apical * step(post.basal) * pre - eta * gamma * sign(w)"))
    assert found["W"].implied == "Δw = η · (V err) ∘ 1[h.basal > 0] ⊗ x − ηγ · sign(w)"
    assert found.meta_objective is None  # that would be the gradient of the sum of |w|


def test_meta_objective() -> None:
    assert derived(kp(slope="")).meta_objective is None  # ungated: its mixed derivatives differ
    assert "1[h.basal > 0] − 1 (the curl" in str(derived(kp(slope="")))
    opposite = derived(kp(feedback="-(eta * post * pre) - eta * gamma * w"))
    assert opposite.meta_objective is None
    assert "the curl" in str(opposite)
    tanh = derived(kp(rate="tanh(basal)", slope=" * (1 - post^2)"))
    assert tanh.meta_objective == "J = E[h · h.apical] − ½γ(|W|² + |V|²)"
    other = derived(kp(feedback="2 * eta * post * pre - eta * gamma * w"))
    assert other.meta_objective == "J = E[h · h.apical] − ½γ|W|² − 0.25γ|V|²"


# ---------------------------------------------------------------- measured verdicts, expectations


def test_measured_verdicts_fill_what_is_open() -> None:
    found = shipped("heterosynaptic/feedback_alignment.circ", gamma=0)  # without a decay nothing is forced at rest
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
    open_ = derived(kp(slope="", output="eta * err * pre", extra="expect W: descent"))
    assert [(j.ok, j.value) for j in judge(open_)] == [(None, "W: open")]
    unrelated = derived(kp(v="connect = sparse(0.5)", extra="expect attractor V ~ transpose(Wo)"))
    assert [j.ok for j in judge(unrelated)] == [False]


# ---------------------------------------------------------------- how it is told


def test_json() -> None:
    found = shipped("heterosynaptic/kolen_pollack.circ")
    shown = json.loads(json.dumps(as_json(found, judge(found))))
    assert list(shown) == [
        "circuit",
        "synapses",
        "attractors",
        "wires",
        "meta_objective",
        "dc",
        "dc_evidence",
        "diagnostics",
        "expects",
    ]
    assert set(shown["synapses"]["W1"]) == {
        "role", "rule", "credit", "gradient", "implied", "phi_sign", "H", "verdict", "evidence", "assumes", "measured",
        "because",
    }  # fmt: skip
    assert shown["synapses"]["V2"]["role"] == "auxiliary"
    assert shown["synapses"]["V2"]["verdict"] is None
    assert shown["synapses"]["W1"]["rule"] == "heterosynaptic"
    assert shown["synapses"]["W2"]["rule"] == "partner"
    assert shown["attractors"][0] == {
        "left": "V2", "right": "transpose(W2)", "factor": 1.0, "rate": pytest.approx(0.0002), "kind": "pair",
        "assumes": ["attracted(V2, W2)"],
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
    assert len(str(found).splitlines()) <= 34
    deep = shipped("heterosynaptic/self_assembly.circ", depth=20)
    assert len(str(deep).splitlines()) < 90
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
    text, page = found._repr_markdown_(), found._repr_html_()
    assert text.count("$") % 2 == 0
    assert r"F^{\top}" in text
    assert all("gradient, derived" in shown for shown in (text, page))
    ElementTree.fromstring(f"<div>{page}</div>")
    assert "<msup><mi>F</mi>" in page
    assert "$" not in page
    assert "<table>" in page
    assert "&gt;" in page
    one = found["L[1].W"]._repr_html_()
    ElementTree.fromstring(f"<div>{one}</div>")
    assert "gradient, derived" in one
    assert "<math" in one


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    from circuitdsl.cli.main import run

    name = "heterosynaptic/kolen_pollack.circ"
    assert run(["derive", name, "--no-measure"]) == 0
    assert "gradient, proved" in capsys.readouterr().out
    assert run(["derive", name, "--no-measure", "--set", "eta=-0.1"]) == 1  # an expected verdict fails
    assert "✗ expect W2: exact" in capsys.readouterr().out
    assert run(["derive", name, "--no-measure", "--format", "latex"]) == 0
    assert capsys.readouterr().out.startswith(r"\documentclass")
    fixed = "heterosynaptic/feedback_alignment.circ"
    assert run(["derive", fixed, "--no-measure", "--json", "--set", "gamma=0"]) == 0
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
