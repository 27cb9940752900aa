"""The two-signal motif: two plastic synapses on two dendrites of one neuron, each learning from the other's potential.

theory.md, section 3. With p and q the potentials, `dA ~ s_A a^T` and `dB ~ s_B b^T`; s_A depends on q and s_B on p.
With all external signals held fixed, and in the metric 1/eta, the pair climbs J = E[Φ(p, q)] - decay, if there is a Φ
with dΦ/dp = s_A and dΦ/dq = s_B: if the mixed derivatives agree. Their difference is the curl of the pair: opposite
signs have no J.

Of the potentials it follows too that `A A^T - c B B^T` shrinks, in the limit of small steps, at twice the decay: whole
for linear neurons, its diagonal where both credits share a gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

from circuitdsl.derive.algebra.arithmetic import NotLinear
from circuitdsl.derive.algebra.comparison import ratio
from circuitdsl.derive.algebra.constants import sign
from circuitdsl.derive.algebra.letters import Named, Signal, named
from circuitdsl.derive.algebra.polynomials import signals_of_sum
from circuitdsl.derive.algebra.products import key
from circuitdsl.derive.algebra.words import (
    UNIT,
    Coefficient,
    Sum,
    Term,
    column,
    diagonal,
    ones,
    scaled,
    times,
    transpose,
)
from circuitdsl.derive.prove.relations import Relation
from circuitdsl.derive.read.constraints import is_dense, is_free
from circuitdsl.derive.read.drives import Drive, settles
from circuitdsl.derive.read.symbols import Symbols
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir


@frozen
class Side:
    """One synapse of a motif: its drive, and the dendrite that it brings its potential to."""

    drive: Drive
    dendrite: str


@frozen(kw_only=True)
class Motif:
    """One pair. `potential` are the two factors of Φ, columns: what the second synapse follows, and the potential
    that it brings; None where there is no Φ. `curl`: the difference of the mixed derivatives."""

    first: Side
    second: Side
    potential: tuple[Sum, Sum] | None
    curl: Sum


@dataclass(frozen=True, eq=False)
class Motifs:
    """The motifs of a circuit and what is quadratic in their weights, found when it is asked for: of all this, verdicts
    are made of `opposed` alone. `products`: credits times the potentials that their synapses bring."""

    symbols: Symbols = field(repr=False)
    drives: Sequence[Drive] = field(repr=False)
    products: dict[tuple[Sum, str], Sum] = field(default_factory=dict, repr=False)

    def __iter__(self) -> Iterator[Motif]:
        return iter(self.found)

    @cached_property
    def found(self) -> tuple[Motif, ...]:
        """Every pair of synapses on two dendrites of one neuron, each of which follows the other's potential."""
        found: list[Motif] = []
        judged: dict[_Credits, _Judged | None] = {}
        for x, y in self._pairs():
            credits = _credits(x, y)
            if credits not in judged:
                judged[credits] = _judged(self.symbols, x, y, self._brought)
            motif = judged[credits]
            if motif is not None:
                first, second = (y, x) if motif.turned else (x, y)
                found.append(Motif(first=first, second=second, potential=motif.potential, curl=motif.curl))
        return tuple(found)

    @cached_property
    def quadratics(self) -> tuple[Relation, ...]:
        """`A A^T = c B B^T` of every motif whose dendrites get nothing else."""
        found = (_quadratic(self.symbols, motif.first, motif.second, self._brought) for motif in self)
        return tuple(relation for relation in found if relation is not None)

    def opposed(self) -> tuple[Relation, ...]:
        """Those with c < 0."""
        seen: set[_Credits] = set()
        for x, y in self._pairs():
            credits = _credits(x, y) if _may_balance(self.symbols, x, y) else None
            if credits is not None and credits not in seen:
                seen.add(credits)
                c = ratio(self._brought(x), self._brought(y))
                if c is not None and sign(c) < 0:
                    return tuple(relation for relation in self.quadratics if sign(relation.factor) < 0)
        return ()

    def _pairs(self) -> Iterator[tuple[Side, Side]]:
        by_neuron: dict[str, list[Side]] = {}
        for drive in self.drives:
            synapse = self.symbols.circuit.synapses[drive.synapse]
            if drive.passage.is_open and drive.uneven is None:  # J has no part for any other pull
                by_neuron.setdefault(synapse.post, []).append(Side(drive, synapse.dendrite))
        for sides in by_neuron.values():
            yield from _following_each_other(self.symbols, sides)

    def _brought(self, side: Side) -> Sum:
        """The credit of a side times the potential that it brings."""
        asked = side.drive.signal, side.dendrite
        found = self.products.get(asked)
        if found is None:
            potential = _potential_of(self.symbols, side)
            found = self.products[asked] = self.symbols.opened.arithmetic.mul(side.drive.signal, potential)
        return found


