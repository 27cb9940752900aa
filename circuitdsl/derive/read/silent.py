"""Fixed synapses whose weights are all 0: their currents change nothing, and are left out before a derivation."""

from __future__ import annotations

from dataclasses import replace

from circuitdsl.derive.algebra.constants import Constants
from circuitdsl.derive.read.constraints import start_at_zero
from circuitdsl.graph import ir
from circuitdsl.graph.numbers import numbers_of


def without_silent(circuit: ir.Circuit) -> ir.Circuit:
    """The circuit without the currents of fixed synapses that are 0 for ever; the synapses stay."""
    constants = Constants(numbers_of(circuit, {}))
    silent = {s.name for s in circuit.synapses.values() if _is_silent(s, constants)}
    if not silent:
        return circuit

    def heard(value: ir.Value) -> ir.Value:
        return replace(value, currents=tuple(c for c in value.currents if c.synapse not in silent))

    return replace(circuit, values={n: heard(v) if v.currents else v for n, v in circuit.values.items()})


def _is_silent(synapse: ir.Synapse, constants: Constants) -> bool:
    """Whether it starts at 0 and nothing moves it: no rule, and no bound (one may exclude 0)."""
    fans = isinstance(synapse.init, ir.InitCall) and any(
        isinstance(e, ir.Fan) for a in synapse.init.arguments for e in ir.walk(a)
    )
    return synapse.dw is None and synapse.bounds is None and not fans and start_at_zero(synapse, constants)
