"""What stands in the way of reading an equation, a rule or a gradient as sums of words, as data.

A closed union, in the order in which things are read: equations, rules, and ticks with the loss that is read in them.
What else pulls at a weight beside a drive and a linear decay is data too, as it may be what stands in the way. Names
are those of the circuit. Words for all of them are in derive/tell/obstacles.py.
"""

from __future__ import annotations

from typing import Literal

from circuitdsl.derive.algebra.letters import Identity
from circuitdsl.derive.algebra.words import Coefficient
from circuitdsl.frozen import frozen
from circuitdsl.graph import idle, ir

# ---------------------------------------------------------------- what else pulls at a weight


@frozen
class Pulling:
    """`number * of`, a term of the rule that is no drive. `within`: it is a term of the drive that the rule reads."""

    number: Coefficient
    of: ir.Expr
    within: bool = False


@frozen
class InTicks:
    """What pulls in the ticks from `first` to `last`."""

    of: tuple[Pulling, ...]
    first: int
    last: int


@frozen
class Gathered:
    """A decay that the drive gathers over ticks."""


@frozen
class DecayDiffers:
    """A decay that is not the same in all ticks."""


#: In one tick, or over several.
Uneven = tuple[Pulling | InTicks | Gathered | DecayDiffers, ...]

# ---------------------------------------------------------------- equations


@frozen
class NoSlope:
    """The derivative of a function is no signal."""

    signal: Identity


@frozen
class OwnFactor:
    """A number that all units share, and no sum of such."""

    expr: ir.Expr


@frozen
class SumsUnits:
    """A reduction within an equation of units."""

    function: str


@frozen
class DrawsNoise:
    """The equation has noise in it."""


@frozen
class ReadsSynapse:
    """The equation reads weights, states or drives of the synapse."""


@frozen
class ReadsNext:
    """The equation is that of a gradient which runs through several ticks."""


@frozen
class Circular:
    """The value depends on itself over ticks."""

    value: str


OfEquation = NoSlope | OwnFactor | SumsUnits | DrawsNoise | ReadsSynapse | ReadsNext | Circular

# ---------------------------------------------------------------- rules


@frozen
class Idle:
    """Nothing drives the weight of a synapse in any state."""

    why: idle.Why
    synapse: str


@frozen
class NoRate:
    """The rate of the rule is 0."""


@frozen
class NoDrive:
    """The drive is always 0."""


@frozen
class NeverDriven:
    """Nothing drives the weight in any tick."""


@frozen
class Mixing:
    """A factor reads presynaptic and other signals at once."""

    expr: ir.Expr


@frozen
class SameForAll:
    """A term adds the same to every weight."""

    expr: ir.Expr


@frozen
class TwoDecays:
    """The weight decays by example, and something else pulls at it."""

    uneven: Uneven


@frozen
class NoNumber:
    """A coefficient that is no number before the run."""

    expr: ir.Expr


@frozen
class DrivesItself:
    """A function of the weight alone that does not pull it back to 0."""

    expr: ir.Expr


@frozen
class OtherGains:
    """Terms with different factors for each synapse are added."""


@frozen
class NotPositive:
    """A factor that is not shown to be positive; `gain`: a coefficient of each synapse."""

    expr: ir.Expr
    gain: bool = False


@frozen
class MayBeNegative:
    """A function of the weight that is not shown to be 0 or more for all weights."""

    expr: ir.Expr


@frozen
class BesideStates:
    """The rule has signals beside its states."""


@frozen
class Reset:
    """The states of the rule are reset before it reads them."""


@frozen
class SeveralDrives:
    """Several drives, or drives of different sign, are added."""


@frozen
class NotOfOneDrive:
    """A term is not linear in one drive."""

    expr: ir.Expr


@frozen
class NoProduct:
    """A term is no postsynaptic factor times a presynaptic one."""

    expr: ir.Expr


@frozen
class OtherPresynaptic:
    """Terms with different presynaptic factors are added."""


OfRule = (
    Idle | NoRate | NoDrive | NeverDriven | Mixing | SameForAll | TwoDecays | NoNumber | DrivesItself | OtherGains
    | NotPositive | MayBeNegative | BesideStates | Reset | SeveralDrives | NotOfOneDrive | NoProduct | OtherPresynaptic
)  # fmt: skip

# ---------------------------------------------------------------- the error, the loss, and ticks


@frozen
class Blind:
    """No path leads from what the loss compares with to what the rule reads."""

    read: tuple[str, ...]
    compared: tuple[str, ...]


@frozen
class Noisy:
    """A value that the rule or the loss reads depends on noise."""

    value: str


@frozen
class RuleDraws:
    """The rule draws noise."""


@frozen
class UnlikeEvaluation:
    """A value is not the same in training and in evaluation."""

    value: str


@frozen
class ThroughSteps:
    """The only way to the loss runs through these steps."""

    values: tuple[str, ...]


@frozen
class LossNotRead:
    """Evaluation has no tick in which the loss is read."""


@frozen
class LaterTicks:
    """The current reaches the loss in later ticks too, by the value that is named."""

    by: str


@frozen
class LossTicksDiffer:
    """The loss is read in several ticks of a phase that are not alike."""

    phase: str


@frozen
class Stretch:
    """A phase, or some of its ticks."""

    phase: str
    ticks: Literal["all", "first", "last", "other"] = "all"


@frozen
class RunsElsewhere:
    """The rule runs in these ticks, and not in that in which the loss is read."""

    where: tuple[Stretch, ...]


@frozen
class RunsOutside:
    """The rule runs in these ticks too, besides that in which the loss is read."""

    where: tuple[Stretch, ...]


@frozen
class RunsIn:
    """The rule runs in these phases."""

    where: tuple[Stretch, ...]


@frozen
class MovesBetween:
    """Weights move between the ticks over which the loss is averaged."""


@frozen
class TraceCarries:
    """A trace of the rule carries over from tick to tick."""


@frozen
class LeftByTraining:
    """A value comes from the ticks of a phase too that evaluation has not."""

    value: str
    phase: str


@frozen
class TickCounts:
    """`tick` counts those of a phase too that evaluation has not."""

    phase: str


@frozen
class NoWayNow:
    """The loss reaches a dendrite through several ticks only."""


@frozen
class TooManyWays:
    """Too many ways lead to the loss, or down from the error."""

    down: bool


OfTicks = (
    Blind | Noisy | RuleDraws | UnlikeEvaluation | ThroughSteps | LossNotRead | LaterTicks | LossTicksDiffer
    | RunsElsewhere | RunsOutside | RunsIn | MovesBetween | TraceCarries | LeftByTraining | TickCounts | NoWayNow
    | TooManyWays
)  # fmt: skip

Obstacle = OfEquation | OfRule | OfTicks
