"""What is promised, and how it stands the test: `make trust` runs the guards and writes docs/trust.md.

    python tests/trust.py                                        # in full: hours
    python tests/trust.py --continue                             # go on where a run was stopped, by tests/trust.json
    python tests/trust.py --programs 5000 --circuits 4           # less of it; the page says how much it was
    python tests/trust.py --programs 700 --circuits 1 --kills 10 --guards 10 --print

Figures on the page are those of the run that wrote it, and of what it went on from. Exit 1 if anything is not as
promised.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import fuzz
import guards
from ledger import Ledger, Stretch, commit

ROOT = Path(__file__).resolve().parents[1]
#: What takes hours, and is kept as far as it came.
LONG = ("programs", "circuits")
PAGE = ROOT / "docs" / "trust.md"


@dataclass(frozen=True)
class Outcome:
    """A promise, how it was tested, how often, and what was not as promised."""

    promise: str
    how: str
    count: int
    faults: list[str]


# ---------------------------------------------------------------- the parts


def programs(count: int) -> Outcome:
    def examine(seeds: range) -> Stretch:
        report = fuzz.examine(seeds, os.cpu_count() or 1)
        faults = [f"program {f.seed} ({f.kind}), {f.step}: {f.what}" for f in report.faults]
        _tell(f"{seeds.stop:,} programs")
        return Stretch(commit(), seeds.start, seeds.stop, report.reached, report.megabytes, faults)

    Ledger("programs").run(count, 2000, examine)
    done = Ledger("programs").look_again(lambda fault: fuzz.examined(int(fault.split()[1])).fault is None)
    counts = sum((Counter(s.counts) for s in done), Counter())
    reached = ", ".join(f"{n:,} {_REACHED[what]}" for what, n in sorted(counts.items()))
    return Outcome(
        "No text brings forth an undeclared exception, more than 10 s of processor time, or 2 GB of memory; `fmt` is "
        "at rest after one pass and changes no meaning.",
        f"programs drawn by chance (generated, from the grammar, mutated, spliced) through check, fmt, derive and the "
        f"reference, without compiling: {reached}; {max(s.megabytes for s in done):.0f} MB at most",
        done[-1].last,
        [fault for s in done for fault in s.faults],
    )


_REACHED = {
    "told what is wrong": "were told what is wrong", "check": "hold no circuit", "derive": "were derived and "
    "too large to run", "reference": "were run", "fmt": "stopped at fmt", "start": "did not start",
}  # fmt: skip


def differential(count: int) -> Outcome:
    """Compiled by Numba, in single processes: the reference, the circuit, and the circuit with its items permuted."""

    def examine(seeds: range) -> Stretch:
        with ProcessPoolExecutor(os.cpu_count() or 1, initializer=fuzz._alone) as pool:
            faults = [fault for found in pool.map(_differs, seeds) for fault in found]
        _tell(f"{seeds.stop:,} circuits")
        return Stretch(commit(), seeds.start, seeds.stop, faults=faults)

    Ledger("circuits").run(count, 20, examine)
    done = Ledger("circuits").look_again(lambda fault: not _differs(int(fault.split()[1].rstrip(":"))))
    return Outcome(
        "The compiled engine computes what the reference does, whatever the order of the items.",
        "generated circuits: reference, compiled, compiled after a permutation (the last two bit for bit)",
        done[-1].last,
        [fault for s in done for fault in s.faults],
    )


def _differs(seed: int) -> list[str]:
    from random import Random

    from agreement import TOLERANCE, worst
    from bench import Bench
    from test_order import bits, load, shuffled

    from circuitdsl.runtime.engine import Compiled

    text = guards.text_of(seed)
    circuit, permuted = load(text), load(shuffled(text, Random(seed)))
    found = []
    error, name = worst(circuit, dtype="float64", updates=10, batch=1 + seed % 3, watching=False)
    if not error < TOLERANCE["float64"]:
        found.append(f"circuit {seed}: {name} differs from the reference by {error:.1e}")
    learnt = []
    for one in (circuit, permuted):
        bench = Bench(one, examples=6, dtype="float64")
        engine = Compiled(one, [], "float64")
        engine.train(bench.state, bench.data, bench.order, bench.numbers, seed=1, epoch=0, batch=1 + seed % 3)
        learnt.append(bits(bench.state))
    if learnt[0] != learnt[1]:
        found.append(f"circuit {seed}: other bits after a permutation of the items")
    return found


def equal_bits(count: int) -> Iterator[Outcome]:
    for what, holds in guards.BITS.items():
        with ProcessPoolExecutor(os.cpu_count() or 1, initializer=fuzz._alone) as pool:
            held = list(pool.map(holds, range(count), chunksize=5))
        faults = [f"circuit {seed}" for seed, right in enumerate(held) if not right]
        yield Outcome(f"A circuit learns the same bits: {what}.", "generated circuits, by the reference", count, faults)


def equal_numbers(count: int) -> Outcome:
    errors = [guards.written_otherwise(seed) for seed in range(count)]
    return Outcome(
        "A motif and the same written out, and a circuit with other names, learn the same numbers to 1e-5, with "
        "weights from files and no noise.",
        f"data and weights drawn anew, by the reference; the largest difference was {max(errors):.0e}",
        count,
        [f"data {seed}: {error:.1e}" for seed, error in enumerate(errors) if not error < guards.EQUAL],
    )


def kills(count: int) -> Outcome:
    return Outcome(
        "A run that is killed leaves a whole file or none, and no litter after the next; taken up, it ends with the "
        "bits of a run that was never stopped.",
        "SIGKILL at points spread evenly over the calls that a run makes, then `--resume`",
        count,
        list(guards.kills(count)),
    )


#: What tests of the suite hold, by the selection that runs them.
TESTS = {
    "Every damaged cache file is noticed and made anew, and the bits are the same.": (
        "tests/test_cache.py", "flipped_bit or damaged or full_disk or half_a_file",
    ),
    "Copies of a circuit, side by side or alone, and on any number of threads, learn the same bits.": (
        "tests/test_population.py tests/test_lanes.py", "neither or serves or generated",
    ),
    "A sweep on a cluster gives the bits of a serial one.": ("tests/test_cluster.py", "bits"),
    "Damaged and hostile files of data and weights are told by name, with a way out.": (
        "tests/test_damaged.py tests/test_weight_files.py", "",
    ),
    "What people write who come from elsewhere is told with a way out.": ("tests/test_beginners.py", ""),
    "Texts that would never end are stopped at their place.": ("tests/test_endless.py", ""),
    "Every way out of the command line has its exit code, one JSON object, and no traceback.": (
        "tests/test_front_door.py", "",
    ),
}  # fmt: skip


def suite() -> Iterator[Outcome]:
    for promise, (files, words) in TESTS.items():
        line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files.split()]
        line += ["-k", words] if words else []
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
        summary = done.stdout.splitlines()[-1:] or [""]
        passed = sum(line.count(".") for line in done.stdout.splitlines() if line.rstrip().endswith("%]"))
        faults = (
            [] if done.returncode == 0 else [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
        )
        faults = faults or ([] if done.returncode == 0 else summary)
        told = f"`pytest {files}" + (f" -k '{words}'`" if words else "`")
        yield Outcome(promise, f"tests: {told}", passed, faults)


# ---------------------------------------------------------------- the page

HEAD = """\
# Trust

