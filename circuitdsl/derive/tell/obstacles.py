"""What stands in the way, in words: of equations, rules, and ticks; and what else pulls at a weight.

`short` shortens names, and pieces of equations with names in them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from circuitdsl.derive.algebra.expressions import text
from circuitdsl.derive.algebra.notation import coefficient_text, signal_text
from circuitdsl.derive.algebra.obstacles import (
    BesideStates,
    Blind,
    Circular,
    DecayDiffers,
    DrawsNoise,
    DrivesItself,
    Gathered,
    Idle,
    InTicks,
    LaterTicks,
    LeftByTraining,
    LossNotRead,
    LossTicksDiffer,
    MayBeNegative,
    Mixing,
    MovesBetween,
    NeverDriven,
    NoDrive,
    Noisy,
    NoNumber,
    NoProduct,
    NoRate,
    NoSlope,
    NotOfOneDrive,
    NotPositive,
    NoWayNow,
    Obstacle,
    OfEquation,
    OfRule,
    OfTicks,
    OtherGains,
    OtherPresynaptic,
    OwnFactor,
    Pulling,
    ReadsNext,
    ReadsSynapse,
    Reset,
    RuleDraws,
    RunsElsewhere,
    RunsIn,
    RunsOutside,
    SameForAll,
    SeveralDrives,
    Stretch,
    SumsUnits,
    ThroughSteps,
    TickCounts,
    TooManyWays,
    TraceCarries,
    TwoDecays,
    Uneven,
    UnlikeEvaluation,
)
from circuitdsl.graph.idle import EmptyMask, FadesWith, HeldAtZero, NeverOpen, OnlyDecays, Why, ZeroStart

Short = Callable[[str], str]


def obstacle(of: Obstacle, short: Short) -> str:
    """What stands in the way, as a sentence."""
    if isinstance(of, OfEquation):
        return _of_equation(of, short)
    if isinstance(of, OfRule):
        return _of_rule(of, short)
    return _of_ticks(of, short)


def _of_equation(of: OfEquation, short: Short) -> str:
    match of:
        case NoSlope(signal=signal):
            return f"the derivative of `{short(signal_text(signal))}` is no signal"
        case OwnFactor(expr=expr):
            return f"`{short(text(expr))}` is a factor of its own"
        case SumsUnits(function=function):
            return f"`{function}` sums over units"
        case DrawsNoise():
            return "it draws noise"
        case ReadsSynapse():
            return "it reads the synapse itself"
        case ReadsNext():
            return "the gradient runs through several ticks"
        case Circular(value=value):
            return f"`{short(value)}` depends on itself over ticks"
        case _:
            assert_never(of)


def _of_rule(of: OfRule, short: Short) -> str:
    match of:
        case Idle(why=why, synapse=synapse):
            return idle(why, synapse, short)
        case NoRate():
            return "its rate is 0: nothing drives the weight"
        case NoDrive():
            return "the drive is always 0"
        case NeverDriven():
            return "nothing drives the weight in any tick"
        case Mixing(expr=expr):
            return f"`{short(text(expr))}` mixes presynaptic and other signals"
        case SameForAll(expr=expr):
            return f"`{short(text(expr))}` adds the same to every weight"
        case TwoDecays(uneven=pulls):
            return f"it decays by example and is pulled by {short(uneven(pulls))}"
        case NoNumber(expr=expr):
            return f"`{short(text(expr))}` is no number before the run"
        case DrivesItself(expr=expr):
            return f"`{short(text(expr))}` drives the weight by itself"
        case OtherGains():
            return "terms with different factors for each synapse are added"
        case NotPositive(expr=expr, gain=True):
            return f"the factor `{short(text(expr))}` of each synapse is not shown to be positive"
        case NotPositive(expr=expr):
            return f"`{short(text(expr))}` is not shown to be positive"
        case MayBeNegative(expr=expr):
            return f"`{short(text(expr))}` is not shown to be 0 or more for every weight"
        case BesideStates():
            return "the rule has signals beside its states"
        case Reset():
            return "its states are reset before the rule reads them"
        case SeveralDrives():
            return "several drives, or drives of different sign, are added"
        case NotOfOneDrive(expr=expr):
            return f"`{short(text(expr))}` is not linear in one drive"
        case NoProduct(expr=expr):
            return f"`{short(text(expr))}` is not a postsynaptic factor times a presynaptic one"
        case OtherPresynaptic():
            return "terms with different presynaptic factors are added"
        case _:
            assert_never(of)


def _of_ticks(of: OfTicks, short: Short) -> str:
    match of:
        case Blind(read=read, compared=compared):
            listed, origin = (", ".join(map(short, names)) for names in (read, compared))
            return (
                f"the rule reads {listed or 'nothing'}: no path leads there from {origin}, so it cannot see the error"
            )
        case Noisy(value=value):
            return f"`{short(value)}` depends on noise"
        case RuleDraws():
            return "the rule draws noise"
        case UnlikeEvaluation(value=value):
            return f"`{short(value)}` is not the same in training and in evaluation"
        case ThroughSteps(values=values):
            where = f" ({', '.join(f'`{short(v)}`' for v in values)})" if values else ""
            return f"its only way to the loss runs through a step{where}: the gradient is 0 almost everywhere"
        case LossNotRead():
            return "evaluation has no tick in which the loss is read"
        case LaterTicks(by=by):
            later = f"its current reaches the loss in later ticks too (by `{short(by)}`)"
            return f"{later}: the gradient runs through all of them"
        case LossTicksDiffer(phase=phase):
            return f"the loss is read in several ticks of `{phase}` that are not alike"
        case RunsElsewhere(where=where):
            return f"in the tick in which the loss is read its rule is 0: it runs in {_stretches(where)}"
        case RunsOutside(where=where):
            return f"its rule runs in other ticks too ({_stretches(where)}) than that in which the loss is read"
        case RunsIn(where=where):
            return f"its rule runs in {_stretches(where)}"
        case MovesBetween():
            return "weights move between the ticks over which the loss is averaged (`update = tick`)"
        case TraceCarries():
            return "its trace carries over from tick to tick"
        case LeftByTraining(value=value, phase=phase):
            return f"`{short(value)}` comes from the ticks of `{phase}` too, which evaluation has not"
        case TickCounts(phase=phase):
            return f"`tick` counts those of `{phase}` too, which evaluation has not"
        case NoWayNow():
            return "the loss reaches this dendrite through several ticks only"
        case TooManyWays(down=down):
            return f"too many ways lead {'down from the error' if down else 'to the loss'}"
        case _:
            assert_never(of)


def _stretches(where: Sequence[Stretch]) -> str:
    """`free`, or the last tick of it."""
    named = {"all": "", "first": "the first tick of ", "last": "the last tick of ", "other": "other ticks of "}
    return ", ".join(f"{named[s.ticks]}`{s.phase}`" for s in where)


# ---------------------------------------------------------------- weights that stay 0


def idle(why: Why, synapse: str, short: Short) -> str:
    """Why the weights of a synapse stay 0, or nothing ever drives them."""
    match why:
        case EmptyMask():
            return "it has no connection"
        case HeldAtZero():
            return "its weights are 0 and stay 0"
        case ZeroStart(together=(only,)) if only == synapse:
            return "it starts at 0, where its rule is 0: it stays 0"
        case ZeroStart(together=together):
            return f"{_list(together, short)} start at 0 and drive only each other: they stay 0"
        case NeverOpen(factor=factor, synapses=()):
            return f"`{short(text(factor))}` is 0 in every state reached from the start: nothing drives the weight"
        case NeverOpen(factor=factor, synapses=synapses):
            stay = f"{_list(synapses, short)} {'stays' if len(synapses) == 1 else 'stay'} 0"
            return f"`{short(text(factor))}` is always 0, because {stay}: nothing drives the weight"
        case OnlyDecays():
            return "the rule only decays: nothing drives the weight"
        case FadesWith(synapses=synapses):
            goes = "goes" if len(synapses) == 1 else "go"
            fading = _list(synapses, short)
            return f"nothing drives {fading}, so that {goes} to 0, and then nothing drives this weight"
        case _:
            assert_never(why)


def _list(names: Sequence[str], short: Short) -> str:
    shown = list(map(short, names))
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


# ---------------------------------------------------------------- what else pulls


def uneven(of: Uneven) -> str:
    """`− ηγ · sign(w)`, or what pulls in which ticks."""
    over = [part for part in of if not isinstance(part, Pulling)]
    return ", ".join(map(_over_ticks, over)) if over else _pulls([p for p in of if isinstance(p, Pulling)])


def _over_ticks(part: InTicks | Gathered | DecayDiffers) -> str:
    match part:
        case InTicks(of=pulls, first=first, last=last):
            return f"{_pulls(pulls)} in ticks {first} to {last}"
        case Gathered():
            return "a decay that its drive gathers over ticks"
        case DecayDiffers():
            return "a decay that differs between ticks"
        case _:
            assert_never(part)


def _pulls(pulls: Sequence[Pulling]) -> str:
    outer = " ".join(_pull(p) for p in pulls if not p.within)
    within = " ".join(_pull(p) for p in pulls if p.within)
    return " ".join(part for part in (outer, f"{within} (in its drive)" if within else "") if part)


def _pull(pull: Pulling) -> str:
    size, of = coefficient_text(pull.number, sign=False), text(pull.of)
    return f"{'−' if pull.number.number < 0 else '+'} {of if size == '1' else f'{size} · {of}'}"
