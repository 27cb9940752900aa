"""What an evolution leaves: a labelled dataset.

Over (seed, generation, candidate): `fitness`, the objective as it is (the mean over tasks), and over `task` too
`task_fitness`; `best` over (seed, generation) is the best mean so far. For each gene `g`: `g`, the mean of the
distribution that the generation was drawn from, and `g.std`, its standard deviation (for genes of many numbers at some
generations only, `snapshot`); `g.spread` and `g.quantiles` over generations, how its numbers are distributed over
synapses or neurons; `g.final` and `g.best`, the last mean and the best candidate. `outcome` and `held_out` over (seed,
who, task): what the start, the mean and the best candidate reach at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

from circuitdsl.explore.genome import Gene, Genome
from circuitdsl.frozen import mutable

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

#: Up to how many numbers the whole history of a genome may have, and how many snapshots it else keeps.
WHOLE_HISTORY, SNAPSHOTS = 500_000, 21
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
WHO = ("start", "mean", "best")


def snapshots(genes: int, generations: int) -> tuple[int, ...]:
    """The generations whose distribution is kept."""
    if genes * generations <= WHOLE_HISTORY:
        return tuple(range(generations))
    last = generations - 1
    return tuple(sorted({round(i * last / (SNAPSHOTS - 1)) for i in range(SNAPSHOTS)}))


@mutable(kw_only=True)
class Lineage:
    """One seed's evolution. `values` has [candidates, tasks] for each generation."""

    genome: Genome
    sign: int
    kept: tuple[int, ...]
    values: list[Array] = field(default_factory=list)
    means: list[Array] = field(default_factory=list)
    deviations: list[Array] = field(default_factory=list)
    summaries: dict[str, list[Array]] = field(default_factory=dict)
    best: Array
    best_value: float = float("nan")
    best_so_far: list[float] = field(default_factory=list)
    mean: Array
    deviation: Array
    outcomes: Mapping[str, Array] = field(default_factory=dict)

    @staticmethod
    def of(genome: Genome, generations: int, sign: int) -> Lineage:
        kept = snapshots(genome.size, generations)
        return Lineage(
            genome=genome, sign=sign, kept=kept, best=genome.start, mean=genome.start, deviation=genome.steps
        )

    def add(self, generation: int, mean: Array, deviation: Array, genomes: Array, values: Array) -> None:
        """A generation: the distribution it was drawn from, its candidates and what they reached."""
        import numpy as np

        self.values.append(values)
        if generation in self.kept:
            self.means.append(mean)
            self.deviations.append(deviation)
        for name, part in self.genome.split(mean).items():
            numbers = [*np.quantile(part, QUANTILES), part.std()] if part.ndim else [float(part), 0.0]
            self.summaries.setdefault(name, []).append(np.array(numbers))
        fitness = self.sign * values.mean(axis=1)
        if not np.isnan(fitness).all():
            first = int(np.nanargmax(fitness))
            if np.isnan(self.best_value) or fitness[first] > self.sign * self.best_value:
                self.best, self.best_value = genomes[first].copy(), float(self.sign * fitness[first])
        self.best_so_far.append(self.best_value)

    def end(self, mean: Array, deviation: Array) -> None:
        """The distribution after the last generation."""
        self.mean, self.deviation = mean, deviation


def describe(
    lineages: Sequence[Lineage], genome: Genome, seeds: Sequence[int], attributes: Mapping[str, Any]
) -> xr.Dataset:
    """All seeds' evolutions as one dataset."""
    import numpy as np
    import xarray as xr

    values = np.stack([np.stack(lineage.values) for lineage in lineages])
    variables: dict[str, Any] = {
        "fitness": (("seed", "generation", "candidate"), values.mean(axis=3), _about("the objective, mean over tasks")),
        "best": (("seed", "generation"), np.array([x.best_so_far for x in lineages]), _about("the best mean so far")),
        "outcome": (("seed", "who", "task"), _outcomes(lineages, "tasks"), _about("the objective at the end")),
    }
    if values.shape[3] > 1:
        every = ("seed", "generation", "candidate", "task")
        variables["task_fitness"] = (every, values, _about("the objective on each task"))
    if "held_out" in lineages[0].outcomes:
        axes = ("seed", "who", "held_task")
        variables["held_out"] = (axes, _outcomes(lineages, "held_out"), _about("the objective on tasks held out"))
    for gene in genome.genes:
        variables |= _gene(gene, lineages)
    coordinates = {
        "seed": (np.array(seeds), "the seed of the evolution"),
        "generation": (np.arange(values.shape[1]), "generations before this one"),
        "candidate": (np.arange(values.shape[2]), "the candidate of a generation"),
        "task": (np.arange(values.shape[3]), "the lifetime of a candidate"),
        "snapshot": (np.array(lineages[0].kept), "generations before this one"),
        "quantile": (np.array(QUANTILES), "the part of a gene's numbers that is below"),
        "who": (np.array(WHO, dtype=object), "the start, the last mean, the best candidate"),
    }
    used = {dim for dims, *_ in variables.values() for dim in dims}
    labelled = {k: (k, axis, _about(text)) for k, (axis, text) in coordinates.items() if k in used}
    return xr.Dataset(variables, labelled, dict(attributes))


def _outcomes(lineages: Sequence[Lineage], which: str) -> Array:
    import numpy as np

    return np.stack([lineage.outcomes[which] for lineage in lineages])


def _gene(gene: Gene, lineages: Sequence[Lineage]) -> dict[str, Any]:
    """The variables of one gene."""
    import numpy as np

    name = gene.name

    def part(genomes: Sequence[Array]) -> Array:
        return lineages[0].genome.split(np.stack(genomes))[name]

    whole = len(lineages[0].kept) == len(lineages[0].values)
    time = "generation" if whole else "snapshot"
    found: dict[str, Any] = {
        name: (
            ("seed", time, *gene.dims),
            np.stack([part(x.means) for x in lineages]),
            _about("mean of the distribution"),
        ),
        f"{name}.std": (
            ("seed", time, *gene.dims),
            np.stack([part(x.deviations) for x in lineages]),
            _about("standard deviation of the distribution"),
        ),
        f"{name}.start": (gene.dims, gene.start, _about("before evolution")),
        f"{name}.final": (("seed", *gene.dims), part([x.mean for x in lineages]), _about("mean after the end")),
        f"{name}.best": (("seed", *gene.dims), part([x.best for x in lineages]), _about("of the best candidate")),
    }
    if gene.dims:
        numbers = np.stack([np.stack(x.summaries[name]) for x in lineages])
        axes = ("seed", "generation", "quantile")
        found[f"{name}.quantiles"] = (axes, numbers[..., :-1], _about("of the mean's numbers"))
        found[f"{name}.spread"] = (
            ("seed", "generation"),
            numbers[..., -1],
            _about("standard deviation of the mean's numbers"),
        )
    return found


def _about(text: str) -> dict[str, str]:
    return {"long_name": text, "units": "1"}
