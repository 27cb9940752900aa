"""Plasticity as phases: the increments of weights and synaptic states, averaged over the batch and applied.

With one example at a time everything about a weight happens in one pass over it. In a batch, row after row,
each example adds its increments to sums; then the averages are applied. For teams of threads (`Aim.teams`) it is
weight after weight: a number in a register sums over the examples. What all examples have in common (decay) is
computed once. Where increments are summed over ticks (`update = example`, a gradient twin) the sums
live as long as the example, and are applied at the last tick that they hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field, replace

from circuitdsl.diagnostics import Span
from circuitdsl.frozen import frozen, mutable
from circuitdsl.graph import ir
from circuitdsl.graph.ir import Axis, Sign, Synapse, SynapseVar, is_slow
from circuitdsl.lower.equations import Site, depends, hoist, ordered_products, terms, total
from circuitdsl.lower.extents import ONE
from circuitdsl.lower.layout import AT_I, AT_J, ZERO, Layout, real
from circuitdsl.lower.loop_ir import (
    Assign,
    Branch,
    Buffer,
    Control,
    Define,
    Dtype,
    Expr,
    Load,
    Loop,
    Op,
    Origin,
    Phase,
    Role,
    Statement,
    Store,
    Var,
    own_names,
)
from circuitdsl.lower.names import Locals
from circuitdsl.lower.rewrite import rename
from circuitdsl.lower.values import Equation

#: 1 / the number of examples of the batch.
SHARE = Var("share", Dtype.REAL)
COUNT = Op("real", (Var("count", Dtype.INT),))
_EXAMPLES = frozenset({"b"})
_INNER = frozenset({"i", "k"})


def summed_over_ticks(layout: Layout) -> bool:
    """Whether the increments of weights are collected over the ticks of an example."""
    return not layout.single and (layout.work == "twin" or layout.circuit.schedule.update == "example")


def synapse_controls(layout: Layout, synapse: Synapse, final: Expr) -> list[Control]:
    """One tick of a synapse's learning, after all values. `final` says whether sums are applied in it."""
    rule = _Rule(layout, synapse)
    if not rule.items and not rule.fresh and not rule.slow:
        return []
    if not summed_over_ticks(layout):
        return [*rule.equation.phases, rule.at_once()]
    collect = [*rule.equation.phases, rule.collect()]
    learn = rule.apply()
    apply = [Branch(condition=final, body=(learn,))] if learn.body else []
    return [*collect, *apply, *rule.advance()]


@frozen
class _Item:
    """Something that is evaluated for each example and averaged. `state` is None for `dw` and drives;
    `buffer` holds its sum, where it needs one and no register does."""

    what: str
    expr: Expr
    span: Span
    state: SynapseVar | None
    buffer: Buffer | None