#: The credits and dendrites of two sides: what a motif is depends on no more of them.
_Credits = tuple[Sum, str, Sum, str]
_Brought = Callable[[Side], Sum]


def _credits(x: Side, y: Side) -> _Credits:
    return x.drive.signal, x.dendrite, y.drive.signal, y.dendrite


@frozen
class _Judged:
    """A motif without its synapses; `turned`: the first side comes second in it."""

    turned: bool
    potential: tuple[Sum, Sum] | None
    curl: Sum


def _following_each_other(symbols: Symbols, sides: Sequence[Side]) -> Iterator[tuple[Side, Side]]:
    """The pairs on two dendrites of which each credit is made of the other's potential, among others."""
    read = [_made_of(symbols, side.drive.signal) for side in sides]
    places: dict[tuple[str, str], list[int]] = {}  # (its own dendrite, one that it reads)
    for i, side in enumerate(sides):
        for name in read[i]:
            places.setdefault((side.dendrite, name), []).append(i)
    for i, x in enumerate(sides):
        others = {j for name in read[i] if name != x.dendrite for j in places.get((name, x.dendrite), ())}
        yield from ((x, sides[j]) for j in sorted(others) if j > i)


def _made_of(symbols: Symbols, poly: Sum) -> set[str]:
    """The names of all values of the circuit that a polynomial is made of, those within functions too."""
    found: set[Signal] = set()
    waiting = signals_of_sum(poly)
    while waiting:
        signal = waiting.pop()
        made = symbols.opened.arithmetic.made.get(key(signal)) if signal not in found else None
        found.add(signal)
        if made is not None:
            waiting += [s for a in made.arguments for s in signals_of_sum(a)]
    return {s.value for s in found if s.value is not None}


def _judged(symbols: Symbols, x: Side, y: Side, brought: _Brought) -> _Judged | None:
    derivative = symbols.opened.arithmetic.derivative
    try:
        mixed = derivative(x.drive.signal, y.dendrite), derivative(y.drive.signal, x.dendrite)
        if mixed[0].is_zero or mixed[1].is_zero:
            return None
        told = []
        for first, second in ((x, y), (y, x)):
            with suppress(NotLinear):
                found = _potential(symbols, first, second, brought)
                told += [(found, first is y)] if found is not None else []
        potential, turned = min(told, key=lambda each: _length(each[0]), default=(None, False))
        return _Judged(turned, potential, mixed[0] - mixed[1])
    except NotLinear:
        return None


def _length(potential: tuple[Sum, Sum]) -> int:
    return sum(len(term.word) for part in potential for term in part.terms)


def _potential(symbols: Symbols, first: Side, second: Side, brought: _Brought) -> tuple[Sum, Sum] | None:
    """Φ = s q with the second's credit s and its potential q, if that is what the first follows too."""
    derivative = symbols.opened.arithmetic.derivative
    follows = second.drive.signal
    if not derivative(follows, second.dendrite).is_zero:
        return None
    if derivative(brought(second), first.dendrite) != first.drive.signal:
        return None
    return _shown(symbols, follows, second), _as_column(_potential_of(symbols, second))


