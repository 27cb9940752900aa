"""`certify`: measure what a circuit's plasticity does to its loss, over its own learning, in several seeds.

theory.md, section 4. The circuit is trained as `run` trains it, by compiled code; at checkpoints its state is held
still and looked at over a fixed sample of its training examples, in float64 (measure.py), all that its derivation
assumes is evaluated there (assumptions.py), and what is seen is held against what `derive` says (judge.py). The whole
costs little more than the training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.certify.assumptions import Stand, stands
from circuitdsl.certify.balance import balance_of
from circuitdsl.certify.certificate import Certificate, SynapseCertificate
from circuitdsl.certify.checkpoint import Sample, Since, checkpoint
from circuitdsl.certify.checks import relaxation, taylor_slope
from circuitdsl.certify.drive import Rule, rule_of
from circuitdsl.certify.judge import LATE, Course, Record, certify_synapse, together
from circuitdsl.certify.measure import Reading, look
from circuitdsl.certify.plan import Plan, lasting, plan_of, prolonged, shortened, slowest, with_examples
from circuitdsl.certify.statistics import FEWEST
from circuitdsl.certify.trajectory import checkpoints
from circuitdsl.derive.prove.findings import Measured, Verdict
from circuitdsl.derive.read.roles import Roles, roles_of
from circuitdsl.derive.tell.derivation import Derivation
from circuitdsl.diagnostics import Diagnostic
from circuitdsl.frozen import frozen, mutable
from circuitdsl.graph.functions import quiet
from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.machine import Numbers
from circuitdsl.graph.projections import dense
from circuitdsl.runtime.backends import DEFAULT, is_interpreted
from circuitdsl.runtime.doubts import doubts_of
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.population import cores
from circuitdsl.runtime.request import Request
from circuitdsl.runtime.stopping import stop_if_told
from circuitdsl.runtime.where import Where, one_thread, place
from circuitdsl.twin.gradient import graded_synapses

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.initial import DType
    from circuitdsl.graph.machine import State
    from circuitdsl.runtime.data import Scale
    from circuitdsl.runtime.progress import Progress
    from circuitdsl.runtime.scheduler import Scheduler

    Array = NDArray[np.floating[Any]]

#: At how many checkpoints a circuit is looked at.
MOMENTS = 8
#: After how many updates the gradient is checked.
TAYLOR_UPDATES = 10


def certify(
    circuit: Circuit,
    *,
    numbers: Numbers | None = None,
    task: str | None = None,
    data: Any = None,
    seeds: int = FEWEST,
    seed: int | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    scale: Scale | None = None,
    folder: Path | None = None,
    engine: str = DEFAULT,
    dtype: DType = "float32",
    examples: int | None = None,
    moments: int = MOMENTS,
    long: bool = False,
    jobs: int | None = None,
    cluster: str | Scheduler | None = None,
    progress: Progress | None = None,
    tell: Callable[[Sequence[Diagnostic]], None] | None = None,
) -> Certificate:
    """The certificate of a circuit that declares a loss.

    `numbers` are its params (default: as written), `folder` is where its data and weight files are looked for; what
    else is not said comes from the task. Training runs on `engine` in `dtype`; it is measured in float64 at
    about `moments` checkpoints, spaced geometrically, on `examples` training examples, others in each seed (default:
    512, or as many as the training pays for; more draws of them where a rule has noise). `long`: it trains until all
    that its derivation assumes could have come about, 8/(eta gamma) updates at least. `jobs`: how many seeds at once
    (all processors; one, if it is interpreted); `cluster`: a dask scheduler to send them to instead, by its
    address, or as a Scheduler with certificates.
    `tell` is told, before it starts, what is to be said of the data. Deterministic, wherever it runs.
    Raises UsageError for a circuit without loss or learning weights and for impossible settings, CircuitError for
    data that do not fit, Unfinished if the cluster is lost."""
    request = Request(task=task, data=data, epochs=epochs, batch=batch, seed=seed, scale=scale)
    plan = plan_of(circuit, request, numbers=numbers, folder=folder, engine=engine, dtype=dtype)
    if tell is not None:
        tell(doubts_of(plan.course.dataset))
    names = graded_synapses(circuit)
    plan = with_examples(prolonged(plan, names) if long else plan, moments, examples)
    with _place(plan, seeds, jobs, cluster) as where:
        return _certify(plan, names, seeds, moments, where, progress, thorough=True)


def measure(
    derivation: Derivation,
    synapses: Iterable[str],
    *,
    task: str | None = None,
    data: Any = None,
    folder: Path | None = None,
) -> dict[str, Measured]:
    """A short certificate for some learning synapses: those of which nothing was derived, and those whose verdict
    assumes something.

    The first task's data, five seeds, and as many epochs as it takes for what is assumed to come about, as far as that
    takes a few seconds. Deterministic. Nothing is measured (an empty dict) of a circuit without loss, task or
    data given. Raises as `certify` does."""
    circuit = derivation.circuit
    wanted = [name for name in graded_synapses(circuit) if name in set(synapses)]
    if not wanted or (data is None and not circuit.tasks):
        return {}
    plan = plan_of(circuit, Request(task=task, data=data), folder=folder, derivation=derivation)
    plan = with_examples(shortened(plan, wanted), MOMENTS, None)
    with _place(plan, FEWEST, None, None) as where:
        found = _certify(plan, wanted, FEWEST, MOMENTS, where, None, thorough=False)
    return {name: measured_of(s) for name, s in found.synapses.items()}


def measured_of(found: SynapseCertificate) -> Measured:
    """What a derivation takes from a certificate: never more than descent, and what became of its own verdict."""
    verdict: Verdict | None = "descent" if found.verdict == "exact" else found.verdict
    status, outcome = found.status, found.outcome
    why = "" if outcome is None else outcome.why
    met = 0 if outcome is None else outcome.seeds
    return Measured(
        verdict=verdict,
        phi_sign=0 if verdict == "none" else found.phi.sign or None,
        phi_signs=found.phi_signs,
        because=replace(found, verdict=verdict).figures,
        confirmed=f"met in {met} of {len(found.phi_signs)} seeds; {why}" if status == "confirmed" else None,
        contradicted=why if status == "contradicted" else None,
        untested=why if status == "untested" and met == 0 else None,
    )


# ---------------------------------------------------------------- measuring


def _place(plan: Plan, seeds: int, jobs: int | None, cluster: str | Scheduler | None) -> Where:
    interpreted = is_interpreted(plan.target)
    wanted = jobs or (1 if interpreted else cores())
    return place(min(wanted, seeds), cluster, kind="processes" if interpreted else "threads")


def _certify(
    plan: Plan, names: Sequence[str], seeds: int, moments: int, where: Where, progress: Progress | None, *,
    thorough: bool,
) -> Certificate:  # fmt: skip
    circuit, course = plan.still.circuit, plan.course
    rules = [rule_of(circuit.synapses[name]) for name in names]
    at = checkpoints(course.updates, moments)
    first = plan.settings.seed
    with quiet(), one_thread():
        if progress is not None:
            progress.start(circuit.name, course.epochs * seeds, len(course.dataset.train), 0)
        watch = Watch(plan=plan, rules=rules, at=at)
        watched = _watch_all(watch, range(first, first + seeds), where, progress)
        whole = [w for w in watched if len(w.readings) == len(at)]
        roles = roles_of(circuit)
        records = [_record(plan, r, watched, at, roles) for r in rules]
        found, dc, dc_evidence = together({r.finding.synapse: certify_synapse(r) for r in records})
        return Certificate(
            circuit=circuit.name,
            seeds=seeds,
            updates=course.updates,
            examples=len(plan.sample(first).examples),
            synapses=found,
            dc=dc,
            dc_evidence=dc_evidence,
            decay=_decay(plan.derivation, names),
            long=lasting(plan.derivation, names),
            taylor_slope=_slope(plan, first) if thorough else None,
            relaxation=_relaxation(plan, whole[0], first) if thorough and whole else None,
            diverged=len(watched) - len(whole),
            derivation=plan.derivation,
        )


def _slope(plan: Plan, seed: int) -> float | None:
    """The Taylor slope after a few updates: later the loss may be flat, and its third order large."""
    for _, state in plan.course.states(plan.engine(), seed, (min(TAYLOR_UPDATES, plan.course.updates),)):
        return taylor_slope(plan.still, state, plan.sample(seed), seed=seed, epoch=0)
    return None


def _relaxation(plan: Plan, last: Watched, seed: int) -> float | None:
    assert last.state is not None
    return relaxation(plan.still, last.state, plan.sample(seed), seed=seed, epoch=plan.course.epochs)


@mutable
class Watched:
    """One seed: its readings and how it stands with what is assumed, at every checkpoint; the balance after the last
    update, and that state."""

    readings: list[dict[str, Reading]] = field(default_factory=list)
    stands: list[dict[str, Stand]] = field(default_factory=list)
    balance: dict[str, float] = field(default_factory=dict)
    state: State | None = None


@frozen(kw_only=True, eq=False)
class Watch:
    """What is looked at in every seed, and after which updates."""

    plan: Plan
    rules: Sequence[Rule]
    at: Sequence[int]

    @property
    def names(self) -> list[str]:
        return [rule.synapse.name for rule in self.rules]


def _watch_all(watch: Watch, seeds: Sequence[int], where: Where, progress: Progress | None) -> list[Watched]:
    """Every seed, several at a time. What is near tells its progress itself, what is far when it is done."""
    course, told = watch.plan.course, progress if where.near else None
    watched: dict[int, Watched] = {}
    for index, found in where.map(partial(_watched, progress=told), [(watch, seed) for seed in seeds]):
        watched[index] = found
        if progress is not None and told is None:
            progress.advance(course.epochs * len(course.dataset.train))
    return [watched[index] for index in range(len(seeds))]


def _watched(watch: Watch, seed: int, *, progress: Progress | None) -> Watched:
    """One seed's learning, looked at on the way. It ends early if the circuit diverges. Raises UsageError, and
    KeyboardInterrupt if it is told to stop."""
    course, found, done = watch.plan.course, Watched(), 0
    sample = watch.plan.sample(seed)
    before: dict[str, Array] = {}
    try:
        still = watch.plan.still.circuit
        start = initial_state(still, course.numbers, seed, dtype=course.dtype, folder=course.folder)
        start = dense(still, start)
        for update, state in course.states(watch.plan.engine(), seed, watch.at):
            since = Since(update - done, before) if update > done else None
            _look(watch, found, state, start.weights, sample, seed, update, since)
            before = {name: w.copy() for name, w in state.weights.items()}
            stop_if_told()
            if progress is not None:
                progress.advance((update - done) * course.batch)
            done = update
    except (ValueError, OSError) as problem:
        raise UsageError(str(problem)) from None
    return found


def _look(
    watch: Watch, found: Watched, state: State, start: Mapping[str, Array], sample: Sample, seed: int, update: int,
    since: Since | None,
) -> None:  # fmt: skip
    """One checkpoint of one seed. What drives come to that pass through states is asked late, and where their verdicts
    are tested; about everything that is assumed after the last update only."""
    plan, last = watch.plan, update == watch.at[-1]
    at = checkpoint(
        plan.still, plan.derivation, sample, state, start=start, batch=plan.course.batch, seed=seed,
        epoch=update // plan.course.updates_per_epoch, since=since,
    )  # fmt: skip
    standing = stands(at, watch.names, whole=last)
    asked = update >= LATE * watch.at[-1] or any(standing[r.synapse.name].met for r in watch.rules if r.filtered)
    readings = look(watch.rules, at, whole=asked)
    found.readings.append(readings)
    found.stands.append(standing)
    found.state = state
    if last:
        found.balance = balance_of(plan.derivation, readings, at.state)


def _record(
    plan: Plan, rule: Rule, watched: Sequence[Watched], at: tuple[int, ...], roles: Roles
) -> Record:  # fmt: skip
    name = rule.synapse.name
    balances = [w.balance[name] for w in watched if name in w.balance]
    return Record(
        finding=plan.derivation.findings[name],
        at=at,
        seeds=[Course([r[name] for r in w.readings], [s[name] for s in w.stands]) for w in watched],
        filtered=rule.filtered,
        penalised=bool(roles.penalties_of(name)),
        balance=sum(balances) / len(balances) if balances else None,
    )


def _decay(derivation: Derivation, names: Sequence[str]) -> float | None:
    """What the slowest of all that has to come about, or else the slowest learning weight, loses per update."""
    found = slowest(derivation, names)
    if found is not None:
        return found
    drives = [derivation.drive_of(name) for name in names]
    rates = [derivation.symbols.constants.value(d.decay) for d in drives if d is not None and d.decay is not None]
    return min((rate for rate in rates if rate > 0), default=None)
