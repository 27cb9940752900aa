"""What can be wrong with a request, as opposed to the circuit."""

from __future__ import annotations

from circuitdsl.diagnostics import CircuitError


class MissingData(CircuitError):
    """Data that are not there: a name asked for from outside, a file, or a package."""


class UsageError(ValueError):
    """A request that makes no sense for this circuit: an unknown task or param, a target that is
    not there, a saved run of something else."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback."""
        return [f"error: {self}"]
