"""Linear equations between named unknowns, solved exactly: elimination in sparse rows, and cones.

A row is a sum of multiples of unknowns; an equation is a row that is 0. `Elimination` expresses unknowns by others;
`combined` writes a row as a sum of non-negative multiples of given rows, or says that there is no such sum (Farkas:
then the row can be negative while all given ones are not).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import field
from fractions import Fraction
from typing import Any, Generic, TypeVar

from circuitdsl.frozen import mutable

K = TypeVar("K", bound=Hashable)
Row = Mapping[K, Fraction]

#: How many numbers an elimination may touch, and how many a simplex table may have.
MAX_WORK = 400_000
MAX_TABLE = 2_500

ZERO, ONE = Fraction(0), Fraction(1)


class TooLarge(Exception):
    """There are too many equations to be solved in the time that a derivation may take."""


def combination(parts: Sequence[tuple[Fraction, Row[K]]]) -> dict[K, Fraction]:
    """A sum of multiples of rows."""
    total: dict[K, Fraction] = {}
    for number, row in parts:
        for key, value in row.items():
            total[key] = total.get(key, ZERO) + number * value
    return {key: value for key, value in total.items() if value}


@mutable
class Elimination(Generic[K]):
    """Equations taken in one by one, each solved for the unknown of the least `rank`.

    `solved`: unknowns as rows of those that stay free; `grounds`: which equations, by their names, that took."""

    rank: Callable[[K], Any]
    solved: dict[K, dict[K, Fraction]] = field(default_factory=dict)
    grounds: dict[K, frozenset[str]] = field(default_factory=dict)
    users: dict[K, set[K]] = field(default_factory=dict)  # a free unknown -> the solved ones that are made of it
    work: int = 0

    def expressed(self, row: Row[K]) -> tuple[dict[K, Fraction], frozenset[str]]:
        """The row by free unknowns only, and the equations used for it. Raises TooLarge."""
        parts = [(value, self.solved.get(key) or {key: ONE}) for key, value in row.items() if not self._is_zero(key)]
        self._count(sum(len(part) for _, part in parts))
        names = [self.grounds[key] for key in row if key in self.grounds]
        return combination(parts), frozenset().union(*names)

    def _is_zero(self, key: K) -> bool:
        """Whether an unknown is solved, as 0."""
        return key in self.solved and not self.solved[key]

    def add(self, equation: Row[K], name: str) -> None:
        """Takes in `equation = 0`. Raises TooLarge."""
        row, names = self.expressed(equation)
        if not row:
            return
        pivot = min(row, key=self.rank)
        scale = -1 / row.pop(pivot)
        found = {key: scale * value for key, value in row.items()}
        grounds = names | {name}
        for user in self.users.pop(pivot, set()):
            before = self.solved[user]
            number = before.pop(pivot)
            self._count(len(before) + len(found))
            self._put(user, combination([(ONE, before), (number, found)]), self.grounds[user] | grounds)
        self._put(pivot, found, grounds)

    def _put(self, key: K, row: dict[K, Fraction], grounds: frozenset[str]) -> None:
        for gone in self.solved.get(key, {}).keys() - row.keys():
            self.users[gone].discard(key)
        self.solved[key], self.grounds[key] = row, grounds
        for other in row:
            self.users.setdefault(other, set()).add(key)

    def _count(self, touched: int) -> None:
        self.work += touched
        if self.work > MAX_WORK:
            raise TooLarge


def combined(target: Row[K], given: Mapping[K, Row[K]]) -> dict[K, Fraction] | None:
    """Numbers of 0 or more by which the `given` rows add up to the target; None if there are none.

    The simplex method (its first phase) with Bland's rule, which never runs in circles. Raises TooLarge."""
    unknowns = sorted({key for row in (target, *given.values()) for key in row}, key=repr)
    names = list(given)
    if len(unknowns) * len(names) > MAX_TABLE:
        raise TooLarge
    table: list[list[Fraction]] = []
    for key in unknowns:
        wanted = target.get(key, ZERO)
        turned = -ONE if wanted < 0 else ONE
        table.append([turned * given[name].get(key, ZERO) for name in names] + [turned * wanted])
    basis = _first_phase(table, len(names))
    if basis is None:
        return None
    found = {names[column]: row[-1] for column, row in zip(basis, table, strict=True) if column < len(names)}
    return {name: found[name] for name in names if found.get(name)}


def _first_phase(table: list[list[Fraction]], columns: int) -> list[int] | None:
    """Brings the table to a basis that leaves no artificial unknown above 0; None if there is none. Artificial
    unknowns (one a row, numbered from `columns` on) are never written down: they leave and do not come back."""
    basis = [columns + i for i in range(len(table))]
    while any(basis[i] >= columns and row[-1] for i, row in enumerate(table)):
        lacking = [row for i, row in enumerate(table) if basis[i] >= columns]
        entering = next((j for j in range(columns) if j not in basis and sum(row[j] for row in lacking) > 0), None)
        if entering is None:
            return None
        rows = [i for i, row in enumerate(table) if row[entering] > 0]
        leaving = min(rows, key=lambda i: (table[i][-1] / table[i][entering], basis[i]))
        _pivot(table, leaving, entering)
        basis[leaving] = entering
    return basis


def _pivot(table: list[list[Fraction]], at: int, column: int) -> None:
    scale = table[at][column]
    table[at] = [value / scale for value in table[at]]
    for i, row in enumerate(table):
        if i != at and row[column]:
            number = row[column]
            table[i] = [a - number * b for a, b in zip(row, table[at], strict=True)]
