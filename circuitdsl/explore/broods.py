"""The lifetimes of a brood: all candidates on all tasks in one compiled call per epoch, on one machine or in pieces.

Every candidate lives once in every lane. A lane is a task: data, and a seed for the initial weights, the order of the
examples and the noise; all candidates of a brood see the same ones.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.graph.machine import Numbers, State
from circuitdsl.graph.projections import dense, mapped
from circuitdsl.runtime.data import SHUFFLE, Dataset, permutation
from circuitdsl.runtime.lanes import aim_of_copies
from circuitdsl.runtime.population import Copies, Population, finite, stack
from circuitdsl.runtime.stay import staying_copies

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Indices

    Array = NDArray[np.floating[Any]]

DType = Literal["float32", "float64"]


@frozen(kw_only=True, eq=False)
class Lane:
    """One lifetime that every candidate lives."""

    dataset: Dataset
    seed: int


@frozen(kw_only=True, eq=False)
class World:
    """What a brood lives in. `objective`: an expression of one example, or None for the loss. `numbers` are those
    before evolution, `without` names passes that are left out, `key` the compiled circuit, `threads` how many share the
    work (None: all processors). `tested`: whether lives are judged on their test sets, rather than on their validation
    sets, if they have some."""

    graph: ir.Circuit
    objective: ir.Expr | None
    lanes: tuple[Lane, ...]
    numbers: Numbers
    epochs: int
    batch: int
    target: str
    dtype: DType
    without: frozenset[str]
    folder: Path | None
    key: str
    threads: int | None
    tested: bool = False


@frozen(kw_only=True)
class Brood:
    """Candidates: the numbers of each, and the coefficients that evolve, [candidates, ...]."""

    numbers: Sequence[Numbers]
    coefficients: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.numbers)

    def pieces(self, count: int) -> list[Brood]:
        """At most so many broods that make up this one, in order."""
        size = -(-len(self) // max(1, count))
        return [
            Brood(
                numbers=self.numbers[first : first + size],
                coefficients={name: array[first : first + size] for name, array in self.coefficients.items()},
            )
            for first in range(0, len(self), size)
        ]


def lifetimes(world: World, brood: Brood) -> NDArray[np.float64]:
    """The objective at the end of every lifetime, [candidates, lanes]; NaN where it diverged. Raises ValueError and
    OSError as `initial_state` does."""
    import numpy as np

    place = _place(world)
    population = place.population(world)
    states = place.states(world, brood)
    lanes, candidates = len(world.lanes), len(brood)
    data = [lane.dataset.arrays for lane in world.lanes] * candidates
    seeds = [lane.seed for lane in world.lanes] * candidates
    numbers = [each for each in brood.numbers for _ in range(lanes)]
    judged = [lane.dataset.test if world.tested else lane.dataset.judged for lane in world.lanes] * candidates
    with staying_copies(population, states):
        for epoch in range(world.epochs):
            orders = place.orders(world, epoch) * candidates
            copies = Copies(data=data, orders=orders, numbers=numbers, seeds=seeds)
            population.train(states, copies, epoch=epoch, batch=world.batch)
        found = population.evaluate(
            states, Copies(data=data, orders=judged, numbers=numbers, seeds=seeds), epoch=world.epochs
        )
    alive = finite(states)
    if found.loss is not None:
        alive &= np.isfinite(found.loss)
    values = found.loss if world.objective is None else found.probes[:, 0]
    assert values is not None
    return np.where(alive, values, np.nan).reshape(candidates, lanes)


# ---------------------------------------------------------------- what a thread keeps


class _Place(threading.local):
    """A thread's compiled circuit, and what all broods of a world have in common."""

    def __init__(self) -> None:
        self.compiled: tuple[tuple[str, int | None], Population] | None = None
        self.world: World | None = None
        self.stacked: State | None = None
        self.shuffled: dict[int, list[Indices]] = {}

    def population(self, world: World) -> Population:
        key = world.key, world.threads
        if self.compiled is None or self.compiled[0] != key:
            probes = () if world.objective is None else (world.objective,)
            aim = replace(aim_of_copies(world.graph, world.dtype), sparse=False)
            made = Population(
                world.graph, probes, world.dtype, target=world.target, threads=world.threads, without=world.without,
                aim=aim,
            )  # fmt: skip
            self.compiled = key, made
        return self.compiled[1]

    def enter(self, world: World) -> None:
        if self.world is not world:
            self.world, self.stacked, self.shuffled = world, None, {}

    def orders(self, world: World, epoch: int) -> list[Indices]:
        """The training examples of each lane in the epoch's order."""
        if epoch not in self.shuffled:
            self.shuffled[epoch] = [
                train[permutation(len(train), purpose=SHUFFLE, seed=lane.seed, epoch=epoch)]
                for lane in world.lanes
                for train in (lane.dataset.train,)
            ]
        return self.shuffled[epoch]

    def states(self, world: World, brood: Brood) -> State:
        """What every copy starts from; copies of one candidate are next to each other."""
        if _drawn_alike(world, brood):
            if self.stacked is None:
                self.stacked = stack([_start(world, world.numbers, lane) for lane in world.lanes])
            return _repeated(self.stacked, brood, len(world.lanes))
        each = stack([_start(world, numbers, lane) for numbers in brood.numbers for lane in world.lanes])
        return _with_coefficients(each, brood)


