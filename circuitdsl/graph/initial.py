"""The state a circuit starts from: weights, projections, states and coefficients, drawn once from the seed.

Everything is drawn in float64 and then rounded, so that runs of both precisions start alike, and some rows at a time,
so that nothing is held but the weights themselves (graph/draws.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, assert_never

from circuitdsl.frozen import frozen
from circuitdsl.graph.aligned import empty
from circuitdsl.graph.blocks import rows_of
from circuitdsl.graph.connections import drawn_projection, large
from circuitdsl.graph.draws import Draws, Maker, Matrix, Value, generator
from circuitdsl.graph.functions import quiet
from circuitdsl.graph.ir import (
    Circuit,
    Init,
    Kind,
    Lifetime,
    Sign,
    Synapse,
)
from circuitdsl.graph.machine import Numbers, State
from circuitdsl.graph.numbers import Fans, evaluate
from circuitdsl.graph.projections import Dense, Projection, Sparse, fans_of, sparse_synapses
from circuitdsl.noise import check_seed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]
    Doubles = NDArray[np.float64]
    Mask = NDArray[np.bool_]

DType = Literal["float32", "float64"]


def initial_state(circuit: Circuit, numbers: Numbers, seed: int, *, dtype: DType, folder: Path | None = None) -> State:
    """Everything that `machine.State` holds, before the first example.

    `folder` is where the files of `file("w.npy")` are looked for (None: the current directory). Raises
    ValueError for a seed that is no 32-bit number, a file or a matrix of the wrong shape, and for
    `fan_in(k)` with more than there are; OSError for a file that cannot be read.
    """
    draw = _Draw(circuit, numbers, check_seed(seed), dtype, folder, sparse_synapses(circuit), {}, {})
    with quiet():
        weights = {name: draw.weights_of(name) for name in circuit.synapses}
        return State(
            weights=weights,
            projections={name: draw.projection_of(name) for name in circuit.synapses},
            synapse_states={
                (s.name, v.name): draw.per_weight(s, f"{s.name}.{v.name}", v.init)
                for s in circuit.synapses.values()
                for v in s.states
                if not v.fresh
            },
            kept=draw.neuron_states(Lifetime.KEEP),
            coefficients={name: draw.coefficient(name) for name in circuit.coefficients},
            resets={
                **draw.neuron_states(Lifetime.EXAMPLE),
                **{
                    f"{s.name}.{v.name}": draw.per_weight(s, f"{s.name}.{v.name}", v.init)
                    for s in circuit.synapses.values()
                    for v in s.states
                    if v.fresh
                },
            },
        )


def constrain(weights: Array, synapse: Synapse, mask: Mask | None, numbers: Numbers, fans: Fans) -> Array:
    """The weights within `sign` and `bounds`, and 0 where there is no connection."""
    import numpy as np

    kind = weights.dtype.type
    match synapse.sign:
        case Sign.FREE:
            pass
        case Sign.EXCITATORY:
            weights = np.maximum(weights, kind(0))
        case Sign.INHIBITORY:
            weights = np.minimum(weights, kind(0))
        case _:
            assert_never(synapse.sign)
    if synapse.bounds is not None:
        low, high = (kind(evaluate(bound, numbers, fans)) for bound in synapse.bounds)
        weights = np.minimum(np.maximum(weights, low), high)
    return weights if mask is None else np.where(mask, weights, kind(0))


def _present(values: Array, mask: Mask | None) -> Array:
    import numpy as np

    return values if mask is None else np.where(mask, values, values.dtype.type(0))


@frozen
class _Draw:
    """What drawing needs to know, and the weights and projections drawn so far."""

    circuit: Circuit
    numbers: Numbers
    seed: int
    dtype: DType
    folder: Path | None
    sparse: frozenset[str]
    weights: dict[str, Array]
    projections: dict[str, Projection]

    def path(self, name: str) -> Path:
        return (self.folder or Path()) / name

    def projection_of(self, name: str) -> Projection:
        if name not in self.projections:
            synapse = self.circuit.synapses[name]
            stream = generator(self.seed, f"{name} connect")
            self.projections[name] = drawn_projection(
                synapse, self.numbers, stream, self.path, sparse=name in self.sparse
            )
        return self.projections[name]

    def weights_of(self, name: str) -> Array:
        """The initial weights; those that they are a copy of come first."""
        if name not in self.weights:
            synapse = self.circuit.synapses[name]
            fans = fans_of(synapse, self.projection_of(name))

            def kept(values: Array, mask: Mask | None) -> Array:
                return constrain(values, synapse, mask, self.numbers, fans)

            self.weights[name] = self.per_weight(synapse, name, synapse.init, kept)
        return self.weights[name]

    def per_weight(
        self, synapse: Synapse, key: str, init: Init, finish: Callable[[Array, Mask | None], Array] = _present
    ) -> Array:
        """An initial value for each weight of a synapse, 0 where there is none: [post size, pre size], or [places].
        `finish` has the last word on those of some rows, given their mask."""
        projection, shape = self.projection_of(synapse.name), (synapse.post_size, synapse.pre_size)
        fans = fans_of(synapse, projection)
        match projection:
            case Dense(mask=mask):
                return self.values(
                    init, key, shape, fans, lambda v, rows: finish(v, None if mask is None else mask[rows])
                )
            case Sparse() if large(shape):
                return self.values(
                    init, key, projection.columns.shape, fans, lambda v, rows: finish(v, None), projection
                )
            case Sparse():
                maker = self.maker(init, key, shape, fans)
                made = empty(projection.columns.shape, self.dtype)
                for rows in rows_of(shape):
                    drawn, places = maker(rows), projection.places(rows)
                    some = drawn if drawn.ndim == 0 else drawn[projection.within(rows)]
                    made[places] = finish(self.rounded(some, made[places], key), None)
                return made
            case _:
                assert_never(projection)

    def neuron_states(self, lifetime: Lifetime) -> dict[str, Array]:
        """The initial value of every state of neurons and modulators of one lifetime, [size]."""
        return {
            v.name: self.values(v.init, v.name, (v.size,), None)
            for v in self.circuit.values.values()
            if v.kind is Kind.STATE and v.init is not None and v.lifetime is lifetime
        }

    def coefficient(self, name: str) -> Array:
        coefficient = self.circuit.coefficients[name]
        if coefficient.per == "weight":
            owner = self.circuit.synapses[coefficient.owner]
            return self.per_weight(owner, name, coefficient.init)
        size = self.circuit.populations[coefficient.owner].size
        return self.values(coefficient.init, name, (size,), None)

    def values(
        self, init: Init, key: str, shape: tuple[int, ...], fans: Fans | None,
        finish: Callable[[Array, slice], Array] = lambda values, rows: values, places: Sparse | None = None,
    ) -> Array:  # fmt: skip
        """An initial value in the run's dtype, made some rows at a time; `finish` has the last word on them."""
        maker = self.maker(init, key, shape, fans, places)
        made = empty(shape, self.dtype)
        for rows in rows_of(shape):
            made[rows] = finish(self.rounded(maker(rows), made[rows], key), rows)
        return made

    def maker(
        self, init: Init, key: str, shape: tuple[int, ...], fans: Fans | None, places: Sparse | None = None
    ) -> Maker:
        """What makes the rows of an initial value."""
        value = Value(
            key=key,
            shape=shape,
            draws=Draws(generator(self.seed, key), shape),
            number=partial(evaluate, numbers=self.numbers, fans=fans),
            weights={name: partial(self.matrix_of, name) for name in self.circuit.synapses},
            path=self.path,
            places=places,
        )
        return value.maker(init)

    def matrix_of(self, name: str) -> Matrix:
        return Matrix(self.projection_of(name), self.weights_of(name))

    def rounded(self, drawn: Doubles, room: Array, key: str) -> Array:
        """What was drawn, in the run's dtype, in the room for it."""
        import numpy as np

        room[...] = drawn
        if np.isinf(room).any() and np.isfinite(drawn).all():
            raise ValueError(f"an initial value of `{key}` is too large for {self.dtype}")
        return room
