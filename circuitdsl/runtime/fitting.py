"""What a source gives, made to fit a circuit: sizes, one-hot classes, scaling.

language.md, `task`: image data are scaled to [0, 1] and centred by each feature's training mean,
tabular data z-scored with training statistics (zero deviation counts as 1); `scale` overrides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from circuitdsl.data.labels import labels_of
from circuitdsl.data.raw import Raw, SourceError, counted, white
from circuitdsl.diagnostics import CircuitError, Diagnostic, Label, Span
from circuitdsl.frozen import frozen
from circuitdsl.graph.aligned import empty
from circuitdsl.graph.ir import Circuit, Kind, Population

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Indices

    Table = NDArray[Any]


@frozen
class Fitter:
    """Fits one data set, called `name`, to a circuit that asks for it at `span`."""

    name: str
    raw: Raw
    circuit: Circuit
    span: Span | None
    notes: list[str] = field(default_factory=list)  # what is to be told of how it was fitted

    # ------------------------------------------------------------ inputs

    def features(self, population: Population) -> Table:
        """[examples, size]. Raises CircuitError, SourceError."""
        table = self._of(population, self.raw.x, "a circuit with several inputs takes one array per population, by its"
                         " name: an .npz, or from Python a mapping")  # fmt: skip
        if table.dtype.kind not in "biuf":
            raise SourceError(f"{self._array(population)} holds {_kind(table)}, where features are numbers")
        self._must_have_examples(population, table)
        flat = table.reshape(len(table), -1)
        if flat.shape[1] != population.size:
            if table.ndim > 2:
                raise self._misfit(_shape(table) + " values", population, _hint_of_shape(table, population))
            hint = f"write `input {population.name}: {flat.shape[1]}`"
            if len(table.shape) == 2 and len(table) == population.size:
                hint = f"examples are rows: {population.size} x {flat.shape[1]} may have to be transposed, `X.T`"
            raise self._misfit(counted(flat.shape[1], "feature"), population, hint)
        if sum(n > 1 for n in table.shape[1:]) > 1 and table.dtype != "uint8":
            self.notes.append(
                f"each example of {_shape(table)} values is put in one row for `{population.name}`: if one axis is"
                " time, all its moments are there at once"
            )
        return flat

    def _of(self, population: Population, only: Table | None, hint: str) -> Table:
        """The array of a population: by its name, or the only one of its kind."""
        named = self.raw.named.get(population.name)
        if named is not None:
            return named
        if only is None or len(self.circuit.of_kind(population.kind)) > 1:
            kind = "input" if population.kind is Kind.INPUT else "target"
            raise SourceError(f"data set `{self.name}` has no array for the {kind} `{population.name}`", hint=hint)
        return only

    def _array(self, population: Population) -> str:
        return f"data set `{self.name}`: the array for `{population.name}`"

    def _must_have_examples(self, population: Population, table: Table) -> None:
        if table.ndim == 0 or not len(table):
            has = "one number" if table.ndim == 0 else "no examples"
            raise SourceError(f"{self._array(population)} holds {has}")

    def _misfit(self, has: str, population: Population, hint: str | None) -> CircuitError:
        kind = "input" if population.kind is Kind.INPUT else "target"
        title = f"data set `{self.name}` has {has}, but {kind} `{population.name}` has {population.size}"
        place = Label(population.span, f"{population.size} units")
        primary, labels = (population.span, ()) if self.span is None else (self.span, (place,))
        return CircuitError([Diagnostic(code="C061", title=title, span=primary, labels=labels, hint=hint)])

    # ------------------------------------------------------------ targets

    def target(self, population: Population) -> tuple[Table, tuple[str, ...]]:
        """[examples, size]: classes one-hot (size 1: 0/1), other values as they are; and what the classes are called
        if not by their numbers. Raises CircuitError, SourceError."""
        table = self._of(
            population, self.raw.y, "give y, or one array per population, by its name: an .npz, or a mapping"
        )
        if table.dtype.kind not in "biufSUcmM":
            raise SourceError(f"{self._array(population)} holds {_kind(table)}, where labels are numbers or texts")
        self._must_have_examples(population, table)
        size = population.size
        labels = labels_of(table.reshape(len(table), -1), f"data set `{self.name}`")
        if labels.shape[1] == 1 and (size > 1 or self.raw.classes or labels.dtype.kind in "biuU"):
            return self._classes(labels[:, 0], population)
        if labels.dtype.kind == "U":
            raise SourceError(f"{self._array(population)} has {labels.shape[1]} texts for an example, one is a class")
        if labels.shape[1] != size:
            if table.ndim > 2:
                raise self._misfit(_shape(table) + " target values", population, _hint_of_shape(table, population))
            hint = f"write `target {population.name}: {labels.shape[1]}`"
            raise self._misfit(counted(labels.shape[1], "target value"), population, hint)
        return labels, ()

    def _classes(self, labels: Table, population: Population) -> tuple[Table, tuple[str, ...]]:
        """Classes are numbered from 0 in the order of their labels; whole numbers below the size are numbers of
        classes already."""
        import numpy as np

        size = population.size
        found, ranks = np.unique(labels, return_inverse=True)
        texts = labels.dtype.kind == "U"
        names = tuple(str(label) if texts else f"{label:g}" for label in found)
        if size == 1 and len(found) <= 2 and self.raw.classes in (None, 2):
            if not texts and set(found.tolist()) <= {0, 1}:
                return labels.astype(np.float64)[:, None], ()
            return np.where(ranks == 1, 1.0, 0.0)[:, None], names
        if size == 1 and self.raw.classes is None and not texts:
            return labels[:, None], ()
        self._must_fit(found, population)
        if not texts and found[0] >= 0 and found[-1] < size:
            ranks, names = labels.astype(np.int64), ()
        one_hot = np.zeros((len(labels), size))
        one_hot[np.arange(len(labels)), ranks] = 1.0
        return one_hot, names

    def _must_fit(self, found: Table, population: Population) -> None:
        """Raises CircuitError unless so many classes have a unit each."""
        import numpy as np

        size, texts = population.size, found.dtype.kind == "U"
        whole = texts or bool(np.all(found == np.round(found)))
        count = self.raw.classes or len(found)
        numbered = whole and not texts and found[0] >= 0 and found[-1] < size
        if (count == size and whole) or (numbered and self.raw.classes is None):
            return
        has = counted(count, "class") if whole else "one target value"
        hint = f"write `target {population.name}: {count if whole else 1}`"
        if whole and self.raw.classes is None and len(found) <= 12:
            hint += f"; the classes are {', '.join(str(label) for label in found.tolist())}"
        raise self._misfit(has, population, hint)


def _kind(table: Table) -> str:
    """What an array holds that is no number."""
    return {"c": "complex numbers", "S": "texts", "U": "texts", "m": "times", "M": "dates"}.get(
        table.dtype.kind, f"`{table.dtype}`"
    )


def _shape(table: Table) -> str:
    return " x ".join(str(n) for n in table.shape[1:])


def _hint_of_shape(table: Table, population: Population) -> str:
    """What to do with examples of several axes: those of an image may be put in one row, those of time may not."""
    import math

    kind = "input" if population.kind is Kind.INPUT else "target"
    flat = f"`{kind} {population.name}: {math.prod(table.shape[1:])}`"
    if population.size in table.shape[1:]:
        return (
            f"one axis seems to be time: {kind}s that change within an example are not yet available; "
            "take one moment, or a mean over time"
        )
    if table.dtype == "uint8":
        return f"write {flat}, which takes all of an image"
    return f"if no axis is time, {flat} takes all of an example; series in time are not yet available"


# ---------------------------------------------------------------- scaling


def scaled(table: Table, train: Indices, scale: str | None, top: float | None, dtype: str) -> Table:
    """(x / top - shift) / spread, row block by row block: a large set is never held in float64."""

    how = scale or ("zscore" if top is None else "center")
    brightest = 1.0 if top is None else top
    shift, spread = _statistics(table, train, how, brightest)
    out: Table = empty(table.shape, dtype)
    for start in range(0, len(table), 4096):
        rows = slice(start, start + 4096)
        out[rows] = (table[rows] / brightest - shift) / spread
    return out


def top_of(raw: Raw, population: Population) -> float | None:
    """The value of white in an input's array; None for a table."""
    return white(raw.named[population.name]) if population.name in raw.named else raw.top


