"""Does the four-synapse circuit assemble itself, and does it then learn like backpropagation?

The claim of Liao et al. 2024 (arXiv:2412.20018), measured: from random weights, the descending synapses
B become the transpose of the lateral ones F, the credit s that each ascending neuron is told becomes
F^T F delta (delta = -d loss / d current, the gradient), and the accuracy comes out beside that of the
circuit's gradient twin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from circuitdsl.api import Circuit, Outcome, Request, Simulation
from circuitdsl.frozen import mutable

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Array, State
    from circuitdsl.graph.numbers import Override
    from circuitdsl.runtime.data import Dataset
    from circuitdsl.runtime.progress import Progress

#: Epochs after which the alignments are measured: often at first, when they change most.
CHECKPOINTS = (0, 1, 2, 3, 5, 8, 12, 20, 30, 40, 50, 60)

#: What is measured in each layer, with what it means.
ALIGNMENTS = {
    "cos_B_F": "cosine of B and the transpose of F",
    "cos_s_delta": "cosine of the credit s and the gradient delta, mean over test examples",
    "cos_s_FFdelta": "cosine of the credit s and F^T F delta, mean over test examples",
    "cos_s_FFdelta_active": "the same among the neurons that are active, the only ones that learn",
}


@mutable
class Trial:
    """One seed: the circuit's run, its twin's, and the alignments [checkpoint, layer] of the circuit."""

    outcome: Outcome
    alignments: dict[str, list[list[float]]] = field(default_factory=dict)


def self_assembly(
    circuit: Circuit,
    seeds: Sequence[int],
    *,
    progress: Progress | None = None,
    told: Callable[[Trial], None] | None = None,
) -> tuple[xr.Dataset, list[Outcome]]:
    """Runs the circuit and its gradient twin for each seed, on the circuit's own task.

    The circuit is one of `sal_pair`s named L[1], L[2], ... `told` hears of each seed when it is done.
    The data set has the dimensions seed, epoch, checkpoint (in epochs) and layer: `metric` and
    `metric_backprop` (seed, epoch), and ALIGNMENTS (seed, checkpoint, layer). The outcomes carry the twins.
    Raises CircuitError and UsageError as `Simulation.execute` does, KeyboardInterrupt.
    """
    simulation = circuit.compile()
    trials = []
    for seed in seeds:
        trial = _trial(simulation, seed, progress)
        trials.append(trial)
        if told is not None:
            told(trial)
    return _dataset(simulation, trials, seeds), [t.outcome for t in trials]


def layers_of(circuit: Circuit) -> list[int]:
    """The numbers of the circuit's `sal_pair`s."""
    names = circuit.ir.synapses
    return [n for n in range(1, len(names)) if f"L[{n}].B" in names]


def checkpoints(epochs: int) -> list[int]:
    return sorted({c for c in CHECKPOINTS if c < epochs} | {epochs})


def _trial(simulation: Simulation, seed: int, progress: Progress | None) -> Trial:
    request = Request(seed=seed)
    before = simulation.prepare(request)
    gauge = Gauge(simulation.circuit)
    due = checkpoints(before.settings.epochs)
    trial = Trial(before)

    def measure(outcome: Outcome) -> None:
        if outcome.run.epochs_done in due:
            outcome.run.settle()
            found = gauge.read(outcome.run.state, outcome.loop.dataset, outcome.loop.numbers)
            for name, values in found.items():
                trial.alignments.setdefault(name, []).append(values)

    measure(before)
    outcome = simulation.execute(request, progress=progress, after_epoch=measure)
    if not outcome.run.interrupted:
        outcome = simulation.with_twin(outcome, request, progress=progress)
    if outcome.run.interrupted or (outcome.twin is not None and outcome.twin.run.interrupted):
        raise KeyboardInterrupt
    trial.outcome = outcome
    return trial


# ---------------------------------------------------------------- credit and gradient


