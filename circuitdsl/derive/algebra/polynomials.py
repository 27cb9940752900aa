"""Diagonal matrices of the term algebra as polynomials of the signals of one unit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import inf

from circuitdsl.derive.algebra.constants import Constants
from circuitdsl.derive.algebra.notation import coefficient_text, number_text
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
from circuitdsl.graph import ir


def signals_of(term: Term) -> list[Signal]:
    """The signals whose product the term is, numbers aside."""
    return [x.signal for x in term.word if isinstance(x, Diagonal)]


def signals_of_sum(a: Sum) -> list[Signal]:
    return [s for t in a.terms for s in signals_of(t)]


def gates_of(term: Term) -> frozenset[str]:
    """The gates without which the term is 0."""
    own = frozenset(s.name for s in signals_of(term) if s.nature is Nature.GATE)
    return own.union(*(s.gates for s in signals_of(term)))


def lone_signal(a: Sum) -> Signal | None:
    """The signal that the polynomial is, if it is one and nothing else."""
    if len(a.terms) != 1 or a.terms[0].coefficient != Coefficient() or a.terms[0].scalars:
        return None
    found = signals_of(a.terms[0])
    return found[0] if len(found) == 1 else None


def constant(a: Sum) -> Coefficient | None:
    """The number that the polynomial is, if it is one."""
    if not a.terms:
        return Coefficient(Fraction(0))
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
    k = flat[0].coefficient if flat else Coefficient(Fraction(0))
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


def written(a: Sum) -> str:
    """The polynomial as text, equal for equal ones: `0.2 + 0.8·1[h.basal > 0]`."""
    shown = ""
    for term in sorted(a.terms, key=lambda t: (t.coefficient.number < 0, bool(t.word))):
        minus = term.coefficient.number < 0
        shown += (" − " if minus else " + ") if shown else ("−" if minus else "")
        parts = [*map(number_text, term.scalars), *(s.name for s in signals_of(term))]
        number = coefficient_text(term.coefficient, sign=False)
        shown += "·".join([number, *parts] if number != "1" or not parts else parts)
    return shown or "0"


# ---------------------------------------------------------------- ranges

#: The ranges of the two functions whose slopes are letters of their own: open at both ends.
SIGMOID, TANH = (0.0, 1.0), (-1.0, 1.0)
#: The range of these slopes: tanh' reaches 1.
SLOPE = (0.0, 1.0 + 1e-9)
#: With more gates than this, a polynomial is not evaluated for each of their states.
MAX_GATES = 6


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the values of signals (`ranges`, by name; else by their nature) and of params."""

    constants: Constants
    ranges: dict[str, tuple[float, float]]

    def range_of(self, a: Sum) -> tuple[float, float]:
        """What the polynomial lies between: over all states of its gates, and term by term otherwise."""
        gates = sorted({s.name for s in signals_of_sum(a) if s.nature is Nature.GATE})
        if len(gates) > MAX_GATES:
            return -inf, inf
        found = [self._with(a, dict(zip(gates, bits, strict=True))) for bits in product((0, 1), repeat=len(gates))]
        return min(low for low, _ in found), max(high for _, high in found)

    def _with(self, a: Sum, gates: dict[str, int]) -> tuple[float, float]:
        low = high = 0.0
        for term in a.terms:
            if any(gates.get(s.name) == 0 for s in signals_of(term)):
                continue
            least, most = self._term(term, frozenset(gates))
            low, high = low + least, high + most
        return low, high

    def _term(self, term: Term, gates: frozenset[str]) -> tuple[float, float]:
        least = most = 1.0
        counts = Counter(s for s in signals_of(term) if s.name not in gates)
        for signal, count in counts.items():
            low, high = self.ranges.get(signal.name, _RANGES[signal.nature])
            if count % 2 == 0:
                low, high = 0.0, inf
            least, most = _times(least, most, low, high)
        if term.scalars:
            least, most = -inf, inf
        number = self.constants.value(term.coefficient)
        return _times(least, most, number, number)

    def nature_of(self, a: Sum) -> Nature:
        """What is known of the values of the polynomial."""
        low, _ = self.range_of(a)
        if low > 0 or self._is_sum_of_positive(a) or self._stays_open(a):
            return Nature.POSITIVE
        return Nature.NONNEGATIVE if low >= 0 else Nature.ANY

    def _is_sum_of_positive(self, a: Sum) -> bool:
        """Whether every term is 0 or more, and one of them is above 0."""
        each = [self.range_of(Sum(a.rows, a.cols, (t,)))[0] >= 0 for t in a.terms]
        return bool(each) and all(each) and any(map(self._is_positive, a.terms))

    def _is_positive(self, term: Term) -> bool:
        plain = not term.scalars and self.constants.value(term.coefficient) > 0
        return plain and all(s.nature is Nature.POSITIVE for s in signals_of(term))

    def _stays_open(self, a: Sum) -> bool:
        """k + c s of a sigmoid or tanh s, which does not reach the ends of its range."""
        found = affine(a)
        if found is None or self.ranges.get(found[1].name) not in (SIGMOID, TANH):
            return False
        c, s, k = found
        return min(self.constants.value(k) + self.constants.value(c) * end for end in self.ranges[s.name]) >= 0


_RANGES = {
    Nature.GATE: (0.0, 1.0),
    Nature.POSITIVE: (0.0, inf),
    Nature.NONNEGATIVE: (0.0, inf),
    Nature.ANY: (-inf, inf),
}


def _times(a: float, b: float, c: float, d: float) -> tuple[float, float]:
    products = [0.0 if 0.0 in (x, y) else x * y for x in (a, b) for y in (c, d)]
    return min(products), max(products)


# ---------------------------------------------------------------- equations of numbers


def surely_positive(expr: ir.Expr, circuit: ir.Circuit, depth: int = 0) -> bool:
    """Whether an expression is above 0 by its form, whatever the data."""

    def again(e: ir.Expr) -> bool:
        return surely_positive(e, circuit, depth)

    match expr:
        case ir.Num(value=value):
            return value > 0
        case ir.Read(value=name):
            read = circuit.values[name].expr
            return depth < 20 and read is not None and surely_positive(read, circuit, depth + 1)
        case ir.Apply(function="exp" | "sigmoid" | "softplus") | ir.Over(function="softmax"):
            return True
        case ir.Apply(function="add" | "mul" | "div", arguments=(a, b)):
            return again(a) and again(b)
        case ir.Reduce(function="sum" | "mean" | "max", arguments=(a,)):
            return again(a)
        case _:
            return False
