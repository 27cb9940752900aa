"""IDX, the format of MNIST: an array of any rank, or the folder of four files that MNIST comes as."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.data.content import content_of, start_of
from circuitdsl.data.raw import Raw, SourceError, white

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = NDArray[Any]

KINDS = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
#: NumPy's arrays have no more axes.
MOST_AXES = 32


def is_idx(start: bytes) -> bool:
    """Whether the first four bytes are those of an IDX file."""
    return len(start) >= 4 and start[:2] == b"\0\0" and start[2] in KINDS


def _times(start: bytes) -> float:
    """How many bytes a byte of the file comes to: itself, and each number as a float of 4 bytes; of what is packed,
    its type is not seen yet: bytes, as images are."""
    import numpy as np

    return 1 + 4 / np.dtype(KINDS.get(start[2] if is_idx(start) else 0x08, "u1")).itemsize


def read_idx(path: Path) -> Table:
    """An array in the IDX format, gzipped or not (LeCun's description of the format). Raises SourceError."""
    import numpy as np

    content = content_of(path, _times(start_of(path, 4)))
    if not is_idx(content[:4]):
        raise SourceError(
            f"`{path}` is not an IDX file: it does not start with two zeros and one of its types",
            hint="of MNIST and its kin: train-images-idx3-ubyte, as it was unpacked or still gzipped",
        )
    rank, dtype = content[3], np.dtype(KINDS[content[2]])
    start = 4 + 4 * rank
    if rank > MOST_AXES:
        raise SourceError(f"`{path}` says that it has {rank} axes: more than {MOST_AXES} are not read")
    shape = [int.from_bytes(content[k : k + 4], "big") for k in range(4, start, 4)]
    size, there = start + math.prod(shape) * dtype.itemsize, len(content)
    if there != size:
        than = "is cut short" if there < size else "is longer than it says"
        raise SourceError(
            f"`{path}` {than}: {there:,} bytes for an array of {' x '.join(map(str, shape)) or 'one number'}, "
            f"which takes {size:,}",
            hint="get it once more from where it came",
        )
    if not math.prod(shape):
        raise SourceError(f"`{path}` holds no examples")
    flat = np.frombuffer(content, dtype=dtype, offset=start)
    found: Table = flat.reshape(shape).astype(dtype.newbyteorder("="))
    return found


def idx_file(folder: Path, name: str) -> Path | None:
    """The file of that name, gzipped or not."""
    dotted = name.replace("-idx", ".idx")  # as MNIST's files are called after unpacking with some tools
    names = (f"{name}.gz", name, f"{dotted}.gz", dotted)
    return next((folder / n for n in names if (folder / n).is_file()), None)


def idx_folder(folder: Path) -> Raw:
    """The four files of MNIST and its kin: {train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]. Raises SourceError."""
    path = idx_file(folder, "train-images-idx3-ubyte")
    if path is None:
        raise SourceError(
            f"the folder `{folder}` has no train-images-idx3-ubyte[.gz]",
            hint="a folder is read as MNIST's four files; any other data are one file: .npz, .csv, .parquet",
            missing=True,
        )
    return idx_pair(path)


def idx_pair(images: Path) -> Raw:
    """The images, their labels beside them, and the test set beside these, if there is one. Raises SourceError."""
    import numpy as np

    x, y = read_idx(images), _labels_of(images)
    if "labels" in images.name and y is None:
        raise SourceError(f"`{images}` holds labels", hint="name the file with the images: its labels are found beside")
    held_out = images.with_name(images.name.replace("train", "t10k"))
    if held_out == images or not held_out.is_file():
        return Raw(x=x, y=y, top=white(x))
    x_test, y_test = read_idx(held_out), _labels_of(held_out)
    if x.shape[1:] != x_test.shape[1:] or (y is None) != (y_test is None):
        raise SourceError(
            f"`{images.name}` and `{held_out.name}` do not go together: {_one(x, y)} there, {_one(x_test, y_test)} here"
        )
    _as_many(images, x, y)
    _as_many(held_out, x_test, y_test)
    both = None if y is None or y_test is None else np.concatenate([y, y_test])
    train, test = np.split(np.arange(len(x) + len(x_test)), [len(x)])
    return Raw(x=np.concatenate([x, x_test]), y=both, top=white(x), train=train, test=test)


def _one(x: Table, y: Table | None) -> str:
    return f"examples of {' x '.join(map(str, x.shape[1:])) or 'one number'}, {'no ' if y is None else ''}labels"


def _as_many(images: Path, x: Table, y: Table | None) -> None:
    if y is not None and len(x) != len(y):
        raise SourceError(f"`{images}` holds {len(x):,} examples, the labels beside it are {len(y):,}")


def _labels_of(images: Path) -> Table | None:
    labels = images.with_name(images.name.replace("images", "labels").replace("idx3", "idx1"))
    return read_idx(labels) if labels != images and labels.is_file() else None
