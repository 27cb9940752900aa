"""What the study `evolution` found, in words and as a figure, from its data set alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from circuitdsl.studies.evolution_lives import ARMS, GROUPS, HIDDEN
from circuitdsl.studies.intervals import mean_of, over_seeds
from circuitdsl.studies.protocol import Sentence

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#1f6fb4", "#d9661f")
STYLES = {"selection": "-", "control": ":"}
GREY = "#8a8a8a"
#: The learning rate of the evolution, the circuit's own.
EVOLVED_AT = 0.05


def finding(data: xr.Dataset) -> list[Sentence]:
    found = [_of_signs(data)]
    for genome in data["genome"].values:
        found += _of_genome(data.sel(genome=genome), str(genome))
        if genome == GROUPS:
            found.append(_of_derive(data.sel(genome=genome)))
    return [*found, *_of_tasks(data)] if "accuracy" in data else found


def _of_signs(data: xr.Dataset) -> Sentence:
    proved = data["verdict"].values == 1
    metric, gradient = data["sign_metric"], data["sign_gradient"]
    inside, outside = mean_of(metric[:, proved].mean("signs")), mean_of(metric[:, ~proved].mean("signs"))
    best = max((mean_of(metric[:, i]) for i in range(len(proved)) if not proved[i]), key=lambda m: m.mean)
    agreeing, others = gradient[:, proved], gradient[:, ~proved]
    return Sentence(
        text=f"of the {len(proved)} combinations of signs derive proves gradient learning for {int(proved.sum())}; "
        f"measured, φ > 0 in all patches in {int(agreeing.sum())} of their {agreeing.size} lifetimes and in "
        f"{int(others.sum())} of the {others.size} of the others; accuracy {inside.written(2)} against "
        f"{outside.written(2)}, of the best other one {best.written(2)}",
        holds=inside.low > best.high,
    )


def _of_genome(data: xr.Dataset, genome: str) -> list[Sentence]:
    generations = data.sizes["generation"]
    hidden = data["cosine"].sel(layer=list(HIDDEN)).mean("layer")
    founder = mean_of(data["founder"].sel(arm="selection")).written(2)
    consistent, told = (_both(data[name].isel(looked=-1)) for name in ("consistent", "told"))
    return [
        Sentence(
            text=f"{genome}: accuracy of the mean genome in new lifetimes, after {generations} generations "
            f"{_both(data['reached'])}; of the founder {founder} (0 where it diverges)",
            holds=_beats(data["reached"]),
        ),
        Sentence(
            text=f"{genome}: cosine of the hidden drives with the descent direction, {_course(hidden)}",
            holds=_beats(hidden.isel(looked=-1)),
        ),
        Sentence(
            text=f"{genome}: individuals with φ > 0 in all patches, {_course(data['gradient'])}; with φ of one sign, "
            f"either, {consistent}; neurons whose own credit agrees with the gradient {told}",
            holds=_beats(data["gradient"].isel(looked=-1)),
        ),
        _quickness(data, genome),
    ]


def _beats(array: xr.DataArray) -> bool:
    """Whether the difference to the control, seed by seed, has an interval above 0."""
    return mean_of(array.sel(arm="selection") - array.sel(arm="control")).low > 0


def _both(array: xr.DataArray) -> str:
    chosen, control = (mean_of(array.sel(arm=arm)) for arm in ARMS)
    return f"{chosen.written(2)}, without selection {control.written(2)}"


def _course(array: xr.DataArray) -> str:
    """From the first to the last generation looked at."""
    first = mean_of(array.sel(arm="selection").isel(looked=0))
    return f"from {first.written(2)} to {_both(array.isel(looked=-1))}"


def _quickness(data: xr.Dataset, genome: str) -> Sentence:
    chosen, control = ([_arrival(line) for line in data["gradient"].sel(arm=arm)] for arm in ARMS)
    told = ", ".join("never" if at is None else str(at) for at in chosen)
    there = sum(at is not None for at in control)
    return Sentence(
        text=f"{genome}: generations until half of the individuals have φ > 0 in all patches, and stay so: {told} "
        f"(by seed); without selection that comes in {there} of {len(control)} lineages",
        holds=all(at is not None for at in chosen) and there < len(control),
    )


def _arrival(line: xr.DataArray) -> int | None:
    """The first generation looked at from which on it is a half or more."""
    looked, values = line["looked"].values, line.values
    low = [i for i, value in enumerate(values) if not value >= 0.5]
    first = low[-1] + 1 if low else 0
    return int(looked[first]) if first < len(looked) else None


def _of_derive(data: xr.Dataset) -> Sentence:
    counts = [int(data["proved"].sel(arm=arm).sum()) for arm in ARMS]
    seeds = data.sizes["seed"]
    signs = {tuple(row > 0) for row in data["gain"].sel(arm="selection").values}
    return Sentence(
        text=f"given the evolved gains derive proves gradient learning in {counts[0]} of {seeds} lineages, which found "
        f"{len(signs)} different combinations of signs; without selection in {counts[1]} of {seeds}; its verdicts for "
        f"the founder: {data.attrs['founder']}",
        holds=counts[0] == seeds and counts[1] < seeds,
    )


def at_best_rate(data: xr.Dataset, who: str) -> xr.DataArray:
    """Accuracy over (task, seed), at the learning rate that is best for the task on average over seeds, as judged by
    held-out training examples."""
    best = data["tuned"].sel(who=who).mean("seed").argmax("rate")
    return data["accuracy"].sel(who=who).isel(rate=best)


def _of_tasks(data: xr.Dataset) -> list[Sentence]:
    """As the gains evolved, and with the learning rate that suits the task."""
    twin = at_best_rate(data, "gradient")
    unchanged = [data["accuracy"].sel(who=arm, rate=EVOLVED_AT) for arm in ARMS]
    chosen = [at_best_rate(data, arm) for arm in ARMS]
    behind = [f"{task} {mean_of((twin - chosen[0]).sel(task=task)).points()}" for task in map(str, data["task"].values)]
    return [
        Sentence(
            text=f"evolved on digits, put to work elsewhere at the same learning rate, {EVOLVED_AT:g}; accuracy "
            f"(without selection): {_by_task(*unchanged)}",
            holds=_everywhere(*unchanged),
        ),
        Sentence(
            text=f"each at the best of {data.sizes['rate']} learning rates, chosen by held-out training examples: "
            f"{_by_task(*chosen)}; behind the gradient twin, at its own best: {', '.join(behind)}",
            holds=_everywhere(*chosen),
        ),
    ]


def _by_task(chosen: xr.DataArray, control: xr.DataArray) -> str:
    def told(task: str) -> str:
        found, other = (mean_of(a.sel(task=task)).written(2) for a in (chosen, control))
        return f"{task} {found} ({other})"

    return ", ".join(told(str(task)) for task in chosen["task"].values)


def _everywhere(chosen: xr.DataArray, control: xr.DataArray) -> bool:
    """Whether it is better than the control on every task, beyond the interval over seeds."""
    return all(mean_of(chosen.sel(task=t).values - control.sel(task=t).values).low > 0 for t in chosen["task"].values)


# ---------------------------------------------------------------- the figure


def figure(data: xr.Dataset) -> Figure:
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(14, 8), layout="constrained")
    (accuracy, cosine, gradient), (gains, signs, tasks) = drawing.subplots(2, 3)
    _accuracy(accuracy, data)
    _cosine(cosine, data)
    _gradient(gradient, data)
    _gains(gains, data)
    _signs(signs, data)
    if "accuracy" in data:
        _tasks(tasks, data)
    else:
        tasks.set_axis_off()
    return drawing


def _courses(axes: Axes, data: xr.Dataset, array: xr.DataArray, over: str) -> None:
    """A curve over generations for each genome, with selection and without."""
    from circuitdsl.studies.panels import plain

    for genome, colour in zip(data["genome"].values, COLOURS, strict=False):
        for arm, style in STYLES.items():
            mean, half = over_seeds(array.sel(genome=genome, arm=arm))
            label = f"{genome}" if arm == "selection" else f"{genome}, no selection"
            axes.plot(mean[over], mean, color=colour, ls=style, label=label)
            axes.fill_between(mean[over], mean - half, mean + half, color=colour, alpha=0.13, lw=0)
    axes.set(xlabel="generation")
    plain(axes)


def _accuracy(axes: Axes, data: xr.Dataset) -> None:
    _courses(axes, data, data["fitness"], "generation")
    if "accuracy" in data:
        own = mean_of(at_best_rate(data, "gradient").sel(task="digits")).mean
        axes.axhline(own, color=GREY, lw=1, ls="--", label="gradient twin")
    axes.set(ylabel="accuracy, mean of all candidates", ylim=(0, 1))
    axes.set_title("fitness: digits after one lifetime", fontsize=10)
    axes.legend(frameon=False, fontsize=8)


def _cosine(axes: Axes, data: xr.Dataset) -> None:
    _courses(axes, data, data["cosine"].sel(layer=list(HIDDEN)).mean("layer"), "looked")
    axes.axhline(0, color="#999999", lw=0.8)
    axes.set(ylabel="cos(drive, −gradient) of W1, W2", ylim=(-0.5, 1))
    axes.set_title("the drives come to follow a gradient nobody computed", fontsize=10)


def _gradient(axes: Axes, data: xr.Dataset) -> None:
    _courses(axes, data, data["gradient"], "looked")
    part = float(data["verdict"].mean())
    axes.axhline(part, color=GREY, lw=1, ls="--")
    axes.annotate("combinations of signs with a proof", (1, part), xycoords=("axes fraction", "data"), xytext=(0, 3),
                  textcoords="offset points", ha="right", fontsize=8, color="#555555")  # fmt: skip
    axes.set(ylabel="individuals with φ > 0 in all patches", ylim=(0, 1.03))
    axes.set_title("dynamical consistency, with the right sign", fontsize=10)


def _gains(axes: Axes, data: xr.Dataset) -> None:
    """g and b of every hidden neuron: it is told its gradient's sign where they agree."""
    from circuitdsl.studies.panels import plain

    last = data.isel(genome=-1)
    for arm, colour, label in (("control", GREY, "no selection"), ("selection", COLOURS[0], "selection")):
        one = last.sel(arm=arm)
        x, y = one["feedback"].values.ravel(), one["learning"].values.ravel()
        axes.scatter(x, y, s=14, color=colour, alpha=0.7, lw=0, label=label, zorder=3)
    reach = 1.08 * float(abs(last["learning"]).max()), 1.08 * float(abs(last["feedback"]).max())
    for sign in (1, -1):
        axes.fill_between([0, sign * reach[1]], 0, sign * reach[0], color=COLOURS[0], alpha=0.08, lw=0)
    axes.set(xlabel="b: gain of what brings its credit", ylabel="g: gain of what it learns from it")
    axes.set(xlim=(-reach[1], reach[1]), ylim=(-reach[0], reach[0]))
    axes.set_title(f"hidden neurons at the end, genome of {last['genome'].item()}:\ng b > 0 (shaded) means descent",
                   fontsize=10)  # fmt: skip
    axes.legend(frameon=False, fontsize=8)
    plain(axes)


