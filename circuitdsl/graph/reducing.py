"""A reduction where there is none: in the equations of single units and single weights. What to write instead is said
in names that mean something where it has to stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from circuitdsl.diagnostics import Span
from circuitdsl.graph.scope import Member, Scope, Thunk, flatten
from circuitdsl.graph.tables import OfNeuron, OfSynapse
from circuitdsl.syntax import ast

if TYPE_CHECKING:
    from circuitdsl.graph.expressions import Equations


class _OfOneWeight(Exception):
    """The argument is a number of each weight: no modulator sees it."""


#: What a sum over the weights of one neuron makes of an argument, by the reduction that was written.
_OVER_WEIGHTS = {"sum": "sum_in({a})", "mean": "sum_in({a}) / fan_in", "norm": "sqrt(sum_in(square({a})))"}


def refuse_reduction(equations: Equations, call: ast.Call, scope: Scope) -> NoReturn:
    """C030, with the modulator that would have the number."""
    name = call.function
    title = f"`{name}` makes one number of a population: not here, where each unit has its own"
    notes = ("it stands in modulators, losses, metrics and records",)
    try:
        arguments = ", ".join(_outside(equations, a.value, scope) for a in call.arguments)
    except _OfOneWeight:
        _refuse_of_weights(equations, call)
    m = free_name(equations, scope)
    declared = f"modulator {m} = {name}({arguments})"
    equations.fail("C030", title, call.span, notes=notes, hint=f"declare `{declared}`, and read `{m}`")


def _refuse_of_weights(equations: Equations, call: ast.Call) -> NoReturn:
    from circuitdsl.graph.calls import FURTHER_FUNCTIONS

    form = _OVER_WEIGHTS.get(call.function)
    hint = None
    if form is not None and call.arguments:
        written = form.format(a=call.arguments[0].span.shown)
        hint = f"over the weights onto the neuron it would be `{written}`"
        if "sum_in" in FURTHER_FUNCTIONS:
            hint += (
                ", but `sum_in` is not yet available; weights that are not to grow need a decay in their rule, such as "
                "`- w * post^2`"
            )
    equations.fail(
        "C030",
        f"`{call.span.shown}` would need all weights: a rule sees one of them, `w`",
        call.span,
        label="of a population it would be one number; this is of one weight",
        hint=hint,
    )


def free_name(equations: Equations, scope: Scope) -> str:
    """A name for a modulator that nothing has here."""
    taken = set(equations.tables.symbols.visible(scope))
    return next(n for n in ("m", "level", "total", "m_1", "m_2", "m_3") if n not in taken or n == "m_3")


def _outside(equations: Equations, expr: ast.Expr, scope: Scope) -> str:
    """The text of an expression as it reads outside of its neuron or synapse: `d` is `h.d`, `post` is `out`."""
    text, start = expr.span.text, expr.span.start
    for ref in sorted(_references(expr), key=lambda r: r.span.start, reverse=True):
        span = _head(ref)
        told = _reference_outside(equations, ref, scope)
        text = text[: span.start - start] + told + text[span.end - start :]
    return " ".join(text.split())


def _head(ref: ast.Ref) -> Span:
    """Its place, for the indices of a name are read where it stands too."""
    return ref.span


def _references(expr: ast.Expr) -> list[ast.Ref]:
    match expr:
        case ast.Name() | ast.Index() | ast.Member():
            return [expr]
        case ast.Unary():
            return _references(expr.operand)
        case ast.Binary():
            return [*_references(expr.left), *_references(expr.right)]
        case ast.Call():
            return [r for a in expr.arguments for r in _references(a.value)]
        case _:
            return []


def _reference_outside(equations: Equations, ref: ast.Ref, scope: Scope) -> str:
    base, accessors = flatten(ref)
    tail = "".join(f".{a.name}" for a in accessors if isinstance(a, ast.Member))
    binding = scope.lookup(base.name)
    match binding:
        case Thunk(expr=inner, scope=outer):
            written = _outside(equations, inner, outer)
            return written + tail if tail or isinstance(inner, ast.Name | ast.Index | ast.Member) else f"({written})"
        case Member(kind="value", name=value):
            return value.removeprefix(scope.prefix)
        case Member():
            raise _OfOneWeight
        case _:
            return _built_in(equations, base.name, tail, scope) or ref.span.text


def _built_in(equations: Equations, name: str, tail: str, scope: Scope) -> str | None:
    match equations.owner, name:
        case OfSynapse(), "w":
            raise _OfOneWeight
        case OfSynapse(synapse=synapse), "pre":
            value = synapse.source.value if not tail else synapse.pre.path + tail
            return value.removeprefix(scope.prefix)
        case OfSynapse(synapse=synapse), "post":
            return (synapse.post.path + tail).removeprefix(scope.prefix)
        case OfNeuron(population=population, what="update"), "rate":
            return population.path.removeprefix(scope.prefix)
        case OfNeuron(population=population, what="rate" | "let"), own if own == population.path and not tail:
            return f"prev({population.path.removeprefix(scope.prefix)})"
        case _:
            return None
