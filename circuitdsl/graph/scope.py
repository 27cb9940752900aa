"""Who is called what: files and their imports, scopes, and the names of the elaborated circuit.

A **path** is an elaborated name: `L[1].W`. A reference of the text is walked along its accessors until
a path is an entity; aliases and arguments are followed on the way, what is left names a member.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn, assert_never

from circuitdsl.diagnostics import CircuitError, Diagnostic, Label, Report, Span, did_you_mean
from circuitdsl.shipped import shipped
from circuitdsl.syntax import ast
from circuitdsl.syntax.parse import parse, read_source

#: Names that mean something everywhere and cannot be declared.
BUILTIN_NAMES = frozenset(
    [
        "w",
        "pre",
        "post",
        "prev",
        "bias",
        "fan_in",
        "fan_out",
        "dt",
        "tick",
        "first",
        "last",
        "metric",
        "backprop",
    ]
)


class Stop(Exception):
    """The equation or item at hand cannot be resolved; what is wrong has been reported."""


# ---------------------------------------------------------------- files


@dataclass(slots=True, eq=False)
class FileScope:
    """The rules and motifs that a file sees: its own and those of its direct imports."""

    tree: ast.File
    rules: dict[str, tuple[ast.Rule, FileScope]] = field(default_factory=dict)
    motifs: dict[str, tuple[ast.Motif, FileScope]] = field(default_factory=dict)


def load_files(tree: ast.File, folder: Path | None, report: Report) -> FileScope:
    """The file with all that it imports, each parsed once. `folder` is where the file lies."""
    own = Path(tree.span.source.name).resolve() if folder is not None else None
    return _Loader(report).load(tree, folder, (own,) if own else ())


@dataclass(slots=True)
class _Loader:
    report: Report
    loaded: dict[Path, FileScope | None] = field(default_factory=dict)

    def load(self, tree: ast.File, folder: Path | None, above: tuple[Path, ...]) -> FileScope:
        scope = FileScope(tree)
        for item in deep_items(tree.items):
            match item:
                case ast.Rule() if self._is_new(scope.rules, item.name, "rule"):
                    scope.rules[item.name.name] = (item, scope)
                case ast.Motif() if self._is_new(scope.motifs, item.name, "motif"):
                    scope.motifs[item.name.name] = (item, scope)
                case _:
                    pass
        for item in deep_items(tree.items):
            if isinstance(item, ast.Import):
                imported = self._import(item, folder, above)
                if imported is not None:
                    own_rules = {k: v for k, v in imported.rules.items() if v[1] is imported}
                    own_motifs = {k: v for k, v in imported.motifs.items() if v[1] is imported}
                    scope.rules = own_rules | scope.rules
                    scope.motifs = own_motifs | scope.motifs
        for name, (rule, file) in scope.rules.items():
            if file is scope:
                self._no_cycle(name, rule, scope)
        return scope

    def _no_cycle(self, name: str, rule: ast.Rule, scope: FileScope) -> None:
        """Reports a rule that reaches itself through the rules it calls."""
        path: list[str] = []

        def visit(called: str, body: ast.Expr, file: FileScope) -> bool:
            if called in path:
                return called == name
            path.append(called)
            for callee in rule_calls(body):
                if callee in file.rules and visit(callee, file.rules[callee][0].body, file.rules[callee][1]):
                    return True
            path.pop()
            return False

        if visit(name, rule.body, scope):
            self.report.add(
                Diagnostic(
                    code="C016",
                    title=f"the rule `{name}` uses itself",
                    span=rule.name.span,
                    label=" -> ".join([*path, name]),
                    notes=("a rule is replaced by its text, which would never end",),
                )
            )

    def _is_new(self, table: dict[str, tuple[ast.Rule, FileScope]] | dict[str, tuple[ast.Motif, FileScope]],
                name: ast.Name, what: str) -> bool:  # fmt: skip
        if name.name in table:
            self.report.add(duplicate(name.name, name.span, table[name.name][0].name.span, what))
            return False
        return True

    def _import(self, item: ast.Import, folder: Path | None, above: tuple[Path, ...]) -> FileScope | None:
        path = find_import(item.path.value, folder)
        if path is None:
            self.report.add(
                Diagnostic(
                    code="C006",
                    title=f"cannot find the import `{item.path.value}`",
                    span=item.path.span,
                    label="no such file",
                    notes=("an import is looked for beside the file, then in the shipped library",),
                    hint=did_you_mean(item.path.value, library_imports()) or "`circuitdsl list` shows the library",
                )
            )
            return None
        if path in above:
            cycle = " -> ".join(p.name for p in (*above[above.index(path) :], path))
            self.report.add(
                Diagnostic(
                    code="C007",
                    title=f"`{item.path.value}` imports itself",
                    span=item.path.span,
                    label=cycle,
                    hint="move what both files need into a third one",
                )
            )
            return None
        if path not in self.loaded:
            self.loaded[path] = self._read(path, item, above)
        return self.loaded[path]

    def _read(self, path: Path, item: ast.Import, above: tuple[Path, ...]) -> FileScope | None:
        try:
            tree = parse(read_source(path))
        except CircuitError as error:
            for diagnostic in error.diagnostics:
                self.report.add(diagnostic)
            return None
        except OSError as error:
            title = f"cannot read the import `{item.path.value}`: {error.strerror}"
            self.report.add(Diagnostic(code="C006", title=title, span=item.path.span))
            return None
        return self.load(tree, path.parent, (*above, path))


def find_import(name: str, folder: Path | None) -> Path | None:
    """The imported file: beside the importing one, else in the shipped library."""
    for root in (folder, shipped("circuits")):
        if root is not None and (root / name).is_file():
            return (root / name).resolve()
    return None


def library_imports() -> list[str]:
    root = shipped("circuits")
    return [str(p.relative_to(root)) for p in root.rglob("*.circ")]


def deep_items(items: Iterable[ast.TopItem | ast.Item]) -> Iterator[ast.TopItem | ast.Item]:
    """All items with those inside circuits, motifs and loops."""
    for item in items:
        yield item
        if isinstance(item, ast.Circuit | ast.Motif | ast.For):
            yield from deep_items(item.items)


def rule_calls(expr: ast.Expr) -> Iterator[str]:
    """The functions and rules called anywhere in an expression."""
    match expr:
        case ast.Call():
            yield expr.function
            for argument in expr.arguments:
                yield from rule_calls(argument.value)
        case ast.Unary():
            yield from rule_calls(expr.operand)
        case ast.Binary():
            yield from rule_calls(expr.left)
            yield from rule_calls(expr.right)
        case ast.ListOf():
            for item in expr.items:
                yield from rule_calls(item)
        case ast.Number() | ast.String() | ast.Name() | ast.Index() | ast.Member():
            pass
        case _:
            assert_never(expr)


def duplicate(name: str, span: Span, first: Span, what: str) -> Diagnostic:
    return Diagnostic(
        code="C011",
        title=f"`{name}` is declared twice",
        span=span,
        label=f"second {what} of this name",
        labels=(Label(first, "first declared here"),),
        hint="give one of them another name",
    )


# ---------------------------------------------------------------- scopes


#: Evaluates the index of a reference to an integer (graph/structure.py).
Indexer = Callable[["ast.Expr", "Scope"], int]


@dataclass(frozen=True, slots=True, eq=False)
class Thunk:
    """An argument of a rule or motif: an expression with the scope it was written in."""

    expr: ast.Expr
    scope: Scope


@dataclass(frozen=True, slots=True)
class Member:
    """A name that only its owner's equations see: a neuron's dendrite, state, let; a synapse's state,
    drive; a modulator's state; a coefficient of the owner."""

    kind: Literal["value", "synapse state", "drive", "coefficient"]
    name: str  # of the value (`h.basal`) or coefficient; bare for states and drives of synapses
    span: Span


