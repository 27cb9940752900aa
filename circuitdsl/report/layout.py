"""Where the populations of a circuit stand in its drawing.

What leads from the input to the loss ascends on the left; what brings signals back descends on the
right, each population beside the one that it is wired to; the targets stand at the far right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import atan2, degrees

from circuitdsl.graph.flow import flow_graph
from circuitdsl.graph.ir import Circuit, Kind, Population, reads

Edge = tuple[str, str]
Point = tuple[float, float]

#: The distance between populations that stand side by side; rows are 1 apart.
COLUMN = 1.35


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """`places`: the centre of each population, levels one unit apart. `angles`: the direction, in
    degrees, in which each dendrite leaves its soma."""

    places: Mapping[str, Point]
    angles: Mapping[str, float]


def arrange(circuit: Circuit) -> Layout:
    """A place for every population and a direction for every dendrite."""
    shown = [p for p in circuit.populations.values() if p.kind is not Kind.BIAS or _sends(circuit, p.name)]
    ascending = _ascending(circuit)
    rows = _rows(circuit, shown, ascending)
    columns = {p.name: _column(p, ascending) for p in shown}
    places = _spread(rows, columns)
    return Layout(places=places, angles=_angles(circuit, places))


def to_loss(circuit: Circuit) -> frozenset[str]:
    """The values from which the loss can be reached within an example (not through learning)."""
    if circuit.loss is None:
        return frozenset()
    graph = flow_graph(circuit)
    seen: set[str] = set()
    waiting = [r.value for r in reads(circuit.loss.expr)]
    while waiting:
        value = waiting.pop()
        if value not in seen:
            seen.add(value)
            waiting += graph.predecessors(value) if value in graph else ()
    return frozenset(seen)


def _sends(circuit: Circuit, population: str) -> bool:
    return any(s.pre == population for s in circuit.synapses.values())


def _ascending(circuit: Circuit) -> frozenset[str]:
    """Populations whose rate or state the loss depends on; without a loss, all of them."""
    used = to_loss(circuit)
    if not used:
        return frozenset(circuit.populations)
    return frozenset(p for p in circuit.populations if p in used)


def _edges(circuit: Circuit) -> Iterable[Edge]:
    """Who sends to whom: synapses and wires."""
    yield from ((s.pre, s.post) for s in circuit.synapses.values())
    for wire in circuit.wires:
        source = circuit.values[wire.value].population
        if source is not None and source in circuit.populations:
            yield source, wire.population


def _rows(circuit: Circuit, shown: list[Population], ascending: frozenset[str]) -> dict[str, int]:
    """Ascending populations by the longest way from an input, the others beside their partners."""
    up = [p.name for p in shown if p.name in ascending and p.kind is not Kind.TARGET]
    edges = [(a, b) for a, b in _edges(circuit) if a in up and b in up and a != b]
    rows = _longest(up, edges)
    for population in shown:
        if population.name not in rows:
            rows[population.name] = _beside(circuit, population, rows)
    return rows


def _longest(names: list[str], edges: list[Edge]) -> dict[str, int]:
    """The longest way to each node; an edge that closes a loop does not count."""
    after: dict[str, list[str]] = {n: [b for a, b in edges if a == n] for n in names}
    order: list[str] = []
    state: dict[str, str] = {}
    forward: list[Edge] = []

    def visit(node: str) -> None:
        state[node] = "open"
        for follower in after[node]:
            if state.get(follower) != "open":
                forward.append((node, follower))
            if follower not in state:
                visit(follower)
        state[node] = "done"
        order.append(node)

    for name in names:
        if name not in state:
            visit(name)
    rows = dict.fromkeys(names, 0)
    for node in reversed(order):
        for a, b in forward:
            if a == node:
                rows[b] = max(rows[b], rows[a] + 1)
    return rows


def _beside(circuit: Circuit, population: Population, rows: Mapping[str, int]) -> int:
    """The row of a population that does not ascend: the highest that it is wired with, else that of
    its synaptic neighbours, else the top."""
    name = population.name
    wired = [
        other
        for wire in circuit.wires
        for other in (wire.population, circuit.values[wire.value].population)
        if other is not None and name in (wire.population, circuit.values[wire.value].population)
    ]
    joined = [o for s in circuit.synapses.values() for o in (s.pre, s.post) if name in (s.pre, s.post)]
    for group in (wired, joined):
        known = [rows[o] for o in group if o in rows]
        if known:
            return max(known)
    return max(rows.values(), default=0)


def _column(population: Population, ascending: frozenset[str]) -> int:
    if population.kind is Kind.TARGET:
        return 2
    return 0 if population.name in ascending else 1


def _spread(rows: Mapping[str, int], columns: Mapping[str, int]) -> dict[str, Point]:
    """Populations that share a row and a column stand side by side."""
    places: dict[str, Point] = {}
    cells: dict[tuple[int, int], list[str]] = {}
    for name, row in rows.items():
        cells.setdefault((row, columns[name]), []).append(name)
    width = [max((len(v) for (_, c), v in cells.items() if c == column), default=1) for column in range(3)]
    left = [0.0, COLUMN * width[0], COLUMN * (width[0] + width[1])]
    for (row, column), names in cells.items():
        for i, name in enumerate(names):
            shift = COLUMN * (i + (width[column] - len(names)) / 2)
            places[name] = (left[column] + shift, float(row))
    return places


def _angles(circuit: Circuit, places: Mapping[str, Point]) -> dict[str, float]:
    """Each dendrite points to where its input comes from, at least 45 degrees from the next one."""
    angles: dict[str, float] = {}
    for population in circuit.populations.values():
        if population.name not in places:
            continue
        wanted = [(_toward(circuit, d, places), d) for d in population.dendrites]
        taken: list[float] = []
        for angle, dendrite in wanted:
            free = min(
                (angle + turn for turn in (0, 50, -50, 100, -100, 150, -150, 180)),
                key=lambda a: (any(_apart(a, t) < 45 for t in taken), _apart(a, angle)),
            )
            taken.append(free)
            angles[dendrite] = free % 360
    return angles


def _apart(a: float, b: float) -> float:
    return abs((a - b + 180) % 360 - 180)


def _toward(circuit: Circuit, dendrite: str, places: Mapping[str, Point]) -> float:
    """The direction of the mean of the presynaptic populations; down if there are none. Turned a
    little where two populations project to each other, so that the two ways do not coincide."""
    synapses = circuit.into(dendrite)
    others = [places[s.pre] for s in synapses if s.pre != s.post and s.pre in places]
    home = circuit.values[dendrite].population
    if not others or home is None:
        return 160.0 if synapses else 270.0
    x = sum(p[0] for p in others) / len(others) - places[home][0]
    y = sum(p[1] for p in others) / len(others) - places[home][1]
    mutual = any(s.pre == home and s.post in {t.pre for t in synapses} for s in circuit.synapses.values())
    return (degrees(atan2(y, x)) + (25 if mutual else 0)) % 360
