"""Numba imported without what it would load to see whether there is any: SciPy, which takes longer than all else of an
import, and Intel's library of vector functions, without which object code could not do later."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType


class _Hidden(MetaPathFinder):
    """For the thread that makes it, a package is not installed."""

    def __init__(self, package: str):
        self.package, self.thread = package, threading.get_ident()

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name == self.package and threading.get_ident() == self.thread:
            raise ModuleNotFoundError(f"`{name}` is not needed here", name=name)


@contextmanager
def _set(name: str, value: str) -> Iterator[None]:
    """An environment variable for a while."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def import_numba() -> None:
    if "numba" in sys.modules:
        return
    hidden = _Hidden("scipy")
    sys.meta_path.insert(0, hidden)
    try:
        with _set("NUMBA_DISABLE_INTEL_SVML", "1"):
            from numba.np import arraymath
    finally:
        sys.meta_path.remove(hidden)
    from importlib.util import find_spec

    arraymath._HAVE_BLAS = find_spec("scipy") is not None  # what it would have seen
