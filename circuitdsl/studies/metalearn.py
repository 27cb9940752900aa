"""A local rule with evolved coefficients, and what it costs when all synapses share them.

Karageorgiou Kaneen, Jones, Chavlis, Kording & Poirazi (poster), on circuits/studies/metalearn.circ: `dw = g2 (1 - w)
post pre - g0 w + b`, the output clamped to the target in training, one pass over some 300 examples from random weights.
The coefficients evolve, either one of each for a layer (shared) or, besides, one's own for every synapse (unique);
selection sees accuracy on the test examples of tasks that are drawn anew in every generation. Judged is the mean of the
evolved distribution, in new lifetimes: on the one task that it evolved for (fresh samples), where coefficients may
simply store the answer, and on members of a family of tasks that evolution never saw. Beside it runs gradient descent,
the circuit's own twin, with the same examples in the same single pass; its step size is chosen on tasks that evolution
draws from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

from circuitdsl.api import Request, Simulation
from circuitdsl.explore.evolve import evolve
from circuitdsl.frozen import frozen
from circuitdsl.studies.intervals import mean_of, over_seeds
from circuitdsl.studies.metalearn_tasks import KINDS, SCOPES, Scope, Task, drawn, tasks
from circuitdsl.studies.protocol import Plan, Sentence, Study
from circuitdsl.studies.trials import Found, Stoppable, Table, Trial, Work, execute, gather, run_trials, shipped_text

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

CIRCUIT = "studies/metalearn.circ"

SHARED, UNIQUE, GRADIENT = "shared", "unique", "gradient descent"
ARMS = (SHARED, UNIQUE, GRADIENT)
COEFFICIENTS = ("g2", "g0", "b")
#: The coefficients of each layer: the param that its synapses share, and their own.
LAYERS: Mapping[str, tuple[str, tuple[str, ...]]] = {"hidden": ("h", ("1", "0")), "output": ("out", ("2",))}
#: The standard deviation of the first brood, for all genomes alike. Broader ones settle on corners before the drifts
#: have built the hidden layer that these need.
STEPS: Mapping[str, float] = {"g2": 0.0025, "g0": 0.0025, "b": 0.0075}
#: The same for what is a synapse's own, as a part of it: a species varies more than its synapses.
OWN = 0.3
#: Step sizes that gradient descent may choose from.
RATES = (0.02, 0.05, 0.1, 0.2, 0.5)
#: Accuracy within which the evolved rule is said to come near gradient descent.
NEAR = 0.03
#: The first seed. Which tasks a generation draws, what a genome is, its first brood and how long it evolves were chosen
#: with seeds 0 and 1: none of those that follow was looked at for that.
FRESH = 100
#: Where a lifetime held out gets its seed from: not where evolution's do.
LAST = 0x1A57


@frozen(kw_only=True)
class Extent:
    """How large. `lives`: lifetimes of a candidate in a generation, for each scope; `held`: those at the end."""

    kinds: tuple[str, ...]
    population: int
    generations: int
    lives: Mapping[Scope, int]
    held: int


FULL = Extent(kinds=tuple(KINDS), population=64, generations=600, lives={"one": 8, "many": 16}, held=30)
QUICK = Extent(kinds=("moons",), population=32, generations=30, lives={"one": 4, "many": 8}, held=10)

ABOUT = {
    "fitness": "accuracy on the tasks of the generation, mean of all candidates and lifetimes",
    "start": "accuracy before evolution, on what was held out",
    "held": "accuracy on what was held out",
    "seen": "accuracy on new draws of the tasks of evolution",
    "averaged": "accuracy on what was held out with every coefficient set to its mean over the layer",
    "mean": "mean of a coefficient over the synapses of a layer",
    "spread": "its standard deviation over these synapses",
    "final": "coefficients of all synapses after evolution",
    "rate": "step size of gradient descent",
}


# ---------------------------------------------------------------- running


def run(plan: Plan) -> xr.Dataset:
    extent = QUICK if plan.quick else FULL
    circuit = shipped_text(CIRCUIT)
    trials = [
        Trial(
            circuit=circuit,
            request=Request(seed=FRESH + seed, scale="none", params=dict(KINDS[kind].sizes)),
            at={"kind": kind, "scope": scope, "arm": arm, "seed": seed},
            work=work_of(arm, kind=kind, scope=scope, extent=extent),
        )
        for kind, seed, scope, arm in product(extent.kinds, plan.seeds, SCOPES, ARMS)
    ]
    table = Table(
        coordinates={"kind": extent.kinds, "scope": SCOPES, "arm": ARMS, "seed": plan.seeds},
        inner={"layer": list(LAYERS), "coefficient": COEFFICIENTS, "generation": range(extent.generations)},
        shapes={
            "fitness": ("generation",),
            "mean": ("layer", "coefficient", "generation"),
            "spread": ("layer", "coefficient", "generation"),
            "final": ("layer", "coefficient", "synapse"),
        },
        about=ABOUT,
    )
    data = gather(trials, run_trials(trials, plan), table)
    return data.assign_attrs(quick=int(plan.quick), population=extent.population, lives=extent.lives["many"])


def work_of(arm: str, **settings: Any) -> Work:
    """What a trial of this arm does."""
    return partial(descend, **settings) if arm == GRADIENT else partial(evolved, **settings, unique=arm == UNIQUE)


def genes(*, unique: bool) -> list[str]:
    """The genome: a coefficient of each kind for every layer and, if `unique`, what is a synapse's own."""
    layers = [f"{c}_{shared}:{STEPS[c]}" for shared, _ in LAYERS.values() for c in COEFFICIENTS]
    synapses = [f"{c}_{o}:{OWN * STEPS[c]}" for _, own in LAYERS.values() for o in own for c in COEFFICIENTS]
    return [*layers, *synapses] if unique else layers


