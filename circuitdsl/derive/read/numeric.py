"""Numbers for letters: what a sum of words is for given weights, signals and params. The tests' judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from circuitdsl.derive.algebra.constants import raised, real
from circuitdsl.derive.algebra.letters import ONES
from circuitdsl.derive.algebra.words import (
    UNIT,
    Column,
    Diagonal,
    Expect,
    Letter,
    Matrix,
    Row,
    Scalar,
    Sum,
    Term,
    Word,
    depends_on_example,
    shape,
)


def instantiate(a: Sum | Term, env: Mapping[Any, Any], rows: int | None = None) -> Any:
    """The matrix for given letters, as a float64 array.

    `env` has the matrices by name, [rows, cols] (untransposed); signals, [size], or [examples, size] if random, by
    name if the circuit has one for them, else by what they are; scalars, a number or [examples]; params, numbers.
    Returns [rows, cols], [size] for a column or a row, a number for UNIT x UNIT; with the axis of examples in front if
    anything outside expectations varies. For a Term with an empty word give its axis as `rows`. Raises KeyError for
    what is not in `env`.
    """
    import numpy as np

    if isinstance(a, Term):
        axis = shape(a.word[0])[0] if a.word else (rows or UNIT)
        a = Sum(axis, shape(a.word[-1])[1] if a.word else axis, (a,))
    total = np.zeros((1, a.rows or 1, a.cols or 1))
    for term in a.terms:
        number = real(term.coefficient.number)
        for name, power in term.coefficient.params:
            number *= raised(float(env[name]), power)
        total = total + number * _value(term.scalars, term.word, a.rows, env)
    varying = depends_on_example(a)
    out = total if varying else total[0]
    if a.cols == UNIT:
        out = out[..., 0]
    if a.rows == UNIT:
        out = out[..., 0] if a.cols == UNIT else out[..., 0, :]
    return out


def _value(scalars: tuple[Word, ...], word: Word, axis: int, env: Mapping[Any, Any]) -> Any:
    """[examples or 1, rows, cols], a size of 1 for UNIT."""
    import numpy as np

    result = np.eye(axis or 1)[None]
    for letter in word:
        result = result @ _letter_value(letter, env)
    for number in scalars:
        result = result * _value((), number, UNIT, env)
    return result


def _letter_value(letter: Letter, env: Mapping[Any, Any]) -> Any:
    import numpy as np

    match letter:
        case Matrix():
            weights = np.asarray(env[letter.name], dtype=np.float64)
            return (weights.T if letter.transposed else weights)[None]
        case Column(signal) | Row(signal) | Diagonal(signal):
            known = signal.of if signal.value is None else signal.value
            given = np.ones(signal.size) if signal.of is ONES else np.asarray(env[known], np.float64)
            given = np.diag(given) if signal.weight and given.ndim == 2 else given
            values = np.atleast_2d(given)
            values = np.broadcast_to(values, (len(values), signal.size))
            match letter:
                case Column():
                    return values[:, :, None]
                case Row():
                    return values[:, None, :]
                case _:
                    return values[:, :, None] * np.eye(signal.size)
        case Scalar():
            return np.asarray(env[letter.name], np.float64).reshape(-1, 1, 1)
        case Expect(scalars, word):
            return _value(scalars, word, shape(letter)[0], env).mean(axis=0, keepdims=True)
        case _:
            assert_never(letter)
