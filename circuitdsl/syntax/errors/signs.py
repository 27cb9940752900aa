"""Signs of other languages in the place of ours, and signs that were left out: each with what to write.

Every rule looks at what the grammar requires at the word: `=`, `:`, `->`, `~`, `in` or `..`. Reading goes on as if
it stood there, so that what comes after is told as well.
"""

from __future__ import annotations

from circuitdsl.syntax.errors.finding import Finding, Resume, Rule, at_beginning, error, fed
from circuitdsl.syntax.errors.phrases import expectation
from circuitdsl.syntax.errors.trouble import Trouble
from circuitdsl.syntax.grammar import spellings
from circuitdsl.syntax.words import UNIT

_OPERAND = frozenset("NAME NUMBER STRING LPAR LSQB".split())
_ARROWS = ("=>", "-->", "==>", "->>", ">", "- >", "~>", "|>")
_VERDICTS = frozenset("exact gradient aligned descent ascent inconsistent none".split())
#: Settings that are assigned by their name alone, in the bodies of tasks, synapses and schedules.
_SETTINGS = frozenset(
    "data epochs batch seed metric scale validation init connect sign bounds dw update dt".split()
)  # fmt: skip


def other_sign(t: Trouble) -> Finding | None:
    """The first of the rules below that knows the mistake."""
    for rule in _RULES:
        if finding := rule(t):
            return finding
    return None


def _requires(t: Trouble, sign: str) -> bool:
    """Whether the sign must come, rather than that it may: no item and no member could begin here."""
    return t.machine.accepts(sign) and not (t.machine.accepts("RBRACE") or t.machine.accepts("CIRCUIT"))


def _finding(t: Trouble, sign: str, hint: str, *, skip: int = 1, title: str | None = None) -> Finding:
    """What was expected and found, the way out, and the sign put in the place of `skip` words."""
    after = t.words[t.at - 1].text
    told = title or f"expected {expectation(t.expected())} after `{after}`, found {t.quoted()}"
    inside = t.inside()
    span = t.span(t.at, t.at + max(skip, 1) - 1)
    diagnostic = error(told, span, f"in {inside}" if inside else "", hint)
    return Finding(diagnostic=diagnostic, resume=Resume(machine=fed(t.machine, sign, t.at), at=t.at + skip), sure=True)


def _statement(t: Trouble) -> int:
    """The word with which the item or member begins that is being read."""
    at = t.at - 1
    while at > 0 and not (at_beginning(t, at) or t.begins_something(at)):
        at -= 1
    return at


def _written(t: Trouble, sign: str) -> str:
    """What was read of the statement, with the sign and what follows: `param eta = …`."""
    start = t.text(_statement(t), t.at - 1)
    return f"{start}: …" if sign == ":" else f"{start} {sign} …"


# ---------------------------------------------------------------- one sign


def _equals(t: Trouble) -> Finding | None:
    """`param eta: 0.1`, `rate := d`, `data digits`, `param c per W` without its start."""
    if not _requires(t, "EQUAL") or t.machine.accepts("COLON"):
        return None
    if t.word.kind == "COLON":
        return _finding(t, "EQUAL", f"write `=`: `{_written(t, '=')}`", skip=2 if t.next.kind == "EQUAL" else 1)
    if any(entry.symbol == "PER" for entry in t.machine.stack[-6:]) and t.word.kind not in _OPERAND:
        found = _finding(t, "EQUAL", f"a coefficient needs a start: `{t.text(_statement(t), t.at - 1)} = 0.1`", skip=0)
        assert found.resume is not None
        start = Resume(machine=fed(found.resume.machine, "NUMBER", t.at), at=t.at)
        return Finding(diagnostic=found.diagnostic, resume=start, sure=True)
    before = t.words[t.at - 1]
    named = before.kind in ("LOSS", "RATE") or t.words[t.at - 2].kind in ("PARAM", "LET", "STATE", "DRIVE", "MODULATOR")
    if t.word.kind in _OPERAND and (named or before.text in _SETTINGS) and not t.first_on_line(t.at):
        value = t.text(t.at, t.at) + ("(…)" if t.next.kind == "LPAR" else "")
        head = before.text if before.text in _SETTINGS else t.text(_statement(t), t.at - 1)
        return _finding(t, "EQUAL", f"write `{head} = {value}`", skip=0)
    return None


