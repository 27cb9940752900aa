"""Gradient learning evolves, by mutation and selection alone, in a circuit whose rules start at 0.

Ziyin, Chuang & Poggio 2025 (arXiv:2505.02248), on circuits/studies/evolution.circ, whose genome is a gain for each
plastic synapse, and evolution_neurons.circ, where every neuron has its own. Fitness is the accuracy after one lifetime
of learning digits from random weights; no gradient is computed for it. Beside the fitness, individuals drawn from the
distribution of a generation live another lifetime, in which their drives are held against the gradient
(evolution_lives.py). The control is the same without selection: chance decides who is fit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

from circuitdsl.api import Circuit, Request, Simulation, load
from circuitdsl.explore.evolve import evolve
from circuitdsl.frozen import frozen
from circuitdsl.runtime.request import Learn
from circuitdsl.studies.evolution_lives import ARMS, GAINS, GROUPS, LAYERS, NEURONS, Lives
from circuitdsl.studies.evolution_told import figure, finding
from circuitdsl.studies.intervals import mean_of
from circuitdsl.studies.protocol import Plan, Study
from circuitdsl.studies.stages import go_on, held_out
from circuitdsl.studies.trials import Found, Stoppable, Table, Trial, gather, run_trials, shipped_text

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

CIRCUITS = {GROUPS: "studies/evolution.circ", NEURONS: "studies/evolution_neurons.circ"}
#: The founder's gains: it does not learn.
FOUNDER: Mapping[str, Mapping[str, float]] = {GROUPS: dict.fromkeys(GAINS, 0.0), NEURONS: {"start": 0.0}}

#: The first brood's standard deviation, lifetimes of a candidate in a generation, and on another task.
STEP, LIVES, OTHER_LIVES = 0.5, 2, 8


@frozen(kw_only=True)
class Extent:
    """How large. `looked`: the generations of which `individuals` are looked at; `last`: new lifetimes at the end, of
    the founder and of the mean genome."""

    genomes: tuple[str, ...]
    population: int
    generations: int
    individuals: int
    looked: tuple[int, ...]
    last: int


FULL = Extent(
    genomes=(GROUPS, NEURONS),
    population=64,
    generations=60,
    individuals=10,
    looked=(0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 26, 30, 35, 40, 50, 59),
    last=8,
)
QUICK = Extent(genomes=(GROUPS,), population=32, generations=9, individuals=4, looked=(0, 8), last=4)


@frozen(kw_only=True)
class Task:
    """A data set with its sizes, and how many epochs a lifetime has there."""

    inputs: int
    classes: int
    epochs: int


#: Where the evolved gains are put to work: new initial weights, and data that evolution never saw.
TASKS: Mapping[str, Task] = {
    "digits": Task(inputs=64, classes=10, epochs=1),
    "wine": Task(inputs=13, classes=3, epochs=10),
    "breast_cancer": Task(inputs=30, classes=2, epochs=3),
    "iris": Task(inputs=4, classes=3, epochs=12),
}
#: Learning rates there, of which every rule gets the one that is best for the task, since data differ in size; 0.05 is
#: the rate with which the gains evolved.
RATES = (0.01, 0.02, 0.05, 0.1, 0.2)
TWIN = "gradient"

ABOUT = {
    "fitness": "accuracy, mean of all candidates and lifetimes; 0 where one diverged",
    "metric": "accuracy of the individuals looked at; 0 where one diverged",
    "cosine": "cosine of drive and descent direction, mean of the individuals looked at",
    "gradient": "part of the individuals looked at whose phi is above 0 in all patches",
    "consistent": "part of the individuals looked at whose phi has one sign in all patches",
    "told": "part of their neurons whose own credit agrees with the gradient",
    "founder": "accuracy of the founder",
    "reached": "accuracy of the mean genome after evolution, in new lifetimes",
    "proved": "whether derive proves gradient learning with the gains of the mean genome",
    "gain": "gain in the mean genome after evolution, mean over neurons",
    "learning": "gain g of each hidden neuron in the mean genome",
    "feedback": "gain b of each hidden neuron in the mean genome",
    "sign_metric": "accuracy with gains of size 1 and these signs; 0 if it diverged",
    "sign_gradient": "whether phi is above 0 in all patches",
    "verdict": "1: derive proves gradient learning for these signs",
    "accuracy": "accuracy on the test set, mean of lifetimes; 0 where one diverged",
    "tuned": "accuracy of other lifetimes on held-out training examples, by which a learning rate is chosen",
}


# ---------------------------------------------------------------- running


def run(plan: Plan) -> xr.Dataset:
    """Lineages, all combinations of signs and, where there is time, the evolved gains on other tasks."""
    import xarray as xr

    lineages = _lineages(plan)
    parts = [lineages, _signs(plan)] + ([] if plan.quick else [_elsewhere(plan, lineages)])
    texts: dict[str, str] = {}
    for part in parts:
        texts |= json.loads(part.attrs.pop("circuits"))
    merged = xr.merge(parts, join="exact", compat="no_conflicts", combine_attrs="no_conflicts")
    return merged.assign_attrs(circuits=json.dumps(texts, ensure_ascii=False))


def _lineages(plan: Plan) -> xr.Dataset:
    extent = QUICK if plan.quick else FULL
    trials = [
        Trial(
            circuit=shipped_text(CIRCUITS[genome]),
            request=Request(seed=seed, params=FOUNDER[genome]),
            at={"genome": genome, "arm": arm, "seed": seed},
            work=partial(lineage, extent=extent, selection=arm == "selection"),
        )
        for seed, arm, genome in product(plan.seeds, ARMS, extent.genomes)
    ]
    looked = dict.fromkeys(("metric", "gradient", "consistent", "told"), ("looked",))
    table = Table(
        coordinates={"genome": extent.genomes, "arm": ARMS, "seed": plan.seeds},
        inner={
            "generation": range(extent.generations),
            "looked": extent.looked,
            "layer": list(LAYERS),
            "rule": GAINS,
        },
        shapes={
            **looked,
            "fitness": ("generation",),
            "cosine": ("looked", "layer"),
            "gain": ("rule",),
            "learning": ("neuron",),
            "feedback": ("neuron",),
        },
        about=ABOUT,
    )
    return gather(trials, run_trials(trials, plan), table)


def lineage(simulation: Simulation, request: Request, *, extent: Extent, selection: bool) -> Found:
    """One evolution from the founder, and what its individuals' lives show: ABOUT up to `feedback`."""
    history = evolve(
        simulation.circuit,
        [f"{name}:{STEP}" for name in GAINS],
        strategy="snes",
        population=extent.population,
        generations=extent.generations,
        tasks=LIVES,
        held_out=extent.last,
        resample=True,
        selection=selection,
        seed=request.seed,
        params=request.params,
        jobs=1,
        progress=Stoppable(),
    ).isel(seed=0)
    found = _looks(simulation, request, history, extent)
    reached = history["held_out"].fillna(0).mean("held_task")
    final = {name: history[f"{name}.final"].values for name in GAINS}
    return found | {
        "fitness": history["task_fitness"].fillna(0).mean(["candidate", "task"]).values,
        "founder": float(reached.sel(who="start")),
        "reached": float(reached.sel(who="mean")),
        "gain": [float(final[name].mean()) for name in GAINS],
        "learning": _each_hidden(simulation, final, ("g1", "g2")),
        "feedback": _each_hidden(simulation, final, ("b1", "b2")),
        "proved": is_proved(simulation.circuit, {name: float(v) for name, v in final.items()})
        if final["g1"].ndim == 0
        else float("nan"),
    }


