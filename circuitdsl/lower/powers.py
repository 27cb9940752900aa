"""Squares and cubes of something simple become products: what calls no function fits into vector instructions."""

from __future__ import annotations

from circuitdsl.lower.loop_ir import Const, Expr, Load, Op, Program, Var
from circuitdsl.lower.rewrite import rewritten


def multiplied(program: Program) -> Program:
    """The program without small whole powers of what is only read."""
    return rewritten(program, as_product)


def as_product(op: Op) -> Expr:
    """A small whole power as a product; anything else as it is."""
    match op:
        case Op(function="pow", arguments=(Var() | Load() as base, Const(value=2.0 | 3.0 as exponent))):
            result: Expr = base
            for _ in range(int(exponent) - 1):
                result = Op("mul", (result, base))
            return result
        case _:
            return op
