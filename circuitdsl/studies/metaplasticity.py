"""The same probe, a different history, a different plasticity.

Ziyin, Chuang & Poggio 2025 (arXiv:2505.02248), on circuits/studies/metaplasticity.circ. A trained circuit is primed
with one stimulus at some level of its teacher while its learning weights are closed: only the feedback V changes, and
with it the consistency score phi. Then an identical probe, with identical learning weights, changes the response as
phi says. With everything open, conditioning slides the level at which a probe turns from depression to potentiation, as
in Bienenstock, Cooper & Munro 1982.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from circuitdsl.api import Outcome, Request, Simulation
from circuitdsl.studies.credits import Gradients, consistency
from circuitdsl.studies.intervals import mean_of, over_seeds
from circuitdsl.studies.protocol import Plan, Sentence, Study
from circuitdsl.studies.trials import Found, Table, Trial, execute, gather, run_trials, shipped_text

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import State

    Array = NDArray[np.floating[Any]]

CIRCUIT = "studies/metaplasticity.circ"

#: Teacher above the response at rest during priming, and in the probe; presentations of the primed stimulus.
LEVELS, PROBE, PRIMED = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0), 0.1, 10
#: Levels of conditioning with everything open (None: none), and the teacher of the probes after it, above the response
#: before it; presentations of the conditioned stimulus.
CONDITIONED: tuple[float | None, ...] = (None, 0.5, 1.0, 2.0)
PRESENTATIONS = 40
PROBES = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
INPUTS, JITTER = 16, 0.1

ABOUT = {
    "phi": "consistency score of the hidden population for the probe",
    "change": "change of the response to the probe by one update of W1, per unit of error",
    "control": "the same where V was closed during priming",
    "curve": "change of the response to a probe, everything open",
    "threshold": "the probe's teacher level at which depression turns into potentiation",
    "response": "the response after conditioning, above that before it",
}


def run(plan: Plan) -> xr.Dataset:
    circuit = shipped_text(CIRCUIT)
    trials = [
        Trial(circuit=circuit, request=Request(seed=seed), at={"seed": seed}, work=histories) for seed in plan.seeds
    ]
    names = ["none" if c is None else f"{c:g}" for c in CONDITIONED]
    table = Table(
        coordinates={"seed": plan.seeds},
        inner={"level": LEVELS, "conditioned": names, "probe": PROBES},
        shapes={
            **dict.fromkeys(("phi", "change", "control"), ("level",)),
            **dict.fromkeys(("threshold", "response"), ("conditioned",)),
            "curve": ("conditioned", "probe"),
        },
        about=ABOUT,
    )
    return gather(trials, run_trials(trials, plan), table)


def histories(simulation: Simulation, request: Request) -> Found:
    """ABOUT for one circuit, with every history from the same trained state."""
    trained = execute(simulation, request).run.state
    bench = _Bench(simulation, request, trained)
    at_rest = bench.response(trained)
    found: dict[str, list[Any]] = {name: [] for name in ABOUT}
    for level in LEVELS:
        primed = bench.taught(trained, at_rest + level, PRIMED, learn_in=0, learn_out=0)
        closed = bench.taught(trained, at_rest + level, PRIMED, learn_in=0, learn_out=0, learn_back=0)
        found["phi"].append(bench.phi(primed, at_rest + PROBE))
        found["change"].append(bench.change(primed, at_rest + PROBE) / PROBE)
        found["control"].append(bench.change(closed, at_rest + PROBE) / PROBE)
    for taught in CONDITIONED:
        state = trained if taught is None else bench.taught(trained, at_rest + taught, PRESENTATIONS)
        curve = [bench.change(state, at_rest + probe, learn_out=1) for probe in PROBES]
        found["curve"].append(curve)
        found["threshold"].append(crossing(PROBES, curve))
        found["response"].append(bench.response(state) - at_rest)
    return found


class _Bench:
    """One circuit with one stimulus."""

    def __init__(self, simulation: Simulation, request: Request, trained: State):
        import numpy as np

        assert request.seed is not None
        self.simulation, self.seed = simulation, request.seed
        self.generator = np.random.default_rng(request.seed)
        self.stimulus: Array = self.generator.standard_normal(INPUTS)
        self.gradients = Gradients(simulation.circuit)
        if self.response(trained) < 0:  # a stimulus that excites the output
            self.stimulus = -self.stimulus

    def taught(self, state: State, level: float, presentations: int, **params: float) -> State:
        """The state after so many noisy presentations of the stimulus with the teacher at this level."""
        import numpy as np

        noise = np.random.default_rng(self.seed).standard_normal((presentations, INPUTS))
        x = self.stimulus + JITTER * noise
        outcome = self._prepared(state, x, np.full((presentations, 1), level), params)
        self._train(outcome, presentations)
        return outcome.run.state

    def change(self, state: State, level: float, *, learn_out: float = 0) -> float:
        """What one presentation of the stimulus changes in the response to it."""
        params = {"learn_out": learn_out, "learn_back": 0.0}
        outcome = self._prepared(state, self.stimulus[None], [[level]], params)
        self._train(outcome, 1)
        return self.response(outcome.run.state) - self.response(state)

    def response(self, state: State) -> float:
        outcome = self._prepared(state, self.stimulus[None], [[0.0]], {})
        return float(self._watch(outcome, "out")[0, 0])

    def phi(self, state: State, level: float) -> float:
        """E[s . delta] / E|delta|^2 of the hidden population for the probe."""
        import numpy as np

        outcome = self._prepared(state, self.stimulus[None], [[level]], {})
        delta, seen = self.gradients.read(outcome, ["h.basal"], ["h.apical", "h.basal"], np.array([0]))
        return consistency(seen["h.apical"] * (seen["h.basal"] > 0), delta["h.basal"])

    def _prepared(self, state: State, x: Any, y: Any, params: dict[str, float]) -> Outcome:
        import numpy as np

        rows = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        doubled = tuple(np.repeat(part, 2, axis=0) for part in rows)  # whatever the split holds out is there again
        request = Request(seed=self.seed, data=doubled, scale="none", batch=1, params=params)
        outcome = self.simulation.prepare(request)
        outcome.run.state = state.copy()
        return outcome

    def _train(self, outcome: Outcome, presentations: int) -> None:
        import numpy as np

        loop = outcome.loop
        order = np.arange(presentations, dtype=np.int64) * 2
        loop.engine.train(outcome.run.state, loop.dataset.arrays, order, loop.numbers, seed=loop.seed, epoch=0, batch=1)

    def _watch(self, outcome: Outcome, name: str) -> Array:
        import numpy as np

        loop = outcome.loop
        first = np.array([0], dtype=np.int64)
        seen = loop.engine.evaluate(
            outcome.run.state, loop.dataset.arrays, first, loop.numbers, seed=loop.seed, epoch=0, watch=[name]
        )
        return seen.watched[name]


def crossing(levels: Any, changes: Any) -> float:
    """Where a curve goes from below 0 to above it, by linear interpolation; NaN if it does not."""
    pairs = list(zip(levels, changes, strict=True))
    for (a, below), (b, above) in pairwise(pairs):
        if below < 0 <= above:
            return float(a + (b - a) * -below / (above - below))
    return float("nan")


# ---------------------------------------------------------------- what it shows


def finding(data: xr.Dataset) -> list[Sentence]:
    import numpy as np

    low, high = LEVELS[0], LEVELS[-1]
    effect = mean_of(data["change"].sel(level=high) - data["change"].sel(level=low))
    control = mean_of(data["control"].sel(level=high) - data["control"].sel(level=low))
    phis = [mean_of(data["phi"].sel(level=level)) for level in (low, high)]
    fits = mean_of([np.corrcoef(p, c)[0, 1] for p, c in zip(data["phi"].values, data["change"].values, strict=True)])
    thresholds = [mean_of(data["threshold"].sel(conditioned=c)) for c in data["conditioned"].values]
    slid = mean_of(
        data["threshold"].sel(conditioned=f"{CONDITIONED[-1]:g}") - data["threshold"].sel(conditioned="none")
    )
    told = ", ".join(f"{c}: {m.written(2)}" for c, m in zip(data["conditioned"].values, thresholds, strict=True))
    return [
        Sentence(
            text=f"priming with the teacher {low:g} or {high:+g} from the response changes φ from "
            f"{phis[0].written(2)} to {phis[1].written(2)}, with all learning weights closed"
        ),
        Sentence(
            text=f"then the identical probe changes the response differently, by {effect} per unit of error; without "
            f"plastic feedback by {control}",
            holds=effect.low > control.high,
        ),
        Sentence(
            text=f"the change of plasticity is what φ says: correlation over histories {fits}", holds=fits.low > 0.9
        ),
        Sentence(
            text=f"BCM-like curve: conditioning at level {CONDITIONED[-1]:g} moves the threshold between depression "
            f"and potentiation by {slid.written(2)} (threshold by level, {told})",
            holds=slid.low > 0,
        ),
    ]


# ---------------------------------------------------------------- the figure


def figure(data: xr.Dataset) -> Figure:
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(13.5, 4.2), layout="constrained")
    left, middle, right = drawing.subplots(1, 3)
    _draw_priming(left, data)
    _draw_phi(middle, data)
    _draw_curves(right, data)
    return drawing


def _draw_priming(axes: Axes, data: xr.Dataset) -> None:
    from circuitdsl.studies.panels import band, plain

    for name, label, colour in (("change", "after priming", "#1f6fb4"), ("control", "feedback closed", "#8a8a8a")):
        mean, half = over_seeds(data[name])
        band(axes, data["level"].values, mean, half, label, colour)
    axes.axhline(0, color="#999999", lw=0.8)
    axes.set(xlabel="teacher above the response, in priming")
    axes.set(ylabel="change by the identical probe, per unit of error")
    axes.set_title("the same probe after different histories", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    plain(axes)


def _draw_phi(axes: Axes, data: xr.Dataset) -> None:
    from circuitdsl.studies.panels import plain

    for seed in data["seed"].values:
        one = data.sel(seed=seed)
        axes.plot(one["phi"], one["change"], "o-", ms=3, lw=0.8, color="#1f6fb4", alpha=0.6)
    axes.axhline(0, color="#999999", lw=0.8)
    axes.axvline(0, color="#999999", lw=0.8)
    axes.set(xlabel="consistency score φ", ylabel="change by the identical probe, per unit of error")
    axes.set_title("because φ has changed; each line is a seed", fontsize=10)
    plain(axes)


def _draw_curves(axes: Axes, data: xr.Dataset) -> None:
    from circuitdsl.studies.panels import band, plain

    colours = ("#8a8a8a", "#9ecae1", "#4292c6", "#08519c")
    mean, half = over_seeds(data["curve"])
    for name, colour in zip(data["conditioned"].values, colours, strict=True):
        label = "not conditioned" if name == "none" else f"conditioned at {name}"
        band(axes, data["probe"].values, mean.sel(conditioned=name), half.sel(conditioned=name), label, colour)
    axes.axhline(0, color="#999999", lw=0.8)
    axes.set(xlabel="teacher in the probe, above the first response", ylabel="change by the probe")
    axes.set_title("a sliding threshold", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    plain(axes)


STUDY = Study(
    name="metaplasticity",
    claim="The same stimulus causes different plasticity after different histories, because φ has changed.",
    source="Ziyin, Chuang & Poggio 2025, arXiv:2505.02248; Bienenstock, Cooper & Munro 1982, J. Neuroscience 2, 32-48",
    run=run,
    figure=figure,
    finding=finding,
    seeds=(20, 5),
)
