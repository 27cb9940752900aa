"""Files and their imports: which rules and motifs a file sees."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import field
from functools import cache, lru_cache
from pathlib import Path
from typing import assert_never

from circuitdsl.diagnostics import CircuitError, Diagnostic, Report, Source, did_you_mean
from circuitdsl.frozen import mutable
from circuitdsl.graph.findings import duplicate
from circuitdsl.shipped import shipped
from circuitdsl.syntax import ast
from circuitdsl.syntax.parse import parse, read_source

#: Gives the text of a file that is imported; an editor has texts that are not saved yet.
Reader = Callable[[Path], Source]


@mutable(eq=False)
class FileScope:
    """The rules and motifs that a file sees, its own and those of its direct imports, each with the
    file that it is written in. `path` is where the file lies, None for a text without a folder."""

    tree: ast.File
    path: Path | None = None
    rules: dict[str, tuple[ast.Rule, FileScope]] = field(default_factory=dict)
    motifs: dict[str, tuple[ast.Motif, FileScope]] = field(default_factory=dict)
    imports: list[tuple[ast.Import, FileScope]] = field(default_factory=list)

    def own_rules(self) -> dict[str, ast.Rule]:
        return {name: rule for name, (rule, file) in self.rules.items() if file is self}

    def own_motifs(self) -> dict[str, ast.Motif]:
        return {name: motif for name, (motif, file) in self.motifs.items() if file is self}

    def closure(self) -> list[FileScope]:
        """The file and all that it imports, directly or not, each once."""
        found, waiting = [self], [self]
        while waiting:
            for _, imported in waiting.pop().imports:
                if imported not in found:
                    found.append(imported)
                    waiting.append(imported)
        return found


def load_files(tree: ast.File, folder: Path | None, report: Report, read: Reader = read_source) -> FileScope:
    """The file with all that it imports, each parsed once. `folder` is where the file lies."""
    own = Path(tree.span.source.name).resolve() if folder is not None else None
    return _Loader(report, read).load(tree, own, folder, (own,) if own else ())


@mutable
class _Loader:
    report: Report
    read: Reader
    loaded: dict[Path, FileScope | None] = field(default_factory=dict)

    def load(self, tree: ast.File, path: Path | None, folder: Path | None, above: tuple[Path, ...]) -> FileScope:
        scope = FileScope(tree, path)
        for item in deep_items(tree.items):
            match item:
                case ast.Rule() if self._is_new(scope.rules, item.name, "rule"):
                    scope.rules[item.name.name] = (item, scope)
                case ast.Motif() if self._is_new(scope.motifs, item.name, "motif"):
                    scope.motifs[item.name.name] = (item, scope)
                case _:
                    pass
        for item in deep_items(tree.items):
            if isinstance(item, ast.Import):
                imported = self._import(item, folder, above)
                if imported is not None:
                    scope.imports.append((item, imported))
                    scope.rules = {k: (v, imported) for k, v in imported.own_rules().items()} | scope.rules
                    scope.motifs = {k: (v, imported) for k, v in imported.own_motifs().items()} | scope.motifs
        return scope

    def _is_new(self, table: dict[str, tuple[ast.Rule, FileScope]] | dict[str, tuple[ast.Motif, FileScope]],
                name: ast.Name, what: str) -> bool:  # fmt: skip
        if name.name in table:
            self.report.add(duplicate(name.name, name.span, table[name.name][0].name.span, what))
            return False
        return True

    def _import(self, item: ast.Import, folder: Path | None, above: tuple[Path, ...]) -> FileScope | None:
        path = find_import(item.path.value, folder)
        if path is None:
            beside = "beside the file, then in the shipped library" if folder is not None else "in the shipped library"
            self.report.add(
                Diagnostic(
                    code="C006",
                    title=f"cannot find the import `{item.path.value or item.path.span.text}`",
                    span=item.path.span,
                    label="no such file",
                    notes=(f"an import is looked for {beside}",),
                    hint=did_you_mean(item.path.value, library_imports()) or "`circuitdsl list` shows the library",
                )
            )
            return None
        if path in above:
            cycle = " -> ".join(p.name for p in (*above[above.index(path) :], path))
            self.report.add(
                Diagnostic(
                    code="C007",
                    title=f"`{item.path.value}` imports itself",
                    span=item.path.span,
                    label=cycle,
                    hint="move what both files need into a third one",
                )
            )
            return None
        if path not in self.loaded:
            self.loaded[path] = self._read(path, item, above)
        return self.loaded[path]

    def _read(self, path: Path, item: ast.Import, above: tuple[Path, ...]) -> FileScope | None:
        try:
            source = self.read(path)
            tree = _parsed(_shown(path, item), source.text)
        except CircuitError as error:
            for diagnostic in error.diagnostics:
                self.report.add(diagnostic)
            return None
        except OSError as error:
            title = f"cannot read the import `{item.path.value}`: {error.strerror}"
            self.report.add(Diagnostic(code="C006", title=title, span=item.path.span))
            return None
        return self.load(tree, path, path.parent, (*above, path))


@lru_cache(maxsize=64)
def _parsed(name: str, text: str) -> ast.File:
    """The tree of an imported text: an editor asks for the same one at every key press."""
    return parse(Source(name, text))


def find_import(name: str, folder: Path | None) -> Path | None:
    """The imported file: beside the importing one, else in the shipped library."""
    for root in (folder, shipped("circuits")):
        with suppress(OSError, ValueError):  # a name that no file can have
            if root is not None and (root / name).is_file():
                return (root / name).resolve()
    return None


def _shown(path: Path, item: ast.Import) -> str:
    """How messages name an imported file: as seen from where the importing one was named; a shipped one
    by its place in the library."""
    library = shipped("circuits").resolve()
    if path.is_relative_to(library):
        return f"circuits/{path.relative_to(library).as_posix()}"
    return os.path.normpath(Path(item.span.source.name).parent / item.path.value)


def library_imports() -> list[str]:
    root = shipped("circuits")
    return [p.relative_to(root).as_posix() for p in root.rglob("*.circ")]


def homes_of(what: str, name: str, file: FileScope) -> list[str]:
    """The files to import for the rule or motif of this name: what the imports of the file import, and
    the shipped library. For messages only: it reads the library's files."""
    near = [
        os.path.normpath(Path(direct.path.value).parent / item.path.value)
        for direct, imported in file.imports
        for item, scope in imported.imports
        if name in (scope.own_rules() if what == "rule" else scope.own_motifs())
    ]
    if near:
        return near
    pattern = re.compile(rf"^\s*{what}\s+{re.escape(name)}\s*\(", re.MULTILINE)
    return [path for path, text in library_texts() if pattern.search(text)]