def _each_hidden(simulation: Simulation, gains: Mapping[str, Array], names: tuple[str, str]) -> Array:
    """A gain of each neuron of h1, then of h2; where they share one, it is theirs."""
    import numpy as np

    sizes = (simulation.circuit.ir.populations[h].size for h in ("h1", "h2"))
    return np.concatenate([np.broadcast_to(gains[name], size) for name, size in zip(names, sizes, strict=True)])


def _looks(simulation: Simulation, request: Request, history: xr.Dataset, extent: Extent) -> dict[str, Any]:
    """What individuals drawn from the distributions of some generations show in a lifetime of their own."""
    import numpy as np

    lives = Lives(simulation)
    found: dict[str, list[Any]] = {name: [] for name in ("metric", "gradient", "consistent", "told", "cosine")}
    for generation in extent.looked:
        random = np.random.default_rng([int(request.seed or 0), generation, 0x1007])
        drawn = history.isel(generation=generation)
        seen = []
        for _ in range(extent.individuals):
            gains = {g: random.normal(drawn[g].values, drawn[f"{g}.std"].values) for g in GAINS}
            seen.append(lives.live(gains, replace(request, seed=int(random.integers(2**31)))))
        found["metric"].append(np.nan_to_num([life.metric for life in seen]).mean())
        found["gradient"].append(np.mean([life.is_gradient for life in seen]))
        found["consistent"].append(np.mean([life.is_consistent for life in seen]))
        found["told"].append(mean_of([life.neurons for life in seen]).mean)
        cosines = [life.cosines for life in seen if life.cosines]
        found["cosine"].append([mean_of([c[i] for c in cosines]).mean for i in range(len(LAYERS))])
    return found


