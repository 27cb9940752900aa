"""States of neurons and modulators, what a tick leaves to the next one, and what an example starts from."""

from __future__ import annotations

from collections.abc import Iterable

from circuitdsl.graph.ir import Axis, Lifetime, Read, Value, When
from circuitdsl.lower.extents import ONE
from circuitdsl.lower.layout import AT_B, AT_I, AT_J, ZERO, Layout, real
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
    Phase,
    Statement,
    Store,
    Var,
)
from circuitdsl.lower.updates import SHARE
from circuitdsl.lower.values import Equation


def _units(layout: Layout, size: str, body: tuple[Statement, ...], *, shared: bool = False) -> tuple[Statement, ...]:
    """The statements for each unit, and for each example unless all examples share them."""
    if size == ONE:
        return body if shared else layout.each_example(*body, threads=True)
    loop = Loop(var="j", extent=size, body=body, over="threads")
    return (loop,) if shared else layout.each_example(loop)


def _at(layout: Layout, size: str, *, shared: bool = False) -> tuple[Expr, ...]:
    unit = layout.at(size, AT_J)
    return (unit,) if shared else (*layout.example, unit)


def _size(layout: Layout, name: str) -> str:
    return layout.size(layout.extents.of(name))


def _read(layout: Layout, name: str, unit: Expr, when: When = When.NOW) -> Expr:
    span = layout.circuit.values[name].span
    return layout.read(Read(span=span, value=name, axis=Axis.OWN, when=when), dict.fromkeys(Axis, unit))


# ---------------------------------------------------------------- increments of states


def increment_phases(layout: Layout, state: Value) -> list[Phase]:
    """Evaluates `dv` of a state into a buffer of its own: other equations may still read the state."""
    assert state.update is not None
    size = _size(layout, state.name)
    shared = state.lifetime is Lifetime.KEEP
    equation = Equation(layout, f"d{state.name}", size)
    expr = equation.lower(state.update)
    target = increment_buffer(layout, state)
    origin = Origin(state.name, state.update_span or state.span)
    if shared and not layout.online:
        body = _batch_mean(layout, equation, expr, target, origin)
    else:
        index = _at(layout, size, shared=shared)
        body = equation.everywhere(Store(buffer=target.name, index=index, value=expr, origin=origin))
    title = f"{state.name}: its increment"
    return [*equation.phases, Phase(name=f"increment_{target.name}", title=title, body=body, origin=origin)]


def _batch_mean(
    layout: Layout, equation: Equation, expr: Expr, target: Buffer, origin: Origin
) -> tuple[Statement, ...]:
    """The increment of a state that all examples share: their mean."""
    total = Var(equation.site.locals.fresh("total"), Dtype.REAL)
    add = Assign(name=total.name, value=Op("add", (total, expr)), origin=origin)
    mean = Op("mul", (total, SHARE))
    body = (
        Define(name=total.name, value=real(0.0), origin=origin),
        *layout.each_example(*equation.site.block, add, origin=origin),
        Store(buffer=target.name, index=(equation.unit,), value=mean, origin=origin),
    )
    return _units(layout, equation.size, body, shared=True)


def increment_buffer(layout: Layout, state: Value) -> Buffer:
    size = _size(layout, state.name)
    shape = (size,) if state.lifetime is Lifetime.KEEP else layout.per_example(size)
    return layout.work_buffer(state.name, "d", shape, state.update_span or state.span)


def apply_phase(layout: Layout, state: Value) -> Phase:
    """Adds the increment."""
    shared = state.lifetime is Lifetime.KEEP
    target = layout.kept(state.name) if shared else layout.value(state.name)
    size = target.shape[-1]
    at = _at(layout, size, shared=shared)
    origin = Origin(state.name, state.update_span or state.span)
    step = Load(increment_buffer(layout, state).name, at)
    store = Store(buffer=target.name, index=at, value=step, add=True, origin=origin)
    body = _units(layout, size, (store,), shared=shared)
    return Phase(name=f"advance_{target.name}", title=f"{state.name}: state", body=body, origin=origin)


# ---------------------------------------------------------------- between ticks


def _copy_phase(
    layout: Layout, source: str, target: Buffer, prefix: str, title: str, lead: tuple[Expr, ...] = ()
) -> Phase:
    size = target.shape[-1]
    index = (*lead, *_at(layout, size))
    origin = Origin(source, layout.circuit.values[source].span)
    value = _read(layout, source, layout.at(size, AT_J))
    store = Store(buffer=target.name, index=index, value=value, origin=origin)
    return Phase(
        name=f"{prefix}_{target.name}",
        title=f"{source}: {title}",
        body=_units(layout, size, (store,)),
        origin=origin,
    )


