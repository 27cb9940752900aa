"""The study of flexibility: wirings are what they are called, harm and lesions do what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import circuitdsl as cd
from circuitdsl.api import Outcome, Request
from circuitdsl.studies import flexibility, lesions, wiring
from circuitdsl.studies.intervals import Mean, mean_of
from circuitdsl.studies.lesions import Lesion
from circuitdsl.studies.trials import simulation_of
from circuitdsl.studies.wiring import Harm, synapse_name, topology


@pytest.mark.parametrize("shape", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("reciprocal", [0.0, 1.0])
def test_topologies_are_what_they_are_called(shape: float, reciprocal: float) -> None:
    for seed in range(20):
        chosen = topology(shape, reciprocal, seed)
        ascending = [e for e in wiring.forward_edges() if chosen[e]]
        hidden = [e for e in ascending if e[0] != "x"]
        if shape == 0:
            assert ascending == [("x", "h1"), ("h1", "h2"), ("h2", "h3"), ("h3", "h4"), ("h4", "out")]
        for name in wiring.HIDDEN:
            assert any(post == name for _, post in ascending)
            assert any(pre == name for pre, _ in ascending)
            assert any(chosen[b, name] for b, a in wiring.backward_edges() if a == name)
        if reciprocal == 1:
            backward = {e for e in wiring.backward_edges() if chosen[e]}
            assert backward == {(post, pre) for pre, post in hidden}


def test_a_topology_written_out_is_a_clean_circuit() -> None:
    circuit = cd.loads(wiring.written_out(topology(1.0, 1.0, 3)))
    assert [w.title for w in circuit.warnings if w.severity != "note"] == []
    assert [w.title for w in cd.loads(wiring.whole_circuit().text).warnings if w.severity != "note"] == []


def test_synapses_that_are_not_chosen_stay_away() -> None:
    chosen = topology(0.5, 0.5, 1)
    outcome = simulation_of(wiring.whole_circuit()).prepare(Request(params=wiring.params_of(chosen)))
    for edge in wiring.forward_edges():
        assert outcome.run.state.weights[f"W_{edge[0]}_{edge[1]}"].any() == chosen[edge]


def _prepared(shape: float, harm: Harm, seed: int = 1, **more: float) -> Outcome:
    params = {**wiring.params_of(topology(shape, 1.0, seed)), **harm.params, **more}
    return simulation_of(wiring.whole_circuit()).prepare(Request(seed=seed, epochs=1, params=params))


def test_missing_synapses_are_missing() -> None:
    state = _prepared(1.0, Harm(present=0.25)).run.state
    for mask in map(state.mask, state.projections):
        assert mask is not None
        assert 0.1 < mask.mean() < 0.4
    ascending, descending = state.mask("W_h1_h2"), state.mask("V_h2_h1")
    assert ascending is not None
    assert descending is not None
    assert (ascending != descending.T).any()


def test_pairs_are_missing_together() -> None:
    outcome = _prepared(0.0, Harm(present=0.5, paired=True))
    flexibility._pair(outcome.run.state, 1)
    flexibility.go_on(outcome)
    for pre, post in (("h1", "h2"), ("h4", "out")):
        ascending = outcome.run.state.weights[synapse_name((pre, post))]
        descending = outcome.run.state.weights[synapse_name((post, pre))]
        assert ((ascending != 0) == (descending != 0).T).all()
        assert 0.3 < (ascending != 0).mean() < 0.7


def test_pairs_become_transposes_whatever_is_missing() -> None:
    """V - W^T shrinks by (1 - eta gamma) at every update, as between dense synapses: theory of Kolen & Pollack."""
    outcome = _prepared(0.0, Harm(present=0.25, paired=True), bound=100)
    flexibility._pair(outcome.run.state, 1)

    def apart() -> float:
        weights = outcome.run.state.weights
        return float(np.linalg.norm(weights["V_h3_h2"] - weights["W_h2_h3"].T))

    before = apart()
    flexibility.go_on(outcome)
    updates = outcome.loop.updates_per_epoch
    assert apart() == pytest.approx(before * (1 - 0.05 * 0.002) ** updates, rel=1e-4)


def test_uneven_synapses_learn_unevenly() -> None:
    """The whole circuit's coefficients are spread as asked, those of the other kind stay at 1."""
    coefficients = _prepared(0.0, Harm(drives=0.9)).run.state.coefficients
    assert coefficients["drive_W_h1_h2"].std() == pytest.approx(1.8 / 12**0.5, rel=0.2)
    assert (coefficients["rate_W_h1_h2"] == 1).all()


