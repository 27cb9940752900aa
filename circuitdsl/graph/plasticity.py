"""A plasticity rule as a sum of products: who contributes which factor.

    dw = eta * (post.apical * pre - gamma * w)   ->   eta * [post.apical] [pre]  -  eta gamma * w

Every term is a coefficient (numbers, params, coefficients), presynaptic factors, signals (postsynaptic neuron,
its partners, modulators, phases, `tick`, noise), functions of the weight, and synapse states and drives.
Products are multiplied out only where a sum mixes these kinds, so that `(post - theta)` stays one factor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum
from fractions import Fraction
from typing import assert_never

from circuitdsl.diagnostics import Span
from circuitdsl.frozen import frozen
from circuitdsl.graph.folding import add, apply, div, mul, num, product
from circuitdsl.graph.ir import (
    Apply,
    Axis,
    Coef,
    DriveRead,
    Expr,
    Fan,
    Flag,
    Num,
    Over,
    ParamRef,
    Random,
    Read,
    Reduce,
    SynapseState,
    Tick,
    Weight,
    walk,
)

#: Powers up to this one are written as repeated factors.
MAX_POWER = 4


class Origin(StrEnum):
    """Where a factor comes from. Numbers have none."""

    PRE = "pre"
    SIGNAL = "signal"
    WEIGHT = "weight"
    STATE = "state"


@frozen(kw_only=True)
class Term:
    """number * the product of all factors. `mixed` are factors that read several origins and cannot be
    multiplied out (`relu(pre * post)`); a rule with one is not separable."""

    span: Span
    number: Fraction = Fraction(1)
    numeric: tuple[Expr, ...] = ()
    pre: tuple[Expr, ...] = ()
    signals: tuple[Expr, ...] = ()
    weights: tuple[Expr, ...] = ()
    states: tuple[Expr, ...] = ()
    mixed: tuple[Expr, ...] = ()

    @property
    def power(self) -> int | None:
        """k of w^k; None if the weight enters in another way."""
        plain = all(isinstance(w, Weight) for w in self.weights)
        return len(self.weights) if plain and not self.mixed else None

    def coefficient(self) -> Expr:
        """The numeric part, signed."""
        return product([num(_nearest(self.number), self.span), *self.numeric], span=self.span)

    def magnitude(self) -> Expr:
        """The numeric part without its sign, whatever values the params take."""
        numeric = product(self.numeric, span=self.span)
        if not isinstance(numeric, Num):
            numeric = apply("abs", numeric, span=self.span)
        return mul(num(abs(_nearest(self.number)), self.span), numeric, span=self.span)

    def factors(self) -> tuple[Expr, ...]:
        """All factors that are not numeric."""
        return (*self.signals, *self.pre, *self.weights, *self.states, *self.mixed)

    def expr(self) -> Expr:
        return product([self.coefficient(), *self.factors()], span=self.span)

    def __mul__(self, other: Term) -> Term:
        return Term(
            span=self.span,
            number=self.number * other.number,
            numeric=self.numeric + other.numeric,
            pre=self.pre + other.pre,
            signals=self.signals + other.signals,
            weights=self.weights + other.weights,
            states=self.states + other.states,
            mixed=self.mixed + other.mixed,
        )


def _nearest(number: Fraction) -> float:
    """The number as a computer has it: infinite beyond what it can hold."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def origins(expr: Expr) -> frozenset[Origin]:
    """What an expression of a synapse reads, numbers aside."""
    return frozenset(o for part in walk(expr) if (o := _origin(part)) is not None)


def split(expr: Expr, *, expand: bool = False) -> tuple[Term, ...]:
    """The rule as a sum of terms, in the order of the text; terms with the number 0 are left out.

    With `expand`, sums of weights and of states are multiplied out too: `g * (1 - w)` is then `g - g w`, and
    `eta * (mu * m + v)` is two terms."""
    return tuple(t for t in _split(expr, expand) if t.number != 0)


def _origin(part: Expr) -> Origin | None:
    match part:
        case Read(axis=Axis.PRE):
            return Origin.PRE
        case Read() | Flag() | Tick() | Random():
            return Origin.SIGNAL
        case Weight():
            return Origin.WEIGHT
        case SynapseState() | DriveRead():
            return Origin.STATE
        case Num() | ParamRef() | Coef() | Fan() | Apply() | Over() | Reduce():
            return None
        case _:
            assert_never(part)


