"""Sums of squares and the dual: what is proved holds for random numbers of any size, near misses are not proved."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from derivation_texts import derived, sal

from circuitdsl import loads
from circuitdsl.derive.algebra import gram
from circuitdsl.derive.algebra.constants import Constants
from circuitdsl.derive.algebra.letters import named
from circuitdsl.derive.algebra.notation import Notation
from circuitdsl.derive.algebra.notation import text as written
from circuitdsl.derive.algebra.words import (
    UNIT,
    Coefficient,
    Nature,
    Sum,
    coefficient,
    column,
    diagonal,
    expect,
    identity,
    matrix,
    outer,
    scalar,
    scaled,
    times,
    zero,
)
from circuitdsl.derive.prove import squares as squares_module
from circuitdsl.derive.prove.dual import Dual
from circuitdsl.derive.prove.levels import Levels
from circuitdsl.derive.prove.matching import Quotient, forms
from circuitdsl.derive.prove.rewriting import steps_of
from circuitdsl.derive.prove.squares import definite, is_symmetric, squares, symmetric_part
from circuitdsl.derive.prove.transport import Transport
from circuitdsl.derive.read.drives import Drive, read_rule
from circuitdsl.derive.read.symbols import symbols_of
from circuitdsl.derive.tell.squares import squares_text

# ---------------------------------------------------------------- letters, as words and as numbers

N, M = 4, 3
SQUARE, RECTANGULAR = "A B F G X W".split(), {"R": (M, N), "S": (M, N), "T": (N, M)}


def letters() -> SimpleNamespace:
    """Letters as sums of words."""
    found: dict[str, Any] = {name: matrix(name, N, N) for name in SQUARE}
    found |= {name: matrix(name, *shape) for name, shape in RECTANGULAR.items()}
    found |= {name: diagonal(named(name=name, size=N, nature=Nature.NONNEGATIVE)) for name in ("D", "E")}
    found |= {name: diagonal(named(name=name, size=N, nature=Nature.GATE)) for name in ("g", "h")}
    found |= {"P": diagonal(named(name="P", size=N, nature=Nature.POSITIVE))}
    found |= {"L": diagonal(named(name="L", size=N)), "K": diagonal(named(name="K", size=M, nature=Nature.POSITIVE))}
    return SimpleNamespace(I=identity(N), J=identity(M), **found)


def arrays(rng: np.random.Generator) -> SimpleNamespace:
    """The same letters as arrays, of random sizes."""
    n, m = int(rng.integers(1, 6)), int(rng.integers(1, 6))
    found = {name: rng.standard_normal((n, n)) * np.exp(rng.standard_normal()) for name in SQUARE}
    sizes = {M: m, N: n}
    found |= {name: rng.standard_normal((sizes[a], sizes[b])) for name, (a, b) in RECTANGULAR.items()}
    found |= {name: np.diag(np.abs(rng.standard_normal(n))) for name in ("D", "E", "P")}
    found |= {name: np.diag((rng.random(n) < 0.5).astype(float)) for name in ("g", "h")}
    found |= {"L": np.diag(rng.standard_normal(n)), "K": np.diag(np.abs(rng.standard_normal(m)))}
    return SimpleNamespace(I=np.eye(n), J=np.eye(m), **found)


def s(a: Any, number: Fraction | int | str) -> Any:
    return scaled(a, number) if isinstance(a, Sum) else float(Fraction(number)) * a


def assert_semidefinite(build: Callable[[Any], Any], *, strict: bool = False) -> None:
    """By numbers alone: nothing of the term algebra."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        h = build(arrays(rng))
        lowest = np.linalg.eigvalsh((h + h.T) / 2)[0] / (1 + np.abs(h).max())
        assert lowest > (0 if strict else -1e-9)


