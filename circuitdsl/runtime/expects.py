"""Holds a run against what the circuit expects of its metric."""

from __future__ import annotations

import math

from circuitdsl.frozen import frozen
from circuitdsl.graph.ir import Circuit, ExpectMetric
from circuitdsl.graph.machine import Numbers
from circuitdsl.graph.numbers import evaluate


@frozen(kw_only=True)
class Judged:
    """An `expect` and how it came out. `value` is the metric, or with `* backprop` its ratio to the
    gradient twin's; `ok` is None if it was not judged."""

    text: str
    ok: bool | None
    value: float | None
    line: int

    def as_json(self) -> dict[str, object]:
        return {"text": self.text, "ok": self.ok, "value": self.value, "line": self.line}


def metric_expects(circuit: Circuit) -> tuple[ExpectMetric, ...]:
    return tuple(e for e in circuit.expects if isinstance(e, ExpectMetric))


def needs_twin(circuit: Circuit) -> bool:
    return any(e.of_backprop for e in metric_expects(circuit))


def judge(
    circuit: Circuit, metric: float, twin: float | None, numbers: Numbers, *, own_settings: bool
) -> tuple[Judged, ...]:
    """Every metric expectation, in the order of the text. Those of a run whose settings are not
    the task's own, or that need a twin that did not run, are reported and not judged."""
    return tuple(
        _judge(expect, metric, twin if expect.of_backprop else 1.0, numbers, own_settings)
        for expect in metric_expects(circuit)
    )


def _judge(
    expect: ExpectMetric, metric: float, reference: float | None, numbers: Numbers, own_settings: bool
) -> Judged:
    """`reference` is what the bound multiplies: the twin's metric, or 1."""
    ok, value = None, None
    if reference is not None:
        value = metric / reference if reference else math.nan
        wanted = evaluate(expect.bound, numbers) * reference
        if own_settings:
            ok = metric >= wanted if expect.comparison == ">=" else metric <= wanted
    return Judged(text=expect.text, ok=ok, value=value, line=expect.span.line)
