"""How far the relations that `derive` found are from holding, at one state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from circuitdsl.certify.passes import Passes
from circuitdsl.derive.algebra.letters import Made, Matrix, Named, Part
from circuitdsl.derive.algebra.words import depends_on_example
from circuitdsl.derive.prove.relations import Relation
from circuitdsl.derive.read.numeric import instantiate
from circuitdsl.derive.tell.derivation import Derivation
from circuitdsl.graph.functions import elementwise, quiet
from circuitdsl.graph.interpret import read_value
from circuitdsl.graph.populations import over
from circuitdsl.twin.gradient import adjoint_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import State

    Array = NDArray[np.floating[Any]]

#: A relation that holds on average at rest counts as reached with a smaller residual: weights stray about their rest as
#: far as batches let them, on either side of it.
REACHED = 0.2


def off(derivation: Derivation, relation: Relation, state: State, passes: Passes) -> float:
    """|left - factor * right| / |left|, infinite where only `left` is 0: in the Frobenius norm, and in that of what
    both sides make of the signals that meet them in the sample; the larger. Errors may lie where most of the norm of
    the weights does not."""
    import numpy as np

    left, right = sides(derivation, relation, state)
    pairs = [(left, right)]
    signals = _meeting(derivation, relation, passes)
    if signals is not None and signals.any() and not relation.diagonal:
        pairs.append((left @ signals.T, right @ signals.T))
    found = []
    for one, other in pairs:
        norm, apart = float(np.linalg.norm(one)), float(np.linalg.norm(one - other))
        found.append(apart / norm if norm > 0 else float("inf") if apart > 0 else 0.0)
    return max(found)


def _meeting(derivation: Derivation, relation: Relation, passes: Passes) -> Array | None:
    """The signals that meet the left side of a relation, [examples times ticks, size]: the rates that its last weights
    read or, if these are transposed, what comes down to where they end. None if the last letter is no matrix, or
    nothing comes down there."""
    import numpy as np

    letter = relation.word[-1]
    if not isinstance(letter, Matrix):
        return None
    synapse = derivation.circuit.synapses[letter.name]
    if letter.transposed:
        name = adjoint_name(synapse.dendrite)
        found = [(f, f.now[name], synapse.post_size) for f in passes.evaluation if name in f.now]
    else:
        found = [(f, read_value(synapse.source, f), synapse.pre_size) for f in passes.training]
    met = [np.broadcast_to(signal, (frame.batch.size, size)) for frame, signal, size in found]
    return np.concatenate(met) if met else None


def sides(derivation: Derivation, relation: Relation, state: State) -> tuple[Array, Array]:
    """`left` and `factor * right`; of both the diagonal, if the relation says nothing of the rest."""
    import numpy as np

    env = _env(derivation, state)
    left: Array = instantiate(relation.left, env)
    right: Array = derivation.symbols.constants.value(relation.factor) * instantiate(relation.right, env)
    return (np.diagonal(left), np.diagonal(right)) if relation.diagonal else (left, right)


def derived_h(derivation: Derivation, synapse: str, state: State) -> Array | None:
    """The H of the derived verdict, [post size, post size]; None if there is none that is the same for all examples, or
    factors of single synapses stand between drive and weight, so that none of neurons tells all."""
    import numpy as np

    form, drive = derivation.findings[synapse].form, derivation.drive_of(synapse)
    if form is None or not form.constant or drive is None or drive.passage.scale is not None:
        return None
    env = _env(derivation, state)
    try:
        return np.asarray(np.linalg.solve(instantiate(form.over, env), instantiate(form.h, env)))
    except (KeyError, np.linalg.LinAlgError):  # a letter of the circuit unrolled over ticks; nothing to be solved
        return None


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
