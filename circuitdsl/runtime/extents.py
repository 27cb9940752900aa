"""How large the buffers of a program are for a circuit, before anything is bound to them."""

from __future__ import annotations

from math import prod

from circuitdsl.emit.teams import OWN
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.machine import Numbers
from circuitdsl.lower.loop_ir import Dtype, Given, Program, Scalar
from circuitdsl.runtime.ticks import ticks_of

#: Bytes of a number.
_BYTES = {"float32": 4, "float64": 8}


def bytes_of(circuit: Circuit, program: Program, numbers: Numbers, batch: int) -> dict[str, int]:
    """The bytes of each buffer that a copy has of its own, where `batch` examples stand side by side."""
    extents = {"1": 1} | {s.name: _extent(circuit, s, numbers, batch) for s in program.scalars if s.dtype is Dtype.INT}
    real = _BYTES[program.aim.dtype]
    own = [b for b in program.buffers if b.role in OWN]
    return {b.name: prod(extents[e] for e in b.shape) * (real if b.dtype is Dtype.REAL else 8) for b in own}


def _extent(circuit: Circuit, scalar: Scalar, numbers: Numbers, batch: int) -> int:
    match scalar.given:
        case Given.SIZE:
            return circuit.values[scalar.key].size
        case Given.CAPACITY if scalar.key == "batch":
            return batch
        case Given.CAPACITY if scalar.key == "tape":
            return 1 + ticks_of(circuit, numbers, evaluation=True)
        case Given.PLACES:  # at most: which weights are there is known when they are drawn
            synapse = circuit.synapses[scalar.key]
            return synapse.post_size * synapse.pre_size
        case _:
            return 1
