"""Hebbian and anti-Hebbian plasticity emerge from a rule that is neither.

Koplow, Poggio & Ziyin 2025 (arXiv:2505.18069), on circuits/studies/emergent_hebbian.circ: with dW = eta (D - gamma W)
per update, D = s r^T averaged over the batch, a stationary |W|^2 means

    E<W, D> = gamma E|W|^2 - (eta/2) E|D - gamma W|^2                    (theory: squaring the update)

so that decay makes the drive D agree with the weight, and so with potential times rate, while noise in the error, and
with it in every credit s, makes it disagree: it shakes the weights, and the gradient pulls them back. D is measured
here from credits and rates, update by update, not from the change of W. The circuit does regression, for which the same
authors explain the anti-Hebbian side.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise, product
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

from circuitdsl.api import Outcome, Request, Simulation
from circuitdsl.studies.intervals import Mean, mean_of, over_seeds
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

#: Learning rate, and updates in an epoch: 1438 digits in batches of 16.
ETA, PER_EPOCH = 0.1, 90
GAMMAS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
NOISES = (0.0, 0.3, 1.0, 2.0)
#: Epochs before the measurement, until rest if these are enough for it; then epochs that are followed.
EPOCHS, ROUNDS = range(80, 1001), 20
QUICK_GAMMAS, QUICK_NOISES, QUICK_EPOCHS, QUICK_ROUNDS = (1e-4, 1e-2, 3e-2), (0.0, 1.0), range(16, 17), 2

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
    trials = [
        Trial(
            circuit=circuit,
            request=Request(seed=seed, epochs=epochs_until_rest(gamma, plan), params=_params(gamma, noise)),
            at={"gamma": gamma, "noise": noise, "seed": seed},
            work=follow_quickly if plan.quick else follow,
        )
        for gamma, noise, seed in product(gammas, noises, plan.seeds)
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


def epochs_until_rest(gamma: float, plan: Plan) -> int:
    allowed = QUICK_EPOCHS if plan.quick else EPOCHS
    return min(max(ceil(AT_REST / (ETA * gamma * PER_EPOCH)), allowed[0]), allowed[-1])


def _params(gamma: float, noise: float) -> dict[str, float]:
    return {"eta": ETA, "gamma": gamma, "noise": noise}


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
    return [*_identity(data), _monotone(data), _weaker(data), *_phase_sentences(data), _signs(data)]


def share(data: xr.Dataset) -> xr.DataArray:
    """E<W, D> over the sum of the sizes of the terms that make it up, all layers together: from -1 (anti-Hebbian) to 1
    (Hebbian), for each run."""
    total = data[["agreement", "pull", "spread", "drift"]].sum("layer", skipna=False)
    return total["agreement"] / (total["pull"] + total["spread"] + abs(total["drift"]))


def errors_of_identity(data: xr.Dataset) -> tuple[Array, Array]:
    """|measured - predicted| over the larger of the identity's two terms, of a data set of means or of single runs: of
    the settings at rest, and of all, these with the drift put in."""
    import numpy as np

    scale = data["pull"].where(data["pull"] > data["spread"], data["spread"])
    plain = abs(data["agreement"] - data["predicted"]) / scale
    whole = abs(data["agreement"] - data["predicted"] - data["drift"]) / scale
    rest = (data["rested"] >= AT_REST).broadcast_like(plain).transpose(*plain.dims)
    return np.asarray(plain.values[rest.values]), np.asarray(whole.values).ravel()


def _identity(data: xr.Dataset) -> list[Sentence]:
    import numpy as np

    rest, whole = errors_of_identity(data.mean("seed"))
    worst, every = float(np.nanmax(rest)), float(np.nanmax(whole))
    single = float(np.nanmax(errors_of_identity(data)[0]))
    return [
        Sentence(
            text="E<W, D> = γ E|W|² − (η/2) E|D − γW|² at rest: measured and predicted differ by "
            f"{np.nanmedian(rest):.1%} (median) and at most {worst:.1%} of the larger term, over {rest.size} settings "
            f"and layers (claimed: 5 %); in a single run by at most {single:.1%}",
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


def _weaker(data: xr.Dataset) -> Sentence:
    quiet, loud = data["noise"].values[[0, -1]]
    gamma = float(data["gamma"].values[data.sizes["gamma"] // 2])
    cosines = data["hebbian"].sel(gamma=gamma).mean("layer")
    less = mean_of(cosines.sel(noise=quiet) - cosines.sel(noise=loud))
    with_noise, without = mean_of(cosines.sel(noise=loud)), mean_of(cosines.sel(noise=quiet))
    return Sentence(
        text=f"noise {loud:g} in the error weakens it (γ = {gamma:g}): cosine {without.written(2)} becomes "
        f"{with_noise.written(2)}, less by {less.written(2)}",
        holds=less.low > 0,
    )


class Phase(NamedTuple):
    """A setting: `share`, and whether the weights of the start are gone."""

    gamma: float
    noise: float
    share: Mean
    rested: bool

    def __str__(self) -> str:
        drifting = "" if self.rested else ", not at rest"
        return f"γ = {self.gamma:g}, noise {self.noise:g}: {self.share.written(2)}{drifting}"


def phases(data: xr.Dataset) -> list[Phase]:
    shares = share(data)
    return [
        Phase(
            gamma=float(gamma),
            noise=float(noise),
            share=mean_of(shares.sel(gamma=gamma, noise=noise)),
            rested=bool(data["rested"].sel(gamma=gamma, noise=noise).mean() >= AT_REST),
        )
        for gamma, noise in product(data["gamma"].values, data["noise"].values)
    ]


def _phase_sentences(data: xr.Dataset) -> list[Sentence]:
    """In which settings the drive turns against the weights, with an interval that says so."""
    found = phases(data)
    hebbian = [p for p in found if p.share.low > 0]
    against = [p for p in found if p.share.high < 0]
    rested = sum(p.rested for p in against)
    accuracy = [mean_of(data["metric"].sel(gamma=p.gamma, noise=p.noise)).mean for p in against]
    reached = f", where accuracy is {min(accuracy):.2f} to {max(accuracy):.2f}" if against else ""
    return [
        Sentence(
            text=f"Hebbian and anti-Hebbian phase: E<W, D> of all layers is above 0 in {len(hebbian)} of {len(found)} "
            f"settings of γ and noise and below 0 in {len(against)} (intervals over {data.sizes['seed']} seeds exclude "
            f"0), {rested} of these at rest{reached}",
            holds=bool(hebbian and against),
        ),
        Sentence(
            text="E<W, D> over the sum of the sizes of its terms, where it is anti-Hebbian: "
            + ("; ".join(map(str, against)) or "nowhere")
        ),
    ]


def _signs(data: xr.Dataset) -> Sentence:
    import numpy as np

    mean = data.mean("seed")
    rest = (mean["rested"] >= AT_REST).broadcast_like(mean["agreement"]).transpose(*mean["agreement"].dims)
    same = int(((np.sign(mean["agreement"]) == np.sign(mean["predicted"])) & rest).sum())
    total = int(rest.sum())
    return Sentence(
        text=f"Hebbian or anti-Hebbian: the larger of the two terms tells the sign of E<W, D> in {same} of {total} "
        "settings and layers at rest",
        holds=same == total,
    )


# ---------------------------------------------------------------- the figure


COLOURS = {"W1": "#1f6fb4", "W2": "#d9661f", "W3": "#2a7f4f"}


def figure(data: xr.Dataset) -> Figure:
    """The phase diagram; the layers over gamma, with noise and without; alignment; measured against predicted."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(11.5, 8.6), layout="constrained")
    (phase, layers), (cosine, identity) = drawing.subplots(2, 2)
    _draw_phases(phase, data)
    _draw_layers(layers, data)
    _draw_cosines(cosine, data)
    _draw_identity(identity, data)
    return drawing


