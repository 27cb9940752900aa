"""Random learning circuits: what is derived of them is never contradicted by what they do."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from generate_rules import ORDER, Generator, Measurement, measure, teacher, train

from circuitdsl.derive.prove.findings import Finding
from circuitdsl.derive.tell.derivation import Derivation, derive
from circuitdsl.graph.machine import State
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.resolve import load_text
from circuitdsl.reference import Reference

UPDATES = 1_200
#: A relation with a smaller residual counts as reached (theory.md, section 4).
REACHED = 0.1


def made(seed: int) -> Derivation:
    circuit = load_text(Generator(seed).make().text).circuit
    assert circuit is not None
    return derive(circuit)


def contradiction(found: Finding, at_end: Measurement) -> str | None:
    """Why the measurement objects to a verdict; where what it needs has not come about, nothing can."""
    cos, phi = at_end.cos, at_end.phi
    if cos == 0 or at_end.residual > REACHED or found.balance is not None:  # the last holds at rest
        return None
    match found.verdict:
        case "exact":
            return None if cos > 1 - 1e-6 else f"exact, but its cosine is {cos}"
        case "aligned":  # for each example by itself
            return None if phi > 0 else f"aligned, but phi {phi}"
        case "gradient" | "descent":
            return None if cos > 0 and phi > 0 else f"{found.verdict}, but cos {cos}, phi {phi}"
        case "ascent" | "inconsistent":
            return None if cos < 0 and phi < 0 else f"{found.verdict}, but cos {cos}, phi {phi}"
        case _:
            return None


def sees_the_error(derivation: Derivation, state: State, data: dict[str, np.ndarray], name: str) -> bool:
    """Whether other targets change what the rule adds."""
    other = {**data, "y": np.roll(data["y"], 7, axis=0)}
    engine, numbers = Reference(derivation.circuit, [], "float64"), numbers_of(derivation.circuit, {})
    steps = [engine.increments(state, given, ORDER, numbers, seed=1, epoch=0)[name] for given in (data, other)]
    return not np.array_equal(*steps)


def judged(seed: int) -> tuple[Counter[str], list[str]]:
    """The verdicts of one circuit, and what its training says against them."""
    derivation = made(seed)
    data = teacher(seed)
    with np.errstate(all="ignore"):
        state = train(derivation.circuit, data, UPDATES)
        if not all(np.isfinite(w).all() and np.abs(w).max() < 1e6 for w in state.weights.values()):
            return Counter(), []
        measured = measure(derivation, data, state)
    objections = []
    for name, found in derivation.findings.items():
        objection = contradiction(found, measured[name]) if name in measured else None
        if found.verdict == "none" and sees_the_error(derivation, state, data, name):
            objection = "none, but it sees the error"
        if objection is not None:
            objections.append(f"{seed}: {name} is {found.evidence} to be {objection}")
    return Counter(f.verdict or "open" for f in derivation.findings.values() if f.role == "learning"), objections


@pytest.mark.parametrize("seed", range(6))
def test_some_circuits(seed: int) -> None:
    assert judged(seed)[1] == []


@pytest.mark.slow
def test_sixteen_circuits() -> None:
    """No contradiction, and algebra alone decides about half of all learning synapses."""
    counts: Counter[str] = Counter()
    objections: list[str] = []
    for seed in range(16):
        found, against = judged(seed)
        counts += found
        objections += against
    print(dict(counts))
    assert objections == []
    decided = 1 - counts["open"] / counts.total()
    assert decided > 0.4, counts


def test_deriving_takes_no_training() -> None:
    """Many more circuits without training: nothing fails, and verdicts and evidence go together."""
    for seed in range(200, 240):
        for found in made(seed).findings.values():
            assert (found.verdict is None) == (found.evidence is None)
            assert found.because or found.role != "learning"
