"""What balance forces at rest: what is decided and what is not, and the numbers, against networks of plain NumPy that
learn until they rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pytest
from derivation_texts import derived, shipped, verdicts
from numpy.typing import NDArray
from problems import load

from circuitdsl.derive.algebra.words import Coefficient
from circuitdsl.derive.prove.findings import Derivation
from circuitdsl.derive.prove.flow import (
    Balance,
    Balances,
    Known,
    NoRest,
    NoTop,
    Opposed,
    Parted,
    Passed,
    Still,
    Unbalanced,
    Unreadable,
    Unscaled,
    Why,
    balances,
)
from circuitdsl.derive.prove.hypotheses import AtRest, Homogeneous, Nontrivial, Unbound
from circuitdsl.derive.read.drives import read_rule
from circuitdsl.derive.read.symbols import symbols_of

Array = NDArray[np.float64]
OPEN, BALANCE, EXACT = (None, None), ("descent", "derived"), ("exact", "proved")
GAMMAS = (0.03, 0.02, 0.04)
CREDIT = "eta * post.apical * step(post.basal) * pre"


def net(
    *, h1: str = "relu(basal)", h2: str = "relu(basal)", out: str = "basal", loss: str = "mse(out, y)", w1: str = "",
    w2: str = "", w3: str = "", d1: str = f"{CREDIT} - eta * 0.03 * w", d2: str = f"{CREDIT} - eta * 0.02 * w",
    d3: str = "eta * err * pre - eta * 0.04 * w", more: str = "", lets: str = "",
) -> str:  # fmt: skip
    """Three layers with direct feedback, and what is to be different in them."""
    return f"""
