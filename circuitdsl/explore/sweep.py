"""`sweep`: a grid of params times seeds, as one labelled dataset.

Every point of the grid with every seed is one run, exactly the run that `run` would do. What is finished is kept in a
journal beside the file, so that a sweep goes on after a kill with nothing computed twice.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.api import Circuit, DType, Outcome, Simulation, load
from circuitdsl.explore.journal import Journal
from circuitdsl.explore.lives import Life, Part, Setup, abreast, from_bytes, live, live_abreast, to_bytes
from circuitdsl.explore.objective import Objective, default_objective
from circuitdsl.frozen import frozen
from circuitdsl.runtime.backends import DEFAULT, is_interpreted
from circuitdsl.runtime.data import Dataset
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.population import cores
from circuitdsl.runtime.request import Learn, Override, Request, Settings
from circuitdsl.runtime.state import circuit_hash
from circuitdsl.runtime.where import Where, place

if TYPE_CHECKING:
    import xarray as xr

    from circuitdsl.explore.bar import Bar
    from circuitdsl.runtime.data import Scale
    from circuitdsl.runtime.scheduler import Scheduler

Grid = Mapping[str, Sequence[Override]]
#: A run of a sweep: its point, by number, and its seed.
Key = tuple[int, int]


def sweep(
    circuit: Circuit | str | Path,
    grid: Grid,
    *,
    seeds: int = 1,
    data: Any = None,
    task: str | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    seed: int | None = None,
    scale: Scale | None = None,
    params: Mapping[str, Override] | None = None,
    learn: Learn | None = None,
    target: str = DEFAULT,
    dtype: DType = "float32",
    without: Collection[str] = (),
    out: str | Path | None = None,
    jobs: int | None = None,
    cluster: str | Scheduler | None = None,
    progress: Bar | None = None,
) -> xr.Dataset:
    """Runs every combination of the values in `grid` (param -> values) with `seeds` seeds, from `seed` or the task's.

    Gives `metric` and `loss` over (each param of the grid, seed, epoch), `diverged` and every record; other arguments
    are those of `Circuit.compile` and `Simulation.run`. `params` holds further params, the same at every point. `out`:
    a netCDF file to write, with a journal beside it meanwhile. `jobs`: how many runs at once (all processors),
    where they do not live side by side on a device; `cluster`: a dask scheduler to send them to instead, by its
    address, or as a Scheduler with certificates.
    Raises UsageError, CircuitError, Unfinished, KeyboardInterrupt; what is in the journal then stays there."""
    request = Request(
        task=task, data=data, epochs=epochs, batch=batch, seed=seed, scale=scale, params=params or {}, learn=learn
    )
    found = circuit if isinstance(circuit, Circuit) else load(circuit)
    planned = plan_sweep(Simulation(found, target=target, dtype=dtype, without=without), grid, request, seeds)
    return run_sweep(planned, out=None if out is None else Path(out), jobs=jobs, cluster=cluster, progress=progress)


# ---------------------------------------------------------------- what there is to do


@frozen(kw_only=True)
class Point:
    """A point of the grid: `values` in the order of the grid's params."""

    values: tuple[Override, ...]
    setup: Setup
    life: Life


@frozen(kw_only=True)
class Sweep:
    """All that a sweep will do. `attributes` say where it comes from; `identity` what must be the same to go on."""

    simulation: Simulation
    grid: Grid
    seeds: range
    points: tuple[Point, ...]
    settings: Settings
    objective: Objective | None
    attributes: Mapping[str, Any]
    identity: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(values) for values in self.grid.values())


def plan_sweep(simulation: Simulation, grid: Grid, request: Request, seeds: int) -> Sweep:
    """Prepares every point, so that what is wrong with one is said before anything runs. Raises UsageError,
    CircuitError."""
    grid = {name: tuple(plain(value) for value in values) for name, values in grid.items()}
    request = replace(request, params={name: plain(value) for name, value in request.params.items()})
    _check_grid(grid, request.params)
    setups: dict[tuple[Any, ...], Setup] = {}
    points: list[Point] = []
    first: Outcome | None = None
    for values in product(*grid.values()):
        params = {**request.params, **dict(zip(grid, values, strict=True))}
        outcome = simulation.prepare(replace(request, params=params))
        first = first or outcome
        points.append(_point(simulation, values, outcome, setups))
    assert first is not None
    numbers = range(first.settings.seed, first.settings.seed + seeds)
    identity = _identity(simulation, grid, request, numbers, first, points)
    return Sweep(
        simulation=simulation,
        grid=grid,
        seeds=numbers,
        points=tuple(points),
        settings=first.settings,
        objective=default_objective(simulation.circuit.ir, first.settings.task),
        attributes=_attributes(simulation, grid, first, request),
        identity=identity,
    )


