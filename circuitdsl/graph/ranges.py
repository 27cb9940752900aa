"""What every number of a circuit lies between, in all states that are reached from the declared start.

One analysis for all who ask (Dale's law, positive gains, weights that stay 0): values, weights, states and drives start
with the ranges of their initial values, and grow by what one tick makes of them until nothing grows any more. What
grows again and again is widened to the next of a few likely ends (0, 1, a bound, the rest of a leak), at last to
infinity. So all of it is an invariant: it holds at the start, and every tick keeps it.

Data and targets may be any finite numbers, unless the one who asks knows better (`given`). Rules run in training only,
neurons in evaluation as well. A mean over a batch lies where its examples do, a sum over ticks so many times as far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from heapq import heapify, heappop, heappush
from math import inf, isinf
from typing import assert_never

from circuitdsl.frozen import frozen, mutable
from circuitdsl.graph import ir
from circuitdsl.graph.functions import FUNCTIONS
from circuitdsl.graph.increments import Increment, stepped
from circuitdsl.graph.intervals import (
    ANY,
    FLAG,
    ONE,
    UNKNOWN,
    ZERO,
    Range,
    clip,
    maximum,
    minimum,
    point,
    span,
    square,
)
from circuitdsl.graph.masks import Mask, mask_of
from circuitdsl.graph.numbers import evaluate, numbers_of
from circuitdsl.graph.populations import REDUCTIONS, over_range
from circuitdsl.graph.quantities import (
    GIVEN,
    Before,
    Drive,
    Quantity,
    State,
    Weights,
    drive_of,
    is_quantity,
    quantities,
    quantity_of,
    read_by,
    update_of,
)

#: What grows more often than `PATIENCE` times is widened, up to `MOVING` times to where its increment is 0; more often
#: than `LAST` times, to infinity.
PATIENCE, MOVING, LAST = 3, 8, 16


@frozen
class _Place:
    """Where an expression stands: in the equations of a synapse, or (None) of a neuron or a scalar. `weight`: what `w`
    is taken to lie between, if not what is known of it."""

    synapse: ir.Synapse | None = None
    weight: Range | None = None


@mutable
class Ranges:
    """The ranges of one circuit, found when it is made.

    `given`: the ranges of inputs and targets, where more is known of them than that they are finite. `params`: numbers
    that equations name beside the circuit's own params. `held`: weights that are held at 0; then the others, and what
    else survives an example, start from `start`, the ranges that they had."""

    circuit: ir.Circuit
    given: Mapping[str, Range] = field(default_factory=dict)
    params: Mapping[str, Range] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    start: Ranges | None = None
    known: dict[Quantity, Range] = field(default_factory=dict)
    numbers: dict[str, float] = field(init=False)
    initials: dict[str, Range] = field(default_factory=dict)
    growth: dict[Quantity, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.numbers = numbers_of(self.circuit, {})
        self._find()

    # ------------------------------------------------------------ answers

    def of(self, expr: ir.Expr, synapse: ir.Synapse | None = None, *, weight: Range | None = None) -> Range:
        """What an expression lies between, in the equations of a synapse if one is given; `weight` stands in for what
        is known of its weights."""
        return self._of(expr, _Place(synapse, weight))

    def value(self, name: str) -> Range:
        return self.known[name]

    def weights(self, synapse: str) -> Range:
        """What the weights lie between where there is a connection; 0 if there is none."""
        return self.known[Weights(synapse)]

    def limits(self, synapse: ir.Synapse) -> Range:
        """What `sign` and `bounds` confine each weight to."""
        return self._constrained(ANY, synapse)

    def initial(self, synapse: str) -> Range:
        """What the weights start from where there is a connection."""
        if synapse not in self.initials:
            owner = self.circuit.synapses[synapse]
            drawn = self._init(owner.init, _Place(owner))
            self.initials[synapse] = ZERO if self.mask(owner).is_empty else self._constrained(drawn, owner)
        return self.initials[synapse]

    def start_of(self, synapse: ir.Synapse, state: ir.SynapseVar) -> Range:
        """What a state of a synapse starts from."""
        return self._init(state.init, _Place(synapse))

    def coefficient(self, name: str) -> Range:
        """What the numbers of a coefficient lie between."""
        coefficient = self.circuit.coefficients[name]
        owner = self.circuit.synapses[coefficient.owner] if coefficient.per == "weight" else None
        return self._init(coefficient.init, _Place(owner))

    def mask(self, synapse: ir.Synapse) -> Mask:
        return mask_of(synapse, self.numbers)

    def increment(self, expr: ir.Expr, of: Quantity) -> Increment:
        """The increment of a weight or a state, as far as it is linear in what it is added to."""
        place = self._place(of)
        found = Increment.of(expr, lambda e: is_quantity(e, of), lambda e: self._of(e, place))
        return found.times(self._repeats(expr, of))

    def _place(self, of: Quantity) -> _Place:
        """Where the increment of a quantity stands."""
        return _Place(self.circuit.synapses[of.synapse] if isinstance(of, Weights | State) else None)

    # ------------------------------------------------------------ invariants

    def _find(self) -> None:
        """Grows all ranges until every tick keeps them."""
        found = list(quantities(self.circuit))
        rank = {q: i for i, q in enumerate(found)}
        readers: dict[Quantity, list[Quantity]] = {}
        for quantity in found:
            for read in dict.fromkeys(read_by(self.circuit, quantity)):
                readers.setdefault(read, []).append(quantity)
        started: list[Quantity] = []
        for quantity in found:
            begun = self._begin(quantity)
            if begun is not None:
                self.known[quantity] = begun
                started.append(quantity)
        for quantity in found:
            if quantity not in self.known:
                self.known[quantity] = self._next(quantity)
        waiting = [rank[q] for q in started]  # the others are what one tick makes of these
        heapify(waiting)
        while waiting:
            quantity = found[heappop(waiting)]
            while waiting and waiting[0] == rank[quantity]:
                heappop(waiting)
            if self._grow(quantity):
                for reader in readers.get(quantity, ()):
                    heappush(waiting, rank[reader])

    def _grow(self, quantity: Quantity) -> bool:
        """Whether a tick makes more of a quantity than was known; then that is known."""
        old = self.known[quantity]
        new = old.hull(self._next(quantity))
        if new == old:
            return False
        if self._begin(quantity) is not None:
            self.growth[quantity] = self.growth.get(quantity, 0) + 1
            if self.growth[quantity] > PATIENCE:
                new = self._widened(quantity, old, new)
        self.known[quantity] = new
        return True

    def _begin(self, quantity: Quantity) -> Range | None:
        """What a quantity starts from; None for what is computed anew at each tick."""
        match quantity:
            case str():
                return self._first(self.circuit.values[quantity])
            case Weights(name):
                if name in self.held:
                    return ZERO
                return self.initial(name) if self.start is None else self.start.known[quantity]
            case State(name, state):
                owner = self.circuit.synapses[name]
                var = owner.state(state)
                if self.start is not None and not var.fresh:
                    return self.start.known[quantity]
                return self._init(var.init, _Place(owner))
            case Drive():
                return None
            case Before():
                return ZERO
            case _:
                assert_never(quantity)

    def _first(self, value: ir.Value) -> Range | None:
        match value.kind:
            case ir.Kind.INPUT | ir.Kind.TARGET:
                return self.given.get(value.name, ANY)
            case ir.Kind.BIAS:
                return ONE
            case ir.Kind.ADJOINT:
                return UNKNOWN
            case ir.Kind.STATE:
                if self.start is not None and value.lifetime is ir.Lifetime.KEEP:
                    return self.start.known[value.name]
                return ZERO if value.init is None else self._init(value.init, _Place())
            case ir.Kind.DENDRITE | ir.Kind.LET | ir.Kind.RATE | ir.Kind.MODULATOR | ir.Kind.LOSS:
                return None
            case _:
                assert_never(value.kind)

    def _next(self, quantity: Quantity) -> Range:
        """What one more tick makes of a quantity."""
        match quantity:
            case str():
                return self._after(self.circuit.values[quantity])
            case Weights(name):
                synapse = self.circuit.synapses[name]
                old = self.known[quantity]
                if synapse.dw is None or name in self.held or self.mask(synapse).is_empty:
                    return old
                return self._constrained(self._stepped(old, synapse.dw, quantity), synapse)
            case State(name, state):
                update = self.circuit.synapses[name].state(state).update
                old = self.known[quantity]
                return old if update is None else self._stepped(old, update, quantity)
            case Drive(name, drive):
                synapse = self.circuit.synapses[name]
                return self._of(drive_of(synapse, drive), _Place(synapse)) * self._ticks_summed()
            case Before(name):
                return self.known[name].hull(ZERO)
            case _:
                assert_never(quantity)

    def _stepped(self, old: Range, update: ir.Expr, of: Quantity) -> Range:
        """What a quantity that adds up is after one more tick. Of what may be any number already, only whether it stays
        one is found out."""
        if old == ANY and self._of(update, self._place(of)).defined:
            return ANY
        return stepped(old, self.increment(update, of))

    def _after(self, value: ir.Value) -> Range:
        if value.kind in GIVEN or value.kind is ir.Kind.ADJOINT:
            return self.known[value.name]
        if value.kind is ir.Kind.STATE:
            old = self.known[value.name]
            return old if value.update is None else self._stepped(old, value.update, value.name)
        total = ZERO if value.expr is None else self._of(value.expr, _Place())
        for current in value.currents:
            total = total + self._current(current)
        return total

    def _current(self, current: ir.Current) -> Range:
        """What a synapse brings to a dendrite: a product for each connection."""
        synapse = self.circuit.synapses[current.synapse]
        if current.transposed:
            return UNKNOWN
        each = self.known[Weights(synapse.name)] * self._at(current.source)
        least, most = self.mask(synapse).fan_in
        return each.times(least) if least == most else each.times(least).hull(each.times(most))

    def _widened(self, quantity: Quantity, old: Range, new: Range) -> Range:
        """The new range with the ends that grew moved on to likely ones: first to just before them."""
        ends = sorted(self._likely(quantity)) if self.growth[quantity] <= LAST else []
        low, low_open, high, high_open = new.low, new.low_open, new.high, new.high_open
        if low < old.low and low not in ends:
            low, low_open = max((e for e in ends if e < low), default=-inf), True
        if high > old.high and high not in ends:
            high, high_open = min((e for e in ends if e > high), default=inf), True
        return span(low, high, low_open, high_open, new.defined)

    def _likely(self, quantity: Quantity) -> set[float]:
        """Ends at which a quantity may stop to grow."""
        begun = self._begin(quantity)
        assert begun is not None
        ends = {-1.0, 0.0, 1.0, begun.low, begun.high}
        update = update_of(self.circuit, quantity)
        if update is not None and self.growth[quantity] <= MOVING:  # these move along with what is read
            ends |= set(self.increment(update, quantity).ends())
        if isinstance(quantity, Weights):
            limits = self.limits(self.circuit.synapses[quantity.synapse])
            ends |= {limits.low, limits.high}
        return {e for e in ends if not isinf(e)}

    # ------------------------------------------------------------ ticks

    def _repeats(self, expr: ir.Expr, of: Quantity) -> Range:
        """How many increments are added up before they are applied: those of the ticks of an example, where weights
        change once per example, unless the equation reads a drive and is itself evaluated once."""
        if self.circuit.reverse:
            once = isinstance(of, str) or ir.is_slow(expr)
        else:
            once = not isinstance(of, Weights) or ir.is_slow(expr)
        return ONE if once else self._ticks_summed()

    def _ticks_summed(self) -> Range:
        """Over how many ticks weights and drives are summed."""
        if self.circuit.schedule.update == "tick" and not self.circuit.reverse:
            return ONE
        count = max(self._ticks(), 1.0)
        return point(count) if count < inf and not self.circuit.reverse else span(1.0, count)

    def _ticks(self) -> float:
        """The ticks of an example in training; infinite if they are no number before the run."""
        counts = [self._number(phase.ticks) for phase in self.circuit.schedule.phases]
        if any(c is None for c in counts):
            return inf
        return sum(c for c in counts if c is not None) if counts else 1.0

    def _number(self, expr: ir.Expr) -> float | None:
        try:
            found = evaluate(expr, self.numbers)
        except ValueError:
            return None
        return found if 0 <= found < inf else None

    # ------------------------------------------------------------ expressions

    def _of(self, expr: ir.Expr, place: _Place) -> Range:
        match expr:
            case ir.Num(value=value):
                return point(value)
            case ir.ParamRef(name=name):
                return self.params[name] if name in self.params else point(self.numbers[name])
            case ir.Read():
                return self._at(expr)
            case ir.Coef(name=name):
                return self.coefficient(name)
            case ir.Flag():
                return self._flag(expr, place)
            case ir.Tick():
                return span(0.0, max(self._ticks() - 1, 0.0))
            case ir.Random(which="rand"):
                return replace(FLAG, high_open=True)
            case ir.Random():
                return ANY
            case ir.Apply():
                return self._apply(expr, place)
            case ir.Over(function=function, argument=argument):
                return over_range(function, self._of(argument, place))
            case ir.Reduce(function=function, arguments=arguments, size=size):
                return REDUCTIONS[function].within([self._of(a, place) for a in arguments], size)
            case ir.Weight() | ir.SynapseState() | ir.DriveRead() | ir.Fan():
                assert place.synapse is not None, "only the equations of a synapse read its weights"
                return self._own(expr, place.synapse, place.weight)
            case _:
                assert_never(expr)

    def _own(
        self, expr: ir.Weight | ir.SynapseState | ir.DriveRead | ir.Fan, synapse: ir.Synapse, weight: Range | None
    ) -> Range:
        match expr:
            case ir.Weight():
                return weight or self.known[Weights(synapse.name)]
            case ir.SynapseState(name=name):
                return self.known[State(synapse.name, name)]
            case ir.DriveRead(name=name):
                return self.known[Drive(synapse.name, name)]
            case ir.Fan(which=which):
                return self.mask(synapse).fan(which)
            case _:
                assert_never(expr)

    def _apply(self, expr: ir.Apply, place: _Place) -> Range:
        found = [self._of(a, place) for a in expr.arguments]
        if expr.function == "mul" and found[0] == found[1] and expr.arguments[0] == expr.arguments[1]:
            return square(found[0])
        return FUNCTIONS[expr.function].within(*found)

    def _at(self, read: ir.Read) -> Range:
        made_later = read.value not in self.circuit.values  # adjoints
        return UNKNOWN if made_later or read.when is ir.When.NEXT else self.known[quantity_of(read)]

    def _flag(self, flag: ir.Flag, place: _Place) -> Range:
        """0 or 1: rules see `train` as 1; a phase without ticks never comes, the only one with ticks always is."""
        if flag.which == "train":
            return ONE if place.synapse is not None and not self.circuit.reverse else FLAG
        counts = {p.name: self._number(p.ticks) for p in self.circuit.schedule.phases}
        if counts.get(flag.phase or "") == 0:
            return ZERO
        alone = flag.which == "phase" and all(c == 0 for name, c in counts.items() if name != flag.phase)
        return ONE if alone else FLAG

    # ------------------------------------------------------------ initial values

    def _constrained(self, weights: Range, synapse: ir.Synapse) -> Range:
        """Weights within `sign`, then within `bounds`."""
        match synapse.sign:
            case ir.Sign.FREE:
                pass
            case ir.Sign.EXCITATORY:
                weights = maximum(weights, ZERO)
            case ir.Sign.INHIBITORY:
                weights = minimum(weights, ZERO)
            case _:
                assert_never(synapse.sign)
        if synapse.bounds is None:
            return weights
        low, high = (self._of(bound, _Place(synapse)) for bound in synapse.bounds)
        return clip(weights, low, high)

    def _init(self, init: ir.Init, place: _Place) -> Range:
        match init:
            case ir.Num() | ir.ParamRef() | ir.Fan():
                return self._of(init, place)
            case ir.InitApply(function=function, arguments=arguments):
                return FUNCTIONS[function].within(*(self._init(a, place) for a in arguments))
            case ir.InitCall(arguments=arguments):
                return self._drawn(init, [self._of(a, place) for a in arguments], place)
            case _:
                assert_never(init)

    def _drawn(self, init: ir.InitCall, arguments: list[Range], place: _Place) -> Range:
        match init.which:
            case "zeros":
                return ZERO
            case "constant":
                return arguments[0]
            case "normal":
                mean, deviation = arguments
                return mean + deviation * ANY
            case "uniform":
                return arguments[0].hull(arguments[1])
            case "orthogonal":
                return Range(-1.0, 1.0)
            case "identity":
                return FLAG if place.synapse is None else self.mask(place.synapse).identity
            case "transpose" | "copy":
                assert init.other is not None
                other = self.circuit.synapses[init.other]
                return self.initial(init.other) if self.mask(other).is_full else self.initial(init.other).hull(ZERO)
            case "file":
                return ANY
            case _:
                assert_never(init.which)
