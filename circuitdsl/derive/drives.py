"""What a plasticity rule does to its weight: `dw = rate * (credit ⊗ pre) - decay * w`, or why it does not.

`credit` is the postsynaptic factor s of theory.md, section 3. A rule may pass its drive through linear states
(momentum) or divide it by a positive function of states (RMSprop, Adam): `filter` names what stands between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from circuitdsl.derive.rules import Term, split
from circuitdsl.derive.symbols import NotLinear, Symbols, text
from circuitdsl.derive.words import Scalar, Signal, atom
from circuitdsl.graph import ir

#: The signal of a rule without postsynaptic factor: 1 for every unit.
ONES = "1"


class Filter(StrEnum):
    """What stands between the drive and the weight."""

    NONE = "none"
    TRACE = "low-pass filter of the drive"
    DIAGONAL = "positive factor for each synapse"
    BOTH = "low-pass filter and positive factor for each synapse"


@dataclass(frozen=True, slots=True)
class Drive:
    """One rule as symbols. `decay` is None where there is none; `signature` is the text of the rule with
    its states, drive left out: rules of equal signature and equal drives move in lockstep."""

    synapse: str
    rate: Scalar
    credit: Signal
    pre: Signal
    decay: Scalar | None
    filter: Filter
    signature: str
    expr: ir.Expr


@dataclass(frozen=True, slots=True)
class Unread:
    """A rule that is no such drive; `why` in the user's terms."""

    synapse: str
    why: str


def read_rule(symbols: Symbols, synapse: ir.Synapse) -> Drive | Unread:
    """The rule of a plastic synapse as a drive, or the first thing that stands in the way."""
    assert synapse.dw is not None
    try:
        return _read(symbols, synapse, synapse.dw)
    except NotLinear as reason:
        return Unread(synapse.name, str(reason))


def _read(symbols: Symbols, synapse: ir.Synapse, dw: ir.Expr) -> Drive:
    terms = split(dw, expand=True)
    decay_terms = [t for t in terms if _is_decay(t)]
    moving = [t for t in terms if not _is_decay(t)]
    decay = -_total([_number(symbols, t) for t in decay_terms], "the decay") if decay_terms else None
    if not moving:
        raise NotLinear("the rule only decays")
    if any(t.weights or t.mixed for t in moving):
        bad = next(t for t in moving if t.weights or t.mixed)
        raise NotLinear(f"`{text(bad.expr())}` depends on the weight in more than a decay")
    kind, sources, factor = _sources(symbols, synapse, moving)
    rate, credit, pre = _outer(symbols, synapse, sources)
    return Drive(
        synapse=synapse.name, rate=rate * factor, credit=credit, pre=pre,
        decay=decay if decay is not None and decay.sign else None,
        filter=kind, signature=_signature(synapse, kind, moving), expr=dw,
    )  # fmt: skip


def _is_decay(term: Term) -> bool:
    return len(term.weights) == 1 and term.power == 1 and not (term.pre or term.signals or term.states)


def _number(symbols: Symbols, term: Term) -> Scalar:
    number = symbols.scalar(term.coefficient())
    if number is None:
        raise NotLinear(f"the coefficient `{text(term.coefficient())}` differs from synapse to synapse")
    return number


def _total(numbers: Sequence[Scalar], what: str) -> Scalar:
    powers = {n.powers for n in numbers}
    if len(powers) != 1:
        raise NotLinear(f"{what} is a sum of different numbers")
    return Scalar(sum((n.number for n in numbers), Fraction(0)), numbers[0].powers)


# ---------------------------------------------------------------- states between drive and weight


def _sources(symbols: Symbols, synapse: ir.Synapse, moving: Sequence[Term]) -> tuple[Filter, tuple[Term, ...], Scalar]:
    """The terms that make the drive, and what stands between them and the weight."""
    if not any(t.states for t in moving):
        return Filter.NONE, tuple(moving), Scalar()
    if any(t.pre or t.signals for t in moving):
        raise NotLinear("the rule mixes its drive with signals beside it")
    names: set[str] = set()
    traced = scaled = False
    signs: set[int] = set()
    for term in moving:
        carriers = [s for s in term.states if isinstance(s, ir.DriveRead) or _trace_of(synapse, s) is not None]
        if len(carriers) != 1:
            raise NotLinear(f"`{text(term.expr())}` is not linear in one drive")
        others = [s for s in term.states if s is not carriers[0]]
        for other in others:
            if not positive(symbols, other):
                raise NotLinear(f"`{text(other)}` is not shown to be positive")
        scaled = scaled or bool(others)
        traced = traced or not isinstance(carriers[0], ir.DriveRead)
        names.add(_drive_name(synapse, carriers[0]))
        signs.add(_number_sign(symbols, term))
    if len(names) != 1 or len(signs) != 1:
        raise NotLinear("several drives, or drives of different sign, are added")
    drive = next(d for d in synapse.drives if d.name in names)
    kinds = {(False, False): Filter.NONE, (True, False): Filter.TRACE, (False, True): Filter.DIAGONAL}
    kind = kinds.get((traced, scaled), Filter.BOTH)
    rate = (
        _total([_number(symbols, t) for t in moving], "the rate")
        if kind is Filter.NONE
        else Scalar(Fraction(signs.pop()))
    )
    return kind, split(drive.expr, expand=True), rate


