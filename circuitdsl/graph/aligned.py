"""Arrays that begin where a vector register's worth of memory does. A vector that reaches into the next line of a cache
takes longer to load, and where an array begins would otherwise be chance.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    AnyArray = NDArray[Any]

#: Bytes of a line of the cache, and of the longest vector.
LINE = 64


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> AnyArray:
    """An array in C order whose first number stands at the beginning of a line; what it holds is chance."""
    import numpy as np

    size = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.empty(size + LINE, np.uint8)
    start = -int(room.ctypes.data) % LINE
    made: AnyArray = room[start : start + size].view(dtype).reshape(shape)
    return made


def zeros(shape: tuple[int, ...], dtype: DTypeLike) -> AnyArray:
    """The same, all 0."""
    made = empty(shape, dtype)
    made[...] = 0
    return made


def copied(array: AnyArray) -> AnyArray:
    """The same numbers in an array of their own."""
    made = empty(array.shape, array.dtype)
    made[...] = array
    return made
