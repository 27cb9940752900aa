"""Where links meet a box: each as near as may be to where it comes from, dendrites as one."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from circuitdsl.draw.network import Node
from circuitdsl.draw.ranks import End, Port
from circuitdsl.draw.sizes import LINE, Item, Joined, Places
from circuitdsl.draw.spacing import spaced

#: What is free at the corners of a box.
_CORNER = 4.0
#: How much more an item stays that is not to move.
_STIFF = 1e6


def settle(node: Node, joined: Joined, found: Places, firm: frozenset[Port] = frozenset()) -> None:
    """Moves the items of a box along its sides; `firm`: ports that had better stay where they are, and in their
    order."""
    centre = found.x[node.name]
    source = {(own.link, own.end): found.at(other) - centre for own, other, _ in joined[node.name]}
    for side in ("top", "bottom"):
        items = found.items[node.name, side]
        if not firm:
            _sort(items, source)
        stays = [any(Port(node.name, link, item.end) in firm for link in item.links) for item in items]
        _place(items, found.widths[node.name] / 2 - _CORNER, source, stays)
        for item in items:
            for n, link in enumerate(item.links):
                found.offset[Port(node.name, link, item.end)] = item.port + LINE * (n - (len(item.links) - 1) / 2)


def _place(items: list[Item], half: float, source: Mapping[tuple[str, End], float], stays: list[bool]) -> None:
    """Items within `half` of the centre of a side; the ports of a dendrite anywhere along its name."""
    wanted = [i.x if stay else _mean(i, source) for i, stay in zip(items, stays, strict=True)]
    gaps = [(a.width + b.width) / 2 for a, b in pairwise(items)]
    places = spaced(wanted, [_STIFF if stay else 1.0 for stay in stays], gaps)
    before, behind = 0.0, sum(item.width for item in items)
    for item, x, stay in zip(items, places, stays, strict=True):
        item.x = min(max(x, before + item.width / 2 - half), half - behind + item.width / 2)
        before, behind = before + item.width, behind - item.width
        room = (item.width - LINE * max(1, len(item.links))) / 2
        port = item.port if stay else _mean(item, source)
        item.port = min(max(port, item.x - room), item.x + room)


def _sort(items: list[Item], source: Mapping[tuple[str, End], float]) -> None:
    """Items, and what ends at one of them, from left to right as the links come."""
    for item in items:
        item.links.sort(key=lambda link: (source[link, item.end], link))
    items.sort(key=lambda i: (_mean(i, source), i.dendrite or "", i.links))


def _mean(item: Item, source: Mapping[tuple[str, End], float]) -> float:
    return sum(source[link, item.end] for link in item.links) / len(item.links) if item.links else 0.0
