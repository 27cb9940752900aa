"""The term algebra of derivations: sums of words of transposable letters, with one normal form.

Everything is a matrix between two **axes**: an axis is the size of a population, or UNIT for a single number.
A synapse's weights are a `Matrix`; a **signal** (a rate, a potential, a gate) is a vector of one population and
enters as `Column` (size x UNIT), `Row` (UNIT x size) or `Diagonal`; a modulator is a `Scalar`. So
`V2 err ∘ 1[h > 0] ⊗ x` is the word `diag(1[h > 0]) V2 err xᵀ`. A term is a coefficient (an exact rational times
powers of named positive params), scalar words, which commute, and one word. Sums that are equal objects are
equal matrices whatever their letters are; what makes equal matrices equal objects:

- A word is cut where its axis is UNIT; what is a number there (`uᵀ A v`) is put in front, the smaller of it
  and its transpose.
- Neighbouring diagonals (of signals, and means of such) commute, also with the column or row at the end of
  their run: diag(u) v = diag(v) u.
  They are sorted; gates are idempotent, and vanish beside a signal that is 0 wherever they are (`Signal.gates`).
- The expectation over examples is linear, and what does not depend on the example is taken out of it on
  both sides. Of a mean of a product of several numbers nothing is taken out, so there, and there only, equal
  matrices can be different objects.

Everything is exact; nothing here approximates. Comparing sums is in derive/algebra/comparison.py, printing them in
derive/algebra/notation.py, putting numbers for letters in derive/read/numeric.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple, assert_never

from circuitdsl.derive.algebra.letters import (
    MINUS,
    ONE,
    PLAIN,
    UNIT,
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
    Term,
    Word,
    coefficient,
    keys_of,
    letter_key,
    ones,
    shape,
    varies,
    weight_of,
)
from circuitdsl.derive.algebra.normal import (
    Raw,
    arranged,
    as_diagonal,
    blocks,
    end_of_run,
    expected,
    mirrored,
    normal,
    pieces,
    reversed_word,
    stands_alone,
)

__all__ = [
    "UNIT",
    "Coefficient",
    "Column",
    "Diagonal",
    "Expect",
    "Letter",
    "Matrix",
    "Nature",
    "Row",
    "Scalar",
    "Signal",
    "Sum",
    "Term",
    "Word",
    "arranged",
    "as_diagonal",
    "blocks",
    "coefficient",
    "column",
    "depends_on_example",
    "diagonal",
    "end_of_run",
    "expect",
    "identity",
    "letter_key",
    "letter_sum",
    "make_sum",
    "matrix",
    "mirrored",
    "names",
    "ones",
    "outer",
    "pieces",
    "plus",
    "scalar",
    "scaled",
    "shape",
    "synapses",
    "times",
    "total",
    "transpose",
    "varies",
    "weight_of",
    "weights_in",
    "zero",
]

#: The one term of an identity.
_ALONE = Term(PLAIN, (), ())


class Sum(NamedTuple):  # many are made, as of terms
    """A matrix of axes rows x cols, as a sum in normal form. Made by the functions below only."""

    rows: int
    cols: int
    terms: tuple[Term, ...]

    def __add__(self, other: Sum) -> Sum:  # type: ignore[override]
        return plus(self, other)

    def __sub__(self, other: Sum) -> Sum:
        return plus(self, scaled(other, MINUS))

    def __neg__(self) -> Sum:
        return scaled(self, MINUS)

    def __matmul__(self, other: Sum) -> Sum:
        return times(self, other)

    @property
    def T(self) -> Sum:
        return transpose(self)

    @property
    def is_zero(self) -> bool:
        return not self.terms


def zero(rows: int, cols: int) -> Sum:
    return Sum(rows, cols, ())


def identity(size: int) -> Sum:
    """The identity of an axis; of UNIT, the number 1."""
    return Sum(size, size, (_ALONE,))


def letter_sum(letter: Letter) -> Sum:
    return _of_letter(letter, *shape(letter))


def _of_letter(letter: Letter, rows: int, cols: int) -> Sum:
    if stands_alone(letter):
        return Sum(rows, cols, (Term(PLAIN, (), (letter,)),))
    return make_sum(rows, cols, [(PLAIN, (), (letter,))])


def matrix(name: str, rows: int, cols: int) -> Sum:
    return _of_letter(Matrix(name=name, rows=rows, cols=cols), rows, cols)


def column(signal: Signal) -> Sum:
    return _of_letter(Column(signal), signal.size, UNIT)


def diagonal(signal: Signal) -> Sum:
    return _of_letter(Diagonal(signal), signal.size, signal.size)


def scalar(name: str, *, positive: bool = False, random: bool = True) -> Sum:
    return letter_sum(Scalar(name=name, positive=positive, random=random))


def plus(a: Sum, b: Sum) -> Sum:
    """a + b. Raises ValueError if their axes differ."""
    if (a.rows, a.cols) != (b.rows, b.cols):
        raise ValueError(f"cannot add {a.rows}x{a.cols} and {b.rows}x{b.cols}")
    if not a.terms or not b.terms:
        return a if a.terms else b
    return _collected(a.rows, a.cols, (*a.terms, *b.terms))


def total(rows: int, cols: int, parts: Iterable[Sum]) -> Sum:
    """The sum of many, collected once. Raises ValueError if their axes are not these."""
    found = list(parts)
    for each in found:
        if (each.rows, each.cols) != (rows, cols):
            raise ValueError(f"cannot add {rows}x{cols} and {each.rows}x{each.cols}")
    return _collected(rows, cols, [t for each in found for t in each.terms]) if len(found) != 1 else found[0]


def times(a: Sum, b: Sum) -> Sum:
    """The matrix product. Raises ValueError if the axes between differ."""
    if a.cols != b.rows:
        raise ValueError(f"cannot multiply {a.rows}x{a.cols} by {b.rows}x{b.cols}")
    if len(a.terms) == len(b.terms) == 1:
        return _product(a, b, a.terms[0], b.terms[0])
    for one, other in ((a, b), (b, a)):
        if one.rows == one.cols and len(one.terms) == 1 and _is_number(one.terms[0]):
            return scaled(other, one.terms[0].coefficient)
    pairs = ((s, t) for s in a.terms for t in b.terms)
    raw = [(s.coefficient * t.coefficient, s.scalars + t.scalars, s.word + t.word) for s, t in pairs]
    return make_sum(a.rows, b.cols, raw)


def _product(a: Sum, b: Sum, s: Term, t: Term) -> Sum:
    """The product of two sums of one term each."""
    if not s.word and a.rows == a.cols and _is_number(s):
        return scaled(b, s.coefficient)
    if not t.word and b.rows == b.cols and _is_number(t):
        return scaled(a, t.coefficient)
    term = normal(s.coefficient * t.coefficient, s.scalars + t.scalars, s.word + t.word)
    return Sum(a.rows, b.cols, (term,) if term.coefficient.number else ())


def _is_number(term: Term) -> bool:
    """Whether the term is a plain number times the identity."""
    return not term.word and not term.scalars and not term.coefficient.params


def scaled(a: Sum, number: Fraction | int | str | Coefficient = 1, by: Sum | None = None) -> Sum:
    """A number, and if given a sum of axes UNIT x UNIT, times `a`."""
    factor = number if isinstance(number, Coefficient) else coefficient(number)
    if by is None and (factor.number is ONE or factor.number == 1) and not factor.params:
        return a
    result = Sum(a.rows, a.cols, tuple([Term(t.coefficient * factor, t.scalars, t.word) for t in a.terms]))
    if by is not None:
        if (by.rows, by.cols) != (UNIT, UNIT):
            raise ValueError(f"{by.rows}x{by.cols} is not a number")
        pairs = ((s, t) for s in by.terms for t in result.terms)
        raw = [(s.coefficient * t.coefficient, s.scalars + t.scalars, t.word) for s, t in pairs]
        return make_sum(a.rows, a.cols, raw)
    return result if factor.number else zero(a.rows, a.cols)


def transpose(a: Sum) -> Sum:
    return make_sum(a.cols, a.rows, [(t.coefficient, t.scalars, reversed_word(t.word)) for t in a.terms])


def outer(u: Sum, v: Sum) -> Sum:
    """u ⊗ v = u vᵀ of two columns."""
    return times(u, transpose(v))


def expect(a: Sum) -> Sum:
    """The mean over examples."""
    return make_sum(a.rows, a.cols, [expected(t) for t in a.terms])


def make_sum(rows: int, cols: int, raw: Iterable[Raw]) -> Sum:
    """The sum of coefficient * scalar words * word: words brought to normal form, equal ones collected."""
    return _collected(rows, cols, [normal(*each) for each in raw])


def _collected(rows: int, cols: int, terms: Sequence[Term]) -> Sum:
    if len(terms) < 2:
        return Sum(rows, cols, tuple([t for t in terms if t.coefficient.number]))
    numbers: dict[tuple[Any, ...], Fraction] = {}
    for t in terms:
        key = (t.coefficient.params, t.scalars, t.word)
        numbers[key] = numbers[key] + t.coefficient.number if key in numbers else t.coefficient.number
    found = [Term(Coefficient(n, params), s, w) for (params, s, w), n in numbers.items() if n != 0]
    return Sum(rows, cols, tuple(sorted(found, key=_term_key)))


def _term_key(term: Term) -> tuple[Any, ...]:
    return keys_of(term.word), tuple(map(keys_of, term.scalars)), term.coefficient.params


# ---------------------------------------------------------------- what is in a sum


def weights_in(a: Sum) -> frozenset[str]:
    """The synapses whose weights stand in the words of a sum, those within expectations aside."""
    return frozenset(name for t in a.terms for x in t.word if (name := weight_of(x)) is not None)


def depends_on_example(a: Sum) -> bool:
    """Whether the matrix differs between examples."""
    return any(any(map(varies, t.word)) or any(any(map(varies, s)) for s in t.scalars) for t in a.terms)


def synapses(a: Sum) -> int:
    """The matrices in the longest word."""
    return max((sum(isinstance(x, Matrix) for x in t.word) for t in a.terms), default=0)


def names(a: Sum) -> frozenset[str]:
    """The names that the circuit has for letters, those in expectations too."""

    def of(word: Word) -> Iterator[str]:
        for letter in word:
            match letter:
                case Matrix(name=name) | Scalar(name=name):
                    yield name
                case Column(signal) | Row(signal) | Diagonal(signal):
                    if signal.value is not None:
                        yield signal.value
                case Expect(scalars, inner):
                    for each in (*scalars, inner):
                        yield from of(each)
                case _:
                    assert_never(letter)

    return frozenset(n for t in a.terms for w in (*t.scalars, t.word) for n in of(w))