def _number_sign(symbols: Symbols, term: Term) -> int:
    return _number(symbols, term).sign


def _trace_of(synapse: ir.Synapse, factor: ir.Expr) -> str | None:
    """The drive of which a state is a leaky, linear trace with a positive gain."""
    if not isinstance(factor, ir.SynapseState):
        return None
    state = synapse.state(factor.name)
    if state.fresh or state.update is None:
        return None
    found = None
    for term in split(state.update, expand=True):
        if term.pre or term.signals or term.weights or term.mixed or len(term.states) != 1:
            return None
        match term.states[0]:
            case ir.DriveRead(name=name) if term.number > 0:
                found = name
            case ir.SynapseState(name=name) if name == factor.name and term.number < 0:
                pass
            case _:
                return None
    return found


def _drive_name(synapse: ir.Synapse, carrier: ir.Expr) -> str:
    if isinstance(carrier, ir.DriveRead):
        return carrier.name
    name = _trace_of(synapse, carrier)
    assert name is not None
    return name


def positive(symbols: Symbols, expr: ir.Expr) -> bool:
    """Whether a function of states is positive by its form (states that are averages of squares count as
    0 or more)."""

    def again(e: ir.Expr) -> bool:
        return positive(symbols, e)

    number = symbols.scalar(expr)
    if number is not None:
        return number.sign > 0
    match expr:
        case ir.Apply(function="sqrt" | "exp" | "square" | "abs"):
            return True
        case ir.Apply(function="add", arguments=(a, b)):
            return again(a) and again(b)
        case ir.Apply(function="mul" | "div", arguments=(a, b)):
            return again(a) and again(b)
        case ir.Apply(function="max", arguments=(a, b)):
            return again(a) or again(b)
        case ir.Apply(function="sub", arguments=(ir.Num(value=1.0), ir.Apply(function="pow", arguments=(base, _)))):
            inner = symbols.scalar(base)
            return inner is not None and 0 < inner.value(symbols.numbers) < 1
        case _:
            return False


# ---------------------------------------------------------------- the outer product


def _outer(symbols: Symbols, synapse: ir.Synapse, terms: Sequence[Term]) -> tuple[Scalar, Signal, Signal]:
    """The drive as rate * credit ⊗ pre."""
    pres: list[Signal] = []
    credit = Signal()
    rates: list[Scalar] = []
    for term in terms:
        if term.states or term.weights or term.mixed:
            raise NotLinear(f"`{text(term.expr())}` is not a postsynaptic factor times a presynaptic one")
        pres.append(_factors(symbols, term.pre, synapse))
        rates.append(_number(symbols, term))
        credit += _factors(symbols, term.signals, synapse).times(rates[-1])
    if any(p != pres[0] for p in pres):
        raise NotLinear("terms with different presynaptic factors are added")
    if not credit.terms:
        raise NotLinear("the drive is always 0")
    rate = Scalar(abs(rates[0].number), rates[0].powers)
    return rate, credit.times(rate.inverse()), pres[0]


def _factors(symbols: Symbols, factors: Sequence[ir.Expr], synapse: ir.Synapse) -> Signal:
    if not factors:
        return atom(ONES)
    product = factors[0]
    for factor in factors[1:]:
        product = ir.Apply(function="mul", arguments=(product, factor), span=synapse.span)
    return symbols.linear(product)


def _signature(synapse: ir.Synapse, kind: Filter, moving: Sequence[Term]) -> str:
    if kind is Filter.NONE:
        return ""
    states = [f"{s.name}: {text(s.update) if s.update else ''} from {s.init!r}" for s in synapse.states]
    return "; ".join([" + ".join(text(t.expr()) for t in moving), *states])