@pytest.mark.parametrize("harm", list(flexibility.HARMS))
def test_a_harmed_topology_written_out_is_the_same_circuit(harm: str) -> None:
    """What derive is asked of is what runs: the same accuracy, but for the random weights."""
    chosen = flexibility.HARMS[harm]
    alone = cd.loads(wiring.written_out(topology(1.0, 1.0, 2), chosen))
    assert [w.title for w in alone.warnings if w.severity != "note"] == []
    present = alone.compile(target="reference").prepare(Request(seed=2)).run.state.weights["W_x_h1"] != 0
    assert present.mean() == pytest.approx(chosen.present, abs=0.1)


def test_derive_says_what_a_harm_takes_away() -> None:
    whole = flexibility._verdicts(topology(0.0, 1.0, 0), wiring.WHOLE)
    sparse = flexibility._verdicts(topology(0.0, 1.0, 0), Harm(present=0.5))
    assert whole == flexibility.Shown(1.0, "")
    assert sparse.part < 1
    assert "different connections" in sparse.reason
    assert np.isnan(flexibility._verdicts(topology(0.0, 1.0, 0), Harm(present=0.5, paired=True)).part)


# ---------------------------------------------------------------- lesions


def _lived(shape: float, lesion: Lesion) -> dict[str, np.ndarray]:
    request = Request(seed=0, epochs=4, params=wiring.params_of(topology(shape, 1.0, 0)))
    found = lesions.live_on(simulation_of(wiring.whole_circuit()), request, lesion=lesion)
    return {name: np.asarray(value) for name, value in found.items()}


def test_before_a_lesion_the_circuit_is_intact() -> None:
    intact, silenced = _lived(1.0, lesions.INTACT), _lived(1.0, Lesion(name="late", at=0.5, silenced=True))
    assert len(intact["accuracy"]) == 9
    assert intact["accuracy"][:3] == pytest.approx(silenced["accuracy"][:3], abs=0)
    assert silenced["struck"] != silenced["accuracy"][2]
    assert (silenced["accuracy"][3:] != intact["accuracy"][3:]).any()


def test_layers_are_cut_in_two() -> None:
    """Nothing of the input passes a silenced layer: one class is all that is left."""
    silenced = _lived(0.0, Lesion(name="early", at=0.5, silenced=True))
    assert silenced["accuracy"][-1] < 0.2


def test_cut_synapses_stay_away() -> None:
    outcome = _prepared(1.0, wiring.WHOLE)
    cut = lesions._lesioned(outcome, Lesion(name="cut", cut=0.5))
    gone = {name: w == 0 for name, w in cut.run.state.weights.items()}
    lesions.go_on(cut)
    for name, absent in gone.items():
        assert 0.3 < absent.mean() < 0.7 or absent.all()
        assert (cut.run.state.weights[name][absent] == 0).all()


# ---------------------------------------------------------------- what it shows


def test_learning_breaks_where_it_falls_short_of_its_twin() -> None:
    cell = flexibility.Cell(
        name="a", metric=Mean(0.9, 0.8, 1.0), twin=Mean(0.94, 0.9, 1.0), alignment=Mean(0.5, 0.4, 0.6),
        shown=flexibility.Shown(0.5, "why"), diverged="",
    )  # fmt: skip
    assert not cell.breaks
    assert cell._replace(metric=Mean(0.88, 0.8, 1.0)).breaks
    assert cell._replace(diverged=" (1 of 8 diverged)").breaks
    assert not cell._replace(metric=Mean(0.1, 0, 0.2), twin=None).breaks  # nothing to hold it against
    assert "0.90 [0.80, 1.00] (twin 0.94 [0.90, 1.00]), cosine 0.50" in str(cell)


