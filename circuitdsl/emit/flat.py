"""Arrays as the places of memory that they are: every index becomes one number, row after row.

What is compiled then takes one address for an array, whatever its shape, and a program's entry point has the same
signature for all circuits. Masks are bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from circuitdsl.frozen import frozen
from circuitdsl.lower.loop_ir import (
    Assign,
    Branch,
    Const,
    Control,
    Define,
    Dtype,
    Expr,
    Fetch,
    Load,
    Loop,
    Op,
    Phase,
    Program,
    Repeat,
    Statement,
    Store,
    Sum,
    Var,
    When,
)

_ZERO = Const(0, Dtype.INT)
#: The function that makes an int of 64 bits of one of 32.
WIDENED = "widened"

Index = tuple[Expr, ...]
#: (buffer, indices) -> where that element stands instead.
Place = Callable[[str, Index], tuple[str, Index]]


def flat(program: Program) -> Program:
    """The program with one index for every place of a buffer."""
    shapes = {b.name: b.shape for b in program.buffers}
    short = frozenset(b.name for b in program.buffers if b.dtype is Dtype.SHORT)

    def place(name: str, index: Index) -> tuple[str, Index]:
        return name, (_row_major(shapes[name], index),)

    return replace(program, body=_Addressed(place, short).controls(program.body))


def addressed(body: tuple[Control, ...], place: Place) -> tuple[Control, ...]:
    """The same with every element of a buffer where `place` says that it stands."""
    return _Addressed(place).controls(body)


def _row_major(shape: tuple[str, ...], index: Index) -> Expr:
    place: Expr = _ZERO
    for extent, each in zip(shape, index, strict=True):
        place = plus(_times(place, extent), each)
    return place


@frozen
class _Addressed:
    """`short`: buffers of 32 bits, what is loaded of which is made an int."""

    place: Place
    short: frozenset[str] = frozenset()

    def controls(self, body: tuple[Control, ...]) -> tuple[Control, ...]:
        return tuple(map(self._control, body))

    def _control(self, part: Control) -> Control:
        match part:
            case Define():
                return replace(part, value=self.expr(part.value))
            case Repeat():
                return replace(part, body=self.controls(part.body))
            case Branch():
                return replace(part, condition=self.expr(part.condition), body=self.controls(part.body))
            case Phase():
                return replace(part, body=self._statements(part.body))
            case Fetch():
                buffer, index = self._place(part.buffer, part.index)
                return replace(part, buffer=buffer, index=index)
            case _:
                assert_never(part)

    def _statements(self, body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        return tuple(map(self._statement, body))

    def _statement(self, statement: Statement) -> Statement:
        match statement:
            case Define() | Assign() | Sum():
                return replace(statement, value=self.expr(statement.value))
            case Store():
                buffer, index = self._place(statement.buffer, statement.index)
                return replace(statement, buffer=buffer, index=index, value=self.expr(statement.value))
            case Loop():
                return replace(statement, body=self._statements(statement.body))
            case When():
                return replace(
                    statement, condition=self.expr(statement.condition), body=self._statements(statement.body)
                )
            case _:
                assert_never(statement)

    def expr(self, expr: Expr) -> Expr:
        match expr:
            case Const() | Var():
                return expr
            case Load(dtype=Dtype.BOOL):
                return Op("ne", (Load(*self._place(expr.buffer, expr.index), Dtype.INT), _ZERO), Dtype.BOOL)
            case Load():
                place = Load(*self._place(expr.buffer, expr.index), expr.dtype)
                return Op(WIDENED, (place,), Dtype.INT) if expr.buffer in self.short else place
            case Op():
                return replace(expr, arguments=tuple(map(self.expr, expr.arguments)))
            case _:
                assert_never(expr)

    def _place(self, buffer: str, index: Index) -> tuple[str, Index]:
        return self.place(buffer, tuple(map(self.expr, index)))


def _times(place: Expr, extent: str) -> Expr:
    if place == _ZERO or extent == "1":
        return place
    return Op("mul", (place, Var(extent, Dtype.INT)), Dtype.INT)


def plus(one: Expr, other: Expr) -> Expr:
    """The sum of two places."""
    if one == _ZERO:
        return other
    return one if other == _ZERO else Op("add", (one, other), Dtype.INT)
