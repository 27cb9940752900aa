"""Rewriting credits with the relations of the circuit, and comparing them with the gradient.

Orientation keeps it finite: auxiliaries become others or learning letters, never the other way. Gates are kept first;
only where that decides nothing, and credit and gradient have the same gates and begin with the same one, they are
dropped (a mean-field statement), or ungated ReLU would be proved.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from circuitdsl.derive.relations import Relation
from circuitdsl.derive.words import (
    DIAGONAL,
    Letter,
    LetterKind,
    Scalar,
    Signal,
    Term,
    Word,
    gates,
    is_psd,
    normal,
    signal,
    transpose,
    without_gates,
)

MAX_STEPS = 2_000


@dataclass(frozen=True, slots=True)
class Step:
    """`left` may be replaced by `factor * right`, because of `relation`."""

    left: Word
    right: Word
    factor: Scalar
    relation: Relation


def steps_of(relations: Sequence[Relation], readouts: frozenset[str]) -> list[Step]:
    """The relations as rewriting steps, each with its transpose. `readouts`: auxiliaries that stand first in the
    credit of a learning weight; of a pair of auxiliaries they are the one replaced."""
    steps: list[Step] = []
    for relation in sorted(relations, key=lambda r: r.kind != "pair"):
        if relation.kind == "quadratic":
            continue
        left, right, factor = relation.left, relation.right, relation.factor
        if relation.kind == "pair" and left[0].name not in readouts and right[0].name in readouts:
            left, right = (right, left) if not right[0].transposed else (transpose(right), transpose(left))
            factor = factor.inverse()
        if relation.kind == "intertwiner":
            (left, c1, _), (right, c2, _) = rewritten(left, steps), rewritten(right, steps)
            factor = factor * c2 * c1.inverse()
        if left != right:
            steps.append(Step(left, right, factor, relation))
            if transpose(left) != left:
                steps.append(Step(transpose(left), transpose(right), factor, relation))
    return steps


def rewritten(word: Word, steps: Sequence[Step]) -> tuple[Word, Scalar, tuple[Relation, ...]]:
    """The word with every step applied until none fits, the factor that came with it, the relations used."""
    factor = Scalar()
    used: dict[Relation, None] = {}
    for _ in range(MAX_STEPS):
        for step in steps:
            at = _find(word, step.left)
            if at is not None:
                word = normal((*word[:at], *step.right, *word[at + len(step.left) :]))
                factor = factor * step.factor
                used[step.relation] = None
                break
        else:
            return word, factor, tuple(used)
    return word, factor, tuple(used)


def _find(word: Word, part: Word) -> int | None:
    for at in range(len(word) - len(part) + 1):
        if word[at : at + len(part)] == part:
            return at
    return None


def rewrite(found: Signal, steps: Sequence[Step]) -> tuple[Signal, tuple[Relation, ...]]:
    terms: list[Term] = []
    used: dict[Relation, None] = {}
    for term in found.terms:
        word, factor, relations = rewritten(term.word, steps)
        terms.append(Term(term.coefficient * factor, word, term.atom))
        used |= dict.fromkeys(relations)
    return signal(terms), tuple(used)


# ---------------------------------------------------------------- comparing credit and gradient


@dataclass(frozen=True, slots=True)
class Match:
    """credit = factor * H delta. `h` is the word of H, empty for the identity. `inverse`: H is the inverse of the
    diagonal `h`. `constant`: H is the same for all examples. `mean_field`: gates were dropped."""

    factor: Scalar
    h: Word
    inverse: bool
    constant: bool
    mean_field: bool
    relations: tuple[Relation, ...]
    credit: Signal


def compare(credit: Signal, delta: Signal, steps: Sequence[Step]) -> Match | None:
    """How the credit is the gradient, if the relations show it: exactly first, then with gates dropped."""
    exact = [s for s in steps if not s.relation.mean_field]
    for chosen in ([s for s in exact if s.relation.tied], exact):
        found, used = rewrite(credit, chosen)
        target, used_too = rewrite(delta, chosen)
        match = _match(found, target, False, tuple(dict.fromkeys((*used, *used_too))))
        if match is not None:
            return match
    return _mean_field(credit, delta, steps)


def _mean_field(credit: Signal, delta: Signal, steps: Sequence[Step]) -> Match | None:
    """With gates dropped: only where both have the same gates and begin with the same one."""
    if not _same_gates(credit, delta):
        return None
    dropped = any(gates(t.word) for t in (*credit.terms, *delta.terms))
    found, used = rewrite(_dropped(credit), steps)
    target, used_too = rewrite(_dropped(delta), steps)
    relations = tuple(dict.fromkeys((*used, *used_too)))
    mean_field = dropped or any(r.mean_field for r in relations)
    return _match(found, target, mean_field, relations)


def _same_gates(credit: Signal, delta: Signal) -> bool:
    for one, two in ((credit, delta),):
        all_one = frozenset().union(*(gates(t.word) for t in one.terms))
        all_two = frozenset().union(*(gates(t.word) for t in two.terms))
        if all_one != all_two:
            return False
        firsts = {_leading_gates(t.word) for t in (*one.terms, *two.terms)}
        if len(firsts) != 1:
            return False
    return True


def _leading_gates(word: Word) -> frozenset[Letter]:
    leading: set[Letter] = set()
    for letter in word:
        if letter.kind not in DIAGONAL:
            break
        if letter.kind is LetterKind.GATE:
            leading.add(letter)
    return frozenset(leading)


def _dropped(found: Signal) -> Signal:
    return signal(Term(t.coefficient, without_gates(t.word), t.atom) for t in found.terms)


def _match(credit: Signal, delta: Signal, mean_field: bool, relations: tuple[Relation, ...]) -> Match | None:
    ratio = credit.ratio(delta)
    if ratio is not None:
        return Match(ratio, (), False, True, mean_field, relations, credit)
    for one, two, inverse in ((credit, delta, False), (delta, credit, True)):
        found = _in_front(one, two)
        if found is None:
            continue
        factor, word = found
        diagonal = all(letter.kind in DIAGONAL for letter in word)
        positive = is_psd(word) if not diagonal else all(_is_positive(letter) for letter in word)
        if not positive or (inverse and not diagonal):
            continue
        constant = all(letter.kind in (LetterKind.MATRIX, LetterKind.GAIN) for letter in word)
        factor = factor.inverse() if inverse else factor
        return Match(factor, word, inverse, constant, mean_field, relations, credit)
    return None


def _is_positive(letter: Letter) -> bool:
    return letter.kind in (LetterKind.POSITIVE, LetterKind.GAIN)


def _in_front(one: Signal, two: Signal) -> tuple[Scalar, Word] | None:
    """c and Z with one = c * Z two, Z the same word in every term; diagonals commute with leading diagonals."""
    if not one.terms or len(one.terms) != len(two.terms):
        return None
    found: set[tuple[Scalar, Word]] = set()
    for a in one.terms:
        matches = [(a.coefficient * b.coefficient.inverse(), z) for b in two.terms if (z := _extra(a, b)) is not None]
        if len(matches) != 1:
            return None
        found.add(matches[0])
    return found.pop() if len(found) == 1 else None


def _extra(a: Term, b: Term) -> Word | None:
    """Z with a.word = Z b.word, where Z may also stand behind diagonals that both words begin with."""
    if a.atom != b.atom:
        return None
    cut = len(a.word) - len(b.word)
    if cut > 0 and a.word[cut:] == b.word:
        return a.word[:cut]
    lead_a, rest_a = _leading(a.word)
    lead_b, rest_b = _leading(b.word)
    if rest_a != rest_b:
        return None
    extra = list(lead_a)
    for letter in lead_b:
        if letter not in extra:
            return None
        extra.remove(letter)
    return tuple(extra) or None


def _leading(word: Word) -> tuple[Word, Word]:
    at = 0
    while at < len(word) and word[at].kind in DIAGONAL:
        at += 1
    return word[:at], word[at:]


def letters(words: Iterable[Word]) -> frozenset[str]:
    return frozenset(letter.name for word in words for letter in word)
