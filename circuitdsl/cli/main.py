"""The command line: finds the command, runs it, and never shows a traceback.

Only the module of the command that was asked for is imported, and none of them imports anything heavy
before it is needed: `check` must feel instant. That is also why the options are argparse's: typer loads
pydantic, which takes half of the time that a whole `check` may.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from types import ModuleType
from typing import NoReturn

from circuitdsl.cli.common import INTERRUPTED, OK, UNFINISHED, USAGE, Printed, Stop, color, print_json, say
from circuitdsl.cli.harmless import Harmless
from circuitdsl.diagnostics import printable
from circuitdsl.extras import how_to_get
from circuitdsl.frozen import frozen

#: What there is, in the order in which it is shown.
COMMANDS = {
    "check": "is the circuit right?",
    "derive": "what does its plasticity amount to?",
    "draw": "what does it look like?",
    "run": "train it and judge its metric",
    "certify": "measure what its plasticity does to the loss",
    "report": "all about it on one page",
    "compare": "two circuits or runs side by side",
    "sweep": "a grid of params times seeds",
    "evolve": "rules by mutation and selection",
    "emit": "the code that runs",
    "export": "the circuit for other simulators, as NIR",
    "fmt": "one layout for all circuits",
    "explain": "what a code such as C012 means",
    "list": "the shipped circuits, motifs and rules, and what they claim",
    "show": "the text of a shipped circuit",
    "new": "a circuit to start from",
    "demo": "a circuit that assembles itself",
    "study": "a claim of the papers, put to the test",
    "lsp": "the language server, for editors",
    "cache": "what is kept on disk from run to run",
}


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs a command line (default: this process's) and exits with its code."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # linear algebra has one thread, and more start by waiting
    gc.set_threshold(20_000, 20, 20)  # what a start and a compiler make is kept: looking through it took a tenth
    _prepare_streams()
    warnings.formatwarning = lambda message, *_, **__: f"warning: {printable(str(message))}\n"  # no line of ours
    code = run(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.stdout.flush()
    except OSError as problem:
        code = code or _environment(problem).code
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    gc.freeze()  # all that is there ends with the process: nobody need look through it for circles
    sys.exit(code)


def _prepare_streams() -> None:
    """Streams that take every text. JSON is UTF-8 in every locale, and text would stop at the first η; what was closed
    before we began is as good as read by nobody."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
        sys.stdout = Harmless(sys.stdout)


@frozen
class End:
    """How a command ended that did not end well: its exit code, what kind of trouble, and what is said of it."""

    code: int
    kind: str
    message: str = ""
    advice: str = ""


def run(arguments: list[str]) -> int:
    """Runs a command line and gives its exit code; whatever goes wrong becomes a message, and with --json one
    object."""
    Printed.json = False
    end = _run(arguments)
    for text in (end.message, end.advice):
        if text:
            say(text)
    if end.code != OK and not Printed.json and _asks_for_json(arguments):
        with suppress(OSError):
            print_json(_ended(end))
    return end.code


def _ended(end: End) -> dict[str, object]:
    """What `--json` prints where there is nothing else to print, in the form of `check`'s object."""
    message = end.message.removeprefix("error: ") or end.kind
    return {"file": None, "ok": False, "diagnostics": [], "kind": end.kind, "error": message, "exit": end.code}


def _run(arguments: list[str]) -> End:
    from circuitdsl.runtime.stopping import noticing

    try:
        with noticing():
            code = _dispatch(arguments)
        if _verbose(arguments):
            _say_what_was_not_kept()
        return End(code, "interrupted" if code == INTERRUPTED else "unfinished")
    except Stop as stop:
        return End(stop.code, "usage" if stop.code == USAGE else "unfinished", stop.message)
    except KeyboardInterrupt:
        return End(INTERRUPTED, "interrupted", "interrupted")
    except OSError as problem:
        return _environment(problem)
    except MemoryError:
        return End(UNFINISHED, "memory", "error: out of memory")
    except RecursionError:
        deep = "error: the circuit goes too deep: hundreds of its values are computed from one another in a row"
        return End(UNFINISHED, "depth", deep)
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
        from circuitdsl.cli.version import show_version

        return show_version(json="--json" in rest)
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


def _asks_for_json(arguments: list[str]) -> bool:
    return "--json" in arguments[: arguments.index("--")] if "--" in arguments else "--json" in arguments


def _environment(problem: OSError) -> End:
    """What the system refuses, such as a full disk; nothing is wrong if it is that nobody reads on."""
    if isinstance(problem, BrokenPipeError):
        return End(OK, "unread")
    where = "" if problem.filename is None else f" (`{problem.filename}`)"
    return End(UNFINISHED, "system", f"error: {(problem.strerror or str(problem)).lower()}{where}")


def _missing(problem: ImportError, arguments: list[str]) -> End:
    """A library that is not installed, with the extra that brings it."""
    way = how_to_get(problem.name)
    if way is None:
        return _fault(problem, arguments)
    return End(USAGE, "missing", f"error: this needs `{problem.name}`, which is not installed: {way}")


def _fault(error: Exception, arguments: list[str]) -> End:
    """A fault of the program itself: a message, the traceback only for who asks for it."""
    if os.environ.get("CIRCUITDSL_DEBUG") or _verbose(arguments):
        import traceback

        traceback.print_exc()
    first = (str(error).splitlines() or [""])[0]
    return End(
        UNFINISHED,
        "fault",
        f"error: internal fault: {type(error).__name__}: {first}",
        "This is a fault of circuitdsl, not of your circuit: please report it with the command, the file and what\n"
        "`circuitdsl --version --json` prints. CIRCUITDSL_DEBUG=1 shows where it happened.",
    )
