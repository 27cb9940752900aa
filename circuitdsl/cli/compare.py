"""`circuitdsl compare`: two circuits or two runs side by side."""

from __future__ import annotations

import shutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.cli.common import (
    OK,
    add_json,
    add_set,
    add_target,
    add_task,
    add_verbose,
    check_writable,
    color,
    params_of,
    print_json,
    reporting,
    whole_number,
)
from circuitdsl.cli.report import add_form, form_of, origin, write_document

if TYPE_CHECKING:
    from circuitdsl.report.compare import Compared

ABOUT = """Compare two circuits, or two saved runs (.nc), or one with the other: what differs in text, params and
settings, the verdicts of their synapses beside one another, and their metrics, losses and records at the end with 95 %
intervals over seeds and the difference. Circuits are trained only with --seeds.

Exit codes: 0 compared, 1 a circuit is wrong, 2 usage or a missing file."""

EXAMPLES = """\
  circuitdsl compare mine.circ heterosynaptic/kolen_pollack.circ
  circuitdsl compare mine.circ yours.circ --seeds 5 -o both.html
  circuitdsl compare before.nc after.nc"""


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("left", metavar="A", help="a .circ file, the name of a shipped one, or a run's .nc file")
    parser.add_argument("right", metavar="B", help="what it is compared with")
    add_form(parser)
    parser.add_argument("--seeds", metavar="N", type=whole_number(1), help="train circuits, with so many seeds")
    parser.add_argument("--epochs", metavar="N", type=whole_number(0), help="how often through the data (the task's)")
    parser.add_argument("--data", metavar="NAME|PATH", help="other data to train on")
    parser.add_argument("--measure", action="store_true", help="where algebra does not decide a verdict, measure")
    add_target(parser, "circuits are trained on")
    add_task(parser)
    add_set(parser)
    add_json(parser)
    add_verbose(parser)


def command(options: Namespace) -> int:
    from circuitdsl.report.compare import Compared, document, read_side

    form = form_of(options)
    if options.out is not None:
        check_writable(options.out)
    sides = []
    for file in (options.left, options.right):
        with reporting(file, json=options.json):
            sides.append(read_side(file, **_settings(options)))
    compared = Compared(left=sides[0], right=sides[1])
    written: list[Path] = []
    if options.out is not None:
        written = write_document(document(compared, origin()), options.out, form)
    if options.json:
        print_json({**compared.as_json(), "written": written})
        return OK
    for line in _lines(compared):
        print(line)
    for path in written:
        print(f"written: {path}")
    return OK


def _settings(options: Namespace) -> dict[str, Any]:
    from circuitdsl.api import Request

    request = Request(
        task=options.task, data=options.data, epochs=options.epochs, params=params_of(options.settings)
    )  # fmt: skip
    return {
        "request": request, "seeds": options.seeds, "measure": options.measure, "target": options.target,
        "progress": True,
    }  # fmt: skip


# ---------------------------------------------------------------- text

#: Of a text that differs everywhere no more lines are shown.
MOST_LINES = 40


def _lines(compared: Compared) -> Iterator[str]:
    from circuitdsl.report.compare import mean_text

    a, b = compared.names
    if figures := compared.figures():
        rows = [(f.name, mean_text(f.left), mean_text(f.right), mean_text(f.difference)) for f in figures]
        yield from _table(("at the end", a, b, "difference"), rows)
    if compared.verdicts:
        yield from _table(("verdicts", a, b), [(n, x or "–", y or "–") for n, x, y in compared.verdicts])
    for title, found in (("params", compared.params), ("settings", compared.settings), ("synapses", compared.synapses)):
        if found:
            yield from _table((f"{title} that differ", a, b), [(n, _said(x), _said(y)) for n, x, y in found])
    text = compared.text
    yield "the texts differ" if text else "the texts are the same"
    yield from map(_painted, text[:MOST_LINES])
    if len(text) > MOST_LINES:
        yield f"… {len(text) - MOST_LINES} more lines; `-o FILE.html` has them all"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns, or where they are too wide a line for each cell."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    if sum(widths) + 2 * len(widths) > max(80, shutil.get_terminal_size((100, 24)).columns):
        yield head[0]
        for name, *cells in rows:
            yield f"  {name}"
            yield from (f"    {called}: {cell}" for called, cell in zip(head[1:], cells, strict=True))
    else:
        for row in (head, *rows):
            yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield ""


def _said(value: object) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _painted(line: str) -> str:
    code = {"+": "32", "-": "31", "@": "2"}.get(line[:1])
    return f"\x1b[{code}m{line}\x1b[0m" if code and color(sys.stdout) else line
