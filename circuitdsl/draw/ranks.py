"""The pieces of a drawing and how they hang together, before anything has a place.

Pieces stand on ranks, counted from the bottom: populations on even ones, what is written at synapses on the odd ones
between them. A link that passes a rank has a piece of its own there, so that it has room and runs through nothing. Two
pieces on neighbouring ranks are joined by segments, and a drawing is made of nothing else (Sugiyama, Tagawa & Toda
1981, IEEE Transactions on Systems, Man, and Cybernetics 11, 109).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from itertools import pairwise
from typing import Literal

from circuitdsl.draw.network import Link, Network
from circuitdsl.frozen import frozen, mutable

Side = Literal["top", "bottom"]
End = Literal["source", "target"]
#: `box`: a population; `pass`: a link on its way; `tag`: what is written at a link that goes on upwards or downwards;
#: `over` and `under`: the same where it turns back; `start`: the same where a synapse from `bias` begins.
PieceKind = Literal["box", "pass", "tag", "over", "under", "start"]


@frozen(kw_only=True)
class Piece:
    """`link` is the link of a piece, None for a box, whose `key` is the name of its node."""

    key: str
    rank: int
    kind: PieceKind
    link: Link | None = None


@frozen
class Port:
    """Where a link meets a piece. `end`: which end of the link it is for a box (and on which side), or which way it
    goes on from a piece of its own."""

    piece: str
    link: str
    end: End


@frozen(kw_only=True)
class Segment:
    """A stretch of a link between a rank and the next one up."""

    link: Link
    low: Port
    high: Port


@frozen(kw_only=True)
class Ranks:
    """`segments[k]`: between rank k and rank k + 1. `sides`: on which side of its population each dendrite stands;
    `ends`: on which side of a box a link meets it. `ways`: the pieces of each link from source to target; `steps`: its
    segments in that order, and whether each is passed upwards."""

    pieces: Mapping[str, Piece]
    segments: Mapping[int, list[Segment]]
    sides: Mapping[str, Side]
    ends: Mapping[Port, Side]
    ways: Mapping[str, list[str]]
    steps: Mapping[str, list[tuple[Segment, bool]]]


def dendrite_sides(net: Network, rows: Mapping[str, int]) -> dict[str, Side]:
    """Each dendrite faces what drives it; what is driven from its own row goes where there is more room."""
    found: dict[str, Side] = {}
    for node in net.nodes.values():
        pulls = {d: _pull(d, net, rows) for d, _ in node.dendrites}
        mine: list[Side] = []
        for dendrite in sorted(pulls, key=lambda d: pulls[d] == 0):  # first those that are pulled somewhere
            roomier = not mine or mine.count("bottom") < mine.count("top")
            below = pulls[dendrite] < 0 or (pulls[dendrite] == 0 and roomier)
            mine.append("bottom" if below else "top")
            found[dendrite] = mine[-1]
    return found


def _pull(dendrite: str, net: Network, rows: Mapping[str, int]) -> int:
    """Whether more of what drives it comes from above (positive) or from below."""
    votes = 0
    for link in net.links:
        if link.dendrite == dendrite and link.source is not None:
            votes += (rows[link.source] > rows[link.target]) - (rows[link.source] < rows[link.target])
    return votes


@mutable
class _Builder:
    rows: Mapping[str, int]
    sides: Mapping[str, Side]
    pieces: dict[str, Piece] = field(default_factory=dict)
    segments: dict[int, list[Segment]] = field(default_factory=dict)
    ends: dict[Port, Side] = field(default_factory=dict)
    ways: dict[str, list[str]] = field(default_factory=dict)
    steps: dict[str, list[tuple[Segment, bool]]] = field(default_factory=dict)

    def add(self, link: Link) -> None:
        """The pieces and segments of a link."""
        target, gap = 2 * self.rows[link.target], self._gap(link)
        into: Side = "bottom" if gap < target else "top"
        if link.source is None:
            last = self._piece(link, gap, "start")
            self.ways[link.name] = [last, link.target]
        else:
            start = 2 * self.rows[link.source]
            up = gap > start
            ranks = range(start + 1, gap + 1) if up else range(start - 1, gap - 1, -1)
            passes = [self._piece(link, rank, "pass") for rank in ranks[:-1]]
            last = self._piece(link, gap, _turn(up, into))
            self.ways[link.name] = [link.source, *passes, last, link.target]
            self.ends[Port(link.source, link.name, "source")] = "top" if up else "bottom"
        self.ends[Port(link.target, link.name, "target")] = into
        way = self.ways[link.name]
        for a, b in pairwise(way):
            self._join(link, a, b)

    def _gap(self, link: Link) -> int:
        """The rank from which a link reaches its target."""
        target = 2 * self.rows[link.target]
        if link.dendrite is not None:
            return target + (1 if self.sides[link.dendrite] == "top" else -1)
        above = link.source is None or self.rows[link.source] >= self.rows[link.target]
        return target + (1 if above else -1)

    def _piece(self, link: Link, rank: int, kind: PieceKind) -> str:
        key = f"{link.name} at {rank}"
        self.pieces[key] = Piece(key=key, rank=rank, kind=kind, link=link)
        return key

    def _join(self, link: Link, a: str, b: str) -> None:
        """`a` is nearer to the source."""
        first, second = Port(a, link.name, "source"), Port(b, link.name, "target")
        if self.pieces[a].kind != "box":
            first = Port(a, link.name, "target")
        if self.pieces[b].kind != "box":
            second = Port(b, link.name, "source")
        up = self.pieces[a].rank < self.pieces[b].rank
        low, high = (first, second) if up else (second, first)
        segment = Segment(link=link, low=low, high=high)
        self.segments.setdefault(self.pieces[low.piece].rank, []).append(segment)
        self.steps.setdefault(link.name, []).append((segment, up))


def _turn(up: bool, into: Side) -> PieceKind:
    if up == (into == "bottom"):
        return "tag"
    return "over" if up else "under"


def ranks(net: Network, rows: Mapping[str, int], links: tuple[Link, ...]) -> Ranks:
    """The pieces of a network, with these of its links."""
    builder = _Builder(rows, dendrite_sides(net, rows))
    for name in net.nodes:
        builder.pieces[name] = Piece(key=name, rank=2 * rows[name], kind="box")
    for link in links:
        builder.add(link)
    return Ranks(
        pieces=builder.pieces,
        segments=builder.segments,
        sides=builder.sides,
        ends=builder.ends,
        ways=builder.ways,
        steps=builder.steps,
    )
