"""Functions that a program of lanes calls in the form that vector instructions can do, where float32 allows it."""

from __future__ import annotations

from dataclasses import replace

from circuitdsl.lower.loop_ir import Expr, Op, Program
from circuitdsl.lower.rewrite import rewritten

#: What stands in for what.
SWIFT = {"tanh": "swift_tanh"}


def swift(program: Program) -> Program:
    """The program with the functions that have a quick form in its precision called by that."""
    if not program.constants or program.aim.dtype != "float32":
        return program
    found: dict[str, str] = {}

    def quick(op: Op) -> Expr:
        if op.function not in SWIFT:
            return op
        name = SWIFT[op.function]
        found[name] = op.function
        return Op(name, op.arguments, op.dtype)

    made = rewritten(program, quick)
    return replace(made, stand_ins=tuple(found.items()))
