"""What kind of place in a text a word would stand at: of which body, and what is written there."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from circuitdsl.frozen import frozen
from circuitdsl.syntax.errors.salvage import Standing
from circuitdsl.syntax.errors.trouble import BODIES
from circuitdsl.syntax.words import END, Word


class Place(StrEnum):
    """What is written at a place."""

    START = "an item or a member begins"
    MEMBER = "after a dot"
    NAME = "a new name"
    NUMBER = "numbers known before the run"
    NEURON = "equations of a neuron"
    SYNAPSE = "equations of a synapse, or a rule"
    SCALAR = "a modulator, a loss or a metric"
    RECORD = "what is recorded"
    INIT = "initial values"
    CONNECT = "connections"
    SIGN = "a sign"
    UPDATE = "a time of update"
    DATA = "a data set"
    SCALE = "a scale"
    SOURCE = "where a synapse starts"
    TARGET = "where a synapse ends"
    POPULATION = "a population"
    OWNER = "a synapse or a population"
    MATRIX = "weights"
    VERDICT = "a verdict"
    EXPECTED = "what is expected"
    MOTIF = "a motif"
    PHASE = "a phase"
    ANY = "anything with a name"


@frozen
class Where:
    """A place, the keyword of the body that it is in (`SYNAPSE`; None outside of all) and the name of what has it, and
    the function, rule or motif in whose parentheses it stands."""

    place: Place
    body: str | None
    owner: str | None
    call: str | None


def where(standing: Standing) -> Where:
    body, owner = _body(standing.before)
    words = [w.text for w in standing.item]
    kinds = [w.kind for w in standing.item]
    return Where(_place(standing, kinds, words, body), body, owner, _call(standing.item))


def _body(before: Sequence[Word]) -> tuple[str | None, str | None]:
    """The innermost body that is open, by its keyword, and its name."""
    opened: list[tuple[str | None, str | None]] = []
    head: tuple[str | None, str | None] = (None, None)
    for at, word in enumerate(before):
        if word.kind in BODIES:
            head = word.kind, before[at + 1].text if at + 1 < len(before) else None
        elif word.kind == "LBRACE":
            opened.append(head)
        elif word.kind == "RBRACE" and opened:
            opened.pop()
    return opened[-1] if opened else (None, None)


def _call(item: Sequence[Word]) -> str | None:
    """What stands before the innermost parenthesis that is open; of a `use` its motif."""
    opened: list[int] = []
    for at, word in enumerate(item):
        if word.kind == "LPAR":
            opened.append(at)
        elif word.kind == "RPAR" and opened:
            opened.pop()
    if not opened:
        return None
    if item[0].kind == "USE" and len(opened) == 1:
        return item[1].text
    before = item[opened[-1] - 1]
    return before.text if before.kind == "NAME" else None


def _place(standing: Standing, kinds: list[str], words: list[str], body: str | None) -> Place:
    if kinds[-1:] == ["DOT"]:
        return Place.MEMBER
    if not kinds or standing.expected & {"RBRACE", END}:
        return Place.PHASE if kinds[:1] == ["LOSS"] and words[-1] in ("at", "over") else Place.START
    match kinds[0]:
        case "SYNAPSE":
            return Place.TARGET if "ARROW" in kinds else Place.SOURCE if "COLON" in kinds else Place.NAME
        case "USE":
            return Place.ANY if "LPAR" in kinds else Place.NAME if "AS" in kinds else Place.MOTIF
        case "EXPECT":
            return Place.VERDICT if "COLON" in kinds else Place.MATRIX if "ATTRACTOR" in kinds else Place.EXPECTED
        case "PAIR":
            return Place.POPULATION
        case "ALIAS":
            return Place.ANY
        case "RECORD":
            return Place.NUMBER if "EVERY" in kinds else Place.RECORD
        case "LOSS":
            return Place.PHASE if words[-1] in ("at", "over") else Place.SCALAR
        case "MODULATOR":
            return Place.SCALAR if "EQUAL" in kinds else Place.NAME
        case "RULE":
            return Place.SYNAPSE if "EQUAL" in kinds else Place.NAME
        case "PARAM":
            return _of_param(kinds)
        case "INPUT" | "TARGET" | "NEURON" | "PHASE":
            return Place.NUMBER if "COLON" in kinds else Place.NAME
        case "FOR":
            return Place.NUMBER if "IN" in kinds else Place.NAME
        case _:
            return _of_member(kinds, words, body) if "EQUAL" in kinds else Place.NAME


def _of_param(kinds: list[str]) -> Place:
    if "EQUAL" not in kinds:
        return Place.OWNER if "PER" in kinds else Place.NAME
    return Place.INIT if "PER" in kinds else Place.NUMBER


def _of_member(kinds: list[str], words: list[str], body: str | None) -> Place:
    if kinds[0] == "STATE":
        return Place.INIT
    match body, words[0]:
        case "SYNAPSE", "init":
            return Place.INIT
        case "SYNAPSE", "connect":
            return Place.CONNECT
        case "SYNAPSE", "sign":
            return Place.SIGN
        case "SYNAPSE", "bounds":
            return Place.NUMBER
        case "SYNAPSE", _:
            return Place.SYNAPSE
        case "MODULATOR", _:
            return Place.SCALAR
        case "SCHEDULE", "update":
            return Place.UPDATE
        case "TASK" | "STAGE", "data":
            return Place.DATA
        case "TASK" | "STAGE", "scale":
            return Place.SCALE
        case "TASK" | "STAGE", "metric":
            return Place.SCALAR
        case "TASK" | "STAGE" | "SCHEDULE", _:
            return Place.NUMBER
        case _:
            return Place.NEURON
