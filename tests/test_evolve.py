"""Evolution: strategies, genomes, lifetimes, what it leaves, going on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as some
from interrupt import Interrupt

import circuitdsl as cd
from circuitdsl.api import Circuit, Request, UsageError, loads
from circuitdsl.cli.main import run as command_line
from circuitdsl.explore import evolve as module
from circuitdsl.explore.broods import Brood, lifetimes
from circuitdsl.explore.evolve import Schedule, evolve, plan_evolution
from circuitdsl.explore.families import life_seeds
from circuitdsl.explore.genome import Genome, genome_of
from circuitdsl.explore.lineage import snapshots
from circuitdsl.explore.objective import objective
from circuitdsl.explore.strategies import STRATEGIES, from_best, strategy

TEXT = """circuit small {
  param eta = 0.001   param gain = 1   param twice = 2 * gain   param rates = [1, 2]   param n = 6
  input x: 2   target y: 1
  neuron h: n { dendrite basal   rate = tanh(rates[0] * basal + d) }
  neuron out: 1 { dendrite basal   rate = sigmoid(basal) }
  neuron err: 1 { rate = y - out }
  param c per W2 = constant(1)
  param d per h = constant(0)
  synapse W1: x -> h { init = normal(0, gain) }
  synapse W2: h -> out { init = zeros   dw = eta * c * err * pre }
  loss = mse(out, y)
  record mean(h)
  task moons { data = two_moons(n=60)   epochs = 1   batch = 1   metric = accuracy(out, y) }
  task far { data = two_moons(n=60)   metric = mse(out, y) }
}"""


@pytest.fixture(scope="module")
def circuit() -> Circuit:
    return loads(TEXT, "small")


def small(circuit: Circuit | Path, genome: list[str], **more: Any) -> xr.Dataset:
    return evolve(circuit, genome, **{"population": 8, "generations": 3, "jobs": 1, **more})


# ---------------------------------------------------------------- strategies


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("genes", [1, 8])
def test_they_find_the_top_of_a_hill(name: str, genes: int) -> None:
    top = np.linspace(1, 3, genes)
    climber = strategy(name, genes, 20, seed=1)
    for _ in range(200):
        climber.tell(-((climber.ask() - top) ** 2).sum(axis=1))
    assert np.abs(climber.mean - top).max() < 0.3
    assert climber.deviation.shape == (genes,)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("genes", [1, 2, 6])
def test_many_candidates_of_few_genes_stay_within_reach(name: str, genes: int) -> None:
    """Where one gene is all that counts: its deviation becomes small, and no deviation negative or without bound."""
    climber = strategy(name, genes, 64, seed=3)
    for _ in range(40):
        climber.tell(-np.abs(climber.ask()[:, 0]))
        assert (climber.deviation > 0).all()
        assert np.abs(climber.mean).max() < 100


@pytest.mark.parametrize("name", STRATEGIES)
def test_they_see_ranks_only_and_repeat_themselves(name: str) -> None:
    """Another scale changes nothing, nor does doing it again; candidates that diverged rank last."""
    climbers = [strategy(name, 5, 9, seed=2) for _ in range(3)]
    for _ in range(10):
        broods = [climber.ask() for climber in climbers]
        np.testing.assert_array_equal(broods[0], broods[1])
        fitness = broods[0].sum(axis=1)
        worst = fitness.argmin()
        gone = fitness.copy()
        gone[worst] = np.nan
        for climber, told in zip(climbers, (fitness, np.exp(fitness), gone), strict=True):
            climber.tell(told)
    np.testing.assert_array_equal(climbers[0].mean, climbers[1].mean)
    np.testing.assert_array_equal(climbers[0].mean, climbers[2].mean)


@given(some.lists(some.floats(width=32), min_size=1, max_size=12))
@example([float("nan"), float("-inf")])
@settings(max_examples=50)
def test_from_best(values: list[float]) -> None:
    order = from_best(np.array(values)).tolist()
    assert sorted(order) == list(range(len(values)))
    ranked = [values[i] for i in order]
    numbers = [v for v in ranked if v == v]
    assert numbers == sorted(numbers, reverse=True)
    assert all(v != v for v in ranked[len(numbers) :])


def test_a_strategy_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="did you mean `snes`"):
        strategy("sness", 3, 8, 0)
    with pytest.raises(UsageError, match="too small"):
        strategy("snes", 3, 2, 0)


# ---------------------------------------------------------------- genomes


def genome(circuit: Circuit, *names: str) -> Genome:
    prepared = circuit.compile().prepare(Request())
    return genome_of(prepared.run.circuit, prepared.loop.numbers, prepared.run.state, names)


def test_a_genome_of_everything(circuit: Circuit) -> None:
    found = genome(circuit, "eta", "rates[1]:0.5", "c", "d:2")
    assert [g.dims for g in found.genes] == [(), (), ("post_out", "pre_h"), ("unit_h",)]
    assert found.size == 1 + 1 + 6 + 6
    assert [g.step for g in found.genes] == pytest.approx([0.0003, 0.5, 0.3, 2])
    vectors = np.arange(2.0 * found.size).reshape(2, -1)
    split = found.split(vectors)
    assert {name: part.shape for name, part in split.items()} == {
        "eta": (2,), "rates[1]": (2,), "c": (2, 1, 6), "d": (2, 6)
    }  # fmt: skip
    numbers = found.numbers(circuit.ir, {"gain": 3}, vectors)
    assert numbers[1]["eta"] == vectors[1, 0]
    assert (numbers[1]["rates[0]"], numbers[1]["rates[1]"]) == (1, vectors[1, 1])
    assert numbers[0]["twice"] == 6
    np.testing.assert_array_equal(found.start[:2], [0.001, 2])


def test_params_follow_and_lists_evolve_whole(circuit: Circuit) -> None:
    found = genome(circuit, "gain", "rates")
    [numbers] = found.numbers(circuit.ir, {}, np.array([[5.0, 6.0, 7.0]]))
    assert (numbers["twice"], numbers["rates[1]"]) == (10, 7)


@pytest.mark.parametrize(
    ("names", "told"),
    [(["etta"], "did you mean `eta`"), (["n"], "shapes the circuit"), (["eta", "eta"], "twice"), ([], "empty"),
     (["rates", "rates[1]"], "also as `rates`"), (["rates[1]", "rates"], "also as"),
     (["eta:no"], "NAME:STEP"), (["eta:-1"], "NAME:STEP"), (["rates[7]"], "no param")],
)  # fmt: skip
def test_a_genome_that_makes_no_sense(circuit: Circuit, names: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        genome(circuit, *names)


def test_objectives(circuit: Circuit) -> None:
    tasks = circuit.ir.tasks
    assert objective(circuit.ir, tasks["moons"], "metric").sign == 1
    assert objective(circuit.ir, tasks["moons"], "-metric").sign == -1
    assert objective(circuit.ir, tasks["far"], "metric").sign == -1  # a mean square
    assert objective(circuit.ir, None, "loss").sign == -1
    assert objective(circuit.ir, None, "mean(h)").sign == 1
    assert objective(circuit.ir, tasks["moons"], "mse(out, y)").sign == -1
    assert objective(circuit.ir, tasks["moons"], "-mse( out,y )").sign == 1  # spaces say nothing
    with pytest.raises(UsageError, match="did you mean `mean"):
        objective(circuit.ir, None, "mean(hh)")
    with pytest.raises(UsageError, match="no metric"):
        objective(circuit.ir, None, "metric")


# ---------------------------------------------------------------- lifetimes


def test_a_lifetime_is_a_run(circuit: Circuit) -> None:
    """What the start reaches is what `run` reaches with the lifetime's seed."""
    found = small(circuit, ["eta", "c"], tasks=1, generations=1)
    [seed] = life_seeds(0, 0, 1, held=False)
    run = circuit.compile().execute(Request(seed=seed))
    assert found["outcome"].sel(seed=0, who="start").item() == run.metric
    loss = small(circuit, ["eta"], fitness="loss", generations=1)
    assert loss["outcome"].sel(seed=0, who="start").item() == pytest.approx(run.loss, rel=1e-6)
    rate = small(circuit, ["eta"], fitness="mean(h)", generations=1)
    recorded = float(circuit.run(seed=seed)["mean(h)"][-1])
    assert rate["outcome"].sel(seed=0, who="start").item() == pytest.approx(recorded, rel=1e-6)


