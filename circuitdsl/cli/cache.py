"""`circuitdsl cache`: what is kept on disk from run to run."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from circuitdsl.cli.common import OK, add_json, print_json

if TYPE_CHECKING:
    from circuitdsl.store.entries import Kept

ABOUT = """Show what is kept on disk from run to run: the folder, the entries and their size; or clear it.

Kept are compiled code, the grammar's tables, and what the check before a run has found. They are made
again when they are missing, damaged, or made by other versions or for another processor: to clear them
costs time only. CIRCUITDSL_CACHE names another folder.

Exit codes: 0 ok, 2 usage, 3 the folder cannot be read or cleared."""

EXAMPLES = """\
  circuitdsl cache show
  circuitdsl cache clear
  circuitdsl cache --json"""

#: What the kinds of entries are for people.
KINDS = {"code": "compiled code", "grammar": "tables of the grammar", "growth": "checks before a run"}


def add_options(parser: ArgumentParser) -> None:
    actions = {"show": "say what is kept (this is also done without it)", "clear": "delete it"}
    told = "; ".join(f"{name}: {what}" for name, what in actions.items())
    parser.add_argument("action", metavar="show|clear", nargs="?", choices=tuple(actions), help=told)
    add_json(parser)


def command(options: Namespace) -> int:
    from circuitdsl.store.entries import cache_folder, clear, kept

    found, cleared = kept(), options.action == "clear"
    if cleared:
        clear()
    if options.json:
        kinds = {kind: _total([k for k in found if k.kind == kind]) for kind in KINDS}
        print_json({"folder": cache_folder(), **_total(found), "kinds": kinds, "cleared": cleared})
        return OK
    print(f"{'cleared ' if cleared else ''}{cache_folder()}: {_told(found)}")
    for kind, name in {} if cleared else KINDS.items():
        print(f"  {name:<22}{_told([k for k in found if k.kind == kind])}")
    return OK


def _total(found: Sequence[Kept]) -> dict[str, int]:
    return {"entries": len(found), "bytes": sum(k.size for k in found)}


def _told(found: Sequence[Kept]) -> str:
    return f"{len(found)} {'entry' if len(found) == 1 else 'entries'}, {sum(k.size for k in found) / 1e6:.1f} MB"
