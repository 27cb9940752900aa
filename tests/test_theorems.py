"""Theorems that the derivation rests on (theory.md, section 3), as statements about numbers: nothing of it is used."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

Array = np.ndarray
EXAMPLES, HIDDEN, OUT = 8, 5, 3


def batches(seed: int, updates: int) -> tuple[Array, Array]:
    """Any signals at all: what a pair does with its difference does not depend on the data."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(updates, EXAMPLES, HIDDEN)), rng.normal(size=(updates, EXAMPLES, OUT))


def weights(seed: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed + 1000)
    return rng.normal(size=(OUT, HIDDEN)), rng.normal(size=(HIDDEN, OUT))


def mean_outer(a: Array, b: Array) -> Array:
    return np.asarray(a.T @ b / len(a))


# ---------------------------------------------------------------- pairs with a pull


def apart(
    pull_w: Callable[[Array], Array], pull_v: Callable[[Array], Array] | None = None, *, c: float = 1, decay: float = 0,
    eta: float = 0.05, updates: int = 400, bound: float = np.inf, seed: int = 0,
) -> tuple[Array, float]:  # fmt: skip
    """|V - c W^T| over updates of a pair with an elementwise pull on both, and how large a weight was."""
    h, e = batches(seed, updates)
    w, v = weights(seed)
    found, largest = [], 0.0
    for hidden, err in zip(h, e, strict=True):
        found.append(np.abs(v - c * w.T))
        largest = max(largest, np.abs(w).max() * max(1, abs(c)), np.abs(v).max())
        w = w + eta * mean_outer(err, hidden) - decay * w - pull_w(w)
        v = v + c * eta * mean_outer(hidden, err) - decay * v - (pull_v or pull_w)(v)
        w, v = np.clip(w, -bound, bound), np.clip(v, -abs(c) * bound, abs(c) * bound)
    return np.array(found), largest


def cube(strength: float) -> Callable[[Array], Array]:
    return lambda w: strength * w**3


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bound", [np.inf, 1.0])
def test_equal_pulls_shrink_the_difference(seed: int, bound: float) -> None:
    """By (1 - gamma) at least, each single difference at each update, while 2 gamma + kappa <= 2."""
    gaps, largest = apart(cube(0.01), decay=0.02, bound=bound, seed=seed)
    assert 2 * 0.02 + 3 * 0.01 * largest**2 <= 2
    assert np.all(gaps[1:] <= (1 - 0.02) * gaps[:-1] + 1e-14)
    assert gaps[-1].max() < 1e-3 * gaps[0].max()


def test_a_pull_alone_shrinks_it_slower_and_slower() -> None:
    """w^3: d -> d (1 - s), s >= strength d^2 / 4: |d| is below 1/sqrt(1/d0^2 + strength t / 2), and above no
    exponential where both weights are near 0."""
    strength, updates = 0.05, 3000
    gaps, largest = apart(cube(strength), eta=0.05, updates=updates)
    assert 3 * strength * largest**2 <= 1
    assert np.all(gaps[1:] <= gaps[:-1] + 1e-15)
    t = np.arange(updates)[:, None, None]
    assert np.all(gaps <= 1 / np.sqrt(1 / gaps[0] ** 2 + strength * t / 2) + 1e-12)
    still, _ = apart(cube(strength), eta=0.0, updates=updates)
    assert np.all(still[1:] <= still[:-1])
    assert still[-1].max() > 1e-2  # at no fixed rate


def test_a_pull_that_scales() -> None:
    """V -> c W^T takes p_V(c w) = c p_W(w)."""
    right, _ = apart(cube(0.04), cube(0.01), c=2, decay=0.02)
    wrong, _ = apart(cube(0.04), cube(0.04), c=2, decay=0.02)
    assert right[-1].max() < 1e-3 * right[0].max()
    assert wrong[-1].max() > 0.01


