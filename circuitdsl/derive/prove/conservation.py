"""The flow of `<W, -grad>` through a circuit: one linear equation for each value whose equation scales.

theory.md, section 3, "The stationary flow". With G = E[delta r^T] the flow of a synapse is f = <W, G>, how fast the
loss falls as its weights grow in proportion; that of a value x that an equation y reads is E[x . (-dloss/dy) dy/dx].
Where y is of degree k in some of what it reads (derive/read/homogeneity.py), Euler's rule makes the flow in through
these k times the flow out of y. Currents are of degree 1 in themselves. This holds in every state and for every
example, so an equation says nothing of learning. Flows into the loss, through equations that do not scale, and from
what no weight reaches are unknowns like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from fractions import Fraction

from circuitdsl.derive.algebra.constants import Constants
from circuitdsl.derive.algebra.linear import combination
from circuitdsl.derive.read.homogeneity import Degree, Scaling
from circuitdsl.frozen import frozen, mutable
from circuitdsl.graph import ir
from circuitdsl.twin.paths import Settled, alive_values, differentiable_reads, settle

#: An equation that reads more values is asked for its degree in all of them at once only.
MANY_READS = 16


@frozen(order=True)
class Synaptic:
    """The flow through a synapse."""

    synapse: str


@frozen(order=True)
class Wired:
    """The flow of a value through an equation that reads it."""

    value: str
    reader: str


Flow = Synaptic | Wired
Flowing = tuple[Fraction, Mapping[Flow, Fraction]]


@frozen(kw_only=True)
class Equation:
    """`row = 0` in every state. `value`: at which value; `elementwise`: it holds for each unit by itself."""

    value: str
    row: Mapping[Flow, Fraction]
    elementwise: bool


@mutable
class Flows:
    """The flows of one circuit of one tick. `equations`: those nearest to the loss first, in an order that is not
    the text's; `closed`: the reads of each equation that it does not scale with."""

    settled: Settled
    constants: Constants
    synapses: frozenset[str] = frozenset()
    weighted: frozenset[str] = frozenset()
    closed: dict[str, frozenset[str]] = field(default_factory=dict)
    depths: dict[str, tuple[int, str]] = field(default_factory=dict)
    equations: list[Equation] = field(default_factory=list)

    def population(self, value: str) -> str:
        """The population of a value; a modulator is its own."""
        return self.settled.circuit.values[value].population or value

    def reader(self, flow: Flow) -> str:
        """The value that a flow goes into."""
        return self.settled.circuit.synapses[flow.synapse].dendrite if isinstance(flow, Synaptic) else flow.reader

    def place(self, flow: Flow) -> str:
        """The population that a flow goes into; the loss is its own."""
        reader = self.reader(flow)
        return reader if reader == "loss" else self.population(reader)

    def joins(self, flow: Flow) -> bool:
        """Whether a flow goes from one population into another, and not within one, or into the loss."""
        return isinstance(flow, Synaptic) or self.population(flow.value) != self.place(flow) != "loss"

    def depth(self, flow: Flow) -> int:
        """How far from the loss a flow goes in."""
        return self.depths.get(self.reader(flow), (0, ""))[0]


def flows_of(circuit: ir.Circuit, constants: Constants) -> Flows:
    """The flows of a circuit with a loss whose examples are one tick."""
    flows = Flows(settle(circuit), constants)
    settled = flows.settled
    alive = alive_values(settled).now
    reads = {name: _reads(settled, name) for name in sorted(alive)}
    flows.weighted = _weighted(settled, reads)
    flows.synapses = frozenset(c.synapse for name in reads for c in _currents(settled, name))
    outgoing: dict[str, list[Flow]] = {name: [] for name in reads}
    for name, found in reads.items():
        for read in found:
            outgoing.setdefault(read, []).append(Wired(read, name))
        for current in _currents(settled, name):
            outgoing.setdefault(current.source.value, []).append(Synaptic(current.synapse))
    flows.depths = _depths(settled, reads)
    for name in sorted(flows.depths, key=flows.depths.__getitem__):
        if name in flows.weighted:
            flows.equations += _equations(flows, name, reads[name], outgoing[name])
    return flows


