"""One call of a population's compiled program: all that it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, assert_never

from circuitdsl.graph.machine import Data, Numbers, State
from circuitdsl.lower.loop_ir import Buffer, Dtype, Given, Role, Scalar
from circuitdsl.runtime.code import Kernel
from circuitdsl.runtime.engine import ticks_of, usable, whole_ticks
from circuitdsl.runtime.lanes import Groups, groups_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Indices
    from circuitdsl.runtime.population import Copies, Population

    AnyArray = NDArray[Any]

#: What training changes.
WRITTEN = frozenset({Role.WEIGHT, Role.SYNAPSE_STATE, Role.KEPT})


def shared(items: Sequence[Any]) -> tuple[list[Any], list[int]]:
    """The distinct objects, and which of them each place holds."""
    import numpy as np

    ids = np.fromiter(map(id, items), dtype=np.uint64, count=len(items))
    _, first, rows = np.unique(ids, return_index=True, return_inverse=True)
    return [items[i] for i in first.tolist()], rows.ravel().tolist()


@dataclass(slots=True)
class Call:
    """What one call of a kernel is given."""

    population: Population
    kernel: Kernel
    states: State
    copies: Copies
    epoch: int = field(kw_only=True)
    batch: int = field(kw_only=True)
    longest: int = field(kw_only=True)
    data: list[Data] = field(init=False)
    data_rows: list[int] = field(init=False)
    orders: list[Indices] = field(init=False)
    order_rows: list[int] = field(init=False)
    numbers: list[Numbers] = field(init=False)
    number_rows: list[int] = field(init=False)
    groups: Groups | None = field(init=False, default=None)
    arguments: list[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.data, self.data_rows = shared(self.copies.data)
        self.orders, self.order_rows = shared(self.copies.orders)
        self.numbers, self.number_rows = shared(self.copies.numbers)

    def run(self, steps: Sequence[int] = (), *, first: int = 0, counts: Sequence[int] = ()) -> dict[str, AnyArray]:
        """One call for all copies; gives what it measured, [copies, ...] by key."""
        self.bind(self.columns(steps, first, counts))
        arguments, entry = self.arguments, self.kernel.entry

        def work(begin: int, end: int, worker: int) -> None:
            entry(begin, end, worker, *arguments)

        self.population.spread(self.arguments[0], work)
        return self._unbind()

    def nothing(self) -> None:
        """A call for no copy."""
        self.bind(self.columns())
        self.kernel.entry(0, 0, 0, *self.arguments)

    # ------------------------------------------------------------ scalars

    def columns(self, steps: Sequence[int] = (), first: int = 0, counts: Sequence[int] = ()) -> dict[str, AnyArray]:
        """Every scalar that the kernel takes or that a buffer's shape needs, [copies]."""
        import numpy as np

        given = {Given.STEPS: steps, Given.FIRST: first, Given.COUNT: counts}
        found = {}
        for scalar in self.kernel.program.scalars:
            value = np.asarray(self._column(scalar, given))
            dtype = self.population.dtype if scalar.dtype is Dtype.REAL else "int64"
            found[scalar.name] = np.broadcast_to(value if value.size else 0, len(self.copies)).astype(dtype)
        return found

    def _column(self, scalar: Scalar, given: Mapping[Given, Any]) -> Any:
        circuit = self.population.circuit
        match scalar.given:
            case Given.PARAM:
                return self._per_numbers(lambda numbers: numbers[scalar.key])
            case Given.SIZE:
                return circuit.values[scalar.key].size
            case Given.FAN_IN | Given.FAN_OUT:
                return self._fans(scalar)
            case Given.TICKS:
                return self._per_numbers(lambda numbers: whole_ticks(circuit, scalar.key, numbers))
            case Given.CAPACITY:
                return self._capacity(scalar.key)
            case Given.EXAMPLES:
                return [len(order) for order in self.copies.orders]
            case Given.SEED:
                return list(self.copies.seeds)
            case Given.EPOCH:
                return self.epoch
            case Given.STEPS | Given.FIRST | Given.COUNT:
                return given[scalar.given]
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
        mask = self.states.masks[scalar.key]
        if mask is None:
            return float(synapse.pre_size if incoming else synapse.post_size)
        degrees = mask.sum(axis=(1, 2)) / (synapse.post_size if incoming else synapse.pre_size)
        return np.repeat(degrees, len(self.copies) // len(degrees))

    def _capacity(self, of: str) -> int:
        if of == "batch":
            return self.batch
        if of == "dataset":
            return max((len(array) for data in self.data for array in data.values()), default=0)
        return 1 + max(ticks_of(self.population.circuit, numbers, evaluation=True) for numbers in self.numbers)

    # ------------------------------------------------------------ arrays

    def bind(self, columns: Mapping[str, AnyArray]) -> None:
        """Sets `arguments`: all that the driver takes after a stretch of copies (or groups) and its worker."""
        import numpy as np

        kernel = self.kernel
        whole = [columns[s.name] for s in kernel.scalars if s.dtype is not Dtype.REAL]
        whole += [np.array(self.data_rows, dtype=np.int64), np.array(self.order_rows, dtype=np.int64)]
        integers = np.stack(whole, axis=1)
        numbers = [b.key for b in kernel.of_role(Role.NUMBER)]
        real = [columns[name] for name in numbers or (s.name for s in kernel.scalars if s.dtype is Dtype.REAL)]
        none: AnyArray = np.zeros((len(self.copies), 0), dtype=self.population.dtype)
        reals = np.stack(real, axis=1) if real else none
        if kernel.in_lanes:
            self.groups = groups_of(integers)
            integers = integers[self.groups.first]
            reals = self.groups.wide(reals, len(self.copies))
        sizes = {name: int(column.max(initial=0)) for name, column in columns.items() if column.dtype.kind == "i"}
        sizes |= kernel.extents
        arrays = [self._array(b, sizes) for b in kernel.program.buffers if b.role is not Role.NUMBER]
        self.arguments = [len(integers), integers, np.ascontiguousarray(reals), *arrays]

    def _unbind(self) -> dict[str, AnyArray]:
        """What was measured; puts back what was written in lanes."""
        import numpy as np

        results = {}
        buffers = [b for b in self.kernel.program.buffers if b.role is not Role.NUMBER]
        for buffer, array in zip(buffers, self.arguments[3:], strict=True):
            if buffer.role is Role.RESULT:
                if self.groups is None:
                    results[buffer.key] = array.copy()
                else:
                    results[buffer.key] = np.zeros((len(self.copies), *array.shape[1:-1]), array.dtype)
                    self.groups.narrow(array, results[buffer.key])
            elif self.groups is not None and buffer.role in WRITTEN:
                self.groups.narrow(array, self._held(buffer))
        return results

    def _array(self, buffer: Buffer, sizes: Mapping[str, int]) -> AnyArray:
        shape = tuple(sizes[extent] for extent in buffer.shape)
        match buffer.role:
            case Role.VALUE | Role.ROW | Role.WORK:
                return self.kernel.room(buffer, (self.population.threads, *shape))
            case Role.RESULT:
                results = self.kernel.room(buffer, (len(self.groups or self.copies), *shape))
                results[...] = 0
                return results
            case Role.DATA:
                return self.population.stacked(buffer.key, [data[buffer.key] for data in self.data])
            case Role.ORDER:
                return self.population.stacked("", self.orders)
            case Role.WEIGHT | Role.SYNAPSE_STATE | Role.KEPT | Role.COEFFICIENT | Role.RESET | Role.MASK if (
                self.groups is not None
            ):
                array = self._fitting(buffer, self._held(buffer), shape[:-1], written=buffer.role in WRITTEN)
                return self.groups.wide(array, len(self.copies))
            case Role.WEIGHT | Role.SYNAPSE_STATE | Role.KEPT | Role.COEFFICIENT | Role.RESET | Role.MASK:
                return self._fitting(buffer, self._held(buffer), shape, written=buffer.role in WRITTEN)
            case Role.NUMBER:
                raise ValueError(f"`{buffer.name}` stands among the real numbers")
            case _:
                assert_never(buffer.role)

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
                mask = states.masks[buffer.key]
                of = self.population.circuit.synapses[buffer.key]
                return np.ones((1, of.post_size, of.pre_size), np.bool_) if mask is None else mask
            case _:
                raise ValueError(f"`{buffer.name}` is no part of a state")

    def _fitting(self, buffer: Buffer, array: AnyArray, shape: tuple[int, ...], *, written: bool = False) -> AnyArray:
        """The array itself. Raises ValueError if it is not made for this population."""
        import numpy as np

        copies, wanted = len(self.copies), np.dtype(np.bool_ if buffer.dtype is Dtype.BOOL else self.population.dtype)
        rows = len(array) if array.ndim else 0
        served = rows == copies if written else rows > 0 and copies % rows == 0
        if not served or array.shape[1:] != shape or array.dtype != wanted or not array.flags.c_contiguous:
            raise ValueError(
                f"`{buffer.key}` of {copies} copies: {array.dtype} {array.shape} is no {wanted} array of them, "
                f"each {shape}, in C order"
            )
        return array if written else usable(array, wanted)
