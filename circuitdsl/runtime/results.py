"""A run as labelled arrays, and as one file.

A Dataset has `metric` and `loss` over `epoch` (0: before training), every record over `epoch` or
`update`, and what the run ends with: the weights of `W1` as `W1.final`, its states as `W1.m.final`.
Units are named by their population: weights have the dimensions `post_h`, `pre_x`. Everything else that
matters (source text, parameters, seed, versions) stands in the attributes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.graph.ir import Circuit
from circuitdsl.runtime.records import Series, weight_dimensions
from circuitdsl.runtime.simulate import Run
from circuitdsl.runtime.state import restore, state_arrays

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

FINAL = ".final"
#: What a file holds besides the records: a record of that name gets `_` behind.
TAKEN = frozenset(
    {"epoch", "example", "seed", "loss", "metric", "epochs_done", "diverged", "validation_metric", "validation_loss"}
)
#: HDF5 takes attributes of at most 64 kB; a longer text becomes a variable.
LONGEST_ATTRIBUTE = 60_000


def provenance(circuit: Circuit, settings: Mapping[str, Any], numbers: Mapping[str, float]) -> dict[str, Any]:
    """What a run's attributes say of where it comes from: `settings` are its seed, data, target..."""
    import platform
    from importlib.metadata import version

    packages = ("circuitdsl", "numpy", "numba", "xarray")
    versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    return {
        "circuit": circuit.name,
        "source": circuit.text,
        "params": json.dumps(dict(numbers)),
        "versions": json.dumps(versions),
        **{key: value if isinstance(value, int | float | str) else str(value) for key, value in settings.items()},
    }


def to_dataset(run: Run, attributes: Mapping[str, Any]) -> xr.Dataset:
    """The run as an xarray.Dataset."""
    import numpy as np
    import xarray as xr

    variables: dict[str, Any] = {
        "metric": ("epoch", np.array(run.metric), _about("the task's metric on the test set")),
        "loss": ("epoch", np.array(run.loss), _about("the loss on the test set")),
    }
    for name, values in zip(("metric", "loss"), zip(*run.validation, strict=True), strict=False):
        variables[f"validation_{name}"] = ("epoch", np.array(values), _about(f"the {name} on the validation set"))
    coordinates: dict[str, Any] = {"epoch": np.arange(len(run.metric))}
    for series, axis in zip(run.series, time_axes(run.series), strict=True):
        coordinates[axis] = ("epoch" if axis == "epoch" else axis, np.array(series.at, dtype=np.int64))
        if axis == "epoch":
            coordinates[axis] = np.arange(len(run.metric))
        variables[variable_name(series)] = (
            (axis, *series.dims),
            _stacked(series, len(coordinates["epoch"])),
            _about("recorded " + ("each epoch" if series.every is None else f"every {series.every} updates")),
        )
    variables |= _final(run)
    for name in ("epochs_done", "updates_done"):
        variables[name] = ((), getattr(run, name), _about("how far the run got"))
    variables["diverged"] = ((), int(run.diverged is not None), _about("whether it diverged after that"))
    done = {
        "seconds": run.seconds,
        "examples": run.examples,
        "diverged": run.diverged.title if run.diverged else "",
        "interrupted": int(run.interrupted),
    }
    dataset = xr.Dataset(variables, coordinates, {**attributes, **done})
    return keep_long_text_aside(dataset)


def _about(text: str) -> dict[str, str]:
    return {"long_name": text, "units": "1"}


def time_axes(series: Sequence[Series]) -> list[str]:
    """The time dimension of each series: `epoch`, or `update`, or `update_100` where several
    intervals are used in one run."""
    intervals = {s.every for s in series if s.every is not None}
    return ["epoch" if s.every is None else "update" if len(intervals) == 1 else f"update_{s.every}" for s in series]


def variable_name(series: Series) -> str:
    """The record's text, with `_` after it if that is the name of something else in the file."""
    taken = series.name in TAKEN or series.name.startswith("update")
    return f"{series.name}_" if taken else series.name


def _stacked(series: Series, epochs: int) -> np.ndarray[Any, Any]:
    """[time, ...]; a run that diverged has no values for its last epoch: NaN there."""
    import numpy as np

    values = np.stack(series.values) if series.values else np.zeros((0,))
    missing = epochs - len(values) if series.every is None else 0
    if missing <= 0 or not series.values:
        return values
    return np.concatenate([values, np.full((missing, *values.shape[1:]), np.nan, dtype=values.dtype)])


