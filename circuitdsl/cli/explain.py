"""`circuitdsl explain C012`: what a code means, with an example of the mistake and of the way out."""

from __future__ import annotations

import shutil
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

from circuitdsl.cli.common import OK, add_json, color, fail_usage, print_json

if TYPE_CHECKING:
    from circuitdsl.codes import Code

ABOUT = "Explain the code of an error, a warning or a note; without one, list all codes."

EXAMPLES = """\
  circuitdsl explain C031
  circuitdsl explain"""


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("code", metavar="CODE", nargs="?", help="such as C031")
    add_json(parser)


def command(options: Namespace) -> int:
    from circuitdsl.codes import CODES

    if options.code is None:
        if options.json:
            print_json({"codes": [{"code": name, **asdict(code)} for name, code in CODES.items()]})
        else:
            print("\n".join(f"{name}  {code.title}" for name, code in CODES.items()))
        return OK
    name = _name(options.code)
    if name not in CODES:
        from circuitdsl.diagnostics import did_you_mean

        hint = did_you_mean(name, CODES) or "`circuitdsl explain` lists them"
        fail_usage(f"there is no code `{options.code}`; {hint}")
    if options.json:
        print_json({"code": name, **asdict(CODES[name])})
    else:
        print(_page(name, CODES[name]))
    return OK


def _name(text: str) -> str:
    """C031, however it was written: c31, 31, E31."""
    number = text.strip().lstrip("CcEe[").rstrip("]")
    return f"C{int(number):03d}" if number.isdecimal() and number.isascii() else text


def _page(name: str, code: Code) -> str:
    """Title, what it means, and its examples, in the order of the fields of `Code`."""
    bold, plain = ("\x1b[1m", "\x1b[0m") if color(sys.stdout) else ("", "")
    fields = asdict(code)
    parts = [f"{bold}{name}  {fields.pop('title')}{plain}"]
    parts += [_part(label, text) for label, text in fields.items() if isinstance(text, str) and text]
    return "\n\n".join(parts)


def _part(label: str, text: str) -> str:
    """A paragraph, filled; text of several lines is an example: it stands as it is, under its label."""
    import textwrap

    text = text.strip("\n")
    if "\n" in text:
        return f"{label}:\n\n{textwrap.indent(textwrap.dedent(text), '    ')}"
    return textwrap.fill(text, width=min(100, shutil.get_terminal_size().columns))
