"""Functions of numbers in the loop program. Back ends know the primitives; of the others they get the definitions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache

from circuitdsl.frozen import frozen
from circuitdsl.graph.formulas import fold
from circuitdsl.graph.functions import COMPARISONS, FUNCTIONS, Function, Primitive
from circuitdsl.lower.loop_ir import (
    Const,
    Dtype,
    Expr,
    Op,
    Program,
    Statement,
    Var,
    expressions,
    phases,
    statements,
    walk,
)


@frozen
class Definition:
    """A function that is a formula: what it is of its parameters, which are reals."""

    name: str
    parameters: tuple[str, ...]
    value: Expr


def elementwise(function: str, arguments: Sequence[Expr]) -> Expr:
    """A function of the language. Comparisons give 0 and 1, `where` needs a truth value; short functions are written
    out."""
    record = FUNCTIONS[function]
    if function in COMPARISONS:
        return Op("real", (Op(function, tuple(arguments), Dtype.BOOL),))
    if function == "where":
        condition, yes, no = arguments
        return Op("where", (truth(condition), yes, no))
    return _formula(record, arguments) if record.is_short else Op(function, tuple(arguments))


def truth(expr: Expr) -> Expr:
    """Whether a real is not 0."""
    match expr:
        case Op(function="real", arguments=(inner,)) if inner.dtype is Dtype.BOOL:
            return inner
        case _:
            return Op("ne", (expr, Const(0.0, Dtype.REAL)), Dtype.BOOL)


def _formula(record: Function, arguments: Sequence[Expr]) -> Expr:
    assert isinstance(record.value, str)
    return fold(record.value, record.named(arguments), lambda value: Const(value, Dtype.REAL), elementwise)


@cache
def definition(name: str) -> Definition | None:
    """What a function of reals is made of; None if it is no formula, or written out wherever it is applied."""
    f = FUNCTIONS.get(name)
    if f is None or isinstance(f.value, Primitive) or f.is_short:
        return None
    return Definition(f.name, f.parameters, _formula(f, [Var(p, Dtype.REAL) for p in f.parameters]))


def definitions(names: Collection[str]) -> list[Definition]:
    """Those of these functions, in the order of the language's table."""
    return [made for name in FUNCTIONS if name in names and (made := definition(name)) is not None]


def functions_of(program: Program) -> set[str]:
    """The functions that the phases of a program apply, and those that these are made of."""
    return functions_in(s for p in phases(program.body) for s in p.body)


def functions_in(body: Iterable[Statement]) -> set[str]:
    """The functions that statements apply, and those that these are made of."""
    found = [e for s in statements(tuple(body)) for e in expressions(s)]
    return with_parts({op.function for e in found for op in walk(e) if isinstance(op, Op)})


def with_parts(functions: Collection[str]) -> set[str]:
    """These functions, and those that they are made of."""
    waiting, found = set(functions), set()
    while waiting:
        name = waiting.pop()
        found.add(name)
        if (made := definition(name)) is not None:
            waiting |= {op.function for op in walk(made.value) if isinstance(op, Op)} - found
    return found
