"""The answer of a derivation in a few words for each synapse, for drawings and margins."""

from __future__ import annotations

from circuitdsl.derive.algebra.notation import text
from circuitdsl.derive.prove.findings import Finding, Proof
from circuitdsl.derive.prove.reasons import Contradicted, Untested
from circuitdsl.derive.prove.relations import Relation

#: What stands in place of a verdict where there is none (theory.md, "Verdicts").
OPEN = "open"


def in_short(found: Finding) -> str:
    """`gradient, proved`; without a verdict `open`, or why the one that was derived is not claimed."""
    if found.verdict is not None:
        return f"{found.verdict}, {found.evidence}" if found.evidence else found.verdict
    match found.reasons:
        case (Untested(), *_):
            return "untested"
        case (Contradicted(), *_):
            return "contradicted by measurement"
        case _:
            return OPEN


def brief(found: Finding) -> str | None:
    """`⇒ gradient, proved`, as `in_short`; None for what does not learn."""
    return f"⇒ {in_short(found)}" if found.role == "learning" else None


def attracted(proof: Proof) -> dict[str, str]:
    """What an auxiliary synapse comes to or is tied to, such as `→ W2ᵀ` or `= W2ᵀ`, by its name."""
    found: dict[str, str] = {}
    for relation in proof.between:
        name = text(relation.left)
        if name in proof.findings and proof.findings[name].role == "auxiliary":
            found.setdefault(name, f"{_sign(relation)} {text(relation.right)}")
    return found


def _sign(relation: Relation) -> str:
    """Equal from the start, or in the end; `∝` where a factor is between them."""
    one = relation.factor.number == 1 and not relation.factor.params
    match relation.holds:
        case "tied":
            return "=" if one else "∝"
        case "exact" | "attracted" | "slow" | "rest":
            return "→" if one else "→ ∝"
