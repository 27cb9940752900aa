"""Where the state of a run, or of many copies, is while it trains: at home on the host, or on a device.

A state that stays on a device is brought back when it is to be read (`settle`), and not at every call. What a run asks
of all of it again and again (is it finite? what was it when the epoch began?) is answered there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from weakref import finalize

from circuitdsl.frozen import frozen
from circuitdsl.runtime.aside import Aside, put_aside
from circuitdsl.runtime.divergence import is_finite
from circuitdsl.runtime.engine import Compiled
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.finite import Finite
from circuitdsl.runtime.memory import Held
from circuitdsl.runtime.population import Population
from circuitdsl.runtime.state import state_arrays

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.emit.target import DType
    from circuitdsl.graph.machine import Engine, State

    AnyArray = NDArray[Any]


class Stay(Protocol):
    def settle(self, *names: str) -> None:
        """Makes the arrays of the state what they are where it is: those of these names (`W1`, `W1.m`), or all."""

    def is_finite(self) -> bool:
        """Whether all of the state is."""

    def put_aside(self) -> Aside:
        """What the state is now."""


@frozen
class AtHome:
    """The host's arrays are what there is."""

    state: State

    def settle(self, *names: str) -> None:
        pass

    def is_finite(self) -> bool:
        return is_finite(self.state)

    def put_aside(self) -> Aside:
        return put_aside(self.state)


@frozen
class OnADevice:
    """All arrays of a state are guests of a device."""

    state: State
    store: Held
    finite: Finite

    def settle(self, *names: str) -> None:
        arrays = state_arrays(self.state)
        self.store.settle(arrays[name] for name in names or arrays)

    def is_finite(self) -> bool:
        return all(map(self.finite, state_arrays(self.state).values()))

    def finite_copies(self, copies: int) -> NDArray[np.bool_]:
        """Of the states of so many copies, [copies, ...]: whether all of a copy's is."""
        import numpy as np

        every = np.ones(copies, np.bool_)
        for array in state_arrays(self.state).values():
            every &= self.finite.copies(array)
        return every

    def put_aside(self) -> Aside:
        """On the device, if it has room for that."""
        arrays = state_arrays(self.state)
        guests = {name: guest for name, array in arrays.items() if (guest := self.store.guest(array)) is not None}
        try:
            self.store.memory.check_room(sum(g.array.nbytes for g in guests.values()))
        except UsageError:
            self.settle()
            return put_aside(self.state)
        copies = {name: self.store.memory.copy(g.address, g.array.nbytes) for name, g in guests.items()}
        return There.of(self.store, copies)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class There:
    """A copy of a state on a device, which goes when nobody can ask for it any more."""

    store: Held
    copies: Mapping[str, int]

    @staticmethod
    def of(store: Held, copies: Mapping[str, int]) -> There:
        made = There(store, copies)
        for address in copies.values():
            finalize(made, store.memory.free, address).atexit = False
        return made

    def restore(self, state: State) -> None:
        """Puts a state of the same circuit back to what is held, in place, and where it stays."""
        for name, array in state_arrays(state).items():
            if array.nbytes:
                self.store.memory.get(self.copies[name], array)
        self.store.renew(state_arrays(state).values())


@contextmanager
def staying(engine: Engine, state: State) -> Iterator[Stay]:
    """A state while an engine trains it: on the engine's device if that can hold it as it is, and at home again
    afterwards. Raises UsageError if there is no room for it."""
    device = engine.population.code.back_end.device if isinstance(engine, Compiled) else None
    if device is None or not isinstance(engine, Compiled) or not engine.holds(state):
        yield AtHome(state)
        return
    found = device()
    target = engine.population.code.back_end.target
    assert target is not None
    with _guests(found.store, state, engine.dtype):
        yield OnADevice(state, found.store, Finite(found, target, engine.dtype))


@contextmanager
def staying_copies(population: Population, states: State) -> Iterator[OnADevice | None]:
    """The states of copies while a population trains and evaluates them: on its device, if it has one, and at home
    again afterwards. Raises UsageError if there is no room for them."""
    device = population.code.back_end.device
    if device is None:
        yield None
        return
    found, target = device(), population.code.back_end.target
    assert target is not None
    with _guests(found.store, states, population.dtype):
        yield OnADevice(states, found.store, Finite(found, target, population.dtype))


@contextmanager
def _guests(store: Held, state: State, dtype: DType) -> Iterator[None]:
    """All that a state has, where a device can use it as it is, on the device, and at home again afterwards."""
    lasting = [*state_arrays(state).values(), *state.coefficients.values(), *state.resets.values()]
    guests = [a for a in lasting if a.flags.c_contiguous and a.dtype == dtype]
    try:
        for array in guests:
            store.take_in(array)
        yield
    finally:
        store.let_go(guests)
