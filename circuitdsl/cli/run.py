"""`circuitdsl run`: train a circuit and judge its metric."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from circuitdsl.cli.common import (
    INTERRUPTED,
    OK,
    UNFINISHED,
    WRONG,
    add_file,
    add_json,
    add_set,
    add_target,
    add_task,
    add_verbose,
    add_without,
    check_results,
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
from circuitdsl.frozen import mutable
from circuitdsl.runtime.saving import Results, is_table, saved_runs

if TYPE_CHECKING:
    from circuitdsl.api import Circuit, Outcome, Request, Simulation
    from circuitdsl.runtime.expects import Judged
    from circuitdsl.runtime.progress import Quiet

ABOUT = """Train a circuit on its task, and judge what it expects of the metric.

What is not said comes from the first task (or --task); without one: 10 epochs, batch 1, seed 0.
Expectations are judged with the task's own settings only: other params, data, epochs, batch, scale,
dtype, weights or way to learn leave them open. The reported seconds are those spent training;
evaluation, compilation and loading are not in them.

Exit codes: 0 ok, 1 the circuit is wrong or an expectation failed, 2 usage or a missing file,
3 it diverged (what was done is saved), 130 interrupted (likewise)."""

EXAMPLES = """\
  circuitdsl run heterosynaptic/kolen_pollack.circ
  circuitdsl run mine.circ --seeds 5 --set eta=0.05 --out run.nc
  circuitdsl run mine.circ --out run.nc --resume     # go on where it stopped
  circuitdsl run mine.circ --learn backprop          # the gradient twin instead
  circuitdsl run mine.circ --trace 0                 # one example, tick by tick"""


def add_options(parser: ArgumentParser) -> None:
    add_file(parser)
    add_task(parser)
    add_set(parser)
    _add_training(parser)
    _add_target(parser)
    _add_results(parser)
    add_json(parser)
    add_verbose(parser)


def _add_training(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--data", metavar="NAME|PATH", help="other data: a name, or a file: .npz, .npy, .csv, .parquet, IDX"
    )
    parser.add_argument("--scale", choices=("none", "center", "zscore"), help="scaling of the inputs")
    parser.add_argument("--seed", metavar="N", type=whole_number(0), help="the seed (the task's)")
    parser.add_argument("--seeds", metavar="N", type=whole_number(1), default=1, help="run N seeds: each, and the mean")
    parser.add_argument("--epochs", metavar="N", type=whole_number(0), help="how often through the data")
    parser.add_argument("--batch", metavar="N", type=whole_number(1), help="examples per update")
    parser.add_argument(
        "--learn", choices=("circuit", "backprop"), help="backprop: the gradient twin instead of the circuit"
    )


def _add_target(parser: ArgumentParser) -> None:
    add_target(parser, "it runs on", auto=True)
    parser.add_argument("--dtype", choices=("float32", "float64"), help="the precision (float32)")
    parser.add_argument(
        "--threads",
        metavar="N",
        type=whole_number(1),
        help="processors that a large circuit may use (all); no number depends on it",
    )
    add_without(parser)


def _add_results(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        metavar="FILE.nc|FILE.csv",
        type=Path,
        help="write records, weights and provenance to a netCDF file, or the curves alone to a table",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from the file of --out, if it exists: the same bits as without a stop",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE.safetensors",
        type=Path,
        help="start from these weights if the file exists; if not, write the final weights to it",
    )
    parser.add_argument(
        "--map",
        dest="weight_names",
        metavar="THEIRS=OURS",
        action="append",
        default=[],
        help="what the file of --weights calls a synapse, or is to call it, such as fc1.weight=W1; may be "
        "given several times",
    )
    parser.add_argument(
        "--trace",
        metavar="EXAMPLE",
        type=whole_number(0),
        help="show one example of the data tick by tick, before training (after it, with --epochs N)",
    )


