"""A picture as SVG: text stays text, and readers of screens are told what is to be seen."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from math import hypot
from typing import Literal, assert_never

from circuitdsl.draw.colours import THEMES, Ink, Theme
from circuitdsl.draw.picture import Group, Line, Picture, Point, Polygon, Rect, Shape, Words

#: "auto": as the reader's screen is.
Look = Theme | Literal["auto"]

FONTS = "Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif"


def svg(picture: Picture, theme: Look = "auto") -> str:
    """The picture as a document. With "auto" it is light, or dark where the reader's screen is."""
    base: Theme = "light" if theme == "auto" else theme
    wide, high = _number(picture.width), _number(picture.height)
    name = "".join(c if c.isalnum() else "-" for c in picture.name)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="circuit-{theme}" viewBox="0 0 {wide} {high}" '
            f'width="{wide}" height="{high}" font-family="{FONTS}" '
            f'role="img" aria-labelledby="{name}-title {name}-desc">',
            f'<title id="{name}-title">{escape(picture.name)}</title>',
            f'<desc id="{name}-desc">{escape(picture.about)}</desc>',
            *([_style()] if theme == "auto" else []),
            f'<rect width="{wide}" height="{high}" rx="6" {_fill("ground", base)}/>',
            *(line for group in picture.groups for line in _group(group, base)),
            "</svg>",
            "",
        ]
    )


def _style() -> str:
    """What changes where the reader's screen is dark."""
    rules = "".join(
        f".circuit-auto .f-{ink}{{fill:{colour}}}.circuit-auto .s-{ink}{{stroke:{colour}}}"
        for ink, colour in THEMES["dark"].items()
    )
    return f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>"


def _group(group: Group, theme: Theme) -> Iterator[str]:
    yield f"<g><title>{escape(group.about)}</title>"
    yield from (_shape(shape, theme) for shape in group.shapes)
    yield "</g>"


def _shape(shape: Shape, theme: Theme) -> str:
    match shape:
        case Rect():
            paint = _paint(shape.fill, shape.stroke, shape.thick, theme)
            place = f'x="{_number(shape.x)}" y="{_number(shape.y)}"'
            size = f'width="{_number(shape.width)}" height="{_number(shape.height)}" rx="{_number(shape.radius)}"'
            return f"<rect {place} {size} {paint}/>"
        case Line():
            dash = f' stroke-dasharray="{" ".join(map(_number, shape.dash))}"' if shape.dash else ""
            paint = _paint(None, shape.stroke, shape.thick, theme)
            return f'<path d="{path(shape.points, shape.radius)}" {paint} stroke-linecap="round"{dash}/>'
        case Polygon():
            points = " ".join(f"{_number(x)},{_number(y)}" for x, y in shape.points)
            return f'<polygon points="{points}" {_fill(shape.fill, theme)}/>'
        case Words():
            bold = ' font-weight="bold"' if shape.bold else ""
            place = f'x="{_number(shape.x)}" y="{_number(shape.y)}" text-anchor="{shape.anchor}"'
            return (
                f'<text {place} font-size="{_number(shape.size)}"{bold} {_fill(shape.ink, theme)} '
                f'xml:space="preserve">{escape(shape.text)}</text>'
            )
        case _:
            assert_never(shape)


def _fill(ink: Ink, theme: Theme) -> str:
    return f'class="f-{ink}" fill="{THEMES[theme][ink]}"'


def _paint(fill: Ink | None, stroke: Ink | None, thick: float, theme: Theme) -> str:
    classes = [f"f-{fill}"] if fill else []
    classes += [f"s-{stroke}"] if stroke else []
    paint = f'fill="{THEMES[theme][fill] if fill else "none"}"'
    if stroke:
        paint += f' stroke="{THEMES[theme][stroke]}" stroke-width="{_number(thick)}"'
    return f'class="{" ".join(classes)}" {paint}'


def path(points: tuple[Point, ...], radius: float) -> str:
    """The line as a path: straight stretches, and a quadratic curve at each corner."""
    steps = [f"M{_pair(points[0])}"]
    steps += [f"L{_pair(a)}Q{_pair(corner)} {_pair(b)}" for a, corner, b in corners(points, radius)]
    return "".join([*steps, f"L{_pair(points[-1])}"])


def corners(points: tuple[Point, ...], radius: float) -> Iterator[tuple[Point, Point, Point]]:
    """Where each corner of a line begins to bend, the corner, and where the bend ends."""
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        bend = min(radius, _length(before, corner) / 2, _length(corner, after) / 2)
        yield _toward(corner, before, bend), corner, _toward(corner, after, bend)


def _pair(point: Point) -> str:
    return f"{_number(point[0])} {_number(point[1])}"


def _length(a: Point, b: Point) -> float:
    return hypot(a[0] - b[0], a[1] - b[1])


def _toward(start: Point, end: Point, length: float) -> Point:
    whole = _length(start, end)
    share = length / whole if whole else 0.0
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _number(value: float) -> str:
    """With one decimal at most: the same on every machine, and short."""
    text = f"{value:.1f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
