"""A compiled circuit as an `Engine`: binds the state, the data and the numbers to an emitted program.

Programs are made when they are first needed, and compiled then; work space is allocated once and grows with the
batch. State arrays of the engine's dtype in C order are used in place, others are copied in and out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, assert_never

from circuitdsl.emit.target import DType
from circuitdsl.graph.functions import quiet
from circuitdsl.graph.initial import fans_of
from circuitdsl.graph.ir import Circuit, Expr, Kind, Lifetime
from circuitdsl.graph.machine import Data, Evaluation, Numbers, State
from circuitdsl.graph.numbers import whole
from circuitdsl.lower.loop_ir import Buffer, Given, Role, Scalar
from circuitdsl.runtime.backends import DEFAULT, back_end
from circuitdsl.runtime.code import Code, Kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Indices

    AnyArray = NDArray[Any]

#: How many examples are evaluated side by side.
CHUNK = 256


class Compiled:
    """An `Engine` (graph/machine.py) that runs emitted code.

    `probes` are scalar expressions of one example, read at the last evaluation tick. `without`: the names of passes
    that are left out (lower/pipeline.py). Raises UsageError for an unknown target. `compile_seconds` is the time spent
    on code so far.
    """

    def __init__(
        self, circuit: Circuit, probes: Sequence[Expr] = (), dtype: DType = "float32", *, target: str = DEFAULT,
        without: Collection[str] = (),
    ):  # fmt: skip
        self.circuit = circuit
        self.probes = probes
        self.dtype: DType = dtype
        self.code = Code(circuit, probes, dtype, back_end(target), without)
        self._converted: dict[str, tuple[AnyArray, AnyArray]] = {}

    @property
    def compile_seconds(self) -> float:
        return self.code.seconds

    # ------------------------------------------------------------ the engine's promise

    def train(
        self, state: State, data: Data, order: Indices, numbers: Numbers, *, seed: int, epoch: int, batch: int
    ) -> None:
        """See `Engine.train`. Raises ValueError if a phase's ticks are no whole number."""
        if len(order) == 0:
            return
        batch = min(batch, len(order))
        kernel = self.code.kernel("train_online" if batch == 1 else "train")
        call = Call(self, state, data, order, numbers, seed=seed, epoch=epoch, batch=batch)
        with quiet():
            self.code.warm(kernel, lambda: call.run(kernel))
            call.run(kernel, steps=-(-len(order) // batch))
        call.write_back()

    def evaluate(
        self, state: State, data: Data, order: Indices, numbers: Numbers, *, seed: int, epoch: int,
        watch: Sequence[str] = (),
    ) -> Evaluation:  # fmt: skip
        """See `Engine.evaluate`. Raises ValueError if evaluation has no tick."""
        import numpy as np

        if ticks_of(self.circuit, numbers, evaluation=True) == 0:
            raise ValueError(f"`{self.circuit.name}` has no tick in evaluation")
        kernel = self.code.kernel("watch" if watch or "watch" in self.code.kernels else "evaluate")
        call = Call(self, state, data, order, numbers, seed=seed, epoch=epoch, batch=min(CHUNK, len(order)))
        results: dict[str, list[AnyArray]] = {}
        watched: dict[str, list[AnyArray]] = {name: [] for name in watch}
        with quiet():
            self.code.warm(kernel, lambda: call.run(kernel))
            for first in range(0, len(order), CHUNK):
                count = min(CHUNK, len(order) - first)
                call.run(kernel, first=first, count=count)
                for buffer in kernel.of_role(Role.RESULT):
                    results.setdefault(buffer.key, []).append(kernel.work[buffer.name][:count, 0].copy())
                for name, arrays in watched.items():
                    arrays.append(self._watched(name, kernel, call, order[first : first + count]))
        return Evaluation(
            loss=final_loss(self.circuit, _mean(results.get("loss", ())), numbers),
            probes=[_mean(results.get(f"probe {i}", ())) for i in range(len(self.probes))],
            watched={name: np.concatenate(arrays) for name, arrays in watched.items() if arrays},
        )

    # ------------------------------------------------------------ evaluation

    def _watched(self, name: str, kernel: Kernel, call: Call, order: Indices) -> AnyArray:
        """A value as it stood at the last tick, [examples, size]."""
        import numpy as np

        value = self.circuit.values[name]
        match value.kind:
            case Kind.INPUT | Kind.TARGET:
                return np.asarray(call.data[name])[order].astype(self.dtype)
            case Kind.BIAS:
                return np.ones((len(order), 1), self.dtype)
            case Kind.STATE if value.lifetime is Lifetime.KEEP or not self.circuit.schedule.phases:
                held = call.state.kept if value.lifetime is Lifetime.KEEP else call.state.resets
                return np.repeat(held[name][None].astype(self.dtype), len(order), axis=0)
            case _:
                buffer = next(b for b in kernel.of_role(Role.VALUE) if b.key == name)
                return kernel.work[buffer.name][: len(order)].copy()

    # ------------------------------------------------------------ numbers

    def scalar(self, scalar: Scalar, call: Call, given: Mapping[Given, int]) -> Any:
        """The value of a runtime scalar, a NumPy number of the engine's dtype or an int."""
        import numpy as np

        real = np.dtype(self.dtype).type
        match scalar.given:
            case Given.PARAM:
                return real(call.numbers[scalar.key])
            case Given.SIZE:
                return self.circuit.values[scalar.key].size
            case Given.FAN_IN | Given.FAN_OUT:
                synapse = self.circuit.synapses[scalar.key]
                fans = fans_of(synapse, call.state.masks[scalar.key])
                return real(fans.fan_in if scalar.given is Given.FAN_IN else fans.fan_out)
            case Given.TICKS:
                return whole_ticks(self.circuit, scalar.key, call.numbers)
            case Given.CAPACITY:
                return self._capacity(scalar.key, call)
            case Given.EXAMPLES:
                return len(call.order)
            case Given.SEED:
                return call.seed
            case Given.EPOCH:
                return call.epoch
            case Given.STEPS | Given.FIRST | Given.COUNT:
                return given[scalar.given]
            case _:
                assert_never(scalar.given)

    def _capacity(self, of: str, call: Call) -> int:
        if of == "batch":
            return call.batch
        if of == "dataset":
            return next((len(array) for array in call.data.values()), 0)
        return ticks_of(self.circuit, call.numbers, evaluation=True) + 1

    def converted(self, name: str, array: AnyArray) -> AnyArray:
        """Data in the engine's dtype and C order, converted once."""

        found = self._converted.get(name)
        if found is None or found[0] is not array:
            found = array, usable(array, self.dtype)
            self._converted[name] = found
        return found[1]


def usable(array: AnyArray, dtype: Any) -> AnyArray:
    """The array itself, or a copy: in C order and writable, because Numba compiles anew for what is not, such as an
    array that came from another process."""
    import numpy as np

    return np.require(array, dtype, ["C_CONTIGUOUS", "WRITEABLE"])


def whole_ticks(circuit: Circuit, phase: str, numbers: Numbers) -> int:
    """The ticks of a phase. Raises ValueError if they are no whole number."""
    found = next(p for p in circuit.schedule.phases if p.name == phase)
    return whole(found.ticks, numbers, f"the number of ticks of phase `{phase}`")


def ticks_of(circuit: Circuit, numbers: Numbers, *, evaluation: bool) -> int:
    """The ticks of an example. Raises ValueError as `whole_ticks`."""
    phases = circuit.schedule.phases
    if not phases:
        return 1
    return sum(whole_ticks(circuit, p.name, numbers) for p in phases if not (evaluation and p.train))


def final_loss(circuit: Circuit, mean: float, numbers: Numbers) -> float | None:
    """The loss from the mean of what an evaluation program leaves; nan if its phase has no tick."""
    loss = circuit.loss
    if loss is None:
        return None
    if loss.when == "last":
        return mean
    phase = next(p for p in circuit.schedule.phases if p.name == loss.phase)
    ticks = whole_ticks(circuit, phase.name, numbers)
    if phase.train or ticks == 0:
        return float("nan")
    return mean / ticks if loss.when == "over" else mean


def _mean(arrays: Sequence[AnyArray]) -> float:
    """The mean over all examples, in float64; nan if there are none."""
    import numpy as np

    return float(np.concatenate(arrays).mean(dtype=np.float64)) if arrays else float("nan")


@dataclass(slots=True)
class Call:
    """What one call of the engine is given."""

    engine: Compiled
    state: State
    data: Data
    order: Indices
    numbers: Numbers
    seed: int = field(kw_only=True)
    epoch: int = field(kw_only=True)
    batch: int = field(kw_only=True)
    copies: list[tuple[AnyArray, AnyArray]] = field(default_factory=list)
    bound: dict[str, AnyArray] = field(default_factory=dict)

    def run(self, kernel: Kernel, *, steps: int = 0, first: int = 0, count: int = 0) -> None:
        given = {Given.STEPS: steps, Given.FIRST: first, Given.COUNT: count}
        scalars = {s.name: self.engine.scalar(s, self, given) for s in kernel.program.scalars}
        arrays = [self._array(b, kernel, scalars) for b in kernel.program.buffers]
        kernel.entry(*(scalars[s.name] for s in kernel.scalars), *arrays)

    def write_back(self) -> None:
        """Copies what could not be used in place to where it came from."""
        for original, used in self.copies:
            original[...] = used

    def _array(self, buffer: Buffer, kernel: Kernel, scalars: Mapping[str, int]) -> AnyArray:
        shape = tuple(1 if extent == "1" else int(scalars[extent]) for extent in buffer.shape)
        if buffer.role in (Role.VALUE, Role.ROW, Role.WORK, Role.RESULT):
            array = kernel.room(buffer, shape)
            if buffer.role is Role.RESULT:
                array[...] = 0
            return array
        if buffer.name not in self.bound:
            self.bound[buffer.name] = self._bind(buffer, shape)
        return self.bound[buffer.name]

    def _bind(self, buffer: Buffer, shape: tuple[int, ...]) -> AnyArray:
        """The array of the state or the data that a buffer stands for. Raises ValueError for a wrong shape."""
        import numpy as np

        state, dtype = self.state, self.engine.dtype
        match buffer.role:
            case Role.WEIGHT:
                array = self._in_place(state.weights[buffer.key])
            case Role.SYNAPSE_STATE:
                synapse, _, name = buffer.key.rpartition(".")
                array = self._in_place(state.synapse_states[synapse, name])
            case Role.KEPT:
                array = self._in_place(state.kept[buffer.key])
            case Role.MASK:
                mask = state.masks[buffer.key]
                array = np.ones(shape, np.bool_) if mask is None else np.ascontiguousarray(mask)
            case Role.COEFFICIENT:
                array = np.ascontiguousarray(state.coefficients[buffer.key], dtype)
            case Role.RESET:
                array = np.ascontiguousarray(state.resets[buffer.key], dtype)
            case Role.DATA:
                array = self.engine.converted(buffer.key, self.data[buffer.key])
            case Role.ORDER:
                array = usable(self.order, np.int64)
            case Role.VALUE | Role.ROW | Role.WORK | Role.RESULT | Role.NUMBER:
                raise AssertionError("work space is not bound")
            case _:
                assert_never(buffer.role)
        if array.shape != shape:
            raise ValueError(f"`{buffer.key}` has the shape {array.shape}, not {shape}")
        return array

    def _in_place(self, array: AnyArray) -> AnyArray:
        """The array itself, or a copy that is written back after the call."""
        import numpy as np

        used = np.ascontiguousarray(array, dtype=self.engine.dtype)
        if used is not array:
            self.copies.append((array, used))
        return used
