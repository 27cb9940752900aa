"""The oracle over time: ticks, states, phases, plasticity and its lifetimes, noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bench import Bench

from circuitdsl import noise
from circuitdsl.graph.ir import Axis, Coef, Expr, Random, walk

# ---------------------------------------------------------------- ticks, states, phases

LEAKY = """circuit c {
  input x: 3
  neuron h: 4 {
    dendrite d
    state v = 0.5
    state u = 1 keep
    dv = 0.25 * (d - v)
    du = 0.1 * d
    rate = v * u
  }
  synapse W: x -> h {}
  modulator r = sum(h) { state b = 0 keep   state a = 2   db = r - b   da = 1 }
  schedule { phase run: 5 }
}"""


def test_states_advance_after_the_tick_and_reset_with_the_example() -> None:
    bench = Bench(LEAKY)
    current = bench.data["x"] @ bench.state.weights["W"].T
    trace = bench.trace()
    v, u = np.full((6, 4), 0.5), np.ones(4)
    b, a = 0.0, 2.0
    for tick in range(5):
        assert trace["h.v"][tick] == pytest.approx(v)
        assert trace["h.u"][tick] == pytest.approx(np.broadcast_to(u, (6, 4)))
        assert trace["h"][tick] == pytest.approx(v * u)
        total = (v * u).sum(axis=1)
        assert trace["r"][tick, :, 0] == pytest.approx(total)
        assert trace["r.b"][tick, :, 0] == pytest.approx(np.full(6, b))
        assert trace["r.a"][tick, :, 0] == pytest.approx(np.full(6, a))
        v, u = v + 0.25 * (current - v), u + 0.1 * current.mean(axis=0)
        b, a = b + total.mean() - b, a + 1
    bench.train(batch=6)
    assert bench.state.kept["h.u"] == pytest.approx(u)
    assert bench.state.kept["r.b"] == pytest.approx([b])
    again = bench.trace(training=False)
    assert again["h.v"][0] == pytest.approx(np.full((6, 4), 0.5))
    assert again["h.u"] == pytest.approx(np.broadcast_to(u, (5, 6, 4)))


PREV = """circuit c {
  param k = 3
  input x: 2
  neuron h: 3 { dendrite d, rec   state s = 1   ds = 1   let a = 2 * d   rate = d + 0.5 * rec }
  neuron g: 3 { rate = prev(h) + prev(h.a) }
  synapse W: x -> h.d {}
  synapse R: prev(h) -> h.rec { dw = 0.01 * pre * post + 0.1 * pre.s }
  schedule { phase run: k   update = %s }
}"""


def test_prev_is_the_tick_before_and_zero_at_the_first() -> None:
    bench = Bench(PREV % "tick")
    trace = bench.trace(training=False)
    w = bench.state.weights
    d = bench.data["x"] @ w["W"].T
    h = np.zeros_like(d)
    for tick in range(3):
        g = h + (2 * d if tick else 0)
        h = d + 0.5 * h @ w["R"].T
        assert trace["h"][tick] == pytest.approx(h)
        assert trace["g"][tick] == pytest.approx(g)


@pytest.mark.parametrize("update", ["tick", "example"])
def test_a_synapse_from_prev_reads_the_presynaptic_side_of_the_tick_before(update: str) -> None:
    bench = Bench(PREV % update)
    w = bench.state.weights["R"].copy()
    d = bench.data["x"] @ bench.state.weights["W"].T
    before, s = np.zeros_like(d), 0.0
    pending = np.zeros_like(w)
    for tick in range(3):
        h = d + 0.5 * before @ w.T
        dw = 0.01 * h.T @ before / 6 + 0.1 * s
        w, pending = (w + dw, pending) if update == "tick" else (w, pending + dw)
        before, s = h, 1.0 + tick
    bench.train(batch=6)
    assert bench.state.weights["R"] == pytest.approx(w + pending)


PHASES = """circuit c {
  param n = 2
  input x: 1
  neuron h: 1 { rate = x }
  neuron a: 1 { rate = h + free }
  neuron flags: 1 {
    let now = tick   let f = free   let c = clamped   let z = rest
    let one = first(clamped)   let end = last(free)   let t = train
    rate = a
  }
  loss = sum(%s) %s
  schedule { phase free: n   phase clamped: 3 train   phase rest: 1 }
}"""


def test_phases_and_their_flags() -> None:
    bench = Bench(PHASES % ("h", ""))

    def flags(*names: str, training: bool) -> dict[str, list[float]]:
        trace = bench.trace([0], training=training)
        return {name: trace[f"flags.{name}"][:, 0, 0].tolist() for name in names}

    assert flags("now", "f", "c", "z", "one", "end", "t", training=True) == {
        "now": [0, 1, 2, 3, 4, 5],
        "f": [1, 1, 0, 0, 0, 0],
        "c": [0, 0, 1, 1, 1, 0],
        "z": [0, 0, 0, 0, 0, 1],
        "one": [0, 0, 1, 0, 0, 0],
        "end": [0, 1, 0, 0, 0, 0],
        "t": [1] * 6,
    }
    assert flags("now", "f", "c", "z", "t", training=False) == {
        "now": [0, 1, 2],
        "f": [1, 1, 0],
        "c": [0, 0, 0],
        "z": [0, 0, 1],
        "t": [0, 0, 0],
    }


@pytest.mark.parametrize(
    ("expr", "when", "expected"),
    [("flags.now", "", 2), ("flags.now", "at free", 1), ("flags.now", "over free", 0.5), ("flags.z", "", 1)],
)
def test_where_the_loss_is_read(expr: str, when: str, expected: float) -> None:
    assert Bench(PHASES % (expr, when)).evaluate().loss == expected


def test_ticks_are_a_runtime_argument() -> None:
    bench = Bench(PHASES % ("h", ""))
    bench.numbers["n"] = 4
    assert len(bench.trace()["h"]) == 8
    bench.numbers["n"] = 1.5
    with pytest.raises(ValueError, match=r"the number of ticks of phase `free` is 1\.5"):
        bench.train()


# ---------------------------------------------------------------- plasticity

TRACES = """circuit c {
  input x: 2
  neuron h: 3 { dendrite d rate = d }
  synapse W: x -> h {
    state e = 0.1 fresh   state m = 0.2
    de = pre * post - 0.5 * e
    dm = e
    dw = 0.01 * m * e + 0.001 * tick
  }
  schedule { phase run: 3   update = %s }
}"""


@pytest.mark.parametrize("update", ["tick", "example"])
def test_fresh_states_belong_to_the_example_and_all_steps_are_simultaneous(update: str) -> None:
    bench = Bench(TRACES % update)
    x, w = bench.data["x"], bench.state.weights["W"].copy()
    m = np.full((3, 2), 0.2)
    for examples in ([0, 1, 2, 3], [4, 5]):
        e = np.full((len(examples), 3, 2), 0.1)
        pending = np.zeros((3, 2))
        for tick in range(3):
            h = x[examples] @ w.T
            dw = (0.01 * m * e).mean(axis=0) + 0.001 * tick
            de = h[:, :, None] * x[examples][:, None, :] - 0.5 * e
            m, e = m + e.mean(axis=0), e + de
            w, pending = (w + dw, pending) if update == "tick" else (w, pending + dw)
        w = w + pending
    bench.train(batch=4)
    assert bench.state.weights["W"] == pytest.approx(w)
    assert bench.state.synapse_states["W", "m"] == pytest.approx(m)


DRIVES = """circuit c {
  input x: 2
  neuron h: 3 { dendrite d rate = d }
  synapse W: x -> h {
    drive g = pre * post * (1 + tick)   state m = 0.5
    dm = g^2
    dw = 0.01 * g * m
  }
  schedule { phase run: 2   update = %s }
}"""


@pytest.mark.parametrize("update", ["tick", "example"])
def test_what_reads_a_drive_is_evaluated_once_per_update(update: str) -> None:
    bench = Bench(DRIVES % update)
    x, w, m = bench.data["x"], bench.state.weights["W"].copy(), np.full((3, 2), 0.5)

    def drive(tick: int) -> np.ndarray:
        return (x @ w.T).T @ x / 6 * (1 + tick)

    if update == "tick":
        for tick in range(2):
            g = drive(tick)
            w, m = w + 0.01 * g * m, m + g**2
    else:
        g = drive(0) + drive(1)
        w, m = w + 0.01 * g * m, m + g**2
    bench.train(batch=6)
    assert bench.state.weights["W"] == pytest.approx(w)
    assert bench.state.synapse_states["W", "m"] == pytest.approx(m)


CONSTRAINED = """circuit c {
  param low = -0.4
  input x: 6
  neuron h: 5 { dendrite d, e rate = d + e }
  synapse W: x -> h.d { connect = sparse(0.5)  bounds = [low, 0.4]  state m = 1  dm = 1  dw = 5 * pre * post + 1 }
  synapse E: x -> h.e { sign = excitatory   dw = -0.3 }
  synapse I: h -> h2 { sign = inhibitory   dw = 0.3 }
  neuron h2: 3 { dendrite d rate = d }
}"""


def test_masks_signs_and_bounds_hold_in_every_update() -> None:
    bench = Bench(CONSTRAINED)
    bench.train(batch=2)
    w, mask = bench.state.weights["W"], bench.state.mask("W")
    assert np.array_equal(w != 0, mask)
    assert np.abs(w).max() == 0.4
    assert np.array_equal(bench.state.synapse_states["W", "m"], np.where(mask, 4, 0))
    assert bench.state.weights["E"].min() == 0
    assert bench.state.weights["I"].max() == 0
    assert bench.increments()["W"][~mask].tolist() == [0] * int((~mask).sum())


COEFFICIENTS = """circuit c {
  param a per W = normal(1, 0.5)   param k per h = uniform(0, 1)
  input x: 4
  neuron h: 3 { dendrite d rate = k * d }
  synapse W: x -> h { dw = a * pre + 0 * post }
}"""


def test_coefficients_belong_to_each_weight_and_each_neuron() -> None:
    bench = Bench(COEFFICIENTS)
    w, a, k = bench.state.weights["W"].copy(), bench.state.coefficients["a"], bench.state.coefficients["k"]
    assert bench.trace()["h"][0] == pytest.approx(k * (bench.data["x"] @ w.T))
    bench.train(batch=6)
    assert bench.state.weights["W"] == pytest.approx(w + a * bench.data["x"].mean(axis=0))


def test_coefficients_have_indexed_names_and_aliases() -> None:
    bench = Bench("""circuit c {
      input x: 4
      for l in 1..2 {
        neuron h[l]: 3 { dendrite d rate = k[l] * d }
        synapse W[l]: x -> h[l] { dw = speed(a[l]) + b }
        param a[l] per W[l] = normal(1, 0.5)
        param k[l] per h[l] = uniform(0, 1)
        alias b[l] = a[l]
      }
      param b = 0
      rule speed(c) = c * pre
      synapse V: x -> h[1] { dw = g * pre }
      param e per V = uniform(1, 2)
      alias g = e
    }""")
    w, drawn = {n: a.copy() for n, a in bench.state.weights.items()}, bench.state.coefficients
    assert bench.trace()["h[2]"][0] == pytest.approx(drawn["k[2]"] * (bench.data["x"] @ w["W[2]"].T))
    bench.train(batch=6)
    mean = bench.data["x"].mean(axis=0)
    for name, coefficient in (("W[1]", "a[1]"), ("W[2]", "a[2]"), ("V", "e")):
        assert bench.state.weights[name] == pytest.approx(w[name] + drawn[coefficient] * mean)


def test_a_rule_may_read_the_coefficient_of_its_postsynaptic_neuron() -> None:
    """Not written so today, but the graph can say it."""
    bench = Bench(COEFFICIENTS)
    synapse = bench.circuit.synapses["W"]
    rule = Coef(name="k", axis=Axis.POST, span=synapse.span)
    bench = Bench(replace(bench.circuit, synapses={"W": replace(synapse, dw=rule)}))
    k = bench.state.coefficients["k"]
    assert np.array_equal(bench.increments()["W"], np.repeat(k[:, None], 4, axis=1))


def test_fan_in_in_a_rule_is_realised() -> None:
    text = """circuit c { input x: 9 neuron h: 4 { dendrite d rate = d }
      synapse W: x -> h { init = zeros connect = sparse(0.5) dw = fan_in + 0 * pre * fan_out } }"""
    bench = Bench(text)
    mask = bench.state.mask("W")
    bench.train(batch=6)
    assert bench.state.weights["W"] == pytest.approx(np.where(mask, mask.sum() / 4, 0))


# ---------------------------------------------------------------- noise

NOISY = """circuit c {
  input x: 3
  neuron h: 4 { dendrite d   let a = randn()   let b = randn()   rate = d + a }
  synapse W: x -> h { dw = 0.1 * rand() * pre * post }
  modulator m = mean(h) * rand()
  schedule { phase run: 2 }
}"""


def occurrence(expr: Expr) -> int:
    """Which written `randn()` an equation holds."""
    return next(e.occurrence for e in walk(expr) if isinstance(e, Random))


def test_noise_is_keyed_by_its_place() -> None:
    bench = Bench(NOISY)
    order, units = np.array([4, 1]), np.arange(4)[None]
    trace = bench.trace(order, seed=5, epoch=7)
    for name in ("h.a", "h.b"):
        k = occurrence(bench.circuit.values[name].expr)
        for tick in range(2):
            drawn = noise.randn(5, k, 7, order[:, None], tick, units, "float64")
            assert np.array_equal(trace[name][tick], drawn)
    assert not np.any(trace["h.a"] == trace["h.b"])


def test_noise_does_not_depend_on_the_batch() -> None:
    bench = Bench(NOISY)
    together = bench.trace([3, 1, 0, 2], training=False)
    for place, example in enumerate([3, 1, 0, 2]):
        alone = bench.trace([example], training=False)
        assert np.array_equal(alone["h.a"][:, 0], together["h.a"][:, place])
        assert alone["m"][:, 0] == pytest.approx(together["m"][:, place], abs=1e-14)


def test_noise_in_a_rule_is_drawn_for_each_weight_and_example() -> None:
    bench = Bench(NOISY.replace("run: 2", "run: 1"))
    k = occurrence(bench.circuit.synapses["W"].dw)
    x, h = bench.data["x"], bench.trace()["h"][0]
    drawn = noise.rand(0, k, 0, np.arange(6)[:, None], 0, np.arange(12)[None], "float64").reshape(6, 4, 3)
    expected = 0.1 * np.einsum("bji,bj,bi->ji", drawn, h, x) / 6
    assert bench.increments()["W"] == pytest.approx(expected)


@pytest.mark.parametrize("what", ["seed", "epoch"])
def test_other_seeds_and_epochs_have_other_noise(what: str) -> None:
    bench = Bench(NOISY)
    one, other = (bench.trace(**{what: k})["h.a"] for k in (0, 1))
    assert not np.any(one == other)
