"""The parser of the grammar, and the words of the language that follow from it."""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import lark
from lark import Lark

from circuitdsl.shipped import cache_directory, grammar_path


@cache
def parser() -> Lark:
    """The LALR(1) parser, with two start symbols: `start` (a file) and `expression`.

    Its tables are kept in the user's cache directory: to make them takes 0.18 s, to read them 0.03 s.
    """
    text = grammar_path().read_text(encoding="utf-8")
    key = "\n".join([text, lark.__version__, sys.version])
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    path = cache_directory() / f"grammar-{digest}.pickle"
    made = _read(path)
    if made is None:
        made = Lark(text, parser="lalr", lexer="basic", start=["start", "expression"], keep_all_tokens=True)
        _write(path, made)
    return made


def _read(path: Path) -> Lark | None:
    try:
        with path.open("rb") as file:
            return Lark.load(file)
    except Exception:  # no file, or a damaged one, which unpickling reports in a dozen ways: make it anew
        return None


def _write(path: Path, made: Lark) -> None:
    """Writes beside the place and renames: two processes at once never see half a file."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            made.save(file)
        temporary.replace(path)
    except OSError:  # a read-only home or a full disk costs time, not the result
        with suppress(OSError):
            temporary.unlink()


@cache
def spellings() -> dict[str, str]:
    """Terminal name to the text that it stands for, for the terminals of fixed text."""
    return {t.name: t.pattern.value for t in parser().terminals if t.pattern.type == "str"}


@cache
def keywords() -> dict[str, str]:
    """Keyword to the name of its terminal."""
    return {text: name for name, text in spellings().items() if text.isidentifier()}
