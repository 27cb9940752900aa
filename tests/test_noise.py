"""Random numbers: those of Philox, truly normal, and the same bits however they are computed."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitdsl import noise

WORD = st.integers(0, 2**32 - 1)
KEY = st.tuples(WORD, st.integers(0, 2**63 - 1), WORD, WORD, WORD, WORD)


def grid(function, dtype: str, rows: int, columns: int, *, seed: int = 0, occurrence: int = 0) -> np.ndarray:
    return function(seed, occurrence, 0, np.arange(rows)[:, None], 0, np.arange(columns)[None], dtype)


def distance(sample: np.ndarray, cdf) -> float:
    """The Kolmogorov-Smirnov statistic times the square root of the sample size (1.63 is 1 %)."""
    x = np.sort(sample.ravel())
    ideal = np.array([cdf(v) for v in x])
    steps = np.arange(len(x) + 1) / len(x)
    return float(max((steps[1:] - ideal).max(), (ideal - steps[:-1]).max()) * math.sqrt(len(x)))


def normal_cdf(x: float) -> float:
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


# ---------------------------------------------------------------- the generator


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D)),
        ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB),
        ),
    ],
)
def test_philox_gives_the_published_vectors(counter, key, words) -> None:
    """Known answers of philox4x32-10 from the authors' Random123 distribution."""
    assert noise.philox(*counter, *key) == words


@given(WORD)
def test_logarithm_and_cosine_are_accurate(word: int) -> None:
    assert noise.minus_log31(word) / 2**31 == pytest.approx(-math.log((word + 1) / 2**32), abs=2**-29)
    half = word >> 1
    assert noise.cosine30(half) / 2**30 == pytest.approx(math.cos(math.pi * (half + 0.5) / 2**32), abs=2**-27)


@given(st.integers(0, 2**38 - 1))
def test_square_root_is_accurate(x: int) -> None:
    assert noise.sqrt27(x) / 2**27 == pytest.approx(math.sqrt(x / 2**30), abs=2**-24)


@given(KEY)
def test_normal_is_box_and_muller_of_the_two_words(key) -> None:
    seed, occurrence, epoch, index, tick, unit = key
    a, b = noise.philox(unit, tick, index, epoch, seed ^ occurrence >> 32, occurrence & 0xFFFFFFFF)
    radius = math.sqrt(-2 * math.log((a + 1) / 2**32))
    angle = math.cos(math.pi * ((b & 0x7FFFFFFF) + 0.5) / 2**32)
    expected = radius * angle * (-1 if b >> 31 else 1)
    assert noise.normal28(*key) / 2**28 == pytest.approx(expected, abs=1e-6)


# ---------------------------------------------------------------- distributions


def test_uniform_numbers_are_uniform() -> None:
    sample = grid(noise.rand, "float32", 300, 300)
    assert 0 <= sample.min() < 1e-4
    assert 1 - 1e-4 < sample.max() < 1
    assert distance(sample, lambda v: v) < 1.63
    assert sample.mean() == pytest.approx(0.5, abs=4 * math.sqrt(1 / 12 / sample.size))


def test_normal_numbers_are_normal() -> None:
    sample = grid(noise.randn, "float64", 400, 400)
    n = sample.size
    assert distance(sample, normal_cdf) < 1.63
    assert sample.mean() == pytest.approx(0, abs=4 / math.sqrt(n))
    assert sample.var() == pytest.approx(1, abs=4 * math.sqrt(2 / n))
    assert (sample**3).mean() == pytest.approx(0, abs=4 * math.sqrt(15 / n))
    assert (sample**4).mean() == pytest.approx(3, abs=4 * math.sqrt(96 / n))
    beyond = (np.abs(sample) > 3).mean()
    assert beyond == pytest.approx(2 * normal_cdf(-3), abs=4 * math.sqrt(0.0027 / n))


