"""Masks, signs, bounds and starts of weights: whether they keep a relation that the rules bring about."""

from __future__ import annotations

from math import inf, isclose

from circuitdsl.derive.algebra.constants import Constants, fan_numbers, with_fans
from circuitdsl.derive.algebra.words import Coefficient
from circuitdsl.graph import ir
from circuitdsl.graph.numbers import evaluate


def interval(synapse: ir.Synapse, constants: Constants) -> tuple[float, float] | None:
    """What `sign` and `bounds` confine each weight to; None where that depends on how the mask is drawn."""
    low, high = {
        ir.Sign.FREE: (-inf, inf),
        ir.Sign.EXCITATORY: (0.0, inf),
        ir.Sign.INHIBITORY: (-inf, 0.0),
    }[synapse.sign]
    if synapse.bounds is None:
        return low, high
    fans = any(isinstance(e, ir.Fan) for bound in synapse.bounds for e in ir.walk(bound))
    if fans and fan_numbers(synapse) is None:
        return None
    least, most = (evaluate(with_fans(bound, synapse), constants.numbers) for bound in synapse.bounds)
    return min(max(low, least), most), min(high, most)


def is_dense(synapse: ir.Synapse) -> bool:
    return all(c.which == "dense" for c in synapse.connect)


def is_free(synapse: ir.Synapse) -> bool:
    return synapse.sign is ir.Sign.FREE and synapse.bounds is None


def same_masks(one: ir.Synapse, two: ir.Synapse) -> bool:
    """Whether both synapses have the same connections, whichever way round: masks that are drawn differ, and a file
    is not looked into."""
    kinds = [frozenset(c.which for c in s.connect if c.which != "dense") for s in (one, two)]
    return kinds[0] == kinds[1] and kinds[0] <= {"one_to_one", "no_self"}


def keep_multiple(one: ir.Synapse, two: ir.Synapse, factor: float, constants: Constants) -> bool:
    """Whether `one = factor * two` survives masks, signs and bounds: the interval of one is that of two, scaled."""
    if not same_masks(one, two):
        return False
    first, second = interval(one, constants), interval(two, constants)
    if first is None or second is None:
        return False
    ends = sorted(factor * end for end in second)
    return all(isclose(a, b, rel_tol=1e-9) for a, b in zip(first, ends, strict=True))


def start_factor(one: ir.Synapse, two: ir.Synapse, transposed: bool, constants: Constants) -> Coefficient | None:
    """The c with `one = c * two` (transposed, if it is) at the start, because one is made from the other; None if
    they start apart."""
    which = "transpose" if transposed else "copy"
    found = _made_from(one.init, which, two.name, constants)
    if found is not None:
        return found
    back = _made_from(two.init, which, one.name, constants)
    return back.inverse() if back is not None and back.number else None


def start_at_zero(synapse: ir.Synapse, constants: Constants) -> bool:
    match synapse.init:
        case ir.InitCall(which="zeros"):
            return True
        case ir.InitCall(which="constant", arguments=(value,)) | (ir.Num() | ir.ParamRef() as value):
            number = constants.of(with_fans(value, synapse))
            return number is not None and number.number == 0
        case _:
            return False


def states_start_at_zero(synapse: ir.Synapse, constants: Constants) -> bool:
    starts = [constants.of(s.init) if isinstance(s.init, ir.Num | ir.ParamRef) else None for s in synapse.states]
    return all(start is not None and not start.number for start in starts)


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


# ---------------------------------------------------------------- functions of the weight


def factor_range(expr: ir.Expr, weights: tuple[float, float], constants: Constants) -> tuple[float, float]:
    """What a function of the weight lies between, for weights within `weights`."""

    def of(e: ir.Expr) -> tuple[float, float]:
        return factor_range(e, weights, constants)

    number = constants.of(expr)
    if number is not None:
        value = constants.value(number)
        return value, value
    match expr:
        case ir.Weight():
            return weights
        case ir.Apply(function="neg", arguments=(a,)):
            low, high = of(a)
            return -high, -low
        case ir.Apply(function="add" | "sub" as function, arguments=(a, b)):
            (low, high), (least, most) = of(a), of(b)
            return (low + least, high + most) if function == "add" else (low - most, high - least)
        case ir.Apply(function="mul", arguments=(a, b)) if a == b:
            return 0.0, max(end * end for end in of(a))
        case ir.Apply(function="mul", arguments=(a, b)):
            products = [0.0 if 0.0 in (x, y) else x * y for x in of(a) for y in of(b)]
            return min(products), max(products)
        case ir.Apply(function="square", arguments=(a,)) | ir.Apply(function="pow", arguments=(a, ir.Num(value=2.0))):
            low, high = of(a)
            return 0.0 if low <= 0 <= high else min(low * low, high * high), max(low * low, high * high)
        case ir.Apply(function="sign" | "tanh", arguments=(a,)):
            low, high = of(a)
            return (0.0 if low >= 0 else -1.0), (0.0 if high <= 0 else 1.0)
        case ir.Apply(function="abs" | "relu"):
            return 0.0, inf
        case ir.Apply(function="exp" | "softplus" | "sigmoid"):
            return 1e-300, inf
        case _:
            return -inf, inf
