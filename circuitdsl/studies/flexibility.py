"""How far can the wiring be from layers, and the circuit still learn by gradients?

Ziyin, Chuang & Poggio 2025 (arXiv:2505.02248). From layers to amorphous random graphs, with feedback that is reciprocal
or comes from elsewhere (wiring.py); synapses missing or unequal from the start; lesions on the way (lesions.py). Beside
each circuit runs its gradient twin in the same wiring, so that what the wiring cannot do is told from what the credit
does not say; and for each `derive` says what it can show, and of the rest what is missing. All weights are bounded:
without bounds many of these circuits diverge before it is seen what they would learn.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from circuitdsl.api import Outcome, Request, Simulation
from circuitdsl.graph.projections import Dense
from circuitdsl.runtime.request import Learn
from circuitdsl.studies.credits import Gradients
from circuitdsl.studies.intervals import Mean, lost, mean_of
from circuitdsl.studies.lesions import draw_lesions, lesion_sentences, run_lesions
from circuitdsl.studies.protocol import Plan, Sentence, Study
from circuitdsl.studies.stages import go_on
from circuitdsl.studies.trials import Found, Table, Trial, ended, gather, run_trials
from circuitdsl.studies.wiring import (
    HIDDEN,
    QUICK_HIDDEN,
    WHOLE,
    Edge,
    Harm,
    Hidden,
    Topology,
    forward_edges,
    params_of,
    synapse_name,
    topology,
    whole_circuit,
    written_out,
)

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from circuitdsl.graph.machine import State

SHAPES, RECIPROCAL = (0.0, 0.5, 1.0), (1.0, 0.5, 0.0)
EPOCHS, QUICK_EPOCHS = 60, 20
NOTHING, APART, PAIRED = "nothing", "75 % missing", "75 % missing, in pairs"
#: What is done to the layered and to the amorphous circuit, both with reciprocal feedback.
HARMS: Mapping[str, Harm] = {
    NOTHING: WHOLE,
    "rates uneven by 0.9": Harm(rates=0.9),
    "drives uneven by 0.9": Harm(drives=0.9),
    "25 % missing": Harm(present=0.75),
    "50 % missing": Harm(present=0.5),
    APART: Harm(present=0.25),
    "50 % missing, in pairs": Harm(present=0.5, paired=True),
    PAIRED: Harm(present=0.25, paired=True),
}
QUICK_HARMS = (APART,)
HARMED_SHAPES = (0.0, 1.0)
#: Learning holds: accuracy within this of the gradient twin's in the same wiring.
HOLDS = 0.05
ABOUT = {
    "metric": "accuracy on the test set",
    "alignment": "cosine of drive and descent direction, mean of the hidden populations' synapses",
}


# ---------------------------------------------------------------- running


def run(plan: Plan) -> xr.Dataset:
    import xarray as xr

    whole = _map(plan)
    harmed = _harmed(plan, whole)
    lesions = run_lesions(plan)
    texts = {
        f"topology_{s:g}_{r:g}": written_out(_topology(plan, float(s), float(r), int(plan.seeds[0])))
        for s, r in product(whole["shape"].values, whole["reciprocal"].values)
    }
    parts = [part.drop_attrs(deep=False) for part in (whole, harmed, lesions)]
    return xr.merge(parts, compat="no_conflicts", join="outer").assign_attrs(
        circuits=json.dumps(json.loads(whole.attrs["circuits"]) | texts, ensure_ascii=False)
    )


def _epochs(plan: Plan) -> int:
    return QUICK_EPOCHS if plan.quick else EPOCHS


def _hidden(plan: Plan) -> Hidden:
    return QUICK_HIDDEN if plan.quick else HIDDEN


def _topology(plan: Plan, shape: float, reciprocal: float, seed: int) -> Topology:
    return topology(shape, reciprocal, seed, _hidden(plan))


def _learners(plan: Plan) -> tuple[Learn, ...]:
    return ("circuit",) if plan.quick else ("circuit", "backprop")  # compiling the twin takes seconds


def _map(plan: Plan) -> xr.Dataset:
    """`metric`, `alignment` (shape, reciprocal, seed), `twin`, the metric of the gradient twin; `gradient` and `reason`
    (shape, reciprocal): what `derive` says of the first seed's topology."""
    shapes, reciprocal = ((0.0, 1.0), (1.0, 0.0)) if plan.quick else (SHAPES, RECIPROCAL)
    trials = [
        Trial(
            circuit=whole_circuit(_hidden(plan)),
            request=_request(plan, learner, _topology(plan, s, r, seed), seed, WHOLE),
            at={"learner": learner, "shape": s, "reciprocal": r, "seed": seed},
            work=partial(aligned, harm=WHOLE),
        )
        for learner, s, r, seed in product(_learners(plan), shapes, reciprocal, plan.seeds)
    ]
    outer = {"learner": _learners(plan), "shape": shapes, "reciprocal": reciprocal, "seed": plan.seeds}
    found = _beside_twin(gather(trials, run_trials(trials, plan), Table(coordinates=outer, about=ABOUT)), plan)
    first = int(plan.seeds[0])
    verdicts = [[_verdicts(_topology(plan, s, r, first), WHOLE) for r in reciprocal] for s in shapes]
    found["gradient"] = (("shape", "reciprocal"), [[v.part for v in row] for row in verdicts])
    found["reason"] = (("shape", "reciprocal"), [[v.reason for v in row] for row in verdicts])
    return found


