"""How far a gate that was dropped is from being independent of what it gates, in numbers.

What the derivation takes a gate g for is a positive number: for what it lets through, g u, and what meets it there, v,
it takes E[(g u) v^T] for a multiple of E[u v^T], as it is if the gate is independent of them and open as often in all
neurons (the number is how often; 1 where v has passed the gate too). That is what is looked at, at every place at which
the gate was dropped: in the rules of the synapses of a relation or of a loop (v is presynaptic), in rules that were
compared with the gradient, and in rates that carry the error down (v is u itself). Neither the relation nor the cosine
of credit and gradient is asked: they are what follows, and other hypotheses with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import TYPE_CHECKING, Any

from circuitdsl.certify.checkpoint import Checkpoint
from circuitdsl.derive.algebra.letters import Identity, Named
from circuitdsl.derive.algebra.words import Diagonal, Sum, column, make_sum, ones, times
from circuitdsl.derive.prove.hypotheses import MeanField
from circuitdsl.derive.prove.rest import Collapse, Loop
from circuitdsl.derive.prove.transport import Grounds, Lemma
from circuitdsl.derive.read.environment import Environment
from circuitdsl.derive.read.numeric import instantiate
from circuitdsl.graph import ir

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

#: What a gate lets through, as a polynomial of units, and what meets it there; None: the same.
Place = tuple[Sum, Sum | None]


def dependence(at: Checkpoint, gate: Identity) -> float:
    """|E[(g u) v^T] - p E[u v^T]| / |E[(g u) v^T]| with the best p > 0, the largest of all places (1: the one says
    nothing of the other); infinite if the gate is never open, NaN where an example has several ticks, or the gate was
    dropped at no place that is known."""
    env = at.environment()
    if env is None:
        return float("nan")
    if not float(env[gate.name if isinstance(gate, Named) else gate].mean()) > 0:
        return float("inf")
    found = [_defect(env, gate, place, len(at.sample.examples)) for place in places(at, gate)]
    return max((f for f in found if f is not None), default=float("nan"))


def _defect(env: Environment, gate: Identity, place: Place, examples: int) -> float | None:
    """None where the gate is not in the polynomial, or nothing gets through."""
    import numpy as np

    gated, bare = _opened(place[0], gate)
    if not gated.terms:
        return None

    def numbers(of: Sum) -> Array:
        found = np.atleast_2d(instantiate(of, env))
        return np.broadcast_to(found, (examples, found.shape[1]))

    through, whole = (numbers(times(poly, column(ones(poly.rows)))) for poly in (gated, bare))
    meeting = whole if place[1] is None else numbers(place[1])
    let_in, taken = (a.T @ meeting / examples for a in (through, whole))
    norms = float(np.linalg.norm(let_in)), float(np.linalg.norm(taken))
    if not norms[0] > 0:
        return None
    cos = float(np.vdot(let_in, taken)) / norms[0] / norms[1] if norms[1] > 0 else 0.0
    return sqrt(max(0.0, 1 - max(0.0, cos) ** 2))


def _opened(poly: Sum, gate: Identity) -> tuple[Sum, Sum]:
    """The terms that a gate multiplies, with it and without it."""
    own = [t for t in poly.terms if any(_is(x, gate) for x in t.word)]
    bare = [(t.coefficient, t.scalars, tuple(x for x in t.word if not _is(x, gate))) for t in own]
    return Sum(poly.rows, poly.cols, tuple(own)), make_sum(poly.rows, poly.cols, bare)


def _is(letter: Any, gate: Identity) -> bool:
    return isinstance(letter, Diagonal) and letter.signal.of == gate


# ---------------------------------------------------------------- where it was dropped


def places(at: Checkpoint, gate: Identity) -> Iterator[Place]:
    """Every place at which the derivation took the gate for a number."""
    for name in sorted(_synapses(at, gate)):
        drive = at.derivation.drive_of(name)
        if drive is not None:
            yield drive.signal, drive.pre
    seen: set[Lemma] = set()
    for finding in at.derivation.findings.values():
        if finding.grounds is None:
            continue
        drive = at.derivation.drive_of(finding.synapse)
        if gate in finding.grounds.gates and drive is not None:
            yield drive.signal, None
        for lemma in _lemmas(finding.grounds, seen):
            if gate in lemma.grounds.gates:
                value = at.circuit.values[lemma.source]
                read = ir.Read(span=value.span, value=value.name, axis=ir.Axis.OWN)
                yield at.derivation.symbols.opened.read(read, value.size), None


def _synapses(at: Checkpoint, gate: Identity) -> set[str]:
    """The synapses of relations and of loops for which the gate was dropped."""
    found = {name for r in at.derivation.relations if gate in r.gates for name in r.synapses}
    rest, dropped = at.derivation.rest, MeanField(gate)
    loops: list[Loop | Collapse] = [*(s.loop for s in rest.spectra), *rest.collapses]
    return found.union(*(loop.synapses for loop in loops if dropped in loop.assumes))


def _lemmas(grounds: Grounds, seen: set[Lemma]) -> Iterator[Lemma]:
    """Every lemma that something stands on, once in all."""
    waiting = [grounds]
    while waiting:
        for lemma in waiting.pop().lemmas:
            if lemma not in seen:
                seen.add(lemma)
                waiting.append(lemma.grounds)
                yield lemma
