"""`run --trace N`: one example of the data, tick by tick, as the circuit learns from it.

The reference does it, whatever the target: it keeps every value of every tick.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from circuitdsl.cli.common import OK, fail_usage, print_json
from circuitdsl.cli.summary import number

if TYPE_CHECKING:
    from circuitdsl.api import Outcome, Request, Simulation

#: How many units of a population are shown of a single tick.
UNITS = 5


def show_trace(simulation: Simulation, request: Request, example: int, *, json: bool) -> int:
    """Presents one example (its number in the data) to the circuit after `request.epochs` epochs."""
    from circuitdsl.runtime.progress import progress_line

    with progress_line() as progress:
        outcome = simulation.execute(request, progress=progress)
    examples = len(outcome.loop.dataset.train) + len(outcome.loop.dataset.test)
    if example >= examples:
        fail_usage(f"there is no example {example}: the data has {examples:,}, from 0")
    values, updates = _traced(simulation, outcome, example)
    if json:
        print_json(_object(outcome, example, values, updates))
    else:
        _print(outcome, example, values, updates)
    return OK


def _traced(simulation: Simulation, outcome: Outcome, example: int) -> tuple[dict[str, Any], dict[str, float]]:
    """Every value [ticks, size], and the norm of what the example adds to each synapse."""
    import numpy as np

    from circuitdsl.graph.functions import quiet
    from circuitdsl.reference import Reference

    run, loop = outcome.run, outcome.loop
    given = (run.state, loop.dataset.arrays, np.array([example]), loop.numbers)
    steps = Reference(run.circuit, (), simulation.dtype).increments(*given, seed=loop.seed, epoch=run.epochs_done)
    with quiet():
        norms = {name: float(np.linalg.norm(step)) for name, step in steps.items()}
    return simulation.trace(outcome, example), norms


def _object(outcome: Outcome, example: int, values: dict[str, Any], updates: dict[str, float]) -> dict[str, Any]:
    ticks = len(next(iter(values.values()))) if values else 0
    return {
        "circuit": outcome.run.circuit.name,
        "seed": outcome.settings.seed,
        "example": example,
        "ticks": [
            {"tick": tick, "values": {name: array[tick].tolist() for name, array in values.items()}}
            for tick in range(ticks)
        ],
        "updates": updates,
    }


def _print(outcome: Outcome, example: int, values: dict[str, Any], updates: dict[str, float]) -> None:
    ticks = len(next(iter(values.values()))) if values else 0
    print(
        f"{outcome.run.circuit.name}, example {example}, after {outcome.run.epochs_done} epochs, "
        f"{ticks} tick{'s' if ticks != 1 else ''}"
    )
    rows = _one_tick(values) if ticks == 1 else _many_ticks(values, ticks)
    _table(rows)
    print("\nwhat it adds to the weights (norm)")
    _table([[name, number(norm)] for name, norm in updates.items()])


def _one_tick(values: dict[str, Any]) -> list[list[str]]:
    rows = [["", "units", "mean", "min", "max", "first units"]]
    for name, array in values.items():
        units = array[0]
        first = " ".join(number(float(u)) for u in units[:UNITS]) + (" …" if len(units) > UNITS else "")
        told = [number(float(f())) for f in (units.mean, units.min, units.max)]
        rows.append([name, str(len(units)), *told, first])
    return rows


def _many_ticks(values: dict[str, Any], ticks: int) -> list[list[str]]:
    """The mean over a population's units, tick by tick; as many ticks as the line is wide."""
    widest = max(len(name) for name in values)
    room = max(2, (shutil.get_terminal_size().columns - widest - 10) // 9)
    shown = sorted({round(i * (ticks - 1) / (min(room, ticks) - 1)) for i in range(min(room, ticks))})
    rows = [["mean at tick", "units", *(str(t) for t in shown)]]
    for name, array in values.items():
        rows.append([name, str(array.shape[1]), *(number(float(array[t].mean())) for t in shown)])
    return rows


def _table(rows: list[list[str]]) -> None:
    if not rows:
        return
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        print("  " + "  ".join(cells).rstrip())
