"""`certify`: measure what a circuit's plasticity does to its loss, over its own learning, in several seeds.

theory.md, section 4. The circuit is trained as `run` trains it, by compiled code; at checkpoints its state is held
still and looked at over a fixed sample of its training examples, in float64 (measure.py), and what is seen is held
against what `derive` says (judge.py). The whole costs about as much as the training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from circuitdsl.certify.assumptions import Assumption, assumptions
from circuitdsl.certify.certificate import Certificate, SynapseCertificate
from circuitdsl.certify.checkpoint import Since, checkpoint
from circuitdsl.certify.checks import relaxation, taylor_slope
from circuitdsl.certify.drive import Rule, rule_of
from circuitdsl.certify.judge import Record, agreed, certify_synapse, together
from circuitdsl.certify.measure import Reading, Sample, look, realised_cosine
from circuitdsl.certify.passes import Still
from circuitdsl.certify.relations import is_approximate, needed, worst
from circuitdsl.certify.trajectory import Course, checkpoints
from circuitdsl.derive.prove.findings import Measured, Verdict
from circuitdsl.derive.read.drives import Drive
from circuitdsl.derive.tell.derivation import Derivation, derive
from circuitdsl.graph.functions import quiet
from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.ir import Circuit, Num, Param, Random, Synapse, walk
from circuitdsl.graph.machine import Numbers
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.runtime.data import load_data, permutation
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.population import cores
from circuitdsl.runtime.request import Request, Settings, check_ticks, settle
from circuitdsl.runtime.stopping import stop_if_told
from circuitdsl.runtime.where import Where, one_thread, place
from circuitdsl.twin.gradient import graded_synapses

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.initial import DType
    from circuitdsl.graph.machine import Engine, State
    from circuitdsl.runtime.data import Scale
    from circuitdsl.runtime.progress import Progress

    Array = NDArray[np.floating[Any]]

#: How many examples a circuit is looked at with (where noise hides the drive: examples and draws), and at how many
#: checkpoints; fewer examples, if looking so closely would take longer than the training, but some.
EXAMPLES, NOISY_EXAMPLES, MOMENTS, LEAST = 512, 4096, 10, 64
#: How much more an example costs that is looked at than one that is learnt.
COST = 3
#: What the permutation that picks the sample is for (runtime/data.py).
SAMPLE = 0xFFFF_FFFD
#: After how many updates the gradient is checked.
TAYLOR_UPDATES = 10
#: The short certificate: seeds, checkpoints, and about how many weights it may read in one seed's training.
SHORT_SEEDS, SHORT_MOMENTS, SHORT_WORK = 3, 6, 1_500_000_000


def certify(
    circuit: Circuit,
    *,
    numbers: Numbers | None = None,
    task: str | None = None,
    data: str | tuple[Any, Any] | None = None,
    seeds: int = 5,
    seed: int | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    scale: Scale | None = None,
    folder: Path | None = None,
    engine: Literal["cpu", "reference"] = "cpu",
    dtype: DType = "float32",
    examples: int | None = None,
    moments: int = MOMENTS,
    jobs: int | None = None,
    cluster: str | None = None,
    progress: Progress | None = None,
) -> Certificate:
    """The certificate of a circuit that declares a loss.

    `numbers` are its params (default: as written), `folder` is where its data and weight files are looked for; what
    else is not said comes from the task. Training runs on `engine` in `dtype`; it is measured in float64 at
    about `moments` checkpoints, spaced geometrically, on `examples` training examples (default: 512, or as many as
    take no longer than the training; more draws of them where a rule has noise). `jobs`: how many seeds at once (all
    processors; one, if it is interpreted); `cluster`: the address of a dask scheduler to send them to instead.
    Deterministic, wherever it runs.
    Raises UsageError for a circuit without loss or learning weights and for impossible settings, CircuitError for
    data that do not fit, Unfinished if the cluster is lost."""
    values = numbers_of(circuit, {}) if numbers is None else dict(numbers)
    request = Request(task=task, data=data, epochs=epochs, batch=batch, seed=seed, scale=scale)
    plan = _plan(circuit, values, request, folder, engine, dtype)
    plan = replace(plan, sample=_sample(plan, moments, examples))
    with _place(plan, seeds, jobs, cluster) as where:
        return _certify(plan, graded_synapses(circuit), seeds, moments, where, progress, thorough=True)


def measure(
    circuit: Circuit,
    synapses: Iterable[str],
    *,
    numbers: Numbers | None = None,
    task: str | None = None,
    data: str | tuple[Any, Any] | None = None,
    folder: Path | None = None,
) -> dict[str, Measured]:
    """A short certificate for some learning synapses, where no relation decides: verdict, sign of phi, and a text such
    as `descent, cos 0.83 [0.80, 0.85], control 0.00`.

    The first task's data, three seeds, and no more of its epochs than take a few seconds. Deterministic. Nothing
    is measured (an empty dict) of a circuit without loss, task or data given. Raises as `certify` does."""
    values = numbers_of(circuit, {}) if numbers is None else dict(numbers)
    wanted = [name for name in graded_synapses(circuit) if name in set(synapses)]
    if not wanted or (data is None and not circuit.tasks):
        return {}
    plan = _shortened(_plan(circuit, values, Request(task=task, data=data), folder, "cpu", "float32"))
    plan = replace(plan, sample=_sample(plan, SHORT_MOMENTS, None))
    with _place(plan, SHORT_SEEDS, None, None) as where:
        found = _certify(plan, wanted, SHORT_SEEDS, SHORT_MOMENTS, where, None, thorough=False)
    return {name: m for name, s in found.synapses.items() if (m := measured_of(s)) is not None}


def measured_of(found: SynapseCertificate) -> Measured | None:
    """A measurement never shows more than descent; nothing if every seed diverged."""
    if found.verdict is None:
        return None
    verdict: Verdict = "descent" if found.verdict == "exact" else found.verdict
    sign = 0 if verdict == "none" else found.phi.sign or None
    return Measured(verdict=verdict, phi_sign=sign, because=replace(found, verdict=verdict).evidence)


# ---------------------------------------------------------------- what is needed


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A circuit with everything that a certificate needs before the first example. It can be sent to a process."""

    course: Course
    settings: Settings
    sample: Sample
    still: Still
    derivation: Derivation
    target: str

    def engine(self) -> Engine:
        """What the circuit is trained on: a new one, since it has one work space."""
        return _engine(self.target, self.still.circuit, self.course.dtype)


