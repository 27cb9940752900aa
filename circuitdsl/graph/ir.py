"""The checked circuit graph: what every later room reads.

A circuit is populations, each with **values** (its dendrites, states, lets and its rate), scalars
(modulators, the loss), **synapses** between them, and equations over these. Names are elaborated
(`L[1].W`); motifs, loops, rules, aliases and imports are gone, but every node keeps its span and the
`use`s it came through.

Values are named by the text that reads them: the rate of `h` is `h`, its dendrite `h.basal`, its state
`h.v`, its let `h.a`; a modulator is `m`, its state `m.b`; the loss as a value is `loss`.

Meaning of a tick (language.md, "What happens, exactly"): the values in `Circuit.order` are evaluated
with weights and states as they stand; then every increment; then all are applied at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from enum import StrEnum
from typing import Literal

from circuitdsl.diagnostics import Span
from circuitdsl.frozen import frozen

# ---------------------------------------------------------------- expressions


class Axis(StrEnum):
    """Which unit of a population value an expression reads."""

    OWN = "own"  # the unit the equation is written for (neuron equations, one-to-one wiring)
    PRE = "pre"  # the presynaptic unit of the synapse the equation is written for
    POST = "post"  # its postsynaptic unit
    SCALAR = "scalar"  # a modulator, a modulator's state, the loss


class When(StrEnum):
    """The tick a value is read at; PREV is 0 at the first tick, NEXT (adjoints only) at the last."""

    NOW = "now"
    PREV = "prev"
    NEXT = "next"


@frozen(kw_only=True)
class Node:
    span: Span = field(compare=False, repr=False)


@frozen(kw_only=True)
class Num(Node):
    value: float


@frozen(kw_only=True)
class ParamRef(Node):
    """A number param: a runtime argument. An element of a list param is named `sizes[2]`."""

    name: str


@frozen(kw_only=True)
class Read(Node):
    """A value of the circuit. A value of size 1 broadcasts whatever the axis."""

    value: str
    axis: Axis
    when: When = When.NOW


@frozen(kw_only=True)
class Coef(Node):
    """A coefficient of the owner of the equation: per weight (in synapses) or per neuron.

    `axis` is None for a coefficient per weight, else the unit that is read."""

    name: str
    axis: Axis | None


@frozen(kw_only=True)
class Weight(Node):
    """`w` in the equations of a synapse."""


@frozen(kw_only=True)
class SynapseState(Node):
    """A state of the synapse whose equation this is, by its bare name."""

    name: str


@frozen(kw_only=True)
class DriveRead(Node):
    """A drive of the synapse whose equation this is, by its bare name."""

    name: str


@frozen(kw_only=True)
class Fan(Node):
    """`fan_in` or `fan_out` of the synapse whose equation or `init` this is: the realised mean
    number of weights per postsynaptic (presynaptic) unit."""

    which: Literal["in", "out"]


@frozen(kw_only=True)
class Flag(Node):
    """0/1: `train`, a phase name ("phase"), `first(P)`, `last(P)`. `phase` is None for train."""

    which: Literal["train", "phase", "first", "last"]
    phase: str | None = None


@frozen(kw_only=True)
class Tick(Node):
    """The tick within the example, from 0."""


@frozen(kw_only=True)
class Random(Node):
    """`rand()` (uniform in [0, 1)) or `randn()`; keyed by (seed, occurrence, epoch, data-set index,
    tick, unit). `occurrence` is made of the name of the equation and which of its draws it is
    (noise.occurrence). In a synapse equation the unit is j * fan-in size + i."""

    which: Literal["rand", "randn"]
    occurrence: int


@frozen(kw_only=True)
class Apply(Node):
    """An elementwise operation; see functions.py for names and arities."""

    function: str
    arguments: tuple[Expr, ...]


@frozen(kw_only=True)
class Over(Node):
    """A function of a whole population that gives a population: softmax(x), onehot_max(x),
    kwta(x, k). Only in `rate` and `let`; `k` is None but for kwta."""

    function: Literal["softmax", "onehot_max", "kwta"]
    argument: Expr
    k: Expr | None = None


@frozen(kw_only=True)
class Reduce(Node):
    """A scalar from populations, by a reduction of populations.py. Inside, population values are read
    with Axis.OWN. `size` is the size of the population reduced over."""

    function: str
    arguments: tuple[Expr, ...]
    size: int


Expr = (
    Num | ParamRef | Read | Coef | Weight | SynapseState | DriveRead | Fan | Flag | Tick | Random
    | Apply | Over | Reduce
)  # fmt: skip


def children(expr: Expr) -> tuple[Expr, ...]:
    """The direct subexpressions."""
    match expr:
        case Apply() | Reduce():
            return expr.arguments
        case Over():
            return (expr.argument,) if expr.k is None else (expr.argument, expr.k)
        case _:
            return ()


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and everything under it, parents first."""
    waiting = [expr]
    while waiting:
        found = waiting.pop()
        yield found
        waiting += children(found)[::-1]


