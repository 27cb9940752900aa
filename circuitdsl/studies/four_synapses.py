"""Four plastic synapses that assemble themselves, beside what they are claimed to be as good as.

Liao, Ziyin, Gan, Cheung, Harnett & Poggio 2024 (arXiv:2412.20018), on circuits/studies/layers_*.circ: the same
layers under every rule, each tuned on the same small grid (rivals.py), and what limits this one (limits.py); by depth
and slope of the neurons; and which stabiliser opens how much of the plane of learning rate and decay. How the circuit
assembles itself is measured by self_assembly.py, as in the demonstration.
"""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING

from circuitdsl.api import Request, Simulation
from circuitdsl.studies.intervals import lost, mean_of, over_seeds
from circuitdsl.studies.limits import limit_sentences, run_limits
from circuitdsl.studies.protocol import Plan, Sentence, Study
from circuitdsl.studies.rivals import (
    DATA,
    FOUR,
    NO_LIMIT,
    TWIN,
    Setting,
    compare,
    request_of,
    rivals_sentences,
    text_of,
    told,
)
from circuitdsl.studies.self_assembly import ALIGNMENTS, Gauge, checkpoints
from circuitdsl.studies.trials import Found, Table, Trial, circuits_of, ended, execute, gather, run_trials

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from circuitdsl.api import Outcome

DEPTHS, SLOPES = (2, 3, 4, 5), {"ReLU": 0.0, "leaky 0.2": 0.2}
#: The one setting at which depths are compared.
DEEP: Setting = {"eta": 0.05, "gamma": 0.01, "bound": 0.5}

#: Stabiliser: the params that switch it on.
FREE = {"bound": NO_LIMIT, "ceiling": NO_LIMIT, "slow": 1.0}
STABILISERS = {
    "none": FREE,
    "bounds ±0.5": {**FREE, "bound": 0.5},
    "currents clipped at 1": {**FREE, "ceiling": 1.0},
    "laterals 10 × slower": {**FREE, "slow": 0.1},
}
PLANE_ETAS, PLANE_GAMMAS = (0.01, 0.02, 0.05, 0.1, 0.2), (0.0001, 0.001, 0.003, 0.01, 0.03)
#: Learns: as good as the twin within this.
GOOD = 0.02
#: What of the parts' attributes the finding reads.
KEPT = ("chosen", "lacking", "limits")


def run(plan: Plan) -> xr.Dataset:
    import xarray as xr

    compared = compare(plan)
    parts = [compared, _curves(plan)]
    if not plan.quick:
        limits = run_limits(plan, set(map(str, compared["data"].values)), compared.attrs["chosen"])
        parts += [limits, _depths(plan), _plane(plan)]
    circuits: dict[str, str] = {}
    for part in parts:
        circuits |= json.loads(part.attrs["circuits"])
    together = xr.merge([part.drop_attrs(deep=False) for part in parts], join="outer", compat="no_conflicts")
    told = {k: v for part in parts for k, v in part.attrs.items() if k in KEPT}
    return together.assign_attrs(circuits=json.dumps(circuits, ensure_ascii=False), **told)


# ---------------------------------------------------------------- assembly, depth, stabilisers


def assemble(simulation: Simulation, request: Request) -> Found:
    """A run with ALIGNMENTS at checkpoints (studies/self_assembly.py)."""
    gauge = Gauge(simulation.circuit)
    before = simulation.prepare(request)
    due = checkpoints(before.settings.epochs)
    curves: dict[str, list[list[float]]] = {name: [] for name in ALIGNMENTS}

    def measure(outcome: Outcome) -> None:
        if outcome.run.epochs_done in due:
            outcome.run.settle()
            for name, values in gauge.read(outcome.run.state, outcome.loop.dataset, outcome.loop.numbers).items():
                curves[name].append(values)

    measure(before)
    outcome = execute(simulation, request, after_epoch=measure)
    return {**ended(outcome), **curves}


def _curves(plan: Plan) -> xr.Dataset:
    epochs = 20 if plan.quick else 60
    text = text_of(FOUR)
    trials = [
        Trial(circuit=text, request=Request(seed=seed, epochs=epochs), at={"seed": seed}, work=assemble)
        for seed in plan.seeds
    ]
    table = Table(
        coordinates={"seed": plan.seeds},
        inner={"checkpoint": checkpoints(epochs), "layer": [1, 2]},
        shapes=dict.fromkeys(ALIGNMENTS, ("checkpoint", "layer")),
        about=ALIGNMENTS,
    )
    return gather(trials, run_trials(trials, plan), table)[list(ALIGNMENTS)]


