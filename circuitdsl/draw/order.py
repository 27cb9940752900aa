"""In which order the pieces of each rank stand from left to right, so that few lines cross.

Pieces are sorted by the mean place of what they are joined to, upwards and downwards in turn, and the best order seen
is kept. Populations of one row keep their streams: what ascends at the left, what descends beside it.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping

from circuitdsl.draw.ranks import Ranks

Order = dict[int, list[str]]

_SWEEPS = 12


def ordered(ranks: Ranks, stream: Mapping[str, int]) -> Order:
    """The keys of the pieces of each rank, from left to right."""
    order: Order = {}
    for piece in sorted(ranks.pieces.values(), key=lambda p: p.rank):
        order.setdefault(piece.rank, []).append(piece.key)
    beside = _neighbours(ranks)
    for rank in order:
        order[rank] = _streamed(order[rank], stream)
    best, fewest = dict(order), None
    for sweep in range(2 * _SWEEPS):
        upwards = sweep % 2 == 0
        for rank in sorted(order, reverse=not upwards):
            order[rank] = _streamed(_sorted(order, rank, -1 if upwards else 1, beside), stream)
        crossings = sum(_crossings(ranks, order, rank) for rank in ranks.segments)
        if fewest is None or crossings < fewest:
            best, fewest = {rank: list(keys) for rank, keys in order.items()}, crossings
    return best


def _neighbours(ranks: Ranks) -> dict[tuple[str, int], list[str]]:
    """What a piece is joined to on the rank below (-1) and above (1)."""
    found: dict[tuple[str, int], list[str]] = {}
    for segments in ranks.segments.values():
        for segment in segments:
            found.setdefault((segment.low.piece, 1), []).append(segment.high.piece)
            found.setdefault((segment.high.piece, -1), []).append(segment.low.piece)
    return found


def _sorted(order: Order, rank: int, toward: int, beside: Mapping[tuple[str, int], list[str]]) -> list[str]:
    """The pieces of a rank by the mean place of their neighbours on the next rank; who has none stays."""
    place = {key: i / max(1, len(order[rank + toward])) for i, key in enumerate(order.get(rank + toward, ()))}
    own = {key: i / len(order[rank]) for i, key in enumerate(order[rank])}

    def mean(key: str) -> float:
        places = [place[other] for other in beside.get((key, toward), ())]
        return sum(places) / len(places) if places else own[key]

    return sorted(order[rank], key=lambda key: (mean(key), own[key]))


def _streamed(keys: list[str], stream: Mapping[str, int]) -> list[str]:
    """The same order, but for the boxes: at their places they stand by their streams."""
    boxes = iter(sorted((key for key in keys if key in stream), key=lambda key: stream[key]))
    return [next(boxes) if key in stream else key for key in keys]


def _crossings(ranks: Ranks, order: Order, rank: int) -> int:
    low = {key: i for i, key in enumerate(order[rank])}
    high = {key: i for i, key in enumerate(order[rank + 1])}
    pairs = sorted((low[s.low.piece], high[s.high.piece]) for s in ranks.segments[rank])
    seen: list[int] = []
    count = 0
    for _, end in pairs:
        count += len(seen) - bisect_right(seen, end)
        insort(seen, end)
    return count
