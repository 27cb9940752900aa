"""The study of self-assembly: rivals on equal terms, settings chosen without the test set, limits as measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import circuitdsl as cd
from circuitdsl.api import Request
from circuitdsl.data import named as sources
from circuitdsl.studies import four_synapses, limits, rivals
from circuitdsl.studies.protocol import Plan
from circuitdsl.studies.self_assembly import Gauge, alignments
from circuitdsl.studies.stages import HELD_OUT, go_on, held_out
from circuitdsl.studies.trials import simulation_of


@pytest.mark.parametrize("rule", list(rivals.RULES))
def test_the_rivals_have_the_same_forward_network(rule: str) -> None:
    graph = cd.load(rivals.RULES[rule][0]).ir
    forward = {n: (s.pre_size, s.post_size) for n, s in graph.synapses.items() if n.endswith(".W") or n == "Wo"}
    assert forward == {"L[1].W": (64, 48), "L[2].W": (48, 48), "Wo": (48, 10)}


@pytest.mark.parametrize("rule", list(rivals.RULES))
def test_the_grid_is_the_same_for_every_rule(rule: str) -> None:
    """Every rule has the params of the grid, and its bounds bind every weight that learns."""
    circuit = cd.load(rivals.RULES[rule][0])
    assert {"eta", "gamma", "bound"} <= set(circuit.ir.params)
    state = circuit.compile(target="reference").prepare(Request(params={"bound": 0.01})).run.state
    plastic = [state.weights[name] for name, synapse in circuit.ir.synapses.items() if synapse.dw is not None]
    assert max(float(np.abs(w).max()) for w in plastic) <= 0.01 + 1e-9


def test_stabilisers_are_params_of_the_circuit() -> None:
    graph = cd.load(rivals.RULES[rivals.FOUR][0]).ir
    for params in four_synapses.STABILISERS.values():
        assert set(params) <= set(graph.params)


def test_without_stabilisers_it_is_the_shipped_circuit() -> None:
    """The study's circuit, ReLU and bounded, learns as heterosynaptic/self_assembly.circ does."""
    request = {"epochs": 3, "seed": 4}
    ours = cd.load("studies/layers_self_assembly.circ").run(**request)
    shipped = cd.load("heterosynaptic/self_assembly.circ").run(**request)
    assert ours["metric"].values[0] != ours["metric"].values[-1]
    assert abs(ours["metric"].values[-1] - shipped["metric"].values[-1]) < 0.15  # other random weights


# ---------------------------------------------------------------- choosing settings


def test_settings_are_chosen_without_the_test_set() -> None:
    outcome = simulation_of(rivals.text_of(rivals.FOUR)).prepare(Request(seed=3))
    whole, part = outcome.loop.dataset, held_out(outcome).loop.dataset
    assert not set(part.test) & set(whole.test)
    assert not set(part.test) & set(part.train)
    assert set(part.test) | set(part.train) == set(whole.train)
    assert len(part.test) == int(HELD_OUT * len(whole.train))
    other = held_out(simulation_of(rivals.text_of(rivals.FOUR)).prepare(Request(seed=4))).loop.dataset
    assert list(other.test) == list(part.test)  # the same for every seed


def _tuned(values: list[list[float]]) -> xr.Dataset:
    """Metric by eta and tuner, of one rule on one data set."""
    table = np.array(values)[None, None, :, None, None, :]
    dims = ("data", "rule", "eta", "gamma", "bound", "tuner")
    coordinates = {"data": ["d"], "rule": ["r"], "eta": [0.1, 0.2], "gamma": [0.01], "bound": [0.5], "tuner": [1, 2]}
    return xr.Dataset({"tuned": (dims, table)}, coordinates)


def test_the_best_setting_is_the_one_with_the_highest_mean() -> None:
    assert rivals.best(_tuned([[0.5, 0.7], [0.7, 0.6]]), "d", "r") == {"eta": 0.2, "gamma": 0.01, "bound": 0.5}


def test_a_setting_that_diverged_once_is_not_chosen() -> None:
    assert rivals.best(_tuned([[0.5, 0.5], [0.9, np.nan]]), "d", "r")["eta"] == 0.1


def test_a_tuner_that_a_data_set_does_not_use_does_not_count() -> None:
    assert rivals.best(_tuned([[0.5, np.nan], [0.9, np.nan]]), "d", "r")["eta"] == 0.2


