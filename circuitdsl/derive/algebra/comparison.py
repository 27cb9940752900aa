"""Comparing sums of words: replacing letters by what they equal, common ends, and what is seen to be a positive
diagonal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import chain
from typing import assert_never

from circuitdsl.derive.algebra.letters import Identity
from circuitdsl.derive.algebra.words import (
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
    Sum,
    Term,
    Word,
    arranged,
    as_diagonal,
    blocks,
    end_of_run,
    expect,
    identity,
    letter_key,
    letter_sum,
    make_sum,
    scaled,
    shape,
    times,
    total,
    transpose,
)
from circuitdsl.frozen import frozen

# ---------------------------------------------------------------- replacing letters


def substitute(a: Sum, matrices: Mapping[str, Sum] | None = None, columns: Mapping[Identity, Sum] | None = None) -> Sum:
    """`a` with matrices (also transposed ones) and signals replaced by sums of the same axes.

    A signal is replaced where it is a column or a row, or can be made one; as a diagonal of its own it stays.
    """
    replacing = _Replacing(matrices or {}, columns or {})
    parts = (scaled(replacing.product(t.scalars, t.word, a.rows), t.coefficient) for t in a.terms)
    return total(a.rows, a.cols, parts)


@frozen
class _Replacing:
    matrices: Mapping[str, Sum]
    columns: Mapping[Identity, Sum]

    def product(self, scalars: tuple[Word, ...], word: Word, axis: int) -> Sum:
        result = identity(axis)
        for block in blocks(word):
            for letter in self.exposed(block):
                result = times(result, self.letter(letter))
        for number in scalars:
            result = scaled(result, by=self.product((), number, UNIT))
        return result

    def exposed(self, block: Word) -> Word:
        """A run with a replaced signal, if there is one, at its end."""
        for end, kind in ((-1, Column), (0, Row)):
            edge = block[end]
            if not isinstance(edge, kind) or edge.signal.of in self.columns:
                continue
            for i, x in enumerate(block):
                if isinstance(x, Diagonal) and x.signal.of in self.columns:
                    swapped = list(block)
                    swapped[i], swapped[end] = Diagonal(edge.signal), kind(x.signal)
                    block = tuple(swapped)
                    break
        return block

    def letter(self, letter: Letter) -> Sum:
        match letter:
            case Matrix() if letter.name in self.matrices:
                new = self.matrices[letter.name]
                return self.fitting(letter, transpose(new) if letter.transposed else new)
            case Column(signal) if signal.of in self.columns:
                return self.fitting(letter, self.columns[signal.of])
            case Row(signal) if signal.of in self.columns:
                return self.fitting(letter, transpose(self.columns[signal.of]))
            case Expect(scalars, word):
                return expect(self.product(scalars, word, shape(letter)[0]))
            case _:
                return letter_sum(letter)

    def fitting(self, letter: Letter, new: Sum) -> Sum:
        if (new.rows, new.cols) != shape(letter):
            raise ValueError(f"{letter} cannot be replaced by {new.rows}x{new.cols}")
        return new


# ---------------------------------------------------------------- comparing


def ratio(a: Sum, b: Sum) -> Coefficient | None:
    """The c with a = c b, if there is one and it is not 0."""
    if (a.rows, a.cols) != (b.rows, b.cols) or not a.terms or len(a.terms) != len(b.terms):
        return None
    found = a.terms[0].coefficient
    for candidate in b.terms:
        if (candidate.scalars, candidate.word) == (a.terms[0].scalars, a.terms[0].word):
            c = found * candidate.coefficient.inverse()
            if len(a.terms) == 1 or scaled(b, c) == a:
                return c
    return None


def up_to_factor(a: Sum) -> object:
    """Equal for multiples of each other."""
    return a.rows, a.cols, tuple((t.scalars, t.word) for t in a.terms)


def may_end_with(a: Sum, b: Sum) -> bool:
    """Whether the matrices of each word of b end some word of a: else a is no `m b` with m in front. Quick."""
    ends = [_matrices(t.word) for t in a.terms]
    return all(any(end[len(end) - len(part) :] == part for end in ends) for part in map(_matrices, _words(b)))


def _words(a: Sum) -> list[Word]:
    return [t.word for t in a.terms]


def _matrices(word: Word) -> Word:
    return tuple(x for x in word if isinstance(x, Matrix))


def strip_suffix(a: Sum, b: Sum) -> tuple[Sum, Sum, Sum]:
    """(a', b', s) with a = a' s and b = b' s, s one word, as long as it can be.

    In a run of signals their order does not matter: diag(g) diag(k) v and diag(k) v share diag(k) v."""
    words = [t.word for t in (*a.terms, *b.terms)]
    suffix = _common_suffix(words) if a.terms and b.terms else ()
    if not suffix:
        return a, b, identity(a.cols)
    axis = shape(suffix[0])[0]
    raw = [[(t.coefficient, t.scalars, _without_suffix(t.word, suffix)) for t in x.terms] for x in (a, b)]
    tail = make_sum(axis, a.cols, [(Coefficient(), (), suffix)])
    return make_sum(a.rows, axis, raw[0]), make_sum(b.rows, axis, raw[1]), tail


def strip_prefix(a: Sum, b: Sum) -> tuple[Sum, Sum, Sum]:
    """(a', b', p) with a = p a' and b = p b'."""
    left, right, head = strip_suffix(transpose(a), transpose(b))
    return transpose(left), transpose(right), transpose(head)


def _common_suffix(words: list[Word]) -> Word:
    """The longest suffix of all words; of a run, the signals that all have."""
    split = [blocks(w) for w in words]
    suffix: Word = ()
    while all(split):
        last = [s.pop() for s in split]
        if all(block == last[0] for block in last):
            suffix = last[0] + suffix
            continue
        return _shared(last) + suffix
    return suffix


def _shared(runs: list[Word]) -> Word:
    """What runs share, up to their order, in which any signal may be the column: diag(u) v = diag(v) u."""
    ends = {end_of_run(run[-1]) for run in runs}
    if len(ends) > 1 or any(end_of_run(x) not in ("diagonal", "column") for run in runs for x in run):
        return ()
    first, *others = [list(map(as_diagonal, run)) for run in runs]
    if any(set(first).isdisjoint(other) for other in others):
        return ()
    common = Counter(first)
    for other in others:
        common &= Counter(other)
    found = sorted(common.elements(), key=letter_key)
    if ends != {"column"}:
        return tuple(found)
    return arranged(found, row=False, column=True) if found else ()


def _without_suffix(word: Word, suffix: Word) -> Word:
    """The word without the letters of the suffix, which may stand in its last run in another order."""
    left = blocks(word)
    for part in reversed(blocks(suffix)):
        run = left.pop()
        if run != part:
            rest = list(map(as_diagonal, run))
            for letter in part:
                rest.remove(as_diagonal(letter))
            left.append(tuple(rest))
    return tuple(x for block in left for x in block)


# ---------------------------------------------------------------- positivity


def is_positive_diagonal(a: Sum) -> bool:
    """Whether the matrix is seen to be diagonal with entries > 0 (a positive multiple of the identity is)."""
    return bool(a.terms) and a.rows == a.cols and all(_is_positive_term(t) for t in a.terms)


def _is_positive_term(term: Term) -> bool:
    return term.coefficient.number > 0 and all(map(is_positive, (*chain(*term.scalars), *term.word)))


def is_positive(letter: Letter) -> bool:
    """Whether a letter is seen to be a diagonal with entries > 0, or a number > 0."""
    match letter:
        case Diagonal(signal):
            return signal.nature is Nature.POSITIVE
        case Scalar():
            return letter.positive
        case Expect(scalars, word):
            return all(map(is_positive, (*chain(*scalars), *word)))
        case Matrix() | Row() | Column():
            return False
        case _:
            assert_never(letter)
