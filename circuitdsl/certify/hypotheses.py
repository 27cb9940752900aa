"""How far a hypothesis of a finding is from being met at one state, as a number (theory.md, section 4).

A residual is 0 where the hypothesis holds to the letter, infinite where it plainly does not, and NaN where this state
cannot tell: then it is neither met nor missed. None of them looks at what a finding concludes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isnan, sqrt
from typing import TYPE_CHECKING, Any, assert_never

from circuitdsl.certify.checkpoint import Checkpoint
from circuitdsl.certify.gates import dependence
from circuitdsl.certify.pairing import ROOM
from circuitdsl.certify.relations import off, sides
from circuitdsl.certify.scaling import bend
from circuitdsl.derive.algebra.arithmetic import NotLinear
from circuitdsl.derive.algebra.letters import Made
from circuitdsl.derive.algebra.words import Coefficient, Sum
from circuitdsl.derive.prove.hypotheses import (
    AtRest,
    Attracted,
    GentleDecay,
    Homogeneous,
    Hypothesis,
    Lagging,
    Live,
    ManyDraws,
    MeanField,
    Nonempty,
    Nontrivial,
    OffKink,
    OneHot,
    Open,
    Slow,
    SmallSteps,
    Spectral,
    Unbound,
    Within,
)
from circuitdsl.derive.prove.relations import Relation
from circuitdsl.derive.read.drives import Drive, Unread
from circuitdsl.derive.read.numeric import instantiate
from circuitdsl.graph import ir
from circuitdsl.graph.functions import quiet
from circuitdsl.graph.plasticity import Term, split
from circuitdsl.runtime.health import at_bounds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import State

    Array = NDArray[np.floating[Any]]

#: A hypothesis is met if its residual is not above this.
THRESHOLD: Mapping[type[Hypothesis], float] = {
    AtRest: 0.05,  # of what decay takes per update
    Unbound: 0.0,  # no weight at all
    Attracted: 0.05,  # of the norm of the relation's left side
    OneHot: 1e-6,  # data are in float32
    Nontrivial: 0.0,
    Nonempty: 0.0,
    MeanField: 0.5,  # half of what gets through: 30 degrees
    Slow: 0.5,  # the trace then has a cosine of at least 0.86 with the gradient
    Lagging: 0.05,  # so much of the factor is the present update's
    SmallSteps: 0.05,  # of a relation's left side, or of the weight
    Spectral: 0.1,  # of the singular value that it should be
    Homogeneous: 1e-3,  # of the rates; there are kinks
    Within: 1.0,  # the limit itself
    GentleDecay: 1.0,  # the whole of the weight
    ManyDraws: 0.01,  # a hundred draws
    Open: 0.0,
    OffKink: 0.0,
    Live: 0.0,
}
#: Weights below this part of their scale are gone (if they have no rest but 0), or 0.
GONE, NOTHING = 1e-2, 1e-6


def is_met(hypothesis: Hypothesis, residual: float) -> bool | None:
    """Whether a residual is small enough; None if there is none."""
    return None if isnan(residual) else residual <= THRESHOLD[type(hypothesis)]


def residual(hypothesis: Hypothesis, at: Checkpoint) -> float:
    """How far a state is from meeting a hypothesis; NaN if it cannot tell."""
    import numpy as np

    with quiet():
        try:
            return _residual(hypothesis, at)
        except (KeyError, NotLinear):  # a letter of another circuit: of one unrolled over ticks
            return float("nan")
        except np.linalg.LinAlgError:  # weights that are no numbers
            return float("nan")


def _residual(hypothesis: Hypothesis, at: Checkpoint) -> float:
    match hypothesis:
        case AtRest(synapse=of):
            return _unrest(of, at)
        case Unbound(synapse=of):
            return at_bounds(at.circuit.synapses[of], at.state, at.sample.numbers)
        case Attracted(left=left, right=right):
            return _distance((left, right), at)
        case OneHot(target=of):
            return _not_one_hot(at.sample.data[of][at.sample.examples])
        case Nontrivial(synapse=of):
            return float(_norm(at.state.weights[of]) <= NOTHING * at.scale(of))
        case Nonempty(synapse=of):
            return float(at.weights(of).size == 0)
        case MeanField(gate=gate):
            return dependence(at, gate)
        case Slow(synapse=of):
            return _behind(of, at)
        case Lagging(synapse=of):
            return _presence(of, at)
        case SmallSteps(synapse=of):
            return _second_order(of, at)
        case Spectral(synapse=of, square=square):
            return _off_spectrum(at.state.weights[of], square, at)
        case Homogeneous(population=of):
            return bend(at, of)
        case Within(synapse=of, limit=limit):
            return float(abs(at.weights(of)).max(initial=0.0)) / limit if limit > 0 else float("nan")
        case GentleDecay(synapse=of):
            return _loss_by_example(of, at)
        case ManyDraws(population=of):
            return _share_of_a_draw(of, at)
        case OffKink(kink=kink):
            return _on_kink(kink, at)
        case Open(synapse=of) | Live(synapse=of):
            return float(not at.mean_drive(at.circuit.synapses[of]).any())
        case _:
            assert_never(hypothesis)


def _on_kink(kink: Made, at: Checkpoint) -> float:
    """The part of units and examples in which a polynomial of units is exactly 0."""
    environment = at.environment()
    if environment is None or kink not in at.derivation.symbols.opened.arithmetic.kinks:
        return float("nan")
    return float((environment.polynomial(kink.argument) == 0).mean())


def _norm(array: Array) -> float:
    import numpy as np

    return float(np.linalg.norm(array))


def _ratio(part: float, whole: float) -> float:
    """Infinite if there is a part of nothing."""
    return part / whole if whole > 0 else 0.0 if part == 0 else float("nan") if isnan(part) else float("inf")


# ---------------------------------------------------------------- weights


def _unrest(name: str, at: Checkpoint) -> float:
    """|E[drive] - decay W| / |decay W|: an update's mean increment beside that part of it which no example brings.

    The mean is one over time if the weights of some updates ago are known (how far they have come since): weights
    that learn in batches never stand still, and the mean over examples at any one of their states is as far from 0 as
    they stray; else it is that. Weights that have no rest but 0 are as far from it as what is left of them, told by
    `GONE`. NaN where nothing decays."""
    synapse = at.circuit.synapses[name]
    if synapse.dw is None:
        return 0.0
    w = at.state.weights[name]
    size, decay = _norm(w), _norm(_decay_part(synapse, at))
    moved = _norm(at.increments[name] if at.since is None else (w - at.since.weights[name]) / at.since.updates)
    if decay == 0 and size > 0:
        return 0.0 if moved == 0 else float("nan")
    apart = _ratio(moved, decay if size > 0 else 0.0)
    if name not in _fading(at):
        return apart
    return min(apart, size / at.scale(name) / GONE * THRESHOLD[AtRest])


def _fading(at: Checkpoint) -> set[str]:
    """The synapses of which it was derived that they go to 0."""
    rest, findings = at.derivation.rest, at.derivation.findings.values()
    idle = {f.synapse for f in findings if isinstance(f.drive, Unread) and f.drive.idle}
    return {name for collapse in rest.collapses for name in collapse.synapses} | set(rest.silent) | idle


def _decay_part(synapse: ir.Synapse, at: Checkpoint) -> Array:
    """What an update takes of the weights whatever the examples are: the linear decay that was read, if there is no
    other, or the drive passes through states on its way to the weight; else what its drive does not add."""
    drive = at.derivation.drive_of(synapse.name)
    if drive is None or drive.passage.whole or (drive.passage.is_open and _is_more_than_linear(drive)):
        return at.increments[synapse.name] - at.mean_drive(synapse)
    decay = 0.0 if drive.decay is None else at.derivation.symbols.constants.value(drive.decay)
    return -decay * at.state.weights[synapse.name]


def _is_more_than_linear(drive: Drive) -> bool:
    """Whether a rule loses anything but the linear decay that was read."""
    return drive.uneven is not None or drive.by_example is not None


def _distance(names: tuple[str, str], at: Checkpoint) -> float:
    """|left - factor right| / |left| of the relation of two synapses, the largest if there are several."""
    own = [r for r in at.derivation.between if r.synapses == names]
    own = [r for r in own if r.holds != "rest"] or own
    found = [off(at.derivation, r, at.state, at.passes) for r in own]
    return max(found, default=float("nan"))


def _off_spectrum(weights: Array, square: Coefficient, at: Checkpoint) -> float:
    """How far the singular values are from 0 or the one that they should be, as a part of that one."""
    import numpy as np

    value = at.derivation.symbols.constants.value(square)
    if not value > 0:
        return float("nan")
    found = np.linalg.svd(weights, compute_uv=False) / sqrt(value)
    return float(np.minimum(found, abs(found - 1)).max(initial=0.0))


# ---------------------------------------------------------------- data and masks


def _not_one_hot(targets: Array) -> float:
    """How far the sum of an example's targets is from 1, and each target from 0 or 1."""
    import numpy as np

    sums = abs(targets.astype(np.float64).sum(axis=1) - 1)
    return float(max(sums.max(initial=0.0), np.minimum(abs(targets), abs(targets - 1)).max(initial=0.0)))


