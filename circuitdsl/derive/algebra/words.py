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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Any, Literal, assert_never

UNIT = 0
#: The one object that most coefficients have for their number: multiplying by it is left out.
ONE = Fraction(1)

# ---------------------------------------------------------------- letters


class Nature(StrEnum):
    """What is known of the entries of a signal."""

    GATE = "gate"  # 0 or 1
    POSITIVE = "positive"
    NONNEGATIVE = "nonnegative"
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A vector of one population, known by its name. `random`: it differs between examples. `weight`: it is the
    diagonal of a one-to-one synapse. `gates` are the names of gates that are 1 wherever this signal is not 0 (a rate
    relu(z) has the gate of z)."""

    name: str
    size: int
    nature: Nature = Nature.ANY
    random: bool = True
    weight: bool = False
    gates: frozenset[str] = field(default=frozenset(), compare=False)

    def __hash__(self) -> int:
        return hash((self.name, self.size))  # quicker than of all fields, and as good


def ones(size: int) -> Signal:
    """The signal that is 1 in every unit."""
    return Signal(name="1", size=size, nature=Nature.POSITIVE, random=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """A synapse's weights, [rows, cols] as the letter stands (that is, after transposition)."""

    name: str
    rows: int
    cols: int
    transposed: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    signal: Signal


@dataclass(frozen=True, slots=True)
class Row:
    signal: Signal


