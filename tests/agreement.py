"""Do the compiled engine and the reference do the same? As a module for tests, and as a program:

    NUMBA_DISABLE_JIT=1 python tests/agreement.py numbers 0 50
    NUMBA_DISABLE_JIT=1 python tests/agreement.py passes 0 50
    NUMBA_DISABLE_JIT=1 python tests/agreement.py crew 0 50
    NUMBA_DISABLE_JIT=1 python tests/agreement.py library
    NUMBA_DISABLE_JIT=1 python tests/agreement.py equal-parts
    python tests/agreement.py compiled 0 50
    NUMBA_DISABLE_JIT=1 python tests/agreement.py emulated 0 50
    python tests/agreement.py javascript 0 50
    python tests/agreement.py library-javascript

runs the emitted code of generated circuits 0 to 49 (and of some of their gradient twins), with all passes, with each
left out, or by a crew of three threads, of the library made small, or of circuits of many equal parts, as plain Python,
compiled, or as JavaScript by node, and prints a JSON list of those that differ: exit 1.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from random import Random

import numpy as np
from bench import LIBRARY, Bench
from emulated import Way
from equal_parts import KINDS, layers, synapses
from generate import random_circuit
from node import Node

from circuitdsl.diagnostics import Source
from circuitdsl.emit.teams import Shape
from circuitdsl.graph.ir import Circuit, Kind
from circuitdsl.graph.machine import Engine, Evaluation, State
from circuitdsl.graph.resolve import load_source, load_text
from circuitdsl.lower import across, blocks, crew
from circuitdsl.lower.pipeline import PASSES
from circuitdsl.runtime.engine import Compiled
from circuitdsl.twin.gradient import twin

CIRCUITS = sorted(
    str(p.relative_to(LIBRARY)) for p in LIBRARY.glob("*/*.circ") if p.parent.name not in ("rules", "motifs")
)

#: Norm-relative: one update in float32, twenty in float64.
TOLERANCE = {"float32": 1e-5, "float64": 1e-9}


#: Names that mean something to Python, to Numba or to the emitted code.
ODD = """circuit odd {
  param lambda = 0.1   param real = 0.2   param np = 1
  input range: 3   input b: 3
  neuron total: 3 { dendrite while   state None = 0   dNone = 0.1 * while   rate = tanh(while * np) + range }
  neuron j: 1 { dendrite i   rate = i + lambda }
  neuron relu: 3 { rate = relu(prev(total)) }
  neuron largest: 3 { rate = max(relu, total) }
  neuron rate_largest: 3 { rate = clip(largest, 0, 1) }
  neuron _1: 3 { rate = rate_largest }
  neuron train_online: 3 { rate = b * real + prev(total) }
  neuron prev_total: 3 { dendrite a, a_ rate = a + a_ }
  synapse W: range -> total.while { dw = lambda * pre * post }
  synapse W_: total -> j.i { dw = real * pre * post }
  synapse sum_W: train_online -> prev_total.a { dw = lambda * pre * post }
  synapse n_b: prev(prev_total) -> prev_total.a_ { state dw_ = 0   ddw_ = pre   dw = lambda * dw_ * post }
  schedule { phase for_: 2   phase def: 1   update = example }
  loss = mean(square(j)) + mean(_1)
}"""


def odd() -> Circuit:
    circuit = load_text(ODD, "odd").circuit
    assert circuit is not None
    return circuit


def generated(seed: int) -> Circuit:
    circuit = load_text(random_circuit(Random(seed)), f"generated {seed}").circuit
    assert circuit is not None
    return circuit


def small(name: str) -> Circuit:
    """A circuit of the library with few units, so that plain Python can run it."""

    def fewer(found: re.Match[str]) -> str:
        n = int(found[2])
        return f"{found[1]}{n if n <= 4 else 2 + n.bit_length()}"

    text = (LIBRARY / name).read_text()
    text = re.sub(r"((?:input|target|neuron) \w+: |param n = )(\d+)", fewer, text)
    text = re.sub(r"(fan_in\(|kwta\([^,]*, )(\d+)", r"\g<1>3", text)
    circuit = load_source(Source(name, text), (LIBRARY / name).parent).circuit
    assert circuit is not None
    return circuit


def difference(a: np.ndarray, b: np.ndarray, floor: float = 1e-9) -> float:
    """|a - b| / (|b| + floor); infinite where only one of them is finite."""
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return float("inf")
    a, b = (np.where(np.isfinite(v), v, 0).astype(np.float64) for v in (a, b))
    return float(np.linalg.norm(a - b) / (np.linalg.norm(b) + floor))


def parts(state: State) -> Iterator[tuple[str, np.ndarray]]:
    yield from state.weights.items()
    yield from ((".".join(key), array) for key, array in state.synapse_states.items())
    yield from state.kept.items()


def worst(
    circuit: Circuit,
    *,
    dtype: str,
    updates: int,
    batch: int,
    seed: int = 3,
    scale: float = 1,
    watching: bool = True,
    evaluating: bool = True,
    without: Collection[str] = (),
    engine: Callable[..., Engine] = Compiled,
    floor: float = 1e-9,
) -> tuple[float, str]:
    """The largest difference between reference and engine after some updates and in the evaluation that follows, and
    where it is; of states relative to their norm and `floor`. Inputs are normal with deviation `scale`."""
    bench = Bench(circuit, examples=16, dtype=dtype)
    for population in circuit.of_kind(Kind.INPUT):
        bench.data[population.name] *= scale
    other = engine(circuit, bench.engine.probes, dtype, without=without)
    order = np.random.default_rng(seed).integers(0, 16, updates * batch)
    if batch > 1 and updates > 1:
        order = order[:-1]  # so that the last batch is short
    start = bench.state.copy()
    named = {"data": bench.data, "order": order, "numbers": bench.numbers, "seed": seed, "epoch": 1}
    watch = [n for n, v in circuit.values.items() if n in circuit.order or v.kind in (Kind.STATE, Kind.INPUT)]
    watch = watch if watching else []
    found = []
    for each in (bench.engine, other):
        state = start.copy()
        each.train(state, batch=batch, **named)
        found.append((state, dict(parts(state))))
    (_, expected), (_, actual) = found
    differences = {name: difference(actual[name], expected[name], floor) for name in expected}
    if evaluating:
        judged = [e.evaluate(s, watch=watch, **named) for e, (s, _) in zip((bench.engine, other), found, strict=True)]
        differences |= _apart(*judged)
    return max((value, name) for name, value in differences.items())


def _apart(oracle: Evaluation, evaluation: Evaluation) -> dict[str, float]:
    """How far two evaluations are apart: what was watched, the loss, the probes."""
    # relative to 1, as y - out may be all cancellation
    differences = {f"watched {n}": difference(evaluation.watched[n], a, 1.0) for n, a in oracle.watched.items()}
    numbers = [(oracle.loss, evaluation.loss), *zip(oracle.probes, evaluation.probes, strict=True)]
    for i, (a, b) in enumerate(numbers):
        if a is not None and b is not None:
            differences[f"result {i}"] = abs(a - b) / (abs(a) + 1) if np.isfinite(a) else float(np.isfinite(b))
    return differences


def check(circuit: Circuit, seed: int, engine: Callable[..., Engine] = Compiled) -> Iterator[str]:
    """What is wrong with one circuit and, of every third, with its twin."""
    many = 20 if seed < 300 else 10
    runs = [("", circuit, "float32", 1, 1 + 6 * (seed % 2)), ("", circuit, "float64", many, 1 + (seed // 2) % 2)]
    if seed % 3 == 0:
        runs.append((" twin", twin(circuit), "float64", 5, 1 + (seed // 3) % 3))
    for what, graph, dtype, updates, batch in runs:
        # between a load and a store JavaScript computes in double precision: what is all cancellation differs
        floor = 1.0 if engine is Node and dtype == "float32" else 1e-9
        watching = updates < 10
        error, name = worst(
            graph, dtype=dtype, updates=updates, batch=batch, watching=watching, engine=engine, floor=floor
        )
        if not error < TOLERANCE[dtype]:
            yield f"generated {seed}{what}: {name} differs by {error:.1e} ({dtype}, batches of {batch})"


def check_passes(circuit: Circuit, seed: int) -> Iterator[str]:
    """What is wrong with one circuit where each pass is left out, and all of them."""
    names = [each.name for each in PASSES]
    for left_out in (*([name] for name in names), names):
        error, place = worst(circuit, dtype="float64", updates=4, batch=(1, 2, 6)[seed % 3], without=left_out)
        if not error < TOLERANCE["float64"]:
            yield f"generated {seed} without {', '.join(left_out)}: {place} differs by {error:.1e}"


def check_compiled(circuit: Circuit, seed: int) -> Iterator[str]:
    """What is wrong with one circuit, or of every third with its twin: a program of training, and of half of them one
    of evaluation."""
    graph = twin(circuit) if seed % 3 == 0 else circuit
    dtype = ("float64", "float32")[seed // 3 % 2]
    updates, batch = (20 if dtype == "float64" else 1), 1 + seed % 2 * 4
    evaluating = seed // 2 % 2 == 0
    error, place = worst(graph, dtype=dtype, updates=updates, batch=batch, watching=False, evaluating=evaluating)
    if not error < TOLERANCE[dtype]:
        yield f"generated {seed}, compiled: {place} differs by {error:.1e} ({dtype}, batches of {batch})"


def over(what: Callable[[Circuit, int], Iterator[str]], seeds: Iterable[int]) -> list[str]:
    """What is wrong with generated circuits. Whatever one raises is wrong with it too."""
    found: list[str] = []
    for seed in seeds:
        try:
            found += what(generated(seed), seed)
        except Exception as problem:
            found.append(f"generated {seed}: {problem!r}")
    return found


def library_made_small(engine: Callable[..., Engine] = Compiled, every: int = 1) -> list[str]:
    """What is wrong with the circuits of the library, or with every so many of them."""
    found = []
    for i, name in [*enumerate(CIRCUITS)][::every]:
        error, place = worst(small(name), dtype="float64", updates=20, batch=1 + i % 3, scale=0.3, engine=engine)
        if not error < TOLERANCE["float64"]:
            found.append(f"{name}: {place} differs by {error:.1e}")
        error, place = worst(small(name), dtype="float32", updates=1, batch=4, scale=0.3, engine=engine)
        if not error < TOLERANCE["float32"]:
            found.append(f"{name}: {place} differs by {error:.1e} in float32")
    return found


def equal_parts() -> list[str]:
    """What is wrong with circuits whose code is loops over calls that are alike."""
    found = []
    for i, kind in enumerate(KINDS):
        circuit = kind(13 if kind is layers else 112 if kind is synapses else 34)
        error, place = worst(circuit, dtype="float64", updates=4, batch=1 + i % 2)
        if not error < TOLERANCE["float64"]:
            found.append(f"{kind.__name__}: {place} differs by {error:.1e}")
    return found


def check_emulated(circuit: Circuit, seed: int) -> Iterator[str]:
    """What is wrong with one circuit (of every third, its twin) as kernels of one shape, in both orders of threads."""
    graph = twin(circuit) if seed % 3 == 0 else circuit
    shapes: tuple[Shape, ...] = ("block", "thread", "grid")
    for backwards in (False, True):
        way = Way(shapes[seed // 2 % 3], 8, backwards)
        error, place = worst(graph, dtype="float64", updates=4, batch=1 + seed % 2 * 2, engine=way)
        if not error < TOLERANCE["float64"]:
            yield f"generated {seed}, {way}: {place} differs by {error:.1e}"


def check_crew(circuit: Circuit, seed: int) -> Iterator[str]:
    """What is wrong with one circuit, or of every third with its twin, where three workers share it."""
    graph = twin(circuit) if seed % 3 == 0 else circuit
    shared = partial(Compiled, threads=3)
    error, place = worst(graph, dtype="float64", updates=4, batch=(1, 2, 6)[seed // 3 % 3], engine=shared)
    if not error < TOLERANCE["float64"]:
        yield f"generated {seed}, by three workers: {place} differs by {error:.1e}"


CHECKS = {
    "crew": check_crew,
    "emulated": check_emulated,
    "numbers": check,
    "passes": check_passes,
    "compiled": check_compiled,
    "javascript": partial(check, engine=Node),
}


def main(what: str, *seeds: str) -> list[str]:
    if what == "equal-parts":
        return equal_parts()
    if what.startswith("library"):
        return library_made_small(Node if what == "library-javascript" else Compiled)
    first, last = map(int, seeds)
    is_first = what in ("numbers", "javascript") and first == 0
    odd_ones = [wrong for seed in (0, 3) for wrong in CHECKS[what](odd(), seed)] if is_first else []
    return odd_ones + over(CHECKS[what], range(first, last))


if __name__ == "__main__":
    blocks.WEIGHTS, blocks.MANY, across.UNITS, crew.WEIGHTS, crew.UNITS = 0, 50, 1, 0, 4  # small circuits too
    differing = main(*sys.argv[1:])
    print(json.dumps(differing))
    sys.exit(1 if differing else 0)
