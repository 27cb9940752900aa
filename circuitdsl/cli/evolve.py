"""`circuitdsl evolve`: params and coefficients of plasticity rules, by mutation and selection."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.cli.common import (
    OK,
    UNFINISHED,
    add_file,
    add_json,
    add_set,
    add_target,
    add_task,
    add_verbose,
    add_without,
    check_results,
    params_of,
    print_json,
    reporting,
    show,
    whole_number,
)
from circuitdsl.cli.exploring import add_runs, add_where, cluster_of, going_on
from circuitdsl.cli.summary import number

if TYPE_CHECKING:
    import xarray as xr

    from circuitdsl.explore.evolve import Evolution
    from circuitdsl.runtime.statistics import Mean

ABOUT = """Evolve the params and coefficients of a circuit's plasticity rules, by mutation and selection only.

A candidate is a value for everything in the genome: numbers (`param eta = 0.1`) and coefficients
(`param c per W = ...`, one for each weight or neuron). Its fitness is what the circuit reaches after a lifetime of
learning: the mean over `--tasks` lifetimes, each with its own initial weights, order and noise, and with its own data
where the data set takes a seed (two_moons, teacher...). All candidates of a generation run in one compiled
call. A first brood differs from the start by 0.3 of a gene's size, or by 0.01 where it starts from 0;
`--genome eta:0.02` says otherwise. With `--out` the same command goes on after a kill, and computes nothing twice.

Exit codes: 0 ok, 1 the circuit is wrong, 2 usage, a missing file, or an --out that holds something else,
3 every candidate of the last generation diverged, or it could not finish, 130 interrupted (the same
command goes on)."""

EXAMPLES = """\
  circuitdsl evolve metalearning/local_rule.circ --genome g2h,bh,g2o --generations 50 --out evolve.nc
  circuitdsl evolve mine.circ --genome eta,gamma --fitness loss --strategy snes --seeds 5
  circuitdsl evolve mine.circ --genome c --data "two_moons(n=375)" --tasks 8 --held-out 8 --resample
  circuitdsl evolve mine.circ --genome c --no-selection      # the control: chance decides"""


def add_options(parser: ArgumentParser) -> None:
    add_file(parser)
    parser.add_argument(
        "--genome", metavar="NAME[:STEP],...", required=True, help="what evolves: params and coefficients"
    )
    _add_evolution(parser)
    add_task(parser)
    add_set(parser)
    add_runs(parser)
    add_target(parser, "candidates live on")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="the precision (float32)")
    add_without(parser)
    add_where(parser, "evolve.nc")
    add_json(parser)
    add_verbose(parser)


def _add_evolution(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--fitness",
        metavar="WHAT",
        default="metric",
        help="metric (the task's), loss, or the text of a recorded number; --fitness=-WHAT turns its direction",
    )
    parser.add_argument(
        "--strategy", choices=("sepcma", "snes", "openai-es"), default="sepcma", help="how to evolve (sepcma)"
    )
    parser.add_argument("--population", metavar="N", type=whole_number(1), default=64, help="candidates (64)")
    parser.add_argument("--generations", metavar="N", type=whole_number(1), default=100, help="generations (100)")
    parser.add_argument("--seeds", metavar="N", type=whole_number(1), default=1, help="evolve N times anew")
    parser.add_argument("--tasks", metavar="N", type=whole_number(1), default=1, help="lifetimes of a candidate (1)")
    parser.add_argument(
        "--held-out", metavar="N", type=whole_number(0), default=0, help="further lifetimes that selection never sees"
    )
    parser.add_argument("--resample", action="store_true", help="new lifetimes in every generation")
    parser.add_argument("--no-selection", action="store_true", help="the control: chance decides who is fit")


# ---------------------------------------------------------------- the command


def command(options: Namespace) -> int:
    import time

    from circuitdsl.api import Request, Simulation, load
    from circuitdsl.diagnostics import Severity
    from circuitdsl.explore.bar import progress_bar
    from circuitdsl.explore.evolve import Schedule, plan_evolution, run_evolution
    from circuitdsl.runtime.data import Dataset
    from circuitdsl.runtime.doubts import doubts_of

    if options.out is not None:
        check_results(options.out)
    with reporting(options.file, json=options.json), going_on(options.out):
        circuit = load(options.file)
        show(w for w in circuit.warnings if options.verbose or w.severity is not Severity.NOTE)
        request = Request(
            task=options.task,
            data=options.data,
            epochs=options.epochs,
            batch=options.batch,
            seed=options.seed,
            scale=options.scale,
            params=params_of(options.settings),
        )
        planned = plan_evolution(
            Simulation(circuit, target=options.target, dtype=options.dtype, without=options.no_pass),
            request,
            [name for name in options.genome.split(",") if name.strip()],
            fitness=options.fitness,
            schedule=Schedule(
                strategy=options.strategy,
                population=options.population,
                generations=options.generations,
                seeds=options.seeds,
                resample=options.resample,
                selection=not options.no_selection,
            ),
            tasks=options.tasks,
            held_out=options.held_out,
        )
        show(d for task in planned.family.tasks[:1] if isinstance(task, Dataset) for d in doubts_of(task))
        started = time.perf_counter()
        with progress_bar() as bar:
            dataset = run_evolution(
                planned, out=options.out, jobs=options.jobs, cluster=cluster_of(options), progress=bar
            )
        return _told(planned, dataset, options, time.perf_counter() - started)


