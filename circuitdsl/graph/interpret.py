"""What an expression is worth at one tick of a batch, at one place of the circuit, in plain NumPy.

A batch of B examples advances in lockstep: a value of a population is [B, size], a number per weight is
[post size, pre size] or, where examples differ, [B, post size, pre size].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, assert_never

from circuitdsl.frozen import frozen
from circuitdsl.graph.functions import elementwise
from circuitdsl.graph.ir import (
    Apply,
    Axis,
    Coef,
    DriveRead,
    Expr,
    Fan,
    Flag,
    Num,
    Over,
    ParamRef,
    Random,
    Read,
    Reduce,
    Synapse,
    SynapseState,
    Tick,
    Weight,
    When,
)
from circuitdsl.graph.numbers import Fans
from circuitdsl.graph.populations import REDUCTIONS, over
from circuitdsl.noise import rand, randn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Indices

    Array = NDArray[np.floating[Any]]

DType = Literal["float32", "float64"]


@frozen(kw_only=True)
class Position:
    """A tick within the example: its number, its phase, and whether it is the phase's first or last."""

    tick: int
    phase: str | None
    first: bool
    last: bool


@frozen(kw_only=True)
class Batch:
    """What holds for a batch from its first tick to its last. `indices` are data-set indices, [B];
    `given` are the values of inputs, targets and bias."""

    dtype: DType
    numbers: Mapping[str, Array]
    seed: int
    epoch: int
    indices: Indices
    train: bool
    given: dict[str, Array]

    @property
    def size(self) -> int:
        return len(self.indices)


@frozen(kw_only=True)
class Frame:
    """One tick of a batch: the values at it, at the tick before (None: there is none) and, in the reverse
    pass, at the one after. Values are [B, size]."""

    batch: Batch
    position: Position
    now: dict[str, Array]
    before: dict[str, Array] | None
    after: dict[str, Array] | None = None


@frozen(kw_only=True)
class Units:
    """The place of an equation of `size` neurons (1 for modulators and losses). Results are [B, size]."""

    size: int
    coefficients: Mapping[str, Array]


@frozen(kw_only=True)
class Weights:
    """The place of an equation of a synapse. Results are [post, pre], or [B, post, pre] if examples differ."""

    synapse: Synapse
    weights: Array
    states: Mapping[str, Array]
    drives: Mapping[str, Array]
    coefficients: Mapping[str, Array]
    fans: Fans


Site = Units | Weights


def evaluate(expr: Expr, frame: Frame, site: Site) -> Array:
    """The value of an expression at one tick and place, up to broadcasting."""
    import numpy as np

    kind = np.dtype(frame.batch.dtype).type
    match expr:
        case Num():
            return np.asarray(kind(expr.value))
        case ParamRef():
            return frame.batch.numbers[expr.name]
        case Read():
            return _along(read_value(expr, frame), expr.axis, site)
        case Coef():
            values = site.coefficients[expr.name]
            return values[:, None] if expr.axis is Axis.POST else values
        case Weight() | SynapseState() | DriveRead() | Fan():
            return _of_synapse(expr, site, kind)
        case Flag():
            return np.asarray(kind(_flag(expr, frame)))
        case Tick():
            return np.asarray(kind(frame.position.tick))
        case Random():
            return _noise(expr, frame, site)
        case Apply():
            return elementwise(expr.function, [evaluate(a, frame, site) for a in expr.arguments])
        case Over():
            return _over(expr, frame, site)
        case Reduce():
            return _reduce(expr, frame, site)
        case _:
            assert_never(expr)


def read_value(read: Read, frame: Frame) -> Array:
    """A value, [B, size]; 0 before the first tick and after the last."""
    import numpy as np

    match read.when:
        case When.NOW:
            return frame.now[read.value]
        case When.PREV:
            values = frame.before
        case When.NEXT:
            values = frame.after
        case _:
            assert_never(read.when)
    return np.zeros((frame.batch.size, 1), frame.batch.dtype) if values is None else values[read.value]


def _along(values: Array, axis: Axis, site: Site) -> Array:
    """Values [B, size] along the axis of the place that reads them."""
    match site:
        case Units():
            return values
        case Weights():
            return values[:, None, :] if axis is Axis.PRE else values[:, :, None]
        case _:
            assert_never(site)


def _of_synapse(expr: Weight | SynapseState | DriveRead | Fan, site: Site, kind: Any) -> Array:
    import numpy as np

    assert isinstance(site, Weights), "only the equations of a synapse read its weights, states and drives"
    match expr:
        case Weight():
            return site.weights
        case SynapseState():
            return site.states[expr.name]
        case DriveRead():
            return site.drives[expr.name]
        case Fan():
            return np.asarray(kind(site.fans.fan_in if expr.which == "in" else site.fans.fan_out))
        case _:
            assert_never(expr)


def _flag(flag: Flag, frame: Frame) -> bool:
    position = frame.position
    match flag.which:
        case "train":
            return frame.batch.train
        case "phase":
            return position.phase == flag.phase
        case "first":
            return position.phase == flag.phase and position.first
        case "last":
            return position.phase == flag.phase and position.last
        case _:
            assert_never(flag.which)


def _noise(expr: Random, frame: Frame, site: Site) -> Array:
    """A random number for each example and unit; in a synapse the unit is j * pre size + i."""
    import numpy as np

    match site:
        case Units():
            units = np.arange(site.size)
        case Weights():
            shape = (site.synapse.post_size, site.synapse.pre_size)
            units = np.arange(shape[0] * shape[1]).reshape(shape)
        case _:
            assert_never(site)
    batch = frame.batch
    indices = batch.indices.reshape((-1,) + (1,) * units.ndim)
    draw = rand if expr.which == "rand" else randn
    return draw(batch.seed, expr.occurrence, batch.epoch, indices, frame.position.tick, units[None], batch.dtype)


def _over(expr: Over, frame: Frame, site: Site) -> Array:
    import numpy as np

    assert isinstance(site, Units), "softmax, onehot_max and kwta stand in the equations of neurons"
    x = np.broadcast_to(evaluate(expr.argument, frame, site), (frame.batch.size, site.size))
    return over(expr.function, x, None if expr.k is None else evaluate(expr.k, frame, site))


def _reduce(expr: Reduce, frame: Frame, site: Site) -> Array:
    import numpy as np

    inside = Units(size=expr.size, coefficients=site.coefficients)
    shape = (frame.batch.size, expr.size)
    populations = (np.broadcast_to(evaluate(a, frame, inside), shape) for a in expr.arguments)
    return _along(REDUCTIONS[expr.function].array(*populations), Axis.SCALAR, site)
