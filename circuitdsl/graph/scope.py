"""Who is called what: scopes, and the names of the elaborated circuit.

A **path** is an elaborated name: `L[1].W`. A reference of the text is walked along its accessors until
a path is an entity; aliases and arguments are followed on the way, what is left names a member.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import field
from typing import Literal, NoReturn

from circuitdsl.diagnostics import Diagnostic, Label, Report, Span, did_you_mean
from circuitdsl.frozen import frozen, mutable
from circuitdsl.graph.files import FileScope
from circuitdsl.graph.findings import FURTHER_NAMES, further, listed
from circuitdsl.syntax import ast
from circuitdsl.syntax.words import UNIT


class Stop(Exception):
    """The equation or item at hand cannot be resolved; what is wrong has been reported."""


# ---------------------------------------------------------------- scopes


#: Evaluates the index of a reference to an integer (graph/structure.py).
Indexer = Callable[["ast.Expr", "Scope"], int]


@frozen(eq=False)
class Thunk:
    """An argument of a rule or motif: an expression with the scope it was written in."""

    expr: ast.Expr
    scope: Scope


@frozen
class Member:
    """A name that only its owner's equations see: a neuron's dendrite, state, let; a synapse's state,
    drive; a modulator's state; a coefficient of the owner."""

    kind: Literal["value", "synapse state", "drive", "coefficient"]
    name: str  # of the value (`h.basal`) or coefficient; bare for states and drives of synapses
    span: Span


Binding = Thunk | Member | int


@mutable(eq=False)
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

    def loops(self) -> Iterator[tuple[str, int]]:
        """The variables of the loops around, the innermost first, with their values."""
        scope: Scope | None = self
        while scope is not None:
            yield from ((name, value) for name, value in scope.bindings.items() if isinstance(value, int))
            scope = scope.parent

    def child(self, bindings: dict[str, Binding], via: tuple[Span, ...] = ()) -> Scope:
        return Scope(
            file=self.file, prefix=self.prefix, bindings=bindings, parent=self, closed=self.closed,
            via=self.via + via,
        )  # fmt: skip


@frozen(eq=False)
class Declared:
    """An entity of the elaborated circuit: where it was written and the scope of its equations."""

    path: str
    item: ast.Param | ast.Input | ast.Target | ast.Neuron | ast.Synapse | ast.Modulator
    scope: Scope
    span: Span


@frozen(eq=False)
class AliasTo:
    ref: ast.Ref
    scope: Scope
    span: Span


@frozen
class Rest:
    """One accessor after an entity: a member name or an index."""

    key: str | int
    span: Span


@frozen
class Place:
    """How far a reference has been walked: a path, the entity it is (None: not one yet, an instance
    perhaps), and the accessors that follow it; `scope` is the one that the path was looked up in."""

    path: str
    entity: Declared | Member | None
    rest: tuple[Rest, ...]
    span: Span
    scope: Scope


