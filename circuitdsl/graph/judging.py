"""What judges the circuit and runs it: schedule, loss, tasks, records, expectations."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from circuitdsl.diagnostics import Label, did_you_mean
from circuitdsl.graph import ir
from circuitdsl.graph.calls import unknown_phase
from circuitdsl.graph.expressions import Equations
from circuitdsl.graph.findings import alternatives, duplicate, listed
from circuitdsl.graph.foreign import SETTINGS_ELSEWHERE
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

SCHEDULE_SETTINGS = ("dt", "update")
UPDATES = ("tick", "example")
TASK_SETTINGS = ("data", "epochs", "batch", "seed", "metric", "scale", "validation")


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
        seen: dict[str, ast.Assign] = {}
        for setting in item.settings:
            with suppress(Stop):
                self._once(setting, seen)
                if setting.name.name == "dt":
                    self.tables.dt = self.number(setting.value, scope, "dt")
                elif setting.name.name == "update":
                    chosen = word(setting.value, UPDATES, "time of update", self.tables)
                    update = "example" if chosen == "example" else "tick"
                else:
                    self._unknown_setting(setting, SCHEDULE_SETTINGS, "a schedule")
        phases = []
        for phase in item.phases:
            with suppress(Stop):
                ticks = self.number(phase.ticks, scope, "the length of a phase")
                phases.append(ir.Phase(name=phase.name.name, ticks=ticks, train=phase.train, span=phase.span))
        return ir.Schedule(phases=tuple(phases), dt=self.tables.dt, update=update)

    def _once(self, setting: ast.Assign, seen: dict[str, ast.Assign]) -> None:
        name = setting.name.name
        if name in seen:
            self.structure.symbols.fail(duplicate(name, setting.name.span, seen[name].name.span, "setting"))
        seen[name] = setting

    def _unknown_setting(self, setting: ast.Assign, known: Sequence[str], of: str) -> None:
        self.fail(
            "C018", f"{of} has no setting `{setting.name.name}`", setting.name.span,
            label=f"expected {alternatives(known)}",
            hint=did_you_mean(setting.name.name, known) or SETTINGS_ELSEWHERE.get(setting.name.name),
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
            expr = Equations(self.tables, OfScalar("loss"), "loss").resolve(item.value, scope)
            when: Literal["last", "at", "over"] = "last"
            phase = None
            if item.when is not None and item.phase is not None:
                when = "at" if word(item.when, ("at", "over"), "time of a loss", self.tables) == "at" else "over"
                phase = self._loss_phase(item.phase)
            return ir.Loss(expr=expr, when=when, phase=phase, span=item.span)
        return None

    def _loss_phase(self, name: ast.Name) -> str:
        if name.name not in self.tables.phases:
            self.structure.symbols.fail(unknown_phase(name.span, list(self.tables.phases)))
        schedule = next(i for i, _ in self.structure.items if isinstance(i, ast.Schedule))
        phase = next(p for p in schedule.phases if p.name.name == name.name)
        others = [p.name.name for p in schedule.phases if not p.train]
        if phase.train:
            self.fail(
                "C052", f"the loss is read in `{name.name}`, a `train` phase", name.span,
                label="never there when the loss is read",
                labels=(Label(phase.span, "skipped in evaluation"),),
                notes=("the loss is read in evaluation, where `train` phases do not exist",),
                hint=f"read it at {listed(others)}" if others else "add a phase without `train` to read it at",
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
        settings: dict[str, ast.Assign] = {}
        for setting in item.settings:
            if setting.name.name not in TASK_SETTINGS:
                self._unknown_setting(setting, TASK_SETTINGS, "a task")
            self._once(setting, settings)
        if "data" not in settings:
            self.fail(
                "C018", f"the task `{item.name.name}` has no data", item.name.span,
                label="`data` is missing", hint="say what it learns from, such as `data = digits`",
            )  # fmt: skip
        data, arguments = self._data(settings["data"].value, scope)

        def number(name: str) -> ir.Expr | None:
            return self.number(settings[name].value, scope, f"`{name}`") if name in settings else None

        metric = None
        if "metric" in settings:
            equation = Equations(self.tables, OfScalar("metric"), f"metric of {item.name.name}")
            metric = equation.resolve(settings["metric"].value, scope)
        scale: str | None = None
        if "scale" in settings:
            scale = word(settings["scale"].value, SCALES, "scale", self.tables)
        return ir.Task(
            name=item.name.name, span=item.name.span, doc=item.doc, data=data, data_span=settings["data"].value.span,
            data_arguments=arguments,
            epochs=number("epochs"), batch=number("batch"), seed=number("seed"), metric=metric,
            scale=scale,  # type: ignore[arg-type]
            validation=number("validation"),
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
                        shown = argument.span.shown
                        self.fail(
                            "C017", f"`{shown}` stands without a name in `{expr.function}(…)`", argument.span,
                            label="which setting of the data is it?",
                            hint=f"name it, such as `{expr.function}(noise = {shown})`",
                        )  # fmt: skip
                    number = self.structure.numbers.number(argument.value, scope)
                    arguments.append((argument.name or "", number))
                return expr.function, tuple(arguments)
            case _:
                self.fail(
                    "C060", f"`{expr.span.shown}` is not a data set", expr.span, label="not data",
                    hint=f'the name of a file stands in quotes: `data = "{expr.span.shown}"`'
                    if isinstance(expr, ast.Member | ast.Binary)
                    else 'name one that is known, `data = digits`, or a file, `data = "mine.npz"`',
                )  # fmt: skip

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
