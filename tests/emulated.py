"""The emulated device on the bench: engines of a shape, with so many threads, in either order."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from circuitdsl.emit.teams import Shape
from circuitdsl.graph.ir import Circuit
from circuitdsl.runtime.backends import back_end
from circuitdsl.runtime.device import OnDevice
from circuitdsl.runtime.emulator import Emulator
from circuitdsl.runtime.engine import Compiled


@dataclass(frozen=True)
class Way:
    """`threads`: an odd number of teams has other rounds than a whole one."""

    shape: Shape | None = None
    threads: int = 32
    backwards: bool = False

    def __call__(self, circuit: Circuit, probes, dtype: str, without: Collection[str] = ()) -> Compiled:
        """An engine, on a device of its own."""
        found = Compiled(circuit, probes, dtype, target="cuda-emulated", without=without)
        device = Emulator(self.threads, self.backwards)
        found.population.code.back_end = replace(
            back_end("cuda-emulated"),
            device=lambda: device,
            load=lambda name, target, program: OnDevice(name, target, program, device, self.shape),
        )
        return found
