"""In which tick a learning synapse can be judged, and why some cannot: what keeps the gradient of one tick from being
the gradient of the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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
        graded = set(graded_synapses(self.circuit))
        found: dict[str, str] = {}
        for name in learning_synapses(self.circuit):
            if name not in graded:
                through = steps_to_loss(settle(self.circuit), self.circuit.synapses[name].dendrite)
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
            for name in sorted(left):
                return f"`{name}` comes from the ticks of `{training[0].phase}` too, which evaluation has not"
            if any(isinstance(e, ir.Tick) for v in self.circuit.values.values() for x in (v.expr, v.update) if x
                   for e in ir.walk(x)):  # fmt: skip
                return f"`tick` counts those of `{training[0].phase}` too, which evaluation has not"
        flagged = {v.name for v in self.circuit.values.values() if _asks_for_training(v)}
        for name in sorted(left & reached_from(all_sources(self.circuit), flagged)):
            return f"`{name}` is not the same in training and in evaluation"
        return None

    def _left(self, synapse: str, view: ir.Circuit) -> set[str]:
        """What earlier ticks left of which the loss or the rule makes use."""
        assert view.loss is not None
        inputs = carried_inputs(view, self.circuit)
        if not inputs:
            return set()
        rule, sources = view.synapses[synapse], all_sources(view)
        waiting = [r.value for e in (view.loss.expr, *equations(rule)) for r in ir.reads(e)] + [rule.source.value]
        asked: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in asked:
                asked.add(name)
                waiting += sources[name]
        return {by for name, by in inputs.items() if name in asked}

    def drifting(self, synapse: str, view: ir.Circuit) -> tuple[str, ...]:
        """The other plastic synapses that learn between the ticks from which something is left for this one."""
        if self.circuit.schedule.update == "example":
            return ()
        left = self._left(synapse, view)
        if not left:
            return ()
        (moment,) = self.read
        sources, found = all_sources(self.circuit), []
        for other in self.circuit.synapses.values():
            earlier = [m for m in self.moments if m.tick < moment.tick]
            learns = other.dw is not None and any(not is_zero(folded(other.dw, m)) for m in earlier)
            if learns and left & reached_from(sources, {other.dendrite}):
                found.append(other.name)
        return tuple(found)


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
    found = (e for x in (value.expr, value.update) if x is not None for e in ir.walk(x))
    return any(isinstance(e, ir.Flag) and e.which == "train" for e in found)
