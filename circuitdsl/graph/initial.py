"""The state a circuit starts from: weights, masks, states and coefficients, drawn once from the seed.

Every entity has its own stream, keyed by (seed, its name), so that adding or removing one leaves the others
as they were. Everything is drawn in float64 and then rounded, so that runs of both precisions start alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, assert_never

from circuitdsl.graph.functions import elementwise, quiet
from circuitdsl.graph.ir import (
    Circuit,
    Connect,
    Expr,
    Fan,
    Init,
    InitApply,
    InitCall,
    Kind,
    Lifetime,
    Num,
    ParamRef,
    Sign,
    Synapse,
)
from circuitdsl.graph.machine import Numbers, State
from circuitdsl.graph.numbers import Fans, evaluate, whole
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

    def generator(self, key: str) -> np.random.Generator:
        """The stream of one entity: keyed by the seed and its name."""
        from hashlib import sha256

        import numpy as np

        words = np.frombuffer(sha256(key.encode()).digest(), dtype="<u4")
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, *words.tolist()])))

    def path(self, name: str) -> Path:
        return (self.folder or Path()) / name

    def mask_of(self, name: str) -> Mask | None:
        if name not in self.masks:
            synapse = self.circuit.synapses[name]
            rng = self.generator(f"{name} connect")
            self.masks[name] = _mask(synapse, self.numbers, rng, self.path)
        return self.masks[name]

    def weights_of(self, name: str) -> Array:
        """The initial weights; those that they are a copy of come first."""
        if name not in self.weights:
            synapse = self.circuit.synapses[name]
            mask = self.mask_of(name)
            drawn = self.per_weight(synapse, name, synapse.init)
            self.weights[name] = constrain(drawn, synapse, mask, self.numbers, fans_of(synapse, mask))
        return self.weights[name]

    def per_weight(self, synapse: Synapse, key: str, init: Init) -> Array:
        """An initial value for each weight of a synapse, 0 where there is none, [post size, pre size]."""
        import numpy as np

        mask = self.mask_of(synapse.name)
        shape = (synapse.post_size, synapse.pre_size)
        values = self.values(init, key, shape, fans_of(synapse, mask))
        return values if mask is None else np.where(mask, values, values.dtype.type(0))

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

    def values(self, init: Init, key: str, shape: tuple[int, ...], fans: Fans | None) -> Array:
        """An initial value in the run's dtype."""
        import numpy as np

        number: Callable[[Expr], float] = partial(evaluate, numbers=self.numbers, fans=fans)
        drawn = self.arithmetic(init, key, self.generator(key), shape, number)
        values = np.broadcast_to(drawn, shape).astype(self.dtype)
        if np.isinf(values).any() and np.isfinite(drawn).all():
            raise ValueError(f"an initial value of `{key}` is too large for {self.dtype}")
        return values

    def arithmetic(
        self, init: Init, key: str, rng: np.random.Generator, shape: tuple[int, ...],
        number: Callable[[Expr], float],
    ) -> Doubles:  # fmt: skip
        """An initial value as float64: of `shape`, or a number."""
        import numpy as np

        match init:
            case InitApply():
                parts = [self.arithmetic(a, key, rng, shape, number) for a in init.arguments]
                return np.asarray(elementwise(init.function, parts), dtype=np.float64)
            case InitCall():
                return self.call(init, key, rng, shape, [number(a) for a in init.arguments])
            case Num() | ParamRef() | Fan():
                return np.float64(number(init)) * np.ones(())
            case _:
                assert_never(init)

    def call(
        self, init: InitCall, key: str, rng: np.random.Generator, shape: tuple[int, ...],
        arguments: list[float],
    ) -> Doubles:  # fmt: skip
        """One named initial value, as float64."""
        import numpy as np

        match init.which:
            case "zeros":
                return np.zeros(shape)
            case "constant":
                return np.full(shape, arguments[0])
            case "normal":
                return arguments[0] + arguments[1] * rng.standard_normal(shape)
            case "uniform":
                return arguments[0] + (arguments[1] - arguments[0]) * rng.random(shape)
            case "orthogonal":
                return _orthogonal(rng, *_matrix(key, init, shape))
            case "identity":
                return np.eye(*_matrix(key, init, shape))
            case "transpose" | "copy":
                assert init.other is not None
                other = self.weights_of(init.other).astype(np.float64)
                return _shaped(key, init.span.text, other.T if init.which == "transpose" else other, shape)
            case "file":
                assert init.path is not None
                return _shaped(key, init.path, _load(self.path(init.path)), shape)
            case _:
                assert_never(init.which)


