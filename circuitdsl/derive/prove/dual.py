"""The dual: the gradient as a positive matrix times the credit, `delta = K s`.

theory.md, "How to derive it", 5. If K is the same for all examples then `G = K D` and `<D, G> = tr(D^T K D) >= 0`,
though K may have no inverse; if it has one, H = K^-1. A K that differs between examples says something of one example
only. As for H (derive/prove/matching.py) nothing is solved: one of both sides stands bare.

Two ways of dividing are needed here that columns of plain words do not need:

- A number in front that ends with the credit's own signal is put behind: `(p^T e) p` is `p p^T e`. So softmax becomes
  the matrix `diag(p) - p p^T`.
- A single error that is broadcast, `e 1`, is a number times ones; what brings it through weights, `W^T e`, is that
  number times a diagonal of these weights, whose sign may be known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction

from circuitdsl.derive.algebra import notation
from circuitdsl.derive.algebra.arithmetic import NotLinear
from circuitdsl.derive.algebra.comparison import is_positive_diagonal
from circuitdsl.derive.algebra.letters import ONES, Identity, Whole
from circuitdsl.derive.algebra.products import key
from circuitdsl.derive.algebra.words import (
    UNIT,
    Coefficient,
    Column,
    Diagonal,
    Letter,
    Matrix,
    Nature,
    Row,
    Scalar,
    Signal,
    Sum,
    Term,
    Word,
    arranged,
    as_diagonal,
    blocks,
    column,
    depends_on_example,
    end_of_run,
    identity,
    letter_key,
    make_sum,
    mirrored,
    ones,
    scaled,
    times,
    transpose,
    varies,
    zero,
)
from circuitdsl.derive.prove.matching import (
    Quotient,
    divided,
    dropped_gates,
    is_diagonal,
    plain_factor,
    sides,
    with_sign,
)
from circuitdsl.derive.prove.squares import Squares, definite
from circuitdsl.derive.read.constraints import is_dense
from circuitdsl.derive.read.symbols import Symbols
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir


@frozen
class Dual:
    """delta = factor * K credit, K = k / over: the symmetric part of `k` the sum of `squares`, not 0, and `over` a
    positive diagonal (the identity, if `k` is no diagonal itself). `invertible`: the symmetric part of K is positive
    definite. `gates`: those that were dropped."""

    factor: Coefficient
    k: Sum
    over: Sum
    squares: Squares
    invertible: bool
    gates: frozenset[Identity] = frozenset()

    @property
    def is_diagonal(self) -> bool:
        return is_diagonal(self.k)

    @property
    def constant(self) -> bool:
        """Whether K is the same for all examples."""
        return not depends_on_example(self.k) and not depends_on_example(self.over)


def duals(quotient: Quotient, symbols: Symbols, *, mean_field: bool) -> list[Dual]:
    """How the second column is a positive matrix times the first; with gates dropped too, if that is allowed."""
    found = []
    for dropped in (False, True) if mean_field else (False,):
        both = sides(quotient, dropped)
        dual = None if both is None else _dual(*both, dropped_gates(quotient, dropped), symbols)
        if dual is not None:
            found.append(dual)
    return found


def _dual(front: Sum, back: Sum, gates: frozenset[Identity], symbols: Symbols) -> Dual | None:
    if not front.terms or not back.terms or back.rows != back.cols:
        return None
    simplex = _softmaxes(back, symbols)
    signed = with_sign(back, symbols.constants, simplex)
    if signed is None:
        return None
    scale, k, proof = signed
    whole = plain_factor(front)
    first = front.terms[0].coefficient
    over = identity(front.rows) if whole is not None else scaled(front, first.inverse())
    if whole is None and not (is_diagonal(k) and is_positive_diagonal(over)):
        return None
    strict = definite(k, symbols.constants, simplex)
    factor = scale * (first if whole is None else whole).inverse()
    return Dual(factor, k, over, strict or proof, strict is not None, gates)


def _softmaxes(a: Sum, symbols: Symbols) -> frozenset[Identity]:
    """The signals that are >= 0 and add up to 1."""
    made = symbols.opened.arithmetic.made
    signals = {x.signal for t in a.terms for x in t.word if isinstance(x, Column)}
    return frozenset(s.of for s in signals if key(s) in made and made[key(s)].function == "softmax")


# ---------------------------------------------------------------- dividing


def divided_further(credit: Sum, delta: Sum, symbols: Symbols) -> Iterator[Quotient]:
    """Both columns by what they end with, once numbers are put behind, or the error that both are multiples of."""
    credit, delta = (_opened(a, symbols) for a in (credit, delta))
    for signal in _ends(credit):
        back = _before(delta, signal)
        front = None if back is None else _before(credit, signal)
        if front is not None and back is not None:
            yield Quotient(front, back, column(signal))
    numbered = all(t.scalars or any(map(_is_single, t.word[-1:])) for t in (*credit.terms, *delta.terms))
    broadcast = _without_common(_spread(credit), _spread(delta)) if numbered else None
    if broadcast is not None:
        one, other = (_weighted(a, symbols) for a in broadcast)
        quotient = divided(one, other) or _as_diagonals(one, other)
        if quotient is not None:
            yield quotient


def _opened(a: Sum, symbols: Symbols) -> Sum:
    """Numbers that are sums over units written out, those of the gradient included."""
    if not any(term.scalars for term in a.terms):
        return a
    result = zero(a.rows, a.cols)
    for term in a.terms:
        part = make_sum(a.rows, a.cols, [(term.coefficient, (), term.word)])
        for number in term.scalars:
            part = scaled(part, by=_sum_over_units(number, symbols) or make_sum(UNIT, UNIT, [_just(number)]))
        result = result + part
    return result


def _just(number: Word) -> tuple[Coefficient, tuple[Word, ...], Word]:
    return Coefficient(), (number,), ()


def _sum_over_units(number: Word, symbols: Symbols) -> Sum | None:
    value = symbols.circuit.values.get(number[0].name) if isinstance(number[0], Scalar) else None
    match value:
        case ir.Value(expr=ir.Reduce(function="sum", arguments=(summed,), size=size)):
            with suppress(NotLinear):
                each = column(ones(size))
                return times(times(transpose(each), symbols.opened.of(summed, size)), each)
    return None


# ---------------------------------------------------------------- numbers put behind


def _ends(a: Sum) -> list[Signal]:
    """The signals that the first word's last run has."""
    runs = blocks(a.terms[0].word) if a.terms else []
    last = map(as_diagonal, runs[-1]) if runs and end_of_run(runs[-1][-1]) == "column" else ()
    return [x.signal for x in last if isinstance(x, Diagonal) and x.signal.of is not ONES]


