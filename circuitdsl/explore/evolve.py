"""`evolve`: params and coefficients of plasticity rules, by mutation and selection alone.

A genome is the value of some runtime params and coefficients. Its fitness is what the circuit reaches after a lifetime
of learning with them, on one task or on several. All candidates of a generation live in one compiled call. What is
journaled are the values that lifetimes ended with: everything else is a function of these and of the seed, so that
going on after a kill tells the strategy again what it was told, and computes no lifetime twice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.api import Circuit, DType, Simulation, load
from circuitdsl.explore.broods import Brood, World, lifetimes
from circuitdsl.explore.families import Drawn, Family, LifeData, TaskData, family_of
from circuitdsl.explore.genome import Genome, genome_of
from circuitdsl.explore.journal import Journal
from circuitdsl.explore.lineage import Lineage, describe
from circuitdsl.explore.objective import Objective, objective
from circuitdsl.explore.strategies import strategy as make_strategy
from circuitdsl.explore.sweep import digest, plain
from circuitdsl.frozen import frozen, mutable
from circuitdsl.runtime.backends import DEFAULT
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.request import Override, Request, Settings
from circuitdsl.runtime.state import circuit_hash
from circuitdsl.runtime.where import Where, place

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

    from circuitdsl.explore.bar import Bar
    from circuitdsl.runtime.data import Scale
    from circuitdsl.runtime.scheduler import Scheduler

    Array = NDArray[np.float64]

#: Pieces of a brood for each worker of a cluster.
PIECES_PER_WORKER = 2


def evolve(
    circuit: Circuit | str | Path,
    genome: Sequence[str],
    *,
    fitness: str = "metric",
    strategy: str = "sepcma",
    population: int = 64,
    generations: int = 100,
    seeds: int = 1,
    tasks: int | Sequence[LifeData] = 1,
    held_out: int | Sequence[LifeData] = 0,
    resample: bool = False,
    selection: bool = True,
    data: TaskData | None = None,
    task: str | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    seed: int | None = None,
    scale: Scale | None = None,
    params: Mapping[str, Override] | None = None,
    target: str = DEFAULT,
    dtype: DType = "float32",
    without: Collection[str] = (),
    out: str | Path | None = None,
    jobs: int | None = None,
    cluster: str | Scheduler | None = None,
    progress: Bar | None = None,
) -> xr.Dataset:
    """Evolves the params and coefficients `genome` (`name`, or `name:step` with the standard deviation of the first
    brood), once for each of `seeds` seeds.

    `fitness`: `metric`, `loss`, the text of a task's metric or of a recorded number; `-` before it turns its direction.
    `tasks`: how many lifetimes a candidate lives, its fitness being their mean: each with its own initial weights and,
    where the data set takes a `seed`, with its own data; or a list of data (families.Drawn: drawn anew for every
    lifetime), one lifetime each. `held_out`: further ones
    that selection never sees, on which the start, the final mean and the best candidate are compared at the end.
    `resample`: new lifetimes in every generation. `selection=False`: the control, in which chance decides who is fit.
    The others are those of `sweep`; `jobs` are the threads that share a brood. Gives what lineage.py describes.
    Raises UsageError, CircuitError, Unfinished, KeyboardInterrupt; what is in the journal then stays there."""
    found = circuit if isinstance(circuit, Circuit) else load(circuit)
    if data is None and not isinstance(tasks, int) and tasks:
        data = tasks[0].make(0) if isinstance(tasks[0], Drawn) else tasks[0]
    request = Request(task=task, data=data, epochs=epochs, batch=batch, seed=seed, scale=scale, params=params or {})
    planned = plan_evolution(
        Simulation(found, target=target, dtype=dtype, without=without),
        request,
        genome,
        fitness=fitness,
        schedule=Schedule(
            strategy=strategy,
            population=population,
            generations=generations,
            seeds=seeds,
            resample=resample,
            selection=selection,
        ),
        tasks=tasks,
        held_out=held_out,
    )
    return run_evolution(planned, out=None if out is None else Path(out), jobs=jobs, cluster=cluster, progress=progress)


# ---------------------------------------------------------------- what there is to do


@frozen(kw_only=True)
class Schedule:
    """How it evolves."""

    strategy: str = "sepcma"
    population: int = 64
    generations: int = 100
    seeds: int = 1
    resample: bool = False
    selection: bool = True


@frozen(kw_only=True)
class Evolution:
    """All that an evolution will do. `world` has no lanes yet: `family` gives them."""

    simulation: Simulation
    request: Request
    settings: Settings
    schedule: Schedule
    seeds: range
    genome: Genome
    objective: Objective
    family: Family
    world: World
    attributes: Mapping[str, Any]
    identity: Mapping[str, Any]


def plan_evolution(
    simulation: Simulation,
    request: Request,
    genome: Sequence[str],
    *,
    fitness: str = "metric",
    schedule: Schedule,
    tasks: int | Sequence[LifeData] = 1,
    held_out: int | Sequence[LifeData] = 0,
) -> Evolution:
    """Prepares everything up to the first lifetime. Raises UsageError, CircuitError."""
    if schedule.generations < 1 or schedule.seeds < 1:
        raise UsageError("an evolution takes one generation and one seed, or more")
    request = replace(request, params={name: plain(value) for name, value in request.params.items()})
    outcome = simulation.prepare(request)
    graph, numbers, settings = outcome.run.circuit, outcome.loop.numbers, outcome.settings
    found = genome_of(graph, numbers, outcome.run.state, genome)
    make_strategy(schedule.strategy, found.size, schedule.population, 0)
    goal = objective(graph, settings.task, fitness)
    family = family_of(settings, graph, outcome.loop.dataset, dtype=simulation.dtype, tasks=tasks, held_out=held_out)
    folder = simulation.circuit.folder
    world = World(
        graph=graph,
        objective=goal.expr,
        lanes=(),
        numbers=numbers,
        epochs=settings.epochs,
        batch=settings.batch,
        target=simulation.target,
        dtype=simulation.dtype,
        folder=None if folder is None else folder.resolve(),
        without=simulation.without,
        key=digest(
            circuit_hash(graph), repr(goal.expr), simulation.target, simulation.dtype, *sorted(simulation.without)
        ),
        threads=None,
    )
    seeds = range(settings.seed, settings.seed + schedule.seeds)
    attributes = simulation.attributes(outcome)
    del attributes["seed"], attributes["hash"]
    evolution = Evolution(
        simulation=simulation,
        request=request,
        settings=settings,
        schedule=schedule,
        seeds=seeds,
        genome=found,
        objective=goal,
        family=family,
        world=world,
        attributes={**attributes, **_told(schedule, goal)},
        identity={},
    )
    return _with_identity(evolution)


def _told(schedule: Schedule, goal: Objective) -> dict[str, Any]:
    return {
        "objective": goal.text,
        "better": goal.better,
        "strategy": schedule.strategy,
        "population": schedule.population,
        "resample": int(schedule.resample),
        "selection": int(schedule.selection),
    }


def _with_identity(planned: Evolution) -> Evolution:
    """What has to be the same to go on: for people first, then fingerprints of all the rest."""
    settings, schedule = planned.settings.attributes(), planned.schedule
    shown = ("task", "data", "epochs", "batch", "scale", "validation")
    identity = {
        "circuit": planned.simulation.circuit.name,
        **{key: settings[key] for key in shown if key in settings},
        "dtype": planned.world.dtype,
        "params": dict(planned.request.params),
        "genome": {gene.name: gene.step for gene in planned.genome.genes},
        "fitness": f"{planned.objective.text}, {planned.objective.better} is better",
        "strategy": schedule.strategy,
        "population": schedule.population,
        "generations": schedule.generations,
        "seeds": list(planned.seeds),
        "tasks": len(planned.family.tasks),
        "held out": len(planned.family.held_out),
        "resample": schedule.resample,
        "selection": schedule.selection,
        "content": planned.family.content,
        "hash": planned.world.key,
        "runs": digest(sorted(planned.world.numbers.items()), planned.genome.start.tolist()),
    }
    return replace(planned, identity=identity)


# ---------------------------------------------------------------- doing it


def run_evolution(
    planned: Evolution,
    *,
    out: Path | None = None,
    jobs: int | None = None,
    cluster: str | Scheduler | None = None,
    progress: Bar | None = None,
) -> xr.Dataset:
    """Does what of it is not done yet. See `evolve`."""
    from circuitdsl.explore.bar import Quiet

    bar = progress or Quiet()
    journal = None if out is None else Journal.at(out, "evolve", planned.identity)
    if journal is not None and (finished := journal.finished()) is not None:
        return finished
    told = {seed: _told_of(journal, seed, planned.schedule.generations) for seed in planned.seeds}
    steps = planned.schedule.generations + 1
    bar.start(planned.simulation.circuit.name, steps * len(planned.seeds), sum(len(t) for t in told.values()))
    with place(1, cluster) as where:
        runner = _Runner(planned, where, bar, journal, threads=1 if cluster else jobs)
        lineages = [runner.evolve(seed, told[seed]) for seed in planned.seeds]
    dataset = describe(lineages, planned.genome, planned.seeds, planned.attributes)
    if journal is not None:
        journal.finish(dataset)
    return dataset


def _name(seed: int) -> str:
    return f"{seed}.jsonl"


def _told_of(journal: Journal | None, seed: int, generations: int) -> list[dict[str, Any]]:
    """The records of a seed in their order, each once, also if two processes have written into one journal."""
    found: list[dict[str, Any]] = []
    for record in [] if journal is None else journal.lines(_name(seed)):
        if record.get("generation", generations) == len(found):
            found.append(record)
    return found


@mutable
class _Runner:
    """Evolves one seed after the other. A journal has a line for each generation, and one for the end."""

    planned: Evolution
    where: Where
    bar: Bar
    journal: Journal | None
    threads: int | None
    world: tuple[tuple[int, int, bool, bool], World] | None = field(default=None)

    def evolve(self, seed: int, told: list[dict[str, Any]]) -> Lineage:
        import numpy as np

        planned, schedule = self.planned, self.planned.schedule
        genome, sign = planned.genome, planned.objective.sign
        chosen = make_strategy(schedule.strategy, genome.size, schedule.population, _strategy_seed(seed))
        lineage = Lineage.of(genome, schedule.generations, sign)
        for generation in range(schedule.generations):
            genomes = genome.start + genome.steps * chosen.ask()
            mean, deviation = genome.start + genome.steps * chosen.mean, genome.steps * chosen.deviation
            if generation < len(told):
                values = np.array(told[generation]["values"], dtype=np.float64)
            else:
                values = self._values(seed, generation, genomes, held=False)
                self._journal(seed, {"generation": generation, "values": values.tolist()}, values)
            lineage.add(generation, mean, deviation, genomes, values)
            fitness = sign * values.mean(axis=1)
            chosen.tell(fitness if schedule.selection else _by_chance(seed, generation, fitness))
        lineage.end(genome.start + genome.steps * chosen.mean, genome.steps * chosen.deviation)
        last = told[schedule.generations] if len(told) > schedule.generations else None
        lineage.outcomes = self._outcomes(seed, lineage, last)
        return lineage

    def _outcomes(self, seed: int, lineage: Lineage, told: dict[str, Any] | None) -> dict[str, Array]:
        """What the start, the final mean and the best candidate reach on the test sets, of the tasks and of those held
        out."""
        import numpy as np

        if told is None:
            genomes = np.stack([self.planned.genome.start, lineage.mean, lineage.best])
            last = self.planned.schedule.generations
            told = {"tasks": self._values(seed, last, genomes, held=False, tested=True).tolist()}
            if self.planned.family.held_out:
                told["held_out"] = self._values(seed, 0, genomes, held=True, tested=True).tolist()
            self._journal(seed, told, np.array(told["tasks"]))
        return {name: np.array(values, dtype=np.float64) for name, values in told.items()}

    def _journal(self, seed: int, record: Mapping[str, Any], values: Array) -> None:
        import numpy as np

        if self.journal is not None:
            self.journal.append(_name(seed), record)
        sign = self.planned.objective.sign
        means = sign * values.mean(axis=1)
        top = "" if np.isnan(means).all() else f"best {sign * np.nanmax(means):.4g}"
        self.bar.advance(top or "all diverged")

    def _values(self, seed: int, generation: int, genomes: Array, *, held: bool, tested: bool = False) -> Array:
        """The objective of each genome on each task, [genomes, tasks]."""
        import numpy as np

        planned = self.planned
        world = self._world(seed, generation if planned.schedule.resample else 0, held, tested)
        runtime = {k: v for k, v in planned.request.params.items() if not _is_structural(planned.world, k)}
        brood = Brood(
            numbers=planned.genome.numbers(world.graph, runtime, genomes),
            coefficients=planned.genome.coefficients(genomes, world.dtype),
        )
        here = self.where.workers == 1
        pieces = [brood] if here else brood.pieces(PIECES_PER_WORKER * self.where.workers)
        found = dict(self.where.map(lifetimes, [(world, piece) for piece in pieces]))
        return np.concatenate([found[i] for i in range(len(pieces))])

    def _world(self, seed: int, generation: int, held: bool, tested: bool) -> World:
        """The world of a generation; the same object as long as it is the same."""
        key = seed, generation, held, tested
        if self.world is None or self.world[0] != key:
            lanes = self.planned.family.lanes(seed, generation, held=held)
            self.world = key, replace(self.planned.world, lanes=lanes, threads=self.threads, tested=tested)
        return self.world[1]


def _is_structural(world: World, name: str) -> bool:
    param = world.graph.params.get(name) or world.graph.params.get(name.partition("[")[0])
    return param is not None and param.structural


def _strategy_seed(seed: int) -> int:
    import numpy as np

    return int(np.random.SeedSequence([seed, 0x5EED]).generate_state(1)[0])


def _by_chance(seed: int, generation: int, fitness: Array) -> Array:
    """Fitness without selection: a random order."""
    import numpy as np

    return np.random.default_rng([seed, generation, 0xC0117401]).permutation(len(fitness)).astype(np.float64)
