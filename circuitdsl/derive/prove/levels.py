"""The gradient at every dendrite, each by those of the dendrites just above it.

`δ_h` is -d loss / d current of a dendrite. However deep a circuit is, a **level** is short: it ends with the δ of the
dendrites that the loss reaches first on the way up. They are the same whatever relations are used.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import field

from circuitdsl.derive.algebra import notation
from circuitdsl.derive.algebra.arithmetic import NotLinear
from circuitdsl.derive.algebra.letters import Adjoint, Delta, Identity, Signal
from circuitdsl.derive.algebra.obstacles import NoWayNow
from circuitdsl.derive.algebra.words import Column, Sum, Term, column
from circuitdsl.derive.prove.matching import leading
from circuitdsl.derive.read.symbols import Symbols
from circuitdsl.frozen import mutable
from circuitdsl.graph import ir
from circuitdsl.twin.adjoints import adjoint_name


@mutable
class Levels:
    """The levels of one circuit, made from the loss downwards. `below`: the dendrites whose level ends
    with a signal."""

    symbols: Symbols
    sums: dict[str, Sum] = field(default_factory=dict)
    deltas: dict[str, Signal] = field(default_factory=dict)
    below: dict[Identity | None, list[str]] = field(default_factory=dict)
    alike: dict[Sum, Signal] = field(default_factory=dict)
    ranks: dict[str, int] = field(init=False)  # the order of the circuit's values

    def __post_init__(self) -> None:
        """Each level after those above it, so that no way is too long to follow."""
        self.ranks = {name: i for i, name in enumerate(self.symbols.circuit.values)}
        for adjoint in self.symbols.circuit.reverse:
            dendrite = self.symbols.circuit.values[adjoint].of
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
                of = Delta(dendrite, self._shown(dendrite))
                self.alike[level] = notation.signal(of, level.rows, gates=common)
            self.deltas[dendrite] = self.alike[level]
        return self.deltas[dendrite]

    def _shown(self, dendrite: str) -> str:
        """The h of δ_h; with the dendrite, where several of h's have a gradient."""
        circuit = self.symbols.circuit
        population = circuit.values[dendrite].population
        assert population is not None
        learning = [d for d in circuit.populations[population].dendrites if adjoint_name(d) in circuit.values]
        return population if len(learning) == 1 else dendrite

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
        if isinstance(carrier.of, Adjoint) and self._is_dendrite(carrier.of.of):
            return -column(self.delta(carrier.of.of))
        read = self.symbols.value_of(carrier.value)
        if read is not None and read.kind is ir.Kind.ADJOINT and read.currents:
            return self.symbols.driven(read.name, self._source, self._expand, self.symbols.opened)
        return self.symbols.expanded(carrier)

    def _is_dendrite(self, name: str) -> bool:
        value = self.symbols.circuit.values.get(name)
        return value is not None and value.kind is ir.Kind.DENDRITE


#: What a word ends with; None if that is no signal.
Tail = Identity | None


def tails(a: Sum) -> frozenset[Tail]:
    """The signals with which the words of a column end."""
    return frozenset(tail(t) for t in a.terms)


def in_order(ends: Iterable[Tail]) -> list[Tail]:
    """By how they are written."""
    found = list(ends)
    return found if len(found) < 2 else sorted(found, key=lambda of: "" if of is None else notation.signal_text(of))


def tail(term: Term) -> Tail:
    last = term.word[-1] if term.word else None
    return last.signal.of if isinstance(last, Column) else None


def dendrite_of(of: Tail) -> str | None:
    """The dendrite whose δ it is."""
    return of.dendrite if isinstance(of, Delta) else None
