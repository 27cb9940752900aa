"""A circuit's own learning, looked at now and then."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from circuitdsl.frozen import frozen
from circuitdsl.graph.initial import DType, initial_state
from circuitdsl.graph.projections import dense
from circuitdsl.runtime.data import SHUFFLE, Dataset, permutation
from circuitdsl.runtime.divergence import is_finite

if TYPE_CHECKING:
    from circuitdsl.graph.machine import Engine, Numbers, State

#: The first checkpoint after the start is at this part of the updates; the others follow geometrically.
FIRST = 1 / 200


def checkpoints(updates: int, count: int) -> tuple[int, ...]:
    """After which updates to look: before the first, then ever further apart, and after the last."""
    if updates == 0:
        return (0,)
    start = max(1.0, updates * FIRST)
    steps = max(1, count - 2)
    later = {round(start * (updates / start) ** (i / steps)) for i in range(steps + 1)}
    return (0, *sorted(later | {updates}))


@frozen(kw_only=True)
class Course:
    """All that is the same for every seed. It can be sent to another process, an engine cannot."""

    dataset: Dataset
    numbers: Numbers
    epochs: int
    batch: int
    dtype: DType
    folder: Path | None

    @property
    def updates_per_epoch(self) -> int:
        return math.ceil(len(self.dataset.train) / self.batch)

    @property
    def updates(self) -> int:
        return self.epochs * self.updates_per_epoch

    def states(self, engine: Engine, seed: int, at: Sequence[int]) -> Iterator[tuple[int, State]]:
        """The state after each of the updates `at`, in rising order; ends early if it is no longer finite. It is the
        run of that seed, example by example. Raises ValueError and OSError as `initial_state` does."""
        state = dense(
            engine.circuit,
            initial_state(engine.circuit, self.numbers, seed, dtype=self.dtype, folder=self.folder),
        )
        done = 0
        for stop in at:
            while done < stop:
                done = self._train(engine, state, seed, done, stop)
            if not is_finite(state):
                return
            yield done, state

    def _train(self, engine: Engine, state: State, seed: int, done: int, stop: int) -> int:
        """Trains until `stop`, or to the end of the epoch; gives the updates done then."""
        epoch, offset = divmod(done, self.updates_per_epoch)
        until = min(self.updates_per_epoch, offset + stop - done)
        train = self.dataset.train
        order = train[permutation(len(train), purpose=SHUFFLE, seed=seed, epoch=epoch)]
        engine.train(
            state,
            self.dataset.arrays,
            order[offset * self.batch : until * self.batch],
            self.numbers,
            seed=seed,
            epoch=epoch,
            batch=self.batch,
        )
        return epoch * self.updates_per_epoch + until
