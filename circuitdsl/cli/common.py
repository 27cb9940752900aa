"""What all commands share: options, one JSON object on stdout, diagnostics on stderr, exit codes."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, TextIO

from circuitdsl.diagnostics import (
    CircuitError,
    Diagnostic,
    Severity,
    Source,
    did_you_mean,
    first_of,
    printable,
    render,
)

OK, WRONG, USAGE, UNFINISHED, INTERRUPTED = 0, 1, 2, 3, 130


#: The name of a text that comes from stdin.
STDIN = "-"


class Stop(Exception):
    """Ends the program with an exit code and, on stderr, a message."""

    def __init__(self, code: int, message: str = ""):
        super().__init__(message)
        self.code, self.message = code, message


def say(text: str) -> None:
    """A line on stderr, harmless to the terminal whatever names are in it."""
    print(printable(text), file=sys.stderr)


def color(stream: Any = None) -> bool:
    """Whether to colour what goes to a stream (stderr): a terminal, and NO_COLOR is not set."""
    import os

    stream = sys.stderr if stream is None else stream
    return stream is not None and stream.isatty() and not os.environ.get("NO_COLOR")


class Printed:
    """Whether this command has printed its JSON object: there is one on every way out, and never two."""

    json = False


def print_json(value: Any) -> None:
    """One JSON object on stdout; NaN and infinities are null, and what a terminal or UTF-8 does not take is escaped."""
    import json
    import re

    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)
    print(re.sub(r"[\x7f-\x9f\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text))
    Printed.json = True


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


def show(diagnostics: Iterable[Diagnostic], stream: TextIO | None = None) -> None:
    """Diagnostics on a stream (stderr), the first of each severity, with a blank line after each."""
    stream = sys.stderr if stream is None else stream
    painted = color(stream)
    shown, rest = first_of(tuple(diagnostics))
    for diagnostic in shown:
        print(render(diagnostic, color=painted) + "\n", file=stream)
    if rest:
        print(f"{rest}\n", file=stream)


def check_object(file: str, diagnostics: Sequence[Diagnostic]) -> dict[str, Any]:
    """What `check --json` prints for a file, and every command if its check fails."""
    ok = all(d.severity is not Severity.ERROR for d in diagnostics)
    return {"file": file, "ok": ok, "diagnostics": [d.as_json() for d in diagnostics]}


def unreadable(file: str, problem: OSError) -> Diagnostic:
    """A file that is not there, as a diagnostic."""
    why = (problem.strerror or str(problem)).lower()
    hint = _meant(file) if isinstance(problem, FileNotFoundError) else None
    return Diagnostic(code="C006", title=f"cannot read `{file}`: {why}", span=None, hint=hint)


def _meant(file: str) -> str | None:
    """The circuit that was meant, perhaps: `a1` for `a1.circ`, `oja.cric` for `oja.circ`; here, then in the library."""
    from circuitdsl.shipped import library_path

    path = Path(file)
    beside: list[Path] = []
    with suppress(OSError):
        beside = [p for p in path.parent.iterdir() if p.suffix == ".circ"]
    near = [p for p in beside if p.stem == path.name] or [p for p in beside if p.name == path.name]
    if near:
        return f"did you mean `{near[0]}`?"
    library = {p.relative_to(library_path()).as_posix() for p in library_path().glob("*/*.circ")}
    called = {name.rpartition("/")[2]: name for name in sorted(library)}
    return (
        did_you_mean(file, [str(p) for p in beside], likeness=0.75)
        or did_you_mean(file, library, likeness=0.8)
        or did_you_mean(f"{path.stem}.circ", called, likeness=0.8)
        or (None if beside else "`circuitdsl list` shows the shipped circuits")
    )


def texts(files: Sequence[str]) -> list[str]:
    """The files that are meant: of a folder all circuits in it and below it, but for folders that begin with a dot.
    Raises Stop for a folder without any."""
    found: list[str] = []
    for file in files:
        if file == STDIN or not Path(file).is_dir():
            found.append(file)
            continue
        below = sorted(p for p in Path(file).rglob("*.circ") if p.is_file() and not _hidden(p.relative_to(file)))
        if not below:
            fail_usage(f"there is no `.circ` file in the folder `{file}`")
        found += [str(p) for p in below]
    return found


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def several(files: Sequence[str]) -> bool:
    """Whether `--json` lists files, or tells of the one that was named."""
    return len(files) != 1 or (files[0] != STDIN and Path(files[0]).is_dir())


def stdin_source() -> Source:
    """The text that comes from stdin. Raises CircuitError (C005) if it is not UTF-8."""
    from circuitdsl.syntax.parse import decoded

    return decoded(sys.stdin.buffer.read(), "<stdin>")


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
        found = unreadable(str(problem.filename), problem)
        show([found])
        if json:
            print_json(check_object(file, [found]))
        raise Stop(USAGE) from None


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
    """The same for a results file: what holds no results, such as the circuit itself, is not replaced, and its name is
    not that of something else. Raises Stop."""
    from circuitdsl.runtime.results import other_ending

    if (why := other_ending(path)) is not None:
        fail_usage(why)
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
    parser.add_argument("files", metavar="FILE", nargs="+", help="a .circ file, a folder of them, or - for stdin")


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


def add_target(parser: ArgumentParser, what: str, *, auto: bool = False) -> None:
    """`auto`: whether the command can choose."""
    from circuitdsl.runtime.backends import BACK_ENDS, DEFAULT, names_of_back_ends
    from circuitdsl.runtime.request import AUTO

    docs = "; ".join(f"{b.name}: {b.doc}" for b in BACK_ENDS if b.can("run") or b.can("print"))
    docs += f"; {AUTO}: a GPU where one is there and the circuit is large, else {DEFAULT}" if auto else ""
    names = (*names_of_back_ends(), *([AUTO] if auto else []))
    parser.add_argument("--target", choices=names, default=DEFAULT, help=f"what {what} ({DEFAULT}); {docs}")


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
