"""Emitted modules, and what Numba makes of their functions, kept on disk (store/entries.py).

Numba's own cache believes what it finds. Here the key is the source with the versions and the processor for which it
was compiled, and what is damaged is compiled anew.
"""

from __future__ import annotations

import hashlib
import linecache
import pickle
import sys
import threading
from dataclasses import dataclass
from functools import cache
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any

from circuitdsl.store.entries import Entry, cache_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

_IMPORTING = threading.Lock()


def load_module(name: str, source: str, key: str) -> ModuleType:
    """The module of an emitted source. What Numba makes of the functions that Python calls is kept on disk.

    `key` is what decides whether two sources are the same (the source without comments)."""
    digest = hashlib.sha256(key.encode()).hexdigest()[:24]
    module_name = f"circuitdsl_emitted_{digest}"
    with _IMPORTING:  # a module that another thread is importing already stands in sys.modules, half made
        if module_name not in sys.modules:
            _import_numba()
            _keep_code(_run(module_name, f"<{name} {digest}>", source), name, key)
        return sys.modules[module_name]


def _run(module_name: str, file: str, source: str) -> ModuleType:
    module = ModuleType(module_name)
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    sys.modules[module_name] = module  # where Numba looks for it
    try:
        exec(compile(source, file, "exec"), module.__dict__)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _keep_code(module: ModuleType, name: str, key: str) -> None:
    """Those without a way in from Python become part of those that call them."""
    functions: list[Any] = [f for f in vars(module).values() if hasattr(f, "targetoptions")]
    for function in functions:
        if not function.targetoptions.get("no_cpython_wrapper"):
            function._cache = CodeOnDisk(name, f"{function.__name__}\n{key}")


@dataclass(frozen=True, slots=True)
class CodeOnDisk:
    """What Numba's dispatcher asks of a cache (numba.core.caching), for one function."""

    name: str
    key: str

    @property
    def cache_path(self) -> str:
        return str(cache_folder())

    def load_overload(self, signature: Any, context: Any) -> Any:
        """The compiled function; None if it is not kept, or not for these versions and this processor."""
        from numba.core.compiler import CompileResult

        rebuild: Any = CompileResult._rebuild
        context.refresh()
        kept = self._entry(signature, context.codegen()).read()
        if kept is None:
            return None
        try:
            return rebuild(context, *pickle.loads(kept))
        except Exception:  # another build of the same versions: as good as none
            return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        from numba.core import serialize

        dumps: Any = serialize.dumps
        if not compiled.library.has_dynamic_globals:  # addresses of this process
            self._entry(signature, compiled.codegen).write(dumps(compiled._reduce()))

    def flush(self) -> None:
        """There is nothing in memory."""

    def _entry(self, signature: Any, codegen: Any) -> Entry:
        return Entry("code", self.name, "\n".join([_versions(), repr(codegen.magic_tuple()), str(signature), self.key]))


@cache
def _versions() -> str:
    from importlib.metadata import version

    packages = ("circuitdsl", "numba", "llvmlite", "numpy")
    return ", ".join([f"python {sys.version}", *(f"{name} {version(name)}" for name in packages)])


# ---------------------------------------------------------------- Numba without SciPy


class _Hidden(MetaPathFinder):
    """For the thread that makes it, a package is not installed."""

    def __init__(self, package: str):
        self.package, self.thread = package, threading.get_ident()

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name == self.package and threading.get_ident() == self.thread:
            raise ModuleNotFoundError(f"`{name}` is not needed here", name=name)


def _import_numba() -> None:
    """Numba imports SciPy to see whether there is any, which takes longer than all else of a start."""
    if "numba" in sys.modules:
        return
    hidden = _Hidden("scipy")
    sys.meta_path.insert(0, hidden)
    try:
        from numba.np import arraymath
    finally:
        sys.meta_path.remove(hidden)
    from importlib.util import find_spec

    arraymath._HAVE_BLAS = find_spec("scipy") is not None  # what it would have seen
