"""Which buffers statements touch, and where in them: what decides whether two rounds get in each other's way.

Of a round only its number is known. It has a place of its own in a buffer if the number is one of the indices, and
always the same one; else it may meet any other round there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import assert_never

from circuitdsl.frozen import mutable
from circuitdsl.lower.loop_ir import (
    Assign,
    Const,
    Define,
    Expr,
    Load,
    Loop,
    Op,
    Row,
    Statement,
    Store,
    Sum,
    Var,
    When,
    expressions,
    walk,
)

#: The axis where the number of the round is none of the indices.
NOWHERE = -1


@mutable
class Touch:
    """The axes along which the number of the round is the index where a buffer is read, and where it is written; None
    outside rounds. `set_first`: whether it is written before it is read."""

    set_first: bool
    reads: set[int | None] = field(default_factory=set)
    writes: set[int | None] = field(default_factory=set)

    def with_(self, other: Touch) -> Touch:
        """Both, `other` last."""
        return Touch(self.set_first, self.reads | other.reads, self.writes | other.writes)

    @property
    def meets(self) -> bool:
        """Whether a round may touch what another one, or what is outside, writes."""
        return bool(self.writes) and (len(self.reads | self.writes) > 1 or NOWHERE in self.reads | self.writes)


#: By the name of the buffer.
Touches = dict[str, Touch]


def in_rounds(body: tuple[Statement, ...], loop: Loop | None = None) -> Touches:
    """What a phase touches, in the rounds of its loops over threads; or what the rounds of a loop touch, if `body` is
    its own."""
    found: Touches = {}
    for buffer, writes, also_reads, axis in _accesses(body, loop, frozenset()):
        touch = found.setdefault(buffer, Touch(writes and not also_reads))
        if writes:
            touch.writes.add(axis)
        if also_reads or not writes:
            touch.reads.add(axis)
    return found


def meet(first: Touches, second: Touches) -> bool:
    """Whether a round of one would touch what another round of the other writes."""
    few, many = (first, second) if len(first) < len(second) else (second, first)
    return any(name in many and touch.with_(many[name]).meets for name, touch in few.items())


def add(first: Touches, second: Touches) -> None:
    """Makes `first` what both touch."""
    for name, touch in second.items():
        first[name] = first[name].with_(touch) if name in first else touch


def _accesses(
    body: tuple[Statement, ...], loop: Loop | None, places: frozenset[str]
) -> Iterator[tuple[str, bool, bool, int | None]]:
    """(buffer, whether it is written, whether it is read as well, the axis of the round). `places` are variables that
    run over the places of the round's own row, which are its own."""
    for statement in body:
        for expr in expressions(statement):
            for node in walk(expr):
                if isinstance(node, Load):
                    yield node.buffer, False, True, _axis(node.index, loop, places)
        match statement:
            case Store():
                yield statement.buffer, True, statement.add, _axis(statement.index, loop, places)
            case Loop():
                starts = loop is None and statement.over == "threads"
                own = {statement.var} if loop is not None and _is_row_of(statement, loop) else frozenset[str]()
                yield from _accesses(statement.body, statement if starts else loop, places | own)
            case When():
                yield from _accesses(statement.body, loop, places)
            case Define() | Assign() | Sum():
                pass
            case _:
                assert_never(statement)


def _is_row_of(row: Loop, loop: Loop) -> bool:
    match row.extent:
        case Row(at=Var(name=name)):
            return name == loop.var
        case _:
            return False


def _axis(index: tuple[Expr, ...], loop: Loop | None, places: frozenset[str]) -> int | None:
    if loop is None:
        return None
    return next((n for n, e in enumerate(index) if _is_own(e, loop, places)), NOWHERE)


def _is_own(index: Expr, loop: Loop, places: frozenset[str]) -> bool:
    match member(index):
        case None:
            return False
        case name, number:
            return (name == loop.var and number < loop.size) or (name in places and number == 0)


def member(index: Expr) -> tuple[str, int] | None:
    """The variable of a loop, and which one of its block is meant: 2 for `j + 2`; None if it is another number."""
    match index:
        case Var(name=name):
            return name, 0
        case Op(function="add", arguments=(Var(name=name), Const(value=number))) if number >= 0:
            return name, int(number)
        case _:
            return None
