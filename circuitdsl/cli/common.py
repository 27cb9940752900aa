"""What all commands share: options, one JSON object on stdout, diagnostics on stderr, exit codes."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from circuitdsl.diagnostics import CircuitError, Diagnostic, Severity, render

OK, WRONG, USAGE, UNFINISHED, INTERRUPTED = 0, 1, 2, 3, 130


class Stop(Exception):
    """Ends the program with an exit code and, on stderr, a message."""

    def __init__(self, code: int, message: str = ""):
        super().__init__(message)
        self.code, self.message = code, message


def say(text: str) -> None:
    """A line on stderr."""
    print(text, file=sys.stderr)


def color(stream: Any = None) -> bool:
    """Whether to colour what goes to a stream (stderr): a terminal, and NO_COLOR is not set."""
    import os

    stream = sys.stderr if stream is None else stream
    return stream.isatty() and not os.environ.get("NO_COLOR")


def print_json(value: Any) -> None:
    """One JSON object on stdout; NaN and infinities are null."""
    import json

    print(json.dumps(_plain(value), ensure_ascii=False, allow_nan=False))


def _plain(value: Any) -> Any:
    match value:
        case Mapping():
            return {str(k): _plain(v) for k, v in value.items()}
        case list() | tuple():
            return [_plain(v) for v in value]
        case bool() | int() | str() | None:
            return value
        case float():
            return value if value - value == 0 else None
        case Path():
            return str(value)
        case _:
            return _plain(value.tolist())  # NumPy's numbers and arrays


# ---------------------------------------------------------------- diagnostics


def show(diagnostics: Iterable[Diagnostic]) -> None:
    """Diagnostics on stderr, with a blank line after each."""
    painted = color()
    for diagnostic in diagnostics:
        say(render(diagnostic, color=painted) + "\n")


def check_object(file: str, diagnostics: Sequence[Diagnostic]) -> dict[str, Any]:
    """What `check --json` prints for a file, and every command if its check fails."""
    ok = all(d.severity is not Severity.ERROR for d in diagnostics)
    return {"file": file, "ok": ok, "diagnostics": [d.as_json() for d in diagnostics]}


def unreadable(file: str, problem: OSError) -> Diagnostic:
    """A file that is not there, as a diagnostic."""
    why = (problem.strerror or str(problem)).lower()
    return Diagnostic(code="C006", title=f"cannot read `{file}`: {why}", span=None)


@contextmanager
def reporting(file: str, *, json: bool) -> Iterator[None]:
    """Turns what can go wrong with a circuit, its data or a request into messages and exit codes."""
    from circuitdsl.runtime.errors import MissingData, UsageError

    try:
        yield
    except UsageError as problem:
        fail_usage(str(problem))
    except CircuitError as error:
        show(error.diagnostics)
        if json:
            print_json(check_object(file, error.diagnostics))
        raise Stop(USAGE if isinstance(error, MissingData) else WRONG) from None
    except OSError as problem:
        if problem.filename is None:
            raise
        named = str(problem.filename)
        found = unreadable(named, problem)
        if json:
            print_json(check_object(file, [found]))
        raise Stop(USAGE, render(found, color=color())) from None


def check_writable(path: Path) -> None:
    """Before the work, not after it: whether a file can be written there. Folders that are missing are made with it.
    Raises Stop."""
    import tempfile

    try:
        if path.exists() and not path.is_file():
            # a directory, or a device, which a file renamed to it would replace
            fail_usage(f"cannot write `{path}`: {'it is a directory' if path.is_dir() else 'it is no ordinary file'}")
        with tempfile.TemporaryFile(dir=next(f for f in path.absolute().parents if f.exists())):
            pass
    except OSError as problem:
        fail_usage(f"cannot write `{path}`: {(problem.strerror or str(problem)).lower()}")


def check_results(path: Path) -> None:
    """The same for a results file: what holds no results, such as the circuit itself, is not replaced. Raises Stop."""
    check_writable(path)
    if path.exists():
        with path.open("rb") as file:
            start = file.read(4)
        if start not in (b"", b"\x89HDF"):
            fail_usage(f"`{path}` is there and is no netCDF file: it is not replaced; give another name, or remove it")


def fail_usage(message: str) -> NoReturn:
    raise Stop(USAGE, f"error: {message}")


# ---------------------------------------------------------------- options


def add_file(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a .circ file, or the name of a shipped one")


def add_files(parser: ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="a .circ file")


def add_json(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")


def add_verbose(parser: ArgumentParser) -> None:
    parser.add_argument("-v", "--verbose", action="store_true", help="say more; show the traceback of a fault in here")


def add_set(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="set a param: a number, or a list as [64, 32, 10]; may be given several times",
    )


def add_task(parser: ArgumentParser) -> None:
    parser.add_argument("--task", metavar="NAME", help="which task (default: the first)")


def add_target(parser: ArgumentParser, what: str) -> None:
    from circuitdsl.runtime.backends import BACK_ENDS, DEFAULT, names_of_back_ends

    docs = "; ".join(f"{b.name}: {b.doc}" for b in BACK_ENDS if b.can("run") or b.can("print"))
    parser.add_argument(
        "--target", choices=names_of_back_ends(), default=DEFAULT, help=f"what {what} ({DEFAULT}); {docs}"
    )


def add_without(parser: ArgumentParser) -> None:
    from circuitdsl.lower.pipeline import PASSES

    parser.add_argument(
        "--no-pass",
        choices=[p.name for p in PASSES],
        action="append",
        default=[],
        help="leave a pass of the compiler out; may be given several times",
    )


def whole_number(least: int) -> Callable[[str], int]:
    """For an option that takes a whole number, at least so large."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ArgumentTypeError(f"`{text}` is no whole number") from None
        if value < least:
            raise ArgumentTypeError(f"{value} is less than {least}")
        return value

    return parse


def params_of(settings: Sequence[str]) -> dict[str, float | list[float]]:
    """The params of `--set eta=0.1 --set "sizes=[64, 32]"`; values may be arithmetic (`0.1/4`).
    Raises Stop."""
    params: dict[str, float | list[float]] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.strip() or not value.strip():
            fail_usage(f"`--set {setting}`: written as NAME=VALUE, such as --set eta=0.05")
        params[name.strip()] = _value(setting, value.strip())
    return params


def _value(setting: str, text: str) -> float | list[float]:
    try:
        return float(text)
    except ValueError:
        pass
    from circuitdsl.diagnostics import Source
    from circuitdsl.syntax import ast
    from circuitdsl.syntax.parse import parse_expression

    try:
        expr = parse_expression(Source("--set", text))
        return [_number(item) for item in expr.items] if isinstance(expr, ast.ListOf) else _number(expr)
    except (CircuitError, ArithmeticError, ValueError):
        fail_usage(f"`--set {setting}`: `{text}` is neither a number nor a list such as [64, 32, 10]")


def _number(expr: Any) -> float:
    """The value of a written number or arithmetic on numbers. Raises ValueError on anything else."""
    import operator

    from circuitdsl.syntax import ast

    operators = {
        "+": operator.add,
        "-": operator.sub,
        "*": operator.mul,
        "/": operator.truediv,
        "^": operator.pow,
    }
    match expr:
        case ast.Number():
            return float(expr.value)
        case ast.Unary(operator="-"):
            return -_number(expr.operand)
        case ast.Binary() if expr.operator in operators:
            return float(operators[expr.operator](_number(expr.left), _number(expr.right)))
        case _:
            raise ValueError("not a number")
