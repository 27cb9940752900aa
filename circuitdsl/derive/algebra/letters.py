"""The letters of which words are made, their natures, and the numbers that stand in front of words.

See derive/algebra/words.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Any, NamedTuple, assert_never

UNIT = 0
#: The one object that most coefficients have for their number: multiplying by it is left out.
ONE = Fraction(1)


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
        return hash(self.name)  # quicker than of all fields, and as good


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

    def __hash__(self) -> int:
        return hash(self.signal.name)


@dataclass(frozen=True, slots=True)
class Row:
    signal: Signal

    def __hash__(self) -> int:
        return ~hash(self.signal.name)


@dataclass(frozen=True, slots=True)
class Diagonal:
    signal: Signal

    def __hash__(self) -> int:
        return hash(self.signal.name) ^ 1


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
            return 5, "", (*map(keys_of, letter.scalars), keys_of(letter.word))
        case Column(signal):
            return 6, signal.name, ()
        case _:
            assert_never(letter)


def keys_of(word: Word) -> tuple[Any, ...]:
    return tuple(map(letter_key, word))


# ---------------------------------------------------------------- terms


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
MINUS = Coefficient(Fraction(-1))


def coefficient(number: Fraction | int | str = 1, params: Mapping[str, int] | None = None) -> Coefficient:
    """`coefficient("0.1", {"eta": 1, "gamma": -1})` is 1/10 eta / gamma."""
    if not params and number == 1:
        return PLAIN
    powers = tuple(sorted([(n, p) for n, p in params.items() if p != 0])) if params else ()
    return Coefficient(number if isinstance(number, Fraction) else Fraction(number), powers)


class Term(NamedTuple):  # there are many: quicker to make and to compare than a dataclass
    """coefficient * the scalar words * word. An empty word is the identity (of the sum's axis)."""

    coefficient: Coefficient
    scalars: tuple[Word, ...]
    word: Word
