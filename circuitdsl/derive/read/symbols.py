"""From equations to words: what a dendrite, a credit or a gradient is as a sum of words (derive/algebra/words.py).

An elementwise equation (derive/read/units.py) becomes a column: each of its products has at most one **carrier**, the
signal that the error reaches (or, in forward equations, the one that synapses bring); all else is a diagonal letter
in front. What multiplies the same carrier is one letter, `(0.2 + 0.8·1[h.basal > 0])`, so that deep circuits stay
short. A carrier that is a sum of currents expands into matrices times their sources.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import field
from fractions import Fraction

from circuitdsl.derive.algebra.arithmetic import NotLinear
from circuitdsl.derive.algebra.constants import Constants, fan_name, negative
from circuitdsl.derive.algebra.letters import Identity, Made, Named, named
from circuitdsl.derive.algebra.polynomials import gates_of, normalized, signals_of, signals_of_sum, varies
from circuitdsl.derive.algebra.products import key
from circuitdsl.derive.algebra.words import (
    UNIT,
    Coefficient,
    Column,
    Diagonal,
    Nature,
    Signal,
    Sum,
    Term,
    Word,
    column,
    diagonal,
    identity,
    letter_sum,
    make_sum,
    matrix,
    ones,
    scaled,
    synapses,
    times,
    total,
    transpose,
)
from circuitdsl.derive.read.ticks import one_tick
from circuitdsl.derive.read.units import Units
from circuitdsl.frozen import mutable
from circuitdsl.graph import ir
from circuitdsl.graph.datasets import class_targets
from circuitdsl.graph.flow import all_sources, reached_from
from circuitdsl.graph.intervals import Range
from circuitdsl.graph.masks import mask_of
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.ranges import Ranges
from circuitdsl.twin.adjoints import adjoints
from circuitdsl.twin.paths import learning_synapses, settle

#: A value of more terms stands for itself.
MAX_TERMS = 24
#: A signal on its way through more synapses than this is not followed further than to the next population that sends
#: it on: what is compared there has the same name in all rules, and stays short however deep the circuit is.
MAX_SYNAPSES = 12

#: A dendrite with more synapses is shown by its name.
MAX_SHOWN = 12

#: What a carrier stands for, as a column.
Expand = Callable[[Signal], Sum]


@mutable
class Symbols:
    """The words of one circuit. `circuit` has its adjoints, if there is a loss. `opened` is for proving, `plain`
    for showing; `error`: the values that the error reaches."""

    circuit: ir.Circuit
    constants: Constants
    ranges: Ranges
    error: frozenset[str]
    opened: Units
    plain: Units
    full: dict[str, Sum] = field(default_factory=dict)
    sent: frozenset[str] = field(init=False)  # the carriers of what synapses carry
    distant: set[str] = field(default_factory=set)  # those that stand for themselves because they are deep
    columns: dict[Sum, Sum] = field(default_factory=dict)  # polynomials of `opened`, expanded
    seen: dict[Sum, Sum] = field(default_factory=dict)  # those of `plain`, as they are shown
    numbers: dict[tuple[Fraction, tuple[ir.Expr, ...]], Coefficient] = field(default_factory=dict)  # in front of terms
    steps: dict[str, set[Identity]] = field(default_factory=dict)  # the gates of a population's dendrites and states
    sorted: int = 0  # how many gates these are of

    def __post_init__(self) -> None:
        """Expands every carrier after those that it is made of, so that no way is too long to follow."""
        self.sent = frozenset(s for read in self._carried() for s in self._carriers(read))
        for name in self.circuit.order:
            if self.is_driven(name):
                with suppress(NotLinear):
                    self.expanded(self.opened.arithmetic.signal(Named(name), self.circuit.values[name].size))

    def _carried(self) -> list[ir.Read]:
        return list(dict.fromkeys(s.source for s in self.circuit.synapses.values()))

    def _carriers(self, read: ir.Read) -> set[str]:
        try:
            found = self.opened.read(read, self.circuit.values[read.value].size)
        except NotLinear:
            return set()
        return {s.value for s in signals_of_sum(found) if s.value is not None and self.is_driven(s.value)}

    # ------------------------------------------------------------ columns

    def column(self, poly: Sum, expand: Expand) -> Sum:
        """A polynomial of units as a column, its carriers expanded."""
        groups: dict[tuple[Signal, tuple[Word, ...]], list[Term]] = {}
        parts: list[Sum] = []
        for term in poly.terms:
            carrier = self._carrier(term)
            if carrier is None:
                alone = Sum(poly.rows, poly.cols, (term,))
                parts.append(times(alone, column(ones(poly.rows))))
            else:
                groups.setdefault((carrier, term.scalars), []).append(term)
        for (carrier, scalars), terms in groups.items():
            front = self.factor([_without(t, carrier) for t in terms], poly.rows)
            whole = times(front, expand(carrier))
            parts.append(times(whole, make_sum(UNIT, UNIT, [(Coefficient(), scalars, ())])) if scalars else whole)
        return total(poly.rows, UNIT, parts)

    def _carrier(self, term: Term) -> Signal | None:
        found = signals_of(term)
        hot = [s for s in found if self.is_hot(s.value)]
        if hot:
            return hot[0] if len(hot) == 1 else None
        driven = [s for s in found if self.is_driven(s.value)]
        return driven[0] if len(driven) == 1 else None

    def is_hot(self, name: str | None) -> bool:
        """Whether the error reaches the value (adjoints are errors); None is no value."""
        value = self.value_of(name)
        return value is not None and (value.name in self.error or value.kind is ir.Kind.ADJOINT)

    def is_driven(self, name: str | None) -> bool:
        value = self.value_of(name)
        return value is not None and bool(value.currents)

    def value_of(self, name: str | None) -> ir.Value | None:
        return None if name is None else self.circuit.values.get(name)

    def is_fixed(self, signal: Signal) -> bool:
        """Whether a signal never changes: it is made of coefficients and of states that nothing moves."""
        value, made = self.value_of(signal.value), self.opened.arithmetic.made.get(key(signal))
        if made is None:
            return not signal.random and (value is None or value.update is None)
        return all(map(self.is_fixed, (s for a in made.arguments for s in signals_of_sum(a))))

    def own_gates(self, population: str) -> frozenset[Identity]:
        """The gates of a neuron: those that its rate is 0 without, and those of its own dendrites and states."""
        value = self.circuit.values[population]
        rate = self.opened.read(ir.Read(span=value.span, value=population, axis=ir.Axis.OWN), value.size)
        self._sort_steps()
        return frozenset().union(self.steps.get(population, ()), *map(gates_of, rate.terms))

    def _sort_steps(self) -> None:
        """Finds the populations of the gates that were met since the last time."""
        arithmetic = self.opened.arithmetic
        for step in arithmetic.steps[self.sorted :]:
            read = [self.value_of(s.value) for s in signals_of_sum(arithmetic.made[step].argument)]
            owners = {None if v is None else v.population for v in read}
            if len(owners) == 1 and (owner := owners.pop()) is not None:
                self.steps.setdefault(owner, set()).add(step[0])
        self.sorted = len(arithmetic.steps)

    def factor(self, terms: list[Term], size: int) -> Sum:
        """What multiplies a carrier, as few letters: what all terms share, and one letter for the rest."""
        if len(terms) == 1:
            return Sum(size, size, tuple(terms))
        counts = [Counter(signals_of(t)) for t in terms]
        shared = counts[0]
        for count in counts[1:]:
            shared = shared & count
        rest = [_product(t, Counter(signals_of(t)) - shared, size) for t in terms]
        poly = total(size, size, rest)
        common = make_sum(size, size, [(Coefficient(), (), tuple(Diagonal(s) for s in shared.elements()))])
        if len(poly.terms) < 2:
            return times(common, poly)
        scale, normal = normalized(poly)
        nature = self.opened.arithmetic.known.nature_of
        if nature(normal) is Nature.ANY and nature(-normal) is not Nature.ANY:  # what is 0 or less, by its opposite
            scale, normal = negative(scale), -normal
        gates = frozenset.intersection(*map(gates_of, normal.terms))
        made = Made("", normal)
        letter = self.opened.arithmetic.signal(
            made, size, nature(normal), random=varies(normal), gates=gates, made=made
        )
        return scaled(times(common, letter_sum(Diagonal(letter))), scale)

    # ------------------------------------------------------------ through synapses

    def weights(self, current: ir.Current) -> Sum:
        """The matrix of a current; a multiple of the identity where the synapse only repeats its signal."""
        synapse = self.circuit.synapses[current.synapse]
        factor = self.opened.repeats(current)
        if factor is not None:
            return scaled(identity(synapse.post_size), factor)
        found = self.letter(synapse)
        return transpose(found) if current.transposed else found

    def letter(self, synapse: ir.Synapse) -> Sum:
        """The weights of a synapse as a letter: a diagonal one, which commutes with gates, if it is one-to-one."""
        if all(mask.which != "one_to_one" for mask in synapse.connect):
            return matrix(synapse.name, synapse.post_size, synapse.pre_size)
        low = self.ranges.limits(synapse).low
        nature = Nature.POSITIVE if low > 0 else Nature.NONNEGATIVE if low >= 0 else Nature.ANY
        return diagonal(named(synapse.name, synapse.post_size, nature, random=False, weight=True))

    def driven(self, name: str, source: Callable[[ir.Read], Sum], expand: Expand, units: Units) -> Sum:
        """A sum of currents (and an equation beside them) as a column, given the columns of the sources."""
        value = self.circuit.values[name]
        beside = [self.column(units.of(value.expr, value.size), expand)] if value.expr is not None else []
        currents = (times(self.weights(current), source(current.source)) for current in value.currents)
        return total(value.size, UNIT, (*beside, *currents))

    def expanded(self, carrier: Signal) -> Sum:
        """A carrier expanded down to rates and errors. Raises NotLinear."""
        name = carrier.value
        if name is None or not self.is_driven(name):
            return column(carrier)
        if name not in self.full:
            found = self.driven(name, self.source, self.expanded, self.opened)
            if name in self.sent and self._is_distant(found):
                self.distant.add(name)
            self.full[name] = column(carrier) if len(found.terms) > MAX_TERMS or name in self.distant else found
        return self.full[name]

    def _is_distant(self, found: Sum) -> bool:
        """Whether the words lead through many synapses, or to what is distant itself."""
        ends = {s.signal.value for t in found.terms for s in t.word[-1:] if isinstance(s, Column)}
        return bool(ends & self.distant) or synapses(found) > MAX_SYNAPSES

    def source(self, read: ir.Read) -> Sum:
        """What a synapse carries, as a column, expanded."""
        size = self.circuit.values[read.value].size
        return self.written_out(self.opened.read(read, size))

    def written_out(self, poly: Sum) -> Sum:
        """A polynomial of opened units as a column, its carriers expanded down to rates and errors. Raises
        NotLinear."""
        found = self.columns.get(poly)
        if found is None:
            found = self.columns[poly] = self.column(poly, self.expanded)
        return found

    # ------------------------------------------------------------ for showing

    def shown(self, poly: Sum) -> Sum:
        """A polynomial of plain units as a column, its carriers opened by one synapse."""
        found = self.seen.get(poly)
        if found is None:
            found = self.seen[poly] = self.column(poly, self.one_synapse)
        return found

    def one_synapse(self, carrier: Signal) -> Sum:
        value = self.value_of(carrier.value)
        if value is None or not value.currents or len(value.currents) > MAX_SHOWN:
            return column(carrier)
        return self.driven(value.name, self.named, column, self.plain)

    def named(self, read: ir.Read) -> Sum:
        """What a synapse carries, by its name."""
        size = self.circuit.values[read.value].size
        return times(self.plain.read(read, size), column(ones(size)))


# ---------------------------------------------------------------- of a circuit


def ranges_of(circuit: ir.Circuit) -> Ranges:
    """The ranges of a circuit, with the numbers of connections as params."""
    numbers = numbers_of(circuit, {})
    fans: dict[str, Range] = {}
    for synapse in circuit.synapses.values():
        mask = mask_of(synapse, numbers)
        fans[fan_name("in", synapse)], fans[fan_name("out", synapse)] = mask.fan("in"), mask.fan("out")
    return Ranges(circuit, params=fans)


def symbols_of(circuit: ir.Circuit, ranges: Ranges | None = None) -> Symbols:
    """The words of a checked circuit, with the gradient of its loss if it has one; `ranges` are its own, if known."""
    differentiated = adjoints(circuit) if circuit.loss is not None else circuit
    ranges = ranges_of(circuit) if ranges is None else ranges
    constants = Constants(ranges.numbers | {name: fan.high for name, fan in ranges.params.items()})
    error = frozenset(reached_from(all_sources(circuit), error_roots(circuit)))
    classes = class_targets(circuit)
    shared = (differentiated, constants, ranges, error, one_tick(circuit), not unlike_training(circuit), classes)
    return Symbols(differentiated, constants, ranges, error, Units(*shared), Units(*shared, plain=True))


def unlike_training(circuit: ir.Circuit) -> list[str]:
    """What the loss reads that is not the same in training and in evaluation."""
    if circuit.loss is None:
        return []
    flagged = {
        v.name
        for v in circuit.values.values()
        if any(isinstance(part, ir.Flag) for e in (v.expr, v.update) if e is not None for part in ir.walk(e))
    }
    reached = reached_from(all_sources(circuit), flagged)
    return sorted({r.value for r in ir.reads(circuit.loss.expr)} & reached)


def error_roots(circuit: ir.Circuit) -> set[str]:
    """Where errors come from: the targets that the loss compares with; where it compares with inputs only
    (reconstruction), the populations that are wired to these."""
    compared = compared_data(circuit)
    targets = {name for name in compared if circuit.values[name].kind is ir.Kind.TARGET}
    if targets or not compared:
        return targets
    rates = (circuit.values[p.name] for p in circuit.of_kind(ir.Kind.RATE))
    return {v.name for v in rates if v.expr is not None and any(r.value in compared for r in ir.reads(v.expr))}


def compared_data(circuit: ir.Circuit) -> set[str]:
    """The inputs and targets that the loss reads without a synapse that learns in between."""
    if circuit.loss is None:
        return set()
    learning = set(learning_synapses(circuit))
    settled = settle(circuit)
    seen: set[str] = set()
    waiting = [r.value for r in ir.reads(settled.exprs["loss"])]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in settled.exprs and name != "loss":
            waiting += [r.value for r in ir.reads(settled.exprs[name])]
        waiting += [c.source.value for c in circuit.values[name].currents if c.synapse not in learning]
    data = (ir.Kind.INPUT, ir.Kind.TARGET)
    return {name for name in seen if circuit.values[name].kind in data}


# ---------------------------------------------------------------- terms


def _without(term: Term, carrier: Signal) -> Term:
    """The term without one of its signals, and without its numbers."""
    word = list(term.word)
    word.remove(Diagonal(carrier))
    return Term(term.coefficient, (), tuple(word))


def _product(term: Term, signals: Counter[Signal], size: int) -> Sum:
    word = tuple(Diagonal(s) for s in signals.elements())
    return make_sum(size, size, [(term.coefficient, (), word)])
