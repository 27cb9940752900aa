"""Vectors as long as rows fill: what phases say of their rows, and what becomes of it on a processor."""

from __future__ import annotations

import re

import pytest
from agreement import TOLERANCE, worst

from circuitdsl.emit.cpu import print_program
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.resolve import load_text
from circuitdsl.lower.aims import sizes_of
from circuitdsl.lower.loop_ir import Aim, Program, phases
from circuitdsl.lower.pipeline import stages
from circuitdsl.lower.schedule import lower_evaluation, lower_training
from circuitdsl.lower.show import show
from circuitdsl.lower.wide import LONG, MOST, OF_MOST, filled
from circuitdsl.runtime.cache import module_of
from circuitdsl.runtime.lanes import aim_of_copies
from circuitdsl.runtime.processor import longest_vectors


def layers(*sizes: int, connect: str = "") -> Circuit:
    """A chain in which each layer learns by Hebb's rule."""
    lines = [f"input h0: {sizes[0]}"]
    for k, units in enumerate(sizes[1:], 1):
        lines.append(f"neuron h{k}: {units} {{ dendrite d   rate = tanh(d) }}")
        lines.append(f"synapse W{k}: h{k - 1} -> h{k}.d {{ {connect}dw = 0.1 * post * pre - 0.1 * w }}")
    found = load_text("circuit c {\n" + "\n".join(lines) + "\n}").circuit
    assert found is not None
    return found


def widened(graph: Circuit, *, online: bool = True, **aim: object) -> Program:
    made_for = Aim(**{"vectors": True, "sizes": sizes_of(graph), **aim})  # type: ignore[arg-type]
    return dict(stages(lower_training(graph, online=online), made_for))["wide"]


def fills(program: Program, synapse: str) -> int:
    """What the phase in which a synapse learns says."""
    (found,) = (p.fills for p in phases(program.body) if f"{synapse}: learning" in p.title)
    return found


# ---------------------------------------------------------------- what a phase says


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (4, 64), (40, 64), (48, 64), (400, 64),  # 10 and 100 numbers in float32
        (32, 32), (96, 32), (160, 32),
        (64, 64), (192, 64), (320, 64),
        (128, 128), (384, 128), (256, 256), (512, 256),
        (544, 64), (800, 64), (1008, 64), (640, 128),  # a rest is a small part of these
        (1024, 256), (3136, 256), (4004, 256),
    ],
)  # fmt: skip
def test_what_fills_rows(row: int, says: int) -> None:
    assert filled(row) == says


def test_a_row_is_so_many_bytes_unless_it_is_long() -> None:
    for row in range(4, OF_MOST, 4):
        said = filled(row)
        assert said in (32, 64, 128, MOST)
        assert row % said == 0 or (said == LONG and (row % 32 or row >= 512)), row


def test_batches_tell_long_vectors_from_short_ones() -> None:
    """Several examples and units are side by side already, and functions are fewer."""
    program = widened(layers(784, 40, 64, 10), online=False)
    assert [fills(program, name) for name in ("W1", "W2", "W3")] == [64, 32, 64]


def test_each_phase_says_what_its_own_rows_fill() -> None:
    program = widened(layers(784, 40, 64, 10))
    assert [fills(program, name) for name in ("W1", "W2", "W3")] == [256, 32, 256]
    program = widened(layers(784, 40, 64, 10), dtype="float64")
    assert [fills(program, name) for name in ("W1", "W2", "W3")] == [256, 64, 256]
    assert "rows fill 32 bytes" in show(widened(layers(784, 40, 64, 10)))


def test_the_loops_that_do_most_count() -> None:
    """Both synapses have one phase, as they go through the same units."""
    text = """circuit c {
      input x: 48   input z: 100
      neuron h: 8 { dendrite a, b   rate = tanh(a) + tanh(b) }
      synapse W: x -> h.a { dw = 0.1 * pre }
      synapse U: z -> h.b { dw = 0.1 * pre }
    }"""
    graph = load_text(text).circuit
    assert graph is not None
    program = widened(graph)
    assert fills(program, "W") == fills(program, "U") == filled(4 * 100)


