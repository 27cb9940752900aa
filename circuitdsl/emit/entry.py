"""The way into a loop program's code: one signature for all circuits.

The entry point runs a program for the copies of a circuit from `_begin` to before `_end`, one after the other. All
that it takes are numbers and addresses: `_wholes` [copies, whole numbers] and `_numbers` [copies, real numbers];
`_reals`, `_ints`, `_shorts` and `_bytes` [copies, buffers], four times the same, are where the part of a buffer begins
that a copy uses. So the code does not know how many copies there are, which of them share an array, and who works on
them: a single run is a population of one, and threads share a population by its copies. In a program of lanes
(lower/copies.py) "copy" means a group of copies that stand side by side.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import assert_never

from circuitdsl.emit.calls import Given
from circuitdsl.frozen import frozen
from circuitdsl.lower.loop_ir import Buffer, Dtype, Program, Scalar
from circuitdsl.lower.trim import uses

#: What the entry point takes.
PARAMETERS = ("_begin", "_end", "_wholes", "_numbers", "_reals", "_ints", "_shorts", "_bytes")
COPY = "_copy"
#: The table of loops over calls (emit/calls.py), in such a loop the round, and where its row begins.
TABLE, ROUND, ROW = "_table", "_round", "_row"
#: The names of the entry point's own.
OWN = frozenset({*PARAMETERS, COPY, TABLE, ROUND, ROW})


@frozen(kw_only=True)
class Binding:
    """What the entry point is called with for each copy, in order: its whole numbers, its real numbers, and the
    buffers whose addresses it takes."""

    wholes: tuple[Scalar, ...]
    numbers: tuple[Scalar, ...]
    buffers: tuple[Buffer, ...]


def binding_of(program: Program) -> Binding:
    """Of a program whose indices are flat."""
    used = uses(program.body).union(program.crew.names if program.crew is not None else ())
    scalars = _used(program, used)
    return Binding(
        wholes=tuple(s for s in scalars if s.dtype is not Dtype.REAL),
        numbers=tuple(s for s in scalars if s.dtype is Dtype.REAL),
        buffers=tuple(b for b in program.buffers if b.name in used),
    )


def arguments(program: Program) -> tuple[Scalar, ...]:
    """The runtime scalars that a program uses, in order."""
    return _used(program, uses(program.body))


def _used(program: Program, names: Collection[str]) -> tuple[Scalar, ...]:
    return tuple(s for s in program.scalars if s.name in names)


def given(binding: Binding) -> dict[str, Given]:
    """Where the entry point finds the numbers and the buffers of a program."""
    found: dict[str, Given] = {}
    for array, scalars in (("_wholes", binding.wholes), ("_numbers", binding.numbers)):
        row = _row(len(scalars))
        found |= {s.name: Given(array, row, place) for place, s in enumerate(scalars)}
    row = _row(len(binding.buffers))
    return found | {b.name: Given(_array(b.dtype), row, place) for place, b in enumerate(binding.buffers)}


def entry(name: str, title: str, places: Mapping[str, Given], used: Collection[str], body: Sequence[str]) -> list[str]:
    """The lines of the entry point; `body` stands two levels in, and is what is done for one copy. `used` are the names
    that stand in it."""
    lines = [
        f"def {name}({', '.join(PARAMETERS)}):",
        *([f'    """{title}."""'] if title else []),
        f"    for {COPY} in range(_begin, _end):",
    ]
    lines += [f"        {name} = {where.text}" for name, where in places.items() if name in used]
    return [*lines, *body]


def _row(width: int) -> str:
    return COPY if width == 1 else f"{COPY} * {width}"


def _array(dtype: Dtype) -> str:
    match dtype:
        case Dtype.REAL:
            return "_reals"
        case Dtype.INT:
            return "_ints"
        case Dtype.SHORT:
            return "_shorts"
        case Dtype.BOOL:
            return "_bytes"
        case _:
            assert_never(dtype)
