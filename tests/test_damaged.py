"""Files that are damaged or made to do harm: one message each, with its place, and never anything else."""

from __future__ import annotations

import gzip
import io
import math
import os
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from circuitdsl.api import loads
from circuitdsl.data import content, memory
from circuitdsl.data.files import from_file
from circuitdsl.data.raw import Raw, SourceError, Wanted
from circuitdsl.diagnostics import CircuitError
from circuitdsl.runtime.data import load_data
from circuitdsl.runtime.doubts import doubts_of

WANTED = Wanted({"x": 4}, {"y": 3})
X = np.arange(80.0).reshape(20, 4)
Y = np.arange(20) % 3
#: Each file is spoilt so many times in the tests; `python tests/test_damaged.py 3000` does more.
TIMES = 30


def npz(compressed: bool = True) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, X=X, y=Y)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:  # type: ignore[type-arg]
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def idx(array: np.ndarray) -> bytes:  # type: ignore[type-arg]
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype("uint8").tobytes()


def parquet() -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame(X, columns=list("abcd")).assign(y=Y).to_parquet(buffer)
    return buffer.getvalue()


CIRCUIT = loads(
    """circuit c { input x: 4 target y: 3 neuron out: 3 { dendrite d rate = softmax(d) }
      synapse W: x -> out.d  loss = cross_entropy(out, y) }"""
).ir
TABLE = "\n".join(",".join(map(str, [*row, label])) for row, label in zip(X, Y, strict=True)).encode()
FILES: dict[str, Callable[[], bytes]] = {
    "d.npz": npz,
    "plain.npz": lambda: npz(compressed=False),
    "d.npy": lambda: npy(np.c_[X, Y]),
    "d-idx2-ubyte": lambda: idx(X),
    "d-idx2-ubyte.gz": lambda: gzip.compress(idx(X)),
    "d.csv": lambda: TABLE,
    "d.txt": lambda: TABLE.replace(b",", b" "),
    "d.csv.gz": lambda: gzip.compress(TABLE),
    "d.parquet": parquet,
}


def read(path: Path) -> Raw:
    return from_file(path, WANTED)


