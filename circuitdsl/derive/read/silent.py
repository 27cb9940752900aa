"""Fixed synapses whose weights are all 0: their currents change nothing, and are left out before a derivation."""

from __future__ import annotations

from dataclasses import replace

from circuitdsl.graph import ir
from circuitdsl.graph.ranges import Ranges


def without_silent(circuit: ir.Circuit) -> ir.Circuit:
    """The circuit without the currents of fixed synapses that are 0 for ever; the synapses stay."""
    fixed = [s for s in circuit.synapses.values() if s.dw is None]
    ranges = Ranges(circuit)
    silent = {s.name for s in fixed if ranges.weights(s.name).is_zero}
    if not silent:
        return circuit

    def heard(value: ir.Value) -> ir.Value:
        return replace(value, currents=tuple(c for c in value.currents if c.synapse not in silent))

    return replace(circuit, values={n: heard(v) if v.currents else v for n, v in circuit.values.items()})
