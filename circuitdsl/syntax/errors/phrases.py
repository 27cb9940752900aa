"""What the grammar expects, in the words of the language instead of the grammar's terminals."""

from __future__ import annotations

from circuitdsl.syntax.errors.trouble import ITEMS
from circuitdsl.syntax.grammar import spellings
from circuitdsl.syntax.words import END

_OPERANDS = frozenset("NUMBER STRING NAME LPAR LSQB SUM LOSS RATE TRAIN SPIKE".split())
_OPERATORS = frozenset("COMPARISON AMP SUM STAR SLASH POWER DOT LSQB LPAR".split())
_NEURON_MEMBERS = frozenset("DENDRITE STATE LET RATE SPIKE NAME".split())
_SYNAPSE_MEMBERS = frozenset("STATE DRIVE NAME TIE SHARE DELAY EFFICACY".split())
# Allowed in many places and never what is missing.
_UNSAID = frozenset("SEMICOLON DOCSTRING EACH KEEP FRESH REFRACTORY ATTRACTOR".split())
# What can follow a name anywhere, and goes without saying where something else must follow.
_REQUIRED = frozenset("EQUAL COLON ARROW TILDE IN AS".split())
_OPTIONAL = frozenset("LSQB LPAR DOT PER".split())


def expectation(expected: set[str]) -> str:
    """`{"COLON", "LSQB"}` becomes "`:` or `[`"."""
    rest = set(expected) - _UNSAID
    if rest & _REQUIRED:
        rest -= _OPTIONAL
    if "CIRCUIT" in rest:
        rest.discard(END)
    said: list[str] = []
    if "NUMBER" in rest:
        said.append("an expression")
        rest -= _OPERANDS | ITEMS
    elif "STAR" in rest:
        said.append("an operator")
        rest -= _OPERATORS
    if len(rest & ITEMS) > 4:
        said.append("the next item" if "an operator" in said or "RBRACE" in rest else "an item")
        rest -= ITEMS | {"NAME"}  # a name: the `at` or `over` of a loss
    for members, words in ((_NEURON_MEMBERS, "the next member"), (_SYNAPSE_MEMBERS, "the next member")):
        if members <= rest:
            said.append(words)
            rest -= members
    if {"NAME", "RBRACE"} <= rest:
        said.append("the next setting")
        rest -= {"NAME", "PHASE", "STATE"}
    said += [_spoken(kind) for kind in sorted(rest, key=_order)]
    return alternatives(said) if said else "nothing more"


def alternatives(words: list[str]) -> str:
    """ "a", "a or b", "a, b or c" """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _order(kind: str) -> tuple[bool, str]:
    return (kind not in ("EQUAL", "COLON", "ARROW", "RANGE", "COMMA"), kind)


def _spoken(kind: str) -> str:
    match kind:
        case "NAME":
            return "a name"
        case "STRING":
            return "a path in double quotes"
        case "COMPARISON":
            return "a comparison"
        case "SUM":
            return "`+` or `-`"
        case _ if kind == END:
            return "the end of the text"
        case _:
            return f"`{spellings()[kind]}`"
