"""The command line from outside: text from stdin and folders, names that are no text, streams that are closed, signals,
and one JSON object on every way out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from circuitdsl.cli import main as front_door
from circuitdsl.cli.common import Stop
from circuitdsl.cli.harmless import Harmless

GOOD = "circuit c {\n  input x: 4\n  neuron h: 4 { rate = relu(x) }\n  loss = mean(h)\n}\n"
UGLY = GOOD.replace("relu(x)", "x/(1+x)")
BAD = GOOD.replace("relu(x)", "relu(y)")


def program(*arguments: str | bytes, text: str | bytes = b"", **options: Any) -> tuple[int, str, str]:
    """Runs a command line in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "circuitdsl", *arguments],
        input=text.encode() if isinstance(text, str) else text, capture_output=True, timeout=120, **options,
    )  # fmt: skip
    out, err = done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
    assert "Traceback" not in out + err
    return done.returncode, out, err


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a1.circ").write_text(GOOD)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "bad.circ").write_text(BAD)
    (tmp_path / "deep" / ".hidden").mkdir()
    (tmp_path / "deep" / ".hidden" / "no.circ").write_text("circuit {")
    (tmp_path / "deep" / "notes.txt").write_text("no circuit")
    (tmp_path / "empty").mkdir()
    return tmp_path


class Shell:
    def __init__(self, capture: pytest.CaptureFixture[str]):
        self.capture = capture

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        code = front_door.run(list(arguments))
        out, err = self.capture.readouterr()
        return code, out, err


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


# ---------------------------------------------------------------- stdin and folders


def test_check_and_fmt_of_stdin() -> None:
    code, out, err = program("check", "-", text=BAD)
    assert (code, err) == (1, "")
    assert "<stdin>:3:29" in out
    assert out.endswith("-: 1 error\n")
    code, out, err = program("fmt", "-", text=UGLY)
    assert (code, out, err) == (0, UGLY.replace("1+x", "1 + x"), "")
    assert program("fmt", "-", text=out)[1] == out
    code, out, _ = program("fmt", "--check", "-", text=UGLY)
    assert (code, out) == (1, "-: would change\n")
    code, out, _ = program("fmt", "-", "--json", text=UGLY)
    assert (code, json.loads(out)["files"][0]["text"]) == (0, UGLY.replace("1+x", "1 + x"))
    code, out, err = program("fmt", "-", text="circuit {")
    assert (code, out) == (1, "")
    assert "error[C001]" in err
    code, out, _ = program("check", "-", text=b"circuit \xff")
    assert code == 1
    assert "error[C005]" in out


def test_what_fmt_writes_is_kept_to_the_letter() -> None:
    """Also a comment that would command a terminal: who reads the text wants it as it is."""
    text = "# \x1b[31m η \u202e\n" + GOOD
    assert program("fmt", "-", text=text)[1] == text


def test_folders(shell: Shell, folder: Path) -> None:
    code, out, err = shell("check", ".")
    assert (code, err) == (1, "")
    assert out.splitlines()[0] == "a1.circ: ok"
    assert out.splitlines()[-1] == f"{Path('deep/er/bad.circ')}: 1 error"
    code, out, _ = shell("check", "deep", "--json")
    assert [Path(f["file"]).name for f in json.loads(out)["files"]] == ["bad.circ"]
    code, out, err = shell("check", "empty")
    assert code == 2
    assert "no `.circ` file" in err
    (folder / "a1.circ").write_text(UGLY)
    assert shell("fmt", "--check", ".") == (1, "a1.circ: would change\n", "")
    assert shell("fmt", ".") == (0, "a1.circ: changed\n", "")
    assert shell("fmt", "--check", ".") == (0, "", "")


def test_what_was_meant(shell: Shell, folder: Path) -> None:
    for given in ("a1", "a1.cric", "a1.circs"):
        for command in ("check", "run", "derive", "fmt"):
            code, out, err = shell(command, given)
            assert code == 2
            assert "did you mean `a1.circ`?" in out + err
    code, out, err = shell("run", "classic/ojja.circ")
    assert "did you mean `classic/oja.circ`?" in err
    code, _, err = shell("fmt", "classic/oja.circ")
    assert code == 2
    assert "shipped library" in err


# ---------------------------------------------------------------- one object on every way out


def fault(*_: object) -> None:
    raise RuntimeError("a fault")


def memory(*_: object) -> None:
    raise MemoryError


def usage(*_: object) -> None:
    raise Stop(2, "error: no such option")


