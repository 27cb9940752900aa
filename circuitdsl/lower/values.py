"""The values of a tick as phases: currents, rates, softmax and its like, modulators.

Units are threads. Scalars, populations of one unit and whatever needs a whole population at once have one
thread for each example.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import assert_never

from circuitdsl.diagnostics import Span
from circuitdsl.frozen import mutable
from circuitdsl.graph import ir
from circuitdsl.graph.ir import Axis, Current, Value
from circuitdsl.lower import long
from circuitdsl.lower.equations import Site, at_first, larger_wins, substitute
from circuitdsl.lower.extents import ONE
from circuitdsl.lower.layout import AT_I, AT_J, ZERO, Layout, real
from circuitdsl.lower.loop_ir import (
    Assign,
    Buffer,
    Define,
    Dtype,
    Expr,
    Load,
    Loop,
    Op,
    Origin,
    Phase,
    Statement,
    Store,
    Var,
)
from circuitdsl.lower.names import Locals


def value_phases(layout: Layout, value: Value) -> list[Phase]:
    """Evaluates one value of `Circuit.order` or `Circuit.reverse` for all units and examples."""
    target = layout.value(value.name)
    origin = Origin(value.name, value.span)
    equation = Equation(layout, value.name, target.shape[-1])
    if isinstance(value.expr, ir.Over) and not value.currents:
        equation.prepare(*ir.children(value.expr))
        return [*equation.phases, *_over_phases(layout, equation, value.expr, target)]
    expr = equation.lower(value.expr)
    backward = [c for c in value.currents if c.transposed and c.synapse not in layout.partners]
    forward = [c for c in value.currents if not c.transposed or c.synapse in layout.partners]
    scalar = target.shape[-1] == ONE
    currents = list(value.currents) if scalar else forward
    if currents:
        bodies = list(_rows(layout, equation, currents, None if value.expr is None else expr, target))
    else:
        at = (*layout.example, equation.unit)
        bodies = [equation.everywhere(Store(buffer=target.name, index=at, value=expr, origin=origin))]
    scattered = [c for c in backward if c.synapse in layout.sparse and not scalar]
    if not scalar:
        columns = [_columns(layout, equation, c, target) for c in backward if c not in scattered]
        few = long.currents(len(columns)) == len(columns)
        bodies = [sum(columns, bodies[0]), *bodies[1:]] if few and len(bodies) == 1 else [*bodies, *columns]
    title = f"{value.name}: {value.kind}"
    name = f"{value.kind}_{target.name}"
    phases = [Phase(name=name, title=title, body=body, origin=origin) for body in bodies]
    return [*equation.phases, *phases, *(_scatter(layout, equation, c, target) for c in scattered)]


@mutable
class Equation:
    """An equation of the units of `owner`, [size]: its place, and the phases that have to come before it.

    `alone` says that sums over populations may be computed where they are read: once for each example."""

    layout: Layout
    owner: str
    size: str
    alone: bool | None = None
    phases: list[Phase] = field(default_factory=list)
    site: Site = field(init=False)

    def __post_init__(self) -> None:
        self.alone = self.size == ONE if self.alone is None else self.alone
        units = dict.fromkeys(Axis, self.unit)
        self.site = Site(layout=self.layout, units=units, unit=self.unit, locals=Locals())

    @property
    def unit(self) -> Expr:
        return ZERO if self.size == ONE else AT_J

    def lower(self, expr: ir.Expr | None) -> Expr:
        """The expression, 0 if there is none. What it needs of whole populations is prepared."""
        if expr is None:
            return real(0.0)
        self.prepare(expr)
        return self.site.lower(expr)

    def everywhere(self, *body: Statement) -> tuple[Statement, ...]:
        """The statements for each example and unit."""
        if self.size == ONE:
            return self.layout.each_example(*self.site.block, *body, threads=True)
        loop = Loop(var="j", extent=self.size, body=body, over="threads")
        return self.layout.each_example(loop)

    def prepare(self, *exprs: ir.Expr) -> None:
        """Phases for softmax and its like, and for sums that many units would else compute again."""
        overs, sums = dict(self.site.overs), self.site.sums
        self.site.overs = overs
        for expr, in_sum in (found for e in exprs for found in _inside_out(e, False)):
            if isinstance(expr, ir.Over) and expr not in overs:
                buffer = self._room(expr.function, self._extent(expr), expr.span)
                inner = Equation(self.layout, buffer.key, buffer.shape[-1])
                inner.site.overs, inner.site.sums = overs, sums
                self.phases += _over_phases(self.layout, inner, expr, buffer)
                overs[expr] = buffer
            elif isinstance(expr, ir.Reduce) and not self.alone and not in_sum and expr not in sums:
                buffer = self._room(expr.function, ONE, expr.span)
                self.phases.append(_sum_phase(self.layout, expr, buffer, overs))
                sums[expr] = Load(buffer.name, (*self.layout.example, ZERO))

    def _room(self, what: str, size: str, span: Span) -> Buffer:
        key = f"{self.owner}.{what}{len(self.site.overs) + len(self.site.sums)}"
        return self.layout.work_buffer(key, "", self.layout.per_example(size), span)

    def _extent(self, over: ir.Over) -> str:
        """A population function within an equation runs over its own population; within a sum over what it
        reads."""
        if self.size != ONE:
            return self.size
        extents = [self.layout.extents.of(r.value) for r in ir.reads(over.argument)]
        return self.layout.size(next((e for e in extents if e != ONE), ONE))


def _inside_out(expr: ir.Expr, in_sum: bool) -> Iterator[tuple[ir.Expr, bool]]:
    """Every subexpression after those it is made of, and whether it stands in a sum."""
    for child in ir.children(expr):
        yield from _inside_out(child, in_sum or isinstance(expr, ir.Reduce))
    yield expr, in_sum


def _sum_phase(layout: Layout, expr: ir.Reduce, buffer: Buffer, overs: dict[ir.Expr, Buffer]) -> Phase:
    """One sum over a population, for each example."""
    inner = Equation(layout, buffer.key, ONE)
    inner.site.overs = overs
    value = inner.site.lower(expr)
    origin = Origin(buffer.key, expr.span)
    store = Store(buffer=buffer.name, index=(*layout.example, ZERO), value=value, origin=origin)
    title = f"{buffer.key}: {expr.function} over a population"
    return Phase(name=f"sum_{buffer.name}", title=title, body=inner.everywhere(store), origin=origin)


# ---------------------------------------------------------------- currents


def _source(layout: Layout, current: Current, unit: Expr) -> Expr:
    return layout.read(current.source, dict.fromkeys(Axis, unit))


def _loop(size: str, *body: Statement, origin: Origin | None = None) -> tuple[Statement, ...]:
    """The statements for each unit `i`, which is 0 where there is only one."""
    if size == ONE:
        return body
    return (Loop(var="i", extent=size, body=body, origin=origin),)


def _dot(layout: Layout, current: Current, unit: Expr, total: Var) -> tuple[Statement, ...]:
    """Adds one synapse's current into `unit` to `total`."""
    synapse = layout.circuit.synapses[current.synapse]
    partners = synapse.name in layout.partners
    size = layout.post(synapse) if current.transposed else layout.pre(synapse)
    other = unit if partners else layout.at(size, AT_I)
    index = layout.weight_at(synapse, other, unit) if current.transposed else layout.weight_at(synapse, unit, other)
    origin = Origin(synapse.name, synapse.span)
    product = Op("mul", (Load(layout.weights(synapse).name, index), _source(layout, current, other)))
    add = Assign(name=total.name, value=Op("add", (total, product)), origin=origin)
    if partners:
        return (add,)
    if synapse.name in layout.sparse:
        return (layout.row_of(synapse, unit, add, origin=origin),)
    return _loop(size, add, origin=origin)


