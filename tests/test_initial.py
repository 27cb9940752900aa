"""Params on the host, and the state that a circuit starts from."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitdsl.diagnostics import Source, Span
from circuitdsl.graph import functions
from circuitdsl.graph.functions import FUNCTIONS
from circuitdsl.graph.initial import constrain, initial_state
from circuitdsl.graph.ir import Apply, Circuit, Num, Sign, Weight
from circuitdsl.graph.machine import State
from circuitdsl.graph.numbers import Fans, evaluate, numbers_of, whole
from circuitdsl.graph.projections import Dense, dense, fans_of
from circuitdsl.graph.resolve import load_text

SPAN = Span(Source("t", ""), 0, 0)


def load(text: str) -> Circuit:
    circuit = load_text(text).circuit
    assert circuit is not None
    return circuit


def start(text: str, seed: int = 0, dtype="float64", folder: Path | None = None, **overrides) -> State:
    circuit = load(text)
    return initial_state(circuit, numbers_of(circuit, overrides), seed, dtype=dtype, folder=folder)


def one(init: str, *, pre: int = 40, post: int = 30, more: str = "") -> str:
    """A circuit with one synapse W."""
    return (
        f"circuit c {{ param s = 2  input x: {pre}"
        f" neuron h: {post} {{ dendrite d rate = d }}  synapse W: x -> h {{ init = {init} {more} }} }}"
    )


# ---------------------------------------------------------------- numbers

PARAMS = """circuit c {
  param eta = 0.1   param gamma = eta / 10   param half = gamma ^ 0.5 + gs[1]   param gs = [1, eta * 2, 3]
  param n = 4
  input x: n   neuron h: 2 { dendrite d rate = d * (eta + gamma + half + gs[0]) }   synapse W: x -> h {}
}"""


def test_params_computed_from_others_follow() -> None:
    circuit = load(PARAMS)
    plain = numbers_of(circuit, {})
    assert plain["gamma"] == pytest.approx(0.01)
    assert plain["half"] == pytest.approx(0.1 + 0.2)
    assert [plain[f"gs[{i}]"] for i in range(3)] == pytest.approx([1, 0.2, 3])
    changed = numbers_of(circuit, {"eta": 0.4})
    assert changed["gamma"] == pytest.approx(0.04)
    assert changed["half"] == pytest.approx(0.2 + 0.8)
    assert numbers_of(circuit, {"eta": 0.4, "gamma": 1})["half"] == pytest.approx(1 + 0.8)


def test_lists_and_their_elements_can_be_set() -> None:
    circuit = load(PARAMS)
    assert numbers_of(circuit, {"gs": [7, 8, 9]})["half"] == pytest.approx(0.1 + 8)
    assert numbers_of(circuit, {"gs[1]": 5})["half"] == pytest.approx(0.1 + 5)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"etta": 1}, "no param `etta`; did you mean `eta`?"),
        ({"zzz": 1}, "no param `zzz`; its params are: `eta`"),
        ({"n": 5}, "`n` shapes the circuit .* load the circuit again"),
        ({"gs": 5}, "`gs` is a list of 3 numbers, not one number"),
        ({"gs": [1, 2]}, "`gs` is a list of 3 numbers; 2 were given"),
        ({"gs[3]": 1}, r"elements 0 to 2: there is no `gs\[3\]`"),
        ({"eta": [1.0]}, "`eta` is a number"),
        ({"eta": "fast"}, "`eta` is a number; it cannot be set to 'fast'"),
        ({"eta": math.inf}, "`eta` is a finite number"),
    ],
)
def test_what_cannot_be_set_is_refused(overrides, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        numbers_of(load(PARAMS), overrides)


FINITE = st.floats(-30, 30, allow_subnormal=False)


@given(st.sampled_from(sorted(FUNCTIONS)), st.tuples(FINITE, FINITE, FINITE))
def test_host_and_array_functions_agree(name: str, values: tuple[float, float, float]) -> None:
    arguments = values[: FUNCTIONS[name].arity]
    expr = Apply(function=name, arguments=tuple(Num(value=v, span=SPAN) for v in arguments), span=SPAN)
    with functions.quiet():
        expected = functions.elementwise(name, [np.asarray(v) for v in arguments])
    assert evaluate(expr, {}) == pytest.approx(float(expected), rel=1e-12, abs=1e-12, nan_ok=True)


def test_undefined_numbers_are_ieee() -> None:
    inf, nan = math.inf, math.nan
    assert FUNCTIONS["div"].number(1, 0) == inf
    assert FUNCTIONS["div"].number(1, -0.0) == -inf
    assert math.isnan(FUNCTIONS["div"].number(0, 0))
    assert FUNCTIONS["log"].number(0) == -inf
    assert math.isnan(FUNCTIONS["sqrt"].number(-1))
    assert FUNCTIONS["exp"].number(1e4) == inf
    assert FUNCTIONS["pow"].number(0, -1) == inf
    assert math.isnan(FUNCTIONS["pow"].number(-8, 1 / 3))
    assert FUNCTIONS["pow"].number(-10, 999) == -inf
    assert math.isnan(FUNCTIONS["max"].number(1, nan))


def test_what_runs_is_no_number_beforehand() -> None:
    with pytest.raises(ValueError, match="not a number before the circuit runs"):
        evaluate(Weight(span=SPAN), {})


@pytest.mark.parametrize("value", [2.5, -1, math.nan, math.inf])
def test_ticks_are_whole(value: float) -> None:
    with pytest.raises(ValueError, match=r"ticks .*whole number"):
        whole(Num(value=value, span=SPAN), {}, "the number of ticks")


# ---------------------------------------------------------------- initial values


@pytest.mark.parametrize(
    ("init", "expected"),
    [
        ("zeros", 0),
        ("constant(0.25)", 0.25),
        ("constant(s) * 2 - 1", 3),
        ("s", 2),
        ("clip(constant(5), 0, fan_in)", 5),
        ("1 / fan_in + fan_out", 1 / 40 + 30),
        ("identity() * 3", 3 * np.eye(30, 40)),
    ],
)
def test_constant_initial_values(init: str, expected) -> None:
    assert np.array_equal(start(one(init)).weights["W"], np.broadcast_to(expected, (30, 40)))


def test_normal_and_uniform_have_their_moments() -> None:
    weights = start(one("normal(1, s)", pre=300, post=200)).weights["W"]
    assert weights.mean() == pytest.approx(1, abs=0.05)
    assert weights.std() == pytest.approx(2, abs=0.05)
    weights = start(one("uniform(-1, s)", pre=300, post=200)).weights["W"]
    assert -1 <= weights.min() < -0.99
    assert 1.99 < weights.max() < 2
    assert weights.mean() == pytest.approx(0.5, abs=0.02)


def test_the_default_is_scaled_by_the_realised_fan_in() -> None:
    dense = "circuit c { input x: 400 neuron h: 300 { dendrite d rate = d } synapse W: x -> h { %s } }"
    assert start(dense % "").weights["W"].std() == pytest.approx(1 / 20, rel=0.05)
    state = start(dense % "connect = fan_in(25)")
    assert state.weights["W"][state.mask("W")].std() == pytest.approx(1 / 5, rel=0.05)


@pytest.mark.parametrize(("post", "pre"), [(20, 20), (30, 12), (12, 30)])
def test_orthogonal(post: int, pre: int) -> None:
    w = start(one("orthogonal()", pre=pre, post=post)).weights["W"]
    gram = w.T @ w if post >= pre else w @ w.T
    assert np.allclose(gram, np.eye(min(post, pre)))
    assert not np.allclose(w, np.eye(post, pre))


def test_each_call_draws_anew() -> None:
    w = start(one("normal(0, 1) - normal(0, 1)")).weights["W"]
    assert w.std() == pytest.approx(math.sqrt(2), rel=0.1)


def test_runtime_params_set_initial_values() -> None:
    assert start(one("constant(s)"), s=7).weights["W"][0, 0] == 7


COPIES = """circuit c {
  input x: 5   input z: 3
  neuron h: 3 { dendrite d rate = d }   neuron g: 5 { dendrite d rate = d }
  synapse C: x -> h { init = copy(B) }
  synapse B: x -> h { init = 2 * transpose(A) + copy(D)   bounds = [-0.5, 0.5] }
  synapse A: z -> g { init = normal(0, 1) }
  synapse D: x -> h { init = normal(0, 1)   connect = sparse(0.5) }
}"""


def test_copies_are_made_in_the_order_of_dependency() -> None:
    w = start(COPIES).weights
    assert np.array_equal(w["B"], np.clip(2 * w["A"].T + w["D"], -0.5, 0.5))
    assert np.array_equal(w["C"], w["B"])
    w["B"][0, 0] = 9
    assert w["C"][0, 0] != 9


def test_files(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(size=(30, 40))
    mask = np.random.default_rng(1).integers(0, 2, (30, 40))
    np.save(tmp_path / "w.npy", weights)
    np.save(tmp_path / "mask.npy", mask)
    text = one('file("w.npy")', more='connect = file("mask.npy")')
    state = start(text, folder=tmp_path)
    assert np.array_equal(state.weights["W"], weights * mask)
    assert np.array_equal(state.mask("W"), mask == 1)


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    text = one('file("w.npy")')
    with pytest.raises(OSError, match=r"there is no file `.*w\.npy`"):
        start(text, folder=tmp_path)
    np.save(tmp_path / "w.npy", np.zeros((40, 30)))
    with pytest.raises(ValueError, match=r"`W` is 30x40, but `w.npy` is 40x30"):
        start(text, folder=tmp_path)
    np.save(tmp_path / "w.npy", np.ones((30, 40)) * 1j)
    with pytest.raises(ValueError, match=r"w.npy` holds complex numbers"):
        start(text, folder=tmp_path)
    np.save(tmp_path / "w.npy", np.full((30, 40), np.nan))
    with pytest.raises(ValueError, match=r"w.npy` has 1,200 values that are not finite"):
        start(text, folder=tmp_path)
    (tmp_path / "w.npy").write_text("no array")
    with pytest.raises(ValueError, match=r"w.npy` is no .npy array"):
        start(text, folder=tmp_path)


# ---------------------------------------------------------------- streams


def test_the_seed_decides() -> None:
    text = one("normal(0, 1)", more="connect = sparse(0.5)")
    a, b, c = start(text, seed=1), start(text, seed=1), start(text, seed=2)
    assert np.array_equal(a.weights["W"], b.weights["W"])
    assert not np.array_equal(a.mask("W"), c.mask("W"))
    with pytest.raises(ValueError, match="a seed is"):
        start(text, seed=-1)


def test_adding_a_synapse_leaves_the_others() -> None:
    more = "} neuron k: 6 { dendrite d rate = d } synapse A: x -> k { init = normal(0, 1) } synapse U: x -> h {"
    a, b = start(one("normal(0, 1)")), start(one("normal(0, 1)", more=more))
    assert np.array_equal(a.weights["W"], b.weights["W"])
    assert not np.array_equal(b.weights["U"], b.weights["W"])


def test_the_mask_does_not_depend_on_the_initial_value() -> None:
    masks = [start(one(i, more="connect = sparse(0.5)")).mask("W") for i in ("zeros", "normal(0, 1)")]
    assert np.array_equal(*masks)


def test_both_precisions_start_alike() -> None:
    single, double = (start(one("normal(0, 1)"), dtype=d).weights["W"] for d in ("float32", "float64"))
    assert single.dtype == np.float32
    assert np.array_equal(double.astype(np.float32), single)


# ---------------------------------------------------------------- masks


def mask(connect: str, **sizes) -> np.ndarray:
    text = one("constant(1)", more=f"connect = {connect}", **sizes)
    state = start(text)
    found, weights = state.mask("W"), dense(load(text), state).weights["W"]
    assert np.array_equal(weights, np.ones_like(weights) if found is None else found)
    return found


def test_masks() -> None:
    square = {"pre": 20, "post": 20}
    assert mask("dense") is None
    assert mask("dense & sparse(1)") is None
    assert np.array_equal(mask("one_to_one", **square), np.eye(20))
    assert np.array_equal(mask("no_self", **square), 1 - np.eye(20))
    assert mask("sparse(0.3)", pre=200, post=200).mean() == pytest.approx(0.3, abs=0.02)
    assert not mask("sparse(0)").any()


def test_fan_in_is_exact() -> None:
    rows = mask("fan_in(7)").sum(axis=1)
    assert np.array_equal(rows, np.full(30, 7))
    assert mask("fan_in(7)").sum(axis=0).std() > 0
    circuit = load(one("zeros", more="connect = fan_in(s)"))
    with pytest.raises(ValueError, match="`W` cannot have a fan_in of 41: `x` has 40 units"):
        initial_state(circuit, numbers_of(circuit, {"s": 41}), 0, dtype="float64")


@pytest.mark.parametrize("connect", ["fan_in(5) & no_self", "no_self & fan_in(5)"])
def test_fan_in_chooses_among_what_the_other_masks_allow(connect: str) -> None:
    found = mask(connect, pre=8, post=8)
    assert np.array_equal(found.sum(axis=1), np.full(8, 5))
    assert not found.diagonal().any()


def test_masks_are_intersections() -> None:
    both = mask("sparse(0.5) & fan_in(3)", pre=6, post=200)
    assert both.sum(axis=1).max() == 3
    assert both.sum(axis=1).min() < 3


def test_fans_are_realised_means() -> None:
    circuit = load(one("zeros", more="connect = sparse(0.4)"))
    state = initial_state(circuit, numbers_of(circuit, {}), 0, dtype="float64")
    present = state.mask("W")
    expected = Fans(present.sum(axis=1).mean(), present.sum(axis=0).mean())
    assert fans_of(circuit.synapses["W"], Dense(present)) == pytest.approx(expected)
    assert fans_of(circuit.synapses["W"], Dense(None)) == (40, 30)


def test_an_empty_mask_leaves_no_nan() -> None:
    text = "circuit c { input x: 3 neuron h: 3 { dendrite d rate = d } synapse W: x -> h { connect = sparse(0) } }"
    assert np.array_equal(start(text).weights["W"], np.zeros((3, 3)))


# ---------------------------------------------------------------- sign and bounds


@pytest.mark.parametrize(
    ("more", "low", "high"),
    [
        ("sign = excitatory", 0, math.inf),
        ("sign = inhibitory", -math.inf, 0),
        ("bounds = [-0.3, s / 4]", -0.3, 0.5),
        ("sign = inhibitory bounds = [-0.3, 0.3]", -0.3, 0),
    ],
)
def test_initial_values_are_clipped(more: str, low: float, high: float) -> None:
    free = start(one("normal(0, 1)")).weights["W"]
    assert np.array_equal(start(one("normal(0, 1)", more=more)).weights["W"], np.clip(free, low, high))


def test_absent_weights_are_zero_whatever_the_bounds() -> None:
    state = start(one("normal(0, 1)", more="connect = sparse(0.5) bounds = [1, 2]"))
    present = state.mask("W")
    assert np.array_equal(state.weights["W"][~present], np.zeros((~present).sum()))
    assert state.weights["W"][present].min() >= 1


def test_constrain_keeps_the_precision() -> None:
    circuit = load(one("zeros", more="sign = excitatory bounds = [-0.1, 0.1]"))
    synapse = circuit.synapses["W"]
    assert synapse.sign is Sign.EXCITATORY
    found = constrain(np.full((30, 40), 1, np.float32), synapse, None, {"s": 2}, Fans(40, 30))
    assert found.dtype == np.float32
    assert found[0, 0] == np.float32(0.1)


# ---------------------------------------------------------------- states and coefficients

STATES = """circuit c {
  param c per W = normal(1, 0.1)   param u per h = uniform(0, 1)   param k = 3
  input x: 5
  neuron h: 4 {
    dendrite d
    state v = k   state q = normal(0, 1) keep
    dv = d * u - v
    rate = v + q
  }
  synapse W: x -> h {
    connect = sparse(0.5)
    state m = k / fan_in   state e = 0.5 fresh
    dm = c   de = pre   dw = m + e
  }
  modulator r = mean(h) { state b = 0.25 keep   db = r - b }
}"""


def test_states_and_coefficients() -> None:
    circuit = load(STATES)
    state = initial_state(circuit, numbers_of(circuit, {}), 0, dtype="float32")
    present = state.mask("W")
    assert np.array_equal(state.resets["h.v"], np.full(4, 3))
    assert state.kept["h.q"].shape == (4,)
    assert state.kept["h.q"].std() > 0
    assert np.array_equal(state.kept["r.b"], [0.25])
    assert set(state.kept) == {"h.q", "r.b"}
    fan_in = present.sum() / 4
    assert state.synapse_states["W", "m"] == pytest.approx(np.where(present, 3 / fan_in, 0))
    assert np.array_equal(state.resets["W.e"], np.where(present, 0.5, 0))
    assert set(state.resets) == {"h.v", "W.e"}
    assert state.coefficients["c"].shape == (4, 5)
    assert np.all((state.coefficients["c"] != 0) == present)
    assert state.coefficients["u"].shape == (4,)
    arrays = [*state.kept.values(), *state.resets.values(), *state.coefficients.values()]
    assert {a.dtype for a in arrays} == {np.dtype(np.float32)}


def test_a_copy_of_a_state_is_its_own() -> None:
    state = start(one("normal(0, 1)"))
    other = state.copy()
    other.weights["W"][...] = 0
    assert state.weights["W"].any()
