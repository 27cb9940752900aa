"""Functions that stand in for a library's (lower/swift.py), so that loops over them become vector instructions.

e^x is 2^n e^r, with n the whole number nearest to x / log 2 and r at most log(2) / 2 from 0, where the first terms of
the series give e^r - 1 to the last bit. n is read off the last bits of a number to which so much was added that nothing
behind the point is left; 2^n is made in two halves, of their bits, so that what is large overflows and what is small
underflows as it should. NaN stays NaN. All is within 3 units of the last place (tests/test_swift.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, localcontext
from math import factorial

from circuitdsl.emit.target import DType
from circuitdsl.frozen import frozen
from circuitdsl.lower.loop_ir import Program


@frozen
class _Format:
    """Numbers of `digits` bits behind the first, and of exponents that are counted from `bias`, held by whole numbers
    `word`. The series is taken up to r^`terms`; so many bits of log 2 as `whole` leave n log 2 exact; e^x is 0 below
    `low` and infinite from `high`."""

    word: str
    digits: int
    bias: int
    terms: int
    whole: int
    low: int
    high: int


_FORMATS: dict[DType, _Format] = {
    "float32": _Format(word="int32", digits=23, bias=127, terms=7, whole=9, low=-104, high=89),
    "float64": _Format(word="int64", digits=52, bias=1023, terms=13, whole=32, low=-746, high=710),
}


def quick_forms(program: Program, dtype: DType, options: str = "") -> list[str]:
    """The functions that stand in for others, compiled with these options besides."""
    names = {name for name, _ in program.stand_ins}
    return list(_lines(names, _FORMATS[dtype], options)) if names else []


def _lines(names: set[str], f: _Format, options: str) -> Iterator[str]:
    yield from ("", "", "# No sum is reordered in these.")
    yield from ("exact = njit(", '    error_model="numpy", fastmath={"contract"},', f"    {options},", ")")
    if "swift_exp" in names:
        yield from ("", "", "@exact", "def swift_exp(x):", *_grown(f, "x"))
        yield "    return x if x != x else (q + real(1)) * first * second"
    if "swift_expm1" in names:
        yield from ("", "", "@exact", "def swift_expm1(x):", *_grown(f, "x"))
        yield "    power = first * second"
        yield "    less = (q + real(1)) * first * second - real(1) if x > real(1) else q * power + (power - real(1))"
        yield "    return x if x != x else less"
    if "swift_tanh" in names:
        yield from ("", "", "@exact", "def swift_tanh(x):")
        yield "    size = x if x > real(0) else -x"
        yield "    size = real(2) * (size if size < real(20) else real(20))"
        yield from _grown(f, "size")
        yield "    power = first * second"
        yield "    less = q * power + (power - real(1))"
        yield "    size = less / (less + real(2))"
        yield "    return x if x != x else (size if x > real(0) else -size)"


def _grown(f: _Format, x: str) -> Iterator[str]:
    """e^x is (1 + q) first second."""
    with localcontext(prec=50):
        log2 = Decimal(2).ln()
        whole = Decimal(round(log2 * 2**f.whole)) / 2**f.whole
        rest, inverse = log2 - whole, 1 / log2
    shift = 3 * 2 ** (f.digits - 1)
    bits = ((f.bias + f.digits) << f.digits) + 2 ** (f.digits - 1)
    yield f"    y = {x} if {x} > real({f.low}) else real({f.low})"
    yield f"    y = y if y < real({f.high}) else real({f.high})"
    yield f"    t = y * real({float(inverse)!r}) + real({shift})"
    yield f"    n = t - real({shift})"
    yield f"    r = y - n * real({float(whole)!r}) - n * real({float(rest)!r})"
    yield f"    q = real({1 / factorial(f.terms)!r})"
    for k in range(f.terms - 1, 0, -1):
        yield f"    q = q * r + real({1 / factorial(k)!r})"
    yield "    q = q * r"
    yield f"    twice = np.{f.word}(np.{_real(f)}(t).view(np.{f.word}) - np.{f.word}({bits - 2 * f.bias}))"
    yield f"    half = np.{f.word}(twice >> np.{f.word}(1))"
    yield f"    first = np.{f.word}(half << np.{f.word}({f.digits})).view(np.{_real(f)})"
    yield f"    second = np.{f.word}(np.{f.word}(twice - half) << np.{f.word}({f.digits})).view(np.{_real(f)})"


def _real(f: _Format) -> str:
    return f.word.replace("int", "float")
