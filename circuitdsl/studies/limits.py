"""What limits the four-synapse circuit on the largest data set: a part of the study of self-assembly.

Over learning rates and bounds: how many weights stand at their bounds, how many neurons are silent, how much larger
the credit is than the gradient and how far it points elsewhere; and what an epoch of exact gradients (the twin's) makes
of the weights that the circuit has found, beside another epoch of its own.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

from circuitdsl.api import Outcome, Request, Simulation
from circuitdsl.runtime.request import Learn
from circuitdsl.studies.intervals import Mean, mean_of
from circuitdsl.studies.protocol import Plan, Sentence
from circuitdsl.studies.rivals import DATA, ETAS, FOUR, request_of, text_of
from circuitdsl.studies.self_assembly import Gauge
from circuitdsl.studies.stages import go_on
from circuitdsl.studies.trials import Found, Table, Trial, gather, run_trials

if TYPE_CHECKING:
    import xarray as xr

#: Bounds that are compared, and how many of the study's seeds do it, on how many of the test examples.
LIMITS, SEEDS, EXAMPLES = (0.2, 0.5), 3, 2000

MEASURES = {
    "limit_metric": "metric at the end",
    "limit_on": "after one more epoch of its own",
    "limit_exact": "after one more epoch of the twin's exact gradients",
    "limit_at_bounds": "part of the weights that stand at their bounds",
    "limit_silent": "part of the hidden neurons that no test example makes active",
    "limit_gain": "length of the credit in units of that of the gradient",
    "limit_cos": "cosine of credit and gradient, mean over test examples",
}


def run_limits(plan: Plan, sets: Collection[str], chosen: str) -> xr.Dataset:
    """MEASURES (limit_eta, limit_bound, seed), at the decay that was chosen, on the last of DATA that is there."""
    data = [name for name in DATA if name in sets][-1]
    gamma = json.loads(chosen)[f"{data}, {FOUR}"]["gamma"]
    seeds = list(plan.seeds)[:SEEDS]
    trials = [
        Trial(
            circuit=text_of(FOUR),
            request=request_of(FOUR, data, seed, DATA[data].epochs, eta=eta, gamma=gamma, bound=bound),
            at={"limit_eta": eta, "limit_bound": bound, "seed": seed},
            work=limited,
        )
        for eta, bound, seed in product(ETAS, LIMITS, seeds)
    ]
    table = Table(coordinates={"limit_eta": ETAS, "limit_bound": LIMITS, "seed": seeds}, about=MEASURES)
    return gather(trials, run_trials(trials, plan), table).assign_attrs(limits=json.dumps([data, gamma]))


def limited(simulation: Simulation, request: Request) -> Found:
    import numpy as np

    outcome = simulation.prepare(request)
    go_on(outcome)
    if outcome.run.diverged is not None:
        return dict.fromkeys(MEASURES, np.nan)
    credit, delta, active = _signals(simulation, request, outcome)
    lengths = np.linalg.norm(credit, axis=1), np.linalg.norm(delta, axis=1)
    there = (lengths[0] > 0) & (lengths[1] > 0)
    cosines = (credit * delta).sum(axis=1)[there] / (lengths[0] * lengths[1])[there]
    weights = np.concatenate([w.ravel() for w in outcome.run.state.weights.values()])
    found = (
        outcome.metric,
        _one_more(simulation, request, outcome, "circuit"),
        _one_more(simulation, request, outcome, "backprop"),
        float((np.abs(weights) >= 0.999 * outcome.loop.numbers["bound"]).mean()),
        float(1 - active.mean()),
        float(np.linalg.norm(credit) / np.linalg.norm(delta)),
        float(cosines.mean()),
    )
    return dict(zip(MEASURES, found, strict=True))


def _signals(simulation: Simulation, request: Request, outcome: Outcome) -> tuple[Any, Any, Any]:
    """Credit and gradient of all hidden neurons [examples, neurons], and which of these ever are active."""
    import numpy as np

    data = outcome.loop.dataset
    some = replace(data, test=data.test[:EXAMPLES])
    layers = Gauge(simulation.circuit, request.params).signals(outcome.run.state, some, outcome.loop.numbers)
    credit = np.concatenate([apical * (basal > 0) for basal, apical, _ in layers], axis=1)
    active = np.concatenate([(basal > 0).any(axis=0) for basal, _, _ in layers])
    return credit, np.concatenate([delta for _, _, delta in layers], axis=1), active


def _one_more(simulation: Simulation, request: Request, outcome: Outcome, learn: Learn) -> float:
    """The metric after one more epoch from the same weights."""
    again = simulation.prepare(replace(request, learn=learn, epochs=1))
    again.run.state = outcome.run.state.copy()
    go_on(again)
    return again.metric


# ---------------------------------------------------------------- what it shows


def limit_sentences(data: xr.Dataset) -> list[Sentence]:
    name, gamma = json.loads(data.attrs["limits"])
    found = data[list(MEASURES)].dropna("seed", how="all")
    means = found["limit_metric"].mean("seed")
    eta, bound = (float(means.where(means == means.max(), drop=True)[d][0]) for d in ("limit_eta", "limit_bound"))
    seeds = found.sizes["seed"]
    best = found.sel(limit_eta=eta, limit_bound=bound)
    on, exact = (mean_of(best[n] - best["limit_metric"]) for n in ("limit_on", "limit_exact"))
    told = "; ".join(
        f"η {e:g} ±{b:g}: {_told(found.sel(limit_eta=e, limit_bound=b))}" for b, e in product(LIMITS, ETAS)
    )
    return [
        Sentence(
            text=f"what limits it on {name} (γ {gamma:g}, {seeds} seeds); accuracy, weights at their bounds, silent "
            f"neurons, length of the credit in units of the gradient's, their cosine: {told}"
        ),
        Sentence(
            text=f"from the best of these weights (η {eta:g}, bounds ±{bound:g}) an epoch of exact gradients changes "
            f"accuracy by {exact.points()}, another epoch of its own by {on.points()}"
        ),
    ]


def _told(one: xr.Dataset) -> str:
    m: dict[str, Mean] = {name: mean_of(one[name]) for name in MEASURES}
    return (
        f"{m['limit_metric'].mean:.3f}, {m['limit_at_bounds'].mean:.1%}, {m['limit_silent'].mean:.0%}, "
        f"{m['limit_gain'].mean:.1f}, {m['limit_cos'].mean:.2f}"
    )
