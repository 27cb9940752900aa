"""Loop programs written anew: with other names, or with other operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from circuitdsl.lower.loop_ir import (
    Assign,
    Blocks,
    Branch,
    Const,
    Control,
    Crew,
    Define,
    Expr,
    Extent,
    Fetch,
    Load,
    Loop,
    Op,
    Phase,
    Program,
    Repeat,
    Rest,
    Row,
    Statement,
    Store,
    Sum,
    Var,
    When,
)


def rename_program(program: Program, names: dict[str, str]) -> Program:
    """The program with everything in it renamed but its phases and itself."""

    def new(name: str) -> str:
        return names.get(name, name)

    return replace(
        program,
        scalars=tuple(replace(s, name=new(s.name)) for s in program.scalars),
        buffers=tuple(replace(b, name=new(b.name), shape=tuple(map(new, b.shape))) for b in program.buffers),
        bounded=tuple((new(a), new(b)) for a, b in program.bounded),
        constants=tuple((new(name), value) for name, value in program.constants),
        body=tuple(_renamed(part, names) for part in program.body),
        crew=None if program.crew is None else Crew(*map(new, program.crew.names)),
    )


def _renamed(part: Control, names: dict[str, str]) -> Control:
    def new(name: str) -> str:
        return names.get(name, name)

    match part:
        case Define():
            return replace(part, name=new(part.name), value=rename_expr(part.value, names))
        case Repeat():
            body = tuple(_renamed(p, names) for p in part.body)
            return replace(part, var=new(part.var), extent=new(part.extent), body=body)
        case Branch():
            body = tuple(_renamed(p, names) for p in part.body)
            return replace(part, condition=rename_expr(part.condition, names), body=body)
        case Phase():
            return replace(part, body=rename(part.body, names))
        case Fetch():
            index = tuple(rename_expr(i, names) for i in part.index)
            return Fetch(buffer=new(part.buffer), index=index, count=rename_expr(part.count, names))
        case _:
            assert_never(part)


def rename_expr(expr: Expr, names: dict[str, str]) -> Expr:
    """The expression with variables and buffers renamed."""
    match expr:
        case Const():
            return expr
        case Var():
            return Var(names.get(expr.name, expr.name), expr.dtype)
        case Load():
            index = tuple(rename_expr(i, names) for i in expr.index)
            return Load(names.get(expr.buffer, expr.buffer), index, expr.dtype)
        case Op():
            return Op(expr.function, tuple(rename_expr(a, names) for a in expr.arguments), expr.dtype)
        case _:
            assert_never(expr)


def rename(body: tuple[Statement, ...], names: dict[str, str]) -> tuple[Statement, ...]:
    """The statements with variables, buffers and extents renamed."""
    return tuple(_rename(s, names) for s in body)


def _rename(statement: Statement, names: dict[str, str]) -> Statement:
    def new(name: str) -> str:
        return names.get(name, name)

    match statement:
        case Define() | Assign():
            return replace(statement, name=new(statement.name), value=rename_expr(statement.value, names))
        case Store():
            index = tuple(rename_expr(i, names) for i in statement.index)
            value = rename_expr(statement.value, names)
            return replace(statement, buffer=new(statement.buffer), index=index, value=value)
        case Loop():
            body = rename(statement.body, names)
            return replace(statement, var=new(statement.var), extent=_extent(statement.extent, names), body=body)
        case Sum():
            value = rename_expr(statement.value, names)
            return replace(
                statement,
                name=new(statement.name),
                var=new(statement.var),
                extent=new(statement.extent),
                value=value,
            )
        case When():
            condition = rename_expr(statement.condition, names)
            return replace(statement, condition=condition, body=rename(statement.body, names))
        case _:
            assert_never(statement)


def _extent(extent: Extent, names: dict[str, str]) -> Extent:
    match extent:
        case str():
            return names.get(extent, extent)
        case Row():
            starts, places = (names.get(name, name) for name in (extent.starts, extent.places))
            return Row(starts=starts, at=rename_expr(extent.at, names), places=places)
        case Blocks() | Rest():
            return replace(extent, of=names.get(extent.of, extent.of))
        case _:
            assert_never(extent)


def with_phases(program: Program, change: Callable[[tuple[Statement, ...]], tuple[Statement, ...]]) -> Program:
    """The program with the statements of every phase changed."""
    return with_each_phase(program, lambda phase: replace(phase, body=change(phase.body)))


def with_each_phase(program: Program, change: Callable[[Phase], Phase]) -> Program:
    """The program with every phase changed."""

    def changed(part: Control) -> Control:
        match part:
            case Define() | Fetch():
                return part
            case Phase():
                return change(part)
            case Repeat() | Branch():
                return replace(part, body=tuple(map(changed, part.body)))
            case _:
                assert_never(part)

    return replace(program, body=tuple(map(changed, program.body)))


def rewritten(program: Program, change: Callable[[Op], Expr]) -> Program:
    """The program with every operation changed, inner ones first."""
    return replace(program, body=tuple(_rewritten_control(part, change) for part in program.body))


def _rewritten_control(part: Control, change: Callable[[Op], Expr]) -> Control:
    match part:
        case Define():
            return replace(part, value=rewritten_expr(part.value, change))
        case Branch():
            body = tuple(_rewritten_control(p, change) for p in part.body)
            return replace(part, condition=rewritten_expr(part.condition, change), body=body)
        case Repeat():
            return replace(part, body=tuple(_rewritten_control(p, change) for p in part.body))
        case Phase():
            return replace(part, body=tuple(_rewritten(s, change) for s in part.body))
        case Fetch():
            index = tuple(rewritten_expr(i, change) for i in part.index)
            return replace(part, index=index, count=rewritten_expr(part.count, change))
        case _:
            assert_never(part)


def _rewritten(statement: Statement, change: Callable[[Op], Expr]) -> Statement:
    return with_expressions(statement, lambda expr: rewritten_expr(expr, change))


def with_expressions(statement: Statement, change: Callable[[Expr], Expr]) -> Statement:
    """The statement with every expression in it changed, but the bounds of loops."""
    match statement:
        case Define() | Assign() | Sum():
            return replace(statement, value=change(statement.value))
        case Store():
            return replace(statement, index=tuple(map(change, statement.index)), value=change(statement.value))
        case When():
            body = tuple(with_expressions(s, change) for s in statement.body)
            return replace(statement, condition=change(statement.condition), body=body)
        case Loop():
            return replace(statement, body=tuple(with_expressions(s, change) for s in statement.body))
        case _:
            assert_never(statement)


def rewritten_expr(expr: Expr, change: Callable[[Op], Expr]) -> Expr:
    """The expression with every operation changed, inner ones first."""
    match expr:
        case Const() | Var():
            return expr
        case Load():
            return Load(expr.buffer, tuple(rewritten_expr(i, change) for i in expr.index), expr.dtype)
        case Op():
            return change(Op(expr.function, tuple(rewritten_expr(a, change) for a in expr.arguments), expr.dtype))
        case _:
            assert_never(expr)