def _before(a: Sum, signal: Signal) -> Sum | None:
    """m with a = m signal."""
    raw = []
    for term in a.terms:
        word = _without(term.word, signal)
        scalars = list(term.scalars)
        for number in () if word is not None else term.scalars:
            row = _without(number, signal, row=True) or _without(mirrored(number), signal, row=True)
            if row is not None:
                scalars.remove(number)
                word = (*term.word, *row)
                break
        if word is None:
            return None
        raw.append((term.coefficient, tuple(scalars), word))
    found = make_sum(a.rows, signal.size, raw)
    return found if times(found, column(signal)) == a else None


def _without(word: Word, signal: Signal, *, row: bool = False) -> Word | None:
    """The word without a signal of its last run: a matrix in front of that column. `row`: the word is a number."""
    *before, last = blocks(word) or [()]
    if not last or end_of_run(last[-1]) != "column":
        return None
    rest = list(map(as_diagonal, last))
    if Diagonal(signal) not in rest:
        return None
    rest.remove(Diagonal(signal))
    front = tuple(x for run in before for x in run)
    if row and not front:
        return arranged(rest or [Diagonal(ones(signal.size))], row=True, column=False)
    return (*front, *sorted(rest, key=letter_key))


# ---------------------------------------------------------------- a single error, broadcast


