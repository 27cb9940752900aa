"""A run on one thread and on all of them: where `WEIGHTS` of circuitdsl/lower/crew.py stands.

    python benchmarks/threads.py [--rounds 9] [--threads 2]

Microseconds of the clock for a step of layers that learn by Kolen-Pollack, online and in batches, the median of rounds
that take turns; equal bits are checked first. What else runs on the machine takes threads away, so leave it alone.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
from cases import Case, layers

from circuitdsl.lower import crew
from circuitdsl.runtime.crew import Pace
from circuitdsl.runtime.engine import Compiled
from circuitdsl.runtime.population import cores

WIDTHS = (64, 128, 192, 256, 384, 512, 768, 1024, 2048)
BATCHES = (1, 16, 64)
#: Products of a weight and a rate in a round.
PRODUCTS = 2e8


class Way:
    """A circuit that learns with so many threads."""

    def __init__(self, case: Case, threads: int):
        self.case, self.threads = case, threads
        self.engine = Compiled(case.circuit, threads=threads)
        self.state, self.order = case.state(), np.arange(case.examples)
        self.seconds: list[float] = []

    def round(self) -> None:
        start = time.perf_counter()
        self.engine.train(
            self.state, self.case.data, self.order, self.case.numbers, seed=0, epoch=0, batch=self.case.batch
        )
        self.seconds.append(time.perf_counter() - start)

    @property
    def microseconds(self) -> float:
        """A step; the first round compiles."""
        return statistics.median(self.seconds[1:]) / self.case.steps * 1e6


def measured(width: int, batch: int, rounds: int, threads: int) -> tuple[float, float]:
    """Microseconds a step on one thread, and on several. Raises SystemExit if they differ in what they compute."""
    sizes = (width, width, 10)
    weights = width * width + 20 * width
    case = Case(
        name="layers", says="", model="layers", text=layers(sizes), sizes=sizes, batch=batch,
        examples=batch * max(20, min(2000, int(PRODUCTS / weights / batch))),
    )  # fmt: skip
    ways = Way(case, 1), Way(case, threads)
    for _ in range(rounds + 1):
        for way in ways:
            way.round()
    one, several = (way.state.arrays() for way in ways)
    if not all(np.array_equal(a, b) for a, b in zip(one, several, strict=True)):
        raise SystemExit(f"{width} units, batches of {batch}: other bits on {threads} threads")
    return ways[0].microseconds, ways[1].microseconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=cores())
    options = parser.parse_args()
    crew.WEIGHTS = 0
    Pace.workers = lambda pace: pace.most  # whether that pays or not
    for batch in BATCHES:
        print("one by one" if batch == 1 else f"batches of {batch}")
        for width in WIDTHS:
            one, several = measured(width, batch, options.rounds, options.threads)
            print(
                f"  {width * width + 20 * width:9,} weights  {one:9.2f} us on one thread, {several:9.2f} on "
                f"{options.threads}: {one / several:.2f} times as fast",
                flush=True,
            )


if __name__ == "__main__":
    main()
