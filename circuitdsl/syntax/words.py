"""A text as a sequence of words (tokens), also where parts of it belong to no language.

What the grammar's lexer refuses is reported as C005 and replaced by what was probably meant, so that
one wrong character gives one message.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from lark import Token
from lark.exceptions import UnexpectedCharacters

from circuitdsl.diagnostics import Diagnostic, Source, Span
from circuitdsl.syntax.grammar import parser

MOST_STRAYS = 50
"""After so many findings the rest of a text is not read: it is no text of this language."""

STRAY = "STRAY"
"""The kind of a word that belongs to no language and stands for nothing known."""

#: Physical units, which belong to a later version; a single letter (`V`, `s`) is as likely a name.
UNIT = re.compile(r"[kMmunp](V|A|S|s|F|m|Hz|ohm|volt|amp|siemens|second|farad)|Hz|ohm|volt|amp|siemens|second|farad")

END = "$END"
"""The kind of the word after the last one."""


class Word(NamedTuple):
    """A token: the name of its terminal, its text, and where it stands (character offsets)."""

    kind: str
    text: str
    start: int
    end: int


def words(source: Source, *, layout: bool = False) -> tuple[list[Word], list[Diagnostic]]:
    """The words of a text, and what in it belongs to no word. `layout` keeps spaces and comments."""
    found: list[Word] = []
    wrong: list[Diagnostic] = []
    start = 0
    while True:
        try:
            for token in parser().lex(source.text[start:], dont_ignore=layout):
                found.append(_word(token, start))
        except UnexpectedCharacters as error:
            at = start + (error.pos_in_stream or 0)
            word, diagnostic, start = _stray(source, found, at)
            found.append(word)
            wrong.append(diagnostic)
            if len(wrong) == MOST_STRAYS:
                return found, wrong
        else:
            return found, wrong


def _word(token: Token, offset: int) -> Word:
    start = offset + (token.start_pos or 0)
    return Word(token.type, str(token), start, start + len(token))


# What people type, or what a word processor makes of it, and what the language has in its place.
_MEANT = {
    "−": ("SUM", "-"), "–": ("SUM", "-"), "—": ("SUM", "-"), "×": ("STAR", "*"), "·": ("STAR", "*"),
    "∗": ("STAR", "*"), "⋅": ("STAR", "*"), "÷": ("SLASH", "/"), "≤": ("COMPARISON", "<="),
    "≥": ("COMPARISON", ">="), "≠": ("COMPARISON", "!="), "→": ("ARROW", "->"), "∼": ("TILDE", "~"),
    "∈": ("IN", "in"), "…": ("RANGE", ".."), "（": ("LPAR", "("), "）": ("RPAR", ")"),
}  # fmt: skip
_CURLY_QUOTES = "“”„«»‘’"
_QUOTED = re.compile(r"'[^'\n]*'|[“„«‘][^”“»’\n]*[”“»’]")
_WORD_CHARACTERS = re.compile(r"\w+")
_STRAY_RUN = re.compile(r"[^\w\s\"'#(){}\[\],;:.=+*/^<>&~-]+")


def _stray(source: Source, found: list[Word], at: int) -> tuple[Word, Diagnostic, int]:
    """The word to read in place of what stands at `at`, the message, and where to go on."""
    text = source.text
    if text.startswith('"""', at):
        return _open_docstring(source, at)
    if text[at] == '"':
        return _open_string(source, at)
    if quoted := _QUOTED.match(text, at):
        return _foreign_quotes(source, at, quoted.end())
    if text[at] in _MEANT:
        kind, meant = _MEANT[text[at]]
        title = f"`{text[at]}` is not a character of the language"
        hint = f"write `{meant}`"
        return _finding(source, at, at + 1, kind, meant, title, "not ASCII", hint)
    if text[at].isalnum():
        return _foreign_name(source, found, at)
    if text[at] == "%" and found and found[-1].kind == "NUMBER":
        return _percentage(source, found, at)
    run = _STRAY_RUN.match(text, at)
    end = run.end() if run else at + 1
    sign = text[at:end]
    if sign == "'" and found and found[-1].end == at and found[-1].kind in ("NAME", "RPAR", "RSQB"):
        title = f"there is no `'` after `{found[-1].text}`"
        hint = "a transposed matrix is `transpose(W)`, in `expect attractor` and records only"
        return _finding(source, at, end, STRAY, sign, title, "no sign for transposition", hint)
    title = f"`{_printable(sign)}` does not belong to the language"
    return _finding(source, at, end, STRAY, sign, title, "no such operator or sign", _OTHER_LANGUAGES.get(sign))


