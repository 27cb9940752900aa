"""What balance forces at rest: what is decided and what is not, and the numbers, against networks of plain NumPy that
learn until they rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest
from derivation_texts import all_verdicts, derived, shipped
from numpy.typing import NDArray
from problems import load

from circuitdsl.derive.algebra.expressions import text
from circuitdsl.derive.algebra.words import Coefficient
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
from circuitdsl.derive.tell.derivation import Derivation

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
    assert all_verdicts(derived(net(**changes))) == wanted


def test_decay_by_neuron_is_decided_only_just_below_the_top() -> None:
    text = net(d1=f"{CREDIT} - eta * post.k * w").replace("rate = relu(basal) }", "let k = g   rate = relu(basal) }", 1)
    found = derived(text.replace("loss =", "param g per h1 = uniform(0.01, 0.03)   loss ="))
    assert all_verdicts(found) == UPPER


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
    assert all_verdicts(found) == BOTH
    assert "E⟨drive, −∇⟩ = γ² |W3|² > 0 at rest, whatever the rule: by balance" in found["W1"].because


def test_it_is_linear_in_the_number_of_layers() -> None:
    import time

    deep = "\n".join(
        f"neuron h{i}: 2 {{ dendrite basal, apical rate = relu(basal) }}  synapse V{i}: err -> h{i}.apical\n"
        f"synapse W{i}: {f'h{i - 1}' if i else 'x'} -> h{i}.basal {{ dw = {CREDIT} - eta * 0.01 * w }}"
        for i in range(300)
    )
    circuit = load(f"""circuit c {{ param eta = 0.1  input x: 5  target y: 3
      {deep}
      neuron out: 3 {{ dendrite basal rate = basal }}  neuron err: 3 {{ rate = y - out }}
      synapse Wo: h299 -> out.basal {{ dw = eta * err * pre - eta * 0.01 * w }}
      loss = mse(out, y) }}""")
    symbols = symbols_of(circuit)
    rules = {s.name: read_rule(symbols, s) for s in circuit.synapses.values() if s.dw is not None}
    start = time.process_time()
    found = balances(symbols, rules, {"Wo": Known(verdict="exact", factor=Coefficient())}, rules.keys() - {"Wo"})
    assert all(isinstance(b, Balance) for b in found.of.values())
    assert time.process_time() - start < 2


def test_many_synapses_on_a_dendrite() -> None:
    """They are left open at once: each parts from all others."""
    import time

    many = "\n".join(f"synapse W{i}: x -> h.basal {{ dw = {CREDIT} - eta * 0.01 * w }}" for i in range(400))
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
    assert [len(b.synapses) for b in found.together] == [400]
    assert time.process_time() - start < 2


# ---------------------------------------------------------------- the numbers, by plain NumPy


@dataclass
class Rested:
    """A network of three layers after learning: weights, drives and minus gradients, all its own."""

    residual: float
    weights: dict[str, Array] = field(default_factory=dict)
    drives: dict[str, Array] = field(default_factory=dict)
    gradients: dict[str, Array] = field(default_factory=dict)

    def agreement(self, name: str) -> float:
        return float((self.drives[name] * self.gradients[name]).sum())

    def flow(self, name: str) -> float:
        return float((self.weights[name] * self.gradients[name]).sum())


BY_NEURON = np.array([[0.01, 0.02, 0.03, 0.015, 0.025, 0.035, 0.02]]).T


def softmax(z: Array) -> Array:
    z = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(z / z.sum(axis=1, keepdims=True))


@cache
def rested(
    seed: int, *, linear: bool = False, feedback: str = "direct", loss: str = "mse", bias: float = 0.0,
    skip: float = 0.0, top: float = 0.0, by_neuron: bool = False, penalty: float = 0.0, turned: float = 1.0,
    squash: bool = False, examples: int = 4, updates: int = 8_000, eta: float = 0.15,
) -> Rested:  # fmt: skip
    """Learns with linear decays until it rests. `turned`: times the credit of W2. `bias`, `skip` (x to h2), `top` (h1
    to out): the decays of further synapses; 0: there is none. Few examples, so that gates settle: at a gate that is
    just opening nothing rests."""
    r = np.random.default_rng(seed)
    n, nx, n1, n2, ny = examples, 5, 8, 7, 3
    x = r.normal(size=(n, nx)) + (0.5 if bias else 0)
    y = np.maximum(x @ r.normal(size=(nx, 8)), 0) @ r.normal(size=(8, ny)) / 3 + bool(bias) * r.normal(size=ny)
    if loss == "cross-entropy":
        y = np.eye(ny)[y.argmax(axis=1)]
    w = {"W1": r.normal(size=(n1, nx)) / 2.2, "W2": r.normal(size=(n2, n1)) / 2.8, "W3": r.normal(size=(ny, n2)) / 2.6}
    w |= {"b": r.normal(size=(n1, 1)) * 0.3, "S": r.normal(size=(n2, nx)) / 2.2, "T": r.normal(size=(ny, n1)) / 2.8}
    v2, v1 = r.normal(size=(n2, ny)) / 1.7, r.normal(size=(n1, n2 if feedback == "chain" else ny)) / 1.7
    gammas: dict[str, float | Array] = {"W1": 0.03, "W2": 0.02, "W3": 0.04, "b": bias, "S": skip, "T": top}
    if by_neuron:
        gammas["W2"] = BY_NEURON
    used = [k for k, g in gammas.items() if np.any(g)]
    w = {k: m if k in used else np.zeros_like(m) for k, m in w.items()}
    one = np.ones((n, 1))

    def rate(z: Array) -> tuple[Array, Array]:
        if squash:
            s = 1 / (1 + np.exp(-z))
            return s, s * (1 - s)
        return (z, np.ones_like(z)) if linear else (np.maximum(z, 0), (z > 0) * 1.0)

    for update in range(updates + 1):
        a1, s1 = rate(x @ w["W1"].T + one @ w["b"].T)
        a2, s2 = rate(a1 @ w["W2"].T + x @ w["S"].T)
        z = a2 @ w["W3"].T + a1 @ w["T"].T
        e = y - (softmax(z) if loss == "cross-entropy" else z)
        c2 = e @ v2.T * s2
        c1 = (c2 if feedback == "chain" else e) @ v1.T * s1
        outer = {"W1": (c1, x), "W2": (turned * c2, a1), "W3": (e, a2), "b": (c1, one), "S": (c2, x), "T": (e, a1)}
        drives = {k: outer[k][0].T @ outer[k][1] / n for k in used}
        if update < updates:
            w |= {k: w[k] + eta * (drives[k] - gammas[k] * w[k]) for k in used}
    g3 = e * (2 / ny if loss == "mse" else 1)
    g2 = g3 @ w["W3"] * s2
    g1 = (g2 @ w["W2"] + g3 @ w["T"] - 2 * penalty * a1 / n1) * s1
    grads = {"W1": (g1, x), "W2": (g2, a1), "W3": (g3, a2), "b": (g1, one), "S": (g2, x), "T": (g3, a1)}
    sizes = [np.linalg.norm(drives[k] - gammas[k] * w[k]) / np.linalg.norm(gammas[k] * w[k]) for k in used]
    gradients = {k: grads[k][0].T @ grads[k][1] / n for k in used}
    return Rested(float(max(sizes)), {k: w[k] for k in used}, drives, gradients)


def value(found: Derivation, balance: Balance, at_rest: Rested, own: Array | None = None) -> float:
    """What a balance says that E<drive, -grad> is, for these weights."""
    number = found.symbols.constants.value
    total = 0.0
    for share in balance.shares:
        columns = (at_rest.weights[share.synapse] ** 2).sum(axis=0)
        total += number(balance.gamma * share.amount) * float((columns if own is None else own * columns).sum())
    return total


LINEAR = {
    "h1": "basal", "h2": "basal", "d1": "eta * post.apical * pre - eta * 0.03 * w",
    "d2": "eta * post.apical * pre - eta * 0.02 * w",
}  # fmt: skip
TOP = "synapse T: h1 -> out.basal { dw = eta * err * pre - eta * 0.02 * w }"


@pytest.mark.parametrize(
    ("seed", "network", "text"),
    [
        (1, {"linear": True, "examples": 64}, net(**LINEAR)),
        (2, {"linear": True, "examples": 64, "feedback": "chain", "updates": 12_000, "eta": 0.1}, net(**LINEAR)),
        (3, {"linear": True, "examples": 64, "top": 0.02}, net(**LINEAR, more=TOP)),
        (28, {"eta": 0.2}, net()),
        (0, {"feedback": "chain"}, net()),
        (0, {"loss": "cross-entropy"}, net(out="softmax(basal)", loss="cross_entropy(out, y)")),
    ],
)
def test_the_closed_form_is_what_a_network_at_rest_has(seed: int, network: dict[str, Any], text: str) -> None:
    at_rest = rested(seed, **network)
    assert at_rest.residual < 1e-5
    found = derived(text)
    for name in ("W1", "W2"):
        assert at_rest.agreement(name) == pytest.approx(value(found, balance_of(found, name), at_rest), rel=1e-5)
        assert at_rest.agreement(name) > 1e-4


def test_the_closed_form_of_a_decay_by_neuron() -> None:
    at_rest = rested(2, linear=True, examples=64, by_neuron=True, updates=14_000)
    assert at_rest.residual < 1e-5
    changes = LINEAR | {"d2": "eta * post.apical * pre - eta * post.k * w"}
    found = derived(net(**changes, lets="let k = g", more="param g per h2 = uniform(0.01, 0.04)"))
    balance = balance_of(found, "W2")
    assert balance.per_neuron is not None
    assert text(balance.per_neuron) == "h2.k"
    assert at_rest.agreement("W2") == pytest.approx(value(found, balance, at_rest, BY_NEURON[:, 0]), rel=1e-5)


def test_a_bias_takes_its_part_of_the_flow() -> None:
    """The flows of W1 and of the bias add up to that of the top: one alone is not what the closed form says."""
    at_rest = rested(1, linear=True, examples=64, bias=0.02, updates=6_000, eta=0.07)
    assert at_rest.residual < 0.01
    assert at_rest.flow("W1") + at_rest.flow("b") == pytest.approx(at_rest.flow("W3"), rel=1e-9)
    found = derived(net(**LINEAR))
    wanted = value(found, balance_of(found, "W1"), at_rest)
    assert abs(at_rest.agreement("W1") - wanted) > 0.2 * wanted
    assert at_rest.agreement("W2") == pytest.approx(value(found, balance_of(found, "W2"), at_rest), rel=1e-2)


def test_a_skip_has_flows_of_either_sign() -> None:
    """What is left open is truly open: with W2 taught the wrong way round <D, G> of the skip is negative at rest."""
    turned = {"d2": "-(eta * post.apical * pre) - eta * 0.02 * w"}
    skip = "synapse S: x -> h2.basal { dw = eta * post.apical * pre - eta * 0.02 * w }"
    assert all_verdicts(derived(net(**(LINEAR | turned), more=skip))) == NEITHER | {"S": OPEN}
    for seed in (1, 2):
        at_rest = rested(seed, linear=True, examples=64, skip=0.02, turned=-1.0, updates=5_000, eta=0.1)
        assert at_rest.residual < 0.01
        assert at_rest.flow("W1") + at_rest.flow("S") == pytest.approx(at_rest.flow("W3"), rel=1e-9)
        assert at_rest.agreement("S") < -1e-4


@pytest.mark.parametrize("network", [{"penalty": 0.3}, {"squash": True}])
def test_where_it_is_left_open_the_closed_form_fails(network: dict[str, Any]) -> None:
    """A penalty on the hidden layer, and sigmoids."""
    at_rest = rested(1, linear=True, examples=64, **network)
    assert at_rest.residual < 1e-2
    found = derived(net(**LINEAR))
    wanted = value(found, balance_of(found, "W1"), at_rest)
    assert abs(at_rest.agreement("W1") - wanted) > 0.2 * wanted
