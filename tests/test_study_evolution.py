"""The study `evolution`: what it measures of a lifetime, what it tells of a lineage, and that selection does it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import xarray as xr

import circuitdsl as cd
from circuitdsl.api import Outcome, Request, Simulation
from circuitdsl.certify.checkpoint import Sample, checkpoint
from circuitdsl.certify.drive import rule_of
from circuitdsl.certify.measure import look
from circuitdsl.certify.passes import Still
from circuitdsl.derive.tell.derivation import derive
from circuitdsl.studies import evolution, evolution_told
from circuitdsl.studies.evolution_lives import EXAMPLES, GAINS, GROUPS, LAYERS, NEURONS, Life, Lives
from circuitdsl.studies.trials import shipped_text, simulation_of

SIZES = {"g1": 16, "g2": 8, "g3": 10, "b1": 16, "b2": 8}


def simulation(genome: str) -> Simulation:
    return simulation_of(shipped_text(evolution.CIRCUITS[genome]))


def per_neuron(gains: dict[str, float]) -> dict[str, np.ndarray]:
    return {name: np.full(SIZES[name], value) for name, value in gains.items()}


# ---------------------------------------------------------------- what derive says of signs


def test_derive_proves_the_signs_that_theory_says() -> None:
    """phi of out has the sign of g3, of h2 that of g2 b2 g3, of h1 that of g1 b1 (g2 b2 g3)."""
    circuit = cd.load(evolution.CIRCUITS[GROUPS])
    for pattern in product("+-", repeat=len(GAINS)):
        gains = evolution.unit_gains("".join(pattern))
        g1, g2, g3, b1, b2 = gains.values()
        expected = g3 > 0 and g2 * b2 > 0 and g1 * b1 > 0
        assert evolution.is_proved(circuit, gains) == expected, pattern


def test_the_verdict_depends_on_signs_and_not_on_sizes() -> None:
    circuit = cd.load(evolution.CIRCUITS[GROUPS])
    assert evolution.is_proved(circuit, {"g1": -0.3, "g2": 2.1, "g3": 0.7, "b1": -4.0, "b2": 0.01}) == 1
    assert evolution.is_proved(circuit, {"g1": -0.3, "g2": 2.1, "g3": 0.7, "b1": 4.0, "b2": 0.01}) == 0


def test_the_founder_does_not_learn() -> None:
    founder = cd.load(evolution.CIRCUITS[GROUPS]).derive(params=evolution.FOUNDER[GROUPS], measure=False)
    assert [founder[name].verdict for name in LAYERS] == ["none"] * 3


# ---------------------------------------------------------------- a lifetime


def test_a_life_is_a_run() -> None:
    gains = {"g1": -1.5, "g2": 1.2, "g3": 0.9, "b1": -0.8, "b2": 1.1}
    life = Lives(simulation(GROUPS)).live(gains, Request(seed=3))
    alone = cd.load(evolution.CIRCUITS[GROUPS]).run(seed=3, params=gains)
    assert life.metric == float(alone["metric"][-1])
    assert life.is_gradient
    assert life.is_consistent


def test_neurons_that_share_a_gain_are_a_group() -> None:
    gains = {"g1": 0.7, "g2": 1.2, "g3": 0.9, "b1": 0.8, "b2": 1.1}
    grouped = Lives(simulation(GROUPS)).live(gains, Request(seed=5))
    alike = Lives(simulation(NEURONS)).live(per_neuron(gains), Request(seed=5))
    assert alike.metric == pytest.approx(grouped.metric, abs=0.02)
    assert alike.cosines == pytest.approx(grouped.cosines, abs=0.02)


def test_a_look_against_the_certificate() -> None:
    """The same state and examples: the cosine and the sign of phi that `certify` measures of the rules as written."""
    lives = Lives(simulation(GROUPS))
    gains = {"g1": 0.7, "g2": -1.0, "g3": 1.3, "b1": 1.0, "b2": 1.0}
    outcome = lives._born(gains, Request(seed=4))
    for _ in lives._learn(outcome):
        seen = lives._look(outcome, gains)
    circuit, loop = outcome.run.circuit, outcome.loop
    sample = Sample(data=loop.dataset.arrays, examples=loop.dataset.train[:EXAMPLES], numbers=loop.numbers)
    rules = [rule_of(circuit.synapses[name]) for name in LAYERS]
    state = outcome.run.state
    where = (Still(circuit), derive(circuit), sample, state)
    readings = look(rules, checkpoint(*where, start=state.weights, batch=1, seed=4, epoch=0))
    for (cosine, agreement, power), reading in zip(seen, readings.values(), strict=True):
        assert cosine == pytest.approx(reading.cos, abs=1e-5)
        assert power == pytest.approx(reading.power.sum(), rel=1e-4)
        assert np.sign(agreement.sum()) == np.sign(reading.phi)
    assert seen[0][0] < 0 < seen[2][0]  # or this would show little


def test_a_life_that_diverges_says_so() -> None:
    life = Lives(simulation(GROUPS)).live(dict.fromkeys(GAINS, -1.0), Request(seed=0))
    assert np.isnan(life.metric)
    assert not life.is_gradient


def test_one_neuron_that_is_told_the_wrong_sign_is_seen() -> None:
    gains = per_neuron(dict.fromkeys(GAINS, 1.0))
    gains["g3"][4] = -1.0
    life = Lives(simulation(NEURONS)).live(gains, Request(seed=1))
    assert np.flatnonzero(life.agreements[2] < 0).tolist() == [4]
    assert life.neurons < 1


def test_consistency_is_one_sign_and_a_gradient_the_right_one() -> None:
    def life(*phis: float) -> Life:
        return Life(metric=0.5, cosines=(0.0,) * 3, agreements=tuple(np.array([p]) for p in phis), powers=(1.0,) * 3)

    assert life(1, 2, 3).is_gradient
    assert life(1, 2, 3).is_consistent
    assert not life(-1, -2, -3).is_gradient
    assert life(-1, -2, -3).is_consistent
    assert not life(-1, 2, 3).is_consistent
    assert not life(0, 2, 3).is_gradient
    assert not Life(metric=float("nan"), cosines=(), agreements=(), powers=()).is_consistent


# ---------------------------------------------------------------- a lineage


@pytest.mark.parametrize("genome", [GROUPS, NEURONS])
def test_selection_makes_the_difference(genome: str) -> None:
    extent = replace(evolution.QUICK, generations=14 if genome == GROUPS else 30, looked=(0, 13), individuals=8)
    request = Request(seed=11, params=evolution.FOUNDER[genome])
    found = {
        chosen: evolution.lineage(simulation(genome), request, extent=extent, selection=chosen)
        for chosen in (True, False)
    }
    assert found[True]["founder"] == found[False]["founder"] < 0.2
    assert found[True]["reached"] > found[False]["reached"] + 0.3
    assert np.array(found[True]["fitness"])[0] == np.array(found[False]["fitness"])[0]  # the same first brood
    if genome == GROUPS:
        assert found[True]["gradient"][-1] > found[True]["gradient"][0]
        assert found[True]["proved"] == 1
        signs = np.array(found[True]["learning"]) * found[True]["feedback"]
        assert (signs > 0).all()


def test_arrival_is_for_good() -> None:
    def line(*values: float) -> xr.DataArray:
        return xr.DataArray(list(values), {"looked": [0, 2, 5, 9]}, dims="looked")

    assert evolution_told._arrival(line(0, 0.6, 0.4, 0.9)) == 9
    assert evolution_told._arrival(line(0, 0.5, 0.7, 0.9)) == 2
    assert evolution_told._arrival(line(1, 1, 1, 1)) == 0
    assert evolution_told._arrival(line(1, 1, 1, 0.3)) is None
    assert evolution_told._arrival(line(0, 1, 1, np.nan)) is None


def test_the_best_rate_is_one_for_all_seeds_of_a_task_and_chosen_without_the_test_set() -> None:
    tuned = [[[0.9, 0.2], [0.2, 0.8]], [[0.1, 0.3], [0.2, 0.5]]]  # task, rate, seed
    test = [[[0.6, 0.7], [1.0, 1.0]], [[1.0, 1.0], [0.3, 0.4]]]
    found = {
        name: xr.DataArray([values], {"who": ["selection"]}, dims=("who", "task", "rate", "seed"))
        for name, values in (("tuned", tuned), ("accuracy", test))
    }
    best = evolution_told.at_best_rate(xr.Dataset(found), "selection")
    assert best.transpose("task", "seed").values.tolist() == [[0.6, 0.7], [0.3, 0.4]]


def test_lives_elsewhere_are_judged_and_chosen_by_different_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[set[int]] = []

    def go_on(outcome: Outcome) -> None:
        judged.append(set(outcome.loop.dataset.test.tolist()))
        outcome.run.metric.append(0.5 if len(judged) <= evolution.OTHER_LIVES else 0.25)

    monkeypatch.setattr(evolution, "go_on", go_on)
    found = evolution.some_lives(simulation(GROUPS), Request(seed=1, data="iris", params={"inputs": 4, "classes": 3}))
    assert found == {"accuracy": 0.5, "tuned": 0.25}
    lives = evolution.OTHER_LIVES
    assert not set.union(*judged[:lives]) & set.union(*judged[lives:])
