"""What the two passes over the elaborated text share: the tables, and how they fail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NoReturn

from circuitdsl.diagnostics import Diagnostic, Label, Report, Span
from circuitdsl.frozen import mutable
from circuitdsl.graph import ir
from circuitdsl.graph.expressions import Equations
from circuitdsl.graph.findings import first_line
from circuitdsl.graph.scope import (
    Declared,
    Place,
    Scope,
    Thunk,
)
from circuitdsl.graph.structure import IN_MOTIF, Overrides, Structure
from circuitdsl.graph.tables import (
    OfNumber,
    Tables,
)
from circuitdsl.syntax import ast


@mutable
class Pass:
    """What both passes over the elaborated text share."""

    structure: Structure
    report: Report
    overrides: Overrides
    tables: Tables

    def declared(self) -> Iterator[Declared]:
        return iter(self.structure.symbols.entities.values())

    def fail(self, code: str, title: str, span: Span, *, label: str = "", labels: Sequence[Label] = (),
              notes: Sequence[str] = (), hint: str | None = None) -> NoReturn:  # fmt: skip
        self.structure.symbols.fail(
            Diagnostic(
                code=code,
                title=title,
                span=span,
                label=label,
                labels=tuple(labels),
                notes=tuple(notes),
                hint=hint,
            )
        )

    def inside(self, scope: Scope) -> AbstractContextManager[None]:
        """Findings made inside show the `use` of the motif whose body they are in."""
        return self.report.within([first_line(span) for span in scope.via], IN_MOTIF)

    def number(self, expr: ast.Expr, scope: Scope, what: str) -> ir.Expr:
        return Equations(self.tables, OfNumber(what)).resolve(expr, scope)

    def walk(self, ref: ast.Ref, scope: Scope) -> Place:
        found = self.structure.symbols.walk(ref, scope, self.structure.numbers.integer)
        if not isinstance(found, Place):
            shown = found.expr.span if isinstance(found, Thunk) else ref.span
            used = (Label(ref.span, "used as one here"),) if shown != ref.span else ()
            self.fail("C030", f"`{shown.shown}` stands where a population or a synapse is needed", shown,
                      label="a number" if isinstance(found, int) else "", labels=used)  # fmt: skip
        if found.entity is None:
            self.structure.symbols.unknown(found)
        return found

    # ------------------------------------------------------------ ends of synapses


def states_of(members: Iterable[object]) -> list[ast.State]:
    return [m for m in members if isinstance(m, ast.State)]


def neuron_names(item: ast.Neuron) -> Iterator[tuple[ast.Name, ir.Kind, Span]]:
    """The dendrites, states and lets that a neuron declares."""
    for member in item.members:
        match member:
            case ast.Dendrites():
                yield from ((name, ir.Kind.DENDRITE, name.span) for name in member.names)
            case ast.State():
                yield member.name, ir.Kind.STATE, member.name.span
            case ast.Let():
                yield member.name, ir.Kind.LET, member.name.span
            case _:
                pass