class Gauge:
    """Measures how far a circuit of `sal_pair`s has assembled itself, on the test set, under `params`."""

    def __init__(self, circuit: Circuit, params: Mapping[str, Override] | None = None):
        from circuitdsl.runtime.backends import INTERPRETER, make_engine
        from circuitdsl.twin.adjoints import adjoints

        self.layers = layers_of(circuit)
        graph = adjoints(circuit.with_params(params or {})[0])
        # One tick: the adjoints read nothing of another tick, so that they can be evaluated after
        # the values, in one pass.
        self.graph = replace(graph, order=(*graph.order, *graph.reverse), reverse=())
        self.engine = make_engine(INTERPRETER, self.graph, (), "float32")

    def signals(self, state: State, data: Dataset, numbers: Any) -> list[tuple[Array, Array, Array]]:
        """Of each layer its basal and apical currents and the gradient delta, each [examples, n]."""
        from circuitdsl.twin.adjoints import adjoint_name

        names = [(f"L[{layer}].a.basal", f"L[{layer}].a.apical") for layer in self.layers]
        watch = [name for basal, apical in names for name in (basal, apical, adjoint_name(basal))]
        seen = self.engine.evaluate(state, data.arrays, data.test, numbers, seed=0, epoch=0, watch=watch).watched
        return [(seen[basal], seen[apical], -seen[adjoint_name(basal)]) for basal, apical in names]

    def read(self, state: State, data: Dataset, numbers: Any) -> dict[str, list[float]]:
        """Each of ALIGNMENTS, a number per layer."""
        measured: dict[str, list[float]] = {name: [] for name in ALIGNMENTS}
        for layer, (basal, apical, delta) in zip(self.layers, self.signals(state, data, numbers), strict=True):
            b, f = state.weights[f"L[{layer}].B"], state.weights[f"L[{layer}].F"]
            for name, value in zip(ALIGNMENTS, alignments(basal, apical, delta, b, f), strict=True):
                measured[name].append(value)
        return measured


def alignments(basal: Array, apical: Array, delta: Array, b: Array, f: Array) -> tuple[float, ...]:
    """ALIGNMENTS of one layer. `basal`, `apical`, `delta` [examples, n]; `b`, `f` [n, n]; the credit s is
    the apical current of the neurons that are active."""
    active = basal > 0
    credit = apical * active
    implied = delta @ (f.T @ f)
    return (
        cosine(b.reshape(1, -1), f.T.reshape(1, -1)),
        cosine(credit, delta),
        cosine(credit, implied),
        cosine(credit, implied * active),
    )


def cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The mean over rows of the cosine between two arrays' rows; rows of zeros do not count."""
    import numpy as np

    lengths: NDArray[Any] = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    there = lengths > 0
    products: NDArray[Any] = (a * b).sum(axis=1)
    return float(np.mean(products[there] / lengths[there])) if there.any() else 0.0


# ---------------------------------------------------------------- the data set


def _dataset(simulation: Simulation, trials: list[Trial], seeds: Sequence[int]) -> xr.Dataset:
    import numpy as np
    import xarray as xr

    first = trials[0].outcome
    twins = [t.outcome.twin for t in trials if t.outcome.twin is not None]
    epochs = max(len(t.outcome.run.metric) for t in trials)
    variables: dict[str, Any] = {
        "metric": (("seed", "epoch"), _curves([t.outcome for t in trials], epochs), _about("of the circuit")),
        "metric_backprop": (("seed", "epoch"), _curves(twins, epochs), _about("of its gradient twin")),
    }
    due = checkpoints(first.settings.epochs)
    for name, meaning in ALIGNMENTS.items():
        table = np.full((len(trials), len(due), len(trials[0].alignments[name][0])), np.nan)
        for row, trial in zip(table, trials, strict=True):
            row[: len(trial.alignments[name])] = trial.alignments[name]
        variables[name] = (("seed", "checkpoint", "layer"), table, {"long_name": meaning, "units": "1"})
    coordinates = {
        "seed": list(seeds),
        "epoch": np.arange(epochs),
        "checkpoint": due,
        "layer": layers_of(simulation.circuit),
    }
    attributes = {k: v for k, v in simulation.attributes(first).items() if k not in ("seed", "learn")}
    return xr.Dataset(variables, coordinates, attributes)


def _curves(outcomes: Sequence[Outcome], epochs: int) -> np.ndarray[Any, Any]:
    """[seed, epoch]; a run that stopped early ends in NaN."""
    import numpy as np

    table = np.full((len(outcomes), epochs), np.nan)
    for row, outcome in zip(table, outcomes, strict=True):
        row[: len(outcome.run.metric)] = outcome.run.metric
    return table


def _about(whose: str) -> dict[str, str]:
    return {"long_name": f"the task's metric on the test set, {whose}", "units": "1"}
