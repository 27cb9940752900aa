"""The term algebra of the derivation: sums of words of matrices and diagonals applied to signals.

A credit such as `step(h.basal) * (V2 err)` is `coefficient * word atom`: the coefficient a product of a
rational number and powers of named positive numbers, the word a sequence of **letters** (synaptic matrices that
can be transposed, elementwise factors that are diagonal matrices), the atom a population's signal. There is
one normal form, so
that two terms are equal exactly if they are written alike: letters act from left to right, neighbouring
diagonals are sorted (they commute) and a gate (a diagonal of 0 and 1) stands once (it is idempotent).

No general solver: SymPy's noncommutative `solve` is silently wrong on such words (theory.md, "How to derive it").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


class LetterKind(StrEnum):
    """What is known of a letter."""

    MATRIX = "matrix"  # the weights of a synapse
    GATE = "gate"  # 0 or 1 per unit and example
    POSITIVE = "positive"  # a positive factor per unit, which changes from example to example
    SIGNED = "signed"  # a factor per unit and example of unknown sign
    GAIN = "gain"  # a positive constant per unit
    CONSTANT = "constant"  # a constant per unit of unknown sign


DIAGONAL = frozenset(LetterKind) - {LetterKind.MATRIX}


@dataclass(frozen=True, slots=True, order=True)
class Letter:
    """A linear map on signals. A diagonal letter is its own transpose."""

    name: str
    kind: LetterKind = LetterKind.MATRIX
    transposed: bool = False

    @property
    def t(self) -> Letter:
        return self if self.kind in DIAGONAL else replace(self, transposed=not self.transposed)


Word = tuple[Letter, ...]


def normal(letters: Iterable[Letter]) -> Word:
    """The normal form of a word."""
    found: list[Letter] = []
    for diagonal, run in groupby(letters, key=lambda letter: letter.kind in DIAGONAL):
        if not diagonal:
            found += run
            continue
        seen: set[Letter] = set()
        for letter in sorted(run):
            if letter.kind is not LetterKind.GATE or letter not in seen:
                found.append(letter)
            seen.add(letter)
    return tuple(found)


def transpose(word: Word) -> Word:
    return normal(letter.t for letter in reversed(word))


def without_gates(word: Word) -> Word:
    return normal(letter for letter in word if letter.kind is not LetterKind.GATE)


def gates(word: Word) -> frozenset[Letter]:
    return frozenset(letter for letter in word if letter.kind is LetterKind.GATE)


def is_psd(word: Word) -> bool:
    """Whether the word is symmetric and positive semidefinite by its form: `Z^T D Z`, D empty or a
    positive diagonal. Never said of a product of two such words: it is indefinite in general."""
    if len(word) < 2:
        return all(one.kind in (LetterKind.GAIN, LetterKind.POSITIVE, LetterKind.GATE) for one in word)
    first, *middle, last = word
    return first == last.t and is_psd(tuple(middle))


# ---------------------------------------------------------------- coefficients


@dataclass(frozen=True, slots=True)
class Scalar:
    """A rational number times powers of named numbers, which count as positive (params are given their
    sign where they enter)."""

    number: Fraction = Fraction(1)
    powers: tuple[tuple[str, int], ...] = ()

    def __mul__(self, other: Scalar) -> Scalar:
        powers = dict(self.powers)
        for name, power in other.powers:
            powers[name] = powers.get(name, 0) + power
        return Scalar(self.number * other.number, tuple(sorted((n, p) for n, p in powers.items() if p)))

    def inverse(self) -> Scalar:
        return Scalar(1 / self.number, tuple((n, -p) for n, p in self.powers))

    def __neg__(self) -> Scalar:
        return Scalar(-self.number, self.powers)

    @property
    def sign(self) -> int:
        return (self.number > 0) - (self.number < 0)

    def value(self, numbers: Mapping[str, float]) -> float:
        result = float(self.number)
        for name, power in self.powers:
            result *= abs(numbers[name]) ** power
        return result


ONE = Scalar()

# ---------------------------------------------------------------- signals


@dataclass(frozen=True, slots=True)
class Term:
    """coefficient * word * atom: a signal of one population."""

    coefficient: Scalar
    word: Word
    atom: str


@dataclass(frozen=True, slots=True)
class Signal:
    """A sum of terms in normal form: sorted, like terms added, none zero."""

    terms: tuple[Term, ...] = ()

    def __add__(self, other: Signal) -> Signal:
        return signal((*self.terms, *other.terms))

    def __neg__(self) -> Signal:
        return self.times(Scalar(Fraction(-1)))

    def times(self, factor: Scalar) -> Signal:
        return signal(replace(t, coefficient=factor * t.coefficient) for t in self.terms)

    def under(self, letters: Iterable[Letter]) -> Signal:
        """The letters applied to the signal."""
        front = tuple(letters)
        return signal(replace(t, word=normal((*front, *t.word))) for t in self.terms)

    def ratio(self, other: Signal) -> Scalar | None:
        """c with self = c * other, or None. Zero has none."""
        if not self.terms or len(self.terms) != len(other.terms):
            return None
        factor = self.terms[0].coefficient * other.terms[0].coefficient.inverse()
        return factor if other.times(factor) == self else None


def atom(name: str) -> Signal:
    return Signal((Term(ONE, (), name),))


def signal(terms: Iterable[Term]) -> Signal:
    """The normal form of a sum of terms."""
    added: dict[tuple[Word, str, tuple[tuple[str, int], ...]], Fraction] = {}
    for term in terms:
        key = (term.word, term.atom, term.coefficient.powers)
        added[key] = added.get(key, Fraction(0)) + term.coefficient.number
    kept = [Term(Scalar(n, p), w, a) for (w, a, p), n in added.items() if n != 0]
    return Signal(tuple(sorted(kept, key=lambda t: (t.word, t.atom, t.coefficient.powers))))


# ---------------------------------------------------------------- numbers in place of names


def instantiate(
    term: Term, letters: Mapping[str, Array], atoms: Mapping[str, Array], numbers: Mapping[str, float]
) -> Array:
    """The term as a vector, given every letter (matrices [post, pre], diagonals as vectors), every atom and
    every named number. What the printed identities are tested with."""
    import numpy as np

    vector = atoms[term.atom]
    for letter in reversed(term.word):
        array = letters[letter.name]
        matrix = np.diag(array) if letter.kind in DIAGONAL else array
        vector = (matrix.T if letter.transposed else matrix) @ vector
    return term.coefficient.value(numbers) * vector
