"""Relations between plastic weights that their own rules bring about (theory.md, section 3).

1. **pair**: drives equal up to transposition and a factor, equal decay: `V - c transpose(W)` shrinks by the decay at
   every update, whatever the data; with unequal decay it holds at rest only.
2. **intertwiner**: drives `X: (P u) v^T` and `Y: (Q v) u^T` give `X Q^T -> P Y^T` at rest; exactly, if also
   `dP Y^T = X dQ^T`.
3. **quadratic**: `A A^T - B B^T` of the two-signal motif. Printed, not used for rewriting.

Each says what it needs and whether gates were dropped on the way (a mean-field statement).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from circuitdsl.derive.drives import Drive
from circuitdsl.derive.symbols import Symbols
from circuitdsl.derive.words import Letter, Scalar, Signal, Word, transpose, without_gates
from circuitdsl.graph import ir


@dataclass(frozen=True, slots=True)
class Relation:
    """`left -> factor * right`. `rate`: what the difference loses per update where the relation is `exact`,
    None at rest. `tied`: it holds from the start. `mean_field`: gates were dropped."""

    kind: Literal["pair", "intertwiner", "quadratic"]
    left: Word
    right: Word
    factor: Scalar
    rate: Scalar | None
    exact: bool
    tied: bool
    mean_field: bool
    synapses: tuple[str, str]


def find_relations(symbols: Symbols, drives: Sequence[Drive], learning: frozenset[str]) -> list[Relation]:
    """All relations between two plastic synapses, pairs first."""
    pairs = [r for i, x in enumerate(drives) for y in drives[i + 1 :] if (r := _pair(symbols, x, y, learning))]
    by_pre: dict[str, list[Drive]] = {}
    for drive in drives:
        for term in drive.pre.terms[:1]:
            by_pre.setdefault(term.atom, []).append(drive)
    paired = {frozenset(r.synapses) for r in pairs}
    found: list[Relation] = []
    for x in drives:
        if x.synapse in learning and not _quadratic_candidate(x):
            continue
        for y in _candidates(x, by_pre):
            if y is not x and frozenset((x.synapse, y.synapse)) not in paired:
                found += _intertwiner(symbols, x, y, drives, learning)
    return [*pairs, *_unique(found)]


def _unique(relations: Sequence[Relation]) -> Iterator[Relation]:
    seen: set[tuple[str, frozenset[str]]] = set()
    for relation in relations:
        key = (relation.kind, frozenset(relation.synapses))
        if relation.kind != "quadratic" or key not in seen:
            seen.add(key)
            yield relation


def _quadratic_candidate(x: Drive) -> bool:
    return any(letter.name != x.synapse for term in x.credit.terms for letter in term.word)


def _candidates(x: Drive, by_pre: dict[str, list[Drive]]) -> Iterator[Drive]:
    """Drives whose presynaptic signal can end x's credit: those over the same atom."""
    for term in x.credit.terms[:1]:
        yield from by_pre.get(term.atom, ())


# ---------------------------------------------------------------- pairs


def _pair(symbols: Symbols, x: Drive, y: Drive, learning: frozenset[str]) -> Relation | None:
    for transposed in (True, False):
        a = x.credit.ratio(y.pre if transposed else y.credit)
        b = x.pre.ratio(y.credit if transposed else y.pre)
        if a is not None and b is not None:
            return _paired(symbols, x, y, a * b * x.rate * y.rate.inverse(), transposed, learning)
    return None


def _paired(
    symbols: Symbols, x: Drive, y: Drive, factor: Scalar, transposed: bool, learning: frozenset[str]
) -> Relation | None:
    """The relation x -> factor * y (transposed), oriented from the auxiliary to the learning weight."""
    if x.synapse in learning and y.synapse not in learning:
        x, y, factor = y, x, factor.inverse()
    elif x.synapse in learning:
        return None
    one, two = symbols.circuit.synapses[x.synapse], symbols.circuit.synapses[y.synapse]
    if x.signature != y.signature or not same_constraints(symbols, one, two, factor, transposed):
        return None
    tied = _tied(one, two, transposed) and factor == Scalar() and _equal(symbols, x.decay, y.decay)
    equal = _equal(symbols, x.decay, y.decay)
    if not tied and (x.decay is None or y.decay is None or x.decay.sign <= 0 or y.decay.sign <= 0):
        return None
    if not equal:
        assert x.decay is not None
        assert y.decay is not None
        if one.bounds is not None or x.signature:
            return None
        factor = factor * y.decay * x.decay.inverse()
    right = Letter(y.synapse, transposed=transposed)
    return Relation(
        kind="pair", left=(Letter(x.synapse),), right=(right,), factor=factor, rate=x.decay if equal else None,
        exact=equal, tied=tied, mean_field=False, synapses=(x.synapse, y.synapse),
    )  # fmt: skip


def same_constraints(symbols: Symbols, one: ir.Synapse, two: ir.Synapse, factor: Scalar, transposed: bool) -> bool:
    """Whether masks, signs and bounds act alike on both weights, so that they keep the relation."""
    if [c.which for c in one.connect] != [c.which for c in two.connect]:
        return False
    if any(c.which not in ("one_to_one", "no_self") for c in one.connect):
        return False  # drawn for each synapse by itself, or read from a file
    if one.sign is not two.sign:
        return False
    low_high = [_bounds(symbols, s) for s in (one, two)]
    if low_high[0] != low_high[1]:
        return False
    if low_high[0] is None and one.sign is ir.Sign.FREE:
        return True
    symmetric = low_high[0] is not None and low_high[0][0] == -low_high[0][1] and one.sign is ir.Sign.FREE
    value = factor.value(symbols.numbers)
    return value == 1 or (value == -1 and symmetric)


