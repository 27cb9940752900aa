"""JAX: the examples of a round in one `scan`, weights donated; copies by `vmap`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from cases import ETA, GAMMA, Case

from circuitdsl.graph.machine import State
from peers import Run, Way, stacked

NAME = "JAX"
KEEP = 1 - ETA * GAMMA


def version() -> str:
    return jax.__version__


def scanned(case: Case, states: list[State], step: Callable[..., Any], unroll: int) -> Run:
    """`step(weights, x, y)` gives the weights after an example, or a batch."""
    shape = (case.steps, *((case.batch,) if case.batch > 1 else ()))
    x, y = (jnp.asarray(case.data[name]).reshape(*shape, -1) for name in "xy")

    @partial(jax.jit, donate_argnums=0)
    def epoch(w: Any, x: Any, y: Any) -> Any:
        def one(w: Any, xy: Any) -> Any:
            return step(w, *xy), None

        return jax.lax.scan(one, w, (x, y), unroll=unroll)[0]

    held = {name: jnp.asarray(w) for name, w in stacked(states).items()}

    def train() -> None:
        nonlocal held
        held = jax.block_until_ready(epoch(held, x, y))

    return Run(train, lambda: {name: np.asarray(w) for name, w in held.items()})


def _step(case: Case) -> Callable[..., Any]:
    depth = len(case.sizes) - 1

    def online(w: Any, x: Any, y: Any) -> Any:
        h, g = [x], {}
        for k in range(depth - 1):
            h.append(jnp.maximum(w[f"W{k}"] @ h[k], 0))
        g[depth] = y - jax.nn.softmax(w[f"W{depth - 1}"] @ h[-1])
        for k in range(depth - 1, 0, -1):
            g[k] = jnp.where(h[k] > 0, w[f"V{k}"] @ g[k + 1], 0)
        made = {f"W{k}": KEEP * w[f"W{k}"] + (ETA * g[k + 1])[:, None] * h[k] for k in range(depth)}
        return made | {f"V{k}": KEEP * w[f"V{k}"] + (ETA * h[k])[:, None] * g[k + 1] for k in range(1, depth)}

    def batch(w: Any, x: Any, y: Any) -> Any:
        eta, h, g = ETA / case.batch, [x], {}
        for k in range(depth - 1):
            h.append(jnp.maximum(h[k] @ w[f"W{k}"].T, 0))
        g[depth] = y - jax.nn.softmax(h[-1] @ w[f"W{depth - 1}"].T)
        for k in range(depth - 1, 0, -1):
            g[k] = jnp.where(h[k] > 0, g[k + 1] @ w[f"V{k}"].T, 0)
        made = {f"W{k}": KEEP * w[f"W{k}"] + eta * (g[k + 1].T @ h[k]) for k in range(depth)}
        return made | {f"V{k}": KEEP * w[f"V{k}"] + eta * (h[k].T @ g[k + 1]) for k in range(1, depth)}

    step = online if case.batch == 1 else batch
    return step if case.copies == 1 else jax.vmap(step, in_axes=(0, None, None))


def layers(unroll: int, case: Case, states: list[State]) -> Run:
    return scanned(case, states, _step(case), unroll)


def four(unroll: int, case: Case, states: list[State]) -> Run:
    eta = ETA / case.batch

    def step(w: Any, x: Any, y: Any) -> Any:
        z1 = x @ w["W1"].T
        a1 = jnp.maximum(z1, 0)
        z2 = a1 @ w["W2"].T
        a2 = jnp.maximum(z2, 0)
        l1, l2, err = a1 @ w["F1"].T, a2 @ w["F2"].T, y - jax.nn.softmax(a2 @ w["Wo"].T)
        o1, o2 = (z1 > 0).astype(jnp.float32), (z2 > 0).astype(jnp.float32)
        d2 = (err @ w["V2"].T) * o2
        d1 = (d2 @ w["V1"].T) * o1
        s1, s2 = (d1 @ w["B1"].T) * o1, (d2 @ w["B2"].T) * o2
        pairs = {
            "W1": (s1, x), "W2": (s2, a1), "B1": (a1, d1), "B2": (a2, d2), "V1": (l1 * o1, d2), "V2": (l2 * o2, err),
            "F1": (d1, a1), "F2": (d2, a2), "Wo": (err, a2),
        }  # fmt: skip
        return {name: KEEP * w[name] + eta * (s.T @ pre) for name, (s, pre) in pairs.items()}

    return scanned(case, states, step, unroll)


def eprop(case: Case, states: list[State]) -> Run:
    """circuits/models/eprop.circ: the increments of the ticks of an example are summed."""
    p, ticks = case.numbers, 30
    leak, fade, bar = 1 - p["alpha"], 1 - p["kappa"], p["threshold"]
    others = 1 - jnp.eye(case.sizes[1])

    def step(w: Any, x: Any, y: Any) -> Any:
        def tick(now: Any, _: Any) -> Any:
            v, trace, readout, pixel, traces, sums = now
            psi = 0.3 / bar * jnp.maximum(0, 1 - jnp.abs((v - bar) / bar))
            h, err = (v > bar).astype(jnp.float32), y - jax.nn.softmax(readout)
            signals = {"Win": w["B"] @ err, "Wrec": w["B"] @ err, "Wout": err}
            sums = {name: sums[name] + signals[name][:, None] * traces[name] for name in sums}
            more = {"Win": psi[:, None] * pixel, "Wrec": psi[:, None] * trace, "Wout": h}
            traces = {name: (1 - fade) * traces[name] + more[name] for name in traces}
            v = (1 - leak) * v + w["Win"] @ x + w["Wrec"] @ h - h * bar
            readout = (1 - fade) * readout + w["Wout"] @ h
            return (v, (1 - leak) * trace + h, readout, (1 - leak) * pixel + x, traces, sums), None

        zeros = {name: jnp.zeros_like(w[name]) for name in ("Win", "Wrec", "Wout")}
        units, classes = jnp.zeros(case.sizes[1]), jnp.zeros(case.sizes[2])
        start = (units, units, classes, jnp.zeros(case.sizes[0]), zeros, zeros)
        (*_, sums), _ = jax.lax.scan(tick, start, None, length=ticks)
        sums["Wrec"] = sums["Wrec"] * others
        return {"B": w["B"]} | {name: w[name] + p["eta"] * sums[name] for name in sums}

    return scanned(case, states, step, 1)


def wide(case: Case, states: list[State]) -> Run:
    def step(w: Any, x: Any, y: Any) -> Any:
        s = ETA / 10 * (y - jnp.tanh(w["W"] @ x))
        return {"W": (1 - ETA / 10 * GAMMA) * w["W"] + s[:, None] * x}

    return scanned(case, states, step, 1)


WAYS = [
    *(
        Way(f"scan, {u} unrolled" if u > 1 else "scan", model, lambda case: True, partial(make, u))
        for model, make in (("layers", layers), ("four", four))
        for u in (1, 4)
    ),
    Way("scan", "wide", lambda case: True, wide),
    Way("scan of scans", "eprop", lambda case: True, eprop),
]
