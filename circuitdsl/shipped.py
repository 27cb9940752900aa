"""Where the files that come with the package are: the grammar and the model library.

In a checkout they stand at its root; in an installed wheel inside the package (`force-include` in
pyproject.toml). This module imports nothing of ours.
"""

from __future__ import annotations

import os
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


def cache_directory() -> Path:
    """Where this user's caches go ($XDG_CACHE_HOME/circuitdsl); it need not exist, nor be writable."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "circuitdsl"
