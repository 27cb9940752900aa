"""Which rules can have signals in common: an index, so that not every rule is held against every other.

Two columns have a common end only if some signal stands in the last run of every word of both. An intertwiner (see
derive/prove/relations.py) needs one of the credit of each rule with the presynaptic factor of the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from circuitdsl.derive.algebra.words import Letter, Sum, as_diagonal, blocks
from circuitdsl.derive.read.drives import Drive


def ends(a: Sum) -> frozenset[Letter]:
    """What stands in the last run of all words, as diagonals."""
    each = [frozenset(map(as_diagonal, blocks(t.word)[-1])) if t.word else frozenset() for t in a.terms]
    return frozenset.intersection(*each) if each else frozenset()


@dataclass(slots=True)
class Meeting:
    """Rules in their order, found by what their credit and their presynaptic factor end with."""

    rules: list[Drive]
    credits: dict[Letter, set[int]] = field(default_factory=dict)
    pres: dict[Letter, set[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for i, rule in enumerate(self.rules):
            for place, column in ((self.credits, rule.credit), (self.pres, rule.pre)):
                for letter in ends(column):
                    place.setdefault(letter, set()).add(i)

    def of(self, rule: Drive) -> list[Drive]:
        """The rules whose presynaptic factor may end as this credit does, and the other way round."""
        found = _any(self.pres, ends(rule.credit)) & _any(self.credits, ends(rule.pre))
        return [self.rules[i] for i in sorted(found)]


def _any(places: dict[Letter, set[int]], letters: Iterable[Letter]) -> set[int]:
    return set().union(*(places.get(letter, ()) for letter in letters))