# ---------------------------------------------------------------- single updates


def _step_size(array: Callable[[State], Array], at: Checkpoint) -> float:
    """The size of an update as a part of what it moves, root mean square."""
    import numpy as np

    before = array(at.state)
    moved = sqrt(np.mean([_norm(array(after) - before) ** 2 for after in at.tried]))
    return _ratio(moved, _norm(before))


def _second_order(name: str, at: Checkpoint) -> float:
    """What terms of second order come to. Of the relations of a synapse that hold for small steps: what these terms add
    to the difference in an update, against what decay takes of it: so far from 0 they can keep it, as a part of the
    left side. Of others, which move while they are looked at: the size of an update as a part of the weight."""
    own = [r for r in at.derivation.between if r.holds == "slow" and r.synapses[0] == name]
    if own:
        return max(_kept_apart(r, at) for r in own)
    if name in at.state.kept:
        return _step_size(lambda state: state.kept[name], at)
    return _step_size(lambda state: state.weights[name], at)


def _kept_apart(relation: Relation, at: Checkpoint) -> float:
    import numpy as np

    def difference(state: State) -> Array:
        left, right = sides(at.derivation, relation, state)
        return np.asarray(left - right)

    assert relation.rate is not None
    rate = at.derivation.symbols.constants.value(relation.rate)
    ends = [difference(after) + difference(_mirrored(at.state, after)) for after in at.tried]
    second = np.mean(ends, axis=0) / 2 - difference(at.state)
    left, _ = sides(at.derivation, relation, at.state)
    return _ratio(_norm(second), rate * _norm(left))


