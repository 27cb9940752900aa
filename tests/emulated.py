"""The emulated device on the bench: engines of a shape, with so many threads, in either order."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from circuitdsl.emit.teams import Shape
from circuitdsl.graph.ir import Circuit
from circuitdsl.runtime.backends import back_end
from circuitdsl.runtime.device import Emulator, OnDevice
from circuitdsl.runtime.engine import Compiled


@dataclass(frozen=True)
class Way:
    """`threads`: an odd number of teams has other rounds than a whole one."""

    shape: Shape | None = None
    threads: int = 32
    backwards: bool = False

    def __call__(self, circuit: Circuit, probes, dtype: str, without: Collection[str] = ()) -> Compiled:
        """An engine."""
        found = Compiled(circuit, probes, dtype, target="cuda-emulated", without=without)
        found.population.code.back_end = replace(
            back_end("cuda-emulated"),
            load=lambda name, target, program: OnDevice(
                name, target, program, Emulator(self.threads, self.backwards), self.shape
            ),
        )
        return found
