"""A drawing of a circuit: what is where, made visible."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import hypot
from pathlib import Path

from circuitdsl.draw.colours import Ink
from circuitdsl.draw.geometry import MARGIN, NAMES, TEXT, Geometry, geometry
from circuitdsl.draw.network import Link, LinkKind, Node, NodeKind, network
from circuitdsl.draw.picture import Group, Line, Picture, Point, Polygon, Rect, Shape, Words
from circuitdsl.draw.sizes import DENDRITE, LABEL, NAME, VERDICT, lower_lines, size_text
from circuitdsl.draw.svg import Look, svg
from circuitdsl.draw.text import width
from circuitdsl.draw.told import Told
from circuitdsl.extras import named
from circuitdsl.frozen import frozen
from circuitdsl.graph.ir import Circuit, Sign

#: How a link is drawn: colour, thickness, strokes and gaps.
STROKES: Mapping[LinkKind, tuple[Ink, float, tuple[float, float] | None]] = {
    "learning": ("learning", 2.2, None),
    "auxiliary": ("auxiliary", 1.5, None),
    "fixed": ("fixed", 1.5, (6, 4)),
    "wire": ("wire", 1.1, (1, 3.5)),
    "pair": ("wire", 1.1, (1, 3.5)),
}
FILLS: Mapping[NodeKind, Ink] = {"input": "input", "target": "target", "neuron": "body", "modulator": "ground"}
CORNER = 7.0
#: As what a drawing can be written.
FORMS = ("svg", "png", "pdf")


@frozen(kw_only=True, repr=False)
class Drawing:
    """`places`: where everything is; `picture`: what is to be seen, with title and legend.

    In a notebook it shows itself."""

    places: Geometry
    picture: Picture

    def __repr__(self) -> str:
        return f"<drawing of {self.picture.name}: {self.picture.width:.0f} x {self.picture.height:.0f} pixels>"

    def _repr_svg_(self) -> str:
        return self.svg()

    def svg(self, theme: Look = "auto") -> str:
        """The drawing as an SVG document; with "auto" dark where the reader's screen is."""
        return svg(self.picture, theme)

    def rendered(self, form: str, theme: Look = "auto") -> bytes:
        """The drawing as a file of one of `FORMS`; PNG and PDF are light unless "dark" is asked for, and need
        matplotlib. Raises ValueError for another form."""
        if form not in FORMS:
            raise ValueError(f"a drawing is written as {', '.join(FORMS)}, not as `{form}`")
        if form == "svg":
            return self.svg(theme).encode()
        from circuitdsl.draw.paint import painted

        with named():
            return painted(self.picture, form, "dark" if theme == "dark" else "light")

    def save(self, path: str | Path, theme: Look = "auto") -> Path:
        """Writes the drawing; the ending of the name says as what: .svg, .png or .pdf. Raises ValueError, OSError."""
        path = Path(path)
        path.write_bytes(self.rendered(path.suffix.removeprefix(".").lower(), theme))
        return path


def drawing(circuit: Circuit, told: Mapping[str, Told] | None = None) -> Drawing:
    """The drawing of a circuit; `told`: what is derived of its synapses, by their names."""
    places = geometry(circuit, network(circuit, told or {}))
    groups = [*map(_link(places), places.net.links), *(_node(places, n) for n in places.net.nodes.values())]
    head = _head(circuit)
    legend = list(_legend(places, told is not None))
    wide = max(places.width, width(head[0].text, NAME + 2, bold=True) + 2 * MARGIN, _widest(legend) + 2 * MARGIN)
    aside = (wide - places.width) / 2
    shown = [replace(g, shapes=tuple(_moved(s, aside, HEAD) for s in g.shapes)) for g in groups]
    rows = _flowed(legend, wide - 2 * MARGIN)
    below = HEAD + places.height
    keys = [_moved(s, MARGIN + x, below + 20 * row) for x, row, entry in rows for s in entry.shapes]
    picture = Picture(
        name=circuit.name,
        about=_about(circuit, places),
        width=wide,
        height=below + 20 * (rows[-1][1] + 1 if rows else 0) + 8,
        groups=(
            Group(about=circuit.name, shapes=tuple(head)),
            *shown,
            Group(about="legend", shapes=tuple(keys)),
        ),
    )
    return Drawing(places=places, picture=picture)


