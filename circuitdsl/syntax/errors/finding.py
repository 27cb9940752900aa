"""What a rule answers: the message, and where to go on; and what several rules need."""

from __future__ import annotations

from collections.abc import Callable

from circuitdsl.diagnostics import Diagnostic, Label, Span, did_you_mean
from circuitdsl.frozen import frozen
from circuitdsl.syntax.errors.machine import Machine
from circuitdsl.syntax.errors.trouble import HOMES, ITEMS, Trouble
from circuitdsl.syntax.grammar import keywords


@frozen(kw_only=True)
class Resume:
    """Where to go on: the machine, the next word, and a brace that nobody has to close."""

    machine: Machine
    at: int
    forgiven: int | None = None


@frozen(kw_only=True)
class Finding:
    """The message (None if it was given before) and the repair (None: look for one)."""

    diagnostic: Diagnostic | None
    resume: Resume | None = None
    #: Whether the repair is what was meant, so that an error soon after it is no echo.
    sure: bool = False


Rule = Callable[[Trouble], Finding | None]


def error(title: str, span: Span, label: str = "", hint: str | None = None, *labels: Label) -> Diagnostic:
    return Diagnostic(code="C001", title=title, span=span, label=label, hint=hint, labels=labels)


def fed(machine: Machine, kind: str, at: int) -> Machine:
    """The machine after one more word, which it is known to accept."""
    twin = machine.copy()
    taken = twin.feed(kind, at)
    assert taken
    return twin


def at_beginning(t: Trouble, at: int) -> bool:
    """Whether the word stands first on its line, or after a brace or a `;`."""
    return t.first_on_line(at) or t.words[at - 1].kind in ("LBRACE", "RBRACE", "SEMICOLON", "DOCSTRING")


def _openers(machine: Machine) -> list[str]:
    """The keywords that could begin something where the machine is."""
    return [w for w, kind in keywords().items() if (kind in HOMES or kind in ITEMS) and machine.accepts(kind)]


def as_keyword(t: Trouble, machine: Machine, at: int, guess: str | None) -> Resume | None:
    """Goes on as if the keyword of the hint stood at `at`, if the text then makes sense."""
    if guess is None:
        return None
    kind = keywords().get(guess.split("`")[1], "")
    if not machine.accepts(kind):
        return None
    meant = fed(machine, kind, at)
    return Resume(machine=meant, at=at + 1) if t.reach(meant, at + 1, 3) == 3 else None


def misspelt_keyword(t: Trouble, before: Machine, at: int) -> Finding | None:
    """`parm n = 48` in the middle of a line, if with the right keyword the text makes sense."""
    word = t.words[at].text
    guess = did_you_mean(word, _openers(before))
    resume = as_keyword(t, before, at, guess)
    if resume is None:
        return None
    what = "an item" if before.accepts("NEURON") else "a member"
    diagnostic = error(f"`{word}` does not begin {what}", t.span(at), f"in {t.inside()}", guess)
    return Finding(diagnostic=diagnostic, resume=resume)


def short(text: str) -> str:
    return text if len(text) <= 24 else text[:23] + "…"
