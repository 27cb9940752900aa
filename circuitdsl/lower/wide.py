"""Vectors as long as rows fill: what a compiler best makes of a phase's innermost loops depends on how long they are,
and so each phase says it.

A processor has vectors of several lengths, and a compiler does several of them side by side; what is left of a row it
does number by number, or nearly. So a phase says how much of its rows fills vectors: the largest of a few powers of two
of bytes of which a row is a multiple, and of long rows more (`filled`). Which vectors these become, and how many at
once, is decided where the processor is known (runtime/compile.py). Phases that are alike, and fill the same, share a
function.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from circuitdsl.frozen import frozen
from circuitdsl.lower.loop_ir import (
    Blocks,
    Extent,
    Loop,
    Phase,
    Program,
    Rest,
    Row,
    Statement,
    Sum,
    When,
    units_of,
)
from circuitdsl.lower.rewrite import with_each_phase

#: Bytes of the shorter and the longer vectors of processors.
SHORT, LONG = 32, 64
#: So many vectors are done side by side where they are filled.
ABREAST = 4
MOST = ABREAST * LONG
#: From so many bytes on a rest is a small part of a row: of the longest vectors, and of four of them.
OF_LONG, OF_MOST = 512, 1024
#: Rounds of a loop over what has no size, such as examples, where loops are weighed against each other.
USUAL = 32


def filled(row: int) -> int:
    """How much of a row of so many bytes fills vectors: SHORT, 2 SHORT, ... MOST. Rows that fill none are as those that
    fill long ones: something is left of them in any case."""
    if row >= OF_MOST:
        return MOST
    divides = min(row & -row, MOST)
    return max(divides, LONG) if divides < SHORT or row >= OF_LONG else divides


def widened(program: Program) -> Program:
    """The program with phases that say what their rows fill, if loops become vectors."""
    if program.aim.teams or not program.aim.vectors:
        return program
    rows = _Rows(units_of(program), program.aim.itemsize, LONG if program.is_batched else MOST)
    return with_each_phase(program, lambda phase: replace(phase, fills=min(rows.fill(phase), rows.most)))


@frozen
class _Rows:
    """`units`: how many the extents count that are known; `itemsize`: bytes of a number; `most`: that phases are told
    apart by. In a batch several examples, and units, are side by side already."""

    units: Mapping[str, int]
    itemsize: int
    most: int

    def fill(self, phase: Phase) -> int:
        """What the rows fill where the phase does most; 0: nobody knows."""
        match max(self._innermost(phase.body, 1), key=lambda each: each[0], default=(0, "")):
            case _, Row():  # these differ
                return MOST
            case _, extent:
                units = self._count(extent)
                return 0 if units is None else filled(units * self.itemsize)

    def _innermost(self, body: Sequence[Statement], rounds: int) -> Iterator[tuple[int, Extent]]:
        """The innermost loops, with how many rounds all that is around them makes of them."""
        for s in body:
            match s:
                case Loop():
                    around = rounds * (self._count(s.extent) or USUAL)
                    within = list(self._innermost(s.body, around))
                    yield from within or [(around, s.extent)]
                case Sum():
                    yield rounds * (self._count(s.extent) or USUAL), s.extent
                case When():
                    yield from self._innermost(s.body, rounds)
                case _:
                    pass

    def _count(self, extent: Extent) -> int | None:
        match extent:
            case str():
                return self.units.get(extent)
            case Blocks() | Rest():
                return self.units.get(extent.of)
            case Row():
                return None
