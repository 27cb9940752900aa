"""The drive of a synapse beside the steepest descent of the loss, example by example, at one state.

A drive is a sum over ticks of `C * (post ⊗ pre)`, C a number or a matrix that is the same for all examples; so is
the descent direction, `delta ⊗ r` summed over the ticks of evaluation (theory.md, section 2). Inner products
of such sums need no array per example and weight. Where a rule is no such sum (traces, noise in the synapse), or has
many ticks, drive and descent are written out for a few examples at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from circuitdsl.certify.drive import Rule
from circuitdsl.certify.passes import Errors, Passes, reads_labels, with_permuted_labels
from circuitdsl.derive.folding import product, total
from circuitdsl.derive.gradient import adjoint_name
from circuitdsl.graph.initial import fans_of
from circuitdsl.graph.interpret import Frame, Weights, evaluate, read_value
from circuitdsl.graph.ir import Synapse, is_slow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import State

    Array = NDArray[np.floating[Any]]

#: With more terms and ticks than this the drive is written out.
FEW = 6
#: Of so many examples it is always written out, however large the synapse.
FEWEST = 16
#: How many numbers an array of all examples may hold, and how many of them are made at a time.
ROOM, PORTION = 8_000_000, 1_000_000


@dataclass(frozen=True, slots=True)
class Outer:
    """`coefficient * (post ⊗ pre)` for each example: a number or [post size, pre size]; [examples, post size];
    [examples, pre size]."""

    coefficient: Any
    post: Array
    pre: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Means over the sample [post size, pre size]: `drive` and `descent`, which is minus the gradient. For each
    example, [examples]: the products of its drive with both means (`drive_descent`, `drive_drive`), of its descent
    with both (`descent_drive`, `descent_descent`), and, for the drive under permuted errors, `control_descent` and
    `descent_control`; `credit` and `delta`, [examples, post size], what drive and descent say to each neuron;
    `agreement` and `power`, whose means have the consistency score as their ratio."""

    drive: Array
    descent: Array
    drive_descent: Array
    drive_drive: Array
    descent_drive: Array
    descent_descent: Array
    control_descent: Array
    descent_control: Array
    credit: Array
    delta: Array
    agreement: Array
    power: Array


