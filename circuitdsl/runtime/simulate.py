"""The training loop: epochs, batches, records, and a stop that says where things went wrong.

Drives any `Engine` (the reference or a compiled one). An epoch's training is cut into stretches, so that
records are read on time and a key press is noticed; where it is cut depends on the circuit alone, never
on the clock, so that the same seed gives the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import field
from typing import TYPE_CHECKING, assert_never

from circuitdsl.diagnostics import Diagnostic
from circuitdsl.frozen import frozen, mutable
from circuitdsl.graph.ir import Circuit
from circuitdsl.runtime.aside import Aside, taken_out
from circuitdsl.runtime.course import Answer, Ask, Course, Evaluate, Train, alone, evaluating, timed, training
from circuitdsl.runtime.data import SHUFFLE, Dataset, permutation
from circuitdsl.runtime.divergence import bad_evaluation, bad_update
from circuitdsl.runtime.progress import Progress, Quiet
from circuitdsl.runtime.records import Plan, Reader, Series
from circuitdsl.runtime.stay import AtHome, Stay, staying
from circuitdsl.runtime.stopping import stop_if_told

if TYPE_CHECKING:
    from circuitdsl.graph.machine import Engine, Indices, Numbers, State

#: Weight reads in one stretch of training: about a second of compiled code.
STRETCH = 1_000_000_000


@mutable
class Run:
    """A run so far: what it has measured and the state it goes on from. While it is being simulated the state may be
    on a device: `settle` brings it back, to be read.

    `loss` and `metric` have one value per epoch done, the first before training; NaN where there is
    none. `validation` has both, metric and loss, on the examples held out to judge choices, if there are some.
    `seconds` is spent training `examples` examples in this process (not evaluating, compiling or loading),
    `compile_seconds` compiling."""

    circuit: Circuit
    state: State
    series: list[Series]
    epochs_done: int = 0
    updates_done: int = 0
    loss: list[float] = field(default_factory=list)
    metric: list[float] = field(default_factory=list)
    validation: list[tuple[float, float]] = field(default_factory=list)
    seconds: float = 0.0
    compile_seconds: float = 0.0
    examples: int = 0
    diverged: Diagnostic | None = None
    interrupted: bool = False
    stay: Stay = field(init=False)

    def __post_init__(self) -> None:
        self.stay = AtHome(self.state)

    def settle(self) -> None:
        """Makes `state` what it is where the run computes."""
        self.stay.settle()


@frozen(kw_only=True)
class Loop:
    """Everything that stays the same during a run. `order(epoch)` shuffles by (seed, epoch)."""

    engine: Engine
    dataset: Dataset
    plan: Plan
    numbers: Numbers
    epochs: int
    batch: int
    seed: int
    progress: Progress = field(default_factory=Quiet)

    def order(self, epoch: int) -> Indices:
        train = self.dataset.train
        return train[permutation(len(train), purpose=SHUFFLE, seed=self.seed, epoch=epoch)]

    @property
    def compile_seconds(self) -> float:
        """What the engine has spent compiling so far; an interpreter compiles nothing."""
        return float(getattr(self.engine, "compile_seconds", 0.0))

    @property
    def updates_per_epoch(self) -> int:
        return math.ceil(len(self.dataset.train) / self.batch)

    def reader(self, run: Run) -> Reader:
        return Reader(self.plan, run.state, self.dataset, run.epochs_done, run.stay.settle)


def simulate(loop: Loop, run: Run, *, after_epoch: Callable[[Run], None] | None = None) -> Run:
    """Trains until `loop.epochs` epochs are done, reading records on the way; changes `run`.

    A fresh run is measured once before it starts. `after_epoch` is called after each epoch (to save).
    Ends early, with `run.diverged` saying why, if a weight, a state or the loss is no longer
    finite; or with `run.interrupted` on KeyboardInterrupt or when told to stop, put back to the last whole
    epoch, so that going on gives the same bits as never having stopped."""
    compiled = loop.compile_seconds
    loop.progress.start(run.circuit.name, loop.epochs, len(loop.dataset.train), run.epochs_done)
    with staying(loop.engine, run.state) as run.stay:
        alone(course_of(loop, run, after_epoch), lambda ask: _answer(loop, run, ask))
    run.stay = AtHome(run.state)
    run.compile_seconds += loop.compile_seconds - compiled
    return run


def _answer(loop: Loop, run: Run, ask: Ask) -> Answer:
    """By the run's own engine."""
    match ask:
        case Train():
            return timed(lambda: _train(loop, run, ask), lambda: loop.compile_seconds)
        case Evaluate():
            return loop.engine.evaluate(
                run.state, loop.dataset.arrays, ask.examples, loop.numbers, seed=loop.seed, epoch=ask.epoch,
                watch=ask.watch,
            )  # fmt: skip
        case _:
            assert_never(ask)


def _train(loop: Loop, run: Run, ask: Train) -> None:
    loop.engine.train(
        run.state, loop.dataset.arrays, ask.examples, loop.numbers, seed=loop.seed, epoch=ask.epoch, batch=loop.batch
    )