HEAD = 34.0


def _head(circuit: Circuit) -> list[Words]:
    return [Words(x=MARGIN, y=26, text=circuit.name, size=NAME + 2, ink="text", bold=True)]


def _about(circuit: Circuit, places: Geometry) -> str:
    """The drawing in words."""
    doc = (circuit.doc or "").strip().splitlines()[:1]
    size = ", ".join(f"{n.name} ({n.kind}, {n.size})" for n in places.net.nodes.values() if n.kind != "modulator")
    links = "; ".join(k.about for k in places.net.links)
    return " ".join([*doc, f"Populations: {size}.", f"Connections: {links}." if links else "No connections."])


# ---------------------------------------------------------------- populations


def _node(places: Geometry, node: Node) -> Group:
    box = places.boxes[node.name]
    shapes: list[Shape] = []
    mine = [places.dendrites[d] for d, _ in node.dendrites]
    for dendrite in mine:
        end = (dendrite.foot[0], dendrite.left[1])
        shapes.append(Line(points=(dendrite.foot, end), stroke="text", thick=4))
        a, b = dendrite.left, dendrite.right
        shapes.append(Line(points=((a[0] - 3, a[1]), (b[0] + 3, b[1])), stroke="text", thick=4))
    radius = {"neuron": min(16.0, box.height / 2), "modulator": box.height / 2}.get(node.kind, 3.0)
    edge: Ink = "modulator" if node.kind == "modulator" else "text"
    shapes.append(replace(box, radius=radius, fill=FILLS[node.kind], stroke=edge))
    for dendrite in mine:
        y = box.y + NAMES if dendrite.side == "top" else box.y + box.height - 5
        shapes.append(Words(x=dendrite.middle, y=y, text=dendrite.text, size=DENDRITE, ink="faint", anchor="middle"))
    x, y = box.x + box.width / 2, box.y + 15 + NAMES * any(d.side == "top" for d in mine)
    shapes.append(Words(x=x, y=y, text=node.name, size=NAME, ink="text", anchor="middle", bold=True))
    shapes.append(Words(x=x, y=y + 13, text=size_text(node), size=DENDRITE, ink="faint", anchor="middle"))
    doc = f": {node.doc.strip().splitlines()[0]}" if node.doc and node.doc.strip() else ""
    units = "a modulator" if node.kind == "modulator" else f"{node.kind}, {node.size:,} units"
    return Group(about=f"{node.name}, {units}{doc}", shapes=tuple(shapes))


# ---------------------------------------------------------------- links


def _link(places: Geometry) -> Callable[[Link], Group]:
    def shapes(link: Link) -> Group:
        ink, thick, dash = STROKES[link.kind]
        line = places.lines[link.name]
        drawn: list[Shape] = [Line(points=_shortened(line, link), stroke=ink, thick=thick, dash=dash, radius=CORNER)]
        drawn += _head_of(link, line[-2], line[-1])
        if link.source is None:
            x, y = places.starts[link.name]
            drawn.append(Rect(x=x - 4, y=y - 4, width=8, height=8, radius=4, fill="ground", stroke=ink, thick=1.5))
        return Group(about=link.about, shapes=(*drawn, *_label(places, link, ink)))

    return shapes


def _label(places: Geometry, link: Link, ink: Ink) -> Iterator[Shape]:
    if link.name not in places.labels:
        return
    place = places.labels[link.name]
    for n, text in enumerate([link.lines[0], *lower_lines(link)]):
        lower: Ink = "modulator" if text.startswith("◇") else "text"
        yield Words(
            x=place.x,
            y=place.y + TEXT * n + 10,
            text=text,
            size=VERDICT if n else LABEL,
            ink=lower if n else ink,
            bold=n == 0,
        )


def _shortened(line: tuple[Point, ...], link: Link) -> tuple[Point, ...]:
    """The line without what its head covers."""
    if link.kind == "pair" or link.sign is Sign.INHIBITORY:
        return line
    (x, y), (u, v) = line[-2:]
    length = hypot(u - x, v - y)
    return (*line[:-1], (u - (u - x) / length * 4, v - (v - y) / length * 4))


