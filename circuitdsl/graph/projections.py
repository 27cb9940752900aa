"""Where the weights of a synapse are: all of a matrix, some of it behind a mask, or only those that are there.

Which of it is a matter of the circuit and its params, not of what is drawn, so that all seeds and copies have one
program. A sparse synapse holds its weights, and whatever else each weight has, in a row: postsynaptic unit after
postsynaptic unit, presynaptic ones in order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, assert_never

from circuitdsl.frozen import frozen
from circuitdsl.graph.blocks import rows_of
from circuitdsl.graph.ir import Circuit, Connect, Synapse
from circuitdsl.graph.numbers import Fans, evaluate, numbers_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Numbers, State

    AnyArray = NDArray[Any]
    Mask = NDArray[np.bool_]

#: From so many places on, and up to so many of them taken, a synapse holds only the weights that are there
#: (`python benchmarks/sparse.py --crossover`). So does one that joins partners only, from so many units on.
PLACES, DENSITY, PARTNERS = 1 << 18, 0.125, 16


@frozen
class Dense:
    """A matrix [post, pre], 0 where the mask is False; None: every weight is there."""

    mask: Mask | None

    def arrays(self) -> list[AnyArray]:
        return [] if self.mask is None else [self.mask]


@frozen
class Sparse:
    """The weights in a row: those of unit j from `starts[j]` to before `starts[j + 1]` (int64, [post + 1]), `columns`
    their presynaptic units (int32), of `pre`. In many copies with a leading axis; rows end in places without use."""

    starts: AnyArray
    columns: AnyArray
    pre: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.starts.shape[-1] - 1, self.pre

    def arrays(self) -> list[AnyArray]:
        return [self.starts, self.columns]

    def posts(self) -> AnyArray:
        """The postsynaptic unit of each weight."""
        import numpy as np

        return np.repeat(np.arange(self.shape[0], dtype=np.int32), np.diff(self.starts))

    def whole(self, values: AnyArray, rows: slice | None = None) -> AnyArray:
        """Values of each weight as a matrix, or some rows of it; 0 where there is none."""
        import numpy as np

        rows = rows or slice(0, self.shape[0])
        made = np.zeros((rows.stop - rows.start, self.pre), values.dtype)
        made[self.within(rows)] = values[self.places(rows)]
        return made

    def transposed(self, values: AnyArray) -> tuple[Sparse, AnyArray]:
        """The matrix [pre, post] of the same weights."""
        import numpy as np

        order = np.argsort(self.columns, kind="stable")
        starts = np.zeros(self.pre + 1, np.int64)
        np.cumsum(np.bincount(self.columns, minlength=self.pre), out=starts[1:])
        return Sparse(starts, self.posts()[order], self.shape[0]), values[order]

    def product(self, values: AnyArray, source: AnyArray) -> AnyArray:
        """[B, pre] times the transposed matrix: [B, post]."""
        import numpy as np

        found = np.zeros((len(source), self.shape[0]), np.result_type(source, values))
        for rows in rows_of((self.shape[0], len(source) * max(1, len(values) // self.shape[0]))):
            first, stop = int(self.starts[rows.start]), int(self.starts[rows.stop])
            here = self.starts[rows.start : rows.stop + 1] - first
            filled = np.flatnonzero(np.diff(here))
            if len(filled):
                each = source[:, self.columns[first:stop]] * values[first:stop]
                found[:, rows.start + filled] = np.add.reduceat(each, here[filled], axis=1)
        return found

    def taken(self, matrix: AnyArray) -> AnyArray:
        """Of a matrix the places where weights are, in a row."""
        import numpy as np

        return np.concatenate([matrix[rows][self.within(rows)] for rows in rows_of(self.shape)])

    def places(self, rows: slice) -> slice:
        """Where the weights of some rows are."""
        return slice(int(self.starts[rows.start]), int(self.starts[rows.stop]))

    def within(self, rows: slice) -> tuple[AnyArray, AnyArray]:
        """The places of the weights of some rows in a matrix of these rows."""
        import numpy as np

        at = np.repeat(np.arange(rows.stop - rows.start), np.diff(self.starts[rows.start : rows.stop + 1]))
        return at, self.columns[self.places(rows)]


Projection = Dense | Sparse


def mapped(projection: Projection, change: Callable[[AnyArray], AnyArray]) -> Projection:
    """The projection with its arrays changed."""
    match projection:
        case Dense(mask=mask):
            return Dense(None if mask is None else change(mask))
        case Sparse():
            return Sparse(change(projection.starts), change(projection.columns), projection.pre)
        case _:
            assert_never(projection)


def sparse_synapses(circuit: Circuit) -> frozenset[str]:
    """The synapses that hold only the weights that are there."""
    found = [s for s in circuit.synapses.values() if s.connect and _large(s)]
    numbers = numbers_of(circuit, {}) if found else {}
    return frozenset(s.name for s in found if min(s.post_size, s.pre_size) > 1 and density(s, numbers) <= DENSITY)


def _large(synapse: Synapse) -> bool:
    if synapse.joins_partners:
        return synapse.post_size >= PARTNERS
    return synapse.post_size * synapse.pre_size >= PLACES


def density(synapse: Synapse, numbers: Numbers) -> float:
    """The part of the places where weights may be expected; 1 for what only a file says."""
    taken = 1.0
    for connect in sorted(synapse.connect, key=lambda c: c.which == "fan_in"):
        taken = min(taken, _part(connect, synapse, numbers)) if connect.which == "fan_in" else (
            taken * _part(connect, synapse, numbers)
        )  # fmt: skip
    return taken


def _part(connect: Connect, synapse: Synapse, numbers: Numbers) -> float:
    match connect.which:
        case "dense" | "no_self" | "file":
            return 1.0
        case "one_to_one":
            return 1 / max(synapse.post_size, synapse.pre_size)
        case "sparse":
            assert connect.argument is not None
            return evaluate(connect.argument, numbers)
        case "fan_in":
            assert connect.argument is not None
            return evaluate(connect.argument, numbers) / synapse.pre_size
        case _:
            assert_never(connect.which)


def sparse_from(mask: Mask | None, shape: tuple[int, int]) -> Sparse:
    """The same places, only those that are there."""
    import numpy as np

    mask = np.ones(shape, np.bool_) if mask is None else mask
    starts = np.zeros(shape[0] + 1, np.int64)
    np.cumsum(np.count_nonzero(mask, axis=1), out=starts[1:])
    columns = [np.nonzero(mask[rows])[1].astype(np.int32) for rows in rows_of(shape)]
    return Sparse(starts, np.concatenate(columns), shape[1])


def fans_of(synapse: Synapse, projection: Projection) -> Fans:
    """The realised mean in-degree and out-degree of a synapse."""
    match projection:
        case Dense(mask=None):
            return Fans(float(synapse.pre_size), float(synapse.post_size))
        case Dense(mask=mask):
            assert mask is not None
            count = float(mask.sum())
        case Sparse():
            count = float(len(projection.columns))
        case _:
            assert_never(projection)
    return Fans(count / synapse.post_size, count / synapse.pre_size)


def present(projection: Projection) -> Mask | None:
    """Which weights are there, [post, pre]; None if all are. Of a sparse synapse it is made anew."""
    import numpy as np

    match projection:
        case Dense():
            return projection.mask
        case Sparse():
            return projection.whole(np.ones(len(projection.columns), np.bool_))
        case _:
            assert_never(projection)


# ---------------------------------------------------------------- one state held in the other way


def held(circuit: Circuit, state: State, sparse: frozenset[str]) -> State:
    """The state with these synapses sparse and all others dense. What is held so already are the same arrays."""
    from circuitdsl.graph.machine import State

    change: dict[str, Callable[[AnyArray], AnyArray]] = {}
    projections = dict(state.projections)
    for name, projection in state.projections.items():
        match projection:
            case Dense() if name in sparse:
                found = sparse_from(projection.mask, state.weights[name].shape)
                projections[name], change[name] = found, found.taken
            case Sparse() if name not in sparse:
                projections[name], change[name] = Dense(present(projection)), projection.whole
            case _:
                pass
    if not change:
        return state
    owners = _owners(circuit)

    def kept(array: AnyArray, owner: str | None) -> AnyArray:
        return change[owner](array) if owner in change else array

    return State(
        weights={name: kept(array, name) for name, array in state.weights.items()},
        projections=projections,
        synapse_states={key: kept(array, key[0]) for key, array in state.synapse_states.items()},
        kept=state.kept,
        coefficients={name: kept(array, owners.get(name)) for name, array in state.coefficients.items()},
        resets={name: kept(array, owners.get(name)) for name, array in state.resets.items()},
    )


def dense(circuit: Circuit, state: State) -> State:
    """The state with all synapses dense, as `held`."""
    return held(circuit, state, frozenset())


def give_back(state: State, other: State) -> None:
    """Sets what a run changes of a state to what it is in the same one that is held in the other way, in place."""
    pairs = [(name, array, other.weights[name]) for name, array in state.weights.items()]
    pairs += [(key[0], array, other.synapse_states[key]) for key, array in state.synapse_states.items()]
    for name, array, theirs in pairs:
        if theirs is not array:
            match state.projections[name], other.projections[name]:
                case Dense(), Sparse() as few:
                    array[...] = few.whole(theirs)
                case Sparse() as few, Dense():
                    array[...] = few.taken(theirs)
                case _:
                    array[...] = theirs


def _owners(circuit: Circuit) -> dict[str, str]:
    """The synapse of each coefficient per weight, and of each state that every example starts anew."""
    found = {name: c.owner for name, c in circuit.coefficients.items() if c.per == "weight"}
    return found | {f"{s.name}.{v.name}": s.name for s in circuit.synapses.values() for v in s.states if v.fresh}