PROVED: dict[str, Callable[[Any], Any]] = {
    "(F + G)^T (F + G)": lambda x: x.F.T @ x.F + x.F.T @ x.G + x.G.T @ x.F + x.G.T @ x.G,
    "on the edge": lambda x: x.A.T @ x.A + s(x.A.T @ x.B + x.B.T @ x.A, "1/10") + s(x.B.T @ x.B, "1/100"),
    "inner matrix": lambda x: x.W.T @ (x.I + s(x.A, 2) + x.A.T @ x.A) @ x.W,
    "with a diagonal": lambda x: x.F.T @ x.D @ x.F + s(x.F.T @ x.D @ x.G, 2) + s(x.G.T @ x.D @ x.G, 2),
    "two diagonals": lambda x: x.D @ x.E,
    "diagonals and gates": lambda x: x.F.T @ x.D @ x.g @ x.E @ x.F,
    "1 - g": lambda x: x.I - x.g,
    "open one way": lambda x: x.g + x.h - s(x.g @ x.h, 2),
    "F^T (1 - g) F": lambda x: x.F.T @ x.F - x.F.T @ x.g @ x.F,
    "one palindrome": lambda x: x.F.T @ x.F,
    "not symmetric": lambda x: (x.F + s(x.A, "1/2")).T @ (x.F - x.A) + x.A.T @ x.A,
    "X X = 1 X X": lambda x: x.I + s(x.X @ x.X, 2) + x.X.T @ x.X.T @ x.X @ x.X,
    "(1 + F^T F)^2 - F^T F": lambda x: x.I + x.F.T @ x.F + x.F.T @ x.F @ x.F.T @ x.F,
    "1 - F^T F + (F^T F)^2": lambda x: x.I - x.F.T @ x.F + x.F.T @ x.F @ x.F.T @ x.F,
    "1 - 2 F^T F + (F^T F)^2": lambda x: x.I - s(x.F.T @ x.F, 2) + x.F.T @ x.F @ x.F.T @ x.F,
    "skew": lambda x: x.A - x.A.T,
    "a skew part": lambda x: x.A.T @ x.A + x.X - x.X.T,
    "rectangular": lambda x: (x.R + s(x.S, 2)).T @ x.K @ (x.R + s(x.S, 2)) + x.T @ x.T.T,
    "rectangular, mixed": lambda x: x.T @ x.T.T + x.T @ x.R + x.R.T @ x.R,
    "any diagonal, twice": lambda x: x.A.T @ x.L @ x.D @ x.L @ x.A,
    "any diagonal, mixed": lambda x: x.I + s(x.L, 2) + x.L @ x.L,
    "diagonal within": lambda x: (x.I + x.F.T @ x.D @ x.F) @ (x.I + x.F.T @ x.D @ x.F),
    "gates of two": lambda x: (x.g @ x.F - x.h @ x.G).T @ (x.g @ x.F - x.h @ x.G),
    "1 + F": lambda x: (x.I + x.F).T @ (x.I + x.F) + x.I,
}  # fmt: skip

NOT_PROVED: dict[str, Callable[[Any], Any]] = {
    "no square of B": lambda x: x.A.T @ x.A + s(x.A.T @ x.B + x.B.T @ x.A, "1/10"),
    "too little of B": lambda x: x.A.T @ x.A + s(x.A.T @ x.B + x.B.T @ x.A, "1/10") + s(x.B.T @ x.B, "9/1000"),
    "middle": lambda x: x.W.T @ (x.I + s(x.A, 3) + x.A.T @ x.A) @ x.W,
    "product of two": lambda x: x.D @ x.F.T @ x.F,
    "product of two words": lambda x: x.A @ x.A.T @ x.B @ x.B.T,
    "gate and square": lambda x: x.g @ x.F.T @ x.F,
    "B V": lambda x: x.B @ x.F,
    "1 - 3 F^T F + (F^T F)^2": lambda x: x.I - s(x.F.T @ x.F, 3) + x.F.T @ x.F @ x.F.T @ x.F,
    "one beside another": lambda x: x.B.T @ x.B - s(x.A.T @ x.A, "1/10"),
    "1 - D": lambda x: x.I - x.D,
    "g - 1": lambda x: x.g - x.I,
    "any diagonal": lambda x: x.A.T @ x.L @ x.A,
    "2 gates": lambda x: x.I - x.g - x.h,
    "another middle": lambda x: x.F.T @ x.D @ x.F + s(x.F.T @ x.E @ x.G, 2) + x.G.T @ x.D @ x.G,
    "rectangular": lambda x: x.T @ x.T.T + s(x.T @ x.R, "21/10") + x.R.T @ x.R,
    "W^T H W of a positive H": lambda x: x.W.T @ x.W @ x.P,
}  # fmt: skip


