"""Builds the playground: one folder of static files, which needs nothing from elsewhere. `make playground` runs it.

    python playground/build.py [FOLDER]

Needs node and npm (package.json), and the extra `run`, which brings the data.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from circuitdsl.api import Simulation, load
from circuitdsl.highlight.vocabulary import vocabulary
from circuitdsl.runtime.request import Request

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MODULES = HERE / "node_modules"

#: What a page is served as it stands.
STATIC = ("index.html", "style.css")
#: What is bundled: the page and its two workers.
ENTRIES = ("app.js", "analysis.js", "training.js")
#: Pyodide's core.
PYODIDE = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
#: What Python needs of lark: its parser, not its tools.
LARK = ("lark", "lark/parsers", "lark/grammars")
#: Circuits of these folders are parts of others, or need more than a page has.
PARTS = ("rules", "motifs", "studies")


def main(out: Path) -> None:
    """Makes the folder anew. Raises OSError, and CalledProcessError where a tool fails."""
    if not is_installed():
        run("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
    shutil.rmtree(out, ignore_errors=True)
    (out / "data").mkdir(parents=True)
    for name in STATIC:
        shutil.copy(HERE / name, out / name)
    (out / "pyodide").mkdir()
    for name in PYODIDE:
        shutil.copy(MODULES / "pyodide" / name, out / "pyodide" / name)
    pack(out / "python.zip")
    circuits = library()
    write_json(out / "library.json", circuits)
    write_json(out / "data" / "index.json", [write_data(out / "data", *each) for each in data_sets()])
    bundle(out)


def is_installed() -> bool:
    """Whether the packages are there that the lock file asks for."""
    installed = MODULES / ".package-lock.json"
    return installed.exists() and installed.stat().st_mtime >= (HERE / "package-lock.json").stat().st_mtime


def run(*command: str) -> None:
    subprocess.run(command, cwd=HERE, check=True)


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


# ---------------------------------------------------------------- the page


def bundle(out: Path) -> None:
    """Bundles the scripts, with the words of the language, by which the editor colours."""
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder) / "vocabulary.json"
        known = vocabulary()
        names = ("items", "members", "others", "declaring", "functions", "builtins", "patterns", "operators")
        write_json(words, {name: getattr(known, name) for name in names})
        run(
            str(MODULES / ".bin" / "esbuild"), *ENTRIES, "--bundle", "--minify", "--format=esm", "--target=es2022",
            f"--outdir={out}", f"--alias:vocabulary={words}", "--log-level=warning", "--external:./pyodide/*",
        )  # fmt: skip


# ---------------------------------------------------------------- Python in the page


def pack(archive: Path) -> None:
    """Python's part: lark, circuitdsl with its grammar and library, and answers.py."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        found = importlib.util.find_spec("lark")
        assert found is not None
        assert found.origin is not None
        source = Path(found.origin).parent.parent
        for part in LARK:
            (root / part).mkdir()
            for file in (source / part).glob("*.[pl]*"):
                if file.suffix in (".py", ".lark"):
                    shutil.copy(file, root / part / file.name)
        ignored = shutil.ignore_patterns("__pycache__", "cli", "studies", "explore", "_shipped")
        shutil.copytree(ROOT / "circuitdsl", root / "circuitdsl", ignore=ignored)
        for name in ("grammars", "circuits"):
            shutil.copytree(ROOT / name, root / name)
        shutil.copy(HERE / "answers.py", root)
        run("node", str(HERE / "pack.mjs"), folder, str(archive))


# ---------------------------------------------------------------- the library and the data


def library() -> list[dict[str, str]]:
    """The circuits of the library: folder, name, first line of the docstring, text."""
    found = []
    for path in sorted((ROOT / "circuits").glob("*/*.circ")):
        if path.parent.name in PARTS:
            continue
        graph = load(path).ir
        line = (graph.doc or "").strip().partition("\n")[0]
        found.append({"folder": path.parent.name, "name": path.stem, "doc": line, "text": path.read_text("utf-8")})
    return found


def data_sets() -> list[tuple[str, dict[str, np.ndarray], dict[str, Any]]]:
    """(what a task calls it, a table for each population, how it is split and scaled) of all data that the library
    asks for, as they are before they are scaled."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    found = {"digits": ({"input": digits.data, "target": np.eye(10)[digits.target]}, {"top": 16})}
    for path in sorted((ROOT / "circuits").glob("*/*.circ")):
        if path.parent.name in PARTS or not load(path).ir.tasks:
            continue
        outcome = Simulation(load(path), target="reference", dtype="float64").prepare(Request(scale="none"))
        name = str(outcome.settings.attributes()["data"])
        if name in found:
            continue
        dataset = outcome.loop.dataset
        values = outcome.loop.engine.circuit.values
        tables = {values[key].kind.value: array for key, array in dataset.arrays.items()}
        assert len(tables) == len(dataset.arrays), f"{path} has several inputs"
        found[name] = (tables, {"train": dataset.train.tolist(), "test": dataset.test.tolist()})
    return [(name, *each) for name, each in found.items()]


def write_data(folder: Path, name: str, tables: dict[str, np.ndarray], how: dict[str, Any]) -> dict[str, Any]:
    """Writes a data set's tables, one file each: bytes where they are whole numbers below 256, else doubles."""
    parts = {}
    for role, table in tables.items():
        small = bool(np.all((table >= 0) & (table < 256) & (table == np.floor(table))))
        file = "".join(c if c.isalnum() else "_" for c in f"{name}_{role}").strip("_") + ".bin"
        (folder / file).write_bytes(table.astype(np.uint8 if small else "<f8").tobytes())
        parts[role] = {"file": file, "size": table.shape[1], "kind": "bytes" if small else "doubles"}
    return {"name": name, "tables": parts, "how": how}


if __name__ == "__main__":
    os.umask(0o022)
    main(Path(sys.argv[1]).resolve() if sys.argv[1:] else HERE / "dist")
