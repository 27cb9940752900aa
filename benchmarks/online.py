"""One example per step: chains of layers with learned feedback beside the same written by hand.

    python benchmarks/online.py [CASES] [--rounds 9] [--zeros 0.5] [--out PASS ...]
    python benchmarks/online.py --library
    python benchmarks/online.py --large
    python benchmarks/online.py --untuned
    python benchmarks/online.py --one-layer

Microseconds of processor time a step in float32, the median of rounds that take turns, of generated code with all
passes, with each of those for online learning left out, and of hand-written Numba and C, both as the equations stand
and with each weight read and written once a step. That all compute the same is checked first. `--zeros`: the share of
inputs that are 0. `--library` counts the circuits of the library in whose online training, or their gradient twin's,
each of these passes fires. `--large`: examples in an order drawn by chance from more than the caches hold, asked for
early and not. `--untuned`: the circuits of bench.py that nobody has tuned for, with `terse` and without.
`--one-layer`: a layer that learns by Oja's rule, which knows the current that its weights made, deferred and not.

    h = relu(W h)   e = y - softmax(W h)   g = relu'(W h) * (V g)   W += eta g h' - eta gamma W   V += eta h g' - eta gamma V

A: 8-16-4, B: 64-64-10, C1: 784-256-10, C2: 784-512-512-10, C3: 64-512-512-512-10.
"""  # noqa: E501

from __future__ import annotations

import argparse
import ctypes
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from cases import cases as bench_cases
from numba import njit

from circuitdsl.api import load
from circuitdsl.graph.aligned import copied
from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.machine import State
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.resolve import load_text
from circuitdsl.lower.aims import sizes_of
from circuitdsl.lower.loop_ir import Aim
from circuitdsl.lower.pipeline import stages
from circuitdsl.lower.schedule import lower_training
from circuitdsl.runtime.engine import Compiled
from circuitdsl.shipped import library_path
from circuitdsl.twin.gradient import twin

CASES = {
    "A": (8, 16, 4),
    "B": (64, 64, 10),
    "C1": (784, 256, 10),
    "C2": (784, 512, 512, 10),
    "C3": (64, 512, 512, 512, 10),
}
#: How many examples a round presents.
STEPS = {"A": 60_000, "B": 20_000, "C1": 1_500, "C2": 300, "C3": 300}
#: Examples of `--large`: more than the caches hold, but for the last.
LARGE = {"A": 2_000_000, "B": 600_000, "C1": 60_000}
CHECKED = 200
ETA, GAMMA = np.float32(0.01), np.float32(0.1)
#: What is left out in turn.
PASSES = ("reorder", "defer", "reorder,defer", "rows", "across", "wide")
#: How far weights may be apart, relative to their norm.
CLOSE = 1e-4

Arrays = list[Any]
Train = Callable[[int, Mapping[str, Any]], float]


def text(sizes: Sequence[int]) -> str:
    """The circuit of a chain."""
    inner = range(1, len(sizes) - 1)
    last = len(sizes) - 1
    lines = [f"param eta = {ETA}", f"param gamma = {GAMMA}", f"input h0: {sizes[0]}", f"target y: {sizes[-1]}"]
    lines += [f"neuron h{k}: {sizes[k]} {{ dendrite basal, apical  rate = relu(basal) }}" for k in inner]
    lines += [f"neuron g{k}: {sizes[k]} {{ rate = h{k}.apical * step(h{k}.basal) }}" for k in inner]
    lines += [f"neuron h{last}: {sizes[-1]} {{ dendrite basal  rate = softmax(basal) }}"]
    lines += [f"neuron g{last}: {sizes[-1]} {{ rate = y - h{last} }}"]
    for k in range(1, last + 1):
        credit = "post.apical * step(post.basal)" if k < last else f"g{k}"
        lines += [f"synapse W{k}: h{k - 1} -> h{k}.basal {{ dw = eta * {credit} * pre - eta * gamma * w }}"]
    for k in inner:
        lines += [f"synapse V{k}: g{k + 1} -> h{k}.apical {{ dw = eta * post * pre - eta * gamma * w }}"]
    return "circuit chain {\n  " + "\n  ".join(lines) + f"\n  loss = cross_entropy(h{last}, y)\n}}"


