"""The demonstration: what it measures is what it says, and the picture shows the circuit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import circuitdsl as cd
from circuitdsl.api import Request
from circuitdsl.cli.main import run
from circuitdsl.studies.self_assembly import ALIGNMENTS, Gauge, alignments, checkpoints, cosine


@pytest.fixture(scope="module")
def circuit() -> cd.Circuit:
    return cd.load("heterosynaptic/self_assembly.circ")


# ---------------------------------------------------------------- measures


def test_alignment_is_complete_where_theory_says_so() -> None:
    rng = np.random.default_rng(0)
    f = rng.standard_normal((6, 6))
    basal, delta = rng.standard_normal((9, 6)), rng.standard_normal((9, 6))
    credit = delta @ f.T @ f
    found = dict(zip(ALIGNMENTS, alignments(basal, credit, delta, f.T, f), strict=True))
    assert found["cos_B_F"] == pytest.approx(1)
    assert found["cos_s_FFdelta_active"] == pytest.approx(1)
    assert found["cos_s_FFdelta"] < 1  # silent neurons get no credit
    assert abs(dict(zip(ALIGNMENTS, alignments(basal, credit, delta, f, f), strict=True))["cos_B_F"]) < 0.9


def test_cosine_skips_empty_rows() -> None:
    assert cosine(np.array([[1.0, 0], [0, 0]]), np.array([[2.0, 0], [1, 1]])) == 1
    assert cosine(np.zeros((2, 2)), np.ones((2, 2))) == 0


def test_the_gauge_against_plain_numpy(circuit: cd.Circuit) -> None:
    """Credit and gradient of the first layer, by hand from the weights."""
    start = circuit.compile("reference").prepare(Request(seed=3))
    state, loop = start.run.state, start.loop
    found = Gauge(circuit).read(state, loop.dataset, loop.numbers)
    w = {name: weights.astype(float) for name, weights in state.weights.items()}
    x, y = (loop.dataset.arrays[n][loop.dataset.test].astype(float) for n in "xy")

    z1 = x @ w["L[1].W"].T
    z2 = np.maximum(z1, 0) @ w["L[2].W"].T
    logits = np.maximum(z2, 0) @ w["Wo"].T
    err = y - np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    d2 = (err @ w["L[2].V"].T) * (z2 > 0)
    d1 = (d2 @ w["L[1].V"].T) * (z1 > 0)
    delta1 = ((err @ w["Wo"]) * (z2 > 0)) @ w["L[2].W"] * (z1 > 0)
    by_hand = alignments(z1, d1 @ w["L[1].B"].T, delta1, w["L[1].B"], w["L[1].F"])
    assert [found[name][0] for name in ALIGNMENTS] == pytest.approx(by_hand, abs=1e-5)


def test_checkpoints_end_with_the_run() -> None:
    assert checkpoints(60)[-1] == 60
    assert checkpoints(7) == [0, 1, 2, 3, 5, 7]


# ---------------------------------------------------------------- the command


def test_demo_assembles_and_learns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import xarray as xr

    assert run(["demo", "--out", str(tmp_path), "--seeds", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["metric"] >= 0.96
    assert told["metric"] >= 0.98 * told["backprop"]
    assert all(abs(told["alignment"][name]["start"]) < 0.1 for name in ALIGNMENTS)
    assert told["alignment"]["cos_B_F"]["end"] >= 0.9
    assert told["alignment"]["cos_s_FFdelta"]["end"] >= 0.75
    with xr.open_dataset(tmp_path / "self_assembly.nc", engine="h5netcdf") as results:
        assert set(ALIGNMENTS) | {"metric", "metric_backprop"} <= set(results.data_vars)
        assert "sal_pair" in results.attrs["source"]
    assert (tmp_path / "self_assembly.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "self_assembly.svg").read_text()[:2000]


def test_demo_ends_with_five_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", "--out", str(tmp_path), "--seeds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[-5:]] == ["Built", "From", "Reached", "Remarkable", "Next"]
    assert lines[-6] == ""