Binding = Thunk | Member | int


@dataclass(slots=True, eq=False)
class Scope:
    """Where a piece of text looks names up: bindings, then outward; then, unless `closed` (the body
    of a rule), the entities whose path starts with `prefix`."""

    file: FileScope
    prefix: str = ""
    bindings: dict[str, Binding] = field(default_factory=dict)
    parent: Scope | None = None
    closed: bool = False
    via: tuple[Span, ...] = ()

    def lookup(self, name: str) -> Binding | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.bindings:
                return scope.bindings[name]
            scope = scope.parent
        return None

    def child(self, bindings: dict[str, Binding], via: tuple[Span, ...] = ()) -> Scope:
        return Scope(
            file=self.file, prefix=self.prefix, bindings=bindings, parent=self, closed=self.closed,
            via=self.via + via,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Declared:
    """An entity of the elaborated circuit: where it was written and the scope of its equations."""

    path: str
    item: ast.Param | ast.Input | ast.Target | ast.Neuron | ast.Synapse | ast.Modulator
    scope: Scope
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class AliasTo:
    ref: ast.Ref
    scope: Scope
    span: Span


@dataclass(frozen=True, slots=True)
class Rest:
    """One accessor after an entity: a member name or an index."""

    key: str | int
    span: Span


@dataclass(frozen=True, slots=True)
class Place:
    """How far a reference has been walked: a path, the entity it is (None: not one yet, an instance
    perhaps), and the accessors that follow it."""

    path: str
    entity: Declared | Member | None
    rest: tuple[Rest, ...]
    span: Span


@dataclass(slots=True)
class Symbols:
    """Every entity, alias and instance by path."""

    report: Report
    entities: dict[str, Declared] = field(default_factory=dict)
    aliases: dict[str, AliasTo] = field(default_factory=dict)
    instances: dict[str, Span] = field(default_factory=dict)
    structural: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    walking: list[str] = field(default_factory=list)

    def fail(self, diagnostic: Diagnostic) -> NoReturn:
        self.report.add(diagnostic)
        raise Stop

    # ------------------------------------------------------------ walking a reference

    def walk(self, ref: ast.Ref, scope: Scope, index: Indexer) -> Place | Thunk | int:
        """Where a reference leads: a place, an argument that is no reference, or a loop variable."""
        base, accessors = flatten(ref)
        binding = scope.lookup(base.name)
        place: Place
        match binding:
            case int():
                if accessors:
                    self.fail(not_indexable(base, "a loop variable"))
                return binding
            case Thunk(expr=ast.Name() | ast.Index() | ast.Member() as inner, scope=outer):
                found = self.walk(inner, outer, index)
                if not isinstance(found, Place):
                    if accessors:
                        self.fail(not_indexable(base, "a number here"))
                    return found
                place = found
            case Thunk():
                if accessors:
                    self.fail(not_indexable(base, "an expression here"))
                return binding
            case Member():
                place = Place(base.name, binding, (), base.span)
            case None:
                path = base.name if base.name == "bias" or scope.closed else scope.prefix + base.name
                place = self._at(path, base.span, index, hidden=scope.closed)
        for accessor in accessors:
            place = self._step(place, accessor, scope, index)
        return place

    def _step(self, place: Place, accessor: ast.Index | ast.Member, scope: Scope, index: Indexer) -> Place:
        key: str | int
        if isinstance(accessor, ast.Index):
            key, text, span = (k := index(accessor.index, scope)), f"[{k}]", accessor.span
        else:
            key, text, span = accessor.name, f".{accessor.name}", accessor.name_span
        whole = Span(place.span.source, place.span.start, max(place.span.end, accessor.span.end))
        if place.entity is not None:
            return Place(place.path, place.entity, (*place.rest, Rest(key, span)), accessor.span)
        return self._at(place.path + text, whole if whole.start <= span.start else span, index)

    def _at(self, path: str, span: Span, index: Indexer, hidden: bool = False) -> Place:
        """The place of a path; an alias is followed."""
        if hidden and path != "bias":
            return Place(path, None, (), span)
        if path in self.aliases:
            if path in self.walking:
                self.fail(
                    Diagnostic(
                        code="C016",
                        title=f"the alias `{path}` stands for itself",
                        span=self.aliases[path].span,
                        label=" -> ".join([*self.walking[self.walking.index(path) :], path]),
                    )
                )
            self.walking.append(path)
            self.used.add(path)
            try:
                alias = self.aliases[path]
                found = self.walk(alias.ref, alias.scope, index)
            finally:
                self.walking.pop()
            if isinstance(found, Place):
                return Place(found.path, found.entity, found.rest, span)
        return Place(path, self.entities.get(path), (), span)

    # ------------------------------------------------------------ what is known, for messages

    def unknown(self, place: Place, scope: Scope, extra: Iterable[str] = ()) -> NoReturn:
        """Reports a reference that leads nowhere, with the nearest known name."""
        shown = place.path.removeprefix(scope.prefix) if scope.prefix else place.path
        if place.path in self.instances:
            members = [p.removeprefix(f"{place.path}.") for p in self.entities if p.startswith(place.path + ".")]
            self.fail(
                Diagnostic(
                    code="C010",
                    title=f"`{shown}` is an instance of a motif, not a population",
                    span=place.span,
                    labels=(Label(self.instances[place.path], "made here"),),
                    hint="name one of its members: " + ", ".join(f"`{shown}.{m}`" for m in members[:6]),
                )
            )
        hint = did_you_mean(shown, [*self.visible(scope), *extra])
        self.fail(
            Diagnostic(
                code="C010",
                title=f"unknown name `{shown}`",
                span=place.span,
                label="nothing of this name can be seen from here",
                notes=visibility(scope),
                hint=hint,
            )
        )

    def visible(self, scope: Scope) -> Iterator[str]:
        walk: Scope | None = scope
        while walk is not None:
            yield from walk.bindings
            walk = walk.parent
        if not scope.closed:
            for path in (*self.entities, *self.aliases):
                if path.startswith(scope.prefix):
                    yield path.removeprefix(scope.prefix)


def visibility(scope: Scope) -> tuple[str, ...]:
    if scope.closed:
        return ("a rule sees its arguments, built-ins and phase names: pass the name as an argument",)
    if scope.prefix:
        return ("the body of a motif sees its arguments and its members: pass the name as an argument",)
    return ()


def not_indexable(base: ast.Name, what: str) -> Diagnostic:
    return Diagnostic(
        code="C030",
        title=f"`{base.name}` is {what}: it has no members and no index",
        span=base.span,
    )


def flatten(ref: ast.Ref) -> tuple[ast.Name, list[ast.Index | ast.Member]]:
    """A reference as its base name and the accessors after it, in order."""
    accessors: list[ast.Index | ast.Member] = []
    while not isinstance(ref, ast.Name):
        accessors.append(ref)
        ref = ref.base
    return ref, accessors[::-1]
