"""How far can the wiring be from layers, and the circuit still learn by gradients?

Ziyin, Chuang & Poggio 2025 (arXiv:2505.02248). One circuit, written here as text, has every ascending and every
descending synapse that four hidden populations can have without a loop; a topology is a choice among them, made by
params that leave the others at 0. `shape` goes from layers (0) to an amorphous random graph (1); `reciprocal` is the
part of the ascending synapses that have their descending partner, the others get one from elsewhere. Plasticity is
Kolen-Pollack's. For the reasons `derive` is given the topology written out, with nothing else in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

from circuitdsl.api import Outcome, Request, Simulation
from circuitdsl.studies.credits import Gradients
from circuitdsl.studies.intervals import Mean, mean_of
from circuitdsl.studies.protocol import Plan, Sentence, Study
from circuitdsl.studies.trials import Found, Table, Text, Trial, ended, execute, gather, run_trials

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HIDDEN, SIZE = ("h1", "h2", "h3", "h4"), 10
SHAPES, RECIPROCAL = (0.0, 0.5, 1.0), (1.0, 0.5, 0.0)
EPOCHS, QUICK_EPOCHS = 60, 30

#: What is done to the layered and to the amorphous circuit: params.
HARMS: Mapping[str, Mapping[str, float]] = {
    "nothing": {},
    "gains spread 0.9": {"spread": 0.9},
    "25 % missing": {"present": 0.75},
    "50 % missing": {"present": 0.5},
    "75 % missing": {"present": 0.25},
}
QUICK_HARMS = ("nothing", "gains spread 0.9")
LESIONED = "h2"
ABOUT = {
    "metric": "accuracy on the test set",
    "alignment": "cosine of drive and descent direction, mean of the hidden populations' synapses",
    "before": "accuracy before a population is silenced",
    "lesioned": "accuracy just after",
    "recovered": "accuracy after as much more learning",
}

Edge = tuple[str, str]
Topology = Mapping[Edge, bool]


# ---------------------------------------------------------------- the circuit as text


def forward_edges() -> list[Edge]:
    """Every ascending synapse that makes no loop."""
    order = ("x", *HIDDEN, "out")
    return [(a, b) for i, a in enumerate(order) for b in order[i + 1 :] if (a, b) != ("x", "out")]


def backward_edges() -> list[Edge]:
    """Every descending one: from the credit of a later population, or the error, to an earlier population."""
    return [(b, a) for a, b in forward_edges() if a != "x"]


def edge_param(edge: Edge) -> str:
    return f"{edge[0]}_{edge[1]}"


def text_of(forward: list[Edge], backward: list[Edge], *, chosen: bool = False) -> str:
    """A circuit with these synapses; `chosen`: it is one topology, without params that choose."""
    lines = ['import "rules/heterosynaptic.circ"', "", "circuit flexible {"]
    lines += [
        '  """Kolen-Pollack plasticity in a wiring chosen by params.',
        "",
        "  Source: circuitdsl's study of flexibility,",
    ]
    lines += ["  after Ziyin, Chuang & Poggio 2025, arXiv:2505.02248.", '  """', ""]
    lines += ["  param eta = 0.05", "  param gamma = 0.002"]
    if not chosen:
        lines += ["  param lesion = 0", "  param spread = 0", "  param present = 1"]
        lines += [f"  param {edge_param(e)} = 1" for e in (*forward, *backward)]
    lines += ["  input x: 64", "  target y: 10"]
    lines += [_hidden(name, chosen) for name in HIDDEN]
    lines += ["  neuron out: 10 { dendrite basal   rate = softmax(basal) }", "  neuron err: 10 { rate = y - out }"]
    lines += [_synapse(e, chosen) for e in (*forward, *backward)]
    lines += ["  loss = cross_entropy(out, y)"]
    lines += [
        f"  task digits {{ data = digits   epochs = {EPOCHS}   batch = 16   metric = accuracy(out, y) }}",
        "}",
        "",
    ]
    return "\n".join(lines)


def _hidden(name: str, chosen: bool) -> str:
    cut = " * (1 - lesion)" if name == LESIONED and not chosen else ""
    return (
        f"  neuron {name}: {SIZE} {{ dendrite basal, apical   rate = relu(basal){cut} }}\n"
        f"  neuron d_{name}: {SIZE} {{ rate = {name}.apical * step({name}.basal){cut} }}"
    )


