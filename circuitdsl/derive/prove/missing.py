"""Where nothing is found: the first step that failed, and what is missing, in the user's terms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from circuitdsl.derive.algebra.comparison import ratio, strip_prefix
from circuitdsl.derive.algebra.notation import text
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
from circuitdsl.derive.prove.transport import Transport
from circuitdsl.derive.read.constraints import keep_multiple, same_masks
from circuitdsl.derive.read.drives import Drive, Unread
from circuitdsl.derive.read.symbols import Symbols
from circuitdsl.graph import ir


@dataclass(frozen=True, slots=True)
class Search:
    """What was tried: the rules as they were read, and the way down with all relations."""

    symbols: Symbols
    rules: Mapping[str, Drive | Unread]
    transport: Transport


def missing(search: Search, drive: Drive, dendrite: str) -> str:
    """Why the credit of a rule is not seen to be the gradient at its dendrite."""
    if search.transport.seen(drive.signal, dendrite):
        gates = ", ".join(sorted(search.transport.lost_gates(drive.signal, dendrite)))
        return f"the credit lacks the factor {gates} of the gradient; on the way down gates can be dropped only with it"
    credit, grounds = search.transport.reduced(drive.signal)
    explained = frozenset(n for r in grounds.all_relations() for n in names(r.left))
    delta, _ = search.transport.gradient(dendrite)
    offset = tuple(t for t in credit.terms if _is_offset(t))
    rest = Sum(credit.rows, credit.cols, tuple(t for t in credit.terms if t not in offset))
    if offset and not any(map(_is_offset, delta.terms)) and ratio(rest, delta) is not None:
        return f"the credit has another part, {_part(credit, offset)}, a fixed current, that the gradient has not"
    open_ = _first_open(drive.credit, explained)
    if len(credit.terms) == len(delta.terms) == 1:
        found = _of_one_word(search, credit, delta, open_)
        if found is not None:
            return found
    if open_ is not None:
        wanted = _mirror(search, open_, delta)
        return f"{_way(search, open_)}, {_why_not(search, open_, wanted, _goal(wanted))}"
    words = {(t.scalars, t.word) for t in credit.terms} & {(t.scalars, t.word) for t in delta.terms}
    lost, stray = (tuple(t for t in a.terms if (t.scalars, t.word) not in words) for a in (delta, credit))
    if words and lost and not stray:
        return f"the gradient has another part, {_part(delta, lost)}, that nothing brings to the neuron"
    if words and stray and not lost:
        return f"the credit has another part, {_part(credit, stray)}, that the gradient has not"
    return f"the credit {text(credit)} is not seen to be a positive matrix times the gradient {text(delta)}"


def _is_offset(term: Term) -> bool:
    """Whether it is a current that is the same for all examples, such as that of `bias` through fixed weights."""
    last = term.word[-1] if term.word else None
    return isinstance(last, Column) and not last.signal.random and any(isinstance(x, Matrix) for x in term.word)


def _part(a: Sum, terms: tuple[Term, ...]) -> str:
    return text(Sum(a.rows, a.cols, terms))


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


def almost(search: Search, drive: Drive) -> str | None:
    """What keeps a weight from a relation with another of equal drive; None if there is none of equal drive."""
    for other in search.rules.values():
        if not isinstance(other, Drive) or other.synapse == drive.synapse:
            continue
        for turned in (True, False):
            if ratio(drive.matrix, transpose(other.matrix) if turned else other.matrix) is not None:
                one, two = (search.symbols.circuit.synapses[d.synapse] for d in (drive, other))
                goal = f"transpose({two.name})" if turned else two.name
                return f"no relation: driven as {goal} is, but {_obstacle(search, one, two)}"
    return None


def _first_open(credit: Sum, explained: frozenset[str]) -> Matrix | None:
    """The first matrix on the way down that no relation was found for."""
    letters = (x for t in credit.terms for x in t.word if isinstance(x, Matrix))
    return next((x for x in letters if x.name not in explained), None)


def _of_one_word(search: Search, credit: Sum, delta: Sum, unexplained: Matrix | None) -> str | None:
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
        return f"the credit lacks the factor {lost[0].signal.name} of the gradient"
    if wrong is None:
        return None
    if wanted is None and plain_factor(back) is not None and _first_matrix(head) is not None:
        return (
            f"the credit is {text(credit)}: {text(front)} stands within the path, behind {text(head)}, "
            "and is not a positive matrix in front of the gradient"
        )
    if wanted is None and unexplained is None:
        return (
            f"the credit is {text(credit)}, which is not seen to be a positive matrix times the gradient {text(delta)}"
        )
    wrong = unexplained or wrong
    return f"{_way(search, wrong)}, {_why_not(search, wrong, wanted, _goal(wanted))}"


def _by_factors(front: Sum, back: Sum) -> str | None:
    """What is lost on the same way down: factors of the gradient that the credit has not, or the other way round."""
    one, two = front.terms[0].word, back.terms[0].word
    matrices = [[x for x in word if isinstance(x, Matrix)] for word in (one, two)]
    if matrices[0] != matrices[1] or not matrices[0]:
        return None
    signals = [Counter(x.signal.name for x in word if isinstance(x, Diagonal)) for word in (one, two)]
    lost, stray = signals[1] - signals[0], signals[0] - signals[1]
    for factors, has in ((lost, "lacks"), (stray, "has")):
        if factors:
            shown = " and ".join(sorted(factors))
            plural = "s" if len(factors) > 1 else ""
            end = "of the gradient" if has == "lacks" else "that the gradient has not"
            return f"the credit {has} the factor{plural} {shown} {end}"
    return None


def _leads(back: Sum) -> bool:
    word = back.terms[0].word
    return bool(word) and isinstance(word[0], Diagonal)


def _first_matrix(a: Sum) -> Matrix | None:
    return next((x for t in a.terms for x in t.word if isinstance(x, Matrix)), None)


def _goal(wanted: Matrix | None) -> str:
    if wanted is None:
        return "the transposed forward weights"
    return f"transpose({wanted.name})" if wanted.transposed else wanted.name


def _way(search: Search, letter: Matrix) -> str:
    """`the apical dendrite of h is driven by err through V2`."""
    synapse = search.symbols.circuit.synapses[letter.name]
    dendrite = synapse.dendrite.removeprefix(f"{synapse.post}.")
    source = synapse.source.value
    return f"the {dendrite} dendrite of `{synapse.post}` is driven by `{source}` through {synapse.name}"


def _why_not(search: Search, wrong: Matrix, wanted: Matrix | None, goal: str) -> str:
    """Why the weights on the way down do not become those of the way up."""
    name = wrong.name
    rule = search.rules.get(name)
    circuit = search.symbols.circuit
    if rule is None:
        return f"which is fixed: nothing pulls {name} toward {goal}"
    if isinstance(rule, Unread):
        return f"whose rule is not read ({rule.why}): nothing is known to pull {name} toward {goal}"
    other = None if wanted is None else search.rules.get(wanted.name)
    if wanted is None or not isinstance(other, Drive):
        return f"and nothing is found to pull {name} toward {goal}"
    same = ratio(rule.matrix, transpose(other.matrix) if wanted.transposed else other.matrix)
    if same is None:
        moved = " ⊗ ".join(map(text, rule.shown))
        moves = " ⊗ ".join(map(text, other.shown))
        return f"but {name} follows {moved} and {wanted.name} follows {moves}: nothing pulls {name} toward {goal}"
    return f"driven as {goal} is, but {_obstacle(search, circuit.synapses[name], circuit.synapses[wanted.name])}"


def _obstacle(search: Search, one: ir.Synapse, two: ir.Synapse) -> str:
    """What keeps two weights of equal drives apart."""
    x, y = search.rules[one.name], search.rules[two.name]
    assert isinstance(x, Drive)
    assert isinstance(y, Drive)
    constants, ranges = search.symbols.constants, search.symbols.ranges
    both = f"{one.name} and {two.name}"
    if not same_masks(one, two):
        return f"{both} have different connections"
    for drive, synapse in ((x, one), (y, two)):
        if drive.uneven is not None:
            return f"{synapse.name} is also pulled by {drive.uneven}"
    if x.decay is None and y.decay is None:
        return f"neither decays, so that {both} keep the difference they start with"
    for drive, synapse in ((x, one), (y, two)):
        if drive.decay is None:
            return f"{synapse.name} does not decay"
        if not 0 < constants.value(drive.decay) < 2:
            return f"the decay of {synapse.name} does not let it settle"
    if one.sign is not two.sign:
        return f"{one.name} is {one.sign.value} and {two.name} {two.sign.value}"
    if ranges.limits(one) != ranges.limits(two):
        return f"the bounds of {both} differ"
    factor = ratio(x.matrix, y.matrix) or ratio(x.matrix, transpose(y.matrix))
    if factor is not None and not keep_multiple(one, two, constants.value(factor), ranges):
        much = f"{constants.value(factor):g} times as much"
        return f"{one.name} is driven {much}, and the bounds or signs of both do not keep that ratio"
    return f"what stands between drive and weight is not the same in {both}"
