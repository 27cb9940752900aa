"""The command line: finds the command, runs it, and never shows a traceback.

Only the module of the command that was asked for is imported, and none of them imports anything heavy
before it is needed: `check` must feel instant.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any, NoReturn

COMMANDS = {
    "check": "check",
    "run": "run",
    "emit": "emit",
    "fmt": "fmt",
    "explain": "explain",
    "list": "list",
}
LATER = ("derive", "certify", "sweep", "evolve", "study", "graph", "report", "lsp")


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs a command line (default: this process's) and exits with its code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    code = _guarded(arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _guarded(arguments: list[str]) -> int:
    from circuitdsl.cli.common import INTERRUPTED, UNFINISHED, Stop, say

    if arguments and arguments[0] in LATER:
        say(f"error: `{arguments[0]}` is not yet available")
        return 2
    try:
        return _run(arguments)
    except Stop as stop:
        if stop.message:
            say(stop.message)
        return stop.code
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        return 0
    except MemoryError:
        say("error: out of memory")
        return UNFINISHED
    except Exception as error:
        return _fault(error, arguments)


def _run(arguments: list[str]) -> int:
    """Typer's own errors (an unknown option, a missing argument) are usage errors: exit code 2."""
    try:
        result = _app(arguments)(args=arguments, prog_name="circuitdsl", standalone_mode=False)
    except Exception as error:
        if type(error).__name__ == "Abort":
            raise KeyboardInterrupt from None
        show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
        if show is None or code is None:
            raise
        show()
        return int(code)
    return result if isinstance(result, int) else 0


def _app(arguments: list[str]) -> Any:
    """The commands: only the one that is named, or all of them for the overview."""
    import typer

    app = typer.Typer(
        add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
    )
    app.callback()(_overview)
    for name in arguments[:1] if arguments[:1] and arguments[0] in COMMANDS else COMMANDS:
        module = import_module(f"circuitdsl.cli.{COMMANDS[name]}")
        app.command(name, epilog=module.EXAMPLES)(module.command)
    return app


def _overview(context: Any = None) -> None:
    """Neural circuits as text: checked, compiled, run."""


def _fault(error: Exception, arguments: list[str]) -> int:
    """A fault of the program itself: one line, the traceback only for who asks for it."""
    from circuitdsl.cli.common import UNFINISHED, say

    if os.environ.get("CIRCUITDSL_DEBUG") or "-v" in arguments or "--verbose" in arguments:
        import traceback

        traceback.print_exc()
    first = (str(error).splitlines() or [""])[0]
    say(f"error: internal fault: {type(error).__name__}: {first}")
    say("This is a fault of circuitdsl, not of your circuit. Please report it with the command and the file;")
    say("CIRCUITDSL_DEBUG=1 shows where it happened.")
    return UNFINISHED
