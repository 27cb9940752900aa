"""Of which degree an equation scales with what it reads: f(c x) = c^k f(x) for every c > 0.

What counts is the derivative, by Euler's rule `sum x df/dx = k f`, wherever there is one: a step, a comparison, the
condition of `where` and the winners of `kwta` stay as they are while what they read moves a little, and count as
numbers. So relu, abs, leaky slopes, max and min, kwta, sums of these, and these times anything else are of degree 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, assert_never

from circuitdsl.derive.algebra.constants import Constants, fraction
from circuitdsl.graph import ir
from circuitdsl.twin.slopes import FLAT

#: A degree; "any" for what is 0, None for what scales with no power.
Degree = Fraction | Literal["any"] | None

NUMBER, LINEAR = Fraction(0), Fraction(1)


@dataclass(frozen=True, slots=True)
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
        if function in FLAT:
            return NUMBER
        if function == "pow":
            return self._power(*arguments)
        degrees = [self.degree(a) for a in arguments]
        match function:
            case "add" | "sub" | "max" | "min" | "clip":
                return common(degrees)
            case "where":
                return common(degrees[1:])
            case "mul":
                return product(*degrees)
            case "div":
                return product(degrees[0], times(degrees[1], -1)) if degrees[1] != "any" else None
            case "neg" | "relu" | "abs":
                return degrees[0]
            case "square":
                return times(degrees[0], 2)
            case "sqrt":
                return times(degrees[0], Fraction(1, 2))
            case _:
                return _still(degrees)

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
        degrees = [self.degree(a) for a in expr.arguments]
        match expr.function:
            case "sum" | "mean" | "max" | "norm":
                return degrees[0]
            case "mse":
                return times(common(degrees), 2)
            case "accuracy":
                return NUMBER
            case "cross_entropy":
                return _still(degrees)
            case _:
                assert_never(expr.function)


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
