"""The circuit as derivations read it: what is derived does not depend on the order of the text."""

from __future__ import annotations

from dataclasses import replace

from circuitdsl.graph import ir
from circuitdsl.graph.canonical import by_name
from circuitdsl.graph.flow import tick_order, tick_sources
from circuitdsl.graph.names import natural


def canonical(circuit: ir.Circuit) -> ir.Circuit:
    """The same circuit by name, the currents of dendrites and the order of evaluation too."""
    found = by_name(circuit)
    values = {name: _sorted_currents(value) for name, value in found.values.items()}
    sources = tick_sources({name: values[name] for name in sorted(circuit.order, key=natural)})
    return replace(found, values=values, order=tick_order(sources) or circuit.order)


def _sorted_currents(value: ir.Value) -> ir.Value:
    if len(value.currents) < 2:
        return value
    return replace(value, currents=tuple(sorted(value.currents, key=lambda c: natural(c.synapse))))
