"""Kernels on this machine's GPU: against the reference, then how long a step takes.

    python benchmarks/gpu.py [--json]

Needs the extra `cuda`, a GPU and its driver; says what is missing and exits with 2 where there is none. Every circuit
is trained in each shape and held to the reference in float32; then the time of a step is the least of five runs of
many steps, with the way to the GPU and back, beside this processor's. Exit 1 where a kernel computes something else.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from agreement import difference, parts, small  # noqa: E402
from bench import Bench, library  # noqa: E402

from circuitdsl.emit.teams import Shape  # noqa: E402
from circuitdsl.graph.ir import Circuit  # noqa: E402
from circuitdsl.runtime.backends import back_end  # noqa: E402
from circuitdsl.runtime.device import OnDevice  # noqa: E402
from circuitdsl.runtime.driver import the_gpu  # noqa: E402
from circuitdsl.runtime.engine import Compiled  # noqa: E402
from circuitdsl.runtime.errors import UsageError  # noqa: E402

CIRCUITS = (
    "classic/delta_rule.circ", "classic/oja.circ", "classic/three_factor.circ", "heterosynaptic/kolen_pollack.circ",
    "heterosynaptic/self_assembly.circ", "heterosynaptic/weight_mirror.circ", "models/eprop.circ", "models/stdp.circ",
    "optimizers/adam.circ", "recurrent/leaky_rate.circ",
)  # fmt: skip
SHAPES: tuple[Shape, ...] = ("block", "thread", "grid")
TOLERANCE = 1e-4
STEPS = 5000


def engine(circuit: Circuit, shape: Shape | None) -> Compiled:
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


def step(made: Compiled, bench: Bench) -> float:
    """Microseconds of a step online."""
    order = np.random.default_rng(0).integers(0, bench.examples, STEPS)
    times = []
    for _ in range(6):  # the first one compiles
        begin = perf_counter()
        made.train(bench.state.copy(), bench.data, order, bench.numbers, seed=0, epoch=0, batch=1)
        times.append(perf_counter() - begin)
    return min(times[1:]) / STEPS * 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        gpu = the_gpu()
    except UsageError as problem:
        print(f"gpu.py: {problem}", file=sys.stderr)
        return 2
    report: dict[str, object] = {"arch": gpu.arch, "processors": gpu.processors}
    wrong = 0
    for name in CIRCUITS:
        for shape in SHAPES:
            for batch in (1, 3):
                found = error(name, shape, batch)
                wrong += not found < TOLERANCE
                report[f"{name} {shape} batch {batch}"] = found
                print(f"{name} {shape} batch {batch}: differs by {found:.1e}", flush=True)
    for name in ("classic/delta_rule.circ", "heterosynaptic/kolen_pollack.circ"):
        bench = Bench(library(name), examples=64, dtype="float32")
        there, here = step(engine(bench.circuit, None), bench), step(Compiled(bench.circuit), bench)
        report[f"{name} us a step"] = {"gpu": there, "cpu": here}
        print(f"{name}: {there:.2f} us a step on the GPU, {here:.2f} on this processor", flush=True)
    if options.json:
        print(json.dumps(report))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