def pressed(*_: object) -> None:
    raise KeyboardInterrupt


def deep(*_: object) -> None:
    raise RecursionError


def full(*_: object) -> None:
    raise OSError(28, "No space left on device", "x.nc")


def absent(*_: object) -> None:
    raise ModuleNotFoundError("no numba", name="numba")


@pytest.mark.parametrize(
    ("what", "exit_code", "kind"),
    [
        (fault, 3, "fault"), (memory, 3, "memory"), (usage, 2, "usage"), (pressed, 130, "interrupted"),
        (deep, 3, "depth"), (full, 3, "system"), (absent, 2, "missing"),
    ],
)  # fmt: skip
def test_every_way_out_prints_an_object(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, what: Any, exit_code: int, kind: str
) -> None:
    monkeypatch.setattr(front_door, "_dispatch", what)
    code, out, err = shell("run", "x.circ", "--json")
    found = json.loads(out)
    assert code == exit_code
    assert (found["ok"], found["kind"], found["exit"], found["diagnostics"]) == (False, kind, exit_code, [])
    assert found["error"]
    assert found["error"] in err
    assert shell("run", "x.circ")[1] == ""


@pytest.mark.parametrize(
    "line",
    ["", "nonsense", "check", "run a1.circ --epochs x", "run nowhere.circ", "sweep a1.circ --seeds 0", "emit bad.circ"],
)
def test_usage_prints_one_object(shell: Shell, folder: Path, line: str) -> None:
    (folder / "bad.circ").write_text(BAD)
    code, out, _ = shell(*line.split(), "--json")
    assert code in (1, 2)
    assert json.loads(out)["ok"] is False
    assert out.count("\n") == 1


def test_the_version_tells_what_a_report_needs(shell: Shell) -> None:
    code, out, _ = shell("--version", "--json")
    found = json.loads(out)
    assert code == 0
    assert {"circuitdsl", "python", "platform", "machine", "processors", "libraries"} <= set(found)
    assert found["libraries"]["lark"]
    assert set(found["libraries"]) >= {"numpy", "numba", "scikit-learn", "dask"}


def test_cache_show_is_cache(shell: Shell) -> None:
    assert shell("cache", "show") == shell("cache")


# ---------------------------------------------------------------- names and streams


HOSTILE = b"a\x1b[31m\x9b2J\xff\x07.circ"


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes")
@pytest.mark.parametrize("arguments", [["check"], ["check", "--json"], ["derive", "--no-measure"], ["run"], ["fmt"]])
def test_names_that_command_the_terminal(tmp_path: Path, arguments: list[str]) -> None:
    (Path(os.fsdecode(bytes(tmp_path) + b"/" + HOSTILE))).write_text(BAD.replace("{ rate", "{rate"))
    code, out, err = program(*arguments, HOSTILE, cwd=tmp_path)
    assert code == (0 if arguments == ["fmt"] else 1)
    assert not set(out + err) & {"\x1b", "\x07", "\x9b"}
    if "--json" in arguments:
        assert os.fsencode(json.loads(out)["file"]) == HOSTILE


def test_a_locale_without_letters(tmp_path: Path) -> None:
    (tmp_path / "ü.circ").write_text(BAD)
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code, out, _ = program("check", os.fsencode("ü.circ"), cwd=tmp_path, env=environment)
    assert code == 1
    assert "1 error" in out


@pytest.mark.parametrize("closing", [">&-", ">&- 2>&-", "<&-", "| head -c 1 > /dev/null"])
def test_streams_that_are_closed(folder: Path, closing: str) -> None:
    line = f"'{sys.executable}' -m circuitdsl check . {closing}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, timeout=120, text=True)
    assert "Traceback" not in done.stdout + done.stderr
    assert "Exception" not in done.stdout + done.stderr
    assert done.returncode in (0, 1)


def test_colours_pass_to_terminals_only() -> None:
    from io import BytesIO, TextIOWrapper

    for terminal, kept in ((True, "\x1b[31mred\x1b[0m \u241b[2J\n\t"), (False, "\u241b[31mred\u241b[0m \u241b[2J\n\t")):
        below = TextIOWrapper(BytesIO(), encoding="utf-8")
        below.isatty = lambda answer=terminal: answer  # type: ignore[method-assign]
        stream = Harmless(below)
        stream.write("\x1b[31mred\x1b[0m \x1b[2J\n\t")
        stream.flush()
        below.seek(0)
        assert below.read() == kept
