"""`circuitdsl report`: all about a circuit on one page."""

from __future__ import annotations

import shlex
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.cli.common import (
    OK,
    add_file,
    add_json,
    add_set,
    add_target,
    add_task,
    add_verbose,
    check_writable,
    fail_usage,
    params_of,
    print_json,
    reporting,
    say,
    show,
    whole_number,
)
from circuitdsl.diagnostics import Severity

if TYPE_CHECKING:
    from circuitdsl.api import Circuit
    from circuitdsl.report.document import Document
    from circuitdsl.report.trained import Trained

ABOUT = """Write all about a circuit on one page: its drawing, its equations, the tables of a methods section
(populations, connectivity, parameters), the derivation with what it assumes, the curves of its training beside the
gradient twin's, and rasters where there are spikes.

The page is HTML that needs nothing else, no script and no network, or a LaTeX document for pdflatex with its pictures
beside it. Without --run the circuit is trained on its first task, --seeds times; without a task, or with --no-run, the
page does without curves. Without --out the page goes to stdout; on a terminal it is written to NAME.html or NAME.tex.

Exit codes: 0 ok, 1 the circuit is wrong, 2 usage or a missing file."""

EXAMPLES = """\
  circuitdsl report mine.circ -o mine.html
  circuitdsl report mine.circ -o mine.tex --format latex
  circuitdsl report mine.circ -o mine.html --certify --seeds 5
  circuitdsl run mine.circ --out run.nc && circuitdsl report mine.circ --run run.nc -o mine.html
  circuitdsl report mine.circ -o mine.html --no-run --no-measure    # what needs no data"""

ENDINGS = {"html": (".html", ".htm"), "latex": (".tex",)}


def add_options(parser: ArgumentParser) -> None:
    add_file(parser)
    add_form(parser)
    parser.add_argument(
        "--run", dest="runs", metavar="RUN.nc", type=Path, action="append", default=[],
        help="show this saved run instead of training; several times, such as with one of `--learn backprop`",
    )  # fmt: skip
    parser.add_argument("--no-run", action="store_true", help="do not train, and show no curves")
    parser.add_argument("--seeds", metavar="N", type=whole_number(1), default=3, help="how many seeds to train (3)")
    parser.add_argument("--epochs", metavar="N", type=whole_number(0), help="how often through the data (the task's)")
    parser.add_argument("--data", metavar="NAME|PATH", help="other data to train on and to measure with")
    parser.add_argument("--certify", action="store_true", help="the whole certificate, over training (takes longer)")
    parser.add_argument("--no-measure", action="store_true", help="derive by algebra alone")
    add_target(parser, "it is trained on")
    add_task(parser)
    add_set(parser)
    add_json(parser)
    add_verbose(parser)


def add_form(parser: ArgumentParser) -> None:
    parser.add_argument("-o", "--out", metavar="F", type=Path, help="where to: an .html or .tex file")
    parser.add_argument("--format", choices=("html", "latex"), help="as what (as the name of --out ends; else html)")


def command(options: Namespace) -> int:
    from circuitdsl.api import load

    form = form_of(options)
    if options.out is not None:
        check_writable(options.out)
    with reporting(options.file, json=options.json):
        circuit = load(options.file)
        show(w for w in circuit.warnings if options.verbose or w.severity is not Severity.NOTE)
        made = _document(circuit, options)
    out = options.out
    if out is None and sys.stdout.isatty():
        out = Path(f"{circuit.name}{ENDINGS[form][0]}")
    written = [] if out is None else write_document(made, out, form)
    if options.json:
        print_json(
            {"circuit": circuit.name, "written": written, **({} if out else {form: _text(made, form, circuit.name)})}
        )
    elif out is None:
        print(_text(made, form, circuit.name), end="")
    else:
        for path in written:
            print(f"written: {path}")
    return OK


def form_of(options: Namespace) -> str:
    """As what the page is written: as is said, or as the name of its file says. Raises Stop."""
    ending = None if options.out is None else options.out.suffix.lower()
    by_name = next((form for form, endings in ENDINGS.items() if ending in endings), None)
    form: str = options.format or by_name or "html"
    if ending is not None and by_name is None and options.format is None:
        fail_usage(f"`{options.out}`: a report is written as .html or .tex; `--format` says as what under another name")
    if by_name is not None and by_name != form:
        fail_usage(f"`{options.out}` is no name for {form}: call it {ENDINGS[form][0]}")
    return form


def _document(circuit: Circuit, options: Namespace) -> Document:
    from circuitdsl.report.whole import report

    params = params_of(options.settings)
    graph, numbers = circuit.with_params(params)
    derivation = circuit.derive(params=params, measure=not options.no_measure, task=options.task, data=options.data)
    certificate = None
    if options.certify:
        certificate = circuit.certify(data=options.data, params=params, task=options.task, seeds=max(5, options.seeds))
    return report(
        graph,
        numbers,
        circuit.draw(params=params, verdicts=True),
        derivation,
        certificate=certificate,
        trained=_trained(circuit, params, options),
        origin=origin(),
    )


def _trained(circuit: Circuit, params: Any, options: Namespace) -> Trained | None:
    from circuitdsl.api import Request
    from circuitdsl.report.trained import Trained, saved, train

    if options.runs:
        for run in (runs := saved(options.runs)).values():
            if run.attrs["circuit"] != circuit.name:
                say(f"note: the run is one of `{run.attrs['circuit']}`, the circuit is `{circuit.name}`")
        return Trained(runs=runs, own_settings=False)
    if options.no_run or (not circuit.ir.tasks and options.data is None):
        return None
    request = Request(task=options.task, data=options.data, epochs=options.epochs, params=params)
    return train(circuit, request, options.seeds, target=options.target, progress=True)


def write_document(made: Document, out: Path, form: str) -> list[Path]:
    """The page, and of LaTeX its pictures beside it."""
    from circuitdsl.report import as_latex
    from circuitdsl.runtime.state import write_atomically

    files = as_latex.files(made, out.stem) if form == "latex" else []
    write_atomically(out, _text(made, form, out.stem).encode())
    for name, content in files:
        write_atomically(out.with_name(name), content)
    return [out, *(out.with_name(name) for name, _ in files)]


def _text(made: Document, form: str, stem: str) -> str:
    from circuitdsl.report import as_html, as_latex

    return as_latex.page(made, stem) if form == "latex" else as_html.page(made)


def origin() -> str:
    """How the page was made."""
    from importlib.metadata import version

    return f"circuitdsl {version('circuitdsl')} · circuitdsl {shlex.join(sys.argv[1:])}"
