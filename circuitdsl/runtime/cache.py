"""Emitted modules on disk, by content: Numba keeps compiled code for functions that stand in a file.

Every content has a folder of its own, with Numba's own index in it; files appear by renaming and have a fixed
time stamp, so that processes that compile the same circuit at once do not disturb each other. Whoever can write
there runs code as the user, so only what is the user's alone is used (runtime/trust.py).
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import os
import re
import shutil
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from circuitdsl.runtime.trust import Distrust, close, distrust, distrust_below, make_folder

_IMPORTING = threading.Lock()


def cache_folder() -> Path:
    """`$CIRCUITDSL_CACHE`, else `circuitdsl` in `$XDG_CACHE_HOME` (`~/.cache`). If that cannot be written, a folder of
    the user's among the temporary ones; if others could have put code there (runtime/trust.py), one of this process
    alone, and a warning."""
    own = os.environ.get("CIRCUITDSL_CACHE")
    base = Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "circuitdsl"
    return _usable(base, given=bool(own))


@cache
def _usable(base: Path, *, given: bool) -> Path:
    try:
        make_folder(base)
        with tempfile.TemporaryFile(dir=base):
            folder = base
    except OSError:
        user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
        folder = Path(tempfile.gettempdir()) / f"circuitdsl-{user}"
    try:
        make_folder(folder)
        found = distrust(folder)
    except OSError as problem:
        found = Distrust(folder, f"cannot be used ({(problem.strerror or str(problem)).lower()})")
    return (
        folder if found is None else _instead_of(found, delete=found.path == folder and not (given and folder == base))
    )


def _instead_of(found: Distrust, *, delete: bool) -> Path:
    """A folder of this process alone, with a warning. `delete`: whether nothing but compiled code would be lost."""
    either = f"delete `{found.path}`, or " if delete and found.own else ""
    warnings.warn(
        f"{found}: compiled code from there need not be yours. This process compiles in a folder of its own, which "
        f"goes when it ends. To keep compiled code, {either}set CIRCUITDSL_CACHE to a folder that only you can write.",
        RuntimeWarning,
        stacklevel=2,
    )
    return _private()


@cache
def _private() -> Path:
    """A folder for this process, until it ends."""
    made = Path(tempfile.mkdtemp(prefix="circuitdsl-"))
    process = os.getpid()

    def remove() -> None:
        if os.getpid() == process:  # not in a process that was forked from it
            shutil.rmtree(made, ignore_errors=True)

    atexit.register(remove)
    return made


def load_module(name: str, source: str, key: str) -> ModuleType:
    """The module of an emitted source, from disk if it was written before.

    `key` is what decides whether two sources are the same (the source without comments); what Numba and
    Python add to it is added here. Raises OSError if nothing can be written."""
    import numba

    versions = f"python {sys.version_info.major}.{sys.version_info.minor}, numba {numba.__version__}"
    digest = hashlib.sha256(f"{versions}\n{key}".encode()).hexdigest()[:24]
    folder = _folder(Path(f"numba-{numba.__version__}") / digest[:2] / digest)
    path = folder / f"{re.sub(r'[^A-Za-z0-9_]', '_', name)}.py"
    if not path.exists():
        _write(path, source)
    module_name = f"circuitdsl_emitted_{digest}"
    with _IMPORTING:  # a module that another thread is importing already stands in sys.modules, half made
        if module_name in sys.modules:
            return sys.modules[module_name]
        return _import(module_name, path)


def keep_private(function: Callable[..., object]) -> None:
    """Called when a function of a module from here has been compiled: nobody else may write what Numba has written."""
    file = sys.modules[function.__module__].__file__
    assert file is not None
    close(Path(file).parent)


def _folder(within: Path) -> Path:
    """The folder of one module, and in it that of Python's and Numba's files, with nothing in it that is not the
    user's."""
    base = cache_folder()
    found = distrust_below(base, within)
    folder = (base if found is None else _instead_of(found, delete=True)) / within
    make_folder(folder / "__pycache__")
    _trust_numba()
    return folder


def _trust_numba() -> None:
    """Where the user has told Numba to keep its files elsewhere (`NUMBA_CACHE_DIR`), that folder has to be the user's
    too, else Numba keeps them beside the module."""
    import numba

    config: Any = numba.config
    if config.CACHE_DIR and (found := distrust(Path(config.CACHE_DIR))) is not None:
        warnings.warn(
            f"{found}: compiled code from there need not be yours, and NUMBA_CACHE_DIR is not used. Set it to a folder "
            "that only you can write, or not at all.",
            RuntimeWarning,
            stacklevel=2,
        )
        config.CACHE_DIR = ""


def _write(path: Path, source: str) -> None:
    """Writes under another name and renames. The time stamp is fixed because Numba takes another one for
    another source."""
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
