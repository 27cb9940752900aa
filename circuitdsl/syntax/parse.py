"""From text to syntax tree: `.circ` files and single expressions."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from lark import Token, Tree
from lark.exceptions import UnexpectedInput

from circuitdsl.diagnostics import CircuitError, Diagnostic, Source, Span
from circuitdsl.syntax import ast
from circuitdsl.syntax.build import Builder
from circuitdsl.syntax.grammar import parser
from circuitdsl.syntax.words import shortened

DEPTH = 200
"""How deep expressions and blocks may nest: `a + b + c` counts 2, like `(a + b) + c`."""


@lru_cache(maxsize=4)
def parse(source: Source) -> ast.File:
    """The syntax tree of a whole `.circ` text, kept for who asks next: an editor, say, that shows, checks and lays out
    one text.

    Raises CircuitError with every syntax error of the text (C001 to C005).
    """
    tree = _build(source, "start")
    assert isinstance(tree, ast.File)
    return tree


def parse_expression(source: Source) -> ast.Expr:
    """The syntax tree of one expression, as in `--set eta=0.1/4`. Raises CircuitError like `parse`."""
    tree = _build(source, "expression")
    assert isinstance(tree, ast.Expr)
    return tree


def read_source(path: str | Path) -> Source:
    """The text of a file, named by its path as given.

    Raises CircuitError (C005) if it is not UTF-8, OSError if it cannot be read.
    """
    return decoded(Path(path).read_bytes(), str(path))


def decoded(data: bytes, name: str) -> Source:
    """The text that bytes are. Raises CircuitError (C005) if they are not UTF-8."""
    try:
        return Source(name, data.decode("utf-8"))
    except UnicodeDecodeError as error:
        source = Source(name, data.decode("utf-8", errors="replace"))
        at = len(data[: error.start].decode("utf-8"))
        raise CircuitError([_not_utf8(source, at, data[error.start])]) from None


def _not_utf8(source: Source, at: int, byte: int) -> Diagnostic:
    return Diagnostic(
        code="C005",
        title=f"`{source.name}` is not a text in UTF-8",
        span=Span(source, at, at + 1),
        label=f"the byte 0x{byte:02x} stands here",
        hint="save the file as UTF-8",
    )


@lru_cache(maxsize=2)
def parts_of(source: Source, start: str = "start") -> Tree[Token]:
    """The text by the rules of the grammar, with all its tokens: what `parse` and `fmt` both begin with.

    Raises CircuitError like `parse`.
    """
    try:
        return parser().parse(source.text, start=start)
    except UnexpectedInput:
        from circuitdsl.syntax.errors.recover import syntax_errors  # only broken texts pay for its import

        raise CircuitError(syntax_errors(source, start)) from None


def _build(source: Source, start: str) -> ast.Node:
    tree = parts_of(source, start)
    refuse_too_deep(source, tree)
    builder = Builder(source)
    built = builder.transform(tree)
    builder.report.stop_if_failed()
    return built


def refuse_too_deep(source: Source, tree: Tree[Token]) -> None:
    """Raises CircuitError on nesting that no recursive function over the tree would survive.

    Parentheses leave no node, so that they do not count.
    """
    depths: dict[int, int] = {}
    for part in tree.iter_subtrees():  # from the leaves up
        below = max((depths[id(c)] for c in part.children if isinstance(c, Tree)), default=0)
        depths[id(part)] = depth = below if part.data == "group" else below + 1
        if depth > DEPTH:
            raise CircuitError([_too_deep(source, part)])


def _too_deep(source: Source, part: Tree[Token]) -> Diagnostic:
    first, last = _edge(part, 0), _edge(part, -1)
    start = first.start_pos or 0
    span = Span(source, start, min(last.end_pos or 0, start + 60))
    return Diagnostic(
        code="C001",
        title=f"`{shortened(span.text)}` is nested more than {DEPTH} deep",
        span=span,
        label="too deep to be read",
        hint="give its parts names, by `let`, `param` or `rule`",
    )


def first_token(part: Tree[Token]) -> Token:
    """The token with which a part of the parse tree begins."""
    return _edge(part, 0)


def _edge(part: Tree[Token], side: int) -> Token:
    """The first (0) or last (-1) token of a part of the tree."""
    while True:
        child = [c for c in part.children if c is not None][side]
        if isinstance(child, Token):
            return child
        part = child
