"""The circuit held still at one state: what it computes in training and in evaluation, and with permuted errors.

The control of the certificate (theory.md, section 4): the same states with the error vectors permuted across
examples, rates and weights fixed. An error vector is a value at which a target meets something else (`err = y - out`,
a reward, the loss as a value). Where that value is itself on the way to the answer, because training clamps
or nudges it, the error vector is what the target adds to the value of the free network. What depends on the error
vectors is computed again, all else is kept, so that a rule that cannot see the error differs by exactly 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from circuitdsl.derive.gradient import adjoints
from circuitdsl.derive.paths import alive_values, settle
from circuitdsl.graph.flow import all_sources, reached_from
from circuitdsl.graph.interpret import Frame
from circuitdsl.graph.ir import Circuit, Flag, Kind, Read, walk
from circuitdsl.graph.machine import State
from circuitdsl.reference import Reference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Data, Indices, Numbers

    Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Errors:
    """Where the targets enter: `entries`, of which the `clamped` are on the way to the answer; `downstream` are
    the values that depend on them, themselves included; `labels` depend on nothing but targets."""

    entries: frozenset[str]
    clamped: frozenset[str]
    downstream: frozenset[str]
    labels: frozenset[str]


def find_errors(circuit: Circuit) -> Errors:
    """The error vectors of a circuit with a loss."""
    sources = all_sources(circuit)
    labels = {p.name for p in circuit.of_kind(Kind.TARGET)}
    while more := {n for n, read in sources.items() if n not in labels and read and read <= labels}:
        labels |= more
    entries = {n for n, read in sources.items() if n not in labels and read & labels}
    alive = alive_values(settle(circuit)).now
    return Errors(
        entries=frozenset(entries),
        clamped=frozenset(entries & alive - {"loss"}),
        downstream=frozenset(reached_from(sources, entries)),
        labels=frozenset(labels),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """The frames of one sample at one state, [examples, size] each: `training` and, with permuted errors,
    `permuted`; `evaluation` with the adjoints."""

    training: list[Frame]
    permuted: list[Frame]
    evaluation: list[Frame]


@dataclass(slots=True)
class Still:
    """A circuit that can be looked at in any state without learning, in float64."""

    circuit: Circuit
    errors: Errors = field(init=False)
    _forward: Reference = field(init=False)
    _backward: Reference = field(init=False)
    _same: bool = field(init=False)

    def __post_init__(self) -> None:
        self.errors = find_errors(self.circuit)
        self._forward = Reference(_unplastic(self.circuit), (), "float64")
        self._backward = Reference(_unplastic(adjoints(self.circuit)), (), "float64")
        self._same = not self.circuit.schedule.phases and not _tells_training(self.circuit)

    def look(self, state: State, data: Data, sample: Indices, numbers: Numbers, *, seed: int, epoch: int) -> Passes:
        """All passes over the examples `sample`. Permuted means: each example has the errors of the one before
        it in the sample. Raises ValueError if a phase's ticks are no whole number."""
        evaluation = self.evaluation(state, data, sample, numbers, seed=seed, epoch=epoch)
        if self._same:
            training = evaluation
        else:
            training = self._forward.hold(state, data, sample, numbers, seed=seed, epoch=epoch, training=True)
        permuted = training
        if self.errors.entries:
            given = self._given(training, evaluation)
            permuted = self._forward.hold(
                state, data, sample, numbers, seed=seed, epoch=epoch, training=True, given=given
            )
        return Passes(training=training, permuted=permuted, evaluation=evaluation)

    def evaluation(
        self, state: State, data: Data, sample: Indices, numbers: Numbers, *, seed: int, epoch: int
    ) -> list[Frame]:
        """The ticks of evaluation with the adjoints of the loss."""
        return self._backward.hold(state, data, sample, numbers, seed=seed, epoch=epoch, training=False)

    def _given(self, training: Sequence[Frame], evaluation: Sequence[Frame]) -> dict[str, Array]:
        """The permuted errors, and everything that does not depend on them."""
        import numpy as np

        given: dict[str, Array] = {}
        for name in self.circuit.values:
            if name not in training[0].now or (name in self.errors.downstream and name not in self.errors.entries):
                continue
            found = np.stack([f.now[name] for f in training]) if len(training) > 1 else training[0].now[name][None]
            if name in self.errors.clamped:
                free = evaluation[-1].now[name][None]
                found = free + np.roll(found - free, 1, axis=1)
            elif name in self.errors.entries:
                found = np.roll(found, 1, axis=1)
            given[name] = found
        return given


def with_permuted_labels(frames: Sequence[Frame], errors: Errors) -> list[Frame]:
    """The frames with the targets themselves permuted: for rules that read a target directly and are not
    the product of two factors."""
    import numpy as np

    def now(frame: Frame) -> dict[str, Array]:
        return {n: np.roll(a, 1, axis=0) if n in errors.labels else a for n, a in frame.now.items()}

    return [replace(frame, now=now(frame)) for frame in frames]


def _unplastic(circuit: Circuit) -> Circuit:
    """The circuit without rules and the states of synapses, which no value reads."""
    synapses = {n: replace(s, dw=None, states=(), drives=()) for n, s in circuit.synapses.items()}
    return replace(circuit, synapses=synapses)


def _tells_training(circuit: Circuit) -> bool:
    """Whether some value reads `train`."""
    expressions = [e for v in circuit.values.values() for e in (v.expr, v.update) if e is not None]
    return any(isinstance(part, Flag) for e in expressions for part in walk(e))


def reads_labels(reads: Sequence[Read], errors: Errors) -> bool:
    """Whether a rule reads a target, or what is made of targets alone."""
    return any(r.value in errors.labels for r in reads)


def in_float64(state: State) -> State:
    """A copy of the state in float64, for exact measurement."""
    import numpy as np

    def wide(arrays: Mapping[Any, Array]) -> dict[Any, Array]:
        return {key: np.array(array, np.float64) for key, array in arrays.items()}

    return State(
        weights=wide(state.weights),
        masks=dict(state.masks),
        synapse_states=wide(state.synapse_states),
        kept=wide(state.kept),
        coefficients=wide(state.coefficients),
        resets=wide(state.resets),
    )
