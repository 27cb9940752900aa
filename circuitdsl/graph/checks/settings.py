"""Settings that cannot be meant: decay, phases, ranges of numbers, memory (C021, C026, C027, C043, C054)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from functools import partial
from math import isfinite

from circuitdsl.diagnostics import Diagnostic, Label, Severity, Span
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.graph.checks.common import Findings, number_of
from circuitdsl.graph.increments import Increment
from circuitdsl.graph.intervals import ANY, Range, point
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.projections import density, sparse_synapses
from circuitdsl.graph.quantities import Quantity, State, Weights
from circuitdsl.graph.ranges import Ranges


def unstable_decay(circuit: ir.Circuit) -> Findings:
    """C054: a decay of 2 or more per step makes a weight or a state oscillate and grow; from 1 on a weight
    overshoots (for a state, 1 is a common way to write `v = x`). What stays within its range all the same is none."""
    found = list(_decays(circuit))
    ranges = Ranges(circuit) if found else None
    for decay in found:
        assert ranges is not None
        least = -ranges.increment(decay.update, decay.of).plain().slope.high
        known = ranges.known[decay.of]
        if least >= decay.least and not (decay.least > 1 and known.defined and isfinite(known.low + known.high)):
            yield _overshoots(decay.name, least, "update" if isinstance(decay.of, Weights) else "tick", decay.span)


@frozen
class _Decay:
    """An increment that takes away from its weight or state, as it seems, at least `least` of it."""

    of: Quantity
    name: str
    update: ir.Expr
    span: Span
    least: float


def _decays(circuit: ir.Circuit) -> Iterator[_Decay]:
    """What looks like one, from its numbers alone."""
    numbers = numbers_of(circuit, {})
    times = max(_ticks(circuit, numbers), 1.0) if circuit.schedule.update == "example" else 1.0
    for synapse in circuit.synapses.values():
        if synapse.dw is not None and _decay(synapse.dw, _is_weight, numbers) * times >= 1:
            yield _Decay(Weights(synapse.name), f"`{synapse.name}`", synapse.dw, synapse.dw_span or synapse.span, 1)
        for state in synapse.states:
            if state.update is not None and _decay(state.update, partial(_is_state, name=state.name), numbers) >= 2:
                of = State(synapse.name, state.name)
                yield _Decay(of, f"`{synapse.name}.{state.name}`", state.update, state.span, 2)
    for value in circuit.values.values():
        if value.update is not None and _decay(value.update, partial(_is_value, name=value.name), numbers) >= 2:
            yield _Decay(value.name, f"`{value.name}`", value.update, value.update_span or value.span, 2)


def _overshoots(what: str, decay: float, step: str, span: Span) -> Diagnostic:
    unstable = decay >= 2
    culprit = (
        "the learning rate or the decay: their product belongs" if step == "update" else "the decay or `dt`: it belongs"
    )
    return Diagnostic(
        code="C054",
        title=f"{what} decays by {decay:g} of itself per {step}",
        span=span,
        label=f"each {step} overshoots, and by more than the last" if unstable else f"each {step} overshoots",
        notes=(f"without other input a value of 1 becomes {1 - decay:g}, then {(1 - decay) * (1 - decay):g}",),
        hint=f"lower {culprit} well below 1",
        severity=Severity.WARNING if unstable else Severity.NOTE,
    )


def _ticks(circuit: ir.Circuit, numbers: dict[str, float]) -> float:
    """The ticks of an example."""
    return sum(number_of(p.ticks, numbers) or 0.0 for p in circuit.schedule.phases) or 1.0


def _is_weight(expr: ir.Expr) -> bool:
    return isinstance(expr, ir.Weight)


def _is_state(expr: ir.Expr, name: str) -> bool:
    return isinstance(expr, ir.SynapseState) and expr.name == name


def _is_value(expr: ir.Expr, name: str) -> bool:
    return isinstance(expr, ir.Read) and expr.value == name and expr.when is ir.When.NOW


def _decay(expr: ir.Expr, is_it: Callable[[ir.Expr], bool], numbers: dict[str, float]) -> float:
    """What part of itself a weight or a state loses at least, whatever the signals are."""

    def known(e: ir.Expr) -> Range:
        number = number_of(e, numbers)
        return ANY if number is None else point(number)

    return -Increment.of(expr, is_it, known).plain().slope.high


# ---------------------------------------------------------------- phases


def unreachable_phases(circuit: ir.Circuit) -> Findings:
    """C043: a phase without ticks, or an evaluation without any."""
    numbers = numbers_of(circuit, {})
    phases = circuit.schedule.phases
    for phase in phases:
        if number_of(phase.ticks, numbers) == 0:
            yield Diagnostic(
                code="C043",
                title=f"the phase `{phase.name}` lasts 0 ticks: it is never reached",
                span=phase.span,
                label=f"`{phase.name}` is 0 throughout",
                hint="give it a tick or more, or leave it out",
                severity=Severity.WARNING,
            )
    if phases and all(p.train or number_of(p.ticks, numbers) == 0 for p in phases):
        yield Diagnostic(
            code="C043",
            title=f"evaluation has no ticks: `{phases[0].name}`"
            + (" and all other phases are" if len(phases) > 1 else " is")
            + (" `train` phases or empty" if len(phases) > 1 else " a `train` phase or empty"),
            span=phases[0].span.to(phases[-1].span),
            label="skipped when nothing is trained",
            hint="add a phase without `train` in which the circuit answers",
        )


# ---------------------------------------------------------------- numbers out of their range


def ranges(circuit: ir.Circuit) -> Findings:
    """C021, C027: numbers of settings that are not whole, or out of their range."""
    numbers = numbers_of(circuit, {})
    for param in circuit.params.values():
        values = param.value if isinstance(param.value, tuple) else (param.value,)
        for value in values:
            if not math.isfinite(number_of(value, numbers) or 0.0):
                yield out_of_range(f"`{param.name}` is {number_of(value, numbers)}", value.span, "a finite number")
    for phase in circuit.schedule.phases:
        yield from _whole(f"the length of phase `{phase.name}`", phase.ticks, numbers, 0)
    for task in circuit.tasks.values():
        yield from _whole("`epochs`", task.epochs, numbers, 0)
        yield from _whole("`batch`", task.batch, numbers, 1)
        yield from _whole("`seed`", task.seed, numbers, 0, 2**32 - 1)
        yield from _part("`validation`", task.validation, numbers)
    for record in circuit.records:
        yield from _whole("`every`", record.every, numbers, 1)
    yield from dynamic_ranges(circuit, numbers)


def dynamic_ranges(circuit: ir.Circuit, numbers: dict[str, float]) -> Findings:
    """Of the numbers that a circuit runs with, which params set from outside may change."""
    dt = circuit.schedule.dt
    length = None if dt is None else number_of(dt, numbers)
    if dt is not None and length is not None and not 0 < length < math.inf:
        yield out_of_range(f"`dt` is {length:g}", dt.span, "a finite number, more than 0")
    yield from _winners(circuit, numbers)
    for synapse in circuit.synapses.values():
        yield from _of_synapse(circuit, synapse, numbers)


def out_of_range(title: str, span: Span, wanted: str, *labels: Label) -> Diagnostic:
    title = f"{title}, which is out of its range"
    return Diagnostic(code="C027", title=title, span=span, label=f"expected {wanted}", labels=labels)


def _part(what: str, expr: ir.Expr | None, numbers: dict[str, float]) -> Findings:
    value = None if expr is None else number_of(expr, numbers)
    if expr is not None and value is not None and not 0 < value < 1:
        yield out_of_range(f"{what} is {value:g}", expr.span, "a part of the training examples, such as 0.1")


def _whole(what: str, expr: ir.Expr | None, numbers: dict[str, float], least: int, most: int | None = None) -> Findings:
    """A number that has to be whole and within a range."""
    value = None if expr is None else number_of(expr, numbers)
    if expr is None or value is None:
        return
    if not math.isfinite(value) or value != int(value):
        yield Diagnostic(
            code="C021",
            title=f"{what} is {value:g}, not a whole number",
            span=expr.span,
            label=f"expected a whole number, {_range(least, most)}",
        )
    elif value < least or (most is not None and value > most):
        yield out_of_range(f"{what} is {value:.0f}", expr.span, _range(least, most))


def _range(least: int, most: int | None) -> str:
    return f"{least} or more" if most is None else f"{least} to {most}"


def _winners(circuit: ir.Circuit, numbers: dict[str, float]) -> Findings:
    for value in circuit.values.values():
        for expr in (value.expr, value.update):
            for part in ir.walk(expr) if expr is not None else ():
                if isinstance(part, ir.Over) and part.k is not None:
                    yield from _whole(f"the k of `kwta` in `{value.name}`", part.k, numbers, 1, value.size)


def _of_synapse(circuit: ir.Circuit, synapse: ir.Synapse, numbers: dict[str, float]) -> Iterator[Diagnostic]:
    for connect in synapse.connect:
        value = None if connect.argument is None else number_of(connect.argument, numbers)
        if connect.argument is None or value is None:
            continue
        if connect.which == "sparse" and not 0 <= value <= 1:
            title = f"`{synapse.name}` is connected with the probability {value:g}"
            yield out_of_range(title, connect.argument.span, "0 to 1")
        elif connect.which == "fan_in":
            size = Label(circuit.populations[synapse.pre].span, f"`{synapse.pre}` has {synapse.pre_size} units")
            for found in _whole(f"the fan-in of `{synapse.name}`", connect.argument, numbers, 0, synapse.pre_size):
                yield Diagnostic(code=found.code, title=found.title, span=found.span, label=found.label, labels=(size,))
    if synapse.bounds is not None:
        low, high = (number_of(b, numbers) for b in synapse.bounds)
        for bound, value in zip(synapse.bounds, (low, high), strict=True):
            if value is not None and math.isnan(value):
                yield out_of_range(f"a bound of `{synapse.name}` is {value:g}", bound.span, "a number")
        if low is not None and high is not None and low > high:
            yield Diagnostic(
                code="C027",
                title=f"the bounds of `{synapse.name}` are [{low:g}, {high:g}]: the lower one is higher",
                span=synapse.bounds[0].span.to(synapse.bounds[1].span),
                hint=f"`bounds = [{high:g}, {low:g}]`",
            )


# ---------------------------------------------------------------- memory


def memory(circuit: ir.Circuit) -> Findings:
    """C026: weights that cannot fit."""
    available, sparse = _memory(), sparse_synapses(circuit)
    total = 0
    for synapse in circuit.synapses.values():
        copies = 2 + len(synapse.states) + len(synapse.drives) + (synapse.name in sparse)
        places = synapse.pre_size * synapse.post_size
        if synapse.name in sparse:
            places = round(places * density(synapse, numbers_of(circuit, {})))
        total += 4 * copies * places
        if total > available:
            weights = f"{places:,}" if synapse.name in sparse else f"{synapse.post_size:,} x {synapse.pre_size:,}"
            yield Diagnostic(
                code="C026",
                title=f"with `{synapse.name}` the weights need {total / 1e9:,.0f} GB; "
                f"this machine has {available / 1e9:,.0f} GB",
                span=synapse.span,
                label=f"{weights} weights, {copies} numbers each",
                labels=tuple(
                    Label(circuit.populations[p].span, f"{circuit.populations[p].size:,} units")
                    for p in dict.fromkeys((synapse.pre, synapse.post))
                ),
                hint="make the populations smaller",
            )
            return


def _memory() -> float:
    """The bytes of memory of this machine; infinite where it does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return math.inf
