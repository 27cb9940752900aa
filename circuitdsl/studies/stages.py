"""Learning in stages: something of a run is changed before it starts or on the way, and it goes on."""

from __future__ import annotations

from dataclasses import replace

from circuitdsl.api import Outcome
from circuitdsl.runtime.data import SPLIT, Dataset, permutation

#: The part of the training examples that choosing settings is judged by.
HELD_OUT = 0.2


def go_on(outcome: Outcome, *, until: int | None = None) -> None:
    """Trains `outcome.run`, as it stands, until so many epochs are done in all (None: all that were asked for); a run
    that has diverged stays as it is. Raises KeyboardInterrupt, also in a thread that is told to stop."""
    from circuitdsl.runtime.simulate import simulate

    loop = outcome.loop if until is None else replace(outcome.loop, epochs=until)
    simulate(loop, outcome.run)
    if outcome.run.interrupted:
        raise KeyboardInterrupt


def with_numbers(outcome: Outcome, **numbers: float) -> Outcome:
    """The same run under other values of params that are no sizes."""
    return replace(outcome, loop=replace(outcome.loop, numbers={**outcome.loop.numbers, **numbers}))


def held_out(outcome: Outcome) -> Outcome:
    """The same run, on the training examples alone: a part of them, the same for every seed, takes the place of the
    test set, which so has no say in what settings are chosen."""
    data = outcome.loop.dataset
    order = data.train[permutation(len(data.train), purpose=SPLIT, seed=1)]
    count = int(HELD_OUT * len(order))
    part = Dataset(name=data.name, arrays=data.arrays, train=order[count:], test=order[:count])
    return replace(outcome, loop=replace(outcome.loop, dataset=part))


def metric_now(outcome: Outcome) -> float:
    """The task's metric on the test set, of the run as it stands."""
    loop = outcome.loop
    found = loop.engine.evaluate(
        outcome.run.state, loop.dataset.arrays, loop.dataset.test, loop.numbers, seed=loop.seed, epoch=0
    )
    return float(found.probes[0])
