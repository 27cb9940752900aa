"""Standing guards, a seeded small share of what `make trust` runs: programs drawn by chance, equal bits, kills."""

from __future__ import annotations

import os

import pytest
from fuzz import KINDS, examine, program
from guards import BITS, EQUAL, kills, written_otherwise

#: 2,000 programs, in pieces that workers share.
PIECE = 100
PIECES = range(20)


@pytest.mark.parametrize("piece", PIECES)
def test_programs_drawn_by_chance(piece: int) -> None:
    report = examine(range(piece * PIECE, (piece + 1) * PIECE))
    assert report.faults == []
    assert set(report.kinds) == set(KINDS)
    assert {"told what is wrong", "reference"} <= set(report.reached)


def test_equal_seeds_give_equal_programs() -> None:
    assert [program(seed) for seed in range(14)] == [program(seed) for seed in range(14)]


@pytest.mark.parametrize("what", BITS)
@pytest.mark.parametrize("seed", range(4))
def test_equal_bits(what: str, seed: int) -> None:
    assert BITS[what](seed)


@pytest.mark.parametrize("seed", range(2))
def test_motifs_written_out_and_renamed(seed: int) -> None:
    assert written_otherwise(seed) < EQUAL


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills and forks")
def test_killed_at_any_point() -> None:
    assert list(kills(2)) == []
