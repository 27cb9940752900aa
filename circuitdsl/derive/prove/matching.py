"""Comparing a credit with a gradient: what stands in front of what both end with.

Nothing is solved. What remains in front has to be a number, a positive diagonal (or the inverse of one), or a sum of
squares (derive/prove/squares.py): never a product of two positive semidefinite words, which is indefinite in general,
and never the pattern `s = P M d`, `delta = M Q d`, which would prove feedback alignment.

Gates count like any letter. Where that decides nothing they may be dropped, a mean-field statement, but only if both
sides have the same gates and begin with the same one, or ungated ReLU would be proved.
"""

from __future__ import annotations

from circuitdsl.derive.algebra.comparison import is_positive_diagonal, ratio, strip_suffix
from circuitdsl.derive.algebra.constants import Constants, negative
from circuitdsl.derive.algebra.letters import Identity
from circuitdsl.derive.algebra.words import (
    UNIT,
    Coefficient,
    Column,
    Diagonal,
    Letter,
    Matrix,
    Nature,
    Sum,
    Word,
    depends_on_example,
    identity,
    make_sum,
    scaled,
    times,
)
from circuitdsl.derive.prove.relations import gates_in, is_gate, without_gates
from circuitdsl.derive.prove.squares import Squares, is_symmetric, squares
from circuitdsl.frozen import frozen


@frozen
class Form:
    """credit = factor * H delta, H = h / over: the symmetric part of `h` the sum of `squares`, not 0, and `over` a
    positive diagonal (the identity, if `h` is no diagonal itself). `gates`: those that were dropped."""

    factor: Coefficient
    h: Sum
    over: Sum
    squares: Squares
    gates: frozenset[Identity] = frozenset()

    @property
    def mean_field(self) -> bool:
        return bool(self.gates)

    @property
    def constant(self) -> bool:
        """Whether H is the same for all examples."""
        return not depends_on_example(self.h) and not depends_on_example(self.over)

    @property
    def is_symmetric(self) -> bool:
        return is_symmetric(self.h)

    @property
    def is_diagonal(self) -> bool:
        """Only such an H may stand behind a positive factor for each synapse: it is a diagonal too, and the product of
        two positive semidefinite matrices is indefinite in general."""
        return is_diagonal(self.h) and is_diagonal(self.over)

    @property
    def is_identity(self) -> bool:
        return plain_factor(self.h) is not None and plain_factor(self.over) is not None


def forms(quotient: Quotient, *, mean_field: bool, constants: Constants | None = None) -> list[Form]:
    """How one column is a positive matrix times the other; with gates dropped too, if that is allowed. `constants`
    has the numbers of params, where the sign depends on these."""
    found = []
    for dropped in (False, True) if mean_field else (False,):
        both = sides(quotient, dropped)
        form = None if both is None else _form(*both, dropped_gates(quotient, dropped), constants)
        if form is not None:
            found.append(form)
    return found


def sides(quotient: Quotient, dropped: bool) -> tuple[Sum, Sum] | None:
    """What stands in front on both sides, if `dropped` without their gates."""
    if not dropped:
        return quotient.front, quotient.back
    same = dropped_gates(quotient, dropped) and same_gates(quotient)
    return (without_gates(quotient.front), without_gates(quotient.back)) if same else None


def dropped_gates(quotient: Quotient, dropped: bool) -> frozenset[Identity]:
    """The gates that stand in front on either side, if they are `dropped`."""
    return gates_in(quotient.front) | gates_in(quotient.back) if dropped else frozenset()


def _form(front: Sum, back: Sum, gates: frozenset[Identity], constants: Constants | None) -> Form | None:
    if not front.terms or not back.terms:
        return None
    signed = with_sign(front, constants)
    if signed is None:
        return None
    scale, h, proof = signed
    factor = plain_factor(back)
    if factor is not None:
        return Form(scale * factor.inverse(), h, identity(back.rows), proof, gates)
    scale_back = back.terms[0].coefficient
    over = scaled(back, scale_back.inverse())
    if not is_diagonal(h) or not is_positive_diagonal(over):
        return None
    return Form(scale * scale_back.inverse(), h, over, proof, gates)


