"""Loop programs for teams of threads, made ready to be printed: where a buffer stands, and as what it is addressed.

A program for a GPU comes in three shapes (`Shape`). What a thread block can hold in its shared memory stands there
while a copy is at work: one array, `_shared`, in which every buffer has its place. Copies that are one thread each
stand side by side, so that neighbouring threads read neighbouring numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Literal

from circuitdsl.emit.entry import Binding
from circuitdsl.emit.flat import Index, addressed, flat, plus
from circuitdsl.frozen import frozen
from circuitdsl.lower.loop_ir import (
    Buffer,
    Const,
    Control,
    Define,
    Dtype,
    Expr,
    Given,
    Load,
    Loop,
    Op,
    Phase,
    Program,
    Role,
    Scalar,
    Store,
    Var,
    phases,
    statements,
)
from circuitdsl.lower.trim import uses

#: A copy is one block of threads, one thread, or the work of the whole GPU.
Shape = Literal["block", "thread", "grid"]
#: Bytes of shared memory that any GPU gives a block without being asked.
SHARED = 48 * 1024
#: Threads of a block: with more, barriers cost more than small layers gain.
THREADS = 256
#: From so many copies on, there are threads for every place of a GPU though each has a copy of its own.
MANY = 20_000
#: Weights and states of a copy, in bytes, that a thread may go through alone.
TINY = 16 * 1024

#: What training changes, and so has to be brought into shared memory and back.
WRITTEN = frozenset({Role.WEIGHT, Role.SYNAPSE_STATE, Role.KEPT})
#: What is of one copy, and lives no longer than a call.
PASSING = frozenset({Role.VALUE, Role.WORK})
#: What every copy has of its own.
OWN = WRITTEN | PASSING

ROOM, STRIDE, FLAG = "_shared", "_stride", "_flag"


@frozen(kw_only=True)
class Form:
    """How a program is laid out on a GPU. `shared`: the buffers in shared memory, of which a block has `held` bytes;
    `why`: what decided, in words."""

    shape: Shape
    shared: tuple[str, ...] = ()
    held: int = field(default=0, compare=False)
    why: str = field(default="", compare=False)


def form_of(
    program: Program, sizes: Mapping[str, int], copies: int, *, room: int = SHARED, shape: Shape | None = None
) -> Form:
    """The form for so many copies, or that of a `shape` that was asked for. `sizes`: the bytes of each buffer, of one
    copy; `room`: the bytes of shared memory that a block may have. Values come into shared memory first, the small
    before the large."""
    left_behind = {Role.VALUE} if program.name == "evaluate" else set()  # an evaluation's values are read after it
    own = [b for b in program.buffers if b.role in OWN - left_behind and b.name in sizes]
    needed = sum(sizes[b.name] for b in own)
    if shape == "thread" or (shape is None and copies >= MANY and needed <= TINY):
        return Form(shape="thread", why=f"{copies:,} {_copies(copies)} of {needed:,} bytes, a thread each")
    if shape == "grid" or (shape is None and copies == 1 and needed > room):
        return Form(shape="grid", why=f"{needed:,} bytes to a copy; a block has {room:,} of shared memory")
    inside = []
    left = room
    for buffer in sorted(own, key=lambda b: (b.role in WRITTEN, sizes[b.name])):
        if buffer.dtype is Dtype.REAL and sizes[buffer.name] <= left:
            inside.append(buffer.name)
            left -= sizes[buffer.name]
    why = f"{copies:,} {_copies(copies)}, a block each: {room - left:,} of {needed:,} bytes in shared memory"
    return Form(shape="block", shared=tuple(inside), held=room - left, why=why)


def _copies(count: int) -> str:
    return "copy" if count == 1 else "copies"


def binding(program: Program) -> Binding:
    """What a kernel is told of a copy: all whole numbers, for it must know how large its buffers are."""
    used = uses(program.body)
    return Binding(
        wholes=tuple(s for s in program.scalars if s.dtype is not Dtype.REAL),
        numbers=tuple(s for s in program.scalars if s.dtype is Dtype.REAL and s.name in used),
        buffers=tuple(b for b in program.buffers if b.name in used or b.name == FLAG),
    )


def formed(program: Program, form: Form) -> Program:
    """The program with flat indices, in that form: to be printed, and no more verified."""
    made = flat(program)
    match form.shape:
        case "block":
            return _in_shared_memory(made, form.shared) if form.shared else made
        case "thread":
            return _side_by_side(made)
        case "grid":
            flag = Buffer(name=FLAG, role=Role.WORK, key="", shape=("1",), dtype=Dtype.INT)
            return replace(made, buffers=(*made.buffers, flag))


# ---------------------------------------------------------------- shared memory


def _in_shared_memory(program: Program, names: Sequence[str]) -> Program:
    """Buffers as stretches of one; what training changes is fetched before the program and put back after it."""
    inside = [program.buffer(name) for name in names]
    head: list[Control] = []
    begin: Expr = Const(0, Dtype.INT)
    for buffer in inside:
        head.append(Define(name=_size(buffer.name), value=_elements(buffer)))
        head.append(Define(name=_begin(buffer.name), value=begin))
        begin = Op("add", (Var(_begin(buffer.name), Dtype.INT), Var(_size(buffer.name), Dtype.INT)), Dtype.INT)
    moved = set(names)

    def place(name: str, index: Index) -> tuple[str, Index]:
        return (ROOM, (plus(Var(_begin(name), Dtype.INT), index[0]),)) if name in moved else (name, index)

    kept = [b for b in inside if b.role in WRITTEN]
    stored = {s.buffer for p in phases(program.body) for s in statements(p.body) if isinstance(s, Store)}
    changed = [b for b in kept if b.name in stored]
    room = Buffer(name=ROOM, role=Role.WORK, key="", shape=("1",))
    return replace(
        program,
        body=(*head, *_moves(kept, "fetch"), *addressed(program.body, place), *_moves(changed, "return")),
        buffers=(*program.buffers, room),
    )


def _moves(buffers: Sequence[Buffer], way: Literal["fetch", "return"]) -> tuple[Phase, ...]:
    """What brings buffers into shared memory, or back."""
    loops = []
    for number, buffer in enumerate(buffers):
        var = f"_{way}{number}"
        outside = (Var(var, Dtype.INT),)
        inside = (plus(Var(_begin(buffer.name), Dtype.INT), Var(var, Dtype.INT)),)
        if way == "fetch":
            store = Store(buffer=ROOM, index=inside, value=Load(buffer.name, outside))
        else:
            store = Store(buffer=buffer.name, index=outside, value=Load(ROOM, inside))
        loops.append(Loop(var=var, extent=_size(buffer.name), body=(store,), over="threads"))
    if not loops:
        return ()
    where = "into shared memory" if way == "fetch" else "back from shared memory"
    return (Phase(name=f"{way}_state", title=f"weights and states, {where}", body=tuple(loops)),)


def _size(name: str) -> str:
    return f"_size_{name}"


def _begin(name: str) -> str:
    return f"_at_{name}"


def _elements(buffer: Buffer) -> Expr:
    """How many numbers a buffer has."""
    extents: list[Expr] = [Var(e, Dtype.INT) for e in buffer.shape if e != "1"]
    product: Expr = extents[0] if extents else Const(1, Dtype.INT)
    for extent in extents[1:]:
        product = Op("mul", (product, extent), Dtype.INT)
    return product


# ---------------------------------------------------------------- copies side by side


def _side_by_side(program: Program) -> Program:
    """What a copy has of its own stands with as many numbers between as there are copies."""
    own = {b.name for b in program.buffers if b.role in OWN}
    stride = Scalar(name=STRIDE, dtype=Dtype.INT, given=Given.CAPACITY, key="copies")

    def place(name: str, index: Index) -> tuple[str, Index]:
        if name not in own or index == (Const(0, Dtype.INT),):
            return name, index
        return name, (Op("mul", (*index, Var(STRIDE, Dtype.INT)), Dtype.INT),)

    return replace(program, body=addressed(program.body, place), scalars=(*program.scalars, stride))