def _plan(
    circuit: Circuit, numbers: Mapping[str, float], request: Request, folder: Path | None, engine: str, dtype: DType
) -> Plan:  # fmt: skip
    if circuit.loss is None:
        raise UsageError(f"`{circuit.name}` declares no loss: there is no gradient to hold its plasticity against")
    if not graded_synapses(circuit):
        raise UsageError(f"`{circuit.name}` has no plastic weight with a differentiable path to its loss")
    settings = settle(circuit, request, numbers)
    check_ticks(circuit, numbers)
    dataset = load_data(
        settings.data,
        settings.data_arguments,
        circuit,
        scale=settings.scale,
        dtype=dtype,
        folder=folder if request.data is None else None,
        span=settings.task.span if request.data is None and settings.task else None,
    )
    return Plan(
        course=Course(
            dataset=dataset,
            numbers=numbers,
            epochs=settings.epochs,
            batch=settings.batch,
            dtype=dtype,
            folder=None if folder is None else folder.resolve(),  # another process may stand elsewhere
        ),
        settings=settings,
        sample=Sample(data=dataset.arrays, examples=dataset.train, numbers=numbers),
        still=Still(circuit),
        derivation=derive(_with_numbers(circuit, numbers)),
        target=engine,
    )


def _engine(target: str, circuit: Circuit, dtype: DType) -> Engine:
    if target == "reference":
        from circuitdsl.reference import Reference

        return Reference(circuit, (), dtype)
    from circuitdsl.emit.target import UnavailableTarget
    from circuitdsl.runtime.engine import Compiled

    try:
        return Compiled(circuit, (), dtype, target=target)
    except UnavailableTarget as problem:
        raise UsageError(str(problem)) from None