def pair(rule: Rule, passes: Passes, errors: Errors, state: State) -> Pair:
    """The drive of a rule and the descent at the state that was looked at."""
    mask = state.masks[rule.synapse.name]
    descents = _descents(rule.synapse, passes.evaluation)
    direct = reads_labels(list(rule.reads()), errors)
    if not rule.dense and len(descents) == 1:
        found = _outers(rule, passes.training, state)
        if len(found) <= FEW:
            if direct:
                control = [replace(o, post=_roll(o.post)) for o in found]
            elif passes.permuted is passes.training:
                control = found
            else:
                control = _outers(rule, passes.permuted, state)
            return _by_factors(found, control, descents[0], mask)
    few = slice(0, max(FEWEST, ROOM // (rule.synapse.post_size * rule.synapse.pre_size)))
    training, permuted = passes.training, passes.permuted
    if few.stop < training[0].batch.size:
        training, permuted = ([_some(f, few) for f in frames] for frames in (training, permuted))
        descents = [replace(d, post=d.post[few], pre=d.pre[few]) for d in descents]
    if direct:
        permuted = with_permuted_labels(permuted, errors)
    return _written_out(rule, training, permuted, descents, state)


# ---------------------------------------------------------------- factors


def _site(synapse: Synapse, state: State, fresh: Mapping[str, Array], drives: Mapping[str, Array]) -> Weights:
    persistent = {v: a for (s, v), a in state.synapse_states.items() if s == synapse.name}
    return Weights(
        synapse=synapse,
        weights=state.weights[synapse.name],
        states={**persistent, **fresh},
        drives=drives,
        coefficients=state.coefficients,
        fans=fans_of(synapse, state.masks[synapse.name]),
    )


def _outers(rule: Rule, frames: Sequence[Frame], state: State) -> list[Outer]:
    """The drive as factors; those that are 0 for all examples are left out."""
    import numpy as np

    synapse = rule.synapse
    site = _site(synapse, state, {}, {})
    found: list[Outer] = []
    for frame in frames:
        n = frame.batch.size
        for term in rule.terms:
            constant = (term.coefficient(), *term.weights, *term.states)
            post = evaluate(product(term.signals, span=term.span), frame, site)
            post = np.broadcast_to(post, (n, synapse.post_size, 1))[:, :, 0]
            if not post.any():
                continue
            pre = evaluate(product(term.pre, span=term.span), frame, site)
            pre = np.broadcast_to(pre, (n, 1, synapse.pre_size))[:, 0, :]
            found.append(Outer(evaluate(product(constant, span=term.span), frame, site), post, pre))
    return found


def _descents(synapse: Synapse, frames: Sequence[Frame]) -> list[Outer]:
    """-d loss / d W of each example, tick by tick of evaluation; at least one."""
    import numpy as np

    found: list[Outer] = []
    for frame in frames:
        delta = -frame.now[adjoint_name(synapse.dendrite)]
        if delta.any() or (frame is frames[-1] and not found):
            source = read_value(synapse.source, frame)
            found.append(Outer(1.0, delta, np.broadcast_to(source, (frame.batch.size, synapse.pre_size))))
    return found


def mean_descent(synapse: Synapse, evaluation: Sequence[Frame], state: State) -> Array:
    """-d loss / d W over the sample, [post size, pre size]."""
    shape = (synapse.post_size, synapse.pre_size)
    return _mean(_descents(synapse, evaluation), shape, state.masks[synapse.name])


def _roll(array: Array) -> Array:
    import numpy as np

    return np.roll(array, 1, axis=0)


def _mean(outers: Sequence[Outer], shape: tuple[int, int], mask: NDArray[np.bool_] | None) -> Array:
    import numpy as np

    found = np.zeros(shape)
    for outer in outers:
        found += outer.coefficient * (outer.post.T @ outer.pre) / len(outer.post)
    return found if mask is None else np.where(mask, found, 0.0)


def _along(outers: Sequence[Outer], direction: Array, examples: int) -> Array:
    """The product of each example's sum with one direction, [examples]."""
    import numpy as np

    found = np.zeros(examples)
    for outer in outers:
        found += np.einsum("ei,ei->e", outer.post @ (outer.coefficient * direction), outer.pre)
    return found


def _by_factors(drives: list[Outer], control: list[Outer], descent: Outer, mask: NDArray[np.bool_] | None) -> Pair:
    import numpy as np

    shape = (descent.post.shape[1], descent.pre.shape[1])
    wanted = [descent]
    drive, mean, shuffled = (_mean(outers, shape, mask) for outers in (drives, wanted, control))
    credit = np.zeros_like(descent.post)
    for outer in drives:
        credit += _credit(outer, descent.pre)
    return Pair(
        drive=drive,
        descent=mean,
        drive_descent=_along(drives, mean, len(credit)),
        drive_drive=_along(drives, drive, len(credit)),
        descent_drive=_along(wanted, drive, len(credit)),
        descent_descent=_along(wanted, mean, len(credit)),
        control_descent=_along(control, mean, len(credit)),
        descent_control=_along(wanted, shuffled, len(credit)),
        credit=credit,
        delta=descent.post,
        agreement=np.einsum("ej,ej->e", credit, descent.post),
        power=np.einsum("ej,ej->e", descent.post, descent.post),
    )


def _credit(outer: Outer, source: Array) -> Array:
    """What the drive says to each neuron: the drive projected on the presynaptic rates."""
    import numpy as np

    if np.ndim(outer.coefficient) == 0 and np.array_equal(outer.pre, source):
        return np.asarray(outer.coefficient * outer.post)
    inverse = _inverse_square(source)
    if np.ndim(outer.coefficient) == 0:
        factor = np.einsum("ei,ei->e", outer.pre, source) * inverse
        return np.asarray(outer.coefficient * outer.post * factor[:, None])
    coefficient = np.broadcast_to(outer.coefficient, (outer.post.shape[1], source.shape[1]))
    return np.asarray(outer.post * ((outer.pre * source) @ coefficient.T) * inverse[:, None])


def _inverse_square(source: Array) -> Array:
    """1 / |r|^2 of each example, 0 where all presynaptic neurons are silent."""
    import numpy as np

    square = np.einsum("ei,ei->e", source, source)
    return np.asarray(np.divide(1.0, square, out=np.zeros_like(square), where=square > 0))


# ---------------------------------------------------------------- written out


def _written_out(
    rule: Rule, training: Sequence[Frame], permuted: Sequence[Frame], descents: Sequence[Outer], state: State
) -> Pair:
    import numpy as np

    synapse, mask = rule.synapse, state.masks[rule.synapse.name]
    examples = len(descents[0].post)
    wanted = np.concatenate([_sum_of(descents, rows, mask) for rows in _portions(examples, synapse)])
    drives = _drives(rule, training, state)
    shuffled = drives if permuted is training else _drives(rule, permuted, state)
    drive, descent, control = (a.mean(axis=0) for a in (drives, wanted, shuffled))
    source = np.mean([d.pre for d in descents], axis=0)
    projection = (source * _inverse_square(source)[:, None])[:, :, None]

    def along(array: Array, direction: Array) -> Array:
        return np.asarray(array.reshape(examples, -1) @ direction.ravel())

    return Pair(
        drive=drive,
        descent=descent,
        drive_descent=along(drives, descent),
        drive_drive=along(drives, drive),
        descent_drive=along(wanted, drive),
        descent_descent=along(wanted, descent),
        control_descent=along(shuffled, descent),
        descent_control=along(wanted, control),
        credit=np.matmul(drives, projection)[:, :, 0],
        delta=np.matmul(wanted, projection)[:, :, 0],
        agreement=np.einsum("eji,eji->e", drives, wanted),
        power=np.einsum("eji,eji->e", wanted, wanted),
    )


def _portions(examples: int, synapse: Synapse) -> Iterator[slice]:
    step = max(1, PORTION // (synapse.post_size * synapse.pre_size))
    for start in range(0, examples, step):
        yield slice(start, min(start + step, examples))


def _sum_of(outers: Sequence[Outer], rows: slice, mask: NDArray[np.bool_] | None) -> Array:
    """The sum for some examples, [examples, post size, pre size]."""
    import numpy as np

    plain = [o for o in outers if np.ndim(o.coefficient) == 0]
    found: Array = np.zeros(1)
    if plain:
        post = np.stack([o.coefficient * o.post[rows] for o in plain], axis=2)
        found = np.matmul(post, np.stack([o.pre[rows] for o in plain], axis=1))
    for outer in outers:
        if np.ndim(outer.coefficient) > 0:
            found = found + outer.coefficient * (outer.post[rows, :, None] * outer.pre[rows, None, :])
    return found if mask is None else found * mask


def _drives(rule: Rule, frames: Sequence[Frame], state: State) -> Array:
    """The drive of each example, [examples, post size, pre size], summed over the ticks."""
    import numpy as np

    examples, synapse = frames[0].batch.size, rule.synapse
    found = np.zeros((examples, synapse.post_size, synapse.pre_size))
    outers = None if rule.dense else _outers(rule, frames, state)
    for rows in _portions(examples, synapse):
        if outers is None:
            found[rows] = _interpreted(rule, [_some(f, rows) for f in frames], state)
        elif outers:
            found[rows] = _sum_of(outers, rows, state.masks[synapse.name])
    return found


def _interpreted(rule: Rule, frames: Sequence[Frame], state: State) -> Array:
    """The drive of each example as the rule says it, fresh states and all."""
    import numpy as np

    synapse, mask = rule.synapse, state.masks[rule.synapse.name]
    examples = frames[0].batch.size
    expr = total([t.expr() for t in rule.terms], span=synapse.span)
    fresh = {
        v.name: np.repeat(state.resets[f"{synapse.name}.{v.name}"][None], examples, axis=0)
        for v in synapse.states
        if v.fresh
    }
    found = np.zeros((examples, synapse.post_size, synapse.pre_size))
    for frame in frames:
        found += evaluate(expr, frame, _site(synapse, state, fresh, {}))
        fresh = _advanced(synapse, state, fresh, frame)
    return found if mask is None else found * mask


def _advanced(synapse: Synapse, state: State, fresh: dict[str, Array], frame: Frame) -> dict[str, Array]:
    """The fresh states after a tick."""
    import numpy as np

    drives: dict[str, Array] = {}
    if any(v.fresh and is_slow(v.update) for v in synapse.states):
        site = _site(synapse, state, fresh, {})
        shape = (frame.batch.size, synapse.post_size, synapse.pre_size)
        for drive in synapse.drives:
            each = np.broadcast_to(evaluate(drive.expr, frame, site), shape)
            drives[drive.name] = np.asarray(each.mean(axis=0))
    site = _site(synapse, state, fresh, drives)
    return {
        v.name: fresh[v.name] if v.update is None else fresh[v.name] + evaluate(v.update, frame, site)
        for v in synapse.states
        if v.fresh
    }


def _some(frame: Frame, rows: slice) -> Frame:
    """The frame of some of the examples."""

    def cut(values: Mapping[str, Array] | None) -> dict[str, Array] | None:
        return None if values is None else {name: array[rows] for name, array in values.items()}

    now, given = cut(frame.now), cut(frame.batch.given)
    assert now is not None
    assert given is not None
    batch = replace(frame.batch, indices=frame.batch.indices[rows], given=given)
    return replace(frame, batch=batch, now=now, before=cut(frame.before), after=None)
