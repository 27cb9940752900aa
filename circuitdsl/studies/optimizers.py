"""Standard optimizers as synaptic states, beside a library's that knows nothing of circuits.

Ziyin, Chuang & Poggio 2025 (arXiv:2505.02248): SGD, momentum, RMSprop and Adam are heterosynaptic motifs. The circuits
of circuits/optimizers and `autograd.misc.optimizers`, with the gradient of autograd, start from equal weights and see
the same batches of digits in the same order; in float64 they should stay together to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from circuitdsl.api import Outcome, Request, Simulation
from circuitdsl.extras import how_to_get
from circuitdsl.runtime.errors import UsageError
from circuitdsl.studies.intervals import mean_of, over_seeds
from circuitdsl.studies.protocol import Plan, Sentence, Study
from circuitdsl.studies.trials import Found, Table, Trial, gather, run_trials, shipped_text

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

OPTIMIZERS = ("sgd", "momentum", "rmsprop", "adam")
LEARNING = ("W1", "W2")
EPOCHS, QUICK_EPOCHS = 20, 2
#: Relative distance of the weights that rounding may leave after the first epoch.
ROUNDING = 1e-6

ABOUT = {
    "circuit": "accuracy of the circuit on the test set",
    "library": "accuracy of the library's optimizer on the test set",
    "apart": "|W - W'| / |W'| over all learning weights, circuit W, library W'",
}


def run(plan: Plan) -> xr.Dataset:
    epochs = QUICK_EPOCHS if plan.quick else EPOCHS
    trials = [
        Trial(
            circuit=shipped_text(f"optimizers/{name}.circ"),
            request=Request(seed=seed, epochs=epochs),
            at={"optimizer": name, "seed": seed},
            work=side_by_side,
        )
        for seed in plan.seeds
        for name in OPTIMIZERS
    ]
    table = Table(
        coordinates={"optimizer": OPTIMIZERS, "seed": plan.seeds},
        inner={"epoch": range(epochs + 1)},
        shapes=dict.fromkeys(ABOUT, ("epoch",)),
        about=ABOUT,
    )
    return gather(trials, run_trials(trials, plan), table)


def side_by_side(simulation: Simulation, request: Request) -> Found:
    """ABOUT, before training and after every epoch. Raises UsageError without autograd."""
    outcome = Simulation(simulation.circuit, dtype="float64").prepare(request)
    for name, state in outcome.run.state.synapse_states.items():
        if simulation.circuit.name == "rmsprop" and name[1] == "v":
            state[:] = 1  # the library's mean square starts at 1
    first = _weights(outcome)
    ours, accuracies = _circuit(outcome)
    theirs = _library(outcome, simulation.circuit.name, first)
    return {
        "circuit": accuracies,
        "library": [_accuracy(outcome, w) for w in theirs],
        "apart": [_apart(a, b) for a, b in zip(ours, theirs, strict=True)],
    }


def _weights(outcome: Outcome) -> Array:
    import numpy as np

    return np.concatenate([outcome.run.state.weights[name].ravel() for name in LEARNING]).astype(np.float64)


def _apart(a: Array, b: Array) -> float:
    import numpy as np

    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def _circuit(outcome: Outcome) -> tuple[list[Array], list[float]]:
    """The learning weights and the accuracy after each epoch, from the first state on."""
    loop, state = outcome.loop, outcome.run.state
    arrays, numbers, seed = loop.dataset.arrays, loop.numbers, loop.seed
    weights, accuracies = [], []
    for epoch in range(loop.epochs + 1):
        seen = loop.engine.evaluate(state, arrays, loop.dataset.test, numbers, seed=seed, epoch=epoch)
        weights.append(_weights(outcome))
        accuracies.append(seen.probes[0])
        if epoch < loop.epochs:
            loop.engine.train(state, arrays, loop.order(epoch), numbers, seed=seed, epoch=epoch, batch=loop.batch)
    return weights, accuracies


# ---------------------------------------------------------------- the library


def _library(outcome: Outcome, name: str, first: Array) -> list[Array]:
    """The weights after each epoch under the library's optimizer, from the same start over the same batches."""
    import numpy as np

    try:
        import autograd.numpy as anp
        from autograd import grad
    except ImportError:
        raise UsageError(f"the study `optimizers` compares with autograd: {how_to_get('autograd')}") from None

    loop = outcome.loop
    per_epoch = loop.updates_per_epoch
    orders = [loop.order(epoch) for epoch in range(loop.epochs)]
    found = [first.copy()]

    def loss(flat: Any, x: Array, y: Array) -> Any:
        w1, w2 = _split(flat, outcome)
        logits = anp.dot(anp.maximum(anp.dot(x, w1.T), 0), w2.T)
        top = anp.max(logits, axis=1, keepdims=True)
        normal = top + anp.log(anp.sum(anp.exp(logits - top), axis=1, keepdims=True))
        return -anp.sum(y * (logits - normal)) / len(x)

    slope = grad(loss)

    def on_batch(flat: Array, step: int) -> Array:
        epoch, batch = divmod(step, per_epoch)
        chosen = orders[epoch][batch * loop.batch : (batch + 1) * loop.batch]
        x, y = (loop.dataset.arrays[key][chosen].astype(np.float64) for key in ("x", "y"))
        gradient: Array = slope(flat, x, y)
        return gradient

    def told(flat: Array, step: int, _: Array) -> None:
        if step and step % per_epoch == 0:
            found.append(np.array(flat))

    last = _optimizer(name, loop.numbers)(on_batch, first.copy(), callback=told, num_iters=per_epoch * loop.epochs)
    return [*found, np.asarray(last)]


