"""What a processor can do with a layer that learns one example at a time, in C: where generated code could still be
faster, and where it could not.

    python benchmarks/limits.py [--rounds 7]

Microseconds of processor time a step: each weight read and written once and nothing else; a step by rows, as generated
code does it; the same with memory asked for early; two rows at once; and rows of silent presynaptic units skipped, with
their decay made up for later, step by step (so that no bit depends on when) or by a factor of the whole matrix. All
ways learn the same weights first.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from ctypes import CDLL, c_float, c_int, c_long
from pathlib import Path

import numpy as np
from numpy.ctypeslib import ndpointer

from circuitdsl.graph.aligned import copied

FLAGS = ("-O3", "-march=native", "-ffast-math", "-mprefer-vector-width=512", "-shared", "-fPIC")
#: [post, pre]: layers of C1 and C2 of bench.py, one in the nearest cache, and one that is in no cache.
SIZES = ((64, 64), (256, 768), (512, 512), (512, 768), (8192, 8192))
ZERO = (0.0, 0.5, 0.8)
DECAY = 1e-4
WAYS = ("scale", "rows", "ahead", "pairs", "skipping", "scaled")


def compiled() -> Callable[..., None]:
    """`run` of limits.c. Raises SystemExit without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise SystemExit("this needs a C compiler, as `cc`")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "limits.so"
        subprocess.run([compiler, *FLAGS, str(Path(__file__).with_suffix(".c")), "-o", str(place)], check=True)
        found = CDLL(str(place)).run
    reals, ints = ndpointer(np.float32), ndpointer(np.int32)
    found.argtypes = [c_int, c_long, c_long, c_long, reals, reals, reals, reals, c_float, ints, reals, ints, reals]
    return found


class Layer:
    """Examples [steps + 1, pre], the weights of each way, and what it has put off."""

    def __init__(self, run: Callable[..., None], post: int, pre: int, zero: float, steps: int):
        rng = np.random.default_rng(0)
        self.run, self.size, self.steps = run, (post, pre), steps
        self.examples = copied(rng.standard_normal((steps + 1, pre), dtype=np.float32))
        self.examples *= rng.random(self.examples.shape) >= zero
        start = 0.1 * rng.standard_normal((post, pre), dtype=np.float32)
        self.credit = (1e-3 * rng.standard_normal(post)).astype(np.float32)
        self.currents = np.zeros(post, np.float32)
        self.late, self.factor = np.zeros(pre, np.int32), np.ones(1, np.float32)
        self.list, self.room = np.zeros(pre, np.int32), np.zeros(3 * pre, np.float32)
        self.kept = {way: copied(start.T if way in ("skipping", "scaled") else start) for way in WAYS}

    def round(self, way: str) -> float:
        """Microseconds of processor time a step."""
        start = time.process_time()
        self.run(
            WAYS.index(way), self.steps, *self.size, self.kept[way], self.examples, self.credit, self.currents, DECAY,
            self.late, self.factor, self.list, self.room,
        )  # fmt: skip
        return (time.process_time() - start) / self.steps * 1e6

    def learnt(self, name: str) -> np.ndarray:
        """The weights [post, pre], with what was put off."""
        match name:
            case "skipping":
                return (self.kept[name] * np.float32(1 - DECAY) ** self.late[:, None]).T
            case "scaled":
                return (self.kept[name] * self.factor).T
            case _:
                return self.kept[name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    run = compiled()
    for post, pre in SIZES:
        for zero in ZERO if post * pre < 2**20 else (0.5,):
            layer = Layer(run, post, pre, zero, max(2, min(2000, 2**26 // (post * pre))))
            times: dict[str, list[float]] = {name: [] for name in WAYS}
            for turn in range(rounds + 1):
                for name in WAYS:
                    times[name].append(layer.round(name))
                if turn == 0:
                    for name in ("ahead", "pairs", "skipping", "scaled"):
                        np.testing.assert_allclose(layer.learnt(name), layer.learnt("rows"), rtol=1e-3, atol=1e-5)
            told = ", ".join(f"{name} {statistics.median(each[1:]):.2f}" for name, each in times.items())
            print(f"{pre:5} -> {post:5}, {zero:.0%} of the inputs zero: {told}", flush=True)


if __name__ == "__main__":
    main()
