"""How many ticks an example has, and what a loss over them comes to."""

from __future__ import annotations

from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.machine import Numbers
from circuitdsl.graph.numbers import whole


def whole_ticks(circuit: Circuit, phase: str, numbers: Numbers) -> int:
    """The ticks of a phase. Raises ValueError if they are no whole number."""
    found = next(p for p in circuit.schedule.phases if p.name == phase)
    return whole(found.ticks, numbers, f"the number of ticks of phase `{phase}`")


def ticks_of(circuit: Circuit, numbers: Numbers, *, evaluation: bool) -> int:
    """The ticks of an example. Raises ValueError as `whole_ticks`."""
    phases = circuit.schedule.phases
    if not phases:
        return 1
    return sum(whole_ticks(circuit, p.name, numbers) for p in phases if not (evaluation and p.train))


def final_loss(circuit: Circuit, mean: float, numbers: Numbers) -> float:
    """The loss from the mean of what an evaluation program leaves; nan if its phase has no tick."""
    loss = circuit.loss
    assert loss is not None
    if loss.when == "last":
        return mean
    phase = next(p for p in circuit.schedule.phases if p.name == loss.phase)
    ticks = whole_ticks(circuit, phase.name, numbers)
    if phase.train or ticks == 0:
        return float("nan")
    return mean / ticks if loss.when == "over" else mean