def _signs(axes: Axes, data: xr.Dataset) -> None:
    from circuitdsl.studies.panels import plain

    mean, half = over_seeds(data["sign_metric"])
    order = mean.argsort().values[::-1]
    proved = data["verdict"].values[order] == 1
    places = range(len(order))
    colours = [COLOURS[0] if p else "#c4c4c4" for p in proved]
    axes.bar(places, mean.values[order], yerr=half.values[order], color=colours, error_kw={"lw": 0.8, "ecolor": "#444"})
    written = ["\n".join(str(signs)) for signs in data["signs"].values[order]]  # from above, in the order of the rules
    axes.set_xticks(places, written, fontsize=7, family="monospace", linespacing=0.9)
    for place, is_proved in zip(places, proved, strict=True):
        axes.get_xticklabels()[place].set_color(COLOURS[0] if is_proved else "#555555")
    rules = ", ".join(str(r) for r in data["rule"].values)
    axes.set(ylabel="accuracy, gains of size 1", xlabel=f"signs, from above: {rules}", ylim=(0, 1))
    axes.set_title("all combinations of signs;\nblue: derive proves gradient learning", fontsize=10)
    plain(axes)


def _tasks(axes: Axes, data: xr.Dataset) -> None:
    import numpy as np

    from circuitdsl.studies.panels import plain

    bars: list[tuple[str, xr.DataArray, Any]] = [
        ("no selection", at_best_rate(data, "control"), "#c4c4c4"),
        ("evolved on digits", at_best_rate(data, "selection"), COLOURS[0]),
        ("gradient twin", at_best_rate(data, "gradient"), "#2a7f4f"),
    ]
    places = np.arange(data.sizes["task"])
    for i, (label, array, colour) in enumerate(bars):
        mean, half = over_seeds(array)
        at = places + 0.27 * (i - 1)
        axes.bar(at, mean, 0.25, yerr=half, color=colour, label=label, error_kw={"lw": 0.8, "ecolor": "#444"})
    axes.set_xticks(places, [str(t).replace("_", " ") for t in data["task"].values])
    axes.set(ylabel="accuracy on the test set", ylim=(0, 1.25))
    axes.set_yticks(np.arange(0, 1.01, 0.2))
    axes.set_title("the rules evolved on digits, there and on other data,\neach at its best learning rate", fontsize=10)
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper left")
    plain(axes)
