"""Calls in equations: built-in functions, reductions, `prev`, phases, random numbers, and rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from circuitdsl.diagnostics import Label, Span, did_you_mean
from circuitdsl.graph import ir
from circuitdsl.graph.scope import Binding, Scope, Thunk
from circuitdsl.graph.structure import OPERATOR_NAMES, bind_arguments, further
from circuitdsl.graph.tables import OfNeuron, OfNumber, OfScalar
from circuitdsl.syntax import ast

if TYPE_CHECKING:
    from circuitdsl.graph.expressions import Equations

#: Functions that are written as such; operators are not.
ELEMENTWISE_FUNCTIONS = frozenset(ir.ELEMENTWISE) - frozenset(OPERATOR_NAMES.values()) - {"neg"}
REDUCTIONS = frozenset({"sum", "mean", "max", "norm"})
PAIR_REDUCTIONS = frozenset({"cross_entropy", "mse", "accuracy"})
POPULATION_FUNCTIONS = frozenset({"softmax", "kwta", "onehot_max"})
FUNCTIONS = (
    ELEMENTWISE_FUNCTIONS
    | REDUCTIONS
    | PAIR_REDUCTIONS
    | POPULATION_FUNCTIONS
    | {"prev", "first", "last", "rand", "randn", "cos", "transpose"}
)
#: Far deeper than anyone writes rules within rules; cycles are found when files are loaded.
MAX_RULE_DEPTH = 60
FURTHER_FUNCTIONS = frozenset({"spike", "bernoulli", "length", "sum_in"})


def resolve_call(equations: Equations, call: ast.Call, scope: Scope) -> ir.Expr:
    name = call.function
    if name in FURTHER_FUNCTIONS:
        equations.tables.symbols.fail(further(f"{name}()", call.function_span))
    if name not in FUNCTIONS:
        return expand_rule(equations, call, scope)
    if any(a.name is not None for a in call.arguments):
        equations.fail("C017", f"`{name}` takes its arguments by position", call.span)
    arguments = [a.value for a in call.arguments]
    if name in ("prev", "first", "last"):
        return at_time(equations, call, arguments, scope)
    if name in ("rand", "randn"):
        return random_draw(equations, call, arguments)
    if name in POPULATION_FUNCTIONS:
        return over_population(equations, call, arguments, scope)
    if name in PAIR_REDUCTIONS or (name in REDUCTIONS and (name != "max" or len(arguments) == 1)):
        return reduction(equations, call, arguments, scope)
    if name in ("cos", "transpose"):
        equations.fail("C030", f"`{name}` compares weights, in `record` and `expect attractor` only", call.span)
    return elementwise(equations, call, arguments, scope)


def arity(equations: Equations, call: ast.Call, arguments: Sequence[ast.Expr], wanted: int) -> None:
    if len(arguments) != wanted:
        equations.fail("C017", f"`{call.function}` takes {wanted} argument(s), not {len(arguments)}", call.span)


def elementwise(equations: Equations, call: ast.Call, arguments: list[ast.Expr], scope: Scope) -> ir.Expr:
    name = call.function
    if name in ("min", "max") and len(arguments) > 2:
        resolved = [equations.resolve(a, scope) for a in arguments]
        folded = resolved[0]
        for each in resolved[1:]:
            folded = ir.Apply(function=name, arguments=(folded, each), span=call.span)
        return folded
    arity(equations, call, arguments, ir.ELEMENTWISE[name])
    return ir.Apply(function=name, arguments=tuple(equations.resolve(a, scope) for a in arguments), span=call.span)


def at_time(equations: Equations, call: ast.Call, arguments: list[ast.Expr], scope: Scope) -> ir.Expr:
    arity(equations, call, arguments, 1)
    argument = arguments[0]
    if call.function != "prev":
        phase = argument.name if isinstance(argument, ast.Name) else None
        if phase not in equations.tables.phases:
            hint = did_you_mean(argument.span.text, equations.tables.phases)
            equations.fail("C010", f"`{argument.span.text}` is not a phase of the schedule", argument.span, hint=hint)
        return equations.flag("first" if call.function == "first" else "last", phase, call.span)
    read = equations.resolve(argument, scope)
    kinds = {ir.Kind.DENDRITE, ir.Kind.LET, ir.Kind.RATE}
    if not isinstance(read, ir.Read) or kind(equations, read.value) not in kinds:
        equations.fail(
            "C030",
            f"`prev({argument.span.text})`: only a rate, a dendrite or a let has a tick before",
            argument.span,
        )
    return ir.Read(value=read.value, axis=read.axis, when=ir.When.PREV, span=call.span)


def kind(equations: Equations, value: str) -> ir.Kind | None:
    if value in equations.tables.populations:
        return equations.tables.populations[value].kind
    owner, _, member = value.rpartition(".")
    population = equations.tables.populations.get(owner)
    return population.members.get(member) if population else None


def random_draw(equations: Equations, call: ast.Call, arguments: list[ast.Expr]) -> ir.Expr:
    arity(equations, call, arguments, 0)
    equations.needs_run(f"{call.function}()", call.span)
    equations.tables.draws += 1
    which: Literal["rand", "randn"] = "rand" if call.function == "rand" else "randn"
    return ir.Random(which=which, occurrence=equations.tables.draws - 1, span=call.span)


def over_population(equations: Equations, call: ast.Call, arguments: list[ast.Expr], scope: Scope) -> ir.Expr:
    name = call.function
    if not (isinstance(equations.owner, OfNeuron) and equations.owner.what in ("rate", "let")):
        equations.fail("C030", f"`{name}` works on a whole population, in `rate` and `let` only", call.span)
    arity(equations, call, arguments, 2 if name == "kwta" else 1)
    argument = equations.resolve(arguments[0], scope)
    if name == "kwta":
        k = type(equations)(equations.tables, OfNumber("the k of kwta")).resolve(arguments[1], scope)
        return ir.Over(function="kwta", argument=argument, k=k, span=call.span)
    return ir.Over(function="softmax" if name == "softmax" else "onehot_max", argument=argument, span=call.span)


def reduction(equations: Equations, call: ast.Call, arguments: list[ast.Expr], scope: Scope) -> ir.Expr:
    name = call.function
    if not isinstance(equations.owner, OfScalar):
        equations.fail(
            "C030",
            f"`{name}` over a population gives one number: it stands in modulators, losses, metrics, records",
            call.span,
            hint=f"declare `modulator m = {call.span.text}`, and read `m`",
        )
    if equations.reducing is not None:
        equations.fail("C030", f"`{name}` within another reduction", call.span)
    arity(equations, call, arguments, 2 if name in PAIR_REDUCTIONS else 1)
    equations.reducing = []
    resolved = tuple(equations.resolve(a, scope) for a in arguments)
    seen, equations.reducing = equations.reducing, None
    size = common_size(equations, call, seen)
    return ir.Reduce(function=name, arguments=resolved, size=size, span=call.span)  # type: ignore[arg-type]


def common_size(equations: Equations, call: ast.Call, seen: list[tuple[str, int, Span]]) -> int:
    if not seen:
        equations.fail("C030", f"`{call.span.text}` reduces no population", call.span)
    wide = [(value, size, span) for value, size, span in seen if size != 1]
    for value, size, span in wide[1:]:
        if size != wide[0][1]:
            equations.fail(
                "C020",
                f"`{value}` has {size} units, `{wide[0][0]}` has {wide[0][1]}",
                span,
                labels=(Label(wide[0][2], f"{wide[0][1]} units"),),
            )
    return wide[0][1] if wide else 1


def expand_rule(equations: Equations, call: ast.Call, scope: Scope) -> ir.Expr:
    found = scope.file.rules.get(call.function)
    if found is None:
        hint = did_you_mean(call.function, [*FUNCTIONS, *scope.file.rules])
        equations.fail("C010", f"unknown function or rule `{call.function}`", call.function_span, hint=hint)
    rule, file = found
    equations.tables.symbols.used.add(f"rule {call.function}")
    if len(equations.expanding) > MAX_RULE_DEPTH:
        equations.fail("C016", f"the rule `{call.function}` is expanded too deeply", call.function_span)
    callee = ast.Name(name=call.function, span=call.function_span)
    names = [p.name for p in rule.parameters]
    arguments = bind_arguments(callee, names, call.arguments, rule.name.span, equations.tables.symbols)
    bindings: dict[str, Binding] = {k: Thunk(v, scope) for k, v in arguments.items()}
    equations.expanding.append((call.function, call.span))
    try:
        return equations.resolve(rule.body, Scope(file=file, bindings=bindings, closed=True))
    finally:
        equations.expanding.pop()
