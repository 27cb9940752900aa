"""What each weight takes when it learns, in fewer instructions: a step of learning does nothing as often.

- A number that all summands of an increment are multiplied by, such as the rate of the presynaptic unit in
  `pre * post - pre^2 * w`, is multiplied once.
- Bounds are two instructions of a processor, the smaller and the larger of two numbers, if the second looks at what the
  first one gave. That is `clip`, where the lower bound is the lower one, as those of a synapse are.

That is for one example at a time and the vectors of a processor; batches add up increments before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from circuitdsl.frozen import frozen
from circuitdsl.lower.equations import factors, product, terms, total
from circuitdsl.lower.loop_ir import (
    Define,
    Dtype,
    Expr,
    Load,
    Loop,
    Op,
    Program,
    Role,
    Statement,
    Store,
    Var,
    expressions,
    names_of,
    statements,
    walk,
)
from circuitdsl.lower.names import Apart
from circuitdsl.lower.powers import as_product
from circuitdsl.lower.rewrite import rewritten_expr, with_phases


def terse(program: Program) -> Program:
    """The program with increments and bounds of weights in fewer instructions."""
    aim = program.aim
    if aim.teams or aim.copies > 1 or program.is_batched or not aim.vectors:
        return program
    weights = frozenset(b.name for b in program.buffers if b.role is Role.WEIGHT)
    return with_phases(program, _Work(weights, Apart(names_of(program))).phase)


@frozen
class _Work:
    """`weights`: the buffers of them."""

    weights: frozenset[str]
    names: Apart

    def phase(self, body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        uses = Counter(e.name for s in statements(body) for x in expressions(s) for e in walk(x) if isinstance(e, Var))
        return self._body(body, uses)

    def _body(self, body: tuple[Statement, ...], uses: Mapping[str, int]) -> tuple[Statement, ...]:
        made: list[Statement] = []
        for s in body:
            match s:
                case Loop():
                    made.append(replace(s, body=self._body(s.body, uses)))
                case Store(add=False) if s.buffer in self.weights:
                    made += self._store(s, made, uses)
                case _:
                    made.append(s)
        return tuple(made)

    def _store(self, store: Store, before: list[Statement], uses: Mapping[str, int]) -> Iterator[Statement]:
        """A new weight; of what stands `before` the increment is changed in place."""
        match before:
            case [*_, Define() as last] if uses.get(last.name) == 1:
                before[-1] = replace(last, value=_factored(last.value))
            case _:
                pass
        match store.value:
            case Op(function="clip", arguments=(value, low, high)):
                within = self.names.free("within")
                new = Var(self.names.free("new"), Dtype.REAL)
                yield Define(name=new.name, value=value, origin=store.origin)
                least = Op("where", (Op("gt", (new, high), Dtype.BOOL), high, new))
                yield Define(name=within, value=least, origin=store.origin)
                found = Var(within, Dtype.REAL)
                yield replace(store, value=Op("where", (Op("lt", (found, low), Dtype.BOOL), low, found)))
            case _:
                yield store


def _factored(step: Expr) -> Expr:
    """A sum of products with what they have in common multiplied once."""
    summands = terms(rewritten_expr(rewritten_expr(step, as_product), _squared))
    if len(summands) < 2:
        return step
    each = [factors(t) for t in summands]
    common = next((f for f in each[0][1] if isinstance(f, Load) and all(f in found for _, found in each)), None)
    if common is None or any(found == [common] for _, found in each):
        return step
    for _, found in each:
        found.remove(common)
    return Op("mul", (_factored(total([product(minus, found) for minus, found in each])), common))


def _squared(op: Op) -> Expr:
    """A square as a product."""
    match op:
        case Op(function="square", arguments=(Load() as base,)):
            return Op("mul", (base, base))
        case _:
            return op
