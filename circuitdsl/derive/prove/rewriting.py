"""Rewriting words with the relations of a circuit.

Orientation keeps it finite: every step replaces weights that no step before it replaces, by others that none of these
replaces either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field

from circuitdsl.derive.algebra.words import (
    Coefficient,
    Matrix,
    Sum,
    Word,
    make_sum,
    scaled,
    times,
    transpose,
    weight_of,
    weights_in,
)
from circuitdsl.derive.prove.relations import Relation
from circuitdsl.frozen import frozen, mutable

MAX_STEPS = 1_000


@frozen
class Step:
    """`word` may be replaced by `by`, because of `relations`: one, and those that its sides were rewritten with."""

    word: Word
    by: Sum
    relations: tuple[Relation, ...]


@mutable
class Steps:
    """Steps in their order, found by the first letter of what they replace (None: it is no matrix)."""

    found: list[Step] = field(default_factory=list)
    places: dict[str | None, list[int]] = field(default_factory=dict, compare=False)

    def add(self, steps: Iterable[Step]) -> None:
        for step in steps:
            first = step.word[0]
            self.places.setdefault(first.name if isinstance(first, Matrix) else None, []).append(len(self.found))
            self.found.append(step)

    def that_may_fit(self, word: Word) -> Iterator[Step]:
        """The steps that begin with a letter of the word, in their order."""
        letters = {None, *(x.name for x in word if isinstance(x, Matrix))}
        return map(self.found.__getitem__, sorted(i for name in letters for i in self.places.get(name, ())))


def steps_of(relations: Sequence[Relation], readouts: frozenset[str]) -> Steps:
    """The relations as rewriting steps, each with its transpose, the surest first. `readouts`: auxiliaries that stand
    first in the credit of a learning weight; of a pair of auxiliaries they are the one replaced, and of a loop at rest
    the one kept."""
    steps = Steps()
    heads: set[str | None] = set()
    for relation in sorted(relations, key=lambda r: _rank(r, readouts)):
        if relation.kind == "quadratic":
            continue
        left, right = relation.left, scaled(relation.right, relation.factor)
        used: tuple[Relation, ...] = ()
        if relation.kind == "pair" and _is_backward(relation, readouts):
            left, right = _turned(relation)
        else:
            (left, one), (right, two) = rewritten(left, steps), rewritten(right, steps)
            used = (*one, *two)
        head = _head(left)
        if head is None or left == right or (heads | {head}) & weights_in(right):
            continue  # a loop closes here: what is left of it is no step, but a condition (prove/rest.py)
        heads.add(head)
        steps.add(_both_ways(left, right, (*used, relation)))
    return steps


def _rank(relation: Relation, readouts: frozenset[str]) -> tuple[object, ...]:
    """The order in which relations become steps: it depends on what they are, and on no order in the text."""
    order = ("tied", "exact", "attracted", "slow", "rest").index(relation.holds)
    kept = relation.kind != "pair" and relation.synapses[0] in readouts
    return relation.kind != "pair", kept, order, relation.left.rows * relation.left.cols, relation.synapses


def _head(left: Sum) -> str | None:
    """The weights that a step replaces: the first of its word."""
    return weight_of(left.terms[0].word[0]) if len(left.terms) == 1 and left.terms[0].word else None


def _is_backward(relation: Relation, readouts: frozenset[str]) -> bool:
    one, two = relation.synapses
    return one not in readouts and two in readouts


def _turned(relation: Relation) -> tuple[Sum, Sum]:
    """The pair solved for its right letter."""
    right, left = relation.right, scaled(relation.left, relation.factor.inverse())
    letter = right.terms[0].word[0]
    turn = isinstance(letter, Matrix) and letter.transposed
    return (transpose(right), transpose(left)) if turn else (right, left)


def _both_ways(left: Sum, right: Sum, relations: tuple[Relation, ...]) -> list[Step]:
    found: list[Step] = []
    for one, two in ((left, right), (transpose(left), transpose(right))):
        word, factor = one.terms[0].word, one.terms[0].coefficient
        if all(step.word != word for step in found):
            found.append(Step(word, scaled(two, factor.inverse()), relations))
    return found


def rewritten(a: Sum, steps: Steps) -> tuple[Sum, tuple[Relation, ...]]:
    """The sum with steps applied until none fits, and the relations used."""
    used: dict[Relation, None] = {}
    for _ in range(MAX_STEPS):
        found = _once(a, steps)
        if found is None:
            break
        a, relations = found
        used |= dict.fromkeys(relations)
    return a, tuple(used)


def _once(a: Sum, steps: Steps) -> tuple[Sum, tuple[Relation, ...]] | None:
    """One step applied to the first term that it fits."""
    for i, term in enumerate(a.terms):
        for step in steps.that_may_fit(term.word):
            at = _find(term.word, step.word)
            if at is not None:
                head = make_sum(a.rows, step.by.rows, [(term.coefficient, term.scalars, term.word[:at])])
                tail = _word(step.by.cols, a.cols, term.word[at + len(step.word) :])
                rest = Sum(a.rows, a.cols, (*a.terms[:i], *a.terms[i + 1 :]))
                return times(times(head, step.by), tail) + rest, step.relations
    return None


def _word(rows: int, cols: int, word: Word) -> Sum:
    return make_sum(rows, cols, [(Coefficient(), (), word)])


def _find(word: Word, part: Word) -> int | None:
    for at in range(len(word) - len(part) + 1):
        if word[at : at + len(part)] == part:
            return at
    return None
