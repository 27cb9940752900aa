"""What numbers lie between: every function against samples, circuits against the reference interpreter, invariants."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from bench import Bench, library
from generate import random_circuit

from circuitdsl.diagnostics import Span
from circuitdsl.graph import ir, numbers
from circuitdsl.graph.functions import FUNCTIONS, quiet
from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.intervals import (
    ANY,
    FLAG,
    NONNEGATIVE,
    POSITIVE,
    UNKNOWN,
    Range,
    span,
)
from circuitdsl.graph.masks import mask_of
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.populations import REDUCTIONS, over, over_range
from circuitdsl.graph.quantities import State
from circuitdsl.graph.ranges import Ranges
from circuitdsl.graph.resolve import load_text

INF = math.inf
ENDS = (-INF, -2.5, -1.0, -0.3, 0.0, 0.4, 1.0, 2.0, 3.0, INF)


def ranges_of(text: str) -> Ranges:
    circuit = load_text(text).circuit
    assert circuit is not None
    return Ranges(circuit)


# ---------------------------------------------------------------- samples


def random_range(rng: Random) -> Range:
    low, high = sorted(rng.sample(ENDS, 2)) if rng.random() < 0.85 else [rng.choice(ENDS[1:-1])] * 2
    is_open = (False, False) if low == high else (rng.random() < 0.5, rng.random() < 0.5)
    return span(low, high, *is_open, rng.random() < 0.9)


def sample(of: Range, rng: Random) -> float:
    """A number in a range, often at an end or next to an open one."""
    if not of.defined and rng.random() < 0.3:
        return rng.choice((INF, -INF, math.nan))
    low, high = max(of.low, -50.0), min(of.high, 50.0)
    choice = rng.random()
    near = 1e-6 * (high - low)
    if choice < 0.2:
        return low if low == of.low and not of.low_open else low + near
    if choice < 0.4:
        return high if high == of.high and not of.high_open else high - near
    if choice < 0.6 and low < 0 < high:
        return 0.0
    if choice < 0.8:
        whole = float(rng.randint(math.ceil(low), max(math.ceil(low), math.floor(high))))
        if of.holds(whole):
            return whole
    return low + (high - low) * rng.uniform(0.01, 0.99)


def contains(found: Range, value: float) -> bool:
    """Whether a number computed in floats may lie in a range, up to rounding and overflow."""
    if abs(value) > 1e280 or not math.isfinite(value):
        return not found.defined or (found.high == INF and value > 0) or (found.low == -INF and value < 0)
    return found.holds(value, 1e-9)


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_values_of_a_function_lie_in_its_range(function: str) -> None:
    rng = Random(function)
    for _ in range(3000):
        arguments = [random_range(rng) for _ in range(FUNCTIONS[function].arity)]
        found = FUNCTIONS[function].within(*arguments)
        for _ in range(8):
            values = [sample(a, rng) for a in arguments]
            try:
                value = FUNCTIONS[function].number(*values)
            except (OverflowError, ValueError):
                continue
            assert contains(found, value), (arguments, values, found, value)


@pytest.mark.parametrize("function", ["softmax", "onehot_max", "kwta"])
def test_values_of_a_population_lie_in_its_range(function) -> None:
    rng = Random(function)
    for _ in range(800):
        x = random_range(rng)
        values = np.array([sample(x, rng) for _ in range(4)])
        with quiet():
            found = over(function, values, np.asarray(2.0) if function == "kwta" else None)
        assert all(contains(over_range(function, x), float(v)) for v in found), (x, values, found)


@pytest.mark.parametrize("function", sorted(REDUCTIONS))
def test_reductions_lie_in_their_range(function: str) -> None:
    rng = Random(function)
    for _ in range(800):
        arguments = [random_range(rng) for _ in REDUCTIONS[function].parameters]
        arrays = [np.array([sample(a, rng) for _ in range(3)]) for a in arguments]
        with quiet():
            found = float(REDUCTIONS[function].array(*arrays)[0])
        assert contains(REDUCTIONS[function].within(arguments, 3), found), (arguments, arrays, found)


NOWHERE = Span.__new__(Span)
ATOMS = ("a", "b", "c")


def random_expr(rng: Random, depth: int) -> ir.Expr:
    if depth == 0 or rng.random() < 0.1:
        if rng.random() < 0.3:
            return ir.Num(span=NOWHERE, value=rng.choice((-1.0, 0.0, 0.5, 1.0, 2.0, 3.0)))
        return ir.ParamRef(span=NOWHERE, name=rng.choice(ATOMS))
    function = rng.choice(sorted(FUNCTIONS))
    arguments = tuple(random_expr(rng, depth - 1) for _ in range(FUNCTIONS[function].arity))
    return ir.Apply(span=NOWHERE, function=function, arguments=arguments)


def test_values_of_expressions_lie_in_their_range() -> None:
    rng = Random(5)
    circuit = load_text("circuit c { input x: 1   neuron h: 1 { rate = x } }").circuit
    assert circuit is not None
    told = 0
    for _ in range(4000):
        expr = random_expr(rng, 4)
        known = {name: random_range(rng) for name in ATOMS}
        found = Ranges(circuit, params=known).of(expr)
        told += found.low > -INF or found.high < INF
        for _ in range(5):
            values = {name: sample(r, rng) for name, r in known.items()}
            try:
                value = numbers.evaluate(expr, values)
            except (OverflowError, ValueError):
                continue
            assert contains(found, value), (expr, known, values, found, value)
    assert told > 1500  # the ranges do say something


def test_ranges_are_as_narrow_as_they_should_be() -> None:
    unit = Range(0.0, 1.0)
    half_open = Range(0.0, 1.0, low_open=True, high_open=True)
    f = {name: function.within for name, function in FUNCTIONS.items()}
    assert f["sigmoid"](ANY) == half_open
    assert f["tanh"](ANY) == Range(-1.0, 1.0, True, True)
    assert f["exp"](ANY) == f["softplus"](ANY) == POSITIVE
    assert f["exp"](Range(-INF, 0.0, True)) == Range(0.0, 1.0, low_open=True)
    assert f["square"](Range(-2.0, 1.0, True)) == Range(0.0, 4.0, high_open=True)
    assert f["relu"](Range(-0.5, -0.5)).is_zero
    assert f["abs"](Range(0.0, 0.0)).is_zero
    assert f["step"](Range(-INF, 0.0, True)).is_zero
    assert f["step"](POSITIVE) == Range(1.0, 1.0)
    assert f["step"](NONNEGATIVE) == FLAG
    assert f["sub"](Range(1.0, 1.0), f["pow"](Range(0.9, 0.9), f["add"](NONNEGATIVE, Range(1.0, 1.0)))).positive
    assert not f["sub"](Range(1.0, 1.0), f["pow"](Range(0.9, 0.9), NONNEGATIVE)).positive  # 1 - 0.9^0
    assert f["add"](Range(0.1, 0.1), f["sqrt"](NONNEGATIVE)).positive
    assert f["div"](Range(1.0, 1.0), Range(2.0, 4.0)) == Range(0.25, 0.5)
    assert f["div"](unit, unit) == Range(0.0, INF, False, True, defined=False)
    assert f["max"](half_open, unit) == Range(0.0, 1.0, low_open=True)
    assert f["min"](half_open, unit) == Range(0.0, 1.0, high_open=True)
    assert f["gt"](Range(1.0, 2.0, low_open=True), unit) == Range(1.0, 1.0)
    assert f["ge"](Range(1.0, 2.0), unit) == Range(1.0, 1.0)
    assert f["gt"](Range(1.0, 2.0), unit) == FLAG
    assert f["ge"](f["log"](ANY), Range(-INF, -1.0, True)) == FLAG  # of no number, 0
    assert f["where"](Range(1.0, 2.0), unit, ANY) == unit
    assert f["mul"](Range(0.0, 0.0), ANY).is_zero
    assert not f["mul"](Range(0.0, 0.0), UNKNOWN).is_zero  # 0 times infinity
    assert f["log"](f["exp"](ANY)).defined
    assert not f["log"](NONNEGATIVE).defined
    assert REDUCTIONS["sum"].within([half_open], 3) == Range(0.0, 3.0, True, True)


# ---------------------------------------------------------------- masks

MASKS = (
    "dense", "one_to_one", "no_self", "sparse(0)", "sparse(0.5)", "sparse(1)", "fan_in(0)", "fan_in(1)",
    "one_to_one & no_self", "one_to_one & sparse(0.5)", "no_self & sparse(0.3)", "fan_in(2) & no_self",
    "one_to_one & sparse(0)",
)  # fmt: skip


@pytest.mark.parametrize("connect", MASKS)
@pytest.mark.parametrize("sizes", [(1, 1), (3, 3), (2, 4), (4, 2)])
def test_masks_are_known_as_they_are_drawn(connect: str, sizes: tuple[int, int]) -> None:
    pre, post = sizes
    if ("fan_in(2)" in connect and pre < 2) or (pre != post and ("one_to_one" in connect or "no_self" in connect)):
        return
    text = f"""circuit c {{ input x: {pre}   neuron h: {post} {{ dendrite d   rate = d }}
      synapse W: x -> h {{ connect = {connect}   init = identity() }} }}"""
    circuit = load_text(text).circuit
    assert circuit is not None
    synapse = circuit.synapses["W"]
    known = mask_of(synapse, numbers_of(circuit, {}))
    for seed in range(12):
        state = initial_state(circuit, numbers_of(circuit, {}), seed, dtype="float64")
        drawn = state.mask("W")
        drawn = np.ones((post, pre), bool) if drawn is None else drawn
        assert not (known.is_empty and drawn.any())
        assert not (known.is_full and not drawn.all())
        least, most = known.fan_in
        assert all(least <= n <= most for n in drawn.sum(axis=1))
        assert known.fan("in").holds(drawn.sum() / post)
        assert known.fan("out").holds(drawn.sum() / pre)
        assert all(known.identity.holds(v) for v in state.weights["W"][drawn])


def test_masks_that_are_known_to_be_empty() -> None:
    for connect in ("sparse(0)", "fan_in(0)", "one_to_one & no_self", "one_to_one & sparse(0)"):
        found = ranges_of(f"""circuit c {{ input x: 3   neuron h: 3 {{ dendrite d   rate = d }}
          synapse W: x -> h {{ connect = {connect} }} }}""")
        assert found.mask(found.circuit.synapses["W"]).is_empty
        assert found.weights("W").is_zero
        assert found.value("h").is_zero


# ---------------------------------------------------------------- circuits


def check_circuit(bench: Bench, updates: int = 4) -> int:
    """Runs a circuit, and looks whether everything lies in its range; how many ranges say something."""
    found = Ranges(bench.circuit)
    order = np.random.default_rng(0).permutation(bench.examples)
    for i in range(updates + 1):
        for training in (True, False):
            for name, array in bench.trace(training=training, epoch=i).items():
                within(found.value(name), array, name)
        for name, array in bench.state.weights.items():
            mask = bench.state.mask(name)
            within(found.weights(name), array if mask is None else array[mask], name)
        for (owner, name), array in bench.state.synapse_states.items():
            mask = bench.state.mask(owner)
            within(found.known[State(owner, name)], array if mask is None else array[mask], f"{owner}.{name}")
        for name, array in bench.state.kept.items():
            within(found.value(name), array, name)
        bench.train(order, batch=2, epoch=i)
    return sum(r.low > -INF or r.high < INF for r in found.known.values())


def within(known: Range, array: np.ndarray, what: str) -> None:
    values = np.unique(np.asarray(array, dtype=np.float64))
    for value in {float(v) for v in (values[:1].tolist() + values[-1:].tolist())} if values.size else ():
        assert contains(known, value), (what, known, value)


@pytest.mark.parametrize("seed", range(60))
def test_generated_circuits_stay_in_their_ranges(seed: int) -> None:
    assert check_circuit(Bench(random_circuit(Random(seed)), examples=5))


@pytest.mark.parametrize("name", [
    "heterosynaptic/self_assembly.circ", "classic/oja.circ", "classic/bcm.circ", "recurrent/lif_stdp.circ",
    "models/stdp.circ", "models/eprop.circ", "optimizers/adam.circ", "optimizers/rmsprop.circ",
])  # fmt: skip
def test_library_circuits_stay_in_their_ranges(name: str) -> None:
    assert check_circuit(Bench(library(name), examples=6))


# ---------------------------------------------------------------- invariants

STATE = """circuit c {{ param a = 0.1   input x: 3
  neuron h: 3 {{ dendrite d   state v = {start}   dv = {update}   rate = sigmoid(v) }}
  synapse W: x -> h.d }}"""


@pytest.mark.parametrize(("start", "update", "expected"), [
    ("0", "0.1 * d^2 - 0.1 * v", NONNEGATIVE),
    ("0", "0.1 * (d^2 - v)", NONNEGATIVE),
    ("0", "a * (sigmoid(d) - v)", Range(0.0, 1.0)),
    ("0", "rate - v", Range(0.0, 1.0)),
    ("0", "step(d) - v", FLAG),
    ("1", "-0.1 * v", Range(0.0, 1.0, low_open=True)),
    ("0.5", "sigmoid(d) * (tanh(d) - v)", Range(-1.0, 1.0)),
    ("0.5", "step(d) * (1 - v)", Range(0.5, 1.0)),
    ("0", "1", NONNEGATIVE),
    ("0", "0", Range(0.0, 0.0)),
    ("0", "v * d", Range(0.0, 0.0)),
    ("0", "relu(v) * exp(d)", Range(0.0, 0.0)),
    ("uniform(0, 1)", "-0.5 * v", Range(0.0, 1.0)),
    # near misses: a leak above 1 overshoots, a factor above 1 or of any sign may push it anywhere
    ("0", "0.1 * d^2 - 1.1 * v", ANY),
    ("0.5", "2 * sigmoid(d) * (1 - v)", ANY),
    ("0.5", "d * (1 - v)", ANY),
    ("0", "0.1 * d - 0.1 * v", ANY),
    ("0", "v * d + 0.1 * tanh(d)", ANY),
])  # fmt: skip
def test_invariants_of_states(start: str, update: str, expected: Range) -> None:
    found = ranges_of(STATE.format(start=start, update=update)).value("h.v")
    nearly = math.isclose(found.low, expected.low, abs_tol=1e-8) and math.isclose(
        found.high, expected.high, rel_tol=1e-8
    )
    assert nearly, found
    assert found.low_open or not expected.low_open


def test_a_sum_over_ticks_goes_so_many_times_as_far() -> None:
    """With `update = example` what is gentle in one tick overshoots in ten."""
    text = """circuit c {{ input x: 3
      schedule {{ phase p: {ticks}   update = {update} }}
      neuron h: 3 {{ dendrite d   rate = sigmoid(d) }}
      synapse W: x -> h.d {{ init = constant(0.5)   dw = 0.2 * (sigmoid(post) - w) }} }}"""
    for gentle in (text.format(ticks=10, update="tick"), text.format(ticks=5, update="example")):
        assert ranges_of(gentle).weights("W").within(Range(0.5, 1.0))
    assert ranges_of(text.format(ticks=10, update="example")).weights("W") == ANY
    drive = text.replace("dw = 0.2 * (sigmoid(post) - w)", "drive g = post   dw = 0.1 * (g - w)")
    assert ranges_of(drive.format(ticks=10, update="example")).weights("W").high > 5
    assert ranges_of(drive.format(ticks=10, update="tick")).weights("W").high <= 1


@pytest.mark.parametrize(("settings", "expected"), [
    ("init = uniform(0, 1)", Range(0.0, 1.0)),
    ("init = uniform(-1, 1)   sign = inhibitory", Range(-1.0, 0.0)),
    ("init = zeros   bounds = [0.1, 1]", Range(0.1, 0.1)),
    ("init = constant(2)   bounds = [0.1, 1]   dw = post * pre", Range(0.1, 1.0)),
    ("bounds = [0, 2 / fan_in]", Range(0.0, 0.5)),
    ("init = constant(1/fan_in)   dw = -0.1 * w", Range(0.0, 0.25, low_open=True)),
    ("init = constant(0.5)   dw = 0.1 * post * (1 - w)", Range(0.5, 1.0, high_open=True)),
    ("init = orthogonal()", Range(-1.0, 1.0)),
    ("init = 2 * orthogonal() + constant(3)", Range(1.0, 5.0)),
    ("init = identity()   connect = one_to_one", Range(1.0, 1.0)),
    ("init = normal(1, 0)", Range(1.0, 1.0)),
    ("init = exp(normal(0, 1))", POSITIVE),
    ("", ANY),
])  # fmt: skip
def test_ranges_of_weights(settings: str, expected: Range) -> None:
    found = ranges_of(f"""circuit c {{ input x: 4   neuron h: 4 {{ dendrite d   rate = sigmoid(d) }}
      synapse W: x -> h {{ {settings} }} }}""").weights("W")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_a_synapse_that_is_a_copy_reads_zeros_where_there_is_no_connection() -> None:
    text = """circuit c {{ input x: 3   neuron h: 3 {{ dendrite d, e   rate = d }}
      synapse A: x -> h.d {{ init = constant(0.5)   connect = {connect} }}
      synapse B: x -> h.e {{ init = copy(A) }} }}"""
    assert ranges_of(text.format(connect="dense")).weights("B") == Range(0.5, 0.5)
    assert ranges_of(text.format(connect="sparse(0.5)")).weights("B") == Range(0.0, 0.5)


def test_rules_run_in_training_only_and_rates_in_evaluation_too() -> None:
    found = ranges_of("""circuit c { input x: 3   neuron h: 3 { dendrite d   rate = train }
      synapse W: x -> h { init = zeros   dw = 1 - train }   synapse V: x -> h { init = zeros   dw = 1 - post } }""")
    assert found.value("h") == FLAG
    assert found.weights("W").is_zero
    assert not found.weights("V").is_zero


def test_data_may_be_anything_unless_it_is_given() -> None:
    circuit = load_text("circuit c { input x: 3   target y: 3   neuron h: 3 { rate = x * y } }").circuit
    assert circuit is not None
    assert Ranges(circuit).value("h") == ANY
    assert Ranges(circuit, given={"x": FLAG, "y": FLAG}).value("h") == FLAG


def test_a_long_chain_and_many_synapses_are_fast() -> None:
    import time

    chain = " ".join(
        f"neuron h{i}: 2 {{ dendrite d   rate = relu(d) }} "
        f"synapse W{i}: {f'h{i - 1}' if i else 'x'} -> h{i} {{ init = zeros  dw = 0.1 * post * pre - 0.01 * w }}"
        for i in range(300)
    )
    circuit = load_text(f"circuit c {{ input x: 2 {chain} }}").circuit
    assert circuit is not None
    start = time.process_time()
    found = Ranges(circuit)
    assert all(found.weights(name).is_zero for name in circuit.synapses)
    assert time.process_time() - start < 1
