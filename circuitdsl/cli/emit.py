"""`circuitdsl emit`: the code that runs."""

from __future__ import annotations

from typing import Annotated

import typer

from circuitdsl.cli.common import OK, File, Json, Set, TaskName, examples, fail_usage, params_of, print_json, reporting

EXAMPLES = examples(
    "circuitdsl emit heterosynaptic/kolen_pollack.circ",
    "circuitdsl emit mine.circ --dtype float64 > mine.py",
)

Target = Annotated[str, typer.Option("--target", metavar="cpu|cuda|ptx", help="For what.")]
Dtype = Annotated[str, typer.Option("--dtype", metavar="float32|float64", help="The precision of everything.")]
Learn = Annotated[str, typer.Option("--learn", metavar="circuit|backprop", help="backprop: the gradient twin.")]


def command(
    file: File,
    target: Target = "cpu",
    dtype: Dtype = "float32",
    learn: Learn = "circuit",
    task: TaskName = None,
    settings: Set = None,
    json: Json = False,
) -> int:
    """Print the source that a run compiles: each statement with its line of the circuit."""
    from circuitdsl.api import UsageError, load, source_of

    if target in ("cuda", "ptx"):
        fail_usage(f"the target `{target}` is not yet available; use cpu")
    try:
        with reporting(file, json=json):
            circuit = load(file)
            source = source_of(circuit, target, params=params_of(settings), dtype=dtype, learn=learn, task=task)
    except UsageError as problem:
        fail_usage(str(problem))
    if json:
        print_json({"circuit": circuit.name, "target": target, "dtype": dtype, "source": source})
    else:
        print(source)
    return OK
