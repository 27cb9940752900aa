"""Fits a data set to a circuit: sizes, one-hot classes, a split and a scaling.

language.md, `task`: image data are scaled to [0, 1] and centred by each feature's training mean,
tabular data z-scored with training statistics (zero deviation counts as 1); `scale` overrides. A
fixed 80/20 split, the same for every seed of a run, unless the data bring their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from circuitdsl.diagnostics import CircuitError, Diagnostic, Label, Span, did_you_mean
from circuitdsl.graph.ir import Circuit, Kind, Population
from circuitdsl.noise import rand
from circuitdsl.runtime.errors import MissingData
from circuitdsl.runtime.sources import NAMED, Raw, Sizes, SourceError, from_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Indices

    Table = NDArray[Any]

Scale = Literal["none", "center", "zscore"]

#: What a permutation is for: these words of 32 bits stand where the occurrence of a written `rand()` would, which has
#: 63. The split takes no seed, so that the test set does not depend on a run's.
SPLIT, SHUFFLE = 0xFFFF_FFFF, 0xFFFF_FFFE
TEST_FRACTION = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """`arrays`: for every input and target population [examples, size]; `train` and `test` index
    them. `name` is how the data were asked for."""

    name: str
    arrays: dict[str, NDArray[np.floating[Any]]]
    train: Indices
    test: Indices


def permutation(n: int, *, purpose: int, seed: int = 0, epoch: int = 0) -> Indices:
    """The numbers 0..n-1 in an order that depends on the keys alone: on no library's version and
    no machine. They are sorted by one random number each (`noise.rand`)."""
    import numpy as np

    places = np.arange(n, dtype=np.int64)
    keys = rand(seed, purpose, epoch, places, 0, np.zeros(1, dtype=np.int64), "float64")
    return np.argsort(keys, kind="stable").astype(np.int64)


def load_data(
    data: str | tuple[Any, Any],
    arguments: Sequence[tuple[str, float]],
    circuit: Circuit,
    *,
    scale: Scale | None = None,
    dtype: str = "float32",
    folder: Path | None = None,
    span: Span | None = None,
) -> Dataset:
    """A data set, fitted to the circuit's inputs and targets.

    `data` is a name (`digits`), a name with arguments (`two_moons(noise=0.2)`), a path (relative to
    `folder`), or arrays (X, y). `span` is where the circuit asks for it.
    Raises CircuitError: C060 unknown data set or argument, C061 sizes that do not fit, C062 a file
    or package that is missing, C063 data that cannot be used; MissingData, which is one, for C062 and
    for an unknown name that does not come from the circuit.
    """
    try:
        name, raw = _raw(data, dict(arguments), circuit, folder, span)
        return _fit(name, raw, circuit, scale, dtype, span)
    except SourceError as problem:
        finding = Diagnostic(
            code="C062" if problem.missing else "C063", title=problem.title, span=span, hint=problem.hint
        )
        raise (MissingData if problem.missing else CircuitError)([finding]) from None


# ---------------------------------------------------------------- what was asked for


def _raw(
    data: str | tuple[Any, Any],
    arguments: dict[str, float],
    circuit: Circuit,
    folder: Path | None,
    span: Span | None,
) -> tuple[str, Raw]:
    if not isinstance(data, str):
        return "arrays", _from_arrays(data)
    name, written = _call(data, span)
    arguments |= written
    if name in NAMED:
        return data, _named(name, arguments, circuit, span)
    if not looks_like_path(name):
        raise (MissingData if span is None else CircuitError)([_unknown(name, span)])
    path = Path(name).expanduser()
    populations = tuple(p.name for p in (*circuit.of_kind(Kind.INPUT), *circuit.of_kind(Kind.TARGET)))
    return data, from_file(path if folder is None else folder / path, populations)


def looks_like_path(name: str) -> bool:
    return "/" in name or "\\" in name or "." in name or Path(name).exists()


def _unknown(name: str, span: Span | None) -> Diagnostic:
    hint = did_you_mean(name, NAMED) or "a file is written as a path, such as data.npz or ./data.csv"
    known = "known: " + ", ".join(NAMED)
    return Diagnostic(code="C060", title=f"unknown data set `{name}`", span=span, notes=(known,), hint=hint)


def _call(text: str, span: Span | None) -> tuple[str, dict[str, float]]:
    """`two_moons(noise=0.2, n=500)` as its name and arguments."""
    match = re.fullmatch(r"\s*([A-Za-z_]\w*)\s*\((.*)\)\s*", text)
    if match is None:
        return text.strip(), {}
    arguments: dict[str, float] = {}
    for part in filter(None, (p.strip() for p in match[2].split(","))):
        key, _, value = part.partition("=")
        try:
            arguments[key.strip()] = float(value)
        except ValueError:
            title = f"`{part}` is not an argument of a data set"
            raise CircuitError(
                [Diagnostic(code="C060", title=title, span=span, hint="written as name=number")]
            ) from None
    return match[1], arguments


def _named(name: str, arguments: Mapping[str, float], circuit: Circuit, span: Span | None) -> Raw:
    source = NAMED[name]
    for key in arguments:
        if key not in source.defaults:
            known = ", ".join(f"{k} = {v:g}" for k, v in source.defaults.items()) or "none"
            raise CircuitError(
                [
                    Diagnostic(
                        code="C060",
                        title=f"data set `{name}` has no argument `{key}`",
                        span=span,
                        notes=(f"its arguments: {known}",),
                        hint=did_you_mean(key, source.defaults),
                    )
                ]
            )
    inputs = sum(p.size for p in circuit.of_kind(Kind.INPUT))
    targets = sum(p.size for p in circuit.of_kind(Kind.TARGET))
    return source.make({**source.defaults, **arguments}, Sizes(inputs, targets))


def _from_arrays(data: tuple[Any, Any]) -> Raw:
    import numpy as np

    if not isinstance(data, tuple | list) or len(data) != 2:
        raise SourceError("data are given as a pair (X, y); y may be None")
    x, y = (None if part is None else np.asarray(part) for part in data)
    return Raw(x=x, y=y, top=255.0 if x is not None and x.dtype == "uint8" else None)


# ---------------------------------------------------------------- made to fit


def _fit(name: str, raw: Raw, circuit: Circuit, scale: Scale | None, dtype: str, span: Span | None) -> Dataset:
    import numpy as np

    inputs = {p.name: _features(name, raw, p, circuit, span) for p in circuit.of_kind(Kind.INPUT)}
    targets = {p.name: _target(name, raw, p, circuit, span) for p in circuit.of_kind(Kind.TARGET)}
    n = _examples(name, {**inputs, **targets}, raw)
    train, test = _split(raw, n)
    for key, table in {**inputs, **targets}.items():
        _must_be_finite(name, key, table, "not finite")  # now: scaling spreads one over its whole feature
    arrays = {}
    with np.errstate(over="ignore", invalid="ignore"):
        for key, table in inputs.items():
            arrays[key] = _scaled(table, train, scale, raw.top, dtype)
        for key, table in targets.items():
            arrays[key] = table.astype(dtype)
    for key, table in arrays.items():
        _must_be_finite(name, key, table, f"too large to be scaled, or for {dtype}")
    return Dataset(name=name, arrays=arrays, train=train, test=test)


def _misfit(name: str, has: str, population: Population, span: Span | None, hint: str | None) -> CircuitError:
    kind = "input" if population.kind is Kind.INPUT else "target"
    title = f"data set `{name}` has {has}, but {kind} `{population.name}` has {population.size}"
    place = Label(population.span, f"{population.size} units")
    primary, labels = (population.span, ()) if span is None else (span, (place,))
    return CircuitError([Diagnostic(code="C061", title=title, span=primary, labels=labels, hint=hint)])


def _features(name: str, raw: Raw, population: Population, circuit: Circuit, span: Span | None) -> Table:
    table = raw.named.get(population.name, raw.x)
    if table is None or (population.name not in raw.named and len(circuit.of_kind(Kind.INPUT)) > 1):
        raise SourceError(
            f"data set `{name}` has no array for the input `{population.name}`",
            hint="a circuit with several inputs takes an .npz with one array per population, by its name",
        )
    if table.dtype.kind not in "biuf":
        raise SourceError(f"data set `{name}`: the array for `{population.name}` holds no numbers")
    flat = _rows(name, table, population)
    if flat.shape[1] != population.size:
        hint = f"write `input {population.name}: {flat.shape[1]}`"
        raise _misfit(name, _counted(flat.shape[1], "feature"), population, span, hint)
    return flat


def _rows(name: str, table: Table, population: Population) -> Table:
    """[examples, values of one]"""
    if table.ndim == 0 or not len(table):
        has = "one number" if table.ndim == 0 else "no examples"
        raise SourceError(f"data set `{name}`: the array for `{population.name}` holds {has}")
    return table.reshape(len(table), -1)


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "es" if what.endswith("s") else "s")


def _target(name: str, raw: Raw, population: Population, circuit: Circuit, span: Span | None) -> Table:
    """[examples, size]: classes one-hot (size 1: 0/1), other values as they are."""
    table = raw.named.get(population.name, raw.y)
    if table is None or (population.name not in raw.named and len(circuit.of_kind(Kind.TARGET)) > 1):
        raise SourceError(
            f"data set `{name}` has no array for the target `{population.name}`",
            hint="give y, or an .npz with one array per population, by its name",
        )
    if table.dtype.kind not in "biuf":
        raise SourceError(f"data set `{name}`: the array for `{population.name}` holds no numbers")
    size = population.size
    flat = _rows(name, table, population)
    if flat.shape[1] == 1 and (size > 1 or raw.classes or flat.dtype.kind in "biu"):
        return _classes(name, raw, flat[:, 0], population, span)
    if flat.shape[1] != size:
        hint = f"write `target {population.name}: {flat.shape[1]}`"
        raise _misfit(name, _counted(flat.shape[1], "target value"), population, span, hint)
    return flat


def _classes(name: str, raw: Raw, labels: Table, population: Population, span: Span | None) -> Table:
    import numpy as np

    size = population.size
    found, ranks = np.unique(labels, return_inverse=True)
    whole = bool(np.all(found == np.round(found)))
    if size == 1:
        if raw.classes in (None, 2) and len(found) <= 2:
            return np.where(found[ranks] == found[-1], 1.0, 0.0)[:, None]
        if raw.classes is None:
            return labels[:, None]
    count = raw.classes or len(found)
    fits = count == size if raw.classes else (count <= size and whole)
    if not fits:
        has = _counted(count, "class") if whole else "one target value"
        raise _misfit(name, has, population, span, f"write `target {population.name}: {count if whole else 1}`")
    ranks = labels.astype(np.int64) if found[0] >= 0 and found[-1] < size else ranks
    one_hot = np.zeros((len(labels), size))
    one_hot[np.arange(len(labels)), ranks] = 1.0
    return one_hot


def _examples(name: str, tables: Mapping[str, Table], raw: Raw) -> int:
    """How many examples there are; a circuit without inputs and targets takes the set's number."""
    counts = {key: len(table) for key, table in tables.items()}
    if not counts and raw.x is not None:
        return len(raw.x)
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{n} for `{key}`" for key, n in counts.items())
        raise SourceError(f"data set `{name}` has different numbers of examples: {listed}")
    n = next(iter(counts.values()), 0)
    if n == 0:
        raise SourceError(f"data set `{name}` has no examples")
    return n


