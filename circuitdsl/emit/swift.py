"""Functions that stand in for a library's (lower/swift.py), so that loops over lanes become vector instructions."""

from __future__ import annotations

from circuitdsl.lower.loop_ir import Program

#: tanh in float32 within 4e-7, never above 1: the quotient of polynomials that Eigen and XLA use (a minimax fit on
#: +-7.9, where it is 1 in float32). NaN stays NaN.
SWIFT_TANH = """

@kernel
def swift_tanh(x):
    x = real(7.905311) if x > real(7.905311) else (real(-7.905311) if x < real(-7.905311) else x)
    x2 = x * x
    p = x2 * real(-2.76076847742355e-16) + real(2.00018790482477e-13)
    p = x2 * p + real(-8.60467152213735e-11)
    p = x2 * p + real(5.12229709037114e-08)
    p = x2 * p + real(1.48572235717979e-05)
    p = x2 * p + real(6.37261928875436e-04)
    p = x2 * p + real(4.89352455891786e-03)
    q = x2 * real(1.19825839466702e-06) + real(1.18534705686654e-04)
    q = x2 * q + real(2.26843463243900e-03)
    q = x2 * q + real(4.89352518554385e-03)
    return x * p / q
""".rstrip()


def quick_forms(program: Program) -> list[str]:
    """The functions that stand in for others (lower/swift.py)."""
    return SWIFT_TANH.split("\n") if "swift_tanh" in dict(program.stand_ins) else []
