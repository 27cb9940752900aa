"""Diagonal matrices of the term algebra as polynomials of the signals of one unit."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from functools import reduce
from itertools import product

from circuitdsl.derive.algebra.constants import Constants
from circuitdsl.derive.algebra.letters import NOTHING, PLAIN, Identity
from circuitdsl.derive.algebra.words import (
    Coefficient,
    Diagonal,
    Nature,
    Signal,
    Sum,
    Term,
    depends_on_example,
    scaled,
)
from circuitdsl.frozen import frozen
from circuitdsl.graph.functions import FUNCTIONS
from circuitdsl.graph.intervals import ANY, FLAG, NONNEGATIVE, POSITIVE, ZERO, Range, point


def signals_of(term: Term) -> list[Signal]:
    """The signals whose product the term is, numbers aside."""
    return [x.signal for x in term.word if isinstance(x, Diagonal)]


def signals_of_sum(a: Sum) -> list[Signal]:
    return [s for t in a.terms for s in signals_of(t)]


def gates_of(term: Term) -> frozenset[Identity]:
    """The gates without which the term is 0."""
    own = frozenset(s.of for s in signals_of(term) if s.nature is Nature.GATE)
    return own.union(*(s.gates for s in signals_of(term)))


def lone_signal(a: Sum) -> Signal | None:
    """The signal that the polynomial is, if it is one and nothing else."""
    if len(a.terms) != 1 or a.terms[0].coefficient != PLAIN or a.terms[0].scalars:
        return None
    found = signals_of(a.terms[0])
    return found[0] if len(found) == 1 else None


def constant(a: Sum) -> Coefficient | None:
    """The number that the polynomial is, if it is one."""
    if not a.terms:
        return NOTHING
    plain = len(a.terms) == 1 and not a.terms[0].scalars and not a.terms[0].word
    return a.terms[0].coefficient if plain else None


def affine(a: Sum) -> tuple[Coefficient, Signal, Coefficient] | None:
    """(c, z, k) of c z + k with one signal z."""
    if any(t.scalars for t in a.terms) or len(a.terms) > 2:
        return None
    flat = [t for t in a.terms if not t.word]
    steep = [t for t in a.terms if t.word]
    if len(steep) != 1 or len(flat) > 1 or len(signals_of(steep[0])) != 1:
        return None
    k = flat[0].coefficient if flat else NOTHING
    return steep[0].coefficient, signals_of(steep[0])[0], k


def is_linear(a: Sum) -> bool:
    """Whether every term is a constant times one signal that differs between examples."""
    return all(not t.scalars and sum(s.random for s in signals_of(t)) <= 1 for t in a.terms)


def varies(a: Sum) -> bool:
    """Whether the polynomial differs between examples."""
    return depends_on_example(a)


def normalized(a: Sum) -> tuple[Coefficient, Sum]:
    """(c, p) with a = c p and c > 0, the same p for all positive multiples: its plain numbers add up to 1 where
    they can, so that a slope such as 0.2 + 0.8 gate stays as it is."""
    plain = [t.coefficient.number for t in a.terms if not t.coefficient.params]
    if len(plain) == len(a.terms) and sum(plain) != 0:
        scale = Coefficient(abs(sum(plain, Fraction(0))))
    elif plain:
        scale = Coefficient(abs(plain[0]))
    else:
        first = a.terms[0].coefficient
        scale = Coefficient(abs(first.number), first.params)
    return scale, scaled(a, scale.inverse())


def led(a: Sum) -> tuple[Coefficient, Sum]:
    """(c, p) with a = c p and c > 0, where the first signal of p counts once: what is above 0 where a is."""
    first = steepest(a)
    scale = Coefficient(abs(first.number), first.params)
    return scale, scaled(a, scale.inverse())


def steepest(a: Sum) -> Coefficient:
    """The number of the first term that is no constant."""
    return next((t for t in a.terms if t.word), a.terms[0]).coefficient


# ---------------------------------------------------------------- ranges

#: The slopes of the two functions whose slopes are letters of their own.
SLOPES = {"sigmoid": Range(0.0, 0.25, low_open=True), "tanh": Range(0.0, 1.0, low_open=True)}
#: With more gates than this, a polynomial is not evaluated for each of their states.
MAX_GATES = 6


def nature_of(known: Range) -> Nature:
    """What a range tells of a signal."""
    if known.positive:
        return Nature.POSITIVE
    return Nature.NONNEGATIVE if known.nonnegative else Nature.ANY


@frozen
class Known:
    """What is known of the values of signals (`ranges`; else by their nature) and of params."""

    constants: Constants
    ranges: dict[Identity, Range]

    def range_of(self, a: Sum) -> Range:
        """What the polynomial lies between: over all states of its gates, and term by term otherwise."""
        gates = dict.fromkeys(s.of for s in signals_of_sum(a) if s.nature is Nature.GATE)
        if len(gates) > MAX_GATES:
            return ANY
        states = (dict(zip(gates, bits, strict=True)) for bits in product((0, 1), repeat=len(gates)))
        return reduce(Range.hull, (self._with(a, state) for state in states))

    def _with(self, a: Sum, gates: dict[Identity, int]) -> Range:
        open_ = (t for t in a.terms if not any(gates.get(s.of) == 0 for s in signals_of(t)))
        return sum((self._term(t, frozenset(gates)) for t in open_), start=ZERO)

    def _term(self, term: Term, gates: frozenset[Identity]) -> Range:
        if term.scalars:
            return ANY
        found = point(self.constants.value(term.coefficient))
        for signal, count in Counter(s for s in signals_of(term) if s.of not in gates).items():
            found = found * FUNCTIONS["pow"].within(self.ranges.get(signal.of, _RANGES[signal.nature]), point(count))
        return found

    def nature_of(self, a: Sum) -> Nature:
        """What is known of the values of the polynomial."""
        return nature_of(self.range_of(a))


_RANGES = {Nature.GATE: FLAG, Nature.POSITIVE: POSITIVE, Nature.NONNEGATIVE: NONNEGATIVE, Nature.ANY: ANY}