def _harmed(metric: dict[str, float], alignment: dict[str, float]) -> xr.Dataset:
    """The layered circuit with its twin at 0.9, two seeds."""
    harms = list(metric)

    def table(values: dict[str, float]) -> tuple[tuple[str, ...], np.ndarray]:
        spread = np.array([[values[h] - 0.01, values[h] + 0.01] for h in harms])
        return ("harmed_shape", "harm", "seed"), spread[None]

    return xr.Dataset(
        {"harmed_metric": table(metric), "harmed_alignment": table(alignment),
         "harmed_twin": table(dict.fromkeys(harms, 0.9)),
         "harmed_gradient": (("harmed_shape", "harm"), np.ones((1, len(harms)))),
         "harmed_reason": (("harmed_shape", "harm"), np.full((1, len(harms)), "", dtype=object))},
        {"harmed_shape": [0.0], "harm": harms, "seed": [0, 1]},
    )  # fmt: skip


def test_pairs_are_held_against_what_is_drawn_apart() -> None:
    names = (flexibility.APART, flexibility.PAIRED)

    def told(metric: tuple[float, float], alignment: tuple[float, float]) -> bool | None:
        data = _harmed(dict(zip(names, metric, strict=True)), dict(zip(names, alignment, strict=True)))
        (sentence,) = flexibility._pairs(data)
        return sentence.holds

    assert told((0.4, 0.88), (0.1, 0.9)) is True
    assert told((0.4, 0.8), (0.1, 0.9)) is False  # short of its twin
    assert told((0.4, 0.88), (0.85, 0.9)) is False  # no better aligned, beyond the intervals
    assert flexibility._pairs(_harmed({flexibility.NOTHING: 0.9}, {flexibility.NOTHING: 0.9})) == []


def test_less_alignment_is_held_against_its_interval() -> None:
    """All shapes together, each seed beside itself."""

    def told(foreign: list[list[float]]) -> bool | None:
        cosine = np.array([[[0.9, 0.9, 0.9]] * 2, foreign]).swapaxes(0, 1)
        data = xr.Dataset(
            {"alignment": (("shape", "reciprocal", "seed"), cosine)},
            {"shape": [0.0, 1.0], "reciprocal": [1.0, 0.0], "seed": [0, 1, 2]},
        )
        return flexibility._above_zero(mean_of(flexibility._lost_alignment(data).mean("shape")))

    assert told([[0.7, 0.8, 0.75], [0.8, 0.7, 0.75]]) is True  # the shapes differ by seed, their mean does not
    assert told([[0.7, 0.9, 0.95], [0.7, 0.9, 0.85]]) is None
    assert told([[0.9, 0.95, 0.95], [0.9, 0.95, 0.9]]) is False


def test_a_lesion_is_told_by_what_the_amorphous_circuit_loses() -> None:
    lesion = lesions.LESIONS[1]
    accuracy = np.full((2, 2, 2, 9), 0.9)
    accuracy[1, 1, :, -1] = 0.89
    data = xr.Dataset(
        {"accuracy": (("lesioned_shape", "lesion", "seed", "epoch"), accuracy),
         "struck": (("lesioned_shape", "lesion", "seed"), np.full((2, 2, 2), 0.3))},
        {"lesioned_shape": [0.0, 1.0], "lesion": ["intact", lesion.name], "seed": [0, 1], "epoch": range(9)},
    )  # fmt: skip
    (told,) = lesions.lesion_sentences(data)
    assert told.holds is True
    assert "1.0 [1.0, 1.0] points below" in told.text
    (worse,) = lesions.lesion_sentences(data.assign(accuracy=data["accuracy"].where(data["epoch"] < 8, 0.8)
                                                    + 0.1 * (data["lesion"] == "intact")))  # fmt: skip
    assert worse.holds is False


def test_lesions_have_names_of_their_own() -> None:
    names = [lesion.name for lesion in lesions.LESIONS]
    assert len(set(names)) == len(names)
    assert replace(lesions.INTACT, name="") == Lesion(name="")
