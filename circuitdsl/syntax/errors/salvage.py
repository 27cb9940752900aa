"""What can be read of a broken text: its tree without the items and members that make no sense.

Whoever types wants the names of all that stands around the cursor, and what stands there is seldom finished. Nothing
is repaired but bodies that are not closed; messages come from recover.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lark import Token
from lark.exceptions import LarkError

from circuitdsl.diagnostics import CircuitError, Source, Span
from circuitdsl.syntax import ast
from circuitdsl.syntax.build import Builder
from circuitdsl.syntax.errors.machine import Machine
from circuitdsl.syntax.errors.trouble import HOMES, ITEMS
from circuitdsl.syntax.grammar import parser
from circuitdsl.syntax.parse import refuse_too_deep
from circuitdsl.syntax.words import END, Word, words


def salvage(source: Source) -> ast.File:
    """The tree of a text, of which any part may be wrong: never an error. Of a text that is right it is all."""
    found, _ = words(source)
    kept = _Salvage([*found, Word(END, "", len(source.text), len(source.text))]).run()
    try:
        tree = parser().parse_interactive("", start="start")
        for word in kept:
            tree.feed_token(Token(word.kind, word.text, start_pos=word.start, end_pos=word.end))
        parsed = tree.feed_eof()
        refuse_too_deep(source, parsed)
        built = Builder(source).transform(parsed)
    except (LarkError, CircuitError):
        built = None
    return built if isinstance(built, ast.File) else ast.File(span=Span(source, 0, len(source.text)), items=())


@dataclass(slots=True)
class _Salvage:
    """One walk over the words: what is kept, and what was kept and read before the item or member at hand. `headless`:
    the members that are left out are those of a body whose head makes no sense."""

    words: Sequence[Word]
    machine: Machine = field(default_factory=lambda: Machine("start"))
    kept: list[Word] = field(default_factory=list)
    before: tuple[int, Machine] = field(default_factory=lambda: (0, Machine("start")))
    headless: bool = False

    def run(self) -> list[Word]:
        at = 0
        while self.words[at].kind != END:
            at = self.step(at)
        if not self.closes(END, at):
            self.restore()
            self.closes(END, at)
        return self.kept

    def step(self, at: int) -> int:
        """Takes the word, or leaves it out with the item or member at hand; gives the word to go on with."""
        word = self.words[at]
        if word.kind == "RBRACE" and self.headless:
            self.headless = False
            return at + 1
        if self.begins(at):
            if not self.is_between():
                self.restore()
            if not self.closes(word.kind, at):
                self.headless = self.headless or word.kind not in ITEMS
                return self.next(at + 1)
            self.headless = False
            self.remember()
        if self.machine.feed(word.kind, at):
            self.kept.append(word)
            if word.kind in ("LBRACE", "RBRACE"):
                self.remember()
            return at + 1
        self.restore()
        return self.next(at)

    def begins(self, at: int) -> bool:
        """Whether an item or a member begins, in a body and not in an expression."""
        word = self.words[at]
        if word.kind == "NAME":
            kinds = [w.kind for w in self.words[at + 1 : at + 4]]
            return self.is_between() and (kinds[:1] == ["EQUAL"] or kinds == ["SLASH", "NAME", "EQUAL"])
        if word.kind in ("LOSS", "RATE"):
            return self.in_body() and self.words[at + 1].kind == "EQUAL"
        return word.kind in ITEMS or word.kind in HOMES

    def in_body(self) -> bool:
        brackets = self.machine.open_brackets()
        return not brackets or brackets[-1].symbol == "LBRACE"

    def is_between(self) -> bool:
        """Whether what was read so far is complete, so that an item or a member may begin."""
        return self.in_body() and (self.machine.accepts("RBRACE") or self.machine.accepts(END))

    def closes(self, kind: str, at: int) -> bool:
        """Closes bodies until the word can stand; False, and nothing changed, if it never can."""
        trial, braces = self.machine.copy(), 0
        while not trial.accepts(kind):
            if not trial.feed("RBRACE", at):
                return False
            braces += 1
        place = self.words[at].start
        self.kept += [Word("RBRACE", "}", place, place)] * braces
        self.machine = trial
        return True

    def remember(self) -> None:
        self.before = (len(self.kept), self.machine.copy())

    def restore(self) -> None:
        """Leaves out what was kept of the item or member at hand."""
        length, machine = self.before
        del self.kept[length:]
        self.machine = machine.copy()

    def next(self, at: int) -> int:
        """The next word with which something begins, or this body ends."""
        depth = 0
        for place in range(at, len(self.words)):
            kind = self.words[place].kind
            if kind == END or (depth == 0 and self.begins(place)):
                return place
            if kind == "RBRACE" and depth == 0:
                return place if self.headless or self.machine.accepts(kind) else place + 1
            depth += {"LBRACE": 1, "RBRACE": -1}.get(kind, 0)
        return len(self.words) - 1
