"""The parts of a sweep as one labelled dataset, and what it says in short."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from circuitdsl.explore.lives import Part, Recorded
from circuitdsl.frozen import frozen
from circuitdsl.runtime.statistics import Mean, over_seeds

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from circuitdsl.explore.sweep import Sweep

    Array = NDArray[Any]

#: Names that the dataset needs for itself; a param or record of one of them gets `_` after it.
TAKEN = frozenset(
    "seed epoch update example metric loss diverged epochs_done why validation_metric validation_loss".split()
)

Parts = Mapping[tuple[int, int], Part]


def dimension(name: str) -> str:
    """The dimension of a swept param."""
    return f"{name}_" if name in TAKEN else name


def gather(planned: Sweep, parts: Parts) -> xr.Dataset:
    """All parts, by (point, seed), along the params of the grid and `seed`. Runs that are shorter than others, and
    records of smaller populations, end in NaN."""
    import numpy as np
    import xarray as xr

    dims = (*(dimension(name) for name in planned.grid), "seed")
    order = [(point, seed) for point in range(len(planned.points)) for seed in planned.seeds]
    found = [parts[key] for key in order]
    shape = (*planned.shape, len(planned.seeds))
    epochs = max(len(part.metric) for part in found)

    def along(values: Sequence[Any]) -> Array:
        """One array per part as an array over the grid."""
        return np.array(values).reshape(*shape, *np.shape(values[0]))

    variables: dict[str, Any] = {
        "metric": ((*dims, "epoch"), along([_ending(p.metric, epochs) for p in found]), _about("the task's metric")),
        "loss": ((*dims, "epoch"), along([_ending(p.loss, epochs) for p in found]), _about("the loss")),
        "diverged": (dims, along([int(bool(p.why)) for p in found]), _about("whether the run diverged")),
        "epochs_done": (dims, along([p.epochs_done for p in found]), _about("whole epochs before it ended")),
    }
    if any(len(p.validation) for p in found):
        for i, name in enumerate(("metric", "loss")):
            held_out = along([_ending(p.validation[:, i], epochs) for p in found])
            variables[f"validation_{name}"] = ((*dims, "epoch"), held_out, _about(f"the {name} on the validation set"))
    if any(p.why for p in found):
        variables["why"] = (dims, along([p.why for p in found]).astype(object), _about("how the run diverged"))
    axes: dict[str, Any] = {"seed": np.array(planned.seeds), "epoch": np.arange(epochs)}
    for name, values in planned.grid.items():
        axes[dimension(name)] = _coordinate(values)
    listed = _records(found)
    axes |= _times(listed, axes["epoch"])
    for name, axis, records in listed:
        at = axes[axis]
        first = next(r for r in records if r is not None)
        variables[f"{name}_" if name in {*TAKEN, *dims} else name] = (
            (*dims, axis, *first.dims),
            along(_aligned(records, at)),
            _about("recorded " + ("each epoch" if first.every is None else "between updates")),
        )
    attributes = {**planned.attributes, "swept": ", ".join(planned.grid)}
    if planned.objective is not None:
        attributes |= {"objective": planned.objective.text, "better": planned.objective.better}
    coordinates = {name: (name, values, _about(_axis(name, planned.grid))) for name, values in axes.items()}
    return xr.Dataset(variables, coordinates, attributes)


def _axis(name: str, grid: Mapping[str, Any]) -> str:
    """What an axis of the dataset is."""
    if name in ("seed", "epoch"):
        return {"seed": "the seed of the run", "epoch": "epochs done"}[name]
    swept = next((param for param in grid if dimension(param) == name), None)
    return "updates done" if swept is None else f"the param `{swept}`"


def _about(text: str) -> dict[str, str]:
    return {"long_name": text, "units": "1"}


def _coordinate(values: Sequence[Any]) -> Array:
    """Numbers; lists as they are written."""
    import numpy as np

    from circuitdsl.explore.sweep import label

    if all(isinstance(v, int | float) for v in values):
        return np.array(values, dtype=np.float64)
    return np.array([label(v) for v in values], dtype=object)


def _ending(values: Array, length: int) -> Array:
    """The values, and NaN after them."""
    import numpy as np

    return np.concatenate([values, np.full(length - len(values), np.nan)])


Record = tuple[str, str, list[Recorded | None]]


def _records(found: Sequence[Part]) -> list[Record]:
    """Every record with its time axis and, for each part, its readings: a swept param may change how often something
    is read, and even what there is to be recorded."""
    names = dict.fromkeys(record.name for part in found for record in part.records)
    alike = all(len({r.every for r in part.records} - {None}) <= 1 for part in found)
    listed: list[Record] = []
    for name in names:
        records = [next((r for r in part.records if r.name == name), None) for part in found]
        own = {r.every for r in records if r is not None}
        if None in own:
            axis = "epoch"
        elif alike:
            axis = "update"
        else:
            axis = f"update_{own.pop()}" if len(own) == 1 else f"update_{name}"
        listed.append((name, axis, records))
    return listed


def _times(listed: Sequence[Record], epochs: Array) -> dict[str, Array]:
    """Every time axis: the updates after which something on it was read."""
    import numpy as np

    seen: dict[str, set[int]] = {}
    for _, axis, records in listed:
        seen.setdefault(axis, set()).update(int(n) for r in records if r is not None for n in r.at)
    return {a: epochs if a == "epoch" else np.array(sorted(at), dtype=np.int64) for a, at in seen.items()}


def _aligned(records: Sequence[Recorded | None], at: Array) -> list[Array]:
    """Every part's readings on one time axis and in one shape, NaN where there are none."""
    import numpy as np

    there = [r for r in records if r is not None]
    sizes = tuple(max(sizes) for sizes in zip(*(r.values.shape[1:] for r in there), strict=True))
    dtype = np.result_type(*(r.values.dtype for r in there))
    aligned = []
    for record in records:
        array = np.full((len(at), *sizes), np.nan, dtype=dtype)
        if record is not None and len(record.at):
            inside = tuple(slice(n) for n in record.values.shape[1:])
            for row, values in zip(np.searchsorted(at, record.at).tolist(), record.values, strict=True):
                array[(row, *inside)] = values
        aligned.append(array)
    return aligned


