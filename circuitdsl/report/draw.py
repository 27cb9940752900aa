"""Draws a circuit: populations with their dendrites, synapses coloured by what they do.

The layout is in `layout.py`; this module puts it on matplotlib axes.
"""

from __future__ import annotations

from math import atan2, cos, degrees, radians, sin
from typing import TYPE_CHECKING, Literal

from circuitdsl.graph.ir import Circuit, Kind, Population, Synapse, Wire
from circuitdsl.report.layout import Layout, Point, arrange

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Role = Literal["learning", "auxiliary", "fixed"]

COLOURS: dict[Role, str] = {"learning": "#1f6fb4", "auxiliary": "#d9661f", "fixed": "#8a8a8a"}
STYLES: dict[Role, str] = {"learning": "-", "auxiliary": "-", "fixed": "--"}
WIRE, DOTS = "#555555", ":"
#: Radius of a soma and of a dendrite's end, reach of a dendrite from the centre, bend of a synapse.
SOMA, DENDRITE, REACH, BEND = 0.2, 0.03, 0.31, 0.08
FILL = {Kind.INPUT: "#eef3e6", Kind.TARGET: "#f6ecd9", Kind.BIAS: "#f0f0f0", Kind.RATE: "#ffffff"}


def roles(circuit: Circuit) -> dict[str, Role]:
    """What each synapse is to the loss, as `derive` says it."""
    from circuitdsl.twin.paths import role

    return {name: role(circuit, name) for name in circuit.synapses}


def draw(circuit: Circuit, axes: Axes, *, legend: bool = True) -> None:
    """Draws the circuit on the axes; levels from the input upwards."""
    layout = arrange(circuit)
    kinds = roles(circuit)
    for wire in circuit.wires:
        _draw_wire(axes, circuit, wire, layout)
    for pair in _declared_pairs(circuit):
        ends = [layout.places[name] for name in pair]
        axes.plot(*zip(*ends, strict=True), color=WIRE, lw=1.0, ls=DOTS, zorder=1)
    for synapse in circuit.synapses.values():
        _draw_synapse(axes, synapse, kinds[synapse.name], layout)
    for population in circuit.populations.values():
        if population.name in layout.places:
            _draw_population(axes, population, layout)
    if legend:
        _draw_legend(axes, sorted(set(kinds.values())), wires=bool(circuit.wires))
    xs, ys = zip(*layout.places.values(), strict=True)
    axes.set_xlim(min(xs) - 0.75, max(xs) + 0.6)
    axes.set_ylim(min(ys) - 0.5, max(ys) + 0.5)
    axes.set_aspect("equal")
    axes.axis("off")


def tip(population: Point, angle: float, reach: float = REACH) -> Point:
    """Where a dendrite that leaves its soma in this direction ends."""
    return population[0] + reach * cos(radians(angle)), population[1] + reach * sin(radians(angle))


def _draw_population(axes: Axes, population: Population, layout: Layout) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch

    x, y = layout.places[population.name]
    for dendrite in population.dendrites:
        angle = layout.angles[dendrite]
        end = tip((x, y), angle)
        axes.plot([x, end[0]], [y, end[1]], color="#444444", lw=2.2, zorder=2, solid_capstyle="round")
        axes.add_patch(Circle(end, DENDRITE, facecolor="#444444", edgecolor="none", zorder=4))
        label = tip((x, y), angle - 14, REACH + 0.03)
        name = dendrite.rsplit(".", 1)[1]
        side = "left" if label[0] > x + 0.05 else "right" if label[0] < x - 0.05 else "center"
        axes.text(*label, name, fontsize=6.5, color="#444444", ha=side, va="center", zorder=6)
    fill = FILL.get(population.kind, "#ffffff")
    if population.kind is Kind.RATE:
        axes.add_patch(Circle((x, y), SOMA, facecolor=fill, edgecolor="#222222", lw=1.2, zorder=5))
    else:
        box = FancyBboxPatch(
            (x - 0.17, y - 0.11),
            0.34,
            0.22,
            boxstyle="round,pad=0.03",
            facecolor=fill,
            edgecolor="#222222",
            lw=1.0,
            zorder=5,
        )
        axes.add_patch(box)
    axes.text(x, y + 0.035, population.name, fontsize=8.5, ha="center", va="center", zorder=7)
    size = f"{population.size:,}"
    axes.text(x, y - 0.075, size, fontsize=6.5, color="#666666", ha="center", va="center", zorder=7)


