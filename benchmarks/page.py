"""What `bench.py` has measured, as a table and a plot: docs/performance.md between its marks, docs/performance.svg."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cases import Case

DOCS = Path(__file__).resolve().parents[1] / "docs"
BEGIN, END = "<!-- made by make bench: begin -->", "<!-- end -->"
OURS, SISTER = "circuitdsl", "sister"
#: How much slower than the tuned circuit of its size an untuned one may be.
UNTUNED = 1.15

#: Told apart by colour-blind readers too.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9")

Row = tuple[Case, Mapping[str, Any], float | None]


def write(
    rows: Sequence[Row], versions: Mapping[str, str], missing: Sequence[str], *, zero: float, rounds: int
) -> None:
    """Puts the table into the page, and the plot beside it."""
    page = DOCS / "performance.md"
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    made = "\n".join(lines(rows, versions, missing, zero=zero, rounds=rounds))
    page.write_text(f"{before}{BEGIN}\n\n{made}\n\n{END}{after}", encoding="utf-8")
    plot(rows, DOCS / "performance.svg")


def lines(
    rows: Sequence[Row], versions: Mapping[str, str], missing: Sequence[str], *, zero: float, rounds: int
) -> Iterator[str]:
    peers = [name for name in versions if name != OURS]
    tuned, untuned = [r for r in rows if not r[0].of], [r for r in rows if r[0].of]
    yield f"Measured on {datetime.now(UTC):%Y-%m-%d}, {_machine()}, one thread, float32: microseconds of processor"
    yield f"time a step, the median of {rounds} rounds that take turns. {zero:.0%} of the inputs are zero."
    yield ""
    yield "![How many times faster than each peer](performance.svg)"
    yield ""
    yield "| case | " + " | ".join(peers) + " | floor | **circuitdsl** | to the best peer |"
    yield "|---" * (len(peers) + 4) + "|"
    for case, found, least in tuned:
        cells = [_cell(found.get(peer)) for peer in peers]
        own = found[OURS].median
        yield (
            f"| **{case.name}** {case.says} | {' | '.join(cells)} | {'' if least is None else _short(least)} | "
            f"**{_short(own)}** | {_ratio(case, found)} |"
        )
    yield ""
    losses = [f"{case.name} ({_speed(found):.2f})" for case, found, _ in tuned if _speed(found) < 1]
    yield f"Slower than the best peer: {', '.join(losses) or 'none'}."
    yield ""
    yield "Circuits of one size that nobody has tuned the compiler for, beside the tuned one:"
    yield ""
    yield "| circuit | us a step | to its sister |"
    yield "|---|---|---|"
    for case, found, _ in untuned:
        ratio = found[OURS].median / found[SISTER].median
        yield f"| {case.says} | {_short(found[OURS].median)} | {ratio:.2f}{'' if ratio <= UNTUNED else ', over 1.15'} |"
    yield ""
    told = (version if name == OURS else f"{name} {version}" for name, version in versions.items())
    yield f"Versions: {'; '.join(told)}."
    if missing:
        yield "Left out: " + "; ".join(missing) + "."


def _machine() -> str:
    model = platform.processor()
    try:
        described = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n")
        model = next(line.partition(":")[2].strip() for line in described if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{platform.system()} {platform.machine()}, {model}, Python {platform.python_version()}"


def _cell(found: Any) -> str:
    if found is None:
        return "–"
    return f"{_short(found.median)}{f' ({found.way.name})' if found.way.name else ''}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _speed(found: Mapping[str, Any]) -> float:
    """How many times faster than the best peer; 1 where there is none."""
    others = [each.median for name, each in found.items() if name != OURS]
    return min(others) / found[OURS].median if others else 1.0


def _ratio(case: Case, found: Mapping[str, Any]) -> str:
    others = {name: each for name, each in found.items() if name != OURS}
    if not others:
        return "–"
    name = min(others, key=lambda peer: others[peer].median)
    return f"{_speed(found):.2f}x ({name})"


def plot(rows: Sequence[Row], path: Path) -> None:
    """How many times faster than each peer, a bar each."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "circuitdsl"
    import matplotlib.pyplot as plt

    shown = [(case, found) for case, found, _ in rows if not case.of and len(found) > 1]
    peers = list(dict.fromkeys(name for _, found in shown for name in found if name != OURS))
    figure, axes = plt.subplots(figsize=(6.5, 3.0), layout="constrained")
    width = 0.8 / max(len(peers), 1)
    for at, (peer, colour) in enumerate(zip(peers, COLOURS, strict=False)):
        places = [n + at * width for n, (_, found) in enumerate(shown) if peer in found]
        heights = [found[peer].median / found[OURS].median for _, found in shown if peer in found]
        axes.bar(places, heights, width, label=peer, color=colour, align="edge", bottom=0)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_yscale("log")
    axes.set_xticks([n + 0.4 for n in range(len(shown))], [case.name for case, _ in shown])
    axes.set_ylabel("times faster than")
    axes.legend(fontsize="small", ncols=len(peers), frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
