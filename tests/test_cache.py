"""What is kept on disk: whose it is, that it is whole, and that a run gives the same bits without it."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
import stat
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from circuitdsl.runtime import objects
from circuitdsl.runtime.cache import entry_of
from circuitdsl.store import entries
from circuitdsl.store.entries import HASH, MARK, Entry, cache_folder
from circuitdsl.store.trust import User, distrust, distrust_below, flaw, flaw_above, make_folder

ME = User(user=1000, group=1000)
FOLDER, FILE, LINK = stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK


def found(mode: int, user: int = 1000, group: int = 1000) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, user, group, 0, 0, 0, 0))


# ---------------------------------------------------------------- what a stat result says


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (found(FOLDER | 0o700), None),
        (found(FOLDER | 0o755), None),
        (found(FILE | 0o644), None),
        (found(FILE | 0o600, group=5), None),
        (found(FOLDER | 0o700, user=1001), "belongs to another user (number 1001)"),
        (found(FOLDER | 0o755, user=0), "belongs to another user (number 0)"),
        (found(FILE | 0o600, user=0), "belongs to another user (number 0)"),
        (found(FOLDER | 0o770), "can be written by others (mode 770)"),
        (found(FOLDER | 0o1777), "can be written by others (mode 1777)"),
        (found(FILE | 0o664), "can be written by others (mode 664)"),
        (found(FILE | 0o602), "can be written by others (mode 602)"),
        (found(LINK | 0o777), "is a symbolic link"),
    ],
)
def test_what_is_run_is_the_users_alone(result: os.stat_result, why: str | None) -> None:
    assert flaw(result, ME) == why


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (found(FOLDER | 0o755, user=0), None),
        (found(FOLDER | 0o700), None),
        (found(FOLDER | 0o1777, user=0), None),
        (found(FOLDER | 0o775, group=0, user=0), None),
        (found(FOLDER | 0o775), None),
        (found(LINK | 0o777), None),
        (found(LINK | 0o777, user=0), None),
        (found(FOLDER | 0o755, user=1001), "belongs to another user (number 1001)"),
        (found(LINK | 0o777, user=1001), "belongs to another user (number 1001)"),
        (found(FOLDER | 0o1777, user=1001), "belongs to another user (number 1001)"),
        (found(FOLDER | 0o777, user=0), "lets others replace what is in it (mode 777)"),
        (found(FOLDER | 0o775, group=50), "lets others replace what is in it (mode 775)"),
    ],
)
def test_above_it_nobody_else_can_replace_it(result: os.stat_result, why: str | None) -> None:
    assert flaw_above(result, ME) == why


# ---------------------------------------------------------------- folders


def why(folder: Path) -> str | None:
    found = distrust(folder)
    return None if found is None else str(found)


def test_folders_are_made_for_the_user_alone(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    assert [stat.S_IMODE((tmp_path / p).stat().st_mode) for p in ("a", "a/b")] == [0o700, 0o700]
    assert why(tmp_path / "a" / "b") is None
    assert why(tmp_path / "not" / "there") is None


def test_folders_of_others_are_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "own"
    folder.mkdir(mode=0o700)
    user = os.getuid() or 4321
    if os.getuid() == 0:  # as the system's user all above it is trusted, so that the folder itself is what is found
        os.chown(folder, user, user)
        assert why(folder) == f"`{folder}` belongs to another user (number {user})"
    monkeypatch.setattr(User, "present", lambda: User(user=99999, group=99999))
    assert "belongs to another user" in str(why(folder))


def test_a_link_is_followed_above_and_refused_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "real" / "cache").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "direct").symlink_to(tmp_path / "real" / "cache")
    assert why(tmp_path / "link" / "cache") is None
    assert why(tmp_path / "real" / "direct") == f"`{tmp_path / 'real' / 'direct'}` is a symbolic link"
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(OSError, match="too many symbolic links"):
        distrust(tmp_path / "round" / "cache")


def test_what_lies_behind_a_link_is_looked_at(tmp_path: Path) -> None:
    """The way counts that is really taken, also where a link leads up and down again."""
    open_to_all = tmp_path / "open"
    (open_to_all / "cache").mkdir(parents=True, mode=0o700)
    open_to_all.chmod(0o777)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "link").symlink_to("../there/../open")
    assert why(tmp_path / "there" / "link" / "cache") == f"`{open_to_all}` lets others replace what is in it (mode 777)"
    open_to_all.chmod(0o1777)
    assert why(tmp_path / "there" / "link" / "cache") is None


def test_where_there_are_no_owners_all_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o777)
    monkeypatch.setattr(User, "present", lambda: None)
    assert why(tmp_path) is None
    assert distrust_below(tmp_path, Path("a")) is None


@pytest.mark.parametrize("wrong", ["open", "link"])
def test_an_unsafe_folder_is_not_used_with_a_warning(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache"
    if wrong == "open":
        folder.mkdir()
        folder.chmod(0o777)
    else:
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    monkeypatch.setenv("CIRCUITDSL_CACHE", str(folder))
    with pytest.warns(RuntimeWarning, match="compiled code from there need not be yours") as told:
        ENTRY.write(b"mine")
    assert not list(folder.iterdir())
    assert len(told) == 1
    message = str(told[0].message)
    assert str(folder) in message
    assert message.endswith("To keep compiled code, set CIRCUITDSL_CACHE to a folder that only you can write.")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was said
        assert ENTRY.read() is None


def test_only_a_folder_of_compiled_code_is_to_be_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one that the user has named, in which there may be more."""
    (tmp_path / "circuitdsl").mkdir()
    (tmp_path / "circuitdsl").chmod(0o775)
    monkeypatch.delenv("CIRCUITDSL_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.warns(RuntimeWarning, match=f"delete `{tmp_path / 'circuitdsl'}`, or set CIRCUITDSL_CACHE"):
        ENTRY.read()
    monkeypatch.setenv("CIRCUITDSL_CACHE", str(tmp_path / "circuitdsl"))
    with pytest.warns(RuntimeWarning) as told:
        ENTRY.read()
    assert "delete" not in str(told[0].message)


def test_the_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRCUITDSL_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("CIRCUITDSL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "circuitdsl"


# ---------------------------------------------------------------- entries

ENTRY, OTHER = Entry("code", "a.b/c", "the key"), Entry("code", "a.b/c", "another key")
MINE = b"what is kept"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of an entry that was written before."""
    monkeypatch.setenv("CIRCUITDSL_CACHE", str(tmp_path / "cache"))
    ENTRY.write(MINE)
    return ENTRY.path


def test_what_is_kept_is_the_users_alone(kept: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ENTRY.read() == MINE
        assert OTHER.read() is None
    assert kept.is_relative_to(cache_folder() / "code")
    assert all(not p.lstat().st_mode & 0o077 for p in (cache_folder(), *cache_folder().rglob("*")))
    assert [p.name for p in kept.parent.iterdir()] == [kept.name]


def test_a_flipped_bit_anywhere_is_noticed(kept: Path) -> None:
    whole = kept.read_bytes()
    for place in range(len(whole)):
        for bit in (1, 128):
            kept.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
            assert ENTRY.read() is None
    for length in range(len(whole)):
        kept.write_bytes(whole[:length])
        assert ENTRY.read() is None
    kept.write_bytes(whole + b"more")
    assert ENTRY.read() is None
    kept.write_bytes(whole)
    assert ENTRY.read() == MINE


def test_it_is_whole_and_on_the_disk_before_it_has_its_name(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        assert os.fstat(handle).st_size == len(MARK) + 2 * HASH + len(b"new")
        done.append("fsync")
        sync(handle)

    def renamed(source: str, target: Path) -> None:
        done.append("rename")
        replace(source, target)

    monkeypatch.setattr(entries.os, "fsync", synced)
    monkeypatch.setattr(entries.os, "replace", renamed)
    ENTRY.write(b"new")
    assert done == ["fsync", "rename"]
    assert ENTRY.read() == b"new"


def write_often(letter: bytes) -> None:
    for _ in range(40):
        ENTRY.write(letter * 100_000)


def test_no_process_sees_half_a_file(kept: Path) -> None:
    ENTRY.write(b"a" * 100_000)
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_often, args=(letter,)) for letter in (b"a", b"b")]
    for writer in writers:
        writer.start()
    found = set()
    while any(writer.is_alive() for writer in writers):
        found.add(ENTRY.read())
    assert found <= {b"a" * 100_000, b"b" * 100_000}
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert [p.name for p in kept.parent.iterdir()] == [kept.name]


@pytest.mark.parametrize("refused", ["fsync", "replace", "mkdir"])
def test_what_cannot_be_written_is_not_kept(refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("CIRCUITDSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(entries, "_problems", [])
    monkeypatch.setattr(os, refused, full)
    ENTRY.write(MINE)
    monkeypatch.undo()
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]
    monkeypatch.setenv("CIRCUITDSL_CACHE", str(tmp_path / "cache"))
    ENTRY.write(MINE)
    assert ENTRY.read() == MINE


def test_versions_processor_and_text_are_in_the_key(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def path(cpu: str = "a", features: str = "+avx", key: str = "text") -> Path:
        monkeypatch.setattr(objects, "host", lambda: ("x86_64", cpu, features))
        return entry_of("name", key).path

    paths = [path(), path(cpu="b"), path(features="+avx2"), path(key="other")]
    monkeypatch.setattr("circuitdsl.runtime.cache._versions", lambda: "other versions")
    assert len({*paths, path()}) == 5


def replaced(path: Path) -> None:
    """Another's folder in the place of ours, with code of theirs, open as they left it."""
    content, folder = path.read_bytes(), path.parent
    folder.rename(folder.with_name("moved"))
    folder.mkdir()
    path.write_bytes(content)
    folder.chmod(0o777)


def linked_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))
    path.parent.symlink_to(path.parent.with_name("moved"))


