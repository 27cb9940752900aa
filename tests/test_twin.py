"""The gradient twin, rule by rule: what takes the place of what."""

from __future__ import annotations

import numpy as np
import pytest
from problems import EXAMPLES, KOLEN_POLLACK, ORDER, Array, load, problem

from circuitdsl.graph.ir import Read, is_slow, walk
from circuitdsl.reference import Reference
from circuitdsl.twin.gradient import twin

RULED = """
circuit c {{
  param eta = 0.3   param gamma = 0.01   param gain = -2   param beta = 0.9
  input x: 5   target y: 3
  neuron h: 4 {{ dendrite basal, apical   rate = tanh(basal) }}
  neuron out: 3 {{ dendrite basal   rate = softmax(basal) }}
  neuron err: 3 {{ rate = y - out }}
  synapse V: err -> h.apical
  synapse W: x -> h.basal {{ init = normal(0, 0.5)   {rule} }}
  synapse b: bias -> h.basal {{ init = normal(0, 0.5)   {bias} }}
  synapse U: h -> out.basal {{ dw = err * pre }}
  modulator m = sum(abs(err))
  loss = cross_entropy(out, y)
}}
"""


def step_of(rule: str, bias: str = "dw = 0", synapse: str = "W", steps: int = 1) -> tuple[Array, Array, Array]:
    """What the twin adds to the synapse, the gradient there, and the weights, all before the last step."""
    p = problem(RULED.format(rule=rule, bias=bias), seed=4)
    plain = problem(RULED.format(rule="dw = post * pre", bias="dw = post * pre"), seed=4)
    engine = Reference(twin(p.circuit), [], "float64")
    for _ in range(steps - 1):
        engine.train(p.state, p.data, ORDER, p.numbers, seed=0, epoch=0, batch=EXAMPLES)
    plain.state = p.state.copy()
    step = engine.increments(p.state, p.data, ORDER, p.numbers, seed=0, epoch=0)
    return step[synapse], plain.gradient()[synapse], p.state.weights[synapse]


