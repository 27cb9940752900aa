"""The derivative of every elementwise function of the language, by its record.

Conventions at kinks are the language's: relu'(0) = 0, `step`, `sign` and comparisons are flat, and `max(x, c)`,
`min(x, c)`, `clip` are flat where they change over, as relu is. sqrt'(0) = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from circuitdsl.diagnostics import Span
from circuitdsl.graph.folding import apply, mul, num
from circuitdsl.graph.formulas import fold, names_in
from circuitdsl.graph.functions import FUNCTIONS
from circuitdsl.graph.ir import Apply, Expr

Depends = Callable[[Expr], bool]


def local_adjoints(expr: Apply, g: Expr, out: Expr, depends: Depends) -> Iterator[tuple[Expr, Expr]]:
    """Each argument that can change with d loss / d it, for an elementwise operation with d loss / d result = g.

    `out` holds the result; `depends` tells whether an expression depends on anything that can change."""
    function, arguments = FUNCTIONS[expr.function], expr.arguments
    if function.symmetric and not depends(arguments[0]):  # then the other one must win strictly
        arguments = arguments[::-1]
    names = {**function.named(arguments), "g": g, "out": out}
    for argument, slope in zip(arguments, function.slopes, strict=True):
        if depends(argument):
            partial = written(slope, names, expr.span)
            yield argument, partial if "g" in names_in(slope) else mul(g, partial, span=expr.span)


def written(formula: str, names: Mapping[str, Expr], span: Span) -> Expr:
    """A formula as an expression of the circuit, folded."""
    return fold(formula, names, lambda value: num(value, span), lambda f, arguments: apply(f, *arguments, span=span))
