"""A synapse learns from an example while the next one's currents are computed: each of its weights is read and written
once a step.

The phase in which it learns moves to the beginning of the next step, before the first one that reads its weights, where
`fuse` and `rows` make one loop of both. Of what it reads, the places of data are those of the example before, and what
is computed anew before it gets there is kept in a buffer of its own.

There is one round more than there are examples: in the first nothing was learned yet, and in the last only what was
left over is done. So a call leaves no work behind; and as all rounds go through the same code, no bit depends on how
examples are divided into calls.

That needs increments which are finite wherever they are evaluated (lower/pending.py), of weights that nothing reads
after they have learned. It is for one thread, and for circuits whose examples are one tick.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import field, replace
from functools import partial
from itertools import groupby

from circuitdsl.frozen import frozen, mutable
from circuitdsl.lower import long
from circuitdsl.lower.loop_ir import (
    READ_ONLY,
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
    Rounds,
    Statement,
    Store,
    Var,
    expressions,
    names_of,
    own_names,
    statements,
    units_of,
    walk,
)
from circuitdsl.lower.pending import Learning
from circuitdsl.lower.reorder import head_of
from circuitdsl.lower.rewrite import rename
from circuitdsl.lower.touches import NOWHERE, Touches, in_rounds, meet

#: Bytes of a row from which on it is read from further away than the nearest cache, with the rates of two examples: to
#: go through it twice, for currents and then to learn, is faster then.
NEAR = 3 * 2**12

_ONE, _ZERO = Const(1, Dtype.INT), Const(0, Dtype.INT)
#: What outlasts an example.
_LASTING = frozenset({Role.WEIGHT, Role.SYNAPSE_STATE, Role.KEPT})
#: What an example computes, and another one computes anew.
_PASSING = frozenset({Role.VALUE, Role.WORK})


def deferred(program: Program) -> Program:
    """The program with as much learning as can be done in the next example's currents."""
    if program.aim.teams or program.is_batched:
        return program
    match program.body:
        case (*before, Repeat(body=(Define(value=Load(index=(Var(name=at),))) as example, *parts)) as steps) if (
            at == steps.var and all(isinstance(part, Phase) for part in parts)
        ):
            found = _Step(program, example, [part for part in parts if isinstance(part, Phase)])
            found.look()
            return found.program(before, steps) if found.moved else program
        case _:
            return program


@frozen
class _Moved:
    """A learning phase that moves from place `at` before place `to` of the next step."""

    phase: Phase
    at: int
    to: int
    kept: frozenset[str]
    cleared: frozenset[str]


