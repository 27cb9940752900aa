"""The letters of which words are made, their natures, and the numbers that stand in front of words.

See derive/algebra/words.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple, assert_never

from circuitdsl.frozen import frozen

if TYPE_CHECKING:
    from circuitdsl.derive.algebra.words import Sum
    from circuitdsl.graph import ir

UNIT = 0
#: The one object that most coefficients have for their number: multiplying by it is left out.
ONE = Fraction(1)


class Nature(StrEnum):
    """What is known of the entries of a signal."""

    GATE = "gate"  # 0 or 1
    POSITIVE = "positive"
    NONNEGATIVE = "nonnegative"
    ANY = "any"


# ---------------------------------------------------------------- what a signal is


class Named(NamedTuple):  # a tuple, whose hash is quick: most signals are named
    """What the circuit has a name for: a value, a coefficient, or the weights of a one-to-one synapse."""

    name: str


@frozen
class Adjoint:
    """The derivative of the loss with respect to a value of the circuit."""

    of: str


@frozen
class Before:
    """A value of the circuit at the tick before."""

    of: str


@frozen
class Delta:
    """-d loss / d current of a dendrite; `shown`: under whose name, the dendrite's or its population's."""

    dendrite: str
    shown: str = field(compare=False)

    def __hash__(self) -> int:
        return hash(self.dendrite)


@frozen
class Ones:
    """1 in every unit."""


@frozen
class Stated:
    """An expression of the language that is a signal as it stands, such as `train`."""

    expr: ir.Expr


class Part(StrEnum):
    """What of a function is meant."""

    VALUE = "value"
    SLOPE = "slope"  # its derivative
    RATIO = "ratio"  # what it is of its argument


@frozen(eq=False)
class Made:
    """A function (of the language, or "inverse"; "" is the argument itself), its argument, and what else it takes
    (bounds, an exponent). Two are equal if they are made of the same signals, whatever is known of these."""

    function: str
    argument: Sum
    others: tuple[Sum, ...] = ()
    part: Part = Part.VALUE
    form: Form = field(init=False, repr=False)
    code: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        form = (self.function, self.part, *map(form_of, self.others), *form_of(self.argument))
        object.__setattr__(self, "form", form)
        object.__setattr__(self, "code", hash(form))

    def __hash__(self) -> int:
        return self.code

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Made) and self.code == other.code and self.form == other.form)

    def __reduce__(self) -> tuple[type[Made], tuple[Any, ...]]:
        return Made, (self.function, self.argument, self.others, self.part)  # another process hashes text otherwise

    @property
    def arguments(self) -> tuple[Sum, ...]:
        return (self.argument, *self.others)


@frozen
class Slope:
    """The derivative of a function with respect to its argument, by the signal that the function is."""

    of: Identity


@frozen
class Drawn:
    """A unit drawn with the probabilities of a signal, minus these."""

    by: Identity


@frozen
class Whole:
    """The entries of a column that a word is, or (`turned`) their opposites."""

    word: Word = field(compare=False)
    form: Form = field(init=False, repr=False)
    turned: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "form", _form_of_word(self.word))


#: What a signal is, by structure; how it is written, algebra/notation.py tells.
Identity = Named | Adjoint | Before | Delta | Ones | Stated | Made | Slope | Drawn | Whole
#: What sums and words are made of, without what is known of the signals in them.
Form = tuple[Any, ...]

ONES = Ones()
#: What the circuit has names for.
IN_CIRCUIT = (Named, Adjoint)


def form_of(a: Sum) -> Form:
    """Of a polynomial of the signals of one unit: of each term its number, its scalar words, and its signals."""
    found: list[Any] = []
    for term in a.terms:
        found.append(term.coefficient)
        if term.scalars:
            found.append(tuple(map(_form_of_word, term.scalars)))
        found += [x.signal.of if type(x) is Diagonal else _form_of_letter(x) for x in term.word]
    return tuple(found)


def _form_of_word(word: Word) -> Form:
    return tuple([x.signal.of if type(x) is Diagonal else _form_of_letter(x) for x in word])


def _form_of_letter(letter: Letter) -> Form:
    match letter:
        case Matrix(name=name, transposed=transposed):
            return Matrix, name, transposed
        case Scalar(name=name):
            return Scalar, name
        case Expect(scalars, word):
            return Expect, tuple(map(_form_of_word, scalars)), _form_of_word(word)
        case Column(signal) | Row(signal) | Diagonal(signal):
            return type(letter), signal.of
        case _:
            assert_never(letter)


@frozen(kw_only=True)
class Signal:
    """A vector of one population, known by what it is, `of`. `random`: it differs between examples. `weight`: it is
    the diagonal of a one-to-one synapse. `gates` are 1 wherever this signal is not 0 (a rate relu(z) has the gate of
    z). `name` is how it is written, and decides the order of letters. Made by `named`, and by `notation.signal`."""

    of: Identity
    size: int
    name: str = field(compare=False)
    nature: Nature = Nature.ANY
    random: bool = True
    weight: bool = False
    gates: frozenset[Identity] = field(default=frozenset(), compare=False)

    def __hash__(self) -> int:
        return hash(self.name)  # quicker than of all fields, and as good: what is equal is written alike

    @property
    def value(self) -> str | None:
        """The name that the circuit has for it; None if it has none."""
        return self.name if isinstance(self.of, IN_CIRCUIT) else None


def named(
    name: str, size: int, nature: Nature = Nature.ANY, *, random: bool = True, weight: bool = False,
    gates: frozenset[Identity] = frozenset(),
) -> Signal:  # fmt: skip
    """The signal that the circuit has a name for."""
    return Signal(of=Named(name), name=name, size=size, nature=nature, random=random, weight=weight, gates=gates)


def ones(size: int) -> Signal:
    """The signal that is 1 in every unit."""
    return Signal(of=ONES, name="1", size=size, nature=Nature.POSITIVE, random=False)


# ---------------------------------------------------------------- letters


@frozen(kw_only=True)
class Matrix:
    """A synapse's weights, [rows, cols] as the letter stands (that is, after transposition)."""

    name: str
    rows: int
    cols: int
    transposed: bool = False


@frozen
class Column:
    signal: Signal

    def __hash__(self) -> int:
        return hash(self.signal.name)


@frozen
class Row:
    signal: Signal

    def __hash__(self) -> int:
        return ~hash(self.signal.name)


@frozen
class Diagonal:
    signal: Signal

    def __hash__(self) -> int:
        return hash(self.signal.name) ^ 1


@frozen(kw_only=True)
class Scalar:
    """A number of its own name, such as a modulator."""

    name: str
    positive: bool = False
    random: bool = True


@frozen
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
            return signal.value if signal.weight else None
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


@frozen
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


#: 1, 0 and −1: immutable, so that one of each is enough.
PLAIN = Coefficient()
NOTHING = Coefficient(Fraction(0))
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
