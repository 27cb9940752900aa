"""The oracle: the checked graph evaluated directly, in plain NumPy, slowly and obviously.

It does what language.md says under "What happens, exactly", and nothing else; every compiled engine is held
against it. A batch of B examples advances in lockstep: a value of a population is [B, size], a number per
weight is [post size, pre size] or, where examples differ, [B, post size, pre size].

A tick: the values of `Circuit.order`, with weights and states as they stand; then every increment; then all
are applied at once. Where a rule is evaluated once per update (it reads a drive, or `update = example`),
that is at the last tick it sums over, with weights and states as they stood in that tick.

In a gradient twin (`Circuit.reverse` is not empty) learning is the evaluation pass with every tick kept, then
the ticks backwards with the adjoints; all increments of synapses are summed over these ticks and applied once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, assert_never

from circuitdsl.frozen import mutable
from circuitdsl.graph.blocks import rows_of
from circuitdsl.graph.draws import Matrix
from circuitdsl.graph.functions import quiet
from circuitdsl.graph.initial import constrain
from circuitdsl.graph.interpret import Batch, DType, Frame, Position, Units, Weights, evaluate, read_value
from circuitdsl.graph.ir import Circuit, Expr, Kind, Lifetime, Loss, Synapse, Value, is_slow
from circuitdsl.graph.machine import Data, Evaluation, Numbers, State
from circuitdsl.graph.numbers import whole
from circuitdsl.graph.projections import Sparse, dense, fans_of, give_back

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Indices

    Array = NDArray[np.floating[Any]]

#: How many examples are evaluated side by side.
CHUNK = 256


# ---------------------------------------------------------------- increments


@mutable
class Steps:
    """Increments of synapses, averaged over the batch (those of `fresh` states are not), and drives."""

    weights: dict[str, Array] = field(default_factory=dict)
    states: dict[tuple[str, str], Array] = field(default_factory=dict)
    drives: dict[tuple[str, str], Array] = field(default_factory=dict)

    def add(self, more: Steps) -> None:
        _add(self.weights, more.weights)
        _add(self.states, more.states)
        _add(self.drives, more.drives)


def _add(sums: dict[Any, Array], more: Mapping[Any, Array]) -> None:
    for name, array in more.items():
        sums[name] = sums[name] + array if name in sums else array


def _average(array: Array, shape: tuple[int, ...]) -> Array:
    """The mean over the batch of [B, *shape], or the array itself if the examples do not differ."""
    import numpy as np

    if array.ndim > len(shape):
        array = np.asarray(array.mean(axis=0))
    return np.broadcast_to(array, shape)


@mutable
class Lives:
    """The states of one batch: those of neurons and modulators by value, [B, size], and `fresh` ones of
    synapses, [B, post, pre]."""

    neurons: dict[str, Array]
    fresh: dict[tuple[str, str], Array]


# ---------------------------------------------------------------- the engine


class Reference:
    """An `Engine` that interprets the graph. See the module's text for what it does.

    `probes` are scalar expressions of one example, read at the last evaluation tick.
    """

    def __init__(self, circuit: Circuit, probes: Sequence[Expr] = (), dtype: DType = "float32"):
        self.circuit = circuit
        self.probes = probes
        self.dtype: DType = dtype
        self.keeps = [v for v in self._states() if v.lifetime is Lifetime.KEEP]
        self.passing = [v for v in self._states() if v.lifetime is Lifetime.EXAMPLE]

    def train(
        self, state: State, data: Data, order: Indices, numbers: Numbers, *, seed: int, epoch: int, batch: int
    ) -> None:
        """See `Engine.train`. Raises ValueError if a phase's ticks are no whole number."""
        whole = dense(self.circuit, state)
        with quiet():
            for start in range(0, len(order), batch):
                chosen = order[start : start + batch]
                self._learn(whole, self._batch(data, chosen, numbers, seed, epoch, train=True), numbers)
        give_back(state, whole)

    def evaluate(
        self, state: State, data: Data, order: Indices, numbers: Numbers, *, seed: int, epoch: int,
        watch: Sequence[str] = (),
    ) -> Evaluation:  # fmt: skip
        """See `Engine.evaluate`. Raises ValueError if evaluation has no tick."""
        import numpy as np

        losses: list[Array] = []
        probes: list[list[Array]] = [[] for _ in self.probes]
        watched: dict[str, list[Array]] = {name: [] for name in watch}
        with quiet():
            for start in range(0, len(order), CHUNK):
                chosen = order[start : start + CHUNK]
                batch = self._batch(data, chosen, numbers, seed, epoch, train=False)
                frames = self._frozen(state, batch, numbers)
                if self.circuit.loss is not None:
                    losses.append(self._loss(self.circuit.loss, frames, state))
                for found, probe in zip(probes, self.probes, strict=True):
                    found.append(self._scalar(probe, frames[-1], state))
                for name, arrays in watched.items():
                    arrays.append(frames[-1].now[name])
            return Evaluation(
                loss=None if self.circuit.loss is None else _mean(losses),
                probes=[_mean(found) for found in probes],
                watched={name: np.concatenate(arrays) for name, arrays in watched.items() if arrays},
            )

    def trace(
        self, state: State, data: Data, order: Indices, numbers: Numbers, *, seed: int, epoch: int,
        training: bool,
    ) -> dict[str, Array]:  # fmt: skip
        """Every value at every tick, [ticks, examples, size], with the examples `order` as one batch.

        With `training` as they are while it learns (in a twin: of the evaluation pass, and the adjoints), else
        as in evaluation. `state` is unchanged."""
        import numpy as np

        with quiet():
            batch = self._batch(data, order, numbers, seed, epoch, train=training)
            if training:
                frames, _ = self._learn(dense(self.circuit, state).copy(), batch, numbers)
            else:
                frames = self._frozen(state, batch, numbers)
        return {name: np.stack([f.now[name] for f in frames]) for name in frames[0].now} if frames else {}

    def increments(
        self, state: State, data: Data, order: Indices, numbers: Numbers, *, seed: int, epoch: int
    ) -> dict[str, Array]:
        """What training on the examples `order` as one batch adds to each plastic synapse's weights before
        `sign` and `bounds` clip them: `dw` averaged over the batch and summed over the ticks, 0 where there is
        no connection. `state` is unchanged."""
        state = dense(self.circuit, state)
        with quiet():
            batch = self._batch(data, order, numbers, seed, epoch, train=True)
            _, total = self._learn(state.copy(), batch, numbers)
        return {name: _masked(step, state.mask(name)) for name, step in total.items()}

    def gradient(
        self, state: State, data: Data, order: Indices, numbers: Numbers, *, seed: int, epoch: int
    ) -> dict[str, Array]:
        """d loss / d W of every synapse, averaged over the examples `order` and summed over the ticks of
        evaluation, 0 where there is no connection: the adjoint of the dendrite times what drives it.

        Only for a circuit with adjoints (`Circuit.reverse`), else ValueError. `state` is unchanged."""
        import numpy as np

        if not self.circuit.reverse:
            raise ValueError(f"`{self.circuit.name}` has no adjoints: only a gradient twin has a gradient")
        state = dense(self.circuit, state)
        with quiet():
            batch = self._batch(data, order, numbers, seed, epoch, train=True)
            frames, _ = self._learn_twin(state.copy(), batch, numbers)
            found: dict[str, Array] = {}
            for synapse in self.circuit.synapses.values():
                total = np.zeros_like(state.weights[synapse.name])
                for frame in frames:
                    delta = frame.now.get(f"d({synapse.dendrite})")
                    if delta is not None:
                        total += delta.T @ read_value(synapse.source, frame)
                found[synapse.name] = _masked(total / total.dtype.type(batch.size), state.mask(synapse.name))
            return found

    def hold(
        self, state: State, data: Data, order: Indices, numbers: Numbers, *, seed: int, epoch: int,
        training: bool, given: Mapping[str, Array] | None = None,
    ) -> list[Frame]:  # fmt: skip
        """Every tick of the examples `order` as one batch, while everything that survives an example is held as
        it is: nothing learns. `state` is unchanged.

        With `training` the ticks of training, else those of evaluation, then with all adjoints if there are any.
        `given` stands in for values, by name: [ticks, examples, size]."""
        with quiet():
            batch = self._batch(data, order, numbers, seed, epoch, train=training)
            frames = self._frozen(state, batch, numbers, train=training, given=given or {})
            if not training:
                self._backward(frames, state)
            return frames

    # ------------------------------------------------------------ passes over the ticks

    def _batch(self, data: Data, indices: Indices, numbers: Numbers, seed: int, epoch: int, *, train: bool) -> Batch:
        import numpy as np

        given: dict[str, Array] = {}
        for population in self.circuit.populations.values():
            if population.kind is Kind.BIAS:
                given[population.name] = np.ones((len(indices), 1), self.dtype)
            elif population.kind in (Kind.INPUT, Kind.TARGET):
                given[population.name] = np.asarray(data[population.name])[indices].astype(self.dtype)
        return Batch(
            dtype=self.dtype,
            numbers={name: np.asarray(value, self.dtype) for name, value in numbers.items()},
            seed=seed,
            epoch=epoch,
            indices=np.asarray(indices, np.int64),
            train=train and not self.circuit.reverse,
            given=given,
        )

    def _positions(self, numbers: Numbers, *, train: bool) -> list[Position]:
        """The ticks of an example, in training or in evaluation."""
        phases = self.circuit.schedule.phases
        if not phases:
            return [Position(tick=0, phase=None, first=True, last=True)]
        positions: list[Position] = []
        for phase in phases:
            count = whole(phase.ticks, numbers, f"the number of ticks of phase `{phase.name}`")
            if phase.train and not train:
                continue
            for i in range(count):
                tick = len(positions)
                last = i == count - 1
                positions.append(Position(tick=tick, phase=phase.name, first=i == 0, last=last))
        return positions

    def _frozen(
        self, state: State, batch: Batch, numbers: Numbers, *, train: bool = False,
        given: Mapping[str, Array] | None = None,
    ) -> list[Frame]:  # fmt: skip
        """All ticks without learning: those of the evaluation pass, unless `train`."""
        positions = self._positions(numbers, train=train)
        if not positions:
            raise ValueError(f"`{self.circuit.name}` has no tick in evaluation")
        lives = self._begin(state, batch)
        frames: list[Frame] = []
        for position in positions:
            replaced = {name: array[position.tick] for name, array in (given or {}).items()}
            frame = self._tick(state, lives, batch, position, frames, replaced)
            frames.append(frame)
            _add(lives.neurons, self._neuron_steps(frame, state, self.passing))
        return frames

    def _backward(self, frames: list[Frame], state: State) -> None:
        """Completes the frames of an evaluation pass with the adjoints, from the last tick to the first."""
        after: dict[str, Array] | None = None
        for i in reversed(range(len(frames))):
            frame = frames[i] = replace(frames[i], after=after)
            for name in self.circuit.reverse:
                frame.now[name] = self._value(self.circuit.values[name], frame, state)
            after = frame.now

    def _learn(self, state: State, batch: Batch, numbers: Numbers) -> tuple[list[Frame], dict[str, Array]]:
        """One batch of training: the frames, and what was added to the weights before clipping."""
        if self.circuit.reverse:
            return self._learn_twin(state, batch, numbers)
        lives = self._begin(state, batch)
        frames: list[Frame] = []
        total = Steps()
        pending = Steps()
        positions = self._positions(numbers, train=True)
        for position in positions:
            frame = self._tick(state, lives, batch, position, frames)
            frames.append(frame)
            steps = self._fast_steps(frame, state, lives)
            advance, steps.states = Steps(states=steps.states), {}
            pending.add(steps)
            if self.circuit.schedule.update == "tick" or position is positions[-1]:
                pending.add(self._slow_steps(frame, state, lives, pending))
                advance.add(pending)
                pending = Steps()
            neurons = self._neuron_steps(frame, state, self.passing)
            kept = self._neuron_steps(frame, state, self.keeps)
            self._apply(advance, state, lives, numbers)
            _add(lives.neurons, neurons)
            for name, step in kept.items():
                state.kept[name] += _average(step, state.kept[name].shape)
            _add(total.weights, advance.weights)
        return frames, total.weights

    def _learn_twin(self, state: State, batch: Batch, numbers: Numbers) -> tuple[list[Frame], dict[str, Array]]:
        """The evaluation pass, then its ticks backwards with the adjoints, then one update."""
        frames = self._frozen(state, batch, numbers)
        self._backward(frames, state)
        lives = self._begin(state, batch)
        total = Steps()
        for frame in reversed(frames):
            total.add(self._fast_steps(frame, state, lives))
        total.add(self._slow_steps(frames[0], state, lives, total))
        self._apply(total, state, lives, numbers)
        return frames, total.weights

    # ------------------------------------------------------------ one tick

    def _states(self) -> Iterator[Value]:
        return (v for v in self.circuit.values.values() if v.kind is Kind.STATE)

    def _begin(self, state: State, batch: Batch) -> Lives:
        """The states of a batch before its first tick."""
        import numpy as np

        def reset(name: str) -> Array:
            start = state.resets[name]
            return np.repeat(start[None].astype(self.dtype), batch.size, axis=0)

        return Lives(
            neurons={v.name: reset(v.name) for v in self.passing},
            fresh={
                (s.name, v.name): reset(f"{s.name}.{v.name}")
                for s in self.circuit.synapses.values()
                for v in s.states
                if v.fresh
            },
        )

    def _tick(
        self, state: State, lives: Lives, batch: Batch, position: Position, earlier: Sequence[Frame],
        given: Mapping[str, Array] | None = None,
    ) -> Frame:  # fmt: skip
        """All values at one tick, those that are `given` as they are given."""
        import numpy as np

        now = {**batch.given, **lives.neurons}
        for kept in self.keeps:
            now[kept.name] = np.broadcast_to(state.kept[kept.name], (batch.size, kept.size)).copy()
        now.update(given or {})
        before = earlier[-1].now if earlier else None
        frame = Frame(batch=batch, position=position, now=now, before=before)
        for name in self.circuit.order:
            if given is None or name not in given:
                now[name] = self._value(self.circuit.values[name], frame, state)
        return frame

    def _value(self, value: Value, frame: Frame, state: State) -> Array:
        """A value that is a sum of currents, an expression, both, or (a dendrite) neither."""
        import numpy as np

        shape = (frame.batch.size, value.size)
        total = np.zeros(shape, self.dtype)
        for current in value.currents:
            matrix = Matrix(state.projections[current.synapse], state.weights[current.synapse])
            into = matrix.T if current.transposed else matrix
            source = read_value(current.source, frame)
            total = total + _product(np.broadcast_to(source, (frame.batch.size, into.shape[1])), into)
        if value.expr is not None:
            own = np.broadcast_to(evaluate(value.expr, frame, self._units(value, state)), shape)
            total = total + own if value.currents else own
        return np.asarray(total, self.dtype)

    def _units(self, value: Value, state: State) -> Units:
        return Units(size=value.size, coefficients=state.coefficients)

    def _weights(
        self, synapse: Synapse, state: State, lives: Lives, drives: Mapping[tuple[str, str], Array]
    ) -> Weights:
        persistent = {v: a for (s, v), a in state.synapse_states.items() if s == synapse.name}
        fresh = {v: a for (s, v), a in lives.fresh.items() if s == synapse.name}
        return Weights(
            synapse=synapse,
            weights=state.weights[synapse.name],
            states={**persistent, **fresh},
            drives={d: a for (s, d), a in drives.items() if s == synapse.name},
            coefficients=state.coefficients,
            fans=fans_of(synapse, state.projections[synapse.name]),
        )

    def _neuron_steps(self, frame: Frame, state: State, values: Sequence[Value]) -> dict[str, Array]:
        """The increments of states of neurons and modulators, [B, size]."""
        import numpy as np

        return {
            v.name: np.broadcast_to(evaluate(v.update, frame, self._units(v, state)), (frame.batch.size, v.size))
            for v in values
            if v.update is not None
        }

    def _fast_steps(self, frame: Frame, state: State, lives: Lives) -> Steps:
        """What is evaluated for each example at each tick: drives, and the equations that read none."""
        steps = Steps()
        for synapse in self.circuit.synapses.values():
            site = self._weights(synapse, state, lives, {})
            shape = site.weights.shape
            for drive in synapse.drives:
                steps.drives[synapse.name, drive.name] = _average(evaluate(drive.expr, frame, site), shape)
            if synapse.dw is not None and not is_slow(synapse.dw):
                steps.weights[synapse.name] = _average(evaluate(synapse.dw, frame, site), shape)
            for var in synapse.states:
                if var.update is not None and not is_slow(var.update):
                    step = evaluate(var.update, frame, site)
                    steps.states[synapse.name, var.name] = step if var.fresh else _average(step, shape)
        return steps

    def _slow_steps(self, frame: Frame, state: State, lives: Lives, pending: Steps) -> Steps:
        """What is evaluated once per update, from the drives averaged over the batch."""
        steps = Steps()
        for synapse in self.circuit.synapses.values():
            site = self._weights(synapse, state, lives, pending.drives)
            shape = site.weights.shape
            if synapse.dw is not None and is_slow(synapse.dw):
                steps.weights[synapse.name] = _average(evaluate(synapse.dw, frame, site), shape)
            for var in synapse.states:
                if var.update is not None and is_slow(var.update):
                    step = evaluate(var.update, frame, site)
                    steps.states[synapse.name, var.name] = step if var.fresh else _average(step, shape)
        return steps

    def _apply(self, steps: Steps, state: State, lives: Lives, numbers: Numbers) -> None:
        """Adds the increments of synapses, in place; absent weights and their states stay 0."""
        for name, step in steps.weights.items():
            weights, synapse = state.weights[name], self.circuit.synapses[name]
            fans = fans_of(synapse, state.projections[name])
            weights[...] = constrain(weights + step, synapse, state.mask(name), numbers, fans)
        for key, step in steps.states.items():
            array = lives.fresh[key] if key in lives.fresh else state.synapse_states[key]
            array += _masked(step, state.mask(key[0]))

    # ------------------------------------------------------------ scalars of an example

    def _scalar(self, expr: Expr, frame: Frame, state: State) -> Array:
        """A scalar expression of each example, [B]."""
        import numpy as np

        value = evaluate(expr, frame, Units(size=1, coefficients=state.coefficients))
        return np.broadcast_to(value, (frame.batch.size, 1))[:, 0]

    def _loss(self, loss: Loss, frames: Sequence[Frame], state: State) -> Array:
        """The loss of each example, [B]; nan if its phase has no tick."""
        import numpy as np

        match loss.when:
            case "last":
                read = [frames[-1]]
            case "at":
                read = [f for f in frames if f.position.phase == loss.phase and f.position.last]
            case "over":
                read = [f for f in frames if f.position.phase == loss.phase]
            case _:
                assert_never(loss.when)
        if not read:
            return np.full(frames[-1].batch.size, np.nan, self.dtype)
        return np.asarray(np.mean([self._scalar(loss.expr, frame, state) for frame in read], axis=0))


def _product(source: Array, matrix: Matrix) -> Array:
    """[B, pre] times [post, pre] transposed; large weights of another precision are converted some at a time."""
    import numpy as np

    if isinstance(matrix.projection, Sparse):
        return matrix.projection.product(matrix.values, source)
    into = matrix.values.T
    if source.dtype == into.dtype:
        return np.asarray(source @ into)
    found = np.empty((len(source), into.shape[1]), np.result_type(source, into))
    for units in rows_of(into.T.shape):
        found[:, units] = source @ into[:, units]
    return found


def _masked(step: Array, mask: NDArray[np.bool_] | None) -> Array:
    import numpy as np

    return step if mask is None else np.where(mask, step, step.dtype.type(0))


def _mean(arrays: Sequence[Array]) -> float:
    """The mean over all examples, in float64; nan if there are none."""
    import numpy as np

    return float(np.concatenate(arrays).mean(dtype=np.float64)) if arrays else float("nan")
