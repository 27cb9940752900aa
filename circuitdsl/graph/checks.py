"""Checks of a whole circuit, each a function that yields what it finds.

Names, sizes, locality and types are checked while equations are resolved (graph/expressions.py) and loops
when the order is made (graph/resolve.py); here is what only the whole circuit shows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from circuitdsl.diagnostics import Diagnostic, Label, Report, Severity, Span
from circuitdsl.graph import ir
from circuitdsl.graph.evaluation import live_reads, sources_in_evaluation
from circuitdsl.graph.flow import path, reached_from
from circuitdsl.graph.numbers import evaluate, numbers_of
from circuitdsl.graph.scope import Declared
from circuitdsl.graph.structure import Structure
from circuitdsl.syntax import ast

Findings = Iterator[Diagnostic]


def check(circuit: ir.Circuit, structure: Structure, report: Report) -> None:
    """Runs every check; a finding whose span a motif made several times is shown once."""
    seen: set[tuple[str, Span | None]] = set()
    checks: tuple[Callable[[ir.Circuit], Findings], ...] = (
        undriven_dendrites, idle_populations, heterosynaptic_without_drive, rules_without_effect, missing_loss,
        label_leaks, dale_conflicts, signed_dale_rates, unstable_decay, unreachable_phases, memory,
    )  # fmt: skip
    findings = [f for each in checks for f in each(circuit)]
    findings += [*unused_names(circuit, structure), *shadowed_names(structure)]
    for finding in findings:
        if (finding.code, finding.span) not in seen:
            seen.add((finding.code, finding.span))
            report.add(finding)


def equations(circuit: ir.Circuit) -> Iterator[ir.Expr]:
    """Every equation of values and synapses."""
    for value in circuit.values.values():
        yield from (e for e in (value.expr, value.update) if e is not None)
    for synapse in circuit.synapses.values():
        yield from plasticity(synapse)


def plasticity(synapse: ir.Synapse) -> Iterator[ir.Expr]:
    yield from (d.expr for d in synapse.drives)
    yield from (e for e in (synapse.dw, *(s.update for s in synapse.states)) if e is not None)


# ---------------------------------------------------------------- wiring


def undriven_dendrites(circuit: ir.Circuit) -> Findings:
    """C041: a dendrite that no synapse ends on carries 0."""
    for value in circuit.values.values():
        if value.kind is ir.Kind.DENDRITE and not value.currents:
            yield Diagnostic(
                code="C041",
                title=f"nothing drives the dendrite `{value.name}`",
                span=value.span,
                label="its current is always 0",
                hint=f"connect it (`synapse V: … -> {value.name}`) or leave it out",
                severity=Severity.WARNING,
            )


def idle_populations(circuit: ir.Circuit) -> Findings:
    """C042: a population that no other population, rule, loss, metric or record depends on."""
    read = {r.value for e in equations(circuit) for r in ir.reads(e)}
    read |= {s.source.value for s in circuit.synapses.values()}
    judged = [t.metric for t in circuit.tasks.values()] + [circuit.loss.expr if circuit.loss else None]
    read |= {r.value for e in judged if e is not None for r in ir.reads(e)}
    for record in circuit.records:
        if isinstance(record.what, str):
            read.add(record.what)
        elif not isinstance(record.what, ir.MatrixRef | ir.MatrixCall):
            read |= {r.value for r in ir.reads(record.what)}
    used = {circuit.values[name].population for name in read if name in circuit.values}
    for population in circuit.populations.values():
        if population.kind is not ir.Kind.BIAS and population.name not in used:
            yield Diagnostic(
                code="C042",
                title=f"`{population.name}` reaches nothing",
                span=population.span,
                label="no synapse, equation, loss, metric or record depends on it",
                severity=Severity.WARNING,
            )


def heterosynaptic_without_drive(circuit: ir.Circuit) -> Findings:
    """C044: a rule reads another dendrite of its neuron, on which nothing ends."""
    silent = {v.name for v in circuit.values.values() if v.kind is ir.Kind.DENDRITE and not v.currents}
    for synapse in circuit.synapses.values():
        for expr in plasticity(synapse):
            for read in ir.reads(expr):
                if read.value in silent and read.value != synapse.dendrite:
                    yield Diagnostic(
                        code="C044",
                        title=f"the rule of `{synapse.name}` reads `{read.value}`, which nothing drives",
                        span=read.span,
                        label="always 0",
                        labels=(Label(circuit.values[read.value].span, "no synapse ends here"),),
                        hint=f"bring a signal in: `synapse V: … -> {read.value}`",
                        severity=Severity.WARNING,
                    )


def rules_without_effect(circuit: ir.Circuit) -> Findings:
    """C045: a rule whose increment is 0 whatever happens."""
    silent = {v.name for v in circuit.values.values() if v.kind is ir.Kind.DENDRITE and not v.currents}
    for synapse in circuit.synapses.values():
        if synapse.dw is not None and _always_zero(synapse.dw, silent):
            yield Diagnostic(
                code="C045",
                title=f"the rule of `{synapse.name}` can never change its weight",
                span=synapse.dw_span or synapse.span,
                label="always 0",
                hint="leave `dw` out if the synapse is meant to be fixed",
                severity=Severity.WARNING,
            )


def _always_zero(expr: ir.Expr, silent: set[str]) -> bool:
    match expr:
        case ir.Num(value=value):
            return value == 0
        case ir.Read(value=value):
            return value in silent
        case ir.Apply(function="mul", arguments=arguments):
            return any(_always_zero(a, silent) for a in arguments)
        case ir.Apply(function="div", arguments=(numerator, _)):
            return _always_zero(numerator, silent)
        case ir.Apply(function="add" | "sub", arguments=arguments):
            return all(_always_zero(a, silent) for a in arguments)
        case ir.Apply(function="neg" | "relu" | "step" | "tanh" | "abs" | "sign" | "square" | "sqrt", arguments=(a,)):
            return _always_zero(a, silent)
        case _:
            return False


# ---------------------------------------------------------------- judging


def missing_loss(circuit: ir.Circuit) -> Findings:
    """C051: without a loss nothing can be judged."""
    if circuit.loss is not None:
        return
    targets = circuit.of_kind(ir.Kind.TARGET)
    verdicts = [e for e in circuit.expects if isinstance(e, ir.ExpectVerdict)]
    metrics = [t for t in circuit.tasks.values() if t.metric is not None]
    if verdicts:
        severity, span, why = Severity.ERROR, verdicts[0].span, "a verdict is expected"
    elif targets:
        severity, span, why = Severity.WARNING, targets[0].span, f"there is a target `{targets[0].name}`"
    elif metrics:
        severity, span, why = Severity.WARNING, metrics[0].span, f"`{metrics[0].name}` has a metric"
    else:
        severity, span, why = Severity.NOTE, circuit.span, "what it learns can be run, not judged"
    yield Diagnostic(
        code="C051",
        title=f"`{circuit.name}` declares no loss",
        span=span,
        label=why,
        hint="declare what learning should lower, such as `loss = cross_entropy(out, y)`",
        severity=severity,
    )


def label_leaks(circuit: ir.Circuit) -> Findings:
    """C050: a target reaches what the metric or the loss reads, although nothing is trained then."""
    targets = [p.name for p in circuit.of_kind(ir.Kind.TARGET)]
    if not targets:
        return
    sources = sources_in_evaluation(circuit)
    reached = {target: reached_from(sources, [target]) for target in targets}
    judged = [("metric", t.metric) for t in circuit.tasks.values() if t.metric is not None]
    if circuit.loss is not None:
        judged.append(("loss", circuit.loss.expr))
    for what, expr in judged:
        for read in live_reads(expr, circuit):
            if read.value in targets or read.value == "loss":
                continue
            for target in targets:
                if read.value in reached[target]:
                    yield _leak(circuit, what, read, path(sources, target, read.value))


def _leak(circuit: ir.Circuit, what: str, read: ir.Read, way: list[str]) -> Diagnostic:
    return Diagnostic(
        code="C050",
        title=f"label leak: the target `{way[0]}` reaches `{read.value}`, which the {what} reads",
        span=read.span,
        label=" -> ".join(way),
        labels=(Label(circuit.values[way[1]].span, f"`{way[0]}` comes in here"),) if len(way) > 1 else (),
        notes=("in evaluation (`train = 0`) the answer must not depend on the label it is judged by",),
        hint="let the target in only while training: multiply by `train`, or clamp in a `train` phase",
    )


# ---------------------------------------------------------------- Dale's law


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
                hint="split the population in two",
            )
        yield from _sign_against_bounds(circuit, synapse)


def _sign_against_bounds(circuit: ir.Circuit, synapse: ir.Synapse) -> Findings:
    if synapse.bounds is None:
        return
    numbers = numbers_of(circuit, {})
    low, high = (evaluate(b, numbers) for b in synapse.bounds)
    excitatory = synapse.sign is ir.Sign.EXCITATORY
    if (excitatory and high <= 0) or (not excitatory and low >= 0):
        yield Diagnostic(
            code="C055",
            title=f"`{synapse.name}` is {synapse.sign.value}, but its bounds are [{low:g}, {high:g}]",
            span=synapse.bounds[0].span.to(synapse.bounds[1].span),
            label="no weight but 0 satisfies both",
            notes=("weights are stored signed: an inhibitory one is 0 or negative",),
        )


def signed_dale_rates(circuit: ir.Circuit) -> Findings:
    """C056: the sign of a synapse means little where presynaptic rates change theirs."""
    for synapse in circuit.synapses.values():
        source = circuit.values[synapse.source.value]
        if synapse.sign is not ir.Sign.FREE and source.expr is not None and not nonnegative(source.expr, circuit):
            yield Diagnostic(
                code="C056",
                title=f"`{synapse.name}` is {synapse.sign.value}, but `{source.name}` can be negative",
                span=synapse.span,
                labels=(Label(source.span, "not shown to be 0 or more"),),
                hint="use a rate that cannot be negative: relu, sigmoid, softplus",
                severity=Severity.WARNING,
            )


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
            if read.kind is ir.Kind.BIAS:
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

# ---------------------------------------------------------------- settings


def unstable_decay(circuit: ir.Circuit) -> Findings:
    """C054: a decay of 2 or more per update makes a weight oscillate and grow; from 1 it overshoots."""
    numbers = numbers_of(circuit, {})
    for synapse in circuit.synapses.values():
        if synapse.dw is None:
            continue
        decay = -weight_slope(synapse.dw, numbers)
        if decay >= 1:
            unstable = decay >= 2
            what = "each update overshoots by more than the weight: it grows without end"
            yield Diagnostic(
                code="C054",
                title=f"`{synapse.name}` decays by {decay:g} of itself per update",
                span=synapse.dw_span or synapse.span,
                label=what if unstable else "the weight changes its sign with every update",
                hint="lower the learning rate or the decay: their product belongs well below 1",
                severity=Severity.WARNING if unstable else Severity.NOTE,
            )


def weight_slope(expr: ir.Expr, numbers: dict[str, float]) -> float:
    """The coefficient of `w` in a rule, as far as it is a number; other terms count as 0."""
    match expr:
        case ir.Weight():
            return 1.0
        case ir.Apply(function="neg", arguments=(a,)):
            return -weight_slope(a, numbers)
        case ir.Apply(function="add", arguments=(a, b)):
            return weight_slope(a, numbers) + weight_slope(b, numbers)
        case ir.Apply(function="sub", arguments=(a, b)):
            return weight_slope(a, numbers) - weight_slope(b, numbers)
        case ir.Apply(function="mul", arguments=(a, b)):
            return _scaled(a, b, numbers) + _scaled(b, a, numbers)
        case ir.Apply(function="div", arguments=(a, b)):
            divisor = _number(b, numbers)
            return weight_slope(a, numbers) / divisor if divisor else 0.0
        case _:
            return 0.0


def _scaled(factor: ir.Expr, rest: ir.Expr, numbers: dict[str, float]) -> float:
    number = _number(factor, numbers)
    return number * weight_slope(rest, numbers) if number is not None else 0.0


def _number(expr: ir.Expr, numbers: dict[str, float]) -> float | None:
    try:
        return evaluate(expr, numbers)
    except ValueError:
        return None


def unreachable_phases(circuit: ir.Circuit) -> Findings:
    """C043: a phase without ticks, or an evaluation without any."""
    numbers = numbers_of(circuit, {})
    phases = circuit.schedule.phases
    for phase in phases:
        ticks = evaluate(phase.ticks, numbers)
        if ticks != int(ticks) or ticks < 0:
            yield Diagnostic(
                code="C021", title=f"the phase `{phase.name}` lasts {ticks:g} ticks", span=phase.ticks.span,
                notes=("ticks are counted in whole numbers",),
            )  # fmt: skip
        elif ticks == 0:
            yield Diagnostic(
                code="C043", title=f"the phase `{phase.name}` lasts 0 ticks: it is never reached",
                span=phase.ticks.span,
                severity=Severity.WARNING,
            )  # fmt: skip
    if phases and all(p.train for p in phases):
        yield Diagnostic(
            code="C043",
            title=f"evaluation has no ticks: `{phases[0].name}` and all other phases are `train` phases",
            span=phases[0].span.to(phases[-1].span),
            hint="add a phase without `train` in which the circuit answers",
        )


def memory(circuit: ir.Circuit) -> Findings:
    """C026: weights that cannot fit."""
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    total = 0
    for synapse in circuit.synapses.values():
        copies = 2 + len(synapse.states) + len(synapse.drives)
        total += 4 * copies * synapse.pre_size * synapse.post_size
        if total > available:
            yield Diagnostic(
                code="C026",
                title=f"with `{synapse.name}` the weights need {total / 1e9:,.0f} GB; "
                f"this machine has {available / 1e9:,.0f} GB",
                span=synapse.span,
                label=f"{synapse.post_size:,} x {synapse.pre_size:,} weights, {copies} numbers each",
                hint="make the populations smaller",
            )
            return


# ---------------------------------------------------------------- names


def unused_names(circuit: ir.Circuit, structure: Structure) -> Findings:
    """C013: declared, read by nothing."""
    read = {r.value for e in equations(circuit) for r in ir.reads(e)}
    read |= {s.source.value for s in circuit.synapses.values()}
    used = structure.symbols.used | structure.symbols.structural | read
    for span, group in _by_text(structure):
        item = group[0].item
        if isinstance(item, ast.Param | ast.Modulator) and not any(d.path in used for d in group):
            what = "param" if isinstance(item, ast.Param) else "modulator"
            yield _unused(group[0].path, what, span)
    for value in circuit.values.values():
        own = value.population is not None and value.kind in (ir.Kind.STATE, ir.Kind.LET)
        if own and value.name not in used and not _updated_only(value, circuit):
            yield _unused(value.name, value.kind.value, value.span)


def _updated_only(value: ir.Value, circuit: ir.Circuit) -> bool:
    recorded = {r.what for r in circuit.records if isinstance(r.what, str)}
    return value.name in recorded


def _by_text(structure: Structure) -> list[tuple[Span, list[Declared]]]:
    """Entities by the place of the text that declares them: a motif's members belong together."""
    groups: dict[Span, list[Declared]] = {}
    for declared in structure.symbols.entities.values():
        groups.setdefault(declared.span, []).append(declared)
    return list(groups.items())


