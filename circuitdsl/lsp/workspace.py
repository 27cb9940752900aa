"""The texts of an editor: those that are open, saved or not, and those of their folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path

from circuitdsl.diagnostics import CircuitError, Source
from circuitdsl.frozen import mutable
from circuitdsl.graph.files import deep_items, find_import
from circuitdsl.lsp.analysis import Analysis
from circuitdsl.shipped import shipped
from circuitdsl.syntax import ast
from circuitdsl.syntax.parse import read_source

#: More folders below one that is open are not searched for a name.
MOST_FOLDERS = 5000


@mutable(eq=False)
class Workspace:
    """`texts`: the open texts by their files, as they stand in the editor; `roots`: the folders that are open. What was
    found out about a text is kept until it, or something that it may import, changes."""

    texts: dict[Path, str] = field(default_factory=dict)
    roots: list[Path] = field(default_factory=list)
    known: dict[Path, Analysis] = field(default_factory=dict)

    def put(self, path: Path, text: str) -> list[Path]:
        """A text is open, and stands so; gives the open texts that import it."""
        if self.texts.get(path) == text:
            return []
        self.texts[path] = text
        return self._forget(path)

    def close(self, path: Path) -> list[Path]:
        """A text is no longer open: what is saved of it holds; gives the open texts that import it."""
        self.texts.pop(path, None)
        return self._forget(path)

    def saved(self, path: Path) -> list[Path]:
        """A file has changed; gives the open texts that import it, unless the editor has a text of its own for it."""
        return [] if path in self.texts else self._forget(path)

    def _forget(self, path: Path) -> list[Path]:
        """What is known of a text, and of those that import it, holds no more."""
        importers = [p for p, analysis in self.known.items() if p != path and path in imports_of(analysis)]
        for each in (path, *importers):
            self.known.pop(each, None)
        return [p for p in importers if p in self.texts]

    def read(self, path: Path) -> Source:
        """The text of a file: that of the editor, else what is saved. Raises OSError, CircuitError."""
        text = self.texts.get(path)
        return read_source(path) if text is None else Source(str(path), text)

    def analysis(self, path: Path) -> Analysis:
        """A text with all that is known of it. Raises OSError, CircuitError if it cannot be read."""
        found = self.known.get(path)
        if found is None:
            folder = path.parent if path.is_absolute() else None  # an editor has texts that lie nowhere
            found = Analysis(self.read(path), folder, self.read)
            self.known[path] = found
        return found

    def mentioning(self, word: str) -> Iterator[Analysis]:
        """Every text, open or of the folders, that has a word."""
        paths = dict.fromkeys(self.texts)
        for root in self.roots:
            paths |= dict.fromkeys(_circuits_below(root))
        for path in paths:
            try:
                if re.search(rf"\b{re.escape(word)}\b|\bd{re.escape(word)}\b", self.read(path).text):
                    yield self.analysis(path)
            except (OSError, CircuitError):
                continue


def _circuits_below(root: Path) -> Iterator[Path]:
    """The circuits in a folder and below, without hidden folders and those of packages."""
    for count, (folder, below, files) in enumerate(os.walk(root)):
        if count >= MOST_FOLDERS:
            return
        below[:] = sorted(name for name in below if not name.startswith(".") and name != "node_modules")
        yield from (Path(folder, name).resolve() for name in sorted(files) if name.endswith(".circ"))


def imports_of(analysis: Analysis) -> set[Path]:
    """The files that a text imports, directly or not, also those that cannot be read."""
    found: set[Path] = set()
    for scope in analysis.files.closure():
        folder = scope.path.parent if scope.path is not None else None
        for item in deep_items(scope.tree.items):
            path = find_import(item.path.value, folder) if isinstance(item, ast.Import) else None
            found |= {path} if path is not None else set()
    return found


def is_shipped(path: Path | None) -> bool:
    """Whether a file belongs to the library, which nobody edits."""
    return path is not None and path.is_relative_to(shipped("circuits").resolve())