def test_near_misses_of_equal_pulls() -> None:
    other, _ = apart(cube(0.05), cube(0.02))
    assert other[-1].max() > 0.01  # different pulls
    pushed, _ = apart(lambda w: -0.02 * np.tanh(w), decay=0.0, updates=300)
    assert pushed[-1].max() > pushed[0].max()  # a decreasing function
    with np.errstate(over="ignore", invalid="ignore"):
        steep, _ = apart(cube(2.0))
    assert not steep[-1].max() < steep[0].max()  # too large a step
    flat, _ = apart(lambda w: 0.1 * np.sign(w) * np.maximum(np.abs(w) - 9, 0), updates=50)
    assert np.allclose(flat, flat[0])  # not strictly increasing: within +-9 nothing pulls
    jump, _ = apart(lambda w: 0.02 * np.sign(w), updates=3000)
    assert 1e-4 < jump[-500:].max() <= 2 * 0.02 + 1e-12  # sign(w) leaves a floor of 2 p(0+)


# ---------------------------------------------------------------- decay by example


def leaking(m: Callable[[Array, Array], Array], m_v: Callable[[Array, Array], Array] | None = None) -> Array:
    """|V - W^T| over updates, with W decaying by mean(m) and V by its transpose."""
    h, e = batches(3, 400)
    w, v = weights(3)
    found = []
    for hidden, err in zip(h, e, strict=True):
        found.append(np.abs(v - w.T).max())
        w = w + 0.05 * mean_outer(err, hidden) - m(hidden, err) * w
        v = v + 0.05 * mean_outer(hidden, err) - (m_v or m)(hidden, err).T * v
    return np.array(found)


def test_decay_by_example() -> None:
    """d (1 - mean over the batch of m), for any m >= 0 that both share, weight by weight."""
    for m in (
        lambda h, e: 0.05 * np.mean(h**2),
        lambda h, e: 0.05 * np.tile(np.mean(h**2, axis=0), (OUT, 1)),
        lambda h, e: 0.05 * mean_outer(np.abs(e), h**2),
    ):
        gaps = leaking(m)
        assert np.all(np.diff(gaps) <= 1e-15)
        assert gaps[-1] < 1e-3 * gaps[0]
    other = leaking(lambda h, e: 0.05 * np.mean(h**2), lambda h, e: 0.1 * np.mean(h**2))
    assert other[-1] > 0.01
    grown = leaking(lambda h, e: 0.05 * np.mean(h))  # of either sign
    assert np.any(np.diff(grown) > 0)
    with np.errstate(over="ignore", invalid="ignore"):
        assert not leaking(lambda h, e: 3 * np.mean(h**2))[-1] < 1  # it takes more than there is


# ---------------------------------------------------------------- positive factors


def test_a_positive_factor_leaves_the_rest() -> None:
    """k (E[drive] - gamma W) = 0 where E[drive] = gamma W; a factor that is a function of the data moves it."""
    rng = np.random.default_rng(5)
    h, e = rng.normal(size=(64, HIDDEN)), rng.normal(size=(64, OUT))
    e = e + h[:, :OUT]
    w, v = weights(5)
    u = v.copy()
    k, q = rng.uniform(0.2, 2, size=v.shape), rng.uniform(0.2, 2, size=w.shape)
    m = h[:, 0] ** 2
    for _ in range(4000):
        w = w + 0.1 * q * (mean_outer(e, h) - 0.3 * w)
        v = v + 0.1 * k * (mean_outer(h, e) - 0.3 * v)
        u = u + 0.1 * (mean_outer(h, m[:, None] * e) - 0.3 * m.mean() * u)
    assert np.abs(v - w.T).max() < 1e-9
    assert np.abs(u - w.T).max() > 0.1


def test_a_factor_on_one_member_is_no_exact_pair() -> None:
    """On the way V - W^T may grow: with noise that does not average out it never ends."""
    h, e = batches(6, 2000)
    w, v = weights(6)
    v = w.T.copy()
    for hidden, err in zip(h, e, strict=True):
        w = w + 0.1 * (mean_outer(err, hidden) - 0.3 * w)
        v = v + 0.1 * 2 * (mean_outer(hidden, err) - 0.3 * v)
    assert np.abs(v - w.T).max() > 0.01


