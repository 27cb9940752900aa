"""The user's own files: what a file is, told by its name and its first bytes, and which of its arrays is what."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.data.arrays import raw_of_array, raw_of_arrays
from circuitdsl.data.columns import raw_of
from circuitdsl.data.content import GZIP, content_of, start_of
from circuitdsl.data.frame import read_parquet
from circuitdsl.data.idx import idx_folder, idx_pair, is_idx
from circuitdsl.data.npy import MAGIC, read_npy, read_npz
from circuitdsl.data.raw import Raw, SourceError, Wanted
from circuitdsl.data.text import read_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = NDArray[Any]

TEXTS = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat", ".test", ".train")
READ = ".npz, .npy, .csv (.tsv, .txt, .data), .parquet, and IDX as MNIST comes"

#: What is not read: by its first bytes, or by its name's end, with the way to what is.
OTHERS: Mapping[bytes | str, tuple[str, str]] = {
    b"\x89HDF": ("an HDF5 file", "with h5py: numpy.savez('data.npz', X=file['X'][:], y=file['y'][:])"),
    **dict.fromkeys(
        (b"CDF\x01", b"CDF\x02", b"CDF\x05"),
        ("a netCDF file", "with xarray: numpy.savez('data.npz', X=dataset['X'], y=dataset['y'])"),
    ),
    b"MATLAB 5": ("a MATLAB file", "m = scipy.io.loadmat(path); numpy.savez('data.npz', X=m['X'], y=m['y'].ravel())"),
    b"\x89PNG": ("an image", "stack the images into one array [examples, height, width]: numpy.savez"),
    b"\xff\xd8\xff": ("an image", "stack the images into one array [examples, height, width]: numpy.savez"),
    b"\x80": ("a pickle, which is not read: it can run code", "load it where you trust it, and numpy.savez its arrays"),
    b"ARROW1": ("a feather file", "pandas.read_feather(path).to_parquet('data.parquet')"),
    b"BZh": ("packed by bzip2", "unpack it: bunzip2"),
    b"\xfd7zXZ": ("packed by xz", "unpack it: unxz"),
    b"%PDF": ("a PDF", "save the table as .csv"),
    ".xlsx": ("a spreadsheet", "save the sheet as .csv"),
    ".xls": ("a spreadsheet", "save the sheet as .csv"),
    ".ods": ("a spreadsheet", "save the sheet as .csv"),
    ".json": ("JSON", "numpy.savez('data.npz', X=..., y=...)"),
    ".arff": ("of Weka's format, ARFF", "keep the lines below @data, as .csv"),
    ".pt": ("of PyTorch", "torch.load it where you trust it, and numpy.savez its arrays"),
    ".pth": ("of PyTorch", "torch.load it where you trust it, and numpy.savez its arrays"),
    ".safetensors": ("weights", "weights are given by --weights"),
    ".circ": ("a circuit", "data are a name such as digits, or a file"),
    ".zip": ("a zip archive", "unpack it, and name the file inside"),
}  # fmt: skip


def from_file(path: Path, wanted: Wanted) -> Raw:
    """The data in a file of one of the formats of READ, or in a folder of IDX files. Raises SourceError if it is
    missing or cannot be read."""
    if os.path.isdir(path):  # which never raises
        return idx_folder(path)
    start = start_of(path, 16)
    name = path.name.lower().removesuffix(".gz")
    if not start:
        raise SourceError(f"`{path}` is empty")
    if name.endswith(".npz"):
        arrays, others = read_npz(path)
        return raw_of_arrays(arrays, wanted, f"`{path}`", others)
    if name.endswith(".npy"):
        return _from_npy(path, wanted)
    if name.endswith((".parquet", ".pq")):
        return raw_of(read_parquet(path), wanted)
    if name.endswith(TEXTS) and _other(path, start) is None:
        return raw_of(read_text(path), wanted)
    if "idx" in name or is_idx(start):
        return idx_pair(path)
    return _by_content(path, start, wanted)


def _by_content(path: Path, start: bytes, wanted: Wanted) -> Raw:
    """A file whose name does not say what it is."""
    if start[:2] == GZIP:
        start = content_of(path)[:16]
        if is_idx(start):
            return idx_pair(path)
    if start.startswith(MAGIC):
        return _from_npy(path, wanted)
    if start.startswith(b"PAR1"):
        return raw_of(read_parquet(path), wanted)
    other = _other(path, start)
    if other is None and start.startswith(b"PK"):
        arrays, others = read_npz(path)
        return raw_of_arrays(arrays, wanted, f"`{path}`", others)
    title, hint = other or ("of none of the formats that are read", f"read are {READ}")
    raise SourceError(f"`{path}` is {title}", hint=hint)


def _other(path: Path, start: bytes) -> tuple[str, str] | None:
    """What a file is that is not read, and how to make something of it that is."""
    for key, told in OTHERS.items():
        if start.startswith(key) if isinstance(key, bytes) else path.name.lower().endswith(key):
            return told
    return None


def _from_npy(path: Path, wanted: Wanted) -> Raw:
    """An array alone: with the labels in another beside it (`X.npy` and `y.npy`), or a table with them."""
    table, labels = read_npy(path), _labels_beside(path)
    if labels is not None:
        return raw_of_arrays({"X": table, "y": read_npy(labels)}, wanted, f"`{path}`")
    return raw_of_array(table, wanted, f"`{path}`")


def _labels_beside(path: Path) -> Path | None:
    """`y_train.npy` beside `X_train.npy`, `labels.npy` beside `images.npy`."""
    for x, y in (("X", "y"), ("x", "y"), ("images", "labels"), ("data", "labels"), ("features", "targets")):
        if path.name.startswith(x):
            beside = path.with_name(y + path.name.removeprefix(x))
            if beside.is_file():
                return beside
    return None
