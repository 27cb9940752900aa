"""What is asked of a run, and what becomes of it with the task's settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from operator import index
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from circuitdsl.diagnostics import did_you_mean
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.graph.numbers import evaluate, whole
from circuitdsl.runtime.errors import UsageError

if TYPE_CHECKING:
    from circuitdsl.runtime.data import Scale

Learn = Literal["circuit", "backprop"]
Override = float | Sequence[float]

DEFAULT_EPOCHS, DEFAULT_BATCH, DEFAULT_SEED = 10, 1, 0
DEFAULT_TARGET = "cpu"
#: The target that is chosen by what suits a circuit (choice.py).
AUTO = "auto"


@frozen(kw_only=True)
class Request:
    """What is asked of a run; what is None comes from the task (else epochs 10, batch 1, seed 0)."""

    task: str | None = None
    data: Any = None
    epochs: int | None = None
    batch: int | None = None
    seed: int | None = None
    scale: Scale | None = None
    params: Mapping[str, Override] = field(default_factory=dict)
    learn: Learn | None = None
    weights: Path | None = None
    weight_names: Mapping[str, str] = field(default_factory=dict)  # what that file calls them, theirs -> ours

    @property
    def own_settings(self) -> bool:
        """Whether the task's own settings hold, so that its expectations can be judged."""
        changed = (self.data, self.epochs, self.batch, self.scale, self.learn, self.weights)
        return not self.params and all(c is None for c in changed)


@frozen(kw_only=True)
class Settings:
    """A request with everything filled in."""

    task: ir.Task | None
    data: Any
    data_arguments: tuple[tuple[str, float], ...]
    epochs: int
    batch: int
    seed: int
    scale: Scale | None
    validation: float | None
    learn: Learn

    def attributes(self) -> dict[str, Any]:
        """As they stand in a results file."""
        arguments = ", ".join(f"{k}={v:g}" for k, v in self.data_arguments)
        data = fspath(self.data) if isinstance(self.data, str | PathLike) else "arrays"
        held_out = {} if self.validation is None else {"validation": self.validation}
        return {
            "task": self.task.name if self.task else "",
            "data": f"{data}({arguments})" if arguments else data,
            "epochs": self.epochs,
            "batch": self.batch,
            "seed": self.seed,
            "scale": self.scale or "",
            "learn": self.learn,
            **held_out,
        }


def settle(circuit: ir.Circuit, request: Request, numbers: Mapping[str, float]) -> Settings:
    """Fills a request in from the circuit's task. Raises UsageError."""
    task = task_of(circuit, request.task)
    one_of("scale", request.scale or "none", ("none", "center", "zscore"))
    one_of("way to learn", request.learn or "circuit", get_args(Learn))
    data = request.data
    arguments: tuple[tuple[str, float], ...] = ()
    if data is None:
        if task is None:
            raise UsageError(f"`{circuit.name}` has no task: say which data to run on")
        data, arguments = task.data, task.data_arguments

    def setting(name: str, given: int | None, default: int, least: int) -> int:
        value = default if given is None else given
        written = getattr(task, name) if task is not None and given is None else None
        if written is not None:
            value = _whole(written, numbers, f"`{name}`")
        try:
            value = index(value)
        except TypeError:
            raise UsageError(f"`{name}` is a whole number, not {value!r}") from None
        if not least <= value < 2**32:
            raise UsageError(f"`{name}` is {value}: it has to be from {least} to {2**32 - 1}")
        return value

    return Settings(
        task=task,
        data=data,
        data_arguments=arguments,
        epochs=setting("epochs", request.epochs, DEFAULT_EPOCHS, 0),
        batch=setting("batch", request.batch, DEFAULT_BATCH, 1),
        seed=setting("seed", request.seed, DEFAULT_SEED, 0),
        scale=request.scale or (task.scale if task else None),
        validation=_validation(task, numbers),
        learn=request.learn or "circuit",
    )


def _validation(task: ir.Task | None, numbers: Mapping[str, float]) -> float | None:
    """The part of the training examples that is held out. Raises UsageError."""
    if task is None or task.validation is None:
        return None
    value = evaluate(task.validation, numbers)
    if not 0 < value < 1:
        raise UsageError(f"`validation` is {value:g}: it has to be a part of the training examples, such as 0.1")
    return value


#: Of an example: beyond what anyone waits for.
MOST_TICKS = 10**9


def check_ticks(circuit: ir.Circuit, numbers: Mapping[str, float]) -> None:
    """Raises UsageError if a phase's ticks are no whole number under these numbers or beyond counting, or if
    evaluation, which skips `train` phases, has none."""
    phases = circuit.schedule.phases
    ticks = [_whole(p.ticks, numbers, f"the number of ticks of phase {p.name}") for p in phases]
    if sum(ticks) > MOST_TICKS:
        raise UsageError(f"`{circuit.name}` has {sum(ticks):.3g} ticks: that is more than anyone waits for")
    if phases and not sum(n for n, phase in zip(ticks, phases, strict=True) if not phase.train):
        raise UsageError(f"`{circuit.name}` has no tick in evaluation: every phase is empty or a `train` phase")


def _whole(expr: ir.Expr, numbers: Mapping[str, float], name: str) -> int:
    try:
        return whole(expr, numbers, name)
    except ValueError as problem:
        raise UsageError(str(problem)) from None


def task_of(circuit: ir.Circuit, name: str | None) -> ir.Task | None:
    if name is None:
        return next(iter(circuit.tasks.values()), None)
    if name not in circuit.tasks:
        hint = did_you_mean(name, circuit.tasks)
        known = ", ".join(f"`{t}`" for t in circuit.tasks) or "none"
        raise UsageError(f"`{circuit.name}` has no task `{name}`; {hint or f'its tasks: {known}'}")
    return circuit.tasks[name]


def one_of(what: str, given: str, known: Sequence[str]) -> None:
    """Raises UsageError unless `given` is one of the words that `what` can be."""
    if given not in known:
        hint = did_you_mean(given, known)
        raise UsageError(f"unknown {what} `{given}`; {hint or 'known: ' + ', '.join(known)}")


def passes_of(names: Collection[str]) -> frozenset[str]:
    """The names, if passes are called so. Raises UsageError."""
    from circuitdsl.lower.pipeline import PASSES

    for name in names:
        one_of("pass", name, [p.name for p in PASSES])
    return frozenset(names)
