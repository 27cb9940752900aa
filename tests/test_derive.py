"""What is derived of the library, and of circuits that must not pass (theory.md, sections 3 and 4)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from circuitdsl.cli.main import run as command_line
from circuitdsl.derive.expects import judge, satisfies
from circuitdsl.derive.findings import Derivation
from circuitdsl.derive.latex import latex_page
from circuitdsl.derive.page import page
from circuitdsl.derive.verdict import derive
from circuitdsl.graph.resolve import load_file, load_text

LIBRARY = Path(__file__).resolve().parents[1] / "circuits"
CIRCUITS = sorted(p for p in LIBRARY.rglob("*.circ") if load_file(p).circuit is not None)

NETWORK = """
import "rules/heterosynaptic.circ"
circuit network {{
  param eta = 0.1
  param gamma = 0.002
  input x: 12
  target y: 5
  neuron h: 9 {{ dendrite basal, apical   rate = {rate} }}
  neuron out: 5 {{ dendrite basal   rate = softmax(basal) }}
  neuron err: 5 {{ rate = y - out }}
  synapse W1: x -> h.basal {{ dw = hetero({credit}, eta, gamma) }}
  synapse W2: h -> out.basal {{ {w2} dw = eta * err * pre - eta * gamma * w }}
  synapse V2: err -> h.apical {{ {v2} }}
  loss = cross_entropy(out, y)
}}
"""
LEARNT = "dw = hetero(post, eta, gamma)"


def network(
    rate: str = "relu(basal)", credit: str = "post.apical * step(post.basal)", w2: str = "", v2: str = LEARNT
) -> Derivation:
    circuit = load_text(NETWORK.format(rate=rate, credit=credit, w2=w2, v2=v2)).circuit
    assert circuit is not None
    return derive(circuit)


def derived(path: str, **params: float) -> Derivation:
    circuit = load_file(LIBRARY / path, overrides=params).circuit
    assert circuit is not None
    return derive(circuit)


@pytest.mark.parametrize("path", CIRCUITS, ids=lambda p: p.stem)
def test_nothing_that_is_derived_breaks_an_expectation(path: Path) -> None:
    derivation = derived(str(path.relative_to(LIBRARY)))
    judgements = judge(derivation)
    assert [j.text for j in judgements if j.ok is False] == []
    assert page(derivation, judgements)


@pytest.mark.parametrize(
    ("path", "synapse", "verdict", "evidence"),
    [
        ("classic/delta_rule.circ", "W", "exact", "proved"),
        ("heterosynaptic/tied_feedback.circ", "W1", "exact", "proved"),
        ("heterosynaptic/kolen_pollack.circ", "W1", "gradient", "proved"),
        ("heterosynaptic/self_assembly.circ", "L[1].W", "gradient", "derived"),
        ("heterosynaptic/feedback_alignment.circ", "W1", None, None),
        ("heterosynaptic/direct_feedback_alignment.circ", "W1", None, None),
        ("classic/hebb.circ", "W", "none", "proved"),
        ("classic/oja.circ", "W", "none", "proved"),
        ("classic/bcm.circ", "W", "none", "proved"),
        ("classic/anti_hebb.circ", "W", "none", "proved"),
        ("optimizers/momentum.circ", "W1", "gradient", "derived"),
        ("optimizers/rmsprop.circ", "W1", "gradient", "derived"),
        ("optimizers/adam.circ", "W1", "gradient", "derived"),
        ("counterexamples/flipped_output.circ", "W1", "ascent", "proved"),
        ("counterexamples/flipped_feedback.circ", "W1", "inconsistent", "proved"),
        ("counterexamples/descending_gain.circ", "W2", "gradient", "proved"),
        ("counterexamples/descending_gain.circ", "W1", None, None),
        ("counterexamples/tanh_without_derivative.circ", "W1", "descent", "derived"),
        ("counterexamples/ungated_relu.circ", "W1", None, None),
    ],
)
def test_verdicts(path: str, synapse: str, verdict: str | None, evidence: str | None) -> None:
    found = derived(path)[synapse]
    assert (found.verdict, found.evidence) == (verdict, evidence)


def test_five_layers_of_kolen_pollack_are_proved_with_the_identity() -> None:
    derivation = derived("heterosynaptic/kolen_pollack_deep.circ")
    learning = [f for f in derivation.findings.values() if f.role == "learning"]
    assert len(learning) >= 6
    assert {f.H for f in learning} == {"I"}
    assert {f.evidence for f in learning} == {"proved"}
    assert derivation.dc is True


@pytest.mark.parametrize("depth", [2, 3, 5, 20])
def test_self_assembly_at_every_depth(depth: int) -> None:
    derivation = derived("heterosynaptic/self_assembly.circ", depth=depth)
    for layer in range(1, depth + 1):
        found = derivation[f"L[{layer}].W"]
        assert found.verdict == "gradient", found.because
        assert found.H is not None
        assert f"L[{layer}].F" in found.H


def test_one_flipped_gain_is_inconsistent() -> None:
    derivation = derived("counterexamples/flipped_feedback.circ")
    assert derivation.dc is False
    assert derivation["W2"].verdict == "descent"
    assert derivation["W3"].verdict == "exact"


@pytest.mark.parametrize(
    ("rate", "credit"),
    [
        ("tanh(basal)", "post.apical * (1 - post^2)"),
        ("tanh(basal)", "post.apical * (1 - square(post))"),
        ("sigmoid(basal)", "post.apical * post * (1 - post)"),
        ("softplus(basal)", "post.apical * sigmoid(post.basal)"),
        ("basal", "post.apical"),
    ],
)
def test_slopes_are_recognised(rate: str, credit: str) -> None:
    assert network(rate, credit)["W1"].verdict == "gradient"


@pytest.mark.parametrize(
    ("w2", "v2"),
    [
        ("", ""),  # fixed feedback
        ("", "dw = eta * post * pre"),  # nothing makes the difference shrink
        ("", "connect = sparse(0.5)  dw = hetero(post, eta, gamma)"),  # another mask
        ("", "sign = excitatory  dw = hetero(post, eta, gamma)"),
        ("", "bounds = [-0.1, 0.1]  dw = hetero(post, eta, gamma)"),
        ("", "dw = hetero(post.basal, eta, gamma)"),  # another presynaptic factor than W2 sees
    ],
)
def test_what_nothing_pulls_is_not_proved(w2: str, v2: str) -> None:
    assert network(w2=w2, v2=v2)["W1"].verdict is None


def test_unequal_decay_holds_at_rest_only() -> None:
    found = network(v2="dw = eta * post * pre - 2 * eta * gamma * w")["W1"]
    assert (found.verdict, found.evidence) == ("gradient", "derived")


@pytest.mark.parametrize(
    ("verdict", "wanted", "ok"),
    [("exact", "descent", True), ("descent", "gradient", False), ("none", "none", True), ("ascent", "descent", False)],
)
def test_stronger_satisfies_weaker(verdict: str, wanted: str, ok: bool) -> None:
    assert satisfies(verdict, wanted) is ok


@pytest.mark.parametrize("path", CIRCUITS, ids=lambda p: p.stem)
def test_latex_is_balanced(path: Path) -> None:
    derivation = derived(str(path.relative_to(LIBRARY)))
    text = latex_page(derivation, judge(derivation))
    assert text.startswith(r"\documentclass")
    assert text.isascii(), {c for c in text if not c.isascii()}
    plain = text.replace(r"\$", "").replace(r"\{", "").replace(r"\}", "")
    assert plain.count("{") == plain.count("}")
    assert text.count(r"\begin{") == text.count(r"\end{")
    assert text.count(r"\left") == text.count(r"\right") + text.count(r"\leftarrow")


def test_json_and_exit_code(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert command_line(["derive", "heterosynaptic/kolen_pollack.circ", "--no-measure", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"circuit", "synapses", "attractors", "wires", "meta_objective", "dc", "expects"}
    assert found["synapses"]["W1"]["verdict"] == "gradient"
    assert found["dc"] is True
    wrong = tmp_path / "wrong.circ"
    text = (LIBRARY / "heterosynaptic/feedback_alignment.circ").read_text(encoding="utf-8")
    wrong.write_text(text.replace("expect W3: exact", "expect W3: ascent"), encoding="utf-8")
    assert command_line(["derive", str(wrong), "--no-measure"]) == 1
