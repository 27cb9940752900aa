"""A call of emitted code: the numbers and the parts of arrays that each copy is given, and who takes them.

`Native` is object code, called by its address; `Interpreted` is the same text as plain Python.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ctypes import CFUNCTYPE, c_int32, c_int64, c_void_p
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    AnyArray = NDArray[Any]
    Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Part:
    """`array` [rows, ...] in C order, and the row that each copy uses, [copies]; None: the one of who works on it."""

    array: AnyArray
    rows: Whole | None

    def of(self, copy: int, worker: int) -> AnyArray:
        """What a copy uses, in one dimension."""
        row: AnyArray = self.array[worker if self.rows is None else int(self.rows[copy])]
        return row.reshape(-1)


@dataclass(slots=True)
class Frame:
    """What one call for all copies is given, in the order of the code's binding (emit/entry.py): `wholes` [copies,
    whole numbers], `numbers` [copies, real numbers], and the parts of the buffers."""

    wholes: Whole
    numbers: AnyArray
    parts: Sequence[Part]
    places: Whole = field(init=False)
    own: list[int] = field(init=False)

    def __post_init__(self) -> None:
        import numpy as np

        self.places = np.empty((len(self), len(self.parts)), dtype=np.int64)
        self.own = [i for i, part in enumerate(self.parts) if part.rows is None]
        first: Whole = np.array([part.array.ctypes.data for part in self.parts], dtype=np.int64)
        self.places[:] = first
        for i, part in enumerate(self.parts):
            if part.rows is not None and len(part.array) > 1:
                self.places[:, i] += part.array.strides[0] * part.rows

    def __len__(self) -> int:
        return len(self.wholes)

    def given_to(self, worker: int, begin: int, end: int) -> None:
        """Lets a worker have these copies, with work space of its own."""
        for i in self.own:
            array = self.parts[i].array
            self.places[begin:end, i] = array.ctypes.data + worker * array.strides[0]


class Routine(Protocol):
    """The entry point of a program's code."""

    def __call__(self, frame: Frame, begin: int, end: int, worker: int) -> None:
        """Runs the copies from `begin` to before `end`, as one of the workers that share a frame."""


class Native:
    """Object code that has been loaded: `address` is that of its entry point, which takes what Numba's functions take.
    `held`: what keeps it in memory. Other threads run while it does."""

    def __init__(self, address: int, held: object):
        self._held = held
        pointers = [c_void_p] * 6
        # where a result and an exception would be put, of which there are none
        self._function = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_int64, c_int64, *pointers)(address)

    def __call__(self, frame: Frame, begin: int, end: int, worker: int) -> None:
        if worker:
            frame.given_to(worker, begin, end)
        result, problem = c_int64(), c_int64()
        places = frame.places.ctypes.data
        numbers = frame.wholes.ctypes.data, frame.numbers.ctypes.data
        status = self._function(_address(result), _address(problem), begin, end, *numbers, *[places] * 4)
        assert status == 0


def _address(number: c_int64) -> int:
    from ctypes import addressof

    return addressof(number)


@dataclass(frozen=True, slots=True)
class Interpreted:
    """The entry point as plain Python."""

    function: Callable[..., None]

    def __call__(self, frame: Frame, begin: int, end: int, worker: int) -> None:
        before: list[Any] = [None] * (begin * len(frame.parts))
        arrays = [*before, *(part.of(copy, worker) for copy in range(begin, end) for part in frame.parts)]
        self.function(begin, end, frame.wholes.ravel().tolist(), frame.numbers.ravel(), *[arrays] * 4)