@pytest.mark.parametrize("name", PROVED)
def test_proved(name: str) -> None:
    h = PROVED[name](letters())
    found = squares(h)
    assert found is not None
    assert found.value == symmetric_part(h)  # the squares are the matrix, word for word
    assert all(s.factor.number > 0 for s in found.squares)
    assert_semidefinite(PROVED[name])


@pytest.mark.parametrize("name", NOT_PROVED)
def test_not_proved(name: str) -> None:
    h = NOT_PROVED[name](letters())
    assert squares(h) is None
    with pytest.raises(AssertionError):  # and rightly so
        assert_semidefinite(NOT_PROVED[name])


def _random(rng: Random) -> Callable[[Any], Any]:
    """A sum of three squares of sums of three words."""
    chosen = [(rng.sample(range(10), 3), [rng.randint(-3, 3) for _ in range(3)]) for _ in range(3)]

    def build(x: Any) -> Any:
        words = [x.I, x.A, x.B, x.A @ x.B, x.B @ x.A, x.A.T @ x.B, x.F @ x.W, x.W, x.D @ x.A, x.g @ x.F]
        total = s(x.I, 0)
        for places, numbers in chosen:
            root = s(words[places[0]], numbers[0])
            root = root + s(words[places[1]], numbers[1]) + s(words[places[2]], numbers[2])
            total = total + root.T @ root
        return total

    return build


def test_random_sums_of_squares() -> None:
    rng = Random(1)
    x = letters()
    for _ in range(30):
        h = _random(rng)(x)
        found = squares(h)
        assert found is not None, written(h)
        assert found.value == symmetric_part(h)
        w = rng.choice([x.A, x.B, x.A @ x.B, x.A.T @ x.B, x.F @ x.W, x.W])
        assert squares(h - s(w.T @ w, 60)) is None


def test_whatever_is_proved_of_random_sums_holds() -> None:
    """Squares of words, and products of two of them, in amounts that make about half of the sums positive."""
    rng = Random(2)
    proved = 0
    for _ in range(60):
        pairs = [(rng.randrange(8), rng.randrange(8), rng.randint(-3, 3)) for _ in range(6)]
        share = rng.choice([1, 2, 3, 5])

        def build(x: Any, pairs: Any = pairs, share: int = share) -> Any:
            words = [x.I, x.A, x.B, x.A @ x.B, x.A.T @ x.B, x.g @ x.W, x.R, x.D @ x.F]
            total = s(x.I, share)
            for word in words[1:]:
                total = total + s(word.T @ word, share)
            for i, j, number in pairs:
                if (i == 6) == (j == 6):
                    total = total + s(words[i].T @ words[j], number)
            return total

        if squares(build(letters())) is not None:
            proved += 1
            assert_semidefinite(build)
    assert 15 < proved < 50


# ---------------------------------------------------------------- numbers, means, params


def test_means_and_numbers() -> None:
    x = letters()
    err = column(named(name="e", size=N))
    mean = expect(outer(err, err))
    assert squares(x.A @ mean @ x.A.T + s(x.A @ mean, 2) + mean) is not None
    assert squares(x.A @ mean @ x.A.T + s(x.A @ mean, 3) + mean) is None
    assert squares((x.A + x.I) @ mean @ (x.A + x.I).T) is not None
    assert squares((x.A @ err + err) @ (x.A @ err + err).T) is not None
    assert squares((x.A @ err + err) @ (x.B @ err + err).T) is None
    m, p = scalar("m"), scalar("p", positive=True)
    whole = x.A + scaled(x.B, by=m)
    assert squares(whole.T @ whole) is not None
    assert squares(scaled(whole.T @ whole, by=p)) is not None
    assert squares(scaled(whole.T @ whole, by=m)) is None