def _currents(settled: Settled, name: str) -> Iterator[ir.Current]:
    value = settled.circuit.values.get(name)
    return (c for c in (value.currents if value is not None else ()) if not settled.silent(c.source))


def _reads(settled: Settled, name: str) -> tuple[str, ...]:
    """The values that an equation depends on differentiably, each once."""
    expr = settled.exprs.get(name)
    return () if expr is None else tuple(sorted({r.value for r in differentiable_reads(expr)}))


def _weighted(settled: Settled, reads: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """The values that depend on weights."""
    readers: dict[str, list[str]] = {}
    for name, found in reads.items():
        for read in found:
            readers.setdefault(read, []).append(name)
    waiting = [name for name in reads if any(_currents(settled, name))]
    seen = set(waiting)
    while waiting:
        new = [r for r in readers.get(waiting.pop(), ()) if r not in seen]
        seen.update(new)
        waiting += new
    return frozenset(seen)


def _depths(settled: Settled, reads: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[int, str]]:
    """How far each value is from the loss, on the longest way, with its name."""
    depth = dict.fromkeys(reads, 0)
    for name in ("loss", *reversed(settled.circuit.order)):
        if name in depth:
            for read in (*reads[name], *(c.source.value for c in _currents(settled, name))):
                if read in depth:
                    depth[read] = max(depth[read], depth[name] + 1)
    return {name: (depth[name], name) for name in depth if name != "loss"}


def _equations(flows: Flows, name: str, reads: tuple[str, ...], outgoing: list[Flow]) -> Iterator[Equation]:
    """What is known of the flow through one value."""
    expr = flows.settled.exprs.get(name)
    one, inward = Fraction(1), _currents(flows.settled, name)
    through: list[Flowing] = [(one, {Synaptic(c.synapse): one}) for c in inward]
    through += [(-one, {flow: one}) for flow in outgoing]
    moving = tuple(r for r in reads if r in flows.weighted)
    elementwise = expr is None or _is_elementwise(expr)
    if expr is None or _is_zero(flows, expr):
        flows.closed[name] = frozenset()
        yield Equation(value=name, row=combination(through), elementwise=elementwise)
        return
    groups = list(_groups(flows, expr, moving))
    flows.closed[name] = frozenset(moving) - {r for group, _ in groups for r in group}
    for group, degree in groups:
        wires: list[Flowing] = [(one, {Wired(r, name): one}) for r in group]
        row = combination([*wires, *((degree * number, flow) for number, flow in through)])
        yield Equation(value=name, row=row, elementwise=elementwise)


def _groups(flows: Flows, expr: ir.Expr, moving: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Fraction]]:
    """Values that an equation scales with, one at a time or together, with the degree. (An equation that is 0 has
    any degree: no flow goes through it, and 0 will do.)"""

    def degree(of: tuple[str, ...]) -> Degree:
        return Scaling(flows.constants, lambda r: r.value in of).degree(expr)

    rest = moving
    if len(moving) <= MANY_READS:
        alone = {r: degree((r,)) for r in moving}
        for r, found in alone.items():
            if found is not None:
                yield (r,), Fraction(0) if found == "any" else found
        rest = tuple(r for r in moving if alone[r] is None)
    together = degree(rest) if rest else None
    if together is not None and len(rest) + (len(moving) > MANY_READS) > 1:
        yield rest, Fraction(0) if together == "any" else together


def _is_zero(flows: Flows, expr: ir.Expr) -> bool:
    return Scaling(flows.constants, lambda _: False).degree(expr) == "any"


def _is_elementwise(expr: ir.Expr) -> bool:
    """Whether each unit's result depends on that unit alone, as far as derivatives go."""
    mixing = (e for e in ir.walk(expr) if isinstance(e, ir.Reduce) or (isinstance(e, ir.Over) and e.function != "kwta"))
    return next(mixing, None) is None
