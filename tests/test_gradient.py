"""The gradient twin: against the loss itself (Taylor), against an independent autodiff, and rule by rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from circuitdsl.derive.gradient import adjoints, learning_synapses, role, twin
from circuitdsl.derive.rules import split
from circuitdsl.diagnostics import CircuitError, Source, Span
from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.ir import (
    Apply,
    Axis,
    Circuit,
    Coef,
    Expr,
    Kind,
    Num,
    ParamRef,
    Read,
    SynapseState,
    Weight,
    When,
    is_slow,
    walk,
)
from circuitdsl.graph.machine import State
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.resolve import load_text
from circuitdsl.reference import Reference

Array = NDArray[np.float64]
EXAMPLES = 6
ORDER = np.arange(EXAMPLES)


# ---------------------------------------------------------------- a circuit with weights and data


@dataclass
class Problem:
    """A circuit in which every rule is `dw = post * pre`, so that its twin moves by minus the gradient."""

    circuit: Circuit
    numbers: dict[str, float]
    state: State
    data: dict[str, Array]

    def loss(self, weights: dict[str, Array]) -> float:
        state = self.state.copy()
        state.weights.update(weights)
        engine = Reference(self.circuit, [], "float64")
        loss = engine.evaluate(state, self.data, ORDER, self.numbers, seed=3, epoch=2).loss
        assert loss is not None
        return loss

    def gradient(self) -> dict[str, Array]:
        engine = Reference(twin(self.circuit), [], "float64")
        step = engine.increments(self.state, self.data, ORDER, self.numbers, seed=3, epoch=2)
        return {name: -step[name] for name in learning_synapses(self.circuit)}


def load(text: str) -> Circuit:
    circuit = load_text(text).circuit
    assert circuit is not None
    return circuit


def problem(text: str, seed: int = 0, scale: float = 1.0) -> Problem:
    circuit = load(text)
    numbers = numbers_of(circuit, {})
    state = initial_state(circuit, numbers, seed, dtype="float64")
    rng = np.random.default_rng(seed)
    data: dict[str, Array] = {}
    for population in circuit.populations.values():
        if population.kind is Kind.INPUT:
            data[population.name] = rng.standard_normal((EXAMPLES, population.size))
        elif population.kind is Kind.TARGET and population.size > 1:
            data[population.name] = np.eye(population.size)[rng.integers(0, population.size, EXAMPLES)]
        elif population.kind is Kind.TARGET:
            data[population.name] = rng.integers(0, 2, (EXAMPLES, 1)).astype(np.float64)
    for array in state.weights.values():
        array *= scale
    return Problem(circuit, numbers, state, data)


def slope(p: Problem, seed: int) -> float:
    """The order of |loss(w + h u) - loss(w) - h <gradient, u>| in h, median of 5 random directions."""
    rng = np.random.default_rng(seed)
    gradient, start = p.gradient(), p.loss({})
    steps = 1e-3 * 2.0 ** -np.arange(5)  # small, so that no kink is crossed
    slopes = []
    for _ in range(5):
        u = {name: rng.standard_normal(g.shape) for name, g in gradient.items()}
        u = {name: v if (mask := p.state.masks[name]) is None else v * mask for name, v in u.items()}
        length = np.sqrt(sum((v**2).sum() for v in u.values()))
        u = {name: v / length for name, v in u.items()}
        along = sum(float((g * u[name]).sum()) for name, g in gradient.items())
        moved = [p.loss({n: p.state.weights[n] + h * u[n] for n in u}) for h in steps]
        rest = np.abs(np.array(moved) - start - steps * along)
        slopes.append(float(np.polyfit(np.log(steps), np.log(rest), 1)[0]))
    return float(np.median(slopes))


# ---------------------------------------------------------------- circuits

PERCEPTRON = """
circuit c {{
  input x: 7   target y: 4
  neuron h: 9 {{ dendrite basal   {h} }}
  neuron out: 4 {{ dendrite basal   {out} }}
  synapse W: x -> h.basal {{ dw = post * pre }}
  synapse c: bias -> h.basal {{ init = normal(0, 0.5)   dw = post * pre }}
  synapse U: h -> out.basal {{ dw = post * pre }}
  {more}
  loss = {loss}
}}
"""


def perceptron(
    h: str = "rate = tanh(basal)",
    out: str = "rate = softmax(basal)",
    loss: str = "cross_entropy(out, y)",
    more: str = "",
) -> str:
    return PERCEPTRON.format(h=h, out=out, loss=loss, more=more)


KOLEN_POLLACK = """
circuit kolen_pollack {
  input x: 64   target y: 10
  neuron h: 48 { dendrite basal, apical   rate = relu(basal) }
  neuron out: 10 { dendrite basal   rate = softmax(basal) }
  neuron err: 10 { rate = y - out }
  synapse W1: x -> h.basal { dw = post.apical * step(post.basal) * pre }
  synapse W2: h -> out.basal { dw = err * pre }
  synapse V2: err -> h.apical { dw = post * pre }
  loss = cross_entropy(out, y)
}
"""

FOUR_SYNAPSES = """
circuit self_assembly {
  input x: 12   target y: 5
  neuron a: 8 { dendrite basal, apical    rate = relu(basal) }
  neuron d: 8 { dendrite basal, lateral   rate = basal * step(a.basal) }
  neuron b: 7 { dendrite basal, apical    rate = relu(basal) }
  neuron e: 7 { dendrite basal, lateral   rate = basal * step(b.basal) }
  neuron out: 5 { dendrite basal   rate = softmax(basal) }
  neuron err: 5 { rate = y - out }
  synapse W1: x -> a.basal { bounds = [-0.5, 0.5]   dw = post.apical * step(post.basal) * pre }
  synapse B1: d -> a.apical { dw = post * pre }
  synapse V1: e -> d.basal { dw = post.lateral * step(a.basal) * pre }
  synapse F1: a -> d.lateral { dw = post * pre }
  synapse W2: a -> b.basal { bounds = [-0.5, 0.5]   dw = post.apical * step(post.basal) * pre }
  synapse B2: e -> b.apical { dw = post * pre }
  synapse V2: err -> e.basal { dw = post.lateral * step(b.basal) * pre }
  synapse F2: b -> e.lateral { dw = post * pre }
  synapse Wo: b -> out { dw = err * pre }
  loss = cross_entropy(out, y)
}
"""

SKIP = """
circuit skip {
  input x: 7   target y: 4
  neuron h: 6 { dendrite basal   rate = tanh(basal) }
  neuron g: 6 { dendrite basal   rate = sigmoid(basal) * h }
  neuron k: 5 { dendrite basal   rate = softplus(basal) }
  neuron out: 4 { dendrite basal   rate = basal }
  synapse W1: x -> h { dw = post * pre }
  synapse W2: h -> g { dw = post * pre }
  synapse W3: g -> k { dw = post * pre }
  synapse S1: x -> k { dw = post * pre }
  synapse W4: k -> out { dw = post * pre }
  synapse S2: h -> out { dw = post * pre }
  loss = mse(out, y)
}
"""

RECURRENT = """
circuit recurrent {
  input x: 5   target y: 3
  neuron h: 6 { dendrite basal, rec   state v = 0.1   rate = tanh(v)   dv = 0.4 * (basal + rec - v) + 0.1 * rate * v }
  neuron g: 6 { dendrite basal   rate = sigmoid(basal) * prev(h) + 0.3 * prev(g.basal) }
  neuron out: 3 { dendrite basal   rate = softmax(basal) }
  synapse Win: x -> h.basal { dw = post * pre }
  synapse Wrec: prev(g) -> h.rec { dw = post * pre }
  synapse Wg: h -> g.basal { dw = post * pre }
  synapse Wout: g -> out.basal { dw = post * pre }
  schedule { phase cue: 5   phase teach: 2 train   phase memory: 4 }
  loss = cross_entropy(out, y)WHEN
}
"""

OTHERS: dict[str, str] = {
    "functions": perceptron(
        h="""let a = exp(0.3 * basal) + log(1 + square(basal)) - sqrt(0.5 + abs(basal)) / (2 + sigmoid(basal))
             let b = min(basal, 0.3) + max(0.2, basal) * max(basal, a) + clip(basal, -1, 0.5) - -a
             let k = where(basal > 0.1, a, b * basal) + basal ^ 3 + softplus(a) ^ 1.5 + 2 ^ (a * 0.1)
             rate = tanh(0.2 * k)""",
    ),
    "softmax within": perceptron(h="let a = softmax(2 * basal)   rate = 3 * softmax(basal + a) * basal - a"),
    "winners": perceptron(h="rate = kwta(basal, 3) + 0.5 * kwta(tanh(basal), 2)"),
    "onehot": perceptron(h="rate = onehot_max(basal) * basal + 0.1 * basal"),
    "sigmoid outputs": perceptron(out="rate = sigmoid(basal)"),
    "softmax read twice": perceptron(
        more="neuron r: 4 { rate = out * out }   synapse R: r -> s.basal { dw = post * pre }"
        " neuron s: 3 { dendrite basal   rate = tanh(basal) }",
        loss="cross_entropy(out, y) + 0.3 * sum(square(s)) + 0.1 * norm(h)",
    ),
    "reductions": perceptron(
        h="rate = tanh(basal) + 0.2 * m - basal * b.a",
        more="""modulator m = mean(x) * bright * norm(b) + max(0.1, bright)
                modulator bright = sum(b.a * b) / 5
                neuron b: 1 { dendrite d   let a = tanh(d)   rate = a * 0.5 }
                synapse B: x -> b.d { dw = post * pre }""",
        loss="cross_entropy(out, y) * (1 + m) + 0.2 * max(h * h) + sqrt(mean(square(h))) + b",
    ),
    "noise": perceptron(
        h="let xi = randn()   rate = tanh(basal + 0.3 * xi) * (1 + 0.2 * rand())",
        more="modulator m = sum(h * randn()) * rand()",
        loss="cross_entropy(out, y) + 0.2 * m * rand()",
    ),
    "target that moves": perceptron(
        more="""neuron t: 4 { dendrite basal   rate = sigmoid(basal) }   synapse T: x -> t.basal { dw = post * pre }""",
        loss="cross_entropy(out, t) + mse(t, 0.5 * out)",
    ),
    "memory": """circuit c {
        input x: 4
        modulator r = mean(h) + 0.1 * loss { state b = 0.3   db = 0.3 * (r - b) * (1 + first(late)) }
        neuron h: 5 { dendrite d   state v = 0   state u = 1
          rate = tanh(v) * u
          dv = (0.1 * tick + 0.5) * (d + r.b - v)   du = 0.2 * (square(prev(h)) - u) * early }
        neuron out: 4 { dendrite d   rate = tanh(d) }
        synapse W: x -> h.d { dw = post * pre }
        synapse U: h -> out.d { dw = post * pre }
        schedule { phase early: 3   phase late: 3   phase taught: 2 train }
        loss = mse(out, x)
    }""",
    "masks and coefficients": perceptron(
        h="rate = gain * tanh(basal)",
        more="""param gain per h = uniform(0.5, 1.5)
                synapse S: prev(h) -> out.basal { dw = post * pre }
                synapse M: x -> out.basal { connect = sparse(0.5)   sign = inhibitory   dw = post * pre }""",
    ),
}  # fmt: skip

SCHEDULED = {
    when or "last": RECURRENT.replace("WHEN", when)
    for when in ("", " at cue", " over cue", " over memory", " at memory")
}

ALL = {
    "kolen_pollack": KOLEN_POLLACK, "four_synapses": FOUR_SYNAPSES, "skip": SKIP, **OTHERS,
    **{f"recurrent {k}": v for k, v in SCHEDULED.items()},
}  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_taylor(name: str) -> None:
    p = problem(ALL[name], seed=1)
    assert learning_synapses(p.circuit)
    assert slope(p, seed=5) == pytest.approx(2.0, abs=0.05)


def test_taylor_notices_a_wrong_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    p = problem(SKIP, seed=1)
    right = p.gradient()
    monkeypatch.setattr(Problem, "gradient", lambda self: {k: g * 1.01 for k, g in right.items()})
    assert slope(p, seed=5) < 1.5


# ---------------------------------------------------------------- against autograd


def ag_cross_entropy(p: Any, y: Any) -> Any:
    return anp.mean(-anp.sum(y * anp.log(p), axis=1))


def ag_softmax(z: Any) -> Any:
    e = anp.exp(z - anp.max(z, axis=1, keepdims=True))
    return e / anp.sum(e, axis=1, keepdims=True)


def ag_sigmoid(z: Any) -> Any:
    return 1 / (1 + anp.exp(-z))


def ag_kolen_pollack(w: dict[str, Any], d: dict[str, Array]) -> Any:
    h = anp.maximum(d["x"] @ w["W1"].T, 0)
    return ag_cross_entropy(ag_softmax(h @ w["W2"].T), d["y"])


def ag_four_synapses(w: dict[str, Any], d: dict[str, Array]) -> Any:
    a = anp.maximum(d["x"] @ w["W1"].T, 0)
    b = anp.maximum(a @ w["W2"].T, 0)
    return ag_cross_entropy(ag_softmax(b @ w["Wo"].T), d["y"])


def ag_skip(w: dict[str, Any], d: dict[str, Array]) -> Any:
    h = anp.tanh(d["x"] @ w["W1"].T)
    g = ag_sigmoid(h @ w["W2"].T) * h
    k = anp.log(1 + anp.exp(g @ w["W3"].T + d["x"] @ w["S1"].T))
    out = k @ w["W4"].T + h @ w["S2"].T
    return anp.mean((out - d["y"]) ** 2)


def ag_recurrent(when: str) -> Callable[[dict[str, Any], dict[str, Array]], Any]:
    read = {"last": [8], " at cue": [4], " over cue": [0, 1, 2, 3, 4], " over memory": [5, 6, 7, 8], " at memory": [8]}

    def loss(w: dict[str, Any], d: dict[str, Array]) -> Any:
        zero = np.zeros((EXAMPLES, 6))
        v, h_before, g_before, basal_before = zero + 0.1, zero, zero, zero
        total = 0.0
        for tick in range(9):
            h = anp.tanh(v)
            basal = h @ w["Wg"].T
            g = ag_sigmoid(basal) * h_before + 0.3 * basal_before
            out = ag_softmax(g @ w["Wout"].T)
            if tick in read[when]:
                total = total + ag_cross_entropy(out, d["y"]) / len(read[when])
            drive = d["x"] @ w["Win"].T + g_before @ w["Wrec"].T
            v = v + 0.4 * (drive - v) + 0.1 * h * v
            h_before, g_before, basal_before = h, g, basal
        return total

    return loss


INDEPENDENT: dict[str, tuple[str, Callable[[dict[str, Any], dict[str, Array]], Any]]] = {
    "kolen_pollack": (KOLEN_POLLACK, ag_kolen_pollack),
    "four_synapses": (FOUR_SYNAPSES, ag_four_synapses),
    "skip": (SKIP, ag_skip),
    **{f"recurrent {when}": (text, ag_recurrent(when)) for when, text in SCHEDULED.items()},
}


@pytest.mark.parametrize("name", INDEPENDENT)
def test_equals_an_independent_autodiff(name: str) -> None:
    text, loss = INDEPENDENT[name]
    p = problem(text, seed=2)
    ours = p.gradient()
    assert p.loss({}) == pytest.approx(float(loss(p.state.weights, p.data)), rel=1e-12)
    theirs = grad(lambda w: loss(w, p.data))({name: p.state.weights[name] for name in ours})
    for name, g in ours.items():
        assert np.abs(g).max() > 1e-6
        np.testing.assert_allclose(g, theirs[name], rtol=1e-8, atol=1e-12)


def test_saturated_softmax_keeps_its_gradient() -> None:
    """cross_entropy is differentiated without its max(p, 1e-7): softmax gives p - y, however small p is."""
    p = problem(KOLEN_POLLACK, seed=2, scale=30.0)
    h = np.maximum(p.data["x"] @ p.state.weights["W1"].T, 0)
    out = np.asarray(ag_softmax(h @ p.state.weights["W2"].T))
    assert (out * p.data["y"]).sum(axis=1).min() < 1e-30
    np.testing.assert_allclose(p.gradient()["W2"], (out - p.data["y"]).T @ h / EXAMPLES, rtol=1e-8, atol=1e-12)


ACTIVATIONS = ("relu", "tanh", "sigmoid", "softplus", "square")


@settings(max_examples=12, deadline=None)
@given(
    layers=st.lists(st.sampled_from(ACTIVATIONS), min_size=1, max_size=3),
    sizes=st.lists(st.integers(1, 5), min_size=3, max_size=3),
    loss=st.sampled_from(["mse(out, y)", "cross_entropy(out, y)"]),
    seed=st.integers(0, 100),
)
def test_generated_networks(layers: list[str], sizes: list[int], loss: str, seed: int) -> None:
    """Chains of any depth, also of single units, against autograd."""
    items, below = "", "x"
    for i, (f, size) in enumerate(zip(layers, sizes, strict=False)):
        items += f"neuron h{i}: {size} {{ dendrite basal   rate = {f}(basal) }}\n"
        items += f"synapse W{i}: {below} -> h{i} {{ dw = post * pre }}\n"
        below = f"h{i}"
    p = problem(
        f"""circuit c {{ input x: 4   target y: 3   {items}
        neuron out: 3 {{ dendrite basal   rate = softmax(basal) }}
        synapse Wo: {below} -> out {{ dw = post * pre }}   loss = {loss} }}""",
        seed,
    )
    functions: dict[str, Callable[[Any], Any]] = {
        "relu": lambda z: anp.maximum(z, 0), "tanh": anp.tanh, "sigmoid": ag_sigmoid,
        "softplus": lambda z: anp.log(1 + anp.exp(z)), "square": lambda z: z * z,
    }  # fmt: skip

    def theirs(w: dict[str, Any]) -> Any:
        r = p.data["x"]
        for i, f in enumerate(layers):
            r = functions[f](r @ w[f"W{i}"].T)
        out = ag_softmax(r @ w["Wo"].T)
        return anp.mean((out - p.data["y"]) ** 2) if "mse" in loss else ag_cross_entropy(out, p.data["y"])

    ours, expected = p.gradient(), grad(theirs)(p.state.weights)
    for name in ours:
        np.testing.assert_allclose(ours[name], expected[name], rtol=1e-8, atol=1e-10)


# ---------------------------------------------------------------- roles, and what is made


def test_roles() -> None:
    circuit = load(KOLEN_POLLACK.replace("dw = err * pre", ""))
    assert {s: role(circuit, s) for s in circuit.synapses} == {"W1": "learning", "W2": "fixed", "V2": "auxiliary"}


def test_training_flags_are_zero() -> None:
    """What acts only in training is no path to the loss: a clamped output learns as the free one."""
    clamped = perceptron(out="rate = where(train, y, softmax(basal))", more="synapse A: h -> k.d { dw = post * pre }"
                         " neuron k: 4 { dendrite d   rate = d }")  # fmt: skip
    p = problem(clamped, seed=1)
    assert role(p.circuit, "A") == "auxiliary"
    free = problem(perceptron(), seed=1)
    for name, g in free.gradient().items():
        np.testing.assert_allclose(p.gradient()[name], g, rtol=1e-10, atol=1e-14)


def test_only_what_is_needed_is_made() -> None:
    circuit = load(KOLEN_POLLACK)
    made = adjoints(circuit)
    assert all(made.values[name].kind is Kind.ADJOINT for name in made.reverse)
    assert {n for n in made.reverse if n.startswith("d(")} == {"d(out.basal)", "d(h)", "d(h.basal)"}
    fixed = twin(load(KOLEN_POLLACK.replace("dw = post.apical * step(post.basal) * pre", "")))
    assert "d(h)" not in fixed.reverse
    assert "d(h)" not in fixed.values


def test_every_adjoint_comes_after_what_it_reads() -> None:
    for text in ALL.values():
        circuit = adjoints(load(text))
        seen: set[str] = set()
        for name in circuit.reverse:
            value = circuit.values[name]
            sources = [c.source for c in value.currents]
            sources += [p for p in walk(value.expr) if isinstance(p, Read)] if value.expr is not None else []
            for read in sources:
                if read.value in circuit.reverse:
                    assert read.when is When.NEXT or read.value in seen
                else:
                    assert read.when is not When.NEXT
            seen.add(name)


def test_a_single_tick_has_no_before() -> None:
    text = perceptron(more="synapse P: prev(h) -> out.basal { dw = post * pre }")
    circuit = load(text)
    assert role(circuit, "P") == "auxiliary"
    assert not any("prev" in name for name in adjoints(circuit).reverse)


def test_no_loss() -> None:
    circuit = load("circuit c { input x: 2   neuron h: 2 { dendrite d   rate = d }   synapse W: x -> h { dw = pre } }")
    for transform in (adjoints, twin):
        with pytest.raises(CircuitError) as error:
            transform(circuit)
        assert [d.code for d in error.value.diagnostics] == ["C051"]
    assert learning_synapses(circuit) == ()
    assert role(circuit, "W") == "auxiliary"


def test_keep_states_are_constants() -> None:
    circuit = load(perceptron(h="state theta = 0.2 keep   dtheta = 0.1 * (rate - theta)   rate = tanh(basal - theta)"))
    taught = twin(circuit)
    assert taught.values["h.theta"].update is None
    assert "d(h.theta)" not in adjoints(circuit).reverse


# ---------------------------------------------------------------- the rule of the twin

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


# ---------------------------------------------------------------- rules as sums of products

SPAN = Span(Source("<test>", "w"), 0, 1)
LEAVES: dict[str, Expr] = {
    "pre": Read(span=SPAN, value="x", axis=Axis.PRE), "post": Read(span=SPAN, value="h", axis=Axis.POST),
    "m": Read(span=SPAN, value="m", axis=Axis.SCALAR), "w": Weight(span=SPAN), "e": SynapseState(span=SPAN, name="e"),
    "eta": ParamRef(span=SPAN, name="eta"), "c": Coef(span=SPAN, name="c", axis=None),
}  # fmt: skip


def value_of(expr: Expr, env: dict[str, float]) -> float:
    match expr:
        case Num(value=value):
            return value
        case Apply(function=f, arguments=arguments):
            a, *rest = [value_of(x, env) for x in arguments]
            return {
                "add": lambda: a + rest[0], "sub": lambda: a - rest[0], "mul": lambda: a * rest[0],
                "div": lambda: a / rest[0], "neg": lambda: -a, "square": lambda: a * a, "pow": lambda: a ** rest[0],
                "tanh": lambda: float(np.tanh(a)), "where": lambda: rest[0] if a != 0 else rest[1],
                "ne": lambda: float(a != rest[0]), "eq": lambda: float(a == rest[0]),
            }[f]()  # fmt: skip
        case _:
            return next(env[name] for name, leaf in LEAVES.items() if leaf == expr)


def applied(function: str, *arguments: Expr) -> Expr:
    return Apply(span=SPAN, function=function, arguments=arguments)


EXPRS: st.SearchStrategy[Expr] = st.recursive(
    st.one_of(
        st.sampled_from(list(LEAVES.values())),
        st.sampled_from([-2.0, -0.5, 0.1, 0.25, 1.0, 3.0]).map(lambda v: Num(span=SPAN, value=v)),
    ),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["add", "sub", "mul"]), inner, inner).map(lambda t: applied(*t)),
        st.tuples(st.sampled_from(["neg", "square", "tanh"]), inner).map(lambda t: applied(*t)),
        st.tuples(inner, inner, inner).map(lambda t: applied("where", *t)),
        st.tuples(inner, st.sampled_from(list(LEAVES.values()))).map(lambda t: applied("div", *t)),
        st.tuples(inner, st.integers(2, 3)).map(lambda t: applied("pow", t[0], Num(span=SPAN, value=t[1]))),
    ),
    max_leaves=7,
)


@settings(max_examples=300, deadline=None)
@given(expr=EXPRS, values=st.lists(st.floats(0.3, 2.0), min_size=7, max_size=7), expand=st.booleans())
def test_split_is_the_rule(expr: Expr, values: list[float], expand: bool) -> None:
    env = dict(zip(LEAVES, values, strict=True))
    terms = split(expr, expand=expand)
    total = sum(value_of(t.expr(), env) for t in terms)
    scale = 1 + sum(abs(value_of(t.expr(), env)) for t in terms)
    assert total == pytest.approx(value_of(expr, env), rel=1e-9, abs=1e-9 * scale)


def test_split_of_a_rule() -> None:
    eta, post, pre, w, c = (LEAVES[k] for k in ("eta", "post", "pre", "w", "c"))
    rule = applied("sub", applied("mul", applied("mul", eta, post), pre), applied("mul", applied("mul", eta, c), w))
    drive, decay = split(rule)
    assert (drive.numeric, drive.signals, drive.pre, drive.power) == ((eta,), (post,), (pre,), 0)
    assert (decay.number, decay.numeric, decay.power, decay.signals) == (-1, (eta, c), 1, ())
    poster = applied("mul", applied("mul", c, applied("sub", Num(span=SPAN, value=1), w)), applied("mul", post, pre))
    assert [t.power for t in split(poster)] == [None]
    assert [t.power for t in split(poster, expand=True)] == [0, 1]
