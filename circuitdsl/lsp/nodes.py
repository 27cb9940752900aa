"""The syntax tree around a place of a text."""

from __future__ import annotations

from collections.abc import Iterator

from circuitdsl.diagnostics import Span
from circuitdsl.syntax import ast


def around(node: ast.Node, span: Span) -> list[ast.Node]:
    """The nodes that hold a place, the outermost, which is given, first."""
    found = [node]
    while True:
        inner = next((n for n in _children(found[-1]) if n.span.contains(span)), None)
        if inner is None:
            return found
        found.append(inner)


def _children(node: ast.Node) -> Iterator[ast.Node]:
    for name in node.__dataclass_fields__:
        value = getattr(node, name)
        yield from (child for child in (value if isinstance(value, tuple) else (value,)) if isinstance(child, ast.Node))
