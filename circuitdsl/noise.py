"""Random numbers as a function of where they are used: the same bits on every back end.

A number is keyed by (seed, occurrence, epoch, index, tick, unit). Epoch, index, tick and unit are words of
32 bits, which are exactly the counter of Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random
numbers: as easy as 1, 2, 3"): for one key it is a bijection of the counter, so no two uses share a block, and
nothing is carried from one number to the next. The occurrence says which written `randn()` it is: it is made of
the name of the equation that draws (`occurrence`), never of a place in the text, so that nothing that is
written elsewhere moves a draw. Its low word is one of the key's two; its high word meets the seed in the other,
so that under one seed two draws have one stream only if all 63 bits agree.

Everything up to the last conversion is integer arithmetic in which every intermediate value fits in a
signed 64-bit word, and without a branch. So one text serves plain Python ints, NumPy int64 arrays, Numba
and CUDA; neither fused multiply-add nor fastmath nor the order of vector lanes can change a bit, and a
float32 program stays free of float64. The three functions that an equation needs give an integer and say
by what power of two to scale it; that conversion rounds once (`uniform24`, `uniform53`) or is exact.

`scalar_source()` is the text of these functions for an emitter; `rand` and `randn` are the arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]
    Words = NDArray[np.int64]

#: `uniform24`, `uniform53` and `normal28` times these are the random numbers.
SCALE_UNIFORM24 = 2.0**-24
SCALE_UNIFORM53 = 2.0**-53
SCALE_NORMAL = 2.0**-28

#: Seeds are one word.
SEEDS = 1 << 32


def occurrence(equation: str, draw: int) -> int:
    """The occurrence of a random number: which one it is (0, 1, ...) of those that an equation draws. `equation` is
    its elaborated name; 63 bits of BLAKE2, so that two among a million draws agree with a chance of 10^-7."""
    from hashlib import blake2b

    digest = blake2b(f"{equation} {draw}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def check_seed(seed: int) -> int:
    """The seed itself. Raises ValueError unless it is an integer that fits in 32 bits."""
    if not 0 <= seed < SEEDS or int(seed) != seed:
        raise ValueError(f"a seed is a whole number from 0 to {SEEDS - 1}, not {seed}")
    return int(seed)


# The scalar functions. Arguments are ints (Numba: int64) of which the low 32 bits count (63 of an occurrence), or
# int64 arrays; those of the three in the middle are below 2**32, 2**38 and 2**31.


def philox(c0: int, c1: int, c2: int, c3: int, k0: int, k1: int) -> tuple[int, int]:
    """The first two words of Philox4x32-10 of a counter of four words under a key of two.

    The 64-bit products are taken in halves, so that they never leave 63 bits."""
    low = 0xFFFFFFFF
    c0, c1, c2, c3, k0, k1 = c0 & low, c1 & low, c2 & low, c3 & low, k0 & low, k1 & low
    for _ in range(10):
        t0 = c0 * 0x1F53  # 0xD2511F53 = 0xD251 << 16 | 0x1F53
        h0 = c0 * 0xD251 + (t0 >> 16)
        t1 = c2 * 0x8D57  # 0xCD9E8D57
        h1 = c2 * 0xCD9E + (t1 >> 16)
        c0 = (h1 >> 16) ^ c1 ^ k0
        c2 = (h0 >> 16) ^ c3 ^ k1
        c1 = ((h1 & 0xFFFF) << 16) | (t1 & 0xFFFF)
        c3 = ((h0 & 0xFFFF) << 16) | (t0 & 0xFFFF)
        k0 = (k0 + 0x9E3779B9) & low
        k1 = (k1 + 0xBB67AE85) & low
    return c0, c1


def minus_log31(word: int) -> int:
    """-log((word + 1) / 2^32) in units of 2^-31, at least 0; error below 2^-29.

    A power of two times m in [1, 2), whose logarithm is a polynomial around 1.5."""
    m = word + 1
    shift = (m < 1 << 17) * 16
    m = m << shift
    s = (m < 1 << 25) * 8
    m, shift = m << s, shift + s
    s = (m < 1 << 29) * 4
    m, shift = m << s, shift + s
    s = (m < 1 << 31) * 2
    m, shift = m << s, shift + s
    s = (m < 1 << 32) * 1
    m, shift = m << s, shift + s
    s = (m < 1 << 32) * 1
    m, shift = m << s, shift + s
    t = m - (3 << 31)
    p = ((3028149 * t) >> 32) - 4974474
    p = ((p * t) >> 32) + 5976723
    p = ((p * t) >> 32) - 10101132
    p = ((p * t) >> 32) + 17985969
    p = ((p * t) >> 32) - 31471461
    p = ((p * t) >> 32) + 56557418
    p = ((p * t) >> 32) - 106045623
    p = ((p * t) >> 32) + 212097190
    p = ((p * t) >> 32) - 477218652
    p = ((p * t) >> 32) + 1431655765
    p = ((p * t) >> 32) + 870729690
    result = shift * 1488522236 - p
    return result * (result > 0)


def sqrt27(x: int) -> int:
    """The square root of x * 2^-30, 0 <= x < 2^38, in units of 2^-27; error below 2^-24.

    A power of four times v in [1, 4), whose reciprocal square root comes by Newton's iteration."""
    shift = (x < 1 << 6) * 32
    x = x << shift
    s = (x < 1 << 22) * 16
    x, shift = x << s, shift + s
    s = (x < 1 << 30) * 8
    x, shift = x << s, shift + s
    s = (x < 1 << 34) * 4
    x, shift = x << s, shift + s
    s = (x < 1 << 36) * 2
    x, shift = x << s, shift + s
    v = x >> 6
    y = 1433765267 + ((v * (((54972120 * v) >> 30) - 440876804)) >> 30)
    y = (y * ((3 << 30) - ((v * ((y * y) >> 30)) >> 30))) >> 31
    y = (y * ((3 << 30) - ((v * ((y * y) >> 30)) >> 30))) >> 31
    y = (y * ((3 << 30) - ((v * ((y * y) >> 30)) >> 30))) >> 31
    return ((v * y) >> 30) >> (shift >> 1)