def _scatter(layout: Layout, equation: Equation, current: Current, target: Buffer) -> Phase:
    """A transposed current of a sparse synapse: each weight adds to its column, row after row."""
    synapse = layout.circuit.synapses[current.synapse]
    origin = Origin(synapse.name, synapse.span)
    source = Var(equation.site.locals.fresh("s"), Dtype.REAL)
    product = Op("mul", (Load(layout.weights(synapse).name, layout.weight_at(synapse)), source))
    at = (*layout.example, AT_I)
    add = Store(buffer=target.name, index=at, value=product, add=True, origin=target.origin)
    rows = Loop(
        var="j",
        extent=layout.post(synapse),
        body=(
            Define(name=source.name, value=_source(layout, current, AT_J)),
            layout.row_of(synapse, AT_J, add, origin=origin),
        ),
        origin=origin,
    )
    title = f"{target.key}: {synapse.name} backwards"
    name = f"back_{target.name}"
    return Phase(name=name, title=title, body=layout.each_example(rows, threads=True), origin=origin)


def _rows(
    layout: Layout, equation: Equation, currents: list[Current], expr: Expr | None, target: Buffer
) -> Iterator[tuple[Statement, ...]]:
    """Currents along the rows of the weights: each unit sums its own, and adds `expr` at the end. Many of them are
    summed piece by piece."""
    at, piece = (*layout.example, equation.unit), long.currents(len(currents))
    for first in range(0, len(currents), piece):
        total = Var(equation.site.locals.fresh("total"), Dtype.REAL)
        before = Load(target.name, at) if first else real(0.0)
        body: list[Statement] = [Define(name=total.name, value=before, origin=target.origin)]
        for current in currents[first : first + piece]:
            body += _dot(layout, current, equation.unit, total)
        is_last = first + piece >= len(currents)
        value = Op("add", (total, expr)) if is_last and expr is not None else total
        body.append(Store(buffer=target.name, index=at, value=value, origin=target.origin))
        if equation.size != ONE:
            yield (Loop(var="j", extent=equation.size, body=layout.each_example(*body), over="threads"),)
        else:
            needed = equation.site.block if is_last else []
            yield layout.each_example(*needed, *body, threads=True)


