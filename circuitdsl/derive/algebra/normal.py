"""The normal form of words, and of their means over examples; see derive/algebra/words.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, assert_never

from circuitdsl.derive.algebra.letters import (
    ONES,
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
    keys_of,
    letter_key,
    ones,
    shape,
    varies,
)

#: A coefficient, scalar words and a word that need not be in normal form.
Raw = tuple[Coefficient, tuple[Word, ...], Word]


def normal(factor: Coefficient, scalars: Iterable[Word], word: Word) -> Term:
    tidy = None if scalars else _is_tidy(word)
    if tidy is not None:
        return Term(factor, (), word if tidy else _in_order(word))
    numbers: list[Word] = list(scalars)
    rest: list[Letter] = []
    for piece in pieces(word):
        if shape(piece[0])[0] == UNIT and shape(piece[-1])[1] == UNIT:
            numbers.append(piece)
        else:
            rest += _tidy(piece)
    ordered = tuple(sorted((_number(n) for n in numbers), key=keys_of)) if numbers else ()
    return Term(factor, ordered, tuple(rest))


def _is_tidy(word: Word) -> bool | None:
    """Whether the word, which is surely one piece and no number, without means, is surely in order: no run in it has
    more than one letter; None where it may be something else. Quick: most words are such pieces."""
    tidy, in_run = True, False
    last = len(word) - 1
    for i, x in enumerate(word):
        match x:
            case Matrix():
                if x.rows == UNIT or x.cols == UNIT:
                    return None
                in_run = False
                continue
            case Diagonal():
                tidy = tidy and x.signal.of is not ONES
            case Column() if i < last or isinstance(word[0], Row):
                return None
            case Row() if i:
                return None
            case Expect() | Scalar():
                return None
        if x.signal.size == UNIT:
            return None
        tidy = tidy and not in_run
        in_run = True
    return tidy


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
    if len(run) == 1 and signals[0].of is not ONES:
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
    implied = frozenset().union(*[s.gates - {s.of} for s in signals if s.gates])
    kept: list[Signal] = []
    for s in signals:
        if s.of is not ONES and not (s.nature is Nature.GATE and (s.of in implied or s in kept)):
            kept.append(s)
    return kept


def _preference(signal: Signal) -> tuple[bool, bool, str]:
    """What varies comes last, to stand at the end of its run."""
    return signal.random, signal.nature is not Nature.GATE, signal.name


def _name(signal: Signal) -> str:
    return signal.name


def stands_alone(letter: Letter) -> bool:
    """Whether a word of this letter only is in normal form, and no number."""
    match letter:
        case Matrix():
            return True
        case Diagonal(signal):
            return signal.of is not ONES and signal.size != UNIT
        case Column(signal) | Row(signal):
            return signal.size != UNIT
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
    return min(_tidy(word), mirrored(word), key=keys_of)


def reversed_word(word: Word) -> Word:
    return tuple([_transposed(letter) for letter in reversed(word)])


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
            flipped = normal(PLAIN, scalars, reversed_word(word))
            return Expect(flipped.scalars, flipped.word)
        case _:
            assert_never(letter)


def mirrored(word: Word) -> Word:
    """The transpose of a word within one piece, in normal form."""
    return _tidy(reversed_word(word))


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
    if (len(block) == 1 and stands_alone(block[0])) or end_of_run(block[0]) is None:
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
    implied = frozenset(gate for s in signals for gate in s.gates if s.of != gate)
    kept: list[Letter] = []
    for x in factors:
        if isinstance(x, Diagonal):
            of = x.signal.of
            if of is ONES or (_is_gate(x) and (of in implied or x in kept)):
                continue
        kept.append(x)
    return kept


# ---------------------------------------------------------------- expectation


def expected(term: Term) -> Raw:
    """The mean of a term: what is the same for all examples stands before and behind it."""
    moving = tuple(s for s in term.scalars if any(map(varies, s)))
    still = tuple(s for s in term.scalars if not any(map(varies, s)))
    before, core, after = _core(term.word)
    if not core and not moving:
        return term.coefficient, term.scalars, term.word
    if not core and len(moving) == 1:
        return term.coefficient, (*still, _mean_of_number(moving[0])), term.word
    inner = normal(PLAIN, moving, core)
    mean = Expect(inner.scalars, inner.word)
    if not core:
        return term.coefficient, (*still, (mean,)), term.word
    return term.coefficient, still, (*before, mean, *after)


def _mean_of_number(word: Word) -> Word:
    """The mean of one number: of kᵀ u with a constant k it is kᵀ E[u]."""
    before, core, after = _core(word)
    if not before and not after:
        return (Expect((_number(word),), ()),)
    inner = normal(PLAIN, (), core)
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
