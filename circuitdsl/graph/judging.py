"""What judges the circuit and runs it: schedule, loss, tasks, records, expectations."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from circuitdsl.diagnostics import Label, did_you_mean
from circuitdsl.graph import ir
from circuitdsl.graph.expressions import Equations
from circuitdsl.graph.findings import duplicate
from circuitdsl.graph.passes import Pass
from circuitdsl.graph.scope import (
    Scope,
    Stop,
)
from circuitdsl.graph.settings import SCALES, Judgements, word
from circuitdsl.graph.tables import (
    OfScalar,
)
from circuitdsl.syntax import ast


class Judging(Pass):
    """Resolves the items that are no part of the network."""

    def schedule(self) -> ir.Schedule:
        schedules = [(i, s) for i, s in self.structure.items if isinstance(i, ast.Schedule)]
        for extra, _ in schedules[1:]:
            self.report.add(duplicate("schedule", extra.span, schedules[0][0].span, "schedule"))
        if not schedules:
            return ir.Schedule()
        item, scope = schedules[0]
        update: Literal["tick", "example"] = "tick"
        for setting in item.settings:
            with suppress(Stop):
                if setting.name.name == "dt":
                    self.tables.dt = self.number(setting.value, scope, "dt")
                elif setting.name.name == "update":
                    chosen = word(setting.value, ("tick", "example"), "time of update", self.tables)
                    update = "example" if chosen == "example" else "tick"
                else:
                    self._unknown_setting(setting, ("dt", "update"), "a schedule")
        phases = []
        for phase in item.phases:
            with suppress(Stop):
                ticks = self.number(phase.ticks, scope, "the length of a phase")
                phases.append(ir.Phase(name=phase.name.name, ticks=ticks, train=phase.train, span=phase.span))
        return ir.Schedule(phases=tuple(phases), update=update)

    def _unknown_setting(self, setting: ast.Assign, known: Sequence[str], of: str) -> None:
        listed = ", ".join(f"`{k}`" for k in known)
        self.fail(
            "C018", f"{of} has no setting `{setting.name.name}`", setting.name.span, notes=(f"it has {listed}",),
            hint=did_you_mean(setting.name.name, known),
        )  # fmt: skip

    # ------------------------------------------------------------ loss, tasks, records, expectations

    def loss(self) -> ir.Loss | None:
        losses = [(i, s) for i, s in self.structure.items if isinstance(i, ast.Loss)]
        for extra, _ in losses[1:]:
            self.report.add(duplicate("loss", extra.span, losses[0][0].span, "loss"))
        if not losses:
            return None
        item, scope = losses[0]
        with suppress(Stop):
            expr = Equations(self.tables, OfScalar("loss")).resolve(item.value, scope)
            when: Literal["last", "at", "over"] = "last"
            phase = None
            if item.when is not None and item.phase is not None:
                when = "at" if word(item.when, ("at", "over"), "time of a loss", self.tables) == "at" else "over"
                phase = self._loss_phase(item.phase)
            return ir.Loss(expr=expr, when=when, phase=phase, span=item.span)
        return None

    def _loss_phase(self, name: ast.Name) -> str:
        if name.name not in self.tables.phases:
            hint = did_you_mean(name.name, self.tables.phases)
            self.fail("C010", f"`{name.name}` is not a phase of the schedule", name.span, hint=hint)
        schedule = next(i for i, _ in self.structure.items if isinstance(i, ast.Schedule))
        phase = next(p for p in schedule.phases if p.name.name == name.name)
        if phase.train:
            self.fail(
                "C052", f"the loss is read in `{name.name}`, a `train` phase", name.span,
                labels=(Label(phase.span, "does not exist in evaluation"),),
                notes=("the loss is read in evaluation, where train phases are skipped",),
            )  # fmt: skip
        self.structure.symbols.used.add(f"phase {name.name}")
        return name.name

    def tasks(self) -> dict[str, ir.Task]:
        found: dict[str, ir.Task] = {}
        for item, scope in self.structure.items:
            if isinstance(item, ast.Task):
                if item.name.name in found:
                    self.report.add(duplicate(item.name.name, item.name.span, found[item.name.name].span, "task"))
                    continue
                with suppress(Stop):
                    found[item.name.name] = self._task(item, scope)
        return found

    def _task(self, item: ast.Task, scope: Scope) -> ir.Task:
        known = ("data", "epochs", "batch", "seed", "metric", "scale")
        settings: dict[str, ast.Assign] = {}
        for setting in item.settings:
            if setting.name.name not in known:
                self._unknown_setting(setting, known, "a task")
            if setting.name.name in settings:
                first = settings[setting.name.name].span
                self.structure.symbols.fail(duplicate(setting.name.name, setting.span, first, "setting"))
            settings[setting.name.name] = setting
        if "data" not in settings:
            self.fail("C018", f"the task `{item.name.name}` has no data", item.name.span, hint="`data = digits`")
        data, arguments = self._data(settings["data"].value, scope)

        def number(name: str) -> ir.Expr | None:
            return self.number(settings[name].value, scope, f"`{name}`") if name in settings else None

        metric = None
        if "metric" in settings:
            metric = Equations(self.tables, OfScalar("metric")).resolve(settings["metric"].value, scope)
        scale: str | None = None
        if "scale" in settings:
            scale = word(settings["scale"].value, SCALES, "scale", self.tables)
        return ir.Task(
            name=item.name.name, span=item.name.span, doc=item.doc, data=data, data_arguments=arguments,
            epochs=number("epochs"), batch=number("batch"), seed=number("seed"), metric=metric,
            scale=scale,  # type: ignore[arg-type]
        )  # fmt: skip

    def _data(self, expr: ast.Expr, scope: Scope) -> tuple[str, tuple[tuple[str, float], ...]]:
        match expr:
            case ast.Name():
                return expr.name, ()
            case ast.String():
                return expr.value, ()
            case ast.Call():
                arguments = []
                for argument in expr.arguments:
                    if argument.name is None and expr.function == "file" and isinstance(argument.value, ast.String):
                        return argument.value.value, ()
                    if argument.name is None:
                        self.fail("C017", f"name the arguments of `{expr.function}`: `noise = 0.1`", argument.span)
                    number = self.structure.numbers.number(argument.value, scope)
                    arguments.append((argument.name or "", number))
                return expr.function, tuple(arguments)
            case _:
                title = f"`{expr.span.text}` is not a data set"
                self.fail("C060", title, expr.span, hint='a name (`digits`), or a file (`"mine.npz"`)')
                raise Stop

    def judgements(self) -> tuple[tuple[ir.Record, ...], tuple[ir.Expect, ...]]:
        judgements = Judgements(self.tables)
        records: list[ir.Record] = []
        expects: list[ir.Expect] = []
        for item, scope in self.structure.items:
            with suppress(Stop):
                match item:
                    case ast.Record():
                        records += judgements.records(item, scope)
                    case ast.ExpectVerdict():
                        expects.append(judgements.verdict(item, scope))
                    case ast.ExpectAttractor():
                        expects.append(judgements.attractor(item, scope))
                    case ast.ExpectMetric():
                        expects.append(judgements.metric(item, scope))
                    case _:
                        pass
        return tuple(records), tuple(expects)
