"""Positive feedback between plastic weights, with the numbers of a run: a warning before it, a note after it diverged.

The mathematics is in derive/prove/stability.py; here the reference interpreter gives the increments on a few examples.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

from circuitdsl.diagnostics import Diagnostic, Label, Severity

if TYPE_CHECKING:
    from circuitdsl.derive.prove.stability import Growth, Loop, Weights
    from circuitdsl.graph.ir import Circuit
    from circuitdsl.graph.machine import Indices, State
    from circuitdsl.runtime.simulate import Loop as Training
    from circuitdsl.runtime.simulate import Run

#: How many examples the increments are averaged over, and how many weights a warning before a run may cost.
EXAMPLES, WEIGHTS = 32, 100_000


def warning_before(training: Training, run: Run) -> Diagnostic | None:
    """C073 for the fastest loop that nothing will stop: no bound, no error, not the rule itself."""
    loops = [loop for loop in _loops(run.circuit) if set(loop.free) & set(loop.unchecked)]
    size = sum(w.size for w in run.state.weights.values())
    if not loops or size > WEIGHTS:
        return None
    from circuitdsl.derive.tell.stability import listed, told

    found = _growths(training, run.circuit, loops, run.state, training.dataset.train[:EXAMPLES], epoch=0)
    worst = max((g for g in found if g.runs_away), key=lambda g: g.now, default=None)
    if worst is None:
        return None
    first, *others = dict.fromkeys(run.circuit.synapses[name].span for name in worst.loop.free)
    return Diagnostic(
        code="C073",
        severity=Severity.WARNING,
        title=f"nothing holds the weights of {listed(worst.loop.synapses)}",
        span=first,
        label="grows by what it causes",
        labels=tuple(Label(span, "and so does this") for span in others),
        notes=(told(worst),),
        hint=f"bound them (`bounds = [-0.5, 0.5]` on {listed(worst.loop.free)}), or let them decay faster",
    )


def note_after(training: Training, state: State, synapse: str, *, epoch: int) -> str | None:
    """What fed the growth of a synapse that diverged, at a state before that; None if nothing plastic did."""
    from circuitdsl.derive.tell.stability import told

    circuit = training.engine.circuit
    loops = [loop for loop in _loops(circuit) if synapse in loop.synapses]
    found = _growths(training, circuit, loops, state, training.order(epoch)[:EXAMPLES], epoch=epoch)
    return next((told(g) for g in found if 0 < g.now < inf), None)


def _loops(circuit: Circuit) -> list[Loop]:
    from circuitdsl.derive.prove.stability import positive_loops
    from circuitdsl.derive.read.ticks import one_tick

    return positive_loops(circuit) if one_tick(circuit) and not circuit.reverse else []


def _growths(
    training: Training, circuit: Circuit, loops: list[Loop], state: State, examples: Indices, *, epoch: int
) -> list[Growth]:
    """The growth of each loop at a state, the errors held as they are for these examples."""
    import numpy as np

    from circuitdsl.derive.prove.stability import clamped, errors, growth
    from circuitdsl.reference import Reference

    if not loops:
        return []
    numbers, seed = training.numbers, training.seed
    weights: Weights = {n: w.astype(np.float64) for n, w in state.weights.items()}
    state = replace(state.copy(), weights=dict(weights))
    data = {name: array[examples] for name, array in training.dataset.arrays.items()}
    order = np.arange(len(examples))
    values = Reference(circuit, [], "float64").trace(state, data, order, numbers, seed=seed, epoch=epoch, training=True)
    fixed = data | {name: values[name][-1] for name in errors(circuit)}
    engine = Reference(clamped(circuit), [], "float64")

    def increments(weights: Weights) -> Weights:
        here = replace(state, weights={**state.weights, **weights})
        found = engine.increments(here, fixed, order, numbers, seed=seed, epoch=epoch)
        return {n: step.astype(np.float64) for n, step in found.items()}

    with np.errstate(all="ignore"):
        return [growth(loop, weights, increments) for loop in loops]
