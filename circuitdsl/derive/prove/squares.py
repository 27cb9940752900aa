"""Sums of squares: whether a matrix is `sum d q^T D q` with d > 0 and D positive semidefinite, q sums of words.

theory.md, "How to derive it", 5. A word of the sum is a product `u^T D v` of **half-words** u and v around a
**middle** D: nothing, diagonals >= 0, or a mean of squares. What stands before all these products is a Gram matrix for
each middle; if one is positive semidefinite (derive/algebra/gram.py, exactly), its LDL^T gives the squares, which are
the proof. Of a matrix that is not symmetric the symmetric part is looked at: `x^T H x` sees no other.

Gates stand in half-words only (g = g g), and commute with diagonals, as everywhere (derive/algebra/words.py). A product
of two positive semidefinite words has no such form, and is not taken for one. None found says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import chain

from circuitdsl.derive.algebra import notation
from circuitdsl.derive.algebra.comparison import is_positive, is_positive_diagonal
from circuitdsl.derive.algebra.constants import Constants, fraction
from circuitdsl.derive.algebra.gram import Entry, Equation, factored
from circuitdsl.derive.algebra.halves import Half, Middle, Params, half_words, square_of
from circuitdsl.derive.algebra.letters import Drawn, Identity
from circuitdsl.derive.algebra.words import (
    Coefficient,
    Column,
    Diagonal,
    Expect,
    Row,
    Sum,
    Word,
    coefficient,
    make_sum,
    plus,
    scaled,
    times,
    transpose,
    zero,
)
from circuitdsl.frozen import frozen

#: With more half-words, or products of two, than this, nothing is tried.
MAX_HALVES, MAX_PRODUCTS = 40, 820
#: How much of a positive diagonal is set aside to see whether the rest is still a sum of squares.
SHARES = (Fraction(1, 2), Fraction(1, 10), Fraction(1, 100))


@frozen
class Square:
    """factor * numbers * half^T middle half: the factor and the numbers >= 0, the middle positive semidefinite."""

    factor: Coefficient
    numbers: tuple[Word, ...]
    middle: Word
    half: Sum

    @property
    def value(self) -> Sum:
        axis = self.half.rows
        middle = make_sum(axis, axis, [(self.factor, self.numbers, self.middle)])
        return times(times(transpose(self.half), middle), self.half)

    @property
    def is_definite(self) -> bool:
        """Whether it is seen to be a diagonal with entries > 0."""
        if len(self.half.terms) != 1:
            return False
        (half,) = self.half.terms
        return all(map(is_positive, (*chain(*self.numbers, *half.scalars), *self.middle, *half.word)))


@frozen
class Squares:
    """The symmetric part of a matrix as a sum of squares. Of no squares: it is 0."""

    size: int
    squares: tuple[Square, ...]

    @property
    def is_definite(self) -> bool:
        """Whether the symmetric part is seen to be positive definite: one of the squares is."""
        return any(s.is_definite for s in self.squares)

    @property
    def value(self) -> Sum:
        """The symmetric part."""
        found = zero(self.size, self.size)
        for square in self.squares:
            found = plus(found, square.value)
        return found


def squares(h: Sum, constants: Constants | None = None, simplex: frozenset[Identity] = frozenset()) -> Squares | None:
    """The symmetric part of `h` as a sum of squares, if one is found. Params are positive numbers of any size; with
    `constants`, also those that they have. `simplex`: signals whose entries are >= 0 and add up to 1."""
    if h.rows != h.cols:
        return None
    part = symmetric_part(h)
    found = _by_terms(part) or _by_gram(part)
    if found is None and constants is not None and any(t.coefficient.params for t in part.terms):
        part = _with_numbers(part, constants)
        found = _by_gram(part)
    if found is None and simplex:
        drawn = _with_draws(part, simplex)
        found = squares(drawn) if drawn != part else None
    return found


def semidefinite(h: Sum, constants: Constants | None = None) -> bool:
    """Whether `x^T h x >= 0` is proved for every x."""
    return squares(h, constants) is not None


def definite(h: Sum, constants: Constants | None = None, simplex: frozenset[Identity] = frozenset()) -> Squares | None:
    """Squares of which one is a positive diagonal: then `x^T h x > 0` for every x but 0."""
    found = squares(h, constants, simplex)
    if found is None or found.is_definite:
        return found
    for term in h.terms:
        if not is_positive_diagonal(Sum(h.rows, h.cols, (term,))):
            continue
        for share in SHARES:
            kept = scaled(Sum(h.rows, h.cols, (term,)), share)
            first, rest = squares(kept), squares(h - kept, constants, simplex)
            if first is not None and rest is not None:
                return Squares(h.rows, (*first.squares, *rest.squares))
    return None


def symmetric_part(h: Sum) -> Sum:
    turned = transpose(h)
    return h if turned == h else scaled(plus(h, turned), Fraction(1, 2))


def is_symmetric(h: Sum) -> bool:
    return h.rows == h.cols and transpose(h) == h


def _with_numbers(h: Sum, constants: Constants) -> Sum:
    def number(c: Coefficient) -> Coefficient:
        found = c.number
        for name, power in c.params:
            found *= fraction(constants.derived[name]) ** power
        return Coefficient(found)

    return make_sum(h.rows, h.cols, [(number(t.coefficient), t.scalars, t.word) for t in h.terms])


def _with_draws(h: Sum, simplex: frozenset[Identity]) -> Sum:
    """`p p^T = diag(p) - C` with the covariance C of a unit that is drawn with the probabilities p."""
    result = zero(h.rows, h.cols)
    for term in h.terms:
        found = Sum(h.rows, h.cols, (term,))
        for i, letter in enumerate(term.word[:-1]):
            if isinstance(letter, Column) and letter.signal.of in simplex and term.word[i + 1] == Row(letter.signal):
                before, after = term.word[:i], term.word[i + 2 :]
                drawn = notation.signal(Drawn(letter.signal.of), letter.signal.size)
                covariance = Expect((), (Column(drawn), Row(drawn)))
                minus = Coefficient(-term.coefficient.number, term.coefficient.params)
                raw = [
                    (term.coefficient, term.scalars, (*before, Diagonal(letter.signal), *after)),
                    (minus, term.scalars, (*before, covariance, *after)),
                ]
                found = make_sum(h.rows, h.cols, raw)
                break
        result = plus(result, found)
    return result


# ---------------------------------------------------------------- terms that are squares


def _by_terms(h: Sum) -> Squares | None:
    """Each term a square of one word."""
    found = []
    for term in h.terms:
        split = next(iter(square_of(term, h.rows)), None)
        if term.coefficient.number < 0 or split is None:
            return None
        middle, half = split
        found.append(_square(term.coefficient.number, middle, [(Fraction(1), half)], h.cols))
    return Squares(h.rows, tuple(found))


def _square(number: Fraction, middle: Middle, halves: Iterable[tuple[Fraction, Half]], size: int) -> Square:
    raw = [(Coefficient(c, half.params), half.numbers, half.word) for c, half in halves]
    root = make_sum(middle.axis, size, raw)
    powers = [dict(t.coefficient.params) for t in root.terms]
    shared = {n: p for n, p in powers[0].items() if all(other.get(n) == p for other in powers)}
    root = scaled(root, coefficient(1, shared).inverse())
    factor = Coefficient(number, middle.params) * coefficient(1, {n: 2 * p for n, p in shared.items()})
    return Square(factor, middle.numbers, middle.word, root)


# ---------------------------------------------------------------- Gram matrices


def _by_gram(h: Sum) -> Squares | None:
    """With few half-words, then with more."""
    for generous in (False, True):
        halves = half_words(h, generous)
        number = sum(map(len, halves.values()))
        products = sum(len(found) * (len(found) + 1) // 2 for found in halves.values())
        if number > MAX_HALVES or products > MAX_PRODUCTS:
            return None
        found = _Gram(h, halves).squares()
        if found is not None:
            return found
    return None


_Equations = dict[int, dict[Entry, int]]


class _Gram:
    """The equations between the terms of a matrix and the products of half-words."""

    def __init__(self, h: Sum, halves: dict[Middle, list[Half]]) -> None:
        self.h = h
        self.halves = halves
        self.names: dict[tuple[Params, tuple[Word, ...], Word], int] = {}
        self.totals: dict[int, Fraction] = {}
        for term in h.terms:
            name = self.name(Sum(h.rows, h.cols, (term,)))
            self.totals[name] = self.totals.get(name, Fraction(0)) + term.coefficient.number

    def name(self, product: Sum) -> int:
        """The same for a word and its transpose."""
        (term,) = product.terms
        key = (term.coefficient.params, term.scalars, term.word)
        if key not in self.names:
            (other,) = transpose(product).terms
            number = len(self.names)
            self.names[key] = number
            self.names[(other.coefficient.params, other.scalars, other.word)] = number
        return self.names[key]

    def squares(self) -> Squares | None:
        middles = list(self.halves)
        equations = self.equations(middles)
        kept = self.kept(equations)
        if kept is None:
            return None
        equations, dropped = kept
        if any(name not in equations for name in self.totals):
            return None
        left = [[i for i in range(len(self.halves[m])) if (b, i) not in dropped] for b, m in enumerate(middles)]
        place = {(b, i): at for b, block in enumerate(left) for at, i in enumerate(block)}
        found = factored(
            list(map(len, left)),
            [
                Equation(
                    tuple(((b, place[b, i], place[b, j]), n) for (b, i, j), n in entries.items()),
                    self.totals.get(name, Fraction(0)),
                )
                for name, entries in equations.items()
            ],
        )
        if found is None:
            return None
        made = []
        for b, (middle, rows) in enumerate(zip(middles, found, strict=True)):
            own = [self.halves[middle][i] for i in left[b]]
            made += [_square(d, middle, zip(row, own, strict=True), self.h.cols) for d, row in rows]
        return Squares(self.h.rows, tuple(made))

    def equations(self, middles: list[Middle]) -> _Equations:
        """The entries that each word is made of, and how often."""
        found: _Equations = {}
        for b, middle in enumerate(middles):
            inner = (Coefficient(params=middle.params), middle.numbers, middle.word)
            core = make_sum(middle.axis, middle.axis, [inner])
            own = [
                make_sum(middle.axis, self.h.cols, [(coefficient(1, dict(u.params)), u.numbers, u.word)])
                for u in self.halves[middle]
            ]
            for i, u in enumerate(own):
                left = times(transpose(u), core)
                for j in range(i, len(own)):
                    entries = found.setdefault(self.name(times(left, own[j])), {})
                    entries[b, i, j] = 1 if i == j else 2
        return found

    def kept(self, equations: _Equations) -> tuple[_Equations, set[tuple[int, int]]] | None:
        """Without the half-words whose squares have nothing to come to; None if a word has to be a negative square."""
        dropped: set[tuple[int, int]] = set()
        while True:
            gone: set[tuple[int, int]] = set()
            for name, entries in equations.items():
                total = self.totals.get(name, Fraction(0))
                if total > 0 or any(i != j for _, i, j in entries):
                    continue
                if total < 0:
                    return None
                gone |= {(b, i) for b, i, _ in entries}
            if not gone:
                return equations, dropped
            dropped |= gone
            left = {
                name: {e: n for e, n in entries.items() if (e[0], e[1]) not in gone and (e[0], e[2]) not in gone}
                for name, entries in equations.items()
            }
            equations = {name: entries for name, entries in left.items() if entries}
