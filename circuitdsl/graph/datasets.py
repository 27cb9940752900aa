"""What kind of targets the data of a circuit have, as far as its text tells."""

from __future__ import annotations

from circuitdsl.graph import ir
from circuitdsl.graph.populations import REDUCTIONS

#: Data sets known by name whose targets are real numbers, and the argument that makes classes of them.
REAL_TARGETS: dict[str, str | None] = {"teacher": "classify", "patches": None}


def class_targets(circuit: ir.Circuit) -> frozenset[str]:
    """The targets of several units that are taken as one-hot: those of class data; of the user's own data, or without
    any, those that neither the loss nor the metric compares as numbers."""
    tasks = list(circuit.tasks.values())
    judged = [circuit.loss.expr] if circuit.loss is not None else []
    judged += [task.metric for task in tasks if task.metric is not None]
    numbers = {
        r.value
        for expr in judged
        for part in ir.walk(expr)
        if isinstance(part, ir.Reduce) and REDUCTIONS[part.function].compares == "numbers"
        for r in ir.reads(part)
    }
    found = {p.name for p in circuit.of_kind(ir.Kind.TARGET) if circuit.values[p.name].size > 1}
    if any(task.data in REAL_TARGETS and not _classified(task) for task in tasks):
        return frozenset()
    if not tasks or any(_is_file(task.data) for task in tasks):
        found -= numbers
    return frozenset(found)


def _classified(task: ir.Task) -> bool:
    argument = REAL_TARGETS[task.data]
    return argument is not None and bool(dict(task.data_arguments).get(argument))


def _is_file(data: str) -> bool:
    return "." in data or "/" in data
