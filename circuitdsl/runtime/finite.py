"""Whether all numbers of an array are finite, asked on the device where they are: a kernel as any other."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from circuitdsl.emit.target import DType, Target
from circuitdsl.emit.teams import Shape, binding
from circuitdsl.frozen import mutable
from circuitdsl.graph.functions import quiet
from circuitdsl.lower.loop_ir import (
    Buffer,
    Const,
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
    Sum,
    Var,
    for_teams,
)
from circuitdsl.runtime.device import Device, OnDevice
from circuitdsl.runtime.routine import Frame, Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    AnyArray = NDArray[Any]

#: How many sums an array is added up to.
ROWS = 256
#: Numbers from which on a block takes longer than all of a GPU.
MANY = 100_000


def program(dtype: DType) -> Program:
    """Adds up nothing of every number: 0 times what is not finite is no number."""
    row, at = Var("row", Dtype.INT), Op("mul", (Var("i", Dtype.INT), Var("rows", Dtype.INT)), Dtype.INT)
    last = Op("sub", (Var("count", Dtype.INT), Const(1, Dtype.INT)), Dtype.INT)
    place: Expr = Op("min", (Op("add", (at, row), Dtype.INT), last), Dtype.INT)
    nothing = Op("mul", (Load("values", (place,)), Const(0, Dtype.REAL)))
    rows = Loop(
        var="row",
        extent="rows",
        over="threads",
        body=(
            Define(name="total", value=Const(0, Dtype.REAL)),
            Sum(name="total", var="i", extent="turns", value=nothing),
            Store(buffer="found", index=(row,), value=Var("total", Dtype.REAL)),
        ),
    )
    title = "whether all numbers are finite"
    return Program(
        name="finite",
        title=title,
        scalars=tuple(Scalar(name=name, dtype=Dtype.INT, given=Given.SIZE) for name in ("count", "rows", "turns")),
        buffers=(
            Buffer(name="values", role=Role.COEFFICIENT, key="values", shape=("count",)),
            Buffer(name="found", role=Role.RESULT, key="found", shape=("rows",)),
        ),
        bounded=(),
        body=(Phase(name="add_up", title=title, body=(rows,)),),
        aim=for_teams(dtype),
    )


@mutable
class Finite:
    """Asks a device, in a precision."""

    device: Device
    target: Target
    dtype: DType
    made: dict[Shape, OnDevice] = field(default_factory=dict)

    def __call__(self, array: AnyArray) -> bool:
        """Of a guest of the device, as it is there; of another array, which is copied there."""
        return bool(self.copies(array[None]).all())

    def copies(self, array: AnyArray) -> NDArray[np.bool_]:
        """The same of an array [copies, ...], for each copy."""
        import numpy as np

        copies, count = len(array), array[:1].size
        if count == 0:
            return np.ones(copies, np.bool_)
        shape: Shape = "block" if copies > 1 or count < MANY else "grid"
        if shape not in self.made:
            self.made[shape] = OnDevice("finite", self.target, program(self.dtype), self.device, shape)
        routine = self.made[shape]
        given = {"count": count, "rows": min(ROWS, count), "turns": -(-count // min(ROWS, count))}
        found, each = np.zeros((copies, given["rows"]), self.dtype), np.arange(copies)
        parts = {"values": Part(array.reshape(copies, -1), each), "found": Part(found, each)}
        takes = binding(routine.program)
        wholes = np.array([[given[s.name] for s in takes.wholes]], np.int64).repeat(copies, axis=0)
        frame = Frame(wholes, np.zeros((copies, 1), self.dtype), [parts[b.name] for b in takes.buffers])
        with quiet():
            routine(frame, 0, copies, 0)
        return np.asarray(np.isfinite(found).all(axis=1))