@mutable
class Symbols:
    """Every entity, alias and instance by path."""

    report: Report
    entities: dict[str, Declared] = field(default_factory=dict)
    aliases: dict[str, AliasTo] = field(default_factory=dict)
    instances: dict[str, Span] = field(default_factory=dict)
    structural: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    walking: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)  # names whose declaration has failed

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
                place = Place(base.name, binding, (), base.span, scope)
            case None:
                path = base.name if base.name == "bias" or scope.closed else scope.prefix + base.name
                place = self._at(path, base.span, scope, index)
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
            return Place(place.path, place.entity, (*place.rest, Rest(key, span)), accessor.span, place.scope)
        same = place.span.source is span.source and place.span.start <= span.start
        return self._at(place.path + text, whole if same else span, place.scope, index)

    def _at(self, path: str, span: Span, scope: Scope, index: Indexer) -> Place:
        """The place of a path; an alias is followed."""
        if scope.closed and path != "bias":
            return Place(path, None, (), span, scope)
        if path in self.aliases:
            if path in self.broken:
                raise Stop
            if path in self.walking:
                cycle = self.walking[self.walking.index(path) :]
                self.broken.update(cycle)
                self.fail(
                    Diagnostic(
                        code="C016",
                        title=f"the alias `{path}` stands for itself",
                        span=self.aliases[path].span,
                        label=" -> ".join([*cycle, path]),
                        hint="let one of them stand for a population, a synapse or a modulator",
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
                return Place(found.path, found.entity, found.rest, span, found.scope)
        return Place(path, self.entities.get(path), (), span, scope)

    # ------------------------------------------------------------ what is known, for messages

    def unknown(self, place: Place, extra: Iterable[str] = ()) -> NoReturn:
        """Reports a reference that leads nowhere, with the nearest known name."""
        scope = place.scope
        shown = place.path.removeprefix(scope.prefix)
        if place.path in self.broken:
            raise Stop
        if self.report.crowded:
            self.fail(Diagnostic(code="C010", title=f"unknown name `{shown}`", span=place.span))
        if place.path in self.instances:
            self._fail_as_instance(place, shown)
        visible = list(dict.fromkeys(self.visible(scope)))
        known = [*visible, *extra]
        turns = [k for k in known if k.startswith(f"{shown}[")]
        if turns:
            title, there = f"`{shown}` stands for several: say which one", f"there is {listed(turns)}"
            self.fail(Diagnostic(code="C010", title=title, span=place.span, hint=there))
        if shown in FURTHER_NAMES:
            self.fail(further(shown, place.span))
        if UNIT.fullmatch(shown):
            self.fail(
                Diagnostic(
                    code="C004",
                    title=f"`{shown}`: physical units are not yet available",
                    span=place.span,
                    label="reserved for a later version",
                    hint="write the number alone",
                )
            )
        outside = self.entities.get(shown) if scope.prefix or scope.closed else None
        hint = self._way_out(shown, scope, known, outside is not None)
        self.fail(
            Diagnostic(
                code="C010",
                title=f"unknown name `{shown}`",
                span=place.span,
                label="nothing of this name can be seen from here",
                labels=(Label(outside.span, "this one cannot be seen from there"),) if outside else (),
                notes=visibility(scope, [] if hint else visible),
                hint=hint,
            )
        )

    def _fail_as_instance(self, place: Place, shown: str) -> NoReturn:
        members = {
            p.removeprefix(f"{place.path}."): d for p, d in self.entities.items() if p.startswith(f"{place.path}.")
        }
        populations = [m for m, d in members.items() if isinstance(d.item, ast.Neuron)]
        self.fail(
            Diagnostic(
                code="C010",
                title=f"`{shown}` is an instance of a motif: it stands for all its members",
                span=place.span,
                labels=(Label(self.instances[place.path], "made here"),),
                hint="name one of them: " + listed(f"{shown}.{m}" for m in populations or members),
            )
        )

    def _way_out(self, shown: str, scope: Scope, known: list[str], outside: bool) -> str | None:
        if outside:
            whose = "rule" if scope.closed else "motif"
            return f"pass it as an argument: add `{shown}` in the head of the {whose}, and where it is used"
        members = [k for k in known if k.endswith(f".{shown}")]
        if members:
            return f"it is seen from outside as {listed(members, 3)}"
        return self._turns(shown, scope, known) or did_you_mean(shown, known)

    def _turns(self, shown: str, scope: Scope, known: list[str]) -> str | None:
        """Of an index that is none: which there are, and where the loop that reads it stands."""
        base, bracket, rest = shown.partition("[")
        turn, _, member = rest.partition("]")
        siblings = [k for k in known if bracket and k.startswith(f"{base}[") and k.endswith(f"]{member}")]
        if not siblings and member:  # `h[3].d`, where the members of populations are no names of their own
            siblings, member = [k for k in known if bracket and re.fullmatch(rf"{re.escape(base)}\[-?\d+\]", k)], ""
        if not siblings:
            return None
        end = f"{base}[{turn}]{member}"
        if end in siblings:
            return None
        ends = siblings if len(siblings) < 3 else [siblings[0], siblings[-1]]
        joined = (" to " if len(siblings) > 2 else " and ").join(f"`{s}`" for s in ends)
        there = f"{joined} {'is' if len(siblings) == 1 else 'are'} there"
        loop = next((f", and `{n}` is {v} here" for n, v in scope.loops() if str(v) in turn or _near(turn, v)), "")
        return f"{there}{loop}; the end of a chain is an alias: `alias {end} = …`"

    def visible(self, scope: Scope) -> Iterator[str]:
        walk: Scope | None = scope
        while walk is not None:
            yield from walk.bindings
            walk = walk.parent
        if not scope.closed:
            for path in (*self.entities, *self.aliases):
                if path.startswith(scope.prefix) and path not in (*self.walking, "bias"):
                    yield path.removeprefix(scope.prefix)
        yield "bias"


def _near(turn: str, value: int) -> bool:
    """Whether an index may come from a loop's variable: it is one off."""
    return turn.lstrip("-").isdigit() and abs(int(turn) - value) <= 1


def visibility(scope: Scope, known: list[str]) -> tuple[str, ...]:
    """What can be seen from a scope, for messages."""
    if scope.closed:
        return (f"a rule sees its arguments ({listed(scope.bindings) or 'none'}), built-ins and phase names",)
    if scope.prefix:
        return ("the body of a motif sees its arguments, its members and built-ins, nothing of the circuit around it",)
    return (f"what there is: {listed(known, 12)}",) if known else ()


def not_indexable(base: ast.Name, what: str) -> Diagnostic:
    return Diagnostic(
        code="C030",
        title=f"`{base.name}` is {what}: it has no members and no index",
        span=base.span,
        hint=f"write `{base.name}` alone",
    )


def flatten(ref: ast.Ref) -> tuple[ast.Name, list[ast.Index | ast.Member]]:
    """A reference as its base name and the accessors after it, in order."""
    accessors: list[ast.Index | ast.Member] = []
    while not isinstance(ref, ast.Name):
        accessors.append(ref)
        ref = ref.base
    return ref, accessors[::-1]