def _draw_phases(axes: Axes, data: xr.Dataset) -> None:
    from circuitdsl.studies.panels import heat_map

    mean, half = (values.transpose("noise", "gamma") for values in over_seeds(share(data)))
    image = heat_map(axes, mean, limit=1.0, half=half)
    axes.figure.colorbar(image, ax=axes, shrink=0.85, label="E⟨W, D⟩ / sum of the sizes of its terms")
    axes.set(xlabel="decay γ", ylabel="noise in the error")
    axes.set_title("Hebbian (red) and anti-Hebbian (blue), all layers", fontsize=10)


def _layered(axes: Axes, data: xr.Dataset, values: xr.DataArray) -> None:
    """A curve over gamma for each layer, without noise and with most of it."""
    from circuitdsl.studies.panels import band, plain

    for noise, style in zip(data["noise"].values[[0, -1]], ("-", ":"), strict=True):
        mean, half = over_seeds(values.sel(noise=noise))
        for layer, colour in COLOURS.items():
            label = f"{layer}, noise {noise:g}"
            band(axes, data["gamma"].values, mean.sel(layer=layer), half.sel(layer=layer), label, colour, style)
    axes.axhline(0, color="#999999", lw=0.8)
    axes.set(xlabel="decay γ", xscale="log")
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="lower right")
    plain(axes)


def _draw_layers(axes: Axes, data: xr.Dataset) -> None:
    terms = data["pull"] + data["spread"] + abs(data["drift"])
    _layered(axes, data, data["agreement"] / terms)
    axes.set(ylabel="E⟨W, D⟩ / sum of the sizes of its terms", ylim=(-1.6, 1.05))
    axes.set_title("by layer: noise reverses what decay does not hold", fontsize=10)


def _draw_cosines(axes: Axes, data: xr.Dataset) -> None:
    _layered(axes, data, data["hebbian"])
    axes.set(ylabel="cosine of mean drive E[s rᵀ] with E[z rᵀ]", ylim=(-0.5, 1))
    axes.set_title("the mean drive looks Hebbian, less so with noise", fontsize=10)


def _draw_identity(axes: Axes, data: xr.Dataset) -> None:
    from circuitdsl.studies.panels import plain

    terms = data["pull"] + data["spread"] + abs(data["drift"])
    measured, half = over_seeds(data["agreement"] / terms)
    predicted = (data["predicted"] / terms).mean("seed")
    rest = (data["rested"].mean("seed") >= AT_REST).broadcast_like(measured).transpose(*measured.dims).values
    for chosen, label, fill in ((rest, "at rest", "#1f6fb4"), (~rest, "not at rest", "none")):
        axes.errorbar(
            predicted.values[chosen], measured.values[chosen], half.values[chosen],
            fmt="o", ms=5, mfc=fill, color="#1f6fb4", elinewidth=0.8, label=label,
        )  # fmt: skip
    axes.plot([-1, 1], [-1, 1], color="#999999", lw=0.8)
    axes.set(xlabel="γ E|W|² − (η/2) E|D − γW|², in the same unit", ylabel="E⟨W, D⟩ / sum of the sizes of its terms")
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
