"""What it means to run a circuit, whoever runs it: the state it carries and the engine's promise.

`reference.py` (plain NumPy, the oracle) and the compiled engines of `runtime` both are `Engine`s, so
that anything that drives one drives the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from circuitdsl.frozen import mutable
from circuitdsl.graph.aligned import copied
from circuitdsl.graph.ir import Circuit, Expr

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.projections import Projection

    Array = NDArray[np.floating[Any]]
    Indices = NDArray[np.int64]
    AnyArray = NDArray[Any]

#: Values of the number params (elements of a list param as `sizes[2]`), overrides applied.
Numbers = Mapping[str, float]

#: Every input and target population's data, [examples, size]: one array for the whole data set;
#: training and test examples are picked by index.
Data = Mapping[str, "Array"]


@dataclass(slots=True, weakref_slot=True)
class State:
    """What survives an example. Engines update the arrays in place; projections and coefficients
    are constant during a run."""

    weights: dict[str, Array]  # synapse -> [post size, pre size], 0 where absent; [places] of a sparse one
    projections: dict[str, Projection]  # which weights are there, and how they are held
    synapse_states: dict[tuple[str, str], Array]  # persistent ones: (synapse, state) -> like weights
    kept: dict[str, Array]  # `keep` states of neurons and modulators: value -> [size]
    coefficients: dict[str, Array]  # -> like the owner's weights, or [size]
    # What the states of an example start from, constant during a run: value -> [size], and `fresh` synapse
    # states by `synapse.state` -> like weights.
    resets: dict[str, Array] = field(default_factory=dict)

    def arrays(self) -> list[AnyArray]:
        """All that it is made of, in an order that the circuit decides."""
        parts: list[Mapping[Any, AnyArray]] = [
            self.weights, self.synapse_states, self.kept, self.coefficients, self.resets,
        ]  # fmt: skip
        own = [array for part in parts for array in part.values()]
        return own + [array for projection in self.projections.values() for array in projection.arrays()]

    def mask(self, synapse: str) -> NDArray[np.bool_] | None:
        """Which weights are there, [post size, pre size]; None if all are. Of a sparse synapse it is made anew."""
        from circuitdsl.graph.projections import present

        return present(self.projections[synapse])

    def copy(self) -> State:
        return State(
            weights={k: copied(v) for k, v in self.weights.items()},
            projections=dict(self.projections),
            synapse_states={k: copied(v) for k, v in self.synapse_states.items()},
            kept={k: copied(v) for k, v in self.kept.items()},
            coefficients={k: copied(v) for k, v in self.coefficients.items()},
            resets=dict(self.resets),
        )


@mutable
class Evaluation:
    """Means over the evaluated examples, and values as they stood at the last evaluation tick.

    `loss` is None if the circuit declares none. `probes`: one mean for each probe of the engine
    (the metric is one of them). `watched`: value name -> [examples, size]."""

    loss: float | None
    probes: list[float]
    watched: dict[str, Array] = field(default_factory=dict)


class Engine(Protocol):
    """A circuit ready to run. Built from (circuit, probes, dtype): `probes` are scalar expressions
    of one example, read at the last evaluation tick."""

    circuit: Circuit
    probes: Sequence[Expr]

    def train(
        self,
        state: State,
        data: Data,
        order: Indices,
        numbers: Numbers,
        *,
        seed: int,
        epoch: int,
        batch: int,
    ) -> None:
        """Presents the examples `order` (indices into the data) in batches of `batch`, the last one
        short, and updates `state` in place. Noise is keyed by (seed, epoch, data-set index)."""

    def evaluate(
        self, state: State, data: Data, order: Indices, numbers: Numbers, *, seed: int, epoch: int,
        watch: Sequence[str] = (),
    ) -> Evaluation:  # fmt: skip
        """Runs the examples without learning and without `train` phases; `state` is unchanged."""