def test_a_data_set_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said how to install it, and the others are run."""
    asked: list[list[str]] = []

    class Enough(Exception):
        pass

    def tune(plan: Plan, sets: list[str]) -> xr.Dataset:
        asked.append(sets)
        raise Enough

    monkeypatch.setattr(sources, "FASHION_FOLDER", Path("/nowhere/at/all"))
    monkeypatch.setattr(rivals, "tune", tune)
    rivals.lacking.cache_clear()
    try:
        assert "dataset-fashion-mnist" in rivals.lacking("fashion")
        with pytest.raises(Enough):
            rivals.compare(Plan(quick=False, seeds=(0, 1)))
    finally:
        rivals.lacking.cache_clear()
    assert asked == [["digits", "mnist5k"]]


def test_four_synapses_and_twin_are_compared_seed_by_seed() -> None:
    """The finding holds or not by the mean difference, against what the data set allows."""
    accuracy = np.array([[[0.95, 0.97], [0.96, 0.98]]])  # 1 point below on digits
    data = xr.Dataset(
        {"compared": (("data", "rule", "seed"), accuracy)},
        {"data": ["digits"], "rule": [rivals.FOUR, rivals.TWIN], "seed": [0, 1]},
        {"lacking": '{"fashion": "install it so"}',
         "chosen": '{"digits, four synapses": {"eta": 1, "gamma": 2, "bound": 0.5},'
                   ' "digits, backpropagation": {"eta": 1, "gamma": 2, "bound": 1e30}}'},
    )  # fmt: skip
    beside, absent, ranking = rivals.rivals_sentences(data)
    assert beside.holds is True
    assert "1.0 [1.0, 1.0] points below" in beside.text
    assert "fashion is not installed" in absent.text
    assert "install it so" in absent.text
    assert "bounds ±0.5" in ranking.text
    assert "no bounds" in ranking.text
    worse = data.assign(compared=data["compared"] - xr.DataArray([0.02, 0.0], dims="rule"))
    assert rivals.rivals_sentences(worse)[0].holds is False
    gone = data.assign(compared=data["compared"].where((data["rule"] != rivals.FOUR) | (data["seed"] > 0)))
    assert rivals.rivals_sentences(gone)[0].holds is False  # one that diverged is no worse than the mean of the others
    assert "(1 of 2 diverged)" in rivals.rivals_sentences(gone)[0].text


def test_a_depth_where_a_seed_diverges_is_behind() -> None:
    deep = np.array([[[0.9, 0.9], [0.9, 0.9]], [[0.9, np.nan], [0.9, 0.9]]])
    coordinates = {"depth": [2, 3], "learner": [rivals.FOUR, rivals.TWIN], "seed": [0, 1]}
    sentence = four_synapses._depth_sentence(xr.DataArray(deep, coordinates, ("depth", "learner", "seed")), "ReLU")
    assert sentence.text.startswith("ReLU neurons, η 0.05 γ 0.01 bounds ±0.5: 2 layers 0.900")
    assert "3 layers 0.900 (1 of 2 diverged) (twin 0.900)" in sentence.text
    assert sentence.text.endswith("behind at depth 3")


# ---------------------------------------------------------------- limits


def test_limits_are_those_of_the_run() -> None:
    """At bounds so narrow that many weights stand at them, and against the gauge's own alignment."""
    simulation = simulation_of(rivals.text_of(rivals.FOUR))
    request = rivals.request_of(rivals.FOUR, "digits", 1, 3, eta=0.1, gamma=0.0001, bound=0.02)
    found = limits.limited(simulation, request)
    assert set(found) == set(limits.MEASURES)
    assert found["limit_at_bounds"] > 0.2
    wide = limits.limited(simulation, rivals.request_of(rivals.FOUR, "digits", 1, 3, eta=0.05, gamma=0.01, bound=0.5))
    assert wide["limit_at_bounds"] < 0.1
    assert 0 <= wide["limit_silent"] < 1
    assert wide["limit_gain"] > 0
    outcome = simulation.prepare(rivals.request_of(rivals.FOUR, "digits", 1, 3, eta=0.05, gamma=0.01, bound=0.5))
    go_on(outcome)
    assert outcome.metric == wide["limit_metric"]


def test_the_gauge_follows_sizes() -> None:
    """Signals under structural params have the sizes that these give, and alignments are read from the same."""
    simulation = simulation_of(rivals.text_of(rivals.FOUR))
    request = Request(params={"n": 20, "depth": 3}, epochs=1)
    outcome = simulation.prepare(request)
    deep = cd.loads(rivals.text_of(rivals.FOUR).text.replace("param depth = 2", "param depth = 3"))
    gauge = Gauge(deep, request.params)
    signals = gauge.signals(outcome.run.state, outcome.loop.dataset, outcome.loop.numbers)
    assert [s[0].shape for s in signals] == [(359, 20)] * 3
    weights = outcome.run.state.weights
    read = gauge.read(outcome.run.state, outcome.loop.dataset, outcome.loop.numbers)
    expected = alignments(*signals[1], weights["L[2].B"], weights["L[2].F"])
    assert [values[1] for values in read.values()] == list(expected)
