"""What becomes of the error on its way down: carriers, readouts, and how a credit compares with the gradient.

theory.md, section 3, "Depth". `δ_h` is -d loss / d current of a dendrite, written with the δ of the dendrites
above it. From the top down, every signal that carries the error is rewritten with the relations of the circuit and,
where it can be, **folded**: `d = M δ_a`, so that the next layer sees one letter M and one δ, however deep
the circuit is and however many ways lead down. A credit is then compared with its own δ.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from circuitdsl.derive.algebra.arithmetic import NotLinear
from circuitdsl.derive.algebra.comparison import may_end_with, ratio
from circuitdsl.derive.algebra.words import (
    UNIT,
    Column,
    Signal,
    Sum,
    Term,
    column,
    make_sum,
    scaled,
    times,
)
from circuitdsl.derive.prove.matching import Form, alone, divided, forms, leading, plain_factor
from circuitdsl.derive.prove.relations import Relation
from circuitdsl.derive.prove.rewriting import Step, rewritten
from circuitdsl.derive.read.symbols import MAX_TERMS, Symbols
from circuitdsl.graph import ir
from circuitdsl.twin.adjoints import adjoint_name


@dataclass(frozen=True, slots=True, eq=False)
class Lemma:
    """`source = factor delta`: what a population sends down, by the relations of `grounds`; `delta` is the name of
    the δ of the dendrite."""

    source: str
    factor: Sum
    dendrite: str
    delta: str
    grounds: Grounds


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a statement rests on: relations used for it, and lemmas. `mean_field`: gates were dropped for it."""

    relations: tuple[Relation, ...] = ()
    lemmas: tuple[Lemma, ...] = ()
    mean_field: bool = False

    def __add__(self, other: Grounds) -> Grounds:
        return Grounds(
            tuple(dict.fromkeys((*self.relations, *other.relations))),
            tuple(dict.fromkeys((*self.lemmas, *other.lemmas))),
            self.mean_field or other.mean_field,
        )

    def chain(self) -> list[Grounds]:
        """These grounds and those of all lemmas that they stand on, each once."""
        found: list[Grounds] = [self]
        seen: set[Lemma] = set()
        waiting = list(self.lemmas)
        while waiting:
            lemma = waiting.pop(0)
            if lemma not in seen:
                seen.add(lemma)
                found.append(lemma.grounds)
                waiting += lemma.grounds.lemmas
        return found

    def all_relations(self) -> tuple[Relation, ...]:
        """The relations used, also for the lemmas."""
        return tuple(dict.fromkeys(r for grounds in self.chain() for r in grounds.relations))

    def is_mean_field(self) -> bool:
        """Whether gates were dropped anywhere."""
        return any(g.mean_field or any(r.mean_field for r in g.relations) for g in self.chain())


