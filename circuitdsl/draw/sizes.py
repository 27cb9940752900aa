"""How much room boxes, labels and lines take from left to right, and what is known of their places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field

from circuitdsl.draw.network import Link, Node
from circuitdsl.draw.ranks import End, Piece, Port, Ranks, Side
from circuitdsl.draw.text import width
from circuitdsl.frozen import mutable

#: Sizes of texts, and the least distance of two lines that run side by side.
NAME, DENDRITE, LABEL, VERDICT = 13.0, 9.5, 11.0, 10.0
LINE = 14.0
#: The distance of boxes that stand side by side, with and without a wire between them, and of everything else.
BOXES, WIRED, PIECES = 24.0, 46.0, 10.0


@mutable
class Item:
    """A place on a side of a box: a dendrite with all that ends on it, or the end of one other link. `x`: its centre,
    `port`: the mean place of its links, both from the centre of the box."""

    dendrite: str | None
    width: float
    links: list[str]
    end: End
    x: float = 0.0
    port: float = 0.0


@mutable
class Places:
    """`x`: the centre of each piece; `widths` of them; `items` of each side of a box, from left to right, with their
    places from its centre; `offset`: the place of each port from the centre of its piece. `flat`: pieces at which links
    turn back without touching them: straight from one end to the other."""

    x: dict[str, float] = field(default_factory=dict)
    widths: dict[str, float] = field(default_factory=dict)
    items: dict[tuple[str, Side], list[Item]] = field(default_factory=dict)
    offset: dict[Port, float] = field(default_factory=dict)
    flat: set[str] = field(default_factory=set)

    def at(self, port: Port) -> float:
        return self.x[port.piece] + self.offset[port]


#: For each piece its own ports, each with the one that it is joined to, and what a straight line between them is worth.
Joined = Mapping[str, list[tuple[Port, Port, float]]]


def size_box(node: Node, ranks: Ranks, found: Places) -> None:
    """The items on the two sides of a box, and how wide it must be."""
    widest = max(width(node.name, NAME, bold=True), width(size_text(node), DENDRITE)) + 22
    for side in ("top", "bottom"):
        found.items[node.name, side] = items = list(_items(node, side, ranks))
        widest = max(widest, sum(item.width for item in items) + 8)
    found.widths[node.name] = widest


def size_text(node: Node) -> str:
    """What stands below the name."""
    return "modulator" if node.kind == "modulator" else f"{node.size:,}"


def _items(node: Node, side: Side, ranks: Ranks) -> Iterator[Item]:
    ends = {port: where for port, where in ranks.ends.items() if port.piece == node.name and where == side}
    onto = {s.link.name: s.link.dendrite for segments in ranks.segments.values() for s in segments}
    for dendrite, name in node.dendrites:
        if ranks.sides[dendrite] == side:
            links = [p.link for p in ends if p.end == "target" and onto[p.link] == dendrite]
            wide = max(LINE * max(1, len(links)), width(name, DENDRITE) + 10)
            yield Item(dendrite, wide, links, "target")
    for port in ends:
        if port.end == "source" or onto[port.link] is None:
            yield Item(None, LINE, [port.link], port.end)


def label_width(link: Link) -> float:
    """How wide what is written at a link is; 0 if nothing is."""
    if not link.lines:
        return 0.0
    rest = [width(line, VERDICT) for line in lower_lines(link)]
    return max([width(link.lines[0], LABEL, bold=True), *rest])


def lower_lines(link: Link) -> list[str]:
    """What stands below the first line of a label."""
    return [*link.lines[1:], *(f"◇ {name}" for name in link.modulators)]


def size_piece(piece: Piece, found: Places) -> None:
    """The width of a piece of a link, and where the link runs in it."""
    assert piece.link is not None
    text = label_width(piece.link)
    ports = [Port(piece.key, piece.link.name, end) for end in ("source", "target")]
    match piece.kind:
        case "pass":
            found.widths[piece.key], at = LINE, 0.0
        case "tag" | "start":
            found.widths[piece.key] = LINE + text + (4 if text else 0)
            at = LINE / 2 - found.widths[piece.key] / 2
        case _:
            found.widths[piece.key] = max(text + 8, 2 * LINE)
            at = found.widths[piece.key] / 2 - LINE / 2
    for port in ports:
        found.offset[port] = at
    if piece.kind in ("over", "under"):
        found.offset[ports[0]] = -at
