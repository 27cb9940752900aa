"""The Python API: `load` a circuit, `compile` it, `run` it.

import circuitdsl as cd

circuit = cd.load("circuits/heterosynaptic/self_assembly.circ")
run = circuit.compile(target="cpu").run(data="digits", epochs=60, batch=16, seed=0)
float(run["metric"][-1])

Names are imported when they are first used: who reads and derives a circuit needs no back end.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

_HOMES = {
    "Circuit": "circuitdsl.api.circuit",
    "CircuitError": "circuitdsl.diagnostics",
    "DType": "circuitdsl.emit.target",
    "Emission": "circuitdsl.api.emission",
    "Outcome": "circuitdsl.api.simulation",
    "Request": "circuitdsl.runtime.request",
    "Simulation": "circuitdsl.api.simulation",
    "UsageError": "circuitdsl.runtime.errors",
    "judge_outcomes": "circuitdsl.api.simulation",
    "load": "circuitdsl.api.circuit",
    "loads": "circuitdsl.api.circuit",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module `circuitdsl.api` has no attribute `{name}`")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