def _harmed(plan: Plan, whole: xr.Dataset) -> xr.Dataset:
    """The same for harms: `harmed_metric` and so on, along (harmed_shape, harm); NOTHING is taken from the map."""
    import xarray as xr

    harms = [h for h in (QUICK_HARMS if plan.quick else HARMS) if h != NOTHING]
    trials = [
        Trial(
            circuit=whole_circuit(_hidden(plan)),
            request=_request(plan, learner, _topology(plan, s, 1.0, seed), seed, HARMS[harm]),
            at={"learner": learner, "harmed_shape": s, "harm": harm, "seed": seed},
            work=partial(aligned, harm=HARMS[harm]),
        )
        for learner, s, harm, seed in product(_learners(plan), HARMED_SHAPES, harms, plan.seeds)
    ]
    outer = {"learner": _learners(plan), "harmed_shape": HARMED_SHAPES, "harm": harms, "seed": plan.seeds}
    found = _beside_twin(gather(trials, run_trials(trials, plan), Table(coordinates=outer, about=ABOUT)), plan)
    first = int(plan.seeds[0])
    verdicts = [[_verdicts(_topology(plan, s, 1.0, first), HARMS[h]) for h in harms] for s in HARMED_SHAPES]
    found["gradient"] = (("harmed_shape", "harm"), [[v.part for v in row] for row in verdicts])
    found["reason"] = (("harmed_shape", "harm"), [[v.reason for v in row] for row in verdicts])
    nothing = whole.sel(shape=list(HARMED_SHAPES), reciprocal=1.0).drop_vars("reciprocal").rename(shape="harmed_shape")
    both = xr.concat([nothing.expand_dims(harm=[NOTHING]), found], dim="harm", combine_attrs="override")
    return both.rename({name: f"harmed_{name}" for name in both.data_vars})


def _request(plan: Plan, learner: Learn, chosen: Topology, seed: int, harm: Harm) -> Request:
    params = {**params_of(chosen), **harm.params}
    return Request(seed=seed, epochs=_epochs(plan), params=params, learn=learner)


def _beside_twin(found: xr.Dataset, plan: Plan) -> xr.Dataset:
    """The circuit's own, and the twin's metric as `twin`."""
    own = found[["metric", "alignment"]].sel(learner="circuit", drop=True)
    if len(_learners(plan)) > 1:
        own["twin"] = found["metric"].sel(learner="backprop", drop=True)
    return own.assign_attrs(found.attrs)


def aligned(simulation: Simulation, request: Request, *, harm: Harm) -> Found:
    outcome = simulation.prepare(request)
    if harm.paired:
        _pair(outcome.run.state, request.seed or 0)
    go_on(outcome)
    if request.learn == "backprop" or outcome.run.diverged is not None:
        return ended(outcome)
    return {**ended(outcome), "alignment": alignment(simulation, outcome)}


