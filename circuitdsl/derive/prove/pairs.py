"""Pairs: two synapses whose own rules make one a multiple of the other, as it stands or transposed.

theory.md, section 3, "Kolen-Pollack pair": drives equal up to transposition and a factor. With equal decay the
difference shrinks at every update, whatever the data; with unequal decay the pair holds at rest only. Further:

- **Pull**: an extra elementwise p(w), the same strictly increasing function on both. With linear decay gamma and kappa
  the steepest slope of p on the weights' range, per update, a difference d becomes d (1 - gamma - s), 0 < s <= kappa:
  at most (1 - gamma) |d|, where 2 gamma + kappa <= 2. Without linear decay it shrinks all the same, at no fixed rate
  (of `w^3`: |d| ~ 1/sqrt(t) where both weights are near 0). `V = c W` takes p_V(c w) = c p_W(w).
- **Decay by example** m(x) >= 0, the same for both: d (1 - gamma - mean over the batch of m).
- **A positive factor on the whole rule**, decay included, that is the same for all examples: it leaves the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field
from math import inf
from typing import Literal

from circuitdsl.derive.algebra.comparison import ratio, up_to_factor
from circuitdsl.derive.algebra.words import Coefficient, Sum, outer, transpose
from circuitdsl.derive.prove.ends import chosen_pairs
from circuitdsl.derive.prove.hypotheses import GentleDecay, Hypothesis, Within
from circuitdsl.derive.prove.relations import Relation, find_relations
from circuitdsl.derive.read.constraints import (
    is_free,
    keep_multiple,
    start_factor,
    states_start_at_zero,
)
from circuitdsl.derive.read.drives import Drive, settles
from circuitdsl.derive.read.symbols import Symbols
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.graph.intervals import point
from circuitdsl.twin.adjoints import adjoint_name


def find_pairs(symbols: Symbols, drives: Sequence[Drive], learning: frozenset[str]) -> list[Relation]:
    """All pairs of synapses, plastic or fixed."""
    return [*_Pairing(symbols, tuple(drives), learning).pairs(), *_fixed_pairs(symbols)]


def all_relations(symbols: Symbols, drives: Sequence[Drive], learning: frozenset[str]) -> list[Relation]:
    """All pairs, and the intertwiners of what is in no pair."""
    return find_relations(symbols, drives, learning, find_pairs(symbols, drives, learning))


@frozen
class _Bond:
    """How a pair holds: as `Relation` has it."""

    holds: Literal["tied", "exact", "attracted", "rest"]
    factor: Coefficient
    rate: Coefficient | None = None
    assumes: tuple[Hypothesis, ...] = ()


@frozen
class _Pairing:
    """The rules of one circuit, two by two."""

    symbols: Symbols
    drives: tuple[Drive, ...]
    learning: frozenset[str]
    matrices: dict[str, tuple[Sum, Sum]] = field(default_factory=dict)  # of the drives, and transposed

    def synapse(self, drive: Drive) -> ir.Synapse:
        return self.symbols.circuit.synapses[drive.synapse]

    def pairs(self) -> Iterator[Relation]:
        """Every pair of drives that are multiples of each other, as they stand or transposed."""
        groups: dict[object, list[tuple[Drive, bool]]] = {}
        for drive in self.drives:
            whole = drive.matrix
            self.matrices[drive.synapse] = (whole, transpose(whole))
            for turned, found in enumerate(self.matrices[drive.synapse]):
                groups.setdefault(up_to_factor(found), []).append((drive, bool(turned)))
        seen: set[frozenset[str]] = set()
        for group in groups.values():
            for (x, turned), (y, turned_too) in chosen_pairs(group, self.symbols.circuit, self.learning):
                names = frozenset({x.synapse, y.synapse})
                if len(names) == 2 and names not in seen:
                    seen.add(names)
                    yield from self._pair(x, y, turned != turned_too)

    def _pair(self, x: Drive, y: Drive, transposed: bool) -> Iterator[Relation]:
        """The relation x = factor * y (transposed), oriented from the auxiliary to the learning weight."""
        if x.synapse in self.learning and y.synapse not in self.learning:
            x, y = y, x
        if x.synapse in self.learning:
            return
        factor = ratio(self.matrices[x.synapse][0], self.matrices[y.synapse][transposed])
        if factor is None:
            return
        found = self._holds(x, y, factor, transposed)
        if found is None:
            return
        left, right = (self.symbols.letter(self.synapse(drive)) for drive in (x, y))
        yield Relation(
            kind="pair", left=left, right=transpose(right) if transposed else right, factor=found.factor,
            holds=found.holds, rate=found.rate, synapses=(x.synapse, y.synapse),
            bounded=not is_free(self.synapse(x)), common=outer(*x.shown), assumes=found.assumes,
        )  # fmt: skip

    def _both_settle(self, x: Drive, y: Drive) -> bool:
        return settles(x, self.symbols.constants) and settles(y, self.symbols.constants)

    def _holds(self, x: Drive, y: Drive, factor: Coefficient, transposed: bool) -> _Bond | None:
        """In which way the pair holds, and with which factor; None if it does not."""
        constants = self.symbols.constants
        one, two = self.synapse(x), self.synapse(y)
        if x.passage.whole or y.passage.whole:
            return self._at_rest(x, y, factor)
        if x.lockstep is None or x.lockstep != y.lockstep or not self._pulled_alike(x, y, factor, transposed):
            return None
        linear = x.passage.scale is None and (x.passage.is_open or states_start_at_zero(one, self.symbols.ranges))
        if not linear and not constants.equal(factor, Coefficient()):
            return None
        if not constants.equal(x.decay, y.decay):
            return self._at_rest(x, y, factor)
        if not keep_multiple(one, two, constants.value(factor), self.symbols.ranges):
            return None
        start = start_factor(one, two, transposed, constants)
        first, second = (self.symbols.ranges.initial(s.name) for s in (one, two))
        equal = first.is_point and first == second * point(constants.value(factor))
        if equal or (start is not None and constants.equal(start, factor)):
            return _Bond("tied", factor)
        return None if x.passage.weight else self._drawn_together(x, y, factor)

    def _at_rest(self, x: Drive, y: Drive, factor: Coefficient) -> _Bond | None:
        """Positive factors on a whole rule leave its rest as it is."""
        open_ = all(d.passage.is_open or d.passage.whole for d in (x, y))
        if not open_ or not self._both_settle(x, y) or x.decay is None or y.decay is None:
            return None
        factor = factor * y.decay * x.decay.inverse()
        constants = self.symbols.constants
        kept = keep_multiple(self.synapse(x), self.synapse(y), constants.value(factor), self.symbols.ranges)
        return _Bond("rest", factor) if kept else None

    def _pulled_alike(self, x: Drive, y: Drive, factor: Coefficient, transposed: bool) -> bool:
        """Whether what pulls at both weights beside their linear decay keeps x = factor * y."""
        constants = self.symbols.constants
        if x.by_example is not None and y.by_example is not None:
            same = ratio(x.by_example, transpose(y.by_example) if transposed else y.by_example)
            return same is not None and constants.equal(same, Coefficient())
        if x.pull is not None and y.pull is not None:
            return x.pull.scales(y.pull, factor, constants)
        return x.uneven == y.uneven and (x.uneven is None or constants.equal(factor, Coefficient()))

    def _drawn_together(self, x: Drive, y: Drive, factor: Coefficient) -> _Bond | None:
        """Whether the difference shrinks, with all that pulls at both alike."""
        if x.uneven is None:
            return _Bond("exact", factor, x.decay) if settles(x, self.symbols.constants) else None
        decay = 0.0 if x.decay is None else self.symbols.constants.value(x.decay)
        if decay < 0:
            return None
        if x.by_example is not None and decay < 1:
            return _Bond("attracted", factor, x.decay if decay <= 0.5 else None, (GentleDecay(x.synapse),))
        if x.pull is None or decay >= 1:
            return None
        limit = x.pull.within(2 - 2 * decay, self.symbols.constants)
        held = self.symbols.ranges.limits(self.synapse(x))
        widest = max(-held.low, held.high)
        if limit == 0 or (limit == widest == inf and not decay):  # alone, far out it may vanish
            return None
        if widest <= limit:
            return _Bond("attracted", factor, x.decay)
        size = abs(self.symbols.constants.value(factor))
        return _Bond(
            "attracted", factor, x.decay, (Within(x.synapse, limit), Within(y.synapse, limit / size))
        )  # fmt: skip


def _named(init: ir.Init) -> Iterator[str]:
    """The synapses from whose weights an initial value is made."""
    match init:
        case ir.InitCall(other=str() as other):
            yield other
        case ir.InitApply(arguments=arguments):
            for argument in arguments:
                yield from _named(argument)
        case _:
            pass


def _fixed_pairs(symbols: Symbols) -> Iterator[Relation]:
    """Fixed weights of which one is made from the other: equal from the start and for ever. Those that lead to the
    loss stand on the right."""
    fixed = [s for s in symbols.circuit.synapses.values() if s.dw is None]
    places = {s.name: i for i, s in enumerate(fixed)}
    linked: list[set[int]] = [set() for _ in fixed]
    for i, synapse in enumerate(fixed):
        for j in {places[name] for name in _named(synapse.init) if name in places} - {i}:
            linked[min(i, j)].add(max(i, j))
    for i, one in enumerate(fixed):
        for two in map(fixed.__getitem__, sorted(linked[i])):
            leads = adjoint_name(one.dendrite) in symbols.circuit.values
            x, y = (two, one) if leads else (one, two)
            for transposed in (True, False):
                factor = start_factor(x, y, transposed, symbols.constants)
                value = 0.0 if factor is None else symbols.constants.value(factor)
                if factor is not None and value and keep_multiple(x, y, value, symbols.ranges):
                    left, right = map(symbols.letter, (x, y))
                    yield Relation(
                        kind="pair", left=left, right=transpose(right) if transposed else right, factor=factor,
                        holds="tied", rate=None, synapses=(x.name, y.name),
                    )  # fmt: skip