def command(options: Namespace) -> int:
    from circuitdsl.api import Request, Simulation, load
    from circuitdsl.runtime.backends import INTERPRETER

    json, trace, weights, epochs = options.json, options.trace, options.weights, options.epochs
    if options.resume and options.out is None:
        fail_usage("`--resume` goes on from the file that `--out` names: give both")
    if weights is not None and options.out is not None and weights.resolve() == options.out.resolve():
        fail_usage(f"`--out` and `--weights` are both `{weights}`: results and weights are files of their own")
    with reporting(options.file, json=json):
        if options.out is not None:
            _check_out(options.out, resume=options.resume)
        if weights is not None and not weights.is_file():
            check_writable(weights)
        circuit = load(options.file)
        _show_warnings(circuit, options.verbose)
        names = _names_of(options.weight_names, weights, circuit)
        request = Request(
            task=options.task,
            data=options.data,
            epochs=0 if trace is not None and epochs is None else epochs,
            batch=options.batch,
            seed=options.seed,
            scale=options.scale,
            params=params_of(options.settings),
            learn=options.learn,
            weights=weights if weights is not None and weights.exists() else None,
            weight_names=names if weights is not None and weights.exists() else {},
        )
        target = INTERPRETER if request.epochs == 0 and trace is not None else options.target
        simulation = Simulation(
            circuit,
            target=target,
            dtype=options.dtype or "float32",
            without=options.no_pass,
            threads=options.threads,
        )
        if trace is not None:
            from circuitdsl.cli.trace import show_trace

            return show_trace(simulation, request, trace, json=json)
        session = Session(
            circuit=circuit,
            simulation=simulation,
            request=request,
            own_settings=request.own_settings and options.dtype is None,
            results=Results(out=options.out, before=saved_runs(options.out) if options.resume else {}),
            save_weights=weights if request.weights is None else None,
            weight_names=names,
        )
        return session.run(options.seeds, json=json)


def _check_out(out: Path, *, resume: bool) -> None:
    """Raises Stop."""
    if not is_table(out):
        check_results(out)
        return
    if resume:
        fail_usage(f"`--resume` goes on from a netCDF file: a table, `{out}`, holds no weights; call it .nc")
    check_writable(out)
    if out.exists() and out.read_bytes()[:11] not in (b"", b"seed,epoch,"):
        fail_usage(f"`{out}` is there and holds something else: it is not replaced; give another name, or remove it")


def _names_of(given: Sequence[str], weights: Path | None, circuit: Circuit) -> dict[str, str]:
    """The names of `--map THEIRS=OURS`. Raises Stop."""
    if given and weights is None:
        fail_usage("`--map` names what is in the file of `--weights`: give both")
    names: dict[str, str] = {}
    for one in given:
        theirs, equals, ours = one.rpartition("=")
        if not equals or not theirs.strip() or not ours.strip():
            fail_usage(f"`--map {one}`: written as THEIRS=OURS, such as --map fc1.weight=W1")
        names[theirs.strip()] = ours.strip()
    if weights is not None and not weights.exists():
        _check_names(names, circuit)
    return names


def _check_names(names: Mapping[str, str], circuit: Circuit) -> None:
    """Whether a file can be written with these names. Raises Stop."""
    synapses = circuit.ir.synapses
    own = {*synapses, *(f"{name}.{state.name}" for name, synapse in synapses.items() for state in synapse.states)}
    for ours in names.values():
        if ours not in own:
            fail_usage(f"`--map`: the circuit has no synapse `{ours}`")
    if len(set(names.values())) < len(names):
        fail_usage("`--map`: two names for one synapse")
    if names.keys() & (own - set(names.values())):
        fail_usage(f"`--map`: `{min(names.keys() & own)}` is the name of another synapse")


def _show_warnings(circuit: Circuit, verbose: bool) -> None:
    show(w for w in circuit.warnings if verbose or w.severity is not Severity.NOTE)