def _check_grid(grid: Grid, params: Mapping[str, Override]) -> None:
    for name, values in grid.items():
        if not values:
            raise UsageError(f"`{name}` has no values to sweep over")
        for i, value in enumerate(values):
            if value in values[:i]:
                raise UsageError(f"`{name}` is to take the value {label(value)} twice")
        if name in params:
            raise UsageError(f"`{name}` is both swept and set")
        whole = name.partition("[")[0]
        if name != whole and (whole in grid or whole in params):  # one of the two would say nothing
            raise UsageError(
                f"`{name}` is part of `{whole}`, which is {'swept' if whole in grid else 'set'} as a whole"
            )


def plain(value: Override) -> Override:
    """A number or a list of numbers, of whatever kind it was."""
    import numpy as np

    numbers: float | list[float] = np.asarray(value, dtype=np.float64).tolist()
    return numbers


def label(value: Override) -> str:
    """A value as it is written."""
    if isinstance(value, int | float):
        return f"{value:g}"
    return f"[{', '.join(f'{v:g}' for v in value)}]"


def _point(
    simulation: Simulation, values: tuple[Override, ...], outcome: Outcome, setups: dict[tuple[Any, ...], Setup]
) -> Point:
    loop, graph = outcome.loop, outcome.run.circuit
    key = (circuit_hash(graph), repr(loop.plan), id(loop.dataset))
    if key not in setups:
        folder = simulation.circuit.folder
        setups[key] = Setup(
            graph=graph,
            plan=loop.plan,
            dataset=loop.dataset,
            target=simulation.target,
            dtype=simulation.dtype,
            folder=None if folder is None else folder.resolve(),
            without=simulation.without,
            key=digest(key[:2], simulation.target, simulation.dtype, *sorted(simulation.without)),
        )
    life = Life(numbers=loop.numbers, seed=0, epochs=loop.epochs, batch=loop.batch)
    return Point(values=values, setup=setups[key], life=life)


def digest(*parts: Any) -> str:
    """A fingerprint of what has a faithful `repr`."""
    from hashlib import sha256

    return sha256(repr(parts).encode()).hexdigest()[:16]


