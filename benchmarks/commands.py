"""How long a user waits: whole processes of `circuitdsl`, in seconds of processor time and of the clock.

    python benchmarks/commands.py [--rounds 5]
    python benchmarks/commands.py --where

Every round runs each command once, so that a disturbance of the machine hits all; medians count. Processor time (of the
process and those that it starts) is nearly the same on a machine that does other things as well; goals are in it. A
first run has nothing compiled (a cache of its own, thrown away), a next one finds it. The goals are those of a tool
that feels immediate: `check` under 0.15 s, `derive` without measurement under 0.2 s, a first run in 2 s, the next start
under 0.35 s; for what a certificate costs beside its training see certificate.py. `--where` tells what a first run,
with nothing compiled and no tables of the grammar, spends its processor time on.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

CIRCUIT = "heterosynaptic/self_assembly.circ"
OURS = ("-m", "circuitdsl")
DEEP = ("--set", "depth=20")
#: An installed program has its bytecode on disk, whatever is set where this runs.
AS_INSTALLED = {"PYTHONDONTWRITEBYTECODE": ""}


@dataclass(frozen=True)
class Command:
    """`cold`: with nothing compiled before; `goal`: seconds of processor time, or None."""

    name: str
    arguments: tuple[str, ...]
    goal: float | None
    cold: bool = False


COMMANDS = (
    Command("Python alone", ("-c", "pass"), None),
    Command("check", (*OURS, "check", CIRCUIT), 0.15),
    Command("derive", (*OURS, "derive", CIRCUIT, "--no-measure"), 0.2),
    Command("derive, 20 layers", (*OURS, "derive", CIRCUIT, "--no-measure", *DEEP), None),
    Command("first run, 1 epoch", (*OURS, "run", CIRCUIT, "--epochs", "1"), 2.0, cold=True),
    Command("next start", (*OURS, "run", CIRCUIT, "--epochs", "0"), 0.35),
    Command("next run, 1 epoch", (*OURS, "run", CIRCUIT, "--epochs", "1"), None),
    Command("first run of Kolen-Pollack", (*OURS, "run", "kolen_pollack", "--epochs", "1"), None, cold=True),
    Command("next run of Kolen-Pollack", (*OURS, "run", "kolen_pollack", "--epochs", "1"), None),
)


def timed(command: Command, caches: Path) -> tuple[float, float]:
    """Seconds of processor time and of the clock of one process, with the compiled code of earlier ones, or in a folder
    of its own."""
    folder = Path(tempfile.mkdtemp(dir=caches)) if command.cold else caches / "kept"
    started, before = time.perf_counter(), used()
    subprocess.run(
        [sys.executable, *command.arguments],
        env={**os.environ, **AS_INSTALLED, "CIRCUITDSL_CACHE": str(folder)}, check=True, capture_output=True,
    )  # fmt: skip
    return used() - before, time.perf_counter() - started


def used() -> float:
    """The processor time of the processes that have ended."""
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime


def table(seconds: dict[str, list[tuple[float, float]]]) -> Iterator[str]:
    yield f"{'':28} {'processor':>9}   {'[least, most]':16} {'clock':>7}"
    for command in COMMANDS:
        processor, clock = zip(*seconds[command.name], strict=True)
        span = f"[{min(processor):.2f}, {max(processor):.2f}]"
        goal = "" if command.goal is None else f"   goal {command.goal:g} s of processor time"
        middle = f"{statistics.median(processor):7.2f} s   {span:16} {statistics.median(clock):5.2f} s"
        yield f"{command.name:28} {middle}{goal}"


# ---------------------------------------------------------------- where a first run spends its time

#: What is timed of a first run: what it is, the module, and the function of it.
PARTS = (
    ("tables of the grammar", "circuitdsl.syntax.grammar", "_made"),
    ("circuit to loops, passes, text", "circuitdsl.runtime.code", "passed"),
    ("import of Numba", "circuitdsl.runtime.alone", "import_numba"),
    ("Numba: types, lowering, linking", "circuitdsl.runtime.compile", "_linked"),
    ("LLVM: optimizing", "circuitdsl.runtime.compile", "_optimize"),
    ("LLVM: object code", "circuitdsl.runtime.compile", "_emitted"),
)


class Spent:
    """Seconds of processor time of parts that may be within each other; each has what it spends by itself."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._within: list[float] = []

    def timing(self, name: str, module: ModuleType, function: str) -> None:
        work: Callable[..., Any] = getattr(module, function)

        def timed_work(*arguments: Any, **named: Any) -> Any:
            self._within.append(0.0)
            started = time.process_time()
            try:
                return work(*arguments, **named)
            finally:
                spent = time.process_time() - started
                self.seconds[name] = self.seconds.get(name, 0.0) + spent - self._within.pop()
                if self._within:
                    self._within[-1] += spent

        setattr(module, function, timed_work)


def where() -> None:
    """Runs a circuit for the first time in this process, and tells what took how long."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CIRCUITDSL_CACHE"] = folder
        import circuitdsl as cd

        spent = Spent()
        for name, module, function in PARTS[:3]:
            spent.timing(name, import_module(module), function)
        import_module("circuitdsl.runtime.alone").import_numba()
        for name, module, function in PARTS[3:]:
            spent.timing(name, import_module(module), function)
        cd.load(CIRCUIT).run(epochs=1)
    total = time.process_time()
    for name, seconds in [*spent.seconds.items(), ("all else", total - sum(spent.seconds.values()))]:
        print(f"{name:34} {seconds:6.2f} s   {seconds / total:4.0%}")
    print(f"{'together':34} {total:6.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--where", action="store_true", help="what a first run spends its time on")
    options = parser.parse_args()
    if options.where:
        where()
        return
    rounds = options.rounds
    seconds: dict[str, list[tuple[float, float]]] = {command.name: [] for command in COMMANDS}
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
