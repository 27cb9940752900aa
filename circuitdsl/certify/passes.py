"""The circuit held still at one state: what it computes in training and in evaluation, and with permuted errors.

The control of the certificate (theory.md, section 4): the same states with the error vectors permuted across
examples, rates and weights fixed. An error vector is a value at which a target meets something else (`err = y - out`,
a reward, the loss as a value). Where that value is itself on the way to the answer, because training clamps
or nudges it, the error vector is what the target adds to the value of the free network. What depends on the error
vectors is computed again, all else is kept, so that a rule that cannot see the error differs by exactly 0.

Permuting leaves the mean error where it is, and so all that a synapse learns whose presynaptic rate is nearly the same
for all examples (from `bias`, to begin with). Therefore there is a second control, in which every other error vector is
also turned round; errors that are scalars (a reward, the loss) are only permuted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from circuitdsl.derive.read.roles import equations
from circuitdsl.frozen import frozen, mutable
from circuitdsl.graph.flow import all_sources, reached_from
from circuitdsl.graph.interpret import Frame
from circuitdsl.graph.ir import Circuit, Flag, Kind, Reduce, reads, walk
from circuitdsl.graph.machine import State
from circuitdsl.reference import Reference
from circuitdsl.twin.gradient import adjoints
from circuitdsl.twin.paths import alive_values, settle

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Data, Indices, Numbers

    Array = NDArray[np.floating[Any]]


@frozen
class Errors:
    """Where the targets enter: `entries`, of which the `clamped` are on the way to the answer; `downstream` are
    the values that depend on them, themselves included; `labels` depend on nothing but targets. Where there are no
    targets, errors are where the answer meets what the loss compares it with, off the way to the answer."""

    entries: frozenset[str]
    clamped: frozenset[str]
    downstream: frozenset[str]
    labels: frozenset[str]


def find_errors(circuit: Circuit) -> Errors:
    """The error vectors of a circuit with a loss."""
    sources = all_sources(circuit)
    alive = alive_values(settle(circuit)).now
    labels = {p.name for p in circuit.of_kind(Kind.TARGET)}
    if not labels:
        aims = _aims(circuit)
        aside = {n: read for n, read in sources.items() if n not in alive}
        entries = {n for n, read in aside.items() if "loss" in read or (read & aims and read & alive)}
        return Errors(frozenset(entries), frozenset(), frozenset(reached_from(sources, entries)), frozenset())
    while more := {n for n, read in sources.items() if n not in labels and read and read <= labels}:
        labels |= more
    entries = {n for n, read in sources.items() if n not in labels and read & labels}
    return Errors(
        entries=frozenset(entries),
        clamped=frozenset(entries & alive - {"loss"}),
        downstream=frozenset(reached_from(sources, entries)),
        labels=frozenset(labels),
    )


def _aims(circuit: Circuit) -> set[str]:
    """What the loss of a circuit without targets compares its answer with: an input, in an autoencoder."""
    assert circuit.loss is not None
    compared = (e for e in walk(circuit.loss.expr) if isinstance(e, Reduce) and len(e.arguments) == 2)
    return {r.value for e in compared for r in reads(e.arguments[1])}


@frozen(kw_only=True)
class Passes:
    """The frames of one sample at one state, [examples, size] each: `training`; with permuted errors, `permuted`; with
    errors that are also turned round, `turned`; `evaluation` with the adjoints. What does not differ is the same list.
    `moved`: permuting changed some error, which it does not if all examples have the same one.
    """

    training: list[Frame]
    permuted: list[Frame]
    turned: list[Frame]
    evaluation: list[Frame]
    moved: bool


@mutable
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

    def _is_vector(self, name: str) -> bool:
        """Whether an error is one number per neuron, not one for the whole circuit."""
        return self.circuit.values[name].population is not None

    def look(self, state: State, data: Data, sample: Indices, numbers: Numbers, *, seed: int, epoch: int) -> Passes:
        """All passes over the examples `sample`. Permuted means: each example has the errors of the one before
        it in the sample. Raises ValueError if a phase's ticks are no whole number."""
        evaluation = self.evaluation(state, data, sample, numbers, seed=seed, epoch=epoch)
        if self._same:
            training = evaluation
        else:
            training = self._forward.hold(state, data, sample, numbers, seed=seed, epoch=epoch, training=True)
        permuted = turned = training
        moved = False
        if self.errors.entries:

            def held(turn: bool) -> list[Frame]:
                given = self._given(training, evaluation, turn=turn)
                return self._forward.hold(
                    state, data, sample, numbers, seed=seed, epoch=epoch, training=True, given=given
                )

            permuted = held(turn=False)
            vectors = any(self._is_vector(name) for name in self.errors.entries)
            turned = held(turn=True) if vectors else permuted
            moved = any(
                _differ(name, training, frames) for name in self.errors.entries for frames in (permuted, turned)
            )
        return Passes(training=training, permuted=permuted, turned=turned, evaluation=evaluation, moved=moved)

    def evaluation(
        self, state: State, data: Data, sample: Indices, numbers: Numbers, *, seed: int, epoch: int
    ) -> list[Frame]:
        """The ticks of evaluation with the adjoints of the loss."""
        return self._backward.hold(state, data, sample, numbers, seed=seed, epoch=epoch, training=False)

    def _given(self, training: Sequence[Frame], evaluation: Sequence[Frame], *, turn: bool) -> dict[str, Array]:
        """The permuted errors, every other one turned round if `turn`, and all that does not depend on them."""
        import numpy as np

        given: dict[str, Array] = {}
        for name in self.circuit.values:
            if name not in training[0].now or (name in self.errors.downstream and name not in self.errors.entries):
                continue
            found = np.stack([f.now[name] for f in training]) if len(training) > 1 else training[0].now[name][None]
            turned = turn and self._is_vector(name)
            if name in self.errors.clamped:
                free = evaluation[-1].now[name][None]
                found = free + permuted(found - free, turn=turned, axis=1)
            elif name in self.errors.entries:
                found = permuted(found, turn=turned, axis=1)
            given[name] = found
        return given


