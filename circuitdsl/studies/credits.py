"""What the neurons are told beside what the gradient would tell them: measured on a run's own state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from circuitdsl.api import Circuit, Outcome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


class Gradients:
    """delta = -d loss / d I of some dendrites of a single-tick circuit, with whatever else is watched beside them."""

    def __init__(self, circuit: Circuit, params: Mapping[str, float] | None = None):
        from circuitdsl.runtime.backends import INTERPRETER, make_engine
        from circuitdsl.twin.adjoints import adjoints

        graph = adjoints(circuit.with_params(params or {})[0])
        # One tick: the adjoints read nothing of another tick, so that they follow the values in one pass.
        self.graph = replace(graph, order=(*graph.order, *graph.reverse), reverse=())
        self.engine = make_engine(INTERPRETER, self.graph, (), "float32")

    def read(
        self, outcome: Outcome, dendrites: Sequence[str], watch: Sequence[str], examples: Any
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """delta by dendrite, and the values watched, each [examples, size]."""
        from circuitdsl.twin.adjoints import adjoint_name

        loop, names = outcome.loop, {d: adjoint_name(d) for d in dendrites}
        seen = self.engine.evaluate(
            outcome.run.state,
            loop.dataset.arrays,
            examples,
            loop.numbers,
            seed=loop.seed,
            epoch=0,
            watch=[*names.values(), *watch],
        ).watched
        return {d: -seen[name] for d, name in names.items()}, {name: seen[name] for name in watch}


def consistency(credit: Array, delta: Array) -> float:
    """phi = E[s . delta] / E|delta|^2, theory of Ziyin, Chuang & Poggio 2025; NaN without a gradient."""
    below = float((delta * delta).sum())
    return float((credit * delta).sum()) / below if below > 0 else float("nan")
