"""The study `metalearn`: its tasks, what it compares, and what it says."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import xarray as xr

import circuitdsl as cd
from circuitdsl.api import Request, Simulation
from circuitdsl.explore.evolve import Schedule, evolve, plan_evolution
from circuitdsl.studies import metalearn
from circuitdsl.studies.metalearn_tasks import (
    HELD_PAIRS,
    KINDS,
    SCOPES,
    digit_pairs,
    drawn,
    small_digits,
    standard,
    tasks,
)
from circuitdsl.studies.trials import shipped_text, simulation_of

TINY = metalearn.Extent(kinds=("moons",), population=8, generations=3, lives={"one": 2, "many": 3}, held=3)


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulation_of(shipped_text(metalearn.CIRCUIT))


def request_of(kind: str, seed: int = 0) -> Request:
    return Request(seed=seed, scale="none", params=dict(KINDS[kind].sizes))


# ---------------------------------------------------------------- tasks


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scope", SCOPES)
def test_tasks_fit_the_circuit_and_share_no_example_with_those_held_out(kind: str, scope: metalearn.Scope) -> None:
    own, held = (tasks(kind, 1, 6, scope, held=h) for h in (False, True))
    for x, y in (*own, *held):
        assert x.shape == (len(y), KINDS[kind].sizes["inputs"])
        assert set(y.tolist()) == {0, 1}
        assert abs(y.mean() - 0.5) < 0.1
        np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-9)
    if kind == "digits" and scope == "many":
        return  # an image belongs to nine pairs: it is the pairs that are held out
    rows = [{r.tobytes() for x, _ in some for r in np.round(x, 9)} for some in (own, held)]
    assert not rows[0] & rows[1]


def test_one_task_keeps_its_classes_and_a_family_does_not() -> None:
    """A linear reader that learned one member of the family reads the next one of the one task, not of the family."""
    right = {}
    for scope in SCOPES:
        (x, y), *others = tasks("moons", 3, 9, scope, held=False)
        weights = np.linalg.lstsq(x, 2 * y - 1, rcond=None)[0]
        right[scope] = [((a @ weights > 0) == b).mean() for a, b in others]
    assert min(right["one"]) > 0.8
    assert min(right["many"]) < 0.4


@pytest.mark.parametrize("kind", KINDS)
def test_evolution_draws_new_tasks_and_none_that_is_held_out(kind: str) -> None:
    make = drawn(kind, 2, "many").make
    found = [make(life)[0].tobytes() for life in (7, 8, 7, 10**9)]
    assert found[0] == found[2]
    assert len(set(found)) == 3
    held = {np.round(x, 9).tobytes() for x, _ in tasks(kind, 2, 20, "many", held=True)}
    assert not held & {np.round(make(life)[0], 9).tobytes() for life in range(20)}


def test_lifetimes_are_drawn_anew_in_every_generation(simulation: Simulation) -> None:
    planned = plan_evolution(
        simulation,
        request_of("moons"),
        metalearn.genes(unique=False),
        schedule=Schedule(resample=True),
        tasks=[drawn("moons", 0, "many")] * 3,
    )
    lanes = [*planned.family.lanes(0, 0, held=False), *planned.family.lanes(0, 1, held=False)]
    assert len({lane.dataset.arrays["x"].tobytes() for lane in lanes}) == 6
    again = planned.family.lanes(0, 1, held=False)[2]
    np.testing.assert_array_equal(again.dataset.arrays["x"], lanes[5].dataset.arrays["x"])
    other = plan_evolution(
        simulation,
        request_of("moons"),
        metalearn.genes(unique=False),
        schedule=Schedule(resample=True),
        tasks=[drawn("moons", 1, "many")] * 3,
    )
    assert planned.identity != other.identity  # one does not go on where the other ended


def test_pairs_of_digits_are_held_out() -> None:
    """Evolution meets 30 pairs, each life one of them, and never one of the other 15."""
    images, labels = small_digits()
    assert images.shape == (len(labels), 16)
    own, held = ({frozenset(p) for p in digit_pairs(5, held=h).tolist()} for h in (False, True))
    assert (len(own), len(held), len(own | held)) == (45 - HELD_PAIRS, HELD_PAIRS, 45)
    for life in range(40):
        x, y = KINDS["digits"].make(5, life, "many", False)
        assert {_pair_of(x, y)} <= own


def _pair_of(x: np.ndarray, y: np.ndarray) -> frozenset[int]:
    """The pair whose images, in standard scores, have this task's mean image of each class."""
    images, labels = small_digits()
    for a, b in combinations(range(10), 2):
        chosen = images[(labels == a) | (labels == b)]
        if len(chosen) == len(x):
            scores = standard(chosen)
            of_a = scores[labels[(labels == a) | (labels == b)] == a].mean(axis=0)
            if min(np.abs(x[y == c].mean(axis=0) - of_a).max() for c in (0, 1)) < 1e-9:
                return frozenset((a, b))
    raise AssertionError("no pair of digits")