def evolved(
    simulation: Simulation, request: Request, *, kind: str, scope: Scope, extent: Extent, unique: bool
) -> Found:
    """One evolution, and what its last mean reaches."""
    seed = int(request.seed or 0)
    held = tasks(kind, seed, extent.held, scope, held=True)
    history = evolve(
        simulation.circuit,
        genes(unique=unique),
        population=extent.population,
        generations=extent.generations,
        data=held[0],  # its form only: lives are given their own
        tasks=[drawn(kind, seed, scope)] * extent.lives[scope],
        held_out=held,
        resample=True,
        seed=seed,
        scale=request.scale,
        params=request.params,
        jobs=1,
        progress=Stoppable(),
    ).isel(seed=0)
    reached = {
        name: history[name].fillna(0.5).mean(axis) for name, axis in (("held_out", "held_task"), ("outcome", "task"))
    }
    found: dict[str, Any] = {
        "fitness": history["task_fitness"].fillna(0.5).mean(["candidate", "task"]).values,
        "start": float(reached["held_out"].sel(who="start")),
        "held": float(reached["held_out"].sel(who="mean")),
        "seen": float(reached["outcome"].sel(who="mean")),
    }
    if unique:
        followed = follow(history)
        means = {
            f"{coefficient}_{LAYERS[layer][0]}": float(followed["final"][i, j][: synapses(history, layer)].mean())
            for (i, layer), (j, coefficient) in product(enumerate(LAYERS), enumerate(COEFFICIENTS))
        }
        found |= followed | {"averaged": accuracy(simulation, request, held, means)}
    return found


def synapses(history: xr.Dataset, layer: str) -> int:
    """How many synapses a layer has."""
    return sum(history[f"g2_{suffix}.final"].size for suffix in LAYERS[layer][1])


def follow(history: xr.Dataset) -> dict[str, Array]:
    """`mean` and `spread` over generations, and `final`, padded with NaN: what the layer shares and what is one's own,
    of all synapses."""
    import numpy as np

    most = max(KINDS[k].sizes["hidden"] * (KINDS[k].sizes["inputs"] + 1) for k in KINDS)
    generations = history.sizes["generation"]
    mean = np.zeros((len(LAYERS), len(COEFFICIENTS), generations))
    spread, final = mean.copy(), np.full((len(LAYERS), len(COEFFICIENTS), int(most)), np.nan)
    for (i, (shared, own)), (j, coefficient) in product(enumerate(LAYERS.values()), enumerate(COEFFICIENTS)):
        names = [f"{coefficient}_{suffix}" for suffix in own]
        flat = np.concatenate([history[n].values.reshape(generations, -1) for n in names], axis=1)
        last = np.concatenate([history[f"{n}.final"].values.ravel() for n in names])
        base = history[f"{coefficient}_{shared}"].values
        mean[i, j], spread[i, j] = base + flat.mean(axis=1), flat.std(axis=1)
        final[i, j, : len(last)] = float(history[f"{coefficient}_{shared}.final"]) + last
    return {"mean": mean, "spread": spread, "final": final}


