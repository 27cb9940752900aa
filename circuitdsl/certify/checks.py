"""Checks of the measurement itself: is the gradient right, and has the circuit settled?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from circuitdsl.certify.checkpoint import Sample
from circuitdsl.certify.pairing import mean_descent
from circuitdsl.certify.passes import Still, in_float64
from circuitdsl.graph.ir import Kind
from circuitdsl.reference import Reference
from circuitdsl.twin.gradient import graded_synapses
from circuitdsl.twin.paths import alive_values, settle

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import State

    Array = NDArray[np.floating[Any]]

#: The gradient is tested in so many directions without kinks, of at most so many, on so many examples, with these steps
#: in units of the weights' norm. A direction has a kink if its order varies more than that from step to step.
DIRECTIONS, MOST, EXAMPLES, KINK = 5, 15, 32, 0.1
STEPS = (1e-4, 5e-5, 2.5e-5, 1.25e-5)
#: What is smaller than this part of the loss may be rounding.
ROUNDING = 1e-13


def taylor_slope(still: Still, state: State, sample: Sample, *, seed: int, epoch: int) -> float | None:
    """The order of |loss(w + h u) - loss(w) - h <grad, u>| in h: the median over random directions u in the space
    of all learning weights, in float64. 2 for a right gradient, 1 for a wrong one.

    None if there is nothing to see: no learning weight, or a remainder that is lost in rounding (a loss that is
    linear along every direction)."""
    import numpy as np

    circuit, wide = still.circuit, in_float64(state)
    engine = Reference(circuit, (), "float64")
    some = sample.examples[:EXAMPLES]

    def loss(weights: dict[str, Array]) -> float:
        moved = wide.copy()
        moved.weights.update(weights)
        found = engine.evaluate(moved, sample.data, some, sample.numbers, seed=seed, epoch=epoch).loss
        assert found is not None
        return found

    frames = still.evaluation(wide, sample.data, some, sample.numbers, seed=seed, epoch=epoch)
    learning = [circuit.synapses[name] for name in graded_synapses(circuit)]
    gradient = {s.name: -mean_descent(s, frames, wide) for s in learning}
    found: list[float] = []
    for number in range(MOST):
        slope = _order(loss, gradient, wide, np.random.default_rng(number))
        found += [] if slope is None else [slope]
        if len(found) == DIRECTIONS:
            break
    return float(np.median(found)) if found else None


def _order(
    loss: Callable[[dict[str, Array]], float], gradient: dict[str, Array], state: State, generator: np.random.Generator
) -> float | None:
    """The order along one direction, drawn among the weights that are there. None where the remainder is lost in
    rounding, or follows no power: there is a kink (a gate that opens) on the way."""
    import numpy as np

    direction = {}
    for name, array in gradient.items():
        mask = state.mask(name)
        drawn = generator.standard_normal(array.shape)
        direction[name] = drawn if mask is None else drawn * mask
    length = np.sqrt(sum((d**2).sum() for d in direction.values()))
    if not length > 0:
        return None
    size = max(1.0, float(np.sqrt(sum((state.weights[n] ** 2).sum() for n in gradient))))
    along = sum(float((gradient[n] * d).sum()) for n, d in direction.items()) / length
    start = loss({})
    rests = []
    for step in STEPS:
        h = step * size
        moved = loss({n: state.weights[n] + h / length * d for n, d in direction.items()})
        rests.append(abs(moved - start - h * along))
    if not np.isfinite(rests).all() or min(rests) <= ROUNDING * abs(start):
        return None
    orders = np.diff(np.log(rests)) / np.diff(np.log(STEPS))
    return float(np.mean(orders)) if np.ptp(orders) < KINK else None


def relaxation(still: Still, state: State, sample: Sample, *, seed: int, epoch: int) -> float | None:
    """|r(last tick) - r(the tick before)| / |r(last tick)| over the rates on the way to the loss, in evaluation.

    None for circuits of a single tick."""
    import numpy as np

    circuit = still.circuit
    alive = alive_values(settle(circuit)).now
    rates = [p.name for p in circuit.of_kind(Kind.RATE) if p.name in alive]
    frames = still.evaluation(in_float64(state), sample.data, sample.examples, sample.numbers, seed=seed, epoch=epoch)
    if len(frames) < 2:
        return None
    last, before = frames[-1].now, frames[-2].now
    change = sum(float(((last[name] - before[name]) ** 2).sum()) for name in rates)
    size = sum(float((last[name] ** 2).sum()) for name in rates)
    return float(np.sqrt(change / size)) if size > 0 else None
