"""Kernels for GPUs, without one: their text, and what the emulated device computes by it."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from functools import cache

import numba
import numpy as np
import pytest
from agreement import CIRCUITS, TOLERANCE, difference, generated, odd, parts, small, worst
from barriers import found as barriers_of
from bench import Bench, library
from emulated import Way

from circuitdsl.emit import cuda as printer
from circuitdsl.emit.cuda import MOST_PARAMETERS, print_kernel
from circuitdsl.emit.kernel_heads import head
from circuitdsl.emit.teams import Form, Shape, form_of
from circuitdsl.graph.ir import Circuit
from circuitdsl.lower.loop_ir import Program, Role, for_teams
from circuitdsl.lower.pipeline import passed
from circuitdsl.lower.schedule import lower_all
from circuitdsl.twin.gradient import twin

KP = "heterosynaptic/kolen_pollack.circ"
SHAPES: tuple[Shape, ...] = ("block", "thread", "grid")


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Emitted code as plain Python."""
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)


@cache
def programs(name: str, dtype: str = "float32") -> list[Program]:
    return [passed(p) for p in lower_all(library(name), aim=for_teams(dtype))]


# ---------------------------------------------------------------- what it computes


def differing(circuit: Circuit, batch: int, shape: Shape, threads: int = 8) -> Iterator[str]:
    """What the emulated device computes otherwise than the reference, or otherwise with its threads in reverse."""
    bench = Bench(circuit, examples=4)
    named = {"data": bench.data, "order": bench.order, "numbers": bench.numbers, "seed": 3, "epoch": 1}
    found = []
    for backwards in (False, True):
        state = bench.state.copy()
        engine = Way(shape, threads, backwards)(circuit, bench.engine.probes, "float64")
        engine.train(state, batch=batch, **named)
        values = dict(parts(state))
        after = engine.evaluate(state, **named)
        values["results"] = np.array([after.loss or 0.0, *after.probes])
        found.append(values)
    bench.train(batch=batch, seed=3, epoch=1)
    expected = bench.evaluate(seed=3, epoch=1)
    for name, wanted in [*parts(bench.state), ("results", np.array([expected.loss or 0.0, *expected.probes]))]:
        if not difference(found[0][name], wanted) < TOLERANCE["float64"]:
            yield f"{circuit.name}, {shape}: {name}"
        if found[0][name].tobytes() != found[1][name].tobytes():
            yield f"{circuit.name}, {shape}: {name} depends on the order of threads"


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("start", range(4))
def test_the_library_is_the_reference(start: int) -> None:
    """Online or in batches of which the last one is short, in one shape after the other, twins too."""
    found = []
    for n, name in enumerate(CIRCUITS[start::4]):
        circuit = small(name)
        found += differing(circuit, 1 + 2 * (n % 2), SHAPES[n % 3])
        if circuit.loss is not None:
            found += differing(twin(circuit), 3 - 2 * (n % 2), SHAPES[(n + 1) % 3])
    assert found == []


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("seed", range(4))
def test_generated_circuits_are_the_reference(seed: int) -> None:
    circuit = generated(seed)
    for n, shape in enumerate(SHAPES):
        assert [*differing(circuit, 1 + 2 * ((seed + n) % 2), shape)] == []


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("name", ["classic/oja.circ", KP])
def test_a_barrier_that_is_missing_is_noticed(name: str) -> None:
    """By the emulated device and by the verifier: all of them in tests/barriers.py."""
    barriers = [*barriers_of(name, only=("train_online",))]
    assert barriers
    assert [b for b in barriers if (b.needed and not b.by_device) or not b.by_verifier] == []


@pytest.mark.usefixtures("plain")
def test_odd_names_and_watched_values() -> None:
    for shape in SHAPES:
        error, name = worst(odd(), dtype="float64", updates=3, batch=2, engine=Way(shape))
        assert error < TOLERANCE["float64"], name


def test_the_emulated_text_compiles() -> None:
    error, name = worst(small(KP), dtype="float32", updates=1, batch=1, watching=False, engine=Way())
    assert error < TOLERANCE["float32"], name


# ---------------------------------------------------------------- the text


