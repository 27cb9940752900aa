"""Names of files that are being written, and what killed processes left of such.

A file appears by renaming, so that no reader sees half of it. Who is killed meanwhile leaves the other name behind:
the next who writes there deletes it. The name says whose it is, so that nothing is taken from a process that lives, or
that another machine or container knows under the same number.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path


def temporary_prefix(name: str) -> str:
    """What the temporary names of this process begin with, of files that will be called `name`."""
    return f".{name}.{_place()}-{os.getpid()}-"


def clear_litter(folder: Path, name: str) -> None:
    """Deletes what processes of this machine that have ended left in a folder of files to be called `name`. What cannot
    be deleted stays."""
    start = f".{name}.{_place()}-"
    with suppress(OSError):
        for path in folder.iterdir():
            owner, dash, _ = path.name.removeprefix(start).partition("-")
            if path.name.startswith(start) and dash and owner.isdigit() and not _lives(int(owner)):
                _delete(path)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


@cache
def _place() -> str:
    """Where numbers of processes mean the same: this machine, and of it this container."""
    space = ""
    with suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{_machine()} {space}".encode()).hexdigest()[:8]


def _machine() -> str:
    return os.environ.get("COMPUTERNAME", "") if sys.platform == "win32" else os.uname().nodename


def _lives(process: int) -> bool:
    """Whether a process of that number is there; where that cannot be asked without harm, it is."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
