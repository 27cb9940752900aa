"""Intervals over seeds, seeds that go opposite ways, and the matrix H that stands between credit and gradient."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

from circuitdsl.frozen import frozen
from circuitdsl.runtime.statistics import student

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

#: Nothing that differs from seed to seed is decided by fewer seeds.
FEWEST = 5
#: The ridge, as a part of the mean eigenvalue of E[delta delta^T], and the part below which an eigenvalue
#: of it counts as 0: in those directions there is no gradient to compare with.
RIDGE, NOTHING = 1e-4, 1e-3
#: Seeds go opposite ways if each is at least this part of the largest away from 0.
APART = 0.5


class Interval(NamedTuple):
    """A mean over seeds, between the ends of its 95 % interval (Student's t); the ends are NaN of a single seed."""

    low: float
    mean: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 if the interval is on one side of 0, else 0."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0

    def within(self, low: float, high: float) -> Interval:
        """Cut to what can be."""
        return Interval(*(min(max(x, low), high) if x == x else x for x in self))


def interval(seeds: Array) -> Interval:
    """Of one number per seed, [seeds]; NaN where one of them is NaN, or there are none."""
    n = len(seeds)
    mean = float(seeds.mean()) if n else float("nan")
    half = student(n) * float(seeds.std(ddof=1)) / sqrt(n) if n > 1 else float("nan")
    return Interval(mean - half, mean, mean + half)


def opposed(seeds: Array) -> tuple[int, int] | None:
    """How many seeds go up and how many down, if they plainly go opposite ways, none of them about 0; else None."""
    up, down = int((seeds > 0).sum()), int((seeds < 0).sum())
    plain = up + down == len(seeds) > 1 and up > 0 and down > 0 and abs(seeds).min() > APART * abs(seeds).max()
    return (up, down) if plain else None


@frozen
class Response:
    """How the credit answers to the gradient: `s = H delta + rest`. `r2`: the part of E|s|^2 that H explains,
    corrected for the number of coefficients; `low` and `high`: the extreme eigenvalues of sym(H), on the space in
    which there are gradients."""

    r2: float
    low: float
    high: float


def response(credit: Array, delta: Array) -> Response:
    """H = E[s delta^T] (E[delta delta^T] + lambda I)^-1 for credits and gradients [examples, size]."""
    import numpy as np

    n = len(delta)
    if not (np.isfinite(credit).all() and np.isfinite(delta).all() and delta.any() and credit.any()):
        return Response(np.nan, np.nan, np.nan)
    powers, directions = np.linalg.eigh(delta.T @ delta / n)
    there = powers > NOTHING * powers[-1]
    if not there.any():  # so small that its square is 0
        return Response(np.nan, np.nan, np.nan)
    powers, directions = powers[there], directions[:, there]
    ridge = RIDGE * powers.mean()
    inside = delta @ directions
    h = (credit.T @ inside / n) / (powers + ridge)
    rest = credit - inside @ h.T
    freedom = float((powers / (powers + ridge)).sum())
    unexplained = float((rest**2).sum() / (credit**2).sum())
    if n > freedom + 1:
        unexplained *= n / (n - freedom)
    square = directions.T @ h
    values = np.linalg.eigvalsh((square + square.T) / 2)
    return Response(1 - unexplained, float(values[0]), float(values[-1]))
