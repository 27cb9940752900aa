"""What can be said of one synapse: the steps of a proof, or what is missing for one, as data.

Closed unions. What a finding says is a sequence of `Reason`s; one that is not shown lacks something, a `Lack`; where
the way down breaks off there is a `Break`, and where two weights of equal drive stay apart a `Difference`. Names are
those of the circuit. Words for all of them are in derive/tell/reasons.py.
"""

from __future__ import annotations

from dataclasses import dataclass
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
from circuitdsl.graph import idle, ir

# ---------------------------------------------------------------- what keeps two weights of equal drive apart


@dataclass(frozen=True, slots=True)
class OtherMasks:
    """They have different connections."""


@dataclass(frozen=True, slots=True)
class PulledBeside:
    """Something besides the drive and a linear decay pulls at one of them."""

    synapse: str
    pull: Uneven


@dataclass(frozen=True, slots=True)
class NeitherDecays:
    """They keep the difference that they start with."""


@dataclass(frozen=True, slots=True)
class NoDecay:
    """One of them does not decay."""

    synapse: str


@dataclass(frozen=True, slots=True)
class Overshoots:
    """The decay of one of them takes more than twice the weight at once, or is no decay."""

    synapse: str


@dataclass(frozen=True, slots=True)
class OtherSigns:
    """Their weights are held to different signs."""

    signs: tuple[ir.Sign, ir.Sign]


@dataclass(frozen=True, slots=True)
class OtherBounds:
    """Their weights are held within different bounds."""


@dataclass(frozen=True, slots=True)
class BoundMultiple:
    """One is driven `factor` times as much, and bounds or signs do not keep that ratio."""

    factor: Coefficient


@dataclass(frozen=True, slots=True)
class OtherPassages:
    """Other things stand between drive and weight."""


