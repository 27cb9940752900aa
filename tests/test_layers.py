"""Imports run one way through the house, and the tool starts without the heavy libraries."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "circuitdsl"

#: The rooms from the bottom up; those on one floor do not know each other.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"frozen"}),
    frozenset({"diagnostics", "extras", "noise", "shipped", "store"}),
    frozenset({"syntax", "data", "markup"}),
    frozenset({"graph"}),
    frozenset({"reference", "twin", "lower", "draw", "highlight"}),
    frozenset({"derive"}),
    frozenset({"emit"}),
    frozenset({"runtime"}),
    frozenset({"certify", "plot", "exchange"}),
    frozenset({"api"}),
    frozenset({"explore", "notebook"}),
    frozenset({"report"}),  # draws any dataset; a study says what to draw
    frozenset({"studies", "codes", "lsp"}),
    frozenset({"cli"}),
    frozenset({"__main__"}),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

#: The rooms within `derive`, from the bottom up.
DERIVE = ("algebra", "read", "prove", "tell")

#: Libraries that take longer to import than `circuitdsl check` may take.
HEAVY = ("numba", "xarray", "pandas", "matplotlib", "sklearn", "scipy", "h5netcdf", "sympy")


def modules() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if "_shipped" not in p.parts)


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The room of `circuitdsl.graph.ir`: graph."""
    return module.split(".")[1] if "." in module else "__init__"


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, also inside functions, and the line."""
    here = module_name(path).split(".")
    package = here if path.name == "__init__.py" else here[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import():
                yield from ((alias.name, node.lineno) for alias in node.names)
            case ast.ImportFrom(level=0):
                base = node.module or ""
                names = [f"{base}.{a.name}" for a in node.names] if base == "circuitdsl" else [base]
                yield from ((name, node.lineno) for name in names)
            case ast.ImportFrom():
                base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
                yield base, node.lineno
            case _:
                pass


def ours(path: Path) -> Iterator[tuple[str, str, int]]:
    """(room, module, line) of what a file imports of this package."""
    for module, line in imported(path):
        if module.split(".")[0] == "circuitdsl" and "." in module:
            yield room_of(module), module, line


def uphill(path: Path) -> list[str]:
    """The imports of a file that go up, or across to another room on the same floor."""
    room = room_of(module_name(path))
    wrong = []
    for other, module, line in ours(path):
        if room == "__init__" and other in FLOOR:
            continue
        if other != room and FLOOR.get(other, 99) >= FLOOR.get(room, -1):
            wrong.append(f"{path.relative_to(PACKAGE.parent)}:{line} ({room}) imports {module}")
    return wrong


def test_every_module_is_in_a_known_room() -> None:
    rooms = {room_of(module_name(p)) for p in modules()} - {"__init__"}
    assert rooms <= FLOOR.keys()


def test_imports_run_downhill() -> None:
    assert [line for path in modules() for line in uphill(path)] == []


def test_an_uphill_import_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = tmp_path / "circuitdsl" / "graph"
    room.mkdir(parents=True)
    (room / "bad.py").write_text("def f():\n    from circuitdsl.runtime import cache\n    from ..emit import cpu\n")
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path / "circuitdsl")
    assert [line.split()[-1] for line in uphill(room / "bad.py")] == [
        "circuitdsl.runtime",
        "circuitdsl.emit",
    ]


def test_a_derivation_runs_from_algebra_to_words() -> None:
    wrong = []
    for path in modules():
        own = module_name(path).split(".")
        if len(own) < 4 or own[1] != "derive":
            continue
        seen = [m.split(".")[2] for _, m, _ in ours(path) if m.startswith("circuitdsl.derive.")]
        above = {m for m in seen if DERIVE.index(m) > DERIVE.index(own[2])}
        wrong += [f"{'.'.join(own)} imports {room}" for room in sorted(above)]
    assert wrong == []


@pytest.mark.parametrize(
    ("room", "unseen"),
    [
        ("emit", {"syntax", "graph", "reference", "derive"}),  # it prints the loop IR
        ("runtime", {"syntax"}),
        ("derive", {"runtime", "emit", "lower"}),  # symbols only
    ],
)
def test_a_room_does_not_see(room: str, unseen: set[str]) -> None:
    seen = {other for p in modules() if room_of(module_name(p)) == room for other, _, _ in ours(p)}
    assert not seen & unseen


def test_one_room_knows_where_things_are_kept() -> None:
    users = {p.relative_to(PACKAGE).as_posix() for p in modules() if "XDG_CACHE_HOME" in p.read_text()}
    assert users == {"store/entries.py"}
    askers = {module_name(p) for p in modules() for m, _ in imported(p) if m.startswith("circuitdsl.store")}
    askers -= {"circuitdsl.runtime.state", "circuitdsl.runtime.results"}  # names of files that are being written
    assert askers == {
        "circuitdsl.syntax.grammar",
        "circuitdsl.runtime.cache",
        "circuitdsl.runtime.cubin",
        "circuitdsl.runtime.ltoir",
        "circuitdsl.runtime.stability",
        "circuitdsl.cli.cache",
        "circuitdsl.cli.main",
        "circuitdsl.store.entries",
    }


def test_networkx_stays_behind_the_circuit() -> None:
    users = {p.relative_to(PACKAGE).as_posix() for p in modules() for m, _ in imported(p) if m == "networkx"}
    assert users <= {"graph/flow.py"}


def test_import_and_check_load_nothing_heavy(tmp_path: Path) -> None:
    """`import circuitdsl` and a whole `check` of a good circuit, in a fresh process."""
    circuit = PACKAGE.parent / "circuits" / "classic" / "delta_rule.circ"
    program = f"""
import sys
import circuitdsl
from circuitdsl.cli.main import main
try:
    main(["check", {str(circuit)!r}])
except SystemExit as end:
    assert not end.code, end.code
print(*[name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""