What circuitdsl promises, how each promise is tested, how often it was, and what came of it. This page is written by
`make trust`, and its figures are those of that run, which may be done in pieces. In the test suite a small share of it
runs, the same at every run.

| promise | how it is tested | times | not as promised |
|---|---|---|---|
"""
STATES = """
Programs and compiled circuits take hours, and are examined in stretches: {stretches}.
"""
MENDED = """\
What was not as promised when it was first looked at, was mended, and is as promised where it was looked at again:

"""
TAIL = """
## What is not promised

- **Verdicts are about the model as written.** `derive` proves statements of the equations under hypotheses that it
  names; it says nothing of a biological neuron, and nothing of a circuit whose hypotheses do not come about. A measured
  verdict is about the data, the seeds and the time that were looked at.
- **Bits are those of one machine and one minor version.** Another processor, another version of Numba or NumPy, or
  another back end may round otherwise.
- **Texts may be refused that are right**, if they grow beyond the limits in [language.md](language.md).
- **A file that you name is trusted to be yours.** What is read is looked at, and read without running anything in it;
  but a cache folder, a results file or a scheduler that others can write to is theirs as much as yours. Whoever
  reaches a scheduler of a cluster without certificates can run code there (see [cluster.md](cluster.md)).
- **Time is not promised.** Limits are on processor time, not on the clock; a loaded machine takes longer.
- **Chance is no proof.** Programs drawn by chance find faults; they do not show that there are none.
"""


def page(outcomes: list[Outcome]) -> str:
    rows = [
        f"| {o.promise} | {o.how} | {o.count:,} | {'none' if not o.faults else '**' + str(len(o.faults)) + '**'} |"
        for o in outcomes
    ]
    faults = [f"- {o.promise}: {fault}" for o in outcomes for fault in o.faults]
    told = "\n## Not as promised\n\n" + "\n".join(faults) + "\n" if faults else ""
    done = [(what, s) for what in LONG for s in Ledger(what).stretches()]
    mended = [f"- {fault}" for what in LONG for s in Ledger(what).stretches() for fault in s.mended]
    told += "\n## Found on the way\n\n" + MENDED + "\n".join(mended) + "\n" if mended else ""
    stretches = "; ".join(f"{what} {s.first:,} to {s.last - 1:,} at commit `{s.commit}`" for what, s in done)
    return HEAD + "\n".join(rows) + "\n" + STATES.format(stretches=stretches) + told + TAIL


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, count in {"programs": 200_000, "circuits": 500, "kills": 100, "guards": 200}.items():
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--no-tests", action="store_true", help="leave out what the test suite holds")
    parser.add_argument("--print", action="store_true", help="print the outcomes instead of writing the page")
    parser.add_argument("--continue", dest="go_on", action="store_true", help="go on where a run was stopped")
    options = parser.parse_args()
    for name in () if options.go_on else LONG:
        Ledger(name).forget()
    parts: list[Callable[[], Iterator[Outcome]]] = [
        lambda: iter([programs(options.programs)]), lambda: iter([differential(options.circuits)]),
        lambda: equal_bits(options.guards), lambda: iter([equal_numbers(options.guards)]),
        lambda: iter([kills(options.kills)]), *([] if options.no_tests else [suite]),
    ]  # fmt: skip
    outcomes: list[Outcome] = []
    for part in parts:
        for outcome in part():
            print(f"{outcome.promise} {outcome.count:,}: {outcome.faults or 'as promised'}", file=sys.stderr)
            outcomes.append(outcome)
    if options.print:
        print(json.dumps([vars(o) for o in outcomes]))
    else:
        PAGE.write_text(page(outcomes), encoding="utf-8")
    return 1 if any(o.faults for o in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
