"""`make mutants`: one edit of the source at a time, in a copy, and the test that dies of it.

Each mutant takes away one thing that keeps a relation from being claimed where it does not hold, or a program from
computing something else. One that survives has
no test; one whose text is not found exactly once is stale, and has to be written anew. Exit 1 for either.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("circuitdsl", "grammars", "circuits", "tests", "pyproject.toml")
#: Seconds for the tests of one mutant: one that makes them run for ever has died as well.
LIMIT = 300

DRIVES = "circuitdsl/derive/read/drives.py"
PAIRS = "circuitdsl/derive/prove/pairs.py"
RELATIONS = "circuitdsl/derive/prove/relations.py"
MATCHING = "circuitdsl/derive/prove/matching.py"
TESTS = ("tests/test_relations.py",)
SCHEDULE = "circuitdsl/lower/schedule.py"
TOUCHES = "circuitdsl/lower/touches.py"
VERIFY = "circuitdsl/lower/verify.py"
FUSE = "circuitdsl/lower/fuse.py"
PROGRAMS = ("tests/test_lower.py",)
TICKS = ("tests/test_schedule.py",)
DEFER = "circuitdsl/lower/defer.py"
PENDING = "circuitdsl/lower/pending.py"
ONLINE = ("tests/test_online.py",)


@dataclass(frozen=True)
class Mutant:
    """`old`, which stands once in `file`, becomes `new`; one of `tests` should fail."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = TESTS


MUTANTS = (
    Mutant(
        "a rule that divides by a value waits for an example that there is not",
        PENDING, "return name not in varying", "return True",
        tests=ONLINE,
    ),
    Mutant(
        "a row is gone through twice where its rule knows the current",
        DEFER, "bisect_left(places, first) < bisect_left(places, at)", "False",
        tests=ONLINE,
    ),
    Mutant(
        "rows fill vectors that are longer than they are",
        "circuitdsl/lower/wide.py", "min(row & -row, MOST)", "MOST",
        tests=("tests/test_wide.py",),
    ),
    Mutant(
        "a decay that overshoots counts as rest",
        DRIVES, "constants.value(drive.decay) * most < 2", "constants.value(drive.decay) * most < 1e9",
    ),
    Mutant(
        "another pull on one of a pair is ignored",
        PAIRS, "return x.uneven == y.uneven and (x.uneven is None or", "return True or (x.uneven is None or",
    ),
    Mutant(
        "gains of the weight are allowed in exact pairs",
        PAIRS, "return None if x.passage.weight else self._drawn_together", "return self._drawn_together",
    ),
    Mutant(
        "an intertwiner may lead round to its own letter",
        RELATIONS, "or x.synapse in ", "or None in ",
    ),
    Mutant(
        "unequal decays of V and W in an intertwiner that shrinks on the way",
        RELATIONS, "if not constants.equal(x.decay, y.decay) or not free or not still:", "if not free or not still:",
    ),
    Mutant(
        "unequal decays of what an intertwiner moves along with",
        RELATIONS, "or not _is_plain(r) or not constants.equal(dp.decay, dq.decay) or", "or not _is_plain(r) or",
    ),
    Mutant(
        "what does not quite vanish vanishes",
        RELATIONS, "<= 1e-12 * max(map(abs, v))", "<= 0.1 * max(map(abs, v))",
    ),
    Mutant(
        "bounds do not matter to what shrinks on the way",
        RELATIONS, "free = all(is_free(synapses[n]) for n in", "free = all(n in synapses for n in",
    ),
    Mutant(
        "a gate of another neuron is dropped in an intertwiner",
        RELATIONS, "return gates_in(a) <= search.symbols.own_gates(search.synapse(drive).post)", "return True",
    ),
    Mutant(
        "a gate that credit and gradient do not both begin with is dropped",
        MATCHING, "return all(x.signal.of in lead for x in letters", "return all(True for x in letters",
        ("tests/test_derivation.py", "tests/test_relations.py"),
    ),
    Mutant(
        "a phase without a tick has a last one",
        SCHEDULE, "parts = (Op(\"eq\", (_following(TICK), stop), Dtype.BOOL), some)",
        "parts = (Op(\"eq\", (_following(TICK), stop), Dtype.BOOL), Op(\"eq\", (stop, stop), Dtype.BOOL))", TICKS,
    ),
    Mutant(
        "states are applied before `prev` remembers",
        SCHEDULE, "*remember_phases(layout), *(apply_phase(layout, s) for s in moving)]",
        "*(apply_phase(layout, s) for s in moving), *remember_phases(layout)]", TICKS,
    ),
    Mutant(
        "`prev` remembers before states have their increments",
        SCHEDULE, "return [*phases, *remember_phases(layout), *", "return [*remember_phases(layout), *phases, *", TICKS,
    ),
    Mutant(
        "states are applied before a gradient's ticks are kept",
        SCHEDULE, "forward += [*tape_phases(layout), *_advance(layout, states)]",
        "forward += [*_advance(layout, states), *tape_phases(layout)]", TICKS,
    ),
    Mutant(
        "loops over different extents are fused",
        FUSE, "[(loop.var, loop.extent, loop.over) for", "[(loop.var, loop.over) for", PROGRAMS,
    ),
    Mutant(
        "loops over different axes of a buffer are fused",
        TOUCHES, "(len(self.reads | self.writes) > 1 or NOWHERE in", "(NOWHERE in", PROGRAMS,
    ),
    Mutant(
        "every thread stores beside loops over threads",
        VERIFY, "if None in touch.writes:", "if None in touch.writes - {None}:", PROGRAMS,
    ),
    Mutant(
        "lanes write each other's places",
        VERIFY, "in_rounds(loop.body, loop).items()", "in_rounds((), loop).items()", PROGRAMS,
    ),
    Mutant(
        "a barrier goes that a team needs",
        "circuitdsl/lower/join.py", "(self.threads and meet(self.touches, other.touches))", "False",
        ("tests/test_teams.py",),
    ),
    Mutant(
        "what the next step computes anew is not kept for it",
        DEFER, "(kept if anew else cleared).add(name)", "cleared.add(name)", ONLINE,
    ),
    Mutant(
        "what an earlier call has left is multiplied by 0",
        DEFER, "*self._clear(),", "", ONLINE,
    ),
    Mutant(
        "the last round does all of a step",
        DEFER, "(self.example.name, Op(\"min\", (step, last), Dtype.INT))", "(self.example.name, step)", ONLINE,
    ),
    Mutant(
        "bounds hold before anything was learned",
        PENDING, "self._hoisted(Op(\"where\", (self.late, bound, far)))", "bound", ONLINE,
    ),
    Mutant(
        "an increment that may be infinite waits",
        PENDING, "plain and _is_tame(phase, (*defines, *along.body))", "plain", ONLINE,
    ),
    Mutant(
        "phases change places though one needs the other",
        "circuitdsl/lower/reorder.py", " + [self.touched[name] for name in written]", "", ONLINE,
    ),
    Mutant(
        "a rule that reads a current is evaluated while it is summed",
        "circuitdsl/lower/rows.py", "if _Effects.of(needed).in_the_way(_Effects.of([first, *stays])) or", "if", ONLINE,
    ),
)  # fmt: skip


