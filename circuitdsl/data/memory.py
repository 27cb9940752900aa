"""How much memory there is for what is to be read."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

from circuitdsl.data.raw import SourceError

KERNEL, GROUP, PROCESS = Path("/proc/meminfo"), Path("/sys/fs/cgroup"), Path("/proc/self/statm")


def must_fit(what: str, needed: float) -> None:
    """Raises SourceError if that many bytes are not free: before they are taken, since a system without any left
    kills what asks for them, and says nothing. `what` is told, with quotes."""
    free = free_memory()
    if needed > free:
        raise SourceError(
            f"{what} needs about {_told(needed)} of memory, and {_told(free)} is free",
            hint="leave examples out, or take a machine with more memory",
        )


def free_memory() -> float:
    """Bytes that this process can still have: of the machine, of its container and of its own limit the least; infinite
    where nothing says so."""
    return max(0.0, min(_of_machine(), _of_group(), _of_process()))


def _of_machine() -> float:
    with suppress(OSError, ValueError, LookupError):
        lines = dict(line.split(":", 1) for line in KERNEL.read_text().splitlines())
        return 1024.0 * int(lines["MemAvailable"].split()[0])
    return math.inf


def _of_group() -> float:
    """Of the control group that a container or a job is: its limit, less what is in use and not merely kept of
    files."""
    with suppress(OSError, ValueError, LookupError):
        limit, used = (int((GROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        kept = dict(line.split() for line in (GROUP / "memory.stat").read_text().splitlines())
        return float(limit - used + int(kept["inactive_file"]))
    return math.inf


def _of_process() -> float:
    """Of `ulimit -v`."""
    with suppress(ImportError, OSError, ValueError, LookupError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            return float(limit - int(PROCESS.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE"))
    return math.inf


def _told(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"
