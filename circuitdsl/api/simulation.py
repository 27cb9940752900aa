"""A circuit on a target: runs, what they need, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_args

from circuitdsl.diagnostics import Diagnostic, Severity, render
from circuitdsl.emit.target import DType
from circuitdsl.extras import named
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.runtime.backends import DEFAULT, back_end, make_engine
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.request import (
    AUTO,
    Learn,
    Override,
    Request,
    Settings,
    check_ticks,
    one_of,
    passes_of,
    settle,
)

if TYPE_CHECKING:
    import xarray as xr

    from circuitdsl.api.circuit import Circuit
    from circuitdsl.graph.machine import Engine
    from circuitdsl.runtime.choice import Choice
    from circuitdsl.runtime.data import Dataset, Scale
    from circuitdsl.runtime.expects import Judged
    from circuitdsl.runtime.progress import Progress
    from circuitdsl.runtime.saving import Results
    from circuitdsl.runtime.simulate import Loop, Run

# ---------------------------------------------------------------- running


@frozen(kw_only=True)
class Outcome:
    """A run with all that it needs to be told: `loop` holds engine, data and numbers."""

    run: Run
    loop: Loop
    settings: Settings
    twin: Outcome | None = None
    warnings: tuple[Diagnostic, ...] = ()

    @property
    def metric(self) -> float:
        """On the test set at the end; NaN without a metric or after divergence."""
        return self.run.metric[-1]

    @property
    def loss(self) -> float:
        return self.run.loss[-1]

    def foreseen(self) -> list[Diagnostic]:
        """What is to be said before the first example: other weights than the circuit's, weights that will run away."""
        from circuitdsl.runtime.doubts import doubts_of
        from circuitdsl.runtime.stability import warning_before

        if self.run.epochs_done:
            return list(self.warnings)
        unstable = warning_before(self.loop, self.run)
        return [*doubts_of(self.loop.dataset), *self.warnings, *([] if unstable is None else [unstable])]


def _side_by_side(outcome: Outcome) -> int:
    """How many like this one may run side by side."""
    from circuitdsl.runtime.abreast import room_for

    return room_for(outcome.loop, outcome.run)


def _told_of(task: ir.Task) -> str:
    """`digits, epochs 40, batch 16, seed 0, metric accuracy(out, y)`"""
    settings = {"epochs": task.epochs, "batch": task.batch, "seed": task.seed, "metric": task.metric}
    told = (f"{name} {' '.join(expr.span.text.split())}" for name, expr in settings.items() if expr is not None)
    return ", ".join([task.data, *told])


def _warn_of(outcome: Outcome) -> None:
    for diagnostic in outcome.foreseen():
        if diagnostic.severity is not Severity.NOTE:
            _warn(render(diagnostic))


def _warn_interrupted(outcome: Outcome, out: Path | None) -> None:
    kept = (
        f"; `resume=True` goes on from {out}" if out is not None else "; `resume=` of what it gave goes on from there"
    )
    _warn(f"interrupted after epoch {outcome.run.epochs_done}: this is what there is{kept}")


def _results(out: str | Path | None, resume: bool | str | Path | xr.Dataset) -> Results:
    """Where a run is written, and what it goes on from. Raises UsageError."""
    from circuitdsl.runtime.results import split
    from circuitdsl.runtime.saving import Results, saved_runs

    place = None if out is None else Path(out)
    match resume:
        case False:
            return Results(out=place)
        case True if place is None:
            raise UsageError("`resume=True` goes on from the file that `out` names: give both")
        case True:
            assert place is not None
            return Results(out=place, before=saved_runs(place))
        case str() | Path():
            if not Path(resume).exists():
                raise UsageError(f"`resume`: there is no file `{resume}`")
            return Results(out=place, before=saved_runs(Path(resume)))
        case _:
            try:
                return Results(out=place, before=split(resume))
            except (AttributeError, KeyError, ValueError):
                raise UsageError("`resume` is True, a results file, or what an earlier run gave") from None


