"""The optimizers of the library are the published ones: step by step equal to those of autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from autograd.misc.optimizers import adam, rmsprop, sgd

import circuitdsl as cd
from circuitdsl.api import Outcome, Request

BATCH, STEPS = 16, 40
Array = np.ndarray[Any, np.dtype[np.float64]]


def gradient(x: Array, y: Array, w1: Array, w2: Array) -> tuple[Array, Array]:
    """d loss / d W1, W2, averaged over the batch."""
    z = x @ w1.T
    h = np.maximum(z, 0)
    logits = h @ w2.T
    p = np.exp(logits - logits.max(1, keepdims=True))
    error = p / p.sum(1, keepdims=True) - y
    return ((error @ w2) * (z > 0)).T @ x / len(x), error.T @ h / len(x)


def prepared(name: str, **params: float) -> Outcome:
    simulation = cd.load(f"optimizers/{name}.circ").compile("reference", dtype="float64")
    return simulation.prepare(Request(params=params))


def circuit_steps(start: Outcome) -> list[Array]:
    """The weights of W1 and W2, flat, before each batch and after the last."""
    state, loop = start.run.state, start.loop
    order, found = loop.order(0), []
    for step in range(STEPS + 1):
        found.append(np.concatenate([state.weights[n].ravel() for n in ("W1", "W2")]))
        chosen = order[step * BATCH : (step + 1) * BATCH]
        loop.engine.train(state, loop.dataset.arrays, chosen, loop.numbers, seed=0, epoch=0, batch=BATCH)
    return found


def library_steps(start: Outcome, optimizer: Callable[..., Any], **settings: float) -> list[Array]:
    """The same from an optimizer of autograd; weights [64, 64] and [10, 64]."""
    loop = start.loop
    order, found = loop.order(0), []

    def split(flat: Array) -> tuple[Array, Array]:
        return flat[: 64 * 64].reshape(64, 64), flat[64 * 64 :].reshape(10, 64)

    def slope(flat: Array, step: int) -> Array:
        found.append(flat.copy())
        chosen = order[step * BATCH : (step + 1) * BATCH]
        x, y = (loop.dataset.arrays[n][chosen] for n in "xy")
        return np.concatenate([g.ravel() for g in gradient(x, y, *split(flat))])

    first = np.concatenate([start.run.state.weights[n].ravel() for n in ("W1", "W2")])
    found.append(optimizer(slope, first, num_iters=STEPS, **settings))
    return found


def assert_equal(circuit: list[Array], library: list[Array]) -> None:
    for step, (ours, theirs) in enumerate(zip(circuit, library, strict=True)):
        assert np.linalg.norm(ours - theirs) <= 1e-9 * np.linalg.norm(theirs), f"step {step}"
    assert np.linalg.norm(circuit[-1] - circuit[0]) > 0.01


def test_adam() -> None:
    start = prepared("adam")
    n = start.loop.numbers
    settings = {"step_size": n["eta"], "b1": n["beta1"], "b2": n["beta2"], "eps": n["eps"]}
    library = library_steps(start, adam, **settings)
    assert_equal(circuit_steps(start), library)


def test_momentum() -> None:
    """autograd's velocity is (1 - mu) times ours."""
    start = prepared("momentum")
    eta, mu = start.loop.numbers["eta"], start.loop.numbers["mu"]
    library = library_steps(start, sgd, step_size=eta / (1 - mu), mass=mu)
    assert_equal(circuit_steps(start), library)


def test_rmsprop() -> None:
    """autograd starts with a mean square of 1; so do both here."""
    start = prepared("rmsprop")
    n = start.loop.numbers
    library = library_steps(start, rmsprop, step_size=n["eta"], gamma=n["beta"], eps=n["eps"])
    for key in start.run.state.synapse_states:
        start.run.state.synapse_states[key][:] = 1
    assert_equal(circuit_steps(start), library)


def test_sgd() -> None:
    start = prepared("sgd")
    library = library_steps(start, sgd, step_size=start.loop.numbers["eta"], mass=0)
    assert_equal(circuit_steps(start), library)


def test_weight_decay_is_decoupled() -> None:
    """Beside the step of Adam, each weight loses eta gamma of itself (Loshchilov & Hutter 2019)."""
    with_decay, without = prepared("weight_decay", eta=0.002, gamma=1), prepared("weight_decay", eta=0.002, gamma=0)
    before = with_decay.run.state.weights["W1"].copy()
    ours, plain = circuit_steps(with_decay)[1], circuit_steps(without)[1]
    assert ours[: before.size] - plain[: before.size] == pytest.approx(-0.002 * before.ravel(), abs=1e-12)


@pytest.mark.parametrize("name", ["sgd", "momentum", "rmsprop", "adam"])
def test_feedback_stays_the_transpose(name: str) -> None:
    start = prepared(name)
    circuit_steps(start)
    w = start.run.state.weights
    assert w["V2"] == pytest.approx(w["W2"].T, abs=1e-12)
