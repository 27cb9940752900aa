"""Arrays as the places of memory that they are: every index becomes one number, row after row.

What is compiled then takes one address for an array, whatever its shape, and a program's entry point has the same
signature for all circuits. Masks are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from circuitdsl.lower.loop_ir import (
    Assign,
    Branch,
    Const,
    Control,
    Define,
    Dtype,
    Expr,
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


def flat(program: Program) -> Program:
    """The program with one index for every place of a buffer."""
    shapes = {b.name: b.shape for b in program.buffers}
    short = frozenset(b.name for b in program.buffers if b.dtype is Dtype.SHORT)
    return replace(program, body=_Flat(shapes, short).controls(program.body))


@dataclass(frozen=True, slots=True)
class _Flat:
    shapes: Mapping[str, tuple[str, ...]]
    short: frozenset[str]

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
            case _:
                assert_never(part)

    def _statements(self, body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        return tuple(map(self._statement, body))

    def _statement(self, statement: Statement) -> Statement:
        match statement:
            case Define() | Assign() | Sum():
                return replace(statement, value=self.expr(statement.value))
            case Store():
                index = self._index(statement.buffer, statement.index)
                return replace(statement, index=index, value=self.expr(statement.value))
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
                byte = Load(expr.buffer, self._index(expr.buffer, expr.index), Dtype.INT)
                return Op("ne", (byte, _ZERO), Dtype.BOOL)
            case Load():
                place = replace(expr, index=self._index(expr.buffer, expr.index))
                return Op(WIDENED, (place,), Dtype.INT) if expr.buffer in self.short else place
            case Op():
                return replace(expr, arguments=tuple(map(self.expr, expr.arguments)))
            case _:
                assert_never(expr)

    def _index(self, buffer: str, index: tuple[Expr, ...]) -> tuple[Expr, ...]:
        place: Expr = _ZERO
        for extent, each in zip(self.shapes[buffer], index, strict=True):
            place = _plus(_times(place, extent), self.expr(each))
        return (place,)


def _times(place: Expr, extent: str) -> Expr:
    if place == _ZERO or extent == "1":
        return place
    return Op("mul", (place, Var(extent, Dtype.INT)), Dtype.INT)


def _plus(one: Expr, other: Expr) -> Expr:
    if one == _ZERO:
        return other
    return one if other == _ZERO else Op("add", (one, other), Dtype.INT)