def _bounds(symbols: Symbols, synapse: ir.Synapse) -> tuple[float, float] | None:
    from circuitdsl.graph.numbers import evaluate

    if synapse.bounds is None:
        return None
    low, high = synapse.bounds
    return evaluate(low, symbols.numbers), evaluate(high, symbols.numbers)


def _tied(one: ir.Synapse, two: ir.Synapse, transposed: bool) -> bool:
    """Whether one starts as a copy of the other."""
    which = "transpose" if transposed else "copy"
    return any(
        isinstance(a.init, ir.InitCall) and a.init.which == which and a.init.other == b.name
        for a, b in ((one, two), (two, one))
    )


def _equal(symbols: Symbols, a: Scalar | None, b: Scalar | None) -> bool:
    if a is None or b is None:
        return a is b
    return abs(a.value(symbols.numbers) - b.value(symbols.numbers)) <= 1e-12 * abs(a.value(symbols.numbers))


# ---------------------------------------------------------------- intertwiners


def _intertwiner(
    symbols: Symbols, x: Drive, y: Drive, drives: Sequence[Drive], learning: frozenset[str]
) -> Iterator[Relation]:
    p, q = front(x.credit, y.pre), front(y.credit, x.pre)
    if p is None or q is None or x.signature or y.signature:
        return
    if x.decay is None or y.decay is None or x.decay.sign <= 0 or y.decay.sign <= 0:
        return
    (p_factor, p_word), (q_factor, q_word) = p, q
    one, two = symbols.circuit.synapses[x.synapse], symbols.circuit.synapses[y.synapse]
    if one.connect or two.connect or one.sign is not ir.Sign.FREE or two.sign is not ir.Sign.FREE:
        return
    factor = p_factor * q_factor.inverse() * x.rate * y.rate.inverse() * y.decay * x.decay.inverse()
    mean_field = without_gates(p_word) != p_word or without_gates(q_word) != q_word
    p_word, q_word = without_gates(p_word), without_gates(q_word)
    own = (Letter(y.synapse),) == p_word and (Letter(x.synapse),) == q_word
    if own:
        kind: Literal["intertwiner", "quadratic"] = "quadratic"
        exact = not mean_field and _equal(symbols, x.decay, y.decay) and factor.value(symbols.numbers) == 1
    elif x.synapse in learning or y.synapse not in learning:
        return
    else:
        kind = "intertwiner"
        exact = not mean_field and _moves_along(symbols, x, y, p_word, q_word, drives)
    rate = None
    if exact:
        rate = _sum_of_decays(symbols, x, y, p_word, drives)
    left = (Letter(x.synapse), *transpose(q_word))
    right = (*p_word, Letter(y.synapse, transposed=True))
    yield Relation(
        kind=kind, left=left, right=right, factor=factor, rate=rate, exact=exact and rate is not None, tied=False,
        mean_field=mean_field, synapses=(x.synapse, y.synapse),
    )  # fmt: skip


def front(whole: Signal, end: Signal) -> tuple[Scalar, Word] | None:
    """c and M with whole = c * M end, for signals of one term."""
    if len(whole.terms) != 1 or len(end.terms) != 1:
        return None
    one, two = whole.terms[0], end.terms[0]
    cut = len(one.word) - len(two.word)
    if one.atom != two.atom or cut < 0 or one.word[cut:] != two.word:
        return None
    return one.coefficient * two.coefficient.inverse(), one.word[:cut]


def _moves_along(symbols: Symbols, x: Drive, y: Drive, p: Word, q: Word, drives: Sequence[Drive]) -> bool:
    """Whether dP Y^T = X dQ^T, so that the relation holds while P and Q learn too."""
    if not p and not q:
        return True
    by_name = {d.synapse: d for d in drives}
    if len(p) != 1 or len(q) != 1 or p[0].name not in by_name or q[0].name not in by_name:
        return False
    dp, dq = by_name[p[0].name], by_name[q[0].name]
    if p[0].transposed or q[0].transposed or dp.decay is None or dq.decay is None:
        return False
    assert x.decay is not None
    assert y.decay is not None
    numbers = symbols.numbers
    sums = [
        x.decay.value(numbers) + dq.decay.value(numbers),
        dp.decay.value(numbers) + y.decay.value(numbers),
    ]
    same_rates = x.rate == y.rate and dp.rate == dq.rate
    unbounded = all(symbols.circuit.synapses[n.synapse].bounds is None for n in (x, y, dp, dq))
    moved = dq.pre.under([Letter(x.synapse)]) == dp.credit and dp.pre.under([Letter(y.synapse)]) == dq.credit
    return same_rates and unbounded and moved and abs(sums[0] - sums[1]) < 1e-15


def _sum_of_decays(symbols: Symbols, x: Drive, y: Drive, p: Word, drives: Sequence[Drive]) -> Scalar | None:
    """What `X Q^T - P Y^T` loses per update: the decay of one factor plus that of the other."""
    from fractions import Fraction

    assert y.decay is not None
    partner = next((d for d in drives if p and d.synapse == p[0].name), None)
    if partner is None or partner.decay is None:
        return y.decay
    if partner.decay.powers == y.decay.powers:
        return Scalar(partner.decay.number + y.decay.number, y.decay.powers)
    total = partner.decay.value(symbols.numbers) + y.decay.value(symbols.numbers)
    return Scalar(Fraction(repr(total)))
