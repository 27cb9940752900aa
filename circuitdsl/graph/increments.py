"""Increments as far as they are linear in what they are added to, so that a leaky state keeps its range.

`dv = 0.1 * g^2 - 0.1 * v` has the slope -0.1 and a rest in [0, inf): v + dv = 0.9 v + rest. `dw = gate * (u - w)` is
a pull toward u: w + dw lies between w and u, while 0 <= gate <= 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isfinite

from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.graph.intervals import ONE, UNKNOWN, ZERO, Range


@frozen
class Pull:
    """`factor * (target - v)`, with a factor of 0 or more."""

    factor: Range
    target: Range


@frozen
class Increment:
    """`slope * v + rest`, and all pulls. `whole`: what all of it lies between, for the v that are known."""

    slope: Range = ZERO
    rest: Range = ZERO
    pulls: tuple[Pull, ...] = ()
    whole: Range = UNKNOWN

    @staticmethod
    def of(expr: ir.Expr, is_it: Callable[[ir.Expr], bool], range_of: Callable[[ir.Expr], Range]) -> Increment:
        """An equation whose variable `is_it` knows; where that enters in another way, its range stands for it."""
        slope, rest = ZERO, ZERO
        pulls: list[Pull] = []

        def reads(e: ir.Expr) -> bool:
            return any(map(is_it, ir.walk(e)))

        waiting = [(expr, ONE)]
        while waiting:
            e, scale = waiting.pop()
            match e:
                case _ if is_it(e):
                    slope = slope + scale
                case ir.Apply(function="neg", arguments=(a,)):
                    waiting.append((a, -scale))
                case ir.Apply(function="add" | "sub" as function, arguments=(a, b)):
                    waiting += [(a, scale), (b, scale if function == "add" else -scale)]
                case ir.Apply(function="mul" | "div" as function, arguments=(a, b)) if reads(a) != reads(b):
                    if function == "div" and reads(b):
                        rest = rest + scale * range_of(e)
                        continue
                    factor, inner = (range_of(a), b) if reads(b) else (range_of(b), a)
                    factor = scale * (factor.inverse() if function == "div" else factor)
                    if factor.is_point:
                        waiting.append((inner, factor))
                        continue
                    found = Increment.of(inner, is_it, range_of).scaled(factor)
                    slope, rest = slope + found.slope, rest + found.rest
                    pulls += found.pulls
                case _:
                    rest = rest + scale * range_of(e)
        return Increment(slope, rest, tuple(pulls), range_of(expr))

    def scaled(self, factor: Range) -> Increment:
        """The increment times a factor that varies."""
        if self.slope.is_point and self.slope.negative and factor.nonnegative and not self.pulls:
            leak = -self.slope
            return Increment(pulls=(Pull(factor * leak, self.rest * leak.inverse()),))
        return self.plain().times(factor)

    def plain(self) -> Increment:
        """Without pulls: less is known of it."""
        slope, rest = self.slope, self.rest
        for pull in self.pulls:
            slope, rest = slope - pull.factor, rest + pull.factor * pull.target
        return Increment(slope, rest, whole=self.whole)

    def times(self, count: Range) -> Increment:
        """So many of these, all of the same v."""
        if count == ONE:
            return self
        pulls = tuple(Pull(p.factor * count, p.target) for p in self.pulls)
        return Increment(self.slope * count, self.rest * count, pulls, self.whole * count)

    def ends(self) -> Iterator[float]:
        """Where a range may stop to grow: at the rest of a leak, at what it is pulled to; a little beyond, so that
        rounding does not lead past it."""
        candidates = [end for p in self.pulls for end in (p.target.low, p.target.high)]
        if self.slope.is_point and self.slope.low < 0:
            candidates += [end / -self.slope.low for end in (self.rest.low, self.rest.high)]
        for end in candidates:
            if isfinite(end):
                yield from (end, end * (1 + 1e-9), end * (1 - 1e-9))


def stepped(old: Range, increment: Increment) -> Range:
    """What v + dv lies between, for v in `old`, which are the v that are known."""
    return _linear(old, increment).meet(old + increment.whole)


def _linear(old: Range, increment: Increment) -> Range:
    slope, rest = increment.slope, increment.rest
    kept = ONE + slope
    most = sum((p.factor.high for p in increment.pulls), 0.0)
    gentle = all(p.factor.nonnegative and p.factor.defined for p in increment.pulls)
    if increment.pulls and gentle and slope.is_point and most <= kept.low <= 1:
        around = old
        for pull in increment.pulls:
            around = around.hull(pull.target)
        return around * kept + rest
    plain = increment.plain()
    return old * (ONE + plain.slope) + plain.rest
