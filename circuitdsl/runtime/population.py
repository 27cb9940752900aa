"""Many copies of one circuit in one compiled call: params, coefficients, seeds, data and order per copy.

A copy gives the bits that it would give alone in the same population code, whatever the others are and however many
threads share the work. The threads are Python's: the compiled driver releases the GIL, so that nothing depends on a
threading layer of Numba, and a population may run inside a thread of something else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, assert_never

from circuitdsl.emit.copies import driver_name
from circuitdsl.emit.target import DType, UnavailableTarget, find_target
from circuitdsl.graph.functions import quiet
from circuitdsl.graph.ir import Circuit, Expr
from circuitdsl.graph.machine import Data, Numbers, State
from circuitdsl.lower.loop_ir import Buffer, Dtype, Given, Program, Role, Scalar
from circuitdsl.lower.schedule import lower_evaluation, lower_training
from circuitdsl.runtime.engine import CHUNK, final_loss, ticks_of, usable, whole_ticks

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Indices

    AnyArray = NDArray[Any]
    Whole = NDArray[Any]

#: Pieces of work for each thread: more even out copies of different cost, fewer cost fewer calls.
PIECES = 4


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """What each copy lives with, one entry per copy; entries that are the same object are held once.

    `orders` are data-set indices in the order of presentation; copies may have different numbers of them."""

    data: Sequence[Data]
    orders: Sequence[Indices]
    numbers: Sequence[Numbers]
    seeds: Sequence[int]

    def __len__(self) -> int:
        return len(self.seeds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Means over each copy's examples: `loss` [copies], None if the circuit has none; `probes` [copies, probes]."""

    loss: AnyArray | None
    probes: AnyArray


