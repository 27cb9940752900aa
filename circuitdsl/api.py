"""The Python API: `load` a circuit, `compile` it, `run` it.

import circuitdsl as cd

circuit = cd.load("circuits/heterosynaptic/self_assembly.circ")
run = circuit.compile(target="cpu").run(data="digits", epochs=60, batch=16, seed=0)
float(run["metric"][-1])
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from circuitdsl.diagnostics import CircuitError, Diagnostic, Severity, render
from circuitdsl.extras import named
from circuitdsl.graph import ir
from circuitdsl.graph.resolve import Loaded, load_file, load_text
from circuitdsl.runtime.backends import DEFAULT, back_end, make_engine, printing
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.request import (
    DEFAULT_BATCH,
    Learn,
    Override,
    Request,
    Settings,
    check_ticks,
    one_of,
    settle,
    task_of,
)

if TYPE_CHECKING:
    import xarray as xr

    from circuitdsl.certify.certificate import Certificate
    from circuitdsl.derive.prove.findings import Finding
    from circuitdsl.derive.tell.derivation import Derivation
    from circuitdsl.draw.drawing import Drawing
    from circuitdsl.emit.target import Fit
    from circuitdsl.graph.machine import Engine
    from circuitdsl.graph.symbols import Symbols
    from circuitdsl.lower.loop_ir import Aim, Program
    from circuitdsl.lower.pipeline import Fired
    from circuitdsl.runtime.data import Dataset, Scale
    from circuitdsl.runtime.expects import Judged
    from circuitdsl.runtime.progress import Progress
    from circuitdsl.runtime.saving import Results
    from circuitdsl.runtime.simulate import Loop, Run

DType = Literal["float32", "float64"]


def load(path: str | Path) -> Circuit:
    """Reads, elaborates and checks a `.circ` file; a file that is not there is looked for in the
    shipped library.

    Raises CircuitError, which carries all diagnostics, and OSError."""
    from circuitdsl.shipped import find_circuit

    place = find_circuit(path)
    return Circuit(lambda overrides: load_file(place, overrides=overrides), place)


def loads(text: str, name: str = "<text>") -> Circuit:
    """Like `load`, for a text."""
    return Circuit(lambda overrides: load_text(text, name, overrides=overrides), None)


class Circuit:
    """A checked circuit. `ir` is its graph, `warnings` what its check found short of an error."""

    def __init__(self, load: Callable[[Mapping[str, Override] | None], Loaded], path: Path | None):
        self._load = load
        self.path = path
        loaded = load(None)
        self.warnings: tuple[Diagnostic, ...] = tuple(loaded.warnings)
        self._files = loaded.files
        self.ir = _the_circuit(loaded, path)
        self._elaborated: dict[str, ir.Circuit] = {}

    @property
    def name(self) -> str:
        return self.ir.name

    @property
    def folder(self) -> Path | None:
        """Beside what its data and weight files are looked for."""
        return None if self.path is None else self.path.parent

    @cached_property
    def symbols(self) -> Symbols:
        """The names of the text and of its imports, each with the places of its declarations and uses, by path:
        `circuit.symbols["h.basal"].uses`."""
        from circuitdsl.graph.symbols import symbols_of

        return symbols_of(self._files)

    def __repr__(self) -> str:
        graph = self.ir
        plastic = sum(s.dw is not None for s in graph.synapses.values())
        return (
            f"<circuit {self.name}: {len(graph.of_kind(ir.Kind.RATE))} neuron populations, "
            f"{plastic} plastic of {len(graph.synapses)} synapses>"
        )

    def with_params(self, params: Mapping[str, Override]) -> tuple[ir.Circuit, dict[str, float]]:
        """The graph and its numbers under other params; structural ones elaborate it anew.

        Raises UsageError for a param that is not there or cannot have that value, CircuitError if
        the circuit is wrong with it."""
        from circuitdsl.graph.numbers import check_kind, numbers_of

        structural: dict[str, Override] = {}
        try:
            for name, value in params.items():
                param = self.ir.params.get(name) or self.ir.params.get(name.partition("[")[0])
                if param is not None and param.structural:
                    check_kind(param, name, value)
                    structural[name] = value
            graph = self._with_structure(structural) if structural else self.ir
            numbers = numbers_of(graph, {k: v for k, v in params.items() if k not in structural})
        except ValueError as problem:
            raise UsageError(str(problem)) from None
        if params:
            _check_ranges(graph, numbers)
        return graph, numbers

    def _with_structure(self, params: Mapping[str, Override]) -> ir.Circuit:
        """The graph elaborated with other structural params; kept, because a sweep asks for the same ones again."""
        key = repr(sorted(params.items()))
        if key not in self._elaborated:
            self._elaborated[key] = _the_circuit(self._load(params), self.path)
        return self._elaborated[key]

    def derive(
        self,
        *,
        params: Mapping[str, Override] | None = None,
        measure: bool = True,
        task: str | None = None,
        data: Any = None,
    ) -> Derivation:
        """What the circuit's own plasticity amounts to (theory.md, sections 3 and 4).

        Where algebra does not decide, or decides what holds only where something is met, and there is a task or data, a
        short certificate measures, unless `measure` is False: it decides, tells what it found beside `aligned`, and
        takes back the verdicts whose hypotheses were not met. Raises UsageError for a param or task that is not there,
        CircuitError if the circuit is wrong with it."""
        from circuitdsl.derive.tell.derivation import derive

        graph, _ = self.with_params(params or {})
        task_of(graph, task)
        if params:
            graph = _the_circuit(self._load(params), self.path)
        found = derive(graph)
        asked = [f.synapse for f in found.findings.values() if f.role == "learning" and not _is_settled(f)]
        if not measure or not asked:
            return found
        with named():
            from circuitdsl.certify.certify import measure as measured
            from circuitdsl.derive.prove.findings import with_measured

            return with_measured(found, measured(found, asked, task=task, data=data, folder=self.folder))

    def draw(
        self, *, verdicts: bool = True, measure: bool = False, params: Mapping[str, Override] | None = None
    ) -> Drawing:
        """The circuit as a drawing, which shows itself in a notebook and writes itself as SVG, PNG or PDF (`save`).

        With `verdicts` each learning synapse has the verdict of `derive`, measured too if `measure`. Raises UsageError
        for a param that is not there, CircuitError if the circuit is wrong with it."""
        from circuitdsl.draw.drawing import drawing
        from circuitdsl.draw.told import Told

        graph, _ = self.with_params(params or {})
        if not verdicts:
            return drawing(graph)
        from circuitdsl.derive.tell.brief import attracted, brief

        found = self.derive(params=params, measure=measure)
        comes_to = attracted(found)
        told = {f.synapse: Told(role=f.role, note=brief(f) or comes_to.get(f.synapse)) for f in found.findings.values()}
        return drawing(graph, told)

    def _repr_svg_(self) -> str:
        return self.draw().svg()

    def certify(
        self,
        *,
        data: Any = None,
        seeds: int = 5,
        params: Mapping[str, Override] | None = None,
        **request: Any,
    ) -> Certificate:
        """The measured certificate, held against the derivation; `request`: task, epochs, batch, seed, scale,
        dtype, examples, long, jobs, cluster."""
        graph, numbers = self.with_params(params or {})
        with named():
            from circuitdsl.certify.certify import certify

            return certify(graph, numbers=numbers, data=data, seeds=seeds, folder=self.folder, **request)

    def compile(self, target: str = DEFAULT, *, dtype: DType = "float32", without: Collection[str] = ()) -> Simulation:
        """The circuit made ready to run on one of `runtime.backends.BACK_ENDS`, `without` the passes of these names
        (lower/pipeline.py). The code is generated at the first run, when it is known what to measure, and cached on
        disk by content. Raises UsageError."""
        return Simulation(self, target=target, dtype=dtype, without=without)

    def run(self, *, target: str = DEFAULT, dtype: DType = "float32", **request: Any) -> xr.Dataset:
        """`compile(target, dtype=dtype).run(...)`."""
        return self.compile(target, dtype=dtype).run(**request)


def _is_settled(finding: Finding) -> bool:
    """Whether a measurement has nothing to say of a verdict: it assumes nothing, and is about more than examples."""
    return finding.verdict not in (None, "aligned") and finding.assumed.empty


def _check_ranges(graph: ir.Circuit, numbers: dict[str, float]) -> None:
    """What the check of the text has found of the params as written. Raises UsageError."""
    from circuitdsl.graph.checks.settings import dynamic_ranges

    for finding in dynamic_ranges(graph, numbers):
        raise UsageError(f"with these params {finding.title}" + (f": {finding.label}" if finding.label else ""))


def _the_circuit(loaded: Loaded, path: Path | None) -> ir.Circuit:
    if loaded.circuit is None:
        raise UsageError(f"`{path or 'the text'}` holds rules and motifs, but no circuit to run")
    return loaded.circuit


# ---------------------------------------------------------------- running


@dataclass(frozen=True, slots=True, kw_only=True)
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


def _told_of(task: ir.Task) -> str:
    """`digits, epochs 40, batch 16, seed 0, metric accuracy(out, y)`"""
    settings = {"epochs": task.epochs, "batch": task.batch, "seed": task.seed, "metric": task.metric}
    told = (f"{name} {' '.join(expr.span.text.split())}" for name, expr in settings.items() if expr is not None)
    return ", ".join([task.data, *told])


def _warn_of(outcome: Outcome) -> None:
    for diagnostic in outcome.foreseen():
        if diagnostic.severity is not Severity.NOTE:
            _warn(diagnostic)


def _warn_interrupted(outcome: Outcome, out: Path | None) -> None:
    import warnings

    kept = (
        f"; `resume=True` goes on from {out}" if out is not None else "; `resume=` of what it gave goes on from there"
    )
    told = f"interrupted after epoch {outcome.run.epochs_done}: this is what there is{kept}"
    warnings.warn(told, RuntimeWarning, stacklevel=4)


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


def _warn(diagnostic: Diagnostic) -> None:
    import warnings

    warnings.warn(render(diagnostic), RuntimeWarning, stacklevel=4)


class Simulation:
    """A circuit on a target, in a precision. Engines are kept, so that runs with other numbers,
    seeds or data do not compile again."""

    def __init__(
        self, circuit: Circuit, *, target: str = DEFAULT, dtype: DType = "float32", without: Collection[str] = ()
    ):
        back_end(target)
        one_of("dtype", dtype, get_args(DType))
        self.without = passes_of(without)
        self.circuit, self.target, self.dtype = circuit, target, dtype
        self._engines: dict[tuple[str, str], Engine] = {}
        self._data: tuple[Any, Dataset, Any] | None = None

    def __repr__(self) -> str:
        return f"<simulation of {self.circuit.name}: {self.target}, {self.dtype}>"

    def _repr_html_(self) -> str:
        """What would run: the circuit, where, in which precision, and the settings of its tasks."""
        from circuitdsl.markup.html import joined, table, tag

        tasks = [(f"task {name}", _told_of(task)) for name, task in self.circuit.ir.tasks.items()]
        rows = [("circuit", self.circuit.name), ("target", self.target), ("precision", self.dtype), *tasks]
        return str(joined([tag("p", repr(self)), table((), [(name, tag("code", said)) for name, said in rows])]))

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

        def now_and_then(outcome: Outcome) -> None:
            if results.is_due:
                results.keep(outcome.settings.seed, self.dataset_of(outcome))
                results.write()

        with progress_line() if progress else Quiet() as line:
            for seed in self.seeds_of(request, count, results.before):
                outcome = self.execute(
                    replace(request, seed=seed),
                    progress=line,
                    saved=results.before.get(seed),
                    before=None if results.done else _warn_of,
                    after_epoch=now_and_then,
                )
                results.keep(seed, self.dataset_of(outcome))
                results.write()
                if outcome.run.diverged is not None:
                    _warn(outcome.run.diverged)
                if outcome.run.interrupted:
                    _warn_interrupted(outcome, results.out)
                    break
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
        from circuitdsl.graph.functions import quiet
        from circuitdsl.runtime.simulate import simulate
        from circuitdsl.runtime.where import one_thread

        def told(_: Run) -> None:
            if after_epoch is not None:
                after_epoch(outcome)

        with quiet(), one_thread():  # the same bits on a machine with more processors
            outcome = self.prepare(request, progress=progress)
            if saved is not None:
                self._continue(outcome, saved)
            if before is not None:
                before(outcome)
            simulate(outcome.loop, outcome.run, after_epoch=told)
        return outcome

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
            graph = _twin(graph)
        plans = plan(graph, settings.task.metric if settings.task else None)
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
        from circuitdsl.runtime.state import circuit_hash

        key = (circuit_hash(graph), repr(probes))
        if key not in self._engines:
            self._engines[key] = make_engine(self.target, graph, probes, self.dtype, self.without)
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


def _twin(graph: ir.Circuit) -> ir.Circuit:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """What is to be emitted of a circuit. `without`: the names of passes that are left out; `arch`: a GPU's."""

    circuit: Circuit
    params: Mapping[str, Override] = field(default_factory=dict)
    dtype: DType = "float32"
    learn: Learn = "circuit"
    task: str | None = None
    without: Collection[str] = ()
    arch: str | None = None

    def source(self, target: str = DEFAULT) -> str:
        """The source that a run with these settings compiles. Raises UsageError, CircuitError."""
        from circuitdsl.lower.loop_ir import Aim, for_teams
        from circuitdsl.lower.pipeline import passed

        printer, without = printing(target), passes_of(self.without)
        aim = for_teams(self.dtype) if printer.teams else Aim(dtype=self.dtype)
        graph, lowered = self._programs(aim)
        programs = [passed(p, aim, without=without) for p in lowered]
        if printer.print_fitted is None:
            return "\n\n".join(printer.print_program(program, self.dtype) for program in programs)
        return "\n\n".join(printer.print_fitted(p, self.dtype, self._fit(graph, p)) for p in programs)

    def _fit(self, graph: ir.Circuit, program: Program) -> Fit:
        from circuitdsl.emit.target import Fit
        from circuitdsl.graph.numbers import evaluate, numbers_of
        from circuitdsl.runtime.extents import bytes_of
        from circuitdsl.runtime.population import CHUNK
        from circuitdsl.runtime.ptx import ARCH

        task, numbers = task_of(graph, self.task), numbers_of(graph, self.params)
        batch = DEFAULT_BATCH if task is None or task.batch is None else int(evaluate(task.batch, numbers))
        sizes = bytes_of(graph, program, numbers, CHUNK if program.name == "evaluate" else batch)
        return Fit(sizes=sizes, arch=self.arch or ARCH)

    def after(self, stage: str) -> str:
        """The loop programs as they stand after a pass, or after `lower`; those of many copies too, where they
        differ. Raises UsageError, CircuitError."""
        from circuitdsl.lower.loop_ir import PLAIN
        from circuitdsl.lower.pipeline import LOWERED, PASSES
        from circuitdsl.lower.show import show

        one_of("stage", stage, (LOWERED, *(p.name for p in PASSES)))
        found = (replace(dict(run)[stage], aim=PLAIN) for run in self._stages())
        return "\n\n".join(show(program) for program in dict.fromkeys(found))

    def passes(self) -> list[Fired]:
        """What each pass does to the programs of a run and of many copies. Raises UsageError, CircuitError."""
        from circuitdsl.lower.pipeline import fired

        return fired(self._stages())

    def _stages(self) -> list[list[tuple[str, Program]]]:
        from circuitdsl.lower.loop_ir import Aim
        from circuitdsl.lower.pipeline import stages
        from circuitdsl.runtime.lanes import aim_of_copies

        graph, programs = self._programs()
        aims = (Aim(dtype=self.dtype), aim_of_copies(graph, self.dtype))
        without = passes_of(self.without)
        return [list(stages(program, aim, without=without)) for aim in dict.fromkeys(aims) for program in programs]

    def _programs(self, aim: Aim | None = None) -> tuple[ir.Circuit, list[Program]]:
        """The graph and all that it becomes; `aim`: for teams of threads."""
        from circuitdsl.lower.loop_ir import PLAIN
        from circuitdsl.lower.schedule import lower_all
        from circuitdsl.runtime.records import plan

        one_of("dtype", self.dtype, get_args(DType))
        one_of("way to learn", self.learn, get_args(Learn))
        graph, _ = self.circuit.with_params(self.params)
        metric = found.metric if (found := task_of(graph, self.task)) else None
        graph = _twin(graph) if self.learn == "backprop" else graph
        return graph, lower_all(graph, plan(graph, metric).probes, aim if aim is not None and aim.teams else PLAIN)


def passes_of(names: Collection[str]) -> frozenset[str]:
    """The names, if passes are called so. Raises UsageError."""
    from circuitdsl.lower.pipeline import PASSES

    for name in names:
        one_of("pass", name, [p.name for p in PASSES])
    return frozenset(names)


def judge_outcomes(circuit: Circuit, outcomes: Sequence[Outcome], *, own_settings: bool) -> tuple[Judged, ...]:
    """The metric expectations of a circuit, held against the mean over its runs' seeds."""
    from circuitdsl.runtime.expects import judge

    metric = sum(o.metric for o in outcomes) / len(outcomes)
    twins = [o.twin.metric for o in outcomes if o.twin is not None]
    twin = sum(twins) / len(twins) if len(twins) == len(outcomes) else None
    return judge(circuit.ir, metric, twin, outcomes[0].loop.numbers, own_settings=own_settings)


__all__ = ["Circuit", "CircuitError", "Outcome", "Request", "Simulation", "UsageError", "load", "loads"]
