"""Emitted code in the making: a circuit's programs, each lowered, passed, printed, loaded and compiled once.

Engines and populations share it; what they differ in is what they call it with (runtime/engine.py, runtime/copies.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from circuitdsl.emit.copies import driver_name
from circuitdsl.emit.target import DType
from circuitdsl.graph.ir import Circuit, Expr
from circuitdsl.lower.loop_ir import Aim, Buffer, Dtype, Program, Role, Scalar
from circuitdsl.lower.pipeline import passed
from circuitdsl.lower.schedule import lower_evaluation, lower_training
from circuitdsl.runtime.backends import BackEnd
from circuitdsl.runtime.lanes import aim_of_copies

if TYPE_CHECKING:
    from numpy.typing import NDArray

    AnyArray = NDArray[Any]

#: What a program is for; `watch` is an evaluation after which all values stand in their buffers.
Which = Literal["train_online", "train", "evaluate", "watch"]


@dataclass(slots=True)
class Kernel:
    """One program with its code and its work space. `entry` takes the numbers of `scalars`, bound as the program or its
    driver wants them."""

    program: Program
    dtype: DType
    entry: Callable[..., None]
    scalars: tuple[Scalar, ...]
    work: dict[str, AnyArray] = field(default_factory=dict)
    warm: bool = False

    @property
    def in_lanes(self) -> bool:
        return bool(self.program.constants)

    @property
    def extents(self) -> dict[str, int]:
        return {"1": 1, **dict(self.program.constants)}

    def of_role(self, role: Role) -> list[Buffer]:
        return [b for b in self.program.buffers if b.role is role]

    def room(self, buffer: Buffer, shape: tuple[int, ...]) -> AnyArray:
        """Work space, zeros when it is new; kept from call to call."""
        import numpy as np

        held = self.work.get(buffer.name)
        if held is None or held.shape != shape:
            held = np.zeros(shape, {Dtype.REAL: self.dtype, Dtype.INT: "int64", Dtype.BOOL: "bool"}[buffer.dtype])
            self.work[buffer.name] = held
        return held


@dataclass(slots=True)
class Code:
    """The kernels of a circuit on a back end. `many`: each is called through the driver of many copies; `without`: the
    names of passes that are left out; `seconds`: the time spent on code so far."""

    circuit: Circuit
    probes: Sequence[Expr]
    dtype: DType
    back_end: BackEnd
    without: Collection[str]
    many: bool = False
    seconds: float = 0.0
    kernels: dict[Which, Kernel] = field(default_factory=dict)

    def kernel(self, which: Which) -> Kernel:
        if which not in self.kernels:
            start = perf_counter()
            self.kernels[which] = self._made(which)
            self.seconds += perf_counter() - start
        return self.kernels[which]

    def warm(self, kernel: Kernel, nothing: Callable[[], None]) -> None:
        """Compiles (or loads from disk) by a call that does nothing."""
        if not kernel.warm:
            start = perf_counter()
            nothing()
            kernel.warm = True
            self.seconds += perf_counter() - start

    def _made(self, which: Which) -> Kernel:
        target, load = self.back_end.target, self.back_end.load
        assert target is not None
        assert load is not None
        aim = aim_of_copies(self.circuit, self.dtype) if self.many else Aim(dtype=self.dtype)
        program = passed(self._lowered(which), aim, without=self.without)
        printer = target.print_copies if self.many else target.print_program
        assert printer is not None
        name = f"{self.circuit.name}_{which}_copies" if self.many else f"{self.circuit.name}_{which}"
        module = load(name, printer(program, self.dtype), printer(program, self.dtype, comments=False))
        entry = getattr(module, driver_name(program) if self.many else program.name)
        return Kernel(program, self.dtype, entry, target.arguments(program))

    def _lowered(self, which: Which) -> Program:
        if which in ("evaluate", "watch"):
            return lower_evaluation(self.circuit, self.probes, watched=which == "watch")
        return lower_training(self.circuit, online=which == "train_online")
