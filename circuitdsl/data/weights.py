"""Weights in files: safetensors of every type of number, and `.npy` arrays that a circuit names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.data.content import ordinary, undamaged
from circuitdsl.data.memory import must_fit
from circuitdsl.data.npy import read_npy
from circuitdsl.data.raw import SourceError, counted
from circuitdsl.frozen import frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

#: The types that NumPy has, by their names in a safetensors file, and those that are widened here.
PLAIN = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1", "U64": "<u8",
         "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "?"}  # fmt: skip
WIDENED = ("BF16", "F8_E5M2", "F8_E4M3")


#: Bytes of a safetensors file that are looked at together.
BLOCK = 1 << 19


@frozen(kw_only=True)
class Stored:
    """A safetensors file: the `shapes` of all arrays that are there, its metadata, and, of those that were asked for,
    the largest size of a number. The numbers stay in the file, `places` says where."""

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str]
    places: Mapping[str, tuple[str, int, int]]  # type, first byte, byte after the last
    largest: dict[str, float] = field(default_factory=dict)

    def blocks(self, name: str) -> Iterator[Array]:
        """The numbers of an array in a row, some at a time. Raises SourceError for a type that is not read."""
        dtype, start, end = self.places[name]
        what = f"`{name}` in `{self.path}`"
        with self.path.open("rb") as file:
            file.seek(start)
            while start < end:
                content = file.read(min(BLOCK, end - start))
                start += len(content)
                yield _numbers(content, dtype, what)

    def read_into(self, name: str, array: Array) -> None:
        """Sets an array of the same shape, in place."""
        at = 0
        for block in self.blocks(name):
            array.flat[at : at + block.size] = block
            at += block.size


def read_safetensors(path: Path, names: Collection[str]) -> Stored:
    """The arrays of these names, as far as they are there. Raises SourceError for a file that is none, and for numbers
    of other types or that are not finite."""
    import json

    import numpy as np
    from safetensors import SafetensorError, safe_open

    must_fit(f"`{path}`", ordinary(path).st_size)
    try:
        with undamaged(f"`{path}`"), safe_open(path, framework="numpy") as file:  # which holds the head to its content
            metadata = file.metadata() or {}
    except SafetensorError as problem:
        raise SourceError(f"`{path}` is no safetensors file, or damaged: {problem}") from None
    with path.open("rb") as file:
        first = 8 + int.from_bytes(file.read(8), "little")
        head = json.loads(file.read(first - 8))
    head.pop("__metadata__", None)
    stored = Stored(
        path=path,
        shapes={name: tuple(told["shape"]) for name, told in head.items()},
        metadata=metadata,
        places={n: (told["dtype"], *(first + at for at in told["data_offsets"])) for n, told in head.items()},
    )
    for name in stored.shapes.keys() & set(names):
        wrong = 0
        stored.largest[name] = 0.0
        for block in stored.blocks(name):
            wrong += int(np.count_nonzero(~np.isfinite(block)))
            stored.largest[name] = max(stored.largest[name], float(np.abs(block).max()))
        if wrong:
            raise SourceError(_not_finite(f"`{name}` in `{path}`", wrong))
    return stored


def _numbers(content: bytes, dtype: str, what: str) -> Array:
    """The numbers of an array in a row."""
    import numpy as np

    if dtype in PLAIN:
        return np.frombuffer(content, dtype=PLAIN[dtype])
    match dtype:
        case "BF16":  # the upper half of a float32
            return (np.frombuffer(content, dtype="<u2").astype("<u4") << 16).view("<f4")
        case "F8_E5M2":  # the upper half of a float16
            return (np.frombuffer(content, dtype="u1").astype("<u2") << 8).view("<f2")
        case "F8_E4M3":
            values: Array = _e4m3()[np.frombuffer(content, dtype="u1")]
            return values
        case _:
            read = ", ".join((*PLAIN, *WIDENED))
            raise SourceError(f"{what} is of type {dtype}, which is not read", hint=f"save it as F32; read are {read}")


def _e4m3() -> Array:
    """The value of each byte as a float of 8 bits with 4 of exponent, without infinities (OCP 8-bit floating point
    specification, 2023)."""
    import numpy as np

    byte = np.arange(256)
    exponent, fraction = byte >> 3 & 15, (byte & 7) / 8
    size = np.where(exponent == 0, np.ldexp(fraction, -6), np.ldexp(1 + fraction, exponent - 7))
    size[(byte & 127) == 127] = np.nan
    return np.where(byte & 128, -size, size).astype(np.float32)


def weights_of(path: Path) -> Array:
    """The numbers of an `.npy` file. Raises SourceError if it is not there or holds anything else."""
    found = read_npy(path)
    if found.dtype.kind not in "biuf":
        kind = {"c": "complex numbers", "U": "texts", "S": "texts"}[found.dtype.kind]
        raise SourceError(f"`{path}` holds {kind}, where weights are real numbers")
    return _finite(found, f"`{path}`")


def _finite(found: Array, what: str) -> Array:
    import numpy as np

    wrong = int(np.count_nonzero(~np.isfinite(found)))
    if wrong:
        raise SourceError(_not_finite(what, wrong))
    return found


def _not_finite(what: str, wrong: int) -> str:
    return f"{what} has {counted(wrong, 'value')} that {'is' if wrong == 1 else 'are'} not finite"
