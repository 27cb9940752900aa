"""`circuitdsl fmt`: one layout for all circuits."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from circuitdsl.cli.common import (
    OK,
    STDIN,
    USAGE,
    WRONG,
    add_files,
    add_json,
    check_object,
    print_json,
    several,
    show,
    stdin_source,
    texts,
    unreadable,
)
from circuitdsl.diagnostics import CircuitError, Diagnostic, printable
from circuitdsl.frozen import frozen

ABOUT = """Lay circuits out in the one standard form, in place, comments kept. A folder stands for all circuits in it
and below it; the text of - is read from stdin, and written to stdout.

Exit codes: 0 done, 1 a file has syntax errors or (with --check) would change, 2 a file is missing."""

EXAMPLES = """\
  circuitdsl fmt mine.circ
  circuitdsl fmt --check circuits/
  circuitdsl fmt - < mine.circ"""


def add_options(parser: ArgumentParser) -> None:
    add_files(parser)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a file would change")
    add_json(parser)


def command(options: Namespace) -> int:
    check, json = options.check, options.json
    found = [_format(file) for file in texts(options.files)]
    for one in found:
        show(one.diagnostics)
        if not check:
            one.write(json=json)
        if one.changed and not json and (check or one.file != STDIN):
            print(f"{printable(one.file)}: {'would change' if check else 'changed'}")
    ok = all(one.ok for one in found) and not (check and any(one.changed for one in found))
    if json:
        objects = [one.as_json(text=not check) for one in found]
        print_json({"ok": ok, "files": objects} if several(options.files) or found[0].ok else objects[0])
    return USAGE if any(one.missing for one in found) else OK if ok else WRONG


@frozen(kw_only=True)
class Formatted:
    """A file, and its text in the one form; None if it cannot be had, with the reasons."""

    file: str
    text: str | None = None
    changed: bool = False
    diagnostics: tuple[Diagnostic, ...] = ()
    missing: bool = False

    @property
    def ok(self) -> bool:
        return self.text is not None

    def as_json(self, *, text: bool) -> dict[str, Any]:
        found = {**check_object(self.file, self.diagnostics), "changed": self.changed}
        return {**found, "text": self.text} if text and self.file == STDIN and self.ok else found

    def write(self, *, json: bool) -> None:
        """Puts the text where it belongs: in its file, or to stdout. Raises OSError."""
        if self.text is None:
            return
        if self.file != STDIN:
            if self.changed:
                from circuitdsl.runtime.state import write_atomically

                write_atomically(Path(self.file), self.text.encode())
        elif not json:
            sys.stdout.buffer.write(self.text.encode())  # every character as it was
            sys.stdout.buffer.flush()


def _format(file: str) -> Formatted:
    from circuitdsl.syntax.format import format_text
    from circuitdsl.syntax.parse import read_source

    try:
        source = stdin_source() if file == STDIN else read_source(file)
        text = format_text(source)
        return Formatted(file=file, text=text, changed=text != source.text)
    except CircuitError as error:
        return Formatted(file=file, diagnostics=error.diagnostics)
    except OSError as problem:
        return Formatted(file=file, diagnostics=(_unreadable(file, problem),), missing=True)


def _unreadable(file: str, problem: OSError) -> Diagnostic:
    """That a file is not there; one of the library, which other commands find by its name, is not changed."""
    from circuitdsl.shipped import find_circuit

    found = find_circuit(file)
    if not isinstance(problem, FileNotFoundError) or found == Path(file):
        return unreadable(file, problem)
    return Diagnostic(
        code="C006",
        title=f"`{file}` is not here; the circuit of this name is one of the shipped library",
        span=None,
        hint=f"copy it and lay the copy out: `cp {found} .`",
    )
