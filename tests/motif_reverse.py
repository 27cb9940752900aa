"""The functions of equations in NumPy, [examples, units], and reverse accumulation through them.

A number is an array, or a `Traced` one that knows what it came from. Independent of the compiler.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any


class Traced:
    """An array with the arrays it was made from, and for each how a gradient passes back to it."""

    __array_priority__ = 1000
    __slots__ = ("grad", "sources", "value")

    def __init__(self, value: Array, sources: tuple[tuple[Traced, Callable[[Array], Array]], ...] = ()) -> None:
        self.value, self.sources, self.grad = value, sources, None

    def __add__(self, other: Any) -> Traced:
        return _two(self, other, lambda a, b: a + b, lambda a, b: 1.0, lambda a, b: 1.0)

    __radd__ = __add__

    def __mul__(self, other: Any) -> Traced:
        return _two(self, other, lambda a, b: a * b, lambda a, b: b, lambda a, b: a)

    __rmul__ = __mul__

    def __neg__(self) -> Traced:
        return -1.0 * self

    def __sub__(self, other: Any) -> Traced:
        return self + -1.0 * other

    def __rsub__(self, other: Any) -> Traced:
        return -1.0 * self + other

    def __gt__(self, other: Any) -> Array:
        return (self.value > value(other)).astype(float)


def value(a: Any) -> Array:
    return a.value if isinstance(a, Traced) else a


def _two(a: Any, b: Any, f: Any, da: Any, db: Any) -> Traced:
    x, y = value(a), value(b)
    sources = []
    for one, slope in ((a, da), (b, db)):
        if isinstance(one, Traced):
            sources.append((one, lambda g, one=one, slope=slope: _fitted(g * slope(x, y), one.value)))
    return Traced(f(x, y), tuple(sources))


def _fitted(grad: Array, like: Array) -> Array:
    """The gradient of what was broadcast."""
    grad = np.broadcast_to(grad, np.broadcast_shapes(np.shape(grad), like.shape))
    return grad.sum(1, keepdims=True) if like.shape[1] == 1 and grad.shape[1] > 1 else grad


def _one(f: Callable[[Array], Array], back: Callable[[Array, Array, Array], Array]) -> Callable[[Any], Any]:
    """A function of one argument; `back(x, f(x), g)` is what a gradient g becomes."""

    def apply(a: Any) -> Any:
        if not isinstance(a, Traced):
            return f(a)
        x, out = a.value, f(a.value)
        return Traced(out, ((a, lambda g: back(x, out, g)),))

    return apply


def linear(a: Any, weights: Array) -> Any:
    """Currents of the rates a."""
    if not isinstance(a, Traced):
        return a @ weights.T
    return Traced(a.value @ weights.T, ((a, lambda g: g @ weights),))


def softmax_of(x: Array) -> Array:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def maximum(a: Any, b: Any = None) -> Any:
    if b is None:
        return value(a).max(1, keepdims=True)
    return where(value(a) > value(b), a, b)


def where(condition: Any, a: Any, b: Any) -> Any:
    open_ = np.asarray(condition, float)
    return open_ * a + (1 - open_) * b


def _sum(x: Array) -> Array:
    return x.sum(1, keepdims=True)


relu = _one(lambda x: np.maximum(x, 0), lambda x, out, g: g * (x > 0))
tanh = _one(np.tanh, lambda x, out, g: g * (1 - out * out))
square = _one(lambda x: x * x, lambda x, out, g: 2 * g * x)
absolute = _one(np.abs, lambda x, out, g: g * np.sign(x))
softmax = _one(softmax_of, lambda x, p, g: p * (g - (g * p).sum(1, keepdims=True)))
log = _one(np.log, lambda x, out, g: g / x)
total = _one(_sum, lambda x, out, g: np.broadcast_to(g, x.shape))


def cross_entropy(p: Any, y: Array) -> Any:
    return -1.0 * total(y * log(p))


def mse(p: Any, y: Array) -> Any:
    return total(square(p - y)) * (1.0 / y.shape[1])


FUNCTIONS: dict[str, Any] = {
    "relu": relu, "tanh": tanh, "square": square, "abs": absolute, "softmax": softmax, "max": maximum, "where": where,
    "step": lambda a: (value(a) > 0).astype(float), "sum": total, "mse": mse, "cross_entropy": cross_entropy,
    "norm": lambda a: np.sqrt((value(a) ** 2).sum(1, keepdims=True)), "__builtins__": {},
}  # fmt: skip


def backward(top: Traced) -> None:
    """Fills in the gradients of everything that `top` was made from."""
    order: list[Traced] = []
    seen: set[int] = set()

    def visit(a: Traced) -> None:
        if id(a) not in seen:
            seen.add(id(a))
            for source, _ in a.sources:
                visit(source)
            order.append(a)

    visit(top)
    for a in order:
        a.grad = np.zeros_like(a.value)
    top.grad = np.ones_like(top.value)
    for a in reversed(order):
        for source, back in a.sources:
            source.grad = source.grad + back(a.grad)