def _statistics(table: Table, train: Indices, how: str, brightest: float) -> tuple[Table, Table]:
    """Each feature's training mean and deviation, as far as `how` uses them."""
    import numpy as np

    shift, spread = np.zeros(table.shape[1]), np.ones(table.shape[1])
    if how == "none":
        return shift, spread
    shift = table[train].mean(axis=0, dtype=np.float64) / brightest
    if how == "zscore":
        total = np.zeros(table.shape[1])
        for start in range(0, len(train), 4096):
            total += np.square(table[train[start : start + 4096]] / brightest - shift).sum(axis=0)
        spread = np.sqrt(total / len(train))
        spread[np.isinf(spread)] = np.nan  # rather than to divide everything away
        spread[spread <= 1e-12 * np.maximum(np.abs(shift), 1e-300)] = 1.0
    return shift, spread


def must_be_finite(name: str, key: str, table: Table, otherwise: str) -> None:
    """Raises SourceError for the first value that is not."""
    import numpy as np

    wrong = np.argwhere(~np.isfinite(table))
    if len(wrong):
        row, column = wrong[0]
        are = "is" if len(wrong) == 1 else "are"
        raise SourceError(
            f"data set `{name}` has {counted(len(wrong), 'value')} for `{key}` that {are} {otherwise}",
            hint=f"the first is {table[row, column]} in example {row}, feature {column}",
        )


def examples_of(name: str, tables: Mapping[str, Table], raw: Raw) -> int:
    """How many examples there are; a circuit without inputs and targets takes the set's number. Raises SourceError."""
    counts = {key: len(table) for key, table in tables.items()}
    if not counts and raw.x is not None and raw.x.ndim:
        return len(raw.x)
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{n} for `{key}`" for key, n in counts.items())
        raise SourceError(f"data set `{name}` has different numbers of examples: {listed}")
    n = next(iter(counts.values()), 0)
    if n == 0:
        raise SourceError(f"data set `{name}` has no examples")
    return n
