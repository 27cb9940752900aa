"""Intervals of numbers with open or closed ends, and what functions make of them.

A `Range` says of a number: it lies between `low` and `high` (an open end is not reached), or it is undefined (not a
number, or infinite); if `defined`, it is not. Rounding and overflow are left aside, as everywhere in derivations:
exp(x) is above 0, sigmoid(x) below 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from math import inf

from circuitdsl.frozen import frozen


@frozen
class Range:
    """What a number lies between; infinite ends are open. Made by `span`, which keeps it so."""

    low: float
    high: float
    low_open: bool = False
    high_open: bool = False
    defined: bool = True

    # ------------------------------------------------------------ questions

    @property
    def is_zero(self) -> bool:
        """Whether it is 0, always."""
        return self.low == self.high == 0 and self.defined

    @property
    def is_point(self) -> bool:
        """Whether it is always the same number."""
        return self.low == self.high and self.defined

    @property
    def positive(self) -> bool:
        """Whether it is above 0 (or undefined)."""
        return self.low > 0 or (self.low == 0 and self.low_open)

    @property
    def nonnegative(self) -> bool:
        """Whether it is 0 or more (or undefined)."""
        return self.low >= 0

    @property
    def negative(self) -> bool:
        return (-self).positive

    @property
    def nonpositive(self) -> bool:
        return self.high <= 0

    @property
    def excludes_zero(self) -> bool:
        return self.positive or self.negative

    def holds(self, value: float, tolerance: float = 0.0) -> bool:
        """Whether a number may be this, up to a relative tolerance; with one, open ends count as reached."""
        if not math.isfinite(value):
            return not self.defined
        slack = tolerance * max(1.0, abs(value))
        above = value > self.low - slack or (value == self.low and not self.low_open)
        return above and (value < self.high + slack or (value == self.high and not self.high_open))

    def within(self, other: Range) -> bool:
        """Whether the other holds all that this one does."""
        return self.hull(other) == other

    # ------------------------------------------------------------ arithmetic

    def hull(self, other: Range) -> Range:
        """The least interval that holds both."""
        low, low_open = min((self.low, self.low_open), (other.low, other.low_open))
        high, closed = max((self.high, not self.high_open), (other.high, not other.high_open))
        return span(low, high, low_open, not closed, self.defined and other.defined)

    def meet(self, other: Range) -> Range:
        """What lies in both, which hold something in common."""
        low, low_open = max((self.low, self.low_open), (other.low, other.low_open))
        high, closed = min((self.high, not self.high_open), (other.high, not other.high_open))
        if low > high:  # by rounding
            return self
        return span(low, high, low_open, not closed, self.defined or other.defined)

    def __neg__(self) -> Range:
        return Range(-self.high, -self.low, self.high_open, self.low_open, self.defined)

    def __add__(self, other: Range) -> Range:
        low_open, high_open = self.low_open or other.low_open, self.high_open or other.high_open
        return span(self.low + other.low, self.high + other.high, low_open, high_open, self.defined and other.defined)

    def __sub__(self, other: Range) -> Range:
        return self + (-other)

    def __mul__(self, other: Range) -> Range:
        if self.is_point and other.is_point:
            product = self.low * other.low
            return span(product, product, False, False, self.defined and other.defined)
        if other.is_point:
            return other * self
        if self.is_point and 0 < self.low < inf:
            low, high = self.low * other.low, self.low * other.high
            return span(low, high, other.low_open, other.high_open, other.defined)
        ends = ((other.low, other.low_open), (other.high, other.high_open))
        corners = [_corner(self.low, self.low_open, b, b_open) for b, b_open in ends]
        corners += [_corner(self.high, self.high_open, b, b_open) for b, b_open in ends]
        low, low_open = min(corners)
        high, closed = max((value, not is_open) for value, is_open in corners)
        return span(low, high, low_open, not closed, self.defined and other.defined)

    def inverse(self) -> Range:
        """1 / x."""
        if self.low < 0 < self.high or self.low == self.high == 0:
            return UNKNOWN
        low = -inf if self.high == 0 else _inverse(self.high)
        high = inf if self.low == 0 else _inverse(self.low)
        found = span(low, high, self.high_open, self.low_open, self.defined and self.excludes_zero)
        return found if self.defined else found.hull(ZERO)  # 1/inf

    def absolute(self) -> Range:
        if self.low >= 0:
            return self
        return -self if self.high <= 0 else replace(self.hull(-self), low=0.0, low_open=False)

    def times(self, count: float) -> Range:
        """The sum of so many numbers that each lie in this range (0 of none)."""
        return self * point(count) if count else Range(0.0, 0.0, defined=self.defined)


def span(low: float, high: float, low_open: bool = False, high_open: bool = False, defined: bool = True) -> Range:
    """A range. Ends that are no numbers (inf - inf) leave nothing known."""
    if math.isnan(low) or math.isnan(high):
        return UNKNOWN
    # + 0.0 makes -0 a plain 0
    return Range(low + 0.0, high + 0.0, low_open or math.isinf(low), high_open or math.isinf(high), defined)


def point(value: float) -> Range:
    """One number."""
    return Range(value + 0.0, value + 0.0) if math.isfinite(value) else UNKNOWN


ANY = Range(-inf, inf, True, True)
UNKNOWN = Range(-inf, inf, True, True, False)
ZERO, ONE = Range(0.0, 0.0), Range(1.0, 1.0)
NONNEGATIVE, POSITIVE = Range(0.0, inf, False, True), Range(0.0, inf, True, True)
#: 0 or 1, or anything between.
FLAG = Range(0.0, 1.0)


def _corner(a: float, a_open: bool, b: float, b_open: bool) -> tuple[float, bool]:
    """A product of two ends, and whether it is not reached: 0 is reached where either factor reaches it."""
    if a == 0 or b == 0:
        return 0.0, not ((a == 0 and not a_open) or (b == 0 and not b_open))
    return a * b, a_open or b_open


def _inverse(value: float) -> float:
    return math.copysign(inf, value) if value == 0 else 1 / value


# ---------------------------------------------------------------- functions of one number


def rising(f: Callable[[float], float], least: float, most: float, x: Range) -> Range:
    """Of an increasing function whose limits `least` and `most` are never reached."""
    low, high = f(x.low), f(x.high)
    low_open, high_open = x.low_open or low <= least, x.high_open or high >= most
    found = span(max(low, least), min(high, most), low_open, high_open, x.defined)
    return found if x.defined else found.hull(span(least, most))


def wave(f: Callable[[float], float], x: Range) -> Range:
    """Of sine and cosine."""
    return point(f(x.low)) if x.is_point else Range(-1.0, 1.0, defined=x.defined)


def square(x: Range) -> Range:
    size = x.absolute()
    return span(size.low * size.low, size.high * size.high, size.low_open, size.high_open, size.defined)


def sqrt(x: Range) -> Range:
    low_open = x.low_open and x.low >= 0
    return span(math.sqrt(max(x.low, 0.0)), math.sqrt(max(x.high, 0.0)), low_open, x.high_open,
                x.defined and x.low >= 0)  # fmt: skip


def log(x: Range) -> Range:
    return _logarithm(math.log, 0.0, x, x.positive)


def log1p(x: Range) -> Range:
    return _logarithm(math.log1p, -1.0, x, x.low > -1 or (x.low == -1 and x.low_open))


def _logarithm(f: Callable[[float], float], least: float, x: Range, above: bool) -> Range:
    """`above`: whether x is above `least`, where the logarithm is -inf."""
    if x.high <= least:
        return UNKNOWN
    low = f(x.low) if x.low > least else -inf
    high = f(x.high) if x.high < inf else inf
    return span(low, high, x.low_open, x.high_open, x.defined and above)


def floor(x: Range) -> Range:
    """Open ends count as reached: what comes near them may be rounded to them."""
    low, high = (math.floor(end) if math.isfinite(end) else end for end in (x.low, x.high))
    return span(low, high, defined=x.defined)


def relu(x: Range) -> Range:
    return maximum(x, ZERO)


def _step(x: Range) -> Range:
    if not x.defined:
        return FLAG
    return ONE if x.positive else ZERO if x.high <= 0 else FLAG


def sign(x: Range) -> Range:
    if not x.defined:
        return Range(-1.0, 1.0, defined=False)
    low = 1.0 if x.positive else 0.0 if x.low >= 0 else -1.0
    high = -1.0 if x.negative else 0.0 if x.high <= 0 else 1.0
    return Range(low, high)


# ---------------------------------------------------------------- functions of several


def div(a: Range, b: Range) -> Range:
    return a * b.inverse()


def mod(x: Range, y: Range) -> Range:
    if y.negative:
        return -mod(-x, -y)
    return span(0.0, y.high, high_open=True, defined=x.defined and y.defined) if y.positive else UNKNOWN


def power(a: Range, b: Range, exp: Callable[[Range], Range]) -> Range:
    if b.is_point and b.low.is_integer():
        return _whole_power(a, int(b.low))
    if a.low < 0 or not (a.defined and b.defined):  # a root of a negative number
        return UNKNOWN
    found = exp(b * log(a if a.positive else replace(a, low_open=True)))
    if not a.positive:  # 0^b is 0, 1 or infinite
        found = found.hull(ZERO if b.positive else FLAG)
    return replace(found, defined=a.positive or b.nonnegative)


def _whole_power(a: Range, n: int) -> Range:
    if n < 0:
        return _whole_power(a, -n).inverse()
    if n == 0:
        return ONE
    base = a.absolute() if n % 2 == 0 else a
    return span(_power(base.low, n), _power(base.high, n), base.low_open, base.high_open, base.defined)


def _power(value: float, n: int) -> float:
    try:
        return float(value**n)
    except OverflowError:
        return -inf if value < 0 and n % 2 else inf


def maximum(a: Range, b: Range) -> Range:
    low, low_open = max((a.low, a.low_open), (b.low, b.low_open))  # at equal ends open, if either is
    high, closed = max((a.high, not a.high_open), (b.high, not b.high_open))
    found = span(low, high, low_open, not closed, a.defined and b.defined)
    for x, other in ((a, b), (b, a)):  # max(-inf, b) is b
        found = found if x.defined else found.hull(other)
    return found


def minimum(a: Range, b: Range) -> Range:
    return -maximum(-a, -b)


def clip(x: Range, low: Range, high: Range) -> Range:
    found = minimum(maximum(x, low), high)
    return found if low.high <= high.low else found.hull(low)  # where the bounds cross, the lower one wins


def where(condition: Range, yes: Range, no: Range) -> Range:
    if condition.excludes_zero:
        return yes
    return no if condition.is_zero else yes.hull(no)


def lt(a: Range, b: Range) -> Range:
    return _step(b - a)


def le(a: Range, b: Range) -> Range:
    difference = a - b  # a comparison with what is no number is 0
    return ONE - _step(difference) if difference.defined else FLAG


def eq(a: Range, b: Range) -> Range:
    difference = a - b
    if not difference.defined:
        return FLAG
    return ZERO if difference.excludes_zero else ONE if difference.is_zero else FLAG


def ne(a: Range, b: Range) -> Range:
    return ONE - eq(a, b)
