"""Every function of the language in NumPy: what it means, in one place, for initial values and the reference.

Arrays keep their dtype. What is undefined is IEEE's answer; callers silence the warnings (`quiet`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, assert_never

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


def quiet() -> AbstractContextManager[Any]:
    """No warnings about division by zero, overflow and the like: inf and nan speak for themselves."""
    import numpy as np

    return np.errstate(all="ignore")


# ---------------------------------------------------------------- unit by unit


def elementwise(function: str, arguments: Sequence[Array]) -> Array:
    """An elementwise function of `ir.ELEMENTWISE` on arrays that broadcast, in their common dtype."""
    return _table()[function](*arguments)


def _table() -> dict[str, Callable[..., Array]]:
    import numpy as np

    if not _TABLE:
        _TABLE.update({
            "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power,
            "neg": np.negative, "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "tanh": np.tanh,
            "abs": np.abs, "sign": np.sign, "square": np.square, "min": np.minimum, "max": np.maximum,
            "lt": _flag(np.less), "le": _flag(np.less_equal), "gt": _flag(np.greater),
            "ge": _flag(np.greater_equal), "eq": _flag(np.equal), "ne": _flag(np.not_equal),
            "relu": lambda x: np.maximum(x, _like(x, 0)),
            "step": lambda x: _flag(np.greater)(x, _like(x, 0)),
            "sigmoid": lambda x: _like(x, 1) / (_like(x, 1) + np.exp(-x)),
            "softplus": lambda x: np.maximum(x, _like(x, 0)) + np.log1p(np.exp(-np.abs(x))),
            "clip": lambda x, low, high: np.minimum(np.maximum(x, low), high),
            "where": _where,
        })  # fmt: skip
    return _TABLE


#: Filled at first use, so that importing this module does not import NumPy.
_TABLE: dict[str, Callable[..., Array]] = {}


def _flag(test: Callable[..., Any]) -> Callable[[Array, Array], Array]:
    """A comparison that gives 0 and 1 in the dtype of what it compares."""
    import numpy as np

    def compare(a: Array, b: Array) -> Array:
        return np.asarray(test(a, b)).astype(np.result_type(a, b))

    return compare


def _where(condition: Array, yes: Array, no: Array) -> Array:
    import numpy as np

    return np.where(condition != 0, yes, no)


def _like(x: Array, value: float) -> Any:
    import numpy as np

    return np.asarray(x).dtype.type(value)


# ---------------------------------------------------------------- a population at a time (its last axis)


def over(function: Literal["softmax", "onehot_max", "kwta"], x: Array, k: Array | None) -> Array:
    """A population from a population, [..., size]. Ties go to the lower index; softmax is shifted by the
    maximum, so that it does not overflow; `kwta` keeps the `k` largest."""
    import numpy as np

    match function:
        case "softmax":
            e = np.exp(x - np.max(x, axis=-1, keepdims=True))
            return np.asarray(e / np.sum(e, axis=-1, keepdims=True))
        case "onehot_max":
            first = np.argmax(x, axis=-1)[..., None]
            return np.asarray(np.arange(x.shape[-1]) == first).astype(x.dtype)
        case "kwta":
            assert k is not None
            rank = np.argsort(np.argsort(-x, axis=-1, kind="stable"), axis=-1, kind="stable")
            return np.where(rank < k, x, _like(x, 0))
        case _:
            assert_never(function)


Reduction = Literal["sum", "mean", "max", "norm", "cross_entropy", "mse", "accuracy"]


def reduce(function: Reduction, x: Array, y: Array | None) -> Array:
    """One number from a population (`y`: from two), [..., size] -> [..., 1]."""
    import numpy as np

    def total(values: Array) -> Array:
        return np.asarray(np.sum(values, axis=-1, keepdims=True))

    def average(values: Array) -> Array:
        return np.asarray(total(values) / _like(x, x.shape[-1]))

    match function:
        case "sum":
            return total(x)
        case "mean":
            return average(x)
        case "max":
            return np.asarray(np.max(x, axis=-1, keepdims=True))
        case "norm":
            return np.asarray(np.sqrt(total(x * x)))
        case "cross_entropy":
            assert y is not None
            return -total(y * np.log(np.maximum(x, _like(x, 1e-7))))
        case "mse":
            assert y is not None
            return average((x - y) * (x - y))
        case "accuracy":
            assert y is not None
            return _accuracy(x, y)
        case _:
            assert_never(function)


def _accuracy(x: Array, y: Array) -> Array:
    """Whether both have their maximum at the same unit; of size 1: lie on the same side of 1/2."""
    import numpy as np

    if x.shape[-1] == 1:
        same = np.equal(x > 0.5, y > 0.5)
    else:
        same = np.equal(np.argmax(x, axis=-1), np.argmax(y, axis=-1))[..., None]
    return np.asarray(same).astype(x.dtype)
