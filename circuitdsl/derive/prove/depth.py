"""What depth asks of decays: stacked four-synapse pairs share one matrix of signals between their layers.

theory.md, section 3, "Depth adds one more condition". Let C = E[d' a^T], with a the ascending rate of one layer and d'
the descending one of the next. V and F of the layer below and W and B of the layer above are driven by

    V: F C^T     F: V C     W: B C     B: W C^T

so that at rest F lives where a singular value of C is the root of gamma_V gamma_F, and B where it is the root of
gamma_W gamma_B. Unless these are equal there is no rest with credit below: |F| of one layer and of the next run apart.
With laterals between partners only (columns) the two products need not be equal: they set how many columns live.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isclose

from circuitdsl.derive.algebra.letters import Identity, Named, Signal
from circuitdsl.derive.algebra.words import Coefficient, Column, Diagonal, Matrix, Sum
from circuitdsl.derive.prove.relations import is_gate, without_gates
from circuitdsl.derive.read.constraints import is_dense, is_free
from circuitdsl.derive.read.drives import Drive, Unread
from circuitdsl.derive.read.homogeneity import LINEAR, Scaling
from circuitdsl.derive.read.symbols import Symbols
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.twin.paths import differentiable_reads


@frozen(kw_only=True)
class DepthCondition:
    """gamma_V gamma_F = gamma_W gamma_B for the synapses that drive each other between two layers, `left` and `right`
    with the gains of the drives in them. `columns`: F and B are one to one, so that both sides set the numbers of live
    columns. `mean_field`: gates were left out. `bounded`: it holds only where no bound binds."""

    v: str
    f: str
    w: str
    b: str
    left: Coefficient
    right: Coefficient
    values: tuple[float, float]
    columns: bool
    mean_field: bool
    bounded: bool

    @property
    def holds(self) -> bool:
        return isclose(*self.values, rel_tol=1e-9)


def depth_conditions(symbols: Symbols, rules: Mapping[str, Drive | Unread]) -> tuple[DepthCondition, ...]:
    """The conditions between the layers of a circuit's four-synapse pairs, whether they hold or not."""
    if not symbols.opened.one_tick:
        return ()
    drives = [drive for rule in rules.values() if (drive := _read(symbols, rule)) is not None]
    laterals = {(r.signal, r.pre): r for r in drives if r.through is None}
    crossing = {(r.signal, r.pre): r for r in drives if r.through is not None}
    found: list[DepthCondition] = []
    for v in crossing.values():
        w = crossing.get((v.pre, v.signal))
        if w is None or not v.hears_error or w.hears_error:
            continue
        f, b = laterals.get((Named(v.post), v.signal)), laterals.get((Named(w.post), v.pre))
        if f is not None and b is not None and (v.through, w.through) == (f.synapse, b.synapse):
            condition = _condition(symbols, v, f, w, b)
            found += [] if condition is None else [condition]
    return tuple(sorted(found, key=lambda c: (c.v, c.w)))


@frozen(kw_only=True)
class _Read:
    """A drive `gain * (through signal) pre^T`, gates left out; `post`: the population that its synapse drives.
    `hears_error`: the error reaches `pre`."""

    synapse: str
    post: str
    through: str | None
    signal: Identity
    pre: Identity
    hears_error: bool
    gamma: Coefficient
    gated: bool


def _read(symbols: Symbols, rule: Drive | Unread) -> _Read | None:
    if not isinstance(rule, Drive) or not rule.passage.is_open or rule.decay is None or rule.uneven is not None:
        return None
    if not 0 < symbols.constants.value(rule.decay) < 2:
        return None
    credit, pre = _plain(rule.shown[0]), _plain(rule.shown[1])
    if credit is None or pre is None or pre[1] is not None:
        return None
    gain = rule.rate * credit[0] * pre[0]
    if gain.number <= 0:
        return None
    return _Read(
        synapse=rule.synapse, post=symbols.circuit.synapses[rule.synapse].post, through=credit[1], signal=credit[2].of,
        pre=pre[2].of, hears_error=symbols.is_hot(pre[2].value), gamma=rule.decay * gain.inverse(),
        gated=any(is_gate(x) for x in rule.shown[0].terms[0].word),
    )  # fmt: skip


def _plain(a: Sum) -> tuple[Coefficient, str | None, Signal] | None:
    """A column that is a number times a signal, or times a matrix and a signal, gates left out."""
    bare = without_gates(a)
    if len(bare.terms) != 1 or bare.terms[0].scalars:
        return None
    number = bare.terms[0].coefficient
    match bare.terms[0].word:
        case (Column(signal),):
            return number, None, signal
        case (Matrix(transposed=False) as matrix, Column(signal)):
            return number, matrix.name, signal
        case (Diagonal(signal=own), Column(signal)) if own.weight:
            return number, own.value, signal
        case _:
            return None


def _condition(symbols: Symbols, v: _Read, f: _Read, w: _Read, b: _Read) -> DepthCondition | None:
    synapses = [symbols.circuit.synapses[r.synapse] for r in (v, f, w, b)]
    if len({s.name for s in synapses}) < 4 or f.post != v.post or b.post != w.post:
        return None
    if not (_carries(symbols, synapses[0]) and _carries(symbols, synapses[2])):
        return None
    if not (is_dense(synapses[0]) and is_dense(synapses[2])):
        return None
    columns = all(s.joins_partners for s in (synapses[1], synapses[3]))
    if not columns and not (is_dense(synapses[1]) and is_dense(synapses[3])):
        return None
    left, right = v.gamma * f.gamma, w.gamma * b.gamma
    rates = [symbols.circuit.values[s.post].expr for s in (synapses[0], synapses[2])]
    return DepthCondition(
        v=v.synapse, f=f.synapse, w=w.synapse, b=b.synapse, left=left, right=right, columns=columns,
        values=(symbols.constants.value(left), symbols.constants.value(right)),
        mean_field=v.gated or w.gated or not all(isinstance(e, ir.Read) for e in rates),
        bounded=not all(map(is_free, synapses)),
    )  # fmt: skip


def _carries(symbols: Symbols, synapse: ir.Synapse) -> bool:
    """Whether the rate that a synapse drives is made of its current alone: linear, or linear behind gates."""
    rate, dendrite = symbols.circuit.values[synapse.post], symbols.circuit.values[synapse.dendrite]
    if rate.expr is None or dendrite.expr is not None or len(dendrite.currents) != 1:
        return False
    alone = {r.value for r in differentiable_reads(rate.expr)} == {dendrite.name}
    return alone and Scaling(symbols.constants, lambda r: r.value == dendrite.name).degree(rate.expr) == LINEAR