def spoilt(content: bytes, rng: random.Random) -> bytes:
    """The content with bits flipped, bytes changed, cut, doubled, put in or at the end."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 5, 20))):
        at = rng.randrange(len(found) + 1)
        match rng.randrange(7):
            case 0 if at < len(found):
                found[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(found):
                found[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 2:
                del found[at:]
            case 3:
                del found[at : at + rng.randrange(1, 9)]
            case 4:
                found[at:at] = rng.randbytes(rng.randrange(1, 9))
            case 5:
                found += found[at : at + 64]
            case _:
                found[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\x80\0\0\0"))
        if not found:
            break
    return bytes(found)


def spoil(path: Path, content: bytes, times: int, seed: int = 0) -> int:
    """How many of so many spoilt files were refused; the others were read and fitted to a circuit, their examples told
    apart and finite. Anything else is raised."""
    rng, refused = random.Random(f"{path.name} {seed}"), 0
    for _ in range(times):
        path.write_bytes(spoilt(content, rng))
        try:
            dataset = load_data(str(path), [], CIRCUIT)
        except CircuitError as problem:
            [finding] = problem.diagnostics
            assert finding.code in ("C061", "C062", "C063"), finding
            assert str(path) in finding.title, finding.title
            refused += 1
        else:
            doubts_of(dataset)
            assert all(np.isfinite(array).all() for array in dataset.arrays.values())
            assert len(dataset.train)
            assert len(dataset.test)
    return refused


@pytest.mark.parametrize("name", FILES)
def test_spoilt_files_are_refused_and_nothing_else(name: str, tmp_path: Path) -> None:
    content = FILES[name]()
    (tmp_path / name).write_bytes(content)
    raw = read(tmp_path / name)
    assert raw.x is not None
    assert len(raw.x) == 20
    refused = spoil(tmp_path / name, content, TIMES)
    assert 0 < refused <= TIMES


@pytest.mark.parametrize("name", ["d.npz", "plain.npz", "d.npy", "d-idx2-ubyte", "d-idx2-ubyte.gz", "d.csv.gz"])
def test_cut_files_are_refused(name: str, tmp_path: Path) -> None:
    content = FILES[name]()
    for length in {0, 1, 2, 3, 7, len(content) // 2, len(content) - 1}:
        (tmp_path / name).write_bytes(content[:length])
        with pytest.raises(SourceError):
            read(tmp_path / name)


# ---------------------------------------------------------------- archives


def refuses(path: Path, said: str) -> None:
    with pytest.raises(SourceError) as caught:
        read(path)
    told = f"{caught.value.title} | {caught.value.hint}"
    assert said in told, told


def test_archives_of_other_things(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    whole = npz()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    refuses(path, "holds readme.txt, but neither `X`")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("X.npy", npy(X))
        archive.writestr("y.npy", npy(Y))
    assert read(path).notes == (f"not used of `{path}`: `readme.txt`",)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("y.npy", npy(Y))
    refuses(path, "holds `y` twice")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("X.npy", b"no array")
    refuses(path, f"`X` in `{path}` is no .npy array")
    encrypted = bytearray(whole)
    at = encrypted.rindex(b"PK\x01\x02")
    encrypted[at + 8] |= 1
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(encrypted)
    refuses(path, "is encrypted")
    unknown = bytearray(whole)
    for mark, offset in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
        unknown[unknown.index(mark) + offset] = 99
    path.write_bytes(unknown)
    refuses(path, "packed by method 99")
    path.write_bytes(whole[: len(whole) // 2])
    refuses(path, "is damaged: file is not a zip file")
    path.write_bytes(b"\x80\x04\x95")
    refuses(path, "is no .npz archive")


def test_what_expands_a_thousandfold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "BYTES", 1 << 16)
    np.savez_compressed(tmp_path / "bomb.npz", X=np.zeros((2000, 100)))
    refuses(tmp_path / "bomb.npz", "it is not unpacked | unpack it yourself")
    for name in ("bomb.csv.gz", "bomb-idx3-ubyte.gz", "train-images-idx3-ubyte.gz"):
        (tmp_path / name).write_bytes(gzip.compress(b"0,0,0,0,1\n" * 200_000))
        refuses(tmp_path / name, "it is not unpacked")
    lying = bytearray((tmp_path / "bomb.npz").read_bytes())  # the directory says that there is little in it
    at = lying.rindex(b"PK\x01\x02")
    lying[at + 24 : at + 28] = struct.pack("<I", 100)
    (tmp_path / "bomb.npz").write_bytes(lying)
    with pytest.raises(SourceError):
        read(tmp_path / "bomb.npz")
    monkeypatch.setattr(content, "TIMES", 5000)
    (tmp_path / "mild.csv.gz").write_bytes(gzip.compress(b"1,2,3,4,1\n5,6,7,8,0\n" * 50))
    assert read(tmp_path / "mild.csv.gz").x is not None


def test_whole_headers_of_absurd_arrays(tmp_path: Path) -> None:
    head = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }"
    absurd = {
        ("<f8", "(1000000000000, 4)"): "is cut short",
        ("<f8", "(0, 99999999999999999999)"): "",
        ("<f8", "(-1, 4)"): "is damaged",
        ("<f8", "(2, 2.0)"): "is damaged",
        ("<f8", "'x'"): "is damaged",
        ("|O", "(3,)"): "holds Python objects, which are not read",
        ("<U0", "(99999999999999, 4)"): "",
        ("|V8", "(4,)"): "neither numbers nor texts",
        ("<M8[s]", "(4,)"): "neither numbers nor texts",
        ("<f3", "(4,)"): "is damaged",
        ("<f8", "(" + "1," * 40 + ")"): "",
        ("<f8", "(" * 200 + ")" * 200): "is damaged",
    }
    for (dtype, shape), said in absurd.items():
        text = (head % (dtype, shape)).encode() + b"\n"
        for version in (b"\x01\x00" + struct.pack("<H", len(text)), b"\x02\x00" + struct.pack("<I", len(text))):
            (tmp_path / "d.npy").write_bytes(b"\x93NUMPY" + version + text + b"\0" * 64)
            refuses(tmp_path / "d.npy", said)
    (tmp_path / "d.npy").write_bytes(npy(np.c_[X, Y]) + b"more")
    refuses(tmp_path / "d.npy", "is longer than it says")
    np.save(tmp_path / "d.npy", np.asfortranarray(np.c_[X, Y].astype(">f4")))
    raw = read(tmp_path / "d.npy")
    assert raw.x is not None
    np.testing.assert_array_equal(raw.x, X)


# ---------------------------------------------------------------- more than the memory


@pytest.mark.parametrize("name", FILES)
def test_what_does_not_fit_is_told_before_it_is_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name]())
    monkeypatch.setattr(memory, "_of_machine", lambda: 100.0)
    refuses(path, " MB of memory, and 0.0 MB is free | leave examples out")
    monkeypatch.setattr(memory, "_of_machine", lambda: 1e9)
    assert read(path).x is not None


@pytest.mark.parametrize("name", ["d.csv", "d.npy", "d-idx3-ubyte", "d.txt"])
def test_a_file_of_terabytes(name: str, tmp_path: Path) -> None:
    start = {"d.npy": npy(X), "d-idx3-ubyte": idx(X)}.get(name, TABLE)
    with (tmp_path / name).open("wb") as file:
        file.write(start)
        file.truncate(1 << 42)  # most of it takes no room on the disk
    refuses(tmp_path / name, " GB of memory, and ")


def test_what_grows_when_it_is_fitted_is_told_before(monkeypatch: pytest.MonkeyPatch) -> None:
    many = loads(
        "circuit c { input x: 4 target y: 1000 neuron out: 1000 { rate = 0 } loss = cross_entropy(out, y) }"
    ).ir
    monkeypatch.setattr(memory, "_of_machine", lambda: 1e7)
    arrays = np.zeros((1000, 4), "uint8"), np.arange(1000)
    with pytest.raises(CircuitError, match=r"data set `arrays` needs about 12.0 MB of memory, and 10.0 MB is free"):
        load_data(arrays, [], many)
    monkeypatch.setattr(memory, "_of_machine", lambda: 1.3e7)
    assert load_data(arrays, [], many).arrays["y"].shape == (1000, 1000)


def test_free_memory_is_the_least_of_what_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "KERNEL", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "GROUP", tmp_path)
    monkeypatch.setattr(memory, "_of_process", lambda: math.inf)
    assert memory.free_memory() == math.inf
    (tmp_path / "meminfo").write_text("MemTotal:  8000 kB\nMemAvailable:  4000 kB\n")
    assert memory.free_memory() == 4_096_000
    for key, value in {"max": "3000000\n", "current": "2500000\n", "stat": "anon 9\ninactive_file 500000\n"}.items():
        (tmp_path / f"memory.{key}").write_text(value)
    assert memory.free_memory() == 1_000_000
    (tmp_path / "memory.max").write_text("max\n")  # a group without a limit
    assert memory.free_memory() == 4_096_000


# ---------------------------------------------------------------- IDX


@pytest.mark.parametrize("shape", [(20,), (20, 4), (20, 2, 2), (20, 2, 1, 2), (20, 1, 2, 1, 2)])
def test_idx_of_any_rank(shape: tuple[int, ...], tmp_path: Path) -> None:
    array = np.arange(np.prod(shape)).reshape(shape) % 256
    (tmp_path / "d-idx").write_bytes(idx(array))
    raw = read(tmp_path / "d-idx")
    assert raw.x is not None
    np.testing.assert_array_equal(raw.x, array)


def test_idx_of_no_sense(tmp_path: Path) -> None:
    path = tmp_path / "d-idx"
    cases = {
        b"\0\0\x08\xff" + b"\0\0\0\1" * 255: "has 255 axes",
        b"\0\0\x08\x02" + b"\xff" * 8: "is cut short",
        b"\0\0\x08\x02" + struct.pack(">II", 0, 2**32 - 1): "holds no examples",
        b"\0\0\x08\x01" + struct.pack(">I", 2) + b"abc": "is longer than it says",
        b"\0\0\x0a\x01" + struct.pack(">I", 2) + b"ab": "is not an IDX file",
        b"\0\0\x08": "is not an IDX file",
        b"\0\0\x08\x01\0": "is cut short",
    }
    for whole, said in cases.items():
        path.write_bytes(whole)
        refuses(path, said)


def test_idx_files_that_do_not_go_together(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(X.reshape(20, 2, 2)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(Y))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(X.reshape(20, 4, 1)))
    refuses(tmp_path, "do not go together")
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(X.reshape(20, 2, 2)))
    refuses(tmp_path, "do not go together")  # labels here, none there
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(Y[:7]))
    refuses(tmp_path, "holds 20 examples, the labels beside it are 7")
    refuses(tmp_path / "empty", "there is no file")
    (tmp_path / "folder").mkdir()
    refuses(tmp_path / "folder", "has no train-images-idx3-ubyte[.gz] | a folder is read as MNIST's four files")


# ---------------------------------------------------------------- what is no file


def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    for name in ("p.csv", "p.npz", "p.npy", "p-idx1-ubyte", "p.parquet", "train-images-idx3-ubyte"):
        os.mkfifo(tmp_path / name)
        refuses(tmp_path / name, "is a pipe, no ordinary file")
        with pytest.raises(SourceError) as caught:
            read(tmp_path / name)
        assert not caught.value.missing
    refuses(tmp_path, "has no train-images")
    refuses(Path("/dev/zero"), "is a device")
    (tmp_path / "link.csv").symlink_to("/dev/zero")
    refuses(tmp_path / "link.csv", "is a device")
    (tmp_path / "lost.csv").symlink_to("nowhere")
    refuses(tmp_path / "lost.csv", "there is no file")
    refuses(tmp_path / ("x" * 300 + ".csv"), "cannot be read: file name too long")
    refuses(tmp_path / "a\0b.csv", "cannot be read")


if __name__ == "__main__":  # many more: prints what was refused of what
    import sys
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for name, make in FILES.items():
            times = int(sys.argv[1])
            print(name, spoil(Path(folder) / name, make(), times, seed=1), "of", times, flush=True)
