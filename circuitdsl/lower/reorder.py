"""A synapse learns where its weights are read: its phase moves up to the one that reads the same rows, so that `fuse`
joins them and each row is read and written once.

That is for one thread and one example at a time. In a batch the rows are walked once for each example anyway, and for
teams what counts is the number of barriers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Set as AbstractSet
from dataclasses import field, replace
from typing import assert_never

from circuitdsl.frozen import mutable
from circuitdsl.lower.loop_ir import Branch, Control, Define, Extent, Fetch, Loop, Phase, Program, Repeat, Role
from circuitdsl.lower.touches import in_rounds


def reordered(program: Program) -> Program:
    """The program with phases moved up to those that touch the rows of the same matrix."""
    if program.aim.teams or program.is_batched:
        return program
    matrices = frozenset(b.name for b in program.buffers if b.role in (Role.WEIGHT, Role.SYNAPSE_STATE))
    return replace(program, body=_controls(program.body, matrices))


def _controls(body: tuple[Control, ...], matrices: frozenset[str]) -> tuple[Control, ...]:
    made: list[Control] = []
    placed = _Placed(matrices)  # the phases since the last part that is none

    def end() -> None:
        nonlocal placed
        made.extend(phase for group in placed.groups for phase in group)
        placed = _Placed(matrices)

    for part in body:
        match part:
            case Phase():
                placed.place(part)
            case Repeat() | Branch():
                end()
                made.append(replace(part, body=_controls(part.body, matrices)))
            case Define() | Fetch():
                end()
                made.append(part)
            case _:
                assert_never(part)
    end()
    return tuple(made)


#: What a loop over threads runs over.
Head = tuple[str, Extent]


def head_of(phase: Phase) -> Head | None:
    match phase.body:
        case (Loop(over="threads") as loop,):
            return loop.var, loop.extent
        case _:
            return None


@mutable
class _Run:
    """Phases that follow each other and are the same loop over threads, if they are one, and the matrices that they
    touch and write."""

    head: Head | None
    touched: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)


@mutable
class _Placed:
    """Phases in order. A group is one that stayed where it was, with those that moved up behind it; `runs` has the run
    of each group. Of a buffer, `touched` and `written` say in which group it last was."""

    matrices: frozenset[str]
    groups: list[list[Phase]] = field(default_factory=list)
    runs: list[_Run] = field(default_factory=list)
    touched: defaultdict[str, int] = field(default_factory=lambda: defaultdict(lambda: -1))
    written: defaultdict[str, int] = field(default_factory=lambda: defaultdict(lambda: -1))

    def place(self, phase: Phase) -> None:
        """Puts a phase behind the last one that has to stand before it, if its run walks rows that this one walks, and
        one of both writes there; else at the end."""
        head, touches = head_of(phase), in_rounds(phase.body)
        written = {name for name, touch in touches.items() if touch.writes}
        last = max([self.written[name] for name in touches] + [self.touched[name] for name in written], default=-1)
        if last < 0 or not self._shares_rows(self.runs[last], head, touches.keys(), written):
            last = len(self.groups)
            self._begin(head)
        self.groups[last].append(phase)
        self.runs[last].touched |= touches.keys() & self.matrices
        self.runs[last].written |= written & self.matrices
        for name in touches:
            self.touched[name] = max(self.touched[name], last)
        for name in written:
            self.written[name] = max(self.written[name], last)

    def _shares_rows(self, run: _Run, head: Head | None, touched: AbstractSet[str], written: AbstractSet[str]) -> bool:
        return head is not None and run.head == head and bool(run.written & touched or run.touched & written)

    def _begin(self, head: Head | None) -> None:
        goes_on = bool(self.runs) and head is not None and self.runs[-1].head == head
        self.groups.append([])
        self.runs.append(self.runs[-1] if goes_on else _Run(head))
