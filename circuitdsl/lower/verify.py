"""Is a loop program well formed? Asked after every pass, so that a wrong pass is found where it is wrong.

Types; every name defined once and before its use; as many indices as extents, and loop variables only along
the extent that they run over; nothing written that is only to be read; and, within a phase, no thread reading
or writing what another one writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn, assert_never

from circuitdsl.lower.loop_ir import (
    READ_ONLY,
    SIGNATURES,
    Assign,
    Branch,
    Buffer,
    Const,
    Control,
    Define,
    Dtype,
    Expr,
    Load,
    Loop,
    Op,
    Phase,
    Program,
    Repeat,
    Role,
    Statement,
    Store,
    Var,
    When,
    expressions,
    walk,
)


class LoopError(Exception):
    """A loop program that is not well formed: a defect of the compiler, not of the circuit."""


def verify(program: Program) -> None:
    """Raises LoopError if the program is not well formed."""
    names = [*(s.name for s in program.scalars), *(b.name for b in program.buffers), *dict(program.constants)]
    for name in names:
        if names.count(name) > 1:
            raise LoopError(f"`{program.name}`: two things are called `{name}`")
    checker = _Checker(
        buffers={b.name: b for b in program.buffers},
        bounded=dict(program.bounded),
        known={s.name: s.dtype for s in program.scalars} | dict.fromkeys(dict(program.constants), Dtype.INT),
        fixed=frozenset([*(s.name for s in program.scalars), *dict(program.constants)]),
        where=program.name,
        stand_ins=dict(program.stand_ins),
    )
    for buffer in program.buffers:
        for extent in buffer.shape:
            if extent != "1" and checker.known.get(extent) is not Dtype.INT:
                raise LoopError(f"`{buffer.name}`: the extent `{extent}` is no int scalar")
    checker.controls(program.body)


@dataclass(frozen=True, slots=True)
class _Access:
    """A read or write of a buffer. `axis` is where the thread's own index stands: None outside thread
    loops, -1 if it does not occur."""

    buffer: str
    write: bool
    axis: int | None


@dataclass(slots=True)
class _Checker:
    """What is known at one place of the program. `fixed` names may not be assigned; `private` ones were
    defined by the present thread."""

    buffers: dict[str, Buffer]
    bounded: dict[str, str]
    known: dict[str, Dtype]
    fixed: frozenset[str]
    where: str
    stand_ins: dict[str, str]
    ranges: dict[str, str] = field(default_factory=dict)
    thread: str | None = None
    private: set[str] | None = None
    accesses: list[_Access] = field(default_factory=list)

    def fail(self, text: str) -> NoReturn:
        raise LoopError(f"`{self.where}`: {text}")

    def inner(self) -> _Checker:
        """The same place, one level down: what is defined there ends there."""
        return _Checker(
            buffers=self.buffers, bounded=self.bounded, known=dict(self.known), fixed=self.fixed,
            where=self.where, stand_ins=self.stand_ins, ranges=dict(self.ranges), thread=self.thread,
            private=self.private, accesses=self.accesses,
        )  # fmt: skip

    # ------------------------------------------------------------ control

    def controls(self, body: tuple[Control, ...]) -> None:
        for part in body:
            match part:
                case Define():
                    self._uniform(part.value)
                    self._define(part.name, self.type_of(part.value))
                    self.fixed |= {part.name}
                case Branch():
                    self._uniform(part.condition)
                    self._expect(part.condition, Dtype.BOOL, "the condition of a branch")
                    self.inner().controls(part.body)
                case Repeat():
                    self._extent(part.extent)
                    inner = self.inner()
                    inner._define(part.var, Dtype.INT)
                    inner.fixed |= {part.var}
                    inner.controls(part.body)
                case Phase():
                    self._phase(part)
                case _:
                    assert_never(part)

    def _uniform(self, expr: Expr) -> None:
        """Control is the same for all threads: it may only load what nobody writes."""
        for node in walk(expr):
            if isinstance(node, Load) and self._buffer(node.buffer).role not in READ_ONLY:
                self.fail(f"control around phases reads `{node.buffer}`, which threads write")

    def _phase(self, phase: Phase) -> None:
        inner = self.inner()
        inner.where = phase.title
        inner.accesses = []
        inner.statements(phase.body)
        inner.rows_are_set()
        for buffer in {a.buffer for a in inner.accesses if a.write}:
            if self.buffers[buffer].role is Role.ROW:
                continue
            axes = {a.axis for a in inner.accesses if a.buffer == buffer}
            if axes == {-1}:
                inner.fail(f"every thread writes the same places of `{buffer}`")
            if len(axes) > 1 or -1 in axes:
                inner.fail(f"a thread reads or writes places of `{buffer}` that another thread writes")

    def rows_are_set(self) -> None:
        """A thread's own row holds what another round left in it until it is set."""
        first: dict[str, _Access] = {}
        for access in self.accesses:
            first.setdefault(access.buffer, access)
        for name, access in first.items():
            if self.buffers[name].role is Role.ROW and not access.write:
                self.fail(f"`{name}` is read before it is set")

    # ------------------------------------------------------------ statements

    def statements(self, body: tuple[Statement, ...]) -> None:
        for statement in body:
            for expr in expressions(statement):
                self.accesses += self._loads(expr)
            match statement:
                case Define():
                    self._define(statement.name, self.type_of(statement.value))
                case Assign():
                    self._assign(statement)
                case Store():
                    self._store(statement)
                case Loop():
                    self._loop(statement)
                case When():
                    self._expect(statement.condition, Dtype.BOOL, "a condition")
                    self.inner().statements(statement.body)
                case _:
                    assert_never(statement)

    def _define(self, name: str, dtype: Dtype) -> None:
        if name in self.known or name in self.buffers:
            self.fail(f"`{name}` is defined where it is known already")
        self.known[name] = dtype
        if self.private is not None:
            self.private.add(name)

    def _assign(self, statement: Assign) -> None:
        name = statement.name
        if name not in self.known:
            self.fail(f"`{name}` is assigned, but not defined")
        if name in self.fixed:
            self.fail(f"`{name}` may not be assigned within a phase")
        if self.private is not None and name not in self.private:
            self.fail(f"the threads of a loop assign `{name}`, which they share")
        self._expect(statement.value, self.known[name], f"what is assigned to `{name}`")

    def _store(self, statement: Store) -> None:
        buffer = self._buffer(statement.buffer)
        if buffer.role in READ_ONLY:
            self.fail(f"`{buffer.name}` is only to be read")
        self._index(buffer, statement.index)
        self._expect(statement.value, buffer.dtype, f"what is stored in `{buffer.name}`")
        if statement.add:
            self.accesses.append(_Access(buffer.name, False, self._axis(statement.index)))
        self.accesses.append(_Access(buffer.name, True, self._axis(statement.index)))

    def _loop(self, loop: Loop) -> None:
        self._extent(loop.extent)
        inner = self.inner()
        inner._define(loop.var, Dtype.INT)
        inner.fixed |= {loop.var}
        inner.ranges[loop.var] = loop.extent
        if loop.threads:
            if self.thread is not None:
                self.fail("a thread loop stands within a thread loop")
            inner.thread = loop.var
            inner.private = set()
        inner.statements(loop.body)

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
                found = buffer.dtype
            case Op():
                types = tuple(self.type_of(a) for a in expr.arguments)
                signature = self.stand_ins.get(expr.function, expr.function), types
                if signature not in SIGNATURES:
                    self.fail(f"`{expr.function}` does not take ({', '.join(types)})")
                found = SIGNATURES[signature]
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

    def _index(self, buffer: Buffer, index: tuple[Expr, ...]) -> None:
        if len(index) != len(buffer.shape):
            self.fail(f"`{buffer.name}` has {len(buffer.shape)} extents, not {len(index)}")
        for expr, extent in zip(index, buffer.shape, strict=True):
            self._expect(expr, Dtype.INT, f"an index of `{buffer.name}`")
            if isinstance(expr, Var) and expr.name in self.ranges:
                over = self.ranges[expr.name]
                if extent not in (over, self.bounded.get(over)):
                    self.fail(f"`{expr.name}` runs over `{over}`, but indexes `{extent}` of `{buffer.name}`")

    # ------------------------------------------------------------ threads

    def _loads(self, expr: Expr) -> Iterator[_Access]:
        for node in walk(expr):
            if isinstance(node, Load):
                yield _Access(node.buffer, False, self._axis(node.index))

    def _axis(self, index: tuple[Expr, ...]) -> int | None:
        if self.thread is None:
            return None
        own = [n for n, e in enumerate(index) if isinstance(e, Var) and e.name == self.thread]
        return own[0] if own else -1