def _head_of(link: Link, before: Point, end: Point) -> list[Shape]:
    """What a link ends with: a full head if it excites, a bar if it inhibits, an open one if its signs are free."""
    if link.kind == "pair":
        return []
    ink, thick, _ = STROKES[link.kind]
    (x, y), length = end, hypot(end[0] - before[0], end[1] - before[1])
    dx, dy = (end[0] - before[0]) / length, (end[1] - before[1]) / length
    long, half = (6.0, 3.0) if link.kind == "wire" else (8.5, 4.5)
    left = (x - long * dx - half * dy, y - long * dy + half * dx)
    right = (x - long * dx + half * dy, y - long * dy - half * dx)
    if link.sign is Sign.INHIBITORY:
        return [Line(points=((x - 5 * dy, y + 5 * dx), (x + 5 * dy, y - 5 * dx)), stroke=ink, thick=2.6)]
    if link.sign is Sign.EXCITATORY or link.kind == "wire":
        return [Polygon(points=(end, left, right), fill=ink)]
    return [Line(points=(left, end, right), stroke=ink, thick=max(1.6, thick - 0.4))]


# ---------------------------------------------------------------- legend


@frozen
class _Entry:
    wide: float
    shapes: tuple[Shape, ...]


def _legend(places: Geometry, told: bool) -> Iterator[_Entry]:
    """What occurs in the drawing and is not plain from its words."""
    links = places.net.links
    words: dict[LinkKind, str] = {
        "learning": "plastic, the loss depends on it" if told else "plastic",
        "auxiliary": "plastic, carries credit",
        "fixed": "fixed",
        "wire": "wired one to one",
    }
    for kind, text in words.items():
        if any(k.kind == kind for k in links):
            ink, thick, dash = STROKES[kind]
            yield _entry(text, [Line(points=((0, 10), (24, 10)), stroke=ink, thick=thick, dash=dash)])
    signs = {k.sign for k in links if k.dendrite is not None}
    if signs - {Sign.FREE}:
        for sign, text in ((Sign.EXCITATORY, "excites"), (Sign.INHIBITORY, "inhibits"), (Sign.FREE, "either sign")):
            if sign in signs:
                sample = Link(name="", kind="learning", source="", target="", dendrite="", sign=sign)
                head = [_inked(s) for s in _head_of(sample, (0, 10), (22, 10))]
                yield _entry(text, [Line(points=((6, 10), (20, 10)), stroke="text", thick=1.5), *head])
    if any(k.source is None for k in links):
        yield _entry("bias", [Rect(x=8, y=6, width=8, height=8, radius=4, fill="ground", stroke="text", thick=1.5)])
    if any(k.modulators for k in links):
        yield _entry("its rule reads a modulator", [Words(x=7, y=14, text="◇", size=VERDICT, ink="modulator")])


def _inked(shape: Shape) -> Shape:
    match shape:
        case Line():
            return replace(shape, stroke="text")
        case Polygon():
            return replace(shape, fill="text")
        case _:
            return shape


def _entry(text: str, sample: Sequence[Shape]) -> _Entry:
    words = Words(x=30, y=13.5, text=text, size=DENDRITE + 0.5, ink="faint")
    return _Entry(30 + width(text, words.size) + 18, (*sample, words))


def _widest(entries: list[_Entry]) -> float:
    return max((e.wide for e in entries), default=0.0)


def _flowed(entries: list[_Entry], room: float) -> list[tuple[float, int, _Entry]]:
    """Each entry with its place in its row, and the row."""
    found = []
    x, row = 0.0, 0
    for entry in entries:
        if x and x + entry.wide > room:
            x, row = 0.0, row + 1
        found.append((x, row, entry))
        x += entry.wide
    return found


def _moved(shape: Shape, dx: float, dy: float) -> Shape:
    match shape:
        case Rect() | Words():
            return replace(shape, x=shape.x + dx, y=shape.y + dy)
        case Line() | Polygon():
            return replace(shape, points=tuple((x + dx, y + dy) for x, y in shape.points))
