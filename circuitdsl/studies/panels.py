"""Panels that several figures share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage


def plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)


def band(
    axes: Axes, x: Any, mean: Any, half: Any, label: str, colour: str, style: str = "-", marker: str = "o"
) -> None:
    """A curve with its interval, mean +- half."""
    import numpy as np

    mean, half = np.asarray(mean, dtype=float), np.nan_to_num(np.asarray(half, dtype=float))
    axes.plot(x, mean, color=colour, ls=style, marker=marker, ms=3, label=label)
    axes.fill_between(x, mean - half, mean + half, color=colour, alpha=0.15, lw=0)


def heat_map(
    axes: Axes,
    values: xr.DataArray,
    *,
    low: float | None = None,
    limit: float | None = None,
    colours: str | None = None,
    half: xr.DataArray | None = None,
) -> AxesImage:
    """A table [y, x] as colours with its numbers written in; `limit`: the scale's end, `low` its start (-limit);
    `half`: half of each number's interval, written below it."""
    import numpy as np

    high = float(np.nanmax(np.abs(values.values))) if limit is None else limit
    start = -high if low is None else low
    image = axes.imshow(
        values.values,
        origin="lower",
        aspect="auto",
        vmin=start,
        vmax=high,
        cmap=colours or ("RdBu_r" if start < 0 else "Blues"),
    )
    y, x = (values[d].values for d in values.dims)
    axes.set_xticks(range(len(x)), [_tick(v) for v in x], fontsize=8)
    axes.set_yticks(range(len(y)), [_tick(v) for v in y], fontsize=8)
    for (row, column), value in np.ndenumerate(values.values):
        strong = (
            abs(value - (start + high) / 2) > 0.3 * (high - start)
            if start < 0
            else value > start + 0.6 * (high - start)
        )
        text = "–" if value != value else f"{value:.2f}"
        if half is not None and half.values[row, column] == half.values[row, column]:
            text += f"\n±{half.values[row, column]:.2f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color="white" if strong else "#222222")
    return image


def _tick(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"