def test_rows_that_differ_are_long() -> None:
    graph = layers(600, 600, connect="connect = sparse(0.05)   ")
    assert "in row j of" in show(widened(graph))
    assert fills(widened(graph), "W1") == MOST


def test_copies_side_by_side_fill_vectors() -> None:
    graph = layers(5, 3)
    aim = aim_of_copies(graph, "float32")
    program = widened(graph, copies=aim.copies)
    assert fills(program, "W1") == filled(4 * aim.copies)


def test_what_counts_examples_only_says_nothing() -> None:
    text = "circuit c { input x: 1   neuron h: 1 { rate = 2 * x }   loss = mse(h, x) }"
    graph = load_text(text).circuit
    assert graph is not None
    aim = Aim(vectors=True, sizes=sizes_of(graph))
    program = dict(stages(lower_evaluation(graph), aim))["wide"]
    assert [p.fills for p in phases(program.body)] == [0]


@pytest.mark.parametrize("aim", [{"teams": True}, {"vectors": False}])
def test_only_where_loops_become_vectors(aim: dict[str, bool]) -> None:
    assert {p.fills for p in phases(widened(layers(64, 64), **aim).body)} == {0}


# ---------------------------------------------------------------- what is printed and compiled


def test_phases_that_fill_the_same_share_a_function() -> None:
    def functions(graph: Circuit) -> int:
        return print_program(widened(graph), "float32").count("\ndef learn_")

    assert functions(layers(64, 784, 256, 320, 64)) == 2  # W1 reads data
    assert functions(layers(64, 784, 256, 48, 64)) == 3


@pytest.mark.parametrize(
    ("says", "longest", "size", "abreast"),
    [
        (0, 64, 32, True), (32, 64, 32, False), (64, 64, 64, False), (128, 64, 64, False),
        (256, 64, 64, True), (32, 32, 32, False), (64, 32, 32, False), (128, 32, 32, True),
        (256, 32, 32, True),
    ],
)  # fmt: skip
def test_the_vectors_of_a_processor(says: int, longest: int, size: int, abreast: bool) -> None:
    from circuitdsl.runtime.compile import vectors_for

    assert vectors_for(says, longest) == (size, abreast)


@pytest.mark.parametrize(("longest", "sizes", "numbers"), [(64, (48, 48), 16), (64, (40, 40), 8), (32, (48, 48), 8)])
def test_what_is_compiled_has_these_vectors(
    longest: int, sizes: tuple[int, ...], numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 48 numbers three of 512 bits, of 40 five of 256."""
    from circuitdsl.runtime import compile as compiling

    if longest > longest_vectors():
        pytest.skip("the processor has no vectors of 512 bits")
    program, seen, emitted = widened(layers(*sizes)), [], compiling._emitted
    monkeypatch.setattr(compiling, "longest_vectors", lambda: longest)
    monkeypatch.setattr(compiling, "_emitted", lambda linked: seen.append(str(linked)) or emitted(linked))
    text = print_program(program, "float32", comments=False)
    compiling.compiled(module_of("wide", text, f"{text}{longest}"), program.name, "float32")
    assert max(map(int, re.findall(r"<(\d+) x float>", seen[0]))) == numbers


@pytest.mark.parametrize("sizes", [(48, 40), (100, 17), (784, 10), (7, 64, 33)])
def test_the_numbers_are_those_of_the_reference(sizes: tuple[int, ...]) -> None:
    for dtype in ("float32", "float64"):
        for batch in (1, 4):
            off, where = worst(layers(*sizes), dtype=dtype, updates=1, batch=batch)
            assert off < TOLERANCE[dtype], where
