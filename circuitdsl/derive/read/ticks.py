"""Circuits whose examples are one tick: their phase decides nothing, and is left out before anything is derived."""

from __future__ import annotations

from dataclasses import replace

from circuitdsl.derive.algebra.constants import with_fans
from circuitdsl.graph import ir
from circuitdsl.graph.folding import num, rebuild
from circuitdsl.graph.numbers import evaluate, numbers_of


def one_tick(circuit: ir.Circuit) -> bool:
    """Whether an example is one tick, in training as in evaluation."""
    match circuit.schedule.phases:
        case ():
            return True
        case (ir.Phase(train=False, ticks=ticks),):
            return evaluate(ticks, numbers_of(circuit, {})) == 1
        case _:
            return False


def without_phase(circuit: ir.Circuit) -> ir.Circuit:
    """A circuit of one tick without its phase, which is always on: its first tick is its last, `tick` is 0, and the
    loss is read then. Any other circuit as it is."""
    if not circuit.schedule.phases or not one_tick(circuit):
        return circuit
    loss = circuit.loss
    return replace(
        circuit,
        values={n: replace(v, expr=_always(v.expr), update=_always(v.update)) for n, v in circuit.values.items()},
        synapses={n: _synapse(s) for n, s in circuit.synapses.items()},
        loss=None if loss is None else replace(loss, expr=_flagless(loss.expr), when="last", phase=None),
        schedule=replace(circuit.schedule, phases=()),
    )


def _synapse(synapse: ir.Synapse) -> ir.Synapse:
    return replace(
        synapse,
        dw=_always(synapse.dw),
        drives=tuple(replace(d, expr=_flagless(d.expr)) for d in synapse.drives),
        states=tuple(replace(s, update=_always(s.update)) for s in synapse.states),
    )


def _always(expr: ir.Expr | None) -> ir.Expr | None:
    return None if expr is None else _flagless(expr)


def _flagless(expr: ir.Expr) -> ir.Expr:
    def constant(e: ir.Expr) -> ir.Expr | None:
        match e:
            case ir.Flag(phase=str()):
                return num(1, e.span)
            case ir.Tick():
                return num(0, e.span)
            case _:
                return None

    return rebuild(expr, constant)


def in_training(synapse: ir.Synapse) -> ir.Synapse:
    """The synapse with `train` as 1, as its rule runs in training only, and fans as params."""

    def trained(e: ir.Expr) -> ir.Expr | None:
        return num(1, e.span) if isinstance(e, ir.Flag) and e.which == "train" else None

    def again(e: ir.Expr) -> ir.Expr:
        return rebuild(with_fans(e, synapse), trained)

    return replace(
        synapse,
        dw=None if synapse.dw is None else again(synapse.dw),
        drives=tuple(replace(d, expr=again(d.expr)) for d in synapse.drives),
        states=tuple(s if s.update is None else replace(s, update=again(s.update)) for s in synapse.states),
    )
