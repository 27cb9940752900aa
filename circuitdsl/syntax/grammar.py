"""The parser of the grammar, and the words of the language that follow from it."""

from __future__ import annotations

import sys
from functools import cache
from io import BytesIO

import lark
from lark import Lark

from circuitdsl.shipped import grammar_path
from circuitdsl.store.entries import Entry


@cache
def parser() -> Lark:
    """The LALR(1) parser, with two start symbols: `start` (a file) and `expression`.

    Its tables are kept on disk: to make them takes 0.18 s, to read them 0.03 s.
    """
    text = grammar_path().read_text(encoding="utf-8")
    entry = Entry("grammar", "circ", "\n".join([text, lark.__version__, sys.version]))
    return _read(entry) or _made(entry, text)


def _read(entry: Entry) -> Lark | None:
    kept = entry.read()
    try:
        return None if kept is None else Lark.load(BytesIO(kept))
    except Exception:  # another build of the same versions: as good as none
        return None


def _made(entry: Entry, text: str) -> Lark:
    made = Lark(text, parser="lalr", lexer="basic", start=["start", "expression"], keep_all_tokens=True)
    file = BytesIO()
    made.save(file)
    entry.write(file.getvalue())
    return made


@cache
def spellings() -> dict[str, str]:
    """Terminal name to the text that it stands for, for the terminals of fixed text."""
    return {t.name: t.pattern.value for t in parser().terminals if t.pattern.type == "str"}


@cache
def keywords() -> dict[str, str]:
    """Keyword to the name of its terminal."""
    return {text: name for name, text in spellings().items() if text.isidentifier()}
