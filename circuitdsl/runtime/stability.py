"""Positive feedback between plastic weights, with the numbers of a run: a warning before it, a note after it diverged.

The mathematics is in derive/prove/stability.py; here the reference interpreter gives the increments on a few examples.
What is found before a run is kept on disk: a start that finds it there imports nothing of `derive`, nor SciPy.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, replace
from math import inf
from typing import TYPE_CHECKING, Any

from circuitdsl.diagnostics import Diagnostic, Label, Severity
from circuitdsl.frozen import frozen
from circuitdsl.graph.projections import dense
from circuitdsl.runtime.state import circuit_hash
from circuitdsl.store.entries import Entry, program

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from circuitdsl.derive.prove.stability import Growth, Loop, Weights
    from circuitdsl.graph.ir import Circuit
    from circuitdsl.graph.machine import Indices, State
    from circuitdsl.runtime.simulate import Loop as Training
    from circuitdsl.runtime.simulate import Run

    AnyArray = NDArray[Any]

#: How many examples the increments are averaged over, and how many weights a warning before a run may cost.
EXAMPLES, WEIGHTS = 32, 100_000


@frozen(kw_only=True)
class Unheld:
    """A loop that nothing will stop, in words: `synapses` are all of it, `free` those without bounds, their `names`."""

    synapses: str
    free: str
    names: list[str]
    told: str


def warning_before(training: Training, run: Run) -> Diagnostic | None:
    """C073 for the fastest loop that nothing will stop: no bound, no error, not the rule itself."""
    if sum(s.post_size * s.pre_size for s in run.circuit.synapses.values()) > WEIGHTS:
        return None
    examples = training.dataset.train[:EXAMPLES]
    entry = Entry("growth", run.circuit.name, _key(training, run, examples))
    found = _read(entry)
    if found is None:
        found = _unheld(training, run, examples)
        entry.write(json.dumps([asdict(unheld) for unheld in found]).encode())
    return _warning(run.circuit, found[0]) if found else None


def _warning(circuit: Circuit, unheld: Unheld) -> Diagnostic:
    first, *others = dict.fromkeys(circuit.synapses[name].span for name in unheld.names)
    return Diagnostic(
        code="C073",
        severity=Severity.WARNING,
        title=f"nothing holds the weights of {unheld.synapses}",
        span=first,
        label="grows by what it causes",
        labels=tuple(Label(span, "and so does this") for span in others),
        notes=(unheld.told,),
        hint=f"bound them (`bounds = [-0.5, 0.5]` on {unheld.free}), or let them decay faster",
    )


def _read(entry: Entry) -> list[Unheld] | None:
    """What is kept of `_unheld`; None if nothing is."""
    kept = entry.read()
    try:
        return None if kept is None else [Unheld(**unheld) for unheld in json.loads(kept)]
    except (TypeError, ValueError):
        return None


def _unheld(training: Training, run: Run, examples: Indices) -> list[Unheld]:
    """The fastest loop that nothing will stop, or none."""
    from circuitdsl.derive.tell.stability import listed, told

    loops = [loop for loop in _loops(run.circuit) if set(loop.free) & set(loop.unchecked)]
    found = _growths(training, run.circuit, loops, run.state, examples, epoch=0)
    worst = max((g for g in found if g.runs_away), key=lambda g: g.now, default=None)
    if worst is None:
        return []
    loop = worst.loop
    return [Unheld(synapses=listed(loop.synapses), free=listed(loop.free), names=list(loop.free), told=told(worst))]


def _key(training: Training, run: Run, examples: Indices) -> str:
    """All that `_unheld` is made of, the program and its libraries included."""
    import numpy as np

    state, order = run.state, list(run.circuit.synapses)
    masks = {name: state.mask(name) for name in state.projections}
    parts = (state.weights, masks, state.synapse_states, state.kept, state.coefficients, state.resets)
    data = {name: array[examples] for name, array in training.dataset.arrays.items()}
    arrays = [[(n, _digest(a)) for n, a in sorted(part.items())] for part in (*parts, data)]
    versions = f"{program()}, numpy {np.__version__}, python {sys.version}"
    return repr((versions, circuit_hash(run.circuit), order, sorted(training.numbers.items()), training.seed, arrays))


def _digest(array: AnyArray | None) -> tuple[str, ...] | None:
    if array is None:
        return None
    return str(array.dtype), str(array.shape), hashlib.sha256(array.tobytes()).hexdigest()


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
    numbers, seed, state = training.numbers, training.seed, dense(circuit, state)
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