def _matrix(key: str, init: InitCall, shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) != 2:
        raise ValueError(f"`{key}` is not a matrix: `{init.which}` has no meaning for it")
    return shape[0], shape[1]


def _orthogonal(rng: np.random.Generator, rows: int, columns: int) -> Doubles:
    """Uniformly drawn with orthonormal rows or columns, whichever are fewer (QR of a normal matrix, with
    the sign that makes it unique; Mezzadri 2007)."""
    import numpy as np

    tall = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return q if rows >= columns else q.T


def _load(path: Path) -> Doubles:
    """The numbers of an `.npy` file. Raises OSError if there is none, ValueError if it holds none."""
    import numpy as np

    from circuitdsl.data.raw import SourceError
    from circuitdsl.data.weights import weights_of

    try:
        return weights_of(path).astype(np.float64)
    except SourceError as problem:
        kind = OSError if problem.missing else ValueError
        raise kind(problem.title + (f" ({problem.hint})" if problem.hint else "")) from None


def _shaped(key: str, source: str, values: Doubles, shape: tuple[int, ...]) -> Doubles:
    if values.shape != shape:
        wanted, found = ("x".join(map(str, s)) or "a number" for s in (shape, values.shape))
        raise ValueError(f"`{key}` is {wanted}, but `{source}` is {found}")
    return values


# ---------------------------------------------------------------- masks


def _mask(synapse: Synapse, numbers: Numbers, rng: np.random.Generator, path: Callable[[str], Path]) -> Mask | None:
    """Which weights are present, [post size, pre size]; None if all are.

    `fan_in(k)` chooses among what the other masks of the synapse allow, so that `fan_in(3) & no_self` is
    three others for every unit."""
    import numpy as np

    shape = (synapse.post_size, synapse.pre_size)
    mask = np.ones(shape, dtype=np.bool_)
    for connect in sorted(synapse.connect, key=lambda c: c.which == "fan_in"):
        mask &= _one_mask(connect, synapse, mask, numbers, rng, path)
    return None if mask.all() else mask


def _one_mask(
    connect: Connect, synapse: Synapse, allowed: Mask, numbers: Numbers, rng: np.random.Generator,
    path: Callable[[str], Path],
) -> Mask:  # fmt: skip
    import numpy as np

    shape = allowed.shape
    match connect.which:
        case "dense":
            return np.ones(shape, dtype=np.bool_)
        case "one_to_one":
            return np.eye(*shape, dtype=np.bool_)
        case "no_self":
            return ~np.eye(*shape, dtype=np.bool_)
        case "sparse":
            assert connect.argument is not None
            return rng.random(shape) < evaluate(connect.argument, numbers)
        case "fan_in":
            assert connect.argument is not None
            k = whole(connect.argument, numbers, f"the k of `fan_in` in `{synapse.name}`")
            if k > synapse.pre_size:
                units = f"`{synapse.pre}` has {synapse.pre_size} units"
                raise ValueError(f"`{synapse.name}` cannot have a fan_in of {k}: {units}")
            rank = np.argsort(np.argsort(np.where(allowed, rng.random(shape), 2.0), axis=1), axis=1)
            return rank < k
        case "file":
            assert connect.path is not None
            present: Mask = _shaped(synapse.name, connect.path, _load(path(connect.path)), shape) != 0
            return present
        case _:
            assert_never(connect.which)