def _synapse(edge: Edge, chosen: bool) -> str:
    pre, post = edge
    ascends = edge in forward_edges()
    name = f"{'W' if ascends else 'V'}_{pre}_{post}"
    source = pre if ascends else "err" if pre == "out" else f"d_{pre}"
    dendrite = "basal" if ascends else "apical"
    signal = "post" if not ascends else "err" if post == "out" else f"d_{post}"
    rule = f"hetero({signal}, eta, gamma)"
    if chosen:
        return f"  synapse {name}: {source} -> {post}.{dendrite} {{ dw = {rule} }}"
    there = edge_param(edge)
    return (
        f"  param gain_{name} per {name} = uniform(1 - spread, 1 + spread)\n"
        f"  synapse {name}: {source} -> {post}.{dendrite} {{ connect = sparse(present)   "
        f"init = {there} * normal(0, 1/sqrt(fan_in))   dw = {there} * gain_{name} * {rule} }}"
    )


# ---------------------------------------------------------------- topologies


def topology(shape: float, reciprocal: float, seed: int) -> Topology:
    """Which synapses are there. Every hidden population gets an input, sends on, and hears one later population or
    the error for each population that it sends to."""
    import numpy as np

    generator = np.random.default_rng([seed, int(100 * shape)])
    order = ("x", *HIDDEN, "out")
    there = dict.fromkeys((*forward_edges(), *backward_edges()), False)
    for place, post in enumerate(order[1:], start=1):
        near, others = order[place - 1], [p for p in order[:place] if (p, post) in there]
        source = near if generator.random() >= shape else str(generator.choice(others))
        there[source, post] = True
        for pre in others:
            there[pre, post] |= bool(generator.random() < 0.4 * shape)
    for place, pre in enumerate(HIDDEN, start=1):
        if not any(there[pre, post] for post in order[place + 1 :]):
            there[pre, "out"] = True
    chooser = np.random.default_rng([seed, int(100 * shape), int(100 * reciprocal)])
    for pre, post in [e for e in forward_edges() if there[e] and e[0] != "x"]:
        later = order[order.index(pre) + 1 :]
        strangers = [p for p in later if not there[pre, p]]
        mutual = chooser.random() < reciprocal or not strangers
        there[post if mutual else str(chooser.choice(strangers)), pre] = True
    return there


def params_of(chosen: Topology) -> dict[str, float]:
    return {edge_param(e): float(there) for e, there in chosen.items()}


def whole_circuit() -> Text:
    return Text(name="flexible", text=text_of(forward_edges(), backward_edges()))


def written_out(chosen: Topology) -> str:
    """The topology as a circuit of its own."""
    forward = [e for e in forward_edges() if chosen[e]]
    return text_of(forward, [e for e in backward_edges() if chosen[e]], chosen=True)


# ---------------------------------------------------------------- running


def run(plan: Plan) -> xr.Dataset:
    import xarray as xr

    shapes, reciprocal = ((0.0, 1.0), (1.0, 0.0)) if plan.quick else (SHAPES, RECIPROCAL)
    mapped = [_trial(plan, place, seed, {}) for place in product(shapes, reciprocal) for seed in plan.seeds]
    outer = {"shape": shapes, "reciprocal": reciprocal, "seed": plan.seeds}
    whole = gather(mapped, run_trials(mapped, plan), Table(coordinates=outer, about=ABOUT))
    texts = {
        f"topology_{s:g}_{r:g}": written_out(topology(s, r, int(plan.seeds[0]))) for s in shapes for r in reciprocal
    }
    verdicts = [[_verdicts(topology(s, r, int(plan.seeds[0]))) for r in reciprocal] for s in shapes]
    whole["gradient"] = (("shape", "reciprocal"), [[v[0] for v in row] for row in verdicts])
    whole["reason"] = (("shape", "reciprocal"), [[v[1] for v in row] for row in verdicts])
    harms_run = QUICK_HARMS if plan.quick else tuple(HARMS)
    harmed = [
        _trial(plan, (shape, 1.0), seed, HARMS[harm], harm=harm)
        for shape, harm, seed in product((0.0, 1.0), harms_run, plan.seeds)
    ]
    table = Table(coordinates={"harmed_shape": (0.0, 1.0), "harm": list(harms_run), "seed": plan.seeds}, about=ABOUT)
    harms = gather(harmed, run_trials(harmed, plan), table)
    lesions = [replace(_trial(plan, (shape, 1.0), seed, {}, harm="nothing"), work=lesion)
               for shape, seed in product((0.0, 1.0), plan.seeds)]  # fmt: skip
    cut = Table(coordinates={"harmed_shape": (0.0, 1.0), "seed": plan.seeds}, about=ABOUT)
    after = gather(lesions, run_trials(lesions, plan), cut)
    named = harms[["metric", "alignment"]].rename(metric="harmed_metric", alignment="harmed_alignment")
    return xr.merge([whole, named.drop_attrs(), after.drop_attrs()], compat="no_conflicts", join="outer").assign_attrs(
        circuits=json.dumps(json.loads(whole.attrs["circuits"]) | texts, ensure_ascii=False)
    )


