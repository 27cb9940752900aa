"""Whatever the members of a circuit are called, its code does what it says. As a program:

    NUMBA_DISABLE_JIT=1 python tests/test_names.py 0 100

runs circuits whose members are called like the words 0 to 99 of emitted code, Python and its builtins as plain Python,
and prints a JSON list of what differs from the reference.
"""

from __future__ import annotations

import ast
import builtins
import gc
import json
import keyword
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest
from test_pipeline import ALL, circuit, differing

import circuitdsl as cd
from circuitdsl.diagnostics import CircuitError
from circuitdsl.emit.cpu import print_program
from circuitdsl.emit.names import PYTHON, apart, bound, fresh, spoken
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.resolve import load_text
from circuitdsl.lower.loop_ir import Aim, names_of
from circuitdsl.lower.names import LOCALS
from circuitdsl.lower.pipeline import passed
from circuitdsl.lower.schedule import lower_all
from circuitdsl.runtime import lanes

HERE = Path(__file__).resolve().parent

#: Every kind of member once or more: three populations, params, synapses, dendrites, states and phases.
TEMPLATE = """circuit named {{
  param {p0} = 0.1   param {p1} = 0.2   param {p2} = 0.3
  input x_in: 3   target y_in: 2
  neuron {n0}: 4 {{ dendrite {d0}   state {s0} = 0.1   d{s0} = {p2} * ({d0} - {s0})   rate = tanh({d0} + {s0}) }}
  neuron {n1}: 2 {{ dendrite {d1}   rate = softmax({d1}) }}
  neuron {n2}: 2 {{ rate = y_in - {n1} + 0 * relu(clip(randn(), 0, 1)) }}
  synapse {w0}: x_in -> {n0}.{d0} {{ dw = {p0} * post * pre }}
  synapse {w1}: {n0} -> {n1}.{d1} {{ state {s1} = 0   d{s1} = {p1} * (pre - {s1})   dw = {p0} * {s1} * {n2} * pre ^ 2 }}
  schedule {{ phase {f0}: 2   phase {f1}: 1   update = example }}
  loss = cross_entropy({n1}, y_in)
}}"""
SLOTS = ("n0", "n1", "n2", "p0", "p1", "p2", "w0", "w1", "d0", "d1", "s0", "s1", "f0", "f1")
#: Names that no word is.
DEFAULTS = {slot: f"own_{slot}" for slot in SLOTS}


def texts(graph: Circuit) -> list[str]:
    found = []
    for program in lower_all(graph):
        found += [print_program(passed(program), "float32"), print_program(passed(program), "float64")]
        found += [print_program(passed(program, Aim(copies=copies)), "float32") for copies in (1, 2)]
    return found


@cache
def words() -> tuple[str, ...]:
    """Every identifier of emitted code but names of entities, Python's and the builtins', and locals of phases."""
    graphs = [circuit(), circuit(TEMPLATE.format(**DEFAULTS))]
    theirs = {word for graph in graphs for text in texts(graph) for word in spoken(text) | bound(text)}
    theirs |= {*keyword.kwlist, *keyword.softkwlist, *dir(builtins), *LOCALS}
    theirs |= {"fma", "lanes", "lane", "begin", "copies", "integers", "winner_int", "total2", "total_", "np_"}
    return tuple(sorted({w for w in theirs if not w.startswith("_")}, key=lambda w: (len(w), w)))


def named(**slots: str) -> Circuit | None:
    """The circuit with these names; None if the language has no such name there."""
    try:
        return load_text(TEMPLATE.format(**{**DEFAULTS, **slots}), "named").circuit
    except CircuitError:
        return None


def holding(place: int) -> Circuit:
    """A circuit whose population is called like that word, and whose other members like others, where the language
    lets them."""
    slots: dict[str, str] = {}
    for number, slot in enumerate(SLOTS):
        word = words()[(place + 5 * number) % len(words())]
        if word not in slots.values() and named(**{**slots, slot: word}) is not None:
            slots[slot] = word
    made = named(**slots)
    assert made is not None
    return made


def main(first: int, last: int) -> None:
    lanes.LANES = 2
    wrong = []
    places = (place for place in range(first, min(last, len(words()))) if place // 5 % 6 == 0)  # each word twice
    for graph in map(holding, places):
        names = [*graph.values, *graph.synapses]
        try:
            wrong += [f"{names}: {w}" for w in differing(graph, [])]
        except Exception as problem:
            wrong.append(f"{names}: {problem!r}")
    print(json.dumps(wrong))


@pytest.mark.slow
def test_members_called_like_every_word_of_the_code() -> None:
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}
    command = [sys.executable, str(HERE / "test_names.py"), "0", str(len(words()))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1800)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize(
    "names",
    [
        ("whole", "np", "real", "range", "fma", "i"),
        ("distinct", "kernel", "types", "abs", "train_copies", "swift_tanh"),
    ],
)
def test_compiled(names: tuple[str, ...]) -> None:
    text = ALL.replace("loss =", "task t { data = iris   epochs = 1   batch = 50 }\n  loss =")
    for old, new in zip(("h", "out", "err", "W1", "W2", "eta"), names, strict=True):
        text = re.sub(rf"\b{old}\b", new, text)
    found = cd.loads(text).run()
    reference = cd.loads(text).run(target="reference")
    assert float(found["loss"][-1]) == pytest.approx(float(reference["loss"][-1]), rel=1e-4)


# ---------------------------------------------------------------- what is taken


@pytest.mark.parametrize("copies", [1, 2])
def test_what_a_text_binds_is_what_its_module_has(copies: int) -> None:
    for program in lower_all(circuit()):
        text = print_program(passed(program, Aim(copies=copies)), "float32")
        space: dict[str, object] = {}
        exec(text, space)
        assert bound(text) == space.keys() - {"__builtins__", "__doc__"}


@pytest.mark.parametrize("place", range(0, 400, 20))
def test_what_is_called_is_no_variable(place: int) -> None:
    for text in texts(holding(place)):
        for function in (n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)):
            own = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            own |= {a.arg for a in function.args.args}
            calls = (n.func for n in ast.walk(function) if isinstance(n, ast.Call))
            called = {f.id for f in calls if isinstance(f, ast.Name)}
            assert not called & own
            assert called <= bound(text) | PYTHON


def test_renaming_keeps_names_apart() -> None:
    program = passed(lower_all(circuit())[0])
    taken = names_of(program)
    renamed = apart(program, taken)
    assert not names_of(renamed) & taken
    assert len(names_of(renamed)) == len(taken)
    assert apart(program, {"none of them"}) is program
    assert fresh("a", {"a", "a_2"}) == "a_3"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))


def test_threads_may_read_names_at_once() -> None:
    """In Python 3.11 two threads that parse at once may fail, wherever garbage collection lets another one run."""
    lines = "\n".join(
        f"def f{i}(a, b):\n    for j in range(a):\n        b[j] = {' + '.join(['a * b[j]'] * 20)}" for i in range(60)
    )
    threshold, interval, busy = gc.get_threshold(), sys.getswitchinterval(), lambda *_: sum(range(3000))
    gc.set_threshold(10)
    sys.setswitchinterval(1e-6)
    gc.callbacks.append(busy)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = [*pool.map(bound, [f"x{n} = 1\n{lines}" for n in range(24)])]
    finally:
        gc.callbacks.remove(busy)
        sys.setswitchinterval(interval)
        gc.set_threshold(*threshold)
    assert all(f"x{n}" in names for n, names in enumerate(found))
