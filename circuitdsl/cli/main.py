"""The command line: finds the command, runs it, and never shows a traceback.

Only the module of the command that was asked for is imported, and none of them imports anything heavy
before it is needed: `check` must feel instant. That is also why the options are argparse's: typer loads
pydantic, which takes half of the time that a whole `check` may.
"""

from __future__ import annotations

import os
import sys
import warnings
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from importlib import import_module
from io import TextIOWrapper
from types import ModuleType
from typing import NoReturn

from circuitdsl.cli.common import INTERRUPTED, OK, UNFINISHED, USAGE, Stop, color, say
from circuitdsl.extras import how_to_get

#: What there is, in the order in which it is shown.
COMMANDS = {
    "check": "is the circuit right?",
    "derive": "what does its plasticity amount to?",
    "run": "train it and judge its metric",
    "certify": "measure what its plasticity does to the loss",
    "sweep": "a grid of params times seeds",
    "evolve": "rules by mutation and selection",
    "emit": "the code that runs",
    "fmt": "one layout for all circuits",
    "explain": "what a code such as C012 means",
    "list": "the shipped circuits, motifs and rules",
    "demo": "a circuit that assembles itself",
    "study": "a claim of the papers, put to the test",
    "cache": "what is kept on disk from run to run",
}
LATER = ("graph", "report", "lsp")


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs a command line (default: this process's) and exits with its code."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # JSON is UTF-8 in every locale, and text would stop at the first η
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"  # without a line of ours
    code = run(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.stdout.flush()
    except OSError as problem:
        code = code or _environment(problem)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Runs a command line and gives its exit code; whatever goes wrong becomes a message."""
    from circuitdsl.runtime.stopping import noticing

    try:
        with noticing():
            code = _dispatch(arguments)
        if _verbose(arguments):
            _say_what_was_not_kept()
        return code
    except Stop as stop:
        if stop.message:
            say(stop.message)
        return stop.code
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except OSError as problem:
        return _environment(problem)
    except MemoryError:
        say("error: out of memory")
        return UNFINISHED
    except RecursionError:
        say("error: the circuit goes too deep: hundreds of its values are computed from one another in a row")
        return UNFINISHED
    except ImportError as problem:
        return _missing(problem, arguments)
    except Exception as error:
        return _fault(error, arguments)


def _dispatch(arguments: list[str]) -> int:
    verbose = [a for a in arguments[:1] if a in ("-v", "--verbose")]
    name, *rest = arguments[len(verbose) :] or ["--help"]
    if name in ("-h", "--help", "help"):
        print(_overview())
        return OK if arguments else USAGE
    if name == "--version":
        from importlib.metadata import version

        print(f"circuitdsl {version('circuitdsl')}")
        return OK
    if name in LATER:
        raise Stop(USAGE, f"error: `{name}` is not yet available")
    if name not in COMMANDS:
        raise Stop(USAGE, _unknown(name))
    code: int = _module(name).command(parser_of(name).parse_intermixed_args(rest))
    return code


def _module(name: str) -> ModuleType:
    return import_module(f"circuitdsl.cli.{name}")


def parser_of(name: str) -> ArgumentParser:
    """The options of a command of `COMMANDS`."""
    module = _module(name)
    parser = _Parser(
        prog=f"circuitdsl {name}",
        description=module.ABOUT,
        epilog=f"examples:\n{module.EXAMPLES}",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_options(parser)
    return parser


class _Parser(ArgumentParser):
    """Says what is wrong in two lines, without repeating the whole usage."""

    def error(self, message: str) -> NoReturn:
        raise Stop(USAGE, f"error: {message}{self._hint(message)}\nTry `{self.prog} --help`.")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise Stop(status, (message or "").rstrip())

    def _hint(self, message: str) -> str:
        from circuitdsl.diagnostics import did_you_mean

        unknown = message.removeprefix("unrecognized arguments: ").split()[0].partition("=")[0]
        hint = did_you_mean(unknown, self._option_string_actions) if unknown.startswith("--") else None
        return f"; {hint}" if hint else ""


def _unknown(name: str) -> str:
    from circuitdsl.diagnostics import did_you_mean

    hint = did_you_mean(name, COMMANDS)
    if name.endswith(".circ"):
        hint = f"did you mean `circuitdsl run {name}`?"
    return f"error: no command `{name}`; {hint or 'the commands are: ' + ', '.join(COMMANDS)}"


def _overview() -> str:
    bold, plain = ("\x1b[1m", "\x1b[0m") if color(sys.stdout) else ("", "")
    lines = [f"  {bold}{name:<9}{plain}{about}" for name, about in COMMANDS.items()]
    return "\n".join(
        [
            "usage: circuitdsl COMMAND [OPTIONS]",
            "",
            "Neural circuits as text: checked, compiled, run.",
            "",
            *lines,
            "",
            "`circuitdsl COMMAND --help` says more, with examples. Start here:",
            "  circuitdsl list",
            "  circuitdsl run heterosynaptic/self_assembly.circ",
        ]
    )


def _verbose(arguments: list[str]) -> bool:
    return "-v" in arguments or "--verbose" in arguments


def _say_what_was_not_kept() -> None:
    """That the next run will start as slowly as this one."""
    from circuitdsl.store.entries import cache_folder, problem

    if (found := problem()) is not None:
        why = (found.strerror or str(found)).lower()
        say(f"note: compiled code is not kept in `{cache_folder()}`: {why}; CIRCUITDSL_CACHE names another folder")


def _environment(problem: OSError) -> int:
    """What the system refuses, such as a full disk; nothing is wrong if it is that nobody reads on."""
    if isinstance(problem, BrokenPipeError):
        return OK
    where = "" if problem.filename is None else f" (`{problem.filename}`)"
    say(f"error: {(problem.strerror or str(problem)).lower()}{where}")
    return UNFINISHED


def _missing(problem: ImportError, arguments: list[str]) -> int:
    """A library that is not installed, with the extra that brings it."""
    way = how_to_get(problem.name)
    if way is None:
        return _fault(problem, arguments)
    say(f"error: this needs `{problem.name}`, which is not installed: {way}")
    return USAGE


def _fault(error: Exception, arguments: list[str]) -> int:
    """A fault of the program itself: a message, the traceback only for who asks for it."""
    if os.environ.get("CIRCUITDSL_DEBUG") or _verbose(arguments):
        import traceback

        traceback.print_exc()
    first = (str(error).splitlines() or [""])[0]
    say(f"error: internal fault: {type(error).__name__}: {first}")
    say("This is a fault of circuitdsl, not of your circuit: please report it with the command and the file.")
    say("CIRCUITDSL_DEBUG=1 shows where it happened.")
    return UNFINISHED
