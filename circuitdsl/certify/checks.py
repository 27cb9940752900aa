"""Checks of the measurement itself: is the gradient right, and has the circuit settled?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from circuitdsl.certify.measure import Sample
from circuitdsl.certify.passes import in_float64
from circuitdsl.derive.gradient import adjoints, learning_synapses
from circuitdsl.derive.paths import alive_values, settle
from circuitdsl.graph.ir import Circuit, Kind
from circuitdsl.reference import Reference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import State

    Array = NDArray[np.floating[Any]]

#: The gradient is tested in so many directions, on so many examples, with these steps in units of the weights' norm.
DIRECTIONS, EXAMPLES = 5, 32
STEPS = (1e-3, 5e-4, 2.5e-4, 1.25e-4)


def taylor_slope(circuit: Circuit, state: State, sample: Sample, *, seed: int, epoch: int) -> float | None:
    """The order of |loss(w + h u) - loss(w) - h <grad, u>| in h: the median over random directions u in the space
    of all learning weights, in float64. 2 for a right gradient, 1 for a wrong one.

    None if there is nothing to see: no learning weight, or a remainder that is lost in rounding (a loss that is
    linear along every direction)."""
    import numpy as np

    engine, wide = Reference(circuit, (), "float64"), in_float64(state)
    some = sample.examples[:EXAMPLES]
    learning = learning_synapses(circuit)

    def loss(weights: dict[str, Array]) -> float:
        moved = wide.copy()
        moved.weights.update(weights)
        found = engine.evaluate(moved, sample.data, some, sample.numbers, seed=seed, epoch=epoch).loss
        assert found is not None
        return found

    twin = Reference(adjoints(circuit), (), "float64")
    all_gradients = twin.gradient(wide, sample.data, some, sample.numbers, seed=seed, epoch=epoch)
    gradient = {name: all_gradients[name] for name in learning}
    start = loss({})
    size = np.sqrt(sum((wide.weights[n] ** 2).sum() for n in learning)) or 1.0
    slopes = [
        slope
        for number in range(DIRECTIONS)
        if (slope := _order(loss, start, gradient, wide, size, np.random.default_rng(number))) is not None
    ]
    return float(np.median(slopes)) if slopes else None


def _order(
    loss: Any, start: float, gradient: dict[str, Array], state: State, size: float, generator: np.random.Generator
) -> float | None:
    import numpy as np

    direction = {}
    for name, array in gradient.items():
        mask = state.masks[name]
        drawn = generator.standard_normal(array.shape)
        direction[name] = drawn if mask is None else drawn * mask
    length = np.sqrt(sum((d**2).sum() for d in direction.values()))
    if not length > 0:
        return None
    along = sum(float((gradient[n] * d).sum()) for n, d in direction.items()) / length
    rests = []
    for step in STEPS:
        h = step * size
        moved = loss({n: state.weights[n] + h / length * d for n, d in direction.items()})
        rests.append(abs(moved - start - h * along))
    rounding = 1e-14 * max(abs(start), 1e-300)
    if not np.isfinite(rests).all() or min(rests) < 10 * rounding:
        return None
    return float(np.polyfit(np.log(STEPS), np.log(rests), 1)[0])


def relaxation(circuit: Circuit, state: State, sample: Sample, *, seed: int, epoch: int) -> float | None:
    """|r(last tick) - r(the tick before)| / |r(last tick)| over the rates on the way to the loss, in evaluation.

    None for circuits of a single tick."""
    import numpy as np

    alive = alive_values(settle(circuit)).now
    rates = [p.name for p in circuit.of_kind(Kind.RATE) if p.name in alive]
    frames = Reference(circuit, (), "float64").hold(
        in_float64(state), sample.data, sample.examples, sample.numbers, seed=seed, epoch=epoch, training=False
    )
    if len(frames) < 2:
        return None
    last, before = frames[-1].now, frames[-2].now
    change = sum(float(((last[name] - before[name]) ** 2).sum()) for name in rates)
    size = sum(float((last[name] ** 2).sum()) for name in rates)
    return float(np.sqrt(change / size)) if size > 0 else None
