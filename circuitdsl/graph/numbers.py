"""The numbers of a circuit on the host: its params with what was set from outside, and expressions of them.

Plain Python floats. What is undefined is IEEE's answer (1/0 is inf, 0/0 and sqrt(-1) are nan), as in the
equations that run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, assert_never

from circuitdsl.diagnostics import did_you_mean
from circuitdsl.graph.functions import FUNCTIONS
from circuitdsl.graph.ir import (
    Apply,
    Circuit,
    Coef,
    DriveRead,
    Expr,
    Fan,
    Flag,
    Num,
    Over,
    Param,
    ParamRef,
    Random,
    Read,
    Reduce,
    SynapseState,
    Tick,
    Weight,
    walk,
)

Override = float | Sequence[float]


class Fans(NamedTuple):
    """The realised mean number of weights per postsynaptic and per presynaptic unit of a synapse."""

    fan_in: float
    fan_out: float


# ---------------------------------------------------------------- params


def numbers_of(circuit: Circuit, overrides: Mapping[str, Override]) -> dict[str, float]:
    """Every number param by name, elements of list params as `sizes[2]`.

    `overrides` maps params (or single elements) to their new values; params computed from them follow.
    Raises ValueError for an unknown name, a list of another length, something that is not a finite number,
    and for a structural param, which only elaborating the circuit again can set.
    """
    given = _given(circuit, overrides)
    definitions = dict(_definitions(circuit))
    numbers: dict[str, float] = {}

    waiting = list(reversed(definitions))
    while waiting:  # not by recursion: a chain of params may be long
        name = waiting.pop()
        if name in numbers:
            continue
        if name in given:
            numbers[name] = given[name]
            continue
        first = [n.name for n in walk(definitions[name]) if isinstance(n, ParamRef) and n.name not in numbers]
        if first:
            waiting += [name, *first]
        else:
            numbers[name] = evaluate(definitions[name], numbers)
    return {name: numbers[name] for name in definitions}


def _definitions(circuit: Circuit) -> list[tuple[str, Expr]]:
    """Every number param and every element of a list, with the expression written for it."""
    found: list[tuple[str, Expr]] = []
    for param in circuit.params.values():
        if isinstance(param.value, tuple):
            found += [(f"{param.name}[{i}]", item) for i, item in enumerate(param.value)]
        else:
            found.append((param.name, param.value))
    return found


def _given(circuit: Circuit, overrides: Mapping[str, Override]) -> dict[str, float]:
    """The overrides, checked and flattened to numbers."""
    given: dict[str, float] = {}
    for name, value in overrides.items():
        param = param_of(circuit, name)
        if param.structural:
            raise ValueError(
                f"`{name}` shapes the circuit (a size, a range or an index depends on it): it cannot be set"
                " on a circuit that is already elaborated; load the circuit again with the new value"
            )
        if isinstance(param.value, tuple) and name == param.name:
            given |= _list_elements(param, len(param.value), value)
        else:
            given[name] = _number(name, value)
    return given


def param_of(circuit: Circuit, name: str) -> Param:
    """The param that `eta` or `sizes[2]` names. Raises ValueError if there is none."""
    if name in circuit.params:
        return circuit.params[name]
    base, bracket, rest = name.rpartition("[")
    param = circuit.params.get(base)
    if bracket and param is not None and isinstance(param.value, tuple):
        if rest[:-1].isdecimal() and rest.endswith("]") and int(rest[:-1]) < len(param.value):
            return param
        raise ValueError(f"`{base}` has the elements 0 to {len(param.value) - 1}: there is no `{name}`")
    if name in circuit.coefficients:
        raise ValueError(f"`{name}` is a coefficient, an array of numbers: it cannot be set to one number")
    hint = did_you_mean(name, circuit.params)
    known = ", ".join(f"`{p}`" for p in circuit.params) or "none"
    raise ValueError(f"`{circuit.name}` has no param `{name}`; {hint or f'its params are: {known}'}")


def check_kind(param: Param, name: str, value: Override) -> None:
    """Raises ValueError unless a param, or the element of it that `name` is, can be set to that: a list of
    any length to a list, a finite number to a number."""
    if isinstance(param.value, tuple) and name == param.name:
        for item in _items(param, len(param.value), value):
            _number(name, item)
    else:
        _number(name, value)


def _items(param: Param, length: int, value: Override) -> Sequence[float]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"`{param.name}` is a list of {length} numbers, not one number")
    return value


def _list_elements(param: Param, length: int, value: Override) -> dict[str, float]:
    value = _items(param, length, value)
    if len(value) != length:
        raise ValueError(f"`{param.name}` is a list of {length} numbers; {len(value)} were given")
    return {f"{param.name}[{i}]": _number(f"{param.name}[{i}]", item) for i, item in enumerate(value)}


def _number(name: str, value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"`{name}` is a number; it cannot be set to {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"`{name}` is a finite number; it cannot be set to {value!r}")
    return number


# ---------------------------------------------------------------- expressions


def evaluate(expr: Expr, numbers: Mapping[str, float], fans: Fans | None = None) -> float:
    """The value of an expression of numbers, params, elementwise functions and, given `fans`, of fan_in
    and fan_out.

    Raises ValueError if the expression reads anything that changes while the circuit runs.
    """
    match expr:
        case Num():
            return expr.value
        case ParamRef():
            return numbers[expr.name]
        case Fan() if fans is not None:
            return fans.fan_in if expr.which == "in" else fans.fan_out
        case Apply():
            return FUNCTIONS[expr.function].number(*(evaluate(a, numbers, fans) for a in expr.arguments))
        case (
            Fan() | Read() | Coef() | Weight() | SynapseState() | DriveRead() | Flag() | Tick() | Random()
            | Over() | Reduce()
        ):  # fmt: skip
            raise ValueError(f"not a number before the circuit runs: {expr.span.text or expr}")
        case _:
            assert_never(expr)


def whole(expr: Expr, numbers: Mapping[str, float], what: str) -> int:
    """The value of an expression that has to be a whole number, such as the ticks of a phase.

    Raises ValueError, which names it as `what`, if it is not whole or is negative."""
    value = evaluate(expr, numbers)
    if not math.isfinite(value) or value != math.floor(value) or value < 0:
        raise ValueError(f"{what} is {value:g}: it has to be a whole number, 0 or more")
    return int(value)
