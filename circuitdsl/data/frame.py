"""Data frames of pandas, and parquet files, which it reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.data.columns import Columns
from circuitdsl.data.content import ordinary, undamaged
from circuitdsl.data.dialect import is_missing
from circuitdsl.data.memory import must_fit
from circuitdsl.data.raw import SourceError
from circuitdsl.extras import how_to_get

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = NDArray[Any]

#: How many bytes a cell comes to, however it is packed: as pandas has it, and as a number of ours.
TIMES = 16


def is_frame(data: Any) -> bool:
    """Whether it is a data frame, told without importing pandas."""
    return type(data).__name__ == "DataFrame" and hasattr(data, "columns") and hasattr(data, "iloc")


def read_parquet(path: Path) -> Columns:
    """The columns of a parquet file. Raises SourceError."""
    ordinary(path)
    try:
        import pandas as pd
        import pyarrow.parquet as parquet  # also since pandas says less well that it is missing
    except ModuleNotFoundError as problem:
        raise SourceError(
            f"`{path}` is a parquet file, for which `{problem.name}` is not installed",
            hint=f"{how_to_get('pyarrow')}; or save it as .csv or .npz",
            missing=True,
        ) from None
    with undamaged(f"`{path}`"):
        told = parquet.read_metadata(path)
        must_fit(f"`{path}`", TIMES * told.num_rows * told.num_columns)
        frame = pd.read_parquet(path, engine="pyarrow")
    return of_frame(frame, f"`{path}`")


def of_frame(frame: Any, what: str) -> Columns:
    """The columns of a data frame. Raises SourceError for columns of dates, lists and other things."""
    import numpy as np

    if not len(frame) or not len(frame.columns):
        raise SourceError(f"{what} holds no {'rows' if len(frame.columns) else 'columns'}")
    numbers = np.full(frame.shape, np.nan)
    texts: dict[int, Table] = {}
    for i in range(frame.shape[1]):
        values, words = column_of(frame.iloc[:, i], f"{what}, column `{frame.columns[i]}`")
        numbers[:, i] = values
        if words is not None:
            texts[i] = words
    names = tuple(str(name) for name in frame.columns)
    named = None if names == tuple(str(i) for i in range(len(names))) else names
    labels = [str(label) for label in frame.index]
    return Columns(what=what, numbers=numbers, texts=texts, names=named, place=lambda row: f"row {labels[row]}")


def column_of(series: Any, what: str) -> tuple[Table, Table | None]:
    """A column's numbers, NaN where there are none, and its texts, if it has some, "" where one is missing. Raises
    SourceError."""
    import numpy as np

    kind = getattr(series.dtype, "kind", "O")
    if kind == "c":
        raise SourceError(f"{what} holds complex numbers", hint="give real and imaginary part a column each")
    if kind in "mM":
        raise SourceError(f"{what} holds dates or times", hint="write them as numbers, such as days since the first")
    if kind in "biuf":
        return np.asarray(series.to_numpy(dtype="float64", na_value=np.nan)), None
    missing = np.asarray(series.isna(), dtype=bool)
    cells = ["" if gone else cell for cell, gone in zip(series.astype(object), missing, strict=True)]
    for cell in cells:
        if not isinstance(cell, str | int | float | np.number | np.bool_):
            raise SourceError(f"{what} holds {type(cell).__name__}s, neither numbers nor texts")
    values = np.array([_number(cell) for cell in cells])
    if np.isnan(values[~missing]).any():
        words = ["" if isinstance(c, str) and is_missing(c.strip()) else str(c).strip() for c in cells]
        return values, np.array(words)
    return values, None


def _number(cell: Any) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
