"""Products of the signals of one unit, rewritten until nothing changes: equal factors, however written, look alike.

- A gate that another one implies is idle; `1[z > t] z` is relu(z - t) + t 1[z > t].
- Under an open gate 1[z > t], t >= 0, relu(z) is z inside any function, and 1[z > u], u <= t, is 1.
- The square of tanh is 1 - tanh', that of sigmoid is sigmoid - sigmoid'; exp(z) sigmoid(z) is exp(z) - sigmoid(z).
- A rate that is a signal times its own tanh or sigmoid is that product: z sigmoid(z) is `h`, and h sigmoid(z) is
  h - z sigmoid'(z).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import field

from circuitdsl.derive.algebra import notation
from circuitdsl.derive.algebra.constants import Constants, negative
from circuitdsl.derive.algebra.letters import Identity, Made, Named, Part
from circuitdsl.derive.algebra.polynomials import Known, affine, constant, signals_of
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
    total,
)
from circuitdsl.frozen import mutable

Key = tuple[Identity, int]


def key(signal: Signal) -> Key:
    """What there is one signal of."""
    return signal.of, signal.size


@mutable
class Products(ABC):
    """The signals of one circuit, and how products of them are rewritten.

    `smooth`: signals that are 0, or any other given number, at single points only; gates of either side of these
    points count as the same. `carriers`: dendrites that the error reaches. `aliases`: functions that are rates.
    `plain`: functions stay as they are written, for showing."""

    constants: Constants
    smooth: frozenset[Identity]
    carriers: frozenset[Identity]
    plain: bool = False
    aliases: dict[Identity, str] = field(default_factory=dict)  # relu(h.basal) -> h
    factors: dict[Key, tuple[Signal, Signal]] = field(default_factory=dict)  # z, sigmoid(z) of a rate that is both
    wholes: dict[Key, tuple[Named, Signal]] = field(default_factory=dict)  # that rate and z, by sigmoid(z)
    signals: dict[Key, Signal] = field(default_factory=dict)
    # by size too: a function of a modulator, or of numbers, is the same wherever it stands
    slopes: dict[Key, tuple[str, Signal]] = field(default_factory=dict)  # of tanh and sigmoid, by their signals
    rectified: dict[Key, Signal] = field(default_factory=dict)  # relu(z), by z
    bases: dict[Signal, Signal] = field(default_factory=dict)  # z, by relu(z)
    made: dict[Key, Made] = field(default_factory=dict)
    kinks: set[Made] = field(default_factory=set)  # what has been taken as never exactly 0
    steps: list[Key] = field(default_factory=list)  # those made by `step`, in the order in which they were met
    zeros: dict[Key, Made] = field(default_factory=dict)  # 1[z > 0], by z
    openings: dict[Key, tuple[Signal, Coefficient] | None] = field(default_factory=dict)  # (z, t) of 1[z > t]
    known: Known = field(init=False)

    def __post_init__(self) -> None:
        self.known = Known(self.constants, {})

    def forget(self) -> None:
        """Forgets all signals, but not the aliases."""
        memories = (self.signals, self.slopes, self.rectified, self.bases, self.made, self.openings, self.known.ranges)
        for memory in memories:
            memory.clear()
        self.steps.clear()

    def signal(
        self, of: Identity, size: int, nature: Nature = Nature.ANY, *, random: bool = True,
        gates: frozenset[Identity] = frozenset(), made: Made | None = None,
    ) -> Signal:  # fmt: skip
        """The one signal that it is; what is known of it is what was known when it was first met."""
        key = of, size
        if made is not None and key not in self.made:
            self.made[key] = made
            if made.function == "step":
                self.steps.append(key)
        if key not in self.signals:
            self.signals[key] = notation.signal(of, size, nature, random=random, gates=gates)
        return self.signals[key]

    def known_as(self, made: Made) -> Identity:
        """A function, or the rate that is just this."""
        return Named(self.aliases[made]) if made in self.aliases else made

    @abstractmethod
    def again(self, made: Made) -> Sum | None:
        """What a signal is made of as a polynomial, its argument being another one; None for what is no function."""

    @abstractmethod
    def apply(self, function: str, arguments: list[Sum]) -> Sum:
        """An elementwise function of the language (graph/functions.py)."""

    @abstractmethod
    def relu(self, p: Sum) -> Sum:
        """max(p, 0)."""

    def above_zero(self, z: Signal) -> Made:
        """The gate 1[z > 0], which need not have been met."""
        if key(z) not in self.zeros:
            self.zeros[key(z)] = Made("step", diagonal(z))
        return self.zeros[key(z)]

    def mul(self, a: Sum, b: Sum) -> Sum:
        return self.reduced(times(a, b))

    def reduced(self, a: Sum) -> Sum:
        """Every term rewritten, until nothing changes."""
        new = [self._reduced_term(term, a.rows) for term in a.terms]
        if all(each is None for each in new):
            return a
        kept = (Sum(a.rows, a.cols, (term,)) for term in a.terms)
        return self.reduced(total(a.rows, a.cols, (k if n is None else n for n, k in zip(new, kept, strict=True))))

    def replaced(self, term: Term, rest: list[Signal], new: Sum) -> Sum:
        """The term with some of its signals replaced by a sum; `rest` are the others, in their order."""
        word = tuple([Diagonal(s) for s in rest])
        return times(Sum(new.rows, new.cols, (Term(term.coefficient, term.scalars, word),)), new)

    def substituted(self, a: Sum, new: Callable[[Signal], Sum | None]) -> Sum:
        """A polynomial with some signals replaced; None leaves one as it is."""
        parts = []
        for term in a.terms:
            whole = make_sum(a.rows, a.cols, [(term.coefficient, term.scalars, ())])
            for signal in signals_of(term):
                by = new(signal)
                whole = times(whole, diagonal(signal) if by is None else by)
            parts.append(whole)
        return total(a.rows, a.cols, parts)

    def _reduced_term(self, term: Term, size: int) -> Sum | None:
        found = signals_of(term)
        if not found or (len(found) == 1 and not found[0].gates):
            return None
        known = {s.of for s in found}.union(*(s.gates for s in found))
        for signal in found:
            rest = list(found)
            rest.remove(signal)
            if signal.nature is Nature.GATE and self._is_idle(signal, known):
                return self.replaced(term, rest, identity(size))
            new = self._gated(signal, rest, known)
            if new is not None:
                return self.replaced(term, rest, new)
            pair = self._cancelled(signal, rest) or self._curved(signal, rest)
            if pair is not None:
                return self.replaced(term, *pair)
        return None

    # ------------------------------------------------------------ gates

    def _is_idle(self, gate: Signal, others: Iterable[Identity]) -> bool:
        """Whether a gate 1[z > t] is open wherever another one, 1[z > u] with u > t, is."""
        own = self._opening(key(gate))
        found = [self._opening((other, gate.size)) for other in others] if own is not None else []
        return any(own is not None and o is not None and o[0] == own[0] and self._above(o[1], own[1]) for o in found)

    def _above(self, a: Coefficient, b: Coefficient) -> bool:
        return self.constants.value(a) > self.constants.value(b)

    def _opening(self, gate: Key) -> tuple[Signal, Coefficient] | None:
        """(z, t) of a gate 1[z > t]."""
        made = self.made.get(gate)
        if made is None or made.function != "step":
            return None
        if gate not in self.openings:
            self.openings[gate] = _opening_of(made.argument)
        return self.openings[gate]

    def _gated(self, signal: Signal, rest: list[Signal], known: set[Identity]) -> Sum | None:
        """What a signal is where the gates beside it are open; None where they tell nothing of it."""
        if signal.nature is Nature.ANY and self.above_zero(signal) in known:
            return self.relu(diagonal(signal))
        for gate in rest:
            opening = self._opening(key(gate)) if gate.nature is Nature.GATE else None
            if opening is None or gate == signal:
                continue
            z, at = opening
            if z == signal and signal.nature is Nature.ANY and signal.of not in self.carriers:
                level = scaled(identity(signal.size), at)
                return self.relu(diagonal(z) - level) + level
            new = self._within(signal, z, at) if self.constants.value(at) >= 0 else None
            if new is not None:
                return new
        return None

    def _within(self, signal: Signal, z: Signal, at: Coefficient) -> Sum | None:
        """A signal where z > t >= 0: its relu(z) are z, its gates 1[z > u] with u <= t are 1. None if it has none."""
        if self.rectified.get(key(z)) == signal:
            return diagonal(z) if at.number else None  # 1[z > 0] relu(z) is relu(z)
        made = self.made.get(key(signal))
        if made is None or signal.nature is Nature.GATE:
            return None
        argument = self._opened(made.argument, z, at)
        return None if argument == made.argument else self.again(Made(made.function, argument, made.others, made.part))

    def _opened(self, a: Sum, z: Signal, at: Coefficient) -> Sum:
        """A polynomial where z > t >= 0."""

        def new(signal: Signal) -> Sum | None:
            opening = self._opening(key(signal)) if signal.nature is Nature.GATE else None
            if self.rectified.get(key(z)) == signal:
                return diagonal(z)
            if opening is not None and opening[0] == z and not self._above(opening[1], at):
                return identity(a.rows)
            return self._within(signal, z, at)

        return self.substituted(a, new)

    # ------------------------------------------------------------ smooth functions

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
        return _without(rest, gone), scaled(new, (k if k.number else c).inverse())

    def _curved(self, signal: Signal, rest: list[Signal]) -> tuple[list[Signal], Sum] | None:
        """A product with tanh or sigmoid, by their slopes. What is left, and by what."""
        if key(signal) in self.slopes:
            function, slope = self.slopes[key(signal)]
            one = identity(signal.size)
            squared = (one if function == "tanh" else diagonal(signal)) - diagonal(slope)
            if signal in rest:
                return _without(rest, signal), squared
            for product in rest:  # h = z sigmoid(z)
                parts = self.factors.get(key(product))
                if parts is not None and parts[1] == signal:
                    return _without(rest, product), times(diagonal(parts[0]), squared)
            whole, z = self.wholes.get(key(signal), (None, signal))
            if whole is not None and z in rest:
                return _without(rest, z), diagonal(self.signal(whole, signal.size, random=signal.random))
        return self._of_exponential(signal, rest)

    def _of_exponential(self, exponential: Signal, rest: list[Signal]) -> tuple[list[Signal], Sum] | None:
        """exp(z) and exp(-z) times sigmoid(z), or its slope."""
        made = self.made.get(key(exponential))
        if made is None or made.function != "exp":
            return None
        one, e = identity(exponential.size), diagonal(exponential)
        for other in rest:
            z, sigmoid = self.factors.get(key(other), (None, other))  # h = z sigmoid(z)
            of = self.made.get(key(sigmoid))
            if of is None or of.function != "sigmoid" or of.part is Part.RATIO:
                continue
            same = made.argument == of.argument
            if not same and made.argument != -of.argument:
                continue
            if of.part is Part.VALUE:
                new = (e if same else one) - diagonal(sigmoid)
                return _without(rest, other), new if z is None else times(diagonal(z), new)
            s, d = self.apply("sigmoid", [of.argument]), diagonal(other)
            return _without(rest, other), s - d if same else one - s - d
        return None

    def written_out(self, b: Sum) -> Sum | None:
        """-z, where b is a number times 1 + exp(-z): 1/b is then sigmoid(z)."""
        linear = affine(b)
        made = None if linear is None else self.made.get(key(linear[1]))
        if linear is None or made is None or made.function != "exp" or constant(made.argument) is not None:
            return None
        return made.argument if self.constants.equal(linear[0], linear[2]) else None

    def name_product(self, name: str, found: Sum) -> None:
        """Remembers that a rate is a signal times its own tanh or sigmoid."""
        signals = signals_of(found.terms[0]) if len(found.terms) == 1 and not found.terms[0].scalars else []
        if len(signals) != 2 or found.terms[0].coefficient != Coefficient():
            return
        for z, s in (signals, signals[::-1]):
            made = self.made.get(key(s))
            own = None if made is None else affine(made.argument)
            if key(s) in self.slopes and own is not None and own[1] == z and z.nature is Nature.ANY:
                self.factors[Named(name), found.rows] = z, s
                self.wholes[key(s)] = Named(name), z


def _opening_of(argument: Sum) -> tuple[Signal, Coefficient] | None:
    """(z, t) of `c z - c t` with c > 0."""
    linear = affine(argument)
    if linear is None or linear[0].number <= 0:
        return None
    c, z, k = linear
    return z, negative(k) * c.inverse()


def _without(signals: list[Signal], gone: Signal) -> list[Signal]:
    left = list(signals)
    left.remove(gone)
    return left
