"""The drive of a synapse beside the steepest descent of the loss, example by example, at one state.

A drive is a sum over ticks of `C * (post ⊗ pre)`, C a number or a matrix that is the same for all examples; so is
the descent direction, `delta ⊗ r` summed over the ticks of evaluation (theory.md, section 2). Inner products
of such sums need no array per example and weight. Where a rule is no such sum (traces of products, noise in the
synapse), drive and descent are written out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from circuitdsl.certify.drive import Rule
from circuitdsl.certify.passes import (
    Passes,
    Still,
    permuted,
    with_permuted_labels,
)
from circuitdsl.frozen import frozen
from circuitdsl.graph.folding import product, total
from circuitdsl.graph.interpret import Frame, Weights, evaluate, read_value
from circuitdsl.graph.ir import Read, Synapse, is_slow, walk
from circuitdsl.graph.projections import fans_of
from circuitdsl.twin.gradient import adjoint_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import State

    Array = NDArray[np.floating[Any]]

#: Of so many examples it is always written out, however large the synapse.
FEWEST = 16
#: How many numbers an array of all examples may hold, and how many of them are made at a time.
ROOM, PORTION = 8_000_000, 1_000_000


@frozen
class Outer:
    """`coefficient * (post ⊗ pre)` for each example: a number or [post size, pre size]; [examples, post size];
    [examples, pre size]. `labelled`: it reads a target itself."""

    coefficient: Any
    post: Array
    pre: Array
    labelled: bool = False


@frozen(kw_only=True)
class Pair:
    """Means over the sample, [post size, pre size]: `drive`; `descent`, which is minus the gradient; the drive under
    permuted errors, `control`, and under errors that are also turned round, `turned`. `blind`: neither changes the
    drive of a single example.

    For each example: `credit` and `delta`, [examples, post size], what drive and descent say to each neuron;
    `agreement` and `power`, s . delta and |delta|^2, [examples], whose means have the consistency score as their ratio
    (where the gradient comes from several ticks: the same products of the whole drive and descent)."""

    drive: Array
    descent: Array
    control: Array
    turned: Array
    blind: bool
    credit: Array
    delta: Array
    agreement: Array
    power: Array


def pair(rule: Rule, passes: Passes, still: Still, state: State) -> Pair:
    """The drive of a rule and the descent at the state that was looked at."""
    synapse, labels = rule.synapse, still.errors.labels
    controls = [passes.permuted, passes.turned]
    if any(r.value in labels for r in rule.remembers()):
        controls = [with_permuted_labels(frames, still.errors) for frames in controls]
    direct = any(r.value in labels for r in rule.reads())
    descents = _descents(synapse, passes.evaluation)
    found = factors(rule, passes.training, state, labels)
    if found is not None:
        drives = _each(controls, lambda frames: factors(rule, frames, state, labels), passes.training, found)
        if direct:
            drives = [_with_labels_moved(found, of, turn=turn) for of, turn in zip(drives, (False, True), strict=True)]
        return _told_apart(_by_factors(found, drives, descents, state.mask(synapse.name)), passes)
    few = slice(0, max(FEWEST, ROOM // (synapse.post_size * synapse.pre_size)))
    training = passes.training
    if few.stop < training[0].batch.size:
        training = [_some(f, few) for f in training]
        controls = _each(controls, lambda frames: [_some(f, few) for f in frames], passes.training, training)
        descents = [replace(d, post=d.post[few], pre=d.pre[few]) for d in descents]
    if direct:
        controls = [with_permuted_labels(frames, still.errors) for frames in controls]
    return _told_apart(_written_out(rule, training, controls, descents, state), passes)


def _with_labels_moved(found: Sequence[Outer], control: Sequence[Outer], *, turn: bool) -> list[Outer]:
    """A control of a rule that reads targets itself: what does not is as under moved errors, what does is permuted."""
    moved = [replace(o, post=permuted(o.post, turn=turn)) for o in found if o.labelled]
    return [o for o in control if not o.labelled] + moved


def _told_apart(found: Pair, passes: Passes) -> Pair:
    """Without controls, if permuting moved no error."""
    if passes.moved:
        return found
    unknown = 0 * found.drive + float("nan")
    return replace(found, control=unknown, turned=unknown, blind=False)


def _each(controls: Sequence[Any], make: Callable[[Any], Any], same: Any, made: Any) -> list[Any]:
    """Something made of each of the controls; only once of what is the same list."""
    found: list[Any] = []
    for i, frames in enumerate(controls):
        if frames is same:
            found.append(made)
        elif i > 0 and frames is controls[0]:
            found.append(found[0])
        else:
            found.append(make(frames))
    return found


# ---------------------------------------------------------------- factors


def _site(synapse: Synapse, state: State, fresh: Mapping[str, Array], drives: Mapping[str, Array]) -> Weights:
    persistent = {v: a for (s, v), a in state.synapse_states.items() if s == synapse.name}
    return Weights(
        synapse=synapse,
        weights=state.weights[synapse.name],
        states={**persistent, **fresh},
        drives=drives,
        coefficients=state.coefficients,
        fans=fans_of(synapse, state.projections[synapse.name]),
    )


def factors(
    rule: Rule, frames: Sequence[Frame], state: State, labels: frozenset[str] = frozenset()
) -> list[Outer] | None:
    """The drive as a sum over terms and ticks, without those that are 0 for all examples; None if some term is no
    postsynaptic factor times a presynaptic one."""
    import numpy as np

    synapse = rule.synapse
    fresh = _resets(synapse, state)
    found: list[Outer] = []
    for frame in frames:
        site = _site(synapse, state, fresh, {})
        for term in rule.terms:
            parts = [evaluate(product(part, span=term.span), frame, site)
                     for part in (term.signals, term.pre, (*term.weights, *term.states, *term.mixed))]  # fmt: skip
            shapes = [np.shape(part) for part in parts]
            if any(len(s) == 3 and s[1] > 1 and s[2] > 1 for s in shapes):
                return None
            outer = _outer(parts, frame.batch.size, synapse)
            if outer.post.any():
                coefficient = evaluate(term.coefficient(), frame, site)
                labelled = any(isinstance(e, Read) and e.value in labels for f in term.factors() for e in walk(f))
                found.append(replace(outer, coefficient=coefficient * outer.coefficient, labelled=labelled))
        fresh = _advanced(synapse, state, fresh, frame)
    return found


def _outer(parts: Sequence[Array], examples: int, synapse: Synapse) -> Outer:
    """The product of parts each of which varies along one side only, or is the same for all examples."""
    import numpy as np

    constant: Any = 1.0
    post, pre = np.ones((1, 1, 1)), np.ones((1, 1, 1))
    for part in parts:
        if np.ndim(part) < 3:
            constant = constant * part
        elif part.shape[1] > 1 or (part.shape[2] == 1 and synapse.pre_size > 1):
            post = post * part
        else:
            pre = pre * part
    return Outer(
        constant,
        np.broadcast_to(post, (examples, synapse.post_size, 1))[:, :, 0],
        np.broadcast_to(pre, (examples, 1, synapse.pre_size))[:, 0, :],
    )


def _resets(synapse: Synapse, state: State) -> dict[str, Array]:
    """What the fresh states start from, as a number where it is one: what does not differ is not written out."""
    import numpy as np

    found = {v.name: state.resets[f"{synapse.name}.{v.name}"] for v in synapse.states if v.fresh}
    return {name: np.asarray(a.flat[0]) if (a == a.flat[0]).all() else a for name, a in found.items()}


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
    return _mean(_descents(synapse, evaluation), shape, state.mask(synapse.name))


def mean_drive(rule: Rule, training: Sequence[Frame], state: State) -> Array:
    """The drive of a rule over the sample, [post size, pre size]."""
    import numpy as np

    synapse = rule.synapse
    found = factors(rule, training, state)
    if found is not None:
        return _mean(found, (synapse.post_size, synapse.pre_size), state.mask(synapse.name))
    examples = training[0].batch.size
    sums = [
        _interpreted(rule, [_some(f, rows) for f in training], state).sum(axis=0)
        for rows in _portions(examples, synapse)
    ]
    return np.asarray(np.sum(sums, axis=0) / examples)


def _mean(outers: Sequence[Outer], shape: tuple[int, int], mask: NDArray[np.bool_] | None) -> Array:
    import numpy as np

    found = np.zeros(shape)
    for outer in outers:
        found += outer.coefficient * (outer.post.T @ outer.pre) / len(outer.post)
    return found if mask is None else np.where(mask, found, 0.0)


def _by_factors(
    drives: list[Outer], controls: list[list[Outer]], descents: list[Outer], mask: NDArray[np.bool_] | None
) -> Pair:
    import numpy as np

    shape = (descents[0].post.shape[1], descents[0].pre.shape[1])
    drive, descent, permuted, turned = (_mean(outers, shape, mask) for outers in (drives, descents, *controls))
    source = np.mean([d.pre for d in descents], axis=0) if len(descents) > 1 else descents[0].pre
    credit, delta = _credits(drives, source, shape[0]), _credits(descents, source, shape[0])
    if len(descents) == 1:
        agreement, power = np.einsum("ej,ej->e", credit, delta), np.einsum("ej,ej->e", delta, delta)
    else:
        agreement, power = _products(drives, descents), _products(descents, descents)
    return Pair(
        drive=drive,
        descent=descent,
        control=permuted,
        turned=turned,
        blind=all(_same(outers, drives) for outers in controls),
        credit=credit,
        delta=delta,
        agreement=agreement,
        power=power,
    )


def _same(left: Sequence[Outer], right: Sequence[Outer]) -> bool:
    """Whether two drives are made of the same factors, example by example."""
    import numpy as np

    def equal(one: Outer, other: Outer) -> bool:
        return all(np.array_equal(getattr(one, f), getattr(other, f)) for f in ("coefficient", "post", "pre"))

    if left is right:
        return True
    one, other = (sorted(outers, key=lambda o: o.labelled) for outers in (left, right))
    return len(one) == len(other) and all(map(equal, one, other))


def _products(left: Sequence[Outer], right: Sequence[Outer]) -> Array:
    """The product of two sums, example by example, [examples]."""
    import numpy as np

    found = np.zeros(len(right[0].post))
    plain = [o for o in left if np.ndim(o.coefficient) == 0]
    if plain:
        posts = np.matmul(np.stack([o.coefficient * o.post for o in plain], 1), np.stack([r.post for r in right], 2))
        pres = np.matmul(np.stack([o.pre for o in plain], 1), np.stack([r.pre for r in right], 2))
        found += np.einsum("eab,eab->e", posts, pres)
    for outer in left:
        if np.ndim(outer.coefficient) > 0:
            for other in right:
                weighted = (outer.post * other.post) @ np.broadcast_to(
                    outer.coefficient, (outer.post.shape[1], outer.pre.shape[1])
                )
                found += np.einsum("ei,ei->e", weighted, outer.pre * other.pre)
    return found


def _credits(outers: Sequence[Outer], source: Array, size: int) -> Array:
    import numpy as np

    found = np.zeros((len(source), size))
    for outer in outers:
        found += _credit(outer, source)
    return found


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
    rule: Rule, training: list[Frame], controls: list[list[Frame]], descents: Sequence[Outer], state: State
) -> Pair:
    import numpy as np

    synapse, mask = rule.synapse, state.mask(rule.synapse.name)
    examples = len(descents[0].post)
    wanted = np.concatenate([_sum_of(descents, rows, mask) for rows in _portions(examples, synapse)])
    drives = _drives(rule, training, state)
    permuted, turned = _each(controls, lambda frames: _drives(rule, frames, state), training, drives)
    drive, descent = drives.mean(axis=0), wanted.mean(axis=0)
    source = np.mean([d.pre for d in descents], axis=0)
    projection = (source * _inverse_square(source)[:, None])[:, :, None]

    credit, delta = (np.matmul(array, projection)[:, :, 0] for array in (drives, wanted))
    left, right = (credit, delta) if len(descents) == 1 else (drives, wanted)
    return Pair(
        drive=drive,
        descent=descent,
        control=permuted.mean(axis=0),
        turned=turned.mean(axis=0),
        blind=np.array_equal(permuted, drives) and np.array_equal(turned, drives),
        credit=credit,
        delta=delta,
        agreement=(left * right).reshape(examples, -1).sum(axis=1),
        power=(right * right).reshape(examples, -1).sum(axis=1),
    )


def _portions(examples: int, synapse: Synapse) -> Iterator[slice]:
    step = max(1, PORTION // (synapse.post_size * synapse.pre_size))
    for start in range(0, examples, step):
        yield slice(start, min(start + step, examples))


def _sum_of(outers: Sequence[Outer], rows: slice, mask: NDArray[np.bool_] | None) -> Array:
    """The sum for some examples, [examples, post size, pre size]; coefficients are numbers."""
    import numpy as np

    post = np.stack([o.coefficient * o.post[rows] for o in outers], axis=2)
    found = np.matmul(post, np.stack([o.pre[rows] for o in outers], axis=1))
    return found if mask is None else np.asarray(found * mask)


def _drives(rule: Rule, frames: Sequence[Frame], state: State) -> Array:
    """The drive of each example, [examples, post size, pre size], summed over the ticks."""
    import numpy as np

    examples = frames[0].batch.size
    portions = _portions(examples, rule.synapse)
    return np.concatenate([_interpreted(rule, [_some(f, rows) for f in frames], state) for rows in portions])


def _interpreted(rule: Rule, frames: Sequence[Frame], state: State) -> Array:
    """The drive of each example as the rule says it, fresh states and all."""
    import numpy as np

    synapse, mask = rule.synapse, state.mask(rule.synapse.name)
    expr = total([t.expr() for t in rule.terms], span=synapse.span)
    fresh = _resets(synapse, state)
    found = np.zeros((frames[0].batch.size, synapse.post_size, synapse.pre_size))
    for frame in frames:
        found += evaluate(expr, frame, _site(synapse, state, fresh, {}))
        fresh = _advanced(synapse, state, fresh, frame)
    return found if mask is None else found * mask


def _advanced(synapse: Synapse, state: State, fresh: dict[str, Array], frame: Frame) -> dict[str, Array]:
    """The fresh states after a tick."""
    import numpy as np

    if not fresh:
        return fresh
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
