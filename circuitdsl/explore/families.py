"""The tasks that a brood lives: how many lifetimes, with which data and seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from circuitdsl.data.named import NAMED
from circuitdsl.explore.broods import Lane
from circuitdsl.explore.sweep import content_of, digest
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.runtime.data import Dataset, load_data
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.request import Settings

if TYPE_CHECKING:
    from circuitdsl.runtime.data import Scale

#: A data set: its name or path, or what `Simulation.run` takes.
TaskData = Any


@frozen(kw_only=True)
class Drawn:
    """A task whose data are drawn anew for each lifetime: `make(seed)` gives arrays (X, y), the same for the same seed.
    `name` says what is drawn: an evolution that goes on is known by it."""

    name: str
    make: Callable[[int], tuple[Any, Any]]


#: What a lifetime may be given.
LifeData = TaskData | Drawn


@frozen(kw_only=True)
class Fit:
    """What all lifetimes' data are fitted to."""

    graph: ir.Circuit
    scale: Scale | None
    validation: float | None
    dtype: str

    def load(self, data: TaskData, arguments: Sequence[tuple[str, float]] = ()) -> Dataset:
        return load_data(data, arguments, self.graph, scale=self.scale, validation=self.validation, dtype=self.dtype)


@frozen(kw_only=True)
class Generator:
    """A data set that is made from a seed, without it."""

    name: str
    arguments: tuple[tuple[str, float], ...]
    fit: Fit

    def member(self, seed: int) -> Dataset:
        arguments = {**dict(self.arguments), "seed": float(seed)}
        return self.fit.load(self.name, tuple(arguments.items()))


@frozen(kw_only=True)
class Drawer:
    """A drawn task, fitted to a circuit."""

    drawn: Drawn
    fit: Fit

    def member(self, seed: int) -> Dataset:
        return self.fit.load(self.drawn.make(seed))


Task = Dataset | Generator | Drawer


@frozen(kw_only=True)
class Family:
    """Tasks that count and tasks that are held out: data, or what makes them from each lifetime's seed. `content` is a
    fingerprint of all that is given."""

    tasks: tuple[Task, ...]
    held_out: tuple[Task, ...]
    content: str

    def lanes(self, seed: int, generation: int, *, held: bool) -> tuple[Lane, ...]:
        """The lifetimes of one evolution's generation. Their seeds are not those of another evolution, of another
        generation or of a task held out."""
        tasks = self.held_out if held else self.tasks
        return tuple(
            Lane(dataset=task if isinstance(task, Dataset) else task.member(life), seed=life)
            for task, life in zip(tasks, life_seeds(seed, generation, len(tasks), held=held), strict=True)
        )


def life_seeds(seed: int, generation: int, count: int, *, held: bool) -> list[int]:
    """A seed for each lifetime."""
    import numpy as np

    keys = ([seed, generation, int(held), task] for task in range(count))
    return [int(np.random.SeedSequence(key).generate_state(1)[0]) for key in keys]


def family_of(
    settings: Settings,
    graph: ir.Circuit,
    dataset: Dataset,
    *,
    dtype: str,
    tasks: int | Sequence[LifeData],
    held_out: int | Sequence[LifeData],
) -> Family:
    """The family that is asked for; `dataset` are the data of the settings. Raises UsageError, CircuitError."""
    fit = Fit(graph=graph, scale=settings.scale, validation=settings.validation, dtype=dtype)
    member = _generator(settings, fit) or dataset

    def one(data: LifeData) -> Task:
        if isinstance(data, Drawn):
            return Drawer(drawn=data, fit=fit)
        return fit.load(data)

    def made(asked: int | Sequence[LifeData], of_many: Task) -> tuple[Task, ...]:
        return (of_many,) * asked if isinstance(asked, int) else tuple(map(one, asked))

    counted = made(tasks, dataset if tasks == 1 else member)
    held = made(held_out, member)
    if not counted:
        raise UsageError("a candidate has to live at least once: give one task or more")
    fixed = [content_of(task) for task in (dataset, *counted, *held) if isinstance(task, Dataset)]
    drawn = [task.drawn.name for task in (*counted, *held) if isinstance(task, Drawer)]
    return Family(tasks=counted, held_out=held, content=digest(fixed, len(counted), len(held), *drawn))


def _generator(settings: Settings, fit: Fit) -> Generator | None:
    """What makes the data set, if it is made from a seed."""
    if not isinstance(settings.data, str):
        return None
    name, _, rest = settings.data.partition("(")
    if name.strip() not in NAMED or "seed" not in NAMED[name.strip()].defaults:
        return None
    # the arguments were read once before, and are written as they should
    pairs = (part.partition("=") for part in rest.strip().removesuffix(")").split(",") if "=" in part)
    written = {key.strip(): float(value) for key, _, value in pairs}
    arguments = {**dict(settings.data_arguments), **written}
    return Generator(name=name.strip(), arguments=tuple(arguments.items()), fit=fit)
