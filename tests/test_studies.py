"""The studies measure what they say, tell it from their data sets alone, and leave what they promise."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import circuitdsl as cd
from circuitdsl.api import Request
from circuitdsl.cli.main import run
from circuitdsl.report.study import HEAD, with_section
from circuitdsl.studies import emergent_hebbian, metaplasticity
from circuitdsl.studies.credits import Gradients, consistency
from circuitdsl.studies.intervals import lost, mean_of, over_seeds
from circuitdsl.studies.protocol import Plan, Sentence, judged
from circuitdsl.studies.registry import STUDIES, all_studies
from circuitdsl.studies.trials import Table, Text, Trial, gather, run_trials, simulation_of, train

ROOT = Path(__file__).resolve().parents[1]

TINY = """circuit tiny {
  param eta = 0.1
  input x: 2   target y: 1
  neuron out: 1 { dendrite basal   rate = sigmoid(basal) }
  neuron err: 1 { rate = y - out }
  synapse W: x -> out.basal { dw = eta * err * pre }
  loss = cross_entropy(out, y)
  task t { data = two_moons   epochs = 3   batch = 8   metric = accuracy(out, y) }
}"""


# ---------------------------------------------------------------- what all studies share


def test_mean_and_interval() -> None:
    """Against the table: t(0.975, 4) = 2.776."""
    found = mean_of([1.0, 2.0, 3.0, 4.0, 5.0])
    half = 2.7764 * np.sqrt(2.5 / 5)
    assert found == pytest.approx((3, 3 - half, 3 + half), abs=1e-3)
    assert str(mean_of([0.5])) == "0.500"
    assert mean_of([0.1, 0.3]).points() == "20.0 [-107.1, 147.1] points"


def test_over_seeds_leaves_out_what_is_missing() -> None:
    table = xr.DataArray([[1.0, 2.0], [3.0, np.nan]], dims=("seed", "x"))
    mean, half = over_seeds(table)
    assert mean.values == pytest.approx([2, 2])
    assert half.values[0] == pytest.approx(12.706, abs=1e-2)
    assert np.isnan(half.values[1])


def test_runs_that_diverged_are_counted() -> None:
    assert lost(xr.DataArray([0.9, np.nan, 0.8], dims="seed")) == " (1 of 3 diverged)"
    assert lost(xr.DataArray([0.9, 0.8], dims="seed")) == ""


def test_trials_give_what_the_api_gives() -> None:
    circuit = Text(name="tiny", text=TINY)
    trials = [
        Trial(circuit=circuit, request=Request(seed=seed, params={"eta": eta}), at={"eta": eta, "seed": seed})
        for eta in (0.1, 0.2)
        for seed in (0, 1)
    ]
    told: list[tuple[int, int]] = []
    plan = Plan(quick=True, seeds=(0, 1), tell=lambda done, total: told.append((done, total)))
    data = gather(trials, run_trials(trials, plan), Table(coordinates={"eta": (0.1, 0.2), "seed": (0, 1)}))
    alone = cd.loads(TINY).run(seed=1, params={"eta": 0.2})
    assert float(data["metric"].sel(eta=0.2, seed=1)) == float(alone["metric"][-1])
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert json.loads(data.attrs["circuits"]) == {"tiny": TINY}


def test_a_section_takes_the_place_of_its_predecessor() -> None:
    one = with_section(HEAD, "a", "first\n")
    two = with_section(with_section(one, "b", "second\n"), "a", "third\n")
    assert "first" not in two
    assert two.index("third") < two.index("second")
    assert with_section(two, "a", "third\n") == two


def test_every_study_is_told() -> None:
    assert [s.name for s in all_studies()] == list(STUDIES)
    for study in all_studies():
        assert study.claim.endswith(".")
        assert study.source
        assert min(study.seeds) >= 2


def test_every_study_is_registered_and_has_its_section_and_figure() -> None:
    """`circuitdsl study NAME --docs docs` makes them, from a full run."""
    modules = {p.stem for p in (ROOT / "circuitdsl/studies").glob("*.py") if "\nSTUDY = " in p.read_text()}
    assert modules == {module.rpartition(".")[2] for module in STUDIES.values()}
    page = (ROOT / "docs/studies.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^## (\w+)$", page, re.MULTILINE)) == sorted(STUDIES)
    assert " --quick" not in page
    assert {p.stem for p in (ROOT / "docs/studies").glob("*.svg")} == set(STUDIES)


# ---------------------------------------------------------------- credit and gradient


def test_gradients_against_plain_numpy() -> None:
    outcome = simulation_of(Text(name="tiny", text=TINY)).prepare(Request(seed=2))
    loop = outcome.loop
    delta, seen = Gradients(cd.loads(TINY)).read(outcome, ["out.basal"], ["out"], loop.dataset.test)
    y = loop.dataset.arrays["y"][loop.dataset.test]
    expected = y / np.maximum(seen["out"], 1e-7) * seen["out"] * (1 - seen["out"])  # -sum y log p
    assert delta["out.basal"] == pytest.approx(expected, abs=1e-5)
    assert consistency(3 * delta["out.basal"], delta["out.basal"]) == pytest.approx(3)


# ---------------------------------------------------------------- emergent_hebbian


def test_the_identity_holds_update_by_update() -> None:
    """Whatever gamma and noise, with the drift of |W|^2 put in: a consequence of the update rule alone."""
    from circuitdsl.studies.trials import shipped_text

    simulation = simulation_of(shipped_text(emergent_hebbian.CIRCUIT))
    request = Request(seed=1, epochs=1, params={"gamma": 0.01, "noise": 0.2})
    found = emergent_hebbian.follow_quickly(simulation, request)
    measured, predicted, drift = (np.array(found[name]) for name in ("agreement", "predicted", "drift"))
    assert measured == pytest.approx(predicted + drift, rel=0.01)
    assert np.all(np.abs(drift) > 0.02 * np.abs(predicted))  # one epoch: not at rest, or this test would show nothing


def test_noise_and_little_decay_turn_the_drive_against_the_weights() -> None:
    """In every layer; with more decay the same noise does not."""
    from circuitdsl.studies.trials import shipped_text

    simulation = simulation_of(shipped_text(emergent_hebbian.CIRCUIT))
    signs = {}
    for gamma in (1e-4, 0.01):
        request = Request(seed=2, epochs=16, params={"gamma": gamma, "noise": 1.0})
        found = emergent_hebbian.follow_quickly(simulation, request)
        signs[gamma] = np.sign(found["agreement"]).tolist()
        assert found["metric"] > 0.9  # it learns meanwhile
    assert signs == {1e-4: [-1, -1, -1], 0.01: [1, 1, 1]}


def _settings(agreement: float, spread: float) -> xr.Dataset:
    """Two settings of two seeds and one layer: the first Hebbian, the second as told."""
    dims, shape = ("gamma", "noise", "seed", "layer"), (2, 1, 2, 1)
    values = {"agreement": agreement, "pull": 0.0, "spread": spread, "drift": 0.0}
    first = {"agreement": 1.0, "pull": 1.0, "spread": 0.0, "drift": 0.0}
    table = {n: (dims, np.broadcast_to([[[[first[n]]] * 2], [[[values[n]]] * 2]], shape)) for n in first}
    outer = {n: (dims[:3], np.full((2, 1, 2), v)) for n, v in (("metric", 0.97), ("rested", 5.0))}
    return xr.Dataset(table | outer, {"gamma": [0.01, 0.0001], "noise": [1.0], "seed": [0, 1], "layer": ["W1"]})


def test_a_phase_diagram_has_two_sides() -> None:
    both, _ = emergent_hebbian._phase_sentences(_settings(-1.0, 1.0))
    assert both.holds is True
    assert "above 0 in 1 of 2 settings of γ and noise and below 0 in 1" in both.text
    one, told = emergent_hebbian._phase_sentences(_settings(1.0, 1.0))
    assert one.holds is False
    assert told.text.endswith("nowhere")


# ---------------------------------------------------------------- metaplasticity


def test_where_a_curve_crosses() -> None:
    assert metaplasticity.crossing((0.0, 1.0, 2.0), (-1.0, -0.5, 0.5)) == pytest.approx(1.5)
    assert np.isnan(metaplasticity.crossing((0.0, 1.0), (0.5, 1.0)))


# ---------------------------------------------------------------- the command


@pytest.mark.parametrize("name", list(STUDIES))
def test_quick_study_writes_what_it_promises(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "studies.md").write_text("# Studies\n\n<!-- study other -->\nkept\n<!-- end of other -->\n")
    code = run(["study", name, "--quick", "--json", "--out", str(tmp_path), "--docs", str(docs)])
    told = json.loads(capsys.readouterr().out)
    assert code == (1 if any(s["holds"] is False for s in told["finding"]) else 0)
    assert [s for s in told["finding"] if s["holds"] is False] == []
    assert any(s["holds"] for s in told["finding"])
    page = (tmp_path / f"{name}.html").read_text()
    assert "<svg" in page
    assert escape(told["claim"]) in page
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert f"study {name} --quick" in (docs / "studies.md").read_text()
    assert f"studies/{name}.svg" in (docs / "studies.md").read_text()
    assert "\nkept\n" in (docs / "studies.md").read_text()
    for path in (tmp_path / "circuits").iterdir():
        assert cd.load(path).ir.loss is not None
    _tells_the_same_again(name, tmp_path, told)


def _tells_the_same_again(name: str, folder: Path, told: dict[str, object]) -> None:
    """Finding and figure need nothing but the data set."""
    from circuitdsl.runtime.results import read
    from circuitdsl.studies.registry import find_study

    study, data = find_study(name), read(folder / f"{name}.nc")
    assert [{"text": s.text, "holds": s.holds} for s in study.finding(data)] == told["finding"]
    assert study.figure(data).axes


def test_studies_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["study"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in STUDIES)


def test_unknown_study(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["study", "emergent_hebian"]) == 2
    assert "emergent_hebbian" in capsys.readouterr().err


def test_one_seed_judges_nothing() -> None:
    found = [Sentence(text="a", holds=False), Sentence(text="b", holds=True)]
    assert [s.holds for s in judged(found, 1)] == [None, None]
    assert [s.holds for s in judged(found, 2)] == [False, True]


def test_it_is_said_before_the_work_that_nothing_can_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for option in ("--out", "--docs"):
        given = ["study", "metaplasticity", "--out", str(tmp_path), option, str(tmp_path / "file")]
        assert run(given) == 2
        assert "cannot write" in capsys.readouterr().err


def test_default_work_measures_the_metric() -> None:
    found = train(simulation_of(Text(name="tiny", text=TINY)), Request(seed=0))
    assert set(found) == {"metric", "loss", "diverged"}
