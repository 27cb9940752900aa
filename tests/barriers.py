"""Are barriers missed? Each is taken out of a kernel's text, and the emulated device should compute something else.

    NUMBA_DISABLE_JIT=1 python tests/barriers.py [--circuit classic/oja.circ ...] [--only 100] [--seed 0]

takes away, one at a time, the barriers between neighbouring phases of the library's kernels (training online and in
batches, evaluation of all values), so that a thread goes on to the second phase while others are still in the first.
A barrier is needed where one of the two phases writes what the other one reads or writes. The device notices if a bit
differs in one of its two orders of threads, and lower/verify.py should reject the two phases as one. Prints how many
are noticed by each; exit 1 for less than 95 % by the device, or one that the verifier takes. Kernels of the shape
`thread` have no barriers.
"""

from __future__ import annotations

import re
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random

import numpy as np
from agreement import CIRCUITS, parts, small
from bench import Bench

from circuitdsl.emit.cuda import print_kernel
from circuitdsl.emit.target import Target
from circuitdsl.emit.teams import Form
from circuitdsl.graph.ir import Kind
from circuitdsl.lower.loop_ir import Branch, Control, Define, Phase, Program, Repeat
from circuitdsl.lower.names import Apart
from circuitdsl.lower.touches import in_rounds
from circuitdsl.lower.verify import LoopError, verify
from circuitdsl.runtime.backends import back_end
from circuitdsl.runtime.cache import module_of
from circuitdsl.runtime.code import Which
from circuitdsl.runtime.device import OnDevice, Ready
from circuitdsl.runtime.emulator import Emulated
from circuitdsl.runtime.engine import Compiled
from circuitdsl.runtime.memory import Held, HostMemory
from circuitdsl.runtime.routine import Interpreted

#: Threads of the device, and how wide a team may be: there are several teams, however few rounds there are.
THREADS, WIDEST = 8, 4
LEAST = 0.95
#: Of the data: neurons that spike need much to do so where they are few.
SCALES = (1.0, 30.0)
PROGRAMS: tuple[Which, ...] = ("train_online", "train", "watch")


# ---------------------------------------------------------------- in the program


@dataclass(frozen=True)
class Barrier:
    """One between two neighbouring phases. `joined`: the program without it; `needed`: whether one of the phases writes
    what the other one touches."""

    title: str
    joined: Program
    needed: bool

    @property
    def is_rejected(self) -> bool:
        try:
            verify(self.joined)
        except LoopError:
            return True
        return False


def barriers(program: Program) -> list[Barrier]:
    """All of them, in the order of the text."""
    return [
        Barrier(f"{a.title} | {b.title}", replace(program, body=body), _meet(a, b))
        for a, b, body in _joins(program.body)
    ]


def _joins(body: Sequence[Control]) -> Iterator[tuple[Phase, Phase, tuple[Control, ...]]]:
    """Every two neighbours, numbers between them apart, and what stands there if they are one."""
    last: int | None = None
    for i, part in enumerate(body):
        match part:
            case Phase():
                if last is not None and isinstance(before := body[last], Phase):
                    one = _as_one(before, part)
                    yield before, part, (*body[:last], *body[last + 1 : i], one, *body[i + 1 :])
                last = i
            case Repeat() | Branch():
                for a, b, inner in _joins(part.body):
                    yield a, b, (*body[:i], replace(part, body=inner), *body[i + 1 :])
                last = None
            case Define():
                pass


def _as_one(a: Phase, b: Phase) -> Phase:
    names = Apart()
    return replace(a, body=(*names.renamed(a.body), *names.renamed(b.body)))


def _meet(a: Phase, b: Phase) -> bool:
    first, second = in_rounds(a.body), in_rounds(b.body)
    return any(first[name].writes or second[name].writes for name in first.keys() & second.keys())


# ---------------------------------------------------------------- in the text

_TURNS = re.compile(r"( *)for _turn in range\(turns\((.*)\)\):$")


def without(text: str, number: int) -> str:
    """The text without its barrier of that number: groups of threads, as wide as the wider teams, do both phases."""
    lines = text.split("\n")
    pairs = [(a, b) for a, b in pairwise(_blocks(lines)) if _are_neighbours(lines, a, b)]
    first, second = pairs[number]
    indent, one, other = first.indent, first.width, second.width
    both = f"max({one}, {other})"
    between = lines[first.end + 1 : second.begin]
    made = [f"{indent}for _group in range(turns({both})):"]
    for block in (first, second):
        each = f"{both} // {block.width}"
        made.append(f"{indent}    for _turn in range(_group * ({each}), (_group + 1) * ({each})):")
        made += ["    " + line for line in lines[block.begin + 1 : block.end]]
    return "\n".join([*lines[: first.begin], *between, *made, *lines[second.end :]])


@dataclass(frozen=True)
class Block:
    """The lines of a phase's turns, from `begin` to before its barrier at `end`."""

    begin: int
    end: int
    indent: str
    width: str


def _blocks(lines: Sequence[str]) -> list[Block]:
    found = []
    for begin, line in enumerate(lines):
        if head := _TURNS.match(line):
            end = next(i for i in range(begin, len(lines)) if lines[i].startswith(f"{head[1]}barrier("))
            found.append(Block(begin, end, head[1], head[2]))
    return found


def _are_neighbours(lines: Sequence[str], a: Block, b: Block) -> bool:
    """Whether there are only numbers between them."""
    between = lines[a.end + 1 : b.begin]
    plain = re.compile(rf"{a.indent}\w+ = ")
    return a.indent == b.indent and all(plain.match(line) for line in between)


