"""Functions of numbers in the loop program. Back ends know the primitives; of the others they get the definitions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from circuitdsl.graph.formulas import fold
from circuitdsl.graph.functions import COMPARISONS, FUNCTIONS, Function
from circuitdsl.lower.loop_ir import Const, Dtype, Expr, Op, Program, Var, expressions, phases, statements, walk


@dataclass(frozen=True, slots=True)
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


#: Every function of `SIGNATURES` that is a formula, by name.
DEFINITIONS: dict[str, Definition] = {
    f.name: Definition(f.name, f.parameters, _formula(f, [Var(p, Dtype.REAL) for p in f.parameters]))
    for f in FUNCTIONS.values()
    if isinstance(f.value, str) and not f.is_short
}


def functions_of(program: Program) -> set[str]:
    """The functions that the phases of a program apply, and those that these are made of."""
    found = [e for p in phases(program.body) for s in statements(p.body) for e in expressions(s)]
    return with_parts({op.function for e in found for op in walk(e) if isinstance(op, Op)})


def with_parts(functions: Collection[str]) -> set[str]:
    """These functions, and those that they are made of."""
    waiting, found = set(functions), set()
    while waiting:
        name = waiting.pop()
        found.add(name)
        if name in DEFINITIONS:
            parts = {op.function for op in walk(DEFINITIONS[name].value) if isinstance(op, Op)}
            waiting |= parts - found
    return found
