"""Reasons in words: the steps of a proof, or what is missing for one, in the user's terms.

Formulas and names are written by the notation of a `Wording`, which may shorten the names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from circuitdsl.derive.algebra.expressions import text
from circuitdsl.derive.algebra.notation import signal_text
from circuitdsl.derive.algebra.obstacles import Obstacle
from circuitdsl.derive.prove.reasons import (
    AgainstEach,
    AlmostRelated,
    Apart,
    Arrives,
    Between,
    BoundMultiple,
    Break,
    Broken,
    ByBalance,
    Collapsed,
    Confirmed,
    Contradicted,
    CreditIs,
    Factors,
    Fades,
    FollowsReward,
    GatesDropped,
    Goal,
    GradientIs,
    Holds,
    Inconsistent,
    IsPositive,
    Lack,
    LeaksByError,
    LostGates,
    MeasuredBeside,
    MeasuredInstead,
    MixesExamples,
    MixesNeurons,
    NeitherDecays,
    NoDecay,
    NoGradient,
    NoMultiple,
    NoRule,
    NoScore,
    NothingPulls,
    NotShown,
    OtherBounds,
    OtherDrives,
    OtherMasks,
    OtherPart,
    OtherPassages,
    OtherRate,
    OtherReward,
    OtherSigns,
    Overshoots,
    Penalised,
    PulledBeside,
    Reason,
    RewardIsLoss,
    RuleUnread,
    StaysFixed,
    Unrelated,
    Unseeing,
    Untested,
    WithinPath,
)
from circuitdsl.derive.prove.score import Score
from circuitdsl.derive.tell import balance
from circuitdsl.derive.tell.obstacles import idle, obstacle, uneven
from circuitdsl.derive.tell.squares import squares_text
from circuitdsl.derive.tell.wording import MEAN_FIELD, Wording
from circuitdsl.frozen import frozen


@frozen
class Reasons:
    """Sentences about one synapse."""

    words: Wording

    def told(self, reason: Reason) -> str:
        """A reason as a sentence, without a full stop."""
        words = self.words
        match reason:
            case NotShown(lack=lack):
                return f"not shown: {self.lack(lack)}"
            case NoRule():
                return "it has no rule"
            case Unrelated(why=why):
                return f"no relation: {self.obstacle(why)}" if why else "no relation with another weight is found"
            case AlmostRelated(goal=goal, apart=apart):
                return f"no relation: {self._nearly(goal, apart)}"
            case Unseeing(why=why):
                return self.obstacle(why)
            case Fades(why=why, synapse=synapse):
                return idle(why, synapse, words.short)
            case Collapsed(collapse=collapse, synapse=synapse):
                return f"{words.collapse(collapse)}: at rest nothing drives {words.short(synapse)}"
            case Holds(relation=relation):
                return words.relation(relation)
            case Arrives(lemma=lemma):
                return f"what arrives: {words.lemma(lemma)}{f', {MEAN_FIELD}' if lemma.grounds.mean_field else ''}"
            case GatesDropped():
                return f"credit and gradient begin with the same gate; gates dropped ({MEAN_FIELD})"
            case Between(passage=passage):
                return f"between drive and weight: {words.passage(passage)}"
            case CreditIs(form=form, pre=pre, delta=delta):
                return words.credit(form, pre, delta)
            case GradientIs(dual=dual, delta=delta):
                return words.gradient_by_credit(dual, delta)
            case IsPositive(squares=squares):
                return f"which is positive: {words.math(squares_text(squares, words.notation))}"
            case FollowsReward(score=score):
                return self._follows(score)
            case RewardIsLoss(score=score):
                return f"E[{words.short(score.reward)}] is a multiple of −loss, but for a constant"
            case ByBalance(balance=found):
                return balance.told(found, words)
            case MeasuredBeside(figures=figures):
                return f"measured beside it: {figures}"
            case MeasuredInstead(figures=figures):
                return f"measured instead: {figures}"
            case Confirmed(figures=figures):
                return f"tested: {figures}"
            case Untested(verdict=verdict, evidence=evidence, missed=missed, figures=figures):
                return f"untested: {missed}; where it is met, {verdict} ({evidence}). Measured: {figures}"
            case Contradicted(verdict=verdict, evidence=evidence, found=found):
                return f"contradicted: {verdict} ({evidence}) was derived, but {found}"
            case Inconsistent():
                return "not dynamically consistent: other patches have the opposite sign"
            case _:
                assert_never(reason)

    # ------------------------------------------------------------ what is missing

    def lack(self, lack: Lack) -> str:
        words = self.words
        match lack:
            case Broken():
                return self._broken(lack)
            case LostGates(gates=gates):
                return (
                    f"the credit lacks the factor {self._names([*map(signal_text, gates)])} of the gradient; "
                    "on the way down gates can be dropped only with it"
                )
            case Factors(has=has, signals=signals):
                plural = "s" if len(signals) > 1 else ""
                end = "of the gradient" if has == "lacks" else "that the gradient has not"
                names = " and ".join(words.short(signal_text(s)) for s in signals)
                return f"the credit {has} the factor{plural} {names} {end}"
            case OtherPart(of="gradient", part=part):
                return f"the gradient has another part, {words.sum(part)}, that nothing brings to the neuron"
            case OtherPart(part=part, fixed=fixed):
                current = ", a fixed current" if fixed else ""
                return f"the credit has another part, {words.sum(part)}{current}, that the gradient has not"
            case WithinPath(credit=credit, front=front, head=head):
                return (
                    f"the credit is {words.sum(credit)}: {words.sum(front)} stands within the path, behind "
                    f"{words.sum(head)}, and is not a positive matrix in front of the gradient"
                )
            case NoMultiple(credit=credit, gradient=gradient, alone=alone):
                seen = f"not seen to be a positive matrix times the gradient {words.sum(gradient)}"
                return f"the credit {'is ' if alone else ''}{words.sum(credit)}{', which' if alone else ''} is {seen}"
            case NoGradient(why=why):
                return f"the gradient is no sum of words: {self.obstacle(why)}"
            case Penalised(parts=parts):
                shown = ", ".join(f"`{words.short(text(part))}`" for part in parts)
                return f"the loss has the part {shown}, which needs no target to be seen"
            case OtherRate(pre=pre):
                return f"the rule takes {words.sum(pre)} for its presynaptic rate"
            case NoScore(score=score):
                return self._no_score(score)
            case OtherReward(score=score):
                reward = words.short(score.reward)
                return f"{self._follows(score)}, and the loss is not seen to be the negative of E[{reward}]"
            case MixesNeurons():
                mixed = "a factor for each synapse stands before a matrix that mixes neurons"
                return f"{mixed}: of that product nothing follows"
            case MixesExamples():
                return "the factor changes from example to example, and what the rule keeps of them mixes these"
            case AgainstEach():
                return "the credit is against the gradient in every example, but by another matrix in each"
            case LeaksByError():
                return "the error decides how much the weights lose, which is no decay"
            case _:
                return self.obstacle(lack)

    def _broken(self, broken: Broken) -> str:
        """`the apical dendrite of h is driven by err through V2, which is fixed: nothing pulls V2 toward ...`."""
        short = self.words.short
        name, goal = short(broken.synapse), self._goal(broken.goal)
        dendrite = broken.dendrite.removeprefix(f"{broken.population}.")
        way = (
            f"the {short(dendrite)} dendrite of `{short(broken.population)}` "
            f"is driven by `{short(broken.source)}` through {name}"
        )
        return f"{way}, {self._why_not(broken.by, name, goal, broken.goal)}"

    def _why_not(self, by: Break, name: str, to: str, goal: Goal | None) -> str:
        words = self.words
        match by:
            case StaysFixed():
                return f"which is fixed: nothing pulls {name} toward {to}"
            case RuleUnread(why=why):
                return f"whose rule is not read ({self.obstacle(why)}): nothing is known to pull {name} toward {to}"
            case NothingPulls():
                return f"and nothing is found to pull {name} toward {to}"
            case OtherDrives(own=own, other=other):
                assert goal is not None
                moved, moves = (" ⊗ ".join(map(words.sum, factors)) for factors in (own, other))
                follows = f"{name} follows {moved} and {words.short(goal.synapse)} follows {moves}"
                return f"but {follows}: nothing pulls {name} toward {to}"
            case Apart():
                assert goal is not None
                return self._nearly(goal, by)
            case _:
                assert_never(by)

    def _goal(self, goal: Goal | None) -> str:
        if goal is None:
            return "the transposed forward weights"
        name = self.words.short(goal.synapse)
        return f"transpose({name})" if goal.transposed else name

    def _nearly(self, goal: Goal, apart: Apart) -> str:
        return f"driven as {self._goal(goal)} is, but {self._apart(apart)}"

    def _apart(self, apart: Apart) -> str:
        """What keeps two weights of equal drives apart."""
        short = self.words.short
        one, two = short(apart.one), short(apart.two)
        match apart.by:
            case OtherMasks():
                return f"{one} and {two} have different connections"
            case PulledBeside(synapse=synapse, pull=pull):
                return f"{short(synapse)} is also pulled by {short(uneven(pull))}"
            case NeitherDecays():
                return f"neither decays, so that {one} and {two} keep the difference they start with"
            case NoDecay(synapse=synapse):
                return f"{short(synapse)} does not decay"
            case Overshoots(synapse=synapse):
                return f"the decay of {short(synapse)} does not let it settle"
            case OtherSigns(signs=(of_one, of_two)):
                return f"{one} is {of_one.value} and {two} {of_two.value}"
            case OtherBounds():
                return f"the bounds of {one} and {two} differ"
            case BoundMultiple(factor=factor):
                much = f"{self.words.constants.value(factor):g} times as much"
                return f"{one} is driven {much}, and the bounds or signs of both do not keep that ratio"
            case OtherPassages():
                return f"what stands between drive and weight is not the same in {one} and {two}"
            case _:
                assert_never(apart.by)

    # ------------------------------------------------------------ draws

    def _score(self, score: Score) -> str:
        reward, draw, probability = map(self.words.short, (score.reward, score.draw, signal_text(score.probability)))
        return f"{reward} · ({draw} − {probability})"

    def _follows(self, score: Score) -> str:
        reward = self.words.short(score.reward)
        return f"on average over its draws {self._score(score)} is the gradient of E[{reward}] (a score function)"

    def _no_score(self, score: Score) -> str:
        reward, p = map(self.words.short, (score.reward, signal_text(score.probability)))
        return (
            f"on average over its draws the rule follows the gradient of E[{reward}] and E[{reward}] {p} besides: "
            f"it lacks the score function, {self._score(score)}"
        )

    # ------------------------------------------------------------ what stands in the way

    def obstacle(self, why: Obstacle) -> str:
        return obstacle(why, self.words.short)

    def _names(self, names: Sequence[str]) -> str:
        return ", ".join(map(self.words.short, names))
