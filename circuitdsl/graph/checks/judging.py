"""Judging: the loss, what is expected, and labels that leak into the answer (C050, C051, C053)."""

from __future__ import annotations

from circuitdsl.diagnostics import Diagnostic, Label, Severity, Span
from circuitdsl.graph import ir
from circuitdsl.graph.checks.common import Findings, judged, number_of
from circuitdsl.graph.evaluation import live_reads, sources_in_evaluation
from circuitdsl.graph.flow import path, reached_from
from circuitdsl.graph.numbers import numbers_of


def missing_loss(circuit: ir.Circuit) -> Findings:
    """C051: without a loss nothing can be judged."""
    if circuit.loss is not None:
        return
    verdicts = [e for e in circuit.expects if isinstance(e, ir.ExpectVerdict)]
    twins = [e for e in circuit.expects if isinstance(e, ir.ExpectMetric) and e.of_backprop]
    targets = circuit.of_kind(ir.Kind.TARGET)
    metrics = [t for t in circuit.tasks.values() if t.metric is not None]
    if verdicts:
        severity, span, why = Severity.ERROR, verdicts[0].span, "a verdict is about the gradient of the loss"
    elif twins:
        severity, span, why = Severity.ERROR, twins[0].span, "backpropagation needs a loss"
    elif targets:
        severity, span, why = Severity.WARNING, targets[0].span, f"`{targets[0].name}` says what the answer should be"
    elif metrics:
        severity, span, why = Severity.WARNING, metrics[0].span, "this task has a metric"
    else:
        severity, span, why = Severity.NOTE, circuit.span, "it can be run, but what it learns cannot be judged"
    answer = next((p.name for p in reversed(circuit.of_kind(ir.Kind.RATE))), "out")
    example = f"cross_entropy(out, {targets[0].name})" if targets else f"mean({answer}^2)"
    yield Diagnostic(
        code="C051",
        title=f"`{circuit.name}` declares no loss",
        span=span,
        label=why,
        hint=f"declare what learning should lower, such as `loss = {example}`",
        severity=severity,
    )


def vain_expectations(circuit: ir.Circuit) -> Findings:
    """C053: an expectation that nothing can ever meet: of a fixed synapse, of a metric that no task has."""
    measured = any(t.metric is not None for t in circuit.tasks.values())
    for expect in circuit.expects:
        match expect:
            case ir.ExpectVerdict(synapses=names):
                fixed = [circuit.synapses[n] for n in names if circuit.synapses[n].dw is None]
                if fixed:
                    yield _fixed(expect, fixed[0])
            case ir.ExpectMetric() if not measured:
                yield Diagnostic(
                    code="C053",
                    title=f"`{expect.text}` is expected, but no task has a metric",
                    span=expect.span,
                    label="never judged",
                    labels=tuple(Label(t.span, "no metric here") for t in list(circuit.tasks.values())[:1]),
                    hint="give a task one: `metric = accuracy(out, y)`",
                    severity=Severity.WARNING,
                )
            case ir.ExpectMetric():
                yield from _never_reached(circuit, expect)
            case _:
                pass


def _never_reached(circuit: ir.Circuit, expect: ir.ExpectMetric) -> Findings:
    """A bound beyond 1 of a metric that is a part of the examples."""
    bound = number_of(expect.bound, numbers_of(circuit, {}))
    metrics = [t.metric for t in circuit.tasks.values() if t.metric is not None]
    shares = all(isinstance(m, ir.Reduce) and m.function == "accuracy" for m in metrics)
    if bound is None or expect.of_backprop or expect.comparison != ">=" or bound <= 1 or not shares:
        return
    yield Diagnostic(
        code="C053",
        title=f"`{expect.text}` is never met: an accuracy is at most 1",
        span=expect.span,
        label="the part of the examples that are classed rightly",
        hint=f"write `metric >= {bound / 100:g}`" if bound <= 100 else None,
        severity=Severity.WARNING,
    )


def _fixed(expect: ir.ExpectVerdict, synapse: ir.Synapse) -> Diagnostic:
    return Diagnostic(
        code="C053",
        title=f"`{synapse.name}` is expected to be `{expect.verdict}`, but it never learns",
        span=expect.span,
        label="never judged",
        labels=(Label(synapse.span, "this synapse has no `dw`"),),
        notes=("verdicts are about synapses whose weights change and reach the loss",),
        hint=f"give `{synapse.name}` a rule (`dw = …`), or expect nothing of it",
        severity=Severity.WARNING,
    )


# ---------------------------------------------------------------- label leaks


def label_leaks(circuit: ir.Circuit) -> Findings:
    """C050: a target reaches what the metric or the loss reads, although nothing is trained then."""
    targets = [p.name for p in circuit.of_kind(ir.Kind.TARGET)]
    if not targets:
        return
    sources = sources_in_evaluation(circuit)
    reached = {target: reached_from(sources, [target]) for target in targets}
    leaks: dict[tuple[str, str], list[tuple[str, Span]]] = {}
    for what, expr in judged(circuit):
        for read in live_reads(expr, circuit):
            if read.value in targets or read.value == "loss":
                continue
            for target in targets:
                if read.value in reached[target]:
                    leaks.setdefault((target, read.value), []).append((what, read.span))
    for (target, answer), judges in leaks.items():
        yield _leak(circuit, judges, path(sources, target, answer))


def _leak(circuit: ir.Circuit, judges: list[tuple[str, Span]], way: list[str]) -> Diagnostic:
    """`judges`: what reads the answer, and where; `way`: from the target to the answer."""
    words = list(dict.fromkeys(what for what, _ in judges))
    entrance = circuit.values[way[1]] if len(way) > 1 else None
    labels = []
    if entrance is not None:
        in_update = entrance.update is not None and any(r.value == way[0] for r in ir.reads(entrance.update))
        span = entrance.update_span if in_update and entrance.update_span is not None else entrance.span
        labels.append(Label(span, f"`{way[0]}` comes in here"))
    labels += [Label(span, f"the {what} reads it too") for what, span in judges[1:]]
    return Diagnostic(
        code="C050",
        title=f"label leak: the target `{way[0]}` reaches `{way[-1]}`, which the {' and the '.join(words)} "
        + ("read" if len(words) > 1 else "reads"),
        span=judges[0][1],
        label=" -> ".join(way),
        labels=tuple(labels),
        notes=("in evaluation (`train = 0`) the answer must not depend on the label it is judged by",),
        hint=f"let the target in only while training: `train * {way[0]}`, or clamp it in a `train` phase",
    )
