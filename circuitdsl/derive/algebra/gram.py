"""Gram matrices: whether unknown entries can be chosen so that symmetric matrices are positive semidefinite.

What is asked for is exact: an LDL^T in fractions decides, and nothing else. Where the equations leave entries free, a
few choices are tried; floats find where to look (an interior point method), and their roundings are checked.
The work is bounded by counting, never by a clock, so that the answer is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import sqrt

from circuitdsl.frozen import frozen

#: (block, row, column) with row <= column.
Entry = tuple[int, int, int]
Exact = list[list[Fraction]]
Floats = list[list[float]]
#: A square: its factor, > 0, and the coefficients of what is squared.
Row = tuple[Fraction, list[Fraction]]

#: With more free entries than this nothing is tried but the first guess.
MAX_FREE = 12
#: How many multiplications of floats the search may take.
MAX_WORK = 1_000_000
#: To these denominators a choice is rounded.
DENOMINATORS = (1, 2, 3, 4, 6, 12, 60, 1000, 10**6)


@frozen
class Equation:
    """The sum of `number * entry` is `total`. No entry stands in two equations."""

    entries: tuple[tuple[Entry, int], ...]
    total: Fraction


def factored(sizes: Sequence[int], equations: Sequence[Equation]) -> list[list[Row]] | None:
    """For each block the squares of a choice of its entries that solves the equations and is positive semidefinite.
    Entries in no equation are 0. None if no choice is found."""
    problem = _problem(sizes, equations)
    found = problem.checked([Fraction(0)] * len(problem.free))
    if found is not None or not problem.free or len(problem.free) > MAX_FREE:
        return found
    for guess in _guesses(problem):
        found = problem.checked(guess)
        if found is not None:
            return found
    return None


def ldl(matrix: Exact) -> list[Row] | None:
    """`matrix = sum d row^T row` with all d > 0, exactly; None if it is not positive semidefinite.

    The last row's square has the part of its own entry that no other row needs."""
    rest = [list(row) for row in matrix]
    found: list[Row] = []
    for k in range(len(rest)):
        pivot = rest[k][k]
        if pivot < 0 or (pivot == 0 and any(rest[k])):
            return None
        if pivot == 0:
            continue
        row = [x / pivot for x in rest[k]]
        found.append((pivot, row))
        used = [j for j, x in enumerate(row) if x]
        for i in used:
            for j in used:
                rest[i][j] -= pivot * row[i] * row[j]
    return found


# ---------------------------------------------------------------- entries that the equations leave free

Change = list[tuple[Entry, Fraction]]


@frozen
class _Problem:
    """All solutions of the equations: `base` plus numbers times the changes in `free`."""

    sizes: Sequence[int]
    base: dict[Entry, Fraction]
    free: list[Change]

    def blocks(self, choice: Sequence[Fraction]) -> list[Exact]:
        blocks = [[[Fraction(0)] * n for _ in range(n)] for n in self.sizes]
        entries = list(self.base.items())
        for t, change in zip(choice, self.free, strict=True):
            entries += [(e, t * x) for e, x in change]
        for (b, i, j), x in entries:
            blocks[b][i][j] += x
            if i != j:
                blocks[b][j][i] += x
        return blocks

    def checked(self, choice: Sequence[Fraction]) -> list[list[Row]] | None:
        found: list[list[Row]] = []
        for block in self.blocks(choice):
            rows = ldl(block)
            if rows is None:
                return None
            found.append(rows)
        return found


def _problem(sizes: Sequence[int], equations: Sequence[Equation]) -> _Problem:
    """Squares share the total of their equation, and what is no square is 0, until something is chosen."""
    base: dict[Entry, Fraction] = {}
    free: list[Change] = []
    for equation in equations:
        squares = [x for x in equation.entries if x[0][1] == x[0][2]]
        shared = squares or list(equation.entries)
        for entry, number in shared:
            base[entry] = equation.total / (number * len(shared))
        last, weight = shared[0]
        free += [[(e, Fraction(1)), (last, Fraction(-n, weight))] for e, n in equation.entries if e != last]
    return _Problem(sizes, base, free)


def _guesses(problem: _Problem) -> Iterator[list[Fraction]]:
    point = _Centre(problem).point()
    if point is None:
        return
    large = sum(n**3 for n in problem.sizes) > 4000
    before: list[Fraction] | None = None
    for denominator in DENOMINATORS[:3] if large else DENOMINATORS:
        guess = [Fraction(x).limit_denominator(denominator) for x in point]
        if guess != before:
            yield guess
        before = guess


