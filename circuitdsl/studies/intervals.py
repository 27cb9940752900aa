"""Means over seeds with Student's 95 % interval, and how they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import xarray as xr

CONFIDENCE = 0.95


class Mean(NamedTuple):
    """A mean and its 95 % interval; the interval is NaN for fewer than two values."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return self.written()

    def written(self, digits: int = 3) -> str:
        """`0.953 [0.948, 0.958]`."""
        if self.low != self.low:
            return f"{self.mean:.{digits}f}"
        return f"{self.mean:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"

    def points(self, digits: int = 1) -> str:
        """Of a difference of accuracies: `-0.4 [-0.9, 0.1] points`."""
        return Mean(*(100 * v for v in self)).written(digits) + " points"


def student(count: int) -> float:
    """The half width of the interval of a mean, in standard errors."""
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) if count > 1 else float("nan")


def mean_of(values: Any) -> Mean:
    """Over all values that are finite."""
    import numpy as np

    flat = np.asarray(values, dtype=float).ravel()
    flat = flat[np.isfinite(flat)]
    if not len(flat):
        return Mean(np.nan, np.nan, np.nan)
    mean = float(flat.mean())
    half = student(len(flat)) * float(flat.std(ddof=1)) / len(flat) ** 0.5 if len(flat) > 1 else np.nan
    return Mean(mean, mean - half, mean + half)


def over_seeds(array: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """The mean over `seed` and the half width of its 95 % interval; what is NaN does not count."""
    import numpy as np

    mean = array.mean("seed")
    count = array.count("seed")
    quantile = np.vectorize(lambda n: student(int(n)) if n > 1 else np.nan, otypes=[float])(count.values)
    half = array.std("seed", ddof=1) / np.sqrt(count) * quantile
    return mean, half
