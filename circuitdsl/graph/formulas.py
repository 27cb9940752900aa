"""Formulas: expressions of the language over a few names, evaluated over whatever has numbers and functions: floats,
arrays, ranges, expressions of a circuit or of a loop program."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TypeVar

from circuitdsl.diagnostics import Source
from circuitdsl.syntax import ast
from circuitdsl.syntax.parse import parse_expression

#: The functions that operators stand for.
OPERATOR_NAMES = {
    "+": "add", "-": "sub", "*": "mul", "/": "div", "^": "pow",
    "<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne",
}  # fmt: skip

T = TypeVar("T")


def fold(formula: str, names: Mapping[str, T], number: Callable[[float], T], apply: Callable[[str, list[T]], T]) -> T:
    """What a formula is worth, by what its names, its numbers and its functions are."""

    def of(expr: ast.Expr) -> T:
        match expr:
            case ast.Number(value=value):
                return number(value)
            case ast.Name(name=name):
                return names[name]
            case _:
                function, arguments = _operation(expr)
                return apply(function, [of(a) for a in arguments])

    return of(_tree(formula))


def names_in(formula: str) -> list[str]:
    """The names that the formula reads, as often as it does."""
    return [part.name for part in _parts(formula) if isinstance(part, ast.Name)]


def functions_in(formula: str) -> list[str]:
    """The functions that the formula applies, the outermost first."""
    return [_operation(part)[0] for part in _parts(formula) if not isinstance(part, ast.Name | ast.Number)]


@cache
def _tree(formula: str) -> ast.Expr:
    return parse_expression(Source("formula", formula))


def _parts(formula: str) -> Iterator[ast.Expr]:
    waiting = [_tree(formula)]
    while waiting:
        part = waiting.pop()
        yield part
        if not isinstance(part, ast.Name | ast.Number):
            waiting += _operation(part)[1]


def _operation(expr: ast.Expr) -> tuple[str, list[ast.Expr]]:
    match expr:
        case ast.Unary(operand=operand):
            return "neg", [operand]
        case ast.Binary(operator=operator, left=left, right=right):
            return OPERATOR_NAMES[operator], [left, right]
        case ast.Call(function=function, arguments=arguments):
            return function, [a.value for a in arguments]
        case _:
            raise AssertionError(f"no part of a formula: {expr}")