@mutable(kw_only=True)
class Session:
    """One `run` command: one outcome per seed, saved as they come."""

    circuit: Circuit
    simulation: Simulation
    request: Request
    own_settings: bool
    results: Results
    save_weights: Path | None
    weight_names: Mapping[str, str]
    outcomes: list[Outcome] = field(default_factory=list)
    several: bool = False  # seeds, which may run side by side

    def run(self, seeds: int, *, json: bool) -> int:
        from circuitdsl.cli.summary import json_object, print_one, print_summary
        from circuitdsl.runtime.progress import progress_line

        self.several = seeds > 1
        numbers = self.simulation.seeds_of(self.request, seeds, self.results.before)
        with progress_line() as progress:
            for outcome in self._each(numbers, progress):
                if seeds > 1 and not json:
                    print_one(outcome)
                for one in filter(None, (outcome, outcome.twin)):
                    if one.run.diverged is not None:
                        show([one.run.diverged])
        interrupted = [o for one in self.outcomes for o in (one, one.twin) if o is not None and o.run.interrupted]
        if interrupted:
            return self._interrupted(interrupted[0])
        self._finish()
        left_out = self.results.left_out
        if left_out:
            listed = ", ".join(left_out[:4]) + (", ..." if left_out[4:] else "")
            say(f"not in the table {self.results.out}: {listed}; a netCDF file, --out FILE.nc, holds them")
        judged = self._judged()
        if json:
            print_json(json_object(self.circuit, self.simulation, self.outcomes, judged))
        else:
            written = [p for p in (self.results.out, self.save_weights) if p is not None]
            print_summary(self.simulation, self.outcomes, judged, written)
        if any(o.run.diverged is not None for o in self.outcomes):
            return UNFINISHED
        return WRONG if any(j.ok is False for j in judged) else OK

    def _each(self, seeds: Sequence[int], progress: Quiet) -> Iterator[Outcome]:
        """The outcomes that are whole, as they come, with what they are compared with; all are kept."""
        from circuitdsl.runtime.expects import needs_twin

        compared = self.own_settings and needs_twin(self.circuit.ir)
        asked = self.simulation.outcomes(
            self.request, seeds, progress=progress, saved=self.results.before, before=self._foresee,
            after_epoch=self._save_now_and_then,
        )  # fmt: skip
        for together in asked:
            first = len(self.outcomes)
            self.outcomes += together
            for at, outcome in enumerate(together, first):
                if outcome.run.interrupted:
                    continue
                if compared:
                    request = replace(self.request, seed=outcome.settings.seed)
                    outcome = self.outcomes[at] = self.simulation.with_twin(outcome, request, progress=progress)
                if outcome.twin is not None and outcome.twin.run.interrupted:
                    return
                yield outcome

    def _foresee(self, outcome: Outcome) -> None:
        if self.simulation.choice is not None:
            say(str(self.simulation.choice))
        show(outcome.foreseen())

    def _judged(self) -> tuple[Judged, ...]:
        from circuitdsl.api import judge_outcomes

        return judge_outcomes(self.circuit, self.outcomes, own_settings=self.own_settings)

    # ------------------------------------------------------------ saving

    def _save_now_and_then(self, outcomes: Sequence[Outcome]) -> None:
        if self.results.is_due:
            for outcome in outcomes:
                self.results.keep(outcome.settings.seed, self.simulation.dataset_of(outcome), goes_on=self.several)
            self._save()

    def _save(self) -> None:
        """Writes what there is of all seeds, also of some that still run and of earlier ones."""
        if self.results.out is None:
            return
        for outcome in self.outcomes:
            self.results.keep(outcome.settings.seed, self.simulation.dataset_of(outcome))
        self.results.write()

    def _finish(self) -> None:
        from circuitdsl.runtime.state import save_weights

        self._save()
        if self.save_weights is not None:
            first = self.outcomes[0].run
            save_weights(self.save_weights, first.circuit, first.state, self.weight_names)

    def _interrupted(self, outcome: Outcome) -> int:
        self._save()
        done = f"interrupted after epoch {outcome.run.epochs_done}"
        out = self.results.out
        how = f"; saved to {out}, go on with --resume" if out else " (nothing saved: no --out)"
        say(done + how)
        return INTERRUPTED