def texts(program: Program, form: Form, dtype: str = "float32") -> list[list[str]]:
    """A kernel's lines on each surface, without its head."""
    found = []
    for surface in ("cuda", "emulated", "simulator"):
        lines = print_kernel(program, dtype, form, surface).text.split("\n")
        first = head(surface, form.shape, dtype)
        begin = lines.index(first[0])
        assert lines[begin : begin + len(first)] == first
        found.append(lines[:begin] + lines[begin + len(first) :])
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_the_surfaces_differ_in_their_heads_only(shape: Shape) -> None:
    for name in CIRCUITS[::8]:
        for program in programs(name):
            own = tuple(b.name for b in program.buffers if b.role in (Role.WEIGHT, Role.WORK))
            form = Form(shape=shape, shared=own if shape == "block" else ())
            cuda, emulated, simulator = texts(program, form)
            assert cuda == emulated == simulator
            ast.parse("\n".join(cuda))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_number_has_the_precision_of_the_run(dtype: str) -> None:
    """A bare 0.5 would make a kernel compute in float64, at a thirtieth of the speed."""
    for program in programs(KP, dtype):
        text, *_ = texts(program, Form(shape="block"), dtype)
        tree = ast.parse("\n".join(text))
        wrapped = {
            id(a) for n in ast.walk(tree) if isinstance(n, ast.Call) for a in n.args if ast.unparse(n.func) == dtype
        }
        negative = {id(n.operand) for n in ast.walk(tree) if isinstance(n, ast.UnaryOp) and id(n) in wrapped}
        floats = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, float)]
        assert all(id(n) in wrapped | negative for n in floats)
        indices = [n.slice for n in ast.walk(tree) if isinstance(n, ast.Subscript) and "_copy" not in ast.unparse(n)]
        assert indices
        assert all(isinstance(i, ast.Call) and ast.unparse(i.func) == "uint32" for i in indices)


def test_sizes_are_no_part_of_the_text() -> None:
    """One kernel serves all sizes, and no loop has a literal trip count, which would be unrolled."""
    form, aim = Form(shape="block"), for_teams("float32")
    for one, two in zip(lower_all(library(KP), aim=aim), lower_all(small(KP), aim=aim), strict=True):
        first, second = (print_kernel(passed(p), "float32", form, "cuda", comments=False).text for p in (one, two))
        assert first == second


@pytest.mark.parametrize(
    "name", ["counterexamples/self_assembly_deep.circ", "optimizers/adam.circ", "models/stdp.circ"]
)
def test_a_phase_that_takes_too_much_is_parted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it can be: all of what it does is done, in its order, and nothing that one part computes for itself is
    needed by another."""
    form = Form(shape="thread")
    for program in programs(name)[:2]:
        parted = print_kernel(program, "float32", form, "cuda", comments=False)
        assert all(len(f.parameters) <= MOST_PARAMETERS + 1 for f in parted.functions)
        with monkeypatch.context() as patched:
            patched.setattr(printer, "MOST_PARAMETERS", 1000)
            whole = print_kernel(program, "float32", form, "cuda", comments=False)
        assert max(len(f.parameters) for f in whole.functions) > MOST_PARAMETERS
        assert len(parted.functions) > len(whole.functions)
        head = ast.parse(parted.head)
        known = {n.name for n in ast.walk(head) if isinstance(n, ast.FunctionDef | ast.alias)} | set(dir(builtins))
        for function in parted.functions:
            tree = ast.parse(function.text)
            own = {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
            own |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            assert {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} <= own | known | {"phase"}


# ---------------------------------------------------------------- which shape


def test_the_shape_follows_size_and_copies() -> None:
    program = programs(KP)[0]
    little = dict.fromkeys((b.name for b in program.buffers), 100)
    large = little | {"W1": 10**6}
    assert form_of(program, little, 1).shape == "block"
    assert "W1" in form_of(program, little, 1).shared
    assert form_of(program, large, 1).shape == "grid"
    assert form_of(program, large, 500).shape == "block"
    assert "W1" not in form_of(program, large, 500).shared
    assert form_of(program, little, 65_536).shape == "thread"
    assert "65,536 copies" in form_of(program, little, 65_536).why
