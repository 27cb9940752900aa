"""A run as labelled arrays, and as one file.

A Dataset has `metric` and `loss` over `epoch` (0: before training), every record over `epoch` or
`update`, and what the run ends with: the weights of `W1` as `W1.final`, its states as `W1.m.final`.
Units are named by their population: weights have the dimensions `post_h`, `pre_x`. Of a synapse that holds only the
weights that are there they stand in a row, `weight_W1`, postsynaptic unit after postsynaptic unit; where those of each
unit begin says `W1.connect.starts`, from which presynaptic unit they are `W1.connect.columns`. Everything else that
matters (source text, parameters, seed, versions) stands in the attributes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.graph.blocks import rows_of
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.projections import Sparse
from circuitdsl.runtime.records import Series, weight_dimensions
from circuitdsl.runtime.simulate import Run
from circuitdsl.runtime.state import COLUMNS, STARTS, clear_absent, state_arrays, write_atomically

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

FINAL = ".final"
#: The dimension of a synapse that holds only the weights that are there.
PLACE = "weight_"
#: What a file holds besides the records: a record of that name gets `_` behind.
TAKEN = frozenset(
    {"epoch", "example", "seed", "loss", "metric", "epochs_done", "diverged", "validation_metric", "validation_loss"}
)
#: HDF5 takes attributes of at most 64 kB; a longer text becomes a variable.
LONGEST_ATTRIBUTE = 60_000

#: Numbers that are compressed together.
CHUNK = 1 << 17


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
    """The run as an xarray.Dataset. Weights and states are the run's own arrays, no copies: they change where it
    goes on."""
    import numpy as np
    import xarray as xr

    names = _written(run.circuit, str(attributes.get("task", "")))
    variables: dict[str, Any] = {
        "metric": ("epoch", np.array(run.metric), _about(names["metric"], "the task's metric on the test set")),
        "loss": ("epoch", np.array(run.loss), _about(names["loss"], "the loss on the test set")),
    }
    for name, values in zip(("metric", "loss"), zip(*run.validation, strict=True), strict=False):
        about = _about(f"{names[name]}, validation", f"the {name} on the validation set")
        variables[f"validation_{name}"] = ("epoch", np.array(values), about)
    coordinates: dict[str, Any] = {"epoch": np.arange(len(run.metric))}
    for series, axis in zip(run.series, time_axes(run.series), strict=True):
        coordinates[axis] = ("epoch" if axis == "epoch" else axis, np.array(series.at, dtype=np.int64))
        if axis == "epoch":
            coordinates[axis] = np.arange(len(run.metric))
        variables[variable_name(series)] = (
            (axis, *series.dims),
            _stacked(series, len(coordinates["epoch"])),
            _about(
                series.name, f"recorded {'each epoch' if series.every is None else f'every {series.every} updates'}"
            ),
        )
    variables |= _final(run)
    for name in ("epochs_done", "updates_done"):
        variables[name] = ((), getattr(run, name), _about(name.replace("_", " "), "how far the run got"))
    variables["diverged"] = ((), int(run.diverged is not None), _about("diverged", "whether it diverged after that"))
    done = {
        "seconds": run.seconds,
        "examples": run.examples,
        "diverged": run.diverged.title if run.diverged else "",
        "interrupted": int(run.interrupted),
    }
    dataset = xr.Dataset(variables, coordinates, {**attributes, **done})
    return keep_long_text_aside(dataset)


def _about(name: str, text: str) -> dict[str, str]:
    """The name, which plots write at their axes, and what it is."""
    return {"long_name": name, "description": text}


def _written(circuit: Circuit, task: str) -> dict[str, str]:
    """Metric and loss as the circuit writes them: `accuracy(out, y)`."""
    metric = circuit.tasks[task].metric if task in circuit.tasks else None
    loss = None if circuit.loss is None else circuit.loss.expr
    shown = {"metric": metric, "loss": loss}
    return {name: name if expr is None else " ".join(expr.span.text.split()) for name, expr in shown.items()}


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
            few = isinstance(run.state.projections[synapse], Sparse)
            dims: tuple[str, ...] = (f"{PLACE}{synapse}",) if few else weight_dimensions(circuit, synapse)
        else:
            population = circuit.values[name].population
            dims = () if population is None else (f"unit_{population}",)
            array = array if dims else array.reshape(())
        found[name + FINAL] = (dims, array, _about(f"{name} at the end", "at the end of the run"))
    for name, projection in run.state.projections.items():
        if isinstance(projection, Sparse):
            about = _about(f"starts of {name}", "where the weights of each postsynaptic unit begin")
            found[name + STARTS] = ((f"row_{name}",), projection.starts, about)
            about = _about(f"columns of {name}", "the presynaptic unit of each weight")
            found[name + COLUMNS] = ((f"{PLACE}{name}",), projection.columns, about)
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
        _as_long([runs[seed] for seed in seeds]),
        dim="seed",
        data_vars="all",
        coords="minimal",
        join="outer",
        combine_attrs="drop_conflicts",
    )
    return together.assign_coords(seed=seeds)


def _as_long(runs: Sequence[xr.Dataset]) -> list[xr.Dataset]:
    """The runs, with as many places for the weights of a sparse synapse in each: NaN, and unit -1, where none is."""
    longest = {str(d): max(r.sizes[d] for r in runs) for d in runs[0].dims if str(d).startswith(PLACE)}
    if not longest:
        return list(runs)
    found = []
    for run in runs:
        nothing = {str(n): -1 if str(n).endswith(COLUMNS) else float("nan") for n in run.data_vars}
        missing = {d: (0, n - run.sizes[d]) for d, n in longest.items()}
        found.append(run.pad(missing, constant_values=nothing))
    return found


def _as_short(run: xr.Dataset) -> xr.Dataset:
    """One run of several without the places that only others have weights in."""
    starts = [str(n) for n in run.data_vars if str(n).endswith(STARTS)]
    return run.isel({PLACE + n.removesuffix(STARTS): slice(0, int(run[n].values[-1])) for n in starts})


def split(together: xr.Dataset) -> dict[int, xr.Dataset]:
    """The runs in a Dataset by their seeds: the opposite of `joined`. Raises ValueError if it is no run."""
    try:
        if "seed" not in together.dims:
            return {int(together.attrs["seed"]): together}
        seeds = [int(seed) for seed in together["seed"].values]
    except (KeyError, TypeError, ValueError):
        raise ValueError("it does not say of which seed it is") from None
    return {seed: _as_short(together.sel(seed=seed)).drop_vars("seed").assign_attrs(seed=seed) for seed in seeds}


# ---------------------------------------------------------------- files


def write(path: Path, dataset: xr.Dataset) -> None:
    """Writes one netCDF file (h5netcdf), under a temporary name and then renamed. Raises OSError."""
    import os
    import tempfile

    from circuitdsl.runtime.stopping import unbroken
    from circuitdsl.store.temporary import clear_litter, temporary_prefix

    path = path.resolve()  # where a link leads: the link stays
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = dataset.assign_attrs(digest=_digest(dataset))
    clear_litter(path.parent, path.name)
    with unbroken(), tempfile.TemporaryDirectory(dir=path.parent, prefix=temporary_prefix(path.name)) as folder:
        temporary = Path(folder) / path.name
        dataset.to_netcdf(temporary, engine="h5netcdf", encoding=_compressed(dataset))
        os.replace(temporary, path)


def _compressed(dataset: xr.Dataset) -> dict[Any, dict[str, Any]]:
    large = ((name, v) for name, v in dataset.data_vars.items() if v.size > 100_000)
    how = {"zlib": True, "complevel": 1, "shuffle": True}
    return {name: {**how, **({"chunksizes": _chunk(v.shape)} if v.ndim <= 2 else {})} for name, v in large}


def _chunk(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Whole rows, as far as they are no longer than a chunk: weights are read some rows at a time."""
    columns = min(math.prod(shape[1:]), CHUNK)
    return (min(shape[0], max(1, CHUNK // columns)), *((columns,) if len(shape) == 2 else ()))


#: Endings of files that are something else: what is written would not be what its name says.
OTHER_ENDINGS = frozenset(
    ".csv .tsv .txt .json .npz .npy .mat .pkl .pickle .parquet .feather .xlsx .xls .zarr .zip .gz .safetensors .circ "
    ".py .md .html .svg .png .pdf".split()
)


def other_ending(path: Path) -> str | None:
    """Why a netCDF file should not be called so; None if it may."""
    ending = path.suffix.lower()
    if ending not in OTHER_ENDINGS:
        return None
    return f"`{path}`: what is written is a netCDF file, which its ending, {ending}, does not say: call it .nc"


def write_csv(path: Path, together: xr.Dataset) -> tuple[str, ...]:
    """Writes the curves of one run or of several seeds as a table: a row for each seed and epoch, a column for the
    metric, the loss and every record that is one number an epoch. Gives the names of what a table cannot hold.
    Raises OSError."""
    import csv
    import io

    import numpy as np

    seeds = split(together)
    curves = [str(name) for name, array in together.data_vars.items() if set(array.dims) - {"seed"} == {"epoch"}]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["seed", "epoch", *curves])
    for seed, run in seeds.items():
        columns = [run[name].values for name in curves]
        last = int(run["epochs_done"]) + int(run["diverged"])
        for epoch in range(last + 1):
            values = (column[epoch] for column in columns)
            rows.writerow([seed, epoch, *("" if np.isnan(value) else repr(float(value)) for value in values)])
    write_atomically(path, text.getvalue().encode())
    aside = {"epochs_done", "updates_done", "diverged"}
    return tuple(str(name) for name in together.data_vars if name not in {*curves, *aside})


def read(path: Path) -> xr.Dataset:
    """A written file, all of it in memory. Raises as `opened`."""
    with opened(path) as dataset:
        return dataset.load()


def opened(path: Path) -> xr.Dataset:
    """A written file, found to be whole. Of one seed, the arrays stay in the file until they are asked for. Raises
    OSError if it cannot be read, ValueError if it is none, or not what was written."""
    import h5py
    import xarray as xr

    with path.open("rb"):
        pass  # what the system says of a file that is not there is plainer
    found = None
    try:
        with h5py.File(path) as file:  # where h5netcdf stumbles over this, it leaves a file that cannot be closed
            file.attrs.get("_nc3_strict")
        found = xr.open_dataset(path, engine="h5netcdf", cache=False)
        digest = found.attrs.pop("digest", None)
        whole = digest is None or digest == _digest(found)
        if "seed" in found.dims and whole:
            with found:
                found = found.load()
    except Exception as problem:  # of a damaged file HDF5 and its readers raise whatever they stumble over
        if found is not None:
            found.close()
        said = str(problem).splitlines() or [type(problem).__name__]
        raise ValueError(f"it is no netCDF file, or damaged: {said[0][:200]}") from None
    if not whole:
        found.close()
        raise ValueError("it is damaged, or was changed: its content is not what was written")
    return found


def _digest(dataset: xr.Dataset) -> str:
    """A fingerprint of what a file holds: HDF5 itself does not notice a bit that flips."""
    from hashlib import sha256

    found = sha256()
    for name in sorted(map(str, dataset.variables)):
        variable = dataset.variables[name]
        about = sorted((k, str(v)) for k, v in variable.attrs.items())
        found.update(repr((name, variable.dims, variable.shape, about)).encode())
        for rows in rows_of(variable.shape) if variable.ndim else ((),):
            values = variable[rows].values
            found.update(values.tobytes() if values.dtype.kind in "biuf" else repr(values.tolist()).encode())
    found.update(repr(sorted((k, str(v)) for k, v in dataset.attrs.items())).encode())
    return found.hexdigest()[:32]


def continue_from(run: Run, saved: xr.Dataset, updates_per_epoch: int) -> None:
    """Puts a fresh run where a saved one of the same circuit and settings stopped, in place.

    Raises ValueError if it diverged, holds another circuit's variables, or counts and numbers that no run can have."""
    import numpy as np

    if "diverged" in saved and _count(saved, "diverged"):
        raise ValueError("it diverged")
    done = _count(saved, "epochs_done")
    if _count(saved, "updates_done") != done * updates_per_epoch:
        raise ValueError(f"its updates are not those of {done} epochs")
    run.epochs_done, run.updates_done = done, done * updates_per_epoch
    run.metric = _curve(saved, "metric", done)
    run.loss = _curve(saved, "loss", done)
    if "validation_metric" in saved:
        curves = (_curve(saved, f"validation_{name}", done) for name in ("metric", "loss"))
        run.validation = list(zip(*curves, strict=True))
    for series, axis in zip(run.series, time_axes(run.series), strict=True):
        last = run.epochs_done if series.every is None else run.updates_done
        at = _numbers(saved, axis)
        variable = _numbers(saved, variable_name(series), (axis, *series.dims))
        series.at = [int(n) for n in at[at <= last]]
        series.values = [value.copy() for value in variable[: len(series.at)]]
    for name, projection in run.state.projections.items():
        if isinstance(projection, Sparse):
            found = (_numbers(saved, name + part) for part in (STARTS, COLUMNS))
            if not all(map(np.array_equal, found, (projection.starts, projection.columns))):
                raise ValueError(f"its `{name}` has other connections")
    for name, array in state_arrays(run.state).items():
        _take_final(saved, name, array)
    clear_absent(run.state)


def _take_final(saved: xr.Dataset, name: str, array: np.ndarray[Any, Any]) -> None:
    """Puts what a run ended with in place of an array, some rows at a time: of its shape, or one number for the state
    of a modulator."""
    import numpy as np

    found = _variable(saved, name + FINAL)
    if found.shape != array.shape and not (array.size == 1 and found.shape == ()):
        raise ValueError(f"its `{name}{FINAL}` is {found.shape}, where {array.shape} is needed")
    for rows in rows_of(array.shape) if found.ndim else (...,):
        values = found[rows].values
        if not np.isfinite(values).all():
            raise ValueError(f"its `{name}{FINAL}` is not finite")
        array[rows] = values


def _variable(saved: xr.Dataset, name: str) -> xr.DataArray:
    """Numbers that may still be in the file. Raises ValueError if they are not there or anything else."""
    if name not in saved:
        raise ValueError(f"it has no `{name}`")
    if saved[name].dtype.kind not in "biuf":
        raise ValueError(f"its `{name}` holds no numbers")
    return saved[name]


def _numbers(saved: xr.Dataset, name: str, dims: tuple[str, ...] | None = None) -> np.ndarray[Any, Any]:
    """A variable's numbers, its axes in this order. Raises as `_variable`."""
    found = _variable(saved, name)
    values: np.ndarray[Any, Any] = (found if dims is None else found.transpose(*dims)).values
    return values


def _count(saved: xr.Dataset, name: str) -> int:
    values = _numbers(saved, name)
    if values.shape != () or not 0 <= values < 2**53 or values != int(values):
        raise ValueError(f"its `{name}` is no count: {values}")
    return int(values)


def _curve(saved: xr.Dataset, name: str, done: int) -> list[float]:
    """A value for each epoch, the first before training."""
    values = _numbers(saved, name)
    if values.ndim != 1 or len(values) <= done:
        raise ValueError(f"its `{name}` is {values.shape}, where {done} epochs are said to be done")
    return [float(value) for value in values[: done + 1]]
