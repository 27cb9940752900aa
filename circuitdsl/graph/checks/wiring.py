"""Wiring: what is driven, what is reached, and what a rule can do (C041, C042, C044, C045)."""

from __future__ import annotations

from collections.abc import Iterator

from circuitdsl.diagnostics import Diagnostic, Label, Severity
from circuitdsl.graph import ir
from circuitdsl.graph.checks.common import Findings, judged, number_of, plasticity, recorded, undriven
from circuitdsl.graph.evaluation import applied
from circuitdsl.graph.flow import all_sources
from circuitdsl.graph.numbers import numbers_of


def undriven_dendrites(circuit: ir.Circuit) -> Findings:
    """C041: a dendrite that no synapse ends on carries 0. Where a rule reads it, C044 says so."""
    silent = undriven(circuit) - {read.value for _, read in _silent_reads(circuit)}
    for name in circuit.values:
        if name in silent:
            yield Diagnostic(
                code="C041",
                title=f"nothing drives the dendrite `{name}`",
                span=circuit.values[name].span,
                label="its current is always 0",
                hint=f"let a synapse end on it (`synapse V: … -> {name}`), or leave it out",
                severity=Severity.WARNING,
            )


def heterosynaptic_without_drive(circuit: ir.Circuit) -> Findings:
    """C044: a rule reads another dendrite of its neuron, on which nothing ends."""
    for synapse, read in _silent_reads(circuit):
        yield Diagnostic(
            code="C044",
            title=f"the rule of `{synapse.name}` reads `{read.value}`, which nothing drives",
            span=read.span,
            label="always 0",
            labels=(Label(circuit.values[read.value].span, "no synapse ends here"),),
            hint=f"bring a signal to this dendrite: `synapse V: … -> {read.value}`",
            severity=Severity.WARNING,
        )


def _silent_reads(circuit: ir.Circuit) -> Iterator[tuple[ir.Synapse, ir.Read]]:
    silent = undriven(circuit)
    for synapse in circuit.synapses.values() if silent else ():
        for expr in plasticity(synapse):
            for read in ir.reads(expr):
                if read.value in silent and read.value != synapse.dendrite:
                    yield synapse, read


def idle_populations(circuit: ir.Circuit) -> Findings:
    """C042: a population on which, over any number of steps, no rule, loss, metric or record depends."""
    wanted = {r.value for s in circuit.synapses.values() for e in plasticity(s) for r in ir.reads(e)}
    wanted |= {r.value for _, expr in judged(circuit) for r in ir.reads(expr)} | recorded(circuit)
    reached = _sources_of(wanted, circuit)
    used = {circuit.values[name].population for name in reached if name in circuit.values}
    for population in circuit.populations.values():
        if population.kind is not ir.Kind.BIAS and population.name not in used:
            yield Diagnostic(
                code="C042",
                title=f"`{population.name}` reaches nothing",
                span=population.span,
                label="no rule, loss, metric or record depends on it",
                hint=f"connect it, judge it (`loss = …`), show it (`record {population.name}`), or leave it out",
                severity=Severity.WARNING,
            )


def _sources_of(wanted: set[str], circuit: ir.Circuit) -> set[str]:
    """The wanted values and everything that influences them."""
    sources = all_sources(circuit)
    found: set[str] = set()
    ahead = list(wanted)
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += sources.get(name, ())
    return found


# ---------------------------------------------------------------- rules without effect


def rules_without_effect(circuit: ir.Circuit) -> Findings:
    """C045: a rule whose increment is 0 whatever happens, or whose bounds leave one value."""
    numbers = numbers_of(circuit, {})
    silent = _always_silent(circuit, numbers)
    for synapse in circuit.synapses.values():
        if synapse.dw is None:
            continue
        why = None
        if _known(synapse.dw, silent, circuit, numbers) == 0:
            zero = [n for n in _params_of(synapse.dw) if numbers[n] == 0]
            why = f"always 0: `{zero[0]}` is 0" if zero else "always 0"
        elif synapse.bounds is not None:
            low, high = (number_of(b, numbers) for b in synapse.bounds)
            why = f"its bounds leave no value but {low:g}" if low is not None and low == high else None
        if why is not None:
            yield Diagnostic(
                code="C045",
                title=f"the rule of `{synapse.name}` can never change its weight",
                span=synapse.dw_span or synapse.span,
                label=why,
                hint="leave `dw` out if the synapse is meant to be fixed",
                severity=Severity.WARNING,
            )


def _params_of(expr: ir.Expr) -> list[str]:
    return [part.name for part in ir.walk(expr) if isinstance(part, ir.ParamRef)]


def _always_silent(circuit: ir.Circuit, numbers: dict[str, float]) -> set[str]:
    """The values that are 0 at every tick."""
    silent: set[str] = set()
    for name in circuit.order:
        value = circuit.values[name]
        currents_are_silent = all(c.source.value in silent for c in value.currents)
        equation_is_silent = value.expr is None or _known(value.expr, silent, circuit, numbers) == 0
        if currents_are_silent and equation_is_silent:
            silent.add(name)
    return silent


def _known(expr: ir.Expr, silent: set[str], circuit: ir.Circuit, numbers: dict[str, float]) -> float | None:
    """The value of an expression if it is one number throughout learning, else None."""
    never = {p.name for p in circuit.schedule.phases if number_of(p.ticks, numbers) == 0}

    def known(e: ir.Expr) -> float | None:
        match e:
            case ir.Num(value=value):
                return value
            case ir.ParamRef(name=name):
                return numbers[name]
            case ir.Read(value=value):
                return 0.0 if value in silent else None
            case ir.Flag(which="train"):
                return 1.0
            case ir.Flag(phase=phase) if phase in never:
                return 0.0
            case ir.Apply(function="sub", arguments=(a, b)) if a == b:
                return 0.0
            case ir.Apply(function=function, arguments=arguments):
                return applied(function, [known(a) for a in arguments])
            case _:
                return None

    return known(expr)
