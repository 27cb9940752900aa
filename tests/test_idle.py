"""Weights that stay 0 and rules that nothing drives: what is said, near misses, simulations that know nothing of it."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random

import numpy as np
import pytest
from bench import Bench
from derivation_texts import derived, kp, verdicts
from generate import random_circuit

from circuitdsl.derive.tell.derivation import derive
from circuitdsl.graph.idle import (
    EmptyMask,
    FadesWith,
    HeldAtZero,
    NeverOpen,
    OnlyDecays,
    ZeroStart,
    dead_synapses,
    fading,
    never_driven,
)
from circuitdsl.graph.ranges import Ranges
from circuitdsl.graph.resolve import load_text

NONE = ("none", "proved")
DECAY = "- gamma * w"


def ranges_of(text: str) -> Ranges:
    circuit = load_text(text).circuit
    assert circuit is not None
    return Ranges(circuit)


def four(
    *, b: str = "", v: str = "", f: str = "", gate: str = "1", d: str = "basal", select: str = "", more: str = "",
    decay: str = DECAY,
) -> str:  # fmt: skip
    """The four-synapse motif, linear, with one hidden layer; `select` adds a synapse onto d.sel."""
    return f"""circuit c {{
      param eta = 0.05   param gamma = 0.01
      input x: 5   target y: 3
      neuron a: 6 {{ dendrite basal, apical   rate = basal }}
      neuron d: 6 {{ dendrite basal, lateral{", sel" if select else ""}   rate = {d} }}
      neuron out: 3 {{ dendrite basal   rate = basal }}
      neuron err: 3 {{ rate = y - out }}
      synapse W: x -> a.basal {{ dw = eta * (post.apical * pre - gamma * w) }}
      synapse B: d -> a.apical {{ {b}   dw = eta * (post * pre {decay}) }}
      synapse Wo: a -> out {{ dw = eta * (err * pre - gamma * w) }}
      synapse V: err -> d.basal {{ {v}   dw = eta * (post.lateral * {gate} * pre {decay}) }}
      synapse F: a -> d.lateral {{ {f}   dw = eta * (post * pre {decay}) }}
      {f"synapse S: bias -> d.sel {{ {select} }}" if select else ""}
      {more}
      loss = mse(out, y)
    }}"""


ZEROS = "init = zeros"


# ---------------------------------------------------------------- zero starts


def test_synapses_that_start_at_zero_and_drive_only_each_other() -> None:
    found = ranges_of(four(b=ZEROS, v=ZEROS, f=ZEROS))
    assert dead_synapses(found) == {
        "B": ZeroStart(("B", "V", "F")), "V": ZeroStart(("V", "F")), "F": ZeroStart(("V", "F")),
    }  # fmt: skip
    why = never_driven(found)["W"]
    assert isinstance(why, NeverOpen)
    assert why.synapses == ("B",)
    assert verdicts(derived(four(b=ZEROS, v=ZEROS, f=ZEROS))) == {"W": NONE, "Wo": ("exact", "proved")}
    assert set(dead_synapses(ranges_of(four(v=ZEROS, f=ZEROS)))) == {"V", "F"}  # B decays by itself


@pytest.mark.parametrize("broken", [
    {"v": ""}, {"f": ""},  # one of them starts elsewhere
    {"d": "sigmoid(basal)"}, {"d": "softplus(basal)"}, {"d": "basal + 0.1"},  # a rate that is not 0 at 0
    {"d": "basal + 0.1 * randn()"},
    {"v": "init = zeros   bounds = [0.1, 1]"}, {"f": "init = constant(0.01)"},
    {"more": "synapse K: bias -> d.basal"}, {"more": "synapse K: bias -> d.lateral"},
    {"more": "synapse K: x -> d.basal"},
])  # fmt: skip
def test_what_breaks_a_zero_start(broken: dict[str, str]) -> None:
    found = ranges_of(four(**{"b": ZEROS, "v": ZEROS, "f": ZEROS, **broken}))
    assert not {"V", "F", "B"} <= set(dead_synapses(found))
    assert "W" not in never_driven(found)


@pytest.mark.parametrize("held", [
    {"d": "relu(basal)"}, {"d": "tanh(basal)"}, {"d": "basal * step(a.basal)"}, {"d": "basal * exp(a.basal)"},
    {"v": "init = zeros   bounds = [-1, 1]"}, {"f": "init = zeros   sign = excitatory"},
    {"f": "init = 0 * normal(0, 1)"}, {"v": "init = normal(0, 0)"}, {"v": "init = transpose(F) * 0", "f": ZEROS},
    {"more": "synapse K: bias -> d.basal { init = zeros }"},
])  # fmt: skip
def test_what_leaves_a_zero_start_as_it_is(held: dict[str, str]) -> None:
    if held.get("v", "").startswith("init = transpose"):
        held = {"f": ZEROS, "v": ZEROS}
    found = ranges_of(four(**{"b": ZEROS, "v": ZEROS, "f": ZEROS, **held}))
    assert {"V", "F", "B"} <= set(dead_synapses(found))


def test_a_step_opens_at_no_zero_and_a_bias_beside_it_does() -> None:
    """`1[z > 0]` is 0 at 0; `1[z >= 0]` is 1 there."""
    text = """circuit c {{ input x: 2   neuron h: 2 {{ dendrite d   rate = {} }}
      synapse W: x -> h {{ init = zeros   {} }} }}"""
    assert ranges_of(text.format("step(d)", "dw = post * pre")).weights("W").is_zero
    assert not ranges_of(text.format("(d >= 0)", "dw = post * pre")).weights("W").is_zero
    assert not ranges_of(text.format("d", "dw = pre")).weights("W").is_zero
    assert ranges_of(text.format("d", "state m = 0   dm = post * pre - 0.1 * m   dw = m")).weights("W").is_zero
    assert not ranges_of(text.format("d", "state m = 1   dm = post * pre - 0.1 * m   dw = m")).weights("W").is_zero
    assert ranges_of(text.format("d", "drive g = post * pre   dw = g / (0.1 + abs(g))")).weights("W").is_zero
    # 0 times what may be infinite is no number: nothing is said
    assert not ranges_of(text.format("d", "dw = post / pre")).weights("W").is_zero


# ---------------------------------------------------------------- masks, gates, gains


@pytest.mark.parametrize("connect", ["sparse(0)", "fan_in(0)"])
def test_no_synapse_no_verdict_of_learning(connect: str) -> None:
    found = derived(kp(w=f"connect = {connect}"))
    assert verdicts(found)["W"] == NONE
    assert found["W"].because == ("it has no connection",)
    assert never_driven(ranges_of(kp(w=f"connect = {connect}")))["W"] == EmptyMask()
    assert verdicts(derived(kp(w="connect = sparse(0.5)")))["W"] != NONE


@pytest.mark.parametrize(("gain", "settings"), [
    ("relu(w)", "init = constant(-0.5)"), ("abs(w)", ZEROS), ("w^2", ZEROS), ("(1 - w)", "init = constant(1)"),
    ("relu(w)", "sign = inhibitory"), ("step(w - 1)", "bounds = [-1, 1]"),
])  # fmt: skip
def test_gains_that_are_0_where_the_weights_start(gain: str, settings: str) -> None:
    rule = f"eta * post.apical * step(post.basal) * pre * {gain}"
    assert verdicts(derived(kp(hidden=rule, w=settings)))["W"] == NONE


@pytest.mark.parametrize(("gain", "settings"), [
    ("relu(w)", "init = constant(0.5)"), ("abs(w)", "init = constant(0.1)"), ("w^2", ""),
    ("(1 - w)", "init = constant(0.9)"), ("relu(w)", ""), ("step(w - 1)", "bounds = [-1, 2]"),
])  # fmt: skip
def test_gains_that_are_not(gain: str, settings: str) -> None:
    rule = f"eta * post.apical * step(post.basal) * pre * {gain}"
    assert verdicts(derived(kp(hidden=rule, w=settings)))["W"] != NONE


def test_what_is_no_0_of_theirs_but_compared_is_told_too() -> None:
    """The sigmoid of a current that has gone is 0.5; no weight of 0 makes the comparison 0. Two of 200,000 programs
    drawn by chance came to such a rule."""
    text = """circuit c {
      input x: 2   target y: 2
      neuron h: 2 { dendrite d   rate = sigmoid(d) }
      neuron g: 2 { dendrite d   rate = d }
      neuron err: 2 { rate = y - g }
      pair g ~ h   pair g ~ err
      synapse A: x -> h.d { dw = -0.1 * w }
      synapse B: x -> g.d { dw = 0.1 * (h != 0.5) * err * pre - 0.1 * w }
      loss = mse(g, y)
    }"""
    assert fading(ranges_of(text)) == {"A": OnlyDecays(), "B": FadesWith(("A",))}
    told = derived(text).findings["B"].because
    assert any("nothing drives A, so that goes to 0" in line for line in told), told


def test_a_gate_that_never_opens_leaves_a_weight_to_its_decay() -> None:
    text = four(gate="step(post.sel)", select="init = constant(-1)")
    found = ranges_of(text)
    why = never_driven(found)
    assert set(why) == {"V"}
    assert isinstance(why["V"], NeverOpen)
    fades = FadesWith(("V",))
    assert fading(found) == {"V": why["V"], "B": fades, "F": fades, "W": fades, "Wo": FadesWith(("W",))}
    assert verdicts(derived(text)) == {"W": ("none", "derived"), "Wo": ("exact", "proved")}


@pytest.mark.parametrize("select", [
    "init = constant(1)", "", "init = constant(-1)   dw = 0.1 * post * pre + 0.1", "init = uniform(-1, 0.1)",
])  # fmt: skip
def test_a_gate_that_may_open(select: str) -> None:
    found = ranges_of(four(gate="step(post.sel)", select=select or " "))
    assert never_driven(found) == {}
    assert fading(found) == {}


def test_what_does_not_decay_does_not_fade() -> None:
    """Without decay V keeps what it starts with; with a bound away from 0 it does not come there."""
    closed = {"gate": "step(post.sel)", "select": "init = constant(-1)"}
    assert fading(ranges_of(four(**closed, decay=""))) == {}
    assert "V" not in fading(ranges_of(four(**closed, v="bounds = [0.1, 1]")))
    assert verdicts(derived(four(**closed, v="bounds = [0.1, 1]")))["W"] != ("none", "derived")
    # F keeps what it was driven to as long as V was there
    lateral = f"eta * (post * pre {DECAY}) }}\n      synapse S"
    text = four(**closed)
    assert lateral in text
    assert set(fading(ranges_of(text.replace(lateral, "eta * post * pre }\n      synapse S")))) == {"V", "B", "W", "Wo"}


def test_other_reasons() -> None:
    text = """circuit c { param off = 0   input x: 2   neuron h: 2 { dendrite d, e   rate = d + 0.5 }
      synapse A: x -> h.d { dw = -0.1 * w }   synapse B: x -> h.d { dw = off * post * pre }
      synapse C: x -> h.d { init = zeros }    synapse D: x -> h.d { bounds = [0, 0]   dw = post * pre }
      synapse E: x -> h.d { dw = post.e * pre }   synapse G: x -> h.d { dw = post * pre } }"""
    found = ranges_of(text)
    why = never_driven(found)
    assert set(why) == {"A", "B", "D", "E"}
    assert why["A"] == OnlyDecays()
    assert isinstance(why["B"], NeverOpen)
    assert isinstance(why["E"], NeverOpen)
    assert dead_synapses(found) == {"C": HeldAtZero(), "D": HeldAtZero()}


# ---------------------------------------------------------------- against simulations


def test_generated_circuits_never_move_what_is_called_dead() -> None:
    """Zeros for the initial weights of generated circuits; the interpreter then runs them."""
    dead = alive = 0
    for seed in range(40):
        text = random_circuit(Random(seed))
        rng = Random(seed)
        lines = [
            line if not line.lstrip().startswith("synapse") or rng.random() < 0.3
            else __import__("re").sub(r"init = [^{}]*?(?=   |\n| \})", "init = zeros", line)
            for line in text.splitlines()
        ]  # fmt: skip
        loaded = load_text("\n".join(lines)).circuit
        assert loaded is not None
        bench, found = Bench(loaded, examples=5), Ranges(loaded)
        zeros, idle = dead_synapses(found), never_driven(found)
        for epoch in range(4):
            for name in zeros:
                assert not bench.state.weights[name].any(), (seed, name)
            before = {name: array.copy() for name, array in bench.state.weights.items()}
            bench.train(batch=2, epoch=epoch)
            for name, array in bench.state.weights.items():
                moved = bool((array != before[name]).any())
                alive += moved
                if name in idle and isinstance(idle[name], NeverOpen | ZeroStart | EmptyMask):
                    assert (np.abs(array) <= np.abs(before[name]) + 1e-12).all(), (seed, name)
        dead += len(zeros)
    assert dead > 10
    assert alive > 100


def simulate(
    *, V0: float, F0: float, B0: float, bias: float = 0.0, closed: bool = False, rate=lambda z: z, steps: int = 4000
) -> dict[str, float]:
    """The four-synapse motif in NumPy, from its equations: the norms of its weights, and of W's last drive."""
    r = np.random.default_rng(0)
    n, nx, ny, eta, gamma = 6, 5, 3, 0.05, 0.01
    x = r.normal(size=(40, nx))
    y = x @ r.normal(size=(nx, ny)) / math.sqrt(nx)
    W, Wo, V, F, B = (r.normal(size=s) / math.sqrt(s[1]) for s in ((n, nx), (ny, n), (n, ny), (n, n), (n, n)))
    V, F, B = V0 * V, F0 * F, B0 * B
    drive = W
    for _ in range(steps):
        a = x @ W.T
        err = y - a @ Wo.T
        d = rate(err @ V.T) + bias
        drive = (d @ B.T).T @ x / 40
        gate = 0.0 if closed else 1.0
        dV, dF, dB, dWo = gate * (a @ F.T).T @ err / 40, d.T @ a / 40, a.T @ d / 40, err.T @ a / 40
        W, Wo, V, F, B = (m + eta * (g - gamma * m) for m, g in ((W, drive), (Wo, dWo), (V, dV), (F, dF), (B, dB)))
        if not np.isfinite(W).all():
            return {"V": np.inf, "F": np.inf, "B": np.inf, "drive": np.inf}
    return {"V": norm(V), "F": norm(F), "B": norm(B), "drive": norm(drive)}


