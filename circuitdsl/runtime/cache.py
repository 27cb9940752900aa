"""Emitted code made to run: as object code, which is kept on disk (store/entries.py), or as plain Python.

What has been compiled once starts without the compiler. The key of what is kept is the text with the versions and the
processor that it was compiled for; what is damaged is compiled anew.
"""

from __future__ import annotations

import hashlib
import linecache
import os
import sys
import threading
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from circuitdsl.runtime.routine import Interpreted, Native, Routine
from circuitdsl.store.entries import Entry

if TYPE_CHECKING:
    from circuitdsl.emit.target import Target
    from circuitdsl.lower.loop_ir import Program

_LOADING = threading.Lock()
#: What this process has loaded, by its text. Object code stays in memory.
_LOADED: dict[str, Routine] = {}


def load_code(name: str, target: Target, program: Program) -> Routine:
    """The code of a program as a back end prints it. `name` is for who looks into the cache."""
    dtype = program.aim.dtype
    key = target.print_program(program, dtype, comments=False)
    with _LOADING:
        if key not in _LOADED:
            if is_interpreted():
                module = module_of(name, target.print_program(program, dtype), key)
                _LOADED[key] = Interpreted(getattr(module, program.name))
            else:
                _LOADED[key] = _native(name, key, program)
        return _LOADED[key]


def is_interpreted() -> bool:
    """Whether Numba is told to leave functions as they are."""
    if "numba" in sys.modules:
        return bool(sys.modules["numba"].config.DISABLE_JIT)
    return os.environ.get("NUMBA_DISABLE_JIT", "0").strip() not in ("", "0")


def module_of(name: str, source: str, key: str) -> ModuleType:
    """The module of a source; tracebacks show its lines."""
    digest = hashlib.sha256(key.encode()).hexdigest()[:24]
    file, module = f"<{name} {digest}>", ModuleType(f"circuitdsl_emitted_{digest}")
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    sys.modules[module.__name__] = module  # where Numba looks for it
    try:
        exec(compile(source, file, "exec"), module.__dict__)
    except BaseException:
        del sys.modules[module.__name__]
        raise
    return module


def entry_of(name: str, key: str) -> Entry:
    """Where the object code of a text is kept that was compiled for this processor by these versions."""
    from circuitdsl.runtime.objects import host

    return Entry("code", name, "\n".join([_versions(), *host(), key]))


def _native(name: str, key: str, program: Program) -> Native:
    from circuitdsl.runtime.objects import load_object

    entry = entry_of(name, key)
    kept = entry.read()
    found = None if kept is None else load_object(kept)
    if found is None:
        from circuitdsl.runtime.alone import import_numba

        import_numba()
        from circuitdsl.runtime.compile import compiled

        made = compiled(module_of(name, key, key), program.name, program.aim.dtype)
        entry.write(made)
        found = load_object(made)
        assert found is not None
    return found


@cache
def _versions() -> str:
    """What makes the code: the compiler, which is not loaded for that, and how it is called."""
    import llvmlite
    import numpy as np

    ways = (Path(__file__).with_name(f"{name}.py").read_bytes() for name in ("compile", "remembering"))
    how = hashlib.sha256(b"".join(ways)).hexdigest()
    versions = f"python {sys.version}", f"numpy {np.__version__}", f"llvmlite {llvmlite.__version__}", _numba(), how
    settings = (f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("NUMBA_"))
    return "\n".join([*versions, *settings])


def _numba() -> str:
    """Numba's version. Raises ModuleNotFoundError."""
    found = find_spec("numba")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("numba is not installed", name="numba")
    told = Path(found.origin).with_name("_version.py")
    if told.is_file():  # the packages' metadata take longer to read than the code
        return told.read_text()
    from importlib.metadata import version

    return version("numba")
