"""First pass: what has a name gets a size, and synapses get their ends."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Literal, NoReturn

from circuitdsl.diagnostics import Label, Span
from circuitdsl.graph import ir
from circuitdsl.graph.findings import BUILTIN_NAMES, builtin_declared, duplicate, last_word, nearest, units
from circuitdsl.graph.passes import Pass, neuron_names, states_of
from circuitdsl.graph.scope import (
    Declared,
    Place,
    Rest,
    Scope,
    Stop,
    flatten,
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
            with suppress(Stop), self.inside(declared.scope):
                self._declare_one(declared)
        if self.report.failed:
            return
        for declared in self.declared():
            if isinstance(declared.item, ast.Synapse):
                with suppress(Stop), self.inside(declared.scope):
                    self.tables.synapses[declared.path] = self._endpoints(declared, declared.item)
        for declared in self.declared():
            if isinstance(declared.item, ast.Param):
                with suppress(Stop), self.inside(declared.scope):
                    self._declare_coefficient(declared, declared.item)
        self._check_references()

    def _check_references(self) -> None:
        """Aliases, and arguments of motifs, that lead nowhere, be they read or not."""
        symbols = self.structure.symbols
        read = set(symbols.used)
        given: list[tuple[ast.Expr, Scope]] = [(a.ref, a.scope) for a in symbols.aliases.values()]
        for expr, scope in given + self.structure.arguments:
            if isinstance(expr, ast.Name | ast.Index | ast.Member):
                with suppress(Stop), self.inside(scope):
                    self._check_reference(expr, scope)
        symbols.used = read

    def _check_reference(self, ref: ast.Ref, scope: Scope) -> None:
        base, _ = flatten(ref)
        if base.name in BUILTIN_NAMES or base.name in ("train", "loss", "rate") or base.name in self.tables.phases:
            return
        found = self.structure.symbols.walk(ref, scope, self.structure.numbers.integer)
        if isinstance(found, Place) and found.entity is None and found.path not in self.structure.symbols.instances:
            self.structure.symbols.unknown(found)

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
                states: set[str] = set()
                self.tables.modulators[declared.path] = states
                for state in states_of(item.members):
                    self._modulator_state(state, states, item)
                    states.add(state.name.name)
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
            self.fail(
                "C004",
                f"`{expr.span.shown}`, a size of several dimensions, is not yet available",
                expr.span,
                label="reserved for a later version",
                hint=f"write the product: `{' * '.join(item.span.shown for item in expr.items)}`",
            )
        size = self.structure.numbers.integer(expr, declared.scope)
        if size < 1:
            self.fail(
                "C022", f"`{declared.path}` has {units(size)}", expr.span,
                label="a population has at least one unit",
                hint="a loop over an empty range (`1..0`) makes no population at all",
            )  # fmt: skip
        if size > MAX_SIZE:
            self.fail("C026", f"`{declared.path}` has {size:,} units: more than {MAX_SIZE:,}", expr.span)
        return size

    def _member_name(self, name: ast.Name, span: Span, known: Iterable[str], owner: ast.Neuron) -> None:
        if name.name in BUILTIN_NAMES:
            self.structure.symbols.fail(builtin_declared(name))
        if name.name in known:
            first = next(s for n, _, s in neuron_names(owner) if n.name == name.name)
            self.structure.symbols.fail(duplicate(name.name, span, first, "member"))

    def _modulator_state(self, state: ast.State, known: set[str], owner: ast.Modulator) -> None:
        name = state.name
        if name.name in BUILTIN_NAMES:
            self.structure.symbols.fail(builtin_declared(name))
        if name.name in known:
            first = next(s.name.span for s in states_of(owner.members) if s.name.name == name.name)
            self.structure.symbols.fail(duplicate(name.name, name.span, first, "member"))
        if state.lifetime == "fresh":
            self.fail(
                "C018", f"the state `{name.name}` of a modulator is `fresh` anyway", last_word(state.span),
                notes=("it starts anew with every example; `keep` lets it survive",), hint="leave `fresh` out",
            )  # fmt: skip

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
            title = f"`{item.per.span.shown}` is neither a synapse nor a population"
            self.fail(
                "C030", title, item.per.span,
                hint="`param c per W = …` is a number for each weight of the synapse `W`, or each unit of a population",
            )  # fmt: skip
        self.structure.symbols.used.add(place.path)
        self.tables.coefficients[declared.path] = CoefficientInfo(place.path, per)

    def _endpoints(self, declared: Declared, item: ast.Synapse) -> SynapseInfo:
        source, pre = self._source(item.source, declared.scope)
        place = self.walk(item.target, declared.scope)
        post = self.tables.populations.get(place.path)
        if post is None or post.kind is not ir.Kind.RATE:
            what = (
                "which is no neuron" if post is None else f"which is {_article(post.kind.value)}: it has no dendrites"
            )
            self.fail(
                "C030", f"`{declared.path}` ends on `{item.target.span.shown}`, {what}", item.target.span,
                label="not a dendrite", labels=(Label(post.span, "declared here"),) if post else (),
                hint="a synapse ends on a dendrite of a `neuron`",
            )  # fmt: skip
        self.structure.symbols.used |= {pre.path, post.path}
        return SynapseInfo(declared.path, source, pre, post, self._dendrite(declared, place, post, item), declared.span)

    def _dendrite(self, declared: Declared, place: Place, post: PopulationInfo, item: ast.Synapse) -> str:
        dendrites = [n for n, k in post.members.items() if k is ir.Kind.DENDRITE]
        match place.rest:
            case ():
                if len(dendrites) != 1:
                    listed = ", ".join(f"`{post.path}.{d}`" for d in dendrites)
                    number = f"{len(dendrites)} dendrites" if dendrites else "no dendrite"
                    self.fail(
                        "C046", f"`{declared.path}` ends on `{post.path}`, which has {number}",
                        item.target.span, label="on which of them?" if dendrites else "there is nothing to end on",
                        labels=(Label(post.span, "declared here"),),
                        hint=f"say which: {listed}" if listed else f"give it one: `dendrite basal` in `{post.path}`",
                    )  # fmt: skip
                name = dendrites[0]
            case (Rest(key=str() as name),) if name in dendrites:
                pass
            case _:
                shown = item.target.span.shown
                last = place.rest[-1]
                self.fail(
                    "C010", f"`{shown}` is not a dendrite of `{post.path}`", last.span,
                    label="no dendrite of this name", labels=(Label(post.span, "declared here"),),
                    hint=nearest(str(last.key), dendrites, "its dendrites are")
                    or f"declare it: `dendrite {last.key}` in `{post.path}`",
                )  # fmt: skip
        self.structure.symbols.used.add(f"{post.path}.{name}")
        return f"{post.path}.{name}"

    def _no_source(self, span: Span, place: Place) -> NoReturn:
        modulator = place.path in self.tables.modulators
        self.fail(
            "C030", f"`{span.shown}` is not a population: a synapse starts at one", span,
            label="this is one number for all" if modulator else "",
            hint=f"make it a population: `neuron m: 1 {{ rate = {span.shown} }}`" if modulator else None,
        )  # fmt: skip

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
            self._no_source(ref.span, place)
        value, kind = pre.path, pre.kind
        match place.rest:
            case ():
                pass
            case (Rest(key=str() as name),) if name in pre.members:
                value, kind = f"{pre.path}.{name}", pre.members[name]
                self.structure.symbols.used.add(value)
            case _:
                last = place.rest[-1]
                self.fail(
                    "C010", f"`{pre.path}` has no dendrite, state or let `{last.key}`", last.span,
                    label="nothing of this name", labels=(Label(pre.span, "declared here"),),
                    hint=nearest(str(last.key), list(pre.members), "it has"),
                )  # fmt: skip
        if when is ir.When.PREV and kind not in ir.WITH_PAST:
            self.fail(
                "C030",
                f"`{expr.span.shown}`: `prev` takes a rate, an input, a dendrite or a let",
                ref.span,
                label=f"this is {_article(kind.value)}",
                hint=f"{_article(kind.value)} changes at the end of a tick: start at `{ref.span.shown}` itself",
            )
        return ir.Read(value=value, axis=ir.Axis.PRE, when=when, span=expr.span), pre


def _article(what: str) -> str:
    return f"an {what}" if what[0] in "aeiou" else f"a {what}"
