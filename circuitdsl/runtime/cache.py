"""Emitted modules on disk, by content: Numba keeps compiled code for functions that stand in a file.

Every content has a folder of its own, with Numba's own index in it; files appear by renaming and have a fixed
time stamp, so that processes that compile the same circuit at once do not disturb each other.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from types import ModuleType

_IMPORTING = threading.Lock()


def cache_folder() -> Path:
    """`$CIRCUITDSL_CACHE`, else `circuitdsl` in `$XDG_CACHE_HOME` (`~/.cache`); a folder of the user's among
    the temporary ones if that cannot be written."""
    own = os.environ.get("CIRCUITDSL_CACHE")
    base = Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "circuitdsl"
    return _writable(base)


@cache
def _writable(base: Path) -> Path:
    try:
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=base):
            return base
    except OSError:
        user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
        other = Path(tempfile.gettempdir()) / f"circuitdsl-{user}"
        other.mkdir(mode=0o700, parents=True, exist_ok=True)
        return other


def load_module(name: str, source: str, key: str) -> ModuleType:
    """The module of an emitted source, from disk if it was written before.

    `key` is what decides whether two sources are the same (the source without comments); what Numba and
    Python add to it is added here. Raises OSError if nothing can be written."""
    import numba

    versions = f"python {sys.version_info.major}.{sys.version_info.minor}, numba {numba.__version__}"
    digest = hashlib.sha256(f"{versions}\n{key}".encode()).hexdigest()[:24]
    folder = cache_folder() / f"numba-{numba.__version__}" / digest[:2] / digest
    path = folder / f"{re.sub(r'[^A-Za-z0-9_]', '_', name)}.py"
    if not path.exists():
        _write(path, source)
    module_name = f"circuitdsl_emitted_{digest}"
    with _IMPORTING:  # a module that another thread is importing already stands in sys.modules, half made
        if module_name in sys.modules:
            return sys.modules[module_name]
        return _import(module_name, path)


def _write(path: Path, source: str) -> None:
    """Writes under another name and renames. The time stamp is fixed because Numba takes another one for
    another source."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(source)
        os.utime(temporary, (0, 0))
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _import(module_name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module
