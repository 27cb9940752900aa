"""Where each name of a text is declared and read: the walk behind symbols.py.

What scope.py does for one elaborated circuit is done here for the text: loops are not unrolled and indices not
evaluated, so that `a[0]` and `a[l]` are one name, and a text that is broken elsewhere has its names all the same.
The body of a motif is walked once for each `use`, that of a rule once for each call, because only there it is known
what `below.d` or `post.apical` mean; and once alone, for the names that are its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from typing import assert_never

from circuitdsl.diagnostics import Span
from circuitdsl.frozen import mutable
from circuitdsl.graph.calls import CALLS
from circuitdsl.graph.files import FileScope, deep_items
from circuitdsl.graph.scope import flatten
from circuitdsl.graph.settings import CONNECT_ARITY, INIT_ARITY
from circuitdsl.graph.written import Body, Declared, Kind, Named, Occurrences, bound, word_of
from circuitdsl.syntax import ast

POPULATIONS = frozenset({Kind.INPUT, Kind.TARGET, Kind.NEURON})

#: No chain of aliases and arguments is followed further, and no rule written out deeper.
_FAR = 60

#: After so many calls of rules the bodies of rules are not walked again: they only repeat themselves.
_MOST_CALLS = 20_000


def occurrences(file: FileScope) -> Occurrences:
    """All names of a file and of what it imports."""
    return _walked(file, _Walk())


def seen_at(file: FileScope, name: str) -> dict[str, Named]:
    """What can stand where `name` stands in the text, by its own name: all that is seen from there, or after a dot
    what has a meaning there."""
    walk = _Walk(wanted=name)
    _walked(file, walk)
    return walk.seen


def _walked(file: FileScope, walk: _Walk) -> Occurrences:
    for each in file.closure():
        walk.definitions(each)
    for each in file.closure():
        for item in each.tree.items:
            if isinstance(item, ast.Circuit):
                walk.circuit(item, each)
    return walk.found


@mutable
class _Walk:
    found: Occurrences = field(default_factory=Occurrences)
    phases: dict[str, Named] = field(default_factory=dict)
    later: list[tuple[ast.Item, Body]] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)  # motifs, then rules, that are being written out
    calls: int = 0
    silent: int = 0
    wanted: str | None = None  # a name at whose place it is asked what could stand there
    seen: dict[str, Named] = field(default_factory=dict)

    # ------------------------------------------------------------ places

    def declare(self, name: ast.Name, kind: Kind, path: str, node: ast.Node, table: dict[str, Named]) -> Named:
        named = table.setdefault(name.name, Named())
        self.found.declared.setdefault(name.span, Declared(kind, path + name.name, node))
        self.found.join(name.span, name.span)
        if named.spans:
            self.found.join(name.span, named.spans[0])
        named.spans.append(name.span)
        named.kinds.add(kind)
        return named

    def use(self, span: Span, meant: Iterable[Named]) -> None:
        if self.silent:
            return
        for named in meant:
            if named.spans:
                self.found.join(span, named.spans[0])

    # ------------------------------------------------------------ files

    def definitions(self, file: FileScope) -> None:
        """The rules and motifs of a file, each by itself."""
        for item in deep_items(file.tree.items):
            match item:
                case ast.Rule():
                    self.declare(item.name, Kind.RULE, "", item, {})
                    self.expression(item.body, Body(file, bindings=self.arguments(item.name, item.parameters)))
                case ast.Motif():
                    self.declare(item.name, Kind.MOTIF, "", item, {})
                    given = self.arguments(item.name, item.parameters)
                    self.body(item.items, Body(file, f"{item.name.name}.", bindings=given))
                    self.visit_later()
                case _:
                    pass

    def arguments(self, owner: ast.Name, parameters: Sequence[ast.Name]) -> dict[str, Named]:
        found: dict[str, Named] = {}
        for parameter in parameters:
            self.declare(parameter, Kind.ARGUMENT, f"{owner.name}.", parameter, found)
        return found

    def circuit(self, item: ast.Circuit, file: FileScope) -> None:
        self.declare(item.name, Kind.CIRCUIT, "", item, {})
        for each in item.items:
            if isinstance(each, ast.Schedule):
                for phase in each.phases:
                    self.declare(phase.name, Kind.PHASE, "", phase, self.phases)
        self.body(item.items, Body(file))
        self.visit_later()

    def body(self, items: Iterable[ast.Item], body: Body) -> None:
        """Declares the items; their equations are walked when all names are known."""
        for item in items:
            self.item(item, body)

    def visit_later(self) -> None:
        for item, body in self.later:
            if isinstance(item, ast.Param) and item.per is not None:
                self.coefficient(item, item.per, body)
        waiting, self.later = self.later, []
        for item, body in waiting:
            self.visit(item, body)

    # ------------------------------------------------------------ declarations

    def item(self, item: ast.Item, body: Body) -> None:
        match item:
            case ast.Param() | ast.Input() | ast.Target() | ast.Neuron() | ast.Synapse() | ast.Modulator():
                base, _ = flatten(item.name)
                kind = Kind(type(item).__name__.lower())
                named = self.declare(base, kind, body.path, item, body.names)
                self.members(item, named, f"{body.path}{base.name}.")
            case ast.For():
                variable: dict[str, Named] = {}
                self.declare(item.variable, Kind.LOOP, "", item, variable)
                self.body(item.items, body.child(variable))
            case ast.Use():
                self.instance(item, body)
            case ast.Alias():
                self.alias(item, body)
            case ast.Task():
                self.declare(item.name, Kind.TASK, "", item, {})
            case ast.Rule() | ast.Motif() | ast.Import() | ast.Further():
                return
            case _:
                pass
        self.later.append((item, body))

    def members(self, item: ast.Item, named: Named, path: str) -> None:
        if not isinstance(item, ast.Neuron | ast.Synapse | ast.Modulator):
            return
        for member in item.members:
            match member:
                case ast.Dendrites():
                    for name in member.names:
                        self.declare(name, Kind.DENDRITE, path, member, named.parts)
                case ast.State():
                    self.declare(member.name, Kind.STATE, path, member, named.parts)
                case ast.Let():
                    self.declare(member.name, Kind.LET, path, member, named.parts)
                case ast.Drive():
                    self.declare(member.name, Kind.DRIVE, path, member, named.parts)
                case _:
                    pass

    def instance(self, item: ast.Use, body: Body) -> None:
        base, _ = flatten(item.instance)
        named = self.declare(base, Kind.INSTANCE, body.path, item, body.names)
        found = body.file.motifs.get(item.motif.name)
        if found is None or item.motif.name in self.inside:
            return
        motif, file = found
        given = self.arguments(motif.name, motif.parameters)
        for parameter, argument in bound(motif.parameters, item.arguments):
            given[parameter.name].stands_for.append((argument.value, body))
        inner = Body(file, f"{motif.name.name}.", bindings=given)
        named.bodies.append(inner)
        self.inside.append(item.motif.name)
        self.body(motif.items, inner)
        self.inside.pop()

    def alias(self, item: ast.Alias, body: Body) -> None:
        """`alias L[0].a = x`: `L` may be a name that is there, `a` one of its parts from here on."""
        base, accessors = flatten(item.name)
        words = [(base.name, word_of(base)), *((a.name, a.name_span) for a in accessors if isinstance(a, ast.Member))]
        table, path = body.names, body.path
        for position, (word, span) in enumerate(words):
            last = position == len(words) - 1
            if last:
                named = self.declare(ast.Name(name=word, span=span), Kind.ALIAS, path, item, table)
                named.stands_for.append((item.value, body))
            else:
                named = table.setdefault(word, Named())
                if named.spans:
                    self.found.join(span, named.spans[0])
                named.spans.append(span)
                table, path = named.parts, f"{path}{word}."

    def coefficient(self, item: ast.Param, per: ast.Ref, body: Body) -> None:
        """A coefficient is a member of its owner under the name it was given."""
        base, _ = flatten(item.name)
        for owner in self.walk(per, body, silent=True):
            owner.parts.setdefault(base.name, body.names[base.name])

    # ------------------------------------------------------------ equations

    def visit(self, item: ast.Item, body: Body) -> None:
        match item:
            case ast.Param():
                self.declared_as(item.name, body)
                self.expressions([item.value, *([item.per] if item.per is not None else [])], body)
            case ast.Input() | ast.Target():
                self.declared_as(item.name, body)
                self.expression(item.size, body)
            case ast.Neuron():
                self.declared_as(item.name, body)
                self.expression(item.size, body)
                self.equations(item, item.members, body)
            case ast.Synapse():
                self.synapse(item, body)
            case ast.Modulator():
                self.declared_as(item.name, body)
                self.expression(item.value, self.within(item, body))
                self.equations(item, item.members, body)
            case ast.Use():
                self.declared_as(item.instance, body)
                self.use_of_motif(item, body)
            case ast.For():
                self.expressions((item.first, item.last), body)
            case ast.Alias():
                self.aliased(item, body)
            case ast.Pair():
                self.expressions((item.left, item.right), body)
            case ast.Loss():
                self.expression(item.value, body)
                if item.phase is not None:
                    self.phase(item.phase)
            case ast.ExpectVerdict():
                self.expressions(item.synapses, body)
            case ast.ExpectAttractor():
                self.expressions((item.left, item.right), body)
            case ast.ExpectMetric():
                self.expression(item.condition, body)
            case ast.Record():
                self.expressions([*item.values, *([item.every] if item.every is not None else [])], body)
            case ast.Schedule():
                self.expressions((p.ticks for p in item.phases), body)
                self.expressions((s.value for s in item.settings if s.name.name != "update"), body)
            case ast.Task():
                self.expressions((s.value for s in item.settings if s.name.name not in ("data", "scale")), body)
                self.words((s.value for s in item.settings if s.name.name == "data"), body)
            case ast.Rule() | ast.Motif() | ast.Import() | ast.Further():
                pass
            case _:
                assert_never(item)

    def declared_as(self, name: ast.Ref, body: Body) -> None:
        """The indices of a name where it is declared."""
        _, accessors = flatten(name)
        self.expressions((a.index for a in accessors if isinstance(a, ast.Index)), body)

    def aliased(self, item: ast.Alias, body: Body) -> None:
        self.declared_as(item.name, body)
        self.expression(item.value, body)
        self.walk(item.name, body)  # `a` of `alias L[0].a` is also the `a` of the motif whose instances L are

    def use_of_motif(self, item: ast.Use, body: Body) -> None:
        self.expressions((a.value for a in item.arguments), body)
        found = body.file.motifs.get(item.motif.name)
        if found is not None:
            self.found.join(item.motif.span, found[0].name.span)
            self.named_arguments(item.arguments, found[0].parameters)

    def within(self, item: ast.Neuron | ast.Synapse | ast.Modulator, body: Body) -> Body:
        base, _ = flatten(item.name)
        named = body.names[base.name]
        return body.child(named.parts, f"{body.path}{base.name}.")

    def equations(
        self,
        item: ast.Neuron | ast.Synapse | ast.Modulator,
        members: Sequence[ast.NeuronMember | ast.SynapseMember | ast.ModulatorMember],
        body: Body,
    ) -> None:
        inner = self.within(item, body)
        for member in members:
            match member:
                case ast.State():
                    self.initial(member.init, inner)
                case ast.Let() | ast.Drive() | ast.Rate():
                    self.expression(member.value, inner)
                case ast.Assign():
                    self.assignment(member, inner)
                case ast.Dendrites() | ast.Further():
                    pass
                case _:
                    assert_never(member)

    def synapse(self, item: ast.Synapse, body: Body) -> None:
        self.declared_as(item.name, body)
        self.expressions((item.source, item.target), body)
        source = item.source
        if isinstance(source, ast.Call) and source.arguments:
            source = source.arguments[0].value
        inner = body.child({})
        inner.ends = {"pre": self.neuron_of(source, body), "post": self.neuron_of(item.target, body)}
        self.equations(item, item.members, inner)

    def neuron_of(self, ref: ast.Expr, body: Body) -> list[Named]:
        """The neuron at an end of a synapse, which may be named by one of its dendrites or lets."""
        if not isinstance(ref, ast.Name | ast.Index | ast.Member):
            return []
        if isinstance(ref, ast.Member):
            owners = [n for n in self.walk(ref.base, body, silent=True) if self.is_population(n)]
            if owners:
                return owners
        return self.walk(ref, body, silent=True)

    def is_population(self, named: Named, far: int = 0) -> bool:
        meant = (n for expr, body in named.stands_for for n in self.walk(expr, body, silent=True, far=far + 1))
        return bool(named.kinds & POPULATIONS) or any(self.is_population(n, far + 1) for n in meant)

    def assignment(self, item: ast.Assign, body: Body) -> None:
        """`init = …`, `dw = …`, `dm = …`: the name of an increment holds that of its state."""
        name = item.name.name
        match name:
            case "init":
                self.initial(item.value, body)
            case "connect":
                self.words((item.value,), body)
            case "sign":
                pass
            case _:
                self.expression(item.value, body)
        state = body.bindings.get(name[1:])
        if name.startswith("d") and state is not None and Kind.STATE in state.kinds:
            span = item.name.span
            self.use(Span(span.source, span.start + 1, span.end), (state,))

    def initial(self, expr: ast.Expr, body: Body) -> None:
        """An initial value: `zeros` is a word where nothing near is called so."""
        match expr:
            case ast.Name() if expr.name in INIT_ARITY and not self.is_bound(expr.name, body):
                pass
            case ast.Call():
                for argument in expr.arguments:
                    self.initial(argument.value, body)
                self.call(expr, body)
            case ast.Unary():
                self.initial(expr.operand, body)
            case ast.Binary():
                self.initial(expr.left, body)
                self.initial(expr.right, body)
            case _:
                self.expression(expr, body)

    def is_bound(self, name: str, body: Body) -> bool:
        """Whether an argument, a loop variable or a member has the name."""
        named = body.lookup(name)
        return named is not None and named is not body.names.get(name)

    def words(self, exprs: Iterable[ast.Expr], body: Body) -> None:
        """`digits`, `sparse(p) & no_self`, `teacher(noise = p)`: words, whose arguments are numbers."""
        for expr in exprs:
            match expr:
                case ast.Call():
                    self.expressions((a.value for a in expr.arguments), body)
                case ast.Binary():
                    self.words((expr.left, expr.right), body)
                case _:
                    pass

    # ------------------------------------------------------------ expressions

    def expressions(self, exprs: Iterable[ast.Expr], body: Body) -> None:
        for expr in exprs:
            self.expression(expr, body)

    def expression(self, expr: ast.Expr, body: Body) -> None:
        match expr:
            case ast.Name() | ast.Index() | ast.Member():
                self.walk(expr, body)
            case ast.Unary():
                self.expression(expr.operand, body)
            case ast.Binary():
                self.expressions((expr.left, expr.right), body)
            case ast.ListOf():
                self.expressions(expr.items, body)
            case ast.Call():
                self.expressions((a.value for a in expr.arguments), body)
                self.call(expr, body)
            case ast.Number() | ast.String():
                pass
            case _:
                assert_never(expr)

    def call(self, call: ast.Call, body: Body) -> None:
        """A call of a rule: its name, the names of its arguments, and its body as it is read here."""
        found = body.file.rules.get(call.function)
        if found is None or call.function in CALLS or call.function in CONNECT_ARITY:
            return
        rule, file = found
        self.found.join(call.function_span, rule.name.span)
        self.named_arguments(call.arguments, rule.parameters)
        if call.function in self.inside or len(self.inside) > _FAR or self.calls > _MOST_CALLS:
            return
        self.calls += 1
        given = self.arguments(rule.name, rule.parameters)
        for parameter, argument in bound(rule.parameters, call.arguments):
            given[parameter.name].stands_for.append((argument.value, body))
        self.inside.append(call.function)
        self.expression(rule.body, Body(file, bindings=given, ends=body.ends))
        self.inside.pop()

    def named_arguments(self, arguments: Sequence[ast.Argument], parameters: Sequence[ast.Name]) -> None:
        spans = {p.name: p.span for p in parameters}
        for argument in arguments:
            if argument.name in spans:
                start = argument.span.start
                self.found.join(Span(argument.span.source, start, start + len(argument.name)), spans[argument.name])

    def phase(self, name: ast.Name) -> None:
        if name.name == self.wanted:
            self.seen = self.phases | self.seen
        if name.name in self.phases:
            self.use(word_of(name), (self.phases[name.name],))

    # ------------------------------------------------------------ references

    def walk(self, ref: ast.Expr, body: Body, *, silent: bool = False, far: int = 0) -> list[Named]:
        """What a reference may stand for; unless `silent`, its words are places of these names."""
        if not isinstance(ref, ast.Name | ast.Index | ast.Member) or far > _FAR:
            return []
        self.silent += silent
        base, accessors = flatten(ref)
        meant = self.base(base, body)
        for accessor in accessors:
            match accessor:
                case ast.Index():
                    if not silent:
                        self.expression(accessor.index, body)
                case ast.Member():
                    if accessor.name == self.wanted:
                        self.seen = {k: v for named in meant for k, v in self.all_parts(named, far)} | self.seen
                    meant = [part for named in meant for part in self.parts(named, accessor.name, far)]
                    self.use(accessor.name_span, meant)
        self.silent -= silent
        return meant

    def base(self, base: ast.Name, body: Body) -> list[Named]:
        if base.name == self.wanted:
            self.seen = self.phases | body.visible() | self.seen
        named = body.lookup(base.name)
        if named is not None:
            self.use(word_of(base), (named,))
            return [named]
        if base.name in body.ends:
            return body.ends[base.name]
        self.phase(base)
        return []

    def parts(self, named: Named, word: str, far: int) -> Iterator[Named]:
        """What `word` after a name stands for."""
        yield from (part for name, part in self.all_parts(named, far) if name == word)

    def all_parts(self, named: Named, far: int) -> Iterator[tuple[str, Named]]:
        """What may stand after a name and a dot: its members, those of the motif, or of what it stands for."""
        yield from named.parts.items()
        for body in named.bodies:
            yield from body.names.items()
        for expr, body in named.stands_for:
            for other in self.walk(expr, body, silent=True, far=far + 1):
                yield from self.all_parts(other, far + 1)