def _shown(symbols: Symbols, poly: Sum, side: Side) -> Sum:
    """A polynomial of units as a column, under the name of its neuron's rate if it is that."""
    neuron = symbols.circuit.synapses[side.drive.synapse].post
    value = symbols.circuit.values[neuron]
    rate = symbols.opened.read(ir.Read(span=value.span, value=neuron, axis=ir.Axis.OWN), value.size)
    factor = ratio(poly, rate)
    return _as_column(poly) if factor is None else scaled(column(named(neuron, value.size)), factor)


def _as_column(poly: Sum) -> Sum:
    return times(poly, column(ones(poly.rows)))


def _potential_of(symbols: Symbols, side: Side) -> Sum:
    size = symbols.circuit.values[side.dendrite].size
    return diagonal(symbols.opened.arithmetic.signal(Named(side.dendrite), size))


# ---------------------------------------------------------------- quadratic relations


def _may_balance(symbols: Symbols, *sides: Side) -> bool:
    """Whether nothing but the potentials of two synapses moves their squares."""
    alone = all(len(symbols.circuit.values[side.dendrite].currents) == 1 for side in sides)
    settle = alone and all(settles(side.drive, symbols.constants) for side in sides)
    return settle and all(_follows_source(symbols, side) for side in sides)


def _quadratic(symbols: Symbols, x: Side, y: Side, brought: _Brought) -> Relation | None:
    circuit, constants = symbols.circuit, symbols.constants
    one, two = circuit.synapses[x.drive.synapse], circuit.synapses[y.drive.synapse]
    found = _balance(symbols, x, y, brought) if _may_balance(symbols, x, y) else None
    if found is None or (not found[1] and not (is_dense(one) and is_dense(two))):
        return None
    assert x.drive.decay is not None
    assert y.drive.decay is not None
    factor, diagonal_only = found[0] * x.drive.rate * y.drive.rate.inverse(), found[1]
    slow = constants.equal(x.drive.decay, y.drive.decay) and is_free(one) and is_free(two)
    if not slow:
        factor = factor * y.drive.decay * x.drive.decay.inverse()
    return Relation(
        kind="quadratic", left=_square(symbols, one), right=_square(symbols, two), factor=factor,
        holds="slow" if slow else "rest",
        rate=constants.total([x.drive.decay, x.drive.decay]) if slow else None,
        diagonal=diagonal_only, synapses=(one.name, two.name),
    )  # fmt: skip


def _follows_source(symbols: Symbols, side: Side) -> bool:
    """Whether the presynaptic factor of the rule is what the synapse carries."""
    source = symbols.source(symbols.circuit.synapses[side.drive.synapse].source)
    return side.drive.pre == source


def _balance(symbols: Symbols, x: Side, y: Side, brought: _Brought) -> tuple[Coefficient, bool] | None:
    """The c with s_A p^T + p s_A^T = c (s_B q^T + q s_B^T), or on the diagonal only. Where it is whole, each credit is
    a multiple of the other's potential: such products have no other factors."""
    one, two = _multiple(symbols, x, y), _multiple(symbols, y, x)
    whole = None if one is None or two is None else ratio(one, two)
    if whole is not None:
        return whole, False
    entries = ratio(brought(x), brought(y))
    return None if entries is None else (entries, True)


def _square(symbols: Symbols, synapse: ir.Synapse) -> Sum:
    found = symbols.letter(synapse)
    return times(found, transpose(found))


def _multiple(symbols: Symbols, side: Side, other: Side) -> Sum | None:
    """The number of times that a credit is the other's potential, if it is a multiple of that."""
    (potential,) = _potential_of(symbols, other).terms
    found = side.drive.signal.terms
    only = all(t.word == potential.word for t in found)
    return Sum(UNIT, UNIT, tuple(Term(t.coefficient, t.scalars, ()) for t in found)) if only else None
