"""Which rules are held against which: not every one against every other.

Two columns have a common end only if some signal stands in the last run of every word of both. An intertwiner (see
derive/prove/relations.py) needs one of the credit of each rule with the presynaptic factor of the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from itertools import combinations

from circuitdsl.derive.algebra.words import Letter, Sum, as_diagonal, blocks
from circuitdsl.derive.read.drives import Drive
from circuitdsl.frozen import mutable
from circuitdsl.graph import ir

#: Of more rules that are driven alike each is paired with one only, and with those that it starts from.
MAX_ALIKE = 16

#: A rule, and whether it is looked at transposed.
Turned = tuple[Drive, bool]


def ends(a: Sum) -> frozenset[Letter]:
    """What stands in the last run of all words, as diagonals."""
    each = [frozenset(map(as_diagonal, blocks(t.word)[-1])) if t.word else frozenset() for t in a.terms]
    return frozenset.intersection(*each) if each else frozenset()


@mutable
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


# ---------------------------------------------------------------- rules that are driven alike


def chosen_pairs(
    group: Sequence[Turned], circuit: ir.Circuit, learning: frozenset[str]
) -> Iterator[tuple[Turned, Turned]]:
    """The pairs of a group of rules with equal drives: all, if they are few. Of many each auxiliary with the first
    learning weight (if there is none, with the first rule), and with those that start as copies of one another."""
    if len(group) <= 2 * MAX_ALIKE:  # each stands there twice, once transposed
        yield from combinations(group, 2)
        return
    firsts = [m for m in group if m[0].synapse in learning][:2] or list(group[:2])
    by_name: dict[str, list[Turned]] = {}
    for member in group:
        by_name.setdefault(member[0].synapse, []).append(member)
    for member in group:
        yield from ((member, first) for first in firsts)
        for name in _copied(circuit.synapses[member[0].synapse].init):
            yield from ((member, other) for other in by_name.get(name, ()))


def _copied(init: ir.Init) -> Iterator[str]:
    """The synapses that initial weights are made from."""
    match init:
        case ir.InitCall(other=str() as other):
            yield other
        case ir.InitApply(arguments=arguments):
            for argument in arguments:
                yield from _copied(argument)
        case _:
            pass