def _warn(told: str) -> None:
    """A warning at the line of the user: the nearest one that is not ours."""
    import sys
    import warnings

    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals["__name__"].startswith("circuitdsl."):
        frame, level = frame.f_back, level + 1
    warnings.warn(told, RuntimeWarning, stacklevel=level)


class Simulation:
    """A circuit on a target, in a precision. Engines are kept, so that runs with other numbers, seeds or data do not
    compile again. Of the target `auto` the first run makes another one (runtime/choice.py); `choice` says why.
    `threads`: how many processors a run of a large circuit may use (all); no number depends on it."""

    def __init__(
        self, circuit: Circuit, *, target: str = DEFAULT, dtype: DType = "float32", without: Collection[str] = (),
        threads: int | None = None,
    ):  # fmt: skip
        if target != AUTO:
            back_end(target)
        one_of("dtype", dtype, get_args(DType))
        self.without = passes_of(without)
        self.circuit, self.target, self.dtype = circuit, target, dtype
        self.threads = threads
        self.choice: Choice | None = None
        self._engines: dict[tuple[str, str], Engine] = {}
        self._data: tuple[Any, Dataset, Any] | None = None

    def __repr__(self) -> str:
        return f"<simulation of {self.circuit.name}: {self.target}, {self.dtype}>"

    def _repr_html_(self) -> str:
        """What would run: the circuit, where, in which precision, and the settings of its tasks."""
        from circuitdsl.markup.html import AT_LEFT, joined, table, tag

        tasks = [(f"task {name}", _told_of(task)) for name, task in self.circuit.ir.tasks.items()]
        rows = [("circuit", self.circuit.name), ("target", self.target), ("precision", self.dtype), *tasks]
        told = table((), [(name, tag("code", said)) for name, said in rows], style=AT_LEFT)
        return str(joined([tag("p", repr(self)), told]))

    def run(
        self,
        data: Any = None,
        *,
        epochs: int | None = None,
        batch: int | None = None,
        seed: int | None = None,
        params: Mapping[str, Override] | None = None,
        learn: Learn | None = None,
        task: str | None = None,
        scale: Scale | None = None,
        weights: str | Path | None = None,
        weight_names: Mapping[str, str] | None = None,
        seeds: int = 1,
        progress: bool = False,
        out: str | Path | None = None,
        resume: bool | str | Path | xr.Dataset = False,
    ) -> xr.Dataset:
        """Trains the circuit and gives what it recorded, as `results.to_dataset` says: `metric` and
        `loss` over `epoch`, the records, and the weights at the end (`W1.final`). `run.curves` shows it.

        What is not said comes from the task. `data`: a name, a path, arrays (X [examples, features], y [examples] or
        [examples, size]), two such pairs, the second to test on, a mapping of arrays by the names of populations, or a
        pandas.DataFrame, of which a column is the class or target. `params` sets params, structural ones too.
        `weights`: a safetensors file to start from; `weight_names`: what it calls some of them, theirs -> ours.
        `seeds`: so many runs, from `seed` on, along the dimension `seed`. `progress`: a line, or a bar in a notebook,
        says how far it is. `out`: a netCDF file, written as the run goes on (.csv: the curves alone). `resume`: go on
        from the file of `out` if it is there, from another one, or from what an earlier run gave.

        A run that diverges, or that is interrupted, gives what there is, with a warning and `attrs["diverged"]` or
        `attrs["interrupted"]`. Raises UsageError, CircuitError (data that do not fit), OSError."""
        request = Request(
            task=task,
            data=data,
            epochs=epochs,
            batch=batch,
            seed=seed,
            scale=scale,
            params=params or {},
            learn=learn,
            weights=None if weights is None else Path(weights),
            weight_names=weight_names or {},
        )
        with named():
            from circuitdsl.plot.curves import show_in_notebooks

            show_in_notebooks()
            return self._seeds(request, seeds, _results(out, resume), progress=progress)

    def _seeds(self, request: Request, count: int, results: Results, *, progress: bool) -> xr.Dataset:
        """One run after the other, each kept as it comes; the first that is interrupted is the last."""
        from circuitdsl.runtime.progress import Quiet, progress_line

        def now_and_then(outcomes: Sequence[Outcome]) -> None:
            if results.is_due:
                for outcome in outcomes:
                    results.keep(outcome.settings.seed, self.dataset_of(outcome), goes_on=count > 1)
                results.write()

        seeds = self.seeds_of(request, count, results.before)
        with progress_line() if progress else Quiet() as line:
            asked = self.outcomes(
                request, seeds, progress=line, saved=results.before, before=_warn_of, after_epoch=now_and_then
            )
            for together in asked:
                for outcome in together:
                    results.keep(outcome.settings.seed, self.dataset_of(outcome))
                    results.write()
                    if outcome.run.diverged is not None:
                        _warn(render(outcome.run.diverged))
                    if outcome.run.interrupted:
                        _warn_interrupted(outcome, results.out)
        return results.together()

    def seeds_of(self, request: Request, count: int, saved: Collection[int] = ()) -> range:
        """So many seeds, from the one that is asked for or the task's. Raises UsageError if there are saved runs, and
        none of them is of one of these."""
        if count < 1:
            raise UsageError(f"`seeds` is {count}: it has to be at least 1")
        graph, numbers = self.circuit.with_params(request.params)
        first = settle(graph, request, numbers).seed
        seeds = range(first, first + count)
        if saved and not any(seed in saved for seed in seeds):
            raise UsageError(f"the saved runs are of seed {', '.join(map(str, saved))}, not of {first}")
        return seeds

    def dataset_of(self, outcome: Outcome) -> xr.Dataset:
        """An outcome as labelled arrays with its provenance."""
        from circuitdsl.runtime.results import to_dataset

        outcome.run.settle()
        return to_dataset(outcome.run, self.attributes(outcome))

    def attributes(self, outcome: Outcome) -> dict[str, Any]:
        """Where an outcome comes from: enough to do it again, and to know whether a saved run can
        be gone on with."""
        from circuitdsl.runtime.results import provenance
        from circuitdsl.runtime.state import circuit_hash

        settings = {
            **outcome.settings.attributes(),
            "hash": circuit_hash(outcome.run.circuit),
            "target": self.target,
            "dtype": self.dtype,
        }
        return provenance(outcome.run.circuit, settings, outcome.loop.numbers)

    def execute(
        self,
        request: Request,
        *,
        progress: Progress | None = None,
        saved: xr.Dataset | None = None,
        before: Callable[[Outcome], None] | None = None,
        after_epoch: Callable[[Outcome], None] | None = None,
    ) -> Outcome:
        """Prepares and runs a request. `saved`: a run to go on from, closed once it is read; `before` is told of it
        before the first example, `after_epoch` of each epoch (to save). Raises UsageError, CircuitError."""
        outcome = self._begun(request, progress, saved)
        if before is not None:
            before(outcome)
        self._simulate([outcome], None if after_epoch is None else lambda outcomes: after_epoch(*outcomes))
        return outcome

    def outcomes(
        self,
        request: Request,
        seeds: Sequence[int],
        *,
        progress: Progress | None = None,
        saved: Mapping[int, xr.Dataset] = MappingProxyType({}),
        before: Callable[[Outcome], None] | None = None,
        after_epoch: Callable[[Sequence[Outcome]], None] | None = None,
    ) -> Iterator[list[Outcome]]:
        """A request with several seeds, as `execute` does each: in groups that a device has room for side by side, else
        one after the other. `before` is told of the first, `after_epoch` of those that have ended an epoch. What is
        interrupted is the last. Raises UsageError, CircuitError."""
        waiting = list(seeds)
        while waiting:
            now = [self._begun(replace(request, seed=waiting[0]), progress, saved.get(waiting[0]))]
            if before is not None and len(waiting) == len(seeds):
                before(now[0])
            size = _side_by_side(now[0]) if len(waiting) > 1 else 1
            now += [self._begun(replace(request, seed=seed), None, saved.get(seed)) for seed in waiting[1:size]]
            del waiting[: len(now)]
            self._simulate(now, after_epoch)
            yield now
            if any(outcome.run.interrupted for outcome in now):
                return

    def _begun(self, request: Request, progress: Progress | None, saved: xr.Dataset | None) -> Outcome:
        """All that comes before the first example, or goes on from a saved run."""
        from circuitdsl.graph.functions import quiet
        from circuitdsl.runtime.where import one_thread

        with quiet(), one_thread():
            outcome = self.prepare(request, progress=progress)
            if saved is not None:
                self._continue(outcome, saved)
        return outcome

    def _simulate(self, outcomes: Sequence[Outcome], after_epoch: Callable[[Sequence[Outcome]], None] | None) -> None:
        """Runs one, or several side by side."""
        from circuitdsl.graph.functions import quiet
        from circuitdsl.runtime.simulate import simulate
        from circuitdsl.runtime.where import one_thread

        def told(ended: Sequence[int]) -> None:
            if after_epoch is not None:
                after_epoch([outcomes[at] for at in ended])

        with quiet(), one_thread():  # the same bits on a machine with more processors
            if len(outcomes) == 1:
                simulate(outcomes[0].loop, outcomes[0].run, after_epoch=lambda _: told([0]))
            else:
                from circuitdsl.runtime.abreast import simulate_abreast

                simulate_abreast([(outcome.loop, outcome.run) for outcome in outcomes], after_epoch=told)

    def prepare(self, request: Request, *, progress: Progress | None = None) -> Outcome:
        """Everything up to the first example: graph, data, engine and initial state."""
        from circuitdsl.graph.initial import initial_state
        from circuitdsl.runtime.progress import Quiet
        from circuitdsl.runtime.records import new_series, plan
        from circuitdsl.runtime.simulate import Loop, Run

        graph, numbers = self.circuit.with_params(request.params)
        settings = settle(graph, request, numbers)
        check_ticks(graph, numbers)
        dataset = self._dataset(graph, settings, from_task=request.data is None)
        if settings.learn == "backprop":
            graph = twin_of(graph)
        plans = plan(graph, settings.task.metric if settings.task else None)
        if self.target == AUTO:
            from circuitdsl.runtime.choice import chosen

            self.choice = chosen(graph, numbers, settings.batch, self.dtype)
            self.target = self.choice.target
        engine = self._engine(graph, plans.probes)
        try:
            state = initial_state(graph, numbers, settings.seed, dtype=self.dtype, folder=self.circuit.folder)
        except (ValueError, OSError) as problem:
            raise UsageError(str(problem)) from None
        warnings: tuple[Diagnostic, ...] = ()
        if request.weights is not None:
            from circuitdsl.runtime.state import load_weights

            warnings = load_weights(request.weights, graph, state, request.weight_names)
        loop = Loop(
            engine=engine,
            dataset=dataset,
            plan=plans,
            numbers=numbers,
            epochs=settings.epochs,
            batch=settings.batch,
            seed=settings.seed,
            progress=progress or Quiet(),
        )
        run = Run(graph, state, new_series(graph, plans, numbers))
        return Outcome(run=run, loop=loop, settings=settings, warnings=warnings)

    def trace(self, outcome: Outcome, example: int) -> dict[str, Any]:
        """Every value of every tick [ticks, size], as the circuit learns from one example of the data, by its number.
        The reference interpreter does it, whatever the target."""
        import numpy as np

        from circuitdsl.reference import Reference

        run, loop = outcome.run, outcome.loop
        engine = Reference(run.circuit, (), self.dtype)
        given = (run.state, loop.dataset.arrays, np.array([example]), loop.numbers)
        values = engine.trace(*given, seed=loop.seed, epoch=run.epochs_done, training=True)
        return {name: array[:, 0] for name, array in values.items()}

    def with_twin(self, outcome: Outcome, request: Request, *, progress: Progress | None = None) -> Outcome:
        """The outcome beside its gradient twin's, run with the same seed and settings."""
        twin = self.execute(replace(request, learn="backprop"), progress=progress)
        return replace(outcome, twin=twin)

    def _dataset(self, graph: ir.Circuit, settings: Settings, *, from_task: bool) -> Dataset:
        from circuitdsl.runtime.data import load_data

        sizes = tuple((p.name, p.size) for p in graph.populations.values() if p.kind is not ir.Kind.RATE)
        named = settings.data if isinstance(settings.data, str) else _identity(settings.data)
        key = (named, settings.data_arguments, settings.scale, settings.validation, from_task, sizes)
        if self._data is not None and self._data[0] == key:
            return self._data[1]
        dataset = load_data(
            settings.data,
            settings.data_arguments,
            graph,
            scale=settings.scale,
            validation=settings.validation,
            dtype=self.dtype,
            folder=self.circuit.folder if from_task else None,
            span=settings.task.data_span if from_task and settings.task else None,
        )
        self._data = (key, dataset, settings.data)  # keeps the arrays, so that no other takes their id
        return dataset

    def _engine(self, graph: ir.Circuit, probes: tuple[ir.Expr, ...]) -> Engine:
        from circuitdsl.runtime.cache import is_interpreted
        from circuitdsl.runtime.population import cores
        from circuitdsl.runtime.state import circuit_hash

        key = (circuit_hash(graph), repr(probes))
        if key not in self._engines:
            threads = (1 if is_interpreted() else cores()) if self.threads is None else self.threads
            self._engines[key] = make_engine(self.target, graph, probes, self.dtype, self.without, threads)
        return self._engines[key]

    def _continue(self, outcome: Outcome, saved: xr.Dataset) -> None:
        """Puts the outcome's run where the saved one stopped. Raises UsageError if they are not the
        same run."""
        from circuitdsl.runtime.results import continue_from

        mine = self.attributes(outcome)
        for key in ("circuit", "hash", "params", "data", "batch", "scale", "validation", "learn", "dtype", "seed"):
            theirs = saved.attrs.get(key)
            if theirs is None and key != "validation":  # which only runs that hold some out have
                continue
            if str(theirs) != str(mine.get(key)):
                what = "" if key in ("hash", "params") else f" (`{theirs}`, now `{mine.get(key)}`)"
                differ = "differ" if key in ("params", "data") else "differs"
                raise UsageError(f"the saved run is another one: its {key} {differ}{what}")
        try:
            with saved:  # its arrays may still be in the file
                continue_from(outcome.run, saved, outcome.loop.updates_per_epoch)
        except ValueError as problem:
            raise UsageError(f"the saved run cannot be gone on with: {problem}") from None