def with_sign(
    a: Sum, constants: Constants | None, simplex: frozenset[Identity] = frozenset()
) -> tuple[Coefficient, Sum, Squares] | None:
    """(c, h, squares) with a = c h, h a sum of squares, not 0 (as far as words tell); see `squares`."""
    first = a.terms[0].coefficient
    for scale in (first, negative(first)):
        h = scaled(a, scale.inverse())
        found = squares(h, constants, simplex)
        if found is not None and found.squares:
            return scale, h, found
    return None


def is_diagonal(a: Sum) -> bool:
    """Whether it is made of diagonals alone, which commute."""
    return all(isinstance(x, Diagonal) for t in a.terms for x in t.word)


@frozen
class Quotient:
    """One column as `front * tail` beside another as `back * tail`."""

    front: Sum
    back: Sum
    tail: Sum


def divided(v: Sum, e: Sum) -> Quotient | None:
    """v and e by what both end with; None if that is nothing."""
    if not v.terms or not e.terms:
        return None
    factor = ratio(v, e)
    if factor is not None:
        return Quotient(scaled(identity(v.rows), factor), identity(e.rows), e)
    front, back, tail = strip_suffix(v, e)
    if tail.cols == UNIT and tail.rows != UNIT:
        return Quotient(front, back, tail)
    return _by_prefix(v, e) if len(v.terms) == len(e.terms) > 1 else None


def _by_prefix(v: Sum, e: Sum) -> Quotient | None:
    """v = l M and e = r M for columns M of several words: l and r are then single words."""
    first = Sum(e.rows, e.cols, e.terms[:1])
    for term in v.terms:
        front, back, tail = strip_suffix(Sum(v.rows, v.cols, (term,)), first)
        if tail.cols != UNIT or tail.rows == UNIT:
            continue
        middle = _stripped(e, back)
        if middle is not None and times(front, middle) == v:
            return Quotient(front, back, middle)
    return None


def _stripped(e: Sum, prefix: Sum) -> Sum | None:
    """M with e = prefix M, for a prefix of one word."""
    word, factor = prefix.terms[0].word, prefix.terms[0].coefficient
    raw = []
    for term in e.terms:
        letters: list[Letter] = list(term.word)
        for letter in word:
            if letter not in letters[: len(word)]:
                return None
            letters.remove(letter)
        raw.append((term.coefficient * factor.inverse(), term.scalars, tuple(letters)))
    middle = make_sum(prefix.cols, UNIT, raw)
    return middle if times(prefix, middle) == e else None


def plain_factor(a: Sum) -> Coefficient | None:
    """The number of which the matrix is a multiple of the identity."""
    only = len(a.terms) == 1 and not a.terms[0].word and not a.terms[0].scalars
    return a.terms[0].coefficient if only else None


def alone(quotient: Quotient, dropped: bool) -> Sum | None:
    """M with v = M e; with `dropped`, both without their gates."""
    both = sides(quotient, dropped)
    factor = None if both is None else plain_factor(both[1])
    return None if both is None or factor is None else scaled(both[0], factor.inverse())


def same_gates(quotient: Quotient) -> bool:
    """Whether both columns begin with the same gates and have no others: then these may be dropped."""
    leads = {_leads(t.word, quotient.tail) for a in (quotient.front, quotient.back) for t in a.terms}
    if len(leads) != 1:
        return False
    (lead,) = leads
    letters = [x for a in (quotient.front, quotient.back) for t in a.terms for x in t.word]
    return all(x.signal.of in lead for x in letters if isinstance(x, Diagonal) and is_gate(x))


def _leads(word: Word, tail: Sum) -> frozenset[Identity]:
    """The gates that `word tail` begins with."""
    if any(isinstance(x, Matrix) for x in word):
        return leading(word)
    inner = [leading(t.word) for t in tail.terms]
    return leading(word) | frozenset.intersection(*inner)


def leading(word: Word) -> frozenset[Identity]:
    """The gates that a column begins with, those of its signal included."""
    found: set[Identity] = set()
    for letter in word:
        match letter:
            case Diagonal(signal) | Column(signal):
                found |= signal.gates | ({signal.of} if signal.nature is Nature.GATE else set())
            case _:
                break
    return frozenset(found)