@mutable
class _Step:
    """What is done for each example. `touching` and `writing` have, for each buffer, the places of the phases that
    touch and write it; `ends`, for each phase, the place after those that go through the same loop. `kept`: the values
    that the next step needs, and the place before which they are copied: at the end, where phases that are alike
    follow each other, unless they change before."""

    before: Program
    example: Define
    phases: list[Phase]
    touches: list[Touches] = field(init=False)
    touching: dict[str, list[int]] = field(init=False)
    writing: dict[str, list[int]] = field(init=False)
    ends: list[int] = field(init=False)
    buffers: dict[str, Buffer] = field(init=False)
    roles: dict[str, Role] = field(init=False)
    scalars: frozenset[str] = field(init=False)
    units: dict[str, int] = field(init=False)
    names: dict[str, str] = field(default_factory=dict)
    taken: set[str] = field(init=False)
    kept: dict[str, int] = field(default_factory=dict)
    moved: list[_Moved] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.touches = [in_rounds(phase.body) for phase in self.phases]
        self.touching, self.writing = {}, {}
        for n, touches in enumerate(self.touches):
            for name, touch in touches.items():
                self.touching.setdefault(name, []).append(n)
                if touch.writes:
                    self.writing.setdefault(name, []).append(n)
        heads = [head_of(phase) for phase in self.phases]
        self.ends = [*range(1, len(heads) + 1)]
        for n in reversed(range(len(heads) - 1)):
            if heads[n] == heads[n + 1]:
                self.ends[n] = self.ends[n + 1]
        self.buffers = {b.name: b for b in self.before.buffers}
        self.roles = {b.name: b.role for b in self.before.buffers}
        self.scalars = frozenset(s.name for s in self.before.scalars)
        self.units = units_of(self.before)
        self.taken = names_of(self.before)

    # ------------------------------------------------------------ which phases move

    def look(self) -> None:
        for at, phase in enumerate(self.phases):
            to = self._first_reader(at)
            if to is not None and (moved := self._moving(phase, at, to)) is not None:
                self.moved.append(moved)
                self.kept |= {name: self._copied(name, at) for name in sorted(moved.kept)}

    def _first_reader(self, at: int) -> int | None:
        """Where the weights that a phase changes are read first; None if it has to stay where it is, or stands where
        one loop reads and changes them."""
        written = {name for name, touch in self.touches[at].items() if touch.writes}
        weights = [name for name in written if self.roles[name] is Role.WEIGHT]
        states = {name for name in written if self.roles[name] is Role.SYNAPSE_STATE}
        readers = sorted({n for name in written for n in self.touching[name]} - {at})
        if len(weights) != 1 or written != {*weights, *states} or not readers or max(readers) > at:
            return None
        if any(self.touches[n].keys() & states or self.touches[n][weights[0]].writes for n in readers):
            return None
        first, head = readers[0], head_of(self.phases[at])
        if head is None or head != head_of(self.phases[first]):
            return None
        if at >= self.ends[first]:
            return first
        return first if self._is_near(weights[0]) and self._waits_for(at, first) else None

    def _is_near(self, matrix: str) -> bool:
        """Whether a row, with the rates of two examples, stays in the nearest cache. One of few weights counts as near:
        that its rates are anywhere is the same either way."""
        return self.units.get(self.buffers[matrix].shape[-1], 0) * self.before.aim.itemsize < NEAR

    def _waits_for(self, at: int, first: int) -> bool:
        """Whether a phase reads what is computed in the loop where its weights are read, after them: then no pass makes
        one loop over a row of both."""
        read = (name for name, touch in self.touches[at].items() if not touch.writes)
        writers = (self.writing.get(name, []) for name in read)
        return any(bisect_left(places, first) < bisect_left(places, at) for places in writers)

    def _moving(self, phase: Phase, at: int, to: int) -> _Moved | None:
        """The phase on its way, if what it reads can be told there."""
        learning = Learning.of(phase)
        if learning is None or not self._knows(phase):
            return None
        waiting = learning.waiting(self._number("pending"), self._number("late", Dtype.BOOL))
        if waiting is None:
            return None
        kept, cleared = set[str](), set[str]()
        for name, touch in self.touches[at].items():
            if touch.writes or self.roles[name] in READ_ONLY:
                continue
            if self.roles[name] not in (*_PASSING, Role.KEPT) or not self._is_one_row(name):
                return None
            writers = self.writing.get(name, [])
            early = self.ends[to] if touch.reads & {NOWHERE, None} else to
            anew = bool(writers) and (writers[0] < early or writers[-1] > at)
            copied = self._copied(name, at)
            between = bisect_left(writers, max(copied, at + 1)) - bisect_right(writers, min(copied, at))
            if anew and (copied < to or between > 0):
                return None
            (kept if anew else cleared).add(name)
        names = {name: self._name(f"before_{name}", name) for name in kept}
        names[self.example.name] = self._name("before", self.example.name)
        moved = replace(waiting, body=rename(waiting.body, names))
        if meet(in_rounds(moved.body), self.touches[to]):
            return None
        return _Moved(moved, at, to, frozenset(kept), frozenset(cleared))

    def _copied(self, name: str, at: int) -> int:
        """Before which place a value is copied that a phase reads."""
        changes = name in self.writing and self.writing[name][-1] > at
        return self.kept.get(name, at if changes else len(self.phases))

    def _knows(self, phase: Phase) -> bool:
        """Whether all numbers in a phase are its own, or the same for all examples, or the example's; data are read at
        the example only."""
        own = own_names(phase.body) | {self.example.name}
        nodes = [n for s in statements(phase.body) for e in expressions(s) for n in walk(e)]
        places = [n.index[0] for n in nodes if isinstance(n, Load) and self.roles[n.buffer] in (Role.DATA, Role.ORDER)]
        at_example = all(isinstance(i, Var) and i.name == self.example.name for i in places)
        return at_example and all(n.name in own or n.name in self.scalars for n in nodes if isinstance(n, Var))

    def _is_one_row(self, name: str) -> bool:
        return len(self.buffers[name].shape) == 1

    # ------------------------------------------------------------ names

    def _name(self, wanted: str, key: str) -> str:
        """A name of the program's own; the same for the same key."""
        if key not in self.names:
            count, name = 1, wanted
            while name in self.taken:
                count += 1
                name = f"{wanted}_{count}"
            self.taken.add(name)
            self.names[key] = name
        return self.names[key]

    def _number(self, name: str, dtype: Dtype = Dtype.REAL) -> Var:
        return Var(self._name(name, f" {name}"), dtype)

    # ------------------------------------------------------------ the program

    def program(self, before: Sequence[Control], steps: Repeat) -> Program:
        """The program with what was found moved."""
        count, step = Var(steps.extent, Dtype.INT), Var(steps.var, Dtype.INT)
        rounds, live = self._number("rounds", Dtype.INT), self._number("live", Dtype.BOOL)
        one_more = Op("add", (count, Op("min", (count, _ONE), Dtype.INT)), Dtype.INT)
        last = Op("sub", (count, _ONE), Dtype.INT)
        previous = Op("max", (Op("sub", (step, _ONE), Dtype.INT), _ZERO), Dtype.INT)
        late = self._number("late", Dtype.BOOL)
        defines = [
            Define(name=live.name, value=Op("lt", (step, count), Dtype.BOOL)),
            self._example(self.example.name, Op("min", (step, last), Dtype.INT)),
            self._example(self.names[self.example.name], previous),
            Define(name=late.name, value=Op("gt", (step, _ZERO), Dtype.BOOL)),
            Define(name=self._number("pending").name, value=Op("real", (late,))),
        ]
        body = (*defines, *self._parts(live))
        return replace(
            self.before,
            buffers=(*self.before.buffers, *map(self._room, self.kept)),
            body=(
                *before,
                *self._clear(),
                Define(name=rounds.name, value=one_more),
                replace(steps, extent=rounds.name, body=body),
            ),
        )

    def _example(self, name: str, place: Expr) -> Define:
        assert isinstance(self.example.value, Load)
        return replace(self.example, name=name, value=replace(self.example.value, index=(place,)))

    def _parts(self, live: Var) -> list[Control]:
        """The phases of a round. What lasts is done for examples only, and so is all that comes after the last phase
        that others have moved to."""
        gone = {moved.at for moved in self.moved}
        arriving: dict[int, list[Phase]] = {}
        for moved in self.moved:
            arriving.setdefault(moved.to, []).append(moved.phase)
        copied: dict[int, list[Phase]] = {}
        for name, at in self.kept.items():
            copied.setdefault(at, []).append(self._keep(name))
        end = self.ends[max(arriving)]
        found: list[tuple[bool, Phase]] = []
        for _, places in groupby(range(len(self.phases)), lambda n: (n < end, head_of(self.phases[n]) or n)):
            group = list(places)
            lasting = {n for n in group if n not in gone and self._lasts(n)}
            whole = not any(n in arriving for n in group) and bool(lasting)
            for n in group:
                found += [(False, phase) for phase in arriving.get(n, [])]
                guarded = n >= end or whole or n in lasting
                found += [(guarded, phase) for phase in copied.get(n, [])]
                found += [] if n in gone else [(guarded, self.phases[n])]
        found += [(True, phase) for phase in copied.get(len(self.phases), [])]
        made: list[Control] = []
        for guarded, phases in groupby(found, lambda pair: pair[0]):
            body = tuple(phase for _, phase in phases)
            made += [Branch(condition=live, body=body)] if guarded else body
        return made

    def _lasts(self, at: int) -> bool:
        return any(touch.writes and self.roles[name] in _LASTING for name, touch in self.touches[at].items())

    # ------------------------------------------------------------ values of the example before

    def _room(self, name: str) -> Buffer:
        return replace(self.buffers[name], name=self.names[name], role=Role.WORK)

    def _keep(self, name: str) -> Phase:
        """Copies what the next step needs of this one."""
        held = self.names[name]
        body = self._everywhere(name, lambda at: self._stored(held, Load(name, at), at), "threads")
        return Phase(name=f"keep_{name}", title=f"{name}: for the step after", body=body)

    def _clear(self) -> list[Phase]:
        """Zeros in all that the first round multiplies by 0: what an earlier call has left there may be infinite."""
        found = {n for moved in self.moved for n in moved.cleared if self.roles[n] in _PASSING}
        zero = Const(0.0, Dtype.REAL)
        bodies: list[tuple[Statement, ...]] = []
        for name, held in [*((n, n) for n in sorted(found)), *((n, self.names[n]) for n in self.kept)]:
            bodies.append(self._everywhere(name, partial(self._stored, held, zero), "sequence"))
        if not long.is_long(len(self.phases)):
            bodies = [sum(bodies, ())] if bodies else []
        return [Phase(name="clear", title="nothing was learned yet", body=body) for body in bodies]

    @staticmethod
    def _stored(name: str, value: Expr, at: tuple[Expr, ...]) -> Store:
        return Store(buffer=name, index=at, value=value)

    def _everywhere(self, name: str, store: Callable[[tuple[Expr, ...]], Store], over: Rounds) -> tuple[Statement, ...]:
        """A store at each place of a buffer."""
        (extent,) = self.buffers[name].shape
        if extent == "1":
            return (store((_ZERO,)),)
        return (Loop(var="j", extent=extent, body=(store((Var("j", Dtype.INT),)),), over=over),)
