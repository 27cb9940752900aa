"""What the findings of a circuit assume, each with how far one state is from it.

Beside the hypotheses of a finding stand the relations that hold on average at rest, by which it was derived: where
one of them has not come about, nothing that stands on it was tested."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan
from typing import Any, NamedTuple, assert_never

from circuitdsl.certify.checkpoint import Checkpoint
from circuitdsl.certify.hypotheses import THRESHOLD, is_met, residual
from circuitdsl.certify.relations import REACHED, off
from circuitdsl.derive.algebra.arithmetic import NotLinear
from circuitdsl.derive.prove.findings import Finding
from circuitdsl.derive.prove.hypotheses import (
    AtRest,
    Attracted,
    GentleDecay,
    Homogeneous,
    Hypothesis,
    Lagging,
    ManyDraws,
    MeanField,
    Slow,
    SmallSteps,
)
from circuitdsl.derive.prove.relations import Relation
from circuitdsl.derive.read.drives import read_pull
from circuitdsl.derive.tell.derivation import Derivation
from circuitdsl.derive.tell.hypotheses import name_of, text_of
from circuitdsl.derive.tell.missed import distance, missed
from circuitdsl.derive.tell.wording import Wording
from circuitdsl.frozen import frozen

Assumed = Hypothesis | Relation

#: How much is missed of what should be 0, as against what may be a little: by so much for each part of it.
ANY = 10
#: Hypotheses that take a pass through the sample, or updates tried out, to evaluate: the others are asked first.
COSTLY = (AtRest, GentleDecay, Homogeneous, Lagging, ManyDraws, MeanField, Slow, SmallSteps)


@frozen(kw_only=True)
class Assumption:
    """A hypothesis at one state: its name and what it says, its residual there (NaN: the state cannot tell), whether
    that is small enough (None: likewise), and how far it is from that (`excess`, above 1 if it is missed).
    `relation`: it is one of weights, which says more than what brings it about.
    `missed`: the residual in words. `pace`: what part of its distance is lost per update, None where it is not known,
    or the hypothesis is not one that comes about with time."""

    name: str
    text: str
    residual: float
    met: bool | None
    excess: float
    missed: str
    pace: float | None
    relation: bool = False

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "text": self.text, "residual": self.residual, "met": self.met}


class Stand(NamedTuple):
    """How it stands with a finding at one state: whether all that it assumes is met there, and, as far as that was
    looked at, each of it."""

    met: bool
    assumes: tuple[Assumption, ...]

    @property
    def worst(self) -> Assumption | None:
        """What is missed by most, of relations if one is missed; of what cannot be told the first, if nothing is."""
        missed = [a for a in self.assumes if a.met is False]
        untold = [a for a in self.assumes if a.met is None]
        return max(missed, key=lambda a: (a.relation, a.excess)) if missed else untold[0] if untold else None


def assumed_by(finding: Finding) -> tuple[Assumed, ...]:
    """What the verdict of a finding assumes; nothing, if it has none."""
    if finding.verdict is None:
        return ()
    grounds = finding.grounds
    return (*finding.assumes, *(r for r in (grounds.all_relations() if grounds else ()) if r.holds == "rest"))


def stands(at: Checkpoint, synapses: Sequence[str], *, whole: bool) -> dict[str, Stand]:
    """How it stands with the findings of these synapses. What several assume is evaluated once; unless `whole`, no
    more of what a finding assumes is looked at once something is missed."""
    known: dict[Assumed, Assumption] = {}

    def evaluated(assumed: Assumed) -> Assumption:
        if assumed not in known:
            known[assumed] = _evaluated(assumed, at)
        return known[assumed]

    found = {}
    for name in synapses:
        assumes = assumed_by(at.derivation.findings[name])
        met = True
        for assumed in sorted(assumes, key=lambda a: isinstance(a, COSTLY)):
            if not met and not whole:
                break
            met = evaluated(assumed).met is True and met
        found[name] = Stand(met, tuple(known[a] for a in assumes if a in known))
    return found


def pace(derivation: Derivation, assumed: Assumed) -> float | None:
    """What part of its distance is lost per update, if it is known; None of what does not come about with time."""
    value = derivation.symbols.constants.value
    rates: list[float] = []
    match assumed:
        case AtRest(synapse=of):
            rates += _decay(derivation, of)
        case Attracted(left=left, right=right):
            own = (r for r in derivation.between if r.synapses == (left, right) and r.rate is not None)
            rates += [value(r.rate) for r in own if r.rate is not None]
        case Relation():
            rates += (rate for name in assumed.synapses for rate in _decay(derivation, name))
        case _:
            pass
    return min((rate for rate in rates if rate > 0), default=None)


def _decay(derivation: Derivation, synapse: str) -> Iterator[float]:
    """The linear decay of a synapse, also of one that nothing else moves."""
    drive, made = derivation.drive_of(synapse), derivation.circuit.synapses[synapse]
    decay = None if drive is None else drive.decay
    if drive is None and made.dw is not None:
        try:
            decay, _ = read_pull(derivation.symbols, made)
        except NotLinear:
            return
    if decay is not None:
        yield derivation.symbols.constants.value(decay)


def _evaluated(assumed: Assumed, at: Checkpoint) -> Assumption:
    words = Wording(at.derivation.symbols.constants)
    match assumed:
        case Relation():
            there = off(at.derivation, assumed, at.state, at.passes)
            return Assumption(
                name=f"{assumed.kind}({', '.join(assumed.synapses)})",
                text=f"{words.equation(assumed)} on average at rest",
                residual=there,
                met=None if isnan(there) else there <= REACHED,
                excess=there / REACHED,
                missed=f"{distance(assumed, words)} is {there:.2g}",
                pace=pace(at.derivation, assumed),
                relation=True,
            )
        case hypothesis if isinstance(hypothesis, Hypothesis):
            there, threshold = residual(hypothesis, at), THRESHOLD[type(hypothesis)]
            return Assumption(
                name=name_of(hypothesis),
                text=text_of(hypothesis, words.constants),
                residual=there,
                met=is_met(hypothesis, there),
                excess=there / threshold if threshold > 0 else ANY * there + (there > 0),
                missed=missed(hypothesis, there, at.derivation.between, words),
                pace=pace(at.derivation, hypothesis),
                relation=isinstance(hypothesis, Attracted),
            )
        case _:
            assert_never(assumed)
