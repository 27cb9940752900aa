"""Programs drawn by chance, right and wrong, through check, fmt, derive and the reference, without compiling. As a
module for tests, and as a program (`make fuzz`):

    python tests/fuzz.py 0 5000        # programs 0 to 4999, on all processors; a JSON report, exit 1 if there are any
    python tests/fuzz.py show 17       # the text of program 17, and what is wrong with it

What must hold of each: no exception but the declared ones; no more than `SECONDS` of processor time and `BYTES` of
memory; messages can be shown; a text that is read is laid out at rest, and the laid out text means the same.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from generate import random_circuit
from grammar_texts import circuit_files, laid_out, random_words

from circuitdsl.diagnostics import CircuitError, Source, render
from circuitdsl.graph import ir
from circuitdsl.graph.resolve import Loaded, load_source
from circuitdsl.runtime.state import circuit_hash
from circuitdsl.syntax.format import format_text
from circuitdsl.syntax.parse import parse
from circuitdsl.syntax.words import Word, words

SECONDS = 10.0
BYTES = 2 * 2**30
#: Circuits with more weights, or more ticks per example, are not run by the reference: they would take their time.
MOST_WEIGHTS, MOST_TICKS = 20_000, 30

KINDS = ("generated", "grammar", "mutated", "mutated twice", "mutated thrice", "spliced", "letters")


class Hang(Exception):
    """A program that took more than `SECONDS` of processor time."""


@dataclass(frozen=True)
class Fault:
    """What must not be: program, its kind, the step, and what happened."""

    seed: int
    kind: str
    step: str
    what: str


@dataclass(frozen=True)
class Found:
    """What became of a program: how far it came, and a fault, if there was one."""

    kind: str
    reached: str
    fault: Fault | None = None


# ---------------------------------------------------------------- programs


@cache
def library() -> list[tuple[str, str]]:
    """Every shipped text, with the folder that its imports are looked for in."""
    return [(str(path.parent), path.read_text(encoding="utf-8")) for path in circuit_files()]


def program(seed: int) -> tuple[str, str, str | None]:
    """(its kind, the text, the folder of its imports) of a program. Equal seeds give equal programs."""
    random = Random(f"program {seed}")
    kind = KINDS[seed % len(KINDS)]
    folder: str | None = None
    match kind:
        case "generated":
            return kind, random_circuit(random), None
        case "grammar":
            return kind, laid_out(random, random_words(random, size=random.choice((20, 60, 150)))), None
        case "letters":
            text = random.choice((random_circuit(random), random.choice(library())[1]))
            for _ in range(random.randrange(1, 6)):
                at = random.randrange(len(text) + 1)
                text = text[:at] + random.choice(_LETTERS) + text[at + random.randrange(3) :]
            return kind, text, None
        case _:
            folder, text = random.choice(library()) if random.random() < 0.6 else (None, random_circuit(random))
    for _ in range({"mutated": 1, "mutated twice": 2, "mutated thrice": 3}.get(kind, 1)):
        text = mutated(random, text, "spliced" if kind == "spliced" else random.choice(_CHANGES))
    return kind, text, folder


_LETTERS = (
    '"', '"""', "#", "\\", "\0", "\x1b", "\r", "\t", "\ufeff", "η", "\u202e", "{", "}", "(", ")", "[", "]", ";", "..",
    "1e999", "-", "^", "~", "->", "=", ":", "0x", "\ud7ff", "神", "'",
)  # fmt: skip
_CHANGES = ("left out", "doubled", "exchanged", "renamed", "number", "cut off", "swapped", "keyword", "operator")
_NUMBERS = (
    "0", "-0", "1", "2", "-1", "0.5", "1e-320", "1e308", "1e12", "1/0", "0/0", "10^10^10", "1..0", "[1, 2]", "[]",
    "999999", "48", "sqrt(-1)", "log(0)",
)  # fmt: skip
_KEYWORDS = (
    "circuit motif rule param per input target neuron dendrite state keep fresh rate let drive synapse modulator use as"
    " for in alias pair loss expect attractor task stage record every schedule phase train import pre post w prev bias"
    " index softmax sum mean norm randn"
).split()
_OPERATORS = ("+", "-", "*", "/", "^", "<", ">=", "==", "&", "~", "->", "..", ",", "=", ":", ".")


