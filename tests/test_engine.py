"""The compiled engine is the reference, faster: numbers, lifetimes, noise, bits, code on disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from ctypes import CFUNCTYPE, c_int64, c_void_p
from dataclasses import replace
from pathlib import Path
from weakref import ref

import numpy as np
import pytest
from agreement import TOLERANCE, check_compiled, generated, parts, worst
from bench import Bench, library

import circuitdsl as cd
from circuitdsl.api import Request
from circuitdsl.emit.target import Target
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.projections import Dense
from circuitdsl.graph.resolve import load_text
from circuitdsl.lower.loop_ir import Program
from circuitdsl.lower.pipeline import passed
from circuitdsl.lower.schedule import lower_training
from circuitdsl.runtime.backends import printing
from circuitdsl.runtime.cache import load_code
from circuitdsl.runtime.engine import Compiled
from circuitdsl.runtime.routine import Native, Routine
from circuitdsl.twin.gradient import twin

HERE = Path(__file__).resolve().parent
KP = "heterosynaptic/kolen_pollack.circ"

# ---------------------------------------------------------------- the same numbers as the reference


def as_plain_python(*arguments: str) -> list[str]:
    """The circuits whose emitted code, run without Numba, differs from the reference; warnings are errors."""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}
    command = [sys.executable, "-W", "error", str(HERE / "agreement.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900)
    assert done.stdout, done.stderr[-2000:]
    found: list[str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("first", range(0, 24, 12))
def test_generated_circuits_agree(first: int) -> None:
    """One update in float32 and twenty in float64: weights, states, values, loss, probes. `make agreement`: 500."""
    assert as_plain_python("numbers", str(first), str(first + 12)) == []


def test_library_agrees_made_small() -> None:
    assert as_plain_python("library") == []


def test_generated_circuits_agree_without_each_pass() -> None:
    """`make agreement` does so with 500."""
    assert as_plain_python("passes", "0", "6") == []


@pytest.mark.parametrize("seed", range(40))
def test_generated_circuits_agree_compiled(seed: int) -> None:
    """`make agreement` does so with 500."""
    assert [*check_compiled(generated(seed), seed)] == []


@pytest.mark.parametrize(
    "name", ["classic/three_factor.circ", "heterosynaptic/self_assembly.circ", "optimizers/adam.circ"]
)
def test_library_agrees_compiled(name: str) -> None:
    circuit = library(name)
    for batch in (1, 4):
        error, place = worst(circuit, dtype="float64", updates=50, batch=batch, scale=0.2, watching=False)
        assert error < TOLERANCE["float64"], place


@pytest.mark.parametrize("name", ["heterosynaptic/kolen_pollack.circ", "recurrent/leaky_rate.circ"])
def test_twins_agree(name: str) -> None:
    """One tick, and several with a tape; in a batch and online."""
    circuit = twin(library(name))
    for batch in (1, 4):
        error, place = worst(circuit, dtype="float64", updates=8, batch=batch, scale=0.5, watching=False)
        assert error < TOLERANCE["float64"], place


def test_float32_update_from_a_shared_state() -> None:
    error, place = worst(library("heterosynaptic/self_assembly.circ"), dtype="float32", updates=1, batch=16, scale=0.3)
    assert error < TOLERANCE["float32"], place


# ---------------------------------------------------------------- one small circuit, many questions

SMALL = """circuit small {
  param eta = 0.1
  input x: 5
  target y: 3
  neuron h: 4 {
    dendrite basal, apical
    state v = 0 keep
    dv = 0.1 * (basal - v)
    rate = tanh(basal + v) + 0.1 * randn()
  }
  neuron out: 3 { dendrite basal   rate = softmax(basal) }
  neuron err: 3 { rate = y - out }
  synapse W1: x -> h.basal { connect = sparse(0.7)   dw = eta * post.apical * pre }
  synapse W2: h -> out.basal { state m = 0   dm = 0.1 * (err * pre - m)   dw = eta * m }
  synapse V2: err -> h.apical { init = orthogonal()   dw = eta * post * pre }
  loss = cross_entropy(out, y)
  task t { data = xor   metric = accuracy(out, y) }
}"""


class Small(Bench):
    """The small circuit with a compiled engine in place of the oracle."""

    def __init__(self, circuit: Circuit | str = SMALL, dtype: str = "float32", examples: int = 40):
        super().__init__(circuit, examples=examples, dtype=dtype)
        self.engine = Compiled(self.circuit, self.engine.probes, dtype)

    def bits(self) -> dict[str, bytes]:
        return {name: array.tobytes() for name, array in parts(self.state)}


def test_same_seed_same_bits() -> None:
    for batch in (1, 16):
        runs = [Small(), Small(), Small()]
        for run in runs[:2]:
            run.train(batch=batch, seed=5, epoch=2)
        runs[2].train(batch=batch, seed=6, epoch=2)
        assert runs[0].bits() == runs[1].bits()
        assert runs[0].bits() != runs[2].bits()


def test_state_is_updated_in_place_whatever_its_layout() -> None:
    plain, odd = Small(), Small()
    odd.state.weights["W1"] = np.asfortranarray(odd.state.weights["W1"])
    odd.state.weights["W2"] = odd.state.weights["W2"].astype(np.float64)
    before = odd.state.weights["W1"]
    plain.train(batch=4)
    odd.train(batch=4)
    assert odd.state.weights["W1"] is before
    assert np.array_equal(odd.state.weights["W1"], plain.state.weights["W1"])
    assert np.array_equal(odd.state.weights["W2"], plain.state.weights["W2"])


def test_a_mask_that_turns_out_full_and_one_that_does_not() -> None:
    run = Small()
    absent = ~run.state.mask("W1")
    run.train(batch=4)
    assert absent.any()
    assert (run.state.weights["W1"][absent] == 0).all()
    run.state.projections["W1"] = Dense(None)
    run.train(batch=4)
    assert (run.state.weights["W1"][absent] != 0).any()


def test_evaluation_changes_nothing_and_is_chunked() -> None:
    run = Small(examples=600)
    before = run.bits()
    order = np.arange(600)[::-1].copy()
    whole = run.evaluate(order, watch=["h", "x", "h.v"])
    assert run.bits() == before
    assert whole.watched["h"].shape == (600, 4)
    assert np.array_equal(whole.watched["x"], run.data["x"][order].astype(np.float32))
    part = run.evaluate(order[300:], watch=["h"])
    assert np.array_equal(part.watched["h"], whole.watched["h"][300:])
    lean = Small(examples=600)
    assert lean.evaluate(order).loss == pytest.approx(whole.loss, rel=1e-6)
    assert lean.evaluate(order).probes == whole.probes


def test_noise_does_not_depend_on_order_or_batch() -> None:
    run = Small()
    forward = run.evaluate(np.arange(8), watch=["h"]).watched["h"]
    backward = run.evaluate(np.arange(8)[::-1].copy(), watch=["h"]).watched["h"]
    assert forward.tobytes() == backward[::-1].tobytes()


def test_nothing_to_train_on() -> None:
    run = Small()
    before = run.bits()
    run.train([], batch=4)
    assert run.bits() == before
    assert np.isnan(run.evaluate([]).loss)


def test_a_batch_larger_than_the_data_is_the_data() -> None:
    one, other = Small(), Small()
    one.train(batch=40)
    other.train(batch=1000)
    assert one.bits() == other.bits()


def test_nan_reaches_the_weights() -> None:
    run = Small()
    run.data["x"] = run.data["x"].copy()
    run.data["x"][3, 2] = np.nan
    run.train(batch=1)
    assert np.isnan(run.state.weights["W2"]).any()
    batched = Small()
    batched.state.weights["V2"][1, 1] = np.inf
    batched.train(batch=16)
    assert not np.isfinite(batched.state.weights["W1"]).all()


def test_params_are_arguments() -> None:
    run = Small()
    run.train(batch=4)
    seconds = run.engine.compile_seconds
    assert seconds > 0
    run.numbers = run.numbers | {"eta": 0.2}
    run.train(batch=4)
    assert run.engine.compile_seconds == seconds


CHANGES: dict[str, Callable[[Small], object]] = {
    "nothing": lambda run: None,
    "weights in place": lambda run: run.state.weights["W1"].fill(0.1),
    "weights": lambda run: run.state.weights.update(W1=run.state.weights["W1"] * np.float32(2)),
    "weights of another precision": lambda run: run.state.weights.update(W1=run.state.weights["W1"].astype(np.float64)),
    "copied weights in place": lambda run: (
        run.state.weights.update(W1=run.state.weights["W1"].astype(np.float64)),
        run.train(np.arange(2)),
        run.state.weights["W1"].fill(0.1),
    ),
    "a synapse's state": lambda run: run.state.synapse_states.update(
        {("W2", "m"): np.full_like(run.state.synapse_states["W2", "m"], 0.3)}
    ),
    "a kept state": lambda run: run.state.kept.update({"h.v": np.full_like(run.state.kept["h.v"], 0.3)}),
    "connections": lambda run: run.state.projections.update(W1=Dense(None)),
    "a whole state": lambda run: setattr(run, "state", run.state.copy()),
    "an example": lambda run: run.data.update(x=run.data["x"][::-1].copy()),
    "a param": lambda run: run.numbers.update(eta=0.3),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_call_sees_what_has_changed_since_the_last(change: str) -> None:
    """What a call was put together from is kept for the next; an engine of its own keeps nothing."""
    kept, fresh = Small(), Small()
    for run in (kept, fresh):
        run.numbers = dict(run.numbers)
        run.train(np.arange(3))
        run.evaluate(np.arange(5))
        CHANGES[change](run)
    kept_code = kept.engine.population.code.kernels
    fresh.engine = Compiled(fresh.circuit, fresh.engine.probes)
    fresh.engine.population.code.kernels.update({which: replace(k, work={}) for which, k in kept_code.items()})
    for run in (kept, fresh):
        run.train(np.arange(4, 7), seed=2, epoch=3)
    assert kept.bits() == fresh.bits()
    found, wanted = (run.evaluate(np.arange(7, 2, -1), seed=2, epoch=3, watch=["h"]) for run in (kept, fresh))
    assert (found.loss, found.probes) == (wanted.loss, wanted.probes)
    assert np.array_equal(found.watched["h"], wanted.watched["h"])


def test_calls_of_other_lengths_take_turns() -> None:
    turns, straight = Small(), Small()
    for first, stop in ((0, 1), (1, 2), (2, 7), (7, 8), (8, 20)):
        turns.train(np.arange(first, stop), batch=2)
        turns.evaluate(np.arange(stop))
        straight.engine = Compiled(straight.circuit, straight.engine.probes)
        straight.engine.population.code.kernels.update(turns.engine.population.code.kernels)
        straight.train(np.arange(first, stop), batch=2)
    assert turns.bits() == straight.bits()


def test_an_engine_does_not_keep_the_weights_of_a_state_that_is_gone() -> None:
    run = Small()
    run.train(np.arange(3))
    run.evaluate(np.arange(3))
    weights = ref(run.state.weights["W1"])
    run.state = None
    assert weights() is None


def test_wrong_shapes_are_named() -> None:
    run = Small()
    run.state.weights["W2"] = np.zeros((3, 5), np.float32)
    with pytest.raises(ValueError, match="`W2` has the shape"):
        run.train(batch=4)


def test_ticks_are_runtime_numbers_and_an_evaluation_needs_one() -> None:
    text = SMALL.replace(
        "loss =", "param n = 2   schedule { phase free: n   phase more: 3 train   update = example }   loss ="
    )
    run = Small(text, dtype="float64")
    run.train(batch=4)
    seconds = run.engine.compile_seconds
    run.numbers = run.numbers | {"n": 4.0}
    run.train(batch=4)
    assert run.engine.compile_seconds == seconds
    run.numbers = run.numbers | {"n": 0.0}
    with pytest.raises(ValueError, match="no tick in evaluation"):
        run.evaluate()
    run.numbers = run.numbers | {"n": 1.5}
    with pytest.raises(ValueError, match="ticks of phase `free`"):
        run.train(batch=4)


# ---------------------------------------------------------------- code on disk


def test_code_is_kept_by_content() -> None:
    template, target = Path(library(KP).span.source.name).read_text(), printing("cpu")

    def loaded(text: str) -> Routine:
        graph = load_text(text, "k").circuit
        assert graph is not None
        return load_code("k", target, passed(lower_training(graph, online=True)))

    first = loaded(template)
    assert loaded("# the same, other words\n" + template) is first
    assert loaded(template.replace("64", "32")) is first
    assert loaded(template.replace("y - out", "2 * (y - out)")) is not first


def test_object_code_gives_the_bits_of_numba() -> None:
    """Where both are told to make code for the same processor, which Numba asks for when it is loaded."""
    from circuitdsl.runtime.compile import machine_made_for

    name, features = machine_made_for()
    environment = os.environ | {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features}
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), str(HERE)])
    script = "from test_engine import same_as_numba; print(same_as_numba())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.stdout == "(True, True)\n", done.stderr[-2000:]


def same_as_numba() -> tuple[bool, bool]:
    """Whether the same text by Numba's own way, with every function optimized and called by Numba, gives the same state
    and the same loss."""
    from numba import cfunc, types

    from circuitdsl.runtime import cache

    ours, theirs = Small(), Small()

    def by_numba(name: str, target: Target, program: Program) -> Native:
        module = cache.module_of(name, target.print_program(program, "float32"), name)
        pointers = [types.CPointer(t) for t in (types.int64, types.float32)]
        pointers += [types.CPointer(types.CPointer(t)) for t in (types.float32, types.int64, types.int32, types.uint8)]
        signature = types.void(types.int64, types.int64, *pointers)
        function = getattr(module, program.name).py_func
        compiled = cfunc(signature, error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})(function)
        return Bare(compiled)

    back_end = theirs.engine.population.code.back_end
    theirs.engine.population.code.back_end = replace(back_end, load=by_numba)
    for run in (ours, theirs):
        run.train(batch=1)
        run.train(batch=4)
    return ours.bits() == theirs.bits(), ours.evaluate().loss == theirs.evaluate().loss


class Bare(Native):
    """A function of the C calling convention."""

    def __init__(self, compiled: object):
        self._compiled, call = compiled, CFUNCTYPE(None, c_int64, c_int64, *[c_void_p] * 6)(compiled.address)
        self._function = lambda _, __, *given: call(*given) or 0


START = f"""
import sys, json
sys.path.insert(0, {str(HERE)!r})
from test_engine import Small
run = Small()
run.train(batch=4)
print(json.dumps([run.bits()["W1"].hex(), "numba" in sys.modules]))
"""


def test_processes_compile_at_once_and_later_ones_find_the_code(tmp_path: Path) -> None:
    """Also where what is written may be written by the group: files of a cache never are."""
    environment = os.environ | {"CIRCUITDSL_CACHE": str(tmp_path), "NUMBA_DISABLE_JIT": "0"}
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", START]
    pair = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, umask=2) for _ in range(2)]
    outputs = [json.loads(process.communicate(timeout=120)[0]) for process in pair]
    third = json.loads(
        subprocess.run(command, capture_output=True, text=True, env=environment, umask=2, timeout=120).stdout
    )
    assert {bits for bits, _ in [*outputs, third]} == {third[0]}
    assert not third[1]
    assert [p for p in tmp_path.rglob("code/*") if p.is_file()]
    assert not [p for p in tmp_path.rglob("*") if p.stat().st_mode & 0o022]


# ---------------------------------------------------------------- the same bits in every process

COLD = """
import circuitdsl as cd
circuit = cd.load("heterosynaptic/kolen_pollack.circ")
run = circuit.run(epochs=1)
print(run["W1.final"].values.tobytes().hex())
"""


def test_the_process_that_compiles_and_those_that_load_get_the_same_bits(tmp_path: Path) -> None:
    env = {**os.environ, "CIRCUITDSL_CACHE": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-c", COLD]
    first, second = (subprocess.run(command, env=env, capture_output=True, text=True, check=True) for _ in range(2))
    assert first.stdout == second.stdout


def test_where_arrays_lie_in_memory_changes_no_bit() -> None:
    """Small arrays that happen to be near each other: no loop then adds in another order."""
    circuit, found, near = cd.load("recurrent/lif_stdp.circ"), set(), []
    for i in range(12):
        outcome = circuit.compile().execute(Request(epochs=1))
        found.add(outcome.run.state.weights["Wo"].tobytes())
        near.append(np.empty(1 + 977 * i, np.uint8))
    assert len(found) == 1
