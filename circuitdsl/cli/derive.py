"""`circuitdsl derive`: what a circuit's own plasticity amounts to, in mathematics and in one word."""

from __future__ import annotations

import shutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from circuitdsl.cli.common import (
    OK,
    WRONG,
    add_file,
    add_json,
    add_set,
    add_task,
    add_verbose,
    color,
    params_of,
    print_json,
    reporting,
    show,
)
from circuitdsl.diagnostics import Severity

if TYPE_CHECKING:
    from circuitdsl.derive.tell.derivation import Derivation
    from circuitdsl.derive.tell.expects import Judgement

ABOUT = """Derive, for every learning synapse, what its plasticity amounts to: how its update stands to the
gradient of the loss (exact, gradient, descent, ascent, inconsistent, none), what brings that about, and
on what evidence (proved, derived under named approximations, measured), and if what. Where algebra does not decide,
or what it decides assumes something, a short certificate measures (five seeds on the first task's data), unless
--no-measure is given: a verdict whose assumptions are not met there is not claimed.

Exit codes: 0 ok (also where an expectation stays open), 1 the circuit is wrong or an expected verdict or
attractor fails, 2 usage or a missing file."""

EXAMPLES = """\
  circuitdsl derive heterosynaptic/kolen_pollack.circ
  circuitdsl derive mine.circ --no-measure --json
  circuitdsl derive mine.circ --set depth=5 --format latex > mine.tex"""

#: No line of a page is longer, however wide the terminal.
WIDEST = 100


def add_options(parser: ArgumentParser) -> None:
    add_file(parser)
    parser.add_argument("--format", choices=("text", "latex"), default="text", help="a page, or a LaTeX document")
    parser.add_argument(
        "--no-measure", action="store_true", help="leave open what algebra does not decide; reads no data"
    )
    add_task(parser)
    parser.add_argument("--data", metavar="NAME|PATH", help="other data to measure with")
    add_set(parser)
    add_json(parser)
    add_verbose(parser)


def command(options: Namespace) -> int:
    from circuitdsl.api import load
    from circuitdsl.derive.tell.expects import judge

    with reporting(options.file, json=options.json):
        circuit = load(options.file)
        show(w for w in circuit.warnings if options.verbose or w.severity is not Severity.NOTE)
        derivation = circuit.derive(
            params=params_of(options.settings), measure=not options.no_measure, task=options.task, data=options.data
        )
        show(w for w in derivation.warnings if options.verbose or w.severity is not Severity.NOTE)
    judgements = judge(derivation)
    if options.json:
        from circuitdsl.derive.tell.as_json import as_json

        print_json(as_json(derivation, judgements))
    else:
        print(_shown(derivation, judgements, options.format))
    return WRONG if any(j.ok is False for j in judgements) else OK


def _shown(derivation: Derivation, judgements: Sequence[Judgement], form: str) -> str:
    if form == "latex":
        from circuitdsl.derive.tell.latex import latex_page

        return latex_page(derivation, judgements)
    from circuitdsl.derive.tell.page import page

    width = min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)
    return page(derivation, judgements, width=width, color=color(sys.stdout))