def test_a_candidate_is_a_run_with_its_params(circuit: Circuit) -> None:
    """Also where a param of the genome decides the initial weights."""
    found = small(circuit, ["eta", "gain"], generations=2, fitness="loss", seed=7)
    [seed] = life_seeds(7, 0, 1, held=False)
    best = {name: float(found[f"{name}.best"].sel(seed=7)) for name in ("eta", "gain")}
    run = circuit.compile().execute(Request(seed=seed, params=best))
    assert found["outcome"].sel(seed=7, who="best").item() == pytest.approx(run.loss, rel=1e-5)
    assert found["outcome"].sel(seed=7, who="best").item() == found["best"].values[0, -1] == found["fitness"].min()


def test_threads_change_no_bit(circuit: Circuit) -> None:
    one, three = (small(circuit, ["c", "d"], tasks=2, jobs=jobs) for jobs in (1, 3))
    assert one.identical(three)


def test_a_brood_in_pieces(circuit: Circuit) -> None:
    """As a cluster gets it: candidates one by one, arrays that cannot be written."""
    planned = plan_evolution(circuit.compile(), Request(), ["eta", "c"], schedule=Schedule(), tasks=2)
    world = replace(planned.world, lanes=planned.family.lanes(0, 0, held=False), threads=1)
    genomes = planned.genome.start + planned.genome.steps * np.random.default_rng(0).normal(size=(5, 7))
    numbers, coefficients = (
        planned.genome.numbers(circuit.ir, {}, genomes),
        planned.genome.coefficients(genomes, "float32"),
    )
    brood = Brood(numbers=numbers, coefficients=coefficients)
    whole = lifetimes(world, brood)
    for array in (*coefficients.values(), *(a for lane in world.lanes for a in lane.dataset.arrays.values())):
        array.setflags(write=False)
    afresh = replace(world, lanes=tuple(replace(lane) for lane in world.lanes))
    for count in (5, 2):
        pieces = brood.pieces(count)
        assert len(pieces) == count
        np.testing.assert_array_equal(np.concatenate([lifetimes(afresh, piece) for piece in pieces]), whole)


