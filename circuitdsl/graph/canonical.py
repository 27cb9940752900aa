"""The circuit in an order that the text's order does not decide.

The order of items means nothing, so nothing that is made of a circuit may depend on it, not even the last bit of a
sum: what is compiled or fingerprinted is made of this form. What people read keeps the order of the text.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from circuitdsl.graph.ir import Circuit, Population, Synapse

_T = TypeVar("_T")


def by_name(circuit: Circuit) -> Circuit:
    """The same circuit with everything that has a name in the order of names. `order` and `reverse`, phases and
    tasks, records and expectations stay as they are."""
    return replace(
        circuit,
        params=_sorted(circuit.params),
        populations={name: _population(p) for name, p in _sorted(circuit.populations).items()},
        values=_sorted(circuit.values),
        synapses={name: _synapse(s) for name, s in _sorted(circuit.synapses).items()},
        coefficients=_sorted(circuit.coefficients),
        wires=tuple(sorted(circuit.wires, key=lambda wire: (wire.population, wire.value))),
    )


def _sorted(named: dict[str, _T]) -> dict[str, _T]:
    return dict(sorted(named.items(), key=lambda item: item[0]))


def _population(population: Population) -> Population:
    if all(len(names) < 2 for names in (population.dendrites, population.states, population.lets)):
        return population
    return replace(
        population,
        dendrites=tuple(sorted(population.dendrites)),
        states=tuple(sorted(population.states)),
        lets=tuple(sorted(population.lets)),
    )


def _synapse(synapse: Synapse) -> Synapse:
    if len(synapse.states) < 2 and len(synapse.drives) < 2:
        return synapse
    return replace(
        synapse,
        states=tuple(sorted(synapse.states, key=lambda state: state.name)),
        drives=tuple(sorted(synapse.drives, key=lambda drive: drive.name)),
    )
