"""What a certificate needs before the first example: the circuit, its data, how long it is trained, and at which
examples it is looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import ceil
from pathlib import Path

from circuitdsl.certify.assumptions import assumed_by, pace
from circuitdsl.certify.checkpoint import Sample
from circuitdsl.certify.passes import Still
from circuitdsl.certify.trajectory import Course
from circuitdsl.derive.prove.findings import Finding
from circuitdsl.derive.prove.hypotheses import Nonempty, OneHot
from circuitdsl.derive.tell.derivation import Derivation, derive
from circuitdsl.frozen import frozen
from circuitdsl.graph.initial import DType
from circuitdsl.graph.ir import Circuit, Num, Param, Random, walk
from circuitdsl.graph.machine import Engine
from circuitdsl.graph.numbers import evaluate, numbers_of
from circuitdsl.runtime.backends import DEFAULT, make_engine
from circuitdsl.runtime.data import load_data, permutation
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.request import Request, Settings, check_ticks, settle
from circuitdsl.twin.gradient import graded_synapses

#: How many examples a circuit is looked at with (where noise hides the drive: examples and draws); fewer, if looking
#: so closely would take too long beside the training, but some.
EXAMPLES, NOISY_EXAMPLES, LEAST = 512, 4096, 64
#: What part of the training all looks may cost (one by this), and how much more an example costs that is looked at
#: than one that is learnt.
SHARE, COST = 5, 10
#: What the permutation that picks the sample is for (runtime/data.py).
SAMPLE = 0xFFFF_FFFD
#: What a task says, and nothing else.
PLAIN = Request()
#: A long certificate lasts so many times 1/pace of the slowest of what comes about: longer than the time after which
#: that could be there, for what is left of the way counts as not being at rest.
LONG = 8
#: About how many weights a short certificate may read in one seed's training, and in how many epochs.
SHORT_WORK, SHORT_EPOCHS = 6_000_000_000, 4_000


@frozen(kw_only=True)
class Plan:
    """A circuit with everything that a certificate needs before the first example. It can be sent to a process."""

    course: Course
    settings: Settings
    examples: int
    still: Still
    derivation: Derivation
    target: str

    def engine(self) -> Engine:
        """What the circuit is trained on: a new one, since it has one work space."""
        return _engine(self.target, self.still.circuit, self.course.dtype)

    def sample(self, seed: int) -> Sample:
        """The training examples that a circuit is looked at with in one seed, so that what is chance in them differs
        between seeds. Where something is random, the same examples come again as others, with other noise."""
        import numpy as np

        course = self.course
        train = course.dataset.train
        order = train[permutation(len(train), purpose=SAMPLE, seed=seed)]
        count = self.examples if _is_noisy(self.still.circuit) else min(self.examples, len(order))
        chosen = order[np.arange(count) % len(order)]
        data = {name: array[chosen] for name, array in course.dataset.arrays.items()}
        return Sample(data=data, examples=np.arange(len(chosen)), numbers=course.numbers)


def plan_of(
    circuit: Circuit, request: Request = PLAIN, *, numbers: Mapping[str, float] | None = None,
    folder: Path | None = None, engine: str = DEFAULT, dtype: DType = "float32", derivation: Derivation | None = None,
) -> Plan:  # fmt: skip
    """The plan for a circuit with these numbers (default: as its text has them). `derivation`: that of the circuit as
    its text has it, if it is known. Raises UsageError and CircuitError as `certify` does."""
    numbers = numbers_of(circuit, {}) if numbers is None else dict(numbers)
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
        validation=settings.validation,
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
        examples=LEAST,
        still=Still(circuit),
        derivation=derivation or derive(_with_numbers(circuit, numbers)),
        target=engine,
    )


def _engine(target: str, circuit: Circuit, dtype: DType) -> Engine:
    return make_engine(target, circuit, (), dtype)


def _with_numbers(circuit: Circuit, numbers: Mapping[str, float]) -> Circuit:
    """The circuit with its number params as they are set: signs and decays decide what is derived."""

    def settled(param: Param) -> Param:
        if isinstance(param.value, tuple):
            values = tuple(Num(span=e.span, value=numbers[f"{param.name}[{i}]"]) for i, e in enumerate(param.value))
            return replace(param, value=values)
        return replace(param, value=Num(span=param.value.span, value=numbers[param.name]))

    return replace(circuit, params={name: settled(p) for name, p in circuit.params.items()})


def with_examples(plan: Plan, moments: int, examples: int | None) -> Plan:
    """The plan with how many training examples a circuit is looked at with: as many as are asked for, or as the
    training pays for, so that all looks together cost a fifth of it."""
    if examples is None:
        afford = plan.course.epochs * len(plan.course.dataset.train) // (SHARE * COST * moments)
        most = NOISY_EXAMPLES if _is_noisy(plan.still.circuit) else EXAMPLES
        examples = min(most, max(LEAST, afford))
    return replace(plan, examples=examples)


def _is_noisy(circuit: Circuit) -> bool:
    """Whether something draws random numbers while it learns."""
    expressions = [e for v in circuit.values.values() for e in (v.expr, v.update) if e is not None]
    for synapse in circuit.synapses.values():
        expressions += [e for e in (synapse.dw, *(d.expr for d in synapse.drives)) if e is not None]
        expressions += [s.update for s in synapse.states if s.update is not None]
    return any(isinstance(part, Random) for e in expressions for part in walk(e))


# ---------------------------------------------------------------- how long


def slowest(derivation: Derivation, names: Iterable[str]) -> float | None:
    """The pace of what comes about most slowly of all that the findings assume; None if nothing takes time."""
    assumed = {a for name in names for a in assumed_by(derivation.findings[name])}
    paces = (pace(derivation, a) for a in assumed)
    return min((p for p in paces if p is not None), default=None)


def lasting(derivation: Derivation, names: Iterable[str]) -> int | None:
    """How many updates a long certificate has; None if nothing takes time."""
    found = slowest(derivation, names)
    return None if found is None else ceil(LONG / found)


def prolonged(plan: Plan, names: Iterable[str]) -> Plan:
    """With as many epochs as it takes for all that the findings assume to come about, if that is more."""
    updates = lasting(plan.derivation, names)
    if updates is None:
        return plan
    return _lasting(plan, max(plan.course.epochs, ceil(updates / plan.course.updates_per_epoch)))


def shortened(plan: Plan, names: Iterable[str]) -> Plan:
    """As long as it takes, but no longer than about a second for each seed; not at all, if nothing but the data is
    asked about."""
    findings = [plan.derivation.findings[name] for name in names]
    if all(f.verdict not in (None, "aligned") and _is_of_data(f) for f in findings):
        return _lasting(plan, 0)
    circuit = plan.still.circuit
    ticks = max(1, sum(round(evaluate(p.ticks, plan.course.numbers)) for p in circuit.schedule.phases))
    weights = sum(s.post_size * s.pre_size for s in circuit.synapses.values())
    an_epoch = len(plan.course.dataset.train) * weights * ticks
    longer = prolonged(plan, (f.synapse for f in findings))
    return _lasting(plan, max(1, min(longer.course.epochs, SHORT_EPOCHS, SHORT_WORK // max(1, an_epoch))))


def _is_of_data(finding: Finding) -> bool:
    """Whether what a finding assumes can be told before any learning."""
    return all(isinstance(a, OneHot | Nonempty) for a in assumed_by(finding))


def _lasting(plan: Plan, epochs: int) -> Plan:
    return replace(plan, course=replace(plan.course, epochs=epochs))
