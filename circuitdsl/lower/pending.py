"""Increments that may have to wait: the statements of a learning phase so written that they do nothing where nothing
was learned yet.

Every increment is multiplied by a number that is 1, or 0 before the first example, row by row; bounds do not hold then.
A place stays what it is, as what is 0 times something finite is 0. So there is one code for both, and one order in
which it adds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace

from circuitdsl.frozen import frozen
from circuitdsl.graph.functions import COMPARISONS
from circuitdsl.lower.equations import hoist, ordered_products, terms, total
from circuitdsl.lower.loop_ir import (
    Const,
    Define,
    Dtype,
    Expr,
    Load,
    Loop,
    Op,
    Phase,
    Statement,
    Store,
    Var,
    expressions,
    own_names,
    walk,
)
from circuitdsl.lower.names import Locals

#: Beyond all weights, in both precisions.
_FAR = Const(1e38, Dtype.REAL)
#: Functions that are finite where their arguments are. Quotients are, of what is no value of the circuit.
_TAME = COMPARISONS | {
    "add", "sub", "mul", "neg", "min", "max", "abs", "sign", "step", "clip", "where", "real", "and", "or", "square",
    "relu", "elu", "softplus", "tanh", "sigmoid", "sin", "cos", "floor", "rand", "randn",
}  # fmt: skip


@frozen
class Learning:
    """A phase that walks the rows of a matrix, a team each: numbers of the row, and what is done at each weight."""

    phase: Phase
    rows: Loop
    numbers: tuple[Define, ...]
    along: Loop

    @staticmethod
    def of(phase: Phase) -> Learning | None:
        """The phase as such; None if it is none, or if an increment may be infinite."""
        match phase.body:
            case (Loop(over="threads", body=(*numbers, Loop(over="sequence") as along)) as rows,):
                defines = tuple(s for s in numbers if isinstance(s, Define))
                plain = all(isinstance(s, Define | Store) for s in along.body)
                if len(defines) == len(numbers) and plain and _is_tame(phase, (*defines, *along.body)):
                    return Learning(phase, rows, defines, along)
        return None

    def waiting(self, pending: Var, late: Var) -> Phase | None:
        """The phase with increments `pending` times as large, and bounds only where it is `late`; None if it stores
        something else than increments."""
        made = _Waiting(self, pending, late)
        stores = {id(s): made.store(s) for s in self.along.body if isinstance(s, Store)}
        inner: list[Statement] = []
        for statement in self.along.body:
            each = made.defined(statement) if isinstance(statement, Define) else stores.get(id(statement))
            if each is None:
                return None
            inner.append(each)
        row = (*self.numbers, *made.block, replace(self.along, body=tuple(inner)))
        return replace(self.phase, body=(replace(self.rows, body=row),))


def _is_tame(phase: Phase, body: Collection[Statement]) -> bool:
    """Whether statements compute what is finite from anything finite: zeros too, which values are before the first
    example."""
    varying = own_names(phase.body)
    return all(_tame(n, varying) for s in body for e in expressions(s) for n in walk(e) if isinstance(n, Op))


def _tame(op: Op, varying: Collection[str]) -> bool:
    match op:
        case Op(function="div", arguments=(_, Const())):
            return True
        case Op(function="div", arguments=(_, Var(name=name))):  # a parameter, say: else what a value is, or 0 at first
            return name not in varying
        case Op(function="pow", arguments=(_, Const(value=power))):
            return power >= 0 and power == int(power)
        case _:
            return op.function in _TAME


class _Waiting:
    """`block`: numbers of the row, which come before its loop; `scaled`: increments that have the factor already."""

    def __init__(self, learning: Learning, pending: Var, late: Var):
        self.pending, self.late = pending, late
        body = learning.along.body
        self.defines = {s.name: s for s in body if isinstance(s, Define)}
        self.uses = Counter(n.name for s in body for e in expressions(s) for n in walk(e) if isinstance(n, Var))
        self.varying = frozenset({learning.along.var, *own_names(body)})
        self.names = Locals(counts={"s": len(own_names(learning.phase.body)) + 1})
        self.known: dict[Expr, Var] = {}
        self.block: list[Statement] = []
        self.scaled: set[str] = set()

    def store(self, store: Store) -> Store | None:
        if store.add:
            return replace(store, value=self._step(store.value))
        value = self._applied(store.value, Load(store.buffer, store.index))
        return None if value is None else replace(store, value=value)

    def defined(self, define: Define) -> Define:
        return replace(define, value=self._times(define.value)) if define.name in self.scaled else define

    def _applied(self, value: Expr, before: Load) -> Expr | None:
        """The new value of what was `before`."""
        match value:
            case Op(function="where", arguments=(condition, inner, Const(value=0.0) as nothing)):
                rest: tuple[Expr, ...] = (nothing,)
                lead: tuple[Expr, ...] = (condition,)
            case Op(function="clip", arguments=(inner, low, high)):
                lead, rest = (), (self._bound(low, below=True), self._bound(high, below=False))
            case Op(function="min" | "max", arguments=(inner, bound)):
                lead, rest = (), (self._bound(bound, below=value.function == "max"),)
            case Op(function="add", arguments=(Load() as here, step)) if here == before:
                return Op("add", (here, self._step(step)))
            case _:
                return None
        made = self._applied(inner, before)
        return None if made is None else Op(value.function, (*lead, made, *rest))

    def _bound(self, bound: Expr, *, below: bool) -> Expr:
        far = Const(-_FAR.value, Dtype.REAL) if below else _FAR
        return self._hoisted(Op("where", (self.late, bound, far)))

    def _step(self, step: Expr) -> Expr:
        match step:
            case Op(function="where", arguments=(condition, inner, Const(value=0.0) as nothing)):
                return Op("where", (condition, self._step(inner), nothing))
            case Var(name=name) if name in self.defines and self.uses[name] == 1:
                self.scaled.add(name)
                return step
            case _:
                return self._times(step)

    def _times(self, expr: Expr) -> Expr:
        """The expression times `pending`, what a row has in common multiplied before it."""
        summands = [ordered_products(Op("mul", (self.pending, t)), frozenset({"j"}), self.varying) for t in terms(expr)]
        return self._hoisted(total(summands))

    def _hoisted(self, expr: Expr) -> Expr:
        return hoist(expr, self.varying, self.block, self.names, self.known)
