"""Second pass: the equations, and with them the entities of the circuit graph."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import field

from circuitdsl.diagnostics import Diagnostic, Label, Span, did_you_mean
from circuitdsl.frozen import mutable
from circuitdsl.graph import ir
from circuitdsl.graph.expressions import Equations
from circuitdsl.graph.findings import duplicate, further, last_word, units
from circuitdsl.graph.judging import Judging
from circuitdsl.graph.passes import Pass, neuron_names, states_of
from circuitdsl.graph.scope import (
    Binding,
    Declared,
    Member,
    Scope,
    Stop,
)
from circuitdsl.graph.settings import Inits
from circuitdsl.graph.tables import (
    OfNeuron,
    OfScalar,
    PopulationInfo,
)
from circuitdsl.syntax import ast


@mutable
class Builder(Pass):
    text: str
    values: dict[str, ir.Value] = field(default_factory=dict)

    # ------------------------------------------------------------ second pass: equations

    def build(self) -> ir.Circuit | None:
        judging = Judging(self.structure, self.report, self.overrides, self.tables)
        schedule = judging.schedule()
        params = self._params()
        populations = self._populations()
        self._modulators()
        for item, scope in self.structure.items:
            if isinstance(item, ast.Pair):
                with suppress(Stop):
                    self._pair(item, scope)
        coefficients = self._coefficients()
        synapses = self._synapses()
        loss = judging.loss()
        if loss is not None:
            self._value("loss", ir.Kind.LOSS, None, 1, loss.span, (), loss.expr)
        tasks = judging.tasks()
        records, expects = judging.judgements()
        if self.report.failed:
            return None
        self._connect(synapses)
        names = self.tables.populations
        partners = frozenset(frozenset((p, q)) for p in names for q in self.tables.partners(p))
        circuit = self.structure.circuit
        return ir.Circuit(
            name=circuit.name.name, span=circuit.name.span, doc=circuit.doc, text=self.text, params=params,
            populations=populations, values=self.values, synapses=synapses, coefficients=coefficients,
            schedule=schedule, loss=loss, tasks=tasks, records=records, expects=expects,
            wires=tuple(dict.fromkeys(self.tables.wired)), partners=partners,
            aliases={k: a.ref.span.text for k, a in self.structure.symbols.aliases.items()}, order=(),
        )  # fmt: skip

    def _params(self) -> dict[str, ir.Param]:
        found: dict[str, ir.Param] = {}
        for declared in self.declared():
            if declared.path in self.tables.params:
                with suppress(Stop), self.inside(declared.scope):
                    found[declared.path] = self._param(declared)
        return found

    def _param(self, declared: Declared) -> ir.Param:
        assert isinstance(declared.item, ast.Param)
        written, path = declared.item.value, declared.path
        value: ir.Expr | tuple[ir.Expr, ...]
        if path in self.overrides:
            given = self.overrides[path]
            if isinstance(given, int | float):
                value = ir.Num(value=float(given), span=written.span)
            else:
                value = tuple(ir.Num(value=float(v), span=written.span) for v in given)
        elif isinstance(written, ast.ListOf):
            value = tuple(self._list_element(f"{path}[{i}]", v, declared.scope) for i, v in enumerate(written.items))
        else:
            value = self.number(written, declared.scope, f"`{path}`")
        structural = path in self.structure.symbols.structural
        return ir.Param(name=path, span=declared.span, via=declared.scope.via, value=value, structural=structural)

    def _list_element(self, name: str, written: ast.Expr, scope: Scope) -> ir.Expr:
        given = self.overrides.get(name)
        if isinstance(given, int | float):
            return ir.Num(value=float(given), span=written.span)
        return self.number(written, scope, f"`{name}`")

    # ------------------------------------------------------------ populations

    def _populations(self) -> dict[str, ir.Population]:
        found: dict[str, ir.Population] = {}
        for declared in self.declared():
            info = self.tables.populations.get(declared.path)
            if info is None:
                continue
            found[info.path] = self._population_entity(declared, info)
            if not isinstance(declared.item, ast.Neuron):
                self._value(info.path, info.kind, info.path, info.size, info.span, declared.scope.via)
        for declared in self.declared():
            if isinstance(declared.item, ast.Neuron):
                with self.inside(declared.scope):
                    self._neuron(declared, declared.item)
        return found

    def _population_entity(self, declared: Declared, info: PopulationInfo) -> ir.Population:
        def named(kind: ir.Kind) -> tuple[str, ...]:
            return tuple(f"{info.path}.{n}" for n, k in info.members.items() if k is kind)

        doc = declared.item.doc if isinstance(declared.item, ast.Neuron) else None
        return ir.Population(
            name=info.path, span=info.span, via=declared.scope.via, doc=doc, kind=info.kind, size=info.size,
            dendrites=named(ir.Kind.DENDRITE), states=named(ir.Kind.STATE), lets=named(ir.Kind.LET),
        )  # fmt: skip

    def _value(self, name: str, kind: ir.Kind, population: str | None, size: int, span: Span,
               via: tuple[Span, ...], expr: ir.Expr | None = None) -> None:  # fmt: skip
        self.values[name] = ir.Value(
            name=name, kind=kind, population=population, size=size, span=span, via=via, expr=expr
        )

    def _neuron(self, declared: Declared, item: ast.Neuron) -> None:
        info = self.tables.populations[declared.path]
        members: dict[str, Binding] = {
            name.name: Member("value", f"{info.path}.{name.name}", span) for name, _, span in neuron_names(item)
        }
        self._add_coefficients(members, info.path)
        scope = declared.scope.child(members)
        rates = [m for m in item.members if isinstance(m, ast.Rate)]
        for extra in rates[1:]:
            self.report.add(duplicate("rate", extra.span, rates[0].span, "rate"))
        updates = self._updates(item.members, {m.name.name for m in states_of(item.members)}, info.path)
        via = declared.scope.via
        self.tables.broken.add(info.path)
        resolved = 0
        for member in item.members:
            with suppress(Stop):
                match member:
                    case ast.Dendrites():
                        for name in member.names:
                            path = f"{info.path}.{name.name}"
                            self._value(path, ir.Kind.DENDRITE, info.path, info.size, name.span, via)
                    case ast.State():
                        self._state(member, info, scope, updates)
                    case ast.Let():
                        path = f"{info.path}.{member.name.name}"
                        expr = Equations(self.tables, OfNeuron(info, "let"), path).resolve(member.value, scope)
                        self._value(path, ir.Kind.LET, info.path, info.size, member.span, via, expr)
                    case ast.Rate():
                        expr = Equations(self.tables, OfNeuron(info, "rate"), info.path).resolve(member.value, scope)
                        self._value(info.path, ir.Kind.RATE, info.path, info.size, member.span, via, expr)
                    case ast.Further():
                        self.structure.symbols.fail(further(member.what, member.span))
                    case ast.Assign():
                        pass  # an increment, taken by its state
                resolved += 1
        if resolved == len(item.members):
            self.tables.broken.remove(info.path)
        if not rates:
            self.report.add(
                Diagnostic(
                    code="C047", title=f"`{info.path}` has no rate", span=info.span,
                    label="what does it send?",
                    hint=f"give it one: `rate = relu({next(iter(info.members), '…')})`",
                )
            )  # fmt: skip

    def _add_coefficients(self, members: dict[str, Binding], owner: str) -> None:
        """The coefficients of an owner are seen by its equations under the name they were given."""
        for path, info in self.tables.coefficients.items():
            if info.owner == owner:
                declared = self.structure.symbols.entities[path]
                bare = path.removeprefix(declared.scope.prefix)
                if bare in members:
                    first = members[bare]
                    place = first.span if isinstance(first, Member) else declared.span
                    self.report.add(duplicate(bare, declared.span, place, "declaration"))
                members.setdefault(bare, Member("coefficient", path, declared.span))

    def _state(self, member: ast.State, info: PopulationInfo, scope: Scope, updates: dict[str, ast.Assign]) -> None:
        if member.lifetime == "fresh":
            self.fail(
                "C018", f"the state `{member.name.name}` of a neuron is `fresh` anyway", last_word(member.span),
                notes=("a neuron's state starts anew with every example; `keep` lets it survive",),
                hint="leave `fresh` out",
            )  # fmt: skip
        path = f"{info.path}.{member.name.name}"
        update = updates.get(member.name.name)
        self.values[path] = ir.Value(
            name=path, kind=ir.Kind.STATE, population=info.path, size=info.size, span=member.span, via=scope.via,
            init=Inits(self.tables, None).resolve(member.init, scope),
            lifetime=ir.Lifetime.KEEP if member.lifetime == "keep" else ir.Lifetime.EXAMPLE,
            update=self._increment(path, update, OfNeuron(info, "update"), scope),
            update_span=update.span if update else None,
        )  # fmt: skip

    def _increment(
        self, state: str, update: ast.Assign | None, owner: OfNeuron | OfScalar, scope: Scope
    ) -> ir.Expr | None:
        """The increment of a state per tick: `dv = e`, or `dv/dt = e` times dt."""
        if update is None:
            return None
        expr = Equations(self.tables, owner, f"d {state}").resolve(update.value, scope)
        if update.per_dt and self.tables.dt is not None:
            return ir.Apply(function="mul", arguments=(self.tables.dt, expr), span=update.span)
        return expr

    def _updates(self, members: Sequence[object], states: set[str], owner: str) -> dict[str, ast.Assign]:
        """The equations `dX = ...` by the name of their state."""
        found: dict[str, ast.Assign] = {}
        for member in members:
            if not isinstance(member, ast.Assign):
                continue
            with suppress(Stop):
                name = member.name.name
                state = name[1:]
                if not name.startswith("d") or len(name) == 1:
                    self.structure.symbols.broken.add(owner.removesuffix(owner.rpartition(".")[2]) + name)
                    self.fail(
                        "C018", f"`{name}` is no part of `{owner}`", member.name.span, label="nothing to set here",
                        hint=did_you_mean(name, ["dendrite", "state", "let", "rate", *(f"d{s}" for s in states)])
                        or self._meant(name, members),
                    )  # fmt: skip
                if state not in states:
                    self._undeclared_state(member, state, states, owner)
                if state in found:
                    self.structure.symbols.fail(duplicate(name, member.name.span, found[state].name.span, "equation"))
                found[state] = member
        return found

    @staticmethod
    def _meant(name: str, members: Sequence[object]) -> str:
        """What an equation for something undeclared was to be: the rate, if there is none."""
        if any(isinstance(m, ast.Rate) for m in members):
            return f"name the value with `let {name} = …`"
        return f"what a neuron sends is its rate: `rate = …`; another value is named by `let {name} = …`"

    def _undeclared_state(self, member: ast.Assign, state: str, states: set[str], owner: str) -> None:
        hint = did_you_mean(state, states)
        if state == "rate":
            hint = "let a state have the increment, and send it: `state v = 0   dv = …   rate = v`"
        self.fail(
            "C014", f"`{member.name.name}` is the increment of `{state}`, but `{owner}` has no state `{state}`",
            member.name.span, label=f"no state `{state}`",
            hint=hint or f"declare it: `state {state} = 0`",
        )  # fmt: skip

    # ------------------------------------------------------------ scalars

    def _modulators(self) -> None:
        for declared in self.declared():
            if isinstance(declared.item, ast.Modulator):
                with self.inside(declared.scope):
                    self._modulator(declared, declared.item)

    def _modulator(self, declared: Declared, item: ast.Modulator) -> None:
        path, via, owner = declared.path, declared.scope.via, OfScalar("modulator")
        states = states_of(item.members)
        members: dict[str, Binding] = {s.name.name: Member("value", f"{path}.{s.name.name}", s.span) for s in states}
        scope = declared.scope.child(members)
        updates = self._updates(item.members, {s.name.name for s in states}, path)
        for state in states:
            with suppress(Stop):
                update = updates.get(state.name.name)
                name = f"{path}.{state.name.name}"
                self.values[name] = ir.Value(
                    name=name, kind=ir.Kind.STATE, population=None, size=1, span=state.span, via=via,
                    init=Inits(self.tables, None).resolve(state.init, scope),
                    lifetime=ir.Lifetime.KEEP if state.lifetime == "keep" else ir.Lifetime.EXAMPLE,
                    update=self._increment(name, update, owner, scope), update_span=update.span if update else None,
                )  # fmt: skip
        with suppress(Stop):
            expr = Equations(self.tables, owner, path).resolve(item.value, scope)
            self._value(path, ir.Kind.MODULATOR, None, 1, declared.span, via, expr)

    def _pair(self, item: ast.Pair, scope: Scope) -> None:
        ends = []
        for ref in (item.left, item.right):
            place = self.walk(ref, scope)
            if place.path not in self.tables.populations or place.rest:
                self.fail(
                    "C030", f"`{ref.span.shown}` is not a population: `pair` joins two", ref.span,
                    label="not a population", hint="`pair h ~ g` says that each unit of `h` meets one of `g`",
                )  # fmt: skip
            ends.append(self.tables.populations[place.path])
        left, right = ends
        if left.path == right.path:
            self.fail("C030", f"`{item.span.shown}` joins a population with itself", item.span, label="one population")
        self.tables.meet(left.path, right.path)
        if left.size != right.size and 1 not in (left.size, right.size):
            self.fail(
                "C020", f"`{left.path}` has {units(left.size)}, `{right.path}` has {right.size}", item.span,
                labels=(Label(left.span, units(left.size)), Label(right.span, units(right.size))),
                label="not one-to-one", notes=("partners are one-to-one: equal sizes, or size 1",),
            )  # fmt: skip

    # ------------------------------------------------------------ synapses

    def _coefficients(self) -> dict[str, ir.Coefficient]:
        found: dict[str, ir.Coefficient] = {}
        for path, info in self.tables.coefficients.items():
            declared = self.structure.symbols.entities[path]
            assert isinstance(declared.item, ast.Param)
            with suppress(Stop):
                init = Inits(self.tables, self.tables.synapses.get(info.owner)).resolve(
                    declared.item.value, declared.scope
                )
                found[path] = ir.Coefficient(
                    name=path,
                    span=declared.span,
                    via=declared.scope.via,
                    owner=info.owner,
                    per=info.per,
                    init=init,
                )
        return found

    def _synapses(self) -> dict[str, ir.Synapse]:
        from circuitdsl.graph.synapses import SynapseBuilder

        found: dict[str, ir.Synapse] = {}
        for declared in self.declared():
            if isinstance(declared.item, ast.Synapse) and declared.path in self.tables.synapses:
                info = self.tables.synapses[declared.path]
                members: dict[str, Binding] = {}
                self._add_coefficients(members, declared.path)
                with self.inside(declared.scope):
                    synapse = SynapseBuilder(self.tables, self.report, declared, declared.item, info, members).build()
                if synapse is not None:
                    found[declared.path] = synapse
        return found

    def _connect(self, synapses: dict[str, ir.Synapse]) -> None:
        """Gives every dendrite its currents, to be summed in the order of the synapses' names: in that of the text,
        moving an item would change the last bits."""
        import dataclasses

        currents: dict[str, list[ir.Current]] = {}
        for _, synapse in sorted(synapses.items()):
            currents.setdefault(synapse.dendrite, []).append(ir.Current(synapse=synapse.name, source=synapse.source))
        for name, found in currents.items():
            self.values[name] = dataclasses.replace(self.values[name], currents=tuple(found))