def _depths(plan: Plan) -> xr.Dataset:
    """`deep` (depth, slope, learner, seed): the four-synapse circuit and its twin at one setting."""
    learners = (FOUR, TWIN)
    trials = [
        Trial(
            circuit=text_of(learner),
            request=request_of(learner, "digits", seed, 60, depth=depth, slope=SLOPES[slope], **DEEP),
            at={"depth": depth, "slope": slope, "learner": learner, "seed": seed},
        )
        for depth, slope, learner, seed in product(DEPTHS, SLOPES, learners, plan.seeds)
    ]
    table = Table(coordinates={"depth": DEPTHS, "slope": list(SLOPES), "learner": list(learners), "seed": plan.seeds})
    return gather(trials, run_trials(trials, plan), table)[["metric"]].rename(metric="deep")


def _plane(plan: Plan) -> xr.Dataset:
    """`plane` (stabiliser, plane_eta, plane_gamma, seed): the metric, NaN where it diverged, at depth 2 on digits."""
    seeds = list(plan.seeds)[:2]
    trials = [
        Trial(
            circuit=text_of(FOUR),
            request=request_of(FOUR, "digits", seed, 40, eta=eta, gamma=gamma, **params),
            at={"stabiliser": name, "plane_eta": eta, "plane_gamma": gamma, "seed": seed},
        )
        for (name, params), eta, gamma in product(STABILISERS.items(), PLANE_ETAS, PLANE_GAMMAS)
        for seed in seeds
    ]
    table = Table(
        coordinates={
            "stabiliser": list(STABILISERS),
            "plane_eta": PLANE_ETAS,
            "plane_gamma": PLANE_GAMMAS,
            "seed": seeds,
        }
    )
    found = gather(trials, run_trials(trials, plan), table)
    named = found[["metric"]].rename(metric="plane")
    return named.assign_attrs(circuits=circuits_of(trials))


# ---------------------------------------------------------------- what it shows


def finding(data: xr.Dataset) -> list[Sentence]:
    return [
        *rivals_sentences(data),
        *(limit_sentences(data) if "limits" in data.attrs else ()),
        *_assembled(data),
        *(_depth_sentences(data) if "deep" in data else ()),
        *(_plane_sentences(data) if "plane" in data else ()),
    ]


def _assembled(data: xr.Dataset) -> list[Sentence]:
    ends = data[list(ALIGNMENTS)].mean("layer").isel(checkpoint=[0, -1])

    def course(name: str) -> str:
        return " to ".join(mean_of(ends[name].isel(checkpoint=i)).written(2) for i in (0, 1))

    start, end = (mean_of(ends["cos_B_F"].isel(checkpoint=i)) for i in (0, 1))
    return [
        Sentence(
            text=f"from random weights the feedback assembles itself: cos(B, Fᵀ) from {course('cos_B_F')}",
            holds=end.low > max(0.5, start.high),
        ),
        Sentence(
            text=f"the credit comes to follow the gradient: cos(s, δ) from {course('cos_s_delta')}, "
            f"cos(s, FᵀF δ) of active neurons from {course('cos_s_FFdelta_active')}",
            holds=mean_of(ends["cos_s_delta"].isel(checkpoint=1)).low > 0.3,
        ),
    ]


def _depth_sentences(data: xr.Dataset) -> list[Sentence]:
    return [_depth_sentence(data["deep"].sel(slope=slope), str(slope)) for slope in data["slope"].values]


def _depth_sentence(deep: xr.DataArray, slope: str) -> Sentence:
    parts, behind = [], []
    for depth in map(int, deep["depth"].values):
        four, twin = (deep.sel(depth=depth, learner=learner) for learner in (FOUR, TWIN))
        parts.append(f"{depth} layers {mean_of(four)}{lost(four)} (twin {mean_of(twin).mean:.3f})")
        if lost(four) or mean_of(four).mean < mean_of(twin).mean - 0.05:
            behind.append(str(depth))
    end = f"more than 5 points behind at depth {', '.join(behind)}" if behind else "nowhere lost"
    return Sentence(text=f"{slope} neurons, {told(DEEP)}: {', '.join(parts)}; {end}")


def opened(data: xr.Dataset) -> dict[str, tuple[int, int, int]]:
    """For each stabiliser: settings whose seeds all stayed finite, settings whose mean is within GOOD of the best
    setting of any, settings in all."""
    plane = data["plane"].dropna("seed", how="all")
    best = float(plane.mean("seed").max())
    counts = {}
    for name in data["stabiliser"].values:
        one = plane.sel(stabiliser=name)
        finite = one.notnull().all("seed")
        good = (one.mean("seed") >= best - GOOD) & finite
        counts[str(name)] = int(finite.sum()), int(good.sum()), int(finite.size)
    return counts


