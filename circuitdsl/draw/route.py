"""How links run between two ranks: straight, or up, along a track of their own, and up again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from circuitdsl.frozen import frozen

#: Nearer than that lines do not come to each other.
NEAR = 7.0


@frozen
class Stretch:
    """What runs along a track: from or to its `feet` at the rank below and its `heads` at the rank above. One that has
    no heads turns back, beside a label above, and one without feet beside a label below."""

    feet: tuple[float, ...]
    heads: tuple[float, ...]

    @property
    def left(self) -> float:
        return min(self.feet + self.heads)

    @property
    def turn(self) -> int:
        """1 if it turns back below a label, -1 if it does so above one."""
        return (not self.heads) - (not self.feet)

    @property
    def right(self) -> float:
        return max(self.feet + self.heads)


def tracks(stretches: Sequence[Stretch]) -> tuple[list[int], int]:
    """The track of each stretch from the bottom, and how many there are. Two on one track do not touch; where one comes
    from below and another goes on above at the same place, the first turns off below the second; what turns back does
    so next to its label, and few lines cross, where that can be."""
    every = range(len(stretches))
    must = {i: {j for j in every if j != i and _beneath(stretches[j], stretches[i])} for i in every}
    should = {
        i: must[i] | {j for j in every if j != i and i not in must[j] and _rather_beneath(stretches[j], stretches[i])}
        for i in every
    }
    found: dict[int, int] = {}
    waiting = sorted(every, key=lambda i: (stretches[i].left, stretches[i].right, i))
    track = 0
    while waiting:
        end = float("-inf")
        for i in _next(waiting, must, should):
            if stretches[i].left > end + NEAR:
                found[i] = track
                end = stretches[i].right
        waiting = [i for i in waiting if i not in found]
        track += 1
    return [found[i] for i in every], track


def _next(waiting: list[int], must: Mapping[int, set[int]], should: Mapping[int, set[int]]) -> list[int]:
    """Those that may be on the next track; where preferences go round in a circle, the one that minds least."""
    left = set(waiting)
    free = [i for i in waiting if not should[i] & left]
    if free:
        return free
    allowed = [i for i in waiting if not must[i] & left] or waiting
    return [min(allowed, key=lambda i: (len(should[i] & left), waiting.index(i)))]


def _beneath(low: Stretch, high: Stretch) -> bool:
    """Whether the first must turn off below the second."""
    return any(abs(foot - head) < NEAR for foot in low.feet for head in high.heads)


def _rather_beneath(low: Stretch, high: Stretch) -> bool:
    """Whether one of two that pass each other had better be below the other: what turns back, next to its label; else
    so that they cross less."""
    if low.right + NEAR < high.left or high.right + NEAR < low.left:
        return False
    if low.turn != high.turn:
        return low.turn < high.turn
    return _crossings(low, high) < _crossings(high, low)


def _crossings(low: Stretch, high: Stretch) -> int:
    """How often two cross if the first is below the second."""
    up = sum(high.left < head < high.right for head in low.heads)
    return up + sum(low.left < foot < low.right for foot in high.feet)
