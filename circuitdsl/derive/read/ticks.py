"""The ticks of an example: which of them are alike, and a circuit as it is in one of them.

A circuit whose examples are one tick loses its phase, which decides nothing. Of any other, ticks in which all flags
are the same are one **moment**. The **view** of a circuit at a moment is a circuit of one tick, in which flags are
numbers, and what earlier ticks have left (states that moved, `prev`) are data. What a view says of the
weights, it says of them as they stand in those ticks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from circuitdsl.derive.algebra.constants import with_fans
from circuitdsl.frozen import frozen, mutable
from circuitdsl.graph import ir
from circuitdsl.graph.folding import mul, num, rebuild
from circuitdsl.graph.numbers import evaluate, numbers_of

#: The name of the number of the tick in a view of several ticks.
TICK = "tick"


def one_tick(circuit: ir.Circuit) -> bool:
    """Whether an example is one tick, in training as in evaluation."""
    match circuit.schedule.phases:
        case ():
            return True
        case (ir.Phase(train=False, ticks=ticks),):
            return evaluate(ticks, numbers_of(circuit, {})) == 1
        case _:
            return False


def without_phase(circuit: ir.Circuit) -> ir.Circuit:
    """A circuit of one tick without its phase, which is always on: its first tick is its last, `tick` is 0, and the
    loss is read then. Any other circuit as it is."""
    if not circuit.schedule.phases or not one_tick(circuit):
        return circuit
    (moment,) = moments_of(circuit)
    return _View(circuit, moment, frozenset()).made(read=True)


# ---------------------------------------------------------------- moments


@frozen(kw_only=True)
class Moment:
    """Some `ticks` of an example in which all flags are the same: of one phase, its first or its last tick where
    anything asks for these. `tick`: the number of the first of them, counted in training."""

    phase: str
    train: bool
    ticks: int
    first: bool
    last: bool
    tick: int

    @property
    def single(self) -> bool:
        return self.ticks == 1


def moments_of(circuit: ir.Circuit) -> tuple[Moment, ...]:
    """The moments of an example in training, in the order of time."""
    numbers = numbers_of(circuit, {})
    asked = {(e.which, e.phase) for expr in _everything(circuit) for e in ir.walk(expr) if isinstance(e, ir.Flag)}
    asked |= {("last", phase) for phase in _phases_of_loss(circuit) if circuit.loss and circuit.loss.when != "over"}
    found: list[Moment] = []
    tick = 0
    for phase in circuit.schedule.phases:
        name, train = phase.name, phase.train
        parts = _parts(round(evaluate(phase.ticks, numbers)), ("first", name) in asked, ("last", name) in asked)
        for ticks, first, last in parts:
            found.append(Moment(phase=name, train=train, ticks=ticks, first=first, last=last, tick=tick))
            tick += ticks
    return tuple(found)


def moments_of_loss(circuit: ir.Circuit, moments: tuple[Moment, ...]) -> tuple[Moment, ...]:
    """The moments in which the loss is read; none without a loss, or in a circuit that evaluates no tick."""
    if circuit.loss is None:
        return ()
    there = [m for m in moments if m.phase in _phases_of_loss(circuit)]
    return tuple(there) if circuit.loss.when == "over" else tuple(there[-1:])


def _parts(ticks: int, first: bool, last: bool) -> Iterator[tuple[int, bool, bool]]:
    """The ticks of a phase, parted: how many, and whether they are its first and its last."""
    if ticks <= 1:
        yield from [(1, True, True)] * ticks
        return
    if first:
        yield 1, True, False
    middle = ticks - first - last
    if middle:
        yield middle, False, False
    if last:
        yield 1, False, True


def _phases_of_loss(circuit: ir.Circuit) -> set[str]:
    """The phase in which the loss is read: the one that it names, or the last that evaluation has."""
    if circuit.loss is None:
        return set()
    if circuit.loss.phase is not None:
        return {circuit.loss.phase}
    numbers = numbers_of(circuit, {})
    there = [p.name for p in circuit.schedule.phases if not p.train and evaluate(p.ticks, numbers) >= 1]
    return set(there[-1:])


def _everything(circuit: ir.Circuit) -> Iterator[ir.Expr]:
    """Every equation of a circuit."""
    found: list[ir.Expr | None] = [None if circuit.loss is None else circuit.loss.expr]
    for value in circuit.values.values():
        found += [value.expr, value.update]
    for synapse in circuit.synapses.values():
        found += [synapse.dw, *(d.expr for d in synapse.drives), *(s.update for s in synapse.states)]
    yield from (e for e in found if e is not None)


# ---------------------------------------------------------------- at a moment


def folded(expr: ir.Expr, moment: Moment) -> ir.Expr:
    """An expression with the flags of a moment as numbers, and `tick` where it is one tick."""

    def constant(e: ir.Expr) -> ir.Expr | None:
        match e:
            case ir.Flag(which="train"):
                return num(1, e.span) if moment.train else None
            case ir.Flag(which=which, phase=phase):
                on = {"phase": True, "first": moment.first, "last": moment.last}[which]
                return num(on and phase == moment.phase, e.span)
            case ir.Tick() if moment.single:
                return num(moment.tick, e.span)
            case _:
                return None

    return rebuild(expr, constant)


def is_zero(expr: ir.Expr | None) -> bool:
    return expr is None or (isinstance(expr, ir.Num) and expr.value == 0)


def before(moment: Moment, moments: tuple[Moment, ...]) -> tuple[Moment, ...]:
    """The moments that have left something in some tick of this one: earlier ones, and itself if it is several."""
    return tuple(m for m in moments if m.tick < moment.tick or (m == moment and not m.single))


def moved_states(circuit: ir.Circuit, earlier: tuple[Moment, ...]) -> frozenset[str]:
    """The states of an example that have moved in any of these moments."""
    passing = [v for v in circuit.values.values() if v.lifetime is ir.Lifetime.EXAMPLE and v.update is not None]
    return frozenset(v.name for v in passing if any(not is_zero(folded(_update(v), m)) for m in earlier))


def _update(value: ir.Value) -> ir.Expr:
    assert value.update is not None
    return value.update


def view(circuit: ir.Circuit, moment: Moment, moments: tuple[Moment, ...]) -> ir.Circuit:
    """The circuit at one moment, as one of one tick. Where the loss is not read then, it has none, and what is drawn
    from a normal distribution is an input of its own; see `noise_of`."""
    moved = moved_states(circuit, before(moment, moments))
    return _View(circuit, moment, moved).made(read=moment in moments_of_loss(circuit, moments))


def carried_inputs(view: ir.Circuit) -> dict[str, str]:
    """The inputs of a view that are what earlier ticks have left, each with the value that left it."""
    return {n: v.of for n, v in view.values.items() if v.kind is ir.Kind.INPUT and v.of is not None}


def noise_of(view: ir.Circuit) -> frozenset[str]:
    """The inputs of a view that are noise: of mean 0 and variance 1, each number drawn by itself. They are neither
    given as data, nor left by earlier ticks, nor the number of the tick."""
    inputs = (v for v in view.values.values() if v.kind is ir.Kind.INPUT and v.of is None)
    return frozenset(v.name for v in inputs if v.population is not None and v.name not in view.populations)


@mutable
class _View:
    """A view while it is made. `moved`: the states that are data then."""

    circuit: ir.Circuit
    moment: Moment
    moved: frozenset[str]

    def made(self, *, read: bool) -> ir.Circuit:
        circuit, loss = self.circuit, self.circuit.loss
        inputs: dict[str, ir.Value] = {}
        values = {n: self._value(v, inputs, noisy=read) for n, v in circuit.values.items()}
        synapses = {n: self._synapse(s, inputs) for n, s in circuit.synapses.items()}
        if loss is not None:
            loss = replace(loss, expr=self._share(loss, inputs), when="last", phase=None) if read else None
        return replace(
            circuit, values=values | inputs, synapses=synapses, loss=loss, schedule=replace(circuit.schedule, phases=())
        )

    def _share(self, loss: ir.Loss, inputs: dict[str, ir.Value]) -> ir.Expr:
        """What one tick adds to the loss: all of it, or its part of a mean over the ticks of a phase."""
        expr = self._at(loss.expr, inputs)
        if loss.when != "over":
            return expr
        numbers = numbers_of(self.circuit, {})
        ticks = next(evaluate(p.ticks, numbers) for p in self.circuit.schedule.phases if p.name == loss.phase)
        return mul(num(1 / ticks, expr.span), expr, span=expr.span)

    @property
    def _starts(self) -> bool:
        """Whether it is the first tick of all, before which there is nothing."""
        return self.moment.tick == 0 and self.moment.single

    def _value(self, value: ir.Value, inputs: dict[str, ir.Value], *, noisy: bool) -> ir.Value:
        if value.name in self.moved:
            return _input(value, value.name, of=value.name)
        expr = None if value.expr is None else self._at(value.expr, inputs)
        if expr is not None and not noisy:
            expr = self._noise(value, expr, inputs)
        update = None if value.update is None else self._at(value.update, inputs)
        kept = value.lifetime is ir.Lifetime.KEEP  # it may have moved before
        currents = tuple(replace(c, source=self._read(c.source, inputs)) for c in value.currents)
        return replace(value, expr=expr, currents=currents, update=update if kept or self._alone else None)

    @property
    def _alone(self) -> bool:
        """Whether an example is this one tick: the increments of states lead nowhere, but stand in the text."""
        return self._starts and len(self.circuit.schedule.phases) == 1

    def _synapse(self, synapse: ir.Synapse, inputs: dict[str, ir.Value]) -> ir.Synapse:
        drives = tuple(replace(d, expr=self._at(d.expr, inputs)) for d in synapse.drives)
        silent = {d.name for d in drives if is_zero(d.expr)} if self.circuit.schedule.update == "tick" else set()

        def at(expr: ir.Expr) -> ir.Expr:
            return rebuild(self._at(expr, inputs), lambda e: _silenced(e, silent))

        states = tuple(
            replace(s, update=None if s.update is None else at(s.update), fresh=s.fresh and self._starts)
            for s in synapse.states
        )
        return replace(
            synapse, source=self._read(synapse.source, inputs), dw=None if synapse.dw is None else at(synapse.dw),
            drives=drives, states=states,
        )  # fmt: skip

    def _at(self, expr: ir.Expr, inputs: dict[str, ir.Value]) -> ir.Expr:
        """An equation at the moment; what it reads of the past becomes an input."""

        def past(e: ir.Expr) -> ir.Expr | None:
            match e:
                case ir.Read(when=ir.When.PREV):
                    return self._read(e, inputs)
                case ir.Tick():
                    inputs[TICK] = ir.Value(name=TICK, span=e.span, kind=ir.Kind.INPUT, population=None, size=1)
                    return ir.Read(span=e.span, value=TICK, axis=ir.Axis.SCALAR)
                case _:
                    return None

        return rebuild(folded(expr, self.moment), past)

    def _read(self, read: ir.Read, inputs: dict[str, ir.Value]) -> ir.Read:
        if read.when is not ir.When.PREV or self._starts:
            return read
        name = f"prev({read.value})"
        inputs[name] = _input(self.circuit.values[read.value], name, of=read.value)
        return replace(read, value=name, when=ir.When.NOW)

    def _noise(self, value: ir.Value, expr: ir.Expr, inputs: dict[str, ir.Value]) -> ir.Expr:
        """An equation of a population with each draw from a normal distribution as an input."""

        def drawn(e: ir.Expr) -> ir.Expr | None:
            if not isinstance(e, ir.Random) or e.which != "randn" or value.population is None:
                return None
            name = f"ξ{e.occurrence}({value.name})"
            inputs[name] = _input(value, name)
            return ir.Read(span=e.span, value=name, axis=ir.Axis.OWN)

        return rebuild(expr, drawn)


def _silenced(expr: ir.Expr, silent: set[str]) -> ir.Expr | None:
    """0 for a drive that is 0 throughout."""
    return num(0, expr.span) if isinstance(expr, ir.DriveRead) and expr.name in silent else None


def _input(value: ir.Value, name: str, of: str | None = None) -> ir.Value:
    """An input of the units of a value."""
    return ir.Value(
        name=name, span=value.span, via=value.via, kind=ir.Kind.INPUT, population=value.population, size=value.size,
        of=of,
    )  # fmt: skip


def in_training(synapse: ir.Synapse) -> ir.Synapse:
    """The synapse with `train` as 1, as its rule runs in training only, and fans as params."""

    equations = [synapse.dw, *(d.expr for d in synapse.drives), *(s.update for s in synapse.states)]
    if not any(isinstance(e, ir.Flag | ir.Fan) for x in equations if x is not None for e in ir.walk(x)):
        return synapse

    def trained(e: ir.Expr) -> ir.Expr | None:
        return num(1, e.span) if isinstance(e, ir.Flag) and e.which == "train" else None

    def again(e: ir.Expr) -> ir.Expr:
        return rebuild(with_fans(e, synapse), trained)

    return replace(
        synapse,
        dw=None if synapse.dw is None else again(synapse.dw),
        drives=tuple(replace(d, expr=again(d.expr)) for d in synapse.drives),
        states=tuple(s if s.update is None else replace(s, update=again(s.update)) for s in synapse.states),
    )