def descend(simulation: Simulation, request: Request, *, kind: str, scope: Scope, extent: Extent) -> Found:
    """The gradient twin: the step size that is best on the tasks of evolution, and what it reaches."""
    seed = int(request.seed or 0)
    own = tasks(kind, seed, extent.lives[scope], scope, held=False)
    held = tasks(kind, seed, extent.held, scope, held=True)
    twin = replace(request, learn="backprop")
    reached = {rate: accuracy(simulation, twin, own, step_size(rate)) for rate in RATES}
    best = max(reached, key=lambda rate: reached[rate])
    return {"held": accuracy(simulation, twin, held, step_size(best)), "seen": reached[best], "rate": best}


def step_size(rate: float) -> dict[str, float]:
    """Params with which the twin is plain gradient descent: its Hebbian term has the credit in place of `post`."""
    plain = {f"{coefficient}_{shared}": 0.0 for coefficient in ("g0", "b") for shared, _ in LAYERS.values()}
    return plain | {f"g2_{shared}": rate for shared, _ in LAYERS.values()}


def accuracy(simulation: Simulation, request: Request, lives: Sequence[Task], params: Mapping[str, float]) -> float:
    """The mean over lifetimes, each with its own initial weights; chance where one diverged."""
    import numpy as np

    found = []
    for life, task in enumerate(lives):
        seed = int(np.random.SeedSequence([int(request.seed or 0), LAST, life]).generate_state(1)[0])
        one = replace(request, data=task, seed=seed, params={**request.params, **params})
        outcome = execute(simulation, one)
        found.append(outcome.metric if outcome.run.diverged is None else 0.5)
    return float(np.mean(found))


# ---------------------------------------------------------------- what it shows


WHERE = {"one": "fresh samples of the task it evolved for", "many": "tasks never seen"}


def finding(data: xr.Dataset) -> list[Sentence]:
    judged = not data.attrs["quick"]
    sentences = [_evolves(data)]
    for kind, scope in product(data["kind"].values, ("many", "one")):
        sentences += _compared(data.sel(kind=kind, scope=scope), KINDS[kind].title, scope, judged)
    sentences.append(_near_their_mean(data.sel(scope="many", arm=UNIQUE), judged))
    return sentences


def _evolves(data: xr.Dataset) -> Sentence:
    """Whether evolution improves what it selects for, from the first brood on and in every seed."""
    parts, better = [], []
    for kind in data["kind"].values:
        for arm in (SHARED, UNIQUE):
            fitness = data["fitness"].sel(kind=kind, scope="many", arm=arm)
            better.append(bool((fitness.isel(generation=-1) > fitness.isel(generation=0)).all()))
            first, last = (mean_of(fitness.isel(generation=i)) for i in (0, -1))
            parts.append(f"{KINDS[kind].title}, {arm}: {first} to {last}")
    return Sentence(
        text=f"selection improves the candidates' mean accuracy over {data.sizes['generation']} generations of "
        f"{data.attrs['population']} candidates, {data.attrs['lives']} lifetimes each: {'; '.join(parts)}",
        holds=all(better),
    )


