"""Functions that a program calls in a form that vector instructions can do: the library's take one number at a time.

Only innermost loops become vectors. So what a unit does with such functions after it went through its row is left to a
loop of its own over the units.
"""

from __future__ import annotations

from dataclasses import replace

from circuitdsl.lower.functions import functions_in, functions_of
from circuitdsl.lower.loop_ir import Expr, Loop, Op, Program, Statement, own_names, statements
from circuitdsl.lower.rewrite import rewritten, with_phases
from circuitdsl.lower.trim import statement_uses

#: What stands in for what; a back end whose loops become vectors prints them (emit/swift.py).
SWIFT = {"exp": "swift_exp", "expm1": "swift_expm1", "tanh": "swift_tanh"}


def swift(program: Program) -> Program:
    """The program with the functions that have a quick form called by that, if it is made for vectors. Formulas that
    are made of them are printed with them."""
    found = {SWIFT[name]: name for name in sorted(functions_of(program) & SWIFT.keys())}
    if not program.aim.vectors or not found:
        return program
    made = program if program.aim.copies > 1 or program.is_batched else with_phases(program, _parted)
    return replace(rewritten(made, quick), stand_ins=tuple(found.items()))


def quick(op: Op) -> Expr:
    """The quick form of an operation that has one."""
    return Op(SWIFT[op.function], op.arguments, op.dtype) if op.function in SWIFT else op


def _parted(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """A loop over units and rows in two, the second one with what comes after the rows, if that has such functions and
    needs no number of before. Rounds of a loop over units do not need each other."""
    match body:
        case (Loop(over="threads", body=inside) as units,) if any(isinstance(s, Loop) for s in inside):
            last = max(n for n, s in enumerate(inside) if any(isinstance(each, Loop) for each in statements((s,))))
            for at in range(last + 1, len(inside)):
                first, second = inside[:at], inside[at:]
                if not SWIFT.keys() & functions_in(second):
                    return body
                if not own_names(first) & set(statement_uses(second)):
                    return (replace(units, body=first), replace(units, body=second))
            return body
        case _:
            return body
