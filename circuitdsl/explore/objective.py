"""What is to become large or small: the metric, the loss, or something that the circuit records."""

from __future__ import annotations

from typing import Any

from circuitdsl.diagnostics import did_you_mean
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.graph.populations import REDUCTIONS
from circuitdsl.runtime.errors import UsageError


@frozen(kw_only=True)
class Objective:
    """`expr` is an expression of one example, averaged over the test set; None stands for the loss, read when the
    circuit says. `sign`: 1 if larger is better, else -1."""

    text: str
    expr: ir.Expr | None
    sign: int

    @property
    def better(self) -> str:
        return "larger" if self.sign > 0 else "smaller"


def objective(circuit: ir.Circuit, task: ir.Task | None, text: str) -> Objective:
    """The objective of that name: `metric`, `loss`, the text of a task's metric, or of something recorded that is
    one number for an example; `-` before it turns its direction round.

    A loss is to become small, and so is a metric of which lower is better (graph/populations.py) or that is expected
    to stay below a bound; everything else is to become large. Raises UsageError."""
    turned, name = text.strip().startswith("-"), text.strip().removeprefix("-").strip()
    found = _named(circuit, task, name)
    sign = -found.sign if turned else found.sign
    return Objective(text=found.text, expr=found.expr, sign=sign)


def default_objective(circuit: ir.Circuit, task: ir.Task | None) -> Objective | None:
    """The task's metric, else the loss, if there is one."""
    if task is not None and task.metric is not None:
        return objective(circuit, task, "metric")
    return None if circuit.loss is None else objective(circuit, task, "loss")


def _named(circuit: ir.Circuit, task: ir.Task | None, name: str) -> Objective:
    if name == "metric":
        if task is None or task.metric is None:
            raise UsageError(f"`{circuit.name}` has no metric: no task declares one")
        return Objective(
            text=f"metric {task.metric.span.text}", expr=task.metric, sign=_metric_sign(circuit, task.metric)
        )
    if name == "loss":
        if circuit.loss is None:
            raise UsageError(f"`{circuit.name}` declares no loss")
        return Objective(text="loss", expr=None, sign=-1)
    known = _expressions(circuit)
    name = next((text for text in known if _without_spaces(text) == _without_spaces(name)), name)
    if name not in known:
        hint = did_you_mean(name, ["metric", "loss", *known])
        can = ", ".join(f"`{k}`" for k in ("metric", "loss", *known))
        raise UsageError(
            f"`{circuit.name}` has no metric, loss or recorded number `{name}`; {hint or f'there are: {can}'}"
        )
    return Objective(text=name, expr=known[name], sign=_sign(known[name]))


def _without_spaces(text: str) -> str:
    return "".join(text.split())


def _expressions(circuit: ir.Circuit) -> dict[str, ir.Expr]:
    """Every expression of one example that the circuit names: metrics of tasks and records."""
    found: dict[str, ir.Expr] = {}
    for task in circuit.tasks.values():
        if task.metric is not None:
            found[task.metric.span.text] = task.metric
    for record in circuit.records:
        what: Any = record.what
        if not isinstance(what, str | ir.MatrixRef | ir.MatrixCall):
            found[record.text] = what
    return found


def _metric_sign(circuit: ir.Circuit, metric: ir.Expr) -> int:
    bounds = {e.comparison for e in circuit.expects if isinstance(e, ir.ExpectMetric)}
    return -1 if bounds == {"<="} else _sign(metric)


def _sign(expr: ir.Expr) -> int:
    return _told(expr) or 1


def _told(expr: ir.Expr) -> int:
    """1 if larger is better by what the reductions in it say, -1 if smaller is, 0 if they do not say."""
    match expr:
        case ir.Reduce(function=function):
            return {"higher": 1, "lower": -1, None: 0}[REDUCTIONS[function].better]
        case ir.Apply(function="neg", arguments=(inner,)):
            return -_told(inner)
        case ir.Apply(function="add", arguments=(a, b)):
            return _both(_told(a), _told(b))
        case ir.Apply(function="sub", arguments=(a, b)):
            return _both(_told(a), -_told(b))
        case ir.Apply(function="mul", arguments=(ir.Num(value=c), a) | (a, ir.Num(value=c))):
            return _told(a) * (1 if c >= 0 else -1)
        case _:
            return 0


def _both(a: int, b: int) -> int:
    return 0 if a + b == 0 else 1 if a + b > 0 else -1
