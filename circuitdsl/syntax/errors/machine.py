"""The grammar's parse table as a machine that can be asked, tried out and set back.

Lark's own loop stops at the first error. This one keeps only what recovery needs: at each place, the
state, the grammar symbol that led there and the index of its first word.
"""

from __future__ import annotations

from typing import NamedTuple

from lark.grammar import Rule

from circuitdsl.syntax.grammar import parser
from circuitdsl.syntax.words import END


class Entry(NamedTuple):
    """One level of the parse stack."""

    state: int
    symbol: str
    first: int


OPENING = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
"""Each opening bracket and the one that closes it."""


class Machine:
    """A shift-reduce parser of which one can ask what would be accepted next."""

    def __init__(self, start: str):
        configuration = parser().parse_interactive("", start=start).parser_state.parse_conf
        self._table = configuration.states
        self._end_state = configuration.end_state
        self.stack = [Entry(configuration.start_state, "", 0)]

    def copy(self) -> Machine:
        twin = object.__new__(Machine)
        twin._table = self._table
        twin._end_state = self._end_state
        twin.stack = self.stack.copy()
        return twin

    def feed(self, kind: str, index: int) -> bool:
        """Takes the word number `index`, of this kind; False, and nothing changed, if it cannot stand here."""
        found = self._run(kind, index)
        if found is None:
            return False
        keep, pushed = found
        del self.stack[keep:]
        self.stack += pushed
        return True

    def accepts(self, kind: str) -> bool:
        return self._run(kind, 0) is not None

    def expected(self) -> set[str]:
        """The kinds of words that can stand here."""
        candidates = [k for k in self._table[self.stack[-1].state] if k.isupper() or k == END]
        return {kind for kind in candidates if self.accepts(kind)}

    def cut(self, depth: int) -> Machine:
        """The machine as it was with the first `depth` entries of its stack."""
        twin = self.copy()
        del twin.stack[depth:]
        return twin

    def open_brackets(self) -> list[Entry]:
        """The brackets that are open here, the outermost first."""
        opened: list[Entry] = []
        for entry in self.stack:
            if entry.symbol in OPENING:
                opened.append(entry)
            elif opened and entry.symbol == OPENING[opened[-1].symbol]:
                opened.pop()
        return opened

    def _run(self, kind: str, index: int) -> tuple[int, list[Entry]] | None:
        """How many entries stay and which come on top if the word is taken; None if it cannot be."""
        keep = len(self.stack)
        pushed: list[Entry] = []
        while True:
            top = pushed[-1] if pushed else self.stack[keep - 1]
            action = self._table[top.state].get(kind)
            if action is None:
                return None
            argument = action[1]
            if not isinstance(argument, Rule):
                pushed.append(Entry(argument, kind, index))
                return keep, pushed
            size = len(argument.expansion)
            here = min(size, len(pushed))
            first = index
            if size > here:
                first = self.stack[keep - (size - here)].first
            elif here:
                first = pushed[-here].first
            del pushed[len(pushed) - here :]
            keep -= size - here
            below = pushed[-1] if pushed else self.stack[keep - 1]
            goal = self._table[below.state][argument.origin.name][1]
            pushed.append(Entry(goal, argument.origin.name, first))
            if kind == END and goal == self._end_state:
                return keep, pushed