def mutated(mutant: Mutant, root: Path = ROOT) -> str:
    """The source of its file with the edit made. Raises ValueError if it is stale."""
    source = (root / mutant.file).read_text()
    found = source.count(mutant.old)
    if found != 1:
        raise ValueError(f"stale: {mutant.old!r} stands {found} times in {mutant.file}")
    return source.replace(mutant.old, mutant.new)


def copy_of_tree(to: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=ignored)
        else:
            shutil.copy(source, to / name)


def first_failure(tree: Path, tests: tuple[str, ...]) -> str | None:
    """The test that failed first, or that none ended in time; None if all passed."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return f"no end in {LIMIT} s"
    if done.returncode == 0:
        return None
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    if failed is None:
        raise RuntimeError(f"pytest did not get to run:\n{done.stdout}\n{done.stderr}")
    return failed.group(1)


def killer(tree: Path, mutant: Mutant) -> str | None:
    """The test that a mutant dies of in a copy of the tree, which is as it was afterwards."""
    path = tree / mutant.file
    before = path.read_text()
    path.write_text(mutated(mutant, tree))
    try:
        return first_failure(tree, mutant.tests)
    finally:
        path.write_text(before)


def main() -> int:
    parser = argparse.ArgumentParser(description="edits of the source, one at a time, and the test that dies of each")
    parser.add_argument("--only", default="", help="mutants whose name has this in it")
    options = parser.parse_args()
    chosen = [m for m in MUTANTS if options.only in m.name]
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder)
        copy_of_tree(tree)
        already = first_failure(tree, tuple(sorted({t for m in chosen for t in m.tests})))
        if already is not None:
            print(f"nothing can be said: {already} fails without a mutant")
            return 1
        for mutant in chosen:
            try:
                test = killer(tree, mutant)
            except ValueError as stale:
                test, wrong = str(stale), wrong + 1
            else:
                wrong += test is None
                test = "SURVIVED" if test is None else f"killed by {test}"
            print(f"{mutant.name}\n    {test}", flush=True)
    print(f"{len(chosen)} mutants, {wrong} that survived or are stale")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
