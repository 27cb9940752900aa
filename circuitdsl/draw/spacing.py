"""Numbers in a row that keep their distances."""

from __future__ import annotations

from collections.abc import Sequence


def spaced(wanted: Sequence[float], weights: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """The places nearest to the wanted ones (least weighted squares) that keep order and distance: pool adjacent
    violators (Ayer et al. 1955, Annals of Mathematical Statistics 26, 641)."""
    shift = [0.0] if wanted else []
    for gap in gaps:
        shift.append(shift[-1] + gap)
    pools: list[tuple[float, float, int]] = []  # mean, weight, members
    for x, weight, off in zip(wanted, weights, shift, strict=True):
        mean, total, count = x - off, weight, 1
        while pools and pools[-1][0] > mean:
            before, heavy, several = pools.pop()
            mean = (mean * total + before * heavy) / (total + heavy)
            total, count = total + heavy, count + several
        pools.append((mean, total, count))
    flat = [mean for mean, _, count in pools for _ in range(count)]
    return [x + off for x, off in zip(flat, shift, strict=True)]
