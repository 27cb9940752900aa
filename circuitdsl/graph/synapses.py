"""One synapse from its text: initial weights, masks, bounds, states, drives and the plasticity rule."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import field

from circuitdsl.diagnostics import Diagnostic, Label, Report, did_you_mean
from circuitdsl.frozen import mutable
from circuitdsl.graph import ir
from circuitdsl.graph.expressions import Equations
from circuitdsl.graph.findings import BUILTIN_NAMES, builtin_declared, duplicate, further, last_word
from circuitdsl.graph.scope import Binding, Declared, Member, Scope, Stop
from circuitdsl.graph.settings import Inits, connections, word
from circuitdsl.graph.tables import OfNumber, OfSynapse, SynapseInfo, Tables
from circuitdsl.syntax import ast

SETTINGS = ("init", "connect", "sign", "bounds")
FURTHER_SETTINGS = ("tie", "share", "delay", "efficacy")


@mutable
class SynapseBuilder:
    tables: Tables
    report: Report
    declared: Declared
    item: ast.Synapse
    info: SynapseInfo
    members: dict[str, Binding]
    settings: dict[str, ast.Assign] = field(default_factory=dict)
    updates: dict[str, ast.Assign] = field(default_factory=dict)

    def build(self) -> ir.Synapse | None:
        """The synapse, or None if something in it is wrong (and reported)."""
        before = len(self.report.found)
        self._declare_members()
        scope = self.declared.scope.child(self.members)
        for member in self.item.members:
            if isinstance(member, ast.Assign | ast.Further):
                with suppress(Stop):
                    self._sort(member)
        synapse = None
        with suppress(Stop):
            synapse = self._synapse(scope)
        return synapse if len(self.report.found) == before else None

    def _declare_members(self) -> None:
        for member in self.item.members:
            if not isinstance(member, ast.State | ast.Drive):
                continue
            name = member.name.name
            if name in BUILTIN_NAMES:
                self.report.add(builtin_declared(member.name))
            elif name in self.members:
                known = self.members[name]
                first = known.span if isinstance(known, Member) else member.span
                self.report.add(duplicate(name, member.name.span, first, "member"))
            else:
                kind = "synapse state" if isinstance(member, ast.State) else "drive"
                self.members[name] = Member(kind, name, member.name.span)  # type: ignore[arg-type]

    def _sort(self, member: ast.Assign | ast.Further) -> None:
        """Tells settings from increments."""
        if isinstance(member, ast.Further):
            self.tables.symbols.fail(further(member.what, member.span))
        name = member.name.name
        if name in FURTHER_SETTINGS:
            self.tables.symbols.fail(further(name, member.span))
        states = {n for n, m in self.members.items() if isinstance(m, Member) and m.kind == "synapse state"}
        table = self.settings if name in SETTINGS else self.updates
        key = name if name in SETTINGS else name[1:]
        if name not in SETTINGS and not (name.startswith("d") and key in {"w", *states}):
            self._unknown(member, states)
        if key in table:
            self.tables.symbols.fail(duplicate(name, member.name.span, table[key].name.span, "equation"))
        table[key] = member

    def _unknown(self, member: ast.Assign, states: set[str]) -> None:
        name = member.name.name
        hint = did_you_mean(name, [*SETTINGS, "dw", *(f"d{s}" for s in states), "state", "drive"])
        if name.startswith("d") and len(name) > 1:
            title = f"`{name}` is the increment of `{name[1:]}`, but `{self.info.path}` has no state `{name[1:]}`"
            declare = hint or f"declare it: `state {name[1:]} = 0`"
            if name[1:] in ("W", "weight", "weights", "J", self.info.path.rpartition(".")[2]):
                declare = "in its own equations the weight is `w`, and its increment `dw = …`"
            self.tables.symbols.fail(
                Diagnostic(
                    code="C014", title=title, span=member.name.span, label=f"no state `{name[1:]}`", hint=declare
                )
            )
        title = f"a synapse has no setting `{name}`"
        expected = "expected `init`, `connect`, `sign`, `bounds`, `dw`, a state or a drive"
        if name in ("w", "weight", "W"):
            hint = "a rule gives the increment of the weight: `dw = …` is added to it"
        elif isinstance(member.value, ast.Number):
            hint = (
                hint or f"a number is declared outside, `param {name} = {member.value.span.text}`, and read in the rule"
            )
        hint = hint or f"name a value with `drive {name} = …` or `state {name} = …`"
        self.tables.symbols.fail(Diagnostic(code="C018", title=title, span=member.name.span, label=expected, hint=hint))

    def _synapse(self, scope: Scope) -> ir.Synapse:
        info = self.info
        dw = self._increment("w", scope)
        states = tuple(self._state(m, scope) for m in self.item.members if isinstance(m, ast.State))
        drives = tuple(self._drive(m, scope) for m in self.item.members if isinstance(m, ast.Drive))
        fresh = {s.name for s in states if s.fresh}
        self._slow_only(dw, fresh)
        for state in states:
            if state.fresh and ir.is_slow(state.update):
                self._fresh_from_drive(state)
            else:
                self._slow_only(state.update, fresh)
        return ir.Synapse(
            name=info.path, span=self.declared.span, via=scope.via, doc=self.item.doc, source=info.source,
            pre=info.pre.path, post=info.post.path, dendrite=info.dendrite, pre_size=info.pre.size,
            post_size=info.post.size, init=self._init(scope), connect=self._connect(scope), sign=self._sign(),
            bounds=self._bounds(scope), states=states, drives=drives, dw=dw,
            dw_span=self.updates["w"].span if "w" in self.updates else None,
        )  # fmt: skip

    def _init(self, scope: Scope) -> ir.Init:
        if "init" in self.settings:
            return Inits(self.tables, self.info).resolve(self.settings["init"].value, scope)
        span = self.declared.span
        one = ir.Num(value=1.0, span=span)
        root = ir.Apply(function="sqrt", arguments=(ir.Fan(which="in", span=span),), span=span)
        deviation = ir.Apply(function="div", arguments=(one, root), span=span)
        return ir.InitCall(which="normal", arguments=(ir.Num(value=0.0, span=span), deviation), span=span)

    def _connect(self, scope: Scope) -> tuple[ir.Connect, ...]:
        if "connect" not in self.settings:
            return ()
        masks = connections(self.settings["connect"].value, scope, self.tables, self.info)
        return tuple(m for m in masks if m.which != "dense")

    def _sign(self) -> ir.Sign:
        if "sign" not in self.settings:
            return ir.Sign.FREE
        return ir.Sign(word(self.settings["sign"].value, tuple(ir.Sign), "sign", self.tables))

    def _bounds(self, scope: Scope) -> tuple[ir.Expr, ir.Expr] | None:
        if "bounds" not in self.settings:
            return None
        value = self.settings["bounds"].value
        if not isinstance(value, ast.ListOf) or len(value.items) != 2:
            title = f"`{value.span.shown}` is not a pair of bounds"
            size = value.span.shown if isinstance(value, ast.Number | ast.Name) else "1"
            hint = f"write the lowest and the highest weight: `bounds = [-{size}, {size}]`"
            self.tables.symbols.fail(Diagnostic(code="C030", title=title, span=value.span, hint=hint))
        numbers = Equations(self.tables, OfNumber("a bound", fans=True))
        return numbers.resolve(value.items[0], scope), numbers.resolve(value.items[1], scope)

    def _equation(self, name: str) -> Equations:
        return Equations(self.tables, OfSynapse(self.info), name)

    def _increment(self, name: str, scope: Scope) -> ir.Expr | None:
        update = self.updates.get(name)
        if update is None:
            return None
        expr = self._equation(f"d {self.info.path}.{name}").resolve(update.value, scope)
        if update.per_dt and self.tables.dt is not None:
            return ir.Apply(function="mul", arguments=(self.tables.dt, expr), span=update.span)
        return expr

    def _state(self, member: ast.State, scope: Scope) -> ir.SynapseVar:
        if member.lifetime == "keep":
            title = f"the state `{member.name.name}` of a synapse survives the example anyway"
            notes = ("`fresh` makes one per example, reset with it",)
            self.tables.symbols.fail(
                Diagnostic(code="C018", title=title, span=last_word(member.span), notes=notes, hint="leave `keep` out")
            )
        return ir.SynapseVar(
            name=member.name.name, init=Inits(self.tables, self.info).resolve(member.init, scope),
            fresh=member.lifetime == "fresh", update=self._increment(member.name.name, scope), span=member.span,
        )  # fmt: skip

    def _drive(self, member: ast.Drive, scope: Scope) -> ir.SynapseDrive:
        expr = self._equation(f"{self.info.path}.{member.name.name}").resolve(member.value, scope)
        if ir.is_slow(expr):
            read = next(part for part in ir.walk(expr) if isinstance(part, ir.DriveRead))
            self.tables.symbols.fail(
                Diagnostic(
                    code="C033",
                    title=f"the drive `{member.name.name}` reads the drive `{read.name}`",
                    span=read.span,
                    label="not averaged yet",
                    notes=("a drive is evaluated per example, before any drive has been averaged",),
                    hint=f"read `{read.name}` in `dw` or in the increment of a state instead",
                )
            )
        return ir.SynapseDrive(name=member.name.name, expr=expr, span=member.span)

    def _slow_only(self, expr: ir.Expr | None, fresh: set[str]) -> None:
        """An equation that reads a drive may otherwise read only what has no example."""
        if expr is None or not ir.is_slow(expr):
            return
        drives = [part for part in ir.walk(expr) if isinstance(part, ir.DriveRead)]
        for part in ir.walk(expr):
            bad = isinstance(part, ir.Read | ir.Flag | ir.Tick | ir.Random)
            if bad or (isinstance(part, ir.SynapseState) and part.name in fresh):
                self.report.add(
                    Diagnostic(
                        code="C033",
                        title=f"`{part.span.shown}` belongs to one example, the drive beside it to all of a batch",
                        span=part.span,
                        label="one for each example",
                        labels=tuple(Label(d.span, "averaged over the batch") for d in drives[:1]),
                        notes=(
                            "an equation that reads a drive is evaluated once per update: it may otherwise read "
                            "only w, persistent states, drives, params and coefficients",
                        ),
                        hint=f"move `{part.span.shown}` into the drive",
                    )
                )

    def _fresh_from_drive(self, state: ir.SynapseVar) -> None:
        self.report.add(
            Diagnostic(
                code="C033",
                title=f"the fresh state `{state.name}` reads a drive",
                span=state.span,
                notes=("a drive is averaged over examples, a fresh state is one per example",),
                hint="leave `fresh` out",
            )
        )