def reads(expr: Expr) -> Iterator[Read]:
    waiting = [expr]
    while waiting:
        found = waiting.pop()
        if isinstance(found, Read):
            yield found
        else:
            waiting += children(found)[::-1]


# ---------------------------------------------------------------- initial values


@frozen(kw_only=True)
class InitCall(Node):
    """One of the named initial values. `arguments` are numbers, params and fan_in/fan_out;
    `other` is the synapse of transpose/copy, `path` the file (relative to the `.circ`)."""

    which: Literal[
        "zeros",
        "constant",
        "normal",
        "uniform",
        "orthogonal",
        "identity",
        "transpose",
        "copy",
        "file",
    ]
    arguments: tuple[Expr, ...] = ()
    other: str | None = None
    path: str | None = None


@frozen(kw_only=True)
class InitApply(Node):
    """Arithmetic on initial values: any elementwise function; scalars broadcast."""

    function: str
    arguments: tuple[Init, ...]


Init = InitCall | InitApply | Num | ParamRef | Fan


@frozen(kw_only=True)
class Connect(Node):
    """One mask; a synapse has a tuple of them, combined with `&` (empty: dense).
    `argument` is p of sparse(p) or k of fan_in(k)."""

    which: Literal["dense", "one_to_one", "sparse", "fan_in", "no_self", "file"]
    argument: Expr | None = None
    path: str | None = None


# ---------------------------------------------------------------- entities


@frozen(kw_only=True)
class Entity:
    """Something with a name in the elaborated circuit. `via` are the `use`s and `for`s that made
    it, outermost first; `doc` is its docstring."""

    name: str
    span: Span = field(compare=False, repr=False)
    via: tuple[Span, ...] = field(default=(), compare=False, repr=False)
    doc: str | None = None


class Kind(StrEnum):
    INPUT = "input"
    TARGET = "target"
    BIAS = "bias"
    DENDRITE = "dendrite"
    STATE = "state"
    LET = "let"
    RATE = "rate"
    MODULATOR = "modulator"
    LOSS = "loss"
    ADJOINT = "adjoint"  # made by twin/gradient.py, never written


#: What `prev` reads: values that a tick has and the tick before had, given or computed. States are as the tick before
#: left them, and read by their name.
WITH_PAST = frozenset({Kind.INPUT, Kind.TARGET, Kind.BIAS, Kind.DENDRITE, Kind.LET, Kind.RATE})


class Lifetime(StrEnum):
    EXAMPLE = "example"  # one per example of the batch, reset to its init at the first tick
    KEEP = "keep"  # one for the circuit, survives examples, increments averaged over the batch


@frozen(kw_only=True)
class Current:
    """One synapse's contribution: sum_i W[j, i] source[i] over the synapse's presynaptic units; if
    `transposed` (adjoints only), sum_j W[j, i] source[j] over its postsynaptic ones."""

    synapse: str
    source: Read
    transposed: bool = False


