"""Verdicts by balance at rest, on the synapses that nothing else decides (derive/prove/flow.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from circuitdsl.derive.prove.assumptions import Assumed, unique
from circuitdsl.derive.prove.findings import Finding
from circuitdsl.derive.prove.flow import Balance, Balances, Known, Unbalanced, balances
from circuitdsl.derive.prove.reasons import ByBalance
from circuitdsl.derive.read.drives import Drive, Unread
from circuitdsl.derive.read.symbols import Symbols


def balanced(
    symbols: Symbols, rules: Mapping[str, Drive | Unread], findings: Mapping[str, Finding]
) -> dict[str, Finding]:
    """The findings, with what balance decides of those that are open."""
    asked = [n for n, f in findings.items() if f.role == "learning" and f.verdict is None]
    known = {n: k for n, f in findings.items() if (k := _known(f)) is not None} if asked else {}
    found = balances(symbols, rules, known, asked) if known else Balances({})
    return {name: _with_balance(f, found) for name, f in findings.items()}


def _with_balance(found: Finding, given: Balances) -> Finding:
    match given.of.get(found.synapse):
        case None:
            return found
        case Balance() as balance:
            return replace(
                found, verdict="descent", evidence="derived", phi_sign=None, balance=balance,
                assumed=Assumed(unique(balance.hypotheses)), reasons=(*found.reasons, ByBalance(balance)),
            )  # fmt: skip
        case Unbalanced():
            sets = [ByBalance(b) for b in given.together if found.synapse in b.synapses]
            return replace(found, reasons=(*found.reasons, *sets)) if sets else found


def _known(found: Finding) -> Known | None:
    """A synapse whose flow at rest is known, as it follows its gradient by a symmetric H."""
    if found.verdict not in ("exact", "gradient") or found.form is None or found.pre is None:
        return None
    factors = (found.form, found.pre)
    if not all(f.is_symmetric for f in factors):
        return None
    plain, diagonal = all(f.is_identity for f in factors), all(f.is_diagonal for f in factors)
    return Known(
        verdict=found.verdict, factor=found.form.factor * found.pre.factor,
        h="identity" if plain else "diagonal" if diagonal else "symmetric", hypotheses=found.assumes,
    )  # fmt: skip
