"""Calls of phases in the order of a program, and which of them are said once: calls that differ only in what they are
given become rounds of a loop over a table.

A table is a list of places in the entry point's arrays of numbers and addresses (emit/entry.py), a row for each round.
So an entry point is as long as there are different layers, not as there are layers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field

from circuitdsl.frozen import frozen, mutable

#: A loop has at least so many rounds, and at most so many calls in each.
ROUNDS, PERIOD = 4, 16


@frozen
class Call:
    function: str
    arguments: tuple[str, ...]


@frozen
class Given:
    """Where the entry point finds what a name means: the array that holds it, where the row of the present copy begins
    there (as text), and the place in that row."""

    array: str
    row: str
    place: int

    @property
    def text(self) -> str:
        return self.at(str(self.place)) if self.place else f"{self.array}[{self.row}]"

    def at(self, place: str) -> str:
        return f"{self.array}[{self.row} + {place}]"


@frozen
class Rounds:
    """`calls` that are made `count` times. An argument is a name, or the number of a column of the table whose rows
    begin at `first` and are `width` long."""

    calls: tuple[tuple[str, tuple[str | int, ...]], ...]
    count: int
    first: int
    width: int
    arrays: tuple[Given, ...]


@mutable
class Table:
    """What loops over calls read; `given` says of names that stand in the entry point's arrays where. Without any there
    are no loops."""

    given: Mapping[str, Given]
    places: list[int] = field(default_factory=list)

    def rounds(self, calls: Sequence[Call]) -> Iterator[Call | Rounds]:
        """These calls in their order, alone or in loops."""
        at, kinds = 0, [self._kind(call) for call in calls]
        while at < len(calls):
            period, count = _best(kinds, at) if self.given else (1, 1)
            if count > 1:
                yield self._loop([calls[at + k * period : at + (k + 1) * period] for k in range(count)])
            else:
                yield calls[at]
            at += period * count

    def _kind(self, call: Call) -> tuple[str, ...]:
        """What calls have in common that may be rounds of one loop."""
        found = (self.given.get(name) for name in call.arguments)
        kinds = (name if where is None else where.array for name, where in zip(call.arguments, found, strict=True))
        return call.function, *kinds

    def _loop(self, rounds: Sequence[Sequence[Call]]) -> Rounds:
        """One loop; what differs between its rounds becomes columns of the table."""
        columns: dict[tuple[str, ...], int] = {}
        made: list[tuple[str, tuple[str | int, ...]]] = []
        for each in zip(*rounds, strict=True):
            arguments: list[str | int] = []
            for names in zip(*(call.arguments for call in each), strict=True):
                arguments.append(names[0] if len(set(names)) == 1 else columns.setdefault(names, len(columns)))
            made.append((each[0].function, tuple(arguments)))
        first = len(self.places)
        for row in zip(*columns, strict=True):
            self.places += [self.given[name].place for name in row]
        arrays = tuple(self.given[names[0]] for names in columns)
        return Rounds(tuple(made), len(rounds), first, len(columns), arrays)


def named(part: Call | Rounds) -> Collection[str]:
    """The names of the program that stand in it."""
    match part:
        case Call():
            return part.arguments
        case Rounds():
            return {name for _, arguments in part.calls for name in arguments if isinstance(name, str)}


def _best(kinds: Sequence[tuple[str, ...]], at: int) -> tuple[int, int]:
    """How many calls from here are repeated, and how often, to make most of them one loop."""
    best = 1, 1
    for period in range(1, PERIOD + 1):
        end = at + period
        while end < len(kinds) and kinds[end] == kinds[end - period]:
            end += 1
        count = (end - at) // period
        if count >= ROUNDS and count * period > best[0] * best[1]:
            best = period, count
    return best