def test_families(circuit: Circuit) -> None:
    """Lifetimes differ in seed and, where it is made from one, in data; none is shared with those held out."""

    def planned(**more: Any) -> Any:
        return plan_evolution(circuit.compile(), Request(), ["eta"], schedule=Schedule(), **more)

    family = planned(tasks=3, held_out=2).family
    lanes = [*family.lanes(0, 0, held=False), *family.lanes(0, 0, held=True), *family.lanes(0, 1, held=False)]
    assert len({lane.seed for lane in lanes}) == 8
    assert len({lane.dataset.arrays["x"].tobytes() for lane in lanes}) == 8
    again = family.lanes(0, 0, held=False)[1]
    assert again.seed == lanes[1].seed
    np.testing.assert_array_equal(again.dataset.arrays["x"], lanes[1].dataset.arrays["x"])
    [alone] = planned().family.lanes(0, 0, held=False)
    assert alone.dataset is planned().family.lanes(1, 5, held=False)[0].dataset or alone.seed
    x = np.random.default_rng(0).normal(size=(2, 30, 2))
    given = planned(tasks=[(x[0], np.arange(30) % 2), (x[1], np.arange(30) % 2)]).family
    assert [lane.dataset.name for lane in given.lanes(0, 0, held=False)] == ["arrays", "arrays"]
    with pytest.raises(UsageError, match="at least once"):
        planned(tasks=0)


# ---------------------------------------------------------------- what it leaves


def test_the_dataset(circuit: Circuit) -> None:
    found = small(circuit, ["eta", "c"], tasks=2, held_out=3, seeds=2, generations=4)
    assert found["fitness"].dims == ("seed", "generation", "candidate")
    assert found["task_fitness"].shape == (2, 4, 8, 2)
    np.testing.assert_allclose(found["task_fitness"].mean("task"), found["fitness"])
    assert found["held_out"].shape == (2, 3, 3)
    assert found["c"].dims == ("seed", "generation", "post_out", "pre_h")
    assert found["c.quantiles"].shape == (2, 4, 7)
    np.testing.assert_array_equal(found["c"][:, 0], np.ones((2, 1, 6)))  # the first brood is drawn around the start
    np.testing.assert_allclose(found["c.std"][:, 0], 0.3)
    np.testing.assert_allclose(found["eta.final"], found["eta.final"].values)
    assert (np.diff(found["best"].values, axis=1) >= 0).all()
    assert found["who"].values.tolist() == ["start", "mean", "best"]
    attributes = found.attrs
    assert all({"long_name", "units"} <= set(found[axis].attrs) for axis in found.coords)
    assert (attributes["objective"], attributes["better"]) == ("metric accuracy(out, y)", "larger")
    assert "circuit small" in attributes["source"]


def test_long_histories_are_thinned() -> None:
    assert snapshots(100, 50) == tuple(range(50))
    kept = snapshots(20_000, 200)
    assert (kept[0], kept[-1], len(kept)) == (0, 199, 21)


