"""circuitdsl itself: the code that `run` calls, on one thread."""

from __future__ import annotations

from importlib.metadata import version as version_of

import numpy as np
from cases import Case

from circuitdsl.graph.machine import State
from circuitdsl.runtime.engine import Compiled
from circuitdsl.runtime.population import Copies, Population, stack
from peers import Run, Way

NAME = "circuitdsl"


def version() -> str:
    return f"Numba {version_of('numba')}, LLVM of llvmlite {version_of('llvmlite')}"


def one(case: Case, states: list[State]) -> Run:
    engine, (state,), order = Compiled(case.circuit), states, np.arange(case.examples)

    def train() -> None:
        engine.train(state, case.data, order, case.numbers, seed=0, epoch=0, batch=case.batch)

    return Run(train, lambda: dict(state.weights))


def many(case: Case, states: list[State]) -> Run:
    population, together, count = Population(case.circuit, threads=1), stack(states), len(states)
    order = np.arange(case.examples)
    copies = Copies(
        data=[case.data] * count, orders=[order] * count, numbers=[case.numbers] * count, seeds=list(range(count))
    )

    def train() -> None:
        population.train(together, copies, epoch=0, batch=case.batch)

    return Run(train, lambda: dict(together.weights))


WAYS = [
    *(
        Way("", model, lambda case: case.copies == 1, one)
        for model in ("layers", "four", "few", "eprop", "wide", "own")
    ),
    Way("", "layers", lambda case: case.copies > 1, many),
]
