"""`circuitdsl sweep`: a grid of params times seeds."""

from __future__ import annotations

import math
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.cli.common import (
    OK,
    UNFINISHED,
    add_file,
    add_json,
    add_target,
    add_task,
    add_verbose,
    add_without,
    check_results,
    color,
    fail_usage,
    params_of,
    print_json,
    reporting,
    show,
    whole_number,
)
from circuitdsl.cli.exploring import add_runs, add_where, cluster_of, going_on
from circuitdsl.cli.summary import number
from circuitdsl.data.raw import counted

if TYPE_CHECKING:
    import xarray as xr

    from circuitdsl.explore.gather import Row
    from circuitdsl.explore.sweep import Sweep

ABOUT = """Run a circuit with every combination of values of its params, each with several seeds.

Every `--set NAME=VALUE,VALUE,...` is a dimension of the result. Params that only appear in equations
are arguments of the compiled code; those in sizes and ranges compile once for each of their values. With `--out`
every finished run is kept at once: after a kill the same command goes on, and computes nothing
twice. A run that diverges is a result like another.

Exit codes: 0 ok, 1 the circuit is wrong, 2 usage, a missing file, or an --out that holds something else,
3 every run diverged, or it could not finish, 130 interrupted (the same command goes on)."""

EXAMPLES = """\
  circuitdsl sweep mine.circ --set eta=0.01,0.02,0.05 --set gamma=0.001,0.01 --seeds 5 --out sweep.nc
  circuitdsl sweep mine.circ --set "sizes=[64,32],[64,16]" --epochs 5
  circuitdsl sweep mine.circ --set eta=0.1,0.2 --seeds 20 --cluster tcp://10.0.0.1:8786 --out sweep.nc"""

#: Points that are shown: never more than a screen.
SHOWN = 24


def add_options(parser: ArgumentParser) -> None:
    add_file(parser)
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="NAME=V,V,...",
        action="append",
        default=[],
        help="the values of a param: numbers, or lists as [64,32],[64,16]; several --set make a grid",
    )
    add_task(parser)
    add_runs(parser)
    parser.add_argument("--seeds", metavar="N", type=whole_number(1), default=1, help="run every point with N seeds")
    parser.add_argument(
        "--learn", choices=("circuit", "backprop"), help="backprop: the gradient twin instead of the circuit"
    )
    add_target(parser, "it runs on")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="the precision (float32)")
    add_without(parser)
    add_where(parser, "sweep.nc")
    add_json(parser)
    add_verbose(parser)


def grid_of(settings: Sequence[str]) -> dict[str, list[float | list[float]]]:
    """The grid of `--set eta=0.1,0.2 --set "sizes=[64,32],[64,16]"`; a param that is set several times takes all of
    the values. Raises Stop."""
    grid: dict[str, list[float | list[float]]] = {}
    for setting in settings:
        name, equals, values = setting.partition("=")
        if not equals or not name.strip() or not values.strip():
            fail_usage(f"`--set {setting}`: written as NAME=VALUE,VALUE,..., such as --set eta=0.01,0.05")
        for piece in _pieces(values):
            [(key, value)] = params_of([f"{name}={piece}"]).items()
            grid.setdefault(key, []).append(value)
    return grid


def _pieces(text: str) -> list[str]:
    """The text between commas that stand in no bracket."""
    pieces, depth = [""], 0
    for character in text:
        depth += {"[": 1, "(": 1, "]": -1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += character
    return pieces


# ---------------------------------------------------------------- the command


def command(options: Namespace) -> int:
    import time

    from circuitdsl.api import Request, Simulation, load
    from circuitdsl.diagnostics import Severity
    from circuitdsl.explore.bar import progress_bar
    from circuitdsl.explore.sweep import plan_sweep, run_sweep
    from circuitdsl.runtime.doubts import doubts_of

    grid = grid_of(options.settings)
    if not grid:
        fail_usage("nothing to sweep over: give the values of a param, such as --set eta=0.01,0.05")
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
            learn=options.learn,
        )
        simulation = Simulation(circuit, target=options.target, dtype=options.dtype, without=options.no_pass)
        planned = plan_sweep(simulation, grid, request, options.seeds)
        show(doubts_of(planned.points[0].setup.dataset))
        started = time.perf_counter()
        with progress_bar() as bar:
            dataset = run_sweep(planned, out=options.out, jobs=options.jobs, cluster=cluster_of(options), progress=bar)
        return _told(planned, dataset, options, time.perf_counter() - started)


def _told(planned: Sweep, dataset: xr.Dataset, options: Namespace, seconds: float) -> int:
    from circuitdsl.explore.gather import best, rows

    found = rows(dataset)
    on = "metric" if planned.objective is not None and planned.objective.expr is not None else "loss"
    larger = planned.objective is None or planned.objective.sign > 0
    top = best(found, on=on, larger=larger)
    if options.json:
        print_json(_object(planned, found, top, options.out, seconds))
    else:
        _print(planned, found, top, on, options.out)
    return UNFINISHED if all(row.diverged == len(planned.seeds) for row in found) else OK


