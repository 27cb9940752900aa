"""The loop program: what every back end prints, and all that it sees of a circuit.

Uniform control (`Repeat`, `Branch`, `Define`) stands around **phases**. A phase is executed by many threads,
with a barrier after it: a loop with `threads` hands each of its rounds to one thread, everything else in a
phase is done by all of them alike. So within a phase no thread may read or write what another one writes;
lower/verify.py holds that after every pass. On one processor a thread loop is a loop.

Sizes, params and tick counts are runtime scalars, never literals. Names are unique in a program; a back end renames
what its language or its own text has taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal, assert_never

from circuitdsl.diagnostics import Span
from circuitdsl.graph.functions import COMPARISONS, FUNCTIONS


class Dtype(StrEnum):
    REAL = "real"  # float32 or float64: the back end's choice
    INT = "int"  # 64 bits
    BOOL = "bool"


@dataclass(frozen=True, slots=True)
class Origin:
    """The entity of the circuit that something computes, and where it is written."""

    entity: str
    span: Span | None = field(compare=False, repr=False, default=None)


class Role(StrEnum):
    """What a buffer is bound to; its `key` says which."""

    DATA = "data"  # an input's or target's data, [dataset, size]
    ORDER = "order"  # data-set indices in the order of presentation, [examples]
    WEIGHT = "weight"  # of a synapse, [post, pre]
    MASK = "mask"
    SYNAPSE_STATE = "synapse state"  # persistent; key "W.m"
    KEPT = "kept"  # a `keep` state, [size]
    COEFFICIENT = "coefficient"
    RESET = "reset"  # what a state of an example starts from
    VALUE = "value"  # a value of the circuit at the present tick
    NUMBER = "number"  # a real scalar that differs between lanes (lower/lanes.py); key the scalar's name
    ROW = "row"  # room for sums that every thread has of its own; set before it is read
    WORK = "work"  # anything else
    RESULT = "result"  # one number per example: "loss", "probe 0"


#: What a program may not write.
READ_ONLY = frozenset({Role.DATA, Role.ORDER, Role.MASK, Role.COEFFICIENT, Role.RESET, Role.NUMBER})


@dataclass(frozen=True, slots=True, kw_only=True)
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
    TICKS = "ticks"  # of a phase of the schedule
    CAPACITY = "capacity"  # the largest number of something: "batch", "dataset", "tape"
    STEPS = "steps"  # the number of batches
    FIRST = "first"  # where in the order the one batch of an evaluation begins
    COUNT = "count"  # the number of its examples
    EXAMPLES = "examples"  # presented in this call
    SEED = "seed"
    EPOCH = "epoch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    name: str
    dtype: Dtype
    given: Given
    key: str = ""


# ---------------------------------------------------------------- expressions


@dataclass(frozen=True, slots=True)
class Const:
    value: float
    dtype: Dtype


@dataclass(frozen=True, slots=True)
class Var:
    """A runtime scalar, a defined number or a loop variable."""

    name: str
    dtype: Dtype


@dataclass(frozen=True, slots=True)
class Load:
    buffer: str
    index: tuple[Expr, ...]
    dtype: Dtype = Dtype.REAL


@dataclass(frozen=True, slots=True)
class Op:
    """A function of `SIGNATURES`."""

    function: str
    arguments: tuple[Expr, ...]
    dtype: Dtype = Dtype.REAL


Expr = Const | Var | Load | Op

_ARITHMETIC = ("add", "sub", "mul", "min", "max")
_REAL, _INT, _BOOL = Dtype.REAL, Dtype.INT, Dtype.BOOL

#: (function, argument types) -> result type. Functions of reals that back ends do not know themselves are defined in
#: lower/functions.py. `rand` and `randn` take seed, occurrence, epoch, data-set index, tick and unit.
SIGNATURES: dict[tuple[str, tuple[Dtype, ...]], Dtype] = {
    **{(f.name, (_REAL,) * f.arity): _REAL for f in FUNCTIONS.values() if not f.is_short and f.name != "where"},
    **{(f, (_INT, _INT)): _INT for f in _ARITHMETIC},
    **{(f, (t, t)): _BOOL for f in COMPARISONS for t in (_REAL, _INT)},
    **{(f, (_BOOL, _BOOL)): _BOOL for f in ("and", "or", "eq")},
    ("where", (_BOOL, _REAL, _REAL)): _REAL,
    ("real", (_INT,)): _REAL,
    ("real", (_BOOL,)): _REAL,
    ("rand", (_INT,) * 6): _REAL,
    ("randn", (_INT,) * 6): _REAL,
}


# ---------------------------------------------------------------- statements of a phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Define:
    """A new number, private to the thread (or uniform, outside phases)."""

    name: str
    value: Expr
    origin: Origin | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assign:
    """A new value for a number that was defined."""

    name: str
    value: Expr
    origin: Origin | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """`buffer[index] = value`, or `+=`."""

    buffer: str
    index: tuple[Expr, ...]
    value: Expr
    add: bool = False
    origin: Origin | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """`var` from 0 to below the int scalar `extent`; with `threads` each round belongs to one thread."""

    var: str
    extent: str
    body: tuple[Statement, ...]
    threads: bool = False
    origin: Origin | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    condition: Expr
    body: tuple[Statement, ...]


Statement = Define | Assign | Store | Loop | When


# ---------------------------------------------------------------- control around phases


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """`title` says in words what it does; `name` is that of its function where phases become functions."""

    name: str
    title: str
    body: tuple[Statement, ...]
    origin: Origin | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """Uniform and sequential: batches, ticks. `backward` counts down."""

    var: str
    extent: str
    body: tuple[Control, ...]
    backward: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """Uniform: all threads take the same way."""

    condition: Expr
    body: tuple[Control, ...]


Control = Define | Phase | Repeat | Branch


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a program is made for: the precision of its reals, and how many copies of it are to stand side by side."""

    dtype: Literal["float32", "float64"] = "float32"
    copies: int = 1


