"""`circuitdsl list`: the shipped library."""

from __future__ import annotations

import sys
from itertools import groupby

from circuitdsl.cli.common import OK, Json, color, examples, print_json, reporting

EXAMPLES = examples("circuitdsl list", "circuitdsl run classic/oja.circ   # run one of them, anywhere")


def command(json: Json = False) -> int:
    """Show the circuits, motifs and rules that come with circuitdsl."""
    from circuitdsl.library import Entry, entries

    with reporting("the library", json=json):
        found = entries()
    if json:
        print_json({"circuits": [_as_json(entry) for entry in found]})
        return OK

    def folder(entry: Entry) -> str:
        return entry.name.rpartition("/")[0]

    width = max(len(entry.name.rpartition("/")[2]) for entry in found) + 2
    for name, group in groupby(found, key=folder):
        print(_bold(name + "/"))
        for entry in group:
            about = entry.doc or ", ".join(entry.provides)
            print(_clipped(f"  {entry.name.rpartition('/')[2]:<{width}}{about}"))
    print("\ncircuitdsl run FOLDER/NAME.circ runs one; import \"FOLDER/NAME.circ\" uses its parts.")
    return OK


def _as_json(entry: object) -> dict[str, object]:
    from dataclasses import asdict

    from circuitdsl.library import Entry

    assert isinstance(entry, Entry)
    return asdict(entry)


def _bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m" if color(sys.stdout) else text


def _clipped(line: str) -> str:
    """The line, cut to the terminal's width where there is one."""
    if not sys.stdout.isatty():
        return line
    import shutil

    width = shutil.get_terminal_size().columns
    return line if len(line) <= width else line[: width - 1] + "…"
