"""How far the equations of a population are from scaling with what reaches them through weights, in numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from circuitdsl.certify.checkpoint import Checkpoint
from circuitdsl.derive.prove.conservation import Flows, Wired, flows_of
from circuitdsl.derive.read.homogeneity import Scaling
from circuitdsl.graph.interpret import Frame, Units, evaluate
from circuitdsl.graph.ir import Expr

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

#: By how much what an equation reads is made larger and smaller to see how it scales.
STEP = 1e-4


def bend(at: Checkpoint, population: str) -> float:
    """|sum x df/dx - k f| / |f| over examples and units, the largest of a population's equations f, x what they are
    taken to scale with and k the degree (Euler's rule); 1 and all that depends on weights where an equation was not
    found to scale. NaN where an evaluated example has several ticks."""
    if len(at.passes.evaluation) != 1:
        return float("nan")
    flows, frame = flows_of(at.circuit, at.derivation.symbols.constants), at.passes.evaluation[0]
    own = (n for n in flows.weighted if n != "loss" and flows.population(n) == population)
    found = [
        _defect(at, frame, flows.settled.exprs[name], at.circuit.values[name].size, reads, degree)
        for name in own
        if name in flows.settled.exprs
        for reads, degree in _scaled(flows, name)
    ]
    return max(found, default=0.0)


def _scaled(flows: Flows, name: str) -> Iterator[tuple[frozenset[str], float]]:
    """The groups of values that an equation scales with, each with its degree."""
    expr = flows.settled.exprs[name]
    own = [e.row for e in flows.equations if e.value == name]
    wired = [{f.value for f in row if isinstance(f, Wired) and f.reader == name} for row in own]
    groups = {frozenset(group) for group in wired if group}
    for group in groups:
        degree = Scaling(flows.constants, lambda r, group=group: r.value in group).degree(expr)  # type: ignore[misc]
        if degree is not None and degree != "any":
            yield group, float(degree)
    closed = flows.closed.get(name, frozenset())
    if closed and not groups:
        yield closed, 1.0


def _defect(at: Checkpoint, frame: Frame, expr: Expr, size: int, reads: frozenset[str], degree: float) -> float:
    import numpy as np

    site = Units(size=size, coefficients=at.state.coefficients)

    def grown(by: float) -> Array:
        now = {name: array * by if name in reads else array for name, array in frame.now.items()}
        return np.broadcast_to(evaluate(expr, replace(frame, now=now), site), (frame.batch.size, size))

    value, slope = grown(1.0), (grown(1 + STEP) - grown(1 - STEP)) / (2 * STEP)
    norm, off = float(np.linalg.norm(value)), float(np.linalg.norm(slope - degree * value))
    return off / norm if norm > 0 else 0.0 if off == 0 else float("inf")
