"""Sweeps: one dataset, the runs that `run` would do, resumable after any end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from interrupt import Interrupt

import circuitdsl as cd
from circuitdsl.api import Circuit, Request, Simulation, UsageError, loads
from circuitdsl.cli.main import run as command_line
from circuitdsl.cli.sweep import grid_of
from circuitdsl.explore import lives
from circuitdsl.explore.gather import best, rows
from circuitdsl.explore.lives import _engine as make_engine
from circuitdsl.explore.sweep import plan_sweep, sweep
from circuitdsl.runtime import simulate as simulation_module
from circuitdsl.runtime.engine import Compiled
from circuitdsl.runtime.progress import Quiet
from circuitdsl.runtime.statistics import over_seeds
from circuitdsl.runtime.stopping import told_to_stop
from circuitdsl.runtime.where import Cores, Here

TEXT = """circuit small {
  param eta = 0.1   param gamma = 0.01   param n = 4   param sizes = [4, 3]   param often = 7
  input x: 4   target y: 3
  neuron h: n { dendrite basal   rate = relu(basal) }
  neuron g: sizes[0] { dendrite basal   rate = relu(basal) }
  neuron out: 3 { dendrite basal   rate = softmax(basal) }
  neuron err: 3 { rate = y - out }
  synapse W1: x -> h
  synapse V: x -> g { dw = 0 * post * pre }
  synapse U: g -> out
  synapse W2: h -> out { dw = eta * err * pre - eta * gamma * w }
  loss = cross_entropy(out, y)
  record norm(W2)
  record W2, mean(h) every often
  task flowers { data = iris   epochs = 2   batch = 8   seed = 4   metric = accuracy(out, y) }
}"""

GRID = {"eta": [0.05, 0.5], "gamma": [0.0, 0.01]}


@pytest.fixture(scope="module")
def circuit() -> Circuit:
    return loads(TEXT, "small")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.circ"
    path.write_text(TEXT)
    return path


def small(circuit: Circuit | Path, grid: Any = GRID, **more: Any) -> xr.Dataset:
    return sweep(circuit, grid, **{"target": "reference", "jobs": 1, **more})


# ---------------------------------------------------------------- one dataset


def test_every_run_is_the_run_that_run_does(circuit: Circuit) -> None:
    found = small(circuit, seeds=2)
    assert found["metric"].dims == ("eta", "gamma", "seed", "epoch")
    assert dict(found.sizes) == {
        "eta": 2, "gamma": 2, "seed": 2, "epoch": 3, "update": 5, "post_out": 3, "pre_h": 4
    }  # fmt: skip
    assert found["seed"].values.tolist() == [4, 5]
    run = circuit.run(target="reference", params={"eta": 0.5, "gamma": 0.01}, seed=5)
    mine = found.sel(eta=0.5, gamma=0.01, seed=5)
    for name in ("metric", "loss", "norm(W2)", "W2", "mean(h)"):
        np.testing.assert_array_equal(mine[name], run[name], err_msg=name)
    assert mine["update"].values.tolist() == run["update"].values.tolist()
    assert found.attrs["circuit"] == "small"
    assert "eta" not in json.loads(found.attrs["params"])
    assert "gamma = 0.01" in found.attrs["source"]
    labels = {axis: found[axis].attrs["long_name"] for axis in ("eta", "seed", "epoch", "update")}
    assert labels == {
        "eta": "the param `eta`", "seed": "the seed of the run", "epoch": "epochs done", "update": "updates done"
    }  # fmt: skip


def test_structural_params_and_lists_and_intervals(circuit: Circuit) -> None:
    found = small(circuit, {"n": [3, 5], "sizes": [[4, 3], [2, 2]], "often": [7, 10]}, epochs=1)
    assert found["sizes"].values.tolist() == ["[4, 3]", "[2, 2]"]
    assert found["W2"].dims == ("n", "sizes", "often", "seed", "update", "post_out", "pre_h")
    small_one = found["W2"].sel(n=3, sizes="[2, 2]", often=7, update=14).isel(seed=0)
    assert np.isfinite(small_one[:, :3]).all()
    assert np.isnan(small_one[:, 3:]).all()
    assert np.isnan(found["W2"].sel(often=10, update=7)).all()
    assert np.isfinite(found["mean(h)"].sel(often=10, update=10)).all()


def test_the_gradient_twin_and_other_data(circuit: Circuit) -> None:
    found = small(circuit, {"eta": [0.1]}, learn="backprop", epochs=1, batch=4)
    run = circuit.run(target="reference", params={"eta": 0.1}, learn="backprop", epochs=1, batch=4)
    np.testing.assert_array_equal(found["loss"].values[0, 0], run["loss"])
    x, y = np.random.default_rng(0).normal(size=(20, 4)), np.arange(20) % 3
    given = small(circuit, {"eta": [0.1]}, data=(x, y), epochs=1)
    assert given.attrs["data"] == "arrays"


def test_only_structural_params_compile_anew(circuit: Circuit, monkeypatch: pytest.MonkeyPatch) -> None:
    from circuitdsl.runtime import backends

    made = []
    real = backends.make_engine
    monkeypatch.setattr(backends, "make_engine", lambda *a: made.append(a) or real(*a))
    monkeypatch.setattr(lives, "_ENGINES", lives._Engines())
    simulation = Simulation(circuit, target="reference")
    planned = plan_sweep(simulation, {"eta": (0.1, 0.2, 0.3), "n": (3, 4)}, Request(epochs=0), 1)
    assert len({id(point.setup) for point in planned.points}) == 2
    made.clear()
    for point in planned.points:
        lives.live(point.setup, point.life)
    assert len(made) == 2


def test_threads_and_processes_give_the_same_bits(circuit: Circuit) -> None:
    alone = small(circuit, seeds=2)
    assert alone.identical(small(circuit, seeds=2, jobs=2))  # processes: it is the interpreter
    compiled = small(circuit, target="cpu")
    assert compiled.identical(small(circuit, target="cpu", jobs=3))


# ---------------------------------------------------------------- divergence


def test_a_diverged_point_is_data(circuit: Circuit) -> None:
    found = small(circuit, {"eta": [0.1, 1e30]}, dtype="float32")
    assert found["diverged"].values.tolist() == [[0], [1]]
    assert "diverged" in str(found["why"].values[1, 0])
    assert np.isnan(found["metric"].values[1, 0]).any()
    table = rows(found)
    assert np.isnan(table[1].metric[0])
    assert best(table, on="metric", larger=True) is table[0]


def test_the_best_point_does_not_diverge() -> None:
    assert over_seeds([1.0, float("nan")]).seeds == 1
    assert over_seeds([1e300, -1e300]).half == float("inf")  # and no OverflowError
    mean = over_seeds([1.0, 2.0, 3.0])
    assert mean.mean == 2
    assert mean.half == pytest.approx(4.303 / 3**0.5, rel=1e-3)  # Student's t with two degrees of freedom


# ---------------------------------------------------------------- going on


@pytest.fixture
def lived(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Every run that was done."""
    from circuitdsl.explore import sweep as module

    done: list[Any] = []
    real = module.live

    def counting(setup: Any, life: Any) -> Any:
        done.append(life)
        return real(setup, life)

    monkeypatch.setattr(module, "live", counting)
    return done  # type: ignore[return-value]


