"""Short rows side by side: of a matrix with few presynaptic units the weights of neighbouring units fill vectors, where
its rows do not.

While a program of one example at a time runs, such a matrix is held the other way round, [pre, post]. A phase that went
through the rows, unit by unit, goes through the presynaptic units, and for each of them through all units: what it
needs of a unit before and after its row has a place for every unit meanwhile. Rounds of a loop over units do not need
each other, and for each of them all is done in the order that it had. That is for one thread, whose loops become
vectors.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field, replace
from functools import partial

from circuitdsl.frozen import frozen, mutable
from circuitdsl.lower.equations import depends, substitute
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
    Load,
    Loop,
    Op,
    Phase,
    Program,
    Repeat,
    Rest,
    Role,
    Statement,
    Store,
    Var,
    expressions,
    names_of,
    own_names,
    phases,
    statements,
    units_of,
    walk,
)
from circuitdsl.lower.names import Apart
from circuitdsl.lower.rewrite import rename, with_expressions

#: From so many postsynaptic units on, and with fewer presynaptic ones than that, a matrix is turned.
UNITS, FEW = 16, 32
#: So many presynaptic units are done together: what is added up for a unit is read and written once for them.
TOGETHER = 2


def has_short_rows(post: int | None, pre: int | None) -> bool:
    """Whether a matrix [post, pre] has short rows, and many of them."""
    return post is not None and pre is not None and 1 < pre < FEW and post >= max(UNITS, pre)


def across(program: Program) -> Program:
    """The program with matrices of short rows turned, where all that touches them can go across."""
    aim = program.aim
    if aim.teams or aim.copies > 1 or program.is_batched or not aim.vectors:
        return program
    turned = _turned(program)
    if not turned:
        return program
    names = Apart(names_of(program))
    work = _Work({name: names.free(f"{name}_across") for name in sorted(turned)}, names)
    body = [work.control(part) for part in program.body]
    buffers = {b.name: b for b in program.buffers}
    for name, other in work.turned.items():
        post, pre = buffers[name].shape
        work.buffers.append(Buffer(name=other, role=Role.WORK, key=buffers[name].key, shape=(pre, post)))
        back = [] if buffers[name].role in READ_ONLY else [_turning(buffers[name], other, back=True)]
        body = [_turning(buffers[name], other, back=False), *body, *back]
    return replace(program, body=tuple(body), buffers=(*program.buffers, *work.buffers))


def _turning(buffer: Buffer, other: str, *, back: bool) -> Phase:
    """The phase that turns a matrix, or turns it back."""
    post, pre = buffer.shape
    j, i = Var("j", Dtype.INT), Var("i", Dtype.INT)
    if back:
        store = Store(buffer=buffer.name, index=(j, i), value=Load(other, (i, j)), origin=buffer.origin)
    else:
        store = Store(buffer=other, index=(i, j), value=Load(buffer.name, (j, i)), origin=buffer.origin)
    rows = Loop(var="j", extent=post, over="threads", body=(Loop(var="i", extent=pre, body=(store,)),))
    way = "turned back" if back else "turned"
    return Phase(name=f"{'turn_back' if back else 'turn'}_{buffer.name}", title=f"{buffer.key}: {way}", body=(rows,))


# ---------------------------------------------------------------- which matrices


@frozen
class Rows:
    """A phase that goes through rows: what is done for a unit `before` its row, `along` it, and `after` it."""

    phase: Phase
    units: Loop
    before: tuple[Define, ...]
    along: Loop
    after: tuple[Statement, ...]

    @staticmethod
    def of(phase: Phase) -> Rows | None:
        match phase.body:
            case (Loop(over="threads", extent=str(), body=body) as units,):
                at = [n for n, s in enumerate(body) if isinstance(s, Loop)]
                if len(at) != 1:
                    return None
                before, along, after = body[: at[0]], body[at[0]], body[at[0] + 1 :]
                assert isinstance(along, Loop)
                defines = tuple(s for s in before if isinstance(s, Define))
                plain = all(isinstance(s, Define | Assign | Store) for s in (*along.body, *after))
                if len(defines) == len(before) and plain and along.over == "sequence" and isinstance(along.extent, str):
                    return Rows(phase, units, defines, along, after)
        return None

    def walks(self, buffer: str) -> bool:
        """Whether all that it touches of a matrix is the weight at the place where it is."""
        here = (Var(self.units.var, Dtype.INT), Var(self.along.var, Dtype.INT))
        elsewhere = any(name == buffer for name, _ in _touched((*self.before, *self.after)))
        return not elsewhere and all(index == here for name, index in _touched(self.along.body) if name == buffer)


def _touched(body: Sequence[Statement]) -> Iterator[tuple[str, tuple[Expr, ...]]]:
    for s in statements(tuple(body)):
        if isinstance(s, Store):
            yield s.buffer, s.index
        for expr in expressions(s):
            yield from ((e.buffer, e.index) for e in walk(expr) if isinstance(e, Load))


def _turned(program: Program) -> frozenset[str]:
    """The matrices of synapses with short rows that all phases walk along rows; a phase turns all of its matrices, or
    none."""
    matrices = {b.name: b for b in program.buffers if len(b.shape) == 2 and b.role in _PER_WEIGHT}
    weights = {b.shape for b in matrices.values() if b.role is Role.WEIGHT}
    units = units_of(program)
    short = {shape for shape in weights if has_short_rows(*map(units.get, shape))}
    found = {name for name, b in matrices.items() if b.dtype is Dtype.REAL and b.shape in short}
    touching = [(Rows.of(p), {name for name, _ in _touched(p.body)} & matrices.keys()) for p in phases(program.body)]
    while True:
        kept = set(found)
        for rows, touched in touching:
            if touched & kept and not (rows and touched <= kept and all(map(rows.walks, touched))):
                kept -= touched
        if kept == found:
            return frozenset(found)
        found = kept


_PER_WEIGHT = frozenset({Role.WEIGHT, Role.SYNAPSE_STATE, Role.MASK, Role.COEFFICIENT})


# ---------------------------------------------------------------- phases that go across


@mutable
class _Work:
    """`turned`: matrices, and what they are called the other way round; `buffers`: what is new."""

    turned: Mapping[str, str]
    names: Apart
    buffers: list[Buffer] = field(default_factory=list)

    def control(self, part: Control) -> Control:
        match part:
            case Repeat() | Branch():
                return replace(part, body=tuple(map(self.control, part.body)))
            case Phase() if any(name in self.turned for name, _ in _touched(part.body)):
                rows = Rows.of(part)
                assert rows is not None
                return self._phase(rows)
            case _:
                return part

    def _phase(self, rows: Rows) -> Phase:
        j = Var(rows.units.var, Dtype.INT)
        held, uniform = self._held(rows)
        places: dict[str, Expr] = {name: Load(buffer, (j,), held_type) for name, (buffer, held_type) in held.items()}

        def placed(s: Statement) -> Statement:
            """With the numbers of a unit at their places."""
            made = with_expressions(s, lambda e: substitute(e, places))
            if isinstance(made, Assign) and made.name in held:
                return Store(buffer=held[made.name][0], index=(j,), value=made.value, origin=made.origin)
            return made

        def over_units(body: Sequence[Statement]) -> list[Statement]:
            return [replace(rows.units, body=tuple(body))] if body else []

        first: list[Statement] = [s for s in rows.before if s not in uniform]
        first += [Store(buffer=buffer, index=(j,), value=Var(name, t)) for name, (buffer, t) in held.items()]
        along, extent = [placed(self._across(s)) for s in rows.along.body], rows.along.extent
        assert isinstance(extent, str)
        several, one = over_units(self._together(along, rows.along.var)), over_units(along)
        return replace(
            rows.phase,
            body=(
                *uniform,
                *over_units(first),
                replace(rows.along, extent=Blocks(of=extent, size=TOGETHER), body=tuple(several)),
                replace(rows.along, extent=Rest(of=extent, size=TOGETHER), body=tuple(one)),
                *over_units([placed(s) for s in rows.after]),
            ),
        )

    def _together(self, along: Sequence[Statement], var: str) -> list[Statement]:
        """What is done at the places of several presynaptic units, one after the other."""
        made = list(along)
        for number in range(1, TOGETHER):
            unit = {var: Op("add", (Var(var, Dtype.INT), Const(number, Dtype.INT)), Dtype.INT)}
            names = self.names.others(own_names(tuple(along)))
            made += rename(tuple(with_expressions(s, partial(substitute, values=unit)) for s in along), names)
        return made

    def _held(self, rows: Rows) -> tuple[dict[str, tuple[str, Dtype]], list[Define]]:
        """The numbers of a unit that its row or what comes after it reads, each with the buffer of all units and its
        type; and those that are the same for all units."""
        assert isinstance(rows.units.extent, str)
        assigned = {s.name for s in rows.along.body if isinstance(s, Assign)}
        varying, uniform = {rows.units.var}, []
        for s in rows.before:
            if s.name in assigned or depends(s.value, frozenset(varying)) or _loads(s.value):
                varying.add(s.name)
            else:
                uniform.append(s)
        read, held = _names((*rows.along.body, *rows.after)), {}
        for s in rows.before:
            if s.name in varying & read:
                name, dtype = self.names.free(f"{s.name}s_{rows.phase.name}"), s.value.dtype
                held[s.name] = name, dtype
                self.buffers.append(
                    Buffer(name=name, role=Role.WORK, key=s.name, shape=(rows.units.extent,), dtype=dtype)
                )
        return held, uniform

    def _across(self, s: Statement) -> Statement:
        """A statement along a row with its matrices turned."""
        made = with_expressions(s, self._turned_in)
        if isinstance(made, Store) and made.buffer in self.turned:
            return replace(made, buffer=self.turned[made.buffer], index=made.index[::-1])
        return made

    def _turned_in(self, expr: Expr) -> Expr:
        match expr:
            case Load() if expr.buffer in self.turned:
                return Load(self.turned[expr.buffer], expr.index[::-1], expr.dtype)
            case Op():
                return replace(expr, arguments=tuple(map(self._turned_in, expr.arguments)))
            case _:
                return expr


def _loads(expr: Expr) -> bool:
    return any(isinstance(e, Load) for e in walk(expr))


def _names(body: Collection[Statement]) -> set[str]:
    """The numbers that statements read or set anew."""
    inside = list(statements(tuple(body)))
    read = {e.name for s in inside for x in expressions(s) for e in walk(x) if isinstance(e, Var)}
    return read | {s.name for s in inside if isinstance(s, Assign)}
