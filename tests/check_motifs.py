"""`make motifs`: random motifs in several orders of their items, and simulations that try to contradict what is said.

No verdict may depend on the order of the items or on names, none may take over `LIMIT` of processor time, and what
is claimed must hold in a simulation that knows nothing of the compiler (simulate_motifs.py). Exit 1 if anything fails,
or if too few motifs of those simulated came to meet all hypotheses of their claims.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from generate_motifs import random_net
from motif_claims import judge_motif
from motif_nets import text
from motif_orders import TooLong, derived, judged
from simulate_motifs import Simulation

#: Seconds of processor time for check and derivation.
LIMIT = 2.0
#: Updates of a simulation that does not come to rest.
UPDATES = 5000
#: The part of the motifs simulated in which all hypotheses have to be met.
COMPLETE = 0.5
SHOWN = 3


@dataclass
class Report:
    """Counts, and what is wrong: seed, what, text. `met`, `unmet`: claims by verdict; `short`: hypotheses missed."""

    verdicts: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    unmet: Counter[str] = field(default_factory=Counter)
    short: Counter[str] = field(default_factory=Counter)
    complete: int = 0
    slowest: float = 0.0
    wrong: list[tuple[int, str, str]] = field(default_factory=list)


def check_orders(report: Report, seeds: Iterable[int], orders: int) -> None:
    for seed in seeds:
        net = random_net(seed)
        found = judged(net, seed, orders)
        if found.first is not None:
            report.verdicts.update(_label(c.verdict, c.evidence) for c in found.first.claims.values())
        report.slowest = max(report.slowest, found.seconds)
        report.wrong += [(seed, what, written) for what, written in found.wrong]
        if found.slow is not None and found.seconds > LIMIT:
            report.wrong.append((seed, f"slow: {found.seconds:.1f} s", found.slow))


def check_claims(report: Report, seeds: Iterable[int], updates: int = UPDATES) -> None:
    for seed in seeds:
        net = random_net(seed)
        written = text(net)
        try:
            said = derived(written)
        except TooLong:
            continue  # told by `check_orders`
        found = judge_motif(said, Simulation(net, seed), updates)
        report.met += found.met
        report.unmet += found.unmet
        report.short += found.short
        report.complete += found.complete
        report.wrong += [(seed, what, f"# {', '.join(net.choices)}\n{written}") for what in found.wrong]


def _label(verdict: str | None, evidence: str | None) -> str:
    return f"{verdict}, {evidence}" if verdict else "undecided"


def main() -> int:
    parser = argparse.ArgumentParser(description="random motifs: orders of their items, and simulations")
    parser.add_argument("--circuits", type=int, default=2000, help="motifs of which orders are compared")
    parser.add_argument("--orders", type=int, default=3)
    parser.add_argument("--simulate", type=int, default=300, help="motifs that are simulated")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--save", type=Path, help="folder for the texts that fail")
    options = parser.parse_args()
    report = Report()
    first = options.first
    check_orders(report, range(first, first + options.circuits), options.orders)
    check_claims(report, range(first, first + options.simulate))
    enough = report.complete >= COMPLETE * options.simulate
    _tell(report, options)
    if options.save:
        options.save.mkdir(parents=True, exist_ok=True)
        for number, (seed, what, written) in enumerate(report.wrong):
            (options.save / f"seed_{seed}_{number}.circ").write_text(f"# {what}\n{written}")
    return 1 if report.wrong or not enough else 0


def _tell(report: Report, options: argparse.Namespace) -> None:
    if options.circuits:
        print(f"{options.circuits} motifs in {options.orders} orders each; the slowest took {report.slowest:.2f} s")
        for verdict, number in report.verdicts.most_common():
            print(f"  {number:6d}  {verdict}")
    if options.simulate:
        print(f"\n{options.simulate} motifs simulated; in {report.complete} all hypotheses of all claims were met")
        print(f"  {'met':>6s} {'not':>6s}  claim")
        for verdict, _ in (report.met + report.unmet).most_common():
            print(f"  {report.met[verdict]:6d} {report.unmet[verdict]:6d}  {verdict}")
        missed = ", ".join(f"{kind} {number}" for kind, number in report.short.most_common())
        print(f"  hypotheses that were not met: {missed or 'none'}")
    print(f"\n{len(report.wrong)} faults")
    for seed, what, written in report.wrong[:SHOWN]:
        print(f"\nseed {seed}: {what}\n{written}")


if __name__ == "__main__":
    raise SystemExit(main())
