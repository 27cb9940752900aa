"""Pulls: functions of the weight alone, beside the linear decay, that draw it back to 0 (`- eta * gamma * w^3`).

Known are sums of powers `sign(w) |w|^n` (n >= 1) and of tanh(k w): odd, strictly increasing, and no steeper than
can be told. Not `sign(w)`, which jumps at 0, nor `sqrt(abs(w))`, which is vertical there.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import inf

from circuitdsl.derive.algebra.constants import Constants, magnitude
from circuitdsl.derive.algebra.words import Coefficient
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.graph.plasticity import Term

#: Of the range within which a pull is gentle enough so much is claimed, as it is found by halving.
SAFE = 0.999


@frozen
class Pull:
    """`number sign(w) |w|^n` for each (n, number), and `number tanh(k w)` for each (k, number); per update."""

    powers: tuple[tuple[Fraction, Coefficient], ...]
    tanh: tuple[tuple[Coefficient, Coefficient], ...]

    def steepest(self, radius: float, constants: Constants) -> float:
        """The steepest slope on [-radius, radius]."""
        value = constants.value
        bent = sum(value(c) * float(n) * (1.0 if n == 1 else radius ** float(n - 1)) for n, c in self.powers)
        return bent + sum(value(c) * value(k) for k, c in self.tanh)

    def within(self, steepest: float, constants: Constants) -> float:
        """How far from 0 a weight may be for the pull to be less steep than that: inf where it is so everywhere, 0
        where it is so nowhere."""
        if self.steepest(inf, constants) < steepest:
            return inf
        low, high = 0.0, 1.0
        if self.steepest(low, constants) >= steepest:
            return 0.0
        while self.steepest(high, constants) < steepest:
            low, high = high, 2 * high
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self.steepest(middle, constants) < steepest else (low, middle)
        return SAFE * low

    def scales(self, other: Pull, factor: Coefficient, constants: Constants) -> bool:
        """Whether p(c w) = c q(w) for this p, the other q, and a number c."""
        c = magnitude(factor)
        if self.tanh and not constants.equal(c, Coefficient()):
            return False
        if len(self.powers) != len(other.powers) or len(self.tanh) != len(other.tanh):
            return False
        size = constants.value(c)
        powers = all(
            n == m and _close(constants.value(a) * size ** float(n), size * constants.value(b))
            for (n, a), (m, b) in zip(self.powers, other.powers, strict=True)
        )
        tanh = all(
            constants.equal(k, m) and constants.equal(a, b)
            for (k, a), (m, b) in zip(self.tanh, other.tanh, strict=True)
        )
        return powers and tanh


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-12 * max(abs(a), abs(b))


def pull_of(terms: Sequence[tuple[Coefficient, Sequence[ir.Expr]]], constants: Constants) -> Pull | None:
    """The pull of terms `- number * factors`; None if one of them is not known to be of that kind."""
    powers: dict[Fraction, list[Coefficient]] = {}
    tanh: list[tuple[Coefficient, Coefficient]] = []
    for number, factors in terms:
        pulled = magnitude(number)
        if number.number >= 0:
            return None
        match factors:
            case (ir.Apply(function="tanh", arguments=(inner,)),):
                inside = _steepness(inner, constants)
                if inside is None:
                    return None
                tanh.append((inside, pulled))
            case _:
                found = [_monomial(f) for f in factors]
                known = [m for m in found if m is not None]
                degree = sum((n for _, n in known), Fraction(0))
                if len(known) < len(found) or sum(odd for odd, _ in known) % 2 == 0 or degree < 1:
                    return None
                powers.setdefault(degree, []).append(pulled)
    summed = [(n, constants.total(numbers)) for n, numbers in sorted(powers.items())]
    return Pull(tuple(summed), tuple(sorted(tanh, key=lambda t: constants.value(t[0]))))


def _steepness(expr: ir.Expr, constants: Constants) -> Coefficient | None:
    """k > 0 of k w."""
    match expr:
        case ir.Weight():
            return Coefficient()
        case ir.Apply(function="mul", arguments=(a, b)):
            number, other = constants.of(a), b
            if number is None:
                number, other = constants.of(b), a
            inner = _steepness(other, constants)
            return number * inner if number is not None and number.number > 0 and inner is not None else None
        case _:
            return None


def _monomial(expr: ir.Expr) -> tuple[int, Fraction] | None:
    """(odd, n) of |w|^n, times the sign of w if it is odd."""
    match expr:
        case ir.Weight():
            return 1, Fraction(1)
        case ir.Apply(function="sign", arguments=(ir.Weight(),)):
            return 1, Fraction(0)
        case ir.Apply(function="abs", arguments=(a,)):
            inner = _monomial(a)
            return None if inner is None else (0, inner[1])
        case ir.Apply(function="square", arguments=(a,)):
            inner = _monomial(a)
            return None if inner is None else (0, 2 * inner[1])
        case ir.Apply(function="pow", arguments=(a, ir.Num(value=n))):
            inner, power = _monomial(a), Fraction(repr(n))
            if inner is None or n <= 0 or (inner[0] and power.denominator != 1):
                return None
            return inner[0] * int(power) % 2 if inner[0] else 0, inner[1] * power
        case ir.Apply(function="mul", arguments=(a, b)):
            one, two = _monomial(a), _monomial(b)
            return None if one is None or two is None else ((one[0] + two[0]) % 2, one[1] + two[1])
        case _:
            return None


# ---------------------------------------------------------------- terms of rules


def is_pull(term: Term) -> bool:
    """Whether a term is a function of the weight alone."""
    return bool(term.weights) and not (term.pre or term.signals or term.states or term.mixed)


def per_synapse(expr: ir.Expr) -> bool:
    """Whether an expression reads a coefficient, another number for each weight."""
    return any(isinstance(e, ir.Coef) for e in ir.walk(expr))
