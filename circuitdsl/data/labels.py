"""Labels: classes and values that are to be learnt, as numbers or as texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from circuitdsl.data.dialect import is_missing, is_plain
from circuitdsl.data.raw import SourceError, counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = NDArray[Any]


def labels_of(labels: Table, what: str) -> Table:
    """Labels of any kind with none missing: numbers as they are, also those that are written as texts; other texts as
    texts. `what` names the data, in quotes. Raises SourceError."""
    import numpy as np

    if labels.dtype.kind in "SU":
        labels = _texts(labels, what)
    if labels.dtype.kind == "c":
        raise SourceError(f"{what} has complex labels", hint="give real and imaginary part a target each")
    if labels.dtype.kind in "mM":
        raise SourceError(f"{what} has dates or times as labels", hint="write them as numbers")
    if labels.dtype.kind == "f":
        _must_be_there(np.unique(np.nonzero(np.isnan(labels))[0]).tolist(), what)
    return labels


def _texts(labels: Table, what: str) -> Table:
    """Texts without blanks around them, or the numbers that all of them are."""
    import numpy as np

    if labels.dtype.kind == "S":
        try:
            labels = np.char.decode(labels, "utf-8")
        except UnicodeDecodeError:
            labels = np.char.decode(labels, "latin-1")
    labels = np.char.strip(labels)
    cells = labels.ravel().tolist()
    _must_be_there([i for i, cell in enumerate(cells) if is_missing(cell)], what)
    if cells and all(map(is_plain, cells)):
        numbers = np.array([float(cell) for cell in cells]).reshape(labels.shape)
        return numbers.astype(np.int64) if _are_whole(numbers) else numbers
    return labels


def _are_whole(numbers: Table) -> bool:
    import numpy as np

    return bool(np.all(numbers == np.round(numbers)) and np.all(np.abs(numbers) < 2.0**53))


def _must_be_there(missing: Sequence[int], what: str) -> None:
    if len(missing):
        more = f", and those of {counted(len(missing) - 1, 'other')}" if len(missing) > 1 else ""
        raise SourceError(f"{what}: the label of example {missing[0]} is missing{more}", hint="leave such examples out")