def _colon(t: Trouble) -> Finding | None:
    """`input x = 4`, `neuron h(3) {`, `neuron h 5 {`, `neuron h {`, `input x[4]`."""
    if not _requires(t, "COLON") or t.machine.accepts("EQUAL"):
        return None
    head = t.text(_statement(t), t.at - 1)
    what = t.words[_statement(t)].text
    match t.word.kind:
        case "EQUAL":
            size = t.words[t.at + 1].text
            return _finding(t, "COLON", f"write `:`: `{head}: {size}`")
        case "LPAR" if t.words[t.at + 2].kind == "RPAR":
            return _finding(t, "COLON", f"write `{head}: {t.words[t.at + 1].text}`", skip=0)
        case "LPAR" | "NUMBER":
            return _finding(t, "COLON", f"the size follows a colon: `{head}: {t.word.text}`", skip=0)
        case _ if t.words[t.at - 1].kind == "RSQB" and what in ("input", "target", "neuron"):
            name, _, index = head.partition("[")
            hint = f"`[…]` is an index of the name; the number of units follows a colon: `{name}: {index[:-1]}`"
            return _finding(t, "COLON", hint, skip=0)
        case "LBRACE" if what == "neuron":
            return _finding(t, "COLON", f"say how many units it has: `{head}: 10 {{`", skip=0)
        case _:
            return None


def _synapse_without_name(t: Trouble) -> Finding | None:
    """`synapse x -> o`: the source was taken for the name; `neuron: 5 {`."""
    if t.word.kind == "COLON" and t.words[t.at - 1].kind in ("SYNAPSE", "NEURON", "INPUT", "TARGET"):
        what = t.words[t.at - 1].text
        name = {"synapse": "W", "neuron": "h", "input": "x", "target": "y"}[what]
        written = t.text(t.at + 1, t.at + 3) if what == "synapse" else t.next.text
        title = f"expected a name after `{what}`, found `:`"
        found = error(title, t.span(t.at), "", f"give it a name: `{what} {name}: {written}`")
        return Finding(diagnostic=found, resume=Resume(machine=fed(t.machine, "NAME", t.at), at=t.at), sure=True)
    if t.word.kind not in ("ARROW", "DOT") or not _requires(t, "COLON") or t.machine.accepts("EQUAL"):
        return None
    start = _statement(t)
    if t.words[start].kind != "SYNAPSE" or t.at - start != 2:
        return None
    source = t.words[t.at - 1].text
    machine = fed(fed(t.machine, "COLON", t.at), "NAME", t.at - 1)
    rest = t.text(t.at - 1, min(t.at + 1, len(t.words) - 2))
    diagnostic = error(
        f"a synapse needs a name before `{source}`", t.span(t.at - 1), "this is where it starts",
        f"write `synapse W: {rest}`",
    )  # fmt: skip
    return Finding(diagnostic=diagnostic, resume=Resume(machine=machine, at=t.at), sure=True)


def _arrow(t: Trouble) -> Finding | None:
    """`x => h`, `x --> h`, `x to h`, `x, h`, `h <- x`."""
    if not _requires(t, "ARROW"):
        return None
    sign, skip = _run_of_signs(t)
    if sign.startswith("<"):
        target, source = t.words[t.at - 1].text, t.words[t.at + skip].text
        return _finding(t, "ARROW", f"a synapse is written from its source on: `{source} -> {target}`", skip=skip)
    if sign in _ARROWS or t.word.text in ("to", ",", "→"):
        skip = skip or 1
        return _finding(t, "ARROW", f"write `->`: `{t.words[t.at - 1].text} -> {t.words[t.at + skip].text}`", skip=skip)
    if t.word.kind == "NAME" and not t.first_on_line(t.at):
        return _finding(t, "ARROW", f"write `{t.words[t.at - 1].text} -> {t.word.text}`", skip=0)
    return None


def _run_of_signs(t: Trouble) -> tuple[str, int]:
    """The signs that stand here without a space, such as `=>`, and how many words they are."""
    at = t.at
    while at < len(t.words) and t.words[at].kind in ("EQUAL", "COMPARISON", "SUM", "TILDE", "ARROW"):
        at += 1
    return t.text(t.at, at - 1) if at > t.at else "", at - t.at