@cache
def library_texts() -> list[tuple[str, str]]:
    """The files of the library that define rules and motifs: what to import, and its text."""
    root = shipped("circuits")
    texts = [(path, (root / path).read_text("utf-8")) for path in sorted(library_imports())]
    return [(path, text) for path, text in texts if re.search(r"^\s*(rule|motif)\s", text, re.MULTILINE)]


def deep_items(items: Iterable[ast.TopItem | ast.Item]) -> Iterator[ast.TopItem | ast.Item]:
    """All items with those inside circuits, motifs and loops."""
    for item in items:
        yield item
        if isinstance(item, ast.Circuit | ast.Motif | ast.For):
            yield from deep_items(item.items)


def calls_in(expr: ast.Expr) -> Iterator[ast.Call]:
    """The calls of functions and rules anywhere in an expression."""
    match expr:
        case ast.Call():
            yield expr
            for argument in expr.arguments:
                yield from calls_in(argument.value)
        case ast.Unary():
            yield from calls_in(expr.operand)
        case ast.Binary():
            yield from calls_in(expr.left)
            yield from calls_in(expr.right)
        case ast.ListOf():
            for item in expr.items:
                yield from calls_in(item)
        case ast.Index():
            yield from calls_in(expr.base)
            yield from calls_in(expr.index)
        case ast.Member():
            yield from calls_in(expr.base)
        case ast.Number() | ast.String() | ast.Name():
            pass
        case _:
            assert_never(expr)