def test_it_goes_on_with_nothing_computed_twice(circuit: Circuit, tmp_path: Path, lived: list[Any]) -> None:
    out = tmp_path / "sweep.nc"
    whole = small(circuit, seeds=2)
    lived.clear()
    with pytest.raises(KeyboardInterrupt):
        small(circuit, seeds=2, out=out, progress=Interrupt(3))
    assert len(lived) == 3
    assert len(list((tmp_path / "sweep.nc.parts").glob("*.npz"))) == 3
    assert not out.exists()
    lived.clear()
    bar = Interrupt(100)
    found = small(circuit, seeds=2, out=out, progress=bar)
    assert (bar.done, len(lived)) == (3, 5)
    assert found.drop_attrs().identical(whole.drop_attrs())
    assert not (tmp_path / "sweep.nc.parts").exists()
    with xr.open_dataset(out, engine="h5netcdf") as written:
        np.testing.assert_array_equal(written["metric"], whole["metric"])
    lived.clear()
    again = small(circuit, seeds=2, out=out)
    assert lived == []
    np.testing.assert_array_equal(again["W2"], whole["W2"])


def test_a_broken_part_is_done_again(circuit: Circuit, tmp_path: Path, lived: list[Any]) -> None:
    out = tmp_path / "sweep.nc"
    with pytest.raises(KeyboardInterrupt):
        small(circuit, out=out, progress=Interrupt(2))
    broken = sorted((tmp_path / "sweep.nc.parts").glob("*.npz"))[0]
    broken.write_bytes(broken.read_bytes()[:40])
    lived.clear()
    small(circuit, out=out)
    assert len(lived) == 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"epochs": 1}, "epochs 2 there, 1 now"),
        ({"seeds": 2}, "seeds"),
        ({"grid": {"eta": [0.05]}}, "grid `eta`"),
        ({"dtype": "float64"}, "dtype"),
        ({"params": {"often": 3}}, "params `often` nothing there, 3.0 now"),
        ({"data": "two"}, "data"),
        ({"text": TEXT.replace("softmax(basal)", "softmax(2 * basal)")}, "the circuit has changed"),
        ({"text": TEXT.replace("often = 7", "often = 9")}, "the circuit has changed"),
    ],
)
def test_another_sweep_is_refused(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    out = tmp_path / "sweep.nc"
    with pytest.raises(KeyboardInterrupt):
        small(loads(TEXT), out=out, progress=Interrupt(1))
    if change.get("data"):
        change = {"data": (np.eye(4), np.arange(4) % 3)}
    other = {"grid": GRID, **{k: v for k, v in change.items() if k != "text"}}
    with pytest.raises(UsageError, match=told):
        small(loads(change.get("text", TEXT)), out=out, **other)
    small(loads(TEXT), out=out)
    with pytest.raises(UsageError, match=told):
        small(loads(change.get("text", TEXT)), out=out, **other)


def test_a_file_of_something_else_is_kept(circuit: Circuit, tmp_path: Path) -> None:
    out = tmp_path / "run.nc"
    out.write_bytes(b"precious")
    with pytest.raises(UsageError, match="holds no sweep"):
        small(circuit, out=out)
    assert out.read_bytes() == b"precious"


SCRIPT = """
import sys, time
from circuitdsl.cli.main import main
from circuitdsl.explore import sweep
real = sweep.live
def slow(setup, life):
    time.sleep(0.2)
    return real(setup, life)
sweep.live = slow
main(sys.argv[1:])
"""


def test_a_kill_at_any_moment(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep.nc"
    arguments = ["sweep", str(file), "--set", "eta=0.05,0.5", "--set", "gamma=0,0.01", "--seeds", "2"]
    arguments += ["--target", "reference", "--jobs", "1"]
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments, "--out", str(out)], stderr=subprocess.PIPE)
    parts = tmp_path / "sweep.nc.parts"
    waited = time.monotonic()
    while len(list(parts.glob("*.npz"))) < 3 and time.monotonic() - waited < 60:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = {p: p.stat().st_ino for p in parts.glob("*.npz")}
    assert 3 <= len(kept) < 8
    seen: dict[Path, int] = {}

    class Watch:
        def start(self, title: str, total: int, done: int) -> None:
            assert (total, done) == (8, len(kept))

        def advance(self, note: str = "") -> None:
            seen.update({p: p.stat().st_ino for p in kept})

    found = small(file, seeds=2, out=out, progress=Watch(), grid={"eta": [0.05, 0.5], "gamma": [0, 0.01]})
    assert seen == kept  # no part was written again
    assert found.drop_attrs().identical(small(file, seeds=2).drop_attrs())