def _final(run: Run) -> dict[str, Any]:
    circuit = run.circuit
    found: dict[str, Any] = {}
    for name, array in state_arrays(run.state).items():
        synapse = name if name in circuit.synapses else name.rpartition(".")[0]
        if synapse in circuit.synapses:
            dims: tuple[str, ...] = weight_dimensions(circuit, synapse)
        else:
            population = circuit.values[name].population
            dims = () if population is None else (f"unit_{population}",)
            array = array if dims else array.reshape(())
        found[name + FINAL] = (dims, array.copy(), _about("at the end of the run"))
    return found


def keep_long_text_aside(dataset: xr.Dataset) -> xr.Dataset:
    """Puts attributes that are too long for a file into variables, in place."""
    for key, value in list(dataset.attrs.items()):
        if isinstance(value, str) and len(value.encode()) > LONGEST_ATTRIBUTE:
            dataset[f"attribute_{key}"] = ((), value)
            del dataset.attrs[key]
    return dataset


def joined(runs: Mapping[int, xr.Dataset]) -> xr.Dataset:
    """Runs of one or several seeds in one Dataset: of several along a dimension `seed`, where those that
    got less far end in NaN."""
    import xarray as xr

    seeds = sorted(runs)
    if len(seeds) == 1:
        return runs[seeds[0]]
    together = xr.concat(
        [runs[seed] for seed in seeds],
        dim="seed",
        data_vars="all",
        coords="minimal",
        join="outer",
        combine_attrs="drop_conflicts",
    )
    return together.assign_coords(seed=seeds)


def split(together: xr.Dataset) -> dict[int, xr.Dataset]:
    """The runs in a Dataset by their seeds: the opposite of `joined`. Raises KeyError if it is no run."""
    if "seed" not in together.dims:
        return {int(together.attrs["seed"]): together}
    seeds = [int(seed) for seed in together["seed"].values]
    return {seed: together.sel(seed=seed).drop_vars("seed").assign_attrs(seed=seed) for seed in seeds}


# ---------------------------------------------------------------- files


def write(path: Path, dataset: xr.Dataset) -> None:
    """Writes one netCDF file (h5netcdf), under a temporary name and then renamed. Raises OSError."""
    import os
    import tempfile

    from circuitdsl.runtime.stopping import unbroken

    path = path.resolve()  # where a link leads: the link stays
    path.parent.mkdir(parents=True, exist_ok=True)
    with unbroken(), tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        temporary = Path(folder) / path.name
        dataset.to_netcdf(temporary, engine="h5netcdf", encoding=_compressed(dataset))
        os.replace(temporary, path)


def _compressed(dataset: xr.Dataset) -> dict[Any, dict[str, Any]]:
    large = (name for name, variable in dataset.data_vars.items() if variable.size > 100_000)
    return {name: {"zlib": True, "complevel": 1, "shuffle": True} for name in large}


def read(path: Path) -> xr.Dataset:
    """A written run, all of it in memory. Raises OSError or ValueError if it is none."""
    import xarray as xr

    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        return dataset.load()


def continue_from(run: Run, saved: xr.Dataset) -> None:
    """Puts a fresh run where a saved one of the same circuit and settings stopped, in place.

    Raises KeyError or ValueError if the file holds another circuit's variables."""
    import numpy as np

    run.epochs_done = int(saved["epochs_done"])
    run.updates_done = int(saved["updates_done"])
    run.metric = [float(v) for v in saved["metric"].values[: run.epochs_done + 1]]
    run.loss = [float(v) for v in saved["loss"].values[: run.epochs_done + 1]]
    for series, axis in zip(run.series, time_axes(run.series), strict=True):
        last = run.epochs_done if series.every is None else run.updates_done
        at = saved[axis].values
        variable = saved[variable_name(series)].transpose(axis, *series.dims)
        series.at = [int(n) for n in at[at <= last]]
        series.values = [np.array(v) for v in variable.values[: len(series.at)]]
    restore(run.state, {name: saved[name + FINAL].values for name in state_arrays(run.state)})