#: One copy, in float32.
PLAIN = Aim()


@dataclass(frozen=True, slots=True, kw_only=True)
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
        case Define() | Assign():
            return (statement.value,)
        case Store():
            return (*statement.index, statement.value)
        case When():
            return (statement.condition,)
        case Loop():
            return ()
        case _:
            assert_never(statement)


def statements(body: tuple[Statement, ...]) -> Iterator[Statement]:
    """All statements, nested ones after those that hold them."""
    for statement in body:
        yield statement
        if isinstance(statement, Loop | When):
            yield from statements(statement.body)


def phases(body: tuple[Control, ...]) -> Iterator[Phase]:
    """All phases, in the order of the program."""
    for part in body:
        match part:
            case Phase():
                yield part
            case Repeat() | Branch():
                yield from phases(part.body)
            case Define():
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
                found |= {s.name for s in statements(part.body) if isinstance(s, Define)}
                found |= {s.var for s in statements(part.body) if isinstance(s, Loop)}
            case _:
                assert_never(part)
    return found


def rename_program(program: Program, names: dict[str, str]) -> Program:
    """The program with everything in it renamed but its phases and itself."""

    def new(name: str) -> str:
        return names.get(name, name)

    return replace(
        program,
        scalars=tuple(replace(s, name=new(s.name)) for s in program.scalars),
        buffers=tuple(replace(b, name=new(b.name), shape=tuple(map(new, b.shape))) for b in program.buffers),
        bounded=tuple((new(a), new(b)) for a, b in program.bounded),
        constants=tuple((new(name), value) for name, value in program.constants),
        body=tuple(_renamed(part, names) for part in program.body),
    )