def _pair(state: State, seed: int) -> None:
    """Where an ascending synapse of two neurons is missing their descending one is missing too, and nowhere else. All
    learn alike."""
    import numpy as np

    generator = np.random.default_rng([seed, 7])
    for pre, post in forward_edges():
        ascending, name = synapse_name((pre, post)), synapse_name((post, pre))
        mask = state.mask(ascending) if ascending in state.projections else None
        if pre == "x" or mask is None or not state.weights[name].any():
            continue
        fan_in = mask.sum() / mask.shape[1]
        state.projections[name] = Dense(np.ascontiguousarray(mask.T))
        state.weights[name][:] = generator.normal(0, fan_in**-0.5, mask.T.shape) * mask.T
        for coefficient in (
            f"rate_{name}",
            f"drive_{name}",
        ):  # they too were drawn where a synapse was, and 0 elsewhere
            state.coefficients[coefficient][:] = mask.T


def alignment(simulation: Simulation, outcome: Outcome) -> float:
    """The mean, over the synapses onto hidden populations, of the cosine between E[s r^T] and E[delta r^T]."""
    import numpy as np

    loop, state = outcome.loop, outcome.run.state
    hidden = tuple(h for h in HIDDEN if h in simulation.circuit.ir.populations)
    dendrites = [f"{h}.basal" for h in hidden]
    watch = ["x", *hidden, *(f"d_{h}" for h in hidden)]
    delta, seen = Gradients(simulation.circuit).read(outcome, dendrites, watch, loop.dataset.test)
    cosines = []
    for pre, post in forward_edges(hidden):
        weights = None if post == "out" else state.weights[f"W_{pre}_{post}"]
        if weights is None or not weights.any():
            continue
        drive, descent = ((s.T @ seen[pre]) * (weights != 0) for s in (seen[f"d_{post}"], delta[f"{post}.basal"]))
        norms = float(np.linalg.norm(drive) * np.linalg.norm(descent))
        cosines.append(float((drive * descent).sum()) / norms if norms > 0 else 0.0)
    return float(np.mean(cosines))


# ---------------------------------------------------------------- reasons


class Shown(NamedTuple):
    """The part of the hidden synapses that `derive` shows to be gradient learning, and why not the first other one."""

    part: float
    reason: str


def _verdicts(chosen: Topology, harm: Harm) -> Shown:
    from circuitdsl.api import loads
    from circuitdsl.derive.tell.derivation import derive

    if harm.paired:
        return Shown(float("nan"), "nothing: no text says that the connections of two synapses are drawn together")
    derivation = derive(loads(written_out(chosen, harm)).ir)
    edges: list[Edge] = [e for e in forward_edges() if chosen.get(e) and e[1] != "out"]
    names = [synapse_name(e) for e in edges]
    proved = [n for n in names if derivation[n].verdict in ("exact", "gradient")]
    reason = next((_reason(derivation[n].because, n) for n in names if n not in proved), "")
    return Shown(len(proved) / len(names), reason)


def _reason(because: tuple[str, ...], name: str) -> str:
    lacking = [b for b in because if b.startswith("not shown")] or list(because[-1:])
    return f"{name}: {lacking[0]}" if lacking else name


# ---------------------------------------------------------------- what it shows


class Cell(NamedTuple):
    """One wiring: what it reached, its twin (None in a quick run), its alignment, what `derive` says."""

    name: str
    metric: Mean
    twin: Mean | None
    alignment: Mean
    shown: Shown
    diverged: str

    def __str__(self) -> str:
        beside = "" if self.twin is None else f" (twin {self.twin.written(2)})"
        return f"{self.name}: {self.metric.written(2)}{beside}{self.diverged}, cosine {self.alignment.written(2)}"

    @property
    def breaks(self) -> bool:
        """Whether learning falls short of the twin, or diverges."""
        return self.diverged != "" or (self.twin is not None and not self.metric.mean >= self.twin.mean - HOLDS)


