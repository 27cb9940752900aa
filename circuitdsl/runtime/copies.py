"""One call of a circuit's compiled program: all that its copies are given, and what they leave.

A single run is a population of one copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, assert_never

from circuitdsl.frozen import mutable
from circuitdsl.graph.ir import Kind, Lifetime
from circuitdsl.graph.machine import Data, Numbers, State
from circuitdsl.graph.projections import Dense, Sparse
from circuitdsl.lower.crew import most_workers
from circuitdsl.lower.loop_ir import Buffer, Dtype, Given, Role, Scalar
from circuitdsl.runtime.code import Kernel
from circuitdsl.runtime.crew import Pace
from circuitdsl.runtime.lanes import Groups, groups_of
from circuitdsl.runtime.routine import Frame, Part
from circuitdsl.runtime.ticks import ticks_of, whole_ticks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Indices
    from circuitdsl.runtime.population import Copies, Population

    AnyArray = NDArray[Any]
    Whole = NDArray[np.int64]
    Moving = Mapping[Given, Any]

#: Of arrays that hold no reals.
DTYPES = {Dtype.INT: "int64", Dtype.SHORT: "int32", Dtype.BOOL: "bool"}
#: What training changes.
WRITTEN = frozenset({Role.WEIGHT, Role.SYNAPSE_STATE, Role.KEPT})
#: What is another number in every call.
MOVING = frozenset({Given.STEPS, Given.FIRST, Given.COUNT, Given.EXAMPLES, Given.SEED, Given.EPOCH})


def shared(items: Sequence[Any]) -> tuple[list[Any], list[int]]:
    """The distinct objects, and which of them each place holds."""
    if len(items) == 1:
        return [items[0]], [0]
    import numpy as np

    ids = np.fromiter(map(id, items), dtype=np.uint64, count=len(items))
    _, first, rows = np.unique(ids, return_index=True, return_inverse=True)
    return [items[i] for i in first.tolist()], rows.ravel().tolist()


def _same(data: Data, other: Data) -> bool:
    """Whether both are the same arrays."""
    return data.keys() == other.keys() and all(array is other[name] for name, array in data.items())


@lru_cache(maxsize=32)
def _rows(rows: int, copies: int) -> Whole:
    """Which of so many rows each copy uses, if consecutive copies share them."""
    import numpy as np

    return np.arange(copies, dtype=np.int64) * rows // max(copies, 1)


@mutable
class Call:
    """What the copies of a population are given when a kernel is called, once or for one chunk of examples after the
    other, and again as long as it `suits`. `arrays`: what each buffer is bound to, [rows, ...]; `frame`: what the code
    takes, as it was last."""

    population: Population
    kernel: Kernel
    states: State
    copies: Copies
    epoch: int = field(kw_only=True)
    batch: int = field(kw_only=True)
    data: list[Data] = field(init=False)
    data_rows: list[int] = field(init=False)
    orders: list[Indices] = field(init=False)
    order_rows: list[int] = field(init=False)
    count: int = field(init=False)
    numbers: list[Numbers] = field(init=False)
    number_rows: list[int] = field(init=False)
    groups: Groups | None = field(init=False, default=None)
    arrays: dict[str, AnyArray] = field(init=False, default_factory=dict)
    frame: Frame | None = field(init=False, default=None)
    pace: Pace = field(init=False)

    def __post_init__(self) -> None:
        data, self.data_rows = shared(self.copies.data)
        numbers, self.number_rows = shared(self.copies.numbers)
        self.data, self.numbers = [dict(d) for d in data], [dict(n) for n in numbers]
        self.orders, self.order_rows = shared(self.copies.orders)
        self.count = len(self.copies)
        largest = max(v.size for v in self.population.circuit.values.values())
        most = 1 if self.kernel.program.crew is None else most_workers(max(largest, self.batch))
        self.pace = Pace(min(most, self.population.crew.most))

    def suits(self, copies: Copies, batch: int) -> bool:
        """Whether a single copy has the data and the numbers of this call, so that it can be made `again`. States are
        not looked at."""
        return (
            len(copies) == self.count == 1
            and batch == self.batch
            and copies.numbers[0] == self.numbers[0]
            and _same(copies.data[0], self.data[0])
        )

    def again(self, copies: Copies, epoch: int) -> None:
        """Lets the call be for other examples, seeds and another epoch."""
        self.copies, self.epoch = copies, epoch
        self.orders, self.order_rows = shared(copies.orders)
        for at, buffer in enumerate(self.kernel.binding.buffers):
            if buffer.role is Role.ORDER and self.frame is not None:
                self.arrays[buffer.name] = self.population.stacked("", self.orders)
                self.frame.bind(at, Part(self.arrays[buffer.name], _rows(1, self.runs)))

    def run(self, steps: Sequence[int] = (), *, first: int = 0, counts: Sequence[int] = ()) -> None:
        """One call for all copies; what training changes is changed in the states."""
        nothing = [0] * self.count
        moving = {
            Given.STEPS: steps or nothing, Given.FIRST: first, Given.COUNT: counts or nothing, Given.EPOCH: self.epoch,
            Given.EXAMPLES: [len(order) for order in self.copies.orders], Given.SEED: self.copies.seeds,
        }  # fmt: skip
        frame = self._moved(moving)
        if self.kernel.program.crew is None:
            self.population.spread(len(frame), partial(self.kernel.routine, frame))
        else:
            self._by_crew(frame, sum(steps or counts))
        if self.groups is not None:
            for buffer in self.kernel.binding.buffers:
                if buffer.role in WRITTEN:
                    self.groups.narrow(self.arrays[buffer.name], self._held(buffer))

    def _by_crew(self, frame: Frame, work: int) -> None:
        """The call shared by a crew, for each of whose workers the frame has a row."""
        (meeting,) = self.kernel.of_role(Role.MEETING)
        at = [scalar.given for scalar in self.kernel.binding.wholes].index(Given.WORKERS)
        routine = self.kernel.routine

        def share(worker: int) -> None:
            routine(frame, worker, worker + 1, worker)

        def begin(workers: int) -> None:
            frame.wholes[:, at] = workers
            self.arrays[meeting.name][...] = 0

        self.population.crew.call(self.pace, work, begin, share)

    def results(self) -> dict[str, AnyArray]:
        """What the last call has measured, [copies, examples] by key."""
        return {b.key: self._narrow(self.arrays[b.name])[..., 0] for b in self.kernel.of_role(Role.RESULT)}

    def watched(self, name: str, first: int, count: int) -> AnyArray:
        """A value of the only copy as it stood at the last tick of these examples, [examples, size]."""
        import numpy as np

        value, dtype = self.population.circuit.values[name], self.population.dtype
        match value.kind:
            case Kind.INPUT | Kind.TARGET:
                return np.asarray(self.data[0][name])[self.orders[0][first : first + count]].astype(dtype)
            case Kind.BIAS:
                return np.ones((count, 1), dtype)
            case Kind.STATE if value.lifetime is Lifetime.KEEP or not self.population.circuit.schedule.phases:
                held = self.states.kept if value.lifetime is Lifetime.KEEP else self.states.resets
                return np.repeat(held[name][:1].astype(dtype), count, axis=0)
            case _:
                buffer = next(b for b in self.kernel.of_role(Role.VALUE) if b.key == name)
                return self.arrays[buffer.name][0, :count].copy()

    def _narrow(self, array: AnyArray) -> AnyArray:
        """[copies, ...] of what may stand in lanes."""
        import numpy as np

        if self.groups is None:
            return array.copy()
        made = np.zeros((self.count, *array.shape[1:-1]), array.dtype)
        self.groups.narrow(array, made)
        return made

    @property
    def rows(self) -> int:
        """For how many the code runs: for each copy, or for each group of them."""
        return self.count if self.groups is None else len(self.groups)

    @property
    def runs(self) -> int:
        """How many calls of the code share the frame: one for each, or one for each worker of a crew."""
        return self.rows if self.kernel.program.crew is None else self.pace.most

    # ------------------------------------------------------------ scalars

    def _columns(self, moving: Moving) -> dict[str, AnyArray]:
        """Every scalar that the kernel takes or that a buffer's shape needs, [copies]."""
        import numpy as np

        found = {}
        for scalar in self.kernel.program.scalars:
            real = scalar.dtype is Dtype.REAL
            found[scalar.name] = np.empty(self.count, self.population.dtype if real else np.int64)
            found[scalar.name][:] = self._column(scalar, moving)
        return found

    def _column(self, scalar: Scalar, moving: Moving) -> Any:
        circuit = self.population.circuit
        match scalar.given:
            case Given.PARAM:
                return self._per_numbers(lambda numbers: numbers[scalar.key])
            case Given.SIZE:
                return circuit.values[scalar.key].size
            case Given.FAN_IN | Given.FAN_OUT:
                return self._fans(scalar)
            case Given.PLACES | Given.STARTS:
                few = self._few(scalar.key)
                return (few.columns if scalar.given is Given.PLACES else few.starts).shape[-1]
            case Given.TICKS:
                return self._per_numbers(lambda numbers: whole_ticks(circuit, scalar.key, numbers))
            case Given.CAPACITY:
                return self._capacity(scalar.key)
            case Given.EXAMPLES | Given.SEED | Given.EPOCH | Given.STEPS | Given.FIRST | Given.COUNT:
                return moving[scalar.given]
            case Given.WORKER | Given.WORKERS:  # of each row of the frame another one, of each call another one
                return 0
            case _:
                assert_never(scalar.given)

    def _per_numbers(self, value: Callable[[Numbers], float]) -> AnyArray:
        import numpy as np

        values: AnyArray = np.array([value(n) for n in self.numbers])[self.number_rows]
        return values

    def _fans(self, scalar: Scalar) -> Any:
        """The realised mean in- or out-degree of a synapse in each copy."""
        import numpy as np

        synapse = self.population.circuit.synapses[scalar.key]
        incoming = scalar.given is Given.FAN_IN
        match self.states.projections[scalar.key]:
            case Dense(mask=None):
                return float(synapse.pre_size if incoming else synapse.post_size)
            case Dense(mask=mask):
                assert mask is not None
                counts = mask.sum(axis=(1, 2))
            case Sparse(starts=starts):
                counts = starts[:, -1]
            case other:
                assert_never(other)
        degrees = counts / (synapse.post_size if incoming else synapse.pre_size)
        return np.repeat(degrees, self.count // len(degrees))

    def _few(self, synapse: str) -> Sparse:
        """The weights that are there. Raises ValueError if all of them are held."""
        projection = self.states.projections[synapse]
        if not isinstance(projection, Sparse):
            raise ValueError(f"`{synapse}` is a whole matrix, where only the weights that are there are held")
        return projection

    def _capacity(self, of: str) -> int:
        if of == "batch":
            return self.batch
        if of == "dataset":
            return max((len(array) for data in self.data for array in data.values()), default=0)
        return 1 + max(ticks_of(self.population.circuit, numbers, evaluation=True) for numbers in self.numbers)

    # ------------------------------------------------------------ arrays

    def _moved(self, moving: Moving) -> Frame:
        """All that the code takes: of copies that do not stand in lanes only what is new is put there again."""
        if self.frame is None or self.groups is not None:
            self.frame = self._frame(self._columns(moving))
            return self.frame
        for at, scalar in enumerate(self.kernel.binding.wholes):
            if scalar.given in MOVING:
                self.frame.wholes[:, at] = moving[scalar.given]
        for buffer in self.kernel.of_role(Role.RESULT):
            self.arrays[buffer.name][...] = 0
        return self.frame

    def _frame(self, columns: Mapping[str, AnyArray]) -> Frame:
        """All that the code takes for copies, or for groups of them."""
        import numpy as np

        binding, copies = self.kernel.binding, self.count
        none: AnyArray = np.zeros(copies, dtype=np.int64)
        wholes = np.stack([columns[s.name] for s in binding.wholes] or [none], axis=1)
        reals = np.stack([columns[s.name] for s in binding.numbers] or [none], axis=1)
        if self.kernel.in_lanes:
            common = [self.data_rows, self.order_rows, *(columns[s.name].tolist() for s in binding.wholes)]
            self.groups = groups_of(np.array(common, dtype=np.int64).T)
        if self.groups is not None:
            wholes, reals = wholes[self.groups.first], reals[self.groups.first]
        if self.kernel.program.crew is not None:
            wholes, reals = np.repeat(wholes, self.runs, axis=0), np.repeat(reals, self.runs, axis=0)
            at = [scalar.given for scalar in binding.wholes].index(Given.WORKER)
            wholes[:, at] = range(self.runs)
        sizes = {name: max(column.tolist(), default=0) for name, column in columns.items() if column.dtype.kind == "i"}
        sizes |= self.kernel.extents
        parts = [self._part(buffer, sizes, columns) for buffer in binding.buffers]
        return Frame(np.ascontiguousarray(wholes), np.ascontiguousarray(reals), parts)

    def _part(self, buffer: Buffer, sizes: Mapping[str, int], columns: Mapping[str, AnyArray]) -> Part:
        """A buffer's array, and which of its rows each copy (or group) uses."""
        import numpy as np

        array = self._array(buffer, tuple([sizes[extent] for extent in buffer.shape]), columns)
        self.arrays[buffer.name] = array
        match buffer.role:
            case Role.VALUE | Role.ROW | Role.WORK if self.kernel.program.crew is None:
                return Part(array, None, asked=self.kernel.watched and buffer.role is Role.VALUE)
            case Role.DATA | Role.ORDER if len(array) > 1:
                each = np.array(self.data_rows if buffer.role is Role.DATA else self.order_rows, dtype=np.int64)
                return Part(array, each if self.groups is None else each[self.groups.first])
            case _:
                return Part(array, _rows(len(array), self.runs))

    def _array(self, buffer: Buffer, shape: tuple[int, ...], columns: Mapping[str, AnyArray]) -> AnyArray:
        match buffer.role:
            case Role.ROW if self.kernel.program.crew is not None:
                return self.kernel.room(buffer, (self.runs, *shape))
            case Role.VALUE | Role.ROW | Role.WORK:
                return self.kernel.room(buffer, (self.population.threads, *shape))
            case Role.MEETING:
                return self.kernel.room(buffer, (1, *shape))
            case Role.RESULT:
                results = self.kernel.room(buffer, (self.rows, *shape))
                results[...] = 0
                return results
            case Role.DATA:
                stacked = self.population.stacked(buffer.key, [data[buffer.key] for data in self.data])
                if stacked.shape[2:] != shape[1:]:
                    raise ValueError(f"`{buffer.key}` has the shape {stacked.shape[1:]}, not {shape}")
                return stacked
            case Role.ORDER:
                return self.population.stacked("", self.orders)
            case Role.NUMBER:
                return self._wide(columns[buffer.key])
            case (
                Role.WEIGHT
                | Role.SYNAPSE_STATE
                | Role.KEPT
                | Role.COEFFICIENT
                | Role.RESET
                | Role.MASK
                | Role.STARTS
                | Role.COLUMNS
            ):
                held = self._held(buffer)
                if self.groups is None:
                    return self._fitting(buffer, held, shape)
                return self._wide(self._fitting(buffer, held, shape[:-1]))
            case _:
                assert_never(buffer.role)

    def _wide(self, array: AnyArray) -> AnyArray:
        assert self.groups is not None
        return self.groups.wide(array, self.count)

    def _held(self, buffer: Buffer) -> AnyArray:
        """The array of the states that a buffer stands for, [rows, ...]."""
        import numpy as np

        states = self.states
        match buffer.role:
            case Role.WEIGHT:
                return states.weights[buffer.key]
            case Role.SYNAPSE_STATE:
                synapse, _, name = buffer.key.rpartition(".")
                return states.synapse_states[synapse, name]
            case Role.KEPT:
                return states.kept[buffer.key]
            case Role.COEFFICIENT:
                return states.coefficients[buffer.key]
            case Role.RESET:
                return states.resets[buffer.key]
            case Role.MASK:
                of, projection = self.population.circuit.synapses[buffer.key], states.projections[buffer.key]
                if not isinstance(projection, Dense):
                    raise ValueError(f"`{buffer.key}` holds only the weights that are there, where it is whole")
                mask = projection.mask
                return np.ones((1, of.post_size, of.pre_size), np.bool_) if mask is None else mask
            case Role.STARTS:
                return self._few(buffer.key).starts
            case Role.COLUMNS:
                return self._few(buffer.key).columns
            case _:
                raise ValueError(f"`{buffer.name}` is no part of a state")

    def _fitting(self, buffer: Buffer, array: AnyArray, shape: tuple[int, ...]) -> AnyArray:
        """The array itself. Raises ValueError if it is not made for this population."""
        import numpy as np

        copies, wanted = self.count, np.dtype(DTYPES.get(buffer.dtype, self.population.dtype))
        if array.ndim and array.shape[1:] != shape:
            raise ValueError(f"`{buffer.key}` has the shape {array.shape[1:]}, not {shape}")
        rows = len(array) if array.ndim else 0
        served = rows == copies if buffer.role in WRITTEN else rows > 0 and copies % rows == 0
        usable = array.flags.c_contiguous and (array.flags.writeable or buffer.role not in WRITTEN)
        if not served or array.dtype != wanted or not usable:
            raise ValueError(
                f"`{buffer.key}` of {copies} copies: {array.dtype} {array.shape} is no {wanted} array of them, "
                f"each {shape}, in C order"
            )
        return array
