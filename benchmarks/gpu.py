"""Kernels on this machine's GPU: against the reference, then how long a step takes, beside others.

    python benchmarks/gpu.py [--json] [--seconds 280] [--only correct|times|peers|race]

Needs the extra `cuda`, a GPU and its driver; says what is missing and exits with 2 where there is none. First ten
circuits are trained in each shape, online and in batches, and held to the reference in float32. Then microseconds a
step: here, on this processor, in JAX and in PyTorch (gpu_peers.py), and NVIDIA's race detector if it is there. A part
whose turn comes after `--seconds` is left out, and says so. Exit 1 where a kernel computes something else.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "benchmarks")]

from agreement import difference, parts, small  # noqa: E402
from bench import LIBRARY, Bench  # noqa: E402
from gpu_peers import CASES, STEPS  # noqa: E402

from circuitdsl.diagnostics import Source  # noqa: E402
from circuitdsl.emit.teams import Shape  # noqa: E402
from circuitdsl.graph.ir import Circuit  # noqa: E402
from circuitdsl.graph.resolve import load_source  # noqa: E402
from circuitdsl.runtime.backends import back_end  # noqa: E402
from circuitdsl.runtime.device import OnDevice  # noqa: E402
from circuitdsl.runtime.driver import the_gpu  # noqa: E402
from circuitdsl.runtime.engine import Compiled  # noqa: E402
from circuitdsl.runtime.errors import UsageError  # noqa: E402
from circuitdsl.runtime.population import Copies, Population, stack  # noqa: E402

KP = "heterosynaptic/kolen_pollack.circ"
CIRCUITS = (
    "classic/delta_rule.circ", "classic/oja.circ", "classic/three_factor.circ", KP,
    "heterosynaptic/self_assembly.circ", "heterosynaptic/weight_mirror.circ", "models/eprop.circ", "models/stdp.circ",
    "optimizers/adam.circ", "recurrent/leaky_rate.circ",
)  # fmt: skip
SHAPES: tuple[Shape, ...] = ("block", "thread", "grid")
TOLERANCE = 1e-4
PARTS = ("correct", "times", "peers", "race")


@dataclass
class Report:
    """What was found so far; `until` when no further part begins."""

    until: float
    found: dict[str, object] = field(default_factory=dict)
    wrong: int = 0

    def say(self, key: str, value: object, text: str) -> None:
        self.found[key] = value
        print(f"{key}: {text}", flush=True)

    def has_time(self, key: str) -> bool:
        if perf_counter() < self.until:
            return True
        self.say(key, None, "left out, the time is over")
        return False


# ---------------------------------------------------------------- correctness


def engine(circuit: Circuit, shape: Shape) -> Compiled:
    found = Compiled(circuit, target="cuda")
    found.population.code.back_end = replace(
        back_end("cuda"), load=lambda name, target, program: OnDevice(name, target, program, the_gpu(), shape)
    )
    return found


def error(name: str, shape: Shape, batch: int) -> float:
    """The largest norm-relative difference from the reference after four examples."""
    bench = Bench(small(name), examples=4, dtype="float32")
    state = bench.state.copy()
    engine(bench.circuit, shape).train(state, bench.data, bench.order, bench.numbers, seed=3, epoch=1, batch=batch)
    bench.train(batch=batch, seed=3, epoch=1)
    found = dict(parts(state))
    return max(difference(found[key], expected) for key, expected in parts(bench.state))


def kernels() -> Iterator[tuple[str, Shape, int]]:
    """Every circuit in every shape, online; and in batches in one of them."""
    for n, name in enumerate(CIRCUITS):
        yield from ((name, shape, 1) for shape in SHAPES)
        yield name, SHAPES[n % 3], 3


def correct(report: Report) -> None:
    for name, shape, batch in kernels():
        key = f"{name} {shape} batch {batch}"
        if not report.has_time(key):
            return
        try:
            found = error(name, shape, batch)
        except RuntimeError as problem:  # of the driver: what follows may tell more
            report.wrong += 1
            report.say(key, str(problem), f"failed: {problem}")
            continue
        report.wrong += not found < TOLERANCE
        report.say(key, found, f"differs by {found:.1e}")


# ---------------------------------------------------------------- times


def kolen_pollack(x: int, h: int, out: int) -> Circuit:
    """The circuit of the library in other sizes."""
    text = (LIBRARY / KP).read_text()
    sizes = {"input x": x, "target y": out, "neuron h": h, "neuron out": out, "neuron err": out}
    for name, size in sizes.items():
        text = re.sub(rf"{name}: \d+", f"{name}: {size}", text)
    circuit = load_source(Source(KP, text), (LIBRARY / KP).parent).circuit
    assert circuit is not None
    return circuit


def step(target: str, case: str) -> float:
    """Microseconds of a step of all copies, with the way there and back; the least of five runs."""
    *sizes, count = CASES[case]
    bench = Bench(kolen_pollack(*sizes), examples=64, dtype="float32")
    order = np.random.default_rng(0).integers(0, bench.examples, STEPS)
    population = Population(bench.circuit, target=target)
    copies = Copies(
        data=[bench.data] * count, orders=[order] * count, numbers=[bench.numbers] * count, seeds=[0] * count
    )
    times = []
    for _ in range(6):  # the first one compiles
        states = stack([bench.state.copy() for _ in range(count)])
        begin = perf_counter()
        population.train(states, copies, epoch=0, batch=1)
        times.append(perf_counter() - begin)
    return min(times[1:]) / STEPS * 1e6


def times(report: Report) -> None:
    for case in CASES:
        for target in ("cuda", "cpu"):
            key = f"us a step, {case}, {target}"
            if report.has_time(key):
                found = step(target, case)
                report.say(key, found, f"{found:.2f}")


def peers(report: Report) -> None:
    for peer in ("jax", "torch"):
        key = f"us a step, {peer}"
        if not report.has_time(key):
            continue
        line = [sys.executable, str(ROOT / "benchmarks" / "gpu_peers.py"), peer]
        try:
            told = subprocess.run(line, capture_output=True, text=True, timeout=90, check=True).stdout
            found = json.loads(told.strip().split("\n")[-1])
        except (subprocess.SubprocessError, json.JSONDecodeError) as problem:
            found = {"absent": f"{type(problem).__name__}"}
        report.say(key, found, ", ".join(f"{c}: {v:.2f}" if isinstance(v, float) else v for c, v in found.items()))


def race(report: Report) -> None:
    """NVIDIA's race detector on one circuit."""
    key = "compute-sanitizer --tool racecheck"
    tool = shutil.which("compute-sanitizer")
    if tool is None:
        report.say(key, None, "absent: it comes with the CUDA toolkit")
    elif report.has_time(key):
        line = [tool, "--tool", "racecheck", "--error-exitcode", "3", sys.executable, __file__, "--one"]
        try:
            done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
        except subprocess.TimeoutExpired:
            report.say(key, None, "took longer than a minute")
            return
        report.wrong += done.returncode != 0
        last = (done.stdout.strip().split("\n") or [""])[-1]
        report.say(key, done.returncode, last)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=280, help="when no further part begins (280)")
    parser.add_argument("--only", choices=PARTS, action="append", help="these parts only")
    parser.add_argument("--one", action="store_true", help="one kernel only, for a tool that watches it")
    options = parser.parse_args()
    try:
        gpu = the_gpu()
    except UsageError as problem:
        print(f"gpu.py: {problem}", file=sys.stderr)
        return 2
    if options.one:
        return int(not error(KP, "block", 3) < TOLERANCE)
    report = Report(perf_counter() + options.seconds, {"arch": gpu.arch, "processors": gpu.processors})
    doing: dict[str, Callable[[], None]] = {
        each.__name__: partial(each, report) for each in (correct, times, peers, race)
    }
    for part in options.only or PARTS:
        doing[part]()
    if options.json:
        print(json.dumps(report.found))
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
