"""Positive feedback between plastic weights: which of them drive each other, and how fast they grow at a state.

While a circuit learns, its errors shrink, and with them whatever the errors drive. Not so where plastic weights drive
each other for the same error: the four synapses of a self-assembling pair, or a Hebbian weight that drives its own
rate. A **loop** is a set of plastic synapses, each of which changes what the rules of all the others read, with the
error populations held fixed (`clamped`). Its growth is the largest real eigenvalue of the increments as a function of
these weights, decay included: above 0 the weights run away, unless something stops them: bounds, or the rule itself,
which then shows in a growth that falls as the weights grow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

from circuitdsl.derive.read.roles import cannot_see_error, equations, roles_of
from circuitdsl.derive.read.symbols import error_roots
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.graph.flow import all_sources, reached_from
from circuitdsl.twin.paths import graded_synapses

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Weights = Mapping[str, Array]

#: The relative step of a product with the Jacobian, and how many of them an eigenvalue may cost.
STEP, PRODUCTS = 1e-7, 400
#: The vectors that Arnoldi's method keeps; below a size the whole Jacobian is made.
KRYLOV, SMALL = 20, 40
#: How much larger weights are that tell whether growth stops by itself.
LARGER = 1000.0


@frozen(kw_only=True)
class Loop:
    """Plastic synapses that drive each other while the errors stand still. `free`: those without bounds.
    `unchecked`: those that do so without any weight that learns from the error, and so even as the error shrinks, and
    without a rule that reads a state, which may come to stop it as a sliding threshold does."""

    synapses: tuple[str, ...]
    free: tuple[str, ...]
    unchecked: tuple[str, ...]


@frozen(kw_only=True)
class Growth:
    """How fast the weights of a loop grow at a state, as the part that an update adds to them, decay included; and
    how fast they would if they were a thousand times as large."""

    loop: Loop
    now: float
    later: float

    @property
    def runs_away(self) -> bool:
        """Whether nothing stops it: it grows, would still grow later, no bound holds it, and no error checks it."""
        return bool(set(self.loop.free) & set(self.loop.unchecked)) and 0 < self.now < inf and self.later > 0


# ---------------------------------------------------------------- which weights


def errors(circuit: ir.Circuit) -> frozenset[str]:
    """The populations that compare with a target (or, where there is none, with an input), by their names."""
    roots = error_roots(circuit)
    rates = (circuit.values[p.name] for p in circuit.of_kind(ir.Kind.RATE))
    compared = {v.name for v in rates if v.expr is not None and any(r.value in roots for r in ir.reads(v.expr))}
    return frozenset(compared | {r for r in roots if circuit.values[r].kind is ir.Kind.RATE})


def positive_loops(circuit: ir.Circuit) -> list[Loop]:
    """Every largest set of plastic synapses that drive each other, the errors held fixed."""
    plastic = [s for s in circuit.synapses.values() if s.dw is not None]
    roles = roles_of(circuit)
    taught = {n for n in graded_synapses(circuit) if cannot_see_error(roles, circuit.synapses[n]) is None}
    alone = [s for s in plastic if s.name not in taught and not _reads_state(circuit, s)]
    unchecked = {n for group in _groups(circuit, alone) for n in group}
    found = []
    for group in _groups(circuit, plastic):
        free = tuple(n for n in group if circuit.synapses[n].bounds is None)
        found.append(Loop(synapses=group, free=free, unchecked=tuple(n for n in group if n in unchecked)))
    return found


def _reads_state(circuit: ir.Circuit, synapse: ir.Synapse) -> bool:
    """Whether a rule reads what follows the activity: a state of a neuron or a modulator, or one of its own."""
    found = [e for equation in equations(synapse) for e in ir.walk(equation)]
    states = {v.name for v in circuit.values.values() if v.update is not None}
    return any(isinstance(e, ir.SynapseState) or (isinstance(e, ir.Read) and e.value in states) for e in found)


def _groups(circuit: ir.Circuit, plastic: list[ir.Synapse]) -> list[tuple[str, ...]]:
    """The synapses, of these, that influence each other."""
    drives = _influences(circuit, plastic)
    found: list[tuple[str, ...]] = []
    for synapse in plastic:
        together = tuple(s.name for s in plastic if s.name in drives[synapse.name] and synapse.name in drives[s.name])
        if together and not any(synapse.name in group for group in found):
            found.append(together)
    return found


def _influences(circuit: ir.Circuit, plastic: list[ir.Synapse]) -> dict[str, set[str]]:
    """The plastic synapses whose rules each plastic synapse influences, over any number of updates."""
    held = errors(circuit)
    sources = {n: set() if n in held else read for n, read in all_sources(circuit).items()}
    read = {s.name: {r.value for e in equations(s) for r in ir.reads(e)} for s in plastic}
    direct = {}
    for synapse in plastic:
        reached = reached_from(sources, {synapse.dendrite})
        direct[synapse.name] = {name for name, values in read.items() if values & reached}
    closed: dict[str, set[str]] = {}
    for name in direct:
        closed[name] = set()
        waiting = [name]
        while waiting:
            for other in direct[waiting.pop()] - closed[name]:
                closed[name].add(other)
                waiting.append(other)
    return closed


def clamped(circuit: ir.Circuit) -> ir.Circuit:
    """The circuit with its error populations as inputs, to be given the values that they have; no loss, no tasks."""
    held = errors(circuit)
    values = {n: _given(v) if n in held else v for n, v in circuit.values.items()}
    populations = {
        n: replace(p, kind=ir.Kind.INPUT, dendrites=(), states=(), lets=()) if n in held else p
        for n, p in circuit.populations.items()
    }
    return replace(
        circuit, values=values, populations=populations, loss=None, tasks={}, records=(), expects=(),
        order=tuple(n for n in circuit.order if n not in held),
    )  # fmt: skip


def _given(value: ir.Value) -> ir.Value:
    return replace(value, kind=ir.Kind.INPUT, expr=None, currents=(), update=None)


# ---------------------------------------------------------------- how fast


def growth(loop: Loop, weights: Weights, increments: Callable[[Weights], Weights]) -> Growth:
    """The growth of a loop. `weights`: those of the circuit, [post size, pre size]; `increments`: what one update adds
    to given weights, the errors held fixed (of the `clamped` circuit), decay included."""

    def at(scale: float) -> float:
        here = {n: scale * w if n in loop.synapses else w for n, w in weights.items()}
        return _largest(loop, here, increments)

    return Growth(loop=loop, now=at(1.0), later=at(LARGER))


class _Overflow(ArithmeticError):
    """The increments are no longer finite numbers."""


def _largest(loop: Loop, weights: Weights, increments: Callable[[Weights], Weights]) -> float:
    """The largest real part of an eigenvalue of the Jacobian (Arnoldi): 0 where none is found, infinite where the
    increments are."""
    try:
        return _eigenvalue(loop, weights, increments)
    except _Overflow:
        return inf


def _eigenvalue(loop: Loop, weights: Weights, increments: Callable[[Weights], Weights]) -> float:
    import numpy as np
    from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigs

    here = {n: weights[n] for n in loop.synapses}
    size = sum(w.size for w in here.values())
    step = max(_norm(here), 1e-3) * STEP
    still = increments(weights)

    def times_jacobian(direction: Array) -> Array:
        length = float(np.linalg.norm(direction)) or 1.0
        moves = _parted(direction * (step / length), here)
        moved = increments({**weights, **{n: here[n] + moves[n] for n in here}})
        found = np.concatenate([(moved[n] - still[n]).ravel() for n in here]) * (length / step)
        if not np.isfinite(found).all():
            raise _Overflow
        return found

    if size < SMALL:
        columns = [times_jacobian(one) for one in np.eye(size)]
        return float(np.linalg.eigvals(np.stack(columns, axis=1)).real.max())
    jacobian = LinearOperator((size, size), matvec=times_jacobian, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(size)
    try:
        found = eigs(
            jacobian, k=1, which="LR", v0=start, tol=1e-2, maxiter=PRODUCTS // KRYLOV, ncv=KRYLOV,
            return_eigenvectors=False,
        )  # fmt: skip
    except ArpackNoConvergence as short:
        found = short.eigenvalues
    except ArpackError:  # the weights do not change what drives them
        return 0.0
    return float(found.real.max()) if len(found) else 0.0


def _parted(direction: Array, like: Weights) -> Weights:
    """One vector as matrices of these shapes."""
    found, at = {}, 0
    for name, weights in like.items():
        found[name] = direction[at : at + weights.size].reshape(weights.shape)
        at += weights.size
    return found


def _norm(weights: Mapping[str, Any]) -> float:
    return float(sum(float((w**2).sum()) for w in weights.values()) ** 0.5)
