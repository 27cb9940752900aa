"""How every circuit of the library learns: `website/curves.json`, which the gallery draws. `make curves`.

    python website/curves.py [CIRCUIT.circ ...]

Each circuit is trained by its first task, as it stands there, and beside it its gradient twin, if it has one. Kept is
what it is judged by, the metric or else the loss, with as many digits as a curve can show. Without names the whole
library: an hour. With names these are made anew, and the others stay.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import circuitdsl as cd
from circuitdsl.cli.list import entries

FILE = Path(__file__).resolve().parent / "curves.json"
#: No curve has more points, and none more digits.
POINTS, DIGITS = 60, 4


def main(wanted: list[str]) -> None:
    found = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    circuits = {entry.name: cd.load(entry.path) for entry in entries() if entry.kind == "circuit"}
    unknown = set(wanted) - set(circuits)
    if unknown:
        sys.exit(f"the library has no {', '.join(sorted(unknown))}")
    for name, circuit in circuits.items():
        if circuit.ir.tasks and (not wanted or name in wanted):
            started = time.monotonic()
            found[name] = learning(circuit)
            print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
            kept = {key: found[key] for key in sorted(found) if key in circuits}
            lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(one, ensure_ascii=False)}" for key, one in kept.items())
            FILE.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


def learning(circuit: cd.Circuit) -> dict[str, Any]:
    """`of`: what the curves are of; `epochs`: where their points are; `circuit` and, if there is one, `twin`."""
    simulation = circuit.compile()
    run = simulation.run()
    by_metric = bool(np.isfinite(run["metric"].values).all())
    key = "metric" if by_metric else "loss"
    told = {"of": run[key].attrs.get("long_name", key), "data": run.attrs["data"]}
    epochs = np.unique(np.linspace(0, run.sizes["epoch"] - 1, POINTS).round().astype(int))
    told |= {"epochs": epochs.tolist(), "circuit": points(run, key, epochs)}
    try:
        twin = simulation.run(learn="backprop")
    except (cd.UsageError, cd.CircuitError):  # there is no credit that a gradient could stand for
        return told
    return told | {"twin": points(twin, key, epochs)}


def points(run: Any, key: str, epochs: Any) -> list[float | None]:
    """The values at these epochs; None where it had diverged."""
    values = np.full(epochs[-1] + 1, np.nan)
    values[: run.sizes["epoch"]] = np.asarray(run[key].values, dtype=float).ravel()[: len(values)]
    return [float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values[epochs]]


if __name__ == "__main__":
    main(sys.argv[1:])
