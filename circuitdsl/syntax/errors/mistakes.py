"""The mistakes that people make, each recognised by one rule with the message that it deserves.

A rule looks at a `Trouble` and answers with a `Finding`, or with None if the mistake is another one.
The finding says where to go on; without a place, recover.py looks for the cheapest repair.
"""

from __future__ import annotations

from circuitdsl.diagnostics import Diagnostic, did_you_mean
from circuitdsl.syntax.errors.brackets import closed_too_early, closes_nothing, outside, unclosed
from circuitdsl.syntax.errors.finding import (
    Finding,
    Resume,
    Rule,
    as_keyword,
    at_beginning,
    error,
    fed,
    short,
)
from circuitdsl.syntax.errors.phrases import expectation
from circuitdsl.syntax.errors.signs import other_sign
from circuitdsl.syntax.errors.slips import (
    chained_comparison,
    comma_between,
    foreign_comment,
    foreign_operator,
    numbered_name,
    two_operands,
    two_operands_before,
)
from circuitdsl.syntax.errors.trouble import HOMES, NAMED, Trouble
from circuitdsl.syntax.grammar import keywords
from circuitdsl.syntax.words import END, STRAY, Word


def diagnose(trouble: Trouble) -> Finding:
    """The first rule that knows the mistake; failing that, what was expected and what was found."""
    for rule in _RULES:
        if finding := rule(trouble):
            return finding
    return _unexpected(trouble)


def _stray(t: Trouble) -> Finding | None:
    """The lexer has spoken."""
    return Finding(diagnostic=None) if t.word.kind == STRAY else None


def _after_open_docstring(t: Trouble) -> Finding | None:
    """What an unclosed docstring swallowed is not missed once more."""
    previous = t.previous
    if t.word.kind != END or previous is None or previous.kind != "DOCSTRING":
        return None
    if len(previous.text) >= 6 and previous.text.endswith('"""'):
        return None
    return Finding(diagnostic=None, resume=Resume(machine=t.machine, at=t.at + 1))


def _keyword_as_name(t: Trouble) -> Finding | None:
    """C003: a keyword where a name stands."""
    if not t.is_keyword() or not t.machine.accepts("NAME"):
        return None
    if t.previous is not None and t.previous.kind == t.word.kind and t.next.kind == "NAME":
        return None  # written twice, rather than meant as a name
    named = fed(t.machine, "NAME", t.at)
    if t.reach(named, t.at + 1, 1) == 0 or (_looks_like_item(t) and not _wants_name(t)):
        return None
    if t.word.kind in HOMES and t.next.kind == "EQUAL" and t.machine.accepts("RBRACE"):
        return None
    diagnostic = Diagnostic(
        code="C003",
        title=f"`{t.word.text}` is a keyword and cannot {_role(t)}",
        span=t.span(t.at),
        label="a word of the language",
        hint=f"choose another name, such as `{t.word.text}_`",
    )
    return Finding(diagnostic=diagnostic, resume=Resume(machine=named, at=t.at + 1))


def _looks_like_item(t: Trouble) -> bool:
    """Whether the keyword could begin its own item here, and does not stand in the middle of a line."""
    follower = t.next.kind
    match t.word.kind:
        case "LOSS" | "RATE":
            fits = follower == "EQUAL" and t.first_on_line(t.at)
        case "IMPORT":
            fits = follower == "STRING"
        case "SCHEDULE":
            fits = follower == "LBRACE"
        case "EXPECT" | "RECORD":
            fits = follower in ("NAME", "NUMBER", "ATTRACTOR")
        case kind if kind in NAMED:
            fits = follower == "NAME" or t.next.text in keywords()
        case _:
            fits = False
    return fits


def _wants_name(t: Trouble) -> bool:
    """Whether the word before, on the same line, requires a name."""
    previous = t.previous
    if previous is None or t.first_on_line(t.at):
        return False
    return previous.kind in NAMED or previous.kind in ("DOT", "AS", "PER")


