"""The shape of the circuit: `for` and `use` unrolled, params that shape it evaluated.

The text is walked once. What comes out is every declaration under its elaborated name with the scope
of its equations; the equations themselves are resolved later, when every name is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from typing import assert_never

from circuitdsl.diagnostics import Diagnostic, Label, Report, Span, did_you_mean
from circuitdsl.frozen import mutable
from circuitdsl.graph.files import FileScope, homes_of
from circuitdsl.graph.findings import (
    BUILTIN_NAMES,
    WORDS_AS_VALUES,
    builtin_declared,
    duplicate,
    first_line,
    further,
    index_out_of_range,
    keyword_declared,
    listed,
)
from circuitdsl.graph.findings import arguments as count_of
from circuitdsl.graph.formulas import OPERATOR_NAMES
from circuitdsl.graph.functions import FUNCTIONS
from circuitdsl.graph.scope import (
    AliasTo,
    Binding,
    Declared,
    Place,
    Rest,
    Scope,
    Stop,
    Symbols,
    Thunk,
    flatten,
)
from circuitdsl.syntax import ast

#: Values from outside (`--set`): a number, or a list for a list param.
Overrides = Mapping[str, float | Sequence[float]]

#: Far above any circuit one would draw; stops `for i in 1..1e9` with a message.
MAX_DECLARATIONS = 50_000
#: Turns of loops and items in them, in all: loops within loops, and motifs that use motifs twice, multiply.
MAX_ITEMS = 200_000

Judged = (
    ast.Loss | ast.ExpectVerdict | ast.ExpectAttractor | ast.ExpectMetric | ast.Record | ast.Schedule
    | ast.Task | ast.Pair
)  # fmt: skip


#: The label at the `use` that a finding inside a motif comes from.
IN_MOTIF = "in the motif used here"


@mutable
class Structure:
    """The unrolled circuit: its names, and the items that are no entities, with their scopes."""

    circuit: ast.Circuit
    top: Scope
    symbols: Symbols
    items: list[tuple[Judged, Scope]]
    numbers: StructuralNumbers
    arguments: list[tuple[ast.Expr, Scope]]  # of every `use`


def elaborate(circuit: ast.Circuit, file: FileScope, overrides: Overrides, report: Report) -> Structure:
    symbols = Symbols(report)
    numbers = StructuralNumbers(symbols, overrides)
    top = Scope(file=file)
    walker = _Walker(symbols, numbers, report)
    symbols.entities["bias"] = bias_population(circuit, top)
    walker.items(circuit.items, top)
    return Structure(circuit, top, symbols, walker.found, numbers, walker.arguments)


def bias_population(circuit: ast.Circuit, scope: Scope) -> Declared:
    """`bias`, as if every circuit declared it: one unit whose rate is 1."""
    span = circuit.name.span
    one = ast.Number(value=1.0, span=span)
    item = ast.Input(name=ast.Name(name="bias", span=span), size=one, each_tick=False, span=span)
    return Declared("bias", item, scope, span)


# ---------------------------------------------------------------- walking items


@mutable
class _Walker:
    symbols: Symbols
    numbers: StructuralNumbers
    report: Report
    found: list[tuple[Judged, Scope]] = field(default_factory=list)
    motifs: list[str] = field(default_factory=list)
    arguments: list[tuple[ast.Expr, Scope]] = field(default_factory=list)
    walked: int = 0

    def items(self, items: Iterable[ast.Item], scope: Scope) -> None:
        """Params first, so that ranges and indices may use those written below them."""
        for item in items:
            if isinstance(item, ast.Param):
                self._guarded(item, scope)
        for item in items:
            if not isinstance(item, ast.Param):
                self._guarded(item, scope)

    def _guarded(self, item: ast.Item, scope: Scope) -> None:
        with suppress(Stop):
            self._item(item, scope)

    def _count(self, place: Span, what: str) -> None:
        """Stops at once, with all that was found so far, when there is no end of items. Raises CircuitError."""
        self.walked += 1
        if self.walked > MAX_ITEMS:
            self.report.add(
                Diagnostic(
                    code="C026",
                    title=f"{what} brings the circuit beyond {MAX_ITEMS:,} items",
                    span=first_line(place),
                    label="the last one that is counted",
                    notes=("loops within loops multiply, and so do motifs that use others several times",),
                    hint="make the ranges shorter: a loop makes one population per turn; more units go into its size",
                )
            )
            self.report.stop_if_failed()

    def _item(self, item: ast.Item, scope: Scope) -> None:
        self._count(item.span, f"`{first_line(item.span).shown}`")
        match item:
            case ast.Param() | ast.Target() | ast.Neuron() | ast.Synapse() | ast.Modulator():
                self._declare(item, scope)
            case ast.Input():
                if item.each_tick:
                    self.symbols.fail(further("input … each tick", item.span))
                self._declare(item, scope)
            case ast.For():
                self._unroll(item, scope)
            case ast.Use():
                self._use(item, scope)
            case ast.Alias():
                self._alias(item, scope)
            case ast.Further():
                self.symbols.fail(further(item.what, item.span))
            case ast.Rule() | ast.Motif() | ast.Import():
                pass  # they belong to the file
            case (
                ast.Loss() | ast.Schedule() | ast.Task() | ast.Pair() | ast.Record()
                | ast.ExpectVerdict() | ast.ExpectAttractor() | ast.ExpectMetric()
            ):  # fmt: skip
                self.found.append((item, scope))
            case _:
                assert_never(item)

    def _declare(
        self,
        item: ast.Param | ast.Input | ast.Target | ast.Neuron | ast.Synapse | ast.Modulator,
        scope: Scope,
    ) -> None:
        path = self._new_path(item.name, scope)
        if len(self.symbols.entities) >= MAX_DECLARATIONS:
            self.symbols.report.add(
                Diagnostic(
                    code="C026",
                    title=f"`{path}` is one declaration too many: more than {MAX_DECLARATIONS:,}",
                    span=item.name.span,
                    hint="a loop makes one population per turn: put the units into one population's size",
                )
            )
            self.symbols.report.stop_if_failed()  # now: there may be any number to come
        self.symbols.entities[path] = Declared(path, item, scope, item.name.span)

    def _new_path(self, name: ast.Ref, scope: Scope) -> str:
        """The elaborated name of something declared as `name`, if it can be declared."""
        base, accessors = flatten(name)
        if base.name in BUILTIN_NAMES:
            self.symbols.fail(builtin_declared(base))
        if base.name in WORDS_AS_VALUES:
            self.symbols.fail(keyword_declared(base))
        path = scope.prefix + base.name
        for accessor in accessors:
            match accessor:
                case ast.Index():
                    path += f"[{self.numbers.integer(accessor.index, scope)}]"
                case ast.Member():
                    path += f".{accessor.name}"
        for table in (self.symbols.entities, self.symbols.aliases):
            if path in table:
                self.symbols.fail(duplicate(path, name.span, table[path].span, "declaration"))
        return path

    def _unroll(self, item: ast.For, scope: Scope) -> None:
        first = self.numbers.integer(item.first, scope)
        last = self.numbers.integer(item.last, scope)
        if last - first >= MAX_DECLARATIONS:
            self.symbols.fail(
                Diagnostic(
                    code="C026",
                    title=f"`for {item.variable.name} in {first}..{last}` has too many turns",
                    span=item.first.span.to(item.last.span),
                    hint="a loop makes one population per turn: put the units into one population's size",
                )
            )
        for value in range(first, last + 1):
            self._count(item.span, f"the turn {value} of `for {item.variable.name}`")
            self.items(item.items, scope.child({item.variable.name: value}, (item.span,)))

    def _alias(self, item: ast.Alias, scope: Scope) -> None:
        path = self._new_path(item.name, scope)
        self.symbols.aliases[path] = AliasTo(item.value, scope, item.name.span)

    def _use(self, item: ast.Use, scope: Scope) -> None:
        motif, file = self._motif(item, scope)
        if item.motif.name in self.motifs:
            cycle = " -> ".join([*self.motifs[self.motifs.index(item.motif.name) :], item.motif.name])
            self.symbols.fail(
                Diagnostic(
                    code="C016",
                    title=f"the motif `{item.motif.name}` uses itself",
                    span=item.motif.span,
                    label=cycle,
                    labels=(Label(motif.name.span, "defined here"),),
                    hint="unroll it with `for`",
                )
            )
        path = self._new_path(item.instance, scope)
        if path in self.symbols.instances:
            first = self.symbols.instances[path]
            self.symbols.fail(duplicate(path, item.instance.span, first, "instance"))
        self.symbols.instances[path] = item.instance.span
        names = [p.name for p in motif.parameters]
        arguments = bind_arguments(item.motif, names, item.arguments, motif.name.span, self.symbols)
        bindings: dict[str, Binding] = {k: Thunk(v, scope) for k, v in arguments.items()}
        inner = Scope(file=file, prefix=f"{path}.", bindings=bindings, via=(*scope.via, item.span))
        self.arguments += [(v, scope) for v in arguments.values()]
        self.motifs.append(item.motif.name)
        with self.report.within([first_line(item.span)], IN_MOTIF):
            self.items(motif.items, inner)
        self.motifs.pop()

    def _motif(self, item: ast.Use, scope: Scope) -> tuple[ast.Motif, FileScope]:
        if item.motif.name not in scope.file.motifs:
            self.symbols.fail(_unknown_motif(item.motif, scope.file))
        return scope.file.motifs[item.motif.name]


def _unknown_motif(name: ast.Name, file: FileScope) -> Diagnostic:
    homes = homes_of("motif", name.name, file)
    if name.name in file.rules:
        hint: str | None = f"it is a rule: it stands in equations, `dw = {name.name}(…)`"
    elif homes:
        hint = f'`import "{homes[0]}"`'
    else:
        hint = did_you_mean(name.name, file.motifs)
    return Diagnostic(
        code="C010",
        title=f"unknown motif `{name.name}`",
        span=name.span,
        label="no motif of this name",
        notes=("a file sees its own motifs and those of the files it imports directly",),
        hint=hint or "define it, or import the file that does",
    )


def bind_arguments(
    callee: ast.Name, names: Sequence[str], arguments: Sequence[ast.Argument], defined: Span, symbols: Symbols
) -> dict[str, ast.Expr]:
    """Arguments of a rule or motif by parameter name; all must be there, each once."""
    bound: dict[str, ast.Expr] = {}
    where = Label(defined, f"defined here with ({', '.join(names)})")

    def wrong(title: str, span: Span, label: str = "", hint: str | None = None) -> None:
        symbols.fail(Diagnostic(code="C017", title=title, span=span, label=label, labels=(where,), hint=hint))

    positional = [a for a in arguments if a.name is None]
    if len(positional) > len(names):
        title = f"`{callee.name}` takes {count_of(len(names))}, not {len(positional)}"
        wrong(title, positional[len(names)].span, "one too many")
    for position, argument in enumerate(arguments):
        if argument.name is None and position >= len(positional):
            free = next((n for n in names if n not in bound), names[-1] if names else "a")
            title = f"`{argument.span.shown}` stands without a name after a named argument of `{callee.name}`"
            wrong(title, argument.span, "which one is it?", f"write `{free} = {argument.span.shown}`")
        name = argument.name if argument.name is not None else names[position]
        if name not in names:
            wrong(
                f"`{callee.name}` has no argument `{name}`", argument.span, "no argument of this name",
                did_you_mean(name, names) or (f"it takes {listed(names)}" if names else "it takes none"),
            )  # fmt: skip
        if name in bound:
            wrong(
                f"argument `{name}` of `{callee.name}` is given twice", argument.span, f"`{name}` has a value already"
            )
        bound[name] = argument.value
    missing = [n for n in names if n not in bound]
    if missing:
        title = f"`{callee.name}` is missing its argument{'s' * (len(missing) > 1)} {listed(missing)}"
        wrong(title, callee.span, "", "add " + listed(f"{n} = …" for n in missing))
    return bound


# ---------------------------------------------------------------- numbers that shape the graph


@mutable
class StructuralNumbers:
    """Evaluates sizes, ranges and indices. A param that is read on the way becomes structural."""

    symbols: Symbols
    overrides: Overrides
    evaluating: list[str] = field(default_factory=list)
    values: dict[str, float | list[float]] = field(default_factory=dict)  # of params that have been evaluated
    given: dict[Thunk, float] = field(default_factory=dict)  # of arguments that have been evaluated

    def integer(self, expr: ast.Expr, scope: Scope) -> int:
        value = self.number(expr, scope)
        if not math.isfinite(value) or value != int(value):
            self.symbols.fail(
                Diagnostic(
                    code="C021",
                    title=f"`{expr.span.shown}` is {value:g}, not a whole number",
                    span=expr.span,
                    label="sizes, ranges and indices are whole numbers",
                )
            )
        return int(value)

    def number(self, expr: ast.Expr, scope: Scope) -> float:
        match expr:
            case ast.Number():
                return expr.value
            case ast.Name() | ast.Index() | ast.Member():
                return self._reference(expr, scope)
            case ast.Unary():
                return -self.number(expr.operand, scope)
            case ast.Binary() | ast.Call():
                return self._operation(expr, scope)
            case ast.String() | ast.ListOf():
                return self._not_a_number(expr)
            case _:
                assert_never(expr)

    def _not_a_number(self, expr: ast.Expr) -> float:
        self.symbols.fail(
            Diagnostic(
                code="C024",
                title=f"`{expr.span.shown}` is not a number known before the run",
                span=expr.span,
                label="needed to build the circuit",
                notes=("sizes, ranges and indices are computed from numbers, params and loop variables",),
                hint="name the number with a param, `param n = 10`, and use it in both places",
            )
        )

    def _operation(self, expr: ast.Binary | ast.Call, scope: Scope) -> float:
        if isinstance(expr, ast.Binary):
            name = OPERATOR_NAMES.get(expr.operator, "")
            operands: list[ast.Expr] = [expr.left, expr.right]
        else:
            name = expr.function
            operands = [a.value for a in expr.arguments]
        if name not in FUNCTIONS or len(operands) != FUNCTIONS[name].arity:
            return self._not_a_number(expr)
        return FUNCTIONS[name].number(*(self.number(o, scope) for o in operands))

    def _reference(self, expr: ast.Ref, scope: Scope) -> float:
        binding = scope.lookup(expr.name) if isinstance(expr, ast.Name) else None
        if isinstance(binding, Thunk) and isinstance(binding.expr, ast.Name | ast.Index | ast.Member):
            return self._reference(binding.expr, binding.scope)
        found = self.symbols.walk(expr, scope, self.integer)
        match found:
            case int():
                return found
            case Thunk():
                if found not in self.given:  # it may be read twice by an argument that is itself read twice, and so on
                    self.given[found] = self.number(found.expr, found.scope)
                return self.given[found]
            case Place():
                return self._param(found, expr, scope)
            case _:
                assert_never(found)

    def _param(self, place: Place, expr: ast.Ref, scope: Scope) -> float:
        if place.entity is None:
            self.symbols.unknown(place)
        if not isinstance(place.entity, Declared) or not isinstance(place.entity.item, ast.Param):
            return self._not_a_number(expr)
        if place.entity.item.per is not None:  # a coefficient: an array
            return self._not_a_number(expr)
        value = self.param_value(place.entity)
        if isinstance(value, list):
            return self._element(value, place, expr)
        if place.rest:
            title = f"`{expr.span.shown}`: `{place.path}` is a number, it has no elements"
            hint = f"write `{place.path}`, or make it a list: `param {place.path} = [{value:g}, …]`"
            self.symbols.fail(Diagnostic(code="C030", title=title, span=expr.span, hint=hint))
        return value

    def _element(self, values: list[float], place: Place, expr: ast.Ref) -> float:
        match place.rest:
            case (Rest(key=int() as key),) if 0 <= key < len(values):
                return values[key]
            case (Rest(key=int() as key),):
                self.symbols.fail(index_out_of_range(place.path, key, len(values), expr.span))
            case _:
                title = f"`{place.path}` is a list of {len(values)} numbers"
                hint = f"say which: `{place.path}[0]`"
                self.symbols.fail(Diagnostic(code="C030", title=title, span=expr.span, hint=hint))

    def param_value(self, declared: Declared) -> float | list[float]:
        """The value of a param, which thereby becomes structural."""
        assert isinstance(declared.item, ast.Param)
        path = declared.path
        self.symbols.structural.add(path)
        self.symbols.used.add(path)
        if path in self.overrides:
            given = self.overrides[path]
            return float(given) if isinstance(given, int | float) else [float(v) for v in given]
        if path in self.evaluating:
            cycle = " -> ".join([*self.evaluating[self.evaluating.index(path) :], path])
            self.symbols.fail(
                Diagnostic(
                    code="C016",
                    title=f"the param `{path}` depends on itself",
                    span=declared.span,
                    label=cycle,
                    hint="give one of them a number",
                )
            )
        if path in self.values:
            return self.values[path]
        self.evaluating.append(path)
        try:
            self.values[path] = found = self._as_written(declared.item.value, declared)
            return found
        finally:
            self.evaluating.pop()

    def _as_written(self, value: ast.Expr, declared: Declared) -> float | list[float]:
        if isinstance(value, ast.ListOf):
            return [self._list_element(declared.path, i, v, declared.scope) for i, v in enumerate(value.items)]
        return self.number(value, declared.scope)

    def _list_element(self, path: str, index: int, expr: ast.Expr, scope: Scope) -> float:
        """An element of a list param as written, or as `--set sizes[1]=32` has it."""
        given = self.overrides.get(f"{path}[{index}]")
        return float(given) if isinstance(given, int | float) else self.number(expr, scope)
