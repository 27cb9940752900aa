"""Where the pieces stand from left to right: each as near as may be to below or above what it is joined to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from circuitdsl.draw.boxes import settle
from circuitdsl.draw.network import Link, Network
from circuitdsl.draw.order import Order
from circuitdsl.draw.ranks import Port, Ranks
from circuitdsl.draw.sizes import BOXES, LINE, PIECES, WIRED, Joined, Places, size_box, size_piece
from circuitdsl.draw.spacing import spaced
from circuitdsl.draw.straight import straightened

_SWEEPS = 30


def places(net: Network, ranks: Ranks, order: Order, direct: Sequence[Link]) -> Places:
    """The places of all pieces; `direct`: wires that run from box to box and need room between them."""
    found = Places()
    for node in net.nodes.values():
        size_box(node, ranks, found)
    for piece in ranks.pieces.values():
        if piece.kind != "box":
            size_piece(piece, found)
    found.offset.update(dict.fromkeys(ranks.ends, 0.0))
    wired = {frozenset((link.source, link.target)) for link in direct}
    joined = _joined(ranks)
    for rank, keys in order.items():
        found.x.update(
            zip(keys, spaced([0.0] * len(keys), [1.0] * len(keys), _gaps(rank, order, found, wired)), strict=True)
        )
    gaps = {rank: _gaps(rank, order, found, wired) for rank in order}
    boxes = {rank: [net.nodes[key] for key in keys if key in net.nodes] for rank, keys in order.items()}
    for sweep in range(_SWEEPS):
        for rank in sorted(order, reverse=sweep % 2 == 1):
            _pulled(order[rank], gaps[rank], joined, found)
            for node in boxes[rank]:
                settle(node, joined, found)
        _turn_round(ranks, joined, found)
    for _ in range(2):
        firm = straightened(ranks, order, gaps, joined, found)
        for node in net.nodes.values():
            settle(node, joined, found, firm)
        _turn_round(ranks, joined, found)
    straightened(ranks, order, gaps, joined, found)
    _flattened(ranks, order, joined, found)
    return found


# ---------------------------------------------------------------- sweeps


def _joined(ranks: Ranks) -> Joined:
    """For each piece its own port, the one that it is joined to, and how much a straight line is worth."""
    found: dict[str, list[tuple[Port, Port, float]]] = {key: [] for key in ranks.pieces}
    for segments in ranks.segments.values():
        for s in segments:
            boxes = sum(ranks.pieces[p.piece].kind == "box" for p in (s.low, s.high))
            worth = (8.0 if boxes == 0 else 2.0) * (0.5 if s.link.kind in ("wire", "pair") else 1.0)
            found[s.low.piece].append((s.low, s.high, worth))
            found[s.high.piece].append((s.high, s.low, worth))
    return found


def _gaps(rank: int, order: Order, found: Places, wired: set[frozenset[str | None]]) -> list[float]:
    """The least distance of the centres of each two neighbours."""

    def apart(a: str, b: str) -> float:
        if (a, "top") in found.items and (b, "top") in found.items:
            return WIRED if frozenset((a, b)) in wired else BOXES
        return PIECES

    keys = order[rank]
    return [(found.widths[a] + found.widths[b]) / 2 + apart(a, b) for a, b in pairwise(keys)]


def _pulled(keys: list[str], gaps: list[float], joined: Joined, found: Places) -> None:
    """Moves the pieces of a rank to where their links pull them."""
    wanted, weights = [], []
    for key in keys:
        pulls = [(found.at(other) - found.offset[own], worth) for own, other, worth in joined[key]]
        total = sum(worth for _, worth in pulls)
        wanted.append(sum(x * worth for x, worth in pulls) / total if total else found.x[key])
        weights.append(total or 0.1)
    found.x.update(zip(keys, spaced(wanted, weights, gaps), strict=True))


def _turn_round(ranks: Ranks, joined: Joined, found: Places) -> None:
    """Lets every link that turns back leave its label on the side on which it goes on."""
    for piece in ranks.pieces.values():
        if piece.kind in ("over", "under"):
            (first, before, _), (second, behind, _) = joined[piece.key]
            if (found.at(before) - found.at(behind)) * (found.offset[first] - found.offset[second]) < 0:
                found.offset[first], found.offset[second] = found.offset[second], found.offset[first]


def _flattened(ranks: Ranks, order: Order, joined: Joined, found: Places) -> None:
    """Lets every link that turns back run straight from one of its ends to the other, beside its label, where the label
    is between them and no other such link is there."""
    for keys in order.values():
        taken: list[tuple[str, float, float]] = []
        for i, key in enumerate(keys):
            kind = ranks.pieces[key].kind
            if kind not in ("over", "under"):
                continue
            ends = [found.at(other) for _, other, _ in joined[key]]
            half = found.widths[key] / 2
            x = min(max(sum(ends) / 2, _end(keys, i - 1, found) + half), _start(keys, i + 1, found) - half)
            free = all(side != kind or right < min(ends) or max(ends) < left for side, left, right in taken)
            if free and min(ends) + LINE <= max(ends) and min(ends) <= x <= max(ends):
                taken.append((kind, min(ends), max(ends)))
                found.flat.add(key)
                found.x[key] = x


def _end(keys: list[str], i: int, found: Places) -> float:
    """Where there is room right of a piece."""
    return found.x[keys[i]] + found.widths[keys[i]] / 2 + PIECES if i >= 0 else float("-inf")


def _start(keys: list[str], i: int, found: Places) -> float:
    """Where there is room left of a piece."""
    return found.x[keys[i]] - found.widths[keys[i]] / 2 - PIECES if i < len(keys) else float("inf")
