"""A call of emitted code: the numbers and the parts of arrays that each copy is given, and who takes them.

`Native` is object code, called by its address; `Interpreted` is the same text as plain Python.
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes import CFUNCTYPE, addressof, c_int32, c_int64, c_void_p
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol

from circuitdsl.frozen import frozen, mutable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    AnyArray = NDArray[Any]
    Whole = NDArray[np.int64]


@frozen
class Part:
    """`array` [rows, ...] in C order, and the row that each copy uses, [copies]; None: the one of who works on it.
    `asked`: whether what a copy leaves in such work space is read after the call."""

    array: AnyArray
    rows: Whole | None
    asked: bool = False

    def of(self, copy: int, worker: int) -> AnyArray:
        """What a copy uses, in one dimension."""
        row: AnyArray = self.array[worker if self.rows is None else int(self.rows[copy])]
        return row.reshape(-1)


@mutable
class Frame:
    """What one call for all copies is given, in the order of the code's binding (emit/entry.py): `wholes` [copies,
    whole numbers], `numbers` [copies, real numbers], and the parts of the buffers."""

    wholes: Whole
    numbers: AnyArray
    parts: list[Part]
    places: Whole = field(init=False)
    addresses: tuple[int, ...] = field(init=False)
    _own: list[int] = field(init=False)
    _firsts: Whole = field(init=False)
    _strides: Whole = field(init=False)

    def __post_init__(self) -> None:
        import numpy as np

        self.places = np.empty((len(self), len(self.parts)), dtype=np.int64)
        self.addresses = tuple(_place(array) for array in (self.wholes, self.numbers, self.places))
        for i, part in enumerate(self.parts):
            self.bind(i, part)
        self._own = [i for i, part in enumerate(self.parts) if part.rows is None]
        self._strides = np.array([self.parts[i].array.strides[0] for i in self._own], dtype=np.int64)
        self._firsts = np.array([_place(self.parts[i].array) for i in self._own], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.wholes)

    def bind(self, at: int, part: Part) -> None:
        """Gives all copies their parts of another array, which has rows for them."""
        self.parts[at] = part
        self.places[:, at] = _place(part.array)
        if part.rows is not None and len(part.array) > 1:
            self.places[:, at] += part.array.strides[0] * part.rows

    def given_to(self, worker: int, begin: int, end: int) -> None:
        """Lets a worker have these copies, with work space of its own."""
        if self._own:
            self.places[begin:end, self._own] = self._firsts + worker * self._strides


def _place(array: AnyArray) -> int:
    """Where an array begins in memory."""
    return int(array.__array_interface__["data"][0])


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
        frame.given_to(worker, begin, end)
        result, problem = c_int64(), c_int64()
        wholes, numbers, places = frame.addresses
        status = self._function(
            addressof(result), addressof(problem), begin, end, wholes, numbers, places, places, places, places
        )
        assert status == 0


@frozen
class Interpreted:
    """The entry point as plain Python."""

    function: Callable[..., None]

    def __call__(self, frame: Frame, begin: int, end: int, worker: int) -> None:
        before: list[Any] = [None] * (begin * len(frame.parts))
        arrays = [*before, *(part.of(copy, worker) for copy in range(begin, end) for part in frame.parts)]
        self.function(begin, end, frame.wholes.ravel().tolist(), frame.numbers.ravel(), *[arrays] * 4)