def _role(t: Trouble) -> str:
    previous = t.previous
    if previous is None:
        return "be a name"
    if previous.kind == "DOT":
        return "stand after `.`"
    if previous.kind in NAMED:
        word = previous.text
        return f"name {'an' if word[0] in 'aeiou' else 'a'} {word}"
    return "be a name"


def _misplaced(t: Trouble) -> Finding | None:
    """A member in the wrong body: `rate` in a synapse."""
    if t.word.kind not in HOMES or not (t.machine.accepts("RBRACE") or t.machine.accepts("CIRCUIT")):
        return None
    where = t.inside() or "the file, outside a circuit"
    if t.word.kind == "LET" and where.startswith("synapse"):
        return _let_in_synapse(t)
    diagnostic = error(
        f"`{t.word.text}` cannot stand in {where}",
        t.span(t.at),
        f"this belongs to {HOMES[t.word.kind]}",
        f"a number of the circuit is a param: `param {t.next.text} = …`" if t.word.kind == "LET" else None,
    )
    return Finding(diagnostic=diagnostic)


def _let_in_synapse(t: Trouble) -> Finding:
    """C004; it is read as a drive is, so that what follows makes sense."""
    diagnostic = Diagnostic(
        code="C004",
        title="`let` in a synapse is not yet available",
        span=t.span(t.at),
        label="reserved for a later version",
        hint="write the value where it is read, or let one of the neurons compute it (`pre.a`, `post.a`)",
    )
    return Finding(diagnostic=diagnostic, resume=Resume(machine=fed(t.machine, "DRIVE", t.at), at=t.at + 1), sure=True)


#: What items are called elsewhere.
_ITEMS_ELSEWHERE = {
    **dict.fromkeys(("population", "layer", "node", "cell", "neurons", "group", "unit", "output", "hidden"), "neuron"),
    **dict.fromkeys(("connection", "weights", "weight", "edge", "projection", "connect", "synapses"), "synapse"),
    **dict.fromkeys(("const", "var", "parameter", "parameters", "define", "constant", "float", "int"), "param"),
    **dict.fromkeys(("model", "network", "net", "module", "class"), "circuit"),
    **dict.fromkeys(("def", "function", "func", "macro", "lambda"), "rule"),
    **dict.fromkeys(("label", "labels"), "target"),
    **dict.fromkeys(("include", "from", "require"), "import"),
    **dict.fromkeys(("train", "experiment", "fit", "dataset"), "task"),
    **dict.fromkeys(("print", "plot", "monitor", "log", "watch"), "record"),
    **dict.fromkeys(("objective", "cost", "energy", "minimize"), "loss"),
    **dict.fromkeys(("assert", "check"), "expect"),
}


def _elsewhere(t: Trouble, allowed: list[str]) -> str | None:
    meant = _ITEMS_ELSEWHERE.get(t.word.text)
    return f"it is called `{meant}` here" if meant in allowed else None


def _unknown_item(t: Trouble) -> Finding | None:
    """`neruon h: 3` between items, `eta = 0.1` without `param`."""
    if t.word.kind != "NAME" or not at_beginning(t, t.at):
        return None
    in_circuit = t.machine.accepts("NEURON")
    if not in_circuit and not t.machine.accepts("CIRCUIT"):
        return None
    if in_circuit and t.begins_assignment(t.at):
        return _bare_assignment(t)
    words = [w for w, kind in keywords().items() if t.machine.accepts(kind)]
    guess = _elsewhere(t, words) or did_you_mean(t.word.text, words)
    label = "an item begins with one of the language's words"
    known = "`param`, `input`, `neuron`, `synapse`, …" if in_circuit else "`circuit`, `motif`, `rule`, `import`"
    title = f"`{t.word.text}` does not begin an item"
    diagnostic = error(title, t.span(t.at), label, guess or f"items begin with {known}")
    return Finding(diagnostic=diagnostic, resume=as_keyword(t, t.machine, t.at, guess))