@frozen(kw_only=True)
class Value(Entity):
    """A number per unit and example. Exactly one of the ways to get it holds:

    given by the data or constant: INPUT, TARGET, BIAS; stored: STATE (`init`, `lifetime`, and
    `update`, its increment per tick or None); a sum of currents plus `expr` if there is one:
    `currents` non-empty, or DENDRITE (0 if nothing drives it); else `expr`.
    `population` is None and `size` 1 for scalars.
    """

    kind: Kind
    population: str | None
    size: int
    expr: Expr | None = None
    currents: tuple[Current, ...] = ()
    init: Init | None = None
    lifetime: Lifetime = Lifetime.EXAMPLE
    update: Expr | None = None
    update_span: Span | None = field(default=None, compare=False, repr=False)
    #: Of an ADJOINT, the value whose adjoint it is; of an INPUT in the place of another value, that value.
    of: str | None = field(default=None, repr=False)


@frozen(kw_only=True)
class Population(Entity):
    """`dendrites`, `states`, `lets` are value names (`h.basal`); the rate's is the population's.
    `kind` is INPUT, TARGET, BIAS or RATE (a neuron population)."""

    kind: Kind
    size: int
    dendrites: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    lets: tuple[str, ...] = ()


class Sign(StrEnum):
    FREE = "free"
    EXCITATORY = "excitatory"
    INHIBITORY = "inhibitory"


@frozen(kw_only=True)
class SynapseVar:
    """A state of a synapse, a number per weight. `fresh`: one per example, reset per example;
    else persistent. `update` is the increment (None: never changes)."""

    name: str
    init: Init
    fresh: bool
    update: Expr | None
    span: Span = field(compare=False, repr=False)


@frozen(kw_only=True)
class SynapseDrive:
    """Evaluated per example, averaged over the batch (summed over ticks if `update = example`)."""

    name: str
    expr: Expr
    span: Span = field(compare=False, repr=False)


@frozen(kw_only=True)
class Synapse(Entity):
    """Weights of shape [post size, pre size], from the value `source` to a dendrite.

    `dw` is the increment per update, None if the synapse is fixed. `slow` says that `dw` reads a
    drive: it is evaluated once per update with the batch average; a state's update likewise iff it
    reads a drive (`is_slow`)."""

    source: Read
    pre: str
    post: str
    dendrite: str
    pre_size: int
    post_size: int
    init: Init
    connect: tuple[Connect, ...] = ()
    sign: Sign = Sign.FREE
    bounds: tuple[Expr, Expr] | None = None
    states: tuple[SynapseVar, ...] = ()
    drives: tuple[SynapseDrive, ...] = ()
    dw: Expr | None = None
    dw_span: Span | None = field(default=None, compare=False, repr=False)

    def state(self, name: str) -> SynapseVar:
        return next(s for s in self.states if s.name == name)

    @property
    def joins_partners(self) -> bool:
        """Whether each unit is connected to the one of the same number, and to no other."""
        return [connect.which for connect in self.connect] == ["one_to_one"]


def is_slow(expr: Expr | None) -> bool:
    """Whether an equation of a synapse reads a drive, so that it is evaluated once per update."""
    return expr is not None and any(isinstance(e, DriveRead) for e in walk(expr))


@frozen(kw_only=True)
class Param(Entity):
    """`value` is an expression over other params, or a tuple of them for a list; `structural`: it
    shaped the graph, so that setting it means elaborating again."""

    value: Expr | tuple[Expr, ...]
    structural: bool


@frozen(kw_only=True)
class Coefficient(Entity):
    """A number per weight of a synapse, or per neuron of a population: `owner` names it."""

    owner: str
    per: Literal["weight", "neuron"]
    init: Init


@frozen(kw_only=True)
class Phase:
    name: str
    ticks: Expr
    train: bool
    span: Span = field(compare=False, repr=False)


@frozen(kw_only=True)
class Schedule:
    """`phases` empty: one tick per example. `dt` (None: 1) has been multiplied into `dv/dt` already."""

    phases: tuple[Phase, ...] = ()
    dt: Expr | None = None
    update: Literal["tick", "example"] = "tick"


