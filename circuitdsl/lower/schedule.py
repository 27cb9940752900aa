"""From the checked circuit to loop programs: what happens when, exactly as language.md says.

A tick: values in their order with weights and states as they stand; then the increments of synapses, applied
weight by weight (nothing else reads a weight after the values); then those of neurons' states, all evaluated
before any is applied. A gradient twin runs its evaluation pass with every tick kept, then the ticks backwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from circuitdsl.graph import ir
from circuitdsl.graph.ir import Circuit, Kind, Lifetime, Value
from circuitdsl.lower.layout import TICK, Layout, Pass, real
from circuitdsl.lower.loop_ir import (
    PLAIN,
    Aim,
    Branch,
    Buffer,
    Const,
    Control,
    Define,
    Dtype,
    Expr,
    Given,
    Load,
    Op,
    Origin,
    Phase,
    Program,
    Repeat,
    Role,
    Store,
    Var,
)
from circuitdsl.lower.states import (
    apply_phase,
    gather_phases,
    hand_on_phases,
    increment_phases,
    remember_phases,
    reset_phases,
    tape_phases,
)
from circuitdsl.lower.updates import synapse_controls
from circuitdsl.lower.values import Equation, value_phases

_TICKS = Var("ticks", Dtype.INT)
_ONE = Const(1, Dtype.INT)


def lower_training(circuit: Circuit, *, online: bool, aim: Aim = PLAIN) -> Program:
    """The program of `Engine.train`, before any pass (lower/pipeline.py); `online` if every batch has one example."""
    work: Pass = "twin" if circuit.reverse else "learn"
    layout = Layout(circuit, work, online, aim)
    return _twin(layout) if circuit.reverse else _learning(layout)


def lower_evaluation(
    circuit: Circuit, probes: Sequence[ir.Expr] = (), *, watched: bool = True, aim: Aim = PLAIN
) -> Program:
    """The program of `Engine.evaluate`, before any pass: one batch. Results are the loss ("loss"; a sum over ticks for
    `loss over P`) and the probes ("probe 0") of each example. If `watched`, all values are evaluated, and stand as
    they were at the last tick; else only what the results need."""
    return _evaluation(Layout(circuit, "free", online=False, aim=aim), probes, watched)


def lower_all(circuit: Circuit, probes: Sequence[ir.Expr] = (), aim: Aim = PLAIN) -> list[Program]:
    """All that a circuit becomes: training online and in batches, and evaluation."""
    training = (lower_training(circuit, online=online, aim=aim) for online in (True, False))
    return [*training, lower_evaluation(circuit, probes, aim=aim)]


# ---------------------------------------------------------------- programs


def _learning(layout: Layout) -> Program:
    circuit = layout.circuit
    values = _values(circuit, _needed(circuit, _learning_roots(circuit)))
    states = _states(circuit, values)
    kept = [v for v in circuit.values.values() if v.kind is Kind.STATE and v.lifetime is Lifetime.KEEP]
    final = Op("eq", (_following(TICK), _TICKS), Dtype.BOOL)
    tick: list[Control] = []
    for name in _ordered(circuit.order, values):
        tick += value_phases(layout, circuit.values[name])
    for synapse in circuit.synapses.values():
        tick += synapse_controls(layout, synapse, final)
    tick += _advance(layout, [*kept, *states])
    body = [*_before_example(layout, states), *_ticks(layout, tick)]
    return _batches(layout, "train", body)


def _twin(layout: Layout) -> Program:
    circuit = layout.circuit
    values = _values(circuit, _needed(circuit, [*_rules(circuit), *_reverse(circuit)]))
    states = _states(circuit, values)
    layout.backward = True
    final = Op("eq", (TICK, Const(0, Dtype.INT)), Dtype.BOOL)
    back: list[Control] = []
    for name in circuit.reverse:
        back += value_phases(layout, circuit.values[name])
    for synapse in circuit.synapses.values():
        back += synapse_controls(layout, synapse, final)
    layout.backward = False
    forward: list[Control] = []
    for name in _ordered(circuit.order, values):
        forward += value_phases(layout, circuit.values[name])
    forward += [*tape_phases(layout), *_advance(layout, states)]
    back += hand_on_phases(layout)
    body = [
        *_before_example(layout, states),
        *_ticks(layout, forward),
        *_ticks(layout, back, backward=True),
    ]
    return _batches(layout, "train", body)


def _evaluation(layout: Layout, probes: Sequence[ir.Expr], watched: bool) -> Program:
    circuit = layout.circuit
    judged = [*probes, *([] if circuit.loss is None else [circuit.loss.expr])]
    values = set(circuit.values) if watched else _needed(circuit, judged)
    states = _states(circuit, values)
    tick: list[Control] = []
    for name in _ordered(circuit.order, values):
        tick += value_phases(layout, circuit.values[name])
    tick += _results(layout, probes)
    advance = _advance(layout, states)
    if advance:
        tick.append(Branch(condition=Op("ne", (_following(TICK), _TICKS), Dtype.BOOL), body=tuple(advance)))
    layout.scalar(Given.FIRST, "", "first", Dtype.INT)
    layout.scalar(Given.COUNT, "", "count", Dtype.INT)
    body = [*_phase_limits(layout), *_before_example(layout, states), *_ticks(layout, tick)]
    return _program(layout, "evaluate", "the loss, the probes and the values of a batch", body)


def _program(layout: Layout, name: str, title: str, body: Sequence[Control]) -> Program:
    return Program(
        name=name,
        title=f"circuit {layout.circuit.name}: {title}",
        scalars=tuple(layout.scalars.values()),
        buffers=tuple(layout.buffers.values()),
        bounded=() if layout.online else (("count", layout.capacity("batch")),),
        body=tuple(body),
        aim=layout.aim,
    )


def _batches(layout: Layout, name: str, example: Sequence[Control]) -> Program:
    """What is done for each batch, for all batches."""
    step = Var("step", Dtype.INT)
    steps = layout.scalar(Given.STEPS, "", "steps", Dtype.INT)
    order = layout.order()
    if layout.online:
        start: list[Control] = [Define(name="example", value=Load(order.name, (step,), Dtype.INT))]
        title = "training, one example at a time"
    else:
        batch = Var(layout.capacity("batch"), Dtype.INT)
        examples = layout.scalar(Given.EXAMPLES, "", "examples", Dtype.INT)
        first, count = Var("first", Dtype.INT), Var("count", Dtype.INT)
        rest = Op("sub", (examples, first), Dtype.INT)
        start = [
            Define(name="first", value=Op("mul", (step, batch), Dtype.INT)),
            Define(name="count", value=Op("min", (batch, rest), Dtype.INT)),
            Define(name="share", value=Op("div", (real(1.0), Op("real", (count,))))),
        ]
        title = "training in batches"
    body = [
        *_phase_limits(layout),
        Repeat(var=step.name, extent=steps.name, body=(*start, *example)),
    ]
    return _program(layout, f"{name}_online" if layout.online else name, title, body)


def _before_example(layout: Layout, states: Sequence[Value]) -> list[Control]:
    return [*gather_phases(layout), *reset_phases(layout, [] if layout.single else states)]


def _advance(layout: Layout, states: Sequence[Value]) -> list[Control]:
    """States to the next tick: all increments, then what `prev` remembers, then all at once."""
    moving = [s for s in states if s.update is not None and _lasts(layout, s)]
    phases = [phase for s in moving for phase in increment_phases(layout, s)]
    return [*phases, *remember_phases(layout), *(apply_phase(layout, s) for s in moving)]


def _lasts(layout: Layout, state: Value) -> bool:
    """Whether anyone sees the state after this tick."""
    return state.lifetime is Lifetime.KEEP or not layout.single


# ---------------------------------------------------------------- ticks


def _following(tick: Expr) -> Expr:
    return Op("add", (tick, _ONE), Dtype.INT)


def _phase_limits(layout: Layout) -> list[Control]:
    """The first tick of each phase and the first after it, and the number of ticks."""
    if layout.single:
        return []
    controls: list[Control] = []
    stop: Expr = Const(0, Dtype.INT)
    for phase in layout.phases():
        start, end = (Var(layout.names.of(phase.name, what), Dtype.INT) for what in ("start", "stop"))
        controls += [
            Define(name=start.name, value=stop),
            Define(name=end.name, value=Op("add", (start, layout.ticks(phase.name)), Dtype.INT)),
        ]
        stop = end
    return [*controls, Define(name=_TICKS.name, value=stop)]


def _flags(layout: Layout) -> Iterator[Define]:
    """Whether the present tick is in a phase, its first or its last."""
    for (which, phase), flag in layout.flags.items():
        start, stop = (Var(layout.names.of(phase, what), Dtype.INT) for what in ("start", "stop"))
        some = Op("lt", (start, stop), Dtype.BOOL)
        match which:
            case "phase":
                parts = (Op("ge", (TICK, start), Dtype.BOOL), Op("lt", (TICK, stop), Dtype.BOOL))
            case "first":
                parts = (Op("eq", (TICK, start), Dtype.BOOL), some)
            case _:
                parts = (Op("eq", (_following(TICK), stop), Dtype.BOOL), some)
        yield Define(name=flag.name, value=Op("and", parts, Dtype.BOOL))


def _ticks(layout: Layout, body: Sequence[Control], *, backward: bool = False) -> list[Control]:
    if layout.single:
        return list(body)
    whole = (*_flags(layout), *body)
    return [Repeat(var=TICK.name, extent=_TICKS.name, body=whole, backward=backward)]


# ---------------------------------------------------------------- results of an evaluation


def _results(layout: Layout, probes: Sequence[ir.Expr]) -> list[Control]:
    """Loss and probes of each example, at the ticks at which they are read."""
    last = Op("eq", (_following(TICK), _TICKS), Dtype.BOOL)
    controls: list[Control] = []
    for i, probe in enumerate(probes):
        controls += _at(layout, last, _result_phases(layout, f"probe {i}", probe, add=False))
    loss = layout.circuit.loss
    if loss is not None:
        when: Expr = last
        if loss.when != "last":
            assert loss.phase is not None
            when = layout.flag_variable("last" if loss.when == "at" else "phase", loss.phase)
        phases = _result_phases(layout, "loss", loss.expr, add=loss.when == "over")
        controls += _at(layout, when, phases)
    return controls


def _at(layout: Layout, when: Expr, phases: Sequence[Phase]) -> list[Control]:
    return list(phases) if layout.single else [Branch(condition=when, body=tuple(phases))]


def _result_phases(layout: Layout, key: str, expr: ir.Expr, *, add: bool) -> list[Phase]:
    equation = Equation(layout, key, "1")
    value = equation.lower(expr)
    origin = Origin(key, expr.span)
    name = layout.names.of(key, "result")
    target = layout.keep(Buffer(name=name, role=Role.RESULT, key=key, shape=layout.per_example("1")))
    index = (*layout.example, Const(0, Dtype.INT))
    store = Store(buffer=target.name, index=index, value=value, add=add, origin=origin)
    title = f"{key} of each example"
    body = equation.everywhere(store)
    return [*equation.phases, Phase(name=f"measure_{name}", title=title, body=body, origin=origin)]


# ---------------------------------------------------------------- what is needed


def _rules(circuit: Circuit) -> list[ir.Expr]:
    """The equations of all synapses."""
    found = [
        expr
        for s in circuit.synapses.values()
        for expr in (s.dw, *(d.expr for d in s.drives), *(v.update for v in s.states))
    ]
    return [e for e in found if e is not None]


def _learning_roots(circuit: Circuit) -> list[ir.Expr]:
    """What training is for: synapses and `keep` states."""
    kept = [v for v in circuit.values.values() if v.kind is Kind.STATE and v.lifetime is Lifetime.KEEP]
    return [*_rules(circuit), *(v.update for v in kept if v.update is not None)]


def _reverse(circuit: Circuit) -> list[ir.Read]:
    """What the adjoints read."""
    return [r for name in circuit.reverse for r in _reads_of(circuit.values[name])]


def _reads_of(value: Value) -> Iterator[ir.Read]:
    for expr in (value.expr, value.update):
        if expr is not None:
            yield from ir.reads(expr)
    yield from (c.source for c in value.currents)


def _needed(circuit: Circuit, roots: Iterable[ir.Expr]) -> set[str]:
    """The values that these expressions depend on, over any number of ticks."""
    waiting = [r.value for expr in roots for r in ir.reads(expr)]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [r.value for r in _reads_of(circuit.values[name])]
    return found


def _values(circuit: Circuit, names: set[str]) -> set[str]:
    return {n for n in names if circuit.values[n].kind is not Kind.ADJOINT}


def _ordered(order: Iterable[str], values: set[str]) -> list[str]:
    return [n for n in order if n in values]


def _states(circuit: Circuit, values: set[str]) -> list[Value]:
    """The states of an example among `values`."""
    states = (v for v in circuit.values.values() if v.kind is Kind.STATE and v.lifetime is Lifetime.EXAMPLE)
    return [v for v in states if v.name in values]
