"""The words of the language by the part they play, as the grammar and the tables of names have them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from circuitdsl.frozen import frozen
from circuitdsl.graph.calls import CALLS
from circuitdsl.graph.findings import BUILTIN_NAMES
from circuitdsl.syntax.grammar import keywords, parser

#: Where items and members begin, and what may follow a keyword that declares a name.
_ITEM = "item"
_MEMBER = "member"
_DECLARED = ("decl", "plain_name")

_BRACKETS = frozenset("{}()[],;:")


@frozen(kw_only=True)
class Vocabulary:
    """What a highlighter has to know of the language.

    `items` begin an item of a file or a circuit, `members` one of a neuron, a synapse or a schedule, `others` are the
    remaining keywords; `declaring` are those of them that a name follows which they declare. `functions` are special
    before `(` only; `builtins` are names that cannot be declared. `patterns` are the regular expressions of the
    terminals that have one (NAME, NUMBER, STRING, DOCSTRING, COMMENT, …); `operators` and `brackets`, which hold the
    signs that separate too, are plain texts.
    """

    items: tuple[str, ...]
    members: tuple[str, ...]
    others: tuple[str, ...]
    declaring: tuple[str, ...]
    functions: tuple[str, ...]
    builtins: tuple[str, ...]
    patterns: dict[str, str]
    operators: tuple[str, ...]
    brackets: tuple[str, ...]

    @property
    def keywords(self) -> tuple[str, ...]:
        return tuple(sorted((*self.items, *self.members, *self.others)))


def vocabulary() -> Vocabulary:
    """The vocabulary of the grammar as it stands."""
    text = {terminal: word for word, terminal in keywords().items()}
    items, members = set(_first_words(_ITEM)), set(_first_words(_MEMBER))
    declaring = {
        rule.expansion[0].name
        for rule in parser().rules
        if len(rule.expansion) > 1 and rule.expansion[1].name in _DECLARED
    }
    fixed = [t.pattern.value for t in parser().terminals if t.pattern.type == "str"]
    return Vocabulary(
        items=_words(text, items),
        members=_words(text, members - items),
        others=_words(text, text.keys() - items - members),
        declaring=_words(text, declaring & text.keys()),
        functions=tuple(sorted(CALLS)),
        builtins=tuple(sorted(BUILTIN_NAMES.keys() - CALLS.keys())),
        patterns={t.name: t.pattern.value for t in parser().terminals if t.pattern.type == "re"},
        operators=tuple(sorted({s for s in fixed if not s.isidentifier()} - _BRACKETS | set(_alternatives()))),
        brackets=tuple(sorted(_BRACKETS & set(fixed))),
    )


def any_of(words: Iterable[str], *, escaped: bool = False) -> str:
    """The alternatives of a regular expression, the longest first."""
    longest_first = sorted(set(words), key=lambda w: (-len(w), w))
    return "|".join(re.escape(w) if escaped else w for w in longest_first)


def _words(text: dict[str, str], terminals: set[str]) -> tuple[str, ...]:
    return tuple(sorted(text[terminal] for terminal in terminals & text.keys()))


def _first_words(what: str) -> Iterator[str]:
    """The terminals with which the rules begin that the grammar collects in `_item`, `_top_item`, `_…_member`."""
    expansions: dict[str, list[list[str]]] = {}
    for rule in parser().rules:
        expansions.setdefault(rule.origin.name, []).append([s.name for s in rule.expansion])
    collected = [n for n in expansions if n.startswith("_") and not n.startswith("__") and n.endswith(f"_{what}")]
    waiting = [first for name in collected for first, *_ in expansions[name]]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in expansions:
            waiting += [expansion[0] for expansion in expansions[name] if expansion]
        else:
            yield name


def _alternatives() -> Iterator[str]:
    """The signs of the terminals that stand for several, such as `(?:<=|>=|<|>)`."""
    for terminal in parser().terminals:
        pattern = terminal.pattern.value
        if terminal.pattern.type == "re" and re.fullmatch(r"\(\?:(\\?[^\w\s()]+\|?)+\)", pattern):
            yield from (re.sub(r"\\(.)", r"\1", sign) for sign in pattern[3:-1].split("|"))
