"""What can be read of a broken text: its tree without the items and members that make no sense.

Whoever types wants the names of all that stands around the cursor, and what stands there is seldom finished. Nothing
is repaired but bodies that are not closed; messages come from recover.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any

from lark import Token
from lark.exceptions import LarkError

from circuitdsl.diagnostics import CircuitError, Source, Span
from circuitdsl.frozen import frozen, mutable
from circuitdsl.syntax import ast
from circuitdsl.syntax.build import Builder
from circuitdsl.syntax.errors.machine import OPENING, Machine
from circuitdsl.syntax.errors.trouble import HOMES, ITEMS
from circuitdsl.syntax.grammar import parser, spellings
from circuitdsl.syntax.parse import refuse_too_deep
from circuitdsl.syntax.words import END, Word, words


def salvage(source: Source) -> ast.File:
    """The tree of a text, of which any part may be wrong: never an error. Of a text that is right it is all."""
    found, _ = words(source)
    return _tree(source, _Salvage([*found, _end(source)]).run())


@frozen(kw_only=True)
class Standing:
    """Where one stands in a text. `before`: the words that were kept, down to the last one before it; `item`: those of
    them that belong to the item or member at hand; `expected`: the kinds of words that can stand next. `tree`: what
    can be read of the whole text with a name, `name`, put there; None where no name can stand."""

    before: tuple[Word, ...]
    item: tuple[Word, ...]
    expected: frozenset[str]
    tree: ast.File | None


def standing(source: Source, start: int, end: int, name: str) -> Standing:
    """How things stand at a place of a text, the characters from `start` to `end` left out."""
    found, _ = words(source)
    before = [w for w in found if w.end <= start]
    walk = _Salvage([*before, Word(END, "", start, start)])
    walk.walk()
    head = tuple(walk.kept[walk.before[0] :])
    expected = frozenset(walk.machine.expected())
    closing = _closing(walk.machine, Word("NAME", name, start, start))
    tree = None
    if closing is not None:
        after = [w for w in found if w.start >= end]
        tree = _tree(source, _Salvage([*walk.kept, *closing, *after, _end(source)]).run())
    return Standing(before=tuple(walk.kept), item=head, expected=expected, tree=tree)


_CLOSING = ("", "EQUAL NUMBER", "COLON NUMBER", "COLON NUMBER LBRACE RBRACE", "COLON NAME", "COLON NAME ARROW NAME",
            "ARROW NAME", "LBRACE RBRACE", "TILDE NAME", "AS NAME LPAR RPAR", "NAME", "RANGE NUMBER LBRACE RBRACE",
            "IN NUMBER RANGE NUMBER LBRACE RBRACE")  # fmt: skip
"""What may come after a name so that the item or member is complete; a `;` ends it."""


def _word(kind: str, at: int) -> Word:
    """A word that is not in the text."""
    text = {"NAME": "_", "NUMBER": "1", "ARROW": "->", "RANGE": ".."} | spellings()
    return Word(kind, text[kind], at, at)


def _closing(machine: Machine, name: Word) -> list[Word] | None:
    """The name with the least that has to follow it; None if no name can stand there, or nothing helps."""
    if not machine.accepts(name.kind):
        return None
    brackets = [OPENING[b.symbol] for b in machine.open_brackets()[::-1] if b.symbol != "LBRACE"]
    for rest in _CLOSING:
        kinds = [*brackets, *rest.split(), "SEMICOLON"]
        trial = machine.copy()
        if all(trial.feed(kind, 0) for kind in (name.kind, *kinds)) and is_between(trial):
            return [name, *(_word(kind, name.end) for kind in kinds)]
    return None


def _end(source: Source) -> Word:
    return Word(END, "", len(source.text), len(source.text))


def _tree(source: Source, kept: Sequence[Word]) -> ast.File:
    """The tree of words that make a file; an empty one if it is nested too deep to be read."""
    feeding: Any = parser().parse_interactive("", start="start")
    try:
        for word in kept:
            feeding.feed_token(Token(word.kind, word.text, start_pos=word.start, end_pos=word.end))
        parsed = feeding.feed_eof()
        refuse_too_deep(source, parsed)
        built = Builder(source).transform(parsed)
    except (LarkError, CircuitError):
        built = None
    return built if isinstance(built, ast.File) else ast.File(span=Span(source, 0, len(source.text)), items=())


def is_between(machine: Machine) -> bool:
    """Whether what was read so far is complete, so that an item or a member may begin."""
    brackets = machine.open_brackets()
    in_body = not brackets or brackets[-1].symbol == "LBRACE"
    return in_body and (machine.accepts("RBRACE") or machine.accepts(END))


@mutable
class _Salvage:
    """One walk over the words: what is kept, and what was kept and read before the item or member at hand. `headless`:
    the members that are left out are those of a body whose head makes no sense."""

    words: Sequence[Word]
    machine: Machine = field(default_factory=lambda: Machine("start"))
    kept: list[Word] = field(default_factory=list)
    before: tuple[int, Machine] = field(default_factory=lambda: (0, Machine("start")))
    headless: bool = False

    def run(self) -> list[Word]:
        """The words that make a file."""
        end = self.walk()
        if not self.closes(END, end):
            self.restore()
            self.closes(END, end)
        return self.kept

    def walk(self) -> int:
        """Reads to the end of the text; gives its place."""
        at = 0
        while self.words[at].kind != END:
            at = self.step(at)
        return at

    def step(self, at: int) -> int:
        """Takes the word, or leaves it out with the item or member at hand; gives the word to go on with."""
        word = self.words[at]
        if word.kind == "RBRACE" and self.headless:
            self.headless = False
            return at + 1
        if self.begins(at):
            if not is_between(self.machine):
                self.restore()
            if not self.closes(word.kind, at):
                self.headless = self.headless or word.kind not in ITEMS
                return self.next(at + 1)
            self.headless = False
            self.remember()
        if self.machine.feed(word.kind, at):
            self.kept.append(word)
            if word.kind in ("LBRACE", "RBRACE", "SEMICOLON"):
                self.remember()
            return at + 1
        self.restore()
        return self.next(at)

    def begins(self, at: int) -> bool:
        """Whether an item or a member begins, in a body and not in an expression."""
        word = self.words[at]
        if word.kind == "NAME":
            kinds = [w.kind for w in self.words[at + 1 : at + 4]]
            return is_between(self.machine) and (kinds[:1] == ["EQUAL"] or kinds == ["SLASH", "NAME", "EQUAL"])
        if word.kind in ("LOSS", "RATE"):
            return self.in_body() and self.words[at + 1].kind == "EQUAL"
        return word.kind in ITEMS or word.kind in HOMES

    def in_body(self) -> bool:
        brackets = self.machine.open_brackets()
        return not brackets or brackets[-1].symbol == "LBRACE"

    def closes(self, kind: str, at: int) -> bool:
        """Closes bodies until the word can stand; False, and nothing changed, if it never can."""
        trial, braces = self.machine.copy(), 0
        while not trial.accepts(kind):
            if not trial.feed("RBRACE", at):
                return False
            braces += 1
        place = self.words[at].start
        self.kept += [_word("RBRACE", place)] * braces
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
