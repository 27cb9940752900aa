"""Which weights of a synapse are there: its masks, drawn some rows at a time.

Up to `LARGEST` places all of them are gone through, whether a weight is there or not. Beyond that rows are drawn in the
time that their weights take, and so are values: other numbers, but as much a function of the seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from circuitdsl.frozen import frozen
from circuitdsl.graph.blocks import rows_of
from circuitdsl.graph.draws import Draws, numbers_in, shaped
from circuitdsl.graph.ir import Connect, Synapse
from circuitdsl.graph.numbers import evaluate, whole
from circuitdsl.graph.projections import Dense, Projection, Sparse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.draws import Generator
    from circuitdsl.graph.machine import Numbers

    Doubles = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Columns = NDArray[np.int32]

#: Places of a matrix beyond which only those are looked at where weights are.
LARGEST = 1 << 27


def large(shape: tuple[int, ...]) -> bool:
    return math.prod(shape) > LARGEST


def drawn_projection(
    synapse: Synapse, numbers: Numbers, stream: Generator, path: Callable[[str], Path], *, sparse: bool
) -> Projection:
    """Which weights are there, and how they are held. `fan_in(k)` chooses among what the other masks of the synapse
    allow, so that `fan_in(3) & no_self` is three others for every unit."""
    shape = (synapse.post_size, synapse.pre_size)
    if sparse and large(shape):
        return _row_by_row(synapse, numbers, stream, path)
    if sparse:
        rows = [mask for _, mask in _masks(synapse, numbers, stream, path)]
        return _joined([found for mask in rows for found in _columns(mask)], shape)
    import numpy as np

    whole_mask = None
    for some, mask in _masks(synapse, numbers, stream, path):
        whole_mask = np.empty(shape, np.bool_) if whole_mask is None else whole_mask
        whole_mask[some] = mask
    return Dense(None if whole_mask is None or whole_mask.all() else whole_mask)


def _masks(
    synapse: Synapse, numbers: Numbers, stream: Generator, path: Callable[[str], Path]
) -> Iterator[tuple[slice, Mask]]:
    """Some rows after the other, and which of their weights are there; nothing if all are."""
    import numpy as np

    shape = (synapse.post_size, synapse.pre_size)
    draws = Draws(stream, shape)
    parts = [p for c in _in_order(synapse) if (p := _one_mask(c, synapse, numbers, draws, path)) is not None]
    for rows in rows_of(shape) if parts else ():
        mask = np.ones((rows.stop - rows.start, shape[1]), dtype=np.bool_)
        for part in parts:
            mask &= part(rows, mask)
        yield rows, mask


def _in_order(synapse: Synapse) -> list[Connect]:
    return sorted(synapse.connect, key=lambda c: c.which == "fan_in")


def _columns(mask: Mask) -> Iterator[Columns]:
    """The presynaptic units of each row of a mask."""
    import numpy as np

    counts = np.count_nonzero(mask, axis=1)
    columns = np.nonzero(mask)[1].astype(np.int32)
    yield from np.split(columns, np.cumsum(counts)[:-1])


def _joined(rows: Sequence[Columns], shape: tuple[int, int]) -> Sparse:
    import numpy as np

    starts = np.zeros(shape[0] + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=starts[1:])
    return Sparse(starts, np.concatenate(rows), shape[1])


def _one_mask(
    connect: Connect, synapse: Synapse, numbers: Numbers, draws: Draws, path: Callable[[str], Path]
) -> Callable[[slice, Mask], Mask] | None:
    """What tells of some rows which weights are present of those that are allowed; None if all are."""
    import numpy as np

    shape = (synapse.post_size, synapse.pre_size)
    columns = np.arange(shape[1])

    def is_self(rows: slice) -> Mask:
        return np.asarray(np.arange(rows.start, rows.stop)[:, None] == columns)

    match connect.which:
        case "dense":
            return None
        case "one_to_one":
            return lambda rows, allowed: is_self(rows)
        case "no_self":
            return lambda rows, allowed: ~is_self(rows)
        case "sparse":
            assert connect.argument is not None
            chance = evaluate(connect.argument, numbers)
            drawn = draws.rows(lambda stream, size: stream.random(size))
            return lambda rows, allowed: drawn(rows) < chance
        case "fan_in":
            k = _fan_in(connect, synapse, numbers)
            keys = draws.rows(lambda stream, size: stream.random(size))
            return lambda rows, allowed: _lowest(np.where(allowed, keys(rows), 2.0), k)
        case "file":
            assert connect.path is not None
            held = shaped(synapse.name, connect.path, numbers_in(path(connect.path)), shape)
            return lambda rows, allowed: held[rows] != 0
        case _:
            assert_never(connect.which)


def _lowest(keys: Doubles, k: int) -> Mask:
    """Where the k lowest keys of each row are."""
    import numpy as np

    rank = np.argsort(np.argsort(keys, axis=1), axis=1)
    return np.asarray(rank < k)


def _fan_in(connect: Connect, synapse: Synapse, numbers: Numbers) -> int:
    assert connect.argument is not None
    k = whole(connect.argument, numbers, f"the k of `fan_in` in `{synapse.name}`")
    if k > synapse.pre_size:
        units = f"`{synapse.pre}` has {synapse.pre_size} units"
        raise ValueError(f"`{synapse.name}` cannot have a fan_in of {k}: {units}")
    return k


# ---------------------------------------------------------------- matrices too large to be gone through


@frozen
class _All:
    """All columns of a row, `but` one."""

    but: int | None = None


def _row_by_row(synapse: Synapse, numbers: Numbers, stream: Generator, path: Callable[[str], Path]) -> Sparse:
    """Rows drawn in the time that their weights take."""
    parts = [_one_choice(c, synapse, numbers, stream, path) for c in _in_order(synapse)]
    rows = []
    for j in range(synapse.post_size):
        chosen: Columns | _All = _All()
        for part in parts:
            chosen = part(j, chosen)
        assert not isinstance(chosen, _All), "a synapse of which every weight is there is not sparse"
        rows.append(chosen)
    return _joined(rows, (synapse.post_size, synapse.pre_size))


def _one_choice(
    connect: Connect, synapse: Synapse, numbers: Numbers, stream: Generator, path: Callable[[str], Path]
) -> Callable[[int, Columns | _All], Columns | _All]:
    """What chooses some of a row's columns, in order."""
    import numpy as np

    pre = synapse.pre_size
    match connect.which:
        case "dense":
            return lambda j, chosen: chosen
        case "one_to_one":
            return lambda j, chosen: _both(chosen, np.arange(j, min(j + 1, pre), dtype=np.int32))
        case "no_self":
            return lambda j, chosen: _All(j if j < pre else None) if isinstance(chosen, _All) else chosen[chosen != j]
        case "sparse":
            assert connect.argument is not None
            chance = min(1.0, max(0.0, evaluate(connect.argument, numbers)))
            return lambda j, chosen: _some(chosen, int(stream.binomial(_count(chosen, pre), chance)), pre, stream)
        case "fan_in":
            k = _fan_in(connect, synapse, numbers)
            return lambda j, chosen: _some(chosen, k, pre, stream)
        case "file":
            assert connect.path is not None
            kept = shaped(synapse.name, connect.path, numbers_in(path(connect.path)), (synapse.post_size, pre))
            return lambda j, chosen: _both(chosen, np.flatnonzero(kept[j]).astype(np.int32))
        case _:
            assert_never(connect.which)


def _count(chosen: Columns | _All, pre: int) -> int:
    return pre - (chosen.but is not None) if isinstance(chosen, _All) else len(chosen)


def _some(chosen: Columns | _All, count: int, pre: int, stream: Generator) -> Columns:
    """So many of the columns, or all if there are fewer."""
    import numpy as np

    of = _count(chosen, pre)
    places = np.sort(stream.choice(of, min(count, of), replace=False, shuffle=False)).astype(np.int32)
    if not isinstance(chosen, _All):
        return chosen[places]
    return places if chosen.but is None else places + (places >= chosen.but).astype(np.int32)


def _both(chosen: Columns | _All, others: Columns) -> Columns:
    import numpy as np

    taken = others[others != chosen.but] if isinstance(chosen, _All) else np.intersect1d(chosen, others, True)
    found: Columns = taken
    return found
