"""Expressions as weighted sums of what they read, where they are that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from circuitdsl.frozen import frozen
from circuitdsl.graph import ir


class Unsayable(Exception):
    """Something that a weighted sum cannot say; the text names it."""


@frozen
class Linear:
    """`constant` plus each value, by its name, times its factor."""

    factors: Mapping[str, float] = field(default_factory=dict)
    constant: float = 0.0

    def plus(self, other: Linear, times: float = 1.0) -> Linear:
        names = dict.fromkeys([*self.factors, *other.factors])
        summed = {n: self.factors.get(n, 0.0) + times * other.factors.get(n, 0.0) for n in names}
        kept = {name: factor for name, factor in summed.items() if factor != 0.0}
        return Linear(kept, self.constant + times * other.constant)

    def scaled(self, by: float) -> Linear:
        return Linear().plus(self, by)


def linear(expr: ir.Expr, circuit: ir.Circuit, numbers: Mapping[str, float], known: Mapping[str, float]) -> Linear:
    """An expression of a neuron as a sum over dendrites, states, rates and data; lets are put in. `known`: values that
    are taken to be numbers. Raises Unsayable for all else."""

    def of(part: ir.Expr) -> Linear:
        match part:
            case ir.Num(value=value):
                return Linear(constant=value)
            case ir.ParamRef(name=name):
                return Linear(constant=numbers[name])
            case ir.Read(value=name, axis=ir.Axis.OWN, when=ir.When.NOW) if name in known:
                return Linear(constant=known[name])
            case ir.Read(value=name, axis=ir.Axis.OWN, when=ir.When.NOW):
                read = circuit.values[name]
                if read.kind is ir.Kind.LET and read.expr is not None:
                    return of(read.expr)
                return Linear({name: 1.0})
            case ir.Apply(function=function, arguments=arguments):
                return applied(function, [of(argument) for argument in arguments])
            case _:
                raise Unsayable(words(part))

    def applied(function: str, parts: list[Linear]) -> Linear:
        match function, parts:
            case "add", [a, b]:
                return a.plus(b)
            case "sub", [a, b]:
                return a.plus(b, -1.0)
            case "neg", [a]:
                return a.scaled(-1.0)
            case "mul", [a, b] if not a.factors:
                return b.scaled(a.constant)
            case "mul", [a, b] if not b.factors:
                return a.scaled(b.constant)
            case "div", [a, b] if not b.factors and b.constant != 0.0:
                return a.scaled(1 / b.constant)
            case _ if not any(part.factors for part in parts):
                raise Unsayable(f"`{function}` of numbers")
            case _:
                raise Unsayable(f"`{function}`")

    return of(expr)


def words(part: ir.Expr) -> str:
    """What a part of an expression is, for a message."""
    match part:
        case ir.Read(value=name, when=ir.When.NOW):
            return f"`{name}`, which has one number for all neurons"
        case ir.Read(value=name):
            return f"`prev({name})`"
        case ir.Random(which=which):
            return f"`{which}()`"
        case ir.Over(function=name) | ir.Reduce(function=name) | ir.Apply(function=name):
            return f"`{name}`"
        case _:
            return "what depends on the phase or the tick"
