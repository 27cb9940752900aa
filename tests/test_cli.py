"""The command line: output, JSON, exit codes, and never a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from circuitdsl.cli import main as front_door
from circuitdsl.cli.cache import KINDS
from circuitdsl.cli.common import Stop, params_of, print_json
from circuitdsl.cli.summary import number
from circuitdsl.shipped import library_path
from circuitdsl.store.entries import Entry, Kind

GOOD = """circuit small {
  param eta = 0.1   param n = 5   param scales = [1, 2]
  input x: 4   target y: 3
  neuron h: n { dendrite basal   rate = relu(basal) }
  neuron out: 3 { dendrite basal   rate = softmax(basal) }
  neuron err: 3 { rate = y - out }
  synapse W1: x -> h
  synapse W2: h -> out { dw = eta * scales[0] * err * pre }
  loss = cross_entropy(out, y)
  record norm(W2)
  expect metric >= 0.3
  expect metric <= 0.1
  task flowers { data = iris   epochs = 2   batch = 4   metric = accuracy(out, y) }
  task wines { data = wine   epochs = 1 }
}"""
RUN_KEYS = [
    "circuit", "target", "seed", "examples", "seconds", "examples_per_second", "compile_seconds", "metric",
    "loss", "diverged", "expects",
]  # fmt: skip


@pytest.fixture
def good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.circ").write_text(GOOD)
    return "small.circ"


class Shell:
    """Runs command lines within this process."""

    def __init__(self, capture: pytest.CaptureFixture[str]):
        self.capture = capture

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        code = front_door.run(list(arguments))
        out, err = self.capture.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    def json(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        code, out, _ = self(*arguments, "--json")
        found: dict[str, Any] = json.loads(out, parse_constant=pytest.fail)
        return code, found

    def run(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        return self.json("run", *arguments, "--target", "reference")


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


# ---------------------------------------------------------------- the door itself


def test_overview_and_help(shell: Shell) -> None:
    code, out, _ = shell("--help")
    assert code == 0
    for name in front_door.COMMANDS:
        assert f"  {name} " in out
    for name in front_door.COMMANDS:
        code, out, _ = shell(name, "--help")
        assert code == 0
        assert "examples:" in out
        assert f"circuitdsl {name}" in out
    assert shell("--version")[1].startswith("circuitdsl ")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "usage"),
        ("chekc a.circ", "did you mean `check`?"),
        ("mine.circ", "did you mean `circuitdsl run mine.circ`?"),
        ("check", "required: FILE"),
        ("run a.circ --epoch 3", "did you mean `--epochs`?"),
        ("run a.circ --epochs -1", "-1 is less than 0"),
        ("run a.circ --batch x", "`x` is no whole number"),
        ("run a.circ --target gpu", "invalid choice"),
        ("run a.circ --resume", "give both"),
        ("run a.circ", "cannot read `a.circ`"),
        ("emit a.circ --target reference", "cannot print; use `cpu`"),
        ("derive oja --no-measure --task nothing", "no task `nothing`"),
    ],
)
def test_usage_errors(shell: Shell, line: str, said: str) -> None:
    code, out, err = shell(*line.split())
    assert code == 2
    assert said in out + err


def test_what_cannot_be_written_is_said_before_the_run(
    shell: Shell, good: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").write_text("plain")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr("circuitdsl.runtime.simulate.simulate", lambda *_, **__: pytest.fail("it ran"))
    for name, why in (
        ("folder", "it is a directory"),
        ("pipe", "no ordinary file"),
        (f"{good}/a.nc", "not a directory"),
        ("plain", "is no netCDF file"),
        (good, "which its ending, .circ, does not say"),
        ("a" * 300, "too long"),
    ):
        code, _, err = shell("run", good, "--target", "reference", "--out", name)
        assert (code, f"`{name}`" in err and why in err) == (2, True), err
    assert shell("run", good, "--weights", "folder")[0] == 2
    assert shell("run", good, "--weights", "a.nc", "--out", "./a.nc")[0] == 2
    assert shell("sweep", good, "--set", "eta=1,2", "--out", "folder")[0] == 2
    assert shell("sweep", good, "--set", "eta=1,2", "--out", good)[0] == 2
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / good).read_text() == GOOD


def test_a_link_stays_a_link(shell: Shell, good: str, tmp_path: Path) -> None:
    for link, real in (("link.circ", good), ("link.nc", "real.nc")):
        (tmp_path / link).symlink_to(real)
    assert shell("fmt", "link.circ")[0] == 0
    assert shell.run(good, "--epochs", "0", "--out", "link.nc")[0] == 0
    assert (tmp_path / "link.circ").is_symlink()
    assert (tmp_path / "link.nc").is_symlink()
    assert (tmp_path / "real.nc").is_file()
    assert (tmp_path / good).read_text() != GOOD


def test_a_cluster_needs_a_port(shell: Shell, good: str) -> None:
    pytest.importorskip("distributed")
    for address in ("somewhere", "", "tcp://somewhere", "tcp://somewhere:99999", "http://somewhere:1"):
        code, _, err = shell("sweep", good, "--set", "eta=1,2", "--cluster", address)
        assert (code, "tcp://host:8786" in err) == (2, True)


def test_a_fault_of_ours_is_one_message(
    shell: Shell, good: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("something\nelse")

    monkeypatch.setattr("circuitdsl.graph.resolve.load_file", broken)
    code, _, err = shell("check", good)
    assert code == 3
    assert "internal fault: ZeroDivisionError: something\n" in err
    monkeypatch.setenv("CIRCUITDSL_DEBUG", "1")
    assert front_door.run(["check", good]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_a_closed_pipe_is_no_error(good: str) -> None:
    program = "import sys; from circuitdsl.cli.main import main; main(['list'])"
    line = f'"{sys.executable}" -c "{program}" | head -c 5'
    done = subprocess.run(line, shell=True, capture_output=True, text=True)
    assert done.stderr == ""


def said_by(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    program = f"from circuitdsl.cli.main import main; main({line.split()})"
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", env={**os.environ, **environment}
    )


def test_text_is_utf_8_in_every_locale() -> None:
    done = said_by("derive oja --no-measure", PYTHONIOENCODING="ascii")
    assert (done.returncode, "Δw" in done.stdout) == (0, True), done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_is_no_fault_of_ours() -> None:
    program = "from circuitdsl.cli.main import main; main(['list'])"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", program], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (3, "error: no space left on device\n")


# ---------------------------------------------------------------- check, list, emit


def test_check(shell: Shell, good: str) -> None:
    assert shell("check", good)[:2] == (0, "small.circ: ok\n")
    code, found = shell.json("check", good)
    assert (code, found) == (0, {"file": good, "ok": True, "diagnostics": []})


def test_check_says_what_is_wrong(shell: Shell, good: str) -> None:
    Path("bad.circ").write_text(GOOD.replace("-> h\n", "-> hh\n"))
    code, out, err = shell("check", "bad.circ")
    assert code == 1
    assert "1 error" in out
    assert "`hh`" in out
    assert err == ""
    code, found = shell.json("check", "bad.circ")
    assert code == 1
    (diagnostic,) = found["diagnostics"]
    assert set(diagnostic) >= {
        "code", "severity", "title", "line", "column", "end_line", "end_column", "labels", "hint",
    }  # fmt: skip
    assert (diagnostic["line"], diagnostic["severity"]) == (7, "error")
    for command in ("run", "emit"):
        assert shell.json(command, "bad.circ") == (1, found)


def test_check_of_several_files(shell: Shell, good: str) -> None:
    Path("bad.circ").write_text("circuit {")
    code, found = shell.json("check", good, "bad.circ")
    assert code == 1
    assert (found["ok"], [f["ok"] for f in found["files"]]) == (False, [True, False])
    code, found = shell.json("check", good, "none.circ")
    assert code == 2
    assert found["files"][1]["ok"] is False
    assert shell("check", good, "--json", good)[0] == 0


def test_check_sets_params(shell: Shell, good: str) -> None:
    assert shell("check", good, "--set", "n=7")[0] == 0
    assert shell("check", good, "--set", "nn=7")[0] == 2
    assert shell("check", good, "--set", "n=2.5")[0] == 1


def test_cache(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRCUITDSL_CACHE", str(tmp_path / "cache"))
    assert shell("cache")[:2] == (
        0,
        f"{tmp_path / 'cache'}: 0 entries, 0.0 MB\n"
        "  compiled code         0 entries, 0.0 MB\n"
        "  tables of the grammar 0 entries, 0.0 MB\n"
        "  checks before a run   0 entries, 0.0 MB\n",
    )
    Entry("code", "a", "key").write(b"x" * 50_000)
    code, found = shell.json("cache")
    assert code == 0
    assert found["entries"] == found["kinds"]["code"]["entries"] == 1
    assert found["bytes"] == found["kinds"]["code"]["bytes"] > 50_000
    assert (found["folder"], found["cleared"]) == (str(tmp_path / "cache"), False)
    assert shell("cache", "clear") == (0, f"cleared {tmp_path / 'cache'}: 1 entry, 0.1 MB\n", "")
    assert shell.json("cache", "clear")[1] == {**found, "entries": 0, "bytes": 0, "cleared": True} | {
        "kinds": {kind: {"entries": 0, "bytes": 0} for kind in KINDS}
    }
    assert set(KINDS) == set(get_args(Kind))
    code, _, err = shell("cache", "claer")
    assert code == 2
    assert "invalid choice" in err


def test_list(shell: Shell) -> None:
    code, found = shell.json("list")
    assert code == 0
    entry = next(e for e in found["circuits"] if e["name"] == "heterosynaptic/kolen_pollack.circ")
    assert entry["kind"] == "circuit"
    assert entry["doc"]
    assert Path(entry["path"]).is_file()
    assert "hetero" in shell("list")[1]
    assert entry["claims"][:3] == ["W1: gradient", "W2: exact", "attractor V2 ~ transpose(W2)"]
    for found_entry in found["circuits"]:
        text = Path(found_entry["path"]).read_text(encoding="utf-8")
        assert len(found_entry["claims"]) == text.count("\n  expect ") + text.count("\n    expect ")


def test_list_chooses_by_words(shell: Shell) -> None:
    code, out, _ = shell("list", "feedback", "Gradient")
    assert code == 0
    assert "kolen_pollack.circ" in out
    assert "claims W1: gradient, W2: exact, attractor V2 ~ transpose(W2), metric >=" in out
    assert "oja.circ" not in out
    assert "nothing in the library" in shell("list", "xyzzy")[1]


def test_show_prints_and_copies(shell: Shell, good: str) -> None:
    text = (library_path() / "classic" / "oja.circ").read_text(encoding="utf-8")
    assert shell("show", "oja") == (0, text, "")
    assert shell("show", "motifs/sal.circ")[1].startswith("import")
    assert shell("show", "classic/oja.circ", "--out", "mine.circ")[0] == 0
    assert Path("mine.circ").read_text(encoding="utf-8") == text
    code, _, err = shell("show", "oja", "-o", "mine.circ")
    assert code == 2
    assert "is there already" in err
    assert "did you mean `oja`?" in shell("show", "ojja")[2]


def test_new_writes_a_circuit_that_keeps_what_it_claims(shell: Shell, good: str) -> None:
    assert shell("new", "mine")[0] == 0
    assert shell("check", "mine.circ")[1:] == ("mine.circ: ok\n", "")
    assert shell("fmt", "--check", "mine.circ")[0] == 0
    code, found = shell.json("derive", "mine.circ", "--no-measure")
    assert code == 0
    assert [e["ok"] for e in found["expects"]] == [True, True, True]
    assert shell("new", "mine")[0] == 2


def test_new_starts_from_a_shipped_circuit(shell: Shell, good: str) -> None:
    assert shell("new", "other", "--like", "kolen_pollack")[0] == 0
    text = Path("other.circ").read_text(encoding="utf-8")
    shipped = (library_path() / "heterosynaptic" / "kolen_pollack.circ").read_text(encoding="utf-8")
    assert text == shipped.replace("circuit kolen_pollack", "circuit other")
    assert shell("check", "other.circ")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["circuit"], "a word of the language"),
        (["2nd"], "starts with no digit"),
        (["mine", "--like", "ojja"], "did you mean `oja`?"),
        (["mine", "--like", "rules/hebbian.circ"], "no circuit"),
    ],
)
def test_new_says_what_cannot_be(shell: Shell, good: str, arguments: list[str], said: str) -> None:
    code, _, err = shell("new", *arguments)
    assert code == 2
    assert said in err
    assert not Path("mine.circ").exists()


def test_a_shipped_circuit_is_found_anywhere(shell: Shell, good: str) -> None:
    for name in ("heterosynaptic/kolen_pollack.circ", "circuits/heterosynaptic/kolen_pollack.circ"):
        assert shell("check", name)[0] == 0


def test_emit(shell: Shell, good: str) -> None:
    code, out, _ = shell("emit", good)
    assert code == 0
    assert "small.circ:9" in out
    compile(out, "emitted", "exec")
    code, found = shell.json("emit", good, "--dtype", "float64", "--no-pass", "fuse")
    assert code == 0
    assert set(found) == {"circuit", "target", "dtype", "source"}
    assert found["source"].count("\n") > out.count("\n")
    assert "float64" in found["source"]
    assert shell.json("emit", good, "--learn", "backprop")[1]["source"] != out


def test_emit_shows_passes(shell: Shell, good: str) -> None:
    code, out, _ = shell("emit", good, "--passes")
    assert code == 0
    (line,) = (line for line in out.splitlines() if line.startswith("fuse "))
    assert " of 6 programs  joins" in line
    code, found = shell.json("emit", good, "--passes", "--no-pass", "fuse")
    assert {each["name"]: each["times"] for each in found["passes"]}["fuse"] == 0
    code, found = shell.json("emit", good, "--after", "lower")
    assert set(found) == {"circuit", "after", "dtype", "program"}
    assert found["program"] != shell("emit", good, "--after", "fuse")[1].rstrip()
    for line in (["--after", "fusee"], ["--no-pass", "fusee"], ["--after", "fuse", "--passes"]):
        code, _, err = shell("emit", good, *line)
        assert code == 2
        assert "fuse" in err or "give one of the two" in err
    assert shell("run", good, "--no-pass", "fusee")[0] == 2


def test_fmt(shell: Shell, good: str) -> None:
    code, out, _ = shell("fmt", "--check", good)
    assert (code, out) == (1, "small.circ: would change\n")
    assert Path(good).read_text() == GOOD
    assert shell.json("fmt", good)[1]["files"][0]["changed"]
    assert Path(good).read_text() != GOOD
    assert shell("fmt", "--check", good) == (0, "", "")
    assert shell("check", good)[0] == 0
    Path("bad.circ").write_text("circuit {")
    code, found = shell.json("fmt", "bad.circ")
    assert (code, found["ok"]) == (1, False)
    assert Path("bad.circ").read_text() == "circuit {"
    assert shell("fmt", "none.circ")[0] == 2


# ---------------------------------------------------------------- run


def test_run_json(shell: Shell, good: str) -> None:
    code, found = shell.run(good)
    assert list(found) == RUN_KEYS
    assert found["circuit"] == "small"
    assert (found["seed"], found["examples"], found["diverged"]) == (0, 240, False)
    assert 0.3 <= found["metric"] <= 1
    assert found["examples_per_second"] == pytest.approx(found["examples"] / found["seconds"])
    first, second = found["expects"]
    assert first == {"text": "metric >= 0.3", "ok": True, "value": found["metric"], "line": 11}
    assert second["ok"] is False
    assert code == 1


@pytest.mark.parametrize(
    "options",
    [("--epochs", "2"), ("--batch", "4"), ("--data", "iris"), ("--set", "eta=0.1"), ("--learn", "circuit"),
     ("--dtype", "float32")],
)  # fmt: skip
def test_under_other_settings_nothing_is_judged(shell: Shell, good: str, options: tuple[str, str]) -> None:
    code, found = shell.run(good, *options)
    assert code == 0
    assert [e["ok"] for e in found["expects"]] == [None, None]
    assert found["expects"][0]["value"] == found["metric"]


def test_run_in_words(shell: Shell, good: str) -> None:
    code, out, err = shell("run", good, "--target", "reference")
    assert code == 1
    assert err == ""
    assert "accuracy(out, y)" in out
    assert "✓ metric >= 0.3" in out
    assert "✗ metric <= 0.1" in out


def test_tasks_and_seeds(shell: Shell, good: str) -> None:
    code, found = shell.run(good, "--task", "wines")
    assert code == 1  # wine has 13 features
    assert found["diagnostics"][0]["code"] == "C061"
    code, found = shell.run(good, "--seeds", "3", "--seed", "5")
    assert list(found) == [*RUN_KEYS, "runs"]
    assert [run["seed"] for run in found["runs"]] == [5, 6, 7]
    assert found["metric"] == pytest.approx(np.mean([run["metric"] for run in found["runs"]]))
    out = shell("run", good, "--seeds", "2", "--target", "reference")[1]
    assert "seed 0 " in out
    assert "2 seeds" in out
    code, _, err = shell("run", good, "--task", "flower")
    assert code == 2
    assert "did you mean `flowers`?" in err


def test_params(shell: Shell, good: str) -> None:
    assert shell.run(good, "--set", "eta=1/20", "--set", "scales=[2, 3]", "--set", "n=9")[0] == 0
    for wrong in ("eta", "eta=", "eta=x", "eta=[1", "eta=[1,2]", "scales=[1]", "scales=1", "n=2.5", "m=1", "eta=1/0"):
        code, out, _ = shell("run", good, "--target", "reference", "--set", wrong)
        assert code in (1, 2), wrong
        assert out == ""
    assert params_of(["a=-2", "b = 2^-1*4", "c=[1, -2.5]"]) == {"a": -2, "b": 2, "c": [1, -2.5]}
    with pytest.raises(Stop):
        params_of(["a=b"])


def test_divergence_exits_3_and_saves(shell: Shell, good: str) -> None:
    Path("bad.circ").write_text(GOOD.replace("rate = softmax(basal)", "rate = basal"))
    code, _, err = shell("run", "bad.circ", "--target", "reference", "--set", "eta=100", "--out", "o.nc")
    assert code == 3
    assert "error[C070]: `W2` diverged" in err
    assert Path("o.nc").exists()
    code, found = shell.run("bad.circ", "--set", "eta=100")
    assert code == 3
    assert (found["diverged"], found["metric"], found["loss"]) == (True, None, None)


def test_resume(shell: Shell, good: str) -> None:
    whole = shell.run(good, "--epochs", "5")[1]
    for epochs in ("2", "5"):
        code, found = shell.run(good, "--epochs", epochs, "--out", "r.nc", "--resume")
        assert code == 0
    assert (found["metric"], found["loss"]) == (whole["metric"], whole["loss"])
    assert found["examples"] == 3 * 120
    code, _, err = shell("run", good, "--batch", "3", "--out", "r.nc", "--resume", "--target", "reference")
    assert code == 2
    assert "batch differs" in err
    for epochs in ("1", "2"):
        seeds = shell.run(good, "--epochs", epochs, "--seeds", "2", "--out", "s.nc", "--resume")[1]
    assert [run["examples"] for run in seeds["runs"]] == [120, 120]
    more = shell.run(good, "--epochs", "2", "--seed", "1", "--seeds", "2", "--out", "s.nc", "--resume")[1]
    assert [run["examples"] for run in more["runs"]] == [0, 240]
    from circuitdsl.runtime.results import read

    assert read(Path("s.nc"))["seed"].values.tolist() == [0, 1, 2]
    assert shell("run", good, "--seed", "9", "--out", "s.nc", "--resume")[0] == 2
    Path("junk.nc").write_text("junk")
    assert shell("run", good, "--out", "junk.nc", "--resume")[0] == 2


def test_weights(shell: Shell, good: str) -> None:
    first = shell.run(good, "--weights", "w.safetensors")[1]
    assert Path("w.safetensors").exists()
    again = shell.run(good, "--weights", "w.safetensors", "--epochs", "0")[1]
    assert again["metric"] == first["metric"]
    code, found = shell.run(good, "--weights", "w.safetensors", "--set", "n=6")
    assert (code, found["diagnostics"][0]["code"]) == (1, "C071")


def test_trace(shell: Shell, good: str) -> None:
    code, found = shell.json("run", good, "--trace", "3")
    assert code == 0
    (tick,) = found["ticks"]
    assert len(tick["values"]["h"]) == 5
    assert found["updates"]["W2"] > 0
    out = shell("run", good, "--trace", "3", "--epochs", "1", "--target", "reference")[1]
    assert "after 1 epochs" in out
    assert shell("run", good, "--trace", "150")[0] == 2


def test_data_that_are_not_there(shell: Shell, good: str) -> None:
    code, _, err = shell("run", good, "--data", "iriss", "--target", "reference")
    assert code == 2
    assert "did you mean `iris`?" in err
    assert shell("run", good, "--data", "no/such.npz", "--target", "reference")[0] == 2


def test_the_twin_runs_where_it_is_expected(shell: Shell, good: str) -> None:
    Path("twin.circ").write_text(GOOD.replace("metric <= 0.1", "metric >= 0.5 * backprop"))
    code, found = shell.run("twin.circ")
    assert code == 0
    assert found["expects"][1]["ok"] is True
    assert found["expects"][1]["value"] == pytest.approx(1, abs=0.5)
    assert "backprop" in shell("run", "twin.circ", "--target", "reference", "--seeds", "2")[1]
    assert shell.run("twin.circ", "--epochs", "1")[1]["expects"][1] == {
        "text": "metric >= 0.5 * backprop", "ok": None, "value": None, "line": 12,
    }  # fmt: skip


def test_the_cpu_does_as_the_reference(shell: Shell, good: str) -> None:
    """One compilation: the same metric as the reference, the same bits twice, and a resumed run."""
    options = ("--dtype", "float64", "--batch", "8")
    first = shell.json("run", good, *options, "--out", "cpu.nc")[1]
    second = shell.json("run", good, *options)[1]
    reference = shell.run(good, *options)[1]
    assert (first["target"], reference["target"]) == ("cpu", "reference")
    assert (first["metric"], first["loss"]) == (second["metric"], second["loss"])
    assert first["loss"] == pytest.approx(reference["loss"], rel=1e-9)
    resumed = shell.json("run", good, *options, "--epochs", "4", "--out", "cpu.nc", "--resume")[1]
    whole = shell.json("run", good, *options, "--epochs", "4")[1]
    assert (resumed["metric"], resumed["loss"]) == (whole["metric"], whole["loss"])


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_exits_130_and_can_go_on(good: str, number: signal.Signals) -> None:
    program = "import circuitdsl.runtime.saving as s; s.SAVE_EVERY = 0; from circuitdsl.cli.main import main; main()"
    line = ["run", good, "--target", "reference", "--epochs", "100000", "--out", "i.nc", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *line], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    for _ in range(600):  # until it has saved for the first time
        time.sleep(0.1)
        if Path("i.nc").exists() or process.poll() is not None:
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130, err
    assert json.loads(out)["kind"] == "interrupted"
    assert "go on with --resume" in err
    assert "Traceback" not in err
    from circuitdsl.runtime.results import read

    saved = read(Path("i.nc"))
    assert int(saved["epochs_done"]) > 0
    assert saved["metric"].sizes["epoch"] == int(saved["epochs_done"]) + 1


# ---------------------------------------------------------------- small things


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": float("nan"), "b": [np.float32(0.5), float("inf")], "c": np.arange(2), "d": Path("x")})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [0.5, None], "c": [0, 1], "d": "x"}


def test_numbers_have_the_digits_they_deserve() -> None:
    values = (0, 0.97654321, 0.0000123456, 123456.0, float("nan"))
    assert [number(v) for v in values] == ["0.0000", "0.9765", "1.235e-05", "1.235e+05", "none"]
