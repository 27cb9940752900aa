"""Words as products `u^T D v` of half-words around a middle: what the squares of a sum are made of.

See derive/prove/squares.py. Numbers and params commute with everything: of each as many as can be halved are in the
half-word, and the rest, which has to be positive, is in the middle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations, islice
from typing import assert_never

from circuitdsl.derive.algebra.words import (
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
    as_diagonal,
    blocks,
    end_of_run,
    letter_key,
    mirrored,
    shape,
)
from circuitdsl.frozen import frozen

#: Of a run with more diagonals than this no parts are taken.
MAX_RUN = 3

Params = tuple[tuple[str, int], ...]


@frozen
class Middle:
    """What stands between two half-words: positive semidefinite, of one axis."""

    params: Params
    numbers: tuple[Word, ...]
    word: Word
    axis: int


@frozen
class Half:
    """A half-word, [rows, the size of the matrix]."""

    params: Params
    numbers: tuple[Word, ...]
    word: Word
    rows: int


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


def square_of(term: Term, size: int) -> Iterator[tuple[Middle, Half]]:
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
        yield Middle(odd, alone, middle, axis), Half(even, twice, half, axis)


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


# ---------------------------------------------------------------- candidates


def half_words(h: Sum, generous: bool) -> dict[Middle, list[Half]]:
    """The half-words of the squares among the terms, by their middles; if `generous`, however these are split, and what
    they end with, about every middle that fits."""
    found: dict[Middle, set[Half]] = {}
    for term in h.terms:
        for middle, half in islice(square_of(term, h.rows), None if generous else 1):
            found.setdefault(middle, set()).add(half)
    if generous:
        ends = {end for halves in found.values() for half in halves for end in _ends(half, h.cols)}
        for end in ends:
            found.setdefault(Middle((), (), (), end.rows), set())
        for middle, halves in found.items():
            halves |= {end for end in ends if end.rows == middle.axis}
    # The matrix's own units come last: there LDL^T leaves what is definite.
    ordered = {m: sorted(halves, key=_half_key) for m, halves in found.items() if halves}
    return dict(sorted(ordered.items(), key=lambda x: _middle_key(x[0])))


def _half_key(half: Half) -> tuple[object, ...]:
    words = tuple(map(_word_key, (half.word, *half.numbers)))
    return -len(half.word), words, half.params


def _middle_key(middle: Middle) -> tuple[object, ...]:
    words = tuple(map(_word_key, (middle.word, *middle.numbers)))
    return len(middle.word), len(middle.numbers), middle.axis, words, middle.params


def _word_key(word: Word) -> tuple[object, ...]:
    return tuple((letter_key(x), shape(x)) for x in word)


def _ends(half: Half, size: int) -> Iterator[Half]:
    """What a half-word ends with, of a run any part; with its numbers and params, and without."""
    runs = blocks(half.word)
    for i in range(len(runs) + 1):
        rest = tuple(x for run in runs[i + 1 :] for x in run)
        for part in _parts(runs[i]) if i < len(runs) else [()]:
            word = part + rest
            rows = shape(word[0])[0] if word else size
            yield Half(half.params, half.numbers, word, rows)
            yield Half((), (), word, rows)


def _parts(run: Word) -> list[Word]:
    if len(run) > MAX_RUN or any(end_of_run(x) != "diagonal" for x in run):
        return [run]
    return [part for n in range(1, len(run) + 1) for part in combinations(run, n)]
