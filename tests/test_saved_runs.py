"""Files of results: a run goes on from a whole one only, and what is written is what the name says."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_damaged import spoilt

from circuitdsl.api import Request, Simulation, loads
from circuitdsl.cli.main import run
from circuitdsl.explore.evolve import evolve
from circuitdsl.explore.sweep import sweep
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.results import read, split, write

TEXT = """circuit small {
  input x: 4   target y: 3
  neuron out: 3 { dendrite basal   rate = softmax(basal) }
  neuron err: 3 { rate = y - out }
  modulator m = loss { state b = 0 keep   db = 0.1 * (loss - b) }
  synapse W: x -> out { init = zeros   dw = 0.1 * err * pre }
  loss = cross_entropy(out, y)
  record mean(err) every 5   record norm(W), W, out
  task t { data = iris   epochs = 3   batch = 16   metric = accuracy(out, y) }
}"""


@pytest.fixture
def simulation() -> Simulation:
    return Simulation(loads(TEXT), target="reference")


def test_what_is_written_is_read(simulation: Simulation, tmp_path: Path) -> None:
    given = simulation.dataset_of(simulation.execute(Request(epochs=1)))
    write(tmp_path / "run.nc", given)
    assert read(tmp_path / "run.nc").identical(given)
    write(tmp_path / "run.nc", read(tmp_path / "run.nc").assign_attrs(remark="seen"))  # as others may do
    assert read(tmp_path / "run.nc").attrs["remark"] == "seen"


def change(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_is_noticed(simulation: Simulation, tmp_path: Path) -> None:
    path = tmp_path / "run.nc"
    given = simulation.dataset_of(simulation.execute(Request(epochs=1)))
    write(path, given)
    weights = given["W.final"].values.tobytes()
    change(path, path.read_bytes().index(weights) + 5)
    with pytest.raises(ValueError, match="is damaged, or was changed"):
        read(path)


def test_spoilt_files_are_refused(simulation: Simulation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.circ").write_text(TEXT)
    path, rng = tmp_path / "run.nc", random.Random(0)
    write(path, simulation.dataset_of(simulation.execute(Request(epochs=1))))
    content, refused = path.read_bytes(), 0
    for _ in range(25):
        path.write_bytes(spoilt(content, rng))
        try:
            split(read(path))
        except ValueError:
            refused += 1
    assert refused > 12
    line = ["run", str(tmp_path / "c.circ"), "--target", "reference", "--out", str(path), "--resume"]
    for whole in (content[: len(content) // 2], content[:8], b""):
        path.write_bytes(whole)
        assert run(line) == 2
        assert "is not a saved run: it is no netCDF file, or damaged" in capsys.readouterr().err


BAD: dict[str, Any] = {
    "`epochs_done` is no count: 1.5": {"epochs_done": 1.5},
    "`epochs_done` is no count: -1": {"epochs_done": -1},
    "`epochs_done` holds no numbers": {"epochs_done": "one"},
    "where 1000000000000 epochs": {"epochs_done": 10**12, "updates_done": 10**12 * 8},
    "its updates are not those of 1 epochs": {"updates_done": 7},
    "its updates are not those of 2 epochs": {"epochs_done": 2},
    "`diverged` holds no numbers": {"diverged": "no"},
    "it diverged": {"diverged": 1},
    "`metric` is (1,)": {"metric": ("n", [0.5])},
    "`metric` is (2, 1)": {"metric": (("n", "m"), [[0.5], [0.5]])},
    "`loss` holds no numbers": {"loss": ("n", ["a", "b"])},
    "`W.final` is (1,)": {"W.final": ("n", [0.5])},
    "`W.final` is (4, 3)": {"W.final": (("n", "m"), np.zeros((4, 3)))},
    "`W.final` is not finite": {"W.final": (("post_out", "pre_x"), np.full((3, 4), np.inf))},
    "`W.final` holds no numbers": {"W.final": ("n", ["a"])},
    "has no `norm(W)`": {"norm(W)": None},
    "has no `W.final`": {"W.final": None},
    "has no `epochs_done`": {"epochs_done": None},
}


@pytest.mark.parametrize("said", BAD)
def test_impossible_counts_and_wrong_types(said: str, simulation: Simulation) -> None:
    saved = simulation.dataset_of(simulation.execute(Request(epochs=1)))
    for name, value in BAD[said].items():
        saved = saved.drop_vars(name)
        if value is not None:
            saved[name] = value if isinstance(value, tuple) else ((), value)
    with pytest.raises(UsageError) as caught:
        simulation.execute(Request(), saved=saved)
    assert said in str(caught.value)


def test_attributes_of_wrong_types(simulation: Simulation) -> None:
    saved = simulation.dataset_of(simulation.execute(Request(epochs=1)))
    for key, value in (("seed", [1, 2]), ("batch", "x"), ("params", 3), ("hash", np.zeros(2)), ("validation", 0.1)):
        with pytest.raises(UsageError, match=f"its {key} differ"):
            simulation.execute(Request(), saved=saved.assign_attrs({key: value}))
    for value in ([1, 2], "one", None):
        with pytest.raises(ValueError, match="of which seed"):
            split(saved.assign_attrs(seed=value))


# ---------------------------------------------------------------- tables


def test_a_csv_is_a_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.circ").write_text(TEXT)
    out = tmp_path / "run.csv"
    line = ["run", str(tmp_path / "c.circ"), "--target", "reference", "--out", str(out), "--json"]
    assert run([*line, "--seeds", "2", "--epochs", "2"]) == 0
    said = capsys.readouterr()
    rows = list(csv.reader(out.read_text().splitlines()))
    assert rows[0] == ["seed", "epoch", "metric", "loss", "norm(W)"]
    assert [row[:2] for row in rows[1:]] == [[s, e] for s in "01" for e in "012"]
    last = [float(row[2]) for row in rows[1:] if row[1] == "2"]
    assert last == [one["metric"] for one in json.loads(said.out)["runs"]]
    assert "not in the table" in said.err
    assert "W.final" in said.err
    assert run(line) == 0  # a table of ours is replaced
    assert run([*line, "--resume"]) == 2
    assert "a table, " in capsys.readouterr().err
    out.write_text("my,own,table\n")
    assert run(line) == 2
    assert out.read_text() == "my,own,table\n"


@pytest.mark.parametrize("ending", [".csv", ".json", ".npz", ".txt", ".parquet", ".xlsx"])
def test_a_name_that_says_something_else_is_refused(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.circ").write_text(
        TEXT.replace("0.1 * err", "eta * err").replace("small {", "small { param eta = 0.1")
    )
    out = tmp_path / f"out{ending}"
    lines = [["sweep", "--set", "eta=0.1"], ["evolve", "--genome", "eta"]] + [["run"]] * (ending != ".csv")
    for name, *more in lines:
        assert run([name, str(tmp_path / "c.circ"), *more, "--out", str(out)]) == 2
        assert "call it .nc" in capsys.readouterr().err
    circuit = loads((tmp_path / "c.circ").read_text())
    with pytest.raises(UsageError, match="call it"):
        sweep(circuit, {"eta": [0.1]}, out=out, target="reference")
    with pytest.raises(UsageError, match="call it"):
        evolve(circuit, ["eta"], out=out)
    assert [p.name for p in tmp_path.iterdir()] == ["c.circ"]