# ---------------------------------------------------------------- the circuit and its twin


def test_the_hidden_layer_sees_no_error() -> None:
    derived = cd.load(metalearn.CIRCUIT).derive(measure=False)
    assert [derived[name].verdict for name in ("W1", "B1")] == ["none", "none"]


def test_the_twin_is_plain_gradient_descent(simulation: Simulation) -> None:
    """One example at a time, written out in NumPy."""
    [(x, y)] = tasks("moons", 0, 1, "one", held=False)
    rate = 0.2
    asked = Request(
        data=(x, y),
        seed=4,
        scale="none",
        learn="backprop",
        params={**KINDS["moons"].sizes, **metalearn.step_size(rate)},
    )
    double = Simulation(simulation.circuit, dtype="float64")
    start = double.prepare(asked)
    w1, b1, w2 = (start.run.state.weights[name].copy() for name in ("W1", "B1", "W2"))
    arrays = start.loop.dataset.arrays
    for example in start.loop.order(0):
        stimulus, target = arrays["x"][example], arrays["y"][example]
        h = np.tanh(w1 @ stimulus + b1[:, 0])
        out = np.tanh(w2 @ h)
        d_out = 2 * (0.5 + 0.5 * out - target) * 0.5 * (1 - out**2)
        d_h = (w2.T @ d_out) * (1 - h**2)
        w2 -= rate * np.outer(d_out, h)
        w1 -= rate * np.outer(d_h, stimulus)
        b1[:, 0] -= rate * d_h
    ended = double.execute(asked).run.state.weights
    for name, expected in (("W1", w1), ("B1", b1), ("W2", w2)):
        np.testing.assert_allclose(ended[name], expected, rtol=1e-9, atol=1e-12)


def test_the_rule_is_the_posters(simulation: Simulation) -> None:
    """Clamped in training, one example at a time, with coefficients of its own for each synapse of W2."""
    [(x, y)] = tasks("moons", 0, 1, "one", held=False)
    asked = Request(data=(x, y), seed=4, scale="none", params={"g2_h": 0.01, "g0_h": 0.02, "b_h": 0.003})
    double = Simulation(simulation.circuit, dtype="float64")
    start = double.prepare(asked)
    w1, b1, w2 = (start.run.state.weights[name].copy() for name in ("W1", "B1", "W2"))
    arrays = start.loop.dataset.arrays
    for example in start.loop.order(0):
        stimulus, target = arrays["x"][example], 2 * arrays["y"][example] - 1
        h = np.tanh(w1 @ stimulus + b1[:, 0])
        w1 += 0.01 * (1 - w1) * np.outer(h, stimulus) - 0.02 * w1 + 0.003
        b1 += 0.01 * (1 - b1) * h[:, None] - 0.02 * b1 + 0.003
        w2 += 0.01 * (1 - w2) * np.outer(target, h) - 0.001 * w2
    ended = double.execute(asked).run.state.weights
    for name, expected in (("W1", w1), ("B1", b1), ("W2", w2)):
        np.testing.assert_allclose(ended[name], expected, rtol=1e-9, atol=1e-12)


# ---------------------------------------------------------------- what is measured


def test_genomes() -> None:
    circuit = cd.load(metalearn.CIRCUIT).ir
    shared, unique = ([g.partition(":")[0] for g in metalearn.genes(unique=u)] for u in (False, True))
    assert set(shared) == {name for name in circuit.params if name not in ("inputs", "hidden")}
    assert set(unique) == set(shared) | set(circuit.coefficients)


def test_coefficients_are_followed(simulation: Simulation) -> None:
    """What the layer shares plus what is a synapse's own."""
    history = evolve(
        simulation.circuit, metalearn.genes(unique=True), population=8, generations=3, tasks=1, jobs=1
    ).isel(seed=0)
    found = metalearn.follow(history)
    own = np.concatenate([history["g2_1.final"].values.ravel(), history["g2_0.final"].values.ravel()])
    final = found["final"][0, 0]
    np.testing.assert_allclose(final[np.isfinite(final)], history["g2_h.final"].item() + own)
    assert metalearn.synapses(history, "hidden") == 36
    assert np.isfinite(found["final"][1, 0]).sum() == metalearn.synapses(history, "output") == 12
    assert found["mean"][1, 0, 0] == 0.01  # the first brood is drawn around the start
    assert found["spread"][0, 0, 0] == 0 < found["spread"][0, 0, 2]


