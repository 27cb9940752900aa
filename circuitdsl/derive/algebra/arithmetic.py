"""Arithmetic on polynomials of the signals of one unit, with what is known of these signals.

Everything piecewise linear is made of gates and `relu`; tanh and sigmoid have slopes that are letters of their own;
any other function is a signal known by its text. See derive/read/units.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from circuitdsl.derive.algebra.bends import Bent
from circuitdsl.derive.algebra.constants import Constants, fraction, negative
from circuitdsl.derive.algebra.notation import coefficient_text
from circuitdsl.derive.algebra.polynomials import (
    SLOPES,
    Known,
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
    written,
)
from circuitdsl.derive.algebra.words import (
    Coefficient,
    Diagonal,
    Nature,
    Signal,
    Sum,
    Term,
    diagonal,
    identity,
    make_sum,
    scaled,
    times,
    zero,
)
from circuitdsl.graph.intervals import ANY, GATES, applied
from circuitdsl.twin.slopes import TINY


class NotLinear(Exception):
    """An equation is no sum of words; the text says what stands in the way."""


#: Powers up to this one are products.
MAX_POWER = 6


@dataclass(frozen=True, slots=True)
class Made:
    """What a signal is made of: a function, its argument, and what else it takes (bounds, an exponent)."""

    function: str
    argument: Sum
    others: tuple[Sum, ...] = ()


Key = tuple[str, int]


def key(signal: Signal) -> Key:
    """What there is one signal of."""
    return signal.name, signal.size


@dataclass(slots=True)
class Arithmetic:
    """Sums of products of signals.

    `smooth`: signals that are 0, or any other given number, at single points only; gates of either side of these
    points count as the same. `carriers`: dendrites that the error reaches. `aliases`: functions that are rates.
    `plain`: functions stay as they are written, for showing."""

    constants: Constants
    smooth: frozenset[str]
    carriers: frozenset[str]
    plain: bool = False
    aliases: dict[str, str] = field(default_factory=dict)  # "relu(h.basal)" -> "h"
    signals: dict[Key, Signal] = field(default_factory=dict)
    # by name and size: a function of a modulator, or of numbers, has the same name wherever it stands
    slopes: dict[Key, tuple[str, Signal]] = field(default_factory=dict)  # of tanh and sigmoid, by their signals
    rectified: dict[Key, Signal] = field(default_factory=dict)  # relu(z), by z
    made: dict[Key, Made] = field(default_factory=dict)
    known: Known = field(init=False)

    def __post_init__(self) -> None:
        self.known = Known(self.constants, {})

    def forget(self) -> None:
        """Forgets all signals, but not the aliases."""
        for memory in (self.signals, self.slopes, self.rectified, self.made, self.known.ranges):
            memory.clear()

    def signal(
        self, name: str, size: int, nature: Nature = Nature.ANY, *, random: bool = True,
        gates: frozenset[str] = frozenset(), made: Made | None = None,
    ) -> Signal:  # fmt: skip
        """The one signal of that name; what is known of it is what was known when it was first met."""
        if made is not None:
            self.made.setdefault((name, size), made)
        found = Signal(name=name, size=size, nature=nature, random=random, gates=gates)
        return self.signals.setdefault((name, size), found)

    def apply(self, function: str, arguments: list[Sum]) -> Sum:
        """An elementwise function of the language (`ir.ELEMENTWISE`)."""
        match function, arguments:
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
            case _, [a]:
                return self.function(function, a)
            case _:
                raise AssertionError(function)

    def _power(self, a: Sum, b: Sum) -> Sum:
        exponent = constant(b)
        if exponent is not None and not exponent.params and exponent.number in range(MAX_POWER + 1):
            result = identity(a.rows)
            for _ in range(int(exponent.number)):
                result = self.mul(result, a)
            return result
        return self.function("pow", a, b, name=f"({written(a)})^({written(b)})")

    def _is_guard(self, floor: Sum, a: Sum) -> bool:
        """Whether max(a, floor) only keeps a quotient of positive numbers finite (twin/slopes.py)."""
        number = constant(floor)
        small = number is not None and not number.params and number.number == Fraction(repr(TINY))
        return small and self.known.nature_of(a) is Nature.POSITIVE

    def _inverse(self, b: Sum) -> Sum:
        number = constant(b)
        if number is not None and number.number:
            return scaled(identity(b.rows), number.inverse())
        nature = Nature.POSITIVE if self.known.nature_of(b) is Nature.POSITIVE else Nature.ANY
        made = Made("inverse", b)
        return diagonal(self.signal(f"1/({written(b)})", b.rows, nature, random=varies(b), made=made))

    def function(self, function: str, a: Sum, *others: Sum, name: str | None = None) -> Sum:
        """A function that is a signal of its own, under the name of a rate that is just this."""
        name = name or f"{function}({', '.join(map(written, (a, *others)))})"
        name = self.aliases.get(name, name)
        nature = nature_of(applied(function, list(map(self.known.range_of, (a, *others)))))
        nature = Nature.GATE if function in GATES else nature
        return diagonal(self.signal(name, a.rows, nature, random=varies(a), made=Made(function, a, others)))

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
        made = Made(f"{function}′", a)
        slope = self.signal(f"{signal.name}′", a.rows, Nature.POSITIVE, random=signal.random, made=made)
        self.slopes[key(signal)] = (function, slope)
        self.known.ranges[slope.name] = SLOPES[function]
        self.known.ranges[signal.name] = applied(function, [ANY])
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
        return linear is not None and not linear[2].number and linear[1].name in self.carriers

    def _with_sign(self, function: str, a: Sum, *others: Sum) -> Sum:
        """A function that keeps the sign of its argument, as a positive number times the argument."""
        name = f"{function}({', '.join(map(written, (a, *others)))})/({written(a)})"
        made = Made(f"{function} ratio", a, others)
        return self.mul(diagonal(self.signal(name, a.rows, Nature.POSITIVE, random=varies(a), made=made)), a)

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
            if signal.nature is Nature.GATE and self._is_idle(signal, known):
                return self._rest(term, rest, identity(size))
            if signal.nature is Nature.ANY and f"1[{signal.name} > 0]" in known:
                return self._rest(term, rest, diagonal(self._relu_of(signal)))
            cancelled = self._cancelled(signal, rest)
            if cancelled is not None:
                return self._rest(term, *cancelled)
            if signal in rest and key(signal) in self.slopes:
                rest.remove(signal)
                function, slope = self.slopes[key(signal)]
                first = identity(size) if function == "tanh" else diagonal(signal)
                return self._rest(term, rest, first - diagonal(slope))
        return None

    def _is_idle(self, gate: Signal, others: Iterable[str]) -> bool:
        """Whether a gate 1[z > t] is open wherever another one, 1[z > u] with u > t, is."""
        own = self._opening(key(gate))
        found = [self._opening((name, gate.size)) for name in others] if own is not None else []
        return any(own is not None and o is not None and o[0] == own[0] and o[1] > own[1] for o in found)

    def _opening(self, gate: Key) -> tuple[Signal, float] | None:
        """(z, t) of a gate 1[z > t]."""
        made = self.made.get(gate)
        linear = affine(made.argument) if made is not None and made.function == "step" else None
        if linear is None or linear[0].number <= 0:
            return None
        c, z, k = linear
        return z, -self.constants.value(k) / self.constants.value(c)

    def _cancelled(self, inverse: Signal, rest: list[Signal]) -> tuple[list[Signal], Sum] | None:
        """1/s of a positive s times s; and 1/s and 1/(1 - s) of a sigmoid s times s' = s (1 - s). What is left, and by
        what."""
        made = self.made.get(key(inverse))
        linear = affine(made.argument) if made is not None and made.function == "inverse" else None
        if linear is None:
            return None
        c, s, k = linear
        function, slope = self.slopes.get(key(s), ("", None))
        one = identity(s.size)
        if not k.number and s in rest and s.nature is Nature.POSITIVE:
            new, gone = one, s
        elif function != "sigmoid" or slope is None:
            return None
        elif slope in rest and (not k.number or self.constants.equal(k, negative(c))):
            new, gone = (diagonal(s) if k.number else one - diagonal(s)), slope
        else:
            return None
        left = list(rest)
        left.remove(gone)
        return left, scaled(new, (k if k.number else c).inverse())

    def _rest(self, term: Term, rest: list[Signal], new: Sum) -> Sum:
        """The term with some of its signals replaced by a sum."""
        word = tuple(Diagonal(s) for s in rest)
        return times(make_sum(new.rows, new.cols, [(term.coefficient, term.scalars, word)]), new)

    # ------------------------------------------------------------ derivatives

    def derivative(self, a: Sum, name: str) -> Sum:
        """The derivative with respect to a signal, all others held fixed but functions of it; gates are flat.
        Raises NotLinear where a function's derivative is not known."""
        result = zero(a.rows, a.cols)
        for term in a.terms:
            found = signals_of(term)
            for i, signal in enumerate(found):
                slope = self._slope(signal, name)
                if not slope.is_zero:
                    result = result + self._rest(term, [*found[:i], *found[i + 1 :]], slope)
        return self._reduced(result)

    def _slope(self, signal: Signal, name: str) -> Sum:
        none = zero(signal.size, signal.size)
        if signal.name == name:
            return identity(signal.size)
        made = self.made.get(key(signal))
        if signal.nature is Nature.GATE or made is None:
            return none
        within = self.derivative(made.argument, name)
        return none if within.is_zero else self.mul(self._outer_slope(signal, made), within)

    def _outer_slope(self, signal: Signal, made: Made) -> Sum:
        """The derivative of a function with respect to its argument."""
        match made.function:
            case "relu":
                return self.positive(made.argument)
            case "exp":
                return diagonal(signal)
            case "softplus":
                return self._odd("sigmoid", made.argument)
            case _ if key(signal) in self.slopes:
                return diagonal(self.slopes[key(signal)][1])
            case _:
                raise NotLinear(f"the derivative of `{signal.name}` is no signal")

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
            return identity(size) - self.positive(-p)
        flipped = self._flipped(p)
        if flipped is not None:
            return self.positive(flipped)
        return self._gate(f"1[{written(led(p)[1])} > 0]", Made("step", p))

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
        if z.name not in self.smooth and (opened or len(changes) > 1):
            return None  # at the place itself, where it closes, it is 0
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
        if linear is None or linear[0] != Coefficient():
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
        return all(s.name in self.smooth for s in signals_of_sum(p)) and not any(t.scalars for t in p.terms)

    def _gate(self, name: str, made: Made) -> Sum:
        of = made.argument
        return diagonal(self.signal(name, of.rows, Nature.GATE, random=varies(of), made=made))

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
        if z.name in self.known.ranges and self.known.nature_of(p) is Nature.POSITIVE:
            return identity(size)
        made = self.made.get(key(z))
        if made is not None and made.function == "relu" and (value >= 0 if rising else value > 0):
            above = made.argument - scaled(identity(size), at)  # relu(q) > t is q > t, for t >= 0
            return self.positive(above if rising else -above)
        base = next((name for (name, _), r in self.rectified.items() if r == z), z.name)
        if not rising and z.name not in self.smooth:
            return self._gate(f"1[{base} < {coefficient_text(at)}]", Made("step", p))
        gate = self._gate(f"1[{base} > {coefficient_text(at)}]", Made("step", p if rising else -p))
        return gate if rising else identity(size) - gate

    def relu(self, p: Sum) -> Sum:
        """max(p, 0)."""
        number, linear = constant(p), affine(p)
        if number is not None:
            return p if number.number > 0 else zero(p.rows, p.cols)
        if linear is not None and linear[1].nature is Nature.GATE:
            return self._of_gate(*linear)
        if steepest(p).number < 0:
            return self.relu(-p) + p
        if linear is not None and not linear[2].number:
            c, z, _ = linear
            return scaled(diagonal(self._relu_of(z)), c)
        scale, plain = led(p)
        name = f"relu({written(plain)})"
        opens = self.positive(plain).terms
        gates = gates_of(opens[0]) if len(opens) == 1 else frozenset()  # not of `1 − gate`
        signal = self.signal(
            self.aliases.get(name, name), p.rows, Nature.NONNEGATIVE, random=varies(p), gates=gates,
            made=Made("relu", plain),
        )  # fmt: skip
        return scaled(diagonal(signal), scale)

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
        name = f"relu({z.name})"
        gates = frozenset({f"1[{z.name} > 0]"})
        found = self.signal(
            self.aliases.get(name, name), z.size, Nature.NONNEGATIVE, random=z.random, gates=gates,
            made=Made("relu", diagonal(z)),
        )  # fmt: skip
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
                    differs = self._gate(f"1[{written(normalized(p)[1])} ≠ 0]", Made("ne", p))
                return differs if function == "ne" else one - differs
