"""Sums of squares: whether a matrix is `sum d q^T D q` with d > 0 and D positive semidefinite, q sums of words.

theory.md, "How to derive it", 5. A word of the sum is a product `u^T D v` of **half-words** u and v around a
**middle** D: nothing, diagonals >= 0, or a mean of squares. What stands before all these products is a Gram matrix for
each middle; if one is positive semidefinite (derive/algebra/gram.py, exactly), its LDL^T gives the squares, which are
the proof. Of a matrix that is not symmetric the symmetric part is looked at: `x^T H x` sees no other.

Gates stand in half-words only (g = g g), and commute with diagonals, as everywhere (derive/algebra/words.py). A product
of two positive semidefinite words has no such form, and is not taken for one. None found says nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, combinations, islice
from typing import assert_never

from circuitdsl.derive.algebra.comparison import is_positive, is_positive_diagonal
from circuitdsl.derive.algebra.constants import Constants, fraction
from circuitdsl.derive.algebra.gram import Entry, Equation, factored
from circuitdsl.derive.algebra.notation import Notation
from circuitdsl.derive.algebra.words import (
    Coefficient,
    Column,
    Diagonal,
    Expect,
    Letter,
    Matrix,
    Nature,
    Row,
    Scalar,
    Signal,
    Sum,
    Term,
    Word,
    as_diagonal,
    blocks,
    coefficient,
    end_of_run,
    identity,
    letter_key,
    make_sum,
    mirrored,
    plus,
    scaled,
    shape,
    times,
    transpose,
    zero,
)

#: With more half-words, or products of two, than this, nothing is tried.
MAX_HALVES, MAX_PRODUCTS = 40, 820
#: Of a run with more diagonals than this no parts are taken.
MAX_RUN = 3
#: How much of a positive diagonal is set aside to see whether the rest is still a sum of squares.
SHARES = (Fraction(1, 2), Fraction(1, 10), Fraction(1, 100))

Params = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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


def squares(h: Sum, constants: Constants | None = None, simplex: frozenset[str] = frozenset()) -> Squares | None:
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


def definite(h: Sum, constants: Constants | None = None, simplex: frozenset[str] = frozenset()) -> Squares | None:
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
    return scaled(plus(h, transpose(h)), Fraction(1, 2))


def is_symmetric(h: Sum) -> bool:
    return h.rows == h.cols and transpose(h) == h


def _with_numbers(h: Sum, constants: Constants) -> Sum:
    def number(c: Coefficient) -> Coefficient:
        found = c.number
        for name, power in c.params:
            found *= fraction(constants.derived[name]) ** power
        return Coefficient(found)

    return make_sum(h.rows, h.cols, [(number(t.coefficient), t.scalars, t.word) for t in h.terms])


#: Before the name of a signal p of positive entries that add up to 1: a unit drawn with these probabilities, minus p.
DRAWN = "a unit drawn by "


def _with_draws(h: Sum, simplex: frozenset[str]) -> Sum:
    """`p p^T = diag(p) - C` with the covariance C of a unit that is drawn with the probabilities p."""
    result = zero(h.rows, h.cols)
    for term in h.terms:
        found = Sum(h.rows, h.cols, (term,))
        for i, letter in enumerate(term.word[:-1]):
            if isinstance(letter, Column) and letter.signal.name in simplex and term.word[i + 1] == Row(letter.signal):
                before, after = term.word[:i], term.word[i + 2 :]
                drawn = Signal(name=DRAWN + letter.signal.name, size=letter.signal.size)
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


# ---------------------------------------------------------------- what is >= 0 as it stands


def is_nonnegative(letter: Letter) -> bool:
    """Whether a letter is seen to be positive semidefinite."""
    match letter:
        case Diagonal(signal):
            return signal.nature is not Nature.ANY
        case Scalar():
            return letter.positive
        case Expect(scalars, word):
            return all(n % 2 == 0 or _is_square(w) for w, n in Counter(scalars).items()) and _is_square(word)
        case Matrix() | Row() | Column():
            return False
        case _:
            assert_never(letter)


def _is_square(word: Word) -> bool:
    """Whether a word (of a number, or within a mean) is z^T D z with a D >= 0."""
    return next(iter(_splits(word)), None) is not None


# ---------------------------------------------------------------- words as squares


@dataclass(frozen=True, slots=True)
class _Middle:
    params: Params
    numbers: tuple[Word, ...]
    word: Word
    axis: int


@dataclass(frozen=True, slots=True)
class _Half:
    """A half-word, [rows, the size of the matrix]."""

    params: Params
    numbers: tuple[Word, ...]
    word: Word
    rows: int


def _by_terms(h: Sum) -> Squares | None:
    """Each term a square of one word."""
    found = []
    for term in h.terms:
        split = next(iter(_square_of(term, h.rows)), None)
        if term.coefficient.number < 0 or split is None:
            return None
        middle, half = split
        found.append(_square(term.coefficient.number, middle, [(Fraction(1), half)], h.cols))
    return Squares(h.rows, tuple(found))


def _square(number: Fraction, middle: _Middle, halves: Iterable[tuple[Fraction, _Half]], size: int) -> Square:
    raw = [(Coefficient(c, half.params), half.numbers, half.word) for c, half in halves]
    root = make_sum(middle.axis, size, raw)
    powers = [dict(t.coefficient.params) for t in root.terms]
    shared = {n: p for n, p in powers[0].items() if all(other.get(n) == p for other in powers)}
    root = scaled(root, coefficient(1, shared).inverse())
    factor = Coefficient(number, middle.params) * coefficient(1, {n: 2 * p for n, p in shared.items()})
    return Square(factor, middle.numbers, middle.word, root)


def _square_of(term: Term, size: int) -> Iterator[tuple[_Middle, _Half]]:
    """The ways in which a term is its coefficient's number times half^T middle half."""
    odd = tuple((name, 1) for name, power in term.coefficient.params if power % 2)
    even = tuple((name, power // 2) for name, power in term.coefficient.params if power // 2)
    counts = Counter(term.scalars)
    alone = tuple(w for w, n in counts.items() if n % 2)
    if not all(map(_is_nonnegative_number, alone)):
        return
    twice = tuple(w for w, n in counts.items() for _ in range(n // 2))
    for middle, half in _splits(term.word):
        axis = shape(middle[0])[0] if middle else shape(half[0])[0] if half else size
        yield _Middle(odd, alone, middle, axis), _Half(even, twice, half, axis)


def _is_nonnegative_number(word: Word) -> bool:
    return is_nonnegative(word[0]) if len(word) == 1 else _is_square(word)


def _splits(word: Word) -> Iterator[tuple[Word, Word]]:
    """(middle, half) of a word that is half^T middle half."""
    left = blocks(word)
    after: Word = ()
    while len(left) > 1:
        first, last = left.pop(0), left.pop()
        if mirrored(first) != last:
            return
        after = last + after
    if not left:
        yield (), after
        return
    (core,) = left
    if len(core) == 1 and end_of_run(core[0]) is None:
        if is_nonnegative(core[0]):
            yield core, after
        return
    if len(core) == 1 and end_of_run(core[0]) != "diagonal" and not isinstance(core[0], Expect):
        return
    for middle, half in _splits_of_run(core):
        yield middle, half + after


def _splits_of_run(run: Word) -> Iterator[tuple[Word, Word]]:
    """Diagonals commute: each is >= 0, or comes twice. Gates go into the half."""
    counts = Counter(map(as_diagonal, run))
    gates = [x for x in counts if isinstance(x, Diagonal) and x.signal.nature is Nature.GATE]
    others = sorted((x for x in counts if x not in gates), key=letter_key)
    odd = [x for x in others if counts[x] % 2]
    if not all(map(is_nonnegative, odd)):
        return
    pairs = [x for x in others for _ in range(counts[x] // 2)]
    yield tuple(odd), tuple(sorted((*gates, *pairs), key=letter_key))
    within = [x for x in pairs if is_nonnegative(x)]
    if within:
        middle = sorted((*odd, *within, *within), key=letter_key)
        half = [x for x in pairs if not is_nonnegative(x)]
        yield tuple(middle), tuple(sorted((*gates, *half), key=letter_key))


# ---------------------------------------------------------------- Gram matrices


def _by_gram(h: Sum) -> Squares | None:
    """With few half-words, then with more."""
    for generous in (False, True):
        halves = _half_words(h, generous)
        number = sum(map(len, halves.values()))
        products = sum(len(found) * (len(found) + 1) // 2 for found in halves.values())
        if number > MAX_HALVES or products > MAX_PRODUCTS:
            return None
        found = _Gram(h, halves).squares()
        if found is not None:
            return found
    return None


def _half_words(h: Sum, generous: bool) -> dict[_Middle, list[_Half]]:
    """The half-words of the squares among the terms, by their middles; if `generous`, however these are split, and what
    they end with, about every middle that fits."""
    found: dict[_Middle, set[_Half]] = {}
    for term in h.terms:
        for middle, half in islice(_square_of(term, h.rows), None if generous else 1):
            found.setdefault(middle, set()).add(half)
    if generous:
        ends = {end for halves in found.values() for half in halves for end in _ends(half, h.cols)}
        for end in ends:
            found.setdefault(_Middle((), (), (), end.rows), set())
        for middle, halves in found.items():
            halves |= {end for end in ends if end.rows == middle.axis}
    # The matrix's own units come last: there LDL^T leaves what is definite.
    ordered = {m: sorted(halves, key=_half_key) for m, halves in found.items() if halves}
    return dict(sorted(ordered.items(), key=lambda x: _middle_key(x[0])))


def _half_key(half: _Half) -> tuple[object, ...]:
    words = tuple(tuple(map(letter_key, w)) for w in (half.word, *half.numbers))
    return -len(half.word), words, half.params


def _middle_key(middle: _Middle) -> tuple[object, ...]:
    words = tuple(tuple(map(letter_key, w)) for w in (middle.word, *middle.numbers))
    return len(middle.word), len(middle.numbers), middle.axis, words, middle.params


def _ends(half: _Half, size: int) -> Iterator[_Half]:
    """What a half-word ends with, of a run any part; with its numbers and params, and without."""
    runs = blocks(half.word)
    for i in range(len(runs) + 1):
        rest = tuple(x for run in runs[i + 1 :] for x in run)
        for part in _parts(runs[i]) if i < len(runs) else [()]:
            word = part + rest
            rows = shape(word[0])[0] if word else size
            yield _Half(half.params, half.numbers, word, rows)
            yield _Half((), (), word, rows)


def _parts(run: Word) -> list[Word]:
    if len(run) > MAX_RUN or any(end_of_run(x) != "diagonal" for x in run):
        return [run]
    return [part for n in range(1, len(run) + 1) for part in combinations(run, n)]


_Equations = dict[int, dict[Entry, int]]


class _Gram:
    """The equations between the terms of a matrix and the products of half-words."""

    def __init__(self, h: Sum, halves: dict[_Middle, list[_Half]]) -> None:
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

    def equations(self, middles: list[_Middle]) -> _Equations:
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


# ---------------------------------------------------------------- as people write it


def squares_text(found: Squares, notation: Notation | None = None) -> str:
    """`Fᵀ F + 2 · (F + G)ᵀ (F + G)`."""
    notation = notation or Notation()
    return " + ".join(_square_text(s, notation) for s in found.squares) or "0"


def _square_text(square: Square, notation: Notation) -> str:
    drawn = [x for x in square.middle if _drawn_by(x)]
    if len(square.half.terms) == 1 and not drawn:
        return notation.of(square.value)
    inner = notation.sign("(") + notation.of(square.half) + notation.sign(")")
    parts = [inner + notation.sign("ᵀ"), *(_middle_text(x, notation) for x in square.middle), inner]
    if square.half == identity(square.half.cols):
        parts = parts[1:-1]
    factor = "" if square.factor == Coefficient() else notation.coefficient(square.factor)
    numbers = list(map(notation.number, square.numbers))
    return notation.sign(" · ").join([x for x in (factor, *numbers, notation.sign(" ").join(parts)) if x])


def _middle_text(letter: Letter, notation: Notation) -> str:
    name = _drawn_by(letter)
    if not name:
        return notation.plain((letter,))
    p = Signal(name=name, size=shape(letter)[0])
    shown = [notation.plain((Diagonal(p),)), notation.sign("−"), notation.word((Column(p), Row(p)))]
    return notation.sign("(") + notation.sign(" ").join(shown) + notation.sign(")")


def _drawn_by(letter: Letter) -> str:
    match letter:
        case Expect(word=(Column(signal), Row())) if signal.name.startswith(DRAWN):
            return signal.name.removeprefix(DRAWN)
        case _:
            return ""
