"""Where everything is, in pixels: boxes, dendrites, labels and lines. What a drawing shows is made of it, and tests ask
it whether anything lies over anything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from circuitdsl.draw.levels import rows, streams
from circuitdsl.draw.network import Link, Network, Node
from circuitdsl.draw.order import Order, ordered
from circuitdsl.draw.picture import Point, Rect
from circuitdsl.draw.place import places
from circuitdsl.draw.ranks import Port, Ranks, Segment, Side, ranks
from circuitdsl.draw.route import Stretch, tracks
from circuitdsl.draw.sizes import LINE, Places, label_width, lower_lines
from circuitdsl.frozen import frozen
from circuitdsl.graph.ir import Circuit

#: Heights: of a soma with name and size, of a line of dendrites' names in it, of the dendrites outside it.
SOMA, NAMES, STALK = 34.0, 13.0, 16.0
#: Heights of a line of a label; of what is free above and below the tracks between two ranks; of a track.
TEXT, FREE, TRACK = 13.0, 11.0, 9.0
MARGIN = 18.0
#: How far a label at which nothing touches its rank's edge stands out of it, towards its line.
NEARER = 6.0


@frozen(kw_only=True)
class Dendrite:
    """`left` and `right`: the ends of what synapses end on; `foot`: where it leaves the soma; `middle`: of
    its name."""

    name: str
    text: str
    side: Side
    left: Point
    right: Point
    foot: Point
    middle: float


@frozen(kw_only=True)
class Geometry:
    """`boxes`: the somata; `labels`: what is written at links, with the left end of the text's first baseline; `lines`:
    each link from its source to its target; `starts`: where synapses from `bias` begin."""

    net: Network
    width: float
    height: float
    boxes: Mapping[str, Rect]
    dendrites: Mapping[str, Dendrite]
    labels: Mapping[str, Rect]
    lines: Mapping[str, tuple[Point, ...]]
    starts: Mapping[str, Point]


def geometry(circuit: Circuit, net: Network) -> Geometry:
    """Places for everything in a network."""
    stream = streams(circuit, net)
    row = rows(net, stream)
    direct = _direct(net, row, ordered(ranks(net, row, net.links), stream))
    while True:
        pieces = ranks(net, row, tuple(k for k in net.links if k not in direct))
        order = ordered(pieces, stream)
        still = [k for k in direct if _are_neighbours(k, row, order)]
        if still == direct:
            return _Builder(net, pieces, order, places(net, pieces, order, direct), direct).built()
        direct = still


def _direct(net: Network, row: Mapping[str, int], order: Order) -> list[Link]:
    """The wires between neighbours of a row: they run straight from box to box."""
    return [k for k in net.links if k.dendrite is None and _are_neighbours(k, row, order)]


def _are_neighbours(link: Link, row: Mapping[str, int], order: Order) -> bool:
    if link.source is None or row[link.source] != row[link.target]:
        return False
    keys = order[2 * row[link.source]]
    return abs(keys.index(link.source) - keys.index(link.target)) == 1


@frozen
class _Builder:
    """Adds the heights to the places."""

    net: Network
    ranks: Ranks
    order: Order
    places: Places
    direct: list[Link]

    def built(self) -> Geometry:
        tops, heights, channels = self._bands()
        boxes = {name: self._box(node, tops, heights) for name, node in self.net.nodes.items()}
        dendrites = {d.name: d for node in self.net.nodes.values() for d in self._dendrites(node, boxes[node.name])}
        lines = {k.name: self._line(k, boxes, dendrites, tops, heights, channels) for k in self._routed()}
        lines.update(self._straight(boxes))
        labels = {k.name: r for k in self._routed() if (r := self._label(k, tops, heights)) is not None}
        starts = {k.name: lines[k.name][0] for k in self._routed() if k.source is None}
        return _framed(self.net, boxes, dendrites, labels, lines, starts)

    def _routed(self) -> Iterator[Link]:
        return (k for k in self.net.links if k.name in self.ranks.ways)

    # -------------------------------------------------------- heights

    def _bands(self) -> tuple[dict[int, float], dict[int, float], dict[Segment, float]]:
        """Top and height of each rank, and, for each segment that is not straight, the height of its
        track; y grows downwards."""
        tops: dict[int, float] = {}
        heights = {rank: self._height(rank) for rank in self.order}
        channels: dict[Segment, float] = {}
        y = 0.0
        for rank in sorted(self.order, reverse=True):
            tops[rank] = y
            y += heights[rank]
            segments = self.ranks.segments.get(rank - 1, [])
            stretches = self._stretches(segments)
            found, count = tracks(list(stretches.values()))
            depth = 2 * FREE + TRACK * max(0, count - 1) if segments else 0.0
            channels |= {key: y + depth - FREE - TRACK * track for key, track in zip(stretches, found, strict=True)}
            y += depth
        return tops, heights, channels

    def _stretches(self, segments: Sequence[Segment]) -> dict[Segment, Stretch]:
        """What runs along a track between two ranks. A link that turns back without touching its piece is one stretch,
        known by the first of its two segments."""
        found: dict[Segment, Stretch] = {}
        turning: dict[str, tuple[Segment, Port]] = {}
        for s in segments:
            flat = next((p.piece for p in (s.low, s.high) if p.piece in self.places.flat), None)
            if flat is None:
                low, high = self.places.at(s.low), self.places.at(s.high)
                if abs(low - high) >= 0.5:
                    found[s] = Stretch((low,), (high,))
            elif flat not in turning:
                turning[flat] = (s, s.low if flat == s.high.piece else s.high)
            else:
                first, port = turning[flat]
                ends = (self.places.at(port), self.places.at(s.low if flat == s.high.piece else s.high))
                found[first] = Stretch(ends, ()) if flat == s.high.piece else Stretch((), ends)
        return found

    def _height(self, rank: int) -> float:
        pieces = [self.ranks.pieces[key] for key in self.order[rank]]
        if any(p.kind == "box" for p in pieces):
            zones = [self._zones(p.key) for p in pieces if p.kind == "box"]
            return SOMA + 2 * max(max(top, bottom) for top, bottom in zones)
        texts = [1 + len(lower_lines(p.link)) for p in pieces if p.link and p.link.lines and p.kind != "pass"]
        return max(texts, default=0) * TEXT + (12.0 if texts else 0.0)

    def _zones(self, name: str) -> tuple[float, float]:
        """How far a box with its dendrites reaches beyond the middle part of its soma."""
        has = [any(i.dendrite for i in self.places.items[name, side]) for side in ("top", "bottom")]
        return (NAMES + STALK) * has[0], (NAMES + STALK) * has[1]

    # -------------------------------------------------------- populations

    def _box(self, node: Node, tops: Mapping[int, float], heights: Mapping[int, float]) -> Rect:
        rank = self.ranks.pieces[node.name].rank
        above, below = (NAMES if zone else 0.0 for zone in self._zones(node.name))
        middle = tops[rank] + heights[rank] / 2
        wide = self.places.widths[node.name]
        return Rect(
            x=self.places.x[node.name] - wide / 2,
            y=middle - SOMA / 2 - above,
            width=wide,
            height=SOMA + above + below,
        )

    def _dendrites(self, node: Node, box: Rect) -> Iterator[Dendrite]:
        names = dict(node.dendrites)
        for side in ("top", "bottom"):
            for item in self.places.items[node.name, side]:
                if item.dendrite is not None:
                    x = self.places.x[node.name] + item.port
                    half = LINE * max(0, len(item.links) - 1) / 2
                    foot, end = (
                        (box.y, box.y - STALK + 4)
                        if side == "top"
                        else (box.y + box.height, box.y + box.height + STALK - 4)
                    )
                    yield Dendrite(
                        name=item.dendrite,
                        text=names[item.dendrite],
                        side=side,
                        left=(x - half, end),
                        right=(x + half, end),
                        foot=(x, foot),
                        middle=self.places.x[node.name] + item.x,
                    )

    # -------------------------------------------------------- links

    def _line(
        self, link: Link, boxes: Mapping[str, Rect], dendrites: Mapping[str, Dendrite],
        tops: Mapping[int, float], heights: Mapping[int, float], channels: Mapping[Segment, float],
    ) -> tuple[Point, ...]:  # fmt: skip
        points: list[Point] = []
        steps = self.ranks.steps[link.name]
        turn = self.ranks.ways[link.name][-2] in self.places.flat
        for segment, up in steps[:-2] if turn else steps:
            points += self._stretch(segment, up, tops, heights, channels)
        if turn:
            points += self._flat(steps[-2], steps[-1], tops, heights, channels)
        if link.source is not None:
            box, (x, y) = boxes[link.source], points[0]
            points[0] = (x, box.y if y < box.y + box.height / 2 else box.y + box.height)
        x, y = points[-1]
        if link.dendrite is not None:
            dendrite = dendrites[link.dendrite]
            points[-1] = (x, dendrite.left[1] + (-3.5 if dendrite.side == "top" else 3.5))
        else:
            box = boxes[link.target]
            points[-1] = (x, box.y if y < box.y + box.height / 2 else box.y + box.height)
        return _plain(points)

    def _stretch(
        self, segment: Segment, up: bool,
        tops: Mapping[int, float], heights: Mapping[int, float], channels: Mapping[Segment, float],
    ) -> list[Point]:  # fmt: skip
        """A segment, from the edge of one rank to that of the next."""
        low, high = self.places.at(segment.low), self.places.at(segment.high)
        points = [
            (low, self._edge(segment.low.piece, tops, heights, up=True)),
            (high, self._edge(segment.high.piece, tops, heights, up=False)),
        ]
        if segment in channels:
            points[1:1] = [(low, channels[segment]), (high, channels[segment])]
        return points if up else points[::-1]

    def _flat(
        self, there: tuple[Segment, bool], back: tuple[Segment, bool],
        tops: Mapping[int, float], heights: Mapping[int, float], channels: Mapping[Segment, float],
    ) -> list[Point]:  # fmt: skip
        """Two segments as one stretch, from the piece before the one at which the link turns to the one after it."""
        track = next(channels[s] for s, _ in (there, back) if s in channels)
        (first, up), (second, _) = there, back
        start, end = (first.low, second.low) if up else (first.high, second.high)
        edge = self._edge(start.piece, tops, heights, up=up)
        a, b = self.places.at(start), self.places.at(end)
        return [(a, edge), (a, track), (b, track), (b, self._edge(end.piece, tops, heights, up=up))]

    def _edge(self, piece: str, tops: Mapping[int, float], heights: Mapping[int, float], *, up: bool) -> float:
        """Where lines enter a piece: at the edge of its rank; those that turn back, a little inside it."""
        rank, kind = self.ranks.pieces[piece].rank, self.ranks.pieces[piece].kind
        inside = 2.0 if kind in ("over", "under") else 0.0
        return tops[rank] + inside if up else tops[rank] + heights[rank] - inside

    def _straight(self, boxes: Mapping[str, Rect]) -> Iterator[tuple[str, tuple[Point, ...]]]:
        """Wires from box to box."""
        seen: dict[frozenset[str | None], int] = {}
        for link in self.direct:
            assert link.source is not None
            a, b = boxes[link.source], boxes[link.target]
            pair = frozenset((link.source, link.target))
            y = max(a.y, b.y) + min(a.height, b.height) / 2 + 10 * seen.get(pair, 0)
            seen[pair] = seen.get(pair, 0) + 1
            yield link.name, ((a.x + a.width, y), (b.x, y)) if a.x < b.x else ((a.x, y), (b.x + b.width, y))

    def _label(self, link: Link, tops: Mapping[int, float], heights: Mapping[int, float]) -> Rect | None:
        if not link.lines:
            return None
        key = self.ranks.ways[link.name][-2]
        piece = self.ranks.pieces[key]
        wide, high = label_width(link), TEXT * (1 + len(lower_lines(link)))
        left = self.places.x[key] - self.places.widths[key] / 2
        near = -NEARER if key in self.places.flat else 7.0
        top, room = tops[piece.rank], heights[piece.rank]
        match piece.kind:
            case "over":
                return Rect(x=self.places.x[key] - wide / 2, y=top + room - near - high, width=wide, height=high)
            case "under":
                return Rect(x=self.places.x[key] - wide / 2, y=top + near, width=wide, height=high)
            case _:
                return Rect(x=left + LINE, y=top + (room - high) / 2, width=wide, height=high)


def _plain(points: list[Point]) -> tuple[Point, ...]:
    """Without points that lie on the way between their neighbours."""
    found: list[Point] = []
    for point in points:
        if found and abs(found[-1][0] - point[0]) + abs(found[-1][1] - point[1]) < 0.05:
            continue
        while len(found) > 1 and _in_line(found[-2], found[-1], point):
            found.pop()
        found.append(point)
    return tuple(found)


def _in_line(a: Point, b: Point, c: Point) -> bool:
    return abs((b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])) < 0.01


def _framed(
    net: Network, boxes: Mapping[str, Rect], dendrites: Mapping[str, Dendrite], labels: Mapping[str, Rect],
    lines: Mapping[str, tuple[Point, ...]], starts: Mapping[str, Point],
) -> Geometry:  # fmt: skip
    """The same with the upper left corner at the margin."""
    points = [p for line in lines.values() for p in line] + [p for d in dendrites.values() for p in (d.left, d.right)]
    rects = [*boxes.values(), *labels.values()]
    left = min([r.x for r in rects] + [x for x, _ in points], default=0.0) - MARGIN
    top = min([r.y for r in rects] + [y for _, y in points], default=0.0) - MARGIN
    right = max([r.x + r.width for r in rects] + [x for x, _ in points], default=0.0) + MARGIN
    bottom = max([r.y + r.height for r in rects] + [y for _, y in points], default=0.0) + MARGIN

    def moved(p: Point) -> Point:
        return p[0] - left, p[1] - top

    def shifted(r: Rect) -> Rect:
        return replace(r, x=r.x - left, y=r.y - top)

    return Geometry(
        net=net,
        width=right - left,
        height=bottom - top,
        boxes={name: shifted(r) for name, r in boxes.items()},
        dendrites={
            name: replace(d, left=moved(d.left), right=moved(d.right), foot=moved(d.foot), middle=d.middle - left)
            for name, d in dendrites.items()
        },
        labels={name: shifted(r) for name, r in labels.items()},
        lines={name: tuple(map(moved, line)) for name, line in lines.items()},
        starts={name: moved(p) for name, p in starts.items()},
    )
