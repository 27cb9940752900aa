"""The memory of a device: what is put there for a call, and what stays from call to call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol
from weakref import finalize

from circuitdsl.frozen import mutable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    AnyArray = NDArray[Any]
    Bytes = NDArray[np.uint8]


class Memory(Protocol):
    """Memory by addresses; arrays are in C order."""

    def make_room(self, size: int) -> int:
        """The address of so many bytes, all 0."""

    def set(self, address: int, array: AnyArray) -> None:
        """Copies an array there."""

    def get(self, address: int, array: AnyArray) -> None:
        """Fills an array with what stands there."""

    def copy(self, address: int, size: int) -> int:
        """The address of a copy of so many bytes, which do not leave the device."""

    def free(self, address: int) -> None: ...

    def check_room(self, needed: int) -> None:
        """Raises UsageError if so many bytes are not free."""


@mutable
class HostMemory:
    """The emulated device's, which is the host's: what goes there and comes back is copied, and counted in bytes."""

    held: dict[int, Bytes] = field(default_factory=dict)
    there: int = 0
    back: int = 0

    def make_room(self, size: int) -> int:
        import numpy as np

        room = np.zeros(max(1, size), np.uint8)
        address = int(room.ctypes.data)
        self.held[address] = room
        return address

    def at(self, address: int, array: AnyArray) -> AnyArray:
        """What stands there, as an array like that one."""
        found: AnyArray = self.held[address][: array.nbytes].view(array.dtype).reshape(array.shape)
        return found

    def set(self, address: int, array: AnyArray) -> None:
        self.at(address, array)[...] = array
        self.there += array.nbytes

    def get(self, address: int, array: AnyArray) -> None:
        array[...] = self.at(address, array)
        self.back += array.nbytes

    def copy(self, address: int, size: int) -> int:
        twin = self.make_room(size)
        self.held[twin][:size] = self.held[address][:size]
        return twin

    def free(self, address: int) -> None:
        del self.held[address]

    def check_room(self, needed: int) -> None:
        pass


@mutable
class Guest:
    """An array of the host that stays on a device. `newer`: whether its numbers there are newer than the host's."""

    array: AnyArray
    address: int
    newer: bool = False


@mutable
class Held:
    """What a device's memory holds between calls: `guests`, by where they begin on the host, and data sets, which
    nobody changes, as long as there is their array."""

    memory: Memory
    guests: dict[int, Guest] = field(default_factory=dict)
    data: dict[int, int] = field(default_factory=dict)

    # ------------------------------------------------------------ guests

    def take_in(self, array: AnyArray) -> None:
        """An array in C order that stays until it is let go. Raises UsageError if there is no room."""
        if array.nbytes and _start(array) not in self.guests:
            self.memory.check_room(array.nbytes)
            self.guests[_start(array)] = Guest(array, self.put(array))

    def guest(self, array: AnyArray) -> Guest | None:
        """The guest that an array of one row is, or is a view of."""
        found = self.guests.get(_start(array))
        return found if found is not None and found.array.nbytes == array.nbytes else None

    def settle(self, arrays: Iterable[AnyArray]) -> None:
        """Brings those back whose numbers are newer than the host's."""
        for guest in filter(None, map(self.guest, arrays)):
            if guest.newer:
                self.memory.get(guest.address, guest.array)
                guest.newer = False

    def renew(self, arrays: Iterable[AnyArray]) -> None:
        """Takes over what the host has changed."""
        for guest in filter(None, map(self.guest, arrays)):
            self.memory.set(guest.address, guest.array)
            guest.newer = False

    def let_go(self, arrays: Iterable[AnyArray]) -> None:
        """Brings them back for good."""
        for array in arrays:
            self.settle([array])
            guest = self.guests.pop(_start(array), None)
            if guest is not None:
                self.memory.free(guest.address)

    # ------------------------------------------------------------ all else

    def put(self, array: AnyArray) -> int:
        """The address of a copy of an array."""
        address = self.memory.make_room(array.nbytes)
        if array.nbytes:
            self.memory.set(address, array)
        return address

    def keep(self, array: AnyArray) -> int:
        """The address of an array that nobody changes, which is put once."""
        if id(array) not in self.data:
            self.data[id(array)] = self.put(array)
            finalize(array, self._forget, id(array)).atexit = False
        return self.data[id(array)]

    def _forget(self, number: int) -> None:
        self.memory.free(self.data.pop(number))

    @contextmanager
    def putting(self) -> Iterator[list[int]]:
        """The addresses that are added within are freed afterwards."""
        addresses: list[int] = []
        try:
            yield addresses
        finally:
            for address in addresses:
                self.memory.free(address)


def _start(array: AnyArray) -> int:
    return int(array.ctypes.data)
