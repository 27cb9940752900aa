"""The gradient twin: against the loss itself (Taylor), and against an independent autodiff."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import EXAMPLES, KOLEN_POLLACK, Array, Problem, load, problem

from circuitdsl.diagnostics import CircuitError
from circuitdsl.graph.ir import Kind, Read, When, walk
from circuitdsl.twin.gradient import adjoints, learning_synapses, role, twin


def slope(p: Problem, seed: int) -> float:
    """The order of |loss(w + h u) - loss(w) - h <gradient, u>| in h, median of 5 random directions."""
    rng = np.random.default_rng(seed)
    gradient, start = p.gradient(), p.loss({})
    steps = 1e-3 * 2.0 ** -np.arange(5)  # small, so that no kink is crossed
    slopes = []
    for _ in range(5):
        u = {name: rng.standard_normal(g.shape) for name, g in gradient.items()}
        u = {name: v if (mask := p.state.mask(name)) is None else v * mask for name, v in u.items()}
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
    "a function of the whole loss": perceptron(loss="sqrt(0.1 + cross_entropy(out, y))"),
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
