"""The gradient at every dendrite, each by those of the dendrites just above it.

`δ_h` is -d loss / d current of a dendrite. However deep a circuit is, a **level** is short: it ends with the δ of the
dendrites that the loss reaches first on the way up. They are the same whatever relations are used.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from circuitdsl.derive.algebra.arithmetic import NotLinear
from circuitdsl.derive.algebra.obstacles import NoWayNow
from circuitdsl.derive.algebra.words import Column, Signal, Sum, Term, column
from circuitdsl.derive.prove.matching import leading
from circuitdsl.derive.read.symbols import Symbols
from circuitdsl.graph import ir
from circuitdsl.twin.adjoints import adjoint_name


@dataclass(slots=True)
class Levels:
    """The levels of one circuit, made from the loss downwards. `origins`: the dendrite of a δ, by its name; `below`:
    the dendrites whose level ends with a δ."""

    symbols: Symbols
    sums: dict[str, Sum] = field(default_factory=dict)
    deltas: dict[str, Signal] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    below: dict[str, list[str]] = field(default_factory=dict)
    alike: dict[Sum, Signal] = field(default_factory=dict)
    ranks: dict[str, int] = field(init=False)  # the order of the circuit's values

    def __post_init__(self) -> None:
        """Each level after those above it, so that no way is too long to follow."""
        self.ranks = {name: i for i, name in enumerate(self.symbols.circuit.values)}
        for adjoint in self.symbols.circuit.reverse:
            dendrite = _dendrite_of(adjoint)
            if dendrite is not None and self._is_dendrite(dendrite):
                with suppress(NotLinear):
                    self.delta(dendrite)

    def delta(self, dendrite: str) -> Signal:
        """δ of a dendrite as a signal; dendrites of equal gradient share one. Raises NotLinear."""
        if dendrite not in self.deltas:
            level = self.level(dendrite)
            if level not in self.alike:
                gates = [leading(t.word) for t in level.terms]
                common = frozenset.intersection(*gates) if gates else frozenset()
                self.alike[level] = Signal(name=self._delta_name(dendrite), size=level.rows, gates=common)
                self.origins[self.alike[level].name] = dendrite
            self.deltas[dendrite] = self.alike[level]
        return self.deltas[dendrite]

    def _delta_name(self, dendrite: str) -> str:
        """δ_h; with the dendrite, where several of h's have a gradient."""
        circuit = self.symbols.circuit
        population = circuit.values[dendrite].population
        assert population is not None
        learning = [d for d in circuit.populations[population].dendrites if adjoint_name(d) in circuit.values]
        return f"δ_{population}" if len(learning) == 1 else f"δ_{dendrite}"

    def level(self, dendrite: str) -> Sum:
        """δ of a dendrite by the δ of those above it. Raises NotLinear."""
        if dendrite not in self.sums:
            name = adjoint_name(dendrite)
            if name not in self.symbols.circuit.values:
                raise NotLinear(NoWayNow())
            found = -self.symbols.driven(name, self._source, self._expand, self.symbols.opened)
            self.sums[dendrite] = found
            for tail in tails(found):
                self.below.setdefault(tail, []).append(dendrite)
        return self.sums[dendrite]

    def _source(self, read: ir.Read) -> Sum:
        size = self.symbols.circuit.values[read.value].size
        return self.symbols.column(self.symbols.opened.read(read, size), self._expand)

    def _expand(self, carrier: Signal) -> Sum:
        dendrite = _dendrite_of(carrier.name)
        if dendrite is not None and self._is_dendrite(dendrite):
            return -column(self.delta(dendrite))
        if self.symbols.is_driven(carrier.name):
            if not carrier.name.startswith("d("):
                return self.symbols.expanded(carrier)
            return self.symbols.driven(carrier.name, self._source, self._expand, self.symbols.opened)
        return column(carrier)

    def _is_dendrite(self, name: str) -> bool:
        value = self.symbols.circuit.values.get(name)
        return value is not None and value.kind is ir.Kind.DENDRITE


def _dendrite_of(adjoint: str) -> str | None:
    return adjoint[2:-1] if adjoint.startswith("d(") and adjoint.endswith(")") else None


def tails(a: Sum) -> frozenset[str]:
    """The signals with which the words of a column end."""
    return frozenset(tail(t) for t in a.terms)


def tail(term: Term) -> str:
    last = term.word[-1] if term.word else None
    return last.signal.name if isinstance(last, Column) else ""
