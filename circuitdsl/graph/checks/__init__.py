"""Checks of a whole circuit, each a function that yields what it finds, in one file per family of codes.

Names, sizes, locality and types are checked while equations are resolved (graph/expressions.py) and loops
when the order is made (graph/resolve.py); here is what only the whole circuit shows.
"""

from __future__ import annotations

from collections.abc import Callable

from circuitdsl.diagnostics import Report
from circuitdsl.graph import ir
from circuitdsl.graph.checks.common import Findings
from circuitdsl.graph.checks.dale import dale_conflicts, signed_dale_rates
from circuitdsl.graph.checks.judging import label_leaks, missing_loss, vain_expectations
from circuitdsl.graph.checks.lints import no_probabilities, rules_that_only_decay, swapped_arguments
from circuitdsl.graph.checks.names import shadowed_names, unused_names
from circuitdsl.graph.checks.settings import memory, ranges, unreachable_phases, unstable_decay
from circuitdsl.graph.checks.wiring import (
    heterosynaptic_without_drive,
    idle_populations,
    rules_without_effect,
    undriven_dendrites,
)
from circuitdsl.graph.structure import Structure

CHECKS: tuple[Callable[[ir.Circuit], Findings], ...] = (
    undriven_dendrites, idle_populations, heterosynaptic_without_drive, rules_without_effect,
    missing_loss, vain_expectations, label_leaks,
    swapped_arguments, no_probabilities, rules_that_only_decay,
    dale_conflicts, signed_dale_rates,
    unstable_decay, unreachable_phases, ranges, memory,
)  # fmt: skip


def check(circuit: ir.Circuit, structure: Structure, report: Report) -> None:
    """Runs every check. The report shows a finding that a motif repeats once."""
    for each in CHECKS:
        for finding in each(circuit):
            report.add(finding)
    for finding in (*unused_names(circuit, structure), *shadowed_names(structure)):
        report.add(finding)
