"""`--target auto`: a GPU where one is there and the circuit is large enough for it, else this processor.

Large enough is what the model of docs/cuda.md says. It is a model: no kernel has run on a GPU yet.
"""

from __future__ import annotations

from circuitdsl.emit.target import DType
from circuitdsl.emit.teams import SHARED
from circuitdsl.frozen import frozen
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.machine import Numbers
from circuitdsl.lower.loop_ir import Program, for_teams, phases
from circuitdsl.lower.pipeline import passed
from circuitdsl.lower.schedule import lower_training
from circuitdsl.runtime.backends import DEFAULT
from circuitdsl.runtime.driver import the_gpu
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.extents import bytes_of

#: Microseconds of a processor core: of a tick as such, and of a weight for each example.
CORE_TICK, CORE_WEIGHT = 0.1, 6e-5
#: Microseconds of one block on an H100: between two barriers, and of a weight for each example.
BLOCK_PHASE, BLOCK_WEIGHT = 0.2, 5e-5
#: Microseconds of an H100 as a whole: of a tick, a barrier, reading and writing a weight, and computing with one for
#: each example.
GRID_TICK, GRID_PHASE, GRID_WEIGHT, GRID_PRODUCT = 0.5, 1.0, 2.2e-6, 2.9e-7
#: How much faster a GPU should be by the model, which may be wrong by as much.
ENOUGH = 2


@frozen
class Choice:
    """A back end, and why it was chosen, in words."""

    target: str
    why: str

    def __str__(self) -> str:
        return f"target {self.target}: {self.why}"


def chosen(circuit: Circuit, numbers: Numbers, batch: int, dtype: DType) -> Choice:
    """The back end for training one copy of a circuit in batches of that size."""
    program = passed(lower_training(circuit, online=batch == 1, aim=for_teams(dtype)))
    weights = sum(s.post_size * s.pre_size for s in circuit.synapses.values())
    needed = sum(bytes_of(circuit, program, numbers, batch).values())
    here, there = _on_a_core(weights, batch), _on_a_gpu(program, weights, batch, needed)
    times = f"{here:.2g} us a tick, {there:.2g} us on a GPU, as modelled"
    if here < ENOUGH * there:
        return Choice(DEFAULT, f"one network of {weights:,} weights is too small for a GPU ({times})")
    try:
        the_gpu()
    except UsageError as problem:
        return Choice(DEFAULT, f"a GPU would suit {weights:,} weights ({times}), but {str(problem).split(';')[0]}")
    return Choice("cuda", f"{weights:,} weights are enough for a GPU ({times})")


def _on_a_core(weights: int, batch: int) -> float:
    return CORE_TICK + CORE_WEIGHT * weights * batch


def _on_a_gpu(program: Program, weights: int, batch: int, needed: int) -> float:
    """Of one block, where that can hold all that a copy has of its own, else of the whole GPU."""
    count = sum(1 for _ in phases(program.body))
    if needed <= SHARED:
        return BLOCK_PHASE * count + BLOCK_WEIGHT * weights * batch
    return GRID_TICK + GRID_PHASE * count + weights * (GRID_WEIGHT + GRID_PRODUCT * batch)
