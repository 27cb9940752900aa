"""How far the relations that `derive` found are from holding, at one state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from circuitdsl.derive.relations import Relation
from circuitdsl.derive.verdict import Derivation
from circuitdsl.derive.words import LetterKind, Word

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Numbers, State

    Array = NDArray[np.floating[Any]]

#: A relation with a smaller residual counts as reached (theory.md, section 4).
REACHED = 0.1


def residual(relation: Relation, state: State, numbers: Numbers) -> float:
    """|left - factor * right| / |left|, in the Frobenius norm; NaN where a word holds more than weights."""
    import numpy as np

    left, right = product_of(relation.left, state.weights), product_of(relation.right, state.weights)
    if left is None or right is None:
        return float("nan")
    norm = float(np.linalg.norm(left))
    off = float(np.linalg.norm(left - relation.factor.value(numbers) * right))
    return off / norm if norm > 0 else float("nan") if off > 0 else 0.0


def product_of(word: Word, weights: Mapping[str, Array]) -> Array | None:
    """The product of the matrices of a word."""
    found: Array | None = None
    for letter in word:
        if letter.kind is not LetterKind.MATRIX:
            return None
        matrix = weights[letter.name].T if letter.transposed else weights[letter.name]
        found = matrix if found is None else found @ matrix
    return found


def worst(relations: Sequence[Relation], state: State, numbers: Numbers) -> float | None:
    """The largest residual of the relations that are not there from the start; None if there is no such one."""
    found = [residual(r, state, numbers) for r in relations if not r.tied]
    return max(found) if found else None


def needed(derivation: Derivation, synapse: str) -> tuple[Relation, ...]:
    """The relations that have to come about before a derived verdict holds: those between a weight and its mirror
    image that it stands on, directly or through another relation's weights. What holds only on average at rest is
    left out where there is such a pair: it says how good the approximation is, not whether the circuit has got there.
    """
    match = derivation.findings[synapse].match
    if match is None:
        return ()
    loose = tuple(r for r in match.relations if not r.tied)
    weights = {letter.name for r in loose for letter in (*r.left, *r.right)}
    pairs = tuple(r for r in derivation.relations if _is_pair(r) and weights & set(r.synapses))
    return pairs or loose


def _is_pair(relation: Relation) -> bool:
    return (relation.exact or relation.kind == "pair") and relation.kind != "quadratic" and not relation.tied
