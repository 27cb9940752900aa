"""The loop program: what every back end prints, and all that it sees of a circuit.

Uniform control (`Repeat`, `Branch`, `Define`) stands around **phases**, and after each phase is a barrier. **Teams** of
1 to 32 threads share a phase:

- The rounds of a loop over `threads` are shared out among the teams. Round k of every such loop of a phase is the same
  team's, so that all of them have teams of one width.
- A phase without a loop over threads is one round, of one team.
- Within a round one statement follows the other, whichever thread does it. Only the rounds of a loop over `lanes` and
  the summands of a `Sum` are shared out among the team's threads; the team waits for all of them.
- In a phase with loops over threads, what stands outside them is done by every thread alike. So nothing may be stored
  there, but in a row of the thread's own.

So within a phase no team may read or write what another one writes, and in a loop over lanes no lane what another one
writes; lower/verify.py holds that after every pass. A thread of a processor is a team of one thread, to which a loop is
a loop; most programs have one of them, and some a crew (lower/crew.py).

Sizes, params and tick counts are runtime scalars, never literals. Names are unique in a program; a back end renames
what its language or its own text has taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from enum import StrEnum
from typing import Literal, assert_never

from circuitdsl.diagnostics import Span
from circuitdsl.frozen import frozen
from circuitdsl.graph.functions import COMPARISONS, FUNCTIONS


class Dtype(StrEnum):
    REAL = "real"  # float32 or float64: the back end's choice
    INT = "int"  # 64 bits
    SHORT = "short"  # 32 bits, in buffers only: what is loaded is an int
    BOOL = "bool"


@frozen
class Origin:
    """The entity of the circuit that something computes, and where it is written."""

    entity: str
    span: Span | None = field(compare=False, repr=False, default=None)


class Role(StrEnum):
    """What a buffer is bound to; its `key` says which."""

    DATA = "data"  # an input's or target's data, [dataset, size]
    ORDER = "order"  # data-set indices in the order of presentation, [examples]
    WEIGHT = "weight"  # of a synapse, [post, pre]; of a sparse one, [places]
    MASK = "mask"
    STARTS = "starts"  # where each row of a sparse matrix begins among its places, and where the last one ends
    COLUMNS = "columns"  # the presynaptic unit of each place
    SYNAPSE_STATE = "synapse state"  # persistent; key "W.m"
    KEPT = "kept"  # a `keep` state, [size]
    COEFFICIENT = "coefficient"
    RESET = "reset"  # what a state of an example starts from
    VALUE = "value"  # a value of the circuit at the present tick
    NUMBER = "number"  # a real scalar that differs between lanes (lower/copies.py); key the scalar's name
    ROW = "row"  # room for sums that every thread has of its own, where a team is one thread; set before it is read
    WORK = "work"  # anything else
    RESULT = "result"  # one number per example: "loss", "probe 0"
    MEETING = "meeting"  # where the threads of a crew wait for each other (lower/crew.py)


#: What a program may not write.
READ_ONLY = frozenset(
    {Role.DATA, Role.ORDER, Role.MASK, Role.STARTS, Role.COLUMNS, Role.COEFFICIENT, Role.RESET, Role.NUMBER}
)


@frozen(kw_only=True)
class Buffer:
    """An array. `shape` names int scalars; "1" is the extent one."""

    name: str
    role: Role
    key: str
    shape: tuple[str, ...]
    dtype: Dtype = Dtype.REAL
    origin: Origin | None = field(default=None, compare=False, repr=False)


class Given(StrEnum):
    """What a runtime scalar is bound to; its `key` says which."""

    PARAM = "param"
    SIZE = "size"  # the number of units of a population; key a value of it
    FAN_IN = "fan_in"  # realised, of a synapse
    FAN_OUT = "fan_out"
    PLACES = "places"  # the weights that are there, of a sparse synapse
    STARTS = "starts"  # the number of its rows, and one more
    TICKS = "ticks"  # of a phase of the schedule
    CAPACITY = "capacity"  # the largest number of something: "batch", "dataset", "tape"
    STEPS = "steps"  # the number of batches
    FIRST = "first"  # where in the order the one batch of an evaluation begins
    COUNT = "count"  # the number of its examples
    EXAMPLES = "examples"  # presented in this call
    SEED = "seed"
    EPOCH = "epoch"
    WORKER = "worker"  # which thread of a crew this is
    WORKERS = "workers"  # how many there are


@frozen(kw_only=True)
class Scalar:
    name: str
    dtype: Dtype
    given: Given
    key: str = ""


# ---------------------------------------------------------------- expressions


@frozen
class Const:
    value: float
    dtype: Dtype


@frozen
class Var:
    """A runtime scalar, a defined number or a loop variable."""

    name: str
    dtype: Dtype


@frozen
class Load:
    buffer: str
    index: tuple[Expr, ...]
    dtype: Dtype = Dtype.REAL


@frozen
class Op:
    """A function with arguments that it takes (`result_type`)."""

    function: str
    arguments: tuple[Expr, ...]
    dtype: Dtype = Dtype.REAL


Expr = Const | Var | Load | Op

_ARITHMETIC = ("add", "sub", "mul", "min", "max")
_REAL, _INT, _BOOL = Dtype.REAL, Dtype.INT, Dtype.BOOL

_SIGNATURES: dict[tuple[str, tuple[Dtype, ...]], Dtype] = {
    **{(f, (_INT, _INT)): _INT for f in (*_ARITHMETIC, "floordiv")},
    **{(f, (t, t)): _BOOL for f in COMPARISONS for t in (_REAL, _INT)},
    **{(f, (_BOOL, _BOOL)): _BOOL for f in ("and", "or", "eq")},
    ("where", (_BOOL, _REAL, _REAL)): _REAL,
    ("real", (_INT,)): _REAL,
    ("real", (_BOOL,)): _REAL,
    ("rand", (_INT,) * 6): _REAL,
    ("randn", (_INT,) * 6): _REAL,
}


def result_type(function: str, types: tuple[Dtype, ...]) -> Dtype | None:
    """What a function gives for arguments of these types; None: it does not take them. Functions of reals that back
    ends do not know themselves are defined in lower/functions.py. `rand` and `randn` take seed, occurrence, epoch,
    data-set index, tick and unit."""
    if (function, types) in _SIGNATURES:
        return _SIGNATURES[function, types]
    record = FUNCTIONS.get(function)
    if record is None or function == "where" or types != (_REAL,) * record.arity or record.is_short:
        return None
    return _REAL


# ---------------------------------------------------------------- statements of a phase


@frozen(kw_only=True)
class Define:
    """A new number, private to the thread (or uniform, outside phases)."""

    name: str
    value: Expr
    origin: Origin | None = field(default=None, compare=False, repr=False)


@frozen(kw_only=True)
class Assign:
    """A new value for a number that was defined."""

    name: str
    value: Expr
    origin: Origin | None = field(default=None, compare=False, repr=False)


@frozen(kw_only=True)
class Store:
    """`buffer[index] = value`, or `+=`."""

    buffer: str
    index: tuple[Expr, ...]
    value: Expr
    add: bool = False
    origin: Origin | None = field(default=None, compare=False, repr=False)


#: Who does the rounds of a loop: one after the other, a team each, or a thread of the team each.
Rounds = Literal["sequence", "threads", "lanes"]


@frozen(kw_only=True)
class Row:
    """The places of row `at` of a sparse matrix: from `starts[at]` to before `starts[at + 1]`, among `places`, an int
    scalar. No two rows have a place in common."""

    starts: str
    at: Expr
    places: str

    @property
    def bounds(self) -> tuple[Expr, Expr]:
        """Its first place, and the one after its last."""
        following = Op("add", (self.at, Const(1, Dtype.INT)), Dtype.INT)
        return Load(self.starts, (self.at,), Dtype.INT), Load(self.starts, (following,), Dtype.INT)


@frozen(kw_only=True)
class Blocks:
    """As many blocks of `size` as fit into the int scalar `of`. A round is a whole block: `var` is the first in it, and
    the others are `var + 1` to `var + size - 1`."""

    of: str
    size: int

    @property
    def bounds(self) -> tuple[Expr, Expr]:
        """The first of the first block, and the one before which the first of the last block stands."""
        spare = Const(self.size - 1, Dtype.INT)
        return Const(0, Dtype.INT), Op("sub", (Var(self.of, Dtype.INT), spare), Dtype.INT)


@frozen(kw_only=True)
class Rest:
    """What the int scalar `of` counts and no block of `size` has, one by one."""

    of: str
    size: int

    @property
    def bounds(self) -> tuple[Expr, Expr]:
        """The first, and the one after the last."""
        of, size = Var(self.of, Dtype.INT), Const(self.size, Dtype.INT)
        whole = Op("floordiv", (of, size), Dtype.INT)
        return Op("mul", (whole, size), Dtype.INT), of


Extent = str | Row | Blocks | Rest


@frozen(kw_only=True)
class Loop:
    """`var` from 0 to below the int scalar `extent`, or over the places of a row, or over blocks and what is left."""

    var: str
    extent: Extent
    body: tuple[Statement, ...]
    over: Rounds = "sequence"
    origin: Origin | None = field(default=None, compare=False, repr=False)

    @property
    def size(self) -> int:
        """How many of what is counted one round has."""
        return self.extent.size if isinstance(self.extent, Blocks) else 1


@frozen(kw_only=True)
class Sum:
    """Adds `value` for every `var` from 0 to below the int scalar `extent` to a number that was defined."""

    name: str
    var: str
    extent: str
    value: Expr
    origin: Origin | None = field(default=None, compare=False, repr=False)

    def in_turn(self) -> Loop:
        """The same as a loop, one summand after the other."""
        total = Var(self.name, self.value.dtype)
        value = Op("add", (total, self.value), total.dtype)
        add = Assign(name=self.name, value=value, origin=self.origin)
        return Loop(var=self.var, extent=self.extent, body=(add,), origin=self.origin)


@frozen(kw_only=True)
class When:
    condition: Expr
    body: tuple[Statement, ...]


Statement = Define | Assign | Store | Loop | Sum | When


# ---------------------------------------------------------------- control around phases


@frozen(kw_only=True)
class Phase:
    """`title` says in words what it does; `name` is that of its function where phases become functions; `fills`: how
    many bytes of its rows fill vectors (lower/wide.py), 0: nobody knows."""

    name: str
    title: str
    body: tuple[Statement, ...]
    fills: int = 0
    origin: Origin | None = field(default=None, compare=False, repr=False)


@frozen(kw_only=True)
class Repeat:
    """Uniform and sequential: batches, ticks. `backward` counts down."""

    var: str
    extent: str
    body: tuple[Control, ...]
    backward: bool = False


@frozen(kw_only=True)
class Branch:
    """Uniform: all threads take the same way."""

    condition: Expr
    body: tuple[Control, ...]


@frozen(kw_only=True)
class Fetch:
    """Asks for `count` numbers of a buffer that nothing writes, from a place on, before they are read: a hint, which
    changes nothing."""

    buffer: str
    index: tuple[Expr, ...]
    count: Expr


Control = Define | Phase | Repeat | Branch | Fetch


@frozen(kw_only=True)
class Aim:
    """What a program is made for: the precision of its reals, how many copies of it are to stand side by side, and
    whether `teams` of threads share its phases (a GPU) or one thread does all of them. `alone`: whether it serves one
    copy at a time; `sparse`: whether matrices of few weights hold only those; `vectors`: whether a compiler makes
    vector instructions of its loops; `blocks`: how many units the blocks of a batch have, 0 where there are none
    (lower/blocks.py); `sizes`: how many units the populations have, where passes go by that; `crew`: whether
    several threads may share its loops over threads (lower/crew.py)."""

    dtype: Literal["float32", "float64"] = "float32"
    copies: int = 1
    teams: bool = False
    alone: bool = True
    sparse: bool = True
    vectors: bool = False
    blocks: int = 0
    sizes: tuple[tuple[str, int], ...] = ()
    crew: bool = False

    @property
    def itemsize(self) -> int:
        """Bytes of a real."""
        return 8 if self.dtype == "float64" else 4


#: One copy, in float32, on one thread.
PLAIN = Aim()


def for_teams(dtype: Literal["float32", "float64"]) -> Aim:
    """One copy, for teams of threads: they hold whole matrices."""
    return Aim(dtype=dtype, teams=True, sparse=False)


@frozen
class Crew:
    """What threads that share a program's loops over threads know each other by: the names of two scalars, which
    `worker` this is of how many `workers`, and of a buffer where they wait for each other after each phase."""

    worker: str
    workers: str
    meeting: str

    @property
    def names(self) -> tuple[str, ...]:
        return self.worker, self.workers, self.meeting


@frozen(kw_only=True)
class Program:
    """One entry point. `bounded` says of a defined extent which capacity it stays within, so that it may
    run over buffers of that shape: {"count": "batch"}. `constants` are extents that are literals in what is
    printed: {"_lanes": 32}. `stand_ins` are functions that a pass has put in the place of others, which take and
    give the same: {"swift_tanh": "tanh"}."""

    name: str
    title: str
    scalars: tuple[Scalar, ...]
    buffers: tuple[Buffer, ...]
    bounded: tuple[tuple[str, str], ...]
    body: tuple[Control, ...]
    constants: tuple[tuple[str, int], ...] = ()
    stand_ins: tuple[tuple[str, str], ...] = ()
    aim: Aim = PLAIN
    crew: Crew | None = None

    @property
    def is_batched(self) -> bool:
        """Whether several examples stand side by side."""
        return bool(self.bounded)

    def buffer(self, name: str) -> Buffer:
        """Raises KeyError if there is none of that name."""
        return {b.name: b for b in self.buffers}[name]


# ---------------------------------------------------------------- traversal


def operands(expr: Expr) -> tuple[Expr, ...]:
    match expr:
        case Const() | Var():
            return ()
        case Load():
            return expr.index
        case Op():
            return expr.arguments
        case _:
            assert_never(expr)


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and everything under it, parents first."""
    yield expr
    for operand in operands(expr):
        yield from walk(operand)


