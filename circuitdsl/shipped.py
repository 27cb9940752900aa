"""Where the files that come with the package are: the grammar and the model library.

In a checkout they stand at its root; in an installed wheel inside the package (`force-include` in
pyproject.toml). This module imports nothing of ours.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(folder: str) -> Path:
    """The folder that ships with the package: "grammars" or "circuits".

    Raises FileNotFoundError if the installation lacks it.
    """
    for place in (_PACKAGE / "_shipped" / folder, _PACKAGE.parent / folder):
        if place.is_dir():
            return place
    raise FileNotFoundError(f"circuitdsl is installed without its folder `{folder}`: install it again")


def grammar_path() -> Path:
    """The one grammar of the language."""
    return shipped("grammars") / "circ.lark"


def library_path() -> Path:
    """The folder of shipped circuits, in which `import` looks after the importing file's own folder."""
    return shipped("circuits")


def find_circuit(path: str | Path) -> Path:
    """The path itself if it exists; else the shipped file of that name, with or without `circuits/` and its
    folder before it or `.circ` after it, so that an installed package runs `classic/oja.circ` or `oja`
    anywhere; else the path, for the caller to fail on."""
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
    return _only_one_called(path, library) if len(parts) == 1 else path


def _only_one_called(name: Path, library: Path) -> Path:
    """The shipped circuit of that name, whatever its folder; rules and motifs are parts of circuits, and not meant."""
    found = [p for p in library.glob(f"*/{name.stem}.circ") if p.parent.name not in ("rules", "motifs")]
    return found[0] if len(found) == 1 and name.suffix in ("", ".circ") else name
