"""What equations can see: every name of the circuit with its size and kind, and whose equation it is."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from circuitdsl.diagnostics import Span
from circuitdsl.frozen import frozen, mutable
from circuitdsl.graph import ir
from circuitdsl.graph.scope import Symbols
from circuitdsl.graph.structure import StructuralNumbers


@mutable
class PopulationInfo:
    path: str
    kind: ir.Kind
    size: int
    span: Span
    members: dict[str, ir.Kind] = field(default_factory=dict)  # dendrites, states, lets by bare name


@mutable
class SynapseInfo:
    path: str
    source: ir.Read
    pre: PopulationInfo
    post: PopulationInfo
    dendrite: str
    span: Span


@mutable
class CoefficientInfo:
    owner: str
    per: Literal["weight", "neuron"]


@mutable
class Tables:
    """All that has a name, as far as equations need to know it."""

    symbols: Symbols
    numbers: StructuralNumbers
    populations: dict[str, PopulationInfo] = field(default_factory=dict)
    synapses: dict[str, SynapseInfo] = field(default_factory=dict)
    modulators: dict[str, set[str]] = field(default_factory=dict)  # the states of each
    params: dict[str, int | None] = field(default_factory=dict)  # length of a list, None for a number
    coefficients: dict[str, CoefficientInfo] = field(default_factory=dict)
    phases: dict[str, Span] = field(default_factory=dict)
    dt: ir.Expr | None = None
    has_loss: bool = False
    broken: set[str] = field(default_factory=set)  # populations with an equation that could not be resolved
    terms: int = 0  # of all equations, as far as they have been resolved
    wires: dict[str, dict[str, Span]] = field(default_factory=dict)  # population -> population it reads
    wired: list[ir.Wire] = field(default_factory=list)
    met: dict[str, set[str]] = field(default_factory=dict)  # population -> those wired to it, either way, or paired

    def partners(self, population: str) -> set[str]:
        """Populations wired one-to-one to this one, or declared a pair: one hop, either way."""
        return self.met.get(population, set()) - {population}

    def meet(self, one: str, two: str) -> None:
        """The units of two populations meet one to one."""
        for a, b in ((one, two), (two, one)):
            self.met.setdefault(a, set()).add(b)


# ---------------------------------------------------------------- owners of equations


@frozen
class OfNeuron:
    """`what` is "rate", "let" or "update"."""

    population: PopulationInfo
    what: Literal["rate", "let", "update"]


@frozen
class OfSynapse:
    synapse: SynapseInfo


@frozen
class OfScalar:
    """A modulator, a loss, a metric or a record: one number per example."""

    what: Literal["modulator", "loss", "metric", "record"]


@frozen
class OfNumber:
    """A param, a bound, a setting: numbers known before the run. `what` names it in messages."""

    what: str
    fans: bool = False


Owner = OfNeuron | OfSynapse | OfScalar | OfNumber