def test_params() -> None:
    x = letters()
    eta, gamma = coefficient(1, {"eta": 1}), coefficient(1, {"gamma": -1})
    whole = x.A + scaled(x.B, eta)
    found = squares(scaled(whole.T @ whole, gamma))
    assert found is not None
    assert squares_text(found) == "γ⁻¹ · (A + η · B)ᵀ (A + η · B)"
    near = x.A.T @ x.A + scaled(x.A.T @ x.B, eta) + scaled(x.B.T @ x.B, coefficient("0.01"))
    assert squares(near) is None
    assert squares(near, Constants({}, {"eta": 0.2})) is not None
    assert squares(near, Constants({}, {"eta": 0.21})) is None


def test_definite() -> None:
    x = letters()
    for name, build in PROVED.items():
        if definite(build(x)) is not None and "P" not in name:
            assert_semidefinite(build, strict=True)
    assert definite(PROVED["1 + F"](x)) is not None
    assert definite((x.I + x.F).T @ (x.I + x.F)) is None
    assert definite(x.P + x.F.T @ x.F) is not None
    assert definite(x.F.T @ x.F) is None
    assert definite(x.I - x.g) is None
    assert definite(x.I - x.F.T @ x.F + x.F.T @ x.F @ x.F.T @ x.F) is not None


def test_as_people_write_it() -> None:
    x = letters()
    found = squares(s(x.F.T @ x.F, 3) + s(x.F.T @ x.G + x.G.T @ x.F, 2) + s(x.G.T @ x.G, 2))
    assert found is not None
    assert squares_text(found) == "3 · (F + 2/3 · G)ᵀ (F + 2/3 · G) + 2/3 · Gᵀ G"
    found = squares((x.F + x.G).T @ x.D @ (x.F + x.G))
    assert found is not None
    assert squares_text(found) == "(F + G)ᵀ diag(D) (F + G)"
    assert squares_text(found, Notation(latex=True)).startswith(r"\left(F + G\right)^{\top}")
    assert squares_text(squares(zero(N, N)) or found) == "0"


# ---------------------------------------------------------------- bounded work