def _columns(layout: Layout, equation: Equation, current: Current, target: Buffer) -> tuple[Statement, ...]:
    """A transposed current, row after row of the weights, so that memory is read in its order."""
    synapse = layout.circuit.synapses[current.synapse]
    weights = layout.weights(synapse)
    row = layout.at(weights.shape[0], AT_I)
    origin = Origin(synapse.name, synapse.span)
    source = Var(equation.site.locals.fresh("s"), Dtype.REAL)
    product = Op("mul", (Load(weights.name, (row, AT_J)), source))
    store = Store(buffer=target.name, index=(*layout.example, AT_J), value=product, add=True, origin=target.origin)
    each = layout.each_example(
        Define(name=source.name, value=_source(layout, current, row)),
        Loop(var="j", extent=target.shape[-1], body=(store,), over="threads"),
    )
    return _loop(weights.shape[0], *each, origin=origin)


# ---------------------------------------------------------------- functions of a whole population


def _over_phases(layout: Layout, equation: Equation, over: ir.Over, target: Buffer) -> list[Phase]:
    """softmax, onehot_max or kwta of an equation's argument, into `target`."""
    origin = Origin(target.key, over.span)
    argument = equation.lower(over.argument)
    phases = equation.phases
    if not isinstance(argument, Load):
        room = layout.work_buffer(target.key, f"{over.function}_of", target.shape, over.span)
        store = Store(buffer=room.name, index=(*layout.example, equation.unit), value=argument, origin=origin)
        title = f"{target.key}: what {over.function} is taken of"
        phases.append(
            Phase(name=f"argument_{target.name}", title=title, body=equation.everywhere(store), origin=origin)
        )
        argument = Load(room.name, (*layout.example, equation.unit))
    match over.function:
        case "softmax":
            body = _softmax(layout, argument, target, origin)
        case "onehot_max":
            body = _onehot_max(layout, argument, target, origin)
        case "kwta":
            assert over.k is not None
            body = _kwta(layout, argument, equation.lower(over.k), target, origin)
        case _:
            assert_never(over.function)
    name = f"{over.function}_{target.name}"
    return [*phases, Phase(name=name, title=f"{target.key}: {over.function}", body=body, origin=origin)]


