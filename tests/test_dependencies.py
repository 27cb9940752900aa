"""What circuitdsl stands on: licences that let it be used, and the versions that continuous integration installs.

`python tests/test_dependencies.py > .ci/lock.txt` writes the lock file anew, from what is installed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import lark
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / ".ci" / "lock.txt"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

#: Licences that ask for no more than that they are kept.
PERMISSIVE = re.compile(r"MIT|BSD|Apache|PSF|Python Software Foundation|ISC|Zlib|CC0|HPND|Unlicense|0BSD")
#: Those of tools that are not shipped and not imported by the package may also ask for their own source.
OF_TOOLS = re.compile(r"MPL|Mozilla")
COPYLEFT = re.compile(r"\b(A?GPL|LGPL|GNU|EUPL|SSPL|Commons Clause)\b")

#: The extra that continuous integration does not install: no GPU is there, and it weighs half a gigabyte.
GPU = "cuda"
#: Neither are those of which `make bench` measures the speed: nothing of the package imports them.
MEASURED = "bench"
#: What of it is NVIDIA's own, under licences that are not open; docs/cuda.md says so.
PROPRIETARY = re.compile(r"nvidia-[\w-]+|cuda-[\w-]+")


def requirements(*, tools: bool, gpu: bool = False) -> list[Requirement]:
    """What the project asks for: to run, or (`tools`) to be worked on, or (`gpu`) for the extra of GPUs, as well."""
    extras = PROJECT["optional-dependencies"]
    left_out = {MEASURED, *(() if tools else ("dev", "site")), *(() if gpu else (GPU,))}
    wanted = [r for name, listed in extras.items() if name not in left_out for r in listed]
    return [r for r in map(Requirement, [*PROJECT["dependencies"], *wanted]) if r.name != "circuitdsl"]


def closure(wanted: list[Requirement]) -> dict[str, Distribution]:
    """All that is installed for some requirements, by name."""
    found: dict[str, Distribution] = {}
    waiting = [(r, frozenset(r.extras)) for r in wanted]
    while waiting:
        requirement, extras = waiting.pop()
        if requirement.marker is not None and not any(
            requirement.marker.evaluate({"extra": extra}) for extra in (*extras, "")
        ):
            continue
        name = canonicalize_name(requirement.name)
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue
        if name not in found or requirement.extras:
            found[name] = installed
            waiting += [(Requirement(r), frozenset(requirement.extras)) for r in installed.requires or []]
            if len(waiting) > 10_000:
                break
    return found


def licence(installed: Distribution) -> str:
    told = installed.metadata
    classifiers = [c.rpartition(" :: ")[2] for c in told.get_all("Classifier") or [] if c.startswith("License ::")]
    return told.get("License-Expression") or "; ".join(classifiers) or (told.get("License") or "").splitlines()[0]


@pytest.mark.parametrize("tools", [False, True], ids=["to run", "to be worked on"])
def test_licences(tools: bool) -> None:
    found = closure(requirements(tools=tools))
    assert len(found) > 10
    for name, installed in found.items():
        told = licence(installed)
        allowed = PERMISSIVE.search(told) or (tools and OF_TOOLS.search(told))
        assert allowed, f"{name}: {told}"
        assert not COPYLEFT.search(told), f"{name}: {told}"


def test_what_is_proprietary_comes_with_the_extra_of_gpus_alone() -> None:
    """Where it is not installed there is nothing to look at but what the project asks for."""
    asked = {canonicalize_name(r.name) for r in requirements(tools=True, gpu=True)}
    elsewhere = closure(requirements(tools=True))
    mine = {name for name in asked if PROPRIETARY.fullmatch(name)}
    assert mine
    assert not mine & elsewhere.keys()
    assert "proprietary" in (ROOT / "docs" / "cuda.md").read_text(encoding="utf-8")
    for name, installed in closure(requirements(tools=False, gpu=True)).items():
        told = licence(installed)
        assert PERMISSIVE.search(told) or PROPRIETARY.fullmatch(name), f"{name}: {told}"
        assert not COPYLEFT.search(told), f"{name}: {told}"


def test_ci_does_not_ask_for_the_extra_of_gpus() -> None:
    extras = PROJECT["optional-dependencies"]
    names = {extra for r in map(Requirement, extras["dev"]) if r.name == "circuitdsl" for extra in r.extras}
    assert names <= extras.keys() - {GPU, "all"}


def locked() -> dict[str, Version]:
    lines = [line.split("#")[0].strip() for line in LOCK.read_text(encoding="utf-8").splitlines()]
    pairs = [line.split("==") for line in lines if line]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def test_the_lock_file_holds_all_that_is_asked_for() -> None:
    versions = locked()
    for requirement in requirements(tools=True):
        name = canonicalize_name(requirement.name)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            assert name in versions, f"{name}: python tests/test_dependencies.py > .ci/lock.txt"
            assert versions[name] in requirement.specifier


def test_it_is_used_by_ci_and_by_nobody_else() -> None:
    """Who installs the package gets the ranges of pyproject.toml."""
    assert "lock.txt" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "lock.txt" not in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_versions_of_python_that_are_claimed() -> None:
    claimed = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", c)]
    assert claimed == ["3.11", "3.12", "3.13", "3.14"]
    assert Version(claimed[0]) in Requirement(f"python{PROJECT['requires-python']}").specifier


def pythons(version: str) -> Iterator[str]:
    """Where a version of Python may be: on the way, or where pyenv keeps it."""
    if (found := shutil.which(f"python{version}")) is not None:
        yield found
    kept = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    yield from (str(path / "bin" / "python") for path in sorted(kept.glob(f"{version}.*")))


#: What each version is asked: the language, which needs lark alone; what trains needs libraries of that version.
ASKED = (["check", "circuits/classic"], ["derive", "heterosynaptic/kolen_pollack.circ", "--no-measure"])
PYODIDE = ROOT / "playground" / "node_modules" / "pyodide"


@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_other_versions_of_python(version: str, tmp_path: Path) -> None:
    """As it is installed here, or as the playground has it."""
    found = [p for p in pythons(version) if not subprocess.run([p, "-c", ""], capture_output=True).returncode]
    shutil.copytree(Path(lark.__file__).parent, tmp_path / "lark", ignore=shutil.ignore_patterns("__pycache__"))
    if found:
        _answers(found[0], tmp_path)
    elif in_pyodide(version):
        _answers_in_pyodide(version, tmp_path)
    else:
        pytest.skip(f"no Python {version} here")


def in_pyodide(version: str) -> bool:
    """Whether the playground's Python is there, and of that version."""
    known = PYODIDE / "pyodide-lock.json"
    if shutil.which("node") is None or not known.is_file():
        return False
    has: str = json.loads(known.read_text(encoding="utf-8"))["info"]["python"]
    return has.startswith(f"{version}.")


def _answers(python: str, place: Path) -> None:
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(place)]), "CIRCUITDSL_CACHE": str(place),
    }  # fmt: skip
    for line in ASKED:
        done = subprocess.run(
            [python, "-m", "circuitdsl", *line], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr


def _answers_in_pyodide(version: str, place: Path) -> None:
    script, lines = Path(__file__).with_name("pyodide.mjs"), map(json.dumps, ASKED)
    command = ["node", str(script), str(PYODIDE), str(ROOT), str(place), *lines]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["version"].startswith(f"{version}.")
    assert answer["codes"] == [0, 0]


def lines() -> Iterator[str]:
    yield "# What continuous integration installs under Python 3.11: python tests/test_dependencies.py > .ci/lock.txt"
    found = closure(requirements(tools=True))
    missing = [r.name for r in requirements(tools=True) if canonicalize_name(r.name) not in found]
    if missing:
        print(f"not installed: {', '.join(missing)}", file=sys.stderr)
    yield from (f"{name}=={installed.version}" for name, installed in sorted(found.items()))


if __name__ == "__main__":
    print("\n".join(lines()))
