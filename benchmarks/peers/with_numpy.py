"""NumPy with its BLAS, a step after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from cases import ETA, GAMMA, Case

from circuitdsl.graph.machine import State
from peers import Run, Way, matrices, named, stacked

NAME = "NumPy"
KEEP = np.float32(1 - ETA * GAMMA)


def version() -> str:
    return np.__version__


def softmax(z: Any) -> Any:
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def layers(case: Case, states: list[State]) -> Run:
    """Rates are [batch, n], or [copies, n, 1] of copies that see one example at a time."""
    depth, (x, y), eta = len(case.sizes) - 1, (case.data["x"], case.data["y"]), np.float32(ETA / case.batch)
    forward, back = matrices(stacked(states), depth)

    def learn(w: Any, s: Any, pre: Any) -> None:
        w *= KEEP
        w += (eta * s).T @ pre

    def alone(t: int) -> None:
        h, given = [x[t : t + case.batch]], y[t : t + case.batch]
        for k in range(depth - 1):
            h.append(np.maximum(h[k] @ forward[k].T, 0))
        g: list[Any] = [None] * depth + [given - softmax(h[-1] @ forward[-1].T)]
        for k in range(depth - 1, 0, -1):
            g[k] = np.where(h[k] > 0, g[k + 1] @ back[k].T, np.float32(0))
        for k in range(depth):
            learn(forward[k], g[k + 1], h[k])
            if k:
                learn(back[k], h[k], g[k + 1])

    def together(t: int) -> None:
        h = [np.broadcast_to(x[t][:, None], (len(states), case.sizes[0], 1))]
        for k in range(depth - 1):
            h.append(np.maximum(forward[k] @ h[k], 0))
        out = softmax((forward[-1] @ h[-1])[..., 0])[..., None]
        g: list[Any] = [None] * depth + [y[t][:, None] - out]
        for k in range(depth - 1, 0, -1):
            g[k] = np.where(h[k] > 0, back[k] @ g[k + 1], np.float32(0))
        for k in range(depth):
            forward[k] *= KEEP
            forward[k] += (eta * g[k + 1]) * h[k].transpose(0, 2, 1)
            if k:
                back[k] *= KEEP
                back[k] += (eta * h[k]) * g[k + 1].transpose(0, 2, 1)

    step = alone if len(states) == 1 else together

    def train() -> None:
        for t in range(0, case.examples, case.batch):
            step(t)

    return Run(train, lambda: named(forward, back))


def four(case: Case, states: list[State]) -> Run:
    w, (x, y), eta = stacked(states), (case.data["x"], case.data["y"]), np.float32(ETA / case.batch)

    def train() -> None:
        for t in range(0, case.examples, case.batch):
            x0, given = x[t : t + case.batch], y[t : t + case.batch]
            z1 = x0 @ w["W1"].T
            a1 = np.maximum(z1, 0)
            z2 = a1 @ w["W2"].T
            a2 = np.maximum(z2, 0)
            l1, l2, err = a1 @ w["F1"].T, a2 @ w["F2"].T, given - softmax(a2 @ w["Wo"].T)
            o1, o2 = (z1 > 0).astype(np.float32), (z2 > 0).astype(np.float32)
            d2 = (err @ w["V2"].T) * o2
            d1 = (d2 @ w["V1"].T) * o1
            s1, s2 = (d1 @ w["B1"].T) * o1, (d2 @ w["B2"].T) * o2
            for name, s, pre in (
                ("W1", s1, x0), ("W2", s2, a1), ("B1", a1, d1), ("B2", a2, d2), ("V1", l1 * o1, d2),
                ("V2", l2 * o2, err), ("F1", d1, a1), ("F2", d2, a2), ("Wo", err, a2),
            ):  # fmt: skip
                w[name] *= KEEP
                w[name] += (eta * s).T @ pre

    return Run(train, lambda: w)


def wide(case: Case, states: list[State]) -> Run:
    w, (x, y) = states[0].weights["W"].copy(), (case.data["x"], case.data["y"])

    def train() -> None:
        for t in range(case.examples):
            s = np.float32(ETA / 10) * (y[t] - np.tanh(w @ x[t]))
            keep = np.float32(1 - ETA / 10 * GAMMA)
            for j in range(len(w)):  # a row stays in the cache between its two operations
                w[j] *= keep
                w[j] += s[j] * x[t]

    return Run(train, lambda: {"W": w})


WAYS = [
    Way("", "layers", lambda case: True, layers),
    Way("", "four", lambda case: True, four),
    Way("", "wide", lambda case: True, wide),
]
