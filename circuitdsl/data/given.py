"""Data given from Python: arrays, lists, data frames, several of them by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from circuitdsl.data.arrays import raw_of_arrays
from circuitdsl.data.columns import raw_of
from circuitdsl.data.frame import column_of, is_frame, of_frame
from circuitdsl.data.raw import Raw, SourceError, Wanted, white

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = NDArray[Any]

FORMS = "arrays (X, y), ((X, y), (X_test, y_test)), a mapping of arrays by name, or a data frame"


def raw_of_given(data: Any, wanted: Wanted) -> Raw:
    """Arrays (X, y), y or X being None where there is none; two such pairs, the second to test on; a mapping as an
    `.npz` would hold it; a data frame as a table. Raises SourceError for anything else."""
    if is_frame(data):
        return raw_of(of_frame(data, "the data frame"), wanted)
    if isinstance(data, Mapping):
        arrays = {str(key): array_of(value, f"`{key}`") for key, value in data.items() if value is not None}
        return raw_of_arrays(arrays, wanted, "the mapping")
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise SourceError(f"data are given as a pair (X, y), not as a {type(data).__name__}", hint=f"known: {FORMS}")
    if all(isinstance(part, tuple) and len(part) == 2 for part in data):
        (x, y), (x_test, y_test) = data
        arrays = {"X_train": x, "y_train": y, "X_test": x_test, "y_test": y_test}
        return raw_of_given({key: part for key, part in arrays.items() if part is not None}, wanted)
    x, y = (None if part is None else array_of(part, name) for part, name in zip(data, ("`X`", "`y`"), strict=True))
    return Raw(x=x, y=y, top=white(x))


def array_of(value: Any, what: str) -> Table:
    """Anything that NumPy makes an array of. Raises SourceError for what is sparse, ragged, masked or of objects."""
    import numpy as np

    if is_frame(value):
        return _of_frame(value, what)
    if type(value).__name__ == "Series" and hasattr(value, "iloc"):
        numbers, texts = column_of(value, what)
        whole = getattr(value.dtype, "kind", "O") in "biu" and not np.isnan(numbers).any()
        return texts if texts is not None else numbers.astype(np.int64) if whole else numbers
    if hasattr(value, "toarray") and not isinstance(value, np.ndarray):
        raise SourceError(f"{what} is sparse, which data are not", hint="give its `.toarray()`")
    if isinstance(value, np.ma.MaskedArray) and np.ma.getmaskarray(value).any():
        raise SourceError(f"{what} has values that are masked, that is, missing", hint="leave such examples out")
    try:
        found: Table = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as problem:
        raise SourceError(
            f"{what} makes no array: {str(problem).splitlines()[0]}",
            hint="each example needs as many values as the others",
        ) from None
    return _of_objects(found, what) if found.dtype.kind == "O" else found


def _of_frame(frame: Any, what: str) -> Table:
    columns = of_frame(frame, what)
    for i, texts in columns.texts.items():
        raise SourceError(f"{what}, {columns.column(i)}, holds texts such as `{next(t for t in texts if t)}`")
    return columns.numbers


def _of_objects(found: Table, what: str) -> Table:
    """Texts of an array of objects, "" where one is missing, or its numbers."""
    import numpy as np

    flat = found.ravel().tolist()
    if all(isinstance(cell, str) or cell is None or cell != cell for cell in flat):
        return np.array([cell if isinstance(cell, str) else "" for cell in flat]).reshape(found.shape)
    try:
        return found.astype(np.float64)
    except (ValueError, TypeError):
        kind = next(type(cell).__name__ for cell in flat if not isinstance(cell, int | float))
        raise SourceError(f"{what} holds objects such as of type {kind}, not only numbers or texts") from None