@dataclass(slots=True)
class Case:
    """The circuit of these sizes, examples, and the weights that every way begins with."""

    name: str
    zeros: float
    circuit: Circuit = field(init=False)
    x: Any = field(init=False)
    y: Any = field(init=False)
    start: State = field(init=False)

    def __post_init__(self) -> None:
        found = load_text(text(self.sizes)).circuit
        assert found is not None
        self.circuit = found
        rng = np.random.default_rng(0)
        steps, (inputs, *_, outputs) = STEPS[self.name], self.sizes
        x = np.abs(rng.standard_normal((steps, inputs))) * (rng.random((steps, inputs)) >= self.zeros)
        self.x = copied(x.astype(np.float32))  # as a run has them
        self.y = np.eye(outputs, dtype=np.float32)[rng.integers(0, outputs, steps)]
        self.start = initial_state(found, numbers_of(found, {}), 0, dtype="float32")
        for w in self.start.weights.values():
            w[...] = rng.standard_normal(w.shape) / np.sqrt(w.shape[1])

    @property
    def sizes(self) -> tuple[int, ...]:
        return CASES[self.name]

    def generated(self, *without: str) -> Train:
        engine, numbers = Compiled(self.circuit, without=without), numbers_of(self.circuit, {})
        data, order = {"h0": self.x, "y": self.y}, np.arange(len(self.x))

        def train(steps: int, weights: Mapping[str, Any]) -> float:
            state = self.start.copy()
            state.weights.update(weights)
            start = time.process_time()
            engine.train(state, data, order[:steps], numbers, seed=0, epoch=0, batch=1)
            return time.process_time() - start

        return train

    def by_hand(self, run: Callable[..., None], *, fused: bool) -> Train:
        layers = len(self.sizes) - 1

        def train(steps: int, weights: Mapping[str, Any]) -> float:
            ws = [weights[f"W{k + 1}"] for k in range(layers)]
            vs = [weights[f"V{max(k, 1)}"] for k in range(layers)]
            start = time.process_time()
            run(fused, self.sizes, self.x[:steps], self.y[:steps], ws, vs)
            return time.process_time() - start

        return train


# ---------------------------------------------------------------- C