def _with_numbers(circuit: Circuit, numbers: Mapping[str, float]) -> Circuit:
    """The circuit with its number params as they are set: signs and decays decide what is derived."""

    def settled(param: Param) -> Param:
        if isinstance(param.value, tuple):
            values = tuple(Num(span=e.span, value=numbers[f"{param.name}[{i}]"]) for i, e in enumerate(param.value))
            return replace(param, value=values)
        return replace(param, value=Num(span=param.value.span, value=numbers[param.name]))

    return replace(circuit, params={name: settled(p) for name, p in circuit.params.items()})


def _sample(plan: Plan, moments: int, examples: int | None) -> Sample:
    """The training examples that a circuit is looked at with, always the same. Where something is random, the same
    examples come again as others, with other noise."""
    import numpy as np

    course, noisy = plan.course, _is_noisy(plan.still.circuit)
    train = course.dataset.train
    if examples is None:
        afford = max(LEAST, course.epochs * len(train) // (COST * moments))
        examples = min(NOISY_EXAMPLES if noisy else EXAMPLES, afford)
    order = train[permutation(len(train), purpose=SAMPLE)]
    chosen = order[np.arange(examples if noisy else min(examples, len(order))) % len(order)]
    data = {name: array[chosen] for name, array in course.dataset.arrays.items()}
    return Sample(data=data, examples=np.arange(len(chosen)), numbers=course.numbers)


def _is_noisy(circuit: Circuit) -> bool:
    """Whether something draws random numbers while it learns."""
    expressions = [e for v in circuit.values.values() for e in (v.expr, v.update) if e is not None]
    for synapse in circuit.synapses.values():
        expressions += [e for e in (synapse.dw, *(d.expr for d in synapse.drives)) if e is not None]
        expressions += [s.update for s in synapse.states if s.update is not None]
    return any(isinstance(part, Random) for e in expressions for part in walk(e))


def _shortened(plan: Plan) -> Plan:
    """With fewer epochs, so that training takes about a second for each seed."""
    circuit = plan.still.circuit
    ticks = max(1, sum(round(_ticks(p.ticks, plan.course.numbers)) for p in circuit.schedule.phases))
    weights = sum(s.post_size * s.pre_size for s in circuit.synapses.values())
    an_epoch = len(plan.course.dataset.train) * weights * ticks
    epochs = max(1, min(plan.course.epochs, SHORT_WORK // max(1, an_epoch)))
    return replace(plan, course=replace(plan.course, epochs=epochs))


# ---------------------------------------------------------------- measuring


def _place(plan: Plan, seeds: int, jobs: int | None, cluster: str | None) -> Where:
    interpreted = plan.target == "reference"
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
        realised = _realised(plan, rules, whole[0], first) if thorough and whole else {}
        records = {r.synapse.name: _record(plan, r, whole, at, realised.get(r.synapse.name)) for r in rules}
        assumed = _assumed(plan, names, whole[0], first) if thorough and whole else {}
        found, dc = together({name: certify_synapse(record) for name, record in records.items()})
        return Certificate(
            circuit=circuit.name,
            seeds=seeds,
            updates=course.updates,
            examples=len(plan.sample.examples),
            synapses={n: replace(agreed(s, records[n]), assumes=assumed.get(n, ())) for n, s in found.items()},
            dc=dc,
            decay=_decay(plan.derivation, names),
            taylor_slope=_slope(plan, first) if thorough else None,
            relaxation=_relaxation(plan, whole[0], first) if thorough and whole else None,
            diverged=len(whole) < len(watched),
            derivation=plan.derivation,
        )


def _slope(plan: Plan, seed: int) -> float | None:
    """The Taylor slope after a few updates: later the loss may be flat, and its third order large."""
    for _, state in plan.course.states(plan.engine(), seed, (min(TAYLOR_UPDATES, plan.course.updates),)):
        return taylor_slope(plan.still, state, plan.sample, seed=seed, epoch=0)
    return None


def _relaxation(plan: Plan, last: Watched, seed: int) -> float | None:
    assert last.state is not None
    return relaxation(plan.still, last.state, plan.sample, seed=seed, epoch=plan.course.epochs)


@dataclass(slots=True)
class Watched:
    """One seed: its readings at every checkpoint, the residuals beside them, the last state, and the weights at the
    checkpoint before that."""

    readings: list[dict[str, Reading]]
    residuals: list[dict[str, float | None]]
    state: State | None
    since: Since | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Watch:
    """What is looked at in every seed, and after which updates."""

    plan: Plan
    rules: Sequence[Rule]
    at: Sequence[int]


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
    plan, course, found = watch.plan, watch.plan.course, Watched([], [], None)
    done = 0
    before: dict[str, Array] = {}
    try:
        for update, state in course.states(plan.engine(), seed, watch.at):
            epoch = update // course.updates_per_epoch
            found.readings.append(
                look(plan.still, watch.rules, plan.sample, plan.derivation, state, seed=seed, epoch=epoch)
            )
            found.residuals.append({r.synapse.name: _residual(plan, r.synapse, state) for r in watch.rules})
            found.state, found.since = state, Since(update - done, before) if update > done else None
            before = {name: w.copy() for name, w in state.weights.items()}
            stop_if_told()
            if progress is not None:
                progress.advance((update - done) * course.batch)
            done = update
    except (ValueError, OSError) as problem:
        raise UsageError(str(problem)) from None
    return found


def _residual(plan: Plan, synapse: Synapse, state: State) -> float | None:
    return worst(plan.derivation, needed(plan.derivation, synapse.name), state)


def _record(plan: Plan, rule: Rule, whole: Sequence[Watched], at: tuple[int, ...], realised: float | None) -> Record:
    name = rule.synapse.name
    return Record(
        finding=plan.derivation.findings[name],
        at=at,
        readings=[[r[name] for r in w.readings] for w in whole],
        residuals=[[r[name] for r in w.residuals] for w in whole],
        approximate=is_approximate(plan.derivation, name),
        filtered=rule.filtered,
        realised=realised,
    )


def _realised(plan: Plan, rules: Sequence[Rule], last: Watched, seed: int) -> dict[str, float]:
    """The cosines of whole increments, for rules that pass their drive through states."""
    filtered = [rule.synapse for rule in rules if rule.filtered]
    if not filtered:
        return {}
    assert last.state is not None
    return realised_cosine(plan.still, filtered, plan.sample, last.state, seed=seed, epoch=plan.course.epochs)


def _assumed(plan: Plan, names: Sequence[str], last: Watched, seed: int) -> dict[str, tuple[Assumption, ...]]:
    """What the findings assume, after the last update."""
    assert last.state is not None
    circuit, course = plan.still.circuit, plan.course
    start = initial_state(circuit, course.numbers, seed, dtype=course.dtype, folder=course.folder)
    at = checkpoint(
        plan.still, plan.derivation, plan.sample, last.state, start=start.weights, batch=course.batch, seed=seed,
        epoch=course.epochs, since=last.since,
    )  # fmt: skip
    return assumptions(at, names)


def _decay(derivation: Derivation, names: Sequence[str]) -> float | None:
    """What the slowest relation, or else the slowest learning weight, loses per update."""
    value = derivation.symbols.constants.value
    used = [r for name in names for r in needed(derivation, name) if r.rate is not None]
    rates = [value(r.rate) for r in used if r.rate is not None]
    if not rates:
        drives = [derivation.findings[name].drive for name in names]
        rates = [value(d.decay) for d in drives if isinstance(d, Drive) and d.decay is not None]
    return min((rate for rate in rates if rate > 0), default=None)


def _ticks(expr: Any, numbers: Numbers) -> float:
    from circuitdsl.graph.numbers import evaluate

    return evaluate(expr, numbers)