def course_of(loop: Loop, run: Run, after_epoch: Callable[[Run], None] | None = None) -> Course[None]:
    """All that `simulate` does, but for the training and the evaluation, which are asked for."""
    if not run.loss:
        yield from _measure(loop, run)
    before = _Mark.of(run)
    try:
        while run.epochs_done < loop.epochs and run.diverged is None:
            yield from _epoch(loop, run, before)
            before = _Mark.of(run)  # what is whole stays, also when the saving of it is interrupted
            if after_epoch is not None and run.diverged is None:
                after_epoch(run)
            if run.epochs_done < loop.epochs:
                before = _Mark.of(run)
    except KeyboardInterrupt:
        before.restore(run)
        run.interrupted = True


@frozen
class _Mark:
    """A place that a run can be put back to: the start of an epoch."""

    aside: Aside
    updates: int
    epochs: int
    lengths: list[int]

    @staticmethod
    def of(run: Run) -> _Mark:
        return _Mark(run.stay.put_aside(), run.updates_done, run.epochs_done, [len(s.at) for s in run.series])

    def state(self, run: Run) -> State:
        """The state that the epoch started at, a copy."""
        return taken_out(self.aside, run.state)

    def restore(self, run: Run) -> None:
        self.aside.restore(run.state)
        run.updates_done, run.epochs_done = self.updates, self.epochs
        del run.loss[self.epochs + 1 :], run.metric[self.epochs + 1 :], run.validation[self.epochs + 1 :]
        for series, length in zip(run.series, self.lengths, strict=True):
            del series.at[length:], series.values[length:]


def _epoch(loop: Loop, run: Run, before: _Mark) -> Course[None]:
    order = loop.order(run.epochs_done)
    done = 0
    for stop in stops(loop, run):
        examples = order[done * loop.batch : stop * loop.batch]
        stop_if_told()
        run.seconds += yield from training(examples, run.epochs_done)
        run.examples += len(examples)
        run.updates_done += stop - done
        done = stop
        loop.progress.advance(len(examples))
        if not run.stay.is_finite():
            run.settle()
            run.diverged = bad_update(loop, run.epochs_done, before.state(run), order, done, before.updates)
            run.loss.append(math.nan)
            run.metric.append(math.nan)
            if run.validation:
                run.validation.append((math.nan, math.nan))
            return
        yield from _record_updates(loop, run)
    run.epochs_done += 1
    yield from _measure(loop, run, before)


def stops(loop: Loop, run: Run) -> Iterator[int]:
    """After which updates of the coming epoch to stop, counted within it, the last one included."""
    total, offset = loop.updates_per_epoch, run.updates_done
    stretch = _stretch(loop, run)
    every = sorted({s.every for s in run.series if s.every is not None})
    position = 0
    while position < total:
        due = [(offset + position) // n * n + n - offset for n in every]
        position = min(total, position + stretch, *due)
        yield position


def _stretch(loop: Loop, run: Run) -> int:
    """Updates in one stretch of training."""
    weights = sum(w.size for w in run.state.weights.values())
    units = sum(v.size for v in loop.engine.circuit.values.values())
    return max(1, STRETCH // (loop.batch * (weights + units)))


def _record_updates(loop: Loop, run: Run) -> Course[None]:
    """Reads what is recorded every so many updates, if its time has come."""
    reader = loop.reader(run)
    for record, series in zip(loop.plan.records, run.series, strict=True):
        due = series.every is not None and run.updates_done % series.every == 0
        if due and (not series.at or series.at[-1] != run.updates_done):
            series.at.append(run.updates_done)
            series.values.append((yield from reader.read(record)))


def _validated(loop: Loop, run: Run) -> Course[tuple[float, float]]:
    """Metric and loss on the validation set."""
    found = yield from evaluating(loop.dataset.validation, run.epochs_done)
    return (
        found.probes[0] if loop.plan.has_metric else math.nan,
        math.nan if found.loss is None else found.loss,
    )


def _measure(loop: Loop, run: Run, before: _Mark | None = None) -> Course[None]:
    """Evaluates the test set after an epoch that started at `before`, or before the first, and reads
    what is due."""
    reader = loop.reader(run)
    found = yield from reader.evaluation()
    loss = math.nan if found.loss is None else found.loss
    metric = found.probes[0] if loop.plan.has_metric else math.nan
    run.loss.append(loss)
    run.metric.append(metric)
    if len(loop.dataset.validation):
        run.validation.append((yield from _validated(loop, run)))
    for record, series in zip(loop.plan.records, run.series, strict=True):
        if series.every is None:
            series.at.append(run.epochs_done)
            series.values.append((yield from reader.read(record)))
    if run.epochs_done == 0:
        yield from _record_updates(loop, run)
    loop.progress.measured(run.epochs_done, found.loss, metric if loop.plan.has_metric else None)
    if found.loss is not None and not math.isfinite(loss):
        run.settle()
        start = None if before is None else before.state(run)
        run.diverged = bad_evaluation(loop, run.epochs_done, run.state, start)
        run.metric[-1] = math.nan  # what an accuracy makes of such rates means nothing
