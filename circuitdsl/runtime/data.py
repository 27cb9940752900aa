"""Fits a data set to a circuit: what was asked for, a split, and the arrays of each population.

A fixed 80/20 split, the same for every seed of a run, unless the data bring their own (language.md, `task`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from circuitdsl.data.files import from_file
from circuitdsl.data.given import raw_of_given
from circuitdsl.data.memory import must_fit
from circuitdsl.data.named import NAMED, Sizes
from circuitdsl.data.raw import Raw, SourceError, Wanted
from circuitdsl.diagnostics import CircuitError, Diagnostic, Span, did_you_mean
from circuitdsl.frozen import frozen
from circuitdsl.graph.ir import Circuit, Kind
from circuitdsl.noise import rand
from circuitdsl.runtime.errors import MissingData
from circuitdsl.runtime.fitting import Fitter, examples_of, must_be_finite, scaled, top_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Indices

    Table = NDArray[Any]

Scale = Literal["none", "center", "zscore"]

#: What a permutation is for: these words of 32 bits stand where the occurrence of a written `rand()` would, which has
#: 63. The splits take no seed, so that test and validation set do not depend on a run's.
SPLIT, SHUFFLE, VALIDATION = 0xFFFF_FFFF, 0xFFFF_FFFE, 0xFFFF_FFFC
TEST_FRACTION = 0.2


def _no_examples() -> Indices:
    import numpy as np

    return np.arange(0)


@frozen(kw_only=True)
class Dataset:
    """`arrays`: for every input and target population [examples, size]; `train`, `test` and `validation` index
    them; the last is empty unless a task asks for it, and what choices are judged on. `name` is how the data were asked
    for. `own`: whether they are the user's; `targets`: which of the arrays are targets; `labels`: what the classes of
    a target are called, if not by their numbers; `notes`: how they were read, where that is not the only way."""

    name: str
    arrays: dict[str, NDArray[np.floating[Any]]]
    train: Indices
    test: Indices
    validation: Indices = field(default_factory=_no_examples)
    own: bool = False
    targets: tuple[str, ...] = ()
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def judged(self) -> Indices:
        """What choices are judged on: the validation set, without one the test set."""
        return self.validation if len(self.validation) else self.test


def permutation(n: int, *, purpose: int, seed: int = 0, epoch: int = 0) -> Indices:
    """The numbers 0..n-1 in an order that depends on the keys alone: on no library's version and
    no machine. They are sorted by one random number each (`noise.rand`)."""
    import numpy as np

    places = np.arange(n, dtype=np.int64)
    keys = rand(seed, purpose, epoch, places, 0, np.zeros(1, dtype=np.int64), "float64")
    return np.argsort(keys, kind="stable").astype(np.int64)


def load_data(
    data: Any,
    arguments: Sequence[tuple[str, float]],
    circuit: Circuit,
    *,
    scale: Scale | None = None,
    validation: float | None = None,
    dtype: str = "float32",
    folder: Path | None = None,
    span: Span | None = None,
) -> Dataset:
    """A data set, fitted to the circuit's inputs and targets.

    `data` is a name (`digits`), a name with arguments (`two_moons(noise=0.2)`), a path (relative to
    `folder`), or what `data/given.py` takes: arrays (X, y), a mapping of arrays, a data frame. `validation`: the part
    of the training examples that is held out to judge choices. `span` is where the circuit asks for it.
    Raises CircuitError: C060 unknown data set or argument, C061 sizes that do not fit, C062 a file
    or package that is missing, C063 data that cannot be used; MissingData, which is one, for C062 and
    for an unknown name that does not come from the circuit.
    """
    try:
        name, raw = _raw(data, dict(arguments), circuit, folder, span)
        return _fit(name, raw, circuit, scale, validation, dtype, span)
    except SourceError as problem:
        finding = Diagnostic(
            code="C062" if problem.missing else "C063", title=problem.title, span=span, hint=problem.hint
        )
        raise (MissingData if problem.missing else CircuitError)([finding]) from None


# ---------------------------------------------------------------- what was asked for


def _raw(
    data: Any,
    arguments: dict[str, float],
    circuit: Circuit,
    folder: Path | None,
    span: Span | None,
) -> tuple[str, Raw]:
    wanted = Wanted(*({p.name: p.size for p in circuit.of_kind(kind)} for kind in (Kind.INPUT, Kind.TARGET)))
    if isinstance(data, PathLike):
        data = fspath(data)
        return data, from_file(_place(data, folder), wanted)
    if not isinstance(data, str):
        return "arrays", raw_of_given(data, wanted)
    name, written = _call(data, span)
    arguments |= written
    if name in NAMED:
        return data, _named(name, arguments, Sizes(wanted.features, wanted.values), span)
    if not looks_like_path(name):
        raise (MissingData if span is None else CircuitError)([_unknown(name, span)])
    return data, from_file(_place(data.strip(), folder), wanted)


def _place(name: str, folder: Path | None) -> Path:
    try:
        path = Path(name).expanduser()
    except RuntimeError:  # of a user who is not there
        path = Path(name)
    return path if folder is None else folder / path


def looks_like_path(name: str) -> bool:
    return "/" in name or "\\" in name or "." in name or _exists(name)


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # what no file can be called
        return False


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


def _named(name: str, arguments: Mapping[str, float], sizes: Sizes, span: Span | None) -> Raw:
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
    return source.make({**source.defaults, **arguments}, sizes)


# ---------------------------------------------------------------- made to fit


def _fit(
    name: str, raw: Raw, circuit: Circuit, scale: Scale | None, validation: float | None, dtype: str, span: Span | None
) -> Dataset:
    import numpy as np

    fitter = Fitter(name, raw, circuit, span)
    inputs = {p.name: fitter.features(p) for p in circuit.of_kind(Kind.INPUT)}
    must_fit(f"data set `{name}`", _bytes_of(inputs, circuit, raw, dtype))
    found = {p.name: fitter.target(p) for p in circuit.of_kind(Kind.TARGET)}
    targets = {key: table for key, (table, _) in found.items()}
    n = examples_of(name, {**inputs, **targets}, raw)
    train, test, held_out = _split(raw, n, validation, name)
    for key, table in {**inputs, **targets}.items():
        must_be_finite(name, key, table, "not finite")  # now: scaling spreads one over its whole feature
    arrays = {}
    with np.errstate(over="ignore", invalid="ignore"):
        for key, table in inputs.items():
            arrays[key] = scaled(table, train, scale, top_of(raw, circuit.populations[key]), dtype)
        for key, table in targets.items():
            arrays[key] = table.astype(dtype)
    for key, table in arrays.items():
        must_be_finite(name, key, table, f"too large to be scaled, or for {dtype}")
    return Dataset(
        name=name,
        arrays=arrays,
        train=train,
        test=test,
        validation=held_out,
        own=name.partition("(")[0].strip() not in NAMED,
        targets=tuple(targets),
        labels={key: names for key, (_, names) in found.items() if names},
        notes=(*raw.notes, *fitter.notes),
    )


def _bytes_of(inputs: Mapping[str, Table], circuit: Circuit, raw: Raw, dtype: str) -> float:
    """What fitting takes beside what was read: every number in the run's precision, the training examples once more for
    their mean, and targets, where a class has a number for each unit, in float64 before."""
    import numpy as np

    width = np.dtype(dtype).itemsize
    n = max((len(y) for y in (raw.y, *raw.named.values()) if y is not None and y.ndim), default=0)
    targets = sum(p.size for p in circuit.of_kind(Kind.TARGET))
    return n * targets * (8 + width) + sum(table.size * (width + table.itemsize) for table in inputs.values())


# ---------------------------------------------------------------- split


def _split(raw: Raw, n: int, validation: float | None, name: str) -> tuple[Indices, Indices, Indices]:
    """Training, test and validation examples. Raises SourceError."""
    import numpy as np

    train, test = _train_and_test(raw, n, name)
    if raw.validation is not None:
        held_out = _indices(raw.validation, n, "validation", name)
        return np.setdiff1d(train, held_out) if raw.train is None else train, test, held_out
    if validation is None:
        return train, test, _no_examples()
    if len(train) < 2:
        raise SourceError(f"data set `{name}` has one training example: none can be held out to validate")
    order = train[permutation(len(train), purpose=VALIDATION)]
    count = min(len(train) - 1, max(1, round(validation * len(train))))
    return np.sort(order[count:]), test, np.sort(order[:count])


def _train_and_test(raw: Raw, n: int, name: str) -> tuple[Indices, Indices]:
    import numpy as np

    if raw.train is None and raw.test is None:
        if n < 2:
            return np.arange(n), np.arange(n)
        order = permutation(n, purpose=SPLIT)
        held_out = max(1, round(TEST_FRACTION * n))
        return np.sort(order[held_out:]), np.sort(order[:held_out])
    train = None if raw.train is None else _indices(raw.train, n, "train", name)
    test = None if raw.test is None else _indices(raw.test, n, "test", name)
    everything = np.arange(n)
    if train is None:
        train = np.setdiff1d(everything, _no_examples() if test is None else test)
    if test is None:
        test = np.setdiff1d(everything, train)
    for part, what in ((train, "train"), (test, "test")):
        if not len(part):
            raise SourceError(f"data set `{name}` leaves no examples to {what} on")
    return train, test


def _indices(array: Table, n: int, part: str, name: str) -> Indices:
    """The examples of a part, from their indices or a mask. Raises SourceError."""
    import numpy as np

    what = f"`{part}` of data set `{name}`"
    if array.ndim == 0:
        raise SourceError(
            f"{what} is one {'number' if array.dtype.kind in 'biufc' else 'text'}: it has to list examples by their "
            "indices, from 0, or to mark them in a mask",
            hint=_first_examples(array, n, part),
        )
    if array.ndim != 1 or array.dtype.kind not in "biu":
        raise SourceError(f"{what} holds neither indices of examples nor a mask")
    if array.dtype == bool and len(array) != n:
        raise SourceError(f"{what} is a mask of {len(array)} examples, but there are {n}")
    chosen = np.flatnonzero(array) if array.dtype == bool else array
    if not len(chosen):
        raise SourceError(f"{what} holds no example")
    if chosen.min() < 0 or chosen.max() >= n:
        hint = "they are numbered from 0: subtract 1" if chosen.min() > 0 and chosen.max() == n else None
        raise SourceError(f"{what} has to number the examples from 0 to {n - 1}", hint=hint)
    if len(np.unique(chosen)) != len(chosen):
        hint = "a mask is of type bool" if len(array) == n and chosen.max() == 1 else "list each example once"
        raise SourceError(f"{what} lists examples several times", hint=hint)
    return chosen.astype(np.int64)


def _first_examples(array: Table, n: int, part: str) -> str | None:
    """How that many examples are said, or that part of them."""
    if array.dtype.kind not in "iuf" or not 0 < array <= n:
        return None
    count = round(float(array) * n) if array < 1 else int(array)
    return f"for the first {count} of them: `{part} = numpy.arange({count})`"


def subset(dataset: Dataset, examples: int) -> Dataset:
    """The data set with only its first `examples` training and test examples."""
    return replace(dataset, train=dataset.train[:examples], test=dataset.test[:examples])
