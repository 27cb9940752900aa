"""What becomes of the error on its way down: carriers, readouts, and how a credit compares with the gradient.

theory.md, section 3, "Depth". `δ_h` is -d loss / d current of a dendrite, written with the δ of the dendrites
above it. From the top down, every signal that carries the error is rewritten with the relations of the circuit and,
where it can be, **folded**: `d = M δ_a`, so that the next layer sees one letter M and one δ, however deep
the circuit is and however many ways lead down. A credit is then compared with its own δ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from itertools import chain

from circuitdsl.derive.algebra.arithmetic import NotLinear
from circuitdsl.derive.algebra.comparison import may_end_with, ratio
from circuitdsl.derive.algebra.letters import Identity, Signal, named
from circuitdsl.derive.algebra.obstacles import TooManyWays
from circuitdsl.derive.algebra.words import (
    UNIT,
    Sum,
    column,
    make_sum,
    scaled,
    synapses,
    times,
    total,
)
from circuitdsl.derive.prove.dual import Dual, divided_further, duals
from circuitdsl.derive.prove.levels import Levels, Tail, dendrite_of, in_order, tail, tails
from circuitdsl.derive.prove.matching import Form, Quotient, alone, divided, forms, leading, plain_factor
from circuitdsl.derive.prove.relations import Relation, gates_in
from circuitdsl.derive.prove.rewriting import Steps, rewritten
from circuitdsl.derive.read.symbols import MAX_SYNAPSES, MAX_TERMS, Symbols
from circuitdsl.frozen import frozen, mutable
from circuitdsl.graph import ir

#: How many more dendrites a gradient may pass than the column that is compared with it passes synapses.
FURTHER = 3


@frozen(eq=False)
class Lemma:
    """`source = factor delta`: what a population sends down, by the relations of `grounds`; `delta` is the δ of
    the dendrite."""

    source: str
    factor: Sum
    dendrite: str
    delta: Signal
    grounds: Grounds
    #: Of all that it stands on, its own grounds and those of the lemmas before it, found once: whether that is any
    #: relation, and what these are like.
    rests: bool = field(init=False)
    kinds: tuple[Relation, ...] = field(init=False)
    is_mean_field: bool = field(init=False)

    def __post_init__(self) -> None:
        kinds = self.grounds.kinds()
        object.__setattr__(self, "rests", bool(kinds))
        object.__setattr__(self, "kinds", kinds)
        object.__setattr__(self, "is_mean_field", self.grounds.is_mean_field())


@frozen(eq=False)
class Grounds:
    """What a statement rests on: relations used for it, and lemmas; `gates` were dropped for it."""

    relations: tuple[Relation, ...] = ()
    lemmas: tuple[Lemma, ...] = ()
    gates: frozenset[Identity] = frozenset()

    @property
    def mean_field(self) -> bool:
        return bool(self.gates)

    def __add__(self, other: Grounds) -> Grounds:
        return Grounds(
            tuple(dict.fromkeys((*self.relations, *other.relations))),
            tuple(dict.fromkeys((*self.lemmas, *other.lemmas))),
            self.gates | other.gates,
        )

    @property
    def is_empty(self) -> bool:
        return not (self.relations or self.lemmas or self.gates)

    def all_relations(self) -> tuple[Relation, ...]:
        """The relations used, also for the lemmas."""
        found = dict.fromkeys(self.relations)
        seen: set[Lemma] = set()
        waiting = list(reversed(self.lemmas))
        while waiting:
            lemma = waiting.pop()
            if lemma not in seen:
                seen.add(lemma)
                found |= dict.fromkeys(lemma.grounds.relations)
                waiting += reversed(lemma.grounds.lemmas)
        return tuple(found)

    def kinds(self) -> tuple[Relation, ...]:
        """Of all relations the first of each kind: they hold alike, and neglect the same."""
        found: dict[tuple[str, bool], Relation] = {}
        for relation in (*self.relations, *(r for lemma in self.lemmas for r in lemma.kinds)):
            found.setdefault((relation.holds, relation.mean_field), relation)
        return tuple(found.values())

    def not_yet(self, seen: set[Lemma]) -> Iterator[Relation]:
        """`all_relations` without those of lemmas that were seen, which are seen from now on."""
        waiting = [self]
        while waiting:
            grounds = waiting.pop()
            yield from grounds.relations
            new = [lemma for lemma in grounds.lemmas if lemma not in seen]
            seen.update(new)
            waiting += [lemma.grounds for lemma in reversed(new)]

    def is_mean_field(self) -> bool:
        """Whether gates were dropped anywhere."""
        return bool(self.gates) or any(r.gates for r in self.relations) or any(x.is_mean_field for x in self.lemmas)


@mutable
class Transport:
    """The way down of the error in one circuit, with the relations that may be used."""

    levels: Levels
    steps: Steps
    mean_field: bool
    sources: dict[str, tuple[Sum, Grounds]] = field(default_factory=dict)
    carried: dict[str, Lemma] = field(default_factory=dict)
    credits: dict[Sum, tuple[Sum, Grounds]] = field(default_factory=dict)
    # Forgotten when another dendrite's δ is found to be carried:
    gradients: dict[str, tuple[Sum, Grounds]] = field(default_factory=dict)
    compared: dict[tuple[Sum, str], list[tuple[Form, Grounds]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """What is carried is known before anything is compared: no answer depends on which was asked for first."""
        self._follow_all()

    @property
    def symbols(self) -> Symbols:
        return self.levels.symbols

    # ------------------------------------------------------------ the gradient

    def gradient(self, dendrite: str) -> tuple[Sum, Grounds]:
        """δ of a dendrite by those δ above it that something carries, rewritten. Raises NotLinear."""
        if dendrite not in self.gradients:
            self.gradients[dendrite] = self._gradient(dendrite)
        return self.gradients[dendrite]

    def _gradient(self, dendrite: str) -> tuple[Sum, Grounds]:
        found = self.levels.level(dendrite)
        grounds = Grounds()
        for end in in_order(tails(found)):
            above = dendrite_of(end)
            if above is not None and above not in self.carried:
                inner, more = self.gradient(above)
                if synapses(inner) <= MAX_SYNAPSES:
                    found, grounds = _replaced(found, end, inner), grounds + more
        if len(found.terms) > MAX_TERMS:
            raise NotLinear(TooManyWays(down=False))
        found, used = rewritten(found, self.steps)
        return found, grounds + Grounds(relations=used)

    # ------------------------------------------------------------ what is carried

    def source(self, read: ir.Read) -> tuple[Sum, Grounds]:
        """What a synapse carries, rewritten and folded. Raises NotLinear."""
        name = read.value
        if name not in self.sources:
            size = self.symbols.circuit.values[name].size
            self.sources[name] = self._folded(name, *self.reduced(self.symbols.opened.read(read, size)))
        return self.sources[name]

    def _follow_all(self) -> None:
        """What every population sends, each after those that it hears, so that no way is too long to follow; and what
        is an error, sent or not."""
        circuit, opened = self.symbols.circuit, self.symbols.opened
        sent = {s.source.value: s.source for s in circuit.synapses.values() if s.source.when is ir.When.NOW}
        for name in (*opened.errors, *opened.squashed):
            sent[name] = ir.Read(span=circuit.values[name].span, value=name, axis=ir.Axis.OWN)
        for name in circuit.order:
            if name in sent and self.symbols.is_hot(name):
                with suppress(NotLinear):
                    self.source(sent[name])
        for adjoint in circuit.reverse:
            dendrite = circuit.values[adjoint].of
            if dendrite is not None and dendrite in self.levels.deltas:
                with suppress(NotLinear):
                    self.gradient(dendrite)

    def reduced(self, poly: Sum) -> tuple[Sum, Grounds]:
        """A polynomial of units as a column, its carriers reduced, rewritten. Raises NotLinear."""
        found = self.credits.get(poly)
        if found is None:
            found = self.credits[poly] = self._reduced(poly)
        return found

    def _reduced(self, poly: Sum) -> tuple[Sum, Grounds]:
        way = _Way(self)
        found = self.symbols.column(poly, way.expand)
        if len(found.terms) > MAX_TERMS:
            raise NotLinear(TooManyWays(down=True))
        found, used = rewritten(found, self.steps)
        grounds = Grounds(relations=used)
        for each in way.trail:
            grounds = grounds + each
        return found, grounds

    def _folded(self, name: str, found: Sum, grounds: Grounds) -> tuple[Sum, Grounds]:
        """`found` as M δ of the nearest dendrite for which there is an M; as it is, if there is none, or under its
        own name, if it comes from too far."""
        for dendrite in self._candidates(found):
            lemma = self._lemma(name, found, dendrite, grounds)
            if lemma is None:
                continue
            delta = self.levels.delta(dendrite)
            origin = dendrite_of(delta.of)
            if origin is not None and origin not in self.carried:
                self.carried[origin] = lemma
                self.gradients.clear()
                self.compared.clear()
            return times(lemma.factor, column(delta)), Grounds(lemmas=(lemma,))
        if synapses(found) > MAX_SYNAPSES:
            return column(named(name, found.rows)), Grounds()
        return found, grounds

    def _lemma(self, name: str, found: Sum, dendrite: str, grounds: Grounds) -> Lemma | None:
        try:
            delta, more = self.gradient(dendrite)
        except NotLinear:
            return None
        quotient = divided(found, delta) if may_end_with(found, delta) else None
        for dropped in (False, True) if self.mean_field else (False,):
            factor = None if quotient is None else alone(quotient, dropped)
            if quotient is not None and factor is not None:
                signal = self.levels.delta(dendrite)
                gates = gates_in(quotient.front) | gates_in(quotient.back) if dropped else frozenset()
                return Lemma(name, factor, dendrite, signal, grounds + more + Grounds(gates=gates))
        return None

    def _candidates(self, found: Sum) -> Iterator[str]:
        """The dendrites whose gradient ends as the column does, the nearest first, and none that is much further from
        there than the column."""
        ends = tails(found)
        reached: dict[str, frozenset[Tail]] = {}  # dendrite -> the ends of its gradient
        wave: Sequence[Tail] = in_order(ends)
        for _ in range(synapses(found) + FURTHER):
            near = {d: None for end in wave for d in self.levels.below.get(end, ()) if d not in reached}
            new = {d: own for d in near if (own := self._ends(d, ends, reached)) is not None}
            reached |= new
            yield from sorted((d for d, own in new.items() if own == ends), key=self._rank)
            deltas = (self.levels.delta(d).of for d in new)
            wave = [delta for delta in deltas if dendrite_of(delta) not in self.carried]
            if not wave:
                break

    def _ends(
        self, dendrite: str, ends: frozenset[Tail], reached: Mapping[str, frozenset[Tail]]
    ) -> frozenset[Tail] | None:
        """The ends of the gradient of a dendrite by those above it; None if not all of these are reached."""
        found: set[Tail] = set()
        for end in tails(self.levels.level(dendrite)):
            above = dendrite_of(end)
            if above is None or above in self.carried:
                if end not in ends:
                    return None
                found.add(end)
            elif above in reached:
                found |= reached[above]
            else:
                return None
        return frozenset(found)

    def _rank(self, dendrite: str) -> int:
        return self.levels.ranks[dendrite]

    def named_errors(self, gradient: Sum) -> Sum:
        """A gradient with each δ that a population is, whatever the weights, under that population's name."""
        for population in (*self.symbols.opened.errors, *self.symbols.opened.squashed):
            value = self.symbols.circuit.values[population]
            read = ir.Read(span=value.span, value=population, axis=ir.Axis.OWN)
            with suppress(NotLinear):
                self.source(read)
                same = ratio(gradient, self.symbols.source(read))
                if same is not None:
                    return scaled(column(named(population, value.size)), same)
        for end in in_order(tails(gradient)):
            dendrite = dendrite_of(end)
            lemma = None if dendrite is None else self.carried.get(dendrite)
            factor = None if lemma is None else plain_factor(lemma.factor)
            if lemma is None or factor is None or not lemma.grounds.is_empty:
                continue
            error = column(named(lemma.source, lemma.factor.rows))
            gradient = _replaced(gradient, end, scaled(error, factor.inverse()))
        return gradient

    # ------------------------------------------------------------ credit and gradient

    def compare(self, credit: Sum, dendrite: str) -> list[tuple[Form, Grounds]]:
        """How a credit (a polynomial of units) is the gradient at its dendrite, if the relations show it.
        Raises NotLinear."""
        seen = self.seen(credit, dendrite)
        if not any(g.is_mean_field() for _, g in seen):
            return seen
        lost = self.lost_gates(credit, dendrite)
        return [(f, g) for f, g in seen if not (lost and g.is_mean_field())]

    def lost_gates(self, credit: Sum, dendrite: str) -> frozenset[Identity]:
        """The gates that the gradient begins with and the credit does not. Where gates are dropped on the way down
        there has to be none, or an ungated rule behind a gated path would be proved. Raises NotLinear."""
        found, _ = self.reduced(credit)
        gates = self.levels.delta(dendrite).gates
        return frozenset().union(*(gates - leading(t.word) for t in found.terms))

    def seen(self, credit: Sum, dendrite: str) -> list[tuple[Form, Grounds]]:
        """`compare`, whether or not the credit has the gates of the gradient."""
        asked = credit, dendrite
        found = self.compared.get(asked)
        if found is None:
            found = self.compared[asked] = self._seen(credit, dendrite)
        return found

    def _seen(self, credit: Sum, dendrite: str) -> list[tuple[Form, Grounds]]:
        for quotients in (self._quotients, self._further):
            results: list[tuple[Form, Grounds]] = []
            for quotient, grounds in quotients(credit, dendrite):
                found = forms(quotient, mean_field=self.mean_field, constants=self.symbols.constants)
                results += [(form, grounds + Grounds(gates=form.gates)) for form in found]
            if results:
                return results
        return []

    def duals(self, credit: Sum, dendrite: str) -> list[tuple[Dual, Grounds]]:
        """How the gradient at a dendrite is a positive matrix times a credit, if the relations show it.
        Raises NotLinear."""
        lost = self.lost_gates(credit, dendrite)
        results: list[tuple[Dual, Grounds]] = []
        for quotient, grounds in chain(self._quotients(credit, dendrite), self._further(credit, dendrite)):
            for dual in duals(quotient, self.symbols, mean_field=self.mean_field):
                whole = grounds + Grounds(gates=dual.gates)
                if not (lost and whole.is_mean_field()):
                    results.append((dual, whole))
        return results

    def _quotients(self, credit: Sum, dendrite: str) -> Iterator[tuple[Quotient, Grounds]]:
        """The credit and the gradient by what both end with: with the dendrite's own δ, and with those above."""
        found, grounds = self.reduced(credit)
        by_level, more = self.gradient(dendrite)
        for delta, extra in ((column(self.levels.delta(dendrite)), Grounds()), (by_level, more)):
            quotient = divided(found, delta)
            if quotient is not None:
                yield quotient, grounds + extra

    def _further(self, credit: Sum, dendrite: str) -> Iterator[tuple[Quotient, Grounds]]:
        """The same once numbers are put behind, or a broadcast error in front; see derive/prove/dual.py."""
        found, grounds = self.reduced(credit)
        by_level, more = self.gradient(dendrite)
        for quotient in divided_further(self.named_errors(found), self.named_errors(by_level), self.symbols):
            yield quotient, grounds + more


@frozen
class _Way:
    """The way to the carriers of one polynomial. `trail`: the grounds of what arrives on it."""

    transport: Transport
    trail: list[Grounds] = field(default_factory=list)

    def expand(self, carrier: Signal) -> Sum:
        symbols, name = self.transport.symbols, carrier.value
        if name is None or not symbols.is_hot(name):
            return symbols.expanded(carrier)
        if not symbols.is_driven(name):
            return column(carrier)
        return symbols.driven(name, self.arriving, self.expand, symbols.opened)

    def arriving(self, read: ir.Read) -> Sum:
        if not self.transport.symbols.is_hot(read.value):
            return self.transport.symbols.source(read)
        found, grounds = self.transport.source(read)
        self.trail.append(grounds)
        return found


def _replaced(a: Sum, end: Tail, by: Sum) -> Sum:
    """The column with a signal at the end of its words replaced."""
    parts: list[Sum] = []
    for term in a.terms:
        if tail(term) == end:
            head = make_sum(a.rows, by.rows, [(term.coefficient, term.scalars, term.word[:-1])])
            parts.append(times(head, by))
        else:
            parts.append(Sum(a.rows, a.cols, (term,)))
    return total(a.rows, UNIT, parts)
