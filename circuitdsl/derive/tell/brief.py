"""The answer of a derivation in a few words for each synapse, for drawings and margins."""

from __future__ import annotations

from circuitdsl.derive.algebra.notation import text
from circuitdsl.derive.prove.findings import Finding, Proof
from circuitdsl.derive.prove.relations import Relation


def brief(found: Finding) -> str | None:
    """`⇒ gradient, proved`; `⇒ not decided` where algebra leaves it open; None for what does not learn."""
    if found.role != "learning":
        return None
    if found.verdict is None:
        return "⇒ not decided"
    return f"⇒ {found.verdict}, {found.evidence}" if found.evidence else f"⇒ {found.verdict}"


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
