"""When a run diverges: which synapse or population, at which example, and what to try.

That something is not finite is noticed after the fact. The exact place is found by running the epoch
again from its start, in halves: a run is a function of its seed, so it goes wrong in the same place.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from circuitdsl.diagnostics import Diagnostic, Label
from circuitdsl.frozen import frozen
from circuitdsl.graph.blocks import all_finite, norm
from circuitdsl.graph.ir import Apply, Circuit, Expr, Num, ParamRef, Synapse, Weight, walk
from circuitdsl.graph.numbers import evaluate
from circuitdsl.runtime.stability import note_after
from circuitdsl.runtime.state import state_arrays

if TYPE_CHECKING:
    from circuitdsl.graph.machine import Indices, Numbers, State
    from circuitdsl.runtime.simulate import Loop

#: Over how many updates before the end a growth rate is measured.
LOOK_BACK = 10
#: The norm of a synapse that nothing but divergence gives.
TOO_LARGE = 1e6
#: How many examples are watched at a time when a population is sought.
SLICE = 256


def is_finite(state: State) -> bool:
    """Whether every weight and every state that survives an example is finite."""
    return not bad_names(state)


def bad_names(state: State) -> list[str]:
    """The names (`W1`, `W1.m`, `h.v`) whose arrays hold something that is not finite."""
    return [name for name, array in state_arrays(state).items() if not all_finite(array)]


@frozen
class _Place:
    """The first bad update of an epoch, from 1, the states before and after it, and the norm of
    the array that went wrong after each of the last updates before."""

    update: int
    before: State
    name: str
    norms: list[float]


def bad_update(loop: Loop, epoch: int, start: State, order: Indices, upper: int, offset: int) -> Diagnostic:
    """C070 for an epoch that was finite at `start` and no longer after `upper` of its updates;
    `offset` updates were done before it."""
    place = _locate(loop, epoch, start, order, upper)
    if place is None:
        title = f"`{loop.engine.circuit.name}` diverged in epoch {epoch + 1}, within {upper:,} updates"
        return Diagnostic(code="C070", title=title, span=loop.engine.circuit.span)
    examples = order[(place.update - 1) * loop.batch : place.update * loop.batch]
    which = f"example {examples[0]}" if len(examples) == 1 else f"the batch of example {examples[0]}"
    when = f"update {offset + place.update:,} (epoch {epoch + 1}, {which} of the data)"
    return _diagnostic(loop, epoch, start, place, examples, when)


def _diagnostic(loop: Loop, epoch: int, start: State, place: _Place, examples: Indices, when: str) -> Diagnostic:
    circuit = loop.engine.circuit
    notes = []
    growth = _growth(place.norms)
    synapse = circuit.synapses.get(place.name) or circuit.synapses.get(place.name.rpartition(".")[0])
    if growth is not None:
        notes.append(
            f"before that the norm of `{place.name}` was {place.norms[-1]:.3g}: "
            f"{_per_update(growth)} over the last {len(place.norms) - 1} updates"
        )
    dw = None if synapse is None else synapse.dw
    if dw is not None and synapse is not None and place.name == synapse.name:
        notes.append(_decay(dw, loop))
        fed = note_after(loop, start, place.name, epoch=epoch)
        notes += [] if fed is None else [f"at the start of that epoch {fed}"]
    signal = _bad_value(loop, epoch, place.before, examples)
    if signal is not None:
        notes.append(f"at that example `{signal[0]}` is no longer finite")
    if synapse is None:
        value = circuit.values.get(place.name)
        span = circuit.span if value is None else value.update_span or value.span
        labels: tuple[Label, ...] = ()
    else:
        span = synapse.dw_span or synapse.span
        labels = () if synapse.dw_span is None else (Label(synapse.span, "this synapse"),)
    return Diagnostic(
        code="C070",
        title=f"`{place.name}` diverged at {when}",
        span=span,
        label="no longer finite",
        labels=labels,
        notes=tuple(notes),
        hint=_advice(circuit, dw, loop.numbers, bounded=synapse is None or synapse.bounds is not None),
    )


def bad_evaluation(loop: Loop, epoch: int, state: State, before: State | None) -> Diagnostic:
    """C070 for a loss that is not finite on the test set although every weight is: because of a
    synapse that grew too large in the epoch that started at `before`, or of a population."""
    circuit = loop.engine.circuit
    grown = None if before is None else _grown(loop, state, before)
    if grown is not None:
        return _too_large(loop, epoch, *grown)
    when = "before training" if epoch == 0 else f"after epoch {epoch}"
    found = _bad_value(loop, epoch, state, loop.dataset.test)
    hint = "the weights are small: look for a logarithm, a division or an exponential of a large number"
    if found is None:
        span = circuit.loss.span if circuit.loss else circuit.span
        return Diagnostic(code="C070", title=f"the `loss` is not finite {when}", span=span, hint=hint)
    name, example = found
    title = f"`{name}` is not finite in the evaluation {when} (example {example} of the data)"
    span = circuit.values[name].span
    return Diagnostic(code="C070", title=title, span=span, label="not finite", hint=hint)


def _grown(loop: Loop, state: State, before: State) -> tuple[Synapse, float, float] | None:
    """The plastic synapse with the largest norm, if that is beyond all reason, the norm, and the
    factor per update by which it grew."""
    plastic = [s for s in loop.engine.circuit.synapses.values() if s.dw is not None]
    if not plastic:
        return None
    synapse = max(plastic, key=lambda s: _norm(state, s.name))
    size = _norm(state, synapse.name)
    if size < TOO_LARGE:
        return None
    growth = (size / max(_norm(before, synapse.name), 1e-30)) ** (1 / loop.updates_per_epoch)
    return synapse, size, growth


def _too_large(loop: Loop, epoch: int, synapse: Synapse, size: float, growth: float) -> Diagnostic:
    dw = synapse.dw
    assert dw is not None
    return Diagnostic(
        code="C070",
        title=f"`{synapse.name}` diverged in epoch {epoch}: its norm is {size:.3g}, the loss not finite",
        span=synapse.dw_span or synapse.span,
        label="grows without end",
        notes=(f"{_per_update(growth)} in that epoch of {loop.updates_per_epoch:,} updates", _decay(dw, loop)),
        hint=_advice(loop.engine.circuit, dw, loop.numbers, bounded=synapse.bounds is not None),
    )


# ---------------------------------------------------------------- finding the place


def _locate(loop: Loop, epoch: int, start: State, order: Indices, upper: int) -> _Place | None:
    """Halves the stretch between a finite state and a bad one until one update is left."""
    good, low, high = start.copy(), 0, upper
    if is_finite(_after(loop, epoch, good, order, low, high)):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        state = _after(loop, epoch, good, order, low, middle)
        if is_finite(state):
            good, low = state, middle
        else:
            high = middle
    name = bad_names(_after(loop, epoch, good, order, low, high))[0]
    first = max(0, low - LOOK_BACK)
    state = _after(loop, epoch, start, order, 0, first)
    norms = [_norm(state, name)]
    for update in range(first, low):
        state = _after(loop, epoch, state, order, update, update + 1)
        norms.append(_norm(state, name))
    return _Place(high, good, name, norms)


def _after(loop: Loop, epoch: int, state: State, order: Indices, low: int, high: int) -> State:
    """A copy of the state, trained on the updates from `low` to `high` of the epoch."""
    copy = state.copy()
    if high > low:
        examples = order[low * loop.batch : high * loop.batch]
        loop.engine.train(
            copy, loop.dataset.arrays, examples, loop.numbers, seed=loop.seed, epoch=epoch, batch=loop.batch
        )
    return copy


def _norm(state: State, name: str) -> float:
    return norm(state_arrays(state)[name])


def _bad_value(loop: Loop, epoch: int, state: State, examples: Indices) -> tuple[str, int] | None:
    """The first value in the order of evaluation that is not finite, and at which example."""
    import numpy as np

    circuit = loop.engine.circuit
    names = tuple(circuit.order)
    for start in range(0, len(examples), SLICE):
        some = examples[start : start + SLICE]
        found = loop.engine.evaluate(
            state, loop.dataset.arrays, some, loop.numbers, seed=loop.seed, epoch=epoch, watch=names
        )
        for name in names:
            bad = ~np.isfinite(found.watched[name]).reshape(len(some), -1).all(axis=1)
            if bad.any():
                return name, int(some[int(bad.argmax())])
    return None


# ---------------------------------------------------------------- what to say


def _growth(norms: list[float]) -> float | None:
    """The mean factor per update by which a norm grew."""
    if len(norms) < 2 or norms[0] <= 0 or norms[-1] <= 0:
        return None
    return math.exp((math.log(norms[-1]) - math.log(norms[0])) / (len(norms) - 1))


def _per_update(growth: float) -> str:
    change = growth - 1
    if abs(change) < 1:
        return f"it changed by {100 * change:+.3g} % per update"
    return f"it grew {growth:.3g} times per update"


def _decay(dw: Expr, loop: Loop) -> str:
    decay = decay_of(dw, loop.numbers)
    if not decay and _reads_weight(dw):
        return "what its rule takes back of each weight is not the same at every update"
    if not decay:
        return "its rule has no decay term of its own"
    return f"its rule takes back {decay:.3g} of each weight per update"


def _reads_weight(dw: Expr) -> bool:
    return any(isinstance(e, Weight) for e in walk(dw))


def decay_of(dw: Expr, numbers: Numbers) -> float:
    """The coefficient of `-w` in an update rule, as far as it is a number: the part of each weight
    that an update takes back."""
    total = 0.0
    for sign, term in _terms(dw, 1.0):
        factors = list(_factors(term))
        rest = [f for f in factors if not isinstance(f, Weight)]
        constant = all(isinstance(e, Num | ParamRef | Apply) for f in rest for e in walk(f))
        if len(rest) == len(factors) - 1 and constant:
            total -= sign * math.prod(evaluate(f, numbers) for f in rest)
    return total


def _terms(expr: Expr, sign: float) -> list[tuple[float, Expr]]:
    match expr:
        case Apply(function="add", arguments=(left, right)):
            return _terms(left, sign) + _terms(right, sign)
        case Apply(function="sub", arguments=(left, right)):
            return _terms(left, sign) + _terms(right, -sign)
        case Apply(function="neg", arguments=(inner,)):
            return _terms(inner, -sign)
        case _:
            return [(sign, expr)]


def _factors(expr: Expr) -> list[Expr]:
    match expr:
        case Apply(function="mul", arguments=(left, right)):
            return _factors(left) + _factors(right)
        case _:
            return [expr]


def _advice(circuit: Circuit, dw: Expr | None, numbers: Numbers, *, bounded: bool) -> str:
    names = [] if dw is None else [e.name for e in walk(dw) if isinstance(e, ParamRef)]
    rates = [n for n in names if n in circuit.params and n.lower().startswith(("eta", "lr", "rate", "alpha"))]
    tries = []
    if rates:
        tries.append(f"a smaller learning rate (`--set {rates[0]}={numbers[rates[0]] / 10:.3g}`)")
    if not bounded:
        tries.append("bounds on its weights (`bounds = [-1, 1]`)")
    if dw is not None:
        tries.append("more decay" if _reads_weight(dw) else "a decay term (`- eta * gamma * w`)")
    return "try " + ", or ".join(tries or ["smaller increments"])
