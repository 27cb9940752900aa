"""What is missing on this machine, as opposed to wrong in the circuit."""

from __future__ import annotations

from circuitdsl.diagnostics import CircuitError


class MissingData(CircuitError):
    """Data whose file or package is not on this machine: not the circuit's fault."""
