"""`circuitdsl demo`: a circuit assembles itself from random weights, beside backpropagation."""

from __future__ import annotations

import shutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from circuitdsl.cli.common import OK, UNFINISHED, WRONG, add_json, print_json, reporting, show, whole_number
from circuitdsl.cli.summary import mean

if TYPE_CHECKING:
    import xarray as xr

    from circuitdsl.api import Circuit, Outcome
    from circuitdsl.runtime.expects import Judged
    from circuitdsl.studies.self_assembly import Trial

ABOUT = """Watch the four-synapse circuit assemble itself on handwritten digits.

Trains heterosynaptic/self_assembly.circ from random weights, and its gradient twin beside it; measures
how feedback and credit align with the gradient; writes results (netCDF) and a picture (PNG, SVG).
Exit codes as of `run`."""

EXAMPLES = """\
  circuitdsl demo
  circuitdsl demo --seeds 1 --out elsewhere"""

CIRCUIT = "heterosynaptic/self_assembly.circ"
NAME = "self_assembly"

#: The table that is printed: variable and words.
ROWS = (
    ("cos_B_F", "feedback B against transposed F"),
    ("cos_s_delta", "credit s against the gradient"),
    ("cos_s_FFdelta", "credit s against F'F x gradient"),
    ("cos_s_FFdelta_active", "  the same, active neurons only"),
)


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("demo"), help="where results and picture go (demo)"
    )
    parser.add_argument("--seeds", metavar="N", type=whole_number(1), default=5, help="how many random starts (5)")
    add_json(parser)


def command(options: Namespace) -> int:
    from circuitdsl.api import judge_outcomes, load
    from circuitdsl.runtime.progress import progress_line
    from circuitdsl.studies.self_assembly import self_assembly

    with reporting(CIRCUIT, json=options.json):
        circuit = load(CIRCUIT)
        with progress_line() as progress:
            results, outcomes = self_assembly(
                circuit, range(options.seeds), progress=progress, told=None if options.json else _print_seed
            )
        judged = judge_outcomes(circuit, outcomes, own_settings=True)
        written = _write(options.out, circuit, results)
    show(o.run.diverged for o in outcomes if o.run.diverged is not None)
    if options.json:
        print_json(_json_object(results, judged, written))
    else:
        _print_alignment(results)
        for path in written:
            print(f"written: {path}")
        print()
        for line in story(circuit, outcomes, results):
            print(line)
    if any(o.run.diverged is not None for o in outcomes):
        return UNFINISHED
    return WRONG if any(j.ok is False for j in judged) else OK


def _write(out: Path, circuit: Circuit, results: xr.Dataset) -> list[Path]:
    from circuitdsl.report.assembly import assembly_picture, save_picture
    from circuitdsl.runtime.results import write

    write(out / f"{NAME}.nc", results)
    return [out / f"{NAME}.nc", *save_picture(assembly_picture(circuit.draw(), results), out, NAME)]


def _print_seed(trial: Trial) -> None:
    outcome = trial.outcome
    assert outcome.twin is not None
    print(
        f"seed {outcome.settings.seed}   accuracy {outcome.metric:.4f}   "
        f"backpropagation {outcome.twin.metric:.4f}   cos(B, F^T) {_mean(trial, 0):+.3f} -> {_mean(trial, -1):.3f}",
        flush=True,
    )


def _mean(trial: Trial, checkpoint: int) -> float:
    return mean(trial.alignments["cos_B_F"][checkpoint])


def _print_alignment(results: xr.Dataset) -> None:
    """The alignments over training, mean over seeds and layers."""
    shown = [c for c in results["checkpoint"].values if c in (0, 1, 2, 5, 12, 20, 40, 60)]
    print(f"\n{'cosine after epoch':<32}" + "".join(f"{c:>8}" for c in shown))
    for name, words in ROWS:
        curve = results[name].mean(["seed", "layer"]).sel(checkpoint=shown)
        print(f"{words:<32}" + "".join(f"{_two(v):>8}" for v in curve.values))
    print()


def _json_object(results: xr.Dataset, judged: Sequence[Judged], written: Sequence[Path]) -> dict[str, object]:
    from circuitdsl.studies.self_assembly import ALIGNMENTS

    ends = {name: results[name].mean(["seed", "layer"]).values[[0, -1]] for name in ALIGNMENTS}
    return {
        "circuit": results.attrs["circuit"],
        "seeds": results["seed"].values,
        "metric": float(results["metric"][:, -1].mean()),
        "backprop": float(results["metric_backprop"][:, -1].mean()),
        "alignment": {name: {"start": float(a), "end": float(b)} for name, (a, b) in ends.items()},
        "expects": [j.as_json() for j in judged],
        "written": list(written),
    }


def story(circuit: Circuit, outcomes: Sequence[Outcome], results: xr.Dataset) -> list[str]:
    """What happened, for somebody who has never heard of it: five lines."""
    dataset = outcomes[0].loop.dataset
    plastic = [s for s in circuit.ir.synapses.values() if s.dw is not None]
    weights = sum(s.post_size * s.pre_size for s in plastic)
    ends = {n: results[n].mean(["seed", "layer"]).values[[0, -1]] for n in ("cos_B_F", "cos_s_FFdelta_active")}
    (b_start, b_end), (s_start, s_end) = ends["cos_B_F"], ends["cos_s_FFdelta_active"]
    start, end = (float(results["metric"].mean("seed")[i]) for i in (0, -1))
    twin = float(results["metric_backprop"].mean("seed")[-1])
    return [
        f"Built:      {weights:,} weights in {len(plastic)} synapse populations, all plastic; each uses only what is "
        "present at it.",
        f"From:       random weights. The feedback has nothing to do with the way forward (cosine {_two(b_start)}), "
        f"and {start:.0%} of the digits are right.",
        f"Reached:    {end:.1%} of {len(dataset.test)} digits never seen; backpropagation in the same network: "
        f"{twin:.1%} (mean of {len(outcomes)} seeds).",
        f"Remarkable: nothing computes a gradient, yet the feedback wired itself (cosine {_two(b_end)}) and the credit "
        f"came to follow F'F x gradient ({_two(s_start)} -> {_two(s_end)}).",
        f"Next:       {_program()} run {CIRCUIT} --set depth=3   (`{_program()} list` shows more circuits)",
    ]


def _two(value: float) -> str:
    """Two decimals, without a minus before zero."""
    return f"{round(value, 2) + 0.0:.2f}"


def _program() -> str:
    """How the reader can call this program again."""
    if shutil.which("circuitdsl"):
        return "circuitdsl"
    path = Path(sys.argv[0])
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
