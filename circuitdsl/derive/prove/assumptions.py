"""Which hypotheses a relation, or a way of comparing a credit with its gradient, brings with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import field
from functools import lru_cache

from circuitdsl.derive.algebra.notation import signal_text, written
from circuitdsl.derive.prove.hypotheses import (
    AtRest,
    Attracted,
    Hypothesis,
    Lagging,
    Live,
    MeanField,
    Nonempty,
    Nontrivial,
    OffKink,
    OneHot,
    Open,
    Slow,
    SmallSteps,
    Unbound,
)
from circuitdsl.derive.prove.relations import Relation
from circuitdsl.derive.read.constraints import is_free
from circuitdsl.derive.read.drives import Drive
from circuitdsl.derive.read.units import Units
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.graph.names import natural

#: Hypotheses that neglect nothing: with these alone a claim is proved.
PLAIN = (Attracted, OneHot, OffKink, Live, Nontrivial, Nonempty, Open)
#: Hypotheses with which a claim holds in every state all the same.
LASTING = (OneHot, OffKink, Nonempty)


@frozen(eq=False)
class Assumed:
    """What a statement assumes: hypotheses of its `own`, and those of the statements that it stands on. Shared, so
    that a chain of layers has as many as it has layers. `empty`: there are none; `proved`: nothing is neglected;
    `lasting`: it holds in every state; `rests`: it holds at rest."""

    own: tuple[Hypothesis, ...] = ()
    by: tuple[Assumed, ...] = ()
    empty: bool = field(init=False)
    proved: bool = field(init=False)
    lasting: bool = field(init=False)
    rests: bool = field(init=False)

    def __post_init__(self) -> None:
        for name, found in (
            ("empty", not self.own and all(b.empty for b in self.by)),
            ("proved", all(isinstance(h, PLAIN) for h in self.own) and all(b.proved for b in self.by)),
            ("lasting", all(isinstance(h, LASTING) for h in self.own) and all(b.lasting for b in self.by)),
            ("rests", any(isinstance(h, AtRest) for h in self.own) or any(b.rests for b in self.by)),
        ):
            object.__setattr__(self, name, found)

    def all(self) -> tuple[Hypothesis, ...]:
        """Every hypothesis once, in an order of their own."""
        found: dict[Hypothesis, None] = {}
        seen: set[Assumed] = set()
        waiting = [self]
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                found |= dict.fromkeys(node.own)
                waiting += node.by
        return unique(found)

    def nearest(self) -> tuple[Hypothesis, ...]:
        """Those of the statement itself and of what arrives at its neuron."""
        near = [self, *self.by, *(node for each in self.by for node in each.by)]
        return unique(h for node in near for h in node.own)


#: Masks that are drawn, or read from a file: what they hold is not looked into.
DRAWN = frozenset({"sparse", "fan_in", "file"})


def of_relation(circuit: ir.Circuit, relation: Relation) -> Iterator[Hypothesis]:
    """What has to be so for a relation to hold in a state."""
    one, two = (circuit.synapses[name] for name in relation.synapses)
    match relation.holds:
        case "tied":
            pass
        case "exact" | "attracted":
            yield Attracted(one.name, two.name)
        case "slow":
            yield Attracted(one.name, two.name)
            yield SmallSteps(one.name)
        case "rest":
            for synapse in (one, two):
                yield from at_rest(synapse)
    yield from relation.assumes
    yield from map(MeanField, relation.gates)
    yield from of_masks(circuit, relation.synapses)


def at_rest(synapse: ir.Synapse) -> Iterator[Hypothesis]:
    """A plastic synapse at rest, away from its bounds."""
    yield AtRest(synapse.name)
    if not is_free(synapse):
        yield Unbound(synapse.name)


def of_drive(drive: Drive) -> Iterator[Hypothesis]:
    """What the way from the drive of a rule to its weight neglects."""
    if drive.passage.trace:
        yield Slow(drive.synapse)
    if drive.passage.lagging:
        yield Lagging(drive.synapse)
    if drive.passage.vanishing and drive.passage.scale is not None:
        yield Open(drive.synapse, drive.passage.scale)


def of_masks(circuit: ir.Circuit, synapses: Iterable[str]) -> Iterator[Hypothesis]:
    """Masks that could be empty."""
    for name in synapses:
        if any(mask.which in DRAWN for mask in circuit.synapses[name].connect):
            yield Nonempty(name)


def of_units(units: Units) -> Iterator[Hypothesis]:
    """What the equations of units have been read with."""
    yield from map(OneHot, sorted(units.assumed))
    yield from map(OffKink, units.arithmetic.kinks)


def unique(hypotheses: Iterable[Hypothesis]) -> tuple[Hypothesis, ...]:
    """Each once, in an order of their own."""
    return tuple(sorted(dict.fromkeys(hypotheses), key=_place))


@lru_cache(maxsize=1 << 16)  # a chain of layers asks for the same ones in each of them
def _place(hypothesis: Hypothesis) -> tuple[object, ...]:
    match hypothesis:
        case MeanField(gate=gate):
            of = signal_text(gate)
        case OffKink(kink=kink):
            of = written(kink.argument)
        case _:
            of = str(hypothesis)
    return type(hypothesis).__name__, natural(of)
