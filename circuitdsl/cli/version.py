"""`circuitdsl --version`: which program this is, and with --json all that a report of a bug needs."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, version

from circuitdsl.cli.common import OK, print_json
from circuitdsl.extras import EXTRA


def show_version(*, json: bool) -> int:
    """Prints it. No library is imported for it."""
    if not json:
        print(f"circuitdsl {version('circuitdsl')}")
        return OK
    print_json(
        {
            "circuitdsl": version("circuitdsl"),
            "python": platform.python_version(),
            "implementation": platform.python_implementation(),
            "platform": platform.platform(),
            "machine": platform.machine(),
            "processors": os.cpu_count(),
            "libraries": _libraries(),
            "encoding": sys.getfilesystemencoding(),
        }
    )
    return OK


def _libraries() -> dict[str, str | None]:
    """The versions of the libraries that this program can use; None for what is not installed."""
    distributions = packages_distributions()
    found = {module: distributions.get(module, [module])[0] for module in ("lark", *EXTRA)}
    return {name: _installed(name) for name in sorted(found.values(), key=str.lower)}


def _installed(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
