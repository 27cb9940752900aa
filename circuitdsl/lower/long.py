"""How long a phase may become.

What would be longer is left as phases that are alike, and those share their code, so that a circuit of thousands of
equal parts compiles as fast as one of a few dozen. What a compiler does for a function grows faster than the function.
"""

from __future__ import annotations

#: A program of more phases is of many equal parts.
_MANY = 100


def is_long(phases: int) -> bool:
    """Whether a program of so many phases is one of many equal parts."""
    return phases > _MANY


def statements(phases: int) -> int:
    """How many statements `fuse` puts in one phase of a program of so many."""
    return 20 if is_long(phases) else 64


def currents(count: int) -> int:
    """How many of so many currents into a population are summed in one phase."""
    return count if count <= 16 else 4
