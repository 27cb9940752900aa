"""Arrays in NumPy's formats: `.npy`, and `.npz`, which is a zip archive of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.data.content import content_of, limit, ordinary, refuse_bomb, start_of, undamaged
from circuitdsl.data.memory import must_fit
from circuitdsl.data.raw import SourceError

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

    from numpy.typing import NDArray

    Table = NDArray[Any]

#: How many bytes a byte of an array comes to: itself, and what it is scaled and split into.
TIMES = 2
MAGIC = b"\x93NUMPY"
ENCRYPTED = 0x1
#: What an array may hold, by NumPy's letters: numbers (complex ones are refused where they are used) and texts.
KINDS = "biufcSU"


def read_npy(path: Path) -> Table:
    """The array of an `.npy` file. Raises SourceError."""
    return array_of(content_of(path, TIMES), f"`{path}`")


def array_of(content: bytes, what: str) -> Table:
    """The array of an `.npy` file's content: its bytes, where they are in the machine's order. `what` names it, in
    quotes. Raises SourceError; nothing is taken that would have to be unpickled."""
    import numpy as np

    if content[:6] != MAGIC:
        raise SourceError(f"{what} is no .npy array", hint="write it by `numpy.save`, or `numpy.savez` for several")
    shape, fortran, dtype, start = _header(content, what)
    if dtype.kind == "O":
        raise SourceError(
            f"{what} holds Python objects, which are not read: they can run code",
            hint="save it as an array of numbers or of texts: `numpy.asarray(values.tolist())`",
        )
    if dtype.names is not None or dtype.kind not in KINDS or not dtype.itemsize:
        kind = "records" if dtype.names is not None else f"`{dtype}`"
        raise SourceError(f"{what} holds {kind}, neither numbers nor texts", hint="save one array for each field")
    size, there = math.prod(shape) * dtype.itemsize, len(content) - start
    if size != there:
        than = "is cut short" if there < size else "is longer than it says"
        raise SourceError(
            f"{what} {than}: {there:,} bytes for an array of {_shape(shape)}, which has {size:,}",
            hint="get it once more from where it came, or write it anew",
        )
    with undamaged(what):
        flat = np.frombuffer(content, dtype=dtype, offset=start, count=math.prod(shape))
        found: Table = flat.reshape(shape, order="F" if fortran else "C")
    return found if dtype.isnative else found.astype(dtype.newbyteorder("="))


def _header(content: bytes, what: str) -> tuple[tuple[int, ...], bool, Any, int]:
    """Shape, whether columns come first, dtype, and where the array starts."""
    import io
    import warnings

    from numpy.lib import format as npy

    stream = io.BytesIO(content)
    with undamaged(what), warnings.catch_warnings(action="ignore"):
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise SourceError(f"{what} is of version {version[0]}.{version[1]} of its format, which is not read")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(stream)
        if any(n < 0 for n in shape) or len(shape) > 32:
            raise SourceError(f"{what} is damaged: it says that it is {_shape(shape)}")
        return tuple(shape), bool(fortran), dtype, stream.tell()


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{n:,}" for n in shape) or "one number"


# ---------------------------------------------------------------- archives


def read_npz(path: Path) -> tuple[Mapping[str, Table], tuple[str, ...]]:
    """The arrays of an `.npz` file by name, and the names of what else is in there. Raises SourceError."""
    import zipfile

    size = ordinary(path).st_size
    if start_of(path, 2) != b"PK":
        raise SourceError(f"`{path}` is no .npz archive", hint="write it by `numpy.savez`")
    with undamaged(f"`{path}`"), zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        unpacked = sum(m.file_size for m in members)
        refuse_bomb(path, size, unpacked)
        must_fit(f"`{path}`", TIMES * unpacked)
        arrays: dict[str, Table] = {}
        for member in members:
            if member.filename.endswith(".npy"):
                name = member.filename.removesuffix(".npy")
                if name in arrays:
                    raise SourceError(f"`{path}` holds `{name}` twice")
                arrays[name] = array_of(_member(archive, member, path, size), f"`{name}` in `{path}`")
    return arrays, tuple(m.filename for m in members if not m.filename.endswith(".npy"))


def _member(archive: ZipFile, member: ZipInfo, path: Path, packed: int) -> bytes:
    what = f"`{member.filename}` in `{path}`"
    if member.flag_bits & ENCRYPTED:
        raise SourceError(f"{what} is encrypted", hint="write the archive without a password")
    with undamaged(what):
        try:
            with archive.open(member) as file:
                found = file.read(limit(packed) + 1)
        except NotImplementedError:
            raise SourceError(
                f"{what} is packed by method {member.compress_type}, which is not known here",
                hint="write the archive by `numpy.savez_compressed`",
            ) from None
    refuse_bomb(path, packed, len(found))
    return found