def _compared(data: xr.Dataset, title: str, scope: str, judged: bool) -> list[Sentence]:
    """Unique against shared coefficients and against gradient descent; the claims are about tasks never seen."""
    held = data["held"]
    gain = mean_of(held.sel(arm=UNIQUE) - held.sel(arm=SHARED))
    behind = mean_of(held.sel(arm=GRADIENT) - held.sel(arm=UNIQUE))
    claims = judged and scope == "many"
    figures = ", ".join(f"{arm} {mean_of(held.sel(arm=arm))}" for arm in ARMS)
    start, averaged = (mean_of(data[name].sel(arm=UNIQUE)) for name in ("start", "averaged"))
    seen = mean_of(data["seen"].sel(arm=UNIQUE))
    return [
        Sentence(
            text=f"{title}, {WHERE[scope]}: {figures}; before evolution {start}. Unique coefficients gain "
            f"{gain.points()} on shared ones",
            holds=gain.low > 0 if claims else None,
        ),
        Sentence(
            text=f"{title}, {WHERE[scope]}: unique coefficients end {behind.points()} below gradient descent"
            + (" (claimed: within 3)" if scope == "many" else "")
            + f"; on new draws of evolution's own tasks {seen}, with each set to its layer's mean {averaged}",
            holds=behind.mean <= NEAR if claims else None,
        ),
    ]


def _near_their_mean(data: xr.Dataset, judged: bool) -> Sentence:
    """How far the coefficients of single synapses are from the mean of their layer."""
    ratios, parts = [], []
    for layer, coefficient in product(LAYERS, COEFFICIENTS):
        last = data.sel(layer=layer, coefficient=coefficient).isel(generation=-1)
        spread, mean = mean_of(last["spread"]), mean_of(abs(last["mean"]))
        ratios.append(spread.mean / mean.mean)
        parts.append(f"{coefficient} of the {layer} layer {spread.mean:.3f} about {mean.mean:.3f}")
    return Sentence(
        text="unique coefficients deviate only slightly from their mean (standard deviation over a layer's synapses, "
        f"size of the mean; all families): {', '.join(parts)}",
        holds=max(ratios) < 1 if judged else None,
    )


# ---------------------------------------------------------------- the picture

COLOURS = {SHARED: "#d9661f", UNIQUE: "#1f6fb4", GRADIENT: "#444444"}
LOOK = {"moons": "-", "digits": "--", "corners": ":"}


