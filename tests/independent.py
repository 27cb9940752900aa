"""Two learning circuits written out by hand, one example at a time, knowing nothing of the compiler.

Kolen & Pollack 1994, and the four-synapse circuit of Liao et al. 2024 (arXiv:2412.20018). Each function
takes initial weights, data [examples, units], the order of the examples and the size of a batch, and gives
the weights after every update.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

Weights = dict[str, np.ndarray]


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max())
    return e / e.sum()


def batches(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(order), size):
        yield order[start : start + size]


def kolen_pollack(
    weights: Weights, x: np.ndarray, y: np.ndarray, order: np.ndarray, batch: int, *, eta: float, gamma: float
) -> list[Weights]:
    """W1: x -> h, W2: h -> out, V2: the error back to h."""
    w1, w2, v2 = weights["W1"].copy(), weights["W2"].copy(), weights["V2"].copy()
    trajectory = []
    for examples in batches(order, batch):
        d1, d2, dv = np.zeros_like(w1), np.zeros_like(w2), np.zeros_like(v2)
        for n in examples:
            z = w1 @ x[n]
            h = np.where(z > 0, z, 0)
            error = y[n] - softmax(w2 @ h)
            back = v2 @ error
            d1 += np.outer(back * (z > 0), x[n])
            d2 += np.outer(error, h)
            dv += np.outer(h, error)
        n = len(examples)
        w1 = w1 + eta * (d1 / n - gamma * w1)
        w2 = w2 + eta * (d2 / n - gamma * w2)
        v2 = v2 + eta * (dv / n - gamma * v2)
        trajectory.append({"W1": w1, "W2": w2, "V2": v2})
    return trajectory


def four_synapse(
    weights: Weights, x: np.ndarray, y: np.ndarray, order: np.ndarray, batch: int, *,
    eta: float, gamma: float, depth: int, bound: float,
) -> list[Weights]:  # fmt: skip
    """In layer l: W ascends into a's basal dendrite, V descends into d's, B goes from d to a's apical
    dendrite, F from a to d's lateral one; Wo on top. All weights stay within +-bound."""
    w = {name: array.copy() for name, array in weights.items()}
    trajectory = []
    for examples in batches(order, batch):
        drive = {name: np.zeros_like(array) for name, array in w.items()}
        for n in examples:
            rate, gate = {0: x[n]}, {}
            for k in range(1, depth + 1):
                potential = w[f"L[{k}].W"] @ rate[k - 1]
                gate[k] = 1.0 * (potential > 0)
                rate[k] = potential * gate[k]
            error = y[n] - softmax(w["Wo"] @ rate[depth])
            down = {depth + 1: error}
            for k in range(depth, 0, -1):
                down[k] = (w[f"L[{k}].V"] @ down[k + 1]) * gate[k]
            for k in range(1, depth + 1):
                apical = w[f"L[{k}].B"] @ down[k]
                lateral = w[f"L[{k}].F"] @ rate[k]
                drive[f"L[{k}].W"] += np.outer(apical * gate[k], rate[k - 1])
                drive[f"L[{k}].V"] += np.outer(lateral * gate[k], down[k + 1])
                drive[f"L[{k}].B"] += np.outer(rate[k], down[k])
                drive[f"L[{k}].F"] += np.outer(down[k], rate[k])
            drive["Wo"] += np.outer(error, rate[depth])
        for name in w:
            change = eta * drive[name] / len(examples) - eta * gamma * w[name]
            w[name] = np.clip(w[name] + change, -bound, bound)
        trajectory.append(dict(w))
    return trajectory


def adam(
    weights: np.ndarray, x: np.ndarray, y: np.ndarray, order: np.ndarray, batch: int, *,
    eta: float, b1: float, b2: float, epsilon: float,
) -> list[np.ndarray]:  # fmt: skip
    """Kingma & Ba 2015, algorithm 1, on the squared error of a linear layer."""
    w, m, v = weights.copy(), np.zeros_like(weights), np.zeros_like(weights)
    trajectory = []
    for t, examples in enumerate(batches(order, batch), start=1):
        gradient = np.zeros_like(w)
        for n in examples:
            gradient -= np.outer(y[n] - w @ x[n], x[n]) / len(examples)
        m = b1 * m + (1 - b1) * gradient
        v = b2 * v + (1 - b2) * gradient**2
        w = w - eta * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + epsilon)
        trajectory.append(w)
    return trajectory