def _unused(name: str, what: str, span: Span) -> Diagnostic:
    return Diagnostic(
        code="C013", title=f"the {what} `{name}` is never read", span=span, severity=Severity.WARNING,
        hint="leave it out, or use it",
    )  # fmt: skip


def shadowed_names(structure: Structure) -> Findings:
    """C012: a member of a neuron or synapse, or a loop variable, hides an entity of the same name."""
    entities = structure.symbols.entities
    for declared in entities.values():
        members: list[ast.Name] = []
        if isinstance(declared.item, ast.Neuron | ast.Synapse | ast.Modulator):
            for member in declared.item.members:
                if isinstance(member, ast.State | ast.Let | ast.Drive):
                    members.append(member.name)
                elif isinstance(member, ast.Dendrites):
                    members += member.names
        for name in members:
            hidden = entities.get(declared.scope.prefix + name.name)
            if hidden is not None:
                yield _shadowed(name.name, name.span, hidden, f"a member of `{declared.path}`")
    for item in loops(structure.circuit.items):
        hidden = entities.get(item.variable.name)
        if hidden is not None:
            yield _shadowed(item.variable.name, item.variable.span, hidden, "a loop variable")


def loops(items: tuple[ast.Item, ...]) -> Iterator[ast.For]:
    for item in items:
        if isinstance(item, ast.For):
            yield item
            yield from loops(item.items)


def _shadowed(name: str, span: Span, hidden: Declared, what: str) -> Diagnostic:
    return Diagnostic(
        code="C012",
        title=f"`{name}` hides another `{name}`",
        span=span,
        label=f"{what}; here this one is meant",
        labels=(Label(hidden.span, "hidden"),),
        hint="give one of them another name",
        severity=Severity.WARNING,
    )