def test_the_mean_of_unique_coefficients_is_a_shared_one(simulation: Simulation) -> None:
    """`averaged` puts the means where the shared coefficients are; from the start that changes nothing."""
    held = tasks("moons", 0, 2, "many", held=True)
    numbers = simulation.prepare(request_of("moons")).loop.numbers
    start = {f"{c}_{shared}": numbers[f"{c}_{shared}"] for c in metalearn.COEFFICIENTS for shared in ("h", "out")}
    plain = metalearn.accuracy(simulation, request_of("moons"), held, {})
    assert metalearn.accuracy(simulation, request_of("moons"), held, start) == plain
    assert metalearn.accuracy(simulation, request_of("moons"), held, {**start, "b_out": 0.5}) != plain


def test_the_step_size_is_chosen_on_the_tasks_of_evolution(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[float, bytes]] = []
    own = tasks("moons", 0, 3, "many", held=False)
    held = tasks("moons", 0, 3, "many", held=True)

    def measured(_: object, request: Request, lives: list[metalearn.Task], params: dict[str, float]) -> float:
        assert request.learn == "backprop"
        seen.append((params["g2_h"], lives[0][0].tobytes()))
        return -abs(params["g2_h"] - 0.1)

    monkeypatch.setattr(metalearn, "accuracy", measured)
    found = metalearn.descend(simulation, request_of("moons"), kind="moons", scope="many", extent=TINY)
    assert found["rate"] == 0.1
    assert [rate for rate, data in seen if data == own[0][0].tobytes()] == list(metalearn.RATES)
    assert [rate for rate, data in seen if data == held[0][0].tobytes()] == [0.1]


def test_evolution_works_on_what_it_is_given(simulation: Simulation) -> None:
    """The same trial gives the same; another genome or scope does not."""
    settings = {"kind": "moons", "scope": "many", "extent": TINY}
    first, again = (metalearn.evolved(simulation, request_of("moons"), **settings, unique=True) for _ in range(2))
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    shared = metalearn.evolved(simulation, request_of("moons"), **settings, unique=False)
    assert "final" not in shared
    assert shared["start"] == first["start"]
    assert not np.array_equal(shared["fitness"], first["fitness"])


# ---------------------------------------------------------------- what it says


def told(unique: float, shared: float, gradient: float, spread: float = 0.1) -> list[tuple[str, bool | None]]:
    """The finding of data with these accuracies."""
    seeds, generations = 4, 2
    held = np.zeros((1, 2, 3, seeds))
    held[:, :, 0], held[:, :, 1], held[:, :, 2] = shared, unique, gradient
    held += np.linspace(-0.001, 0.001, seeds)
    axes = ("kind", "scope", "arm", "seed")
    fitness = np.broadcast_to(np.linspace(0.5, unique, generations), (1, 2, 3, seeds, generations))
    table = np.ones((1, 2, 3, seeds, 2, 3, generations))
    data = xr.Dataset(
        {
            **dict.fromkeys(("held", "start", "seen", "averaged"), (axes, held)),
            "fitness": ((*axes, "generation"), fitness),
            "mean": ((*axes, "layer", "coefficient", "generation"), table),
            "spread": ((*axes, "layer", "coefficient", "generation"), table * spread),
        },
        {
            "kind": ["moons"],
            "scope": list(SCOPES),
            "arm": list(metalearn.ARMS),
            "layer": list(metalearn.LAYERS),
            "coefficient": list(metalearn.COEFFICIENTS),
        },
        {"quick": 0, "population": 8, "lives": 3},
    )
    return [(s.text, s.holds) for s in metalearn.finding(data)]


def test_findings_can_hold_and_fail() -> None:
    assert [holds for _, holds in told(0.9, 0.8, 0.92)] == [True, True, True, None, None, True]
    assert [holds for _, holds in told(0.8, 0.8, 0.92)] == [True, False, False, None, None, True]
    assert [holds for _, holds in told(0.9, 0.8, 0.92, spread=2)] == [True, True, True, None, None, False]
    assert "10.0 [10.0, 10.0] points on shared ones" in told(0.9, 0.8, 0.92)[1][0]
