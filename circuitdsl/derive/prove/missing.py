"""Where nothing is found: the first step that failed, and what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from circuitdsl.derive.algebra.comparison import ratio, strip_prefix, up_to_factor
from circuitdsl.derive.algebra.letters import Identity
from circuitdsl.derive.algebra.notation import signal_text
from circuitdsl.derive.algebra.words import (
    Column,
    Diagonal,
    Matrix,
    Sum,
    Term,
    blocks,
    names,
    transpose,
)
from circuitdsl.derive.prove.matching import divided, plain_factor
from circuitdsl.derive.prove.reasons import (
    AlmostRelated,
    Apart,
    BoundMultiple,
    Break,
    Broken,
    Difference,
    Factors,
    Goal,
    Lack,
    LostGates,
    NeitherDecays,
    NoDecay,
    NoMultiple,
    NothingPulls,
    OtherBounds,
    OtherDrives,
    OtherMasks,
    OtherPart,
    OtherPassages,
    OtherSigns,
    Overshoots,
    PulledBeside,
    RuleUnread,
    StaysFixed,
    WithinPath,
)
from circuitdsl.derive.prove.transport import Transport
from circuitdsl.derive.read.constraints import keep_multiple, same_masks
from circuitdsl.derive.read.drives import Drive, Unread
from circuitdsl.derive.read.symbols import Symbols
from circuitdsl.graph import ir


@dataclass(frozen=True)
class Search:
    """What was tried: the rules as they were read, and the way down with all relations."""

    symbols: Symbols
    rules: Mapping[str, Drive | Unread]
    transport: Transport

    @cached_property
    def alike(self) -> Mapping[object, Sequence[tuple[Drive, bool]]]:
        """The rules by their drives, and by these transposed, up to a factor."""
        found: dict[object, list[tuple[Drive, bool]]] = {}
        for rule in self.rules.values():
            if isinstance(rule, Drive):
                for turned in (True, False):
                    whole = transpose(rule.matrix) if turned else rule.matrix
                    found.setdefault(up_to_factor(whole), []).append((rule, turned))
        return found


def missing(search: Search, drive: Drive, dendrite: str) -> Lack:
    """Why the credit of a rule is not seen to be the gradient at its dendrite."""
    if search.transport.seen(drive.signal, dendrite):
        return LostGates(_in_order(search.transport.lost_gates(drive.signal, dendrite)))
    credit, grounds = search.transport.reduced(drive.signal)
    explained = frozenset(n for r in grounds.all_relations() for n in names(r.left))
    delta, _ = search.transport.gradient(dendrite)
    offset = tuple(t for t in credit.terms if _is_offset(t))
    rest = Sum(credit.rows, credit.cols, tuple(t for t in credit.terms if t not in offset))
    if offset and not any(map(_is_offset, delta.terms)) and ratio(rest, delta) is not None:
        return OtherPart("credit", _part(credit, offset), fixed=True)
    open_ = _first_open(drive.credit, explained)
    if len(credit.terms) == len(delta.terms) == 1:
        found = _of_one_word(search, credit, delta, open_)
        if found is not None:
            return found
    if open_ is not None:
        return _broken(search, open_, _mirror(search, open_, delta))
    words = {(t.scalars, t.word) for t in credit.terms} & {(t.scalars, t.word) for t in delta.terms}
    lost, stray = (tuple(t for t in a.terms if (t.scalars, t.word) not in words) for a in (delta, credit))
    if words and lost and not stray:
        return OtherPart("gradient", _part(delta, lost))
    if words and stray and not lost:
        return OtherPart("credit", _part(credit, stray))
    return NoMultiple(credit, delta, alone=False)


def _in_order(signals: Iterable[Identity]) -> tuple[Identity, ...]:
    return tuple(sorted(signals, key=signal_text))


def _is_offset(term: Term) -> bool:
    """Whether it is a current that is the same for all examples, such as that of `bias` through fixed weights."""
    last = term.word[-1] if term.word else None
    return isinstance(last, Column) and not last.signal.random and any(isinstance(x, Matrix) for x in term.word)


def _part(a: Sum, terms: tuple[Term, ...]) -> Sum:
    return Sum(a.rows, a.cols, terms)


def _mirror(search: Search, letter: Matrix, delta: Sum) -> Matrix | None:
    """The weights that a letter should mirror: those of equal drive, else the first of the gradient."""
    letters = [x for t in delta.terms for x in t.word if isinstance(x, Matrix)]
    rule = search.rules.get(letter.name)
    for x in letters:
        other = search.rules.get(x.name)
        if isinstance(rule, Drive) and isinstance(other, Drive):
            turned = transpose(other.matrix) if x.transposed else other.matrix
            if ratio(rule.matrix, turned) is not None:
                return x
    return letters[0] if letters else None


def almost(search: Search, drive: Drive) -> AlmostRelated | None:
    """What keeps a weight from a relation with another of equal drive; None if there is none of equal drive."""
    whole = drive.matrix
    for other, turned in search.alike.get(up_to_factor(whole), ()):
        differs = other.synapse != drive.synapse
        if differs and ratio(whole, transpose(other.matrix) if turned else other.matrix) is not None:
            one, two = (search.symbols.circuit.synapses[d.synapse] for d in (drive, other))
            return AlmostRelated(Goal(two.name, turned), _apart(search, one, two))
    return None


def _first_open(credit: Sum, explained: frozenset[str]) -> Matrix | None:
    """The first matrix on the way down that no relation was found for."""
    letters = (x for t in credit.terms for x in t.word if isinstance(x, Matrix))
    return next((x for x in letters if x.name not in explained), None)


def _of_one_word(search: Search, credit: Sum, delta: Sum, unexplained: Matrix | None) -> Lack | None:
    quotient = divided(credit, delta)
    front, back = (credit, delta) if quotient is None else (quotient.front, quotient.back)
    front, back, head = strip_prefix(front, back)
    factors = _by_factors(front, back)
    if factors is not None:
        return factors
    wrong, wanted = _first_matrix(front), _first_matrix(back)
    held = {x.signal for x in blocks(credit.terms[0].word)[0] if isinstance(x, Diagonal | Column)}
    lost = [x for t in back.terms for x in t.word if isinstance(x, Diagonal) and x.signal not in held]
    if wrong is None and lost and _leads(back):
        return Factors("lacks", (lost[0].signal.of,))
    if wrong is None:
        return None
    if wanted is None and plain_factor(back) is not None and _first_matrix(head) is not None:
        return WithinPath(credit, front, head)
    if wanted is None and unexplained is None:
        return NoMultiple(credit, delta, alone=True)
    return _broken(search, unexplained or wrong, wanted)


def _by_factors(front: Sum, back: Sum) -> Factors | None:
    """What is lost on the same way down: factors of the gradient that the credit has not, or the other way round."""
    one, two = front.terms[0].word, back.terms[0].word
    matrices = [[x for x in word if isinstance(x, Matrix)] for word in (one, two)]
    if matrices[0] != matrices[1] or not matrices[0]:
        return None
    signals = [Counter(x.signal.of for x in word if isinstance(x, Diagonal)) for word in (one, two)]
    lost, stray = signals[1] - signals[0], signals[0] - signals[1]
    if lost:
        return Factors("lacks", _in_order(lost))
    return Factors("has", _in_order(stray)) if stray else None


def _leads(back: Sum) -> bool:
    word = back.terms[0].word
    return bool(word) and isinstance(word[0], Diagonal)


def _first_matrix(a: Sum) -> Matrix | None:
    return next((x for t in a.terms for x in t.word if isinstance(x, Matrix)), None)


def _broken(search: Search, letter: Matrix, wanted: Matrix | None) -> Broken:
    """Weights on the way down that do not become those of the way up."""
    synapse = search.symbols.circuit.synapses[letter.name]
    return Broken(
        dendrite=synapse.dendrite, population=synapse.post,
        source=synapse.source.value, synapse=synapse.name,
        goal=None if wanted is None else Goal(wanted.name, wanted.transposed),
        by=_why_not(search, letter.name, wanted),
    )  # fmt: skip


def _why_not(search: Search, name: str, wanted: Matrix | None) -> Break:
    rule = search.rules.get(name)
    circuit = search.symbols.circuit
    if rule is None:
        return StaysFixed()
    if isinstance(rule, Unread):
        return RuleUnread(rule.why)
    other = None if wanted is None else search.rules.get(wanted.name)
    if wanted is None or not isinstance(other, Drive):
        return NothingPulls()
    same = ratio(rule.matrix, transpose(other.matrix) if wanted.transposed else other.matrix)
    if same is None:
        return OtherDrives(rule.shown, other.shown)
    return _apart(search, circuit.synapses[name], circuit.synapses[wanted.name])


def _apart(search: Search, one: ir.Synapse, two: ir.Synapse) -> Apart:
    return Apart(one.name, two.name, _difference(search, one, two))


def _difference(search: Search, one: ir.Synapse, two: ir.Synapse) -> Difference:
    """What keeps two weights of equal drives apart."""
    x, y = search.rules[one.name], search.rules[two.name]
    assert isinstance(x, Drive)
    assert isinstance(y, Drive)
    constants, ranges = search.symbols.constants, search.symbols.ranges
    if not same_masks(one, two):
        return OtherMasks()
    for drive in (x, y):
        if drive.uneven is not None:
            return PulledBeside(drive.synapse, drive.uneven)
    if x.decay is None and y.decay is None:
        return NeitherDecays()
    for drive in (x, y):
        if drive.decay is None:
            return NoDecay(drive.synapse)
        if not 0 < constants.value(drive.decay) < 2:
            return Overshoots(drive.synapse)
    if one.sign is not two.sign:
        return OtherSigns((one.sign, two.sign))
    if ranges.limits(one) != ranges.limits(two):
        return OtherBounds()
    factor = ratio(x.matrix, y.matrix) or ratio(x.matrix, transpose(y.matrix))
    if factor is not None and not keep_multiple(one, two, constants.value(factor), ranges):
        return BoundMultiple(factor)
    return OtherPassages()
