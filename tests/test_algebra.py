"""The term algebra against random numbers: operations are those of matrices, and what is claimed holds."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from circuitdsl.derive.algebra.bends import Bent
from circuitdsl.derive.algebra.comparison import (
    is_positive_diagonal,
    ratio,
    strip_prefix,
    strip_suffix,
    substitute,
)
from circuitdsl.derive.algebra.letters import Made, Named, named
from circuitdsl.derive.algebra.notation import latex, signal, text
from circuitdsl.derive.algebra.words import (
    UNIT,
    Coefficient,
    Nature,
    Sum,
    coefficient,
    column,
    depends_on_example,
    diagonal,
    expect,
    identity,
    matrix,
    names,
    ones,
    outer,
    plus,
    scalar,
    scaled,
    times,
    transpose,
    zero,
)
from circuitdsl.derive.prove.squares import definite, semidefinite, symmetric_part
from circuitdsl.derive.read.numeric import instantiate

# ---------------------------------------------------------------- letters, and numbers for them

N, M = 3, 2  # two axes
EXAMPLES = 5

GATE = named(name="1[z > 0]", size=N, nature=Nature.GATE)
OTHER = named(name="1[b > 0]", size=N, nature=Nature.GATE)
RATE = named(name="h", size=N, nature=Nature.NONNEGATIVE, gates=frozenset({GATE.of}))
ERROR = named(name="e", size=N)
INPUT = named(name="x", size=M)
GAIN = named(name="k", size=N, nature=Nature.POSITIVE, random=False)
OFFSET = named(name="o", size=N, random=False)
SLOPE = named(name="f'", size=M, nature=Nature.POSITIVE)
SIGNALS = (GATE, OTHER, RATE, ERROR, INPUT, GAIN, OFFSET, SLOPE)
W, V, A = matrix("W", N, M), matrix("V", M, N), matrix("A", N, N)


def numbers(seed: int) -> dict[str, Any]:
    """Numbers for all letters, in which nothing is accidentally zero or equal."""
    rng = np.random.default_rng(seed)
    env: dict[str, Any] = {"W": rng.standard_normal((N, M)), "V": rng.standard_normal((M, N))}
    env["A"] = rng.standard_normal((N, N))
    env |= {"m": rng.standard_normal(EXAMPLES), "c": rng.standard_normal(), "p": rng.uniform(0.5, 2, EXAMPLES)}
    env |= {"eta": rng.uniform(0.1, 2), "gamma": rng.uniform(0.1, 2)}
    z = rng.standard_normal((EXAMPLES, N))
    z[0], z[1] = np.abs(z[0]), -np.abs(z[1])
    env["1[z > 0]"], env["h"] = (z > 0).astype(float), np.maximum(z, 0)
    env["1[b > 0]"] = (rng.standard_normal((EXAMPLES, N)) > 0).astype(float)
    env |= {"e": rng.standard_normal((EXAMPLES, N)), "x": rng.standard_normal((EXAMPLES, M))}
    env |= {"k": rng.uniform(0.5, 2, N), "o": rng.standard_normal(N), "f'": rng.uniform(0.1, 1, (EXAMPLES, M))}
    return env


ATOMS: list[Sum] = [
    W, V, A, *map(column, SIGNALS), *map(diagonal, SIGNALS), column(ones(N)), diagonal(ones(M)),
    scalar("m"), scalar("c", random=False), scalar("p", positive=True),
]  # fmt: skip
ATOMS += [transpose(a) for a in ATOMS]
COEFFICIENTS = st.builds(
    coefficient,
    st.fractions(-3, 3, max_denominator=6),
    st.dictionaries(st.sampled_from(["eta", "gamma"]), st.integers(-2, 2), max_size=2),
)


@st.composite
def words(draw: st.DrawFn, rows: int | None = None, cols: int | None = None, longest: int = 5) -> Sum:
    """A product of atoms with fitting axes, from `rows` and to `cols` if these are given."""
    axis = draw(st.sampled_from([UNIT, N, M])) if rows is None else rows
    product = identity(axis)
    for _ in range(draw(st.integers(0 if cols in (None, axis) else 1, longest))):
        product = product @ draw(st.sampled_from([a for a in ATOMS if a.rows == product.cols]))
    if cols is not None and product.cols != cols:
        product = product @ draw(st.sampled_from([a for a in CONNECTING if (a.rows, a.cols) == (product.cols, cols)]))
    return product


CONNECTING = [a @ b for a in ATOMS for b in ATOMS if a.cols == b.rows] + ATOMS


@st.composite
def sums(draw: st.DrawFn, rows: int | None = None, cols: int | None = None) -> Sum:
    first = draw(words(rows, cols))
    result = zero(first.rows, first.cols)
    parts = [first, *(draw(words(first.rows, first.cols)) for _ in range(draw(st.integers(0, 2))))]
    for part in parts:
        term = scaled(part, draw(COEFFICIENTS))
        if draw(st.booleans()):
            term = scaled(term, by=draw(words(UNIT, UNIT, longest=3)))
        result = result + (expect(term) if draw(st.integers(0, 3)) == 0 else term)
    return result


def value(a: Sum, env: dict[str, Any]) -> Any:
    """[examples, rows, cols], with 1 for UNIT: what is the same for all examples repeated."""
    found = instantiate(a, env)
    if not depends_on_example(a):
        found = np.broadcast_to(found, (EXAMPLES, *np.shape(found)))
    return found.reshape(EXAMPLES, a.rows or 1, a.cols or 1)


def close(found: Any, expected: Any) -> None:
    scale = 1 + np.abs(expected).max(initial=0)
    np.testing.assert_allclose(found / scale, expected / scale, rtol=0, atol=1e-10)


# ---------------------------------------------------------------- operations are those of matrices


@settings(max_examples=150, deadline=None)
@given(data=st.data(), seed=st.integers(0, 20))
def test_operations(data: st.DataObject, seed: int) -> None:
    env = numbers(seed)
    a = data.draw(sums())
    b = data.draw(sums(a.rows, a.cols))
    c = data.draw(sums(a.cols))
    close(value(a + b, env), value(a, env) + value(b, env))
    close(value(a - b, env), value(a, env) - value(b, env))
    close(value(a @ c, env), value(a, env) @ value(c, env))
    close(value(a.T, env), np.swapaxes(value(a, env), 1, 2))
    mean = value(a, env).mean(axis=0)
    close(value(expect(a), env), np.broadcast_to(mean, value(a, env).shape))
    assert not depends_on_example(expect(a))


@settings(max_examples=100, deadline=None)
@given(a=sums(), by=sums(UNIT, UNIT), factor=COEFFICIENTS, seed=st.integers(0, 20))
def test_scaling(a: Sum, by: Sum, factor: Coefficient, seed: int) -> None:
    env = numbers(seed)
    plain = float(factor.number) * np.prod([env[n] ** p for n, p in factor.params])
    close(value(scaled(a, factor, by), env), plain * value(by, env) * value(a, env))


@settings(max_examples=150, deadline=None)
@given(data=st.data(), seed=st.integers(0, 20))
def test_laws(data: st.DataObject, seed: int) -> None:
    """Equal matrices are equal objects, where the laws of matrices say that they are equal."""
    a = data.draw(sums())
    b = data.draw(sums(a.rows, a.cols))
    c = data.draw(sums(a.cols))
    d = data.draw(sums(c.cols))
    assert a + b == b + a
    assert (a + b) - b == a
    assert (a - a).is_zero
    assert (a @ c) @ d == a @ (c @ d)
    assert (a + b) @ c == a @ c + b @ c
    assert (a @ c).T == c.T @ a.T
    assert a == a.T.T
    assert expect(expect(a)) == expect(a)
    assert expect(a + b) == expect(a) + expect(b)
    assert expect(a.T) == expect(a).T
    # as matrices: a row E[x] and diag(y) may change places, E[x]^T diag(y) = y^T diag(E[x]), and then look different
    env = numbers(seed)
    close(value(expect(expect(a) @ c), env), value(expect(a) @ expect(c), env))
    assert identity(a.rows) @ a == a == a @ identity(a.cols)
    assert times(a, c) == a @ c
    assert plus(a, b) == a + b


@settings(max_examples=300, deadline=None)
@given(data=st.data(), seed=st.integers(0, 20))
def test_different_normal_forms_are_different_matrices(data: st.DataObject, seed: int) -> None:
    """What differs as an object differs for some numbers: the normal form misses no equality of words."""
    a = data.draw(words(longest=4))
    b = data.draw(words(a.rows, a.cols, longest=4))
    assume(a != b)
    assert not all(np.allclose(value(a, numbers(s)), value(b, numbers(s))) for s in range(seed, seed + 4))


def test_diagonals_commute_with_what_they_scale() -> None:
    run = [GATE, OTHER, GAIN, OFFSET]
    seen = set()
    for order in permutations(run):
        product = column(order[-1])
        for s in order[:-1]:
            product = diagonal(s) @ product
        seen.add(product)
    assert len(seen) == 1


def test_gates() -> None:
    g, h = diagonal(GATE), column(RATE)
    assert g @ g == g
    assert g @ h == h
    assert h.T @ g == h.T
    assert g @ diagonal(GAIN) @ g == g @ diagonal(GAIN)
    assert g @ A @ g != A @ g
    assert diagonal(OTHER) @ h != h
    assert g == g.T


def test_expectation_takes_out_what_stands_still() -> None:
    drive = outer(A @ diagonal(GAIN) @ column(ERROR), W @ column(INPUT))
    inner = expect(outer(column(ERROR), column(INPUT)))
    assert expect(drive) == A @ diagonal(GAIN) @ inner @ W.T
    gated = outer(diagonal(GATE) @ A @ column(ERROR), column(INPUT))
    assert expect(gated) != diagonal(GATE) @ A @ inner
    assert expect(scaled(drive, by=scalar("c", random=False))) == scaled(expect(drive), by=scalar("c", random=False))
    assert expect(scaled(drive, by=scalar("m"))) != scaled(expect(drive), by=scalar("m"))
    assert expect(identity(N)) == identity(N)


def test_numbers_commute_and_are_their_own_transpose() -> None:
    u, v = column(ERROR), column(RATE)
    inner = u.T @ A @ v
    assert inner == v.T @ A.T @ u
    assert u @ inner == scaled(u, by=inner)
    assert (u.T @ v) @ (v.T @ A @ v) == (v.T @ A.T @ v) @ (v.T @ u)


def test_axes_are_checked() -> None:
    for wrong in (lambda: W @ A, lambda: W + A, lambda: scaled(W, by=A), lambda: substitute(W, {"W": V})):
        with pytest.raises(ValueError, match="x"):
            wrong()


def test_coefficients_are_exact() -> None:
    c = coefficient("0.1", {"eta": 1, "gamma": -1})
    assert c * c.inverse() == Coefficient()
    assert (c * c).number == Fraction(1, 100)
    tenth = scaled(A, "0.1")
    assert tenth + tenth + tenth == scaled(A, "0.3")
    assert (scaled(A, c) - scaled(A, c)).is_zero
    assert scaled(A, 0) == zero(N, N)


# ---------------------------------------------------------------- replacing and comparing


@settings(max_examples=150, deadline=None)
@given(data=st.data(), seed=st.integers(0, 20))
def test_substitution(data: st.DataObject, seed: int) -> None:
    """Replacing letters is evaluating with the values of what replaces them."""
    env = numbers(seed)
    a = data.draw(sums())
    new_v = scaled(transpose(W), coefficient("1/2", {"eta": 1})) + V @ diagonal(GAIN)
    new_e = diagonal(GATE) @ W @ column(INPUT)
    replaced = substitute(a, {"V": new_v}, {Named("e"): new_e})
    # A diagonal of its own keeps its signal; then the two environments differ in it.
    assume("e" not in names(replaced))
    close(value(replaced, env), value(a, env | {"V": instantiate(new_v, env), "e": instantiate(new_e, env)}))


def test_substitution_in_a_product_of_units() -> None:
    both = diagonal(ERROR) @ column(RATE)
    assert substitute(both, columns={Named("e"): W @ column(INPUT)}) == diagonal(RATE) @ W @ column(INPUT)
    assert substitute(both, columns={Named("h"): W @ column(INPUT)}) == diagonal(ERROR) @ W @ column(INPUT)


@settings(max_examples=100, deadline=None)
@given(a=sums(), factor=COEFFICIENTS)
def test_ratio(a: Sum, factor: Coefficient) -> None:
    assume(not a.is_zero and factor.number != 0)
    assert ratio(scaled(a, factor), a) == factor
    assert ratio(a, zero(a.rows, a.cols)) is None


def test_no_ratio() -> None:
    assert ratio(A, A.T) is None
    assert ratio(A + A.T, scaled(A, 2) + scaled(A.T, 3)) is None
    assert ratio(zero(N, N), A) is None


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_stripping(data: st.DataObject) -> None:
    a = data.draw(sums(N))
    b = data.draw(sums(M, a.cols))
    left, right, tail = strip_suffix(a, b)
    assert left @ tail == a
    assert right @ tail == b
    common = data.draw(words(a.cols))
    left, right, head = strip_prefix((a @ common).T, (b @ common).T)
    assert head @ left == (a @ common).T
    assert head @ right == (b @ common).T


def test_stripping_is_as_long_as_it_can_be() -> None:
    delta = diagonal(GATE) @ A.T @ column(ERROR)
    credit = A @ diagonal(GAIN) @ delta
    assert strip_suffix(credit, delta) == (A @ diagonal(GAIN), identity(N), delta)
    u, v = diagonal(OTHER) @ column(ERROR), diagonal(GATE) @ diagonal(OTHER) @ column(ERROR)
    assert strip_suffix(u, v) == (identity(N), diagonal(GATE), u)
    assert strip_suffix(u, diagonal(GATE) @ column(ERROR))[2] == column(ERROR)
    both = W @ column(INPUT) + A @ W @ column(INPUT)
    assert strip_suffix(both, W @ column(INPUT)) == (identity(N) + A, identity(N), W @ column(INPUT))
    assert strip_prefix(A @ W, A @ W @ V)[2] == A @ W


# ---------------------------------------------------------------- positivity


def smallest(a: Sum, env: dict[str, Any]) -> float:
    found = value(a, env)
    np.testing.assert_allclose(found, np.swapaxes(found, 1, 2), atol=1e-9 * (1 + np.abs(found).max()))
    return float(np.linalg.eigvalsh(found).min() / (1 + np.abs(found).max()))


@settings(max_examples=300, deadline=None)
@given(data=st.data(), seed=st.integers(0, 20))
def test_what_is_called_positive_is(data: st.DataObject, seed: int) -> None:
    """Any sum, and palindromes of any word: where positivity is claimed, it holds."""
    z = data.draw(words())
    middle = data.draw(words(z.rows, z.rows, longest=3))
    a = data.draw(
        st.sampled_from([z.T @ z, z.T @ middle @ z, expect(z.T @ middle @ z), middle, middle @ middle.T @ z @ z.T])
    )
    a = a + data.draw(st.sampled_from([zero(a.rows, a.cols), identity(a.rows), scaled(identity(a.rows), -1)]))
    env = numbers(seed)
    if semidefinite(a):
        assert smallest(symmetric_part(a), env) > -1e-9
    if definite(a):
        assert smallest(symmetric_part(a), env) > 0
    if is_positive_diagonal(a):
        found = value(a, env)
        diagonals = np.diagonal(found, axis1=1, axis2=2)
        assert (diagonals > 0).all()
        np.testing.assert_array_equal(found, diagonals[..., None] * np.eye(found.shape[1]))


@pytest.mark.parametrize(
    "a",
    [
        identity(N), W @ W.T, V.T @ diagonal(SLOPE) @ V, A.T @ diagonal(GATE) @ A, A @ W @ W.T @ A.T, diagonal(GAIN),
        diagonal(GAIN) @ diagonal(GATE), A @ diagonal(OFFSET) @ diagonal(OFFSET) @ A.T,
        A @ expect(diagonal(GATE)) @ A.T,
        outer(column(ERROR), column(ERROR)), expect(outer(W @ column(INPUT), W @ column(INPUT))),
        W @ W.T + scaled(A @ A.T, coefficient("0.5", {"eta": 2})), scaled(W @ W.T, by=scalar("p", positive=True)),
        scaled(W @ W.T, by=scalar("m") @ scalar("m")), scaled(W @ W.T, by=column(INPUT).T @ V @ V.T @ column(INPUT)),
    ],
)  # fmt: skip
def test_seen_to_be_positive(a: Sum) -> None:
    assert semidefinite(a)
    assert smallest(a, numbers(3)) > -1e-9


@pytest.mark.parametrize(
    "a",
    [
        A, A + A.T, A @ A, W @ V, diagonal(OFFSET), A.T @ diagonal(ERROR) @ A, scaled(identity(N), -1),
        A @ A.T - W @ W.T, A @ A.T @ W @ W.T, W @ W.T @ diagonal(GAIN), diagonal(GATE) @ A @ A.T,
        scaled(W @ W.T, by=scalar("m")), scaled(W @ W.T, by=column(INPUT).T @ V @ column(ERROR)),
        outer(column(ERROR), column(RATE)), A @ expect(diagonal(ERROR)) @ A.T,
        expect(diagonal(GATE) @ A @ diagonal(OTHER)),
    ],
)  # fmt: skip
def test_not_seen_to_be_positive(a: Sum) -> None:
    assert not semidefinite(a)


def test_a_product_of_positive_words_is_never_called_positive() -> None:
    """Two positive semidefinite words that share no ends: their product is indefinite in general."""
    positive = [A @ A.T, A.T @ A, W @ W.T, V.T @ V, A @ diagonal(GAIN) @ A.T, W @ diagonal(SLOPE) @ W.T]
    for a in positive:
        for b in positive:
            product = a @ b
            if product != product.T:
                assert not semidefinite(product)


def test_definite() -> None:
    assert definite(identity(N) + W @ W.T)
    assert definite(diagonal(GAIN))
    assert not definite(W @ W.T)
    assert not definite(diagonal(GATE))
    assert is_positive_diagonal(diagonal(GAIN) + identity(N))
    assert not is_positive_diagonal(diagonal(GATE))
    assert not is_positive_diagonal(identity(N) - diagonal(GAIN))
    assert not is_positive_diagonal(zero(N, N))


# ---------------------------------------------------------------- the two known circuits


def test_kolen_pollack() -> None:
    """With V = c Wᵀ the credit is c times the gradient signal."""
    back, credit = W @ column(INPUT), diagonal(GATE) @ V.T @ column(INPUT)
    delta = diagonal(GATE) @ back
    at_rest = substitute(credit, {"V": scaled(transpose(W), coefficient(1, {"gamma": 1}))})
    assert ratio(at_rest, delta) == coefficient(1, {"gamma": 1})


def test_four_synapses() -> None:
    """d = F delta and B = Fᵀ: the credit is Fᵀ F delta."""
    delta = named(name="delta", size=N)
    f, b, d = matrix("F", N, N), matrix("B", N, N), named(name="d", size=N)
    credit = substitute(b @ column(d), {"B": f.T}, {Named("d"): f @ column(delta)})
    left, right, tail = strip_suffix(credit, column(delta))
    assert (left, right, tail) == (f.T @ f, identity(N), column(delta))
    assert semidefinite(left)
    assert not definite(left)


# ---------------------------------------------------------------- as people write it

BASAL = signal(Made("step", diagonal(named("h.basal", 4))), 4, Nature.GATE)
ERR, X, H = named(name="err", size=3), named(name="x", size=2), named(name="h", size=4)
V2, W2, F = matrix("V2", 4, 3), matrix("W2", 3, 4), matrix("F", 4, 4)
CREDIT = diagonal(BASAL) @ V2 @ column(ERR)

WRITTEN: list[tuple[Sum, str, str]] = [
    (outer(CREDIT, column(X)), "(V2 err) ∘ 1[h.basal > 0] ⊗ x",
     r"\left(V_{2}\,\text{err}\right) \circ \mathbf{1}\left[\text{h.basal }>\text{ 0}\right] \otimes x"),
    (scaled(outer(column(ERR), column(H)), coefficient("0.1", {"eta": 1}))
     - scaled(W2, coefficient(1, {"eta": 1, "gamma": 1})),
     "0.1η · err ⊗ h − ηγ · W2", r"0.1\,\eta\,\text{err} \otimes h - \eta\,\gamma\,W_{2}"),
    (W2.T @ column(ERR), "W2ᵀ err", r"W_{2}^{\top}\,\text{err}"),
    (F @ CREDIT, "F ((V2 err) ∘ 1[h.basal > 0])",
     r"F\,\left(\left(V_{2}\,\text{err}\right) \circ \mathbf{1}\left[\text{h.basal }>\text{ 0}\right]\right)"),
    (CREDIT.T, "((V2 err) ∘ 1[h.basal > 0])ᵀ",
     r"\left(\left(V_{2}\,\text{err}\right) \circ \mathbf{1}\left[\text{h.basal }>\text{ 0}\right]\right)^{\top}"),
    (F.T @ F, "Fᵀ F", r"F^{\top}\,F"),
    (scaled(identity(4), coefficient(1, {"gamma": -2})) + F, "γ⁻² · I + F", r"\gamma^{-2}\,I + F"),
    (scaled(identity(UNIT), "-1/3"), "−1/3", r"-\tfrac{1}{3}"),
    (expect(outer(CREDIT, column(X))), "E[(V2 err) ∘ 1[h.basal > 0] ⊗ x]",
     r"\mathbb{E}\left[\left(V_{2}\,\text{err}\right) \circ \mathbf{1}\left[\text{h.basal }>\text{ 0}\right] \otimes x\right]"),  # noqa: E501
    (expect(diagonal(BASAL)) @ V2, "E[diag(1[h.basal > 0])] V2",
     r"\mathbb{E}\left[\operatorname{diag}\left(\mathbf{1}\left[\text{h.basal }>\text{ 0}\right]\right)\right]\,V_{2}"),
    (column(H) @ (column(ERR).T @ W2 @ column(H)), "(errᵀ W2 h) · h", r"\left(\text{err}^{\top}\,W_{2}\,h\right)\,h"),
    (matrix("L[1].W_a", 2, 2), "L[1].W_a", r"\text{L[1].W\_a}"),
    (zero(2, 2), "0", "0"),
]  # fmt: skip


@pytest.mark.parametrize(("a", "plain", "tex"), WRITTEN)
def test_notation(a: Sum, plain: str, tex: str) -> None:
    assert text(a) == plain
    assert latex(a) == tex


@settings(max_examples=150, deadline=None)
@given(data=st.data(), write=st.sampled_from([text, latex]))
def test_words_are_written_differently(data: st.DataObject, write: Callable[[Sum], str]) -> None:
    """No two different sums of the same axes look alike, and brackets are closed."""
    a = data.draw(sums())
    b = data.draw(sums(a.rows, a.cols))
    shown = write(a)
    for left, right in ("()", "[]", "{}"):
        assert shown.count(left) == shown.count(right)
    assert (write(b) == shown) == (a == b)


ROUND = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.3, 0.5, 1.0, 2.0])


@settings(max_examples=300, deadline=None)
@given(level=ROUND, slope=ROUND, bends=st.lists(st.tuples(ROUND, ROUND), min_size=1, max_size=4))
def test_where_a_bent_line_is_above_zero(level: float, slope: float, bends: list[tuple[float, float]]) -> None:
    """As often as it changes below a place, so it is there."""
    opened, changes = Bent(level=level, slope=slope, bends=bends).changes()
    assert changes == sorted(changes)
    for x in np.random.default_rng(0).uniform(-9, 9, 100):
        value = level + slope * x + sum(by * max(x - at, 0.0) for at, by in bends)
        above = opened != (sum(place < x for place in changes) % 2 == 1)
        assert above == (value > 1e-9)
