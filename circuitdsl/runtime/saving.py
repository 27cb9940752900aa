"""Runs of several seeds in one file, written as they come and gone on with later."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from circuitdsl.frozen import mutable
from circuitdsl.runtime.errors import UsageError

if TYPE_CHECKING:
    import xarray as xr

#: Seconds between two savings of a run that goes on.
SAVE_EVERY = 60.0


def is_table(out: Path) -> bool:
    """Whether a file of that name gets the curves alone, as a table."""
    return out.suffix.lower() == ".csv"


@mutable(kw_only=True)
class Results:
    """What there is so far, by seeds. `out`: where it is written, if anywhere; `before`: runs that are gone on with.
    `left_out`: what a table cannot hold."""

    out: Path | None
    before: Mapping[int, xr.Dataset] = field(default_factory=dict)
    done: dict[int, xr.Dataset] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    last: float = field(default_factory=time.monotonic)

    @property
    def is_due(self) -> bool:
        """Whether it is time to write what there is."""
        return self.out is not None and time.monotonic() - self.last > SAVE_EVERY

    def keep(self, seed: int, run: xr.Dataset, *, goes_on: bool = False) -> None:
        """Takes in a run, or what there is of it, in place of what there was of it before. One that `goes_on`, beside
        others that may be written before it is kept again, is copied."""
        self.done[seed] = run.copy(deep=True) if goes_on else run

    def write(self) -> None:
        """Writes what there is of all seeds, of earlier times too. Raises OSError."""
        from circuitdsl.runtime.results import joined, write, write_csv

        if self.out is None or not (self.before or self.done):
            return
        together = joined({**self.before, **self.done})
        if is_table(self.out):
            self.left_out = write_csv(self.out, together)
        else:
            write(self.out, together)
        self.last = time.monotonic()

    def together(self) -> xr.Dataset:
        """The runs of this time, of several seeds along `seed`."""
        from circuitdsl.runtime.results import joined

        return joined(self.done)


def saved_runs(path: Path) -> dict[int, xr.Dataset]:
    """The runs in a results file by their seeds; none if it is not there. Raises UsageError if it holds none."""
    if not path.exists():
        return {}
    from circuitdsl.runtime.results import opened, split

    try:
        return split(opened(path))
    except (OSError, ValueError) as problem:
        raise UsageError(f"`{path}` is not a saved run: {problem}") from None