def expressions(statement: Statement) -> tuple[Expr, ...]:
    """The expressions that stand directly in a statement."""
    match statement:
        case Define() | Assign() | Sum():
            return (statement.value,)
        case Store():
            return (*statement.index, statement.value)
        case When():
            return (statement.condition,)
        case Loop():
            return () if isinstance(statement.extent, str) else statement.extent.bounds
        case _:
            assert_never(statement)


def statements(body: tuple[Statement, ...]) -> Iterator[Statement]:
    """All statements, nested ones after those that hold them."""
    for statement in body:
        yield statement
        if isinstance(statement, Loop | When):
            yield from statements(statement.body)


def units_of(program: Program) -> dict[str, int]:
    """How many units the extents count; of populations only where the program is made for their sizes."""
    sizes = dict(program.aim.sizes)
    counted = {s.name: sizes[s.key] for s in program.scalars if s.given is Given.SIZE and s.key in sizes}
    return {**counted, **dict(program.constants), "1": 1}


def own_names(body: tuple[Statement, ...]) -> set[str]:
    """The names that statements give: numbers that they define, variables of loops."""
    found: set[str] = set()
    for statement in statements(body):
        match statement:
            case Define():
                found.add(statement.name)
            case Loop() | Sum():
                found.add(statement.var)
            case Assign() | Store() | When():
                pass
            case _:
                assert_never(statement)
    return found


def has_threads(body: tuple[Statement, ...]) -> bool:
    """Whether there is a loop over threads."""
    return any(isinstance(s, Loop) and s.over == "threads" for s in statements(body))


def phases(body: tuple[Control, ...]) -> Iterator[Phase]:
    """All phases, in the order of the program."""
    for part in body:
        match part:
            case Phase():
                yield part
            case Repeat() | Branch():
                yield from phases(part.body)
            case Define() | Fetch():
                pass
            case _:
                assert_never(part)


def names_of(program: Program) -> set[str]:
    """Every name in a program: scalars, buffers, extents, variables."""
    found = {s.name for s in program.scalars} | {b.name for b in program.buffers} | dict(program.constants).keys()
    return found | _named(program.body)


def _named(body: tuple[Control, ...]) -> set[str]:
    found: set[str] = set()
    for part in body:
        match part:
            case Define():
                found.add(part.name)
            case Repeat():
                found |= {part.var} | _named(part.body)
            case Branch():
                found |= _named(part.body)
            case Phase():
                found |= own_names(part.body)
            case Fetch():
                pass
            case _:
                assert_never(part)
    return found