def norm(a: np.ndarray) -> float:
    return float(np.linalg.norm(a))


def test_zero_starts_and_what_breaks_them_in_numpy() -> None:
    still = simulate(V0=0, F0=0, B0=0)
    assert still == {"V": 0, "F": 0, "B": 0, "drive": 0}
    for broken in ({"F0": 0.5}, {"V0": 0.5}, {"bias": 0.1}, {"rate": lambda z: 1 / (1 + np.exp(-z))}):
        moved = simulate(**{"V0": 0, "F0": 0, "B0": 0, "steps": 50, **broken})
        assert moved["drive"] > 0


def test_a_closed_gate_in_numpy() -> None:
    """V decays, and the rest of the feedback with it."""
    early = simulate(V0=1, F0=1, B0=1, closed=True, steps=100)
    late = simulate(V0=1, F0=1, B0=1, closed=True, steps=20_000)
    assert early["drive"] > 1e-3
    assert all(value < 1e-2 * early[name] for name, value in late.items())


def test_faults() -> None:
    """The four positivity faults, and states that are positive by what comes in."""
    for factor in ("exp(v)", "square(v)", "softplus(v)", "sigmoid(v)", "sqrt(v)", "v", "abs(v)"):
        text = f"""circuit t {{
          param eta = 0.1   input x: 4   target y: 3
          neuron out: 3 {{ dendrite basal   rate = softmax(basal) }}
          neuron err: 3 {{ rate = y - out }}
          synapse W: x -> out.basal {{
            state v = 0   drive g = err * pre   dv = 0.1 * g^2 - 0.1 * v   dw = eta * g / (0.1 + {factor})
          }}
          loss = cross_entropy(out, y)
        }}"""
        assert verdicts(derived(text)) == {"W": ("gradient", "derived")}, factor
        for wrong in (text.replace("- 0.1 * v", "- 1.1 * v"), text.replace("0.1 * g^2", "0.1 * g")):
            expected = ("gradient", "derived") if factor not in ("v", "sqrt(v)") else (None, None)
            assert verdicts(derived(wrong)) == {"W": expected}, factor


def test_a_rate_of_0_or_1_is_never_negative(tmp_path: Path) -> None:
    text = """circuit c { input x: 8
      neuron E: 8 { dendrite d   state old = 0   rate = step(d)   dold = %s - old }
      synapse X: x -> E.d
      synapse EE: E.old -> E.d { init = uniform(0, 0.1)   sign = excitatory   dw = 0.01 * post * pre - 0.001 * w } }"""
    assert "C056" not in [d.code for d in load_text(text % "rate").warnings]
    assert "C056" in [d.code for d in load_text(text % "d").warnings]


def test_verdicts_of_this_kind_have_a_reason() -> None:
    loaded = load_text(four(b=ZEROS, v=ZEROS, f=ZEROS)).circuit
    assert loaded is not None
    found = derive(loaded)
    assert found["W"].because == ("`a.apical` is always 0, because B stays 0: nothing drives the weight",)
    assert found["V"].because == ("no relation: F and V start at 0 and drive only each other: they stay 0",)
