"""A synapse learns where its weights are read: its phase moves up to the one that reads the same rows, so that `fuse`
joins them and each row is read and written once.

That is for one thread and one example at a time. In a batch the rows are walked once for each example anyway, and for
teams what counts is the number of barriers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import takewhile
from typing import assert_never

from circuitdsl.lower.loop_ir import Branch, Control, Define, Extent, Loop, Phase, Program, Repeat, Role
from circuitdsl.lower.touches import Touches, in_rounds


def reordered(program: Program) -> Program:
    """The program with phases moved up to those that touch the rows of the same matrix."""
    if program.aim.teams or program.is_batched:
        return program
    matrices = frozenset(b.name for b in program.buffers if b.role in (Role.WEIGHT, Role.SYNAPSE_STATE))
    return replace(program, body=_controls(program.body, matrices))


def _controls(body: tuple[Control, ...], matrices: frozenset[str]) -> tuple[Control, ...]:
    made: list[Control] = []
    placed: list[_Placed] = []  # the phases since the last part that is none

    def end() -> None:
        made.extend(p.phase for p in placed)
        placed.clear()

    for part in body:
        match part:
            case Phase():
                _place(_Placed.of(part), placed, matrices)
            case Repeat() | Branch():
                end()
                made.append(replace(part, body=_controls(part.body, matrices)))
            case Define():
                end()
                made.append(part)
            case _:
                assert_never(part)
    end()
    return tuple(made)


#: What a loop over threads runs over.
Head = tuple[str, Extent]


@dataclass(frozen=True, slots=True)
class _Placed:
    """A phase, the head of the only loop over threads that it is, if it is one, and what it touches."""

    phase: Phase
    head: Head | None
    touches: Touches

    @staticmethod
    def of(phase: Phase) -> _Placed:
        return _Placed(phase, head_of(phase), in_rounds(phase.body))

    def after(self, other: _Placed) -> bool:
        """Whether it has to stay behind another one: one of them writes what the other one touches."""
        common = self.touches.keys() & other.touches.keys()
        return any(self.touches[name].writes or other.touches[name].writes for name in common)

    def shares_rows(self, other: _Placed, matrices: frozenset[str]) -> bool:
        """Whether both walk the rows of a matrix that one of them writes."""
        common = self.touches.keys() & other.touches.keys() & matrices
        written = [n for n in common if self.touches[n].writes or other.touches[n].writes]
        return self.head is not None and self.head == other.head and bool(written)


def head_of(phase: Phase) -> Head | None:
    match phase.body:
        case (Loop(over="threads") as loop,):
            return loop.var, loop.extent
        case _:
            return None


def _place(one: _Placed, placed: list[_Placed], matrices: frozenset[str]) -> None:
    """Puts a phase behind the last one whose rows it shares (and those with the same loop that have to stand between
    them), if nothing else on the way has to stand before it; else at the end."""
    place = next((n for n in range(len(placed), 0, -1) if one.after(placed[n - 1])), 0)
    before = takewhile(lambda other: other.head == one.head, reversed(placed[:place]))
    found = any(one.shares_rows(other, matrices) for other in before)
    placed.insert(place if found else len(placed), one)
