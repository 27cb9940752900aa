"""Whether a weight reaches the loss through one tick of its current, or through several.

The gradient of a weight is the sum over ticks of `d loss / d current` times what the current carries. A current of an
earlier tick can reach the loss only by what is carried over: a state that it moves, or a `prev`. Where it reaches
none of these, what remains is the gradient of one tick, as in a circuit that has no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from circuitdsl.graph import ir
from circuitdsl.twin.paths import Settled, differentiable_reads

#: An equation as it is at some tick.
At = Callable[[ir.Expr], ir.Expr]


def carried_to_loss(settled: Settled, now: At, earlier: Iterable[At]) -> dict[str, str]:
    """The values that reach the loss through a later tick than their own, each with the first thing on its way that
    is carried over. `now`: equations at the tick at which the loss is read; `earlier`: at those before, among them
    `now` itself, if it stands for several."""
    past = tuple(earlier)
    if not past:
        return {}
    found: dict[str, str] = {}
    waiting = list(_carried(settled, _instant(settled, now), now, past))
    while waiting:
        name, by = waiting.pop()
        if name in found or not settled.movable(name):
            continue
        found[name] = by
        for at in past:
            waiting += ((r.value, by) for r in _reads(settled, name, at))
            waiting += ((r.value, by) for r in _update_reads(settled, name, at))
    return found


def _instant(settled: Settled, now: At) -> set[str]:
    """The values that reach the loss within the tick at which it is read."""
    found: set[str] = set()
    waiting = ["loss"]
    while waiting:
        name = waiting.pop()
        if name not in found and settled.movable(name):
            found.add(name)
            waiting += (r.value for r in _reads(settled, name, now) if r.when is ir.When.NOW)
    return found


def _carried(settled: Settled, there: set[str], now: At, past: tuple[At, ...]) -> Iterator[tuple[str, str]]:
    """What the values of that tick take from ticks before, and by which state or `prev`."""
    for name in sorted(there):
        for read in _reads(settled, name, now):
            if read.when is ir.When.PREV:
                yield read.value, f"prev({read.value})"
        for at in past:
            yield from ((r.value, name) for r in _update_reads(settled, name, at))


def _reads(settled: Settled, name: str, at: At) -> Iterator[ir.Read]:
    expr = settled.exprs.get(name)
    if expr is not None:
        yield from differentiable_reads(at(expr))
    value = settled.circuit.values.get(name)
    for current in value.currents if value is not None else ():
        yield current.source


def _update_reads(settled: Settled, name: str, at: At) -> Iterator[ir.Read]:
    update = settled.updates.get(name)
    if update is not None:
        yield from differentiable_reads(at(update))
