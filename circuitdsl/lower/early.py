"""Examples are asked for before their turn: a row of a large data set is somewhere in memory, and in an order drawn by
chance no processor guesses where.

In a program of one example at a time the rows of the example that comes `STEPS` later are asked for at the beginning
of a step. That changes nothing that is computed. It is for one thread: a team's threads wait for memory in turns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from circuitdsl.graph.aligned import LINE as LINE
from circuitdsl.lower.extents import ONE
from circuitdsl.lower.loop_ir import (
    Const,
    Control,
    Define,
    Dtype,
    Expr,
    Fetch,
    Given,
    Load,
    Op,
    Program,
    Repeat,
    Role,
    Var,
    expressions,
    phases,
    statements,
    walk,
)

#: How many steps before its turn. Memory takes as long as one or two steps of the smallest circuits.
STEPS = 4


def fetched(program: Program) -> Program:
    """The program with examples asked for early, if it presents them one by one and is made for a processor."""
    if program.aim.teams or program.is_batched or not program.aim.vectors:
        return program
    steps = next((s.name for s in program.scalars if s.given is Given.STEPS), None)
    if steps is None:
        return program
    return replace(program, body=tuple(_control(part, program, steps) for part in program.body))


def _control(part: Control, program: Program, steps: str) -> Control:
    if not isinstance(part, Repeat):
        return part
    at = next((n for n, p in enumerate(part.body) if _presents(p, program)), None)
    if at is None:
        return part
    example = part.body[at]
    assert isinstance(example, Define)
    return replace(part, body=(*part.body[: at + 1], *_rows(example, part, program, steps), *part.body[at + 1 :]))


def _presents(part: Control, program: Program) -> bool:
    """Whether it says which example is the one of this step."""
    match part:
        case Define(value=Load(buffer=name)):
            return program.buffer(name).role is Role.ORDER
        case _:
            return False


def _rows(example: Define, repeat: Repeat, program: Program, steps: str) -> Iterator[Fetch]:
    """What is read of that example."""
    assert isinstance(example.value, Load)
    later = Op("add", (Var(repeat.var, Dtype.INT), Const(STEPS, Dtype.INT)), Dtype.INT)
    last = Op("sub", (Var(steps, Dtype.INT), Const(1, Dtype.INT)), Dtype.INT)
    row = Load(example.value.buffer, (Op("min", (later, last), Dtype.INT),), Dtype.INT)
    wanted = Var(example.name, Dtype.INT)
    read = {load.buffer for load in _loads(repeat) if wanted in load.index}
    for buffer in program.buffers:
        if buffer.name in read and buffer.role is Role.DATA and len(buffer.shape) == 2:
            size = buffer.shape[1]
            count: Expr = Const(1, Dtype.INT) if size == ONE else Var(size, Dtype.INT)
            yield Fetch(buffer=buffer.name, index=(row, Const(0, Dtype.INT)), count=count)


def _loads(repeat: Repeat) -> Iterator[Load]:
    inside = (s for p in phases(repeat.body) for s in statements(p.body))
    return (e for s in inside for x in expressions(s) for e in walk(x) if isinstance(e, Load))