_PLACE = _Place()


def _place(world: World) -> _Place:
    _PLACE.enter(world)
    return _PLACE


# ---------------------------------------------------------------- states


def _start(world: World, numbers: Numbers, lane: Lane) -> State:
    from circuitdsl.graph.initial import initial_state

    found = initial_state(world.graph, numbers, lane.seed, dtype=world.dtype, folder=world.folder)
    return dense(world.graph, found)  # what evolves may be a number for every place of a matrix


def _drawn_alike(world: World, brood: Brood) -> bool:
    """Whether no param that decides how a state starts differs between the candidates and the start."""
    names = drawing_params(world.graph)
    return all(numbers[name] == world.numbers[name] for name in names for numbers in brood.numbers)


def drawing_params(graph: ir.Circuit) -> set[str]:
    """The params that decide initial values and connections."""
    found: set[str] = set()
    for synapse in graph.synapses.values():
        found |= _of_init(synapse.init)
        for state in synapse.states:
            found |= _of_init(state.init)
        for expr in (*(c.argument for c in synapse.connect), *(synapse.bounds or ())):
            found |= set() if expr is None else _of_expr(expr)
    for value in graph.values.values():
        found |= set() if value.init is None else _of_init(value.init)
    for coefficient in graph.coefficients.values():
        found |= _of_init(coefficient.init)
    return found


def _of_init(init: ir.Init) -> set[str]:
    match init:
        case ir.InitApply():
            return {name for argument in init.arguments for name in _of_init(argument)}
        case ir.InitCall():
            return {name for argument in init.arguments for name in _of_expr(argument)}
        case ir.ParamRef():
            return {init.name}
        case _:
            return set()


def _of_expr(expr: ir.Expr) -> set[str]:
    return {e.name for e in ir.walk(expr) if isinstance(e, ir.ParamRef)}


def _repeated(lanes: State, brood: Brood, count: int) -> State:
    """The states of the lanes, [lanes, ...], for each candidate."""
    import numpy as np

    candidates = len(brood)

    def each(array: Any) -> Any:
        return np.array(np.broadcast_to(array, (candidates, *array.shape)), order="C").reshape(-1, *array.shape[1:])

    def shared(array: Any) -> Any:
        """One row where all lanes are alike."""
        same = count == 1 or bool((array == array[:1]).all())
        return np.ascontiguousarray(array[:1]) if same else each(array)

    state = State(
        weights={k: each(v) for k, v in lanes.weights.items()},
        projections={k: mapped(p, shared) for k, p in lanes.projections.items()},
        synapse_states={k: each(v) for k, v in lanes.synapse_states.items()},
        kept={k: each(v) for k, v in lanes.kept.items()},
        coefficients={k: shared(v) for k, v in lanes.coefficients.items() if k not in brood.coefficients},
        resets={k: shared(v) for k, v in lanes.resets.items()},
    )
    return _with_coefficients(state, brood)


def _with_coefficients(state: State, brood: Brood) -> State:
    """With a row of the evolved coefficients for each candidate, which serves all of its lanes."""
    state.coefficients = {**state.coefficients, **brood.coefficients}
    return state
