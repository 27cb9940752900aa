"""Dale's law: the signs of synapses (C055, C056)."""

from __future__ import annotations

from circuitdsl.diagnostics import Diagnostic, Label, Severity
from circuitdsl.graph import ir
from circuitdsl.graph.checks.common import Findings, number_of
from circuitdsl.graph.numbers import numbers_of


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
    for synapse in circuit.synapses.values():
        source = circuit.values[synapse.source.value]
        if synapse.sign is ir.Sign.FREE or _is_nonnegative(source, circuit):
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


def _is_nonnegative(source: ir.Value, circuit: ir.Circuit) -> bool:
    match source.kind:
        case ir.Kind.INPUT:  # scale = none keeps images in [0, 1]
            return bool(circuit.tasks) and all(t.scale == "none" for t in circuit.tasks.values())
        case ir.Kind.TARGET | ir.Kind.BIAS:
            return True
        case _:
            return source.expr is not None and nonnegative(source.expr, circuit)


def nonnegative(expr: ir.Expr, circuit: ir.Circuit, depth: int = 0) -> bool:
    """Whether an expression is shown to be 0 or more, whatever its inputs."""

    def again(e: ir.Expr) -> bool:
        return nonnegative(e, circuit, depth)

    match expr:
        case ir.Num(value=value):
            return value >= 0
        case ir.ParamRef(name=name):
            return numbers_of(circuit, {}).get(name, -1.0) >= 0
        case ir.Flag() | ir.Tick() | ir.Fan() | ir.Random(which="rand"):
            return True
        case ir.Read(value=name):
            read = circuit.values[name]
            if read.kind in (ir.Kind.BIAS, ir.Kind.TARGET):
                return True
            return depth < 20 and read.expr is not None and nonnegative(read.expr, circuit, depth + 1)
        case ir.Apply(function=function, arguments=arguments):
            if function in ALWAYS_NONNEGATIVE:
                return True
            if function in ("add", "mul", "div", "min", "sqrt", "pow"):
                return all(again(a) for a in arguments)
            if function == "max":
                return any(again(a) for a in arguments)
            if function == "clip":
                return again(arguments[1])
            return function in ("where",) and all(again(a) for a in arguments[1:])
        case ir.Over(function="softmax" | "onehot_max"):
            return True
        case ir.Over(function="kwta", argument=argument):
            return again(argument)
        case _:
            return False


ALWAYS_NONNEGATIVE = frozenset(
    {"relu", "step", "sigmoid", "softplus", "exp", "abs", "square", "lt", "le", "gt", "ge", "eq", "ne"}
)
