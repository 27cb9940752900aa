"""What a run measures on its way: the metric, the loss, and what the circuit says it records."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, assert_never

from circuitdsl.frozen import frozen, mutable
from circuitdsl.graph.blocks import blocks, doubles, norm
from circuitdsl.graph.draws import Matrix
from circuitdsl.graph.ir import Circuit, Expr, MatrixCall, MatrixRef, Record
from circuitdsl.graph.numbers import evaluate
from circuitdsl.graph.projections import Sparse
from circuitdsl.runtime.course import Course, evaluating

if TYPE_CHECKING:
    from circuitdsl.graph.machine import Array, Evaluation, Numbers, State
    from circuitdsl.runtime.data import Dataset

#: How many of the test set's first examples a recorded population shows.
SHOWN_EXAMPLES = 16


@mutable
class Series:
    """One recorded quantity. `every`: in updates; None: once an epoch. `at`: the epochs (updates)
    done when each of `values` was read, from 0, which is before training."""

    name: str
    every: int | None
    dims: tuple[str, ...]
    at: list[int] = field(default_factory=list)
    values: list[Array] = field(default_factory=list)


@frozen(kw_only=True)
class Plan:
    """What to read when. `probes` are the expressions of one example that the engine averages over
    the test set: the metric first, if there is one, then recorded expressions, by their text, so that the
    order of the items makes no other program."""

    probes: tuple[Expr, ...]
    has_metric: bool
    records: tuple[Record, ...]
    probe_of: Mapping[str, int]  # text of a recorded expression -> its probe

    @property
    def watched(self) -> tuple[str, ...]:
        """The populations whose rates are recorded: evaluations leave them, so that no other program has to."""
        return tuple(record.what for record in self.records if isinstance(record.what, str))


def plan(circuit: Circuit, metric: Expr | None) -> Plan:
    """What a run of this circuit reads, with this metric."""
    probes = [] if metric is None else [metric]
    probe_of = {}
    for record in sorted(circuit.records, key=lambda record: record.text):
        if not isinstance(record.what, str | MatrixRef | MatrixCall):
            probe_of[record.text] = len(probes)
            probes.append(record.what)
    return Plan(
        probes=tuple(probes),
        has_metric=metric is not None,
        records=_distinct(circuit.records),
        probe_of=probe_of,
    )


def _distinct(records: tuple[Record, ...]) -> tuple[Record, ...]:
    """One record for each text: of the same thing written twice, the last counts."""
    return tuple({record.text: record for record in records}.values())


def new_series(circuit: Circuit, plan: Plan, numbers: Numbers) -> list[Series]:
    """An empty series for each record."""
    made = []
    for record in plan.records:
        every = None if record.every is None else max(1, round(evaluate(record.every, numbers)))
        made.append(Series(record.text, every, dimensions(circuit, record)))
    return made


def dimensions(circuit: Circuit, record: Record) -> tuple[str, ...]:
    """The dimensions of one reading: units are named by their population."""
    match record.what:
        case str() as population:
            return ("example", f"unit_{population}")
        case MatrixRef() as matrix:
            shape = weight_dimensions(circuit, matrix.synapse)
            return shape[::-1] if matrix.transposed else shape
        case _:
            return ()


def weight_dimensions(circuit: Circuit, synapse: str) -> tuple[str, str]:
    found = circuit.synapses[synapse]
    return (f"post_{found.post}", f"pre_{found.pre}")


@mutable
class Reader:
    """Reads the records of one moment: evaluates the test set at most once. `settle` makes weights of the state what
    they are where the run computes."""

    plan: Plan
    state: State
    dataset: Dataset
    epoch: int
    settle: Callable[[str], None]
    _evaluation: Evaluation | None = None

    def evaluation(self) -> Course[Evaluation]:
        if self._evaluation is None:
            self._evaluation = yield from evaluating(self.dataset.test, self.epoch, self.plan.watched)
        return self._evaluation

    def read(self, record: Record) -> Course[Array]:
        """The value of a record now, a copy."""
        import numpy as np

        match record.what:
            case str() as population:
                return (yield from self._rates(population))
            case MatrixRef() as matrix:
                self.settle(matrix.synapse)
                return np.array(self._matrix(matrix))
            case MatrixCall() as call:
                for matrix in call.arguments:
                    self.settle(matrix.synapse)
                return np.array(matrix_call(call, self.state))
            case _:
                found = yield from self.evaluation()
                return np.array(found.probes[self.plan.probe_of[record.text]])

    def _rates(self, population: str) -> Course[Array]:
        if self._evaluation is not None:
            return self._evaluation.watched[population][:SHOWN_EXAMPLES].copy()
        shown = yield from evaluating(self.dataset.test[:SHOWN_EXAMPLES], self.epoch, (population,))
        return shown.watched[population].copy()

    def _matrix(self, matrix: MatrixRef) -> Array:
        found = matrix_of(self.state, matrix)
        return found.rows(slice(0, found.shape[0]))


def matrix_of(state: State, ref: MatrixRef) -> Matrix:
    """The weights that are meant."""
    found = Matrix(state.projections[ref.synapse], state.weights[ref.synapse])
    return found.T if ref.transposed else found


def matrix_call(call: MatrixCall, state: State) -> float:
    """A scalar of weights, in float64: Frobenius norm, sum, mean, largest, or the cosine of two matrices (NaN if one
    of them is 0). Weights that are not there count as 0."""
    import numpy as np

    matrix = matrix_of(state, call.arguments[0])
    first, places = matrix.values, math.prod(matrix.shape)
    match call.function:
        case "norm":
            return norm(first)
        case "sum":
            return sum(float(block.sum()) for block in doubles(first))
        case "mean":
            return sum(float(block.sum()) for block in doubles(first)) / places
        case "max":
            absent = [0.0] if first.size < places else []
            return float(np.max([*absent, *(block.max() for block in blocks(first))]))
        case "cos":
            return cosine(*(matrix_of(state, m) for m in call.arguments))
        case _:
            assert_never(call.function)


def cosine(a: Matrix, b: Matrix) -> float:
    """The cosine of two matrices as vectors; NaN if one of them is 0."""
    import numpy as np

    norms = norm(a.values) * norm(b.values)
    if isinstance(b.projection, Sparse):
        a, b = b, a
    if isinstance(a.projection, Sparse):
        own, other = a.values, b.at(a.projection.posts(), a.projection.columns)
    else:
        own, other = a.values, b.values
    together = sum(float(np.vdot(x, y)) for x, y in zip(doubles(own), doubles(other), strict=True))
    return together / norms if norms > 0 else float("nan")
