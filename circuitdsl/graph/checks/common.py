"""What the checks of a whole circuit share."""

from __future__ import annotations

from collections.abc import Iterator

from circuitdsl.diagnostics import Diagnostic
from circuitdsl.graph import ir
from circuitdsl.graph.numbers import evaluate

Findings = Iterator[Diagnostic]


def plasticity(synapse: ir.Synapse) -> Iterator[ir.Expr]:
    """The equations of a synapse: its drives, its rule, the increments of its states."""
    yield from (d.expr for d in synapse.drives)
    yield from (e for e in (synapse.dw, *(s.update for s in synapse.states)) if e is not None)


def number_of(expr: ir.Expr, numbers: dict[str, float]) -> float | None:
    """The value of an expression of numbers and params; None if it changes while the circuit runs."""
    try:
        return evaluate(expr, numbers)
    except ValueError:
        return None


def judged(circuit: ir.Circuit) -> Iterator[tuple[str, ir.Expr]]:
    """What judges the circuit in evaluation: ("metric", its expression) of each task, ("loss", ...)."""
    for task in circuit.tasks.values():
        if task.metric is not None:
            yield "metric", task.metric
    if circuit.loss is not None:
        yield "loss", circuit.loss.expr


def recorded(circuit: ir.Circuit) -> set[str]:
    """The values that records read."""
    found: set[str] = set()
    for record in circuit.records:
        if isinstance(record.what, str):
            found.add(record.what)
        elif not isinstance(record.what, ir.MatrixRef | ir.MatrixCall):
            found |= {r.value for r in ir.reads(record.what)}
    return found


def undriven(circuit: ir.Circuit) -> set[str]:
    """The dendrites on which no synapse ends."""
    return {v.name for v in circuit.values.values() if v.kind is ir.Kind.DENDRITE and not v.currents}
