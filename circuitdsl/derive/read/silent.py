"""Fixed synapses whose weights are all 0: their currents change nothing, and are left out before a derivation."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from circuitdsl.graph import ir
from circuitdsl.graph.ranges import Ranges


def silent_in(ranges: Ranges) -> frozenset[str]:
    """The fixed synapses that are 0 for ever."""
    fixed = (s for s in ranges.circuit.synapses.values() if s.dw is None)
    return frozenset(s.name for s in fixed if ranges.weights(s.name).is_zero)


def without_currents(circuit: ir.Circuit, silent: Set[str]) -> ir.Circuit:
    """The circuit without the currents of some synapses; the synapses stay."""

    def heard(value: ir.Value) -> ir.Value:
        return replace(value, currents=tuple(c for c in value.currents if c.synapse not in silent))

    return replace(circuit, values={n: heard(v) if v.currents else v for n, v in circuit.values.items()})
