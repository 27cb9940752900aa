"""Of which degree an equation scales with what it reads: f(c x) = c^k f(x) for every c > 0.

What counts is the derivative, by Euler's rule `sum x df/dx = k f`, wherever there is one: a step, a comparison, the
condition of `where` and the winners of `kwta` stay as they are while what they read moves a little, and count as
numbers. So relu, abs, leaky slopes, max and min, kwta, sums of these, and these times anything else are of degree 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Literal, assert_never

from circuitdsl.derive.algebra.constants import Constants, fraction
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.graph.formulas import fold
from circuitdsl.graph.functions import FUNCTIONS
from circuitdsl.graph.populations import REDUCTIONS

#: A degree; "any" for what is 0, None for what scales with no power.
Degree = Fraction | Literal["any"] | None

NUMBER, LINEAR = Fraction(0), Fraction(1)


@frozen
class Scaling:
    """Degrees in the values that are `scaled`; all else that equations read stands still."""

    constants: Constants
    scaled: Callable[[ir.Read], bool]

    def degree(self, expr: ir.Expr) -> Degree:
        match expr:
            case ir.Num() | ir.ParamRef():
                number = self.constants.of(expr)
                return "any" if number is not None and not number.number else NUMBER
            case ir.Read():
                return LINEAR if self.scaled(expr) else NUMBER
            case ir.Apply():
                return self._apply(expr.function, expr.arguments)
            case ir.Over():
                return self._over(expr)
            case ir.Reduce():
                return self._reduce(expr)
            case (
                ir.Coef() | ir.Weight() | ir.SynapseState() | ir.DriveRead() | ir.Fan() | ir.Flag() | ir.Tick()
                | ir.Random()
            ):  # fmt: skip
                return NUMBER
            case _:
                assert_never(expr)

    def _apply(self, function: str, arguments: tuple[ir.Expr, ...]) -> Degree:
        if function == "pow":
            return self._power(*arguments)
        return degree_of(function, [self.degree(a) for a in arguments])

    def _power(self, base: ir.Expr, exponent: ir.Expr) -> Degree:
        number = self.constants.of(exponent)
        if number is None:
            return _still([self.degree(base), self.degree(exponent)])
        return times(self.degree(base), fraction(self.constants.value(number)))

    def _over(self, expr: ir.Over) -> Degree:
        match expr.function:
            case "kwta":
                return self.degree(expr.argument)
            case "onehot_max":
                return NUMBER
            case "softmax":
                return _still([self.degree(expr.argument)])
            case _:
                assert_never(expr.function)

    def _reduce(self, expr: ir.Reduce) -> Degree:
        reduction = REDUCTIONS[expr.function]
        if reduction.flat:
            return NUMBER
        named = dict(zip(reduction.parameters, map(self.degree, expr.arguments), strict=True))
        term = fold(reduction.term, named, _of_number, degree_of)
        return fold(reduction.result, {"joined": term}, _of_number, degree_of)


def degree_of(function: str, degrees: Sequence[Degree]) -> Degree:
    """The degree of a function, by those of its arguments; of `pow` only if nothing moves."""
    record = FUNCTIONS[function]
    if record.flat:
        return NUMBER
    match function, degrees:
        case "add" | "sub" | "max" | "min", _:
            return common(degrees)
        case "where", [_, *chosen]:
            return common(chosen)
        case "mul", [a, b]:
            return product(a, b)
        case "div", [a, b]:
            return product(a, times(b, -1)) if b != "any" else None
        case "neg" | "abs", [a]:
            return a
        case "sqrt", [a]:
            return times(a, Fraction(1, 2))
        case _ if isinstance(record.value, str):
            return fold(record.value, record.named(degrees), _of_number, degree_of)
        case _:
            return _still(degrees)


def _of_number(value: float) -> Degree:
    return NUMBER if value else "any"


def common(degrees: Iterable[Degree]) -> Degree:
    """The degree of a sum."""
    found: Degree = "any"
    for degree in degrees:
        if degree is None or (found != "any" and degree not in ("any", found)):
            return None
        found = degree if found == "any" else found
    return found


def product(one: Degree, two: Degree) -> Degree:
    if one is None or two is None:
        return None
    return "any" if one == "any" or two == "any" else one + two


def times(degree: Degree, number: Fraction | int) -> Degree:
    return degree if degree is None or degree == "any" else degree * number


def _still(degrees: Iterable[Degree]) -> Degree:
    """The degree of any other function: 0, if nothing that it is of moves."""
    return NUMBER if all(d in ("any", NUMBER) for d in degrees) else None