def _tilde(t: Trouble) -> Finding | None:
    """`expect attractor V = transpose(W)`, `pair h -> g`."""
    if not _requires(t, "TILDE") or t.word.kind not in ("EQUAL", "ARROW", "COMPARISON", "COLON", "COMMA"):
        return None
    return _finding(t, "TILDE", f"write `~`: `{_written(t, '~')}`", skip=_run_of_signs(t)[1] or 1)


# ---------------------------------------------------------------- loops, verdicts, units, dendrites


def _loop(t: Trouble) -> Finding | None:
    """`for l in range(3)`, `for l in 1:3`, `for l = 1..3`, `for l in 1..3:`."""
    start = _statement(t)
    if t.words[start].kind != "FOR":
        return None
    name = t.words[start + 1].text
    if t.machine.accepts("IN") and t.word.kind in ("EQUAL", "COLON"):
        return _finding(t, "IN", f"write `for {name} in 1..3 {{ … }}`")
    if t.machine.accepts("LBRACE") and t.word.kind == "COLON" and t.next.kind == "LBRACE":
        found = error("a loop has no `:` before its `{`", t.span(t.at), "", "leave it out")
        return Finding(diagnostic=found, resume=Resume(machine=t.machine, at=t.at + 1))
    if not _requires(t, "RANGE"):
        return None
    written = t.text(start + 3, t.at - 1)
    if t.word.kind == "COLON" or t.word.text == "to":
        hint = f"write `for {name} in {written}..{t.next.text}`: both ends are turns of the loop"
        return _finding(t, "RANGE", hint)
    machine = fed(fed(t.machine, "RANGE", t.at), "NUMBER", t.at)
    told = f"expected an operator or `..` after `{t.words[t.at - 1].text}`, found {t.quoted()}"
    diagnostic = error(told, t.span(t.at), f"in {t.inside()}", _as_range(t, start + 3, name))
    return Finding(diagnostic=diagnostic, resume=Resume(machine=machine, at=t.at), sure=True)


def _as_range(t: Trouble, first: int, name: str) -> str:
    """What a loop of another language is here."""
    words = [w.text for w in t.words[first : t.at]]
    match words:
        case ["range", "(", stop, ")"]:
            ends = f"0..{_before(stop)}"
        case ["range", "(", begin, ",", stop, ")"]:
            ends = f"{begin}..{_before(stop)}"
        case ["[", begin, *_, end, "]"]:
            ends = f"{begin}..{end}"
        case [stop]:
            ends = f"1..{stop}"
        case _:
            ends = "1..3"
    return f"a loop goes over a range, both ends included: `for {name} in {ends}`"


def _before(stop: str) -> str:
    return str(int(stop) - 1) if stop.isdigit() else f"{stop}-1"


def _verdict(t: Trouble) -> Finding | None:
    """`expect W is gradient`, `expect W gradient`, `expect W = gradient`."""
    start = _statement(t)
    if t.words[start].kind != "EXPECT" or not t.machine.accepts("COLON"):
        return None
    ahead = 0
    while t.words[t.at + ahead].text in ("is", "to", "be", "a", "=", "==", "as", "->"):
        ahead += 1
    verdict = t.words[t.at + ahead]
    if verdict.kind != "NAME" or not (ahead or verdict.text in _VERDICTS):
        return None
    hint = f"write `{t.text(start, t.at - 1)}: {verdict.text}`"
    title = f"a verdict follows a colon: found {t.quoted()} after `{t.words[t.at - 1].text}`"
    return _finding(t, "COLON", hint, skip=ahead, title=title)


def _unit(t: Trouble) -> Finding | None:
    """`20 ms`, with a space: units belong to a later version (C004)."""
    if t.word.kind != "NAME" or t.words[t.at - 1].kind != "NUMBER" or not UNIT.fullmatch(t.word.text):
        return None
    if t.first_on_line(t.at) or t.next.kind in ("EQUAL", "LPAR") or not t.expression_complete():
        return None
    from circuitdsl.syntax.errors.slips import unit_of

    return Finding(diagnostic=unit_of(t, t.at), resume=Resume(machine=t.machine, at=t.at + 1))


