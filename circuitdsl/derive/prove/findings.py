"""What is derived about a circuit, as data: one finding for each synapse, and what holds of all of them together.

Words for it are in derive/tell/derivation.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from circuitdsl.derive.algebra.letters import Signal
from circuitdsl.derive.algebra.words import Sum
from circuitdsl.derive.prove.assumptions import Assumed
from circuitdsl.derive.prove.depth import DepthCondition
from circuitdsl.derive.prove.dual import Dual
from circuitdsl.derive.prove.flow import Balance
from circuitdsl.derive.prove.hypotheses import Hypothesis
from circuitdsl.derive.prove.matching import Form
from circuitdsl.derive.prove.motifs import Motif
from circuitdsl.derive.prove.reasons import Inconsistent, MeasuredBeside, MeasuredInstead, Reason
from circuitdsl.derive.prove.relations import Relation
from circuitdsl.derive.prove.rest import Rest
from circuitdsl.derive.prove.transport import Grounds
from circuitdsl.derive.read.drives import Drive, Unread
from circuitdsl.derive.read.roles import RuleKind
from circuitdsl.derive.read.symbols import Symbols
from circuitdsl.graph import ir

Verdict = Literal["exact", "gradient", "aligned", "descent", "ascent", "inconsistent", "none"]
Evidence = Literal["proved", "derived", "measured"]
Role = Literal["learning", "auxiliary", "fixed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a certificate says of one learning synapse: its verdict, the sign of phi, and the figures in a sentence."""

    verdict: Verdict
    phi_sign: int | None
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was derived about one synapse; see language.md, "Command line", `derive`.

    `phi_sign`: the sign of the consistency score, None if it is not known. `assumed`: what a state has to meet for the
    verdict to say anything of it. `follows`: the credit is known to be H times the gradient. `measured`: what a
    certificate says where algebra decides nothing, or no more than `aligned`. `reasons`: those of a verdict, or what
    was not shown. The rest is for pages: the rule as a drive, the gradient at the dendrite by those above it, how
    the credit compares with it (and the presynaptic factor with the source's rate), and what that rests on; `balance`:
    what decay alone forces at rest."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Everything derived about a circuit. `dc`: all consistency scores have one sign (None: not known). `depth`: what
    the depth of four-synapse circuits asks of decays."""

    circuit: ir.Circuit = field(repr=False)
    symbols: Symbols = field(repr=False)
    findings: Mapping[str, Finding]
    relations: tuple[Relation, ...]
    motifs: tuple[Motif, ...]
    rest: Rest
    dc: bool | None
    depth: tuple[DepthCondition, ...] = ()


#: A finding, or a proof, with its words or without.
F = TypeVar("F", bound=Finding)
P = TypeVar("P", bound=Proof)


def with_measured(proof: P, measured: Mapping[str, Measured]) -> P:
    """The proof with the verdicts that algebra left open taken from a measurement, and consistency judged anew."""
    findings = {name: _filled(f, measured.get(name)) for name, f in proof.findings.items()}
    findings, dc = consistent(findings)
    return replace(proof, findings=findings, dc=dc)


def _filled(found: F, measured: Measured | None) -> F:
    if measured is None or found.role != "learning" or found.verdict not in (None, "aligned"):
        return found
    if found.verdict == "aligned":
        return replace(found, measured=measured, reasons=(*found.reasons, MeasuredBeside(measured.because)))
    return replace(
        found, verdict=measured.verdict, phi_sign=measured.phi_sign, evidence="measured", measured=measured,
        reasons=(*found.reasons, MeasuredInstead(measured.because)),
    )  # fmt: skip


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
    if found.role != "learning" or note in found.reasons:
        return found
    if found.phi_sign == -1:
        sure: Evidence = "proved" if found.assumed.proved else "derived"
        return replace(found, verdict="inconsistent", evidence=found.evidence or sure, reasons=(*found.reasons, note))
    if found.phi_sign == 1 and found.verdict == "gradient":
        evidence: Evidence | None = "derived" if found.evidence == "proved" else found.evidence
        return replace(found, verdict="descent", evidence=evidence, reasons=(*found.reasons, note))
    return found
