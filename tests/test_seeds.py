"""From Python: several seeds, a file written as they come, going on from it, and an interrupt that keeps what there
is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import circuitdsl as cd
from circuitdsl.runtime import simulate

TEXT = """circuit tiny {
  input x: 4
  target y: 3
  neuron out: 3 { dendrite basal   rate = softmax(basal) }
  neuron err: 3 { rate = y - out }
  synapse W: x -> out.basal { init = normal(0, 1)   dw = 0.1 * err * pre }
  loss = cross_entropy(out, y)
  record norm(W), mean(W) every 5
  task iris { data = iris   epochs = 2   batch = 8   seed = 3   metric = accuracy(out, y) }
}"""


@pytest.fixture
def simulation() -> cd.Simulation:
    return cd.loads(TEXT).compile("reference")


def same(a: xr.Dataset, b: xr.Dataset) -> bool:
    return all(np.array_equal(a[name], b[name], equal_nan=True) for name in a.data_vars) and set(a) == set(b)


def test_seeds_are_runs_of_their_own(simulation: cd.Simulation) -> None:
    together = simulation.run(seeds=3)
    assert together["seed"].values.tolist() == [3, 4, 5]
    assert together["metric"].dims == ("seed", "epoch")
    alone = simulation.run(seed=4)
    np.testing.assert_array_equal(together["W.final"].sel(seed=4), alone["W.final"])
    assert "seed" not in alone.dims
    with pytest.raises(cd.UsageError, match="`seeds` is 0"):
        simulation.run(seeds=0)


def test_records_carry_their_names(simulation: cd.Simulation) -> None:
    run = simulation.run()
    names = {name: run[name].attrs["long_name"] for name in ("metric", "loss", "norm(W)", "mean(W)", "W.final")}
    assert names == {
        "metric": "accuracy(out, y)", "loss": "cross_entropy(out, y)", "norm(W)": "norm(W)", "mean(W)": "mean(W)",
        "W.final": "W at the end",
    }  # fmt: skip
    axes = run.curves.figure().axes
    assert [a.get_title(loc="left") for a in axes[:4]] == [
        "accuracy(out, y)",
        "cross_entropy(out, y)",
        "norm(W)",
        "mean(W)",
    ]
    np.testing.assert_array_equal(axes[3].lines[0].get_ydata(), run["mean(W)"])
    assert axes[3].get_xlabel() == "update"
    with pytest.raises(cd.UsageError, match="only a run"):
        xr.Dataset({"a": 1}).curves  # noqa: B018


def test_a_file_is_gone_on_with(simulation: cd.Simulation, tmp_path: Path) -> None:
    whole = simulation.run(seeds=2, epochs=4)
    out = tmp_path / "run.nc"
    half = simulation.run(seeds=2, epochs=2, out=out)
    with xr.open_dataset(out, engine="h5netcdf") as written:
        assert same(written.load(), half)
    for resume, place in ((True, out), (str(out), None), (half, None)):
        assert same(simulation.run(seeds=2, epochs=4, out=place, resume=resume), whole)
    assert same(simulation.run(out=tmp_path / "new.nc", resume=True), simulation.run())
    with pytest.raises(cd.UsageError, match="give both"):
        simulation.run(resume=True)
    with pytest.raises(cd.UsageError, match="there is no file"):
        simulation.run(resume=tmp_path / "none.nc")
    with pytest.raises(cd.UsageError, match="what an earlier run gave"):
        simulation.run(resume=xr.Dataset({"a": 1}))
    with pytest.raises(cd.UsageError, match="of seed 3, 4, not of 9"):
        simulation.run(seed=9, resume=half)


def test_an_interrupt_gives_what_there_is(
    simulation: cd.Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pressed in the second epoch of the second seed."""
    whole = simulation.run(seeds=3, epochs=3)
    left = [5]
    train = simulate._train

    def pressed(*given: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        train(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(simulate, "_train", pressed)
        left[0] = 3 * len(list(_stretches(simulation))) + len(list(_stretches(simulation))) + 1
        with pytest.warns(RuntimeWarning, match="interrupted after epoch 1"):
            found = simulation.run(seeds=3, epochs=3, out=tmp_path / "run.nc")
    assert found["seed"].values.tolist() == [3, 4]
    assert found["epochs_done"].values.tolist() == [3, 1]
    np.testing.assert_array_equal(found["loss"].sel(seed=3), whole["loss"].sel(seed=3))
    assert np.isnan(found["loss"].sel(seed=4).values[2:]).all()
    assert same(simulation.run(seeds=3, epochs=3, out=tmp_path / "run.nc", resume=True), whole)


def _stretches(simulation: cd.Simulation) -> list[int]:
    """The pieces in which an epoch is trained."""
    from circuitdsl.runtime.request import Request

    outcome = simulation.prepare(Request())
    return list(simulate.stops(outcome.loop, outcome.run))


def test_progress_is_told(simulation: cd.Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    from circuitdsl.runtime import progress

    shown: list[str] = []

    class Handle:
        def update(self, what: object) -> None:
            shown.append(what.data)  # type: ignore[attr-defined]

    pytest.importorskip("IPython", reason="no IPython: the extra `notebook` brings it")
    monkeypatch.setattr(progress, "_kernel", lambda: progress.Cell(Handle()))
    simulation.run(progress=True)
    assert "epoch 0/2" in shown[0]
    assert "epoch 2/2" in shown[-1]
    assert 'value="240" max="240"' in shown[-1]
