"""A picture as PNG or PDF, by matplotlib. Text in a PDF stays text; the same picture gives the same bytes."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, assert_never

from circuitdsl.draw.colours import THEMES, Ink, Theme
from circuitdsl.draw.picture import Line, Picture, Polygon, Rect, Shape, Words
from circuitdsl.draw.svg import corners

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Pixels of a picture to an inch, points to a pixel, and dots of a PNG to a pixel.
INCH, POINT, FINE = 96, 0.75, 2


def painted(picture: Picture, form: str, theme: Theme) -> bytes:
    """The picture in a file format of matplotlib."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"font.family": "DejaVu Sans", "pdf.fonttype": 42, "lines.scale_dashes": False}):
        figure = Figure(figsize=(picture.width / INCH, picture.height / INCH), facecolor=THEMES[theme]["ground"])
        axes = figure.add_axes((0, 0, 1, 1))
        paint(picture, axes, theme)
        metadata = {"CreationDate": None, "Title": picture.name} if form == "pdf" else {"Title": picture.name}
        figure.savefig(file := BytesIO(), format=form, dpi=INCH * FINE, metadata=metadata)
    return file.getvalue()


def paint(picture: Picture, axes: Axes, theme: Theme = "light", *, point: float = POINT) -> None:
    """Paints the picture on axes, whose units become its pixels. `point`: how many points a pixel is there."""
    axes.set_xlim(0, picture.width)
    axes.set_ylim(picture.height, 0)
    axes.set_aspect("equal")
    axes.axis("off")
    for order, shape in enumerate(shape for group in picture.groups for shape in group.shapes):
        _shape(shape, axes, theme, order, point)


def _shape(shape: Shape, axes: Axes, theme: Theme, order: int, point: float) -> None:
    from matplotlib.patches import FancyBboxPatch, PathPatch
    from matplotlib.patches import Polygon as Area
    from matplotlib.path import Path

    def colour(ink: Ink | None) -> str:
        return THEMES[theme][ink] if ink else "none"

    match shape:
        case Rect():
            axes.add_patch(
                FancyBboxPatch(
                    (shape.x, shape.y),
                    shape.width,
                    shape.height,
                    boxstyle=f"round,pad=0,rounding_size={shape.radius}" if shape.radius else "square,pad=0",
                    facecolor=colour(shape.fill),
                    edgecolor=colour(shape.stroke),
                    linewidth=shape.thick * point,
                    zorder=order,
                )
            )
        case Line():
            points, codes = [shape.points[0]], [int(Path.MOVETO)]
            for before, corner, after in corners(shape.points, shape.radius):
                points += [before, corner, after]
                codes += [int(Path.LINETO), int(Path.CURVE3), int(Path.CURVE3)]
            dashes = (0, tuple(length * point for length in shape.dash)) if shape.dash else "solid"
            axes.add_patch(
                PathPatch(
                    Path([*points, shape.points[-1]], [*codes, int(Path.LINETO)]),
                    facecolor="none",
                    edgecolor=colour(shape.stroke),
                    linewidth=shape.thick * point,
                    linestyle=dashes,
                    capstyle="round",
                    zorder=order,
                )
            )
        case Polygon():
            axes.add_patch(Area(shape.points, facecolor=colour(shape.fill), edgecolor="none", zorder=order))
        case Words():
            axes.text(
                shape.x,
                shape.y,
                shape.text.replace("$", r"\$"),
                fontsize=shape.size * point,
                color=colour(shape.ink),
                ha={"start": "left", "middle": "center", "end": "right"}[shape.anchor],
                va="baseline",
                fontweight="bold" if shape.bold else "normal",
                zorder=order,
            )
        case _:
            assert_never(shape)
