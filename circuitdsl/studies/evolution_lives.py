"""One lifetime of one genome, looked at on the way: do its rules follow the gradient?

For the circuits circuits/studies/evolution.circ and evolution_neurons.circ. Drives and gradients are measured at a few
states of the circuit's own learning, as `certify` does, but for one lifetime, and with gains that no circuit's text
holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from circuitdsl.api import Outcome, Request, Simulation
from circuitdsl.frozen import frozen
from circuitdsl.graph.functions import quiet
from circuitdsl.runtime.divergence import is_finite
from circuitdsl.studies.credits import Gradients
from circuitdsl.studies.intervals import mean_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

#: The genomes of the study, and its arms.
GROUPS, NEURONS = "synapse groups", "neurons"
ARMS = ("selection", "control")

#: The gains of a genome, each a number or one for each neuron.
Gains = Mapping[str, Any]
GAINS = ("g1", "g2", "g3", "b1", "b2")

#: Learning synapse: presynaptic rate, credit, its gain, dendrite. The postsynaptic populations are the patches.
LAYERS = {
    "W1": ("x", "h1.credit", "g1", "h1.basal"),
    "W2": ("h1", "h2.credit", "g2", "h2.basal"),
    "W3": ("h2", "err", "g3", "out.basal"),
}

HIDDEN = ("W1", "W2")

#: How often an epoch is looked at (at equal distances, the last time at its end), and with how many examples.
LOOKS, EXAMPLES = 4, 128


@frozen(kw_only=True)
class Life:
    """`metric` at its end, NaN if it diverged. The others are from the looks before that, for each of LAYERS; empty if
    there were none. `cosines` of drive and descent direction, the mean where there are both; `agreements`, s . delta of
    each neuron, summed, where s is the credit times its gain; `powers`, |delta|^2, summed."""

    metric: float
    cosines: tuple[float, ...]
    agreements: tuple[Array, ...]
    powers: tuple[float, ...]

    @property
    def phis(self) -> tuple[float, ...]:
        """The consistency score of each patch."""
        pairs = zip(self.agreements, self.powers, strict=True)
        return tuple(float(a.sum()) / power if power > 0 else float("nan") for a, power in pairs)

    @property
    def is_gradient(self) -> bool:
        """Whether phi is above 0 in all patches."""
        return bool(self.phis) and all(phi > 0 for phi in self.phis)

    @property
    def is_consistent(self) -> bool:
        """Dynamical consistency: the phi of all patches have one sign."""
        return self.is_gradient or (bool(self.phis) and all(phi < 0 for phi in self.phis))

    @property
    def neurons(self) -> float:
        """The part of the neurons whose own s . delta is above 0, of those that have a gradient."""
        import numpy as np

        each = np.concatenate(self.agreements) if self.agreements else np.zeros(0)
        each = each[each != 0]
        return float((each > 0).mean()) if len(each) else float("nan")


#: What is seen of a layer in one look: cosine, agreement of each neuron, power.
Look = tuple[float, "Array", float]


class Lives:
    """Lives genomes of one circuit."""

    def __init__(self, simulation: Simulation):
        self.simulation = simulation
        self.gradients = Gradients(simulation.circuit)
        self.coefficients = frozenset(simulation.circuit.ir.coefficients)

    def live(self, gains: Gains, request: Request) -> Life:
        """One lifetime with these gains, else as the request says."""
        outcome = self._born(gains, request)
        looks: list[list[Look]] = []
        with quiet():
            for _ in self._learn(outcome):
                if not is_finite(outcome.run.state):
                    return _summed(looks, float("nan"))
                looks.append(self._look(outcome, gains))
            return _summed(looks, self._metric(outcome))

    def _born(self, gains: Gains, request: Request) -> Outcome:
        """All up to the first example."""
        import numpy as np

        params = {name: float(value) for name, value in gains.items() if name not in self.coefficients}
        outcome = self.simulation.prepare(replace(request, params={**request.params, **params}))
        held = outcome.run.state.coefficients
        for name in self.coefficients:
            held[name] = np.ascontiguousarray(gains[name], dtype=held[name].dtype)
        return outcome

    def _learn(self, outcome: Outcome) -> Iterator[None]:
        """A lifetime of learning that halts LOOKS times in each epoch."""
        import numpy as np

        loop = outcome.loop
        for epoch in range(loop.epochs):
            for part in np.array_split(loop.order(epoch), LOOKS):
                loop.engine.train(
                    outcome.run.state,
                    loop.dataset.arrays,
                    part,
                    loop.numbers,
                    seed=loop.seed,
                    epoch=epoch,
                    batch=loop.batch,
                )
                yield

    def _look(self, outcome: Outcome, gains: Gains) -> list[Look]:
        import numpy as np

        examples = outcome.loop.dataset.train[:EXAMPLES]
        dendrites = [dendrite for *_, dendrite in LAYERS.values()]
        watch = sorted({name for pre, credit, *_ in LAYERS.values() for name in (pre, credit)})
        delta, seen = self.gradients.read(outcome, dendrites, watch, examples)
        found = []
        for pre, credit, gain, dendrite in LAYERS.values():
            rates, wanted = seen[pre].astype(np.float64), delta[dendrite].astype(np.float64)
            signal = seen[credit].astype(np.float64) * gains[gain]
            agreement = (signal * wanted).sum(axis=0)
            found.append((_cosine(signal.T @ rates, wanted.T @ rates), agreement, float((wanted * wanted).sum())))
        return found

    def _metric(self, outcome: Outcome) -> float:
        loop = outcome.loop
        seen = loop.engine.evaluate(
            outcome.run.state, loop.dataset.arrays, loop.dataset.test, loop.numbers, seed=loop.seed, epoch=loop.epochs
        )
        return float(seen.probes[0])


def _summed(looks: list[list[Look]], metric: float) -> Life:
    import numpy as np

    layers = list(zip(*looks, strict=True))
    return Life(
        metric=metric,
        cosines=tuple(mean_of([cosine for cosine, _, _ in layer]).mean for layer in layers),
        agreements=tuple(np.sum([agreement for _, agreement, _ in layer], axis=0) for layer in layers),
        powers=tuple(sum(power for _, _, power in layer) for layer in layers),
    )


def _cosine(a: Array, b: Array) -> float:
    import numpy as np

    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float((a * b).sum()) / norms if norms > 0 else float("nan")
