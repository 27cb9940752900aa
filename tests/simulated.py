"""Kernels in the simulator of numba-cuda, where every thread of a GPU is one of Python's: `make simulated`.

    python tests/simulated.py [--circuit classic/oja.circ ...]

trains ten circuits of the library, made small, online and in batches, as blocks of threads and as threads, and holds
them to the reference. Needs the extra `cuda`; a process of its own, for the simulator takes the place of all GPUs.
Exit 1 where something differs.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

os.environ["NUMBA_ENABLE_CUDASIM"] = "1"  # before Numba is there

from agreement import CIRCUITS, difference, parts, small
from bench import Bench

from circuitdsl.emit.cuda import print_kernel
from circuitdsl.emit.target import Target
from circuitdsl.emit.teams import ROOM, SHARED, Form, Shape, binding
from circuitdsl.frozen import frozen
from circuitdsl.lower.loop_ir import Program
from circuitdsl.runtime.backends import back_end
from circuitdsl.runtime.cache import module_of
from circuitdsl.runtime.device import OnDevice, Ready
from circuitdsl.runtime.emulator import Emulated
from circuitdsl.runtime.engine import Compiled
from circuitdsl.runtime.memory import Held, HostMemory
from circuitdsl.runtime.routine import Frame

TEN = (
    "classic/delta_rule.circ", "classic/oja.circ", "classic/three_factor.circ", "heterosynaptic/kolen_pollack.circ",
    "heterosynaptic/self_assembly.circ", "heterosynaptic/weight_mirror.circ", "models/eprop.circ", "classic/bcm.circ",
    "optimizers/adam.circ", "recurrent/leaky_rate.circ",
)  # fmt: skip
SHAPES: tuple[Shape, ...] = ("block", "thread")
THREADS = 4
TOLERANCE = 1e-6


@dataclass
class Simulator:
    """A device of Python's threads."""

    room: int = SHARED
    memory: HostMemory = field(default_factory=HostMemory)

    def __post_init__(self) -> None:
        self.store = Held(self.memory)

    def ready(self, name: str, target: Target, program: Program, form: Form) -> Ready:
        kernel = print_kernel(program, program.aim.dtype, form, "simulator")
        entry = getattr(module_of(name, kernel.text, kernel.text), kernel.program.name)
        buffers = [b.name for b in binding(kernel.program).buffers]
        return Ready(self.store, kernel, Simulated(self.memory, lambda *_: None, form, entry, buffers))


@frozen
class Simulated(Emulated):
    """Runs a kernel in the simulator (`Launch`)."""

    form: Form
    entry: Any
    buffers: Sequence[str]

    def __call__(self, frame: Frame, bases: Sequence[int]) -> None:
        copies = len(frame)
        there = [self._there(part, base, copies) for part, base in zip(frame.parts, bases, strict=True)]
        arrays = [part.of(copy, 0) for copy in range(copies) for part in there]
        shared = sum(p.array.nbytes for name, p in zip(self.buffers, frame.parts, strict=True) if name == ROOM)
        blocks = copies if self.form.shape == "block" else -(-copies // THREADS)
        self.entry[blocks, THREADS, 0, max(8, shared)](
            0, copies, frame.wholes.ravel().tolist(), frame.numbers.ravel().tolist(), *[arrays] * 4
        )


def error(name: str, shape: Shape, batch: int) -> float:
    """The largest norm-relative difference from the reference after three examples."""
    bench = Bench(small(name), examples=3)
    engine = Compiled(bench.circuit, (), "float64", target="cuda-emulated")
    device = Simulator()
    engine.population.code.back_end = replace(
        back_end("cuda-emulated"),
        device=lambda: device,
        load=lambda name, target, program: OnDevice(name, target, program, device, shape),
    )
    state = bench.state.copy()
    engine.train(state, bench.data, bench.order, bench.numbers, seed=3, epoch=1, batch=batch)
    bench.train(batch=batch, seed=3, epoch=1)
    found = dict(parts(state))
    return max(difference(found[key], expected) for key, expected in parts(bench.state))


def main(line: list[str]) -> int:
    parser = ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--circuit", action="append", choices=CIRCUITS)
    options = parser.parse_args(line)
    if find_spec("numba_cuda") is None:
        print("the simulator needs the extra cuda: pip install 'circuitdsl[cuda]'", file=sys.stderr)
        return 2
    wrong = 0
    for name in options.circuit or TEN:
        for shape in SHAPES:
            for batch in (1, 2):
                found = error(name, shape, batch)
                wrong += not found < TOLERANCE
                print(f"{name} {shape} batch {batch}: differs by {found:.1e}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
