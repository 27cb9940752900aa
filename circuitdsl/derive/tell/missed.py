"""How far a state is from what a finding assumes, in words: `|V2 − W2ᵀ|/|V2| is 0.41`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from circuitdsl.derive.algebra.expressions import text
from circuitdsl.derive.algebra.notation import signal_text, written
from circuitdsl.derive.prove.hypotheses import (
    AtRest,
    Attracted,
    GentleDecay,
    Homogeneous,
    Hypothesis,
    Lagging,
    Live,
    ManyDraws,
    MeanField,
    Nonempty,
    Nontrivial,
    OffKink,
    OneHot,
    Open,
    Slow,
    SmallSteps,
    Spectral,
    Unbound,
    Within,
)
from circuitdsl.derive.prove.relations import Relation
from circuitdsl.derive.tell.wording import Wording


def distance(relation: Relation, words: Wording) -> str:
    """What tells how far a relation is from holding: `|V2 − W2ᵀ|/|V2|`."""
    left, right = words.sides(relation)
    minus = words.sign("−")
    negative = relation.factor.number < 0
    other = right.replace(minus, "", 1) if negative else right
    return words.math(f"|{left} {'+' if negative else minus} {other}|/|{left}|")


def missed(hypothesis: Hypothesis, residual: float, relations: Iterable[Relation], words: Wording) -> str:
    """A residual (certify/hypotheses.py) in words; `relations` are those of the circuit."""
    figure = f"{residual:.2g}"
    match hypothesis:
        case AtRest(synapse=of):
            return f"|E[drive] {words.sign('−')} decay|/|decay| of {words.short(of)} is {figure}"
        case Unbound(synapse=of):
            return f"{100 * residual:.2g} % of {words.short(of)} are at a bound or at the 0 of a sign"
        case Attracted(left=left, right=right):
            own = (r for r in relations if r.synapses == (left, right) and r.holds != "rest")
            shown = next((distance(r, words) for r in own), f"the distance of {left} and {right}")
            return f"{shown} is {figure}"
        case OneHot(target=of):
            return f"the targets {words.short(of)} are not one-hot"
        case Nontrivial(synapse=of):
            return f"{words.short(of)} is 0"
        case Nonempty(synapse=of):
            return f"the mask of {words.short(of)} has no connection"
        case MeanField(gate=gate):
            return f"{words.notation.name(signal_text(gate))} depends on what it gates: {figure} of what gets through"
        case Slow(synapse=of):
            return f"the traces of {words.short(of)} are {figure} behind"
        case Lagging(synapse=of):
            return f"{figure} of the factors of {words.short(of)} are of the present update"
        case SmallSteps(synapse=of):
            return f"terms of second order of {words.short(of)} are {figure}"
        case Spectral(synapse=of):
            return f"a singular value of {words.short(of)} is {figure} off"
        case Homogeneous(population=of):
            return f"the rates of {words.short(of)} are {figure} from scaling"
        case Within(synapse=of):
            return f"the largest weight of {words.short(of)} is {figure} of what the pull allows"
        case GentleDecay(synapse=of):
            return f"the decay by example of {words.short(of)} takes {figure} of a weight"
        case ManyDraws(population=of):
            return f"one draw of {words.short(of)} is {figure} of an update"
        case Open(synapse=of, factor=factor):
            return f"{words.notation.name(text(factor))} is 0 for all weights of {words.short(of)}"
        case OffKink(kink=kink):
            return f"{words.notation.name(written(kink.argument))} is exactly 0 in {figure} of units and examples"
        case Live(synapse=of):
            return f"drive or gradient of {words.short(of)} is 0 for all examples"
        case _:
            assert_never(hypothesis)
