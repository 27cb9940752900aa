"""Programs for teams of threads: fewer barriers, sums in registers, loops that a team shares; and what they compute."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
from agreement import CIRCUITS, TOLERANCE, difference, generated, parts, small
from bench import Bench, library
from device import TEAMS, Device, Order

from circuitdsl.api import load
from circuitdsl.emit.cpu import print_program
from circuitdsl.graph.ir import Circuit
from circuitdsl.lower.fuse import fuse
from circuitdsl.lower.join import joined
from circuitdsl.lower.loop_ir import Aim, Assign, Loop, Phase, Program, Role, phases, statements
from circuitdsl.lower.pipeline import passed
from circuitdsl.lower.schedule import lower_all, lower_training
from circuitdsl.lower.teams import in_turn, shared
from circuitdsl.lower.verify import LoopError, verify
from circuitdsl.twin.gradient import twin

KP = "heterosynaptic/kolen_pollack.circ"
ORDERS: tuple[Order, Order] = ("forward", "backward")


@cache
def graphs() -> list[Circuit]:
    """Every third circuit of the library, with gradient twins."""
    found = [load(name).ir for name in CIRCUITS[::3]]
    return [*found, *(twin(c) for c in found if c.loss is not None)]


# ---------------------------------------------------------------- what they compute


def differing(circuit: Circuit, batch: int) -> Iterator[str]:
    """What teams of threads compute otherwise than the reference, or otherwise in the other order."""
    bench = Bench(circuit, examples=4)
    named = {"data": bench.data, "order": bench.order, "numbers": bench.numbers, "seed": 3, "epoch": 1}
    found = []
    for order in ORDERS:
        state = bench.state.copy()
        device = Device(order)
        device.engine(bench, "train_online" if batch == 1 else "train").train(state, batch=batch, **named)
        found.append(dict(parts(state)))
    bench.train(batch=batch, seed=3, epoch=1)
    for name, expected in parts(bench.state):
        if not difference(found[0][name], expected) < TOLERANCE["float64"]:
            yield f"{circuit.name}: {name}"
        if found[0][name].tobytes() != found[1][name].tobytes():
            yield f"{circuit.name}: {name} depends on the order of threads"


@pytest.mark.parametrize("start", range(4))
def test_the_library_learns_the_same(start: int) -> None:
    """Online, or in batches of which the last one is short."""
    names = CIRCUITS[start::4]
    assert [w for n, name in enumerate(names) for w in differing(small(name), 1 + 2 * (n % 2))] == []


@pytest.mark.parametrize("seed", range(8))
def test_generated_circuits_learn_the_same(seed: int) -> None:
    circuit = generated(seed)
    assert [*differing(circuit, 3), *differing(twin(circuit), 1 + seed % 2)] == []


def test_an_evaluation_is_the_same() -> None:
    for circuit in (small(KP), small("recurrent/leaky_rate.circ"), generated(5)):
        bench = Bench(circuit)
        engine = Device().engine(bench, "evaluate")
        found = engine.evaluate(bench.state, bench.data, bench.order, bench.numbers, seed=0, epoch=0)
        expected = bench.evaluate()
        assert found.loss == pytest.approx(expected.loss, rel=1e-9)
        assert found.probes == pytest.approx(expected.probes, rel=1e-9)


# ---------------------------------------------------------------- sums in registers


def test_no_row_is_needed() -> None:
    """A thread's own row of sums is a shape for one processor."""
    rows = 0
    for circuit in graphs():
        for one, teams in zip(lower_all(circuit), lower_all(circuit, aim=TEAMS), strict=True):
            rows += sum(b.role is Role.ROW for b in one.buffers)
            assert not [b for b in teams.buffers if b.role is Role.ROW]
    assert rows > 10


def test_a_weight_sums_over_the_examples_in_a_number() -> None:
    (learn,) = (p for p in lower_batch(TEAMS) if "W1: learning" in p.title)
    row = next(s for s in statements(learn.body) if isinstance(s, Loop) and s.extent == "n_x")
    assert row.over == "lanes"
    (examples,) = (s for s in row.body if isinstance(s, Loop))
    assert examples.extent == "count"
    assert [type(s) for s in examples.body] == [Assign]


def lower_batch(aim: Aim) -> list[Phase]:
    return list(phases(passed(lower_training(library(KP), online=False, aim=aim)).body))


def test_rows_are_not_for_teams() -> None:
    program = lower_training(library(KP), online=False)
    assert any(b.role is Role.ROW for b in program.buffers)
    with pytest.raises(LoopError, match="row of one thread"):
        passed(program, TEAMS)


# ---------------------------------------------------------------- barriers


def test_neighbours_are_joined_wherever_the_verifier_allows() -> None:
    """A third of the barriers goes, and not one more could."""
    before = after = 0
    for circuit in graphs():
        program = fuse(lower_training(circuit, online=True, aim=TEAMS))
        made = joined(program)
        verify(made)
        before, after = before + count(program), after + count(made)
    assert after < 0.67 * before


def count(program: Program) -> int:
    return sum(1 for _ in phases(program.body))


def test_one_processor_keeps_its_phases_apart() -> None:
    """So that those that are alike share a function."""
    program = lower_training(library(KP), online=True)
    assert joined(program) == program


# ---------------------------------------------------------------- lanes and sums


def test_what_a_team_shares_prints_as_before() -> None:
    """A processor does lanes and summands one after the other."""
    marked = 0
    for circuit in graphs():
        for program in lower_all(circuit)[1:]:
            before = passed(program, without=["teams"])
            after = shared(before)
            verify(after)
            assert in_turn(after) == before
            assert print_program(after, "float32") == print_program(before, "float32")
            marked += after != before
    assert marked > 20