def remember_phases(layout: Layout) -> list[Phase]:
    """Values that the next tick reads as `prev`."""
    return [_copy_phase(layout, n, b, "remember", "for the tick after") for n, b in layout.before.items()]


def hand_on_phases(layout: Layout) -> list[Phase]:
    """Adjoints that the tick before (the next one of the reverse pass) reads."""
    return [_copy_phase(layout, n, b, "hand_on", "for the tick before") for n, b in layout.after.items()]


def tape_phases(layout: Layout) -> list[Phase]:
    """Values that the reverse pass reads."""
    following = Op("add", (layout.tick, Const(1, Dtype.INT)), Dtype.INT)
    return [_copy_phase(layout, n, b, "keep", "for the reverse pass", (following,)) for n, b in layout.taped.items()]


# ---------------------------------------------------------------- before the first tick


def gather_phases(layout: Layout) -> list[Phase]:
    """The data of the batch's examples."""
    phases = []
    for name, target in layout.given.items():
        data = layout.data(name)
        size = target.shape[-1]
        unit = layout.at(size, AT_J)
        origin = Origin(name, layout.circuit.values[name].span)
        value = Load(data.name, (layout.data_index(), unit))
        store = Store(buffer=target.name, index=(AT_B, unit), value=value, origin=origin)
        body = _units(layout, size, (store,))
        phases.append(Phase(name=f"gather_{target.name}", title=f"{name}: data", body=body, origin=origin))
    return phases


def reset_phases(layout: Layout, states: Iterable[Value]) -> list[Phase]:
    """States of an example at their initial values; what the tick before and after left, and sums, at 0."""
    phases = []
    for state in states:
        target = layout.value(state.name)
        size = target.shape[-1]
        start = Load(layout.reset(state.name, (size,)).name, (layout.at(size, AT_J),))
        store = Store(buffer=target.name, index=_at(layout, size), value=start, origin=Origin(state.name, state.span))
        body = _units(layout, size, (store,))
        phases.append(Phase(name=f"reset_{target.name}", title=f"{state.name}: initial value", body=body))
    for target in (*layout.before.values(), *layout.after.values()):
        store = Store(buffer=target.name, index=_at(layout, target.shape[-1]), value=real(0.0), origin=target.origin)
        body = _units(layout, target.shape[-1], (store,))
        phases.append(Phase(name=f"reset_{target.name}", title=f"{target.key}: none before", body=body))
    phases += [_reset_synapse_state(layout, *key) for key in layout.fresh]
    phases += [_matrix_phase(target, real(0.0), False) for target in layout.sums.values()]
    return phases


def _reset_synapse_state(layout: Layout, synapse: str, state: str) -> Phase:
    target = layout.fresh[synapse, state]
    matrix = target.shape if layout.online else target.shape[1:]
    start = layout.reset(f"{synapse}.{state}", matrix)
    return _matrix_phase(target, Load(start.name, _in_matrix(matrix)), not layout.online)


def _in_matrix(shape: tuple[str, ...]) -> tuple[Expr, ...]:
    """The index of a weight in a matrix, or among the places of a sparse one."""
    return tuple(ZERO if size == ONE else unit for size, unit in zip(shape, (AT_J, AT_I), strict=False))


def _matrix_phase(target: Buffer, value: Expr, per_example: bool) -> Phase:
    """Sets a number per weight; if `per_example`, for each example."""
    matrix = target.shape[1:] if per_example else target.shape
    rows, columns = (*matrix, ONE)[:2]
    index = _in_matrix(matrix)
    lead = (AT_B,) if per_example else ()
    body: tuple[Statement, ...] = (Store(buffer=target.name, index=(*lead, *index), value=value, origin=target.origin),)
    if columns != ONE:
        body = (Loop(var="i", extent=columns, body=body, over="threads" if rows == ONE else "sequence"),)
    if per_example:
        alone = rows == ONE and columns == ONE
        body = (Loop(var="b", extent="count", body=body, over="threads" if alone else "sequence"),)
    if rows != ONE:
        body = (Loop(var="j", extent=rows, body=body, over="threads"),)
    return Phase(name=f"reset_{target.name}", title=f"{target.key}: initial value", body=body, origin=target.origin)
