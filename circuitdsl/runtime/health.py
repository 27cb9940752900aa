"""What deserves a warning after a run: units that never fire, weights that sit at their bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from circuitdsl.graph.ir import Kind, Synapse
from circuitdsl.graph.numbers import evaluate

if TYPE_CHECKING:
    from circuitdsl.graph.machine import Array, Numbers
    from circuitdsl.runtime.simulate import Loop, Run

#: From which fractions on something is said, and how many test examples decide.
SILENT, AT_BOUNDS, EXAMPLES = 0.1, 0.03, 256


def warnings_of(loop: Loop, run: Run) -> list[str]:
    """One line for each population with many silent units and each synapse with many weights at
    its bounds."""
    found = [
        f"{_percent(part)} of `{name}` silent on {min(EXAMPLES, len(loop.dataset.test))} test examples"
        for name, part in silent(loop, run).items()
        if part >= SILENT
    ]
    for synapse in run.circuit.synapses.values():
        part = at_bounds(synapse, run.state.weights[synapse.name], loop.numbers)
        if part >= AT_BOUNDS:
            found.append(f"{_percent(part)} of the weights of `{synapse.name}` at their bounds")
    return found


def _percent(part: float) -> str:
    return f"{100 * part:.0f} %"


def silent(loop: Loop, run: Run) -> dict[str, float]:
    """For each neuron population the fraction of units whose rate is 0 for every example."""
    names = tuple(p.name for p in run.circuit.of_kind(Kind.RATE))
    seen = loop.engine.evaluate(
        run.state,
        loop.dataset.arrays,
        loop.dataset.test[:EXAMPLES],
        loop.numbers,
        seed=loop.seed,
        epoch=run.epochs_done,
        watch=names,
    ).watched
    return {name: float((seen[name] == 0).all(axis=0).mean()) for name in names}


def at_bounds(synapse: Synapse, weights: Array, numbers: Numbers) -> float:
    """The fraction of a synapse's weights at or beyond its bounds; 0 if it has none."""
    if synapse.bounds is None:
        return 0.0
    try:
        low, high = (evaluate(bound, numbers) for bound in synapse.bounds)
    except ValueError:  # a bound that depends on fan_in
        return 0.0
    present = weights[weights != 0] if low < 0 < high else weights
    limit = 1e-6 * max(abs(low), abs(high))
    return float(((present <= low + limit) | (present >= high - limit)).mean()) if present.size else 0.0
