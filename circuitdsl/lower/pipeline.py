"""What is done to a program between lowering and printing: named passes in order, the program verified after each.

A pass takes a program and gives one that computes the same. A new one is a function in a file of its own and a line in
`PASSES`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

from circuitdsl.frozen import frozen
from circuitdsl.lower.across import across
from circuitdsl.lower.blocks import blocked
from circuitdsl.lower.copies import laned
from circuitdsl.lower.crew import crewed
from circuitdsl.lower.defer import deferred
from circuitdsl.lower.early import fetched
from circuitdsl.lower.fuse import fuse
from circuitdsl.lower.join import joined
from circuitdsl.lower.loop_ir import Aim, Program, phases, statements
from circuitdsl.lower.powers import multiplied
from circuitdsl.lower.reorder import reordered
from circuitdsl.lower.rows import together
from circuitdsl.lower.swift import swift
from circuitdsl.lower.teams import shared
from circuitdsl.lower.terse import terse
from circuitdsl.lower.trim import trimmed
from circuitdsl.lower.verify import verify
from circuitdsl.lower.wide import widened


@frozen
class Pass:
    """`doc`: what it does, in one line."""

    name: str
    doc: str
    apply: Callable[[Program], Program]


PASSES: tuple[Pass, ...] = (
    Pass("reorder", "a synapse learns next to where its weights are read", reordered),
    Pass("defer", "a synapse learns while the next example's currents are computed", deferred),
    Pass("fuse", "joins neighbouring phases, and loops over the same units", fuse),
    Pass("rows", "a row of weights is read and changed in one loop", together),
    Pass("terse", "increments and bounds of weights in fewer instructions", terse),
    Pass("across", "short rows of weights stand side by side, where they fill vectors", across),
    Pass("trim", "drops numbers and buffers that nothing uses", trimmed),
    Pass("powers", "squares and cubes become products", multiplied),
    Pass("copies", "copies of a circuit become the innermost loop, where there are many", laned),
    Pass("blocks", "batches in blocks of units and examples, for which weights and rates are read once", blocked),
    Pass("swift", "exp, expm1 and tanh in a form that fills vectors", swift),
    Pass("wide", "vectors as long as rows fill", widened),
    Pass("early", "rows of data are asked for some examples before their turn", fetched),
    Pass("join", "neighbouring phases become one where no team of threads needs a barrier", joined),
    Pass("teams", "marks the loops and sums that the threads of a team can share", shared),
    Pass("crew", "several threads of a processor share the loops over units of a large circuit", crewed),
)
#: The stage before the first pass.
LOWERED = "lower"


def passed(program: Program, aim: Aim | None = None, *, without: Collection[str] = ()) -> Program:
    """The program after all passes but those of these names. Raises LoopError if a pass has broken it."""
    for _, stage in stages(program, aim, without=without):
        program = stage
    return program


def stages(program: Program, aim: Aim | None = None, *, without: Collection[str] = ()) -> Iterator[tuple[str, Program]]:
    """(name, the program after it) of the lowering and every pass, for the `aim` that it was lowered for or another one
    without teams. Raises LoopError as `passed`."""
    program = program if aim is None else replace(program, aim=aim)
    verify(program)
    yield LOWERED, program
    for each in PASSES:
        before = program
        program = before if each.name in without else each.apply(before)
        if program != before:
            verify(program)
        yield each.name, program


# ---------------------------------------------------------------- what they did


@frozen(kw_only=True)
class Fired:
    """How many of `programs` a pass has changed, and by how much all of them together grew."""

    name: str
    doc: str
    times: int
    programs: int
    phases: int
    statements: int
    buffers: int


def fired(runs: Sequence[Sequence[tuple[str, Program]]]) -> list[Fired]:
    """What each pass does in these `stages`."""
    found = []
    for number, each in enumerate(PASSES):
        pairs = [(run[number][1], run[number + 1][1]) for run in runs]
        grown = [[b - a for a, b in zip(_size(old), _size(new), strict=True)] for old, new in pairs]
        phases_more, statements_more, buffers_more = (sum(column) for column in zip(*grown, strict=True))
        found.append(
            Fired(
                name=each.name,
                doc=each.doc,
                times=sum(old != new for old, new in pairs),
                programs=len(runs),
                phases=phases_more,
                statements=statements_more,
                buffers=buffers_more,
            )
        )
    return found


def _size(program: Program) -> tuple[int, int, int]:
    """How many phases, statements and buffers it has."""
    all_phases = list(phases(program.body))
    return len(all_phases), sum(1 for p in all_phases for _ in statements(p.body)), len(program.buffers)
