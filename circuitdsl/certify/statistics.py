"""Intervals by resampling, and the matrix H that stands between credit and gradient."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

#: How often examples and seeds are drawn anew, and the part of the draws an interval holds.
DRAWS, CONFIDENCE = 400, 0.95
#: The ridge, as a part of the mean eigenvalue of E[delta delta^T], and the part below which an eigenvalue
#: of it counts as 0: in those directions there is no gradient to compare with.
RIDGE, NOTHING = 1e-4, 1e-3


class Interval(NamedTuple):
    """The mean, and what 95 % of the resampled means lie between."""

    low: float
    mean: float
    high: float

    def within(self, low: float, high: float) -> Interval:
        """Cut to what can be."""
        return Interval(*(min(max(x, low), high) for x in self))

    @property
    def sign(self) -> int:
        """1 or -1 if the interval is on one side of 0, else 0."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


def interval(values: Array, over: Array | None = None) -> Interval:
    """The mean of `values` [seeds, examples], or the ratio of the means of `values` and `over`, with a bootstrap
    interval over seeds and examples; NaN where there are none. The examples are the same for all seeds."""
    import numpy as np

    if values.size == 0:
        return Interval(np.nan, np.nan, np.nan)
    seeds, examples = values.shape
    of_seeds, of_examples = _draws(seeds), _draws(examples)

    def drawn(array: Array) -> Array:
        return np.asarray(((array @ of_examples.T).T * of_seeds).sum(axis=1))

    with np.errstate(all="ignore"):
        means = drawn(values) if over is None else drawn(values) / drawn(over)
        mean = float(values.mean() if over is None else values.mean() / over.mean())
        low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(low), mean, float(high))


@lru_cache(maxsize=8)
def _draws(count: int) -> Array:
    """How much of each of `count` things is in each draw, [draws, count]."""
    import numpy as np

    generator = np.random.default_rng(count)
    return generator.multinomial(count, np.full(count, 1 / count), size=DRAWS) / count


@dataclass(frozen=True, slots=True)
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
    if not (np.isfinite(credit).all() and delta.any() and credit.any()):
        return Response(np.nan, np.nan, np.nan)
    powers, directions = np.linalg.eigh(delta.T @ delta / n)
    there = powers > NOTHING * powers[-1]
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
