"""Kernels on a device: which form suits the copies of a call, what they are given, and what comes back.

There are two devices: the emulated one (emulator.py), whose memory is the host's and whose threads take turns, and a
GPU by its driver (driver.py). The emulated one is there to show, without a GPU, that a kernel computes what it should
in whatever order its threads come, and that only what has to be is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol

from circuitdsl.emit.cuda import Kernel
from circuitdsl.emit.target import Target
from circuitdsl.emit.teams import FLAG, OWN, ROOM, STRIDE, WRITTEN, Form, Shape, binding, form_of
from circuitdsl.frozen import frozen, mutable
from circuitdsl.lower.loop_ir import Buffer, Program, Role, Store, phases, statements
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.memory import Held
from circuitdsl.runtime.routine import Frame, Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    AnyArray = NDArray[Any]
    Whole = NDArray[np.int64]

#: Indices have 32 bits, and differences of them a sign.
MOST_ELEMENTS = 2**31


class Device(Protocol):
    """What kernels run on: its memory, and the bytes of shared memory that a block has."""

    @property
    def room(self) -> int: ...

    @property
    def store(self) -> Held: ...

    def ready(self, name: str, target: Target, program: Program, form: Form) -> Ready: ...


class Launch(Protocol):
    """Runs all copies of a frame in one launch, and waits for it. `bases`: the address of the first row of each of the
    frame's parts."""

    def __call__(self, frame: Frame, bases: Sequence[int]) -> None: ...


@frozen
class Ready:
    """A kernel that a device has. `kernel` says what its buffers are called, `stored` which of them it writes."""

    store: Held
    kernel: Kernel
    launch: Launch
    stored: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        inside = (s for p in phases(self.kernel.program.body) for s in statements(p.body))
        object.__setattr__(self, "stored", frozenset(s.buffer for s in inside if isinstance(s, Store)))

    def run(self, frame: Frame) -> None:
        """Runs all copies of a frame, and leaves what they have changed in its parts, but for the guests of the device.
        Raises UsageError if their arrays find no room."""
        buffers = binding(self.kernel.program).buffers
        store = self.store
        with store.putting() as put:
            bases = []
            for buffer, part in zip(buffers, frame.parts, strict=True):
                base = self._standing(buffer, part)
                if base is None:
                    base = self._put(part, len(frame))
                    put.append(base)
                bases.append(base)
            self.launch(frame, bases)
            for buffer, part, base in zip(buffers, frame.parts, bases, strict=True):
                self._back(buffer, part, base)

    def _standing(self, buffer: Buffer, part: Part) -> int | None:
        """Where a part stands already."""
        if buffer.role is Role.DATA:
            return self.store.keep(part.array)
        guest = None if part.rows is None or isinstance(part, SideBySide) else self.store.guest(part.array)
        return None if guest is None else guest.address

    def _put(self, part: Part, copies: int) -> int:
        """Where a part is put for this call; work space has a row for every copy."""
        memory = self.store.memory
        if part.rows is None:
            needed = copies * part.array[0].nbytes
            memory.check_room(needed)
            return memory.make_room(needed)
        memory.check_room(part.array.nbytes)
        return self.store.put(in_memory(part))

    def _back(self, buffer: Buffer, part: Part, base: int) -> None:
        """What copies have changed, and what is asked for of their work space."""
        if buffer.role in WRITTEN | {Role.RESULT} and buffer.name in self.stored:
            guest = None if isinstance(part, SideBySide) else self.store.guest(part.array)
            if guest is None:
                self.store.memory.get(base, in_memory(part))
            else:
                guest.newer = True
        elif part.asked:
            self.store.memory.get(base, in_memory(part) if isinstance(part, SideBySide) else part.array[:1])


def in_memory(part: Part) -> AnyArray:
    """A part's array as it stands in memory, in C order."""
    return part.array.T if isinstance(part, SideBySide) else part.array


@mutable
class OnDevice:
    """The code of a program for teams (`Routine`), in the form that suits its size and copies, or in a `shape`. Raises
    UsageError if a buffer has more elements than a kernel can tell apart."""

    name: str
    target: Target
    program: Program
    device: Device
    shape: Shape | None = None
    made: dict[Form, Ready] = field(default_factory=dict)

    def __call__(self, frame: Frame, begin: int, end: int, worker: int) -> None:
        if begin == end:
            return
        given = Given(self.program, frame, begin, end)
        form = form_of(self.program, given.sizes, end - begin, room=self.device.room, shape=self.shape)
        given.check(form)
        if form not in self.made:
            self.made[form] = self.device.ready(self.name, self.target, self.program, form)
        kernel, store = self.made[form].kernel, self.device.store
        changed = [part.array for part in given.held.values()] if form.shape == "thread" else []
        store.settle(changed)
        parts = given.parts(kernel, form)
        self.made[form].run(given.frame(kernel, parts))
        if form.shape == "thread":
            given.take_back(kernel, parts)
        store.renew(changed)


# ---------------------------------------------------------------- what copies are given


@frozen
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
            elif part.asked:
                part.array[0] = changed[0]

    def _stretch(self, part: Part) -> Part:
        return Part(part.array, None if part.rows is None else part.rows[self.begin : self.end], part.asked)

    def _side_by_side(self, part: Part) -> SideBySide:
        import numpy as np

        copies = self.end - self.begin
        if part.rows is None:
            rows: AnyArray = np.zeros((copies, part.array[0].size), part.array.dtype)
        else:
            rows = part.array[part.rows[self.begin : self.end]].reshape(copies, -1)
        return SideBySide(np.ascontiguousarray(rows.T).T, np.arange(copies), part.asked)


class SideBySide(Part):
    """The numbers of copies, [copies, numbers] with the copies next to each other in memory."""

    def of(self, copy: int, worker: int) -> AnyArray:
        """All that begins with the first number of a copy."""
        return self.array.T.reshape(-1)[copy:]
