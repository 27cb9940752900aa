"""`circuitdsl export`: a circuit in the format of other programs."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from circuitdsl.cli.common import OK, add_file, add_json, add_set, check_writable, params_of, print_json, reporting

ABOUT = """Write a circuit as a graph of the Neuromorphic Intermediate Representation (NIR), which other simulators and
neuromorphic hardware read: sums, thresholds, leaky integrators and leaky integrate-and-fire neurons, with weights.

NIR has no plasticity, and no other nonlinearity: what it cannot say is told, and --to exports what comes before it.
Needs the extra nir.

Exit codes: 0 ok, 1 the circuit is wrong, 2 usage, a missing file, or what NIR cannot say."""

EXAMPLES = """\
  circuitdsl export mine.circ -o mine.nir
  circuitdsl run mine.circ --weights learnt.safetensors
  circuitdsl export mine.circ --weights learnt.safetensors --to out.basal -o mine.nir"""


def add_options(parser: ArgumentParser) -> None:
    add_file(parser)
    parser.add_argument("-o", "--out", metavar="F.nir", type=Path, required=True, help="where to")
    parser.add_argument("--format", choices=("nir",), default="nir", help="as what (nir)")
    parser.add_argument(
        "--to",
        metavar="NAME",
        action="append",
        default=[],
        help="a population or dendrite that is an output, such as out.basal; may be given several times (what the "
        "loss reads)",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE.safetensors",
        type=Path,
        help="these weights (those that the first task starts from)",
    )
    add_set(parser)
    add_json(parser)


def command(options: Namespace) -> int:
    from circuitdsl.api import load
    from circuitdsl.exchange.nir import not_carried, write

    check_writable(options.out)
    with reporting(options.file, json=options.json):
        circuit = load(options.file)
        params = params_of(options.settings)
        run = circuit.compile("reference").run(epochs=0, params=params, weights=options.weights)
        graph = circuit.to_nir(run, outputs=options.to, params=params)
        write(options.out, graph)
    left = not_carried(circuit.ir)
    if options.json:
        print_json({"circuit": circuit.name, "nodes": sorted(graph.nodes), "not_carried": left, "written": options.out})
        return OK
    if left is not None:
        print(left)
    print(f"written: {options.out}")
    return OK
