"""`circuitdsl certify`: measure what a circuit's plasticity does to its loss, and hold it against `derive`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from circuitdsl.cli.common import (
    OK,
    UNFINISHED,
    WRONG,
    add_file,
    add_json,
    add_set,
    add_target,
    add_task,
    add_verbose,
    params_of,
    print_json,
    reporting,
    say,
    show,
    whole_number,
)
from circuitdsl.cli.exploring import add_place, cluster_of, losing

ABOUT = """Measure, over the circuit's own learning and several seeds, where its plasticity goes.

For every learning synapse and at checkpoints: the cosine of its drive (the update without decay) with
the steepest descent of the loss, beside the same with the error vectors permuted across examples (control);
the consistency score phi of the credit; how far everything that the verdict of `derive` assumes is from
being met. Where all of it is met the verdict is confirmed (✓) or contradicted (✗); else it is untested (·), and
what was not met is named. Intervals are 95 % (Student's t, over seeds). What is not said comes from the first task.

Exit codes: 0 it contradicts nothing that `derive` says, 1 it does (or the circuit is wrong), 2 usage
or a missing file, 3 a seed diverged, or it could not finish."""

EXAMPLES = """\
  circuitdsl certify heterosynaptic/kolen_pollack.circ
  circuitdsl certify mine.circ --seeds 10 --set gamma=0.01
  circuitdsl certify mine.circ --long --json   # until all that its verdicts assume could have come about
  circuitdsl certify mine.circ --seeds 40 --cluster tcp://10.0.0.1:8786"""


def add_options(parser: ArgumentParser) -> None:
    add_file(parser)
    add_task(parser)
    add_set(parser)
    parser.add_argument(
        "--data", metavar="NAME|PATH", help="other data: a name, or a file: .npz, .npy, .csv, .parquet, IDX"
    )
    parser.add_argument("--scale", choices=("none", "center", "zscore"), help="scaling of the inputs")
    parser.add_argument("--seeds", metavar="N", type=whole_number(1), default=5, help="how many seeds (5)")
    parser.add_argument("--seed", metavar="N", type=whole_number(0), help="the first seed (the task's)")
    parser.add_argument("--epochs", metavar="N", type=whole_number(0), help="how often through the data")
    parser.add_argument(
        "--long", action="store_true", help="as many epochs as attractors take to come about: 8/(eta gamma) updates"
    )
    parser.add_argument("--batch", metavar="N", type=whole_number(1), help="examples per update")
    parser.add_argument(
        "--examples", metavar="N", type=whole_number(2), help="training examples to measure with (512 at most)"
    )
    add_target(parser, "it is trained on")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="the precision of training")
    add_place(parser)
    add_json(parser)
    add_verbose(parser)


def command(options: Namespace) -> int:
    from circuitdsl.api import load
    from circuitdsl.certify.certify import certify
    from circuitdsl.runtime.progress import progress_line

    with reporting(options.file, json=options.json), losing():
        circuit = load(options.file)
        graph, numbers = circuit.with_params(params_of(options.settings))
        with progress_line() as progress:
            certificate = certify(
                graph,
                numbers=numbers,
                task=options.task,
                data=options.data,
                seeds=options.seeds,
                seed=options.seed,
                epochs=options.epochs,
                batch=options.batch,
                scale=options.scale,
                folder=circuit.folder,
                engine=options.target,
                dtype=options.dtype,
                examples=options.examples,
                long=options.long,
                jobs=options.jobs,
                cluster=cluster_of(options),
                progress=progress,
                tell=show,
            )
    if options.json:
        print_json(certificate.as_json())
        for contradiction in certificate.contradictions:
            say(f"contradiction: {contradiction}")
    else:
        print(certificate.table())
    if certificate.diverged:
        return UNFINISHED
    return WRONG if certificate.agrees_with_derive is False else OK