def _cell(one: xr.Dataset, name: str, prefix: str = "") -> Cell:
    twin = f"{prefix}twin"
    return Cell(
        name=name,
        metric=mean_of(one[f"{prefix}metric"]),
        twin=mean_of(one[twin]) if twin in one else None,
        alignment=mean_of(one[f"{prefix}alignment"]),
        shown=Shown(float(one[f"{prefix}gradient"]), str(one[f"{prefix}reason"].values)),
        diverged=lost(one[f"{prefix}metric"]),
    )


def _mapped(data: xr.Dataset, reciprocal: float) -> list[Cell]:
    return [_cell(data.sel(shape=s, reciprocal=reciprocal), f"shape {s:g}") for s in data["shape"].values]


def _harm_cells(data: xr.Dataset, shape: float) -> Iterator[Cell]:
    for harm in HARMS:
        if harm in data["harm"].values:
            yield _cell(data.sel(harmed_shape=shape, harm=harm), harm, "harmed_")


def finding(data: xr.Dataset) -> list[Sentence]:
    mutual, foreign = _mapped(data, 1.0), _mapped(data, 0.0)
    told, found = ("; ".join(map(str, cells)) for cells in (mutual, foreign))
    reason = next((c.shown.reason for c in foreign if c.shown.reason), "nothing is missing")
    return [
        Sentence(
            text=f"with reciprocal feedback it learns from layers to amorphous graphs: accuracy {told}",
            holds=all(c.metric.mean > 0.8 and c.alignment.low > 0 and not c.breaks for c in mutual),
        ),
        Sentence(
            text="and derive shows gradient learning, on the attractor, in "
            + ", ".join(f"{c.shown.part:.0%} of the hidden synapses at {c.name}" for c in mutual),
            holds=all(c.shown.part == 1 for c in mutual),
        ),
        Sentence(
            text=f"with feedback from elsewhere alignment is less, the cosine by {_less_aligned(data)}: accuracy "
            f"{found}. Derive says: {reason}",
            holds=_above_zero(mean_of(_lost_alignment(data).mean("shape"))),
        ),
        *(_harm_sentence(data, float(s)) for s in data["harmed_shape"].values),
        *_pairs(data),
        *_reasons(data),
        *lesion_sentences(data),
    ]


def _harm_sentence(data: xr.Dataset, shape: float) -> Sentence:
    return Sentence(text=f"shape {shape:g}, reciprocal: " + "; ".join(map(str, _harm_cells(data, shape))))


def _pairs(data: xr.Dataset) -> list[Sentence]:
    """Where much is missing, it matters whether both synapses of two neurons are missing together."""
    cells = {(s, c.name): c for s in data["harmed_shape"].values for c in _harm_cells(data, float(s))}
    both = [(s, c, cells[s, APART]) for (s, name), c in cells.items() if name == PAIRED and (s, APART) in cells]
    if not both:
        return []
    told = "; ".join(
        f"shape {s:g}: {pair.metric.written(2)} beside {apart.metric.written(2)}, cosine {pair.alignment.written(2)} "
        f"beside {apart.alignment.written(2)}"
        for s, pair, apart in both
    )
    return [
        Sentence(
            text=f"with three in four missing it learns if both synapses of a pair are missing together, beside each "
            f"drawn apart: {told}",
            holds=all(not pair.breaks and pair.alignment.low > apart.alignment.high for _, pair, apart in both),
        )
    ]


def _lost_alignment(data: xr.Dataset) -> xr.DataArray:
    """By how much the cosine is less with feedback from elsewhere, over (shape, seed): each seed beside itself."""
    cosine = data["alignment"]
    return cosine.sel(reciprocal=1.0, drop=True) - cosine.sel(reciprocal=0.0, drop=True)


def _above_zero(difference: Mean) -> bool | None:
    """None: the interval leaves it open, as with a few seeds."""
    return True if difference.low > 0 else None if difference.mean > 0 else False


def _less_aligned(data: xr.Dataset) -> str:
    lost_here = _lost_alignment(data)
    each = ", ".join(f"{mean_of(lost_here.sel(shape=s)).written(2)} at shape {s:g}" for s in lost_here["shape"].values)
    return f"{mean_of(lost_here.mean('shape')).written(2)} over all shapes ({each})"


