"""Hebbian and anti-Hebbian plasticity emerge from a rule that is neither.

Koplow, Poggio & Ziyin 2025 (arXiv:2505.18069), on circuits/studies/emergent_hebbian.circ: with dW = eta (D - gamma W)
per update, D = s r^T averaged over the batch, a stationary |W|^2 means

    E<W, D> = gamma E|W|^2 - (eta/2) E|D - gamma W|^2                    (theory: squaring the update)

so that decay makes the drive D agree with the weight, and so with potential times rate, while noise in the credit s
makes it disagree. D is measured here from credits and rates, update by update, not from the change of W.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from circuitdsl.api import Outcome, Request, Simulation
from circuitdsl.studies.intervals import mean_of, over_seeds
from circuitdsl.studies.protocol import Plan, Sentence, Study
from circuitdsl.studies.trials import Found, Table, Trial, ended, execute, gather, run_trials, shipped_text

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

CIRCUIT = "studies/emergent_hebbian.circ"

#: Synapse: presynaptic rate r, credit s, postsynaptic potential z.
LAYERS = {"W1": ("x", "d1", "h1.basal"), "W2": ("h1", "d2", "h2.basal"), "W3": ("h2", "err", "out.basal")}

GAMMAS = (1e-5, 1e-3, 3e-3, 1e-2, 3e-2)
NOISES = (0.0, 0.1, 0.3)
EPOCHS, ROUNDS = 80, 8
QUICK_GAMMAS, QUICK_NOISES, QUICK_EPOCHS, QUICK_ROUNDS = (1e-5, 3e-2), (0.0, 0.3), 16, 2

#: So many times 1/(eta gamma) updates after the start, the weights of the start have gone down to e^-4.
AT_REST = 4.0

ABOUT = {
    "hebbian": "cosine of the mean drive E[s r^T] and E[z r^T]",
    "hebbian_batch": "mean over updates of the cosine of the drive of one batch and its z r^T",
    "agreement": "E<W, D>, measured from credits and rates",
    "predicted": "gamma E|W|^2 - (eta/2) E|D - gamma W|^2",
    "drift": "change of |W|^2 per update, over 2 eta; 0 at rest",
    "pull": "gamma E|W|^2",
    "spread": "(eta/2) E|D - gamma W|^2",
    "rested": "updates before the measurement, in units of 1/(eta gamma)",
    "metric": "accuracy on the test set",
}


def run(plan: Plan) -> xr.Dataset:
    gammas, noises = (QUICK_GAMMAS, QUICK_NOISES) if plan.quick else (GAMMAS, NOISES)
    circuit = shipped_text(CIRCUIT)
    epochs = QUICK_EPOCHS if plan.quick else EPOCHS
    trials = [
        Trial(
            circuit=circuit,
            request=Request(seed=seed, epochs=epochs, params={"gamma": gamma, "noise": noise}),
            at={"gamma": gamma, "noise": noise, "seed": seed},
            work=follow_quickly if plan.quick else follow,
        )
        for gamma in gammas
        for noise in noises
        for seed in plan.seeds
    ]
    found = run_trials(trials, plan)
    layered = dict.fromkeys((n for n in ABOUT if n not in ("metric", "rested")), ("layer",))
    table = Table(
        coordinates={"gamma": gammas, "noise": noises, "seed": plan.seeds},
        inner={"layer": list(LAYERS)},
        shapes=layered,
        about=ABOUT,
    )
    return gather(trials, found, table)


def follow(simulation: Simulation, request: Request) -> Found:
    """Trains to rest, then follows a few epochs update by update."""
    return _follow(execute(simulation, request), ROUNDS)


def follow_quickly(simulation: Simulation, request: Request) -> Found:
    return _follow(execute(simulation, request), QUICK_ROUNDS)


# ---------------------------------------------------------------- update by update


def _follow(outcome: Outcome, rounds: int) -> Found:
    """ABOUT, for each layer, over `rounds` more epochs of the same learning."""
    loop, run = outcome.loop, outcome.run
    eta, gamma = loop.numbers["eta"], loop.numbers["gamma"]
    found = ended(outcome) | {"rested": run.updates_done * eta * gamma}
    if run.diverged is not None:
        return found
    before = {name: _squared(run.state.weights[name]) for name in LAYERS}
    sums = {name: _Sums() for name in LAYERS}
    for epoch in range(run.epochs_done, run.epochs_done + rounds):
        order = loop.order(epoch)
        for start in range(0, len(order), loop.batch):
            _update(outcome, order[start : start + loop.batch], epoch, sums)
    for name, total in sums.items():
        change = (_squared(run.state.weights[name]) - before[name]) / (2 * eta * total.updates)
        for variable, value in total.means(eta, gamma).items() | {("drift", change)}:
            found.setdefault(variable, []).append(value)
    return found


def _update(outcome: Outcome, batch: Any, epoch: int, sums: Mapping[str, _Sums]) -> None:
    """Looks at one batch with the weights as they stand, with the noise that learning will see, then learns from it."""
    import numpy as np

    loop, state = outcome.loop, outcome.run.state
    arrays, numbers = loop.dataset.arrays, loop.numbers
    watch = sorted({name for names in LAYERS.values() for name in names})
    seen = loop.engine.evaluate(state, arrays, batch, numbers, seed=loop.seed, epoch=epoch, watch=watch).watched
    for name, (pre, credit, potential) in LAYERS.items():
        rates: Array = seen[pre].astype(np.float64)
        sums[name].add(
            state.weights[name].astype(np.float64),
            seen[credit].astype(np.float64).T @ rates / len(batch),
            seen[potential].astype(np.float64).T @ rates / len(batch),
            loop.numbers["gamma"],
        )
    loop.engine.train(state, arrays, batch, numbers, seed=loop.seed, epoch=epoch, batch=loop.batch)


class _Sums:
    """Sums over updates, of one layer."""

    def __init__(self) -> None:
        self.updates = 0
        self.agreement = self.weight = self.rest = self.cosine = 0.0
        self.drive: Any = 0.0
        self.hebb: Any = 0.0

    def add(self, weights: Array, drive: Array, hebb: Array, gamma: float) -> None:
        """The weights W, the drive s r^T and the Hebbian product z r^T of a batch, all [post, pre]."""
        self.updates += 1
        self.agreement += float((weights * drive).sum())
        self.weight += _squared(weights)
        self.rest += _squared(drive - gamma * weights)
        self.cosine += _cosine(drive, hebb)
        self.drive = self.drive + drive
        self.hebb = self.hebb + hebb

    def means(self, eta: float, gamma: float) -> dict[str, float]:
        n = self.updates
        pull, spread = gamma * self.weight / n, eta / 2 * self.rest / n
        return {
            "hebbian": _cosine(self.drive, self.hebb),
            "hebbian_batch": self.cosine / n,
            "agreement": self.agreement / n,
            "predicted": pull - spread,
            "pull": pull,
            "spread": spread,
        }


def _squared(array: Array) -> float:
    import numpy as np

    return float(np.vdot(array.astype(np.float64), array.astype(np.float64)))


def _cosine(a: Array, b: Array) -> float:
    norms = (_squared(a) * _squared(b)) ** 0.5
    return float((a * b).sum()) / norms if norms > 0 else float("nan")


# ---------------------------------------------------------------- what it shows


def finding(data: xr.Dataset) -> list[Sentence]:
    return [*_identity(data), _monotone(data), *_noise(data)]


def errors_of_identity(data: xr.Dataset) -> tuple[Array, Array]:
    """|measured - predicted| over the larger of the identity's two terms, mean over seeds: of the settings at rest, and
    of all, these with the drift put in. Both over (gamma, noise, layer)."""
    import numpy as np

    mean = data.mean("seed")
    scale = mean["pull"].where(mean["pull"] > mean["spread"], mean["spread"])
    plain = abs(mean["agreement"] - mean["predicted"]) / scale
    whole = abs(mean["agreement"] - mean["predicted"] - mean["drift"]) / scale
    rest = (mean["rested"] >= AT_REST).broadcast_like(plain).transpose(*plain.dims)
    return np.asarray(plain.values[rest.values]), np.asarray(whole.values).ravel()


def _identity(data: xr.Dataset) -> list[Sentence]:
    import numpy as np

    rest, whole = errors_of_identity(data)
    worst, every = float(np.nanmax(rest)), float(np.nanmax(whole))
    return [
        Sentence(
            text="E<W, D> = γ E|W|² − (η/2) E|D − γW|² at rest: measured and predicted differ by "
            f"{np.nanmedian(rest):.1%} (median) and at most {worst:.1%} of the larger term, over {rest.size} settings "
            "and layers (claimed: 5 %)",
            holds=worst <= 0.05,
        ),
        Sentence(
            text=f"with the drift of |W|² put in it holds at rest or not: at most {every:.1%} off over {whole.size} "
            "settings and layers",
            holds=every <= 0.05,
        ),
    ]


def _monotone(data: xr.Dataset) -> Sentence:
    curve = data["hebbian"].sel(noise=0).mean("layer")
    means = [mean_of(curve.sel(gamma=g)) for g in data["gamma"].values]
    rising = all(a.mean < b.mean for a, b in pairwise(means))
    told = ", ".join(f"{m.written(2)} at γ = {g:g}" for g, m in zip(data["gamma"].values, means, strict=True))
    return Sentence(
        text=f"without noise the drive looks the more Hebbian the faster the decay: cosine {told}", holds=rising
    )


def _noise(data: xr.Dataset) -> list[Sentence]:
    """Weaker with noise, and reversed where the identity's second term wins."""
    quiet, loud = data["noise"].values[[0, -1]]
    gamma = float(data["gamma"].values[data.sizes["gamma"] // 2])
    cosines = data["hebbian"].sel(gamma=gamma).mean("layer")
    with_noise, without = mean_of(cosines.sel(noise=loud)), mean_of(cosines.sel(noise=quiet))
    same, total = _signs(data)
    return [
        Sentence(
            text=f"noise {loud:g} in the credit weakens it (γ = {gamma:g}): cosine {without.written(2)} becomes "
            f"{with_noise.written(2)}",
            holds=with_noise.high < without.low,
        ),
        _reversed(data),
        Sentence(
            text=f"Hebbian or anti-Hebbian: the larger of the two terms tells the sign of E<W, D> in {same} of {total} "
            "settings and layers at rest",
            holds=same == total,
        ),
    ]


def _reversed(data: xr.Dataset) -> Sentence:
    """In which settings the drive turns against the weights, layers taken together."""
    total = data["agreement"].sum("layer", skipna=False)
    negative = [
        f"γ = {g:g}, noise {n:g} ({m.written(2)}{'' if _rested(data, g) else ', still drifting'})"
        for g in data["gamma"].values
        for n in data["noise"].values
        if (m := mean_of(total.sel(gamma=g, noise=n))).high < 0
    ]
    loud = data["noise"].values[-1]
    counts = ", ".join(
        f"{int((total.sel(gamma=g, noise=loud) < 0).sum())} of {data.sizes['seed']} at γ = {g:g}"
        for g in data["gamma"].values
    )
    text = f"anti-Hebbian, E<W, D> < 0 over all layers: {counts} (seeds, noise {loud:g}); with an interval that " + (
        "excludes 0 at " + "; ".join(negative)
        if negative
        else "excludes 0 nowhere on this grid: the runs that get there still drift"
    )
    return Sentence(text=text, holds=bool(negative) or None)


def _rested(data: xr.Dataset, gamma: float) -> bool:
    return bool(data["rested"].sel(gamma=gamma).mean() >= AT_REST)


def _signs(data: xr.Dataset) -> tuple[int, int]:
    import numpy as np

    mean = data.mean("seed")
    rest = (mean["rested"] >= AT_REST).broadcast_like(mean["agreement"]).transpose(*mean["agreement"].dims)
    same = np.sign(mean["agreement"]) == np.sign(mean["predicted"])
    return int((same & rest).sum()), int(rest.sum())


# ---------------------------------------------------------------- the figure


def figure(data: xr.Dataset) -> Figure:
    """The phase diagram; alignment over gamma for each layer; measured against predicted."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(13.5, 4.3), layout="constrained")
    left, middle, right = drawing.subplots(1, 3)
    _phases(left, data)
    _curves(middle, data)
    _scatter(right, data)
    return drawing


def _phases(axes: Axes, data: xr.Dataset) -> None:
    from circuitdsl.studies.panels import heat_map

    terms = data["pull"] + data["spread"] + abs(data["drift"])
    phases = (data["agreement"] / terms).mean(["seed", "layer"]).transpose("noise", "gamma")
    image = heat_map(axes, phases, limit=1.0)
    figure = axes.figure
    figure.colorbar(image, ax=axes, shrink=0.85)
    axes.set(xlabel="decay γ", ylabel="noise in the credit")
    axes.set_title("E⟨W, D⟩ over the sum of its terms:\nHebbian (red), anti-Hebbian (blue)", fontsize=10)


def _curves(axes: Axes, data: xr.Dataset) -> None:
    from circuitdsl.studies.panels import band, plain

    colours = {"W1": "#1f6fb4", "W2": "#d9661f", "W3": "#2a7f4f"}
    for noise, style in zip(data["noise"].values[[0, -1]], ("-", ":"), strict=True):
        mean, half = over_seeds(data["hebbian"].sel(noise=noise))
        for layer in LAYERS:
            label = f"{layer}, noise {noise:g}"
            band(axes, data["gamma"].values, mean.sel(layer=layer), half.sel(layer=layer), label, colours[layer], style)
    axes.axhline(0, color="#999999", lw=0.8)
    axes.set(xlabel="decay γ", ylabel="cosine of drive s rᵀ with z rᵀ", xscale="log")
    axes.set_title("it looks Hebbian, until there is noise", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    plain(axes)


def _scatter(axes: Axes, data: xr.Dataset) -> None:
    from circuitdsl.studies.panels import plain

    mean = data.mean("seed")
    rest = (mean["rested"] >= AT_REST).broadcast_like(mean["agreement"]).transpose(*mean["agreement"].dims).values
    x, y = mean["predicted"].values, mean["agreement"].values
    for chosen, label, fill in ((rest, "at rest", "#1f6fb4"), (~rest, "still drifting", "none")):
        axes.scatter(x[chosen], y[chosen], s=22, facecolor=fill, edgecolor="#1f6fb4", label=label, zorder=3)
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    axes.plot([low, high], [low, high], color="#999999", lw=0.8)
    axes.set(xlabel="γ E|W|² − (η/2) E|D − γW|²", ylabel="E⟨W, D⟩, measured")
    for scale in (axes.set_xscale, axes.set_yscale):
        scale("symlog", linthresh=0.05)
    axes.set_title("each setting and layer against the identity", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    plain(axes)


STUDY = Study(
    name="emergent_hebbian",
    claim="Heterosynaptic gradient learning with decay looks Hebbian, with noise anti-Hebbian.",
    source="Koplow, Poggio & Ziyin 2025, arXiv:2505.18069",
    run=run,
    figure=figure,
    finding=finding,
    seeds=(5, 3),
)
