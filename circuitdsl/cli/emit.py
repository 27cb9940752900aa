"""`circuitdsl emit`: the code that runs, and what the compiler's passes make of it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

from circuitdsl.cli.common import (
    OK,
    add_file,
    add_json,
    add_set,
    add_target,
    add_task,
    add_without,
    fail_usage,
    params_of,
    print_json,
    reporting,
)

if TYPE_CHECKING:
    from circuitdsl.lower.pipeline import Fired

ABOUT = """Print the source that a run compiles: each statement with its line of the circuit.

Between the circuit and its source stand named passes over loop programs: --passes lists them with what each has
changed in this circuit, --after shows the programs as they stand after one of them."""

EXAMPLES = """\
  circuitdsl emit heterosynaptic/kolen_pollack.circ
  circuitdsl emit mine.circ --dtype float64 > mine.py
  circuitdsl emit mine.circ --target ptx --arch sm_80
  circuitdsl emit mine.circ --passes              # how often each pass fired
  circuitdsl emit mine.circ --after fuse          # the loop programs after that pass
  circuitdsl emit mine.circ --no-pass fuse"""


def add_options(parser: ArgumentParser) -> None:
    from circuitdsl.lower.pipeline import LOWERED, PASSES

    add_file(parser)
    add_target(parser, "it is printed for")
    parser.add_argument("--arch", metavar="sm_90", help="the GPU's architecture, for ptx (sm_90)")
    parser.add_argument("--passes", action="store_true", help="list the passes, and how often each fired")
    parser.add_argument(
        "--after",
        choices=[LOWERED, *(p.name for p in PASSES)],
        help=f"print the loop programs after this pass ({LOWERED}: before the first)",
    )
    add_without(parser)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="the precision (float32)")
    parser.add_argument(
        "--learn", choices=("circuit", "backprop"), default="circuit", help="backprop: the gradient twin"
    )
    add_task(parser)
    add_set(parser)
    add_json(parser)


def command(options: Namespace) -> int:
    from circuitdsl.api import Emission, load
    from circuitdsl.runtime.backends import printing

    if options.passes and options.after is not None:
        fail_usage("`--passes` lists all passes, `--after` shows what one of them leaves: give one of the two")
    with reporting(options.file, json=options.json):
        printing(options.target)
        emission = Emission(
            circuit=load(options.file),
            params=params_of(options.settings),
            dtype=options.dtype,
            learn=options.learn,
            task=options.task,
            without=options.no_pass,
            arch=options.arch,
        )
        if options.passes:
            return _print_passes(emission.circuit.name, emission.passes(), json=options.json)
        after = options.after
        text = emission.source(options.target) if after is None else emission.after(after)
    if options.json:
        kind = {"target": options.target} if after is None else {"after": after}
        what = "source" if after is None else "program"
        print_json({"circuit": emission.circuit.name, **kind, "dtype": options.dtype, what: text})
    else:
        print(text)
    return OK


def _print_passes(circuit: str, passes: list[Fired], *, json: bool) -> int:
    if json:
        print_json({"circuit": circuit, "passes": [asdict(p) for p in passes]})
        return OK
    for one in passes:
        grown = ", ".join(
            f"{count:+d} {what}"
            for what, count in (("phases", one.phases), ("statements", one.statements), ("buffers", one.buffers))
            if count
        )
        print(f"{one.name:<8}{one.times} of {one.programs} programs  {one.doc}" + (f"  ({grown})" if grown else ""))
    return OK
