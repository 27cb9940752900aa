"""What is derived about a circuit, as data: one finding for each synapse, and what holds of all of them together.

Words for it are in derive/tell/derivation.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from typing import Literal, TypeVar

from circuitdsl.derive.algebra.letters import Signal
from circuitdsl.derive.algebra.words import Sum
from circuitdsl.derive.prove.assumptions import Assumed
from circuitdsl.derive.prove.depth import DepthCondition
from circuitdsl.derive.prove.dual import Dual
from circuitdsl.derive.prove.flow import Balance
from circuitdsl.derive.prove.hypotheses import Hypothesis
from circuitdsl.derive.prove.matching import Form
from circuitdsl.derive.prove.motifs import Motifs
from circuitdsl.derive.prove.reasons import (
    Confirmed,
    Contradicted,
    Inconsistent,
    MeasuredBeside,
    MeasuredInstead,
    Reason,
    Untested,
)
from circuitdsl.derive.prove.relations import Relation
from circuitdsl.derive.prove.rest import Rest
from circuitdsl.derive.prove.transport import Grounds
from circuitdsl.derive.read.drives import Drive, Unread
from circuitdsl.derive.read.roles import RuleKind
from circuitdsl.derive.read.symbols import Symbols
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir

Verdict = Literal["exact", "gradient", "aligned", "descent", "ascent", "inconsistent", "none"]
Evidence = Literal["proved", "derived", "measured"]
Role = Literal["learning", "auxiliary", "fixed"]


@frozen(kw_only=True)
class Measured:
    """What a certificate says of one learning synapse: its verdict (None where the seeds do not decide), the sign of
    phi and that of each seed, and the figures in a sentence. Of a verdict that was derived one of: `confirmed`, what
    was found where all is met that it assumes; `contradicted`, likewise; `untested`, what did not come about."""

    verdict: Verdict | None
    phi_sign: int | None
    because: str
    phi_signs: tuple[int, ...] = ()
    confirmed: str | None = None
    contradicted: str | None = None
    untested: str | None = None


@frozen(kw_only=True)
class Finding:
    """What was derived about one synapse; see language.md, "Loss, expectations, records".

    `phi_sign`: the sign of the consistency score, None if it is not known. `assumed`: what a state has to meet for the
    verdict to say anything of it. `follows`: the credit is known to be H times the gradient. `measured`: what a
    certificate says where algebra decides nothing, no more than `aligned`, or something that assumes anything.
    `reasons`: those of a verdict, or what was not shown. The rest is for pages: the rule as a drive, the gradient at
    the dendrite by those above it, how the credit compares with it (and the presynaptic factor with the source's
    rate), and what that rests on; `balance`: what decay alone forces at rest."""

    synapse: str
    role: Role
    rule: RuleKind
    phi_sign: int | None = None
    follows: bool = False
    verdict: Verdict | None = None
    evidence: Evidence | None = None
    assumed: Assumed = field(default=Assumed(), repr=False)
    measured: Measured | None = None
    reasons: tuple[Reason, ...] = field(default=(), repr=False)
    drive: Drive | Unread | None = field(default=None, repr=False)
    delta: Sum | None = field(default=None, repr=False)
    delta_signal: Signal | None = field(default=None, repr=False)
    form: Form | None = field(default=None, repr=False)
    pre: Form | None = field(default=None, repr=False)
    dual: Dual | None = field(default=None, repr=False)
    grounds: Grounds | None = field(default=None, repr=False)
    balance: Balance | None = field(default=None, repr=False)

    @property
    def assumes(self) -> tuple[Hypothesis, ...]:
        """Every hypothesis of the verdict, those of the layers that it stands on too."""
        return self.assumed.all()


@frozen(kw_only=True)
class Proof:
    """Everything derived about a circuit. `between`: the linear relations of weights. `dc`: all consistency scores have
    one sign (None: not known). `depth`: what the depth of four-synapse circuits asks of decays."""

    circuit: ir.Circuit = field(repr=False)
    symbols: Symbols = field(repr=False)
    findings: Mapping[str, Finding]
    between: tuple[Relation, ...]
    motifs: Motifs
    rest: Rest
    dc: bool | None
    depth: tuple[DepthCondition, ...] = ()

    @property
    def relations(self) -> tuple[Relation, ...]:
        """All relations of weights, those of their squares too."""
        return (*self.between, *self.motifs.quadratics)


#: A finding, or a proof, with its words or without.
F = TypeVar("F", bound=Finding)
P = TypeVar("P", bound=Proof)


def with_measured(proof: P, measured: Mapping[str, Measured]) -> P:
    """The proof with the verdicts that algebra left open taken from a measurement, without those that it did not come
    to test, and with consistency judged anew."""
    findings = {name: _filled(f, measured.get(name)) for name, f in proof.findings.items()}
    findings, dc = consistent(findings)
    return replace(proof, findings=findings, dc=dc)


def _filled(found: F, measured: Measured | None) -> F:
    if measured is None or found.role != "learning":
        return found
    told = replace(found, measured=measured)
    why_not = _refused(found, measured)
    if why_not is not None:
        return replace(told, verdict=None, evidence=None, phi_sign=measured.phi_sign, reasons=(why_not, *found.reasons))
    if found.verdict is not None:
        beside: list[Reason] = [Confirmed(measured.confirmed)] if measured.confirmed and found.assumes else []
        beside += [MeasuredBeside(measured.because)] if found.verdict == "aligned" else []
        return replace(told, reasons=(*found.reasons, *beside))
    decided = measured.verdict is not None
    return replace(
        told, verdict=measured.verdict, phi_sign=measured.phi_sign, evidence="measured" if decided else None,
        reasons=(*found.reasons, MeasuredInstead(measured.because)),
    )  # fmt: skip


def _refused(found: Finding, measured: Measured) -> Reason | None:
    """Why a derived verdict is not claimed any more."""
    if found.verdict is None or found.evidence is None:
        return None
    if measured.contradicted is not None:
        return Contradicted(found.verdict, found.evidence, measured.contradicted)
    if measured.untested is not None:
        return Untested(found.verdict, found.evidence, measured.untested, measured.because)
    return None


def seeds_agreeing(findings: Iterable[Finding]) -> tuple[int, int] | None:
    """In how many seeds of how many the signs of phi are as findings have them; None if none was measured."""
    measured = [f for f in findings if f.evidence not in ("proved", "derived") and f.measured and f.phi_sign]
    seeds = list(zip(*(f.measured.phi_signs for f in measured if f.measured), strict=True))
    wanted = tuple(f.phi_sign for f in measured)
    return (sum(seed == wanted for seed in seeds), len(seeds)) if seeds else None


def consistent(findings: Mapping[str, F]) -> tuple[dict[str, F], bool | None]:
    """Dynamical consistency: whether the phi of all patches have one sign. If they have not, those that ascend are
    `inconsistent`, and the others descend at most, unless they are exact."""
    learning = [f for f in findings.values() if f.role == "learning"]
    signs = [f.phi_sign for f in learning]
    if 1 in signs and -1 in signs:
        return {name: _inconsistent(f) for name, f in findings.items()}, False
    known = bool(signs) and all(s in (1, -1) for s in signs)
    return dict(findings), True if known else None


def _inconsistent(found: F) -> F:
    note = Inconsistent()
    untested = found.verdict is None and found.measured is not None
    if found.role != "learning" or note in found.reasons or untested:
        return found
    if found.phi_sign == -1:
        sure: Evidence = "proved" if found.assumed.proved else "derived"
        return replace(found, verdict="inconsistent", evidence=found.evidence or sure, reasons=(*found.reasons, note))
    if found.phi_sign == 1 and found.verdict == "gradient":
        evidence: Evidence | None = "derived" if found.evidence == "proved" else found.evidence
        return replace(found, verdict="descent", evidence=evidence, reasons=(*found.reasons, note))
    return found
