"""Equations: from names and calls to the typed expressions of graph/ir.py.

What a name may mean depends on whose equation it stands in (language.md, "Items"): a neuron's, a
synapse's, a scalar's (modulator, loss, metric, record) or a plain number's. Locality is enforced here,
because it is a property of reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NoReturn, assert_never

from circuitdsl.diagnostics import Diagnostic, Label, Span, did_you_mean
from circuitdsl.graph import ir
from circuitdsl.graph.calls import resolve_call
from circuitdsl.graph.findings import index_out_of_range
from circuitdsl.graph.scope import Declared, Member, Place, Rest, Scope, Thunk, flatten
from circuitdsl.graph.structure import OPERATOR_NAMES
from circuitdsl.graph.tables import OfNeuron, OfNumber, OfScalar, OfSynapse, Owner, PopulationInfo, SynapseInfo, Tables
from circuitdsl.syntax import ast


@dataclass(slots=True)
class Equations:
    """Resolves the equations of one owner."""

    tables: Tables
    owner: Owner
    expanding: list[tuple[str, Span]] = field(default_factory=list)
    reducing: list[tuple[str, int, Span]] | None = None

    # ------------------------------------------------------------ errors

    def fail(self, code: str, title: str, span: Span, *, label: str = "", labels: Sequence[Label] = (),
             notes: Sequence[str] = (), hint: str | None = None) -> NoReturn:  # fmt: skip
        calls = [Label(s, f"in the rule `{name}`, used here") for name, s in self.expanding[-1:]]
        calls = [c for c in calls if not (c.span.source is span.source and c.span.start <= span.start < c.span.end)]
        self.tables.symbols.fail(
            Diagnostic(
                code=code,
                title=title,
                span=span,
                label=label,
                labels=(*labels, *calls),
                notes=tuple(notes),
                hint=hint,
            )
        )

    # ------------------------------------------------------------ expressions

    def resolve(self, expr: ast.Expr, scope: Scope) -> ir.Expr:
        match expr:
            case ast.Number():
                return ir.Num(value=expr.value, span=expr.span)
            case ast.Name() | ast.Index() | ast.Member():
                return self._reference(expr, scope)
            case ast.Unary():
                return ir.Apply(function="neg", arguments=(self.resolve(expr.operand, scope),), span=expr.span)
            case ast.Binary(operator="&"):
                self.fail("C030", "`&` combines connection masks, not numbers", expr.span)
            case ast.Binary():
                arguments = (self.resolve(expr.left, scope), self.resolve(expr.right, scope))
                return ir.Apply(function=OPERATOR_NAMES[expr.operator], arguments=arguments, span=expr.span)
            case ast.Call():
                return resolve_call(self, expr, scope)
            case ast.String():
                self.fail("C030", f"the text {expr.span.text} stands where a number is needed", expr.span)
            case ast.ListOf():
                self.fail("C030", "a list stands where a number is needed", expr.span, hint="name one element")
            case _:
                assert_never(expr)

    # ------------------------------------------------------------ references

    def _reference(self, ref: ast.Ref, scope: Scope) -> ir.Expr:
        endpoint = self._endpoint(ref, scope)
        if endpoint is not None:
            return self._at_endpoint(*endpoint, ref)
        if isinstance(ref, ast.Name):
            builtin = self._builtin(ref)
            if builtin is not None:
                return builtin
        found = self.tables.symbols.walk(ref, scope, self.tables.numbers.integer)
        match found:
            case int():
                return ir.Num(value=found, span=ref.span)
            case Thunk():
                return self.resolve(found.expr, found.scope)
            case Place(entity=None, path=path) if path.removeprefix(scope.prefix) in self.tables.phases:
                name = path.removeprefix(scope.prefix)
                return self.flag("phase", name, ref.span)
            case Place(entity=None):
                inner = self._inner_reference(ref, scope)
                if inner is not None:
                    return self._reference(*inner)
                self._unknown(found, scope)
            case Place(entity=Member()):
                return self._member(found, ref)
            case Place():
                return self._entity(found, ref, scope)
            case _:
                assert_never(found)

    def _inner_reference(self, ref: ast.Ref, scope: Scope) -> tuple[ast.Ref, Scope] | None:
        """What an argument stands for, where it is a bare builtin or phase (`train`, `tick`)."""
        binding = scope.lookup(ref.name) if isinstance(ref, ast.Name) else None
        if isinstance(binding, Thunk) and isinstance(binding.expr, ast.Name | ast.Index | ast.Member):
            return binding.expr, binding.scope
        return None

    def _unknown(self, place: Place, scope: Scope) -> NoReturn:
        self.tables.symbols.unknown(place, [*self.tables.phases, *self._builtin_names()])

    def _builtin_names(self) -> list[str]:
        return ["w", "pre", "post", "tick", "train"] if isinstance(self.owner, OfSynapse) else ["tick", "train"]

    def _endpoint(self, ref: ast.Ref, scope: Scope) -> tuple[Literal["pre", "post"], list[ast.Member]] | None:
        """`pre`, `post.apical`, also through the arguments of rules."""
        base, accessors = flatten(ref)
        binding = scope.lookup(base.name)
        if isinstance(binding, Thunk) and isinstance(binding.expr, ast.Name | ast.Index | ast.Member):
            inner = self._endpoint(binding.expr, binding.scope)
            if inner is None:
                return None
            side, members = inner
        elif base.name in ("pre", "post"):
            side, members = ("pre" if base.name == "pre" else "post"), []
        else:
            return None
        for accessor in accessors:
            if isinstance(accessor, ast.Index):
                self.fail("C030", f"`{ref.span.text}`: `{side}` is one neuron, it has no index", accessor.span)
            members = [*members, accessor]
        return side, members

    def _at_endpoint(self, side: Literal["pre", "post"], members: list[ast.Member], ref: ast.Ref) -> ir.Expr:
        if not isinstance(self.owner, OfSynapse):
            self.fail(
                "C030",
                f"`{side}` means something only in the equations of a synapse",
                ref.span,
                hint="name the population",
            )
        synapse = self.owner.synapse
        population = synapse.pre if side == "pre" else synapse.post
        axis = ir.Axis.PRE if side == "pre" else ir.Axis.POST
        when = synapse.source.when if side == "pre" else ir.When.NOW
        if not members:
            value = synapse.source.value if side == "pre" else population.path
            return ir.Read(value=value, axis=axis, when=when, span=ref.span)
        if len(members) > 1:
            self.fail("C010", f"`{ref.span.text}` has one name too many", members[1].span)
        name = self._member_of(population, members[0].name, members[0].name_span)
        return ir.Read(value=f"{population.path}.{name}", axis=axis, when=when, span=ref.span)

    def _member_of(self, population: PopulationInfo, name: str, span: Span) -> str:
        if name not in population.members:
            known = ", ".join(f"`{m}`" for m in population.members)
            self.fail(
                "C010",
                f"`{population.path}` has no dendrite, state or let `{name}`",
                span,
                labels=(Label(population.span, "declared here"),),
                hint=did_you_mean(name, population.members) or (f"it has {known}" if known else None),
            )
        return name

    def _builtin(self, ref: ast.Name) -> ir.Expr | None:
        match ref.name:
            case "w":
                if not isinstance(self.owner, OfSynapse):
                    self.fail("C030", "`w` means something only in the equations of a synapse", ref.span)
                return ir.Weight(span=ref.span)
            case "tick":
                self.needs_run("tick", ref.span)
                return ir.Tick(span=ref.span)
            case "train":
                self.needs_run("train", ref.span)
                return ir.Flag(which="train", span=ref.span)
            case "fan_in" | "fan_out":
                if not (isinstance(self.owner, OfSynapse) or (isinstance(self.owner, OfNumber) and self.owner.fans)):
                    self.fail("C030", f"`{ref.name}` means something only within a synapse", ref.span)
                return ir.Fan(which="in" if ref.name == "fan_in" else "out", span=ref.span)
            case "dt":
                return self.tables.dt if self.tables.dt is not None else ir.Num(value=1.0, span=ref.span)
            case "rate":
                return self._own_rate(ref)
            case "loss":
                return self._loss(ref)
            case "prev" | "first" | "last":
                self.fail("C017", f"`{ref.name}` needs an argument: `{ref.name}(...)`", ref.span)
            case "metric" | "backprop":
                self.fail("C030", f"`{ref.name}` stands only in `expect metric`", ref.span)
            case _:
                return None

    def needs_run(self, name: str, span: Span) -> None:
        if isinstance(self.owner, OfNumber):
            self.fail("C024", f"`{name}` changes during a run: {self.owner.what} is a number known before", span)

    def _own_rate(self, ref: ast.Name) -> ir.Expr:
        if not isinstance(self.owner, OfNeuron):
            self.fail(
                "C030",
                "`rate` means the neuron's own rate, in the equations of its states only",
                ref.span,
                hint="name the population, or write `post`",
            )
        if self.owner.what != "update":
            self.fail(
                "C030",
                f"`rate` is read in its own `{self.owner.what}`",
                ref.span,
                hint=f"its rate of the tick before is `prev({self.owner.population.path})`",
            )
        return ir.Read(value=self.owner.population.path, axis=ir.Axis.OWN, span=ref.span)

    def _loss(self, ref: ast.Name) -> ir.Expr:
        if not isinstance(self.owner, OfScalar) or self.owner.what == "loss":
            self.fail(
                "C031",
                "`loss` is read where it is not present",
                ref.span,
                notes=("the loss is a value in modulators and records only",),
                hint="declare `modulator m = loss`, and read `m`",
            )
        if not self.tables.has_loss:
            self.fail("C051", "`loss` is read but the circuit declares none", ref.span, hint="declare `loss = …`")
        return ir.Read(value="loss", axis=ir.Axis.SCALAR, span=ref.span)

    def flag(self, which: Literal["phase", "first", "last"], name: str, span: Span) -> ir.Expr:
        self.needs_run(name, span)
        self.tables.symbols.used.add(f"phase {name}")
        return ir.Flag(which=which, phase=name, span=span)

    # ------------------------------------------------------------ members and entities

    def _member(self, place: Place, ref: ast.Ref) -> ir.Expr:
        member = place.entity
        assert isinstance(member, Member)
        self.tables.symbols.used.add(member.name)
        if place.rest:
            self.fail("C010", f"`{ref.span.text}`: `{place.path}` has no members", place.rest[0].span)
        match member.kind:
            case "value":
                own = isinstance(self.owner, OfNeuron)
                return ir.Read(value=member.name, axis=ir.Axis.OWN if own else ir.Axis.SCALAR, span=ref.span)
            case "synapse state":
                return ir.SynapseState(name=member.name, span=ref.span)
            case "drive":
                return ir.DriveRead(name=member.name, span=ref.span)
            case "coefficient":
                axis = ir.Axis.OWN if isinstance(self.owner, OfNeuron) else None
                return ir.Coef(name=member.name, axis=axis, span=ref.span)
            case _:
                assert_never(member.kind)

    def _entity(self, place: Place, ref: ast.Ref, scope: Scope) -> ir.Expr:
        self.tables.symbols.used.add(place.path)
        if place.path == "bias" or place.path in self.tables.populations:
            return self._population(place, ref)
        assert isinstance(place.entity, Declared)
        match place.entity.item:
            case ast.Param():
                return self._param(place, ref)
            case ast.Modulator():
                return self._modulator(place, ref)
            case ast.Synapse():
                self.fail(
                    "C030",
                    f"the synapse `{place.path}` stands where a number is needed",
                    ref.span,
                    hint="in its own equations its weight is `w`",
                )
            case _:
                # declared, but its own declaration failed: that has been reported
                self.fail("C010", f"`{place.path}` could not be resolved", ref.span)

    def _param(self, place: Place, ref: ast.Ref) -> ir.Expr:
        path = place.path
        if path in self.tables.coefficients:
            owner = self.tables.coefficients[path].owner
            self.fail(
                "C031",
                f"the coefficient `{path}` belongs to `{owner}`",
                ref.span,
                notes=("a coefficient is read in the equations of its owner only",),
            )
        length = self.tables.params.get(path)
        match place.rest:
            case () if length is None:
                return ir.ParamRef(name=path, span=ref.span)
            case () if length is not None:
                self.fail("C030", f"`{path}` is a list of {length} numbers", ref.span, hint=f"`{path}[0]`")
            case (Rest(key=int() as key),) if length is not None:
                if not 0 <= key < length:
                    self.tables.symbols.fail(index_out_of_range(path, key, length, ref.span))
                return ir.ParamRef(name=f"{path}[{key}]", span=ref.span)
            case _:
                self.fail("C030", f"`{path}` is a number: it has no members", ref.span)

    def _modulator(self, place: Place, ref: ast.Ref) -> ir.Expr:
        self.needs_run(place.path, ref.span)
        match place.rest:
            case ():
                value = place.path
            case (Rest(key=str() as name),) if name in self.tables.modulators[place.path]:
                value = f"{place.path}.{name}"
            case _:
                states = self.tables.modulators[place.path]
                hint = did_you_mean(str(place.rest[0].key), states)
                self.fail("C010", f"`{ref.span.text}`: the modulator has no such state", ref.span, hint=hint)
        return ir.Read(value=value, axis=ir.Axis.SCALAR, span=ref.span)

    def _population(self, place: Place, ref: ast.Ref) -> ir.Expr:
        self.needs_run(place.path, ref.span)
        population = self.tables.populations[place.path]
        value = self._value_of(population, place, ref)
        match self.owner:
            case OfNeuron():
                return self._wiring(self.owner, population, value, ref)
            case OfSynapse():
                return self._partner(self.owner.synapse, population, value, ref)
            case OfScalar():
                return self._in_scalar(population, value, ref)
            case OfNumber():
                raise AssertionError("refused above")
            case _:
                assert_never(self.owner)

    def _value_of(self, population: PopulationInfo, place: Place, ref: ast.Ref) -> str:
        match place.rest:
            case ():
                return population.path
            case (Rest(key=str() as name, span=span),):
                return f"{population.path}.{self._member_of(population, name, span)}"
            case (Rest(key=int(), span=span), *_):
                self.fail(
                    "C030",
                    f"`{ref.span.text}`: units of a population have no names",
                    span,
                    notes=("equations are written for a population as a whole",),
                )
            case _:
                self.fail("C010", f"`{ref.span.text}` has one name too many", place.rest[-1].span)

    def _wiring(self, owner: OfNeuron, population: PopulationInfo, value: str, ref: ast.Ref) -> ir.Expr:
        own = owner.population
        if population.path != own.path:
            if population.size not in (1, own.size):
                self.fail(
                    "C020",
                    f"`{ref.span.text}` has {population.size} units, `{own.path}` has {own.size}",
                    ref.span,
                    labels=(
                        Label(population.span, f"{population.size} units"),
                        Label(own.span, f"{own.size} units"),
                    ),
                    notes=("wiring is one-to-one: equal sizes, or size 1, which is broadcast",),
                    hint=f"connect them with a synapse: `synapse W: {ref.span.text} -> {own.path}`",
                )
            self.tables.wires.setdefault(own.path, {}).setdefault(population.path, ref.span)
            self.tables.wired.append(ir.Wire(population=own.path, value=value, span=ref.span))
        return ir.Read(value=value, axis=ir.Axis.OWN, span=ref.span)

    def _partner(self, synapse: SynapseInfo, population: PopulationInfo, value: str, ref: ast.Ref) -> ir.Expr:
        post, name = synapse.post, population.path
        near = {post.path, *self.tables.partners(post.path)}
        if population.kind is ir.Kind.TARGET and not any(name in self.tables.wires.get(p, {}) for p in near):
            self.fail(
                "C032",
                f"`{synapse.path}` reads the target `{name}`, which no neuron at it receives",
                ref.span,
                labels=(
                    Label(population.span, "the target"),
                    Label(post.span, f"`{synapse.path}` ends here"),
                ),
                notes=("a rule may read a target only if its postsynaptic neuron, or a partner of it, does",),
                hint=f"wire it in: a population `err` with `rate = {name} - {post.path}`, then read `err`",
            )
        if population.kind is not ir.Kind.TARGET and name not in near - {post.path}:
            self._not_local(synapse, population, ref)
        if population.size not in (1, post.size):
            self.fail(
                "C020",
                f"`{name}` has {population.size} units, `{post.path}` has {post.size}",
                ref.span,
                labels=(Label(population.span, f"{population.size} units"),),
                notes=("a partner is read one-to-one, or broadcast if it has size 1",),
            )
        return ir.Read(value=value, axis=ir.Axis.POST, span=ref.span)

    def _not_local(self, synapse: SynapseInfo, population: PopulationInfo, ref: ast.Ref) -> NoReturn:
        post, signal = synapse.post, ref.span.text
        if population.path == post.path:
            hint = f"its own postsynaptic neuron is `post`: write `{signal.replace(population.path, 'post', 1)}`"
        elif population.path == synapse.pre.path:
            hint = f"its presynaptic neuron is `pre`: write `{signal.replace(population.path, 'pre', 1)}`"
        else:
            hint = (
                f"bring it in by a synapse (`synapse V: {signal} -> {post.path}.apical`) and read `post.apical`, or\n"
                f"declare `modulator m = mean({signal})` if it is meant to be broadcast"
            )
        self.fail(
            "C031",
            f"`{synapse.path}` reads `{signal}`, which is neither its neuron nor a partner of it",
            ref.span,
            label="a signal of another population",
            labels=(Label(post.span, f"{synapse.path} ends on this population"),),
            notes=(
                "a synapse can use only what is present at it: w, pre, post, post's dendrites, modulators, and\n"
                f"populations wired one-to-one to {post.path}",
            ),
            hint=hint,
        )

    def _in_scalar(self, population: PopulationInfo, value: str, ref: ast.Ref) -> ir.Expr:
        if self.reducing is not None:
            self.reducing.append((value, population.size, ref.span))
        elif population.size != 1:
            assert isinstance(self.owner, OfScalar)
            self.fail(
                "C030",
                f"`{ref.span.text}` is a population of {population.size}, a {self.owner.what} is one number",
                ref.span,
                hint=f"reduce it: `mean({ref.span.text})`, `sum(…)`, `max(…)` or `norm(…)`",
            )
        return ir.Read(value=value, axis=ir.Axis.OWN, span=ref.span)
