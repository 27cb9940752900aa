"""A table with columns, from a text, a data frame or an array: which column is the class or target, and which are no
columns at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from circuitdsl.data.raw import Raw, SourceError, Wanted, counted
from circuitdsl.frozen import frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = NDArray[Any]

#: What a column that holds the class or target is called, in any case.
LABEL_NAMES = frozenset(
    "class classes label labels target targets y category species variety outcome output diagnosis".split()
)
#: What a column that only numbers the rows is called.
INDEX_NAMES = frozenset({"", "unnamed: 0", "index", "id", "row", "rowid", "row_id", "no", "no."})
#: What stands for a value that is not there, beside nothing at all.
MISSING = frozenset({"", "?", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "<na>", "missing", "."})


@frozen(kw_only=True)
class Columns:
    """`numbers` [rows, columns], NaN where a value is missing or a text; `texts`: the columns that hold texts, "" where
    one is missing; `names`: of the columns, if they have some; `place(row)`: how the row is found where it comes from;
    `what`: the file, in quotes."""

    what: str
    numbers: Table
    texts: Mapping[int, Table]
    names: tuple[str, ...] | None
    place: Callable[[int], str]
    notes: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        return int(self.numbers.shape[1])

    def column(self, index: int) -> str:
        """How a column is called in messages."""
        name = self.names[index] if self.names else ""
        return f"column {index + 1}" + (f" (`{name}`)" if name else "")

    def without(self, dropped: Sequence[int], note: str) -> Columns:
        kept = [i for i in range(self.width) if i not in dropped]
        return replace(
            self,
            numbers=self.numbers[:, kept],
            texts={kept.index(i): texts for i, texts in self.texts.items() if i in kept},
            names=None if self.names is None else tuple(self.names[i] for i in kept),
            notes=(*self.notes, note),
        )


def raw_of(columns: Columns, wanted: Wanted) -> Raw:
    """The table as features and targets. Raises SourceError for values that are missing, texts among the features, and
    a table without a column that can be the target."""
    columns = _without_counter(_without_empty(columns), wanted)
    labels, notes = _labels(columns, wanted)
    features = [i for i in range(columns.width) if i not in labels]
    for i in features:
        _must_be_numbers(columns, i)
    if not features and wanted.inputs:
        raise SourceError(f"{columns.what} has one column: features and a class or target are needed")
    x = columns.numbers[:, features]
    return Raw(x=x, y=_targets(columns, labels), notes=(*columns.notes, *notes))


# ---------------------------------------------------------------- what is no column


def _without_empty(columns: Columns) -> Columns:
    """Without columns that hold nothing, such as the one that a comma at the end of every line makes."""
    import numpy as np

    nothing = np.isnan(columns.numbers).all(axis=0)
    empty = [int(i) for i in np.flatnonzero(nothing) if not _has_texts(columns, int(i))]
    if not empty:
        return columns
    if len(empty) == columns.width:
        raise SourceError(f"{columns.what} holds no values")
    listed = ", ".join(columns.column(i) for i in empty[:3]) + (f" and {len(empty) - 3} more" if empty[3:] else "")
    return columns.without(empty, f"{listed} of {columns.what} {_is(empty)} empty, and left out")


def _is(several: Sequence[Any]) -> str:
    return "is" if len(several) == 1 else "are"


def _has_texts(columns: Columns, index: int) -> bool:
    return index in columns.texts and bool((columns.texts[index] != "").any())


def _without_counter(columns: Columns, wanted: Wanted) -> Columns:
    """Without a first column that only numbers the rows, as pandas writes it, if its name says so or if the rest has
    as many columns as the circuit takes."""
    if columns.width < 3 or not _counts(columns, 0):
        return columns
    named = columns.names is not None and columns.names[0].strip().lower() in INDEX_NAMES
    fits = columns.width - 1 in (wanted.features + 1, wanted.features + wanted.values)
    if not named and not fits:
        return columns
    return columns.without([0], f"{columns.column(0)} of {columns.what} numbers the rows, and is left out")


def _counts(columns: Columns, index: int) -> bool:
    import numpy as np

    values = columns.numbers[:, index]
    return index not in columns.texts and len(values) > 2 and bool(np.all(np.diff(values) == 1))


# ---------------------------------------------------------------- the target


def _labels(columns: Columns, wanted: Wanted) -> tuple[list[int], list[str]]:
    """The columns of the target, and what is to be told of the choice."""
    last = columns.width - 1
    if not wanted.targets and columns.width == wanted.features:
        return [], []
    named = _named(columns, wanted)
    if len(named) == 1:
        [found] = named
        return [found], [] if found == last else [f"{columns.column(found)} of {columns.what} is taken as the target"]
    texts = [i for i in columns.texts if _is_class(columns, i, wanted)]
    if len(texts) == 1 and last not in columns.texts:
        [found] = texts
        return [found], [f"{columns.column(found)} of {columns.what}, which holds texts, is taken as the class"]
    if not columns.texts and wanted.values > 1 and columns.width == wanted.features + wanted.values:
        return list(range(wanted.features, columns.width)), []
    return [_first_or_last(columns, wanted)], _ambiguous(columns, wanted)


def _named(columns: Columns, wanted: Wanted) -> list[int]:
    """The columns whose name says that they are the target: that of the circuit's target, or a usual one."""
    names = [name.strip().lower() for name in columns.names or ()]
    own = {name.lower() for name in wanted.targets}
    return [i for i, n in enumerate(names) if n in own] or [i for i, n in enumerate(names) if n in LABEL_NAMES]


