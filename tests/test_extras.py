"""With lark alone the language works; what needs more says what, and how to get it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from circuitdsl.extras import EXTRA

ROOT = Path(__file__).resolve().parents[1]
#: The name under which a library is installed, where it is not that of its module.
DISTRIBUTION = {
    "sklearn": "scikit-learn",
    "dask_jobqueue": "dask-jobqueue",
    "distributed": "dask[distributed]",
    "IPython": "ipython",
    "numba_cuda": "numba-cuda",
    "cuda": "cuda-bindings",
}

#: Runs a command as if nothing but lark were installed.
LARK_ALONE = """
import sys
from circuitdsl.extras import EXTRA
sys.modules.update(dict.fromkeys(EXTRA))  # importing one of these raises ModuleNotFoundError
from circuitdsl.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


def bare(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", LARK_ALONE, *arguments]
    return subprocess.run(line, capture_output=True, text=True, cwd=ROOT)


def test_extras_are_those_of_the_package() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for module, extra in EXTRA.items():
        wanted = DISTRIBUTION.get(module, module)
        assert any(re.split("[>=]", line)[0] == wanted for line in extras[extra]) or module == "dask", module
    named = {DISTRIBUTION.get(m, m) for m, extra in EXTRA.items() if extra == "run"}
    assert {line.partition(">")[0] for line in extras["run"]} == named


@pytest.mark.parametrize(
    "command",
    ["check FILE", "derive --no-measure FILE", "derive --no-measure --json FILE", "fmt --check FILE", "emit FILE",
     "list", "explain C031", "cache"],
)  # fmt: skip
def test_lark_is_enough_for_the_language(command: str) -> None:
    found = bare(*command.replace("FILE", "circuits/heterosynaptic/self_assembly.circ").split())
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("command", ["run FILE", "certify FILE", "derive FILE", "sweep FILE --set eta=0.1", "demo"])
def test_what_is_missing_is_named(command: str) -> None:
    found = bare(*command.replace("FILE", "circuits/heterosynaptic/kolen_pollack.circ").split())
    assert found.returncode == 2
    assert "pip install 'circuitdsl[run]'" in found.stderr
    assert "fault" not in found.stderr


def test_from_python_too() -> None:
    text = """
import sys
from circuitdsl.extras import EXTRA, Missing
sys.modules.update(dict.fromkeys(EXTRA))
import circuitdsl as cd
circuit = cd.load("circuits/heterosynaptic/kolen_pollack.circ")
assert circuit.derive(measure=False)["W2"].verdict == "exact"
for call in (circuit.run, circuit.certify):
    try:
        call(data="iris")
    except (Missing, cd.CircuitError) as problem:
        print(problem)
"""
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, cwd=ROOT)
    assert found.stdout.count("circuitdsl[run]") == 2, found.stdout + found.stderr
