"""A loop program as text to read: what a pass has made of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from circuitdsl.lower.loop_ir import (
    Assign,
    Blocks,
    Branch,
    Buffer,
    Const,
    Control,
    Define,
    Dtype,
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

_INDENT = "  "
_SYMBOLS = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==",
    "ne": "!=",
}  # fmt: skip


def show(program: Program) -> str:
    """All of a program, one line for each thing in it."""
    lines = [f"program {program.name}: {program.title}"]
    lines += [f"{_INDENT}constant {name} = {value}" for name, value in program.constants]
    lines += [f"{_INDENT}scalar {s.name}: {s.dtype}, {s.given} {s.key}".rstrip() for s in program.scalars]
    lines += [_INDENT + _buffer(b) for b in program.buffers]
    lines += [f"{_INDENT}{name} <= {capacity}" for name, capacity in program.bounded]
    return "\n".join([*lines, *_controls(program.body, 1)])


def _buffer(buffer: Buffer) -> str:
    return f"buffer {buffer.name}[{', '.join(buffer.shape)}]: {buffer.dtype}, {buffer.role} {buffer.key}".rstrip()


def _controls(body: tuple[Control, ...], depth: int) -> Iterator[str]:
    indent = _INDENT * depth
    for part in body:
        match part:
            case Define():
                yield f"{indent}define {part.name} = {_text(part.value)}"
            case Repeat():
                yield f"{indent}repeat {part.var} {'down from' if part.backward else 'to'} {part.extent}"
                yield from _controls(part.body, depth + 1)
            case Branch():
                yield f"{indent}if {_text(part.condition)}"
                yield from _controls(part.body, depth + 1)
            case Phase():
                fills = f", rows fill {part.fills} bytes" if part.fills else ""
                yield f"{indent}phase {part.name}: {part.title}{fills}"
                yield from _statements(part.body, depth + 1)
            case Fetch():
                yield f"{indent}fetch {_element(part.buffer, part.index)} and on, {_text(part.count)} of them"
            case _:
                assert_never(part)


def _statements(body: tuple[Statement, ...], depth: int) -> Iterator[str]:
    indent = _INDENT * depth
    for statement in body:
        match statement:
            case Define():
                yield f"{indent}define {statement.name} = {_text(statement.value)}"
            case Assign():
                yield f"{indent}{statement.name} = {_text(statement.value)}"
            case Store():
                sign = "+=" if statement.add else "="
                yield f"{indent}{_element(statement.buffer, statement.index)} {sign} {_text(statement.value)}"
            case Loop():
                head = "for" if statement.over == "sequence" else statement.over
                yield f"{indent}{head} {statement.var} {_over(statement.extent)}"
                yield from _statements(statement.body, depth + 1)
            case Sum():
                over = f"{statement.var} to {statement.extent}"
                yield f"{indent}{statement.name} += sum over {over} of {_text(statement.value)}"
            case When():
                yield f"{indent}when {_text(statement.condition)}"
                yield from _statements(statement.body, depth + 1)
            case _:
                assert_never(statement)


def _over(extent: Extent) -> str:
    match extent:
        case str():
            return f"to {extent}"
        case Row():
            return f"in row {_text(extent.at)} of {extent.starts}"
        case Blocks():
            return f"to {extent.of}, {extent.size} at once"
        case Rest():
            return f"to {extent.of} after blocks of {extent.size}"
        case _:
            assert_never(extent)


def _text(expr: Expr) -> str:
    match expr:
        case Const():
            return repr(expr.value) if expr.dtype is Dtype.REAL else str(int(expr.value))
        case Var():
            return expr.name
        case Load():
            return _element(expr.buffer, expr.index)
        case Op(function=function, arguments=(a, b)) if function in _SYMBOLS:
            return f"({_text(a)} {_SYMBOLS[function]} {_text(b)})"
        case Op():
            return f"{expr.function}({', '.join(map(_text, expr.arguments))})"
        case _:
            assert_never(expr)


def _element(buffer: str, index: tuple[Expr, ...]) -> str:
    return f"{buffer}[{', '.join(map(_text, index))}]"
