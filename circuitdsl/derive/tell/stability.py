"""Positive feedback between plastic weights, in words."""

from __future__ import annotations

from collections.abc import Sequence

from circuitdsl.derive.prove.stability import Growth
from circuitdsl.derive.tell.layers import alike


def told(growth: Growth) -> str:
    """The sentence for a warning before a run, or for the message after a divergence."""
    names = listed(growth.loop.synapses)
    drive = f"{names} drive each other" if len(growth.loop.synapses) > 1 else f"{names} drives itself"
    faster = ", the faster the larger they are" if growth.later > 2 * growth.now > 0 else ""
    if growth.now <= 0:
        return f"{drive}, but no faster than they decay"
    held = "nothing bounds " + listed(growth.loop.free) if growth.loop.free else "bounds hold them"
    if growth.later <= 0:
        held = "their own rules stop it"
    grown = f"{growth.now:.2%}" if growth.now < 1 else f"{growth.now:.2g} times"
    return f"{drive}: they grow {grown} per update more than they decay, errors held as they are{faster}; {held}"


def listed(synapses: Sequence[str]) -> str:
    """Their names, those of alike layers together: `L[l].W, L[l].B (l = 1, 2)`."""
    layers: dict[str, list[str]] = {}
    for name in synapses:
        layers.setdefault(name.partition(".")[0] if "[" in name else "", []).append(name)
    return ", ".join(alike(", ".join(names) for names in layers.values()))
