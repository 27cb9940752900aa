"""Four plastic synapses that assemble themselves, beside what they are claimed to be as good as.

Liao, Ziyin, Gan, Cheung, Harnett & Poggio 2024 (arXiv:2412.20018), on circuits/studies/layers_*.circ: the same
layers under every rule, each tuned on the same small grid with seeds of its own; by depth and slope of the neurons; and
which stabiliser opens how much of the plane of learning rate and decay. How the circuit assembles itself is measured by
self_assembly.py, as in the demonstration.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from circuitdsl.api import Request, Simulation
from circuitdsl.studies.intervals import mean_of, over_seeds
from circuitdsl.studies.protocol import Plan, Sentence, Study
from circuitdsl.studies.self_assembly import ALIGNMENTS, Gauge, checkpoints
from circuitdsl.studies.trials import (
    Found,
    Table,
    Text,
    Trial,
    circuits_of,
    ended,
    execute,
    gather,
    run_trials,
    shipped_text,
)

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from circuitdsl.api import Outcome

    Array = NDArray[np.floating[Any]]

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

#: The grid that every rule is tuned on, and the seeds that tune it, which judge nothing afterwards.
ETAS, GAMMAS, TUNERS = (0.02, 0.05, 0.1), (0.0001, 0.002, 0.01), (1001, 1002)

#: Data set: sizes, epochs, epochs and seeds of tuning. For fashion the settings of mnist5k are used.
DATA: Mapping[str, Mapping[str, Any]] = {
    "digits": {"inputs": 64, "n": 48, "epochs": 60, "tuning": 60, "tuners": 2},
    "mnist5k": {"inputs": 784, "n": 100, "epochs": 12, "tuning": 5, "tuners": 1},
    "fashion": {"inputs": 784, "n": 100, "epochs": 1, "tuning": 0, "tuners": 0},
}
#: How many points below its twin the four-synapse circuit may stay.
ALLOWED = {"digits": 0.015, "mnist5k": 0.02, "fashion": 0.02}

DEPTHS, SLOPES = (2, 3, 4, 5), {"ReLU": 0.0, "leaky 0.2": 0.2}

#: Stabiliser: the params that switch it on.
#: So far up that what reaches it overflows: no limit.
FREE = {"bound": 1e30, "ceiling": 1e30, "slow": 1.0}
STABILISERS = {
    "none": FREE,
    "bounds ±0.5": {**FREE, "bound": 0.5},
    "currents clipped at 1": {**FREE, "ceiling": 1.0},
    "laterals 10 × slower": {**FREE, "slow": 0.1},
}
PLANE_ETAS, PLANE_GAMMAS = (0.01, 0.02, 0.05, 0.1, 0.2), (0.0001, 0.001, 0.003, 0.01, 0.03)
#: Learns: as good as the twin within this.
GOOD = 0.02


def run(plan: Plan) -> xr.Dataset:
    import xarray as xr

    parts = [_compare(plan), _curves(plan)]
    if not plan.quick:
        parts += [_depths(plan), _plane(plan)]
    circuits: dict[str, str] = {}
    for part in parts:
        circuits |= json.loads(part.attrs["circuits"])
    together = xr.merge([part.drop_attrs(deep=False) for part in parts], join="outer", compat="no_conflicts")
    chosen = {k: v for part in parts for k, v in part.attrs.items() if k == "chosen"}
    return together.assign_attrs(circuits=json.dumps(circuits, ensure_ascii=False), **chosen)


def _request(rule: str, data: str, seed: int, epochs: int, **params: float) -> Request:
    sizes = {"inputs": DATA[data]["inputs"], "n": DATA[data]["n"]}
    learn = "backprop" if RULES[rule][1] else "circuit"
    return Request(data=data, seed=seed, epochs=epochs, params=sizes | params, learn=learn)  # type: ignore[arg-type]


def _text(rule: str) -> Text:
    return shipped_text(RULES[rule][0])


# ---------------------------------------------------------------- every rule at its best


def installed(data: str) -> bool:
    """Whether a data set is there."""
    from circuitdsl.api import loads
    from circuitdsl.runtime.errors import MissingData

    if data != "fashion":
        return True
    text = shipped_text(RULES[FOUR][0]).text
    try:
        loads(text).compile().prepare(_request(FOUR, data, 0, 0))
    except MissingData:
        return False
    return True


def _compare(plan: Plan) -> xr.Dataset:
    """`compared` (data, rule, seed): the metric of each rule at its best setting; `tuned` (data, rule, eta, gamma,
    tuner): what the choice was made by."""
    import xarray as xr

    sets = ["digits"] if plan.quick else [name for name in DATA if installed(name)]
    tuning = _tuning(plan, [name for name in sets if DATA[name]["tuners"]])
    rules = _rules(plan)
    chosen = {(data, rule): _best(tuning, data, rule) for data in sets for rule in rules}
    trials = [
        Trial(
            circuit=_text(rule),
            request=_request(rule, data, seed, _epochs(data, plan), **chosen[data, rule]),
            at={"data": data, "rule": rule, "seed": seed},
        )
        for data, rule, seed in product(sets, rules, plan.seeds)
    ]
    table = Table(coordinates={"data": sets, "rule": rules, "seed": plan.seeds})
    compared = gather(trials, run_trials(trials, plan), table)
    told = {f"{data}, {rule}": setting for (data, rule), setting in chosen.items()}
    both = xr.merge([compared[["metric"]].rename(metric="compared"), tuning], join="outer", compat="no_conflicts")
    return both.assign_attrs(circuits=compared.attrs["circuits"], chosen=json.dumps(told))


def _rules(plan: Plan) -> list[str]:
    return list(QUICK_RULES if plan.quick else RULES)


def _epochs(data: str, plan: Plan) -> int:
    return 25 if plan.quick else int(DATA[data]["epochs"])


def _tuning(plan: Plan, sets: Sequence[str]) -> xr.Dataset:
    etas, gammas = (ETAS[1:], GAMMAS[1:]) if plan.quick else (ETAS, GAMMAS)
    tuners = TUNERS[:1] if plan.quick else TUNERS
    trials = [
        Trial(
            circuit=_text(rule),
            request=_request(rule, data, tuner, 15 if plan.quick else DATA[data]["tuning"], eta=eta, gamma=gamma),
            at={"data": data, "rule": rule, "eta": eta, "gamma": gamma, "tuner": tuner},
        )
        for data, eta, gamma in product(sets, etas, gammas)
        for tuner in tuners[: DATA[data]["tuners"]]
        for rule in _rules(plan)
    ]
    coordinates = {"data": sets, "rule": _rules(plan), "eta": etas, "gamma": gammas, "tuner": tuners}
    found = gather(trials, run_trials(trials, plan), Table(coordinates=coordinates))
    return found[["metric"]].rename(metric="tuned")


def _best(tuning: xr.Dataset, data: str, rule: str) -> dict[str, float]:
    """The setting with the highest mean metric; one that diverged does not count."""
    known = data if data in tuning["data"].values else str(tuning["data"].values[-1])
    means = tuning["tuned"].sel(data=known, rule=rule).mean("tuner").transpose("eta", "gamma").fillna(-1.0)
    row, column = divmod(int(means.values.argmax()), means.sizes["gamma"])
    return {"eta": float(means["eta"][row]), "gamma": float(means["gamma"][column])}


# ---------------------------------------------------------------- assembly, depth, stabilisers


def assemble(simulation: Simulation, request: Request) -> Found:
    """A run with ALIGNMENTS at checkpoints (studies/self_assembly.py)."""
    gauge = Gauge(simulation.circuit)
    before = simulation.prepare(request)
    due = checkpoints(before.settings.epochs)
    curves: dict[str, list[list[float]]] = {name: [] for name in ALIGNMENTS}

    def measure(outcome: Outcome) -> None:
        if outcome.run.epochs_done in due:
            for name, values in gauge.read(outcome.run.state, outcome.loop.dataset, outcome.loop.numbers).items():
                curves[name].append(values)

    measure(before)
    outcome = execute(simulation, request, after_epoch=measure)
    return {**ended(outcome), **curves}


def _curves(plan: Plan) -> xr.Dataset:
    epochs = 20 if plan.quick else 60
    text = _text(FOUR)
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
            circuit=_text(learner),
            request=_request(learner, "digits", seed, 60, depth=depth, slope=SLOPES[slope]),
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
            circuit=_text(FOUR),
            request=_request(FOUR, "digits", seed, 40, eta=eta, gamma=gamma, **params),
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
        *(_beside(data, str(name)) for name in data["data"].values),
        *(_ranking(data, str(name)) for name in data["data"].values),
        *_assembled(data),
        *(_depth_sentences(data) if "deep" in data else ()),
        *(_plane_sentences(data) if "plane" in data else ()),
    ]


def _beside(data: xr.Dataset, name: str) -> Sentence:
    of_rule = data["compared"].sel(data=name)
    four, twin = of_rule.sel(rule=FOUR), of_rule.sel(rule=TWIN)
    below = mean_of(twin - four)
    claimed = 100 * ALLOWED[name]
    text = (
        f"{name}: four synapses {mean_of(four)}, their gradient twin {mean_of(twin)}: {below.points()} below "
        f"(claimed: within {claimed:g})"
    )
    return Sentence(text=text, holds=below.mean <= ALLOWED[name])


def _ranking(data: xr.Dataset, name: str) -> Sentence:
    rules = [str(rule) for rule in data["rule"].values]
    rivals = [rule for rule in rules if rule not in (FOUR, TWIN)]
    told = ", ".join(f"{rule} {mean_of(data['compared'].sel(data=name, rule=rule))}" for rule in rivals)
    chosen = json.loads(data.attrs["chosen"])
    best = "; ".join(f"{r} η {s['eta']:g} γ {s['gamma']:g}" for r in rules for s in [chosen[f"{name}, {r}"]])
    how = "at the settings of mnist5k, one epoch" if name == "fashion" else "tuned on the same grid with other seeds"
    return Sentence(text=f"{name}, the rivals {how}: {told}. Settings: {best}")


def _assembled(data: xr.Dataset) -> list[Sentence]:
    ends = data[list(ALIGNMENTS)].mean("layer").isel(checkpoint=[0, -1])

    def told(name: str) -> str:
        return " to ".join(mean_of(ends[name].isel(checkpoint=i)).written(2) for i in (0, 1))

    start, end = (mean_of(ends["cos_B_F"].isel(checkpoint=i)) for i in (0, 1))
    return [
        Sentence(
            text=f"from random weights the feedback assembles itself: cos(B, Fᵀ) from {told('cos_B_F')}",
            holds=end.low > max(0.5, start.high),
        ),
        Sentence(
            text=f"the credit comes to follow the gradient: cos(s, δ) from {told('cos_s_delta')}, "
            f"cos(s, FᵀF δ) of active neurons from {told('cos_s_FFdelta_active')}",
            holds=mean_of(ends["cos_s_delta"].isel(checkpoint=1)).low > 0.3,
        ),
    ]


def _depth_sentences(data: xr.Dataset) -> list[Sentence]:
    sentences = []
    for slope in data["slope"].values:
        of_slope = data["deep"].sel(slope=slope)
        gaps = {int(d): mean_of(of_slope.sel(depth=d, learner=FOUR)) for d in data["depth"].values}
        twins = {int(d): mean_of(of_slope.sel(depth=d, learner=TWIN)) for d in data["depth"].values}
        told = ", ".join(f"{d} layers {gaps[d]} (twin {twins[d].mean:.3f})" for d in gaps)
        lost = [d for d in gaps if not gaps[d].mean >= twins[d].mean - 0.05]
        end = f"; more than 5 points behind at depth {', '.join(map(str, lost))}" if lost else "; nowhere lost"
        sentences.append(Sentence(text=f"{slope} neurons, η 0.05, γ 0.01, bounds: {told}{end}"))
    return sentences


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
    told = "; ".join(f"{name}: {f} finite, {g} good" for name, (f, g, _) in counts.items())
    total = counts["none"][2]
    bounds = "bounds ±0.5"
    return [
        Sentence(
            text=f"of {total} settings of η and γ, finite in all seeds and within {100 * GOOD:g} points of the best: "
            + told
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
    sets = list(data["data"].values)
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
    axes.legend(frameon=False, fontsize=8, loc="lower right")
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
    axes.set_title(name, fontsize=10)


STUDY = Study(
    name="self_assembly",
    claim="Four plastic synapses assemble themselves from random weights and learn like backpropagation.",
    source="Liao, Ziyin, Gan, Cheung, Harnett & Poggio 2024, arXiv:2412.20018",
    run=run,
    figure=figure,
    finding=finding,
    seeds=(5, 3),
)