def _plane_sentences(data: xr.Dataset) -> list[Sentence]:
    counts = opened(data)
    by_name = "; ".join(f"{name}: {f} finite, {g} good" for name, (f, g, _) in counts.items())
    seeds = data["plane"].dropna("seed", how="all").sizes["seed"]
    total = counts["none"][2]
    bounds = "bounds ±0.5"
    return [
        Sentence(
            text=f"of {total} settings of η and γ, finite in all {seeds} seeds and within {100 * GOOD:g} points of the "
            f"best: {by_name}"
        ),
        Sentence(
            text="weight bounds keep every setting finite and open the largest part of the plane",
            holds=counts[bounds][0] == total and counts[bounds][1] == max(g for _, g, _ in counts.values()),
        ),
    ]


# ---------------------------------------------------------------- the figure

COLOURS = {
    FOUR: "#1f6fb4",
    TWIN: "#555555",
    "Kolen-Pollack": "#d9661f",
    "feedback alignment": "#2a7f4f",
    "direct feedback": "#7d5ba6",
}


def figure(data: xr.Dataset) -> Figure:
    from matplotlib.figure import Figure

    if "plane" not in data:
        drawing = Figure(figsize=(10, 4), layout="constrained")
        left, middle = drawing.subplots(1, 2)
    else:
        drawing = Figure(figsize=(14, 7.6), layout="constrained")
        panels = drawing.subplot_mosaic([[*"AAAABBBBCCCC"], [*"DDDEEEFFFGGG"]])
        left, middle = panels["A"], panels["B"]
        _draw_depths(panels["C"], data)
        for place, name in zip("DEFG", STABILISERS, strict=True):
            _draw_plane(panels[place], data, name)
    _draw_rules(left, data)
    _draw_curves(middle, data)
    return drawing


def _draw_rules(axes: Axes, data: xr.Dataset) -> None:
    from circuitdsl.studies.panels import plain

    mean, half = over_seeds(data["compared"])
    sets = [name for name in DATA if name in data["data"].values]
    mean, half = mean.sel(data=sets), half.sel(data=sets)
    for i, rule in enumerate(str(r) for r in data["rule"].values):
        places = [s + 0.15 * (i - 2) for s in range(len(sets))]
        axes.errorbar(
            places, mean.sel(rule=rule), half.sel(rule=rule), fmt="o", ms=5, capsize=3, color=COLOURS[rule], label=rule
        )
    axes.set_xticks(range(len(sets)), sets)
    axes.set(ylabel="accuracy, each rule at its best", xlim=(-0.5, len(sets) - 0.5))
    axes.set_title("beside what it is claimed to match", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    plain(axes)


def _draw_curves(axes: Axes, data: xr.Dataset) -> None:
    from circuitdsl.studies.panels import band, plain

    shown = (
        ("cos_B_F", "B and Fᵀ", "#d9661f"),
        ("cos_s_FFdelta_active", "credit and FᵀFδ, active", "#2a7f4f"),
        ("cos_s_delta", "credit and gradient δ", "#7d5ba6"),
    )
    for name, label, colour in shown:
        mean, half = over_seeds(data[name].mean("layer"))
        band(axes, data["checkpoint"].values, mean, half, label, colour)
    axes.axhline(0, color="#999999", lw=0.8)
    axes.set(xlabel="epochs on digits", ylabel="cosine", ylim=(-0.2, 1.05))
    axes.set_title("it assembles itself", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="center right")
    plain(axes)


def _draw_depths(axes: Axes, data: xr.Dataset) -> None:
    from circuitdsl.studies.panels import band, plain

    for slope, style in zip(data["slope"].values, ("-", ":"), strict=True):
        for learner in (FOUR, TWIN):
            mean, half = over_seeds(data["deep"].sel(slope=slope, learner=learner))
            band(axes, data["depth"].values, mean, half, f"{learner}, {slope}", COLOURS[learner], style)
    axes.set(xlabel="hidden layers", ylabel="accuracy on digits", ylim=(0, 1.03))
    axes.set_xticks(data["depth"].values)
    axes.set_title("depth", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    plain(axes)


def _draw_plane(axes: Axes, data: xr.Dataset, name: str) -> None:
    from circuitdsl.studies.panels import heat_map

    plane = data["plane"].sel(stabiliser=name).dropna("seed", how="all")
    values = plane.mean("seed", skipna=False).transpose("plane_gamma", "plane_eta")
    heat_map(axes, values, low=0.0, limit=1.0)
    axes.set(xlabel="learning rate η", ylabel="decay γ")
    axes.set_title(f"accuracy, stabiliser: {name}\n(–: a seed diverged)", fontsize=10)


STUDY = Study(
    name="self_assembly",
    claim="Four plastic synapses assemble themselves from random weights and learn like backpropagation.",
    source="Liao, Ziyin, Gan, Cheung, Harnett & Poggio 2024, arXiv:2412.20018",
    run=run,
    figure=figure,
    finding=finding,
    seeds=(5, 3),
)