def _dendrite(t: Trouble) -> Finding | None:
    """`dendrite: d`, `dendrite d = 0`, `dendrite d: 3`, `dendrite d[3]`."""
    start = _statement(t)
    if t.words[start].kind != "DENDRITE":
        return None
    if t.at == start + 1 and t.word.kind == "COLON":
        found = error("no `:` stands after `dendrite`", t.span(t.at), "", f"write `dendrite {t.next.text}`")
        return Finding(diagnostic=found, resume=Resume(machine=t.machine, at=t.at + 1))
    if t.word.kind in ("EQUAL", "COLON", "LSQB") and t.words[t.at - 1].kind == "NAME":
        name = t.words[t.at - 1].text
        sign = spellings()[t.word.kind]
        return Finding(
            diagnostic=error(
                f"`{sign}` after the dendrite `{name}`: a dendrite has a name and nothing else", t.span(t.at), "",
                f"write `dendrite {name}`; its value is what synapses bring (`synapse W: x -> h.{name}`), and there is "
                "one for each unit",
            )
        )  # fmt: skip
    return None


def _body(t: Trouble) -> Finding | None:
    """`circuit c:`, `neuron h: 5:`, `circuit c() {`, `circuit {`."""
    start = _statement(t)
    head = t.text(start, t.at - 1)
    if t.words[start].kind == "CIRCUIT" and t.word.kind == "LBRACE" and t.at == start + 1:
        found = error("expected a name after `circuit`, found `{`", t.span(t.at), "", "write `circuit mine {`")
        return Finding(diagnostic=found, resume=Resume(machine=fed(t.machine, "NAME", t.at), at=t.at), sure=True)
    if not _requires(t, "LBRACE"):
        return None
    if t.word.kind == "COLON":
        skip = 1 if t.next.kind == "LBRACE" else 0
        found = error(
            f"expected `{{` after `{t.words[t.at - 1].text}`, found `:`", t.span(t.at), "",
            f"a body stands between braces: `{head} {{ … }}`",
        )  # fmt: skip
        machine = t.machine if skip else fed(t.machine, "LBRACE", t.at)
        return Finding(diagnostic=found, resume=Resume(machine=machine, at=t.at + 1), sure=True)
    if t.words[start].kind == "CIRCUIT" and t.word.kind == "LPAR" and t.next.kind == "RPAR":
        hint = f"a circuit has params instead of arguments: `{head} {{ param eta = 0.1 … }}`"
        found = error(f"expected `{{` after `{t.words[t.at - 1].text}`, found `(`", t.span(t.at), "", hint)
        return Finding(diagnostic=found, resume=Resume(machine=t.machine, at=t.at + 2), sure=True)
    return None


def _pair(t: Trouble) -> Finding | None:
    """`bounds = (0, 1)`, `bounds = 0..1`: a list stands in square brackets."""
    bracket = t.bracket()
    if t.word.kind == "RANGE" and t.expression_complete() and t.machine.accepts("RBRACE"):
        written = f"[{t.words[t.at - 1].text}, {t.next.text}]"
        found = error(f"{t.quoted()} stands in `for` only", t.span(t.at), "a range", f"a pair is a list: `{written}`")
        return Finding(diagnostic=found, resume=Resume(machine=fed(t.machine, "STAR", t.at), at=t.at + 1))
    if t.word.kind != "COMMA" or bracket is None or bracket.symbol != "LPAR" or t.next.start == t.word.end:
        return None
    if t.machine.accepts("COMMA") or not t.machine.accepts("RPAR"):
        return None
    end = next((n for n in range(t.at, len(t.words)) if t.words[n].kind == "RPAR"), None)
    if end is None:
        return None
    inside = t.text(bracket.first + 1, end - 1)
    found = error(
        f"`({inside})` is no list", t.span(bracket.first, end), "a pair in parentheses",
        f"a list stands in square brackets: `[{inside}]`",
    )  # fmt: skip
    machine = fed(t.machine, "RPAR", end)
    return Finding(diagnostic=found, resume=Resume(machine=machine, at=end + 1), sure=True)


_RULES: tuple[Rule, ...] = (
    _synapse_without_name, _arrow, _equals, _colon, _tilde, _loop, _verdict, _unit, _dendrite, _body, _pair,
)  # fmt: skip
