"""The flow of `<W, -grad>` in numbers: whether as much goes into a population as out of it (theory.md, section 3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from circuitdsl.certify.checkpoint import Checkpoint
from circuitdsl.derive.prove.conservation import Flow, Synaptic, Wired, flows_of
from circuitdsl.graph.functions import quiet
from circuitdsl.graph.interpret import Frame, Units, evaluate, read_value
from circuitdsl.twin.adjoints import adjoint_name
from circuitdsl.twin.paths import Settled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

#: By how much what an equation reads is made larger and smaller to see how it scales.
STEP = 1e-4


def imbalance(at: Checkpoint, population: str) -> float:
    """|in - out| / (|in| + |out|) of the flow through a population, the largest of its equations; 0 where nothing
    flows, NaN where an example has several ticks or no equation is known."""
    if len(at.passes.evaluation) != 1:
        return float("nan")
    flows = flows_of(at.circuit, at.derivation.symbols.constants)
    meter = _Meter(at, flows.settled, at.passes.evaluation[0])
    found: list[float] = []
    with quiet():
        for equation in flows.equations:
            if flows.population(equation.value) == population:
                parts = [float(number) * meter.flow(flow) for flow, number in equation.row.items()]
                whole = sum(map(abs, parts))
                found.append(abs(sum(parts)) / whole if whole else 0.0)
    return max(found) if found else float("nan")


@dataclass(frozen=True, slots=True)
class _Meter:
    """Flows at one state, means over the sample."""

    at: Checkpoint
    settled: Settled
    frame: Frame

    def flow(self, flow: Flow) -> float:
        match flow:
            case Synaptic(synapse):
                found = self.at.circuit.synapses[synapse]
                source = read_value(found.source, self.frame)
                arriving = source @ self.at.state.weights[synapse].T
                return self._downhill(found.dendrite, arriving)
            case Wired(value, reader):
                return self._downhill(reader, self._moved(value, reader))

    def _downhill(self, value: str, change: Array) -> float:
        """How fast the loss falls as a value changes like this."""
        if value == "loss":
            return -float(change.mean())
        adjoint = self.frame.now.get(adjoint_name(value))
        return 0.0 if adjoint is None else -float((adjoint * change).sum(axis=1).mean())

    def _moved(self, value: str, reader: str) -> Array:
        """How an equation changes as something that it reads grows in proportion, [examples, size]."""
        import numpy as np

        now = self.frame.now
        size = 1 if reader == "loss" else self.at.circuit.values[reader].size
        site = Units(size=size, coefficients=self.at.state.coefficients)
        ends = [
            evaluate(self.settled.exprs[reader], replace(self.frame, now={**now, value: now[value] * by}), site)
            for by in (1 + STEP, 1 - STEP)
        ]
        return np.asarray(np.broadcast_to((ends[0] - ends[1]) / (2 * STEP), (self.frame.batch.size, size)))