def _trial(plan: Plan, place: tuple[float, float], seed: int, params: Mapping[str, float], harm: str = "") -> Trial:
    """One topology, one start. The topology changes with the seed."""
    shape, reciprocal = place
    chosen = params_of(topology(shape, reciprocal, seed))
    at = {"harmed_shape": shape, "harm": harm, "seed": seed} if harm else {
        "shape": shape, "reciprocal": reciprocal, "seed": seed}  # fmt: skip
    epochs = QUICK_EPOCHS if plan.quick else EPOCHS
    request = Request(seed=seed, epochs=epochs, params={**chosen, **params})
    return Trial(circuit=whole_circuit(), request=request, at=at, work=aligned)


def aligned(simulation: Simulation, request: Request) -> Found:
    outcome = execute(simulation, request)
    found = ended(outcome)
    return found if outcome.run.diverged else {**found, "alignment": alignment(simulation, outcome)}


def alignment(simulation: Simulation, outcome: Outcome) -> float:
    """The mean, over the synapses onto hidden populations, of the cosine between E[s r^T] and E[delta r^T]."""
    import numpy as np

    loop, state = outcome.loop, outcome.run.state
    dendrites = [f"{h}.basal" for h in HIDDEN]
    watch = ["x", *HIDDEN, *(f"d_{h}" for h in HIDDEN)]
    delta, seen = Gradients(simulation.circuit).read(outcome, dendrites, watch, loop.dataset.test)
    cosines = []
    for pre, post in forward_edges():
        weights = None if post == "out" else state.weights[f"W_{pre}_{post}"]
        if weights is None or not weights.any():
            continue
        drive, descent = ((s.T @ seen[pre]) * (weights != 0) for s in (seen[f"d_{post}"], delta[f"{post}.basal"]))
        norms = float(np.linalg.norm(drive) * np.linalg.norm(descent))
        cosines.append(float((drive * descent).sum()) / norms if norms > 0 else 0.0)
    return float(np.mean(cosines))


def lesion(simulation: Simulation, request: Request) -> Found:
    """Learns, loses a population, and learns on."""
    whole = execute(simulation, request)
    cut = simulation.prepare(replace(request, params={**request.params, "lesion": 1.0}))
    cut.run.state = whole.run.state
    loop, seen = cut.loop, []
    arrays, numbers = loop.dataset.arrays, loop.numbers
    for epoch in range(loop.epochs + 1):
        if epoch in (0, loop.epochs):
            found = loop.engine.evaluate(cut.run.state, arrays, loop.dataset.test, numbers, seed=loop.seed, epoch=0)
            seen.append(found.probes[0])
        if epoch < loop.epochs:
            order = loop.order(loop.epochs + epoch)
            loop.engine.train(cut.run.state, arrays, order, numbers, seed=loop.seed, epoch=epoch, batch=loop.batch)
    return {"before": whole.metric, "lesioned": seen[0], "recovered": seen[-1]}


# ---------------------------------------------------------------- reasons


def _verdicts(chosen: Topology) -> tuple[float, str]:
    """The part of the hidden synapses that `derive` proves to be gradient learning, and what it says of another one."""
    from circuitdsl.api import loads
    from circuitdsl.derive.verdict import derive

    derivation = derive(loads(written_out(chosen)).ir)
    names = [f"W_{a}_{b}" for a, b in forward_edges() if chosen[a, b] and b != "out"]
    proved = [n for n in names if derivation[n].verdict in ("exact", "gradient")]
    reason = next((_reason(derivation[n].because, n) for n in names if n not in proved), "")
    return len(proved) / len(names), reason


def _reason(because: tuple[str, ...], name: str) -> str:
    lacking = [b for b in because if b.startswith("not shown")] or list(because[-1:])
    return f"{name}: {lacking[0]}" if lacking else name


# ---------------------------------------------------------------- what it shows


def _cells(data: xr.Dataset) -> Iterator[tuple[float, float, Mean, Mean, float, str]]:
    for s, r in product(data["shape"].values, data["reciprocal"].values):
        one = data.sel(shape=s, reciprocal=r)
        yield (
            float(s),
            float(r),
            mean_of(one["metric"]),
            mean_of(one["alignment"]),
            float(one["gradient"]),
            str(one["reason"].values),
        )


