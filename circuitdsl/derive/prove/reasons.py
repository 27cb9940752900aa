"""What can be said of one synapse: the steps of a proof, or what is missing for one, as data.

Closed unions. What a finding says is a sequence of `Reason`s; one that is not shown lacks something, a `Lack`; where
the way down breaks off there is a `Break`, and where two weights of equal drive stay apart a `Difference`. Names are
those of the circuit. Words for all of them are in derive/tell/reasons.py.
"""

from __future__ import annotations

from typing import Literal

from circuitdsl.derive.algebra.letters import Identity, Signal
from circuitdsl.derive.algebra.obstacles import Obstacle, Uneven
from circuitdsl.derive.algebra.words import Coefficient, Sum
from circuitdsl.derive.prove.dual import Dual
from circuitdsl.derive.prove.flow import Balance
from circuitdsl.derive.prove.matching import Form
from circuitdsl.derive.prove.relations import Relation
from circuitdsl.derive.prove.rest import Collapse
from circuitdsl.derive.prove.score import Score
from circuitdsl.derive.prove.squares import Squares
from circuitdsl.derive.prove.transport import Lemma
from circuitdsl.derive.read.drives import Passage
from circuitdsl.frozen import frozen
from circuitdsl.graph import idle, ir

# ---------------------------------------------------------------- what keeps two weights of equal drive apart


@frozen
class OtherMasks:
    """They have different connections."""


@frozen
class PulledBeside:
    """Something besides the drive and a linear decay pulls at one of them."""

    synapse: str
    pull: Uneven


@frozen
class NeitherDecays:
    """They keep the difference that they start with."""


@frozen
class NoDecay:
    """One of them does not decay."""

    synapse: str


@frozen
class Overshoots:
    """The decay of one of them takes more than twice the weight at once, or is no decay."""

    synapse: str


@frozen
class OtherSigns:
    """Their weights are held to different signs."""

    signs: tuple[ir.Sign, ir.Sign]


@frozen
class OtherBounds:
    """Their weights are held within different bounds."""


@frozen
class BoundMultiple:
    """One is driven `factor` times as much, and bounds or signs do not keep that ratio."""

    factor: Coefficient


@frozen
class OtherPassages:
    """Other things stand between drive and weight."""


Difference = (
    OtherMasks | PulledBeside | NeitherDecays | NoDecay | Overshoots | OtherSigns | OtherBounds | BoundMultiple
    | OtherPassages
)  # fmt: skip


@frozen
class Apart:
    """What keeps a weight from becoming a multiple of another one of equal drive."""

    one: str
    two: str
    by: Difference


# ---------------------------------------------------------------- where the way down breaks off


@frozen
class Goal:
    """The weights that others should become, or mirror."""

    synapse: str
    transposed: bool


@frozen
class StaysFixed:
    """The weights have no rule."""


@frozen
class RuleUnread:
    """Their rule is not read."""

    why: Obstacle


@frozen
class NothingPulls:
    """No weights are known that they could follow."""


@frozen
class OtherDrives:
    """They follow one drive (credit, presynaptic rate), their goal another."""

    own: tuple[Sum, Sum]
    other: tuple[Sum, Sum]


Break = StaysFixed | RuleUnread | NothingPulls | OtherDrives | Apart


@frozen(kw_only=True)
class Broken:
    """The `dendrite`, one of `population`, is driven by `source` through weights that do not become their goal."""

    dendrite: str
    population: str
    source: str
    synapse: str
    goal: Goal | None
    by: Break


# ---------------------------------------------------------------- what is missing


@frozen
class LostGates:
    """The credit is the gradient but for gates that can be dropped only where it has them too."""

    gates: tuple[Identity, ...]


@frozen
class Factors:
    """The credit lacks factors of the gradient, or has some that the gradient has not."""

    has: Literal["lacks", "has"]
    signals: tuple[Identity, ...]


@frozen
class OtherPart:
    """A part that one of both has and the other has not; `fixed`: a current that is the same for all examples."""

    of: Literal["credit", "gradient"]
    part: Sum
    fixed: bool = False


@frozen
class WithinPath:
    """What is in front of the gradient stands behind other weights, within the path."""

    credit: Sum
    front: Sum
    head: Sum


@frozen
class NoMultiple:
    """The credit is not seen to be a positive matrix times the gradient; `alone`: both are single words."""

    credit: Sum
    gradient: Sum
    alone: bool


@frozen
class NoGradient:
    """The gradient could not be written out."""

    why: Obstacle


