"""The emulated device: kernels as programs for this processor, in which teams of threads take their turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from circuitdsl.emit.cuda import Kernel, print_kernel
from circuitdsl.emit.target import DType, Target
from circuitdsl.emit.teams import SHARED, Form
from circuitdsl.frozen import frozen
from circuitdsl.lower.loop_ir import Program
from circuitdsl.runtime.cache import load_code
from circuitdsl.runtime.device import Ready, SideBySide, in_memory
from circuitdsl.runtime.memory import Held, HostMemory
from circuitdsl.runtime.routine import Frame, Part, Routine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    AnyArray = NDArray[Any]

#: How many threads there are. One warp: most loops then have several rounds.
THREADS = 32


@frozen
class Emulator:
    """`threads`: how many there are; `backwards`: whether the last team, and the last lane of a team, comes first."""

    threads: int = THREADS
    backwards: bool = False
    room: int = SHARED
    memory: HostMemory = field(default_factory=HostMemory)
    store: Held = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "store", Held(self.memory))

    def ready(self, name: str, target: Target, program: Program, form: Form) -> Ready:
        def kernel(program: Program, dtype: DType, *, comments: bool = True) -> Kernel:
            return print_kernel(
                program, dtype, form, "emulated", comments=comments, threads=self.threads, backwards=self.backwards
            )

        def text(program: Program, dtype: DType, *, comments: bool = True) -> str:
            return kernel(program, dtype, comments=comments).text

        routine = load_code(name, replace(target, print_program=text), program)
        return Ready(self.store, kernel(program, program.aim.dtype), Emulated(self.memory, routine))


@cache
def the_emulator() -> Emulator:
    """The emulated device of this process."""
    return Emulator()


@frozen
class Emulated:
    """Runs a kernel's code on what stands in the memory (`Launch`)."""

    memory: HostMemory
    routine: Routine

    def __call__(self, frame: Frame, bases: Sequence[int]) -> None:
        parts = [self._there(part, base, len(frame)) for part, base in zip(frame.parts, bases, strict=True)]
        self.routine(Frame(frame.wholes, frame.numbers, parts), 0, len(frame), 0)

    def _there(self, part: Part, base: int, copies: int) -> Part:
        import numpy as np

        if isinstance(part, SideBySide):
            return SideBySide(self.memory.at(base, in_memory(part)).T, part.rows)
        if part.rows is not None:
            return Part(self.memory.at(base, part.array), part.rows)
        whole = self.memory.held[base][: copies * part.array[0].nbytes].view(part.array.dtype)
        return Part(whole.reshape(copies, *part.array.shape[1:]), np.arange(copies))