def _mirrored(state: State, after: State) -> State:
    """As far from a state as the one after an update, the other way."""
    mirrored = state.copy()
    mirrored.weights = {name: 2 * w - after.weights[name] for name, w in state.weights.items()}
    return mirrored


def _share_of_a_draw(population: str, at: Checkpoint) -> float:
    """The part that one draw has in what the weights into a population learn: of the mean over a batch, and of the
    updates that it takes to change these weights at least. NaN if none of them learns."""
    into = [s.name for s in at.circuit.synapses.values() if s.post == population and s.dw is not None]
    steps = [_step_size(lambda state, name=name: state.weights[name], at) for name in into]  # type: ignore[misc]
    return min(1.0, max(steps)) / at.batch if steps else float("nan")


# ---------------------------------------------------------------- states of synapses


def _behind(name: str, at: Checkpoint) -> float:
    """|trace - gain drive| / |gain drive| of the traces that a drive passes through, the largest, with the mean drive;
    what differs because the drives of single batches do, as they are, is not counted. NaN if no trace persists."""
    import numpy as np

    traces = _traces(at.circuit.synapses[name])
    empty = at.state.copy()
    empty.synapse_states |= {(name, v): np.zeros_like(at.state.synapse_states[name, v]) for v in traces}
    now, first = (at.state_steps(state, name) for state in (at.state, empty)) if traces else ({}, {})
    return max((_lag(at, (name, v), now[v], first[v]) for v in traces), default=float("nan"))


def _lag(at: Checkpoint, key: tuple[str, str], now: Array, first: Array) -> float:
    """A trace m moves by `leak (gain drive - m)`, from 0 by `leak gain drive`. Of drives that differ by noise of the
    variance s it has the variance `s gain^2 leak / (2 - leak)`."""
    import numpy as np

    trace = at.state.synapse_states[key]
    leak = float(np.vdot(first - now, trace)) / (_norm(trace) ** 2 or 1.0)
    steps = np.array([after.synapse_states[key] - trace for after in at.tried])
    noise = float(steps.var(axis=0, ddof=1).sum()) * leak / (2 - leak) if len(steps) > 1 and 0 < leak < 2 else 0.0
    return _ratio(sqrt(max(0.0, _norm(now) ** 2 - noise)), _norm(first))


