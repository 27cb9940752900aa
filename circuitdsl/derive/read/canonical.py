"""The circuit with its items in the order of their names: what is derived does not depend on the order of the text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from circuitdsl.graph import ir
from circuitdsl.graph.flow import tick_order, tick_sources
from circuitdsl.graph.names import natural

T = TypeVar("T")


def canonical(circuit: ir.Circuit) -> ir.Circuit:
    """The same circuit: populations, values, synapses, currents and the order of evaluation sorted by name."""
    values = {name: _sorted_currents(value) for name, value in _by_name(circuit.values).items()}
    sources = tick_sources({name: values[name] for name in sorted(circuit.order, key=natural)})
    return replace(
        circuit,
        populations=_by_name(circuit.populations),
        values=values,
        synapses=_by_name(circuit.synapses),
        coefficients=_by_name(circuit.coefficients),
        order=tick_order(sources) or circuit.order,
    )


def _by_name(items: Mapping[str, T]) -> dict[str, T]:
    return {name: items[name] for name in sorted(items, key=natural)}


def _sorted_currents(value: ir.Value) -> ir.Value:
    return replace(value, currents=tuple(sorted(value.currents, key=lambda c: natural(c.synapse))))
