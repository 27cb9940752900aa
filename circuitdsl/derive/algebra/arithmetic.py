"""Arithmetic on polynomials of the signals of one unit, with what is known of these signals.

Everything piecewise linear is made of gates and `relu`; tanh and sigmoid have slopes that are letters of their own;
any other function is a signal known by what it is made of. See derive/read/units.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import isfinite

from circuitdsl.derive.algebra.bends import Bent
from circuitdsl.derive.algebra.constants import fraction, negative
from circuitdsl.derive.algebra.letters import PLAIN, Identity, Made, Named, Part, Slope
from circuitdsl.derive.algebra.obstacles import NoSlope, Obstacle
from circuitdsl.derive.algebra.polynomials import (
    SLOPES,
    affine,
    constant,
    gates_of,
    led,
    lone_signal,
    nature_of,
    normalized,
    signals_of,
    signals_of_sum,
    steepest,
    varies,
)
from circuitdsl.derive.algebra.products import Products, key
from circuitdsl.derive.algebra.words import (
    Coefficient,
    Nature,
    Signal,
    Sum,
    diagonal,
    identity,
    scaled,
    total,
    zero,
)
from circuitdsl.frozen import mutable
from circuitdsl.graph.formulas import fold
from circuitdsl.graph.functions import FUNCTIONS, TINY, Primitive
from circuitdsl.graph.intervals import ANY
from circuitdsl.graph.populations import applied, is_gate


class NotLinear(Exception):
    """An equation is no sum of words, because of the `obstacle`."""

    def __init__(self, obstacle: Obstacle) -> None:
        super().__init__(obstacle)
        self.obstacle = obstacle


#: Functions that are formulas, and yet signals of their own; all others are what their formulas are.
WHOLE = frozenset({"sigmoid", "softplus"})
#: What elementwise functions of signals that are signals of their own, and finite at 0, are at 0.
_AT_ZERO = {
    f.name: f.number(0.0)
    for f in FUNCTIONS.values()
    if f.arity == 1 and (isinstance(f.value, Primitive) or f.name in WHOLE) and f.name not in ("neg", "abs")
}
SMOOTH = frozenset(name for name, value in _AT_ZERO.items() if isfinite(value))
#: The same, where it is a number without decimals, or one half.
AT_ZERO = {name: Fraction(_AT_ZERO[name]) for name in SMOOTH if (2 * _AT_ZERO[name]).is_integer()}
#: Powers up to this one are products.
MAX_POWER = 6


@mutable
class Arithmetic(Products):
    """Sums of products of signals, and functions of them.

    `splits`: a smooth function of something bent is written for either side of the bend."""

    splits: bool = True

    def apply(self, function: str, arguments: list[Sum]) -> Sum:
        match function, arguments:
            case function, [a] if a.is_zero and function in AT_ZERO:
                return scaled(identity(a.rows), AT_ZERO[function])
            case function, [a] if function in SMOOTH and (bend := self._first_bend(function, a)) is not None:
                return self._bent(function, a, *bend)
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
                return self._power(a, b)
            case "where", [c, a, b]:
                chosen = self._condition(c)
                return self.mul(chosen, a) + self.mul(identity(a.rows) - chosen, b)
            case "max", [a, b]:
                return a if self._is_guard(b, a) else b + self.relu(a - b)
            case "min", [a, b]:
                return a - self.relu(a - b)
            case "clip", [a, low, high]:
                return self._clip(a, low, high)
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
            case _:
                return self._other(function, arguments)

    def _other(self, function: str, arguments: list[Sum]) -> Sum:
        """A function that the algebra knows nothing of: a signal of its own, or what its formula is."""
        record = FUNCTIONS.get(function)  # there is none of softmax and its like
        if record is None or isinstance(record.value, Primitive) or function in WHOLE:
            return self.function(function, *arguments)
        return self._formula(record.value, record.named(arguments), arguments[0].rows)

    def _formula(self, formula: str, named: Mapping[str, Sum], size: int) -> Sum:
        return fold(formula, named, lambda value: scaled(identity(size), fraction(value)), self.apply)

    def again(self, made: Made) -> Sum | None:
        a = made.argument
        match made.function:
            case "":
                return a
            case "relu":
                return self.relu(a)
            case "inverse":
                return self._inverse(a)
            case "tanh" | "sigmoid" as function if made.part is Part.SLOPE:
                found = self._odd(function, a)
                return (identity(a.rows) if function == "tanh" else found) - self.mul(found, found)
            case function if function in SMOOTH and made.part is Part.VALUE:
                return self.apply(function, [a])
            case _:
                return None

    def _first_bend(self, function: str, a: Sum) -> tuple[Signal, Sum] | None:
        """A relu(z - t) in a function of z alone, and z - t; None where nothing bends it, or it is a rate."""
        if not self.splits or self.plain or {Made(function, x) for x in (a, -a)} & self.aliases.keys():
            return None
        parts = {s: self._bend(s) for s in signals_of_sum(a) if s.nature is not Nature.GATE}
        bends = [s for s, (_, at) in parts.items() if at is not None]
        if not bends or len({z for z, _ in parts.values()}) != 1:
            return None
        first = min(bends, key=lambda s: s.name)
        z, at = parts[first]
        assert at is not None
        return first, diagonal(z) - scaled(identity(a.rows), at)

    def _bent(self, function: str, a: Sum, bend: Signal, above: Sum) -> Sum:
        """f(.. relu(q) ..) by f(.. q ..) where q > 0, and f(.. 0 ..) elsewhere."""
        none = zero(a.rows, a.rows)
        opened, closed = (self.apply(function, [self._where(a, bend, by)]) for by in (above, none))
        return closed + self.mul(self.positive(above), opened - closed)

    def _where(self, a: Sum, signal: Signal, by: Sum) -> Sum:
        return self.reduced(self.substituted(a, lambda s: by if s == signal else None))

    def _power(self, a: Sum, b: Sum) -> Sum:
        exponent = constant(b)
        if exponent is not None and not exponent.params and exponent.number in range(MAX_POWER + 1):
            result = identity(a.rows)
            for _ in range(int(exponent.number)):
                result = self.mul(result, a)
            return result
        return self.function("pow", a, b)

    def _is_guard(self, floor: Sum, a: Sum) -> bool:
        """Whether max(a, floor) only keeps a quotient of positive numbers finite (twin/slopes.py)."""
        number = constant(floor)
        small = number is not None and not number.params and number.number == Fraction(repr(TINY))
        return small and self.known.nature_of(a) is Nature.POSITIVE

    def _inverse(self, b: Sum) -> Sum:
        number = constant(b)
        if number is not None and number.number:
            return scaled(identity(b.rows), number.inverse())
        exponent = None if self.plain else self.written_out(b)
        if exponent is not None:  # 1 / (1 + exp(-z))
            return scaled(self._odd("sigmoid", -exponent), steepest(b).inverse())
        nature = Nature.POSITIVE if self.known.nature_of(b) is Nature.POSITIVE else Nature.ANY
        made = Made("inverse", b)
        return diagonal(self.signal(made, b.rows, nature, random=varies(b), made=made))

    def function(self, function: str, a: Sum, *others: Sum) -> Sum:
        """A function that is a signal of its own, under the name of a rate that is just this."""
        made = Made(function, a, others)
        nature = nature_of(applied(function, list(map(self.known.range_of, (a, *others)))))
        nature = Nature.GATE if is_gate(function) else nature
        random = any(map(varies, (a, *others)))
        return diagonal(self.signal(self.known_as(made), a.rows, nature, random=random, made=made))

    def _odd(self, function: str, a: Sum) -> Sum:
        """tanh(-z) = -tanh(z), sigmoid(-z) = 1 - sigmoid(z); remembers the slope."""
        if a.terms and a.terms[0].coefficient.number < 0:
            flipped = self._odd(function, -a)
            return -flipped if function == "tanh" else identity(a.rows) - flipped
        if function == "tanh" and not self.plain and self._is_carrier(a):
            return self._with_sign("tanh", a)
        found = self.function(function, a)
        signal = lone_signal(found)
        assert signal is not None
        made = Made(function, a, part=Part.SLOPE)
        slope = self.signal(Slope(signal.of), a.rows, Nature.POSITIVE, random=signal.random, made=made)
        self.slopes[key(signal)] = (function, slope)
        self.known.ranges[slope.of] = SLOPES[function]
        self.known.ranges[signal.of] = applied(function, [ANY])
        return found

    def _clip(self, a: Sum, low: Sum, high: Sum) -> Sum:
        """Piecewise linear; of a credit, within bounds around 0, the credit times a positive number."""
        if self.plain:
            return self.function("clip", a, low, high)
        ends = constant(low), constant(high)
        around = all(e is not None for e in ends) and ends[0].number < 0 < ends[1].number  # type: ignore[union-attr]
        if around and self._is_carrier(a):
            return self._with_sign("clip", a, low, high)
        above = low + self.relu(a - low)
        return above - self.relu(above - high)

    def _is_carrier(self, a: Sum) -> bool:
        """Whether it is a multiple of what the error brings to a dendrite."""
        linear = affine(a)
        return linear is not None and not linear[2].number and linear[1].of in self.carriers

    def _with_sign(self, function: str, a: Sum, *others: Sum) -> Sum:
        """A function that keeps the sign of its argument, as a positive number times the argument."""
        made = Made(function, a, others, Part.RATIO)
        random = any(map(varies, (a, *others)))
        return self.mul(diagonal(self.signal(made, a.rows, Nature.POSITIVE, random=random, made=made)), a)

    # ------------------------------------------------------------ derivatives

    def derivative(self, a: Sum, name: str) -> Sum:
        """The derivative with respect to a value of the circuit, all others held fixed but functions of it; gates are
        flat. Raises NotLinear where a function's derivative is not known."""
        parts: list[Sum] = []
        for term in a.terms:
            found = signals_of(term)
            for i, signal in enumerate(found):
                slope = self._slope(signal, name)
                if not slope.is_zero:
                    parts.append(self.replaced(term, [*found[:i], *found[i + 1 :]], slope))
        return self.reduced(total(a.rows, a.cols, parts))

    def _slope(self, signal: Signal, name: str) -> Sum:
        none = zero(signal.size, signal.size)
        if signal.of == Named(name):
            return identity(signal.size)
        made = self.made.get(key(signal))
        if signal.nature is Nature.GATE or made is None:
            return none
        within = self.derivative(made.argument, name)
        return none if within.is_zero else self.mul(self._outer_slope(signal, made), within)

    def _outer_slope(self, signal: Signal, made: Made) -> Sum:
        """The derivative of a function with respect to its argument."""
        if key(signal) in self.slopes:
            return diagonal(self.slopes[key(signal)][1])
        record = FUNCTIONS.get(made.function)
        if record is None or record.arity > 1 or made.part is not Part.VALUE:
            raise NotLinear(NoSlope(signal.of))
        return self._formula(record.slopes[0], {**record.named([made.argument]), "out": diagonal(signal)}, signal.size)

    # ------------------------------------------------------------ gates

    def positive(self, p: Sum) -> Sum:
        """1[p > 0] of a polynomial, with as few letters as possible."""
        size = p.rows
        number = constant(p)
        if number is not None:
            return identity(size) if number.number > 0 else zero(size, size)
        linear = affine(p)
        if linear is not None:
            return self._threshold(p, *linear)
        bent = self._of_bent(p)
        if bent is not None:
            return bent
        if steepest(p).number < 0 and self._is_smooth(p):
            self._keeps_off(p)
            return identity(size) - self.positive(-p)
        flipped = self._flipped(p)
        if flipped is not None:
            return self.positive(flipped)
        return self._gate(Made("step", led(p)[1]))

    def _of_bent(self, p: Sum) -> Sum | None:
        """1[p > 0] of a piecewise linear function of one signal z: `1[z > 0] − 1[z > 1]` for a hat over [0, 1]."""
        if any(t.scalars or len(signals_of(t)) > 1 for t in p.terms):
            return None
        value = self.constants.value
        levels = [value(t.coefficient) for t in p.terms if not t.word]
        parts = [(*self._bend(s), value(t.coefficient)) for t in p.terms for s in signals_of(t)]
        over = {z for z, _, _ in parts}
        places = {value(at): at for _, at, _ in parts if at is not None}
        if len(over) != 1 or not places:
            return None
        (z,) = over
        slopes = [by for _, at, by in parts if at is None]
        bends = [(value(at), by) for _, at, by in parts if at is not None]
        opened, changes = Bent(level=sum(levels), slope=sum(slopes), bends=bends).changes()
        if opened or len(changes) > 1:  # at the place itself, where it closes, it is 0
            if z.of not in self.smooth:
                return None
            self._keeps_off(p)
        result = scaled(identity(p.rows), int(opened))
        for i, place in enumerate(changes):
            at = places.get(place) or Coefficient(fraction(place))
            gate = self.positive(diagonal(z) - scaled(identity(p.rows), at))
            result = result - gate if opened == (i % 2 == 0) else result + gate
        return result

    def _bend(self, signal: Signal) -> tuple[Signal, Coefficient | None]:
        """(z, t) of relu(z - t); of any other signal itself, and None."""
        made = self.made.get(key(signal))
        linear = affine(made.argument) if made is not None and made.function == "relu" else None
        if linear is None or linear[0] != PLAIN:
            return signal, None
        (inner, bend), at = self._bend(linear[1]), negative(linear[2])
        if bend is None:
            return inner, at
        if self.constants.value(at) < 0:
            return signal, None
        return inner, self.constants.total([bend, at]) if bend.number else at  # relu(relu(q) - t) = relu(q - t)

    def _flipped(self, p: Sum) -> Sum | None:
        """-q, where p is a multiple of relu(q) - q, which is relu(-q)."""
        for term in p.terms:
            found = signals_of(term)
            made = self.made.get(key(found[0])) if len(found) == 1 and not term.scalars else None
            if made is None or made.function != "relu" or term.coefficient.number < 0:
                continue
            if p - Sum(p.rows, p.cols, (term,)) == scaled(made.argument, negative(term.coefficient)):
                return -made.argument
        return None

    def _is_smooth(self, p: Sum) -> bool:
        return all(s.of in self.smooth for s in signals_of_sum(p)) and not any(t.scalars for t in p.terms)

    def _gate(self, made: Made) -> Sum:
        of = made.argument
        return diagonal(self.signal(made, of.rows, Nature.GATE, random=varies(of), made=made))

    def _threshold(self, p: Sum, c: Coefficient, z: Signal, k: Coefficient) -> Sum:
        """1[p > 0] of p = c z + k."""
        size = p.rows
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
        if z.of in self.known.ranges and self.known.nature_of(p) is Nature.POSITIVE:
            return identity(size)
        made = self.made.get(key(z))
        if made is not None and made.function == "relu" and (value >= 0 if rising else value > 0):
            above = made.argument - scaled(identity(size), at)  # relu(q) > t is q > t, for t >= 0
            return self.positive(above if rising else -above)
        whole = c == PLAIN and z not in self.bases
        above = p if whole else diagonal(self.bases.get(z, z)) - scaled(identity(size), at)
        if not rising and z.of not in self.smooth:
            return self._gate(Made("step", -above))
        gate = self._gate(Made("step", above))
        if not rising:
            self._keeps_off(p)
        return gate if rising else identity(size) - gate

    def _keeps_off(self, p: Sum) -> None:
        """Remembers that gates of either side of p = 0 have been taken as the same."""
        q = led(p if steepest(p).number > 0 else -p)[1]
        self.kinks.add(Made("", q))

    def relu(self, p: Sum) -> Sum:
        """max(p, 0)."""
        number, linear = constant(p), affine(p)
        if number is not None:
            return p if number.number > 0 else zero(p.rows, p.cols)
        if linear is not None and linear[1].nature is Nature.GATE:
            return self._of_gate(*linear)
        above = None if linear is None else self._above_bend(*linear)
        if above is not None:
            return above
        if steepest(p).number < 0:
            return self.relu(-p) + p
        if linear is not None and not linear[2].number:
            c, z, _ = linear
            return scaled(diagonal(self._relu_of(z)), c)
        opened = None if linear is not None or self.plain else self._of_bent(p)
        if opened is not None and len(opened.terms) == 1:  # it bends, but opens once
            return self.mul(opened, p)
        scale, plain = led(p)
        made = Made("relu", plain)
        opens = self.positive(plain).terms
        gates = gates_of(opens[0]) if len(opens) == 1 else frozenset()  # not of `1 − gate`
        signal = self.signal(self.known_as(made), p.rows, Nature.NONNEGATIVE, random=varies(p), gates=gates, made=made)
        return scaled(diagonal(signal), scale)

    def _above_bend(self, c: Coefficient, z: Signal, k: Coefficient) -> Sum | None:
        """max(c z + k, 0) of z = relu(q), where q + k/c > 0 only if q > 0."""
        made = self.made.get(key(z))
        if made is None or made.function != "relu" or c.number < 0 or not k.number or self.constants.value(k) > 0:
            return None
        return scaled(self.relu(made.argument + scaled(identity(z.size), k * c.inverse())), c)

    def _of_gate(self, c: Coefficient, gate: Signal, k: Coefficient) -> Sum:
        """max(c g + k, 0) of a gate g: its values for 0 and 1."""
        one, total = identity(gate.size), self.constants.total
        closed, opened = (v if self.constants.value(v) > 0 else None for v in (k, total([c, k]) if k.number else c))
        found = zero(gate.size, gate.size)
        if opened is not None:
            found = found + scaled(diagonal(gate), opened)
        return found if closed is None else found + scaled(one - diagonal(gate), closed)

    def _relu_of(self, z: Signal) -> Signal:
        if z.nature is not Nature.ANY:
            return z
        made, gates = Made("relu", diagonal(z)), frozenset[Identity]({self.above_zero(z)})
        found = self.signal(self.known_as(made), z.size, Nature.NONNEGATIVE, random=z.random, gates=gates, made=made)
        self.bases.setdefault(found, z)
        return self.rectified.setdefault(key(z), found)

    def _condition(self, c: Sum) -> Sum:
        """The condition of `where` as 0 or 1."""
        return c if self._is_flag(c) else self._comparison("ne", c)

    def _is_flag(self, c: Sum) -> bool:
        """Whether it is 0 or 1, made of gates."""
        gates = all(s.nature is Nature.GATE for t in c.terms for s in signals_of(t))
        return gates and not any(t.scalars for t in c.terms) and self.mul(c, c) == c

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
                    differs = one if number.number else zero(p.rows, p.rows)
                elif self._is_flag(p):
                    differs = p
                else:
                    p = -p if p.terms[0].coefficient.number < 0 else p
                    differs = self._gate(Made("ne", normalized(p)[1]))
                return differs if function == "ne" else one - differs
