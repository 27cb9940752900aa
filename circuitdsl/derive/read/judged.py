"""In which tick a learning synapse can be judged, and why some cannot: what keeps the gradient of one tick from being
the gradient of the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from circuitdsl.derive.read.roles import equations
from circuitdsl.derive.read.ticks import (
    Moment,
    before,
    carried_inputs,
    folded,
    is_zero,
    moments_of,
    moments_of_loss,
)
from circuitdsl.graph import ir
from circuitdsl.graph.flow import all_sources, reached_from
from circuitdsl.twin.paths import graded_synapses, learning_synapses, settle, steps_to_loss
from circuitdsl.twin.spread import carried_to_loss


@dataclass(slots=True)
class Judge:
    """The ticks of one circuit, as far as verdicts ask for them."""

    circuit: ir.Circuit
    moments: tuple[Moment, ...] = field(init=False)
    read: tuple[Moment, ...] = field(init=False)  # where the loss is read
    carried: dict[str, str] = field(init=False)
    inputs: dict[str, str] | None = None  # those of the view that is asked about

    def __post_init__(self) -> None:
        self.moments = moments_of(self.circuit)
        self.read = moments_of_loss(self.circuit, self.moments)
        self.carried = self._carried() if self.read else {}

    def _carried(self) -> dict[str, str]:
        def at(moment: Moment) -> Callable[[ir.Expr], ir.Expr]:
            return lambda e: folded(e, moment)

        last = self.read[-1]
        past = [at(m) for m in before(last, self.moments) if not m.train]
        return carried_to_loss(settle(self.circuit), at(last), past)

    def steps(self) -> dict[str, str]:
        """The learning synapses that reach the loss through steps only, and why that decides nothing."""
        graded, found = set(graded_synapses(self.circuit)), {}
        barred = [n for n in learning_synapses(self.circuit) if n not in graded]
        if barred:
            settled = settle(self.circuit)
            for name in barred:
                through = steps_to_loss(settled, self.circuit.synapses[name].dendrite)
                where = f" ({', '.join(f'`{v}`' for v in through)})" if through else ""
                why = f"its only way to the loss runs through a step{where}"
                found[name] = f"{why}: the gradient is 0 almost everywhere"
        return found

    def obstacle(self, synapse: str, driven: Sequence[Moment], view: ir.Circuit) -> str | None:
        """Why a rule that moves its weight in some moments is not judged in the one in which the loss is read, whose
        view is given; None if it is."""
        if not self.read:
            return "evaluation has no tick in which the loss is read"
        (moment, *others) = self.read
        by = self.carried.get(self.circuit.synapses[synapse].dendrite)
        if by is not None:
            return f"its current reaches the loss in later ticks too (by `{by}`): the gradient runs through all of them"
        if others:
            return f"the loss is read in several ticks of `{moment.phase}` that are not alike"
        away = [m for m in driven if m != moment]
        if away and moment not in driven:
            return f"in the tick in which the loss is read its rule is 0: it runs in {phases(away, moment)}"
        if away:
            return f"its rule runs in other ticks too ({phases(away, moment)}) than that in which the loss is read"
        if not moment.single and self.circuit.schedule.update == "tick":
            return "weights move between the ticks over which the loss is averaged (`update = tick`)"
        if any(s.update is not None for s in self.circuit.synapses[synapse].states if s.fresh) and moment.tick:
            return "its trace carries over from tick to tick"
        return self._not_as_evaluated(synapse, moment, view)

    def _not_as_evaluated(self, synapse: str, moment: Moment, view: ir.Circuit) -> str | None:
        """Why what earlier ticks left is not the same in training as in evaluation."""
        left = self._left(synapse, view)
        training = [m for m in self.moments if m.train and m.tick < moment.tick]
        if training:
            if left:
                return f"`{min(left)}` comes from the ticks of `{training[0].phase}` too, which evaluation has not"
            if any(isinstance(e, ir.Tick) for v in self.circuit.values.values() for e in _parts(v)):
                return f"`tick` counts those of `{training[0].phase}` too, which evaluation has not"
        flagged = {v.name for v in self.circuit.values.values() if left and _asks_for_training(v)}
        unlike = left & reached_from(all_sources(self.circuit), flagged) if flagged else set()
        return f"`{min(unlike)}` is not the same in training and in evaluation" if unlike else None

    def _left(self, synapse: str, view: ir.Circuit) -> set[str]:
        """What earlier ticks left of which the loss or the rule makes use."""
        assert view.loss is not None
        if self.inputs is None:
            self.inputs = carried_inputs(view, self.circuit)
        if not self.inputs:
            return set()
        rule, sources = view.synapses[synapse], all_sources(view)
        waiting = [r.value for e in (view.loss.expr, *equations(rule)) for r in ir.reads(e)] + [rule.source.value]
        asked: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in asked:
                asked.add(name)
                waiting += sources[name]
        return {by for name, by in self.inputs.items() if name in asked}

    def drifting(self, synapse: str, view: ir.Circuit) -> tuple[str, ...]:
        """What changes for good between the ticks of which something is left for this synapse: others that learn, and
        `keep` states. In evaluation they are from the start what they have become."""
        left = self._left(synapse, view)
        if not left:
            return ()
        (moment,) = self.read
        earlier = [m for m in self.moments if m.tick < moment.tick]
        changing = {v.name: (v.name, v.update) for v in self.circuit.values.values() if v.lifetime is ir.Lifetime.KEEP}
        if self.circuit.schedule.update == "tick":
            changing |= {s.name: (s.dendrite, s.dw) for s in self.circuit.synapses.values()}
        sources = all_sources(self.circuit)
        return tuple(
            name
            for name, (value, update) in changing.items()
            if update is not None
            and any(not is_zero(folded(update, m)) for m in earlier)
            and left & reached_from(sources, {value})
        )


def phases(moments: Iterable[Moment], beside: Moment | None = None) -> str:
    """`free`, or the last tick of it: moments by name; those of the phase of `beside` in full."""
    return ", ".join(dict.fromkeys(f"`{m.phase}`" if beside is None or m.phase != beside.phase else _ticks(m)
                                   for m in moments))  # fmt: skip


def _ticks(moment: Moment) -> str:
    if moment.first and moment.last:
        return f"`{moment.phase}`"
    which = "the first tick" if moment.first else "the last tick" if moment.last else "other ticks"
    return f"{which} of `{moment.phase}`"


def _asks_for_training(value: ir.Value) -> bool:
    return any(isinstance(e, ir.Flag) and e.which == "train" for e in _parts(value))


def _parts(value: ir.Value) -> Iterator[ir.Expr]:
    """Every part of the equations of a value."""
    return (e for x in (value.expr, value.update) if x is not None for e in ir.walk(x))
