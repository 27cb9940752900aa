"""How much memory a run needs beside its weights: peaks of whole processes.

    python benchmarks/memory.py [--units 10000]

Processes load a circuit of `units` x `units` weights, train an epoch of four examples, evaluate, and write results and
weights, go on from the results, or start from the weights; the same with a few units. What a peak is above that of the
small runs is held against the size of the weights. The goal is 1.2 times their size.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

GOAL = 1.2
#: Four to train on and one to test on.
EXAMPLES = 5
CIRCUIT = """circuit wide {{
  param eta = 0.001
  input x: {units}
  target y: {units}
  neuron out: {units} {{ dendrite basal   rate = tanh(basal) }}
  neuron err: {units} {{ rate = y - out }}
  synapse W: x -> out.basal {{ dw = eta * err * pre - 0.01 * eta * w   bounds = [-1, 1] }}
  record norm(W)
  loss = mse(out, y)
  task fit {{ data = "data.npz"  epochs = 1  batch = 1  seed = 0  scale = none }}
}}
"""
#: What the process does, with its peak in bytes at the end (kilobytes on Linux, bytes on macOS).
CHILD = """
import resource, sys
from circuitdsl.cli.main import run
code = run(sys.argv[1:])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print("peak", peak * (1 if sys.platform == "darwin" else 1024))
sys.exit(code)
"""


def prepared(folder: Path, units: int) -> Path:
    """A folder with the circuit and its data."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((EXAMPLES, units)).astype(np.float32) for _ in "xy")
    np.savez(folder / "data.npz", x=x, y=y)
    (folder / "wide.circ").write_text(CIRCUIT.format(units=units))
    return folder


def peak(folder: Path, *more: str) -> int:
    """The most bytes that a process held which ran the circuit and wrote what came of it."""
    command = ["run", "wide.circ", *more]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *command], cwd=folder, check=True, capture_output=True, text=True, timeout=1800
    )
    return next(int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("peak "))


#: What is asked of a process, in order: each finds the files of those before it.
RUNS = {
    "a run, its results and weights": ("--out", "run.nc", "--weights", "weights.safetensors"),
    "another epoch of it": ("--out", "run.nc", "--resume", "--epochs", "2"),
    "a run from saved weights": ("--weights", "weights.safetensors"),
}


def measured(units: int, few: int = 8) -> dict[str, float]:
    """For each of the runs its memory beside that of a small one, as a multiple of the size of the weights."""
    with tempfile.TemporaryDirectory() as name:
        small, large = prepared(Path(name) / "small", few), prepared(Path(name) / "large", units)
        peak(small)  # compiles
        return {run: (peak(large, *more) - peak(small, *more)) / (4 * units**2) for run, more in RUNS.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=10_000, help="presynaptic and postsynaptic units (10,000)")
    parser.add_argument("--json", action="store_true", help="print figures")
    options = parser.parse_args()
    found = measured(options.units)
    if options.json:
        print(json.dumps(found))
        return
    print(f"{options.units**2:,} weights of {4 * options.units**2 / 1e6:,.0f} MB; goal {GOAL:g} times that")
    for run, ratio in found.items():
        print(f"  {run:32} {ratio:.2f}")


if __name__ == "__main__":
    main()
