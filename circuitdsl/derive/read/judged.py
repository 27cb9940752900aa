"""In which tick a learning synapse can be judged, and why some cannot: what keeps the gradient of one tick from being
the gradient of the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field

from circuitdsl.derive.algebra.obstacles import (
    LaterTicks,
    LeftByTraining,
    LossNotRead,
    LossTicksDiffer,
    MovesBetween,
    OfTicks,
    RunsElsewhere,
    RunsOutside,
    Stretch,
    ThroughSteps,
    TickCounts,
    TraceCarries,
    UnlikeEvaluation,
)
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
from circuitdsl.frozen import mutable
from circuitdsl.graph import ir
from circuitdsl.graph.flow import all_sources, reached_from
from circuitdsl.twin.paths import graded_synapses, learning_synapses, settle, steps_to_loss
from circuitdsl.twin.spread import carried_to_loss


@mutable
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

    def steps(self) -> dict[str, ThroughSteps]:
        """The learning synapses that reach the loss through steps only, and why that decides nothing."""
        graded, found = set(graded_synapses(self.circuit)), {}
        barred = [n for n in learning_synapses(self.circuit) if n not in graded]
        if barred:
            settled = settle(self.circuit)
            for name in barred:
                found[name] = ThroughSteps(tuple(steps_to_loss(settled, self.circuit.synapses[name].dendrite)))
        return found

    def obstacle(self, synapse: str, driven: Sequence[Moment], view: ir.Circuit) -> OfTicks | None:
        """Why a rule that moves its weight in some moments is not judged in the one in which the loss is read, whose
        view is given; None if it is."""
        if not self.read:
            return LossNotRead()
        (moment, *others) = self.read
        by = self.carried.get(self.circuit.synapses[synapse].dendrite)
        if by is not None:
            return LaterTicks(by)
        if others:
            return LossTicksDiffer(moment.phase)
        away = [m for m in driven if m != moment]
        if away and moment not in driven:
            return RunsElsewhere(stretches(away, moment))
        if away:
            return RunsOutside(stretches(away, moment))
        if not moment.single and self.circuit.schedule.update == "tick":
            return MovesBetween()
        if any(s.update is not None for s in self.circuit.synapses[synapse].states if s.fresh) and moment.tick:
            return TraceCarries()
        return self._not_as_evaluated(synapse, moment, view)

    def _not_as_evaluated(self, synapse: str, moment: Moment, view: ir.Circuit) -> OfTicks | None:
        """Why what earlier ticks left is not the same in training as in evaluation."""
        left = self._left(synapse, view)
        training = [m for m in self.moments if m.train and m.tick < moment.tick]
        if training:
            if left:
                return LeftByTraining(min(left), training[0].phase)
            if any(isinstance(e, ir.Tick) for v in self.circuit.values.values() for e in _parts(v)):
                return TickCounts(training[0].phase)
        flagged = {v.name for v in self.circuit.values.values() if left and _asks_for_training(v)}
        unlike = left & reached_from(all_sources(self.circuit), flagged) if flagged else set()
        return UnlikeEvaluation(min(unlike)) if unlike else None

    def _left(self, synapse: str, view: ir.Circuit) -> set[str]:
        """What earlier ticks left of which the loss or the rule makes use."""
        assert view.loss is not None
        if self.inputs is None:
            self.inputs = carried_inputs(view)
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


def stretches(moments: Iterable[Moment], beside: Moment | None = None) -> tuple[Stretch, ...]:
    """Moments by their phases, each once; those of the phase of `beside` by their ticks."""
    found = (Stretch(m.phase) if beside is None or m.phase != beside.phase else _ticks(m) for m in moments)
    return tuple(dict.fromkeys(found))


def _ticks(moment: Moment) -> Stretch:
    if moment.first and moment.last:
        return Stretch(moment.phase)
    return Stretch(moment.phase, "first" if moment.first else "last" if moment.last else "other")


def _asks_for_training(value: ir.Value) -> bool:
    return any(isinstance(e, ir.Flag) and e.which == "train" for e in _parts(value))


def _parts(value: ir.Value) -> Iterator[ir.Expr]:
    """Every part of the equations of a value."""
    return (e for x in (value.expr, value.update) if x is not None for e in ir.walk(x))
