"""Copies of a circuit as lanes of one program: who stands beside whom, and their arrays with the lanes last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from circuitdsl.frozen import frozen
from circuitdsl.graph.aligned import copied
from circuitdsl.lower.loop_ir import Aim

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.emit.target import DType
    from circuitdsl.graph.ir import Circuit

    AnyArray = NDArray[Any]
    Whole = NDArray[np.int64]

#: Copies side by side: four vectors of eight float32 hide the latency of one another.
LANES = 32
#: Bytes of weights, their states and coefficients that lanes may have together; with more they leave the nearest
#: caches, and a layer that wide fills vectors by itself (`python benchmarks/copies.py`).
LARGEST = 416 * 1024


def aim_of_copies(circuit: Circuit, dtype: DType) -> Aim:
    """How many copies are to be lanes of one program: one, if the circuit is too large for more. It does not depend on
    how many copies there are: a copy gives the same bits in any company."""
    itemsize = 4 if dtype == "float32" else 8
    weights = {name: s.pre_size * s.post_size for name, s in circuit.synapses.items()}
    own = sum(count * (1 + len(circuit.synapses[name].states)) for name, count in weights.items())
    own += sum(weights.get(c.owner, 0) for c in circuit.coefficients.values())
    return Aim(dtype=dtype, copies=LANES if own * itemsize * LANES <= LARGEST else 1, alone=False)


@frozen(kw_only=True)
class Groups:
    """`members` [groups, lanes]: the copy in each lane. What is left over in a group repeats its first copy; nobody
    reads what comes of that (`real` [groups, lanes] is False there)."""

    members: Whole
    real: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.members)

    @property
    def first(self) -> Whole:
        return self.members[:, 0]

    def wide(self, array: AnyArray, copies: int) -> AnyArray:
        """[groups, ..., lanes] of an array that has a row for each copy, or fewer that serve consecutive copies."""
        import numpy as np

        rows = self.members * len(array) // copies
        return copied(np.moveaxis(array[rows], 1, -1))

    def narrow(self, wide: AnyArray, array: AnyArray) -> None:
        """Puts [groups, ..., lanes] into [copies, ...]."""
        import numpy as np

        array[self.members[self.real]] = np.moveaxis(wide, -1, 1)[self.real]


def groups_of(common: Whole) -> Groups:
    """Groups of copies that have all of `common` [copies, numbers] in common."""
    import numpy as np

    _, kind = np.unique(common, axis=0, return_inverse=True)
    order = np.argsort(kind.ravel(), kind="stable")
    ends = np.flatnonzero(np.diff(kind.ravel()[order])) + 1
    alike = np.split(order, ends)
    chunks = [chunk[i : i + LANES] for chunk in alike for i in range(0, len(chunk), LANES)]
    members = np.stack([np.concatenate([c, np.full(LANES - len(c), c[0])]) for c in chunks])
    real = np.arange(LANES) < np.array([len(c) for c in chunks])[:, None]
    return Groups(members=members.astype(np.int64), real=real)
