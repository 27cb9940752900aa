"""A picture as plain shapes, which `svg.py` writes as SVG and report/figures.py paints for PNG and PDF.

Places are in pixels from the upper left corner.
"""

from __future__ import annotations

from typing import Literal

from circuitdsl.draw.colours import Ink
from circuitdsl.frozen import frozen

Point = tuple[float, float]


@frozen(kw_only=True)
class Rect:
    x: float
    y: float
    width: float
    height: float
    radius: float = 0.0
    fill: Ink | None = None
    stroke: Ink | None = None
    thick: float = 1.2

    def meets(self, other: Rect) -> bool:
        """Whether the two have an area in common."""
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )


@frozen(kw_only=True)
class Line:
    """A line through points, with round corners of `radius`; `dash`: lengths of strokes and gaps."""

    points: tuple[Point, ...]
    stroke: Ink
    thick: float
    dash: tuple[float, float] | None = None
    radius: float = 0.0


@frozen(kw_only=True)
class Polygon:
    points: tuple[Point, ...]
    fill: Ink


@frozen(kw_only=True)
class Words:
    """A line of text; `y` is its baseline."""

    x: float
    y: float
    text: str
    size: float
    ink: Ink
    anchor: Literal["start", "middle", "end"] = "start"
    bold: bool = False


Shape = Rect | Line | Polygon | Words


@frozen(kw_only=True)
class Group:
    """Shapes that are one thing; `about` says what it is to who points at it or cannot see it."""

    about: str
    shapes: tuple[Shape, ...]


@frozen(kw_only=True)
class Picture:
    """`about`: the picture in words."""

    name: str
    about: str
    width: float
    height: float
    groups: tuple[Group, ...]