def finding(data: xr.Dataset) -> list[Sentence]:
    cells = list(_cells(data))
    mutual = [c for c in cells if c[1] == 1]
    told = "; ".join(f"shape {s:g}: {m.written(2)}, cosine {a.written(2)}" for s, _, m, a, _, _ in mutual)
    foreign = [c for c in cells if c[1] == 0]
    lost = "; ".join(
        f"shape {s:g}: {m.written(2)}, cosine {a.written(2)}{_gone(data['metric'].sel(shape=s, reciprocal=r))}"
        for s, r, m, a, _, _ in foreign
    )
    reason = next((c[5] for c in foreign if c[5]), "nothing is missing")
    return [
        Sentence(
            text=f"with reciprocal feedback it learns from layers to amorphous graphs: accuracy {told}",
            holds=all(m.mean > 0.8 and a.low > 0 for _, _, m, a, _, _ in mutual),
        ),
        Sentence(
            text="and derive shows gradient learning in "
            + ", ".join(f"{c[4]:.0%} of the hidden synapses at shape {c[0]:g}" for c in mutual),
            holds=all(c[4] == 1 for c in mutual),
        ),
        Sentence(
            text=f"with feedback from elsewhere alignment is less: accuracy {lost}. Derive says: {reason}",
            holds=all(f[3].mean < m[3].mean for f, m in zip(foreign, mutual, strict=True)),
        ),
        *_harms(data),
        _lesions(data),
    ]


def _harms(data: xr.Dataset) -> list[Sentence]:
    return [
        Sentence(
            text=f"shape {s:g}, reciprocal: "
            + "; ".join(
                f"{h}: {mean_of(one['harmed_metric'].sel(harm=h)).written(2)}, "
                f"cosine {mean_of(one['harmed_alignment'].sel(harm=h)).written(2)}"
                + _gone(one["harmed_metric"].sel(harm=h))
                for h in data["harm"].values
            )
        )
        for s in data["harmed_shape"].values
        for one in [data.sel(harmed_shape=s)]
    ]


def _gone(metric: xr.DataArray) -> str:
    """How many seeds diverged: the means are those of the others."""
    lost = int(metric.isnull().sum())
    return f" ({lost} of {metric.sizes['seed']} diverged)" if lost else ""


def _lesions(data: xr.Dataset) -> Sentence:
    told = []
    for s in data["harmed_shape"].values:
        before, after, later = (mean_of(data[n].sel(harmed_shape=s)) for n in ("before", "lesioned", "recovered"))
        told.append(f"shape {s:g}: {before.written(2)}, {after.written(2)}, after recovery {later.written(2)}")
    amorphous = data.sel(harmed_shape=1.0)
    short = mean_of(amorphous["before"] - amorphous["recovered"])
    return Sentence(
        text=f"population {LESIONED} silenced after learning, then as much learning again; accuracy before, after: "
        + "; ".join(told)
        + f". The layered circuit is cut in two; the amorphous one ends {short.points()} below where it was (asked: 5)",
        holds=short.mean < 0.05,
    )


# ---------------------------------------------------------------- the figure


def figure(data: xr.Dataset) -> Figure:
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(14, 4.2), layout="constrained")
    panels = drawing.subplots(1, 4)
    titles = {"metric": "accuracy", "alignment": "cosine of drive and gradient", "gradient": "derive: part shown"}
    for axes, (name, title) in zip(panels, titles.items(), strict=False):
        _draw_map(axes, data[name].mean("seed") if "seed" in data[name].dims else data[name], title)
    _draw_harms(panels[3], data)
    return drawing


def _draw_map(axes: Axes, values: xr.DataArray, title: str) -> None:
    from circuitdsl.studies.panels import heat_map

    heat_map(axes, values.transpose("reciprocal", "shape"), low=0.0, limit=1.0)
    axes.set(xlabel="layers (0) to amorphous (1)", ylabel="part of feedback that is reciprocal")
    axes.set_title(title, fontsize=10)


def _draw_harms(axes: Axes, data: xr.Dataset) -> None:
    from circuitdsl.studies.panels import plain

    names = [str(h) for h in data["harm"].values]
    for s, colour, shift in ((0.0, "#1f6fb4", -0.1), (1.0, "#d9661f", 0.1)):
        found: list[Any] = [mean_of(data["harmed_metric"].sel(harmed_shape=s, harm=h)) for h in names]
        places = [i + shift for i in range(len(names))]
        errors = [m.high - m.mean for m in found]
        label = "layers" if s == 0 else "amorphous"
        axes.errorbar([m.mean for m in found], places, xerr=errors, fmt="o", capsize=3, color=colour, label=label)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel="accuracy")
    axes.set_title("missing and heterogeneous synapses", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    plain(axes)


STUDY = Study(
    name="flexibility",
    claim="The wiring may be almost anything: gradient learning needs neither layers nor regularity.",
    source="Ziyin, Chuang & Poggio 2025, arXiv:2505.02248",
    run=run,
    figure=figure,
    finding=finding,
    seeds=(8, 3),
)