def _differ(name: str, one: Sequence[Frame], other: Sequence[Frame]) -> bool:
    import numpy as np

    return any(name in a.now and not np.array_equal(a.now[name], b.now[name]) for a, b in zip(one, other, strict=True))


def permuted(errors: Array, *, turn: bool, axis: int = 0) -> Array:
    """Each example's error vector from the example before it; every other one turned round if `turn`."""
    import numpy as np

    found = np.roll(errors, 1, axis=axis)
    if turn:
        found[(slice(None),) * axis + (slice(0, None, 2),)] *= -1
    return found


def with_permuted_labels(frames: Sequence[Frame], errors: Errors) -> list[Frame]:
    """The frames with the targets themselves permuted: for rules that remember a target, or read one and are not the
    product of two factors."""
    import numpy as np

    def now(frame: Frame) -> dict[str, Array]:
        return {n: np.roll(a, 1, axis=0) if n in errors.labels else a for n, a in frame.now.items()}

    return [replace(frame, now=now(frame)) for frame in frames]


def _unplastic(circuit: Circuit) -> Circuit:
    """The circuit without rules and the states of synapses, which no value reads."""
    synapses = {n: replace(s, dw=None, states=(), drives=()) for n, s in circuit.synapses.items()}
    return replace(circuit, synapses=synapses)


def _tells_training(circuit: Circuit) -> bool:
    """Whether some value or rule reads `train`."""
    expressions = [e for v in circuit.values.values() for e in (v.expr, v.update) if e is not None]
    expressions += [e for s in circuit.synapses.values() for e in equations(s)]
    return any(isinstance(part, Flag) for e in expressions for part in walk(e))


def in_float64(state: State) -> State:
    """A copy of the state in float64, for exact measurement."""
    import numpy as np

    def wide(arrays: Mapping[Any, Array]) -> dict[Any, Array]:
        return {key: np.array(array, np.float64) for key, array in arrays.items()}

    return State(
        weights=wide(state.weights),
        projections=dict(state.projections),
        synapse_states=wide(state.synapse_states),
        kept=wide(state.kept),
        coefficients=wide(state.coefficients),
        resets=wide(state.resets),
    )