def test_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, whatever the sum: products of words, and steps of the search."""
    counts = {"products": 0, "steps": 0}
    product, step = times, gram._Centre.stepped

    def counted(a: Sum, b: Sum) -> Sum:
        counts["products"] += 1
        return product(a, b)

    def stepped(self: Any, at: list[float], mu: float) -> Any:
        counts["steps"] += 1
        return step(self, at, mu)

    monkeypatch.setattr(squares_module, "times", counted)
    monkeypatch.setattr(gram._Centre, "stepped", stepped)
    many = [matrix(f"Q{i}", N, N) for i in range(60)]
    large = zero(N, N)
    for a, b in pairwise(many):
        large = large + (a + b).T @ (a + b)
    assert squares(large) is None
    few, power = zero(N, N), identity(N)
    for _ in range(5):
        power = power @ letters().X
        few = few + power.T @ power + power + identity(N) - s(power.T, "1/3")
    squares(few)
    assert counts["products"] < 4 * squares_module.MAX_PRODUCTS
    assert counts["steps"] < 200


def test_exact_factors() -> None:
    half = Fraction(1, 2)
    assert gram.ldl([[Fraction(2), Fraction(1)], [Fraction(1), half]]) == [(Fraction(2), [Fraction(1), half])]
    assert gram.ldl([[Fraction(0), Fraction(1)], [Fraction(1), Fraction(1)]]) is None
    assert gram.ldl([[Fraction(1), Fraction(2)], [Fraction(2), Fraction(4) - Fraction(1, 10**30)]]) is None


# ---------------------------------------------------------------- H


def test_forms_of_sums_of_squares() -> None:
    """A positive matrix in front that is no list of palindromes, of either sign; not a skew one."""
    x = letters()
    err = column(named(name="e", size=N))
    h = (x.F + x.G).T @ (x.F + x.G)
    for front, sign in ((h, 1), (-h, -1), (x.I + s(x.F, 2) + x.F.T @ x.F + x.G - x.G.T, 1)):
        (form,) = forms(Quotient(front, identity(N), err), mean_field=False)
        assert (form.factor.number > 0) == (sign > 0)
        assert form.is_symmetric == is_symmetric(front)
        assert form.squares.squares
    assert forms(Quotient(x.F - x.F.T, identity(N), err), mean_field=False) == []
    assert forms(Quotient(x.F.T @ x.F, x.F.T @ x.F, err), mean_field=False) == []


def test_two_matrices_of_positive_symmetric_parts() -> None:
    """Why a presynaptic matrix has to be symmetric: sym(H) >= 0 and sym(K) >= 0 do not make the update descend."""
    turn = np.array([[0.0, -2.0], [2.0, 0.0]])
    h = np.eye(2) + turn
    whole = np.kron(h, h)
    assert np.linalg.eigvalsh(h + h.T)[0] > 0
    assert np.linalg.eigvalsh(whole + whole.T)[0] < 0
    whole = np.kron(h, np.diag([0.3, 2.0]))
    assert np.linalg.eigvalsh(whole + whole.T)[0] > 0


def test_a_factor_for_each_synapse_in_front_of_h() -> None:
    """Positive and H positive, but their product is not: only a diagonal H stands behind such a factor."""
    rule = "eta * {gain} * post.apical * step(post.basal) * pre - eta * gamma * w"
    plain, scaled_by = (derived(sal(1, W=rule.format(gain=gain))) for gain in ("1", "w^2"))
    assert plain["W1"].verdict == "gradient"
    assert isinstance(scaled_by["W1"].drive, Drive)
    assert scaled_by["W1"].drive.passage.scale is not None
    assert scaled_by["W1"].verdict is None
    rng = np.random.default_rng(0)
    values = []
    for _ in range(300):
        f, g = rng.standard_normal((2, 4, 4))
        values.append((rng.random((4, 4)) ** 4 * (f.T @ f @ g) * g).sum())
    assert min(values) < 0 < max(values)


# ---------------------------------------------------------------- the dual

BROADCAST = """circuit broadcast {
  param eta = 0.1
  param gamma = 0.002
  input x: 6
  target y: 1
  neuron h: 5 { dendrite basal rate = relu(basal) }
  neuron out: 1 { dendrite basal rate = sigmoid(basal) }
  neuron err: 1 { rate = y - out }
  synapse W1: x -> h.basal { dw = eta*(err*step(post.basal)*pre - gamma*w) }
  synapse W2: h -> out.basal { sign=excitatory init=0.5 dw = eta*(err*pre - gamma*w) }
  pair h ~ err
  loss = -sum(y*log(out) + (1-y)*log(1-out))
}"""
SOFTMAX = """circuit softmax_mse {
  param eta = 0.1
  input x: 6
  target y: 4
  neuron out: 4 { dendrite basal rate = softmax(basal) }
  neuron err: 4 { rate = y - out }
  synapse W: x -> out.basal { dw = eta*err*pre }
  pair out ~ err
  loss = mse(out, y)
}"""


def duals(text: str, synapse: str) -> list[Dual]:
    circuit = loads(text)
    symbols = symbols_of(circuit.ir)
    one = symbols.circuit.synapses[synapse]
    rule = read_rule(symbols, one)
    assert isinstance(rule, Drive)
    transport = Transport(Levels(symbols), steps_of([], frozenset()), False)
    return [dual for dual, _ in transport.duals(rule.signal, one.dendrite)]


def test_a_broadcast_error_read_out_by_positive_weights() -> None:
    (dual,) = duals(BROADCAST, "W1")
    assert (written(dual.k), squares_text(dual.squares)) == ("diag(W2ᵀ)", "diag(W2ᵀ)")
    assert (dual.factor, dual.constant, dual.invertible) == (Coefficient(), True, False)
    (dual,) = duals(BROADCAST.replace("sign=excitatory", "sign=excitatory bounds=[0.1, 1]"), "W1")
    assert (dual.constant, dual.invertible) == (True, True)
    sparse = BROADCAST.replace("sign=excitatory", "sign=excitatory bounds=[0.1, 1] connect=sparse(0.5)")
    assert not duals(sparse, "W1")[0].invertible  # what is not connected is 0
    (dual,) = duals(BROADCAST.replace("sign=excitatory", "sign=inhibitory").replace("init=0.5", "init=-0.5"), "W1")
    assert (dual.factor, written(dual.k)) == (coefficient(-1), "diag(|W2ᵀ|)")
    assert duals(BROADCAST.replace("sign=excitatory", ""), "W1") == []


def test_without_the_neurons_own_gate_the_dual_is_of_one_example() -> None:
    (dual,) = duals(BROADCAST.replace("err*step(post.basal)*pre", "err*pre"), "W1")
    assert not dual.constant
    assert not dual.invertible


def test_several_errors_summed_have_no_dual() -> None:
    """The sum of three errors through positive weights: <D, G> < 0 happens (theory.md; prototypes)."""
    several = BROADCAST.replace("target y: 1", "target y: 3").replace("out: 1", "out: 3").replace("err: 1", "err: 3")
    several = several.replace("  pair h ~ err\n", "").replace("err*step", "total*step")
    several = several.replace("  loss", "  modulator total = sum(err)\n  loss")
    assert duals(several, "W1") == []


def test_softmax_with_mse() -> None:
    (dual,) = duals(SOFTMAX, "W")
    assert written(dual.k) == "diag(out) − out ⊗ out"
    assert squares_text(dual.squares) == "(diag(out) − out ⊗ out)"
    assert (dual.factor.number, dual.constant, dual.invertible) == (Fraction(1, 2), False, False)
    assert duals(SOFTMAX.replace("softmax(basal)", "relu(basal)"), "W")[0].k != dual.k


def test_no_dual_of_feedback_alignment() -> None:
    """`s = B e`, `delta = W^T e`: of two matrices before the same error nothing follows."""
    chain = BROADCAST.replace("err*step(post.basal)*pre", "post.apical*step(post.basal)*pre")
    chain = chain.replace("dendrite basal rate = relu", "dendrite basal, apical rate = relu", 1)
    chain = chain.replace("  pair h ~ err\n", "  synapse B: err -> h.apical { }\n")
    assert duals(chain, "W1") == []
    wide = chain.replace("target y: 1", "target y: 3").replace("out: 1", "out: 3").replace("err: 1", "err: 3")
    wide = wide.replace("B: err -> h.apical { }", "B: err -> h.apical { sign=excitatory init=0.5 }")
    assert duals(wide, "W1") == []


def test_the_dual_by_numbers() -> None:
    """G = diag(w) D; softmax with mse agrees for each example, and not for two."""
    rng = np.random.default_rng(0)
    w, w1, x, y = np.abs(rng.standard_normal(5)), *(rng.standard_normal(n) for n in ((5, 4), (50, 4), 50))
    gate = (x @ w1.T > 0) * 1.0
    err = y - (gate * (x @ w1.T)) @ w
    drive, gradient = (gate * err[:, None]).T @ x / 50, (gate * err[:, None] * w).T @ x / 50
    np.testing.assert_allclose(gradient, w[:, None] * drive, atol=1e-12)
    assert (drive * gradient).sum() > 0

    weights, rates = np.array([[0.0, 0.0], [0.0, -7.0]]), np.array([[1.0, 0.0], [1.0, 1.0]])
    z = np.exp(rates @ weights.T)
    p = z / z.sum(1, keepdims=True)
    e = np.eye(2) - p
    delta = p * e - p * (p * e).sum(1, keepdims=True)
    assert ((e * delta).sum(1) >= 0).all()
    assert ((e.T @ rates) * (delta.T @ rates)).sum() < 0


def test_softmax_by_numbers() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        p = np.exp(3 * rng.standard_normal(rng.integers(1, 7)))
        p /= p.sum()
        assert np.linalg.eigvalsh(np.diag(p) - np.outer(p, p))[0] > -1e-12
    p = np.array([0.9, 0.9])  # what does not add up to 1 is no softmax
    assert np.linalg.eigvalsh(np.diag(p) - np.outer(p, p))[0] < 0
    signal = named(name="p", size=N, nature=Nature.POSITIVE)
    h = diagonal(signal) - outer(column(signal), column(signal))
    assert squares(h) is None
    assert squares(h, simplex=frozenset({signal.of})) is not None
    assert squares(scaled(h, 2) - diagonal(signal), simplex=frozenset({signal.of})) is None
    assert (h.rows, column(signal).cols) == (N, UNIT)
