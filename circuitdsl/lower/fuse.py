"""Fewer passes over the same units: neighbouring phases whose loops are alike become one loop.

Two loops over the same extent are joined if all that they both touch, and one of them writes, belongs to the same
round in both: a dendrite and the rate that it makes end up in one loop over threads, and so do loops over examples
around them. A loop that goes through all examples for each unit stays alone on a processor: there is nothing to be
had of a neighbour, and phases that are alike share a function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from circuitdsl.frozen import frozen, mutable
from circuitdsl.lower import long
from circuitdsl.lower.loop_ir import (
    Branch,
    Control,
    Define,
    Fetch,
    Loop,
    Phase,
    Program,
    Repeat,
    Role,
    Statement,
    phases,
    statements,
)
from circuitdsl.lower.names import Apart
from circuitdsl.lower.touches import Touches, add, in_rounds, meet


def fuse(program: Program) -> Program:
    """The program with fewer phases and loops."""
    private = frozenset(b.name for b in program.buffers if b.role is Role.ROW)
    longest = long.statements(sum(1 for _ in phases(program.body)))
    examples = frozenset() if program.aim.teams else frozenset(dict(program.bounded))
    return replace(program, body=_controls(program.body, _Limits(private, examples, longest)))


@frozen
class _Limits:
    """`private`: rows that each thread has of its own; `examples`: the extents of loops that keep a phase alone;
    `longest`: how many statements a phase may have that comes of others."""

    private: frozenset[str]
    examples: frozenset[str]
    longest: int


def _controls(body: Sequence[Control], limits: _Limits) -> tuple[Control, ...]:
    made: list[Control | _Nest] = []
    for part in body:
        last = made[-1] if made else None
        match part:
            case Repeat() | Branch():
                made.append(replace(part, body=_controls(part.body, limits)))
            case Phase():
                nest = _nest(part, limits)
                if nest is None:
                    made.append(part)
                elif not (isinstance(last, _Nest) and last.takes(nest, limits.longest)):
                    made.append(nest)
            case Define() | Fetch():
                made.append(part)
            case _:
                assert_never(part)
    return tuple(part.phase() if isinstance(part, _Nest) else part for part in made)


@mutable
class _Nest:
    """Phases that become one: loops within each other, `around`, and in the innermost, over threads, `bodies`. For each
    of these loops what its rounds touch; they are `apart` if none needs what another one writes."""

    phases: list[Phase]
    around: list[Loop]
    touches: list[Touches]
    bodies: list[Statement]
    apart: bool
    names: Apart
    length: int

    def takes(self, other: _Nest, longest: int) -> bool:
        """Adds a nest if its loops are alike, no round needs what another one writes, and it becomes no longer than so
        many statements."""
        heads, others = ([(loop.var, loop.extent, loop.over) for loop in n.around] for n in (self, other))
        if heads != others or not (self.apart and other.apart):
            return False
        if self.length + other.length > longest:
            return False
        if any(meet(a, b) for a, b in zip(self.touches, other.touches, strict=True)):
            return False
        for a, b in zip(self.touches, other.touches, strict=True):
            add(a, b)
        self.length += other.length
        self.phases += other.phases
        self.bodies += self.names.renamed(tuple(other.bodies))
        return True

    def phase(self) -> Phase:
        first = self.phases[0]
        if len(self.phases) == 1:
            return first
        body = tuple(self.bodies)
        for loop in reversed(self.around):
            body = (replace(loop, body=body),)
        return replace(first, title="; ".join(p.title for p in self.phases), body=body)


def _nest(phase: Phase, limits: _Limits) -> _Nest | None:
    """A phase that is loops within each other down to one over threads, if it need not stay alone. Rows that are
    private to a thread are no matter between its rounds: they are set before they are read."""
    around: list[Loop] = []
    touches: list[Touches] = []
    body = phase.body
    while not around or around[-1].over != "threads":
        match body:
            case (Loop() as loop,):
                found = in_rounds(loop.body, loop)
                own = limits.private if loop.over == "threads" else frozenset[str]()
                touches.append({name: touch for name, touch in found.items() if name not in own})
                around.append(loop)
                body = loop.body
            case _:
                return None
    if any(isinstance(s, Loop) and s.extent in limits.examples for s in statements(body)):
        return None
    names = Apart()
    names.renamed(body)
    apart = not any(touch.meets for level in touches for touch in level.values())
    return _Nest([phase], around, touches, list(body), apart, names, sum(1 for _ in statements(body)))
