"""Means over seeds with Student's 95 % interval, and how they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from circuitdsl.runtime import statistics
from circuitdsl.runtime.statistics import student

if TYPE_CHECKING:
    import xarray as xr


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


def mean_of(values: Any) -> Mean:
    """Over all values that are finite."""
    import numpy as np

    found = statistics.over_seeds(np.asarray(values, dtype=float).ravel().tolist())
    return Mean(found.mean, found.low, found.high)


def lost(runs: xr.DataArray) -> str:
    """Of one setting's runs how many have no value, since they diverged: a mean of the others does not say so."""
    count = int(runs.isnull().sum())
    return f" ({count} of {runs.size} diverged)" if count else ""


def over_seeds(array: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """The mean over `seed` and the half width of its 95 % interval; what is NaN does not count."""
    import numpy as np

    mean = array.mean("seed")
    count = array.count("seed")
    quantile = np.vectorize(lambda n: student(int(n)), otypes=[float])(count.values)
    half = array.std("seed", ddof=1) / np.sqrt(count) * quantile
    return mean, half
