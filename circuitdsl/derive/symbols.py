"""From equations to symbols: what a dendrite, a rate or an adjoint is as a sum of words (derive/words.py).

Rates are atoms, except **carriers**: rates that are linear, or linear times an elementwise factor, in dendrites.
These expand, or deep circuits would be missed (theory.md, "How to derive it", 3). Adjoints always expand.
A combination of signals that is a multiple of an error population (`err = y - out`) is written with its name.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction

from circuitdsl.derive.words import Letter, LetterKind, Scalar, Signal, Term, atom, signal
from circuitdsl.graph import ir
from circuitdsl.graph.checks import nonnegative
from circuitdsl.graph.numbers import evaluate, numbers_of

GATES = frozenset({"step", "lt", "le", "gt", "ge", "eq", "ne"})


class NotLinear(Exception):
    """The expression is no sum of words; the text says what stands in the way."""


@dataclass(slots=True)
class Symbols:
    """The signals of one circuit; `circuit` may hold adjoints (derive/gradient.py)."""

    circuit: ir.Circuit
    numbers: dict[str, float] = field(init=False)
    cache: dict[str, Signal] = field(default_factory=dict)
    working: list[str] = field(default_factory=list)
    errors: dict[str, Signal] = field(init=False)

    def __post_init__(self) -> None:
        self.numbers = numbers_of(self.circuit, {})
        self.errors = {}
        self.errors = self._error_populations()

    # ------------------------------------------------------------ values

    def value(self, name: str) -> Signal:
        """A value as a signal; an atom where it is no carrier. Raises NotLinear for adjoints only."""
        if name not in self.cache:
            if name in self.working:
                raise NotLinear(f"`{name}` depends on itself over ticks")
            self.working.append(name)
            try:
                self.cache[name] = self._named(self._value(self.circuit.values[name]))
            finally:
                self.working.pop()
        return self.cache[name]

    def _value(self, value: ir.Value) -> Signal:
        if value.kind is ir.Kind.DENDRITE or value.currents:
            total = Signal() if value.expr is None else self.linear(value.expr)
            for current in value.currents:
                total += self._source(current.source).under(self._letters(current))
            return total
        if value.kind is ir.Kind.ADJOINT:
            assert value.expr is not None
            return self.linear(value.expr)
        if value.kind in (ir.Kind.RATE, ir.Kind.LET) and value.expr is not None:
            carried = self._carrier(value.expr)
            if carried is not None:
                return carried
        return atom(value.name)

    def _letters(self, current: ir.Current) -> tuple[Letter, ...]:
        """The letter of a current; none for a fixed identity, which changes nothing."""
        synapse = self.circuit.synapses[current.synapse]
        identity = isinstance(synapse.init, ir.InitCall) and synapse.init.which == "identity"
        if identity and synapse.dw is None and synapse.pre_size == synapse.post_size and synapse.bounds is None:
            return ()
        return (Letter(current.synapse, transposed=current.transposed),)

    def _carrier(self, expr: ir.Expr) -> Signal | None:
        """The rate as words if it is linear in dendrites; None if it is an atom."""
        try:
            found = self.linear(expr)
        except NotLinear:
            return None
        through = any(letter.kind is LetterKind.MATRIX for t in found.terms for letter in t.word)
        return found if through or self._leads_through_dendrites(expr) else None

    def _leads_through_dendrites(self, expr: ir.Expr) -> bool:
        return any(self.circuit.values[r.value].kind is ir.Kind.DENDRITE for r in ir.reads(expr))

    def _source(self, read: ir.Read) -> Signal:
        if read.when is ir.When.NOW:
            return self.value(read.value)
        if self.circuit.values[read.value].kind is ir.Kind.ADJOINT:
            raise NotLinear("the gradient runs through several ticks")
        return atom(f"prev({read.value})")

    # ------------------------------------------------------------ expressions

    def linear(self, expr: ir.Expr) -> Signal:
        """An expression as a sum of words. Raises NotLinear."""
        match expr:
            case ir.Read(value=name):
                if self._is_unit(name):
                    raise NotLinear(f"`{name}` is a factor of its own")
                return self._source(expr)
            case ir.Apply(function="neg", arguments=(a,)):
                return -self.linear(a)
            case ir.Apply(function="add", arguments=(a, b)):
                return self._sum(a, b, 1)
            case ir.Apply(function="sub", arguments=(a, b)):
                return self._sum(a, b, -1)
            case ir.Apply(function="mul", arguments=(a, b)):
                return self._product(a, b)
            case ir.Apply(function="div", arguments=(a, b)):
                factor = self.scalar(b)
                if factor is not None and factor.sign:
                    return self.linear(a).times(factor.inverse())
                return self._product(a, ir.Apply(function="div", arguments=(_one(b), b), span=expr.span))
            case ir.Num(value=0.0):
                return Signal()
            case _:
                raise NotLinear(f"`{text(expr)}` is not linear in a signal")

    def _sum(self, a: ir.Expr, b: ir.Expr, sign: int) -> Signal:
        right = self.linear(b)
        return self.linear(a) + (right if sign > 0 else -right)

    def _product(self, a: ir.Expr, b: ir.Expr) -> Signal:
        for factor, rest in ((a, b), (b, a)):
            number = self.scalar(factor)
            if number is not None:
                return self.linear(rest).times(number)
        bare_last = sorted(((a, b), (b, a)), key=lambda pair: isinstance(pair[0], ir.Read))
        for factor, rest in bare_last:
            letters = self.diagonal(factor)
            if letters is not None and not self._carries_error(factor):
                with suppress(NotLinear):
                    return self.linear(rest).under(letters)
        raise NotLinear(f"`{text(a)}` times `{text(b)}` is a product of two signals")

    def _carries_error(self, expr: ir.Expr) -> bool:
        """Whether an expression is itself a credit: then it is the signal, not the factor."""
        return any(self.circuit.values[r.value].kind is ir.Kind.ADJOINT for r in ir.reads(expr)) or any(
            r.value in self.errors for r in ir.reads(expr)
        )

    def _is_unit(self, name: str) -> bool:
        value = self.circuit.values[name]
        return value.population is None and value.kind is not ir.Kind.ADJOINT

    # ------------------------------------------------------------ numbers

    def scalar(self, expr: ir.Expr) -> Scalar | None:
        """A number known before the run, as a monomial where it is one; None if it is a signal."""
        match expr:
            case ir.Num(value=value) if math.isfinite(value):
                return Scalar(Fraction(repr(value)))
            case ir.ParamRef(name=name):
                value = self.numbers[name]
                return Scalar(Fraction(0)) if value == 0 else Scalar(Fraction(1 if value > 0 else -1), ((name, 1),))
            case ir.Read(value=name) if (inner := self._known_scalar(name)) is not None:
                return inner
            case ir.Apply(function="neg", arguments=(a,)):
                inner = self.scalar(a)
                return None if inner is None else -inner
            case ir.Apply(function="mul" | "div" as function, arguments=(a, b)):
                left, right = self.scalar(a), self.scalar(b)
                if left is None or right is None or (function == "div" and not right.sign):
                    return None
                return left * (right if function == "mul" else right.inverse())
            case ir.Apply(function="square", arguments=(a,)):
                inner = self.scalar(a)
                return None if inner is None else inner * inner
            case ir.Apply() if not any(isinstance(e, ir.Coef | ir.Fan) for e in ir.walk(expr)):
                return self._opaque(expr)
            case _:
                return None

    def _opaque(self, expr: ir.Expr) -> Scalar | None:
        """A number that is no monomial (`1 - beta`): named by its text."""
        try:
            value = evaluate(expr, self.numbers)
        except ValueError:
            return None
        if value == 0 or not math.isfinite(value):
            return Scalar(Fraction(0)) if value == 0 else None
        if not any(isinstance(e, ir.ParamRef) for e in ir.walk(expr)):
            return Scalar(Fraction(repr(value)))
        name = f"({text(expr)})"
        self.numbers[name] = abs(value)
        return Scalar(Fraction(1 if value > 0 else -1), ((name, 1),))

    def _known_scalar(self, name: str) -> Scalar | None:
        """A scalar value that is a number whatever the data: the sum of a class target is 1."""
        value = self.circuit.values[name]
        match value.expr:
            case ir.Reduce(function="sum", arguments=(ir.Read(value=target),)) if value.size == 1:
                inner = self.circuit.values[target]
                if inner.kind is ir.Kind.TARGET and inner.size > 1:
                    return Scalar()
            case ir.Num() | ir.ParamRef() if value.kind is ir.Kind.ADJOINT:
                return self.scalar(value.expr)
            case _:
                pass
        return None

    # ------------------------------------------------------------ elementwise factors

    def diagonal(self, expr: ir.Expr) -> tuple[Letter, ...] | None:
        """An expression as elementwise factors, or None if it can only be a signal."""
        match expr:
            case ir.Apply(function="mul", arguments=(a, b)):
                left, right = self.diagonal(a), self.diagonal(b)
                both_signals = isinstance(a, ir.Read) and isinstance(b, ir.Read)
                return None if left is None or right is None or both_signals else (*left, *right)
            case ir.Coef(name=name):
                kind = LetterKind.GAIN if self._positive_init(name) else LetterKind.CONSTANT
                return (Letter(name, kind),)
            case ir.Apply(function=function) if function in GATES:
                return (Letter(self.canonical(expr), LetterKind.GATE),)
            case ir.Flag():
                return (Letter(text(expr), LetterKind.GATE),)
            case ir.Apply() | ir.Read():
                return (Letter(self.canonical(expr), self._sign_kind(expr)),)
            case _:
                return None

    def _sign_kind(self, expr: ir.Expr) -> LetterKind:
        if self._is_slope(expr):
            return LetterKind.POSITIVE
        match expr:
            case ir.Apply(function="where", arguments=(_, a, b)):
                known = [self.scalar(a), self.scalar(b)]
                positive = all(k is not None and k.sign > 0 for k in known)
                return LetterKind.POSITIVE if positive else LetterKind.SIGNED
            case ir.Apply(function="add", arguments=(a, b)) if nonnegative(a, self.circuit):
                number = self.scalar(b)
                positive = number is not None and number.sign > 0
                return LetterKind.POSITIVE if positive else LetterKind.SIGNED
            case ir.Apply(function="exp" | "sigmoid" | "softplus"):
                return LetterKind.POSITIVE
            case _:
                return LetterKind.SIGNED

    def _is_slope(self, expr: ir.Expr) -> bool:
        """1 - f^2 of tanh, s (1 - s) of sigmoid: slopes of increasing functions."""
        match expr:
            case ir.Apply(function="sub", arguments=(ir.Num(value=1.0), inner)):
                squared = _square_of(inner)
                return squared is not None and self._made_by(squared, "tanh")
            case ir.Apply(function="mul", arguments=(ir.Read() as a, ir.Apply(function="sub", arguments=(one, b)))):
                return isinstance(one, ir.Num) and one.value == 1 and a == b and self._made_by(a, "sigmoid")
            case _:
                return False

    def _made_by(self, expr: ir.Expr, function: str) -> bool:
        if not isinstance(expr, ir.Read):
            return isinstance(expr, ir.Apply) and expr.function == function
        made = self.circuit.values[expr.value].expr
        return isinstance(made, ir.Apply) and made.function == function

    def _positive_init(self, name: str) -> bool:
        init = self.circuit.coefficients[name].init
        match init:
            case ir.InitCall(which="constant" | "uniform", arguments=(low, *_)):
                return evaluate(low, self.numbers) > 0
            case ir.InitApply(function="exp" | "abs" | "square"):
                return True
            case ir.Num(value=value):
                return value > 0
            case ir.ParamRef(name=param):
                return self.numbers[param] > 0
            case _:
                return False

    def canonical(self, expr: ir.Expr) -> str:
        """A text that is equal for equal factors, whether written from inside the neuron or in a rule."""
        match expr:
            case ir.Apply(function="step", arguments=(a,)):
                return f"1[{self.canonical(a)} > 0]"
            case ir.Apply(function="gt", arguments=(a, b)):
                return f"1[{self.canonical(a)} > {self.canonical(b)}]"
            case ir.Apply(function="lt", arguments=(a, b)):
                return f"1[{self.canonical(b)} > {self.canonical(a)}]"
            case _:
                squared = _square_of(expr)
                return f"{self.canonical(squared)}²" if squared is not None else text(expr, self.canonical)

    # ------------------------------------------------------------ error populations

    def _error_populations(self) -> dict[str, Signal]:
        """Populations whose rate is a difference of other signals: `err = y - out`."""
        found: dict[str, Signal] = {}
        for population in self.circuit.of_kind(ir.Kind.RATE):
            value = self.circuit.values[population.name]
            if value.expr is None:
                continue
            try:
                combination = self.linear(value.expr)
            except NotLinear:
                continue
            if len(combination.terms) > 1 and all(not t.word for t in combination.terms):
                found[population.name] = combination
        self.cache.clear()
        return found

    def _named(self, found: Signal) -> Signal:
        """The signal with error populations under their names."""
        for name, combination in self.errors.items():
            found = _substitute(found, combination, name)
        return found


def _substitute(found: Signal, combination: Signal, name: str) -> Signal:
    """Writes every word * c * combination in `found` as word * c * name."""
    groups: dict[tuple[Letter, ...], list[Term]] = {}
    for term in found.terms:
        groups.setdefault(term.word, []).append(term)
    kept: list[Term] = []
    for word, terms in groups.items():
        bare = signal(Term(t.coefficient, (), t.atom) for t in terms)
        factor = bare.ratio(combination)
        kept += terms if factor is None else [Term(factor, word, name)]
    return signal(kept)


def _square_of(expr: ir.Expr) -> ir.Expr | None:
    match expr:
        case ir.Apply(function="square", arguments=(a,)):
            return a
        case ir.Apply(function="pow", arguments=(a, ir.Num(value=2.0))):
            return a
        case ir.Apply(function="mul", arguments=(a, b)) if _same(a, b):
            return a
        case _:
            return None


def _same(a: ir.Expr, b: ir.Expr) -> bool:
    return a == b and isinstance(a, ir.Read)


def _one(like: ir.Expr) -> ir.Num:
    return ir.Num(value=1.0, span=like.span)


_INFIX = {"add": "+", "sub": "−", "mul": "·", "div": "/", "pow": "^", "lt": "<", "le": "≤", "gt": ">", "ge": "≥",
          "eq": "=", "ne": "≠"}  # fmt: skip


def text(expr: ir.Expr, inner: object = None) -> str:
    """An expression for the reader, with the names of the circuit."""
    again = inner if callable(inner) else text

    def part(e: ir.Expr) -> str:
        shown = str(again(e))
        compound = isinstance(e, ir.Apply) and e.function in _INFIX
        return f"({shown})" if compound else shown

    match expr:
        case ir.Num(value=value):
            return f"{value:g}"
        case ir.ParamRef(name=name) | ir.Coef(name=name) | ir.SynapseState(name=name) | ir.DriveRead(name=name):
            return name
        case ir.Read(value=name, when=when):
            return f"prev({name})" if when is ir.When.PREV else name
        case ir.Weight():
            return "w"
        case ir.Fan(which=which):
            return f"fan_{which}"
        case ir.Flag(which="train"):
            return "train"
        case ir.Flag(which=which, phase=phase):
            return f"{phase}" if which == "phase" else f"{which}({phase})"
        case ir.Tick():
            return "tick"
        case ir.Random(which=which):
            return f"{which}()"
        case ir.Apply(function="neg", arguments=(a,)):
            return f"−{part(a)}"
        case ir.Apply(function="step", arguments=(a,)):
            return f"1[{again(a)} > 0]"
        case ir.Apply(function="square", arguments=(a,)):
            return f"{part(a)}²"
        case ir.Apply(function=function, arguments=(a, b)) if function in _INFIX:
            return f"{part(a)} {_INFIX[function]} {part(b)}"
        case ir.Apply(function=function, arguments=arguments) | ir.Reduce(function=function, arguments=arguments):
            return f"{function}({', '.join(str(again(a)) for a in arguments)})"
        case ir.Over(function=function, argument=argument):
            return f"{function}({again(argument)})"
        case _:
            return "…"
