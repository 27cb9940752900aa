"""First pass: what has a name gets a size, and synapses get their ends."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Literal

from circuitdsl.diagnostics import Label, Span, did_you_mean
from circuitdsl.graph import ir
from circuitdsl.graph.findings import BUILTIN_NAMES, builtin_declared, duplicate
from circuitdsl.graph.passes import Pass, neuron_names, states_of
from circuitdsl.graph.scope import (
    Declared,
    Place,
    Rest,
    Scope,
    Stop,
)
from circuitdsl.graph.tables import (
    CoefficientInfo,
    PopulationInfo,
    SynapseInfo,
)
from circuitdsl.syntax import ast

MAX_SIZE = 10**9


class Declarations(Pass):
    """Fills the tables."""

    def declare(self) -> None:
        self._declare_schedule()
        self.tables.has_loss = any(isinstance(i, ast.Loss) for i, _ in self.structure.items)
        for declared in self.declared():
            with suppress(Stop):
                self._declare_one(declared)
        if self.report.failed:
            return
        for declared in self.declared():
            if isinstance(declared.item, ast.Synapse):
                with suppress(Stop):
                    self.tables.synapses[declared.path] = self._endpoints(declared, declared.item)
        for declared in self.declared():
            if isinstance(declared.item, ast.Param):
                with suppress(Stop):
                    self._declare_coefficient(declared, declared.item)

    def _declare_schedule(self) -> None:
        for item, _ in self.structure.items:
            if isinstance(item, ast.Schedule):
                for phase in item.phases:
                    if phase.name.name in self.tables.phases:
                        first = self.tables.phases[phase.name.name]
                        self.report.add(duplicate(phase.name.name, phase.name.span, first, "phase"))
                    elif phase.name.name in BUILTIN_NAMES:
                        self.report.add(builtin_declared(phase.name))
                    self.tables.phases.setdefault(phase.name.name, phase.name.span)
        for name, span in self.tables.phases.items():
            if name in self.structure.symbols.entities:
                first = self.structure.symbols.entities[name].span
                self.report.add(duplicate(name, span, first, "declaration"))

    def _declare_one(self, declared: Declared) -> None:
        item = declared.item
        match item:
            case ast.Input() | ast.Target():
                kind = ir.Kind.INPUT if isinstance(item, ast.Input) else ir.Kind.TARGET
                kind = ir.Kind.BIAS if declared.path == "bias" else kind
                self._population(declared, kind, self._size(item.size, declared))
            case ast.Neuron():
                info = self._population(declared, ir.Kind.RATE, self._size(item.size, declared))
                for name, member_kind, span in neuron_names(item):
                    self._member_name(name, span, info.members, item)
                    info.members[name.name] = member_kind
            case ast.Modulator():
                self.tables.modulators[declared.path] = {s.name.name for s in states_of(item.members)}
            case ast.Param():
                if item.per is None:
                    given = self.overrides.get(declared.path)
                    listed = isinstance(item.value, ast.ListOf)
                    length = len(item.value.items) if isinstance(item.value, ast.ListOf) else None
                    if listed and given is not None and not isinstance(given, int | float):
                        length = len(given)
                    self.tables.params[declared.path] = length
            case ast.Synapse():
                pass  # its ends may be declared later

    def _population(self, declared: Declared, kind: ir.Kind, size: int) -> PopulationInfo:
        info = PopulationInfo(declared.path, kind, size, declared.span)
        self.tables.populations[declared.path] = info
        return info

    def _size(self, expr: ast.Expr, declared: Declared) -> int:
        if isinstance(expr, ast.ListOf):
            self.structure.symbols.fail(further("sizes of several dimensions", expr.span))
        size = self.structure.numbers.integer(expr, declared.scope)
        if not 1 <= size <= MAX_SIZE:
            self.fail(
                "C022",
                f"`{declared.path}` has {size} units",
                expr.span,
                notes=("a population has at least one unit",),
            )
        return size

    def _member_name(self, name: ast.Name, span: Span, known: Iterable[str], owner: ast.Neuron) -> None:
        if name.name in BUILTIN_NAMES:
            self.structure.symbols.fail(builtin_declared(name))
        if name.name in known:
            first = next(s for n, _, s in neuron_names(owner) if n.name == name.name)
            self.structure.symbols.fail(duplicate(name.name, span, first, "member"))

    def _declare_coefficient(self, declared: Declared, item: ast.Param) -> None:
        if item.per is None:
            return
        place = self.walk(item.per, declared.scope)
        per: Literal["weight", "neuron"]
        if place.path in self.tables.synapses and not place.rest:
            per = "weight"
        elif place.path in self.tables.populations and not place.rest:
            per = "neuron"
        else:
            title = f"`{item.per.span.text}` is neither a synapse nor a population"
            self.fail("C030", title, item.per.span, hint="`param c per W`: a number for each weight of `W`")
        self.structure.symbols.used.add(place.path)
        self.tables.coefficients[declared.path] = CoefficientInfo(place.path, per)

    def _endpoints(self, declared: Declared, item: ast.Synapse) -> SynapseInfo:
        source, pre = self._source(item.source, declared.scope)
        place = self.walk(item.target, declared.scope)
        post = self.tables.populations.get(place.path)
        if post is None or post.kind is not ir.Kind.RATE:
            self.fail(
                "C030", f"`{declared.path}` ends on `{item.target.span.text}`, which has no dendrites",
                item.target.span, hint="a synapse ends on a dendrite of a `neuron`",
            )  # fmt: skip
        self.structure.symbols.used |= {pre.path, post.path}
        return SynapseInfo(declared.path, source, pre, post, self._dendrite(declared, place, post, item), declared.span)

    def _dendrite(self, declared: Declared, place: Place, post: PopulationInfo, item: ast.Synapse) -> str:
        dendrites = [n for n, k in post.members.items() if k is ir.Kind.DENDRITE]
        match place.rest:
            case ():
                if len(dendrites) != 1:
                    listed = ", ".join(f"`{post.path}.{d}`" for d in dendrites)
                    self.fail(
                        "C046", f"`{declared.path}` ends on `{post.path}`, which has {len(dendrites)} dendrites",
                        item.target.span, labels=(Label(post.span, "declared here"),),
                        hint=f"say which: {listed}" if listed else f"give it one: `dendrite basal` in `{post.path}`",
                    )  # fmt: skip
                name = dendrites[0]
            case (Rest(key=str() as name),) if name in dendrites:
                pass
            case _:
                shown = item.target.span.text
                last = place.rest[-1]
                self.fail(
                    "C010", f"`{shown}` is not a dendrite of `{post.path}`", last.span,
                    labels=(Label(post.span, "declared here"),),
                    hint=did_you_mean(str(last.key), dendrites) or f"it has {', '.join(f'`{d}`' for d in dendrites)}",
                )  # fmt: skip
        self.structure.symbols.used.add(f"{post.path}.{name}")
        return f"{post.path}.{name}"

    def _source(self, expr: ast.Expr, scope: Scope) -> tuple[ir.Read, PopulationInfo]:
        when, ref = ir.When.NOW, expr
        if isinstance(expr, ast.Call) and expr.function == "prev" and len(expr.arguments) == 1:
            when, ref = ir.When.PREV, expr.arguments[0].value
        if not isinstance(ref, ast.Name | ast.Index | ast.Member):
            self.fail(
                "C030", f"`{expr.span.text}` cannot be the source of a synapse", expr.span,
                notes=("a synapse starts at a population, its let, state or dendrite, or `prev(…)` of one",),
                hint="name the value with `let` in its neuron and start from that",
            )  # fmt: skip
        place = self.walk(ref, scope)
        pre = self.tables.populations.get(place.path)
        if pre is None:
            self.fail("C030", f"`{ref.span.text}` is not a population: a synapse starts at one", ref.span)
        value, kind = pre.path, pre.kind
        match place.rest:
            case ():
                pass
            case (Rest(key=str() as name),) if name in pre.members:
                value, kind = f"{pre.path}.{name}", pre.members[name]
                self.structure.symbols.used.add(value)
            case _:
                self.fail(
                    "C010", f"`{ref.span.text}`: `{pre.path}` has no dendrite, state or let of this name",
                    place.rest[-1].span, labels=(Label(pre.span, "declared here"),),
                    hint=did_you_mean(str(place.rest[-1].key), pre.members),
                )  # fmt: skip
        if when is ir.When.PREV and kind not in (ir.Kind.DENDRITE, ir.Kind.LET, ir.Kind.RATE):
            self.fail(
                "C030",
                f"`prev({ref.span.text})`: only a rate, a dendrite or a let has a tick before",
                expr.span,
            )
        return ir.Read(value=value, axis=ir.Axis.PRE, when=when, span=expr.span), pre