def _bare_assignment(t: Trouble) -> Finding:
    name = t.word.text
    equation = t.words[t.at + 1].kind == "SLASH" or name in ("dw", "init", "bounds", "connect", "sign")
    hint = (
        "equations and settings stand in the braces of their neuron, synapse, schedule or task"
        if equation
        else f"a parameter is declared by `param {name} = …`"
    )
    where = t.inside() or "the circuit"
    diagnostic = error(f"`{name} = …` cannot stand directly in {where}", t.span(t.at), "not an item", hint)
    if equation:
        return Finding(diagnostic=diagnostic)
    return Finding(diagnostic=diagnostic, resume=Resume(machine=fed(t.machine, "PARAM", t.at), at=t.at))


def _late_docstring(t: Trouble) -> Finding | None:
    if t.word.kind != "DOCSTRING" or t.expected() == {"LBRACE"}:
        return None
    diagnostic = error(
        f"the docstring {t.quoted()} cannot stand here",
        t.span(t.at),
        "a docstring stands first in a circuit, motif, neuron, synapse or task",
        "elsewhere write a comment: `# …`",
    )
    return Finding(diagnostic=diagnostic, resume=Resume(machine=t.machine, at=t.at + 1))


def _poor_docstring(t: Trouble) -> Finding | None:
    """A docstring in single quotes, or with one quote missing."""
    previous = t.previous
    if t.word.kind != "STRING" or previous is None or previous.kind != "LBRACE":
        return None
    title = f"{t.quoted()} is not a docstring"
    diagnostic = error(title, t.span(t.at), "", 'a docstring stands between three quotes: `"""…"""`')
    if t.word.text == '""' and t.next.start == t.word.end:  # nobody knows how far it was meant to go
        return Finding(diagnostic=diagnostic, resume=Resume(machine=t.machine, at=len(t.words)))
    return Finding(diagnostic=diagnostic, resume=Resume(machine=t.machine, at=t.at + 1))


def _unexpected(t: Trouble) -> Finding:
    """What was expected and what was found; where a line end lies between, the place is before it."""
    previous = t.previous
    expected = t.expected()
    if "LBRACE" in expected and t.first_on_line(t.at):
        expected = {"LBRACE"}  # the line is complete, its body is missing
    wanted = expectation(expected)
    after = f" after `{short(previous.text)}`" if previous is not None else ""
    inside = t.inside()
    label = f"in {inside}" if inside else ""
    at = t.at
    if previous is not None and (t.word.kind == END or t.first_on_line(at)):
        at, label = t.at - 1, "after this"
    hint = None
    if _doubled(t):
        hint = f"`{t.word.text}` is written twice: leave one out"
    if t.word.kind == "COMMA" and previous is not None and _is_decimal_comma(t, previous):
        hint = f"a decimal point is written `.`: `{previous.text}.{t.next.text}`"
    title = f"expected {wanted}{after}, found {t.quoted()}"
    return Finding(diagnostic=error(title, t.span(at), label, hint))


def _doubled(t: Trouble) -> bool:
    return t.previous is not None and t.previous.text == t.word.text and t.is_keyword()


def _is_decimal_comma(t: Trouble, previous: Word) -> bool:
    """`0,1` without a space."""
    beside = previous.end == t.word.start and t.word.end == t.next.start
    return previous.kind == "NUMBER" == t.next.kind and beside


_RULES: tuple[Rule, ...] = (
    _stray,
    _after_open_docstring,
    closed_too_early,
    outside,
    closes_nothing,
    foreign_comment,
    foreign_operator,
    _keyword_as_name,
    other_sign,
    _misplaced,
    unclosed,
    chained_comparison,
    comma_between,
    _late_docstring,
    _poor_docstring,
    _unknown_item,
    numbered_name,
    two_operands_before,
    two_operands,
)