# ---------------------------------------------------------------- on the device


@dataclass
class Device:
    """Makes kernels of one program `without` a barrier, and others whole."""

    backwards: bool = False
    which: str = ""
    removed: int | None = None
    room: int = 0
    memory: HostMemory = field(default_factory=HostMemory)

    def __post_init__(self) -> None:
        self.store = Held(self.memory)

    def ready(self, name: str, target: Target, program: Program, form: Form) -> Ready:
        kernel = print_kernel(
            program, program.aim.dtype, form, "emulated", comments=False, threads=THREADS, backwards=self.backwards
        )
        text = kernel.text.replace("width < int32(32)", f"width < int32({WIDEST})")
        if self.removed is not None and program.name == self.which:
            text = without(text, self.removed)
        routine = Interpreted(getattr(module_of(name, text, text), program.name))
        return Ready(self.store, kernel, Emulated(self.memory, routine))


@dataclass
class Stand:
    """A small circuit of the library on such a device."""

    name: str
    device: Device = field(default_factory=Device)
    whole: dict[tuple[Which, float], bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bench = Bench(small(self.name), examples=4)
        draw = np.random.default_rng(0)
        for _, array in parts(self.bench.state):  # where all is 0, late and early are the same
            array[...] = (
                array * draw.uniform(0.5, 1.5, array.shape) if array.any() else draw.normal(0, 0.3, array.shape)
            )
        self.engine = Compiled(self.bench.circuit, self.bench.engine.probes, "float64", target="cuda-emulated")
        self.engine.population.code.back_end = replace(
            back_end("cuda-emulated"),
            load=lambda name, target, program: OnDevice(name, target, program, self.device, "block"),
            device=lambda: self.device,
        )

    @property
    def watched(self) -> list[str]:
        circuit = self.bench.circuit
        return [n for n, v in circuit.values.items() if n in circuit.order or v.kind is Kind.STATE]

    def program(self, which: Which) -> Program:
        return self.engine.population.code.kernel(which).program

    def bits(self, which: Which, scale: float, removed: int | None = None, *, backwards: bool = False) -> bytes:
        """All that is computed of data of that scale, with a barrier of that program taken out."""
        program = self.program(which).name
        self.device.which, self.device.removed, self.device.backwards = program, removed, backwards
        for kernel in self.engine.population.code.kernels.values():
            routine = kernel.routine
            assert isinstance(routine, OnDevice)
            routine.made.clear()
            kernel.work.clear()
        state, bench = self.bench.state.copy(), self.bench
        data = {name: array * scale for name, array in bench.data.items()}
        named = {"data": data, "order": bench.order, "numbers": bench.numbers, "seed": 3, "epoch": 1}
        if which == "watch":
            found = self.engine.evaluate(state, watch=self.watched, **named)
            return b"".join(np.asarray(v).tobytes() for v in (found.loss, found.probes, *found.watched.values()))
        self.engine.train(state, batch=1 if which == "train_online" else 3, **named)
        return b"".join(array.tobytes() for _, array in parts(state))

    def notices(self, which: Which, removed: int) -> bool:
        for scale in SCALES:
            if (which, scale) not in self.whole:
                self.whole[which, scale] = self.bits(which, scale)
            for backwards in (False, True):
                if self.bits(which, scale, removed, backwards=backwards) != self.whole[which, scale]:
                    return True
        return False


@dataclass(frozen=True)
class Found:
    """What becomes of a barrier: noticed `by_device`, `by_verifier`."""

    place: str
    needed: bool
    by_device: bool
    by_verifier: bool


def found(
    name: str, chosen: set[tuple[str, str, int]] | None = None, only: Sequence[Which] = PROGRAMS
) -> Iterator[Found]:
    """What becomes of the barriers of a circuit in some of its programs, or of those that are `chosen`."""
    stand = Stand(name)
    for which in only:
        for number, barrier in enumerate(barriers(stand.program(which))):
            if chosen is not None and (name, which, number) not in chosen:
                continue
            noticed = barrier.needed and stand.notices(which, number)
            yield Found(f"{name}, {which}: {barrier.title}", barrier.needed, noticed, barrier.is_rejected)


def main(line: list[str]) -> int:
    parser = ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--circuit", action="append", choices=CIRCUITS)
    parser.add_argument("--only", type=int, help="so many of them, drawn by chance")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(line)
    names, chosen = options.circuit or CIRCUITS, None
    if options.only is not None:
        every = [(n, p, i) for n in names for p in PROGRAMS for i, _ in enumerate(barriers(Stand(n).program(p)))]
        chosen = set(Random(options.seed).sample(every, min(options.only, len(every))))
        names = sorted({name for name, _, _ in chosen})
    count: Counter[str] = Counter()
    for name in names:
        for each in found(name, chosen):
            count.update(all=1, needed=each.needed, device=each.by_device, verifier=each.by_verifier)
            if each.needed and not each.by_device:
                print(f"not noticed by the device: {each.place}", flush=True)
            if not each.by_verifier:
                print(f"taken by the verifier: {each.place}", flush=True)
        print(f"{name}: {dict(count)}", flush=True)
    share = count["device"] / max(1, count["needed"])
    print(f"{count['all']} barriers, {count['needed']} of them needed")
    print(f"noticed by the emulated device: {count['device']} of those needed ({share:.1%})")
    print(f"rejected by the verifier: {count['verifier']} of all")
    return 0 if share >= LEAST and count["verifier"] == count["all"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
