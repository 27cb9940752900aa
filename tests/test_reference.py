"""The oracle itself: circuits written out by hand, batches, functions, gradients, the library."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bench import LIBRARY, Bench, library
from hypothesis import given, settings
from hypothesis import strategies as st
from independent import adam, four_synapse, kolen_pollack, softmax

from circuitdsl.graph.machine import Engine
from circuitdsl.graph.populations import REDUCTIONS, over
from circuitdsl.graph.resolve import load_file, load_text
from circuitdsl.reference import Reference
from circuitdsl.twin.adjoints import adjoints


def test_the_oracle_is_an_engine() -> None:
    engine: Engine = Bench(DECAY).engine
    assert engine.circuit.name == "c"


# ---------------------------------------------------------------- against circuits written by hand


@pytest.mark.parametrize("batch", [1, 4])
def test_kolen_pollack_by_hand(batch: int) -> None:
    bench = Bench(library("heterosynaptic/kolen_pollack.circ"), examples=40)
    order = np.random.default_rng(0).integers(0, 40, 50 * batch)
    start = {name: array.copy() for name, array in bench.state.weights.items()}
    rates = {name: bench.numbers[name] for name in ("eta", "gamma")}
    expected = kolen_pollack(start, bench.data["x"], bench.data["y"], order, batch, **rates)
    follow(bench, order, batch, expected)


@pytest.mark.parametrize(("depth", "batch"), [(2, 1), (2, 3), (3, 1)])
def test_the_four_synapse_circuit_by_hand(depth: int, batch: int) -> None:
    bench = Bench(library("heterosynaptic/self_assembly.circ", depth=depth, n=11), examples=40)
    order = np.random.default_rng(0).integers(0, 40, 50 * batch)
    start = {name: array.copy() for name, array in bench.state.weights.items()}
    expected = four_synapse(
        start, bench.data["x"], bench.data["y"], order, batch,
        eta=bench.numbers["eta"], gamma=bench.numbers["gamma"], depth=depth, bound=0.5,
    )  # fmt: skip
    assert any(np.abs(array).max() == 0.5 for array in expected[-1].values())
    follow(bench, order, batch, expected)


def follow(bench: Bench, order: np.ndarray, batch: int, expected) -> None:
    """The weights after every update, to 1e-9."""
    for i, weights in enumerate(expected):
        bench.train(order[i * batch : (i + 1) * batch], batch=batch)
        for name, array in weights.items():
            assert np.abs(bench.state.weights[name] - array).max() < 1e-9 * np.abs(array).max()


ADAM = """import "rules/optimizers.circ"
circuit c {
  param eta = 0.01   param b1 = 0.9   param b2 = 0.99   param eps = 0.001
  input x: 5   target y: 3
  neuron out: 3 { dendrite d rate = d }   neuron err: 3 { rate = y - out }
  synapse W: x -> out {
    drive g = err * pre   state m = 0   state v = 0   state n = 0
    dm = average(g, m, b1)   dv = average(g^2, v, b2)   dn = 1
    dw = adam_step(g, m, v, n, eta, b1, b2, eps)
  }
  loss = mse(out, y)
}"""


def test_adam_in_batches_is_adam() -> None:
    """A drive is averaged over the batch before it is squared."""
    bench = Bench(ADAM, examples=20)
    order = np.random.default_rng(0).integers(0, 20, 160)
    start = bench.state.weights["W"].copy()
    expected = adam(start, bench.data["x"], bench.data["y"], order, 16, eta=0.01, b1=0.9, b2=0.99, epsilon=0.001)
    follow(bench, order, 16, [{"W": w} for w in expected])


# ---------------------------------------------------------------- batches

DECAY = """circuit c {
  param eta = 0.1
  input x: 3   target y: 2
  neuron h: 2 { dendrite d rate = relu(d) }   neuron err: 2 { rate = y - h }
  synapse W: x -> h { dw = eta * err * pre - 0.01 * w }
  loss = mse(h, y)
  task t { data = digits metric = accuracy(h, y) }
}"""


def test_a_batch_is_averaged_and_the_last_short_one_over_its_own_size() -> None:
    bench = Bench(DECAY, examples=5)
    x, y = bench.data["x"], bench.data["y"]
    w = bench.state.weights["W"].copy()
    bench.train(batch=3)
    for examples in ([0, 1, 2], [3, 4]):
        error = y[examples] - np.maximum(x[examples] @ w.T, 0)
        w += 0.1 * error.T @ x[examples] / len(examples) - 0.01 * w
    assert bench.state.weights["W"] == pytest.approx(w, abs=1e-14)


def test_increments_are_what_training_adds() -> None:
    bench = Bench(DECAY)
    before = bench.state.weights["W"].copy()
    step = bench.increments()["W"]
    assert np.array_equal(bench.state.weights["W"], before)
    bench.train(batch=6)
    assert bench.state.weights["W"] - before == pytest.approx(step, abs=1e-14)


def test_evaluation_freezes_everything_and_gives_means() -> None:
    bench = Bench(DECAY, examples=300)
    before = bench.state.copy()
    found = bench.evaluate(watch=["h", "h.d"])
    h = np.maximum(bench.data["x"] @ before.weights["W"].T, 0)
    y = bench.data["y"]
    assert np.array_equal(bench.state.weights["W"], before.weights["W"])
    assert found.loss == pytest.approx(((h - y) ** 2).mean())
    assert found.probes == [pytest.approx((h.argmax(1) == y.argmax(1)).mean())]
    assert found.watched["h"] == pytest.approx(h)
    assert found.watched["h.d"].shape == (300, 2)


def test_the_dtype_is_kept() -> None:
    bench = Bench(DECAY, dtype="float32")
    assert {a.dtype for a in bench.trace().values()} == {np.dtype(np.float32)}
    assert bench.train().weights["W"].dtype == np.float32


# ---------------------------------------------------------------- functions

ROWS = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=1, max_size=6)


@given(ROWS, st.integers(0, 7))
def test_population_functions(row: list[float], k: int) -> None:
    x = np.array([row])
    winners = sorted(range(len(row)), key=lambda i: (-row[i], i))[:k]
    assert over("kwta", x, np.asarray(k))[0].tolist() == [v if i in winners else 0 for i, v in enumerate(row)]
    first = row.index(max(row))
    assert over("onehot_max", x, None)[0].tolist() == [float(i == first) for i in range(len(row))]
    assert over("softmax", x, None)[0] == pytest.approx(softmax(x[0]))
    assert over("softmax", x + 1e4, None)[0] == pytest.approx(softmax(x[0]))


def test_reductions() -> None:
    p, y = np.array([[0.2, 0.8, 0.0]]), np.array([[0.0, 0.5, 0.5]])
    assert REDUCTIONS["cross_entropy"].array(p, y)[0, 0] == pytest.approx(-0.5 * np.log(0.8) - 0.5 * np.log(1e-7))
    assert REDUCTIONS["mse"].array(p, y)[0, 0] == pytest.approx((0.04 + 0.09 + 0.25) / 3)
    assert REDUCTIONS["norm"].array(p)[0, 0] == pytest.approx(np.sqrt(0.68))
    assert REDUCTIONS["accuracy"].array(p, y).tolist() == [[1]]
    assert REDUCTIONS["accuracy"].array(p, y[:, ::-1]).tolist() == [[0]]
    for value, answer, same in [(0.4, 0, 1), (0.5, 0, 1), (0.6, 0, 0), (0.6, 1, 1)]:
        assert REDUCTIONS["accuracy"].array(np.array([[value]]), np.array([[float(answer)]])) == same


def test_conventions_at_zero() -> None:
    text = """circuit c { input x: 1 neuron h: 1 { let a = step(x) let b = sign(x) let c = relu(x)
      let d = 1 / x let e = where(x, 1, 2) let f = x >= 0 rate = a + b + c + d + e + f } }"""
    bench = Bench(text, examples=1)
    bench.data["x"][...] = 0
    trace = bench.trace()
    assert [trace[f"h.{n}"].item() for n in "abcdef"] == [0, 0, 0, np.inf, 2, 1]


# ---------------------------------------------------------------- gradients

DEEP = """circuit c {
  param eta = 0.1
  input x: 4   target y: 3
  neuron h: 5 { dendrite d, rec   state v = 0.1   dv = 0.3 * (tanh(d + rec) - v)   rate = v * sigmoid(d) }
  neuron out: 3 { dendrite d rate = softmax(d) }
  neuron err: 3 { rate = y - out }
  synapse W: x -> h.d { dw = eta * pre * post }
  synapse R: prev(h) -> h.rec { connect = sparse(0.7)   dw = eta * pre * post }
  synapse O: h -> out { dw = eta * err * pre }
  loss = %s
  schedule { phase a: 3   phase b: 2 }
}"""


@pytest.mark.parametrize(
    "loss",
    ["cross_entropy(out, y)", "mse(out, y) at a", "cross_entropy(out, y) + 0.1 * norm(h) over b"],
)
def test_the_adjoints_are_the_gradient(loss: str) -> None:
    """Against central differences of the loss, through all ticks of evaluation."""
    bench = Bench(DEEP % loss, examples=3)
    twin = Reference(adjoints(bench.circuit), [], "float64")
    gradient = twin.gradient(bench.state, bench.data, bench.order, bench.numbers, seed=0, epoch=0)
    rng, step = np.random.default_rng(0), 1e-5
    for name, weights in bench.state.weights.items():
        for _ in range(4):
            j, i = rng.integers(0, weights.shape[0]), rng.integers(0, weights.shape[1])
            present = bench.state.mask(name) is None or bench.state.mask(name)[j, i]
            kept = weights[j, i]
            losses = []
            for sign in (1, -1):
                weights[j, i] = kept + sign * step
                losses.append(bench.evaluate().loss)
            weights[j, i] = kept
            slope = (losses[0] - losses[1]) / (2 * step)
            assert gradient[name][j, i] == pytest.approx(slope if present else 0, abs=1e-8)


def test_a_twin_sums_over_the_evaluation_ticks_and_updates_once() -> None:
    """`dw` of a circuit with adjoints reads the values of its tick in the reverse pass."""
    plain = Bench(DEEP % "cross_entropy(out, y)", examples=4)
    twin = Bench(adjoints(plain.circuit), examples=4)
    trace = plain.trace(training=False)
    error = plain.data["y"] - trace["out"]
    w, o = plain.state.weights["W"], plain.state.weights["O"]
    twin.train(batch=4)
    expected = o + 0.1 * np.einsum("tbj,tbi->ji", error, trace["h"]) / 4
    assert twin.state.weights["O"] == pytest.approx(expected)
    expected = w + 0.1 * np.einsum("tbj,bi->ji", trace["h"], plain.data["x"]) / 4
    assert twin.state.weights["W"] == pytest.approx(expected)
    assert np.array_equal(twin.state.weights["R"] != 0, twin.state.mask("R"))


def test_a_twin_neither_trains_in_its_forward_pass_nor_moves_what_evaluation_freezes() -> None:
    text = """circuit c { input x: 2 target y: 2
      neuron h: 2 { dendrite d state u = 1 keep du = 1 let t = train rate = u * d + t }
      synapse W: x -> h { state m = 0 drive g = pre * post dm = g dw = m + g }
      loss = mse(h, y) schedule { phase a: 2 phase b: 3 train } }"""
    bench = Bench(adjoints(load_text(text).circuit))
    x, w = bench.data["x"], bench.state.weights["W"].copy()
    assert bench.trace()["h.t"].tolist() == np.zeros((2, 6, 2)).tolist()
    bench.train(batch=6)
    g = 2 * (x @ w.T).T @ x / 6
    assert bench.state.synapse_states["W", "m"] == pytest.approx(g)
    assert bench.state.weights["W"] == pytest.approx(w + g)
    assert bench.state.kept["h.u"].tolist() == [1, 1]


def test_without_adjoints_there_is_no_gradient() -> None:
    bench = Bench(DECAY)
    with pytest.raises(ValueError, match="no adjoints"):
        bench.engine.gradient(bench.state, bench.data, bench.order, bench.numbers, seed=0, epoch=0)


# ---------------------------------------------------------------- the library


@pytest.mark.parametrize("path", sorted(p.relative_to(LIBRARY).as_posix() for p in LIBRARY.rglob("*.circ")), ids=str)
def test_the_library_runs_and_stays_finite(path: str) -> None:
    circuit = load_file(LIBRARY / path).circuit
    if circuit is None:
        return
    bench = Bench(circuit, examples=8, dtype="float32")
    bench.train(batch=3)
    found = bench.evaluate()
    assert found.loss is None or np.isfinite(found.loss)
    assert all(np.isfinite(w).all() for w in bench.state.weights.values())
    plastic = [s.name for s in circuit.synapses.values() if s.dw is not None]
    assert set(bench.increments()) == set(plastic)


@settings(max_examples=20)
@given(st.permutations(range(6)))
def test_a_batch_has_no_order(order) -> None:
    one, other = Bench(DECAY), Bench(DECAY)
    one.train(order, batch=6)
    other.train(batch=6)
    assert one.state.weights["W"] == pytest.approx(other.state.weights["W"], abs=1e-13)


def test_a_fixed_synapse_stays() -> None:
    bench = Bench(DECAY)
    synapse = replace(bench.circuit.synapses["W"], dw=None)
    fixed = Bench(replace(bench.circuit, synapses={"W": synapse}))
    before = fixed.state.weights["W"].copy()
    assert np.array_equal(fixed.train().weights["W"], before)
    assert fixed.increments() == {}
