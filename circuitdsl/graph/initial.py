"""The state a circuit starts from: weights, masks, states and coefficients, drawn once from the seed.

Everything is drawn in float64 and then rounded, so that runs of both precisions start alike, and some rows at a time,
so that nothing is held but the weights themselves (graph/draws.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, assert_never

from circuitdsl.graph.blocks import rows_of
from circuitdsl.graph.draws import Draws, Value, generator, numbers_in, shaped
from circuitdsl.graph.functions import quiet
from circuitdsl.graph.ir import (
    Circuit,
    Connect,
    Init,
    Kind,
    Lifetime,
    Sign,
    Synapse,
)
from circuitdsl.graph.machine import Numbers, State
from circuitdsl.graph.numbers import Fans, evaluate, whole
from circuitdsl.noise import check_seed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.draws import Generator

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
    draw = _Draw(circuit, numbers, check_seed(seed), dtype, folder, {}, {})
    with quiet():
        weights = {name: draw.weights_of(name) for name in circuit.synapses}
        return State(
            weights=weights,
            masks={name: draw.mask_of(name) for name in circuit.synapses},
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


def fans_of(synapse: Synapse, mask: Mask | None) -> Fans:
    """The realised mean in-degree and out-degree of a synapse."""
    if mask is None:
        return Fans(float(synapse.pre_size), float(synapse.post_size))
    count = float(mask.sum())
    return Fans(count / synapse.post_size, count / synapse.pre_size)


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


@dataclass(frozen=True, slots=True)
class _Draw:
    """What drawing needs to know, and the weights and masks drawn so far."""

    circuit: Circuit
    numbers: Numbers
    seed: int
    dtype: DType
    folder: Path | None
    weights: dict[str, Array]
    masks: dict[str, Mask | None]

    def path(self, name: str) -> Path:
        return (self.folder or Path()) / name

    def mask_of(self, name: str) -> Mask | None:
        if name not in self.masks:
            synapse = self.circuit.synapses[name]
            stream = generator(self.seed, f"{name} connect")
            self.masks[name] = _mask(synapse, self.numbers, stream, self.path)
        return self.masks[name]

    def weights_of(self, name: str) -> Array:
        """The initial weights; those that they are a copy of come first."""
        if name not in self.weights:
            synapse = self.circuit.synapses[name]
            mask = self.mask_of(name)
            fans = fans_of(synapse, mask)

            def kept(values: Array, rows: slice) -> Array:
                return constrain(values, synapse, None if mask is None else mask[rows], self.numbers, fans)

            shape = (synapse.post_size, synapse.pre_size)
            self.weights[name] = self.values(synapse.init, name, shape, fans, kept)
        return self.weights[name]

    def per_weight(self, synapse: Synapse, key: str, init: Init) -> Array:
        """An initial value for each weight of a synapse, 0 where there is none, [post size, pre size]."""
        import numpy as np

        mask = self.mask_of(synapse.name)

        def there(values: Array, rows: slice) -> Array:
            return values if mask is None else np.where(mask[rows], values, values.dtype.type(0))

        return self.values(init, key, (synapse.post_size, synapse.pre_size), fans_of(synapse, mask), there)

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
        finish: Callable[[Array, slice], Array] = lambda values, rows: values,
    ) -> Array:  # fmt: skip
        """An initial value in the run's dtype, made some rows at a time; `finish` has the last word on them."""
        import numpy as np

        value = Value(
            key=key,
            shape=shape,
            draws=Draws(generator(self.seed, key), shape),
            number=partial(evaluate, numbers=self.numbers, fans=fans),
            weights={name: partial(self.weights_of, name) for name in self.circuit.synapses},
            path=self.path,
        )
        maker = value.maker(init)
        made: Array = np.empty(shape, dtype=self.dtype)
        for rows in rows_of(shape):
            drawn = maker(rows)
            made[rows] = drawn
            if np.isinf(made[rows]).any() and np.isfinite(drawn).all():
                raise ValueError(f"an initial value of `{key}` is too large for {self.dtype}")
            made[rows] = finish(made[rows], rows)
        return made


# ---------------------------------------------------------------- masks


def _mask(synapse: Synapse, numbers: Numbers, stream: Generator, path: Callable[[str], Path]) -> Mask | None:
    """Which weights are present, [post size, pre size]; None if all are.

    `fan_in(k)` chooses among what the other masks of the synapse allow, so that `fan_in(3) & no_self` is
    three others for every unit."""
    import numpy as np

    shape = (synapse.post_size, synapse.pre_size)
    draws = Draws(stream, shape)
    connects = sorted(synapse.connect, key=lambda c: c.which == "fan_in")
    parts = [part for c in connects if (part := _one_mask(c, synapse, numbers, draws, path)) is not None]
    if not parts:
        return None
    mask = np.ones(shape, dtype=np.bool_)
    for rows in rows_of(shape):
        for part in parts:
            mask[rows] &= part(rows, mask[rows])
    return None if mask.all() else mask


def _one_mask(
    connect: Connect, synapse: Synapse, numbers: Numbers, draws: Draws, path: Callable[[str], Path]
) -> Callable[[slice, Mask], Mask] | None:
    """What tells of some rows which weights are present of those that are allowed; None if all are."""
    import numpy as np

    shape = (synapse.post_size, synapse.pre_size)
    columns = np.arange(shape[1])

    def is_self(rows: slice) -> Mask:
        return np.asarray(np.arange(rows.start, rows.stop)[:, None] == columns)

    match connect.which:
        case "dense":
            return None
        case "one_to_one":
            return lambda rows, allowed: is_self(rows)
        case "no_self":
            return lambda rows, allowed: ~is_self(rows)
        case "sparse":
            assert connect.argument is not None
            chance = evaluate(connect.argument, numbers)
            drawn = draws.rows(lambda stream, size: stream.random(size))
            return lambda rows, allowed: drawn(rows) < chance
        case "fan_in":
            assert connect.argument is not None
            k = whole(connect.argument, numbers, f"the k of `fan_in` in `{synapse.name}`")
            if k > synapse.pre_size:
                units = f"`{synapse.pre}` has {synapse.pre_size} units"
                raise ValueError(f"`{synapse.name}` cannot have a fan_in of {k}: {units}")
            keys = draws.rows(lambda stream, size: stream.random(size))
            return lambda rows, allowed: _lowest(np.where(allowed, keys(rows), 2.0), k)
        case "file":
            assert connect.path is not None
            held = shaped(synapse.name, connect.path, numbers_in(path(connect.path)), shape)
            return lambda rows, allowed: held[rows] != 0
        case _:
            assert_never(connect.which)


def _lowest(keys: Doubles, k: int) -> Mask:
    """Where the k lowest keys of each row are."""
    import numpy as np

    rank = np.argsort(np.argsort(keys, axis=1), axis=1)
    return np.asarray(rank < k)
