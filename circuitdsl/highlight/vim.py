"""The syntax file of Vim and Neovim."""

from __future__ import annotations

import re
from collections.abc import Iterable

from circuitdsl.highlight.vocabulary import Vocabulary


def vim(words: Vocabulary) -> str:
    """The text of `syntax/circ.vim`. In Vim the later of two matches wins, and keywords win over both."""
    opening, closing = words.patterns["DOCSTRING"].split(r"[\s\S]*?")
    name = words.patterns["NAME"]
    lines = [
        '" Made by `python -m circuitdsl.highlight` from the grammar: change it there.',
        'if exists("b:current_syntax")',
        "  finish",
        "endif",
        "",
        "syntax case match",
        rf"syntax match circName /\v<{name}/",
        rf"syntax match circRule /\v<{name}\ze\s*\(/",
        rf"syntax match circFunction /\v<%({'|'.join(words.functions)})\ze\s*\(/",
        rf"syntax match circNumber /\v{_very_magic(words.patterns['NUMBER'])}/",
        rf"syntax match circOperator /{_signs(words)}/",
        rf"syntax match circString /\v{_very_magic(words.patterns['STRING'])}/",
        f"syntax region circDocstring start=/{opening}/ end=/{closing}/ contains=@Spell",
        rf"syntax match circComment /\v{_very_magic(words.patterns['COMMENT'])}/ contains=@Spell",
        _keywords("circItem", words.items),
        _keywords("circMember", words.members),
        _keywords("circKeyword", words.others),
        _keywords("circBuiltin", words.builtins),
        "",
        *(f"highlight default link {ours} {theirs}" for ours, theirs in _LOOKS.items()),
        "",
        'let b:current_syntax = "circ"',
    ]
    return "\n".join(lines) + "\n"


_LOOKS = {
    "circItem": "Structure", "circMember": "Statement", "circKeyword": "Keyword", "circBuiltin": "Constant",
    "circFunction": "Function", "circRule": "Function", "circNumber": "Number", "circOperator": "Operator",
    "circString": "String", "circDocstring": "SpecialComment", "circComment": "Comment",
}  # fmt: skip


def _keywords(group: str, words: Iterable[str]) -> str:
    return f"syntax keyword {group} {' '.join(words)}"


def _very_magic(pattern: str) -> str:
    r"""A regular expression of Python as one of Vim after `\v`: look-ahead stands behind, a slash is escaped."""
    ahead = re.sub(r"\(\?!((?:[^()\\]|\\.)*)\)", r"(\1)@!", pattern)
    return ahead.replace("(?:", "%(").replace("/", r"\/").replace("\n", r"\n")


def _signs(words: Vocabulary) -> str:
    """The operators after `\\V`, where little but a backslash is special: of alternatives the first that fits wins."""
    longest_first = sorted(words.operators, key=lambda s: (-len(s), s))
    return r"\V" + r"\|".join(re.sub(r"[/^]", r"\\\g<0>", sign) for sign in longest_first)