def _split(expr: Expr, expand: bool) -> list[Term]:
    match expr:
        case Num(value=value) if math.isfinite(value):
            return [Term(span=expr.span, number=Fraction(repr(value)))]
        case Apply(function="neg", arguments=(a,)):
            return _negated(_split(a, expand))
        case Apply(function="add" | "sub" as sign, arguments=(a, b)) if _opens(expr, expand):
            rest = _split(b, expand)
            return _split(a, expand) + (rest if sign == "add" else _negated(rest))
        case Apply(function="mul", arguments=(a, b)):
            return _times(_split(a, expand), _split(b, expand))
        case Apply(function="div", arguments=(a, b)):
            return _times(_split(a, expand), [_inverse(b, expand)])
        case Apply(function="square", arguments=(a,)) if origins(a):
            return _times(_split(a, expand), _split(a, expand))
        case Apply(function="pow", arguments=(a, Num(value=n))) if _repeats(a, n):
            return _power(_split(a, expand), int(n))
        case Apply(function="where", arguments=(c, a, b)) if len(origins(expr)) > 1:
            return _split(_as_sum(c, a, b, expr.span), expand)
        case _:
            return [_factor(expr)]


def _opens(expr: Expr, expand: bool) -> bool:
    """Whether a sum is multiplied out: it mixes origins, or is a plain number after all."""
    found = origins(expr)
    return len(found) > 1 or (expand and bool(found & {Origin.WEIGHT, Origin.STATE}))


def _repeats(base: Expr, n: float) -> bool:
    return bool(origins(base)) and n in range(2, MAX_POWER + 1)


def _factor(expr: Expr) -> Term:
    match tuple(origins(expr)):
        case ():
            return Term(span=expr.span, numeric=(expr,))
        case (Origin.PRE,):
            return Term(span=expr.span, pre=(expr,))
        case (Origin.SIGNAL,):
            return Term(span=expr.span, signals=(expr,))
        case (Origin.WEIGHT,):
            return Term(span=expr.span, weights=(expr,))
        case (Origin.STATE,):
            return Term(span=expr.span, states=(expr,))
        case _:
            return Term(span=expr.span, mixed=(expr,))


def _inverse(expr: Expr, expand: bool) -> Term:
    """1 / expr, factor by factor where it is a product."""
    span = expr.span
    terms = _split(expr, expand)
    if len(terms) != 1 or terms[0].number == 0:
        return _factor(div(num(1, span), expr, span=span))
    (term,) = terms

    def flipped(factors: Iterable[Expr]) -> tuple[Expr, ...]:
        return tuple(div(num(1, span), f, span=span) for f in factors)

    return Term(
        span=span,
        number=1 / term.number,
        numeric=flipped(term.numeric),
        pre=flipped(term.pre),
        signals=flipped(term.signals),
        weights=flipped(term.weights),
        states=flipped(term.states),
        mixed=flipped(term.mixed),
    )


def _as_sum(condition: Expr, yes: Expr, no: Expr, span: Span) -> Expr:
    """where(c, a, b) = [c != 0] a + [c = 0] b, for finite a and b."""
    zero = num(0, span)
    is_set = mul(apply("ne", condition, zero, span=span), yes, span=span)
    unset = mul(apply("eq", condition, zero, span=span), no, span=span)
    return add(is_set, unset, span=span)


def _negated(terms: Iterable[Term]) -> list[Term]:
    return [replace(t, number=-t.number) for t in terms]


def _times(left: list[Term], right: list[Term]) -> list[Term]:
    return [a * b for a in left for b in right]


def _power(terms: list[Term], n: int) -> list[Term]:
    result = terms
    for _ in range(n - 1):
        result = _times(result, terms)
    return result


# ---------------------------------------------------------------- signs


def polarity(expr: Expr, part: Expr) -> int:
    """The sign with which an expression follows one of its parts, as far as its text tells: 1, -1, or 0 if
    it does not (the part is not in it, or enters evenly). Params and everything else count as positive."""
    if expr == part:
        return 1
    match expr:
        case Apply(function="neg", arguments=(a,)):
            return -polarity(a, part)
        case Apply(function="sub", arguments=(a, b)):
            return polarity(a, part) or -polarity(b, part)
        case Apply(function="mul", arguments=(a, b)):
            return polarity(a, part) * _sign(b) or polarity(b, part) * _sign(a)
        case Apply(function="div", arguments=(a, b)):
            return polarity(a, part) * _sign(b)
        case Apply(function="where", arguments=(_, a, b)):
            return polarity(a, part) or polarity(b, part)
        case Apply(function="square" | "abs" | "pow"):
            return 0
        case Apply():
            return next((p for a in expr.arguments if (p := polarity(a, part))), 0)
        case _:
            return 0


def _sign(expr: Expr) -> int:
    match expr:
        case Num(value=value):
            return -1 if value < 0 else 1
        case Apply(function="neg", arguments=(a,)):
            return -_sign(a)
        case Apply(function="mul" | "div", arguments=(a, b)):
            return _sign(a) * _sign(b)
        case _:
            return 1