# ---------------------------------------------------------------- clipped errors


@pytest.mark.parametrize("at", [0.5, 1.0, 2.0])
def test_the_clipped_error_is_the_gradient_of_huber(at: float) -> None:
    e = np.linspace(-3, 3, 121)[np.abs(np.abs(np.linspace(-3, 3, 121)) - at) > 1e-3]

    def huber(e: Array) -> Array:
        return np.where(np.abs(e) < at, 0.5 * e**2, at * np.abs(e) - 0.5 * at**2)

    slope = (huber(e + 1e-6) - huber(e - 1e-6)) / 2e-6
    assert np.allclose(slope, np.clip(e, -at, at), atol=1e-6)
    assert not np.allclose(slope, np.clip(e, -2 * at, 2 * at), atol=1e-3)


# ---------------------------------------------------------------- score functions


def softmax(d: Array) -> Array:
    p = np.exp(d - d.max(axis=-1, keepdims=True))
    return np.asarray(p / p.sum(axis=-1, keepdims=True))


def expected(d: Array, reward: Callable[[int], float], credit: Callable[[Array, Array], Array]) -> Array:
    """The mean of reward * credit over draws, exactly: over the classes that can be drawn."""
    p = softmax(d)
    return np.asarray(sum(p[k] * reward(k) * credit(np.eye(len(d))[k], p) for k in range(len(d))))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("baseline", [0.0, 0.5])
def test_the_score_function(seed: int, baseline: float) -> None:
    """E[r (draw - p)] is the gradient of E[r], whatever the baseline; E[r draw] is more by E[r] p."""
    rng = np.random.default_rng(seed)
    d, values = rng.normal(size=4), rng.normal(size=4)

    def mean(d: Array) -> float:
        return float(softmax(d) @ values) - baseline

    slope = np.array([(mean(d + 1e-6 * i) - mean(d - 1e-6 * i)) / 2e-6 for i in np.eye(4)])
    scored = expected(d, lambda k: values[k] - baseline, lambda draw, p: draw - p)
    plain = expected(d, lambda k: values[k] - baseline, lambda draw, p: draw)
    assert np.allclose(scored, slope, atol=1e-8)
    assert np.allclose(plain, slope + mean(d) * softmax(d), atol=1e-8)
    assert not np.allclose(plain, slope, atol=1e-3)


def test_the_score_function_and_cross_entropy() -> None:
    """With the answer's probability as reward the gradient of E[r] is p_c times that of cross-entropy: each example's
    own direction, but not that of a batch."""
    rng = np.random.default_rng(1)
    d, x = 3 * rng.normal(size=(6, 4)), rng.normal(size=(6, 7))
    c = rng.integers(4, size=6)
    y = np.eye(4)[c]
    scored = np.array([expected(d[i], y[i].__getitem__, lambda draw, p: draw - p) for i in range(6)])
    p = softmax(d)
    assert np.allclose(scored, p[np.arange(6), c][:, None] * (y - p))
    one, two = scored.T @ x, (y - p).T @ x
    assert (one * two).sum() < 0.999 * np.sqrt((one**2).sum() * (two**2).sum())


def test_the_largest_of_noisy_scores_is_a_draw_of_softmax() -> None:
    """onehot_max(d - log(-log(rand()))) is the class k with probability softmax(d)_k (Gumbel)."""
    rng = np.random.default_rng(2)
    d = np.array([0.5, -1.0, 1.2, 0.0])
    u = rng.random(size=(200_000, 4))
    drawn = np.bincount((d - np.log(-np.log(u))).argmax(axis=1), minlength=4) / len(u)
    assert np.allclose(drawn, softmax(d), atol=5e-3)
    normal = np.bincount((d + rng.normal(size=u.shape)).argmax(axis=1), minlength=4) / len(u)
    assert not np.allclose(normal, softmax(d), atol=1e-2)  # other noise, other probabilities