def _identity(data: Any) -> tuple[int, ...]:
    """Data given from Python are the same if they are the same objects."""
    match data:
        case Mapping():
            return tuple(id(part) for item in data.items() for part in item)
        case tuple() | list():
            return tuple(map(id, data))
        case _:
            return (id(data),)


def twin_of(graph: ir.Circuit) -> ir.Circuit:
    """The gradient twin, with the records that still mean something in it."""
    from circuitdsl.twin.gradient import twin

    made = twin(graph)
    return replace(made, records=tuple(r for r in made.records if _is_there(r, made)))


def _is_there(record: ir.Record, graph: ir.Circuit) -> bool:
    match record.what:
        case str() as population:
            return population in graph.populations
        case ir.MatrixRef() as matrix:
            return matrix.synapse in graph.synapses
        case ir.MatrixCall() as call:
            return all(m.synapse in graph.synapses for m in call.arguments)
        case expr:
            return all(r.value in graph.values for r in ir.reads(expr))


def judge_outcomes(circuit: Circuit, outcomes: Sequence[Outcome], *, own_settings: bool) -> tuple[Judged, ...]:
    """The metric expectations of a circuit, held against the mean over its runs' seeds."""
    from circuitdsl.runtime.expects import judge

    metric = sum(o.metric for o in outcomes) / len(outcomes)
    twins = [o.twin.metric for o in outcomes if o.twin is not None]
    twin = sum(twins) / len(twins) if len(twins) == len(outcomes) else None
    return judge(circuit.ir, metric, twin, outcomes[0].loop.numbers, own_settings=own_settings)
