"""Panels drawn by Matplotlib: as SVG that takes the colours of the page around it, and as PDF."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, assert_never

from circuitdsl.draw.colours import THEMES
from circuitdsl.extras import named
from circuitdsl.plot.panels import Curve, Curves, Grid, Panel, Raster

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 4.3, 2.9
#: Two that are next to one another can be told apart by readers who are blind to some colours; strokes differ too.
COLOURS = (
    THEMES["light"]["learning"], "#c2571a", "#5b6168", "#9a2f99", "#12876f", "#a07a00", "#3b4cc0", "#c03b5c",
)  # fmt: skip
STROKES = ("-", "--", "-.", ":")
#: Letters and axes: on a page they take its colour.
INK = "#1b1f24"


def svg(panel: Panel, name: str) -> str:
    """One panel as SVG. The same panel gives the same text; `name` keeps its marks from those of others."""
    drawn = _rendered(figure([panel]), "svg", name)
    return drawn[drawn.index(b"<svg") :].decode().replace(INK, "currentColor")


def pdf(panels: Sequence[Panel], name: str) -> bytes:
    """Panels on one page."""
    return _rendered(figure(panels), "pdf", name)


def _rendered(made: Figure, form: str, name: str) -> bytes:
    import matplotlib

    date = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}[form]
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": name, "pdf.fonttype": 42}
    with matplotlib.rc_context(settings):
        made.savefig(drawn := BytesIO(), format=form, metadata=date, transparent=form == "svg")
    return drawn.getvalue()


def figure(panels: Sequence[Panel], *, columns: int = 2) -> Figure:
    """Panels as one figure, without a window."""
    with named():
        import matplotlib
        from matplotlib.figure import Figure

    across = max(1, min(columns, len(panels)))
    down = max(1, -(-len(panels) // across))
    settings: Any = {
        "font.size": 9, "axes.titlesize": 10, "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK,
        "axes.titlecolor": INK, "xtick.color": INK, "ytick.color": INK, "font.family": ["DejaVu Sans"],
        "text.parse_math": False,
    }  # fmt: skip
    with matplotlib.rc_context(settings):
        made = Figure(figsize=(WIDTH * across, HEIGHT * down), layout="constrained")
        axes = list(made.subplots(down, across, squeeze=False).flat)
        for panel, axis in zip(panels, axes, strict=False):
            draw(panel, axis)
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
    return made


def draw(panel: Panel, axes: Axes) -> None:
    """One panel into its axes."""
    match panel:
        case Curves():
            _draw_curves(panel, axes)
        case Grid():
            _draw_grid(panel, axes)
        case Raster():
            _draw_raster(panel, axes)
        case _:
            assert_never(panel)
    axes.set_title(_short(panel.title), loc="left")


def _short(text: str) -> str:
    return text if len(text) <= 56 else f"{text[:36]} … {text[-16:]}"


def _draw_curves(panel: Curves, axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    for number, curve in enumerate(panel.curves):
        _draw_curve(curve, number, axes)
    if any((c.values < 0).any() for c in panel.curves) and any((c.values > 0).any() for c in panel.curves):
        axes.axhline(0, color=INK, lw=0.5, alpha=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, steps=(1, 2, 5, 10)))
    axes.set_xlabel(panel.axis)
    if len(panel.curves) > 1:
        axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=INK, alpha=0.12, lw=0.6)


def _draw_curve(curve: Curve, number: int, axes: Axes) -> None:
    """The mean over the seeds, and how far they reach."""
    import warnings

    import numpy as np

    colour, stroke = COLOURS[number % len(COLOURS)], STROKES[number % len(STROKES)]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # a time at which no seed has a number
        mean, low, high = (f(curve.values, axis=0) for f in (np.nanmean, np.nanmin, np.nanmax))
    axes.plot(curve.at, mean, stroke, color=colour, lw=1.6, label=_short(curve.label))
    if len(curve.values) > 1:
        axes.fill_between(curve.at, low, high, color=colour, alpha=0.18, lw=0)
    if len(curve.at) == 1:
        axes.plot(curve.at, mean, "o", color=colour, ms=4)


def _draw_grid(panel: Grid, axes: Axes) -> None:
    most = float(abs(panel.values).max()) or 1.0
    low = -most if panel.signed else 0.0
    shown = axes.imshow(
        panel.values, aspect="auto", interpolation="nearest", cmap="RdBu_r" if panel.signed else "cividis", vmin=low,
        vmax=most,
    )  # fmt: skip
    axes.set(xlabel=panel.across, ylabel=panel.down)
    axes.figure.colorbar(shown, ax=axes, fraction=0.05)


def _draw_raster(panel: Raster, axes: Axes) -> None:
    ticks, units = panel.spikes.shape
    at, unit = panel.spikes.nonzero()
    size = max(0.6, min(5.0, 150 / max(units, 1)))
    axes.scatter(at, unit, s=size, marker="|" if units <= 60 else ".", color=COLOURS[0], lw=0.9)
    axes.set(xlabel="tick", ylabel="unit", xlim=(-0.5, ticks - 0.5), ylim=(units - 0.5, -0.5))
    axes.spines[["top", "right"]].set_visible(False)
