"""Equations: from names and calls to the typed expressions of graph/ir.py.

What a name may mean depends on whose equation it stands in (language.md, "What an equation may read"): a neuron's, a
synapse's, a scalar's (modulator, loss, metric, record) or a plain number's. Locality is enforced here,
because it is a property of reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import field
from typing import Literal, NoReturn, assert_never

from circuitdsl.diagnostics import Diagnostic, Label, Span
from circuitdsl.frozen import mutable
from circuitdsl.graph import ir
from circuitdsl.graph.calls import CALLS, resolve_call
from circuitdsl.graph.findings import BUILTIN_NAMES, FURTHER_NAMES, further, index_out_of_range, nearest
from circuitdsl.graph.formulas import OPERATOR_NAMES
from circuitdsl.graph.locality import (
    coefficient_as_number,
    dendrite_of_pre,
    foreign_coefficient,
    in_scalar,
    partner,
    wiring,
)
from circuitdsl.graph.scope import Declared, Member, Place, Rest, Scope, Stop, Thunk, flatten
from circuitdsl.graph.tables import OfNeuron, OfNumber, OfScalar, OfSynapse, Owner, PopulationInfo, Tables
from circuitdsl.syntax import ast

#: How deep an equation may nest and how many terms it may have once its rules are expanded: far beyond
#: what anyone writes, and within what the recursive functions of the compiler can take.
MAX_DEPTH = 200
MAX_NODES = 20_000
#: How many terms all equations together may have; what rules pass on to rules counts at every step.
MAX_TERMS = 200_000


@mutable
class Equations:
    """Resolves one equation of an owner. Its `name` is that of what it gives (`h`, `h.a`, `d h.v`, `d W.w`), and keys
    its random numbers; equations of numbers known before the run draw none, and need none."""

    tables: Tables
    owner: Owner
    name: str = ""
    draws: int = 0
    expanding: list[tuple[str, Span]] = field(default_factory=list)
    reducing: list[tuple[str, int, Span]] | None = None
    whole: Span | None = None  # of the equation at hand
    depth: int = 0
    nodes: int = 0

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
        self.whole = self.whole or expr.span
        self.depth += 1
        self.nodes += 1
        self._count()
        if self.depth > MAX_DEPTH:
            self.too_large(f"nests more than {MAX_DEPTH} deep")
        if self.nodes > MAX_NODES:
            self.too_large(f"grows beyond {MAX_NODES:,} terms")
        try:
            return self._resolved(expr, scope)
        finally:
            self.depth -= 1

    def _count(self) -> None:
        """Stops at once, with all that was found so far, when there is no end of terms. Raises CircuitError."""
        self.tables.terms += 1
        if self.tables.terms > MAX_TERMS:
            report = self.tables.symbols.report
            with suppress(Stop):
                self.too_large(f"brings the equations of the circuit beyond {MAX_TERMS:,} terms")
            report.stop_if_failed()

    def too_large(self, what: str) -> NoReturn:
        """C026 at the whole equation."""
        assert self.whole is not None
        span, calls = self.whole, [name for name, _ in self.expanding]
        self.tables.symbols.fail(
            Diagnostic(
                code="C026",
                title=f"`{span.shown}` {what} once its rules are written out",
                span=span,
                label=" -> ".join(calls[:4] + ["…"] * (len(calls) > 4)) if calls else "",
                notes=("a rule is replaced by its text, and so are its arguments wherever it reads them",),
                hint="name what is used often with `let`: it is then computed once",
            )
        )

    def _resolved(self, expr: ast.Expr, scope: Scope) -> ir.Expr:
        match expr:
            case ast.Number():
                return ir.Num(value=expr.value, span=expr.span)
            case ast.Name() | ast.Index() | ast.Member():
                return self._reference(expr, scope)
            case ast.Unary():
                return ir.Apply(function="neg", arguments=(self.resolve(expr.operand, scope),), span=expr.span)
            case ast.Binary(operator="&"):
                both = f"{expr.left.span.shown} * {expr.right.span.shown}"
                self.fail(
                    "C030", f"`{expr.span.shown}`: `&` combines connection masks, not numbers", expr.span,
                    hint=f"comparisons are 0 or 1; for both, multiply: `{both}`",
                )  # fmt: skip
            case ast.Binary():
                arguments = self.resolve_all((expr.left, expr.right), scope)
                return ir.Apply(function=OPERATOR_NAMES[expr.operator], arguments=arguments, span=expr.span)
            case ast.Call():
                return resolve_call(self, expr, scope)
            case ast.String():
                shown, number = expr.span.shown, _is_number(expr.value)
                self.fail(
                    "C030", f"the text `{shown}` stands where a number is needed", expr.span,
                    hint=f"without quotes it is a number: `{expr.value}`" if number else None,
                )  # fmt: skip
            case ast.ListOf():
                self.fail(
                    "C030", f"the list `{expr.span.shown}` stands where a number is needed", expr.span,
                    hint="make it a param, `param p = […]`, and read one element, `p[0]`",
                )  # fmt: skip
            case _:
                assert_never(expr)

    def resolve_all(self, exprs: Sequence[ast.Expr], scope: Scope) -> tuple[ir.Expr, ...]:
        """Each of several expressions; what is wrong in any of them is reported before this stops."""
        resolved: list[ir.Expr] = []
        for expr in exprs:
            with suppress(Stop):
                resolved.append(self.resolve(expr, scope))
        if len(resolved) < len(exprs):
            raise Stop
        return tuple(resolved)

    # ------------------------------------------------------------ references

    def _reference(self, ref: ast.Ref, scope: Scope) -> ir.Expr:
        inner = self._inner_reference(ref, scope)
        if inner is not None:
            self._count()
            return self._reference(*inner)
        endpoint = self._endpoint(ref, scope)
        if endpoint is not None:
            return self._at_endpoint(*endpoint, ref)
        if isinstance(ref, ast.Name):
            builtin = self._builtin(ref)
            if builtin is not None:
                return builtin
        else:
            base, accessors = flatten(ref)
            if base.name in BUILTIN_NAMES and base.name != "bias":
                self.fail(
                    "C030", f"`{ref.span.shown}`: `{base.name}` has no parts", accessors[0].span,
                    label=BUILTIN_NAMES[base.name], hint=f"write `{base.name}` alone",
                )  # fmt: skip
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
                self._unknown(found)
            case Place(entity=Member()):
                return self._member(found, ref)
            case Place():
                return self._entity(found, ref, scope)
            case _:
                assert_never(found)

    def _inner_reference(self, ref: ast.Ref, scope: Scope) -> tuple[ast.Ref, Scope] | None:
        """What a bare argument stands for, if that is a reference; messages then point at it."""
        binding = scope.lookup(ref.name) if isinstance(ref, ast.Name) else None
        if isinstance(binding, Thunk) and isinstance(binding.expr, ast.Name | ast.Index | ast.Member):
            return binding.expr, binding.scope
        return None

    def _unknown(self, place: Place) -> NoReturn:
        name = place.path.removeprefix(place.scope.prefix)
        if name in CALLS:
            self.fail("C017", f"`{name}` is a function", place.span, label="of what?", hint=f"write `{CALLS[name]}`")
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
                self.fail("C030", f"`{ref.span.shown}`: `{side}` is one neuron, it has no index", accessor.span)
            members = [*members, accessor]
        return side, members

    def _at_endpoint(self, side: Literal["pre", "post"], members: list[ast.Member], ref: ast.Ref) -> ir.Expr:
        self.needs_run(ref.span.shown, ref.span)
        if not isinstance(self.owner, OfSynapse):
            self.fail(
                "C030",
                f"`{side}` means something only in the equations of a synapse",
                ref.span,
                hint="a neuron's own rate is `rate` in `dv`; another population is read by its name",
            )
        synapse = self.owner.synapse
        population = synapse.pre if side == "pre" else synapse.post
        axis = ir.Axis.PRE if side == "pre" else ir.Axis.POST
        when = synapse.source.when if side == "pre" else ir.When.NOW
        if not members:
            value = synapse.source.value if side == "pre" else population.path
            return ir.Read(value=value, axis=axis, when=when, span=ref.span)
        if len(members) > 1:
            self.fail("C010", f"`{ref.span.shown}` has one name too many", members[1].name_span)
        name = self._member_of(population, members[0].name, members[0].name_span)
        if side == "pre" and population.members[name] is ir.Kind.DENDRITE:
            dendrite_of_pre(self, synapse, population, name, ref)
        return ir.Read(value=f"{population.path}.{name}", axis=axis, when=when, span=ref.span)

    def _member_of(self, population: PopulationInfo, name: str, span: Span) -> str:
        if name not in population.members:
            if name in FURTHER_NAMES:
                self.tables.symbols.fail(further(name, span))
            bare = population.kind is not ir.Kind.RATE
            hint = (
                f"an {population.kind.value} has a rate and nothing else" if population.kind is ir.Kind.INPUT else None
            )
            self.fail(
                "C010",
                f"`{population.path}` has no dendrite, state or let `{name}`",
                span,
                label="nothing of this name",
                labels=(Label(population.span, "declared here"),),
                hint=hint if bare else nearest(name, list(population.members), "it has"),
            )
        return name

    def _builtin(self, ref: ast.Name) -> ir.Expr | None:
        match ref.name:
            case "w":
                self.needs_run("w", ref.span)
                if not isinstance(self.owner, OfSynapse):
                    self.fail(
                        "C030", "`w` means something only in the equations of a synapse", ref.span,
                        hint="what synapses bring to a neuron is read by its dendrite",
                    )  # fmt: skip
                return ir.Weight(span=ref.span)
            case "tick":
                self.needs_run("tick", ref.span)
                return ir.Tick(span=ref.span)
            case "train":
                self.needs_run("train", ref.span)
                return ir.Flag(which="train", span=ref.span)
            case "fan_in" | "fan_out":
                if not (isinstance(self.owner, OfSynapse) or (isinstance(self.owner, OfNumber) and self.owner.fans)):
                    self.fail(
                        "C030", f"`{ref.name}` means something only within a synapse", ref.span,
                        hint=f"scale the weights instead, such as `init = normal(0, 1/sqrt({ref.name}))`",
                    )  # fmt: skip
                return ir.Fan(which="in" if ref.name == "fan_in" else "out", span=ref.span)
            case "dt":
                return self.tables.dt if self.tables.dt is not None else ir.Num(value=1.0, span=ref.span)
            case "rate":
                return self._own_rate(ref)
            case "loss":
                return self._loss(ref)
            case "prev" | "first" | "last":
                what = "h" if ref.name == "prev" else next(iter(self.tables.phases), "P")
                self.fail("C017", f"`{ref.name}` needs an argument", ref.span, hint=f"write `{ref.name}({what})`")
            case "metric" | "backprop":
                self.fail(
                    "C030", f"`{ref.name}` stands only in `expect metric`", ref.span,
                    hint="what is known during a run is the loss: `modulator m = loss`",
                )  # fmt: skip
            case _:
                return None

    def needs_run(self, name: str, span: Span) -> None:
        if isinstance(self.owner, OfNumber):
            param = self.owner.what.strip("`") in self.tables.params
            self.fail(
                "C024", f"`{name}` changes during a run", span,
                label=f"{self.owner.what} has to be known before it",
                hint="compute it where it changes: in a `modulator`, a `let`, or the equation that reads it"
                if param else None,
            )  # fmt: skip

    def _own_rate(self, ref: ast.Name) -> ir.Expr:
        self.needs_run("rate", ref.span)
        if not isinstance(self.owner, OfNeuron):
            self.fail(
                "C030",
                "`rate` means the neuron's own rate, in the equations of its states only",
                ref.span,
                hint="the rate of the postsynaptic neuron is `post`"
                if isinstance(self.owner, OfSynapse)
                else "name the population",
            )
        if self.owner.what != "update":
            self.fail(
                "C030",
                f"`rate` is read in its own `{self.owner.what}`"
                if self.owner.what == "rate"
                else "`rate` is read in a `let`, which may enter the rate itself",
                ref.span,
                hint=f"its rate of the tick before is `prev({self.owner.population.path})`",
            )
        return ir.Read(value=self.owner.population.path, axis=ir.Axis.OWN, span=ref.span)

    def _loss(self, ref: ast.Name) -> ir.Expr:
        self.needs_run("loss", ref.span)
        if isinstance(self.owner, OfScalar) and self.owner.what == "loss":
            self.fail("C031", "`loss` is read in the loss itself", ref.span, label="this is what is being defined")
        if not isinstance(self.owner, OfScalar):
            self.fail(
                "C031",
                "`loss` is read where it is not present",
                ref.span,
                label="no neuron and no synapse sees the loss",
                notes=("the loss is a value in modulators and records only",),
                hint="broadcast it: declare `modulator m = loss`, and read `m`",
            )
        if not self.tables.has_loss:
            self.fail(
                "C051", "`loss` is read but the circuit declares none", ref.span,
                label="there is nothing to read", hint="declare what learning should lower: `loss = …`",
            )  # fmt: skip
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
            self.fail("C010", f"`{ref.span.shown}`: `{place.path}` has no members", place.rest[0].span)
        if member.kind == "coefficient":
            coefficient_as_number(self, member.name, ref)
        else:
            self.needs_run(place.path, ref.span)
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
                    label="a whole matrix of weights",
                    hint=self._of_weights(place.path),
                )
            case _:
                # declared, but its own declaration failed: that has been reported
                self.fail("C010", f"`{place.path}` could not be resolved", ref.span)

    def _of_weights(self, path: str) -> str:
        """Where the weights of a synapse can be read."""
        match self.owner:
            case OfScalar(what="record"):
                return f"records show weights, `record {path}`, and their norm, `record norm({path})`"
            case OfScalar(what="loss"):
                return f"a penalty on weights is a decay in their rule: `- gamma * w`; watch `record norm({path})`"
            case OfScalar():
                return f"norms of weights stand in records only: `record norm({path})`"
            case OfSynapse(synapse=synapse) if synapse.path == path:
                return "in its own equations its weight is `w`"
            case _:
                return "a synapse sees its own weight only, as `w`; a dendrite brings what others transmit"

    def _param(self, place: Place, ref: ast.Ref) -> ir.Expr:
        path = place.path
        if path in self.tables.coefficients:
            return self._coefficient(path, place, ref)
        length = self.tables.params.get(path)
        match place.rest:
            case () if length is None:
                return ir.ParamRef(name=path, span=ref.span)
            case () if length is not None:
                self.fail("C030", f"`{path}` is a list of {length} numbers", ref.span, hint=f"say which: `{path}[0]`")
            case (Rest(key=int() as key),) if length is not None:
                if not 0 <= key < length:
                    self.tables.symbols.fail(index_out_of_range(path, key, length, ref.span))
                return ir.ParamRef(name=f"{path}[{key}]", span=ref.span)
            case _:
                what = "a list of numbers" if length is not None else "a number"
                self.fail(
                    "C030", f"`{ref.span.shown}`: `{path}` is {what}", place.rest[-1].span, label="has no such part"
                )

    def _coefficient(self, path: str, place: Place, ref: ast.Ref) -> ir.Expr:
        """A coefficient by its indexed name (`a[l]`) or an alias; by its bare name it is a member of its owner."""
        match self.owner:
            case OfNeuron():
                mine: str | None = self.owner.population.path
            case OfSynapse():
                mine = self.owner.synapse.path
            case _:
                coefficient_as_number(self, path, ref)
                mine = None
        if mine != self.tables.coefficients[path].owner:
            foreign_coefficient(self, path, ref)
        member = Member("coefficient", path, place.span)
        return self._member(Place(path, member, place.rest, place.span, place.scope), ref)

    def _modulator(self, place: Place, ref: ast.Ref) -> ir.Expr:
        self.needs_run(place.path, ref.span)
        match place.rest:
            case ():
                value = place.path
            case (Rest(key=str() as name),) if name in self.tables.modulators[place.path]:
                value = f"{place.path}.{name}"
            case _:
                states, last = list(self.tables.modulators[place.path]), place.rest[0]
                self.fail(
                    "C010", f"the modulator `{place.path}` has no state `{last.key}`", last.span,
                    label="nothing of this name",
                    labels=(Label(self.tables.symbols.entities[place.path].span, "declared here"),),
                    hint=nearest(str(last.key), states, "it has") or f"its value is `{place.path}`",
                )  # fmt: skip
        return ir.Read(value=value, axis=ir.Axis.SCALAR, span=ref.span)

    def _population(self, place: Place, ref: ast.Ref) -> ir.Expr:
        self.needs_run(place.path, ref.span)
        population = self.tables.populations[place.path]
        value = self._value_of(population, place, ref)
        match self.owner:
            case OfNeuron():
                return wiring(self, self.owner, population, value, ref)
            case OfSynapse():
                return partner(self, self.owner.synapse, population, value, ref)
            case OfScalar():
                return in_scalar(self, population, value, ref)
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
                    f"`{ref.span.shown}`: single units of a population cannot be named",
                    span,
                    label="an index here would choose a unit",
                    notes=("equations are written once, for every unit of a population",),
                    hint=f"make it a population of its own, or reduce it: `modulator m = mean({population.path})`",
                )
            case _:
                self.fail("C010", f"`{ref.span.shown}` has one name too many", place.rest[-1].span)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
