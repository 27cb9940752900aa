"""What depth asks of decays, where they break it: warnings."""

from __future__ import annotations

from collections.abc import Iterator

from circuitdsl.derive.algebra.notation import coefficient_text
from circuitdsl.derive.algebra.words import Coefficient
from circuitdsl.derive.prove.depth import DepthCondition
from circuitdsl.derive.read.symbols import Symbols
from circuitdsl.diagnostics import Diagnostic, Label, Severity


def depth_warnings(symbols: Symbols, conditions: tuple[DepthCondition, ...]) -> Iterator[Diagnostic]:
    """C080 for each condition that the decays break: a warning, or a note where bounds may stand in for it."""
    for c in conditions:
        if not c.holds and not c.columns:
            yield _warning(symbols, c)


def _warning(symbols: Symbols, c: DepthCondition) -> Diagnostic:
    synapses = symbols.circuit.synapses
    v, w = synapses[c.v], synapses[c.w]
    below, above = c.values
    within = ["gates are left out (mean-field)"] if c.mean_field else []
    within += ["where no bound binds"] if c.bounded else []
    shown = f" ({', '.join(within)})" if within else ""
    return Diagnostic(
        code="C080",
        title=f"no rest with credit below: `{c.v}`, `{c.f}` decay unlike `{c.w}`, `{c.b}`",
        span=v.dw_span or v.span,
        label=f"γ of {c.v} × γ of {c.f} = {_number(c.left, below)}",
        labels=(Label(w.dw_span or w.span, f"γ of {c.w} × γ of {c.b} = {_number(c.right, above)}"),),
        notes=(
            f"at rest both are squares of the same singular values, of E[{v.source.value} ⊗ {w.source.value}]{shown}",
            f"else |{c.f}| and |{c.b}| run apart exponentially, at a loss that looks fine",
        ),
        hint=f"let the products of decays be equal: {c.v} with {c.f}, {c.w} with {c.b}",
        severity=Severity.NOTE if c.bounded else Severity.WARNING,
    )


def _number(c: Coefficient, value: float) -> str:
    shown = coefficient_text(c)
    return f"{value:.6g}" if not c.params else f"{shown} = {value:.6g}"