@pytest.mark.filterwarnings("error")
def test_threads_stop_at_an_interruption(circuit: Circuit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in threads end before their end, and what comes after them is not told to stop."""
    epochs, one = 0, simulation_module._epoch

    def counted(*arguments: Any) -> Any:
        nonlocal epochs
        epochs += 1
        return one(*arguments)

    monkeypatch.setattr(simulation_module, "_epoch", counted)
    with pytest.raises(KeyboardInterrupt):
        small(circuit, {"eta": [0.01, 0.02, 0.03, 0.04]}, target="cpu", jobs=2, epochs=300, progress=Interrupt(1))
    assert 300 <= epochs < 1200
    assert list(Cores(2, "threads").map(lambda a, b: a * b, [(2, 1)])) == [(0, 2)]


def test_an_ended_map_stops_no_later_run(circuit: Circuit) -> None:
    """Neither one in a thread of somebody else's, nor one of another map."""
    found = small(circuit, {"eta": [0.1, 0.2]}, target="cpu", jobs=2)
    planned = plan_sweep(circuit.compile(), {"eta": [0.1, 0.2]}, Request(), 1)
    with ThreadPoolExecutor(1) as pool:
        part = pool.submit(lives.live, planned.points[1].setup, replace(planned.points[1].life, seed=4)).result()
    np.testing.assert_array_equal(part.metric, found["metric"].values[1, 0])


def test_only_the_own_map_stops_a_thread() -> None:
    told: list[str] = []

    def piece(name: str, waits: bool) -> None:
        while waits and not told_to_stop():
            time.sleep(0.01)
        told.append(name)

    long = Cores(2, "threads").map(piece, [("short", False), ("long", True)])
    assert next(long) == (0, None)
    assert len(list(Cores(2, "threads").map(piece, [("other", False)] * 3))) == 3
    time.sleep(0.1)
    assert told == ["short", "other", "other", "other"]
    long.close()  # type: ignore[attr-defined]
    waited = time.monotonic()
    while told[-1] != "long" and time.monotonic() - waited < 10:
        time.sleep(0.01)
    assert told[-1] == "long"
    assert not told_to_stop()


def threads_of_algebra(*_: Any) -> list[int]:
    from threadpoolctl import threadpool_info

    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_linear_algebra_has_one_thread(circuit: Circuit) -> None:
    """Wherever a piece of work runs, so that its sums are split alike; and its threads are given back."""
    seen: list[list[int]] = []

    class Watching(Quiet):
        def advance(self, examples: int) -> None:
            seen.append(threads_of_algebra())

    before = threads_of_algebra()
    for where in (Here(), Cores(2, "threads"), Cores(2, "processes")):
        seen += [found for _, found in where.map(threads_of_algebra, [(0, 0)] * 4)]
    circuit.compile("reference").execute(Request(epochs=1), progress=Watching())
    assert len(seen) > 12
    assert all(found == [1] * len(found) != [] for found in seen)
    assert threads_of_algebra() == before


def test_processes_end_with_the_command(tmp_path: Path) -> None:
    """Also when it is killed, which tells them nothing."""
    waiting = (
        "import os, sys, time\n"
        "from circuitdsl.runtime.where import Cores\n"
        "def wait(folder, own):\n"
        "    open(f'{folder}/{os.getpid()}', 'w').close()\n"
        "    time.sleep(0 if own else 1000)\n"
        "work = [(sys.argv[1], own) for own in (1, 0, 0)]\n"
        "list(Cores(2, 'processes').map(wait, work))\n"
    )
    command = subprocess.Popen([sys.executable, "-c", waiting, str(tmp_path)])
    assert _within(600, lambda: len(list(tmp_path.iterdir())) == 2)
    command.kill()
    command.wait()
    assert _within(600, lambda: not any(Path("/proc", path.name).exists() for path in tmp_path.iterdir()))


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
    return condition()


# ---------------------------------------------------------------- misuse


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ({"etta": [1]}, "etta"),
        ({"eta": []}, "no values"),
        ({"eta": [0.1, 0.1]}, "twice"),
        ({"eta": [[1, 2]]}, "eta"),
        ({"sizes[1]": [2, 3], "sizes": [[4, 2]]}, "part of `sizes`, which is swept"),
    ],
)
def test_a_grid_that_makes_no_sense(circuit: Circuit, grid: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        small(circuit, grid)


def test_the_grid_of_options() -> None:
    assert grid_of(["eta=0.01,0.02", "sizes=[64,32],[64, 16]", "eta=0.1/4"]) == {
        "eta": [0.01, 0.02, 0.025],
        "sizes": [[64, 32], [64, 16]],
    }
    assert grid_of(["a=(1+2)*2,-3"]) == {"a": [6, -3]}


def test_passes_are_left_out_of_what_is_compiled(circuit: Circuit) -> None:
    def planned(*without: str) -> lives.Setup:
        simulation = Simulation(circuit, without=without)
        return (
            plan_sweep(simulation, {"eta": [0.1]}, Request(data=(np.eye(4), np.array([0, 1, 2, 0]))), 1).points[0].setup
        )

    setup = planned("fuse")
    engine = make_engine(setup)
    assert isinstance(engine, Compiled)
    assert engine.population.code.without == {"fuse"}
    assert len({planned().key, setup.key, planned("fuse", "trim").key}) == 3


# ---------------------------------------------------------------- the command


def swept(file: Path, *more: str) -> list[str]:
    return ["sweep", str(file), "--target", "reference", "--jobs", "1", *more]


def test_the_command(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "s.nc"
    told = ["--set", "eta=0.05,0.5", "--seeds", "2", "--out", str(out)]
    assert command_line(swept(file, *told)) == 0
    shown = capsys.readouterr().out
    assert "2 points, 2 seeds each" in shown
    assert "best: eta = 0.5" in shown
    assert "±" in shown
    assert command_line(swept(file, *told, "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert [p["params"]["eta"] for p in found["points"]] == [0.05, 0.5]
    assert found["best"]["params"] == {"eta": 0.5}
    assert found["points"][0]["metric"]["low"] < found["points"][0]["metric"]["mean"]
    assert len(found["points"][0]["loss"]["values"]) == 2
    assert command_line(swept(file, "--set", "eta=0.05", "--epochs", "1")) == 0
    assert "1 point, 1 seed each, 1 epoch," in capsys.readouterr().out
    assert command_line(swept(file, "--set", "eta=0.05", "--out", str(out))) == 2
    assert "another sweep" in capsys.readouterr().err


def test_exit_codes(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(swept(file, "--set", "eta=0.1,1e30")) == 0
    assert "1 of 1" in capsys.readouterr().out
    assert command_line(swept(file, "--set", "eta=1e30", "--json")) == 3
    assert json.loads(capsys.readouterr().out)["best"] is None
    for wrong in (["--set", "eta"], [], ["--set", "eta=one"], ["--set", "etaa=1"]):
        assert command_line(swept(file, *wrong)) == 2
    broken = file.with_name("broken.circ")
    broken.write_text(TEXT.replace("relu(basal)", "relu(basel)"))
    assert command_line(swept(broken, "--set", "eta=1", "--json")) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_no_scheduler_answers(file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from circuitdsl.runtime import where

    monkeypatch.setattr(where, "PATIENCE", 1)
    assert command_line(swept(file, "--set", "eta=1", "--cluster", "tcp://127.0.0.1:9")) == 2
    assert "no dask scheduler answers" in capsys.readouterr().err


def test_it_is_in_the_package() -> None:
    assert cd.sweep is sweep
    assert os.path.basename(cd.load("classic/delta_rule.circ").path or "") == "delta_rule.circ"
