"""Masks, signs, bounds and starts of weights: whether they keep a relation that the rules bring about."""

from __future__ import annotations

from math import isclose

from circuitdsl.derive.algebra.constants import Constants
from circuitdsl.derive.algebra.words import Coefficient
from circuitdsl.graph import ir
from circuitdsl.graph.intervals import point
from circuitdsl.graph.ranges import Ranges


def is_dense(synapse: ir.Synapse) -> bool:
    return all(c.which == "dense" for c in synapse.connect)


def is_free(synapse: ir.Synapse) -> bool:
    return synapse.sign is ir.Sign.FREE and synapse.bounds is None


def same_masks(one: ir.Synapse, two: ir.Synapse) -> bool:
    """Whether both synapses have the same connections, whichever way round: masks that are drawn differ, and a file
    is not looked into."""
    kinds = [frozenset(c.which for c in s.connect if c.which != "dense") for s in (one, two)]
    return kinds[0] == kinds[1] and kinds[0] <= {"one_to_one", "no_self"}


def keep_multiple(one: ir.Synapse, two: ir.Synapse, factor: float, ranges: Ranges) -> bool:
    """Whether `one = factor * two` survives masks, signs and bounds: the limits of one are those of two, scaled."""
    if not same_masks(one, two):
        return False
    limits, scaled = ranges.limits(one), ranges.limits(two) * point(factor)
    return isclose(limits.low, scaled.low, rel_tol=1e-9) and isclose(limits.high, scaled.high, rel_tol=1e-9)


def states_start_at_zero(synapse: ir.Synapse, ranges: Ranges) -> bool:
    return all(ranges.start_of(synapse, state).is_zero for state in synapse.states)


def start_factor(one: ir.Synapse, two: ir.Synapse, transposed: bool, constants: Constants) -> Coefficient | None:
    """The c with `one = c * two` (transposed, if it is) at the start, because one is made from the other; None if
    they start apart."""
    which = "transpose" if transposed else "copy"
    found = _made_from(one.init, which, two.name, constants)
    if found is not None:
        return found
    back = _made_from(two.init, which, one.name, constants)
    return back.inverse() if back is not None and back.number else None


def _made_from(init: ir.Init, which: str, other: str, constants: Constants) -> Coefficient | None:
    match init:
        case ir.InitCall() if init.which == which and init.other == other:
            return Coefficient()
        case ir.InitApply(function="neg", arguments=(inner,)):
            found = _made_from(inner, which, other, constants)
            return None if found is None else Coefficient(-found.number, found.params)
        case ir.InitApply(function="mul" | "div" as function, arguments=(a, b)):
            for number, inner in ((b, a), (a, b)) if function == "mul" else ((b, a),):
                scale, found = constants.of_init(number), _made_from(inner, which, other, constants)
                if scale is not None and scale.number and found is not None:
                    return found * (scale if function == "mul" else scale.inverse())
            return None
        case _:
            return None