def content_of(dataset: Dataset) -> str:
    """A fingerprint of data: a file may change while its name stays."""
    from hashlib import blake2b

    found = blake2b(digest_size=8)
    for name, array in (*dataset.arrays.items(), *_parts(dataset)):
        found.update(f"{name} {array.shape} {array.dtype}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def _parts(dataset: Dataset) -> Iterator[tuple[str, Any]]:
    yield from (("train", dataset.train), ("test", dataset.test))
    if len(dataset.validation):
        yield "validation", dataset.validation


def _identity(
    simulation: Simulation, grid: Grid, request: Request, seeds: range, first: Outcome, points: Sequence[Point]
) -> dict[str, Any]:
    """What has to be the same to go on: for people first, then fingerprints of all the rest."""
    settings = first.settings.attributes()
    shown = ("task", "data", "epochs", "batch", "scale", "learn", "validation")
    lives = [(p.setup.key, content_of(p.setup.dataset)) for p in {id(p.setup): p for p in points}.values()]
    return {
        "circuit": simulation.circuit.name,
        **{key: settings[key] for key in shown if key in settings},
        "target": simulation.target,
        "dtype": simulation.dtype,
        "params": dict(request.params),
        "grid": {name: list(values) for name, values in grid.items()},
        "seeds": list(seeds),
        "content": digest([content for _, content in lives]),
        "hash": digest([key for key, _ in lives]),
        "runs": digest([(sorted(p.life.numbers.items()), p.life.epochs, p.life.batch) for p in points]),
    }


def _attributes(simulation: Simulation, grid: Grid, first: Outcome, request: Request) -> dict[str, Any]:
    """Where the results come from; `params` are those that no coordinate gives."""
    attributes = simulation.attributes(first)
    del attributes["seed"], attributes["hash"]
    _, numbers = simulation.circuit.with_params(request.params)
    fixed = {k: v for k, v in numbers.items() if k not in grid and k.partition("[")[0] not in grid}
    return {**attributes, "params": json.dumps(fixed)}


# ---------------------------------------------------------------- doing it


def run_sweep(
    planned: Sweep,
    *,
    out: Path | None = None,
    jobs: int | None = None,
    cluster: str | Scheduler | None = None,
    progress: Bar | None = None,
) -> xr.Dataset:
    """Does what of it is not done yet. See `sweep`."""
    from circuitdsl.explore.bar import Quiet
    from circuitdsl.explore.gather import gather

    bar = progress or Quiet()
    journal = None if out is None else Journal.at(out, "sweep", planned.identity)
    if journal is not None and (finished := journal.finished()) is not None:
        return finished
    parts = {} if journal is None else _kept(planned, journal)
    todo = [key for key in _keys(planned) if key not in parts]
    bar.start(planned.simulation.circuit.name, len(planned.points) * len(planned.seeds), len(parts))
    for key, part in _done(planned, todo, jobs, cluster):
        if journal is not None:
            journal.keep(_name(*key), to_bytes(part))
        parts[key] = part
        bar.advance(_told(planned, part))
    dataset = gather(planned, parts)
    if journal is not None:
        journal.finish(dataset)
    return dataset


def _keys(planned: Sweep) -> Iterator[Key]:
    """(point, seed) in the order of doing: every point with the first seed, then with the next."""
    return ((point, seed) for seed in planned.seeds for point in range(len(planned.points)))


def _done(
    planned: Sweep, todo: Sequence[Key], jobs: int | None, cluster: str | Scheduler | None
) -> Iterator[tuple[Key, Part]]:
    """Does what is to do: side by side on a device that has room for several runs, else each by itself, on several
    cores or a cluster."""
    here = [] if cluster is not None else list(_together(planned, todo))
    for keys in here:
        setup = planned.points[keys[0][0]].setup
        yield from zip(keys, live_abreast(setup, [_life(planned, key) for key in keys]), strict=True)
    together = {key for keys in here for key in keys}
    rest = [key for key in todo if key not in together]
    if rest:
        with _place(planned, jobs, cluster, len(rest)) as where:
            work = [(planned.points[key[0]].setup, _life(planned, key)) for key in rest]
            for index, part in where.map(live, work):
                yield rest[index], part


def _together(planned: Sweep, todo: Sequence[Key]) -> Iterator[list[Key]]:
    """Runs that may stand side by side on a device."""
    alike: dict[tuple[int, int], list[Key]] = {}
    for key in todo:
        point = planned.points[key[0]]
        alike.setdefault((id(point.setup), point.life.batch), []).append(key)
    for keys in alike.values():
        size = abreast(planned.points[keys[0][0]].setup, _life(planned, keys[0])) if len(keys) > 1 else 1
        yield from (keys[at : at + size] for at in range(0, len(keys), size) if size > 1)


def _life(planned: Sweep, key: Key) -> Life:
    return replace(planned.points[key[0]].life, seed=key[1])


def _place(planned: Sweep, jobs: int | None, cluster: str | Scheduler | None, runs: int) -> Where:
    interpreted = is_interpreted(planned.simulation.target)
    return place(min(jobs or cores(), runs), cluster, kind="processes" if interpreted else "threads")


def _name(point: int, seed: int) -> str:
    return f"{point:05d}-{seed}.npz"


def _kept(planned: Sweep, journal: Journal) -> dict[Key, Part]:
    """The parts in the journal."""
    found = {}
    for key in _keys(planned):
        content = journal.entry(_name(*key))
        if content is not None:
            try:
                found[key] = from_bytes(content)
            except ValueError:
                continue  # what a failing disk left: it is done again
    return found


def _told(planned: Sweep, part: Part) -> str:
    if part.why:
        return "diverged"
    series, what = (part.metric, "metric") if part.metric[-1] == part.metric[-1] else (part.loss, "loss")
    return f"{what} {series[-1]:.4g}"