@pytest.mark.parametrize(
    ("rule", "rate", "decay"),
    [
        ("dw = eta * post.apical * (1 - square(post)) * pre - eta * gamma * w", 0.3, 0.003),
        ("dw = -(eta * (post.apical * pre + gamma * w))", 0.3, 0.003),
        ("dw = gain * eta * m * post * pre", 0.6, 0),
        ("dw = eta * post * pre - eta * gamma * post.apical * pre", 0.3, 0),  # one drive
        ("dw = 0.2 * post * pre - 0.05 * post.apical * pre", 0.2, 0),
        ("dw = eta * post * pre + gamma * post.apical * pre", 0.31, 0),  # nothing in common: both
        ("dw = eta * (post - 0.3) * pre / (1 + m) - gamma * w", 0.3, 0.01),
        ("dw = 0.5 * (2 - w) * post * pre - gamma * w", 0.5, 0.01),  # saturation is replaced with the signal
        ("dw = where(m > 1, eta * post * pre, eta * post.apical * pre)", 0.3, 0),
        ("dw = eta * (post * pre - 0.04)", 0.3, None),
        ("dw = eta * post * (pre - post * w)", 0.3, 0),  # Oja: not separable
        ("dw = 0.7 * relu(post * pre)", 0.3, 0),  # not separable: the circuit's eta
        ("dw = 0.7 * pre - gamma * w", 0.3, 0),  # nothing to replace
        ("dw = 0.7 * post", 0.3, 0),  # no presynaptic factor
        ("dw = 0.2 * post * pre - eta * post", 0.2, 0),
        ("state e = 0 fresh   de = post.apical * pre - 0.1 * e   dw = eta * m * e", 0.3, 0),
        ("drive g = post.apical * pre   dw = eta * g - gamma * w", 0.3, 0.01),
        ("drive g = -(post.apical * pre) + gamma * w   dw = -(eta * g)", 0.3, 0.003),
    ],
)
def test_rules(rule: str, rate: float, decay: float | None) -> None:
    step, gradient, w = step_of(rule)
    expected = -rate * gradient - 0.3 * 0.04 if decay is None else -rate * gradient - decay * w
    np.testing.assert_allclose(step, expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("rule", ["eta * post.apical", "eta * post.apical * pre", "eta * (post - 0.1) * pre"])
def test_bias_needs_no_pre(rule: str) -> None:
    step, gradient, _ = step_of("dw = 0", f"dw = {rule}", "b")
    np.testing.assert_allclose(step, -0.3 * gradient, rtol=1e-9, atol=1e-13)


def test_presynaptic_functions_stay() -> None:
    """The covariance rule: delta times the presynaptic deviation."""
    step, _, _ = step_of("dw = eta * (post - 0.2) * (pre - 0.5) ^ 2")
    p = problem(RULED.format(rule="dw = post * (pre - 0.5)", bias="dw = 0"), seed=4)
    trace = Reference(twin(p.circuit), [], "float64").trace(
        p.state, p.data, ORDER, p.numbers, seed=0, epoch=0, training=True
    )
    expected = -0.3 * np.einsum("bj,bi->ji", trace["d(h.basal)"][0], (p.data["x"] - 0.5) ** 2) / EXAMPLES
    np.testing.assert_allclose(step, expected, rtol=1e-9)


@pytest.mark.parametrize(
    "rule",
    [
        "drive g = post.apical * pre   state a = 0   da = (1 - beta) * (g - a)   dw = eta * a",
        "state a = 0   da = (1 - beta) * (post.apical * pre - a)   dw = eta * a",
        "drive g = -(post * pre)   state a = 0   da = (1 - beta) * (g - a)   dw = -eta * a",
        "drive g = post * pre   state a = 0   da = -((1 - beta) * (g + a))   dw = -(eta * a)",
        "state a = 0   da = (1 - beta) * (post * pre - a)   dw = eta * m * a",
    ],
)
def test_momentum(rule: str) -> None:
    """Two steps: the second moves by what the first has left in the state."""
    _, gradient, _ = step_of(rule, steps=1)
    step, _, _ = step_of(rule, steps=2)
    np.testing.assert_allclose(step, -0.3 * 0.1 * gradient, rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize("sign", ["", "-"])
def test_rmsprop(sign: str) -> None:
    rule = f"""drive g = {sign}(post.apical * pre)   state v = 0   dv = 0.1 * (square(g) - v)
        dw = {sign}(eta * g / (sqrt(0.9 * v + 0.1 * g ^ 2) + 0.001))"""
    step, gradient, _ = step_of(rule)
    np.testing.assert_allclose(step, -0.3 * gradient / (np.sqrt(0.1 * gradient**2) + 0.001), rtol=1e-8)


def test_squares_stay_squares() -> None:
    """RMSprop with squares of single examples: the state gets delta^2 pre^2."""
    rule = "state v = 0   dv = 0.1 * (square(post.apical * pre) - v)   dw = eta * post * pre / (0.1 + sqrt(v))"
    taught = twin(load(RULED.format(rule=rule, bias="dw = 0"))).synapses["W"]
    assert is_slow(taught.dw)
    assert is_slow(taught.state("v").update)
    squared = next(d for d in taught.drives if d.name == "gradient_v").expr
    deltas = [p for p in walk(squared) if isinstance(p, Read) and p.value == "d(h.basal)"]
    assert len(deltas) == 2


def test_auxiliary_synapses_stand_still_and_change_nothing() -> None:
    p = problem(KOLEN_POLLACK, seed=1)
    before = p.state.weights["V2"].copy()
    Reference(twin(p.circuit), [], "float64").train(p.state, p.data, ORDER, p.numbers, seed=0, epoch=0, batch=2)
    np.testing.assert_array_equal(p.state.weights["V2"], before)
