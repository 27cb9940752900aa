"""Elementwise equations in normal form: polynomials of the signals of one unit.

`1 - post^2`, `(1 - post) * (1 + post)` and the derivative of tanh are the same factor, however they are written; so are
`where(z > 0, 1, 0.2)`, `0.2 + 0.8 * step(z)` and the derivative of `max(z, 0.2 * z)`. An equation becomes a sum of
products of signals, a diagonal matrix of the term algebra, with these replacements:

- Everything piecewise linear is made of gates and `relu`: max(a, b) = b + relu(a - b), relu(-z) = relu(z) - z,
  `1[z > 0] z` = relu(z). At a kink itself, a single point, gates of either side count as the same.
- The square of tanh is 1 - tanh', that of sigmoid is sigmoid - sigmoid': slopes are letters of their own, and positive.
- Any other function is a signal, known by its text; where a rate is just that, by the name of its population.
- A target is written as its error population plus what that subtracts: `y` is `err + out` beside `err = y - out`.

What is read of a population is opened up (`d = basal * step(a.basal)`) as far as credits need it; see `Units.read`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction

from circuitdsl.derive.algebra import (
    UNIT,
    Coefficient,
    Diagonal,
    Nature,
    Scalar,
    Signal,
    Sum,
    Term,
    column,
    diagonal,
    identity,
    letter_sum,
    make_sum,
    ones,
    scaled,
    times,
    transpose,
    zero,
)
from circuitdsl.derive.constants import Constants, magnitude, negative, sign
from circuitdsl.derive.notation import coefficient_text
from circuitdsl.derive.polynomials import (
    Known,
    affine,
    constant,
    gates_of,
    is_linear,
    lone_signal,
    normalized,
    signals_of,
    signals_of_sum,
    surely_positive,
    varies,
    written,
)
from circuitdsl.graph import ir
from circuitdsl.graph.checks import nonnegative

#: A value whose equation has more terms is not opened up.
MAX_TERMS = 12

COMPARISONS = frozenset({"lt", "le", "gt", "ge", "eq", "ne"})
#: What is known of the results of functions that are signals of their own.
NATURES = {
    "sigmoid": Nature.POSITIVE, "softplus": Nature.POSITIVE, "exp": Nature.POSITIVE, "softmax": Nature.POSITIVE,
    "relu": Nature.NONNEGATIVE, "sqrt": Nature.NONNEGATIVE, "onehot_max": Nature.GATE, "step": Nature.GATE,
}  # fmt: skip


class NotLinear(Exception):
    """An equation is no sum of words; the text says what stands in the way."""


@dataclass(slots=True)
class Units:
    """The elementwise equations of one circuit.

    `error`: the values that the error reaches. `one_tick`: an example is one tick, so that states are constants and
    `prev` is 0."""

    circuit: ir.Circuit
    constants: Constants
    error: frozenset[str]
    one_tick: bool
    aliases: dict[str, str] = field(default_factory=dict)  # "relu(h.basal)" -> "h"
    signals: dict[str, Signal] = field(default_factory=dict)
    slopes: dict[str, tuple[str, Signal]] = field(default_factory=dict)  # of tanh and sigmoid, by their signals' names
    rectified: dict[str, Signal] = field(default_factory=dict)  # relu(z), by the name of z
    targets: dict[str, Sum] = field(default_factory=dict)  # y -> err + out
    errors: dict[str, str] = field(default_factory=dict)  # err -> y
    opened: dict[str, Sum] = field(default_factory=dict)
    working: list[str] = field(default_factory=list)
    known: Known = field(init=False)

    def __post_init__(self) -> None:
        """Names functions by the rates that are just these, then errors, then forgets what was read before."""
        self.known = Known(self.constants, {})
        for _ in range(2):
            self._forget()
            for name in self.circuit.order:
                self._name_function(self.circuit.values[name])
        for name in self.circuit.order:
            self._name_error(self.circuit.values[name])
        self._forget()

    def _forget(self) -> None:
        for memory in (self.opened, self.signals, self.slopes, self.rectified):
            memory.clear()

    def _name_function(self, value: ir.Value) -> None:
        """A rate that is one function of one argument gives its name to it."""
        if value.kind not in (ir.Kind.RATE, ir.Kind.LET) or value.expr is None:
            return
        try:
            found = self.of(value.expr, value.size)
        except NotLinear:
            return
        only = lone_signal(found)
        if only is not None and only.name not in self.circuit.values and only.name not in self.aliases.values():
            self.aliases.setdefault(only.name, value.name)
            self.opened.pop(value.name, None)

    def _name_error(self, value: ir.Value) -> None:
        """`err = c y - ...` gives y = (err + ...) / c, so that errors are signals of their own."""
        if value.kind is not ir.Kind.RATE or value.expr is None:
            return
        read = {r.value for r in ir.reads(value.expr)}
        for target in self.circuit.of_kind(ir.Kind.TARGET):
            if target.name not in read or target.name in self.targets or target.size != value.size:
                continue
            try:
                found = self.of(value.expr, value.size)
            except NotLinear:
                continue
            holding = [t for t in found.terms if target.name in {s.name for s in signals_of(t)}]
            if len(holding) == 1 and len(signals_of(holding[0])) == 1 and not holding[0].scalars:
                rest = found - Sum(found.rows, found.cols, (holding[0],))
                self.errors[value.name] = target.name
                error = diagonal(self.signal(value.name, value.size))
                self.targets[target.name] = scaled(error - rest, holding[0].coefficient.inverse())
                self.opened.clear()

    # ------------------------------------------------------------ equations

    def of(self, expr: ir.Expr, size: int) -> Sum:
        """An equation of units as a diagonal matrix [size, size]. Raises NotLinear."""
        number = self.constants.of(expr)
        if number is not None:
            return scaled(identity(size), number)
        match expr:
            case ir.Read():
                return self.read(expr, size)
            case ir.Coef(name=name):
                nature = Nature.POSITIVE if self._positive_init(self.circuit.coefficients[name].init) else Nature.ANY
                return diagonal(self.signal(name, size, nature, random=False))
            case ir.Apply():
                return self._apply(expr, size)
            case ir.Over(function=function, argument=argument):
                inner = self.of(argument, size)
                k = "" if expr.k is None else f", {self._number_text(expr.k)}"
                return self._function(function, inner, f"{function}({written(inner)}{k})")
            case ir.Tick():
                if self.one_tick:
                    return zero(size, size)
                return scaled(identity(size), by=letter_sum(Scalar(name="tick")))
            case ir.Flag():
                return scaled(identity(size), by=letter_sum(Scalar(name=flag_name(expr))))
            case ir.Reduce():
                raise NotLinear(f"`{expr.function}` sums over units")
            case ir.Random():
                raise NotLinear("it draws noise")
            case _:
                raise NotLinear("it reads the synapse itself")

    def _number_text(self, expr: ir.Expr) -> str:
        number = self.constants.of(expr)
        return "k" if number is None else coefficient_text(number)

    def _apply(self, expr: ir.Apply, size: int) -> Sum:
        arguments = [self.of(a, size) for a in expr.arguments]
        match expr.function, arguments:
            case "neg", [a]:
                return -a
            case "add", [a, b]:
                return a + b
            case "sub", [a, b]:
                return a - b
            case "mul", [a, b]:
                return self.mul(a, b)
            case "square", [a]:
                return self.mul(a, a)
            case "div", [a, b]:
                return self.mul(a, self._inverse(b))
            case "pow", [a, b]:
                return self._power(a, b, expr)
            case "where", [c, a, b]:
                chosen = self._condition(c)
                return self.mul(chosen, a) + self.mul(identity(size) - chosen, b)
            case "max", [a, b]:
                return b + self.relu(a - b)
            case "min", [a, b]:
                return a - self.relu(a - b)
            case "clip", [a, low, high]:
                above = low + self.relu(a - low)
                return above - self.relu(above - high)
            case ("gt" | "lt" | "ge" | "le" | "eq" | "ne") as function, [a, b]:
                return self._comparison(function, a - b)
            case "step", [a]:
                return self.positive(a)
            case "sign", [a]:
                return self.positive(a) - self.positive(-a)
            case "abs", [a]:
                return scaled(self.relu(a), 2) - a
            case "relu", [a]:
                return self.relu(a)
            case "tanh" | "sigmoid" as function, [a]:
                return self._odd(function, a)
            case function, [a]:
                return self._function(function, a, f"{function}({written(a)})")
            case _:
                raise AssertionError(expr.function)

    def _power(self, a: Sum, b: Sum, expr: ir.Apply) -> Sum:
        exponent = constant(b)
        if exponent is not None and not exponent.params and exponent.number in range(7):
            result = identity(a.rows)
            for _ in range(int(exponent.number)):
                result = self.mul(result, a)
            return result
        return self._function("pow", a, f"({written(a)})^({written(b)})")

    def _inverse(self, b: Sum) -> Sum:
        number = constant(b)
        if number is not None and number.number:
            return scaled(identity(b.rows), number.inverse())
        nature = Nature.POSITIVE if self.known.nature_of(b) is Nature.POSITIVE else Nature.ANY
        return diagonal(self.signal(f"1/({written(b)})", b.rows, nature, random=varies(b)))

    def _function(self, function: str, a: Sum, name: str) -> Sum:
        """A function that is a signal of its own, under the name of a rate that is just this."""
        name = self.aliases.get(name, name)
        nature = NATURES.get(function, Nature.ANY)
        return diagonal(self.signal(name, a.rows, nature, random=varies(a)))

    def _odd(self, function: str, a: Sum) -> Sum:
        """tanh(-z) = -tanh(z), sigmoid(-z) = 1 - sigmoid(z); remembers the slope."""
        if a.terms and a.terms[0].coefficient.number < 0:
            flipped = self._odd(function, -a)
            return -flipped if function == "tanh" else identity(a.rows) - flipped
        found = self._function(function, a, f"{function}({written(a)})")
        signal = lone_signal(found)
        assert signal is not None
        slope = self.signal(f"{signal.name}′", a.rows, Nature.POSITIVE, random=signal.random)
        self.slopes[signal.name] = (function, slope)
        self.known.ranges[slope.name] = (0.0, 1.0)
        self.known.ranges[signal.name] = (0.0, 1.0) if function == "sigmoid" else (-1.0, 1.0)
        return found

    # ------------------------------------------------------------ products, with what is known of signals

    def mul(self, a: Sum, b: Sum) -> Sum:
        return self._reduced(times(a, b))

    def _reduced(self, a: Sum) -> Sum:
        """Rewrites gates times their signals and squares of tanh and sigmoid, until nothing changes."""
        result = zero(a.rows, a.cols)
        changed = False
        for term in a.terms:
            new = self._reduced_term(term, a.rows)
            changed = changed or new is not None
            result = result + (Sum(a.rows, a.cols, (term,)) if new is None else new)
        return self._reduced(result) if changed else result

    def _reduced_term(self, term: Term, size: int) -> Sum | None:
        found = signals_of(term)
        known = {s.name for s in found}.union(*(s.gates for s in found))
        for signal in found:
            rest = list(found)
            rest.remove(signal)
            if signal.nature is Nature.ANY and f"1[{signal.name} > 0]" in known:
                return self._rest(term, rest, diagonal(self._relu_of(signal)))
            if signal in rest and signal.name in self.slopes:
                rest.remove(signal)
                function, slope = self.slopes[signal.name]
                first = identity(size) if function == "tanh" else diagonal(signal)
                return self._rest(term, rest, first - diagonal(slope))
        return None

    def _rest(self, term: Term, rest: list[Signal], new: Sum) -> Sum:
        """The term with some of its signals replaced by a sum."""
        word = tuple(Diagonal(s) for s in rest)
        return times(make_sum(new.rows, new.cols, [(term.coefficient, term.scalars, word)]), new)

    # ------------------------------------------------------------ gates

    def positive(self, p: Sum) -> Sum:
        """1[p > 0] of a polynomial, with as few letters as possible."""
        size = p.rows
        number = constant(p)
        if number is not None:
            return identity(size) if number.number > 0 else zero(size, size)
        linear = affine(p)
        if linear is not None:
            return self._threshold(*linear, size)
        if p.terms[0].coefficient.number < 0:
            return identity(size) - self.positive(-p)
        return self._gate(f"1[{written(normalized(p)[1])} > 0]", size, varies(p))

    def _gate(self, name: str, size: int, random: bool) -> Sum:
        return diagonal(self.signal(name, size, Nature.GATE, random=random))

    def _threshold(self, c: Coefficient, z: Signal, k: Coefficient, size: int) -> Sum:
        """1[c z + k > 0]."""
        at = negative(k) * c.inverse()
        value, rising = self.constants.value(at), c.number > 0
        if z.nature is Nature.GATE:
            low, high = (self.constants.value(k) + self.constants.value(c) * bit > 0 for bit in (0, 1))
            return scaled(identity(size), int(low)) + scaled(diagonal(z), int(high) - int(low))
        if value < 0 and z.nature is not Nature.ANY:
            return identity(size) if rising else zero(size, size)
        if value == 0 and z.nature is Nature.POSITIVE:
            return identity(size) if rising else zero(size, size)
        if value == 0 and z.nature is Nature.NONNEGATIVE and not rising:
            return zero(size, size)
        base = next((name for name, r in self.rectified.items() if r == z), z.name)
        gate = self._gate(f"1[{base} > {coefficient_text(at)}]", size, z.random)
        return gate if rising else identity(size) - gate

    def relu(self, p: Sum) -> Sum:
        """max(p, 0)."""
        number, linear = constant(p), affine(p)
        if number is not None:
            return p if number.number > 0 else zero(p.rows, p.cols)
        if p.terms[0].coefficient.number < 0:
            return self.relu(-p) + p
        if linear is not None and not linear[2].number:
            c, z, _ = linear
            return scaled(diagonal(self._relu_of(z)), c)
        scale, plain = normalized(p)
        name = f"relu({written(plain)})"
        gates = frozenset(s.name for s in signals_of_sum(self.positive(plain)))
        signal = self.signal(self.aliases.get(name, name), p.rows, Nature.NONNEGATIVE, random=varies(p), gates=gates)
        return scaled(diagonal(signal), scale)

    def _relu_of(self, z: Signal) -> Signal:
        if z.nature is not Nature.ANY:
            return z
        name = f"relu({z.name})"
        gates = frozenset({f"1[{z.name} > 0]"})
        found = self.signal(
            self.aliases.get(name, name), z.size, Nature.NONNEGATIVE, random=z.random, gates=gates
        )
        return self.rectified.setdefault(z.name, found)

    def _condition(self, c: Sum) -> Sum:
        """The condition of `where` as 0 or 1."""
        terms = [s for t in c.terms for s in signals_of(t)]
        flags = all(s.nature is Nature.GATE for s in terms) and not any(t.scalars for t in c.terms)
        if flags and self.mul(c, c) == c:
            return c
        return identity(c.rows) - self._comparison("eq", c)

    def _comparison(self, function: str, p: Sum) -> Sum:
        """A comparison of p with 0."""
        one = identity(p.rows)
        match function:
            case "gt":
                return self.positive(p)
            case "lt":
                return self.positive(-p)
            case "ge":
                return one - self.positive(-p)
            case "le":
                return one - self.positive(p)
            case _:
                number = constant(p)
                if number is not None:
                    equal = zero(p.rows, p.rows) if number.number else one
                else:
                    if p.terms[0].coefficient.number < 0:
                        p = -p
                    equal = self._gate(f"1[{written(normalized(p)[1])} = 0]", p.rows, varies(p))
                return equal if function == "eq" else one - equal

    # ------------------------------------------------------------ reading values

    def signal(
        self, name: str, size: int, nature: Nature = Nature.ANY, *, random: bool = True,
        gates: frozenset[str] = frozenset(),
    ) -> Signal:  # fmt: skip
        """The one signal of that name; what is known of it is what was known when it was first met."""
        made = Signal(name=name, size=size, nature=nature, random=random, gates=gates)
        return self.signals.setdefault(name, made)

    def read(self, read: ir.Read, size: int) -> Sum:
        """A value as its readers see it: opened up, or as a signal. Raises NotLinear.

        Opened are credits (whatever the error reaches), linear rates, and dendrites that only repeat another signal."""
        value = self.circuit.values[read.value]
        if read.when is ir.When.NEXT:
            raise NotLinear("the gradient runs through several ticks")
        if read.when is ir.When.PREV:
            if self.one_tick:
                return zero(size, size)
            found = diagonal(self.signal(f"prev({value.name})", value.size))
        elif value.population is None:
            return scaled(identity(size), by=self.number(value))
        else:
            found = self._open(value)
        if value.size == size:
            return found
        unit = column(ones(1))
        return scaled(identity(size), by=times(times(transpose(unit), found), unit))

    def _open(self, value: ir.Value) -> Sum:
        if value.name not in self.opened:
            if value.name in self.working:
                raise NotLinear(f"`{value.name}` depends on itself over ticks")
            self.working.append(value.name)
            try:
                self.opened[value.name] = self._value(value)
            finally:
                self.working.pop()
        return self.opened[value.name]

    def _value(self, value: ir.Value) -> Sum:
        named = diagonal(self.signal(value.name, value.size))
        match value.kind:
            case ir.Kind.BIAS:
                return identity(value.size)
            case ir.Kind.TARGET:
                return self.targets.get(value.name, named)
            case ir.Kind.STATE:
                return self._state(value)
            case ir.Kind.DENDRITE:
                return self._dendrite(value)
            case ir.Kind.ADJOINT:
                whole = value.expr is not None and not value.currents and not is_dendrite_adjoint(value, self.circuit)
                return self.of(value.expr, value.size) if whole and value.expr is not None else named
            case ir.Kind.RATE | ir.Kind.LET if value.name not in self.errors and value.expr is not None:
                return self._rate(value, value.expr)
            case _:
                return named

    def _rate(self, value: ir.Value, expr: ir.Expr) -> Sum:
        """The polynomial of a rate that is opened, else its signal, with what its polynomial tells of it."""
        try:
            found = self.of(expr, value.size)
        except NotLinear:
            return diagonal(self.signal(value.name, value.size))
        if len(found.terms) <= MAX_TERMS and (
            lone_signal(found) is not None or value.name in self.error or is_linear(found)
        ):
            return found
        nature = Nature.NONNEGATIVE if nonnegative(expr, self.circuit) else Nature.ANY
        each = [gates_of(t) for t in found.terms]
        gates = frozenset.intersection(*each) if each else frozenset()
        return diagonal(self.signal(value.name, value.size, nature, gates=gates))

    def _state(self, value: ir.Value) -> Sum:
        """In a single tick a state is still what it starts from."""
        if not self.one_tick or value.lifetime is ir.Lifetime.KEEP:
            return diagonal(self.signal(value.name, value.size, random=not self.one_tick))
        match value.init:
            case ir.Num() | ir.ParamRef() as start:
                number = self.constants.of(start)
                assert number is not None
                return scaled(identity(value.size), number)
            case ir.InitCall(which="zeros"):
                return zero(value.size, value.size)
            case _:
                return diagonal(self.signal(value.name, value.size, random=False))

    def _dendrite(self, value: ir.Value) -> Sum:
        """What only repeats other signals, one to one and unchanging, is these; else a signal."""
        total = zero(value.size, value.size) if value.expr is None else self.of(value.expr, value.size)
        for current in value.currents:
            factor = self.repeats(current)
            if factor is None:
                return diagonal(self.signal(value.name, value.size))
            total = total + scaled(self.read(current.source, value.size), factor)
        return total

    def repeats(self, current: ir.Current) -> Coefficient | None:
        """The factor by which a fixed, one-to-one synapse hands on its signal; None for any other synapse."""
        synapse = self.circuit.synapses[current.synapse]
        if synapse.dw is not None or synapse.pre_size != synapse.post_size or synapse.bounds is not None:
            return None
        if any(c.which not in ("dense", "one_to_one") for c in synapse.connect):
            return None
        factor = self._identity_factor(synapse.init)
        held = synapse.sign is ir.Sign.FREE or (
            factor is not None and sign(factor) == (1 if synapse.sign is ir.Sign.EXCITATORY else -1)
        )
        return factor if held else None

    def _identity_factor(self, init: ir.Init) -> Coefficient | None:
        match init:
            case ir.InitCall(which="identity"):
                return Coefficient()
            case ir.InitApply(function="mul", arguments=(ir.Num() | ir.ParamRef() as number, other)):
                scale, inner = self.constants.of(number), self._identity_factor(other)
                return scale * inner if scale is not None and inner is not None else None
            case ir.InitApply(function="mul", arguments=(other, ir.Num() | ir.ParamRef() as number)):
                flipped = ir.InitApply(span=init.span, function="mul", arguments=(number, other))
                return self._identity_factor(flipped)
            case ir.InitApply(function="neg", arguments=(other,)):
                inner = self._identity_factor(other)
                return None if inner is None else negative(inner)
            case _:
                return None

    # ------------------------------------------------------------ single numbers

    def number(self, value: ir.Value) -> Sum:
        """A modulator, the loss, or a scalar of the gradient, as a matrix UNIT x UNIT."""
        match value.expr:
            case ir.Reduce(function="sum", arguments=(ir.Read(value=summed),)):
                whole = self.circuit.values[summed]
                if whole.kind is ir.Kind.TARGET and whole.size > 1:  # class targets are one-hot
                    return identity(UNIT)
            case ir.Num() | ir.ParamRef() as expr:
                known = self.constants.of(expr)
                assert known is not None
                return scaled(identity(UNIT), known)
            case _:
                pass
        positive = value.expr is not None and surely_positive(value.expr, self.circuit)
        return letter_sum(Scalar(name=value.name, positive=positive))

    def _positive_init(self, init: ir.Init) -> bool:
        """Whether every number that is drawn is above 0."""
        match init:
            case ir.Num() | ir.ParamRef():
                number = self.constants.of(init)
                return number is not None and number.number > 0
            case ir.InitCall(which="constant" | "uniform", arguments=(low, *_)):
                number = self.constants.of(low)
                return number is not None and number.number > 0
            case ir.InitApply(function="exp" | "softplus" | "sigmoid"):
                return True
            case ir.InitApply(function="add" | "mul" | "div", arguments=arguments):
                return all(map(self._positive_init, arguments))
            case _:
                return False
