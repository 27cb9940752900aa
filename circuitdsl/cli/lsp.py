"""`circuitdsl lsp`: the language server, which editors start and talk to."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from circuitdsl.cli.common import OK
from circuitdsl.extras import named

ABOUT = """Serve an editor over stdin and stdout by the language server protocol: diagnostics while typing, hover and
inlay hints with what is derived, definition, references, rename, completion, formatting, quick fixes. An editor starts
it by itself; docs/editor.md says how. Nothing is measured. Needs the extra `editor`.

Exit codes: 0 the editor is done, 2 a missing extra."""

EXAMPLES = """\
  circuitdsl lsp"""


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--stdio", action="store_true", help="what it does anyway; some editors say it")


def command(options: Namespace) -> int:
    with named():
        from circuitdsl.lsp.server import serve
    serve()
    return OK
