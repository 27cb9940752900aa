"""PyTorch, eager and compiled, on one thread, weights changed in place."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from cases import ETA, GAMMA, Case

from circuitdsl.graph.machine import State
from peers import Run, Way, stacked

NAME = "PyTorch"
KEEP = 1 - ETA * GAMMA
torch.set_num_threads(1)


def version() -> str:
    return str(torch.__version__)


def stepped(compiled: bool, case: Case, states: list[State], step: Callable[..., None]) -> Run:
    """`step(weights, x, y)` changes the weights by an example, [n], or a batch, [batch, n]."""
    shape = (case.steps, *((case.batch,) if case.batch > 1 else ()))
    x, y = (list(torch.from_numpy(case.data[name]).reshape(*shape, -1)) for name in "xy")
    w = {name: torch.from_numpy(array) for name, array in stacked(states).items()}
    do = torch.compile(step) if compiled else step

    def train() -> None:
        with torch.inference_mode():
            for each, given in zip(x, y, strict=True):
                do(w, each, given)

    return Run(train, lambda: {name: each.numpy() for name, each in w.items()})


def layers(compiled: bool, case: Case, states: list[State]) -> Run:
    depth, eta = len(case.sizes) - 1, ETA / case.batch

    def online(w: Any, x: Any, y: Any) -> None:
        h: list[Any] = [x]
        for k in range(depth - 1):
            h.append(torch.relu(torch.mv(w[f"W{k}"], h[k])))
        g: list[Any] = [None] * depth + [y - torch.softmax(torch.mv(w[f"W{depth - 1}"], h[-1]), -1)]
        for k in range(depth - 1, 0, -1):
            g[k] = torch.mv(w[f"V{k}"], g[k + 1]) * (h[k] > 0)
        for k in range(depth):
            w[f"W{k}"].addr_(g[k + 1], h[k], beta=KEEP, alpha=ETA)
            if k:
                w[f"V{k}"].addr_(h[k], g[k + 1], beta=KEEP, alpha=ETA)

    def batch(w: Any, x: Any, y: Any) -> None:
        h: list[Any] = [x]
        for k in range(depth - 1):
            h.append(torch.relu(h[k] @ w[f"W{k}"].T))
        g: list[Any] = [None] * depth + [y - torch.softmax(h[-1] @ w[f"W{depth - 1}"].T, -1)]
        for k in range(depth - 1, 0, -1):
            g[k] = (g[k + 1] @ w[f"V{k}"].T) * (h[k] > 0)
        for k in range(depth):
            w[f"W{k}"].addmm_(g[k + 1].T, h[k], beta=KEEP, alpha=eta)
            if k:
                w[f"V{k}"].addmm_(h[k].T, g[k + 1], beta=KEEP, alpha=eta)

    def copies(w: Any, x: Any, y: Any) -> None:
        h: list[Any] = [x.expand(case.copies, -1)[..., None]]
        for k in range(depth - 1):
            h.append(torch.relu(torch.bmm(w[f"W{k}"], h[k])))
        out = torch.softmax(torch.bmm(w[f"W{depth - 1}"], h[-1]), 1)
        g: list[Any] = [None] * depth + [y[:, None] - out]
        for k in range(depth - 1, 0, -1):
            g[k] = torch.bmm(w[f"V{k}"], g[k + 1]) * (h[k] > 0)
        for k in range(depth):
            w[f"W{k}"].baddbmm_(g[k + 1], h[k].transpose(1, 2), beta=KEEP, alpha=ETA)
            if k:
                w[f"V{k}"].baddbmm_(h[k], g[k + 1].transpose(1, 2), beta=KEEP, alpha=ETA)

    step = copies if case.copies > 1 else online if case.batch == 1 else batch
    return stepped(compiled, case, states, step)


def four(compiled: bool, case: Case, states: list[State]) -> Run:
    eta = ETA / case.batch

    def step(w: Any, x: Any, y: Any) -> None:
        z1 = x @ w["W1"].T
        a1 = torch.relu(z1)
        z2 = a1 @ w["W2"].T
        a2 = torch.relu(z2)
        l1, l2, err = a1 @ w["F1"].T, a2 @ w["F2"].T, y - torch.softmax(a2 @ w["Wo"].T, -1)
        o1, o2 = z1 > 0, z2 > 0
        d2 = (err @ w["V2"].T) * o2
        d1 = (d2 @ w["V1"].T) * o1
        s1, s2 = (d1 @ w["B1"].T) * o1, (d2 @ w["B2"].T) * o2
        for name, s, pre in (
            ("W1", s1, x), ("W2", s2, a1), ("B1", a1, d1), ("B2", a2, d2), ("V1", l1 * o1, d2), ("V2", l2 * o2, err),
            ("F1", d1, a1), ("F2", d2, a2), ("Wo", err, a2),
        ):  # fmt: skip
            w[name].addmm_(s.T, pre, beta=KEEP, alpha=eta)

    return stepped(compiled, case, states, step)


def wide(compiled: bool, case: Case, states: list[State]) -> Run:
    def step(w: Any, x: Any, y: Any) -> None:
        s = y - torch.tanh(torch.mv(w["W"], x))
        w["W"].addr_(s, x, beta=1 - ETA / 10 * GAMMA, alpha=ETA / 10)

    return stepped(compiled, case, states, step)


WAYS = [
    Way("compiled" if compiled else "eager", model, lambda case: True, partial(make, compiled), slow=compiled)
    for model, make in (("layers", layers), ("four", four))
    for compiled in (False, True)
]
WAYS.append(Way("eager", "wide", lambda case: True, partial(wide, False)))