Difference = (
    OtherMasks | PulledBeside | NeitherDecays | NoDecay | Overshoots | OtherSigns | OtherBounds | BoundMultiple
    | OtherPassages
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Apart:
    """What keeps a weight from becoming a multiple of another one of equal drive."""

    one: str
    two: str
    by: Difference


# ---------------------------------------------------------------- where the way down breaks off


@dataclass(frozen=True, slots=True)
class Goal:
    """The weights that others should become, or mirror."""

    synapse: str
    transposed: bool


@dataclass(frozen=True, slots=True)
class StaysFixed:
    """The weights have no rule."""


@dataclass(frozen=True, slots=True)
class RuleUnread:
    """Their rule is not read."""

    why: Obstacle


@dataclass(frozen=True, slots=True)
class NothingPulls:
    """No weights are known that they could follow."""


@dataclass(frozen=True, slots=True)
class OtherDrives:
    """They follow one drive (credit, presynaptic rate), their goal another."""

    own: tuple[Sum, Sum]
    other: tuple[Sum, Sum]


Break = StaysFixed | RuleUnread | NothingPulls | OtherDrives | Apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The `dendrite`, one of `population`, is driven by `source` through weights that do not become their goal."""

    dendrite: str
    population: str
    source: str
    synapse: str
    goal: Goal | None
    by: Break


# ---------------------------------------------------------------- what is missing


@dataclass(frozen=True, slots=True)
class LostGates:
    """The credit is the gradient but for gates that can be dropped only where it has them too."""

    gates: tuple[Identity, ...]


@dataclass(frozen=True, slots=True)
class Factors:
    """The credit lacks factors of the gradient, or has some that the gradient has not."""

    has: Literal["lacks", "has"]
    signals: tuple[Identity, ...]


@dataclass(frozen=True, slots=True)
class OtherPart:
    """A part that one of both has and the other has not; `fixed`: a current that is the same for all examples."""

    of: Literal["credit", "gradient"]
    part: Sum
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class WithinPath:
    """What is in front of the gradient stands behind other weights, within the path."""

    credit: Sum
    front: Sum
    head: Sum


@dataclass(frozen=True, slots=True)
class NoMultiple:
    """The credit is not seen to be a positive matrix times the gradient; `alone`: both are single words."""

    credit: Sum
    gradient: Sum
    alone: bool


@dataclass(frozen=True, slots=True)
class NoGradient:
    """The gradient could not be written out."""

    why: Obstacle


@dataclass(frozen=True, slots=True)
class Penalised:
    """No error reaches the rule, but parts of the loss that compare with no data may be what it follows."""

    parts: tuple[ir.Expr, ...]


@dataclass(frozen=True, slots=True)
class OtherRate:
    """What the rule takes for its presynaptic rate is no positive multiple of that."""

    pre: Sum


@dataclass(frozen=True, slots=True)
class NoScore:
    """The rule follows the expected reward, and besides something that the probability would take away."""

    score: Score


@dataclass(frozen=True, slots=True)
class OtherReward:
    """The rule follows the expected reward, and the loss is not seen to be its negative."""

    score: Score


@dataclass(frozen=True, slots=True)
class MixesNeurons:
    """A factor for each synapse stands before a matrix that mixes neurons."""


@dataclass(frozen=True, slots=True)
class MixesExamples:
    """The positive matrix differs between examples, and what the rule keeps of them mixes these."""


@dataclass(frozen=True, slots=True)
class AgainstEach:
    """The credit is opposite to the gradient for every example, by another matrix for each: on average it may go
    either way."""


@dataclass(frozen=True, slots=True)
class LeaksByError:
    """The error decides how much the weights lose: that is no decay, and moves what the drive would come to."""


Lack = (
    Obstacle | Broken | LostGates | Factors | OtherPart | WithinPath | NoMultiple | NoGradient | Penalised | OtherRate
    | NoScore | OtherReward | MixesNeurons | MixesExamples
    | AgainstEach | LeaksByError
)  # fmt: skip

# ---------------------------------------------------------------- reasons


@dataclass(frozen=True, slots=True)
class NotShown:
    """No verdict, as something is missing."""

    lack: Lack


@dataclass(frozen=True, slots=True)
class NoRule:
    """The synapse is fixed."""


@dataclass(frozen=True, slots=True)
class Unrelated:
    """An auxiliary weight of which no relation is found, and why, if one seems near."""

    why: Obstacle | None = None


@dataclass(frozen=True, slots=True)
class AlmostRelated:
    """An auxiliary weight that is driven as another one, but stays apart from it."""

    goal: Goal
    apart: Apart


@dataclass(frozen=True, slots=True)
class Unseeing:
    """Nothing that the error reaches gets into the rule."""

    why: Obstacle


@dataclass(frozen=True, slots=True)
class Fades:
    """The weights go to 0, or stay there."""

    why: idle.Why
    synapse: str


@dataclass(frozen=True, slots=True)
class Collapsed:
    """Weights that can rest at 0 only bring all that drives the synapse."""

    collapse: Collapse
    synapse: str


@dataclass(frozen=True, slots=True)
class Holds:
    """A relation between weights comes about."""

    relation: Relation


@dataclass(frozen=True, slots=True)
class Arrives:
    """What a population sends down is a matrix times the gradient above."""

    lemma: Lemma


@dataclass(frozen=True, slots=True)
class GatesDropped:
    """Credit and gradient begin with the same gate, and others are left out."""


@dataclass(frozen=True, slots=True)
class Between:
    """Something stands between drive and weight."""

    passage: Passage


@dataclass(frozen=True, slots=True)
class CreditIs:
    """The credit is a positive matrix times the gradient, `delta`."""

    form: Form
    pre: Form
    delta: Signal


@dataclass(frozen=True, slots=True)
class GradientIs:
    """The gradient, `delta`, is a positive matrix times the credit."""

    dual: Dual
    delta: Signal


@dataclass(frozen=True, slots=True)
class IsPositive:
    """The matrix that was named last is a sum of squares."""

    squares: Squares


@dataclass(frozen=True, slots=True)
class FollowsReward:
    """The rule is a score function."""

    score: Score


@dataclass(frozen=True, slots=True)
class RewardIsLoss:
    """The expected reward is a multiple of the negative loss."""

    score: Score


@dataclass(frozen=True, slots=True)
class ByBalance:
    """What decay alone forces at rest."""

    balance: Balance


@dataclass(frozen=True, slots=True)
class MeasuredBeside:
    """What a certificate says beside a verdict, its figures in a sentence."""

    figures: str


@dataclass(frozen=True, slots=True)
class MeasuredInstead:
    """What a certificate says where algebra decides nothing."""

    figures: str


@dataclass(frozen=True, slots=True)
class Untested:
    """A verdict that holds where all is met that it assumes, and of that something was not, when it was measured:
    `missed`, with its figure. `figures`: what was measured all the same."""

    verdict: str
    evidence: str
    missed: str
    figures: str


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What a certificate found where all is met that a verdict assumes, its figures in a sentence."""

    figures: str


@dataclass(frozen=True, slots=True)
class Contradicted:
    """A verdict that was derived, and what a certificate found where all is met that it assumes."""

    verdict: str
    evidence: str
    found: str


@dataclass(frozen=True, slots=True)
class Inconsistent:
    """Other patches have the opposite sign of phi."""


Reason = (
    NotShown | NoRule | Unrelated | AlmostRelated | Unseeing | Fades | Collapsed | Holds | Arrives | GatesDropped
    | Between | CreditIs | GradientIs | IsPositive | FollowsReward | RewardIsLoss | ByBalance | MeasuredBeside
    | MeasuredInstead | Confirmed | Untested | Contradicted | Inconsistent
)  # fmt: skip