def _reasons(data: xr.Dataset) -> list[Sentence]:
    """Where learning falls short of the gradient twin in the same wiring, and where it does not although something is
    wrong with the circuit; and what derive says of both."""
    if "twin" not in data:
        return []
    harmed = [
        cell._replace(name=f"shape {s:g}, {cell.name}")
        for s in data["harmed_shape"].values
        for cell in _harm_cells(data, float(s))
    ]
    mapped = [
        cell._replace(name=f"{cell.name}, reciprocal {r:g}")
        for r in data["reciprocal"].values
        for cell in _mapped(data, float(r))
    ]
    broken = [c for c in (*harmed, *mapped) if c.breaks]
    unproved = [c for c in harmed if not c.breaks and c.shown.part < 1]
    proved = [c.name for c in harmed if not c.breaks and c.shown.part == 1 and not c.name.endswith(f", {NOTHING}")]
    below = f"more than {100 * HOLDS:g} points below the gradient twin in the same wiring"
    return [
        *(_grouped(below, broken) or [Sentence(text=f"{below}: nowhere on this map")]),
        *_grouped("as good as the twin within that, though not all is shown", unproved),
        *([Sentence(text=f"as good, and all is shown, on the attractor: {'; '.join(proved)}")] if proved else []),
    ]


def _grouped(what: str, cells: list[Cell]) -> list[Sentence]:
    """A sentence for each reason."""
    names: dict[str, list[str]] = {}
    for cell in cells:
        names.setdefault(cell.shown.reason or "it is gradient learning, on the attractor", []).append(cell.name)
    return [Sentence(text=f"{what}: {'; '.join(named)}. Derive says: {why}") for why, named in names.items()]


# ---------------------------------------------------------------- the figure


def figure(data: xr.Dataset) -> Figure:
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(14, 8), layout="constrained")
    panels = drawing.subplot_mosaic([["a", "b", "c"], ["d", "e", "f"]])
    titles = {"metric": "accuracy", "alignment": "cosine of drive and gradient", "gradient": "derive: part shown"}
    for place, (name, title) in zip("abc", titles.items(), strict=True):
        _draw_map(panels[place], data[name].mean("seed") if "seed" in data[name].dims else data[name], title)
    _draw_harms(panels["d"], data)
    for place, shape in zip("ef", data["lesioned_shape"].values, strict=True):
        draw_lesions(panels[place], data, float(shape))
    panels["f"].legend(frameon=False, fontsize=8, loc="lower right")
    return drawing


def _draw_map(axes: Axes, values: xr.DataArray, title: str) -> None:
    from circuitdsl.studies.panels import heat_map

    heat_map(axes, values.transpose("reciprocal", "shape"), low=0.0, limit=1.0)
    axes.set(xlabel="layers (0) to amorphous (1)", ylabel="part of feedback that is reciprocal")
    axes.set_title(title, fontsize=10)


def _draw_harms(axes: Axes, data: xr.Dataset) -> None:
    from circuitdsl.studies.panels import plain

    names = [h for h in HARMS if h in data["harm"].values][::-1]
    for s, colour, shift in ((0.0, "#1f6fb4", 0.1), (1.0, "#d9661f", -0.1)):
        cells = list(_harm_cells(data, s))[::-1]
        places = [i + shift for i in range(len(names))]
        errors = [c.metric.high - c.metric.mean for c in cells]
        label = "layers" if s == 0 else "amorphous"
        means = [c.metric.mean for c in cells]
        axes.errorbar(means, places, xerr=errors, fmt="o", capsize=3, color=colour, label=label)
        if all(c.twin is not None for c in cells):
            twins = [c.twin.mean for c in cells if c.twin is not None]
            axes.plot(twins, places, "|", ms=10, mew=2, color=colour, alpha=0.6, label=f"{label}, gradient twin")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel="accuracy", xlim=(0, 1.03))
    axes.set_title("missing and uneven synapses", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    plain(axes)


STUDY = Study(
    name="flexibility",
    claim="The wiring may be almost anything: gradient learning needs neither layers nor regularity.",
    source="Ziyin, Chuang & Poggio 2025, arXiv:2505.02248",
    run=run,
    figure=figure,
    finding=finding,
    seeds=(8, 2),
)