circuit c {{
  param eta = 0.1
  input x: 5   target y: 3
  neuron h1: 8 {{ dendrite basal, apical   rate = {h1} }}
  neuron h2: 7 {{ dendrite basal, apical   {lets}   rate = {h2} }}
  neuron out: 3 {{ dendrite basal   rate = {out} }}
  neuron err: 3 {{ rate = y - out }}
  synapse W1: x -> h1.basal {{ {w1}   dw = {d1} }}
  synapse W2: h1 -> h2.basal {{ {w2}   dw = {d2} }}
  synapse W3: h2 -> out.basal {{ {w3}   dw = {d3} }}
  synapse V1: err -> h1.apical
  synapse V2: err -> h2.apical
  {more}
  loss = {loss}
}}"""


def balance_of(found: Derivation, synapse: str) -> Balance:
    balance = found[synapse].balance
    assert balance is not None
    return balance


def asked(found: Derivation, known: dict[str, Known] | None = None) -> Balances:
    """What balance says of every learning synapse of a circuit that is not `known`."""
    rules = {s.name: read_rule(found.symbols, s) for s in found.circuit.synapses.values() if s.dw is not None}
    exact = {
        n: Known(verdict="exact", factor=f.form.factor)
        for n, f in found.findings.items()
        if f.verdict == "exact" and f.form is not None
    }
    learning = [n for n, f in found.findings.items() if f.role == "learning"]
    given = exact | (known or {})
    return balances(found.symbols, rules, given, [n for n in learning if n not in given])


# ---------------------------------------------------------------- what is decided


def bias(gamma: float) -> str:
    return f"synapse b: bias -> h1.basal {{ dw = eta * post.apical * step(post.basal) - eta * {gamma} * w }}"


SKIP = f"synapse S: x -> h2.basal {{ dw = {CREDIT} - eta * 0.02 * w }}"

BOTH = {"W1": BALANCE, "W2": BALANCE, "W3": EXACT}
UPPER = {"W1": OPEN, "W2": BALANCE, "W3": EXACT}
NEITHER = {"W1": OPEN, "W2": OPEN, "W3": EXACT}

CASES: dict[str, tuple[dict[str, str], dict[str, tuple[str | None, str | None]]]] = {
    "direct feedback": ({}, BOTH),
    "linear": ({"h1": "basal", "h2": "basal"}, BOTH),
    "softmax with cross-entropy": ({"out": "softmax(basal)", "loss": "cross_entropy(out, y)"}, BOTH),
    "leaky, kwta": ({"h1": "max(basal, 0.1 * basal)", "h2": "kwta(basal, 3)"}, BOTH),
    "a sparse layer": ({"w1": "connect = sparse(0.5)", "w2": "connect = sparse(0.5)"}, BOTH),
    "bounds": ({"w1": "bounds = [-1, 1]", "w3": "bounds = [-1, 1]"}, BOTH),
    "a wrong rule that sees the error": ({"d1": "eta * post.apical * square(pre) - eta * 0.03 * w"}, BOTH),
    "a penalty on the output": ({"loss": "mse(out, y) + 0.1 * mse(out, y)"}, BOTH),
    "a skip to the top": ({"more": "synapse S: h1 -> out.basal { dw = eta * err * pre - eta * 0.02 * w }"},
                          BOTH | {"S": EXACT}),
    "sigmoid below": ({"h1": "sigmoid(basal)"}, UPPER),
    "sigmoid above": ({"h2": "sigmoid(basal)"}, NEITHER),
    "an additive number": ({"h2": "relu(basal) + 0.1"}, NEITHER),
    "a bias": ({"more": bias(0.01)}, UPPER | {"b": OPEN}),
    "a skip from the input": ({"more": SKIP}, NEITHER | {"S": OPEN}),
    "a fixed skip": ({"more": "synapse S: x -> h2.basal"}, NEITHER),
    "a fixed skip to the top": ({"more": "synapse S: h1 -> out.basal"}, UPPER),
    "a penalty on the hidden layer": ({"loss": "mse(out, y) + 0.1 * mean(square(h1))"}, UPPER),
    "a modulator that reads the hidden layer": (
        {"h2": "relu(basal) / (1 + m)", "more": "modulator m = mean(h1)"}, UPPER),
    "an exact rule that does not decay": ({"d3": "eta * err * pre"}, NEITHER),
    "a rule that does not decay": ({"d1": CREDIT}, UPPER),
    "a cubic decay": ({"d1": f"{CREDIT} - eta * w^3"}, UPPER),
    "a decay beside a cubic one": ({"d1": f"{CREDIT} - eta * 0.03 * w - eta * w^3"}, UPPER),
    "a decay that grows": ({"d1": f"{CREDIT} + eta * 0.03 * w"}, UPPER),
    "a decay that overshoots": ({"d1": f"{CREDIT} - 2.5 * w"}, UPPER),
    "momentum": ({"w1": "state m = 0 dm = 0.1 * (post.apical * pre - m)", "d1": "eta * m - eta * 0.03 * w"}, UPPER),
    "a saturating drive": ({"w1": "bounds = [-1, 1]", "d1": f"{CREDIT} * (1 - w) - eta * 0.03 * w"}, UPPER),
    "noise in the rate": ({"h2": "relu(basal) * (1 + 0.1 * randn())"}, {"W1": OPEN, "W2": OPEN, "W3": OPEN}),
    "an output that ascends": ({"d3": "-(eta * err * pre) - eta * 0.04 * w"},
                               {"W1": OPEN, "W2": OPEN, "W3": ("ascent", "proved")}),
    "Hebb": ({"d1": "eta * post * pre - eta * 0.03 * w"}, BOTH | {"W1": ("none", "proved")}),
    "decay by neuron below the top": ({"lets": "let k = g", "more": "param g per h2 = uniform(0.01, 0.03)",
                                       "d2": f"{CREDIT} - eta * post.k * w"}, BOTH),
    "decay by neuron of any sign": ({"lets": "let k = g", "more": "param g per h2 = normal(0.01, 0.03)",
                                     "d2": f"{CREDIT} - eta * post.k * w"}, BOTH | {"W2": OPEN}),
    "decay by neuron that adapts": ({"lets": "state k = 0.1 keep   dk = 0.1 * (basal - k)",
                                     "d2": f"{CREDIT} - eta * post.k * w"}, BOTH | {"W2": OPEN}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_decided(name: str) -> None:
    changes, wanted = CASES[name]
    assert verdicts(derived(net(**changes))) == wanted


def test_decay_by_neuron_is_decided_only_just_below_the_top() -> None:
    text = net(d1=f"{CREDIT} - eta * post.k * w").replace("rate = relu(basal) }", "let k = g   rate = relu(basal) }", 1)
    found = derived(text.replace("loss =", "param g per h1 = uniform(0.01, 0.03)   loss ="))
    assert verdicts(found) == UPPER


@pytest.mark.parametrize(
    ("changes", "synapse", "why"),
    [
        ({"h2": "sigmoid(basal)"}, "W1", Unscaled("h2", "h2.basal")),
        ({"loss": "mse(out, y) + mean(square(h1))"}, "W1", Unscaled("loss", "h1")),
        ({"more": SKIP}, "W1", Parted(("S", "W2"))),
        ({"more": "synapse S: h1 -> out.basal"}, "W1", Parted(("S",))),
        ({"d1": CREDIT}, "W1", NoRest()),
        ({"d3": "eta * err * pre"}, "W1", NoTop()),
        ({"w1": "state m = 0 dm = 0.1 * (post.apical * pre - m)", "d1": "eta * m - eta * 0.03 * w"}, "W1", Passed()),
    ],
)
def test_why_it_is_not_decided(changes: dict[str, str], synapse: str, why: Why) -> None:
    assert asked(derived(net(**changes))).of[synapse] == Unbalanced(synapse, why)


def test_weights_that_change_nothing_in_proportion() -> None:
    """A population that is divided by its norm: the flow into it is 0 in every state."""
    text = net(h1="basal", h2="h1 / m + 0 * basal", more="modulator m = norm(h1)").replace("h2: 7", "h2: 8")
    assert asked(derived(text)).of["W1"] == Unbalanced("W1", Still())


def test_a_wire_parts_the_flow() -> None:
    """A residual wire: what comes in below is what leaves at the top, and what goes through W2 is not known."""
    found = asked(derived(net(h2="h1 + relu(basal)").replace("h2: 7", "h2: 8"))).of
    assert isinstance(found["W1"], Balance)
    assert found["W2"] == Unbalanced("W2", Parted(("h1",)))


def test_a_rule_that_is_no_drive_says_why() -> None:
    found = asked(derived(net(d1="eta * post.apical * relu(pre * post) - eta * 0.03 * w"))).of["W1"]
    assert isinstance(found, Unbalanced)
    assert isinstance(found.why, Unreadable)


def test_what_it_assumes() -> None:
    found = derived(net(w1="bounds = [-1, 1]"))
    assert balance_of(found, "W1").hypotheses == (
        AtRest("W1"), AtRest("W3"), Unbound("W1"), Nontrivial("W3"), Homogeneous("h1"), Homogeneous("h2"),
    )  # fmt: skip
    assert balance_of(found, "W1").through == ("h1", "h2")
    assert "E⟨drive, −∇⟩ = 0.0008 |W3|² > 0 at rest, whatever the rule: by balance" in found["W1"].because
    assert "⇒ descent, derived: at rest, by balance" in str(found)


def test_a_top_that_follows_its_gradient_by_a_positive_matrix() -> None:
    """f = gamma / c tr(W^T H^-1 W) >= 0, with what that rests on; the exact synapse is preferred where both do."""
    text = net(d3="eta * err * pre")
    positive = Known(verdict="gradient", factor=derived(text)["W3"].form.factor, h="symmetric")  # type: ignore[union-attr]
    found = asked(derived(text), {"W2": positive}).of["W1"]
    assert isinstance(found, Balance)
    assert [(s.synapse, s.h) for s in found.shares] == [("W2", "symmetric")]
    both = asked(derived(net()), {"W2": positive}).of["W1"]
    assert isinstance(both, Balance)
    assert [s.synapse for s in both.shares] == ["W3"]
    masked = asked(derived(net(d3="eta * err * pre", w2="connect = sparse(0.5)")), {"W2": positive}).of["W1"]
    assert masked == Unbalanced("W1", NoTop())


def test_tops_that_count_against_it() -> None:
    """f_W1 + f_S = f_W2 with both S and W2 known: W1 is a difference of two positive flows."""
    known = Known(verdict="gradient", factor=derived(net())["W3"].form.factor)  # type: ignore[union-attr]
    found = asked(derived(net(more=SKIP)), {"S": known}).of
    assert found["W2"] == Unbalanced("W2", Opposed(("S",)))
    assert found["W1"] == Unbalanced("W1", Opposed(("S",)))


def test_a_population_is_decided_as_a_whole_where_its_synapses_decay_alike() -> None:
    found = asked(derived(net(more=bias(0.03))))
    assert isinstance(found.of["W1"], Unbalanced)
    assert [b.synapses for b in found.together] == [("W1", "b")]
    assert asked(derived(net(more=bias(0.01)))).together == ()
    assert asked(derived(net(more=bias(0.03), h1="sigmoid(basal)"))).together == ()


def test_the_order_of_the_items_decides_nothing() -> None:
    text = net(more=bias(0.03) + " synapse S: h1 -> out.basal { dw = eta * err * pre - eta * 0.02 * w }")
    lines = text.strip().splitlines()
    items, rest = lines[3:-2], (lines[:3], lines[-2:])
    first = asked(derived(text))
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(len(items))
        mixed = "\n".join([*rest[0], *(items[i] for i in order), *rest[1]])
        other = asked(derived(mixed))
        assert other.of == first.of
        assert other.together == first.together


@pytest.mark.parametrize("name", ["feedback_alignment", "direct_feedback_alignment"])
def test_the_library(name: str) -> None:
    found = shipped(f"heterosynaptic/{name}.circ")
    assert verdicts(found) == BOTH
    assert "E⟨drive, −∇⟩ = γ² |W3|² > 0 at rest, whatever the rule: by balance" in found["W1"].because


def test_it_is_linear_in_the_number_of_layers() -> None:
    import time

    deep = "\n".join(
        f"neuron h{i}: 2 {{ dendrite basal, apical rate = relu(basal) }}  synapse V{i}: err -> h{i}.apical\n"
        f"synapse W{i}: {f'h{i - 1}' if i else 'x'} -> h{i}.basal {{ dw = {CREDIT} - eta * 0.01 * w }}"
        for i in range(400)
    )
    circuit = load(f"""circuit c {{ param eta = 0.1  input x: 5  target y: 3
      {deep}
      neuron out: 3 {{ dendrite basal rate = basal }}  neuron err: 3 {{ rate = y - out }}
      synapse Wo: h399 -> out.basal {{ dw = eta * err * pre - eta * 0.01 * w }}
      loss = mse(out, y) }}""")
    symbols = symbols_of(circuit)
    rules = {s.name: read_rule(symbols, s) for s in circuit.synapses.values() if s.dw is not None}
    start = time.process_time()
    found = balances(symbols, rules, {"Wo": Known(verdict="exact", factor=Coefficient())}, rules.keys() - {"Wo"})
    assert all(isinstance(b, Balance) for b in found.of.values())
    assert time.process_time() - start < 2


def test_two_thousand_synapses_on_a_dendrite() -> None:
    """They are left open at once: each parts from all others."""
    import time

    many = "\n".join(f"synapse W{i}: x -> h.basal {{ dw = {CREDIT} - eta * 0.01 * w }}" for i in range(2000))
    circuit = load(f"""circuit c {{ param eta = 0.1  input x: 2  target y: 3
      neuron h: 2 {{ dendrite basal, apical rate = relu(basal) }}  synapse V: err -> h.apical
      {many}
      neuron out: 3 {{ dendrite basal rate = basal }}  neuron err: 3 {{ rate = y - out }}
      synapse Wo: h -> out.basal {{ dw = eta * err * pre - eta * 0.01 * w }}
      loss = mse(out, y) }}""")
    symbols = symbols_of(circuit)
    rules = {s.name: read_rule(symbols, s) for s in circuit.synapses.values() if s.dw is not None}
    start = time.process_time()
    found = balances(symbols, rules, {"Wo": Known(verdict="exact", factor=Coefficient())}, rules.keys() - {"Wo"})
    assert not any(isinstance(b, Balance) for b in found.of.values())
    assert [len(b.synapses) for b in found.together] == [2000]
    assert time.process_time() - start < 4