def figure(data: xr.Dataset) -> Figure:
    """Accuracy by family; fitness over generations; the coefficients during evolution and after it."""
    from matplotlib.figure import Figure

    kinds = list(data["kind"].values)
    drawing = Figure(figsize=(13, 7.8), layout="constrained")
    top, bottom = drawing.subfigures(2, 1, squeeze=False, height_ratios=(1.1, 1)).ravel()
    for axes, kind in zip(top.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        _draw_accuracy(axes, data.sel(kind=kind), KINDS[kind].title)
    handles, labels = top.axes[0].get_legend_handles_labels()
    top.legend(handles, labels, fontsize=9, frameon=False, loc="outside upper center", ncols=5)
    fitness, spread, *histograms = bottom.subplots(1, 5, width_ratios=(1.6, 1.6, 1, 1, 1))
    _draw_fitness(fitness, data, kinds)
    _draw_spread(spread, data.sel(kind=kinds[0]))
    for axes, coefficient in zip(histograms, COEFFICIENTS, strict=True):
        _draw_final(axes, data, coefficient)
    histograms[0].legend(fontsize=7, frameon=False, loc="upper left")
    return drawing


def _draw_accuracy(axes: Axes, data: xr.Dataset, title: str) -> None:
    import numpy as np

    from circuitdsl.studies.panels import plain

    places = np.arange(len(SCOPES))
    for arm, shift in zip(ARMS, (-0.25, 0.0, 0.25), strict=True):
        mean, half = (v.sel(scope=list(SCOPES)).values for v in over_seeds(data["held"].sel(arm=arm)))
        error = np.nan_to_num(half)
        axes.bar(places + shift, mean, 0.23, yerr=error, color=COLOURS[arm], label=arm, error_kw={"lw": 1})
        for place, value in zip(places + shift, mean, strict=True):
            axes.text(place, 0.505, f"{value:.3f}", ha="center", va="bottom", fontsize=8, color="white")
    lines = {"averaged": ("unique, all set to their mean", "#f2c14e", "-", 0.0, 0.1),
             "start": ("before evolution", "black", ":", -0.125, 0.24)}  # fmt: skip
    for name, (label, colour, style, shift, width) in lines.items():
        values = data[name].sel(arm=UNIQUE).mean("seed").sel(scope=list(SCOPES)).values
        left, right = places + shift - width, places + shift + width
        axes.hlines(values, left, right, color=colour, ls=style, lw=1.8, label=label)
    axes.set_xticks(places, ["one task, the one evolved for,\nfresh samples", "a family,\ntasks never seen"])
    axes.set(ylim=(0.5, 1.03), ylabel="accuracy")
    axes.set_title(title, fontsize=11)
    plain(axes)
    axes.grid(axis="x", alpha=0)


def _draw_fitness(axes: Axes, data: xr.Dataset, kinds: Sequence[str]) -> None:
    from circuitdsl.studies.panels import plain

    for kind, arm in product(kinds, (SHARED, UNIQUE)):
        mean, half = over_seeds(data["fitness"].sel(kind=kind, scope="many", arm=arm))
        label = f"{KINDS[kind].title}, {arm}"
        axes.plot(data["generation"].values, mean.values, color=COLOURS[arm], ls=LOOK[kind], lw=1.3, label=label)
        low, high = (mean - half).fillna(mean).values, (mean + half).fillna(mean).values
        axes.fill_between(data["generation"].values, low, high, color=COLOURS[arm], alpha=0.12, lw=0)
    axes.set(xlabel="generation", ylabel="mean accuracy of the candidates", ylim=(0.45, 1))
    axes.set_title("fitness on the family", fontsize=10)
    plain(axes)
    axes.legend(fontsize=6.5, frameon=False, loc="lower right")


def _draw_spread(axes: Axes, data: xr.Dataset) -> None:
    """Mean and deviation of each coefficient in the hidden layer, generation by generation."""
    from circuitdsl.studies.panels import plain

    one = data.sel(scope="many", arm=UNIQUE, layer="hidden").mean("seed")
    for coefficient, colour in zip(COEFFICIENTS, ("#7d5ba6", "#2a7f4f", "#b3261e"), strict=True):
        mean, spread = (one[name].sel(coefficient=coefficient).values for name in ("mean", "spread"))
        axes.plot(data["generation"].values, mean, color=colour, label=coefficient)
        axes.fill_between(data["generation"].values, mean - spread, mean + spread, color=colour, alpha=0.18, lw=0)
    axes.set(xlabel="generation", ylabel="coefficient: mean ± deviation over synapses")
    axes.set_title(
        f"evolution of unique coefficients\n{KINDS[str(data['kind'].values)].title}, hidden layer", fontsize=10
    )
    plain(axes)
    axes.legend(fontsize=8, frameon=False, loc="upper left")


def _draw_final(axes: Axes, data: xr.Dataset, coefficient: str) -> None:
    """How far the coefficients of all synapses, all seeds and families are from the mean of their layer."""
    import numpy as np

    from circuitdsl.studies.panels import plain

    final = data["final"].sel(scope="many", arm=UNIQUE, coefficient=coefficient)
    away = (final - final.mean("synapse")).transpose("layer", ...)
    reach = float(np.nanquantile(np.abs(away.values), 0.99)) or 1.0
    bins = np.linspace(-reach, reach, 31).tolist()
    for layer, colour in zip(LAYERS, ("#7d5ba6", "#e0a030"), strict=True):
        flat = away.sel(layer=layer).values.ravel()
        weights = np.full(np.isfinite(flat).sum(), 1 / max(1, np.isfinite(flat).sum()))
        axes.hist(flat[np.isfinite(flat)], bins, weights=weights, color=colour, alpha=0.55, label=layer)
    means = ", ".join(f"{float(final.sel(layer=layer).mean()):.3f}" for layer in LAYERS)
    axes.set_title(f"{coefficient}: deviation from mean\n(means {means})", fontsize=9)
    axes.set_yticks([])
    axes.set_xlabel("own − layer's mean", fontsize=9)
    plain(axes)


STUDY = Study(
    name="metalearn",
    claim="A local rule with evolved coefficients of its own for every synapse comes near gradient descent.",
    source="Karageorgiou Kaneen, Jones, Chavlis, Kording & Poirazi, poster",
    run=run,
    figure=figure,
    finding=finding,
)