class Population:
    """Trains and evaluates copies of a circuit. States are `State`s whose arrays have a leading axis of copies
    (`stack`); an array with fewer rows than there are copies serves consecutive copies alike, and a mask of None all
    of them. Weights, synapse states and `keep` states are written, so that they need a row for each copy.

    `probes` are scalar expressions of one example, read at the last evaluation tick. `threads`: how many share the
    work (all processors). Raises UnavailableTarget for a target that cannot do this.
    """

    def __init__(
        self, circuit: Circuit, probes: Sequence[Expr] = (), dtype: DType = "float32", *, target: str = "cpu",
        threads: int | None = None,
    ):  # fmt: skip
        self.circuit, self.probes, self.dtype = circuit, tuple(probes), dtype
        self.target = find_target(target)
        if self.target.print_copies is None:
            raise UnavailableTarget(f"target `{target}` cannot run many copies at once; use `cpu`")
        self.threads = cores() if threads is None else max(1, threads)
        self.compile_seconds = 0.0
        self._kernels: dict[str, _Kernel] = {}
        self._stacked: dict[str, tuple[tuple[AnyArray, ...], AnyArray]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def train(self, states: State, copies: Copies, *, epoch: int, batch: int) -> None:
        """Presents every copy its examples in batches of `batch` and updates its state in place. Raises ValueError
        for states that do not fit, or if a phase's ticks are no whole number."""
        longest = max((len(order) for order in copies.orders), default=0)
        if longest == 0:
            return
        batch = min(batch, longest)
        kernel = self._kernel("train_online" if batch == 1 else "train")
        call = _Call(self, kernel, states, copies, epoch=epoch, batch=batch, longest=longest)
        with quiet():
            self._warm(kernel, call)
            call.run([-(-len(order) // batch) for order in copies.orders])

    def evaluate(self, states: State, copies: Copies, *, epoch: int) -> Measured:
        """Runs every copy's examples without learning; `states` stay as they are. Raises ValueError as `train`, and
        if evaluation has no tick."""
        import numpy as np

        if any(ticks_of(self.circuit, n, evaluation=True) == 0 for n in _shared(copies.numbers)[0]):
            raise ValueError(f"`{self.circuit.name}` has no tick in evaluation")
        lengths = [len(order) for order in copies.orders]
        longest = max(lengths, default=0)
        kernel = self._kernel("evaluate")
        call = _Call(self, kernel, states, copies, epoch=epoch, batch=CHUNK, longest=longest)
        found: dict[str, list[AnyArray]] = {b.key: [] for b in kernel.of_role(Role.RESULT)}
        with quiet():
            self._warm(kernel, call)
            for first in range(0, longest, CHUNK):
                call.run(first=first, counts=[min(CHUNK, max(0, n - first)) for n in lengths])
                for buffer in kernel.of_role(Role.RESULT):
                    found[buffer.key].append(kernel.work[buffer.name][..., 0].copy())
        means = {key: _means(chunks, lengths) for key, chunks in found.items()}
        nothing = np.full(len(copies), np.nan)
        probes = [means.get(f"probe {i}", nothing) for i in range(len(self.probes))]
        return Measured(
            loss=self._loss(means.get("loss", nothing), copies),
            probes=np.stack(probes, axis=1) if probes else np.zeros((len(copies), 0)),
        )

    def _loss(self, means: AnyArray, copies: Copies) -> AnyArray | None:
        import numpy as np

        if self.circuit.loss is None:
            return None
        finals = [final_loss(self.circuit, m, n) for m, n in zip(means.tolist(), copies.numbers, strict=True)]
        return np.array(finals, dtype=np.float64)

    # ------------------------------------------------------------ code

    def _kernel(self, which: str) -> _Kernel:
        if which not in self._kernels:
            start = perf_counter()
            if which == "evaluate":
                program = lower_evaluation(self.circuit, self.probes)
            else:
                program = lower_training(self.circuit, online=which == "train_online")
            self._kernels[which] = _Kernel(program, self, f"{self.circuit.name}_{which}_copies")
            self.compile_seconds += perf_counter() - start
        return self._kernels[which]

    def _warm(self, kernel: _Kernel, call: _Call) -> None:
        """Compiles (or loads from disk) by a call that does nothing."""
        if not kernel.warm:
            start = perf_counter()
            kernel.entry(0, 0, 0, len(call.copies), *call.bound(call.columns()))
            kernel.warm = True
            self.compile_seconds += perf_counter() - start

    # ------------------------------------------------------------ work

    def spread(self, copies: int, work: Callable[[int, int, int], None]) -> None:
        """Calls work(begin, end, worker) for stretches of the copies, from as many threads as there are workers."""
        threads = min(self.threads, copies)
        if threads <= 1:
            work(0, copies, 0)
            return
        from concurrent.futures import ThreadPoolExecutor
        from queue import SimpleQueue

        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="population")
        workers: SimpleQueue[int] = SimpleQueue()
        for worker in range(self.threads):
            workers.put(worker)

        def one(piece: tuple[int, int]) -> None:
            worker = workers.get()
            try:
                work(*piece, worker)
            finally:
                workers.put(worker)

        for _ in self._pool.map(one, _pieces(copies, threads * PIECES)):
            pass

    def stacked(self, name: str, arrays: Sequence[AnyArray]) -> AnyArray:
        """Arrays of a common width one behind the other, [arrays, longest, ...], in the engine's dtype; made once."""
        import numpy as np

        held = self._stacked.get(name)
        if held is not None and [id(a) for a in held[0]] == [id(a) for a in arrays]:
            return held[1]
        made = _padded(arrays, self.dtype if arrays[0].dtype.kind == "f" else np.int64)
        self._stacked[name] = tuple(arrays), made
        return made


def _pieces(copies: int, count: int) -> Iterator[tuple[int, int]]:
    size = -(-copies // count)
    for begin in range(0, copies, size):
        yield begin, min(copies, begin + size)


def _padded(arrays: Sequence[AnyArray], dtype: Any) -> AnyArray:
    """[arrays, longest, ...]: shorter ones end in zeros."""
    import numpy as np

    if len(arrays) == 1:
        return usable(arrays[0], dtype)[None]
    longest = max(len(a) for a in arrays)
    made = np.zeros((len(arrays), longest, *arrays[0].shape[1:]), dtype=dtype)
    for row, array in zip(made, arrays, strict=True):
        row[: len(array)] = array
    return made


def _means(chunks: Sequence[AnyArray], lengths: Sequence[int]) -> AnyArray:
    """The mean over each copy's examples, in float64; nan if there are none."""
    import numpy as np

    together = np.concatenate(chunks, axis=1) if chunks else np.zeros((len(lengths), 0))
    if lengths and min(lengths) == max(lengths) > 0:
        means: AnyArray = together[:, : lengths[0]].mean(axis=1, dtype=np.float64)
        return means
    each = [row[:n].mean(dtype=np.float64) if n else np.nan for row, n in zip(together, lengths, strict=True)]
    return np.array(each, dtype=np.float64)


# ---------------------------------------------------------------- states of copies


def stack(states: Sequence[State]) -> State:
    """States of copies of one circuit as one, with a leading axis of copies."""
    import numpy as np

    first = states[0]

    def over(part: Callable[[State], Mapping[Any, AnyArray]]) -> dict[Any, AnyArray]:
        return {key: np.ascontiguousarray(np.stack([part(s)[key] for s in states])) for key in part(first)}

    masks: dict[str, AnyArray | None] = {}
    for name in first.masks:
        found = [s.masks[name] for s in states]
        full = np.ones(first.weights[name].shape, dtype=np.bool_)
        all_there = all(m is None for m in found)
        masks[name] = None if all_there else np.stack([full if m is None else m for m in found])
    return State(
        weights=over(lambda s: s.weights),
        masks=masks,
        synapse_states=over(lambda s: s.synapse_states),
        kept=over(lambda s: s.kept),
        coefficients=over(lambda s: s.coefficients),
        resets=over(lambda s: s.resets),
    )


def finite(states: State) -> AnyArray:
    """Whether all that a copy's run changes is finite, [copies]."""
    import numpy as np

    arrays = [*states.weights.values(), *states.synapse_states.values(), *states.kept.values()]
    copies = max((len(a) for a in arrays), default=0)
    found = np.ones(copies, dtype=np.bool_)
    for array in arrays:
        found &= np.isfinite(array).reshape(copies, -1).all(axis=1)
    return found


# ---------------------------------------------------------------- one call


@dataclass(slots=True)
class _Kernel:
    """One program with its driver and its work space."""

    program: Program
    population: Population
    name: str
    entry: Callable[..., None] = field(init=False)
    scalars: tuple[Scalar, ...] = field(init=False)
    work: dict[str, AnyArray] = field(default_factory=dict)
    warm: bool = False

    def __post_init__(self) -> None:
        from circuitdsl.runtime.cache import load_module

        target, dtype = self.population.target, self.population.dtype
        assert target.print_copies is not None
        source = target.print_copies(self.program, dtype)
        key = target.print_copies(self.program, dtype, comments=False)
        self.scalars = target.arguments(self.program)
        self.entry = getattr(load_module(self.name, source, key), driver_name(self.program))

    def of_role(self, role: Role) -> list[Buffer]:
        return [b for b in self.program.buffers if b.role is role]

    def room(self, buffer: Buffer, shape: tuple[int, ...]) -> AnyArray:
        """Work space, zeros when it is new; kept from call to call."""
        import numpy as np

        held = self.work.get(buffer.name)
        if held is None or held.shape != shape:
            kinds = {Dtype.REAL: self.population.dtype, Dtype.INT: "int64", Dtype.BOOL: "bool"}
            held = np.zeros(shape, kinds[buffer.dtype])
            self.work[buffer.name] = held
        return held


def _shared(items: Sequence[Any]) -> tuple[list[Any], list[int]]:
    """The distinct objects, and which of them each place holds."""
    places: dict[int, int] = {}
    distinct: list[Any] = []
    rows: list[int] = []
    for item in items:
        if id(item) not in places:
            places[id(item)] = len(distinct)
            distinct.append(item)
        rows.append(places[id(item)])
    return distinct, rows


@dataclass(slots=True)
class _Call:
    """What one call of a kernel is given."""

    population: Population
    kernel: _Kernel
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

    def __post_init__(self) -> None:
        self.data, self.data_rows = _shared(self.copies.data)
        self.orders, self.order_rows = _shared(self.copies.orders)
        self.numbers, self.number_rows = _shared(self.copies.numbers)

    def run(self, steps: Sequence[int] = (), *, first: int = 0, counts: Sequence[int] = ()) -> None:
        columns = self.columns(steps, first, counts)
        arguments = self.bound(columns)
        copies, entry = len(self.copies), self.kernel.entry

        def work(begin: int, end: int, worker: int) -> None:
            entry(begin, end, worker, copies, *arguments)

        self.population.spread(copies, work)

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

    def bound(self, columns: Mapping[str, AnyArray]) -> list[AnyArray]:
        """All that the driver takes after its own four numbers."""
        import numpy as np

        whole = [columns[s.name] for s in self.kernel.scalars if s.dtype is not Dtype.REAL]
        whole += [np.array(self.data_rows, dtype=np.int64), np.array(self.order_rows, dtype=np.int64)]
        real = [columns[s.name] for s in self.kernel.scalars if s.dtype is Dtype.REAL]
        none: AnyArray = np.zeros((len(self.copies), 0), dtype=self.population.dtype)
        reals = np.stack(real, axis=1) if real else none
        sizes = {name: int(column.max(initial=0)) for name, column in columns.items() if column.dtype.kind == "i"}
        arrays = [self._array(buffer, sizes) for buffer in self.kernel.program.buffers]
        return [np.stack(whole, axis=1), np.ascontiguousarray(reals), *arrays]

    def _array(self, buffer: Buffer, sizes: Mapping[str, int]) -> AnyArray:
        import numpy as np

        shape = tuple(1 if extent == "1" else sizes[extent] for extent in buffer.shape)
        states = self.states
        match buffer.role:
            case Role.VALUE | Role.ROW | Role.WORK:
                return self.kernel.room(buffer, (self.population.threads, *shape))
            case Role.RESULT:
                results = self.kernel.room(buffer, (len(self.copies), *shape))
                results[...] = 0
                return results
            case Role.DATA:
                return self.population.stacked(buffer.key, [data[buffer.key] for data in self.data])
            case Role.ORDER:
                return self.population.stacked("", self.orders)
            case Role.WEIGHT:
                return self._fitting(buffer, states.weights[buffer.key], shape, written=True)
            case Role.SYNAPSE_STATE:
                synapse, _, name = buffer.key.rpartition(".")
                return self._fitting(buffer, states.synapse_states[synapse, name], shape, written=True)
            case Role.KEPT:
                return self._fitting(buffer, states.kept[buffer.key], shape, written=True)
            case Role.COEFFICIENT:
                return self._fitting(buffer, states.coefficients[buffer.key], shape)
            case Role.RESET:
                return self._fitting(buffer, states.resets[buffer.key], shape)
            case Role.MASK:
                mask = states.masks[buffer.key]
                return self._fitting(buffer, np.ones((1, *shape), np.bool_) if mask is None else mask, shape)
            case _:
                assert_never(buffer.role)

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
