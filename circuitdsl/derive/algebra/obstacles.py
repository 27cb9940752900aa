"""What stands in the way of reading an equation, a rule or a gradient as sums of words, as data.

A closed union, in the order in which things are read: equations, rules, and ticks with the loss that is read in them.
What else pulls at a weight beside a drive and a linear decay is data too, as it may be what stands in the way. Names
are those of the circuit. Words for all of them are in derive/tell/obstacles.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from circuitdsl.derive.algebra.letters import Identity
from circuitdsl.derive.algebra.words import Coefficient
from circuitdsl.graph import idle, ir

# ---------------------------------------------------------------- what else pulls at a weight


@dataclass(frozen=True, slots=True)
class Pulling:
    """`number * of`, a term of the rule that is no drive. `within`: it is a term of the drive that the rule reads."""

    number: Coefficient
    of: ir.Expr
    within: bool = False


@dataclass(frozen=True, slots=True)
class InTicks:
    """What pulls in the ticks from `first` to `last`."""

    of: tuple[Pulling, ...]
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Gathered:
    """A decay that the drive gathers over ticks."""


@dataclass(frozen=True, slots=True)
class DecayDiffers:
    """A decay that is not the same in all ticks."""


#: In one tick, or over several.
Uneven = tuple[Pulling | InTicks | Gathered | DecayDiffers, ...]

# ---------------------------------------------------------------- equations


@dataclass(frozen=True, slots=True)
class NoSlope:
    """The derivative of a function is no signal."""

    signal: Identity


@dataclass(frozen=True, slots=True)
class OwnFactor:
    """A number that all units share, and no sum of such."""

    expr: ir.Expr


@dataclass(frozen=True, slots=True)
class SumsUnits:
    """A reduction within an equation of units."""

    function: str


@dataclass(frozen=True, slots=True)
class DrawsNoise:
    """The equation has noise in it."""


@dataclass(frozen=True, slots=True)
class ReadsSynapse:
    """The equation reads weights, states or drives of the synapse."""


@dataclass(frozen=True, slots=True)
class ReadsNext:
    """The equation is that of a gradient which runs through several ticks."""


@dataclass(frozen=True, slots=True)
class Circular:
    """The value depends on itself over ticks."""

    value: str


OfEquation = NoSlope | OwnFactor | SumsUnits | DrawsNoise | ReadsSynapse | ReadsNext | Circular

# ---------------------------------------------------------------- rules


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing drives the weight of a synapse in any state."""

    why: idle.Why
    synapse: str


@dataclass(frozen=True, slots=True)
class NoRate:
    """The rate of the rule is 0."""


@dataclass(frozen=True, slots=True)
class NoDrive:
    """The drive is always 0."""


@dataclass(frozen=True, slots=True)
class NeverDriven:
    """Nothing drives the weight in any tick."""


@dataclass(frozen=True, slots=True)
class Mixing:
    """A factor reads presynaptic and other signals at once."""

    expr: ir.Expr


@dataclass(frozen=True, slots=True)
class SameForAll:
    """A term adds the same to every weight."""

    expr: ir.Expr


@dataclass(frozen=True, slots=True)
class TwoDecays:
    """The weight decays by example, and something else pulls at it."""

    uneven: Uneven


@dataclass(frozen=True, slots=True)
class NoNumber:
    """A coefficient that is no number before the run."""

    expr: ir.Expr


@dataclass(frozen=True, slots=True)
class DrivesItself:
    """A function of the weight alone that does not pull it back to 0."""

    expr: ir.Expr


@dataclass(frozen=True, slots=True)
class OtherGains:
    """Terms with different factors for each synapse are added."""


@dataclass(frozen=True, slots=True)
class NotPositive:
    """A factor that is not shown to be positive; `gain`: a coefficient of each synapse."""

    expr: ir.Expr
    gain: bool = False


@dataclass(frozen=True, slots=True)
class MayBeNegative:
    """A function of the weight that is not shown to be 0 or more for all weights."""

    expr: ir.Expr