def cosine30(word: int) -> int:
    """cos(pi / 2 * x) in units of 2^-30 for x = (word + 1/2) / 2^31 in [0, 1); error below 2^-28."""
    x = 2 * word + 1
    t = (x * (x >> 1)) >> 33
    p = ((-25581 * t) >> 30) + 985397
    p = ((p * t) >> 30) - 22401139
    p = ((p * t) >> 30) + 272375361
    p = ((p * t) >> 30) - 1324675862
    p = ((p * t) >> 30) + 1073741824
    return p * (p > 0)


def uniform24(seed: int, occurrence: int, epoch: int, index: int, tick: int, unit: int) -> int:
    """A uniform number in [0, 1) for float32, in units of 2^-24."""
    a, _ = philox(unit, tick, index, epoch, seed ^ (occurrence >> 32), occurrence)
    return a >> 8


def uniform53(seed: int, occurrence: int, epoch: int, index: int, tick: int, unit: int) -> int:
    """A uniform number in [0, 1) for float64, in units of 2^-53; its first 24 bits are `uniform24`."""
    a, b = philox(unit, tick, index, epoch, seed ^ (occurrence >> 32), occurrence)
    return (a << 21) | (b >> 11)


def normal28(seed: int, occurrence: int, epoch: int, index: int, tick: int, unit: int) -> int:
    """A standard normal number in units of 2^-28 (of either precision), |z| < 6.7, by Box and Muller 1958.

    The radius takes one word; the second gives the sign and an angle in a quarter of the circle."""
    a, b = philox(unit, tick, index, epoch, seed ^ (occurrence >> 32), occurrence)
    size = (sqrt27(minus_log31(a)) * cosine30(b & 0x7FFFFFFF)) >> 29
    return size * (1 - 2 * (b >> 31))


#: In the order in which they call each other.
SCALAR_FUNCTIONS = (philox, minus_log31, sqrt27, cosine30, uniform24, uniform53, normal28)


def scalar_source(decorator: str = "") -> str:
    """The text of the scalar functions, each under the line `decorator` (say `@njit`)."""
    from inspect import getsource

    head = f"{decorator}\n" if decorator else ""
    return "\n\n".join(head + getsource(function) for function in SCALAR_FUNCTIONS)


# ---------------------------------------------------------------- arrays


def rand(
    seed: int,
    occurrence: int,
    epoch: int,
    indices: Words,
    tick: int,
    units: Words,
    dtype: Literal["float32", "float64"],
) -> Array:
    """Uniform numbers in [0, 1): one for each data-set index and unit, which broadcast together."""
    import numpy as np

    if dtype == "float32":
        bits = cast("Words", uniform24(seed, occurrence, epoch, cast(Any, indices), tick, cast(Any, units)))
        return bits.astype(np.float32) * np.float32(SCALE_UNIFORM24)
    bits = cast("Words", uniform53(seed, occurrence, epoch, cast(Any, indices), tick, cast(Any, units)))
    return bits.astype(np.float64) * SCALE_UNIFORM53


def randn(
    seed: int,
    occurrence: int,
    epoch: int,
    indices: Words,
    tick: int,
    units: Words,
    dtype: Literal["float32", "float64"],
) -> Array:
    """Standard normal numbers, shaped as those of `rand`."""
    import numpy as np

    bits = cast("Words", normal28(seed, occurrence, epoch, cast(Any, indices), tick, cast(Any, units)))
    kind = np.dtype(dtype).type
    return cast("Array", bits.astype(kind) * kind(SCALE_NORMAL))
