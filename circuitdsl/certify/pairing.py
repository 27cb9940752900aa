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

#: Beyond so many products of a tick of the rule with a tick of the gradient, arrays are written out.
FEW = 6
#: How many numbers are written out at a time.
ROOM = 2_000_000


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
    example: `along`, the product of its drive with the mean descent; `control`, the same with permuted errors;
    `credit` and `delta`, [examples, post size], what the drive and the descent say to each neuron; `agreement` and
    `power`, whose means have the consistency score as their ratio."""

    drive: Array
    descent: Array
    along: Array
    control: Array
    credit: Array
    delta: Array
    agreement: Array
    power: Array


def pair(rule: Rule, passes: Passes, errors: Errors, state: State) -> Pair:
    """The drive of a rule and the descent at the state that was looked at."""
    synapse, mask = rule.synapse, state.masks[rule.synapse.name]
    descents = _descents(synapse, passes.evaluation)
    direct = reads_labels(list(rule.reads()), errors)
    if not rule.dense:
        found = _outers(rule, passes.training, state)
        if len(found) * len(descents) <= FEW and len(descents) == 1:
            control = [replace(o, post=_roll(o.post)) for o in found] if direct else None
            if control is None:
                same = passes.permuted is passes.training
                control = found if same else _outers(rule, passes.permuted, state)
            return _by_factors(found, control, descents[0], mask)
    permuted = with_permuted_labels(passes.permuted, errors) if direct else passes.permuted
    return _written_out(rule, passes.training, permuted, descents, state)


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


def _roll(array: Array) -> Array:
    import numpy as np

    return np.roll(array, 1, axis=0)


def _mean(outers: Sequence[Outer], shape: tuple[int, int], mask: NDArray[np.bool_] | None) -> Array:
    import numpy as np

    found = np.zeros(shape)
    for outer in outers:
        found += outer.coefficient * (outer.post.T @ outer.pre) / len(outer.post)
    return found if mask is None else np.where(mask, found, 0.0)


def _along(outers: Sequence[Outer], direction: Array) -> Array:
    """The product of each example's sum with one direction, [examples]."""
    import numpy as np

    found = np.zeros(len(outers[0].post)) if outers else np.zeros(1)
    for outer in outers:
        found += np.einsum("ei,ei->e", outer.post @ (outer.coefficient * direction), outer.pre)
    return found


def _by_factors(
    drives: list[Outer], control: list[Outer], descent: Outer, mask: NDArray[np.bool_] | None
) -> Pair:
    import numpy as np

    shape = (descent.post.shape[1], descent.pre.shape[1])
    mean = _mean([descent], shape, mask)
    credit = np.zeros_like(descent.post)
    for outer in drives:
        credit += _credit(outer, descent.pre)
    empty = np.zeros(len(descent.post))
    return Pair(
        drive=_mean(drives, shape, mask),
        descent=mean,
        along=_along(drives, mean) if drives else empty,
        control=_along(control, mean) if control else empty,
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
        return outer.coefficient * outer.post * (np.einsum("ei,ei->e", outer.pre, source) * inverse)[:, None]
    coefficient = np.broadcast_to(outer.coefficient, (outer.post.shape[1], source.shape[1]))
    return np.asarray(outer.post * ((outer.pre * source) @ coefficient.T) * inverse[:, None])


def _inverse_square(source: Array) -> Array:
    """1 / |r|^2 of each example, 0 where all presynaptic neurons are silent."""
    import numpy as np

    square = np.einsum("ei,ei->e", source, source)
    return np.divide(1.0, square, out=np.zeros_like(square), where=square > 0)


# ---------------------------------------------------------------- written out


def _written_out(
    rule: Rule, training: Sequence[Frame], permuted: Sequence[Frame], descents: Sequence[Outer], state: State
) -> Pair:
    import numpy as np

    synapse, mask = rule.synapse, state.masks[rule.synapse.name]
    shape = (synapse.post_size, synapse.pre_size)
    examples = len(descents[0].post)
    mean = _mean(descents, shape, mask)
    source = np.mean([d.pre for d in descents], axis=0)
    inverse = _inverse_square(source)
    drive = np.zeros(shape)
    along, control, agreement, power = (np.zeros(examples) for _ in range(4))
    credit, delta = np.zeros((examples, shape[0])), np.zeros((examples, shape[0]))
    real = _Written(rule, training, state)
    shuffled = real if permuted is training else _Written(rule, permuted, state)
    for rows in _portions(examples, shape):
        found = real.of(rows)
        wanted = _sum_of(descents, rows, mask)
        drive += found.sum(axis=0) / examples
        along[rows] = np.einsum("eji,ji->e", found, mean)
        control[rows] = along[rows] if shuffled is real else np.einsum("eji,ji->e", shuffled.of(rows), mean)
        agreement[rows] = np.einsum("eji,eji->e", found, wanted)
        power[rows] = np.einsum("eji,eji->e", wanted, wanted)
        projection = (source[rows] * inverse[rows, None])[:, :, None]
        credit[rows] = np.matmul(found, projection)[:, :, 0]
        delta[rows] = np.matmul(wanted, projection)[:, :, 0]
    return Pair(
        drive=drive, descent=mean, along=along, control=control, credit=credit, delta=delta,
        agreement=agreement, power=power,
    )  # fmt: skip


def _portions(examples: int, shape: tuple[int, int]) -> Iterator[slice]:
    step = max(1, ROOM // (shape[0] * shape[1]))
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


class _Written:
    """The drive of a rule, [examples, post size, pre size], summed over the ticks, for some examples at a time."""

    def __init__(self, rule: Rule, frames: Sequence[Frame], state: State):
        self.rule, self.frames, self.state = rule, frames, state
        self.outers = None if rule.dense else _outers(rule, frames, state)

    def of(self, rows: slice) -> Array:
        import numpy as np

        synapse = self.rule.synapse
        mask = self.state.masks[synapse.name]
        shape = (rows.stop - rows.start, synapse.post_size, synapse.pre_size)
        if self.outers is not None:
            return np.broadcast_to(_sum_of(self.outers, rows, mask), shape)
        expr = total([t.expr() for t in self.rule.terms], span=synapse.span)
        fresh = {
            v.name: np.repeat(self.state.resets[f"{synapse.name}.{v.name}"][None], shape[0], axis=0)
            for v in synapse.states
            if v.fresh
        }
        found = np.zeros(shape)
        for frame in (_some(f, rows) for f in self.frames):
            found += evaluate(expr, frame, _site(synapse, self.state, fresh, {}))
            fresh = _advanced(synapse, self.state, fresh, frame)
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
