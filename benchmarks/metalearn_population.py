"""Evolving the coefficients of a local rule: 64 candidates x 8 tasks x 300 examples x 200 generations.

    python benchmarks/metalearn_population.py

The circuit is circuits/studies/metalearn.circ, 2 inputs and a bias, 12 hidden units, 1 output, with 144 coefficients of
single synapses, in float32, one example at a time, on all processors. Two things are measured:

- the whole process: start, compilation (from disk when it was compiled before; `--cold` with an empty cache), every
  lifetime, the strategy, the result as a data set;
- the compiled calls alone, in example-steps (one candidate presented one example) per second: copies side by side as
  lanes of vector instructions, as the package runs them, and the same copies one by one, in interleaved rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

CIRCUIT = "studies/metalearn.circ"
CANDIDATES, TASKS, EXAMPLES, GENERATIONS = 64, 8, 300, 200
STEPS = CANDIDATES * TASKS * EXAMPLES * GENERATIONS


def evolution() -> None:
    """What the whole process does."""
    from circuitdsl.explore.evolve import evolve
    from circuitdsl.studies.metalearn import genes

    found = evolve(CIRCUIT, genes(unique=True), population=CANDIDATES, generations=GENERATIONS, tasks=TASKS)
    print(float(found["outcome"].sel(who="mean").mean()))


def whole_process(cold: bool) -> float:
    """Seconds of a fresh Python that evolves."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | ({"CIRCUITDSL_CACHE": folder} if cold else {})
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, __file__, "--evolve"], env=environment, check=True, capture_output=True, text=True
        )
        seconds = time.perf_counter() - start
    if not float(done.stdout) > 0.6:
        raise SystemExit(f"nothing was learned: accuracy {done.stdout}")
    return seconds


class Generation:
    """The training of one generation, `lanes` side by side or one by one."""

    def __init__(self, lanes: bool):
        import numpy as np

        from circuitdsl.api import Request, load
        from circuitdsl.graph.initial import initial_state
        from circuitdsl.runtime import lanes as side_by_side
        from circuitdsl.runtime.population import Copies, Population, stack

        before = side_by_side.LARGEST
        side_by_side.LARGEST = before if lanes else 0
        loop = load(CIRCUIT).compile().prepare(Request()).loop
        graph = load(CIRCUIT).ir
        self.population = Population(graph, (), "float32")
        seeds = list(range(TASKS)) * CANDIDATES
        each = [initial_state(graph, loop.numbers, task, dtype="float32") for task in range(TASKS)]
        self.states = stack([each[seed] for seed in seeds])
        orders = [np.random.default_rng(task).permutation(loop.dataset.train) for task in range(TASKS)]
        self.copies = Copies(
            data=[loop.dataset.arrays] * len(seeds),
            orders=[orders[seed] for seed in seeds],
            numbers=[loop.numbers] * len(seeds),
            seeds=seeds,
        )
        self.steps = sum(len(order) for order in self.copies.orders)
        self.per_second()
        side_by_side.LARGEST = before

    def per_second(self) -> float:
        start = time.perf_counter()
        self.population.train(self.states, self.copies, epoch=0, batch=1)
        return self.steps / (time.perf_counter() - start)


def compare(rounds: int) -> dict[str, float]:
    """Example-steps per second, medians of interleaved rounds."""
    ways = {"side by side": Generation(True), "one by one": Generation(False)}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            rates[name].append(way.per_second())
    ratio = statistics.median(a / b for a, b in zip(*rates.values(), strict=True))
    return {name: statistics.median(r) for name, r in rates.items()} | {"ratio": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description="Evolution of 144 coefficients, 64 x 8 x 300 x 200 example-steps.")
    parser.add_argument("--rounds", type=int, default=3, help="whole processes, medians count (3)")
    parser.add_argument("--cold", action="store_true", help="compile anew in each process")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--evolve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.evolve:
        evolution()
        return
    if not options.cold:
        whole_process(cold=False)  # compiles
    seconds = [whole_process(options.cold) for _ in range(options.rounds)]
    found: dict[str, Any] = {"seconds": statistics.median(seconds), "every": seconds, "steps": STEPS}
    found |= {"load": os.getloadavg()[0], "processors": os.cpu_count(), **compare(7 * options.rounds)}
    if options.json:
        print(json.dumps(found))
        return
    rounds = ", ".join(f"{s:.1f}" for s in seconds)
    print(f"load {found['load']:.1f} on {found['processors']} processors")
    print(f"whole process: {found['seconds']:.1f} s ({rounds}) for {STEPS:,} example-steps")
    print(f"compiled calls: {found['side by side'] / 1e6:.1f} M example-steps/s side by side")
    print(f"                {found['one by one'] / 1e6:.1f} M example-steps/s one by one, ratio {found['ratio']:.1f}")


if __name__ == "__main__":
    main()
