"""What is left of the equations when nothing is trained: `train` is 0, `train` phases do not exist.

Used by the label-leak check, and wherever it matters what can influence an answer."""

from __future__ import annotations

from collections.abc import Iterator

from circuitdsl.graph import ir
from circuitdsl.graph.flow import Sources
from circuitdsl.graph.functions import FUNCTIONS


def constant_in_evaluation(expr: ir.Expr, circuit: ir.Circuit) -> float | None:
    """The value of an expression that evaluation fixes (`train`, phases, numbers), else None."""
    train_phases = {p.name for p in circuit.schedule.phases if p.train}

    def constant(e: ir.Expr) -> float | None:
        match e:
            case ir.Num(value=value):
                return value
            case ir.Flag(which="train"):
                return 0.0
            case ir.Flag(phase=phase) if phase in train_phases:
                return 0.0
            case ir.Apply(function=function, arguments=arguments):
                return applied(function, [constant(a) for a in arguments])
            case _:
                return None

    return constant(expr)


def applied(function: str, known: list[float | None]) -> float | None:
    """A function of numbers of which some are not known; 0 times anything is 0."""
    if function == "mul" and 0.0 in known:
        return 0.0
    if function == "where" and known[0] is not None:
        return known[1] if known[0] != 0 else known[2]
    numbers = [k for k in known if k is not None]
    return FUNCTIONS[function].number(*numbers) if len(numbers) == len(known) else None


def live_reads(expr: ir.Expr, circuit: ir.Circuit) -> Iterator[ir.Read]:
    """The reads that can matter in evaluation: not those multiplied by 0 or in a branch not taken."""
    if constant_in_evaluation(expr, circuit) is not None:
        return
    match expr:
        case ir.Read():
            yield expr
        case ir.Apply(function="where", arguments=(condition, yes, no)):
            chosen = constant_in_evaluation(condition, circuit)
            branches = (condition, yes, no) if chosen is None else ((yes,) if chosen != 0 else (no,))
            for branch in branches:
                yield from live_reads(branch, circuit)
        case _:
            for child in ir.children(expr):
                yield from live_reads(child, circuit)


def sources_in_evaluation(circuit: ir.Circuit) -> Sources:
    """Who influences whom in evaluation over any number of ticks."""
    sources: dict[str, set[str]] = {name: set() for name in circuit.values}
    for value in circuit.values.values():
        update = None if value.lifetime is ir.Lifetime.KEEP else value.update
        for expr in (value.expr, update):
            if expr is not None:
                sources[value.name] |= {r.value for r in live_reads(expr, circuit)}
        sources[value.name] |= {c.source.value for c in value.currents}
    return sources
