"""What every command prints with `--json`, field by field, made by running them: docs/json.md.

python website/json_page.py        a minute
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from circuitdsl.cli.main import COMMANDS, parser_of

ROOT = Path(__file__).resolve().parents[1]
#: What is run, on the circuit of docs/tasks.md; `--target reference` compiles nothing.
QUICK = "--target reference"
EXAMPLES: Mapping[str, str] = {
    "check": "check mine.circ",
    "derive": "derive mine.circ --no-measure",
    "draw": "draw mine.circ",
    "run": f"run mine.circ {QUICK} --epochs 1 --seeds 2",
    "certify": f"certify mine.circ {QUICK} --seeds 2 --epochs 1 --examples 8",
    "report": f"report mine.circ {QUICK} --no-measure --epochs 1 --seeds 1 -o mine.html",
    "compare": "compare mine.circ heterosynaptic/kolen_pollack.circ",
    "sweep": f"sweep mine.circ {QUICK} --set eta=0.02,0.1 --epochs 1",
    "evolve": f"evolve mine.circ {QUICK} --genome eta --generations 1 --population 2",
    "emit": "emit mine.circ",
    "export": "export mine.circ --to h.basal -o mine.nir",
    "fmt": "fmt mine.circ --check",
    "explain": "explain C031",
    "list": "list",
    "show": "show classic/hebb.circ",
    "new": "new sketch.circ",
    "study": "study",
    "cache": "cache",
    "--version": "--version",
}
#: What takes minutes, and what it prints.
UNTOLD = {"demo": "what `run` prints, of the circuit that it trains, and `figures`, the numbers of its table"}
#: What holds others by their names, and what is different on every machine.
NAMED = frozenset({"synapses", "params"})
OF_THE_MACHINE = re.compile(r"second|path|folder|bytes|^python|^platform|versions?$|^cpu|host")
#: No example is longer.
LONGEST = 44

HEAD = """<!-- written by `python website/json_page.py` -->

# JSON

With `--json` a command prints one object and nothing else on its standard output, in UTF-8; what a person would read
goes to standard error. A number that is not finite is `null`. The exit code says the same as without `--json`. Fields
may be added in later versions; none is taken away or changes its meaning without a word in
[the changes](../CHANGELOG.md).

Below, `[]` stands for each element of a list, and `*` for names of the circuit.

## When something is wrong

A circuit that is wrong, here with the name of a population that is not there, gives what `check` gives, whatever the
command. What is wrong with the command line, a file or the machine is told by `kind`, `error` and `exit`, the exit
code.
"""


def page() -> Iterator[str]:
    """The page, line by line."""
    asked = {name for name in COMMANDS if "--json" in parser_of(name).format_help()} | {"--version"}
    assert asked == set(EXAMPLES) | set(UNTOLD), "every command that takes --json has an example"
    with tempfile.TemporaryDirectory() as folder:
        write_circuits(Path(folder))
        wrong = ("check wrong.circ", "run mine.circ --epochs -1")
        printed = {command: _printed(command, folder) for command in (*wrong, *EXAMPLES.values())}
    yield HEAD
    for command in wrong:
        yield from _table(command, printed[command])
    for name, about in {**COMMANDS, "--version": "what is installed, for reports of bugs"}.items():
        if name in EXAMPLES:
            yield f"## {name.removeprefix('--')}\n\n{about[:1].upper()}{about[1:]}\n"
            yield from _table(EXAMPLES[name], printed[EXAMPLES[name]])
        elif name in UNTOLD:
            yield f"## {name}\n\n{about[:1].upper()}{about[1:]}: {UNTOLD[name]}.\n"


def write_circuits(folder: Path) -> None:
    """The circuits that the examples are about."""
    text = re.search(r"<!-- mine.circ -->\n```circ\n(.*?)```", (ROOT / "docs/tasks.md").read_text("utf-8"), re.DOTALL)
    assert text is not None
    (folder / "mine.circ").write_text(text[1], encoding="utf-8")
    (folder / "wrong.circ").write_text(text[1].replace("err -> h", "er -> h"), encoding="utf-8")


def _printed(command: str, folder: str) -> Any:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NUMBA_DISABLE_JIT": "1"}
    line = [sys.executable, "-m", "circuitdsl", *shlex.split(command), "--json"]
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout, f"{command}: {done.stderr}"
    return json.loads(done.stdout)


# ---------------------------------------------------------------- fields


def _table(command: str, printed: Any) -> Iterator[str]:
    yield f"```console\n$ circuitdsl {command} --json\n```\n"
    yield "| field | type | here |\n| --- | --- | --- |"
    for path, (kinds, shown) in rows(printed).items():
        yield f"| `{path}` | {' or '.join(sorted(kinds))} | {shown} |"
    yield ""


def rows(printed: Any) -> dict[str, tuple[set[str], str]]:
    """The types and an example of each field, by its path."""
    found: dict[str, tuple[set[str], str]] = {}
    for path, kind, shown in fields(printed, ""):
        kinds, first = found.setdefault(path, (set(), shown))
        kinds.add(kind)
        found[path] = (kinds, first or shown)
    inside = {path[: mark.start()] for path in found for mark in re.finditer(r"\[\]", path)}
    return {path: row for path, row in found.items() if row[0] != {"list"} or path not in inside}


def fields(value: Any, path: str) -> Iterator[tuple[str, str, str]]:
    """(path, type, example) of all that is in a value."""
    match value:
        case dict() if value and _by_names(path, value):
            for one in value.values():
                yield from fields(one, f"{path}.*" if path else "*")
        case dict() if value:
            for key, one in value.items():
                yield from fields(one, f"{path}.{key}" if path else key)
        case list() if value:
            for one in value:
                yield from fields(one, f"{path}[]")
        case dict() | list():
            yield path, "object" if isinstance(value, dict) else "list", "empty"
        case _:
            yield path, _kind(value), "" if OF_THE_MACHINE.search(path) else _short(value)


def _by_names(path: str, value: Mapping[str, Any]) -> bool:
    """Whether the keys are names: all hold objects with the same keys, or they are no plain words."""
    ones = list(value.values())
    alike = all(isinstance(one, dict) for one in ones) and len({tuple(one) for one in ones}) == 1
    plain = all(re.fullmatch(r"[A-Za-z]\w*", key) for key in value)
    return path.rpartition(".")[2] in NAMED or (alike and len(ones) > 1) or not plain


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case _:
            return "string"


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 2]} …"
    return "" if value is None else f"`` {text.replace('|', chr(92) + '|')} ``"


if __name__ == "__main__":
    (ROOT / "docs" / "json.md").write_text("\n".join(page()).rstrip("\n") + "\n", encoding="utf-8")
