"""What killed processes leave behind is cleared by the next, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from circuitdsl.runtime.state import write_atomically
from circuitdsl.store.entries import Entry
from circuitdsl.store.temporary import clear_litter, temporary_prefix

pytestmark = pytest.mark.skipif(os.name != "posix", reason="numbers of processes")

#: Writes the beginning of a file, or of a folder, under a temporary name, and is killed.
KILLED = """
import os, signal, sys, tempfile
from circuitdsl.store.temporary import temporary_prefix
prefix = temporary_prefix("c.nc")
handle, _ = tempfile.mkstemp(dir=sys.argv[1], prefix=prefix)
os.write(handle, b"half a file")
open(os.path.join(tempfile.mkdtemp(dir=sys.argv[1], prefix=prefix), "c.nc"), "w").close()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def littered(tmp_path: Path) -> Path:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=120)
    assert done.returncode < 0
    assert len(list(tmp_path.iterdir())) == 2
    return tmp_path


def test_what_the_killed_left_is_gone_after_the_next_write(littered: Path) -> None:
    write_atomically(littered / "other.nc", b"whole")
    assert len(list(littered.iterdir())) == 3
    write_atomically(littered / "c.nc", b"whole")
    assert sorted(p.name for p in littered.iterdir()) == ["c.nc", "other.nc"]
    assert (littered / "c.nc").read_bytes() == b"whole"


def test_what_lives_is_left_alone(tmp_path: Path) -> None:
    """A file of this process, of another machine, and files of the user's with names of that kind."""
    mine = tmp_path / f"{temporary_prefix('c.nc')}abc"
    kept = [mine, tmp_path / ".c.nc.deadbeef-1-abc", tmp_path / ".c.nc.backup", tmp_path / f"{mine.name[:-4]}x"]
    kept.append(tmp_path / mine.name.replace(f"-{os.getpid()}-", "-notes-"))
    for path in kept:
        path.touch()
    clear_litter(tmp_path, "c.nc")
    assert all(path.exists() for path in kept)
    clear_litter(tmp_path / "absent", "c.nc")


def test_the_cache_is_cleared_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRCUITDSL_CACHE", str(tmp_path / "cache"))
    entry = Entry("growth", "a", "key")
    entry.write(b"one")
    program = KILLED.replace('"c.nc")\nhandle', '"tmp")\nhandle')
    subprocess.run([sys.executable, "-c", program, str(entry.path.parent)], timeout=120)
    assert len(list(entry.path.parent.iterdir())) == 3
    entry.write(b"two")
    assert list(entry.path.parent.iterdir()) == [entry.path]
    assert entry.read() == b"two"
