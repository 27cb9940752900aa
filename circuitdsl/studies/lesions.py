"""A lesion on the way, and learning goes on: a part of the study of flexibility."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING

from circuitdsl.api import Outcome, Request, Simulation
from circuitdsl.frozen import frozen
from circuitdsl.graph.projections import Dense
from circuitdsl.studies.intervals import mean_of, over_seeds
from circuitdsl.studies.protocol import Plan, Sentence
from circuitdsl.studies.stages import go_on, metric_now, with_numbers
from circuitdsl.studies.trials import Found, Table, Trial, gather, run_trials
from circuitdsl.studies.wiring import HIDDEN, LESIONED, QUICK_HIDDEN, params_of, topology, whole_circuit

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes


@frozen(kw_only=True)
class Lesion:
    """What is lost, and when (in the time of normal learning; every run has twice that time). `silenced`: the
    population LESIONED; `cut`: a part of all synapses, ascending and descending ones apart."""

    name: str
    at: float = 1.0
    silenced: bool = False
    cut: float = 0.0


INTACT = Lesion(name="intact")
LESIONS = (
    INTACT,
    Lesion(name=f"{LESIONED} silenced in mid-learning", at=0.25, silenced=True),
    Lesion(name=f"{LESIONED} silenced after learning", silenced=True),
    Lesion(name="half of the synapses cut in mid-learning", at=0.25, cut=0.5),
    Lesion(name="half of the synapses cut after learning", cut=0.5),
)
QUICK_LESIONS = LESIONS[:2]
SHAPES = (0.0, 1.0)
#: Normal learning; every run has twice that.
EPOCHS, QUICK_EPOCHS = 60, 12
#: As good as before: within this.
GOOD = 0.02


def live_on(simulation: Simulation, request: Request, *, lesion: Lesion) -> Found:
    """Learns for a while, is lesioned, and learns on, for twice the time asked for: `accuracy` after each epoch, and
    `struck`, just after the lesion."""
    import numpy as np

    normal = simulation.prepare(request).settings.epochs
    outcome = simulation.prepare(Request(seed=request.seed, epochs=2 * normal, params=request.params))
    go_on(outcome, until=round(lesion.at * normal))
    struck = np.nan
    if outcome.run.diverged is None:
        outcome = _lesioned(outcome, lesion)
        struck = metric_now(outcome)
        go_on(outcome)
    accuracy = np.full(2 * normal + 1, np.nan)
    accuracy[: len(outcome.run.metric)] = outcome.run.metric
    return {"accuracy": accuracy, "struck": struck}


def _lesioned(outcome: Outcome, lesion: Lesion) -> Outcome:
    import numpy as np

    generator = np.random.default_rng([outcome.loop.seed, int(100 * lesion.cut)])
    state = outcome.run.state
    for name in state.weights if lesion.cut else ():
        stays = generator.random(state.weights[name].shape) >= lesion.cut
        mask = state.mask(name)
        state.projections[name] = Dense(stays if mask is None else mask & stays)
        state.weights[name] *= stays
    return with_numbers(outcome, lesion=1.0) if lesion.silenced else outcome


def run_lesions(plan: Plan) -> xr.Dataset:
    """`accuracy` (lesioned_shape, lesion, seed, epoch) and `struck` (lesioned_shape, lesion, seed)."""
    hidden = QUICK_HIDDEN if plan.quick else HIDDEN
    lesions, epochs = (QUICK_LESIONS, QUICK_EPOCHS) if plan.quick else (LESIONS, EPOCHS)
    trials = [
        Trial(
            circuit=whole_circuit(hidden),
            request=Request(seed=seed, epochs=epochs, params=params_of(topology(shape, 1.0, seed, hidden))),
            at={"lesioned_shape": shape, "lesion": lesion.name, "seed": seed},
            work=partial(live_on, lesion=lesion),
        )
        for shape, lesion, seed in product(SHAPES, lesions, plan.seeds)
    ]
    table = Table(
        coordinates={"lesioned_shape": SHAPES, "lesion": [one.name for one in lesions], "seed": plan.seeds},
        inner={"epoch": range(2 * epochs + 1)},
        shapes={"accuracy": ("epoch",)},
        about={"accuracy": "accuracy on the test set", "struck": "accuracy just after the lesion"},
    )
    return gather(trials, run_trials(trials, plan), table)


# ---------------------------------------------------------------- what it shows


def lesion_sentences(data: xr.Dataset) -> list[Sentence]:
    return [_sentence(data, lesion) for lesion in LESIONS[1:] if lesion.name in data["lesion"].values]


def _sentence(data: xr.Dataset, lesion: Lesion) -> Sentence:
    last = int(data["epoch"][-1])
    struck_at = round(lesion.at * last / 2)
    told, short = [], []
    for shape in data["lesioned_shape"].values:
        of_shape = data.sel(lesioned_shape=shape)
        one, intact = of_shape.sel(lesion=lesion.name), of_shape.sel(lesion=INTACT.name)
        before, after, end, other = (
            mean_of(values).written(2)
            for values in (
                one["accuracy"].sel(epoch=struck_at), one["struck"],
                one["accuracy"].sel(epoch=last), intact["accuracy"].sel(epoch=last),
            )
        )  # fmt: skip
        short.append(mean_of(intact["accuracy"].sel(epoch=last) - one["accuracy"].sel(epoch=last)))
        told.append(f"shape {shape:g}: {before}, {after}, at the end {end} (intact {other})")
    layered = " The layered circuit is cut in two by it." if lesion.silenced else ""
    return Sentence(
        text=f"{lesion.name}, accuracy before and after: {'; '.join(told)}. The amorphous circuit ends "
        f"{short[-1].points()} below the intact one (asked: {100 * GOOD:g}).{layered}",
        holds=short[-1].mean < GOOD,
    )


COLOURS = ("#555555", "#1f6fb4", "#7db2d9", "#d9661f", "#e8a87c")


def draw_lesions(axes: Axes, data: xr.Dataset, shape: float) -> None:
    from circuitdsl.studies.panels import band, plain

    for i, name in enumerate(str(n) for n in data["lesion"].values):
        mean, half = over_seeds(data["accuracy"].sel(lesioned_shape=shape, lesion=name))
        band(axes, data["epoch"].values, mean, half, name, COLOURS[i], marker="")
    axes.set(xlabel="epochs", ylim=(0, 1.03), ylabel="accuracy")
    axes.set_title(f"lesions, {'layers' if shape == 0 else 'amorphous'}, reciprocal", fontsize=10)
    plain(axes)
