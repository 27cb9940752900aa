"""Piecewise linear functions of one number: where they are above 0."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf

from circuitdsl.frozen import frozen

#: What is smaller than this part of the numbers it is made of is rounding.
ROUNDING = 1e-12


@frozen(kw_only=True)
class Bent:
    """level + slope x + the sum of by * max(x - at, 0) over `bends`, which are (at, by)."""

    level: float
    slope: float
    bends: Sequence[tuple[float, float]]

    def changes(self) -> tuple[bool, list[float]]:
        """Whether it is above 0 far below all bends, and the places at which that changes."""
        pieces = list(self._pieces())
        _, slope, value = pieces[0]
        opened = first = slope < 0 or (slope == 0 and value > 0)
        found: list[float] = []
        for start, slope, value in pieces:
            if start > -inf and (value > 0 or (value == 0 and slope > 0)) != opened:
                opened = not opened
                found.append(start)
            end = next((s for s, *_ in pieces if s > start), inf)
            root = (0.0 if start == -inf else start) - value / slope if slope else start
            within = start < root < end and not (self._near(root, start) or self._near(root, end))
            if within and (slope > 0) != opened:
                opened = not opened
                found.append(root)
        return first, found

    def _pieces(self) -> Iterator[tuple[float, float, float]]:
        """Where each straight piece starts, its slope, and its value there (of the first: that of its line at 0)."""
        yield -inf, self._rounded(self.slope, [self.slope]), self.level
        for at in sorted({at for at, _ in self.bends}):
            steps = [by for place, by in self.bends if place <= at]
            parts = [self.level, self.slope * at, *(by * (at - place) for place, by in self.bends if place < at)]
            yield at, self._rounded(sum([self.slope, *steps]), [self.slope, *steps]), self._rounded(sum(parts), parts)

    @staticmethod
    def _rounded(value: float, parts: Sequence[float]) -> float:
        return 0.0 if abs(value) <= ROUNDING * max(map(abs, parts)) else value

    @staticmethod
    def _near(a: float, b: float) -> bool:
        return abs(a - b) <= ROUNDING * max(1.0, abs(a))
