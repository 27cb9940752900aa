"""Batches in blocks: which loops become blocks, which may not, and what the verifier says of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bench import library
from test_lower import I, J, load, phase, program, store, units

from circuitdsl.graph.resolve import load_text
from circuitdsl.lower.blocks import EXAMPLES, MANY, WEIGHTS, blocked, units_at_once
from circuitdsl.lower.loop_ir import (
    Aim,
    Assign,
    Blocks,
    Const,
    Define,
    Dtype,
    Load,
    Loop,
    Op,
    Program,
    Rest,
    Row,
    Statement,
    Store,
    Var,
    phases,
    statements,
)
from circuitdsl.lower.pipeline import passed
from circuitdsl.lower.schedule import lower_evaluation, lower_training
from circuitdsl.lower.verify import LoopError, verify

UNITS = 2
VECTORS = Aim(vectors=True, blocks=UNITS)
B = Var("b", Dtype.INT)


def all_of(program: Program) -> list[Statement]:
    return [s for p in phases(program.body) for s in statements(p.body)]


def loops(program: Program, kind: type) -> list[Loop]:
    return [s for s in all_of(program) if isinstance(s, Loop) and isinstance(s.extent, kind)]


def training(name: str, *, online: bool = False, aim: Aim = VECTORS) -> Program:
    return passed(lower_training(library(name), online=online, aim=aim), aim)


def test_a_block_has_a_sum_for_each_unit_and_example_and_reads_each_factor_once() -> None:
    found = next(p for p in phases(training("classic/delta_rule.circ").body) if p.name.startswith("dendrite"))
    [block, rest] = [s for s in found.body if isinstance(s, Loop)]
    assert (block.extent, rest.extent) == (Blocks(of="n_err", size=UNITS), Rest(of="n_err", size=UNITS))
    inner = next(s for s in block.body if isinstance(s, Loop) and isinstance(s.extent, Blocks))
    assert inner.extent.size == EXAMPLES
    row = next(s for s in inner.body if isinstance(s, Loop))
    assert sum(isinstance(s, Assign) for s in row.body) == UNITS * EXAMPLES
    read = [s.value for s in row.body if isinstance(s, Define) and isinstance(s.value, Load)]
    assert len(read) == UNITS + EXAMPLES == len(set(read))


@pytest.mark.parametrize(
    ("weights", "registers", "units"),
    [(WEIGHTS - 1, 32, 0), (WEIGHTS, 32, 2), (MANY - 1, 32, 2), (MANY, 32, 4), (MANY, 16, 2)],
)
def test_as_many_units_as_registers_hold(weights: int, registers: int, units: int) -> None:
    text = f"""circuit c {{
      input x: {weights}   neuron out: 1 {{ dendrite d   rate = d }}   synapse W: x -> out.d {{ dw = 0.1 * pre }}
    }}"""
    circuit = load_text(text, "c").circuit
    assert circuit is not None
    assert units_at_once(circuit, lambda: registers) == units


def test_only_batches_that_learn_on_a_processor_with_vectors_have_blocks() -> None:
    name = "classic/delta_rule.circ"
    assert loops(training(name), Blocks)
    assert not loops(training(name, online=True), Blocks)
    assert not loops(training(name, aim=Aim()), Blocks)
    assert not loops(training(name, aim=Aim(teams=True)), Blocks)
    assert not loops(training(name, aim=Aim(copies=4, vectors=True, blocks=UNITS)), Blocks)
    assert not loops(passed(lower_evaluation(library(name)), VECTORS), Blocks)


@pytest.mark.parametrize("units", [2, 4])
def test_units_that_share_nothing_have_loops_of_their_own(units: int) -> None:
    """Where rows of weights change, after their increments were added up."""
    found = next(p for p in phases(training("classic/delta_rule.circ", aim=replace(VECTORS, blocks=units)).body)
                 if p.name.startswith("learn"))  # fmt: skip
    block = found.body[0]
    assert isinstance(block, Loop)
    changing = [s for s in block.body if isinstance(s, Loop) and any(w.buffer == "W" for w in stores(s))]
    assert len(changing) == units
    assert all(len(stores(s)) == 1 for s in changing)


def stores(loop: Loop) -> list[Store]:
    return [s for s in statements(loop.body) if isinstance(s, Store)]


def test_each_unit_of_a_block_sums_in_a_row_of_its_own() -> None:
    program = training("classic/delta_rule.circ")
    found = next(p for p in phases(program.body) if p.name.startswith("learn"))
    rows = {b.name for b in program.buffers if b.role == "row"}
    assert len({s.buffer for s in statements(found.body) if isinstance(s, Store)} & rows) == UNITS


@pytest.mark.parametrize("units", [2, 4])
def test_rows_of_a_block_are_called_like_nothing_else(units: int) -> None:
    text = """circuit named {
      input x: 6   target y: 5
      neuron row_n_x_block1: 5 { dendrite d   rate = d }
      neuron err: 5 { rate = y - row_n_x_block1 }
      synapse W: x -> row_n_x_block1.d { dw = 0.1 * err * pre }
      loss = mse(row_n_x_block1, y)
    }"""
    circuit = load_text(text, "named").circuit
    assert circuit is not None
    program = passed(lower_training(circuit, online=False), replace(VECTORS, blocks=units))
    assert sum(b.role == "row" for b in program.buffers) == units


def test_a_sparse_row_serves_several_examples_but_no_other_unit() -> None:
    text = """circuit few {
      input x: 2048   target y: 1024
      neuron out: 1024 { dendrite basal   rate = basal }
      neuron err: 1024 { rate = y - out }
      synapse W: x -> out { connect = sparse(0.01)   dw = 0.1 * err * pre }
      loss = mse(out, y)
    }"""
    circuit = load_text(text, "few").circuit
    assert circuit is not None
    program = passed(lower_training(circuit, online=False), VECTORS)
    assert {loop.extent.of for loop in loops(program, Blocks) if isinstance(loop.extent, Blocks)} == {"count"}
    inside = [s for b in loops(program, Blocks) for s in b.body if isinstance(s, Loop)]
    assert any(isinstance(s.extent, Row) for s in inside)


def counted(*body: Statement) -> Loop:
    return Loop(var="b", extent="count", body=body)


def test_what_is_read_back_between_rounds_keeps_its_order() -> None:
    """Sums over examples may wait for each other, but not for a number that is read of them in between."""
    adds = Loop(var="i", extent="m", body=(store("r", I, value=load("W", J, I), add=True),))
    zero = Loop(var="i", extent="m", body=(store("r", I, value=Const(0.0, Dtype.REAL)),))
    learns = store("W", J, Const(0, Dtype.INT), value=Const(0.0, Dtype.REAL))
    kept = blocked(_learning(units(zero, counted(adds), learns)))
    assert {loop.var for loop in loops(kept, Blocks)} == {"b", "j"}
    for reads in (store("h", J, value=load("r", Const(0, Dtype.INT)), add=True), Define(name="t", value=load("r", J))):
        assert not loops(blocked(_learning(units(zero, counted(adds, reads), learns))), Blocks)


def _learning(loop: Loop) -> Program:
    return replace(program(phase(loop)), aim=VECTORS)


@pytest.mark.parametrize("member", [0, 1, 2])
def test_the_verifier_knows_the_places_of_a_block(member: int) -> None:
    at = Op("add", (J, Const(member, Dtype.INT)), Dtype.INT)
    loop = Loop(var="j", extent=Blocks(of="n", size=2), body=(store("h", at),), over="threads")
    if member < 2:
        verify(program(phase(loop)))
    else:
        with pytest.raises(LoopError, match="every thread writes the same places"):
            verify(program(phase(loop)))


def test_the_verifier_refuses_blocks_for_teams_and_wrong_extents() -> None:
    loop = Loop(var="j", extent=Blocks(of="n", size=2), body=(store("k", J),), over="threads")
    with pytest.raises(LoopError, match="`j` runs over `n`, but indexes `m`"):
        verify(program(phase(loop)))
    for extent in (Blocks(of="n", size=2), Rest(of="n", size=2)):
        teams = replace(program(phase(replace(loop, extent=extent))), aim=Aim(teams=True))
        with pytest.raises(LoopError, match="blocks are for one thread"):
            verify(replace(teams, buffers=tuple(b for b in teams.buffers if b.role != "row")))
