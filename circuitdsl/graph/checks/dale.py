"""Dale's law: the signs of synapses (C055, C056)."""

from __future__ import annotations

from circuitdsl.diagnostics import Diagnostic, Label, Severity
from circuitdsl.graph import ir
from circuitdsl.graph.checks.common import Findings, number_of
from circuitdsl.graph.intervals import NONNEGATIVE, Range
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.ranges import Ranges


def dale_conflicts(circuit: ir.Circuit) -> Findings:
    """C055: a population both excites and inhibits, or signs and bounds leave no weight but 0."""
    first: dict[str, ir.Synapse] = {}
    for synapse in circuit.synapses.values():
        if synapse.sign is ir.Sign.FREE:
            continue
        other = first.setdefault(synapse.pre, synapse)
        if other.sign is not synapse.sign:
            yield Diagnostic(
                code="C055",
                title=f"`{synapse.pre}` both excites and inhibits",
                span=synapse.span,
                label=f"`{synapse.name}` is {synapse.sign.value}",
                labels=(Label(other.span, f"`{other.name}` is {other.sign.value}"),),
                notes=("Dale's law: a neuron has one kind of synapse on all its targets",),
                hint=f"split `{synapse.pre}` into an excitatory and an inhibitory population",
            )
        yield from _sign_against_bounds(circuit, synapse)


def _sign_against_bounds(circuit: ir.Circuit, synapse: ir.Synapse) -> Findings:
    if synapse.bounds is None:
        return
    numbers = numbers_of(circuit, {})
    low, high = (number_of(b, numbers) for b in synapse.bounds)
    if low is None or high is None:
        return
    excitatory = synapse.sign is ir.Sign.EXCITATORY
    if (excitatory and high <= 0) or (not excitatory and low >= 0):
        wanted = f"[0, {max(abs(low), abs(high)):g}]" if excitatory else f"[-{max(abs(low), abs(high)):g}, 0]"
        yield Diagnostic(
            code="C055",
            title=f"`{synapse.name}` is {synapse.sign.value}, but its bounds are [{low:g}, {high:g}]",
            span=synapse.bounds[0].span.to(synapse.bounds[1].span),
            label="no weight but 0 satisfies both",
            notes=("weights are stored signed: excitatory ones are 0 or more, inhibitory ones 0 or less",),
            hint=f"`bounds = {wanted}`",
        )


def signed_dale_rates(circuit: ir.Circuit) -> Findings:
    """C056: the sign of a synapse means little where presynaptic rates change theirs."""
    signed = [s for s in circuit.synapses.values() if s.sign is not ir.Sign.FREE]
    ranges = Ranges(circuit, given=_as_given(circuit)) if signed else None
    for synapse in signed:
        assert ranges is not None
        source = circuit.values[synapse.source.value]
        if ranges.value(source.name).nonnegative:
            continue
        given = source.kind is ir.Kind.INPUT
        yield Diagnostic(
            code="C056",
            title=f"`{synapse.name}` is {synapse.sign.value}, but `{source.name}` can be negative",
            span=synapse.span,
            labels=(Label(source.span, "data are centred by default" if given else "not shown to be 0 or more"),),
            notes=("a negative rate through an excitatory synapse inhibits, and the other way round",),
            hint="keep the task's data in [0, 1] by `scale = none`, or send the input through `relu`"
            if given
            else "use a rate that cannot be negative, such as `relu`, `sigmoid` or `softplus`",
            severity=Severity.WARNING,
        )


def _as_given(circuit: ir.Circuit) -> dict[str, Range]:
    """What is known of data: `scale = none` keeps images in [0, 1], and class targets are 0 or 1."""
    unscaled = bool(circuit.tasks) and all(t.scale == "none" for t in circuit.tasks.values())
    kinds = {ir.Kind.TARGET, ir.Kind.INPUT} if unscaled else {ir.Kind.TARGET}
    return {v.name: NONNEGATIVE for v in circuit.values.values() if v.kind in kinds}
