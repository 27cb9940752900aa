"""What a study is: a claim, how it is put to the test, and what came out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field, replace
from typing import TYPE_CHECKING

from circuitdsl.explore.journal import Journal
from circuitdsl.frozen import frozen
from circuitdsl.runtime.where import Here, Where

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

#: Told how far a study is: (trials done, trials in all).
Tell = Callable[[int, int], None]


def nobody(done: int, total: int) -> None:
    """Tells nobody."""


@frozen(kw_only=True)
class Plan:
    """How large a study is to be. `quick`: seconds instead of minutes; `seeds`: the random starts of each setting;
    `where`: where its trials run, opened and closed by who made the plan; `journal`: what keeps each trial's findings
    until the study is written."""

    quick: bool
    seeds: Sequence[int]
    where: Where = field(default_factory=Here)
    tell: Tell = nobody
    journal: Journal | None = None


@frozen(kw_only=True)
class Sentence:
    """One thing that a study found. `holds`: whether what was claimed is so; None: a figure, nothing claimed."""

    text: str
    holds: bool | None = None

    @property
    def mark(self) -> str:
        return {True: "✓", False: "✗", None: "·"}[self.holds]


def judged(found: Sequence[Sentence], seeds: int) -> list[Sentence]:
    """What was found, with nothing judged if there was one seed only: that gives no interval."""
    return [replace(sentence, holds=None) for sentence in found] if seeds < 2 else list(found)


@frozen(kw_only=True)
class Study:
    """A claim and its test.

    `run` gives a data set whose attributes hold the exact circuits (trials.py); `figure` and `finding` read nothing
    but that data set, so that a saved one can be drawn and told again. `seeds`: of a full and of a quick run."""

    name: str
    claim: str
    source: str
    run: Callable[[Plan], xr.Dataset]
    figure: Callable[[xr.Dataset], Figure]
    finding: Callable[[xr.Dataset], list[Sentence]]
    seeds: tuple[int, int] = (5, 2)
