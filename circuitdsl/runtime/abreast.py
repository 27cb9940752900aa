"""Runs of one circuit side by side on a device: each as `simulate` would do it alone, with the same bits, in launches
that they share.

A course (course.py) stops where it asks to train or to evaluate. What all of them ask for at the same time is one call
of the population; those that ask for something else meanwhile present no example in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, assert_never

from circuitdsl.emit.teams import MANY, form_of
from circuitdsl.frozen import frozen, mutable
from circuitdsl.graph.machine import Evaluation, State
from circuitdsl.graph.projections import sparse_synapses
from circuitdsl.runtime.aside import Aside, put_aside
from circuitdsl.runtime.code import Which
from circuitdsl.runtime.course import Answer, Ask, Course, Evaluate, Train, advanced, timed
from circuitdsl.runtime.engine import Compiled
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.extents import bytes_of
from circuitdsl.runtime.memory import Memory
from circuitdsl.runtime.population import CHUNK, Copies, Population, finite, stack
from circuitdsl.runtime.simulate import Loop, Run, course_of
from circuitdsl.runtime.state import state_arrays
from circuitdsl.runtime.stay import AtHome, OnADevice, Stay, staying_copies

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Indices

#: Bytes that runs side by side may take of a device, their work space included.
MOST_BYTES = 2**32


def room_for(loop: Loop, run: Run) -> int:
    """How many runs like this one may stand side by side; 1 where they are better done one after the other: on a
    processor, where one run has all of the device to itself, where rates of a population are recorded, and where only
    the weights that are there are held."""
    engine = loop.engine
    if not isinstance(engine, Compiled) or engine.population.code.back_end.device is None:
        return 1
    if loop.plan.watched or sparse_synapses(run.circuit) or not engine.holds(run.state):
        return 1
    device = engine.population.code.back_end.device()
    needed = _needed(engine.population, loop, device.room)
    if needed is None:
        return 1
    count = max(1, min(MANY - 1, MOST_BYTES // max(needed, 1)))
    while count > 1 and not _fits(device.store.memory, count * needed):
        count //= 2
    return count


def _fits(memory: Memory, size: int) -> bool:
    try:
        memory.check_room(size)
    except UsageError:
        return False
    return True


def _needed(population: Population, loop: Loop, room: int) -> int | None:
    """The bytes that a copy needs, with what it was when the epoch began. None if a copy alone is not done by a block
    of threads, as each of many is."""
    batch = min(loop.batch, max(1, len(loop.dataset.train)))
    needed = 0
    calls: tuple[tuple[Which, int], ...] = (("train_online" if batch == 1 else "train", batch), ("evaluate", CHUNK))
    for which, examples in calls:
        program = population.code.kernel(which).program
        sizes = bytes_of(population.circuit, program, loop.numbers, examples)
        if form_of(program, sizes, 1, room=room).shape != "block":
            return None
        needed = max(needed, 2 * sum(sizes.values()))
    return needed


def simulate_abreast(
    runs: Sequence[tuple[Loop, Run]], *, after_epoch: Callable[[Sequence[int]], None] | None = None
) -> None:
    """Simulates runs of one engine, in batches of one size, to their ends. A run is put back to its last whole epoch
    where it is interrupted. `after_epoch` is told, by their numbers, which have ended an epoch (to save). Raises
    UsageError if the device has no room for them."""
    engine = runs[0][0].engine
    assert isinstance(engine, Compiled)
    states = stack([run.state for _, run in runs])
    for at, (loop, run) in enumerate(runs):
        run.state = _row(states, run.state, at)
        loop.progress.start(run.circuit.name, loop.epochs, len(loop.dataset.train), run.epochs_done)
    compiled = engine.compile_seconds
    with staying_copies(engine.population, states) as stay:
        rows = _Rows(engine.population, states, stay, len(runs))
        for at, (_, run) in enumerate(runs):
            run.stay = _Row(rows, at)
        _Abreast(runs, rows, engine, after_epoch).run()
    for _, run in runs:
        run.stay = AtHome(run.state)
    runs[0][1].compile_seconds += engine.compile_seconds - compiled


def _row(states: State, own: State, at: int) -> State:
    """The state of one run; what it changes is a view of the states of all."""
    return State(
        weights={k: v[at] for k, v in states.weights.items()},
        projections=own.projections,
        synapse_states={k: v[at] for k, v in states.synapse_states.items()},
        kept={k: v[at] for k, v in states.kept.items()},
        coefficients=own.coefficients,
        resets=own.resets,
    )


# ---------------------------------------------------------------- what they ask for


@mutable
class _Abreast:
    """Courses of runs, and what each of them asks for now."""

    runs: Sequence[tuple[Loop, Run]]
    rows: _Rows
    engine: Compiled
    after_epoch: Callable[[Sequence[int]], None] | None
    ended: list[int] = field(init=False, default_factory=list)  # an epoch, since it was last told
    courses: list[Course[None]] = field(init=False)
    asks: dict[int, Ask] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        def noting(at: int) -> Callable[[Run], None]:
            return lambda _: self.ended.append(at)

        self.courses = [course_of(loop, run, noting(at)) for at, (loop, run) in enumerate(self.runs)]

    def run(self) -> None:
        for at in range(len(self.runs)):
            self._advance(at, None)
        while self.asks:
            try:
                self._round()
            except KeyboardInterrupt as told:
                for at in list(self.asks):
                    self._advance(at, None, told)

    def _round(self) -> None:
        """Every ask is answered once. Who has ended an epoch then has nothing done of the next."""
        for together in _alike(self.asks):
            for at, answer in self._answered(together).items():
                self._advance(at, answer)
        ended, self.ended = self.ended, []
        if ended and self.after_epoch is not None:
            self.after_epoch(ended)

    def _advance(self, at: int, answer: Answer | None, told: KeyboardInterrupt | None = None) -> None:
        self.asks.pop(at, None)
        ask = advanced(self.courses[at], answer, told)
        if ask is not None:
            self.asks[at] = ask

    def _answered(self, asks: dict[int, Ask]) -> dict[int, Answer]:
        """What runs get that ask for the same thing in the same epoch."""
        copies, first = self._copies(asks), next(iter(asks.values()))
        match first:
            case Train(epoch=epoch):
                batch = self.runs[0][0].batch

                def work() -> None:
                    self.rows.population.train(self.rows.states, copies, epoch=epoch, batch=batch)

                seconds = timed(work, lambda: self.engine.compile_seconds)
                self.rows.change()
                return dict.fromkeys(asks, seconds / len(asks))  # the share of each
            case Evaluate(epoch=epoch):
                found = self.rows.population.evaluate(self.rows.states, copies, epoch=epoch)
                losses = None if found.loss is None else found.loss.tolist()
                probes = found.probes.tolist()
                return {at: Evaluation(None if losses is None else losses[at], probes[at]) for at in asks}
            case _:
                assert_never(first)

    def _copies(self, asks: dict[int, Ask]) -> Copies:
        """Those that do not ask present nothing; equal orders are one."""
        import numpy as np

        none: Indices = np.zeros(0, np.int64)
        distinct: dict[bytes, Indices] = {}
        orders = [
            distinct.setdefault(asks[at].examples.tobytes(), asks[at].examples) if at in asks else none
            for at in range(len(self.runs))
        ]
        loops = [loop for loop, _ in self.runs]
        return Copies(
            data=[loop.dataset.arrays for loop in loops], orders=orders, numbers=[loop.numbers for loop in loops],
            seeds=[loop.seed for loop in loops],
        )  # fmt: skip


def _alike(asks: dict[int, Ask]) -> list[dict[int, Ask]]:
    """Asks that one call answers."""
    found: dict[tuple[type[Ask], int], dict[int, Ask]] = {}
    for at, ask in asks.items():
        found.setdefault((type(ask), ask.epoch), {})[at] = ask
    return list(found.values())


# ---------------------------------------------------------------- where their states are


@mutable
class _Rows:
    """The states of all runs, [runs, ...], and what is known of them since one was changed last."""

    population: Population
    states: State
    stay: OnADevice | None
    count: int
    known_finite: NDArray[np.bool_] | None = None
    known_aside: Aside | None = None

    def change(self) -> None:
        self.known_finite = self.known_aside = None

    def settle(self, *names: str) -> None:
        if self.stay is not None:
            self.stay.settle(*names)

    def renew(self) -> None:
        """Takes over what the host has changed."""
        self.change()
        if self.stay is not None:
            self.stay.store.renew(state_arrays(self.states).values())

    def finite(self) -> NDArray[np.bool_]:
        """Whether all of a run's state is, for each run."""
        if self.known_finite is None:
            self.known_finite = finite(self.states) if self.stay is None else self.stay.finite_copies(self.count)
        return self.known_finite

    def put_aside(self) -> Aside:
        if self.known_aside is None:
            self.known_aside = put_aside(self.states) if self.stay is None else self.stay.put_aside()
        return self.known_aside


@frozen
class _Row(Stay):
    """Where the state of one of them is."""

    rows: _Rows
    at: int

    def settle(self, *names: str) -> None:
        self.rows.settle(*names)

    def is_finite(self) -> bool:
        return bool(self.rows.finite()[self.at])

    def put_aside(self) -> Aside:
        return _RowAside(self.rows, self.at, self.rows.put_aside())


@frozen
class _RowAside:
    """What the state of one of them was, among what all were."""

    rows: _Rows
    at: int
    all: Aside

    def restore(self, state: State) -> None:
        """Puts a state of the same circuit back to what is held, in place, and where it stays."""
        held = self.rows.states.copy()
        self.all.restore(held)
        self.rows.settle()
        for whole, array in zip(state_arrays(held).values(), state_arrays(state).values(), strict=True):
            array[...] = whole[self.at]
        if _is_part(state, self.rows.states):
            self.rows.renew()


def _is_part(state: State, states: State) -> bool:
    import numpy as np

    pairs: list[tuple[Any, Any]] = list(zip(state.weights.values(), states.weights.values(), strict=True))
    return any(np.may_share_memory(array, whole) for array, whole in pairs)
