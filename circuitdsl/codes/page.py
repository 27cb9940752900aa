"""docs/errors.md, made of the catalogue and of what the checks say about its examples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from circuitdsl.codes import CODES, Code

if TYPE_CHECKING:
    from circuitdsl.diagnostics import Diagnostic

HEAD = """\
# Errors, warnings and notes

<!-- made by `python -m circuitdsl.codes`; edit circuitdsl/codes/ instead -->

Every message carries a code that stays the same from version to version. `circuitdsl explain C012` shows
its entry of this page.
"""

FAMILIES = {
    "C00": "Text and files",
    "C01": "Names",
    "C02": "Sizes and numbers",
    "C03": "Types and locality",
    "C04": "Wiring and time",
    "C05": "Judging, stability, Dale's law",
    "C06": "Data",
    "C07": "Runs",
    "C08": "Derivations",
}


def page() -> str:
    """The whole page. Checks every example, as `example.circ`."""
    parts = [HEAD, _contents()]
    family = ""
    for name, code in CODES.items():
        if name[:3] != family:
            family = name[:3]
            parts.append(f"## {FAMILIES[family]}\n")
        parts.append(_entry(name, code))
    return "\n".join(parts)


def _contents() -> str:
    lines = ["| code | |", "|---|---|"]
    return "\n".join(lines + [f"| [{name}](#{name.lower()}) | {code.title} |" for name, code in CODES.items()]) + "\n"


def _entry(name: str, code: Code) -> str:
    parts = [f"### {name}\n", f"**{code.title}.** {code.explanation}\n"]
    if code.wrong:
        parts += [f"```circ\n{code.wrong}```\n", f"```text\n{message(name, code.wrong)}\n```\n"]
    if code.right:
        parts += ["Instead:\n", f"```circ\n{code.right}```\n"]
    return "\n".join(parts)


def message(name: str, text: str) -> str:
    """The first message of this code that the check, or the derivation, of an example gives."""
    from circuitdsl.diagnostics import render

    return render(next(d for d in findings(text) if d.code == name), width=100)


def findings(text: str) -> tuple[Diagnostic, ...]:
    """What the check of a text named `example.circ` finds, and what its derivation warns of; it may import itself."""
    import os
    import tempfile

    from circuitdsl.derive.tell.derivation import derive
    from circuitdsl.diagnostics import CircuitError
    from circuitdsl.graph.resolve import load_file

    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            Path("example.circ").write_text(text, encoding="utf-8")
            loaded = load_file("example.circ")
            derived = derive(loaded.circuit).warnings if loaded.circuit is not None else ()
            return (*loaded.warnings, *derived)
        except CircuitError as error:
            return error.diagnostics
        finally:
            os.chdir(before)