@frozen(kw_only=True)
class Loss:
    """A scalar expression of one example. `when` "last": at the last tick of evaluation; "at": at
    the last tick of `phase`; "over": the mean over its ticks."""

    expr: Expr
    when: Literal["last", "at", "over"]
    phase: str | None
    span: Span = field(compare=False, repr=False)


@frozen(kw_only=True)
class Task(Entity):
    """`data` is the name of a data set with its numeric arguments (`two_moons(noise=0.1)`), or a
    path. Unset settings are None; the runtime's defaults then hold."""

    data: str
    data_span: Span
    data_arguments: tuple[tuple[str, float], ...] = ()
    epochs: Expr | None = None
    batch: Expr | None = None
    seed: Expr | None = None
    metric: Expr | None = None
    scale: Literal["none", "center", "zscore"] | None = None
    validation: Expr | None = None


@frozen(kw_only=True)
class MatrixRef(Node):
    """A synapse's weights in a record or an attractor."""

    synapse: str
    transposed: bool = False


@frozen(kw_only=True)
class MatrixCall(Node):
    """norm(A), sum, mean, max of weights; cos(A, B) of weights. A record only."""

    function: Literal["norm", "sum", "mean", "max", "cos"]
    arguments: tuple[MatrixRef, ...]


@frozen(kw_only=True)
class Record(Node):
    """`what` is a population (its rates on the test set's first examples), a synapse (its weights),
    a scalar of weights, or a scalar expression of one example averaged over the test set.
    `text` is how it was written and names the variable in the results."""

    what: str | MatrixRef | MatrixCall | Expr
    text: str
    every: Expr | None


@frozen(kw_only=True)
class ExpectVerdict(Node):
    synapses: tuple[str, ...]
    verdict: str
    text: str


@frozen(kw_only=True)
class ExpectAttractor(Node):
    """`left ~ factor * right`; factor None: any positive one."""

    left: MatrixRef
    right: MatrixRef
    factor: Expr | None
    text: str


@frozen(kw_only=True)
class ExpectMetric(Node):
    """`metric >= bound`, or `metric >= bound * backprop` if `of_backprop`."""

    comparison: Literal["<=", ">="]
    bound: Expr
    of_backprop: bool
    text: str


Expect = ExpectVerdict | ExpectAttractor | ExpectMetric


@frozen(kw_only=True)
class Wire:
    """A one-to-one connection: `population`'s equations read `value` of another population."""

    population: str
    value: str
    span: Span = field(compare=False, repr=False)


@frozen(kw_only=True)
class Circuit(Entity):
    """A whole circuit, checked. Dicts keep the order of the text.

    `order`: the values to evaluate in each tick (all but inputs, targets, bias and states), so that
    each comes after what it reads. `reverse`: the adjoints of a gradient twin, evaluated tick by
    tick backwards after the evaluation pass; empty in a circuit that was written.
    `partners`: unordered pairs of populations.
    """

    text: str = field(repr=False, default="")
    params: dict[str, Param]
    populations: dict[str, Population]
    values: dict[str, Value]
    synapses: dict[str, Synapse]
    coefficients: dict[str, Coefficient]
    schedule: Schedule
    loss: Loss | None
    tasks: dict[str, Task]
    records: tuple[Record, ...]
    expects: tuple[Expect, ...]
    wires: tuple[Wire, ...]
    partners: frozenset[frozenset[str]]
    aliases: dict[str, str]
    order: tuple[str, ...]
    reverse: tuple[str, ...] = ()

    def modulators(self) -> Iterator[Value]:
        return (v for v in self.values.values() if v.kind is Kind.MODULATOR)

    def of_kind(self, kind: Kind) -> tuple[Population, ...]:
        """The populations of one kind, in the order of the text."""
        return tuple(p for p in self.populations.values() if p.kind is kind)

    def into(self, dendrite: str) -> tuple[Synapse, ...]:
        """The synapses that drive a dendrite."""
        return tuple(s for s in self.synapses.values() if s.dendrite == dendrite)