# ---------------------------------------------------------------- in short


@frozen(kw_only=True)
class Row:
    """A point of a finished sweep: what is left of its runs at their end, NaN for those that diverged."""

    values: tuple[Any, ...]
    metric: tuple[float, ...]
    loss: tuple[float, ...]
    validation: Mapping[str, tuple[float, ...]]
    diverged: int

    def mean_of(self, what: str) -> Mean:
        """Over seeds, of "metric" or "loss", on the test set."""
        return over_seeds(self.metric if what == "metric" else self.loss)

    def chosen_by(self, what: str) -> Mean:
        """Over seeds, of "metric" or "loss", on the validation set; without one, on the test set."""
        return over_seeds(self.validation[what]) if self.validation else self.mean_of(what)


def rows(dataset: xr.Dataset) -> list[Row]:
    """Every point, in the order of the grid."""
    import numpy as np

    axes = [dataset[dim].values.tolist() for dim in dataset["diverged"].dims[:-1]]
    metric, loss = _final(dataset, "metric"), _final(dataset, "loss")
    names = ("metric", "loss") if "validation_metric" in dataset else ()
    validation = {name: _final(dataset, f"validation_{name}") for name in names}
    diverged = dataset["diverged"].values
    return [
        Row(
            values=tuple(axis[i] for axis, i in zip(axes, index, strict=True)),
            metric=tuple(metric[index].tolist()),
            loss=tuple(loss[index].tolist()),
            validation={name: tuple(values[index].tolist()) for name, values in validation.items()},
            diverged=int(diverged[index].sum()),
        )
        for index in np.ndindex(diverged.shape[:-1])
    ]


def _final(dataset: xr.Dataset, name: str) -> Array:
    """The value after each run's last epoch, [grid..., seed]; NaN if it diverged."""
    import numpy as np

    last = dataset["epochs_done"].values[..., None]
    values = np.take_along_axis(dataset[name].values, last, axis=-1)[..., 0]
    return np.where(dataset["diverged"].values.astype(bool), np.nan, values)


def best(found: Sequence[Row], *, on: str, larger: bool) -> Row | None:
    """The point with the best mean of `on` ("metric" or "loss") on the validation set, without one on the test set,
    among those of which the fewest runs diverged; of equals the first. None if every run diverged."""
    candidates = [row for row in found if not math.isnan(row.chosen_by(on).mean)]
    sign = 1 if larger else -1
    return max(candidates, key=lambda row: (-row.diverged, sign * row.chosen_by(on).mean), default=None)
