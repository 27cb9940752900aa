"""Building expressions of the graph IR, with zeros, ones and constants folded away.

What is derived from an equation is an equation again; without folding it would be full of `0 * x`.
Folding takes `0 * x` for 0 whatever `x` is.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import replace

from circuitdsl.diagnostics import Span
from circuitdsl.graph.functions import COMPARISONS, FUNCTIONS
from circuitdsl.graph.ir import Apply, Expr, Num, Over, Reduce

#: Functions of numbers that are a number.
_CONSTANT = COMPARISONS | {"abs", "square", "min", "max", "where"}


def num(value: float, span: Span) -> Num:
    return Num(span=span, value=float(value))


def apply(function: str, *arguments: Expr, span: Span) -> Expr:
    """An elementwise operation, folded."""
    numbers = [a.value for a in arguments if isinstance(a, Num)]
    if function in _CONSTANT and len(numbers) == len(arguments):
        return num(FUNCTIONS[function].number(*numbers), span)
    match function, arguments:
        case "add", (a, b):
            return add(a, b, span=span)
        case "sub", (a, b):
            return sub(a, b, span=span)
        case "mul", (a, b):
            return mul(a, b, span=span)
        case "div", (a, b):
            return div(a, b, span=span)
        case "neg", (a,):
            return neg(a, span=span)
        case "pow", (_, Num(value=0.0)):
            return num(1, span)
        case "pow", (a, Num(value=1.0)):
            return a
        case "where", (Num(value=c), a, b):
            return a if c != 0 else b
        case "where", (_, Num(value=a), Num(value=b)) if a == b:
            return num(a, span)
        case _:
            return Apply(span=span, function=function, arguments=arguments)


def neg(a: Expr, *, span: Span) -> Expr:
    match a:
        case Num(value=value):
            return num(-value, span)
        case Apply(function="neg", arguments=(inner,)):
            return inner
        case Apply(function="sub", arguments=(x, y)):
            return sub(y, x, span=span)
        case _:
            return Apply(span=span, function="neg", arguments=(a,))


def add(a: Expr, b: Expr, *, span: Span) -> Expr:
    match a, b:
        case Num(value=u), Num(value=v):
            return num(u + v, span)
        case (Num(value=0.0), x) | (x, Num(value=0.0)):
            return x
        case x, Apply(function="neg", arguments=(y,)):
            return sub(x, y, span=span)
        case Apply(function="neg", arguments=(y,)), x:
            return sub(x, y, span=span)
        case _:
            return Apply(span=span, function="add", arguments=(a, b))


def sub(a: Expr, b: Expr, *, span: Span) -> Expr:
    match a, b:
        case Num(value=u), Num(value=v):
            return num(u - v, span)
        case x, Num(value=0.0):
            return x
        case Num(value=0.0), y:
            return neg(y, span=span)
        case x, Apply(function="neg", arguments=(y,)):
            return add(x, y, span=span)
        case _:
            return Apply(span=span, function="sub", arguments=(a, b))


def mul(a: Expr, b: Expr, *, span: Span) -> Expr:
    match a, b:
        case Num(value=u), Num(value=v):
            return num(u * v, span)
        case (Num(value=0.0), _) | (_, Num(value=0.0)):
            return num(0, span)
        case (Num(value=1.0), x) | (x, Num(value=1.0)):
            return x
        case (Num(value=-1.0), x) | (x, Num(value=-1.0)):
            return neg(x, span=span)
        case Apply(function="neg", arguments=(x,)), y:
            return neg(mul(x, y, span=span), span=span)
        case x, Apply(function="neg", arguments=(y,)):
            return neg(mul(x, y, span=span), span=span)
        case _:
            return Apply(span=span, function="mul", arguments=(a, b))


def div(a: Expr, b: Expr, *, span: Span) -> Expr:
    match a, b:
        case Num(value=0.0), _:
            return num(0, span)
        case x, Num(value=1.0):
            return x
        case Apply(function="neg", arguments=(x,)), y:
            return neg(div(x, y, span=span), span=span)
        case _:
            return Apply(span=span, function="div", arguments=(a, b))


def total(terms: Iterable[Expr], *, span: Span) -> Expr:
    """The sum; 0 of nothing."""
    result: Expr = num(0, span)
    for term in terms:
        result = add(result, term, span=span)
    return result


def product(factors: Iterable[Expr], *, span: Span) -> Expr:
    """The product; 1 of nothing."""
    result: Expr = num(1, span)
    for factor in factors:
        result = mul(result, factor, span=span)
    return result


def rebuild(expr: Expr, change: Callable[[Expr], Expr | None]) -> Expr:
    """The expression with every part that `change` answers for replaced, folded again."""
    changed = change(expr)
    if changed is not None:
        return changed
    match expr:
        case Apply():
            arguments = [rebuild(a, change) for a in expr.arguments]
            if all(map(operator.is_, arguments, expr.arguments)):
                return expr
            return apply(expr.function, *arguments, span=expr.span)
        case Over():
            k = None if expr.k is None else rebuild(expr.k, change)
            return replace(expr, argument=rebuild(expr.argument, change), k=k)
        case Reduce():
            return replace(expr, arguments=tuple(rebuild(a, change) for a in expr.arguments))
        case _:
            return expr