@dataclass(frozen=True, slots=True)
class Diagonal:
    signal: Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A number of its own name, such as a modulator."""

    name: str
    positive: bool = False
    random: bool = True


@dataclass(frozen=True, slots=True)
class Expect:
    """The mean over examples of the product of `scalars` and `word`, in normal form; made by `expect`."""

    scalars: tuple[Word, ...]
    word: Word


Letter = Matrix | Column | Row | Diagonal | Scalar | Expect
Word = tuple[Letter, ...]


def shape(letter: Letter) -> tuple[int, int]:
    """The axes of a letter, (rows, cols)."""
    match letter:
        case Matrix():
            return letter.rows, letter.cols
        case Column(signal):
            return signal.size, UNIT
        case Row(signal):
            return UNIT, signal.size
        case Diagonal(signal):
            return signal.size, signal.size
        case Scalar():
            return UNIT, UNIT
        case Expect(word=()):
            return UNIT, UNIT
        case Expect(word=word):
            return shape(word[0])[0], shape(word[-1])[1]
        case _:
            assert_never(letter)


def varies(letter: Letter) -> bool:
    """Whether a letter differs between examples."""
    match letter:
        case Matrix() | Expect():
            return False
        case Column(signal) | Row(signal) | Diagonal(signal):
            return signal.random
        case Scalar():
            return letter.random
        case _:
            assert_never(letter)


def weight_of(letter: Letter) -> str | None:
    """The synapse whose weights a letter is; None for the others."""
    match letter:
        case Matrix(name=name):
            return name
        case Diagonal(signal) | Column(signal) | Row(signal):
            return signal.name if signal.weight else None
        case Scalar() | Expect():
            return None
        case _:
            assert_never(letter)


def weights_in(a: Sum) -> frozenset[str]:
    """The synapses whose weights stand in the words of a sum, those within expectations aside."""
    return frozenset(name for t in a.terms for x in t.word if (name := weight_of(x)) is not None)


def letter_key(letter: Letter) -> tuple[Any, ...]:
    """A total order of letters."""
    match letter:
        case Diagonal(signal):
            return 0, signal.name, ()
        case Row(signal):
            return 1, signal.name, ()
        case Matrix():
            return 2 + letter.transposed, letter.name, ()
        case Scalar():
            return 4, letter.name, ()
        case Expect():
            return 5, "", (*map(_keys, letter.scalars), _keys(letter.word))
        case Column(signal):
            return 6, signal.name, ()
        case _:
            assert_never(letter)


def _keys(word: Word) -> tuple[Any, ...]:
    return tuple(map(letter_key, word))


# ---------------------------------------------------------------- sums


@dataclass(frozen=True, slots=True)
class Coefficient:
    """number * product of param^power; params stand for positive numbers, so `number` has the sign."""

    number: Fraction = ONE
    params: tuple[tuple[str, int], ...] = ()

    def __hash__(self) -> int:
        return hash((self.number.numerator, self.number.denominator, self.params))  # quicker than of a fraction

    def __mul__(self, other: Coefficient) -> Coefficient:
        if self.number is ONE and not self.params:
            return other
        if other.number is ONE and not other.params:
            return self
        number = other.number if self.number is ONE else self.number
        if self.number is not ONE and other.number is not ONE:
            number = self.number * other.number
        if not self.params or not other.params:
            return Coefficient(number, self.params or other.params)
        powers = dict(self.params)
        for name, power in other.params:
            powers[name] = powers.get(name, 0) + power
        return coefficient(number, powers)

    def inverse(self) -> Coefficient:
        """Raises ZeroDivisionError for 0."""
        if self.number is ONE and not self.params:
            return self
        number = ONE if self.number == 1 else 1 / self.number
        return Coefficient(number, tuple([(name, -power) for name, power in self.params]))


#: 1: immutable, so that one is enough.
PLAIN = Coefficient()
_MINUS = Coefficient(Fraction(-1))


def coefficient(number: Fraction | int | str = 1, params: Mapping[str, int] | None = None) -> Coefficient:
    """`coefficient("0.1", {"eta": 1, "gamma": -1})` is 1/10 eta / gamma."""
    if not params and number == 1:
        return PLAIN
    powers = tuple(sorted([(n, p) for n, p in params.items() if p != 0])) if params else ()
    return Coefficient(number if isinstance(number, Fraction) else Fraction(number), powers)


@dataclass(frozen=True, slots=True)
class Term:
    """coefficient * the scalar words * word. An empty word is the identity (of the sum's axis)."""

    coefficient: Coefficient
    scalars: tuple[Word, ...]
    word: Word


#: The one term of an identity.
_ALONE = Term(PLAIN, (), ())


@dataclass(frozen=True, slots=True)
class Sum:
    """A matrix of axes rows x cols, as a sum in normal form. Made by the functions below only."""

    rows: int
    cols: int
    terms: tuple[Term, ...]

    def __add__(self, other: Sum) -> Sum:
        return plus(self, other)

    def __sub__(self, other: Sum) -> Sum:
        return plus(self, scaled(other, _MINUS))

    def __neg__(self) -> Sum:
        return scaled(self, _MINUS)

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
    rows, cols = shape(letter)
    if _stands_alone(letter):
        return Sum(rows, cols, (Term(PLAIN, (), (letter,)),))
    return make_sum(rows, cols, [(PLAIN, (), (letter,))])


def matrix(name: str, rows: int, cols: int) -> Sum:
    return letter_sum(Matrix(name=name, rows=rows, cols=cols))


def column(signal: Signal) -> Sum:
    return letter_sum(Column(signal))


def diagonal(signal: Signal) -> Sum:
    return letter_sum(Diagonal(signal))


def scalar(name: str, *, positive: bool = False, random: bool = True) -> Sum:
    return letter_sum(Scalar(name=name, positive=positive, random=random))


_Raw = tuple[Coefficient, tuple[Word, ...], Word]


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
    if a.rows == a.cols and _is_number(s):
        return scaled(b, s.coefficient)
    if b.rows == b.cols and _is_number(t):
        return scaled(a, t.coefficient)
    term = _normal(s.coefficient * t.coefficient, s.scalars + t.scalars, s.word + t.word)
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
    return make_sum(a.cols, a.rows, [(t.coefficient, t.scalars, _reversed(t.word)) for t in a.terms])


def outer(u: Sum, v: Sum) -> Sum:
    """u ⊗ v = u vᵀ of two columns."""
    return times(u, transpose(v))


def expect(a: Sum) -> Sum:
    """The mean over examples."""
    return make_sum(a.rows, a.cols, [_expected(t) for t in a.terms])


def make_sum(rows: int, cols: int, raw: Iterable[_Raw]) -> Sum:
    """The sum of coefficient * scalar words * word: words brought to normal form, equal ones collected."""
    return _collected(rows, cols, [_normal(*each) for each in raw])


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
    return _keys(term.word), tuple(map(_keys, term.scalars)), term.coefficient.params


# ---------------------------------------------------------------- normal form of words


def _normal(factor: Coefficient, scalars: Iterable[Word], word: Word) -> Term:
    if not scalars and _is_whole(word):
        return Term(factor, (), word if _is_tidy(word) else _in_order(word))
    numbers: list[Word] = list(scalars)
    rest: list[Letter] = []
    for piece in pieces(word):
        if shape(piece[0])[0] == UNIT and shape(piece[-1])[1] == UNIT:
            numbers.append(piece)
        else:
            rest += _tidy(piece)
    ordered = tuple(sorted((_number(n) for n in numbers), key=_keys)) if numbers else ()
    return Term(factor, ordered, tuple(rest))


def _is_whole(word: Word) -> bool:
    """Whether the word is surely one piece and no number, without means. Quick: most words are."""
    last = len(word) - 1
    for i, x in enumerate(word):
        match x:
            case Matrix():
                whole = x.rows != UNIT and x.cols != UNIT
            case Diagonal():
                whole = x.signal.size != UNIT
            case Column():
                whole = i == last and x.signal.size != UNIT and not isinstance(word[0], Row)
            case Row():
                whole = i == 0 and x.signal.size != UNIT
            case _:
                whole = False
        if not whole:
            return False
    return True


def _is_tidy(word: Word) -> bool:
    """Whether the word, which is whole, is surely in order: no run in it has more than one letter. Quick."""
    in_run = False
    for x in word:
        if isinstance(x, Matrix):
            in_run = False
            continue
        if in_run or isinstance(x, Expect | Scalar) or x.signal.name == "1":
            return False
        in_run = True
    return True


def _in_order(word: Word) -> Word:
    """`_tidy` of a piece without means."""
    found: list[Letter] = []
    run: list[Letter] = []
    for x in word:
        if not isinstance(x, Matrix):
            run.append(x)
            continue
        if run:
            found += _run_in_order(run)
            run = []
        found.append(x)
    return (*found, *_run_in_order(run)) if run else tuple(found)


def _run_in_order(run: list[Letter]) -> Sequence[Letter]:
    """A run without means in normal form, as `arranged` makes it."""
    signals = [x.signal for x in run if isinstance(x, Row | Diagonal | Column)]
    if len(run) == 1 and signals[0].name != "1":
        return run
    row, column = isinstance(run[0], Row), isinstance(run[-1], Column)
    kept = _needed(signals)
    kept.sort(key=_preference)
    while len(kept) < row + column:
        kept.insert(0, ones(signals[0].size))
    last = [Column(kept.pop())] if column else []
    first = [Row(kept.pop())] if row else []
    if len(kept) > 1:
        kept.sort(key=_name)
    return [*first, *map(Diagonal, kept), *last]


def _needed(signals: list[Signal]) -> list[Signal]:
    """The signals of a run without repeated gates, gates that another implies, and ones."""
    implied = frozenset().union(*[s.gates - {s.name} for s in signals if s.gates])
    kept: list[Signal] = []
    for s in signals:
        if s.name != "1" and not (s.nature is Nature.GATE and (s.name in implied or s in kept)):
            kept.append(s)
    return kept


def _preference(signal: Signal) -> tuple[bool, bool, str]:
    """What varies comes last, to stand at the end of its run."""
    return signal.random, signal.nature is not Nature.GATE, signal.name


def _name(signal: Signal) -> str:
    return signal.name


def _stands_alone(letter: Letter) -> bool:
    """Whether a word of this letter only is in normal form, and no number."""
    match letter:
        case Matrix():
            return True
        case Diagonal(signal) | Column(signal) | Row(signal):
            return signal.name != "1" and signal.size != UNIT
        case _:
            return False


def pieces(word: Word) -> Iterator[Word]:
    """The word, cut where its axis is UNIT."""
    start = 0
    for i, letter in enumerate(word):
        if shape(letter)[1] == UNIT:
            yield word[start : i + 1]
            start = i + 1
    if start < len(word):
        yield word[start:]


def _number(word: Word) -> Word:
    """A number is its own transpose: the smaller of the two."""
    return min(_tidy(word), mirrored(word), key=_keys)


def _reversed(word: Word) -> Word:
    return tuple(_transposed(letter) for letter in reversed(word))


def _transposed(letter: Letter) -> Letter:
    match letter:
        case Matrix():
            return Matrix(name=letter.name, rows=letter.cols, cols=letter.rows, transposed=not letter.transposed)
        case Column(signal):
            return Row(signal)
        case Row(signal):
            return Column(signal)
        case Diagonal() | Scalar():
            return letter
        case Expect(scalars, word):
            flipped = _normal(Coefficient(), scalars, _reversed(word))
            return Expect(flipped.scalars, flipped.word)
        case _:
            assert_never(letter)


def mirrored(word: Word) -> Word:
    """The transpose of a word within one piece, in normal form."""
    return _tidy(_reversed(word))


def end_of_run(letter: Letter) -> Literal["row", "column", "diagonal"] | None:
    """What a letter is in a run: one signal, several multiplied unit by unit, or the mean of such; None for
    the others."""
    match letter:
        case Row():
            return "row"
        case Column():
            return "column"
        case Diagonal():
            return "diagonal"
        case Expect(word=word) if len(blocks(word)) == 1 and end_of_run(word[0]) is not None:
            rows, cols = shape(letter)
            return "row" if rows == UNIT else "column" if cols == UNIT else "diagonal"
        case _:
            return None


def blocks(word: Word) -> list[Word]:
    """The word as matrices and runs: neighbouring row, diagonals and column, which commute."""
    found: list[list[Letter]] = []
    in_run = False
    for letter in word:
        end = None if isinstance(letter, Matrix) else end_of_run(letter)
        if in_run and end in ("diagonal", "column"):
            found[-1].append(letter)
        else:
            found.append([letter])
        in_run = end in ("diagonal", "row")
    return [tuple(b) for b in found]


def as_diagonal(letter: Letter) -> Letter:
    """A letter of a run as the diagonal matrix of its entries."""
    match letter:
        case Row(signal) | Column(signal):
            return Diagonal(signal)
        case Expect(scalars, word):
            return Expect(scalars, arranged(list(map(as_diagonal, word)), row=False, column=False))
        case _:
            return letter


def _as_end(letter: Letter, end: type[Row] | type[Column]) -> Letter:
    """A diagonal letter as a row or a column."""
    match letter:
        case Diagonal(signal):
            return end(signal)
        case Expect(scalars, word):
            return Expect(scalars, arranged(list(word), row=end is Row, column=end is Column))
        case _:
            raise AssertionError("no diagonal")


def _tidy(piece: Word) -> Word:
    """A piece of a word with its runs in order."""
    if _is_tidy(piece):
        return piece
    if any(isinstance(x, Expect | Scalar) for x in piece):
        return tuple(letter for block in blocks(piece) for letter in _ordered(block))
    return _in_order(piece)


def _ordered(block: Word) -> Word:
    """A run in normal form: which of its letters are the row and the column is a matter of order only."""
    if (len(block) == 1 and _stands_alone(block[0])) or end_of_run(block[0]) is None:
        return block
    row, column = end_of_run(block[0]) == "row", end_of_run(block[-1]) == "column"
    if len(block) == 1 and isinstance(block[0], Expect):
        return block
    return arranged(list(map(as_diagonal, block)), row=row, column=column)


def arranged(factors: list[Letter], *, row: bool, column: bool) -> Word:
    """Diagonal letters multiplied, as a run with the row and the column that are asked for.

    What varies is preferred at the ends, so that means leave it there and take the others out."""
    axis = shape(factors[0])[0]
    kept = _without_idle(factors)
    kept.sort(key=lambda x: (varies(x), isinstance(x, Expect), not _is_gate(x), letter_key(x)))
    while len(kept) < row + column:
        kept.insert(0, Diagonal(ones(axis)))
    last = [_as_end(kept.pop(), Column)] if column else []
    first = [_as_end(kept.pop(), Row)] if row else []
    return (*first, *sorted(kept, key=letter_key), *last)


def _is_gate(letter: Letter) -> bool:
    return isinstance(letter, Diagonal) and letter.signal.nature is Nature.GATE


def _without_idle(factors: list[Letter]) -> list[Letter]:
    """The factors without repeated gates, gates that another implies, and ones."""
    signals = [x.signal for x in factors if isinstance(x, Diagonal)]
    implied = frozenset(name for s in signals for name in s.gates if s.name != name)
    kept: list[Letter] = []
    for x in factors:
        if isinstance(x, Diagonal):
            name = x.signal.name
            if name == "1" or (_is_gate(x) and (name in implied or x in kept)):
                continue
        kept.append(x)
    return kept


# ---------------------------------------------------------------- expectation


def _expected(term: Term) -> _Raw:
    """The mean of a term: what is the same for all examples stands before and behind it."""
    moving = tuple(s for s in term.scalars if any(map(varies, s)))
    still = tuple(s for s in term.scalars if not any(map(varies, s)))
    before, core, after = _core(term.word)
    if not core and not moving:
        return term.coefficient, term.scalars, term.word
    if not core and len(moving) == 1:
        return term.coefficient, (*still, _expected_number(moving[0])), term.word
    inner = _normal(Coefficient(), moving, core)
    mean = Expect(inner.scalars, inner.word)
    if not core:
        return term.coefficient, (*still, (mean,)), term.word
    return term.coefficient, still, (*before, mean, *after)


def _expected_number(word: Word) -> Word:
    """The mean of one number: of kᵀ u with a constant k it is kᵀ E[u]."""
    before, core, after = _core(word)
    if not before and not after:
        return (Expect((_number(word),), ()),)
    inner = _normal(Coefficient(), (), core)
    return (*before, Expect(inner.scalars, inner.word), *after)


def _core(word: Word) -> tuple[Word, Word, Word]:
    """The word in three: what varies, as little as possible, and what stands before and behind it."""
    runs = blocks(word)
    moving = [i for i, block in enumerate(runs) if any(map(varies, block))]
    if not moving:
        return word, (), ()
    first, last = moving[0], moving[-1]
    before = [x for block in runs[:first] for x in block]
    after = [x for block in runs[last + 1 :] for x in block]
    if not (isinstance(runs[first][0], Row) and varies(runs[first][0])):  # a column that varies is at its end
        before += [x for x in runs[first] if not varies(x)]
        runs[first] = tuple(x for x in runs[first] if varies(x))
    if not isinstance(runs[last][-1], Column):
        after = [x for x in runs[last] if not varies(x)] + after
        runs[last] = tuple(x for x in runs[last] if varies(x))
    core = tuple(x for block in runs[first : last + 1] for x in block)
    return tuple(before), core, tuple(after)


def depends_on_example(a: Sum) -> bool:
    """Whether the matrix differs between examples."""
    return any(varies(x) for t in a.terms for w in (*t.scalars, t.word) for x in w)


def synapses(a: Sum) -> int:
    """The matrices in the longest word."""
    return max((sum(isinstance(x, Matrix) for x in t.word) for t in a.terms), default=0)


def names(a: Sum) -> frozenset[str]:
    """The names of all letters, those in expectations too."""

    def of(word: Word) -> Iterator[str]:
        for letter in word:
            match letter:
                case Matrix(name=name) | Scalar(name=name):
                    yield name
                case Column(signal) | Row(signal) | Diagonal(signal):
                    yield signal.name
                case Expect(scalars, inner):
                    for each in (*scalars, inner):
                        yield from of(each)
                case _:
                    assert_never(letter)

    return frozenset(n for t in a.terms for w in (*t.scalars, t.word) for n in of(w))
