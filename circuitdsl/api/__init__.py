"""The Python API: `load` a circuit, `compile` it, `run` it.

import circuitdsl as cd

circuit = cd.load("circuits/heterosynaptic/self_assembly.circ")
run = circuit.compile(target="cpu").run(data="digits", epochs=60, batch=16, seed=0)
float(run["metric"][-1])
"""

from circuitdsl.api.circuit import Circuit, load, loads
from circuitdsl.api.emission import Emission
from circuitdsl.api.simulation import Outcome, Simulation, judge_outcomes
from circuitdsl.diagnostics import CircuitError
from circuitdsl.emit.target import DType
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.request import Request

__all__ = [
    "Circuit",
    "CircuitError",
    "DType",
    "Emission",
    "Outcome",
    "Request",
    "Simulation",
    "UsageError",
    "judge_outcomes",
    "load",
    "loads",
]
