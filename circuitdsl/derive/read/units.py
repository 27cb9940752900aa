"""Elementwise equations in normal form: polynomials of the signals of one unit.

`1 - post^2`, `(1 - post) * (1 + post)` and the derivative of tanh are the same factor, however they are written; so are
`where(z > 0, 1, 0.2)`, `0.2 + 0.8 * step(z)` and the derivative of `max(z, 0.2 * z)`. An equation becomes a sum of
products of signals, a diagonal matrix of the term algebra, with these replacements:

- Everything piecewise linear is made of gates and `relu`: max(a, b) = b + relu(a - b), relu(-z) = relu(z) - z,
  `1[z > 0] z` = relu(z). At a kink itself, a single point, gates of either side count as the same.
- The square of tanh is 1 - tanh', that of sigmoid is sigmoid - sigmoid': slopes are letters of their own, and positive.
- Any other function is a signal, known by what it is made of; where a rate is just that, as its population.
- A target is written as its error population plus what that subtracts: `y` is `err + out` beside `err = y - out`.

What is read of a population is opened up (`d = basal * step(a.basal)`) as far as credits need it; see `Units.read`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import field

from circuitdsl.derive.algebra.arithmetic import Arithmetic, NotLinear
from circuitdsl.derive.algebra.comparison import ratio
from circuitdsl.derive.algebra.constants import Constants, negative, sign
from circuitdsl.derive.algebra.letters import Adjoint, Before, Identity, Made, Named, Slope, Stated
from circuitdsl.derive.algebra.obstacles import Circular, DrawsNoise, OwnFactor, ReadsNext, ReadsSynapse, SumsUnits
from circuitdsl.derive.algebra.polynomials import (
    gates_of,
    is_linear,
    lone_signal,
    nature_of,
    signals_of,
    signals_of_sum,
)
from circuitdsl.derive.algebra.products import Key, key
from circuitdsl.derive.algebra.words import (
    UNIT,
    Coefficient,
    Column,
    Diagonal,
    Nature,
    Row,
    Scalar,
    Signal,
    Sum,
    column,
    diagonal,
    identity,
    letter_sum,
    ones,
    scaled,
    times,
    transpose,
    zero,
)
from circuitdsl.frozen import mutable
from circuitdsl.graph import ir
from circuitdsl.graph.ranges import Ranges

#: A value whose equation has more terms is not opened up.
MAX_TERMS = 12

#: What makes no function of its own.
PRODUCTS = ("neg", "add", "sub", "mul", "square")


@mutable
class Units:
    """The elementwise equations of one circuit.

    `error`: the values that the error reaches. `one_tick`: an example is one tick, so that states are constants and
    `prev` is 0. `trains`: `train` is 1, as for rules; only where evaluation does not depend on it. `plain`: nothing
    is opened up, every rate has its name: for showing, not for proving. `classes`: the targets that are one-hot;
    `assumed`: those of which that has been used."""

    circuit: ir.Circuit
    constants: Constants
    ranges: Ranges
    error: frozenset[str]
    one_tick: bool
    trains: bool
    classes: frozenset[str] = frozenset()
    plain: bool = False
    assumed: set[str] = field(default_factory=set)
    arithmetic: Arithmetic = field(init=False)
    targets: dict[str, Sum] = field(default_factory=dict)  # y -> err + out
    errors: dict[str, str] = field(default_factory=dict)  # err -> y
    within: list[tuple[Signal, Sum]] = field(default_factory=list)  # errors inside a rate, and what they are
    squashed: list[str] = field(default_factory=list)  # rates that are functions of such an error
    opened: dict[str, Sum] = field(default_factory=dict)
    working: list[str] = field(default_factory=list)
    products: dict[tuple[tuple[ir.Expr, ...], int], Sum] = field(default_factory=dict)  # of the factors of rules
    named: set[str] = field(default_factory=set)  # the values that have given their name to a function
    has_names: bool = False  # whether functions have been given names

    def __post_init__(self) -> None:
        """Names functions and errors, where they are opened; then forgets what was read before. What is only shown may
        be without functions."""
        dendrites = (v.name for v in self.circuit.values.values() if v.kind is ir.Kind.DENDRITE)
        found = frozenset[Identity](map(Named, dendrites))
        error = frozenset[Identity](map(Named, self.error))
        self.arithmetic = Arithmetic(self.constants, found - error, found & error, self.plain)
        if self.plain:
            return
        self._name_functions()
        targets = {p.name: p for p in self.circuit.of_kind(ir.Kind.TARGET)}
        for name in self.circuit.order:
            self._name_error(self.circuit.values[name], targets)
        self._forget()
        self._open_all()

    def _name_functions(self) -> None:
        """Names functions by the rates that are just these."""
        self.has_names = True
        working, self.working = self.working, []
        self.arithmetic.splits = False
        for again in (False, True):
            if again and not any(map(_is_nested, self.arithmetic.signals)):
                break  # with the names that were found no other would be found
            self._forget()
            for name in self.circuit.order:
                self._name_function(self.circuit.values[name])
        self.arithmetic.splits = True
        self.working = working
        self._forget()

    def _forget(self) -> None:
        self.opened.clear()
        self.arithmetic.forget()
        for error, found in self.within:
            self.arithmetic.signal(error.of, error.size, made=Made("", found))

    def _open_all(self) -> None:
        """Opens every value after those that it reads, so that no chain of values is too long to follow."""
        for name in (*self.circuit.order, *self.circuit.reverse):
            if self.circuit.values[name].population is not None:
                with suppress(NotLinear):
                    self._open(self.circuit.values[name])

    def _name_function(self, value: ir.Value) -> None:
        """A rate that is one function of one argument gives its name to it."""
        opened, self.plain = self.plain, False
        try:
            self._alias(value)
        finally:
            self.plain = opened

    def _alias(self, value: ir.Value) -> None:
        if value.kind not in (ir.Kind.RATE, ir.Kind.LET) or value.expr is None:
            return
        try:
            found = self.of(value.expr, value.size)
        except NotLinear:
            return
        only = lone_signal(found)
        if only is not None and only.value not in self.circuit.values and only.value not in self.named:
            self.named.add(self.arithmetic.aliases.setdefault(only.of, value.name))
            self.opened.pop(value.name, None)
        elif only is None and value.name not in self.error and not self.arithmetic.plain:
            self.arithmetic.name_product(value.name, found)

    def _name_error(self, value: ir.Value, targets: Mapping[str, ir.Population]) -> None:
        """`err = c y - ...` gives y = (err + ...) / c, so that errors are signals of their own. Of
        `clip(y - ..., -1, 1)` it is y - ... that becomes one, under that name."""
        if value.kind is not ir.Kind.RATE or value.expr is None:
            return
        read = {r.value for r in ir.reads(value.expr)}
        for target in targets.values() if read & targets.keys() else ():
            if target.name not in read or target.name in self.targets or target.size != value.size:
                continue
            for expr in ir.walk(value.expr):
                found = self._error_in(expr, target.name, target.size)
                if found is None:
                    continue
                if expr is value.expr:
                    self.errors[value.name] = target.name
                    error = self.arithmetic.signal(Named(value.name), value.size)
                else:
                    self.squashed.append(value.name)
                    error = self.arithmetic.signal(Made("", found), value.size)
                    self.within.append((error, found))
                self._solve(target.name, found, error)
                if len(self.targets) < len(targets):
                    self._open_all()
                break

    def _error_in(self, expr: ir.Expr, target: str, size: int) -> Sum | None:
        """An equation as a polynomial, if it is linear in a target and not in the target alone."""
        if not any(r.value == target for r in ir.reads(expr)):
            return None
        try:
            found = self.of(expr, size)
        except NotLinear:
            return None
        holding = [t for t in found.terms if Named(target) in {s.of for s in signals_of(t)}]
        linear = len(holding) == 1 < len(found.terms) and len(signals_of(holding[0])) == 1 and not holding[0].scalars
        return found if linear and not any(self._bends(s, target) for s in signals_of_sum(found)) else None

    def _bends(self, signal: Signal, target: str) -> bool:
        """Whether a signal is a function of the target."""
        made = self.arithmetic.made.get(key(signal))
        within = () if made is None else made.arguments
        return any(s.of == Named(target) or self._bends(s, target) for a in within for s in signals_of_sum(a))

    def _solve(self, target: str, found: Sum, error: Signal) -> None:
        """The target by its error; errors that are 0, or any other number, at single points only are `smooth`."""
        (holding,) = (t for t in found.terms if Named(target) in {s.of for s in signals_of(t)})
        rest = found - Sum(found.rows, found.cols, (holding,))
        moving = [signals_of(t) for t in rest.terms if t.word]
        if moving and all(len(t) == 1 and t[0].of in self.arithmetic.smooth for t in moving):
            self.arithmetic.smooth |= {error.of}
        self.targets[target] = scaled(diagonal(error) - rest, holding.coefficient.inverse())
        self.opened.clear()

    # ------------------------------------------------------------ equations

    def of(self, expr: ir.Expr, size: int) -> Sum:
        """An equation of units as a diagonal matrix [size, size]. Raises NotLinear."""
        number = self.constants.of(expr)
        if number is not None:
            return scaled(identity(size), number)
        if not self.has_names and _is_function(expr):
            self._name_functions()
        match expr:
            case ir.Read():
                return self.read(expr, size)
            case ir.Flag() | ir.Coef() | ir.Over() if size == UNIT:
                raise NotLinear(OwnFactor(expr))
            case ir.Coef(name=name):
                nature = nature_of(self.ranges.coefficient(name))
                return diagonal(self.arithmetic.signal(Named(name), size, nature, random=False))
            case ir.Apply():
                return self._apply(expr, size)
            case ir.Over(function=function, argument=argument):
                inner = self.of(argument, size)
                others = () if expr.k is None else (self.of(expr.k, size),)
                return self.arithmetic.function(function, inner, *others)
            case ir.Tick():
                if self.one_tick:
                    return zero(size, size)
                return scaled(identity(size), by=letter_sum(Scalar(name="tick")))
            case ir.Flag(which="train") if self.trains:
                return identity(size)
            case ir.Flag():
                return diagonal(self.arithmetic.signal(Stated(expr), size, Nature.GATE))
            case ir.Reduce():
                raise NotLinear(SumsUnits(expr.function))
            case ir.Random():
                raise NotLinear(DrawsNoise())
            case _:
                raise NotLinear(ReadsSynapse())

    def _apply(self, expr: ir.Apply, size: int) -> Sum:
        if size == UNIT and expr.function not in ("neg", "add", "sub", "mul"):
            raise NotLinear(OwnFactor(expr))
        arguments = [self.of(a, size) for a in expr.arguments]
        return self.arithmetic.apply(expr.function, arguments)

    # ------------------------------------------------------------ reading values

    def read(self, read: ir.Read, size: int) -> Sum:
        """A value as its readers see it: opened up, or as a signal. Raises NotLinear.

        Opened are credits (whatever the error reaches), linear rates, and dendrites that only repeat another signal."""
        value = self.circuit.values[read.value]
        if read.when is ir.When.NEXT:
            raise NotLinear(ReadsNext())
        if read.when is ir.When.PREV:
            if self.one_tick:
                return zero(size, size)
            found = diagonal(self.arithmetic.signal(Before(value.name), value.size))
        elif value.population is None:
            return self._broadcast(value, size)
        else:
            found = self._open(value)
        if value.size == size:
            return found
        unit = column(ones(1))
        return scaled(identity(size), by=times(times(transpose(unit), found), unit))

    def _broadcast(self, value: ir.Value, size: int) -> Sum:
        """A single number as every unit sees it; one unit alone may be what the number is made of."""
        if size == 1 and value.expr is not None:
            with suppress(NotLinear):
                return self.of(value.expr, size)
        return scaled(identity(size), by=self.number(value))

    def _open(self, value: ir.Value) -> Sum:
        if value.name not in self.opened:
            if value.name in self.working:
                raise NotLinear(Circular(value.name))
            self.working.append(value.name)
            try:
                self.opened[value.name] = self._value(value)
            finally:
                self.working.pop()
        return self.opened[value.name]

    def _value(self, value: ir.Value) -> Sum:
        match value.kind:
            case ir.Kind.BIAS:
                return identity(value.size)
            case ir.Kind.TARGET:
                return self.targets.get(value.name) or self._named(value)
            case ir.Kind.STATE:
                return self._state(value)
            case ir.Kind.DENDRITE:
                return self._dendrite(value)
            case ir.Kind.ADJOINT:
                if value.expr is None or value.currents or self.of_dendrite(value):
                    return self._named(value)
                return self.of(value.expr, value.size)
            case ir.Kind.RATE | ir.Kind.LET if value.name not in self.errors and value.expr is not None:
                return self._named(value) if self.plain else self._rate(value, value.expr)
            case _:
                return self._named(value)

    def _named(self, value: ir.Value) -> Sum:
        return diagonal(self.arithmetic.signal(identity_of(value), value.size))

    def of_dendrite(self, adjoint: ir.Value) -> bool:
        """Whether an adjoint is that of a dendrite."""
        return adjoint.of in self.circuit.values and self.circuit.values[adjoint.of].kind is ir.Kind.DENDRITE

    def _rate(self, value: ir.Value, expr: ir.Expr) -> Sum:
        """The polynomial of a rate that is opened, else its signal, with what its polynomial tells of it."""
        try:
            found = self.of(expr, value.size)
        except NotLinear:
            return self._named(value)
        if len(found.terms) <= MAX_TERMS and (
            lone_signal(found) is not None or value.name in self.error or is_linear(found)
        ):
            return found
        nature = nature_of(self.ranges.of(expr))
        each = [gates_of(t) for t in found.terms]
        gates = frozenset.intersection(*each) if each else frozenset()
        return diagonal(self.arithmetic.signal(Named(value.name), value.size, nature, gates=gates))

    def _state(self, value: ir.Value) -> Sum:
        """In a single tick a state is still what it starts from, unless it is kept and moves from tick to tick."""
        if not self.one_tick or (value.lifetime is ir.Lifetime.KEEP and value.update is not None):
            return diagonal(self.arithmetic.signal(Named(value.name), value.size, random=not self.one_tick))
        start = self.constants.of_init(value.init) if value.init is not None else None
        if start is not None:
            return scaled(identity(value.size), start)
        if isinstance(value.init, ir.InitCall) and value.init.which == "zeros":
            return zero(value.size, value.size)
        return diagonal(self.arithmetic.signal(Named(value.name), value.size, random=False))

    def _dendrite(self, value: ir.Value) -> Sum:
        """What only repeats other signals, one to one and unchanging, is these; else a signal."""
        total = zero(value.size, value.size) if value.expr is None else self.of(value.expr, value.size)
        for current in value.currents:
            factor = self.repeats(current)
            if factor is None:
                return self._named(value)
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
            case ir.InitApply(function="mul", arguments=(a, b)):
                for number, other in ((a, b), (b, a)):
                    scale, inner = self.constants.of_init(number), self._identity_factor(other)
                    if scale is not None and inner is not None:
                        return scale * inner
                return None
            case ir.InitApply(function="neg", arguments=(other,)):
                inner = self._identity_factor(other)
                return None if inner is None else negative(inner)
            case _:
                return None

    # ------------------------------------------------------------ single numbers

    def number(self, value: ir.Value) -> Sum:
        """A modulator, the loss, or a scalar of the gradient, as a matrix UNIT x UNIT."""
        match value.expr:
            case ir.Reduce(function="sum", arguments=(summed,)):
                with suppress(NotLinear):
                    of_target = self._of_target(self.of(summed, value.expr.size))
                    if of_target is not None:
                        return scaled(identity(UNIT), of_target)
            case ir.Num() | ir.ParamRef() | ir.Apply(function="neg" | "add" | "sub" | "mul") as expr:
                with suppress(NotLinear):
                    return self.of(expr, UNIT)
            case _:
                pass
        positive = value.expr is not None and self.ranges.of(value.expr).positive
        return letter_sum(Scalar(name=value.name, positive=positive or self._is_largest_error(value.expr)))

    def _of_target(self, found: Sum) -> Coefficient | None:
        """The number of times that it is a class target, which sums to 1."""
        for name in sorted(self.classes):
            target = self.circuit.values[name]
            factor = ratio(found, self._open(target)) if target.size == found.rows else None
            if factor is not None:
                self.assumed.add(name)
                return factor
        return None

    def _is_largest_error(self, expr: ir.Expr | None) -> bool:
        """Whether a number is the largest of class errors `y - softmax(z)`: they sum to 0, so that it is above 0 where
        there is any error."""
        match expr:
            case ir.Reduce(function="max", arguments=(ir.Read(value=error),)) if self.errors.get(error) in self.classes:
                target = self.errors[error]
                size = self.circuit.values[error].size
                rest = self.targets[target] - diagonal(self.arithmetic.signal(Named(error), size))
                predicted = lone_signal(rest)
                made = self.arithmetic.made.get(key(predicted)) if predicted is not None else None
                if made is None or made.function != "softmax":
                    return False
                self.assumed.add(target)
                return True
            case _:
                return False


def identity_of(value: ir.Value) -> Named | Adjoint:
    """What the signal is that a value of the circuit is."""
    if value.kind is not ir.Kind.ADJOINT or value.of is None:
        return Named(value.name)
    return Adjoint(value.of)


def _is_function(expr: ir.Expr) -> bool:
    """Whether an expression is more than sums and products."""
    return isinstance(expr, ir.Over) or (isinstance(expr, ir.Apply) and expr.function not in PRODUCTS)


def _is_nested(signal: Key) -> bool:
    """Whether a signal is a function of a function."""
    match signal[0]:
        case Made() as made:
            letters = (x for a in made.arguments for t in a.terms for w in (*t.scalars, t.word) for x in w)
            return any(isinstance(x.signal.of, Made | Slope) for x in letters if isinstance(x, Column | Row | Diagonal))
        case _:
            return False
