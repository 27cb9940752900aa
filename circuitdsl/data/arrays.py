"""Arrays by name, from an archive or from Python: which is what, and how they are split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from circuitdsl.data.columns import Columns, raw_of
from circuitdsl.data.raw import Raw, SourceError, Wanted, counted, white

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = NDArray[Any]

#: What the arrays of features and of targets are called, the first being what we say; in any case.
FEATURES = ("X", "data", "images", "features", "inputs")
TARGETS = ("y", "target", "targets", "labels", "label")
#: The parts of data that bring their split, and what their arrays' names end in.
PARTS: Mapping[str, tuple[str, ...]] = {
    "train": ("_train", "_training"),
    "validation": ("_validation", "_val", "_valid"),
    "test": ("_test",),
}
#: What scipy.sparse.save_npz writes.
SPARSE = frozenset({"indices", "indptr", "format", "shape", "data"})

#: The arrays of one thing: whole under "", or by the parts of PARTS.
Parts = dict[str, "Table"]


def raw_of_arrays(arrays: Mapping[str, Table], wanted: Wanted, what: str, others: Sequence[str] = ()) -> Raw:
    """`X` and `y`, or one array per population, each whole or as `X_train` and `X_test`; `train`, `test`, `validation`
    as indices or masks of whole ones. `others`: what else is there, which is told. Raises SourceError."""
    if set(arrays) >= SPARSE:
        raise SourceError(
            f"{what} holds a sparse matrix of SciPy",
            hint="numpy.savez(path, X=scipy.sparse.load_npz(...).toarray(), y=...)",
        )
    split = {part: arrays[part] for part in PARTS if part in arrays and part not in wanted.populations}
    by_base = _by_base({key: a for key, a in arrays.items() if key not in split}, wanted)
    named = {name: by_base[name] for name in wanted.populations if name in by_base}
    x_key, y_key = _first(FEATURES, by_base, named), _first(TARGETS, by_base, named)
    found = dict(named) | {key: by_base[key] for key in (x_key, y_key) if key is not None}
    if not found or not (named or x_key):
        raise _nothing(arrays, wanted, what, others)
    joined, made = _joined(found, what)
    if made and split:
        raise SourceError(f"{what} brings its split twice: as `{next(iter(split))}`, and by names such as `X_test`")
    unused = [key for key in arrays if key not in split and _base(key, wanted)[0] not in found]
    notes = [f"not used of {what}: {', '.join(f'`{key}`' for key in (*unused, *others))}"] if unused or others else []
    x, parts = None if x_key is None else joined[x_key], made or split
    return Raw(
        x=x,
        y=None if y_key is None else joined[y_key],
        named={name: joined[name] for name in named},
        top=white(x),
        notes=tuple(notes),
        train=parts.get("train"),
        test=parts.get("test"),
        validation=parts.get("validation"),
    )


def _nothing(arrays: Mapping[str, Table], wanted: Wanted, what: str, others: Sequence[str]) -> SourceError:
    keys = ", ".join(f"`{key}` ({_shape(array)})" for key, array in arrays.items()) or ", ".join(others) or "nothing"
    return SourceError(
        f"{what} holds {keys}, but neither `X` nor an array for {' or '.join(wanted.populations) or 'an input'}",
        hint="numpy.savez(path, X=..., y=...), or one array per population, by its name",
    )


def _shape(array: Table) -> str:
    return " x ".join(map(str, array.shape)) or "one number"


def _base(key: str, wanted: Wanted) -> tuple[str, str]:
    """The thing that a key names, and which part of it: `X_test` is ("X", "test")."""
    if key in wanted.populations:
        return key, ""
    for part, endings in PARTS.items():
        for ending in endings:
            if key.lower().endswith(ending):
                return key[: -len(ending)], part
    return key, ""


def _by_base(arrays: Mapping[str, Table], wanted: Wanted) -> dict[str, Parts]:
    found: dict[str, Parts] = {}
    for key, array in arrays.items():
        base, part = _base(key, wanted)
        found.setdefault(base, {})[part] = array
    return found


def _first(names: Sequence[str], by_base: Mapping[str, Parts], named: Mapping[str, Parts]) -> str | None:
    """The key of the first of these names that is there, in any case, and is no population's."""
    lower = {key.lower(): key for key in by_base if key not in named}
    return next((lower[name.lower()] for name in names if name.lower() in lower), None)


def _joined(found: Mapping[str, Parts], what: str) -> tuple[dict[str, Table], dict[str, Table]]:
    """Each thing in one array, its parts one after the other, and the indices of the parts; none if all are whole."""
    import numpy as np

    found = {base: _parts_of(base, arrays, what) for base, arrays in found.items()}
    first, parts = next((base, list(arrays)) for base, arrays in found.items())
    for base, arrays in found.items():
        if list(arrays) != parts:
            raise _unlike(first, parts, base, list(arrays), what)
    if parts == ["train"]:
        return {base: arrays["train"] for base, arrays in found.items()}, {}
    if "train" not in parts:
        raise SourceError(f"{what} has `{first}_{parts[0]}`, but no `{first}_train`")
    for base, arrays in found.items():
        _must_go_together(base, arrays, first, found[first], what)
    ends = np.cumsum([len(array) for array in found[first].values()])
    made = dict(zip(parts, np.split(np.arange(ends[-1]), ends[:-1]), strict=True))
    return {base: np.concatenate(list(arrays.values())) for base, arrays in found.items()}, made


def _parts_of(base: str, arrays: Parts, what: str) -> Parts:
    """The parts of a thing in their order; what is whole, or beside a test set only, is to train on."""
    if "" in arrays and "train" in arrays:
        raise SourceError(f"{what} has both `{base}` and `{base}_train`")
    arrays = {part or "train": array for part, array in arrays.items()}
    return {part: arrays[part] for part in PARTS if part in arrays}


def _unlike(first: str, parts: list[str], base: str, others: list[str], what: str) -> SourceError:
    part = next(part for part in PARTS if (part in parts) != (part in others))
    there, lacks = (first, base) if part in parts else (base, first)
    return SourceError(f"{what} has `{there}_{part}`, but no `{lacks}_{part}`")


def _must_go_together(base: str, arrays: Parts, first: str, of_first: Parts, what: str) -> None:
    """Raises SourceError unless all parts have examples of one shape, as many as there are of the first thing."""
    if len({array.shape[1:] if array.ndim else None for array in arrays.values()}) > 1 or not arrays["train"].ndim:
        told = ", ".join(f"`{base}_{part}` is {_shape(array)}" for part, array in arrays.items())
        raise SourceError(f"{what} has examples of different shapes: {told}")
    for part, array in arrays.items():
        if len(array) != len(of_first[part]):
            raise SourceError(
                f"{what} has {counted(len(of_first[part]), 'example')} in `{first}_{part}` and {len(array):,} in "
                f"`{base}_{part}`"
            )


def raw_of_array(table: Table, wanted: Wanted, what: str) -> Raw:
    """An array alone: features, or a table whose columns are also the class or target. Raises SourceError."""
    if not wanted.targets or table.ndim != 2:
        return Raw(x=table, top=white(table))
    if table.dtype.kind not in "biuf" or not len(table):
        return Raw(x=table)
    if table.shape[1] == wanted.features:
        raise SourceError(
            f"{what} holds features and no target", hint="numpy.savez('data.npz', X=..., y=...), or y.npy beside X.npy"
        )
    columns = Columns(
        what=what, numbers=table.astype("float64"), texts={}, names=None, place=lambda row: f"row {row}"
    )  # fmt: skip
    return raw_of(columns, wanted)
