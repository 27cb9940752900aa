"""Pairs: two synapses whose own rules make one a multiple of the other, as it stands or transposed.

theory.md, section 3, "Kolen-Pollack pair": drives equal up to transposition and a factor. With equal decay the
difference shrinks at every update, whatever the data; with unequal decay the pair holds at rest only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from circuitdsl.derive.algebra.comparison import ratio
from circuitdsl.derive.algebra.words import Coefficient, Sum, matrix, outer, transpose
from circuitdsl.derive.prove.relations import Relation
from circuitdsl.derive.read.constraints import (
    is_free,
    keep_multiple,
    start_at_zero,
    start_factor,
    states_start_at_zero,
)
from circuitdsl.derive.read.drives import Drive, settles
from circuitdsl.derive.read.symbols import Symbols
from circuitdsl.graph import ir
from circuitdsl.twin.adjoints import adjoint_name


def find_pairs(symbols: Symbols, drives: Sequence[Drive], learning: frozenset[str]) -> list[Relation]:
    """All pairs of synapses, plastic or fixed."""
    return [*_Pairing(symbols, tuple(drives), learning).pairs(), *_fixed_pairs(symbols)]


@dataclass(frozen=True, slots=True)
class _Pairing:
    """The rules of one circuit, two by two."""

    symbols: Symbols
    drives: tuple[Drive, ...]
    learning: frozenset[str]

    def synapse(self, drive: Drive) -> ir.Synapse:
        return self.symbols.circuit.synapses[drive.synapse]

    def pairs(self) -> Iterator[Relation]:
        """Every pair of drives that are multiples of each other, as they stand or transposed."""
        groups: dict[object, list[tuple[Drive, bool]]] = {}
        for drive in self.drives:
            whole = drive.matrix
            for turned, found in ((False, whole), (True, transpose(whole))):
                groups.setdefault(_shape(found), []).append((drive, turned))
        seen: set[frozenset[str]] = set()
        for group in groups.values():
            for i, (x, turned) in enumerate(group):
                for y, turned_too in group[i + 1 :]:
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
        other = transpose(y.matrix) if transposed else y.matrix
        factor = ratio(x.matrix, other)
        if factor is None or (not self.symbols.constants.equal(x.decay, y.decay) and not self._both_settle(x, y)):
            return
        found = self._holds(x, y, factor, transposed)
        if found is None:
            return
        holds, factor = found
        left, right = (matrix(s.name, s.post_size, s.pre_size) for s in (self.synapse(x), self.synapse(y)))
        yield Relation(
            kind="pair", left=left, right=transpose(right) if transposed else right, factor=factor,
            holds=holds, rate=x.decay if holds == "exact" else None, mean_field=False, synapses=(x.synapse, y.synapse),
            bounded=not is_free(self.synapse(x)), common=outer(*x.shown),
        )  # fmt: skip

    def _both_settle(self, x: Drive, y: Drive) -> bool:
        return settles(x, self.symbols.constants) and settles(y, self.symbols.constants)

    def _holds(
        self, x: Drive, y: Drive, factor: Coefficient, transposed: bool
    ) -> tuple[Literal["tied", "exact", "rest"], Coefficient] | None:
        """In which way the pair holds, and with which factor; None if it does not."""
        constants = self.symbols.constants
        one, two = self.synapse(x), self.synapse(y)
        if x.lockstep is None or x.lockstep != y.lockstep or x.uneven != y.uneven:
            return None
        linear = x.passage.scale is None and (x.passage.is_open or states_start_at_zero(one, constants))
        linear = linear and x.uneven is None
        if not linear and not constants.equal(factor, Coefficient()):
            return None
        if constants.equal(x.decay, y.decay):
            if not keep_multiple(one, two, constants.value(factor), constants):
                return None
            start = start_factor(one, two, transposed, constants)
            zeros = start_at_zero(one, constants) and start_at_zero(two, constants)
            if zeros or (start is not None and constants.equal(start, factor)):
                return "tied", factor
            return ("exact", factor) if settles(x, constants) and not x.passage.weight else None
        if not x.passage.is_open or not self._both_settle(x, y):
            return None
        assert x.decay is not None
        assert y.decay is not None
        factor = factor * y.decay * x.decay.inverse()
        return ("rest", factor) if keep_multiple(one, two, constants.value(factor), constants) else None


def _shape(a: Sum) -> object:
    """Equal for multiples of each other."""
    return a.rows, a.cols, tuple((t.scalars, t.word) for t in a.terms)


def _fixed_pairs(symbols: Symbols) -> Iterator[Relation]:
    """Fixed weights of which one is made from the other: equal from the start and for ever. Those that lead to the
    loss stand on the right."""
    fixed = [s for s in symbols.circuit.synapses.values() if s.dw is None]
    for i, one in enumerate(fixed):
        for two in fixed[i + 1 :]:
            leads = adjoint_name(one.dendrite) in symbols.circuit.values
            x, y = (two, one) if leads else (one, two)
            for transposed in (True, False):
                factor = start_factor(x, y, transposed, symbols.constants)
                value = 0.0 if factor is None else symbols.constants.value(factor)
                if factor is not None and value and keep_multiple(x, y, value, symbols.constants):
                    left, right = (matrix(s.name, s.post_size, s.pre_size) for s in (x, y))
                    yield Relation(
                        kind="pair", left=left, right=transpose(right) if transposed else right, factor=factor,
                        holds="tied", rate=None, mean_field=False, synapses=(x.name, y.name),
                    )  # fmt: skip