def test_selection_works_and_chance_does_not(circuit: Circuit) -> None:
    """With a learning rate near 0 nothing is learned: evolution finds a larger one, drift does not care."""
    kind = {"genome": ["eta:0.02"], "fitness": "loss", "generations": 12, "population": 12, "tasks": 2}
    selected, drifting = (evolve(circuit, **kind, selection=s, jobs=1) for s in (True, False))
    before, after = (float(selected["outcome"].sel(who=who).mean()) for who in ("start", "mean"))
    assert after < 0.85 * before
    assert float(selected["eta.final"][0]) > 0.03
    assert abs(float(drifting["eta.final"][0])) < float(selected["eta.final"][0])


def test_resampling_gives_new_lifetimes(circuit: Circuit) -> None:
    kind: dict[str, Any] = {"generations": 2, "fitness": "loss", "params": {"eta": 0.5}}
    fixed, fresh = (small(circuit, ["d:1e-9"], **kind, resample=r) for r in (False, True))
    assert np.ptp(fixed["fitness"].values) < 1e-3
    assert abs(np.diff(fresh["fitness"].mean("candidate").values[0])[0]) > 1e-3


def test_divergence_is_last(circuit: Circuit) -> None:
    found = small(circuit, ["eta:1e38"], fitness="loss", generations=2)
    assert np.isnan(found["fitness"]).any()
    assert np.isfinite(found["best"]).all()


# ---------------------------------------------------------------- going on


@pytest.mark.parametrize("name", STRATEGIES)
def test_it_goes_on_with_no_lifetime_lived_twice(
    circuit: Circuit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    lived: list[Any] = []
    real = module.lifetimes
    monkeypatch.setattr(module, "lifetimes", lambda world, brood: lived.append(brood) or real(world, brood))
    out = tmp_path / "evolve.nc"
    kind = {"seeds": 2, "tasks": 2, "held_out": 1, "strategy": name}
    whole = small(circuit, ["eta", "c"], **kind)
    assert len(lived) == 2 * (3 + 2)
    lived.clear()
    with pytest.raises(KeyboardInterrupt):
        small(circuit, ["eta", "c"], **kind, out=out, progress=Interrupt(6))
    journal = tmp_path / "evolve.nc.parts" / "1.jsonl"
    assert len(journal.read_text().splitlines()) == 2
    with journal.open("a") as file:
        file.write('{"generation": 2, "val')  # killed in the middle of a line
    lived.clear()
    bar = Interrupt(100)
    found = small(circuit, ["eta", "c"], **kind, out=out, progress=bar)
    assert (bar.done, len(lived)) == (6, 3)
    assert found.drop_attrs().identical(whole.drop_attrs())
    assert not (tmp_path / "evolve.nc.parts").exists()
    lived.clear()
    again = small(circuit, ["eta", "c"], **kind, out=out)
    assert lived == []
    np.testing.assert_array_equal(again["fitness"], whole["fitness"])
    for other in ({"population": 9}, {"generations": 4}, {"tasks": 3}, {"selection": False}, {"fitness": "loss"}):
        with pytest.raises(UsageError, match="another evolution"):
            small(circuit, ["eta", "c"], **{**kind, **other}, out=out)
    with pytest.raises(UsageError, match="genome"):
        small(circuit, ["eta"], **kind, out=out)


# ---------------------------------------------------------------- the command


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "small.circ", tmp_path / "evolve.nc"
    file.write_text(TEXT)
    arguments = ["evolve", str(file), "--genome", "eta,c", "--population", "8", "--generations", "3", "--seeds", "2"]
    arguments += ["--tasks", "2", "--held-out", "2", "--out", str(out)]
    assert command_line(arguments) == 0
    shown = capsys.readouterr().out
    assert "sepcma, 8 candidates, 2 lifetimes each, 3 generations, 2 seeds" in shown
    assert "held out: before" in shown
    assert command_line([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["outcome"]) == {"start", "mean", "best"}
    assert found["genome"]["c"]["count"] == 6
    assert found["out"] == str(out)
    for wrong in (["--genome", "nothing"], ["--fitness", "nothing"], ["--population", "1"], ["--set", "eta"]):
        assert command_line([*arguments, *wrong]) == 2
    file.write_text(TEXT.replace("sigmoid(basal)", "basal"))
    gone = ["--genome", "c", "--population", "4", "--generations", "1", "--set", "eta=1e30"]
    assert command_line(["evolve", str(file), *gone]) == 3


def test_it_is_in_the_package() -> None:
    assert cd.evolve is evolve
