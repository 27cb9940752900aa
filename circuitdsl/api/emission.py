"""The code that a run compiles, to be read: at any stage of its making."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, get_args

from circuitdsl.api.simulation import twin_of
from circuitdsl.emit.target import DType
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.runtime.backends import DEFAULT, printing
from circuitdsl.runtime.request import (
    DEFAULT_BATCH,
    Learn,
    Override,
    one_of,
    passes_of,
    task_of,
)

if TYPE_CHECKING:
    from circuitdsl.api.circuit import Circuit
    from circuitdsl.emit.target import Fit
    from circuitdsl.lower.loop_ir import Program
    from circuitdsl.lower.pipeline import Fired


@frozen(kw_only=True)
class Emission:
    """What is to be emitted of a circuit. `without`: the names of passes that are left out; `arch`: a GPU's."""

    circuit: Circuit
    params: Mapping[str, Override] = field(default_factory=dict)
    dtype: DType = "float32"
    learn: Learn = "circuit"
    task: str | None = None
    without: Collection[str] = ()
    arch: str | None = None

    def source(self, target: str = DEFAULT) -> str:
        """The source that a run with these settings compiles. Raises UsageError, CircuitError."""
        from circuitdsl.lower.loop_ir import Aim
        from circuitdsl.lower.pipeline import passed
        from circuitdsl.runtime.processor import aimed_at

        printer, without = printing(target), passes_of(self.without)
        graph, lowered = self._programs(teams=printer.teams)
        aim = aimed_at(printer, Aim(dtype=self.dtype), graph)
        programs = [passed(p, aim, without=without) for p in lowered]
        if printer.print_fitted is None:
            return "\n\n".join(printer.print_program(program, self.dtype) for program in programs)
        return "\n\n".join(printer.print_fitted(p, self.dtype, self._fit(graph, p)) for p in programs)

    def _fit(self, graph: ir.Circuit, program: Program) -> Fit:
        from circuitdsl.emit.target import Fit
        from circuitdsl.graph.numbers import evaluate, numbers_of
        from circuitdsl.runtime.extents import bytes_of
        from circuitdsl.runtime.population import CHUNK
        from circuitdsl.runtime.ptx import ARCH

        task, numbers = task_of(graph, self.task), numbers_of(graph, self.params)
        batch = DEFAULT_BATCH if task is None or task.batch is None else int(evaluate(task.batch, numbers))
        sizes = bytes_of(graph, program, numbers, CHUNK if program.name == "evaluate" else batch)
        return Fit(sizes=sizes, arch=self.arch or ARCH)

    def after(self, stage: str) -> str:
        """The loop programs as they stand after a pass, or after `lower`; those of many copies too, where they
        differ. Raises UsageError, CircuitError."""
        from circuitdsl.lower.loop_ir import PLAIN
        from circuitdsl.lower.pipeline import LOWERED, PASSES
        from circuitdsl.lower.show import show

        one_of("stage", stage, (LOWERED, *(p.name for p in PASSES)))
        found = (replace(dict(run)[stage], aim=PLAIN) for run in self._stages())
        return "\n\n".join(show(program) for program in dict.fromkeys(found))

    def passes(self) -> list[Fired]:
        """What each pass does to the programs of a run and of many copies. Raises UsageError, CircuitError."""
        from circuitdsl.lower.pipeline import fired

        return fired(self._stages())

    def _stages(self) -> list[list[tuple[str, Program]]]:
        from circuitdsl.lower.loop_ir import Aim
        from circuitdsl.lower.pipeline import stages
        from circuitdsl.runtime.lanes import aim_of_copies
        from circuitdsl.runtime.processor import aimed_at

        graph, programs = self._programs()
        made_for = (Aim(dtype=self.dtype), aim_of_copies(graph, self.dtype))
        printer = printing(DEFAULT)
        aims = [aimed_at(printer, aim, graph) for aim in made_for]
        aims = [replace(aim, alone=True) for aim in aims]  # what else they are tells programs apart
        without = passes_of(self.without)
        return [list(stages(program, aim, without=without)) for aim in dict.fromkeys(aims) for program in programs]

    def _programs(self, *, teams: bool = False) -> tuple[ir.Circuit, list[Program]]:
        """The graph and all that it becomes."""
        from circuitdsl.lower.loop_ir import PLAIN, for_teams
        from circuitdsl.lower.schedule import lower_all
        from circuitdsl.runtime.records import plan

        one_of("dtype", self.dtype, get_args(DType))
        one_of("way to learn", self.learn, get_args(Learn))
        graph, _ = self.circuit.with_params(self.params)
        metric = found.metric if (found := task_of(graph, self.task)) else None
        graph = twin_of(graph) if self.learn == "backprop" else graph
        return graph, lower_all(graph, plan(graph, metric).probes, for_teams(self.dtype) if teams else PLAIN)