@frozen
class Penalised:
    """No error reaches the rule, but parts of the loss that compare with no data may be what it follows."""

    parts: tuple[ir.Expr, ...]


@frozen
class OtherRate:
    """What the rule takes for its presynaptic rate is no positive multiple of that."""

    pre: Sum


@frozen
class NoScore:
    """The rule follows the expected reward, and besides something that the probability would take away."""

    score: Score


@frozen
class OtherReward:
    """The rule follows the expected reward, and the loss is not seen to be its negative."""

    score: Score


@frozen
class MixesNeurons:
    """A factor for each synapse stands before a matrix that mixes neurons."""


@frozen
class MixesExamples:
    """The positive matrix differs between examples, and what the rule keeps of them mixes these."""


@frozen
class AgainstEach:
    """The credit is opposite to the gradient for every example, by another matrix for each: on average it may go
    either way."""


@frozen
class LeaksByError:
    """The error decides how much the weights lose: that is no decay, and moves what the drive would come to."""


Lack = (
    Obstacle | Broken | LostGates | Factors | OtherPart | WithinPath | NoMultiple | NoGradient | Penalised | OtherRate
    | NoScore | OtherReward | MixesNeurons | MixesExamples
    | AgainstEach | LeaksByError
)  # fmt: skip

# ---------------------------------------------------------------- reasons


@frozen
class NotShown:
    """No verdict, as something is missing."""

    lack: Lack


@frozen
class NoRule:
    """The synapse is fixed."""


@frozen
class Unrelated:
    """An auxiliary weight of which no relation is found, and why, if one seems near."""

    why: Obstacle | None = None


@frozen
class AlmostRelated:
    """An auxiliary weight that is driven as another one, but stays apart from it."""

    goal: Goal
    apart: Apart


@frozen
class Unseeing:
    """Nothing that the error reaches gets into the rule."""

    why: Obstacle


@frozen
class Fades:
    """The weights go to 0, or stay there."""

    why: idle.Why
    synapse: str


@frozen
class Collapsed:
    """Weights that can rest at 0 only bring all that drives the synapse."""

    collapse: Collapse
    synapse: str


@frozen
class Holds:
    """A relation between weights comes about."""

    relation: Relation


@frozen
class Arrives:
    """What a population sends down is a matrix times the gradient above."""

    lemma: Lemma


@frozen
class GatesDropped:
    """Credit and gradient begin with the same gate, and others are left out."""


@frozen
class Between:
    """Something stands between drive and weight."""

    passage: Passage


@frozen
class CreditIs:
    """The credit is a positive matrix times the gradient, `delta`."""

    form: Form
    pre: Form
    delta: Signal


@frozen
class GradientIs:
    """The gradient, `delta`, is a positive matrix times the credit."""

    dual: Dual
    delta: Signal


@frozen
class IsPositive:
    """The matrix that was named last is a sum of squares."""

    squares: Squares


@frozen
class FollowsReward:
    """The rule is a score function."""

    score: Score


@frozen
class RewardIsLoss:
    """The expected reward is a multiple of the negative loss."""

    score: Score


@frozen
class ByBalance:
    """What decay alone forces at rest."""

    balance: Balance


@frozen
class MeasuredBeside:
    """What a certificate says beside a verdict, its figures in a sentence."""

    figures: str


@frozen
class MeasuredInstead:
    """What a certificate says where algebra decides nothing."""

    figures: str


@frozen
class Untested:
    """A verdict that holds where all is met that it assumes, and of that something was not, when it was measured:
    `missed`, with its figure. `figures`: what was measured all the same."""

    verdict: str
    evidence: str
    missed: str
    figures: str


@frozen
class Confirmed:
    """What a certificate found where all is met that a verdict assumes, its figures in a sentence."""

    figures: str


@frozen
class Contradicted:
    """A verdict that was derived, and what a certificate found where all is met that it assumes."""

    verdict: str
    evidence: str
    found: str


@frozen
class Inconsistent:
    """Other patches have the opposite sign of phi."""


Reason = (
    NotShown | NoRule | Unrelated | AlmostRelated | Unseeing | Fades | Collapsed | Holds | Arrives | GatesDropped
    | Between | CreditIs | GradientIs | IsPositive | FollowsReward | RewardIsLoss | ByBalance | MeasuredBeside
    | MeasuredInstead | Confirmed | Untested | Contradicted | Inconsistent
)  # fmt: skip