def _renamed(part: Control, names: dict[str, str]) -> Control:
    def new(name: str) -> str:
        return names.get(name, name)

    match part:
        case Define():
            return replace(part, name=new(part.name), value=rename_expr(part.value, names))
        case Repeat():
            body = tuple(_renamed(p, names) for p in part.body)
            return replace(part, var=new(part.var), extent=new(part.extent), body=body)
        case Branch():
            body = tuple(_renamed(p, names) for p in part.body)
            return replace(part, condition=rename_expr(part.condition, names), body=body)
        case Phase():
            return replace(part, body=rename(part.body, names))
        case _:
            assert_never(part)


def rename_expr(expr: Expr, names: dict[str, str]) -> Expr:
    """The expression with variables and buffers renamed."""
    match expr:
        case Const():
            return expr
        case Var():
            return Var(names.get(expr.name, expr.name), expr.dtype)
        case Load():
            index = tuple(rename_expr(i, names) for i in expr.index)
            return Load(names.get(expr.buffer, expr.buffer), index, expr.dtype)
        case Op():
            return Op(expr.function, tuple(rename_expr(a, names) for a in expr.arguments), expr.dtype)
        case _:
            assert_never(expr)


def rename(body: tuple[Statement, ...], names: dict[str, str]) -> tuple[Statement, ...]:
    """The statements with variables, buffers and extents renamed."""
    return tuple(_rename(s, names) for s in body)


def _rename(statement: Statement, names: dict[str, str]) -> Statement:
    def new(name: str) -> str:
        return names.get(name, name)

    match statement:
        case Define() | Assign():
            return replace(statement, name=new(statement.name), value=rename_expr(statement.value, names))
        case Store():
            index = tuple(rename_expr(i, names) for i in statement.index)
            value = rename_expr(statement.value, names)
            return replace(statement, buffer=new(statement.buffer), index=index, value=value)
        case Loop():
            body = rename(statement.body, names)
            return replace(statement, var=new(statement.var), extent=new(statement.extent), body=body)
        case When():
            condition = rename_expr(statement.condition, names)
            return replace(statement, condition=condition, body=rename(statement.body, names))
        case _:
            assert_never(statement)


def rewritten(program: Program, change: Callable[[Op], Expr]) -> Program:
    """The program with every operation changed, inner ones first."""
    return replace(program, body=tuple(_rewritten_control(part, change) for part in program.body))


def _rewritten_control(part: Control, change: Callable[[Op], Expr]) -> Control:
    match part:
        case Define():
            return replace(part, value=_rewritten_expr(part.value, change))
        case Branch():
            body = tuple(_rewritten_control(p, change) for p in part.body)
            return replace(part, condition=_rewritten_expr(part.condition, change), body=body)
        case Repeat():
            return replace(part, body=tuple(_rewritten_control(p, change) for p in part.body))
        case Phase():
            return replace(part, body=tuple(_rewritten(s, change) for s in part.body))
        case _:
            assert_never(part)


def _rewritten(statement: Statement, change: Callable[[Op], Expr]) -> Statement:
    match statement:
        case Define() | Assign():
            return replace(statement, value=_rewritten_expr(statement.value, change))
        case Store():
            index = tuple(_rewritten_expr(i, change) for i in statement.index)
            return replace(statement, index=index, value=_rewritten_expr(statement.value, change))
        case When():
            body = tuple(_rewritten(s, change) for s in statement.body)
            return replace(statement, condition=_rewritten_expr(statement.condition, change), body=body)
        case Loop():
            return replace(statement, body=tuple(_rewritten(s, change) for s in statement.body))
        case _:
            assert_never(statement)


def _rewritten_expr(expr: Expr, change: Callable[[Op], Expr]) -> Expr:
    match expr:
        case Const() | Var():
            return expr
        case Load():
            return Load(expr.buffer, tuple(_rewritten_expr(i, change) for i in expr.index), expr.dtype)
        case Op():
            return change(Op(expr.function, tuple(_rewritten_expr(a, change) for a in expr.arguments), expr.dtype))
        case _:
            assert_never(expr)
