"""Others that compute the cases of cases.py: a module each, with `NAME`, `version()` and `WAYS`.

A way makes a `Run` of a case and its initial weights, one for each copy: `train` presents the examples of a round, and
`weights` are those that it has come to, [copies, ...] where there are several; `seconds`, of what runs in a process of
its own, are those that the last round took. What a case has no way for is not in `WAYS`; of several ways the fastest
counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from cases import Array, Case

from circuitdsl.graph.machine import State


@dataclass(frozen=True)
class Run:
    train: Callable[[], None]
    weights: Callable[[], dict[str, Array]]
    seconds: Callable[[], float] | None = None


class Way(NamedTuple):
    """How a module computes a model; `slow`: takes a minute to begin."""

    name: str
    model: str
    fits: Callable[[Case], bool]
    make: Callable[[Case, list[State]], Run]
    slow: bool = False


def stacked(states: list[State]) -> dict[str, Any]:
    """The weights of all copies; of one copy alone without an axis of copies."""
    if len(states) == 1:
        return {name: w.copy() for name, w in states[0].weights.items()}
    return {name: np.stack([s.weights[name] for s in states]) for name in states[0].weights}


def matrices(weights: dict[str, Any], depth: int) -> tuple[list[Any], list[Any]]:
    """The forward and the feedback weights of `layers`; there is no feedback to the input."""
    return [weights[f"W{k}"] for k in range(depth)], [None, *(weights[f"V{k}"] for k in range(1, depth))]


def named(forward: list[Any], back: list[Any]) -> dict[str, Array]:
    found = {f"W{k}": np.asarray(w) for k, w in enumerate(forward)}
    return found | {f"V{k}": np.asarray(v) for k, v in enumerate(back) if v is not None}
