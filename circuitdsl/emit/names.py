"""What a program's names may not be in a text: whatever the text itself, its language or its builtins call so.

The names that a module binds are read from its text, so that no helper is ever forgotten.
"""

from __future__ import annotations

import ast
import builtins
import keyword
from collections.abc import Collection, Iterator
from functools import cache
from threading import Lock

from circuitdsl.lower.loop_ir import Program, names_of
from circuitdsl.lower.rewrite import rename_program

PYTHON = frozenset(keyword.kwlist) | frozenset(dir(builtins))

#: Python 3.11 counts how deep it is in a tree for all threads together: two that parse at once may fail (SystemError).
_PARSING = Lock()


@cache
def bound(text: str) -> frozenset[str]:
    """The names that a Python text binds in its module. Raises SyntaxError."""
    return frozenset(_bound(_parsed(text).body))


def _parsed(text: str) -> ast.Module:
    with _PARSING:
        return ast.parse(text)


def _bound(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        match statement:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                yield from (alias.asname or alias.name.partition(".")[0] for alias in aliases)
            case ast.If(body=yes, orelse=no):
                yield from _bound([*yes, *no])
            case _:
                names = (n for n in ast.walk(statement) if isinstance(n, ast.Name))
                yield from (n.id for n in names if isinstance(n.ctx, ast.Store))


def spoken(text: str) -> set[str]:
    """Every name in a Python text, wherever it is bound. Raises SyntaxError."""
    found: set[str] = set()
    for node in ast.walk(_parsed(text)):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.FunctionDef(name=name):
                found.add(name)
            case _:
                pass
    return found


def apart(program: Program, taken: Collection[str]) -> Program:
    """The program with a `_` after each name that is `taken`."""
    used = names_of(program)
    names: dict[str, str] = {}
    for name in sorted(used & set(taken)):
        names[name] = fresh(f"{name}_", used | set(taken))
        used.add(names[name])
    return rename_program(program, names) if names else program


def fresh(wanted: str, taken: Collection[str]) -> str:
    """The name, with a number after it if it is taken."""
    name, count = wanted, 1
    while name in taken:
        count += 1
        name = f"{wanted}_{count}"
    return name