def _is_class(columns: Columns, index: int, wanted: Wanted) -> bool:
    """Whether a column holds texts only, as many different ones as the target has classes."""
    import numpy as np

    texts = columns.texts[index]
    return bool(np.isnan(columns.numbers[:, index]).all()) and len(np.unique(texts[texts != ""])) == max(
        2, wanted.values
    )


def _first_or_last(columns: Columns, wanted: Wanted) -> int:
    last = columns.width - 1
    return 0 if _is_class_first(columns, wanted) else last


def _is_class_first(columns: Columns, wanted: Wanted) -> bool:
    """Whether the first column has as many classes as the circuit's target has units, and the last has not."""
    size = max(2, wanted.values)
    first, last = _whole_values(columns, 0), _whole_values(columns, columns.width - 1)
    if wanted.values <= 1:  # the last may be a number to be learnt
        return False
    return first == size and last != size


def _ambiguous(columns: Columns, wanted: Wanted) -> list[str]:
    last = columns.width - 1
    if _is_class_first(columns, wanted):
        return [f"{columns.column(0)} of {columns.what} is taken as the class: it has {wanted.values} values, as"
                " many as the target has units"]  # fmt: skip
    if wanted.values == 1 and _whole_values(columns, 0) == 2 and _whole_values(columns, last) is None:
        return [f"{columns.column(last)} of {columns.what} is taken as the target; {columns.column(0)} has two values:"
                " if it is the class, move it to the end, or give the columns names"]  # fmt: skip
    return []


def _whole_values(columns: Columns, index: int) -> int | None:
    """How many whole numbers there are in a column; None if there is anything else in it."""
    import numpy as np

    values = columns.numbers[:, index]
    if index in columns.texts or not np.all(values == np.round(values)):
        return None
    return len(np.unique(values))


def _targets(columns: Columns, labels: Sequence[int]) -> Table | None:
    """The columns of the target: whole numbers as such, which are classes. Raises SourceError if one is missing."""
    import numpy as np

    if not labels:
        return None
    if len(labels) > 1:
        for i in labels:
            _must_be_numbers(columns, i)
        return columns.numbers[:, list(labels)]
    [i] = labels
    if i in columns.texts:
        texts = columns.texts[i]
        _must_be_there(columns, i, np.flatnonzero(texts == ""), "label")
        return texts
    values = columns.numbers[:, i]
    _must_be_there(columns, i, np.flatnonzero(np.isnan(values)), "label")
    whole = np.all(values == np.round(values)) and np.all(np.abs(values) < 2.0**53)
    return values.astype("int64") if whole else values


# ---------------------------------------------------------------- what must be there


def _must_be_numbers(columns: Columns, index: int) -> None:
    import numpy as np

    values = columns.numbers[:, index]
    if index in columns.texts:
        row = next(_texts_of(columns, index))
        raise SourceError(
            f"{columns.what}, {columns.place(row)}, {columns.column(index)}: "
            f"`{columns.texts[index][row]}` is no number",
            hint="features are numbers: write a category as columns of 0 and 1; the class stands last, or in a column"
            " called `class`",
        )
    _must_be_there(columns, index, np.flatnonzero(np.isnan(values)), "value")


def _texts_of(columns: Columns, index: int) -> Iterator[int]:
    import numpy as np

    texts = columns.texts[index]
    return (int(i) for i in np.flatnonzero((texts != "") & np.isnan(columns.numbers[:, index])))


def _must_be_there(columns: Columns, index: int, missing: Table, what: str) -> None:
    if len(missing):
        more = f", and {counted(len(missing) - 1, 'other')} there" if len(missing) > 1 else ""
        raise SourceError(
            f"{columns.what}, {columns.place(int(missing[0]))}, {columns.column(index)}: the {what} is missing{more}",
            hint="leave such rows out" + (", or fill in what they lack" if what == "value" else ""),
        )