def _split(raw: Raw, n: int) -> tuple[Indices, Indices]:
    import numpy as np

    if raw.train_count is not None:
        return np.arange(raw.train_count), np.arange(raw.train_count, n)
    if raw.train is not None or raw.test is not None:
        train = None if raw.train is None else _indices(raw.train, n)
        test = None if raw.test is None else _indices(raw.test, n)
        everything = np.arange(n)
        return (
            np.setdiff1d(everything, test) if train is None and test is not None else train,
            np.setdiff1d(everything, train) if test is None and train is not None else test,
        )  # type: ignore[return-value]
    if n < 2:
        return np.arange(n), np.arange(n)
    order = permutation(n, purpose=SPLIT)
    held_out = max(1, round(TEST_FRACTION * n))
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def _indices(array: Table, n: int) -> Indices:
    import numpy as np

    chosen = np.flatnonzero(array) if array.dtype == bool else array
    if chosen.dtype.kind not in "iu" or chosen.ndim != 1 or not len(chosen):
        raise SourceError("`train` and `test` are lists of example numbers, or masks")
    if chosen.min() < 0 or chosen.max() >= n:
        raise SourceError(f"`train` and `test` number the examples from 0 to {n - 1}")
    return chosen.astype(np.int64)


def _scaled(table: Table, train: Indices, scale: Scale | None, top: float | None, dtype: str) -> Table:
    """(x / top - shift) / spread, row block by row block: a large set is never held in float64."""
    import numpy as np

    how = scale or ("zscore" if top is None else "center")
    white = 1.0 if top is None else top
    shift, spread = _statistics(table, train, how, white)
    out: Table = np.empty(table.shape, dtype=dtype)
    for start in range(0, len(table), 4096):
        rows = slice(start, start + 4096)
        out[rows] = (table[rows] / white - shift) / spread
    return out


