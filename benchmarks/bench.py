"""How long a step of learning takes here, in PyTorch, in JAX, in NumPy and in hand-written C: `make bench`.

    python benchmarks/bench.py [--quick] [--only CASE ...] [--rounds N] [--no-page]

All on one thread, in processor time, in rounds that take turns; each peer at its best, and only once it is seen to come
to the same weights. The table and the plot go into docs/performance.md and docs/performance.svg. `--quick` measures
small cases, without what takes a minute to begin, and writes no page. Peers that are not installed are named and left
out.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import ModuleType

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_PLATFORMS"] = "cpu"

import numpy as np
from cases import ZERO, Array, Case, cases
from page import SISTER, write
from peers import Run, Way

PEERS = ("ours", "with_c", "with_numpy", "with_jax", "with_torch", "with_brian")
#: Relative difference of weights after so many steps: what float32 allows where sums are taken in another order.
#: Later, small differences grow, as the circuits are not linear.
TOLERANCE, FEW = 1e-4, 8


@dataclass
class Timed:
    """One way of one peer to compute a case. `times`: microseconds of processor time of a step, a figure for each
    round."""

    peer: str
    way: Way
    run: Run
    times: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.times)


def installed() -> tuple[list[ModuleType], list[str]]:
    """The peers that are there, and why others are not."""
    found, missing = [], []
    for name in PEERS:
        try:
            module = importlib.import_module(f"peers.{name}")
            module.version()
            found.append(module)
        except ImportError as problem:
            missing.append(f"{name.removeprefix('with_')}: {problem}")
    return found, missing


def measured(case: Case, peers: list[ModuleType], rounds: int, *, slow: bool) -> list[Timed]:
    """All ways to compute a case, measured in turns. Raises SystemExit if one comes to other weights."""
    found: list[Timed] = []
    for peer in peers:
        for way in peer.WAYS:
            if way.model == case.model and way.fits(case) and (slow or not way.slow):
                found.append(Timed(peer.NAME, way, way.make(case, case.states())))
    _equal(case, found)
    if case.of is not None:
        way = next(w for w in peers[0].WAYS if w.model == case.of.model and w.fits(case.of))
        found.append(Timed(SISTER, way, way.make(case.of, case.of.states())))
    for each in found:
        each.run.train()  # compiles
    for _ in range(rounds):
        for each in found:
            start = time.process_time()
            each.run.train()
            took = time.process_time() - start if each.run.seconds is None else each.run.seconds()
            each.times.append(took / case.steps * 1e6)
    return found


def _equal(case: Case, found: list[Timed]) -> None:
    """Raises SystemExit if one of them comes to other weights than the first, after a few steps."""
    few = replace(case, examples=min(case.examples, FEW * case.batch))
    ours: dict[str, Array] = {}
    for each in found:
        print(f"{case.name}: {each.peer} {each.way.name}".rstrip(), file=sys.stderr, flush=True)
        run = each.way.make(few, few.states())
        run.train()
        theirs = run.weights()
        ours = ours or theirs
        off = max(float(np.linalg.norm(theirs[n] - ours[n]) / np.linalg.norm(ours[n])) for n in ours)
        if not off < TOLERANCE:
            raise SystemExit(f"{case.name}: {each.peer} {each.way.name} comes to other weights, by {off:.1e}")


def best(found: list[Timed]) -> dict[str, Timed]:
    """The fastest way of each peer."""
    made: dict[str, Timed] = {}
    for each in found:
        if each.peer not in made or each.median < made[each.peer].median:
            made[each.peer] = each
    return made


# ---------------------------------------------------------------- the roof


def fastest(do: Callable[[], object]) -> float:
    """Seconds of processor time, of the best of some rounds."""
    times = []
    for _ in range(7):
        start = time.process_time()
        do()
        times.append(time.process_time() - start)
    return min(times)


def floor(case: Case) -> float | None:
    """Microseconds that a step takes at least on this core: each weight read and written once at the bandwidth that so
    many bytes have, or, in a batch, two products of each weight and example at the rate that registers have; None
    without C."""
    weights = case.weights
    try:
        from peers.with_c import at, library
    except ImportError:
        return None
    if case.batch > 1:
        held, rounds = np.random.default_rng(0).random(12 * 16, np.float32), ctypes.c_long(1_000_000)
        products = library().products
        products.restype = ctypes.c_long
        made = products(rounds, at(held))
        return 2 * weights * case.batch * fastest(lambda: products(rounds, at(held))) / made * 1e6
    touch = library().touch
    array = np.ones(weights, np.float32)
    times = max(1, 4_000_000 // weights)
    given = ctypes.c_long(weights), at(array), ctypes.c_float(1.0), ctypes.c_long(times)
    return fastest(lambda: touch(*given)) / times * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small cases, a minute or two, no page")
    parser.add_argument("--only", nargs="*", metavar="CASE")
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--no-page", action="store_true")
    options = parser.parse_args()
    peers, missing = installed()
    for each in missing:
        print(f"left out: {each}")
    versions = {peer.NAME: peer.version() for peer in peers}
    rounds = options.rounds or (3 if options.quick else 7)
    rows = []
    for case in cases(quick=options.quick):
        if options.only and case.name not in options.only:
            continue
        found = best(measured(case, peers, rounds, slow=not options.quick))
        rows.append((case, found, floor(case)))
        said = ", ".join(f"{e.peer} {e.way.name} {e.median:.2f}".replace("  ", " ") for e in found.values())
        least = rows[-1][2]
        print(f"{case.name}: {said}; us a step{'' if least is None else f', floor {least:.2f}'}", flush=True)
    if not (options.quick or options.no_page):
        write(rows, versions, missing, zero=ZERO, rounds=rounds)


if __name__ == "__main__":
    sys.exit(main())
