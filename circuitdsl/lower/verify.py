"""Is a loop program well formed? Asked after every pass, so that a wrong pass is found where it is wrong.

Types; every name defined once and before its use; as many indices as extents, and loop variables only along
the extent that they run over; nothing written that is only to be read; within a phase no team reading or writing what
another one writes, and within a loop over lanes no lane what another one writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import field
from typing import NoReturn, assert_never

from circuitdsl.frozen import mutable
from circuitdsl.lower.loop_ir import (
    READ_ONLY,
    Assign,
    Blocks,
    Branch,
    Buffer,
    Const,
    Control,
    Define,
    Dtype,
    Expr,
    Extent,
    Fetch,
    Load,
    Loop,
    Op,
    Phase,
    Program,
    Repeat,
    Rest,
    Role,
    Rounds,
    Row,
    Statement,
    Store,
    Sum,
    Var,
    When,
    has_threads,
    result_type,
    walk,
)
from circuitdsl.lower.touches import NOWHERE, Touches, in_rounds, member

#: What is bound to an array of the state, one buffer to each.
_STATE = frozenset({Role.WEIGHT, Role.SYNAPSE_STATE, Role.KEPT})


class LoopError(Exception):
    """A loop program that is not well formed: a defect of the compiler, not of the circuit."""


def verify(program: Program) -> None:
    """Raises LoopError if the program is not well formed."""
    fixed = [*(s.name for s in program.scalars), *dict(program.constants)]
    _once(program, [*fixed, *(b.name for b in program.buffers)], "two things are called `{}`")
    _once(program, [b.key for b in program.buffers if b.role in _STATE], "two buffers are bound to `{}`")
    checker = _Checker(
        buffers={b.name: b for b in program.buffers},
        columns={(b.shape[0], b.key) for b in program.buffers if b.role is Role.COLUMNS},
        bounded=dict(program.bounded),
        where=program.name,
        stand_ins=dict(program.stand_ins),
        known={s.name: s.dtype for s in program.scalars} | dict.fromkeys(dict(program.constants), Dtype.INT),
        fixed=set(fixed),
        teams=program.aim.teams,
    )
    for buffer in program.buffers:
        if buffer.role is Role.ROW and program.aim.teams:
            checker.fail(f"`{buffer.name}` is a row of one thread, and teams are of many")
        for extent in buffer.shape:
            if extent != "1" and checker.known.get(extent) is not Dtype.INT:
                raise LoopError(f"`{buffer.name}`: the extent `{extent}` is no int scalar")
    checker.controls(program.body)


def _once(program: Program, names: Iterable[str], message: str) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise LoopError(f"`{program.name}`: {message.format(name)}")


@mutable
class _Checker:
    """What is known at one place of the program, which is `within` such a loop. Names that are `fixed` may not be
    assigned, nor the first `shared` of those that were `given`: all rounds of the loop have them in common.
    `ranges`: what variables of loops run over, and how many of it a round has."""

    buffers: dict[str, Buffer]
    columns: set[tuple[str, str]]
    bounded: dict[str, str]
    where: str
    stand_ins: dict[str, str]
    known: dict[str, Dtype]
    fixed: set[str]
    teams: bool
    ranges: dict[str, tuple[str, int]] = field(default_factory=dict)
    given: dict[str, int] = field(default_factory=dict)
    shared: int = 0
    within: Rounds = "sequence"

    def fail(self, text: str) -> NoReturn:
        raise LoopError(f"`{self.where}`: {text}")

    @contextmanager
    def inner(self) -> Iterator[None]:
        """One level down: what is defined there ends there."""
        before, shared, within = len(self.given), self.shared, self.within
        yield
        while len(self.given) > before:
            name, _ = self.given.popitem()
            del self.known[name]
            self.fixed.discard(name)
            self.ranges.pop(name, None)
        self.shared, self.within = shared, within

    # ------------------------------------------------------------ control

    def controls(self, body: tuple[Control, ...]) -> None:
        for part in body:
            match part:
                case Define():
                    self._uniform(part.value)
                    self._define(part.name, self.type_of(part.value))
                    self.fixed.add(part.name)
                case Branch():
                    self._uniform(part.condition)
                    self._expect(part.condition, Dtype.BOOL, "the condition of a branch")
                    with self.inner():
                        self.controls(part.body)
                case Repeat():
                    self._extent(part.extent)
                    with self.inner():
                        self._define(part.var, Dtype.INT)
                        self.fixed.add(part.var)
                        self.controls(part.body)
                case Phase():
                    self._phase(part)
                case Fetch():
                    self._fetch(part)
                case _:
                    assert_never(part)

    def _fetch(self, part: Fetch) -> None:
        first = Load(part.buffer, part.index, self._buffer(part.buffer).dtype)
        for expr in (first, part.count):
            self._uniform(expr)
        self.type_of(first)
        self._expect(part.count, Dtype.INT, "how much is asked for early")

    def _uniform(self, expr: Expr) -> None:
        """Control is the same for all threads: it may only load what nobody writes."""
        for node in walk(expr):
            if isinstance(node, Load) and self._buffer(node.buffer).role not in READ_ONLY:
                self.fail(f"control around phases reads `{node.buffer}`, which threads write")

    def _phase(self, phase: Phase) -> None:
        around, self.where = self.where, phase.title
        with self.inner():
            self.statements(phase.body)
        touches = in_rounds(phase.body)
        self._rows_are_set(touches)
        if has_threads(phase.body):
            self._teams_are_apart(touches)
        self.where = around

    def _rows_are_set(self, touches: Touches) -> None:
        """A thread's own row holds what another round left in it until it is set."""
        for name, touch in touches.items():
            if self.buffers[name].role is Role.ROW and not touch.set_first:
                self.fail(f"`{name}` is read before it is set")

    def _teams_are_apart(self, touches: Touches) -> None:
        for name, touch in touches.items():
            if self.buffers[name].role is Role.ROW:
                continue
            if None in touch.writes:
                self.fail(f"`{name}` is stored outside the loops over threads: every thread would do that")
            if touch.meets and touch.reads | touch.writes == {NOWHERE}:
                self.fail(f"every thread writes the same places of `{name}`")
            if touch.meets:
                self.fail(f"a thread reads or writes places of `{name}` that another thread writes")

    # ------------------------------------------------------------ statements

    def statements(self, body: tuple[Statement, ...]) -> None:
        for statement in body:
            match statement:
                case Define():
                    self._define(statement.name, self.type_of(statement.value))
                case Assign():
                    self._expect(statement.value, self._assigned(statement.name), f"what `{statement.name}` becomes")
                case Store():
                    self._store(statement)
                case Loop():
                    self._loop(statement)
                case Sum():
                    self._sum(statement)
                case When():
                    self._expect(statement.condition, Dtype.BOOL, "a condition")
                    with self.inner():
                        self.statements(statement.body)
                case _:
                    assert_never(statement)

    def _define(self, name: str, dtype: Dtype) -> None:
        if name in self.known or name in self.buffers:
            self.fail(f"`{name}` is defined where it is known already")
        self.known[name] = dtype
        self.given[name] = len(self.given)

    def _assigned(self, name: str) -> Dtype:
        """The type of a number that is assigned."""
        if name not in self.known:
            self.fail(f"`{name}` is assigned, but not defined")
        if name in self.fixed:
            self.fail(f"`{name}` may not be assigned within a phase")
        if self.given[name] < self.shared:
            self.fail(f"the {self.within} of a loop assign `{name}`, which they share")
        return self.known[name]

    def _store(self, statement: Store) -> None:
        buffer = self._buffer(statement.buffer)
        if buffer.role in READ_ONLY:
            self.fail(f"`{buffer.name}` is only to be read")
        self._index(buffer, statement.index)
        self._expect(statement.value, buffer.dtype, f"what is stored in `{buffer.name}`")

    def _loop(self, loop: Loop) -> None:
        with self._rounds(loop.var, loop.extent, loop.size):
            if isinstance(loop.extent, Row) and loop.over == "threads":
                self.fail("the places of a row are no rounds of teams")
            if loop.over != "sequence":
                self._shared_out(loop.over)
            if loop.over == "lanes":
                self._lanes_are_apart(loop)
            self.statements(loop.body)

    def _sum(self, statement: Sum) -> None:
        self._not_in_lanes("sum")
        dtype = self._assigned(statement.name)
        with self._rounds(statement.var, statement.extent, 1):
            self._expect(statement.value, dtype, f"what is added to `{statement.name}`")
        if dtype is Dtype.BOOL:
            self.fail(f"`{statement.name}` is no number to add to")

    @contextmanager
    def _rounds(self, var: str, over: Extent, size: int) -> Iterator[None]:
        extent = self._counted(over)
        self._extent(extent)
        with self.inner():
            self._define(var, Dtype.INT)
            self.fixed.add(var)
            self.ranges[var] = extent, size
            yield

    def _counted(self, over: Extent) -> str:
        """The int scalar that a loop runs over, or over a part of."""
        match over:
            case str():
                return over
            case Row():
                self._row(over)
                return over.places
            case Blocks() | Rest():
                if self.teams:
                    self.fail("blocks are for one thread, and teams are of many")
                return over.of
            case _:
                assert_never(over)

    def _shared_out(self, over: Rounds) -> None:
        """From here on rounds are those of teams or of lanes."""
        self._not_in_lanes(f"loop over {over}")
        if over == self.within:
            self.fail(f"a loop over {over} stands within a loop over {over}")
        self.within, self.shared = over, len(self.given)

    def _not_in_lanes(self, what: str) -> None:
        if self.within == "lanes":
            self.fail(f"a {what} stands within a loop over lanes")

    def _lanes_are_apart(self, loop: Loop) -> None:
        for name, touch in in_rounds(loop.body, loop).items():
            if touch.meets:
                self.fail(f"a lane reads or writes places of `{name}` that another lane writes")

    # ------------------------------------------------------------ expressions

    def type_of(self, expr: Expr) -> Dtype:
        """The type of an expression, which is checked throughout."""
        match expr:
            case Const():
                return expr.dtype
            case Var():
                if expr.name not in self.known:
                    self.fail(f"`{expr.name}` is not defined here")
                found = self.known[expr.name]
            case Load():
                buffer = self._buffer(expr.buffer)
                self._index(buffer, expr.index)
                found = Dtype.INT if buffer.dtype is Dtype.SHORT else buffer.dtype
            case Op():
                types = tuple(self.type_of(a) for a in expr.arguments)
                given = result_type(self.stand_ins.get(expr.function, expr.function), types)
                if given is None:
                    self.fail(f"`{expr.function}` does not take ({', '.join(types)})")
                found = given
            case _:
                assert_never(expr)
        if found is not expr.dtype:
            self.fail(f"{expr} is {found}, not {expr.dtype}")
        return found

    def _expect(self, expr: Expr, dtype: Dtype, what: str) -> None:
        found = self.type_of(expr)
        if found is not dtype:
            self.fail(f"{what} is {found}, not {dtype}")

    def _buffer(self, name: str) -> Buffer:
        if name not in self.buffers:
            self.fail(f"there is no buffer `{name}`")
        return self.buffers[name]

    def _extent(self, name: str) -> None:
        if self.known.get(name) is not Dtype.INT:
            self.fail(f"a loop runs to `{name}`, which is no int")

    def _row(self, row: Row) -> None:
        starts = self._buffer(row.starts)
        if starts.role is not Role.STARTS:
            self.fail(f"a row is read from `{row.starts}`, which says nowhere where rows begin")
        if (row.places, starts.key) not in self.columns:
            self.fail(f"a row of `{starts.key}` is one of `{row.places}`, which are not its places")
        self._expect(row.at, Dtype.INT, "the number of a row")

    def _index(self, buffer: Buffer, index: tuple[Expr, ...]) -> None:
        if len(index) != len(buffer.shape):
            self.fail(f"`{buffer.name}` has {len(buffer.shape)} extents, not {len(index)}")
        for expr, extent in zip(index, buffer.shape, strict=True):
            self._expect(expr, Dtype.INT, f"an index of `{buffer.name}`")
            name, number = member(expr) or ("", 0)
            if name in self.ranges:
                over, size = self.ranges[name]
                if number >= size:
                    continue  # some other place
                if extent not in (over, self.bounded.get(over)):
                    self.fail(f"`{name}` runs over `{over}`, but indexes `{extent}` of `{buffer.name}`")
