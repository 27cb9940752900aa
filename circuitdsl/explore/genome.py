"""What evolves: runtime params and coefficients by name, as one vector of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from circuitdsl.diagnostics import did_you_mean
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.records import weight_dimensions
from circuitdsl.runtime.request import Override

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Numbers, State

    Array = NDArray[np.floating[Any]]

#: How far the first brood is from the start: a part of the gene's size, or this where it starts from 0.
RELATIVE_STEP, STEP_FROM_ZERO = 0.3, 0.01


@frozen(kw_only=True)
class Gene:
    """A param (a number or a list) or a coefficient. `start`: its values before evolution; `dims` name their axes;
    `step`: the standard deviation of the first brood."""

    name: str
    coefficient: bool
    start: Array
    dims: tuple[str, ...]
    step: float

    @property
    def size(self) -> int:
        return self.start.size


@frozen(kw_only=True)
class Genome:
    genes: tuple[Gene, ...]

    @property
    def size(self) -> int:
        return sum(gene.size for gene in self.genes)

    @property
    def start(self) -> Array:
        import numpy as np

        return np.concatenate([gene.start.ravel() for gene in self.genes])

    @property
    def steps(self) -> Array:
        import numpy as np

        return np.concatenate([np.full(gene.size, gene.step) for gene in self.genes])

    def split(self, genomes: Array) -> dict[str, Array]:
        """Genomes [..., size] by gene, [..., *shape of the gene]."""
        found, first = {}, 0
        for gene in self.genes:
            part = genomes[..., first : first + gene.size]
            found[gene.name] = part.reshape((*genomes.shape[:-1], *gene.start.shape))
            first += gene.size
        return found

    def numbers(self, circuit: ir.Circuit, params: Mapping[str, Override], genomes: Array) -> list[dict[str, float]]:
        """The numbers of each genome, [genomes, size]; params computed from evolved ones follow."""
        split = self.split(genomes)
        evolved = [gene.name for gene in self.genes if not gene.coefficient]
        if not evolved:
            return [numbers_of(circuit, params)] * len(genomes)
        return [
            numbers_of(circuit, {**params, **{name: split[name][i].tolist() for name in evolved}})
            for i in range(len(genomes))
        ]

    def coefficients(self, genomes: Array, dtype: str) -> dict[str, Array]:
        """The coefficients of each genome, [genomes, *shape]."""
        import numpy as np

        split = self.split(genomes)
        return {g.name: np.ascontiguousarray(split[g.name], dtype=dtype) for g in self.genes if g.coefficient}


def genome_of(circuit: ir.Circuit, numbers: Numbers, state: State, names: Sequence[str]) -> Genome:
    """The genome of params and coefficients `names`, each `name` or `name:step`, starting from their values in
    `numbers` and `state`. Raises UsageError for a name that is neither, and for a structural param."""
    genes: list[Gene] = []
    for text in names:
        name, _, step = (part.strip() for part in text.partition(":"))
        again = next((gene.name for gene in genes if _overlap(gene.name, name)), None)
        if again is not None:
            raise UsageError(f"`{name}` is twice in the genome" + (f", also as `{again}`" if again != name else ""))
        genes.append(_gene(circuit, numbers, state, name, _step(text, step)))
    if not genes:
        raise UsageError("an empty genome: name params or coefficients of the circuit")
    return Genome(genes=tuple(genes))


def _overlap(one: str, other: str) -> bool:
    """Whether two names are of the same number: a list, `sizes`, has its elements, `sizes[1]`, too."""
    return one == other or one == other.partition("[")[0] or other == one.partition("[")[0]


def _step(text: str, written: str) -> float | None:
    if not written:
        return None
    try:
        step = float(written)
    except ValueError:
        step = 0.0
    if not step > 0:
        raise UsageError(f"`{text}`: written as NAME:STEP, where the step is a number above 0")
    return step


def _gene(circuit: ir.Circuit, numbers: Numbers, state: State, name: str, step: float | None) -> Gene:
    import numpy as np

    if name in circuit.coefficients:
        coefficient = circuit.coefficients[name]
        start: Array = np.array(state.coefficients[name], dtype=np.float64)
        if coefficient.per == "weight":
            dims: tuple[str, ...] = weight_dimensions(circuit, coefficient.owner)
        else:
            dims = (f"unit_{coefficient.owner}",)
    else:
        start, dims = _param(circuit, numbers, name)
    size = float(np.sqrt(np.mean(start**2)))
    natural = RELATIVE_STEP * size if size > 0 else STEP_FROM_ZERO
    return Gene(
        name=name,
        coefficient=name in circuit.coefficients,
        start=start,
        dims=dims,
        step=natural if step is None else step,
    )


def _param(circuit: ir.Circuit, numbers: Numbers, name: str) -> tuple[Array, tuple[str, ...]]:
    import numpy as np

    param = circuit.params.get(name) or circuit.params.get(name.partition("[")[0])
    if param is None or (name not in circuit.params and name not in numbers):
        known = [*circuit.params, *circuit.coefficients]
        hint = did_you_mean(name, known) or (
            f"there are {', '.join(f'`{k}`' for k in known)}" if known else "it has none"
        )
        raise UsageError(f"`{circuit.name}` has no param or coefficient `{name}`; {hint}")
    if param.structural:
        raise UsageError(f"`{name}` shapes the circuit: it cannot evolve; `sweep` compares values of it")
    if name in numbers:
        return np.array(numbers[name], dtype=np.float64), ()
    assert isinstance(param.value, tuple)
    values = [numbers[f"{name}[{i}]"] for i in range(len(param.value))]
    return np.array(values, dtype=np.float64), (f"item_{name}",)