def _told(planned: Evolution, dataset: xr.Dataset, options: Namespace, seconds: float) -> int:
    if options.json:
        print_json(_object(planned, dataset, options.out, seconds))
    else:
        _print(planned, dataset, options.out)
    last = dataset["fitness"].isel(generation=-1)
    return UNFINISHED if bool(last.isnull().all()) else OK


# ---------------------------------------------------------------- what it says


def _object(planned: Evolution, dataset: xr.Dataset, out: Path | None, seconds: float) -> dict[str, Any]:
    schedule = planned.schedule
    held = _outcomes(dataset, "held_out") if "held_out" in dataset else None
    return {
        "circuit": planned.simulation.circuit.name,
        "strategy": schedule.strategy,
        "population": schedule.population,
        "generations": schedule.generations,
        "seeds": list(planned.seeds),
        "tasks": len(planned.family.tasks),
        "fitness": planned.objective.text,
        "better": planned.objective.better,
        "outcome": {who: _spread(mean) for who, mean in _outcomes(dataset, "outcome").items()},
        "held_out": None if held is None else {who: _spread(mean) for who, mean in held.items()},
        "genome": {gene.name: _numbers(dataset, gene.name) for gene in planned.genome.genes},
        "out": out,
        "seconds": seconds,
    }


def _outcomes(dataset: xr.Dataset, which: str) -> dict[str, Mean]:
    """The mean over tasks of the start, the final mean and the best candidate, over seeds."""
    from circuitdsl.runtime.statistics import over_seeds

    means = dataset[which].mean(str(dataset[which].dims[-1]), skipna=False)
    return {str(who): over_seeds(means.sel(who=who).values.tolist()) for who in dataset["who"].values}


def _spread(mean: Mean) -> dict[str, float]:
    return {"mean": mean.mean, "low": mean.low, "high": mean.high}


def _numbers(dataset: xr.Dataset, name: str) -> dict[str, Any]:
    """Of one gene: its numbers' mean at the start and at the end, and their standard deviation over synapses."""
    start, final = dataset[f"{name}.start"], dataset[f"{name}.final"]
    inner = [dim for dim in final.dims if dim != "seed"]
    return {
        "count": int(start.size),
        "start": float(start.mean()),
        "final": float(final.mean()),
        "spread": float(final.std(inner).mean()) if inner else 0.0,
        "best": dataset[f"{name}.best"].values.tolist() if start.size <= 16 else None,
    }


def _print(planned: Evolution, dataset: xr.Dataset, out: Path | None) -> None:
    schedule = planned.schedule
    print(
        f"{planned.simulation.circuit.name} on {planned.settings.attributes()['data']}: {schedule.strategy}, "
        f"{schedule.population} candidates, {_counted(len(planned.family.tasks), 'lifetime')} each, "
        f"{_counted(schedule.generations, 'generation')}, {_counted(len(planned.seeds), 'seed')}"
        + ("" if schedule.selection else ", no selection")
    )
    print(f"  fitness: {planned.objective.text} ({planned.objective.better} is better)")
    for title, which in (("", "outcome"), ("held out: ", "held_out")):
        if which in dataset:
            reached = (f"{_who(who)} {_mean(mean)}" for who, mean in _outcomes(dataset, which).items())
            print(f"    {title}{'   '.join(reached)}")
    width = max(len(gene.name) for gene in planned.genome.genes)
    for gene in planned.genome.genes:
        told = _numbers(dataset, gene.name)
        spread = f" ± {told['spread']:.2g} over {told['count']:,}" if told["count"] > 1 else ""
        print(f"  {gene.name:<{width}}  {told['start']:.4g} -> {told['final']:.4g}{spread}")
    if out is not None:
        print(f"  written: {out}")


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _who(who: str) -> str:
    return {"start": "before", "mean": "evolved mean", "best": "best candidate"}[who]


def _mean(mean: Mean) -> str:
    return number(mean.mean) + ("" if mean.half != mean.half else f" ± {mean.half:.2g}")
