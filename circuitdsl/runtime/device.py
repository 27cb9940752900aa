"""Kernels on a device: which form suits the copies of a call, what they are given, and who runs them.

A `Maker` makes a kernel ready. There are two: the emulated device below, whose memory is the host's and whose threads
take turns, and the driver of a GPU (driver.py). The emulated one is there to show, without a GPU, that a kernel
computes what it should in whatever order its threads come.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from circuitdsl.emit.cuda import Kernel, print_kernel
from circuitdsl.emit.target import DType, Target
from circuitdsl.emit.teams import FLAG, OWN, ROOM, SHARED, STRIDE, Form, Shape, binding, form_of
from circuitdsl.lower.loop_ir import Program
from circuitdsl.runtime.cache import load_code
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.routine import Frame, Part, Routine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    AnyArray = NDArray[Any]
    Whole = NDArray[np.int64]

#: How many threads the emulated device has. One warp: most loops then have several rounds.
THREADS = 32
#: Indices have 32 bits, and differences of them a sign.
MOST_ELEMENTS = 2**31


class Ready(Protocol):
    """A kernel that can be called. `kernel` says what its buffers are called."""

    @property
    def kernel(self) -> Kernel: ...

    def run(self, frame: Frame, worker: int) -> None:
        """Runs all copies of a frame, and leaves what they have changed in its parts."""


class Maker(Protocol):
    """What makes kernels ready. `room`: the bytes of shared memory of a block."""

    @property
    def room(self) -> int: ...

    def ready(self, name: str, target: Target, program: Program, form: Form) -> Ready: ...


@dataclass(slots=True)
class OnDevice:
    """The code of a program for teams (`Routine`), in the form that suits its size and copies, or in a `shape`. Raises
    UsageError if a buffer has more elements than a kernel can tell apart."""

    name: str
    target: Target
    program: Program
    maker: Maker
    shape: Shape | None = None
    made: dict[Form, Ready] = field(default_factory=dict)

    def __call__(self, frame: Frame, begin: int, end: int, worker: int) -> None:
        if begin == end:
            return
        given = Given(self.program, frame, begin, end)
        form = form_of(self.program, given.sizes, end - begin, room=self.maker.room, shape=self.shape)
        given.check(form)
        if form not in self.made:
            self.made[form] = self.maker.ready(self.name, self.target, self.program, form)
        ready = self.made[form]
        parts = given.parts(ready.kernel, form)
        ready.run(given.frame(ready.kernel, parts), worker)
        if form.shape == "thread":
            given.take_back(ready.kernel, parts)


# ---------------------------------------------------------------- the emulated device


@dataclass(frozen=True, slots=True)
class Emulator:
    """`threads`: how many there are; `backwards`: whether the last team, and the last lane of a team, comes first."""

    threads: int = THREADS
    backwards: bool = False
    room: int = SHARED

    def ready(self, name: str, target: Target, program: Program, form: Form) -> Emulated:
        def kernel(program: Program, dtype: DType, *, comments: bool = True) -> Kernel:
            return print_kernel(
                program, dtype, form, "emulated", comments=comments, threads=self.threads, backwards=self.backwards
            )

        def text(program: Program, dtype: DType, *, comments: bool = True) -> str:
            return kernel(program, dtype, comments=comments).text

        routine = load_code(name, replace(target, print_program=text), program)
        return Emulated(kernel(program, program.aim.dtype), routine)


@dataclass(frozen=True, slots=True)
class Emulated:
    kernel: Kernel
    routine: Routine

    def run(self, frame: Frame, worker: int) -> None:
        self.routine(frame, 0, len(frame), worker)


def load_emulated(name: str, target: Target, program: Program) -> Routine:
    """The code of a program on the emulated device."""
    return OnDevice(name, target, program, Emulator())


# ---------------------------------------------------------------- what copies are given


@dataclass(frozen=True, slots=True)
class Given:
    """What the copies from `begin` to before `end` of a frame are given, by what a program calls it."""

    program: Program
    whole: Frame
    begin: int
    end: int

    @property
    def held(self) -> dict[str, Part]:
        """The part of each buffer, by its name in the program."""
        buffers = binding(self.program).buffers
        return {b.name: part for b, part in zip(buffers, self.whole.parts, strict=True)}

    @property
    def sizes(self) -> dict[str, int]:
        """The bytes of each buffer, of one copy."""
        return {name: part.array[0].nbytes for name, part in self.held.items()}

    def check(self, form: Form) -> None:
        """Raises UsageError for a buffer that 32 bits cannot index."""
        side_by_side = self.end - self.begin if form.shape == "thread" else 1
        for name, part in self.held.items():
            elements = part.array[0].size * side_by_side
            if elements >= MOST_ELEMENTS:
                raise UsageError(
                    f"`{name}` has {elements:,} elements, and a kernel can tell fewer than {MOST_ELEMENTS:,} apart; "
                    "make it smaller, or use `cpu`"
                )

    def parts(self, kernel: Kernel, form: Form) -> dict[str, Part]:
        """The parts of a kernel's buffers, by its own names."""
        import numpy as np

        held, sizes = self.held, self.sizes
        found: dict[str, Part] = {}
        for old, new in zip(self.program.buffers, kernel.program.buffers, strict=False):
            if old.name in held:
                own = form.shape == "thread" and old.role in OWN
                found[new.name] = self._side_by_side(held[old.name]) if own else self._stretch(held[old.name])
        one = np.zeros(self.end - self.begin, dtype=np.int64)
        room = sum(sizes[name] for name in form.shared) // np.dtype(self.program.aim.dtype).itemsize
        found[ROOM] = Part(np.zeros((1, room), self.program.aim.dtype), one)
        found[FLAG] = Part(np.zeros((1, 1), np.int64), one)
        return found

    def frame(self, kernel: Kernel, parts: dict[str, Part]) -> Frame:
        """All of it in the order of the kernel's binding."""
        import numpy as np

        before, now = binding(self.program), binding(kernel.program)
        names = {new.name: old.name for old, new in zip(self.program.scalars, kernel.program.scalars, strict=False)}
        at = {s.name: i for i, s in enumerate(before.wholes)}
        copies = self.end - self.begin
        stride = np.full(copies, copies, dtype=np.int64)
        rows = self.whole.wholes[self.begin : self.end]
        wholes = [stride if s.name == STRIDE else rows[:, at[names[s.name]]] for s in now.wholes]
        numbers = self.whole.numbers[self.begin : self.end]
        return Frame(
            np.ascontiguousarray(np.stack(wholes, axis=1)),
            np.ascontiguousarray(numbers),
            [parts[b.name] for b in now.buffers],
        )

    def take_back(self, kernel: Kernel, parts: dict[str, Part]) -> None:
        """Puts what copies side by side have changed where it was."""
        for old, new in zip(self.program.buffers, kernel.program.buffers, strict=False):
            part = self.held.get(old.name)
            if part is None or old.role not in OWN:
                continue
            changed = parts[new.name].array.reshape(-1, *part.array.shape[1:])
            if part.rows is not None:
                part.array[part.rows[self.begin : self.end]] = changed
            elif len(changed) == 1:  # a single copy's values may be asked for
                part.array[0] = changed[0]

    def _stretch(self, part: Part) -> Part:
        return Part(part.array, None if part.rows is None else part.rows[self.begin : self.end])

    def _side_by_side(self, part: Part) -> SideBySide:
        import numpy as np

        copies = self.end - self.begin
        if part.rows is None:
            rows: AnyArray = np.zeros((copies, part.array[0].size), part.array.dtype)
        else:
            rows = part.array[part.rows[self.begin : self.end]].reshape(copies, -1)
        return SideBySide(np.ascontiguousarray(rows.T).T, np.arange(copies))


class SideBySide(Part):
    """The numbers of copies, [copies, numbers] with the copies next to each other in memory."""

    def of(self, copy: int, worker: int) -> AnyArray:
        """All that begins with the first number of a copy."""
        return self.array.T.reshape(-1)[copy:]
