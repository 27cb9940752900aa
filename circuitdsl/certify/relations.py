"""How far the relations that `derive` found are from holding, at one state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from circuitdsl.derive.algebra.letters import Made, Named, Part
from circuitdsl.derive.algebra.words import depends_on_example, names
from circuitdsl.derive.prove.relations import Relation
from circuitdsl.derive.read.numeric import instantiate
from circuitdsl.derive.tell.derivation import Derivation
from circuitdsl.graph.functions import elementwise, over, quiet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import State

    Array = NDArray[np.floating[Any]]

#: A relation with a smaller residual counts as reached (theory.md, section 4).
REACHED = 0.1


def residual(derivation: Derivation, relation: Relation, state: State) -> float:
    """|left - factor * right| / |left|, in the Frobenius norm."""
    import numpy as np

    left, right = sides(derivation, relation, state)
    norm, off = float(np.linalg.norm(left)), float(np.linalg.norm(left - right))
    return off / norm if norm > 0 else float("nan") if off > 0 else 0.0


def sides(derivation: Derivation, relation: Relation, state: State) -> tuple[Array, Array]:
    """`left` and `factor * right`; of both the diagonal, if the relation says nothing of the rest."""
    import numpy as np

    env = _env(derivation, state)
    left: Array = instantiate(relation.left, env)
    right: Array = derivation.symbols.constants.value(relation.factor) * instantiate(relation.right, env)
    return (np.diagonal(left), np.diagonal(right)) if relation.diagonal else (left, right)


def derived_h(derivation: Derivation, synapse: str, state: State) -> Array | None:
    """The H of the derived verdict, [post size, post size]; None if there is none that is the same for all examples."""
    import numpy as np

    form = derivation.findings[synapse].form
    if form is None or not form.constant:
        return None
    env = _env(derivation, state)
    return np.asarray(np.linalg.solve(instantiate(form.over, env), instantiate(form.h, env)))


def _env(derivation: Derivation, state: State) -> dict[Any, Any]:
    """The numbers of all letters that are the same for all examples: weights, params, coefficients, states that are
    kept or stand still, and what is made of these."""
    env: dict[Any, Any] = {**state.weights, **state.coefficients, **state.resets, **state.kept}
    env |= derivation.symbols.constants.derived
    for (of, _), made in derivation.symbols.opened.arithmetic.made.items():  # in the order in which they were made
        if not any(map(depends_on_example, made.arguments)):
            found, known = _value(made, env), of.name if isinstance(of, Named) else of
            env[known] = found[:1] if known in env else found  # made in several sizes: it has one value in all of them
    return env


def _value(made: Made, env: Mapping[Any, Any]) -> Array:
    """A function of such letters, [size]."""
    import numpy as np

    x, *others = (np.diagonal(instantiate(a, env)) for a in made.arguments)
    with quiet():
        match made.function:
            case "":
                return x
            case "inverse":
                return np.asarray(1 / x)
            case "tanh" if made.part is Part.SLOPE:
                return np.asarray(1 - np.tanh(x) ** 2)
            case "sigmoid" if made.part is Part.SLOPE:
                return np.asarray(elementwise("sigmoid", [x]) * elementwise("sigmoid", [-x]))
            case "ne":
                return elementwise("ne", [x, np.zeros_like(x)])
            case "softmax" | "onehot_max" | "kwta" as function:
                return over(function, x, others[0] if others else None)
            case function:
                return elementwise(function, [x, *others])


def worst(derivation: Derivation, relations: Sequence[Relation], state: State) -> float | None:
    """The largest residual of the relations that are not there from the start; None if there is no such one."""
    found = [residual(derivation, r, state) for r in relations if r.holds != "tied"]
    return max(found) if found else None


def needed(derivation: Derivation, synapse: str) -> tuple[Relation, ...]:
    """The relations that have to come about before a derived verdict holds: those between a weight and its mirror
    image that it stands on, directly or through another relation's weights. What holds only on average at rest is
    left out where there is such a pair: it says how good the approximation is, not whether the circuit has got there.
    """
    grounds = derivation.findings[synapse].grounds
    if grounds is None:
        return ()
    loose = tuple(r for r in grounds.all_relations() if r.holds != "tied")
    weights = {name for r in loose for name in names(r.left) | names(r.right)}
    pairs = tuple(r for r in derivation.relations if _is_pair(r) and weights & set(r.synapses))
    return pairs or loose


def is_approximate(derivation: Derivation, synapse: str) -> bool:
    """Whether the derived verdict stands on dropped gates, or on weights being at rest, besides such pairs."""
    grounds = derivation.findings[synapse].grounds
    if grounds is None:
        return False
    return grounds.is_mean_field() or any(r.holds == "rest" and not _is_pair(r) for r in grounds.all_relations())


def _is_pair(relation: Relation) -> bool:
    return (relation.holds == "exact" or relation.kind == "pair") and relation.holds != "tied"
