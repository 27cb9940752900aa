"""The rows of a drawing, and which stream each population belongs to.

What leads from the input to the loss ascends at the left, each population a row above all that drive it; what brings
signals back descends beside it; targets and modulators stand at the right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from circuitdsl.draw.network import Network, Node
from circuitdsl.graph.flow import all_sources
from circuitdsl.graph.ir import Circuit, reads

Edge = tuple[str, str]


def streams(circuit: Circuit, net: Network) -> dict[str, int]:
    """0: it ascends, 1: it descends, 2: a target, 3: a modulator."""
    used = _behind_loss(circuit)

    def stream(node: Node) -> int:
        match node.kind:
            case "target":
                return 2
            case "modulator":
                return 3
            case "input" | "neuron":
                return 0 if not used or node.name in used else 1

    return {name: stream(node) for name, node in net.nodes.items()}


def _behind_loss(circuit: Circuit) -> frozenset[str]:
    """The values from which the loss can be reached within an example; none without a loss."""
    if circuit.loss is None:
        return frozenset()
    sources = all_sources(circuit)
    seen: set[str] = set()
    waiting = [r.value for r in reads(circuit.loss.expr)]
    while waiting:
        value = waiting.pop()
        if value not in seen:
            seen.add(value)
            waiting += sorted(sources.get(value, ()))
    return frozenset(seen)


def rows(net: Network, stream: Mapping[str, int]) -> dict[str, int]:
    """The row of each node, from 0 at the bottom."""
    edges = [(link.source, link.target) for link in net.links if link.source is not None and link.kind != "pair"]
    up = [name for name, node in net.nodes.items() if stream[name] == 0 and node.kind == "input"]
    up += [name for name in net.nodes if stream[name] == 0 and name not in up]
    found = _longest(up, [(a, b) for a, b in edges if stream[a] == stream[b] == 0 and a != b])
    waiting = [name for name in net.nodes if name not in found]
    while waiting:
        known = [(name, row) for name in waiting if (row := _beside(name, edges, net, found)) is not None]
        found.update(known or [(waiting[0], max(found.values(), default=0))])
        waiting = [name for name in waiting if name not in found]
    return _packed(found)


def _longest(names: list[str], edges: list[Edge]) -> dict[str, int]:
    """The longest way to each node; an edge that closes a loop does not count."""
    after: dict[str, list[str]] = {n: [] for n in names}
    for a, b in dict.fromkeys(edges):
        after[a].append(b)
    order, forward = _depth_first(names, after)
    found = dict.fromkeys(names, 0)
    for node in reversed(order):
        for follower in after[node]:
            if (node, follower) in forward:
                found[follower] = max(found[follower], found[node] + 1)
    return found


def _depth_first(names: Iterable[str], after: Mapping[str, list[str]]) -> tuple[list[str], set[Edge]]:
    """The nodes in the order in which a search leaves them, and the edges that close no loop."""
    order: list[str] = []
    opened: set[str] = set()
    left: set[str] = set()
    forward: set[Edge] = set()
    for name in names:
        work = [] if name in opened else [(name, iter(after[name]))]
        opened.add(name)
        while work:
            node, rest = work[-1]
            follower = next(rest, None)
            if follower is None:
                left.add(node)
                order.append(node)
                work.pop()
            elif follower not in opened:
                forward.add((node, follower))
                opened.add(follower)
                work.append((follower, iter(after[follower])))
            elif follower in left:
                forward.add((node, follower))
    return order, forward


def _beside(name: str, edges: list[Edge], net: Network, known: Mapping[str, int]) -> int | None:
    """The row of a node that does not ascend: that of the highest that it is wired with, else of the highest that it
    projects to, else of the highest that projects to it; None if no row of these is known."""
    wires = [(k.source, k.target) for k in net.links if k.kind in ("wire", "pair") and name in (k.source, k.target)]
    wired = [other for pair in wires for other in pair if other not in (name, None)]
    groups = (wired, [b for a, b in edges if a == name], [a for a, b in edges if b == name])
    for group in groups:
        heights = [known[other] for other in group if other in known]
        if heights:
            return max(heights)
    return None


def _packed(found: Mapping[str, int]) -> dict[str, int]:
    """Rows without a gap between them."""
    number = {row: i for i, row in enumerate(sorted(set(found.values())))}
    return {name: number[row] for name, row in found.items()}