def _spread(a: Sum) -> Sum:
    """Single errors at the end of words as numbers, one for each signal."""
    raw = []
    for term in a.terms:
        runs = blocks(term.word)
        numbers = [n for number in term.scalars for n in _separate(number)]
        last = runs[-1] if runs else ()
        word = term.word
        if last and end_of_run(last[-1]) == "column" and all(_is_single(x) for x in last):
            numbers += _separate(last)
            word = (*(x for run in runs[:-1] for x in run), Column(ones(1)))
        raw.append((term.coefficient, tuple(numbers), word))
    return make_sum(a.rows, a.cols, raw)


def _is_single(letter: Letter) -> bool:
    return isinstance(letter, Row | Diagonal | Column) and letter.signal.size == 1


def _separate(number: Word) -> list[Word]:
    """A product of single signals as one number for each."""
    if not all(map(_is_single, number)):
        return [number]
    unit = Row(ones(1))
    signals = [x.signal for x in number if isinstance(x, Row | Diagonal | Column)]
    return [(unit, Column(s)) for s in signals if s.of is not ONES]


def _without_common(a: Sum, b: Sum) -> tuple[Sum, Sum] | None:
    """Both without the numbers that all their terms share, if there are any."""
    counts = [Counter(t.scalars) for t in (*a.terms, *b.terms)]
    if not a.terms or not b.terms:
        return None
    common = counts[0]
    for count in counts[1:]:
        common = common & count
    if not common:
        return None

    def without(x: Sum) -> Sum:
        raw = [(t.coefficient, tuple((Counter(t.scalars) - common).elements()), t.word) for t in x.terms]
        return make_sum(x.rows, x.cols, raw)

    return without(a), without(b)


def _weighted(a: Sum, symbols: Symbols) -> Sum:
    """Columns of weights as diagonals of these, in front of ones."""
    result = zero(a.rows, a.cols)
    for term in a.terms:
        found = _weights(term, symbols)
        result = result + (Sum(a.rows, a.cols, (term,)) if found is None else found)
    return result


def _weights(term: Term, symbols: Symbols) -> Sum | None:
    start = next((i for i, x in enumerate(term.word) if isinstance(x, Matrix)), None)
    if start is None or not all(end_of_run(x) == "diagonal" for x in term.word[:start]):
        return None
    front, word = term.word[:start], term.word[start:]
    nature, sign = _nature(word, symbols)
    bare = word[:-1] if word[-1] == Column(ones(1)) else word
    random = any(map(varies, word))
    size = word[0].rows if isinstance(word[0], Matrix) else 0
    signal = notation.signal(Whole(bare, turned=sign < 0), size, nature, random=random)
    raw = (term.coefficient * Coefficient(Fraction(sign)), term.scalars, (*front, Diagonal(signal), Column(ones(size))))
    return make_sum(size, UNIT, [raw])


def _as_diagonals(a: Sum, b: Sum) -> Quotient | None:
    """Two columns of signals as diagonals in front of ones."""
    found = []
    for each in (a, b):
        if any(len(blocks(t.word)) != 1 for t in each.terms):
            return None
        raw = [(t.coefficient, t.scalars, tuple(map(as_diagonal, t.word))) for t in each.terms]
        found.append(make_sum(each.rows, each.rows, raw))
    return Quotient(found[0], found[1], column(ones(a.rows)))


def _nature(word: Word, symbols: Symbols) -> tuple[Nature, int]:
    """What is known of the entries of a column, by the bounds and signs of weights: they are `sign` times such."""
    nature, sign = Nature.POSITIVE, 1
    for letter in word:
        match letter:
            case Matrix(name=name):
                synapse = symbols.circuit.synapses[name]
                ends = symbols.ranges.limits(synapse)
                if ends.low < 0 < ends.high:
                    return Nature.ANY, 1
                sign = -sign if ends.high <= 0 else sign
                apart = (ends.low > 0 or ends.high < 0) and is_dense(synapse)
                nature = nature if apart else Nature.NONNEGATIVE
            case Diagonal(signal) | Column(signal) if signal.nature is not Nature.ANY:
                nature = nature if signal.nature is Nature.POSITIVE else Nature.NONNEGATIVE
            case _:
                return Nature.ANY, 1
    return nature, sign
