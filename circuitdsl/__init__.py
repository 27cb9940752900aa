"""circuitdsl: a declarative compiler for neural circuits.

    import circuitdsl as cd

    circuit = cd.load("circuits/heterosynaptic/self_assembly.circ")
    run = circuit.compile(target="cpu").run(data="digits", epochs=60, batch=16, seed=0)

Names are imported when they are first used, so that `import circuitdsl` costs nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from circuitdsl.api import Circuit, Simulation, UsageError, load, loads
    from circuitdsl.diagnostics import CircuitError, Diagnostic
    from circuitdsl.explore.evolve import evolve
    from circuitdsl.explore.sweep import sweep
    from circuitdsl.runtime.scheduler import Scheduler

__all__ = [
    "Circuit",
    "CircuitError",
    "Diagnostic",
    "Scheduler",
    "Simulation",
    "UsageError",
    "evolve",
    "load",
    "loads",
    "sweep",
]

#: Where a name is, if it is not in the API module.
_HOMES = {
    "CircuitError": "circuitdsl.diagnostics",
    "Diagnostic": "circuitdsl.diagnostics",
    "Scheduler": "circuitdsl.runtime.scheduler",
    "evolve": "circuitdsl.explore.evolve",
    "sweep": "circuitdsl.explore.sweep",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module `circuitdsl` has no attribute `{name}`")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "circuitdsl.api")), name)


def load_ipython_extension(shell: object) -> None:
    """`%load_ext circuitdsl`, in IPython and Jupyter: `%%circ` cells, and runs that show their curves."""
    from circuitdsl.notebook.magic import load as load_magic

    load_magic(shell)


def __dir__() -> list[str]:
    return sorted(__all__)
