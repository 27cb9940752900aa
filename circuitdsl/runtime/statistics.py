"""Means over seeds, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

CONFIDENCE = 0.95


class Mean(NamedTuple):
    """A mean over `seeds` seeds and half the width of its 95 % interval (Student's t); NaN for fewer than two seeds."""

    mean: float
    half: float
    seeds: int

    @property
    def low(self) -> float:
        return self.mean - self.half

    @property
    def high(self) -> float:
        return self.mean + self.half


def student(count: int) -> float:
    """Half the width of the interval of a mean of so many values, in standard errors; NaN for fewer than two."""
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) if count > 1 else math.nan


def over_seeds(values: Sequence[float]) -> Mean:
    """Of the values that are numbers."""
    found = [v for v in values if math.isfinite(v)]
    n = len(found)
    if n == 0:
        return Mean(math.nan, math.nan, 0)
    mean = sum(found) / n
    if n == 1:
        return Mean(mean, math.nan, 1)
    deviation = math.sqrt(sum((v - mean) * (v - mean) for v in found) / (n - 1))
    return Mean(mean, student(n) * deviation / math.sqrt(n), n)
