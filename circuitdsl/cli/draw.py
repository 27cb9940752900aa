"""`circuitdsl draw`: a circuit as a drawing."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from circuitdsl.cli.common import (
    OK,
    add_file,
    add_json,
    add_set,
    add_verbose,
    check_writable,
    fail_usage,
    params_of,
    print_json,
    reporting,
    show,
)
from circuitdsl.diagnostics import Severity

ABOUT = """Draw a circuit: what ascends at the left, what brings signals back beside it; dendrites, synapses by kind and
sign, modulators, wiring, and the verdict of `derive` on each learning synapse.

The ending of the file says as what: .svg, .png or .pdf (the last two need matplotlib). Without a file the SVG goes to
stdout. An SVG is dark where the reader's screen is; --theme settles it.

Exit codes: 0 ok, 1 the circuit is wrong, 2 usage or a missing file."""

EXAMPLES = """\
  circuitdsl draw mine.circ --out mine.svg
  circuitdsl draw heterosynaptic/self_assembly.circ --set depth=4 --out deep.pdf
  circuitdsl draw mine.circ --no-verdicts > mine.svg"""


def add_options(parser: ArgumentParser) -> None:
    add_file(parser)
    parser.add_argument("-o", "--out", metavar="F", type=Path, help="where to: a .svg, .png or .pdf file")
    parser.add_argument("--no-verdicts", action="store_true", help="leave out what is derived")
    parser.add_argument(
        "--measure",
        action="store_true",
        help="where algebra does not decide, measure (trains on the first task's data)",
    )
    parser.add_argument("--theme", choices=("auto", "light", "dark"), default="auto", help="the ground (auto)")
    add_set(parser)
    add_json(parser)
    add_verbose(parser)


def command(options: Namespace) -> int:
    from circuitdsl.api import load
    from circuitdsl.draw.drawing import FORMS

    form = "svg" if options.out is None else options.out.suffix.removeprefix(".").lower()
    if form not in FORMS:
        fail_usage(f"`{options.out}`: a drawing is written as {', '.join('.' + f for f in FORMS)}")
    if options.out is not None:
        check_writable(options.out)
    with reporting(options.file, json=options.json):
        circuit = load(options.file)
        show(w for w in circuit.warnings if options.verbose or w.severity is not Severity.NOTE)
        drawing = circuit.draw(
            verdicts=not options.no_verdicts, measure=options.measure, params=params_of(options.settings)
        )
    if options.out is not None:
        from circuitdsl.runtime.state import write_atomically

        write_atomically(options.out, drawing.rendered(form, options.theme))
        print_json({"circuit": circuit.name, "written": options.out}) if options.json else print(
            f"written: {options.out}"
        )
    elif options.json:
        print_json({"circuit": circuit.name, "svg": drawing.svg(options.theme)})
    else:
        print(drawing.svg(options.theme), end="")
    return OK
