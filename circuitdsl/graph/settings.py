"""What a synapse, a task or a record is set to: initial values, masks, words, expectations.

These are not equations: `init = normal(0, 1) * 0.5` is arithmetic on distributions, `connect = sparse(0.1)
& no_self` combines masks, `sign = excitatory` and `update = tick` are words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NoReturn

from circuitdsl.diagnostics import Diagnostic, Label, Span, did_you_mean
from circuitdsl.frozen import mutable
from circuitdsl.graph import ir
from circuitdsl.graph.expressions import Equations
from circuitdsl.graph.findings import BUILTIN_NAMES, alternatives, further, nearest, units, wrong_count
from circuitdsl.graph.foreign import INITS_ELSEWHERE, WORDS_ELSEWHERE
from circuitdsl.graph.formulas import OPERATOR_NAMES
from circuitdsl.graph.functions import CALLED, FUNCTIONS
from circuitdsl.graph.scope import Place, Scope, Thunk
from circuitdsl.graph.tables import OfNumber, OfScalar, SynapseInfo, Tables
from circuitdsl.syntax import ast

INIT_ARITY = {"zeros": 0, "constant": 1, "normal": 2, "uniform": 2, "orthogonal": 0, "identity": 0,
              "transpose": 1, "copy": 1, "file": 1}  # fmt: skip
#: How each initial value is written, for messages.
INIT_FORMS = {
    "zeros": "zeros", "constant": "constant(c)", "normal": "normal(m, s)", "uniform": "uniform(a, b)",
    "orthogonal": "orthogonal()", "identity": "identity()", "transpose": "transpose(W)", "copy": "copy(W)",
    "file": 'file("w.npy")',
}  # fmt: skip
#: What draws at every tick, and what draws initial values.
DRAWN_ONCE = {"randn": "`normal(0, 1)` draws once", "rand": "`uniform(0, 1)` draws once"}
MATRIX_INITS = frozenset({"orthogonal", "identity", "transpose", "copy"})
CONNECT_ARITY = {"dense": 0, "one_to_one": 0, "sparse": 1, "fan_in": 1, "no_self": 0, "file": 1}
VERDICTS = ("exact", "gradient", "aligned", "descent", "ascent", "inconsistent", "none")
SCALES = ("none", "center", "zscore")


def word(expr: ast.Expr, allowed: Sequence[str], what: str, tables: Tables) -> str:
    """One of the words that `what` may be set to."""
    if isinstance(expr, ast.Name) and expr.name in allowed:
        return expr.name
    listed = alternatives(allowed)
    tables.symbols.fail(
        Diagnostic(
            code="C018",
            title=f"`{expr.span.shown}` is not a {what}",
            span=expr.span,
            label=f"expected {listed}",
            hint=_word_meant(expr, allowed),
        )
    )


def _word_meant(expr: ast.Expr, allowed: Sequence[str]) -> str | None:
    elsewhere = WORDS_ELSEWHERE.get(expr.span.shown.strip('"'), "")
    if elsewhere.partition("(")[0] in allowed:
        return f"write `{elsewhere}`"
    return did_you_mean(expr.span.shown.strip('"'), allowed)


def text_of(expr: ast.Expr, what: str, tables: Tables) -> str:
    if isinstance(expr, ast.String):
        return expr.value
    title = f"`{expr.span.shown}` is not the name of a file"
    hint = f'a text in quotes: `{what}("weights.npy")`'
    tables.symbols.fail(Diagnostic(code="C030", title=title, span=expr.span, hint=hint))


# ---------------------------------------------------------------- initial values


@mutable
class Inits:
    """Initial values of one owner: a synapse (`synapse` given, matrices) or units of a population."""

    tables: Tables
    synapse: SynapseInfo | None

    def resolve(self, expr: ast.Expr, scope: Scope) -> ir.Init:
        match expr:
            case ast.Name(name=name) if name in INIT_ARITY and scope.lookup(name) is None:
                return self._named(name, (), expr.span, scope)
            case ast.Call(function=name) if name in INIT_ARITY:
                return self._named(name, expr.arguments, expr.span, scope)
            case ast.String():
                self.tables.symbols.fail(
                    Diagnostic(
                        code="C030",
                        title=f"the text `{expr.span.shown}` is not an initial value",
                        span=expr.span,
                        hint=f"weights from a file: `file({expr.span.shown})`",
                    )
                )
            case ast.Unary():
                return ir.InitApply(function="neg", arguments=(self.resolve(expr.operand, scope),), span=expr.span)
            case ast.Binary() if expr.operator in OPERATOR_NAMES:
                arguments = (self.resolve(expr.left, scope), self.resolve(expr.right, scope))
                return ir.InitApply(function=OPERATOR_NAMES[expr.operator], arguments=arguments, span=expr.span)
            case ast.Call(function=name) if name in CALLED:
                inner = tuple(self.resolve(a.value, scope) for a in expr.arguments)
                if len(inner) != FUNCTIONS[name].arity:
                    self.tables.symbols.fail(wrong_count(name, FUNCTIONS[name].arity, len(inner), expr.span))
                return ir.InitApply(function=name, arguments=inner, span=expr.span)
            case ast.Name(name=name) if isinstance(binding := scope.lookup(name), Thunk):
                return self.resolve(binding.expr, binding.scope)
            case ast.Name() | ast.Call() if self._is_unknown(expr, scope):
                self._unknown(expr)
            case _:
                return as_init(Equations(self.tables, self._numbers()).resolve(expr, scope))

    def _numbers(self) -> OfNumber:
        return OfNumber("an initial value", fans=self.synapse is not None)

    def _is_unknown(self, expr: ast.Name | ast.Call, scope: Scope) -> bool:
        if isinstance(expr, ast.Call):
            return expr.function not in scope.file.rules
        return (
            expr.name not in {*BUILTIN_NAMES, "loss", "rate", "train"}
            and scope.lookup(expr.name) is None
            and scope.prefix + expr.name not in self.tables.symbols.entities
            and scope.prefix + expr.name not in self.tables.symbols.aliases
        )

    def _unknown(self, expr: ast.Name | ast.Call) -> NoReturn:
        name = expr.name if isinstance(expr, ast.Name) else expr.function
        self.tables.symbols.fail(
            Diagnostic(
                code="C010",
                title=f"unknown initial value `{name}`",
                span=expr.span if isinstance(expr, ast.Name) else expr.function_span,
                label="neither an initial value nor a param",
                notes=("initial values: " + " ".join(INIT_FORMS.values()),),
                hint=DRAWN_ONCE.get(name)
                or INITS_ELSEWHERE.get(name.partition("_")[0].lower())
                or did_you_mean(name, [*INIT_ARITY, *self.tables.params]),
            )
        )

    def _named(self, name: str, arguments: Sequence[ast.Argument], span: Span, scope: Scope) -> ir.Init:
        if len(arguments) != INIT_ARITY[name]:
            self.tables.symbols.fail(wrong_count(name, INIT_ARITY[name], len(arguments), span))
        if name in MATRIX_INITS and self.synapse is None:
            title = f"`{name}` makes a matrix: it is an initial value of weights, not of neurons"
            hint = "a neuron's state starts from a number, `normal(m, s)` or `uniform(a, b)`"
            self.tables.symbols.fail(Diagnostic(code="C030", title=title, span=span, hint=hint))
        if name == "file":
            path = text_of(arguments[0].value, "file", self.tables)
            return ir.InitCall(which="file", path=path, span=span)
        if name in ("transpose", "copy"):
            return self._other(name, arguments[0].value, span, scope)
        equations = Equations(self.tables, self._numbers())
        numbers = tuple(equations.resolve(a.value, scope) for a in arguments)
        return ir.InitCall(which=name, arguments=numbers, span=span)  # type: ignore[arg-type]

    def _other(self, name: str, argument: ast.Expr, span: Span, scope: Scope) -> ir.Init:
        assert self.synapse is not None
        other = synapse_of(argument, scope, self.tables)
        mine = (self.synapse.post.size, self.synapse.pre.size)
        theirs = (other.post.size, other.pre.size)
        made = theirs[::-1] if name == "transpose" else theirs
        turned = "copy" if name == "transpose" else "transpose"
        if made != mine:
            self.tables.symbols.fail(
                Diagnostic(
                    code="C025",
                    title=f"`{self.synapse.path}` is {mine[0]} x {mine[1]}: the {name} of `{other.path}` does not fit",
                    span=span,
                    label=f"{made[0]} x {made[1]}",
                    labels=(
                        Label(self.synapse.span, f"{mine[0]} x {mine[1]}"),
                        Label(other.span, f"{theirs[0]} x {theirs[1]}"),
                    ),
                    notes=("a synapse's weights are as many as postsynaptic x presynaptic units",),
                    hint=f"`{turned}({other.path})` would fit" if made[::-1] == mine else None,
                )
            )
        return ir.InitCall(which=name, other=other.path, span=span)  # type: ignore[arg-type]


def as_init(expr: ir.Expr) -> ir.Init:
    """A number expression as an initial value."""
    match expr:
        case ir.Num() | ir.ParamRef() | ir.Fan():
            return expr
        case ir.Apply():
            arguments = tuple(as_init(a) for a in expr.arguments)
            return ir.InitApply(function=expr.function, arguments=arguments, span=expr.span)
        case _:
            raise AssertionError("number equations hold numbers, params and fans only")


def synapse_of(expr: ast.Expr, scope: Scope, tables: Tables) -> SynapseInfo:
    """The synapse that a reference names."""
    if isinstance(expr, ast.Name | ast.Index | ast.Member):
        found = tables.symbols.walk(expr, scope, tables.numbers.integer)
        if isinstance(found, Place):
            if found.entity is None:
                tables.symbols.unknown(found, tables.synapses)
            if found.path in tables.synapses and not found.rest:
                tables.symbols.used.add(found.path)
                return tables.synapses[found.path]
    title = f"`{expr.span.shown}` is not a synapse"
    hint = _transposed(expr) or nearest(expr.span.shown, list(tables.synapses), "the synapses are")
    tables.symbols.fail(
        Diagnostic(code="C030", title=title, span=expr.span, label="a synapse is needed here", hint=hint)
    )


def _transposed(expr: ast.Expr) -> str | None:
    """`W^T`, `W.T`, `T(W)`, as other languages have it."""
    match expr:
        case ast.Binary(operator="^", left=of, right=ast.Name(name="T" | "t")):
            pass
        case ast.Member(base=of, name="T" | "t"):
            pass
        case ast.Call(function="T" | "t" | "tr" | "trans" | "transposed", arguments=(only,)):
            return f"write `transpose({only.span.shown})`"
        case _:
            return None
    return f"write `transpose({of.span.shown})`"


# ---------------------------------------------------------------- masks


def connections(expr: ast.Expr, scope: Scope, tables: Tables, synapse: SynapseInfo) -> tuple[ir.Connect, ...]:
    if isinstance(expr, ast.Binary) and expr.operator == "&":
        left = connections(expr.left, scope, tables, synapse)
        return left + connections(expr.right, scope, tables, synapse)
    arguments: Sequence[ast.Argument] = ()
    match expr:
        case ast.Name(name=name):
            pass
        case ast.Call(function=name):
            arguments = expr.arguments
        case _:
            name = ""
    if name not in CONNECT_ARITY:
        if name == "local":
            tables.symbols.fail(further("connect = local(…)", expr.span))
        word(expr, tuple(CONNECT_ARITY), "connection", tables)
    if len(arguments) != CONNECT_ARITY[name]:
        tables.symbols.fail(wrong_count(name, CONNECT_ARITY[name], len(arguments), expr.span))
    if name in ("one_to_one", "no_self") and synapse.pre.size != synapse.post.size:
        _unequal(name, expr.span, tables, synapse)
    if name == "file":
        return (ir.Connect(which="file", path=text_of(arguments[0].value, "file", tables), span=expr.span),)
    argument = None
    if arguments:
        argument = Equations(tables, OfNumber("a connection")).resolve(arguments[0].value, scope)
    return (ir.Connect(which=name, argument=argument, span=expr.span),)  # type: ignore[arg-type]


def _unequal(name: str, span: Span, tables: Tables, synapse: SynapseInfo) -> None:
    pre, post = synapse.pre, synapse.post
    tables.symbols.fail(
        Diagnostic(
            code="C020",
            title=f"`{synapse.path}` is `{name}`, but `{pre.path}` has {units(pre.size)}, `{post.path}` {post.size}",
            span=span,
            label="needs equal sizes",
            labels=(Label(pre.span, units(pre.size)), Label(post.span, units(post.size))),
        )
    )


# ---------------------------------------------------------------- records and expectations


@mutable
class Judgements:
    """Resolves records and expectations of the whole circuit."""

    tables: Tables

    def records(self, item: ast.Record, scope: Scope) -> list[ir.Record]:
        every = None
        if item.every is not None:
            every = Equations(self.tables, OfNumber("`every`")).resolve(item.every, scope)
        return [self._record(value, scope, every) for value in item.values]

    def _record(self, expr: ast.Expr, scope: Scope, every: ir.Expr | None) -> ir.Record:
        if isinstance(expr, ast.Name | ast.Index | ast.Member):
            found = self.tables.symbols.walk(expr, scope, self.tables.numbers.integer)
            if isinstance(found, Place) and found.entity is not None:
                name = found.path + "".join(f".{r.key}" for r in found.rest)
                if found.path in self.tables.synapses and not found.rest:
                    self.tables.symbols.used.add(found.path)
                    matrix = ir.MatrixRef(synapse=found.path, span=expr.span)
                    return ir.Record(what=matrix, text=found.path, every=every, span=expr.span)
                if found.path in self.tables.populations:
                    population = self.tables.populations[found.path]
                    self.tables.symbols.used.add(name)
                    if not found.rest or found.rest[0].key in population.members:
                        return ir.Record(what=name, text=name, every=every, span=expr.span)
        matrix_call = self._matrix_call(expr, scope)
        if matrix_call is not None:
            return ir.Record(what=matrix_call, text=_text(matrix_call), every=every, span=expr.span)
        text = _flat(expr.span)
        scalar = Equations(self.tables, OfScalar("record"), f"record {scope.prefix}{text}").resolve(expr, scope)
        return ir.Record(what=scalar, text=text, every=every, span=expr.span)

    def _matrix_call(self, expr: ast.Expr, scope: Scope) -> ir.MatrixCall | None:
        """norm(W), cos(V, transpose(W)): a function whose arguments are all synapses."""
        if not isinstance(expr, ast.Call) or expr.function not in ("norm", "sum", "mean", "max", "cos"):
            return None
        arguments = [a.value for a in expr.arguments]
        of_one = len(arguments) == 1 and self._names_synapse(arguments[0], scope)
        if not of_one and (expr.function != "cos" or len(arguments) == 1):
            return None
        if len(arguments) != (2 if expr.function == "cos" else 1):
            self.tables.symbols.fail(wrong_count("cos", 2, len(arguments), expr.span))
        refs = tuple(self.matrix(a, scope) for a in arguments)
        self._same_shape(refs, expr.span)
        return ir.MatrixCall(function=expr.function, arguments=refs, span=expr.span)  # type: ignore[arg-type]

    def _names_synapse(self, expr: ast.Expr, scope: Scope) -> bool:
        if isinstance(expr, ast.Call):
            return expr.function == "transpose"
        if not isinstance(expr, ast.Name | ast.Index | ast.Member):
            return False
        found = self.tables.symbols.walk(expr, scope, self.tables.numbers.integer)
        return isinstance(found, Place) and found.path in self.tables.synapses

    def matrix(self, expr: ast.Expr, scope: Scope) -> ir.MatrixRef:
        if isinstance(expr, ast.Call) and expr.function == "transpose" and len(expr.arguments) == 1:
            inner = self.matrix(expr.arguments[0].value, scope)
            return ir.MatrixRef(synapse=inner.synapse, transposed=not inner.transposed, span=expr.span)
        return ir.MatrixRef(synapse=synapse_of(expr, scope, self.tables).path, span=expr.span)

    def _same_shape(self, refs: Sequence[ir.MatrixRef], span: Span) -> None:
        shapes = []
        for ref in refs:
            synapse = self.tables.synapses[ref.synapse]
            shape = (synapse.post.size, synapse.pre.size)
            shapes.append(shape[::-1] if ref.transposed else shape)
        for ref, shape in zip(refs, shapes, strict=True):
            if shape != shapes[0]:
                self._unlike(refs[0], shapes[0], ref, shape, span)

    def _unlike(
        self, one: ir.MatrixRef, shape: tuple[int, int], other: ir.MatrixRef, other_shape: tuple[int, int], span: Span
    ) -> NoReturn:
        first, second = f"{shape[0]} x {shape[1]}", f"{other_shape[0]} x {other_shape[1]}"
        turned = other.synapse if other.transposed else f"transpose({other.synapse})"
        labels = {ref.synapse: Label(self.tables.synapses[ref.synapse].span, "") for ref in (one, other)}
        shapes = {n: (self.tables.synapses[n].post.size, self.tables.synapses[n].pre.size) for n in labels}
        self.tables.symbols.fail(
            Diagnostic(
                code="C025",
                title=f"`{_matrix_text(one)}` is {first}, `{_matrix_text(other)}` is {second}",
                span=span,
                label="cannot be compared",
                labels=tuple(Label(lb.span, f"{shapes[n][0]} x {shapes[n][1]}") for n, lb in labels.items()),
                notes=("a synapse's weights are as many as postsynaptic x presynaptic units",),
                hint=f"`{turned}` is {first}" if other_shape[::-1] == shape else None,
            )
        )

    # ------------------------------------------------------------ expect

    def verdict(self, item: ast.ExpectVerdict, scope: Scope) -> ir.ExpectVerdict:
        chosen = word(item.verdict, VERDICTS, "verdict", self.tables)
        names = tuple(synapse_of(s, scope, self.tables).path for s in item.synapses)
        return ir.ExpectVerdict(synapses=names, verdict=chosen, text=f"{', '.join(names)}: {chosen}", span=item.span)

    def attractor(self, item: ast.ExpectAttractor, scope: Scope) -> ir.ExpectAttractor:
        left = self.matrix(item.left, scope)
        factor: ir.Expr | None = None
        right_expr = item.right
        numbers = Equations(self.tables, OfNumber("the factor of an attractor"))
        match item.right:
            case ast.Binary(operator="*", left=ast.Call(function="transpose") as matrix, right=number):
                factor, right_expr = numbers.resolve(number, scope), matrix
            case ast.Binary(operator="*", left=number, right=matrix):
                factor, right_expr = numbers.resolve(number, scope), matrix
            case ast.Unary(operand=matrix):
                factor, right_expr = ir.Num(value=-1.0, span=item.right.span), matrix
            case _:
                pass
        right = self.matrix(right_expr, scope)
        self._same_shape((left, right), item.span)
        scale = "" if factor is None else f"{item.right.span.text.split('*')[0].strip()} * "
        text = f"attractor {_matrix_text(left)} ~ {scale}{_matrix_text(right)}"
        return ir.ExpectAttractor(left=left, right=right, factor=factor, text=text, span=item.span)

    def metric(self, item: ast.ExpectMetric, scope: Scope) -> ir.ExpectMetric:
        match item.condition:
            case ast.Binary(operator=">=" | "<=" as comparison, left=ast.Name(name="metric"), right=bound):
                pass
            case _:
                self.tables.symbols.fail(
                    Diagnostic(
                        code="C018",
                        title=f"`{item.condition.span.shown}` is not an expectation",
                        span=item.condition.span,
                        notes=(
                            "what can be expected: `W1: gradient`, `attractor V ~ transpose(W)`, `metric >= 0.95` "
                            "(or `<=`), `metric >= 0.99 * backprop`",
                        ),
                        hint=_meant(item.condition),
                    )
                )
        of_backprop, bound_expr = _backprop_factor(bound)
        if bound_expr is not None and re.search(r"\bbackprop\b", bound_expr.span.text):
            self.tables.symbols.fail(
                Diagnostic(
                    code="C018",
                    title=f"`{item.condition.span.shown}` is not an expectation",
                    span=bound.span,
                    label="`backprop` times a number, and nothing else",
                    hint="write a fraction of what the twin reaches: `metric >= 0.99 * backprop`",
                )
            )
        value: ir.Expr = ir.Num(value=1.0, span=bound.span)
        if bound_expr is not None:
            value = Equations(self.tables, OfNumber("the bound of an expectation")).resolve(bound_expr, scope)
        text = f"metric {comparison} {_flat(bound.span)}"
        side: Literal[">=", "<="] = ">=" if comparison == ">=" else "<="
        return ir.ExpectMetric(comparison=side, bound=value, of_backprop=of_backprop, text=text, span=item.span)


def _meant(condition: ast.Expr) -> str | None:
    """The nearest expectation to a condition that is none."""
    if not isinstance(condition, ast.Binary):
        return None
    left, right = condition.left.span.shown, condition.right.span.shown
    match condition:
        case ast.Binary(operator=">" | "<" as sign, left=ast.Name(name="metric")):
            return f"write `metric {sign}= {right}`"
        case ast.Binary(operator=">=" | "<=" | ">" | "<" as sign, right=ast.Name(name="metric")):
            return f"write `metric {'<=' if sign[0] == '>' else '>='} {left}`"
        case ast.Binary(operator="==", right=ast.Name(name=name)) if name in VERDICTS:
            return f"write `expect {left}: {name}`"
        case ast.Binary(operator=">=" | "<=" | ">" | "<" as sign, left=ast.Name() | ast.Call()):
            return f"a task says what is measured, `metric = …`; then write `expect metric {sign[0]}= {right}`"
        case _:
            return None


def _backprop_factor(bound: ast.Expr) -> tuple[bool, ast.Expr | None]:
    """(whether the bound is relative to the twin, its factor: None for 1)."""
    match bound:
        case ast.Name(name="backprop"):
            return True, None
        case ast.Binary(operator="*", left=factor, right=ast.Name(name="backprop")):
            return True, factor
        case ast.Binary(operator="*", left=ast.Name(name="backprop"), right=factor):
            return True, factor
        case _:
            return False, bound


def _matrix_text(ref: ir.MatrixRef) -> str:
    return f"transpose({ref.synapse})" if ref.transposed else ref.synapse


def _text(call: ir.MatrixCall) -> str:
    return f"{call.function}({', '.join(_matrix_text(a) for a in call.arguments)})"


def _flat(span: Span) -> str:
    return " ".join(span.text.split())
