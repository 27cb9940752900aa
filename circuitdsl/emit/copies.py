"""A loop program for many copies of a circuit: its module, and a driver that runs the program copy by copy.

The driver takes a stretch of copies and releases the GIL, so that threads share a population between them. A copy's
numbers never depend on which thread or stretch it is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from circuitdsl.lower.loop_ir import Buffer, Dtype, Program, Role, Scalar

#: What the driver takes before the program's buffers. No entity's name begins with `_`.
PARAMETERS = ("_begin", "_end", "_worker", "_copies", "_integers", "_reals")


def driver_name(program: Program) -> str:
    return f"{program.name}_copies"


def driver(program: Program, scalars: Sequence[Scalar], options: str) -> list[str]:
    """The lines of the driver. `_integers` [copies, n + 2] holds the program's whole numbers in the order of
    `scalars`, then the rows of the copy's data and order; `_reals` [copies, m] the others. Every buffer has a leading
    axis: of data sets, of orders, of workers (work space), or of copies. An array with fewer rows than there are
    copies serves consecutive copies alike."""
    whole = [s for s in scalars if s.dtype is not Dtype.REAL]
    real = [s for s in scalars if s.dtype is Dtype.REAL]
    place = {s.name: f"_integers[_copy, {i}]" for i, s in enumerate(whole)}
    place |= {s.name: f"_reals[_copy, {i}]" for i, s in enumerate(real)}
    parameters = [*PARAMETERS, *(b.name for b in program.buffers)]
    arguments = [*(place[s.name] for s in scalars), *(_part(b, len(whole)) for b in program.buffers)]
    return [
        f"@njit({options}, nogil=True, cache=True)",
        f"def {driver_name(program)}(",
        *(f"    {name}," for name in parameters),
        "):",
        '    """The copies from `_begin` to before `_end`, one after the other."""',
        "    for _copy in range(_begin, _end):",
        f"        {program.name}(",
        *(f"            {argument}," for argument in arguments),
        "        )",
    ]


def _part(buffer: Buffer, whole: int) -> str:
    """The part of a buffer that the present copy uses."""
    match buffer.role:
        case Role.DATA:
            return f"{buffer.name}[_integers[_copy, {whole}]]"
        case Role.ORDER:
            return f"{buffer.name}[_integers[_copy, {whole + 1}]]"
        case Role.VALUE | Role.ROW | Role.WORK:
            return f"{buffer.name}[_worker]"
        case Role.WEIGHT | Role.MASK | Role.SYNAPSE_STATE | Role.KEPT | Role.COEFFICIENT | Role.RESET | Role.RESULT:
            return f"{buffer.name}[_copy * {buffer.name}.shape[0] // _copies]"
        case _:
            assert_never(buffer.role)
