"""Slips in expressions: operators of other languages, missing ones, chained comparisons."""

from __future__ import annotations

from circuitdsl.diagnostics import Diagnostic, Label
from circuitdsl.syntax.errors.finding import (
    Finding,
    Resume,
    at_beginning,
    error,
    fed,
    misspelt_keyword,
    short,
)
from circuitdsl.syntax.errors.trouble import Trouble
from circuitdsl.syntax.words import END, UNIT


def chained_comparison(t: Trouble) -> Finding | None:
    if t.word.kind != "COMPARISON" or not t.expression_complete():
        return None
    bracket = t.bracket()
    inner = [e for e in t.machine.stack if bracket is None or e.first >= bracket.first]
    at = next((n for n, e in enumerate(inner) if e.symbol == "COMPARISON"), None)
    if at is None or at == 0:
        return None
    first, sign = inner[at - 1].first, inner[at].first
    left, middle = t.text(first, sign - 1), t.text(sign + 1, t.at - 1)
    diagnostic = error(
        f"`{t.word.text}` after `{t.text(first, t.at - 1)}`: comparisons do not chain",
        t.span(t.at),
        "a second comparison",
        f"a comparison gives 0 or 1; for both write `({left} {t.words[sign].text} {middle}) * "
        f"({middle} {t.word.text} …)`",
        Label(t.span(sign), "the first one"),
    )
    return Finding(diagnostic=diagnostic, resume=Resume(machine=fed(t.machine, "SUM", t.at), at=t.at + 1))


def foreign_comment(t: Trouble) -> Finding | None:
    """`// …` and `/* … */`"""
    first = t.at
    if t.word.kind in ("SLASH", "STAR") and t.previous is not None and t.previous.kind == "SLASH":
        first = t.at - 1
    opening = t.words[first : first + 2]
    if len(opening) < 2 or opening[0].end != opening[1].start or opening[0].kind != "SLASH":
        return None
    if opening[1].kind not in ("SLASH", "STAR"):
        return None
    machine = t.machine if first == t.at else t.machine.cut(len(t.machine.stack) - 1)
    end = first + 2
    while t.words[end].kind != END and not _comment_ends(t, end, opening[1].kind):
        end += 1
    sign = opening[0].text + opening[1].text
    diagnostic = error(f"`{sign}` does not begin a comment", t.span(first, first + 1), "", "comments begin with `#`")
    return Finding(diagnostic=diagnostic, resume=Resume(machine=machine, at=end))


def _comment_ends(t: Trouble, at: int, second: str) -> bool:
    if second == "SLASH":
        return t.first_on_line(at)
    return t.words[at - 1].kind == "SLASH" and t.words[at - 2].kind == "STAR"


def foreign_operator(t: Trouble) -> Finding | None:
    """`**`, `&&`, `+=`"""
    word, previous = t.word, t.previous
    if previous is None:
        return None
    if word.kind == "STAR" == previous.kind and previous.end == word.start:
        power = t.machine.cut(len(t.machine.stack) - 1)
        resume = Resume(machine=fed(power, "STAR", t.at), at=t.at + 1)
        span = t.span(t.at - 1, t.at)
        found = error("`**` is not an operator", span, "a power is written `^`", "write `^`")
        return Finding(diagnostic=found, resume=resume)
    if word.kind == "AMP" == previous.kind:
        found = error("`&&` is not an operator", t.span(t.at - 1, t.at), "", _AND)
        return Finding(diagnostic=found, resume=Resume(machine=t.machine, at=t.at + 1))
    compound = t.next.kind == "EQUAL" and t.next.start == word.end
    if compound and word.kind in ("SUM", "STAR", "SLASH") and t.machine.accepts("EQUAL"):
        name = previous.text
        increment = len(name) > 1 and name.startswith("d")
        state = name[1:] if increment else name
        minus = "-" if word.text == "-" else ""
        hint = f"`d{state} = {minus}…` is the increment of `{state}` per tick, which is added to it"
        found = error(f"there is no `{word.text}=`", t.span(t.at, t.at + 1), f"after `{name}`", hint)
        return Finding(diagnostic=found, resume=Resume(machine=t.machine, at=t.at + 1))
    return None