def _optimizer(name: str, numbers: Any) -> Callable[..., Any]:
    """The library's optimizer with the circuit's constants."""
    from functools import partial

    from autograd.misc import optimizers

    eta = numbers["eta"]
    match name:
        case "sgd":
            return partial(optimizers.sgd, step_size=eta, mass=0)
        case "momentum":  # the library's velocity is (1 - mu) times the circuit's
            return partial(optimizers.sgd, step_size=eta / (1 - numbers["mu"]), mass=numbers["mu"])
        case "rmsprop":
            return partial(optimizers.rmsprop, step_size=eta, gamma=numbers["beta"], eps=numbers["eps"])
        case "adam":
            constants = {"b1": numbers["beta1"], "b2": numbers["beta2"], "eps": numbers["eps"]}
            return partial(optimizers.adam, step_size=eta, **constants)
        case _:
            raise ValueError(f"no optimizer `{name}`")


def _split(flat: Any, outcome: Outcome) -> tuple[Any, Any]:
    w1, w2 = (outcome.run.state.weights[name].shape for name in LEARNING)
    cut = w1[0] * w1[1]
    return flat[:cut].reshape(w1), flat[cut:].reshape(w2)


def _accuracy(outcome: Outcome, flat: Array) -> float:
    import numpy as np

    data = outcome.loop.dataset
    w1, w2 = _split(flat, outcome)
    answers = np.maximum(data.arrays["x"][data.test] @ w1.T, 0) @ w2.T
    return float((answers.argmax(axis=1) == data.arrays["y"][data.test].argmax(axis=1)).mean())


# ---------------------------------------------------------------- what it shows


def finding(data: xr.Dataset) -> list[Sentence]:
    sentences = []
    for name in data["optimizer"].values:
        one = data.sel(optimizer=name)
        early, last = (float(one["apart"].isel(epoch=i).max()) for i in (1, -1))
        gap = mean_of(one["circuit"].isel(epoch=-1) - one["library"].isel(epoch=-1))
        sentences.append(
            Sentence(
                text=f"{name}: accuracy {mean_of(one['circuit'].isel(epoch=-1))}, the library's "
                f"{mean_of(one['library'].isel(epoch=-1))}, difference {gap.points(2)}; the weights are at most "
                f"{early:.0e} apart after one epoch, {last:.0e} after {data.sizes['epoch'] - 1}",
                holds=early < ROUNDING and abs(gap.mean) < 0.005,
            )
        )
    return sentences


def figure(data: xr.Dataset) -> Figure:
    """Accuracy of circuit and library; how far their weights come apart."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = drawing.subplots(1, 2)
    colours = dict(zip(OPTIMIZERS, ("#1f6fb4", "#d9661f", "#2a7f4f", "#7d5ba6"), strict=True))
    for name in OPTIMIZERS:
        _draw_accuracy(left, data.sel(optimizer=name), name, colours[name])
        apart = data["apart"].sel(optimizer=name).max("seed")
        right.plot(data["epoch"].values[1:], apart.values[1:], "o-", ms=3, color=colours[name], label=name)
    left.set(xlabel="epochs on digits", ylabel="accuracy")
    left.set_title("circuit (lines), library (crosses)", fontsize=10)
    right.set(xlabel="epochs on digits", ylabel="|W − W'| / |W'|, largest of the seeds", yscale="log")
    right.set_title("how far rounding drives them apart", fontsize=10)
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8)
        axes.grid(alpha=0.2)
    return drawing


def _draw_accuracy(axes: Axes, data: xr.Dataset, name: str, colour: str) -> None:
    from circuitdsl.studies.panels import band

    mean, half = over_seeds(data["circuit"])
    band(axes, data["epoch"].values, mean, half, name, colour)
    axes.plot(data["epoch"].values, data["library"].mean("seed"), "x", ms=7, color=colour)


STUDY = Study(
    name="optimizers",
    claim="Synapses with a state or two carry SGD, momentum, RMSprop and Adam, step by step.",
    source="Ziyin, Chuang & Poggio 2025, arXiv:2505.02248",
    run=run,
    figure=figure,
    finding=finding,
)
