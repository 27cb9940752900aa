"""Straight lines: pieces that are joined are put exactly above each other wherever their neighbours allow it.

Pieces whose ports stand above each other move as one block, whose place is bettered step by step (after Brandes & Köpf
2002, Graph Drawing, 31, where blocks come from medians).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from circuitdsl.draw.order import Order
from circuitdsl.draw.ranks import Port, Ranks, Segment
from circuitdsl.draw.sizes import Joined, Places
from circuitdsl.frozen import mutable

#: Farther than that no piece is moved for a straight line between a population and a label.
_FAR = 90.0
_SWEEPS = 40


@mutable
class _Blocks:
    """`of`: the block of each piece; `shift`: the place of a piece from that of its block; `left`, `right`: the least
    distance of a block from each of its neighbours."""

    of: dict[str, str]
    shift: dict[str, float]
    x: dict[str, float] = field(default_factory=dict)
    left: dict[str, dict[str, float]] = field(default_factory=dict)
    right: dict[str, dict[str, float]] = field(default_factory=dict)


def straightened(
    ranks: Ranks, order: Order, gaps: Mapping[int, list[float]], joined: Joined, found: Places
) -> frozenset[Port]:
    """Moves the pieces, and gives the ports whose links run straight."""
    chosen = _chosen(ranks, order, joined, found)
    blocks = _blocks(ranks, order, gaps, chosen, found)
    _settle(blocks, order, joined, found)
    for key, block in blocks.of.items():
        found.x[key] = blocks.x[block] + blocks.shift[key]
    return frozenset(port for s in chosen for port in (s.low, s.high))


def _chosen(ranks: Ranks, order: Order, joined: Joined, found: Places) -> list[Segment]:
    """The segments that are to be straight: those of the greatest worth first, of these the ones that nearly are. No
    piece has two of them upwards or downwards, and none of them cross."""
    worth = {(own, other): w for joins in joined.values() for own, other, w in joins}
    place = {key: i for keys in order.values() for i, key in enumerate(keys)}
    chosen: list[Segment] = []
    for segments in ranks.segments.values():
        mine: list[Segment] = []
        ranked = sorted(segments, key=lambda s: (-worth[s.low, s.high], _apart(s, found), s.link.name))
        for segment in ranked:
            turning = {ranks.pieces[p.piece].kind for p in (segment.low, segment.high)} & {"over", "under"}
            far = _apart(segment, found) > _FAR and worth[segment.low, segment.high] < 8
            if not turning and not far and all(_beside(segment, s, place) for s in mine):
                mine.append(segment)
        chosen += mine
    return chosen


def _apart(segment: Segment, found: Places) -> float:
    return abs(found.at(segment.low) - found.at(segment.high))


def _beside(a: Segment, b: Segment, place: Mapping[str, int]) -> bool:
    """Whether one of two segments is to the left of the other at both ends."""
    low = place[a.low.piece] - place[b.low.piece]
    high = place[a.high.piece] - place[b.high.piece]
    return low * high > 0


def _blocks(
    ranks: Ranks, order: Order, gaps: Mapping[int, list[float]], chosen: list[Segment], found: Places
) -> _Blocks:
    above = {s.low.piece: s for s in chosen}
    begun = {s.high.piece for s in chosen}
    blocks = _Blocks({}, {})
    for rank in sorted(order):
        for key in order[rank]:
            if key in begun:
                continue
            shift, piece = 0.0, key
            blocks.of[key], blocks.shift[key] = key, 0.0
            while piece in above:
                s = above[piece]
                shift += found.offset[s.low] - found.offset[s.high]
                piece = s.high.piece
                blocks.of[piece], blocks.shift[piece] = key, shift
    for rank, keys in order.items():
        for a, b, gap in zip(keys, keys[1:], gaps[rank], strict=False):
            one, two = blocks.of[a], blocks.of[b]
            least = gap + blocks.shift[a] - blocks.shift[b]
            blocks.left.setdefault(two, {})[one] = max(least, blocks.left.get(two, {}).get(one, float("-inf")))
            blocks.right.setdefault(one, {})[two] = max(least, blocks.right.get(one, {}).get(two, float("-inf")))
    return blocks


def _settle(blocks: _Blocks, order: Order, joined: Joined, found: Places) -> None:
    """Places for the blocks: first apart, then each to where its links pull it, as far as its neighbours let it."""
    members: dict[str, list[str]] = {}
    for key, block in blocks.of.items():
        members.setdefault(block, []).append(key)
    sequence = _left_to_right(blocks, list(members))
    for block in sequence:
        mean = sum(found.x[key] - blocks.shift[key] for key in members[block]) / len(members[block])
        least = (blocks.x[other] + gap for other, gap in blocks.left.get(block, {}).items())
        blocks.x[block] = max([mean, *least])
    for sweep in range(_SWEEPS):
        for block in sequence if sweep % 2 else sequence[::-1]:
            blocks.x[block] = _wanted(block, members[block], blocks, joined, found)


def _wanted(block: str, members: list[str], blocks: _Blocks, joined: Joined, found: Places) -> float:
    total = pull = 0.0
    for key in members:
        for own, other, worth in joined[key]:
            if blocks.of[other.piece] != block:
                there = blocks.x[blocks.of[other.piece]] + blocks.shift[other.piece] + found.offset[other]
                pull += worth * (there - found.offset[own] - blocks.shift[key])
                total += worth
    x = pull / total if total else blocks.x[block]
    least = max((blocks.x[o] + gap for o, gap in blocks.left.get(block, {}).items()), default=float("-inf"))
    most = min((blocks.x[o] - gap for o, gap in blocks.right.get(block, {}).items()), default=float("inf"))
    return max(least, min(x, most))


def _left_to_right(blocks: _Blocks, names: list[str]) -> list[str]:
    """The blocks so that each comes after all that are to its left."""
    from graphlib import TopologicalSorter

    return list(TopologicalSorter({name: list(blocks.left.get(name, {})) for name in names}).static_order())