class _Centre:
    """The free entries with which the smallest eigenvalue is largest, nearly: `s` is made small under the barrier
    `-mu log det(A(t) + s I)`, by Newton's method, for smaller and smaller mu."""

    def __init__(self, problem: _Problem) -> None:
        self.base = [[[float(x) for x in row] for row in b] for b in problem.blocks([Fraction(0)] * len(problem.free))]
        self.changes: list[list[tuple[int, int, int, float]]] = []
        for change in problem.free:
            found = [(b, i, j, float(x)) for (b, i, j), x in change]
            self.changes.append(found + [(b, j, i, x) for b, i, j, x in found if i != j])
        self.changes.append([(b, i, i, 1.0) for b, n in enumerate(problem.sizes) for i in range(n)])
        self.steps = MAX_WORK // (sum(n**3 for n in problem.sizes) + sum(map(len, self.changes)) ** 2 + 1)

    def point(self) -> list[float] | None:
        """None if no choice is near to positive semidefinite, or it takes too long to see."""
        size = max((abs(x) for block in self.base for row in block for x in row), default=1.0) or 1.0
        n = max(map(len, self.base))
        at = [0.0] * (len(self.changes) - 1) + [2.0 * size * n]
        mu, steps = size, min(self.steps, 120)
        while mu > 1e-9 * size and steps > 0:
            for _ in range(6):
                steps -= 1
                moved = self.stepped(at, mu)
                if moved is None:
                    break
                at, decrement = moved
                if decrement < 1e-3 * mu:
                    break
            mu *= 0.2
        return at[:-1] if at[-1] < 1e-3 * size else None

    def stepped(self, at: list[float], mu: float) -> tuple[list[float], float] | None:
        inverses = [_inverse(block) for block in self.shifted(at)]
        if any(inverse is None for inverse in inverses):
            return None
        s = [inverse for inverse in inverses if inverse is not None]
        k = len(self.changes)
        gradient = [-mu * sum(x * s[b][i][j] for b, i, j, x in change) for change in self.changes]
        gradient[-1] += 1.0
        hessian = [[0.0] * k for _ in range(k)]
        for p in range(k):
            for q in range(p, k):
                hessian[p][q] = hessian[q][p] = mu * sum(
                    x * y * s[b][j][m] * s[b][n][i]
                    for b, i, j, x in self.changes[p]
                    for c, m, n, y in self.changes[q]
                    if b == c
                )
        step = _solved(hessian, [-g for g in gradient])
        if step is None:
            return None
        decrement = -sum(x * y for x, y in zip(step, gradient, strict=True))
        length = 1.0 if decrement < mu else 1.0 / (1.0 + sqrt(decrement / mu))
        for _ in range(30):
            new = [x + length * d for x, d in zip(at, step, strict=True)]
            if all(_cholesky(block) is not None for block in self.shifted(new)):
                return new, decrement
            length *= 0.5
        return None

    def shifted(self, at: list[float]) -> list[Floats]:
        blocks = [[list(row) for row in block] for block in self.base]
        for t, change in zip(at, self.changes, strict=True):
            for b, i, j, x in change:
                blocks[b][i][j] += t * x
        return blocks


def _cholesky(a: Floats) -> Floats | None:
    n = len(a)
    lower = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            left = a[i][j] - sum(x * y for x, y in zip(lower[i][:j], lower[j][:j], strict=True))
            if i == j:
                if not left > 0.0:
                    return None
                lower[i][i] = sqrt(left)
            else:
                lower[i][j] = left / lower[j][j]
    return lower


def _inverse(a: Floats) -> Floats | None:
    lower = _cholesky(a)
    if lower is None:
        return None
    n = len(a)
    half = [[0.0] * n for _ in range(n)]  # the inverse of `lower`
    for j in range(n):
        half[j][j] = 1.0 / lower[j][j]
        for i in range(j + 1, n):
            half[i][j] = -sum(lower[i][k] * half[k][j] for k in range(j, i)) / lower[i][i]
    return [[sum(half[k][i] * half[k][j] for k in range(max(i, j), n)) for j in range(n)] for i in range(n)]


def _solved(a: Floats, b: list[float]) -> list[float] | None:
    n = len(b)
    ridge = 1e-13 * max(a[i][i] for i in range(n))
    lower = _cholesky([[x + ridge * (i == j) for j, x in enumerate(row)] for i, row in enumerate(a)])
    if lower is None:
        return None
    half = list(b)
    for i in range(n):
        half[i] = (half[i] - sum(lower[i][k] * half[k] for k in range(i))) / lower[i][i]
    for i in reversed(range(n)):
        half[i] = (half[i] - sum(lower[k][i] * half[k] for k in range(i + 1, n))) / lower[i][i]
    return half
