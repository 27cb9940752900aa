"""Evolution strategies behind one protocol: ask for a brood, tell how fit each of it is.

All of them work in coordinates in which the first brood is drawn from N(0, I): genome.py gives each gene its scale.
They see ranks only, so that neither the size of the fitness matters nor a candidate that diverged (NaN: the last rank).
Everything is a function of the seed and of what was told, so that telling it again gives the same strategy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from circuitdsl.diagnostics import did_you_mean
from circuitdsl.runtime.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: Below this a strategy has too few to select from.
SMALLEST_POPULATION = 4


class Strategy(Protocol):
    """`mean` and `deviation` [genes] are those of the distribution that the next brood is drawn from."""

    @property
    def mean(self) -> Array: ...

    @property
    def deviation(self) -> Array: ...

    def ask(self) -> Array:
        """A brood, [population, genes]."""

    def tell(self, fitness: Array) -> None:
        """The fitness of each of the last brood, larger is better, NaN worst."""


def strategy(name: str, genes: int, population: int, seed: int) -> Strategy:
    """The strategy of that name. Raises UsageError for an unknown one and for a population that is too small."""
    if name not in STRATEGIES:
        hint = did_you_mean(name, STRATEGIES) or f"there are {', '.join(STRATEGIES)}"
        raise UsageError(f"there is no strategy `{name}`; {hint}")
    if population < SMALLEST_POPULATION:
        raise UsageError(
            f"a population of {population} is too small to select from: take {SMALLEST_POPULATION} or more"
        )
    return STRATEGIES[name](genes, population, seed)


def from_best(fitness: Array) -> NDArray[np.int64]:
    """The candidates, the best first, those that diverged (NaN) last; equals in their order."""
    import numpy as np

    return np.argsort(-fitness, kind="stable").astype(np.int64)


class SepCMA:
    """Covariance matrix adaptation with a diagonal matrix (Ros & Hansen 2008), from the library `cmaes`."""

    def __init__(self, genes: int, population: int, seed: int):
        import numpy as np
        from cmaes import SepCMA as Library

        self.genes = genes
        # the library wants two dimensions or more: a second one that nothing reads does no harm
        start = np.zeros(max(2, genes))
        self._inner: Any = Library(mean=start, sigma=1.0, population_size=population, seed=seed)
        # where genes are few and candidates many, the library's rate is past 1, and variances become negative;
        # bounded as in Hansen's tutorial (arXiv:1604.00772, equation 58)
        self._inner._cmu = min(self._inner._cmu, 1 - self._inner._c1)
        self._brood: list[Array] = []

    @property
    def mean(self) -> Array:
        import numpy as np

        return np.array(self._inner.mean[: self.genes])

    @property
    def deviation(self) -> Array:
        import numpy as np

        spread: Array = self._inner._sigma * np.sqrt(np.maximum(self._inner._C, 0))  # the library shows its mean only
        return spread[: self.genes]

    def ask(self) -> Array:
        import numpy as np

        self._brood = [self._inner.ask() for _ in range(self._inner.population_size)]
        return np.stack(self._brood)[:, : self.genes]

    def tell(self, fitness: Array) -> None:
        ranks = from_best(fitness).tolist()
        self._inner.tell([(self._brood[candidate], float(rank)) for rank, candidate in enumerate(ranks)])


class SNES:
    """Separable natural evolution strategy (Schaul, Glasmachers & Schmidhuber 2011, "High dimensions and heavy tails
    for natural evolution strategies")."""

    def __init__(self, genes: int, population: int, seed: int):
        import numpy as np

        self.mean: Array = np.zeros(genes)
        self.deviation: Array = np.ones(genes)
        self._random = np.random.default_rng(seed)
        self._rate = (3 + math.log(genes)) / (5 * math.sqrt(genes))
        places = np.arange(1, population + 1)
        raw = np.maximum(0, math.log(population / 2 + 1) - np.log(places))
        self._utilities = raw / raw.sum() - 1 / population
        self._drawn: Array = np.zeros((population, genes))

    def ask(self) -> Array:
        self._drawn = self._random.standard_normal(self._drawn.shape)
        return self.mean + self.deviation * self._drawn

    def tell(self, fitness: Array) -> None:
        import numpy as np

        ranked = self._drawn[from_best(fitness)]
        self.mean = self.mean + self.deviation * (self._utilities @ ranked)
        self.deviation = self.deviation * np.exp(self._rate / 2 * (self._utilities @ (ranked**2 - 1)))


class OpenAIES:
    """Evolution strategy with antithetic pairs, centred ranks and Adam (Salimans, Ho, Chen, Sidor & Sutskever 2017,
    "Evolution strategies as a scalable alternative to reinforcement learning"). The deviation stays as it is."""

    RATE, DECAYS, TINY = 0.2, (0.9, 0.999), 1e-8

    def __init__(self, genes: int, population: int, seed: int):
        import numpy as np

        self.mean: Array = np.zeros(genes)
        self.deviation: Array = np.ones(genes)
        self._random = np.random.default_rng(seed)
        self._population = population
        self._drawn: Array = np.zeros((population, genes))
        self._moments: tuple[Array, Array] = (np.zeros(genes), np.zeros(genes))
        self._told = 0

    def ask(self) -> Array:
        import numpy as np

        half = self._random.standard_normal(((self._population + 1) // 2, len(self.mean)))
        self._drawn = np.concatenate([half, -half])[: self._population]
        return self.mean + self.deviation * self._drawn

    def tell(self, fitness: Array) -> None:
        import numpy as np

        centred: Array = np.empty(self._population)
        centred[from_best(fitness)] = np.linspace(0.5, -0.5, self._population)
        gradient = centred @ self._drawn / self._population
        self._told += 1
        slow, fast = self.DECAYS
        first, second = self._moments
        self._moments = slow * first + (1 - slow) * gradient, fast * second + (1 - fast) * gradient**2
        first, second = self._moments[0] / (1 - slow**self._told), self._moments[1] / (1 - fast**self._told)
        self.mean = self.mean + self.RATE * first / (np.sqrt(second) + self.TINY)


STRATEGIES: dict[str, Callable[[int, int, int], Strategy]] = {"sepcma": SepCMA, "snes": SNES, "openai-es": OpenAIES}