def mutated(random: Random, text: str, change: str) -> str:
    """A text with one word changed."""
    found = [w for w in words(Source("", text))[0] if w.kind != "DOCSTRING"]
    if len(found) < 2:
        return text
    word, other = random.choice(found), random.choice(found)
    match change:
        case "left out":
            return _with(text, word, "")
        case "doubled":
            return _with(text, word, f"{word.text} {word.text}")
        case "exchanged":
            return _with(text, word, other.text)
        case "renamed":
            return _with(text, random.choice([w for w in found if w.kind == "NAME"] or found), random.choice("abxyzW"))
        case "number":
            return _with(
                text, random.choice([w for w in found if w.kind == "NUMBER"] or found), random.choice(_NUMBERS)
            )
        case "cut off":
            return text[: word.start]
        case "swapped":
            a, b = sorted((word, other), key=lambda w: w.start)
            if a.end > b.start:
                return text
            return text[: a.start] + b.text + text[a.end : b.start] + a.text + text[b.end :]
        case "keyword":
            return _with(text, word, random.choice(_KEYWORDS))
        case "operator":
            return _with(text, word, random.choice(_OPERATORS))
        case _:  # spliced: a stretch of one text within another
            source = random.choice(library())[1]
            start = random.randrange(len(source) + 1)
            return text[: word.start] + source[start : start + random.randrange(400)] + text[word.start :]


def _with(text: str, word: Word, new: str) -> str:
    return text[: word.start] + new + text[word.end :]


# ---------------------------------------------------------------- what must hold