def linked_file(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to(path.with_name("moved"))


def open_file(path: Path) -> None:
    path.chmod(0o664)


def open_folder(path: Path) -> None:
    path.parent.chmod(0o775)


@pytest.mark.parametrize("tampered", [replaced, linked_folder, linked_file, open_file, open_folder])
def test_what_others_could_have_written_is_not_read(kept: Path, tampered: Callable[[Path], None]) -> None:
    tampered(kept)
    before = kept.lstat()
    with pytest.warns(RuntimeWarning, match="compiled code from there need not be yours"):
        assert ENTRY.read() is None
    ENTRY.write(b"new")
    assert kept.lstat() == before


def test_a_file_of_another_user_is_not_read(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever the user is, what belongs to another one is not."""
    base, within = cache_folder(), kept.relative_to(cache_folder())
    assert distrust_below(base, within) is None
    monkeypatch.setattr(User, "present", lambda: User(user=99999, group=99999))
    found = distrust_below(base, within)
    assert found is not None
    assert not found.own
    assert found.why == f"belongs to another user (number {os.getuid()})"


def test_clear_deletes_what_is_kept_and_nothing_else(kept: Path) -> None:
    (cache_folder() / "mine.txt").touch()
    (kept.parent / "folder").mkdir()
    assert {k.kind for k in entries.kept()} == {"code"}
    entries.clear()
    assert entries.kept() == []
    assert (cache_folder() / "mine.txt").exists()


# ---------------------------------------------------------------- whole processes

#: It has a loop that nothing holds, so that there is something to be said before a run.
CIRCUIT = """circuit grows {
  input x: 4
  neuron h: 3 { dendrite b   rate = b }
  synapse W: x -> h { init = 0.1   dw = 0.001 * post * pre }
  record norm(W)
  task flowers { data = iris   epochs = 1   batch = 4 }
}"""

RUN = """
import resource, sys, warnings
limit, circuit = sys.argv[1:]
if limit == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # every write to a file is refused
import circuitdsl as cd
from circuitdsl.api import Request
outcome = cd.load(circuit).compile().execute(Request(), before=lambda o: print([d.code for d in o.foreseen()]))
print(outcome.run.state.weights["W"].tobytes().hex())
"""


def outcome(folder: Path, circuit: Path, limit: str = "") -> str:
    """What a run in a process of its own prints; on stderr it says nothing."""
    environment = {**os.environ, "CIRCUITDSL_CACHE": str(folder), "NUMBA_DISABLE_JIT": "0"}
    command = [sys.executable, "-c", RUN, limit, str(circuit)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """A circuit, the folder that its first run has left, and what that has printed."""
    place = tmp_path_factory.mktemp("first")
    circuit, folder = place / "grows.circ", place / "cache"
    circuit.write_text(CIRCUIT)
    printed = outcome(folder, circuit)
    assert printed.startswith("['C073']")
    return circuit, folder, printed


def truncated(path: Path, _: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path, _: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path, _: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[-len(whole) // 3] ^= 4
    path.write_bytes(whole)


def of_another(path: Path, other: Path) -> None:
    shutil.copyfile(other, path)


def no_file(path: Path, _: Path) -> None:
    path.unlink()
    (path / "folder").mkdir(parents=True)


def pipe(path: Path, _: Path) -> None:
    path.unlink()
    os.mkfifo(path, mode=0o600)


def another_type(path: Path, _: Path) -> None:
    """Whole, as if another build of the same versions had written it."""
    content = pickle.dumps({"what": "else"})
    key = path.read_bytes()[: len(MARK) + HASH]
    path.write_bytes(key + entries._hash(content) + content)


@pytest.mark.parametrize("damage", [truncated, empty, flipped, of_another, no_file, pipe, another_type])
def test_every_cache_file_damaged_heals(
    damage: Callable[[Path, Path], None], first: tuple[Path, Path, str], tmp_path: Path
) -> None:
    circuit, folder, printed = first
    copy = shutil.copytree(folder, tmp_path / "cache")
    files = sorted(p for p in copy.rglob("*") if p.is_file())
    assert [p.parent.name for p in files] == ["code", "code", "grammar", "growth"]
    whole = [p.read_bytes() for p in (folder / f.relative_to(copy) for f in files)]
    for path, other in zip(files, [folder / f.relative_to(copy) for f in (*files[1:], files[0])], strict=True):
        damage(path, other)
    assert outcome(copy, circuit) == printed
    assert sorted(p for p in copy.rglob("*") if p.is_file()) == files
    for path, before in zip(files, whole, strict=True):
        assert path.read_bytes()[: len(MARK) + HASH] == before[: len(MARK) + HASH]
        assert abs(path.stat().st_size - len(before)) < 0.1 * len(before)
    assert outcome(copy, circuit) == printed


def test_a_full_disk_gives_the_same_bits(first: tuple[Path, Path, str], tmp_path: Path) -> None:
    circuit, _, printed = first
    assert outcome(tmp_path / "cache", circuit, "full") == printed
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_folder_that_cannot_be_written_gives_the_same_bits_and_a_note_on_demand(
    first: tuple[Path, Path, str], tmp_path: Path
) -> None:
    circuit, _, printed = first
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "cache"
    assert outcome(folder, circuit) == printed
    command = [sys.executable, "-m", "circuitdsl", "check", str(circuit)]
    environment = {**os.environ, "CIRCUITDSL_CACHE": str(folder)}
    quiet = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "kept" not in quiet.stderr
    command.insert(3, "-v")
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    note = f"note: compiled code is not kept in `{folder}`: not a directory; CIRCUITDSL_CACHE names another folder"
    assert told.stderr.splitlines().count(note) == 1


SECOND = """
import sys
from circuitdsl.cli.main import main
try:
    main(["run", sys.argv[1], "--json"])
except SystemExit as end:
    assert not end.code, end.code
import json
loaded = {name for name in sys.modules if name.split(".")[0] in ("numba", "scipy") or "circuitdsl.derive" in name}
print(json.dumps(sorted(loaded)))
from circuitdsl.runtime.alone import import_numba
import_numba()
from numba.np import arraymath
assert arraymath._HAVE_BLAS  # nothing that a user compiles knows of it
"""


def test_a_second_start_needs_no_compiler_no_scipy_no_algebra(first: tuple[Path, Path, str], tmp_path: Path) -> None:
    circuit, folder, _ = first
    environment = {**os.environ, "CIRCUITDSL_CACHE": str(folder), "NUMBA_DISABLE_JIT": "0"}
    command = [sys.executable, "-c", SECOND, str(circuit)]
    done = [subprocess.run(command, env=environment, capture_output=True, text=True, check=True) for _ in range(2)][1]
    assert "C073" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_the_command_line_says_in_one_line_whose_folder_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(0o777)
    environment = {**os.environ, "CIRCUITDSL_CACHE": str(folder), "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-m", "circuitdsl", "run", "heterosynaptic/kolen_pollack.circ", "--epochs", "0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if "compiled code" in line]
    assert len(told) == 1
    assert told[0].startswith(f"warning: `{folder}` can be written by others (mode 777): ")
    assert "Traceback" not in done.stderr
    assert not list(folder.iterdir())
