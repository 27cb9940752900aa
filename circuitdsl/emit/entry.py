"""The way into a loop program's code: one signature for all circuits.

The entry point runs a program for the copies of a circuit from `_begin` to before `_end`, one after the other. All
that it takes are numbers and addresses: `_wholes` [copies, whole numbers] and `_numbers` [copies, real numbers];
`_reals`, `_ints`, `_shorts` and `_bytes` [copies, buffers], four times the same, are where the part of a buffer begins
that a copy uses. So the code does not know how many copies there are, which of them share an array, and who works on
them: a single run is a population of one, and threads share a population by its copies. In a program of lanes
(lower/copies.py) "copy" means a group of copies that stand side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from circuitdsl.lower.loop_ir import Buffer, Dtype, Program, Scalar
from circuitdsl.lower.trim import uses

#: What the entry point takes.
PARAMETERS = ("_begin", "_end", "_wholes", "_numbers", "_reals", "_ints", "_shorts", "_bytes")
COPY = "_copy"
#: The names of the entry point's own.
OWN = frozenset({*PARAMETERS, COPY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What the entry point is called with for each copy, in order: its whole numbers, its real numbers, and the
    buffers whose addresses it takes."""

    wholes: tuple[Scalar, ...]
    numbers: tuple[Scalar, ...]
    buffers: tuple[Buffer, ...]


def binding_of(program: Program) -> Binding:
    """Of a program whose indices are flat."""
    scalars, used = arguments(program), uses(program.body)
    return Binding(
        wholes=tuple(s for s in scalars if s.dtype is not Dtype.REAL),
        numbers=tuple(s for s in scalars if s.dtype is Dtype.REAL),
        buffers=tuple(b for b in program.buffers if b.name in used),
    )


def arguments(program: Program) -> tuple[Scalar, ...]:
    """The runtime scalars that a program uses, in order."""
    used = uses(program.body)
    return tuple(s for s in program.scalars if s.name in used)


def entry(name: str, title: str, binding: Binding, body: Sequence[str]) -> list[str]:
    """The lines of the entry point; `body` stands two levels in, and is what is done for one copy."""
    lines = [
        f"def {name}({', '.join(PARAMETERS)}):",
        *([f'    """{title}."""'] if title else []),
        f"    for {COPY} in range(_begin, _end):",
    ]
    lines += _taken("_wholes", [s.name for s in binding.wholes])
    lines += _taken("_numbers", [s.name for s in binding.numbers])
    buffers = binding.buffers
    lines += [f"        {b.name} = {_array(b.dtype)}[{_place(i, len(buffers))}]" for i, b in enumerate(buffers)]
    return [*lines, *body]


def _taken(parameter: str, names: Sequence[str]) -> list[str]:
    return [f"        {name} = {parameter}[{_place(i, len(names))}]" for i, name in enumerate(names)]


def _place(number: int, of: int) -> str:
    row = COPY if of == 1 else f"{COPY} * {of}"
    return f"{row} + {number}" if number else row


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
