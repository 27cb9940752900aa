"""Mistakes with braces, parentheses and brackets: missing, too many, closed too early."""

from __future__ import annotations

from circuitdsl.diagnostics import Diagnostic, Label
from circuitdsl.syntax.errors.finding import (
    Finding,
    Resume,
    error,
    fed,
)
from circuitdsl.syntax.errors.machine import OPENING, Entry, Machine
from circuitdsl.syntax.errors.trouble import ITEMS, NAMED, Trouble, described
from circuitdsl.syntax.grammar import spellings
from circuitdsl.syntax.words import END


def closed_too_early(t: Trouble) -> Finding | None:
    """A `}` too many: what follows it fits into the body that it closed."""
    if t.closed is None or t.closed.brace != t.at - 1 or not t.begins_something(t.at):
        return None
    if not t.closed.before.accepts(t.word.kind):
        return None
    before = t.closed.before
    brace = before.open_brackets()[-1]
    what = described(t.words, brace.first)
    diagnostic = error(
        f"`}}` closes {what} before {t.quoted()}",
        t.span(t.closed.brace),
        f"{what} ends here",
        f"remove this `}}`, or move `{t.word.text}` before it",
        Label(t.span(t.at), f"cannot stand outside {_kind_of(what)}"),
    )
    return Finding(diagnostic=diagnostic, resume=Resume(machine=before, at=t.at, forgiven=brace.first))


def _kind_of(what: str) -> str:
    """ "neuron `h`" becomes "a neuron"."""
    word = what.split(" `")[0]
    return word if word.startswith("the ") else f"a {word}"


def outside(t: Trouble) -> Finding | None:
    """An item of a circuit on the top level of the file."""
    if t.word.kind not in ITEMS - {"CIRCUIT"} or not t.machine.accepts("CIRCUIT"):
        return None
    diagnostic = error(
        f"`{t.word.text}` stands outside a circuit",
        t.span(t.at),
        "only `circuit`, `motif`, `rule` and `import` stand at the top of a file",
        "put it between the braces of `circuit name { … }`",
    )
    inner = t.machine
    for kind in ("CIRCUIT", "NAME", "LBRACE"):
        inner = fed(inner, kind, t.at)
    return Finding(diagnostic=diagnostic, resume=Resume(machine=inner, at=t.at, forgiven=t.at))


def closes_nothing(t: Trouble) -> Finding | None:
    if t.word.kind not in OPENING.values():
        return None
    opening = next(o for o, c in OPENING.items() if c == t.word.kind)
    if any(b.symbol == opening for b in t.machine.open_brackets()):
        return None
    sign = spellings()[opening]
    diagnostic = error(f"`{t.word.text}` closes nothing", t.span(t.at), f"no `{sign}` is open here")
    return Finding(diagnostic=diagnostic, resume=Resume(machine=t.machine, at=t.at + 1))


def unclosed(t: Trouble) -> Finding | None:
    """Something begins, or closes, while a bracket inside is still open."""
    brackets = t.machine.open_brackets()
    if not brackets or not _fits_after_closing(t, brackets):
        return None
    innermost = brackets[-1]
    closed = fed(t.machine, OPENING[innermost.symbol], t.at)
    resume = Resume(machine=closed, at=t.at)
    supposed = t.words[innermost.first].kind != innermost.symbol  # put there by a repair
    if supposed or innermost.first in t.forgiven:
        return Finding(diagnostic=None, resume=resume)
    if innermost.symbol == "LBRACE":
        diagnostic, blamed = _missing_brace(t, innermost)
        return Finding(diagnostic=diagnostic, resume=Resume(machine=closed, at=t.at, forgiven=blamed))
    opening, missing = spellings()[innermost.symbol], spellings()[OPENING[innermost.symbol]]
    resume = Resume(machine=_parentheses_closed(t), at=t.at)  # one message for all of them
    diagnostic = error(
        f"`{opening}` is not closed: `{missing}` is missing before {t.quoted()}",
        t.span(innermost.first),
        "opened here",
        None,
        *([] if t.word.kind == END else [Label(t.span(t.at), f"`{missing}` is missing before this")]),
    )
    return Finding(diagnostic=diagnostic, resume=resume)


def _parentheses_closed(t: Trouble) -> Machine:
    """The machine with the parentheses and square brackets closed that stand in the word's way."""
    machine = t.machine.copy()
    for entry in reversed(t.machine.open_brackets()):
        if entry.symbol == "LBRACE" or machine.accepts(t.word.kind):
            break
        machine.feed(OPENING[entry.symbol], t.at)
    return machine


def _fits_after_closing(t: Trouble, brackets: list[Entry]) -> bool:
    """Whether the word makes sense once some of the open brackets are closed."""
    closing = t.word.kind in (END, *OPENING.values())
    assignment = t.begins_assignment(t.at) and t.expression_complete()
    if not (closing or assignment or t.begins_something(t.at)):
        return False
    trial = t.machine.copy()
    for entry in reversed(brackets):
        if not trial.feed(OPENING[entry.symbol], t.at):
            return False
        if trial.accepts(t.word.kind):
            break
    if closing or t.first_on_line(t.at):
        return trial.accepts(t.word.kind)
    # In the middle of a line a keyword may be a slip, and `name =` the next argument of a call.
    believed = 10 if assignment else 3
    return t.reach(trial, t.at, believed) == believed


def _missing_brace(t: Trouble, innermost: Entry) -> tuple[Diagnostic, int]:
    """C002 and the opening brace that it blames: the innermost one, or the one that the layout shows."""
    if t.word.kind != END:
        return _brace_missing_before(t, t.at, innermost), innermost.first
    for opener, word in t.suspects.items():
        if opener in t.forgiven:
            continue
        if t.words[word].kind == "RBRACE":
            label = Label(t.span(word), "by its indentation this closes another one")
            return _never_closed(t, opener, label), opener
        return _brace_missing_by_layout(t, word, opener), opener
    return _never_closed(t, innermost.first), innermost.first


def _never_closed(t: Trouble, opener: int, *labels: Label) -> Diagnostic:
    what = described(t.words, opener)
    return Diagnostic(
        code="C002",
        title=f"the `{{` of {what} is never closed",
        span=t.span(opener),
        label="opened here",
        labels=labels,
        hint=f"close {what} with `}}`",
    )


def _brace_missing_before(t: Trouble, item: int, brace: Entry) -> Diagnostic:
    what = described(t.words, brace.first)
    return Diagnostic(
        code="C002",
        title=f"`}}` is missing before `{_beginning(t, item)}`",
        span=t.span(item),
        label=f"this starts while {what} is still open",
        labels=(Label(t.span(brace.first), "opened here"),),
        hint=f"close {what} with `}}`",
    )


def _brace_missing_by_layout(t: Trouble, item: int, opener: int) -> Diagnostic:
    what = described(t.words, opener)
    return Diagnostic(
        code="C002",
        title=f"`}}` is missing before `{_beginning(t, item)}`",
        span=t.span(item),
        label=f"by its indentation this stands outside {what}",
        labels=(Label(t.span(opener), "opened here and never closed"),),
        hint=f"close {what} with `}}`",
    )


def _beginning(t: Trouble, at: int) -> str:
    """The keyword of an item and its name."""
    name = t.words[at].kind in NAMED and t.words[at + 1].kind == "NAME"
    return t.text(at, at + 1) if name else t.words[at].text
