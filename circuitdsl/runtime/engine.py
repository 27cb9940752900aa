"""A compiled circuit as an `Engine`: a population of one copy, whose state is that of a single run.

State arrays of the engine's dtype in C order are used in place, others are copied in and out. What the code is called
with is put together once for a state whose arrays are all used in place, and lives as long as it does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from operator import is_
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import ref

from circuitdsl.emit.target import DType
from circuitdsl.frozen import frozen
from circuitdsl.graph.ir import Circuit, Expr
from circuitdsl.graph.machine import Data, Evaluation, Numbers, State
from circuitdsl.graph.projections import give_back, mapped
from circuitdsl.lower.loop_ir import Aim
from circuitdsl.runtime.backends import DEFAULT
from circuitdsl.runtime.population import Calls, Copies, Population

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Indices

    AnyArray = NDArray[Any]

Key = TypeVar("Key")


class Compiled:
    """An `Engine` (graph/machine.py) that runs emitted code.

    `probes` are scalar expressions of one example, read at the last evaluation tick. `without`: the names of passes
    that are left out (lower/pipeline.py); `threads`: how many may share a large circuit, on which no number depends.
    Raises UsageError for an unknown target. Programs are made when they are
    first needed, and compiled then; `compile_seconds` is the time spent on code so far.
    """

    def __init__(
        self, circuit: Circuit, probes: Sequence[Expr] = (), dtype: DType = "float32", *, target: str = DEFAULT,
        without: Collection[str] = (), threads: int = 1,
    ):  # fmt: skip
        self.circuit, self.probes, self.dtype = circuit, probes, dtype
        self.population = Population(
            circuit, probes, dtype, target=target, threads=1, crew=threads, without=without, aim=Aim(dtype=dtype)
        )
        self._last: _Alone | None = None
        self._life: ref[State] | None = None

    @property
    def compile_seconds(self) -> float:
        return self.population.code.seconds

    def train(
        self, state: State, data: Data, order: Indices, numbers: Numbers, *, seed: int, epoch: int, batch: int
    ) -> None:
        """See `Engine.train`. Raises ValueError if an array does not fit or a phase's ticks are no whole number."""
        fitting = self.population.fitting(state)
        alone = self._alone(fitting)
        copy = _copy(data, order, numbers, seed)
        self.population.train(alone.states, copy, epoch=epoch, batch=batch, calls=alone.calls)
        alone.write_back()
        give_back(state, fitting)

    def evaluate(
        self, state: State, data: Data, order: Indices, numbers: Numbers, *, seed: int, epoch: int,
        watch: Sequence[str] = (),
    ) -> Evaluation:  # fmt: skip
        """See `Engine.evaluate`. Raises ValueError as `train`, and if evaluation has no tick."""
        device = self.population.code.back_end.device
        if watch and device is not None:
            device().store.settle(state.kept.values())
        fitting = self.population.fitting(state)
        alone, copy = self._alone(fitting), _copy(data, order, numbers, seed)
        found = self.population.evaluate(alone.states, copy, epoch=epoch, watch=watch, calls=alone.calls)
        return Evaluation(
            loss=None if found.loss is None else float(found.loss[0]),
            probes=found.probes[0].tolist(),
            watched=dict(found.watched),
        )

    def holds(self, state: State) -> bool:
        """Whether the code holds all of a state as the state does, so that it needs no copy."""
        return self.population.fitting(state) is state and self._alone(state).in_place

    def _alone(self, state: State) -> _Alone:
        """That of the last call, if it has the arrays of this state. It is kept as long as its state is there, whose
        weights it would otherwise keep, too."""
        last = self._last
        if last is None or not last.serves(state):
            last = _Alone.of(state, self.dtype)
            self._last, self._life = (last, ref(state, self._forget)) if last.in_place else (None, None)
        return last

    def _forget(self, life: ref[State]) -> None:
        if life is self._life:
            self._last = self._life = None


def _copy(data: Data, order: Indices, numbers: Numbers, seed: int) -> Copies:
    return Copies(data=[data], orders=[order], numbers=[numbers], seeds=[seed])


@frozen
class _Alone:
    """The states of a population of one, made of the parts `given`. `copied`: what training changes and could not be
    used in place, each with what is; `in_place`: whether all arrays are used as they are, so that what becomes of them
    is seen; `calls`: the calls with them."""

    given: Sequence[object]
    in_place: bool
    states: State
    copied: Sequence[tuple[AnyArray, AnyArray]]
    calls: Calls = field(default_factory=dict)

    @staticmethod
    def of(state: State, dtype: DType) -> _Alone:
        import numpy as np

        copied: list[tuple[AnyArray, AnyArray]] = []

        def one(arrays: Mapping[Key, AnyArray]) -> dict[Key, AnyArray]:
            made = {}
            for key, array in arrays.items():
                used = np.require(array, dtype, ["C_CONTIGUOUS", "WRITEABLE"])
                if used is not array:
                    copied.append((array, used))
                made[key] = used[None]
            return made

        projections = {
            name: mapped(p, lambda a: np.ascontiguousarray(a)[None]) for name, p in state.projections.items()
        }
        states = State(
            weights=one(state.weights),
            projections=projections,
            synapse_states=one(state.synapse_states),
            kept=one(state.kept),
            coefficients=_held(state.coefficients, dtype),
            resets=_held(state.resets, dtype),
        )
        pairs = zip(state.arrays(), states.arrays(), strict=True)
        in_place = all(np.may_share_memory(array, used) for array, used in pairs if array.size)
        return _Alone(_parts(state), in_place, states, copied)

    def serves(self, state: State) -> bool:
        """Whether a state has the same arrays."""
        parts = _parts(state)
        return len(parts) == len(self.given) and all(map(is_, parts, self.given))

    def write_back(self) -> None:
        for array, used in self.copied:
            array[...] = used


def _parts(state: State) -> list[object]:
    return [*state.arrays(), *state.projections.values()]


def _held(arrays: Mapping[str, AnyArray], dtype: DType) -> dict[str, AnyArray]:
    import numpy as np

    return {name: np.ascontiguousarray(array, dtype)[None] for name, array in arrays.items()}
