"""Functions that a program calls in a form that vector instructions can do: the library's take one number at a time."""

from __future__ import annotations

from dataclasses import replace

from circuitdsl.lower.functions import functions_of
from circuitdsl.lower.loop_ir import Expr, Op, Program
from circuitdsl.lower.rewrite import rewritten

#: What stands in for what; a back end whose loops become vectors prints them (emit/swift.py).
SWIFT = {"exp": "swift_exp", "expm1": "swift_expm1", "tanh": "swift_tanh"}


def swift(program: Program) -> Program:
    """The program with the functions that have a quick form called by that, if it is made for vectors. Formulas that
    are made of them are printed with them."""
    found = {SWIFT[name]: name for name in sorted(functions_of(program) & SWIFT.keys())}
    if not program.aim.vectors or not found:
        return program
    return replace(rewritten(program, quick), stand_ins=tuple(found.items()))


def quick(op: Op) -> Expr:
    """The quick form of an operation that has one."""
    return Op(SWIFT[op.function], op.arguments, op.dtype) if op.function in SWIFT else op
