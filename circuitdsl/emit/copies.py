"""A loop program for many copies of a circuit: its module, and a driver that runs the program copy by copy, or, where
copies are lanes of one program (lower/copies.py), group by group.

The driver takes a stretch of copies and releases the GIL, so that threads share a population between them. A copy's
numbers never depend on which thread or stretch it is in.

Loops over lanes become vector instructions where LLVM knows that arrays do not overlap, and where no function of a
library is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from circuitdsl.lower.loop_ir import Buffer, Dtype, Program, Role, Scalar

#: What the driver takes before the program's buffers.
PARAMETERS = ("_begin", "_end", "_worker", "_copies", "_integers", "_reals")


def driver_name(program: Program) -> str:
    return f"{program.name}_copies"


def driver(program: Program, scalars: Sequence[Scalar], options: str) -> list[str]:
    """The lines of the driver. `_integers` [copies, n + 2] holds the program's whole numbers in the order of
    `scalars`, then the rows of the copy's data and order; `_reals` [copies, m] the others. Every buffer has a leading
    axis: of data sets, of orders, of workers (work space), or of copies. An array with fewer rows than there are
    copies serves consecutive copies alike. In a program of lanes "copy" means a group of them, and `_reals` is [groups,
    m, lanes]: one row for each number that differs between lanes."""
    whole = [s for s in scalars if s.dtype is not Dtype.REAL]
    real = [s for s in scalars if s.dtype is Dtype.REAL]
    place = {s.name: f"_integers[_copy, {i}]" for i, s in enumerate(whole)}
    place |= {s.name: f"_reals[_copy, {i}]" for i, s in enumerate(real)}
    numbers = [b.name for b in program.buffers if b.role is Role.NUMBER]
    place |= {name: f"_reals[_copy, {i}]" for i, name in enumerate(numbers)}
    parameters = [*PARAMETERS, *(b.name for b in program.buffers if b.role is not Role.NUMBER)]
    parts = (place[b.name] if b.role is Role.NUMBER else _part(b, len(whole)) for b in program.buffers)
    arguments = [*(place[s.name] for s in scalars), *parts]
    return [
        f"@njit({options}, nogil=True)",
        f"def {driver_name(program)}(",
        *(f"    {name}," for name in parameters),
        "):",
        '    """The copies from `_begin` to before `_end`, one after the other."""',
        "    whole()",
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
        case Role.NUMBER:
            raise ValueError(f"`{buffer.name}` stands among the real numbers")
        case _:
            assert_never(buffer.role)


# ---------------------------------------------------------------- lanes

#: tanh in float32 within 4e-7, never above 1: the quotient of polynomials that Eigen and XLA use (a minimax fit on
#: +-7.9, where it is 1 in float32). NaN stays NaN.
SWIFT_TANH = """

@kernel
def swift_tanh(x):
    x = real(7.905311) if x > real(7.905311) else (real(-7.905311) if x < real(-7.905311) else x)
    x2 = x * x
    p = x2 * real(-2.76076847742355e-16) + real(2.00018790482477e-13)
    p = x2 * p + real(-8.60467152213735e-11)
    p = x2 * p + real(5.12229709037114e-08)
    p = x2 * p + real(1.48572235717979e-05)
    p = x2 * p + real(6.37261928875436e-04)
    p = x2 * p + real(4.89352455891786e-03)
    q = x2 * real(1.19825839466702e-06) + real(1.18534705686654e-04)
    q = x2 * q + real(2.26843463243900e-03)
    q = x2 * q + real(4.89352518554385e-03)
    return x * p / q
""".rstrip()


def quick_forms(program: Program) -> list[str]:
    """The functions that stand in for others (lower/swift.py)."""
    return SWIFT_TANH.split("\n") if "swift_tanh" in dict(program.stand_ins) else []
