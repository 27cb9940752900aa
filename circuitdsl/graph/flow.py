"""Who influences whom: orders, loops and paths of the circuit graph. networkx stays in this file.

It takes 0.1 s to import, which `check` cannot spare, so what every check needs (an order, what can be
reached) comes from the standard library; networkx finds loops and paths for messages, and layouts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from circuitdsl.graph import ir

if TYPE_CHECKING:
    import networkx

#: Who each value reads: an edge from every member of the set to the key.
Sources = Mapping[str, set[str]]


def instant_reads(value: ir.Value) -> Iterator[ir.Read]:
    """What a value reads at the same tick, states included (their updates are not instant)."""
    if value.expr is not None:
        yield from (r for r in ir.reads(value.expr) if r.when is ir.When.NOW)
    yield from (c.source for c in value.currents if c.source.when is ir.When.NOW)


def tick_sources(values: Mapping[str, ir.Value]) -> Sources:
    """Who reads whom within a tick, among the given values."""
    return {name: {r.value for r in instant_reads(v) if r.value in values} for name, v in values.items()}


def tick_order(sources: Sources) -> tuple[str, ...] | None:
    """Every value after what it reads, otherwise in the order given; None if there is a loop."""
    rank = {name: i for i, name in enumerate(sources)}
    sorter = TopologicalSorter(sources)
    try:
        sorter.prepare()
    except CycleError:
        return None
    import heapq

    order: list[str] = []
    ready: list[int] = []
    names = list(sources)
    while sorter.is_active():
        for name in sorter.get_ready():
            heapq.heappush(ready, rank[name])
        name = names[heapq.heappop(ready)]
        order.append(name)
        sorter.done(name)
    return tuple(order)


def loops(sources: Sources) -> Iterator[list[str]]:
    """One loop for each group of values that depend on each other, from its first value on."""
    import networkx as nx

    rank = {name: i for i, name in enumerate(sources)}
    graph = _graph(sources)
    for component in nx.strongly_connected_components(graph):
        if len(component) > 1 or any(graph.has_edge(n, n) for n in component):
            cycle = [a for a, _ in nx.find_cycle(graph.subgraph(component))]
            start = min(range(len(cycle)), key=lambda i: rank[cycle[i]])
            yield cycle[start:] + cycle[:start]


def reached_from(sources: Sources, starts: Iterable[str]) -> set[str]:
    """Everything that the starting values influence, themselves included."""
    readers: dict[str, list[str]] = {}
    for name, read in sources.items():
        for each in read:
            readers.setdefault(each, []).append(name)
    reached = set(starts)
    waiting = list(reached)
    while waiting:
        new = [name for name in readers.get(waiting.pop(), ()) if name not in reached]
        reached.update(new)
        waiting += new
    return reached


def path(sources: Sources, start: str, end: str) -> list[str]:
    """A shortest way on which `start` influences `end`; there must be one."""
    import networkx as nx

    return list(nx.shortest_path(_graph(sources), start, end))


def all_sources(circuit: ir.Circuit) -> Sources:
    """Who influences whom over any number of ticks through rates, states and `prev` (not by learning)."""
    sources: dict[str, set[str]] = {name: set() for name in circuit.values}
    for value in circuit.values.values():
        for expr in (value.expr, value.update):
            if expr is not None:
                sources[value.name] |= {r.value for r in ir.reads(expr)}
        sources[value.name] |= {c.source.value for c in value.currents}
    return sources


def flow_graph(circuit: ir.Circuit) -> networkx.DiGraph[str]:
    """`all_sources` as a graph: an edge from each value to its readers."""
    return _graph(all_sources(circuit))


def _graph(sources: Sources) -> networkx.DiGraph[str]:
    import networkx as nx

    graph: networkx.DiGraph[str] = nx.DiGraph()
    for name, read in sources.items():
        graph.add_node(name)
        graph.add_edges_from((r, name) for r in read)
    return graph
