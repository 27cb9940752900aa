"""Means over seeds, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

CONFIDENCE = 0.95
#: Half the width of that interval of 2, 3, ... values, in standard errors; to load SciPy for it takes a tenth of a
#: second.
STUDENT = (
    12.7062047362, 4.30265272975, 3.18244630528, 2.7764451052, 2.57058183564, 2.44691185114, 2.36462425159,
    2.3060041352, 2.2621571628, 2.22813885199, 2.20098516009, 2.17881282967, 2.16036865646, 2.14478668792,
    2.13144954556, 2.11990529922, 2.10981557783, 2.10092204024, 2.09302405441, 2.08596344727,
)  # fmt: skip


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
    if count < 2:
        return math.nan
    if count - 2 < len(STUDENT):
        return STUDENT[count - 2]
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, (1 + CONFIDENCE) / 2))


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