_AND = "conditions of `connect` are joined by `&`; for 0/1 values `a and b` is `a * b`"


_OTHER_LANGUAGES = {
    "if": "`where(condition, a, b)` chooses between two values",
    "else": "`where(condition, a, b)` chooses between two values",
    "and": _AND,
    "or": "for 0/1 values `a or b` is `max(a, b)`",
    "return": "what a neuron sends is its rate: `rate = …`",
}


def comma_between(t: Trouble) -> Finding | None:
    """`{ init = zeros, dw = 1 }`"""
    bracket = t.bracket()
    if t.word.kind != "COMMA" or bracket is None or bracket.symbol != "LBRACE":
        return None
    if not t.machine.accepts("RBRACE") or not (t.begins_assignment(t.at + 1) or t.begins_something(t.at + 1)):
        return None
    diagnostic = error(
        "`,` does not separate items", t.span(t.at), "", "a line end or a space is enough; `;` is allowed"
    )
    return Finding(diagnostic=diagnostic, resume=Resume(machine=t.machine, at=t.at + 1))


def two_operands(t: Trouble) -> Finding | None:
    """`eta pre`, `2x`, `f(a b)`: the second operand itself cannot stand here."""
    if t.word.kind not in ("NAME", "NUMBER", "LPAR", "STRING") or not t.expression_complete():
        return None
    if any(t.machine.accepts(sign) for sign in ("TILDE", "RANGE", "ARROW")):
        return None
    return misspelt_keyword(t, t.machine, t.at) or Finding(diagnostic=_missing_operator(t, t.at))


def two_operands_before(t: Trouble) -> Finding | None:
    """`eta pre * post`: `pre` was taken for the beginning of a member, or for the `at` of a loss."""
    previous = t.previous
    if previous is None or previous.kind != "NAME" or t.machine.stack[-1].symbol != "NAME":
        return None
    name = t.at - 1
    before = t.machine.cut(len(t.machine.stack) - 1)
    if at_beginning(t, name):
        return misspelt_keyword(t, before, name)
    if not t.expected() <= {"EQUAL", "SLASH", "NAME"} or name == 0:
        return None
    if t.words[name - 1].kind not in ("NAME", "NUMBER", "RPAR", "RSQB", "STRING", "LOSS", "RATE", "TRAIN"):
        return None
    return misspelt_keyword(t, before, name) or Finding(diagnostic=_missing_operator(t, name))


def _missing_operator(t: Trouble, at: int) -> Diagnostic:
    """Two operands side by side, the second at `at`."""
    left, right = t.words[at - 1], t.words[at]
    if left.kind == "NUMBER" and left.end == right.start:
        both = t.text(at - 1, at)
        if UNIT.fullmatch(right.text):
            return unit_of(t, at)
        hint = f"write `{left.text} * {right.text}`" if right.kind == "NAME" else None
        return error(f"`{both}` is neither a number nor a name", t.span(at - 1, at), "", hint)
    return error(
        f"`{short(right.text)}` follows `{short(left.text)}` without an operator",
        t.span(at),
        "an operator or a comma is missing before this",
        _OTHER_LANGUAGES.get(right.text) or _OTHER_LANGUAGES.get(left.text),
    )


def unit_of(t: Trouble, at: int) -> Diagnostic:
    """C004: the unit at `at`, after its number."""
    return Diagnostic(
        code="C004",
        title=f"`{t.text(at - 1, at)}`: physical units are not yet available",
        span=t.span(at - 1, at),
        label="reserved for a later version",
        hint=f"write the number alone: `{t.words[at - 1].text}`",
    )


def numbered_name(t: Trouble) -> Finding | None:
    """`neuron 3h: 64`"""
    if t.word.kind != "NUMBER" or t.next.kind != "NAME" or t.next.start != t.word.end:
        return None
    if t.expected() != {"NAME"}:
        return None
    diagnostic = error(
        f"`{t.text(t.at, t.at + 1)}` is not a name: names begin with a letter or `_`", t.span(t.at, t.at + 1)
    )
    return Finding(diagnostic=diagnostic, resume=Resume(machine=fed(t.machine, "NAME", t.at), at=t.at + 2))