def is_proved(circuit: Circuit, gains: Mapping[str, float]) -> float:
    """Whether derive proves `gradient`, or `exact`, for every learning synapse."""
    derived = circuit.derive(params=gains, measure=False)
    found = [derived[name] for name in LAYERS]
    return float(all(f.verdict in ("gradient", "exact") and f.evidence == "proved" for f in found))


# ---------------------------------------------------------------- all signs


def _signs(plan: Plan) -> xr.Dataset:
    patterns = ["".join(signs) for signs in product("+-", repeat=len(GAINS))]
    trials = [
        Trial(
            circuit=shipped_text(CIRCUITS[GROUPS]),
            request=Request(seed=seed),
            at={"seed": seed},
            work=partial(all_signs, patterns=patterns),
        )
        for seed in plan.seeds
    ]
    table = Table(
        coordinates={"seed": plan.seeds},
        inner={"signs": patterns},
        shapes=dict.fromkeys(("sign_metric", "sign_gradient"), ("signs",)),
        about=ABOUT,
    )
    found = gather(trials, run_trials(trials, plan), table)
    circuit = load(CIRCUITS[GROUPS])
    found["verdict"] = ("signs", [is_proved(circuit, unit_gains(p)) for p in patterns], {"long_name": ABOUT["verdict"]})
    founder = circuit.derive(params=FOUNDER[GROUPS], measure=False)
    found.attrs["founder"] = ", ".join(f"{name} {founder[name].verdict}" for name in LAYERS)
    return found


def all_signs(simulation: Simulation, request: Request, *, patterns: list[str]) -> Found:
    """One lifetime for every combination of signs."""
    lives = Lives(simulation)
    found = [lives.live(unit_gains(pattern), request) for pattern in patterns]
    return {
        "sign_metric": [life.metric if life.metric == life.metric else 0.0 for life in found],
        "sign_gradient": [float(life.is_gradient) for life in found],
    }


def unit_gains(pattern: str) -> dict[str, float]:
    """Gains of size 1 with the signs of a pattern such as `+-++-`."""
    return {name: float(f"{sign}1") for name, sign in zip(GAINS, pattern, strict=True)}


# ---------------------------------------------------------------- other tasks


def _elsewhere(plan: Plan, lineages: xr.Dataset) -> xr.Dataset:
    """The genomes of the synapse groups on every task, beside the gradient twin."""
    evolved = lineages["gain"].sel(genome=GROUPS)
    trials = []
    for task, rate, seed in product(TASKS, RATES, plan.seeds):
        at = {"task": task, "rate": rate, "seed": seed}
        for arm in ARMS:
            gains = dict(zip(GAINS, evolved.sel(arm=arm, seed=seed).values.tolist(), strict=True))
            trials.append(_trial_at({**at, "who": arm}, gains, "circuit"))
        trials.append(_trial_at({**at, "who": TWIN}, {}, "backprop"))
    coordinates = {"task": list(TASKS), "who": (*ARMS, TWIN), "rate": RATES, "seed": plan.seeds}
    return gather(trials, run_trials(trials, plan), Table(coordinates=coordinates, about=ABOUT))


def _trial_at(at: Mapping[str, Any], gains: Mapping[str, float], learn: Learn) -> Trial:
    task = TASKS[at["task"]]
    request = Request(
        data=at["task"],
        epochs=task.epochs,
        seed=at["seed"],
        params={**gains, "eta": at["rate"], "inputs": task.inputs, "classes": task.classes},
        learn=learn,
    )
    return Trial(circuit=shipped_text(CIRCUITS[GROUPS]), request=request, at=at, work=some_lives)


def some_lives(simulation: Simulation, request: Request) -> Found:
    """Accuracy over OTHER_LIVES lifetimes, and over as many others that see nothing of the test set."""
    import numpy as np

    seeds = np.random.SeedSequence([int(request.seed or 0), 0x11FE]).generate_state(2 * OTHER_LIVES)
    found = []
    for place, seed in enumerate(seeds):
        outcome = simulation.prepare(replace(request, seed=int(seed)))
        outcome = outcome if place < OTHER_LIVES else held_out(outcome)
        go_on(outcome)
        found.append(outcome.metric)
    lives = np.nan_to_num(found)
    return {"accuracy": float(lives[:OTHER_LIVES].mean()), "tuned": float(lives[OTHER_LIVES:].mean())}


STUDY = Study(
    name="evolution",
    claim="Gradient learning evolves quickly, by mutation and selection of gains and signs alone.",
    source="Ziyin, Chuang & Poggio 2025, arXiv:2505.02248",
    run=run,
    figure=figure,
    finding=finding,
    seeds=(5, 3),
)
