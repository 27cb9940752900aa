"""`circuitdsl list`: the shipped library."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from circuitdsl.cli.common import OK, add_json, color, print_json, reporting
from circuitdsl.frozen import frozen
from circuitdsl.shipped import library_path

if TYPE_CHECKING:
    from circuitdsl.syntax.ast import Node

ABOUT = """Show the circuits, motifs and rules that come with circuitdsl, with what each circuit claims: the verdicts of
its synapses, what its weights come to, what its metric reaches. Words choose among them."""

EXAMPLES = """\
  circuitdsl list
  circuitdsl list feedback               # those that have the word in their name, text or claims
  circuitdsl show classic/oja.circ       # one of them, in full
  circuitdsl run classic/oja.circ        # run one of them, anywhere"""


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("words", metavar="WORD", nargs="*", help="show only what has all of these words")
    add_json(parser)


def command(options: Namespace) -> int:
    with reporting("the library", json=options.json):
        found = [entry for entry in entries() if all(word.lower() in entry.searched for word in options.words)]
    if options.json:
        print_json({"circuits": [asdict(entry) for entry in found]})
        return OK

    def folder(entry: Entry) -> str:
        return entry.name.rpartition("/")[0]

    width = max((len(entry.name.rpartition("/")[2]) for entry in found), default=0) + 2
    for name, group in groupby(found, key=folder):
        print(_bold(name + "/"))
        for entry in group:
            about = entry.doc or ", ".join(entry.provides)
            print(_clipped(f"  {entry.name.rpartition('/')[2]:<{width}}{about}"))
            if entry.claims:
                print(_faint(_clipped(f"  {'':<{width}}claims {', '.join(entry.claims)}")))
    if found:
        print('\ncircuitdsl run FOLDER/NAME.circ runs one, show prints it; import "FOLDER/NAME.circ" uses its parts.')
    else:
        print(f"nothing in the library has {' and '.join(f'`{word}`' for word in options.words)}")
    return OK


def _bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m" if color(sys.stdout) else text


def _faint(text: str) -> str:
    return f"\x1b[2m{text}\x1b[0m" if color(sys.stdout) else text


def _clipped(line: str) -> str:
    """The line, cut to the terminal's width where there is one."""
    if not sys.stdout.isatty():
        return line
    import shutil

    width = shutil.get_terminal_size().columns
    return line if len(line) <= width else line[: width - 1] + "…"


# ---------------------------------------------------------------- what there is


@frozen(kw_only=True)
class Entry:
    """A shipped file. `name` is its path within the library; `doc` the first line of what its
    circuit (or its first motif) says of itself; `provides`: the rules and motifs that it defines; `claims`: what
    the circuit expects of itself, as it is written."""

    name: str
    path: Path
    kind: Literal["circuit", "parts"]
    doc: str
    provides: tuple[str, ...]
    claims: tuple[str, ...]

    @property
    def searched(self) -> str:
        """All that words are looked for in."""
        return " ".join((self.name, self.doc, *self.provides, *self.claims)).lower()


def entries() -> list[Entry]:
    """Every file of the shipped library, sorted by folder and name. Raises CircuitError if one of them
    is broken, OSError."""
    library = library_path()
    return [_entry(path, library) for path in sorted(library.rglob("*.circ"))]


def _entry(path: Path, library: Path) -> Entry:
    from circuitdsl.syntax import ast
    from circuitdsl.syntax.parse import parse, read_source

    tree = parse(read_source(path))
    circuits = [item for item in tree.items if isinstance(item, ast.Circuit)]
    parts = [item for item in tree.items if isinstance(item, ast.Rule | ast.Motif)]
    docs = [item.doc for item in tree.items if isinstance(item, ast.Circuit | ast.Motif)]
    doc = next((doc for doc in docs if doc), "")
    return Entry(
        name=path.relative_to(library).as_posix(),
        path=path,
        kind="circuit" if circuits else "parts",
        doc=first_line(doc),
        provides=tuple(p.name.name for p in parts),
        claims=tuple(claim for circuit in circuits for claim in _claims(circuit.items)),
    )


def _claims(items: Iterable[Node]) -> Iterator[str]:
    """What stands after each `expect`, those within loops too."""
    from circuitdsl.syntax import ast

    for item in items:
        match item:
            case ast.ExpectVerdict() | ast.ExpectAttractor() | ast.ExpectMetric():
                yield " ".join(item.span.text.removeprefix("expect").split())
            case ast.For():
                yield from _claims(item.items)
            case _:
                pass


def first_line(doc: str) -> str:
    """The first line of a docstring that says something."""
    return next((line.strip() for line in doc.splitlines() if line.strip()), "")
