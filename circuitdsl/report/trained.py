"""The runs that a report shows: the circuit's and its gradient twin's, new ones or saved ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.api import Circuit, Simulation
from circuitdsl.diagnostics import CircuitError
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.plot.panels import Raster, spike_panels
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.request import Request

if TYPE_CHECKING:
    import xarray as xr

OWN, TWIN = "the circuit", "backpropagation"


@frozen(kw_only=True)
class Trained:
    """Runs by what they are called, what was active when in one example after training, how many examples there were
    to train and to test, and what could not be had."""

    runs: Mapping[str, xr.Dataset] = field(default_factory=dict)
    rasters: Sequence[Raster] = ()
    examples: tuple[int, int] | None = None
    own_settings: bool = True
    notes: Sequence[str] = ()


def train(circuit: Circuit, request: Request, seeds: int, *, target: str, progress: bool) -> Trained:
    """Trains the circuit, and its twin from the same weights. Raises UsageError, CircuitError."""
    simulation = Simulation(circuit, target=target)
    run = run_of(simulation, request, seeds, progress=progress)
    runs, notes = {OWN: run}, []
    if run.attrs.get("interrupted"):
        notes.append(f"Interrupted after epoch {run.sizes['epoch'] - 1}.")
    elif request.learn != "backprop" and circuit.ir.loss is not None:
        try:
            runs[TWIN] = run_of(simulation, replace(request, learn="backprop"), seeds, progress=progress)
        except (CircuitError, UsageError) as problem:
            notes.append(f"No gradient twin: {str(problem).splitlines()[0]}")
    state, examples = _in_the_end(simulation, request, run)
    return Trained(runs=runs, rasters=state, examples=examples, own_settings=request.own_settings, notes=notes)


def run_of(simulation: Simulation, request: Request, seeds: int, *, progress: bool) -> xr.Dataset:
    """So many seeds of what is asked for. Raises UsageError, CircuitError."""
    return simulation.run(
        request.data, epochs=request.epochs, batch=request.batch, seed=request.seed, params=request.params,
        learn=request.learn, task=request.task, scale=request.scale, seeds=seeds, progress=progress,
    )  # fmt: skip


def _in_the_end(simulation: Simulation, request: Request, run: xr.Dataset) -> tuple[list[Raster], tuple[int, int]]:
    """What spikes when, in the first test example after training, and the sizes of the data."""
    from circuitdsl.runtime.results import split

    first, *_ = split(run).values()
    diverged = bool(int(first["diverged"]))
    done = 0 if diverged else int(first["epochs_done"])
    again = replace(request, seed=int(first.attrs["seed"]), epochs=done)
    outcome = simulation.execute(again, saved=None if diverged else first)
    dataset = outcome.loop.dataset
    graph = outcome.run.circuit
    rasters: list[Raster] = []
    if graph.schedule.phases and len(dataset.test):
        values = simulation.trace(outcome, int(dataset.test[0]))
        rates = {p.name: values[p.name] for p in graph.of_kind(ir.Kind.RATE)}
        rasters = spike_panels(rates)
    return rasters, (len(dataset.train), len(dataset.test))


def saved(files: Sequence[Path]) -> dict[str, xr.Dataset]:
    """Runs of results files, by what they are called. Raises UsageError."""
    found: dict[str, Any] = {}
    for file in files:
        run = read_run(file)
        called = TWIN if run.attrs.get("learn") == "backprop" else OWN
        found[file.stem if called in found or len(files) > 2 else called] = run
    return found


def read_run(file: Path) -> xr.Dataset:
    """The run in a results file. Raises UsageError if there is none."""
    from circuitdsl.plot.curves import is_run
    from circuitdsl.runtime.results import read

    try:
        run = read(file)
    except FileNotFoundError:
        raise UsageError(f"there is no file `{file}`") from None
    except (OSError, ValueError) as problem:
        raise UsageError(f"`{file}` is not a saved run: {problem}") from None
    if not is_run(run):
        raise UsageError(f"`{file}` is not a saved run: it has no metric, loss and circuit")
    return run
