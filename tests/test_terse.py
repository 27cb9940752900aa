"""Fewer instructions for each weight: what is changed, what is left, and that nothing else is computed."""

from __future__ import annotations

import pytest
from agreement import TOLERANCE, worst

from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.resolve import load_text
from circuitdsl.lower.loop_ir import Aim, Op, Program, expressions, phases, statements, walk
from circuitdsl.lower.pipeline import passed, stages
from circuitdsl.lower.schedule import lower_training
from circuitdsl.lower.show import show
from circuitdsl.lower.terse import terse
from circuitdsl.runtime.engine import Compiled


def circuit(learning: str) -> Circuit:
    text = f"""circuit c {{
      param eta = 0.1
      input x: 3   target y: 4
      neuron h: 4 {{ dendrite d   rate = tanh(d) }}
      synapse W: x -> h.d {{ {learning} }}
      loss = mse(h, y)
    }}"""
    found = load_text(text, "c").circuit
    assert found is not None
    return found


def online(graph: Circuit, aim: Aim | None = None, *without: str) -> Program:
    return dict(stages(lower_training(graph, online=True), aim or Aim(vectors=True), without=without))["terse"]


def increments(learning: str) -> str:
    """The lines of an online program that define an increment, as they then are."""
    lines = show(online(circuit(learning), None, "defer")).split("\n")
    return "\n".join(line.strip() for line in lines if line.strip().startswith("define dw"))


@pytest.mark.parametrize(
    ("rule", "made"),
    [
        ("eta * post * pre - eta * square(pre) * w", "((s - ((eta * X) * W[j, i])) * X)"),
        ("eta * post * pre - eta * pre^2 * w", "((s - ((eta * X) * W[j, i])) * X)"),
        ("eta * pre * w - eta * post * pre * w", "(((eta - s) * W[j, i]) * X)"),
    ],
)  # fmt: skip
def test_what_all_summands_have_is_multiplied_once(rule: str, made: str) -> None:
    assert increments(f"dw = {rule}") == f"define dw = {made.replace('X', 'data_x[example, i]')}"


@pytest.mark.parametrize(
    "rule",
    [
        "pre - pre * w",
        "eta * post * pre - eta * w",
        "eta * post * pre",
        "eta * (pre + post)",
        "eta * pre - eta * post * w",
    ],
)
def test_other_increments_are_left_as_they_are(rule: str) -> None:
    graph = circuit(f"dw = {rule}")
    before = dict(stages(lower_training(graph, online=True), Aim(vectors=True)))["rows"]
    assert terse(before) == before


def test_bounds_are_the_smaller_and_the_larger_of_two_numbers() -> None:
    program = online(circuit("dw = eta * post * pre   bounds = [-0.5, 0.5]"))
    found = [e for p in phases(program.body) for s in statements(p.body) for x in expressions(s) for e in walk(x)]
    assert not any(isinstance(e, Op) and e.function == "clip" for e in found)
    assert "define within = where((new > " in show(program)


def test_only_programs_for_one_example_and_vectors_are_changed() -> None:
    graph = circuit("dw = eta * post * pre - eta * square(pre) * w   bounds = [-0.5, 0.5]")
    for program, aim in (
        (lower_training(graph, online=False), Aim(vectors=True)),
        (lower_training(graph, online=True), Aim()),
        (lower_training(graph, online=True), Aim(vectors=True, copies=4)),
    ):
        before = dict(stages(program, aim))["rows"]
        assert terse(before) == before


@pytest.mark.parametrize(
    "learning",
    [
        "dw = eta * post * pre - eta * square(pre) * w   bounds = [-0.2, 0.3]",
        "dw = eta * pre * w - eta * post * pre^3   bounds = [-0.2, 0.3]",
        "connect = sparse(0.5)   dw = eta * post * pre - eta * pre * w",
        "sign = excitatory   dw = eta * post * pre   bounds = [0, 0.1]",
    ],
)
def test_it_learns_what_the_reference_does(learning: str) -> None:
    """Bounds are reached, and one of few weights is none."""
    error, place = worst(circuit(learning), dtype="float64", updates=30, batch=1, watching=False, engine=Compiled)
    assert error < TOLERANCE["float64"], place
    assert passed(lower_training(circuit(learning), online=True), Aim(vectors=True))
