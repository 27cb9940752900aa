"""Learning rules for the same layers, each at its best: the first half of the study of self-assembly.

Every rule is tuned on the same small grid of learning rate, decay and weight bounds, with seeds of its own, and judged
meanwhile by training examples that were held out; the test set judges the chosen setting alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

from circuitdsl.api import Request, Simulation
from circuitdsl.frozen import frozen
from circuitdsl.runtime.request import Learn
from circuitdsl.studies.intervals import lost, mean_of
from circuitdsl.studies.protocol import Plan, Sentence
from circuitdsl.studies.stages import go_on, held_out
from circuitdsl.studies.trials import Found, Table, Text, Trial, ended, gather, run_trials, shipped_text

if TYPE_CHECKING:
    import xarray as xr

FOUR, TWIN = "four synapses", "backpropagation"
#: Rule: its circuit, and whether it is the gradient twin that runs.
RULES = {
    FOUR: ("studies/layers_self_assembly.circ", False),
    TWIN: ("studies/layers_self_assembly.circ", True),
    "Kolen-Pollack": ("studies/layers_kolen_pollack.circ", False),
    "feedback alignment": ("studies/layers_feedback_alignment.circ", False),
    "direct feedback": ("studies/layers_direct_feedback.circ", False),
}
#: The rules of a quick run: compiling one takes seconds.
QUICK_RULES = (FOUR, TWIN, "Kolen-Pollack")

#: So far up that what reaches it overflows: no limit.
NO_LIMIT = 1e30
#: The grid that every rule is tuned on.
ETAS, GAMMAS, BOUNDS = (0.02, 0.05, 0.1), (0.0001, 0.002, 0.01), (0.2, 0.5, NO_LIMIT)
#: The seeds that tune, which judge nothing afterwards.
TUNERS = (1001, 1002, 1003)

Setting = dict[str, float]


@frozen(kw_only=True)
class Task:
    """A data set, the sizes for it, for how long it is learned, with how many seeds it is tuned, and how many points
    below its twin the four-synapse circuit may stay."""

    inputs: int
    n: int
    epochs: int
    tuners: int
    allowed: float


DATA: Mapping[str, Task] = {
    "digits": Task(inputs=64, n=48, epochs=60, tuners=3, allowed=0.015),
    "mnist5k": Task(inputs=784, n=100, epochs=12, tuners=2, allowed=0.02),
    "fashion": Task(inputs=784, n=100, epochs=3, tuners=1, allowed=0.02),
}
QUICK_EPOCHS = 25


def request_of(rule: str, data: str, seed: int, epochs: int, **params: float) -> Request:
    task = DATA[data]
    learn: Learn = "backprop" if RULES[rule][1] else "circuit"
    sizes = {"inputs": task.inputs, "n": task.n}
    return Request(data=data, seed=seed, epochs=epochs, params={**sizes, **params}, learn=learn)


def text_of(rule: str) -> Text:
    return shipped_text(RULES[rule][0])


@cache
def lacking(data: str) -> str:
    """How to install a data set that is not there; nothing if it is."""
    from circuitdsl.api import loads
    from circuitdsl.runtime.errors import MissingData

    if data != "fashion":
        return ""
    try:
        loads(text_of(FOUR).text).compile().prepare(request_of(FOUR, data, 0, 0))
    except MissingData as problem:
        return problem.diagnostics[0].hint or "it is not installed"
    return ""


# ---------------------------------------------------------------- every rule at its best


def compare(plan: Plan) -> xr.Dataset:
    """`compared` (data, rule, seed): the metric of each rule at its best setting; `tuned` (data, rule, eta, gamma,
    bound, tuner): what the choice was made by. Attributes: `chosen`, the settings; `lacking`, data sets that are not
    installed."""
    import xarray as xr

    sets = ["digits"] if plan.quick else [name for name in DATA if not lacking(name)]
    tuned = tune(plan, sets)
    rules = _rules(plan)
    trials = [
        Trial(
            circuit=text_of(rule),
            request=request_of(rule, data, seed, epochs_of(data, plan), **best(tuned, data, rule)),
            at={"data": data, "rule": rule, "seed": seed},
        )
        for data, rule, seed in product(sets, rules, plan.seeds)
    ]
    table = Table(coordinates={"data": sets, "rule": rules, "seed": plan.seeds})
    compared = gather(trials, run_trials(trials, plan), table)
    chosen = {f"{data}, {rule}": best(tuned, data, rule) for data in sets for rule in rules}
    both = xr.merge([compared[["metric"]].rename(metric="compared"), tuned], join="outer", compat="no_conflicts")
    absent = {} if plan.quick else {name: lacking(name) for name in DATA if name not in sets}
    return both.assign_attrs(circuits=compared.attrs["circuits"], chosen=json.dumps(chosen), lacking=json.dumps(absent))


def _rules(plan: Plan) -> list[str]:
    return list(QUICK_RULES if plan.quick else RULES)


def epochs_of(data: str, plan: Plan) -> int:
    return QUICK_EPOCHS if plan.quick else DATA[data].epochs


def tune(plan: Plan, sets: Sequence[str]) -> xr.Dataset:
    """Every rule at every setting, for as long as it will learn: what spoils late spoils the choice too."""
    etas, gammas, bounds = (ETAS[1:], GAMMAS[1:], BOUNDS[1:2]) if plan.quick else (ETAS, GAMMAS, BOUNDS)
    tuners = TUNERS[:1] if plan.quick else TUNERS
    trials = [
        Trial(
            circuit=text_of(rule),
            request=request_of(rule, data, tuner, epochs_of(data, plan), eta=eta, gamma=gamma, bound=bound),
            at={"data": data, "rule": rule, "eta": eta, "gamma": gamma, "bound": bound, "tuner": tuner},
            work=judged_by_held_out,
        )
        for data, rule, eta, gamma, bound in product(sets, _rules(plan), etas, gammas, bounds)
        for tuner in tuners[: DATA[data].tuners]
    ]
    coordinates = {
        "data": sets, "rule": _rules(plan), "eta": etas, "gamma": gammas, "bound": bounds, "tuner": tuners,
    }  # fmt: skip
    found = gather(trials, run_trials(trials, plan), Table(coordinates=coordinates))
    return found[["metric"]].rename(metric="tuned")


def judged_by_held_out(simulation: Simulation, request: Request) -> Found:
    outcome = held_out(simulation.prepare(request))
    go_on(outcome)
    return ended(outcome)


def best(tuned: xr.Dataset, data: str, rule: str) -> Setting:
    """The setting with the highest mean metric; one that diverged with any seed does not count."""
    import numpy as np

    values = tuned["tuned"].sel(data=data, rule=rule).dropna("tuner", how="all")
    means = values.mean("tuner", skipna=False).transpose("eta", "gamma", "bound").fillna(-1.0)
    place = np.unravel_index(int(means.values.argmax()), means.shape)
    return {str(name): float(means[name][i]) for name, i in zip(means.dims, place, strict=True)}


# ---------------------------------------------------------------- what it shows


def told(setting: Setting) -> str:
    limit = "no bounds" if setting["bound"] == NO_LIMIT else f"bounds ±{setting['bound']:g}"
    return f"η {setting['eta']:g} γ {setting['gamma']:g} {limit}"


def rivals_sentences(data: xr.Dataset) -> list[Sentence]:
    names = [name for name in DATA if name in data["data"].values]  # in our order
    absent = [
        Sentence(text=f"{name} is not installed, and nothing is said of it here ({hint})")
        for name, hint in json.loads(data.attrs["lacking"]).items()
    ]
    return [*(_beside(data, name) for name in names), *absent, *(_ranking(data, name) for name in names)]


def _beside(data: xr.Dataset, name: str) -> Sentence:
    of_rule = data["compared"].sel(data=name)
    four, twin = of_rule.sel(rule=FOUR), of_rule.sel(rule=TWIN)
    below = mean_of(twin - four)
    allowed = DATA[name].allowed
    return Sentence(
        text=f"{name}: four synapses {mean_of(four)}{lost(four)}, their gradient twin {mean_of(twin)}{lost(twin)}: "
        f"{below.points()} below (claimed: within {100 * allowed:g})",
        holds=below.mean <= allowed and not lost(four),
    )


def _ranking(data: xr.Dataset, name: str) -> Sentence:
    rules = [str(rule) for rule in data["rule"].values]
    rivals = [rule for rule in rules if rule not in (FOUR, TWIN)]
    of_rule = data["compared"].sel(data=name)
    accuracies = ", ".join(f"{r} {mean_of(of_rule.sel(rule=r))}{lost(of_rule.sel(rule=r))}" for r in rivals)
    chosen = json.loads(data.attrs["chosen"])
    settings = "; ".join(f"{rule} {told(chosen[f'{name}, {rule}'])}" for rule in rules)
    return Sentence(
        text=f"{name}, the rivals, tuned on the same grid with other seeds and held-out training examples: "
        f"{accuracies}. Settings: {settings}"
    )
