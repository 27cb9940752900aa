"""Equations of the graph as a reader writes them, with the names of the circuit."""

from __future__ import annotations

from typing import assert_never

from circuitdsl.graph import ir

INFIX = {
    "add": "+", "sub": "−", "mul": "·", "div": "/", "pow": "^", "lt": "<", "le": "≤", "gt": ">", "ge": "≥", "eq": "=",
    "ne": "≠",
}  # fmt: skip


def text(expr: ir.Expr) -> str:
    """An equation in one line: `1[h.basal > 0] · (1 − post²)`."""
    match expr:
        case ir.Num(value=value):
            return f"{value:g}".replace("-", "−")
        case ir.ParamRef(name=name) | ir.Coef(name=name) | ir.SynapseState(name=name) | ir.DriveRead(name=name):
            return name
        case ir.Read(value=name, when=when):
            return f"prev({name})" if when is ir.When.PREV else name
        case ir.Weight():
            return "w"
        case ir.Fan(which=which):
            return f"fan_{which}"
        case ir.Flag(which=which, phase=phase):
            return "train" if phase is None else phase if which == "phase" else f"{which}({phase})"
        case ir.Tick():
            return "tick"
        case ir.Random(which=which):
            return f"{which}()"
        case ir.Apply(function="neg", arguments=(a,)):
            return f"−{_part(a)}"
        case ir.Apply(function="step", arguments=(a,)):
            return f"1[{text(a)} > 0]"
        case ir.Apply(function="square", arguments=(a,)):
            return f"{_part(a)}²"
        case ir.Apply(function=function, arguments=(a, b)) if function in INFIX:
            return f"{_part(a)} {INFIX[function]} {_part(b)}"
        case ir.Apply(function=function, arguments=arguments) | ir.Reduce(function=function, arguments=arguments):
            return f"{function}({', '.join(map(text, arguments))})"
        case ir.Over(function=function, argument=argument):
            return f"{function}({text(argument)})"
        case _:
            assert_never(expr)


def _part(expr: ir.Expr) -> str:
    compound = isinstance(expr, ir.Apply) and (expr.function in INFIX or expr.function == "neg")
    return f"({text(expr)})" if compound else text(expr)
