"""`circuitdsl check`: is the circuit right?"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.cli.common import (
    OK,
    STDIN,
    USAGE,
    WRONG,
    add_files,
    add_json,
    add_set,
    check_object,
    fail_usage,
    params_of,
    print_json,
    several,
    show,
    stdin_source,
    texts,
    unreadable,
)
from circuitdsl.diagnostics import CircuitError, Diagnostic, Severity, did_you_mean, printable

if TYPE_CHECKING:
    from circuitdsl.graph.ir import Circuit

ABOUT = """Parse, elaborate and check circuits, and say all that is wrong with them, on stdout. A folder stands for
all circuits in it and below it, - for a text on stdin.

Exit codes: 0 all are right (warnings allowed), 1 one is wrong, 2 a file is missing."""

EXAMPLES = """\
  circuitdsl check mine.circ
  circuitdsl check circuits/ > report.txt           # a folder, and all below it
  circuitdsl check --json circuits/classic/*.circ
  cat mine.circ | circuitdsl check -
  circuitdsl check mine.circ --set depth=4"""


def add_options(parser: ArgumentParser) -> None:
    add_files(parser)
    add_set(parser)
    add_json(parser)


def command(options: Namespace) -> int:
    json, params = options.json, params_of(options.settings)
    found: list[dict[str, Any]] = []
    missing = False
    for file in texts(options.files):
        diagnostics, absent = _check(file, params)
        missing |= absent
        show(diagnostics, sys.stderr if json else sys.stdout)  # what is found is what was asked for
        found.append(check_object(file, diagnostics))
        if not json:
            print(f"{printable(file)}: {_verdict(diagnostics)}")
    ok = all(f["ok"] for f in found)
    if json:
        print_json({"ok": ok, "files": found} if several(options.files) else found[0])
    return USAGE if missing else OK if ok else WRONG


def _check(file: str, params: dict[str, float | list[float]]) -> tuple[tuple[Diagnostic, ...], bool]:
    """What is to be said of a file, and whether it is missing."""
    from circuitdsl.graph.resolve import load_file, load_source
    from circuitdsl.shipped import find_circuit

    try:
        if file == STDIN:
            loaded = load_source(stdin_source(), Path.cwd(), overrides=params or None)
        else:
            loaded = load_file(find_circuit(file), overrides=params or None)
        if params:
            _must_have(file, loaded.circuit, params)
        return loaded.warnings, False
    except CircuitError as error:
        return error.diagnostics, False
    except OSError as problem:
        return (unreadable(file, problem),), True
    except ValueError as problem:
        if not params:
            raise
        fail_usage(str(problem))


def _must_have(file: str, circuit: Circuit | None, params: Iterable[str]) -> None:
    """Raises Stop if one of the params that were set is not there."""
    known = {} if circuit is None else circuit.params
    for name in params:
        if name not in known and name.partition("[")[0] not in known:
            listed = ", ".join(f"`{p}`" for p in known) or "none"
            hint = did_you_mean(name, known) or f"its params are: {listed}"
            fail_usage(f"`{file}` has no param `{name}`; {hint}")


def _verdict(diagnostics: tuple[Diagnostic, ...]) -> str:
    counts = [(sum(d.severity is s for d in diagnostics), s.value) for s in Severity]
    said = [f"{n:,} {word}{'s' if n > 1 else ''}" for n, word in counts if n]
    return ", ".join(said) or "ok"
