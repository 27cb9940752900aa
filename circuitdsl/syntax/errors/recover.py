"""All the syntax errors of a text, each reported once.

At each error the rules of mistakes.py give the message, and often the place to go on. Otherwise the
cheapest repair is taken: one word more, one less, or another one, if several of the following words then
make sense; failing that, everything up to the next item or member is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator

from circuitdsl.diagnostics import Diagnostic, Source, Span
from circuitdsl.syntax.errors.finding import Resume
from circuitdsl.syntax.errors.machine import Machine
from circuitdsl.syntax.errors.mistakes import diagnose
from circuitdsl.syntax.errors.trouble import HOMES, ITEMS, Closed, Trouble, first_on_line, indentation
from circuitdsl.syntax.grammar import keywords
from circuitdsl.syntax.words import END, MOST_STRAYS, Word, words

_SIGNS = "COLON EQUAL COMMA ARROW RPAR RSQB LBRACE LPAR NAME STAR IN AS RANGE".split()
_INSERTED = [(kind,) for kind in _SIGNS] + [
    ("RANGE", "NUMBER"), ("COLON", "NUMBER"), ("EQUAL", "NUMBER"), ("ARROW", "NAME"), ("LBRACE", "RBRACE")
]  # fmt: skip
"""What may be missing, the likeliest first."""

_REACH = 8
_BELIEVED = 5
"""A repair is judged by how many of the next words it lets stand, and believed from so many on."""

_DEEPEST = 3000
"""More levels than this of the parse stack (about 1000 open parentheses) are not recovered from."""

_QUIET = 4
"""So many words must stand after an error before a further one is told: what comes sooner is an echo."""


def syntax_errors(source: Source, start: str) -> list[Diagnostic]:
    """Every syntax error of the text, in the order of their places."""
    text, found = words(source)
    if len(found) == MOST_STRAYS:
        return found
    text.append(Word(END, "", len(source.text), len(source.text)))
    found += _Recovery(source, text, start).run()
    return sorted(found, key=lambda d: d.span.start if d.span else 0)


class _Recovery:
    """One walk over the words of a broken text."""

    def __init__(self, source: Source, text: list[Word], start: str):
        self.source = source
        self.words = text
        self.machine = Machine(start)
        self.at = 0
        self.closed: Closed | None = None
        self.forgiven: frozenset[int] = frozenset()
        self.suspects: dict[int, int] = {}
        self.since_error = _QUIET

    def run(self) -> Iterator[Diagnostic]:
        stuck = 0
        while self.at < len(self.words):
            if self._advance():
                stuck = 0
                if len(self.machine.stack) > _DEEPEST:
                    yield self._too_deep()
                    return
                continue
            before = self.at
            yield from self._handle()
            stuck = stuck + 1 if self.at <= before else 0
            if stuck > len(self.machine.stack) + 3:  # no repair may keep us here for ever
                self.at += 1

    def _advance(self) -> bool:
        """Takes the next word if it can stand here."""
        word = self.words[self.at]
        if first_on_line(self.source, self.words, self.at):
            self._suspect(word)
        before = self.machine.copy() if word.kind == "RBRACE" else None
        if not self.machine.feed(word.kind, self.at):
            return False
        if before is not None:
            self.closed = Closed(before, self.at)
        self.at += 1
        self.since_error += 1
        return True

    def _too_deep(self) -> Diagnostic:
        word = self.words[self.at - 1]
        return Diagnostic(
            code="C001",
            title=f"`{word.text}` is nested too deeply",
            span=Span(self.source, word.start, word.end),
            label="the text is not read further",
            hint="close the brackets that are open here",
        )

    def _suspect(self, word: Word) -> None:
        """Remembers the body that a word further left than its opening leaves, or closes, too late."""
        if word.kind not in ITEMS and word.kind != "RBRACE":
            return
        braces = [b for b in self.machine.open_brackets() if b.symbol == "LBRACE"]
        if not braces or braces[-1].first in self.suspects:
            return
        opener = self.words[braces[-1].first]
        here, there = indentation(self.source, word), indentation(self.source, opener)
        if here < there or (word.kind in ITEMS and here == there and self._own_line(opener, word)):
            self.suspects[braces[-1].first] = self.at

    def _own_line(self, opener: Word, word: Word) -> bool:
        return self.source.position(opener.start)[0] != self.source.position(word.start)[0]

    def _handle(self) -> Iterator[Diagnostic]:
        """Reports the error at the next word and finds the place to go on."""
        trouble = Trouble(
            source=self.source, machine=self.machine, words=self.words, at=self.at, closed=self.closed,
            forgiven=self.forgiven, suspects=self.suspects,
        )  # fmt: skip
        finding = diagnose(trouble)
        found = finding.diagnostic
        if found is not None and (self.since_error >= _QUIET or found.code != "C001"):
            yield found
        self.since_error = _QUIET if finding.sure else 0
        self._resume(finding.resume or _repaired(trouble) or _next_item(trouble))

    def _resume(self, resume: Resume) -> None:
        self.machine, self.at = resume.machine, resume.at
        if resume.forgiven is not None:
            self.forgiven |= {resume.forgiven}


def _repaired(t: Trouble) -> Resume | None:
    """The likeliest small change after which the text goes on making sense."""
    best: Resume | None = None
    most = _BELIEVED - 1
    for machine, at in _changes(t):
        reached = t.reach(machine, at, _REACH)
        if reached > most:
            best, most = Resume(machine=machine, at=at), reached
    return best


def _changes(t: Trouble) -> Iterator[tuple[Machine, int]]:
    """Words inserted, one left out, or exchanged; the likeliest first."""
    for kinds in _INSERTED:
        if (machine := _with(t, kinds)) is not None:
            yield machine, t.at
    if t.word.kind == END:
        return
    yield t.machine, t.at + 1
    for kinds in _INSERTED:
        if (machine := _with(t, kinds)) is not None:
            yield machine, t.at + 1


def _with(t: Trouble, kinds: tuple[str, ...]) -> Machine | None:
    """The machine after these further words, None if it does not take them."""
    machine = t.machine.copy()
    return machine if all(machine.feed(kind, t.at) for kind in kinds) else None


def _next_item(t: Trouble) -> Resume:
    """Skips to the next word with which an item or a member begins, or a body ends."""
    brackets = t.machine.open_brackets()
    inner = brackets[-1].symbol if brackets else ""
    parentheses = 0 if inner == "LBRACE" else 1
    braces = 0
    for at in range(t.at, len(t.words)):
        word = t.words[at]
        if braces == 0 and _synchronises(t, at, parentheses):
            machine = _cut_to(t.machine, word.kind)
            if machine is not None:
                return Resume(machine=machine, at=at)
        match word.kind:
            case "LBRACE":
                braces += 1
            case "RBRACE":
                braces = max(0, braces - 1)
            case "LPAR":
                parentheses += 1
            case "RPAR":
                parentheses -= 1
            case _:
                pass
    end = len(t.words) - 1
    return Resume(machine=_cut_to(t.machine, "RBRACE") or t.machine, at=end)


def _synchronises(t: Trouble, at: int, parentheses: int) -> bool:
    word = t.words[at]
    if word.kind in ("RBRACE", END) or word.kind in ITEMS:
        return True
    if word.kind in HOMES and word.text in keywords():
        return t.words[at + 1].kind in ("NAME", "EQUAL", "WHEN")
    return t.begins_assignment(at) and (parentheses <= 0 or t.first_on_line(at))


def _cut_to(machine: Machine, kind: str) -> Machine | None:
    """The machine cut back as little as possible so that the word can stand, in the innermost body."""
    for depth in range(len(machine.stack), 0, -1):
        trial = machine.cut(depth)
        if trial.accepts(kind) and not _in_expression(trial):
            return trial
    return None


def _in_expression(machine: Machine) -> bool:
    """Whether a parenthesis or a bracket is open: `loss` and `rate` could stand there as values."""
    brackets = machine.open_brackets()
    return bool(brackets) and brackets[-1].symbol != "LBRACE"
