"""What is legal and hardly meant: a loss with its arguments exchanged or of what is no probability, rules that only
take away (C048, C057, C058)."""

from __future__ import annotations

from collections.abc import Iterator

from circuitdsl.diagnostics import Diagnostic, Label, Severity
from circuitdsl.graph import ir
from circuitdsl.graph.checks.common import Findings, judged
from circuitdsl.graph.intervals import ZERO, Range, span
from circuitdsl.graph.plasticity import split
from circuitdsl.graph.populations import REDUCTIONS, is_gate
from circuitdsl.graph.ranges import Ranges

#: Functions whose units are probabilities, or at least between 0 and 1, as those of gates are: nothing more need be
#: found out.
_BETWEEN_0_AND_1 = frozenset({"softmax", "sigmoid"})


def swapped_arguments(circuit: ir.Circuit) -> Findings:
    """C057: the target where the prediction belongs."""
    targets = {p.name for p in circuit.of_kind(ir.Kind.TARGET)}
    for what, reduce in _judging_reductions(circuit):
        prediction, target = ({r.value for r in ir.reads(a)} for a in reduce.arguments)
        if not prediction or not prediction <= targets or target & targets:
            continue
        p, y = (a.span.shown for a in reduce.arguments)
        call = REDUCTIONS[reduce.function].call
        yield Diagnostic(
            code="C057",
            title=f"`{reduce.function}({p}, {y})`: the target `{p}` stands where the prediction belongs",
            span=reduce.span,
            label=f"written `{call}`, with the prediction first",
            notes=(f"the {what} is computed, but of a prediction that is the answer itself",),
            hint=f"write `{reduce.function}({y}, {p})`",
            severity=Severity.WARNING,
        )


def no_probabilities(circuit: ir.Circuit) -> Findings:
    """C058: the cross-entropy of what can be negative, or more than 1."""
    targets = {p.name for p in circuit.of_kind(ir.Kind.TARGET)}
    doubtful = [
        (what, reduce)
        for what, reduce in _judging_reductions(circuit)
        if reduce.function == "cross_entropy"
        and not _surely_between(circuit, reduce.arguments[0])
        and not {r.value for r in ir.reads(reduce.arguments[0])} <= targets  # exchanged: C057
    ]
    ranges = Ranges(circuit) if doubtful else None
    for _, reduce in doubtful:
        assert ranges is not None
        prediction = reduce.arguments[0]
        found = ranges.of(prediction)
        if found.within(Range(0.0, 1.0)):
            continue
        wrong = "can be negative" if not found.nonnegative else "can be more than 1"
        source = circuit.values.get(prediction.value) if isinstance(prediction, ir.Read) else None
        yield Diagnostic(
            code="C058",
            title=f"`{prediction.span.shown}` is no probability: it {wrong}",
            span=prediction.span,
            label="the cross-entropy is one of probabilities",
            labels=(Label(source.span, "this is what it sends"),) if source is not None else (),
            notes=("below 1e-7 its logarithm is cut off, and above 1 the loss is negative, without an end",),
            hint="send it through `softmax` (classes), or take `mse` for numbers",
            severity=Severity.WARNING,
        )


def _judging_reductions(circuit: ir.Circuit) -> Iterator[tuple[str, ir.Reduce]]:
    """The reductions of a prediction and a target that judge, once each."""
    modulators = (("modulator", v.expr) for v in circuit.values.values() if v.kind is ir.Kind.MODULATOR and v.expr)
    for what, expr in (*judged(circuit), *modulators):
        for part in ir.walk(expr):
            if isinstance(part, ir.Reduce) and REDUCTIONS[part.function].compares == "classes":
                yield what, part


def _surely_between(circuit: ir.Circuit, prediction: ir.Expr) -> bool:
    """Whether a look at its last function tells that it is between 0 and 1."""
    expr: ir.Expr | None = prediction
    if isinstance(prediction, ir.Read) and prediction.value in circuit.values:
        expr = circuit.values[prediction.value].expr
    if not isinstance(expr, ir.Over | ir.Apply):
        return False
    return expr.function in _BETWEEN_0_AND_1 or is_gate(expr.function)


# ---------------------------------------------------------------- rules


def rules_that_only_decay(circuit: ir.Circuit) -> Findings:
    """C048: whatever the signals are, the weight only shrinks."""
    suspects = [s for s in circuit.synapses.values() if s.dw is not None and not s.drives and _all_of_weight(s.dw)]
    ranges = Ranges(circuit) if suspects else None
    for synapse in suspects:
        assert ranges is not None
        assert synapse.dw is not None
        above = ranges.of(synapse.dw, synapse, weight=span(0.0, 1.0, low_open=True))
        below = ranges.of(synapse.dw, synapse, weight=span(-1.0, 0.0, high_open=True))
        if above == ZERO or not (above.nonpositive and below.nonnegative):
            continue
        yield Diagnostic(
            code="C048",
            title=f"the rule of `{synapse.name}` only decays",
            span=synapse.dw_span or synapse.span,
            label="of every weight it takes away, and it adds nothing",
            notes=("a weight that starts at any value ends at 0",),
            hint="add what the synapse learns from, such as `eta * post * pre`, or leave `dw` out",
            severity=Severity.WARNING,
        )


def _all_of_weight(rule: ir.Expr) -> bool:
    """Whether every term of a rule has the weight for a factor."""
    terms = split(rule)
    return bool(terms) and all(term.power is not None and term.power > 0 for term in terms)
