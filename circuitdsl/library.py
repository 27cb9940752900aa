"""The shipped library: which circuits, rules and motifs there are, and where.

A file that is not in the current directory is looked for here, so that an installed package runs
`circuitdsl run heterosynaptic/self_assembly.circ` anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from circuitdsl.shipped import library_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A shipped file. `name` is its path within the library; `doc` the first line of what its
    circuit (or its first motif) says of itself; `provides`: the rules and motifs that it defines."""

    name: str
    path: Path
    kind: Literal["circuit", "parts"]
    doc: str
    provides: tuple[str, ...]


def find_circuit(path: str | Path) -> Path:
    """The path itself if it exists; else the shipped file of that name, with or without `circuits/`
    before it or `.circ` after it; else the path, for the caller to fail on."""
    path = Path(path)
    if path.exists() or path.is_absolute():
        return path
    try:
        library = library_path()
    except FileNotFoundError:
        return path
    parts = path.parts[1:] if path.parts and path.parts[0] == "circuits" else path.parts
    for candidate in (library.joinpath(*parts), library.joinpath(*parts).with_suffix(".circ")):
        if candidate.is_file():
            return candidate
    return path


def entries() -> list[Entry]:
    """Every file of the shipped library, sorted by folder and name. Raises CircuitError if one of them
    is broken, OSError."""
    library = library_path()
    return [_entry(path, library) for path in sorted(library.rglob("*.circ"))]


def _entry(path: Path, library: Path) -> Entry:
    from circuitdsl.syntax import ast
    from circuitdsl.syntax.parse import parse, read_source

    tree = parse(read_source(path))
    circuits = [item for item in tree.items if isinstance(item, ast.Circuit)]
    parts = [item for item in tree.items if isinstance(item, ast.Rule | ast.Motif)]
    docs = [item.doc for item in tree.items if isinstance(item, ast.Circuit | ast.Motif)]
    doc = next((doc for doc in docs if doc), "")
    return Entry(
        name=path.relative_to(library).as_posix(),
        path=path,
        kind="circuit" if circuits else "parts",
        doc=first_line(doc),
        provides=tuple(p.name.name for p in parts),
    )


def first_line(doc: str) -> str:
    """The first line of a docstring that says something."""
    return next((line.strip() for line in doc.splitlines() if line.strip()), "")
