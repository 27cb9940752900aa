"""Who influences whom: orders, loops and paths of the circuit graph. networkx stays in this file.

It takes 0.1 s to import, which `check` cannot spare, so what every check needs (an order, what can be
reached) comes from the standard library; networkx finds loops and paths for messages, and layouts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    """Every value after what it reads, otherwise in the order of names, which the order of the text does not change;
    None if there is a loop."""
    sorter = TopologicalSorter(sources)
    try:
        sorter.prepare()
    except CycleError:
        return None
    import heapq

    order: list[str] = []
    ready: list[str] = []
    while sorter.is_active():
        for name in sorter.get_ready():
            heapq.heappush(ready, name)
        name = heapq.heappop(ready)
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


def components(graph: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The strongly connected components of a graph (each node with its successors), each sorted, those that others
    lead to first (Tarjan 1972; without recursion)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []
    closed: set[str] = set()
    for root in graph:
        work = [] if root in number else [(root, iter(graph[root]))]
        while work:
            node, rest = work[-1]
            if node not in number:
                number[node] = low[node] = len(number)
                stack.append(node)
            for other in rest:
                if other not in number:
                    work.append((other, iter(graph.get(other, ()))))
                    break
                if other not in closed:
                    low[node] = min(low[node], number[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == number[node]:
                    component = stack[stack.index(node) :]
                    del stack[-len(component) :]
                    closed |= set(component)
                    found.append(sorted(component))
    return found


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
