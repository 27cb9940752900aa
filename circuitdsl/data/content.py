"""The bytes of a file: of ordinary files only, unpacked within limits, and with one word for what is damaged."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from circuitdsl.data.memory import free_memory, must_fit
from circuitdsl.data.raw import SourceError

GZIP = b"\x1f\x8b"
#: What is packed may become so many times as large, or so many bytes whatever it was. Noise, which data are full of,
#: packs badly; what packs a thousandfold was made to fill a memory.
TIMES, BYTES = 100, 1 << 28


def ordinary(path: Path) -> os.stat_result:
    """What the system says of a file. Raises SourceError for what is not there, and for pipes and devices, which need
    not have an end."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise SourceError(f"there is no file `{path}`", missing=True) from None
    except (OSError, ValueError) as problem:
        raise SourceError(f"`{path}` cannot be read: {_why(problem)}", missing=True) from None
    if not stat.S_ISREG(found.st_mode):
        kinds = {stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket",
                 stat.S_IFDIR: "a folder"}  # fmt: skip
        kind = kinds.get(stat.S_IFMT(found.st_mode), "something else")
        raise SourceError(f"`{path}` is {kind}, no ordinary file", hint="write what it gives to a file, and name that")
    return found


def content_of(path: Path, times: float = 1) -> bytes:
    """All of an ordinary file, unpacked if it is packed by gzip. `times`: how many bytes of memory a byte of it comes
    to in the end, which have to be free. Raises SourceError."""
    size = ordinary(path).st_size
    packed = start_of(path, 2) == GZIP
    must_fit(f"`{path}`", size if packed else times * size)
    try:
        content = path.read_bytes()
    except MemoryError:
        raise SourceError(f"`{path}` needs more memory than there is: {size:,} bytes") from None
    except OSError as problem:
        raise SourceError(f"`{path}` cannot be read: {_why(problem)}") from None
    return unpacked(content, path, times) if packed else content


def start_of(path: Path, count: int) -> bytes:
    """The first bytes of an ordinary file. Raises SourceError."""
    ordinary(path)
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as problem:
        raise SourceError(f"`{path}` cannot be read: {_why(problem)}") from None


def unpacked(content: bytes, path: Path, times: float = 1) -> bytes:
    """The content of a gzip file, as far as there is memory for so many times of it. Raises SourceError."""
    import gzip
    import io

    most = min(limit(len(content)), free_memory() / times)
    with undamaged(f"`{path}`"), gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        found = file.read(int(most) + 1)
    refuse_bomb(path, len(content), len(found))
    must_fit(f"`{path}`", times * len(found))
    return found


def limit(packed: int) -> int:
    """How many bytes may come of so many."""
    return max(BYTES, TIMES * packed)


def refuse_bomb(path: Path, packed: int, size: int) -> None:
    """Raises SourceError for what expands beyond the limits."""
    if size > limit(packed):
        raise SourceError(
            f"`{path}` has {packed:,} bytes and would become more than {limit(packed):,}: it is not unpacked",
            hint=f"unpack it yourself if it is what you take it for; {TIMES} times its size is too much here",
        )


@contextmanager
def undamaged(what: str) -> Iterator[None]:
    """Turns what the libraries raise for content that is not what it says it is into one message: that it is damaged.
    `what` names the file, in quotes."""
    import lzma
    import struct
    import zipfile
    import zlib
    from tokenize import TokenError

    try:
        yield
    except SourceError:
        raise
    except MemoryError:
        raise SourceError(f"{what} needs more memory than there is") from None
    except (
        zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, TokenError, OSError, EOFError, ArithmeticError,
        LookupError, RuntimeError, SyntaxError, TypeError, ValueError,
    ) as problem:  # fmt: skip
        raise SourceError(
            f"{what} is damaged: {_why(problem)}", hint="get it once more from where it came, or write it anew"
        ) from None


def _why(problem: BaseException) -> str:
    """The first line of what a library says, without a full stop."""
    said = (problem.strerror if isinstance(problem, OSError) else None) or str(problem)
    return said.splitlines()[0].rstrip(".")[:200].lower() if said else type(problem).__name__