_OTHER_LANGUAGES = {
    "?": "`where(condition, a, b)` chooses between two values",
    "!": "negate a 0/1 value by `1 - x`",
    "||": "for 0/1 values `a or b` is `max(a, b)`",
    "|": "for 0/1 values `a or b` is `max(a, b)`",
    "%": "the remainder is a function: `mod(a, b)`",
    "@": "a synapse multiplies by its weights: there is no matrix product in expressions",
    "'": 'strings stand in double quotes: `"w.npy"`',
}


def _finding(
    source: Source, start: int, end: int, kind: str, text: str, title: str, label: str, hint: str | None
) -> tuple[Word, Diagnostic, int]:
    diagnostic = Diagnostic(code="C005", title=title, span=Span(source, start, end), label=label, hint=hint)
    return Word(kind, text, start, end), diagnostic, end


def _percentage(source: Source, found: list[Word], at: int) -> tuple[Word, Diagnostic, int]:
    """`95%`, read as `0.95`."""
    number = found.pop()
    fraction = f"{float(number.text) / 100:g}"
    return _finding(
        source, number.start, at + 1, "NUMBER", fraction, "`%` does not belong to the language",
        "a percentage is written as a fraction", f"write `{fraction}`",
    )  # fmt: skip


def _open_docstring(source: Source, at: int) -> tuple[Word, Diagnostic, int]:
    """The rest of the text is taken as the docstring: nobody knows where its author ended it."""
    start_of_text = source.text[at : at + 24].splitlines()[0]
    word, diagnostic, _ = _finding(
        source, at, at + 3, "DOCSTRING", source.text[at:], f"the docstring `{start_of_text}` is never closed",
        "opened here", 'close it with `"""`',
    )  # fmt: skip
    return word._replace(end=len(source.text)), diagnostic, len(source.text)


def _open_string(source: Source, at: int) -> tuple[Word, Diagnostic, int]:
    """The string is taken to end before the next space or bracket, which then keeps its meaning."""
    line = source.text[at:].splitlines()[0]
    cut = re.match(r'"[^\s(){}\[\],;]*', line)
    assert cut is not None
    shown = cut.group()
    kind = "STRING" if len(shown) > 1 else STRAY
    return _finding(
        source, at, at + cut.end(), kind, shown, f"the string `{shown}` is never closed",
        "a string ends on its line", f'close it with `"`: `{shown}"`',
    )  # fmt: skip


def _foreign_quotes(source: Source, at: int, end: int) -> tuple[Word, Diagnostic, int]:
    shown = source.text[at:end]
    return _finding(
        source, at, end, "STRING", f'"{shown[1:-1]}"', f"`{shown}` is not a string of the language",
        "other quotation marks", f'strings stand in double quotes: `"{shown[1:-1]}"`',
    )  # fmt: skip


def _foreign_name(source: Source, found: list[Word], at: int) -> tuple[Word, Diagnostic, int]:
    """A name with letters beyond ASCII, together with the ASCII part that was read before it."""
    start = at
    if found and found[-1].end == at and found[-1].text.isidentifier():
        start = found.pop().start
    run = _WORD_CHARACTERS.match(source.text, at)
    end = run.end() if run else at + 1
    name = source.text[start:end]
    title = f"`{name}` is not a name: names are made of the letters A-Z and a-z, digits and `_`"
    meant = _ascii_name(name)
    hint = f"write `{meant}`" if meant != name and meant.isidentifier() else None
    return _finding(source, start, end, "NAME", meant, title, "a letter beyond ASCII", hint)


def _ascii_name(name: str) -> str:
    return "".join(_ascii_letter(c) for c in name)


def _ascii_letter(letter: str) -> str:
    """`η` is eta, `é` is e, `₁` is 1."""
    official = unicodedata.name(letter, "")
    if official.startswith(("GREEK SMALL LETTER ", "GREEK CAPITAL LETTER ")):
        greek = official.split(" LETTER ")[1].split(" ")[0].lower().replace("lamda", "lambda")
        return greek if "SMALL" in official else greek.capitalize()
    plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return plain or letter


def _printable(text: str) -> str:
    shown = text if text.isprintable() else text.encode("unicode_escape").decode()
    return shown if len(shown) <= 20 else shown[:20] + "…"


def shortened(text: str, width: int = 32) -> str:
    """The text on one line, cut if it is long."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
