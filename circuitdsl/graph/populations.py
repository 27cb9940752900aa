"""Every function of a whole population, told once: of a population that gives a population, and the reductions, which
give one number. To add a reduction whose units join in a way that is there is to add its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, assert_never

from circuitdsl.graph.formulas import fold
from circuitdsl.graph.functions import FUNCTIONS, TINY
from circuitdsl.graph.intervals import FLAG, ZERO, Range, point

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

# ---------------------------------------------------------------- a population from a population

PopulationFunction = Literal["softmax", "onehot_max", "kwta"]

#: How each is called, and what it is.
POPULATION_FUNCTIONS = {
    "softmax": ("softmax(x)", "`exp(x)` over the sum of it over the population"),
    "onehot_max": ("onehot_max(x)", "1 at the largest, else 0"),
    "kwta": ("kwta(x, k)", "the k largest, the others 0; k is a number or a param"),
}


def over(function: PopulationFunction, x: Array, k: Array | None) -> Array:
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
            return np.where(rank < k, x, x.dtype.type(0))
        case _:
            assert_never(function)


def over_range(function: PopulationFunction, x: Range) -> Range:
    """What the units of softmax, onehot_max or kwta lie between, given what those of their argument do."""
    match function:
        case "softmax":
            return Range(0.0, 1.0, low_open=x.defined, defined=x.defined)
        case "onehot_max":
            return FLAG
        case "kwta":
            return x.hull(ZERO)
        case _:
            assert_never(function)


def is_gate(function: str) -> bool:
    """Whether the value of a function of numbers, or of a population, is 0 or 1, and nothing between."""
    return function == "onehot_max" or (function in FUNCTIONS and FUNCTIONS[function].is_gate)


def applied(function: str, arguments: Sequence[Range]) -> Range:
    """What a function of numbers, or of a population, lies between."""
    match function:
        case "softmax" | "onehot_max" | "kwta":
            return over_range(function, arguments[0])
        case _:
            return FUNCTIONS[function].within(*arguments)


# ---------------------------------------------------------------- one number from a population


class Join(StrEnum):
    """What makes one number of the terms of the units."""

    SUM = "sum"
    MEAN = "mean"
    LARGEST = "largest"
    SAME_WINNER = "same winner"  # 1 where both arguments are largest at the same unit; of size 1: on the same side of ½


@dataclass(frozen=True)
class Reduction:
    """`call`: how it is called, with one or two populations; `term`: a formula of their units; `result`: a formula of
    what the terms `join` to, `joined`.

    `better`: which way a metric or loss of it is better; None where it judges nothing. `compares`: what it takes two
    populations for.

    `slopes`: for each population the derivative with respect to a unit, a formula that also reads `scale`: what is the
    same for all units, a formula of the derivative `g` of something else with respect to the result, of the result
    `out` and of one over the number of units, `part`. Without slopes, those of the term are taken; the result then has
    to be what the terms join to."""

    call: str
    term: str
    join: Join
    doc: str
    better: Literal["higher", "lower"] | None
    compares: Literal["numbers", "classes"] | None = None
    result: str = "joined"
    slopes: tuple[str, ...] = ()
    scale: str = "g"

    @cached_property
    def name(self) -> str:
        return self.call.partition("(")[0]

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        return tuple(self.call.partition("(")[2][:-1].split(", "))

    @property
    def arity(self) -> int:
        return len(self.parameters)

    @property
    def flat(self) -> bool:
        """Whether the derivative is 0 wherever there is one."""
        return self.join is Join.SAME_WINNER

    def array(self, *arguments: Array) -> Array:
        """The number, of populations [..., size]: [..., 1]."""
        import numpy as np

        if self.join is Join.SAME_WINNER:
            return _same_winner(*arguments)
        literal = np.result_type(*arguments, 0.0).type
        named = dict(zip(self.parameters, arguments, strict=True))
        terms = fold(self.term, named, literal, lambda f, xs: FUNCTIONS[f].array(*xs))
        joined = _joined(self.join, np.asarray(terms), literal(arguments[0].shape[-1]))
        return np.asarray(fold(self.result, {"joined": joined}, literal, lambda f, xs: FUNCTIONS[f].array(*xs)))

    def within(self, arguments: Sequence[Range], size: int) -> Range:
        """What the number lies between, by what `size` units do."""
        if self.join is Join.SAME_WINNER:
            return FLAG
        named = dict(zip(self.parameters, arguments, strict=True))
        term = fold(self.term, named, point, lambda f, xs: FUNCTIONS[f].within(*xs))
        joined = term.times(size) if self.join is Join.SUM else term
        return fold(self.result, {"joined": joined}, point, lambda f, xs: FUNCTIONS[f].within(*xs))


_REDUCTIONS = (
    Reduction("sum(x)", "x", Join.SUM, "the sum over units", None),
    Reduction("mean(x)", "x", Join.MEAN, "the mean over units", None),
    Reduction("max(x)", "x", Join.LARGEST, "the largest", None),
    Reduction("norm(x)", "square(x)", Join.SUM, "the square root of the sum of squares", None, result="sqrt(joined)",
              slopes=("scale * x",), scale=f"g / max(out, {TINY})"),
    Reduction("cross_entropy(p, y)", "y * log(max(p, 1e-7))", Join.SUM,
              "`-sum(y * log(max(p, 1e-7)))`; its derivative ignores the max: with softmax it is `p - y`",
              "lower", "classes", result="-joined",
              slopes=(f"-(scale * (p > 0) * (y / max(p, {TINY})))", "scale * -log(max(p, 1e-7))")),
    Reduction("mse(p, y)", "square(p - y)", Join.MEAN, "the mean of `(p - y)^2`", "lower", "numbers",
              slopes=("2 * part * scale * (p - y)", "-(2 * part * scale * (p - y))")),
    Reduction("accuracy(p, y)", "0", Join.SAME_WINNER,
              "for metrics: 1 if both are largest at the same unit, else 0 (size 1: on the same side of 0.5)",
              "higher", "classes"),
)  # fmt: skip

#: Every reduction, by name.
REDUCTIONS: dict[str, Reduction] = {r.name: r for r in _REDUCTIONS}


def _joined(join: Join, terms: Array, count: Any) -> Array:
    import numpy as np

    if join is Join.LARGEST:
        return np.asarray(np.max(terms, axis=-1, keepdims=True))
    total = np.asarray(np.sum(terms, axis=-1, keepdims=True))
    return total / count if join is Join.MEAN else total


def _same_winner(x: Array, y: Array) -> Array:
    import numpy as np

    if x.shape[-1] == 1:
        same = np.equal(x > 0.5, y > 0.5)
    else:
        same = np.equal(np.argmax(x, axis=-1), np.argmax(y, axis=-1))[..., None]
    return np.asarray(same).astype(x.dtype)
