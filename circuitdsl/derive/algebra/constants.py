"""Numbers that are known before the run, as exact monomials of named params: `eta * gamma`, `-0.5`, `eta / 2`.

A param counts as a positive number; its sign is in the coefficient, and a negative one is written `|eta|`. What is no
monomial (`1 - beta`, `eta + 0.1`) becomes a param of its own, named by its text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import field
from fractions import Fraction
from math import prod

from circuitdsl.derive.algebra.expressions import text
from circuitdsl.derive.algebra.notation import coefficient_text
from circuitdsl.derive.algebra.words import Coefficient, coefficient
from circuitdsl.frozen import mutable
from circuitdsl.graph import ir
from circuitdsl.graph.folding import rebuild
from circuitdsl.graph.numbers import evaluate


@mutable
class Constants:
    """`numbers`: the value of every param; names that derivations make are added to it."""

    numbers: dict[str, float]
    derived: dict[str, float] = field(default_factory=dict)

    def of(self, expr: ir.Expr) -> Coefficient | None:
        """The number, or None if the expression changes while the circuit runs or differs between synapses."""
        match expr:
            case ir.Num(value=value) if math.isfinite(value):
                return Coefficient(fraction(value))
            case ir.ParamRef(name=name):
                return self.param(name, self.numbers[name])
            case ir.Apply(function="neg", arguments=(a,)):
                inner = self.of(a)
                return None if inner is None else negative(inner)
            case ir.Apply(function="mul" | "div" as function, arguments=(a, b)):
                left, right = self.of(a), self.of(b)
                if left is None or right is None or (function == "div" and not right.number):
                    return None
                return left * (right if function == "mul" else right.inverse())
            case ir.Apply(function="square", arguments=(a,)):
                inner = self.of(a)
                return None if inner is None else inner * inner
            case ir.Apply():
                return self._opaque(expr)
            case _:
                return None

    def of_init(self, init: ir.Init) -> Coefficient | None:
        """The number that an initial value is, the same for all weights."""
        expr = _number(init)
        return None if expr is None else self.of(expr)

    def param(self, name: str, value: float) -> Coefficient:
        if value == 0 or not math.isfinite(value):
            return Coefficient(Fraction(0))
        shown = name if value > 0 else f"|{name}|"
        self.derived[shown] = abs(value)
        return coefficient(1 if value > 0 else -1, {shown: 1})

    def _opaque(self, expr: ir.Expr) -> Coefficient | None:
        try:
            value = evaluate(expr, self.numbers)
        except ValueError:
            return None
        if not math.isfinite(value):
            return None
        if not any(isinstance(e, ir.ParamRef) for e in ir.walk(expr)):
            return Coefficient(fraction(value))
        return self.param(f"({text(expr)})", value)

    # ------------------------------------------------------------ values

    def value(self, c: Coefficient) -> float:
        return real(c.number) * prod(raised(self.derived[name], power) for name, power in c.params)

    def equal(self, a: Coefficient | None, b: Coefficient | None) -> bool:
        """Whether two numbers are the same, up to rounding; None (absent) is equal to None only."""
        if a is None or b is None:
            return a is b
        one, two = self.value(a), self.value(b)
        return abs(one - two) <= 1e-12 * max(abs(one), abs(two))

    def total(self, found: Sequence[Coefficient]) -> Coefficient:
        """The sum of several numbers; one that is no monomial gets a name."""
        powers = {c.params for c in found}
        if len(powers) == 1:
            return Coefficient(sum((c.number for c in found), Fraction(0)), found[0].params)
        value = sum(map(self.value, found))
        return self.param(f"({' + '.join(map(coefficient_text, found))})".replace("+ −", "− "), value)


def _number(init: ir.Init) -> ir.Expr | None:
    match init:
        case ir.Num() | ir.ParamRef():
            return init
        case ir.InitApply(function=function, arguments=arguments):
            numbers = [n for a in arguments if (n := _number(a)) is not None]
            whole = len(numbers) == len(arguments)
            return ir.Apply(span=init.span, function=function, arguments=tuple(numbers)) if whole else None
        case _:
            return None


def fraction(value: float) -> Fraction:
    """The number that was meant: 2/3 for what a computer makes of it, else its decimals."""
    near = Fraction(value).limit_denominator(10_000)
    return near if float(near) == value else Fraction(repr(value))


def real(number: Fraction) -> float:
    """The number of a computer: infinite, where it is too large for one."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def raised(value: float, power: int) -> float:
    """A power of a positive number, likewise."""
    try:
        return float(value**power)
    except OverflowError:
        return math.inf


def negative(c: Coefficient) -> Coefficient:
    return Coefficient(-c.number, c.params)


def sign(c: Coefficient) -> int:
    return (c.number > 0) - (c.number < 0)


def magnitude(c: Coefficient) -> Coefficient:
    return Coefficient(abs(c.number), c.params)


def with_fans(expr: ir.Expr, synapse: ir.Synapse) -> ir.Expr:
    """The expression with `fan_in` and `fan_out` as params of the synapse's own."""

    def param(e: ir.Expr) -> ir.Expr | None:
        return ir.ParamRef(span=e.span, name=fan_name(e.which, synapse)) if isinstance(e, ir.Fan) else None

    return rebuild(expr, param)


def fan_name(which: str, synapse: ir.Synapse) -> str:
    return f"fan_{which}({synapse.name})"