def _presence(name: str, at: Checkpoint) -> float:
    """How much of the states that a synapse's positive factors are made of an update brings, as a part of them, the
    largest: so far are these factors from being made of the past. NaN if there are none that examples move."""
    synapse = at.circuit.synapses[name]
    lagging = [v.name for v in synapse.states if v.name in _in_factors(synapse) and _sees_examples(v)]
    sizes = [_step_size(lambda state, key=(name, v): state.synapse_states[key], at) for v in lagging]  # type: ignore[misc]
    return max(sizes, default=float("nan"))


def _traces(synapse: ir.Synapse) -> list[str]:
    """The persistent states that a rule is linear in, and that are leaky sums of a drive, or of signals."""
    assert synapse.dw is not None
    bare = {f.name for t in split(synapse.dw, expand=True) for f in t.states if isinstance(f, ir.SynapseState)}
    return [v.name for v in synapse.states if v.name in bare and _is_trace(v)]


def _in_factors(synapse: ir.Synapse) -> set[str]:
    """The persistent states within factors of a rule."""
    assert synapse.dw is not None
    traces = _traces(synapse)
    factors = [f for t in split(synapse.dw, expand=True) for f in t.states]
    names = {e.name for f in factors for e in ir.walk(f) if isinstance(e, ir.SynapseState) and e.name not in traces}
    return {v.name for v in synapse.states if v.name in names and not v.fresh}


def _is_trace(state: ir.SynapseVar) -> bool:
    if state.fresh or state.update is None:
        return False
    terms = split(state.update, expand=True)
    leaks = [t for t in terms if _is_leak(t, state)]
    return bool(leaks) and all(_is_source(t) for t in terms if t not in leaks)


def _is_leak(term: Term, state: ir.SynapseVar) -> bool:
    own = len(term.states) == 1 and isinstance(term.states[0], ir.SynapseState) and term.states[0].name == state.name
    return own and not (term.pre or term.signals or term.weights or term.mixed)


def _is_source(term: Term) -> bool:
    by_drive = len(term.states) == 1 and isinstance(term.states[0], ir.DriveRead)
    return not term.mixed and (by_drive or not term.states)


def _sees_examples(state: ir.SynapseVar) -> bool:
    """Whether examples move a state, directly or through a drive."""
    seen = (ir.Read, ir.Random, ir.DriveRead)
    return state.update is not None and any(isinstance(e, seen) for e in ir.walk(state.update))


# ---------------------------------------------------------------- decay by example


def _loss_by_example(name: str, at: Checkpoint) -> float:
    """What part of a weight its decay by example takes in an update at most, over weights and batches; infinite if some
    weight loses nothing at all, by linear decay either. NaN if the rule is not read so."""
    drive = at.derivation.drive_of(name)
    if drive is None or drive.by_example is None or at.environment() is None:
        return float("nan")
    means, most, examples = 0 * at.weights(name), 0.0, len(at.sample.examples)
    for start in range(0, examples, at.batch):
        rows = slice(start, min(start + at.batch, examples))
        lost = at.present(name, _lost(drive.by_example, rows, at))
        means, most = means + lost * (rows.stop - start) / examples, max(most, float(lost.max(initial=0.0)))
    linear = 0.0 if drive.decay is None else at.derivation.symbols.constants.value(drive.decay)
    return most if (means + linear > 0).all() else float("inf")


def _lost(by_example: Sum, rows: slice, at: Checkpoint) -> Array:
    """What a batch takes of each weight, the mean over its examples, [post size, pre size]."""
    import numpy as np

    total: Array = np.zeros((by_example.rows or 1, by_example.cols or 1))
    step = max(1, ROOM // total.size)
    for start in range(rows.start, rows.stop, step):
        env = at.environment(slice(start, min(start + step, rows.stop)))
        assert env is not None
        found = instantiate(by_example, env)
        examples = min(step, rows.stop - start)
        total = total + (found.sum(axis=0) if found.ndim == 3 else found * examples)
    return np.asarray(total / (rows.stop - rows.start))