@pytest.mark.parametrize("axis", range(6))
def test_neighbours_along_every_part_of_the_key_are_independent(axis: int) -> None:
    """seed, occurrence, epoch, index, tick, unit: the next number knows nothing of the last."""
    n = 20_000
    bases = np.random.default_rng(axis).integers(0, 1000, (6, n))
    step = np.zeros((6, 1), dtype=np.int64)
    step[axis] = 1
    here = np.array([noise.normal28(*k) for k in bases.T.tolist()])
    there = np.array([noise.normal28(*k) for k in (bases + step).T.tolist()])
    assert abs(np.corrcoef(here, there)[0, 1]) < 4 / math.sqrt(n)
    assert abs(np.corrcoef(np.abs(here), np.abs(there))[0, 1]) < 4 / math.sqrt(n)


def test_different_keys_give_different_numbers() -> None:
    """No part of the key is lost, nor mixed up with another."""
    keys = {tuple(int(i == j) for j in range(6)) for i in range(6)} | {(0,) * 6, (1,) * 6}
    assert len({noise.uniform53(*key) for key in keys}) == len(keys)


# ---------------------------------------------------------------- the same bits


@given(KEY)
def test_arrays_and_scalars_agree(key) -> None:
    seed, occurrence, epoch, index, tick, unit = key
    where = (seed, occurrence, epoch, np.array([[index]]), tick, np.array([[unit]]))
    assert noise.rand(*where, "float32")[0, 0] == noise.uniform24(*key) / 2**24
    assert noise.rand(*where, "float64")[0, 0] == noise.uniform53(*key) / 2**53
    z = noise.normal28(*key) / 2**28
    assert noise.randn(*where, "float32")[0, 0] == np.float32(z)
    assert noise.randn(*where, "float64")[0, 0] == z


@given(KEY)
def test_numpy_scalars_agree_without_overflow(key) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert noise.normal28(*(np.int64(k) for k in key)) == noise.normal28(*key)


def test_both_precisions_see_the_same_noise() -> None:
    single, double = (grid(noise.rand, d, 50, 50) for d in ("float32", "float64"))
    assert np.all((double - single >= 0) & (double - single < 2.0**-24))
    single, double = (grid(noise.randn, d, 50, 50) for d in ("float32", "float64"))
    assert np.array_equal(double.astype(np.float32), single)


@pytest.mark.parametrize("flags", ["", "fastmath=True", "fastmath=True, inline='always'"])
def test_the_compiled_text_gives_the_same_bits(flags: str) -> None:
    """The very text, under numba, also where rounding may be relaxed."""
    text = "from numba import njit\nimport numpy as np\n" + noise.scalar_source(f"@njit({flags})")
    text += f"""
@njit({flags})
def fill(seed, occurrence, epoch, index, tick, uniform, normal):
    for unit in range(uniform.size):
        uniform[unit] = np.float32(uniform24(seed, occurrence, epoch, index, tick, unit)) * np.float32(2.0**-24)
        normal[unit] = np.float32(normal28(seed, occurrence, epoch, index, tick, unit)) * np.float32(2.0**-28)
"""
    names: dict = {}
    exec(text, names)
    for key in [(0, 0, 0, 0, 0), (2**32 - 1, 7, 3, 10**6, 99), (5, noise.occurrence("h", 1), 3, 10**6, 99)]:
        uniform, normal = np.empty(20_000, np.float32), np.empty(20_000, np.float32)
        names["fill"](*key, uniform, normal)
        seed, occurrence, epoch, index, tick = key
        where = (seed, occurrence, epoch, np.array([[index]]), tick, np.arange(20_000)[None])
        assert np.array_equal(uniform, noise.rand(*where, "float32")[0])
        assert np.array_equal(normal, noise.randn(*where, "float32")[0])


def test_the_numbers_of_this_version_are_those_of_the_last() -> None:
    """A change here changes every published noisy run: it needs a reason."""
    where = (1, 2, 3, np.array([[4]]), 5, np.arange(3)[None])
    assert noise.rand(*where, "float64")[0].tolist() == RAND
    assert noise.randn(*where, "float64")[0].tolist() == RANDN


RAND = [0.025790472836051292, 0.16724137724313726, 0.5936344987125767]
RANDN = [1.0018568225204945, -1.1246846057474613, -0.72695691883564]


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5])
def test_a_seed_is_a_32_bit_number(seed) -> None:
    with pytest.raises(ValueError, match="a seed is a whole number from 0 to 4294967295"):
        noise.check_seed(seed)
