"""How long an editor waits: processor time from an edit to diagnostics, verdicts and inlay hints.

python benchmarks/editor.py [FILE …]

Each time a number of the text is changed, so that nothing that was found out before holds. The first time, which also
imports and reads the grammar, stands apart; then the median of 20 and the longest.
"""

from __future__ import annotations

import re
import statistics
import sys
import time
from pathlib import Path

TIMES = 20
HERE = Path(__file__).resolve().parents[1] / "circuits" / "heterosynaptic"


def look(text: str, path: Path) -> int:
    """What the server does after a key press; how many hints there are."""
    from circuitdsl.diagnostics import Source
    from circuitdsl.lsp import problems, verdicts
    from circuitdsl.lsp.analysis import Analysis

    analysis = Analysis(Source(str(path), text), path.parent)
    found = [*problems.checked(analysis), *problems.derived(analysis)]
    return len(found) + len(verdicts.inlays(analysis))


def measured(path: Path) -> tuple[float, list[float]]:
    """Seconds of processor time: of the first edit, and of each of those after it."""
    text = path.read_text(encoding="utf-8")
    spent = []
    for number in range(TIMES + 1):
        edited = re.sub(r"(param eta = )\S+", rf"\g<1>0.0{number + 10}", text, count=1)
        assert edited != text, f"{path} has no param eta"
        before = time.process_time()
        look(edited, path)
        spent.append(time.process_time() - before)
    return spent[0], spent[1:]


def main(files: list[str]) -> None:
    paths = [Path(f).resolve() for f in files] or sorted(HERE.glob("self_assembly*.circ"))
    print(f"{'edit to verdicts, processor time in ms':<44}{'first':>8}{'median':>8}{'longest':>9}")
    for path in paths:
        first, rest = measured(path)
        shown = (first, statistics.median(rest), max(rest))
        print(f"{path.name:<44}{shown[0] * 1e3:>8.0f}{shown[1] * 1e3:>8.0f}{shown[2] * 1e3:>9.0f}")


if __name__ == "__main__":
    main(sys.argv[1:])
