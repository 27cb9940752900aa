"""Rewriting words with the relations of a circuit.

Orientation keeps it finite: auxiliaries become others or learning letters, never the other way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from circuitdsl.derive.algebra.words import Coefficient, Matrix, Sum, Word, make_sum, scaled, times, transpose
from circuitdsl.derive.prove.relations import Relation

MAX_STEPS = 1_000


@dataclass(frozen=True, slots=True)
class Step:
    """`word` may be replaced by `by`, because of `relations`: one, and those that its sides were rewritten with."""

    word: Word
    by: Sum
    relations: tuple[Relation, ...]


def steps_of(relations: Sequence[Relation], readouts: frozenset[str]) -> tuple[Step, ...]:
    """The relations as rewriting steps, each with its transpose, the surest first. `readouts`: auxiliaries that stand
    first in the credit of a learning weight; of a pair of auxiliaries they are the one replaced."""
    steps: list[Step] = []
    order = ("tied", "exact", "attracted", "slow", "rest")
    for relation in sorted(relations, key=lambda r: (r.kind != "pair", order.index(r.holds))):
        if relation.kind == "quadratic":
            continue
        left, right = relation.left, scaled(relation.right, relation.factor)
        used: tuple[Relation, ...] = ()
        if relation.kind == "pair" and _is_backward(relation, readouts):
            left, right = _turned(relation)
        else:
            (left, one), (right, two) = rewritten(left, steps), rewritten(right, steps)
            used = (*one, *two)
        if len(left.terms) == 1 and left != right:
            steps += _both_ways(left, right, (*used, relation))
    return tuple(steps)


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


def rewritten(a: Sum, steps: Sequence[Step]) -> tuple[Sum, tuple[Relation, ...]]:
    """The sum with steps applied until none fits, and the relations used."""
    used: dict[Relation, None] = {}
    for _ in range(MAX_STEPS):
        found = _once(a, steps)
        if found is None:
            break
        a, relations = found
        used |= dict.fromkeys(relations)
    return a, tuple(used)


def _once(a: Sum, steps: Sequence[Step]) -> tuple[Sum, tuple[Relation, ...]] | None:
    """One step applied to the first term that it fits."""
    for i, term in enumerate(a.terms):
        letters = {x.name for x in term.word if isinstance(x, Matrix)}
        for step in steps:
            first = step.word[0]
            if isinstance(first, Matrix) and first.name not in letters:
                continue
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
