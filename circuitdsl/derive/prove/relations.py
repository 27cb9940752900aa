"""Relations between weights that their own rules bring about (theory.md, section 3), or fixed ones start with.

With `u` and `v` two signals and E the mean over examples:

1. **pair**: drives equal up to transposition and a factor, equal decay: `V - c transpose(W)` shrinks by the decay at
   every update, whatever the data; with unequal decay it holds at rest only.
2. **intertwiner**: drives `X: (P u) (R v)^T` and `Y: (Q v) u^T` with R or Q the identity: both are made of E[u v^T], so
   that at rest `X Q^T = P Y^T R^T`. Exactly at every update where P, Q and R are fixed, and in the limit of small
   steps where they move along: `dP Y^T = X dQ^T`.
3. **quadratic**: `A A^T - B B^T` of the two-signal motif, in the limit of small steps; with a shared gate its diagonal
   only. Printed, not used for rewriting.

Gates within P and Q are dropped where they are the postsynaptic neuron's own: the relation is then a mean-field
statement. A gate of another neuron stays, and with it nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from circuitdsl.derive.algebra.comparison import may_end_with, strip_suffix, substitute
from circuitdsl.derive.algebra.constants import Constants
from circuitdsl.derive.algebra.letters import Identity
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
    outer,
    scaled,
    times,
    transpose,
    weight_of,
    weights_in,
)
from circuitdsl.derive.prove.ends import Meeting
from circuitdsl.derive.prove.hypotheses import Hypothesis
from circuitdsl.derive.read.constraints import is_dense, is_free
from circuitdsl.derive.read.drives import Drive, settles
from circuitdsl.derive.read.symbols import Symbols
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir


@frozen(kw_only=True, eq=False)
class Relation:
    """`left = factor * right`, brought about by the two `synapses`.

    `holds`: "tied" from the start and for ever; "exact": the difference shrinks by `rate` at every update; "slow": so
    in the limit of small steps; "rest": where the weights are at rest (`rate` is None); "attracted": the difference
    shrinks at every update where `assumes` holds, at least by `rate` (None: slower and slower). `gates`: those that
    were dropped; `diagonal`: of both sides the diagonal only; `bounded`: signs or bounds clip both alike, so that they
    come together faster. `left` is one word. `common`: of a pair what drives both (as it drives the first), of an
    intertwiner what both sides are at rest; of fixed weights None. `assumes`: what it takes besides."""

    kind: Literal["pair", "intertwiner", "quadratic"]
    left: Sum
    right: Sum
    factor: Coefficient
    holds: Literal["tied", "exact", "attracted", "slow", "rest"]
    rate: Coefficient | None
    gates: frozenset[Identity] = frozenset()
    diagonal: bool = False
    bounded: bool = False
    synapses: tuple[str, str]
    common: Sum | None = None
    assumes: tuple[Hypothesis, ...] = ()

    @property
    def mean_field(self) -> bool:
        return bool(self.gates)

    @property
    def word(self) -> Word:
        return self.left.terms[0].word


@frozen
class _Search:
    """The relations of one circuit while they are looked for."""

    symbols: Symbols
    drives: dict[str, Drive]
    learning: frozenset[str]

    def synapse(self, drive: Drive) -> ir.Synapse:
        return self.symbols.circuit.synapses[drive.synapse]

    def letter(self, drive: Drive) -> Sum:
        return self.symbols.letter(self.synapse(drive))

    def value(self, c: Coefficient) -> float:
        return self.symbols.constants.value(c)

    def settles(self, drive: Drive) -> bool:
        return settles(drive, self.symbols.constants)


def find_relations(
    symbols: Symbols, drives: Sequence[Drive], learning: frozenset[str], pairs: Sequence[Relation]
) -> list[Relation]:
    """All relations between two synapses, plastic or fixed: the `pairs` (derive/prove/pairs.py), then for each other
    auxiliary its shortest intertwiners."""
    search = _Search(symbols, {d.synapse: d for d in drives}, learning)
    paired = {weight_of(r.word[0]) for r in pairs}
    found: list[Relation] = []
    meeting = Meeting([d for d in drives if d.synapse in learning])
    for x in drives:
        if x.synapse not in learning and x.synapse not in paired:
            candidates = [r for y in meeting.of(x) for r in _intertwiner(search, x, y)]
            least = min(map(_length, candidates), default=0)
            found += [r for r in candidates if _length(r) == least]
    return [*pairs, *found]


def _length(relation: Relation) -> int:
    return len(relation.word) + max(len(t.word) for t in relation.right.terms)


# ---------------------------------------------------------------- intertwiners


def _intertwiner(search: _Search, x: Drive, y: Drive) -> Iterator[Relation]:
    """X Q^T = factor * P Y^T R^T."""
    if not (x.passage.is_open and y.passage.is_open and search.settles(x) and search.settles(y)):
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
    gates = gates_in(p) | gates_in(q) | gates_in(r)
    if not _are_own(search, x, p) or not _are_own(search, y, q) or gates_in(r):
        return
    p, q = without_gates(p), without_gates(q)
    if any(map(depends_on_example, (p, q, r))) or x.synapse in weights_in(p) | weights_in(q) | weights_in(r):
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
    holds, rate = ("rest", None) if gates else _along(search, x, y, (p, q, r), factor)
    yield Relation(
        kind="intertwiner", left=left, right=right, factor=factor, holds=holds, rate=rate, gates=gates,
        synapses=(x.synapse, y.synapse), common=scaled(driven, x.rate * x.decay.inverse()),
    )  # fmt: skip


def _is_plain(a: Sum) -> bool:
    """Whether the matrix is a multiple of the identity."""
    return len(a.terms) == 1 and not a.terms[0].word and not a.terms[0].scalars


def without_gates(a: Sum) -> Sum:
    """The matrix with every gate left out."""
    if not gates_in(a):
        return a
    raw = [(t.coefficient, t.scalars, tuple(x for x in t.word if not is_gate(x))) for t in a.terms]
    return make_sum(a.rows, a.cols, raw)


def is_gate(letter: Letter) -> bool:
    """Whether it is a gate that opens for some examples: one that is the same for all is like any other matrix."""
    return isinstance(letter, Diagonal) and letter.signal.nature is Nature.GATE and letter.signal.random


def gates_in(a: Sum) -> frozenset[Identity]:
    """The gates that `without_gates` leaves out."""
    return frozenset(x.signal.of for t in a.terms for x in t.word if isinstance(x, Diagonal) and is_gate(x))


def _are_own(search: _Search, drive: Drive, a: Sum) -> bool:
    """Whether all gates of a matrix are those of the neuron that the drive's synapse ends on."""
    return gates_in(a) <= search.symbols.own_gates(search.synapse(drive).post)


def _along(
    search: _Search, x: Drive, y: Drive, around: tuple[Sum, Sum, Sum], factor: Coefficient
) -> tuple[Literal["exact", "slow", "rest"], Coefficient | None]:
    """Whether `X Q^T - c P Y^T R^T` shrinks at every step while all of them learn, and by how much."""
    constants = search.symbols.constants
    p, q, r = around
    synapses = search.symbols.circuit.synapses
    moving = [n for n in sorted(weights_in(p) | weights_in(q) | weights_in(r)) if synapses[n].dw is not None]
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
