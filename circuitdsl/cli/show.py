"""`circuitdsl show`: the text of a shipped circuit, printed or copied."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from circuitdsl.cli.common import OK, add_json, fail_usage, print_json, reporting

ABOUT = """Print the text of a circuit, rule or motif of the library, or copy it to where you want to change it. What it
imports need not be copied: imports are looked for in the library too.

Exit codes: 0 ok, 2 no such circuit, or there is a file already."""

EXAMPLES = """\
  circuitdsl show kolen_pollack
  circuitdsl show motifs/sal.circ
  circuitdsl show classic/oja.circ --out mine.circ"""


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of a shipped file, as `circuitdsl list` has it")
    parser.add_argument("-o", "--out", metavar="F", type=Path, help="copy it to this file")
    add_json(parser)


def command(options: Namespace) -> int:
    from circuitdsl.shipped import find_circuit

    path = find_circuit(options.name)
    if not path.is_file():
        fail_usage(unknown(options.name))
    with reporting(options.name, json=options.json):
        text = path.read_text(encoding="utf-8")
        if options.out is not None:
            write_new(options.out, text)
    if options.json:
        print_json({"name": options.name, "path": path, "text": text, "written": options.out})
    elif options.out is not None:
        print(f"written: {options.out}")
    else:
        print(text, end="")
    return OK


def unknown(name: str) -> str:
    """That nothing shipped is called so, with what is."""
    from circuitdsl.diagnostics import did_you_mean
    from circuitdsl.shipped import library_path

    stems = {p.stem for p in library_path().rglob("*.circ")}
    hint = did_you_mean(Path(name).stem, stems)
    return f"no circuit `{name}` in the library; {hint or '`circuitdsl list` shows what there is'}"


def write_new(path: Path, text: str) -> None:
    """Writes a file that is not there yet. Raises Stop, OSError."""
    if path.exists():
        fail_usage(f"`{path}` is there already: give another name, or remove it")
    from circuitdsl.runtime.state import write_atomically

    write_atomically(path, text.encode())