def _softmax(layout: Layout, argument: Expr, target: Buffer, origin: Origin) -> tuple[Statement, ...]:
    """exp(x - max x) over its sum, one thread for each example."""
    size = target.shape[-1]
    unit = layout.at(size, AT_I)
    value = substitute(argument, {AT_J.name: AT_I})
    at = (*layout.example, unit)
    top, total, e = (Var(name, Dtype.REAL) for name in ("top", "total", "e"))
    here = Load(target.name, at)
    body = (
        Define(name="top", value=at_first(value), origin=origin),
        *_loop(size, Assign(name="top", value=Op("max", (top, value)))),
        Define(name="total", value=real(0.0)),
        *_loop(
            size,
            Define(name="e", value=Op("exp", (Op("sub", (value, top)),))),
            Store(buffer=target.name, index=at, value=e, origin=origin),
            Assign(name="total", value=Op("add", (total, e))),
        ),
        *_loop(size, Store(buffer=target.name, index=at, value=Op("div", (here, total)), origin=origin)),
    )
    return layout.each_example(*body, threads=True)


def _onehot_max(layout: Layout, argument: Expr, target: Buffer, origin: Origin) -> tuple[Statement, ...]:
    """1 for the largest (of equals the first), one thread for each example."""
    size = target.shape[-1]
    unit = layout.at(size, AT_I)
    value = substitute(argument, {AT_J.name: AT_I})
    best, winner = Var("best", Dtype.REAL), Var("winner", Dtype.INT)
    is_winner = Op("real", (Op("eq", (unit, winner), Dtype.BOOL),))
    body = (
        Define(name="best", value=at_first(value), origin=origin),
        Define(name="winner", value=ZERO),
        *_loop(size, larger_wins(value, best, winner, unit)),
        *_loop(size, Store(buffer=target.name, index=(*layout.example, unit), value=is_winner, origin=origin)),
    )
    return layout.each_example(*body, threads=True)


def _kwta(layout: Layout, argument: Expr, k: Expr, target: Buffer, origin: Origin) -> tuple[Statement, ...]:
    """The k largest: those that fewer than k others beat, by size or, of equals, by a lower index."""
    size = target.shape[-1]
    mine, other, rank = (Var(name, Dtype.REAL) for name in ("mine", "other", "rank"))
    unit = layout.at(size, AT_I)
    own = layout.at(size, AT_J)
    earlier = Op("and", (Op("eq", (other, mine), Dtype.BOOL), Op("lt", (unit, own), Dtype.BOOL)), Dtype.BOOL)
    beats = Op("real", (Op("or", (Op("gt", (other, mine), Dtype.BOOL), earlier), Dtype.BOOL),))
    wins = Op("lt", (rank, k), Dtype.BOOL)
    body = (
        Define(name="mine", value=argument, origin=origin),
        Define(name="rank", value=real(0.0)),
        *_loop(
            size,
            Define(name="other", value=substitute(argument, {AT_J.name: AT_I})),
            Assign(name="rank", value=Op("add", (rank, beats))),
        ),
        Store(
            buffer=target.name,
            index=(*layout.example, own),
            value=Op("where", (wins, mine, real(0.0))),
            origin=origin,
        ),
    )
    if size == ONE:
        return layout.each_example(*body, threads=True)
    return layout.each_example(Loop(var="j", extent=size, body=body, over="threads"))
