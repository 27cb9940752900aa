"""`circuitdsl fmt`: one layout for all circuits."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from circuitdsl.cli.common import (
    OK,
    USAGE,
    WRONG,
    add_files,
    add_json,
    check_object,
    print_json,
    say,
    show,
    unreadable,
)
from circuitdsl.diagnostics import CircuitError

ABOUT = """Lay circuits out in the one standard form, in place, comments kept.

Exit codes: 0 done, 1 a file has syntax errors or (with --check) would change, 2 a file is missing."""

EXAMPLES = """\
  circuitdsl fmt mine.circ
  circuitdsl fmt --check circuits/*/*.circ"""


def add_options(parser: ArgumentParser) -> None:
    add_files(parser)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a file would change")
    add_json(parser)


def command(options: Namespace) -> int:
    files, check, json = options.files, options.check, options.json
    found = [_format(file, write=not check) for file in files]
    for entry in found:
        if entry["changed"] and not json:
            print(f"{entry['file']}: {'would change' if check else 'changed'}")
    broken = [entry for entry in found if not entry["ok"]]
    missing = any(entry.pop("missing", False) for entry in found)
    ok = not broken and not (check and any(entry["changed"] for entry in found))
    if json:
        print_json(broken[0] if len(files) == 1 and broken else {"ok": ok, "files": found})
    return USAGE if missing else OK if ok else WRONG


def _format(file: str, *, write: bool) -> dict[str, Any]:
    from circuitdsl.syntax.format import format_text
    from circuitdsl.syntax.parse import read_source

    try:
        source = read_source(file)
        text = format_text(source)
        changed = text != source.text
        if changed and write:
            from circuitdsl.runtime.state import write_atomically

            write_atomically(Path(file), text.encode())
    except CircuitError as error:
        show(error.diagnostics)
        return {**check_object(file, error.diagnostics), "changed": False}
    except OSError as problem:
        finding = unreadable(file, problem)
        say(f"error: {finding.title}")
        return {**check_object(file, [finding]), "changed": False, "missing": True}
    return {**check_object(file, []), "changed": changed}
