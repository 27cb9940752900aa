"""Loops over the same row of weights become one: a row that is read for a current and changed by a rule passes through
the processor once.

Within a round the second of two such loops moves up to the first one, with the numbers that it needs, if neither
what stands between them nor the first one gives it anything but places of the row itself. That is for one thread: a
team shares sums and loops over lanes, and a loop that is both is neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace

from circuitdsl.frozen import frozen, mutable
from circuitdsl.lower.loop_ir import (
    Assign,
    Define,
    Loop,
    Program,
    Role,
    Statement,
    Sum,
    Var,
    expressions,
    statements,
    walk,
)
from circuitdsl.lower.rewrite import with_phases
from circuitdsl.lower.touches import Touches, in_rounds, meet

#: How many statements may stand between two loops that become one: they are looked through.
FURTHEST = 16


def together(program: Program) -> Program:
    """The program with loops over the same row of a matrix joined."""
    if program.aim.teams or program.is_batched:
        return program
    matrices = frozenset(b.name for b in program.buffers if b.role in (Role.WEIGHT, Role.SYNAPSE_STATE))
    return with_phases(program, lambda body: tuple(_round(s, matrices) for s in body))


def _round(statement: Statement, matrices: frozenset[str]) -> Statement:
    match statement:
        case Loop(over="threads"):
            return replace(statement, body=_joined(statement.body, matrices))
        case _:
            return statement


def _joined(body: tuple[Statement, ...], matrices: frozenset[str]) -> tuple[Statement, ...]:
    """The statements of a round, as many of its loops joined as can be."""
    made = _Made(matrices)
    for statement in body:
        if not (isinstance(statement, Loop) and made.joins(statement)):
            made.add(statement)
    return tuple(made.statements)


@mutable
class _Made:
    """Statements of a round. Of a matrix, `touched` and `written` say where the last loop stands that walks its row."""

    matrices: frozenset[str]
    statements: list[Statement] = field(default_factory=list)
    touched: dict[str, int] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)

    def add(self, statement: Statement) -> None:
        self.statements.append(statement)
        self._note(len(self.statements) - 1)

    def _note(self, at: int) -> None:
        loop = self.statements[at]
        if isinstance(loop, Loop) and loop.over == "sequence":
            for name, touch in in_rounds(loop.body, loop).items():
                if name in self.matrices:
                    self.touched[name] = at
                    if touch.writes:
                        self.written[name] = at

    def joins(self, loop: Loop) -> bool:
        """Puts a loop into the last one that walks a row which one of both changes, if it can be joined with it."""
        at = self._sharing(loop)
        if at is None:
            return False
        first = self.statements[at]
        if not isinstance(first, Loop) or (first.var, first.extent) != (loop.var, loop.extent):
            return False
        between = self.statements[at + 1 :]
        if len(between) > FURTHEST:
            return False
        needed = _moving(first, between, loop)
        if needed is None:
            return False
        rest = [s for s in between if s not in needed]
        self.statements[at:] = [*needed, replace(first, body=(*first.body, *loop.body)), *rest]
        for place in range(at, len(self.statements)):
            self._note(place)
        return True

    def _sharing(self, loop: Loop) -> int | None:
        if loop.over != "sequence":
            return None
        found = []
        for name, touch in in_rounds(loop.body, loop).items():
            place = (self.touched if touch.writes else self.written).get(name)
            if place is not None:
                found.append(place)
        return max(found, default=None)


def _moving(first: Loop, between: Sequence[Statement], second: Loop) -> list[Statement] | None:
    """The statements between two loops that have to move before the first one, for the second one to become part of
    it; None if it cannot."""
    if meet(in_rounds(first.body, first), in_rounds(second.body, second)):
        return None
    one, other = _Effects.of([first]), _Effects.of([second])
    if one.sets & (other.reads | other.sets) or other.sets & one.reads:
        return None
    needed: list[Statement] = []
    wanted = set(other.reads)
    for statement in reversed(between):
        effects = _Effects.of([statement])
        if not effects.sets & (wanted | other.sets):
            continue
        if not isinstance(statement, Define):
            return None
        needed.insert(0, statement)
        wanted |= effects.reads
    stays = [s for s in between if s not in needed]
    if _Effects.of(needed).in_the_way(_Effects.of([first, *stays])) or other.in_the_way(_Effects.of(stays)):
        return None
    return needed


@frozen
class _Effects:
    """The numbers that statements read and set, and the buffers that they touch."""

    reads: frozenset[str]
    sets: frozenset[str]
    touches: Touches

    @staticmethod
    def of(body: Sequence[Statement]) -> _Effects:
        inside = list(statements(tuple(body)))
        found = [n.name for s in inside for e in expressions(s) for n in walk(e) if isinstance(n, Var)]
        sets = [s.name for s in inside if isinstance(s, Define | Assign | Sum)]
        return _Effects(frozenset(found), frozenset(sets), in_rounds(tuple(body)))

    def in_the_way(self, other: _Effects) -> bool:
        """Whether the order of both matters."""
        common = self.touches.keys() & other.touches.keys()
        if any(self.touches[name].writes or other.touches[name].writes for name in common):
            return True
        return bool(self.sets & (other.reads | other.sets) or other.sets & self.reads)
