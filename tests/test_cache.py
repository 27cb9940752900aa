"""Compiled code on disk: what others could have put there is neither run nor unpickled."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import numba
import pytest

from circuitdsl.runtime import cache
from circuitdsl.runtime.cache import cache_folder, load_module
from circuitdsl.runtime.trust import User, close, distrust, distrust_below, flaw, flaw_above, make_folder

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
def test_an_unsafe_folder_is_replaced_with_a_warning(
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
        used = cache_folder()
    assert used.stat().st_mode & 0o777 == 0o700
    assert used.parent != folder
    assert distrust(used) is None
    message = str(told[0].message)
    assert str(folder) in message
    assert message.endswith("To keep compiled code, set CIRCUITDSL_CACHE to a folder that only you can write.")


def test_only_a_folder_of_compiled_code_is_to_be_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one that the user has named, in which there may be more."""
    (tmp_path / "circuitdsl").mkdir()
    (tmp_path / "circuitdsl").chmod(0o775)
    monkeypatch.delenv("CIRCUITDSL_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.warns(RuntimeWarning, match=f"delete `{tmp_path / 'circuitdsl'}`, or set CIRCUITDSL_CACHE"):
        cache_folder()
    monkeypatch.setenv("CIRCUITDSL_CACHE", str(tmp_path / "circuitdsl"))
    with pytest.warns(RuntimeWarning) as told:
        cache_folder()
    assert "delete" not in str(told[0].message)


def test_the_folder_among_the_temporary_ones_is_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a name that anyone can know, in a folder in which anyone may make one."""
    (tmp_path / "file").write_text("")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path / "tmp"))
    expected = tmp_path / "tmp" / f"circuitdsl-{os.getuid()}"
    monkeypatch.setenv("CIRCUITDSL_CACHE", str(tmp_path / "file" / "first"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cache_folder() == expected
    expected.chmod(0o777)
    monkeypatch.setenv("CIRCUITDSL_CACHE", str(tmp_path / "file" / "second"))
    with pytest.warns(RuntimeWarning, match=f"`{expected}` can be written by others"):
        assert cache_folder() != expected


# ---------------------------------------------------------------- what lies in them

EVIL = "value = 'evil'\n"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a module that a process before this one has written."""
    monkeypatch.setenv("CIRCUITDSL_CACHE", str(tmp_path / "cache"))
    return load(forget=True)


def load(*, forget: bool = False) -> Path:
    made = load_module("a", "value = 'mine'\n", "key of test_cache")
    assert made.value == "mine", "another's code was run"
    if forget:
        del sys.modules[made.__name__]
    assert made.__file__ is not None
    return Path(made.__file__)


def replaced(path: Path) -> None:
    """Another's folder in the place of one of ours, with code of theirs, open as they left it."""
    folder = path.parent.parent
    folder.rename(folder.with_name("moved"))
    path.parent.mkdir(parents=True)
    path.write_text(EVIL)
    folder.chmod(0o777)


def linked_parent(path: Path) -> None:
    folder = path.parent.parent
    folder.rename(folder.with_name("moved"))
    other = folder.parent.parent.parent / "other"
    (other / path.parent.name).mkdir(parents=True)
    (other / path.parent.name / path.name).write_text(EVIL)
    folder.symlink_to(other)


def linked_file(path: Path) -> None:
    other = path.parents[4] / "evil.py"
    other.write_text(EVIL)
    path.unlink()
    path.symlink_to(other)


def open_file(path: Path) -> None:
    path.write_text(EVIL)
    path.chmod(0o666)


def open_folder(path: Path) -> None:
    path.write_text(EVIL)
    path.parent.chmod(0o775)


def open_index(path: Path) -> None:
    """Numba's index is a pickle: whoever writes it runs code."""
    index = path.parent / "__pycache__" / "a.value-1.py311.nbi"
    index.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    index.chmod(0o664)
    path.write_text(EVIL)


def linked_index(path: Path) -> None:
    index = path.parent / "__pycache__"
    for file in index.iterdir():
        file.unlink()
    index.rmdir()
    (path.parents[4] / "elsewhere").mkdir()
    index.symlink_to(path.parents[4] / "elsewhere")
    path.write_text(EVIL)


@pytest.mark.parametrize(
    "tampered", [replaced, linked_parent, linked_file, open_file, open_folder, open_index, linked_index]
)
def test_what_others_could_have_written_is_not_run(module: Path, tampered) -> None:
    tampered(module)
    with pytest.warns(RuntimeWarning, match="compiled code from there need not be yours"):
        used = load(forget=True)
    assert not used.is_relative_to(module.parents[4])


def test_what_is_ours_is_loaded_without_a_word(module: Path) -> None:
    before = module.stat().st_ino
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(forget=True) == module
    assert module.stat().st_ino == before
    assert all(not p.lstat().st_mode & 0o077 for p in module.parents[3].rglob("*"))


def test_a_file_of_another_user_is_not_run(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever the user is, what belongs to another one is not."""
    base, within = cache_folder(), module.parent.relative_to(cache_folder())
    assert distrust_below(base, within) is None
    monkeypatch.setattr(User, "present", lambda: User(user=99999, group=99999))
    found = distrust_below(base, within)
    assert found is not None
    assert not found.own
    assert found.why == f"belongs to another user (number {os.getuid()})"


def test_files_are_closed_whatever_the_umask(tmp_path: Path) -> None:
    for name, mode in (("a", 0o664), ("b", 0o666), ("c", 0o755)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    (tmp_path / "link").symlink_to("a")
    close(tmp_path)
    assert [stat.S_IMODE((tmp_path / n).stat().st_mode) for n in "abc"] == [0o644, 0o644, 0o755]


def test_numba_keeps_its_files_beside_the_module_if_its_own_folder_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba").chmod(0o777)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "numba"))
    monkeypatch.setenv("CIRCUITDSL_CACHE", str(tmp_path / "cache"))
    with pytest.warns(RuntimeWarning, match="NUMBA_CACHE_DIR is not used"):
        load(forget=True)
    assert numba.config.CACHE_DIR == ""
    (tmp_path / "numba").chmod(0o700)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "numba"))
    load(forget=True)
    assert str(tmp_path / "numba") == numba.config.CACHE_DIR


# ---------------------------------------------------------------- whole processes

ENDING = """
from circuitdsl.runtime.cache import cache_folder
import os
folder = cache_folder()
print(folder, flush=True)
if os.fork() == 0:
    raise SystemExit
os.wait()
assert folder.is_dir()
"""


def test_the_folder_of_a_process_goes_with_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    environment = {**os.environ, "CIRCUITDSL_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", ENDING]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    used = Path(done.stdout.split()[0])
    assert used.parent != tmp_path
    assert not used.exists()


def test_the_command_line_says_so_in_one_line(tmp_path: Path) -> None:
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
