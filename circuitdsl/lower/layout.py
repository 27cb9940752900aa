"""Where the numbers of a circuit live in one program: buffers, runtime scalars, flags.

A `Layout` hands out buffers and scalars as equations ask for them, so that a program has only what it uses.
A value is [batch, size], or [size] where one example is presented at a time (`online`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal, assert_never

from circuitdsl.diagnostics import Span
from circuitdsl.frozen import mutable
from circuitdsl.graph import ir
from circuitdsl.graph.canonical import by_name
from circuitdsl.graph.ir import Axis, Circuit, Kind, Lifetime, Read, Synapse, SynapseVar, When
from circuitdsl.graph.projections import sparse_synapses
from circuitdsl.lower.extents import ONE, Extents
from circuitdsl.lower.loop_ir import (
    PLAIN,
    Aim,
    Buffer,
    Const,
    Define,
    Dtype,
    Expr,
    Given,
    Load,
    Loop,
    Op,
    Origin,
    Role,
    Row,
    Scalar,
    Statement,
    Var,
)
from circuitdsl.lower.names import LOCALS, Names

AT_B, AT_I, AT_J, AT_K = (Var(name, Dtype.INT) for name in "bijk")
ZERO = Const(0, Dtype.INT)
TICK = Var("tick", Dtype.INT)
EXAMPLE = Var("example", Dtype.INT)  # the data-set index of the one example (online)

#: `learn` updates weights; `free` is evaluation; `twin` is evaluation and then its ticks backwards.
Pass = Literal["learn", "free", "twin"]


def real(value: float) -> Const:
    return Const(value, Dtype.REAL)


@mutable
class Layout:
    """The buffers and scalars of one program over `circuit`, taken in the order of names: the program, and with it
    every bit of a run, is the same for every order of the items.

    `backward` is set while the equations of a twin's reverse pass are lowered: forward values then come
    from the tape."""

    circuit: Circuit
    work: Pass
    online: bool
    aim: Aim = PLAIN
    extents: Extents = field(init=False)
    sparse: frozenset[str] = field(init=False)  # the synapses that hold only the weights that are there
    partners: frozenset[str] = field(init=False)  # those of them that join partners only: weight j is of unit j
    names: Names = field(default_factory=Names)
    buffers: dict[str, Buffer] = field(default_factory=dict)
    scalars: dict[str, Scalar] = field(default_factory=dict)
    flags: dict[tuple[str, str], Var] = field(default_factory=dict)
    given: dict[str, Buffer] = field(default_factory=dict)  # inputs and targets gathered for a batch
    before: dict[str, Buffer] = field(default_factory=dict)  # values of the tick before
    after: dict[str, Buffer] = field(default_factory=dict)  # adjoints of the tick after
    taped: dict[str, Buffer] = field(default_factory=dict)  # forward values of every tick
    fresh: dict[tuple[str, str], Buffer] = field(default_factory=dict)  # states of synapses, of an example
    sums: dict[str, Buffer] = field(default_factory=dict)  # over the ticks of an example
    backward: bool = False

    def __post_init__(self) -> None:
        self.circuit = by_name(self.circuit)
        self.extents = Extents(self.circuit)
        self.sparse = sparse_synapses(self.circuit) if self.aim.sparse else frozenset()
        self.partners = frozenset(name for name in self.sparse if self.circuit.synapses[name].joins_partners)

    # ------------------------------------------------------------ time

    @property
    def single(self) -> bool:
        """Whether an example is one tick."""
        return not self.circuit.schedule.phases

    @property
    def tick(self) -> Expr:
        return ZERO if self.single else TICK

    def phases(self) -> list[ir.Phase]:
        """The phases that this pass has."""
        return [p for p in self.circuit.schedule.phases if self.work == "learn" or not p.train]

    def flag(self, flag: ir.Flag) -> Expr:
        """0 or 1. A phase that this pass skips is always 0."""
        if flag.which == "train":
            return real(1.0 if self.work == "learn" else 0.0)
        assert flag.phase is not None
        if all(p.name != flag.phase for p in self.phases()):
            return real(0.0)
        return Op("real", (self.flag_variable(flag.which, flag.phase),))

    def flag_variable(self, which: Literal["phase", "first", "last"], phase: str) -> Var:
        """The uniform bool that says so; lower/schedule.py defines it in every tick."""
        name = self.names.of(phase, "in" if which == "phase" else which)
        return self.flags.setdefault((which, phase), Var(name, Dtype.BOOL))

    # ------------------------------------------------------------ scalars

    def scalar(self, given: Given, key: str, name: str, dtype: Dtype) -> Var:
        assert name in LOCALS or name in self.names.used, name
        self.scalars.setdefault(name, Scalar(name=name, dtype=dtype, given=given, key=key))
        return Var(name, dtype)

    def param(self, name: str) -> Var:
        return self.scalar(Given.PARAM, name, self.names.of(name), Dtype.REAL)

    def fan(self, synapse: Synapse, which: Literal["in", "out"]) -> Var:
        given = Given.FAN_IN if which == "in" else Given.FAN_OUT
        return self.scalar(given, synapse.name, self.names.of(synapse.name, given.value), Dtype.REAL)

    def ticks(self, phase: str) -> Var:
        return self.scalar(Given.TICKS, phase, self.names.of(phase, "ticks"), Dtype.INT)

    def capacity(self, of: Literal["batch", "dataset", "tape"]) -> str:
        return self.scalar(Given.CAPACITY, of, of, Dtype.INT).name

    def size(self, extent: str) -> str:
        """The scalar of an extent: ONE, or the number of units of the population that names it."""
        if extent == ONE:
            return ONE
        return self.scalar(Given.SIZE, extent, self.names.of(extent, "n"), Dtype.INT).name

    def noise(self, expr: ir.Random, unit: Expr) -> Expr:
        seed = self.scalar(Given.SEED, "", "seed", Dtype.INT)
        epoch = self.scalar(Given.EPOCH, "", "epoch", Dtype.INT)
        occurrence = Const(expr.occurrence, Dtype.INT)
        return Op(expr.which, (seed, occurrence, epoch, self.data_index(), self.tick, unit))

    # ------------------------------------------------------------ examples

    @property
    def example(self) -> tuple[Expr, ...]:
        """The leading index of what every example of the batch has its own of."""
        return () if self.online else (AT_B,)

    def data_index(self) -> Expr:
        """The data-set index of the present example."""
        if self.online:
            return EXAMPLE
        order = self.order()
        return Load(order.name, (Op("add", (Var("first", Dtype.INT), AT_B), Dtype.INT),), Dtype.INT)

    def order(self) -> Buffer:
        shape = (self.scalar(Given.EXAMPLES, "", "examples", Dtype.INT).name,)
        return self.keep(Buffer(name="order", role=Role.ORDER, key="", shape=shape, dtype=Dtype.INT))

    def each_example(
        self, *body: Statement, threads: bool = False, origin: Origin | None = None
    ) -> tuple[Statement, ...]:
        if self.online:
            return body
        return (Loop(var="b", extent="count", body=body, over="threads" if threads else "sequence", origin=origin),)

    # ------------------------------------------------------------ buffers

    def keep(self, buffer: Buffer) -> Buffer:
        return self.buffers.setdefault(buffer.name, buffer)

    def per_example(self, *shape: str) -> tuple[str, ...]:
        return shape if self.online else (self.capacity("batch"), *shape)

    def work_buffer(self, entity: str, what: str, shape: tuple[str, ...], span: Span | None) -> Buffer:
        """Room for something that belongs to an entity; `what` says what it is."""
        name = self.names.of(entity, what)
        return self.keep(Buffer(name=name, role=Role.WORK, key=entity, shape=shape, origin=Origin(entity, span)))

    def row(self, size: str, number: int) -> Buffer:
        """A row for sums, of which every thread has its own; synapses with as many columns share it."""
        name = self.names.of(f"{size}_{number}".removesuffix("_1"), "row")
        return self.keep(Buffer(name=name, role=Role.ROW, key="", shape=(size,)))

    def value(self, name: str) -> Buffer:
        """The present values of a population (or scalar) that are not given, kept or constant."""
        shape = self.per_example(self.size(self.extents.of(name)))
        origin = Origin(name, self.circuit.values[name].span)
        return self.keep(Buffer(name=self.names.of(name), role=Role.VALUE, key=name, shape=shape, origin=origin))

    def reset(self, key: str, shape: tuple[str, ...]) -> Buffer:
        return self.keep(Buffer(name=self.names.of(key, "init"), role=Role.RESET, key=key, shape=shape))

    def data(self, name: str) -> Buffer:
        shape = (self.capacity("dataset"), self.size(self.extents.of(name)))
        return self.keep(Buffer(name=self.names.of(name, "data"), role=Role.DATA, key=name, shape=shape))

    def kept(self, name: str) -> Buffer:
        shape = (self.size(self.extents.of(name)),)
        origin = Origin(name, self.circuit.values[name].span)
        return self.keep(Buffer(name=self.names.of(name), role=Role.KEPT, key=name, shape=shape, origin=origin))

    # ------------------------------------------------------------ synapses

    def post(self, synapse: Synapse) -> str:
        return self.size(self.extents.of(synapse.post))

    def pre(self, synapse: Synapse) -> str:
        return self.size(self.extents.of(synapse.source.value))

    def matrix(self, synapse: Synapse) -> tuple[str, ...]:
        """The shape of what each weight has."""
        if synapse.name in self.partners:
            return (self.post(synapse),)
        if synapse.name in self.sparse:
            return (self.places(synapse),)
        return self.post(synapse), self.pre(synapse)

    def weight_at(self, synapse: Synapse, post: Expr = AT_J, pre: Expr = AT_I) -> tuple[Expr, ...]:
        """The place of a weight in it: of a sparse synapse the one that a loop over `row_of` is at."""
        if synapse.name in self.partners:
            return (self.at(self.post(synapse), post),)
        if synapse.name in self.sparse:
            return (AT_K,)
        return self.at(self.post(synapse), post), self.at(self.pre(synapse), pre)

    def places(self, synapse: Synapse) -> str:
        return self.scalar(Given.PLACES, synapse.name, self.names.of(synapse.name, "places"), Dtype.INT).name

    def row_of(self, synapse: Synapse, post: Expr, *body: Statement, origin: Origin | None = None) -> Loop:
        """The statements for each weight of one row of a sparse synapse, `k`, from presynaptic unit `i`."""
        rows = self.scalar(Given.STARTS, synapse.name, self.names.of(synapse.name, "rows"), Dtype.INT).name
        name, places = self.names.of(synapse.name, "starts"), self.places(synapse)
        starts = self.keep(Buffer(name=name, role=Role.STARTS, key=synapse.name, shape=(rows,), dtype=Dtype.INT))
        name = self.names.of(synapse.name, "columns")
        columns = self.keep(Buffer(name=name, role=Role.COLUMNS, key=synapse.name, shape=(places,), dtype=Dtype.SHORT))
        unit = Define(name=AT_I.name, value=Load(columns.name, (AT_K,), Dtype.INT))
        row = Row(starts=starts.name, at=self.at(self.post(synapse), post), places=places)
        return Loop(var=AT_K.name, extent=row, body=(unit, *body), origin=origin)

    def per_weight(self, synapse: Synapse, role: Role, key: str, prefix: str = "") -> Buffer:
        shape = self.matrix(synapse)
        dtype = Dtype.BOOL if role is Role.MASK else Dtype.REAL
        origin = Origin(synapse.name, synapse.span)
        name = self.names.of(key, prefix)
        return self.keep(Buffer(name=name, role=role, key=key, shape=shape, dtype=dtype, origin=origin))

    def weights(self, synapse: Synapse) -> Buffer:
        return self.per_weight(synapse, Role.WEIGHT, synapse.name)

    def mask(self, synapse: Synapse) -> Buffer | None:
        if synapse.name in self.sparse or all(c.which == "dense" for c in synapse.connect):
            return None
        return self.per_weight(synapse, Role.MASK, synapse.name, "mask")

    def synapse_state(self, synapse: Synapse, state: SynapseVar) -> Expr:
        """A state of the synapse at the weight (AT_J, AT_I), as its equations read it."""
        key = f"{synapse.name}.{state.name}"
        at = self.weight_at(synapse)
        if not state.fresh:
            return Load(self.per_weight(synapse, Role.SYNAPSE_STATE, key).name, at)
        if self.single or self.work == "twin":
            return Load(self.reset(key, self.matrix(synapse)).name, at)
        return Load(self.fresh_state(synapse, state).name, (*self.example, *at))

    def fresh_state(self, synapse: Synapse, state: SynapseVar) -> Buffer:
        key = f"{synapse.name}.{state.name}"
        shape = self.per_example(*self.matrix(synapse))
        buffer = self.work_buffer(key, "", shape, state.span)
        return self.fresh.setdefault((synapse.name, state.name), buffer)

    def coefficient(self, coef: ir.Coef, units: Mapping[Axis, Expr]) -> Load:
        coefficient = self.circuit.coefficients[coef.name]
        if coefficient.per == "weight":
            synapse = self.circuit.synapses[coefficient.owner]
            buffer = self.per_weight(synapse, Role.COEFFICIENT, coef.name)
            return Load(buffer.name, self.weight_at(synapse))
        assert coef.axis is not None
        shape = (self.size(self.extents.of(coefficient.owner)),)
        name = self.names.of(coef.name)
        buffer = self.keep(Buffer(name=name, role=Role.COEFFICIENT, key=coef.name, shape=shape))
        return Load(buffer.name, (self.at(shape[0], units[coef.axis]),))

    # ------------------------------------------------------------ reading values

    @staticmethod
    def at(size: str, unit: Expr) -> Expr:
        """The index along an extent: that of the unit, 0 where there is only one."""
        return ZERO if size == ONE else unit

    def read(self, read: Read, units: Mapping[Axis, Expr]) -> Expr:
        """A value at the tick and unit that is meant."""
        size = self.size(self.extents.of(read.value))
        unit = ZERO if size == ONE else units[read.axis]
        match read.when:
            case When.NOW:
                return self._now(read.value, unit)
            case When.PREV:
                return self._before(read.value, unit)
            case When.NEXT:
                if self.single:
                    return real(0.0)
                buffer = self.work_buffer(read.value, "next", self.per_example(size), read.span)
                self.after.setdefault(read.value, buffer)
                return Load(buffer.name, (*self.example, unit))
            case _:
                assert_never(read.when)

    def _now(self, name: str, unit: Expr) -> Expr:
        value = self.circuit.values[name]
        match value.kind:
            case Kind.BIAS:
                return real(1.0)
            case Kind.INPUT | Kind.TARGET:
                return self._given(name, unit)
            case Kind.STATE if value.lifetime is Lifetime.KEEP:
                return Load(self.kept(name).name, (unit,))
            case Kind.STATE if self.single:
                return Load(self.reset(name, (self.size(self.extents.of(name)),)).name, (unit,))
            case Kind.ADJOINT:
                return Load(self.value(name).name, (*self.example, unit))
            case Kind.DENDRITE | Kind.LET | Kind.RATE | Kind.STATE | Kind.MODULATOR | Kind.LOSS:
                if self.backward and not self.single:
                    return Load(self.tape(name).name, (_following(self.tick), *self.example, unit))
                return Load(self.value(name).name, (*self.example, unit))
            case _:
                assert_never(value.kind)

    def _given(self, name: str, unit: Expr) -> Expr:
        """Data of an input or target: in place online, gathered for a batch."""
        data = self.data(name)
        if self.online:
            return Load(data.name, (EXAMPLE, unit))
        buffer = self.given.setdefault(name, self.value(name))
        return Load(buffer.name, (AT_B, unit))

    def _before(self, name: str, unit: Expr) -> Expr:
        if self.single:
            return real(0.0)
        if self.backward:
            return Load(self.tape(name).name, (self.tick, *self.example, unit))
        return Load(self.prev(name).name, (*self.example, unit))

    def prev(self, name: str) -> Buffer:
        """The values of the tick before; 0 at the first."""
        size = self.size(self.extents.of(name))
        buffer = self.work_buffer(name, "prev", self.per_example(size), self.circuit.values[name].span)
        return self.before.setdefault(name, buffer)

    def tape(self, name: str) -> Buffer:
        """The values at all ticks: those of tick t stand at t + 1, and zeros at 0."""
        shape = (self.capacity("tape"), *self.per_example(self.size(self.extents.of(name))))
        buffer = self.work_buffer(name, "tape", shape, self.circuit.values[name].span)
        return self.taped.setdefault(name, buffer)


def _following(tick: Expr) -> Expr:
    return Op("add", (tick, Const(1, Dtype.INT)), Dtype.INT)
