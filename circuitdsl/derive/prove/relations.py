"""Relations between weights that their own rules bring about (theory.md, section 3), or fixed ones start with.

With `u` and `v` two signals and E the mean over examples:

1. **pair**: drives equal up to transposition and a factor, equal decay: `V - c transpose(W)` shrinks by the decay at
   every update, whatever the data; with unequal decay it holds at rest only.
2. **intertwiner**: drives `X: (P u) (R v)^T` and `Y: (Q v) u^T` with R or Q the identity: both are made of E[u v^T], so
   that at rest `X Q^T = P Y^T R^T`. Exactly at every update where P, Q and R are fixed, and in the limit of small
   steps where they move along: `dP Y^T = X dQ^T`.
3. **quadratic**: `A A^T - B B^T` of the two-signal motif, in the limit of small steps; with a shared gate its diagonal
   only. Printed, not used for rewriting.

Gates within P, Q, R are dropped: the relation is then a mean-field statement.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from circuitdsl.derive.algebra.comparison import may_end_with, ratio, strip_suffix, substitute
from circuitdsl.derive.algebra.constants import Constants
from circuitdsl.derive.algebra.polynomials import signals_of_sum
from circuitdsl.derive.algebra.words import (
    UNIT,
    Coefficient,
    Diagonal,
    Letter,
    Matrix,
    Nature,
    Sum,
    Word,
    depends_on_example,
    expect,
    make_sum,
    matrix,
    outer,
    scaled,
    times,
    transpose,
)
from circuitdsl.derive.read.constraints import (
    is_dense,
    is_free,
    keep_multiple,
    start_factor,
    states_start_at_zero,
)
from circuitdsl.derive.read.drives import Drive
from circuitdsl.derive.read.symbols import Symbols
from circuitdsl.graph import ir
from circuitdsl.graph.intervals import point
from circuitdsl.twin.adjoints import adjoint_name


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Relation:
    """`left = factor * right`, brought about by the two `synapses`.

    `holds`: "tied" from the start and for ever; "exact": the difference shrinks by `rate` at every update; "slow": so
    in the limit of small steps; "rest": where the weights are at rest (`rate` is None). `mean_field`: gates were
    dropped; `diagonal`: of both sides the diagonal only; `bounded`: signs or bounds clip both alike, so that they come
    together faster. `left` is one word. `common`: of a pair what drives both (as it drives the first), of an
    intertwiner what both sides are at rest; of fixed weights None."""

    kind: Literal["pair", "intertwiner", "quadratic"]
    left: Sum
    right: Sum
    factor: Coefficient
    holds: Literal["tied", "exact", "slow", "rest"]
    rate: Coefficient | None
    mean_field: bool
    diagonal: bool = False
    bounded: bool = False
    synapses: tuple[str, str]
    common: Sum | None = None

    @property
    def word(self) -> Word:
        return self.left.terms[0].word


@dataclass(frozen=True, slots=True)
class _Search:
    """The relations of one circuit while they are looked for."""

    symbols: Symbols
    drives: dict[str, Drive]
    learning: frozenset[str]

    def synapse(self, drive: Drive) -> ir.Synapse:
        return self.symbols.circuit.synapses[drive.synapse]

    def letter(self, drive: Drive) -> Sum:
        synapse = self.synapse(drive)
        return matrix(synapse.name, synapse.post_size, synapse.pre_size)

    def value(self, c: Coefficient) -> float:
        return self.symbols.constants.value(c)

    def settles(self, drive: Drive) -> bool:
        """Whether the weight has a rest: a linear decay and nothing else, that does not overshoot without end."""
        if drive.decay is None or drive.uneven is not None:
            return False
        return 0 < self.value(drive.decay) < 2


def find_relations(symbols: Symbols, drives: Sequence[Drive], learning: frozenset[str]) -> list[Relation]:
    """All relations between two synapses, plastic or fixed: pairs first, then for each other auxiliary its shortest
    intertwiners."""
    search = _Search(symbols, {d.synapse: d for d in drives}, learning)
    pairs = [*_pairs(search), *_fixed_pairs(symbols)]
    paired = {r.word[0].name for r in pairs if isinstance(r.word[0], Matrix)}
    found: list[Relation] = []
    for x in drives:
        if x.synapse not in learning and x.synapse not in paired:
            candidates = [r for y in drives if y.synapse in learning for r in _intertwiner(search, x, y)]
            least = min(map(_length, candidates), default=0)
            found += [r for r in candidates if _length(r) == least]
    return [*pairs, *found]


def _length(relation: Relation) -> int:
    return len(relation.word) + max(len(t.word) for t in relation.right.terms)


# ---------------------------------------------------------------- pairs


def _pairs(search: _Search) -> Iterator[Relation]:
    """Every pair of drives that are multiples of each other, as they stand or transposed."""
    groups: dict[object, list[tuple[Drive, bool]]] = {}
    for drive in search.drives.values():
        whole = drive.matrix
        for turned, found in ((False, whole), (True, transpose(whole))):
            groups.setdefault(_shape(found), []).append((drive, turned))
    seen: set[frozenset[str]] = set()
    for group in groups.values():
        for i, (x, turned) in enumerate(group):
            for y, turned_too in group[i + 1 :]:
                names = frozenset({x.synapse, y.synapse})
                if len(names) == 2 and names not in seen:
                    seen.add(names)
                    yield from _pair(search, x, y, turned != turned_too)


def _shape(a: Sum) -> object:
    """Equal for multiples of each other."""
    return a.rows, a.cols, tuple((t.scalars, t.word) for t in a.terms)


def _pair(search: _Search, x: Drive, y: Drive, transposed: bool) -> Iterator[Relation]:
    """The relation x = factor * y (transposed), oriented from the auxiliary to the learning weight."""
    if x.synapse in search.learning and y.synapse not in search.learning:
        x, y = y, x
    if x.synapse in search.learning:
        return
    other = transpose(y.matrix) if transposed else y.matrix
    factor = ratio(x.matrix, other)
    if factor is None or (not search.symbols.constants.equal(x.decay, y.decay) and not _both_settle(search, x, y)):
        return
    found = _pair_holds(search, x, y, factor, transposed)
    if found is None:
        return
    holds, factor = found
    right = search.letter(y)
    yield Relation(
        kind="pair", left=search.letter(x), right=transpose(right) if transposed else right, factor=factor,
        holds=holds, rate=x.decay if holds == "exact" else None, mean_field=False, synapses=(x.synapse, y.synapse),
        bounded=not is_free(search.synapse(x)), common=outer(*x.shown),
    )  # fmt: skip


def _both_settle(search: _Search, x: Drive, y: Drive) -> bool:
    return search.settles(x) and search.settles(y)


def _pair_holds(
    search: _Search, x: Drive, y: Drive, factor: Coefficient, transposed: bool
) -> tuple[Literal["tied", "exact", "rest"], Coefficient] | None:
    """In which way the pair holds, and with which factor; None if it does not."""
    constants = search.symbols.constants
    one, two = search.synapse(x), search.synapse(y)
    if x.lockstep is None or x.lockstep != y.lockstep or x.uneven != y.uneven:
        return None
    linear = x.passage.scale is None and (x.passage.is_open or states_start_at_zero(one, search.symbols.ranges))
    linear = linear and x.uneven is None
    if not linear and not constants.equal(factor, Coefficient()):
        return None
    if constants.equal(x.decay, y.decay):
        if not keep_multiple(one, two, search.value(factor), search.symbols.ranges):
            return None
        start = start_factor(one, two, transposed, constants)
        first, second = (search.symbols.ranges.initial(s.name) for s in (one, two))
        equal = first.is_point and first == second * point(search.value(factor))
        if equal or (start is not None and constants.equal(start, factor)):
            return "tied", factor
        return ("exact", factor) if search.settles(x) and not x.passage.weight else None
    if not x.passage.is_open or not _both_settle(search, x, y):
        return None
    assert x.decay is not None
    assert y.decay is not None
    factor = factor * y.decay * x.decay.inverse()
    return ("rest", factor) if keep_multiple(one, two, search.value(factor), search.symbols.ranges) else None


def _fixed_pairs(symbols: Symbols) -> Iterator[Relation]:
    """Fixed weights of which one is made from the other: equal from the start and for ever. Those that lead to the
    loss stand on the right."""
    fixed = [s for s in symbols.circuit.synapses.values() if s.dw is None]
    for i, one in enumerate(fixed):
        for two in fixed[i + 1 :]:
            leads = adjoint_name(one.dendrite) in symbols.circuit.values
            x, y = (two, one) if leads else (one, two)
            for transposed in (True, False):
                factor = start_factor(x, y, transposed, symbols.constants)
                value = 0.0 if factor is None else symbols.constants.value(factor)
                if factor is not None and value and keep_multiple(x, y, value, symbols.ranges):
                    left, right = (matrix(s.name, s.post_size, s.pre_size) for s in (x, y))
                    yield Relation(
                        kind="pair", left=left, right=transpose(right) if transposed else right, factor=factor,
                        holds="tied", rate=None, mean_field=False, synapses=(x.name, y.name),
                    )  # fmt: skip


# ---------------------------------------------------------------- intertwiners


def _intertwiner(search: _Search, x: Drive, y: Drive) -> Iterator[Relation]:
    """X Q^T = factor * P Y^T R^T."""
    if not (x.passage.is_open and y.passage.is_open and _both_settle(search, x, y)):
        return
    one, two = search.synapse(x), search.synapse(y)
    if not (is_dense(one) and is_dense(two) and one.sign is two.sign is ir.Sign.FREE):
        return
    if not may_end_with(x.credit, y.pre) or not (may_end_with(x.pre, y.credit) or may_end_with(y.credit, x.pre)):
        return
    p, s, u = strip_suffix(x.credit, y.pre)
    r, q, v = strip_suffix(x.pre, y.credit)
    if _is_plain(p) and _is_plain(q) and _is_plain(r):
        return  # a pair, or what masks, signs or bounds keep from being one
    ends = u.cols == v.cols == UNIT and UNIT not in (u.rows, v.rows)
    if not ends or not _is_plain(s) or len(q.terms) != 1 or not (_is_plain(q) or _is_plain(r)):
        return
    mean_field = any(map(depends_on_example, (p, q, r)))
    p, q, r = (without_gates(a) for a in (p, q, r))
    if any(map(depends_on_example, (p, q, r))) or x.synapse in _names(p) | _names(q) | _names(r):
        return
    assert x.decay is not None
    assert y.decay is not None
    scale = q.terms[0].coefficient.inverse()
    p, q = scaled(p, s.terms[0].coefficient.inverse()), scaled(q, scale)
    factor = x.rate * y.rate.inverse() * y.decay * x.decay.inverse() * scale
    left, right = search.letter(x), times(p, transpose(search.letter(y)))
    driven = times(p, expect(outer(y.shown[1], x.shown[1] if _is_plain(r) else scaled(y.shown[0], scale))))
    if _is_plain(r):
        left, factor = times(left, transpose(q)) if not _is_plain(q) else left, factor * r.terms[0].coefficient
        driven = times(driven, transpose(q))
    else:
        right, driven = times(right, transpose(r)), times(driven, transpose(r))
    holds, rate = ("rest", None) if mean_field else _along(search, x, y, (p, q, r), factor)
    yield Relation(
        kind="intertwiner", left=left, right=right, factor=factor, holds=holds, rate=rate, mean_field=mean_field,
        synapses=(x.synapse, y.synapse), common=scaled(driven, x.rate * x.decay.inverse()),
    )  # fmt: skip


def _is_plain(a: Sum) -> bool:
    """Whether the matrix is a multiple of the identity."""
    return len(a.terms) == 1 and not a.terms[0].word and not a.terms[0].scalars


def without_gates(a: Sum) -> Sum:
    """The matrix with every gate left out."""
    raw = [(t.coefficient, t.scalars, tuple(x for x in t.word if not is_gate(x))) for t in a.terms]
    return make_sum(a.rows, a.cols, raw)


def is_gate(letter: Letter) -> bool:
    """Whether it is a gate that opens for some examples: one that is the same for all is like any other matrix."""
    return isinstance(letter, Diagonal) and letter.signal.nature is Nature.GATE and letter.signal.random


def _names(a: Sum) -> set[str]:
    return {x.name for t in a.terms for x in t.word if isinstance(x, Matrix)}


def _along(
    search: _Search, x: Drive, y: Drive, around: tuple[Sum, Sum, Sum], factor: Coefficient
) -> tuple[Literal["exact", "slow", "rest"], Coefficient | None]:
    """Whether `X Q^T - c P Y^T R^T` shrinks at every step while all of them learn, and by how much."""
    constants = search.symbols.constants
    p, q, r = around
    synapses = search.symbols.circuit.synapses
    moving = [n for n in sorted(_names(p) | _names(q) | _names(r)) if synapses[n].dw is not None]
    free = all(is_free(synapses[n]) for n in (x.synapse, y.synapse, *moving))
    still = all(search.symbols.is_fixed(s) for a in around for s in signals_of_sum(a))
    if not constants.equal(x.decay, y.decay) or not free or not still:
        return "rest", None
    assert x.decay is not None
    if not moving:
        return "exact", x.decay
    dp, dq = _moved(search, p), _moved(search, q)
    if dp is None or dq is None or not _is_plain(r) or not constants.equal(dp.decay, dq.decay) or dp.decay is None:
        return "rest", None
    left = times(search.letter(x), transpose(substitute(q, {dq.synapse: dq.matrix})))
    right = times(substitute(p, {dp.synapse: dp.matrix}), transpose(search.letter(y)))
    pushed = expect(left - scaled(right, factor))
    return ("slow", constants.total([x.decay, dp.decay])) if vanishes(pushed, constants) else ("rest", None)


def _moved(search: _Search, a: Sum) -> Drive | None:
    """The drive of the one plastic letter that the matrix is linear in, if it is a plain drive of a full matrix."""
    synapses = search.symbols.circuit.synapses
    found = [x.name for t in a.terms for x in t.word if isinstance(x, Matrix) and synapses[x.name].dw is not None]
    drive = search.drives.get(found[0]) if len(found) == 1 and len(a.terms) == 1 else None
    plain = drive is not None and drive.passage.is_open and drive.uneven is None
    return drive if plain and is_dense(synapses[found[0]]) else None


def vanishes(a: Sum, constants: Constants) -> bool:
    """Whether the matrix is 0 for the values that its params have."""
    totals: dict[object, list[float]] = {}
    for term in a.terms:
        totals.setdefault((term.scalars, term.word), []).append(constants.value(term.coefficient))
    return all(abs(sum(v)) <= 1e-12 * max(map(abs, v)) for v in totals.values())
