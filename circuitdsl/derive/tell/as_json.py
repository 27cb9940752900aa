"""The derivation as a JSON object (language.md, "Loss, expectations, records")."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from circuitdsl.derive.algebra.notation import text
from circuitdsl.derive.algebra.words import Sum
from circuitdsl.derive.prove.assumptions import of_relation, unique
from circuitdsl.derive.prove.hypotheses import Hypothesis
from circuitdsl.derive.prove.relations import Relation
from circuitdsl.derive.tell.derivation import Derivation, Told
from circuitdsl.derive.tell.expects import Judgement
from circuitdsl.derive.tell.hypotheses import name_of, text_of


def as_json(derivation: Derivation, judgements: Sequence[Judgement]) -> dict[str, Any]:
    """The object of `derive --json`."""
    told: dict[Hypothesis, dict[str, str]] = {}
    return {
        "circuit": derivation.circuit.name,
        "synapses": {f.synapse: _synapse(f, derivation, told) for f in derivation.findings.values()},
        "attractors": [_attractor(derivation, r) for r in derivation.relations],
        "wires": [{"population": w.population, "from": w.value, "line": w.span.line} for w in derivation.circuit.wires],
        "meta_objective": derivation.meta_objective,
        "dc": derivation.dc,
        "dc_evidence": derivation.dc_evidence,
        "diagnostics": [d.as_json() for d in derivation.warnings],
        "expects": [j.as_json() for j in judgements],
    }


def _synapse(found: Told, derivation: Derivation, told: dict[Hypothesis, dict[str, str]]) -> dict[str, Any]:
    """One finding; `told`: the hypotheses that others have told before."""
    assumes = found.assumes
    for h in assumes:
        if h not in told:
            told[h] = {"name": name_of(h), "text": text_of(h, derivation.symbols.constants)}
    return {
        "role": found.role, "rule": found.rule, "credit": found.credit, "gradient": found.gradient,
        "implied": found.implied, "phi_sign": found.phi_sign, "H": found.H, "verdict": found.verdict,
        "evidence": found.evidence,
        "assumes": [told[h] for h in assumes],
        "measured": None if found.measured is None else found.measured.verdict,
        "because": list(found.because),
    }  # fmt: skip


def _attractor(derivation: Derivation, relation: Relation) -> dict[str, Any]:
    value = derivation.symbols.constants.value
    return {
        "left": _matrices(relation.left, relation), "right": _matrices(relation.right, relation),
        "factor": value(relation.factor), "rate": None if relation.rate is None else value(relation.rate),
        "kind": kind_of(relation),
        "assumes": [name_of(h) for h in unique(of_relation(derivation.circuit, relation))],
    }  # fmt: skip


def _matrices(side: Sum, relation: Relation) -> str:
    """A product of weights in the language's own words: `V transpose(B)`."""
    shown = re.sub(r"([^\s()]+)ᵀ", r"transpose(\1)", text(side))
    return f"diag({shown})" if relation.diagonal else shown


def kind_of(relation: Relation) -> str:
    """`pair`, `intertwiner` or `quadratic`; `tied` where it holds from the start, with `at rest` where only there."""
    match relation.holds:
        case "tied":
            return "tied"
        case "rest":
            return f"{relation.kind} at rest"
        case "exact" | "attracted" | "slow":
            return relation.kind