def in_c(folder: Path) -> Callable[..., None] | None:
    """benchmarks/online.c; None without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    source, library = Path(__file__).with_suffix(".c"), folder / "online.so"
    flags = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, str(source), "-o", str(library), "-lm"], check=True)
    code = ctypes.CDLL(str(library)).train

    def pointers(arrays: Arrays) -> Any:
        return (ctypes.c_void_p * len(arrays))(*(a.ctypes.data for a in arrays))

    def run(fused: bool, sizes: Sequence[int], x: Any, y: Any, ws: Arrays, vs: Arrays) -> None:
        room = np.zeros(4 * sum(sizes), np.float32)
        eta, gamma = ctypes.c_float(ETA), ctypes.c_float(GAMMA)
        at = [ctypes.c_void_p(a.ctypes.data) for a in (x, y, room)]
        layers = (ctypes.c_int * len(sizes))(*sizes)
        code(int(fused), len(ws), layers, len(x), *at[:2], eta, gamma, pointers(ws), pointers(vs), at[2])

    return run


# ---------------------------------------------------------------- Numba

FAST = {"reassoc", "contract", "arcp", "nsz"}
kernel = njit(error_model="numpy", fastmath=FAST)


@kernel
def currents(w: Any, x: Any, a: Any, h: Any) -> None:
    for j in range(w.shape[0]):
        total = np.float32(0)
        for i in range(w.shape[1]):
            total += w[j, i] * x[i]
        a[j] = total
        h[j] = max(total, np.float32(0))


@kernel
def learn(w: Any, g: Any, x: Any, eta: Any, keep: Any) -> None:
    for j in range(w.shape[0]):
        s = eta * g[j]
        for i in range(w.shape[1]):
            w[j, i] = keep * w[j, i] + s * x[i]


@kernel
def learn_and_currents(w: Any, g: Any, before: Any, x: Any, a: Any, h: Any, eta: Any, keep: Any) -> None:
    for j in range(w.shape[0]):
        s = eta * g[j]
        total = np.float32(0)
        for i in range(w.shape[1]):
            v = keep * w[j, i] + s * before[i]
            w[j, i] = v
            total += v * x[i]
        a[j] = total
        h[j] = max(total, np.float32(0))


@kernel
def credit(v: Any, e: Any, a: Any, g: Any) -> None:
    for j in range(v.shape[0]):
        total = np.float32(0)
        for i in range(v.shape[1]):
            total += v[j, i] * e[i]
        g[j] = total if a[j] > np.float32(0) else np.float32(0)


@kernel
def credit_and_learn(v: Any, e: Any, a: Any, h: Any, g: Any, eta: Any, keep: Any) -> None:
    for j in range(v.shape[0]):
        total = np.float32(0)
        s = eta * h[j]
        for i in range(v.shape[1]):
            w = v[j, i]
            total += w * e[i]
            v[j, i] = keep * w + s * e[i]
        g[j] = total if a[j] > np.float32(0) else np.float32(0)


@kernel
def softmax_error(z: Any, y: Any, e: Any) -> None:
    top = z[0]
    for i in range(len(z)):
        top = max(top, z[i])
    total = np.float32(0)
    for i in range(len(z)):
        e[i] = np.exp(z[i] - top)
        total += e[i]
    for i in range(len(z)):
        e[i] = y[i] - e[i] / total


@kernel
def steps_of(fused: Any, xs: Any, ys: Any, ws: Any, vs: Any, a: Any, h: Any, g: Any, before: Any, eta: Any,
             keep: Any) -> None:  # fmt: skip
    layers = len(ws)
    for t in range(len(xs)):
        x, y = xs[t], ys[t]
        for k in range(layers):
            inputs = x if k == 0 else h[k]
            if fused and t > 0:
                old = xs[t - 1] if k == 0 else before[k]
                learn_and_currents(ws[k], g[k + 1], old, inputs, a[k + 1], h[k + 1], eta, keep)
            else:
                currents(ws[k], inputs, a[k + 1], h[k + 1])
        softmax_error(a[layers], y, g[layers])
        for k in range(layers - 1, 0, -1):
            if fused:
                credit_and_learn(vs[k], g[k + 1], a[k], h[k], g[k], eta, keep)
            else:
                credit(vs[k], g[k + 1], a[k], g[k])
        if fused:
            for k in range(1, layers):
                for i in range(len(h[k])):
                    before[k][i] = h[k][i]
        else:
            for k in range(layers):
                learn(ws[k], g[k + 1], x if k == 0 else h[k], eta, keep)
            for k in range(1, layers):
                learn(vs[k], h[k], g[k + 1], eta, keep)
    if fused:
        for k in range(layers):
            learn(ws[k], g[k + 1], xs[len(xs) - 1] if k == 0 else before[k], eta, keep)


def in_numba(fused: bool, sizes: Sequence[int], x: Any, y: Any, ws: Arrays, vs: Arrays) -> None:
    a, h, g, before = (tuple(np.zeros(n, np.float32) for n in sizes) for _ in range(4))
    keep = np.float32(1) - ETA * GAMMA
    steps_of(fused, x, y, tuple(ws), tuple(vs), a, h, g, before, ETA, keep)


# ---------------------------------------------------------------- the table


def singly(out: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name for each in out for name in each.split(",")))


def ways(case: Case, out: Sequence[str], c: Callable[..., None] | None) -> Iterator[tuple[str, Train]]:
    yield "all passes", case.generated()
    for name in out:
        yield f"without {name}", case.generated(*name.split(","))
    yield "without all of these", case.generated(*singly(out))
    yield "Numba, as it stands", case.by_hand(in_numba, fused=False)
    yield "Numba, once a step", case.by_hand(in_numba, fused=True)
    if c is not None:
        yield "C, as it stands", case.by_hand(c, fused=False)
        yield "C, once a step", case.by_hand(c, fused=True)


def measured(case: Case, rounds: int, out: Sequence[str], c: Callable[..., None] | None) -> None:
    found = list(ways(case, out, c))
    expected: dict[str, Any] = {}
    for name, train in found:
        weights = {n: copied(w) for n, w in case.start.weights.items()}
        train(CHECKED, weights)
        expected = expected or weights
        off = max(float(np.linalg.norm(weights[n] - w) / np.linalg.norm(w)) for n, w in expected.items())
        if not off < CLOSE:
            sys.exit(f"{case.name}, {name}: weights are {off:.1e} apart")
    times: dict[str, list[float]] = {name: [] for name, _ in found}
    for _ in range(rounds):
        for name, train in found:
            weights = {n: copied(w) for n, w in case.start.weights.items()}
            times[name].append(train(len(case.x), weights) / len(case.x) * 1e6)
    print(f"{case.name} {'-'.join(map(str, case.sizes))}, {case.zeros:.0%} of the inputs 0")
    for name, each in times.items():
        ratio = statistics.median(a / b for a, b in zip(each, times["all passes"], strict=True))
        print(f"  {name:24} {statistics.median(each):9.3f} us  {ratio:5.2f} of all passes", flush=True)


def fires(out: Sequence[str]) -> None:
    found: Counter[str] = Counter()
    paths = [p for p in library_path().glob("*/*.circ") if p.parent.name not in ("rules", "motifs")]
    for path in paths:
        graph = load(path).ir
        graphs = [graph] if graph.loss is None else [graph, twin(graph)]
        aims = [Aim(vectors=True, sizes=sizes_of(g)) for g in graphs]
        runs = [list(stages(lower_training(g, online=True), aim)) for g, aim in zip(graphs, aims, strict=True)]
        found.update({name for run in runs for (_, old), (name, new) in pairwise(run) if old != new})
    for name in singly(out):
        print(f"{name:10} {found[name]} of {len(paths)} circuits")


def large(name: str, rounds: int) -> None:
    """Examples in random order from few of them, and from many."""
    case, rng, steps = Case(name, 0.0), np.random.default_rng(1), STEPS[name]
    inputs, outputs = case.sizes[0], case.sizes[-1]
    x = copied(rng.standard_normal((LARGE[name], inputs), dtype=np.float32))
    y = copied(np.eye(outputs, dtype=np.float32)[rng.integers(0, outputs, LARGE[name])])
    numbers, data = numbers_of(case.circuit, {}), {"h0": x, "y": y}
    engines = {"asked for early": Compiled(case.circuit), "not": Compiled(case.circuit, without=("early",))}
    times: dict[tuple[str, int], list[float]] = {}
    for turn in range(rounds + 1):
        for among in (500, LARGE[name]):
            order = rng.integers(0, among, steps)
            for says, engine in engines.items():
                state, start = case.start.copy(), time.process_time()
                engine.train(state, data, order, numbers, seed=0, epoch=0, batch=1)
                if turn:  # the first compiles
                    times.setdefault((says, among), []).append((time.process_time() - start) / steps * 1e6)
    for (says, among), each in times.items():
        print(f"{name}, one of {among:9,} examples, {says:16} {statistics.median(each):8.3f} us", flush=True)


def untuned(rounds: int) -> None:
    """Where increments take more than a product and a decay."""
    for case in (c for c in bench_cases(quick=False) if c.of is not None):
        engines = Compiled(case.circuit), Compiled(case.circuit, without=("terse",))
        times: list[list[float]] = [[], []]
        for turn in range(rounds + 1):
            for engine, each in zip(engines, times, strict=True):
                state, start = case.state(), time.process_time()
                engine.train(state, case.data, np.arange(case.examples), case.numbers, seed=0, epoch=0, batch=1)
                if turn:  # the first compiles
                    each.append((time.process_time() - start) / case.examples * 1e6)
        with_it, without = map(statistics.median, times)
        print(f"{case.name:16} {with_it:8.2f} us, {without:8.2f} without terse: {without / with_it:.2f}", flush=True)


def one_layer(rounds: int) -> None:
    """A rule that reads what the weights it changes have computed."""
    for pre, post in ((64, 64), (784, 100), (512, 512), (2048, 2048)):
        found = load_text(f"""circuit oja {{
          input x: {pre}
          neuron h: {post} {{ dendrite d   rate = tanh(d) }}
          synapse W: x -> h.d {{ dw = 0.001 * post * pre - 0.001 * square(post) * w }}
        }}""").circuit
        assert found is not None
        steps = max(40, 20_000_000 // (pre * post))
        data = {"x": copied(np.random.default_rng(0).standard_normal((steps, pre), dtype=np.float32))}
        numbers, start = numbers_of(found, {}), initial_state(found, numbers_of(found, {}), 0, dtype="float32")
        engines = Compiled(found), Compiled(found, without=("defer",))
        times: list[list[float]] = [[], []]
        for turn in range(rounds + 1):
            for engine, each in zip(engines, times, strict=True):
                state, begin = start.copy(), time.process_time()
                engine.train(state, data, np.arange(steps), numbers, seed=0, epoch=0, batch=1)
                if turn:  # the first compiles
                    each.append((time.process_time() - begin) / steps * 1e6)
        with_it, without = map(statistics.median, times)
        print(f"{pre} -> {post}: {with_it:8.2f} us, {without:8.2f} not deferred: {with_it / without:.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--zeros", type=float, default=0.5)
    parser.add_argument(
        "--out", nargs="*", default=PASSES, help="passes, or several with commas, that are left out in turn"
    )
    parser.add_argument("--library", action="store_true", help="count where they fire")
    parser.add_argument("--large", action="store_true", help="examples from more than the caches hold")
    parser.add_argument("--untuned", action="store_true", help="circuits that nobody has tuned for, without terse")
    parser.add_argument("--one-layer", action="store_true", help="a layer by Oja's rule, deferred and not")
    options = parser.parse_args()
    if options.one_layer:
        one_layer(options.rounds)
        return
    if options.untuned:
        untuned(options.rounds)
        return
    if options.large:
        for name in LARGE:
            large(name, options.rounds)
        return
    if options.library:
        fires(options.out)
        return
    with tempfile.TemporaryDirectory() as folder:
        c = in_c(Path(folder))
        for name in options.cases:
            measured(Case(name, options.zeros), options.rounds, options.out, c)


if __name__ == "__main__":
    main()