# ---------------------------------------------------------------- JSON


def _object(planned: Sweep, found: Sequence[Row], top: Row | None, out: Path | None, seconds: float) -> dict[str, Any]:
    return {
        "circuit": planned.simulation.circuit.name,
        "target": planned.simulation.target,
        "learn": planned.settings.learn,
        "grid": planned.grid,
        "seeds": list(planned.seeds),
        "epochs": planned.settings.epochs,
        "batch": planned.settings.batch,
        "objective": None if planned.objective is None else planned.objective.text,
        "points": [_point(planned, row) for row in found],
        "best": None if top is None else _point(planned, top),
        "out": out,
        "seconds": seconds,
    }


def _point(planned: Sweep, row: Row) -> dict[str, Any]:
    validation = {name: _spread(values) for name, values in row.validation.items()}
    return {
        "params": dict(zip(planned.grid, row.values, strict=True)),
        **({"validation": validation} if validation else {}),
        "metric": _spread(row.metric),
        "loss": _spread(row.loss),
        "diverged": row.diverged,
    }


def _spread(values: Sequence[float]) -> Mapping[str, Any]:
    from circuitdsl.runtime.statistics import over_seeds

    mean = over_seeds(values)
    return {"mean": mean.mean, "low": mean.low, "high": mean.high, "values": list(values)}


# ---------------------------------------------------------------- a table


def _print(planned: Sweep, found: Sequence[Row], top: Row | None, on: str, out: Path | None) -> None:
    settings, seeds = planned.settings, len(planned.seeds)
    print(
        f"{planned.simulation.circuit.name} on {settings.attributes()['data']}: {counted(len(found), 'point')}, "
        f"{counted(seeds, 'seed')} each, {counted(settings.epochs, 'epoch')}, batch {settings.batch}"
        + (", backprop" if settings.learn == "backprop" else "")
    )
    shown = _shown(planned, found, on)
    has = {"metric": any(_is(row.metric) for row in found), "loss": any(_is(row.loss) for row in found)}
    validated = ["validation"] if any(row.validation for row in found) else []
    heads = [*planned.grid, *validated, *(name for name, there in has.items() if there), "diverged"]
    lines = [heads, *(_cells(row, on, has, seeds) for row in shown)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    for line, row in zip(lines, [None, *shown], strict=True):
        text = "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        print(f"  {_marked(text.rstrip(), row is not None and row is top)}")
    if len(shown) < len(found):
        print(f"  ... and {len(found) - len(shown)} more" + (f" in {out}" if out else ""))
    _print_end(planned, top, on, out)


def _print_end(planned: Sweep, top: Row | None, on: str, out: Path | None) -> None:
    if top is None:
        print("  every run diverged: try smaller rates or more decay")
    elif len(planned.points) > 1:
        named = ", ".join(f"{name} = {_value(value)}" for name, value in zip(planned.grid, top.values, strict=True))
        what = planned.objective.text if planned.objective else on
        print(f"  best: {named}   {what} {_mean(top.mean_of(on))}")
        print(f"  {_chosen(planned, top)}")
    if out is not None:
        print(f"  written: {out}")


def _chosen(planned: Sweep, top: Row) -> str:
    """By what the best was chosen: by the test set, what it reaches there is too good."""
    dataset = planned.points[0].setup.dataset
    if top.validation:
        return f"chosen by the {counted(len(dataset.validation), 'validation example')}; the rest is of the test set"
    return "chosen by the test set itself, so too good: `validation = 0.1` in the task holds examples out to choose by"


def _shown(planned: Sweep, found: Sequence[Row], on: str) -> list[Row]:
    """All points, or the best ones of many, in the order of the grid."""
    if len(found) <= SHOWN:
        return list(found)
    sign = 1 if planned.objective is None else planned.objective.sign

    def merit(row: Row) -> float:
        mean = row.chosen_by(on).mean
        return -math.inf if math.isnan(mean) else sign * mean

    kept = sorted(found, key=merit, reverse=True)[: SHOWN - 4]
    return [row for row in found if any(row is other for other in kept)]


def _is(values: Sequence[float]) -> bool:
    return any(math.isfinite(v) for v in values)


def _cells(row: Row, on: str, has: Mapping[str, bool], seeds: int) -> list[str]:
    gone = f"{row.diverged} of {seeds}" if row.diverged else ""
    validated = [_mean(row.chosen_by(on))] if row.validation else []
    measured = [_mean(row.mean_of(name)) for name, there in has.items() if there]
    return [*(_value(v) for v in row.values), *validated, *measured, gone]


def _value(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _mean(mean: Any) -> str:
    if math.isnan(mean.mean):
        return "-"
    return number(mean.mean) + ("" if math.isnan(mean.half) else f" ± {mean.half:.2g}")


def _marked(text: str, is_best: bool) -> str:
    if not is_best:
        return f"  {text}"
    return f"\x1b[1m* {text}\x1b[0m" if color(sys.stdout) else f"* {text}"
