"""Which populations have the same number of units because equations read them unit by unit.

Populations that are wired one to one, by equations or by a synapse, are partners in a rule, or stand in one reduction
share an extent, so that loops over them can be fused and the verifier can tell a wrong index. Equal sizes alone do not
count: the program would then change when a size does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from circuitdsl.graph.ir import Axis, Circuit, Expr, Read, Reduce, Value, children

#: The extent of scalars and of populations of one unit.
ONE = "1"


class Extents:
    """Classes of populations of equal size; a class is named by the first of its populations in the circuit given."""

    def __init__(self, circuit: Circuit):
        self._values = circuit.values
        self._parent = {name: name for name in circuit.populations}
        self._rank = {name: i for i, name in enumerate(circuit.populations)}
        for value in circuit.values.values():
            self._neurons(value)
        for synapse in circuit.synapses.values():
            source = self._population(synapse.source.value)
            self._join([synapse.pre, source, *([synapse.post] if synapse.joins_partners else [])])
            equations = [synapse.dw, *(s.update for s in synapse.states), *(d.expr for d in synapse.drives)]
            for expr in (e for e in equations if e is not None):
                for axis, own in ((Axis.PRE, synapse.pre), (Axis.POST, synapse.post)):
                    self._equation(expr, axis, own)

    def of(self, value: str) -> str:
        """The population that names the extent of a value, ONE for scalars and populations of one unit."""
        found = self._values[value]
        if found.size == 1 or found.population is None:
            return ONE
        return self._find(found.population)

    def of_reduction(self, reduce: Reduce) -> str:
        """The extent that a reduction runs over."""
        if reduce.size == 1:
            return ONE
        for argument in reduce.arguments:
            for read in _reads_outside_reductions(argument):
                if self._values[read.value].size == reduce.size:
                    return self.of(read.value)
        return next(self._find(v.population) for v in self._values.values()
                    if v.population is not None and v.size == reduce.size)  # fmt: skip

    def _neurons(self, value: Value) -> None:
        for expr in (value.expr, value.update):
            if expr is not None:
                self._equation(expr, Axis.OWN, value.population)

    def _equation(self, expr: Expr, axis: Axis, own: str | None) -> None:
        read = [r for r in _reads_outside_reductions(expr) if r.axis is axis]
        self._join([own, *(self._population(r.value) for r in read)])
        for reduce in _reductions(expr):
            inside = [r for a in reduce.arguments for r in _reads_outside_reductions(a) if r.axis is Axis.OWN]
            self._join([self._population(r.value) for r in inside])

    def _population(self, value: str) -> str | None:
        return self._values[value].population

    def _find(self, population: str) -> str:
        parent = self._parent
        while parent[population] != population:
            parent[population] = parent[parent[population]]  # the next search is half as long
            population = parent[population]
        return population

    def _join(self, populations: Iterable[str | None]) -> None:
        """Makes one class of those that have more than one unit."""
        roots = [self._find(p) for p in populations if p is not None and self._values[p].size > 1]
        if not roots:
            return
        first = min(roots, key=self._rank.__getitem__)
        for root in roots:
            assert self._values[root].size == self._values[first].size, f"{root} and {first} differ in size"
            self._parent[root] = first


def _reads_outside_reductions(expr: Expr) -> Iterator[Read]:
    if isinstance(expr, Read):
        yield expr
    elif not isinstance(expr, Reduce):
        for child in children(expr):
            yield from _reads_outside_reductions(child)


def _reductions(expr: Expr) -> Iterator[Reduce]:
    if isinstance(expr, Reduce):
        yield expr
    for child in children(expr):
        yield from _reductions(child)
