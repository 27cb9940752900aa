"""Decay by example, `- m(x) * w` with m >= 0 made of signals; and coefficients by which a whole rule is multiplied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf

from circuitdsl.derive.algebra.arithmetic import NotLinear
from circuitdsl.derive.algebra.constants import Constants, negative
from circuitdsl.derive.algebra.words import Coefficient, Nature, Scalar, Sum, make_sum, outer, plus, scaled, zero
from circuitdsl.derive.read.pulls import is_pull, per_synapse
from circuitdsl.derive.read.symbols import Symbols
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.graph.folding import product
from circuitdsl.graph.functions import FUNCTIONS
from circuitdsl.graph.intervals import ANY
from circuitdsl.graph.plasticity import Term
from circuitdsl.graph.populations import REDUCTIONS


@frozen
class Leaks:
    """The terms of one rule that are a decay by example. `number`: what stands before a term."""

    symbols: Symbols
    synapse: ir.Synapse
    number: Callable[[Term], Coefficient]

    def of(self, terms: Sequence[Term]) -> list[Term]:
        """Those among `terms`, if there are others that drive the weight."""
        if not any((t.pre or t.signals) and not t.weights for t in terms):
            return []
        return [t for t in terms if (t.pre or t.signals) and t.power == 1 and self._is_leak(t)]

    def matrix(self, leaks: Sequence[Term]) -> Sum:
        """What the weights are multiplied by in an example, with a minus."""
        total = zero(self.synapse.post_size, self.synapse.pre_size)
        for term in leaks:
            post, pre = (self.symbols.column(side, self.symbols.expanded) for side in self._sides(term))
            total = plus(total, scaled(outer(post, pre), negative(self.number(term))))
        return total

    def _is_leak(self, term: Term) -> bool:
        if term.states or term.mixed or any(map(per_synapse, term.numeric)) or self.number(term).number > 0:
            return False
        return all(map(self._is_nonnegative, self._sides(term)))

    def _sides(self, term: Term) -> tuple[Sum, Sum]:
        """The postsynaptic factor of a term, and the presynaptic one."""
        units, span = self.symbols.opened, self.synapse.span
        post = units.of(product(term.signals, span=span), self.synapse.post_size)
        return post, units.of(product(term.pre, span=span), self.synapse.pre_size)

    def _is_nonnegative(self, poly: Sum) -> bool:
        """Whether a polynomial of units is 0 or more, the numbers in it that all units share included."""
        words = [word for term in poly.terms for word in term.scalars]
        if not all(isinstance(x, Scalar) and self._is_nonnegative_number(x) for word in words for x in word):
            return False
        if not words:
            return self._is_nonnegative_polynomial(poly)
        bare = [make_sum(poly.rows, poly.cols, [(t.coefficient, (), t.word)]) for t in poly.terms]
        return all(map(self._is_nonnegative_polynomial, bare))

    def _is_nonnegative_polynomial(self, poly: Sum) -> bool:
        arithmetic = self.symbols.opened.arithmetic
        return arithmetic.known.nature_of(poly) is not Nature.ANY or arithmetic.positive(-poly).is_zero

    def _is_nonnegative_number(self, letter: Scalar) -> bool:
        value = self.symbols.circuit.values.get(letter.name)
        return letter.positive or (value is not None and value.expr is not None and self._is_sized(value.expr))

    def _is_sized(self, expr: ir.Expr) -> bool:
        """Whether an equation of single numbers is 0 or more."""
        match expr:
            case ir.Num() | ir.ParamRef():
                number = self.symbols.constants.of(expr)
                return number is not None and number.number >= 0
            case ir.Apply() | ir.Reduce() if _is_never_negative(expr):
                return True
            case ir.Reduce(function="sum" | "mean" | "max", arguments=(summed,), size=size):
                with suppress(NotLinear):
                    return self._is_nonnegative(self.symbols.opened.of(summed, size))
                return False
            case ir.Apply(function="add" | "mul" | "div", arguments=arguments):
                return all(map(self._is_sized, arguments))
            case ir.Read(value=name, when=ir.When.NOW):
                read = self.symbols.circuit.values[name]
                return read.population is None and read.expr is not None and self._is_sized(read.expr)
            case _:
                return False


def _is_never_negative(expr: ir.Apply | ir.Reduce) -> bool:
    """Whether a function is a number that is 0 or more, whatever it is of."""
    anything = [ANY] * len(expr.arguments)
    if isinstance(expr, ir.Apply):
        found = FUNCTIONS[expr.function].within(*anything)
    else:
        found = REDUCTIONS[expr.function].within(anything, expr.size)
    return found.nonnegative and found.defined


def shared_factors(terms: Sequence[Term]) -> tuple[ir.Expr, ...]:
    """The coefficients by which a whole rule is multiplied, its decay included; none where there is no decay."""
    own = {tuple(e for e in t.numeric if per_synapse(e)) for t in terms}
    plain = not any(t.states or (t.weights and not is_pull(t)) for t in terms)
    return own.pop() if len(own) == 1 and any(map(is_pull, terms)) and plain else ()


def most_of(init: ir.Init, constants: Constants) -> float:
    """What the numbers of a coefficient are at most; inf if that is not known."""
    match init:
        case ir.Num() | ir.ParamRef():
            ends: tuple[ir.Expr, ...] = (init,)
        case ir.InitCall(which="constant" | "uniform", arguments=arguments):
            ends = arguments
        case _:
            return inf
    found = [constants.of(e) for e in ends]
    return max((inf if f is None else constants.value(f) for f in found), default=inf)
