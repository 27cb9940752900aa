"""What is known of a synapse's connections before they are drawn: whether there are any, and how many per unit."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Literal, assert_never

from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.graph.intervals import FLAG, ONE, ZERO, Range
from circuitdsl.graph.numbers import evaluate


@frozen
class Mask:
    """`on`, `off`: whether a connection i -> i, and i -> j with i != j, is there: always (True), never (False), or as
    it is drawn (None). `most`: no postsynaptic unit has more connections."""

    post: int
    pre: int
    on: bool | None
    off: bool | None
    most: int

    @property
    def is_empty(self) -> bool:
        """Whether there is no connection for certain."""
        return self.most == 0 or (self.on is False and (self.off is False or not self._others))

    @property
    def is_full(self) -> bool:
        """Whether every connection is there for certain."""
        return self.on is True and (self.off is True or not self._others)

    @property
    def _pairs(self) -> int:
        """How many places i -> i there are."""
        return min(self.post, self.pre)

    @property
    def _others(self) -> int:
        return self.post * self.pre - self._pairs

    @property
    def identity(self) -> Range:
        """What the identity matrix is where there is a connection."""
        if self._others == 0 or self.off is False:
            return ONE
        return ZERO if self.on is False else FLAG

    @property
    def fan_in(self) -> tuple[int, int]:
        """The fewest and the most connections of a postsynaptic unit."""
        places = {1, 1 if self.post <= self.pre else 0}  # of i -> i for one unit
        least = min(p * (self.on is True) + (self.pre - p) * (self.off is True) for p in places)
        most = max(p * (self.on is not False) + (self.pre - p) * (self.off is not False) for p in places)
        return least, min(most, self.most)

    def fan(self, which: Literal["in", "out"]) -> Range:
        """The mean number of connections per postsynaptic ("in") or presynaptic unit."""
        units = float(self.post if which == "in" else self.pre)
        if self.on is not None and self.off is not None and self.most == self.pre:
            count = float(self._pairs * self.on + self._others * self.off)
            return Range(count / units, count / units)
        return Range(0.0, float(min(self.most, self.pre) * self.post) / units)


def mask_of(synapse: ir.Synapse, numbers: Mapping[str, float]) -> Mask:
    """The masks of a synapse, combined."""
    post, pre = synapse.post_size, synapse.pre_size
    found = [_one(c, post, pre, numbers) for c in synapse.connect]
    return reduce(_both, found, Mask(post, pre, True, True, pre))


def _one(connect: ir.Connect, post: int, pre: int, numbers: Mapping[str, float]) -> Mask:
    match connect.which:
        case "dense":
            return Mask(post, pre, True, True, pre)
        case "one_to_one":
            return Mask(post, pre, True, False, pre)
        case "no_self":
            return Mask(post, pre, False, True, pre)
        case "sparse":
            assert connect.argument is not None
            chance = evaluate(connect.argument, numbers)
            sure = True if chance >= 1 else False if chance <= 0 else None
            return Mask(post, pre, sure, sure, pre)
        case "fan_in":
            assert connect.argument is not None
            k = evaluate(connect.argument, numbers)
            if k >= pre:
                return Mask(post, pre, True, True, pre)
            return Mask(post, pre, None, None, int(max(k, 0.0)) if k == k else pre)
        case "file":
            return Mask(post, pre, None, None, pre)
        case _:
            assert_never(connect.which)


def _both(one: Mask, two: Mask) -> Mask:
    return Mask(one.post, one.pre, _and(one.on, two.on), _and(one.off, two.off), min(one.most, two.most))


def _and(a: bool | None, b: bool | None) -> bool | None:
    if a is False or b is False:
        return False
    return True if a and b else None
