"""Large arrays some rows at a time: what is made of them beside them stays small."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    AnyArray = NDArray[Any]

#: Numbers in a block, about: a few megabytes. What the arrays of small circuits make is made in one piece.
BLOCK = 1 << 20


def rows_of(shape: tuple[int, ...]) -> Iterator[slice]:
    """Stretches along the first axis of an array of this shape, of about `BLOCK` numbers each."""
    step = max(1, BLOCK // max(1, math.prod(shape[1:])))
    for first in range(0, shape[0], step):
        yield slice(first, min(shape[0], first + step))


def blocks(array: AnyArray) -> Iterator[AnyArray]:
    """The array in views of about `BLOCK` numbers, in the order of its rows; a number in one piece."""
    if array.ndim == 0:
        yield array
        return
    for rows in rows_of(array.shape):
        yield array[rows]


def doubles(array: AnyArray) -> Iterator[AnyArray]:
    """The same blocks, in float64."""
    import numpy as np

    return (block.astype(np.float64) for block in blocks(array))


def norm(array: AnyArray) -> float:
    """The root of the sum of squares, in float64, in the order of memory."""
    import numpy as np

    array = array.T if array.flags.f_contiguous else array
    return math.sqrt(sum(float(np.vdot(block, block)) for block in doubles(array)))


def all_finite(array: AnyArray) -> bool:
    """Whether nothing in an array is infinite or not a number."""
    import numpy as np

    return all(bool(np.isfinite(block).all()) for block in blocks(array))