def _statistics(table: Table, train: Indices, how: str, white: float) -> tuple[Table, Table]:
    """Each feature's training mean and deviation, as far as `how` uses them."""
    import numpy as np

    shift, spread = np.zeros(table.shape[1]), np.ones(table.shape[1])
    if how == "none":
        return shift, spread
    shift = table[train].mean(axis=0, dtype=np.float64) / white
    if how == "zscore":
        total = np.zeros(table.shape[1])
        for start in range(0, len(train), 4096):
            total += np.square(table[train[start : start + 4096]] / white - shift).sum(axis=0)
        spread = np.sqrt(total / len(train))
        spread[np.isinf(spread)] = np.nan  # rather than to divide everything away
        spread[spread <= 1e-12 * np.maximum(np.abs(shift), 1e-300)] = 1.0
    return shift, spread


def _must_be_finite(name: str, key: str, table: Table, otherwise: str) -> None:
    import numpy as np

    wrong = np.argwhere(~np.isfinite(table))
    if len(wrong):
        row, column = wrong[0]
        are = "is" if len(wrong) == 1 else "are"
        raise SourceError(
            f"data set `{name}` has {_counted(len(wrong), 'value')} for `{key}` that {are} {otherwise}",
            hint=f"the first is {table[row, column]} in example {row}, feature {column}",
        )


def subset(dataset: Dataset, examples: int) -> Dataset:
    """The data set with only its first `examples` training and test examples."""
    return replace(dataset, train=dataset.train[:examples], test=dataset.test[:examples])
