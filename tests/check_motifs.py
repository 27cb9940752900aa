"""`make motifs`: random motifs in several orders of their items, and simulations that try to contradict what is derived.

No verdict may depend on the order of the items or on names, none may take over `LIMIT` of processor time, and what
is claimed must hold in a simulation that knows nothing of the compiler (simulate_motifs.py). Exit 1 if anything fails.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from generate_motifs import random_net
from motif_nets import text
from motif_orders import Orders, judged

#: Seconds of processor time for check and derivation.
LIMIT = 2.0
SHOWN = 3


def orders_of(first: int, circuits: int, orders: int) -> tuple[Counter[str], list[tuple[int, str, str]]]:
    """Counts of verdicts, and what is wrong: seed, what, text."""
    counts: Counter[str] = Counter()
    wrong: list[tuple[int, str, str]] = []
    for seed in range(first, first + circuits):
        net = random_net(seed)
        found: Orders = judged(net, seed, orders)
        if found.first is not None:
            for claim in found.first.claims.values():
                counts[f"{claim.verdict or 'undecided'}, {claim.evidence or 'open'}"] += 1
        wrong += [(seed, what, written) for what, written in found.wrong]
        if found.seconds > LIMIT:
            wrong.append((seed, f"slow: {found.seconds:.1f} s", text(net)))
    return counts, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--circuits", type=int, default=2000)
    parser.add_argument("--orders", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--save", type=Path, help="folder for the texts that fail")
    options = parser.parse_args()
    counts, wrong = orders_of(options.first, options.circuits, options.orders)
    print(f"{options.circuits} circuits in {options.orders} orders each")
    for verdict, number in counts.most_common():
        print(f"  {number:6d}  {verdict}")
    print(f"{len(wrong)} faults")
    for seed, what, written in wrong[:SHOWN]:
        print(f"\nseed {seed}: {what}\n{written}")
    if options.save:
        options.save.mkdir(parents=True, exist_ok=True)
        for seed, what, written in wrong:
            (options.save / f"order_{seed}.circ").write_text(f"# {what}\n{written}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
