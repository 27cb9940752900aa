"""What a run has recorded, as panels: each a few curves over epochs or updates, or a picture of numbers.

A panel knows nothing of Matplotlib; plot/figures.py draws it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from circuitdsl.frozen import frozen

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

#: No panel has more curves, no run more panels: what is beyond them is told by its number.
MOST_CURVES, MOST_PANELS = 8, 12


@frozen(kw_only=True)
class Curve:
    """`values` [seeds, times]; `of`: how the run that it belongs to is called, where there are several."""

    label: str
    at: Array
    values: Array
    of: int = 0


@frozen(kw_only=True)
class Curves:
    """Curves over `axis`."""

    title: str
    axis: str
    curves: Sequence[Curve]


@frozen(kw_only=True)
class Grid:
    """Numbers as a picture, [rows, columns]; `signed`: around 0."""

    title: str
    across: str
    down: str
    values: Array
    signed: bool


@frozen(kw_only=True)
class Raster:
    """When units were active: `spikes` [ticks, units]."""

    title: str
    spikes: Array


Panel = Curves | Grid | Raster


def panels_of(runs: Mapping[str, xr.Dataset]) -> list[Panel]:
    """What runs have recorded, the metric first; curves of the same thing in one panel. `runs` by what they are called;
    of one alone, whatever it is called, the curves have the names of the records."""
    found: list[Panel] = []
    for title, names in _groups(runs):
        curves = [c for name in names for c in _curves(runs, name, several=len(names) > 1)]
        found += [Curves(title=title, axis=_axis(runs, names[0]), curves=curves)] if curves else []
    found += [grid for run in list(runs.values())[:1] for grid in _grids(run)]
    return found[:MOST_PANELS]


def _groups(runs: Mapping[str, xr.Dataset]) -> Iterator[tuple[str, list[str]]]:
    """Names of variables that share a panel, with its title: records that are called alike, `cos(A, B)` and
    `cos(C, D)`, are alike in kind."""
    for name in ("metric", "loss"):
        held_out = [f"validation_{name}"] if any(f"validation_{name}" in run for run in runs.values()) else []
        yield _title(runs, name), [name, *held_out]
    groups: dict[tuple[str, str], list[str]] = {}
    taken = {"metric", "loss", "validation_metric", "validation_loss"}
    for run in runs.values():
        for name in map(str, run.data_vars):
            if name not in taken and _time_of(run, name) is not None and _is_scalar(run, name):
                group = groups.setdefault((_kind(name), str(_time_of(run, name))), [])
                group += [] if name in group else [name]
    for (kind, _), names in groups.items():
        for first in range(0, len(names), MOST_CURVES):
            some = names[first : first + MOST_CURVES]
            yield (some[0] if len(some) == 1 else kind), some


def _title(runs: Mapping[str, xr.Dataset], name: str) -> str:
    """What a variable says of itself."""
    return next((str(run[name].attrs.get("long_name", name)) for run in runs.values() if name in run), name)


def _kind(name: str) -> str:
    call, bracket, _ = name.partition("(")
    return {"cos": "cosine"}.get(call, call) if bracket else name


def _time_of(run: xr.Dataset, name: str) -> str | None:
    """The dimension along which a variable was recorded."""
    return next((str(d) for d in run[name].dims if d == "epoch" or str(d).startswith("update")), None)


def _is_scalar(run: xr.Dataset, name: str) -> bool:
    return not set(run[name].dims) - {"seed", _time_of(run, name)}


def _axis(runs: Mapping[str, xr.Dataset], name: str) -> str:
    time = next(_time_of(run, name) for run in runs.values() if name in run)
    return "epoch" if time == "epoch" else "update"


def _curves(runs: Mapping[str, xr.Dataset], name: str, *, several: bool) -> Iterator[Curve]:
    import numpy as np

    for number, (called, run) in enumerate(runs.items()):
        if name not in run:
            continue
        time = _time_of(run, name)
        assert time is not None
        variable = run[name].transpose("seed", time) if "seed" in run[name].dims else run[name].expand_dims("seed")
        values = np.asarray(variable.values, dtype=float)
        if np.isfinite(values).any():
            own = name.replace("validation_", "on the validation set: ") if name.startswith("validation_") else name
            label = " · ".join(filter(None, [own if several else "", called if len(runs) > 1 else ""])) or own
            yield Curve(label=label, at=run[time].values, values=values, of=number)


def _grids(run: xr.Dataset) -> Iterator[Grid]:
    """What a recorded matrix, or recorded rates, were at last, of the first seed."""
    import numpy as np

    for name in map(str, run.data_vars):
        time = _time_of(run, name)
        first = run[name].isel(seed=0) if "seed" in run[name].dims else run[name]
        if time is None or first.ndim != 3:
            continue
        last = np.asarray(first.isel({time: -1}).values, dtype=float)
        down, across = (str(d) for d in first.dims if d != time)
        if np.isfinite(last).all() and last.size:
            signed = bool(last.min() < 0)
            yield Grid(title=f"{name} at the end", across=_of(across), down=_of(down), values=last, signed=signed)


def _of(dimension: str) -> str:
    """`post_h` is "onto h"."""
    side, _, population = dimension.partition("_")
    return {"post": f"onto {population}", "pre": f"from {population}", "unit": population}.get(side, dimension)


def spike_panels(values: Mapping[str, Array]) -> list[Raster]:
    """Rasters of the values [ticks, size] that are 0 or 1 in each of several ticks, and not always the same."""
    found = []
    for name, spikes in values.items():
        ticks = len(spikes)
        if ticks > 1 and spikes.size and ((spikes == 0) | (spikes == 1)).all() and spikes.min() != spikes.max():
            found.append(Raster(title=name, spikes=spikes))
    return found
