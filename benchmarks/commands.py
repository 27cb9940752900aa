"""How long a user waits: whole processes of `circuitdsl`, from the shell's point of view.

    python benchmarks/commands.py [--rounds 5]

Every round runs each command once, so that a disturbance of the machine hits all; medians count. A first run has
nothing compiled (a cache of its own, thrown away), a next one finds it. The goals are those of a tool that feels
immediate: `check` under 0.3 s, `derive` without measurement under 1 s (of 20 layers under 2 s), a first run compiled
in under 5 s, the next start under 1 s; for what a certificate costs beside its training see certificate.py.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CIRCUIT = "heterosynaptic/self_assembly.circ"
DEEP = ("--set", "depth=20")


@dataclass(frozen=True)
class Command:
    """`cold`: with nothing compiled before; `goal`: seconds, or None."""

    name: str
    arguments: tuple[str, ...]
    goal: float | None
    cold: bool = False


COMMANDS = (
    Command("check", ("check", CIRCUIT), 0.3),
    Command("derive", ("derive", CIRCUIT, "--no-measure"), 1.0),
    Command("derive, 20 layers", ("derive", CIRCUIT, "--no-measure", *DEEP), 2.0),
    Command("first run, 1 epoch", ("run", CIRCUIT, "--epochs", "1"), None, cold=True),
    Command("next run, 1 epoch", ("run", CIRCUIT, "--epochs", "1"), 1.0),
    Command("first run of Kolen-Pollack", ("run", "kolen_pollack", "--epochs", "1"), 5.0, cold=True),
    Command("next run of Kolen-Pollack", ("run", "kolen_pollack", "--epochs", "1"), 1.0),
)


def timed(command: Command, caches: Path) -> float:
    """One process, with the compiled code of earlier ones, or in a folder of its own."""
    folder = Path(tempfile.mkdtemp(dir=caches)) if command.cold else caches / "kept"
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "circuitdsl", *command.arguments],
        env={**os.environ, "CIRCUITDSL_CACHE": str(folder)}, check=True, capture_output=True,
    )  # fmt: skip
    return time.perf_counter() - started


def table(seconds: dict[str, list[float]]) -> Iterator[str]:
    for command in COMMANDS:
        found = seconds[command.name]
        goal = "" if command.goal is None else f"   goal {command.goal:g}"
        yield f"{command.name:28} {statistics.median(found):7.2f} s   [{min(found):.2f}, {max(found):.2f}]{goal}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    seconds: dict[str, list[float]] = {command.name: [] for command in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):  # the first round warms what may be warm
            print(f"round {number} of {rounds}", file=sys.stderr)
            for command in COMMANDS:
                found = timed(command, Path(folder))
                if number:
                    seconds[command.name].append(found)
    print("\n".join(table(seconds)))


if __name__ == "__main__":
    main()
