"""Calls in equations: built-in functions, reductions, `prev`, phases, random numbers, and rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from circuitdsl.diagnostics import Diagnostic, Label, Span, did_you_mean
from circuitdsl.graph import ir
from circuitdsl.graph.files import FileScope, homes_of
from circuitdsl.graph.findings import arguments as count_of
from circuitdsl.graph.findings import further, listed, units
from circuitdsl.graph.foreign import FUNCTIONS_ELSEWHERE
from circuitdsl.graph.functions import CALLED, FUNCTIONS
from circuitdsl.graph.populations import POPULATION_FUNCTIONS, REDUCTIONS
from circuitdsl.graph.scope import Binding, Scope, Thunk
from circuitdsl.graph.structure import bind_arguments
from circuitdsl.graph.tables import OfNeuron, OfNumber, OfScalar, OfSynapse
from circuitdsl.noise import occurrence
from circuitdsl.syntax import ast

if TYPE_CHECKING:
    from circuitdsl.graph.expressions import Equations

#: How the functions are called that are neither of numbers nor of populations.
OTHERS = {
    "prev": "prev(h)", "first": "first(P)", "last": "last(P)", "rand": "rand()", "randn": "randn()",
    "cos": "cos(V, W)", "transpose": "transpose(W)",
}  # fmt: skip
#: How every function is called, by name.
CALLS = (
    OTHERS
    | {name: call for name, (call, _) in POPULATION_FUNCTIONS.items()}
    | {name: reduction.call for name, reduction in REDUCTIONS.items()}
    | {name: FUNCTIONS[name].call for name in CALLED}
)
#: Far deeper than anyone writes rules within rules; cycles are found when files are loaded.
MAX_RULE_DEPTH = 60
FURTHER_FUNCTIONS = frozenset({"spike", "bernoulli", "length", "sum_in", "sum_out"})


def resolve_call(equations: Equations, call: ast.Call, scope: Scope) -> ir.Expr:
    name = call.function
    if name in FURTHER_FUNCTIONS:
        equations.tables.symbols.fail(further(f"{name}()", call.function_span))
    if name not in CALLS:
        return expand_rule(equations, call, scope)
    if any(a.name is not None for a in call.arguments):
        named = next(a for a in call.arguments if a.name is not None)
        hint = f"`{CALLS[name]}`: leave `{named.name} =` out"
        equations.fail("C017", f"`{name}` takes its arguments by position", named.span, hint=hint)
    arguments = [a.value for a in call.arguments]
    if name in ("prev", "first", "last"):
        return at_time(equations, call, arguments, scope)
    if name in ("rand", "randn"):
        return random_draw(equations, call, arguments)
    if name in POPULATION_FUNCTIONS:
        return over_population(equations, call, arguments, scope)
    if name in REDUCTIONS and (name not in CALLED or len(arguments) == REDUCTIONS[name].arity):
        return reduction(equations, call, arguments, scope)
    if name in OTHERS and (name not in CALLED or len(arguments) != FUNCTIONS[name].arity):
        equations.fail(
            "C030", f"`{name}` is about whole weight matrices, in `record` and `expect attractor` only", call.span,
            label="not known at any synapse or neuron", hint=_watching(call),
        )  # fmt: skip
    return elementwise(equations, call, arguments, scope)


def _watching(call: ast.Call) -> str:
    if call.function == "transpose" and len(call.arguments) == 1:  # by itself the same numbers, otherwise arranged
        return f"watch the weights as they are: `record {call.arguments[0].span.shown}`"
    return f"watch it: `record {call.span.shown}`"


def arity(equations: Equations, call: ast.Call, arguments: Sequence[ast.Expr], wanted: int) -> None:
    if len(arguments) == wanted:
        return
    name = call.function
    hint = f"write `{CALLS[name]}`"
    if name in ("rand", "randn"):
        hint = f"write `{name}()`: every unit draws a number of its own"
    title = f"`{name}` takes {count_of(wanted)}, not {len(arguments)}"
    equations.fail("C017", title, call.span, label=f"{count_of(len(arguments))} here", hint=hint)


def elementwise(equations: Equations, call: ast.Call, arguments: list[ast.Expr], scope: Scope) -> ir.Expr:
    name = call.function
    if name in ("min", "max") and len(arguments) > 2:
        resolved = [equations.resolve(a, scope) for a in arguments]
        folded = resolved[0]
        for each in resolved[1:]:
            folded = ir.Apply(function=name, arguments=(folded, each), span=call.span)
        return folded
    arity(equations, call, arguments, FUNCTIONS[name].arity)
    return ir.Apply(function=name, arguments=equations.resolve_all(arguments, scope), span=call.span)


def at_time(equations: Equations, call: ast.Call, arguments: list[ast.Expr], scope: Scope) -> ir.Expr:
    arity(equations, call, arguments, 1)
    argument = arguments[0]
    if call.function != "prev":
        phase = argument.name if isinstance(argument, ast.Name) else None
        if phase not in equations.tables.phases:
            equations.tables.symbols.fail(unknown_phase(argument.span, list(equations.tables.phases)))
        return equations.flag("first" if call.function == "first" else "last", phase, call.span)
    read = equations.resolve(argument, scope)
    if not isinstance(read, ir.Read) or read.when is not ir.When.NOW or not has_past(equations, read.value):
        equations.fail(
            "C030",
            f"`{call.span.shown}`: `prev` takes a rate, an input, a dendrite or a let",
            argument.span,
            label=what_is(equations, read),
            hint=past_hint(argument.span.shown, equations, read),
        )
    return ir.Read(value=read.value, axis=read.axis, when=ir.When.PREV, span=call.span)


def has_past(equations: Equations, value: str) -> bool:
    return kind(equations, value) in ir.WITH_PAST


def what_is(equations: Equations, expr: ir.Expr) -> str:
    """What an expression is instead of something with a tick before."""
    match expr:
        case ir.Read(when=ir.When.PREV):
            return "this is of the tick before already"
        case ir.Read(value=value) if value in equations.tables.modulators:
            return "this is a modulator"
        case ir.Read(value=value):
            found = kind(equations, value)
            return (
                f"this is {'an' if found is ir.Kind.INPUT else 'a'} {found.value}" if found else "this is none of these"
            )
        case _:
            return "this is none of these"


def past_hint(shown: str, equations: Equations, expr: ir.Expr) -> str:
    match expr:
        case ir.Read(when=ir.When.PREV):
            return f"name it first: `let before = {shown}` in the neuron, then `prev(before)`"
        case ir.Read(value=value) if kind(equations, value) is ir.Kind.STATE:
            return f"a state changes at the end of a tick: `{shown}` is what the tick before has left"
        case _:
            return f"give it a name with `let a = {shown}` in a neuron, then `prev(a)`"


def unknown_phase(span: Span, phases: Sequence[str]) -> Diagnostic:
    shown = span.shown
    otherwise = f"there is {listed(phases)}" if phases else f"declare it: `schedule {{ phase {shown}: 20 }}`"
    return Diagnostic(
        code="C010",
        title=f"`{shown}` is not a phase of the schedule",
        span=span,
        label="no such phase",
        hint=did_you_mean(shown, phases) or otherwise,
    )


def kind(equations: Equations, value: str) -> ir.Kind | None:
    if value in equations.tables.populations:
        return equations.tables.populations[value].kind
    owner, _, member = value.rpartition(".")
    population = equations.tables.populations.get(owner)
    return population.members.get(member) if population else None


def random_draw(equations: Equations, call: ast.Call, arguments: list[ast.Expr]) -> ir.Expr:
    arity(equations, call, arguments, 0)
    equations.needs_run(f"{call.function}()", call.span)
    which: Literal["rand", "randn"] = "rand" if call.function == "rand" else "randn"
    equations.draws += 1
    return ir.Random(which=which, occurrence=occurrence(equations.name, equations.draws - 1), span=call.span)


def over_population(equations: Equations, call: ast.Call, arguments: list[ast.Expr], scope: Scope) -> ir.Expr:
    name = call.function
    if not (isinstance(equations.owner, OfNeuron) and equations.owner.what in ("rate", "let")):
        equations.fail(
            "C030",
            f"`{name}` works on a whole population, in `rate` and `let` only",
            call.span,
            label="an equation of single units" if isinstance(equations.owner, OfSynapse) else "",
            hint=f"compute it in the neuron, `let a = {name}(…)`, and read `post.a` here"
            if isinstance(equations.owner, OfSynapse)
            else f"compute it in the neuron, `let a = {name}(…)`, and read `a`",
        )
    arity(equations, call, arguments, 2 if name == "kwta" else 1)
    argument = equations.resolve(arguments[0], scope)
    if name == "kwta":
        k = type(equations)(equations.tables, OfNumber("the k of kwta")).resolve(arguments[1], scope)
        return ir.Over(function="kwta", argument=argument, k=k, span=call.span)
    return ir.Over(function="softmax" if name == "softmax" else "onehot_max", argument=argument, span=call.span)


def reduction(equations: Equations, call: ast.Call, arguments: list[ast.Expr], scope: Scope) -> ir.Expr:
    name = call.function
    if isinstance(equations.owner, OfNumber):
        equations.needs_run(call.span.shown, call.span)
    if not isinstance(equations.owner, OfScalar):
        from circuitdsl.graph.reducing import refuse_reduction

        refuse_reduction(equations, call, scope)
    if equations.reducing is not None:
        from circuitdsl.graph.reducing import free_name

        m = free_name(equations, scope)
        equations.fail(
            "C030", f"`{name}` stands within another reduction", call.span,
            hint=f"declare `modulator {m} = {call.span.shown}`, and read `{m}`",
        )  # fmt: skip
    arity(equations, call, arguments, REDUCTIONS[name].arity)
    seen: list[tuple[str, int, Span]] = []
    equations.reducing = seen
    try:
        resolved = equations.resolve_all(arguments, scope)
    finally:
        equations.reducing = None
    size = common_size(equations, call, seen)
    return ir.Reduce(function=name, arguments=resolved, size=size, span=call.span)


def common_size(equations: Equations, call: ast.Call, seen: list[tuple[str, int, Span]]) -> int:
    if not seen:
        inner = call.arguments[0].span.shown if call.arguments else ""
        equations.fail(
            "C030", f"`{call.span.shown}` reads no population that it could reduce", call.span,
            hint=f"a number stands for itself: `{inner}`",
        )  # fmt: skip
    wide = [(value, size, span) for value, size, span in seen if size != 1]
    for value, size, span in wide[1:]:
        if size != wide[0][1]:
            equations.fail(
                "C020",
                f"`{value}` has {units(size)}, `{wide[0][0]}` has {wide[0][1]}",
                span,
                label=units(size),
                labels=(Label(wide[0][2], units(wide[0][1])),),
                notes=(f"`{call.function}` takes them unit by unit",),
            )
    return wide[0][1] if wide else 1


def expand_rule(equations: Equations, call: ast.Call, scope: Scope) -> ir.Expr:
    found = scope.file.rules.get(call.function)
    if found is None:
        equations.tables.symbols.fail(unknown_function(call, scope.file))
    rule, file = found
    equations.tables.symbols.used.add(f"rule {call.function}")
    if len(equations.expanding) > MAX_RULE_DEPTH:
        equations.too_large(f"nests more than {MAX_RULE_DEPTH} rules deep")
    callee = ast.Name(name=call.function, span=call.function_span)
    names = [p.name for p in rule.parameters]
    arguments = bind_arguments(callee, names, call.arguments, rule.name.span, equations.tables.symbols)
    bindings: dict[str, Binding] = {k: Thunk(v, scope) for k, v in arguments.items()}
    equations.expanding.append((call.function, call.span))
    try:
        return equations.resolve(rule.body, Scope(file=file, bindings=bindings, closed=True))
    finally:
        equations.expanding.pop()


def unknown_function(call: ast.Call, file: FileScope) -> Diagnostic:
    """C010: a call of something that is neither a function nor a rule that the file sees."""
    name = call.function
    homes = homes_of("rule", name, file)
    if name in file.motifs:
        hint: str | None = f"`{name}` is a motif: `use {name} as L(…)`"
    elif homes:
        hint = f'it is a rule: `import "{homes[0]}"`'
    else:
        # `sinh` is not meant to be `sin`: short names have to be nearer
        hint = did_you_mean(name, [*CALLS, *file.rules], likeness=0.6 if len(name) > 4 else 0.9)
        hint = FUNCTIONS_ELSEWHERE.get(name, FUNCTIONS_ELSEWHERE.get(name.lower(), hint))
    spoken = sorted(CALLS.keys() - {"transpose"})
    rules = f"; rules seen from here: {listed(file.rules)}" if file.rules else ""
    return Diagnostic(
        code="C010",
        title=f"unknown function or rule `{name}`",
        span=call.function_span,
        label="no function or rule of this name",
        notes=() if hint else (f"functions: {' '.join(spoken)}{rules}",),
        hint=hint,
    )
