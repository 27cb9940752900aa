"""A state put aside at the start of an epoch, so that a run can be put back to it: a large one in a file, one on a
device there (stay.py)."""

from __future__ import annotations

from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Protocol

from circuitdsl.frozen import frozen
from circuitdsl.runtime.state import state_arrays

if TYPE_CHECKING:
    from circuitdsl.graph.machine import State

#: Bytes of weights and states from which on a copy in memory would be felt.
LARGE = 1 << 26


class Aside(Protocol):
    def restore(self, state: State) -> None:
        """Puts a state of the same circuit back to what is held, in place. Raises OSError."""


@frozen
class InMemory:
    """A copy of a state."""

    held: State

    def restore(self, state: State) -> None:
        """Puts a state of the same circuit back to what is held, in place."""
        for kept, array in zip(state_arrays(self.held).values(), state_arrays(state).values(), strict=True):
            array[...] = kept


@frozen
class InFile:
    """The arrays of a state one after the other, in a file without a name, which goes when it is closed."""

    file: IO[bytes]

    def restore(self, state: State) -> None:
        """Puts a state of the same circuit back to what is held, in place. Raises OSError."""
        self.file.seek(0)
        for name, array in state_arrays(state).items():
            if self.file.readinto(array.data) != array.nbytes:  # type: ignore[attr-defined]
                raise OSError(f"`{name}`, which was put aside, is no longer whole")


def put_aside(state: State) -> InMemory | InFile:
    """What a state is now. In memory, too, where the disk has no room for it."""
    arrays = state_arrays(state).values()
    if sum(a.nbytes for a in arrays) < LARGE or not all(a.flags.c_contiguous for a in arrays):
        return InMemory(state.copy())
    file = TemporaryFile()  # noqa: SIM115 - it stays open as long as the state may be wanted
    try:
        for array in arrays:
            file.write(array.data)
        file.flush()
    except OSError:
        file.close()
        return InMemory(state.copy())
    return InFile(file)


def taken_out(aside: Aside, like: State) -> State:
    """What was put aside, as a state of its own; `like` is another one of the same circuit."""
    state = like.copy()
    aside.restore(state)
    return state