@dataclass(slots=True)
class Transport:
    """The way down of the error in one circuit, with the relations that may be used."""

    symbols: Symbols
    steps: Sequence[Step]
    mean_field: bool
    sources: dict[str, tuple[Sum, Grounds]] = field(default_factory=dict)
    carried: dict[str, Lemma] = field(default_factory=dict)
    levels: dict[str, Sum] = field(default_factory=dict)
    deltas: dict[str, Signal] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)  # by the names of these signals
    # Both forgotten when another dendrite's δ is found to be carried:
    frontiers: dict[str, tuple[frozenset[str], int]] = field(default_factory=dict)
    gradients: dict[str, tuple[Sum, Grounds]] = field(default_factory=dict)

    # ------------------------------------------------------------ the gradient

    def delta(self, dendrite: str) -> Signal:
        """δ of a dendrite as a signal; dendrites of equal gradient share one."""
        if dendrite not in self.deltas:
            level = self.level(dendrite)
            same = next((d for d, other in self.levels.items() if d in self.deltas and other == level), None)
            if same is None:
                gates = [leading(t.word) for t in level.terms]
                common = frozenset.intersection(*gates) if gates else frozenset()
                self.deltas[dendrite] = Signal(name=self._delta_name(dendrite), size=level.rows, gates=common)
                self.origins[self.deltas[dendrite].name] = dendrite
            else:
                self.deltas[dendrite] = self.deltas[same]
        return self.deltas[dendrite]

    def _delta_name(self, dendrite: str) -> str:
        """δ_h; with the dendrite, where several of h's have a gradient."""
        circuit = self.symbols.circuit
        population = circuit.values[dendrite].population
        assert population is not None
        learning = [d for d in circuit.populations[population].dendrites if adjoint_name(d) in circuit.values]
        return f"δ_{population}" if len(learning) == 1 else f"δ_{dendrite}"

    def level(self, dendrite: str) -> Sum:
        """δ of a dendrite by the δ of those above it. Raises NotLinear."""
        if dendrite not in self.levels:
            name = adjoint_name(dendrite)
            if name not in self.symbols.circuit.values:
                raise NotLinear("the loss reaches this dendrite through several ticks only")
            value = self.symbols.circuit.values[name]
            self.levels[dendrite] = -self._adjoint(value)
        return self.levels[dendrite]

    def _adjoint(self, value: ir.Value) -> Sum:
        def source(read: ir.Read) -> Sum:
            size = self.symbols.circuit.values[read.value].size
            return self.symbols.column(self.symbols.opened.read(read, size), expand)

        def expand(carrier: Signal) -> Sum:
            dendrite = _dendrite_of(carrier.name)
            if dendrite is not None and dendrite in self.symbols.circuit.values and self._is_dendrite(dendrite):
                return -column(self.delta(dendrite))
            if self.symbols.is_driven(carrier.name):
                if not carrier.name.startswith("d("):
                    return self.symbols.expanded(carrier)
                return self.symbols.driven(carrier.name, source, expand, self.symbols.opened)
            return column(carrier)

        return self.symbols.driven(value.name, source, expand, self.symbols.opened)

    def _is_dendrite(self, name: str) -> bool:
        return self.symbols.circuit.values[name].kind is ir.Kind.DENDRITE

    def gradient(self, dendrite: str) -> tuple[Sum, Grounds]:
        """δ of a dendrite by those δ above it that something carries, rewritten. Raises NotLinear."""
        if dendrite not in self.gradients:
            found = self.level(dendrite)
            grounds = Grounds()
            for name in sorted(_tails(found)):
                above = self.origins.get(name)
                if above is not None and not self._is_carried(name):
                    inner, more = self.gradient(above)
                    found, grounds = _replaced(found, name, inner), grounds + more
            if len(found.terms) > MAX_TERMS:
                raise NotLinear("too many ways lead to the loss")
            found, used = rewritten(found, self.steps)
            self.gradients[dendrite] = found, grounds + Grounds(relations=used)
        return self.gradients[dendrite]

    def _is_carried(self, delta: str) -> bool:
        return self.origins[delta] in self.carried

    def _frontier(self, dendrite: str) -> tuple[frozenset[str], int]:
        """The signals with which `gradient` ends, and through how many dendrites it gets there."""
        if dendrite not in self.frontiers:
            found: set[str] = set()
            depth = 1
            for name in _tails(self.level(dendrite)):
                above = self.origins.get(name)
                if above is None or self._is_carried(name):
                    found.add(name)
                else:
                    names, way = self._frontier(above)
                    found, depth = found | names, max(depth, 1 + way)
            self.frontiers[dendrite] = frozenset(found), depth
        return self.frontiers[dendrite]

    # ------------------------------------------------------------ what is carried

    def source(self, read: ir.Read) -> tuple[Sum, Grounds]:
        """What a synapse carries, rewritten and folded. Raises NotLinear."""
        name = read.value
        if name not in self.sources:
            size = self.symbols.circuit.values[name].size
            self.sources[name] = self._folded(name, *self.reduced(self.symbols.opened.read(read, size)))
        return self.sources[name]

    def reduced(self, poly: Sum) -> tuple[Sum, Grounds]:
        """A polynomial of units as a column, its carriers reduced, rewritten."""
        trail: list[Grounds] = []

        def expand(carrier: Signal) -> Sum:
            name = carrier.name
            if not self.symbols.is_hot(name):
                return self.symbols.expanded(carrier)
            if not self.symbols.is_driven(name):
                return column(carrier)
            return self.symbols.driven(name, arriving, expand, self.symbols.opened)

        def arriving(read: ir.Read) -> Sum:
            if not self.symbols.is_hot(read.value):
                return self.symbols.source(read)
            found, grounds = self.source(read)
            trail.append(grounds)
            return found

        found = self.symbols.column(poly, expand)
        if len(found.terms) > MAX_TERMS:
            raise NotLinear("too many ways lead down from the error")
        found, used = rewritten(found, self.steps)
        grounds = Grounds(relations=used)
        for each in trail:
            grounds = grounds + each
        return found, grounds

    def _folded(self, name: str, found: Sum, grounds: Grounds) -> tuple[Sum, Grounds]:
        """`found` as M δ of the nearest dendrite for which there is an M; as it is, if there is none."""
        for dendrite in self._candidates(found):
            lemma = self._lemma(name, found, dendrite, grounds)
            if lemma is None:
                continue
            dendrite = self.origins[self.delta(dendrite).name]
            if dendrite not in self.carried:
                self.carried[dendrite] = lemma
                self.frontiers.clear()
                self.gradients.clear()
            return times(lemma.factor, column(self.delta(dendrite))), Grounds(lemmas=(lemma,))
        return found, grounds

    def _lemma(self, name: str, found: Sum, dendrite: str, grounds: Grounds) -> Lemma | None:
        try:
            delta, more = self.gradient(dendrite)
        except NotLinear:
            return None
        quotient = divided(found, delta) if may_end_with(found, delta) else None
        for dropped in (False, True) if self.mean_field else (False,):
            factor = None if quotient is None else alone(quotient, dropped)
            if factor is not None:
                signal = self.delta(dendrite).name
                return Lemma(name, factor, dendrite, signal, grounds + more + Grounds(mean_field=dropped))
        return None

    def _candidates(self, found: Sum) -> list[str]:
        """The dendrites whose gradient ends as the column does, the nearest first."""
        tails = _tails(found)
        near: dict[str, int] = {}
        for name, value in self.symbols.circuit.values.items():
            if value.kind is ir.Kind.DENDRITE and adjoint_name(name) in self.symbols.circuit.values:
                with suppress(NotLinear):
                    frontier, depth = self._frontier(name)
                    if frontier == tails:
                        near[name] = depth
        return sorted(near, key=near.__getitem__)

    def named_errors(self, gradient: Sum) -> Sum:
        """A gradient with each δ that a population is, whatever the weights, under that population's name."""
        for population in (*self.symbols.opened.errors, *self.symbols.opened.squashed):
            value = self.symbols.circuit.values[population]
            read = ir.Read(span=value.span, value=population, axis=ir.Axis.OWN)
            with suppress(NotLinear):
                self.source(read)
                same = ratio(gradient, self.symbols.source(read))
                if same is not None:
                    return scaled(column(Signal(name=population, size=value.size)), same)
        for name in sorted(_tails(gradient)):
            dendrite = self.origins.get(name)
            lemma = None if dendrite is None else self.carried.get(dendrite)
            factor = None if lemma is None else plain_factor(lemma.factor)
            if lemma is None or factor is None or lemma.grounds != Grounds():
                continue
            error = column(Signal(name=lemma.source, size=lemma.factor.rows))
            gradient = _replaced(gradient, name, scaled(error, factor.inverse()))
        return gradient

    # ------------------------------------------------------------ credit and gradient

    def compare(self, credit: Sum, dendrite: str) -> list[tuple[Form, Grounds]]:
        """How a credit (a polynomial of units) is the gradient at its dendrite, if the relations show it.
        Raises NotLinear."""
        lost = self.lost_gates(credit, dendrite)
        return [(f, g) for f, g in self.seen(credit, dendrite) if not (lost and g.is_mean_field())]

    def lost_gates(self, credit: Sum, dendrite: str) -> frozenset[str]:
        """The gates that the gradient begins with and the credit does not. Where gates are dropped on the way down
        there has to be none, or an ungated rule behind a gated path would be proved. Raises NotLinear."""
        found, _ = self.reduced(credit)
        gates = self.delta(dendrite).gates
        return frozenset().union(*(gates - leading(t.word) for t in found.terms))

    def seen(self, credit: Sum, dendrite: str) -> list[tuple[Form, Grounds]]:
        """`compare`, whether or not the credit has the gates of the gradient."""
        found, grounds = self.reduced(credit)
        by_level, more = self.gradient(dendrite)
        results: list[tuple[Form, Grounds]] = []
        for delta, extra in ((column(self.delta(dendrite)), Grounds()), (by_level, more)):
            quotient = divided(found, delta)
            if quotient is not None:
                results += [
                    (form, grounds + extra + Grounds(mean_field=form.mean_field))
                    for form in forms(quotient, mean_field=self.mean_field)
                ]
        return results


def _dendrite_of(adjoint: str) -> str | None:
    return adjoint[2:-1] if adjoint.startswith("d(") and adjoint.endswith(")") else None


def _tails(a: Sum) -> frozenset[str]:
    """The signals with which the words of a column end."""
    return frozenset(_tail(t) for t in a.terms)


def _tail(term: Term) -> str:
    last = term.word[-1] if term.word else None
    return last.signal.name if isinstance(last, Column) else ""


def _replaced(a: Sum, name: str, by: Sum) -> Sum:
    """The column with a signal at the end of its words replaced."""
    result = make_sum(a.rows, UNIT, [])
    for term in a.terms:
        if _tail(term) == name:
            head = make_sum(a.rows, by.rows, [(term.coefficient, term.scalars, term.word[:-1])])
            result = result + times(head, by)
        else:
            result = result + Sum(a.rows, a.cols, (term,))
    return result
