"""What a certificate has at one state of one seed: enough to evaluate a hypothesis there (certify/hypotheses.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from circuitdsl.certify.drive import rule_of
from circuitdsl.certify.pairing import ROOM, mean_drive
from circuitdsl.certify.passes import Passes, Still, in_float64
from circuitdsl.derive.read.environment import Environment
from circuitdsl.derive.tell.derivation import Derivation
from circuitdsl.frozen import frozen
from circuitdsl.graph.functions import quiet
from circuitdsl.graph.ir import Circuit, Synapse
from circuitdsl.reference import Reference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Data, Indices, Numbers, State

    Array = NDArray[np.floating[Any]]

#: How many updates are tried out from a state.
UPDATES = 8


@frozen(kw_only=True)
class Sample:
    """The examples at which a circuit is looked at, always the same."""

    data: Data
    examples: Indices
    numbers: Numbers


@frozen(eq=False)
class Since:
    """The weights so many updates ago, 1 or more."""

    updates: int
    weights: Mapping[str, Array]


@dataclass(kw_only=True, eq=False)
class Checkpoint:
    """A circuit held still. `state` is in float64, `passes` are those of `sample` there; `start`: the weights that
    learning started from; `batch`: over how many examples an update is a mean; `since`: the weights some updates ago.
    What costs is found when it is asked for, and once."""

    still: Still
    derivation: Derivation
    state: State
    sample: Sample
    passes: Passes
    start: Mapping[str, Array]
    batch: int
    seed: int
    epoch: int
    since: Since | None = None
    _drives: dict[str, Array] = field(default_factory=dict)

    @property
    def circuit(self) -> Circuit:
        return self.still.circuit

    @cached_property
    def _engine(self) -> Reference:
        return Reference(self.circuit, (), "float64")

    def weights(self, synapse: str) -> Array:
        """The weights that are there, [count]."""
        return self.present(synapse, self.state.weights[synapse])

    def present(self, synapse: str, array: Array) -> Array:
        """Those numbers of single weights whose weight is there, [count]."""
        mask = self.state.mask(synapse)
        return array.ravel() if mask is None else array[mask]

    def scale(self, synapse: str) -> float:
        """What the size of a synapse's weights is told by: the norm that they started with, or 1 if that is 0."""
        import numpy as np

        started = self.start.get(synapse)
        return 1.0 if started is None else float(np.linalg.norm(started)) or 1.0

    # ------------------------------------------------------------ means over the sample

    @cached_property
    def increments(self) -> dict[str, Array]:
        """What an update adds to every plastic synapse, mean over the sample, before signs and bounds."""
        sample = self.sample

        def added(rows: slice) -> dict[str, Array]:
            where = (self.state, sample.data, sample.examples[rows], sample.numbers)
            return self._engine.increments(*where, seed=self.seed, epoch=self.epoch)

        return self._mean(added)

    def mean_drive(self, synapse: Synapse) -> Array:
        """What of that comes from examples; the rest is decay."""
        if synapse.name not in self._drives:
            with quiet():
                self._drives[synapse.name] = mean_drive(rule_of(synapse), self.passes.training, self.state)
        return self._drives[synapse.name]

    def drive_part(self, synapse: Synapse) -> Array:
        """What an update adds to a synapse, but for the linear decay that was read."""
        added, drive = self.increments[synapse.name], self.derivation.drive_of(synapse.name)
        if drive is None or drive.decay is None:
            return added
        return added + self.derivation.symbols.constants.value(drive.decay) * self.state.weights[synapse.name]

    def state_steps(self, state: State, synapse: str) -> dict[str, Array]:
        """What an update adds to the persistent states of a synapse, mean over the sample, if it finds this state."""

        def added(rows: slice) -> dict[str, Array]:
            after = self._after(state, rows)
            return {v: a - state.synapse_states[s, v] for (s, v), a in after.synapse_states.items() if s == synapse}

        return self._mean(added)

    def _mean(self, of: Callable[[slice], dict[str, Array]]) -> dict[str, Array]:
        """Something of the whole sample, looked at in parts that leave room for a number per example and weight."""
        total: dict[str, Array] = {}
        for rows in self._parts():
            part = (rows.stop - rows.start) / len(self.sample.examples)
            for name, array in of(rows).items():
                total[name] = total[name] + part * array if name in total else part * array
        return total

    def _parts(self) -> Iterator[slice]:
        examples = len(self.sample.examples)
        largest = max(s.post_size * s.pre_size for s in self.circuit.synapses.values())
        step = max(self.batch, ROOM // largest)
        return (slice(start, min(start + step, examples)) for start in range(0, examples, step))

    # ------------------------------------------------------------ single updates

    @cached_property
    def tried(self) -> list[State]:
        """The states after single updates from this one, each with examples of its own."""
        examples = len(self.sample.examples)
        size = min(self.batch, examples)
        starts = range(0, min(UPDATES * size, examples - size + 1), size)
        return [self._after(self.state, slice(start, start + size)) for start in starts]

    def _after(self, state: State, rows: slice) -> State:
        """The state after one update with these examples of the sample."""
        after, sample = state.copy(), self.sample
        where = (after, sample.data, sample.examples[rows], sample.numbers)
        self._engine.train(*where, seed=self.seed, epoch=self.epoch, batch=rows.stop - rows.start)
        return after

    # ------------------------------------------------------------ letters

    def environment(self, rows: slice = slice(None)) -> Environment | None:
        """The numbers behind the letters of the derivation, for some examples; None where an example has several
        ticks: letters are of one."""
        if len(self.passes.training) != 1:
            return None
        signals = {name: array[rows] for name, array in self.passes.training[0].now.items()}
        state = self.state
        arrays = {**state.weights, **state.coefficients, **state.resets, **state.kept, "train": 1.0}
        return Environment(self.derivation.symbols, signals, arrays)


def checkpoint(
    still: Still, derivation: Derivation, sample: Sample, state: State, *, start: Mapping[str, Array], batch: int,
    seed: int, epoch: int, since: Since | None = None,
) -> Checkpoint:  # fmt: skip
    """A state as a checkpoint; it may be of any precision, and is not changed."""
    wide = in_float64(state)
    passes = still.look(wide, sample.data, sample.examples, sample.numbers, seed=seed, epoch=epoch)
    return Checkpoint(
        still=still, derivation=derivation, state=wide, sample=sample, passes=passes, start=start, batch=batch,
        seed=seed, epoch=epoch, since=since,
    )  # fmt: skip
