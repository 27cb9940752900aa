"""A loop program for many copies of a circuit side by side: the copies become the innermost loop of everything.

Copies that present the same examples in the same order are the lanes of one program. What differs between them
(weights, coefficients, rates, params) gets a last axis of lanes, and every straight run of statements that touches it
becomes a loop over lanes, which a back end turns into vector instructions however small the circuit is. Data, order,
sizes and ticks are the same in all lanes. A number that a phase carries from one run to another gets a row, one place
per lane.

Lanes never read each other: a copy's numbers do not depend on who its neighbours are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import assert_never

from circuitdsl.frozen import mutable
from circuitdsl.lower.loop_ir import (
    Assign,
    Branch,
    Buffer,
    Control,
    Define,
    Dtype,
    Expr,
    Fetch,
    Load,
    Loop,
    Op,
    Phase,
    Program,
    Repeat,
    Role,
    Statement,
    Store,
    Sum,
    Var,
    When,
    expressions,
    names_of,
    phases,
    statements,
    walk,
)
from circuitdsl.lower.teams import in_turn

#: The extent of lanes and its loop variable. No name of a program begins with `_` before this pass.
LANES, LANE = "_lanes", "_lane"
_AT = Var(LANE, Dtype.INT)

#: The same for all lanes of a program.
_COMMON = frozenset({Role.DATA, Role.ORDER})
#: Computed by the program itself: as much the same as what is stored there.
_COMPUTED = frozenset({Role.VALUE, Role.ROW, Role.WORK})


def laned(program: Program) -> Program:
    """The program with the copies that it aims at as lanes; as it is, where control or an index would differ between
    them."""
    if program.aim.copies == 1 or program.aim.teams or any(b.role is Role.COLUMNS for b in program.buffers):
        return program  # copies have other connections: what is sparse in one is so in its own way
    try:
        return _Lanes(in_turn(program)).program(program.aim.copies)
    except _DifferentWays:
        return program


class _DifferentWays(Exception):
    """Lanes would have to go different ways."""


@mutable
class _Lanes:
    """`numbers`: the real scalars, as buffers. `differing`: the buffers that have an axis of lanes; `local`: those
    variables of the present phase that differ between lanes; `rows`: room for the ones that outlast a run, by name
    and type."""

    before: Program
    names: set[str] = field(init=False)
    numbers: dict[str, Buffer] = field(init=False)
    differing: set[str] = field(init=False)
    local: set[str] = field(default_factory=set)
    rows: dict[tuple[str, Dtype], Buffer] = field(default_factory=dict)
    carried: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names = names_of(self.before) | {LANES, LANE}
        self.numbers = {
            s.name: Buffer(name=self._fresh(s.name), role=Role.NUMBER, key=s.name, shape=(LANES,))
            for s in self.before.scalars
            if s.dtype is Dtype.REAL
        }
        self.differing = {b.name for b in self.before.buffers if b.role not in _COMMON | _COMPUTED}
        while self._more():
            pass

    def _fresh(self, name: str) -> str:
        """A name for what a variable becomes."""
        found = f"_{name}"
        while found in self.names:
            found += "_"
        self.names.add(found)
        return found

    def _more(self) -> bool:
        """Finds computed buffers that differ because something that differs is stored there."""
        size = len(self.differing)
        for phase in phases(self.before.body):
            self.local = self._locals(phase)
            self._stores(phase.body, False)
        return len(self.differing) > size

    def _stores(self, body: Sequence[Statement], under: bool) -> None:
        for statement in body:
            match statement:
                case Store():
                    if under or self.differs(statement.value):
                        self.differing.add(statement.buffer)
                case When():
                    self._stores(statement.body, under or self.differs(statement.condition))
                case Loop():
                    self._stores(statement.body, under)
                case Define() | Assign() | Sum():
                    pass
                case _:
                    assert_never(statement)

    def _locals(self, phase: Phase) -> set[str]:
        """The variables of a phase that differ between lanes."""
        found: set[str] = set()
        while True:
            self.local = found
            more = found | set(self._different(phase.body, False))
            if more == found:
                return found
            found = more

    def _different(self, body: Sequence[Statement], under: bool) -> Iterator[str]:
        for statement in body:
            match statement:
                case Define() | Assign() | Sum():
                    if under or self.differs(statement.value):
                        yield statement.name
                case When():
                    yield from self._different(statement.body, under or self.differs(statement.condition))
                case Loop():
                    yield from self._different(statement.body, under)
                case Store():
                    pass
                case _:
                    assert_never(statement)

    def differs(self, expr: Expr) -> bool:
        for node in walk(expr):
            match node:
                case Var():
                    if node.name in self.local or node.name in self.numbers:
                        return True
                case Load():
                    if node.buffer in self.differing:
                        return True
                case _:
                    pass
        return False

    # ------------------------------------------------------------ the program

    def program(self, count: int) -> Program:
        body = self._controls(self.before.body)
        read = {n.buffer for n in _nodes(body) if isinstance(n, Load)}
        numbers = tuple(b for b in self.numbers.values() if b.name in read)
        buffers = [self._wide(b) for b in self.before.buffers]
        return replace(
            self.before,
            name=f"{self.before.name}_lanes",
            title=f"{self.before.title}, {count} copies side by side",
            constants=((LANES, count),),
            buffers=(*buffers, *self.rows.values(), *numbers),
            body=body,
        )

    def _wide(self, buffer: Buffer) -> Buffer:
        return replace(buffer, shape=(*buffer.shape, LANES)) if buffer.name in self.differing else buffer

    def _controls(self, body: tuple[Control, ...]) -> tuple[Control, ...]:
        made: list[Control] = []
        self.local = set()
        for part in body:
            match part:
                case Define():
                    self._same(part.value)
                    made.append(part)
                case Branch():
                    self._same(part.condition)
                    made.append(replace(part, body=self._controls(part.body)))
                case Repeat():
                    made.append(replace(part, body=self._controls(part.body)))
                case Phase():
                    made.append(self._phase(part))
                    self.local = set()
                case Fetch():
                    made.append(part)
                case _:
                    assert_never(part)
        return tuple(made)

    def _same(self, *exprs: Expr) -> None:
        if any(self.differs(expr) for expr in exprs):
            raise _DifferentWays

    def _phase(self, phase: Phase) -> Phase:
        self.local = self._locals(phase)
        self.carried = {}
        everywhere = _names(phase.body)
        for run in _runs(phase.body, self._alike):
            inside = _names(run)
            for name in sorted(self.local & inside.keys()):
                if inside[name] != everywhere[name]:
                    self._carry(name, phase)
        return replace(phase, body=self._body(phase.body))

    def _carry(self, name: str, phase: Phase) -> None:
        """Room for a variable that is used in more than one run."""
        defined = next(s for s in statements(phase.body) if isinstance(s, Define) and s.name == name)
        dtype = defined.value.dtype
        if (name, dtype) not in self.rows:
            row = self._fresh(name if dtype is Dtype.REAL else f"{name}_{dtype}")
            self.rows[name, dtype] = Buffer(name=row, role=Role.ROW, key="", shape=(LANES,), dtype=dtype)
        self.carried[name] = self.rows[name, dtype].name

    # ------------------------------------------------------------ statements

    def _alike(self, statement: Statement) -> bool:
        """Whether a statement is the same for all lanes, and so stands outside their loops."""
        match statement:
            case Define() | Assign() | Sum():
                return statement.name not in self.local
            case Store():
                return statement.buffer not in self.differing
            case When():
                return not self.differs(statement.condition)
            case Loop():
                return True
            case _:
                assert_never(statement)

    def _body(self, body: Sequence[Statement]) -> tuple[Statement, ...]:
        made: list[Statement] = []
        run: list[Statement] = []

        def end() -> None:
            if run:
                origin = None if isinstance(run[0], When) else run[0].origin
                lane = tuple(map(self._statement, run))
                made.append(Loop(var=LANE, extent=LANES, body=lane, over="lanes", origin=origin))
                run.clear()

        for statement in body:
            if self._alike(statement):
                end()
                made.append(self._whole(statement))
            else:
                run.append(statement)
        end()
        return tuple(made)

    def _whole(self, statement: Statement) -> Statement:
        """A statement that stands outside the loops over lanes."""
        match statement:
            case Loop() | When():
                return replace(statement, body=self._body(statement.body))
            case Define() | Assign() | Store() | Sum():
                return statement
            case _:
                assert_never(statement)

    def _statement(self, statement: Statement) -> Statement:
        """A statement of one lane."""
        match statement:
            case Define() | Assign():
                value = self._expr(statement.value)
                if statement.name not in self.carried:
                    return replace(statement, value=value)
                row = self.carried[statement.name]
                return Store(buffer=row, index=(_AT,), value=value, origin=statement.origin)
            case Store():
                self._same(*statement.index)
                index = (*map(self._expr, statement.index), _AT)
                return replace(statement, index=index, value=self._expr(statement.value))
            case When():
                body = tuple(map(self._statement, statement.body))
                return replace(statement, condition=self._expr(statement.condition), body=body)
            case Loop() | Sum():  # within a condition that differs between lanes
                raise _DifferentWays
            case _:
                assert_never(statement)

    def _expr(self, expr: Expr) -> Expr:
        match expr:
            case Var() if expr.name in self.numbers:
                return Load(self.numbers[expr.name].name, (_AT,), expr.dtype)
            case Var() if expr.name in self.carried:
                return Load(self.carried[expr.name], (_AT,), expr.dtype)
            case Load() if expr.buffer in self.differing:
                self._same(*expr.index)
                return Load(expr.buffer, (*map(self._expr, expr.index), _AT), expr.dtype)
            case Load():
                self._same(*expr.index)
                return expr
            case Op():
                return Op(expr.function, tuple(map(self._expr, expr.arguments)), expr.dtype)
            case _:
                return expr


# ---------------------------------------------------------------- runs and names


def _runs(body: Sequence[Statement], alike: Callable[[Statement], bool]) -> Iterator[list[Statement]]:
    """Every stretch of statements that will share a loop over lanes."""
    run: list[Statement] = []
    for statement in body:
        if not alike(statement):
            run.append(statement)
            continue
        if run:
            yield run
            run = []
        if isinstance(statement, Loop | When):
            yield from _runs(statement.body, alike)
    if run:
        yield run


def _names(body: Sequence[Statement]) -> Mapping[str, int]:
    """How often each variable is defined, assigned or read."""
    found: Counter[str] = Counter()
    for statement in statements(tuple(body)):
        if isinstance(statement, Define | Assign | Sum):
            found[statement.name] += 1
        for expr in expressions(statement):
            found.update(n.name for n in walk(expr) if isinstance(n, Var))
    return found


def _nodes(body: Sequence[Control]) -> Iterator[Expr]:
    for phase in phases(tuple(body)):
        for statement in statements(phase.body):
            for expr in expressions(statement):
                yield from walk(expr)
