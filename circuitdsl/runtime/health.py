"""What deserves a warning after a run: units that never fire, weights that sit at their bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from circuitdsl.graph.blocks import rows_of
from circuitdsl.graph.ir import Kind, Sign, Synapse
from circuitdsl.graph.numbers import evaluate
from circuitdsl.graph.projections import Dense, Projection, fans_of
from circuitdsl.reference import Reference

if TYPE_CHECKING:
    from circuitdsl.graph.machine import Indices, Numbers, State
    from circuitdsl.runtime.simulate import Loop, Run

#: From which fractions on something is said, and how many test examples decide (fewer where each has many ticks).
SILENT, AT_BOUNDS, EXAMPLES, TICKED = 0.1, 0.03, 256, 64
#: How near to a bound a weight is at it, absolutely and as a part of the bound (weights may have been in float32).
NEAR, ROUNDING = 1e-9, 1e-6


def warnings_of(loop: Loop, run: Run) -> list[str]:
    """One line for each population with many silent units and each synapse with many weights at
    its bounds."""
    found = [
        f"{_percent(part)} of `{name}` silent on {len(_examples(loop))} test examples"
        for name, part in silent(loop, run).items()
        if part >= SILENT
    ]
    for synapse in run.circuit.synapses.values():
        part = at_bounds(synapse, run.state, loop.numbers) if synapse.bounds is not None else 0.0
        if part >= AT_BOUNDS:
            found.append(f"{_percent(part)} of the weights of `{synapse.name}` at their bounds")
    return found


def _percent(part: float) -> str:
    return f"{100 * part:.0f} %"


def _examples(loop: Loop) -> Indices:
    ticked = bool(loop.engine.circuit.schedule.phases)
    return loop.dataset.test[: TICKED if ticked else EXAMPLES]


def silent(loop: Loop, run: Run) -> dict[str, float]:
    """For each neuron population the fraction of units whose rate is 0 at every tick of evaluation of every example."""
    import numpy as np

    frames = Reference(loop.engine.circuit, (), "float64").hold(
        run.state, loop.dataset.arrays, _examples(loop), loop.numbers, seed=loop.seed, epoch=run.epochs_done,
        training=False,
    )  # fmt: skip
    names = tuple(p.name for p in run.circuit.of_kind(Kind.RATE))
    still = {name: [(frame.now[name] == 0).all(axis=0) for frame in frames] for name in names}
    return {name: float(np.logical_and.reduce(ticks).mean()) for name, ticks in still.items()}


def at_bounds(synapse: Synapse, state: State, numbers: Numbers) -> float:
    """The fraction of weights at a bound, or at the 0 of their sign, of those that are there; 0 if there are none."""
    import numpy as np

    projection, weights = state.projections[synapse.name], state.weights[synapse.name]
    mask = projection.mask if isinstance(projection, Dense) else None
    low, high = _limits(synapse, projection, numbers)
    found = present = 0
    for rows in rows_of(weights.shape):
        some = weights[rows] if mask is None else weights[rows][mask[rows]]
        at = np.zeros(some.shape, np.bool_)
        if low is not None:
            at |= some <= low + max(NEAR, ROUNDING * abs(low))
        if high is not None:
            at |= some >= high - max(NEAR, ROUNDING * abs(high))
        found, present = found + int(at.sum()), present + some.size
    return found / present if present else 0.0


def _limits(synapse: Synapse, projection: Projection, numbers: Numbers) -> tuple[float | None, float | None]:
    """What sign and bounds keep the weights between; None: nothing does."""
    low = 0.0 if synapse.sign is Sign.EXCITATORY else None
    high = 0.0 if synapse.sign is Sign.INHIBITORY else None
    if synapse.bounds is not None:
        least, most = (evaluate(bound, numbers, fans_of(synapse, projection)) for bound in synapse.bounds)
        low, high = least if low is None else max(low, least), most if high is None else min(high, most)
    return low, high
