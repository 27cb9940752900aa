"""Batches in blocks: what several units and examples need of memory is read once for all of them.

A loop over units with one over examples in it goes on by blocks of units and of `EXAMPLES`. What was done for one
unit after the other is done for all of a block in the loops within, if they read the same places there: a sum over
presynaptic units holds a number for each unit and example in registers, and each weight that is read there serves for
all examples of the block, each rate for all its units. Units and examples that fill no block are left to a loop over
the rest.

That is for a processor's vectors: a GPU shares units and examples among its threads instead. And as blocks take long to
compile, they are for programs that learn (an evaluation is short), and for circuits that are not small.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import field, replace
from itertools import groupby

from circuitdsl.frozen import frozen, mutable
from circuitdsl.graph.ir import Circuit
from circuitdsl.lower.equations import depends, substitute
from circuitdsl.lower.loop_ir import (
    Assign,
    Blocks,
    Buffer,
    Const,
    Define,
    Dtype,
    Expr,
    Load,
    Loop,
    Op,
    Program,
    Rest,
    Role,
    Row,
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
from circuitdsl.lower.names import Apart
from circuitdsl.lower.rewrite import rename, with_expressions, with_phases
from circuitdsl.lower.touches import in_rounds

#: Of a block. The sums, with what is multiplied, fill sixteen vector registers, or with twice as many units 32.
UNITS, EXAMPLES = 2, 4

#: A circuit of fewer weights is left as it is: blocks would save it less, over a hundred thousand examples, than the
#: second that they take to compile.
WEIGHTS = 2**13
#: With fewer the rates of a batch are near whoever reads them, and larger blocks save nothing.
MANY = 2**16


def units_at_once(circuit: Circuit, registers: Callable[[], int]) -> int:
    """How many units a block has, on a processor of so many vector registers; 0: no blocks."""
    weights = sum(s.post_size * s.pre_size for s in circuit.synapses.values())
    if weights < WEIGHTS:
        return 0
    return 2 * UNITS if weights >= MANY and registers() >= 32 else UNITS


def blocked(program: Program) -> Program:
    """The program with loops over units and examples in blocks, if it learns in batches and is made for that."""
    held = {b.name for b in program.buffers if b.role is Role.WEIGHT}
    learns = any(isinstance(s, Store) and s.buffer in held for p in phases(program.body) for s in statements(p.body))
    if not program.aim.blocks or program.constants or not program.bounded or not learns:
        return program
    examples = frozenset(dict(program.bounded))
    rows = {b.name: b for b in program.buffers if b.role is Role.ROW}
    work = _Work(program.aim.blocks, examples, rows, Apart(names_of(program)))
    made = with_phases(program, work.statements)
    return replace(made, buffers=(*made.buffers, *(b for n, b in work.rows.items() if n not in work.given)))


@mutable
class _Work:
    """`units`: how many a block has; `examples`: the extents of loops over the examples of a batch; `rows`: the rows
    that a thread has of its own, of which each unit of a block needs one; `more`: what those of further units are
    called."""

    units: int
    examples: frozenset[str]
    rows: dict[str, Buffer]
    names: Apart
    more: dict[tuple[str, int], str] = field(default_factory=dict)
    given: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.given = frozenset(self.rows)

    def statements(self, body: Sequence[Statement], within: bool = False) -> tuple[Statement, ...]:
        """The statements in blocks; `within`: whether they stand in a loop."""
        return tuple(made for s in body for made in self._statement(s, within))

    def _statement(self, s: Statement, within: bool) -> tuple[Statement, ...]:
        if not isinstance(s, Loop):
            return (s,)
        loop = replace(s, body=self.statements(s.body, True))
        if not isinstance(s.extent, str) or not self._gains(loop, within) or not self._may_be_jammed(loop):
            return (loop,)
        blocks = Blocks(of=s.extent, size=EXAMPLES if s.extent in self.examples else self.units)
        return (
            replace(loop, extent=blocks, body=self._jammed(loop, blocks.size)),
            replace(s, extent=Rest(of=blocks.of, size=blocks.size)),
        )

    def _gains(self, loop: Loop, within: bool) -> bool:
        """Whether what a round reads serves other rounds too: one over examples between two other loops, one over units
        with blocks of examples in it."""
        inside = [s for s in statements(loop.body) if isinstance(s, Loop)]
        if loop.extent in self.examples:
            return within and bool(inside)
        return any(isinstance(s.extent, Blocks) for s in inside)

    # ------------------------------------------------------------ whether rounds may be done together

    def _may_be_jammed(self, loop: Loop) -> bool:
        """Whether the rounds of a loop may go through the loops within it side by side."""
        own = {s.name for s in statements(loop.body) if isinstance(s, Define)}
        varying = _varying(loop)
        for s in statements(loop.body):
            match s:
                case Assign() if s.name not in own:
                    return False
                case Sum():
                    return False
                case When() if any(isinstance(inner, Loop) for inner in statements(s.body)):
                    return False
                case Loop(extent=Row() as row) if any(depends(bound, varying) for bound in row.bounds):
                    return False
                case _:
                    pass
        touches = in_rounds(loop.body, loop)
        met = [name for name, touch in touches.items() if touch.meets and not (touch.set_first and name in self.rows)]
        return all(_in_order(loop.body, name, []) for name in met)

    # ------------------------------------------------------------ rounds done together

    def _jammed(self, loop: Loop, size: int) -> tuple[Statement, ...]:
        """The rounds of a block. What is the same in all of them is done once."""
        varying = _varying(loop)
        touches = in_rounds(loop.body, loop)
        rows = {name for name, touch in touches.items() if touch.set_first and name in self.rows}
        rounds = [_Round({}, {})]
        first = Var(loop.var, Dtype.INT)
        for number in range(1, size):
            names = self.names.others(varying - {loop.var})
            for row in rows:
                names[row] = self._row(row, number)
            unit = Op("add", (first, Const(number, Dtype.INT)), Dtype.INT)
            rounds.append(_Round(names, {loop.var: unit}))
        return self._together(loop.body, rounds, varying)

    def _together(
        self, body: Sequence[Statement], rounds: Sequence[_Round], varying: frozenset[str]
    ) -> tuple[Statement, ...]:
        made: list[Statement] = []
        for is_loop, part in groupby(body, lambda s: isinstance(s, Loop)):
            if is_loop:
                made += [each for s in part if isinstance(s, Loop) for each in self._loops(s, rounds, varying)]
                continue
            run = list(part)
            common = [s for s in run if _is_common(s, varying)]
            own = [each.of(s) for each in rounds for s in run if not _is_common(s, varying)]
            made += self._read_once([*common, *_added_once(own)])
        return tuple(made)

    def _loops(self, loop: Loop, rounds: Sequence[_Round], varying: frozenset[str]) -> Iterator[Statement]:
        """One loop of all rounds, if they have a place in common there, or one of each."""
        if _places_in_common(loop, varying, rounds[-1].names):
            yield replace(loop, body=self._together(loop.body, rounds, varying))
        else:
            yield from (each.of(loop) for each in rounds)

    def _read_once(self, run: Sequence[Statement]) -> list[Statement]:
        """Statements in which what is read more than once is a number that is defined before them."""
        written = {s.buffer for s in statements(tuple(run)) if isinstance(s, Store)}
        own = frozenset(s.name for s in statements(tuple(run)) if isinstance(s, Define))
        loads = Counter(
            e for s in run for each in expressions(s) for e in walk(each) if isinstance(e, Load) and not depends(e, own)
        )
        again = [load for load, times in loads.items() if times > 1 and load.buffer not in written]
        held: dict[Expr, Var] = {load: Var(self.names.fresh("r"), load.dtype) for load in again}
        defines = (Define(name=number.name, value=load) for load, number in held.items())
        return [*defines, *(with_expressions(s, lambda e: _held(e, held)) for s in run)]

    def _row(self, name: str, number: int) -> str:
        """The row of so manieth unit of a block after the first."""
        if (name, number) not in self.more:
            found = self.names.free(f"{name}_block{number}")
            self.more[name, number] = found
            self.rows[found] = replace(self.rows[name], name=found)
        return self.more[name, number]


@frozen
class _Round:
    """One round of a block: its names for the numbers and rows that it has of its own, and its unit."""

    names: dict[str, str]
    unit: dict[str, Expr]

    def of(self, s: Statement) -> Statement:
        if not self.unit:
            return s
        (made,) = rename((with_expressions(s, lambda e: substitute(e, self.unit)),), self.names)
        return made


def _places_in_common(loop: Loop, varying: frozenset[str], own: Collection[str]) -> bool:
    """Whether different rounds read the same places in a loop within them, or add to the same, but for those of what
    each has of its `own`."""
    touched: list[tuple[str, tuple[Expr, ...]]] = []
    for s in statements(loop.body):
        touched += [(n.buffer, n.index) for e in expressions(s) for n in walk(e) if isinstance(n, Load)]
        touched += [(s.buffer, s.index)] if isinstance(s, Store) and s.add else []
    return any(name not in own and not any(depends(i, varying) for i in index) for name, index in touched)


def _added_once(run: Sequence[Statement]) -> list[Statement]:
    """Statements in which what several of them add to a place is one sum, if they do nothing else."""
    sums: dict[tuple[str, tuple[Expr, ...]], Store] = {}
    for s in run:
        if not isinstance(s, Store) or not s.add:
            return list(run)
        before = sums.get((s.buffer, s.index))
        value = s.value if before is None else Op("add", (before.value, s.value), s.value.dtype)
        sums[s.buffer, s.index] = replace(s, value=value)
    written = {s.buffer for s in sums.values()}
    return list(run) if any(_loads(s.value, written) for s in sums.values()) else list(sums.values())


def _held(expr: Expr, held: Mapping[Expr, Var]) -> Expr:
    """The expression with numbers in the place of what they hold."""
    match expr:
        case Load() if expr in held:
            return held[expr]
        case Load():
            return replace(expr, index=tuple(_held(i, held) for i in expr.index))
        case Op():
            return replace(expr, arguments=tuple(_held(a, held) for a in expr.arguments))
        case _:
            return expr


def _is_common(s: Statement, varying: frozenset[str]) -> bool:
    return isinstance(s, Define) and s.name not in varying


def _varying(loop: Loop) -> frozenset[str]:
    """The variable of a loop, and the numbers defined in a round that differ from round to round."""
    written = {s.buffer for s in statements(loop.body) if isinstance(s, Store)}
    assigned = {s.name for s in statements(loop.body) if isinstance(s, Assign)}
    found = {loop.var} | assigned
    while True:
        more = {
            s.name
            for s in statements(loop.body)
            if isinstance(s, Define) and (depends(s.value, frozenset(found)) or _loads(s.value, written))
        } - found
        if not more:
            return frozenset(found)
        found |= more


def _loads(expr: Expr, buffers: Collection[str]) -> bool:
    return any(isinstance(e, Load) and e.buffer in buffers for e in walk(expr))


def _in_order(body: Sequence[Statement], buffer: str, around: list[Loop]) -> bool:
    """Whether each place of a buffer is touched in one round of the loops within a body, and there by statements that
    stand together: then rounds that go through these loops side by side touch it in the order that they had."""
    touching = [s for s in body if buffer in _touched(s)]
    if not touching:
        return True
    match touching:
        case [Loop() as loop]:
            return _in_order(loop.body, buffer, [*around, loop])
        case _:
            apart = not any(isinstance(s, Loop) for s in body)
            places = (in_rounds(tuple(body), loop).get(buffer) for loop in around)
            return apart and bool(around) and all(p is not None and not p.meets for p in places)


def _touched(s: Statement) -> Iterator[str]:
    for each in statements((s,)):
        if isinstance(each, Store):
            yield each.buffer
        for expr in expressions(each):
            yield from (e.buffer for e in walk(expr) if isinstance(e, Load))
