"""The derivative of every elementwise function of the language.

Conventions at kinks are the language's: relu'(0) = 0, `step`, `sign` and comparisons are flat, and `max(x, c)`,
`min(x, c)`, `clip` are flat where they change over, as relu is. sqrt'(0) = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from circuitdsl.diagnostics import Span
from circuitdsl.graph.folding import apply, div, mul, neg, num, product, sub
from circuitdsl.graph.ir import Apply, Expr

#: Below every float32 that matters: keeps a quotient finite where its numerator is 0.
TINY = 1e-30

#: Functions whose derivative is 0 wherever there is one.
FLAT = frozenset({"step", "sign", "lt", "le", "gt", "ge", "eq", "ne"})

Depends = Callable[[Expr], bool]


def local_adjoints(expr: Apply, g: Expr, out: Expr, depends: Depends) -> Iterator[tuple[Expr, Expr]]:
    """Each argument with d loss / d it, for an elementwise operation with d loss / d result = g.

    `out` holds the result; `depends` tells whether an expression depends on anything that can change."""
    match expr.arguments:
        case (x,):
            yield x, mul(g, _slope(expr.function, x, out, expr.span), span=expr.span)
        case (a, b):
            yield from _binary(expr, a, b, g, out, depends)
        case (a, b, c):
            yield from _ternary(expr, a, b, c, g)


def _slope(function: str, x: Expr, out: Expr, span: Span) -> Expr:
    """f'(x), written with the result f(x) where that is cheaper."""
    one = num(1, span)
    match function:
        case "neg":
            return num(-1, span)
        case "relu":
            return apply("step", x, span=span)
        case "sigmoid":
            return mul(out, sub(one, out, span=span), span=span)
        case "tanh":
            return sub(one, apply("square", out, span=span), span=span)
        case "softplus":
            return apply("sigmoid", x, span=span)
        case "exp":
            return out
        case "log":
            return div(one, x, span=span)
        case "sqrt":
            finite = apply("max", out, num(TINY, span), span=span)
            return div(mul(num(0.5, span), apply("gt", x, num(0, span), span=span), span=span), finite, span=span)
        case "abs":
            return apply("sign", x, span=span)
        case "square":
            return mul(num(2, span), x, span=span)
        case "step" | "sign":
            return num(0, span)
        case _:
            raise AssertionError(f"not an elementwise function of one argument: {function}")


def _binary(expr: Apply, a: Expr, b: Expr, g: Expr, out: Expr, depends: Depends) -> Iterator[tuple[Expr, Expr]]:
    span = expr.span
    match expr.function:
        case "add":
            yield a, g
            yield b, g
        case "sub":
            yield a, g
            yield b, neg(g, span=span)
        case "mul":
            yield a, mul(g, b, span=span)
            yield b, mul(g, a, span=span)
        case "div":
            yield a, div(g, b, span=span)
            yield b, neg(div(mul(g, out, span=span), b, span=span), span=span)
        case "pow":
            less = apply("sub", b, num(1, span), span=span)
            yield a, product([g, b, apply("pow", a, less, span=span)], span=span)
            if depends(b):
                safe = apply("max", a, num(TINY, span), span=span)
                log = mul(apply("gt", a, num(0, span), span=span), apply("log", safe, span=span), span=span)
                yield b, product([g, out, log], span=span)
        case "max" | "min":
            wins, otherwise = ("gt", "le") if expr.function == "max" else ("lt", "ge")
            if not depends(a):  # then b is the one that must win strictly
                (a, b) = (b, a)
            yield a, mul(g, apply(wins, a, b, span=span), span=span)
            yield b, mul(g, apply(otherwise, a, b, span=span), span=span)
        case _:
            assert expr.function in FLAT, expr.function


def _ternary(expr: Apply, a: Expr, b: Expr, c: Expr, g: Expr) -> Iterator[tuple[Expr, Expr]]:
    span = expr.span
    zero = num(0, span)
    match expr.function:
        case "where":
            yield b, apply("where", a, g, zero, span=span)
            yield c, apply("where", a, zero, g, span=span)
        case "clip":  # a clipped to [b, c]
            above, below = apply("gt", a, b, span=span), apply("lt", a, c, span=span)
            yield a, product([g, above, below], span=span)
            yield b, mul(g, apply("le", a, b, span=span), span=span)
            yield c, mul(g, apply("ge", a, c, span=span), span=span)
        case _:
            raise AssertionError(f"not an elementwise function of three arguments: {expr.function}")
