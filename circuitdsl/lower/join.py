"""Fewer barriers: neighbouring phases become one wherever no team needs what another one writes.

That is for teams of threads. On one thread a barrier costs nothing, and phases that are alike share a function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from circuitdsl.frozen import mutable
from circuitdsl.lower.loop_ir import Branch, Control, Define, Fetch, Phase, Program, Repeat, Statement, has_threads
from circuitdsl.lower.names import Apart
from circuitdsl.lower.touches import Touches, add, in_rounds, meet


def joined(program: Program) -> Program:
    """The program with as few barriers as lower/verify.py allows, if it is for teams."""
    return replace(program, body=_controls(program.body)) if program.aim.teams else program


def _controls(body: Sequence[Control]) -> tuple[Control, ...]:
    made: list[Control | _Group] = []
    for part in body:
        last = made[-1] if made else None
        match part:
            case Repeat() | Branch():
                made.append(replace(part, body=_controls(part.body)))
            case Phase():
                group = _group(part)
                if not (isinstance(last, _Group) and last.takes(group)):
                    made.append(group)
            case Define() | Fetch():
                made.append(part)
            case _:
                assert_never(part)
    return tuple(part.phase() if isinstance(part, _Group) else part for part in made)


@mutable
class _Group:
    """Phases that become one, and what their rounds touch; all of them have loops over `threads`, or none has."""

    phases: list[Phase]
    threads: bool
    touches: Touches
    bodies: list[Statement]
    names: Apart

    def takes(self, other: _Group) -> bool:
        """Adds a phase if it can be done without a barrier before it. Phases without loops over threads are all done by
        one team."""
        if self.threads != other.threads or (self.threads and meet(self.touches, other.touches)):
            return False
        add(self.touches, other.touches)
        self.phases += other.phases
        self.bodies += self.names.renamed(tuple(other.bodies))
        return True

    def phase(self) -> Phase:
        first = self.phases[0]
        if len(self.phases) == 1:
            return first
        return replace(first, title="; ".join(p.title for p in self.phases), body=tuple(self.bodies))


def _group(phase: Phase) -> _Group:
    names = Apart()
    names.renamed(phase.body)
    return _Group([phase], has_threads(phase.body), in_rounds(phase.body), list(phase.body), names)
