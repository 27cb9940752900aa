"""Emitted code in the making: a circuit's programs, each lowered, passed, printed and loaded once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import field
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from circuitdsl.emit.entry import Binding
from circuitdsl.frozen import mutable
from circuitdsl.graph.aligned import zeros
from circuitdsl.graph.ir import Circuit, Expr
from circuitdsl.lower.loop_ir import PLAIN, Aim, Buffer, Dtype, Program, Role
from circuitdsl.lower.pipeline import passed
from circuitdsl.lower.schedule import lower_evaluation, lower_training
from circuitdsl.runtime.backends import BackEnd
from circuitdsl.runtime.processor import aimed_at
from circuitdsl.runtime.routine import Routine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    AnyArray = NDArray[Any]

#: What a program is for; `watch` is an evaluation after which all values stand in their buffers.
Which = Literal["train_online", "train", "evaluate", "watch"]


@mutable(eq=False)
class Kernel:
    """One program with its code, what that is called with, and its work space. `watched`: whether the values that it
    leaves there are read."""

    program: Program
    binding: Binding
    routine: Routine
    watched: bool = False
    work: dict[str, AnyArray] = field(default_factory=dict)

    @property
    def in_lanes(self) -> bool:
        return bool(self.program.constants)

    @property
    def extents(self) -> dict[str, int]:
        return {"1": 1, **dict(self.program.constants)}

    def of_role(self, role: Role) -> list[Buffer]:
        return [b for b in self.binding.buffers if b.role is role]

    def room(self, buffer: Buffer, shape: tuple[int, ...]) -> AnyArray:
        """Work space, zeros when it is new; kept from call to call."""
        held = self.work.get(buffer.name)
        if held is None or held.shape != shape:
            dtypes = {Dtype.REAL: self.program.aim.dtype, Dtype.INT: "int64", Dtype.SHORT: "int32", Dtype.BOOL: "bool"}
            held = zeros(shape, dtypes[buffer.dtype])
            self.work[buffer.name] = held
        return held


@mutable
class Code:
    """The kernels of a circuit on a back end, made for `aim`. `without`: the names of passes that are left out;
    `seconds`: the time spent on code so far."""

    circuit: Circuit
    probes: Sequence[Expr]
    aim: Aim
    back_end: BackEnd
    without: Collection[str]
    seconds: float = 0.0
    kernels: dict[Which, Kernel] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.back_end.target is not None:
            self.aim = aimed_at(self.back_end.target, self.aim, self.circuit)

    def kernel(self, which: Which) -> Kernel:
        if which not in self.kernels:
            start = perf_counter()
            self.kernels[which] = self._made(which)
            self.seconds += perf_counter() - start
        return self.kernels[which]

    def evaluating(self, *, watched: bool) -> Kernel:
        """A program that evaluates; the one that also leaves all values serves for both, once it is there."""
        return self.kernel("watch" if watched or "watch" in self.kernels else "evaluate")

    def _made(self, which: Which) -> Kernel:
        target, load = self.back_end.target, self.back_end.load
        assert target is not None
        assert target.binding is not None
        assert load is not None
        lowered = self._lowered(which, self.aim if target.teams else PLAIN)
        program = passed(lowered, self.aim, without=self.without)
        routine = load(f"{self.circuit.name}_{which}", target, program)
        return Kernel(program, target.binding(program), routine, watched=which == "watch")

    def _lowered(self, which: Which, aim: Aim) -> Program:
        if which in ("evaluate", "watch"):
            return lower_evaluation(self.circuit, self.probes, watched=which == "watch", aim=aim)
        return lower_training(self.circuit, online=which == "train_online", aim=aim)