def _draw_synapse(axes: Axes, synapse: Synapse, role: Role, layout: Layout) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    if synapse.pre not in layout.places:
        return
    home, angle = layout.places[synapse.post], layout.angles[synapse.dendrite]
    end = tip(home, angle, REACH + DENDRITE)
    if synapse.pre == synapse.post:  # around, and in from outside
        curve = [tip(home, angle + 55, SOMA), tip(home, angle + 55, 0.75), tip(home, angle + 5, 0.75), end]
    else:
        start = _edge(layout.places[synapse.pre], end)
        dx, dy = end[0] - start[0], end[1] - start[1]
        middle = ((start[0] + end[0]) / 2 + BEND * dy, (start[1] + end[1]) / 2 - BEND * dx)
        curve = [start, middle, middle, end]
    arrow = FancyArrowPatch(
        path=Path(curve, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]),
        arrowstyle="-|>",
        mutation_scale=11,
        lw=1.7,
        color=COLOURS[role],
        ls=STYLES[role],
        zorder=3,
    )
    axes.add_patch(arrow)
    x, y = (sum(k * p[axis] for k, p in zip((1, 3, 3, 1), curve, strict=True)) / 8 for axis in (0, 1))
    axes.text(
        x,
        y,
        synapse.name.rsplit(".", 1)[-1],
        fontsize=8,
        color=COLOURS[role],
        ha="center",
        va="center",
        zorder=8,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
    )


def _edge(centre: Point, toward: Point) -> Point:
    """Where a line from the centre of a population leaves its soma."""
    return tip(centre, degrees(atan2(toward[1] - centre[1], toward[0] - centre[0])), SOMA)


def _draw_wire(axes: Axes, circuit: Circuit, wire: Wire, layout: Layout) -> None:
    from matplotlib.patches import FancyArrowPatch

    source = circuit.values[wire.value].population
    shown = source is not None and source in layout.places and wire.population in layout.places
    if source is None or not shown or source == wire.population:
        return
    a, b = layout.places[source], layout.places[wire.population]
    axes.add_patch(
        FancyArrowPatch(
            _edge(a, b),
            _edge(b, a),
            arrowstyle="-|>",
            mutation_scale=8,
            color=WIRE,
            lw=1.0,
            ls=DOTS,
            shrinkA=0,
            shrinkB=0,
            zorder=1,
        )
    )


def _declared_pairs(circuit: Circuit) -> list[list[str]]:
    """Partners that are so by a `pair` alone, not by a wire."""
    wired = {frozenset((w.population, circuit.values[w.value].population)) for w in circuit.wires}
    return sorted(sorted(pair) for pair in circuit.partners if len(pair) == 2 and pair not in wired)


def _draw_legend(axes: Axes, shown: list[Role], *, wires: bool) -> None:
    from matplotlib.lines import Line2D

    words = {
        "learning": "plastic, changes the output",
        "auxiliary": "plastic, carries credit",
        "fixed": "fixed",
    }
    lines = [
        Line2D([], [], color=COLOURS[r], lw=1.7, ls=STYLES[r], label=words[r])
        for r in ("learning", "auxiliary", "fixed")
        if r in shown
    ]
    if wires:
        lines.append(Line2D([], [], color=WIRE, lw=1.0, ls=DOTS, label="wired one-to-one"))
    axes.legend(handles=lines, loc="upper center", bbox_to_anchor=(0.5, 0.0), frameon=False, fontsize=8, ncol=2)
