"""Large circuits are computed by several threads of a processor: a crew, whose workers each take a stretch of the units
and meet after every phase.

What is computed does not depend on how many there are. Units do not add to each other within a phase; a worker's
stretch begins at a whole block of `UNITS`, so that a unit stands at the same place of a vector whoever has it; and what
is no loop over units is left to the first worker.

A meeting takes time, and a crew has to be called together. So this is for circuits that may
have enough to do in a phase; whether a call has, and how many then work on it, runtime/crew.py sees from what calls
take.
"""

from __future__ import annotations

from dataclasses import replace

from circuitdsl.graph.ir import Circuit
from circuitdsl.lower.loop_ir import Buffer, Crew, Dtype, Given, Program, Role, Scalar, names_of
from circuitdsl.lower.names import Apart

#: What a worker's stretch is a multiple of: whole vectors, whole lines of the cache, whole blocks of other passes.
UNITS = 64
#: Layers of fewer weights are not faster on two threads: `python benchmarks/threads.py`.
WEIGHTS = 3 * 2**14


def suits_a_crew(circuit: Circuit) -> bool:
    return sum(s.post_size * s.pre_size for s in circuit.synapses.values()) >= WEIGHTS


def most_workers(units: int) -> int:
    """How many can have a stretch of their own."""
    return -(-units // UNITS)


def crewed(program: Program) -> Program:
    """The program for a crew, if it is made for one."""
    if not program.aim.crew:
        return program
    names = Apart(names_of(program))
    crew = Crew(names.free("worker"), names.free("workers"), names.free("meeting"))
    return replace(
        program,
        scalars=(
            *program.scalars,
            Scalar(name=crew.worker, dtype=Dtype.INT, given=Given.WORKER),
            Scalar(name=crew.workers, dtype=Dtype.INT, given=Given.WORKERS),
        ),
        buffers=(
            *program.buffers,
            Buffer(name=crew.meeting, role=Role.MEETING, key="", shape=("1",), dtype=Dtype.INT),
        ),
        crew=crew,
    )