def examined(seed: int) -> Found:
    """What becomes of one program."""
    kind, text, folder = program(seed)
    step = "start"

    def fault(what: str) -> Found:
        return Found(kind, step, Fault(seed, kind, step, what))

    try:
        with limited(SECONDS):
            source = Source("program.circ", text)
            step = "check"
            loaded, misspelt = _checked(source, folder)
            step = "fmt"
            if not misspelt and (wrong := _laid_out(source, folder, loaded)) is not None:
                return fault(wrong)
            if loaded is None or loaded.circuit is None:
                return Found(kind, "told what is wrong" if loaded is None else "check")
            step = "derive"
            _derived(loaded.circuit)
            step = "reference"
            return Found(kind, "reference" if _run(loaded.circuit) else "derive")
    except Hang:
        return fault(f"more than {SECONDS:g} seconds of processor time")
    except (Exception, RecursionError) as error:
        return fault(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")


def _checked(source: Source, folder: str | None) -> tuple[Loaded | None, bool]:
    """The checked text; None if it is wrong, in which case every message can be shown. And whether it is no text of the
    language at all."""
    try:
        loaded: Loaded | None = load_source(source, Path(folder) if folder else None)
        found = loaded.warnings if loaded else ()
    except CircuitError as error:
        loaded, found = None, error.diagnostics
        assert found, "wrong, and nothing is told"
    for diagnostic in found[:20]:
        render(diagnostic, width=80)
        json.dumps(diagnostic.as_json())
    return loaded, any(d.code in _SYNTAX and d.span is not None and d.span.source is source for d in found)


_SYNTAX = ("C001", "C002", "C003", "C004", "C005")


def _laid_out(source: Source, folder: str | None, loaded: Loaded | None) -> str | None:
    """What is wrong with the laid out text."""
    try:
        tree = parse(source)
    except CircuitError:
        return None
    once = Source(source.name, format_text(source))
    if format_text(once) != once.text:
        return "fmt is not at rest after one pass"
    if parse(once) != tree:
        return "fmt changes what is read"
    if loaded is not None and loaded.circuit is not None:
        again = load_source(once, Path(folder) if folder else None).circuit
        assert again is not None
        if circuit_hash(again) != circuit_hash(loaded.circuit):
            return "fmt changes the circuit"
    return None


def _derived(circuit: ir.Circuit) -> None:
    from circuitdsl.derive.tell.as_json import as_json
    from circuitdsl.derive.tell.derivation import derive
    from circuitdsl.derive.tell.expects import judge
    from circuitdsl.derive.tell.page import page

    derivation = derive(circuit)
    judgements = judge(derivation)
    as_json(derivation, judgements)
    page(derivation, judgements, width=80, color=False)


def _run(circuit: ir.Circuit) -> bool:
    """Two updates and an evaluation by the reference; whether the circuit is small enough for it."""
    import warnings

    from bench import Bench

    from circuitdsl.graph.numbers import evaluate, numbers_of
    from circuitdsl.runtime.errors import UsageError
    from circuitdsl.runtime.ticks import ticks_of

    numbers = numbers_of(circuit, {})
    ticks = sum(evaluate(p.ticks, numbers) for p in circuit.schedule.phases)
    weights = sum(s.pre_size * s.post_size * (1 + len(s.states)) for s in circuit.synapses.values())
    units = sum(p.size for p in circuit.populations.values())
    if not (weights <= MOST_WEIGHTS and units <= MOST_WEIGHTS and ticks <= MOST_TICKS):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numbers that overflow are told by a run, as a divergence
        try:
            bench = Bench(circuit, examples=4)
        except (CircuitError, UsageError, OSError):  # a file that is not there, a number out of its range
            return True
        bench.train(batch=2)
        if ticks_of(circuit, bench.numbers, evaluation=True):  # without any an evaluation is refused
            bench.evaluate()
    return True


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises Hang inside after so much processor time."""

    def stop(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


# ---------------------------------------------------------------- many


@dataclass(frozen=True)
class Report:
    """What became of many programs."""

    programs: int
    reached: dict[str, int]
    kinds: dict[str, int]
    faults: list[Fault]
    megabytes: float


def examine(seeds: Iterable[int], processes: int = 1, tell: Callable[[int], None] = lambda _: None) -> Report:
    """Examines programs; the order of the report does not depend on the number of processes."""
    seeds = list(seeds)
    if processes == 1:
        found = [examined(seed) for seed in seeds]
        peak = _peak(resource.RUSAGE_SELF)
    else:
        with ProcessPoolExecutor(processes, initializer=_alone) as pool:
            found = []
            for one in pool.map(examined, seeds, chunksize=50):
                found.append(one)
                tell(len(found))
        peak = _peak(resource.RUSAGE_CHILDREN)
    faults = [f.fault for f in found if f.fault is not None]
    if peak > BYTES:
        faults.append(Fault(-1, "", "memory", f"{peak / 2**20:.0f} MB"))
    reached, kinds = Counter(f.reached for f in found), Counter(f.kind for f in found)
    return Report(len(found), dict(sorted(reached.items())), dict(sorted(kinds.items())), faults, peak / 2**20)


def _alone() -> None:
    """One thread per process, and no more memory than is promised."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))


def _peak(who: int) -> float:
    return resource.getrusage(who).ru_maxrss * 1024.0


def main(arguments: list[str]) -> int:
    if arguments[0] == "show":
        seed = int(arguments[1])
        kind, text, _ = program(seed)
        print(f"# program {seed}, {kind}\n{text}")
        print(examined(seed), file=sys.stderr)
        return 0
    first, last = (int(a) for a in arguments[:2])
    report = examine(
        range(first, last), os.cpu_count() or 1, lambda n: n % 1000 or print(f"{n} programs", file=sys.stderr)
    )
    print(
        json.dumps(
            {"faults": [vars(f) for f in report.faults], **{k: v for k, v in vars(report).items() if k != "faults"}}
        )
    )
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
