"""All that is kept on disk from run to run, and nothing else makes a path of it: tables of the grammar, compiled code,
what was found of a circuit before.

An entry is a file with a head: the hash of all that decides what is in it (its key) and the hash of what is in it. Both
are looked at whenever it is read, so that a damaged file, or that of another entry, is as good as none: it is made anew
and replaced. Files appear by renaming, when they are whole and on the disk. What cannot be written costs time, not the
result. Whoever can write there runs code as the user, so only what is the user's alone is used (trust.py).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from circuitdsl.frozen import frozen
from circuitdsl.store.temporary import clear_litter, temporary_prefix
from circuitdsl.store.trust import Distrust, distrust, distrust_below, make_folder

Kind = Literal["code", "grammar", "growth"]

#: What a file begins with; another number for another head.
MARK = b"circuitdsl 1\n"
#: Bytes of a hash.
HASH = 32

#: What could not be written in this process.
_problems: list[OSError] = []


def cache_folder() -> Path:
    """`$CIRCUITDSL_CACHE`, else `circuitdsl` in `$XDG_CACHE_HOME` (`~/.cache`); it need not be there."""
    own = os.environ.get("CIRCUITDSL_CACHE")
    return Path(own or Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "circuitdsl")


@frozen
class Entry:
    """One thing that is kept, or may be. `name` is for who looks into the folder; `key` decides what is in it."""

    kind: Kind
    name: str
    key: str

    @property
    def path(self) -> Path:
        return cache_folder() / self._within

    def read(self) -> bytes | None:
        """What is kept; None if nothing is, or not what was."""
        try:
            if self._distrusted() or not stat.S_ISREG(self.path.lstat().st_mode):
                return None
            whole = self.path.read_bytes()
        except OSError:
            return None
        content = whole[len(MARK) + 2 * HASH :]
        return content if whole.startswith(self._head(content)) else None

    def write(self, content: bytes) -> None:
        """Keeps it, if the disk lets us (`problem` says why not)."""
        try:
            if not self._distrusted():
                make_folder(self.path.parent)
                _replace(self.path, self._head(content) + content)
        except OSError as problem:
            _problems.append(problem)

    @property
    def _within(self) -> Path:
        name = re.sub(r"[^A-Za-z0-9_]", "_", self.name)[:80]
        return Path(self.kind) / f"{name}-{_hash(self.key.encode()).hex()[:HASH]}"

    def _head(self, content: bytes) -> bytes:
        return MARK + _hash(self.key.encode()) + _hash(content)

    def _distrusted(self) -> bool:
        """Whether others could have put something there, with a warning. Raises OSError."""
        base = cache_folder()
        found = distrust(base)
        if found is not None:
            _warn(found, delete=found.own and found.path == base and not os.environ.get("CIRCUITDSL_CACHE"))
        elif (found := distrust_below(base, self._within)) is not None:
            _warn(found, delete=found.own)
        return found is not None


def _hash(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _replace(path: Path, whole: bytes) -> None:
    """Writes under another name, to the disk, and renames: what is there is whole, also after a crash."""
    clear_litter(path.parent, "tmp")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=temporary_prefix("tmp"))
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(whole)
            file.flush()
            os.fsync(file.fileno())
        if path.is_dir():
            _delete(path)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@cache
def _warn(found: Distrust, *, delete: bool) -> None:
    """Once in a process. `delete`: whether nothing but what is kept would be lost."""
    either = f"delete `{found.path}`, or " if delete else ""
    warnings.warn(
        f"{found}: compiled code from there need not be yours. Nothing is read there, and nothing kept. To keep "
        f"compiled code, {either}set CIRCUITDSL_CACHE to a folder that only you can write.",
        RuntimeWarning,
        stacklevel=2,
    )


def problem() -> OSError | None:
    """What was in the way of the first entry that this process could not keep."""
    return _problems[0] if _problems else None


@cache
def program() -> str:
    """Which program this is, for a key of what it has found, also while it is being worked on."""
    package = str(Path(__file__).parents[1])
    files = [os.path.join(folder, name) for folder, _, names in os.walk(package) for name in names]
    sources = [(path[len(package) :], os.stat(path)) for path in sorted(files) if path.endswith(".py")]
    return _hash(repr([(name, found.st_size, found.st_mtime_ns) for name, found in sources]).encode()).hex()


# ---------------------------------------------------------------- the whole folder


@frozen
class Kept:
    """A file that is kept, and its size in bytes."""

    kind: Kind
    name: str
    size: int


def kept() -> list[Kept]:
    """All that is kept. Raises OSError if it cannot be read."""
    found = []
    for kind, path in _files():
        with suppress(FileNotFoundError):  # another process has just renamed it
            found.append(Kept(kind, path.name, path.lstat().st_size))
    return found


def clear() -> None:
    """Deletes all that is kept, and nothing else that may be in the folder. Raises OSError."""
    for _, path in _files():
        _delete(path)


def _files() -> Iterator[tuple[Kind, Path]]:
    for kind in get_args(Kind):
        folder = cache_folder() / kind
        if folder.is_dir() and not folder.is_symlink():
            yield from ((kind, path) for path in sorted(folder.iterdir()))


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
