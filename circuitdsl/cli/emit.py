"""`circuitdsl emit`: the code that runs."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from circuitdsl.cli.common import (
    OK,
    add_file,
    add_json,
    add_set,
    add_task,
    params_of,
    print_json,
    reporting,
)

ABOUT = "Print the source that a run compiles: each statement with its line of the circuit."

EXAMPLES = """\
  circuitdsl emit heterosynaptic/kolen_pollack.circ
  circuitdsl emit mine.circ --dtype float64 > mine.py"""


def add_options(parser: ArgumentParser) -> None:
    add_file(parser)
    parser.add_argument("--target", choices=("cpu", "cuda", "ptx"), default="cpu", help="for what (cpu)")
    parser.add_argument("--arch", metavar="sm_90", help="the GPU's architecture, for cuda and ptx")
    parser.add_argument(
        "--no-pass",
        choices=("fuse",),
        action="append",
        default=[],
        help="leave a pass of the compiler out: fuse joins loops over the same units",
    )
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="the precision (float32)")
    parser.add_argument(
        "--learn", choices=("circuit", "backprop"), default="circuit", help="backprop: the gradient twin"
    )
    add_task(parser)
    add_set(parser)
    add_json(parser)


def command(options: Namespace) -> int:
    file, target, json = options.file, options.target, options.json
    from circuitdsl.api import back_end, load, source_of

    with reporting(file, json=json):
        back_end(target)
        circuit = load(file)
        source = source_of(
            circuit,
            target,
            params=params_of(options.settings),
            dtype=options.dtype,
            learn=options.learn,
            task=options.task,
            fused="fuse" not in options.no_pass,
        )
    if json:
        print_json({"circuit": circuit.name, "target": target, "dtype": options.dtype, "source": source})
    else:
        print(source)
    return OK
