"""Equations of the circuit as expressions of the loop program.

Indices are always the same: `b` the example within the batch, `j` the unit an equation is written for (in a
synapse the postsynaptic one), `i` the presynaptic one or the one that a sum runs over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import assert_never

from circuitdsl.frozen import frozen, mutable
from circuitdsl.graph import ir
from circuitdsl.graph.formulas import fold
from circuitdsl.graph.ir import Axis
from circuitdsl.graph.populations import REDUCTIONS, Join, Reduction
from circuitdsl.lower.functions import elementwise
from circuitdsl.lower.layout import AT_I, ZERO, Layout, real
from circuitdsl.lower.loop_ir import (
    Assign,
    Buffer,
    Const,
    Define,
    Dtype,
    Expr,
    Load,
    Loop,
    Op,
    Origin,
    Statement,
    Var,
    When,
    operands,
    walk,
)
from circuitdsl.lower.names import Locals

_BOOL, _INT = Dtype.BOOL, Dtype.INT


@mutable
class Site:
    """The place of an equation.

    `units` gives the index of each axis, `unit` numbers the place for random numbers. `weight`, `states` and
    `drives` are what these words mean in a synapse. `overs` (softmax and the like) and `sums` over populations
    were computed before. Sums that were not are written to `block`, which stands before the equation."""

    layout: Layout
    units: Mapping[Axis, Expr]
    unit: Expr
    locals: Locals
    synapse: ir.Synapse | None = None
    weight: Expr | None = None
    drives: Mapping[str, Expr] = field(default_factory=dict)
    overs: Mapping[ir.Expr, Buffer] = field(default_factory=dict)
    sums: dict[ir.Expr, Expr] = field(default_factory=dict)
    block: list[Statement] = field(default_factory=list)

    def lower(self, expr: ir.Expr) -> Expr:
        """The expression at this place and the present tick."""
        layout = self.layout
        match expr:
            case ir.Num():
                return real(expr.value)
            case ir.ParamRef():
                return layout.param(expr.name)
            case ir.Read():
                return layout.read(expr, self.units)
            case ir.Coef():
                return layout.coefficient(expr, self.units)
            case ir.Weight():
                assert self.weight is not None
                return self.weight
            case ir.SynapseState():
                assert self.synapse is not None
                return layout.synapse_state(self.synapse, self.synapse.state(expr.name))
            case ir.DriveRead():
                return self.drives[expr.name]
            case ir.Fan():
                assert self.synapse is not None
                return layout.fan(self.synapse, expr.which)
            case ir.Flag():
                return layout.flag(expr)
            case ir.Tick():
                return Op("real", (layout.tick,)) if not layout.single else real(0.0)
            case ir.Random():
                return layout.noise(expr, self.unit)
            case ir.Apply():
                return elementwise(expr.function, tuple(self.lower(a) for a in expr.arguments))
            case ir.Over():
                buffer = self.overs[expr]
                return Load(buffer.name, (*layout.example, layout.at(buffer.shape[-1], self.units[Axis.OWN])))
            case ir.Reduce():
                if expr not in self.sums:
                    self.sums[expr] = self.reduction(expr)
                return self.sums[expr]
            case _:
                assert_never(expr)

    # ------------------------------------------------------------ sums over a population

    def reduction(self, expr: ir.Reduce) -> Expr:
        """Writes the loop of a reduction to `block`; gives what holds its result."""
        for inner in _nested(expr):
            self.lower(inner)
        size = self.layout.size(self.layout.extents.of_reduction(expr))
        count = Op("real", (Var(size, _INT),)) if size != "1" else real(1.0)
        over = _Reduction(site=self, size=size, origin=Origin(expr.function, expr.span))
        reduction = REDUCTIONS[expr.function]
        match reduction.join:
            case Join.SUM:
                joined: Expr = over.total(reduction, expr.arguments)
            case Join.MEAN:
                joined = Op("div", (over.total(reduction, expr.arguments), count))
            case Join.LARGEST:
                joined = over.largest(reduction, expr.arguments)
            case Join.SAME_WINNER:
                return over.same_winner(*expr.arguments)
            case _:
                assert_never(reduction.join)
        return fold(reduction.result, {"joined": joined}, real, elementwise)

    def number(self, base: str, value: Expr, origin: Origin | None = None) -> Var:
        """Defines a number in the block."""
        name = self.locals.fresh(base)
        self.block.append(Define(name=name, value=value, origin=origin))
        return Var(name, value.dtype)


@frozen
class _Reduction:
    """Loops over the units of a population, within the equation of `site`."""

    site: Site
    size: str
    origin: Origin

    def inside(self) -> Site:
        """The place of what is summed: unit `i`, in a block of its own."""
        unit = ZERO if self.size == "1" else AT_I
        return replace(self.site, units=dict.fromkeys(Axis, unit), unit=unit, block=[])

    def loop(self, body: list[Statement]) -> None:
        if self.size == "1":
            self.site.block += body
        else:
            loop = Loop(var="i", extent=self.size, body=tuple(body), origin=self.origin)
            self.site.block.append(loop)

    def total(self, reduction: Reduction, arguments: tuple[ir.Expr, ...]) -> Var:
        total = self.site.number("total", real(0.0), self.origin)
        site = self.inside()
        summand = self.term(reduction, arguments, site)
        self.loop([*site.block, Assign(name=total.name, value=Op("add", (total, summand)), origin=self.origin)])
        return total

    def largest(self, reduction: Reduction, arguments: tuple[ir.Expr, ...]) -> Var:
        site = self.inside()
        value = self.term(reduction, arguments, site)
        top = self.site.number("top", at_first(value), self.origin)
        assign = Assign(name=top.name, value=Op("max", (top, value)), origin=self.origin)
        self.loop([*site.block, assign])
        return top

    def term(self, reduction: Reduction, arguments: tuple[ir.Expr, ...], site: Site) -> Expr:
        units = dict(zip(reduction.parameters, (site.lower(a) for a in arguments), strict=True))
        return fold(reduction.term, units, real, elementwise)

    def winner(self, argument: ir.Expr) -> Var:
        """The lowest index of the largest."""
        site = self.inside()
        value = site.lower(argument)
        best = self.site.number("best", at_first(value), self.origin)
        winner = self.site.number("winner", ZERO, self.origin)
        self.loop([*site.block, larger_wins(value, best, winner, ZERO if self.size == "1" else AT_I)])
        return winner

    def same_winner(self, p: ir.Expr, y: ir.Expr) -> Expr:
        if self.size != "1":
            return Op("real", (Op("eq", (self.winner(p), self.winner(y)), _BOOL),))
        site = self.inside()
        sides = tuple(Op("gt", (site.lower(a), real(0.5)), _BOOL) for a in (p, y))
        return Op("real", (Op("eq", sides, _BOOL),))


def larger_wins(value: Expr, best: Var, winner: Var, index: Expr) -> Statement:
    body = (Assign(name=best.name, value=value), Assign(name=winner.name, value=index))
    return When(condition=Op("gt", (value, best), _BOOL), body=body)


def at_first(expr: Expr) -> Expr:
    """The expression with the index `i` replaced by 0."""
    return substitute(expr, {AT_I.name: ZERO})


def substitute(expr: Expr, values: Mapping[str, Expr]) -> Expr:
    """The expression with variables replaced."""
    match expr:
        case Const():
            return expr
        case Var():
            return values.get(expr.name, expr)
        case Load():
            return Load(expr.buffer, tuple(substitute(i, values) for i in expr.index), expr.dtype)
        case Op():
            arguments = tuple(substitute(a, values) for a in expr.arguments)
            return Op(expr.function, arguments, expr.dtype)
        case _:
            assert_never(expr)


def _nested(expr: ir.Reduce) -> list[ir.Reduce]:
    """Reductions within the arguments of one, outermost first: they are the same for all its units."""
    return [e for a in expr.arguments for e in ir.walk(a) if isinstance(e, ir.Reduce)]


# ---------------------------------------------------------------- rearranging


def depends(expr: Expr, names: frozenset[str]) -> bool:
    """Whether the expression reads one of these variables."""
    return any(isinstance(e, Var) and e.name in names for e in walk(expr))


def terms(expr: Expr) -> list[Expr]:
    """The summands of an expression, signs pushed in."""
    match expr:
        case Op(function="add", arguments=(a, b)):
            return [*terms(a), *terms(b)]
        case Op(function="sub", arguments=(a, b)):
            return [*terms(a), *(negated(t) for t in terms(b))]
        case Op(function="neg", arguments=(a,)):
            return [negated(t) for t in terms(a)]
        case _:
            return [expr]


def negated(expr: Expr) -> Expr:
    match expr:
        case Op(function="neg", arguments=(a,)):
            return a
        case Const():
            return Const(-expr.value, expr.dtype)
        case _:
            return Op("neg", (expr,), expr.dtype)


def total(summands: list[Expr]) -> Expr:
    """Their sum; negated ones are subtracted."""
    result: Expr | None = None
    for summand in summands:
        match summand:
            case _ if result is None:
                result = summand
            case Op(function="neg", arguments=(a,)):
                result = Op("sub", (result, a))
            case _:
                result = Op("add", (result, summand))
    return result if result is not None else real(0.0)


def factors(expr: Expr) -> tuple[bool, list[Expr]]:
    """Whether the product is negative, and its factors without sign."""
    match expr:
        case Op(function="mul", arguments=(a, b)):
            (minus_a, found_a), (minus_b, found_b) = factors(a), factors(b)
            return minus_a != minus_b, found_a + found_b
        case Op(function="neg", arguments=(a,)):
            minus, found = factors(a)
            return not minus, found
        case _:
            return False, [expr]


def product(minus: bool, found: Sequence[Expr]) -> Expr:
    """The product of these factors, one after the other; negated, if it is negative."""
    result, *rest = found
    for factor in rest:
        result = Op("mul", (result, factor))
    return Op("neg", (result,)) if minus else result


def ordered_products(expr: Expr, *loops: frozenset[str]) -> Expr:
    """The expression with the factors of its products sorted by the innermost loop that they depend on, so
    that what an outer loop knows is multiplied there. `loops` are variables, outermost first."""
    match expr:
        case Op(function="mul" | "neg", dtype=Dtype.REAL):
            minus, found = factors(expr)
            return product(minus, sorted((ordered_products(f, *loops) for f in found), key=lambda f: _level(f, loops)))
        case Op():
            arguments = tuple(ordered_products(a, *loops) for a in expr.arguments)
            return Op(expr.function, arguments, expr.dtype)
        case Const() | Var() | Load():
            return expr
        case _:
            assert_never(expr)


def _level(expr: Expr, loops: tuple[frozenset[str], ...]) -> int:
    return max((n + 1 for n, names in enumerate(loops) if depends(expr, names)), default=0)


def hoist(expr: Expr, inner: frozenset[str], block: list[Statement], names: Locals, known: dict[Expr, Var]) -> Expr:
    """The expression with everything that does not depend on the `inner` variables computed before, in
    `block`. `known` holds what was computed already."""
    if isinstance(expr, Const | Var):
        return expr
    if not depends(expr, inner):
        if expr not in known:
            name = names.fresh("s")
            block.append(Define(name=name, value=expr))
            known[expr] = Var(name, expr.dtype)
        return known[expr]
    parts = tuple(hoist(part, inner, block, names, known) for part in operands(expr))
    if isinstance(expr, Load):
        return Load(expr.buffer, parts, expr.dtype)
    return Op(expr.function, parts, expr.dtype)
