"""Copies of a circuit as lanes of one program, or one after the other: where `LARGEST` of circuitdsl/runtime/lanes.py stands.

    python benchmarks/copies.py [--rounds 7]

Microseconds of processor time for a step of 128 copies of layers that learn by Kolen-Pollack, online, in rounds that
take turns; the quotient is that of lanes to copies one by one.
"""  # noqa: E501

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from cases import Case, layers

from circuitdsl.runtime import lanes
from circuitdsl.runtime.lanes import aim_of_copies
from circuitdsl.runtime.population import Copies, Population, stack

COPIES = 128
SIZES = ((4, 8, 2), (8, 16, 4), (16, 32, 10), (32, 32, 10), (48, 48, 10), (64, 48, 10), (64, 64, 10))


def training(case: Case, *, side_by_side: bool) -> Callable[[], None]:
    before, lanes.LARGEST = lanes.LARGEST, 1 << 40 if side_by_side else 0
    population = Population(case.circuit, threads=1, aim=aim_of_copies(case.circuit, "float32"))
    lanes.LARGEST = before
    states, order = stack(case.states()), np.arange(case.examples)
    copies = Copies(
        data=[case.data] * COPIES, orders=[order] * COPIES, numbers=[case.numbers] * COPIES, seeds=list(range(COPIES))
    )
    return lambda: population.train(states, copies, epoch=0, batch=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    for sizes in SIZES:
        name = "-".join(map(str, sizes))
        weights = sizes[0] * sizes[1] + 2 * sizes[1] * sizes[2]
        case = Case(
            name=name, says=name, model="layers", text=layers(sizes), sizes=sizes, copies=COPIES,
            examples=max(20, 150_000 // weights),
        )  # fmt: skip
        ways = [training(case, side_by_side=True), training(case, side_by_side=False)]
        times: list[list[float]] = [[], []]
        for turn in range(rounds + 1):
            for way, each in zip(ways, times, strict=True):
                start = time.process_time()
                way()
                if turn:  # the first compiles
                    each.append((time.process_time() - start) / case.examples * 1e6)
        wide, single = map(statistics.median, times)
        room = weights * 4 * lanes.LANES / 1024
        print(
            f"{name:10} {room:6.0f} KB  {wide:8.1f} us as lanes, {single:8.1f} us one by one: {wide / single:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