@mutable
class _Rule:
    """The equations of one synapse, lowered at the weight (j, i)."""

    layout: Layout
    synapse: Synapse
    equation: Equation = field(init=False)
    site: Site = field(init=False)
    items: list[_Item] = field(init=False)
    fresh: list[tuple[SynapseVar, Expr]] = field(init=False)
    slow: list[tuple[str, ir.Expr, SynapseVar | None]] = field(init=False)
    rows_used: int = 0

    def __post_init__(self) -> None:
        layout, synapse = self.layout, self.synapse
        self.equation = Equation(layout, synapse.name, layout.post(synapse), alone=False)
        self.site = self.equation.site
        units = {Axis.PRE: self.i, Axis.POST: self.j, Axis.SCALAR: ZERO}
        self.site.units = units
        self.site.unit = self._number()
        self.site.synapse = synapse
        self.site.weight = Load(layout.weights(synapse).name, self.at)
        lasting = [s for s in synapse.states if s.update is not None and not s.fresh]
        self.items = [self._item("dw", e, s, None) for e, s in self._dw() if not is_slow(e)]
        self.items += [self._item(f"drive_{d.name}", d.expr, d.span, None) for d in synapse.drives]
        self.items += [
            self._item(f"d{s.name}", s.update, s.span, s)
            for s in lasting
            if s.update is not None and not is_slow(s.update)
        ]
        passing = [] if layout.single or layout.work == "twin" else [s for s in synapse.states if s.fresh]
        self.fresh = [
            (s, self.equation.lower(s.update)) for s in passing if s.update is not None and not is_slow(s.update)
        ]
        slow_passing = [] if summed_over_ticks(layout) else passing
        self.slow = [("dw", e, None) for e, _ in self._dw() if is_slow(e)]
        self.slow += [
            (f"d{s.name}", s.update, s) for s in (*lasting, *slow_passing) if s.update is not None and is_slow(s.update)
        ]

    def _dw(self) -> list[tuple[ir.Expr, Span]]:
        synapse = self.synapse
        return [] if synapse.dw is None else [(synapse.dw, synapse.dw_span or synapse.span)]

    def _item(self, what: str, expr: ir.Expr | None, span: Span, state: SynapseVar | None) -> _Item:
        lowered = self.equation.lower(expr)
        needs_sum = summed_over_ticks(self.layout) or (
            not self.layout.online and any(depends(t, _EXAMPLES) for t in terms(lowered))
        )
        buffer = self._room(what, span, state) if needs_sum else None
        return _Item(what, lowered, span, state, buffer)

    def _own(self, item: _Item) -> list[Expr]:
        """The summands that each example has for itself."""
        return [t for t in terms(item.expr) if self.layout.online or depends(t, _EXAMPLES)]

    def _common(self, item: _Item) -> list[Expr]:
        """The summands that all examples have in common."""
        return [t for t in terms(item.expr) if not (self.layout.online or depends(t, _EXAMPLES))]

    def _room(self, what: str, span: Span, state: SynapseVar | None) -> Buffer | None:
        """Room for a sum: a row that the thread keeps for itself, or, over ticks, a number per weight."""
        layout = self.layout
        if not summed_over_ticks(layout):
            if layout.aim.teams:
                return None
            self.rows_used += 1
            return layout.row(layout.pre(self.synapse), self.rows_used)
        shape = layout.matrix(self.synapse)
        buffer = layout.work_buffer(f"{self.synapse.name}.{what}", "sum", shape, span)
        if state is None or layout.work == "twin":
            layout.sums[buffer.name] = buffer
        return buffer

    # ------------------------------------------------------------ places

    @property
    def i(self) -> Expr:
        return self.layout.at(self.layout.pre(self.synapse), AT_I)

    @property
    def j(self) -> Expr:
        return self.layout.at(self.layout.post(self.synapse), AT_J)

    @property
    def at(self) -> tuple[Expr, ...]:
        return self.layout.weight_at(self.synapse)

    @property
    def sparse(self) -> bool:
        return self.synapse.name in self.layout.sparse

    @property
    def partners(self) -> bool:
        return self.synapse.name in self.layout.partners

    def _number(self) -> Expr:
        """j * (number of presynaptic units) + i."""
        pre = self.layout.pre(self.synapse)
        if pre == ONE:
            return self.j
        row = Op("mul", (self.j, Var(pre, Dtype.INT)), Dtype.INT)
        return Op("add", (row, self.i), Dtype.INT)

    def origin(self, what: str, span: Span | None = None) -> Origin:
        return Origin(f"{self.synapse.name}.{what}" if what else self.synapse.name, span or self.synapse.span)

    def rows(self, *body: Statement) -> tuple[Statement, ...]:
        """The statements for each postsynaptic unit, a thread each."""
        post = self.layout.post(self.synapse)
        return body if post == ONE or not body else (Loop(var="j", extent=post, body=body, over="threads"),)

    def along(self, *body: Statement) -> tuple[Statement, ...]:
        """The statements for each presynaptic unit; these are the threads if there is one row."""
        pre = self.layout.pre(self.synapse)
        if self.partners:
            return rename(body, {AT_I.name: AT_J.name})
        if self.sparse and body:
            return (self.layout.row_of(self.synapse, AT_J, *body, origin=self.origin("")),)
        if pre == ONE or not body:
            return body
        return (
            Loop(
                var="i",
                extent=pre,
                body=body,
                over="threads" if self.layout.post(self.synapse) == ONE else "sequence",
                origin=self.origin(""),
            ),
        )

    def phase(self, name: str, title: str, body: tuple[Statement, ...]) -> Phase:
        weights = self.layout.weights(self.synapse).name
        return Phase(
            name=f"{name}_{weights}",
            title=f"{self.synapse.name}: {title}",
            body=self.rows(*body),
            origin=self.origin(""),
        )

    def store(self, buffer: Buffer, value: Expr, *, add: bool, what: str, span: Span | None = None) -> Store:
        index = self.index(buffer)
        return Store(buffer=buffer.name, index=index, value=value, add=add, origin=self.origin(what, span))

    def index(self, buffer: Buffer) -> tuple[Expr, ...]:
        """The place of the weight in a matrix, or in the thread's own row."""
        return (self.i,) if buffer.role is Role.ROW else self.at

    # ------------------------------------------------------------ phases

    def at_once(self) -> Phase:
        """One tick: increments and their application, row by row."""
        names = Locals()
        if self.layout.online:
            before, inner, values = self._online(names)
        elif self.layout.aim.teams:
            before, inner, values = self._in_registers(names)
        else:
            before, inner, values = self._batched(names)
        inner += self._application(values, names)
        return self.phase("learn", "learning", (*before, *self._hoisted(inner, names)))

    def _online(self, names: Locals) -> tuple[list[Statement], list[Statement], dict[str, Expr]]:
        """With one example: all increments first, as they may read each other's states."""
        inner: list[Statement] = []
        values = {item.what: self._defined(item.expr, item.what, item.span, inner, names) for item in self.items}
        inner += self._fresh_steps(names)
        return [], inner, values

    def _batched(self, names: Locals) -> tuple[list[Statement], list[Statement], dict[str, Expr]]:
        """With a batch: sums over its examples; then averages and what the examples have in common."""
        sums = [(item, item.buffer) for item in self.items if item.buffer is not None]
        zero = self.along(*(self.store(buffer, real(0.0), add=False, what=item.what) for item, buffer in sums))
        before = [*zero, *self._examples(sums, names)]
        inner: list[Statement] = []
        values: dict[str, Expr] = {}
        for item in self.items:
            common = self._common(item)
            if item.buffer is not None:
                common.insert(0, Op("mul", (Load(item.buffer.name, self.index(item.buffer)), SHARE)))
            values[item.what] = self._defined(total(common), item.what, item.span, inner, names)
        return before, inner, values

    def _examples(self, sums: list[tuple[_Item, Buffer]], names: Locals) -> tuple[Statement, ...]:
        """What each example adds to the sums, and its own states."""
        inner: list[Statement] = []
        steps: list[tuple[Buffer, Expr, _Item]] = []
        for item, buffer in sums:
            own = self._own(item)
            if own:
                steps.append((buffer, _ordered(total(own)), item))
        fresh = self._fresh_steps(names)
        inner += [self.store(buffer, step, add=True, what=i.what, span=i.span) for buffer, step, i in steps]
        inner += fresh
        return self.layout.each_example(*self._hoisted(inner, names)) if inner else ()

    def _in_registers(self, names: Locals) -> tuple[list[Statement], list[Statement], dict[str, Expr]]:
        """With a batch, for teams: at each weight sums over the examples, then as `_batched`."""
        inner, totals = self._totals(names)
        values: dict[str, Expr] = {}
        for item in self.items:
            common = self._common(item)
            if item.what in totals:
                common.insert(0, Op("mul", (totals[item.what], SHARE)))
            values[item.what] = self._defined(total(common), item.what, item.span, inner, names)
        return [], inner, values

    def _totals(self, names: Locals) -> tuple[list[Statement], dict[str, Var]]:
        """At one weight, sums over the examples in numbers, by what they sum; and the examples' own states."""
        zeros: list[Statement] = []
        steps: list[Statement] = []
        totals: dict[str, Var] = {}
        for item in self.items:
            own = self._own(item)
            if not own:
                continue
            held, origin = Var(names.fresh("total"), Dtype.REAL), self.origin(item.what, item.span)
            step = ordered_products(total(own), frozenset({"j"}), _INNER, _EXAMPLES)
            zeros.append(Define(name=held.name, value=real(0.0), origin=origin))
            steps.append(Assign(name=held.name, value=Op("add", (held, step)), origin=origin))
            totals[item.what] = held
        each = [*steps, *self._fresh_steps(names)]
        return [*zeros, *(self.layout.each_example(*each) if each else ())], totals

    def collect(self) -> Phase:
        """One tick of several: adds to the sums. Those of states that advance each tick start anew."""
        names = Locals()
        title = "increments, summed over the ticks"
        if self.layout.aim.teams and not self.layout.online:
            return self.phase("collect", title, self._hoisted(self._collected(names), names))
        sums = [(item, item.buffer) for item in self.items if item.buffer is not None]
        anew = [(item, buffer) for item, buffer in sums if self._advances(item)]
        zero = self.along(*(self.store(buffer, real(0.0), add=False, what=item.what) for item, buffer in anew))
        inner: list[Statement] = []
        for item, buffer in sums:
            common = self._common(item)
            if common:
                value = Op("mul", (total(common), COUNT))
                inner.append(self.store(buffer, value, add=True, what=item.what, span=item.span))
        body = (*zero, *self._examples(sums, names), *self._hoisted(inner, names))
        return self.phase("collect", title, body)

    def _collected(self, names: Locals) -> list[Statement]:
        """At one weight, sums over the examples and their place in memory once."""
        inner, totals = self._totals(names)
        for item in self.items:
            assert item.buffer is not None
            common = self._common(item)
            summands: list[Expr] = [totals[item.what]] if item.what in totals else []
            summands += [Op("mul", (total(common), COUNT))] if common else []
            add = not self._advances(item)
            inner.append(self.store(item.buffer, total(summands), add=add, what=item.what, span=item.span))
        return inner

    def apply(self) -> Phase:
        """The last tick of several: the sums are applied, but to states that advance each tick."""
        names = Locals()
        inner: list[Statement] = []
        values = {
            item.what: self._defined(self._mean(item), item.what, item.span, inner, names)
            for item in self.items
            if not self._advances(item)
        }
        inner += self._application(values, names)
        return self.phase("learn", "learning", self._hoisted(inner, names))

    def advance(self) -> list[Control]:
        """States that advance each tick, also where weights do not."""
        moving = [item for item in self.items if self._advances(item)]
        if not moving:
            return []
        stores = [self._state_store(i.state, self._mean(i), i.what) for i in moving if i.state is not None]
        return [self.phase("advance", "states", self.along(*stores))]

    def _advances(self, item: _Item) -> bool:
        return item.state is not None and self.layout.work != "twin"

    def _mean(self, item: _Item) -> Expr:
        """A sum over ticks, averaged over the batch."""
        assert item.buffer is not None
        held = Load(item.buffer.name, self.index(item.buffer))
        return held if self.layout.online else Op("mul", (held, SHARE))

    # ------------------------------------------------------------ statements

    def _hoisted(self, inner: Iterable[Statement], names: Locals) -> tuple[Statement, ...]:
        """The statements along a row, with what the whole row has in common before them."""
        inner = tuple(inner)
        if self.partners:
            return self.along(*inner)
        if self.layout.pre(self.synapse) == ONE and not self.sparse:
            return inner
        varying = _INNER | own_names(inner)
        block: list[Statement] = []
        known: dict[Expr, Var] = {}

        def lifted(s: Statement) -> Statement:
            match s:
                case Define() | Assign() | Store():
                    return replace(s, value=hoist(s.value, varying, block, names, known))
                case Loop():
                    return replace(s, body=tuple(map(lifted, s.body)))
                case _:
                    return s

        body = tuple(map(lifted, inner))
        return (*block, *self.along(*body))

    def _defined(self, expr: Expr, what: str, span: Span, inner: list[Statement], names: Locals) -> Expr:
        name = names.fresh("dw" if what == "dw" else "g")
        inner.append(Define(name=name, value=_ordered(expr), origin=self.origin(what, span)))
        return Var(name, Dtype.REAL)

    def _fresh_steps(self, names: Locals) -> list[Statement]:
        """The increments of the example's own states: all are evaluated, then all applied."""
        defines: list[Statement] = []
        stores: list[Statement] = []
        for state, expr in self.fresh:
            step = self._defined(expr, f"d{state.name}", state.span, defines, names)
            buffer = self.layout.fresh_state(self.synapse, state)
            index = (*self.layout.example, *self.at)
            stores.append(
                Store(
                    buffer=buffer.name,
                    index=index,
                    value=self._masked(step),
                    add=True,
                    origin=self.origin(state.name),
                )
            )
        return [*defines, *stores]

    def _application(self, values: dict[str, Expr], names: Locals) -> list[Statement]:
        """Slow equations from the averages, then all stores."""
        inner: list[Statement] = []
        self.site.drives = {d.name: values[f"drive_{d.name}"] for d in self.synapse.drives}
        for what, expr, state in self.slow:
            span = self.synapse.dw_span if state is None else state.span
            lowered = self.equation.lower(expr)
            values[what] = self._defined(lowered, what, span or self.synapse.span, inner, names)
        if "dw" in values:
            inner.append(self._weight_store(values["dw"]))
        for state in self.synapse.states:
            step = values.get(f"d{state.name}")
            if step is not None:
                inner += self._all_examples(state, step)
        return inner

    def _all_examples(self, state: SynapseVar, step: Expr) -> tuple[Statement, ...]:
        if not state.fresh:
            return (self._state_store(state, step, f"d{state.name}"),)
        buffer = self.layout.fresh_state(self.synapse, state)
        store = Store(
            buffer=buffer.name,
            index=(*self.layout.example, *self.at),
            value=self._masked(step),
            add=True,
            origin=self.origin(state.name),
        )
        return self.layout.each_example(store)

    def _state_store(self, state: SynapseVar, step: Expr, what: str) -> Store:
        key = f"{self.synapse.name}.{state.name}"
        buffer = self.layout.per_weight(self.synapse, Role.SYNAPSE_STATE, key)
        return self.store(buffer, self._masked(step), add=True, what=what, span=state.span)

    def _masked(self, value: Expr) -> Expr:
        """0 where there is no connection."""
        mask = self.layout.mask(self.synapse)
        if mask is None:
            return value
        return Op("where", (Load(mask.name, self.at, Dtype.BOOL), value, real(0.0)))

    def _weight_store(self, dw: Expr) -> Store:
        """The new weight within `sign` and `bounds`."""
        assert self.site.weight is not None
        value: Expr = Op("add", (self.site.weight, dw))
        if self.synapse.sign is Sign.EXCITATORY:
            value = Op("max", (value, real(0.0)))
        elif self.synapse.sign is Sign.INHIBITORY:
            value = Op("min", (value, real(0.0)))
        if self.synapse.bounds is not None:
            low, high = (self.equation.lower(bound) for bound in self.synapse.bounds)
            value = Op("clip", (value, low, high))
        weights = self.layout.weights(self.synapse)
        return self.store(weights, self._masked(value), add=False, what="dw", span=self.synapse.dw_span)


def _ordered(expr: Expr) -> Expr:
    return ordered_products(expr, frozenset({"j"}), _EXAMPLES, _INNER)