@dataclass(frozen=True, slots=True)
class BesideStates:
    """The rule has signals beside its states."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The states of the rule are reset before it reads them."""


@dataclass(frozen=True, slots=True)
class SeveralDrives:
    """Several drives, or drives of different sign, are added."""


@dataclass(frozen=True, slots=True)
class NotOfOneDrive:
    """A term is not linear in one drive."""

    expr: ir.Expr


@dataclass(frozen=True, slots=True)
class NoProduct:
    """A term is no postsynaptic factor times a presynaptic one."""

    expr: ir.Expr


@dataclass(frozen=True, slots=True)
class OtherPresynaptic:
    """Terms with different presynaptic factors are added."""


OfRule = (
    Idle | NoRate | NoDrive | NeverDriven | Mixing | SameForAll | TwoDecays | NoNumber | DrivesItself | OtherGains
    | NotPositive | MayBeNegative | BesideStates | Reset | SeveralDrives | NotOfOneDrive | NoProduct | OtherPresynaptic
)  # fmt: skip

# ---------------------------------------------------------------- the error, the loss, and ticks


@dataclass(frozen=True, slots=True)
class Blind:
    """No path leads from what the loss compares with to what the rule reads."""

    read: tuple[str, ...]
    compared: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Noisy:
    """A value that the rule or the loss reads depends on noise."""

    value: str


@dataclass(frozen=True, slots=True)
class RuleDraws:
    """The rule draws noise."""


@dataclass(frozen=True, slots=True)
class UnlikeEvaluation:
    """A value is not the same in training and in evaluation."""

    value: str


@dataclass(frozen=True, slots=True)
class ThroughSteps:
    """The only way to the loss runs through these steps."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LossNotRead:
    """Evaluation has no tick in which the loss is read."""


@dataclass(frozen=True, slots=True)
class LaterTicks:
    """The current reaches the loss in later ticks too, by the value that is named."""

    by: str


@dataclass(frozen=True, slots=True)
class LossTicksDiffer:
    """The loss is read in several ticks of a phase that are not alike."""

    phase: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """A phase, or some of its ticks."""

    phase: str
    ticks: Literal["all", "first", "last", "other"] = "all"


@dataclass(frozen=True, slots=True)
class RunsElsewhere:
    """The rule runs in these ticks, and not in that in which the loss is read."""

    where: tuple[Stretch, ...]


@dataclass(frozen=True, slots=True)
class RunsOutside:
    """The rule runs in these ticks too, besides that in which the loss is read."""

    where: tuple[Stretch, ...]


@dataclass(frozen=True, slots=True)
class RunsIn:
    """The rule runs in these phases."""

    where: tuple[Stretch, ...]


@dataclass(frozen=True, slots=True)
class MovesBetween:
    """Weights move between the ticks over which the loss is averaged."""


@dataclass(frozen=True, slots=True)
class TraceCarries:
    """A trace of the rule carries over from tick to tick."""


@dataclass(frozen=True, slots=True)
class LeftByTraining:
    """A value comes from the ticks of a phase too that evaluation has not."""

    value: str
    phase: str


@dataclass(frozen=True, slots=True)
class TickCounts:
    """`tick` counts those of a phase too that evaluation has not."""

    phase: str


@dataclass(frozen=True, slots=True)
class NoWayNow:
    """The loss reaches a dendrite through several ticks only."""


@dataclass(frozen=True, slots=True)
class TooManyWays:
    """Too many ways lead to the loss, or down from the error."""

    down: bool


OfTicks = (
    Blind | Noisy | RuleDraws | UnlikeEvaluation | ThroughSteps | LossNotRead | LaterTicks | LossTicksDiffer
    | RunsElsewhere | RunsOutside | RunsIn | MovesBetween | TraceCarries | LeftByTraining | TickCounts | NoWayNow
    | TooManyWays
)  # fmt: skip

Obstacle = OfEquation | OfRule | OfTicks
