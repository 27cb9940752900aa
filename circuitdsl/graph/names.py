"""The order of names."""

from __future__ import annotations

import re


def natural(name: str) -> tuple[tuple[str, int], ...]:
    """A key by which `L[9]` comes before `L[10]`."""
    return tuple((word, int(number or -1)) for word, number in re.findall(r"(\D*)(\d*)", name))
