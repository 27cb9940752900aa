"""The names of a text and the scopes that they are looked up in, as occurrences.py walks them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import field
from enum import StrEnum

from circuitdsl.diagnostics import Span
from circuitdsl.frozen import frozen, mutable
from circuitdsl.graph.files import FileScope
from circuitdsl.syntax import ast


class Kind(StrEnum):
    """What a name is declared as."""

    CIRCUIT = "circuit"
    MOTIF = "motif"
    RULE = "rule"
    ARGUMENT = "argument"
    PARAM = "param"
    INPUT = "input"
    TARGET = "target"
    NEURON = "neuron"
    DENDRITE = "dendrite"
    STATE = "state"
    LET = "let"
    SYNAPSE = "synapse"
    DRIVE = "drive"
    MODULATOR = "modulator"
    INSTANCE = "instance"
    ALIAS = "alias"
    LOOP = "loop variable"
    PHASE = "phase"
    TASK = "task"


@frozen
class Declared:
    """What stands at the place of a declaration: `path` is its name with those around it, `h.basal`."""

    kind: Kind
    path: str
    node: ast.Node


@mutable
class Occurrences:
    """The places of names, those of one name joined into a tree by `parent`."""

    declared: dict[Span, Declared] = field(default_factory=dict)
    parent: dict[Span, Span] = field(default_factory=dict)

    def root(self, span: Span) -> Span:
        while (above := self.parent.setdefault(span, span)) != span:
            self.parent[span] = self.parent[above]
            span = above
        return span

    def join(self, one: Span, other: Span) -> None:
        self.parent[self.root(one)] = self.root(other)


@mutable(eq=False)
class Named:
    """A name of a scope, with all that it stands for whatever its indices: members, the bodies of motifs, and what an
    alias or an argument stands for."""

    kinds: set[Kind] = field(default_factory=set)
    spans: list[Span] = field(default_factory=list)
    parts: dict[str, Named] = field(default_factory=dict)
    bodies: list[Body] = field(default_factory=list)
    stands_for: list[tuple[ast.Expr, Body]] = field(default_factory=list)


@mutable(eq=False)
class Body:
    """Where a piece of text looks names up: `bindings`, then outward, then the `names` of the circuit or motif unless
    it is the body of a rule. `path` stands before the names that are declared in it; `ends` are the neurons of the
    synapse whose equations these are."""

    file: FileScope
    path: str = ""
    names: dict[str, Named] = field(default_factory=dict)
    bindings: dict[str, Named] = field(default_factory=dict)
    parent: Body | None = None
    ends: dict[str, list[Named]] = field(default_factory=dict)

    def child(self, bindings: dict[str, Named], path: str | None = None) -> Body:
        return Body(self.file, self.path if path is None else path, self.names, bindings, self, self.ends)

    def lookup(self, name: str) -> Named | None:
        body: Body | None = self
        while body is not None:
            if name in body.bindings:
                return body.bindings[name]
            body = body.parent
        return self.names.get(name)

    def visible(self) -> dict[str, Named]:
        """All that `lookup` finds."""
        found: dict[str, Named] = {}
        body: Body | None = self
        while body is not None:
            found = body.bindings | found
            body = body.parent
        return self.names | found


def bound(parameters: Sequence[ast.Name], arguments: Sequence[ast.Argument]) -> Iterator[tuple[ast.Name, ast.Argument]]:
    """Each argument with the parameter that it is for."""
    named = {p.name: p for p in parameters}
    for position, argument in enumerate(arguments):
        if argument.name is None and position < len(parameters):
            yield parameters[position], argument
        elif argument.name in named:
            yield named[argument.name], argument


_WORD = re.compile(r"#[^\n]*|[A-Za-z_]\w*")


def word_of(name: ast.Name) -> Span:
    """The place of a name without the parentheses that may stand around it."""
    span = name.span
    if span.end - span.start == len(name.name):
        return span
    start = next(found.start() for found in _WORD.finditer(span.text) if not found[0].startswith("#"))
    return Span(span.source, span.start + start, span.start + start + len(name.name))
