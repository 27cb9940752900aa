"""What a certificate costs beside the training of its seeds: whole commands, in turn, on this machine.

    python benchmarks/certificate.py [CIRCUIT ...] [--rounds 3]

For each circuit `circuitdsl run --learn circuit --seeds 5` and `circuitdsl certify` (five seeds), after one of each
to compile: the median of their elapsed and processor seconds, and the ratio. Default: the flagships and one circuit
of each kind. The goal: a ratio of at most 1.2 of the elapsed time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CIRCUITS = (
    "heterosynaptic/self_assembly.circ", "heterosynaptic/kolen_pollack.circ", "heterosynaptic/feedback_alignment.circ",
    "heterosynaptic/weight_mirror.circ", "classic/node_perturbation.circ", "classic/cerebellum.circ",
    "optimizers/adam.circ", "models/eprop.circ", "models/equilibrium_propagation.circ",
)  # fmt: skip
COMMANDS = {"run": ("run", "--learn", "circuit", "--seeds", "5", "--json"), "certify": ("certify", "--json")}


def seconds(circuit: str, command: str) -> tuple[float, float]:
    """Elapsed and processor seconds of one process."""
    head, *options = COMMANDS[command]
    before, started = os.times(), time.perf_counter()
    line = [sys.executable, "-m", "circuitdsl", head, str(ROOT / "circuits" / circuit), *options]
    subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, cwd=ROOT)
    elapsed, after = time.perf_counter() - started, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return elapsed, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("circuits", nargs="*", default=CIRCUITS)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"{'circuit':<42}{'run':>16}{'certify':>16}{'ratio':>14}   (elapsed, processor)")
    for circuit in options.circuits:
        found: dict[str, list[tuple[float, float]]] = {"run": [], "certify": []}
        for turn in range(options.rounds + 1):
            for command, times in found.items():
                spent = seconds(circuit, command)
                if turn > 0:
                    times.append(spent)
        run, certify = (
            tuple(statistics.median(t[i] for t in found[name]) for i in (0, 1)) for name in ("run", "certify")
        )
        print(
            f"{circuit:<42}{run[0]:>8.2f}{run[1]:>8.2f}{certify[0]:>8.2f}{certify[1]:>8.2f}"
            f"{certify[0] / run[0]:>8.2f}{certify[1] / run[1]:>6.2f}"
        )


if __name__ == "__main__":
    main()
