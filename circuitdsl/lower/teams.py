"""Which loops of a round the threads of its team can share: those whose rounds keep to places of their own, and sums.

Only the outermost are shared: what stands in a lane is that lane's.
"""

from __future__ import annotations

from dataclasses import replace

from circuitdsl.lower.loop_ir import (
    Assign,
    Define,
    Loop,
    Op,
    Program,
    Statement,
    Sum,
    Var,
    When,
    has_threads,
    statements,
    walk,
)
from circuitdsl.lower.rewrite import with_phases
from circuitdsl.lower.touches import in_rounds


def shared(program: Program) -> Program:
    """The program with loops over lanes and sums wherever a round has them."""

    def marked(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        return _rounds(body) if has_threads(body) else _marked(body)

    return with_phases(program, marked)


def in_turn(program: Program) -> Program:
    """The program with loops over lanes and sums done one after the other."""
    return with_phases(program, lambda body: tuple(map(_in_turn, body)))


def _rounds(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """Statements around loops over threads."""

    def one(s: Statement) -> Statement:
        match s:
            case Loop(over="threads"):
                return replace(s, body=_marked(s.body))
            case Loop() | When():
                return replace(s, body=_rounds(s.body))
            case _:
                return s

    return tuple(map(one, body))


def _marked(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """Statements of a round."""
    return tuple(map(_mark, body))


def _mark(s: Statement) -> Statement:
    match s:
        case Loop(over="sequence"):
            if is_map(s):
                return replace(s, over="lanes")
            return as_sum(s) or replace(s, body=_marked(s.body))
        case When():
            return replace(s, body=_marked(s.body))
        case _:
            return s


def is_map(loop: Loop) -> bool:
    """Whether no round of a loop needs another one, and each leaves something."""
    inside = list(statements(loop.body))
    own = {s.name for s in inside if isinstance(s, Define)}
    if any(isinstance(s, Sum) or (isinstance(s, Loop) and s.over != "sequence") for s in inside):
        return False
    if any(isinstance(s, Assign) and s.name not in own for s in inside):
        return False
    touches = in_rounds(loop.body, loop).values()
    return any(t.writes for t in touches) and not any(t.meets for t in touches)


def as_sum(loop: Loop) -> Sum | None:
    """The sum that a loop is, if it is one."""
    match loop.body:
        case (Assign(value=Op(function="add", arguments=(Var() as before, value))) as add,) if (
            isinstance(loop.extent, str)
            and before.name == add.name
            and all(not isinstance(e, Var) or e.name != add.name for e in walk(value))
        ):
            return Sum(name=add.name, var=loop.var, extent=loop.extent, value=value, origin=add.origin)
        case _:
            return None


def _in_turn(s: Statement) -> Statement:
    match s:
        case Sum():
            return s.in_turn()
        case Loop():
            over = "sequence" if s.over == "lanes" else s.over
            return replace(s, over=over, body=tuple(map(_in_turn, s.body)))
        case When():
            return replace(s, body=tuple(map(_in_turn, s.body)))
        case _:
            return s
