"""Many copies of one circuit in one compiled call: params, coefficients, seeds, data and order per copy.

Copies of a small circuit that present the same examples run as lanes of one program (runtime/lanes.py), others one by
one. A copy gives the bits that it would give alone in the same population code, whatever the others are and however
many threads share the work. The threads are Python's: the compiled driver releases the GIL, so that nothing depends on
a threading layer of Numba, and a population may run inside a thread of something else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from circuitdsl.emit.target import DType
from circuitdsl.frozen import frozen
from circuitdsl.graph.aligned import copied, zeros
from circuitdsl.graph.functions import quiet
from circuitdsl.graph.ir import Circuit, Expr
from circuitdsl.graph.machine import Data, Numbers, State
from circuitdsl.graph.projections import Dense, Projection, Sparse, held, sparse_synapses
from circuitdsl.lower.loop_ir import Aim, Role
from circuitdsl.runtime.backends import DEFAULT, back_end
from circuitdsl.runtime.code import Code, Kernel
from circuitdsl.runtime.copies import Call, shared
from circuitdsl.runtime.crew import Crew
from circuitdsl.runtime.lanes import aim_of_copies
from circuitdsl.runtime.ticks import final_loss, ticks_of

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Indices

    AnyArray = NDArray[Any]

#: Calls that may be made again, of each kernel the last.
Calls = dict[Kernel, Call]

#: How many examples are evaluated side by side.
CHUNK = 256
#: Pieces of work for each thread: more even out copies of different cost, fewer cost fewer calls.
PIECES = 4


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@frozen(kw_only=True)
class Copies:
    """What each copy lives with, one entry per copy; entries that are the same object are held once.

    `orders` are data-set indices in the order of presentation; copies may have different numbers of them."""

    data: Sequence[Data]
    orders: Sequence[Indices]
    numbers: Sequence[Numbers]
    seeds: Sequence[int]

    def __len__(self) -> int:
        return len(self.seeds)


@frozen(kw_only=True)
class Measured:
    """Means over each copy's examples: `loss` [copies], None if the circuit has none; `probes` [copies, probes].
    `watched`: values as they stood at the last tick, [examples, size], of a single copy."""

    loss: AnyArray | None
    probes: AnyArray
    watched: Mapping[str, AnyArray]


class Population:
    """Trains and evaluates copies of a circuit. States are `State`s whose arrays have a leading axis of copies
    (`stack`); an array with fewer rows than there are copies serves consecutive copies alike, and a mask of None all
    of them. Weights, synapse states and `keep` states are written, so that they need a row for each copy.

    `probes` are scalar expressions of one example, read at the last evaluation tick. `threads`: how many share the
    work (all processors), by copies; `crew`: those that share the work of a single copy, where that is much;
    `without`: the names of passes that are left out; `aim`: what programs are made for, if not
    for many copies. Raises UsageError for a target that cannot do this.
    """

    def __init__(
        self, circuit: Circuit, probes: Sequence[Expr] = (), dtype: DType = "float32", *, target: str = DEFAULT,
        threads: int | None = None, crew: int = 1, without: Collection[str] = (), aim: Aim | None = None,
    ):  # fmt: skip
        self.circuit, self.probes, self.dtype = circuit, tuple(probes), dtype
        found = back_end(target, "run many copies")
        self.code = Code(circuit, self.probes, aim or aim_of_copies(circuit, dtype), found, without)
        shared_out = found.target is not None and found.target.teams  # by the device, among its own threads
        self.crew = Crew(crew)
        self.threads = 1 if shared_out else cores() if threads is None else max(1, threads)
        self._stacked: dict[str, tuple[tuple[AnyArray, ...], AnyArray]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def train(self, states: State, copies: Copies, *, epoch: int, batch: int, calls: Calls | None = None) -> None:
        """Presents every copy its examples in batches of `batch` and updates its state in place. `calls`: what earlier
        calls with the same arrays of states have left, and this one leaves. Raises ValueError for states that do not
        fit, or if a phase's ticks are no whole number."""
        longest = max((len(order) for order in copies.orders), default=0)
        if longest == 0:
            return
        batch = min(batch, longest)
        kernel = self.code.kernel("train_online" if batch == 1 else "train")
        call = self._call(kernel, states, copies, {} if calls is None else calls, epoch=epoch, batch=batch)
        with quiet():
            call.run([-(-len(order) // batch) for order in copies.orders])

    def evaluate(
        self, states: State, copies: Copies, *, epoch: int, watch: Sequence[str] = (), calls: Calls | None = None
    ) -> Measured:
        """Runs every copy's examples without learning; `states` stay as they are. Only a single copy can be watched.
        `calls` as in `train`. Raises ValueError as `train`, and if evaluation has no tick."""
        import numpy as np

        if any(ticks_of(self.circuit, n, evaluation=True) == 0 for n in shared(copies.numbers)[0]):
            raise ValueError(f"`{self.circuit.name}` has no tick in evaluation")
        lengths = [len(order) for order in copies.orders]
        longest = max(lengths, default=0)
        kernel = self.code.evaluating(watched=bool(watch))
        batch = min(CHUNK, longest)
        call = self._call(kernel, states, copies, {} if calls is None else calls, epoch=epoch, batch=batch)
        found: dict[str, list[AnyArray]] = {b.key: [] for b in kernel.of_role(Role.RESULT)}
        seen: dict[str, list[AnyArray]] = {name: [] for name in watch}
        with quiet():
            for first in range(0, longest, CHUNK):
                call.run(first=first, counts=[min(CHUNK, max(0, n - first)) for n in lengths])
                for key, values in call.results().items():
                    found[key].append(values)
                for name, arrays in seen.items():
                    arrays.append(call.watched(name, first, min(CHUNK, longest - first)))
        means = {key: _means(chunks, lengths) for key, chunks in found.items()}
        probes = [means[f"probe {i}"] for i in range(len(self.probes))]
        return Measured(
            loss=self._loss(means, copies),
            probes=np.stack(probes, axis=1) if probes else np.zeros((len(copies), 0)),
            watched={name: np.concatenate(arrays) for name, arrays in seen.items() if arrays},
        )

    def _call(self, kernel: Kernel, states: State, copies: Copies, calls: Calls, *, epoch: int, batch: int) -> Call:
        """The one of this kernel that was left, if it suits, or a new one."""
        call = calls.get(kernel)
        if call is not None and call.suits(copies, batch):
            call.again(copies, epoch)
        else:
            call = calls[kernel] = Call(self, kernel, states, copies, epoch=epoch, batch=batch)
        return call

    def _loss(self, means: Mapping[str, AnyArray], copies: Copies) -> AnyArray | None:
        import numpy as np

        if self.circuit.loss is None:
            return None
        losses = means["loss"].tolist() if "loss" in means else [np.nan] * len(copies)
        finals = [final_loss(self.circuit, loss, n) for loss, n in zip(losses, copies.numbers, strict=True)]
        return np.array(finals, dtype=np.float64)

    def fitting(self, state: State) -> State:
        """The state of a copy, its synapses held as the code holds them."""
        return held(self.circuit, state, sparse_synapses(self.circuit) if self.code.aim.sparse else frozenset())

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
        return np.ascontiguousarray(arrays[0], dtype)[None]
    longest = max(len(a) for a in arrays)
    made = zeros((len(arrays), longest, *arrays[0].shape[1:]), dtype)
    for row, array in zip(made, arrays, strict=True):
        row[: len(array)] = array
    return made


def _means(chunks: Sequence[AnyArray], lengths: Sequence[int]) -> AnyArray:
    """The mean over each copy's examples, in float64; nan if there are none."""
    import numpy as np

    together = np.concatenate(chunks, axis=1) if chunks else np.zeros((len(lengths), 0))
    if lengths and min(lengths) == max(lengths) > 0:
        means: AnyArray = np.add.reduce(together[:, : lengths[0]], axis=1, dtype=np.float64) / lengths[0]
        return means
    each = [row[:n].mean(dtype=np.float64) if n else np.nan for row, n in zip(together, lengths, strict=True)]
    return np.array(each, dtype=np.float64)


# ---------------------------------------------------------------- states of copies


def stack(states: Sequence[State]) -> State:
    """States of copies of one circuit as one, with a leading axis of copies."""
    import numpy as np

    first = states[0]

    def stacked(arrays: Sequence[AnyArray]) -> AnyArray:
        """Those of sparse synapses have as many places as the largest."""
        alike = len({a.shape for a in arrays}) == 1
        return copied(np.stack(arrays)) if alike else _padded(arrays, arrays[0].dtype)

    def over(part: Callable[[State], Mapping[Any, AnyArray]]) -> dict[Any, AnyArray]:
        return {key: stacked([part(s)[key] for s in states]) for key in part(first)}

    return State(
        weights=over(lambda s: s.weights),
        projections={name: _stacked([s.projections[name] for s in states]) for name in first.projections},
        synapse_states=over(lambda s: s.synapse_states),
        kept=over(lambda s: s.kept),
        coefficients=over(lambda s: s.coefficients),
        resets=over(lambda s: s.resets),
    )


def _stacked(found: Sequence[Projection]) -> Projection:
    """How the same synapse of several states is held, with a leading axis."""
    import numpy as np

    masks = [p.mask for p in found if isinstance(p, Dense)]
    few = [p for p in found if isinstance(p, Sparse)]
    if few:
        assert not masks, "a synapse is sparse in all copies or in none"
        columns = _padded([p.columns for p in few], np.int32)
        return Sparse(np.stack([p.starts for p in few]), columns, few[0].pre)
    some = next((m for m in masks if m is not None), None)
    if some is None:
        return Dense(None)
    return Dense(np.stack([np.ones_like(some) if m is None else m for m in masks]))


def finite(states: State) -> AnyArray:
    """Whether all that a copy's run changes is finite, [copies]."""
    import numpy as np

    arrays = [*states.weights.values(), *states.synapse_states.values(), *states.kept.values()]
    copies = max((len(a) for a in arrays), default=0)
    found = np.ones(copies, dtype=np.bool_)
    for array in arrays:
        found &= np.isfinite(array).reshape(copies, -1).all(axis=1)
    return found
